package care

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Who leaves while the record decides is still told, so that the need becomes
// what the record has; only a record that never answers is not waited for.
func TestWhoLeavesWhileTheRecordDecides(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := newCommitter(&Service{stopped: make(chan struct{})})
			ctx, cancel := context.WithCancel(t.Context())
			outcome := make(chan error, 1)
			go func() { outcome <- c.submit(ctx, []*proposal{{hold: matching.Hold{ID: "n-0"}}}) }()
			b := <-c.queue
			cancel()
			<-time.After(decides - time.Millisecond) // by the bubble's clock
			synctest.Wait()
			if len(outcome) > 0 {
				t.Fatalf("nobody waits for the record: %v", <-outcome)
			}
			if answers {
				close(b.done)
				close(b.told)
			}
			if err := <-outcome; answers && err != nil || !answers && !errors.Is(err, context.Canceled) {
				t.Fatalf("the record answers: %v; got %v", answers, err)
			}
		})
	}
}

// beyond is a proposal of one meal more than its household's cap of three allows, as a
// matcher makes it that forgot what the household was promised.
func (c *city) beyond() (*providers.Share, *proposal) {
	c.t.Helper()
	sh := c.share(c.offer("meal", 10, 0, county))
	r, _ := c.resident(village, "meal", 3, 3)
	if got := c.scan(r); promisedUnits(got) != 3 {
		c.t.Fatalf("offered %+v", got.Offered)
	}
	again := c.person(village, r.Household)
	n := c.need(again, "meal", 1, 3)
	limit := categoryCap("meal", c.clock.now())
	forgot := limit
	forgot.Limit = 0
	out, err := c.care.engine.Match(context.Background(), matching.Request{County: county, Household: r.Household, Asks: []matching.Ask{{
		Need: n.ID, Category: "meal", QtyUnits: 1, Cap: forgot, Candidates: []matching.Candidate{{Offer: sh.Offer, Lot: sh.ID}},
	}}})
	if err != nil || len(out[0].Holds) != 1 {
		c.t.Fatalf("hold: %+v, %v", out, err)
	}
	hold := out[0].Holds[0]
	hold.Category.Limit = limit.Limit
	m := &match{s: c.care, by: "caseworker", resident: again, until: c.clock.now().Add(time.Hour)}
	a, ok := m.allocation(n, hold, standing{})
	if !ok {
		c.t.Fatal("the offer is not known")
	}
	return sh, &proposal{hold: hold, alloc: a}
}

// Two counters that propose the same at once get the same answer, also where it is
// that a cap is full: neither hears of a promise that the other takes back.
func TestTheSameProposedTwiceIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	_, p := c.beyond()
	copied := *p.alloc
	both := []*proposal{p, {hold: p.hold, alloc: &copied}}
	c.care.committer.commit(t.Context(), both)
	for i, p := range both {
		if p.stored != nil || p.refused.Code == "" || p.err != nil {
			t.Errorf("counter %d is told of %+v, %+v, %v", i, p.stored, p.refused, p.err)
		}
	}
}

// What its maker left over a cap, because it died before it looked, goes back to
// others: in the record and in the matcher, which was told of it meanwhile.
func TestWhatWasLeftOverACapGoesBack(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	sh, p := c.beyond()
	gen := c.generation()
	if fresh, _, err := c.care.committer.record(t.Context(), []*proposal{p}); err != nil || len(fresh) != 1 {
		t.Fatal(fresh, err)
	}
	if err := c.care.engine.Promise(t.Context(), county, []matching.Hold{p.hold}); err != nil {
		t.Fatal(err)
	}
	if err := c.care.resolveMarks(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if a, err := store.Of[Allocation](c.record, allocationSchema).Get(t.Context(), p.hold.ID); err != nil || a.State != Void {
		t.Fatalf("%+v, %v", a, err)
	}
	if got := c.stock(sh); got.FreeUnits != 7 || got.TakenUnits != 3 || c.generation() != gen {
		t.Fatalf("the matcher has %+v, want 7 free and 3 taken", got)
	}
	c.untilClean()
}
