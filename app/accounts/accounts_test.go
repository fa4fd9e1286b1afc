package accounts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
)

const (
	huzhou = "330500000000"
	wuxing = "330502000000"
	yuehe  = "330502001000"
	nanxun = "330503000000"

	here = "198.51.100.7" // where sign-ins come from
)

// clock is a time that only moves when it is told to.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ms.Store(time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// checks stands in for argon2id and remembers which hashes were checked.
type checks struct {
	mu     sync.Mutex
	hashes []string
}

func hash(secret string) string { return "hash of " + secret }

func (c *checks) check(h, secret string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hashes = append(c.hashes, h)
	return h == hash(secret)
}

func (c *checks) taken() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.hashes
	c.hashes = nil
	return out
}

type fixture struct {
	*accounts.Service
	record store.Record
	clock  *clock
	checks *checks
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	record, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := record.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := record.Ensure(t.Context(), accounts.Schemas()...); err != nil {
		t.Fatal(err)
	}
	f := fixture{record: record, clock: newClock(), checks: new(checks)}
	f.Service = accounts.New(accounts.Config{
		Record: record, Now: f.clock.now, SessionTTL: time.Hour, Hash: hash, Check: f.checks.check,
	})
	return f
}

func caseworker() accounts.NewAccount {
	return accounts.NewAccount{
		Username: "li.hua", Password: "spring-2026", Role: accounts.Caseworker, Division: wuxing, DisplayName: "李华",
	}
}

func (f fixture) create(t *testing.T) *accounts.Account {
	t.Helper()
	a, err := f.Create(t.Context(), "root", caseworker())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f fixture) signIn(t *testing.T) (string, accounts.Principal) {
	t.Helper()
	cookie, p, err := f.SignIn(t.Context(), "li.hua", "spring-2026", here)
	if err != nil {
		t.Fatal(err)
	}
	return cookie, p
}

func asField(err error, field string, sentinel error) bool {
	var f accounts.FieldError
	return errors.As(err, &f) && f.Field == field && f.ZH != "" && f.EN != "" && errors.Is(err, sentinel)
}

func TestSees(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role     accounts.Role
		own, see string
		want     bool
	}{
		{accounts.Admin, huzhou, yuehe, true},
		{accounts.Admin, huzhou, huzhou, true},
		{accounts.Caseworker, wuxing, yuehe, true},
		{accounts.Caseworker, wuxing, nanxun, false},
		{accounts.Caseworker, yuehe, wuxing, false},
		{accounts.Caseworker, "", yuehe, false},
		{accounts.Caseworker, wuxing, "", false},
		{accounts.Provider, huzhou, yuehe, false},
		{accounts.Resident, huzhou, yuehe, false},
		{"", huzhou, yuehe, false},
	} {
		p := accounts.Principal{Role: c.role, Division: c.own}
		if got := p.Sees(c.see); got != c.want {
			t.Errorf("%s of %q sees %q: got %v", c.role, c.own, c.see, got)
		}
	}
}

