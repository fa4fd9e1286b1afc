package drip_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/xingfuma/happycode/matching/drip"
)

const hour = 3_600_000

// A small town by chance: lots of a few units, people who each fit some.
func town(rnd *rand.Rand) ([]drip.Lot, []drip.Demand) {
	lots := make([]drip.Lot, 1+rnd.IntN(3))
	for i := range lots {
		from := rnd.Int64N(4) * hour
		lots[i] = drip.Lot{Units: float64(1 + rnd.IntN(3)), FromMs: from, UntilMs: from + (1+rnd.Int64N(4))*hour, Breadth: rnd.Float64()}
	}
	demands := make([]drip.Demand, 1+rnd.IntN(7))
	for i := range demands {
		from := rnd.Int64N(6) * hour
		d := drip.Demand{Weight: float64(1 + rnd.IntN(8)), Units: 1, FromMs: from, UntilMs: from + (1+rnd.Int64N(3))*hour}
		for l := range lots {
			if rnd.IntN(3) > 0 {
				d.Fits = append(d.Fits, int32(l))
			}
		}
		drip.Order(lots, d.Fits)
		demands[i] = d
	}
	return lots, demands
}

func meets(l drip.Lot, d drip.Demand) bool { return d.FromMs <= l.UntilMs && l.FromMs <= d.UntilMs }

// best is the greatest sum of weights that any assignment reaches.
func best(lots []drip.Lot, demands []drip.Demand) float64 {
	if len(demands) == 0 {
		return 0
	}
	d := demands[0]
	value := best(lots, demands[1:])
	for _, l := range d.Fits {
		if lots[l].Units >= 1 && meets(lots[l], d) {
			lots[l].Units--
			value = max(value, d.Weight+best(lots, demands[1:]))
			lots[l].Units++
		}
	}
	return value
}

// What is wanted of a lot is everything that it might be used for, so a plan never
// uses more of it.
func TestWanted(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 2))
	for range 500 {
		lots, demands := town(rnd)
		wanted, plan := drip.Wanted(lots, demands), drip.Make(lots, demands)
		for l := range lots {
			var sum float64
			for _, d := range demands {
				if slices.Contains(d.Fits, int32(l)) && meets(lots[l], d) {
					sum += d.Units
				}
			}
			if wanted[l] != sum || plan.Used[l] > sum {
				t.Fatalf("%v wanted of lot %d, %v used, want %v at most\n%+v\n%+v", wanted[l], l, plan.Used[l], sum, lots, demands)
			}
		}
	}
}

func TestPlanAgainstEveryPossiblePlan(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var reached, possible float64
	for range 3000 {
		lots, demands := town(rnd)
		plan := drip.Make(lots, demands)
		var value, given, used float64
		for i, d := range demands {
			value += d.Weight * plan.Given[i]
			given += plan.Given[i]
			if plan.Given[i] < 0 || plan.Given[i] > d.Units {
				t.Fatalf("demand %d of %v units is planned %v", i, d.Units, plan.Given[i])
			}
		}
		for l, lot := range lots {
			used += plan.Used[l]
			if plan.Used[l] < 0 || plan.Used[l] > lot.Units {
				t.Fatalf("of lot %d with %v units %v are planned", l, lot.Units, plan.Used[l])
			}
		}
		if given != used {
			t.Fatalf("%v units are planned for people, %v from lots", given, used)
		}
		optimum := best(lots, demands)
		if value > optimum || 2*value < optimum {
			t.Fatalf("the plan is worth %v, the best one %v\n%+v\n%+v", value, optimum, lots, demands)
		}
		reached, possible = reached+value, possible+optimum
	}
	if reached < 0.98*possible {
		t.Errorf("all plans together are worth %.3f of the best ones, want at least 0.98", reached/possible)
	}
}

// Where everybody may have everything at any time, the plan is the best one.
func TestPlanIsTheBestWhereNobodyIsLeftOut(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		lots, demands := town(rnd)
		for l := range lots {
			lots[l].FromMs, lots[l].UntilMs = 0, 100*hour
		}
		for i := range demands {
			demands[i].Fits = nil
			for l := range lots {
				demands[i].Fits = append(demands[i].Fits, int32(l))
			}
		}
		plan := drip.Make(lots, demands)
		var value float64
		for i, d := range demands {
			value += d.Weight * plan.Given[i]
		}
		if optimum := best(lots, demands); value != optimum {
			t.Fatalf("the plan is worth %v, the best one %v\n%+v\n%+v", value, optimum, lots, demands)
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		lots, demands := town(rnd)
		plan := drip.Make(lots, demands)
		want := make([]float64, len(lots))
		for i, d := range demands {
			if plan.Given[i] >= d.Units {
				continue
			}
			for _, l := range d.Fits {
				if meets(lots[l], d) {
					want[l] = max(want[l], d.Weight)
				}
			}
		}
		if !slices.Equal(plan.Line, want) {
			t.Fatalf("lines are %v; the neediest who go without weigh %v\n%+v\n%+v", plan.Line, want, lots, demands)
		}
	}
}

// Nobody waits behind somebody who weighs less: whoever goes without finds
// the lot full of those who weigh as much or more.
func TestNobodyWaitsBehindSomebodyLessNeedy(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		lots, demands := town(rnd)
		plan := drip.Make(lots, demands)
		for i, d := range demands {
			if plan.Given[i] >= d.Units {
				continue
			}
			heavier := slices.DeleteFunc(slices.Clone(demands), func(x drip.Demand) bool { return x.Weight < d.Weight })
			among := drip.Make(lots, heavier)
			for _, l := range d.Fits {
				if meets(lots[l], d) && among.Used[l] < lots[l].Units {
					t.Fatalf("demand %d of weight %v goes without, though those who weigh as much leave %v of lot %d\n%+v\n%+v",
						i, d.Weight, lots[l].Units-among.Used[l], l, lots, demands)
				}
			}
		}
	}
}

func TestOrderUsesUpWhatEndsFirstAndServesFewest(t *testing.T) {
	t.Parallel()
	lots := []drip.Lot{{UntilMs: 9, Breadth: 1}, {UntilMs: 5, Breadth: 2}, {UntilMs: 5, Breadth: 1}, {UntilMs: 5, Breadth: 1}}
	fits := []int32{0, 1, 2, 3}
	drip.Order(lots, fits)
	if want := []int32{2, 3, 1, 0}; !slices.Equal(fits, want) {
		t.Errorf("order %v, want %v", fits, want)
	}
}

func TestWeight(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		score   float64
		urgency int
		want    float64
	}{{0, 1, 0.25}, {1, 1, 1.25}, {0.6111, 2, 1.29165}, {1, 4, 4.21875}} {
		if got := drip.Weight(x.score, x.urgency); math.Abs(got-x.want) > 1e-9 {
			t.Errorf("weight of score %v, urgency %d: %v, want %v", x.score, x.urgency, got, x.want)
		}
	}
}
