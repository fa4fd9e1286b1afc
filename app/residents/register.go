package residents

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/sheets"
	"github.com/xingfuma/happycode/app/store"
)

// Bounds on what is written down, in characters.
const (
	maxName         = 50
	maxHouseholdKey = 64
	minPIN          = 6
	maxPIN          = 12
)

// Names of sealed fields: with the resident's id they bind a sealed value to
// its place.
const (
	fieldName     = "name"
	fieldIDNumber = "id_number"
	fieldPhone    = "phone"
	fieldAddress  = "address"
	fieldNote     = "note"
)

// derivedID is a prefix and 128 bits of the keyed fingerprint of what makes
// the document the same document.
func (s *Service) derivedID(prefix, kind string, parts ...string) string {
	return prefix + s.cfg.Vault.BlindIndex(kind, strings.Join(parts, "\x00"))[:32]
}

// draft is a checked registration on its way into the record.
type draft struct {
	Registration
	id        string
	household string
	owned     bool // the household is made with the resident or its key
	idIndex   string
	birthYear int
}

// draft checks a registration, all but whether a household it names by id is
// there. Errors: [FieldError].
func (s *Service) draft(r Registration) (*draft, error) {
	d := &draft{Registration: r, owned: true}
	var err error
	if d.Name, err = cleanName(r.Name); err != nil {
		return nil, err
	}
	if d.Phone, err = cleanPhone(r.Phone); err != nil {
		return nil, err
	}
	d.Division = strings.TrimSpace(r.Division)
	if regions.County(d.Division) == "" {
		return nil, &FieldError{"division", "区划代码应为 12 位，且在县（区）或以下", "a division is a 12-digit code of a county or below"}
	}
	if s.cfg.DivisionExists != nil && !s.cfg.DivisionExists(d.Division) {
		return nil, &FieldError{"division", "没有这个区划代码", "there is no such division"}
	}
	if d.Groups, err = cleanGroups(r.Groups); err != nil {
		return nil, err
	}
	if d.Consent, err = cleanScope(r.Consent); err != nil {
		return nil, err
	}
	if r.ScoreMilli < 0 || r.ScoreMilli > 1000 {
		return nil, &FieldError{"score_milli", "评分应在 0 到 1000 之间", "a score is 0 to 1000"}
	}
	if r.PIN != "" && !validPIN(r.PIN) {
		return nil, pinError()
	}
	if strings.TrimSpace(r.IDNumber) == "" {
		d.IDNumber = ""
		d.id = store.NewID()
		d.idIndex = "none:" + d.id
	} else {
		number, err := ParseIDNumber(r.IDNumber, s.cfg.Now())
		if err != nil {
			return nil, err
		}
		d.IDNumber = number.Number
		d.id = s.derivedID("r", "resident", number.Number)
		d.idIndex = s.cfg.Vault.BlindIndex(fieldIDNumber, number.Number)
		d.birthYear = number.Birth.Year()
	}
	switch key := strings.TrimSpace(r.Household); {
	case key == "":
		d.household = s.derivedID("h", "household", d.id)
	case isHouseholdID(key):
		d.household, d.owned = key, false
	case utf8.RuneCountInString(key) > maxHouseholdKey || hasControl(key):
		return nil, &FieldError{"household", "户号过长或含有控制字符", "the household key is too long or has control characters"}
	default:
		d.household = s.derivedID("h", "household_key", d.Division, key)
	}
	return d, nil
}

func isHouseholdID(s string) bool {
	return len(s) == 33 && s[0] == 'h' && strings.Trim(s[1:], "0123456789abcdef") == ""
}

func hasControl(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl)
}

