package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/qrcode"
)

// NewKey asks for a key.
type NewKey struct {
	Algorithm qrcode.Algorithm // "": as set for the installation
	From      time.Time        // zero: now
	CardDays  int64            // 0: as set for the installation
}

// New makes a key under an id that none ever had. From its time on it signs
// new codes in place of the one before, which may be retired then.
//
// Errors: [FieldError].
func (r *Ring) New(ctx context.Context, n NewKey) (qrcode.Key, error) {
	now := r.cfg.Now()
	if n.Algorithm == "" {
		n.Algorithm = r.cfg.Algorithm
	}
	if n.CardDays == 0 {
		n.CardDays = r.cfg.CardDays
	}
	if n.From.IsZero() {
		n.From = now
	}
	switch {
	case n.Algorithm != qrcode.Ed25519 && n.Algorithm != qrcode.SM2:
		return qrcode.Key{}, &FieldError{"alg", "应为 Ed25519 或 SM2", "write Ed25519 or SM2"}
	case n.CardDays < 1 || n.CardDays > maxCardDays:
		return qrcode.Key{}, &FieldError{"card_days", "应为 1 至 36500 天", "write 1 to 36500 days"}
	case n.From.Before(now):
		return qrcode.Key{}, &FieldError{"from", "不能早于现在：密钥从将来某日或立即开始签发", "lies in the past: a key begins to sign now or later"}
	}
	k := qrcode.Key{Algorithm: n.Algorithm, FromMs: store.Millis(n.From), CardDays: n.CardDays}
	for {
		if err := r.Refresh(ctx); err != nil {
			return k, err
		}
		id, ok := r.freeID()
		if !ok {
			return k, &FieldError{"id", "255 个编号已全部用过，无法再建新密钥", "all 255 ids have been used; no further key can be made"}
		}
		made, err := r.insert(ctx, id, k)
		if errors.Is(err, store.ErrDuplicate) {
			continue // another process took the id
		}
		if err != nil {
			return k, fmt.Errorf("make signing key %d: %w", id, err)
		}
		return made, r.Refresh(ctx)
	}
}

// freeID is the lowest id that none ever had: documents are never deleted.
func (r *Ring) freeID() (byte, bool) {
	s := r.current.Load()
	for id := 1; id <= 255; id++ {
		if _, taken := s.versions[documentID(byte(id))]; !taken {
			return byte(id), true
		}
	}
	return 0, false
}

// Retire has a key sign until a time, now if it is zero. What it signed until
// then stands until its date. The last key that signs cannot be retired.
//
// Errors: [FieldError], [store.ErrNotFound].
func (r *Ring) Retire(ctx context.Context, id byte, at time.Time) (qrcode.Key, error) {
	now := r.cfg.Now()
	if at.IsZero() {
		at = now
	}
	if at.Before(now) {
		return qrcode.Key{}, &FieldError{"at", "不能早于现在：此前签发的卡会因此失效；密钥已泄露时请用 --compromised",
			"lies in the past: cards signed since then would be refused; for a key that leaked use --compromised"}
	}
	var before int64
	k, err := r.change(ctx, id, func(k *qrcode.Key, _ *stored) error {
		switch StateOf(*k, now) {
		case Revoked:
			return &FieldError{"id", "该密钥已作废", "the key is revoked"}
		case Retired, Over:
			return &FieldError{"id", "该密钥已停用", "the key is retired already"}
		}
		before, k.SignUntilMs = k.SignUntilMs, store.Millis(at)
		after := maps.Clone(r.Keys())
		after[id] = *k
		return r.mustSign(after, now)
	})
	if err != nil {
		return k, err
	}
	// Somebody else may have retired the other key at the same moment.
	if err := r.mustSign(r.Keys(), now); err != nil {
		_, undo := r.change(ctx, id, func(k *qrcode.Key, _ *stored) error { k.SignUntilMs = before; return nil })
		return k, errors.Join(err, undo)
	}
	return k, nil
}

// mustSign says whether with these keys, from a time on, one always signs.
func (r *Ring) mustSign(keys qrcode.Keys, from time.Time) error {
	gap, any := r.gap(keys, from)
	if !any {
		return nil
	}
	day := gap.In(china).Format(time.DateTime)
	return &FieldError{"id", "停用后，" + day + " 起没有密钥可以签发；请先用 happycode keys new 建立一把届时已开始签发的密钥",
		"without it no key would sign from " + day + " on; first make one that signs by then: happycode keys new"}
}

// china is how dates are told to people: UTC+8, which has had no other time
// since 1991.
var china = time.FixedZone("UTC+8", 8*60*60)

// gap says from when on no key would sign, if ever, looking from a time on.
func (r *Ring) gap(keys qrcode.Keys, from time.Time) (time.Time, bool) {
	private := r.current.Load().private
	for {
		k, ok := signing(keys, from, func(id byte) bool { return private[id] != nil })
		if !ok {
			return from, true
		}
		if k.SignUntilMs == 0 {
			return time.Time{}, false
		}
		from = time.UnixMilli(k.SignUntilMs)
	}
}

// Revoke ends a key that leaked: from now on nothing signed by it counts, and
// its private part is destroyed. Where no other key signs, a new one is made
// first, of the same algorithm; next is what signs afterwards.
//
// Errors: [store.ErrNotFound].
func (r *Ring) Revoke(ctx context.Context, id byte) (next qrcode.Key, err error) {
	if err := r.Refresh(ctx); err != nil {
		return next, err
	}
	k, ok := r.Keys()[id]
	if !ok {
		return next, fmt.Errorf("signing key %d: %w", id, store.ErrNotFound)
	}
	others := maps.Clone(r.Keys())
	delete(others, id)
	if _, none := r.gap(others, r.cfg.Now()); none {
		if _, err := r.New(ctx, NewKey{Algorithm: k.Algorithm, CardDays: k.CardDays}); err != nil {
			return next, err
		}
	}
	if _, err := r.change(ctx, id, func(k *qrcode.Key, doc *stored) error {
		if k.RevokedMs == 0 {
			k.RevokedMs = store.Millis(r.cfg.Now())
		}
		doc.Private = ""
		return nil
	}); err != nil {
		return next, err
	}
	signer, err := r.Signer()
	if err != nil {
		return next, err
	}
	return r.Keys()[signer.ID()], nil
}

// change writes a key's facts by compare-and-set, on a fresh view of all keys.
func (r *Ring) change(ctx context.Context, id byte, change func(k *qrcode.Key, doc *stored) error) (qrcode.Key, error) {
	var after qrcode.Key
	if _, err := r.stored.Change(ctx, documentID(id), func(doc *stored) error {
		if err := r.Refresh(ctx); err != nil {
			return err
		}
		k, err := r.openFacts(doc)
		if err != nil {
			return err
		}
		if err := change(&k, doc); err != nil {
			return err
		}
		after = k
		doc.Facts, err = r.sealFacts(k)
		return err
	}); err != nil {
		return after, err
	}
	return after, r.Refresh(ctx)
}
