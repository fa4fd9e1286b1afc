package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/drip"
)

// scoreUnit is what a score is multiplied with to be whole: scenarios have four
// decimals where residents have three.
const scoreUnit = 10_000

func score(mpi float64) int64 { return int64(math.Round(mpi * scoreUnit)) }

func weightMilli(n *Need) int64 { return int64(math.Round(n.Weight * 1000)) }

// invented makes the code of a county that exists nowhere: GB/T 2260 gives out
// no code that begins with 9. So a simulation may run on a Redis that serves
// real counties, and several at once.
func invented() string { return fmt.Sprintf("9%05d000000", rand.IntN(100_000)) }

// city is a scenario as the matcher sees it: its regions are villages of one
// county, so that it is decided in one shard, as in a real one.
type city struct {
	*Scenario
	midnight   time.Time // when it begins
	county     string
	catalogue  *matching.Catalogue
	categories map[string]int
	regions    map[string]int
	lots       []lot
	byID       map[string]int // lot id → index
	shape      []drip.Lot     // Units are set by each plan
	fits       map[string][]int32
}

type lot struct {
	id       string
	resource *Resource
	Lot
	fromMs, untilMs, announcedMs int64
	given                        int64
}

func newCity(s *Scenario) (*city, error) {
	midnight, err := s.midnight()
	if err != nil {
		return nil, fmt.Errorf("%w: start: %w", ErrScenario, err)
	}
	c := &city{
		Scenario: s, midnight: midnight, county: invented(), catalogue: matching.NewCatalogue(), categories: map[string]int{}, regions: map[string]int{},
		byID: map[string]int{}, fits: map[string][]int32{},
	}
	for i := range s.Categories {
		c.categories[s.Categories[i].Name] = i
	}
	for i, name := range s.Regions {
		c.regions[name] = i
	}
	for i := range s.Resources {
		r := &s.Resources[i]
		o := matching.Offer{
			ID: r.ID, Version: 1, Category: r.Category, Groups: r.Groups, MinScoreMilli: score(r.MinMPI),
			CapUnits: r.Cap, CapPeriod: r.CapPeriod,
		}
		for _, region := range r.Regions {
			if region == "*" {
				o.Divisions = []string{c.county}
				break
			}
			o.Divisions = append(o.Divisions, c.village(region))
		}
		for k, l := range r.Lots {
			x := lot{id: fmt.Sprintf("%s-%d", r.ID, k), resource: r, Lot: l}
			x.fromMs, x.untilMs = c.at(max(l.From, l.Announced)).UnixMilli(), c.at(l.Until).UnixMilli()
			x.announcedMs = c.at(l.Announced).UnixMilli()
			o.Lots = append(o.Lots, matching.Lot{ID: x.id, County: c.county, FromMs: x.fromMs, UntilMs: x.untilMs + 1})
			c.byID[x.id] = len(c.lots)
			c.lots = append(c.lots, x)
			c.shape = append(c.shape, drip.Lot{FromMs: x.fromMs, UntilMs: x.untilMs, Breadth: c.breadth(r)})
		}
		c.catalogue.Put(o)
	}
	return c, nil
}

// at is a time of the scenario on the simulated clock.
func (c *city) at(minutes float64) time.Time {
	return c.midnight.Add(time.Duration(math.Round(minutes*60_000)) * time.Millisecond)
}

// period names the span over which a need counts against its category's cap.
func (c *city) period(n *Need) string {
	if p := c.Categories[c.categories[n.Category]].Period; p != "" {
		return p.Label(c.at(n.T))
	}
	return fmt.Sprintf("D%04d", int(n.T/dayMinutes))
}

// village is the division code of a region.
func (c *city) village(region string) string {
	n := c.regions[region]
	return fmt.Sprintf("%s%03d%03d", c.county[:6], 1+n/999, 1+n%999)
}

// breadth reckons how many may use a resource: by places, groups and score.
// That three in ten belong to a group, and that a minimum score of 1 keeps
// seven in ten away, is a guess; only the order matters.
func (c *city) breadth(r *Resource) float64 {
	b := 1 - 0.7*r.MinMPI
	if !slices.Contains(r.Regions, "*") {
		b *= float64(len(r.Regions)) / float64(len(c.Regions))
	}
	if len(r.Groups) > 0 {
		b *= min(1, 0.3*float64(len(r.Groups)))
	}
	return b
}

func (c *city) person(n *Need) matching.Person {
	return matching.Person{Household: n.Resident, Division: c.village(n.Region), Groups: n.Groups, ScoreMilli: score(n.MPI)}
}

