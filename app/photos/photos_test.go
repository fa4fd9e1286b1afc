package photos_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"runtime"
	"testing"

	"github.com/xingfuma/happycode/app/photos"
)

// bomb is a valid PNG of one bit a pixel, all white, that is small as a file.
func bomb(t testing.TB, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, data []byte) {
		_ = binary.Write(&out, binary.BigEndian, uint32(len(data)))
		body := append([]byte(name), data...)
		out.Write(body)
		_ = binary.Write(&out, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	chunk("IHDR", append(header, 1, 0, 0, 0, 0)) // 1 bit, grey
	var pixels bytes.Buffer
	z, err := zlib.NewWriterLevel(&pixels, zlib.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]byte, 1+(width+7)/8)
	for range height {
		if _, err := z.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	chunk("IDAT", pixels.Bytes())
	chunk("IEND", nil)
	return out.Bytes()
}

func TestPictureBomb(t *testing.T) {
	file := bomb(t, 20_000, 20_000)
	if len(file) > 60_000 {
		t.Fatalf("the bomb has %d bytes", len(file))
	}
	if c, err := png.DecodeConfig(bytes.NewReader(file)); err != nil || c.Width != 20_000 || c.Height != 20_000 {
		t.Fatalf("the bomb is not a valid picture: %v", err)
	}
	progressive := drawn(0xc2, 8000, 5000, 3) // decoded, some 500 MB
	if c, err := jpeg.DecodeConfig(bytes.NewReader(progressive)); err != nil || c.Width != 8000 || c.Height != 5000 {
		t.Fatalf("the progressive bomb is not a valid picture: %v", err)
	}
	for name, file := range map[string][]byte{"PNG": file, "progressive JPEG": progressive} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := photos.Shrink(t.Context(), bytes.NewReader(file), photos.Usual(), 1280)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, photos.ErrTooLarge) {
			t.Fatalf("%s: got %v, want ErrTooLarge", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
			t.Errorf("%s: refusing it took %d bytes, want under 2 MiB: it is decoded", name, grown)
		}
	}
}

// drawn is a valid JPEG, grey all over, of one byte of data for every block or
// two. sof is its kind: 0xc0 baseline, 0xc2 progressive (of one pass). before
// stands in front of its first marker.
func drawn(sof byte, width, height, inks int, before ...byte) []byte {
	out := append([]byte{0xff, 0xd8}, before...)
	segment := func(marker byte, body ...byte) {
		out = append(out, 0xff, marker)
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(body)+2)), body...)
	}
	if inks == 4 {
		segment(0xee, append([]byte("Adobe"), 0, 100, 0, 0, 0, 0, 0)...)
	}
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	frame := []byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), byte(inks)}
	scan := []byte{byte(inks)}
	for i := range byte(inks) {
		frame, scan = append(frame, i+1, 0x11, 0), append(scan, i+1, 0)
	}
	segment(sof, frame...)
	for _, class := range []byte{0, 0x10} { // one code, a single bit: nothing follows
		segment(0xc4, append(append([]byte{class, 1}, make([]byte, 15)...), 0)...)
	}
	last, bits := byte(63), 2
	if sof == 0xc2 {
		last, bits = 0, 1
	}
	segment(0xda, append(scan, 0, last, 0)...)
	blocks := (width + 7) / 8 * ((height + 7) / 8) * inks
	return append(append(out, make([]byte, blocks*bits/8+1)...), 0xff, 0xd9)
}

