package qrcode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/qrcode"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectors is what Go and TypeScript both verify.
type vectors struct {
	About string       `json:"about"`
	Keys  []keyVector  `json:"keys"`
	Cases []vector     `json:"cases"`
	Cards []cardVector `json:"cards"`
}

type keyVector struct {
	ID          byte   `json:"id"`
	Algorithm   string `json:"algorithm"`
	Public      string `json:"public"` // hex
	FromMs      int64  `json:"from_ms"`
	SignUntilMs int64  `json:"sign_until_ms"`
	CardDays    int64  `json:"card_days"`
	RevokedMs   int64  `json:"revoked_ms"`
}

// cardVector is a number somebody typed and the card number it is, "" for none.
type cardVector struct {
	Typed string `json:"typed"`
	Want  string `json:"want"`
}

type vector struct {
	Name    string `json:"name"`
	Digits  string `json:"digits"`
	NowS    int64  `json:"now_s"` // Unix time at which it is checked
	Want    string `json:"want"`  // ok, token, key, signature, expired
	Kind    byte   `json:"kind"`  // these four only where want is not "token"
	Key     byte   `json:"key"`
	CodeID  string `json:"code_id"`
	Stamp   uint32 `json:"stamp"`
	CardNo  string `json:"card_no"`
	Comment string `json:"comment,omitempty"`
}

const vectorFile = "testdata/vectors.json"

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, qrcode.ErrToken):
		return "token"
	case errors.Is(err, qrcode.ErrKey):
		return "key"
	case errors.Is(err, qrcode.ErrSignature):
		return "signature"
	case errors.Is(err, qrcode.ErrExpired):
		return "expired"
	}
	return err.Error()
}

// Key ids of the vectors: n is of Ed25519, n+20 of SM2.
const (
	inForce  = 1
	second   = 2 // in force as well
	retired  = 3 // signed until two days before
	revoked  = 4
	upcoming = 5 // signs from two days later
	unknown  = 9 // in no list
)

