package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/drip"
)

// Policy is a rule of release.
type Policy string

// The policies.
const (
	Drip     Policy = "drip"     // need lines, planned again and again
	Even     Policy = "even"     // an equal part of each lot in each minute, the neediest who wait first
	Priority Policy = "priority" // at once, the neediest who wait first
	FCFS     Policy = "fcfs"     // at once, whoever came first
)

// Policies lists them, the one that is meant first.
func Policies() []Policy { return []Policy{Drip, Even, Priority, FCFS} }

// ErrPolicy says that a policy does not exist.
var ErrPolicy = errors.New("no such policy")

// ErrRule says that the engine gave what a rule of the scenario forbids.
var ErrRule = errors.New("a rule was broken")

// Config is how a scenario is played.
type Config struct {
	Policy Policy
	Redis  redis.UniversalClient // the real counties on it are left alone
	// Every is how often the rule plans; 5 minutes if 0. Range: 1 minute to 6 hours.
	Every time.Duration
	// Reserve is how many times the expected demand is reckoned with; 1.4 if 0. Range: 0.1 to 10.
	Reserve float64
	// Progress is told how far the clock has come, in parts of the whole; nil: nobody is.
	Progress func(part float64)
	// Watch is told the state after each plan; nil: nobody is.
	Watch func(State)
}

// Allocation is units promised to a need.
type Allocation struct {
	Need     string  `json:"need"`
	Resource string  `json:"resource"`
	Qty      int64   `json:"qty"`
	T        float64 `json:"t"` // minutes from the start
}

// State is how things stand after a plan.
type State struct {
	T       float64 // minutes from the start
	Lines   []Line  // of the lots that can be used now
	Waiting int
}

// Line is one lot after a plan.
type Line struct {
	Category string
	Free     int64
	Weight   float64 // the need line
}

const (
	// lastMoment is how long before its end what is left of a lot is offered
	// to everybody who waits, in minutes.
	lastMoment   = 0.02
	defaultEvery = 5 * time.Minute
	// DefaultReserve is drip.md's: expected demand is reckoned with 1.4 times.
	DefaultReserve = 1.4
)

// run is one scenario on its way.
type run struct {
	*city
	Config
	engine  *matching.Engine
	now     float64
	planner *matching.Planner
	lines   *matching.Lines
	needs   map[string]*asked
	last    map[string]float64 // resident and category → when the last counted need came
	used    map[string]int64   // resident, category and period → units
	free    []int64            // per lot, as the last plan read it and less what was given since
	out     []Allocation
}

// asked is a need that counts.
type asked struct {
	*Need
	left   int64
	next   int // ordinal of the next allocation
	person matching.Person
}

// Run plays the scenario, strictly in the order of its events, and returns
// what was promised, in order.
//
// Errors: [ErrPolicy], [ErrRule]; anything else is Redis.
func Run(ctx context.Context, s *Scenario, c Config) ([]Allocation, error) {
	if !slices.Contains(Policies(), c.Policy) {
		return nil, fmt.Errorf("%q: %w", c.Policy, ErrPolicy)
	}
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	if c.Reserve == 0 {
		c.Reserve = DefaultReserve
	}
	if c.Every < time.Minute || c.Every > 6*time.Hour || !(c.Reserve >= 0.1 && c.Reserve <= 10) {
		return nil, fmt.Errorf("plans every %s with a reserve of %v: every 1 minute to 6 hours, reserve 0.1 to 10", c.Every, c.Reserve)
	}
	city, err := newCity(s)
	if err != nil {
		return nil, err
	}
	r := &run{
		city: city, Config: c, needs: map[string]*asked{}, last: map[string]float64{}, used: map[string]int64{},
		lines: matching.NewLines(nil),
	}
	r.free = make([]int64, len(r.lots))
	engine, err := matching.New(matching.Config{Redis: c.Redis, Now: func() time.Time { return r.at(r.now) }})
	if err != nil {
		return nil, err
	}
	r.engine = engine
	if r.planner, err = r.city.planner(c.Reserve); err != nil {
		return nil, err
	}
	err = r.fill(ctx)
	if err == nil {
		err = r.play(ctx)
	}
	return r.out, errors.Join(err, r.engine.Forget(context.WithoutCancel(ctx), r.county))
}

