package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/xingfuma/happycode/matching"
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
	places     map[string]int // division → index of the region
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
		byID: map[string]int{}, places: map[string]int{},
	}
	for i := range s.Categories {
		c.categories[s.Categories[i].Name] = i
	}
	for i, name := range s.Regions {
		c.regions[name] = i
		c.places[c.village(name)] = i
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
			o.Lots = append(o.Lots, matching.Lot{ID: x.id, County: c.county, FromMs: x.fromMs, UntilMs: x.untilMs + 1, Kept: c.kept(l)})
			c.byID[x.id] = len(c.lots)
			c.lots = append(c.lots, x)
		}
		c.catalogue.Put(o)
	}
	return c, nil
}

// kept is for whom a lot is kept, until its last moment at the latest.
func (c *city) kept(l Lot) matching.Kept {
	if l.Kept == nil {
		return matching.Kept{}
	}
	out := matching.Kept{Group: l.Kept.Group, OpensMs: c.at(l.Until - lastMoment).UnixMilli()}
	for _, region := range l.Kept.Regions {
		out.Divisions = append(out.Divisions, c.village(region))
	}
	return out
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

func (c *city) person(n *Need) matching.Person {
	return matching.Person{Household: n.Resident, Division: c.village(n.Region), Groups: n.Groups, ScoreMilli: score(n.MPI)}
}

// assumed is how many units are asked for per unit in stock where nothing is
// known: a scenario without history is of a place where aid is short.
const assumed = 1.5

// planner is the rule over the scenario's forecast and history. Without a
// forecast, the history's own hours are expected again every day.
func (c *city) planner(reserve float64) (*matching.Planner, error) {
	config := matching.PlannerConfig{
		County: c.county, Catalogue: c.catalogue, Places: len(c.Regions), ScoreUnit: scoreUnit,
		Place:   func(division string) int { return c.places[division] },
		StartMs: c.midnight.UnixMilli(), Hours: int(math.Ceil(c.Horizon / 60)),
		ReserveMilli: int64(math.Round(reserve * 1000)), Assumed: assumed,
	}
	for _, category := range c.Categories {
		config.Categories = append(config.Categories, category.Name)
	}
	for _, region := range c.Regions {
		config.Villages = append(config.Villages, c.village(region))
	}
	days := 1.0
	for i := range c.History {
		days = max(days, math.Floor(c.History[i].T/dayMinutes)+1)
	}
	for i := range c.History {
		past := c.past(&c.History[i])
		past.Share = 1 / days
		config.History = append(config.History, past)
	}
	if c.Forecast != nil {
		config.Expected = func(category, place int) []float64 {
			return c.Forecast[c.Categories[category].Name+"|"+c.Regions[place]]
		}
	}
	return matching.NewPlanner(config)
}

func (c *city) past(n *Need) matching.Past {
	return matching.Past{AtMs: c.at(n.T).UnixMilli(), Category: n.Category, Person: c.person(n), Units: float64(n.Qty), Weight: n.Weight}
}
