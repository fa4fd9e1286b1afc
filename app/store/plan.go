package store

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// More errors that callers tell apart.
var (
	// ErrQuery says that a query does not fit its index: a fault in the
	// program, not in the data.
	ErrQuery = errors.New("the query does not fit the index")
	// ErrDocument says that a document does not fit its collection: no id, an
	// indexed field missing or of another kind, or more than [MaxDocument].
	ErrDocument = errors.New("the document does not fit the collection")
	// ErrClosed says that the record was closed.
	ErrClosed = errors.New("the record is closed")
)

const (
	// MaxDocument is the most bytes one encoded document has. MongoDB takes
	// 16 MiB of BSON; the same document is at most a little smaller as JSON.
	MaxDocument = 12 << 20
	// MaxID is the most bytes an id has.
	MaxID = 512
)

var plainName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Check says whether the schema can be declared: names of lower-case letters,
// digits and "_", every index with at least one field, no field twice.
func (s Schema) Check() error {
	if !plainName.MatchString(s.Name) {
		return fmt.Errorf("collection %q: not a usable name", s.Name)
	}
	seen := map[string]bool{}
	for _, x := range s.Indexes {
		if !plainName.MatchString(x.Name) || seen[x.Name] {
			return fmt.Errorf("collection %s, index %q: not a usable name, or used twice", s.Name, x.Name)
		}
		seen[x.Name] = true
		if len(x.Fields) == 0 {
			return fmt.Errorf("collection %s, index %s: no fields", s.Name, x.Name)
		}
		fields := map[string]bool{}
		for _, f := range x.Fields {
			if !plainName.MatchString(f) || f == "v" || fields[f] {
				return fmt.Errorf("collection %s, index %s: field %q cannot be indexed, or stands twice", s.Name, x.Name, f)
			}
			fields[f] = true
		}
		if x.Sparse != "" && (x.Unique || !fields[x.Sparse]) {
			return fmt.Errorf("collection %s, index %s: cannot be sparse in %q", s.Name, x.Name, x.Sparse)
		}
	}
	for _, name := range s.Gone {
		if !plainName.MatchString(name) || seen[name] {
			return fmt.Errorf("collection %s, index %q: not a usable name, or still declared", s.Name, name)
		}
	}
	return nil
}

// Fits says whether values of t, a document type, always carry every indexed
// field as a string, an integer or a bool. A field that may be left out
// (omitempty, a pointer) has no place in an order, so it cannot be indexed.
// Errors: [ErrDocument].
func (s Schema) Fits(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("%s: %s is no struct: %w", s.Name, t, ErrDocument)
	}
	fields := map[string]reflect.StructField{}
	if err := topLevel(t, fields); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	for _, x := range s.Indexes {
		for _, name := range x.Fields {
			f, ok := fields[name]
			if !ok {
				return fmt.Errorf("%s: %s has no field tagged %q, which index %s needs: %w", s.Name, t, name, x.Name, ErrDocument)
			}
			_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if options != "" {
				return fmt.Errorf("%s: %s.%s is indexed and must not be tagged %q: %w", s.Name, t, f.Name, options, ErrDocument)
			}
			switch f.Type.Kind() {
			case reflect.String, reflect.Bool,
				reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
				reflect.Uint8, reflect.Uint16, reflect.Uint32:
			default:
				return fmt.Errorf("%s: %s.%s is indexed and must be a string, an integer or a bool: %w", s.Name, t, f.Name, ErrDocument)
			}
		}
	}
	return nil
}

// topLevel gathers the fields of t that both encodings, JSON and BSON, write at
// the top level.
func topLevel(t reflect.Type, into map[string]reflect.StructField) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			if f.Tag.Get("bson") != ",inline" {
				return fmt.Errorf("%s embeds %s, which must be tagged `bson:\",inline\"`: %w", t, f.Type, ErrDocument)
			}
			if err := topLevel(f.Type, into); err != nil {
				return err
			}
		case f.IsExported() && name != "" && name != "-":
			into[name] = f
		}
	}
	return nil
}

// CheckID says whether id can be the id of a document. Errors: [ErrDocument].
func CheckID(id string) error {
	if id == "" || len(id) > MaxID || !utf8.ValidString(id) || strings.IndexByte(id, 0) >= 0 {
		return fmt.Errorf("id of %d bytes: %w", len(id), ErrDocument)
	}
	return nil
}