// fill puts the lots into Redis. They are there from the start; the catalogue
// keeps them from being used before their time.
func (r *run) fill(ctx context.Context) error {
	return r.engine.Rebuild(ctx, r.county, func(context.Context) (matching.Snapshot, error) {
		var s matching.Snapshot
		for _, l := range r.lots {
			s.Lots = append(s.Lots, matching.LotState{ID: l.id, Category: l.resource.Category, FreeUnits: l.Qty})
		}
		return s, nil
	})
}

// event is something that happens: a need that comes, or a moment to plan.
type event struct {
	t    float64
	need *Need // nil: plan
}

// events are all of a scenario, in order. What is planned at the moment at
// which somebody comes is planned before.
func (r *run) events() []event {
	var out []event
	every := r.Every.Minutes()
	for i := 0; float64(i)*every < r.Horizon; i++ {
		out = append(out, event{t: float64(i) * every})
	}
	for _, l := range r.lots {
		out = append(out, event{t: l.Announced}, event{t: max(l.From, l.Announced)}, event{t: l.Until - lastMoment})
	}
	for i := range r.Needs {
		out = append(out, event{r.Needs[i].T, &r.Needs[i]})
	}
	out = slices.DeleteFunc(out, func(e event) bool { return e.t < 0 || e.t > r.Horizon })
	slices.SortStableFunc(out, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(kind(a), kind(b)))
	})
	// One plan at a moment is enough.
	return slices.CompactFunc(out, func(a, b event) bool { return a.need == nil && b.need == nil && a.t == b.t })
}

func kind(e event) int {
	if e.need == nil {
		return 0
	}
	return 1
}

func (r *run) play(ctx context.Context) error {
	for _, e := range r.events() {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.now = e.t
		var err error
		if e.need != nil {
			err = r.come(ctx, e.need)
		} else {
			err = r.release(ctx)
		}
		if err != nil {
			return fmt.Errorf("minute %.2f: %w", e.t, err)
		}
		if r.Progress != nil {
			r.Progress(e.t / r.Horizon)
		}
	}
	return nil
}

// come is a scan: the need is served from what it reaches, and waits for the
// rest.
func (r *run) come(ctx context.Context, n *Need) error {
	category := r.Categories[r.categories[n.Category]]
	key := n.Resident + "|" + n.Category
	if last, ok := r.last[key]; ok && n.T-last < category.ClaimWindow {
		return nil // a duplicate
	}
	r.last[key] = n.T
	r.planner.Seen(r.past(n))
	a := &asked{Need: n, left: n.Qty, person: r.person(n)}
	r.needs[n.ID] = a
	return r.serve(ctx, a)
}

// serve asks the engine for what a need still lacks. The cap is the day's on
// which it came, also where others of the same person came later.
func (r *run) serve(ctx context.Context, a *asked) error {
	room := r.room(a)
	if room < 1 {
		return nil
	}
	candidates, _ := r.catalogue.Candidates(r.county, a.Category, a.person, r.at(r.now))
	open := r.open(a, candidates)
	period := r.period(a.Need)
	outcomes, err := r.engine.Match(ctx, matching.Request{County: r.county, Household: a.Resident, Asks: []matching.Ask{{
		Need: a.ID, Category: a.Category, Base: a.next, QtyUnits: room, WeightMilli: r.rank(a),
		Cap:        matching.Cap{Field: "c:" + a.Category, Period: period, Limit: r.Categories[r.categories[a.Category]].Cap},
		Candidates: open,
	}}})
	if err != nil {
		return err
	}
	holds := outcomes[0].Holds
	if len(holds) == 0 {
		return nil
	}
	for _, h := range holds {
		l := &r.lots[r.byID[h.Lot]]
		if l.given += h.QtyUnits; l.given > l.Qty || h.QtyUnits > a.left || r.now > a.Deadline {
			return fmt.Errorf("need %s: %d units of lot %s: %w", a.ID, h.QtyUnits, h.Lot, ErrRule)
		}
		a.left -= h.QtyUnits
		a.next++
		r.used[a.Resident+"|"+a.Category+"|"+period] += h.QtyUnits
		r.free[r.byID[h.Lot]] -= h.QtyUnits
		r.out = append(r.out, Allocation{a.ID, l.resource.ID, h.QtyUnits, r.now})
	}
	return r.engine.Promise(ctx, r.county, holds)
}

// rank is a need's weight on the waiting list, with need lines raised by
// waiting; first come, first served has none but the order of arrival.
func (r *run) rank(a *asked) int64 {
	switch r.Policy {
	case FCFS:
		return int64(math.Round((r.Horizon - a.T) * 1000))
	case Drip:
		ms := func(minutes float64) int64 { return int64(minutes * 60_000) }
		return drip.Raised(weightMilli(a.Need), ms(r.now-a.T), ms(a.Deadline-a.T))
	}
	return weightMilli(a.Need)
}