// cleanName trims a name and refuses what a spreadsheet would take for a formula.
func cleanName(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "", &FieldError{"name", "姓名不能为空", "the name is missing"}
	case n > maxName || hasControl(s):
		return "", &FieldError{"name", "姓名过长或含有控制字符", "the name is too long or has control characters"}
	case sheets.Formula(s):
		return "", &FieldError{"name", "姓名不能以 = + - @ 开头", "a name does not begin with = + - @"}
	}
	return s, nil
}

// cleanPhone returns the digits of a phone number, with a leading + if it has
// one; +86 is dropped.
func cleanPhone(s string) (string, error) {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune("-()–—", r) {
			return -1
		}
		return r
	}, narrow(s))
	s = strings.TrimPrefix(s, "+86")
	digits := strings.TrimPrefix(s, "+")
	if s != "" && (len(digits) < 5 || len(digits) > 15 || strings.Trim(digits, "0123456789") != "") {
		return "", &FieldError{"phone", "电话号码应为 5 到 15 位数字", "a phone number has 5 to 15 digits"}
	}
	return s, nil
}

// cleanGroups returns the ids sorted and without repetition.
func cleanGroups(ids []string) ([]string, error) {
	known := Groups()
	for _, id := range ids {
		if !slices.ContainsFunc(known, func(g Group) bool { return g.ID == id }) {
			return nil, &FieldError{"groups", "没有这个人群类别", "there is no such group"}
		}
	}
	out := slices.Clone(ids)
	slices.Sort(out)
	return slices.Compact(out), nil
}

func cleanScope(scope []string) ([]string, error) {
	for _, s := range scope {
		if !slices.Contains(Consents(), s) {
			return nil, &FieldError{"consent", "没有这个同意范围", "there is no such scope of consent"}
		}
	}
	out := slices.Clone(scope)
	slices.Sort(out)
	return slices.Compact(out), nil
}

func validPIN(pin string) bool {
	return len(pin) >= minPIN && len(pin) <= maxPIN && strings.Trim(pin, "0123456789") == ""
}

func pinError() error {
	return &FieldError{"pin", "PIN 应为 6 到 12 位数字", "a PIN has 6 to 12 digits"}
}

// Register writes down a resident with a household and a first happiness code.
// by is the id of who does it.
//
// Repeating it after a crash completes it. For a person without an ID number
// every call is a new resident: nothing says that it is the same person.
//
// Errors: [FieldError] (for the ID number also [ErrIDNumber]),
// [store.ErrDuplicate] when the ID number is registered already.
func (s *Service) Register(ctx context.Context, by string, r Registration) (*Resident, error) {
	d, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	done, err := s.enrol(ctx, by, []*draft{d})
	if err != nil {
		return nil, fmt.Errorf("register resident %s: %w", d.id, err)
	}
	switch {
	case done[0].err != nil:
		return nil, done[0].err
	case done[0].known:
		return nil, fmt.Errorf("register resident %s: %w", d.id, store.ErrDuplicate)
	}
	return done[0].resident, nil
}

// enrolled is what became of one draft: one of the three.
type enrolled struct {
	resident *Resident
	known    bool
	err      error // a FieldError
}

// enrol writes drafts with distinct ids. The order is households, codes,
// residents, each with ids derived from the resident's: whatever a crash
// leaves, doing it again finds the first two and completes the third.
func (s *Service) enrol(ctx context.Context, by string, drafts []*draft) ([]enrolled, error) {
	out := make([]enrolled, len(drafts))
	position := make(map[string]int, len(drafts))
	ids := make([]string, len(drafts))
	for i, d := range drafts {
		position[d.id], ids[i] = i, d.id
	}
	there, err := s.residents.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, r := range there {
		out[position[r.ID]].known = true
	}
	if err := s.checkHouseholds(ctx, drafts, out); err != nil {
		return nil, err
	}
	fresh := drafts[:0:0]
	for i, d := range drafts {
		if !out[i].known && out[i].err == nil {
			fresh = append(fresh, d)
		}
	}
	if len(fresh) == 0 {
		return out, nil
	}
	if err := s.makeHouseholds(ctx, by, fresh); err != nil {
		return nil, err
	}
	orders := make([]order, len(fresh))
	for i, d := range fresh {
		orders[i] = order{resident: d.id, issue: 1}
	}
	codes, err := s.issue(ctx, by, orders)
	if err != nil {
		return nil, err
	}
	pins, err := s.hashPINs(ctx, fresh)
	if err != nil {
		return nil, err
	}
	residents := make([]*Resident, len(fresh))
	for i, d := range fresh {
		if residents[i], err = s.seal(by, d, codes[i], pins[i]); err != nil {
			return nil, err
		}
	}
	duplicates, err := s.residents.InsertAll(ctx, residents)
	if err != nil {
		return nil, err
	}
	for _, r := range residents {
		out[position[r.ID]].resident = r
	}
	for _, d := range duplicates {
		out[position[d.ID]] = enrolled{known: true}
	}
	return out, nil
}