func TestCreateNamesTheFieldAtFault(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		field    string
		sentinel error
		spoil    func(*accounts.NewAccount)
	}{
		{"username", accounts.ErrUsername, func(n *accounts.NewAccount) { n.Username = "a" }},
		{"username", accounts.ErrUsername, func(n *accounts.NewAccount) { n.Username = "li hua" }},
		{"username", accounts.ErrUsername, func(n *accounts.NewAccount) { n.Username = "<script>" }},
		{"username", accounts.ErrUsername, func(n *accounts.NewAccount) { n.Username = "li\xff" }},
		{"username", accounts.ErrUsername, func(n *accounts.NewAccount) { n.Username = strings.Repeat("x", 65) }},
		{"password", accounts.ErrPassword, func(n *accounts.NewAccount) { n.Password = "seven77" }},
		{"password", accounts.ErrPassword, func(n *accounts.NewAccount) { n.Password = strings.Repeat("xy", 129) }},
		{"password", accounts.ErrPassword, func(n *accounts.NewAccount) { n.Password = "福福福福福福福福" }},
		{"password", accounts.ErrPassword, func(n *accounts.NewAccount) { n.Username, n.Password = "Li.Hua.2026", "li.HUA.2026" }},
		{"role", accounts.ErrRole, func(n *accounts.NewAccount) { n.Role = "root" }},
		{"role", accounts.ErrRole, func(n *accounts.NewAccount) { n.Role = accounts.Resident }},
		{"division", accounts.ErrRole, func(n *accounts.NewAccount) { n.Division = "" }},
		{"division", accounts.ErrRole, func(n *accounts.NewAccount) { n.Role, n.Division = accounts.Admin, "33" }},
		{"organisation", accounts.ErrRole, func(n *accounts.NewAccount) { n.Organisation = "o1" }},
		{"organisation", accounts.ErrRole, func(n *accounts.NewAccount) { n.Role = accounts.Provider }},
		{"division", accounts.ErrRole, func(n *accounts.NewAccount) { n.Role, n.Organisation = accounts.Provider, "o1" }},
		{"display_name", accounts.ErrName, func(n *accounts.NewAccount) { n.DisplayName = strings.Repeat("李", 101) }},
		{"lang", accounts.ErrLang, func(n *accounts.NewAccount) { n.Lang = "fr" }},
	} {
		n := caseworker()
		c.spoil(&n)
		if _, err := f.Create(t.Context(), "root", n); !asField(err, c.field, c.sentinel) {
			t.Errorf("%s: got %v", c.field, err)
		}
	}
}

func TestUsernamesAreOneHoweverWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	if a.Username != "li.hua" || a.Lang != "zh" || a.CreatedBy != "root" {
		t.Fatalf("got %+v", a)
	}
	for _, name := range []string{"li.hua", " LI.HUA ", "\uff4c\uff49.hua"} {
		n := caseworker()
		n.Username = name
		if _, err := f.Create(t.Context(), "root", n); !errors.Is(err, store.ErrDuplicate) {
			t.Errorf("%q: got %v", name, err)
		}
		if _, _, err := f.SignIn(t.Context(), name, "spring-2026", here); err != nil {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestSignInMakesAPrincipal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	cookie, p := f.signIn(t)
	want := accounts.Principal{
		Account: a.ID, Role: accounts.Caseworker, Division: wuxing, Name: "李华", Lang: "zh",
		Session: p.Session, CSRF: p.CSRF,
	}
	if diff := cmp.Diff(want, p); diff != "" || p.Session == "" || p.CSRF == "" || p.Session == cookie {
		t.Fatalf("%s: %+v", diff, p)
	}
	again, err := f.Principal(t.Context(), cookie)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, again); diff != "" {
		t.Fatal(diff)
	}
	if err := f.SetLang(t.Context(), p, "en"); err != nil {
		t.Fatal(err)
	}
	if again, _ = f.Principal(t.Context(), cookie); again.Lang != "en" {
		t.Fatalf("got language %q", again.Lang)
	}
	if err := f.SetLang(t.Context(), p, "fr"); !asField(err, "lang", accounts.ErrLang) {
		t.Fatalf("got %v", err)
	}
}

