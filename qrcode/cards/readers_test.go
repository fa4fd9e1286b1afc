//go:build integration

package cards_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"image"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/qrcode"
	"github.com/xingfuma/happycode/qrcode/cards"
)

// tokens is how many codes the readers are given, half of them printed and half shown.
const tokens = 2000

// web is where the scripts of the pages are.
var web = filepath.Join("..", "..", "app", "pages", "web") // read only

// ticket is a text and the picture of it.
type ticket struct{ text, path string }

// random makes the text of a code with random id, key and time, signed with
// either algorithm.
func random(t testing.TB, r *rand.Rand, kind qrcode.Kind) string {
	t.Helper()
	secret := make([]byte, 32)
	var code [10]byte
	for _, b := range [][]byte{secret, code[:]} {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	key, err := qrcode.NewPrivateKey(byte(r.Uint32()), []qrcode.Algorithm{qrcode.Ed25519, qrcode.SM2}[r.IntN(2)], secret)
	if err != nil {
		t.Fatal(err)
	}
	token, err := qrcode.Sign(kind, key, code, r.Uint32())
	if err != nil {
		t.Fatal(err)
	}
	return qrcode.URL([]string{"xf.gov.cn", "xf.huzhou.gov.cn", "happycode.wuxing.huzhou.gov.cn", "http://192.168.100.20:8080"}[r.IntN(4)], token)
}

// tool is the path of a program that the tests need.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: `make test` installs it (apt-get install %s)", name, debian)
	}
	return path
}

// halves works on two parts of the pictures at the same time.
func halves[T any](all []T, work func(part []T, from int)) {
	var wg sync.WaitGroup
	half := (len(all) + 1) / 2
	for i, part := range [][]T{all[:half], all[half:]} {
		wg.Go(func() { work(part, i*half) })
	}
	wg.Wait()
}

// zbar reads pictures with zbarimg: the texts found in each.
func zbar(t *testing.T, paths []string) [][]string {
	t.Helper()
	program := tool(t, "zbarimg", "zbar-tools")
	out := make([][]string, len(paths))
	halves(paths, func(part []string, from int) {
		for chunk := range slices.Chunk(part, 500) {
			cmd := exec.Command(program, append([]string{"--quiet", "--nodbus", "--xml", "-Sdisable", "-Sqrcode.enable"}, chunk...)...)
			content, err := cmd.Output() // fails where one picture is not read
			if len(content) == 0 && len(chunk) > 0 {
				t.Errorf("zbarimg: %v", err)
				return
			}
			var found struct {
				Sources []struct {
					Href string   `xml:"href,attr"`
					Data []string `xml:"index>symbol>data"`
				} `xml:"source"`
			}
			if err := xml.Unmarshal(content, &found); err != nil {
				t.Errorf("zbarimg: %v", err)
				return
			}
			for _, s := range found.Sources {
				if i := slices.Index(chunk, s.Href); i >= 0 {
					out[from+i] = s.Data
				}
			}
			from += len(chunk)
		}
	})
	return out
}

// zxing reads pictures with zxing-wasm, the scan page's reader, under node.
func zxing(t *testing.T, paths []string) [][]string {
	t.Helper()
	program := tool(t, "node", "nodejs")
	script := filepath.Join(web, "test", "read.mjs")
	if _, err := os.Stat(filepath.Join(web, "node_modules", "zxing-wasm")); err != nil {
		t.Fatalf("zxing-wasm is missing: run make web (%v)", err)
	}
	out := make([][]string, len(paths))
	halves(paths, func(part []string, from int) {
		if len(part) == 0 {
			return
		}
		cmd := exec.Command(program, script)
		cmd.Stdin = strings.NewReader(strings.Join(part, "\n"))
		var trouble bytes.Buffer
		cmd.Stderr = &trouble
		content, err := cmd.Output()
		if err != nil {
			t.Errorf("zxing-wasm: %v\n%s", err, trouble.String())
			return
		}
		for i, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
			if err := json.Unmarshal([]byte(line), &out[from+i]); err != nil {
				t.Errorf("zxing-wasm: %v", err)
			}
		}
	})
	return out
}

func paths(tickets []ticket) []string {
	out := make([]string, len(tickets))
	for i, x := range tickets {
		out[i] = x.path
	}
	return out
}

