// Package photos takes in pictures that people send: it looks at what a file
// says about its size before it reads a pixel, and keeps nothing of it but the
// picture. It knows nothing of what is on them.
package photos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// Errors that callers tell apart.
var (
	// ErrFormat says that the file is no JPEG, PNG or WebP, or a broken one.
	ErrFormat = errors.New("not a picture that can be read")
	// ErrTooLarge says that the file or the picture goes past one of its [Limits].
	ErrTooLarge = errors.New("the picture is too large")
)

// Limits bound what a picture may cost.
type Limits struct {
	Bytes  int64 // of the file
	Pixels int64 // width × height by the file's header; see [Decode] for which count more
}

// Usual are the limits of a phone's photo: 10 MiB, 25 megapixels. Decoded, the
// largest take some 100 MB for a moment; callers bound how many at once.
func Usual() Limits { return Limits{Bytes: 10 << 20, Pixels: 25_000_000} }

// quality is of the JPEG that is kept: text on a parcel stays readable.
const quality = 82

const magicJPEG = "\xff\xd8\xff"

type format struct {
	magic  func(head []byte) bool
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// formats are chosen by the first bytes and not by image's registry, which
// holds whatever any library has put there.
func formats() []format {
	begins := func(magic string) func([]byte) bool {
		return func(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }
	}
	return []format{
		{begins(magicJPEG), jpeg.DecodeConfig, jpeg.Decode},
		{begins("\x89PNG\r\n\x1a\n"), png.DecodeConfig, png.Decode},
		{func(h []byte) bool { return len(h) >= 12 && string(h[:4]) == "RIFF" && string(h[8:12]) == "WEBP" }, webp.DecodeConfig, webp.Decode},
	}
}

// Decode reads a picture as the file holds it, unturned. The header is looked
// at first; a picture over a limit costs no more than its header.
//
// When ctx ends, so does the reading: a small file can ask a decoder to go
// over the same pixels a million times.
//
// What takes more memory has fewer pixels: they count twice with 16 bits a
// colour and in the four inks of print, and four times in a progressive JPEG.
//
// Errors: [ErrFormat], [ErrTooLarge], those of ctx and r.
func Decode(ctx context.Context, r io.Reader, l Limits) (image.Image, error) {
	file, err := read(r, l)
	if err != nil {
		return nil, err
	}
	return decode(ctx, file, l)
}

func read(r io.Reader, l Limits) ([]byte, error) {
	file, err := io.ReadAll(io.LimitReader(r, l.Bytes+1))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	if int64(len(file)) > l.Bytes {
		return nil, ErrTooLarge
	}
	return file, nil
}

func decode(ctx context.Context, file []byte, l Limits) (image.Image, error) {
	for _, f := range formats() {
		if !f.magic(file) {
			continue
		}
		config, err := f.config(bytes.NewReader(file))
		if err != nil || config.Width <= 0 || config.Height <= 0 {
			return nil, ErrFormat
		}
		// Neither side is over 2³¹, so that the product cannot overflow.
		if int64(config.Width)*int64(config.Height)*weight(file, config.ColorModel) > l.Pixels {
			return nil, ErrTooLarge
		}
		picture, err := f.decode(&reader{ctx: ctx, r: bytes.NewReader(file)})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, ErrFormat
		}
		return picture, nil
	}
	return nil, ErrFormat
}

// weight is for how many ordinary pixels one of this file counts.
func weight(file []byte, m color.Model) int64 {
	n := int64(1)
	switch m {
	case color.RGBA64Model, color.NRGBA64Model, color.Gray16Model, color.Alpha16Model, color.CMYKModel:
		n = 2
	}
	if bytes.HasPrefix(file, []byte(magicJPEG)) && !sequential(file) {
		n *= 4
	}
	return n
}

// reader ends when its context does.
type reader struct {
	ctx context.Context // of one call of Decode, which the reader does not outlive
	r   *bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Shrink reads a picture and returns it as a new JPEG: the right way up, its
// longer side at most side pixels, and without anything else the file said
// (place, time, phone, preview).
//
// Errors: those of [Decode].
func Shrink(ctx context.Context, r io.Reader, l Limits, side int) ([]byte, error) {
	file, err := read(r, l)
	if err != nil {
		return nil, err
	}
	picture, err := decode(ctx, file, l)
	if err != nil {
		return nil, err
	}
	turned := turn(shrink(picture, side), orientation(file))
	var out bytes.Buffer
	if err := jpeg.Encode(&out, turned, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("write picture: %w", err)
	}
	return out.Bytes(), nil
}

// shrink halves a picture, where the fast interpolation takes the mean of four
// pixels, until one step is left. What is transparent becomes white.
func shrink(picture image.Image, side int) *image.RGBA {
	for {
		b := picture.Bounds()
		w, h := b.Dx(), b.Dy()
		longer := max(w, h)
		last := longer <= 2*side
		switch {
		case longer <= side:
		case last:
			w, h = max(1, (w*side+longer/2)/longer), max(1, (h*side+longer/2)/longer)
		default:
			w, h = max(1, w/2), max(1, h/2)
		}
		smaller := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(smaller, smaller.Bounds(), image.White, image.Point{}, draw.Src)
		draw.ApproxBiLinear.Scale(smaller, smaller.Bounds(), picture, b, draw.Over, nil)
		if last {
			return smaller
		}
		picture = smaller
	}
}
