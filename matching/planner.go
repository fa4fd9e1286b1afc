package matching

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/xingfuma/happycode/matching/drip"
)

// Pace is how fast an offer's units are released.
type Pace string

// The paces.
const (
	PaceNow  Pace = "now"  // to whoever comes, at once
	PaceEven Pace = "even" // an equal part of each lot in each minute
	PaceDrip Pace = "drip" // by need lines; also where no pace is stated
)

// Valid says whether p is one of the paces.
func (p Pace) Valid() bool { return p == PaceNow || p == PaceEven || p == PaceDrip }

// DefaultReserveMilli is how many thousandths of the expected demand are
// reckoned with where an offer does not say. Source: drip.md.
const DefaultReserveMilli = 1400

// PlanEvery is how often lines are drawn when nothing else calls for it.
const PlanEvery = 5 * time.Minute

// Asker is a need that waits, as a plan sees it.
type Asker struct {
	Need        string
	Category    string
	Person      Person
	Units       int64 // still wanted, as far as the caps allow
	WeightMilli int64 // as it is now, raised by waiting
	UntilMs     int64 // Unix ms; 0: no end
}

// Past is a need that has come, as a forecast sees it.
type Past struct {
	AtMs     int64
	Category string
	Person   Person
	Units    float64
	Weight   float64
	Share    float64 // what part of a need like this it stands for in one day; of what comes today: not used
}

// PlannerConfig is what a [Planner] works with.
type PlannerConfig struct {
	County     string
	Catalogue  *Catalogue
	Categories []string
	Places     int                       // number of places that demand is compared between
	Place      func(division string) int // 0 to Places-1
	ScoreUnit  float64                   // what a score of 1 is in [Person].ScoreMilli; 0: 1000
	Villages   []string                  // of the county: how many of them an offer serves says how narrow it is
	StartMs    int64                     // midnight of the day, Unix ms
	Hours      int                       // length of the period that is planned for by the hour; lots may last longer
	// ReserveMilli is for offers that do not say; 0: [DefaultReserveMilli].
	ReserveMilli int64
	// Assumed is how many units are asked for per unit in stock of a category
	// of which nothing is known, before anybody has come; 0: nobody is kept
	// waiting for people whom nobody has seen.
	Assumed float64
	// Fetch is how long before its end, at most, what is left of a lot goes to
	// whoever comes, so that it can still be fetched: a tenth of the lot's time
	// where that is less.
	Fetch   time.Duration
	History []Past
	// Expected is how many units of a category (index) are expected in a place
	// in each hour; nil: what came in the history's hours comes again each day.
	Expected func(category, place int) []float64
}

// Planner draws the need lines of one county for one period, a day or several.
// It knows what is on the county's shelves, what came before and what comes;
// the rule itself is [drip]. It is not safe for concurrent use.
type Planner struct {
	PlannerConfig
	categories map[string]int
	entries    []entry   // the lots, by category
	lots       []planLot // the entries', then once more those that are kept for some, as others may use them
	shape      []drip.Lot
	index      map[string]int32 // lot id → index
	byCategory [][]int32        // in the order of [drip.Order]
	ruled      [][]string       // by category: the offers that have a rule
	fits       map[likeness][]int32
	same       map[string][]int32 // the one slice for each set of lots
	forecast   *drip.Forecast
	people     []Person
	seen       []drip.Arrival
	demands    []drip.Demand
	shared     bool // some lots have shares in other counties
	last       drip.Plan
	waiting    []Asker  // the first demands of the last plan, in their order
	opened     []string // lots kept for some that the last plan opened to all
}

type planLot struct {
	entry
	category int
	fetchMs  int64 // from then on what is left goes to whoever comes, Unix ms
	// A lot that is kept for some has two indices: its own, for them, and that
	// of what is open to all, which is nothing or the whole.
	own, all int32 // all is 0 for a lot that is kept for nobody
}

// kept says whether this is a lot as those see it for whom it is kept.
func (p *Planner) kept(i int32) bool { return p.lots[i].all > 0 && p.lots[i].own == i }

// likeness is all that eligibility asks about.
type likeness struct {
	category         int
	division, groups string
	score            int64
	rules            string // by which of the category's offers that have a rule the person is admitted
}

// NewPlanner checks the configuration.
func NewPlanner(c PlannerConfig) (*Planner, error) {
	if c.Catalogue == nil || c.Place == nil || c.Places < 1 || len(c.Categories) == 0 || c.Hours < 1 {
		return nil, errors.New("matching: a planner needs a catalogue, categories, places and hours")
	}
	if c.ScoreUnit == 0 {
		c.ScoreUnit = 1000
	}
	if c.ReserveMilli == 0 {
		c.ReserveMilli = DefaultReserveMilli
	}
	p := &Planner{PlannerConfig: c, categories: map[string]int{}}
	for i, name := range c.Categories {
		p.categories[name] = i
	}
	return p, p.follow()
}

