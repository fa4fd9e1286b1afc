// Package sqlite keeps the record in one embedded SQLite file.
//
// Every write call is answered only after an fsync. One goroutine writes: it
// takes all calls that wait, puts them into one transaction, commits once and
// answers them all, so that the cost of the fsync is shared. Readers have
// connections of their own and never wait for the writer. Other processes may
// have the same file open.
package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"

	engine "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/xingfuma/happycode/app/store"
)

const (
	// applicationID marks the file as a Happiness Code record ("HCOD").
	applicationID = 0x48434f44
	// batchDocs bounds how many documents one transaction writes, and so how
	// long a call waits for those before it.
	batchDocs = 500
	// waitingCalls is how many write calls may wait before a caller blocks.
	waitingCalls = 1024
	// busyMs is how long to wait for another process that is writing.
	busyMs = 15000
)

// Record is a [store.Record] in one file.
type Record struct {
	readers chan *reader // those that nobody uses

	mu      sync.RWMutex
	schemas map[string]*table
	closed  bool
	calls   chan *call
	done    chan struct{} // closed when the writer has ended
	failed  error         // of closing the writer; read after done
}

// table is a declared collection.
type table struct {
	store.Schema
	types sync.Map // reflect.Type -> error of [store.Schema.Fits]
}

var _ store.Record = (*Record)(nil)

// Open opens the file at path, creating it (mode 0600) and its folder (mode
// 0700) where they are missing.
func Open(path string) (*Record, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	// SQLite gives its -wal and -shm files the mode of the main file.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	// fdatasync is what SQLite uses on every Linux distribution; platforms
	// without it keep fsync.
	if _, err := engine.Fdatasync(true); err != nil && !errors.Is(err, engine.ErrFdatasyncUnavailable) {
		return nil, fmt.Errorf("open record: %w", err)
	}
	w, err := newWriter(path)
	if err != nil {
		return nil, fmt.Errorf("open record %s: %w", path, err)
	}
	connector, err := connect(path, "query_only(1)", "cache_size(-16384)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open record %s: %w", path, err), w.close())
	}
	r := &Record{
		readers: make(chan *reader, max(4, 2*runtime.GOMAXPROCS(0))),
		schemas: map[string]*table{},
		calls:   make(chan *call, waitingCalls),
		done:    make(chan struct{}),
	}
	for range cap(r.readers) {
		x, err := newReader(connector)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open record %s: %w", path, err), r.closeReaders(), w.close())
		}
		r.readers <- x
	}
	go func() {
		defer close(r.done)
		w.serve(r.calls)
		r.failed = w.close()
	}()
	if err := r.Ping(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("open record %s: %w", path, err), r.Close())
	}
	return r, nil
}

func connect(path string, pragmas ...string) (driver.Connector, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(" + strconv.Itoa(busyMs) + ")", "temp_store(2)"}, pragmas...)}
	return engine.NewConnector("file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + q.Encode())
}

// Close ends the record after the calls that wait are carried out.
func (r *Record) Close() error {
	r.mu.Lock()
	already := r.closed
	r.closed = true
	if !already {
		close(r.calls)
	}
	r.mu.Unlock()
	<-r.done
	if already {
		return nil
	}
	var errs []error
	for range cap(r.readers) { // those in use come back
		errs = append(errs, (<-r.readers).close())
	}
	return errors.Join(append(errs, r.failed)...)
}

// closeReaders closes those that were opened so far.
func (r *Record) closeReaders() error {
	var errs []error
	for len(r.readers) > 0 {
		errs = append(errs, (<-r.readers).close())
	}
	return errors.Join(errs...)
}

// Ping says whether the file can be read.
func (r *Record) Ping(ctx context.Context) error {
	return r.query(ctx, "SELECT count(*) FROM sqlite_schema", nil, func([]driver.Value) (bool, error) { return true, nil })
}

func (r *Record) table(name string) (*table, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return nil, store.ErrClosed
	}
	t := r.schemas[name]
	if t == nil {
		return nil, fmt.Errorf("collection %q was not declared with Ensure", name)
	}
	return t, nil
}

func (t *table) fits(doc store.Document) error {
	kind := reflect.TypeOf(doc)
	if known, ok := t.types.Load(kind); ok {
		err, _ := known.(error)
		return err
	}
	err := t.Fits(kind)
	t.types.Store(kind, err)
	return err
}

// row is a document as it is written.
type row struct {
	id   string
	read int64 // version that was read; 0 for an insert
	doc  string
}

