package qrcode

import (
	"fmt"
	"math/bits"
	"strings"
)

// Pen draws the codes of one host, many of them: in a fifth of the time that
// [Encode] takes, and the very same modules.
//
// All codes of a host have one version and differ in 193 digits only. What the
// digits do to the modules is linear over GF(2) but for the mask: digits are
// written in groups of three as ten bits, error correction is linear, and the
// mask is one of eight patterns laid over the data. So the pen has skip2 draw
// one code and it with each of the 644 bits turned over, and from then on adds up
// what differs. It chooses the mask as skip2 does.
type Pen struct {
	prefix string
	level  Level
	side   int
	first  grid            // the data modules of the first code, without mask
	bits   [digitBits]grid // what each bit changes in them
	masks  [masks]grid     // the patterns, on data modules only
	frames [masks]grid     // all other modules, by mask
	plain  bool            // no such code: everything goes to Encode
}

const (
	digitBits = (Digits/3)*10 + 4 // the last digit stands alone
	masks     = 8
	// penSide is the widest symbol that a pen draws: 64 modules in a word. A
	// host of some hundred characters needs more.
	penSide = 64
)

// grid is modules by row and by column; module (x, y) is bit x of row y and
// bit y of column x.
type grid struct{ rows, columns [penSide]uint64 }

func (g *grid) set(x, y int) {
	g.rows[y] |= 1 << x
	g.columns[x] |= 1 << y
}

func (g *grid) add(o *grid, side int) {
	for i := range side {
		g.rows[i] ^= o.rows[i]
		g.columns[i] ^= o.columns[i]
	}
}

// NewPen makes a pen, which takes as long as 700 codes; host is as [URL] takes it.
//
// Errors: [ErrPicture].
func NewPen(host string, level Level) (*Pen, error) {
	p := &Pen{prefix: strings.TrimSuffix(URL(host, Token{}), Token{}.Digits()), level: level}
	first, err := p.skip2(startDigits(-1))
	if err != nil {
		return nil, err
	}
	if p.side = first.Side(); p.side > penSide {
		p.plain = true
		return p, nil
	}
	data := dataModules(p.side)
	for m := range masks {
		for y := range p.side {
			for x := range p.side {
				if data.rows[y]>>x&1 == 1 && masked(m, x, y) {
					p.masks[m].set(x, y)
				}
			}
		}
	}
	var seen [masks]bool
	take := func(s Symbol) (g grid) {
		m := maskOf(s)
		seen[m] = true
		p.frames[m] = grid{}
		for y, row := range s.rows {
			for x, dark := range row {
				switch {
				case !dark:
				case data.rows[y]>>x&1 == 1:
					g.set(x, y)
				default:
					p.frames[m].set(x, y)
				}
			}
		}
		g.add(&p.masks[m], p.side)
		return g
	}
	p.first = take(first)
	for i := range p.bits {
		s, err := p.skip2(startDigits(i))
		if err != nil {
			return nil, err
		}
		p.bits[i] = take(s)
		p.bits[i].add(&p.first, p.side)
	}
	// Some masks are rare. What a mask changes in its frame is linear as well,
	// so that the frames of any three add up to the frame of their sum.
	for m := range masks {
		if !seen[m] {
			p.plain = p.plain || !p.derive(m, seen)
		}
	}
	return p, nil
}

// derive finds the frame of a mask that skip2 did not choose.
func (p *Pen) derive(m int, seen [masks]bool) bool {
	for a := range masks {
		for b := range a {
			if c := a ^ b ^ m; seen[a] && seen[b] && seen[c] {
				for _, x := range []int{a, b, c} {
					p.frames[m].add(&p.frames[x], p.side)
				}
				return true
			}
		}
	}
	return false
}

// skip2 draws the code of some digits.
func (p *Pen) skip2(digits string) (Symbol, error) { return Encode(p.prefix+digits, p.level) }

