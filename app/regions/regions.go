// Package regions knows the administrative divisions: province, city, county,
// town and village, by their 12-digit codes.
//
// A code has five groups of 2, 2, 2, 3 and 3 digits, one a level; the groups
// below a division's own level are zero. Who may see what is decided by these
// prefixes, so the questions about them ([Within], [County]) are pure.
//
// Source: the statistical codes of the National Bureau of Statistics
// (统计用区划代码).
package regions

import (
	"errors"
	"strings"

	"github.com/xingfuma/happycode/app/store"
)

// Level is a step of the division tree.
type Level string

// The levels, from the top.
const (
	Province    Level = "province"
	City        Level = "city"
	CountyLevel Level = "county"
	Town        Level = "town"
	Village     Level = "village"
)

// ErrDivision says that a code, or a set of divisions, is not well formed.
var ErrDivision = errors.New("not a division")

// Division is one node of the tree. Its id is the 12-digit code.
type Division struct {
	store.Meta  `bson:",inline"`
	Name        string `json:"name"`
	EnglishName string `json:"english_name,omitempty"` // empty: show Name
	Level       Level  `json:"level"`
	Parent      string `json:"parent"` // code; "" for a province
}

// Schemas declares the collections of this package.
func Schemas() []store.Schema { return []store.Schema{schema()} }

func schema() store.Schema {
	return store.Schema{Name: "divisions", Indexes: []store.Index{{Name: "parent", Fields: []string{"parent"}}}}
}

// Valid says whether code has the form of a division: 12 digits, the first
// group not zero. It does not say that such a division exists.
func Valid(code string) bool {
	if len(code) != 12 || code[:2] == "00" {
		return false
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return true
}

// prefix is code without its trailing zero groups.
func prefix(code string) string {
	ends := [...]int{2, 4, 6, 9, 12}
	for i := len(ends) - 1; i > 0; i-- {
		if strings.Trim(code[ends[i-1]:ends[i]], "0") != "" {
			return code[:ends[i]]
		}
	}
	return code[:2]
}

// Within says whether code is ancestor or lies below it. It is false when
// either is not [Valid].
func Within(code, ancestor string) bool {
	return Valid(code) && Valid(ancestor) && strings.HasPrefix(code, prefix(ancestor))
}

// County returns the 12-digit code of the county that code is or lies in; ""
// above county, where a city has no counties, and for what is not [Valid].
func County(code string) string {
	if !Valid(code) || code[4:6] == "00" {
		return ""
	}
	return code[:6] + "000000"
}

// LevelOf returns the level that the form of code says; "" for what is not [Valid].
func LevelOf(code string) Level {
	if !Valid(code) {
		return ""
	}
	switch len(prefix(code)) {
	case 2:
		return Province
	case 4:
		return City
	case 6:
		return CountyLevel
	case 9:
		return Town
	}
	return Village
}

// Range returns the bounds [from, to) that codes of the division and below lie
// in, as strings: what an index over division codes is asked for.
// Errors: [ErrDivision].
func Range(code string) (from, to string, err error) {
	if !Valid(code) {
		return "", "", ErrDivision
	}
	p := []byte(prefix(code))
	from = string(p) + strings.Repeat("0", 12-len(p))
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] < '9' {
			p[i]++
			return from, string(p) + strings.Repeat("0", 12-len(p)), nil
		}
		p[i] = '0'
	}
	return from, ":", nil // the character after '9'
}
