package care

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// What comes back goes to others, and its claim is free again; what was recorded
// stays to be read. After a mistake the need is open again.
func TestTakingBack(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, o, id := c.owed(3)
	canteen := counterOf(o)
	look := c.look(canteen, r)
	give := CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 2}
	if _, err := c.care.GiveAtCounter(ctx, canteen, give); err != nil {
		t.Fatal(err)
	}
	back := TakingBack{Units: 1, GivenUnits: 2, Why: BackMistake}
	for range 2 {
		if a, err := c.care.TakeBack(ctx, c.worker, id, back); err != nil || a.GivenUnits != 1 || a.State != Promised {
			t.Fatalf("%+v (%v)", a, err)
		}
	}
	if a, err := c.care.allocations.Get(ctx, id); err != nil || !strings.Contains(reasonBack(a.Backs[0]).ZH, "仍为本人保留") {
		t.Errorf("the promise stands, it says %+v (%v)", reasonBack(a.Backs[0]), err)
	}
	// The same click at the counter, after it was taken back, is another giving.
	give.Units, give.GivenUnits = 2, 1
	if item, err := c.care.GiveAtCounter(ctx, canteen, give); err != nil || item.GivenUnits != 3 {
		t.Fatalf("%+v (%v)", item, err)
	}
	c.clean(false)
	for what, wrong := range map[error]TakingBack{
		ErrUnits: {Units: 4, GivenUnits: 3, Why: BackUnused}, ErrGivenMeanwhile: {Units: 1, GivenUnits: 2, Why: BackUnused},
	} {
		if _, err := c.care.TakeBack(ctx, c.worker, id, wrong); !errors.Is(err, what) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	a, err := c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 1, GivenUnits: 3, Why: BackMistake})
	if err != nil || a.State != HandedOver || a.QtyUnits != 2 || a.ReturnedUnits != 1 {
		t.Fatalf("one of three: %+v (%v)", a, err)
	}
	if n, err := c.residents.NeedByID(ctx, a.Need); err != nil || n.State != residents.NeedOpen {
		t.Errorf("the need is %+v (%v)", n, err)
	}
	if s := c.stockOf(o); s.HandedOverUnits != 2 || s.FreeUnits != 8 {
		t.Errorf("stock %+v", s)
	}
	// Three a day: the one that came back may be had again, at the next scan.
	if got := c.scan(r); len(got.Offered) != 1 || got.Offered[0].QtyUnits != 1 {
		t.Fatalf("offered %+v", got.Offered)
	}
	a, err = c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 2, GivenUnits: 2, Why: BackSpoiled})
	if err != nil || a.State != Returned || a.QtyUnits != 3 || len(a.Backs) != 3 || len(a.Parts) != 2 {
		t.Fatalf("all: %+v (%v)", a, err)
	}
	if s := c.stockOf(o); s.HandedOverUnits != 0 || s.FreeUnits != 7 || s.ExpiredUnits != 2 {
		t.Errorf("stock %+v", s)
	}
	if _, err := c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 1, GivenUnits: 0, Why: BackUnused}); !errors.Is(err, ErrEnded) {
		t.Errorf("nothing is left: %v", err)
	}
	c.clean(false)
	if err := c.care.Rebuild(ctx, county, nil); err != nil {
		t.Fatal(err)
	}
	c.clean(false)
}

// Whatever write a process dies at while something comes back, it came back whole or
// not at all, also where the matcher is rebuilt in between.
func TestTakingBackSurvivesDeathAtEveryWrite(t *testing.T) {
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
		if _, err := c.care.HandOver(ctx, c.worker, id, Evidence{}); err != nil {
			t.Fatal(err)
		}
		m.die(writes, true)
		_, failed := c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 2, GivenUnits: 3, Why: BackMistake})
		died := m.gone()
		c.stop()
		m.die(-1, false)
		c.start()
		if writes%2 == 0 {
			if err := c.care.Rebuild(ctx, county, nil); err != nil {
				t.Fatal(err)
			}
		}
		c.clock.advance(5 * time.Second)
		c.clean(true)
		var a *Allocation
		c.until("what came back is settled", func() bool {
			var err error
			if a, err = c.care.allocations.Get(ctx, id); err != nil {
				t.Fatal(err)
			}
			return !a.Unsettled
		})
		s := c.stockOf(o)
		if came := a.ReturnedUnits == 2; !came && (failed == nil || s.HandedOverUnits != 3 || s.FreeUnits != 7) ||
			came && (a.QtyUnits != 1 || s.HandedOverUnits != 1 || s.FreeUnits != 9) {
			t.Fatalf("write %d: %+v, %d came back (%v)", writes, s, a.ReturnedUnits, failed)
		} else if came {
			var again int64
			for _, x := range c.scan(r).Offered {
				again += x.QtyUnits
			}
			if again != 2 { // of three a day
				t.Fatalf("write %d: %d more, want the two that came back", writes, again)
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

// Units that come back to a lot whose time is over are lost with it.
func TestTakingBackToAClosedLot(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	_, o, id := c.owed(2)
	if _, err := c.care.HandOver(ctx, c.worker, id, Evidence{}); err != nil {
		t.Fatal(err)
	}
	c.clock.advance(13 * time.Hour)
	c.until("the lot is closed", func() bool { return c.stockOf(o).Closed })
	if _, err := c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 2, GivenUnits: 2, Why: BackUnused}); err != nil {
		t.Fatal(err)
	}
	if s := c.stockOf(o); s.HandedOverUnits != 0 || s.ExpiredUnits != 10 || s.FreeUnits != 0 {
		t.Errorf("stock %+v", s)
	}
	c.clean(false)
}

