package residents_test

import (
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/qrcode"
)

func (b *bench) token(r *residents.Resident) qrcode.Token {
	b.t.Helper()
	code, err := b.CodeByID(b.ctx(), r.Code)
	if err != nil {
		b.t.Fatal(err)
	}
	token, err := b.Token(b.ctx(), code)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.keys.Keys().Verify(token, b.clock.now()); err != nil {
		b.t.Errorf("the card's token: %v", err)
	}
	stored, err := b.CodeByID(b.ctx(), r.Code)
	if err != nil {
		b.t.Fatal(err)
	}
	if stored.SigningKey != token.Key || stored.IssuedMinute != token.Stamp || code.SigningKey != token.Key || code.IssuedMinute != token.Stamp {
		b.t.Errorf("the record says key %d, minute %d; the card key %d, minute %d", stored.SigningKey, stored.IssuedMinute, token.Key, token.Stamp)
	}
	return token
}

func (b *bench) counted(key byte, want int64) {
	b.t.Helper()
	if got, err := b.CountCodes(b.ctx(), key); err != nil || got != want {
		b.t.Errorf("key %d signs %d cards, want %d (%v)", key, got, want, err)
	}
}

// A card is printed again as it was while its key lets it; screen codes are
// always of the current key.
func TestCardOfARetiredKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	printed := b.token(r)
	if _, err := b.keys.New(b.ctx(), keyring.NewKey{Algorithm: qrcode.SM2}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.keys.Retire(b.ctx(), 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	b.clock.add(48 * time.Hour)
	if got := b.token(r); got != printed {
		t.Errorf("printed again it is %+v, was %+v", got, printed)
	}
	code, err := b.CodeByID(b.ctx(), r.Code)
	if err != nil {
		t.Fatal(err)
	}
	screen, err := b.ScreenToken(code, b.clock.now())
	if err != nil || screen.Key != 2 {
		t.Errorf("the screen code is of key %d, %v", screen.Key, err)
	}
	if err := b.keys.Keys().Verify(screen, b.clock.now()); err != nil {
		t.Errorf("the screen code: %v", err)
	}
	if got := b.token(b.register(2)); got.Key != 2 {
		t.Errorf("a new card is of key %d", got.Key)
	}
	b.counted(1, 1)
	b.counted(2, 1)
	if _, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyLost); err != nil {
		t.Fatal(err)
	}
	b.counted(1, 0)
	b.counted(2, 2)
}

// Where the card as recorded would be refused, it is signed anew, once.
func TestCardIsSignedAnew(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(*bench) error{
		"its key was revoked":   func(b *bench) error { _, err := b.keys.Revoke(b.ctx(), 1); return err },
		"its date has passed":   func(b *bench) error { b.clock.add(keyring.CardDays * 24 * time.Hour); return nil },
		"its key is not known":  func(b *bench) error { return b.record.Delete(b.ctx(), "signing_keys", []string{"1"}) },
		"nothing is the matter": func(*bench) error { return nil },
	} {
		b := newBench(t)
		r := b.register(1)
		before := b.token(r)
		if _, err := b.keys.New(b.ctx(), keyring.NewKey{}); err != nil {
			t.Fatal(err)
		}
		b.clock.add(time.Hour)
		if err := spoil(b); err != nil {
			t.Fatal(err)
		}
		if err := b.keys.Refresh(b.ctx()); err != nil {
			t.Fatal(err)
		}
		tokens := make([]qrcode.Token, 8)
		var wg sync.WaitGroup
		for i := range tokens {
			wg.Go(func() { tokens[i] = b.token(r) })
		}
		wg.Wait()
		for _, got := range tokens {
			if got != tokens[0] {
				t.Errorf("%s: two cards at the same time: %+v, %+v", what, got, tokens[0])
			}
		}
		fresh := tokens[0].Key == 2 && tokens[0].Stamp == uint32(b.clock.now().Unix()/60)
		if want := what != "nothing is the matter"; fresh != want || !want && tokens[0] != before {
			t.Errorf("%s: signed anew %v, want %v: %+v", what, fresh, want, tokens[0])
		}
		b.clock.add(time.Hour)
		if got := b.token(r); got != tokens[0] {
			t.Errorf("%s: later it is another card", what)
		}
	}
}
