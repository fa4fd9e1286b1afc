// Package keyring keeps the keys that sign happiness codes: in the record, so
// that all servers have the same, and sealed by app/vault, so that nobody who
// reads or writes the record can use or plant one. See DESIGN.md.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/qrcode"
)

// Errors that callers tell apart.
var (
	// ErrNoSigner says that no key signs at this moment.
	ErrNoSigner = errors.New("no key signs codes now")
	// ErrSealed says that keys are stored but none opens: the key file is
	// another one than they were sealed with.
	ErrSealed = errors.New("no stored signing key opens with this key file")
	// ErrGone says that the private part of a key is not here.
	ErrGone = errors.New("the private part of the key is gone")
)

// FieldError names what cannot be done with a key, and why, in words for the
// person at the terminal.
type FieldError struct {
	Field  string // "id", "alg", "from", "card_days" or "at"
	ZH, EN string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.EN }

// State is what a key is good for at a moment.
type State string

// The states.
const (
	Upcoming State = "upcoming" // signs from a later time
	Signing  State = "signing"  // may sign
	Retired  State = "retired"  // signs no more; its cards stand until their date
	Over     State = "over"     // the last card's date has passed
	Revoked  State = "revoked"  // compromised: nothing signed by it counts
)

// StateOf is a key's state at a moment.
func StateOf(k qrcode.Key, now time.Time) State {
	ms := now.UnixMilli()
	switch {
	case k.RevokedMs != 0:
		return Revoked
	case k.SignUntilMs != 0 && k.SignUntilMs <= k.FromMs: // withdrawn before it signed
		return Over
	case ms < k.FromMs:
		return Upcoming
	case k.SignUntilMs == 0 || ms < k.SignUntilMs:
		return Signing
	case ms >= CardsUntil(k):
		return Over
	}
	return Retired
}

// CardsUntil is the latest date of a card that the key has signed, Unix ms; 0
// while it still signs.
func CardsUntil(k qrcode.Key) int64 {
	if k.SignUntilMs == 0 {
		return 0
	}
	return k.SignUntilMs + k.CardDays*86_400_000
}

// Config is what [Open] needs.
type Config struct {
	Record store.Record // with [Schemas]
	Vault  *vault.Vault
	Now    func() time.Time
	Logger *slog.Logger // nil discards

	// Algorithm is the first key's, and the default of later ones.
	Algorithm qrcode.Algorithm // "": Ed25519
	// CardDays is how long cards are valid. Range: 1 to 36,500; 0: [CardDays].
	CardDays int64
}

// CardDays is how long a card is valid where nothing else is set: five years.
const CardDays = 1825

// maxCardDays bounds the life of a card, in days.
const maxCardDays = 36_500

// refreshAtMost is how often an unknown key id may make a ring look into the
// record: whoever sends forged codes must not make it read all the time.
const refreshAtMost = time.Second

// Ring is the signing keys as they are in the record now. It is safe for
// concurrent use.
type Ring struct {
	cfg     Config
	stored  store.Collection[stored, *stored]
	current atomic.Pointer[snapshot]
	seen    seen

	refreshing sync.Mutex
	lookedMs   int64 // when an unknown key made it look, under refreshing
}

// snapshot is what was read of the record at one time; it never changes.
type snapshot struct {
	versions map[string]int64 // document id -> version
	keys     qrcode.Keys
	private  map[byte]*qrcode.PrivateKey
	faults   []string // ids of documents that do not open
}

// stored is a key in the record. Everything of it is sealed, the dates too:
// sealing also proves that the vault's owner wrote it.
type stored struct {
	store.Meta `bson:",inline"` // id: the key id in decimal
	Facts      string           `json:"facts"`   // sealed [facts]
	Private    string           `json:"private"` // sealed secret, base64; "": destroyed
}

// The fields' names for the vault.
const (
	factsField   = "signing_key"
	privateField = "signing_key_private"
)

var schema = store.Schema{Name: "signing_keys"}

// Schemas declares the collection of this package.
func Schemas() []store.Schema { return []store.Schema{schema} }

