package residents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
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
	return s.tryPIN(ctx, residentID, pin, func(*Resident) {})
}

// ChangePIN sets a new PIN of 6 to 12 digits for a resident who knows the old
// one. A wrong one counts as in [Service.CheckPIN].
//
// Errors: [FieldError] for the new one, those of [Service.CheckPIN].
func (s *Service) ChangePIN(ctx context.Context, residentID, old, pin string) error {
	if !validPIN(pin) {
		return pinError()
	}
	hash := vault.HashSecret(pin)
	return s.tryPIN(ctx, residentID, old, func(r *Resident) { r.PINHash = hash })
}

// tryPIN is CheckPIN that calls right on the resident, to be written, when the
// PIN is the resident's.
func (s *Service) tryPIN(ctx context.Context, residentID, pin string, right func(*Resident)) error {
	r, err := s.residents.Change(ctx, residentID, func(r *Resident) error {
		now := s.cfg.Now()
		if r.PINHash == "" {
			return ErrPIN
		}
		if store.Millis(now) < r.PINLockedUntilMs {
			return &LockedError{UntilMs: r.PINLockedUntilMs}
		}
		r.PINFailures++
		if r.PINFailures >= maxPINFailures {
			r.PINLockedUntilMs = store.Millis(now.Add(lockFor(r.PINFailures)))
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
	if !s.cfg.Check(r.PINHash, pin) {
		return ErrPIN
	}
	checked := r.PINHash
	_, err = s.residents.Change(ctx, residentID, func(r *Resident) error {
		if r.PINHash != checked { // set anew meanwhile: the PIN that was right is not the PIN any more
			return ErrPIN
		}
		r.PINFailures, r.PINLockedUntilMs = 0, 0
		right(r)
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
	hash := vault.HashSecret(pin)
	_, err := s.residents.Change(ctx, residentID, func(r *Resident) error {
		r.PINHash, r.PINFailures, r.PINLockedUntilMs = hash, 0, 0
		return nil
	})
	if err != nil {
		return fmt.Errorf("set PIN of %s: %w", residentID, err)
	}
	return nil
}
