package residents_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/sheets"
	"github.com/xingfuma/happycode/app/store"
)

const heading = "姓名,身份证号,电话,区划代码,人群类别,评分,户号,同意\n"

func line(n int) string {
	name, id := person(n)
	return fmt.Sprintf("%s,%s,1380000%04d,%s,低保户、残疾人,%d,户-%d,是\n", name, id, n%10000, village, n%1001, n/3)
}

func lines(n int) *strings.Builder {
	var b strings.Builder
	b.WriteString(heading)
	for i := range n {
		b.WriteString(line(i))
	}
	return &b
}

func (b *bench) imported(division, name string, file io.Reader) residents.ImportResult {
	b.t.Helper()
	result, err := b.Import(b.ctx(), "worker", division, file, name, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

func bad(t *testing.T, got []residents.BadRow, want ...residents.BadRow) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d bad rows, want %d: %+v", len(got), len(want), got)
	}
	for i, w := range want {
		if g := got[i]; g.Row != w.Row || g.Column != w.Column || !strings.Contains(g.ReasonZH, w.ReasonZH) || g.ReasonEN == "" {
			t.Errorf("bad row %d: %+v, want %+v", i, g, w)
		}
	}
}

func TestImportTenThousand(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var file strings.Builder
	file.WriteString(heading)
	for i := range 10_000 {
		switch row := line(i); i {
		case 17:
			file.WriteString(strings.Replace(row, idNumber(17), idNumber(17)[:17]+"?", 1))
		case 5000:
			file.WriteString(strings.Replace(row, "居民5000", "", 1))
		case 9999:
			file.WriteString(strings.Replace(row, village, "330503001001", 1))
		default:
			file.WriteString(row)
		}
	}
	wantBad := []residents.BadRow{{Row: 19, Column: "身份证号", ReasonZH: "校验码"}, {Row: 5002, Column: "姓名", ReasonZH: "不能为空"}, {Row: 10001, Column: "区划代码", ReasonZH: "管辖"}}
	var steps, last, total int
	result, err := b.Import(b.ctx(), "worker", wuxing, strings.NewReader(file.String()), "居民.csv", func(done, n int) {
		if done < last {
			t.Errorf("progress goes back from %d to %d", last, done)
		}
		steps, last, total = steps+1, done, n
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Taken != 9997 || result.Known != 0 || last != 10_000 || total != 10_000 || steps < 10 {
		t.Errorf("taken %d, known %d, progress %d/%d in %d steps", result.Taken, result.Known, last, total, steps)
	}
	bad(t, result.Bad, wantBad...)
	b.counts(3333, 9997, 9997)

	before := b.snapshot()
	again := b.imported(wuxing, "居民.csv", strings.NewReader(file.String()))
	if again.Taken != 0 || again.Known != 9997 {
		t.Errorf("again: taken %d, known %d", again.Taken, again.Known)
	}
	bad(t, again.Bad, wantBad...)
	if b.snapshot() != before {
		t.Error("doing it again changed something")
	}
	r, err := b.ByIDNumber(b.ctx(), idNumber(42))
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Open(b.ctx(), r)
	if err != nil || p.Name != "居民42" || p.Phone != "13800000042" || r.ScoreMilli != 42 || len(r.Groups) != 2 || !r.Consent.Allows(residents.ConsentMatching) || r.PINHash != "" {
		t.Errorf("%+v, %+v, %v", p, r, err)
	}
	_, members, err := b.Household(b.ctx(), r.Household)
	if err != nil || len(members) != 3 {
		t.Errorf("household of %d, %v; want 3", len(members), err)
	}
}

// snapshot is every id and version of the record.
func (b *bench) snapshot() string {
	b.t.Helper()
	var s strings.Builder
	for _, collection := range []string{"residents", "households", "codes"} {
		after := ""
		for {
			page, next, err := b.record.Find(b.ctx(), collection, store.Query{After: after, Limit: store.MaxPage}, func() store.Document { return &bare{} })
			if err != nil {
				b.t.Fatal(err)
			}
			for _, d := range page {
				fmt.Fprintln(&s, collection, d.Key(), d.Version())
			}
			if after = next; next == "" {
				break
			}
		}
	}
	return s.String()
}

func TestImportAsExcelWritesIt(t *testing.T) {
	t.Parallel()
	text := lines(20).String()
	gb, err := simplifiedchinese.GB18030.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string]string{
		"UTF-8":           text,
		"UTF-8 with mark": "\ufeff" + text,
		"GB18030":         gb,
		"Windows lines":   strings.ReplaceAll(text, "\n", "\r\n"),
		"semicolons":      strings.ReplaceAll(text, ",", ";"),
		"tabs":            strings.ReplaceAll(text, ",", "\t"),
		"blank rows":      strings.ReplaceAll(text, "\n", "\n,,,,,,,\n"),
		"no last newline": strings.TrimSuffix(text, "\n"),
	} {
		b := newBench(t)
		result := b.imported(wuxing, "居民.CSV", strings.NewReader(content))
		if result.Taken != 20 || len(result.Bad) != 0 {
			t.Errorf("%s: %+v", what, result)
			continue
		}
		r, err := b.ByIDNumber(b.ctx(), idNumber(3))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := b.Open(b.ctx(), r); err != nil || p.Name != "居民3" {
			t.Errorf("%s: name %q, %v", what, p.Name, err)
		}
	}
}

func workbook(t testing.TB, rows [][]any) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	for i, row := range rows {
		cell, _ := excelize.CoordinatesToCellName(1, i+1)
		if err := f.SetSheetRow("Sheet1", cell, &row); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := f.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestImportXLSX(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := workbook(t, [][]any{
		{"Name *", "ID number", "电话（手机）", "PIN", "Groups", "Consent"},
		{"居民0", idNumber(0), 13800000000, "246810", "Elderly; 失业人员", "matching"},
		{"居民1", 330502195001010000, 13800000001, "", "", ""}, // a figure: Excel keeps 15 digits
		{},
		{"居民2", "'" + idNumber(2), "+86 138-0000-0002", nil, "无", "否"},
		{"居民3", `="` + idNumber(3) + `"`, "", "", "富豪", ""},
		{"=1+1", idNumber(4)},
		{"居民0", idNumber(0)},
		{"居民5", "3.30502E+17"},
	})
	result := b.imported(village, "residents.xlsx", bytes.NewReader(file))
	if result.Taken != 2 || result.Known != 1 {
		t.Errorf("%+v", result)
	}
	bad(t, result.Bad, residents.BadRow{Row: 3, Column: "ID number"}, residents.BadRow{Row: 6, Column: "Groups", ReasonZH: "类别"},
		residents.BadRow{Row: 7, Column: "Name *", ReasonZH: "="}, residents.BadRow{Row: 9, Column: "ID number", ReasonZH: "文本"})
	r, err := b.ByIDNumber(b.ctx(), idNumber(0))
	if err != nil {
		t.Fatal(err)
	}
	if r.Division != village || fmt.Sprint(r.Groups) != "[elderly jobless]" || !r.Consent.Allows(residents.ConsentMatching) || r.Consent.Allows(residents.ConsentHandover) {
		t.Errorf("%+v", r)
	}
	if err := b.CheckPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Errorf("PIN: %v", err)
	}
	if p, _ := b.Open(b.ctx(), r); p.Phone != "13800000000" {
		t.Errorf("phone %s", p.Phone)
	}
	if r, err = b.ByIDNumber(b.ctx(), idNumber(2)); err != nil {
		t.Fatal(err)
	}
	if p, _ := b.Open(b.ctx(), r); p.Phone != "13800000002" || len(r.Groups) != 0 {
		t.Errorf("phone %s, groups %v", p.Phone, r.Groups)
	}
}

func TestImportTwiceInTheFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	name, id := person(1)
	// The first row of the three cannot be taken; the second one is.
	file := "姓名,身份证号,户号\n" +
		name + "," + id + ",h" + strings.Repeat("0", 32) + "\n" +
		name + "," + id + ",户-1\n" +
		name + "," + id + ",户-1\n"
	result := b.imported(village, "", strings.NewReader(file))
	if result.Taken != 1 || result.Known != 1 {
		t.Errorf("%+v", result)
	}
	bad(t, result.Bad, residents.BadRow{Row: 2, Column: "户号", ReasonZH: "没有这个家庭"})
	b.counts(1, 1, 1)
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for what, c := range map[string]struct {
		division, name, content string
		want                    error
	}{
		"no division":         {"", "a.csv", heading, regions.ErrDivision},
		"empty":               {village, "a.csv", "", sheets.ErrFile},
		"blank":               {village, "a.csv", "\n\n,,\n", sheets.ErrFile},
		"no ID number column": {village, "a.csv", "姓名,电话\n张三,1\n", sheets.ErrFile},
		"no heading":          {village, "a.csv", line(1), sheets.ErrFile},
		"another kind":        {village, "a.pdf", heading, sheets.ErrFile},
		"old Excel":           {village, "a.xls", "\xd0\xcf\x11\xe0", sheets.ErrFile},
		"binary":              {village, "a.csv", "\x00\x01\x02\xff", sheets.ErrFile},
		"broken XLSX":         {village, "a.xlsx", "PK\x03\x04....", sheets.ErrFile},
	} {
		if _, err := b.Import(b.ctx(), "worker", c.division, strings.NewReader(c.content), c.name, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", what, err, c.want)
		}
	}
	if result := b.imported(village, "a.csv", strings.NewReader(heading)); result.Taken != 0 || result.Bad == nil {
		t.Errorf("heading only: %+v", result)
	}
	if result := b.imported(huzhou, "a.csv", strings.NewReader("姓名,身份证号\n居民1,"+idNumber(1)+"\n")); result.Taken != 0 || len(result.Bad) != 1 {
		t.Errorf("no division in the row and a city for default: %+v", result)
	}
}

