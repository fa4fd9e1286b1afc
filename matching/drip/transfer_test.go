package drip_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching/drip"
)

func waits(weight, units float64) drip.Band {
	return drip.Band{Weight: weight, Units: units, Waits: true}
}
func expected(weight, units float64) drip.Band { return drip.Band{Weight: weight, Units: units} }

func TestTransfers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		holdings []drip.Holding
		wishes   []drip.Wish
		want     []drip.Transfer
	}{{
		name:     "what is spare goes to whoever waits elsewhere",
		holdings: []drip.Holding{{County: 0, Units: 5}, {County: 1}},
		wishes:   []drip.Wish{{County: 1, Band: waits(0.3, 2), Lots: []int{0}}},
		want:     []drip.Transfer{{From: 0, To: 1, Units: 2, Weight: 0.3, Waits: true}},
	}, {
		name:     "the needier who waits passes the less needy who is expected",
		holdings: []drip.Holding{{County: 0, Units: 3, Kept: []drip.Band{expected(1, 3)}}, {County: 1}},
		wishes:   []drip.Wish{{County: 1, Band: waits(2, 2), Lots: []int{0}}},
		want:     []drip.Transfer{{From: 0, To: 1, Units: 2, Weight: 2, Waits: true}},
	}, {
		name:     "about as needy is not enough",
		holdings: []drip.Holding{{County: 0, Units: 3, Kept: []drip.Band{expected(1, 3)}}, {County: 1}},
		wishes:   []drip.Wish{{County: 1, Band: waits(1.09, 2), Lots: []int{0}}},
	}, {
		name:     "who waits at home keeps what is planned for them",
		holdings: []drip.Holding{{County: 0, Units: 3, Kept: []drip.Band{waits(1, 3)}}, {County: 1}},
		wishes:   []drip.Wish{{County: 1, Band: waits(4, 2), Lots: []int{0}}},
	}, {
		name: "the neediest first, and from where they are missed least",
		holdings: []drip.Holding{
			{County: 0, Units: 2, Kept: []drip.Band{expected(1, 2)}}, {County: 1}, {County: 2, Units: 1}, {County: 3},
		},
		wishes: []drip.Wish{
			{County: 1, Band: waits(1.5, 2), Lots: []int{0}}, {County: 3, Band: waits(3, 2), Lots: []int{0}},
		},
		want: []drip.Transfer{
			{From: 2, To: 3, Units: 1, Weight: 3, Waits: true}, {From: 0, To: 3, Units: 1, Weight: 3, Waits: true},
			{From: 0, To: 1, Units: 1, Weight: 1.5, Waits: true},
		},
	}, {
		name:     "for who is only expected a tenth of what is planned stays",
		holdings: []drip.Holding{{County: 0, Units: 30, Kept: []drip.Band{expected(1, 20)}}, {County: 1}},
		wishes:   []drip.Wish{{County: 1, Band: expected(1, 20), Lots: []int{0}}},
		want:     []drip.Transfer{{From: 0, To: 1, Units: 8, Weight: 1}},
	}, {
		name:     "and single units of many do not move",
		holdings: []drip.Holding{{County: 0, Units: 100, Kept: []drip.Band{expected(1, 87)}}, {County: 1}},
		wishes:   []drip.Wish{{County: 1, Band: expected(1, 20), Lots: []int{0}}},
	}, {
		name:     "fractions add up to whole units",
		holdings: []drip.Holding{{County: 0, Units: 3, Kept: []drip.Band{expected(2, 1.5), expected(0.5, 0.7), expected(0.6, 0.2)}}, {County: 1}},
		wishes:   []drip.Wish{{County: 1, Band: waits(1, 3), Lots: []int{0}}},
		want:     []drip.Transfer{{From: 0, To: 1, Units: 1, Weight: 1, Waits: true}},
	}, {
		name:     "only lots that serve them",
		holdings: []drip.Holding{{County: 0, Lot: 0, Units: 5}, {County: 0, Lot: 1, Units: 5}},
		wishes:   []drip.Wish{{County: 1, Band: waits(1, 7), Lots: []int{1}}},
		want:     []drip.Transfer{{Lot: 1, From: 0, To: 1, Units: 5, Weight: 1, Waits: true}},
	}} {
		if diff := cmp.Diff(c.want, drip.Transfers(c.holdings, c.wishes)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// Whatever is asked: no unit leaves that is not there or is kept, none comes
// that nobody wished for, nobody who waits is left while clearly less needy
// people keep what would serve them, and when all is done nothing moves again.
func TestTransfersProperties(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 2026))
	for try := range 3000 {
		holdings, wishes := randomTransfers(rng)
		moves := drip.Transfers(holdings, wishes)
		gave, got, heaviest := map[[2]int]int64{}, map[int]int64{}, map[[2]int]float64{}
		for _, m := range moves {
			if m.Units < 1 || m.From == m.To {
				t.Fatalf("%d: %+v", try, m)
			}
			from := [2]int{m.Lot, m.From}
			gave[from] += m.Units
			heaviest[from] = max(heaviest[from], m.Weight)
			got[m.To] += m.Units
		}
		after := make([]drip.Holding, len(holdings))
		for i, h := range holdings {
			n := float64(gave[[2]int{h.Lot, h.County}])
			mayGive := h.Units
			for _, b := range h.Kept {
				if b.Waits || b.Weight*1.1 >= heaviest[[2]int{h.Lot, h.County}] {
					mayGive -= b.Units
				}
			}
			if n > 0 && n > mayGive+1e-6 {
				t.Fatalf("%d: %+v gives %v of %v", try, h, n, mayGive)
			}
			after[i] = without(h, n)
		}
		wished := map[int]float64{}
		for _, w := range wishes {
			wished[w.County] += math.Floor(w.Units)
		}
		for county, units := range got {
			if float64(units) > wished[county] {
				t.Fatalf("%d: county %d gets %d of %v", try, county, units, wished[county])
			}
		}
		// What came is kept for whom it came; who still goes without finds nothing.
		rest := unserved(wishes, moves)
		if again := drip.Transfers(after, rest); len(again) > 0 {
			t.Fatalf("%d: %+v\n%+v\nmoves %+v\nand then %+v", try, holdings, wishes, moves, again)
		}
	}
}

