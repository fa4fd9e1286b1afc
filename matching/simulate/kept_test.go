package simulate_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/xingfuma/happycode/matching/redistest"
	"github.com/xingfuma/happycode/matching/simulate"
)

// keeping has two parts of what a town offers kept: some resources for a group,
// and some for a region, each with lots of its own beside those for everybody.
func keeping(seed uint64) *simulate.Scenario {
	s := town(seed, 1)
	for i := range s.Categories {
		s.Categories[i].Cap = 50
	}
	for i := range s.Resources {
		r := &s.Resources[i]
		r.Cap, r.CapPeriod = 0, ""
		for k := range r.Lots {
			switch i % 3 {
			case 0:
				r.Lots[k].Kept = &simulate.Kept{Group: s.Groups[i%2]}
			case 1:
				r.Lots[k].Kept = &simulate.Kept{Regions: s.Regions[:1+i%2]}
			}
		}
	}
	return s
}

// day is what came of a scenario, need by need.
type day struct {
	s     *simulate.Scenario
	out   []simulate.Allocation
	needs map[string]*simulate.Need
	got   map[string]int64
	twice map[string]bool
}

func newDay(s *simulate.Scenario, out []simulate.Allocation) *day {
	d := &day{s: s, out: out, needs: map[string]*simulate.Need{}, got: map[string]int64{}, twice: map[string]bool{}}
	windows, last := map[string]float64{}, map[string]float64{}
	for _, c := range s.Categories {
		windows[c.Name] = c.ClaimWindow
	}
	for i := range s.Needs {
		n := &s.Needs[i]
		d.needs[n.ID] = n
		key := n.Resident + "|" + n.Category
		if before, ok := last[key]; ok && n.T-before < windows[n.Category] {
			d.twice[n.ID] = true
			continue
		}
		last[key] = n.T
	}
	for _, a := range out {
		d.got[a.Need] += a.Qty
	}
	return d
}

// short are the needs that came before a moment, were still of use at another,
// fit the resource and never got all that they asked for.
func (d *day) short(r *simulate.Resource, came, lasted float64, who func(*simulate.Need) bool) (out []string) {
	for i := range d.s.Needs {
		n := &d.s.Needs[i]
		if n.T < came && n.Deadline > lasted && !d.twice[n.ID] && d.got[n.ID] < n.Qty && fits(r, n) && who(n) {
			out = append(out, n.ID)
		}
	}
	return out
}

func fits(r *simulate.Resource, n *simulate.Need) bool {
	in := func(g string) bool { return slices.Contains(n.Groups, g) }
	return r.Category == n.Category && n.MPI >= r.MinMPI && (len(r.Groups) == 0 || slices.ContainsFunc(r.Groups, in)) &&
		(slices.Contains(r.Regions, "*") || slices.Contains(r.Regions, n.Region))
}

func keptFor(l *simulate.Lot, n *simulate.Need) bool {
	return l.Kept == nil || (l.Kept.Group == "" || slices.Contains(n.Groups, l.Kept.Group)) &&
		(len(l.Kept.Regions) == 0 || slices.Contains(l.Kept.Regions, n.Region))
}

// Whoever a lot is kept for is served first; nobody else takes of it in the first
// half of its time, nor while one of them waits and then goes without; and nothing
// of it is left over while anybody who fits waits.
func TestKeptLots(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	const last = 0.02 // minutes before its end, when what is left of a lot is offered to all
	for seed, policies := range [][]simulate.Policy{simulate.Policies(), {simulate.Drip}} {
		for _, p := range policies {
			s := keeping(20 + uint64(seed))
			out := play(t, client, s, p)
			d := newDay(s, out)
			name := fmt.Sprintf("seed %d, %s", seed, p)
			given := map[string]int64{}
			toOthers, toThem := 0, 0
			for _, a := range out {
				r := &s.Resources[slices.IndexFunc(s.Resources, func(r simulate.Resource) bool { return r.ID == a.Resource })]
				l, n := &r.Lots[0], d.needs[a.Need]
				given[a.Resource] += a.Qty
				if l.Kept == nil {
					continue
				}
				if keptFor(l, n) {
					toThem++
					continue
				}
				toOthers++
				from := max(l.From, l.Announced)
				if a.T < from+(l.Until-from)/2 && a.T < l.Until-last-0.001 {
					t.Errorf("%s: need %s took of %s at %.2f, in the first half of %v to %v", name, a.Need, r.ID, a.T, from, l.Until)
				}
				if short := d.short(r, a.T, a.T, func(n *simulate.Need) bool { return keptFor(l, n) }); len(short) > 0 {
					t.Errorf("%s: need %s took of %s at %.2f while %v waited, for whom it is kept, and went without", name, a.Need, r.ID, a.T, short)
				}
			}
			for i := range s.Resources {
				r := &s.Resources[i]
				l := &r.Lots[0]
				if left := l.Qty - given[r.ID]; left > 0 {
					if short := d.short(r, l.Until-last, l.Until, func(*simulate.Need) bool { return true }); len(short) > 0 {
						t.Errorf("%s: %d units of %s are left over while %v wait", name, left, r.ID, short)
					}
				}
			}
			if p == simulate.FCFS || p == simulate.Priority {
				d.atOnce(t, name)
			}
			if toThem < 20 || toOthers < 3 {
				t.Errorf("%s: %d times to those for whom it was kept, %d times to others: the day tests nothing", name, toThem, toOthers)
			}
			for _, b := range breaches(s, out) {
				t.Errorf("%s: %s", name, b)
			}
		}
	}
}

// atOnce checks a rule without lines: nobody for whom a lot is kept is refused
// while there is something in it.
func (d *day) atOnce(t *testing.T, name string) {
	t.Helper()
	for i := range d.s.Needs {
		n := &d.s.Needs[i]
		if d.twice[n.ID] {
			continue
		}
		var at int64
		free := map[string]int64{}
		for k := range d.s.Resources {
			r := &d.s.Resources[k]
			if l := &r.Lots[0]; fits(r, n) && keptFor(l, n) && max(l.From, l.Announced) <= n.T && n.T <= l.Until {
				free[r.ID] = l.Qty
			}
		}
		for _, a := range d.out {
			if a.Need == n.ID && a.T == n.T {
				at += a.Qty
			} else if _, ok := free[a.Resource]; ok && a.T < n.T {
				free[a.Resource] -= a.Qty
			}
		}
		for id, units := range free {
			if at < n.Qty && units >= n.Qty {
				t.Errorf("%s: need %s got %d of %d at once although %s had %d", name, n.ID, at, n.Qty, id, units)
			}
		}
	}
}