// open leaves the candidates that the policy lets the need have now.
func (r *run) open(a *asked, candidates []matching.Candidate) []matching.Candidate {
	switch r.Policy {
	case Drip:
		open, _ := r.lines.Open(candidates, r.rank(a))
		return open
	case Even:
		return slices.DeleteFunc(candidates, func(c matching.Candidate) bool { return c.Kept || !r.due(&r.lots[r.byID[c.Lot]]) })
	}
	return slices.DeleteFunc(candidates, func(c matching.Candidate) bool { return c.Kept })
}

// due says whether an equal release lets more of a lot go by now.
func (r *run) due(l *lot) bool {
	stock := matching.Stock{FreeUnits: l.Qty - l.given, TakenUnits: l.given}
	return matching.Due(stock, l.fromMs, l.untilMs, r.at(r.now).UnixMilli(), r.Every.Milliseconds()) > 0
}

// release plans, and offers what may be given to those who wait, in the order
// of the engine's own waiting lists.
func (r *run) release(ctx context.Context) error {
	ids := make([]string, len(r.lots))
	for i := range r.lots {
		ids[i] = r.lots[i].id
	}
	stock, err := r.engine.Stock(ctx, r.county, ids)
	if err != nil {
		return err
	}
	known := make(map[string]matching.Stock, len(stock))
	for i, s := range stock {
		r.free[i] = s.FreeUnits
		if r.lots[i].Announced <= r.now {
			known[s.ID] = s
		}
	}
	waiting, err := r.waiting(ctx)
	if err != nil {
		return err
	}
	askers := r.askers(waiting)
	if err := r.draw(known, askers); err != nil {
		return err
	}
	for _, need := range r.planner.Reached(r.at(r.now), r.lines, known, askers) {
		if err := r.serve(ctx, r.needs[need]); err != nil {
			return err
		}
	}
	if r.Watch != nil {
		r.Watch(r.state(len(waiting)))
	}
	return nil
}

// waiting reads the engine's waiting lists, heaviest first, and takes those
// off whose time has passed.
func (r *run) waiting(ctx context.Context) ([]*asked, error) {
	var out []*asked
	for _, category := range r.Categories {
		waiters, err := r.engine.Waiting(ctx, r.county, category.Name, 0, math.MaxInt32)
		if err != nil {
			return nil, err
		}
		for _, w := range waiters {
			a := r.needs[w.Need]
			if a.Deadline < r.now {
				if err := r.engine.Unwait(ctx, r.county, category.Name, w.Need); err != nil {
					return nil, err
				}
				continue
			}
			out = append(out, a)
		}
	}
	return out, nil
}

// room is how many units the cap leaves to a need.
func (r *run) room(a *asked) int64 {
	return min(a.left, r.Categories[r.categories[a.Category]].Cap-r.used[a.Resident+"|"+a.Category+"|"+r.period(a.Need)])
}

// askers are those who wait as the rule sees them, their weights as the policy
// ranks them.
func (r *run) askers(waiting []*asked) []matching.Asker {
	out := make([]matching.Asker, 0, len(waiting))
	for _, a := range waiting {
		out = append(out, matching.Asker{
			Need: a.ID, Category: a.Category, Person: a.person, Units: r.room(a), WeightMilli: r.rank(a), UntilMs: r.at(a.Deadline).UnixMilli(),
		})
	}
	return out
}

// draw makes the lines of the moment.
func (r *run) draw(stock map[string]matching.Stock, waiting []matching.Asker) error {
	switch r.Policy {
	case Drip:
		lines, err := r.planner.Plan(r.at(r.now), stock, waiting)
		if err != nil {
			return err
		}
		r.lines = lines
	case Even:
		shut := map[string]int64{}
		for i := range r.lots {
			if !r.due(&r.lots[i]) {
				shut[r.lots[i].id] = matching.Shut
			}
		}
		r.lines = matching.NewLines(shut)
	}
	return nil
}

func (r *run) state(waiting int) State {
	s := State{T: r.now, Waiting: waiting}
	for i := range r.lots {
		l := &r.lots[i]
		if l.Announced <= r.now && l.Until >= r.now {
			s.Lines = append(s.Lines, Line{l.resource.Category, r.free[i], float64(r.lines.Of(l.id)) / 1000})
		}
	}
	return s
}