// start is the value of a group in the code that all others are changes of:
// mixed, so that skip2 comes to choose every mask, and with each of its bits
// turned over still what the group's digits can say.
func start(group int) int {
	if group == Digits/3 {
		return 0
	}
	return (137*group + 211) % 488
}

// startDigits are the digits of the first code, with bit i turned over; none
// for -1.
func startDigits(i int) string {
	var b strings.Builder
	for group := 0; 3*group < Digits; group++ {
		value := start(group)
		if i >= 0 && i/10 == group {
			value ^= 1 << (i % 10)
		}
		fmt.Fprintf(&b, "%0*d", min(3, Digits-3*group), value)
	}
	return b.String()
}

// Encode finds the modules of a text, fast when it is a code of the pen's host.
//
// Errors: [ErrPicture].
func (p *Pen) Encode(text string) (Symbol, error) {
	digits, own := strings.CutPrefix(text, p.prefix)
	if p.plain || !own || len(digits) != Digits || !decimal(digits) {
		return Encode(text, p.level)
	}
	data := p.first
	for group := 0; 3*group < Digits; group++ {
		value := 0
		for _, c := range digits[3*group : min(3*group+3, Digits)] {
			value = 10*value + int(c-'0')
		}
		for value ^= start(group); value != 0; value &= value - 1 {
			data.add(&p.bits[10*group+bits.TrailingZeros(uint(value))], p.side)
		}
	}
	var best grid
	least := -1
	for m := range masks {
		g := data
		g.add(&p.masks[m], p.side)
		g.add(&p.frames[m], p.side)
		if n := g.penalty(p.side); least < 0 || n < least {
			best, least = g, n
		}
	}
	return best.symbol(p.side), nil
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

// dataModules are those that hold data and error correction.
func dataModules(side int) (g grid) {
	centres := []int{6, side - 7}
	if side >= 45 { // version 7: a third row of alignment patterns, and the version itself
		centres = []int{6, (side - 1) / 2, side - 7}
	}
	alignment := func(x, y int) bool {
		for _, cy := range centres {
			for _, cx := range centres {
				corner := cx == 6 && cy == 6 || cx == 6 && cy == side-7 || cx == side-7 && cy == 6
				if !corner && x >= cx-2 && x <= cx+2 && y >= cy-2 && y <= cy+2 {
					return true
				}
			}
		}
		return false
	}
	for y := range side {
		for x := range side {
			finders := x < 9 && y < 9 || x >= side-8 && y < 9 || x < 9 && y >= side-8
			version := side >= 45 && (x < 6 && y >= side-11 || y < 6 && x >= side-11)
			if !finders && !version && x != 6 && y != 6 && !alignment(x, y) {
				g.set(x, y)
			}
		}
	}
	return g
}

// maskOf reads the mask's number from the format bits beside the upper left
// finder pattern; ISO/IEC 18004 lays 101010000010010 over them.
func maskOf(s Symbol) int {
	m := 0
	for i, x := range []int{2, 3, 4} {
		if dark := s.rows[8][x]; dark != (i != 1) {
			m |= 4 >> i
		}
	}
	return m
}

// masked says whether mask m turns module (x, y) over.
func masked(m, x, y int) bool {
	switch m {
	case 0:
		return (x+y)%2 == 0
	case 1:
		return y%2 == 0
	case 2:
		return x%3 == 0
	case 3:
		return (x+y)%3 == 0
	case 4:
		return (y/2+x/3)%2 == 0
	case 5:
		return x*y%2+x*y%3 == 0
	case 6:
		return (x*y%2+x*y%3)%2 == 0
	}
	return ((x+y)%2+x*y%3)%2 == 0
}

// penalty is what skip2 counts against a symbol: runs of more than five, blocks
// of four, what looks like a finder pattern, and more dark than light.
func (g *grid) penalty(side int) int {
	n, dark := 0, 0
	inner := uint64(1)<<(side-1) - 1
	for _, lines := range [2]*[penSide]uint64{&g.rows, &g.columns} {
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
