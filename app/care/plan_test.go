package care

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
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
	n := providers.NewOffer{MinScoreMilli: minScore}
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
	w.offers("all", "", 0, simulate.Lot{Qty: 30, From: 0, Until: 13*60 + 2}, simulate.Lot{Qty: 25, From: 12 * 60, Until: 19*60 + 3})
	w.offers("disabled", "disabled", 0, simulate.Lot{Qty: 15, From: 9 * 60, Until: 18*60 + 4})
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
	if err := w.care.allocations.Each(context.Background(), store.Query{Index: "county", Equal: []any{county}, From: w.start.UnixMilli()}, func(a *Allocation) error {
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
