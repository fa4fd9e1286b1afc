package regions

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/sheets"
	"github.com/xingfuma/happycode/app/store"
)

// BadRow names a row that was left out.
type BadRow = sheets.BadRow

// Result is what became of an import.
type Result struct {
	Taken   int      `json:"taken"`   // new
	Changed int      `json:"changed"` // known, with another name
	Known   int      `json:"known"`   // known and the same, or twice in the file
	Bad     []BadRow `json:"bad"`
}

const (
	importChunk = 500
	maxName     = 100 // characters
)

// importLimits let a whole country through: 700,000 divisions.
func importLimits() sheets.Limits {
	return sheets.Limits{Bytes: 128 << 20, UnpackedBytes: 128 << 20, Rows: 1_000_000, Columns: 64}
}

// columns are the headings understood, by field.
func columns() map[string][]string {
	return map[string][]string{
		"code":         {"code", "区划代码", "代码"},
		"name":         {"name", "名称"},
		"level":        {"level", "级别"},
		"parent":       {"parent", "上级代码", "上级"},
		"english_name": {"english_name", "英文名称"},
	}
}

// Import takes divisions from a CSV with the columns code, name, level and
// parent (and english_name if there is one), in any order of columns and rows.
// Bad rows, and those below them, are named and left out; the rest is taken.
// Doing it again changes nothing; a new name is taken over. progress may be nil.
//
// A division is written after the one it lies in, so that a crash leaves a
// tree with some leaves missing.
//
// Errors: [sheets.ErrFile], [sheets.ErrTooLarge], a [sheets.MissingColumnError] for a missing
// column; otherwise the record's, with what was taken so far.
func (s *Service) Import(ctx context.Context, csv io.Reader, progress func(done, total int)) (Result, error) {
	return s.ImportWithin(ctx, "", csv, progress)
}

// ImportWithin is Import for somebody who answers for one division: rows that
// would change anything outside of it are bad rows. "" is everywhere.
func (s *Service) ImportWithin(ctx context.Context, within string, csv io.Reader, progress func(done, total int)) (Result, error) {
	result := Result{Bad: []BadRow{}}
	rows, err := sheets.Read(ctx, csv, "", importLimits())
	if err != nil {
		return result, fmt.Errorf("import divisions: %w", err)
	}
	heading, err := sheets.NewHeading(rows, columns(), "code", "name", "level", "parent")
	if err != nil {
		return result, fmt.Errorf("import divisions: %w", err)
	}
	rows = rows[1:]
	if progress == nil {
		progress = func(int, int) {}
	}
	known := map[string]*Division{}
	if err := s.divisions.Each(ctx, store.Query{}, func(d *Division) error {
		known[d.ID] = d
		return nil
	}); err != nil {
		return result, err
	}

	type entry struct {
		division *Division
		row      int
	}
	var entries []entry
	inFile := map[string]bool{}
	for _, row := range rows {
		d := &Division{
			Meta: store.Meta{ID: heading.Cell(row, "code")}, Name: heading.Cell(row, "name"),
			Level: Level(heading.Cell(row, "level")), Parent: heading.Cell(row, "parent"),
			EnglishName: heading.Cell(row, "english_name"),
		}
		if field, zh, en := check(d); field != "" {
			result.Bad = append(result.Bad, heading.Bad(row, field, zh, en))
			continue
		}
		if inFile[d.ID] {
			result.Known++
			continue
		}
		inFile[d.ID] = true
		entries = append(entries, entry{d, row.Number})
	}
	// A code sorts after every code that it lies in.
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.division.ID, b.division.ID) })
	fresh, renamed := []*Division{}, []*Division{}
	for _, e := range entries {
		d := e.division
		if d.Parent != "" && known[d.Parent] == nil {
			result.Bad = append(result.Bad, heading.Bad(sheets.Row{Number: e.row}, "parent", "上级区划不存在", "the parent is not there"))
			continue
		}
		outside := within != "" && !Within(d.ID, within)
		switch old := known[d.ID]; {
		case old == nil && outside:
			result.Bad = append(result.Bad, outsideRow(heading, e.row))
			continue
		case old == nil:
			fresh = append(fresh, d)
		case old.Parent != d.Parent:
			result.Bad = append(result.Bad, heading.Bad(sheets.Row{Number: e.row}, "parent", "与已有的上级区划不同", "the parent is another than before"))
			continue
		case old.Name == d.Name && (old.EnglishName == d.EnglishName || !heading.Has("english_name")):
			result.Known++
			continue
		case outside:
			result.Bad = append(result.Bad, outsideRow(heading, e.row))
			continue
		default:
			if d.Meta = old.Meta; !heading.Has("english_name") {
				d.EnglishName = old.EnglishName
			}
			renamed = append(renamed, d)
		}
		known[d.ID] = d
	}
	slices.SortFunc(result.Bad, func(a, b BadRow) int { return cmp.Compare(a.Row, b.Row) })

	total := len(rows)
	done := total - len(fresh) - len(renamed)
	progress(done, total)
	for chunk := range slices.Chunk(fresh, importChunk) {
		duplicates, err := s.divisions.InsertAll(ctx, chunk)
		if err != nil {
			return result, err
		}
		result.Known += len(duplicates)
		result.Taken += len(chunk) - len(duplicates)
		done += len(chunk)
		progress(done, total)
	}
	for chunk := range slices.Chunk(renamed, importChunk) {
		errs, err := s.divisions.ReplaceAll(ctx, chunk)
		if err != nil {
			return result, err
		}
		for i, err := range errs {
			if err != nil {
				return result, fmt.Errorf("rename division %s: %w", chunk[i].ID, err)
			}
			result.Changed++
		}
		done += len(chunk)
		progress(done, total)
	}
	return result, nil
}

func outsideRow(heading sheets.Heading, row int) BadRow {
	return heading.Bad(sheets.Row{Number: row}, "code", "不在您的管辖范围内", "it is not within your responsibility")
}

// check names the first fault of a division by itself.
func check(d *Division) (field, zh, en string) {
	switch {
	case !Valid(d.ID):
		return "code", "区划代码应为 12 位数字", "a code has 12 digits"
	case d.Name == "":
		return "name", "名称不能为空", "the name is missing"
	case badName(d.Name):
		return "name", "名称过长、含有控制字符或以 = + - @ 开头", "the name is too long, has control characters or begins with = + - @"
	case badName(d.EnglishName):
		return "english_name", "英文名称过长、含有控制字符或以 = + - @ 开头", "the English name is too long, has control characters or begins with = + - @"
	case d.Level != LevelOf(d.ID):
		return "level", "级别与区划代码不符", "the level does not fit the code"
	case d.Parent != "" && !Valid(d.Parent):
		return "parent", "上级代码应为 12 位数字", "the parent's code has 12 digits"
	case !fits(d.ID, d.Parent):
		return "parent", "区划代码不在上级之内", "the code does not lie in the parent"
	}
	return "", "", ""
}

func badName(s string) bool {
	return utf8.RuneCountInString(s) > maxName || strings.ContainsFunc(s, unicode.IsControl) || sheets.Formula(s)
}
