package store

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// ErrCursor says that a page mark was not made by this record.
var ErrCursor = errors.New("unreadable page mark")

func encodeBase64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decodeBase64(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

func parseCursor(b []byte) ([]any, string, error) {
	var c cursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || c.ID == "" {
		return nil, "", ErrCursor
	}
	for i, v := range c.Values {
		switch v := v.(type) {
		case string, bool:
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				return nil, "", ErrCursor
			}
			c.Values[i] = n
		default:
			return nil, "", ErrCursor
		}
	}
	return c.Values, c.ID, nil
}
