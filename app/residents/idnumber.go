package residents

import (
	"strings"
	"time"
)

// IDNumber is what a resident ID number (公民身份号码) says.
//
// Source: GB 11643-1999.
type IDNumber struct {
	Number    string    // 18 characters, the check character in upper case
	Division6 string    // county-level code at the time of issue; it may be gone since
	Birth     time.Time // midnight UTC
	Male      bool
}

// oldestYears bounds ages, in years: nobody has lived longer.
const oldestYears = 130

// cst is the civil time in which a birthday begins.
var cst = time.FixedZone("CST", 8*60*60)

// ParseIDNumber reads an ID number as people write it: blanks are dropped,
// full-width characters and a small x are taken. It checks the province, that
// the birthday is a real one not after now nor more than 130 years before, and
// the check character, which notices every single wrong character.
//
// Errors: a [FieldError] that is [ErrIDNumber]; it does not repeat the number.
func ParseIDNumber(s string, now time.Time) (IDNumber, error) {
	s = NormaliseIDNumber(s)
	if len(s) != 18 {
		return IDNumber{}, idNumberError("身份证号应为 18 位", "an ID number has 18 characters")
	}
	weights := [...]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		if s[i] < '0' || s[i] > '9' {
			return IDNumber{}, idNumberError("身份证号前 17 位应为数字", "the first 17 characters of an ID number are digits")
		}
		sum += w * int(s[i]-'0')
	}
	if !province(s[:2]) {
		return IDNumber{}, idNumberError("身份证号开头的地区码不存在", "the region at the start of the ID number does not exist")
	}
	birth, err := time.Parse("20060102", s[6:14])
	if err != nil {
		return IDNumber{}, idNumberError("身份证号中的出生日期不存在", "the birth date in the ID number does not exist")
	}
	y, m, d := now.In(cst).Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	if birth.After(today) {
		return IDNumber{}, idNumberError("身份证号中的出生日期在将来", "the birth date in the ID number is in the future")
	}
	if birth.Before(today.AddDate(-oldestYears, 0, 0)) {
		return IDNumber{}, idNumberError("身份证号中的出生日期过早", "the birth date in the ID number is too long ago")
	}
	if "10X98765432"[sum%11] != s[17] {
		return IDNumber{}, idNumberError("身份证号校验码不符，请核对", "the check character of the ID number does not fit; look for a slip of the pen")
	}
	return IDNumber{Number: s, Division6: s[:6], Birth: birth, Male: (s[16]-'0')%2 == 1}, nil
}

// NormaliseIDNumber drops blanks, narrows full-width characters and raises a
// small x; it checks nothing.
func NormaliseIDNumber(s string) string {
	return strings.ToUpper(strings.Join(strings.Fields(narrow(s)), ""))
}

// narrow turns full-width ASCII (U+FF01..U+FF5E) and the ideographic space
// into their usual forms.
func narrow(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 0xFF01 && r <= 0xFF5E:
			return r - 0xFEE0
		case r == 0x3000:
			return ' '
		}
		return r
	}, s)
}

// province says whether the two digits are a province of GB/T 2260; 81 to 83
// are on the residence permits of people from Hong Kong, Macao and Taiwan, 91
// to 94 on permanent residence permits of foreigners.
func province(p string) bool {
	switch p {
	case "11", "12", "13", "14", "15",
		"21", "22", "23",
		"31", "32", "33", "34", "35", "36", "37",
		"41", "42", "43", "44", "45", "46",
		"50", "51", "52", "53", "54",
		"61", "62", "63", "64", "65",
		"71", "81", "82", "83", "91", "92", "93", "94":
		return true
	}
	return false
}

func idNumberError(zh, en string) error { return &FieldError{Field: "id_number", ZH: zh, EN: en} }
