package providers

import (
	"errors"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// ErrCreditCode says that a text is no unified social credit code.
var ErrCreditCode = errors.New("not a unified social credit code")

// creditAlphabet are the 31 characters of a code, in the order of their values
// 0..30: digits and capitals without I, O, S, V and Z.
//
// Source: GB 32100-2015, table 3.
const creditAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// ParseCreditCode checks a unified social credit code 统一社会信用代码 and returns
// it in capitals without spaces. The 18th character checks the other 17: their
// values, weighted with 3^i mod 31 for i = 0..16, and its own sum to a multiple
// of 31. Characters 3 to 8 are the division of the registrar, six digits.
//
// Source: GB 32100-2015, section 5 and appendix A.
// Errors: [FieldError] around [ErrCreditCode].
func ParseCreditCode(s string) (string, error) {
	s = strings.ToUpper(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, norm.NFKC.String(strings.TrimSpace(s))))
	if len(s) != 18 {
		return "", creditCodeError("统一社会信用代码应为 18 位，请对照营业执照或登记证书重新填写。",
			"A unified social credit code has 18 characters: copy it from the certificate again.")
	}
	sum, weight := 0, 1
	for i := range len(s) {
		value := strings.IndexByte(creditAlphabet, s[i])
		switch {
		case value < 0:
			return "", creditCodeError("统一社会信用代码只含数字和大写字母，且不用 I、O、S、V、Z,请改正。",
				"A unified social credit code has digits and capital letters without I, O, S, V and Z: correct it.")
		case i >= 2 && i < 8 && value > 9:
			return "", creditCodeError("统一社会信用代码的第 3 至 8 位应为数字，请改正。",
				"Characters 3 to 8 of a unified social credit code are digits: correct them.")
		case i == 17:
			weight = 1
		}
		sum += value * weight
		weight = weight * 3 % 31
	}
	if sum%31 != 0 {
		return "", creditCodeError("统一社会信用代码的校验位不符，请检查是否有一位抄错。",
			"The check character does not fit: look for a character copied wrongly.")
	}
	return s, nil
}

func creditCodeError(zh, en string) error {
	return FieldError{"credit_code", zh, en, ErrCreditCode}
}