// follow takes the shelves as they are now. When lots have come or gone, what
// is expected is put together anew from the same history.
func (p *Planner) follow() error {
	var entries []entry
	shelves := p.Catalogue.current.Load().shelves
	for _, category := range p.Categories {
		entries = append(entries, shelves[shelf{p.County, category}]...)
	}
	same := func(a, b entry) bool { return a.offer == b.offer && a.lot.ID == b.lot.ID }
	if p.forecast != nil && slices.EqualFunc(entries, p.entries, same) {
		return nil
	}
	p.shared = slices.ContainsFunc(entries, func(e entry) bool { return e.lot.Whole != "" })
	p.entries, p.lots, p.shape, p.index = entries, nil, nil, map[string]int32{}
	p.fits, p.same, p.byCategory = map[likeness][]int32{}, map[string][]int32{}, make([][]int32, len(p.Categories))
	for i, e := range entries {
		p.index[e.lot.ID] = int32(i)
		p.add(planLot{entry: e, own: int32(i), fetchMs: LastPart(e.lot.FromMs, e.lot.UntilMs, p.Fetch)}, e.lot.Kept)
	}
	for i := range entries {
		if l := p.lots[i]; !l.lot.Kept.none() {
			l.fetchMs = min(l.fetchMs, l.lot.Kept.OpensMs)
			l.all = int32(len(p.lots))
			p.lots[i] = l
			p.add(l, Kept{})
		}
	}
	p.ruled = make([][]string, len(p.Categories))
	for i, category := range p.Categories {
		p.ruled[i] = p.Catalogue.Ruled(p.County, category)
	}
	for _, lots := range p.byCategory {
		drip.Order(p.shape, lots)
	}
	return p.expect()
}

// add takes a lot as those may use it for whom it is kept.
func (p *Planner) add(l planLot, kept Kept) {
	l.category = p.categories[l.offer.Category]
	p.byCategory[l.category] = append(p.byCategory[l.category], int32(len(p.lots)))
	p.lots = append(p.lots, l)
	p.shape = append(p.shape, drip.Lot{FromMs: l.lot.FromMs, UntilMs: l.lot.UntilMs - 1, Breadth: p.breadth(l.entry, kept)})
}

// breadth reckons how many may use a lot: by villages, groups, score and rule. That
// three in ten belong to a group or are admitted by a rule, and that a minimum score of 1 keeps seven in
// ten away, is a guess; only the order matters.
func (p *Planner) breadth(e entry, kept Kept) float64 {
	b := 1 - 0.7*float64(e.offer.MinScoreMilli)/p.ScoreUnit
	served := 0
	for _, v := range p.Villages {
		if kept.within(v) && slices.ContainsFunc(e.prefixes, func(prefix string) bool { return strings.HasPrefix(v, prefix) }) {
			served++
		}
	}
	if len(p.Villages) > 0 {
		b *= float64(served) / float64(len(p.Villages))
	}
	if n := len(e.offer.Groups); n > 0 {
		b *= min(1, 0.3*float64(n))
	}
	if kept.Group != "" {
		b *= 0.3
	}
	if e.offer.Rule {
		b *= 0.3
	}
	return b
}

// Fits are the lots of a category that may serve a person at some time, in the
// order in which they are used up. Whoever fits the same lots gets the same
// slice.
func (p *Planner) Fits(person Person, category int) []int32 {
	key := likeness{category, person.Division, strings.Join(person.Groups, "|"), person.ScoreMilli, p.admitted(person, category)}
	if fits, ok := p.fits[key]; ok {
		return fits
	}
	var fits []int32
	var name []byte
	for _, i := range p.byCategory[category] {
		if p.lots[i].serves(person) == "" && (!p.kept(i) || p.lots[i].lot.Kept.For(person)) {
			fits = append(fits, i)
			name = binary.AppendUvarint(name, uint64(i))
		}
	}
	if known, ok := p.same[string(name)]; ok {
		fits = known
	} else {
		p.same[string(name)] = fits
	}
	p.fits[key] = fits
	return fits
}

// admitted is one character for each of the category's offers that have a rule.
func (p *Planner) admitted(person Person, category int) string {
	if len(p.ruled[category]) == 0 {
		return ""
	}
	out := make([]byte, len(p.ruled[category]))
	for i, offer := range p.ruled[category] {
		if out[i] = '0'; person.Rules != nil && person.Rules.Admits(offer) {
			out[i] = '1'
		}
	}
	return string(out)
}

