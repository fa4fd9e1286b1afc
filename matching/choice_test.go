package matching_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
)

// What is found step by step is what a look at the whole shelf finds.
func TestChoiceAgreesWithCandidates(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		some := func(of ...string) (out []string) {
			for _, s := range of {
				if rnd.IntN(3) == 0 {
					out = append(out, s)
				}
			}
			return out
		}
		cat, milli, opened := matching.NewCatalogue(), map[string]int64{}, []string(nil)
		for i := range 60 {
			o := offer(fmt.Sprintf("o%02d", i), func(o *matching.Offer) {
				o.Divisions = some("000000000000", "330000000000", huzhou, wuxing, yuehe, village, "330502001004", nanxun)
				o.Groups, o.MinScoreMilli, o.CapUnits = some("elderly", "disabled", "child"), rnd.Int64N(3)*200, rnd.Int64N(2)
				for k := range rnd.IntN(3) {
					lot := matching.Lot{
						ID: fmt.Sprint(o.ID, "+", k), County: []string{wuxing, nanxun}[rnd.IntN(2)],
						FromMs: epoch.UnixMilli() + rnd.Int64N(4) - 2, UntilMs: epoch.UnixMilli() + rnd.Int64N(6),
					}
					if rnd.IntN(2) == 0 {
						lot.Kept = matching.Kept{Group: "elderly", OpensMs: epoch.UnixMilli() + rnd.Int64N(3) - 1}
					}
					if rnd.IntN(2) == 0 {
						opened = append(opened, lot.ID)
					}
					o.Lots = append(o.Lots, lot)
				}
			})
			for _, l := range o.Lots {
				milli[l.ID] = rnd.Int64N(4) * 500
				if rnd.IntN(9) == 0 {
					milli[l.ID] = matching.Shut
				}
			}
			cat.Put(o)
		}
		for _, lines := range []*matching.Lines{nil, matching.NewLines(milli, opened...)} {
			person := matching.Person{Division: village, Groups: some("elderly", "disabled"), ScoreMilli: rnd.Int64N(3) * 200}
			weight := rnd.Int64N(4) * 500
			candidates, _ := cat.Candidates(wuxing, "meal", person, epoch)
			want, _ := lines.Open(candidates, weight)
			got := cat.Choice(wuxing, "meal", person, epoch, lines, weight).All()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
			}
		}
	}
	if got := matching.NewCatalogue().Choice(wuxing, "meal", matching.Person{Division: village}, epoch, nil, 0).All(); got != nil {
		t.Errorf("an empty shelf has %v", got)
	}
}

// shelfOf opens a lot for each number of units, and puts them on a shelf in
// that order.
func (r *rig) shelfOf(own int64, units ...int64) (*matching.Catalogue, []string) {
	cat := matching.NewCatalogue()
	var lots []string
	for i, n := range units {
		o := offer(fmt.Sprintf("o%03d", i), func(o *matching.Offer) { o.CapUnits, o.CapPeriod = own, matching.Day })
		cat.Put(o)
		lots = append(lots, o.Lots[0].ID)
		r.ok(r.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: o.Lots[0].ID, Category: "meal", FreeUnits: n}}))
	}
	return cat, lots
}

func (r *rig) choose(cat *matching.Catalogue, need, household string, qty int64) matching.Outcome {
	r.t.Helper()
	a := meals(need, qty, 0)
	a.Choice = cat.Choice(wuxing, "meal", matching.Person{Division: village}, epoch, nil, a.WeightMilli)
	return r.match(household, a)[0]
}

func (r *rig) got(what string, o matching.Outcome, short int64, why string, lots ...string) {
	r.t.Helper()
	var from []string
	for _, h := range o.Holds {
		from = append(from, h.Lot)
	}
	r.same(what, from, lots)
	if o.ShortUnits != short || o.Why != why || (short > 0) != (o.Position > 0) {
		r.t.Errorf("%s: %+v; want %d units short, %q", what, o, short, why)
	}
}

