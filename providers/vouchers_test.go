package providers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/providers"
)

func voucherCode(t *testing.T, n int) providers.VoucherCode {
	t.Helper()
	code, ok := providers.NewVoucherCode(fmt.Sprintf("%016x", uint64(n)*0x9e3779b97f4a7c15))
	if !ok {
		t.Fatal("no code")
	}
	return code
}

// A code reads the same however people write it, and every single slip, and
// nearly every exchange of neighbours, is noticed.
func TestVoucherCodeIsReadAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		code := voucherCode(t, n+1)
		for _, written := range []string{
			string(code), code.Spaced(), strings.ToLower(code.Spaced()), strings.ReplaceAll(code.Spaced(), "-", " "),
			strings.NewReplacer("0", "o", "1", "l").Replace(string(code)), code.URL("https://h.example"), " " + code.Spaced() + "\n",
		} {
			if got, ok := providers.ParseVoucherCode(written); !ok || got != code {
				t.Fatalf("%q is read as %q (%v), want %q", written, got, ok, code)
			}
		}
		for i := 1; i < len(code); i++ {
			for _, other := range "0123456789ABCDEFGHJKMNPQRSTVWXYZ" {
				if slip := string(code[:i]) + string(other) + string(code[i+1:]); slip != string(code) {
					if got, ok := providers.ParseVoucherCode(slip); ok {
						t.Fatalf("%q passes for %q as %q", slip, code, got)
					}
				}
			}
		}
	}
	for _, no := range []string{"", "V", "123456789012", "V00000000001", strings.Repeat("V", 400), "VUUUUUUUUUU0", "V幸福码幸福码幸"} {
		if got, ok := providers.ParseVoucherCode(no); ok {
			t.Errorf("%q is read as %q", no, got)
		}
	}
}

// Only vouchers have partners, and only approved organisations are.
func TestPartnersOfVouchers(t *testing.T) {
	t.Parallel()
	h := providers.Handover{How: providers.Voucher, Partners: []string{"a"}}
	if !h.Redeems("a") || h.Redeems("b") || h.Redeems("") {
		t.Errorf("%+v", h)
	}
	if h.How = providers.Pickup; h.Redeems("a") {
		t.Error("a partner redeems what is no voucher")
	}
}
