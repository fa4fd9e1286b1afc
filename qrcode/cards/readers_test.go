//go:build integration

package cards_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
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

// tokens is how many codes the readers are given.
const tokens = 2000

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
	script := filepath.Join("..", "..", "app", "pages", "web", "test", "read.mjs")
	if _, err := os.Stat(filepath.Join("..", "..", "app", "pages", "web", "node_modules", "zxing-wasm")); err != nil {
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

// Every card and every screen code is read by two readers that know nothing of
// each other or of us.
func TestTwoReadersReadEveryCode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all := make([]ticket, tokens)
	r := rand.New(rand.NewPCG(20, 26))
	for i := range all {
		kind, level := qrcode.Card, qrcode.Q
		if i >= tokens/2 {
			kind, level = qrcode.Screen, qrcode.M
		}
		all[i] = ticket{random(t, r, kind), filepath.Join(dir, fmt.Sprintf("%04d.png", i))}
		content, err := qrcode.PNG(all[i].text, level, 200+r.IntN(160))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(all[i].path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, read := range readers() {
		if got := right(t, name, all, read(t, paths(all)), true); got != tokens {
			t.Errorf("%s reads %d of %d codes", name, got, tokens)
		}
	}
}

// stains is how a card is soiled: blots of together a share of the symbol's
// area, each an ellipse up to 1.7 times as long as wide, turned at random, all
// of it within the symbol, of black, white or grey in turn. Clear ones leave
// the three finder patterns alone, others fall where they fall.
type stains struct {
	name  string
	blots int
	clear bool
	cards int
	least map[string]int // of 100 cards read, by reader
}

// At 15 % a blot spoils a fifth of the codewords, since it spoils each one it
// touches; level Q repairs up to 27 % in each block. Several blots of the same
// area touch more, and without all three finder patterns no reader finds the
// code: there the number to type is what helps. See DESIGN.md.
var soiled = []stains{ // read only
	{"one blot, not on a finder pattern", 1, true, 600, map[string]int{"zxing-wasm": 95, "zbarimg": 90}},
	{"one blot, anywhere", 1, false, 300, map[string]int{"zxing-wasm": 93, "zbarimg": 90}},
	{"three blots, anywhere", 3, false, 300, map[string]int{"zxing-wasm": 50, "zbarimg": 50}},
}

const (
	stainShare  = .15
	stainScale  = 5 // pixels a module
	stainMargin = 4 // modules
	finder      = 7 // modules
)

// blot soils a symbol of some modules' width and returns how much of it.
func (s stains) blot(r *rand.Rand, picture *image.Gray, modules, nth int) float64 {
	side := float64(modules)
	area := stainShare / float64(s.blots) * side * side
	covered := map[image.Point]bool{}
	for range s.blots {
		narrow := .6 + .4*r.Float64()
		a := math.Sqrt(area / math.Pi / narrow)
		b := a * narrow
		x, y := a+(side-2*a)*r.Float64(), a+(side-2*a)*r.Float64()
		for s.clear && onFinder(x, y, a, side) {
			x, y = a+(side-2*a)*r.Float64(), a+(side-2*a)*r.Float64()
		}
		sin, cos := math.Sincos(r.Float64() * math.Pi)
		shade := color.Gray{Y: []uint8{0, 255, 128}[nth%3]}
		for py := range modules * stainScale {
			for px := range modules * stainScale {
				dx, dy := float64(px)/stainScale-x, float64(py)/stainScale-y
				if u, v := (dx*cos+dy*sin)/a, (dy*cos-dx*sin)/b; u*u+v*v < 1 {
					covered[image.Pt(px, py)] = true
					picture.SetGray(stainMargin*stainScale+px, stainMargin*stainScale+py, shade)
				}
			}
		}
		nth++
	}
	return float64(len(covered)) / (side * side * stainScale * stainScale)
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
			dir := t.TempDir()
			r := rand.New(rand.NewPCG(15, 95))
			all := make([]ticket, s.cards)
			share := 0.0
			for i := range all {
				all[i] = ticket{random(t, r, qrcode.Card), filepath.Join(dir, fmt.Sprintf("%04d.png", i))}
				symbol, err := qrcode.Encode(all[i].text, qrcode.Q)
				if err != nil {
					t.Fatal(err)
				}
				picture := image.NewGray(image.Rect(0, 0, (symbol.Side()+2*stainMargin)*stainScale, (symbol.Side()+2*stainMargin)*stainScale))
				draw.Draw(picture, picture.Rect, image.White, image.Point{}, draw.Src)
				symbol.Bars(func(x, y, run int) {
					bar := image.Rect(x, y, x+run, y+1).Add(image.Pt(stainMargin, stainMargin))
					draw.Draw(picture, image.Rectangle{bar.Min.Mul(stainScale), bar.Max.Mul(stainScale)}, image.Black, image.Point{}, draw.Src)
				})
				share += s.blot(r, picture, symbol.Side(), i) / float64(len(all))
				write(t, all[i].path, picture)
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

func write(t *testing.T, path string, picture image.Image) {
	t.Helper()
	var content bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&content, picture); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
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
		leaf, err := cards.Draw(font, layout, s, cards.Plainly)
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
