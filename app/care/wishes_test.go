package care

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

func giverOf(o *providers.Organisation) accounts.Principal {
	return accounts.Principal{Account: "giver of " + o.ID, Role: accounts.Provider, Organisation: o.ID}
}

// wishes is a city with one resident's wish.
func wishes(t *testing.T, record store.Record) (*city, *residents.Resident, *residents.Need) {
	t.Helper()
	c := newCity(t, record, nil)
	r, n := c.resident(village, providers.WishCategory, 1, 2)
	return c, r, n
}

var (
	radio   = NewWish{TextZH: "想要一台收音机听戏", TextEN: "A radio to listen to opera", Agreed: true}
	brought = Taking{Handover: providers.Handover{How: providers.Delivery}}
)

func (c *city) shown(n *residents.Need) *WishView {
	c.t.Helper()
	w, err := c.care.ShowWish(c.t.Context(), c.worker, n.ID, radio)
	if err != nil {
		c.t.Fatal(err)
	}
	return w
}

func (c *city) wishState(w *WishView) WishState {
	c.t.Helper()
	v, err := c.care.Wish(c.t.Context(), c.worker, "", w.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	return v.State
}

// Of many givers who take one wish up at the same moment one has it; the
// resident is promised one thing, and nobody else with a wish gets it.
func TestAWishIsTakenOnce(t *testing.T) {
	t.Parallel()
	c, r, n := wishes(t, nil)
	ctx := t.Context()
	_, another := c.resident(village, providers.WishCategory, 1, 4)
	w := c.shown(n)
	if _, err := c.care.ShowWish(ctx, c.worker, another.ID, NewWish{TextZH: "想要一副老花镜", Agreed: true}); err != nil {
		t.Fatal(err)
	}
	const givers = 8
	orgs := make([]*providers.Organisation, givers)
	for i := range orgs {
		orgs[i] = c.organisation()
	}
	var wg sync.WaitGroup
	errs := make([]error, givers)
	for i, o := range orgs {
		wg.Go(func() { _, errs[i] = c.care.TakeWish(ctx, giverOf(o), o.ID, w.ID, brought) })
	}
	wg.Wait()
	taker := -1
	for i, err := range errs {
		switch {
		case err == nil && taker < 0:
			taker = i
		case err == nil:
			t.Error("two have taken it up")
		case !errors.Is(err, ErrWishTaken):
			t.Errorf("giver %d: %v", i, err)
		}
	}
	if taker < 0 {
		t.Fatal("nobody has it")
	}
	p := giverOf(orgs[taker])
	if again, err := c.care.TakeWish(ctx, p, p.Organisation, w.ID, brought); err != nil || again.State != WishTaken {
		t.Errorf("taking again what one has: %+v, %v", again, err)
	}
	for i, o := range orgs {
		page, _, err := c.providers.Offers(ctx, o.ID, "", 10)
		if err != nil || len(page) != 0 != (i == taker) {
			t.Errorf("giver %d has %d offers, %v", i, len(page), err)
		}
	}
	mine, err := c.care.Offered(ctx, r.ID)
	if err != nil || len(mine) != 1 || mine[0].TitleZH != radio.TextZH || mine[0].QtyUnits != 1 {
		t.Fatalf("promised: %+v, %v", mine, err)
	}
	if left := time.Duration(mine[0].ExpiresMs-c.clock.now().UnixMilli()) * time.Millisecond; left < 29*24*time.Hour {
		t.Errorf("the promise ends in %v, before the giver can fulfil it", left)
	}
	result := c.scan(c.residentOf(another))
	if len(result.Offered) != 0 {
		t.Errorf("another's wish was promised to somebody else: %+v", result.Offered)
	}
	for _, x := range result.Needs {
		for _, miss := range x.NotServed {
			t.Errorf("another's wish is named: %+v", miss)
		}
	}

	own, _, err := c.care.TakenWishes(ctx, p, p.Organisation, "", 10)
	if err != nil || len(own) != 1 || own[0].State != WishTaken {
		t.Errorf("the giver sees %+v, %v", own, err)
	}
	text, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{r.ID, n.ID, r.Household, village, "测试"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("a giver sees %q: %s", secret, text)
		}
	}
	if _, err := c.care.HandOver(ctx, c.worker, mine[0].ID, Evidence{Scan: c.scan(r).Scan}); err != nil {
		t.Fatal(err)
	}
	if got := c.wishState(w); got != WishGiven {
		t.Errorf("after the handover: %s", got)
	}
	c.clean(false)
}

