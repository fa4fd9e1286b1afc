package residents

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// How guessing a PIN is slowed down: after maxPINFailures wrong ones in a row
// nothing is accepted for firstLock, and after every further wrong one for
// twice as long as before, up to longestLock.
const (
	maxPINFailures = 10
	firstLock      = 15 * time.Minute
	longestLock    = 24 * time.Hour
)

// nobodysPIN is a hash that no PIN fits, checked where there is no PIN, so
// that the time of an answer does not tell who has one.
const nobodysPIN = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func lockFor(failures int) time.Duration {
	lock := firstLock
	for range failures - maxPINFailures {
		if lock *= 2; lock >= longestLock {
			return longestLock
		}
	}
	return lock
}

// pins are the fields of a document that has a PIN.
type pins struct {
	hash          *string
	failures      *int
	lockedUntilMs *int64
}

func (r *Resident) pins() pins { return pins{&r.PINHash, &r.PINFailures, &r.PINLockedUntilMs} }
func (c *Carer) pins() pins    { return pins{&c.PINHash, &c.PINFailures, &c.PINLockedUntilMs} }

// CheckPIN says whether the PIN is the resident's. A try counts as a failure,
// by compare-and-set, before the PIN is looked at, and is taken back when it
// was right: however many come at once, no more than [maxPINFailures] of them
// are looked at. It costs tens of milliseconds and 19 MiB.
//
// It costs the same when nothing is looked at, so that the time of an answer
// does not tell whether a card is known or locked.
//
// Errors: [ErrPIN], also when none is set or nobody has this id; [ErrLocked].
func (s *Service) CheckPIN(ctx context.Context, residentID, pin string) error {
	return tryPIN(ctx, s, s.residents, residentID, pin, func(*Resident) {})
}

// CheckCarerPIN is [Service.CheckPIN] for a carer's own PIN, with a count and
// a lock of its own. Whether the carer's time is over is not asked.
func (s *Service) CheckCarerPIN(ctx context.Context, carerID, pin string) error {
	return tryPIN(ctx, s, s.carers, carerID, pin, func(*Carer) {})
}

// ChangePIN sets a new PIN of 6 to 12 digits for a resident who knows the old
// one. A wrong one counts as in [Service.CheckPIN].
//
// Errors: [FieldError] for the new one, those of [Service.CheckPIN].
func (s *Service) ChangePIN(ctx context.Context, residentID, old, pin string) error {
	if !validPIN(pin) {
		return pinError()
	}
	hash := s.cfg.Hash(pin)
	return tryPIN(ctx, s, s.residents, residentID, old, func(r *Resident) { r.PINHash = hash })
}

// tryPIN is CheckPIN that calls right on the document, to be written, when the
// PIN is its.
func tryPIN[T any, P interface {
	store.Pointer[T]
	pins() pins
}](ctx context.Context, s *Service, in store.Collection[T, P], id, pin string, right func(P)) error {
	d, err := in.Change(ctx, id, func(d P) error {
		now, p := s.cfg.Now(), d.pins()
		if *p.hash == "" {
			return ErrPIN
		}
		if store.Millis(now) < *p.lockedUntilMs {
			return &LockedError{UntilMs: *p.lockedUntilMs}
		}
		*p.failures++
		if *p.failures >= maxPINFailures {
			*p.lockedUntilMs = store.Millis(now.Add(lockFor(*p.failures)))
		}
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrPIN):
		s.cfg.Check(nobodysPIN, pin)
		return ErrPIN
	case errors.Is(err, ErrLocked):
		s.cfg.Check(nobodysPIN, pin)
		return err
	case err != nil:
		return err
	}
	checked := *d.pins().hash
	if !s.cfg.Check(checked, pin) {
		return ErrPIN
	}
	_, err = in.Change(ctx, id, func(d P) error {
		p := d.pins()
		if *p.hash != checked { // set anew meanwhile: the PIN that was right is not the PIN any more
			return ErrPIN
		}
		*p.failures, *p.lockedUntilMs = 0, 0
		right(d)
		return nil
	})
	return err
}

// SetPIN sets a new PIN of 6 to 12 digits and ends a lock.
//
// Errors: [FieldError], [store.ErrNotFound].
func (s *Service) SetPIN(ctx context.Context, residentID, pin string) error {
	if !validPIN(pin) {
		return pinError()
	}
	hash := s.cfg.Hash(pin)
	_, err := s.residents.Change(ctx, residentID, func(r *Resident) error {
		r.PINHash, r.PINFailures, r.PINLockedUntilMs = hash, 0, 0
		return nil
	})
	if err != nil {
		return fmt.Errorf("set PIN of %s: %w", residentID, err)
	}
	return nil
}

// ResetCarerPIN gives a carer a new PIN of six random digits in place of one
// that was forgotten or told, and ends a lock. The PIN is in the answer and
// nowhere else.
//
// Errors: [store.ErrNotFound], also for another resident's carer and for one
// whose time is over.
func (s *Service) ResetCarerPIN(ctx context.Context, r *Resident, carerID string) (*Carer, string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return nil, "", fmt.Errorf("draw a PIN: %w", err)
	}
	pin := fmt.Sprintf("%06d", n)
	hash := s.cfg.Hash(pin)
	c, err := s.carers.Change(ctx, carerID, func(c *Carer) error {
		if !s.Lives(r, c) {
			return store.ErrNotFound
		}
		c.PINHash, c.PINFailures, c.PINLockedUntilMs = hash, 0, 0
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("reset PIN of carer %s: %w", carerID, err)
	}
	return c, pin, nil
}
