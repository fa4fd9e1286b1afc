package matching_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
)

const plannedCounty = "330502000000"

// shelf is a county with some lots of meals, and its planner from midnight on.
type plannedShelf struct {
	t         *testing.T
	catalogue *matching.Catalogue
	planner   *matching.Planner
	midnight  time.Time
	stock     map[string]matching.Stock
}

func newShelf(t *testing.T, change func(*matching.PlannerConfig), offers ...matching.Offer) *plannedShelf {
	t.Helper()
	s := &plannedShelf{t: t, catalogue: matching.NewCatalogue(), midnight: matching.Day.Start(epoch), stock: map[string]matching.Stock{}}
	s.put(offers...)
	c := matching.PlannerConfig{
		County: plannedCounty, Catalogue: s.catalogue, Categories: []string{"meal", "visit"}, Places: 1,
		Place: func(string) int { return 0 }, StartMs: s.midnight.UnixMilli(), Hours: 24,
	}
	if change != nil {
		change(&c)
	}
	p, err := matching.NewPlanner(c)
	if err != nil {
		t.Fatal(err)
	}
	s.planner = p
	return s
}

// put puts offers on the shelf, each with one lot of its name and 10 units.
func (s *plannedShelf) put(offers ...matching.Offer) {
	for _, o := range offers {
		o.Version, o.Category, o.Divisions = 1, "meal", []string{plannedCounty}
		if o.Lots == nil {
			o.Lots = []matching.Lot{s.lot(o.ID, 0, 20)}
		}
		s.catalogue.Put(o)
		for _, l := range o.Lots {
			s.stock[l.ID] = matching.Stock{ID: l.ID, Known: true, FreeUnits: 10}
		}
	}
}

func (s *plannedShelf) lot(id string, from, until int) matching.Lot {
	ms := func(hour int) int64 { return s.midnight.Add(time.Duration(hour) * time.Hour).UnixMilli() }
	return matching.Lot{ID: id, County: plannedCounty, FromMs: ms(from), UntilMs: ms(until)}
}

func (s *plannedShelf) at(hour float64) time.Time {
	return s.midnight.Add(time.Duration(hour * float64(time.Hour)))
}

func (s *plannedShelf) plan(hour float64, waiting ...matching.Asker) *matching.Lines {
	s.t.Helper()
	lines, err := s.planner.Plan(s.at(hour), s.stock, waiting)
	if err != nil {
		s.t.Fatal(err)
	}
	return lines
}

func (s *plannedShelf) reached(hour float64, lines *matching.Lines, waiting ...matching.Asker) string {
	return strings.Join(s.planner.Reached(s.at(hour), lines, s.stock, waiting), " ")
}

func asker(need string, units, weight int64) matching.Asker {
	return matching.Asker{Need: need, Category: "meal", Person: matching.Person{Household: need, Division: "330502001001"}, Units: units, WeightMilli: weight}
}

// yesterday is what came before, every hour: units of a weight.
func yesterday(units, weight float64) func(*matching.PlannerConfig) {
	return func(c *matching.PlannerConfig) {
		for hour := range 24 {
			c.History = append(c.History, matching.Past{
				AtMs: c.StartMs - 7*24*3_600_000 + int64(hour)*3_600_000, Category: "meal", Person: matching.Person{Division: "330502001001"},
				Units: units, Weight: weight, Share: 1,
			})
		}
	}
}

// A shelf for which nobody competes has no line: all is given at once.
func TestAShelfWithoutCompetitionHasNoLine(t *testing.T) {
	t.Parallel()
	s := newShelf(t, nil, matching.Offer{ID: "a"})
	if line := s.plan(9).Of("a"); line != 0 {
		t.Errorf("nobody was ever seen: the line is %d", line)
	}
	if line := s.plan(9, asker("n", 4, 300)).Of("a"); line != 0 {
		t.Errorf("one waits for 4 of 10: the line is %d", line)
	}
	if line := s.plan(9, asker("n", 4, 300), asker("m", 8, 900)).Of("a"); line != 300 {
		t.Errorf("two wait for 12 of 10: the line is %d, want the weight of the one who goes without", line)
	}
}