func makeVectors(t *testing.T) vectors {
	flip := func(token qrcode.Token, bit int) string {
		b := bytesOf(t, token.Digits())
		b[bit/8] ^= 0x80 >> (bit % 8)
		return digitsOf(b)
	}
	v := vectors{About: "Happiness code tokens, design: qrcode/DESIGN.md. Written by: go test ./qrcode -run Vectors -update"}
	at := now.Unix()
	start := int64(step) * 30
	card := sign(qrcode.Card, key(inForce), codeA, minute)
	for _, add := range []byte{0, 20} {
		name := string(algorithm(inForce + add))
		for _, id := range []byte{inForce, second, retired, revoked, upcoming} {
			k := keyVector{ID: id + add, Algorithm: name, Public: hex.EncodeToString(key(id + add).Public()),
				FromMs: now.AddDate(-1, 0, 0).UnixMilli(), CardDays: cardDays}
			switch id {
			case retired:
				k.SignUntilMs = now.Add(-2 * day).UnixMilli()
			case revoked:
				k.RevokedMs = now.Add(-time.Hour).UnixMilli()
			case upcoming:
				k.FromMs = now.Add(2 * day).UnixMilli()
			}
			v.Keys = append(v.Keys, k)
		}
		early := func(id byte, ago time.Duration) qrcode.Token {
			return sign(qrcode.Card, key(id+add), codeA, uint32(now.Add(-ago).Unix()/60))
		}
		card, screen := sign(qrcode.Card, key(inForce+add), codeA, minute), sign(qrcode.Screen, key(inForce+add), codeA, step)
		cases := []vector{
			{Name: "valid card", Digits: card.Digits(), NowS: at, Want: "ok"},
			{Name: "valid card on its last day", Digits: card.Digits(), NowS: int64(minute)*60 + cardDays*86400 - 1, Want: "ok"},
			{Name: "expired card", Digits: card.Digits(), NowS: int64(minute)*60 + cardDays*86400, Want: "expired"},
			{Name: "card of the second key", Digits: early(second, 0).Digits(), NowS: at, Want: "ok"},
			{Name: "card of a retired key", Digits: early(retired, 30*day).Digits(), NowS: at, Want: "ok"},
			{Name: "card signed just after its key was retired", Digits: early(retired, 2*day-20*time.Minute).Digits(), NowS: at, Want: "ok", Comment: "30 minutes of slack"},
			{Name: "card signed after its key was retired", Digits: early(retired, day).Digits(), NowS: at, Want: "key"},
			{Name: "card of a revoked key", Digits: early(revoked, 30*day).Digits(), NowS: at, Want: "key"},
			{Name: "card from before its key", Digits: early(upcoming, 0).Digits(), NowS: at, Want: "key"},
			{Name: "card of an upcoming key, in its time", Digits: early(upcoming, -3*day).Digits(), NowS: at + 4*86400, Want: "ok"},
			{Name: "valid screen", Digits: screen.Digits(), NowS: at, Want: "ok"},
			{Name: "screen one step ahead", Digits: screen.Digits(), NowS: start - 30, Want: "ok"},
			{Name: "screen two steps ahead", Digits: screen.Digits(), NowS: start - 31, Want: "expired"},
			{Name: "screen two steps back", Digits: screen.Digits(), NowS: start + 89, Want: "ok"},
			{Name: "expired screen", Digits: screen.Digits(), NowS: start + 90, Want: "expired"},
			{Name: "screen of a retired key", Digits: sign(qrcode.Screen, key(retired+add), codeA, step).Digits(), NowS: at, Want: "key"},
			{Name: "screen of a revoked key", Digits: sign(qrcode.Screen, key(revoked+add), codeA, step).Digits(), NowS: at, Want: "key"},
			{Name: "wrong key", Digits: sign(qrcode.Card, keyAs(second+add, inForce+add), codeA, minute).Digits(), NowS: at, Want: "signature", Comment: "signed by the first key, names the second"},
			{Name: "key of the other algorithm", Digits: sign(qrcode.Card, keyAs((inForce+add+20)%40, inForce+add), codeA, minute).Digits(), NowS: at, Want: "signature"},
			{Name: "unknown key", Digits: sign(qrcode.Card, keyAs(unknown+add, inForce+add), codeA, minute).Digits(), NowS: at, Want: "key"},
			{Name: "zero code and last stamp", Digits: sign(qrcode.Card, key(inForce+add), [10]byte{}, 1<<32-1).Digits(), NowS: at, Want: "ok", Comment: "a minute in the year 10136"},
			{Name: "zero stamp", Digits: sign(qrcode.Card, key(inForce+add), codeA, 0).Digits(), NowS: at, Want: "key"},
			{Name: "card turned into a screen code", Digits: flip(sign(qrcode.Card, key(inForce+add), codeA, step), 7), NowS: at, Want: "signature"},
		}
		for _, f := range []struct {
			what string
			bit  int
		}{
			{"first bit of the code id", 8 * 2}, {"last bit of the code id", 8*12 - 1}, {"first bit of the stamp", 8 * 12}, {"last bit of the stamp", 8*16 - 1},
			{"first bit of the signature", 8 * 16}, {"middle of the signature", 8*48 - 1}, {"second half of the signature", 8 * 48}, {"last bit", 8*80 - 1},
		} {
			cases = append(cases, vector{Name: "flipped " + f.what, Digits: flip(card, f.bit), NowS: at, Want: "signature"})
		}
		for what, half := range map[string][]byte{"all zeros": make([]byte, 64), "all ones": bytes.Repeat([]byte{255}, 64)} {
			bad := card
			copy(bad.Signature[:], half)
			cases = append(cases, vector{Name: "signature of " + what, Digits: bad.Digits(), NowS: at, Want: "signature"})
		}
		slices.SortStableFunc(cases[len(cases)-2:], func(a, b vector) int { return strings.Compare(a.Name, b.Name) })
		for i := range cases {
			cases[i].Name = name + ": " + cases[i].Name
		}
		v.Cases = append(v.Cases, cases...)
	}
	v.Cases = append(v.Cases, []vector{
		{Name: "key id flipped into one not in use", Digits: flip(card, 8), NowS: at, Want: "key", Comment: "key 129"},
		{Name: "future version", Digits: flip(card, 2), NowS: at, Want: "token", Comment: "version 3"},
		{Name: "version zero", Digits: flip(card, 3), NowS: at, Want: "token"},
		{Name: "unknown kind", Digits: flip(card, 6), NowS: at, Want: "token", Comment: "kind 2"},
		{Name: "leading zero missing", Digits: strings.TrimLeft(card.Digits(), "0"), NowS: at, Want: "token"},
		{Name: "one leading zero too many", Digits: "0" + card.Digits(), NowS: at, Want: "token"},
		{Name: "2^640", Digits: new(big.Int).Lsh(big.NewInt(1), 640).String(), NowS: at, Want: "token"},
		{Name: "more than 80 bytes", Digits: strings.Repeat("9", qrcode.Digits), NowS: at, Want: "token"},
		{Name: "not a digit", Digits: card.Digits()[:100] + "x" + card.Digits()[101:], NowS: at, Want: "token"},
		{Name: "a minus sign", Digits: "-" + card.Digits()[1:], NowS: at, Want: "token"},
		{Name: "full-width digits", Digits: strings.Repeat("１", qrcode.Digits), NowS: at, Want: "token"},
		{Name: "empty", Digits: "", NowS: at, Want: "token"},
	}...)
	number := qrcode.CardNumber(codeA)
	v.Cards = []cardVector{
		{number, number}, {" " + number[:4] + " " + number[4:8] + "-" + number[8:] + "\n", number},
		{number[:11] + "9", ""}, {number[:11], ""}, {number + "0", ""}, {"", ""}, {"000000000000", "000000000000"}, {"１２３４５６７８９０１２", ""},
	}
	for i := range v.Cases {
		c := &v.Cases[i]
		if token, err := qrcode.Parse(c.Digits); err == nil {
			c.Kind, c.Key, c.CodeID, c.Stamp, c.CardNo = byte(token.Kind), token.Key, token.CodeID(), token.Stamp, qrcode.CardNumber(token.Code)
		}
	}
	return v
}