// How long people wait for what is expected of them: a meal for an hour or
// two, the rest for most of a day. Source: DESIGN.md, "Patience".
const (
	mealPatience  = 120 * time.Minute
	otherPatience = 440 * time.Minute
)

// Patience is how long a need of a category waits, where it does not say.
func Patience(category string) time.Duration {
	if category == "meal" {
		return mealPatience
	}
	return otherPatience
}

// expect makes the forecast, and tells it what has come today.
func (p *Planner) expect() error {
	config := drip.Config{
		StartMs: p.StartMs, Hours: p.Hours, Categories: len(p.Categories), Places: p.Places,
		Kinds: p.kinds(), Assumed: p.Assumed, Lots: p.shape,
		Fits: func(person, category int) []int32 {
			if person == drip.Anybody {
				return p.byCategory[category]
			}
			return p.Fits(p.people[person], category)
		},
		Span: func(fits []int32) (longest, end int64) {
			for _, i := range fits {
				lot := &p.lots[i].lot
				longest, end = max(longest, lot.UntilMs-lot.FromMs), max(end, lot.UntilMs-1)
			}
			return longest, end
		},
	}
	for _, category := range p.Categories {
		config.LastsMs = append(config.LastsMs, Patience(category).Milliseconds())
	}
	forecast, err := drip.NewForecast(config)
	if err != nil {
		return fmt.Errorf("county %s: %w", p.County, err)
	}
	for _, a := range p.seen {
		forecast.Seen(a)
	}
	p.forecast = forecast
	return nil
}

// kinds puts past needs together that are alike, and spreads what is expected
// in each hour over them.
func (p *Planner) kinds() []drip.Kind {
	type alike struct {
		category, place, weight int
		fits                    *int32 // the slice that all of a kind share
	}
	type past struct {
		kind      drip.Kind
		units, of float64 // of: units × weight
		hours     [24]float64
	}
	index := map[alike]int{}
	var all []past
	total := map[[2]int]float64{} // by category and place
	for i := range p.History {
		n := &p.History[i]
		category, ok := p.categories[n.Category]
		if !ok || !(n.Weight > 0) {
			continue
		}
		key := alike{category: category, place: p.Place(n.Person.Division), weight: drip.WeightClass(n.Weight)}
		fits := p.Fits(n.Person, category)
		if len(fits) > 0 {
			key.fits = &fits[0]
		}
		at, ok := index[key]
		if !ok {
			at = len(all)
			index[key] = at
			all = append(all, past{kind: drip.Kind{
				Category: category, Place: key.place, LastsMs: Patience(n.Category).Milliseconds(), Fits: fits,
			}})
		}
		units := n.Units * n.Share
		all[at].units += units
		all[at].of += units * n.Weight
		all[at].hours[hourOf(n.AtMs-p.StartMs)] += units
		total[[2]int{category, key.place}] += units
	}
	out := make([]drip.Kind, 0, len(all))
	for _, x := range all {
		if x.units <= 0 {
			continue
		}
		x.kind.Weight = x.of / x.units
		x.kind.Units = make([]float64, p.Hours)
		var expected []float64
		if p.Expected != nil {
			expected = p.Expected(x.kind.Category, x.kind.Place)
		}
		for h := range p.Hours {
			switch {
			case p.Expected == nil:
				x.kind.Units[h] = x.hours[h%24]
			case h < len(expected):
				x.kind.Units[h] = max(0, expected[h]) * x.units / total[[2]int{x.kind.Category, x.kind.Place}]
			}
		}
		out = append(out, x.kind)
	}
	return out
}

// hourOf is the hour of the day of a time since some midnight, earlier ones too.
func hourOf(sinceMs int64) int {
	const day, hour = 24 * 3_600_000, 3_600_000
	return int((sinceMs%day + day) % day / hour)
}

// Seen tells the forecast of a need that has come.
func (p *Planner) Seen(n Past) {
	category, ok := p.categories[n.Category]
	if !ok {
		return
	}
	a := drip.Arrival{
		AtMs: n.AtMs, Category: category, Place: p.Place(n.Person.Division), Person: len(p.people), Units: n.Units, Weight: n.Weight,
	}
	p.people = append(p.people, n.Person)
	p.seen = append(p.seen, a)
	p.forecast.Seen(a)
}

// Lots are the ids of the lots on the county's shelves as they are now.
func (p *Planner) Lots() ([]string, error) {
	if err := p.follow(); err != nil {
		return nil, err
	}
	out := make([]string, len(p.entries))
	for i, e := range p.entries {
		out[i] = e.lot.ID
	}
	return out, nil
}

