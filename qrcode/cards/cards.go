// Package cards draws the cards that people carry: ID-1 size, ten to an A4
// sheet or one to a page, as PDF with a vector QR code and an embedded font.
//
// It knows neither network nor record: what stands on a card is given.
package cards

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/xingfuma/happycode/qrcode"
)

// Layout is how cards stand on paper.
type Layout string

// The layouts.
const (
	A4     Layout = "a4"     // ten to a sheet, with marks to cut along
	Single Layout = "single" // one to a page of its own size, for card printers
)

// PerSheet is how many cards one sheet takes, in either layout.
const PerSheet = columns * rows

// Drawing names how sheets are drawn. It changes with every change of what a
// card looks like, so that sheets drawn before are not taken for those of today.
const Drawing = "xfm-card-v2"

// In millimetres, from the top left.
const (
	cardWidth, cardHeight = 85.6, 54.0 // ISO/IEC 7810 ID-1
	sheetWidth            = 210.0
	sheetHeight           = 297.0
	columns, rows         = 2, 5
	gridLeft              = (sheetWidth - columns*cardWidth) / 2
	gridTop               = 17.0
	codeSide              = 33.6 // the symbol without its margin
	codeLeft              = 49.4
	codeTop               = 10.9
	textLeft              = 5.0
	bandHeight            = 8.6
)

// page is the size of a page.
func (l Layout) page() (width, height float64) {
	if l == Single {
		return cardWidth, cardHeight
	}
	return sheetWidth, sheetHeight
}

// ErrLayout says that there is no such layout.
var ErrLayout = errors.New("no such layout")

// ParseLayout reads "a4" or "single"; "" is A4. Errors: [ErrLayout].
func ParseLayout(s string) (Layout, error) {
	switch Layout(s) {
	case A4, "":
		return A4, nil
	case Single:
		return Single, nil
	}
	return "", fmt.Errorf("layout %q: %w", s, ErrLayout)
}

// Card is what stands on one card: no ID number, no full name, no address.
type Card struct {
	Initial string // of the name: one character and two stars
	Number  string // 12 digits
	UntilMs int64  // Unix ms; 0: no date is printed
	Text    string // in the QR code
}

// Sheet is up to [PerSheet] cards of one place.
type Sheet struct {
	Place string // printed above the cards
	No    int    // from 1
	Of    int    // how many sheets the place has
	Cards []Card
}

// spaced is a card number in groups of four.
func spaced(number string) string {
	var groups []string
	for len(number) > 4 {
		groups = append(groups, number[:4])
		number = number[4:]
	}
	return strings.Join(append(groups, number), " ")
}

// cst is UTC+8, the one civil time of China.
var cst = time.FixedZone("CST", 8*60*60) // read only

// Texts of the card, in both languages at once: it is shown to whoever helps.
const (
	textBrand   = "幸福码"
	textBrandEN = "Happiness Code"
	textHolder  = "持卡人  Holder"
	textNumber  = "卡号  Card number"
	textUntil   = "有效期至  Valid until"
	textNote    = "拾到请交到就近的村（社区）；遗失请告诉社工，旧卡当即作废。"
	textNoteEN  = "If found, hand in at any village office. If lost, tell a caseworker."
	textScale   = "请按实际大小（100%）打印，沿细线裁开。Print at actual size (100%) and cut along the lines."
)

// Wording is what stands on every card and sheet, for cards drawn elsewhere.
type Wording struct{ Brand, BrandEN, Holder, Number, Until, Note, NoteEN, Scale string }

// Words returns the wording.
func Words() Wording {
	return Wording{textBrand, textBrandEN, textHolder, textNumber, textUntil, textNote, textNoteEN, textScale}
}

// For says on the card of somebody who shows a code on another's behalf whose.
func For(initial string) (zh, en string) { return "代 " + initial + " 持", "for " + initial }

// Date is a day in China as a card shows it, for Unix ms; "" for 0.
func Date(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).In(cst).Format("2006-01-02")
}

// Position says which sheet of its place a sheet is.
func (s Sheet) Position() string {
	return fmt.Sprintf("第 %d 张，共 %d 张 · Sheet %d of %d", s.No, s.Of, s.No, s.Of)
}