// fitting are the lots of a category that may serve somebody at some time, in
// the order in which they are used up. Whoever is like somebody else in all
// that eligibility asks gets the same slice.
func (c *city) fitting(n *Need, category string) []int32 {
	key := fmt.Sprint(category, "|", n.Region, "|", n.Groups, "|", n.MPI)
	if fits, ok := c.fits[key]; ok {
		return fits
	}
	var fits []int32
	for i := range c.lots {
		if c.lots[i].resource.Category == category && c.eligible(c.lots[i].resource, n) {
			fits = append(fits, int32(i))
		}
	}
	drip.Order(c.shape, fits)
	c.fits[key] = fits
	return fits
}

func (c *city) eligible(r *Resource, n *Need) bool {
	in := func(group string) bool { return slices.Contains(n.Groups, group) }
	return score(n.MPI) >= score(r.MinMPI) &&
		(slices.Contains(r.Regions, "*") || slices.Contains(r.Regions, n.Region)) &&
		(len(r.Groups) == 0 || slices.ContainsFunc(r.Groups, in))
}

// ofCategory are all lots of a category, for somebody of whom nothing is known.
func (c *city) ofCategory(category string) []int32 {
	key := "|" + category
	if fits, ok := c.fits[key]; ok {
		return fits
	}
	var fits []int32
	for i := range c.lots {
		if c.lots[i].resource.Category == category {
			fits = append(fits, int32(i))
		}
	}
	drip.Order(c.shape, fits)
	c.fits[key] = fits
	return fits
}

// How long people wait for what is expected of them: a meal for an hour or
// two, the rest for most of a day. Source: DESIGN.md, "Patience".
const (
	mealPatience  = 120
	otherPatience = 440
)

func patienceMs(category string) int64 {
	minutes := int64(otherPatience)
	if category == "meal" {
		minutes = mealPatience
	}
	return minutes * 60_000
}

// forecast is what the scenario's forecast and history let expect.
func (c *city) forecast(people *[]*Need) (*drip.Forecast, error) {
	config := drip.Config{
		StartMs: c.midnight.UnixMilli(), Hours: int(math.Ceil(c.Horizon / 60)), Categories: len(c.Categories), Places: len(c.Regions),
		Kinds: c.kinds(),
		Fits: func(person, category int) []int32 {
			name := c.Categories[category].Name
			if person == drip.Anybody {
				return c.ofCategory(name)
			}
			return c.fitting((*people)[person], name)
		},
	}
	for _, category := range c.Categories {
		config.LastsMs = append(config.LastsMs, patienceMs(category.Name))
	}
	return drip.NewForecast(config)
}

// kinds puts past needs together that are alike, and spreads what is expected
// in each hour over them. Without a forecast, the history's own hours are
// expected again every day.
func (c *city) kinds() []drip.Kind {
	hours := int(math.Ceil(c.Horizon / 60))
	type alike struct {
		category, place, weight int
		fits                    *int32 // the slice that all of a kind share
		length                  int
	}
	type past struct {
		kind      drip.Kind
		units, of float64 // of: units × weight
		hours     [24]float64
	}
	index := map[alike]int{}
	var all []past
	total := map[[2]int]float64{} // by category and place
	days := 1.0
	for i := range c.History {
		n := &c.History[i]
		days = max(days, math.Floor(n.T/dayMinutes)+1)
		key := alike{category: c.categories[n.Category], place: c.regions[n.Region], weight: int(math.Round(12 * math.Log(n.Weight)))}
		fits := c.fitting(n, n.Category)
		if key.length = len(fits); key.length > 0 {
			key.fits = &fits[0]
		}
		at, ok := index[key]
		if !ok {
			at = len(all)
			index[key] = at
			all = append(all, past{kind: drip.Kind{Category: key.category, Place: key.place, LastsMs: patienceMs(n.Category), Fits: fits}})
		}
		units := float64(n.Qty)
		all[at].units += units
		all[at].of += units * n.Weight
		all[at].hours[int(math.Mod(n.T, dayMinutes)/60)] += units
		total[[2]int{key.category, key.place}] += units
	}
	out := make([]drip.Kind, len(all))
	for i, p := range all {
		p.kind.Weight = p.of / p.units
		p.kind.Units = make([]float64, hours)
		expected := c.Forecast[c.Categories[p.kind.Category].Name+"|"+c.Regions[p.kind.Place]]
		for h := range hours {
			switch {
			case c.Forecast == nil:
				p.kind.Units[h] = p.hours[h%24] / days
			case h < len(expected):
				p.kind.Units[h] = max(0, expected[h]) * p.units / total[[2]int{p.kind.Category, p.kind.Place}]
			}
		}
		out[i] = p.kind
	}
	return out
}
