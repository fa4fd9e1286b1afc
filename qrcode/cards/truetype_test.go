//go:build integration

package cards

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// A TrueType font, whose outlines are quadratic curves, is embedded as well:
// the text can be read out and what is drawn is as dark as a text is.
func TestTrueTypeIsEmbedded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "go.ttf")
	if err := os.WriteFile(file, goregular.TTF, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFont(file); !errors.Is(err, ErrFont) || !strings.Contains(err.Error(), "幸") {
		t.Fatalf("a font without Chinese: %v", err)
	}
	face, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	font := &Font{face: face, name: "Go", glyphs: map[rune]glyph{}}
	c := newCanvas(font)
	c.text(5, 20, 20, inkColour, 0, "OSQ 8")
	var pdf bytes.Buffer
	book, err := NewBook(&pdf, font, Single)
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Add(Leaf{Pages: [][]byte{c.page()}, Glyphs: c.glyphs}); err != nil {
		t.Fatal(err)
	}
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "go.pdf")
	if err := os.WriteFile(path, pdf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("pdftotext", path, "-").CombinedOutput(); err != nil || strings.TrimSpace(string(text)) != "OSQ 8" {
		t.Errorf("pdftotext: %v %q", err, text)
	}
	if out, err := exec.Command("pdftoppm", "-r", "72", "-gray", "-png", "-singlefile", path, filepath.Join(dir, "go")).CombinedOutput(); err != nil {
		t.Fatalf("pdftoppm: %v\n%s", err, out)
	}
	f, err := os.Open(filepath.Join(dir, "go.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	dark, all := 0, picture.Bounds().Dx()*picture.Bounds().Dy()
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if v, _, _, _ := picture.At(x, y).RGBA(); v < 0x8000 {
				dark++
			}
		}
	}
	if dark < all/25 || dark > all/5 {
		t.Errorf("%d of %d pixels are dark", dark, all)
	}
}

func TestWriting(t *testing.T) {
	t.Parallel()
	if got := spaced("123456789012"); got != "1234 5678 9012" {
		t.Errorf("spaced = %q", got)
	}
	if got := Date(0) + Date(1_924_012_800_000); got != "2030-12-21" {
		t.Errorf("Date = %q", got)
	}
	if l, err := ParseLayout(""); l != A4 || err != nil {
		t.Errorf("the usual layout: %v, %v", l, err)
	}
	if _, err := ParseLayout("a3"); !errors.Is(err, ErrLayout) {
		t.Errorf("A3: %v", err)
	}
}
