package care

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
)

var errSulky = errors.New("refused by the test")

// sulky is a record that does not take inserts into a collection, or takes
// them without an answer, or slowly.
type sulky struct {
	store.Record
	mu     sync.Mutex
	refuse string                  // a collection
	mute   string                  // likewise
	during func(collection string) // runs before an insert
}

func (s *sulky) set(refuse, mute string, during func(string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse, s.mute, s.during = refuse, mute, during
}

func (s *sulky) Insert(ctx context.Context, c string, docs []store.Document) ([]store.Duplicate, error) {
	s.mu.Lock()
	refuse, mute, during := s.refuse == c, s.mute == c, s.during
	s.mu.Unlock()
	if refuse {
		return nil, errSulky
	}
	if during != nil {
		during(c)
	}
	dups, err := s.Record.Insert(ctx, c, docs)
	if mute {
		return nil, errSulky
	}
	return dups, err
}

func newSulkyCity(t *testing.T) (*city, *sulky) {
	t.Helper()
	r, err := sqlite.Open(t.TempDir() + "/record.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	record := &sulky{Record: r}
	return newCity(t, record, nil), record
}

// told are the kinds of the events of a need, sorted.
func (c *city) told(need string) string {
	c.t.Helper()
	var kinds []string
	if err := c.care.events.Each(context.Background(), store.Query{Index: "told"}, func(e *Event) error {
		if e.Need == need {
			kinds = append(kinds, e.Kind)
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	slices.Sort(kinds)
	return strings.Join(kinds, " ")
}

// life is a need that waits, is promised something, is accepted, asks for less
// and is withdrawn; the kinds of its events are lifeTold.
func (c *city) life(category string) string {
	c.t.Helper()
	ctx := context.Background()
	r := c.person(village, "")
	n, err := c.care.AddNeed(ctx, c.worker, residents.NewNeed{Resident: r.ID, Category: category, QtyUnits: 3, Urgency: 2, Source: "scan"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.scan(r)
	c.offer(category, 2, 0, county)
	var given []*Allocation
	c.until("the need is promised something", func() bool {
		c.clock.advance(time.Second)
		if given, err = c.care.pastOf(ctx, n.ID); err != nil {
			c.t.Fatal(err)
		}
		got, err := c.residents.NeedByID(ctx, n.ID)
		return err == nil && len(given) == 1 && got.State == residents.NeedPromised
	})
	if _, err := c.care.Accept(ctx, c.worker, given[0].ID); err != nil {
		c.t.Fatal(err)
	}
	less := int64(2)
	if _, err := c.care.EditNeed(ctx, c.worker, n.ID, residents.NeedEdit{QtyUnits: &less, Why: "asked"}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.care.WithdrawNeed(ctx, c.worker, n.ID, "solved"); err != nil {
		c.t.Fatal(err)
	}
	return n.ID
}

const lifeTold = "allocation.accepted allocation.promised allocation.withdrawn need.changed need.opened need.promised need.waiting need.withdrawn"

// What the record did not take is written before the process ends.
func TestEventsAreWrittenBeforeTheEnd(t *testing.T) {
	t.Parallel()
	c, record := newSulkyCity(t)
	if got := c.told(c.life("meal")); got != lifeTold {
		t.Fatalf("told %s,\nwant %s", got, lifeTold)
	}
	record.set(eventSchema.Name, "", nil)
	need := c.life("homecare")
	if got := c.told(need); got != "" {
		t.Fatalf("the record took %s", got)
	}
	c.care.cancel() // its loops end; the record is back too late for them
	c.care.running.Wait()
	record.set("", "", nil)
	c.stop()
	if got := c.told(need); got != lifeTold {
		t.Errorf("told %s,\nwant %s", got, lifeTold)
	}
}

// What a process that died had not written, a repair tells from what the
// record says of needs and allocations, once.
func TestRepairTellsWhatACrashKeptBack(t *testing.T) {
	t.Parallel()
	c, record := newSulkyCity(t)
	record.set(eventSchema.Name, "", nil)
	need := c.life("homecare")
	c.stop()
	c.care.untold.take()
	record.set("", "", nil)
	c.start()
	c.clock.advance(2 * c.care.lease)
	if got := c.told(need); got != "" {
		t.Fatalf("the record took %s", got)
	}
	c.clean(true)
	if got := c.told(need); got != lifeTold {
		t.Errorf("told %s,\nwant %s", got, lifeTold)
	}
	// The ids are those of the events themselves.
	other := c.life("meal")
	c.clock.advance(2 * c.care.lease)
	if r := c.clean(true); r.Repaired != 0 {
		t.Errorf("%d events were told anew", r.Repaired)
	}
	if got := c.told(other); got != lifeTold {
		t.Errorf("told %s,\nwant %s", got, lifeTold)
	}
}

// An event does not hang on the entry in the audit log: the repeat of what
// failed there finds nothing that is fresh.
func TestEventsDoNotWaitForTheAuditLog(t *testing.T) {
	t.Parallel()
	c, record := newSulkyCity(t)
	ctx := context.Background()
	c.offer("meal", 2, 0, county)
	r := c.person(village, "")
	refused := func(what string, do func() error) {
		t.Helper()
		record.set("audit_blocks", "", nil)
		if err := do(); !errors.Is(err, errSulky) {
			t.Errorf("%s without the audit log: %v", what, err)
		}
		record.set("", "", nil)
		if err := do(); err != nil {
			t.Errorf("%s again: %v", what, err)
		}
	}
	var need *residents.Need
	refused("add", func() (err error) {
		n, err := c.care.AddNeed(ctx, c.worker, residents.NewNeed{Resident: r.ID, Category: "meal", QtyUnits: 1, Urgency: 2, Source: "scan", Key: "one"})
		if err == nil {
			need = n
		}
		return err
	})
	id := c.scan(r).Offered[0].ID
	refused("accept", func() error {
		_, err := c.care.Accept(ctx, c.worker, id)
		return err
	})
	more := 3
	refused("edit", func() error {
		_, err := c.care.EditNeed(ctx, c.worker, need.ID, residents.NeedEdit{Urgency: &more, Why: "asked"})
		return err
	})
	want := "allocation.accepted allocation.promised need.changed need.opened need.promised"
	if got := c.told(need.ID); got != want {
		t.Errorf("told %s,\nwant %s", got, want)
	}
}

// What lies where followers have passed is told again: a write that took long,
// and one that was carried out without an answer.
func TestLateEventsAreToldAgain(t *testing.T) {
	t.Parallel()
	c, record := newSulkyCity(t)
	ctx := context.Background()
	_, n := c.resident(village, "meal", 1, 2)
	c.care.Stop()
	event := func(id string) *Event {
		return &Event{Meta: store.Meta{ID: id}, AtMs: c.clock.now().UnixMilli(), County: county, Kind: "need.waiting", Need: n.ID}
	}
	follows := func(id string, from time.Time) {
		t.Helper()
		events, _, err := c.care.Told(ctx, from.UnixMilli(), c.clock.now().UnixMilli()+1, "", 10)
		if err != nil || !slices.ContainsFunc(events, func(e *Event) bool { return e.ID == id }) {
			t.Errorf("who follows from %s on misses %s: %v", from, id, err)
		}
	}
	record.set("", "", func(string) { c.clock.advance(2*ToldMargin + time.Second) })
	passed := c.clock.now().Add(ToldMargin) // a follower that stays behind is here when the write comes
	c.care.emit(ctx, event("slow"))
	record.set("", "", nil)
	follows("slow", passed)

	record.set("", eventSchema.Name, nil)
	c.care.emit(ctx, event("late"))
	record.set("", "", nil)
	c.clock.advance(2 * ToldMargin)
	passed = c.clock.now()
	if err := c.care.emitLate(ctx); err != nil {
		t.Fatal(err)
	}
	follows("late", passed)

	// What was told in time is not told again.
	c.clock.advance(time.Second)
	c.care.emit(ctx, event("quick"))
	c.clock.advance(time.Minute)
	c.care.emit(ctx, event("quick"))
	if events, _, err := c.care.Told(ctx, c.clock.now().UnixMilli(), c.clock.now().UnixMilli()+1, "", 10); err != nil || len(events) != 0 {
		t.Errorf("told again: %d events, %v", len(events), err)
	}
}

// A rest whose time is over is told once, with why.
func TestRestExpiredIsTold(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 1, 0, county)
	r := c.person(village, "")
	n, err := c.care.AddNeed(ctx, c.worker, residents.NewNeed{
		Resident: r.ID, Category: "meal", QtyUnits: 2, Urgency: 2, Source: "scan", UntilMs: c.clock.now().Add(time.Hour).UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	id := c.scan(r).Offered[0].ID
	if _, err := c.care.Accept(ctx, c.worker, id); err != nil { // it outlasts the need's time
		t.Fatal(err)
	}
	c.clock.advance(2 * time.Hour)
	want := "allocation.accepted allocation.promised need.opened need.promised need.rest_expired"
	c.until("the rest has expired", func() bool { return c.told(n.ID) == want })
	c.clock.advance(time.Hour)
	if _, err := (ledger{c.care}).Serve(ctx, county, n.ID); err != nil {
		t.Fatal(err)
	}
	if got := c.told(n.ID); got != want {
		t.Errorf("told %s,\nwant %s", got, want)
	}
}

// A caseworker lowers a need while a scan promises what was asked for before:
// in the end no more is promised than is asked for now.
func TestLessIsAskedForWhileAScanPromises(t *testing.T) {
	t.Parallel()
	c, record := newSulkyCity(t)
	c.offer("meal", 10, 0, county)
	r, n := c.resident(village, "meal", 3, 3)
	var once sync.Once
	record.set("", "", func(collection string) {
		if collection != allocationSchema.Name {
			return
		}
		once.Do(func() { // the scan has read the need, and its promise is not written yet
			less := int64(1)
			if _, err := c.care.EditNeed(context.Background(), c.worker, n.ID, residents.NeedEdit{QtyUnits: &less, Why: "asked"}); err != nil {
				t.Error(err)
			}
		})
	})
	c.scan(r)
	standing := func() (promised int64, trimmed bool) {
		past, err := c.care.pastOf(context.Background(), n.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range past {
			if a.counts() {
				promised += a.QtyUnits
			}
			trimmed = trimmed || a.State == Withdrawn && a.QtyUnits == 3
		}
		return promised, trimmed
	}
	if promised, trimmed := standing(); promised > 1 || !trimmed {
		t.Errorf("%d units are promised, and 3 taken back: %v; want 1 at most", promised, trimmed)
	}
	c.scan(r) // and the next one gives what is asked for
	if promised, _ := standing(); promised != 1 {
		t.Errorf("%d units are promised, want the 1 that is asked for", promised)
	}
	c.clock.advance(2 * c.care.lease)
	c.clean(false)
}

// An edit that died between the need and its promises is finished by a repair:
// what fits stays.
func TestRepairTakesBackWhatIsNotAskedForAnyMore(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 2, 0, county)
	c.offer("meal", 1, 0, county)
	r, n := c.resident(village, "meal", 3, 3)
	if got := promisedUnits(c.scan(r)); got != 3 {
		t.Fatalf("%d units promised, want 3", got)
	}
	less := int64(2)
	if _, err := c.residents.EditNeed(ctx, n.ID, "test", residents.NeedEdit{QtyUnits: &less, Why: "asked"}, c.clock.now()); err != nil {
		t.Fatal(err)
	}
	c.clean(true)
	past, err := c.care.pastOf(ctx, n.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range past {
		if want := map[int64]State{2: Promised, 1: Withdrawn}[a.QtyUnits]; a.State != want {
			t.Errorf("%d units are %s, want %s", a.QtyUnits, a.State, want)
		}
	}
}
