package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// SignIn begins a session and returns the value of its cookie, which is kept
// nowhere else. network is where the attempt comes from (an address or a
// prefix); failures are counted for each apart. The value is always a fresh one; a cookie that came with the
// request is not taken over.
//
// An unknown username takes the same steps as a known one: the attempt is
// counted, and the password is checked against a hash nobody has the password
// of. The attempt is counted before the password is checked, so that guesses
// sent at once do not all slip in before the lock.
//
// Errors: [ErrCredentials]; [LockedError], which is an [ErrLocked].
func (s *Service) SignIn(ctx context.Context, username, password, network string) (cookie string, p Principal, err error) {
	username = canonicalUsername(username)
	keys, err := s.attempt(ctx, username, network)
	if err != nil {
		return "", Principal{}, err
	}
	found, _, err := s.accounts.Find(ctx, store.Query{Index: "username", Equal: []any{username}, Limit: 1})
	if err != nil {
		return "", Principal{}, err
	}
	hash := s.dummy
	if len(found) == 1 {
		hash = found[0].PasswordHash
	}
	right, err := s.checked(ctx, hash, password)
	if err != nil {
		return "", Principal{}, err
	}
	if !right || len(found) == 0 || found[0].Disabled {
		return "", Principal{}, ErrCredentials
	}
	account := found[0]
	if err := s.attempts.Delete(ctx, keys...); err != nil {
		return "", Principal{}, err
	}
	if err := s.sweep(ctx); err != nil {
		return "", Principal{}, err
	}
	session := &Session{Account: account.ID, Epoch: account.Epoch}
	cookie, err = s.begin(ctx, session)
	if err != nil {
		return "", Principal{}, err
	}
	return cookie, accountPrincipal(account, session), nil
}

// ChangePassword gives the owner of a session a new password, if they know the
// present one. All their sessions are dead; cookie and next are those of a
// fresh one. Wrong tries count as those of [Service.SignIn] do.
//
// Errors: [ErrCredentials]; [LockedError]; [FieldError] around [ErrPassword];
// [ErrNoSession] for a principal without an account.
func (s *Service) ChangePassword(ctx context.Context, p Principal, current, password, network string) (cookie string, next Principal, err error) {
	if p.Token || p.Role == Resident {
		return "", Principal{}, fmt.Errorf("change a password: %w", ErrNoSession)
	}
	account, err := s.accounts.Get(ctx, p.Account)
	if err != nil {
		return "", Principal{}, err
	}
	if err := checkPassword(password, account.Username); err != nil {
		return "", Principal{}, err
	}
	keys, err := s.attempt(ctx, account.Username, network)
	if err != nil {
		return "", Principal{}, err
	}
	right, err := s.checked(ctx, account.PasswordHash, current)
	if err != nil {
		return "", Principal{}, err
	}
	if !right {
		return "", Principal{}, ErrCredentials
	}
	if err := s.attempts.Delete(ctx, keys...); err != nil {
		return "", Principal{}, err
	}
	if err := s.SetPassword(ctx, account.ID, account.ID, password); err != nil {
		return "", Principal{}, err
	}
	return s.again(ctx, account.ID)
}

// SignOutAccount ends all sessions of an account, as is due when a phone that
// may be signed in is lost. Where p is the account's owner, cookie and next are
// those of a fresh session; else they are empty.
//
// Errors: [store.ErrNotFound]; [ErrNoSession] for an owner who was disabled.
func (s *Service) SignOutAccount(ctx context.Context, p Principal, id string) (cookie string, next Principal, err error) {
	if err := s.change(ctx, p.Account, id, func(*Account) {}); err != nil {
		return "", Principal{}, err
	}
	if p.Account != id {
		return "", Principal{}, nil
	}
	return s.again(ctx, id)
}

// again begins a fresh session for the owner of sessions that were just ended.
func (s *Service) again(ctx context.Context, id string) (cookie string, next Principal, err error) {
	account, err := s.accounts.Get(ctx, id)
	if err != nil {
		return "", Principal{}, err
	}
	if account.Disabled {
		return "", Principal{}, ErrNoSession
	}
	session := &Session{Account: account.ID, Epoch: account.Epoch}
	if cookie, err = s.begin(ctx, session); err != nil {
		return "", Principal{}, err
	}
	return cookie, accountPrincipal(account, session), nil
}

