package care

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
)

// judge is somebody who settles what others have reported.
func judge() accounts.Principal {
	return accounts.Principal{Account: "judge", Role: accounts.Caseworker, Division: county}
}

// settle decides on the only open conflict.
func (c *city) settle(decision string) ConflictView {
	c.t.Helper()
	open := c.conflicts()
	if len(open) != 1 {
		c.t.Fatalf("%d conflicts, want 1", len(open))
	}
	v, err := c.care.SettleConflict(context.Background(), judge(), open[0].ID, decision, "")
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// A spare was kept for a decision while its need was served online: decided to
// be given it is too much, which is marked and put before a person, once.
func TestGivenConflictWeighsNeedAndCap(t *testing.T) {
	t.Parallel()
	for name, doubt := range map[string]struct {
		kind   string
		change func(c *city, f *phone, r *Record)
	}{
		"a clock of 1970": {KindTime, func(_ *city, _ *phone, r *Record) { r.GivenMs = 1 }},
		"a clock ahead":   {KindTime, func(c *city, _ *phone, r *Record) { r.GivenMs += 30 * 24 * time.Hour.Milliseconds() }},
		"a revoked card": {KindRevoked, func(c *city, _ *phone, r *Record) {
			if _, err := c.residents.Reissue(context.Background(), "worker", r.Resident, residents.WhyLost); err != nil {
				c.t.Fatal(err)
			}
			r.GivenMs += 10 * time.Minute.Milliseconds()
			c.clock.advance(10 * time.Minute)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCity(t, nil, nil)
			ctx := context.Background()
			o := c.offer("meal", 10, 1, county) // one a day
			r := c.person(village, "")
			f := c.phone("电话", c.worker)
			f.take(8, SpareOrder{o.ID, 1})
			n := c.need(r, "meal", 1, 3)
			x := f.gives(r, f.bundle.Spares[0], n.ID)
			doubt.change(c, f, &x)
			f.sign(&x)
			if got := f.sync(x); got[0].Outcome != Flagged || got[0].Reason.Code != "offline_"+doubt.kind {
				t.Fatalf("the record is %+v", got[0])
			}
			c.clock.advance(time.Minute)
			r, err := c.residents.Get(ctx, r.ID) // its card may be new
			if err != nil {
				t.Fatal(err)
			}
			scan := c.scan(r)
			if len(scan.Offered) != 1 {
				t.Fatalf("offered %+v", scan.Offered)
			}
			if _, err := c.care.HandOver(ctx, c.worker, scan.Offered[0].ID, Evidence{}); err != nil {
				t.Fatal(err)
			}
			first := c.settle(DecideGiven)
			a := c.allocation(x.Allocation)
			if a.State != HandedOver || !a.OverCap || a.Resident != r.ID {
				t.Errorf("the spare is %+v", a)
			}
			if a.GivenMs < f.bundle.Lease.FromMs || a.GivenMs > c.clock.now().UnixMilli() {
				t.Errorf("given at %d, in no time of the lease", a.GivenMs)
			}
			if _, err := c.care.conflicts.Change(ctx, first.ID, func(v *Conflict) error { // as after a crash
				v.Unapplied = true
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := c.care.finishDecisions(ctx); err != nil {
				t.Fatal(err)
			}
			second := c.settle(DecideTrue)
			if second.Kind != KindOver || second.Allocation != a.ID || second.Other.Allocation != scan.Offered[0].ID {
				t.Errorf("the second conflict is %+v", second)
			}
			if report := c.clean(false); report.OverCaps != 1 {
				t.Errorf("verify counts %+v", report)
			}
			c.untilClean()
		})
	}
}

// A spare that is found to have been given, but to no need of that person that
// asks for it, is gone: it becomes nobody's and goes to nobody else.
func TestGivenConflictWithoutANeed(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	o := c.offer("meal", 10, 0, county)
	r, neighbour := c.person(village, ""), c.person(village, "")
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 3})
	clothing, theirs := c.need(r, "clothing", 1, 3), c.need(neighbour, "meal", 1, 3)
	for i, need := range []string{"", clothing.ID, theirs.ID} {
		x := f.gives(r, f.bundle.Spares[i], need)
		x.GivenMs -= time.Hour.Milliseconds() // what is doubted first
		f.sign(&x)
		wants(t, f.sync(x), Flagged)
		c.settle(DecideGiven)
		if a := c.allocation(x.Allocation); a.State != Expired || !a.Lost || a.Resident != "" {
			t.Errorf("spare %d, for need %q: %+v", i, need, a)
		}
		if st := c.stock(c.share(o)); st.FreeUnits != 7 {
			t.Errorf("spare %d: %d units are free, want 7", i, st.FreeUnits)
		}
	}
	c.untilClean()
}

// What is promised beyond the need goes back when a spare is found to be given.
func TestGivenConflictTrimsPromises(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	o := c.offer("meal", 10, 0, county)
	r := c.person(village, "")
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 1})
	n := c.need(r, "meal", 1, 3)
	x := f.gives(r, f.bundle.Spares[0], n.ID)
	x.GivenMs -= time.Hour.Milliseconds()
	f.sign(&x)
	wants(t, f.sync(x), Flagged)
	promise := c.scan(r).Offered[0].ID
	c.settle(DecideGiven)
	if a := c.allocation(promise); a.State != Withdrawn {
		t.Errorf("the promise is %q", a.State)
	}
	if a := c.allocation(x.Allocation); a.State != HandedOver || a.OverCap {
		t.Errorf("the spare is %+v", a)
	}
	if open := c.conflicts(); len(open) != 0 {
		t.Errorf("conflicts %+v", open)
	}
	c.untilClean()
}

