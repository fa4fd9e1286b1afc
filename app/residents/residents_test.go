package residents_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/qrcode"
)

const (
	huzhou  = "330500000000"
	wuxing  = "330502000000"
	yuehe   = "330502001000"
	village = "330502001001"
	nanxun  = "330503000000"
)

// clock is a time that tests move.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMilli(c.ms.Load()) }
func (c *clock) add(d time.Duration)  { c.ms.Add(d.Milliseconds()) }
func newClock() *clock                { c := &clock{}; c.ms.Store(start.UnixMilli()); return c }
func idNumber(n int) string           { return withCheck(fmt.Sprintf("330502%s%03d", birthday(n/1000), n%1000)) }
func birthday(n int) string           { return time.Date(1950, 1, 1+n, 0, 0, 0, 0, time.UTC).Format("20060102") }
func person(n int) (name, id string)  { return fmt.Sprintf("居民%d", n), idNumber(n) }
func (b *bench) ctx() context.Context { return context.Background() }
func background() context.Context     { return context.Background() }

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func withCheck(first17 string) string {
	sum := 0
	for i, w := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += w * int(first17[i]-'0')
	}
	return first17 + string("10X98765432"[sum%11])
}

// bench is a service over a fresh record.
type bench struct {
	*residents.Service
	t      testing.TB
	record store.Record
	vault  *vault.Vault
	keys   *keyring.Ring
	clock  *clock
	dir    string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, clock: newClock(), dir: t.TempDir()}
	var err error
	if b.vault, err = vault.Open(filepath.Join(b.dir, "keys.json")); err != nil {
		t.Fatal(err)
	}
	if b.record, err = sqlite.Open(filepath.Join(b.dir, "record.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.record.Close() })
	if err := b.record.Ensure(background(), slices.Concat(residents.Schemas(), keyring.Schemas())...); err != nil {
		t.Fatal(err)
	}
	if b.keys, err = keyring.Open(background(), keyring.Config{Record: b.record, Vault: b.vault, Now: b.clock.now}); err != nil {
		t.Fatal(err)
	}
	b.Service = b.over(b.record)
	return b
}

func (b *bench) over(r store.Record) *residents.Service {
	return residents.New(residents.Config{Record: r, Vault: b.vault, Keys: b.keys, Now: b.clock.now, Hash: quick, Check: isQuick})
}

// quick and isQuick stand in for Argon2id, which is slow on purpose.
func quick(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func isQuick(hash, secret string) bool { return hash == quick(secret) }

func registration(n int) residents.Registration {
	name, id := person(n)
	return residents.Registration{Name: name, IDNumber: id, Phone: "13800000000", Division: village, Groups: []string{"elderly"}, ScoreMilli: 600,
		Consent: []string{residents.ConsentMatching}}
}

func (b *bench) register(n int) *residents.Resident {
	b.t.Helper()
	r, err := b.Register(b.ctx(), "worker", registration(n))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// count is how many documents a collection has.
func (b *bench) count(collection string) int {
	b.t.Helper()
	n, after := 0, ""
	for {
		page, next, err := b.record.Find(b.ctx(), collection, store.Query{After: after, Limit: store.MaxPage}, func() store.Document { return &bare{} })
		if err != nil {
			b.t.Fatal(err)
		}
		if n += len(page); next == "" {
			return n
		}
		after = next
	}
}

type bare struct {
	store.Meta `bson:",inline"`
}

func (b *bench) counts(households, codes, people int) {
	b.t.Helper()
	if h, c, r := b.count("households"), b.count("codes"), b.count("residents"); h != households || c != codes || r != people {
		b.t.Errorf("%d households, %d codes, %d residents; want %d, %d, %d", h, c, r, households, codes, people)
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	name, id := person(1)
	if r.Household == "" || r.County != wuxing || r.Division != village || r.BirthYear != 1950 || r.Status != residents.Active || !r.Consent.Allows(residents.ConsentMatching) || r.Consent.Allows(residents.ConsentHandover) {
		t.Errorf("%+v", r)
	}
	p, err := b.Open(b.ctx(), r)
	if err != nil || p.Name != name || p.IDNumber != id || p.Phone != "13800000000" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := b.Register(b.ctx(), "worker", registration(1)); !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("again: got %v, want ErrDuplicate", err)
	}
	same := registration(1)
	same.Name, same.Division, same.IDNumber = "别名", "330503001001", " "+strings.ToLower(id[:6])+" "+id[6:]
	if _, err := b.Register(b.ctx(), "worker", same); !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("same ID number written otherwise: got %v, want ErrDuplicate", err)
	}
	b.counts(1, 1, 1)

	byCode, code, err := b.ByCode(b.ctx(), r.Code)
	if err != nil || byCode.ID != r.ID || code.Status != residents.CodeActive || code.CardNo != r.CardNo || !qrcode.ValidCardNumber(r.CardNo) {
		t.Errorf("ByCode: %+v, %+v, %v", byCode, code, err)
	}
	if got, _, err := b.ByCardNumber(b.ctx(), r.CardNo); err != nil || got.ID != r.ID {
		t.Errorf("ByCardNumber: %v", err)
	}
	if got, err := b.ByIDNumber(b.ctx(), id); err != nil || got.ID != r.ID {
		t.Errorf("ByIDNumber: %v", err)
	}
	for what, err := range map[string]error{
		"ByCode":       second(b.ByCode(b.ctx(), "00000000000000000000")),
		"ByCardNumber": second(b.ByCardNumber(b.ctx(), "000000000000")),
		"ByIDNumber":   first(b.ByIDNumber(b.ctx(), idNumber(2))),
		"Get":          first(b.Get(b.ctx(), "r0")),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s of nobody: got %v, want ErrNotFound", what, err)
		}
	}
	token, err := b.Token(b.ctx(), code)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.keys.Keys().Verify(token, b.clock.now()); err != nil || token.CodeID() != r.Code || token.Stamp != uint32(start.Unix()/60) {
		t.Errorf("token %+v: %v", token, err)
	}
	screen, err := b.ScreenToken(code, b.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.keys.Keys().Verify(screen, b.clock.now()); err != nil || screen.Kind != qrcode.Screen || screen.CodeID() != r.Code {
		t.Errorf("screen token %+v: %v", screen, err)
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }
func first[A any](_ A, err error) error          { return err }

func TestRegisterWithoutIDNumber(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	reg := registration(1)
	reg.IDNumber = ""
	one, err := b.Register(b.ctx(), "worker", reg)
	if err != nil {
		t.Fatal(err)
	}
	if one.IDIndex != "none:"+one.ID || one.BirthYear != 0 || one.IDNumberSealed != "" {
		t.Errorf("%+v", one)
	}
	if _, err := b.Register(b.ctx(), "worker", reg); err != nil {
		t.Errorf("a second person without an ID number: %v", err)
	}
	b.counts(2, 2, 2)
}

func TestRegisterNamesTheField(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, good := person(1)
	for what, c := range map[string]struct {
		field  string
		change func(*residents.Registration)
	}{
		"no name":              {"name", func(r *residents.Registration) { r.Name = " " }},
		"long name":            {"name", func(r *residents.Registration) { r.Name = strings.Repeat("长", 51) }},
		"formula":              {"name", func(r *residents.Registration) { r.Name = `=HYPERLINK("http://x")` }},
		"full-width formula":   {"name", func(r *residents.Registration) { r.Name = "＝1+1" }},
		"control character":    {"name", func(r *residents.Registration) { r.Name = "张\x00三" }},
		"not UTF-8":            {"name", func(r *residents.Registration) { r.Name = "张\xff" }},
		"ID number":            {"id_number", func(r *residents.Registration) { r.IDNumber = good[:17] + "?" }},
		"phone":                {"phone", func(r *residents.Registration) { r.Phone = "call me" }},
		"short phone":          {"phone", func(r *residents.Registration) { r.Phone = "1380" }},
		"city":                 {"division", func(r *residents.Registration) { r.Division = huzhou }},
		"malformed division":   {"division", func(r *residents.Registration) { r.Division = "3305" }},
		"no division":          {"division", func(r *residents.Registration) { r.Division = "" }},
		"group":                {"groups", func(r *residents.Registration) { r.Groups = []string{"rich"} }},
		"low score":            {"score_milli", func(r *residents.Registration) { r.ScoreMilli = -1 }},
		"high score":           {"score_milli", func(r *residents.Registration) { r.ScoreMilli = 1001 }},
		"short PIN":            {"pin", func(r *residents.Registration) { r.PIN = "12345" }},
		"letters in PIN":       {"pin", func(r *residents.Registration) { r.PIN = "12345a" }},
		"long PIN":             {"pin", func(r *residents.Registration) { r.PIN = "1234567890123" }},
		"consent":              {"consent", func(r *residents.Registration) { r.Consent = []string{"all"} }},
		"unknown household":    {"household", func(r *residents.Registration) { r.Household = "h" + strings.Repeat("0", 32) }},
		"long household key":   {"household", func(r *residents.Registration) { r.Household = strings.Repeat("户", 65) }},
		"broken household key": {"household", func(r *residents.Registration) { r.Household = "a\x00b" }},
	} {
		r := registration(1)
		c.change(&r)
		_, err := b.Register(b.ctx(), "worker", r)
		var field *residents.FieldError
		if !errors.As(err, &field) || field.Field != c.field || field.ZH == "" || field.EN == "" {
			t.Errorf("%s: got %v, want a FieldError of %s", what, err, c.field)
			continue
		}
		if errors.Is(err, residents.ErrIDNumber) != (c.field == "id_number") {
			t.Errorf("%s: ErrIDNumber", what)
		}
		if strings.Contains(err.Error(), good[:10]) {
			t.Errorf("%s: the error repeats the ID number", what)
		}
	}
	b.counts(0, 0, 0)

	strict := residents.New(residents.Config{Record: b.record, Vault: b.vault, Keys: b.keys, Now: b.clock.now, DivisionExists: func(code string) bool { return code != village }})
	var field *residents.FieldError
	if _, err := strict.Register(b.ctx(), "worker", registration(1)); !errors.As(err, &field) || field.Field != "division" {
		t.Errorf("a division that does not exist: %v", err)
	}
}

func TestNothingPersonalIsStoredInTheClear(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	reg := registration(7)
	reg.Name, reg.Phone, reg.PIN = "金丝雀", "13977776666", "864209"
	real := residents.New(residents.Config{Record: b.record, Vault: b.vault, Keys: b.keys, Now: b.clock.now}) // with the real hash of PINs
	r, err := real.Register(b.ctx(), "worker", reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := real.AddNeed(b.ctx(), "worker", residents.NewNeed{Resident: r.ID, Category: "meal", QtyUnits: 1, Urgency: 1, Source: "scan", Note: "备注金丝雀"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "record.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no record files", err)
	}
	found := false
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(content, []byte(r.ID))
		for _, secret := range []string{reg.Name, reg.Phone, reg.PIN, reg.IDNumber, reg.IDNumber[6:14]} {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds %s", filepath.Base(f), secret)
			}
		}
	}
	if !found {
		t.Error("the record's files do not hold the resident: the test looks in the wrong place")
	}
}

func TestHouseholds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	with := func(n int, household, division string) (*residents.Resident, error) {
		r := registration(n)
		r.Household, r.Division = household, division
		return b.Register(b.ctx(), "worker", r)
	}
	mother := b.register(1)
	child, err := with(2, mother.Household, village)
	if err != nil || child.Household != mother.Household {
		t.Errorf("joining by id: %v", err)
	}
	var field *residents.FieldError
	if _, err := with(3, mother.Household, "330503001001"); !errors.As(err, &field) || field.Field != "household" {
		t.Errorf("joining from another county: %v", err)
	}
	a, err1 := with(4, "户-17", village)
	c, err2 := with(5, " 户-17 ", village)
	d, err3 := with(6, "户-17", "330502001002")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if a.Household != c.Household || a.Household == d.Household || a.Household == mother.Household {
		t.Errorf("by key: %s, %s, %s", a.Household, c.Household, d.Household)
	}
	h, members, err := b.Household(b.ctx(), mother.Household)
	if err != nil || h.County != wuxing || len(members) != 2 {
		t.Errorf("%+v with %d members, %v", h, len(members), err)
	}
}

// faulty is a record that breaks at the n-th write, before or after doing it.
type faulty struct {
	store.Record
	left  atomic.Int64
	after bool
}

var errBroken = errors.New("broken")

func (f *faulty) Insert(ctx context.Context, collection string, docs []store.Document) ([]store.Duplicate, error) {
	switch left := f.left.Add(-1); {
	case left < 0 && (left < -1 || !f.after):
		return nil, errBroken
	case left < 0:
		if _, err := f.Record.Insert(ctx, collection, docs); err != nil {
			return nil, err
		}
		return nil, errBroken
	}
	return f.Record.Insert(ctx, collection, docs)
}

func (f *faulty) Replace(ctx context.Context, collection string, docs []store.Document) ([]error, error) {
	switch left := f.left.Add(-1); {
	case left < 0 && (left < -1 || !f.after):
		return nil, errBroken
	case left < 0:
		if _, err := f.Record.Replace(ctx, collection, docs); err != nil {
			return nil, err
		}
		return nil, errBroken
	}
	return f.Record.Replace(ctx, collection, docs)
}

func TestRegisterAfterACrash(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for writes := range 3 {
			b := newBench(t)
			f := &faulty{Record: b.record, after: after}
			f.left.Store(int64(writes))
			if _, err := b.over(f).Register(b.ctx(), "worker", registration(1)); !errors.Is(err, errBroken) {
				t.Fatalf("%d writes: got %v", writes, err)
			}
			b.clock.add(time.Hour)
			r, err := b.Register(b.ctx(), "worker", registration(1))
			if writes == 2 && after { // everything was written, only the answer was lost
				if !errors.Is(err, store.ErrDuplicate) {
					t.Errorf("got %v, want ErrDuplicate", err)
				}
				r, err = b.ByIDNumber(b.ctx(), idNumber(1))
			}
			if err != nil {
				t.Fatalf("%d writes: %v", writes, err)
			}
			b.counts(1, 1, 1)
			if _, code, err := b.ByCode(b.ctx(), r.Code); err != nil || code.Status != residents.CodeActive {
				t.Errorf("%d writes: %v, %+v", writes, err, code)
			}
		}
	}
}

func TestRegisterAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var taken, known atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch _, err := b.Register(b.ctx(), "worker", registration(1)); {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, store.ErrDuplicate):
				known.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 || known.Load() != 15 {
		t.Errorf("%d registered, %d known", taken.Load(), known.Load())
	}
	b.counts(1, 1, 1)
}

func TestCardNumberIsTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	// The same vault over another record, where somebody else has the number.
	other, err := sqlite.Open(filepath.Join(t.TempDir(), "other.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Ensure(b.ctx(), residents.Schemas()...); err != nil {
		t.Fatal(err)
	}
	foreign := &residents.Code{Meta: store.Meta{ID: "00000000000000000001"}, Resident: "rx", CardNo: r.CardNo, Status: residents.CodeActive}
	if dups, err := other.Insert(b.ctx(), "codes", []store.Document{foreign}); err != nil || len(dups) > 0 {
		t.Fatal(dups, err)
	}
	f := &faulty{Record: other}
	f.left.Store(3) // household, the taken code, the second draw; then it breaks
	if _, err := b.over(f).Register(b.ctx(), "worker", registration(1)); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	got, err := b.over(other).Register(b.ctx(), "worker", registration(1))
	if err != nil {
		t.Fatal(err)
	}
	if got.CardNo == r.CardNo || got.Code == r.Code || !qrcode.ValidCardNumber(got.CardNo) {
		t.Errorf("card number %s, code %s", got.CardNo, got.Code)
	}
	o := *b
	o.record = other
	o.counts(1, 2, 1)
}