// attempt counts one sign-in under a username, for its network and for all of
// them, unless either is locked; keys are the counts to delete when it
// succeeds. What is refused for its network does not count for all, so that
// one network cannot use up the patience with the others.
// Errors: [LockedError].
func (s *Service) attempt(ctx context.Context, username, network string) (keys []string, err error) {
	one, all := digest("network\x00"+network+"\x00"+username), digest("username\x00"+username)
	if err := s.count(ctx, one, ofOneNetwork()); err != nil {
		return nil, err
	}
	if err := s.count(ctx, all, ofAllNetworks()); err != nil {
		return nil, err
	}
	return []string{one, all}, nil
}

// count counts one attempt, by compare-and-set. Errors: [LockedError].
func (s *Service) count(ctx context.Context, key string, p patience) error {
	const tries = 64
	for range tries {
		now := s.now()
		a, err := s.attempts.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			err = s.attempts.Insert(ctx, &attempts{
				Meta: store.Meta{ID: key}, Failures: 1, ForgottenMs: store.Millis(now.Add(forgetFailures)),
			})
			if errors.Is(err, store.ErrDuplicate) {
				continue
			}
			return err
		}
		if err != nil {
			return err
		}
		ms := store.Millis(now)
		if a.LockedUntilMs > ms {
			return LockedError{time.UnixMilli(a.LockedUntilMs)}
		}
		if a.ForgottenMs <= ms {
			a.Failures = 0
		}
		a.Failures++
		a.ForgottenMs = store.Millis(now.Add(forgetFailures))
		a.LockedUntilMs = 0
		if a.Failures >= p.free {
			a.LockedUntilMs = store.Millis(now.Add(p.lockAfter(a.Failures)))
		}
		err = s.attempts.Replace(ctx, a)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return LockedError{s.now().Add(firstLock)} // that many guesses at once are no person's
}

// lockAfter is how long a username is locked after so many failures.
func (p patience) lockAfter(failures int64) time.Duration {
	lock := firstLock
	for range failures - p.free {
		if lock *= 2; lock >= p.longest {
			return p.longest
		}
	}
	return lock
}

// ResidentSession begins a session for a resident whose card and PIN the
// caller has checked.
func (s *Service) ResidentSession(ctx context.Context, residentID, lang string) (cookie string, p Principal, err error) {
	return s.CarerSession(ctx, residentID, "", lang)
}

// CarerSession begins a session for a carer of a resident, whose card and PIN
// the caller has checked. Whether the carer's time is over is for the caller to
// ask at each request.
func (s *Service) CarerSession(ctx context.Context, residentID, carerID, lang string) (cookie string, p Principal, err error) {
	if checkLang(lang) != nil {
		lang = "zh"
	}
	if residentID == "" {
		return "", Principal{}, fmt.Errorf("begin a resident's session: %w", ErrNoSession)
	}
	if err := s.sweep(ctx); err != nil {
		return "", Principal{}, err
	}
	session := &Session{Resident: residentID, Carer: carerID, Lang: lang}
	cookie, err = s.begin(ctx, session)
	if err != nil {
		return "", Principal{}, err
	}
	return cookie, residentPrincipal(session), nil
}

// begin stores a session under a fresh cookie.
func (s *Service) begin(ctx context.Context, session *Session) (cookie string, err error) {
	cookie = secret()
	now := s.now()
	session.Meta = store.Meta{ID: digest(cookie)}
	session.CSRF = secret()
	session.CreatedMs = store.Millis(now)
	session.ExpiresMs = store.Millis(now.Add(s.ttl))
	if err := s.sessions.Insert(ctx, session); err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	return cookie, nil
}

// Principal recognises the owner of a cookie. A session is dead when it has
// expired, was ended, or its account was disabled, signed out or given another
// password or role since; a dead one that is met is deleted. Errors: [ErrNoSession].
func (s *Service) Principal(ctx context.Context, cookie string) (Principal, error) {
	if !wellFormed(cookie) {
		return Principal{}, ErrNoSession
	}
	session, err := s.sessions.Get(ctx, digest(cookie))
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, ErrNoSession
	}
	if err != nil {
		return Principal{}, err
	}
	if session.ExpiresMs <= store.Millis(s.now()) {
		return Principal{}, s.bury(ctx, session)
	}
	if session.Resident != "" {
		return residentPrincipal(session), nil
	}
	account, err := s.accounts.Get(ctx, session.Account)
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, s.bury(ctx, session)
	}
	if err != nil {
		return Principal{}, err
	}
	if account.Disabled || account.Epoch != session.Epoch {
		return Principal{}, s.bury(ctx, session)
	}
	return accountPrincipal(account, session), nil
}

