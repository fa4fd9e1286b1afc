package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/qrcode"
)

const day = 24 * time.Hour

// office is a record and a key file, and a clock that tests move; each ring
// opened over it is another process.
type office struct {
	t      *testing.T
	record store.Record
	file   string
	vault  *vault.Vault
	ms     atomic.Int64
}

func (o *office) now() time.Time      { return time.UnixMilli(o.ms.Load()) }
func (o *office) add(d time.Duration) { o.ms.Add(d.Milliseconds()) }

func newOffice(t *testing.T) *office {
	t.Helper()
	dir := t.TempDir()
	record, err := sqlite.Open(filepath.Join(dir, "record.sqlite"))
	must(t, err)
	t.Cleanup(func() { record.Close() })
	return over(t, record)
}

func over(t *testing.T, record store.Record) *office {
	t.Helper()
	o := &office{t: t, record: record, file: filepath.Join(t.TempDir(), "keys.json")}
	o.ms.Store(time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC).UnixMilli())
	must(t, record.Ensure(t.Context(), keyring.Schemas()...))
	var err error
	o.vault, err = vault.Open(o.file)
	must(t, err)
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (o *office) config() keyring.Config {
	return keyring.Config{Record: o.record, Vault: o.vault, Now: o.now}
}

func (o *office) ring() *keyring.Ring {
	o.t.Helper()
	r, err := keyring.Open(o.t.Context(), o.config())
	must(o.t, err)
	return r
}

// card is a card signed now by the ring's current key.
func (o *office) card(r *keyring.Ring) qrcode.Token {
	o.t.Helper()
	return o.signed(r, qrcode.Card)
}

func (o *office) signed(r *keyring.Ring, kind qrcode.Kind) qrcode.Token {
	o.t.Helper()
	signer, err := r.Signer()
	must(o.t, err)
	stamp := uint32(o.now().Unix() / 60)
	if kind == qrcode.Screen {
		stamp = uint32(qrcode.ScreenStamp(o.now()))
	}
	token, err := qrcode.Sign(kind, signer, [10]byte{1, 2, 3}, stamp)
	must(o.t, err)
	return token
}