// An unknown username costs what a known one does: one attempt counted, one
// hash checked; and it is locked like a known one.
func TestUnknownUsernameTakesTheSameSteps(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	known := hash("spring-2026")
	f.create(t)
	type step struct {
		hashes int
		err    error
	}
	walk := func(username string) (steps []step, hashes []string) {
		for range 12 {
			_, _, err := f.SignIn(t.Context(), username, "wrong-password", here)
			taken := f.checks.taken()
			hashes = append(hashes, taken...)
			steps = append(steps, step{len(taken), err})
		}
		return steps, hashes
	}
	knownSteps, knownHashes := walk("li.hua")
	unknownSteps, unknownHashes := walk("nobody")
	for i := range knownSteps {
		if knownSteps[i].hashes != unknownSteps[i].hashes || knownSteps[i].err.Error() != unknownSteps[i].err.Error() {
			t.Errorf("attempt %d: known %+v, unknown %+v", i+1, knownSteps[i], unknownSteps[i])
		}
		want := accounts.ErrCredentials
		if i >= 10 {
			want = accounts.ErrLocked
		}
		if !errors.Is(knownSteps[i].err, want) {
			t.Errorf("attempt %d: got %v, want %v", i+1, knownSteps[i].err, want)
		}
	}
	if len(knownHashes) != 10 || len(unknownHashes) != 10 {
		t.Fatalf("checked %d and %d hashes, want 10", len(knownHashes), len(unknownHashes))
	}
	for i := range knownHashes {
		if knownHashes[i] != known || unknownHashes[i] == known || !strings.HasPrefix(unknownHashes[i], "hash of ") {
			t.Errorf("checked %q and %q", knownHashes[i], unknownHashes[i])
		}
	}
}

func TestArgon2idIsWhatChecksPasswords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := accounts.New(accounts.Config{Record: f.record, Now: f.clock.now})
	a, err := s.Create(t.Context(), "root", caseworker())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(a.PasswordHash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("got %q", a.PasswordHash)
	}
	if _, _, err := s.SignIn(t.Context(), "li.hua", "spring-2026", here); err != nil {
		t.Fatal(err)
	}
	for _, username := range []string{"li.hua", "nobody"} {
		if _, _, err := s.SignIn(t.Context(), username, "wrong", here); !errors.Is(err, accounts.ErrCredentials) {
			t.Fatalf("%s: got %v", username, err)
		}
	}
}

func TestLockBacksOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create(t)
	fail := func() error {
		t.Helper()
		_, _, err := f.SignIn(t.Context(), "li.hua", "wrong", here)
		return err
	}
	for range 9 {
		if err := fail(); !errors.Is(err, accounts.ErrCredentials) {
			t.Fatalf("got %v", err)
		}
	}
	f.signIn(t) // the tenth attempt may be right, and clears the count
	for _, minutes := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		lock := time.Duration(minutes) * time.Minute
		tries := 1
		if minutes == 1 {
			tries = 10
		}
		for range tries {
			if err := fail(); !errors.Is(err, accounts.ErrCredentials) {
				t.Fatalf("lock of %v: got %v", lock, err)
			}
		}
		_, _, err := f.SignIn(t.Context(), "li.hua", "spring-2026", here)
		var locked accounts.LockedError
		if !errors.As(err, &locked) || !locked.Until.Equal(f.clock.now().Add(lock)) {
			t.Fatalf("want a lock of %v, got %v", lock, err)
		}
		f.clock.advance(lock - time.Millisecond)
		if err := fail(); !errors.Is(err, accounts.ErrLocked) {
			t.Fatalf("just before the end: got %v", err)
		}
		f.clock.advance(time.Millisecond)
	}
	f.clock.advance(24 * time.Hour) // forgotten
	for range 9 {
		if err := fail(); !errors.Is(err, accounts.ErrCredentials) {
			t.Fatalf("got %v", err)
		}
	}
	f.signIn(t)
}