// A promise is not taken back because a device gave its household too much
// afterwards; nor is one that a device has taken along.
func TestToldPromiseOutlivesAnOfflineOverCap(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 2, 0, county)
	first := c.person(village, "")
	second := c.person(village, first.Household)
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 2})
	promised := c.share(c.offer("meal", 10, 0, county))
	c.need(first, "meal", 2, 3)
	a := c.scan(first).Offered[0].ID
	n := c.need(second, "meal", 2, 3)
	f.gives(second, f.bundle.Spares[0], n.ID)
	f.gives(second, f.bundle.Spares[1], n.ID)
	wants(t, f.sync(), Accepted, Flagged) // four of three a day
	marked := func() bool {
		sh, err := c.care.shares.Get(ctx, promised.ID)
		if err != nil {
			t.Fatal(err)
		}
		return len(sh.Reservations()) > 0
	}
	if !marked() {
		t.Fatal("the promise has no mark any more")
	}
	if _, err := c.care.Return(ctx, f.who, f.id); err != nil {
		t.Fatal(err)
	}
	c.phone("另一台", judge()).take(8)
	c.alter(a, func(a *Allocation) { a.CategoryCap.Limit = 1 })
	if err := c.care.void(ctx, c.allocation(a)); err != nil {
		t.Fatal(err)
	}
	if got := c.allocation(a); got.State != Promised || got.Lease == "" {
		t.Errorf("what a device has is %+v", got)
	}
	c.alter(a, func(a *Allocation) { a.CategoryCap.Limit, a.Lease = 3, "" })
	if err := c.care.resolveMarks(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if got := c.allocation(a); got.State != Promised {
		t.Errorf("the promise is %q", got.State)
	}
	if marked() {
		t.Error("the mark stands")
	}
}

// An offer's own cap holds for a spare that is reported after the offer ended.
func TestSpareOfAnEndedOfferKeepsItsCap(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 4, 1, county) // one a day
	r := c.person(village, "")
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 2})
	n := c.need(r, "meal", 2, 3)
	f.gives(r, f.bundle.Spares[0], n.ID)
	f.gives(r, f.bundle.Spares[1], n.ID)
	if _, err := c.care.WithdrawOffer(ctx, accounts.Principal{Role: accounts.Admin}, o.ID); err != nil {
		t.Fatal(err)
	}
	fresh, err := c.care.Bundle(ctx, f.who, f.id)
	if err != nil {
		t.Fatal(err)
	}
	f.bundle = fresh
	if room := f.person(r).Room["o:"+o.ID]; room != 1 {
		t.Errorf("the roster leaves room for %d, want 1", room)
	}
	wants(t, f.sync(), Accepted, Flagged)
	if a := c.allocation(f.queue[0].Allocation); a.OfferCap.Limit != 1 || a.OfferCap.Field != "o:"+o.ID {
		t.Errorf("the spare counts against %+v", a.OfferCap)
	}
	if a := c.allocation(f.queue[1].Allocation); !a.OverCap {
		t.Errorf("the second spare is %+v", a)
	}
	c.untilClean()
}