// right counts the pictures of which exactly the text was read; the others are
// named up to a few.
func right(t *testing.T, reader string, tickets []ticket, found [][]string, must bool) int {
	t.Helper()
	n, told := 0, 0
	for i, x := range tickets {
		if len(found[i]) == 1 && found[i][0] == x.text {
			n++
		} else if must {
			if told++; told <= 5 {
				t.Errorf("%s reads %q in %s, want %q", reader, found[i], filepath.Base(x.path), x.text)
			}
		}
		// What is read is never something else.
		for _, text := range found[i] {
			if text != x.text {
				t.Errorf("%s reads %q in %s, which holds %q", reader, text, filepath.Base(x.path), x.text)
			}
		}
	}
	return n
}

// drawScreens draws screen codes with the function of the resident's page, each
// for a phone with another width.
func drawScreens(t *testing.T, r *rand.Rand, all []ticket) {
	t.Helper()
	var in bytes.Buffer
	lines := json.NewEncoder(&in)
	for _, x := range all {
		if err := lines.Encode(map[string]any{"text": x.text, "room": 200 + r.IntN(160), "path": x.path}); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool(t, "node", "nodejs"), filepath.Join(web, "test", "draw.mjs"))
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("draw as the page does: %v\n%s", err, out)
	}
}

