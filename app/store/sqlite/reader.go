package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/xingfuma/happycode/app/store"
)

// reader is one connection that reads, for one caller at a time. It goes to the
// driver itself: database/sql costs as much again as a look at one document.
type reader struct {
	conn    driver.Conn
	selects map[string]driver.StmtQueryContext
}

func newReader(c driver.Connector) (*reader, error) {
	conn, err := c.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return &reader{conn, map[string]driver.StmtQueryContext{}}, nil
}

func (x *reader) close() error {
	var errs []error
	for _, s := range x.selects {
		if c, ok := s.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(append(errs, x.conn.Close())...)
}

// prepared keeps the statement of a SELECT. There are as many texts as there
// are shapes of queries in the program.
func (x *reader) prepared(text string) (driver.StmtQueryContext, error) {
	if s := x.selects[text]; s != nil {
		return s, nil
	}
	made, err := x.conn.Prepare(text)
	if err != nil {
		return nil, err
	}
	s, ok := made.(driver.StmtQueryContext)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver has no queries with arguments"), made.Close())
	}
	x.selects[text] = s
	return s, nil
}

// query runs a SELECT and calls visit for each row, whose values stand only
// until it returns; visit may say that it has enough. A look takes
// microseconds, so it is not ended when the caller leaves.
func (r *Record) query(ctx context.Context, text string, args []any, visit func(row []driver.Value) (enough bool, err error)) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	x, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer func() { r.readers <- x }()
	s, err := x.prepared(text)
	if err != nil {
		return err
	}
	bound := make([]driver.NamedValue, len(args))
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
		bound[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	rows, err := s.QueryContext(context.Background(), bound)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if enough, err := visit(row); enough || err != nil {
			return err
		}
	}
}

// take waits for a reader.
func (r *Record) take(ctx context.Context) (*reader, error) {
	select {
	case x := <-r.readers:
		r.mu.RLock()
		defer r.mu.RUnlock()
		if r.closed {
			r.readers <- x // Close waits for it
			return nil, store.ErrClosed
		}
		return x, nil
	case <-r.done: // closed: there are no readers any more
		return nil, store.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
