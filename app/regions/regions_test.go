package regions_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/sheets"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
)

func record(t testing.TB) store.Record {
	t.Helper()
	r, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Ensure(context.Background(), regions.Schemas()...); err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	zhejiang = "330000000000"
	huzhou   = "330500000000"
	wuxing   = "330502000000"
	yuehe    = "330502001000"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, ancestor string
		want           bool
	}{
		{wuxing, wuxing, true}, {yuehe, wuxing, true}, {"330502001001", yuehe, true}, {"330502001001", zhejiang, true},
		{wuxing, yuehe, false}, {"330503001001", wuxing, false}, {"330502101001", yuehe, false}, {"320502001001", zhejiang, false},
		{huzhou, wuxing, false}, {zhejiang, huzhou, false},
		{"330502100000", "330502100000", true}, {"330502101000", "330502100000", false}, {"330502100100", "330502100000", true},
		{"441900003001", "441900003000", true}, {"441900004001", "441900003000", false}, {"441900003001", "441900000000", true},
		{"", zhejiang, false}, {yuehe, "", false}, {yuehe, "33", false}, {"33050200100x", wuxing, false}, {yuehe + "0", wuxing, false},
		{yuehe, "000000000000", false}, {"000000000000", "000000000000", false},
	} {
		if got := regions.Within(c.code, c.ancestor); got != c.want {
			t.Errorf("Within(%q, %q): got %v, want %v", c.code, c.ancestor, got, c.want)
		}
	}
}

func TestCountyAndLevel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, county string
		level        regions.Level
	}{
		{"330502001001", wuxing, regions.Village}, {yuehe, wuxing, regions.Town}, {wuxing, wuxing, regions.CountyLevel},
		{huzhou, "", regions.City}, {zhejiang, "", regions.Province}, {"441900003000", "", regions.Town}, {"x", "", ""}, {"", "", ""},
	} {
		if got := regions.County(c.code); got != c.county {
			t.Errorf("County(%q): got %q, want %q", c.code, got, c.county)
		}
		if got := regions.LevelOf(c.code); got != c.level {
			t.Errorf("LevelOf(%q): got %q, want %q", c.code, got, c.level)
		}
	}
}

// Range and Within must say the same: one filters the index, the other guards.
func TestRangeSaysWhatWithinSays(t *testing.T) {
	t.Parallel()
	codes := []string{
		zhejiang, huzhou, wuxing, yuehe, "330502001001", "330502001999", "330502002000", "330503000000", "330599999999", "330600000000",
		"990000000000", "999999999999", "340000000000", "320000000000", "339999999999", "100000000000", "441900003000", "330509000000", "330510000000",
	}
	for _, ancestor := range codes {
		from, to, err := regions.Range(ancestor)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codes {
			if got, want := code >= from && code < to, regions.Within(code, ancestor); got != want {
				t.Errorf("%s in [%s, %s): %v, Within: %v", code, from, to, got, want)
			}
		}
	}
	if _, _, err := regions.Range("33"); !errors.Is(err, regions.ErrDivision) {
		t.Errorf("got %v, want ErrDivision", err)
	}
}

func TestHuzhou(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := regions.New(record(t))
	var last, total int
	result, err := s.Import(ctx, bytes.NewReader(regions.Huzhou()), func(d, n int) { last, total = d, n })
	if err != nil {
		t.Fatal(err)
	}
	if result.Taken != 1380 || result.Known != 0 || result.Changed != 0 || len(result.Bad) != 0 || last != 1380 || total != 1380 {
		t.Fatalf("%+v, progress %d/%d", result, last, total)
	}
	tree, err := s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	count := map[regions.Level]int{}
	var walk func(string)
	walk = func(code string) {
		for _, d := range tree.Children(code) {
			count[d.Level]++
			walk(d.ID)
		}
	}
	walk("")
	for level, want := range map[regions.Level]int{regions.Province: 1, regions.City: 1, regions.CountyLevel: 5, regions.Town: 72, regions.Village: 1301} {
		if count[level] != want {
			t.Errorf("%s: %d, want %d", level, count[level], want)
		}
	}
	if got, want := tree.Counties(), []string{wuxing, "330503000000", "330521000000", "330522000000", "330523000000"}; !slices.Equal(got, want) {
		t.Errorf("counties: %v", got)
	}
	village := tree.Children(yuehe)[0]
	if got, want := tree.Name(village.ID), "吴兴区·月河街道·"+village.Name; got != want {
		t.Errorf("Name: got %s, want %s", got, want)
	}
	if got := tree.Name("999999999999"); got != "999999999999" {
		t.Errorf("unknown: %s", got)
	}
	if got := tree.Name(huzhou); got != "湖州市" {
		t.Errorf("city: %s", got)
	}
	if path := tree.Path(village.ID); len(path) != 3 || path[0].ID != wuxing || path[1].ID != yuehe || path[2].ID != village.ID {
		t.Errorf("Path: %v", path)
	}

	again, err := s.Import(ctx, bytes.NewReader(regions.Huzhou()), nil)
	if err != nil || again.Taken != 0 || again.Changed != 0 || again.Known != 1380 || len(again.Bad) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	renamed, err := s.Import(ctx, strings.NewReader("code,name,level,parent\n330502001000,月河新街道,town,330502000000\n"), nil)
	if err != nil || renamed.Changed != 1 || renamed.Taken+renamed.Known != 0 {
		t.Errorf("renamed: %+v, %v", renamed, err)
	}
	if tree, err = s.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if d, _ := tree.Get(yuehe); d.Name != "月河新街道" {
		t.Errorf("name is %s", d.Name)
	}
}

func TestImportNamesBadRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := regions.New(record(t))
	// Children stand before parents; a bad parent takes its children with it.
	const file = `名称,区划代码,级别,上级代码
月河街道,330502001000,town,330502000000
浙江省,330000000000,province,
湖州市,330500000000,city,330000000000

吴兴区,330502000000,county,330500000000
短码,3305,town,330502000000
,330502002000,town,330502000000
错级,330502003000,village,330502000000
错父,330502004000,town,330503000000
=HYPERLINK(1),330502005000,town,330502000000
无父,330521001000,town,330521000000
无祖,330521001001,village,330521001000
自己,330502006000,town,330502006000
月河街道,330502001000,town,330502000000
`
	result, err := s.Import(ctx, strings.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Taken != 4 || result.Known != 1 {
		t.Errorf("%+v", result)
	}
	want := []struct {
		row    int
		column string
	}{{7, "区划代码"}, {8, "名称"}, {9, "级别"}, {10, "上级代码"}, {11, "名称"}, {12, "上级代码"}, {13, "上级代码"}, {14, "上级代码"}}
	if len(result.Bad) != len(want) {
		t.Fatalf("%d bad rows, want %d: %+v", len(result.Bad), len(want), result.Bad)
	}
	for i, w := range want {
		if b := result.Bad[i]; b.Row != w.row || b.Column != w.column || b.ReasonZH == "" || b.ReasonEN == "" {
			t.Errorf("bad row %d: %+v, want row %d column %s", i, b, w.row, w.column)
		}
	}
	if _, err := s.Load(ctx); err != nil {
		t.Errorf("the tree does not load: %v", err)
	}
	for what, file := range map[string]string{"empty": "", "no parent column": "code,name,level\n1,2,3\n", "binary": "\x00\x01"} {
		if _, err := s.Import(ctx, strings.NewReader(file), nil); !errors.Is(err, sheets.ErrFile) {
			t.Errorf("%s: got %v, want ErrFile", what, err)
		}
	}
}

func TestNewTreeRefuses(t *testing.T) {
	t.Parallel()
	d := func(code, parent string, level regions.Level) regions.Division {
		return regions.Division{Meta: store.Meta{ID: code}, Name: "名", Level: level, Parent: parent}
	}
	for what, ds := range map[string][]regions.Division{
		"malformed":      {d("33", "", regions.Province)},
		"twice":          {d(zhejiang, "", regions.Province), d(zhejiang, "", regions.Province)},
		"wrong level":    {d(zhejiang, "", regions.City)},
		"missing parent": {d(huzhou, zhejiang, regions.City)},
		"wrong parent":   {d(zhejiang, "", regions.Province), d("320500000000", zhejiang, regions.City)},
		"own parent":     {d(zhejiang, zhejiang, regions.Province)},
		"orphan":         {d(huzhou, "", regions.City)},
	} {
		if _, err := regions.NewTree(ds); !errors.Is(err, regions.ErrDivision) {
			t.Errorf("%s: got %v, want ErrDivision", what, err)
		}
	}
	tree, err := regions.NewTree(nil)
	if err != nil || tree.Len() != 0 || len(tree.Counties()) != 0 {
		t.Errorf("empty: %v", err)
	}
}
