package care

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// What households have had survives a Redis that forgets it.

// The first of January belongs to a week that began in the year before.
func TestWeekCapSurvivesARebuildInJanuary(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r := c.person(village, "")
	for _, day := range []time.Time{
		time.Date(2026, 12, 22, 2, 0, 0, 0, time.UTC), // the week before: its claims hide no later ones
		time.Date(2026, 12, 29, 2, 0, 0, 0, time.UTC),
	} {
		c.clock.ms.Store(day.UnixMilli())
		c.offer("grocery", 100, 0, county)
		c.need(r, "grocery", 2, 3)
		got := c.scan(r)
		if len(got.Offered) != 1 || got.Offered[0].QtyUnits != 2 {
			t.Fatalf("offered %+v on %v, want 2 units", got.Offered, day)
		}
		if _, err := c.care.HandOver(ctx, c.worker, got.Offered[0].ID, Evidence{}); err != nil {
			t.Fatal(err)
		}
	}
	c.clock.ms.Store(time.Date(2027, 1, 1, 2, 0, 0, 0, time.UTC).UnixMilli())
	c.offer("grocery", 100, 0, county)
	c.need(r, "grocery", 2, 3)
	for _, when := range []string{"before the rebuild", "after it"} {
		if got := c.scan(r); len(got.Offered) != 0 || got.Needs[0].Reason.Code != matching.CodeWaitingCap {
			t.Errorf("%s: offered %+v, the need %+v; the week's cap is used up", when, got.Offered, got.Needs)
		}
		c.emptyRedis()
	}
	c.untilClean()
	c.clock.ms.Store(time.Date(2027, 1, 4, 2, 0, 0, 0, time.UTC).UnixMilli()) // Monday
	c.offer("grocery", 100, 0, county)
	if got := c.scan(r); len(got.Offered) != 1 {
		t.Errorf("a new week gives %+v", got.Offered)
	}
	c.untilClean()
}

// A hold that is given back leaves an ordinal unused, so that two claims for
// the same units need not have the same key.
func TestCapSurvivesAFailoverThatForgetsClaims(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 100, 0, county)
	first := c.person(village, "")
	second := c.person(village, first.Household)
	c.need(first, "meal", 3, 3)
	waits := c.need(second, "meal", 3, 3)
	failover := c.remember()
	c.claimAndGiveBack(first)
	got := c.scan(first)
	if len(got.Offered) != 1 {
		t.Fatalf("offered %+v, want the day's 3 units", got.Offered)
	}
	failover()
	if late := c.scan(second); len(late.Offered) != 0 || late.Needs[0].State != residents.NeedWaiting {
		t.Errorf("the household's second member was offered %+v", late.Offered)
	}
	c.untilClean()
	if a, err := c.care.Allocation(ctx, c.worker, got.Offered[0].ID); err != nil || a.State != Promised {
		t.Errorf("the first promise is %q, %v", a.State, err)
	}
	if units := c.household(first, second); units != 3 {
		t.Errorf("the household was promised %d meals, want its cap of 3", units)
	}
	c.until("the second member is on the list", func() bool { return c.position(waits) > 0 })
}

