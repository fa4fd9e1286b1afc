package residents_test

import (
	"errors"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
)

func TestParseIDNumber(t *testing.T) {
	t.Parallel()
	// The example of GB 11643-1999, and a woman's.
	for s, want := range map[string]residents.IDNumber{
		"11010519491231002X":     {Number: "11010519491231002X", Division6: "110105", Birth: time.Date(1949, 12, 31, 0, 0, 0, 0, time.UTC)},
		"11010519491231002x":     {Number: "11010519491231002X", Division6: "110105", Birth: time.Date(1949, 12, 31, 0, 0, 0, 0, time.UTC)},
		" 110105 19491231 002x ": {Number: "11010519491231002X", Division6: "110105", Birth: time.Date(1949, 12, 31, 0, 0, 0, 0, time.UTC)},
		"１１０１０５１９４９１２３１００２Ｘ":           {Number: "11010519491231002X", Division6: "110105", Birth: time.Date(1949, 12, 31, 0, 0, 0, 0, time.UTC)},
		withCheck("33050220000229001"): {Number: withCheck("33050220000229001"), Division6: "330502", Birth: time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC), Male: true},
	} {
		if got, err := residents.ParseIDNumber(s, start); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", s, got, err)
		}
	}
	for what, s := range map[string]string{
		"empty":             "",
		"15 digits":         "110105491231002",
		"17 digits":         "11010519491231002",
		"19 digits":         "11010519491231002X1",
		"letter inside":     "1101051949123100AX",
		"wrong check":       "110105194912310021",
		"X in the middle":   "1101051949123X0021",
		"letter at the end": "11010519491231002A",
		"no such province":  withCheck("99010519491231002"),
		"30 February":       withCheck("33050220000230001"),
		"29 February 1900":  withCheck("33050219000229001"),
		"month 13":          withCheck("33050219901301001"),
		"day 0":             withCheck("33050219900100001"),
		"tomorrow in China": withCheck("33050220261125001"),
		"131 years ago":     withCheck("33050218951123001"),
		"year 0":            withCheck("33050200000101001"),
		"other digits":      "١١٠١٠٥١٩٤٩١٢٣١٠٠٢X",
		"multibyte to 18":   "居居居居居居",
	} {
		if _, err := residents.ParseIDNumber(s, start); !errors.Is(err, residents.ErrIDNumber) {
			t.Errorf("%s: got %v, want ErrIDNumber", what, err)
		}
	}
	born := withCheck("33050220261124001")
	if _, err := residents.ParseIDNumber(born, start); err != nil {
		t.Errorf("born today: %v", err)
	}
	if _, err := residents.ParseIDNumber(born, time.Date(2026, 11, 23, 15, 59, 0, 0, time.UTC)); err == nil {
		t.Error("born tomorrow, one minute before midnight in China")
	}
	if _, err := residents.ParseIDNumber(born, time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)); err != nil {
		t.Errorf("born today, at midnight in China: %v", err)
	}
}

func TestEverySlipInAnIDNumberIsNoticed(t *testing.T) {
	t.Parallel()
	for n := range 50 {
		good := idNumber(n * 997)
		for i := range good {
			for _, d := range "0123456789X" {
				if byte(d) == good[i] {
					continue
				}
				if _, err := residents.ParseIDNumber(good[:i]+string(d)+good[i+1:], start); err == nil {
					t.Errorf("%s with %c at %d is taken", good, d, i)
				}
			}
		}
	}
}

func FuzzParseIDNumber(f *testing.F) {
	f.Add("11010519491231002X")
	f.Add("１１０１０５１９４９１２３１００２Ｘ")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := residents.ParseIDNumber(s, start)
		if err != nil {
			if !errors.Is(err, residents.ErrIDNumber) {
				t.Fatal(err)
			}
			return
		}
		if again, err := residents.ParseIDNumber(got.Number, start); err != nil || again != got {
			t.Fatalf("%q gives %+v, which gives %+v, %v", s, got, again, err)
		}
		if got.Birth.Format("20060102") != got.Number[6:14] || withCheck(got.Number[:17]) != got.Number {
			t.Fatalf("%q gives %+v", s, got)
		}
	})
}
