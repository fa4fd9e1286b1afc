package qrcode

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strconv"
)

// quiet is the white margin that ISO/IEC 18004 asks for, in modules.
const quiet = 4

// maxPixels bounds the width of a PNG.
const maxPixels = 4096

// Side is the width of the symbol in modules.
func (s Symbol) Side() int { return len(s.rows) }

// Bars calls draw for every run of dark modules in a row, from the top left:
// where it begins, counted from the symbol's corner, and how long it is.
func (s Symbol) Bars(draw func(x, y, run int)) {
	for y, row := range s.rows {
		for x := 0; x < len(row); x++ {
			if !row[x] {
				continue
			}
			run := 1
			for x+run < len(row) && row[x+run] {
				run++
			}
			draw(x, y, run)
			x += run
		}
	}
}

// Path returns the dark modules as the data of an SVG path, one unit a module,
// and the width of the picture with its margin of 4 modules.
func (s Symbol) Path() (d string, side int) {
	return string(s.appendPath(make([]byte, 0, 16*1024))), s.Side() + 2*quiet
}

func (s Symbol) appendPath(b []byte) []byte {
	s.Bars(func(x, y, run int) {
		b = append(b, 'M')
		b = strconv.AppendInt(b, int64(x+quiet), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(y+quiet), 10)
		b = append(b, 'h')
		b = strconv.AppendInt(b, int64(run), 10)
		b = append(b, "v1h-"...)
		b = strconv.AppendInt(b, int64(run), 10)
		b = append(b, 'z')
	})
	return b
}

// SVG returns the text as a QR code: one dark path on white with a margin of 4
// modules, one unit a module, to be scaled by whoever shows it.
//
// Errors: [ErrPicture].
func SVG(text string, level Level) ([]byte, error) {
	s, err := Encode(text, level)
	if err != nil {
		return nil, err
	}
	return s.SVG(), nil
}

// SVG returns the symbol as the function [SVG] does.
func (s Symbol) SVG() []byte {
	side := strconv.Itoa(s.Side() + 2*quiet)
	b := make([]byte, 0, 16*1024)
	b = append(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 `+side+` `+side+`" shape-rendering="crispEdges"><rect width="`+side+`" height="`+side+`" fill="#fff"/><path fill="#000" d="`...)
	b = s.appendPath(b)
	return append(b, `"/></svg>`...)
}

// PNG returns the text as a QR code of pixels × pixels, black on white with a
// margin of at least 4 modules. Every module is the same whole number of
// pixels; what is left over widens the margin.
//
// Range:  pixels up to 4096, and at least one for each module and the margin.
// Errors: [ErrPicture].
func PNG(text string, level Level, pixels int) ([]byte, error) {
	s, err := Encode(text, level)
	if err != nil {
		return nil, err
	}
	scale := pixels / (s.Side() + 2*quiet)
	if scale < 1 || pixels > maxPixels {
		return nil, fmt.Errorf("%d pixels for %d modules: %w", pixels, s.Side(), ErrPicture)
	}
	picture := image.NewPaletted(image.Rect(0, 0, pixels, pixels), color.Palette{color.White, color.Black})
	offset := (pixels - scale*s.Side()) / 2
	s.Bars(func(x, y, run int) {
		for py := range scale {
			start := picture.PixOffset(offset+x*scale, offset+y*scale+py)
			for px := range scale * run {
				picture.Pix[start+px] = 1
			}
		}
	})
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&out, picture); err != nil {
		return nil, fmt.Errorf("encode PNG: %w", err)
	}
	return out.Bytes(), nil
}
