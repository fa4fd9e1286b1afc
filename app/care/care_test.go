package care

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

func TestScanPromisesAndHandoverLists(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	meals := c.offer("meal", 10, 0, county)
	r, n := c.resident(village, "meal", 2, 3)
	c.need(r, "legal", 1, 1)

	got := c.scan(r)
	if len(got.Offered) != 1 || got.Offered[0].QtyUnits != 2 || got.Offered[0].Need != n.ID || got.Offered[0].Offer != meals.ID {
		t.Fatalf("offered %+v, want 2 units of %s", got.Offered, meals.ID)
	}
	states := map[string]residents.NeedState{}
	for _, v := range got.Needs {
		states[v.Category] = v.State
		if v.Reason.ZH == "" || v.Reason.EN == "" {
			t.Errorf("need in %s has no reason in words: %+v", v.Category, v.Reason)
		}
	}
	if states["meal"] != residents.NeedPromised || states["legal"] != residents.NeedWaiting {
		t.Errorf("states %v, want meal promised and legal waiting", states)
	}

	if _, err := c.care.Accept(ctx, c.worker, got.Offered[0].ID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again changes nothing
		v, err := c.care.HandOver(ctx, c.worker, got.Offered[0].ID, Evidence{})
		if err != nil || v.State != HandedOver || v.HandedOverMs == 0 {
			t.Fatalf("handover: %+v, %v", v, err)
		}
	}
	if _, err := c.care.Decline(ctx, c.worker, got.Offered[0].ID, ""); !errors.Is(err, ErrEnded) {
		t.Errorf("declined after the handover: %v, want ErrEnded", err)
	}
	list, _, err := c.care.List(ctx, r.ID, "", 10)
	if err != nil || len(list) != 1 || list[0].State != HandedOver {
		t.Errorf("happiness list %+v, %v", list, err)
	}
	stock, err := c.care.Stock(ctx, meals.ID)
	if err != nil || len(stock) != 1 || stock[0].HandedOverUnits != 2 || stock[0].FreeUnits != 8 {
		t.Errorf("stock %+v, %v", stock, err)
	}
	if again := c.scan(r); len(again.Offered) != 0 || len(again.Received) != 1 {
		t.Errorf("second scan offers %d and received %d, want 0 and 1", len(again.Offered), len(again.Received))
	}
	views, _, err := c.audit.Of(ctx, r.ID, "", 10)
	if err != nil || len(views) < 4 {
		t.Errorf("%d audit entries about the person, %v; want both scans, accept and handovers", len(views), err)
	}
	report := c.clean(false)
	if report.HandedOver != 2 || report.Free != 8 || report.Waiting != 1 {
		t.Errorf("verify counts %+v", report)
	}
}

func TestScanAgainAnswersTheSame(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	c.offer("meal", 100, 0, county)
	r, _ := c.resident(village, "meal", 3, 2)
	var mu sync.Mutex
	ids := map[string]bool{}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			result, err := c.care.Scan(context.Background(), c.worker, c.code(r))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range result.Offered {
				ids[a.ID] = true
			}
		})
	}
	all.Wait()
	if len(ids) != 1 {
		t.Errorf("16 scans at once promised %d allocations, want 1", len(ids))
	}
	c.clean(false)
}

func TestOversellRace(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	o := c.offer("meal", 50, 0, county)
	codes := make([]string, 200)
	for i := range codes {
		r, _ := c.resident(village, "meal", 1, 1+i%4)
		codes[i] = c.code(r)
	}
	var promised atomic.Int64
	var all sync.WaitGroup
	for _, code := range codes {
		all.Go(func() {
			result, err := c.care.Scan(context.Background(), c.worker, code)
			if err != nil {
				t.Error(err)
				return
			}
			for _, a := range result.Offered {
				promised.Add(a.QtyUnits)
			}
		})
	}
	all.Wait()
	if got := promised.Load(); got != 50 {
		t.Errorf("promised %d units of 50", got)
	}
	stock, err := c.care.Stock(context.Background(), o.ID)
	if err != nil || stock[0].PromisedUnits != 50 || stock[0].FreeUnits != 0 {
		t.Errorf("stock %+v, %v", stock, err)
	}
	if report := c.clean(false); report.Waiting != 150 {
		t.Errorf("%d needs wait, want 150", report.Waiting)
	}
}