func (o *office) stands(r *keyring.Ring, what string, token qrcode.Token, want error) {
	o.t.Helper()
	if err := r.Verify(o.t.Context(), token, o.now()); !errors.Is(err, want) {
		o.t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// early puts signing keys into the key file, as they once were.
func (o *office) early(current byte, seeds ...byte) {
	o.t.Helper()
	content, err := os.ReadFile(o.file)
	must(o.t, err)
	var k map[string]any
	must(o.t, json.Unmarshal(content, &k))
	var list []any
	for _, s := range seeds {
		list = append(list, map[string]any{"id": s, "alg": "Ed25519", "seed": seed(s)})
	}
	k["signing_keys"], k["current_signing_key"] = list, current
	content, err = json.Marshal(k)
	must(o.t, err)
	must(o.t, os.WriteFile(o.file, content, 0o600))
	o.vault, err = vault.Open(o.file)
	must(o.t, err)
}

func seed(s byte) []byte { return slices.Repeat([]byte{s}, 32) }

func TestFirstKey(t *testing.T) {
	t.Parallel()
	for _, alg := range qrcode.Algorithms() {
		o := newOffice(t)
		c := o.config()
		c.Algorithm, c.CardDays = alg, 30
		r, err := keyring.Open(t.Context(), c)
		must(t, err)
		k := r.Keys()[1]
		if len(r.Keys()) != 1 || k.Algorithm != alg || k.CardDays != 30 || k.FromMs != o.ms.Load() || keyring.StateOf(k, o.now()) != keyring.Signing {
			t.Errorf("%s: first key is %+v", alg, k)
		}
		token := o.card(r)
		o.stands(r, "a card", token, nil)
		o.stands(r, "a screen code", o.signed(r, qrcode.Screen), nil)
		o.add(30*day - time.Minute)
		o.stands(o.ring(), "the card on its last day", token, nil)
		o.add(time.Minute)
		o.stands(o.ring(), "the card past its date", token, qrcode.ErrExpired)
	}
}

// Nothing of a key stands in the record in the clear.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.early(1, 1)
	o.ring()
	docs, _, err := o.record.Find(t.Context(), "signing_keys", store.Query{}, func() store.Document { return &raw{} })
	must(t, err)
	for _, d := range docs {
		text, err := json.Marshal(d)
		must(t, err)
		for _, canary := range []string{"AQEBAQEB", "Ed25519", "card_days"} {
			if strings.Contains(string(text), canary) {
				t.Errorf("the record holds %s: %s", canary, text)
			}
		}
	}
}

// raw is a stored key as whoever writes to the record sees it.
type raw struct {
	store.Meta `bson:",inline"`
	Facts      string `json:"facts"`
	Private    string `json:"private"`
}

func (o *office) raw() store.Collection[raw, *raw] {
	return store.Of[raw](o.record, keyring.Schemas()[0])
}

// Many processes that start at once end up with one key; what one signs, all
// accept.
func TestProcessesAgree(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*office){
		"fresh":          func(*office) {},
		"early key file": func(o *office) { o.early(7, 7) },
	} {
		o := newOffice(t)
		prepare(o)
		rings := make([]*keyring.Ring, 8)
		var wg sync.WaitGroup
		for i := range rings {
			wg.Go(func() {
				r, err := keyring.Open(t.Context(), o.config())
				if err != nil {
					t.Error(err)
				}
				rings[i] = r
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		for _, a := range rings {
			if len(a.Keys()) != 1 {
				t.Fatalf("%s: %d keys", name, len(a.Keys()))
			}
			token := o.card(a)
			for _, b := range rings {
				o.stands(b, name, token, nil)
			}
		}
	}
}

// A key file of before goes on working: its keys are taken over once, cards
// printed long ago stand, and what was decided since is not undone.
func TestMigration(t *testing.T) {
	t.Parallel()
	migration(t, newOffice(t))
}

func migration(t *testing.T, o *office) {
	o.early(2, 1, 2)
	old, err := qrcode.NewPrivateKey(2, qrcode.Ed25519, seed(2))
	must(t, err)
	printed, err := qrcode.Sign(qrcode.Card, old, [10]byte{9}, uint32(o.now().Add(-400*day).Unix()/60))
	must(t, err)
	older, err := qrcode.NewPrivateKey(1, qrcode.Ed25519, seed(1))
	must(t, err)
	before, err := qrcode.Sign(qrcode.Card, older, [10]byte{8}, uint32(o.now().Add(-800*day).Unix()/60))
	must(t, err)

	r := o.ring()
	o.stands(r, "an old card", printed, nil)
	o.stands(r, "a card of the key before", before, nil)
	if signer, err := r.Signer(); err != nil || signer.ID() != 2 {
		t.Fatalf("the current key is %v, %v", signer, err)
	}
	if got := keyring.StateOf(r.Keys()[1], o.now()); got != keyring.Retired {
		t.Errorf("the key that was not current is %s", got)
	}
	o.add(time.Hour)
	if _, err := r.New(t.Context(), keyring.NewKey{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Retire(t.Context(), 2, time.Time{}); err != nil {
		t.Fatal(err)
	}
	want := r.Keys()
	o.add(time.Hour)
	again := o.ring()
	for id, k := range again.Keys() {
		if k.SignUntilMs != want[id].SignUntilMs || k.FromMs != want[id].FromMs {
			t.Errorf("key %d is %+v after another start, was %+v", id, k, want[id])
		}
	}
	if len(again.Keys()) != 3 {
		t.Errorf("%d keys after another start", len(again.Keys()))
	}
	o.stands(again, "an old card of the retired key", printed, nil)
}

// A new key takes over in its time; cards of both stand.
func TestRotation(t *testing.T) {
	t.Parallel()
	rotation(t, newOffice(t))
}

func rotation(t *testing.T, o *office) {
	here, there := o.ring(), o.ring()
	first := o.card(here)

	second, err := here.New(t.Context(), keyring.NewKey{Algorithm: qrcode.SM2, From: o.now().Add(7 * day), CardDays: 100})
	must(t, err)
	if second.ID != 2 || keyring.StateOf(second, o.now()) != keyring.Upcoming {
		t.Errorf("made %+v", second)
	}
	if got := o.card(here); got.Key != 1 {
		t.Errorf("key %d signs before its time", got.Key)
	}
	o.add(7 * day)
	token := o.card(here)
	if token.Key != 2 {
		t.Errorf("key %d signs after the second began", token.Key)
	}
	// The other process has not heard of the key and looks when it meets it.
	if len(there.Keys()) != 1 {
		t.Fatal("the other process knows already")
	}
	o.stands(there, "a card of a key just heard of", token, nil)
	o.stands(there, "a card of the first key", first, nil)

	if _, err := there.Retire(t.Context(), 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	must(t, here.Refresh(t.Context()))
	if got := keyring.StateOf(here.Keys()[1], o.now()); got != keyring.Retired {
		t.Errorf("the retired key is %s", got)
	}
	o.stands(here, "a card of the retired key", first, nil)
	if signer, err := here.SignerOf(1); err != nil || signer.ID() != 1 {
		t.Errorf("a retired key prints no card again: %v", err)
	}
	o.add(time.Hour)
	signer, _ := here.SignerOf(1)
	late, err := qrcode.Sign(qrcode.Card, signer, [10]byte{5}, uint32(o.now().Unix()/60))
	must(t, err)
	o.stands(here, "a card signed after the retirement", late, qrcode.ErrKey)
	o.add(keyring.CardDays * day)
	if got := keyring.StateOf(here.Keys()[1], o.now()); got != keyring.Over {
		t.Errorf("after the last card's date the key is %s", got)
	}
}

// Forged key ids do not make a server read the record all the time.
func TestUnknownKeyIsLookedForOnceASecond(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	counted := &counting{Record: o.record}
	c := o.config()
	c.Record = counted
	r, err := keyring.Open(t.Context(), c)
	must(t, err)
	o.add(time.Hour)
	token := o.card(r)
	token.Key = 99
	before := counted.finds.Load()
	for range 50 {
		o.stands(r, "an unknown key", token, qrcode.ErrKey)
	}
	if got := counted.finds.Load() - before; got != 1 {
		t.Errorf("the record was read %d times", got)
	}
	o.add(time.Second)
	o.stands(r, "an unknown key a second later", token, qrcode.ErrKey)
	if got := counted.finds.Load() - before; got != 2 {
		t.Errorf("the record was read %d times", got)
	}
}

// That a code was read before says nothing of one that differs from it in a bit,
// and nothing of itself once its day or its key is over.
func TestCodeReadBefore(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	r := o.ring()
	token := o.card(r)
	for range 2 {
		o.stands(r, "a good code", token, nil)
	}
	for i := range 8 * len(token.Signature) {
		other := token
		other.Signature[i/8] ^= 1 << (i % 8)
		o.stands(r, "another signature", other, qrcode.ErrSignature)
	}
	other := token
	other.Code[9] ^= 1
	o.stands(r, "another code", other, qrcode.ErrSignature)
	other = token
	other.Stamp++
	o.stands(r, "another minute", other, qrcode.ErrSignature)
	before := o.ms.Load()
	o.add(keyring.CardDays * day)
	o.stands(r, "a card past its date", token, qrcode.ErrExpired)
	o.ms.Store(before)
	_, err := r.Revoke(t.Context(), token.Key)
	must(t, err)
	o.stands(r, "a code of a revoked key", token, qrcode.ErrKey)
}

func TestRetireRefuses(t *testing.T) {
	t.Parallel()
	retireRefuses(t, newOffice(t))
}

func retireRefuses(t *testing.T, o *office) {
	r := o.ring()
	field := func(what, want string, err error) {
		t.Helper()
		var f *keyring.FieldError
		if !errors.As(err, &f) || f.Field != want || f.ZH == "" || f.EN == "" {
			t.Errorf("%s: got %v, want a fault of %s", what, err, want)
		}
	}
	retire := func(id byte, at time.Time) error { _, err := r.Retire(t.Context(), id, at); return err }
	field("the last key", "id", retire(1, time.Time{}))
	field("the last key, later", "id", retire(1, o.now().Add(day)))
	field("in the past", "at", retire(1, o.now().Add(-time.Minute)))
	if err := retire(9, time.Time{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such key: %v", err)
	}
	make := func(n keyring.NewKey) error { _, err := r.New(t.Context(), n); return err }
	must(t, make(keyring.NewKey{From: o.now().Add(7 * day)}))
	field("before the next begins", "id", retire(1, o.now().Add(6*day)))
	must(t, retire(1, o.now().Add(7*day)))
	field("the key that is to come, with nothing after it", "id", retire(2, o.now().Add(30*day)))
	must(t, retire(1, o.now().Add(8*day))) // not yet retired: the day may move
	o.add(8 * day)
	field("twice", "id", retire(1, time.Time{}))

	field("algorithm", "alg", make(keyring.NewKey{Algorithm: "RSA"}))
	field("card days", "card_days", make(keyring.NewKey{CardDays: -1}))
	field("card days", "card_days", make(keyring.NewKey{CardDays: 36_501}))
	field("from", "from", make(keyring.NewKey{From: o.now().Add(-time.Second)}))

	// A key that never signed may be withdrawn.
	must(t, make(keyring.NewKey{From: o.now().Add(7 * day)}))
	must(t, retire(3, time.Time{}))
	if got := keyring.StateOf(r.Keys()[3], o.now()); got != keyring.Over {
		t.Errorf("a withdrawn key is %s", got)
	}
}

// Two administrators who retire each other's key leave one that signs.
func TestRetireTogether(t *testing.T) {
	t.Parallel()
	for range 10 {
		o := newOffice(t)
		a := o.ring()
		if _, err := a.New(t.Context(), keyring.NewKey{}); err != nil {
			t.Fatal(err)
		}
		b := o.ring()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = a.Retire(t.Context(), 1, time.Time{}) })
		wg.Go(func() { _, _ = b.Retire(t.Context(), 2, time.Time{}) })
		wg.Wait()
		if _, err := o.ring().Signer(); err != nil {
			t.Fatal("no key signs any more")
		}
	}
}

func TestIDsAreNeverReused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	r := o.ring()
	for id := 2; id <= 255; id++ {
		k, err := r.New(t.Context(), keyring.NewKey{From: o.now().Add(day)})
		must(t, err)
		if int(k.ID) != id {
			t.Fatalf("got key %d, want %d", k.ID, id)
		}
		if id%2 == 0 {
			_, err := r.Revoke(t.Context(), k.ID)
			must(t, err)
		}
	}
	var f *keyring.FieldError
	if _, err := r.New(t.Context(), keyring.NewKey{}); !errors.As(err, &f) || f.Field != "id" {
		t.Errorf("a 256th key: %v", err)
	}
}

// After a compromise nothing signed by the key counts, in every process, its
// secret is gone, and another key signs.
func TestCompromise(t *testing.T) {
	t.Parallel()
	compromise(t, newOffice(t))
}

func compromise(t *testing.T, o *office) {
	here, there := o.ring(), o.ring()
	card, screen := o.card(here), o.signed(here, qrcode.Screen)
	next, err := here.Revoke(t.Context(), 1)
	must(t, err)
	if next.ID != 2 {
		t.Errorf("key %d signs now", next.ID)
	}
	must(t, there.Refresh(t.Context()))
	for _, r := range []*keyring.Ring{here, there, o.ring()} {
		o.stands(r, "a card of the compromised key", card, qrcode.ErrKey)
		o.stands(r, "a screen code of the compromised key", screen, qrcode.ErrKey)
		if _, err := r.SignerOf(1); !errors.Is(err, keyring.ErrGone) {
			t.Errorf("the compromised key signs: %v", err)
		}
		o.stands(r, "a card of the next key", o.card(r), nil)
		if got := keyring.StateOf(r.Keys()[1], o.now()); got != keyring.Revoked {
			t.Errorf("the compromised key is %s", got)
		}
	}
	stored, err := o.raw().Get(t.Context(), "1")
	must(t, err)
	if stored.Private != "" {
		t.Error("the secret is still in the record")
	}
	o.add(time.Hour)
	if again, err := here.Revoke(t.Context(), 1); err != nil || again.ID != 2 || len(here.Keys()) != 2 {
		t.Errorf("again: %v, %v", again, err)
	}
}

// Whoever can write to the record can neither plant a key nor change one.
func TestPlantedKeyIsRefused(t *testing.T) {
	t.Parallel()
	planted(t, newOffice(t))
}

func planted(t *testing.T, o *office) {
	r := o.ring()
	_, err := r.New(t.Context(), keyring.NewKey{Algorithm: qrcode.SM2, From: o.now().Add(day)})
	must(t, err)
	_, err = r.New(t.Context(), keyring.NewKey{From: o.now().Add(day)})
	must(t, err)
	foreign := newOffice(t)
	foreign.ring()
	theirs, err := foreign.raw().Get(t.Context(), "1")
	must(t, err)
	one, err := o.raw().Get(t.Context(), "1")
	must(t, err)
	two, err := o.raw().Get(t.Context(), "2")
	must(t, err)

	for what, plant := range map[string]raw{
		"sealed with other keys":      {Facts: theirs.Facts, Private: theirs.Private},
		"plain facts":                 {Facts: `{"id":50,"algorithm":"Ed25519"}`},
		"another key's, renamed":      {Facts: one.Facts, Private: one.Private},
		"nothing":                     {},
		"without its private part":    {Facts: one.Facts},
		"public part of another key":  {Facts: two.Facts, Private: one.Private},
		"private part of another key": {Facts: one.Facts, Private: two.Private},
	} {
		plant.ID = "50"
		must(t, o.raw().Insert(t.Context(), &plant))
		fresh := o.ring()
		if _, known := fresh.Keys()[50]; known || len(fresh.Keys()) != 3 {
			t.Errorf("%s: the planted key counts", what)
		}
		if got := fresh.Faults(); !slices.Equal(got, []string{"50"}) {
			t.Errorf("%s: faults %v", what, got)
		}
		must(t, o.raw().Delete(t.Context(), "50"))
	}
	// The same in place of a key that is there.
	two.Private = one.Private
	must(t, o.raw().Replace(t.Context(), two))
	fresh := o.ring()
	if _, known := fresh.Keys()[2]; known {
		t.Error("a key with the private part of another counts")
	}
	o.stands(fresh, "the other keys' cards", o.card(fresh), nil)
}

// A ring that is watched hears of what another process did.
func TestWatch(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	here, there := o.ring(), o.ring()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		there.Watch(ctx, time.Millisecond)
	}()
	_, err := here.New(t.Context(), keyring.NewKey{})
	must(t, err)
	deadline := time.After(5 * time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(there.Keys()) != 2 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the new key was not heard of")
		}
	}
	stop()
	<-ended
}

func TestAnotherKeyFile(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ring()
	c := o.config()
	var err error
	c.Vault, err = vault.Open(filepath.Join(t.TempDir(), "other.json"))
	must(t, err)
	if _, err := keyring.Open(t.Context(), c); !errors.Is(err, keyring.ErrSealed) {
		t.Errorf("got %v, want ErrSealed", err)
	}
}

// Without any change a refresh reads and opens nothing anew.
func TestRefreshKeepsTheSnapshot(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	r := o.ring()
	signer, err := r.Signer()
	must(t, err)
	must(t, r.Refresh(t.Context()))
	again, err := r.Signer()
	must(t, err)
	if signer != again {
		t.Error("the keys were opened anew")
	}
}

type counting struct {
	store.Record
	finds atomic.Int64
}

func (c *counting) Find(ctx context.Context, collection string, q store.Query, dst func() store.Document) ([]store.Document, string, error) {
	c.finds.Add(1)
	return c.Record.Find(ctx, collection, q, dst)
}