func TestReissueAndRevoke(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	old := r.Code
	code, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyLost)
	if err != nil || code.ID == old {
		t.Fatal(code, err)
	}
	if _, c, err := b.ByCode(b.ctx(), old); err != nil || c.Status != residents.CodeRevoked || c.RevokedBy != "worker" || c.RevokedMs == 0 {
		t.Errorf("old code: %+v, %v", c, err)
	}
	if got, c, err := b.ByCode(b.ctx(), code.ID); err != nil || c.Status != residents.CodeActive || got.CardNo != code.CardNo {
		t.Errorf("new code: %+v, %v", c, err)
	}
	if err := b.Revoke(b.ctx(), "worker", code.ID, residents.WhyStolen); err != nil {
		t.Fatal(err)
	}
	if err := b.Revoke(b.ctx(), "other", code.ID, residents.WhyStolen); err != nil {
		t.Errorf("revoking again: %v", err)
	}
	if _, c, _ := b.ByCardNumber(b.ctx(), code.CardNo); c.Status != residents.CodeRevoked || c.RevokedBy != "worker" {
		t.Errorf("revoked: %+v", c)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyLost); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r, _ = b.Get(b.ctx(), r.ID)
	active := 0
	err = store.Collection[residents.Code, *residents.Code]{Record: b.record, Name: "codes"}.Each(b.ctx(), store.Query{}, func(c *residents.Code) error {
		if _, now, err := b.ByCode(b.ctx(), c.ID); err != nil {
			return err
		} else if now.Status == residents.CodeActive {
			active++
		}
		return nil
	})
	if err != nil || active != 1 || r.Codes != 10 {
		t.Errorf("%d active codes of %d, %v; want 1 of 10", active, r.Codes, err)
	}
	if _, err := b.Reissue(b.ctx(), "worker", "r0", residents.WhyLost); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
}

