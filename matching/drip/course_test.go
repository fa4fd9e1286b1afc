package drip_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/xingfuma/happycode/matching/drip"
)

// ahead is what the rest of a week brings to random lots of up to forty days, of
// one category with history and one without.
func ahead(t *testing.T, seed uint64, together bool) ([]drip.Lot, []drip.Demand) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	lots := make([]drip.Lot, 8)
	for i := range lots {
		from := rnd.Int64N(5*24) * hour / 2
		lots[i] = drip.Lot{Units: float64(rnd.IntN(60)), FromMs: from, UntilMs: from + rnd.Int64N(40*24)*hour/2, Breadth: rnd.Float64()}
	}
	sets := make([][]int32, 4)
	for s := range sets {
		for i := range lots {
			if rnd.IntN(2) == 0 || i == s {
				sets[s] = append(sets[s], int32(i))
			}
		}
		drip.Order(lots, sets[s])
	}
	c := drip.Config{
		Hours: 7 * 24, Categories: 2, Places: 1, LastsMs: []int64{2 * hour, 7 * hour},
		Fits: func(person, _ int) []int32 { return sets[max(person, 0)%len(sets)] },
		Span: func(fits []int32) (longest, end int64) {
			for _, l := range fits {
				longest, end = max(longest, lots[l].UntilMs-lots[l].FromMs), max(end, lots[l].UntilMs)
			}
			return longest, end
		},
	}
	if together {
		c.Lots = lots
	}
	for k := range 12 {
		kind := drip.Kind{Weight: 1 + float64(k)/4, LastsMs: c.LastsMs[0], Fits: sets[k%len(sets)]}
		for range c.Hours {
			kind.Units = append(kind.Units, rnd.Float64()/8)
		}
		c.Kinds = append(c.Kinds, kind)
	}
	f, err := drip.NewForecast(c)
	if err != nil {
		t.Fatal(err)
	}
	now := rnd.Int64N(6*24*60) * hour / 60
	for range 100 {
		f.Seen(drip.Arrival{AtMs: rnd.Int64N(now + 1), Category: 1, Person: rnd.IntN(4), Units: 1, Weight: 1 + 2*rnd.Float64()})
	}
	return lots, f.Rest(now, times(1.4), []float64{100, 100}, nil)
}

// Hours that the same lots meet are one demand: nothing is planned otherwise.
func TestHoursTogetherChangeNoPlan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		lots, apart := ahead(t, seed, false)
		_, together := ahead(t, seed, true)
		if 2*len(together) > len(apart) {
			t.Fatalf("seed %d: %d demands of %d", seed, len(together), len(apart))
		}
		want, got := drip.Make(lots, apart), drip.Make(lots, together)
		wanted, asked := drip.Wanted(lots, apart), drip.Wanted(lots, together)
		for l := range lots {
			if want.Line[l] != got.Line[l] || math.Abs(want.Used[l]-got.Used[l]) > 1e-6 || math.Abs(wanted[l]-asked[l]) > 1e-6 {
				t.Errorf("seed %d, lot %d: line %v, used %v, wanted %v; apart %v, %v, %v",
					seed, l, got.Line[l], got.Used[l], asked[l], want.Line[l], want.Used[l], wanted[l])
			}
		}
	}
}

// A city whose first day this is: a plan must not look at each of tens of
// thousands of people by the hour.
func TestManyWithoutHistoryGoTogether(t *testing.T) {
	t.Parallel()
	lots := []drip.Lot{{Units: 1000, UntilMs: 90 * 24 * hour}, {Units: 10, FromMs: 20 * hour, UntilMs: 40 * hour}}
	sets := [][]int32{{0}, {1, 0}}
	f, err := drip.NewForecast(drip.Config{
		Hours: 7 * 24, Categories: 1, Places: 1, LastsMs: []int64{hour}, Lots: lots,
		Fits: func(person, _ int) []int32 { return sets[max(person, 0)%2] },
	})
	if err != nil {
		t.Fatal(err)
	}
	const people = 50_000
	for i := range people {
		f.Seen(drip.Arrival{AtMs: int64(i) * 12 * hour / people, Person: i, Units: 1, Weight: 1 + float64(i%100)/50})
	}
	demands := f.Rest(12*hour, times(1), []float64{1010}, nil)
	if len(demands) > 4*100*3+1000 {
		t.Errorf("%d demands", len(demands))
	}
	var sum, weights float64
	for _, d := range demands {
		sum += d.Units
		weights += d.Units * d.Weight
	}
	if mean := weights / sum; mean < 1.97 || mean > 2.01 { // of those who came: 1.99
		t.Errorf("they weigh %v on average", mean)
	}
}