// rows encodes documents as they will be after the write.
func (t *table) rows(docs []store.Document, next func(read int64) int64) ([]row, error) {
	out := make([]row, len(docs))
	for i, d := range docs {
		if err := errors.Join(store.CheckID(d.Key()), t.fits(d)); err != nil {
			return nil, err
		}
		read := d.Version()
		d.SetVersion(next(read))
		b, err := json.Marshal(d)
		d.SetVersion(read)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", t.Name, d.Key(), err)
		}
		if len(b) > store.MaxDocument {
			return nil, fmt.Errorf("%s %s has %d bytes: %w", t.Name, d.Key(), len(b), store.ErrDocument)
		}
		out[i] = row{d.Key(), read, string(b)}
	}
	return out, nil
}

// Insert implements [store.Record].
func (r *Record) Insert(ctx context.Context, collection string, docs []store.Document) ([]store.Duplicate, error) {
	t, err := r.table(collection)
	if err != nil {
		return nil, err
	}
	rows, err := t.rows(docs, func(int64) int64 { return 1 })
	if err != nil {
		return nil, err
	}
	var all []store.Duplicate
	for from := 0; from < len(rows); from += batchDocs {
		part := rows[from:min(from+batchDocs, len(rows))]
		var dups []store.Duplicate
		if err := r.write(ctx, len(part), func(w *writer) (err error) {
			dups, err = w.insert(t, part)
			return err
		}); err != nil {
			return nil, err
		}
		left := map[int]bool{}
		for _, d := range dups {
			left[d.Position] = true
			d.Position += from
			all = append(all, d)
		}
		for i := range part {
			if !left[i] {
				docs[from+i].SetVersion(1)
			}
		}
	}
	return all, nil
}

// Replace implements [store.Record].
func (r *Record) Replace(ctx context.Context, collection string, docs []store.Document) ([]error, error) {
	t, err := r.table(collection)
	if err != nil {
		return nil, err
	}
	rows, err := t.rows(docs, func(read int64) int64 { return read + 1 })
	if err != nil {
		return nil, err
	}
	all := make([]error, 0, len(docs))
	for from := 0; from < len(rows); from += batchDocs {
		part := rows[from:min(from+batchDocs, len(rows))]
		var errs []error
		if err := r.write(ctx, len(part), func(w *writer) (err error) {
			errs, err = w.replace(t, part)
			return err
		}); err != nil {
			return nil, err
		}
		for i, err := range errs {
			if err == nil {
				docs[from+i].SetVersion(part[i].read + 1)
			}
		}
		all = append(all, errs...)
	}
	return all, nil
}

// Delete implements [store.Record].
func (r *Record) Delete(ctx context.Context, collection string, ids []string) error {
	t, err := r.table(collection)
	if err != nil {
		return err
	}
	for from := 0; from < len(ids); from += batchDocs {
		part := append([]string(nil), ids[from:min(from+batchDocs, len(ids))]...)
		if err := r.write(ctx, len(part), func(w *writer) error { return w.delete(t, part) }); err != nil {
			return err
		}
	}
	return nil
}

// Ensure implements [store.Record].
func (r *Record) Ensure(ctx context.Context, schemas ...store.Schema) error {
	for _, s := range schemas {
		if err := s.Check(); err != nil {
			return err
		}
		if err := r.write(ctx, batchDocs, func(w *writer) error { return w.ensure(s) }); err != nil {
			return fmt.Errorf("ensure %s: %w", s.Name, err)
		}
		r.mu.Lock()
		r.schemas[s.Name] = &table{Schema: s}
		r.mu.Unlock()
	}
	return nil
}

