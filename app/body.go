package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
)

// decode reads a JSON body into a typed struct: unknown fields, other types,
// a second value and anything else unexpected are refused with a 400.
func decode[T any](c *fiber.Ctx) (T, error) {
	var v T
	kind, _, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	if err != nil || kind != fiber.MIMEApplicationJSON {
		return v, faultMedia
	}
	body := c.Body()
	if !utf8.Valid(body) {
		return v, faultRequest
	}
	// null would leave v as it is and pass for an empty object.
	if text := bytes.TrimSpace(body); len(text) == 0 || text[0] != '{' {
		return v, faultRequest
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, badJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, faultRequest
	}
	return v, nil
}

// badJSON names the field that is wrong, where the decoder says so.
func badJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return faultRequest.with(fieldFault{wrong.Field, words{"类型不对，应为 " + wrong.Type.String(), "is of the wrong type; it should be " + wrong.Type.String()}})
	}
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		if name, err := strconv.Unquote(quoted); err == nil && len(name) <= 64 {
			return faultRequest.with(fieldFault{name, words{"没有此字段", "there is no such field"}})
		}
	}
	return faultRequest
}

// Page is how lists are read: from where the page before ended.
type pageQuery struct {
	After string `query:"after" description:"Where the page before ended: its next."`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50" description:"How many at most."`
}

// paged reads ?after= and ?limit=.
func paged(c *fiber.Ctx) (pageQuery, error) {
	q := pageQuery{After: c.Query("after"), Limit: 50}
	if s := c.Query("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 200 {
			return q, faultField.with(fieldFault{"limit", words{"应为 1 至 200", "is from 1 to 200"}})
		}
		q.Limit = n
	}
	return q, nil
}

// list is one page of things.
type list[T any] struct {
	Items []T    `json:"items" required:"true"`
	Next  string `json:"next" required:"true" description:"Give it as after for the next page; empty at the end."`
}

// listed turns a page of the record into a page of views.
func listed[S, T any](from []S, next string, view func(S) T) list[T] {
	out := list[T]{Items: make([]T, len(from)), Next: next}
	for i, s := range from {
		out.Items[i] = view(s)
	}
	return out
}

// uploaded opens the file of a multipart form.
func uploaded(c *fiber.Ctx, field string) (multipart.File, string, error) {
	h, err := c.FormFile(field)
	if err != nil {
		return nil, "", faultField.with(fieldFault{field, words{"请选择文件", "choose a file"}})
	}
	f, err := h.Open()
	if err != nil {
		return nil, "", err
	}
	return f, h.Filename, nil
}