// A stranger's wrong passwords lock out the stranger's network, not the owner.
func TestStrangersDoNotLockTheOwnerOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create(t)
	guess := func(username, network string) error {
		t.Helper()
		_, _, err := f.SignIn(t.Context(), username, "wrong", network)
		return err
	}
	for range 50 {
		if err := guess("li.hua", "203.0.113.9"); err == nil {
			t.Fatal("a wrong password was taken")
		}
		if err := guess("li.hua\x00"+here, here); err == nil { // no name makes up another's count
			t.Fatal("a wrong name was taken")
		}
	}
	if err := guess("li.hua", "203.0.113.9"); !errors.Is(err, accounts.ErrLocked) {
		t.Errorf("the stranger goes on guessing: %v", err)
	}
	f.signIn(t)
	// From many networks together the guesses are stopped after a hundred.
	checked := 0
	f.checks.taken()
	for i := range 60 {
		for range 5 {
			if err := guess("li.hua", fmt.Sprintf("203.0.113.%d", 10+i)); errors.Is(err, accounts.ErrCredentials) {
				checked++
			}
		}
	}
	if checked != 100 || len(f.checks.taken()) != 100 {
		t.Errorf("%d passwords were checked for many networks, want 100", checked)
	}
	f.clock.advance(time.Minute)
	f.signIn(t)
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFixture(t)
	a := f.create(t)
	old, p := f.signIn(t)
	other, _ := f.signIn(t)
	if _, _, err := f.ChangePassword(ctx, p, "wrong", "autumn-2026", here); !errors.Is(err, accounts.ErrCredentials) {
		t.Errorf("a wrong present password: %v", err)
	}
	if _, _, err := f.ChangePassword(ctx, p, "spring-2026", "short", here); !asField(err, "password", accounts.ErrPassword) {
		t.Errorf("a short password: %v", err)
	}
	fresh, next, err := f.ChangePassword(ctx, p, "spring-2026", "autumn-2026", here)
	if err != nil || next.Account != a.ID || next.CSRF == p.CSRF {
		t.Fatalf("%+v, %v", next, err)
	}
	for name, cookie := range map[string]string{"the session": old, "another session": other} {
		if _, err := f.Principal(ctx, cookie); !errors.Is(err, accounts.ErrNoSession) {
			t.Errorf("%s lives on: %v", name, err)
		}
	}
	if got, err := f.Principal(ctx, fresh); err != nil || got != next {
		t.Errorf("the fresh session: %+v, %v", got, err)
	}
	if _, _, err := f.SignIn(ctx, "li.hua", "spring-2026", here); !errors.Is(err, accounts.ErrCredentials) {
		t.Errorf("the old password: %v", err)
	}
	if _, _, err := f.SignIn(ctx, "li.hua", "autumn-2026", here); err != nil {
		t.Errorf("the new password: %v", err)
	}
	for range 10 {
		if _, _, err := f.ChangePassword(ctx, next, "wrong", "winter-2026", here); err == nil {
			t.Fatal("a wrong password was taken for the present one")
		}
	}
	if _, _, err = f.ChangePassword(ctx, next, "autumn-2026", "winter-2026", here); !errors.Is(err, accounts.ErrLocked) {
		t.Errorf("guessing the present password: %v", err)
	}
	token := accounts.Principal{Account: "token:x", Role: accounts.Admin, Token: true}
	if _, _, err := f.ChangePassword(ctx, token, "a", "winter-2026", here); !errors.Is(err, accounts.ErrNoSession) {
		t.Errorf("a service token: %v", err)
	}
}