func TestVectors(t *testing.T) {
	t.Parallel()
	if *update {
		b, err := json.MarshalIndent(makeVectors(t), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(content, &v); err != nil {
		t.Fatal(err)
	}
	if got, want := len(v.Cases), len(makeVectors(t).Cases); got != want {
		t.Errorf("%d cases in the file, want %d", got, want)
	}
	known := qrcode.Keys{}
	for _, k := range v.Keys {
		public, err := hex.DecodeString(k.Public)
		if err != nil {
			t.Fatalf("key %d: %v", k.ID, err)
		}
		known[k.ID] = qrcode.Key{ID: k.ID, Algorithm: qrcode.Algorithm(k.Algorithm), Public: public,
			FromMs: k.FromMs, SignUntilMs: k.SignUntilMs, CardDays: k.CardDays, RevokedMs: k.RevokedMs}
	}
	for _, c := range v.Cases {
		token, err := qrcode.Parse(c.Digits)
		if err == nil {
			if byte(token.Kind) != c.Kind || token.Key != c.Key || token.CodeID() != c.CodeID || token.Stamp != c.Stamp || qrcode.CardNumber(token.Code) != c.CardNo {
				t.Errorf("%s: reads as %+v", c.Name, token)
			}
			err = known.Verify(token, time.Unix(c.NowS, 0))
		}
		if got := outcome(err); got != c.Want {
			t.Errorf("%s: got %s, want %s", c.Name, got, c.Want)
		}
	}
	for _, c := range v.Cards {
		got := strings.NewReplacer(" ", "", "-", "", "\n", "").Replace(c.Typed)
		if !qrcode.ValidCardNumber(got) {
			got = ""
		}
		if got != c.Want {
			t.Errorf("typed %q: got %q, want %q", c.Typed, got, c.Want)
		}
	}
}
