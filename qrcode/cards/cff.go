package cards

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// program writes the outlines of some glyphs as a CFF font program, keyed by
// CID, the CID being the glyph's id in the whole font: what is drawn stays the
// same whichever other glyphs are embedded. The glyphs are in order of id, 0
// first. Outlines come from the font as lines and curves, so that TrueType,
// CFF and collections are all embedded in one and the same way; hints, which
// only matter at a few pixels, are dropped.
//
// Source: Adobe Technical Notes 5176 (CFF) and 5177 (Type 2 charstrings).
func (f *Font) program(name string, ids []uint16) ([]byte, error) {
	charstrings := make([][]byte, len(ids))
	for i, id := range ids {
		var err error
		if charstrings[i], err = f.charstring(id); err != nil {
			return nil, fmt.Errorf("glyph %d of %s: %w", id, f.name, err)
		}
	}
	charset := []byte{0}
	for _, id := range ids[1:] {
		charset = binary.BigEndian.AppendUint16(charset, id)
	}
	fdSelect := binary.BigEndian.AppendUint16([]byte{3, 0, 1, 0, 0, 0}, uint16(len(ids)))
	private := append(cffOp(20, em), cffOp(21, 0)...) // defaultWidthX, nominalWidthX

	const registry, ordering = 391, 392 // the first two strings that are not standard
	top := func(charsetAt, selectAt, charstringsAt, fontsAt int) []byte {
		var d []byte
		d = append(d, cffOp(1230, registry, ordering, 0)...)
		d = append(d, cffOp(1234, 65535)...) // CIDCount
		d = append(d, cffOp(15, charsetAt)...)
		d = append(d, cffOp(1237, selectAt)...)
		d = append(d, cffOp(17, charstringsAt)...)
		return append(d, cffOp(1236, fontsAt)...)
	}
	head := []byte{1, 0, 4, 4}
	head = append(head, cffIndex([]byte(name))...)
	tail := append(cffIndex([]byte("Adobe"), []byte("Identity")), cffIndex()...) // strings, global subroutines

	// Numbers in a DICT are all five bytes long, so the sizes do not depend on
	// the offsets.
	at := len(head) + len(cffIndex(top(0, 0, 0, 0))) + len(tail)
	charsetAt := at
	selectAt := charsetAt + len(charset)
	glyphs := cffIndex(charstrings...)
	glyphsAt := selectAt + len(fdSelect)
	privateAt := glyphsAt + len(glyphs)
	fontsAt := privateAt + len(private)
	out := append(head, cffIndex(top(charsetAt, selectAt, glyphsAt, fontsAt))...)
	out = append(out, tail...)
	out = append(out, charset...)
	out = append(out, fdSelect...)
	out = append(out, glyphs...)
	out = append(out, private...)
	return append(out, cffIndex(cffOp(18, len(private), privateAt))...), nil
}

// charstring is one glyph as a Type 2 charstring.
func (f *Font) charstring(id uint16) ([]byte, error) {
	width, err := f.face.GlyphAdvance(&f.buffer, sfnt.GlyphIndex(id), fixed.I(em), 0)
	if err != nil {
		return nil, err
	}
	segments, err := f.face.LoadGlyph(&f.buffer, sfnt.GlyphIndex(id), fixed.I(em), nil)
	if err != nil {
		return nil, err
	}
	var b []byte
	if w := width.Round(); w != em {
		b = cffNumber(b, w) // before the first operator, as the difference to nominalWidthX
	}
	var at [2]int
	to := func(x, y int) {
		b = cffNumber(cffNumber(b, x-at[0]), y-at[1])
		at = [2]int{x, y}
	}
	point := func(p fixed.Point26_6) (int, int) { return p.X.Round(), -p.Y.Round() }
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			to(point(s.Args[0]))
			b = append(b, 21) // rmoveto
		case sfnt.SegmentOpLineTo:
			to(point(s.Args[0]))
			b = append(b, 5) // rlineto
		case sfnt.SegmentOpQuadTo: // as a cubic: two thirds of the way to the control point
			cx, cy := point(s.Args[0])
			x, y := point(s.Args[1])
			from := at
			to(from[0]+2*(cx-from[0])/3, from[1]+2*(cy-from[1])/3)
			to(x+2*(cx-x)/3, y+2*(cy-y)/3)
			to(x, y)
			b = append(b, 8) // rrcurveto
		case sfnt.SegmentOpCubeTo:
			to(point(s.Args[0]))
			to(point(s.Args[1]))
			to(point(s.Args[2]))
			b = append(b, 8)
		}
	}
	return append(b, 14), nil // endchar
}

// cffNumber appends a number of a charstring, -32768..32767.
func cffNumber(b []byte, n int) []byte {
	switch {
	case -107 <= n && n <= 107:
		return append(b, byte(n+139))
	case 108 <= n && n <= 1131:
		return append(b, byte((n-108)>>8+247), byte(n-108))
	case -1131 <= n && n <= -108:
		return append(b, byte((-n-108)>>8+251), byte(-n-108))
	}
	return append(b, 28, byte(n>>8), byte(n))
}

// cffOp is an operator of a DICT with its operands; 12xx is the escaped one.
func cffOp(op int, operands ...int) []byte {
	var b []byte
	for _, n := range operands {
		b = binary.BigEndian.AppendUint32(append(b, 29), uint32(n))
	}
	if op >= 1200 {
		return append(b, 12, byte(op-1200))
	}
	return append(b, byte(op))
}

// cffIndex is an INDEX of some data.
func cffIndex(data ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(data)))
	if len(data) == 0 {
		return b
	}
	b = append(b, 4) // bytes of an offset
	at := uint32(1)
	b = binary.BigEndian.AppendUint32(b, at)
	for _, d := range data {
		at += uint32(len(d))
		b = binary.BigEndian.AppendUint32(b, at)
	}
	for _, d := range data {
		b = append(b, d...)
	}
	return b
}