// Get implements [store.Record].
func (r *Record) Get(ctx context.Context, collection string, ids []string, dst func() store.Document) ([]store.Document, error) {
	t, err := r.table(collection)
	if err != nil {
		return nil, err
	}
	out := make([]store.Document, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	text, arg := "SELECT id, v, doc FROM "+quote(t.Name)+" WHERE id = ?", any(ids[0])
	places := map[string][]int{ids[0]: {0}}
	if len(ids) > 1 {
		text = "SELECT id, v, doc FROM " + quote(t.Name) + " WHERE id IN (SELECT value FROM json_each(?))"
		for i, id := range ids[1:] {
			places[id] = append(places[id], i+1)
		}
		b, err := json.Marshal(ids)
		if err != nil {
			return nil, err
		}
		arg = string(b)
	}
	err = r.query(ctx, text, []any{arg}, func(row []driver.Value) (bool, error) {
		id, _ := row[0].(string)
		for _, at := range places[id] {
			var err error
			if out[at], err = decode(t, row, dst); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// decode reads a document from a row that begins with id, version and text.
func decode(t *table, row []driver.Value, dst func() store.Document) (store.Document, error) {
	id, _ := row[0].(string)
	v, ok := row[1].(int64)
	doc, text := row[2].(string)
	if !ok || !text {
		return nil, fmt.Errorf("decode %s %s: the row is not one of a document", t.Name, id)
	}
	d := dst()
	if err := json.Unmarshal([]byte(doc), d); err != nil {
		return nil, fmt.Errorf("decode %s %s: %w", t.Name, id, err)
	}
	d.SetVersion(v)
	return d, nil
}

// Find implements [store.Record].
func (r *Record) Find(ctx context.Context, collection string, q store.Query, dst func() store.Document) (page []store.Document, next string, err error) {
	t, err := r.table(collection)
	if err != nil {
		return nil, "", err
	}
	p, err := t.Plan(q)
	if err != nil {
		return nil, "", err
	}
	text, args := selection(t, p)
	// Of the last document on the page; one more is asked for to know whether
	// there is another page.
	last := make([]any, len(p.Rest))
	err = r.query(ctx, text, args, func(row []driver.Value) (bool, error) {
		if len(page) == p.Limit {
			lastID := page[len(page)-1].Key()
			for i, v := range last {
				if v == nil {
					return false, fmt.Errorf("%s %s lacks %q, which index %s orders by: %w", t.Name, lastID, p.Rest[i], p.Index.Name, store.ErrDocument)
				}
			}
			next = p.Next(last, lastID)
			return true, nil
		}
		d, err := decode(t, row, dst)
		if err != nil {
			return false, err
		}
		page = append(page, d)
		for i := range last {
			last[i] = row[3+i]
		}
		return false, nil
	})
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// selection is a plan in SQL.
func selection(t *table, p store.Plan) (string, []any) {
	var b strings.Builder
	var args []any
	keys := make([]string, 0, len(p.Rest)+1)
	b.WriteString("SELECT id, v, doc")
	for _, f := range p.Rest {
		keys = append(keys, column(f))
		b.WriteString(", " + column(f))
	}
	keys = append(keys, "id")
	b.WriteString(" FROM " + quote(t.Name))
	if p.Index.Name != "" {
		b.WriteString(" INDEXED BY " + quote(indexName(t.Schema, p.Index)))
	}
	b.WriteString(" WHERE true")
	if p.Index.Sparse != "" { // in the words of the index, so that it is known to do
		b.WriteString(" AND " + some(p.Index.Sparse))
	}
	and := func(condition string, values ...any) {
		b.WriteString(" AND " + condition)
		args = append(args, values...)
	}
	for i, v := range p.Equal {
		and(column(p.Index.Fields[i])+" = ?", v)
	}
	// A resumed page begins in the index where the mark is; the bound on that
	// side is still checked, but a "+" keeps it from choosing where to begin.
	from, to, beyond, order := "", "", " > ", ""
	if p.Desc {
		beyond, order = " < ", " DESC"
	}
	if p.Resume {
		if p.Desc {
			to = "+"
		} else {
			from = "+"
		}
		and("("+strings.Join(keys, ", ")+")"+beyond+"(?"+strings.Repeat(", ?", len(p.AfterRest))+")", append(append([]any(nil), p.AfterRest...), p.AfterID)...)
	}
	if p.From != nil {
		and(from+keys[0]+" >= ?", p.From)
	}
	if p.To != nil {
		and(to+keys[0]+" < ?", p.To)
	}
	// The values of a unique index never tie, so the id is not part of it.
	if p.Index.Unique && len(keys) > 1 {
		keys = keys[:len(keys)-1]
	}
	b.WriteString(" ORDER BY " + strings.Join(keys, order+", ") + order)
	b.WriteString(" LIMIT " + strconv.Itoa(p.Limit+1))
	return b.String(), args
}

func quote(name string) string { return `"` + name + `"` }

func column(field string) string { return `"f_` + field + `"` }

// indexName has another name for a sparse index: one that was full before is
// made anew.
func indexName(s store.Schema, x store.Index) string {
	name := s.Name + "__" + x.Name
	if x.Sparse != "" {
		name += "__some"
	}
	return name
}

// some says that a field is not empty.
func some(field string) string { return column(field) + " NOT IN ('', 0)" }

// constraint says whether err is SQLite's refusal of a value that must be
// unique.
func constraint(err error) bool {
	var e *engine.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code() == codes.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == codes.SQLITE_CONSTRAINT_UNIQUE
}