// fixedText is every character that a card or a sheet may need, but for names.
func fixedText() string {
	return textBrand + textBrandEN + textHolder + textNumber + textUntil + textNote + textNoteEN + textScale +
		"＊0123456789-第张共，· Sheet of…"
}

// Colours, as PDF writes them.
const (
	inkColour   = ".11 .082 .063"
	greyColour  = ".35 .3 .27"
	brandColour = ".659 .196 .122"
	white       = "1 1 1"
	lineColour  = ".75 .7 .65"
)

// Draw draws a sheet.
//
// Errors: [qrcode.ErrPicture] when a card's text fits into no code.
func Draw(f *Font, l Layout, s Sheet) (Leaf, error) {
	leaf := Leaf{Glyphs: map[uint16]rune{}}
	c := newCanvas(f)
	if l == A4 {
		c.header(s)
	}
	for i, card := range s.Cards[:min(len(s.Cards), PerSheet)] {
		if l == A4 {
			column, row := i%columns, i/columns
			c.printf("q 1 0 0 1 %.3f %.3f cm\n", gridLeft+cardWidth*float64(column), sheetHeight-gridTop-cardHeight*float64(row+1))
		}
		if err := c.card(card); err != nil {
			return Leaf{}, err
		}
		if l == A4 {
			c.printf("Q\n")
			continue
		}
		leaf.Pages = append(leaf.Pages, c.page())
		maps.Copy(leaf.Glyphs, c.glyphs)
		c = newCanvas(f)
	}
	if l == A4 {
		c.cutLines(len(s.Cards))
		leaf.Pages = [][]byte{c.page()}
		maps.Copy(leaf.Glyphs, c.glyphs)
	}
	return leaf, nil
}

// canvas is the content of a page or of the common design, in millimetres.
type canvas struct {
	b      []byte
	font   *Font
	glyphs map[uint16]rune
}

func newCanvas(f *Font) *canvas { return &canvas{font: f, glyphs: map[uint16]rune{}} }

func (c *canvas) printf(format string, args ...any) { c.b = fmt.Appendf(c.b, format, args...) }

// page is the content with the scale of millimetres set.
func (c *canvas) page() []byte {
	return compressed(append(fmt.Appendf(nil, "%.6f 0 0 %.6f 0 0 cm\n", mm, mm), c.b...))
}

// text writes s with its left edge at x and its base line at y, in the card's
// or the page's own coordinates; weight thickens the strokes, as part of the size.
func (c *canvas) text(x, y, size float64, colour string, weight float64, s string) {
	c.printf("BT /F %.2f Tf %s rg ", size, colour)
	if weight > 0 {
		c.printf("2 Tr %s RG %.3f w ", colour, size*weight)
	} else {
		c.printf("0 Tr ")
	}
	c.printf("%.3f %.3f Td <", x, y)
	for _, r := range s {
		g, ok := c.font.glyph(r)
		if !ok {
			g, _ = c.font.glyph('＊') // a rare character that the font has not
			r = '＊'
		}
		c.printf("%04X", g.id)
		if had, ok := c.glyphs[g.id]; !ok || r < had {
			c.glyphs[g.id] = r
		}
	}
	c.printf("> Tj ET\n")
}

// down turns a distance from the card's upper edge into one from the lower.
func down(y float64) float64 { return cardHeight - y }

// drawDesign draws what all cards have in common.
func drawDesign(f *Font) ([]byte, map[uint16]rune) {
	c := newCanvas(f)
	c.printf("%s rg 0 %.3f %.3f %.3f re f\n", brandColour, cardHeight-bandHeight, cardWidth, bandHeight)
	c.printf("q .2 0 0 -.2 %.3f %.3f cm %s\nQ\n", textLeft-.8, down(1.1), mark)
	c.text(textLeft+6.4, down(6.1), 4.9, white, .03, textBrand)
	c.text(textLeft+22.6, down(6), 3.3, white, .01, textBrandEN)
	c.text(textLeft, down(14.2), 2.5, greyColour, 0, textHolder)
	c.text(textLeft, down(27.2), 2.5, greyColour, 0, textNumber)
	c.text(textLeft, down(49), 2.65, inkColour, 0, textNote)
	c.text(textLeft, down(51.9), 2.15, greyColour, 0, textNoteEN)
	return c.b, c.glyphs
}