// Units are kept for those who were there before, and the line falls as the day
// passes without them.
func TestTheLineFollowsThePast(t *testing.T) {
	t.Parallel()
	s := newShelf(t, yesterday(1, 2), matching.Offer{ID: "a"})
	if line := s.plan(8).Of("a"); line != 2000 {
		t.Errorf("twelve units of weight 2 are expected for ten: the line is %d", line)
	}
	if line := s.plan(16).Of("a"); line != 0 {
		t.Errorf("four are expected for ten: the line is %d", line)
	}
	for range 40 { // far more come than were expected
		s.planner.Seen(matching.Past{AtMs: s.at(15.5).UnixMilli(), Category: "meal", Person: matching.Person{Division: "330502001001"}, Units: 2, Weight: 2})
	}
	if line := s.plan(16).Of("a"); line == 0 {
		t.Error("after eighty came instead of one, nothing is kept for the rest of the day")
	}
	// What has come is still known when the shelf changes.
	s.put(matching.Offer{ID: "b", Groups: []string{"elderly"}})
	if line := s.plan(16).Of("a"); line == 0 {
		t.Error("with another offer on the shelf, what came is forgotten")
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	for milli, kept := range map[int64]bool{500: false, 0: true, 3000: true} {
		s := newShelf(t, yesterday(1, 2), matching.Offer{ID: "a", ReserveMilli: milli})
		if line := s.plan(11).Of("a"); line > 0 != kept {
			t.Errorf("nine expected for ten with a reserve of %d: the line is %d", milli, line)
		}
	}
}

func TestPaces(t *testing.T) {
	t.Parallel()
	s := newShelf(t, yesterday(5, 2), matching.Offer{ID: "now", Pace: matching.PaceNow}, matching.Offer{ID: "drip", Pace: matching.PaceDrip},
		matching.Offer{ID: "even", Pace: matching.PaceEven}) // from 0 to 20 o'clock
	lines := s.plan(6)
	if lines.Of("now") != 0 || lines.Of("drip") != 2000 || lines.Of("even") != 0 {
		t.Errorf("lines %d, %d and %d, want 0, 2000 and 0", lines.Of("now"), lines.Of("drip"), lines.Of("even"))
	}
	s.stock["even"] = matching.Stock{ID: "even", FreeUnits: 7, HeldUnits: 1, TakenUnits: 2}
	if line := s.plan(6).Of("even"); line != matching.Shut {
		t.Errorf("three of ten are given after three tenths of the time: the line is %d, want it shut", line)
	}
	if got := s.planner.Spent(s.at(6), s.stock); !slices.Equal(got, []string{"even"}) {
		t.Errorf("spent: %v", got)
	}
	if line := s.plan(6.1).Of("even"); line != 0 {
		t.Errorf("a little later the line is %d", line)
	}
}

// A lot of four weeks that would do for one is not given away in two: the
// neediest are served on each of its days, with a plan that looks at seven days
// by the hour and is made anew each midnight, as the server's is.
func TestALotOfWeeksLasts(t *testing.T) {
	t.Parallel()
	const days, perHour = 28, 2
	for what, first := range map[string]int{"with a history": 0, "with one from the second week on": 7} {
		rng := rand.New(rand.NewPCG(28, 7))
		weight := func() float64 { return 0.25 + 3*rng.Float64() }
		free := int64(days * 24 * perHour / 2) // half of what is asked for, twice a week's
		served := make([]int, days)
		needy, missed := make([]int, days), make([]int, days)
		var all int64
		for day := range days {
			s := newShelf(t, func(c *matching.PlannerConfig) {
				c.Hours = 24 * min(7, days-day)
				for i := range 48 {
					if day < first {
						break
					}
					c.History = append(c.History, matching.Past{
						AtMs: c.StartMs - 7*24*3_600_000 + int64(i)*1_800_000, Category: "meal", Person: matching.Person{Division: "330502001001"},
						Units: 1, Weight: weight(), Share: 1,
					})
				}
			})
			s.put(matching.Offer{ID: "a", Lots: []matching.Lot{s.lot("a", -24*day, 24*(days-day))}})
			for half := range 48 {
				s.stock["a"] = matching.Stock{ID: "a", Known: true, FreeUnits: free}
				w, at := weight(), float64(half)/2
				lines := s.plan(at)
				s.planner.Seen(matching.Past{AtMs: s.at(at).UnixMilli(), Category: "meal", Person: matching.Person{Division: "330502001001"}, Units: 1, Weight: w})
				given := free > 0 && lines.Of("a") <= int64(1000*w)
				if given {
					free--
					all++
					served[day]++
				}
				if w > 2.8 { // the neediest of seven
					if needy[day]++; !given {
						missed[day]++
					}
				}
			}
		}
		for day := range days {
			if missed[day] > 0 {
				t.Errorf("%s: on day %d %d of the %d neediest went without; served on each day %v", what, day+1, missed[day], needy[day], served)
				break
			}
		}
		if all > days*24*perHour/2 || all < days*24*perHour/2*8/10 {
			t.Errorf("%s: %d units given of %d", what, all, days*24*perHour/2)
		}
	}
}

// Before a lot ends, what is left goes to whoever comes, while it can be fetched.
func TestWhatIsLeftCanBeFetched(t *testing.T) {
	t.Parallel()
	s := newShelf(t, func(c *matching.PlannerConfig) {
		yesterday(5000, 2)(c)
		c.Fetch = 30 * time.Minute
	}, matching.Offer{ID: "long"})
	for hour := range 20 { // as many come as were expected
		s.planner.Seen(matching.Past{AtMs: s.at(float64(hour)).UnixMilli(), Category: "meal", Person: matching.Person{Division: "330502001001"}, Units: 5000, Weight: 2})
	}
	s.put(matching.Offer{ID: "short", Lots: []matching.Lot{s.lot("short", 12, 14)}})
	for _, c := range []struct {
		lot  string
		hour float64
		open bool
	}{{"long", 19.2, false}, {"long", 19.5, true}, {"short", 13.6, false}, {"short", 13.8, true}} {
		if line := s.plan(c.hour).Of(c.lot); line == 0 != c.open {
			t.Errorf("%s at %.2f: the line is %d", c.lot, c.hour, line)
		}
	}
	for hour, want := range map[float64]float64{1: 12, 12: 13.8, 13.8: 14, 14: 19.5, 19.5: 20} {
		if got := s.planner.Next(s.at(hour)); got != s.at(want).UnixMilli() {
			t.Errorf("after %.1f the next moment is %s, want %.1f", hour, time.UnixMilli(got), want)
		}
	}
	if next := s.planner.Next(s.at(20)); next < s.at(1000).UnixMilli() {
		t.Errorf("after the last lot there is a next moment, %s", time.UnixMilli(next))
	}
}

func TestReached(t *testing.T) {
	t.Parallel()
	s := newShelf(t, nil, matching.Offer{ID: "a"}, matching.Offer{ID: "b", Groups: []string{"elderly"}}, matching.Offer{ID: "c"})
	s.put(matching.Offer{ID: "c", Lots: []matching.Lot{s.lot("c", 12, 20)}})
	s.plan(9) // which takes the shelves as they are now
	lines := matching.NewLines(map[string]int64{"a": 800})
	all := []matching.Asker{asker("light", 1, 799), asker("some", 6, 800), asker("most", 6, 3000), asker("none", 0, 4000), asker("third", 6, 790)}
	if got := s.reached(9, lines, all...); got != "most some" {
		t.Errorf("reached %q", got)
	}
	old := asker("old", 1, 100)
	old.Person.Groups = []string{"elderly"}
	if got := s.reached(9, lines, append(all, old)...); got != "most some old" {
		t.Errorf("with somebody of a group reached %q", got)
	}
	// Twelve are asked for of ten: the third is not asked about in vain.
	if got := s.reached(9, lines, append(all, asker("more", 1, 850), asker("last", 1, 800))...); got != "most more some" && got != "most more last some" {
		t.Errorf("of more than there is reached %q", got)
	}
	s.stock["c"] = matching.Stock{ID: "c", FreeUnits: 14}
	if got := s.reached(13, lines, all...); got != "most some light third" {
		t.Errorf("when another lot has begun reached %q", got)
	}
	if got := s.reached(20, lines, all...); got != "" {
		t.Errorf("when all have ended reached %q", got)
	}
	// A cap of the offer's own may keep units from the first: the next is asked
	// about as well.
	s = newShelf(t, nil, matching.Offer{ID: "a", CapUnits: 1, CapPeriod: matching.Day})
	if got := s.reached(9, nil, asker("x", 10, 900), asker("y", 10, 800)); got != "x y" {
		t.Errorf("with a cap of its own reached %q", got)
	}
}

// A planner says what it lacks.
func TestAPlannerRefuses(t *testing.T) {
	t.Parallel()
	good := matching.PlannerConfig{
		County: plannedCounty, Catalogue: matching.NewCatalogue(), Categories: []string{"meal"}, Places: 1,
		Place: func(string) int { return 0 }, Hours: 24,
	}
	for what, spoil := range map[string]func(*matching.PlannerConfig){
		"no catalogue": func(c *matching.PlannerConfig) { c.Catalogue = nil }, "no categories": func(c *matching.PlannerConfig) { c.Categories = nil },
		"no places": func(c *matching.PlannerConfig) { c.Places = 0 }, "no place": func(c *matching.PlannerConfig) { c.Place = nil },
		"no hours": func(c *matching.PlannerConfig) { c.Hours = 0 }, "a year": func(c *matching.PlannerConfig) { c.Hours = 24 * 365 },
	} {
		c := good
		spoil(&c)
		if _, err := matching.NewPlanner(c); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	p, err := matching.NewPlanner(good)
	if err != nil {
		t.Fatal(err)
	}
	// What is not of a known category changes nothing.
	p.Seen(matching.Past{Category: "weapon", Units: 1, Weight: 1})
	lines, err := p.Plan(epoch, nil, []matching.Asker{{Need: "n", Category: "weapon", Units: 1}})
	if err != nil || len(p.Reached(epoch, lines, nil, []matching.Asker{{Need: "n", Category: "weapon", Units: 1}})) != 0 {
		t.Errorf("an unknown category: %v", err)
	}
}

func TestCatalogueCountsChanges(t *testing.T) {
	t.Parallel()
	s := newShelf(t, nil, matching.Offer{ID: "a"})
	before, elsewhere := s.catalogue.Changes(plannedCounty), s.catalogue.Changes("330523000000")
	s.put(matching.Offer{ID: "b"})
	s.catalogue.Remove("unknown")
	if got := s.catalogue.Changes(plannedCounty); got != before+1 {
		t.Errorf("after one change %d, before it %d", got, before)
	}
	s.catalogue.Remove("b")
	if got := s.catalogue.Changes(plannedCounty); got != before+2 || s.catalogue.Changes("330523000000") != elsewhere {
		t.Errorf("after two changes %d, before them %d", got, before)
	}
}

// A plan in a county with 4,000 needs a day in the past, 120 lots and 300 needs
// that wait.
func BenchmarkPlan(b *testing.B) {
	rng := rand.New(rand.NewPCG(4, 2))
	categories := []string{"meal", "grocery", "clothing", "medicine", "homecare", "counsel", "cash", "voucher"}
	groups := []string{"elderly", "child", "disabled", "jobless"}
	midnight := matching.Day.Start(epoch)
	person := func() matching.Person {
		p := matching.Person{Household: "h", Division: fmt.Sprintf("330502%03d001", 1+rng.IntN(4)), ScoreMilli: rng.Int64N(1001)}
		if rng.IntN(2) == 0 {
			p.Groups = []string{groups[rng.IntN(4)]}
		}
		return p
	}
	weight := func(p matching.Person) float64 {
		return (0.25 + float64(p.ScoreMilli)/1000) * math.Pow(1.5, float64(rng.IntN(4)))
	}
	catalogue, stock := matching.NewCatalogue(), map[string]matching.Stock{}
	for i := range 120 {
		o := matching.Offer{ID: fmt.Sprintf("o%03d", i), Version: 1, Category: categories[i%8], Divisions: []string{plannedCounty}}
		switch rng.IntN(5) {
		case 0:
			o.Groups = []string{groups[rng.IntN(4)]}
		case 1:
			o.Divisions = []string{fmt.Sprintf("330502%03d000", 1+rng.IntN(4))}
		case 2:
			o.MinScoreMilli = 300
		}
		from := rng.IntN(12)
		o.Lots = []matching.Lot{{
			ID: o.ID + "-1", County: plannedCounty, FromMs: midnight.Add(time.Duration(from) * time.Hour).UnixMilli(),
			UntilMs: midnight.Add(time.Duration(from+3+rng.IntN(9)) * time.Hour).UnixMilli(),
		}}
		catalogue.Put(o)
		stock[o.ID+"-1"] = matching.Stock{ID: o.ID + "-1", Known: true, FreeUnits: 5 + rng.Int64N(30)}
	}
	config := matching.PlannerConfig{
		County: plannedCounty, Catalogue: catalogue, Categories: categories, Places: 4, StartMs: midnight.UnixMilli(), Hours: 24,
		Place: func(division string) int { return int(division[8]-'0') - 1 },
	}
	for range 4000 {
		p := person()
		config.History = append(config.History, matching.Past{
			AtMs:     midnight.Add(-7*24*time.Hour + time.Duration(rng.IntN(24*60))*time.Minute).UnixMilli(),
			Category: categories[rng.IntN(8)], Person: p, Units: 1, Weight: weight(p), Share: 1,
		})
	}
	planner, err := matching.NewPlanner(config)
	if err != nil {
		b.Fatal(err)
	}
	var waiting []matching.Asker
	for i := range 300 {
		p := person()
		waiting = append(waiting, matching.Asker{
			Need: fmt.Sprint(i), Category: categories[rng.IntN(8)], Person: p, Units: 1, WeightMilli: int64(1000 * weight(p)),
		})
	}
	for b.Loop() {
		if _, err := planner.Plan(midnight.Add(10*time.Hour), stock, waiting); err != nil {
			b.Fatal(err)
		}
	}
}