// However many guesses come at once, no more than ten passwords are checked.
func TestParallelGuessesAreCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create(t)
	var wg sync.WaitGroup
	var refused atomic.Int64
	start := make(chan struct{})
	for range 100 {
		wg.Go(func() {
			<-start
			_, _, err := f.SignIn(t.Context(), "li.hua", "wrong", here)
			switch {
			case errors.Is(err, accounts.ErrLocked):
				refused.Add(1)
			case !errors.Is(err, accounts.ErrCredentials):
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	if got := len(f.checks.taken()); got != 10 || refused.Load() != 90 {
		t.Fatalf("checked %d passwords and refused %d, want 10 and 90", got, refused.Load())
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context, fixture, *accounts.Account, string) error{
		"sign-out": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			return f.SignOut(ctx, cookie)
		},
		"expiry": func(_ context.Context, f fixture, a *accounts.Account, cookie string) error {
			f.clock.advance(time.Hour)
			return nil
		},
		"disabled": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			return f.Disable(ctx, "root", a.ID, true)
		},
		"disabled and enabled": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			return errors.Join(f.Disable(ctx, "root", a.ID, true), f.Disable(ctx, "root", a.ID, false))
		},
		"password": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			return f.SetPassword(ctx, "root", a.ID, "autumn-2026")
		},
		"a lost device": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			fresh, _, err := f.SignOutAccount(ctx, accounts.Principal{Account: "root"}, a.ID)
			if fresh != "" {
				err = errors.New("whoever reports it gets the owner's session")
			}
			return err
		},
		"one's own lost device": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			p, err := f.Principal(ctx, cookie)
			if err != nil {
				return err
			}
			fresh, next, err := f.SignOutAccount(ctx, p, a.ID)
			if err == nil {
				var q accounts.Principal
				if q, err = f.Principal(ctx, fresh); err == nil && (q != next || q.CSRF == p.CSRF) {
					err = errors.New("the owner does not go on under a fresh session")
				}
			}
			return err
		},
		"role": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			return f.SetRole(ctx, "root", a.ID, accounts.Provider, "", "o1")
		},
		"renewal": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			fresh, p, err := f.Renew(ctx, cookie)
			if err == nil {
				var q accounts.Principal
				if q, err = f.Principal(ctx, fresh); err == nil && q != p {
					err = errors.New("the renewed session is another's")
				}
			}
			return err
		},
		"account gone": func(ctx context.Context, f fixture, a *accounts.Account, cookie string) error {
			return f.record.Delete(ctx, "accounts", []string{a.ID})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			a := f.create(t)
			cookie, p := f.signIn(t)
			if err := end(t.Context(), f, a, cookie); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := f.Principal(t.Context(), cookie); !errors.Is(err, accounts.ErrNoSession) {
					t.Fatalf("got %v", err)
				}
			}
			// It is not only refused: it is no longer there.
			docs, err := f.record.Get(t.Context(), "sessions", []string{p.Session}, func() store.Document { return new(accounts.Session) })
			if err != nil || docs[0] != nil {
				t.Fatalf("the session is still stored: %v, %v", docs[0], err)
			}
		})
	}
}

// A sign-in that was under way while the account was disabled or given another
// password leaves no living session.
func TestSignInRacingAChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	s := accounts.New(accounts.Config{
		Record: f.record, Now: f.clock.now, Hash: hash,
		Check: func(h, secret string) bool { // between the check and the session
			if err := f.SetPassword(context.Background(), "root", a.ID, "autumn-2026"); err != nil {
				t.Error(err)
			}
			return h == hash(secret)
		},
	})
	cookie, _, err := s.SignIn(t.Context(), "li.hua", "spring-2026", here)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Principal(t.Context(), cookie); !errors.Is(err, accounts.ErrNoSession) {
		t.Fatalf("got %v", err)
	}
}

func TestDisabledAccountCannotSignIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	if err := f.Disable(t.Context(), "root", a.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.SignIn(t.Context(), "li.hua", "spring-2026", here); !errors.Is(err, accounts.ErrCredentials) {
		t.Fatalf("got %v", err)
	}
	if len(f.checks.taken()) != 1 {
		t.Fatal("a disabled account must cost a hash as well")
	}
	if err := f.Disable(t.Context(), "root", a.ID, false); err != nil {
		t.Fatal(err)
	}
	f.signIn(t)
	if err := f.Disable(t.Context(), "root", "nobody", true); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

func TestCookiesAreMadeHereOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create(t)
	first, p1 := f.signIn(t)
	second, p2 := f.signIn(t)
	if first == second || p1.Session == p2.Session || p1.CSRF == p2.CSRF {
		t.Fatal("two sign-ins share a secret")
	}
	// The stored id of a session lets nobody in, nor does anything else.
	for _, cookie := range []string{"", p1.Session, first + "A", first[:42], strings.Repeat("A", 43), first + "=", "../" + first} {
		if _, err := f.Principal(t.Context(), cookie); !errors.Is(err, accounts.ErrNoSession) {
			t.Errorf("%q: got %v", cookie, err)
		}
		if err := f.SignOut(t.Context(), cookie); err != nil {
			t.Errorf("%q: got %v", cookie, err)
		}
	}
	if _, err := f.Principal(t.Context(), first); err != nil {
		t.Fatal(err)
	}
}

