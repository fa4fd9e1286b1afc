package qrcode_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/xingfuma/happycode/qrcode"
)

const day = 24 * time.Hour

// A code counts when its key signed at the time of its stamp, with the slack
// for clocks, and a card until its date.
func TestKeyDates(t *testing.T) {
	t.Parallel()
	from, until := now.Add(-100*day), now.Add(-10*day)
	at := func(kind qrcode.Kind, id byte, stamp time.Time) qrcode.Token {
		per := int64(60)
		if kind == qrcode.Screen {
			per = 30
		}
		return sign(kind, key(id), codeA, uint32(stamp.Unix()/per))
	}
	for _, id := range []byte{1, 20} {
		k := qrcode.Key{ID: id, Algorithm: algorithm(id), Public: key(id).Public(), FromMs: from.UnixMilli(), SignUntilMs: until.UnixMilli(), CardDays: 365}
		open, gone := k, k
		open.SignUntilMs = 0
		gone.RevokedMs = now.UnixMilli()
		const slack = qrcode.Slack
		for _, c := range []struct {
			what  string
			key   qrcode.Key
			kind  qrcode.Kind
			stamp time.Time
			now   time.Time
			want  error
		}{
			{"a card of the first minute", k, qrcode.Card, from, now, nil},
			{"a card by a clock that is slow", k, qrcode.Card, from.Add(-slack + time.Minute), now, nil},
			{"a card from before the key", k, qrcode.Card, from.Add(-slack - time.Minute), now, qrcode.ErrKey},
			{"a card of the last minute", k, qrcode.Card, until, now, nil},
			{"a card by a server that heard late", k, qrcode.Card, until.Add(slack - time.Minute), now, nil},
			{"a card from after the key", k, qrcode.Card, until.Add(slack + time.Minute), now, qrcode.ErrKey},
			{"a card of a key that still signs", open, qrcode.Card, now, now, nil},
			{"a card on its last day", k, qrcode.Card, until, until.Add(365*day - time.Minute), nil},
			{"a card past its date", k, qrcode.Card, until, until.Add(365 * day), qrcode.ErrExpired},
			{"a card of a revoked key", gone, qrcode.Card, from.Add(day), now, qrcode.ErrKey},
			{"a screen code", open, qrcode.Screen, now, now, nil},
			{"a screen code of a key just retired", k, qrcode.Screen, until.Add(time.Minute), until.Add(time.Minute), nil},
			{"a screen code of a retired key", k, qrcode.Screen, now, now, qrcode.ErrKey},
			{"a screen code from before the key", k, qrcode.Screen, from.Add(-day), from.Add(-day), qrcode.ErrKey},
			{"an old screen code", open, qrcode.Screen, now, now.Add(time.Hour), qrcode.ErrExpired},
			{"a screen code of a revoked key", gone, qrcode.Screen, until, until, qrcode.ErrKey},
		} {
			token := at(c.kind, id, c.stamp)
			if err := (qrcode.Keys{id: c.key}).Verify(token, c.now); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: got %v, want %v", c.key.Algorithm, c.what, err, c.want)
			}
		}
		token := at(qrcode.Card, id, until)
		if got, want := (qrcode.Keys{id: k}).CardUntil(token), until.Truncate(time.Minute).Add(365*day).UnixMilli(); got != want {
			t.Errorf("date of a card: got %d, want %d", got, want)
		}
	}
	if got := (qrcode.Keys{}).CardUntil(sign(qrcode.Card, key(1), codeA, minute)); got != 0 {
		t.Errorf("date of a card of an unknown key: %d", got)
	}
}

// r and s of an SM2 signature are each from 1 to the order less one, in one
// written form.
func TestSM2RefusesMalformed(t *testing.T) {
	t.Parallel()
	good := sign(qrcode.Card, key(20), codeA, minute)
	order, _ := new(big.Int).SetString("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123", 16)
	r, s := new(big.Int).SetBytes(good.Signature[:32]), new(big.Int).SetBytes(good.Signature[32:])
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for what, sig := range map[string][2]*big.Int{
		"r is 0":             {big.NewInt(0), s},
		"s is 0":             {r, big.NewInt(0)},
		"both are 0":         {big.NewInt(0), big.NewInt(0)},
		"r is the order":     {order, s},
		"s is the order":     {r, order},
		"r is the most":      {most, s},
		"s is the most":      {r, most},
		"s is negated":       {r, new(big.Int).Sub(order, s)},
		"r and s change":     {s, r},
		"r + s is the order": {r, new(big.Int).Sub(order, r)},
	} {
		bad := good
		sig[0].FillBytes(bad.Signature[:32])
		sig[1].FillBytes(bad.Signature[32:])
		if err := keys().Verify(bad, now); !errors.Is(err, qrcode.ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", what, err)
		}
	}
}

// The example of GB/T 32918.5-2017, annex A.2: key d signs "message digest"
// under the user id 1234567812345678.
func TestSM2Standard(t *testing.T) {
	t.Parallel()
	d, _ := hex.DecodeString("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
	k, err := qrcode.NewPrivateKey(20, qrcode.SM2, d)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(k.Public()), "04"+
		"09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"+
		"ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"; got != want {
		t.Errorf("public key %s, want %s", got, want)
	}
}

func TestPrivateKeys(t *testing.T) {
	t.Parallel()
	for _, alg := range qrcode.Algorithms() {
		a, err := qrcode.NewSecret(alg)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := qrcode.NewSecret(alg); bytes.Equal(a, b) {
			t.Errorf("%s: the secret repeats", alg)
		}
		k, err := qrcode.NewPrivateKey(7, alg, a)
		if err != nil || k.ID() != 7 || k.Algorithm() != alg {
			t.Fatalf("%s: %v", alg, err)
		}
		token := sign(qrcode.Card, k, codeA, minute)
		if token != sign(qrcode.Card, k, codeA, minute) {
			t.Errorf("%s: the same card has two pictures", alg)
		}
		in := qrcode.Keys{7: {ID: 7, Algorithm: alg, Public: k.Public(), CardDays: 1}}
		if err := in.Verify(token, now); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	for what, make := range map[string]func() error{
		"unknown algorithm": func() error { _, err := qrcode.NewPrivateKey(1, "RSA", make([]byte, 32)); return err },
		"no algorithm":      func() error { _, err := qrcode.NewSecret(""); return err },
		"short secret":      func() error { _, err := qrcode.NewPrivateKey(1, qrcode.Ed25519, make([]byte, 31)); return err },
		"SM2 secret of 0":   func() error { _, err := qrcode.NewPrivateKey(1, qrcode.SM2, make([]byte, 32)); return err },
		"SM2 secret above the order": func() error {
			_, err := qrcode.NewPrivateKey(1, qrcode.SM2, bytes.Repeat([]byte{255}, 32))
			return err
		},
	} {
		if err := make(); !errors.Is(err, qrcode.ErrAlgorithm) {
			t.Errorf("%s: got %v, want ErrAlgorithm", what, err)
		}
	}
}
