package care

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/drip"
	"github.com/xingfuma/happycode/providers"
)

const (
	// weeksBack is how many past days of the same weekday a forecast rests on.
	weeksBack = 8
	// weekFade is how much a week counts beside the one after it.
	weekFade = 0.8
	// maxPast is how many past needs a forecast reads, and how many of today's
	// it is told of.
	maxPast = 50_000
	// maxWaiting is how many needs of a category's waiting list a plan sees: the
	// heaviest.
	maxWaiting = 10_000
	// poolBelow is how many past needs a town must have on average for towns to
	// be told apart.
	poolBelow = 30
	// fetch is how long before a lot's end, at most, what is left of it goes to
	// whoever comes.
	fetch = 30 * time.Minute
	// missedEvery is how often, at most, a county is planned because somebody was
	// refused by a Redis that was away: one that flutters is not planned all the time.
	missedEvery = 5 * time.Second
	// maxDays is how many days a plan looks ahead hour by hour.
	maxDays = 7
)

const dayMs = 24 * 3_600_000

// plans are what this process's worker remembers of the counties that it plans.
type plans struct {
	mu       sync.Mutex
	byCounty map[string]*plan
}

func (p *plans) of(county string) *plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byCounty[county] == nil {
		p.byCounty[county] = &plan{}
	}
	return p.byCounty[county]
}

// plan is one county's; the worker looks at a county one tick at a time.
type plan struct {
	planner  *matching.Planner
	dayMs    int64 // midnight of the day that it is for
	hours    int
	shelves  uint64 // the catalogue's count of changes when it was last drawn
	nextMs   int64  // when a lot begins or is about to end
	toldMs   int64  // needs that came until then are told to the forecast
	told     map[string]bool
	even     []string // lots that are released evenly
	evenShut []string // those of them that have given their part
}

// Plan draws a county's lines when it is time to: every five minutes, when lots
// come, change, begin or are about to end, when the day begins, when somebody was
// refused because Redis was away, and at once where there are none (a county that
// was just rebuilt, a worker that has just taken over) or where units have come
// from another county or gone to one. It names the needs that the lines reach.
func (l ledger) Plan(ctx context.Context, county string) (reached []string, planned bool, err error) {
	s, p, now := l.s, l.s.plans.of(county), l.s.now()
	lines := s.engine.Lines(county)
	day := midnight(now)
	fresh := p.planner == nil || p.dayMs != day
	if !fresh && lines != nil && !lines.Moved() && now.Before(lines.At().Add(matching.PlanEvery)) && now.UnixMilli() < p.nextMs &&
		s.catalogue.Changes(county) == p.shelves && (!s.engine.Missed(county) || now.Before(lines.At().Add(missedEvery))) {
		due, err := s.evenDue(ctx, county, p)
		if err != nil || !due {
			return nil, false, err
		}
	}
	if hours := s.horizon(county, now); fresh || p.hours < hours {
		if err := s.newPlanner(ctx, county, p, day, hours); err != nil {
			return nil, false, fmt.Errorf("forecast: %w", err)
		}
	}
	if err := s.tellPlanner(ctx, county, p); err != nil {
		return nil, false, err
	}
	return s.draw(ctx, county, p)
}

// midnight is when the local day of a time began, Unix ms.
func midnight(t time.Time) int64 { return matching.Day.Start(t).UnixMilli() }

// horizon is how many hours are planned for one by one from midnight on: the
// day, and the days until the last lot ends, seven at most. For lots that last
// longer the planner goes on by the day.
func (s *Service) horizon(county string, now time.Time) int {
	start := midnight(now)
	until := start + dayMs
	s.known.mu.RLock()
	defer s.known.mu.RUnlock()
	for _, o := range s.known.byID {
		for _, lot := range o.lots {
			if _, here := lot.Shares[county]; here {
				until = max(until, lot.UntilMs)
			}
		}
	}
	days := min((until-start+dayMs-1)/dayMs, maxDays)
	return int(24 * days)
}

