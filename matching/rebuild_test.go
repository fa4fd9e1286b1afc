package matching_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
)

func newEmbedded(t testing.TB) *matching.Embedded {
	t.Helper()
	return redistest.StartEmbedded(t)
}

func cut(s, sep string) (string, string, bool) { return strings.Cut(s, sep) }

func (r *rig) keys() []string {
	r.t.Helper()
	keys, err := r.Keys(r.ctx(), r.county)
	r.ok(err)
	return keys
}

// TestRefusesUntilRebuilt empties Redis: every call refuses, and afterwards
// the county is what the record says.
func TestRefusesUntilRebuilt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.ok(r.busy())
		live := r.match("h", meals("d", 1, 0, "l"))[0].Holds
		r.lose()
		if ready, err := r.Ready(r.ctx(), r.county); err != nil || ready {
			t.Fatalf("got %v, %v; want not ready", ready, err)
		}
		_, match := r.Match(r.ctx(), matching.Request{County: r.county, Household: "h", Asks: []matching.Ask{meals("n", 1, 0, "l")}})
		_, closing := r.CloseLot(r.ctx(), r.county, "k")
		_, stock := r.Stock(r.ctx(), r.county, []string{"l"})
		_, waiting := r.Waiting(r.ctx(), r.county, "meal", 0, 1)
		_, position := r.Position(r.ctx(), r.county, "meal", "c")
		_, freed := r.Freed(r.ctx(), r.county, true)
		_, due := r.Due(r.ctx(), r.county, 1)
		_, holds := r.Holds(r.ctx(), r.county)
		for what, err := range map[string]error{
			"match":   match,
			"promise": r.Promise(r.ctx(), r.county, live),
			"finish":  r.Finish(r.ctx(), r.county, live),
			"release": r.Release(r.ctx(), r.county, live, true),
			"open":    r.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "x", Category: "meal"}}),
			"close":   closing, "stock": stock, "waiting": waiting, "position": position, "freed": freed, "due": due, "holds": holds,
			"wait":   r.Wait(r.ctx(), r.county, matching.Waiter{Need: "n", Category: "meal"}),
			"unwait": r.Unwait(r.ctx(), r.county, "meal", "n"),
		} {
			if !errors.Is(err, matching.ErrNotReady) {
				t.Errorf("%s: got %v, want ErrNotReady", what, err)
			}
		}
		r.rebuild(matching.Snapshot{
			Lots: []matching.LotState{
				{ID: "l", Category: "meal", FreeUnits: 1, TakenUnits: 4},
				{ID: "gone", Category: "meal", FreeUnits: 3, TakenUnits: 2, Closed: true},
			},
			Live: []string{"a-0"}, Done: []string{"b-0"},
			Caps:    []matching.CapState{{Household: "h", Field: "c:meal", Period: "D20261124", Used: 4, Seq: 3}},
			Waiters: []matching.Waiter{{Need: "c", Category: "meal", WeightMilli: 1000}, {Need: "v", Category: "visit", WeightMilli: 7}},
		})
		r.same("state", r.dump(), []string{
			"caps h|c:meal = D20261124|4|3",
			"lots gone = 0|0|2|x", "lots l = 1|0|4",
			"seen a-0 = 0", fmt.Sprintf("seen b-0 = %d", r.now().UnixMilli()),
			"wait:meal c = -1000", "wait:visit v = -7", "waits meal", "waits visit",
		})
	})
}

// The old generation's keys go; so do those that a broken rebuild left.
func TestRebuildLeavesOneGeneration(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.rebuild(matching.Snapshot{})
		r.ok(r.busy())
		before := len(r.keys())
		broken := errors.New("the record is down")
		err := r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) { return matching.Snapshot{}, broken })
		if !errors.Is(err, broken) {
			t.Fatalf("got %v, want the error of load", err)
		}
		if ready, err := r.Ready(r.ctx(), r.county); err != nil || ready {
			t.Fatalf("got %v, %v; want not ready after a broken rebuild", ready, err)
		}
		bad := matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 1}}, Waiters: []matching.Waiter{{Need: "n", Category: "meal"}, {}}}
		err = r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) { return bad, nil })
		if !errors.Is(err, matching.ErrRequest) {
			t.Fatalf("got %v, want ErrRequest", err)
		}
		r.rebuild(matching.Snapshot{})
		r.ok(r.busy())
		if after := r.keys(); len(after) != before {
			t.Errorf("%d keys before, %d after: %v", before, len(after), after)
		}
	})
}

