package care

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// A process is stopped for two minutes (SIGSTOP, a machine that swaps) while
// another takes an offer in.
func TestProcessThatStoodStillLearnsOffers(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	g := &gate{Record: c.record}
	still := c.twin(g, c.clock)
	stands, goOn := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	g.afterFind(func(collection string, q store.Query) {
		if collection == "offers" {
			if once.CompareAndSwap(false, true) {
				close(stands)
			}
			<-goOn
		}
	})
	<-stands
	o := c.offer("meal", 10, 0, county)
	c.clock.advance(2 * time.Minute)
	close(goOn)
	c.until("it knows the offer", func() bool {
		_, known := still.care.offer(o.ID)
		return known
	})
	r, _ := c.resident(village, "meal", 1, 3)
	got, err := still.care.Scan(context.Background(), c.worker, c.code(r))
	if err != nil || len(got.Offered) != 1 {
		t.Errorf("its scan: %+v, %v", got, err)
	}
	c.clean(false)
}

// A process dies before it notes that a handover is settled, and nobody runs
// for half an hour: the matcher has forgotten that end.
func TestHandoverSettledHalfAnHourLateCountsOnce(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	sh := c.share(c.offer("meal", 10, 0, county))
	r, _ := c.resident(village, "meal", 2, 3)
	given := c.scan(r).Offered[0].ID
	if _, err := c.care.HandOver(ctx, c.worker, given, Evidence{}); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if _, err := c.care.allocations.Change(ctx, given, func(a *Allocation) error {
		a.Unsettled = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c.clock.advance(31 * time.Minute)
	if _, err := c.care.engine.Due(ctx, county, 1); err != nil { // forgets ends
		t.Fatal(err)
	}
	c.start()
	c.until("the handover is settled", func() bool {
		a, err := c.care.allocations.Get(ctx, given)
		return err == nil && !a.Unsettled
	})
	c.until("the matcher has what the record has", func() bool { return c.stock(sh).FreeUnits == 8 })
	now, err := c.care.shares.Get(ctx, sh.ID)
	if err != nil || now.HandedOver != 2 || now.FreeUnits() != 8 {
		t.Errorf("share %+v, %v; want 2 units handed over and 8 free", now, err)
	}
	c.untilClean()
	if got := c.scan(r); len(got.Received) != 1 {
		t.Errorf("received %+v, want the one handover", got.Received)
	}
	// The household had 2 of 3. While the county is rebuilt, a scan waits.
	c.need(r, "meal", 3, 3)
	var got *ScanResult
	c.until("something is offered", func() bool { got = c.scan(r); return len(got.Offered) > 0 })
	if promisedUnits(got) != 1 {
		t.Errorf("offered %+v, want the 1 unit that the cap leaves", got.Offered)
	}
	c.untilClean()
}

// An acceptance comes between the look at what is due and its end.
func TestAcceptedPromiseDoesNotExpire(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 2, 3)
	id := c.scan(r).Offered[0].ID
	c.care.Stop() // the test takes the worker's steps
	c.clock.advance(31 * time.Minute)
	now := c.clock.now()
	seen, err := c.care.allocations.Get(ctx, id)
	if err != nil || seen.ExpiresMs > now.UnixMilli() {
		t.Fatalf("%+v, %v; want one that is due", seen, err)
	}
	accepted, err := c.care.Accept(ctx, c.worker, id)
	if err != nil || !accepted.Accepted {
		t.Fatalf("accept: %+v, %v", accepted, err)
	}
	if _, err := c.care.end(ctx, id, ending{
		by: byWorker, to: Expired, reason: matching.ReasonExpired(now), dueMs: now.UnixMilli(),
	}); err != nil && !errors.Is(err, ErrEnded) {
		t.Fatal(err)
	}
	if err := c.care.expirePromises(ctx); err != nil {
		t.Fatal(err)
	}
	if a, err := c.care.Allocation(ctx, c.worker, id); err != nil || a.State != Promised {
		t.Errorf("an accepted promise is %q, %v", a.State, err)
	}
	if a, err := c.care.HandOver(ctx, c.worker, id, Evidence{}); err != nil || a.State != HandedOver {
		t.Errorf("it was handed over as %q, %v", a.State, err)
	}
	c.clean(false)
}

// The other way round, the person is told that it is over.
func TestExpiredPromiseCannotBeAccepted(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 2, 3)
	id := c.scan(r).Offered[0].ID
	c.care.Stop()
	c.clock.advance(31 * time.Minute)
	if err := c.care.expirePromises(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Accept(ctx, c.worker, id); !errors.Is(err, ErrEnded) {
		t.Errorf("accepted after the end: %v, want ErrEnded", err)
	}
	c.clean(false)
}

// bigShare promises n meals to as many households, without their scans.
func (c *city) bigShare(qty int64, n int) (*providers.Share, []*Allocation) {
	c.t.Helper()
	ctx := context.Background()
	o := c.offer("meal", qty, 0, county)
	sh := c.share(o)
	all := make([]*Allocation, n)
	holds := make([]matching.Hold, n)
	events := make([]*Event, n)
	now := c.clock.now()
	for i := range all {
		a := &Allocation{
			Meta: store.Meta{ID: fmt.Sprintf("need%05d-0", i)}, Need: fmt.Sprintf("need%05d", i), Resident: "r",
			Household: fmt.Sprintf("h%05d", i), County: county, Division: village, Category: "meal", Offer: o.ID,
			Organisation: o.Organisation, Share: sh.ID, QtyUnits: 1, State: Promised,
			Claim:       fmt.Sprintf("h%05d|c:meal|%s|0", i, matching.Day.Label(now)),
			CategoryCap: matching.Cap{Field: "c:meal", Period: matching.Day.Label(now), Limit: 3},
			PromisedMs:  now.UnixMilli(), ExpiresMs: sh.UntilMs, UntilMs: sh.UntilMs,
		}
		all[i], holds[i], events[i] = a, a.hold(), promisedEvent(a)
	}
	if _, err := c.care.allocations.InsertAll(ctx, all); err != nil {
		c.t.Fatal(err)
	}
	c.care.emit(ctx, events...)
	sh, err := c.care.shares.Change(ctx, sh.ID, func(s *providers.Share) error {
		s.Promised += int64(n)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.care.engine.Promise(ctx, county, holds); err != nil {
		c.t.Fatal(err)
	}
	return sh, all
}

// giveOne hands an allocation over as another process does: the allocation
// first, then the share.
func (c *city) giveOne(a *Allocation) {
	ctx := context.Background()
	if _, err := c.care.allocations.Change(ctx, a.ID, func(a *Allocation) error {
		a.State, a.Unsettled, a.EndedMs = HandedOver, true, c.clock.ms.Load()
		return nil
	}); err != nil {
		c.t.Error(err)
	}
	if _, err := c.care.shares.Change(ctx, a.Share, func(s *providers.Share) error {
		s.Settle(a.ID, a.QtyUnits, providers.HandedOver)
		return nil
	}); err != nil {
		c.t.Error(err)
	}
}

// A share of many pages changes at every page that is read.
func TestBusyShareIsRebuiltAndVerified(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	const promised, gives = 300, 40
	sh, all := c.bigShare(1000, promised)
	g := &gate{Record: c.record}
	g.page.Store(20)
	reader := c.twin(g, c.clock)
	var pages, given atomic.Int64
	g.beforeFind(func(collection string, q store.Query) {
		if collection != allocationSchema.Name || q.Index != "share" {
			return
		}
		pages.Add(1)
		// In turn from pages that were read and from those that are not yet.
		if i := given.Add(1) - 1; i < gives {
			if i%2 == 0 {
				i = promised - 1 - i
			}
			c.giveOne(all[i])
		}
	})
	snap, err := ledger{reader.care}.Snapshot(ctx, county)
	if err != nil {
		t.Fatal(err)
	}
	if n := pages.Load(); n < 10 || n > 20 {
		t.Errorf("the share was read in %d pages, want each once", n)
	}
	for _, lot := range snap.Lots {
		if lot.ID == sh.ID && (lot.FreeUnits != 700 || lot.TakenUnits != 300) {
			t.Errorf("the snapshot has %+v, want 700 free and 300 taken", lot)
		}
	}
	var used int64
	for _, s := range snap.Caps {
		if s.Field == "c:meal" {
			used += s.Used
		}
	}
	if used != promised {
		t.Errorf("the snapshot counts %d units against caps, want %d", used, promised)
	}
	report := &Report{}
	if err := reader.care.verifyShare(ctx, county, sh.ID, true, report); err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Faults {
		t.Errorf("a share that is changing was judged: %s", f.What)
	}
	if report.Promised+report.HandedOver != promised {
		t.Errorf("report %+v, want %d units promised or given", report, promised)
	}
}

// What is declined while the county is rebuilt is to be had afterwards, at
// whatever moment of the rebuild it was.
func TestUnitsDeclinedDuringARebuildAreFreeAfterwards(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"share", "category"} { // the index about to be read
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			c := newCity(t, nil, nil)
			ctx := context.Background()
			sh := c.share(c.offer("meal", 10, 0, county))
			r, _ := c.resident(village, "meal", 2, 3)
			declined := c.scan(r).Offered[0].ID
			kept, _ := c.resident(village, "meal", 1, 3)
			c.scan(kept)
			g := &gate{Record: c.record}
			reader := c.twin(g, c.clock)
			var reading, once atomic.Bool
			g.beforeFind(func(collection string, q store.Query) {
				if collection == allocationSchema.Name && q.Index == moment && reading.Load() && once.CompareAndSwap(false, true) {
					if _, err := c.care.Decline(ctx, c.worker, declined, ""); err != nil {
						t.Error(err)
					}
				}
			})
			err := reader.care.engine.Rebuild(ctx, county, func(ctx context.Context) (matching.Snapshot, error) {
				reading.Store(true)
				defer reading.Store(false)
				return ledger{reader.care}.Snapshot(ctx, county)
			})
			if err != nil || !once.Load() {
				t.Fatalf("rebuild: %v; declined in it: %v", err, once.Load())
			}
			c.clock.advance(5 * time.Second)
			c.until("the decline is settled", func() bool {
				a, err := c.care.allocations.Get(ctx, declined)
				return err == nil && a.State == Declined && !a.Unsettled
			})
			if st := c.stock(sh); st.FreeUnits != 9 {
				t.Errorf("the matcher has %+v, want 9 units free", st)
			}
			if list, _, err := c.care.List(ctx, r.ID, "", 10); err != nil || len(list) != 1 {
				t.Errorf("who declined was promised it again: %+v, %v", list, err)
			}
			c.need(r, "meal", 3, 3)
			if got := c.scan(r); promisedUnits(got) != 3 {
				t.Errorf("offered %+v, want the whole cap of 3", got.Offered)
			}
		})
	}
}