// bury deletes a dead session and answers [ErrNoSession].
func (s *Service) bury(ctx context.Context, session *Session) error {
	if err := s.sessions.Delete(ctx, session.ID); err != nil {
		return err
	}
	return ErrNoSession
}

// Renew replaces a living session's cookie by a fresh one, as is due when
// somebody's rights change in the middle of a session; the earlier cookie is
// dead. Errors: [ErrNoSession].
func (s *Service) Renew(ctx context.Context, cookie string) (fresh string, p Principal, err error) {
	p, err = s.Principal(ctx, cookie)
	if err != nil {
		return "", Principal{}, err
	}
	session, err := s.sessions.Get(ctx, p.Session)
	if errors.Is(err, store.ErrNotFound) {
		return "", Principal{}, ErrNoSession
	}
	if err != nil {
		return "", Principal{}, err
	}
	next := &Session{Account: session.Account, Resident: session.Resident, Carer: session.Carer, Epoch: session.Epoch, Lang: session.Lang}
	if fresh, err = s.begin(ctx, next); err != nil {
		return "", Principal{}, err
	}
	if err := s.SignOut(ctx, cookie); err != nil {
		return "", Principal{}, err
	}
	p.Session, p.CSRF = next.ID, next.CSRF
	return fresh, p, nil
}

// SignOut ends the session of a cookie; one that belongs to none is passed over.
func (s *Service) SignOut(ctx context.Context, cookie string) error {
	if !wellFormed(cookie) {
		return nil
	}
	return s.sessions.Delete(ctx, digest(cookie))
}

// SignOutResident ends all sessions of a resident, as is due when the card is
// revoked or issued anew or the PIN is changed. Those of the carers go on: they
// have cards and PINs of their own.
func (s *Service) SignOutResident(ctx context.Context, residentID string) error {
	return s.endOf(ctx, residentID, "", "")
}

// SignOutOthers is [Service.SignOutResident] but for one session, by its id.
func (s *Service) SignOutOthers(ctx context.Context, residentID, session string) error {
	return s.endOf(ctx, residentID, "", session)
}

// SignOutCarer ends all sessions of one carer of a resident.
func (s *Service) SignOutCarer(ctx context.Context, residentID, carerID string) error {
	return s.endOf(ctx, residentID, carerID, "")
}

// endOf ends the sessions of a resident that are the carer's ("": the
// resident's own), but for one.
func (s *Service) endOf(ctx context.Context, residentID, carerID, but string) error {
	var ids []string
	if err := s.sessions.Each(ctx, store.Query{Index: "resident", Equal: []any{residentID}}, func(x *Session) error {
		if x.Carer == carerID && x.ID != but {
			ids = append(ids, x.ID)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := s.sessions.Delete(ctx, ids...); err != nil {
		return fmt.Errorf("end sessions of resident %s: %w", residentID, err)
	}
	return nil
}

// sweep deletes some of what has expired.
func (s *Service) sweep(ctx context.Context) error {
	now := store.Millis(s.now())
	dead, _, err := s.sessions.Find(ctx, store.Query{Index: "expires", To: now, Limit: sweepAtOnce})
	if err != nil {
		return err
	}
	ids := make([]string, len(dead))
	for i, x := range dead {
		ids[i] = x.ID
	}
	if err := s.sessions.Delete(ctx, ids...); err != nil {
		return err
	}
	old, _, err := s.attempts.Find(ctx, store.Query{Index: "forgotten", To: now, Limit: sweepAtOnce})
	if err != nil {
		return err
	}
	ids = make([]string, len(old))
	for i, x := range old {
		ids[i] = x.ID
	}
	return s.attempts.Delete(ctx, ids...)
}

func accountPrincipal(a *Account, session *Session) Principal {
	return Principal{
		Account: a.ID, Role: a.Role, Division: a.Division, Organisation: a.Organisation, Duty: a.duty(),
		Name: a.DisplayName, Lang: a.Lang, Session: session.ID, CSRF: session.CSRF,
	}
}

func residentPrincipal(session *Session) Principal {
	account := "resident:" + session.Resident
	if session.Carer != "" {
		account = "carer:" + session.Carer
	}
	return Principal{
		Account: account, Role: Resident, Resident: session.Resident, Carer: session.Carer,
		Lang: session.Lang, Session: session.ID, CSRF: session.CSRF,
	}
}