// Plan is a query that was checked against its index, in the terms in which a
// record carries it out; implementations make it with [Schema.Plan].
type Plan struct {
	Index Index // the zero Index orders by id alone
	Equal []any // values of the leading fields: string, int64 or bool
	// Rest are the fields after Equal. Together with the id they are the order
	// of the page; From and To bound the first of them, or the id when none is
	// left.
	Rest     []string
	From, To any
	// Resume says that the page begins after the document with the values
	// AfterRest in the fields of Rest and the id AfterID.
	Resume    bool
	AfterRest []any
	AfterID   string
	Limit     int
	Desc      bool
}

// Plan checks a query. Errors: [ErrQuery], [ErrCursor].
func (s Schema) Plan(q Query) (Plan, error) {
	p := Plan{Limit: q.Limit, Desc: q.Desc}
	if q.Index != "" {
		for _, x := range s.Indexes {
			if x.Name == q.Index {
				p.Index = x
			}
		}
		if p.Index.Name == "" {
			return Plan{}, fmt.Errorf("%s has no index %q: %w", s.Name, q.Index, ErrQuery)
		}
	}
	if p.Limit == 0 {
		p.Limit = 100
	}
	if p.Limit < 1 || p.Limit > MaxPage {
		return Plan{}, fmt.Errorf("limit %d is outside 1..%d: %w", q.Limit, MaxPage, ErrQuery)
	}
	if len(q.Equal) > len(p.Index.Fields) {
		return Plan{}, fmt.Errorf("%d equal values for %d fields of index %q: %w", len(q.Equal), len(p.Index.Fields), q.Index, ErrQuery)
	}
	for _, v := range q.Equal {
		v, err := scalar(v)
		if err != nil {
			return Plan{}, err
		}
		p.Equal = append(p.Equal, v)
	}
	p.Rest = p.Index.Fields[len(q.Equal):]
	for _, bound := range []struct {
		in  any
		out *any
	}{{q.From, &p.From}, {q.To, &p.To}} {
		if bound.in == nil {
			continue
		}
		v, err := scalar(bound.in)
		if err != nil {
			return Plan{}, err
		}
		*bound.out = v
	}
	if !p.full() {
		return Plan{}, fmt.Errorf("index %s has no documents without %q, and the query may ask for some: %w", q.Index, p.Index.Sparse, ErrQuery)
	}
	if q.After == "" {
		return p, nil
	}
	values, id, err := DecodeCursor(q.After)
	if err != nil {
		return Plan{}, err
	}
	// The first value names the order, so that a mark of another index or of
	// the opposite direction is refused.
	if len(values) != 1+len(p.Rest) || values[0] != p.order() {
		return Plan{}, ErrCursor
	}
	p.Resume, p.AfterRest, p.AfterID = true, values[1:], id
	return p, nil
}

// full says that a sparse index has all that is asked for.
func (p Plan) full() bool {
	switch at := slices.Index(p.Index.Fields, p.Index.Sparse); {
	case p.Index.Sparse == "":
		return true
	case at < len(p.Equal):
		return !isZero(p.Equal[at])
	case at == len(p.Equal):
		return p.From != nil && !isZero(p.From)
	}
	return false
}

// isZero says whether a value is none, or below all that are some.
func isZero(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case int64:
		return v <= 0
	case bool:
		return !v
	}
	return false
}

// Next is the mark after a document with these values in the fields of Rest.
func (p Plan) Next(rest []any, id string) string {
	return EncodeCursor(append([]any{p.order()}, rest...), id)
}

func (p Plan) order() string {
	if p.Desc {
		return "-" + p.Index.Name
	}
	return "+" + p.Index.Name
}

// scalar brings a value to string, int64 or bool; named types may be used.
func scalar(v any) (any, error) {
	switch v := v.(type) {
	case string, int64, bool:
		return v, nil
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return r.String(), nil
	case reflect.Bool:
		return r.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int(), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(r.Uint()), nil
	}
	return nil, fmt.Errorf("%T is no string, integer or bool: %w", v, ErrQuery)
}