// Next is the next moment at which lines change by themselves, Unix ms: a lot
// begins, is to be given out, or ends.
func (p *Planner) Next(now time.Time) int64 {
	next, nowMs := int64(math.MaxInt64), now.UnixMilli()
	for i := range p.lots {
		l := &p.lots[i]
		for _, ms := range [...]int64{l.lot.FromMs, l.fetchMs, l.lot.UntilMs} {
			if ms > nowMs {
				next = min(next, ms)
			}
		}
	}
	return next
}

// Even are the lots that are released evenly and can be used now.
func (p *Planner) Even(now time.Time) []string {
	var out []string
	for i := range p.entries {
		if l := &p.lots[i]; l.offer.Pace == PaceEven && now.UnixMilli() >= l.lot.FromMs && now.UnixMilli() < l.fetchMs {
			out = append(out, l.lot.ID)
		}
	}
	return out
}

// Spent are those of [Planner.Even] that have given their part for now.
func (p *Planner) Spent(now time.Time, stock map[string]Stock) []string {
	var out []string
	for _, id := range p.Even(now) {
		lot := p.lots[p.index[id]].lot
		if Due(stock[id], lot.FromMs, lot.UntilMs, now.UnixMilli(), 0) == 0 {
			out = append(out, id)
		}
	}
	return out
}

// Plan draws the lines. stock is what the matcher has of the lots by id; one
// that is not in it is not known of yet.
func (p *Planner) Plan(now time.Time, stock map[string]Stock, waiting []Asker) (*Lines, error) {
	if err := p.follow(); err != nil {
		return nil, err
	}
	nowMs := now.UnixMilli()
	known := make([]float64, len(p.Categories))
	for i := range p.lots {
		l := &p.lots[i]
		p.shape[i].Units = 0
		if p.shape[i].UntilMs = l.fetchMs - 1; nowMs >= l.fetchMs {
			p.shape[i].UntilMs = l.lot.UntilMs - 1
		}
		if st, ok := stock[l.lot.ID]; ok && l.own == int32(i) {
			known[l.category] += float64(st.qty())
			if nowMs < l.lot.UntilMs {
				p.shape[i].Units = max(0, float64(st.FreeUnits))
			}
		}
	}
	demands := p.demands[:0]
	p.waiting = p.waiting[:0]
	for _, a := range byWeight(waiting) {
		if category, ok := p.categories[a.Category]; ok && a.Units > 0 {
			until := a.UntilMs
			if until == 0 {
				until = math.MaxInt64
			}
			demands = append(demands, drip.Demand{
				Weight: float64(a.WeightMilli) / 1000, Units: float64(a.Units), FromMs: nowMs, UntilMs: until, Fits: p.Fits(a.Person, category),
			})
			p.waiting = append(p.waiting, a)
		}
	}
	p.demands = p.forecast.Rest(nowMs, p.reserve(), known, demands)
	p.opened = p.open(nowMs)
	if p.shared {
		p.last = drip.MakeTraced(p.shape, p.demands)
	} else {
		p.last = drip.Make(p.shape, p.demands)
	}
	lines := map[string]int64{}
	for i := range p.entries {
		l, line := &p.lots[i], p.last.Line[i]
		if slices.Contains(p.opened, l.lot.ID) {
			line = p.last.Line[l.all]
		}
		if (l.offer.Pace == PaceDrip || l.offer.Pace == "") && line > 0 && nowMs < l.fetchMs {
			lines[l.lot.ID] = int64(math.Round(line * 1000))
		}
	}
	for _, id := range p.Spent(now, stock) {
		lines[id] = Shut
	}
	return NewLines(lines, p.opened...), nil
}

// nobody is less than half a unit: what is expected then is nobody.
const nobody = 0.5

// open opens the lots that are kept for some to all: in the last part of their
// time, and from half of it on when none of those for whom they are kept waits
// or is expected any more.
func (p *Planner) open(nowMs int64) (opened []string) {
	if len(p.lots) == len(p.entries) {
		return nil
	}
	wanted := drip.Wanted(p.shape, p.demands)
	for i := range p.entries {
		l := &p.lots[i]
		if l.all == 0 || nowMs < l.lot.FromMs+(l.lot.UntilMs-l.lot.FromMs)/2 {
			continue
		}
		if nowMs >= l.lot.Kept.OpensMs || wanted[i] < nobody {
			p.shape[i].Units, p.shape[l.all].Units = 0, p.shape[i].Units
			opened = append(opened, l.lot.ID)
		}
	}
	return opened
}

