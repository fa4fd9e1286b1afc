package qrcode_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/qrcode"
)

// key is the signing key that tests use under an id; its secret is the id
// repeated, its algorithm SM2 for ids from 20 on.
func key(id byte) *qrcode.PrivateKey { return keyAs(id, id) }

// keyAs is the secret of one key under the id of another.
func keyAs(id, secret byte) *qrcode.PrivateKey {
	k, err := qrcode.NewPrivateKey(id, algorithm(secret), bytes.Repeat([]byte{secret}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

func algorithm(id byte) qrcode.Algorithm {
	if id >= 20 {
		return qrcode.SM2
	}
	return qrcode.Ed25519
}

// sign is a token under a key; tests that run over both algorithms sign with
// keys 1 and 20.
func sign(kind qrcode.Kind, k qrcode.Signer, code [10]byte, stamp uint32) qrcode.Token {
	token, err := qrcode.Sign(kind, k, code, stamp)
	if err != nil {
		panic(err)
	}
	return token
}

const cardDays = 1825

var (
	now    = time.Date(2026, 11, 24, 8, 0, 7, 0, time.UTC)
	codeA  = [10]byte{0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6}
	minute = uint32(now.Unix() / 60)
	step   = uint32(now.Unix() / 30)
)

// keys are the keys in force: two of each algorithm.
func keys() qrcode.Keys {
	k := qrcode.Keys{}
	for _, id := range []byte{1, 2, 20, 21} {
		k[id] = qrcode.Key{ID: id, Algorithm: algorithm(id), Public: key(id).Public(), FromMs: now.AddDate(-1, 0, 0).UnixMilli(), CardDays: cardDays}
	}
	return k
}

// accepted is what every reader of a code does.
func accepted(digits string, at time.Time) error {
	t, err := qrcode.Parse(digits)
	if err != nil {
		return err
	}
	return keys().Verify(t, at)
}

func digitsOf(b [qrcode.Size]byte) string {
	s := new(big.Int).SetBytes(b[:]).String()
	return strings.Repeat("0", qrcode.Digits-len(s)) + s
}

func bytesOf(t *testing.T, digits string) (b [qrcode.Size]byte) {
	t.Helper()
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		t.Fatal("not a number")
	}
	n.FillBytes(b[:])
	return b
}

func TestTokenLayout(t *testing.T) {
	t.Parallel()
	token := sign(qrcode.Screen, key(2), codeA, step)
	b := bytesOf(t, token.Digits())
	if b[0] != 0x11 || b[1] != 2 || !bytes.Equal(b[2:12], codeA[:]) || binary.BigEndian.Uint32(b[12:16]) != step {
		t.Errorf("bytes 0-15 are %x", b[:16])
	}
	if !ed25519.Verify(key(2).Public(), append([]byte("XFM-QR-v1\x00"), b[:16]...), b[16:]) {
		t.Error("the signature is not over the context and bytes 0-15")
	}
	if got, want := token.CodeID(), "deadbeef010203040506"; got != want {
		t.Errorf("CodeID: got %s, want %s", got, want)
	}
	back, err := qrcode.Parse(token.Digits())
	if err != nil || back != token {
		t.Errorf("Parse: %+v, %v", back, err)
	}
}

func TestForgedCode(t *testing.T) {
	t.Parallel()
	// A card of one algorithm and a screen code of the other; the kinds differ
	// in nothing but bits that are tried here.
	for _, token := range []qrcode.Token{sign(qrcode.Card, key(1), codeA, minute), sign(qrcode.Screen, key(20), codeA, step)} {
		good := token.Digits()
		if err := accepted(good, now); err != nil {
			t.Fatalf("the valid token of key %d: %v", token.Key, err)
		}
		tried := 0
		for i := range good {
			for d := byte('0'); d <= '9'; d++ {
				if d == good[i] {
					continue
				}
				tried++
				if accepted(good[:i]+string(d)+good[i+1:], now) == nil {
					t.Errorf("digit %d changed to %c is accepted", i, d)
				}
			}
		}
		b := bytesOf(t, good)
		for bit := range 8 * qrcode.Size {
			flipped := b
			flipped[bit/8] ^= 0x80 >> (bit % 8)
			tried++
			if accepted(digitsOf(flipped), now) == nil {
				t.Errorf("bit %d flipped is accepted", bit)
			}
		}
		if want := qrcode.Digits*9 + qrcode.Size*8; tried != want {
			t.Errorf("tried %d changes, want %d", tried, want)
		}
	}
}

func TestForgedInOtherWays(t *testing.T) {
	t.Parallel()
	// A signature by one known key under the id of another.
	if err := accepted(sign(qrcode.Card, keyAs(2, 1), codeA, minute).Digits(), now); !errors.Is(err, qrcode.ErrSignature) {
		t.Errorf("wrong key id: %v", err)
	}
	if err := accepted(sign(qrcode.Card, keyAs(3, 1), codeA, minute).Digits(), now); !errors.Is(err, qrcode.ErrKey) {
		t.Errorf("unknown key id: %v", err)
	}
	// A card passed off as a screen code and the other way round.
	card := sign(qrcode.Card, key(1), codeA, step)
	card.Kind = qrcode.Screen
	if err := accepted(card.Digits(), now); !errors.Is(err, qrcode.ErrSignature) {
		t.Errorf("card as screen: %v", err)
	}
	// S + L is the same signature to a careless verifier (RFC 8032, 5.1.7).
	token := sign(qrcode.Card, key(1), codeA, minute)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := make([]byte, 32)
	for i := range s {
		s[31-i] = token.Signature[32+i]
	}
	new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(s)
	for i := range s {
		token.Signature[32+i] = s[31-i]
	}
	if err := accepted(token.Digits(), now); !errors.Is(err, qrcode.ErrSignature) {
		t.Errorf("malleated signature: %v", err)
	}
	// A token of one algorithm under the key id of the other.
	if err := accepted(sign(qrcode.Card, keyAs(20, 1), codeA, minute).Digits(), now); !errors.Is(err, qrcode.ErrSignature) {
		t.Errorf("Ed25519 under an SM2 key: %v", err)
	}
	// A key that was revoked is told from a wrong signature: who hears of it
	// looks for newer keys.
	revoked := keys()
	k := revoked[1]
	k.RevokedMs = 1
	revoked[1] = k
	if err := revoked.Verify(sign(qrcode.Card, keyAs(1, 2), codeA, minute), now); !errors.Is(err, qrcode.ErrKey) {
		t.Errorf("a wrong signature under a revoked key: %v", err)
	}
	var none qrcode.Keys
	if err := none.Verify(token, now); !errors.Is(err, qrcode.ErrKey) {
		t.Errorf("no keys: %v", err)
	}
	for what, k := range map[string]qrcode.Key{
		"an empty key":          {ID: 1},
		"a short key":           {ID: 1, Algorithm: qrcode.Ed25519, Public: make([]byte, 31)},
		"an unknown algorithm":  {ID: 1, Algorithm: "RSA", Public: key(1).Public()},
		"an empty SM2 key":      {ID: 1, Algorithm: qrcode.SM2},
		"no point of the curve": {ID: 1, Algorithm: qrcode.SM2, Public: append([]byte{4}, make([]byte, 64)...)},
		"a compressed SM2 key":  {ID: 1, Algorithm: qrcode.SM2, Public: append([]byte{2}, key(20).Public()[1:33]...)},
	} {
		k.CardDays = cardDays
		if err := (qrcode.Keys{1: k}).Verify(token, now); !errors.Is(err, qrcode.ErrKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := sign(qrcode.Card, key(1), codeA, minute).Digits()
	b := bytesOf(t, good)
	header := func(first byte) string {
		c := b
		c[0] = first
		return digitsOf(c)
	}
	overflow := new(big.Int).Lsh(big.NewInt(1), 8*qrcode.Size)
	value, _ := new(big.Int).SetString(good, 10)
	for what, digits := range map[string]string{
		"empty":            "",
		"one short":        good[1:],
		"one long":         good + "0",
		"leading zero":     "0" + good,
		"signed":           "+" + good[1:],
		"underscore":       good[:5] + "_" + good[6:],
		"hex":              "0x" + good[2:],
		"full-width digit": "１" + good[3:],
		"blank":            " " + good[1:],
		"2^640":            overflow.String(),
		"wrapped by 2^640": new(big.Int).Add(value, overflow).String(),
		"all nines":        strings.Repeat("9", qrcode.Digits),
		"all zeros":        strings.Repeat("0", qrcode.Digits),
		"version 0":        header(0x00),
		"version 2":        header(0x20),
		"version 15":       header(0xf0),
		"kind 2":           header(0x12),
		"kind 15":          header(0x1f),
	} {
		if _, err := qrcode.Parse(digits); !errors.Is(err, qrcode.ErrToken) {
			t.Errorf("%s: got %v, want ErrToken", what, err)
		}
	}
}

func TestScreenWindow(t *testing.T) {
	t.Parallel()
	start := time.Unix(int64(step)*30, 0)
	digits := sign(qrcode.Screen, key(1), codeA, step).Digits()
	for _, c := range []struct {
		at time.Duration
		ok bool
	}{
		{-30*time.Second - time.Nanosecond, false},
		{-30 * time.Second, true},
		{0, true},
		{90*time.Second - time.Nanosecond, true}, // the second step after ends
		{90 * time.Second, false},
		{24 * time.Hour, false},
		{-24 * time.Hour, false},
	} {
		err := accepted(digits, start.Add(c.at))
		if c.ok && err != nil || !c.ok && !errors.Is(err, qrcode.ErrExpired) {
			t.Errorf("at %v: got %v, want accepted %v", c.at, err, c.ok)
		}
	}
}

func TestExtract(t *testing.T) {
	t.Parallel()
	d := sign(qrcode.Card, key(1), codeA, minute).Digits()
	for _, s := range []string{d, " " + d + "\n", "https://xf.example/c#" + d, "http://127.0.0.1:8080/c#" + d, "HTTPS://XF.EXAMPLE/C#" + d} {
		if got, err := qrcode.Extract(s); err != nil || got != d {
			t.Errorf("%.40q: got %.20q, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "#" + d, "javascript:alert(1)#" + d, "javascript://x/#" + d, "https://#" + d, "://x#" + d,
		"https://xf.example/c?" + d, "https://xf.example/c#" + d + "#" + d, "https://xf.example/c#" + d[1:], d + d,
		"https://xf.example/c#+" + d[1:], strings.Repeat("x", 2000) + "#" + d, "330502199001011234",
	} {
		if got, err := qrcode.Extract(s); !errors.Is(err, qrcode.ErrToken) {
			t.Errorf("%.40q: got %.20q, %v; want ErrToken", s, got, err)
		}
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	token := sign(qrcode.Card, key(1), codeA, minute)
	for host, want := range map[string]string{
		"xf.huzhou.gov.cn":      "https://xf.huzhou.gov.cn/c#",
		"xf.example:8443":       "https://xf.example:8443/c#",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080/c#",
		"https://xf.example/":   "https://xf.example/c#",
	} {
		got := qrcode.URL(host, token)
		if got != want+token.Digits() {
			t.Errorf("%s: got %.50s", host, got)
		}
		if d, err := qrcode.Extract(got); err != nil || d != token.Digits() {
			t.Errorf("%s: Extract does not read what URL writes: %v", host, err)
		}
	}
}

func TestCardNumber(t *testing.T) {
	t.Parallel()
	if got, want := qrcode.CardNumber([10]byte{7: 123, 8: 0xff, 9: 0xff}), "000000001230"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var code [10]byte
		for i := range code {
			code[i] = byte(r.Uint32())
		}
		no := qrcode.CardNumber(code)
		if !qrcode.ValidCardNumber(no) {
			t.Fatalf("%s is not valid", no)
		}
		for i := range no {
			for d := byte('0'); d <= '9'; d++ {
				if d != no[i] && qrcode.ValidCardNumber(no[:i]+string(d)+no[i+1:]) {
					t.Fatalf("%s with digit %d wrong is valid", no, i)
				}
			}
			if i > 0 && no[i-1] != no[i] && no[i-1:i+1] != "09" && no[i-1:i+1] != "90" &&
				qrcode.ValidCardNumber(no[:i-1]+string(no[i])+string(no[i-1])+no[i+1:]) {
				t.Fatalf("%s with digits %d and %d swapped is valid", no, i-1, i)
			}
		}
	}
	for _, bad := range []string{"", "0", "00000000000", "0000000000000", "00000000000x", "００００"} {
		if qrcode.ValidCardNumber(bad) {
			t.Errorf("%q is valid", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sign(qrcode.Card, key(1), codeA, minute).Digits())
	f.Add(strings.Repeat("9", qrcode.Digits))
	f.Add("")
	f.Add(sign(qrcode.Screen, key(20), codeA, step).Digits())
	f.Fuzz(func(t *testing.T, s string) {
		token, err := qrcode.Parse(s)
		if err != nil {
			if !errors.Is(err, qrcode.ErrToken) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if token.Digits() != s {
			t.Fatalf("%q is read but written as %q", s, token.Digits())
		}
		err = keys().Verify(token, now)
		if signed := sign(token.Kind, key(max(token.Key, 1)), token.Code, token.Stamp); err == nil && signed != token {
			t.Fatalf("%q was never signed and is accepted", s)
		}
	})
}

func FuzzExtract(f *testing.F) {
	d := sign(qrcode.Card, key(1), codeA, minute).Digits()
	f.Add(d)
	f.Add("https://xf.example/c#" + d)
	f.Add("javascript:#" + d)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := qrcode.Extract(s)
		if err != nil {
			if !errors.Is(err, qrcode.ErrToken) || got != "" {
				t.Fatalf("%q, error %v", got, err)
			}
			return
		}
		if len(got) != qrcode.Digits || strings.Trim(got, "0123456789") != "" || !strings.HasSuffix(strings.TrimSpace(s), got) {
			t.Fatalf("%q gives %q", s, got)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	for _, id := range []byte{1, 20} {
		b.Run(string(algorithm(id)), func(b *testing.B) {
			k := key(id)
			for b.Loop() {
				sign(qrcode.Card, k, codeA, minute)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, id := range []byte{1, 20} {
		b.Run(string(algorithm(id)), func(b *testing.B) {
			digits := sign(qrcode.Card, key(id), codeA, minute).Digits()
			k := keys()
			for b.Loop() {
				token, err := qrcode.Parse(digits)
				if err == nil {
					err = k.Verify(token, now)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSVG(b *testing.B) {
	text := qrcode.URL("xf.huzhou.gov.cn", sign(qrcode.Card, key(1), codeA, minute))
	for b.Loop() {
		if _, err := qrcode.SVG(text, qrcode.Q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPNG(b *testing.B) {
	text := qrcode.URL("xf.huzhou.gov.cn", sign(qrcode.Card, key(1), codeA, minute))
	for b.Loop() {
		if _, err := qrcode.PNG(text, qrcode.Q, 600); err != nil {
			b.Fatal(err)
		}
	}
}
