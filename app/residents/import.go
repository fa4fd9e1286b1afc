package residents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/sheets"
)

// importChunk is how many rows are written together.
const importChunk = 500

// ImportResult is what became of an import.
type ImportResult struct {
	Taken int      `json:"taken"` // new
	Known int      `json:"known"` // registered already, or twice in the file
	Bad   []BadRow `json:"bad"`   // in order of the rows
}

// BadRow names a row that was left out.
type BadRow = sheets.BadRow

// badCell names a row whose field is wrong; a column that is not there is
// named as it should be.
func badCell(h sheets.Heading, r sheets.Row, field, zh, en string) BadRow {
	row := h.Bad(r, field, zh, en)
	if names := importColumns()[field]; row.Column == "" && len(names) > 0 {
		row.Column = names[0]
	}
	return row
}

// importColumns are the headings understood, by JSON name of the field.
func importColumns() map[string][]string {
	return map[string][]string{
		"name":        {"姓名", "name"},
		"id_number":   {"身份证号", "身份证号码", "公民身份号码", "身份证", "证件号码", "id_number", "idnumber"},
		"phone":       {"电话", "手机", "手机号", "手机号码", "联系电话", "phone"},
		"division":    {"区划代码", "区划", "所属区划", "村社区", "村社区代码", "村代码", "社区代码", "division"},
		"groups":      {"人群", "人群类别", "困难类型", "groups"},
		"score_milli": {"评分", "多维评分", "score_milli", "scoremilli"},
		"household":   {"户号", "家庭编号", "household"},
		"pin":         {"pin", "密码"},
		"consent":     {"同意", "授权", "consent"},
	}
}