func TestReissueAfterACrash(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for writes := range 3 { // the new code, the resident, the old code
			b := newBench(t)
			r := b.register(1)
			f := &faulty{Record: b.record, after: after}
			f.left.Store(int64(writes))
			if _, err := b.over(f).Reissue(b.ctx(), "worker", r.ID, residents.WhyLost); !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			r, _ = b.Get(b.ctx(), r.ID)
			for range 2 { // whatever was left, exactly one code counts, before and after doing it again
				active := 0
				err := store.Collection[residents.Code, *residents.Code]{Record: b.record, Name: "codes"}.Each(b.ctx(), store.Query{}, func(c *residents.Code) error {
					if _, now, err := b.ByCode(b.ctx(), c.ID); err == nil && now.Status == residents.CodeActive {
						active++
					}
					return nil
				})
				if err != nil || active != 1 {
					t.Errorf("after %d writes (%v): %d active codes, %v", writes, after, active, err)
				}
				if _, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyLost); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestPIN(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	check := func(pin string) error { return b.CheckPIN(b.ctx(), r.ID, pin) }
	if err := check("246810"); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("none set: %v", err)
	}
	if err := b.CheckPIN(b.ctx(), "r0", "246810"); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("nobody: %v", err)
	}
	var field *residents.FieldError
	if err := b.SetPIN(b.ctx(), r.ID, "1"); !errors.As(err, &field) {
		t.Errorf("short: %v", err)
	}
	if err := b.SetPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Fatal(err)
	}
	for range 11 { // a right one ends the row of wrong ones
		if err := check("246810"); err != nil {
			t.Fatal(err)
		}
		if err := check("000000"); !errors.Is(err, residents.ErrPIN) {
			t.Fatal(err)
		}
	}
}

