package matching_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/matching"
)

// spare is a unit that a device was promised, and who got it.
func (r *rig) spare(lot string) (was, is matching.Hold) {
	r.t.Helper()
	was = r.match("device:d", meals("spare", 1, 0, lot))[0].Holds[0]
	is = was
	is.Need, is.Household, is.Seq = "n", "h", 0
	is.Category = matching.Cap{Field: "c:meal", Period: "D20261124", Limit: 3}
	is.OfferCap = matching.Cap{Field: "o:o", Period: "D20261124", Limit: 2}
	return was, is
}

// What a device was promised and a household got counts for the household,
// whatever Redis knew of the promise.
func TestReassignMovesTheClaim(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]func(r *rig, was matching.Hold){
		"promised": func(r *rig, was matching.Hold) { r.ok(r.Promise(r.ctx(), r.county, []matching.Hold{was})) },
		"held":     func(*rig, matching.Hold) {},
		"rebuilt by another process": func(r *rig, was matching.Hold) {
			connectRig(r.t, r.url, r.county, r.clock).rebuild(matching.Snapshot{
				Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 4, TakenUnits: 1}}, Live: []string{was.ID},
				Caps: []matching.CapState{{Household: "device:d", Field: "c:meal", Period: "D20261124", Used: 1, Seq: 1}},
			})
		},
		"unknown": func(r *rig, was matching.Hold) {
			r.rebuild(matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 5}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, r *rig) {
				r.open(5, "l")
				was, is := r.spare("l")
				told(r, was)
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						if err := r.Reassign(r.ctx(), r.county, was, is); err != nil {
							t.Error(err)
						}
						if err := r.Finish(r.ctx(), r.county, []matching.Hold{is}); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				r.stock("l", 4, 0, 1)
				// Two of three are left by the category's cap, one by the offer's.
				ask := meals("n2", 3, 3, "l")
				ask.Candidates[0].Offer, ask.Candidates[0].Cap = "o", matching.Cap{Field: "o:o", Period: "D20261124", Limit: 2}
				got := r.match("h", ask)[0]
				if len(got.Holds) != 1 || got.Holds[0].QtyUnits != 1 {
					t.Errorf("the household is offered %+v, want the one unit its caps leave", got.Holds)
				}
				// What was the device's claim counts for it no more.
				if got := r.match("device:d", meals("more", 3, 1, "l"))[0]; len(got.Holds) != 1 {
					t.Errorf("the device is offered %+v", got)
				}
			})
		})
	}
}

func TestReassignRefusesAnotherAllocation(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	r.open(5, "l")
	was, is := r.spare("l")
	for i, change := range []func(*matching.Hold){
		func(h *matching.Hold) { h.ID = "n-1" }, func(h *matching.Hold) { h.Lot = "l2" }, func(h *matching.Hold) { h.QtyUnits = 2 },
		func(h *matching.Hold) { h.Household = "" },
	} {
		h := is
		change(&h)
		if err := r.Reassign(r.ctx(), r.county, was, h); !errors.Is(err, matching.ErrRequest) {
			t.Errorf("change %d: got %v, want ErrRequest", i, err)
		}
	}
	r.stock("l", 4, 1, 0)
}

// What has ended is not given again under another name.
func TestReassignLeavesWhatHasEnded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(5, "l")
		was, is := r.spare("l")
		r.ok(r.Promise(r.ctx(), r.county, []matching.Hold{was}))
		r.ok(r.Return(r.ctx(), r.county, []matching.Hold{was}, true))
		before := r.dump()
		r.ok(r.Reassign(r.ctx(), r.county, was, is))
		r.same("the county", r.dump(), before)
	})
}