// Import registers the residents of a spreadsheet, XLSX or CSV. The heading
// needs a name and an ID number; phone, division, groups (several with 、 or
// commas), score (0..1000), household, PIN and consent (是/否, yes/no or the
// scopes) may be there, in any order. A row without a division takes the one
// given here, which is also the limit: rows of divisions outside it are bad.
//
// Bad rows are named with row, column and reason; everybody else is taken.
// Who is registered already, or stands in the file twice, is known by the
// blind index and left as is, so that doing it again changes nothing.
// progress may be nil.
//
// Errors: [regions.ErrDivision], [sheets.ErrFile] (also
// [sheets.MissingColumnError]), [sheets.ErrTooLarge]; otherwise the record's
// or the context's, with what was taken so far.
func (s *Service) Import(ctx context.Context, by, division string, file io.Reader, name string, progress func(done, total int)) (ImportResult, error) {
	result := ImportResult{Bad: []BadRow{}}
	if !regions.Valid(division) {
		return result, fmt.Errorf("import residents: %w", regions.ErrDivision)
	}
	rows, err := sheets.Read(ctx, file, name, sheets.DefaultLimits())
	if err != nil {
		return result, fmt.Errorf("import residents: %w", err)
	}
	heading, err := sheets.NewHeading(rows, importColumns(), "name", "id_number")
	if err != nil {
		return result, fmt.Errorf("import residents: %w", err)
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	total := len(rows) - 1
	progress(0, total)
	done := 0
	settled := make(map[string]bool, total) // ids that are registered by now
	enrol := func(drafts []*draft, from []sheets.Row) error {
		outcomes, err := s.enrol(ctx, by, drafts)
		if err != nil {
			return fmt.Errorf("import residents: %w", err)
		}
		for i, o := range outcomes {
			settled[drafts[i].id] = o.err == nil
			switch {
			case o.err != nil:
				if err := result.bad(heading, from[i], o.err); err != nil {
					return err
				}
			case o.known:
				result.Known++
			default:
				result.Taken++
			}
		}
		return nil
	}
	for chunk := range slices.Chunk(rows[1:], importChunk) {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		var drafts, again []*draft // again: whose id stands in this chunk before
		var from, fromAgain []sheets.Row
		pending := map[string]bool{}
		for _, row := range chunk {
			d, err := s.importRow(heading, row, division)
			switch {
			case err != nil:
				if err := result.bad(heading, row, err); err != nil {
					return result, err
				}
			case settled[d.id]:
				result.Known++
			case pending[d.id]:
				again, fromAgain = append(again, d), append(fromAgain, row)
			default:
				pending[d.id] = true
				drafts, from = append(drafts, d), append(from, row)
			}
		}
		if err := enrol(drafts, from); err != nil {
			return result, err
		}
		for i, d := range again {
			if settled[d.id] {
				result.Known++
			} else if err := enrol(again[i:i+1], fromAgain[i:i+1]); err != nil {
				return result, err
			}
		}
		done += len(chunk)
		progress(done, total)
	}
	slices.SortStableFunc(result.Bad, func(a, b BadRow) int { return cmp.Compare(a.Row, b.Row) })
	return result, nil
}

// bad names a row by its [FieldError]; any other error is trouble.
func (r *ImportResult) bad(h sheets.Heading, row sheets.Row, err error) error {
	var field *FieldError
	if !errors.As(err, &field) {
		return err
	}
	r.Bad = append(r.Bad, badCell(h, row, field.Field, field.ZH, field.EN))
	return nil
}

// importRow checks one row. Errors: [FieldError].
func (s *Service) importRow(h sheets.Heading, row sheets.Row, division string) (*draft, error) {
	r := Registration{
		Name: h.Cell(row, "name"), IDNumber: asText(h.Cell(row, "id_number")), Phone: asText(h.Cell(row, "phone")),
		Division: asText(h.Cell(row, "division")), Household: asText(h.Cell(row, "household")), PIN: asText(h.Cell(row, "pin")),
	}
	if r.IDNumber == "" {
		return nil, &FieldError{"id_number", "身份证号不能为空；没有身份证号的居民请逐个登记", "the ID number is missing; register people without one one by one"}
	}
	if strings.ContainsAny(r.IDNumber, ".eE") {
		return nil, &FieldError{"id_number", "身份证号被表格软件改成了数值，请把该列设为文本后重填", "the spreadsheet turned the ID number into a figure; make the column text and fill it in again"}
	}
	if r.Division == "" {
		r.Division = division
	}
	// A missing or misnamed column must not put everybody at the county.
	if regions.Valid(r.Division) && regions.LevelOf(r.Division) != regions.Village {
		return nil, &FieldError{"division", "请填写村（社区）的 12 位区划代码（列名“区划代码”）", "give the 12-digit code of a village (column “division”)"}
	}
	if regions.Valid(r.Division) && !regions.Within(r.Division, division) {
		return nil, &FieldError{"division", "该区划不在您的管辖范围内", "the division is not within yours"}
	}
	if sheets.Formula(r.Household) {
		return nil, &FieldError{"household", "户号不能以 = + - @ 开头", "a household key does not begin with = + - @"}
	}
	var err error
	if r.Groups, err = parseGroups(h.Cell(row, "groups")); err != nil {
		return nil, err
	}
	if r.Consent, err = parseConsent(h.Cell(row, "consent")); err != nil {
		return nil, err
	}
	if score := asText(h.Cell(row, "score_milli")); score != "" {
		if r.ScoreMilli, err = strconv.ParseInt(score, 10, 64); err != nil {
			return nil, &FieldError{"score_milli", "评分应为 0 到 1000 的整数", "a score is a whole number from 0 to 1000"}
		}
	}
	return s.draft(r)
}

// asText undoes what people write so that a spreadsheet leaves digits alone: a
// leading apostrophe and ="…".
func asText(cell string) string {
	if inner, ok := strings.CutPrefix(cell, `="`); ok && strings.HasSuffix(inner, `"`) {
		cell = strings.TrimSuffix(inner, `"`)
	}
	return strings.TrimSpace(narrow(strings.TrimLeft(cell, "'’‘")))
}

// parts splits a list as people write it.
func parts(cell string) []string {
	return strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune("、,，;；/|\n", r) })
}

// parseGroups takes ids and names in both languages, with or without 户, 人员
// or 家庭 behind.
func parseGroups(cell string) ([]string, error) {
	var ids []string
	for _, part := range parts(cell) {
		part = strings.TrimSpace(part)
		if part == "" || part == "无" {
			continue
		}
		id := groupNamed(part)
		for _, suffix := range []string{"人员", "家庭", "户", "儿童", "人"} {
			if short, ok := strings.CutSuffix(part, suffix); ok && id == "" {
				id = groupNamed(short)
			}
		}
		if id == "" {
			return nil, &FieldError{"groups", "没有这个人群类别", "there is no such group"}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func groupNamed(s string) string {
	for _, g := range Groups() {
		if s == g.ZH || strings.EqualFold(s, g.EN) || strings.EqualFold(s, g.ID) {
			return g.ID
		}
	}
	return ""
}

func parseConsent(cell string) ([]string, error) {
	switch strings.ToLower(strings.TrimSpace(cell)) {
	case "", "否", "不同意", "未同意", "no", "n", "false", "0":
		return nil, nil
	case "是", "同意", "已同意", "yes", "y", "true", "1":
		return []string{ConsentMatching, ConsentHandover}, nil
	}
	var scope []string
	for _, part := range parts(cell) {
		scope = append(scope, strings.TrimSpace(part))
	}
	return cleanScope(scope)
}