// checkHouseholds refuses drafts that join a household which is not there or
// lies in another division: a household's caps count in one county.
func (s *Service) checkHouseholds(ctx context.Context, drafts []*draft, out []enrolled) error {
	var ids []string
	for _, d := range drafts {
		if !d.owned {
			ids = append(ids, d.household)
		}
	}
	slices.Sort(ids)
	found, err := s.households.GetAll(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	division := make(map[string]string, len(found))
	for _, h := range found {
		division[h.ID] = h.Division
	}
	for i, d := range drafts {
		if !d.owned && division[d.household] != d.Division {
			out[i].err = &FieldError{"household", "本区划没有这个家庭", "there is no such household in this division"}
		}
	}
	return nil
}

func (s *Service) makeHouseholds(ctx context.Context, by string, drafts []*draft) error {
	var households []*Household
	seen := map[string]bool{}
	for _, d := range drafts {
		if d.owned && !seen[d.household] {
			seen[d.household] = true
			households = append(households, &Household{
				Meta: store.Meta{ID: d.household}, Division: d.Division, County: regions.County(d.Division),
				CreatedMs: store.Millis(s.cfg.Now()), CreatedBy: by,
			})
		}
	}
	_, err := s.households.InsertAll(ctx, households)
	return err
}

// hashPINs spends its time on as many processors as there are: one hash costs
// tens of milliseconds.
func (s *Service) hashPINs(ctx context.Context, drafts []*draft) ([]string, error) {
	hashes := make([]string, len(drafts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, d := range drafts {
		if d.PIN == "" {
			continue
		}
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil, ctx.Err()
		case slots <- struct{}{}:
		}
		wg.Go(func() {
			hashes[i] = s.cfg.Hash(d.PIN)
			<-slots
		})
	}
	wg.Wait()
	return hashes, nil
}

func (s *Service) seal(by string, d *draft, code *Code, pinHash string) (*Resident, error) {
	now := store.Millis(s.cfg.Now())
	r := &Resident{
		Meta: store.Meta{ID: d.id}, Household: d.household, Division: d.Division, County: regions.County(d.Division),
		IDIndex: d.idIndex, BirthYear: d.birthYear, Groups: d.Groups, ScoreMilli: d.ScoreMilli,
		Consent: Consent{AtMs: now, By: by, Scope: d.Consent},
		PINHash: pinHash, Code: code.ID, CardNo: code.CardNo, Codes: 1,
		CreatedMs: now, CreatedBy: by, Status: Active,
	}
	var errs [3]error
	r.NameSealed, errs[0] = s.cfg.Vault.Seal(fieldName, r.ID, d.Name)
	r.IDNumberSealed, errs[1] = s.cfg.Vault.Seal(fieldIDNumber, r.ID, d.IDNumber)
	r.PhoneSealed, errs[2] = s.cfg.Vault.Seal(fieldPhone, r.ID, d.Phone)
	return r, errors.Join(errs[:]...)
}
