package qrcode

import "encoding/binary"

const cardDigits = 12

// CardNumber returns the number printed below a card's picture, for typing
// when no camera works: 11 digits from the first 64 bits of the code id, modulo
// 10¹¹, and a Luhn check digit. It is not a secret and not unique by itself:
// whoever issues codes keeps it unique.
func CardNumber(code [10]byte) string {
	n := binary.BigEndian.Uint64(code[:8]) % 100_000_000_000
	var b [cardDigits]byte
	for i := cardDigits - 2; i >= 0; i-- {
		b[i] = '0' + byte(n%10)
		n /= 10
	}
	b[cardDigits-1] = '0' + byte((10-luhn(b[:cardDigits-1], true)%10)%10)
	return string(b[:])
}

// ValidCardNumber says whether s is 12 digits with the right check digit: every
// single wrong digit is noticed, and all swaps of neighbours but 0 and 9.
func ValidCardNumber(s string) bool {
	return len(s) == cardDigits && decimal(s) && luhn([]byte(s), false)%10 == 0
}

// luhn sums the digits, every second one from the right doubled, beginning
// with the last when doubleLast is set.
func luhn(digits []byte, doubleLast bool) int {
	sum, double := 0, doubleLast
	for i := len(digits) - 1; i >= 0; i-- {
		d := int(digits[i] - '0')
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		double = !double
	}
	return sum
}