// Open reads the keys; it takes those of an early key file into the record,
// and makes the first where there is none. Processes that do so at the same
// time end up with the same keys.
//
// Errors: [ErrSealed]; others are the record's.
func Open(ctx context.Context, c Config) (*Ring, error) {
	if c.Record == nil || c.Vault == nil || c.Now == nil {
		return nil, errors.New("keyring: the configuration is incomplete")
	}
	if c.Algorithm == "" {
		c.Algorithm = qrcode.Ed25519
	}
	if c.CardDays == 0 {
		c.CardDays = CardDays
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Ring{cfg: c, stored: store.Of[stored](c.Record, schema)}
	r.current.Store(&snapshot{})
	if err := r.adopt(ctx); err != nil {
		return nil, err
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	if len(r.current.Load().versions) == 0 {
		if err := r.first(ctx); err != nil {
			return nil, err
		}
	}
	if s := r.current.Load(); len(s.keys) == 0 {
		return nil, ErrSealed
	}
	return r, nil
}

// adopt takes the keys of an early key file into the record, those that are
// not there yet. They sign from the beginning of time; one that the file did
// not sign with any more is retired.
func (r *Ring) adopt(ctx context.Context) error {
	var docs []*stored
	for _, seed := range r.cfg.Vault.Seeds() {
		private, err := qrcode.NewPrivateKey(seed.ID, qrcode.Ed25519, seed.Secret)
		if err != nil {
			return fmt.Errorf("take over signing key %d: %w", seed.ID, err)
		}
		k := qrcode.Key{ID: seed.ID, Algorithm: qrcode.Ed25519, Public: private.Public(), CardDays: r.cfg.CardDays}
		if !seed.Current {
			k.SignUntilMs = store.Millis(r.cfg.Now())
		}
		doc, err := r.seal(k, seed.Secret)
		if err != nil {
			return err
		}
		docs = append(docs, doc)
	}
	if _, err := r.stored.InsertAll(ctx, docs); err != nil {
		return fmt.Errorf("take over signing keys: %w", err)
	}
	return nil
}

// first makes the first key of an installation.
func (r *Ring) first(ctx context.Context) error {
	_, err := r.insert(ctx, 1, qrcode.Key{Algorithm: r.cfg.Algorithm, FromMs: store.Millis(r.cfg.Now()), CardDays: r.cfg.CardDays})
	if err != nil && !errors.Is(err, store.ErrDuplicate) {
		return err
	}
	return r.Refresh(ctx)
}

// insert makes the secret of a key and stores it under an id.
// Errors: [store.ErrDuplicate].
func (r *Ring) insert(ctx context.Context, id byte, k qrcode.Key) (qrcode.Key, error) {
	secret, err := qrcode.NewSecret(k.Algorithm)
	if err != nil {
		return k, err
	}
	private, err := qrcode.NewPrivateKey(id, k.Algorithm, secret)
	if err != nil {
		return k, err
	}
	k.ID, k.Public = id, private.Public()
	doc, err := r.seal(k, secret)
	if err != nil {
		return k, err
	}
	return k, r.stored.Insert(ctx, doc)
}

func documentID(id byte) string { return strconv.Itoa(int(id)) }

// Refresh reads the keys anew where they changed: one look at a handful of
// documents. A key that does not open is left out and logged.
func (r *Ring) Refresh(ctx context.Context) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	return r.refresh(ctx)
}

func (r *Ring) refresh(ctx context.Context) error {
	before := r.current.Load()
	now := &snapshot{versions: map[string]int64{}, keys: qrcode.Keys{}, private: map[byte]*qrcode.PrivateKey{}}
	var docs []*stored
	changed := false
	err := r.stored.Each(ctx, store.Query{}, func(doc *stored) error {
		docs = append(docs, doc)
		now.versions[doc.ID] = doc.V
		changed = changed || before.versions[doc.ID] != doc.V
		return nil
	})
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	if !changed && len(docs) == len(before.versions) {
		return nil
	}
	for _, doc := range docs {
		key, private, err := r.open(doc)
		if err != nil {
			now.faults = append(now.faults, doc.ID)
			r.cfg.Logger.Error("a stored signing key does not open and is not used", "key", doc.ID, "error", err)
			continue
		}
		now.keys[key.ID] = key
		if private != nil {
			now.private[key.ID] = private
		}
	}
	r.current.Store(now)
	return nil
}

// Watch refreshes the ring every so often, until ctx ends.
func (r *Ring) Watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := r.Refresh(ctx); err != nil && ctx.Err() == nil {
				r.cfg.Logger.Error("refresh the signing keys", "error", err)
			}
		}
	}
}

// Keys is what codes are checked with now. The map is not to be changed.
func (r *Ring) Keys() qrcode.Keys { return r.current.Load().keys }

// Faults are the ids of stored keys that do not open.
func (r *Ring) Faults() []string { return r.current.Load().faults }

// Verify checks a code as it stood at a time. A key that does not count here
// may be one that another process has just made: the ring looks into the
// record, not more than once a second, and tries again.
//
// Errors: those of [qrcode.Keys.Verify].
func (r *Ring) Verify(ctx context.Context, t qrcode.Token, at time.Time) error {
	err := r.seen.verify(r.Keys(), t, at)
	if !errors.Is(err, qrcode.ErrKey) {
		return err
	}
	if looked, trouble := r.lookAgain(ctx); trouble != nil {
		r.cfg.Logger.Error("refresh the signing keys", "error", trouble)
		return err
	} else if !looked {
		return err
	}
	return r.seen.verify(r.Keys(), t, at)
}

func (r *Ring) lookAgain(ctx context.Context) (looked bool, err error) {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	now := store.Millis(r.cfg.Now())
	if since := now - r.lookedMs; since >= 0 && since < refreshAtMost.Milliseconds() {
		return false, nil
	}
	r.lookedMs = now
	return true, r.refresh(ctx)
}

// Signer is the key that signs new codes: of those that sign now the one that
// began last. Errors: [ErrNoSigner].
func (r *Ring) Signer() (qrcode.Signer, error) {
	s := r.current.Load()
	k, ok := signing(s.keys, r.cfg.Now(), func(id byte) bool { return s.private[id] != nil })
	if !ok {
		return nil, ErrNoSigner
	}
	return s.private[k.ID], nil
}

// signing picks the key that signs at a time.
func signing(keys qrcode.Keys, at time.Time, usable func(id byte) bool) (best qrcode.Key, found bool) {
	for id, k := range keys {
		if StateOf(k, at) == Signing && usable(id) &&
			(!found || k.FromMs > best.FromMs || k.FromMs == best.FromMs && id > best.ID) {
			best, found = k, true
		}
	}
	return best, found
}

// SignerOf is the key with this id, so that a card issued under it can be
// printed again as it was. Errors: [ErrGone], also for a revoked key.
func (r *Ring) SignerOf(id byte) (qrcode.Signer, error) {
	s := r.current.Load()
	private := s.private[id]
	if private == nil || s.keys[id].RevokedMs != 0 {
		return nil, fmt.Errorf("signing key %d: %w", id, ErrGone)
	}
	return private, nil
}
