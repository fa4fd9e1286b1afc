// Package store is the port to the record: the one durable truth about who
// needs, who gives and who received what.
//
// Two implementations stand behind it, app/store/mongo (MongoDB) and
// app/store/sqlite (one embedded file); app/store/storetest holds both to the
// same behaviour. The port knows no transactions over several documents: what
// must be safe is built from deterministic ids, inserts that name their
// duplicates, and replaces that only win against the version that was read.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Errors that callers tell apart.
var (
	// ErrNotFound says that no document has this id.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the document changed since it was read, so that
	// nothing was written: read again and decide again.
	ErrConflict = errors.New("changed by somebody else")
	// ErrDuplicate says that a document with this id, or with the same values
	// in a unique index, is there already, so that nothing was written.
	ErrDuplicate = errors.New("already there")
)

// Meta is what every stored document carries; embed it as
//
//	store.Meta `bson:",inline"`
type Meta struct {
	// ID is opaque and unique in its collection.
	ID string `json:"_id"`
	// V counts the document's writes; [Collection.Replace] compares and raises it.
	V int64 `json:"v"`
}

// Key returns the document's id.
func (m *Meta) Key() string { return m.ID }

// Version returns the version that was read.
func (m *Meta) Version() int64 { return m.V }

// SetVersion is called by the record after a write.
func (m *Meta) SetVersion(v int64) { m.V = v }

// Document is a stored value; pointers to structs that embed [Meta] are.
type Document interface {
	Key() string
	Version() int64
	SetVersion(int64)
}

// Index is a declared order over a collection. Fields are JSON names of
// top-level fields holding strings, int64s or bools; they are always written
// (never omitempty), which the record checks. The id always follows as the
// last field, so that the order is total.
type Index struct {
	Name   string
	Fields []string
	Unique bool
	// Sparse is one of Fields, or "": documents in which it is "", 0 or false need
	// not be in the index, and no query along it may ask for them. Where most
	// documents are such, writing them costs nothing here.
	Sparse string
}

// Schema declares one collection and its indexes.
type Schema struct {
	Name    string
	Indexes []Index
	Gone    []string // indexes of earlier versions that nothing uses any more
}

// Query selects documents by one index: the leading fields equal Equal, the
// next field lies in [From, To) where those are set, in index order or, with
// Desc, against it.
type Query struct {
	Index string // a declared index; "" orders by id
	Equal []any  // string, int64 or bool, one for each leading field
	From  any    // inclusive lower bound of the next field; nil for none
	To    any    // exclusive upper bound of the next field; nil for none
	After string // the Next of an earlier page; "" starts at the beginning
	Limit int    // 1..[MaxPage]; 0 means 100
	Desc  bool
}

// MaxPage is the most documents one Find returns.
const MaxPage = 1000

// Duplicate names a document that an insert left out.
type Duplicate struct {
	Position int    // in the slice given to Insert
	ID       string // of the document left out
	Index    string // the violated unique index; "" for the id itself
}

// Record is the port. Its methods are safe for concurrent use, and a write is
// durable (MongoDB: write concern majority; SQLite: fsync) when they return.
//
// Documents cross it as pointers; dst arguments are functions that make an
// empty document to decode into.
type Record interface {
	// Ensure creates the collections and indexes that are missing.
	Ensure(ctx context.Context, schemas ...Schema) error
	// Get reads documents by id, in the order of ids; a missing one is nil.
	Get(ctx context.Context, collection string, ids []string, dst func() Document) ([]Document, error)
	// Insert writes the documents that are not there yet, at version 1, and
	// names those that are; err is for trouble, not for duplicates.
	Insert(ctx context.Context, collection string, docs []Document) ([]Duplicate, error)
	// Replace writes each document whose stored version still is the one it
	// carries, raising it by one, and reports for each whether it was written:
	// nil, [ErrConflict] (changed or gone) or [ErrDuplicate] (a unique index).
	Replace(ctx context.Context, collection string, docs []Document) ([]error, error)
	// Delete removes documents by id; missing ones are passed over. It is for
	// what has expired (sessions, idempotency keys), never for what happened.
	Delete(ctx context.Context, collection string, ids []string) error
	// Find returns one page and, when there may be more, where the next begins.
	Find(ctx context.Context, collection string, q Query, dst func() Document) (page []Document, next string, err error)
	// Ping says whether the record answers.
	Ping(ctx context.Context) error
	Close() error
}

// Pointer is satisfied by *T when it is a [Document].
type Pointer[T any] interface {
	*T
	Document
}

// Collection is a typed handle on one collection of a record.
type Collection[T any, P Pointer[T]] struct {
	Record Record
	Name   string
}

// Of returns the handle for a schema.
func Of[T any, P Pointer[T]](r Record, s Schema) Collection[T, P] {
	return Collection[T, P]{Record: r, Name: s.Name}
}

func (c Collection[T, P]) fresh() Document { return P(new(T)) }

// Get reads one document. Errors: [ErrNotFound].
func (c Collection[T, P]) Get(ctx context.Context, id string) (P, error) {
	docs, err := c.Record.Get(ctx, c.Name, []string{id}, c.fresh)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", c.Name, id, err)
	}
	if docs[0] == nil {
		return nil, fmt.Errorf("read %s %s: %w", c.Name, id, ErrNotFound)
	}
	return docs[0].(P), nil
}

