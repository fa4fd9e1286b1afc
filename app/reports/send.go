package reports

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
)

// Bounds on what is written, in characters.
const (
	maxText   = 500
	maxPlace  = 100
	maxPerson = 100
	maxName   = 50
	maxPhone  = 20
	maxKey    = 128 // bytes
)

// Names of sealed fields: with the report's id they bind a sealed value to its
// place.
const (
	fieldText   = "report_text"
	fieldPlace  = "report_place"
	fieldPerson = "report_person"
	fieldName   = "report_name"
	fieldPhone  = "report_phone"
	fieldNote   = "report_note"
)

// draws is how many reference numbers are tried before giving up.
const draws = 20

// Send takes a report. The same report sent again under its key is the first
// one; another report under the key is another report.
//
// Errors: [FieldError].
func (s *Service) Send(ctx context.Context, n NewReport) (*Report, error) {
	n, err := s.clean(n)
	if err != nil {
		return nil, err
	}
	now := store.Millis(s.cfg.Now())
	r := &Report{
		Meta: store.Meta{ID: store.NewID()}, Division: n.Division, County: regions.County(n.Division),
		Province: n.Division[:2] + "0000000000", City: n.Division[:4] + "00000000",
		Kind: n.Kind, Seen: n.Seen, State: StateNew, CreatedMs: now, History: []Step{{AtMs: now, To: StateNew}},
	}
	if n.Key != "" {
		r.ID = "p" + s.cfg.Vault.BlindIndex("report", strings.Join([]string{
			n.Key, n.Division, n.Kind, n.Seen, n.Text, n.Place, n.Person, n.Name, n.Phone,
		}, "\x00"))[:32]
	}
	switch regions.LevelOf(n.Division) {
	case regions.Village:
		r.Village = n.Division
		r.Town = n.Division[:9] + "000"
	case regions.Town:
		r.Town = n.Division
	}
	if err := s.seal(r, n); err != nil {
		return nil, err
	}
	for range draws {
		if r.Reference, err = reference(); err != nil {
			return nil, err
		}
		taken, err := s.reports.InsertAll(ctx, []*Report{r})
		switch {
		case err != nil:
			return nil, err
		case len(taken) == 0:
			return r, nil
		}
		there, err := s.reports.Get(ctx, r.ID)
		if !errors.Is(err, store.ErrNotFound) {
			return there, err // sent before, under the same key
		}
	}
	return nil, fmt.Errorf("send report %s: no free reference number in %d draws", r.ID, draws)
}

func (s *Service) seal(r *Report, n NewReport) error {
	for _, x := range []struct {
		field, plain string
		sealed       *string
	}{
		{fieldText, n.Text, &r.TextSealed},
		{fieldPlace, n.Place, &r.PlaceSealed},
		{fieldPerson, n.Person, &r.PersonSealed},
		{fieldName, n.Name, &r.NameSealed},
		{fieldPhone, n.Phone, &r.PhoneSealed},
	} {
		var err error
		if *x.sealed, err = s.cfg.Vault.Seal(x.field, r.ID, x.plain); err != nil {
			return err
		}
	}
	return nil
}

// reference draws 8 digits, the first not zero: short enough to be read out
// over the telephone.
func reference() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(90_000_000))
	if err != nil {
		return "", fmt.Errorf("draw a reference number: %w", err)
	}
	return fmt.Sprint(10_000_000 + n.Int64()), nil
}

// clean checks a report and makes its texts sound. Errors: [FieldError].
func (s *Service) clean(n NewReport) (NewReport, error) {
	if regions.County(n.Division) == "" || !s.cfg.DivisionExists(n.Division) {
		return n, &FieldError{"division", "请选择在哪个区县、乡镇或街道", "choose the county, town or street"}
	}
	if !slices.Contains(Kinds(), n.Kind) {
		return n, &FieldError{"kind", "请选择是什么情况", "choose what is the matter"}
	}
	if n.Seen != "" && !slices.Contains(Times(), n.Seen) {
		return n, &FieldError{"seen", "请选择什么时候看到的", "choose when it was seen"}
	}
	if len(n.Key) > maxKey {
		return n, &FieldError{"key", "键过长，最多 128 个字节", "the key has at most 128 bytes"}
	}
	for _, x := range []struct {
		text   *string
		most   int
		field  string
		zh, en string
	}{
		{&n.Text, maxText, "text", "情况说明最多 500 字", "the description has at most 500 characters"},
		{&n.Place, maxPlace, "place", "地点最多 100 字", "the place has at most 100 characters"},
		{&n.Person, maxPerson, "person", "最多 100 字", "at most 100 characters"},
		{&n.Name, maxName, "name", "称呼最多 50 字", "the name has at most 50 characters"},
		{&n.Phone, maxPhone, "phone", "电话最多 20 个字符", "the phone has at most 20 characters"},
	} {
		*x.text = strings.TrimSpace(strings.ReplaceAll(*x.text, "\r\n", "\n"))
		if utf8.RuneCountInString(*x.text) > x.most || !utf8.ValidString(*x.text) {
			return n, &FieldError{x.field, x.zh, x.en}
		}
		if strings.ContainsFunc(*x.text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			return n, &FieldError{x.field, "含有无法显示的字符，请重新输入", "it has characters that cannot be shown; type it again"}
		}
	}
	if n.Kind == "other" && n.Text == "" {
		return n, &FieldError{"text", "请写一写是什么情况", "say what is the matter"}
	}
	if n.Phone != "" && (strings.Trim(n.Phone, "0123456789+- ()") != "" || !strings.ContainsAny(n.Phone, "0123456789")) {
		return n, &FieldError{"phone", "请填写电话号码，例如 13800001111 或 0572-2030405", "write a phone number, like 13800001111 or 0572-2030405"}
	}
	return n, nil
}
