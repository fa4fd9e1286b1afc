package papers

import (
	"io"

	"github.com/xingfuma/happycode/qrcode/cards"
)

// Of an A4 page, in millimetres.
const (
	left, right = 18.0, 192.0
	top, bottom = 20.0, 280.0
	lineHeight  = 6.2
	textSize    = 3.4
	padding     = 1.5 // between columns
)

// press lays a paper out over pages.
type press struct {
	pages []cards.Page
	y     float64
}

func (p *press) page() *cards.Page { return &p.pages[len(p.pages)-1] }

// room begins a new page where fewer than so many lines are left.
func (p *press) room(lines float64) bool {
	if len(p.pages) > 0 && p.y+lines*lineHeight <= bottom {
		return false
	}
	p.pages, p.y = append(p.pages, cards.Page{}), top
	return true
}

func (p *press) write(l cards.Line) {
	if l.Size == 0 {
		l.Size = textSize
	}
	l.Y = p.y
	p.page().Lines = append(p.page().Lines, l)
}

func (p *press) rule(y float64) {
	p.page().Rules = append(p.page().Rules, cards.Rule{Left: left, Right: right, Y: y})
}

// PDF writes the paper on A4 pages, with the font's outlines embedded. A font
// serves one at a time.
func (p Paper) PDF(w io.Writer, font *cards.Font) error {
	x := &press{}
	x.room(1)
	x.write(cards.Line{X: left, Size: 6, Bold: true, Text: p.Title, Most: right - left})
	x.y += 8
	x.write(cards.Line{X: left, Grey: true, Text: p.Subtitle, Most: right - left})
	x.y += 5
	x.rule(x.y)
	x.y += lineHeight
	for _, f := range p.Facts {
		x.room(1)
		x.write(cards.Line{X: left, Grey: true, Text: f.Name, Most: 90})
		x.write(cards.Line{X: 110, Text: written(f.Value, Money), Most: right - 110})
		x.y += lineHeight
	}
	for _, t := range p.Tables {
		x.table(t)
	}
	for i := range x.pages {
		x.pages[i].Lines = append(x.pages[i].Lines,
			cards.Line{X: left, Y: 289, Size: 2.8, Grey: true, Text: p.Foot, Most: 130},
			cards.Line{X: right, Y: 289, Size: 2.8, Grey: true, Right: true, Text: p.PageOf(i+1, len(x.pages))})
	}
	return cards.WritePages(w, font, x.pages)
}

func (p *press) table(t Table) {
	p.y += lineHeight
	p.room(4)
	p.write(cards.Line{X: left, Size: 4.4, Bold: true, Text: t.Title, Most: right - left})
	p.y += lineHeight + 1
	p.head(t)
	for _, r := range t.Rows {
		if p.room(1) {
			p.head(t)
		}
		p.row(t, r, false)
	}
	if len(t.Rows) == 0 {
		p.write(cards.Line{X: left, Grey: true, Text: t.Empty, Most: right - left})
		p.y += lineHeight
	}
	if t.Total != nil {
		p.room(1)
		p.rule(p.y - lineHeight + 1.8)
		p.row(t, t.Total, true)
	}
}

func (p *press) head(t Table) {
	row := make([]any, len(t.Columns))
	for i, c := range t.Columns {
		row[i] = c.Head
	}
	p.row(t, row, true)
	p.rule(p.y - lineHeight + 1.8)
}

func (p *press) row(t Table, row []any, bold bool) {
	var sum float64
	for _, c := range t.Columns {
		sum += c.Width
	}
	at := left
	for i, c := range t.Columns {
		width := (right - left) * c.Width / sum
		l := cards.Line{X: at, Bold: bold, Text: written(row[i], c.Kind), Most: width - padding}
		if c.Kind != Text {
			l.X, l.Right = at+width-padding, true
		}
		if i == len(t.Columns)-1 && c.Kind != Text {
			l.X = at + width
		}
		p.write(l)
		at += width
	}
	p.y += lineHeight
}