func TestHouseholdCapHoldsAcrossProvidersAndRace(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	for range 3 { // three providers, each with plenty
		c.offer("meal", 100, 0, county)
	}
	first := c.person(village, "")
	people := []*residents.Resident{first}
	for range 7 {
		people = append(people, c.person(village, first.Household))
	}
	for _, r := range people {
		c.need(r, "meal", 1, 2)
	}
	category, _ := providers.CategoryByID("meal")
	var promised atomic.Int64
	var all sync.WaitGroup
	for _, r := range people {
		all.Go(func() {
			result, err := c.care.Scan(context.Background(), c.worker, c.code(r))
			if err != nil {
				t.Error(err)
				return
			}
			for _, a := range result.Offered {
				promised.Add(a.QtyUnits)
			}
		})
	}
	all.Wait()
	if got := promised.Load(); got != category.CapUnits {
		t.Errorf("the household was promised %d meals, want its cap of %d", got, category.CapUnits)
	}
	c.clean(false)
	// The next day there is room again.
	c.clock.advance(24 * time.Hour)
	c.offer("meal", 100, 0, county)
	c.until("the rest of the household is served", func() bool {
		var n int
		for _, r := range people {
			all, _, err := c.care.List(context.Background(), r.ID, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			n += len(all)
		}
		return n > int(category.CapUnits)
	})
	c.untilClean() // yesterday's promises expire
}

func TestDeclinedUnitsDripToTheNeediest(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 1, 0, county)
	first, _ := c.resident(village, "meal", 1, 1)
	taken := c.scan(first).Offered[0]
	mild, _ := c.resident(village, "meal", 1, 1)
	dire, _ := c.resident(village, "meal", 1, 4)
	if got := c.scan(mild); len(got.Offered) != 0 || got.Needs[0].Position != 1 {
		t.Fatalf("the lot is empty: %+v", got)
	}
	if got := c.scan(dire).Needs[0].Position; got != 1 {
		t.Fatalf("the urgent need stands at %d, want 1", got)
	}
	if _, err := c.care.Decline(ctx, c.worker, taken.ID, "too far"); err != nil {
		t.Fatal(err)
	}
	c.until("the unit reaches the urgent need", func() bool {
		got, err := c.care.Offered(ctx, dire.ID)
		if err != nil {
			t.Fatal(err)
		}
		return len(got) == 1
	})
	if got, _ := c.care.Offered(ctx, mild.ID); len(got) != 0 {
		t.Errorf("the less urgent need got %+v", got)
	}
	if needs, _ := c.care.Needs(ctx, first.ID); len(needs) != 0 {
		t.Errorf("a declined need is still open: %+v", needs)
	}
	c.clean(false)
}

func TestPromisesExpireAndLotsEnd(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 5, 0, county)
	absent, _ := c.resident(village, "meal", 2, 2)
	c.scan(absent)
	keen, _ := c.resident(village, "meal", 1, 2)
	kept := c.scan(keen).Offered[0]
	if _, err := c.care.Accept(ctx, c.worker, kept.ID); err != nil {
		t.Fatal(err)
	}
	c.clock.advance(31 * time.Minute)
	c.until("the promise nobody accepted has expired", func() bool {
		stock, err := c.care.Stock(ctx, o.ID)
		return err == nil && stock[0].FreeUnits == 4 && stock[0].PromisedUnits == 1
	})
	c.until("the need of who did not come is open again", func() bool {
		needs, err := c.care.Needs(ctx, absent.ID)
		return err == nil && len(needs) == 1 && needs[0].State == residents.NeedOpen
	})
	c.untilClean()
	c.clock.advance(12 * time.Hour)
	c.until("the lot is over", func() bool {
		stock, err := c.care.Stock(ctx, o.ID)
		return err == nil && stock[0].Closed && stock[0].ExpiredUnits == 5 && stock[0].PromisedUnits == 0
	})
	c.untilClean()
	if _, err := c.care.HandOver(ctx, c.worker, kept.ID, Evidence{}); !errors.Is(err, ErrEnded) {
		t.Errorf("handed over after the end: %v", err)
	}
}

