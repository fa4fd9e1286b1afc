package qrcode_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	skip2 "github.com/skip2/go-qrcode"

	"github.com/xingfuma/happycode/qrcode"
)

// Codes are what skip2 draws of the same version, module for module, whatever
// the host is, with tokens of every kind: random, all zeros, all nines.
func TestModulesAreThoseOfAnotherEncoder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host    string
		level   qrcode.Level
		version int
	}{
		{"h", qrcode.M, 6}, {strings.Repeat("h", 29), qrcode.M, 7}, {strings.Repeat("h", 45), qrcode.M, 8},
		{host, qrcode.Q, 11}, {strings.Repeat("h", 84), qrcode.Q, 11}, {strings.Repeat("h", 85), qrcode.Q, 12},
	} {
		t.Run(c.host, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(6, uint64(len(c.host))))
			for i := range 24 {
				token := qrcode.Token{Kind: qrcode.Kind(i % 2), Key: byte(r.Uint32()), Stamp: r.Uint32()}
				for j := range token.Code {
					token.Code[j] = byte(r.Uint32())
				}
				for j := range token.Signature {
					token.Signature[j] = byte(r.Uint32())
				}
				if i < 2 {
					token = qrcode.Token{Kind: qrcode.Kind(i)}
				}
				same(t, qrcode.URL(c.host, token), c.level, c.version)
			}
			same(t, qrcode.Prefix(c.host)+strings.Repeat("9", qrcode.Digits), c.level, c.version)
		})
	}
	same(t, strings.Repeat("7", qrcode.Digits), qrcode.M, 5)
	same(t, "https://elsewhere.cn/where-no-digits-are", qrcode.Q, 11)
}

func same(t *testing.T, text string, level qrcode.Level, version int) {
	t.Helper()
	got, err := qrcode.Encode(text, level)
	if err != nil {
		t.Fatal(err)
	}
	code, err := skip2.NewWithForcedVersion(text, version, map[qrcode.Level]skip2.RecoveryLevel{qrcode.M: skip2.Medium, qrcode.Q: skip2.High}[level])
	if err != nil {
		t.Fatal(err)
	}
	code.DisableBorder = true
	want := code.Bitmap()
	if got.Side() != len(want) {
		t.Fatalf("level %d: %d modules wide, want %d, for %s", level, got.Side(), len(want), text)
	}
	dark, wanted := 0, 0
	got.Bars(func(x, y, run int) {
		for i := range run {
			if dark++; !want[y][x+i] {
				t.Fatalf("level %d: module %d, %d is dark, not in skip2's, for %s", level, x+i, y, text)
			}
		}
	})
	for _, row := range want {
		for _, is := range row {
			if is {
				wanted++
			}
		}
	}
	if dark != wanted {
		t.Fatalf("level %d: %d dark modules, want %d, for %s", level, dark, wanted, text)
	}
}
