package simulate

import (
	"cmp"
	"slices"
)

// Judgement is what a rule has reached, without the knowledge of hindsight.
type Judgement struct {
	Needs, Duplicates      int
	StockUnits, GivenUnits int64
	Met                    float64 // part of the units asked for that was given, 0..1
	NeediestMet            float64 // the same for the fifth of the needs that weighs most
	AtOnce                 float64 // part of the units given within a minute, 0..1
	MedianWait             float64 // minutes, of units given
	NeediestMedianWait     float64
}

// Judge counts what came of a scenario.
func Judge(s *Scenario, allocations []Allocation) Judgement {
	var j Judgement
	for _, r := range s.Resources {
		for _, l := range r.Lots {
			j.StockUnits += l.Qty
		}
	}
	windows := map[string]float64{}
	for _, c := range s.Categories {
		windows[c.Name] = c.ClaimWindow
	}
	given := map[string]int64{}
	for _, a := range allocations {
		given[a.Need] += a.Qty
	}
	var counted []*Need
	last := map[string]float64{}
	for i := range s.Needs {
		n := &s.Needs[i]
		key := n.Resident + "|" + n.Category
		if before, ok := last[key]; ok && n.T-before < windows[n.Category] {
			j.Duplicates++
			continue
		}
		last[key] = n.T
		counted = append(counted, n)
	}
	j.Needs = len(s.Needs)
	slices.SortStableFunc(counted, func(a, b *Need) int { return cmp.Compare(b.Weight, a.Weight) })
	neediest := map[string]bool{}
	for _, n := range counted[:(len(counted)+4)/5] {
		neediest[n.ID] = true
	}
	j.Met = met(counted, given)
	j.NeediestMet = met(counted[:len(neediest)], given)

	needs := make(map[string]*Need, len(s.Needs))
	for i := range s.Needs {
		needs[s.Needs[i].ID] = &s.Needs[i]
	}
	var all, top []waited
	var atOnce int64
	for _, a := range allocations {
		w := waited{max(0, a.T-needs[a.Need].T), a.Qty}
		j.GivenUnits += a.Qty
		all = append(all, w)
		if neediest[a.Need] {
			top = append(top, w)
		}
		if w.minutes <= 1 {
			atOnce += a.Qty
		}
	}
	if j.GivenUnits > 0 {
		j.AtOnce = float64(atOnce) / float64(j.GivenUnits)
	}
	j.MedianWait, j.NeediestMedianWait = median(all), median(top)
	return j
}

func met(needs []*Need, given map[string]int64) float64 {
	var asked, got int64
	for _, n := range needs {
		asked += n.Qty
		got += given[n.ID]
	}
	if asked == 0 {
		return 0
	}
	return float64(got) / float64(asked)
}

// waited is how long some units were waited for.
type waited struct {
	minutes float64
	units   int64
}

func median(all []waited) float64 {
	slices.SortFunc(all, func(a, b waited) int { return cmp.Compare(a.minutes, b.minutes) })
	var total, have int64
	for _, w := range all {
		total += w.units
	}
	for _, w := range all {
		if have += w.units; 2*have >= total {
			return w.minutes
		}
	}
	return 0
}