// newPlanner reads what the forecast rests on, and makes the planner of a day.
func (s *Service) newPlanner(ctx context.Context, county string, p *plan, day int64, hours int) error {
	var history []matching.Past
	if p.planner != nil && p.dayMs == day {
		history = p.planner.History // only the horizon is another
	} else {
		var err error
		if history, err = s.history(ctx, county, day); err != nil {
			return err
		}
	}
	tree := s.tree()
	config := matching.PlannerConfig{
		County: county, Catalogue: s.catalogue, StartMs: day, Hours: hours, History: history, Fetch: s.fetch,
		Places: 1, Place: func(string) int { return 0 },
	}
	for _, c := range providers.Categories() {
		config.Categories = append(config.Categories, c.ID)
	}
	towns := map[string]int{}
	for _, town := range tree.Children(county) {
		towns[town.ID] = len(towns)
		for _, village := range tree.Children(town.ID) {
			config.Villages = append(config.Villages, village.ID)
		}
	}
	if len(towns) > 1 && len(history) >= poolBelow*len(towns) {
		config.Places, config.Place = len(towns), func(division string) int { return towns[townOf(division)] }
	}
	planner, err := matching.NewPlanner(config)
	if err != nil {
		return err
	}
	*p = plan{planner: planner, dayMs: day, hours: hours, toldMs: day, told: map[string]bool{}}
	return nil
}

// townOf is the town that a village lies in.
func townOf(division string) string {
	if len(division) != 12 {
		return division
	}
	return division[:9] + "000"
}

// history reads the needs of the same weekday of the last weeks, newest first.
// A day that would go past the bound is left out whole: half a day would look
// like a day without an afternoon.
func (s *Service) history(ctx context.Context, county string, day int64) ([]matching.Past, error) {
	var out []matching.Past
	var weights float64
	weight := 1.0
	for week := int64(1); week <= weeksBack; week++ {
		from := day - 7*week*dayMs
		past, whole, err := s.came(ctx, county, from, from+dayMs, maxPast-len(out), nil)
		if err != nil {
			return nil, err
		}
		if !whole {
			break
		}
		if len(past) > 0 {
			for i := range past {
				past[i].Share = weight
			}
			out = append(out, past...)
			weights += weight
		}
		weight *= weekFade
	}
	for i := range out {
		out[i].Share /= weights
	}
	return out, nil
}

// came reads the needs that came up in a county from a time until another, as
// far as there is room for them; known ones are passed over, and become known.
func (s *Service) came(ctx context.Context, county string, from, until int64, room int, known map[string]bool) (out []matching.Past, whole bool, err error) {
	q := store.Query{Index: "county", Equal: []any{county}, From: from, To: until, Limit: store.MaxPage}
	for {
		page, next, err := s.needs.Find(ctx, q)
		if err != nil {
			return nil, false, err
		}
		page = slices.DeleteFunc(page, func(n *residents.Need) bool { return known[n.ID] })
		people, err := s.residentsOf(ctx, page)
		if err != nil {
			return nil, false, err
		}
		for _, n := range page {
			if len(out) == room {
				return out, false, nil
			}
			if known != nil {
				known[n.ID] = true
			}
			if r := people[n.Resident]; r != nil {
				out = append(out, matching.Past{
					AtMs: n.CreatedMs, Category: n.Category, Person: s.expectedPerson(r), Units: float64(n.QtyUnits),
					Weight: float64(n.WeightMilli(r.ScoreMilli)) / 1000,
				})
			}
		}
		if next == "" {
			return out, true, nil
		}
		q.After = next
	}
}