// mark is the sign of Happiness Code, a heart in the corners of a code, in the
// 32 × 32 units of app/pages/web/src/icon.svg.
const mark = `1 .85 .79 RG 2.4 w 1 J
7 12 m 7 9 l 7 7.9 7.9 7 9 7 c 12 7 l S
20 7 m 23 7 l 24.1 7 25 7.9 25 9 c 25 12 l S
25 20 m 25 23 l 25 24.1 24.1 25 23 25 c 20 25 l S
12 25 m 9 25 l 7.9 25 7 24.1 7 23 c 7 20 l S
1 1 1 rg
16 22.2 m 11 17.3 l 9.7 16 9.7 13.9 11 12.6 c 12.3 11.3 14.4 11.3 15.7 12.6 c 16 13 l 16.3 12.6 l 17.6 11.3 19.7 11.3 21 12.6 c 22.3 13.9 22.3 16 21 17.3 c f`

// card draws one card with its lower left corner at the origin.
func (c *canvas) card(card Card) error {
	symbol, err := qrcode.Encode(card.Text, qrcode.Q)
	if err != nil {
		return err
	}
	c.printf("/D Do\n")
	c.text(textLeft, down(22.3), 7.6, inkColour, .02, card.Initial)
	c.text(textLeft, down(32.9), 5.2, inkColour, .02, spaced(card.Number))
	if card.UntilMs != 0 {
		c.text(textLeft, down(38.2), 2.5, greyColour, 0, textUntil)
		c.text(textLeft, down(43), 4.1, inkColour, .01, Date(card.UntilMs))
	}
	// One path for the whole code: bars that touch leave no gap between them.
	module := codeSide / float64(symbol.Side())
	c.printf("q 0 g %.6f 0 0 %.6f %.3f %.3f cm\n", module, -module, codeLeft, down(codeTop))
	symbol.Bars(func(x, y, run int) { c.printf("%d %d %d 1 re\n", x, y, run) })
	c.printf("f Q\n")
	return nil
}

// header says above the cards whose they are.
func (c *canvas) header(s Sheet) {
	count := s.Position()
	width := float64(c.font.width(count)) / em * 3.2
	right := gridLeft + columns*cardWidth
	c.text(right-width, sheetHeight-9, 3.2, inkColour, 0, count)
	const size = 4.4
	c.text(gridLeft, sheetHeight-9, size, inkColour, .02, c.font.fit(s.Place, int((right-width-4-gridLeft)/size*em)))
	c.text(gridLeft, sheetHeight-13.4, 2.5, greyColour, 0, textScale)
}

// cutLines draws hair lines around the cards and marks beyond their ends, for
// scissors and for guillotines.
func (c *canvas) cutLines(cards int) {
	used := (cards + columns - 1) / columns
	top, bottom := sheetHeight-gridTop, sheetHeight-gridTop-cardHeight*float64(used)
	right := gridLeft + cardWidth*columns
	c.printf("%s RG .1 w\n", lineColour)
	for i := range columns + 1 {
		x := gridLeft + cardWidth*float64(i)
		c.printf("%.3f %.3f m %.3f %.3f l S\n", x, top, x, bottom)
	}
	for i := range used + 1 {
		y := top - cardHeight*float64(i)
		c.printf("%.3f %.3f m %.3f %.3f l S\n", gridLeft, y, right, y)
	}
	c.printf("%s RG .15 w\n", inkColour)
	for i := range columns + 1 {
		x := gridLeft + cardWidth*float64(i)
		c.printf("%.3f %.3f m %.3f %.3f l S %.3f %.3f m %.3f %.3f l S\n", x, top+.8, x, top+2.6, x, bottom-.8, x, bottom-4)
	}
	for i := range used + 1 {
		y := top - cardHeight*float64(i)
		c.printf("%.3f %.3f m %.3f %.3f l S %.3f %.3f m %.3f %.3f l S\n", gridLeft-1, y, gridLeft-5, y, right+1, y, right+5, y)
	}
}