// The largest pictures that are let through take some 100 MB, whatever their
// kind; what would take more is refused before a pixel of it is read. Here with
// a limit of a million pixels, and a share of that.
func TestPixelsThatTakeMoreMemoryCountMore(t *testing.T) {
	limits := photos.Limits{Bytes: 10 << 20, Pixels: 1_000_000}
	most := (130 << 20) * limits.Pixels / photos.Usual().Pixels
	var deep bytes.Buffer
	if err := png.Encode(&deep, image.NewNRGBA64(image.Rect(0, 0, 500, 1000))); err != nil {
		t.Fatal(err)
	}
	fill := []byte{0xff, 0xff}
	// Go's decoder passes over these, and what a walk by lengths alone takes for
	// baseline is progressive for it: the length of a mark that has none leads
	// into a comment, and what stands there looks like a baseline frame.
	nested := append([]byte{0xff, 0xd0, 0xff, 0xfe, 0xff, 0xff}, append(make([]byte, 65530), 0xff, 0xc0, 0)...)
	stray := []byte{0xff, 0xfe, 0, 2, 0, 7}
	for _, tc := range []struct {
		name        string
		fits, large []byte
	}{
		{"PNG", bomb(t, 1000, 1000), bomb(t, 1001, 1000)},
		{"PNG of 16 bits", deep.Bytes(), nil},
		{"baseline", drawn(0xc0, 1000, 1000, 3), drawn(0xc0, 1001, 1000, 3)},
		{"baseline, after fill bytes", drawn(0xc0, 1000, 1000, 3, fill...), drawn(0xc0, 1001, 1000, 3, fill...)},
		{"four inks", drawn(0xc0, 500, 1000, 4), drawn(0xc0, 501, 1000, 4)},
		{"progressive", drawn(0xc2, 500, 500, 3), drawn(0xc2, 501, 500, 3)},
		{"progressive, four inks", drawn(0xc2, 250, 500, 4), drawn(0xc2, 251, 500, 4)},
		{"progressive, behind a mark without a length", drawn(0xc2, 500, 500, 3, nested...), drawn(0xc2, 501, 500, 3, nested...)},
		{"progressive, behind stray bytes", drawn(0xc2, 500, 500, 3, stray...), drawn(0xc2, 501, 500, 3, stray...)},
	} {
		took := func(file []byte) (grown int64, err error) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = photos.Decode(t.Context(), bytes.NewReader(file), limits)
			runtime.ReadMemStats(&after)
			return int64(after.TotalAlloc - before.TotalAlloc), err
		}
		if grown, err := took(tc.large); tc.large != nil && (!errors.Is(err, photos.ErrTooLarge) || grown > most/4) {
			t.Errorf("%s: a row too many: %v, after %d kB, want ErrTooLarge", tc.name, err, grown>>10)
		}
		if grown, err := took(tc.fits); err != nil || grown > most {
			t.Errorf("%s: at the limit: %v, with %d kB of %d", tc.name, err, grown>>10, most>>10)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	t.Parallel()
	small := bomb(t, 100, 50)
	deep := image.NewNRGBA64(image.Rect(0, 0, 100, 50))
	var sixteen bytes.Buffer
	if err := png.Encode(&sixteen, deep); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		file   []byte
		limits photos.Limits
		want   error
	}{
		{"at the limits", small, photos.Limits{Bytes: int64(len(small)), Pixels: 5000}, nil},
		{"a byte more", small, photos.Limits{Bytes: int64(len(small)) - 1, Pixels: 5000}, photos.ErrTooLarge},
		{"a pixel more", small, photos.Limits{Bytes: 1 << 20, Pixels: 4999}, photos.ErrTooLarge},
		{"16 bits count twice", sixteen.Bytes(), photos.Limits{Bytes: 1 << 20, Pixels: 9999}, photos.ErrTooLarge},
		{"16 bits within", sixteen.Bytes(), photos.Limits{Bytes: 1 << 20, Pixels: 10_000}, nil},
		{"empty", nil, photos.Usual(), photos.ErrFormat},
		{"text", []byte("no picture at all"), photos.Usual(), photos.ErrFormat},
		{"cut off", small[:len(small)-30], photos.Usual(), photos.ErrFormat},
		{"GIF", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), photos.Usual(), photos.ErrFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := photos.Decode(t.Context(), bytes.NewReader(tc.file), tc.limits); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestDecodeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := photos.Decode(ctx, bytes.NewReader(bomb(t, 100, 50)), photos.Usual()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// corner is a white picture with a black upper left corner.
func corner(w, h int) *image.RGBA {
	p := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{255, 255, 255, 255}
			if x < w/4 && y < h/4 {
				c = color.RGBA{0, 0, 0, 255}
			}
			p.SetRGBA(x, y, c)
		}
	}
	return p
}

// phonePhoto is a JPEG with EXIF: the way it was held, and a maker's name and
// a place in it that must not stay.
func phonePhoto(t testing.TB, p image.Image, order binary.AppendByteOrder, orientation uint16) []byte {
	t.Helper()
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, p, nil); err != nil {
		t.Fatal(err)
	}
	tiff := []byte("II*\x00")
	if order.String() == "BigEndian" {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	maker := "CANARY-PHONE 30.8931N 120.0868E"
	for _, entry := range [][4]uint32{{0x010f, 2, uint32(len(maker)), 8 + 2 + 24 + 4}, {0x0112, 3, 1, 0}} {
		tiff = order.AppendUint16(tiff, uint16(entry[0]))
		tiff = order.AppendUint16(tiff, uint16(entry[1]))
		tiff = order.AppendUint32(tiff, entry[2])
		if entry[0] == 0x0112 {
			tiff = order.AppendUint16(tiff, orientation)
			tiff = append(tiff, 0, 0)
		} else {
			tiff = order.AppendUint32(tiff, entry[3])
		}
	}
	tiff = append(append(tiff, 0, 0, 0, 0), maker...)
	body := append([]byte("Exif\x00\x00"), tiff...)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(body)+2))...)
	return append(append(out, body...), plain.Bytes()[2:]...)
}