// GetAll reads documents by id; those that are missing are left out.
func (c Collection[T, P]) GetAll(ctx context.Context, ids []string) ([]P, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	docs, err := c.Record.Get(ctx, c.Name, ids, c.fresh)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Name, err)
	}
	out := make([]P, 0, len(docs))
	for _, d := range docs {
		if d != nil {
			out = append(out, d.(P))
		}
	}
	return out, nil
}

// Insert writes one new document. Errors: [ErrDuplicate].
func (c Collection[T, P]) Insert(ctx context.Context, doc P) error {
	dups, err := c.Record.Insert(ctx, c.Name, []Document{doc})
	if err != nil {
		return fmt.Errorf("insert %s %s: %w", c.Name, doc.Key(), err)
	}
	if len(dups) > 0 {
		return fmt.Errorf("insert %s %s: %w", c.Name, doc.Key(), ErrDuplicate)
	}
	return nil
}

// InsertAll writes the documents that are not there yet and names the others.
func (c Collection[T, P]) InsertAll(ctx context.Context, docs []P) ([]Duplicate, error) {
	if len(docs) == 0 {
		return nil, nil
	}
	dups, err := c.Record.Insert(ctx, c.Name, documents(docs))
	if err != nil {
		return nil, fmt.Errorf("insert %s: %w", c.Name, err)
	}
	return dups, nil
}

// Replace writes one document if nobody else did since it was read.
// Errors: [ErrConflict], [ErrDuplicate].
func (c Collection[T, P]) Replace(ctx context.Context, doc P) error {
	errs, err := c.Record.Replace(ctx, c.Name, []Document{doc})
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return fmt.Errorf("replace %s %s: %w", c.Name, doc.Key(), err)
	}
	return nil
}

// ReplaceAll writes each document that nobody else wrote since it was read,
// and reports for each nil, [ErrConflict] or [ErrDuplicate].
func (c Collection[T, P]) ReplaceAll(ctx context.Context, docs []P) ([]error, error) {
	if len(docs) == 0 {
		return nil, nil
	}
	errs, err := c.Record.Replace(ctx, c.Name, documents(docs))
	if err != nil {
		return nil, fmt.Errorf("replace %s: %w", c.Name, err)
	}
	return errs, nil
}

// Change reads a document, lets change alter it, and writes it, again and
// again until nobody wrote in between. change may return an error to stop.
// It gives up with [ErrConflict] after 64 tries.
func (c Collection[T, P]) Change(ctx context.Context, id string, change func(P) error) (P, error) {
	for try := 0; ; try++ {
		doc, err := c.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := change(doc); err != nil {
			return nil, err
		}
		err = c.Replace(ctx, doc)
		if err == nil {
			return doc, nil
		}
		if !errors.Is(err, ErrConflict) || try == 64 {
			return nil, err
		}
		wait := time.NewTimer(rand.N(min(time.Millisecond<<min(try, 8), 20*time.Millisecond)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, fmt.Errorf("change %s %s: %w", c.Name, id, ctx.Err())
		}
	}
}

// Delete removes documents by id.
func (c Collection[T, P]) Delete(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := c.Record.Delete(ctx, c.Name, ids); err != nil {
		return fmt.Errorf("delete %s: %w", c.Name, err)
	}
	return nil
}

// Find returns one page and where the next begins ("" at the end).
func (c Collection[T, P]) Find(ctx context.Context, q Query) ([]P, string, error) {
	docs, next, err := c.Record.Find(ctx, c.Name, q, c.fresh)
	if err != nil {
		return nil, "", fmt.Errorf("find %s by %q: %w", c.Name, q.Index, err)
	}
	out := make([]P, len(docs))
	for i, d := range docs {
		out[i] = d.(P)
	}
	return out, next, nil
}

// Each calls visit for every document of the query, page by page; visit may
// return an error to stop.
func (c Collection[T, P]) Each(ctx context.Context, q Query, visit func(P) error) error {
	if q.Limit == 0 {
		q.Limit = MaxPage
	}
	for {
		page, next, err := c.Find(ctx, q)
		if err != nil {
			return err
		}
		for _, doc := range page {
			if err := visit(doc); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		q.After = next
	}
}

func documents[T any, P Pointer[T]](docs []P) []Document {
	out := make([]Document, len(docs))
	for i, d := range docs {
		out[i] = d
	}
	return out
}

// NewID returns an id that sorts by the time it was made and has 74 random
// bits (UUID version 7, RFC 9562).
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Millis is how times are stored: UTC milliseconds since 1970.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// cursor is what After and Next carry: the index values and the id of the
// last document of a page.
type cursor struct {
	Values []any  `json:"k,omitempty"`
	ID     string `json:"i"`
}

// EncodeCursor makes the Next of a page; implementations call it.
func EncodeCursor(values []any, id string) string {
	b, err := json.Marshal(cursor{values, id})
	if err != nil {
		panic(err) // strings, int64s and bools always encode
	}
	return encodeBase64(b)
}

// DecodeCursor reads an After; implementations call it. Integers come back as
// int64. Errors: [ErrCursor].
func DecodeCursor(s string) (values []any, id string, err error) {
	b, err := decodeBase64(s)
	if err != nil {
		return nil, "", ErrCursor
	}
	return parseCursor(b)
}
