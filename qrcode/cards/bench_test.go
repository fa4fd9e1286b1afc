//go:build integration

package cards_test

import (
	"io"
	"math/rand/v2"
	"testing"

	"github.com/xingfuma/happycode/qrcode"
	"github.com/xingfuma/happycode/qrcode/cards"
)

// BenchmarkCard draws and binds sheets of ten cards; the time is of one card.
func BenchmarkCard(b *testing.B) {
	font, err := cards.OpenFont("")
	if err != nil {
		b.Fatal(err)
	}
	defer font.Close()
	sheet := sheetOf(b, rand.New(rand.NewPCG(7, 7)), cards.PerSheet)
	host := "xf.huzhou.gov.cn"
	for i := range sheet.Cards {
		sheet.Cards[i].Text = qrcode.URL(host, qrcode.Token{Stamp: uint32(i), Code: [10]byte{byte(i), 3}, Signature: [64]byte{byte(7 * i), 5: 77, 63: 1}})
	}
	b.ReportAllocs()
	book, err := cards.NewBook(io.Discard, font, cards.A4)
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; n < b.N; n += cards.PerSheet {
		leaf, err := cards.Draw(font, cards.A4, sheet)
		if err != nil {
			b.Fatal(err)
		}
		if err := book.Add(leaf); err != nil {
			b.Fatal(err)
		}
	}
}
