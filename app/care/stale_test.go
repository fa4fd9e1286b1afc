package care

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// A process whose catalogue stands still goes on proposing an offer that was
// withdrawn elsewhere. The matcher's closed lot and the record's closed share
// each keep it from giving anything away, alone as well.
func TestAStaleCatalogueGivesNothingAway(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	provider := func(o *providers.Offer) accounts.Principal {
		return accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: o.Organisation}
	}
	for _, guard := range []string{"both", "the matcher alone", "the record alone"} {
		t.Run(guard, func(t *testing.T) {
			t.Parallel()
			c := quiet(t)
			fresh := c.care
			o := c.offer("meal", 5, 0, county)
			share := providers.ShareID(o.Lots[0].ID, county)
			c.tick(fresh)
			stale := c.again()
			r, n := c.resident(village, "meal", 1, 4)
			waiting, _ := c.resident(village, "meal", 1, 4)
			if _, err := fresh.WithdrawOffer(ctx, provider(o), o.ID); err != nil {
				t.Fatal(err)
			}
			switch guard {
			case "the matcher alone":
				if _, err := fresh.shares.Change(ctx, share, func(sh *providers.Share) error {
					sh.Closed, sh.ClosedWhy, sh.Withdrawn = false, "", 0
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			case "the record alone":
				if err := fresh.engine.Rebuild(ctx, county, func(context.Context) (matching.Snapshot, error) {
					return matching.Snapshot{Lots: []matching.LotState{{ID: share, Category: "meal", FreeUnits: 5}}}, nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if _, known := stale.catalogue.Offer(o.ID); !known {
				t.Fatal("the second catalogue is not stale")
			}
			for range 2 {
				for _, p := range []string{r.ID, waiting.ID} {
					person, err := c.residents.Get(ctx, p)
					if err != nil {
						t.Fatal(err)
					}
					if got := c.scan(person); len(got.Offered) > 0 {
						t.Fatalf("a withdrawn offer was given: %+v", got.Offered)
					}
				}
				// The waiting list is served by the same stale catalogue.
				c.clock.advance(matching.PlanEvery)
				c.tick(stale)
			}
			past, err := stale.pastOf(ctx, n.ID)
			if err != nil || len(past) > 0 {
				t.Fatalf("the record has %d allocations (%v)", len(past), err)
			}
			sh, err := stale.shares.Get(ctx, share)
			if err != nil || sh.Promised != 0 || len(sh.Marks) != 0 {
				t.Fatalf("the share has %d promised, marks %v (%v)", sh.Promised, sh.Marks, err)
			}
			// Whatever was wrong is mended, and nobody has anything.
			c.care = fresh
			if report := c.clean(true); report.Promised != 0 {
				t.Fatalf("%d promised", report.Promised)
			}
		})
	}
}

// What one process posts or withdraws, every other knows after its next tick,
// which comes every second.
func TestOffersAreFollowedWithinATick(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	first := c.care
	second := c.again()
	if second.tick != time.Second {
		t.Fatalf("a tick is %v", second.tick)
	}
	second.followed = following{at: c.clock.now(), swept: c.clock.now()}
	ctx, cancel := context.WithCancel(t.Context())
	ticks := make(chan time.Time)
	var loop sync.WaitGroup
	loop.Go(func() { second.onTick(ctx, ticks, "follow offers", second.followOffers) })
	defer loop.Wait()
	defer cancel()
	tick := func() {
		c.clock.advance(second.tick)
		ticks <- c.clock.now()
	}
	done := func() { // the loop takes the next tick when it is done with the last
		ticks <- c.clock.now()
	}
	c.care = first
	o := c.offer("meal", 5, 0, county)
	if _, known := second.catalogue.Offer(o.ID); known {
		t.Fatal("known before the tick")
	}
	tick()
	done()
	if _, known := second.catalogue.Offer(o.ID); !known {
		t.Fatal("an offer that was posted is not known a second later")
	}
	if _, err := first.WithdrawOffer(t.Context(), accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: o.Organisation}, o.ID); err != nil {
		t.Fatal(err)
	}
	tick()
	done()
	if _, known := second.catalogue.Offer(o.ID); known {
		t.Fatal("an offer that was withdrawn is known a second later")
	}
	// Where another's clock is half a minute late, it takes until the next sweep.
	const lag = 30 * time.Second
	c.clock.advance(-lag)
	late := c.offer("meal", 5, 0, county)
	c.clock.advance(lag)
	for range int(sweepEvery / second.tick) {
		tick()
	}
	done()
	if _, known := second.catalogue.Offer(late.ID); !known {
		t.Fatal("an offer of a server whose clock is late is not known after a sweep")
	}
	// What was taken in is not read again with its organisation, until it changes.
	if v, seen := second.followed.seen[late.ID]; !seen || v != 1 {
		t.Fatalf("version %d is remembered", v)
	}
	if _, err := c.providers.Decide(t.Context(), "admin", late.Organisation, providers.Suspended, "投诉"); err != nil {
		t.Fatal(err)
	}
	tick()
	done()
	if _, known := second.catalogue.Offer(late.ID); known {
		t.Fatal("an offer whose organisation was suspended is known a second later")
	}
}