// residentOf is whose need it is.
func (c *city) residentOf(n *residents.Need) *residents.Resident {
	c.t.Helper()
	r, err := c.residents.Get(c.t.Context(), n.Resident)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// A giver's request that breaks off after the wish was taken is finished: the
// offer comes, once, and the resident has the promise.
func TestATakenWishSurvivesACrash(t *testing.T) {
	t.Parallel()
	c, r, n := wishes(t, nil)
	ctx := t.Context()
	w, org := c.shown(n), c.organisation()
	if _, err := c.care.wishes.Change(ctx, w.ID, func(x *Wish) error { // all that was written
		x.take("giver", org.ID, Taking{Handover: brought.Handover, UntilMs: c.clock.now().Add(defaultTake).UnixMilli()}, c.clock.now())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := c.wishState(w); got != WishTaken {
		t.Errorf("before the offer is there: %s", got)
	}
	for range 2 {
		if err := c.care.finishWishes(ctx); err != nil {
			t.Fatal(err)
		}
	}
	page, _, err := c.providers.Offers(ctx, org.ID, "", 10)
	if err != nil || len(page) != 1 {
		t.Errorf("%d offers, %v", len(page), err)
	}
	if mine, err := c.care.Offered(ctx, r.ID); err != nil || len(mine) != 1 {
		t.Errorf("promised: %+v, %v", mine, err)
	}
	c.clean(false)
}

// What the giver takes back, or lets pass, lapses, and may be shown and taken
// up again; a suspended giver leaves it to others.
func TestAWishLapses(t *testing.T) {
	t.Parallel()
	c, r, n := wishes(t, nil)
	ctx := t.Context()
	w, first, second := c.shown(n), c.organisation(), c.organisation()
	taken, err := c.care.TakeWish(ctx, giverOf(first), first.ID, w.ID, brought)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.HideWish(ctx, c.worker, n.ID); !errors.Is(err, ErrWishTaken) {
		t.Errorf("hidden while somebody has it: %v", err)
	}
	offered, err := c.care.Offered(ctx, r.ID)
	if err != nil || len(offered) != 1 {
		t.Fatalf("promised: %+v, %v", offered, err)
	}
	if _, err := c.care.Decline(ctx, c.worker, offered[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.WithdrawOffer(ctx, giverOf(first), taken.Offer); err != nil {
		t.Fatal(err)
	}
	if got := c.wishState(w); got != WishLapsed {
		t.Fatalf("declined and taken back: %s", got)
	}
	if _, err := c.care.ShowWish(ctx, c.worker, n.ID, radio); !errors.Is(err, ErrEnded) {
		t.Errorf("shown though the need has ended: %v", err)
	}

	_, again := c.resident(village, providers.WishCategory, 1, 2)
	w = c.shown(again)
	if _, err := c.providers.Decide(ctx, "admin", second.ID, providers.Suspended, "停业"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.TakeWish(ctx, giverOf(second), second.ID, w.ID, brought); !errors.Is(err, providers.ErrNotApproved) {
		t.Errorf("a suspended giver: %v", err)
	}
	if _, err := c.care.HideWish(ctx, c.worker, again.ID); err != nil || c.wishState(w) != WishHidden {
		t.Errorf("hidden: %s, %v", c.wishState(w), err)
	}
	if _, err := c.care.TakeWish(ctx, giverOf(first), first.ID, w.ID, brought); !errors.Is(err, ErrWishTaken) {
		t.Errorf("a hidden wish is taken: %v", err)
	}
	c.shown(again)
	if _, err := c.care.TakeWish(ctx, giverOf(first), first.ID, w.ID, brought); err != nil {
		t.Error(err)
	}
	c.clean(false)
}

func TestWordsOfAWish(t *testing.T) {
	t.Parallel()
	for field, n := range map[string]NewWish{
		"text_zh": {TextZH: "请打 13800001111", Agreed: true},
		"text_en": {TextZH: "想要一台收音机", TextEN: "call １２３４５", Agreed: true},
		"agreed":  {TextZH: "想要一台收音机"},
	} {
		var fault *residents.FieldError
		if err := checkWish(&n, "沈阿福"); !errors.As(err, &fault) || fault.Field != field {
			t.Errorf("%+v: got %v, want a fault of %s", n, err, field)
		}
	}
	named := NewWish{TextZH: "沈阿福想要一台收音机", Agreed: true}
	if checkWish(&named, "沈阿福") == nil {
		t.Error("a wish may name the person")
	}
	year := NewWish{TextZH: "想要 2026 年的挂历", Agreed: true}
	if err := checkWish(&year, "沈阿福"); err != nil {
		t.Error(err)
	}
}