// A spare is for somebody on the device's list, who lives there still, and for
// a need that had not ended: else the units wait for a person.
func TestSpareForNobodyOnTheList(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 20, 0, county)
	moved, past, late, served := c.person(village, ""), c.person(village, ""), c.person(village, ""), c.person(village, "")
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 5})
	stranger := c.person(village, "") // came after
	people := []*residents.Resident{stranger, moved, past, late, served}
	needs := make([]*residents.Need, len(people))
	for i, r := range people {
		needs[i] = c.need(r, "meal", 1, 3)
	}
	withdraw := func(n *residents.Need) {
		if _, err := c.care.WithdrawNeed(ctx, c.worker, n.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	withdraw(needs[2])
	if _, err := c.care.HandOver(ctx, c.worker, c.scan(served).Offered[0].ID, Evidence{}); err != nil {
		t.Fatal(err)
	}
	c.clock.advance(time.Hour)
	for i, r := range people {
		f.gives(r, f.bundle.Spares[i], needs[i].ID)
	}
	c.clock.advance(time.Hour)
	withdraw(needs[3]) // after it was given
	if _, err := c.residents.SetStatus(ctx, "worker", moved.ID, residents.Moved); err != nil {
		t.Fatal(err)
	}
	got := f.sync()
	wants(t, got, Flagged, Flagged, Flagged, Accepted, Flagged)
	for i, kind := range map[int]string{0: KindMismatch, 1: KindOutside, 2: KindMismatch, 4: KindOver} {
		if got[i].Reason.Code != "offline_"+kind {
			t.Errorf("record %d: %+v, want %s", i, got[i].Reason, kind)
		}
	}
	for _, i := range []int{0, 1, 2} {
		if a := c.allocation(f.queue[i].Allocation); a.State != Promised || a.Disputed == "" || a.Resident != "" {
			t.Errorf("spare %d is %+v", i, a)
		}
	}
	c.untilClean()
}

// A device that fetches its list anew, because it lost it, learns what it gave
// with a doubt: the need stays open until a person has judged that, and must
// not be served once more meanwhile.
func TestDisputedSpareStaysOnTheList(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 10, 0, county)
	r := c.person(village, "")
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 2})
	n := c.need(r, "meal", 1, 3)
	f.gives(r, f.bundle.Spares[0], n.ID)
	f.queue[0].Code = "00000000000000000000"
	f.sign(&f.queue[0])
	wants(t, f.sync(), Flagged)
	b, err := c.care.Bundle(ctx, f.who, f.id)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Spares) != 1 || len(b.Disputed) != 1 {
		t.Fatalf("the list has %d spares and %+v in dispute", len(b.Spares), b.Disputed)
	}
	if got := b.Disputed[0]; got.Allocation != f.queue[0].Allocation || got.Resident != r.ID || got.Need != n.ID || got.Offer != o.ID || got.QtyUnits != 1 {
		t.Errorf("in dispute is %+v", got)
	}
	if _, err := c.care.SettleConflict(ctx, c.judge, c.conflicts()[0].ID, DecideGiven, ""); err != nil {
		t.Fatal(err)
	}
	if b, err = c.care.Bundle(ctx, f.who, f.id); err != nil || len(b.Disputed) != 0 {
		t.Errorf("after the decision %+v is in dispute, %v", b.Disputed, err)
	}
	c.untilClean()
}

