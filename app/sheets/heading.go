package sheets

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Heading knows in which column a field stands.
type Heading struct {
	at      map[string]int
	written []string
}

// MissingColumnError says that a column which must be there is not.
type MissingColumnError struct {
	Field string   // the field
	Names []string // the headings it may have
}

func (e *MissingColumnError) Error() string {
	return "no column " + strings.Join(e.Names, " / ")
}

// Is makes it an [ErrFile].
func (e *MissingColumnError) Is(target error) bool { return target == ErrFile }

// NewHeading reads the first row as headings. columns names the headings that a
// field may have; case, blanks and what stands in brackets do not matter, and
// of two columns with one heading the first counts.
//
// Errors: [ErrFile] for no rows at all, [MissingColumnError] for a required
// field without a column.
func NewHeading(rows []Row, columns map[string][]string, required ...string) (Heading, error) {
	if len(rows) == 0 {
		return Heading{}, ErrFile
	}
	h := Heading{at: map[string]int{}, written: rows[0].Cells}
	for field, names := range columns {
		h.at[field] = slices.IndexFunc(rows[0].Cells, func(cell string) bool {
			return slices.Contains(names, canonical(cell))
		})
	}
	for _, field := range required {
		if !h.Has(field) {
			return Heading{}, &MissingColumnError{Field: field, Names: columns[field]}
		}
	}
	return h, nil
}

// canonical is a heading in small letters, without blanks, marks of duty and
// remarks in brackets.
func canonical(s string) string {
	if i := strings.IndexAny(s, "(（"); i > 0 {
		s = s[:i]
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\n', '\r', '*', '＊', '\u3000', '\ufeff':
			return -1
		}
		return r
	}, s))
}

// Has says whether the field has a column.
func (h Heading) Has(field string) bool {
	at, ok := h.at[field]
	return ok && at >= 0
}

// Cell returns a row's cell for a field, "" where the field has no column.
func (h Heading) Cell(r Row, field string) string {
	if !h.Has(field) {
		return ""
	}
	return r.Cell(h.at[field])
}

// Bad names a row whose field is wrong.
func (h Heading) Bad(r Row, field, zh, en string) BadRow {
	column := ""
	if h.Has(field) {
		column = h.written[h.at[field]]
	}
	return BadRow{Row: r.Number, Column: column, ReasonZH: zh, ReasonEN: en}
}

// Formula says whether a spreadsheet program would take the text for a formula
// or a command: it begins with = + - @, one of their full-width forms, a tab,
// a carriage return or NUL.
func Formula(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return s != "" && strings.ContainsRune("=+-@\t\r\x00＝＋－＠", r)
}