func TestShrinkKeepsNothingButThePicture(t *testing.T) {
	t.Parallel()
	file := phonePhoto(t, corner(2400, 1800), binary.LittleEndian, 1)
	if !bytes.Contains(file, []byte("CANARY")) || !bytes.Contains(file, []byte("Exif")) {
		t.Fatal("the photo sent has no EXIF")
	}
	kept, err := photos.Shrink(t.Context(), bytes.NewReader(file), photos.Usual(), 1280)
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range []string{"Exif", "CANARY", "30.8931"} {
		if bytes.Contains(kept, []byte(trace)) {
			t.Errorf("the picture kept still holds %q", trace)
		}
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(kept))
	if err != nil || c.Width != 1280 || c.Height != 960 {
		t.Errorf("kept %d×%d, %v, want 1280×960", c.Width, c.Height, err)
	}
}

func TestShrinkTurnsUpright(t *testing.T) {
	t.Parallel()
	// Where the black corner of the stored picture comes to lie, by Exif's table.
	for orientation, want := range []string{1: "top left", "top right", "bottom right", "bottom left", "top left", "top right", "bottom right", "bottom left"} {
		if orientation == 0 {
			continue
		}
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			t.Run(fmt.Sprint(orientation, order), func(t *testing.T) {
				t.Parallel()
				file := phonePhoto(t, corner(400, 200), order, uint16(orientation))
				kept, err := photos.Shrink(t.Context(), bytes.NewReader(file), photos.Usual(), 1280)
				if err != nil {
					t.Fatal(err)
				}
				p, err := jpeg.Decode(bytes.NewReader(kept))
				if err != nil {
					t.Fatal(err)
				}
				b := p.Bounds()
				if wide := orientation < 5; wide != (b.Dx() == 400) || wide == (b.Dx() == 200) {
					t.Errorf("the picture is %v", b.Max)
				}
				got := "nowhere"
				for name, at := range map[string]image.Point{
					"top left": {4, 4}, "top right": {b.Dx() - 5, 4},
					"bottom left": {4, b.Dy() - 5}, "bottom right": {b.Dx() - 5, b.Dy() - 5},
				} {
					if r, _, _, _ := p.At(at.X, at.Y).RGBA(); r < 0x4000 {
						got = name
					}
				}
				if got != want {
					t.Errorf("black is %s, want %s", got, want)
				}
			})
		}
	}
}

func TestShrinkSizes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ w, h, wantW, wantH int }{
		{100, 50, 100, 50}, {1280, 1280, 1280, 1280}, {1281, 10, 1280, 10}, {6000, 4000, 1280, 853}, {5000, 1, 1280, 1},
	} {
		t.Run(fmt.Sprint(tc.w, "×", tc.h), func(t *testing.T) {
			t.Parallel()
			kept, err := photos.Shrink(t.Context(), bytes.NewReader(bomb(t, tc.w, tc.h)), photos.Usual(), 1280)
			if err != nil {
				t.Fatal(err)
			}
			c, err := jpeg.DecodeConfig(bytes.NewReader(kept))
			if err != nil || c.Width != tc.wantW || c.Height != tc.wantH {
				t.Errorf("got %d×%d, %v, want %d×%d", c.Width, c.Height, err, tc.wantW, tc.wantH)
			}
		})
	}
}

func FuzzShrink(f *testing.F) {
	f.Add(bomb(f, 20, 10))
	f.Add(phonePhoto(f, corner(16, 8), binary.LittleEndian, 6))
	f.Add(phonePhoto(f, corner(16, 8), binary.BigEndian, 3))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8 "))
	f.Fuzz(func(t *testing.T, file []byte) {
		kept, err := photos.Shrink(t.Context(), bytes.NewReader(file), photos.Limits{Bytes: 1 << 16, Pixels: 1 << 16}, 64)
		if err != nil {
			return
		}
		if _, err := jpeg.Decode(bytes.NewReader(kept)); err != nil {
			t.Errorf("kept what is no picture: %v", err)
		}
	})
}
