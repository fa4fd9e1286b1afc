package qrcode

import (
	"errors"
	"image"

	"github.com/makiuchi-d/gozxing"
	zxing "github.com/makiuchi-d/gozxing/qrcode"
	"golang.org/x/image/draw"
)

// ErrNoCode says that no QR code was found in a picture.
var ErrNoCode = errors.New("no code in this picture")

// readSides are the longer sides, in pixels, at which a picture is looked at in
// turn. A finder that misses a code at one size mostly finds it at another; and
// none of them is as large as a phone's photo, which would take seconds.
func readSides() []int { return []int{1000, 700, 1600, 480, 2400} }

// Read returns the text of the QR code in a picture, whatever it says; see
// [Extract] for whether it is one of ours. The whole takes up to two seconds
// on a large picture without a code.
//
// Errors: [ErrNoCode].
func Read(picture image.Image) (string, error) {
	size := picture.Bounds().Size()
	longer := max(size.X, size.Y)
	whole := false
	for _, side := range readSides() {
		if side >= longer {
			if whole { // looked at already
				continue
			}
			whole, side = true, longer
		}
		gray := image.NewGray(image.Rect(0, 0, max(1, size.X*side/longer), max(1, size.Y*side/longer)))
		draw.ApproxBiLinear.Scale(gray, gray.Bounds(), picture, picture.Bounds(), draw.Src, nil)
		if text, ok := find(gray); ok {
			return text, nil
		}
	}
	return "", ErrNoCode
}

// find looks for a code in three ways: dark told from light by the
// neighbourhood, for photos; by the whole picture, for clean ones; and as a
// picture that shows a code and nothing else, whose finder patterns the search
// for them misses now and then (6 of 400 screens of 300 pixels).
func find(gray *image.Gray) (text string, ok bool) {
	source := gozxing.NewLuminanceSourceFromImage(gray)
	for _, way := range []struct {
		binarizer gozxing.Binarizer
		hint      gozxing.DecodeHintType
	}{
		{gozxing.NewHybridBinarizer(source), gozxing.DecodeHintType_TRY_HARDER},
		{gozxing.NewGlobalHistgramBinarizer(source), gozxing.DecodeHintType_TRY_HARDER},
		{gozxing.NewGlobalHistgramBinarizer(source), gozxing.DecodeHintType_PURE_BARCODE},
	} {
		bitmap, err := gozxing.NewBinaryBitmap(way.binarizer)
		if err != nil {
			continue
		}
		if result, err := zxing.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{way.hint: true}); err == nil {
			return result.GetText(), true
		}
	}
	return "", false
}
