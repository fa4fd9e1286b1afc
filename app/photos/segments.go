package photos

import (
	"encoding/binary"
	"iter"
)

// segments are the markers of a JPEG with what belongs to each, up to where the
// picture itself begins. It ends early at whatever is not plainly a segment:
// whoever looks for one then does not find it.
//
// Source: ITU-T T.81, B.1.1.
func segments(file []byte) iter.Seq2[byte, []byte] {
	const (
		startOfScan = 0xda
		smallest    = 0xc0 // of the markers that a length follows
	)
	return func(yield func(byte, []byte) bool) {
		if len(file) < 4 || file[0] != 0xff || file[1] != 0xd8 {
			return
		}
		for at := 2; at+4 <= len(file) && file[at] == 0xff; {
			marker := file[at+1]
			if marker == 0xff { // a fill byte
				at++
				continue
			}
			size := int(binary.BigEndian.Uint16(file[at+2:]))
			end := at + 2 + size
			if bare := 0xd0 <= marker && marker <= 0xd9; bare || marker < smallest || marker == startOfScan || size < 2 || end > len(file) {
				return
			}
			if !yield(marker, file[at+4:end]) {
				return
			}
			at = end
		}
	}
}

// sequential says whether a JPEG is plainly one that is decoded line by line.
// For any other the decoder keeps all coefficients, 4 bytes for each sample,
// until the last pass over the picture.
func sequential(file []byte) bool {
	const sof0, sof1, sof2 = 0xc0, 0xc1, 0xc2
	for marker := range segments(file) {
		switch marker {
		case sof0, sof1:
			return true
		case sof2:
			return false
		}
	}
	return false
}