func TestImportAfterACrash(t *testing.T) {
	t.Parallel()
	text := lines(540).String()
	for writes := range 6 { // three for each of two chunks
		for _, after := range []bool{false, true} {
			b := newBench(t)
			f := &faulty{Record: b.record, after: after}
			f.left.Store(int64(writes))
			first, err := b.over(f).Import(b.ctx(), "worker", wuxing, strings.NewReader(text), "", nil)
			if !errors.Is(err, errBroken) {
				t.Fatalf("%d writes: %v", writes, err)
			}
			if want := writes / 3 * 500; first.Taken != want {
				t.Errorf("%d writes: %d taken before it broke, want %d", writes, first.Taken, want)
			}
			b.clock.add(time.Minute)
			again := b.imported(wuxing, "", strings.NewReader(text))
			if again.Taken+again.Known != 540 || len(again.Bad) != 0 {
				t.Errorf("%d writes: %+v", writes, again)
			}
			b.counts(180, 540, 540)
		}
	}
}

func TestImportStopsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(b.ctx())
	result, err := b.Import(ctx, "worker", wuxing, strings.NewReader(lines(1200).String()), "", func(done, _ int) {
		if done > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || result.Taken != 500 {
		t.Errorf("%d taken, %v", result.Taken, err)
	}
}

func FuzzImportCSV(f *testing.F) {
	f.Add([]byte(heading + line(1)))
	f.Add([]byte("姓名,身份证号\n\"居民\n1," + idNumber(1)))
	gb, _ := simplifiedchinese.GB18030.NewEncoder().String(heading + line(2))
	f.Add([]byte(gb))
	b := newBench(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		result, err := b.Import(b.ctx(), "worker", wuxing, bytes.NewReader(content), "", nil)
		if err != nil {
			if !errors.Is(err, sheets.ErrFile) && !errors.Is(err, sheets.ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		again, err := b.Import(b.ctx(), "worker", wuxing, bytes.NewReader(content), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if again.Taken != 0 || again.Known != result.Taken+result.Known || len(again.Bad) != len(result.Bad) {
			t.Fatalf("first %+v, again %+v", result, again)
		}
	})
}

func BenchmarkImport10000(b *testing.B) {
	text := lines(10_000).String()
	for b.Loop() {
		b.StopTimer()
		x := newBench(b)
		b.StartTimer()
		if result := x.imported(wuxing, "", strings.NewReader(text)); result.Taken != 10_000 {
			b.Fatal(result)
		}
	}
}

// A column that is not recognised must not put everybody at the county.
func TestImportWantsAVillage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	row := func(i int) string { return fmt.Sprintf("居民%d,%s,%s\n", i, idNumber(i), village) }
	result := b.imported(wuxing, "居民.csv", strings.NewReader("姓名,身份证号,哪个村\n"+row(1)+row(2)))
	bad(t, result.Bad,
		residents.BadRow{Row: 2, Column: "区划代码", ReasonZH: "村（社区）"},
		residents.BadRow{Row: 3, Column: "区划代码", ReasonZH: "村（社区）"})
	if result.Taken != 0 {
		t.Errorf("%d people were put at a county", result.Taken)
	}
	if result := b.imported(wuxing, "居民.csv", strings.NewReader("姓名,身份证号,区划\n"+row(1)+row(2))); result.Taken != 2 {
		t.Errorf("taken %d of 2, bad %v", result.Taken, result.Bad)
	}
}