// reserve is how many times the demand of those who fit the same lots is
// reckoned with: what the offers say, weighed by what they have left.
func (p *Planner) reserve() func(fits []int32) float64 {
	known := map[*int32]float64{}
	of := func(i int32) float64 {
		if milli := p.lots[i].offer.ReserveMilli; milli > 0 {
			return float64(milli) / 1000
		}
		return float64(p.ReserveMilli) / 1000
	}
	return func(fits []int32) float64 {
		r, ok := known[&fits[0]]
		if ok {
			return r
		}
		var units, sum float64
		for _, i := range fits {
			units += p.shape[i].Units
			sum += p.shape[i].Units * of(i)
		}
		if r = of(fits[0]); units > 0 {
			r = sum / units
		}
		known[&fits[0]] = r
		return r
	}
}

// Due is how many more units an equal release lets go by now: the part of the
// lot's time that has passed, with what comes within leadMs, less what was
// given.
func Due(s Stock, fromMs, untilMs, nowMs, leadMs int64) int64 {
	part := 1.0
	if untilMs > fromMs {
		part = min(1, float64(nowMs-fromMs+leadMs)/float64(untilMs-fromMs))
	}
	return max(0, int64(math.Ceil(part*float64(s.qty())))-(s.qty()-s.FreeUnits))
}

// Reached are the needs for which something can be had by these lines from the
// lots of the last plan, the heaviest first, but those first for whom an opened
// lot was kept. What is there is reckoned with once, so that the matcher is not
// asked in vain; only what an offer's own cap may keep from somebody is left for
// the next as well.
func (p *Planner) Reached(now time.Time, lines *Lines, stock map[string]Stock, waiting []Asker) []string {
	nowMs := now.UnixMilli()
	free := make([]int64, len(p.entries))
	for i := range p.entries {
		l := &p.lots[i]
		if free[i] = stock[l.lot.ID].FreeUnits; l.offer.Pace == PaceEven && nowMs < l.fetchMs {
			free[i] = min(free[i], Due(stock[l.lot.ID], l.lot.FromMs, l.lot.UntilMs, nowMs, 0))
		}
	}
	isOpen := func(l *planLot) bool { return nowMs >= l.lot.Kept.OpensMs || lines.Opened(l.lot.ID) }
	var out []string
	for _, a := range p.claimants(byWeight(waiting), free, isOpen) {
		category, ok := p.categories[a.Category]
		if !ok || a.Units < 1 {
			continue
		}
		var open []int32
		for _, i := range p.Fits(a.Person, category) {
			l := &p.lots[i]
			if l.own != i && (l.lot.Kept.For(a.Person) || !isOpen(l)) {
				continue
			}
			if i = l.own; free[i] > 0 && nowMs >= l.lot.FromMs && nowMs < l.lot.UntilMs && lines.Of(l.lot.ID) <= a.WeightMilli {
				open = append(open, i)
			}
		}
		if len(open) == 0 {
			continue
		}
		out = append(out, a.Need)
		slices.SortStableFunc(open, func(a, b int32) int {
			return cmp.Compare(lines.Of(p.lots[a].lot.ID), lines.Of(p.lots[b].lot.ID))
		})
		left := a.Units
		for _, i := range open {
			take := min(left, free[i])
			if left -= take; p.lots[i].offer.CapUnits == 0 {
				free[i] -= take
			}
		}
	}
	return out
}

// claimants puts those first for whom a lot was kept that is open now, as long as
// it lasts: they come before everybody else to whom it opens.
func (p *Planner) claimants(askers []Asker, free []int64, isOpen func(*planLot) bool) []Asker {
	if len(p.lots) == len(p.entries) {
		return askers
	}
	left := slices.Clone(free)
	var first, others []Asker
	for _, a := range askers {
		wanted := a.Units
		if category, ok := p.categories[a.Category]; ok {
			for _, i := range p.Fits(a.Person, category) {
				if p.kept(i) && isOpen(&p.lots[i]) {
					take := min(wanted, max(0, left[i]))
					wanted, left[i] = wanted-take, left[i]-take
				}
			}
		}
		if wanted < a.Units {
			first = append(first, a)
		} else {
			others = append(others, a)
		}
	}
	return append(first, others...)
}

// byWeight sorts needs as waiting lists do.
func byWeight(askers []Asker) []Asker {
	sorted := slices.Clone(askers)
	slices.SortFunc(sorted, func(a, b Asker) int {
		return cmp.Or(cmp.Compare(b.WeightMilli, a.WeightMilli), strings.Compare(a.Need, b.Need))
	})
	return sorted
}
