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

// Bands is how many parts of equal size the needs are put in by weight.
const Bands = 5

// Outcome is what came of one need that counts.
type Outcome struct {
	*Need
	Band  int // 0: weighs least, Bands − 1: the neediest
	Given int64
	Waits []Wait
}

// Wait is how long some units were waited for.
type Wait struct {
	Minutes float64
	Units   int64
}

// Outcomes tells what came of each need that is no duplicate, the neediest
// first.
func Outcomes(s *Scenario, allocations []Allocation) []Outcome {
	windows := map[string]float64{}
	for _, c := range s.Categories {
		windows[c.Name] = c.ClaimWindow
	}
	waits := map[string][]Wait{}
	needs := make(map[string]*Need, len(s.Needs))
	for i := range s.Needs {
		needs[s.Needs[i].ID] = &s.Needs[i]
	}
	for _, a := range allocations {
		waits[a.Need] = append(waits[a.Need], Wait{max(0, a.T-needs[a.Need].T), a.Qty})
	}
	var out []Outcome
	last := map[string]float64{}
	for i := range s.Needs {
		n := &s.Needs[i]
		key := n.Resident + "|" + n.Category
		if before, ok := last[key]; ok && n.T-before < windows[n.Category] {
			continue
		}
		last[key] = n.T
		o := Outcome{Need: n, Waits: waits[n.ID]}
		for _, w := range o.Waits {
			o.Given += w.Units
		}
		out = append(out, o)
	}
	slices.SortStableFunc(out, func(a, b Outcome) int { return cmp.Compare(b.Weight, a.Weight) })
	size := max(1, (len(out)+Bands-1)/Bands)
	for i := range out {
		out[i].Band = Bands - 1 - i/size
	}
	return out
}

// Judge counts what came of a scenario.
func Judge(s *Scenario, allocations []Allocation) Judgement {
	outcomes := Outcomes(s, allocations)
	j := Judgement{Needs: len(s.Needs), Duplicates: len(s.Needs) - len(outcomes)}
	for _, r := range s.Resources {
		for _, l := range r.Lots {
			j.StockUnits += l.Qty
		}
	}
	neediest := outcomes
	if i := slices.IndexFunc(outcomes, func(o Outcome) bool { return o.Band < Bands-1 }); i >= 0 {
		neediest = outcomes[:i]
	}
	j.Met, j.NeediestMet = met(outcomes), met(neediest)
	var atOnce int64
	all := waits(outcomes)
	for _, w := range all {
		j.GivenUnits += w.Units
		if w.Minutes <= 1 {
			atOnce += w.Units
		}
	}
	if j.GivenUnits > 0 {
		j.AtOnce = float64(atOnce) / float64(j.GivenUnits)
	}
	j.MedianWait, j.NeediestMedianWait = median(all), median(waits(neediest))
	return j
}

func met(outcomes []Outcome) float64 {
	var asked, got int64
	for _, o := range outcomes {
		asked += o.Qty
		got += o.Given
	}
	if asked == 0 {
		return 0
	}
	return float64(got) / float64(asked)
}

func waits(outcomes []Outcome) (out []Wait) {
	for _, o := range outcomes {
		out = append(out, o.Waits...)
	}
	return out
}

func median(all []Wait) float64 {
	slices.SortFunc(all, func(a, b Wait) int { return cmp.Compare(a.Minutes, b.Minutes) })
	var total, have int64
	for _, w := range all {
		total += w.Units
	}
	for _, w := range all {
		if have += w.Units; 2*have >= total {
			return w.Minutes
		}
	}
	return 0
}
