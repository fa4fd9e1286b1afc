package matching_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
)

func TestUnitsLeaveAndCome(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(5, "a", "b", "c")
		ctx := r.ctx()
		lend := func(move, lot string, units int64) error {
			return r.Lend(ctx, r.county, matching.Shift{Move: move, Lot: lot, Category: "meal", QtyUnits: units})
		}
		came := func(move, lot string, units int64) error {
			return r.Came(ctx, r.county, matching.Shift{Move: move, Lot: lot, Category: "meal", QtyUnits: units})
		}
		left := func(move, lot string, units int64) error {
			return r.Left(ctx, r.county, matching.Shift{Move: move, Lot: lot, Category: "meal", QtyUnits: units})
		}
		keep := func(move, lot string, units int64) error {
			return r.Keep(ctx, r.county, matching.Shift{Move: move, Lot: lot, Category: "meal", QtyUnits: units})
		}
		_, err := r.Freed(ctx, r.county, true)
		r.ok(err)
		r.publish(matching.NewLines(map[string]int64{"a": 1000}), nil)
		if r.Lines(r.county).Moved() {
			t.Fatal("lines that were just drawn are to be drawn again")
		}

		// All that is free may leave, and no more; held units are not free.
		r.match("h1", meals("n1", 2, 0, "a"))
		if err := lend("m1", "a", 4); !errors.Is(err, matching.ErrShort) {
			t.Fatalf("four of three free units: %v", err)
		}
		r.ok(lend("m1", "a", 3))
		r.ok(lend("m1", "a", 3))
		r.stock("a", 0, 2, 0)
		r.ok(r.FollowLines(ctx, r.county))
		if !r.Lines(r.county).Moved() {
			t.Fatal("units left, and the lines are not drawn again")
		}
		r.publish(matching.NewLines(map[string]int64{"a": 1000}), nil)
		if r.Lines(r.county).Moved() {
			t.Fatal("lines drawn after units left are to be drawn again")
		}
		// Units that left are no news for those who wait; units that come are.
		if freed, err := r.Freed(ctx, r.county, false); err != nil || len(freed) > 0 {
			t.Fatalf("freed %v, %v", freed, err)
		}
		// Units that come while lines are drawn are not in them.
		early, err := r.Standing(ctx, r.county)
		r.ok(err)
		r.ok(came("m0", "c", 1))
		r.ok(r.PublishLines(ctx, r.county, matching.NewLines(nil), &matching.Outlook{}, early))
		outlook, err := r.Outlook(ctx, r.county)
		r.ok(err)
		if !r.Lines(r.county).Moved() || outlook != nil {
			t.Fatalf("units came while lines were drawn, and these hold: %+v", outlook)
		}
		r.publish(matching.NewLines(map[string]int64{"a": 1000}), nil)
		_, err = r.Freed(ctx, r.county, true)
		r.ok(err)
		// The record has them as gone: nothing leaves twice.
		r.ok(left("m1", "a", 3))
		r.stock("a", 0, 2, 0)

		// The record did not let them go: they are back, once.
		r.ok(keep("m1", "a", 3))
		r.ok(keep("m1", "a", 3))
		r.stock("a", 3, 2, 0)
		if freed, err := r.Freed(ctx, r.county, true); err != nil || !slices.Equal(freed, []string{"meal"}) {
			t.Fatalf("freed %v, %v", freed, err)
		}
		// What was never lent does not come back, and is not lent afterwards.
		r.ok(keep("m2", "a", 3))
		r.stock("a", 3, 2, 0)
		r.ok(lend("m2", "a", 3))
		r.ok(keep("m2", "a", 3))
		r.stock("a", 3, 2, 0)

		// What the record has as gone is gone, though somebody holds it here.
		r.ok(left("m3", "b", 6))
		r.stock("b", -1, 0, 0)

		r.ok(came("m4", "c", 7))
		r.ok(came("m4", "c", 7))
		r.stock("c", 13, 0, 0)
		if freed, err := r.Freed(ctx, r.county, true); err != nil || !slices.Equal(freed, []string{"meal"}) {
			t.Fatalf("freed %v, %v", freed, err)
		}

		// A closed lot takes and gives nothing, also not later.
		_, err = r.CloseLot(ctx, r.county, "c")
		r.ok(err)
		r.ok(came("m5", "c", 2))
		r.ok(left("m6", "c", 2))
		r.stock("c", 0, 0, 0)
		if err := lend("m7", "c", 1); !errors.Is(err, matching.ErrShort) {
			t.Fatalf("lend of a closed lot: %v", err)
		}
		if freed, err := r.Freed(ctx, r.county, true); err != nil || len(freed) > 0 {
			t.Fatalf("freed %v, %v", freed, err)
		}
		if err := came("m8", "nowhere", 2); !errors.Is(err, matching.ErrUnknownLot) {
			t.Fatalf("units for a lot that is not known: %v", err)
		}

		// A county that was rebuilt with what came counted does not count it again,
		// and who knows the generation before it is sent on to it.
		other := connectRig(t, r.url, r.county, r.clock)
		if _, err := other.Standing(ctx, r.county); err != nil {
			t.Fatal(err)
		}
		r.rebuild(matching.Snapshot{
			Lots: []matching.LotState{{ID: "a", Category: "meal", FreeUnits: 9}, {ID: "b", Category: "meal", FreeUnits: 1}},
			Done: []string{"m9"},
		})
		r.ok(came("m9", "a", 4))
		r.ok(other.Came(ctx, r.county, matching.Shift{Move: "m10", Lot: "b", Category: "meal", QtyUnits: 4}))
		r.stock("a", 9, 0, 0)
		r.stock("b", 5, 0, 0)
		if err := r.Came(ctx, r.county, matching.Shift{Move: "m|1", Lot: "a", Category: "meal", QtyUnits: 1}); !errors.Is(err, matching.ErrRequest) {
			t.Fatalf("a move named with a bar: %v", err)
		}
		if err := came("m11", "a", 0); !errors.Is(err, matching.ErrRequest) {
			t.Fatalf("a move of nothing: %v", err)
		}

		// A move is remembered as long as it is told again.
		r.ok(came("m12", "a", 1))
		for range 3 {
			r.forward(20 * time.Minute)
			_, err = r.Due(ctx, r.county, 1)
			r.ok(err)
			r.ok(came("m12", "a", 1))
			r.stock("a", 10, 0, 0)
		}

		// Moves are remembered like ends, so that memory does not grow.
		r.forward(time.Hour)
		_, err = r.Due(ctx, r.county, 1)
		r.ok(err)
		for _, line := range r.dump() {
			if strings.HasPrefix(line, "seen m") {
				t.Fatalf("an old move is still remembered: %s", line)
			}
		}
	})
}
