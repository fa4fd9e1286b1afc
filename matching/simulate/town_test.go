package simulate_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/simulate"
)

// town makes a small town of some days in which more is asked for than there
// is, and in which the neediest come late.
func town(seed uint64, days int) *simulate.Scenario {
	r := rand.New(rand.NewPCG(seed, 7))
	s := &simulate.Scenario{
		Version: 1, Seed: int64(seed), Horizon: float64(days) * 1440, Delta: 0.3,
		Categories: []simulate.Category{
			{Name: "meal", Cap: 3, ClaimWindow: 180}, {Name: "grocery", Cap: 2, ClaimWindow: 720},
			{Name: "homecare", Cap: 4, ClaimWindow: 1440}, {Name: "voucher", Cap: 2, Period: matching.Week},
		},
		Regions: []string{"east", "west", "north"}, Groups: []string{"elderly", "jobless"},
	}
	asked := map[string]int64{}
	for day := range days {
		s.Needs = append(s.Needs, needs(r, s, day, 300)...)
	}
	slices.SortStableFunc(s.Needs, func(a, b simulate.Need) int { return cmp.Compare(a.T, b.T) })
	for i := range s.Needs {
		s.Needs[i].ID = fmt.Sprintf("n%04d", i)
		asked[s.Needs[i].Category] += s.Needs[i].Qty
	}
	s.History = append(needs(r, s, 0, 300), needs(r, s, 1, 300)...)
	for _, c := range s.Categories {
		for k := range 6 {
			x := simulate.Resource{ID: fmt.Sprintf("%s%d", c.Name, k), Category: c.Name, Regions: []string{"*"}}
			switch k {
			case 0:
				x.Regions = []string{s.Regions[r.IntN(3)]}
			case 1:
				x.Groups = []string{s.Groups[r.IntN(2)]}
			case 2:
				x.MinMPI = 0.4
			case 3:
				x.Cap, x.CapPeriod = 1, matching.Day
			}
			for day := range days {
				l := simulate.Lot{Qty: max(1, asked[c.Name]/int64(10*days)), From: float64(1440*day + 60*r.IntN(10))}
				l.Until = l.From + float64(120+60*r.IntN(6))
				if c.Name != "meal" {
					l.Until = float64(1440 * (day + 1))
				}
				l.Announced = max(0, l.From-float64(60*r.IntN(8)))
				x.Lots = append(x.Lots, l)
			}
			s.Resources = append(s.Resources, x)
		}
	}
	return s
}

func needs(r *rand.Rand, s *simulate.Scenario, day, n int) []simulate.Need {
	out := make([]simulate.Need, n)
	for i := range out {
		mpi, urgency := math.Round(10_000*r.Float64()*r.Float64())/10_000, 1+r.IntN(4)
		late := 0.25 * (mpi + float64(urgency)/4)
		minute := 60 * min(23.9, max(0, 24*(0.25+late+0.18*r.NormFloat64())))
		x := simulate.Need{
			Resident: fmt.Sprintf("p%d", r.IntN(n)), T: math.Round(100*(float64(1440*day)+minute)) / 100,
			Category: s.Categories[r.IntN(4)].Name, Qty: int64(1 + r.IntN(3)), Urgency: urgency, MPI: mpi,
			Region: s.Regions[r.IntN(3)], Weight: (0.25 + mpi) * math.Pow(1.5, float64(urgency-1)),
		}
		x.Deadline = x.T + float64(60+60*r.IntN(8))
		for _, g := range s.Groups {
			if r.IntN(3) == 0 {
				x.Groups = append(x.Groups, g)
			}
		}
		out[i] = x
	}
	slices.SortStableFunc(out, func(a, b simulate.Need) int { return cmp.Compare(a.T, b.T) })
	return out
}

// breaches checks what was promised against the rules of the scenario, in
// another way than the simulation enforces them.
func breaches(s *simulate.Scenario, allocations []simulate.Allocation) (out []string) {
	breach := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	needs, resources := map[string]simulate.Need{}, map[string]simulate.Resource{}
	rules := map[string]simulate.Category{}
	for _, c := range s.Categories {
		rules[c.Name] = c
	}
	double := map[string]bool{}
	counted := map[string]float64{}
	for _, n := range s.Needs {
		needs[n.ID] = n
		key := n.Resident + "|" + n.Category
		if before, ok := counted[key]; ok && n.T-before < rules[n.Category].ClaimWindow {
			double[n.ID] = true
			continue
		}
		counted[key] = n.T
	}
	type left struct{ from, until, units float64 }
	stock := map[string][]left{}
	for _, r := range s.Resources {
		resources[r.ID] = r
		for _, l := range r.Lots {
			stock[r.ID] = append(stock[r.ID], left{max(l.From, l.Announced), l.Until, float64(l.Qty)})
		}
		slices.SortStableFunc(stock[r.ID], func(a, b left) int { return cmp.Compare(a.until, b.until) })
	}
	const tick = 0.001 // the simulated clock counts milliseconds
	got, day, own := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for i, a := range allocations {
		if i > 0 && a.T < allocations[i-1].T {
			breach("allocation %d: before the one before it", i)
		}
		n, known := needs[a.Need]
		r, there := resources[a.Resource]
		if !known || !there || a.Qty < 1 {
			breach("allocation %d: unknown or empty: %+v", i, a)
			continue
		}
		if a.T < n.T || a.T > n.Deadline {
			breach("need %s: early or late, at %v", n.ID, a.T)
		}
		in := func(g string) bool { return slices.Contains(n.Groups, g) }
		if r.Category != n.Category || n.MPI < r.MinMPI || len(r.Groups) > 0 && !slices.ContainsFunc(r.Groups, in) ||
			!slices.Contains(r.Regions, "*") && !slices.Contains(r.Regions, n.Region) {
			breach("need %s: not eligible for %s", n.ID, r.ID)
		}
		if got[n.ID] += a.Qty; got[n.ID] > n.Qty {
			breach("need %s: more than it asked for", n.ID)
		}
		if double[n.ID] {
			breach("need %s: a second aid", n.ID)
		}
		// A scenario without a date begins on a Thursday: its week changes after four days.
		span := int(n.T / 1440)
		if rules[n.Category].Period == matching.Week {
			span = int((n.T + 3*1440) / (7 * 1440))
		}
		key := fmt.Sprint(n.Resident, n.Category, span)
		if day[key] += a.Qty; day[key] > rules[n.Category].Cap {
			breach("need %s: over the cap", n.ID)
		}
		if r.Cap > 0 {
			key := fmt.Sprint(n.Resident, r.ID, int(a.T/1440))
			if own[key] += a.Qty; own[key] > r.Cap {
				breach("need %s: over the cap of %s", n.ID, r.ID)
			}
		}
		units := float64(a.Qty)
		for k := range stock[r.ID] {
			l := &stock[r.ID][k]
			if l.from <= a.T+tick && l.until >= a.T-tick {
				take := min(units, l.units)
				l.units -= take
				units -= take
			}
		}
		if units > 0 {
			breach("resource %s: oversold at %v", r.ID, a.T)
		}
	}
	return out
}
