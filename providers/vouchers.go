package providers

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
)

// VoucherCode is a single-use code as it is compared: V, ten characters that
// nobody can guess and one that catches slips, in capitals without gaps. The
// alphabet is Crockford's Base32: no I, L, O or U.
//
// Range:  12 characters; 50 bits are drawn.
// Source: www.crockford.com/base32.html; the check is Luhn's, modulo 32.
type VoucherCode string

const (
	crockford    = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	voucherSigns = 10
	voucherPath  = "/v#"
)

// NewVoucherCode makes a code of a keyed fingerprint, at least 13 hex digits.
func NewVoucherCode(fingerprint string) (VoucherCode, bool) {
	raw, err := hex.DecodeString(fingerprint)
	if err != nil || len(raw) < 7 {
		return "", false
	}
	var bits uint64
	for _, b := range raw[:7] {
		bits = bits<<8 | uint64(b)
	}
	body := make([]byte, voucherSigns)
	for i := range body {
		body[i] = crockford[bits&31]
		bits >>= 5
	}
	return VoucherCode("V" + string(body) + string(crockford[voucherCheck(string(body))])), true
}

// ParseVoucherCode reads what was typed or scanned: with or without gaps, in
// small letters, with O for 0 and I or L for 1, or the address of a picture.
func ParseVoucherCode(s string) (VoucherCode, bool) {
	if len(s) > 300 {
		return "", false
	}
	if _, after, ok := strings.Cut(s, voucherPath); ok {
		s = after
	}
	s = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '\t', '\u3000', '－':
			return -1
		case 'o', 'O':
			return '0'
		case 'i', 'I', 'l', 'L':
			return '1'
		}
		return r
	}, strings.ToUpper(strings.TrimSpace(s)))
	if len(s) != voucherSigns+2 || s[0] != 'V' {
		return "", false
	}
	for i := 1; i < len(s); i++ {
		if strings.IndexByte(crockford, s[i]) < 0 {
			return "", false
		}
	}
	if s[voucherSigns+1] != crockford[voucherCheck(s[1:voucherSigns+1])] {
		return "", false
	}
	return VoucherCode(s), true
}

// voucherCheck is the check character's value: every single slip changes it.
func voucherCheck(body string) int {
	sum := 0
	for i := range len(body) {
		v := strings.IndexByte(crockford, body[i])
		if i%2 == 0 {
			v = 2*v%32 + 2*v/32
		}
		sum += v
	}
	return (32 - sum%32) % 32
}

// Spaced is the code as people read it: "V7KQ-2MX0-9PTC".
func (v VoucherCode) Spaced() string {
	if len(v) != voucherSigns+2 {
		return string(v)
	}
	return string(v[:4] + "-" + v[4:8] + "-" + v[8:])
}

// URL is what a picture of the code holds; the code stands in the fragment,
// which no server sees.
func (v VoucherCode) URL(address string) string {
	return strings.TrimRight(address, "/") + voucherPath + string(v)
}

// Redeems says whether an organisation redeems the vouchers of an offer of
// another's: the offer names it.
func (h Handover) Redeems(organisation string) bool {
	return h.How == Voucher && organisation != "" && slices.Contains(h.Partners, organisation)
}

// maxPartners is how many other organisations may redeem the vouchers of one offer.
const maxPartners = 50

// checkPartners puts the partners into order. That they exist is for
// [Service.Post] to ask.
func checkPartners(h *Handover) error {
	slices.Sort(h.Partners)
	h.Partners = slices.Compact(h.Partners)
	switch {
	case len(h.Partners) > 0 && h.How != Voucher:
		return ErrOffer{"handover.partners", "只有代金券可由其他机构兑付。", "Only vouchers are redeemed by other organisations.", nil}
	case len(h.Partners) > maxPartners:
		return ErrOffer{"handover.partners", "最多 50 家兑付机构。", "At most 50 organisations redeem it.", nil}
	}
	return nil
}

// partnersExist refuses partners that are no approved organisations.
func (s *Service) partnersExist(ctx context.Context, h Handover) error {
	if len(h.Partners) == 0 {
		return nil
	}
	orgs, err := s.orgs.GetAll(ctx, h.Partners)
	if err != nil {
		return err
	}
	approved := 0
	for _, o := range orgs {
		if o.Status == Approved {
			approved++
		}
	}
	if approved != len(h.Partners) {
		return ErrOffer{"handover.partners", "兑付机构须是已获批的机构。", "Those who redeem it are approved organisations.", nil}
	}
	return nil
}
