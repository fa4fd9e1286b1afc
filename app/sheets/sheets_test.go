package sheets_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/unicode"

	"github.com/xingfuma/happycode/app/sheets"
)

func read(content []byte, l sheets.Limits) ([]sheets.Row, error) {
	return sheets.Read(context.Background(), bytes.NewReader(content), "", l)
}

func rowsOf(t *testing.T, content string) []sheets.Row {
	t.Helper()
	rows, err := read([]byte(content), sheets.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestRowNumbersAreThoseOfTheSpreadsheet(t *testing.T) {
	t.Parallel()
	rows := rowsOf(t, "a,b\n\n1,2\n,,\n\"two\nlines\",\"three\n\nlines\"\n5,6,,\n")
	want := []sheets.Row{{Number: 1, Cells: []string{"a", "b"}}, {Number: 3, Cells: []string{"1", "2"}}, {Number: 5, Cells: []string{"two\nlines", "three\n\nlines"}}, {Number: 6, Cells: []string{"5", "6"}}}
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", rows, want)
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("姓名\t电话\n")
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string]string{
		"UTF-16 as Excel's Unicode text": utf16, "UTF-8": "姓名,电话", "GB18030": "\xd0\xd5\xc3\xfb,\xb5\xe7\xbb\xb0",
	} {
		if rows := rowsOf(t, content); len(rows) != 1 || fmt.Sprint(rows[0].Cells) != "[姓名 电话]" {
			t.Errorf("%s: %v", what, rows)
		}
	}
	for what, content := range map[string]string{"NUL": "a\x00b", "neither": "\xff\xff\xff", "half a character": "\xd0", "replacement": "a\ufffdb"} {
		if _, err := read([]byte(content), sheets.DefaultLimits()); !errors.Is(err, sheets.ErrFile) {
			t.Errorf("%s: got %v, want ErrFile", what, err)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	l := sheets.Limits{Bytes: 100, UnpackedBytes: 100, Rows: 3, Columns: 4}
	for what, c := range map[string]struct {
		content string
		ok      bool
	}{
		"as many bytes":   {strings.Repeat("x", 100), true},
		"one byte more":   {strings.Repeat("x", 101), false},
		"as many rows":    {"1\n2\n\n\n3\n\n", true},
		"one row more":    {"1\n2\n3\n4\n", false},
		"as many columns": {"1,2,3,4,,,,\n", true},
		"one column more": {"1,2,3,4,5\n", false},
	} {
		if _, err := read([]byte(c.content), l); c.ok && err != nil || !c.ok && !errors.Is(err, sheets.ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestHeading(t *testing.T) {
	t.Parallel()
	columns := map[string][]string{"name": {"姓名", "name"}, "phone": {"电话"}, "pin": {"pin"}}
	h, err := sheets.NewHeading(rowsOf(t, " 姓 名 （必填）,NAME,* 电话\n张三,李四\n"), columns, "name")
	if err != nil {
		t.Fatal(err)
	}
	row := sheets.Row{Number: 2, Cells: []string{"张三", "李四"}}
	if got := h.Cell(row, "name"); got != "张三" {
		t.Errorf("name %q", got)
	}
	if h.Cell(row, "phone") != "" || !h.Has("phone") || h.Has("pin") || h.Has("other") || h.Cell(row, "pin") != "" {
		t.Error("columns that are short or missing")
	}
	if got := h.Bad(row, "name", "错", "wrong"); got.Row != 2 || got.Column != "姓 名 （必填）" {
		t.Errorf("%+v", got)
	}
	if got := h.Bad(row, "pin", "错", "wrong"); got.Column != "" {
		t.Errorf("%+v", got)
	}
	var missing *sheets.MissingColumnError
	if _, err := sheets.NewHeading(rowsOf(t, "电话\n"), columns, "name"); !errors.As(err, &missing) || missing.Field != "name" || !errors.Is(err, sheets.ErrFile) {
		t.Errorf("got %v", err)
	}
	if _, err := sheets.NewHeading(nil, columns); !errors.Is(err, sheets.ErrFile) {
		t.Errorf("no rows: %v", err)
	}
}

func TestFormula(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"=1", "+1", "-1", "@a", "\ta", "\ra", "\x00a", "＝1", "＋1", "－1", "＠a"} {
		if !sheets.Formula(s) {
			t.Errorf("%q is not taken for a formula", s)
		}
	}
	for _, s := range []string{"", "张三", "a=1", "1-2"} {
		if sheets.Formula(s) {
			t.Errorf("%q is taken for a formula", s)
		}
	}
}

// book is an XLSX whose parts can be replaced.
func book(t testing.TB, replace map[string]string) []byte {
	t.Helper()
	return pack(t, parts(t), replace)
}

// parts are those of a plain workbook.
func parts(t testing.TB) map[string]string {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	if err := f.SetSheetRow("Sheet1", "A1", &[]any{"姓名", "电话"}); err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if err := f.Write(&plain); err != nil {
		t.Fatal(err)
	}
	in, err := zip.NewReader(bytes.NewReader(plain.Bytes()), int64(plain.Len()))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, part := range in.File {
		from, err := part.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		all[part.Name] = string(content)
	}
	return all
}

func pack(t testing.TB, parts, replace map[string]string) []byte {
	t.Helper()
	all := maps.Clone(parts)
	maps.Copy(all, replace)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		to, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(to, all[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const sheetName = "xl/worksheets/sheet1.xml"

func sheet(rows string) string {
	return `<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` + rows + `</sheetData></worksheet>`
}

func TestXLSX(t *testing.T) {
	t.Parallel()
	rows, err := read(book(t, map[string]string{sheetName: sheet(
		`<row r="1"><c r="A1" t="inlineStr"><is><t>姓名</t></is></c></row>` +
			`<row r="1000000"><c r="B1000000"><v>13800000000</v></c><c r="C1000000"><f>1+1</f><v>2</v></c></row>`)}), sheets.DefaultLimits())
	want := []sheets.Row{{Number: 1, Cells: []string{"姓名"}}, {Number: 1_000_000, Cells: []string{"", "13800000000", "2"}}}
	if err != nil || fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("got %v, %v; want %v", rows, err, want)
	}
}

// lie is a zip whose one part says another size than it has.
func lie(t testing.TB, name string, says uint64, chunk []byte, times int) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	sum := crc32.NewIEEE()
	for range times {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
		sum.Write(chunk)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	part, err := z.CreateRaw(&zip.FileHeader{
		Name: name, Method: zip.Deflate, CRC32: sum.Sum32(), CompressedSize64: uint64(packed.Len()), UncompressedSize64: says,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(packed.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSpreadsheetBomb is not parallel: it measures memory.
func TestSpreadsheetBomb(t *testing.T) {
	zeros := make([]byte, 1<<20)
	cell := strings.Repeat(`<row><c r="XFD1" t="inlineStr"><is><t>x</t></is></c></row>`, 20_000)
	for what, c := range map[string]struct {
		content []byte
		want    error
	}{
		"says 10 GB":                     {lie(t, sheetName, 10<<30, zeros, 8), sheets.ErrTooLarge},
		"says 1 kB, unpacks to 200 MB":   {lie(t, sheetName, 1<<10, zeros, 200), sheets.ErrFile},
		"says 16 EB":                     {lie(t, sheetName, 1<<64-1, zeros, 1), sheets.ErrTooLarge},
		"styles of 5 MB":                 {book(t, map[string]string{"xl/styles.xml": strings.Repeat("<xf/>", 1<<20)}), sheets.ErrTooLarge},
		"many wide rows":                 {book(t, map[string]string{sheetName: sheet(cell)}), sheets.ErrTooLarge},
		"a row beyond the last":          {book(t, map[string]string{sheetName: sheet(`<row r="2000000"><c r="A2000000"><v>1</v></c></row>`)}), sheets.ErrFile},
		"too many parts":                 {manyParts(t), sheets.ErrTooLarge},
		"shared strings say 30 MB":       {lie(t, "xl/sharedStrings.xml", 30<<20, zeros, 1), sheets.ErrTooLarge},
		"shared strings with capitals":   {lie(t, `XL\SharedStrings.xml`, 30<<20, zeros, 1), sheets.ErrTooLarge},
		"a zip that is not a workbook":   {lie(t, "a.txt", 1<<20, zeros, 1), sheets.ErrFile},
		"the beginning of a zip, no end": {book(t, nil)[:1000], sheets.ErrFile},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, err := read(c.content, sheets.DefaultLimits())
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", what, err, c.want)
		}
		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 128 {
			t.Errorf("%s: %d MB allocated", what, used)
		}
	}
}

func manyParts(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := range 3000 {
		if _, err := w.Create(fmt.Sprint("xl/media/", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("姓名,电话\n\"张\n三\",1\n"))
	f.Add([]byte("\xd0\xd5\xc3\xfb,\xb5\xe7\xbb\xb0"))
	f.Add([]byte("\xff\xfea\x00\n\x00"))
	f.Fuzz(func(t *testing.T, content []byte) { check(t, content) })
}

func FuzzReadXLSX(f *testing.F) {
	f.Add(sheet(`<row r="1"><c r="A1" t="s"><v>0</v></c></row>`), "")
	f.Add(sheet(`<row><c r="A0"/><c t="s"><v>9</v></c></row>`), `<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>x</t></si></sst>`)
	plain := parts(f)
	f.Fuzz(func(t *testing.T, sheet, shared string) {
		replace := map[string]string{sheetName: sheet}
		if shared != "" {
			replace["xl/sharedStrings.xml"] = shared
		}
		check(t, pack(t, plain, replace))
	})
}

func check(t *testing.T, content []byte) {
	t.Helper()
	l := sheets.Limits{Bytes: 1 << 16, UnpackedBytes: 1 << 20, Rows: 100, Columns: 10}
	rows, err := read(content, l)
	if err != nil {
		if !errors.Is(err, sheets.ErrFile) && !errors.Is(err, sheets.ErrTooLarge) {
			t.Fatal(err)
		}
		return
	}
	last := 0
	for _, r := range rows {
		if r.Number <= last || len(r.Cells) == 0 || len(r.Cells) > l.Columns || strings.TrimSpace(r.Cells[len(r.Cells)-1]) == "" {
			t.Fatalf("row %+v after row %d", r, last)
		}
		for _, c := range r.Cells {
			if !utf8.ValidString(c) {
				t.Fatalf("row %d holds %q", r.Number, c)
			}
		}
		last = r.Number
	}
	if len(rows) > l.Rows {
		t.Fatalf("%d rows", len(rows))
	}
}