func TestChangePIN(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	if err := b.SetPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Fatal(err)
	}
	var field *residents.FieldError
	if err := b.ChangePIN(b.ctx(), r.ID, "246810", "1"); !errors.As(err, &field) || field.Field != "pin" {
		t.Errorf("short: %v", err)
	}
	if err := b.ChangePIN(b.ctx(), r.ID, "000000", "135791"); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("not the old one: %v", err)
	}
	if err := b.ChangePIN(b.ctx(), r.ID, "246810", "135791"); err != nil {
		t.Fatal(err)
	}
	if err := b.CheckPIN(b.ctx(), r.ID, "246810"); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("the old one: %v", err)
	}
	if err := b.CheckPIN(b.ctx(), r.ID, "135791"); err != nil {
		t.Errorf("the new one: %v", err)
	}
	for range 10 {
		if err := b.ChangePIN(b.ctx(), r.ID, "000000", "222222"); !errors.Is(err, residents.ErrPIN) {
			t.Fatal(err)
		}
	}
	if err := b.ChangePIN(b.ctx(), r.ID, "135791", "222222"); !errors.Is(err, residents.ErrLocked) {
		t.Errorf("after ten guesses: %v", err)
	}
}

func TestPINsAreHashedWithArgon2id(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	s := residents.New(residents.Config{Record: b.record, Vault: b.vault, Keys: b.keys, Now: b.clock.now})
	if err := s.SetPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Get(b.ctx(), r.ID); err != nil || !strings.HasPrefix(r.PINHash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.CheckPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Error(err)
	}
	for _, id := range []string{r.ID, "nobody"} {
		if err := s.CheckPIN(b.ctx(), id, "000000"); !errors.Is(err, residents.ErrPIN) {
			t.Errorf("a wrong PIN of %s: %v", id, err)
		}
	}
}

// Whatever becomes of a try, one hash is computed, so that a locked card does
// not answer sooner than an unknown one.
func TestEveryPINTryCostsOneHash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, none := b.register(1), b.register(2)
	hashes := 0
	s := residents.New(residents.Config{Record: b.record, Vault: b.vault, Keys: b.keys, Now: b.clock.now, Check: func(string, string) bool { hashes++; return false }})
	if err := b.SetPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Fatal(err)
	}
	try := func(what, id string, want error) {
		t.Helper()
		hashes = 0
		if err := s.CheckPIN(b.ctx(), id, "000000"); !errors.Is(err, want) || hashes != 1 {
			t.Errorf("%s: %d hashes, %v", what, hashes, err)
		}
	}
	try("nobody", "r0", residents.ErrPIN)
	try("no PIN", none.ID, residents.ErrPIN)
	for range 10 {
		try("wrong", r.ID, residents.ErrPIN)
	}
	try("locked", r.ID, residents.ErrLocked)
}

