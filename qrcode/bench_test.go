package qrcode_test

import (
	"math/rand/v2"
	"testing"
	"time"

	skip2 "github.com/skip2/go-qrcode"

	"github.com/xingfuma/happycode/qrcode"
)

// BenchmarkPicture compares, in one run, skip2's own PNG with the pictures of
// this package: another token each time, as in a sheet of cards.
func BenchmarkPicture(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	texts := make([]string, 64)
	for i := range texts {
		var code [10]byte
		for i := range code {
			code[i] = byte(r.Uint32())
		}
		texts[i] = qrcode.URL(host, sign(qrcode.Card, key(1), code, r.Uint32()))
	}
	draw := func(name string, picture func(text string) ([]byte, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := picture(texts[i%len(texts)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	draw("skip2 PNG 600", func(text string) ([]byte, error) { return skip2.Encode(text, skip2.High, 600) })
	draw("PNG 600", func(text string) ([]byte, error) { return qrcode.PNG(text, qrcode.Q, 600) })
	draw("SVG", func(text string) ([]byte, error) { return qrcode.SVG(text, qrcode.Q) })
	draw("SVG of a screen", func(text string) ([]byte, error) { return qrcode.SVG(text, qrcode.M) })
}

// BenchmarkToken signs, reads and checks a code, by algorithm.
func BenchmarkToken(b *testing.B) {
	for _, alg := range qrcode.Algorithms() {
		secret, err := qrcode.NewSecret(alg)
		if err != nil {
			b.Fatal(err)
		}
		private, err := qrcode.NewPrivateKey(1, alg, secret)
		if err != nil {
			b.Fatal(err)
		}
		now := time.Unix(1_800_000_000, 0)
		keys := qrcode.Keys{1: {ID: 1, Algorithm: alg, Public: private.Public(), CardDays: 1825}}
		token, err := qrcode.Sign(qrcode.Card, private, [10]byte{1}, uint32(now.Unix()/60))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg)+" sign", func(b *testing.B) {
			for b.Loop() {
				if _, err := qrcode.Sign(qrcode.Card, private, token.Code, token.Stamp); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+" verify", func(b *testing.B) {
			for b.Loop() {
				if err := keys.Verify(token, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	digits := sign(qrcode.Card, key(1), [10]byte{1}, 1).Digits()
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := qrcode.Parse(digits); err != nil {
				b.Fatal(err)
			}
		}
	})
}
