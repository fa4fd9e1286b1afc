package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xingfuma/happycode/app/store"
)

// call is one write that waits for the writer.
type call struct {
	ctx    context.Context
	docs   int
	run    func(*writer) error // inside a transaction; may run twice
	answer chan error          // has room for the one answer
}

// write hands a call to the writer and waits for its answer. When ctx ends
// first, the write may or may not have been carried out.
func (r *Record) write(ctx context.Context, docs int, run func(*writer) error) error {
	c := &call{ctx, docs, run, make(chan error, 1)}
	r.mu.RLock()
	if r.closed {
		r.mu.RUnlock()
		return store.ErrClosed
	}
	select {
	case r.calls <- c:
		r.mu.RUnlock()
	case <-ctx.Done():
		r.mu.RUnlock()
		return ctx.Err()
	}
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writer owns the one connection that writes.
type writer struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func newWriter(path string) (*writer, error) {
	connector, err := connect(path, "journal_mode(wal)", "synchronous(full)", "cache_size(-16384)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)")
	if err != nil {
		return nil, err
	}
	w := &writer{db: sql.OpenDB(connector), statements: map[string]*sql.Stmt{}}
	if err := w.start(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) start() error {
	ctx := context.Background()
	var err error
	if w.conn, err = w.db.Conn(ctx); err != nil {
		return err
	}
	var mode string
	if err := w.conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("this file system gives journal mode %q, write-ahead logging is needed; use a local disk", mode)
	}
	var id, tables int
	if err := w.conn.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)").Scan(&id, &tables); err != nil {
		return err
	}
	switch {
	case id == applicationID:
		return nil
	case id == 0 && tables == 0:
		_, err := w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
		return err
	}
	return errors.New("this SQLite file belongs to another program")
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// serve carries out calls until the channel is closed and empty.
func (w *writer) serve(calls <-chan *call) {
	var batch []*call
	for c := range calls {
		batch = append(batch[:0], c)
		docs := c.docs
	gather:
		for docs < batchDocs {
			select {
			case c, ok := <-calls:
				if !ok {
					break gather
				}
				batch = append(batch, c)
				docs += c.docs
			default:
				break gather
			}
		}
		w.commit(batch)
		clear(batch)
	}
}

// commit carries out a batch in one transaction. When one call of several
// fails, the others must not suffer: each is then tried by itself.
func (w *writer) commit(batch []*call) {
	wanted := batch[:0]
	for _, c := range batch {
		if err := c.ctx.Err(); err != nil {
			c.answer <- err
			continue
		}
		wanted = append(wanted, c)
	}
	if len(wanted) == 0 {
		return
	}
	run, err := w.transaction(wanted)
	if err != nil && !run && len(wanted) > 1 {
		for _, c := range wanted {
			_, err := w.transaction([]*call{c})
			c.answer <- err
		}
		return
	}
	for _, c := range wanted {
		c.answer <- err
	}
}

// transaction runs calls and commits them; ran says that all of them ran, so
// that an error is that of the commit and its outcome is not known.
func (w *writer) transaction(calls []*call) (ran bool, err error) {
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		// Nothing a call could have caused.
		return true, err
	}
	for _, c := range calls {
		if err = c.run(w); err != nil {
			break
		}
	}
	if err == nil {
		ran = true
		_, err = w.exec("COMMIT")
	}
	if err != nil {
		// SQLite may have rolled back by itself (a full disk), so that this
		// fails too; BEGIN shows whether the connection is usable.
		_, _ = w.exec("ROLLBACK")
	}
	return ran, err
}

func (w *writer) prepared(text string) (*sql.Stmt, error) {
	if s := w.statements[text]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), text)
	if err == nil {
		w.statements[text] = s
	}
	return s, err
}

