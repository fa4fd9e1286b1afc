package matching_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
)

// epoch is where the tests' clocks begin: noon in China.
var epoch = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

// counties gives every test counties of its own.
var counties atomic.Int64

func newCounty() string { return fmt.Sprintf("33%04d000000", counties.Add(1)) }

// clock is set by tests.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(epoch.UnixMilli())
	return c
}

func (c *clock) now() time.Time           { return time.UnixMilli(c.ms.Load()) }
func (c *clock) forward(by time.Duration) { c.ms.Add(by.Milliseconds()) }

// rig is an engine on one Redis with a county that is ready.
type rig struct {
	*matching.Engine
	*clock
	t      testing.TB
	url    string
	county string
}

// each runs a test on every Redis there is.
func each(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	for name, url := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRig(t, url(t)))
		})
	}
}

func newRig(t testing.TB, url string) *rig {
	t.Helper()
	r := connectRig(t, url, newCounty(), newClock())
	r.rebuild(matching.Snapshot{})
	return r
}

// connectRig makes a further engine, as another process would.
func connectRig(t testing.TB, url, county string, c *clock) *rig {
	t.Helper()
	client, err := matching.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	e, err := matching.New(matching.Config{Redis: client, Now: c.now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Engine: e, clock: c, t: t, url: url, county: county}
}

func (r *rig) ctx() context.Context { return r.t.Context() }

func (r *rig) rebuild(s matching.Snapshot) {
	r.t.Helper()
	r.ok(r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) { return s, nil }))
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) dump() []string {
	r.t.Helper()
	lines, err := r.Dump(r.ctx(), r.county)
	r.ok(err)
	return lines
}

// open opens lots of the category meal.
// publish publishes lines that are drawn by what is there now.
func (r *rig) publish(l *matching.Lines, o *matching.Outlook) {
	r.t.Helper()
	drawn, err := r.Standing(r.ctx(), r.county)
	r.ok(err)
	r.ok(r.PublishLines(r.ctx(), r.county, l, o, drawn))
}

func (r *rig) open(units int64, lots ...string) {
	r.t.Helper()
	states := make([]matching.LotState, len(lots))
	for i, l := range lots {
		states[i] = matching.LotState{ID: l, Category: "meal", FreeUnits: units}
	}
	r.ok(r.OpenLots(r.ctx(), r.county, states))
}

// meals asks for meals from lots; a limit of 0 is none.
func meals(need string, qty, limit int64, lots ...string) matching.Ask {
	a := matching.Ask{
		Need: need, Category: "meal", QtyUnits: qty, WeightMilli: 1000,
		Cap: matching.Cap{Field: "c:meal", Period: "D20261124", Limit: limit},
	}
	for _, l := range lots {
		a.Candidates = append(a.Candidates, matching.Candidate{Offer: "o-" + l, Lot: l})
	}
	return a
}

func (r *rig) match(household string, asks ...matching.Ask) []matching.Outcome {
	r.t.Helper()
	out, err := r.Match(r.ctx(), matching.Request{County: r.county, Household: household, Asks: asks})
	r.ok(err)
	return out
}

// stock checks free, held and taken units of a lot.
func (r *rig) stock(lot string, free, held, taken int64) {
	r.t.Helper()
	got, err := r.Stock(r.ctx(), r.county, []string{lot})
	r.ok(err)
	want := []matching.Stock{{ID: lot, Known: true, FreeUnits: free, HeldUnits: held, TakenUnits: taken, Closed: got[0].Closed}}
	r.same("stock of "+lot, got, want)
}

func (r *rig) same(what string, got, want any) {
	r.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}
