package providers_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/providers"
)

// published are codes that their owners publish, and the worked example of the
// standard's check character (91350100M000100Y4, check character 3).
var published = []string{
	"91350100M000100Y43",
	"91110108551385082Q", // an enterprise
	"914403001922038216",
	"91330100799655058B",
	"9144030071526726XG",
	"91110000802100433B",
	"12100000400000624D", // a public institution
	"12100000400002259P",
	"12100000425006117P",
	"12100000470095016Q",
}

func TestParseCreditCodeTakesPublishedCodes(t *testing.T) {
	t.Parallel()
	for _, code := range published {
		if got, err := providers.ParseCreditCode(code); err != nil || got != code {
			t.Errorf("%s: got %s, %v", code, got, err)
		}
	}
	for _, written := range []string{" 9135 0100 M000100Y43 ", "91350100m000100y43", "91350100M000100Y43", "91350100-M000100Y4-3"} {
		if got, err := providers.ParseCreditCode(written); err != nil || got != published[0] {
			t.Errorf("%q: got %s, %v", written, got, err)
		}
	}
}

// The check character finds every single wrong character and every swap of
// neighbours.
func TestParseCreditCodeFindsEverySlip(t *testing.T) {
	t.Parallel()
	refused := func(s string) {
		t.Helper()
		_, err := providers.ParseCreditCode(s)
		var field providers.FieldError
		if !errors.Is(err, providers.ErrCreditCode) || !errors.As(err, &field) || field.Field != "credit_code" || field.ZH == "" || field.EN == "" {
			t.Errorf("%s: got %v", s, err)
		}
	}
	for _, code := range published {
		for i := range code {
			for _, c := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*" {
				if wrong := code[:i] + string(c) + code[i+1:]; wrong != code {
					refused(wrong)
				}
			}
			if i > 0 && code[i] != code[i-1] {
				refused(code[:i-1] + string(code[i]) + string(code[i-1]) + code[i+1:])
			}
		}
		refused(code[:17])
		refused(code + "0")
	}
	for _, s := range []string{"", "91350100M000100Y4Z", strings.Repeat("幸", 6), strings.Repeat("I", 18), "9135010ZM000100Y43"} {
		refused(s)
	}
}

func FuzzParseCreditCode(f *testing.F) {
	for _, code := range published {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, err := providers.ParseCreditCode(s)
		if err != nil {
			if code != "" {
				t.Fatalf("%q: %q beside %v", s, code, err)
			}
			return
		}
		if again, err := providers.ParseCreditCode(code); err != nil || again != code || len(code) != 18 {
			t.Fatalf("%q became %q, which became %q, %v", s, code, again, err)
		}
	})
}