// Every card as it is printed and every screen code as a phone shows it is read
// by two readers that know nothing of each other or of us.
func TestTwoReadersReadEveryCode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all := make([]ticket, tokens)
	printed, shown := all[:tokens/2], all[tokens/2:]
	r := rand.New(rand.NewPCG(20, 26))
	for i := range printed {
		printed[i] = ticket{random(t, r, qrcode.Card), filepath.Join(dir, fmt.Sprintf("card-%04d.png", i))}
		content, err := qrcode.PNG(printed[i].text, qrcode.Q, 200+r.IntN(160))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(printed[i].path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range shown {
		shown[i] = ticket{random(t, r, qrcode.Screen), filepath.Join(dir, fmt.Sprintf("screen-%04d.pgm", i))}
	}
	drawScreens(t, r, shown)
	for name, read := range readers() {
		if got := right(t, name, all, read(t, paths(all)), true); got != tokens {
			t.Errorf("%s reads %d of %d codes", name, got, tokens)
		}
	}
}

// stains is how cards are soiled, and what is to be read of them.
type stains struct {
	name  string
	cards int
	scale int            // pixels a module
	least map[string]int // of 100 cards read, by reader
	soil  func(r *rand.Rand, p *print, nth int)
}

// Level Q repairs up to 28 % of the codewords of a block. An opaque blot spoils
// every codeword it touches: 15 % of the area in one piece is a fifth of them,
// in several pieces a quarter and more, and without all three finder patterns
// no reader finds the code: there the number to type is what helps. What lets
// light through spoils none: readers compare a module with its neighbours. See
// DESIGN.md.
//
// The seeds are fixed, so that a run says the same each time. Of 240 cards, a
// reader that reads 97 of a hundred reads less than 95 % once in 15 draws.
var soiled = []stains{ // read only
	{"one blot, not on a finder pattern", 240, 5, map[string]int{"zxing-wasm": 95, "zbarimg": 95}, opaque(1, true)},
	{"one blot, anywhere", 240, 5, map[string]int{"zxing-wasm": 95, "zbarimg": 95}, opaque(1, false)},
	{"three blots, anywhere", 120, 5, map[string]int{"zxing-wasm": 80, "zbarimg": 80}, opaque(3, false)},
	{"many that let light through, anywhere", 240, 7, map[string]int{"zxing-wasm": 95, "zbarimg": 95}, tea},
}

const (
	stainShare  = .15
	stainMargin = 4 // modules
	finder      = 7 // modules
)

// print is a card's symbol as it was printed, and what of it is covered.
type print struct {
	picture *image.Gray
	covered []bool // pixels of the symbol, without the margin
	n       int    // of them
	modules int
	scale   int // pixels a module
}

func newPrint(symbol qrcode.Symbol, scale int) *print {
	side := symbol.Side()
	p := &print{
		picture: image.NewGray(image.Rect(0, 0, (side+2*stainMargin)*scale, (side+2*stainMargin)*scale)),
		covered: make([]bool, side*scale*side*scale), modules: side, scale: scale,
	}
	for i := range p.picture.Pix {
		p.picture.Pix[i] = 255
	}
	symbol.Bars(func(x, y, run int) {
		left, top := (x+stainMargin)*scale, (y+stainMargin)*scale
		for line := top; line < top+scale; line++ {
			clear(p.picture.Pix[line*p.picture.Stride+left:][:run*scale])
		}
	})
	return p
}

// share is how much of the symbol is covered.
func (p *print) share() float64 { return float64(p.n) / float64(len(p.covered)) }

// ellipse lies within a symbol; lengths are in modules.
type ellipse struct {
	x, y, a, b float64 // its middle, its longer and its shorter half axis
	sin, cos   float64 // how it is turned
}

// somewhere puts an ellipse of an area, up to 1.7 times as long as wide, at any
// place within the symbol.
func somewhere(r *rand.Rand, area, side float64) ellipse {
	narrow := .6 + .4*r.Float64()
	e := ellipse{a: math.Sqrt(area / math.Pi / narrow)}
	e.b = e.a * narrow
	e.x, e.y = e.a+(side-2*e.a)*r.Float64(), e.a+(side-2*e.a)*r.Float64()
	e.sin, e.cos = math.Sincos(r.Float64() * math.Pi)
	return e
}

// each visits the pixels in the ellipse: their place in the picture, and how
// far out they are, 0 in its middle and 1 at its edge. They count as covered.
//
//go:norace
func (p *print) each(e ellipse, visit func(at int, out float64)) {
	scale, width := float64(p.scale), p.modules*p.scale
	from := func(v float64) int { return max(0, int((v-e.a)*scale)) }
	to := func(v float64) int { return min(width, int((v+e.a)*scale)+1) }
	for y := from(e.y); y < to(e.y); y++ {
		for x := from(e.x); x < to(e.x); x++ {
			dx, dy := float64(x)/scale-e.x, float64(y)/scale-e.y
			u, v := (dx*e.cos+dy*e.sin)/e.a, (dy*e.cos-dx*e.sin)/e.b
			if out := u*u + v*v; out < 1 {
				if at := y*width + x; !p.covered[at] {
					p.covered[at] = true
					p.n++
				}
				visit((y+stainMargin*p.scale)*p.picture.Stride+x+stainMargin*p.scale, math.Sqrt(out))
			}
		}
	}
}

// opaque are blots of one size, of black, white and grey in turn, through which
// nothing is seen. Clear ones leave the three finder patterns alone.
func opaque(blots int, clear bool) func(*rand.Rand, *print, int) {
	return func(r *rand.Rand, p *print, nth int) {
		side := float64(p.modules)
		for i := range blots {
			area := stainShare / float64(blots) * side * side
			e := somewhere(r, area, side)
			for clear && onFinder(e.x, e.y, e.a, side) {
				e = somewhere(r, area, side)
			}
			shade := []uint8{0, 255, 128}[(nth+i)%3]
			p.each(e, func(at int, _ float64) { p.picture.Pix[at] = shade })
		}
	}
}

// tea is what a card in use gets: tea, mud, grease and fingers. Blots from 6 to
// 24 % of the symbol's width, anywhere, each letting through 45 to 75 % of the
// light (where two lie on each other, both take their part), fading out over
// the last quarter of their radius, until 15 % is covered. A reader looks at
// brightness only, so that a brown blot is a grey one. It is seen by a camera:
// a little out of focus, and with some noise. Nobody else has the picture
// meanwhile, so the race detector need not count its pixels; so for the two below.
//
//go:norace
func tea(r *rand.Rand, p *print, _ int) {
	side := float64(p.modules)
	for p.share() < stainShare {
		wide := side * (.06 + .18*r.Float64())
		through := .45 + .3*r.Float64()
		p.each(somewhere(r, math.Pi/4*wide*wide, side), func(at int, out float64) {
			part := min(1, (1-out)/.25)
			p.picture.Pix[at] = uint8(float64(p.picture.Pix[at]) * (1 - part*(1-through)))
		})
	}
	soften(p.picture)
	for i, v := range p.picture.Pix {
		p.picture.Pix[i] = uint8(min(255, max(0, int(v)-6+r.IntN(13))))
	}
}

// soften takes the mean of each pixel and its neighbours, once in each
// direction: 1, 2, 3, 2, 1 of 9, as a lens that is a little out of focus.
//
//go:norace
func soften(picture *image.Gray) {
	w, h := picture.Rect.Dx(), picture.Rect.Dy()
	before := make([]int, max(w, h))
	line := func(start, step, n int) {
		for i := range n {
			before[i] = int(picture.Pix[start+i*step])
		}
		for i := 2; i < n-2; i++ {
			picture.Pix[start+i*step] = uint8((before[i-2] + 2*before[i-1] + 3*before[i] + 2*before[i+1] + before[i+2]) / 9)
		}
	}
	for y := range h {
		line(y*picture.Stride, 1, w)
	}
	for x := range w {
		line(x, picture.Stride, h)
	}
}

// onFinder says whether a circle touches one of the three finder patterns.
func onFinder(x, y, radius, side float64) bool {
	for _, corner := range [][2]float64{{0, 0}, {side - finder, 0}, {0, side - finder}} {
		nearX, nearY := max(corner[0], min(x, corner[0]+finder)), max(corner[1], min(y, corner[1]+finder))
		if math.Hypot(x-nearX, y-nearY) < radius {
			return true
		}
	}
	return false
}

func TestStainedCards(t *testing.T) {
	t.Parallel()
	for _, s := range soiled {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := rand.New(rand.NewPCG(15, 95))
			all := make([]ticket, s.cards)
			share := 0.0
			for i := range all {
				all[i] = ticket{random(t, r, qrcode.Card), filepath.Join(dir, fmt.Sprintf("%04d.pgm", i))}
				symbol, err := qrcode.Encode(all[i].text, qrcode.Q)
				if err != nil {
					t.Fatal(err)
				}
				p := newPrint(symbol, s.scale)
				s.soil(r, p, i)
				share += p.share() / float64(len(all))
				write(t, all[i].path, p.picture)
			}
			if share < stainShare*.9 {
				t.Errorf("%.1f %% of the symbols are covered on average", 100*share)
			}
			for name, read := range readers() {
				n := right(t, name, all, read(t, paths(all)), false)
				t.Logf("%s reads %.1f %% of %d cards, %.1f %% covered", name, 100*float64(n)/float64(len(all)), len(all), 100*share)
				if 100*n < s.least[name]*len(all) {
					t.Errorf("%s reads %d of %d, want %d %%", name, n, len(all), s.least[name])
				}
			}
		})
	}
}