// A shelf is looked at as far as it must be, and not less: what lies behind
// many empty lots is found, what became free in front of it as well, and whoever
// waits has been refused by every lot.
func TestLongShelf(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		units := make([]int64, 60)
		units[50], units[57] = 3, 1
		cat, lots := r.shelfOf(0, units...)
		r.got("the first with something", r.choose(cat, "a", "h1", 1), 0, "", lots[50])
		two := r.choose(cat, "b", "h2", 3)
		r.got("two lots", two, 0, "", lots[50], lots[57])
		r.got("nothing is left", r.choose(cat, "c", "h3", 1), 1, matching.ShortStock)
		r.got("nor for the next", r.choose(cat, "d", "h4", 1), 1, matching.ShortStock)

		other := connectRig(t, r.url, r.county, r.clock)
		r.ok(other.Release(r.ctx(), r.county, two.Holds[:1], true))
		r.got("what another process gave back", r.choose(cat, "c", "h3", 1), 0, "", lots[50])
		list, err := r.Waiting(r.ctx(), r.county, "meal", 0, 9)
		r.ok(err)
		r.same("who waits", list, []matching.Waiter{{Need: "d", Category: "meal", WeightMilli: 1000}})
		r.ok(other.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "new", Category: "meal", FreeUnits: 2}}))
		cat.Put(offer("new", func(o *matching.Offer) { o.Lots[0].ID = "new" }))
		r.got("the new lot, and what is left of the one", r.choose(cat, "d", "h4", 3), 0, "", "new", lots[50])

		// A rebuild forgets what was known as empty.
		r.rebuild(matching.Snapshot{Lots: []matching.LotState{{ID: lots[2], Category: "meal", FreeUnits: 1}}})
		r.got("after a rebuild", r.choose(cat, "e", "h5", 1), 0, "", lots[2])
	})
}

// What was empty before a rebuild is looked at after it, also where the new
// generation has counted as far as the old one had.
func TestLongShelfAfterARebuild(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		cat, lots := r.shelfOf(0, 0, 0)
		r.got("nothing", r.choose(cat, "a", "h1", 1), 1, matching.ShortStock)
		var states []matching.LotState
		for _, l := range lots {
			states = append(states, matching.LotState{ID: l, Category: "meal"})
		}
		r.rebuild(matching.Snapshot{Lots: states})
		for i := range lots { // as often as lots were opened before
			r.ok(r.Came(r.ctx(), r.county, matching.Shift{Move: fmt.Sprint(i), Lot: lots[1], Category: "meal", QtyUnits: 1}))
		}
		r.got("what came", r.choose(cat, "b", "h2", 1), 0, "", lots[1])
	})
}

// The reason says what all the lots together say.
func TestLongShelfOfCappedOffers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		cat, lots := r.shelfOf(1, 1, 9, 9, 9, 9, 9, 0, 0, 0, 0)
		r.got("one of each", r.choose(cat, "a", "h", 6), 0, "", lots[:6]...)
		r.got("the caps of the first, the rest is empty", r.choose(cat, "b", "h", 1), 1, matching.ShortOfferCap)
		r.got("a household without", r.choose(cat, "c", "i", 2), 0, "", lots[1], lots[2])
	})
}

// Units that become free while others look are not passed over for good: who
// asks until it is served ends.
func TestLongShelfUnderRace(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		units := make([]int64, 30)
		units[29] = 4
		cat, _ := r.shelfOf(0, units...)
		ctx, cancel := context.WithTimeout(r.ctx(), 5*time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				need := fmt.Sprint("n", i)
				for {
					a := meals(need, 1, 0)
					a.Choice = cat.Choice(wuxing, "meal", matching.Person{Division: village}, epoch, nil, a.WeightMilli)
					out, err := r.Match(ctx, matching.Request{County: r.county, Household: need, Asks: []matching.Ask{a}})
					if err != nil {
						t.Error(err)
						return
					}
					if out[0].ShortUnits == 0 {
						if err := r.Release(ctx, r.county, out[0].Holds, true); err != nil {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		all.Wait()
		got, err := r.Stock(ctx, r.county, []string{"o029-1"})
		r.ok(err)
		r.same("stock", got, []matching.Stock{{ID: "o029-1", Known: true, FreeUnits: 4}})
	})
}

// Calls that share a round trip have their own outcomes: one who leaves, one
// that is refused and a Redis that forgot the scripts do not matter to others.
func TestCallsShareRoundTrips(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(100, "l")
		r.ok(r.FlushScripts(r.ctx()))
		gone, leave := context.WithCancel(r.ctx())
		leave()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				ctx := r.ctx()
				if i%10 == 0 {
					ctx = gone
				}
				need := fmt.Sprint("n", i)
				out, err := r.Match(ctx, matching.Request{County: r.county, Household: need, Asks: []matching.Ask{meals(need, 1, 0, "l")}})
				switch {
				case i%10 == 0 && !errors.Is(err, context.Canceled):
					t.Errorf("who left got %v, %v", out, err)
				case i%10 != 0 && (err != nil || len(out[0].Holds) != 1 || out[0].Holds[0].Need != need):
					t.Errorf("%s got %+v, %v", need, out, err)
				}
			})
		}
		all.Wait()
	})
}
