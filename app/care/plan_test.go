package care

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/simulate"
	"github.com/xingfuma/happycode/providers"
)

// quiet is a city in which nothing happens by itself: the test ticks the worker.
func quiet(t *testing.T) *city {
	t.Helper()
	c := newCity(t, nil, nil)
	c.stop()
	c.again()
	return c
}

// again is another process on the same record and Redis that does nothing by
// itself.
func (c *city) again() *Service {
	c.t.Helper()
	engine, err := matching.New(matching.Config{Redis: c.redis, Now: c.clock.now})
	if err != nil {
		c.t.Fatal(err)
	}
	log := audit.New(audit.Config{Record: c.record, Now: c.clock.now})
	c.t.Cleanup(log.Close)
	s, err := New(Config{
		Record: c.record, Engine: engine, Catalogue: matching.NewCatalogue(), Residents: c.residents,
		Providers: c.providers, Audit: log, Tree: func() *regions.Tree { return c.tree },
		Vault: c.vault, Keys: c.keys, Now: c.clock.now,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	s.fetch = lastMoment
	ctx, cancel := context.WithCancel(context.Background())
	s.running.Go(func() { s.committer.run(ctx) })
	c.t.Cleanup(func() { cancel(); s.running.Wait() })
	if err := s.loadOffers(ctx); err != nil {
		c.t.Fatal(err)
	}
	c.care = s
	return s
}

// lastMoment is simulate's.
const lastMoment = 1200 * time.Millisecond

func (c *city) tick(s *Service) {
	c.t.Helper()
	if err := s.worker.Tick(context.Background(), county); err != nil {
		c.t.Fatal(err)
	}
}

// neighbour registers a person of a score and a group.
func (c *city) neighbour(score int64, group string) *residents.Resident {
	c.t.Helper()
	n := idNumbers.Add(1)
	r, err := c.residents.Register(context.Background(), "test", residents.Registration{
		Name: fmt.Sprintf("测试%d", n), IDNumber: validID(n), Division: village, ScoreMilli: score,
		Groups: []string{group}, Consent: []string{residents.ConsentMatching, residents.ConsentHandover},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// needs adds a need for meals.
func (c *city) needs(r *residents.Resident, qty int64, urgency int, lasts time.Duration) *residents.Need {
	c.t.Helper()
	n, err := c.residents.AddNeed(context.Background(), "test", residents.NewNeed{
		Resident: r.ID, Category: "meal", QtyUnits: qty, Urgency: urgency, Source: "scan", UntilMs: c.clock.now().Add(lasts).UnixMilli(),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// meals posts an offer of meals.
func (c *city) meals(n providers.NewOffer, lots ...providers.NewLot) *providers.Offer {
	c.t.Helper()
	org := c.organisation()
	n.TitleZH, n.TitleEN, n.Category, n.Divisions, n.Lots = "测试资源", "Test offer", "meal", []string{county}, lots
	n.Handover = providers.Handover{How: providers.Pickup, Place: "社区食堂"}
	o, err := c.care.PostOffer(context.Background(), accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: org.ID}, org.ID, n)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

// town is a day in both worlds: in a scenario and in a running city.
type town struct {
	*city
	start    time.Time
	scenario *simulate.Scenario
	needOf   map[string]string // need of the record → of the scenario
	offerOf  map[string]string
}

func (w *town) at(minutes float64) {
	w.clock.ms.Store(w.start.UnixMilli() + int64(minutes*60_000))
}

// comes lets somebody come, in the city and in one of the scenario's lists.
func (w *town) comes(rng *rand.Rand, list *[]simulate.Need, minute float64, day float64) *residents.Resident {
	score, urgency, qty := rng.Int64N(1001), 1+rng.IntN(4), 1+rng.Int64N(2)
	group := []string{"elderly", "disabled"}[rng.IntN(2)]
	lasts := float64(61 + 5*rng.IntN(40))
	w.at(minute - day*24*60)
	r := w.neighbour(score, group)
	n := w.needs(r, qty, urgency, time.Duration(lasts)*time.Minute)
	id := fmt.Sprintf("n%04d", len(*list))
	w.needOf[n.ID] = id
	*list = append(*list, simulate.Need{
		ID: id, Resident: r.ID, T: minute, Deadline: minute + lasts, Category: "meal", Qty: qty, Urgency: urgency,
		MPI: float64(score) / 1000, Region: "village", Groups: []string{group}, Weight: float64(n.WeightMilli(score)) / 1000,
	})
	return r
}

func (w *town) offers(id, group string, minScore int64, lots ...simulate.Lot) {
	w.posts(id, providers.NewOffer{MinScoreMilli: minScore}, group, lots...)
}

// keeps posts an offer that keeps half of each of its lots for a group.
func (w *town) keeps(id, group string, lots ...simulate.Lot) {
	w.posts(id, providers.NewOffer{Kept: []providers.Kept{{Group: group, PerMille: 500}}}, "", lots...)
	lots = w.scenario.Resources[len(w.scenario.Resources)-1].Lots
	for i := range lots {
		lots[i].Qty /= 2
		kept := lots[i]
		kept.Kept = &simulate.Kept{Group: group}
		lots = append(lots, kept)
	}
	w.scenario.Resources[len(w.scenario.Resources)-1].Lots = lots
}

func (w *town) posts(id string, n providers.NewOffer, group string, lots ...simulate.Lot) {
	minScore := n.MinScoreMilli
	r := simulate.Resource{ID: id, Category: "meal", Regions: []string{"*"}, MinMPI: float64(minScore) / 1000, Lots: lots}
	if group != "" {
		n.Groups, r.Groups = []string{group}, []string{group}
	}
	var posted []providers.NewLot
	for _, l := range lots {
		posted = append(posted, providers.NewLot{
			QtyUnits: l.Qty, FromMs: w.start.UnixMilli() + int64(l.From*60_000), UntilMs: w.start.UnixMilli() + int64(l.Until*60_000),
		})
	}
	w.offerOf[w.meals(n, posted...).ID] = id
	w.scenario.Resources = append(w.scenario.Resources, r)
}

// The server decides as simulate does: the same needs get the same units of the
// same offers at the same moments, by the same rule code.
func TestTheServerDecidesAsSimulateDoes(t *testing.T) {
	t.Parallel()
	const comeFrom, comeFor, people = 8 * 60, 9 * 60, 110
	w := &town{
		city: quiet(t), start: time.UnixMilli(midnight(time.Date(2026, 12, 10, 0, 0, 0, 0, time.UTC))),
		needOf: map[string]string{}, offerOf: map[string]string{},
		scenario: &simulate.Scenario{
			Version: 1, Horizon: 24 * 60, Regions: []string{"village"}, Groups: []string{"elderly", "disabled"},
			Categories: []simulate.Category{{Name: "meal", Cap: 3}},
		},
	}
	rng := rand.New(rand.NewPCG(7, 4))
	for i := range people { // a week ago
		w.comes(rng, &w.scenario.History, comeFrom+float64(i)*comeFor/people, 7)
	}
	w.at(0)
	w.offers("all", "", 0, simulate.Lot{Qty: 20, From: 0, Until: 13*60 + 2}, simulate.Lot{Qty: 25, From: 12 * 60, Until: 19*60 + 3})
	w.offers("disabled", "disabled", 0, simulate.Lot{Qty: 15, From: 9 * 60, Until: 18*60 + 4})
	w.keeps("kept", "disabled", simulate.Lot{Qty: 16, From: 9 * 60, Until: 16*60 + 6})
	w.offers("poor", "", 500, simulate.Lot{Qty: 15, From: 10 * 60, Until: 17*60 + 1})

	moments := []float64{} // at which there may be something to plan
	for m := 0.0; m < 24*60; m += 5 {
		moments = append(moments, m)
	}
	for _, r := range w.scenario.Resources {
		for _, l := range r.Lots {
			moments = append(moments, l.From, l.Until-lastMoment.Minutes())
		}
	}
	slices.Sort(moments)
	arrivals := make([]float64, people)
	for i := range arrivals {
		arrivals[i] = comeFrom + 0.37 + float64(i)*comeFor/people
	}
	for len(moments) > 0 {
		if len(arrivals) > 0 && arrivals[0] < moments[0] {
			w.scan(w.comes(rng, &w.scenario.Needs, arrivals[0], 0))
			arrivals = arrivals[1:]
			continue
		}
		w.at(moments[0])
		w.tick(w.care)
		moments = moments[1:]
	}

	planned, err := simulate.Run(context.Background(), w.scenario, simulate.Config{Policy: simulate.Drip, Redis: w.redis})
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	atOnce, later := 0, 0
	arrived := map[string]float64{}
	for _, n := range w.scenario.Needs {
		arrived[n.ID] = n.T
	}
	line := func(minute float64, need, offer string, qty int64) string {
		return fmt.Sprintf("%8.2f need %s: %d of %s", minute, need, qty, offer)
	}
	for _, a := range planned {
		want = append(want, line(a.T, a.Need, a.Resource, a.Qty))
		if a.T == arrived[a.Need] {
			atOnce++
		} else {
			later++
		}
	}
	if err := w.care.allocations.Each(context.Background(), store.Query{Index: "category", Equal: []any{county}}, func(a *Allocation) error {
		if a.PromisedMs < w.start.UnixMilli() {
			return nil
		}
		got = append(got, line(float64(a.PromisedMs-w.start.UnixMilli())/60_000, w.needOf[a.Need], w.offerOf[a.Offer], a.QtyUnits))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		for _, l := range want {
			if !slices.Contains(got, l) {
				t.Errorf("only simulate: %s", l)
			}
		}
		for _, l := range got {
			if !slices.Contains(want, l) {
				t.Errorf("only the server: %s", l)
			}
		}
	}
	if atOnce < 20 || later < 5 || atOnce+later > people-10 {
		t.Errorf("%d are served at once and %d later of %d: the day tests nothing", atOnce, later, people)
	}
}

// past lets people of a score come a week ago, one every ten minutes from ten
// o'clock on, for a meal each.
func (c *city) past(start time.Time, people int, score int64) {
	for i := range people {
		c.clock.ms.Store(start.Add(-7*24*time.Hour + 10*time.Hour + time.Duration(i)*10*time.Minute).UnixMilli())
		c.needs(c.neighbour(score, "elderly"), 1, 4, time.Hour)
	}
}

func thursday() time.Time {
	return time.UnixMilli(midnight(time.Date(2026, 12, 10, 0, 0, 0, 0, time.UTC)))
}

func (c *city) view(n *residents.Need) NeedView {
	c.t.Helper()
	views, err := c.care.Needs(context.Background(), n.Resident)
	if err != nil || len(views) != 1 {
		c.t.Fatalf("%d needs, %v", len(views), err)
	}
	return views[0]
}

// Who stands below the line waits and is told so; who stands on or above it is
// served; and when those who were expected have not come, the line falls.
func TestTheLineKeepsAndReleases(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	start := thursday()
	c.past(start, 12, 900) // weight 3.88
	c.clock.ms.Store(start.Add(9 * time.Hour).UnixMilli())
	c.meals(providers.NewOffer{}, providers.NewLot{QtyUnits: 6, FromMs: start.UnixMilli(), UntilMs: start.Add(20 * time.Hour).UnixMilli()})
	c.tick(c.care)

	low, lower := c.neighbour(300, "elderly"), c.neighbour(100, "elderly")
	first, second := c.needs(low, 1, 2, 12*time.Hour), c.needs(lower, 1, 2, 12*time.Hour)
	c.scan(lower)
	told := c.scan(low).Needs[0]
	if told.State != residents.NeedWaiting || told.Reason.Code != matching.CodeWaitingLine || told.Position != 1 ||
		told.Reason.Facts["weight_milli"] != "825" || told.Reason.Facts["line_milli"] != "3881" || told.Reason.Facts["position"] != "1" {
		t.Errorf("below the line: %+v", told)
	}
	high := c.neighbour(1000, "elderly")
	c.needs(high, 1, 4, time.Hour)
	if got := c.scan(high); len(got.Offered) != 1 || got.Offered[0].Reason.Code != matching.CodeGiven || got.Offered[0].Reason.Facts["line_milli"] != "3881" {
		t.Errorf("above the line: %+v", got.Offered)
	}
	if v := c.view(second); v.Position != 2 {
		t.Errorf("the second waits at %d", v.Position)
	}
	// Nobody comes. Hour by hour less is expected, and both are served.
	for hour := 9; hour < 20 && c.view(second).State == residents.NeedWaiting; hour++ {
		c.clock.ms.Store(start.Add(time.Duration(hour)*time.Hour + 30*time.Minute).UnixMilli())
		c.tick(c.care)
	}
	for _, n := range []*residents.Need{first, second} {
		v := c.view(n)
		if v.State != residents.NeedPromised || v.Reason.Code != matching.CodeGivenWaiting || v.Reason.Facts["was_milli"] != "3881" {
			t.Errorf("after the day without the others: %+v", v)
		}
	}
	if err := c.care.expirePromises(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.clean(false)
}

// Where nobody competes, everything is given at once.
func TestASmallShelfHasNoLine(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	now := c.clock.now()
	o := c.meals(providers.NewOffer{}, providers.NewLot{QtyUnits: 5, FromMs: now.UnixMilli(), UntilMs: now.Add(12 * time.Hour).UnixMilli()})
	if o.Pace != matching.PaceDrip || o.ReserveMilli != matching.DefaultReserveMilli {
		t.Errorf("an offer that says nothing has pace %q and reserve %d", o.Pace, o.ReserveMilli)
	}
	c.tick(c.care)
	for range 4 {
		r := c.neighbour(0, "elderly")
		c.needs(r, 1, 1, time.Hour)
		if got := c.scan(r); len(got.Offered) != 1 || got.Offered[0].Reason.Facts["line_milli"] != "0" {
			t.Errorf("got %+v", got.Needs)
		}
		c.clock.advance(6 * time.Minute)
	}
}

// Another process serves by the lines, and plans when the first is gone. A
// county that was rebuilt is planned again at once.
func TestPlannersTakeOver(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	ctx := context.Background()
	start := thursday()
	c.past(start, 12, 900)
	c.clock.ms.Store(start.Add(9 * time.Hour).UnixMilli())
	o := c.meals(providers.NewOffer{}, providers.NewLot{QtyUnits: 6, FromMs: start.UnixMilli(), UntilMs: start.Add(20 * time.Hour).UnixMilli()})
	lot := providers.ShareID(o.Lots[0].ID, county)
	first := c.care
	second := c.again()
	c.tick(first)
	if line := second.engine.Lines(county).Of(lot); line != 0 {
		t.Errorf("before its tick the second knows the line %d", line)
	}
	c.tick(second)
	drawn := second.engine.Lines(county)
	if drawn.Of(lot) != 3881 || second.plans.of(county).planner != nil {
		t.Errorf("the second follows the line %d; it planned: %v", drawn.Of(lot), second.plans.of(county).planner != nil)
	}
	// The first dies without a word. Its lock runs out, and the second plans.
	if err := c.redis.PExpire(ctx, "hc:{330502}:worker", time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	c.until("the lock has run out", func() bool {
		c.tick(second)
		return second.plans.of(county).planner != nil
	})
	if now := second.engine.Lines(county); now.Of(lot) != 3881 || now == drawn {
		t.Errorf("the second drew the line %d", now.Of(lot))
	}
	// Redis is emptied: without lines everybody would be served, so the rebuild
	// and the plan are one tick.
	if err := c.redis.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	c.tick(second)
	if line := second.engine.Lines(county).Of(lot); line != 3881 {
		t.Errorf("after a rebuild the line is %d", line)
	}
	// Nothing changes: nothing is drawn until five minutes have passed.
	drawn = second.engine.Lines(county)
	c.clock.advance(matching.PlanEvery - time.Millisecond)
	c.tick(second)
	if second.engine.Lines(county) != drawn {
		t.Error("lines are drawn before it is time")
	}
	c.clock.advance(time.Millisecond)
	c.tick(second)
	if second.engine.Lines(county) == drawn {
		t.Error("after five minutes no lines are drawn")
	}
}

// The forecast rests on the same weekday of the last weeks, the last one most.
func TestHistory(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	start := thursday().AddDate(0, 0, 7)
	r := c.neighbour(500, "elderly")
	for _, before := range []int{0, 1, 6, 7, 8, 14} { // days
		c.clock.ms.Store(start.AddDate(0, 0, -before).Add(10 * time.Hour).UnixMilli())
		c.needs(r, int64(1+before), 1, time.Hour)
	}
	past, err := c.care.history(context.Background(), county, start.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, p := range past {
		got += fmt.Sprintf("%v units × %.3f, ", p.Units, p.Share)
	}
	if want := "8 units × 0.556, 15 units × 0.444, "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// What would go past the bound is left out whole.
	if out, whole, err := c.care.came(context.Background(), county, 0, start.AddDate(0, 0, 1).UnixMilli(), 5, nil); err != nil || whole || len(out) != 5 {
		t.Errorf("%d of six with room for five, whole: %v, %v", len(out), whole, err)
	}
}

// An offer that is released evenly gives its part and no more, and says so.
func TestEvenRelease(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	start := c.clock.now()
	c.meals(providers.NewOffer{Pace: matching.PaceEven}, providers.NewLot{
		QtyUnits: 4, FromMs: start.UnixMilli(), UntilMs: start.Add(4 * time.Hour).UnixMilli(),
	})
	var waiting []*residents.Need
	served := func() (n int) {
		for _, w := range waiting {
			if c.view(w).State == residents.NeedPromised {
				n++
			}
		}
		return n
	}
	c.clock.advance(time.Minute)
	c.tick(c.care)
	for range 4 {
		r := c.neighbour(500, "elderly")
		waiting = append(waiting, c.needs(r, 1, 2, 12*time.Hour))
		c.scan(r)
		c.tick(c.care)
	}
	if got := served(); got != 1 {
		t.Errorf("after a minute %d of 4 units are given, want the first", got)
	}
	if v := c.view(waiting[3]); v.Reason.Code != matching.CodeWaitingEven {
		t.Errorf("the last is told %+v", v.Reason)
	}
	c.clock.advance(time.Hour)
	for range 3 {
		c.tick(c.care)
	}
	if got := served(); got != 2 {
		t.Errorf("after an hour %d of 4 units are given, want 2", got)
	}
}

// What is kept for a group is given to it, and to others only when it opens; who
// waits for that is told for whom it is kept and until when.
func TestKeptForAGroup(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	ctx := context.Background()
	start := c.clock.now()
	o := c.meals(providers.NewOffer{Kept: []providers.Kept{{Group: "disabled", PerMille: 500}}}, providers.NewLot{
		QtyUnits: 4, FromMs: start.UnixMilli(), UntilMs: start.Add(10 * time.Hour).UnixMilli(),
	})
	comes := func(group string, qty int64) *residents.Need {
		r := c.neighbour(500, group)
		n := c.needs(r, qty, 2, 12*time.Hour)
		c.scan(r)
		return n
	}
	of := func(n *residents.Need) (out []string) {
		past, err := c.care.pastOf(ctx, n.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range past {
			out = append(out, fmt.Sprintf("%d of %s: %s", a.QtyUnits, strings.TrimPrefix(a.Share, o.ID), a.Reason.EN))
		}
		return out
	}
	c.tick(c.care)
	first, second := comes("elderly", 2), comes("elderly", 1)
	if got := of(first); len(got) != 1 || !strings.HasPrefix(got[0], "2 of -1@330502") {
		t.Errorf("the first elder got %v, want the two that are kept for nobody", got)
	}
	v := c.view(second)
	opens := start.Add(10*time.Hour - lastMoment).UnixMilli()
	if v.Reason.Code != matching.CodeWaitingKept || v.Reason.Facts["kept_group"] != "disabled" || v.Reason.Facts["opens_ms"] != fmt.Sprint(opens) {
		t.Errorf("the second elder is told %+v", v.Reason)
	}
	if got := of(comes("disabled", 1)); len(got) != 1 || !strings.HasPrefix(got[0], "1 of -1k1@330502") || !strings.Contains(got[0], "(kept for: Disabled)") {
		t.Errorf("somebody for whom it is kept got %v", got)
	}
	stock, err := c.care.Stock(ctx, o.ID)
	if err != nil || len(stock) != 2 || stock[1].Kept != 1 || stock[1].QtyUnits != 2 || stock[1].PromisedUnits != 1 || stock[0].Kept != 0 {
		t.Errorf("stock %+v, %v", stock, err)
	}
	for _, x := range c.care.spareOffers(village, county) {
		if slices.Contains(x.shares, stock[1].Share) {
			t.Error("a device may take spares of what is kept for others")
		}
	}
	c.clock.advance(4 * time.Hour)
	c.tick(c.care)
	if got := of(second); len(got) != 0 {
		t.Errorf("before half of its time the elder got %v", got)
	}
	c.clock.advance(6*time.Hour - time.Second)
	c.tick(c.care)
	if got := of(second); len(got) != 1 || !strings.HasPrefix(got[0], "1 of -1k1@330502") || !strings.Contains(got[0], "now open to all") {
		t.Errorf("in the last part of its time the elder got %v", got)
	}
	report, err := c.care.Verify(ctx, false, nil)
	if err != nil || report.QtyUnits != 4 || slices.ContainsFunc(report.Faults, func(f Fault) bool { return f.Promise == 1 }) {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// Who waits weighs more and more, and comes to the head of the list.
func TestWaitingRaises(t *testing.T) {
	t.Parallel()
	c := quiet(t)
	c.tick(c.care)
	old := c.needs(c.neighbour(500, "elderly"), 1, 2, 4*time.Hour)
	r, err := c.residents.Get(context.Background(), old.Resident)
	if err != nil {
		t.Fatal(err)
	}
	c.scan(r)
	c.clock.advance(3 * time.Hour)
	young := c.neighbour(520, "elderly")
	n := c.needs(young, 1, 2, 4*time.Hour)
	c.scan(young)
	c.tick(c.care)
	if c.view(old).Position != 1 || c.view(n).Position != 2 {
		t.Errorf("who waits for three hours is at %d, who came now at %d", c.view(old).Position, c.view(n).Position)
	}
}
