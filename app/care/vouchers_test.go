package care

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// voucherOffer has so many vouchers of a new offer promised to a new resident.
func (c *city) voucherOffer(qty, valueFen int64, partners ...string) (*residents.Resident, *providers.Offer, string) {
	c.t.Helper()
	ctx := context.Background()
	org := c.organisation()
	now := c.clock.now()
	o, err := c.care.PostOffer(ctx, accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: org.ID}, org.ID, providers.NewOffer{
		TitleZH: "超市券", TitleEN: "Shop voucher", Category: "voucher", Divisions: []string{county}, Pace: matching.PaceNow, ValueFen: valueFen,
		Handover: providers.Handover{How: providers.Voucher, Partners: partners},
		Lots:     []providers.NewLot{{QtyUnits: 20, FromMs: now.UnixMilli(), UntilMs: now.Add(48 * time.Hour).UnixMilli()}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	r, _ := c.resident(village, "voucher", qty, 3)
	got := c.scan(r)
	if len(got.Offered) != 1 {
		c.t.Fatalf("promised %+v", got.Offered)
	}
	return r, o, got.Offered[0].ID
}

func (c *city) vouchers(id string) []Voucher {
	c.t.Helper()
	got, err := c.care.Vouchers(context.Background(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return got
}

// Each unit has a code, which is redeemed once by whoever comes first, however many
// try at the same moment; the record never holds it.
func TestVoucherIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, o, id := c.voucherOffer(3, 0)
	if got := c.vouchers(id); len(got) != 0 {
		t.Errorf("before it was accepted: %v", got)
	}
	if _, err := c.care.Accept(ctx, c.worker, id); err != nil {
		t.Fatal(err)
	}
	codes := c.vouchers(id)
	if len(codes) != 3 || codes[0].Code == codes[1].Code || fmt.Sprint(c.vouchers(id)) != fmt.Sprint(codes) {
		t.Fatalf("codes %v, asked again %v", codes, c.vouchers(id))
	}
	if err := c.care.vouchers.Each(ctx, store.Query{}, func(v *voucher) error {
		for _, x := range codes {
			if plain := strings.ReplaceAll(x.Code, "-", ""); strings.Contains(fmt.Sprintf("%+v", v), plain) {
				t.Errorf("the record holds the code %s: %+v", plain, v)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var won atomic.Int64
	var winner atomic.Value
	var all sync.WaitGroup
	for i := range 8 {
		shop := accounts.Principal{Account: fmt.Sprint("shop ", i), Role: accounts.Provider, Organisation: o.Organisation}
		all.Go(func() {
			switch _, err := c.care.Redeem(ctx, shop, codes[1].Code, "try", ""); {
			case err == nil:
				won.Add(1)
				winner.Store(shop)
			case !errors.Is(err, ErrRedeemed):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Fatalf("redeemed %d times", won.Load())
	}
	// Whoever won and lost the answer hears it again; another try of the same shop does not.
	shop, _ := winner.Load().(accounts.Principal)
	if v, err := c.care.Redeem(ctx, shop, codes[1].Code, "try", ""); err != nil || v.RedeemedMs == 0 {
		t.Errorf("the winner asks again: %+v (%v)", v, err)
	}
	if _, err := c.care.Redeem(ctx, shop, codes[1].Code, "another", ""); !errors.Is(err, ErrRedeemed) {
		t.Errorf("another try: %v", err)
	}
	// By the card the next two go, and their codes with them.
	look := c.look(shop, r)
	if _, err := c.care.GiveAtCounter(ctx, shop, CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 2, GivenUnits: 1}); err != nil {
		t.Fatal(err)
	}
	for _, x := range codes {
		if _, err := c.care.Redeem(ctx, shop, x.Code, "late", ""); !errors.Is(err, ErrRedeemed) {
			t.Errorf("unit %d, all given: %v", x.Unit, err)
		}
	}
	if s := c.stockOf(o); s.HandedOverUnits != 3 || s.PromisedUnits != 0 {
		t.Errorf("stock %+v", s)
	}
	c.clean(false)
}

// Who may redeem: the offer's organisation and its partners; for others the code is
// as good as invented. A code dies with its promise.
func TestWhoRedeemsAVoucher(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	partner, stranger := c.organisation(), c.organisation()
	r, o, id := c.voucherOffer(2, 3000, partner.ID)
	if _, err := c.care.Accept(ctx, c.worker, id); err != nil {
		t.Fatal(err)
	}
	codes := c.vouchers(id)
	as := func(org string) accounts.Principal {
		return accounts.Principal{Account: "shop of " + org, Role: accounts.Provider, Organisation: org}
	}
	for what, code := range map[string]string{"another's": codes[0].Code, "invented": "V00000000000", "rubbish": "x"} {
		if _, err := c.care.Redeem(ctx, as(stranger.ID), code, "a", ""); !errors.Is(err, ErrUnknownVoucher) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.care.ScanAtCounter(ctx, as(partner.ID), c.code(r)); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("a partner scans the card: %v", err)
	}
	limit := int64(2000) // one is worth more
	c.care.pinAbove = &limit
	if err := c.residents.SetPIN(ctx, r.ID, ownPIN); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Redeem(ctx, as(partner.ID), codes[0].Code, "a", ""); !errors.Is(err, ErrProofNeeded) {
		t.Errorf("without the PIN: %v", err)
	}
	if _, err := c.care.Redeem(ctx, as(partner.ID), codes[0].Code, "a", "000000"); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("a wrong PIN: %v", err)
	}
	if _, err := c.care.Redeem(ctx, as(partner.ID), codes[0].Code, "a", ownPIN); err != nil {
		t.Errorf("the partner: %v", err)
	}
	if _, err := c.providers.Decide(ctx, "test", partner.ID, providers.Suspended, "查实套现"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Redeem(ctx, as(partner.ID), codes[1].Code, "a", ownPIN); !errors.Is(err, ErrUnknownVoucher) {
		t.Errorf("a partner that was stopped: %v", err)
	}
	if _, err := c.care.Decline(ctx, c.worker, id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Redeem(ctx, as(o.Organisation), codes[1].Code, "a", ownPIN); !errors.Is(err, ErrEnded) {
		t.Errorf("after the rest was declined: %v", err)
	}
	if a, err := c.care.Allocation(ctx, c.worker, id); err != nil || a.State != HandedOver || a.QtyUnits != 1 || a.RestUnits != 1 {
		t.Errorf("%+v (%v)", a, err)
	}
	c.clean(false)
}

// A sheet of codes is not worth more than one handover without a PIN, however small
// its steps and however many shops take them at once.
func TestCodesAreNotSplitUnderThePIN(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, o, id := c.voucherOffer(4, 1000)
	limit := int64(2000)
	c.care.pinAbove = &limit
	if err := c.residents.SetPIN(ctx, r.ID, ownPIN); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Accept(ctx, c.worker, id); err != nil {
		t.Fatal(err)
	}
	shop, codes := counterOf(o), c.vouchers(id)
	var given, asked atomic.Int64
	var all sync.WaitGroup
	for _, x := range codes {
		all.Go(func() {
			switch _, err := c.care.Redeem(ctx, shop, x.Code, "a", ""); {
			case err == nil:
				given.Add(1)
			case errors.Is(err, ErrProofNeeded):
				asked.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if given.Load() != 2 || asked.Load() != 2 {
		t.Fatalf("%d went by their codes alone, %d asked for the PIN", given.Load(), asked.Load())
	}
	for _, x := range c.vouchers(id) {
		if x.RedeemedMs > 0 {
			continue
		}
		if v, err := c.care.Voucher(ctx, shop, x.Code); err != nil || !v.PINRequired {
			t.Errorf("%+v (%v)", v, err)
		}
		if _, err := c.care.Redeem(ctx, shop, x.Code, "b", ownPIN); err != nil {
			t.Error(err)
		}
	}
	if s := c.stockOf(o); s.HandedOverUnits != 4 {
		t.Errorf("stock %+v", s)
	}
	c.clean(false)
}