func TestExpiredSessionsAreDeletedInPassing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.create(t)
	for range 5 {
		f.signIn(t)
	}
	if _, _, err := f.SignIn(t.Context(), "nobody", "wrong", here); !errors.Is(err, accounts.ErrCredentials) {
		t.Fatal(err)
	}
	f.clock.advance(25 * time.Hour)
	f.signIn(t)
	for collection, want := range map[string]int{"sessions": 1, "signin_attempts": 0} {
		docs, _, err := f.record.Find(t.Context(), collection, store.Query{}, func() store.Document { return new(accounts.Session) })
		if err != nil || len(docs) != want {
			t.Errorf("%s: %d left, want %d, %v", collection, len(docs), want, err)
		}
	}
}

func TestResidentSession(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFixture(t)
	cookie, p, err := f.ResidentSession(ctx, "r1", "fr")
	if err != nil {
		t.Fatal(err)
	}
	want := accounts.Principal{
		Account: "resident:r1", Role: accounts.Resident, Resident: "r1", Lang: "zh", Session: p.Session, CSRF: p.CSRF,
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Fatal(diff)
	}
	if err := f.SetLang(ctx, p, "en"); err != nil {
		t.Fatal(err)
	}
	got, err := f.Principal(ctx, cookie)
	if err != nil || got.Lang != "en" || got.Resident != "r1" {
		t.Fatalf("got %+v, %v", got, err)
	}
	other, _, err := f.ResidentSession(ctx, "r2", "zh")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SignOutResident(ctx, "r1"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Principal(ctx, cookie); !errors.Is(err, accounts.ErrNoSession) {
		t.Fatalf("got %v", err)
	}
	if err := f.SetLang(ctx, p, "zh"); !errors.Is(err, accounts.ErrNoSession) {
		t.Fatalf("language of a dead session: %v", err)
	}
	if _, err := f.Principal(ctx, other); err != nil {
		t.Fatalf("another resident was signed out too: %v", err)
	}
	if _, _, err := f.ResidentSession(ctx, "", "zh"); !errors.Is(err, accounts.ErrNoSession) {
		t.Fatalf("a session of nobody: %v", err)
	}
}

func TestServiceTokens(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFixture(t)
	token, st, err := f.MintToken(ctx, "root", accounts.NewToken{
		Label: "canteen till", Role: accounts.Provider, Organisation: "o1", TTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.PrincipalOfToken(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	want := accounts.Principal{
		Account: "token:" + st.ID, Role: accounts.Provider, Organisation: "o1", Duty: accounts.Editor, Name: "canteen till", Lang: "zh", Token: true,
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Fatal(diff)
	}
	if err := f.SetLang(ctx, p, "en"); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", st.ID, "hct_" + st.ID, token + "A", strings.TrimPrefix(token, "hct_"), "hct_" + strings.Repeat("A", 43)} {
		_, err := f.PrincipalOfToken(ctx, wrong)
		if !errors.Is(err, accounts.ErrToken) || !errors.Is(err, accounts.ErrNoSession) {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
	if _, err := f.Principal(ctx, token); !errors.Is(err, accounts.ErrNoSession) {
		t.Errorf("a token is no cookie: %v", err)
	}

	f.clock.advance(time.Hour)
	if _, err := f.PrincipalOfToken(ctx, token); !errors.Is(err, accounts.ErrToken) {
		t.Fatalf("expired: %v", err)
	}
	token, st, err = f.MintToken(ctx, "root", accounts.NewToken{Label: "statistics", Role: accounts.Admin, Division: huzhou})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := st.ExpiresMs-st.CreatedMs, (90 * 24 * time.Hour).Milliseconds(); got != want {
		t.Fatalf("default lifetime %d ms, want %d", got, want)
	}
	for range 2 {
		if err := f.RevokeToken(ctx, "root", st.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.PrincipalOfToken(ctx, token); !errors.Is(err, accounts.ErrToken) {
		t.Fatalf("revoked: %v", err)
	}
	if err := f.RevokeToken(ctx, "root", "none"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if got, err := f.Token(ctx, st.ID); err != nil || !got.Revoked || got.RevokedBy != "root" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if page, _, err := f.Tokens(ctx, "", 10); err != nil || len(page) != 2 {
		t.Fatalf("got %d, %v", len(page), err)
	}

	good := accounts.NewToken{Label: "x", Role: accounts.Caseworker, Division: wuxing}
	for _, c := range []struct {
		field    string
		sentinel error
		spoil    func(*accounts.NewToken)
	}{
		{"label", accounts.ErrName, func(n *accounts.NewToken) { n.Label = " " }},
		{"role", accounts.ErrRole, func(n *accounts.NewToken) { n.Role = accounts.Resident }},
		{"division", accounts.ErrRole, func(n *accounts.NewToken) { n.Division = "" }},
		{"organisation", accounts.ErrRole, func(n *accounts.NewToken) { n.Role = accounts.Provider }},
		{"division", accounts.ErrRole, func(n *accounts.NewToken) { n.Role, n.Organisation = accounts.Provider, "o1" }},
		{"ttl", accounts.ErrTTL, func(n *accounts.NewToken) { n.TTL = time.Second }},
		{"ttl", accounts.ErrTTL, func(n *accounts.NewToken) { n.TTL = 367 * 24 * time.Hour }},
		{"ttl", accounts.ErrTTL, func(n *accounts.NewToken) { n.TTL = -time.Hour }},
	} {
		n := good
		c.spoil(&n)
		if _, _, err := f.MintToken(ctx, "root", n); !asField(err, c.field, c.sentinel) {
			t.Errorf("%s: got %v", c.field, err)
		}
	}
}

// What is stored holds no cookie, no token and no password.
func TestNoSecretIsStored(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFixture(t)
	real := accounts.New(accounts.Config{Record: f.record, Now: f.clock.now})
	if _, err := real.Create(ctx, "root", caseworker()); err != nil {
		t.Fatal(err)
	}
	cookie, _, err := real.SignIn(ctx, "li.hua", "spring-2026", here)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := real.MintToken(ctx, "root", accounts.NewToken{Label: "x", Role: accounts.Admin, Division: huzhou})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for collection, fresh := range map[string]func() store.Document{
		"accounts":       func() store.Document { return new(accounts.Account) },
		"sessions":       func() store.Document { return new(accounts.Session) },
		"service_tokens": func() store.Document { return new(accounts.ServiceToken) },
	} {
		docs, _, err := f.record.Find(ctx, collection, store.Query{}, fresh)
		if err != nil || len(docs) != 1 {
			t.Fatalf("%s: %d, %v", collection, len(docs), err)
		}
		text, err := json.Marshal(docs)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, secret := range []string{cookie, token, strings.TrimPrefix(token, "hct_"), "spring-2026"} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("a secret is stored: %s", all.String())
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, name := range []string{"aa", "bb", "cc"} {
		n := caseworker()
		n.Username, n.DisplayName = name, ""
		if _, err := f.Create(t.Context(), "root", n); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for after := ""; ; {
		page, next, err := f.List(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page {
			got = append(got, a.DisplayName)
		}
		if after = next; after == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"aa", "bb", "cc"}, got); diff != "" {
		t.Fatal(diff)
	}
}
