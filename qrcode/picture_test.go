package qrcode_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	zxing "github.com/makiuchi-d/gozxing/qrcode"

	"github.com/xingfuma/happycode/qrcode"
)

const host = "xf.huzhou.gov.cn"

// svg is the one form of picture that SVG writes.
type svg struct {
	ViewBox string `xml:"viewBox,attr"`
	Rect    struct {
		Fill string `xml:"fill,attr"`
	} `xml:"rect"`
	Paths []struct {
		Fill string `xml:"fill,attr"`
		D    string `xml:"d,attr"`
	} `xml:"path"`
}

var bar = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// paint draws an SVG at a scale, as a browser would.
func paint(t *testing.T, content []byte, scale int) (picture *image.Gray, side int) {
	t.Helper()
	var s svg
	if err := xml.Unmarshal(content, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Paths) != 1 || s.Paths[0].Fill != "#000" || s.Rect.Fill != "#fff" {
		t.Fatalf("not one dark path on white: %.200s", content)
	}
	side, err := strconv.Atoi(s.ViewBox[strings.LastIndexByte(s.ViewBox, ' ')+1:])
	if err != nil {
		t.Fatal(err)
	}
	if rest := bar.ReplaceAllString(s.Paths[0].D, ""); rest != "" {
		t.Fatalf("path holds %.50q", rest)
	}
	picture = image.NewGray(image.Rect(0, 0, side*scale, side*scale))
	for i := range picture.Pix {
		picture.Pix[i] = 255
	}
	for _, m := range bar.FindAllStringSubmatch(s.Paths[0].D, -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		run, _ := strconv.Atoi(m[3])
		if m[3] != m[4] || x < 4 || y < 4 || x+run > side-4 || y >= side-4 {
			t.Fatalf("bar %s reaches into the margin or is open", m[0])
		}
		for py := y * scale; py < (y+1)*scale; py++ {
			for px := x * scale; px < (x+run)*scale; px++ {
				picture.SetGray(px, py, color.Gray{})
			}
		}
	}
	return picture, side
}

// read returns what stands in a picture and, when find is set, whether a
// decoder that first has to find the code in it, as in a photo, reads it too.
func read(t *testing.T, picture image.Image, find bool) (text string, found bool) {
	t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	result, err := zxing.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]interface{}{gozxing.DecodeHintType_PURE_BARCODE: true})
	if err != nil {
		t.Fatalf("not readable: %v", err)
	}
	if !find {
		return result.GetText(), true
	}
	again, err := zxing.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]interface{}{gozxing.DecodeHintType_TRY_HARDER: true})
	return result.GetText(), err == nil && again.GetText() == result.GetText()
}

func TestEveryPictureIsRead(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	missed := 0
	check := func(what string, picture image.Image, want string) {
		got, found := read(t, picture, what == "PNG")
		if got != want {
			t.Fatalf("%s reads as %q", what, got)
		}
		if !found {
			missed++
		}
	}
	// Two readers read 2,000 in the test of cards; this one is to fail without
	// anything installed.
	const tokens = 40
	for i := range tokens {
		var code [10]byte
		for i := range code {
			code[i] = byte(r.Uint32())
		}
		level, kind := qrcode.M, qrcode.Screen
		if i%2 == 0 {
			level, kind = qrcode.Q, qrcode.Card
		}
		text := qrcode.URL(host, sign(kind, key(1), code, r.Uint32()))
		content, err := qrcode.SVG(text, level)
		if err != nil {
			t.Fatal(err)
		}
		picture, _ := paint(t, content, 3)
		check("SVG", picture, text)
		content, err = qrcode.PNG(text, level, 240+5*i)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := png.Decode(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if got := decoded.Bounds().Dx(); got != 240+5*i {
			t.Fatalf("PNG is %d pixels wide, want %d", got, 240+5*i)
		}
		check("PNG", decoded, text)
	}
	// gozxing takes data for a finder pattern in about one still picture of a
	// hundred, another one at every size; a camera sees many sizes.
	if missed > 3 {
		t.Errorf("%d of %d pictures were not found", missed, tokens)
	}
}

// The digits go in numeric mode: with n characters of host the text is
// 12 + 8·(11+n) bits of bytes and 14 + 644 bits of digits, and ISO/IEC 18004
// gives level M 864 bits in version 6 and 992 in version 7, level Q 1440 bits
// in version 11, the least for cards.
func TestVersions(t *testing.T) {
	t.Parallel()
	token := sign(qrcode.Card, key(1), codeA, minute)
	for _, c := range []struct {
		level         qrcode.Level
		host, version int
	}{
		{qrcode.M, 4, 6}, {qrcode.M, 13, 6}, {qrcode.M, 14, 7}, {qrcode.M, 29, 7}, {qrcode.M, 30, 8},
		{qrcode.Q, 4, 11}, {qrcode.Q, 84, 11}, {qrcode.Q, 85, 12},
	} {
		content, err := qrcode.SVG(qrcode.URL(strings.Repeat("h", c.host), token), c.level)
		if err != nil {
			t.Fatal(err)
		}
		_, side := paint(t, content, 1)
		if got := (side - 2*4 - 17) / 4; got != c.version {
			t.Errorf("level %d, host of %d characters: version %d, want %d", c.level, c.host, got, c.version)
		}
	}
}

func TestPictureRefuses(t *testing.T) {
	t.Parallel()
	for what, make := range map[string]func() ([]byte, error){
		"empty text":      func() ([]byte, error) { return qrcode.SVG("", qrcode.M) },
		"too long":        func() ([]byte, error) { return qrcode.SVG(strings.Repeat("汉", 2000), qrcode.Q) },
		"unknown level":   func() ([]byte, error) { return qrcode.SVG("x", 7) },
		"too few pixels":  func() ([]byte, error) { return qrcode.PNG("x", qrcode.M, 28) },
		"no pixels":       func() ([]byte, error) { return qrcode.PNG("x", qrcode.M, -5) },
		"too many pixels": func() ([]byte, error) { return qrcode.PNG("x", qrcode.M, 4097) },
	} {
		if content, err := make(); !errors.Is(err, qrcode.ErrPicture) || content != nil {
			t.Errorf("%s: got %d bytes, %v; want ErrPicture", what, len(content), err)
		}
	}
}
