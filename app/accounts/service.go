package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
)

const (
	firstLock = time.Minute
	// forgetFailures is how long after the last attempt the count begins anew.
	forgetFailures = 24 * time.Hour

	defaultSessionTTL = 12 * time.Hour
	defaultTokenTTL   = 90 * 24 * time.Hour
	shortestTokenTTL  = time.Minute
	longestTokenTTL   = 366 * 24 * time.Hour

	minPassword, maxPassword = 8, 256 // characters
	minUsername, maxUsername = 2, 64  // characters
	maxName                  = 100    // characters

	tokenPrefix = "hct_"
	sweepAtOnce = 100
)

// patience is how many sign-ins under a username may fail before each further
// one is locked out for a while: a minute at first, doubling up to longest.
//
// The strict one is for each network, so that a stranger who types wrong
// passwords locks out the stranger's network and not the account's owner. The
// loose one is for all networks together: it stops guessing from many, and
// locks for a short time only, because it does lock the owner out.
//
// Source: threats.md, "password guessing"; NIST SP 800-63B, 5.2.2 (at most 100).
type patience struct {
	free    int64
	longest time.Duration
}

func ofOneNetwork() patience { return patience{10, time.Hour} }

func ofAllNetworks() patience { return patience{100, 15 * time.Minute} }

// Config is what a [Service] needs.
type Config struct {
	Record     store.Record
	Now        func() time.Time
	SessionTTL time.Duration // 0: 12 hours
	// Hash and Check make and check password hashes; nil: argon2id as in the
	// vault.
	Hash  func(secret string) string
	Check func(hash, secret string) bool
}

// Service is the one place where identities are made and recognised. It is
// safe for concurrent use.
type Service struct {
	now      func() time.Time
	ttl      time.Duration
	hash     func(string) string
	check    func(hash, secret string) bool
	dummy    string        // a hash of nothing anybody knows
	hashing  chan struct{} // each hash takes 19 MiB: as many at once as there are processors
	accounts store.Collection[Account, *Account]
	sessions store.Collection[Session, *Session]
	tokens   store.Collection[ServiceToken, *ServiceToken]
	attempts store.Collection[attempts, *attempts]
}

// New makes a service. Record and Now are required.
func New(c Config) *Service {
	if c.SessionTTL <= 0 {
		c.SessionTTL = defaultSessionTTL
	}
	if c.Hash == nil {
		c.Hash = vault.HashSecret
	}
	if c.Check == nil {
		c.Check = vault.CheckSecret
	}
	return &Service{
		now: c.Now, ttl: c.SessionTTL, hash: c.Hash, check: c.Check,
		dummy:    c.Hash(secret()),
		hashing:  make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		accounts: store.Of[Account](c.Record, accountsSchema()),
		sessions: store.Of[Session](c.Record, sessionsSchema()),
		tokens:   store.Of[ServiceToken](c.Record, tokensSchema()),
		attempts: store.Of[attempts](c.Record, attemptsSchema()),
	}
}

// Create makes an account. Errors: [FieldError] around [ErrUsername],
// [ErrPassword], [ErrRole] or [ErrLang]; [store.ErrDuplicate] for a username
// that is taken.
func (s *Service) Create(ctx context.Context, by string, a NewAccount) (*Account, error) {
	username, err := parseUsername(a.Username)
	if err != nil {
		return nil, err
	}
	if err := checkPassword(a.Password, username); err != nil {
		return nil, err
	}
	if err := checkRole(a.Role, a.Division, a.Organisation); err != nil {
		return nil, err
	}
	if a.Role == Provider && a.Duty == "" {
		a.Duty = Owner
	}
	if err := checkDuty(a.Role, a.Duty, false); err != nil {
		return nil, err
	}
	if a.Lang == "" {
		a.Lang = "zh"
	}
	if err := checkLang(a.Lang); err != nil {
		return nil, err
	}
	a.DisplayName = strings.TrimSpace(a.DisplayName)
	if a.DisplayName == "" {
		a.DisplayName = username
	}
	if n := utf8.RuneCountInString(a.DisplayName); n > maxName || !utf8.ValidString(a.DisplayName) {
		return nil, FieldError{"display_name", "名称最多 100 个字，请缩短。", "A name has at most 100 characters: shorten it.", ErrName}
	}
	hash, err := s.hashed(ctx, a.Password)
	if err != nil {
		return nil, err
	}
	account := &Account{
		Meta: store.Meta{ID: store.NewID()}, Username: username, PasswordHash: hash,
		Role: a.Role, Division: a.Division, Organisation: a.Organisation, Duty: a.Duty, DisplayName: a.DisplayName,
		Lang: a.Lang, CreatedMs: store.Millis(s.now()), CreatedBy: by,
	}
	if err := s.accounts.Insert(ctx, account); err != nil {
		return nil, err
	}
	return account, nil
}

// Get reads an account. Errors: [store.ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*Account, error) {
	a, err := s.accounts.Get(ctx, id)
	if err == nil {
		a.Duty = a.duty()
	}
	return a, err
}

// List returns one page of accounts in the order of their making.
func (s *Service) List(ctx context.Context, after string, limit int) (page []*Account, next string, err error) {
	return s.accounts.Find(ctx, store.Query{After: after, Limit: limit})
}

// SetPassword gives an account a new password; its sessions are dead at once.
// Errors: [FieldError] around [ErrPassword]; [store.ErrNotFound].
func (s *Service) SetPassword(ctx context.Context, by, id, password string) error {
	account, err := s.accounts.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := checkPassword(password, account.Username); err != nil {
		return err
	}
	hash, err := s.hashed(ctx, password)
	if err != nil {
		return err
	}
	return s.change(ctx, by, id, func(a *Account) { a.PasswordHash = hash })
}