// exec runs a prepared statement and says how many rows it wrote. It has no
// context of a caller: one who leaves must not end the others' transaction.
func (w *writer) exec(text string, args ...any) (int64, error) {
	s, err := w.prepared(text)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// exists says whether a SELECT finds a row.
func (w *writer) exists(text string, args ...any) (bool, error) {
	s, err := w.prepared(text)
	if err != nil {
		return false, err
	}
	var one int
	switch err := s.QueryRowContext(context.Background(), args...).Scan(&one); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

func (w *writer) insert(t *table, rows []row) ([]store.Duplicate, error) {
	var dups []store.Duplicate
	for i, r := range rows {
		_, err := w.exec("INSERT INTO "+quote(t.Name)+" (id, v, doc) VALUES (?, 1, ?)", r.id, r.doc)
		if err == nil {
			continue
		}
		if !constraint(err) {
			return nil, fmt.Errorf("%s: %w", r.id, err)
		}
		index, err := w.violated(t, r)
		if err != nil {
			return nil, err
		}
		dups = append(dups, store.Duplicate{Position: i, ID: r.id, Index: index})
	}
	return dups, nil
}

// violated finds what a refused row collides with: the id ("") or an index.
// SQLite's result code says only that something does.
func (w *writer) violated(t *table, r row) (string, error) {
	taken, err := w.exists("SELECT 1 FROM "+quote(t.Name)+" WHERE id = ?", r.id)
	if err != nil || taken {
		return "", err
	}
	for _, x := range t.Indexes {
		if !x.Unique {
			continue
		}
		var same []string
		for _, f := range x.Fields {
			same = append(same, column(f)+" = json_extract(?1, '$."+f+"')")
		}
		taken, err := w.exists("SELECT 1 FROM "+quote(t.Name)+" WHERE "+strings.Join(same, " AND "), r.doc)
		if err != nil {
			return "", err
		}
		if taken {
			return x.Name, nil
		}
	}
	return "", fmt.Errorf("%s %s was refused as a duplicate by an index that is not declared", t.Name, r.id)
}

func (w *writer) replace(t *table, rows []row) ([]error, error) {
	errs := make([]error, len(rows))
	for i, r := range rows {
		n, err := w.exec("UPDATE "+quote(t.Name)+" SET v = v + 1, doc = ? WHERE id = ? AND v = ?", r.doc, r.id, r.read)
		switch {
		case err == nil && n == 0:
			errs[i] = store.ErrConflict
		case constraint(err):
			errs[i] = store.ErrDuplicate
		case err != nil:
			return nil, fmt.Errorf("%s: %w", r.id, err)
		}
	}
	return errs, nil
}

func (w *writer) delete(t *table, ids []string) error {
	for _, id := range ids {
		if _, err := w.exec("DELETE FROM "+quote(t.Name)+" WHERE id = ?", id); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	return nil
}

// ensure creates what is missing of a collection. Indexed fields are virtual
// generated columns: they cost nothing in the row, and adding one to a table
// with data rewrites nothing.
func (w *writer) ensure(s store.Schema) error {
	ctx := context.Background()
	if _, err := w.conn.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+quote(s.Name)+" (id TEXT NOT NULL PRIMARY KEY, v INTEGER NOT NULL, doc TEXT NOT NULL)"); err != nil {
		return err
	}
	columns, err := w.strings("SELECT name FROM pragma_table_xinfo(?)", s.Name)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, c := range columns {
		have[c] = true
	}
	gone := slices.Clone(s.Gone)
	for _, x := range s.Indexes {
		var fields []string
		for _, f := range x.Fields {
			fields = append(fields, column(f))
			if have["f_"+f] {
				continue
			}
			if _, err := w.conn.ExecContext(ctx, "ALTER TABLE "+quote(s.Name)+" ADD COLUMN "+column(f)+" GENERATED ALWAYS AS (json_extract(doc, '$."+f+"')) VIRTUAL"); err != nil {
				return err
			}
			have["f_"+f] = true
		}
		verb := "CREATE UNIQUE INDEX "
		if !x.Unique {
			verb = "CREATE INDEX "
			fields = append(fields, "id")
		}
		name := indexName(s, x)
		text := verb + quote(name) + " ON " + quote(s.Name) + " (" + strings.Join(fields, ", ") + ")"
		if x.Sparse != "" {
			text += " WHERE " + some(x.Sparse)
			gone = append(gone, x.Name) // it was full before
		}
		was, err := w.strings("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", name)
		if err != nil {
			return err
		}
		switch {
		case len(was) == 0:
			if _, err := w.conn.ExecContext(ctx, text); constraint(err) {
				return fmt.Errorf("index %s: the documents have equal values: %w", x.Name, store.ErrDuplicate)
			} else if err != nil {
				return fmt.Errorf("index %s: %w", x.Name, err)
			}
		case was[0] != text:
			return fmt.Errorf("index %s is there with other fields; give the new one another name", x.Name)
		}
	}
	for _, name := range gone {
		if _, err := w.conn.ExecContext(ctx, "DROP INDEX IF EXISTS "+quote(s.Name+"__"+name)); err != nil {
			return fmt.Errorf("index %s: %w", name, err)
		}
	}
	return nil
}

func (w *writer) strings(text string, args ...any) ([]string, error) {
	rows, err := w.conn.QueryContext(context.Background(), text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
