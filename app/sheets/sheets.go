// Package sheets reads the tables that offices send: CSV as Chinese and other
// Excels write it, and XLSX. It knows nothing of what the tables say.
package sheets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Errors that callers tell apart.
var (
	// ErrFile says that the file is not a table this package reads.
	ErrFile = errors.New("not a table that can be read; save it as .xlsx or .csv")
	// ErrTooLarge says that the file goes past one of its [Limits].
	ErrTooLarge = errors.New("the table is too large")
)

// BadRow names a row that was left out, for the person who sent the file. It
// never repeats what the cell says.
type BadRow struct {
	Row      int    `json:"row"`    // as the spreadsheet program counts, the heading included, from 1
	Column   string `json:"column"` // the heading as written in the file; "" for the whole row
	ReasonZH string `json:"reason_zh"`
	ReasonEN string `json:"reason_en"`
}

// Row is one row that is not blank.
type Row struct {
	Number int      // as the spreadsheet program counts, from 1
	Cells  []string // without surrounding blanks; shorter than the heading where the end is empty
}

// Cell returns the cell in a column, "" beyond the end.
func (r Row) Cell(column int) string {
	if column < 0 || column >= len(r.Cells) {
		return ""
	}
	return r.Cells[column]
}

// Limits bound what a file may cost to read.
type Limits struct {
	Bytes         int64 // of the file
	UnpackedBytes int64 // of all parts of an XLSX together
	Rows          int   // that are not blank, the heading included
	Columns       int
}

// DefaultLimits suit a county's residents: 100,000 rows.
func DefaultLimits() Limits {
	return Limits{Bytes: 32 << 20, UnpackedBytes: 96 << 20, Rows: 100_001, Columns: 256}
}

// Read reads the first sheet of a table, the heading as its first row. What
// kind of file it is is seen from its content; a name that says something else
// than .xlsx, .csv, .tsv or .txt is refused.
//
// Errors: [ErrFile], [ErrTooLarge], the context's, the reader's.
func Read(ctx context.Context, r io.Reader, name string, l Limits) ([]Row, error) {
	switch strings.ToLower(path.Ext(name)) {
	case "", ".xlsx", ".csv", ".tsv", ".txt":
	default:
		return nil, fmt.Errorf("this kind of file is not read: %w", ErrFile)
	}
	content, err := io.ReadAll(io.LimitReader(r, l.Bytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if int64(len(content)) > l.Bytes {
		return nil, fmt.Errorf("more than %d bytes: %w", l.Bytes, ErrTooLarge)
	}
	if bytes.HasPrefix(content, []byte("PK\x03\x04")) {
		return readXLSX(ctx, content, l)
	}
	return readCSV(ctx, content, l)
}

// table collects rows within limits.
type table struct {
	limits Limits
	rows   []Row
}

// add keeps a row unless it is blank.
func (t *table) add(number int, cells []string) error {
	end := 0
	for i, c := range cells {
		if strings.TrimSpace(c) != "" {
			end = i + 1
		}
	}
	if end == 0 {
		return nil
	}
	if end > t.limits.Columns {
		return fmt.Errorf("row %d has more than %d columns: %w", number, t.limits.Columns, ErrTooLarge)
	}
	if len(t.rows) == t.limits.Rows {
		return fmt.Errorf("more than %d rows: %w", t.limits.Rows, ErrTooLarge)
	}
	row := Row{Number: number, Cells: make([]string, end)}
	for i, c := range cells[:end] {
		row.Cells[i] = strings.TrimSpace(c)
	}
	t.rows = append(t.rows, row)
	return nil
}

// checkEvery is after how many rows the context is looked at.
const checkEvery = 1024
