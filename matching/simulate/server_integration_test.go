//go:build integration

package simulate_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
	"github.com/xingfuma/happycode/matching/simulate"
)

// A simulation on a Redis that serves a county changes nothing of it, decides
// as on the embedded one, and leaves nothing behind.
func TestBesideARealCounty(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Server(t))
	const county = "330502000000"
	engine, err := matching.New(matching.Config{Redis: client, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Rebuild(t.Context(), county, func(ctx context.Context) (matching.Snapshot, error) {
		return matching.Snapshot{
			Lots:    []matching.LotState{{ID: "lot", Category: "meal", FreeUnits: 5}},
			Waiters: []matching.Waiter{{Need: "need", Category: "meal", WeightMilli: 1000}},
		}, nil
	}); err != nil {
		t.Fatal(err)
	}
	before := keys(t, client)
	s := town(9, 1)
	out := play(t, client, s, simulate.Drip)
	if diff := cmp.Diff(play(t, connect(t, redistest.Embedded(t)), s, simulate.Drip), out); diff != "" {
		t.Errorf("the embedded Redis and a real one decide differently:\n%s", diff)
	}
	after := keys(t, client)
	slices.Sort(before)
	slices.Sort(after)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("keys before and after:\n%s", diff)
	}
	stock, err := engine.Stock(t.Context(), county, []string{"lot"})
	if err != nil || stock[0].FreeUnits != 5 {
		t.Errorf("the county's stock is %+v, %v; want 5 units free", stock, err)
	}
	waiting, err := engine.Waiting(t.Context(), county, "meal", 0, 10)
	if err != nil || len(waiting) != 1 {
		t.Errorf("the county's waiting list is %v, %v; want one need", waiting, err)
	}
}
