package papers

import (
	"bytes"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
)

func statement(rows int) Paper {
	t := Table{Title: "捐赠", Columns: []Column{{"收据号", Text, 3}, {"金额", Money, 2}, {"次数", Number, 1}}, Total: []any{"合计", int64(123456789), int64(7)}}
	for range rows {
		t.Rows = append(t.Rows, []any{"=HYPERLINK(\"http://x\")", int64(-150), int64(1)})
	}
	return Paper{
		Title: "暖冬基金：月报", Subtitle: "湖州市慈善总会", Facts: []Fact{{"期初余额", int64(5)}, {"＝交付", "12"}}, Tables: []Table{t, {Title: "捐赠", Columns: t.Columns, Empty: "本月没有。"}},
		Foot: "由幸福码生成", PageOf: func(n, of int) string { return whole(int64(n)) + "/" + whole(int64(of)) },
	}
}

// Every cell that a spreadsheet program could take for a formula is escaped, and
// amounts are numbers with which one can reckon.
func TestSpreadsheet(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	if err := statement(2).XLSX(&file); err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	sheets := book.GetSheetList()
	if len(sheets) != 3 {
		t.Fatalf("sheets %q", sheets)
	}
	for _, sheet := range sheets {
		rows, err := book.GetRows(sheet)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if strings.ContainsAny(cell[:min(1, len(cell))], "=+@") || strings.HasPrefix(cell, "＝") {
					t.Errorf("%s: %q", sheet, cell)
				}
			}
		}
	}
	for cell, want := range map[string]string{"A2": `'=HYPERLINK("http://x")`, "B2": "-1.5", "B4": "1234567.89", "C4": "7"} {
		if got, err := book.GetCellValue(sheets[1], cell, excelize.Options{RawCellValue: true}); err != nil || got != want {
			t.Errorf("%s is %q, want %q", cell, got, want)
		}
	}
}

func TestYuan(t *testing.T) {
	t.Parallel()
	for fen, want := range map[int64]string{0: "0.00", 5: "0.05", -150: "-1.50", 123456789: "1,234,567.89", -100000: "-1,000.00", 99999: "999.99"} {
		if got := yuan(fen); got != want {
			t.Errorf("%d fen are %q, want %q", fen, got, want)
		}
	}
}
