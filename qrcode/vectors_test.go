package qrcode_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/qrcode"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectors is what Go and TypeScript both verify.
type vectors struct {
	About string            `json:"about"`
	Keys  map[string]string `json:"keys"` // key id -> Ed25519 public key, hex
	Cases []vector          `json:"cases"`
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

func makeVectors(t *testing.T) vectors {
	card := qrcode.Sign(qrcode.Card, 1, key(1), codeA, minute)
	screen := qrcode.Sign(qrcode.Screen, 1, key(1), codeA, step)
	small := qrcode.Sign(qrcode.Card, 0, key(2), [10]byte{}, 0)
	flip := func(token qrcode.Token, bit int) string {
		b := bytesOf(t, token.Digits())
		b[bit/8] ^= 0x80 >> (bit % 8)
		return digitsOf(b)
	}
	at := now.Unix()
	start := int64(step) * 30
	v := vectors{
		About: "Happiness code tokens, design: qrcode/DESIGN.md. Written by: go test ./qrcode -run Vectors -update",
		Keys:  map[string]string{"0": hex.EncodeToString(public(key(2))), "1": hex.EncodeToString(public(key(1))), "2": hex.EncodeToString(public(key(2)))},
		Cases: []vector{
			{Name: "valid card", Digits: card.Digits(), NowS: at, Want: "ok"},
			{Name: "valid card after ten years", Digits: card.Digits(), NowS: at + 10*365*86400, Want: "ok"},
			{Name: "valid screen", Digits: screen.Digits(), NowS: at, Want: "ok"},
			{Name: "screen one step ahead", Digits: screen.Digits(), NowS: start - 30, Want: "ok"},
			{Name: "screen two steps ahead", Digits: screen.Digits(), NowS: start - 31, Want: "expired"},
			{Name: "screen two steps back", Digits: screen.Digits(), NowS: start + 89, Want: "ok"},
			{Name: "expired screen", Digits: screen.Digits(), NowS: start + 90, Want: "expired"},
			{Name: "second key", Digits: qrcode.Sign(qrcode.Card, 2, key(2), codeA, minute).Digits(), NowS: at, Want: "ok"},
			{Name: "wrong key", Digits: qrcode.Sign(qrcode.Card, 2, key(1), codeA, minute).Digits(), NowS: at, Want: "signature", Comment: "signed by key 1, names key 2"},
			{Name: "unknown key", Digits: qrcode.Sign(qrcode.Card, 9, key(1), codeA, minute).Digits(), NowS: at, Want: "key"},
			{Name: "key id zero, zero code and stamp", Digits: small.Digits(), NowS: at, Want: "ok", Comment: "key id 0 is a key like any other"},
			{Name: "flipped bit in the code id", Digits: flip(card, 8*2), NowS: at, Want: "signature"},
			{Name: "flipped last bit of the stamp", Digits: flip(card, 8*16-1), NowS: at, Want: "signature"},
			{Name: "flipped first bit of the signature", Digits: flip(card, 8*16), NowS: at, Want: "signature"},
			{Name: "flipped last bit", Digits: flip(card, 8*80-1), NowS: at, Want: "signature"},
			{Name: "card turned into a screen code", Digits: flip(qrcode.Sign(qrcode.Card, 1, key(1), codeA, step), 7), NowS: at, Want: "signature"},
			{Name: "future version", Digits: flip(card, 2), NowS: at, Want: "token", Comment: "version 3"},
			{Name: "version zero", Digits: flip(card, 3), NowS: at, Want: "token"},
			{Name: "unknown kind", Digits: flip(card, 6), NowS: at, Want: "token", Comment: "kind 2"},
			{Name: "leading zero missing", Digits: strings.TrimLeft(card.Digits(), "0"), NowS: at, Want: "token"},
			{Name: "one leading zero too many", Digits: "0" + card.Digits(), NowS: at, Want: "token"},
			{Name: "more than 80 bytes", Digits: strings.Repeat("9", qrcode.Digits), NowS: at, Want: "token"},
			{Name: "not a digit", Digits: card.Digits()[:100] + "x" + card.Digits()[101:], NowS: at, Want: "token"},
			{Name: "empty", Digits: "", NowS: at, Want: "token"},
		},
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
	for id, k := range v.Keys {
		b, err := hex.DecodeString(k)
		if err != nil || len(id) != 1 {
			t.Fatalf("key %q: %v", id, err)
		}
		known[id[0]-'0'] = b
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
}