func TestRebuildRefusesNonsense(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	for i, s := range []matching.Snapshot{
		{Lots: []matching.LotState{{}}},
		{Caps: []matching.CapState{{Field: "c:meal"}}},
		{Caps: []matching.CapState{{Household: "h"}}},
		{Caps: []matching.CapState{{Household: "h", Field: "c:meal", Period: "|"}}},
		{Caps: []matching.CapState{{Household: "h", Field: "c:meal", Used: -1}}},
		{Caps: []matching.CapState{{Household: "h", Field: "c:meal", Used: matching.MaxUnits + 1}}},
		{Caps: []matching.CapState{{Household: "h", Field: "c:meal", Seq: -1}}},
		{Waiters: []matching.Waiter{{Need: "n"}}},
		{Waiters: []matching.Waiter{{Category: "meal"}}},
	} {
		err := r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) { return s, nil })
		if !errors.Is(err, matching.ErrRequest) {
			t.Errorf("snapshot %d: got %v, want ErrRequest", i, err)
		}
	}
}

func TestRebuildInChunks(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		var s matching.Snapshot
		m := newModel()
		for i := range 1201 {
			id := fmt.Sprintf("%04d", i)
			s.Lots = append(s.Lots, matching.LotState{ID: id, Category: "meal", FreeUnits: int64(i), TakenUnits: 3})
			s.Live = append(s.Live, "live-"+id)
			s.Done = append(s.Done, "done-"+id)
			s.Caps = append(s.Caps, matching.CapState{Household: id, Field: "c:meal", Period: "E", Used: int64(i), Seq: 2})
			s.Waiters = append(s.Waiters, matching.Waiter{Need: id, Category: "meal", WeightMilli: int64(i)})
			m.lots[id] = &modelLot{free: int64(i), taken: 3}
			m.seen["live-"+id] = 0
			m.seen["done-"+id] = r.now().UnixMilli()
			m.caps[id+"|c:meal"] = modelCap{"E", int64(i), 2}
			m.wait(s.Waiters[i])
		}
		r.rebuild(s)
		r.same("state", r.dump(), m.dump())
	})
}

func TestOnlyOneRebuilds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		other := connectRig(t, r.url, r.county, r.clock)
		r.ok(r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) {
			if err := other.Rebuild(r.ctx(), r.county, nil); !errors.Is(err, matching.ErrBusy) {
				t.Errorf("got %v, want ErrBusy", err)
			}
			return matching.Snapshot{}, nil
		}))
		other.rebuild(matching.Snapshot{}) // the lock was given back
	})
}

// A rebuild that lost its lock publishes nothing.
func TestRebuildThatLostItsLock(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		other := connectRig(t, r.url, r.county, r.clock)
		err := r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) {
			r.unlock()
			other.rebuild(matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 7}}})
			return matching.Snapshot{}, nil
		})
		if !errors.Is(err, matching.ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		r.stock("l", 7, 0, 0)
	})
}

// The other process's engine follows the new generation by itself.
func TestEnginesFollowTheGeneration(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		other := connectRig(t, r.url, r.county, r.clock)
		other.open(5, "l")
		lots := []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 3}}
		r.rebuild(matching.Snapshot{Lots: lots})
		other.stock("l", 3, 0, 0)
		r.rebuild(matching.Snapshot{Lots: lots})
		if o := other.match("h", meals("n", 5, 0, "l"))[0]; units(o.Holds) != 3 {
			t.Errorf("got %+v, want 3 units", o)
		}
		r.rebuild(matching.Snapshot{Lots: lots})
		held := r.match("h", meals("m", 2, 0, "l"))[0].Holds
		r.forward(time.Minute)
		got, err := other.Due(r.ctx(), r.county, 9)
		r.ok(err)
		r.same("due", got, held)
		r.rebuild(matching.Snapshot{Lots: lots})
		held = r.match("h", meals("m", 2, 0, "l"))[0].Holds
		r.ok(other.Release(r.ctx(), r.county, held, true))
		r.stock("l", 3, 0, 0)
		for _, call := range []func() error{
			func() error {
				return other.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "k", Category: "meal"}})
			},
			func() error { _, err := other.CloseLot(r.ctx(), r.county, "l"); return err },
			func() error { return other.Wait(r.ctx(), r.county, matching.Waiter{Need: "n", Category: "meal"}) },
			func() error { return other.Unwait(r.ctx(), r.county, "meal", "n") },
			func() error { return other.Release(r.ctx(), r.county, []matching.Hold{stray("n-0")}, true) },
			func() error { return other.Promise(r.ctx(), r.county, []matching.Hold{stray("n-0")}) },
		} {
			before := r.generation()
			r.rebuild(matching.Snapshot{Lots: lots})
			if r.generation() == before {
				t.Fatal("a rebuild did not change the generation")
			}
			r.ok(call())
			for _, key := range r.keys() {
				if strings.Contains(key, before) {
					t.Errorf("a call wrote to the old generation: %s", key)
				}
			}
		}
	})
}