// write makes a grey PGM, which costs no time to pack and unpack.
func write(t *testing.T, path string, picture *image.Gray) {
	t.Helper()
	head := fmt.Sprintf("P5 %d %d 255\n", picture.Rect.Dx(), picture.Rect.Dy())
	if err := os.WriteFile(path, append([]byte(head), picture.Pix...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readers are the two by name.
func readers() map[string]func(*testing.T, []string) [][]string {
	return map[string]func(*testing.T, []string) [][]string{"zbarimg": zbar, "zxing-wasm": zxing}
}

// What a printer prints: sheets and single cards out of the PDF, rasterised by
// poppler, and the SVG of screens, rasterised by librsvg.
func TestTwoReadersReadVectors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(8, 26))
	sheets := []cards.Sheet{sheetOf(t, r, cards.PerSheet), sheetOf(t, r, 7)}
	for _, layout := range []cards.Layout{cards.A4, cards.Single} {
		path := filepath.Join(dir, string(layout)+".pdf")
		bind(t, path, layout, sheets...)
		// 200 dots an inch: less than any office printer.
		if out, err := exec.Command(tool(t, "pdftoppm", "poppler-utils"), "-r", "200", "-gray", "-png", path, filepath.Join(dir, string(layout))).CombinedOutput(); err != nil {
			t.Fatalf("pdftoppm: %v\n%s", err, out)
		}
		pages, err := filepath.Glob(filepath.Join(dir, string(layout)+"-*.png"))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, s := range sheets {
			for _, c := range s.Cards {
				want[c.Text] = true
			}
		}
		for name, read := range readers() {
			got := map[string]bool{}
			for _, texts := range read(t, pages) {
				for _, text := range texts {
					got[text] = true
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s reads %d codes of the %d in %s.pdf", name, len(got), len(want), layout)
			}
		}
	}

	svgs := make([]ticket, 60)
	for i := range svgs {
		svgs[i] = ticket{random(t, r, qrcode.Screen), filepath.Join(dir, fmt.Sprintf("screen%02d.png", i))}
		content, err := qrcode.SVG(svgs[i].text, qrcode.M)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(tool(t, "rsvg-convert", "librsvg2-bin"), "--width", fmt.Sprint(200+3*i), "--output", svgs[i].path)
		cmd.Stdin = bytes.NewReader(content)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("rsvg-convert: %v\n%s", err, out)
		}
	}
	for name, read := range readers() {
		if got := right(t, name, svgs, read(t, paths(svgs)), true); got != len(svgs) {
			t.Errorf("%s reads %d of %d SVG pictures", name, got, len(svgs))
		}
	}
}

// sheetOf is a sheet with some cards.
func sheetOf(t testing.TB, r *rand.Rand, n int) cards.Sheet {
	s := cards.Sheet{Place: "吴兴区·月河街道·马军巷社区居委会", No: 1, Of: 1}
	initials := []string{"李＊＊", "欧＊＊", "阿＊＊", "𠮷＊＊", "A＊＊", "王＊＊", "＊＊", "张＊＊", "赵＊＊", "司＊＊"}
	for i := range n {
		s.Cards = append(s.Cards, cards.Card{
			Initial: initials[i], Number: fmt.Sprintf("%012d", 734118205569+i), UntilMs: int64(i%2) * 1_924_012_800_000, Text: random(t, r, qrcode.Card),
		})
	}
	return s
}

// bind writes sheets as a file.
func bind(t *testing.T, path string, layout cards.Layout, sheets ...cards.Sheet) {
	t.Helper()
	font, err := cards.OpenFont("")
	if err != nil {
		t.Fatal(err)
	}
	defer font.Close()
	var file bytes.Buffer
	book, err := cards.NewBook(&file, font, layout)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sheets {
		leaf, err := cards.Draw(font, layout, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := book.Add(leaf); err != nil {
			t.Fatal(err)
		}
	}
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The text of a sheet can be searched and copied, and the font is embedded as
// a subset.
func TestSheetHoldsTextAndFont(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sheet.pdf")
	bind(t, path, cards.A4, sheetOf(t, rand.New(rand.NewPCG(1, 1)), cards.PerSheet))
	fonts, err := exec.Command(tool(t, "pdffonts", "poppler-utils"), path).CombinedOutput()
	if err != nil {
		t.Fatalf("pdffonts: %v\n%s", err, fonts)
	}
	lines := strings.Split(strings.TrimSpace(string(fonts)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[2], "CID Type 0C") || !regexp.MustCompile(`^[A-Z]{6}\+`).MatchString(lines[2]) ||
		!regexp.MustCompile(`\byes yes yes\b`).MatchString(lines[2]) {
		t.Errorf("want one font, embedded, a subset, with characters:\n%s", fonts)
	}
	text, err := exec.Command(tool(t, "pdftotext", "poppler-utils"), "-layout", path, "-").CombinedOutput()
	if err != nil {
		t.Fatalf("pdftotext: %v\n%s", err, text)
	}
	for _, want := range []string{"幸福码", "Happiness Code", "李＊＊", "欧＊＊", "阿＊＊", "𠮷＊＊", "A＊＊", "7341 1820 5569", "2030-12-21", "马军巷社区居委会", "第 1 张，共 1 张", "遗失请告诉社工"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the text of the sheet lacks %q", want)
		}
	}
	for _, never := range []string{"欧阳", "秀英", "阿依", "Anna"} {
		if strings.Contains(string(text), never) {
			t.Errorf("the sheet says %q", never)
		}
	}
	info, err := exec.Command(tool(t, "pdfinfo", "poppler-utils"), path).CombinedOutput()
	if err != nil || !strings.Contains(string(info), "(A4)") {
		t.Errorf("pdfinfo: %v\n%s", err, info)
	}
}
