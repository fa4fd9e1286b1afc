package qrcode_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"

	"github.com/xingfuma/happycode/qrcode"
)

// photographed lays a code on a table, turned and small, with the noise of a
// phone in the evening.
func photographed(t *testing.T, text string, degrees, size float64, noise float64) image.Image {
	t.Helper()
	content, err := qrcode.PNG(text, qrcode.Q, 600)
	if err != nil {
		t.Fatal(err)
	}
	code, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	const width, height = 1000, 750
	table := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(table, table.Bounds(), image.NewUniform(color.RGBA{170, 145, 118, 255}), image.Point{}, draw.Src)
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	scale := size / 600
	sin, cos = sin*scale, cos*scale
	draw.CatmullRom.Transform(table, f64.Aff3{cos, -sin, width/2 - 300*cos + 300*sin, sin, cos, height/2 - 300*sin - 300*cos}, code, code.Bounds(), draw.Over, nil)
	r := rand.New(rand.NewPCG(5, uint64(degrees)))
	for i := range table.Pix {
		if i%4 != 3 {
			table.Pix[i] = uint8(min(255, max(0, float64(table.Pix[i])*0.8+r.NormFloat64()*noise)))
		}
	}
	return table
}

func TestReadPhotos(t *testing.T) {
	t.Parallel()
	text := qrcode.URL(host, sign(qrcode.Card, key(1), codeA, minute))
	for _, x := range []struct{ degrees, size, noise float64 }{{0, 600, 5}, {17, 440, 12}, {45, 500, 12}, {-160, 375, 12}, {90, 280, 5}} {
		if got, err := qrcode.Read(photographed(t, text, x.degrees, x.size, x.noise)); err != nil || got != text {
			t.Errorf("turned %v°, %v pixels, noise %v: %q, %v", x.degrees, x.size, x.noise, got, err)
		}
	}
	for name, picture := range map[string]image.Image{
		"empty table": image.NewGray(image.Rect(0, 0, 800, 600)),
		"one pixel":   image.NewGray(image.Rect(0, 0, 1, 1)),
		"a line":      image.NewGray(image.Rect(0, 0, 3000, 1)),
	} {
		if got, err := qrcode.Read(picture); !errors.Is(err, qrcode.ErrNoCode) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A screenshot of a code is read whatever the code says.
func TestReadScreenshots(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 20 {
		var code [10]byte
		for k := range code {
			code[k] = byte(r.Uint32())
		}
		text := qrcode.URL(host, sign(qrcode.Screen, key(1), code, r.Uint32()))
		content, err := qrcode.PNG(text, qrcode.M, 300)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := qrcode.Read(picture); err != nil || got != text {
			t.Errorf("code %d: %q, %v", i, got, err)
		}
	}
}
