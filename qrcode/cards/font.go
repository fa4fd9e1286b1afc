package cards

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// ErrFont says that there is no font, or none that has the Chinese characters
// of a card.
var ErrFont = errors.New("no usable Chinese font")

// em is the units that glyphs are drawn in, by the em.
const em = 1000

// Places are where a Chinese font is looked for when none is named.
func Places() []string {
	return []string{
		"/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", // Debian, Ubuntu
		"/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",      // Arch, Alpine
		"/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",
		"/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc", // Fedora, openEuler
		"/usr/share/fonts/opentype/source-han-sans/SourceHanSansSC-Regular.otf",
	}
}

// Font is an OpenType font with the characters of a card. It is not safe for
// concurrent use: one [Press] has one.
type Font struct {
	face     *sfnt.Font
	buffer   sfnt.Buffer
	name     string // PostScript name
	file     *os.File
	identity string
	glyphs   map[rune]glyph
}

type glyph struct {
	id    uint16
	width int // of em
}

// OpenFont opens a TTF, OTF or TTC file; "" looks in [Places]. Of a collection
// it takes the simplified Chinese font, or the first.
//
// Errors: [ErrFont]; the file stays open until [Font.Close].
func OpenFont(path string) (*Font, error) {
	if path == "" {
		for _, p := range Places() {
			if _, err := os.Stat(p); err == nil {
				path = p
				break
			}
		}
		if path == "" {
			return nil, fmt.Errorf("looked in %s: %w", strings.Join(Places(), ", "), ErrFont)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(ErrFont, err)
	}
	f, err := readFont(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return f, nil
}

func readFont(file *os.File) (*Font, error) {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("no regular file: %w", ErrFont), err)
	}
	collection, err := sfnt.ParseCollectionReaderAt(file)
	if err != nil {
		return nil, errors.Join(ErrFont, err)
	}
	f := &Font{file: file, glyphs: map[rune]glyph{}}
	for i := range collection.NumFonts() {
		face, err := collection.Font(i)
		if err != nil {
			return nil, errors.Join(ErrFont, err)
		}
		full, err := face.Name(&f.buffer, sfnt.NameIDFull)
		simplified := err == nil && strings.Contains(full, " SC") && !strings.Contains(full, "Mono")
		if f.face == nil || simplified {
			f.face = face
		}
		if simplified {
			break
		}
	}
	if f.name, err = f.face.Name(&f.buffer, sfnt.NameIDPostScript); err != nil || !plainName(f.name) {
		f.name = "Chinese"
	}
	f.identity = fmt.Sprint(f.name, " ", info.Size(), " ", info.ModTime().UnixNano())
	for _, r := range fixedText() {
		if !f.Has(r) {
			return nil, fmt.Errorf("%s has no %q: %w", f.name, r, ErrFont)
		}
	}
	return f, nil
}

// plainName says whether s can stand in a PDF as a name, unescaped.
func plainName(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// Close closes the font's file.
func (f *Font) Close() error { return f.file.Close() }

// Has says whether the font can draw r.
func (f *Font) Has(r rune) bool {
	_, ok := f.glyph(r)
	return ok
}

func (f *Font) glyph(r rune) (glyph, bool) {
	if g, ok := f.glyphs[r]; ok {
		return g, g.id != 0
	}
	g := glyph{}
	if id, err := f.face.GlyphIndex(&f.buffer, r); err == nil && id != 0 {
		if width, err := f.face.GlyphAdvance(&f.buffer, id, fixed.I(em), font.HintingNone); err == nil {
			g = glyph{uint16(id), width.Round()}
		}
	}
	f.glyphs[r] = g
	return g, g.id != 0
}

// width is how wide a text is, of em.
func (f *Font) width(s string) int {
	w := 0
	for _, r := range s {
		g, _ := f.glyph(r)
		w += g.width
	}
	return w
}

// fit cuts a text to a width in em, with an ellipsis where something is cut.
func (f *Font) fit(s string, most int) string {
	if f.width(s) <= most {
		return s
	}
	for s != "" && f.width(s)+f.width("…") > most {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s + "…"
}

// box is what all glyphs fit into, of em.
func (f *Font) box() [4]int {
	b, err := f.face.Bounds(&f.buffer, fixed.I(em), font.HintingNone)
	if err != nil {
		return [4]int{0, -300, em, em}
	}
	return [4]int{b.Min.X.Floor(), -b.Max.Y.Ceil(), b.Max.X.Ceil(), -b.Min.Y.Floor()}
}

// Identity tells this font from others: its name, and size and time of its file.
func (f *Font) Identity() string { return f.identity }