func TestPINLockout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	if err := b.SetPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Fatal(err)
	}
	var wrong, locked atomic.Int64
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			switch err := b.CheckPIN(b.ctx(), r.ID, "000000"); {
			case errors.Is(err, residents.ErrPIN):
				wrong.Add(1)
			case errors.Is(err, residents.ErrLocked):
				locked.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wrong.Load() != 10 || locked.Load() != 50 {
		t.Errorf("%d guesses were looked at and %d refused; want 10 and 50", wrong.Load(), locked.Load())
	}
	for _, lock := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour, 24 * time.Hour} {
		var l *residents.LockedError
		if err := b.CheckPIN(b.ctx(), r.ID, "246810"); !errors.As(err, &l) || l.UntilMs != store.Millis(b.clock.now().Add(lock)) {
			t.Fatalf("lock of %v: %v until %v", lock, err, l)
		}
		b.clock.add(lock - time.Millisecond)
		if err := b.CheckPIN(b.ctx(), r.ID, "246810"); !errors.Is(err, residents.ErrLocked) {
			t.Fatalf("just before the end of %v: %v", lock, err)
		}
		b.clock.add(time.Millisecond)
		if err := b.CheckPIN(b.ctx(), r.ID, "000000"); !errors.Is(err, residents.ErrPIN) {
			t.Fatalf("after %v: %v", lock, err)
		}
	}
	b.clock.add(24 * time.Hour)
	if err := b.CheckPIN(b.ctx(), r.ID, "246810"); err != nil {
		t.Errorf("the right one after the lock: %v", err)
	}
	if err := b.CheckPIN(b.ctx(), r.ID, "000000"); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("counting begins anew: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	where := []string{village, "330502001999", "330502002001", "330503001001", "330502001001", "330523001001"}
	for i, d := range where {
		r := registration(i)
		r.Division = d
		if _, err := b.Register(b.ctx(), "worker", r); err != nil {
			t.Fatal(err)
		}
	}
	for division, want := range map[string]int{huzhou: 6, "330000000000": 6, wuxing: 4, yuehe: 3, village: 2, nanxun: 1, "330521000000": 0, "340000000000": 0} {
		var got []string
		after := ""
		for {
			page, next, err := b.List(b.ctx(), division, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				got = append(got, r.ID)
				if !regions.Within(r.Division, division) {
					t.Errorf("%s lists a resident of %s", division, r.Division)
				}
			}
			if after = next; next == "" {
				break
			}
		}
		slices.Sort(got)
		if len(slices.Compact(got)) != want {
			t.Errorf("%s: %d residents, want %d", division, len(got), want)
		}
	}
	if _, _, err := b.List(b.ctx(), "", "", 0); !errors.Is(err, regions.ErrDivision) {
		t.Errorf("no division: %v", err)
	}
}

func TestStatusAndConsent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	if got, err := b.SetStatus(b.ctx(), "worker", r.ID, residents.Moved); err != nil || got.Status != residents.Moved {
		t.Error(err)
	}
	var field *residents.FieldError
	if _, err := b.SetStatus(b.ctx(), "worker", r.ID, "gone"); !errors.As(err, &field) {
		t.Error(err)
	}
	b.clock.add(time.Hour)
	got, err := b.SetConsent(b.ctx(), "other", r.ID, []string{residents.ConsentHandover})
	if err != nil || got.Consent.Allows(residents.ConsentMatching) || !got.Consent.Allows(residents.ConsentHandover) || got.Consent.By != "other" || got.Consent.AtMs != store.Millis(b.clock.now()) {
		t.Errorf("%+v, %v", got.Consent, err)
	}
	if got, err = b.SetConsent(b.ctx(), "other", r.ID, nil); err != nil || len(got.Consent.Scope) != 0 {
		t.Errorf("withdrawn: %+v, %v", got.Consent, err)
	}
	if _, err := b.SetConsent(b.ctx(), "other", r.ID, []string{"x"}); !errors.As(err, &field) {
		t.Error(err)
	}
}