// A scan stands still between the share's write and the insert, while Redis is
// emptied, rebuilt and gives the cap to another member of the household.
func TestCapSurvivesARebuildDuringASlowScan(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 100, 0, county)
	first := c.person(village, "")
	second := c.person(village, first.Household)
	c.need(first, "meal", 3, 3)
	c.need(second, "meal", 3, 3)
	c.claimAndGiveBack(first)
	g := &gate{Record: c.record}
	slow := c.twin(g, c.clock)
	code := c.code(first)
	stands, goOn := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	g.beforeInsert(func(collection string, _ store.Query) {
		if collection == allocationSchema.Name && once.CompareAndSwap(false, true) {
			close(stands)
			<-goOn
		}
	})
	answer := make(chan *ScanResult, 1)
	go func() {
		got, err := slow.care.Scan(ctx, c.worker, code)
		if err != nil {
			t.Error(err)
		}
		answer <- got
	}()
	<-stands
	c.emptyRedis()
	quick := c.scan(second)
	if len(quick.Offered) != 1 {
		t.Errorf("the rebuilt county offers %+v, want 3 units", quick.Offered)
	}
	close(goOn)
	late := <-answer
	for _, got := range []*ScanResult{quick, late} {
		if got == nil {
			continue
		}
		for _, offered := range got.Offered {
			if a, err := c.care.Allocation(ctx, c.worker, offered.ID); err != nil || a.State != Promised {
				t.Errorf("acknowledged allocation %s is %q, %v", offered.ID, a.State, err)
			}
		}
	}
	c.untilClean()
	if units := c.household(first, second); units != 3 {
		t.Errorf("the household was promised %d meals, want its cap of 3", units)
	}
	stock, err := c.care.Stock(ctx, o.ID)
	if err != nil || stock[0].PromisedUnits != 3 || stock[0].FreeUnits != 97 {
		t.Errorf("stock %+v, %v", stock, err)
	}
}

func TestDayCapSurvivesARebuildByAClockThatIsBehind(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.clock.ms.Store(time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC).UnixMilli())
	c.offer("meal", 100, 0, county)
	c.clock.ms.Store(time.Date(2026, 11, 24, 16, 0, 1, 0, time.UTC).UnixMilli()) // 00:00:01 in China
	r, _ := c.resident(village, "meal", 3, 3)
	if got := c.scan(r); len(got.Offered) != 1 {
		t.Fatalf("offered %+v, want the day's 3 units", got.Offered)
	}
	late := &clock{}
	late.ms.Store(c.clock.ms.Load() - 2000) // still yesterday
	behind := c.twin(c.record, late)
	c.until("the process behind has rebuilt the county", func() bool {
		err := behind.care.Rebuild(ctx, county, nil)
		if err != nil && !errors.Is(err, matching.ErrBusy) {
			t.Fatal(err)
		}
		return err == nil
	})
	c.need(r, "meal", 3, 3)
	for name, process := range map[string]*city{"the process behind": behind, "the other": c} {
		got, err := process.care.Scan(ctx, c.worker, c.code(r))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Offered) != 1 {
			t.Errorf("%s offers %+v beyond the day's cap", name, got.Offered)
		}
	}
	c.untilClean()
	if units := c.household(r); units != 3 {
		t.Errorf("%d meals in a day, want the cap of 3", units)
	}
}

// Units in doubt come back, and cost nobody else anything meanwhile.

func TestUnitsInDoubtComeBackWithoutARebuild(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	sh := c.share(c.offer("meal", 2, 0, county))
	// A process died between the share's write and the insert.
	if _, err := c.care.shares.Change(ctx, sh.ID, func(s *providers.Share) error { return s.Reserve("ghost-0", 2) }); err != nil {
		t.Fatal(err)
	}
	gen := c.generation()
	r, _ := c.resident(village, "meal", 1, 3)
	for range 10 {
		c.clock.advance(3 * time.Second)
		if got := c.scan(r); len(got.Offered) != 0 || got.Needs[0].State != residents.NeedWaiting {
			t.Fatalf("units in doubt were given: %+v", got)
		}
	}
	c.later("the units come back and reach who waits", func() bool {
		got, err := c.care.Offered(ctx, r.ID)
		return err == nil && len(got) == 1
	})
	if now := c.generation(); now != gen {
		t.Error("the county was rebuilt though the matcher was right")
	}
	c.untilClean()
}

