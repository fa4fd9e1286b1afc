// Package papers writes what offices keep and pass on, statements above all, as
// a spreadsheet and as PDF. It knows nothing of what they say: texts come in the
// language of whoever asks.
package papers

import (
	"fmt"
	"io"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/xingfuma/happycode/app/sheets"
)

// Kind of a column.
type Kind int

// The kinds: texts stand to the left, numbers and money to the right.
const (
	Text   Kind = iota
	Number      // whole, int64
	Money       // fen, int64; shown in yuan
)

// Column of a table.
type Column struct {
	Head  string
	Kind  Kind
	Width float64 // share of the table's width, relative to the others; above 0
}

// Table has rows of strings and int64s, one cell for each column.
type Table struct {
	Title   string
	Columns []Column
	Rows    [][]any
	Total   []any // nil: none
	Empty   string
}

// Fact is a line of the head: what, and how much or which.
type Fact struct {
	Name  string
	Value any // string, or int64 fen
}

// Paper is a statement.
type Paper struct {
	Title    string
	Subtitle string
	Facts    []Fact
	Tables   []Table
	Foot     string // on every page
	// PageOf says "page n of m".
	PageOf func(n, of int) string
}

// yuan writes fen as yuan, with commas: "1,234.50".
func yuan(fen int64) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	return fmt.Sprintf("%s%s.%02d", sign, whole(fen/100), fen%100)
}

func whole(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// written is a cell as people read it.
func written(v any, k Kind) string {
	switch v := v.(type) {
	case int64:
		if k == Money {
			return yuan(v)
		}
		return whole(v)
	case string:
		return v
	}
	return ""
}

// safe is a text that no spreadsheet program takes for a formula.
func safe(s string) string {
	if sheets.Formula(s) {
		return "'" + s
	}
	return s
}

// cellOf is a cell of a spreadsheet.
func cellOf(v any, k Kind, styles map[Kind]int) any {
	switch v := v.(type) {
	case int64:
		if k == Money {
			return excelize.Cell{StyleID: styles[Money], Value: float64(v) / 100}
		}
		return excelize.Cell{StyleID: styles[Number], Value: v}
	case string:
		return excelize.Cell{StyleID: styles[Text], Value: safe(v)}
	}
	return nil
}

// XLSX writes a spreadsheet: the head on the first sheet, each table on one of
// its own, row after row, so that a long one takes little memory.
func (p Paper) XLSX(w io.Writer) error {
	f := excelize.NewFile()
	defer f.Close()
	styles, bold, err := stylesOf(f)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	head := sheetName(p.Title, names)
	if err := f.SetSheetName("Sheet1", head); err != nil {
		return err
	}
	rows := [][]any{{excelize.Cell{StyleID: bold, Value: safe(p.Title)}}, {safe(p.Subtitle)}, {}}
	for _, fact := range p.Facts {
		rows = append(rows, []any{safe(fact.Name), cellOf(fact.Value, Money, styles)})
	}
	rows = append(rows, []any{}, []any{safe(p.Foot)})
	if err := stream(f, head, []float64{36, 24}, rows); err != nil {
		return err
	}
	for _, t := range p.Tables {
		name := sheetName(t.Title, names)
		if _, err := f.NewSheet(name); err != nil {
			return err
		}
		rows, widths := [][]any{{}}, []float64{}
		for _, c := range t.Columns {
			rows[0] = append(rows[0], excelize.Cell{StyleID: bold, Value: safe(c.Head)})
			widths = append(widths, 8+4*c.Width)
		}
		all := t.Rows
		if t.Total != nil {
			all = append(all[:len(all):len(all)], t.Total)
		}
		for _, r := range all {
			row := make([]any, len(r))
			for i, v := range r {
				row[i] = cellOf(v, t.Columns[i].Kind, styles)
			}
			rows = append(rows, row)
		}
		if err := stream(f, name, widths, rows); err != nil {
			return err
		}
	}
	return f.Write(w)
}

func stylesOf(f *excelize.File) (styles map[Kind]int, bold int, err error) {
	money, number := "#,##0.00", "#,##0"
	styles = map[Kind]int{}
	for k, s := range map[Kind]*excelize.Style{
		Money: {CustomNumFmt: &money}, Number: {CustomNumFmt: &number}, Text: {NumFmt: 49},
	} {
		if styles[k], err = f.NewStyle(s); err != nil {
			return nil, 0, err
		}
	}
	bold, err = f.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	return styles, bold, err
}

func stream(f *excelize.File, sheet string, widths []float64, rows [][]any) error {
	w, err := f.NewStreamWriter(sheet)
	if err != nil {
		return err
	}
	for i, width := range widths {
		if err := w.SetColWidth(i+1, i+1, width); err != nil {
			return err
		}
	}
	for i, row := range rows {
		cell, err := excelize.CoordinatesToCellName(1, i+1)
		if err != nil {
			return err
		}
		if err := w.SetRow(cell, row); err != nil {
			return err
		}
	}
	return w.Flush()
}

// sheetName is a title as a sheet may be called: 31 characters, none of a few,
// and another than those before it.
func sheetName(title string, names map[string]bool) string {
	r := []rune(strings.Trim(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`:\/?*[]：`, r) {
			return ' '
		}
		return r
	}, title), " '"))
	name := string(r[:min(len(r), 26)])
	if name == "" || names[name] {
		name = fmt.Sprintf("%s %d", name, len(names)+1)
	}
	names[name] = true
	return name
}