func TestWithdrawnOfferKeepsItsPromises(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("grocery", 10, 0, county)
	r, _ := c.resident(village, "grocery", 1, 2)
	promise := c.scan(r).Offered[0]
	giver := accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: o.Organisation}
	stranger := accounts.Principal{Account: "x", Role: accounts.Provider, Organisation: "another"}
	if _, err := c.care.WithdrawOffer(ctx, stranger, o.ID); !errors.Is(err, ErrNotYours) {
		t.Errorf("another organisation withdrew the offer: %v", err)
	}
	for range 2 {
		if _, err := c.care.WithdrawOffer(ctx, giver, o.ID); err != nil {
			t.Fatal(err)
		}
	}
	late, _ := c.resident(village, "grocery", 1, 4)
	if got := c.scan(late); len(got.Offered) != 0 {
		t.Errorf("a withdrawn offer still gave %+v", got.Offered)
	}
	if _, err := c.care.HandOver(ctx, c.worker, promise.ID, Evidence{}); err != nil {
		t.Errorf("the promise did not stand: %v", err)
	}
	stock, err := c.care.Stock(ctx, o.ID)
	if err != nil || stock[0].WithdrawnUnits != 9 || stock[0].HandedOverUnits != 1 {
		t.Errorf("stock %+v, %v", stock, err)
	}
	c.clean(false)
}

func TestOtherDivisionsSeeNothing(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, "330500000000")
	r, _ := c.resident(other, "meal", 1, 2)
	if _, err := c.care.Scan(ctx, c.worker, c.code(r)); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("scanned a resident of another county: %v", err)
	}
	there := accounts.Principal{Account: "anji", Role: accounts.Caseworker, Division: "330523000000"}
	got, err := c.care.Scan(ctx, there, c.code(r))
	if err != nil || len(got.Offered) != 1 {
		t.Fatalf("own county: %+v, %v", got, err)
	}
	id := got.Offered[0].ID
	for name, act := range map[string]func() error{
		"view":     func() error { _, err := c.care.Allocation(ctx, c.worker, id); return err },
		"accept":   func() error { _, err := c.care.Accept(ctx, c.worker, id); return err },
		"decline":  func() error { _, err := c.care.Decline(ctx, c.worker, id, ""); return err },
		"handover": func() error { _, err := c.care.HandOver(ctx, c.worker, id, Evidence{}); return err },
	} {
		if err := act(); !errors.Is(err, ErrNotYours) {
			t.Errorf("%s across divisions: %v, want ErrNotYours", name, err)
		}
	}
	views, _, err := c.audit.Of(ctx, r.ID, "", 20)
	if err != nil {
		t.Fatal(err)
	}
	denied := 0
	for _, v := range views {
		if v.Outcome == "denied" {
			denied++
		}
	}
	if denied != 5 {
		t.Errorf("%d denials in the audit log, want 5", denied)
	}
}

