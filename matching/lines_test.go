package matching_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
)

func TestLinesOpen(t *testing.T) {
	t.Parallel()
	lines := matching.NewLines(map[string]int64{"a": 2000, "b": 900, "c": matching.Shut})
	all := []matching.Candidate{{Lot: "a"}, {Lot: "b"}, {Lot: "c"}, {Lot: "d"}}
	for _, c := range []struct {
		weight, lowest int64
		from           []matching.Candidate
		open           string
	}{
		{2000, 0, all, "d b a "},
		{1999, 0, all, "d b "},
		{899, 0, all, "d "},
		{899, 900, all[:3], ""},
		{5000, matching.Shut, all[2:3], ""},
		{5000, 0, nil, ""},
	} {
		open, lowest := lines.Open(c.from, c.weight)
		got := ""
		for _, o := range open {
			got += o.Lot + " "
		}
		if got != c.open || lowest != c.lowest {
			t.Errorf("weight %d: open %q, lowest %d, want %q, %d", c.weight, got, lowest, c.open, c.lowest)
		}
	}
	var none *matching.Lines
	if open, lowest := none.Open(all, 1); len(open) != 4 || lowest != 0 || !none.At().IsZero() {
		t.Errorf("without lines %d of 4 are open, the lowest is %d", len(open), lowest)
	}
}

// What one process publishes, every other takes over; a county that is rebuilt
// has no lines, and old ones count for nothing.
func TestLinesReachEveryProcess(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		other := connectRig(t, r.url, r.county, r.clock)
		both := func(what string, want int64) {
			t.Helper()
			for _, e := range []*rig{r, other} {
				e.ok(e.FollowLines(e.ctx(), e.county))
				e.same(what, e.Lines(e.county).Of("l"), want)
			}
		}
		both("nothing was planned", 0)
		r.same("no lines", r.Lines(r.county) == nil, true)
		many := map[string]int64{"l": 1800}
		for i := range 1500 {
			many[fmt.Sprintf("m%04d", i)] = int64(i + 1)
		}
		r.publish(matching.NewLines(many), nil)
		r.same("at once here", r.Lines(r.county).Of("l"), int64(1800))
		both("published", 1800)
		r.same("the last of many", other.Lines(r.county).Of("m1499"), int64(1500))
		r.same("at", other.Lines(r.county).At().UnixMilli(), r.now().UnixMilli())

		other.publish(matching.NewLines(map[string]int64{"k": matching.Shut}, "l", "m"), nil)
		both("a lot that has none any more", 0)
		r.same("opened to all", fmt.Sprint(r.Lines(r.county).Opened("l"), r.Lines(r.county).Opened("m"), r.Lines(r.county).Opened("k")), "true true false")
		r.same("shut", r.Lines(r.county).Of("k"), int64(matching.Shut))

		third := connectRig(t, r.url, r.county, r.clock)
		third.ok(third.FollowLines(r.ctx(), r.county))
		r.rebuild(matching.Snapshot{})
		r.same("right after a rebuild", r.Lines(r.county) == nil, true)
		both("after a rebuild", 0)
		other.same("after a rebuild", other.Lines(r.county) == nil, true)
		// The third still knows the old generation; the script sends it on.
		third.ok(third.PublishLines(r.ctx(), r.county, matching.NewLines(map[string]int64{"l": 700}), nil, "of the old one"))
		both("planned again", 700)
		other.same("by what was there before the rebuild", other.Lines(r.county).Moved(), true)
		r.forward(30 * time.Minute)
		both("half an hour old", 700)
		r.forward(time.Millisecond)
		both("too old", 0)

		r.lose()
		if err := r.PublishLines(r.ctx(), r.county, matching.NewLines(nil), nil, ""); !errors.Is(err, matching.ErrNotReady) {
			t.Errorf("lost: got %v", err)
		}
	})
}

func TestLinesOfWhatIsNoLot(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	if err := r.PublishLines(r.ctx(), r.county, matching.NewLines(map[string]int64{"|at": 1}), nil, ""); !errors.Is(err, matching.ErrRequest) {
		t.Errorf("got %v", err)
	}
}

func TestReweigh(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.wait(3)
		r.ok(r.Reweigh(r.ctx(), r.county, nil))
		r.ok(r.Reweigh(r.ctx(), r.county, []matching.Waiter{
			{Need: "w002", Category: "meal", WeightMilli: 9000}, {Need: "gone", Category: "meal", WeightMilli: 9000},
			{Need: "w001", Category: "unknown", WeightMilli: 9000},
		}))
		got, err := r.Waiting(r.ctx(), r.county, "meal", 0, 10)
		r.ok(err)
		names := ""
		for _, w := range got {
			names += w.Need + " "
		}
		r.same("order", names, "w002 w000 w001 ")
		r.same("weight", got[0].WeightMilli, int64(9000))
		unknown, err := r.Waiting(r.ctx(), r.county, "unknown", 0, 10)
		r.ok(err)
		r.same("no list came of it", len(unknown), 0)
	})
}

func TestCapsUsed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(50, "l")
		r.match("h", meals("a", 2, 3, "l"))
		of := func(household, field, period string) matching.HouseholdCap {
			return matching.HouseholdCap{Household: household, Cap: matching.Cap{Field: field, Period: period, Limit: 3}}
		}
		got, err := r.CapsUsed(r.ctx(), r.county, []matching.HouseholdCap{
			of("h", "c:meal", "D20261124"), of("h", "c:meal", "D20261125"), of("h", "c:meal", "D20261123"),
			of("h", "c:meal", "W202648"), of("h", "c:meal", ""), of("other", "c:meal", "D20261124"),
		})
		r.ok(err)
		// Yesterday's claim counts in the period that lies ahead, as in hold.lua.
		r.same("used", got, []int64{2, 0, 2, 0, 0, 0})
	})
}