// SetRole changes what an account may do; its sessions are dead at once.
// Errors: [FieldError] around [ErrRole]; [store.ErrNotFound].
func (s *Service) SetRole(ctx context.Context, by, id string, role Role, division, organisation string) error {
	if err := checkRole(role, division, organisation); err != nil {
		return err
	}
	return s.change(ctx, by, id, func(a *Account) {
		a.Role, a.Division, a.Organisation = role, division, organisation
		switch {
		case role != Provider:
			a.Duty = ""
		case a.Duty == "":
			a.Duty = Owner
		}
	})
}

// Disable shuts an account out, its sessions at once, or lets it in again.
// Errors: [store.ErrNotFound].
func (s *Service) Disable(ctx context.Context, by, id string, disabled bool) error {
	return s.change(ctx, by, id, func(a *Account) { a.Disabled = disabled })
}

// change alters an account and ends its sessions: those that exist are deleted,
// those that are being made right now carry the earlier epoch.
func (s *Service) change(ctx context.Context, by, id string, alter func(*Account)) error {
	_, err := s.accounts.Change(ctx, id, func(a *Account) error {
		alter(a)
		a.Epoch++
		a.ChangedMs, a.ChangedBy = store.Millis(s.now()), by
		return nil
	})
	if err != nil {
		return err
	}
	return s.endAll(ctx, id)
}

// SetLang keeps the language of an account or of a resident's session. With a
// service token it does nothing. Errors: [FieldError] around [ErrLang].
func (s *Service) SetLang(ctx context.Context, p Principal, lang string) error {
	if err := checkLang(lang); err != nil {
		return err
	}
	switch {
	case p.Token:
		return nil
	case p.Role == Resident:
		_, err := s.sessions.Change(ctx, p.Session, func(x *Session) error {
			x.Lang = lang
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			return ErrNoSession
		}
		return err
	}
	_, err := s.accounts.Change(ctx, p.Account, func(a *Account) error {
		a.Lang = lang
		return nil
	})
	return err
}

// hashed makes a password hash, a few at a time.
func (s *Service) hashed(ctx context.Context, password string) (string, error) {
	select {
	case s.hashing <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-s.hashing }()
	return s.hash(password), nil
}

// checked checks a password against a hash, a few at a time.
func (s *Service) checked(ctx context.Context, hash, password string) (bool, error) {
	select {
	case s.hashing <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-s.hashing }()
	return s.check(hash, password), nil
}

// secret returns 256 random bits as 43 characters of base64url.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program first
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// digest is under what id a cookie or token is stored.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// wellFormed says whether s can have come from [secret].
func wellFormed(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

// parseUsername brings a username into the form it is stored in.
func parseUsername(s string) (string, error) {
	s = canonicalUsername(s)
	n := utf8.RuneCountInString(s)
	ok := n >= minUsername && n <= maxUsername
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-@", r) {
			ok = false
		}
	}
	if !ok {
		return "", FieldError{"username", "用户名为 2 至 64 个字，只用文字、数字和 . _ - @。",
			"A username has 2 to 64 characters: letters, digits and . _ - @ only.", ErrUsername}
	}
	return s, nil
}

// canonicalUsername makes what a person may take for the same name the same.
func canonicalUsername(s string) string {
	return strings.ToLower(strings.TrimSpace(norm.NFKC.String(s)))
}

func checkPassword(password, username string) error {
	first, _ := utf8.DecodeRuneInString(password)
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password) || n < minPassword || n > maxPassword:
		return FieldError{"password", "密码为 8 至 256 个字符，请换一个。",
			"A password has 8 to 256 characters: choose another.", ErrPassword}
	case canonicalUsername(password) == username || strings.Trim(password, string(first)) == "":
		return FieldError{"password", "密码不能与用户名相同，也不能只是一个字符的重复，请换一个。",
			"A password is not the username and not one character repeated: choose another.", ErrPassword}
	}
	return nil
}

// checkRole says whether a role goes with its division and organisation.
func checkRole(role Role, division, organisation string) error {
	switch {
	case !role.Valid() || role == Resident:
		return FieldError{"role", "角色应为 admin、caseworker 或 provider。",
			"The role is admin, caseworker or provider.", ErrRole}
	case role == Provider && organisation == "":
		return FieldError{"organisation", "资源方账户必须属于一个组织，请选择组织。",
			"A provider belongs to exactly one organisation: choose it.", ErrRole}
	case role != Provider && organisation != "":
		return FieldError{"organisation", "只有资源方账户属于组织，请清空此项。",
			"Only a provider belongs to an organisation: leave it empty.", ErrRole}
	case role == Provider && division != "":
		return FieldError{"division", "资源方账户由其组织决定范围，请清空区划。",
			"A provider answers for its organisation, not for a division: leave it empty.", ErrRole}
	case role == Provider:
		return nil
	case !regions.Valid(division):
		return FieldError{"division", "请选择区划(12 位代码)。",
			"Choose a division (its 12-digit code).", ErrRole}
	}
	return nil
}

func checkLang(lang string) error {
	if lang != "zh" && lang != "en" {
		return FieldError{"lang", "语言应为 zh 或 en。", "The language is zh or en.", ErrLang}
	}
	return nil
}

func (s *Service) endAll(ctx context.Context, account string) error {
	for {
		page, _, err := s.sessions.Find(ctx, store.Query{Index: "account", Equal: []any{account}, Limit: sweepAtOnce})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		ids := make([]string, len(page))
		for i, x := range page {
			ids[i] = x.ID
		}
		if err := s.sessions.Delete(ctx, ids...); err != nil {
			return fmt.Errorf("end sessions of account %s: %w", account, err)
		}
	}
}