// What a slow taker added to a lease that had ended and was finished long ago
// goes back at its deadline.
func TestEndedLeaseLetsGoAtTheDeadline(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 4, 0, county)
	r, _ := c.resident(village, "meal", 1, 3)
	f := c.phone("电话", c.worker)
	f.take(4, SpareOrder{o.ID, 1})
	id := f.bundle.Lease.ID
	if _, err := c.care.leases.Change(ctx, id, func(l *Lease) error { // all but what came late
		l.Ended, l.EndedMs, l.EndedWhy, l.EndedBy = true, c.clock.now().UnixMilli(), LeaseReturned, byWorker
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	promise, spare := f.person(r).Items[0].Allocation, f.bundle.Spares[0].Allocation
	c.clock.ms.Store(c.allocation(promise).ExpiresMs + 1)
	c.until("nothing names the lease", func() bool {
		return c.allocation(promise).Lease == "" && c.allocation(spare).State != Promised
	})
	c.untilClean()
}

// One account cannot take an offer out of circulation with its devices.
func TestSpareBounds(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	small, big, vast := c.offer("meal", 12, 0, county), c.offer("grocery", 400, 0, county), c.offer("meal", 800, 0, county)
	one, two := c.phone("甲机", c.worker), c.phone("乙机", c.worker)
	take := func(f *phone, key string, spares ...SpareOrder) error {
		_, err := c.care.TakeLease(ctx, f.who, f.id, NewLease{Division: village, Hours: 4, Spares: spares, Key: key}, nil)
		return err
	}
	// The form is told the bounds beforehand.
	told := func(f *phone, held int64, want map[string]int64) {
		t.Helper()
		got, err := c.care.Choices(ctx, f.who, f.id, village)
		if err != nil {
			t.Fatal(err)
		}
		most := map[string]int64{}
		for _, s := range got.Spares {
			most[s.Offer] = s.MostUnits
		}
		if got.MaxSpares != 200 || got.HeldUnits != held || !maps.Equal(most, want) {
			t.Errorf("told %d held of %d, at most %v; want %d, %v", got.HeldUnits, got.MaxSpares, most, held, want)
		}
	}
	told(one, 0, map[string]int64{small.ID: 8, big.ID: 100, vast.ID: 200})
	var wrong *residents.FieldError
	if err := take(one, "", SpareOrder{small.ID, 9}); !errors.As(err, &wrong) || wrong.Field != "spare" {
		t.Errorf("nine of twelve: %v", err)
	}
	if err := take(one, "", SpareOrder{big.ID, 101}); !errors.As(err, &wrong) {
		t.Errorf("101 of 400: %v", err)
	}
	for range 2 { // also when what is free has shrunk by its own
		if err := take(one, "key", SpareOrder{small.ID, 8}, SpareOrder{big.ID, 100}); err != nil {
			t.Fatal(err)
		}
	}
	told(two, 108, map[string]int64{small.ID: 4, big.ID: 75, vast.ID: 200})
	if err := take(two, "", SpareOrder{vast.ID, 93}); !errors.As(err, &wrong) {
		t.Errorf("more than the account may have: %v", err)
	}
	if err := take(two, "", SpareOrder{vast.ID, 92}); err != nil {
		t.Errorf("up to what the account may have: %v", err)
	}
}

// Devices of one account that ask at the same moment cannot pass its bound
// together. Whoever is refused has nothing, and may ask again.
func TestSparesOfDevicesAtTheSameMoment(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	g := &gate{Record: c.record}
	c = c.twin(g, c.clock)
	vast := c.offer("meal", 800, 0, county)
	const at = 4
	phones := make([]*phone, at)
	for i := range phones {
		phones[i] = c.phone(fmt.Sprintf("%d号机", i), c.worker)
	}
	take := func(f *phone) error {
		_, err := c.care.TakeLease(ctx, f.who, f.id, NewLease{Division: village, Hours: 4, Spares: []SpareOrder{{vast.ID, 90}}}, nil)
		return err
	}
	// All have been let through when the first lease is written.
	var asked sync.WaitGroup
	asked.Add(at)
	g.beforeInsert(func(collection string, _ store.Query) {
		if collection == leaseSchema.Name {
			asked.Done()
			asked.Wait()
		}
	})
	errs := make([]error, at)
	var all sync.WaitGroup
	for i, f := range phones {
		all.Go(func() { errs[i] = take(f) })
	}
	all.Wait()
	g.beforeInsert(func(string, store.Query) {})
	held := func() (units int) {
		if err := c.care.allocations.Each(ctx, store.Query{Index: "due", Equal: []any{string(Promised)}}, func(a *Allocation) error {
			units += int(a.QtyUnits)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return units
	}
	let := 0
	for _, err := range errs {
		var wrong *residents.FieldError
		switch {
		case err == nil:
			let++
		case !errors.As(err, &wrong) || wrong.Field != "spare":
			t.Errorf("refused with %v", err)
		}
	}
	if got := held(); got > MaxSpares || got != 90*let {
		t.Errorf("%d devices were let through and %d units are held, want at most %d", let, got, MaxSpares)
	}
	for i, f := range phones {
		if errs[i] == nil {
			continue
		}
		if err := take(f); err == nil {
			let++
		}
	}
	if got := held(); let != 2 || got != 180 {
		t.Errorf("asked again one after the other: %d devices hold %d units, want 2 with 180", let, got)
	}
	c.untilClean()
}
