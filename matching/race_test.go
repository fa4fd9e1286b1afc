package matching_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
)

// together runs n calls at once.
func together(n int, call func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			call(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func TestRaceForOneLot(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(50, "l")
		var units atomic.Int64
		together(200, func(i int) {
			o := r.match(fmt.Sprint("h", i), meals(fmt.Sprint("n", i), 1, 3, "l"))[0]
			for _, h := range o.Holds {
				units.Add(h.QtyUnits)
				if i%2 == 0 {
					r.ok(r.Promise(r.ctx(), r.county, o.Holds))
				}
			}
		})
		r.same("units given", units.Load(), int64(50))
		got, err := r.Stock(r.ctx(), r.county, []string{"l"})
		r.ok(err)
		if s := got[0]; s.FreeUnits != 0 || s.HeldUnits+s.TakenUnits != 50 {
			t.Errorf("got %+v, want 50 held or taken", s)
		}
		waiting, err := r.Waiting(r.ctx(), r.county, "meal", 0, 1000)
		r.ok(err)
		r.same("waiting", len(waiting), 150)
	})
}

func TestRaceForOneHouseholdsCap(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(500, "l", "k")
		var units atomic.Int64
		var claims sync.Map
		together(200, func(i int) {
			o := r.match("h", meals(fmt.Sprint("n", i), 2, 7, "l", "k"))[0]
			for _, h := range o.Holds {
				units.Add(h.QtyUnits)
				if other, twice := claims.LoadOrStore(h.Seq, h.ID); twice {
					t.Errorf("claim %d was given to %s and %s", h.Seq, other, h.ID)
				}
			}
		})
		r.same("units given", units.Load(), int64(7))
	})
}

// What a rule was decided on changes at another counter: of many who know of no
// claim, one gets something, and whoever then knows of it may.
func TestRaceForWhatARuleAllows(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(50, "l")
		ask := func(need string, known int64) matching.Outcome {
			a := meals(need, 1, 0, "l")
			a.Candidates[0].Keys, a.Candidates[0].Day = []string{"meal"}, 20_000
			a.Candidates[0].Guards = []matching.Guard{{Key: "meal", SinceDay: 19_971, Known: known}}
			return r.match("h", a)[0]
		}
		var given atomic.Int64
		together(50, func(i int) {
			switch o := ask(fmt.Sprintf("n%d", i), 0); {
			case len(o.Holds) == 1:
				given.Add(1)
			case o.Why != matching.ShortMoved:
				t.Errorf("refused with %q", o.Why)
			}
		})
		if given.Load() != 1 {
			t.Errorf("%d were given, want 1", given.Load())
		}
		o := ask("m", 1)
		if len(o.Holds) != 1 {
			t.Fatalf("who knows of the claim gets %+v", o)
		}
		r.ok(r.Release(r.ctx(), r.county, o.Holds, true))
		if o := ask("k", 1); len(o.Holds) != 1 {
			t.Errorf("after one was given back: %+v", o)
		}
	})
}

// The same request from many callers is one set of holds.
func TestRaceForOneNeed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(2, "l", "k")
		var first sync.Map
		together(100, func(int) {
			o := r.match("h", meals("n", 3, 0, "l", "k"))[0]
			if len(o.Holds) != 2 || o.ShortUnits != 0 {
				t.Errorf("got %+v, want two holds", o)
				return
			}
			for _, h := range o.Holds {
				if other, ok := first.LoadOrStore(h.ID, h); ok && !cmp.Equal(other, h) {
					t.Errorf("got %+v and %+v", other, h)
				}
			}
		})
		r.stock("l", 0, 2, 0)
		r.stock("k", 1, 1, 0)
	})
}

// Whatever the order, nothing is lost and nothing is made.
func TestRaceOfAllVerbs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		lots := []string{"l1", "l2", "l3"}
		r.open(60, lots...)
		var finished atomic.Int64
		together(64, func(i int) {
			dice := rand.New(rand.NewPCG(7, uint64(i)))
			for k := range 12 {
				o := r.match(fmt.Sprint("h", i%8), meals(fmt.Sprintf("n%d-%d", i, k), 1+dice.Int64N(3), 0, lots...))[0]
				settle := []func(){
					func() { r.ok(r.Release(r.ctx(), r.county, o.Holds, true)) },
					func() { r.ok(r.Promise(r.ctx(), r.county, o.Holds)) },
					func() { r.ok(r.Finish(r.ctx(), r.county, o.Holds)) },
				}
				switch dice.IntN(4) {
				case 0: // refused by the record, told twice
					settle[0]()
					settle[0]()
				case 1: // promised, then declined
					settle[1]()
					settle[0]()
					settle[1]()
				case 2: // handed over at once, the promise comes late
					settle[2]()
					settle[1]()
					finished.Add(units(o.Holds))
				case 3:
					settle[1]()
					settle[1]()
					settle[2]()
					settle[2]()
					finished.Add(units(o.Holds))
				}
			}
		})
		var free, taken int64
		stock, err := r.Stock(r.ctx(), r.county, lots)
		r.ok(err)
		for _, s := range stock {
			if s.HeldUnits != 0 || s.FreeUnits < 0 || s.FreeUnits+s.TakenUnits != 60 {
				t.Errorf("got %+v, want nothing held and 60 in all", s)
			}
			free, taken = free+s.FreeUnits, taken+s.TakenUnits
		}
		r.same("handed over", taken, finished.Load())
		holds, err := r.Holds(r.ctx(), r.county)
		r.ok(err)
		r.same("holds", len(holds), 0)
		for _, line := range r.dump() {
			var household string
			var used, seq int64
			if n, _ := fmt.Sscanf(line, "caps %s = D20261124|%d|%d", &household, &used, &seq); n == 3 {
				taken -= used
			}
		}
		r.same("counted against caps, less what was handed over", taken, int64(0))
	})
}

func units(holds []matching.Hold) (n int64) {
	for _, h := range holds {
		n += h.QtyUnits
	}
	return n
}