// The matcher is told of an allocation's end before its scan tells of the
// promise.
func TestNeedWithdrawnDuringItsScanLosesNoUnits(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	sh := c.share(c.offer("meal", 10, 0, county))
	r, n := c.resident(village, "meal", 2, 3)
	m := &match{s: c.care, by: "x", resident: r, needs: []*residents.Need{n}, until: c.clock.now().Add(time.Hour)}
	hold := c.hold(r, n.ID, 2)
	a, ok := m.allocation(n, hold, standing{})
	if !ok {
		t.Fatal("the offer is not known")
	}
	p := &proposal{hold: hold, alloc: a}
	if err := c.care.committer.submit(ctx, []*proposal{p}); err != nil || p.stored == nil {
		t.Fatalf("commit: %v, refused with %+v", err, p.refused)
	}
	if _, err := c.care.WithdrawNeed(ctx, c.worker, n.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.care.engine.Promise(ctx, county, []matching.Hold{p.stored.hold()}); err != nil {
		t.Fatal(err)
	}
	c.care.emit(ctx, promisedEvent(a))
	if st := c.stock(sh); st.FreeUnits != 10 || st.HeldUnits != 0 || st.TakenUnits != 0 {
		t.Errorf("the matcher has %+v, want 10 free", st)
	}
	c.clean(false)
	c.need(r, "meal", 3, 3)
	if got := c.scan(r); len(got.Offered) != 1 || got.Offered[0].QtyUnits != 3 {
		t.Errorf("offered %+v, want the whole cap of 3", got.Offered)
	}
	c.clean(false)
}

// Who waits is served: no need stands still.

// The record refuses the first of two holds, so that the need's allocations
// begin with the second ordinal.
func TestNeedWithARefusedHoldIsServedToTheEnd(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	over := c.share(c.offer("meal", 1, 0, county))
	c.clock.advance(time.Second)
	c.offer("meal", 10, 0, county)
	r, n := c.resident(village, "meal", 3, 3)
	c.closeInTheRecord(over)
	if got := c.scan(r); promisedUnits(got) < 2 {
		t.Errorf("offered %+v, want at least 2 units of the open offer", got.Offered)
	}
	if _, err := c.care.engine.CloseLot(context.Background(), county, over.ID); err != nil {
		t.Fatal(err)
	}
	got := c.scan(r)
	if promisedUnits(got) != 3 || got.Needs[0].State != residents.NeedPromised {
		t.Errorf("offered %+v, the need is %q; want all 3 units", got.Offered, got.Needs[0].State)
	}
	if p := c.position(n); p != 0 {
		t.Errorf("a need that has all it wants stands at %d on the list", p)
	}
	c.clock.advance(2 * time.Minute)
	c.untilClean()
}

// One part is declined, the other handed over: the rest is still wanted.
func TestRestOfANeedWaitsOnTheList(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 1, 0, county)
	c.clock.advance(time.Second)
	c.offer("meal", 1, 0, county)
	r, n := c.resident(village, "meal", 2, 3)
	got := c.scan(r)
	if len(got.Offered) != 2 {
		t.Fatalf("offered %+v, want one unit of each offer", got.Offered)
	}
	if _, err := c.care.Decline(ctx, c.worker, got.Offered[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	other, _ := c.resident(village, "meal", 1, 3)
	if taken := c.scan(other); len(taken.Offered) != 1 {
		t.Fatalf("the declined unit went elsewhere: %+v", taken)
	}
	if _, err := c.care.HandOver(ctx, c.worker, got.Offered[1].ID, Evidence{}); err != nil {
		t.Fatal(err)
	}
	c.waiting(n)
	c.clock.advance(2 * time.Minute)
	rest, err := c.care.Needs(ctx, r.ID)
	if err != nil || len(rest) != 1 || rest[0].State != residents.NeedWaiting || !strings.HasPrefix(rest[0].Reason.Code, "waiting_") {
		t.Errorf("the need is %+v, %v; want it to say that the rest waits", rest, err)
	}
	c.untilClean()
	c.offer("meal", 5, 0, county)
	c.until("the rest is offered", func() bool { return c.promised(r) == 1 })
	c.untilClean()
}

// A process dies after it held units for a waiting need, and another after it
// gave them back: the hold took the need off the list.
func TestNeedReturnsToTheListAfterTwoDeaths(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, n := c.resident(village, "meal", 1, 3)
	c.scan(r)
	c.waiting(n)
	c.stop()
	c.offer("meal", 5, 0, county)
	hold := c.hold(r, n.ID, 1)
	if err := c.care.engine.Release(ctx, county, []matching.Hold{hold}, true); err != nil {
		t.Fatal(err)
	}
	if p := c.position(n); p != 0 {
		t.Fatalf("the need stands at %d; the test is for one that does not", p)
	}
	c.start()
	c.later("the need is served", func() bool { return c.promised(r) == 1 })
	c.untilClean()
}

// Every hold of a scan is refused, because the share closed in the record
// before the matcher heard of it.
func TestNeedRefusedByTheRecordIsOnTheList(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	over := c.share(c.offer("meal", 5, 0, county))
	r, n := c.resident(village, "meal", 1, 3)
	c.closeInTheRecord(over)
	if got := c.scan(r); len(got.Offered) != 0 {
		t.Fatalf("a closed share gave %+v", got.Offered)
	}
	c.waiting(n)
	if _, err := c.care.engine.CloseLot(context.Background(), county, over.ID); err != nil {
		t.Fatal(err)
	}
	c.offer("meal", 5, 0, county)
	c.until("the new offer reaches who waits", func() bool { return c.promised(r) == 1 })
	c.untilClean()
}

// The rebuild has read the record before the scan says that the need waits.
func TestNeedScannedDuringARebuildIsServed(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 3)
	read, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- c.care.engine.Rebuild(ctx, county, func(ctx context.Context) (matching.Snapshot, error) {
			s, err := ledger{c.care}.Snapshot(ctx, county)
			close(read)
			<-goOn
			return s, err
		})
	}()
	<-read
	got := c.scan(r)
	if len(got.Needs) != 1 || got.Needs[0].State != residents.NeedWaiting || got.Needs[0].Reason.Code != matching.CodeWaitingRebuild {
		t.Errorf("told %+v, want that the need waits for the rebuild", got.Needs)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.later("the need is served", func() bool { return c.promised(r) == 1 })
	c.untilClean()
}

func TestNeedsOfTheDeadEnd(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	r, n := c.resident(village, "meal", 1, 3)
	c.scan(r)
	c.waiting(n)
	if _, err := c.residents.SetStatus(ctx, "worker", r.ID, residents.Deceased); err != nil {
		t.Fatal(err)
	}
	c.later("the need has ended", func() bool {
		now, err := c.care.needs.Get(ctx, n.ID)
		return err == nil && !now.State.Live()
	})
	c.until("it has left the list", func() bool { return c.position(n) == 0 })
	c.clock.advance(2 * time.Minute)
	c.untilClean()
	c.emptyRedis()
	c.untilClean()
}

// Helpers.

// twin is another process on the same Redis and on a view of the same record.
func (c *city) twin(record store.Record, clock *clock) *city {
	d := *c
	d.record, d.clock = record, clock
	d.start()
	return &d
}

// later is until, while the clock goes on.
func (c *city) later(what string, ok func() bool) {
	c.t.Helper()
	c.until(what, func() bool {
		if ok() {
			return true
		}
		c.clock.advance(2 * time.Second)
		return false
	})
}

// emptyRedis loses everything and waits until it is rebuilt.
func (c *city) emptyRedis() {
	c.t.Helper()
	ctx := context.Background()
	if err := c.redis.FlushAll(ctx).Err(); err != nil {
		c.t.Fatal(err)
	}
	c.until("the counties are rebuilt", func() bool { return c.care.Ready(ctx) == nil })
}

// generation names the county's rebuild.
func (c *city) generation() string {
	return c.redis.Get(context.Background(), "hc:{330502}:gen").Val()
}

// share is the offer's one share.
func (c *city) share(o *providers.Offer) *providers.Share {
	c.t.Helper()
	shares, err := c.providers.Shares(context.Background(), o.ID)
	if err != nil || len(shares) != 1 {
		c.t.Fatalf("%d shares, %v", len(shares), err)
	}
	return shares[0]
}

// stock is what the matcher has of a share.
func (c *city) stock(sh *providers.Share) matching.Stock {
	c.t.Helper()
	var out matching.Stock
	c.until("the matcher answers", func() bool {
		got, err := c.care.engine.Stock(context.Background(), county, []string{sh.ID})
		if errors.Is(err, matching.ErrNotReady) {
			return false
		}
		if err != nil {
			c.t.Fatal(err)
		}
		out = got[0]
		return true
	})
	return out
}

// closeInTheRecord ends a share as a process does that dies before it tells
// the matcher.
func (c *city) closeInTheRecord(sh *providers.Share) {
	c.t.Helper()
	if _, err := c.care.shares.Change(context.Background(), sh.ID, func(s *providers.Share) error {
		s.Close(providers.Over)
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
}

// hold has the matcher hold meals, as the first step of a scan does.
func (c *city) hold(r *residents.Resident, need string, qty int64) matching.Hold {
	c.t.Helper()
	candidates, _ := c.care.catalogue.Candidates(county, "meal", c.care.person(r), c.clock.now())
	out, err := c.care.engine.Match(context.Background(), matching.Request{
		County: county, Household: r.Household, Asks: []matching.Ask{{
			Need: need, Category: "meal", QtyUnits: qty, Candidates: candidates,
			Cap: matching.Cap{Field: "c:meal", Period: matching.Day.Label(c.clock.now()), Limit: 3},
		}},
	})
	if err != nil || len(out) != 1 || len(out[0].Holds) != 1 {
		c.t.Fatalf("hold: %+v, %v", out, err)
	}
	return out[0].Holds[0]
}

// claimAndGiveBack uses up an ordinal of the household's claims.
func (c *city) claimAndGiveBack(r *residents.Resident) {
	c.t.Helper()
	hold := c.hold(r, store.NewID(), 1)
	if err := c.care.engine.Release(context.Background(), county, []matching.Hold{hold}, true); err != nil {
		c.t.Fatal(err)
	}
}

// position is the need's place on the waiting list; 0: not on it.
func (c *city) position(n *residents.Need) int64 {
	c.t.Helper()
	var out int64
	c.until("the matcher answers", func() bool {
		position, err := c.care.engine.Position(context.Background(), n.County, n.Category, n.ID)
		if err != nil && !errors.Is(err, matching.ErrNotReady) {
			c.t.Fatal(err)
		}
		out = position
		return err == nil
	})
	return out
}

// waiting fails unless the need waits, in the record and on the list.
func (c *city) waiting(n *residents.Need) {
	c.t.Helper()
	c.until("need "+n.ID+" waits and is on the list", func() bool {
		now, err := c.care.needs.Get(context.Background(), n.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		return now.State == residents.NeedWaiting && c.position(n) > 0
	})
}

// promised is how many allocations are promised to a resident.
func (c *city) promised(r *residents.Resident) int {
	c.t.Helper()
	got, err := c.care.Offered(context.Background(), r.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	return len(got)
}

func promisedUnits(got *ScanResult) (units int64) {
	for _, a := range got.Offered {
		units += a.QtyUnits
	}
	return units
}

// household is how many units its members were promised or have received.
func (c *city) household(members ...*residents.Resident) (units int64) {
	c.t.Helper()
	for _, r := range members {
		list, _, err := c.care.List(context.Background(), r.ID, "", 100)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, a := range list {
			if a.State == Promised || a.State == HandedOver {
				units += a.QtyUnits
			}
		}
	}
	return units
}

// gate is a record at whose calls a test may do something: stand still, or
// what another process does at that moment.
type gate struct {
	store.Record
	insert, before, after atomic.Pointer[func(collection string, q store.Query)]

	lose atomic.Bool  // the answer to the next insert of allocations
	page atomic.Int64 // the most documents of one Find, so that a small share has many pages; 0: as asked
}

func (g *gate) beforeInsert(do func(collection string, _ store.Query)) { g.insert.Store(&do) }
func (g *gate) beforeFind(do func(collection string, q store.Query))   { g.before.Store(&do) }
func (g *gate) afterFind(do func(collection string, q store.Query))    { g.after.Store(&do) }

func (g *gate) Insert(ctx context.Context, collection string, docs []store.Document) ([]store.Duplicate, error) {
	if do := g.insert.Load(); do != nil {
		(*do)(collection, store.Query{})
	}
	dups, err := g.Record.Insert(ctx, collection, docs)
	if collection == allocationSchema.Name && g.lose.CompareAndSwap(true, false) {
		return nil, fmt.Errorf("insert: %w", context.DeadlineExceeded)
	}
	return dups, err
}

func (g *gate) Find(ctx context.Context, collection string, q store.Query, dst func() store.Document) ([]store.Document, string, error) {
	if page := int(g.page.Load()); page > 0 {
		q.Limit = page
	}
	if do := g.before.Load(); do != nil {
		(*do)(collection, q)
	}
	docs, next, err := g.Record.Find(ctx, collection, q, dst)
	if do := g.after.Load(); do != nil {
		(*do)(collection, q)
	}
	return docs, next, err
}

// outage is a Redis that nothing reaches while it is on.
type outage struct{ atomic.Bool }

func (o *outage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if o.Load() {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return next(ctx, cmd)
	}
}

func (o *outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if o.Load() {
			return io.EOF
		}
		return next(ctx, cmds)
	}
}

// Who is scanned while Redis is away is shown, gets what was promised before, and
// waits; afterwards they are served, or told why not, without another scan.
func TestScanWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 100, 0, county)
	r, _ := c.resident(village, "meal", 3, 3) // the day's cap
	got := c.scan(r)
	if len(got.Offered) != 1 {
		t.Fatalf("offered %+v, want the day's 3 units", got.Offered)
	}
	capped := c.need(r, "meal", 1, 3)
	fresh, wanted := c.resident(village, "meal", 2, 3)
	away := &outage{}
	c.redis.AddHook(away)
	away.Store(true)
	if _, err := c.care.HandOver(ctx, c.worker, got.Offered[0].ID, Evidence{}); err != nil {
		t.Errorf("what was promised cannot be handed over: %v", err)
	}
	for _, person := range []*residents.Resident{r, fresh} {
		got := c.scan(person)
		if n := got.Needs[len(got.Needs)-1]; len(got.Offered) != 0 || n.State != residents.NeedWaiting || n.Reason.Code != matching.CodeWaitingRebuild {
			t.Errorf("while Redis is away: offered %+v, needs %+v", got.Offered, got.Needs)
		}
	}
	away.Store(false)
	c.clock.advance(2 * missedEvery)
	state := func(n *residents.Need) (residents.NeedState, string) {
		now, err := c.care.needs.Get(ctx, n.ID)
		if err != nil {
			t.Fatal(err)
		}
		return now.State, now.Reason.Code
	}
	c.until("who waited is served", func() bool {
		s, _ := state(wanted)
		return s == residents.NeedPromised
	})
	c.until("who cannot be served is told why", func() bool {
		s, reason := state(capped)
		return s == residents.NeedWaiting && reason == matching.CodeWaitingCap
	})
	c.untilClean()
}

// A repair that has read a need before it was declined does not take it up again.
func TestRepairDoesNotReopenWhatWasDeclined(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, n := c.resident(village, "meal", 1, 3)
	got := c.scan(r)
	if len(got.Offered) != 1 {
		t.Fatalf("offered %+v, want one", got.Offered)
	}
	read, err := c.care.needs.Get(ctx, n.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Decline(ctx, c.worker, got.Offered[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	if changed, err := c.care.realign(ctx, read); err != nil || changed {
		t.Errorf("realign: got %v, %v", changed, err)
	}
	if now, err := c.care.needs.Get(ctx, n.ID); err != nil || now.State != residents.NeedDeclined {
		t.Errorf("the need is %q, %v; want it declined", now.State, err)
	}
}