// stray is a claim of meals that Redis does not know.
func stray(id string) matching.Hold {
	return matching.Hold{
		ID: id, Need: "n", Household: "h", Offer: "o", Lot: "l", QtyUnits: 2, Seq: 4,
		Category: matching.Cap{Field: "c:meal", Period: "D20261124", Limit: 9},
	}
}

// Holds in flight while the county is rebuilt: the record decides, and Redis
// ends up with what the record has.
func TestRebuildWithHoldsInFlight(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(10, "l")
		kept := r.match("h", meals("kept", 4, 0, "l"))[0].Holds
		refused := r.match("h", meals("refused", 2, 0, "l"))[0].Holds
		// Neither is in the record when it is read.
		r.rebuild(matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 10}}})
		r.stock("l", 10, 0, 0)
		r.ok(r.Promise(r.ctx(), r.county, kept))
		r.ok(r.Release(r.ctx(), r.county, refused, true))
		r.stock("l", 6, 0, 4)
		r.ok(r.Promise(r.ctx(), r.county, kept))
		r.stock("l", 6, 0, 4)
		// The adopted units count against the cap, and the claim is not reused.
		o := r.match("h", meals("next", 9, 5, "l"))[0]
		if units(o.Holds) != 1 || o.Why != matching.ShortCap || o.Holds[0].Seq != 1 {
			t.Errorf("got %+v, want one unit under the cap, claim 1", o)
		}
	})
}

// What Redis could not be told is told later, in order, unless the rebuild
// has read it.
func TestChangesMeetARebuild(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(10, "l")
		r.lose()
		early := stray("early-0")
		if err := r.Promise(r.ctx(), r.county, []matching.Hold{early}); !errors.Is(err, matching.ErrNotReady) {
			t.Fatalf("got %v, want ErrNotReady", err)
		}
		late := stray("late-0")
		r.ok(r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) {
			if n := r.Behind(r.county); n != 0 {
				t.Errorf("%d changes kept that the record is read for", n)
			}
			for _, call := range []error{
				r.Promise(r.ctx(), r.county, []matching.Hold{late}),
				r.Release(r.ctx(), r.county, []matching.Hold{late}, true),
				r.Promise(r.ctx(), r.county, []matching.Hold{late}),
			} {
				if !errors.Is(call, matching.ErrNotReady) {
					t.Errorf("got %v, want ErrNotReady", call)
				}
			}
			return matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 8, TakenUnits: 2}}, Live: []string{"early-0"}}, nil
		}))
		r.same("kept", r.Behind(r.county), 3)
		r.ok(r.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "k", Category: "meal", FreeUnits: 1}}))
		r.same("kept", r.Behind(r.county), 0)
		r.stock("l", 8, 0, 2)
		r.stock("k", 1, 0, 0)
	})
}

// When Redis is behind by more than memory should hold, the county is doubted
// and the changes are dropped: the rebuild reads them from the record.
func TestBacklogHasAnEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	r.lose()
	h := []matching.Hold{stray("n-0")}
	for range matching.MaxBacklog {
		_ = r.Promise(r.ctx(), r.county, h)
	}
	r.same("kept", r.Behind(r.county), matching.MaxBacklog)
	_ = r.Promise(r.ctx(), r.county, h)
	r.same("kept", r.Behind(r.county), 0)
	r.rebuild(matching.Snapshot{})
	r.ok(r.Promise(r.ctx(), r.county, h))
}

