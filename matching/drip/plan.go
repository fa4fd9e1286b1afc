// Package drip is the rule of precise drip: who is served now, who waits, and
// when units are released to those who wait. It is arithmetic only; it reads
// no clock and no store, and it names nobody. See DESIGN.md.
package drip

import (
	"cmp"
	"slices"
)

// Lot is what may still be given of one lot. The index of a lot in the slice
// of all lots is how everything else here names it.
type Lot struct {
	Units   float64 // free and known of; 0 for a lot that nobody knows of yet
	FromMs  int64   // usable from, Unix ms
	UntilMs int64   // usable until, Unix ms
	Breadth float64 // how many people may use it, on any scale: narrow lots are used up first
}

// Order sorts lots in the order in which they are used up: what ends first,
// so that nothing spoils; then what fewest may use, so that what many can use
// is left for those who can use nothing else.
func Order(lots []Lot, fits []int32) {
	slices.SortFunc(fits, func(a, b int32) int {
		return cmp.Or(
			cmp.Compare(lots[a].UntilMs, lots[b].UntilMs),
			cmp.Compare(lots[a].Breadth, lots[b].Breadth),
			cmp.Compare(a, b),
		)
	})
}

// Demand is units that somebody asks for, or is expected to ask for.
type Demand struct {
	Weight  float64 // see [Weight]
	Units   float64 // a fraction where it is only expected
	FromMs  int64   // when it arises, Unix ms; what waits has arisen
	UntilMs int64   // when it is of no use any more, Unix ms
	Fits    []int32 // the lots that may serve it, in the order of [Order]
}

// Plan is what the lots are for.
type Plan struct {
	// Line is, for each lot, the weight of the neediest who goes without it if
	// all is given as planned; 0 where nobody does. Whoever stands on or above
	// the line is served at once.
	Line []float64
	// Used is, for each lot, how many of its units are planned for somebody.
	Used []float64
	// Given is, for each demand, how many of its units are planned for.
	Given []float64
	// Uses are the units that were planned, where [MakeTraced] was asked.
	Uses []Use

	traced bool
}

// Use is units of a lot planned for a demand.
type Use struct {
	Lot, Demand int32
	Units       float64
}

// Make fills the demands from the lots, the greatest weight first; of equal
// weights the one that comes first in the slice. A demand that its lots cannot
// fill raises their lines to its weight.
//
// Never more is planned than there is, and no line is below the weight of
// somebody who fits the lot and goes without.
func Make(lots []Lot, demands []Demand) Plan { return makePlan(lots, demands, false) }

// MakeTraced is [Make], and says which units are for whom.
func MakeTraced(lots []Lot, demands []Demand) Plan { return makePlan(lots, demands, true) }

func makePlan(lots []Lot, demands []Demand, traced bool) Plan {
	p := Plan{
		Line: make([]float64, len(lots)), Used: make([]float64, len(lots)), Given: make([]float64, len(demands)), traced: traced,
	}
	for _, r := range byWeight(demands) {
		for i := r.from; i < r.to; i++ {
			p.fill(lots, demands, i)
		}
	}
	return p
}

// fill plans units for one demand, or raises the lines of the lots that fail
// it.
func (p *Plan) fill(lots []Lot, demands []Demand, i int) {
	d := &demands[i]
	left := d.Units
	for _, l := range d.Fits {
		if left <= rounding {
			break
		}
		if take := min(left, lots[l].Units-p.Used[l]); take > 0 && lots[l].Meets(d) {
			p.Used[l] += take
			left -= take
			if p.traced {
				p.Uses = append(p.Uses, Use{l, int32(i), take})
			}
		}
	}
	p.Given[i] = d.Units - left
	if left <= rounding {
		return
	}
	for _, l := range d.Fits {
		if lots[l].Meets(d) {
			p.Line[l] = max(p.Line[l], d.Weight)
		}
	}
}

// Wanted is, for each lot, how many units are asked for by those who fit it while
// it can be used, whatever else may serve them.
func Wanted(lots []Lot, demands []Demand) []float64 {
	out := make([]float64, len(lots))
	for i := range demands {
		for _, l := range demands[i].Fits {
			if lots[l].Meets(&demands[i]) {
				out[l] += demands[i].Units
			}
		}
	}
	return out
}

// run is demands of one weight that stand together: a kind's, hour by hour.
// There are far fewer of these to sort.
type run struct {
	weight   float64
	from, to int
}

func byWeight(demands []Demand) []run {
	var out []run
	for i := range demands {
		if n := len(out); n > 0 && out[n-1].weight == demands[i].Weight {
			out[n-1].to++
			continue
		}
		out = append(out, run{demands[i].Weight, i, i + 1})
	}
	slices.SortFunc(out, func(a, b run) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.from, b.from)) })
	return out
}

// rounding is less than anybody is given: what sums of fractions leave over.
const rounding = 1e-9

// Meets says whether there is a moment at which the lot can be used and the
// demand stands.
func (l *Lot) Meets(d *Demand) bool { return d.FromMs <= l.UntilMs && l.FromMs <= d.UntilMs }