// Who does not come loses the promise with its reason, and the units are free at once.
func TestNoShow(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	_, o, id := c.owed(2)
	for range 2 {
		a, err := c.care.NoShow(ctx, c.worker, id)
		if err != nil || a.State != Expired || a.EndReason.Code != CodeNoShow {
			t.Fatalf("%+v (%v)", a, err)
		}
	}
	if s := c.stockOf(o); s.FreeUnits != 10 || s.PromisedUnits != 0 {
		t.Errorf("stock %+v", s)
	}
	c.clean(false)
}

// A counter may not give up on somebody early: not on who was promised it a moment
// ago, and not on who was never called on.
func TestNoShowAtCounterComesLate(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	post := func(how providers.How) *providers.Offer {
		org, now := c.organisation(), c.clock.now()
		o, err := c.care.PostOffer(ctx, accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: org.ID}, org.ID, providers.NewOffer{
			TitleZH: "盒饭", TitleEN: "Meal", Category: "meal", Divisions: []string{county}, Pace: matching.PaceNow,
			Handover: providers.Handover{How: how, Place: "食堂"},
			Lots:     []providers.NewLot{{QtyUnits: 2, FromMs: now.UnixMilli(), UntilMs: now.Add(40 * time.Hour).UnixMilli()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	item := func(o *providers.Offer) string {
		r, _ := c.resident(village, "meal", 1, 3)
		if got := c.scan(r); len(got.Offered) != 1 || got.Offered[0].Offer != o.ID {
			t.Fatalf("offered %+v", got.Offered)
		}
		if _, err := c.care.Accept(ctx, c.worker, c.scan(r).Offered[0].ID); err != nil {
			t.Fatal(err)
		}
		return c.look(counterOf(o), r).Items[0].Item
	}
	fetched := post(providers.Pickup)
	early := item(fetched)
	c.clock.advance(31 * time.Hour)
	late := item(fetched)
	if err := c.care.NoShowAtCounter(ctx, counterOf(fetched), late); !errors.Is(err, ErrTooEarly) {
		t.Errorf("promised a moment ago: %v", err)
	}
	if err := c.care.NoShowAtCounter(ctx, counterOf(fetched), early); err != nil {
		t.Errorf("in the last quarter: %v", err)
	}
	c.clock.advance(7 * time.Hour)
	if err := c.care.NoShowAtCounter(ctx, counterOf(fetched), late); err != nil {
		t.Errorf("in the last quarter of the time that was left: %v", err)
	}
	if _, err := c.care.WithdrawOffer(ctx, accounts.Principal{Role: accounts.Admin}, fetched.ID); err != nil {
		t.Fatal(err)
	}
	brought := post(providers.Delivery)
	stop := item(brought)
	if err := c.care.NoShowAtCounter(ctx, counterOf(brought), stop); !errors.Is(err, ErrTooEarly) {
		t.Errorf("nobody came with it: %v", err)
	}
	if _, err := c.care.Tried(ctx, counterOf(brought), stop); err != nil {
		t.Fatal(err)
	}
	if err := c.care.NoShowAtCounter(ctx, counterOf(brought), stop); err != nil {
		t.Errorf("nobody was at home: %v", err)
	}
	c.clean(false)
}

// What was taken back to nothing and then given whole by somebody else is told as it
// was: one given, one back, three given. Verify adds it up.
func TestGivenAfterAllCameBack(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, o, id := c.owed(3)
	canteen := counterOf(o)
	look := c.look(canteen, r)
	if _, err := c.care.GiveAtCounter(ctx, canteen, CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 1, GivenUnits: 1, Why: BackMistake}); err != nil {
		t.Fatal(err)
	}
	a, err := c.care.HandOver(ctx, c.worker, id, Evidence{})
	if err != nil || len(a.Parts) != 2 || a.Parts[1].QtyUnits != 3 || len(a.Backs) != 1 {
		t.Fatalf("%+v (%v)", a, err)
	}
	if _, err := c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 2, GivenUnits: 3, Why: BackUnused}); err != nil {
		t.Fatal(err)
	}
	c.clean(false)
	c.alter(id, func(a *Allocation) { a.Parts[1].QtyUnits = 2 })
	report, err := c.care.Verify(ctx, false, nil)
	if err != nil || len(report.Faults) != 1 || report.Faults[0].Promise != 1 {
		t.Errorf("a part that was changed: %+v (%v)", report.Faults, err)
	}
}

// A process that was slow to settle a handover, and comes back to it while a unit of it
// is coming back, books it no second time.
func TestSettlingLateBesideAReturn(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	_, o, id := c.owed(3)
	if _, err := c.care.HandOver(ctx, c.worker, id, Evidence{}); err != nil {
		t.Fatal(err)
	}
	late := *c.allocation(id)
	late.Unsettled = true // as the slow one read it
	if err := c.care.resolveMarks(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if sh := c.share(o); len(sh.Settlements()) != 0 {
		t.Fatalf("marks %v", sh.Marks)
	}
	// Others are promised the same units meanwhile; one of three is coming back.
	more, _ := c.resident(village, "meal", 3, 3)
	c.scan(more)
	before := c.share(o)
	c.alter(id, func(a *Allocation) { a.BackUnits, a.Unsettled = 1, true })
	if _, err := c.care.settleShare(ctx, &late, providers.HandedOver, providers.HandedOver); err != nil {
		t.Fatal(err)
	}
	if after := c.share(o); after.HandedOver != before.HandedOver || after.Promised != before.Promised {
		t.Errorf("booked twice: %+v, before %+v", after, before)
	}
	c.alter(id, func(a *Allocation) { a.BackUnits, a.Unsettled = 0, false })
	c.clean(false)
}
