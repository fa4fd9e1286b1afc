package app

import (
	"strconv"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/providers"
)

// chinaTime is UTC+8, the one civil time of China.
var chinaTime = time.FixedZone("CST", 8*60*60)

// number writes a small whole number.
func number(n int) string { return strconv.Itoa(n) }

// small reads a small whole number that is known to be one.
func small(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 1 << 30 // more digits than any row has
	}
	return n
}

// whole reads a whole number from a form's field; empty is 0. What is no
// number is marked.
func whole(f *pages.Form, field string) int64 {
	s := f.Value(field)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		wrong(f, field, "form.number")
	}
	return n
}

// fen reads yuan, such as "12.50", as fen.
func fen(s string) (int64, bool) {
	s = strings.TrimPrefix(strings.ReplaceAll(s, ",", ""), "¥")
	yuan, cents, _ := strings.Cut(s, ".")
	if len(cents) > 2 || yuan == "" || len(yuan) > 12 {
		return 0, false
	}
	n, err := strconv.ParseUint(yuan+(cents + "00")[:2], 10, 63)
	return int64(n), err == nil
}

// money reads yuan from a form's field as fen; empty is 0.
func money(f *pages.Form, field string) int64 {
	s := f.Value(field)
	if s == "" {
		return 0
	}
	n, ok := fen(s)
	if !ok {
		wrong(f, field, "form.money")
	}
	return n
}

// units reads a quantity of a kind of aid: money is typed in yuan.
func units(f *pages.Form, field, category string) int64 {
	if category == providers.Cash {
		return money(f, field)
	}
	return whole(f, field)
}

// dayEnd reads a date as the last moment of that day in China, Unix ms; empty
// is 0.
func dayEnd(f *pages.Form, field string) int64 {
	s := f.Value(field)
	if s == "" {
		return 0
	}
	t, err := time.ParseInLocation("2006-01-02", s, chinaTime)
	if err != nil {
		wrong(f, field, "form.date")
		return 0
	}
	return t.AddDate(0, 0, 1).UnixMilli() - 1
}

// moment reads a local date and time in China as Unix ms.
func moment(s string) (int64, bool) {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, s, chinaTime); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}
