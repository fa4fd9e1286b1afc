package cards

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// Objects whose number stands from the beginning, since pages name them.
const (
	objCatalog = 1 + iota
	objPages
	objResources
	objFont
	objDesign // the part that all cards have in common
	objFirstFree
)

// mm is a millimetre in points.
const mm = 72 / 25.4

// Leaf is a sheet as drawn: the content of its pages, compressed, and the
// characters on them by glyph. It holds what is needed to bind it into any
// [Book] of the same font and layout.
type Leaf struct {
	Pages  [][]byte
	Glyphs map[uint16]rune
}

// Book is a PDF file being written, page after page; only where each object
// stands is kept in memory. The same leaves give the same bytes.
type Book struct {
	w      io.Writer
	font   *Font
	layout Layout
	at     int64
	refs   []int64 // where object i+1 begins
	pages  []int
	glyphs map[uint16]rune
	err    error
}

// NewBook begins a file.
func NewBook(w io.Writer, f *Font, l Layout) (*Book, error) {
	b := &Book{w: w, font: f, layout: l, refs: make([]int64, objFirstFree-1), glyphs: map[uint16]rune{}}
	design, glyphs := drawDesign(f)
	maps.Copy(b.glyphs, glyphs)
	b.print("%%PDF-1.7\n%%\xE2\xE3\xCF\xD3\n") // bytes above 127 say that the file is binary
	b.stream(objDesign, fmt.Sprintf("/Type /XObject /Subtype /Form /BBox [0 0 %g %g] /Resources << /Font << /F %d 0 R >> >> ", cardWidth, cardHeight, objFont), compressed(design))
	return b, b.err
}

// Add binds a leaf in.
func (b *Book) Add(l Leaf) error {
	maps.Copy(b.glyphs, l.Glyphs)
	for _, content := range l.Pages {
		n := b.reserve()
		b.stream(n, "", content)
		page := b.reserve()
		b.pages = append(b.pages, page)
		w, h := b.layout.page()
		b.object(page, "<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %.3f %.3f] /Resources %d 0 R /Contents %d 0 R >>", objPages, w*mm, h*mm, objResources, n)
	}
	return b.err
}

// Close writes the font and the table of contents.
func (b *Book) Close() error {
	if b.err != nil {
		return b.err
	}
	if len(b.pages) == 0 {
		return errors.New("a PDF without a page")
	}
	if err := b.embed(); err != nil {
		return err
	}
	b.object(objResources, "<< /Font << /F %d 0 R >> /XObject << /D %d 0 R >> >>", objFont, objDesign)
	kids := make([]string, len(b.pages))
	for i, p := range b.pages {
		kids[i] = fmt.Sprintf("%d 0 R", p)
	}
	b.object(objPages, "<< /Type /Pages /Count %d /Kids [%s] >>", len(kids), strings.Join(kids, " "))
	// Printers' dialogs take the actual size from here.
	b.object(objCatalog, "<< /Type /Catalog /Pages %d 0 R /Lang (zh-CN) /ViewerPreferences << /PrintScaling /None >> >>", objPages)
	table := b.at
	b.print("xref\n0 %d\n0000000000 65535 f \n", len(b.refs)+1)
	for _, at := range b.refs {
		b.print("%010d 00000 n \n", at)
	}
	b.print("trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(b.refs)+1, objCatalog, table)
	return b.err
}

// embed writes the font with the glyphs that were used, and what characters
// they are, so that text can be searched and copied.
func (b *Book) embed() error {
	delete(b.glyphs, 0) // stands there in any case
	ids := append([]uint16{0}, slices.Sorted(maps.Keys(b.glyphs))...)
	// A subset's name begins with a tag of its own.
	sum := sha256.Sum256([]byte(fmt.Sprint(b.font.name, ids)))
	tag := make([]byte, 6)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	name := string(tag) + "+" + b.font.name
	program, err := b.font.program(name, ids)
	if err != nil {
		return err
	}
	var widths, unicode strings.Builder
	for i, id := range ids[1:] {
		r := b.glyphs[id]
		if g, _ := b.font.glyph(r); g.width != em {
			fmt.Fprintf(&widths, "%d [%d] ", id, g.width)
		}
		if i%100 == 0 {
			if i > 0 {
				unicode.WriteString("endbfchar\n")
			}
			fmt.Fprintf(&unicode, "%d beginbfchar\n", min(100, len(ids)-1-i))
		}
		fmt.Fprintf(&unicode, "<%04X> <%s>\n", id, utf16Hex(r))
	}
	unicode.WriteString("endbfchar\n")
	cmap := "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n" +
		unicode.String() + "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
	file, toUnicode, descriptor, descendant := b.reserve(), b.reserve(), b.reserve(), b.reserve()
	b.stream(file, "/Subtype /CIDFontType0C ", compressed(program))
	b.stream(toUnicode, "", compressed([]byte(cmap)))
	box := b.font.box()
	b.object(descriptor, "<< /Type /FontDescriptor /FontName /%s /Flags 4 /FontBBox [%d %d %d %d] /ItalicAngle 0 /Ascent %d /Descent %d /CapHeight 733 /StemV 80 /FontFile3 %d 0 R >>", name, box[0], box[1], box[2], box[3], box[3], box[1], file)
	b.object(descendant, "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /FontDescriptor %d 0 R /DW %d /W [%s] >>", name, descriptor, em, strings.TrimSpace(widths.String()))
	b.object(objFont, "<< /Type /Font /Subtype /Type0 /BaseFont /%s-Identity-H /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>", name, descendant, toUnicode)
	return b.err
}

func utf16Hex(r rune) string {
	var s strings.Builder
	for _, unit := range utf16.Encode([]rune{r}) {
		fmt.Fprintf(&s, "%04X", unit)
	}
	return s.String()
}

func (b *Book) reserve() int {
	b.refs = append(b.refs, 0)
	return len(b.refs)
}

func (b *Book) object(n int, format string, args ...any) {
	b.refs[n-1] = b.at
	b.print("%d 0 obj\n%s\nendobj\n", n, fmt.Sprintf(format, args...))
}

func (b *Book) stream(n int, entries string, content []byte) {
	b.refs[n-1] = b.at
	b.print("%d 0 obj\n<< %s/Filter /FlateDecode /Length %d >>\nstream\n", n, entries, len(content))
	b.write(content)
	b.print("\nendstream\nendobj\n")
}

func (b *Book) print(format string, args ...any) { b.write(fmt.Appendf(nil, format, args...)) }

func (b *Book) write(p []byte) {
	if b.err != nil {
		return
	}
	n, err := b.w.Write(p)
	b.at += int64(n)
	b.err = cmp.Or(b.err, err)
}

func compressed(content []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, err := w.Write(content)
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}
