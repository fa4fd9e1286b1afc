package drip

import (
	"cmp"
	"math"
	"slices"
)

// Band is units of about one weight.
type Band struct {
	Weight float64
	Units  float64
	Waits  bool // for somebody who waits; otherwise they are only expected
}

// Holding is what one county has of a lot that several counties share.
type Holding struct {
	County int // index of the caller's own
	Lot    int // index of the caller's own
	Units  float64
	Kept   []Band // whom they are planned for; the rest is spare
}

// Wish is units that somebody goes without in a county, by its own plan.
type Wish struct {
	County int
	Band
	Lots []int // that would serve them, in the order of [Order]
}

// Transfer is units of a lot that one county is to give to another.
type Transfer struct {
	Lot, From, To int
	Units         int64
	Weight        float64 // of the neediest whom they are for
	Waits         bool    // whether that one waits
}

const (
	// passWaiting is how many times heavier somebody who waits must be than
	// somebody expected elsewhere whose units they get: what waiting can add.
	passWaiting = 1 + Raise
	// passExpected is the same where both are only expected: a step of urgency.
	passExpected = 1.5
	// cushion is how much more than it plans for a county keeps from those who
	// are only expected elsewhere.
	cushion = 0.1
	// worthwhile is what part of a county's units must at least go for somebody
	// who is only expected, so that units do not swing to and fro by ones.
	worthwhile = 0.05
)

// Transfers says which units go where: those who go without, the heaviest
// first and of equals who waits first, get what is spare in other counties, and
// then what is planned there for people who are expected and clearly less
// needy. What is planned for somebody who waits stays.
//
// Never more leaves a county than it has beyond what it keeps, and never more
// comes than is wished for. The order of holdings and wishes decides between
// equals.
func Transfers(holdings []Holding, wishes []Wish) []Transfer {
	byLot := map[int][]*source{}
	for _, h := range holdings {
		byLot[h.Lot] = append(byLot[h.Lot], newSource(h))
	}
	order := slices.Clone(wishes)
	slices.SortStableFunc(order, func(a, b Wish) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(rank(a.Waits), rank(b.Waits)))
	})
	var out []Transfer
	index := map[[3]int]int{}
	for _, w := range order {
		left := int64(math.Floor(w.Units + rounding))
		for left > 0 {
			s, units := cheapest(byLot, w)
			if units == 0 {
				break
			}
			units = min(units, left)
			s.gone += units
			left -= units
			key := [3]int{s.Lot, s.County, w.County}
			i, known := index[key]
			if !known {
				i = len(out)
				index[key] = i
				out = append(out, Transfer{Lot: s.Lot, From: s.County, To: w.County, Weight: w.Weight, Waits: w.Waits})
			}
			out[i].Units += units
		}
	}
	return out
}

func rank(waits bool) int {
	if waits {
		return 0
	}
	return 1
}

// source is a holding that may give.
type source struct {
	Holding
	steps    []Band // what may be given, the lightest first: spare, then expected
	expected float64
	gone     int64
}

func newSource(h Holding) *source {
	s := &source{Holding: h}
	spare := h.Units
	for _, b := range h.Kept {
		spare -= b.Units
		if !b.Waits {
			s.expected += b.Units
			s.steps = append(s.steps, b)
		}
	}
	slices.SortStableFunc(s.steps, func(a, b Band) int { return cmp.Compare(a.Weight, b.Weight) })
	s.steps = slices.Insert(s.steps, 0, Band{Units: spare})
	return s
}

// offer is how many whole units the source gives for a wish at its lowest
// price, and that price: the weight of those who would go without.
func (s *source) offer(w Wish) (units int64, price float64) {
	pass, keep := passExpected, s.expected*cushion
	if w.Waits {
		pass, keep = passWaiting, 0
	}
	sum := -keep - float64(s.gone)
	for _, step := range s.steps {
		if step.Weight > 0 && step.Weight*pass >= w.Weight {
			break
		}
		if sum += step.Units; sum+rounding >= 1 {
			return int64(math.Floor(sum + rounding)), step.Weight
		}
	}
	return 0, 0
}

// cheapest is the county whose people would miss the units least, and of
// equals the one that has most.
func cheapest(byLot map[int][]*source, w Wish) (best *source, units int64) {
	var price float64
	for _, lot := range w.Lots {
		for _, s := range byLot[lot] {
			if s.County == w.County {
				continue
			}
			n, p := s.offer(w)
			if n == 0 || !w.Waits && float64(n) < s.Units*worthwhile {
				continue
			}
			if best == nil || p < price || p == price && n > units {
				best, units, price = s, n, p
			}
		}
	}
	return best, units
}
