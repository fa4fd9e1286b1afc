package care

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/providers"
)

// counterOf is the account of the organisation that gives an offer.
func counterOf(o *providers.Offer) accounts.Principal {
	return accounts.Principal{Account: "canteen", Role: accounts.Provider, Organisation: o.Organisation}
}

// owed is a resident who was promised so many meals of a new offer.
func (c *city) owed(qty int64) (*residents.Resident, *providers.Offer, string) {
	c.t.Helper()
	o := c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", qty, 3)
	got := c.scan(r)
	if len(got.Offered) != 1 || got.Offered[0].QtyUnits != qty || got.Offered[0].Offer != o.ID {
		c.t.Fatalf("promised %+v", got.Offered)
	}
	return r, o, got.Offered[0].ID
}

func (c *city) look(p accounts.Principal, r *residents.Resident) *CounterLook {
	c.t.Helper()
	l, err := c.care.ScanAtCounter(context.Background(), p, c.code(r))
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

func (c *city) stockOf(o *providers.Offer) ShareStock {
	c.t.Helper()
	stock, err := c.care.Stock(context.Background(), o.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	return stock[0]
}

// A counter sees what its own organisation owes, and nothing else; two of three
// meals today leave one for the next time.
func TestCounterGivesInParts(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, o, id := c.owed(3)
	canteen := counterOf(o)
	look := c.look(canteen, r)
	text, err := json.Marshal(look)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{r.ID, r.Household, r.CardNo, id, id[:len(id)-2], "测试1", o.ID} {
		if strings.Contains(string(text), secret) {
			t.Errorf("a counter is told %q: %s", secret, text)
		}
	}
	if len(look.Items) != 1 || look.Items[0].QtyUnits != 3 || look.Items[0].GivenUnits != 0 || !look.Items[0].Paid || look.Initial != "测＊＊" {
		t.Fatalf("owed %+v", look)
	}
	give := CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 2}
	for range 2 { // the answer was lost: nothing is given twice
		item, err := c.care.GiveAtCounter(ctx, canteen, give)
		if err != nil || item.GivenUnits != 2 || item.QtyUnits != 3 {
			t.Fatalf("gave %+v (%v)", item, err)
		}
	}
	// Who looked before that looks again.
	other := canteen
	other.Account = "canteen 2"
	second := give
	second.Scan = c.look(other, r).Scan
	if _, err := c.care.GiveAtCounter(ctx, other, second); !errors.Is(err, ErrGivenMeanwhile) {
		t.Errorf("given at two counters: %v", err)
	}
	if a, err := c.care.Allocation(ctx, c.worker, id); err != nil || a.State != Promised || a.GivenUnits != 2 || a.ExpiresMs != a.UntilMs {
		t.Errorf("after two of three: %+v (%v)", a, err)
	}
	c.clean(false)

	look = c.look(canteen, r)
	rest := CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 2, GivenUnits: 2}
	if _, err := c.care.GiveAtCounter(ctx, canteen, rest); !errors.Is(err, ErrUnits) {
		t.Errorf("four of three: %v", err)
	}
	rest.Units, rest.Instead, rest.InsteadWhy = 1, "两个馒头", "sold_out"
	if item, err := c.care.GiveAtCounter(ctx, canteen, rest); err != nil || item.GivenUnits != 3 {
		t.Fatalf("gave the rest: %+v (%v)", item, err)
	}
	a, err := c.care.Allocation(ctx, c.worker, id)
	if err != nil || a.State != HandedOver || a.QtyUnits != 3 || len(a.Parts) != 2 || a.Parts[1].Instead != "两个馒头" {
		t.Errorf("the list says %+v (%v)", a, err)
	}
	if s := c.stockOf(o); s.HandedOverUnits != 3 || s.PromisedUnits != 0 || s.FreeUnits != 7 {
		t.Errorf("stock %+v", s)
	}
	c.clean(false)
	// All is given: the code opens nothing here any more.
	if _, err := c.care.ScanAtCounter(ctx, canteen, c.code(r)); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("with nothing owed: %v", err)
	}
}

// What a counter may not: others' promises, a look of somebody else's or of half an
// hour ago, a card that was replaced since.
func TestCounterRefuses(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, o, _ := c.owed(1)
	stranger, mine := counterOf(c.offer("clothing", 5, 0, county)), counterOf(o)
	if _, err := c.care.ScanAtCounter(ctx, stranger, c.code(r)); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("another organisation: %v", err)
	}
	for _, p := range []accounts.Principal{c.worker, {Account: "x", Role: accounts.Provider}} {
		if _, err := c.care.ScanAtCounter(ctx, p, c.code(r)); !errors.Is(err, ErrNotYours) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	look := c.look(mine, r)
	give := CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 1}
	if _, err := c.care.GiveAtCounter(ctx, stranger, give); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another organisation's item: %v", err)
	}
	colleague := mine
	colleague.Account = "canteen 2"
	if _, err := c.care.GiveAtCounter(ctx, colleague, give); !errors.Is(err, ErrProof) {
		t.Errorf("a colleague's look: %v", err)
	}
	later := give
	later.Scan = ""
	if _, err := c.care.GiveAtCounter(ctx, mine, later); !errors.Is(err, ErrProof) {
		t.Errorf("without a look: %v", err)
	}
	c.clock.advance(counterProves + time.Second)
	if _, err := c.care.GiveAtCounter(ctx, mine, give); !errors.Is(err, ErrProof) {
		t.Errorf("a look of half an hour ago: %v", err)
	}
	give.Scan = c.lookElsewhere(mine)
	if _, err := c.care.GiveAtCounter(ctx, mine, give); !errors.Is(err, ErrProof) {
		t.Errorf("somebody else's look: %v", err)
	}
	c.clean(false)
}