func randomTransfers(rng *rand.Rand) (holdings []drip.Holding, wishes []drip.Wish) {
	counties, lots := 2+rng.IntN(4), 1+rng.IntN(3)
	band := func(units float64) drip.Band {
		b := drip.Band{Weight: 0.3 + 4*rng.Float64(), Units: units, Waits: rng.IntN(2) == 0}
		if b.Waits {
			b.Units = math.Ceil(units)
		}
		return b
	}
	for county := range counties {
		for lot := range lots {
			h := drip.Holding{County: county, Lot: lot, Units: float64(rng.IntN(12))}
			left := h.Units
			for range rng.IntN(4) {
				b := band(left * rng.Float64())
				if b.Units <= left && b.Units > 0 {
					h.Kept, left = append(h.Kept, b), left-b.Units
				}
			}
			holdings = append(holdings, h)
		}
		for range rng.IntN(3) {
			w := drip.Wish{County: county, Band: band(5 * rng.Float64())}
			for lot := range lots {
				if rng.IntN(2) == 0 {
					w.Lots = append(w.Lots, lot)
				}
			}
			wishes = append(wishes, w)
		}
	}
	return holdings, wishes
}

// without is a holding after units have left: the spare ones first, then those
// for the least needy who are expected.
func without(h drip.Holding, units float64) drip.Holding {
	out := drip.Holding{County: h.County, Lot: h.Lot, Units: h.Units - units}
	kept := append([]drip.Band(nil), h.Kept...)
	spare := h.Units
	for _, b := range kept {
		spare -= b.Units
	}
	over := units - spare
	for over > 1e-9 {
		least := -1
		for i, b := range kept {
			if !b.Waits && b.Units > 0 && (least < 0 || b.Weight < kept[least].Weight) {
				least = i
			}
		}
		take := min(over, kept[least].Units)
		kept[least].Units -= take
		over -= take
	}
	out.Kept = kept
	return out
}

// unserved are the wishes of counties to which nothing has come.
func unserved(wishes []drip.Wish, moves []drip.Transfer) []drip.Wish {
	got := map[int]bool{}
	for _, m := range moves {
		got[m.To] = true
	}
	var out []drip.Wish
	for _, w := range wishes {
		if !got[w.County] {
			out = append(out, w)
		}
	}
	return out
}