// A handover is half written (the allocation, not yet the share) while the
// share is read: it moves from a page not read yet to one that was.
func TestVerifyDoesNotJudgeAHalfWrittenHandover(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	sh, all := c.bigShare(1000, 250)
	g := &gate{Record: c.record}
	g.page.Store(50)
	reader := c.twin(g, c.clock)
	var once atomic.Bool
	g.afterFind(func(collection string, q store.Query) {
		if collection == allocationSchema.Name && q.Index == "share" && once.CompareAndSwap(false, true) {
			if _, err := c.care.allocations.Change(ctx, all[len(all)-1].ID, func(a *Allocation) error {
				a.State, a.Unsettled, a.EndedMs = HandedOver, true, c.clock.ms.Load()
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	})
	report := &Report{}
	if err := reader.care.verifyShare(ctx, county, sh.ID, true, report); err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Faults {
		t.Errorf("promise %d: %s", f.Promise, f.What)
	}
	if report.Unsettled != 1 || report.Promised != 250 {
		t.Errorf("report %+v, want 250 units promised and one end not settled", report)
	}
}

// A process dies after it closed a lot in the record, before the matcher heard
// of it.
func TestLotClosedBeforeADeathIsClosedInTheMatcher(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	sh := c.share(c.offer("meal", 10, 0, county))
	c.stop()
	c.clock.advance(13 * time.Hour)
	c.closeInTheRecord(sh)
	if st := c.stock(sh); st.FreeUnits != 10 {
		t.Fatalf("the matcher has %+v already", st)
	}
	c.start()
	c.until("the matcher has none to give", func() bool { return c.stock(sh).FreeUnits == 0 })
	c.clean(false)
}

func TestRepairClosesALotThatDiedHalfClosed(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	sh := c.share(c.offer("meal", 10, 0, county))
	c.stop()
	c.closeInTheRecord(sh)
	c.clean(true)
	if st := c.stock(sh); st.FreeUnits != 0 {
		t.Errorf("the matcher has %+v after the repair", st)
	}
}

// The record wrote the allocation, but its answer was lost on the way.
func TestPromiseWithALostAnswerIsToldAsAnEvent(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 5, 0, county)
	r, _ := c.resident(village, "meal", 1, 3)
	c.stop()
	g := &gate{Record: c.record}
	d := c.twin(g, c.clock)
	g.lose.Store(true)
	got := d.scan(r)
	if g.lose.Load() {
		t.Fatal("no answer was lost")
	}
	if len(got.Offered) != 1 {
		t.Fatalf("offered %+v, want 1 unit", got.Offered)
	}
	events, _, err := d.care.Events(ctx, county, "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range events {
		if e.Kind == "allocation.promised" && e.Allocation == got.Offered[0].ID {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the promise was told %d times, want once", told)
	}
	stock, err := d.care.Stock(ctx, o.ID)
	if err != nil || stock[0].PromisedUnits != 1 || stock[0].FreeUnits != 4 {
		t.Errorf("stock %+v, %v; want the unit counted once", stock, err)
	}
	d.clock.advance(2 * time.Minute)
	d.untilClean()
}