// lookElsewhere is a look of the account's at somebody else.
func (c *city) lookElsewhere(p accounts.Principal) string {
	c.t.Helper()
	text, err := json.Marshal(look{ID: "x", Resident: "somebody else", How: byScan, AtMs: c.clock.now().UnixMilli()})
	if err != nil {
		c.t.Fatal(err)
	}
	sealed, err := c.vault.Seal(lookField, p.Account, string(text))
	if err != nil {
		c.t.Fatal(err)
	}
	return sealed
}

// Two accounts of a canteen that give the last meal at the same moment: one did.
func TestCountersRaceForTheLastUnit(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	r, o, _ := c.owed(1)
	var given atomic.Int64
	var all sync.WaitGroup
	looks := map[string]*CounterLook{}
	who := func(name string) accounts.Principal {
		p := counterOf(o)
		p.Account = name
		return p
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		looks[name] = c.look(who(name), r)
	}
	for name, l := range looks {
		all.Go(func() {
			_, err := c.care.GiveAtCounter(context.Background(), who(name), CounterGiving{Scan: l.Scan, Item: l.Items[0].Item, Units: 1})
			switch {
			case err == nil:
				given.Add(1)
			case !errors.Is(err, ErrEnded) && !errors.Is(err, ErrGivenMeanwhile):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := given.Load(); n != 1 {
		t.Errorf("%d gave the one meal", n)
	}
	c.clean(false)
}

// Whatever write a process dies at while it gives two of three and lets the rest go, the
// next one finds two given or none, and the caps leave what was not given.
func TestPartsSurviveDeathAtEveryWrite(t *testing.T) {
	t.Parallel()
	inner, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	m := &mortal{Record: inner, writes: -1}
	c := newCity(t, m, nil)
	ctx := context.Background()
	for writes := 0; ; writes++ {
		r, o, id := c.owed(3)
		canteen := counterOf(o)
		l := c.look(canteen, r)
		m.die(writes, true)
		_, gave := c.care.GiveAtCounter(ctx, canteen, CounterGiving{Scan: l.Scan, Item: l.Items[0].Item, Units: 2})
		_, ended := c.care.end(ctx, id, ending{by: "test", to: Withdrawn})
		died := m.gone()
		c.stop()
		m.die(-1, false)
		c.start()
		c.clock.advance(5 * time.Second)
		c.clean(true)
		a, err := c.care.allocations.Get(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if gave == nil && a.givenNow() != 2 || ended == nil && a.State == Promised {
			t.Fatalf("write %d: %q with %d given; it was answered that %v, %v", writes, a.State, a.givenNow(), gave, ended)
		}
		if a.State == HandedOver {
			if s := c.stockOf(o); s.HandedOverUnits != 2 || s.FreeUnits != 8 || s.PromisedUnits != 0 {
				t.Fatalf("write %d: %+v", writes, s)
			}
			// Three a day: one is left to ask for.
			c.need(r, "meal", 3, 3)
			var again int64
			for _, x := range c.scan(r).Offered {
				again += x.QtyUnits
			}
			if again != 1 {
				t.Fatalf("write %d: %d more, want the one that was not given", writes, again)
			}
		}
		if _, err := c.care.WithdrawOffer(ctx, accounts.Principal{Role: accounts.Admin}, o.ID); err != nil {
			t.Fatal(err)
		}
		if !died {
			if writes < 5 {
				t.Fatalf("it took %d writes", writes)
			}
			break
		}
	}
	c.clean(false)
}

// Who tries PINs at a counter is seen by the person whose they are; a look at a card
// that was replaced shows nothing more, and what is long past a counter does not undo.
func TestCounterIsWatched(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, o, id := c.owed(2)
	mine := counterOf(o)
	limit := int64(0)
	c.care.pinAbove = &limit
	if err := c.residents.SetPIN(ctx, r.ID, ownPIN); err != nil {
		t.Fatal(err)
	}
	look := c.look(mine, r)
	give := CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 1, PIN: "000000"}
	if _, err := c.care.GiveAtCounter(ctx, mine, give); !errors.Is(err, residents.ErrPIN) {
		t.Fatal(err)
	}
	entries, _, err := c.audit.Of(ctx, r.ID, "", 1)
	if err != nil || len(entries) != 1 || entries[0].Act != "counter_handover" || entries[0].Outcome != "denied" || entries[0].Actor != mine.Account {
		t.Errorf("in the audit log: %+v (%v)", entries, err)
	}
	give.PIN = ownPIN
	if _, err := c.care.GiveAtCounter(ctx, mine, give); err != nil {
		t.Fatal(err)
	}
	if again, err := c.care.LookAgain(ctx, mine, look.Scan); err != nil || len(again.Items) != 1 || again.Items[0].GivenUnits != 1 {
		t.Errorf("the same look: %+v (%v)", again, err)
	}
	c.clock.advance(time.Second)
	if _, err := c.residents.Reissue(ctx, "test", r.ID, residents.WhyLost); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.LookAgain(ctx, mine, look.Scan); !errors.Is(err, ErrProof) {
		t.Errorf("after the card was replaced: %v", err)
	}
	c.clock.advance(37 * time.Hour)
	c.until("the rest expired", func() bool { return c.allocation(id).State == HandedOver && !c.allocation(id).Unsettled })
	back := TakingBack{Units: 1, GivenUnits: 1, Why: BackUnused}
	if _, err := c.care.ReturnAtCounter(ctx, mine, give.Item, back); !errors.Is(err, ErrEnded) {
		t.Errorf("more than a day after its lot: %v", err)
	}
	if _, err := c.care.TakeBack(ctx, c.worker, id, back); err != nil {
		t.Errorf("the village: %v", err)
	}
	c.clean(false)
}