// residentsOf are the residents of needs, by id.
func (s *Service) residentsOf(ctx context.Context, needs []*residents.Need) (map[string]*residents.Resident, error) {
	ids := make([]string, 0, len(needs))
	for _, n := range needs {
		ids = append(ids, n.Resident)
	}
	slices.Sort(ids)
	people, err := s.people.GetAll(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	out := make(map[string]*residents.Resident, len(people))
	for _, r := range people {
		out[r.ID] = r
	}
	return out, nil
}

// tellPlanner tells the forecast of what has come since it was last told. The
// margin is for clocks that differ and writes that take long.
func (s *Service) tellPlanner(ctx context.Context, county string, p *plan) error {
	now := s.now().UnixMilli()
	from := max(p.dayMs, p.toldMs-followMargin.Milliseconds())
	came, _, err := s.came(ctx, county, from, now+1, maxPast-len(p.told), p.told)
	if err != nil {
		return fmt.Errorf("read today's needs: %w", err)
	}
	for _, n := range came {
		p.planner.Seen(n)
	}
	p.toldMs = now
	return nil
}

// draw draws the lines, publishes them, and names whom they reach.
func (s *Service) draw(ctx context.Context, county string, p *plan) ([]string, bool, error) {
	now := s.now()
	shelves := s.catalogue.Changes(county)
	lots, err := p.planner.Lots()
	if err != nil {
		return nil, false, err
	}
	// Before the stock: a move that comes while this is drawn shows afterwards.
	drawn, err := s.engine.Standing(ctx, county)
	if err != nil {
		return nil, false, err
	}
	stock, err := s.stockOf(ctx, county, lots)
	if err != nil {
		return nil, false, err
	}
	waiting, over, unsaid, err := s.askers(ctx, county)
	if err != nil {
		return nil, false, err
	}
	lines, err := p.planner.Plan(now, stock, waiting)
	if err != nil {
		return nil, false, err
	}
	known := map[matching.HouseholdCap]int64{} // a household may wait for several things
	outlook, err := p.planner.Outlook(now, stock, func(household string, c matching.Cap) (int64, error) {
		of := matching.HouseholdCap{Household: household, Cap: c}
		if left, ok := known[of]; ok {
			return left, nil
		}
		used, err := s.engine.CapsUsed(ctx, county, []matching.HouseholdCap{of})
		if err != nil {
			return 0, err
		}
		known[of] = c.Limit - used[0]
		return known[of], nil
	})
	if err != nil {
		return nil, false, err
	}
	if err := s.engine.PublishLines(ctx, county, lines, outlook, drawn); err != nil {
		return nil, false, err
	}
	p.shelves, p.nextMs = shelves, p.planner.Next(now)
	p.even, p.evenShut = p.planner.Even(now), p.planner.Spent(now, stock)
	return slices.Concat(over, p.planner.Reached(now, lines, stock, waiting), unsaid), true, nil
}

func (s *Service) stockOf(ctx context.Context, county string, lots []string) (map[string]matching.Stock, error) {
	stock, err := s.engine.Stock(ctx, county, lots)
	if err != nil {
		return nil, err
	}
	out := make(map[string]matching.Stock, len(stock))
	for _, st := range stock {
		if st.Known && !st.Closed {
			out[st.ID] = st
		}
	}
	return out, nil
}

// evenDue says whether a lot that is released evenly has to be shut or opened:
// it is looked at every tick.
func (s *Service) evenDue(ctx context.Context, county string, p *plan) (bool, error) {
	if len(p.even) == 0 {
		return false, nil
	}
	stock, err := s.stockOf(ctx, county, p.even)
	if err != nil {
		return false, err
	}
	return !slices.Equal(p.planner.Spent(s.now(), stock), p.evenShut), nil
}

// askers are the needs on the county's waiting lists, with their weights as they
// are now; the lists are told where that has changed. over are needs that are to
// be tried because they are past, or their people moved away or died: trying
// ends them. unsaid are needs that were not told what they wait for, because the
// matcher was away or a part was handed over: trying says it.
func (s *Service) askers(ctx context.Context, county string) (out []matching.Asker, over, unsaid []string, err error) {
	categories, err := s.engine.WaitingCategories(ctx, county)
	if err != nil {
		return nil, nil, nil, err
	}
	var raised []matching.Waiter
	for _, category := range categories {
		waiters, err := s.engine.Waiting(ctx, county, category, 0, maxWaiting)
		if err != nil {
			return nil, nil, nil, err
		}
		for part := range slices.Chunk(waiters, store.MaxPage) {
			askers, past, told, err := s.askersOf(ctx, part)
			if err != nil {
				return nil, nil, nil, err
			}
			out, over, unsaid = append(out, askers...), append(over, past...), append(unsaid, told...)
			now := make(map[string]int64, len(askers))
			for _, a := range askers {
				now[a.Need] = a.WeightMilli
			}
			for _, w := range part {
				if weight := now[w.Need]; weight*100 > w.WeightMilli*101 {
					raised = append(raised, matching.Waiter{Need: w.Need, Category: category, WeightMilli: weight})
				}
			}
		}
	}
	if err := s.engine.Reweigh(ctx, county, raised); err != nil {
		return nil, nil, nil, err
	}
	return out, over, unsaid, s.withinCaps(ctx, county, out)
}

// askersOf are the needs of waiters as they stand in the record, without those
// that are over and those of people who have not agreed to be matched.
func (s *Service) askersOf(ctx context.Context, waiters []matching.Waiter) (out []matching.Asker, over, unsaid []string, err error) {
	ids := make([]string, len(waiters))
	for i, w := range waiters {
		ids[i] = w.Need
	}
	needs, err := s.needs.GetAll(ctx, ids)
	if err != nil {
		return nil, nil, nil, err
	}
	people, err := s.residentsOf(ctx, needs)
	if err != nil {
		return nil, nil, nil, err
	}
	now := s.now()
	for _, n := range needs {
		r := people[n.Resident]
		if r == nil || r.Status != residents.Active || !n.State.Live() || n.UntilMs != 0 && n.UntilMs <= now.UnixMilli() {
			over = append(over, n.ID)
			continue
		}
		if !r.Consent.Allows(residents.ConsentMatching) {
			continue
		}
		if slices.ContainsFunc([]matching.Reason{n.Reason, n.Rest}, func(r matching.Reason) bool {
			return r.Code == matching.CodeWaitingRebuild || r.Code == matching.CodeWaitingRest
		}) {
			unsaid = append(unsaid, n.ID)
		}
		left := n.QtyUnits
		if n.State == residents.NeedPromised || slices.ContainsFunc(n.Changes, func(c residents.Change) bool { return c.To == residents.NeedPromised }) {
			past, err := s.pastOf(ctx, n.ID)
			if err != nil {
				return nil, nil, nil, err
			}
			v := needView(n, past)
			left -= v.PromisedUnits + v.GivenUnits
		}
		if left > 0 {
			person, err := s.ruledPerson(ctx, r, n.County, n.Category)
			if err != nil {
				return nil, nil, nil, err
			}
			out = append(out, matching.Asker{
				Need: n.ID, Category: n.Category, Person: person, Units: left,
				WeightMilli: weightNow(n, r.ScoreMilli, now), UntilMs: n.UntilMs,
			})
		}
	}
	return out, over, unsaid, nil
}

// withinCaps cuts what is asked for down to what the categories' caps leave.
func (s *Service) withinCaps(ctx context.Context, county string, askers []matching.Asker) error {
	now := s.now()
	caps := make([]matching.HouseholdCap, len(askers))
	for i, a := range askers {
		caps[i] = matching.HouseholdCap{Household: a.Person.Household, Cap: categoryCap(a.Category, now)}
	}
	used, err := s.engine.CapsUsed(ctx, county, caps)
	if err != nil {
		return err
	}
	for i := range askers {
		if limit := caps[i].Cap.Limit; limit > 0 {
			askers[i].Units = max(0, min(askers[i].Units, limit-used[i]))
		}
	}
	return nil
}

// weightNow is a need's weight, raised by the time that it has waited.
func weightNow(n *residents.Need, scoreMilli int64, now time.Time) int64 {
	patience := matching.Patience(n.Category).Milliseconds()
	if n.UntilMs != 0 {
		patience = n.UntilMs - n.CreatedMs
	}
	return drip.Raised(n.WeightMilli(scoreMilli), now.UnixMilli()-n.CreatedMs, patience)
}