func TestRedisVanishesAndIsRebuilt(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 20, 0, county)
	var promised []AllocationView
	for range 8 {
		r, _ := c.resident(village, "meal", 1, 2)
		promised = append(promised, c.scan(r).Offered...)
	}
	if _, err := c.care.HandOver(ctx, c.worker, promised[0].ID, Evidence{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Decline(ctx, c.worker, promised[1].ID, ""); err != nil {
		t.Fatal(err)
	}
	before, err := c.care.Stock(ctx, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.redis.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	c.until("the worker has rebuilt the county", func() bool { return c.care.Ready(ctx) == nil })
	after, err := c.care.Stock(ctx, o.ID)
	if err != nil || after[0] != before[0] {
		t.Errorf("stock after the rebuild %+v, %v; before %+v", after, err, before)
	}
	c.clean(false)
	if err := c.care.Rebuild(ctx, "", nil); err != nil {
		t.Fatal(err)
	}
	c.clean(false)
}

// A Redis that lost its latest writes offers units and caps that are gone; the
// record refuses both.
func TestRecordGuardsAgainstAForgetfulRedis(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("cash", 2, 0, county)
	for range 2 {
		r, _ := c.resident(village, "cash", 1, 2)
		c.scan(r)
	}
	// It forgets both units …
	r, _ := c.resident(village, "cash", 1, 4)
	before := c.remember()
	c.scan(r) // waits
	before()
	stock, err := c.care.Stock(ctx, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	gen := c.redis.Get(ctx, "hc:{330502}:gen").Val()
	if err := c.redis.HSet(ctx, "hc:{330502}:"+gen+":lots", stock[0].Share, "2|0|2").Err(); err != nil {
		t.Fatal(err)
	}
	if got := c.scan(r); len(got.Offered) != 0 || got.Needs[0].State != residents.NeedWaiting {
		t.Errorf("oversold: %+v", got)
	}
	c.untilClean()
	// … and what a household has had: the whole cap of a month.
	c.clock.advance(3 * time.Second)
	legal := c.offer("legal", 10, 0, county)
	r, _ = c.resident(village, "legal", 2, 2)
	back := c.remember()
	c.scan(r)
	back()
	c.need(r, "legal", 2, 2)
	c.scan(r)
	list, _, err := c.care.List(ctx, r.ID, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var given int64
	for _, a := range list {
		if a.Offer == legal.ID && (a.State == Promised || a.State == HandedOver) {
			given += a.QtyUnits
		}
	}
	if given != 2 {
		t.Errorf("%d units in the month, want the cap of 2", given)
	}
	c.untilClean()
}

// remember copies the county's keys; what it returns puts them back, as a
// replica does that takes over without its master's last writes.
func (c *city) remember() (restore func()) {
	c.t.Helper()
	ctx := context.Background()
	gen := c.redis.Get(ctx, "hc:{330502}:gen").Val()
	prefix := "hc:{330502}:" + gen + ":"
	hashes, sets := map[string]map[string]string{}, map[string][]redis.Z{}
	for _, name := range []string{"lots", "holds", "caps"} {
		hashes[name] = c.redis.HGetAll(ctx, prefix+name).Val()
	}
	for _, name := range []string{"due", "seen"} {
		sets[name] = c.redis.ZRangeWithScores(ctx, prefix+name, 0, -1).Val()
	}
	return func() {
		if _, err := c.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
			for name, fields := range hashes {
				p.Del(ctx, prefix+name)
				if len(fields) > 0 {
					p.HSet(ctx, prefix+name, fields)
				}
			}
			for name, members := range sets {
				p.Del(ctx, prefix+name)
				if len(members) > 0 {
					p.ZAdd(ctx, prefix+name, members...)
				}
			}
			return nil
		}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// The record dies at every write in turn, before it and after it, while
// residents scan, accept, decline and hand over; a new process takes over.
// Nothing acknowledged is lost, nothing is given twice.
func TestDeathAtEveryWrite(t *testing.T) {
	t.Parallel()
	inner, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	m := &mortal{Record: inner, writes: -1}
	c := newCity(t, m, nil)
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 36 {
		m.die(-1, false)
		o := c.offer("meal", 6, 0, county)
		var people []*residents.Resident
		for range 4 {
			r, _ := c.resident(village, "meal", 1+rng.Int64N(2), 1+rng.IntN(4))
			people = append(people, r)
		}
		m.die(2*(round%18), round >= 18)
		acknowledged := map[string]State{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i, r := range people {
			all.Go(func() {
				code := c.code0(r)
				if code == "" {
					return
				}
				got, err := c.care.Scan(ctx, c.worker, code)
				if err != nil {
					return
				}
				for _, a := range got.Offered {
					mu.Lock()
					acknowledged[a.ID] = Promised
					mu.Unlock()
					var v AllocationView
					switch i % 3 {
					case 0:
						v, err = c.care.HandOver(ctx, c.worker, a.ID, Evidence{})
					case 1:
						v, err = c.care.Decline(ctx, c.worker, a.ID, "")
					default:
						continue
					}
					mu.Lock()
					if err == nil {
						acknowledged[a.ID] = v.State
					} else {
						acknowledged[a.ID] = "" // anything may have happened
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		// The process is dead; another starts on what is left.
		c.stop()
		m.die(-1, false)
		c.start()
		c.clock.advance(5 * time.Second)
		c.clean(true)
		for id, state := range acknowledged {
			a, err := c.care.Allocation(ctx, c.worker, id)
			if err != nil {
				t.Errorf("round %d: acknowledged allocation %s: %v", round, id, err)
			} else if state != "" && a.State != state {
				t.Errorf("round %d: allocation %s is %q, acknowledged as %q", round, id, a.State, state)
			}
		}
		stock, err := c.care.Stock(ctx, o.ID)
		if err != nil {
			t.Fatal(err)
		}
		if s := stock[0]; s.PromisedUnits+s.HandedOverUnits > s.QtyUnits {
			t.Errorf("round %d: oversold %+v", round, s)
		}
		if _, err := c.care.WithdrawOffer(ctx, accounts.Principal{Role: accounts.Admin}, o.ID); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

// untilClean waits until what is under way has ended and verify is content.
func (c *city) untilClean() {
	c.t.Helper()
	var last []Fault
	defer func() {
		if c.t.Failed() {
			c.t.Log(last)
		}
	}()
	c.until("verify finds no broken promise", func() bool {
		report, err := c.care.Verify(context.Background(), false, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		last = report.Faults
		return report.OK()
	})
}

// code0 is code, or "" when the record is dead.
func (c *city) code0(r *residents.Resident) string {
	_, code, err := c.residents.ByCardNumber(context.Background(), r.CardNo)
	if err != nil {
		return ""
	}
	token, err := c.residents.Token(context.Background(), code)
	if err != nil {
		return ""
	}
	return token.Digits()
}

func TestWithdrawnNeedGivesBack(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 3, 0, county)
	r, n := c.resident(village, "meal", 3, 2)
	c.scan(r)
	for range 2 {
		got, err := c.care.WithdrawNeed(ctx, c.worker, n.ID, "")
		if err != nil || got.State != residents.NeedWithdrawn {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	stock, err := c.care.Stock(ctx, o.ID)
	if err != nil || stock[0].FreeUnits != 3 {
		t.Errorf("stock %+v, %v", stock, err)
	}
	c.clean(false)
}

func TestEventsTellWhatHappened(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 3, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	a := c.scan(r).Offered[0]
	c.clock.advance(time.Second)
	if _, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{}); err != nil {
		t.Fatal(err)
	}
	events, _, err := c.care.Events(ctx, "", o.Organisation, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		if v := e.ForProvider(); v.Resident != "" || v.Need != "" || v.By != "" {
			t.Errorf("a provider would see %+v", v)
		}
	}
	want := []string{"offer.posted", "allocation.promised", "allocation.handed_over"}
	if len(kinds) != 3 || kinds[0] != want[0] || kinds[1] != want[1] || kinds[2] != want[2] {
		t.Errorf("events %v, want %v", kinds, want)
	}
}

// The audit log says who did it, not who asked for it again.
func TestRepeatsInTheAuditLog(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	colleague := accounts.Principal{Account: "colleague", Role: accounts.Caseworker, Division: county}
	for act, do := range map[string]func(accounts.Principal, string) error{
		"accept":  func(p accounts.Principal, id string) error { _, err := c.care.Accept(ctx, p, id); return err },
		"decline": func(p accounts.Principal, id string) error { _, err := c.care.Decline(ctx, p, id, ""); return err },
		"handover": func(p accounts.Principal, id string) error {
			_, err := c.care.HandOver(ctx, p, id, Evidence{})
			return err
		},
	} {
		r, _ := c.resident(village, "meal", 1, 2)
		id := c.scan(r).Offered[0].ID
		for _, p := range []accounts.Principal{c.worker, colleague, c.worker} {
			if err := do(p, id); err != nil {
				t.Fatal(act, err)
			}
		}
		entries, _, err := c.audit.Of(ctx, r.ID, "", 3)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct{ actor, act string }{
			{c.worker.Account, act}, {colleague.Account, act + "_repeated"}, {c.worker.Account, act},
		} {
			if got := entries[i]; got.Actor != want.actor || got.Act != want.act || got.Outcome != "ok" {
				t.Errorf("%s by %s, want %s by %s", got.Act, got.Actor, want.act, want.actor)
			}
		}
	}
	c.clean(false)
}

func TestHandoverProofIsChecked(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	someoneElse := c.person(village, "")
	mine := c.scan(r)
	another := c.scan(someoneElse)
	id := mine.Offered[0].ID
	colleague := accounts.Principal{Account: "colleague", Role: accounts.Caseworker, Division: county}
	for name, try := range map[string]func() error{
		"a scan of somebody else": func() error {
			_, err := c.care.HandOver(ctx, c.worker, id, Evidence{Scan: another.Scan})
			return err
		},
		"a scan by somebody else": func() error {
			_, err := c.care.HandOver(ctx, colleague, id, Evidence{Scan: mine.Scan})
			return err
		},
		"another's card": func() error {
			_, err := c.care.HandOver(ctx, c.worker, id, Evidence{Code: c.code(someoneElse)})
			return err
		},
	} {
		if err := try(); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v, want ErrProof", name, err)
		}
	}
	if _, err := c.care.HandOver(ctx, c.worker, id, Evidence{PIN: "123456"}); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("a wrong PIN: %v", err)
	}
	v, err := c.care.HandOver(ctx, c.worker, id, Evidence{Scan: mine.Scan})
	if err != nil || v.Proof != "scan" {
		t.Errorf("the own scan: %q, %v", v.Proof, err)
	}
	c.need(r, "meal", 1, 2)
	late := c.scan(r)
	c.clock.advance(13 * time.Hour)
	if _, err := c.care.HandOver(ctx, c.worker, late.Offered[0].ID, Evidence{Scan: late.Scan}); !errors.Is(err, ErrProof) && !errors.Is(err, ErrEnded) {
		t.Errorf("an old scan: %v", err)
	}
}

// Threat "replayed screen code": a code is accepted from 30 s before its own
// step to 60 s after it, and once for each purpose, however many others try at once.
func TestReplayedScreenCode(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	_, code, err := c.residents.ByCardNumber(context.Background(), r.CardNo)
	if err != nil {
		t.Fatal(err)
	}
	begin := c.clock.now().Truncate(qrcode.ScreenStep).Add(time.Hour)
	token, err := c.residents.ScreenToken(code, begin)
	if err != nil {
		t.Fatal(err)
	}
	screen := token.Digits()
	for i, x := range []struct {
		at   time.Duration // after the code's own step began
		want bool
	}{
		{-time.Hour, false}, {-30*time.Second - time.Millisecond, false}, {-30 * time.Second, true}, {0, true},
		{90*time.Second - time.Millisecond, true}, {90 * time.Second, false}, {24 * time.Hour, false},
	} {
		c.clock.ms.Store(begin.Add(x.at).UnixMilli())
		_, _, err := c.care.Identify(context.Background(), fmt.Sprint("purpose ", i), screen)
		if (err == nil) != x.want || err != nil && !errors.Is(err, ErrUnknownCode) {
			t.Errorf("%v after its step began: %v, want accepted: %v", x.at, err, x.want)
		}
	}
	c.clock.ms.Store(begin.UnixMilli())
	var taken atomic.Int64
	var all sync.WaitGroup
	for i := range 100 {
		one := accounts.Principal{Account: fmt.Sprint("caseworker ", i), Role: accounts.Caseworker, Division: county}
		all.Go(func() {
			_, err := c.care.Scan(context.Background(), one, screen)
			switch {
			case err == nil:
				taken.Add(1)
			case !errors.Is(err, ErrUnknownCode):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := taken.Load(); got != 1 {
		t.Errorf("one screen code was taken %d times", got)
	}
	if _, _, err := c.care.Identify(context.Background(), "another purpose", screen); err != nil {
		t.Errorf("for another purpose: %v", err)
	}
	if _, _, err := c.care.Identify(context.Background(), "another purpose", screen); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("for another purpose again: %v", err)
	}
	// What was used is remembered for longer than the code stands.
	c.clock.ms.Store(begin.Add(90*time.Second - time.Millisecond).UnixMilli())
	if err := c.care.forgetRedemptions(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.care.Identify(context.Background(), "another purpose", screen); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("after old ones were forgotten: %v", err)
	}
	c.clock.ms.Store(begin.UnixMilli())
	next, err := c.residents.ScreenToken(code, begin.Add(qrcode.ScreenStep))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Scan(context.Background(), c.worker, next.Digits()); err != nil {
		t.Errorf("the code that is shown next: %v", err)
	}
}

// Whoever scanned a screen code and got no answer scans it again; nobody else.
func TestScreenCodeAgainAfterALostAnswer(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	_, code, err := c.residents.ByCardNumber(ctx, r.CardNo)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.residents.ScreenToken(code, c.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	screen := token.Digits()
	// The code is used up, and then the process dies.
	if _, _, _, err := c.care.identify(ctx, "scan", c.worker.Account, screen); err != nil {
		t.Fatal(err)
	}
	var promised string
	for range 2 {
		got, err := c.care.Scan(ctx, c.worker, screen)
		if err != nil || len(got.Offered) != 1 || promised != "" && got.Offered[0].ID != promised {
			t.Fatalf("by the same account: %+v, %v, at first %q", got, err, promised)
		}
		promised = got.Offered[0].ID
	}
	colleague := accounts.Principal{Account: "colleague", Role: accounts.Caseworker, Division: county}
	if _, err := c.care.Scan(ctx, colleague, screen); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("by another account: %v", err)
	}
	for range 2 {
		if v, err := c.care.HandOver(ctx, c.worker, promised, Evidence{Code: screen}); err != nil || v.State != HandedOver {
			t.Errorf("handed over on it: %+v, %v", v, err)
		}
	}
	if _, err := c.care.HandOver(ctx, colleague, promised, Evidence{Code: screen}); !errors.Is(err, ErrProof) {
		t.Errorf("handed over on it by another account: %v", err)
	}
	c.clock.advance(2 * time.Minute)
	if _, err := c.care.Scan(ctx, c.worker, screen); !errors.Is(err, ErrUnknownCode) {
		t.Errorf("after its time: %v", err)
	}
	c.clean(false)
}

func TestSuspendedOrganisationGivesNothingNew(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 10, 0, county)
	first, _ := c.resident(village, "meal", 1, 2)
	kept := c.scan(first).Offered[0]
	if _, err := c.providers.Decide(ctx, "admin", o.Organisation, providers.Suspended, "投诉"); err != nil {
		t.Fatal(err)
	}
	c.until("the offer has left the catalogue", func() bool {
		_, known := c.care.offer(o.ID)
		return !known
	})
	second, _ := c.resident(village, "meal", 1, 4)
	if got := c.scan(second); len(got.Offered) != 0 {
		t.Errorf("a suspended organisation gave %+v", got.Offered)
	}
	if _, err := c.care.HandOver(ctx, c.worker, kept.ID, Evidence{}); err != nil {
		t.Errorf("its promise did not stand: %v", err)
	}
	if _, err := c.providers.Decide(ctx, "admin", o.Organisation, providers.Approved, ""); err != nil {
		t.Fatal(err)
	}
	c.until("the waiting need is served again", func() bool {
		c.scan(second)
		got, err := c.care.Offered(ctx, second.ID)
		return err == nil && len(got) == 1
	})
	c.clean(false)
}

func TestWithoutConsentNothingIsMatchedAndItSaysSo(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	if _, err := c.residents.SetConsent(ctx, "test", r.ID, nil); err != nil {
		t.Fatal(err)
	}
	got := c.scan(r)
	if len(got.Offered) != 0 || got.Needs[0].Reason.Code != matching.CodeWaitingConsent {
		t.Errorf("got %+v", got)
	}
	c.clean(false)
}
