package photos

import (
	"encoding/binary"
	"image"
)

// orientation is how a phone was held, as the EXIF of a JPEG says: 1 (upright)
// to 8; 1 also where nothing is said. Only this one tag is looked for.
//
// Source: CIPA DC-008 (Exif 2.32), 4.6.4, tag 0x0112.
func orientation(file []byte) int {
	const upright = 1
	for marker, body := range segments(file) {
		if marker == 0xe1 && len(body) > 6 && string(body[:6]) == "Exif\x00\x00" {
			return fromTIFF(body[6:])
		}
	}
	return upright
}

func fromTIFF(tiff []byte) int {
	const (
		upright  = 1
		tag      = 0x0112
		short    = 3
		entry    = 12 // bytes
		smallest = 8  // bytes of the header
	)
	if len(tiff) < smallest {
		return upright
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	at := int64(order.Uint32(tiff[4:]))
	if at < smallest || at+2 > int64(len(tiff)) {
		return upright
	}
	rest := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(rest) < entry {
			return upright
		}
		if order.Uint16(rest) == tag && order.Uint16(rest[2:]) == short {
			if o := int(order.Uint16(rest[8:])); o >= 1 && o <= 8 {
				return o
			}
			return upright
		}
		rest = rest[entry:]
	}
	return upright
}

// turn puts a picture the right way up.
func turn(p *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return p
	}
	w, h := p.Bounds().Dx(), p.Bounds().Dy()
	size := image.Rect(0, 0, w, h)
	if orientation >= 5 { // on its side
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewRGBA(size)
	for y := range h {
		for x := range w {
			var to image.Point
			switch orientation {
			case 2:
				to = image.Pt(w-1-x, y)
			case 3:
				to = image.Pt(w-1-x, h-1-y)
			case 4:
				to = image.Pt(x, h-1-y)
			case 5:
				to = image.Pt(y, x)
			case 6:
				to = image.Pt(h-1-y, x)
			case 7:
				to = image.Pt(h-1-y, w-1-x)
			case 8:
				to = image.Pt(y, w-1-x)
			}
			out.SetRGBA(to.X, to.Y, p.RGBAAt(x, y))
		}
	}
	return out
}
