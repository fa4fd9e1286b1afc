package cards

import (
	"io"
	"maps"
)

// Page is an A4 page of plain text, for papers that go with cards. In
// millimetres, from the top left.
type Page struct {
	Lines []Line
	Rules []Rule
}

// Line is one line of text; Y is its base line.
type Line struct {
	X, Y  float64
	Size  float64 // of an em
	Most  float64 // the width it has; what does not fit is cut with an ellipsis; 0: any
	Right bool    // X is where it ends
	Bold  bool
	Grey  bool
	Text  string
}

// Rule is a thin line from left to right.
type Rule struct{ Left, Right, Y float64 }

// WritePages writes a PDF of plain pages. A character that the font does not
// have is drawn as ＊. Errors: the writer's.
func WritePages(w io.Writer, f *Font, pages []Page) error {
	book, err := NewBook(w, f, A4)
	if err != nil {
		return err
	}
	for _, p := range pages {
		c := newCanvas(f)
		c.printf("%s RG .15 w\n", lineColour)
		for _, r := range p.Rules {
			c.printf("%.3f %.3f m %.3f %.3f l S\n", r.Left, sheetHeight-r.Y, r.Right, sheetHeight-r.Y)
		}
		for _, l := range p.Lines {
			c.line(l)
		}
		leaf := Leaf{Pages: [][]byte{c.page()}, Glyphs: map[uint16]rune{}}
		maps.Copy(leaf.Glyphs, c.glyphs)
		if err := book.Add(leaf); err != nil {
			return err
		}
	}
	return book.Close()
}

func (c *canvas) line(l Line) {
	s, x, colour, weight := l.Text, l.X, inkColour, 0.0
	if l.Most > 0 {
		s = c.font.fit(s, int(l.Most/l.Size*em))
	}
	if s == "" {
		return
	}
	if l.Right {
		x -= float64(c.font.width(s)) / em * l.Size
	}
	if l.Grey {
		colour = greyColour
	}
	if l.Bold {
		weight = .02
	}
	c.text(x, sheetHeight-l.Y, l.Size, colour, weight, s)
}
