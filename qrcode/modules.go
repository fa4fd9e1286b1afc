package qrcode

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"sync"

	skip2 "github.com/skip2/go-qrcode"
	"rsc.io/qr/coding"
)

// ErrPicture says that no picture can be made: the text is too long or the
// size is out of range.
var ErrPicture = errors.New("no picture can be made of this")

// Level is how much of a picture may be unreadable.
type Level int

// The levels in use.
const (
	M Level = iota // 15 %: screens
	Q              // 25 %: printed cards, at least 30 mm wide, in version 11 at least
)

// levels are what each [Level] is to the libraries, and its least version. Cards
// are larger than their text needs: a stain of the same share of a larger symbol
// spoils a smaller share of its codewords. See DESIGN.md, "Stains".
var levels = [...]struct {
	coding coding.Level
	skip2  skip2.RecoveryLevel
	least  int
}{M: {coding.M, skip2.Medium, 1}, Q: {coding.Q, skip2.High, 11}} // read only

const (
	masks = 8
	// widest is the widest symbol whose rows fit into words, and widestVersion
	// its version: what every host of up to 84 characters gets.
	widest, widestVersion = 64, 11
)

// Symbol is a QR code without its margin.
type Symbol struct{ rows [][]bool }

// Encode finds the modules of a text: its last digits in numeric mode, what
// stands before them as bytes.
//
// Errors: [ErrPicture].
func Encode(text string, level Level) (Symbol, error) {
	if level < 0 || int(level) >= len(levels) {
		return Symbol{}, fmt.Errorf("level %d: %w", level, ErrPicture)
	}
	if text == "" {
		return Symbol{}, fmt.Errorf("empty text: %w", ErrPicture)
	}
	head := strings.TrimRight(text, "0123456789")
	parts := []coding.Encoding{coding.String(head), coding.Num(text[len(head):])}
	switch len(head) {
	case 0:
		parts = parts[1:]
	case len(text):
		parts = parts[:1]
	}
	for version := levels[level].least; version <= widestVersion; version++ {
		n := 0
		for _, p := range parts {
			n += p.Bits(coding.Version(version))
		}
		if n <= 8*coding.Version(version).DataBytes(levels[level].coding) {
			return layouts[level][version]().symbol(parts), nil
		}
	}
	code, err := skip2.New(text, levels[level].skip2)
	if err != nil {
		return Symbol{}, fmt.Errorf("text of %d bytes: %w", len(text), ErrPicture)
	}
	code.DisableBorder = true
	return Symbol{code.Bitmap()}, nil
}

// layout is what symbols of one version and level have in common.
type layout struct {
	version coding.Version
	level   coding.Level
	side    int
	places  []place     // of each bit of the codewords
	frames  [masks]grid // all that is dark before the bits are laid over it, by mask
}

type place struct{ x, y uint8 }

// layouts by level and version, each made when it is first used.
var layouts = func() (all [len(levels)][widestVersion + 1]func() *layout) {
	for level := range all {
		for version := 1; version <= widestVersion; version++ {
			all[level][version] = sync.OnceValue(func() *layout { return newLayout(coding.Version(version), levels[level].coding) })
		}
	}
	return all
}() // read only

func newLayout(version coding.Version, level coding.Level) *layout {
	l := &layout{version: version, level: level}
	for m := range masks {
		plan, err := coding.NewPlan(version, level, coding.Mask(m))
		if err != nil {
			panic("qrcode: " + err.Error()) // of versions that there are not
		}
		l.side = len(plan.Pixel)
		l.places = make([]place, 8*(plan.DataBytes+plan.CheckBytes))
		for y, row := range plan.Pixel {
			for x, p := range row {
				if r := p.Role(); r == coding.Data || r == coding.Check {
					l.places[p.Offset()] = place{uint8(x), uint8(y)}
				}
				if p&coding.Black != 0 {
					l.frames[m].turn(x, y)
				}
			}
		}
	}
	return l
}

// symbol lays the text out under the mask with the least penalty.
func (l *layout) symbol(parts []coding.Encoding) Symbol {
	var text coding.Bits
	for _, p := range parts {
		p.Encode(&text, l.version)
	}
	text.AddCheckBytes(l.version, l.level)
	var data, best grid
	for i, b := range text.Bytes() {
		for ; b != 0; b &= b - 1 {
			at := l.places[8*i+7-bits.TrailingZeros8(b)]
			data.turn(int(at.x), int(at.y))
		}
	}
	least := -1
	for m := range l.frames {
		g := data
		g.add(&l.frames[m], l.side)
		if n := g.penalty(l.side); least < 0 || n < least {
			best, least = g, n
		}
	}
	return best.symbol(l.side)
}

// grid is modules by row and by column; module (x, y) is bit x of row y and
// bit y of column x.
type grid struct{ rows, columns [widest]uint64 }

// turn makes a light module dark, and a dark one light.
func (g *grid) turn(x, y int) {
	g.rows[y] ^= 1 << x
	g.columns[x] ^= 1 << y
}

func (g *grid) add(o *grid, side int) {
	for i := range side {
		g.rows[i] ^= o.rows[i]
		g.columns[i] ^= o.columns[i]
	}
}

func (g *grid) symbol(side int) Symbol {
	all := make([]bool, side*side)
	rows := make([][]bool, side)
	for y := range rows {
		rows[y] = all[y*side : (y+1)*side]
		for x := range side {
			rows[y][x] = g.rows[y]>>x&1 == 1
		}
	}
	return Symbol{rows}
}

// penalty is what skip2 counts against a symbol: runs of more than five, blocks
// of four, what looks like a finder pattern, and more dark than light.
func (g *grid) penalty(side int) int {
	n, dark := 0, 0
	inner := uint64(1)<<(side-1) - 1
	for _, lines := range [2]*[widest]uint64{&g.rows, &g.columns} {
		for _, line := range lines[:side] {
			same := ^(line ^ line>>1) & inner
			five := same & (same >> 1)
			five &= five >> 2
			five &= same >> 4
			n += bits.OnesCount64(five) + 3*bits.OnesCount64(five&^(five<<1))
			if line&^(line>>1)&(line>>2)&(line>>3)&(line>>4)&^(line>>5)&(line>>6) != 0 {
				n += finderLike(line, side)
			}
		}
	}
	for y, line := range g.rows[:side] {
		dark += bits.OnesCount64(line)
		if y > 0 {
			above := ^(line ^ g.rows[y-1])
			n += 3 * bits.OnesCount64(^(line^line>>1)&above&(above>>1)&inner)
		}
	}
	deviation := side*side/2 - dark
	return n + 10*(max(deviation, -deviation)/(side*side/20))
}

// finderLike is 40 for each dark-light-dark-dark-dark-light-dark in a line that
// has four light ones on a side, counted as skip2 does.
func finderLike(line uint64, side int) int {
	n, buffer := 0, uint16(0)
	for x := range side {
		buffer = buffer<<1 | uint16(line>>x&1)
		if b := buffer & 0x7ff; b == 0x05d || b == 0x5d0 || x == side-1 && buffer&0x7f == 0x5d {
			n += 40
			buffer = 0xff
		}
	}
	return n
}