// What an older version of the program has left in Redis, in another form, is
// not read: the county refuses until it is rebuilt, and then it is cleared.
func TestAnotherVersionsGenerationIsRebuilt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		client, err := matching.Connect(r.ctx(), r.url)
		r.ok(err)
		defer client.Close()
		r.lose()
		r.ok(client.Set(r.ctx(), matching.ShardKey(r.county, "gen"), "OLD", 0).Err())
		r.ok(client.SAdd(r.ctx(), matching.ShardKey(r.county, "gens"), "OLD").Err())
		r.ok(client.HSet(r.ctx(), matching.ShardKey(r.county, "OLD:lots"), "l:f", 9).Err())
		fresh := connectRig(t, r.url, r.county, r.clock)
		for _, x := range []*rig{r, fresh} {
			if _, err := x.Match(r.ctx(), matching.Request{County: r.county, Household: "h", Asks: []matching.Ask{meals("n", 1, 1)}}); !errors.Is(err, matching.ErrNotReady) {
				t.Errorf("an older version's stock was read: %v", err)
			}
		}
		ready, err := fresh.Ready(r.ctx(), r.county)
		r.ok(err)
		if ready {
			t.Error("an older version's county is ready")
		}
		r.rebuild(matching.Snapshot{})
		left, err := client.Exists(r.ctx(), matching.ShardKey(r.county, "OLD:lots")).Result()
		r.ok(err)
		r.same("keys of the older version", left, int64(0))
	})
}

func (r *rig) generation() string {
	r.t.Helper()
	client, err := matching.Connect(r.ctx(), r.url)
	r.ok(err)
	defer client.Close()
	gen, err := client.Get(r.ctx(), matching.ShardKey(r.county, "gen")).Result()
	r.ok(err)
	return gen
}

// lose empties the county as FLUSHALL does; others share the cluster.
func (r *rig) lose() {
	r.t.Helper()
	client, err := matching.Connect(r.ctx(), r.url)
	r.ok(err)
	defer client.Close()
	for _, key := range r.keys() {
		r.ok(client.Del(r.ctx(), key).Err())
	}
}

// unlock takes the lock of a rebuild away, as its expiry does.
func (r *rig) unlock() {
	r.t.Helper()
	client, err := matching.Connect(r.ctx(), r.url)
	r.ok(err)
	defer client.Close()
	r.ok(client.Del(r.ctx(), matching.ShardKey(r.county, "rebuilding")).Err())
}

// ttl is when a key expires by itself.
func (r *rig) ttl(key string) time.Duration {
	r.t.Helper()
	client, err := matching.Connect(r.ctx(), r.url)
	r.ok(err)
	defer client.Close()
	d, err := client.PTTL(r.ctx(), key).Result()
	r.ok(err)
	return d
}

// A lock runs out by itself, within seconds, when its holder has died; nothing
// else expires.
func TestOnlyLocksExpire(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.ok(r.Rebuild(r.ctx(), r.county, func(context.Context) (matching.Snapshot, error) {
			if d := r.ttl(matching.ShardKey(r.county, "rebuilding")); d <= 0 || d > 5*time.Second {
				t.Errorf("the lock of a rebuild expires in %s", d)
			}
			return matching.Snapshot{}, nil
		}))
		r.ok(r.busy())
		for _, key := range r.keys() {
			if d := r.ttl(key); d >= 0 {
				t.Errorf("%s expires in %s", key, d)
			}
		}
		if slices.Contains(r.keys(), matching.ShardKey(r.county, "rebuilding")) {
			t.Error("the lock is still there")
		}
	})
}

// A county that was dropped refuses until any process has rebuilt it; what was
// read before that is not published.
func TestDrop(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(1, "a")
		r.ok(r.Drop(r.ctx(), r.county))
		if ready, err := r.Ready(r.ctx(), r.county); err != nil || ready {
			t.Fatalf("dropped, and ready: %v, %v", ready, err)
		}
		other := connectRig(t, r.url, r.county, r.clock)
		l := &ledger{snapshot: matching.Snapshot{Lots: []matching.LotState{{ID: "a", Category: "meal", FreeUnits: 2}}}}
		other.ok(other.worker(l).Tick(other.ctx(), r.county))
		r.stock("a", 2, 0, 0)

		err := r.Rebuild(r.ctx(), r.county, func(ctx context.Context) (matching.Snapshot, error) {
			return l.snapshot, other.Drop(ctx, r.county)
		})
		if !errors.Is(err, matching.ErrBusy) {
			t.Fatalf("dropped while it was rebuilt: %v, want ErrBusy", err)
		}
		if ready, err := r.Ready(r.ctx(), r.county); err != nil || ready {
			t.Fatalf("dropped while it was rebuilt, and ready: %v, %v", ready, err)
		}
		r.unlock() // as time does
		r.rebuild(l.snapshot)
		r.stock("a", 2, 0, 0)
		if err := r.Drop(r.ctx(), "1"); !errors.Is(err, matching.ErrRequest) {
			t.Errorf("no county: %v", err)
		}
	})
}
