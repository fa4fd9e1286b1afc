//go:build integration

package matching_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
)

// eventually polls until done; what Redis answers meanwhile is its affair.
func eventually(t *testing.T, what string, done func(context.Context) bool) time.Duration {
	t.Helper()
	const patience = 5 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for !done(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s in vain for %s", patience, what)
		case <-tick.C:
		}
	}
	return time.Since(began)
}

// A server that loses everything: it refuses, is rebuilt, and goes on.
func TestServerLosesEverything(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newRig(t, server.URL())
	l := &ledger{snapshot: matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 4, TakenUnits: 6}}}}
	w := r.worker(l)
	for name, lose := range map[string]func(testing.TB){"restart": server.Restart, "flush": server.FlushAll} {
		r.open(10, "l")
		lose(t)
		_, err := r.Match(r.ctx(), matching.Request{County: r.county, Household: "h", Asks: []matching.Ask{meals("n", 1, 0, "l")}})
		if !errors.Is(err, matching.ErrNotReady) {
			t.Errorf("%s: got %v, want ErrNotReady", name, err)
		}
		r.tick(w, l)
		r.stock("l", 4, 0, 6)
	}
}

// A server that comes back with an old snapshot of its own believes that it is
// ready; the worker sees that it is another run and rebuilds.
func TestServerComesBackWithOldData(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--dbfilename", "old.rdb")
	r := newRig(t, server.URL())
	r.open(10, "l")
	client, err := matching.Connect(r.ctx(), r.url)
	r.ok(err)
	defer client.Close()
	r.ok(client.Save(r.ctx()).Err())
	r.ok(r.Promise(r.ctx(), r.county, r.match("h", meals("n", 7, 0, "l"))[0].Holds))
	server.Restart(t)
	r.stock("l", 10, 0, 0) // it has forgotten the promise
	l := &ledger{snapshot: matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 3, TakenUnits: 7}}, Live: []string{"n-0"}}}
	r.tick(r.worker(l), l)
	r.stock("l", 3, 0, 7)
}

// Redis is away for a while, with its data: what the record decided meanwhile
// is told afterwards.
func TestChangesWaitForTheServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	r := newRig(t, server.URL())
	r.open(10, "l")
	kept, given := r.match("h", meals("kept", 2, 0, "l"))[0].Holds, r.match("h", meals("given", 3, 0, "l"))[0].Holds
	server.Kill()
	ctx, cancel := context.WithTimeout(r.ctx(), 2*time.Second)
	defer cancel()
	if err := r.Promise(ctx, r.county, kept); err == nil {
		t.Fatal("a dead server took a promise")
	}
	if err := r.Release(ctx, r.county, given, true); err == nil {
		t.Fatal("a dead server took a release")
	}
	server.Restart(t)
	eventually(t, "the changes to be told", func(ctx context.Context) bool { return r.Flush(ctx, r.county) == nil })
	r.stock("l", 8, 0, 2)
}

// A frozen server holds up one caller, and the others are refused at once. What
// it was asked before it froze it may still do: asking again takes nothing twice.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newRig(t, server.URL())
	r.open(10, "l")
	ask := func() ([]matching.Outcome, error) {
		return r.Match(r.ctx(), matching.Request{County: r.county, Household: "h", Asks: []matching.Ask{meals("n", 1, 0, "l")}})
	}
	server.Pause(t)
	if _, err := ask(); !errors.Is(err, matching.ErrUnavailable) || !errors.Is(err, matching.ErrNotReady) {
		t.Errorf("the first: got %v, want ErrUnavailable", err)
	}
	refusals := make(chan error, 3)
	for range cap(refusals) {
		go func() {
			_, err := ask()
			refusals <- err
		}()
	}
	for n := range cap(refusals) {
		err := <-refusals
		if atOnce := n < cap(refusals)-1; !errors.Is(err, matching.ErrUnavailable) || atOnce != strings.Contains(err.Error(), "somebody is asking") {
			t.Errorf("caller %d to be refused: got %v", n, err)
		}
	}
	server.Resume(t)
	eventually(t, "the server to be asked again", func(context.Context) bool {
		out, err := ask()
		return err == nil && len(out[0].Holds) == 1
	})
	r.stock("l", 9, 1, 0)
	if !r.Missed(r.county) {
		t.Error("nobody knows that somebody was refused")
	}
	r.publish(matching.NewLines(nil), nil)
	if r.Missed(r.county) {
		t.Error("those who were refused were planned for, and nobody knows")
	}
}

// A full server refuses whatever takes memory; what the record decided meanwhile
// is told when there is room.
func TestFullServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newRig(t, server.URL())
	r.open(10, "l")
	holds := r.match("h", meals("early", 2, 0, "l"))[0].Holds
	server.Configure(t, "maxmemory", "1")
	_, err := r.Match(r.ctx(), matching.Request{County: r.county, Household: "h", Asks: []matching.Ask{meals("late", 1, 0, "l")}})
	if !errors.Is(err, matching.ErrUnavailable) || !errors.Is(err, matching.ErrNotReady) {
		t.Errorf("hold: got %v, want ErrUnavailable", err)
	}
	if err := r.Promise(r.ctx(), r.county, holds); !errors.Is(err, matching.ErrUnavailable) {
		t.Errorf("promise: got %v, want ErrUnavailable", err)
	}
	server.Configure(t, "maxmemory", "0")
	r.stock("l", 8, 2, 0)
	r.ok(r.Flush(r.ctx(), r.county))
	r.stock("l", 8, 0, 2)
}

// The master of the county dies: its replica takes over, the client follows
// within seconds, and the worker rebuilds there.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	r := newRig(t, cluster.URL())
	r.open(10, "l")
	before, err := r.ServerRun(r.ctx(), r.county)
	r.ok(err)
	cluster.Master(t, matching.ShardKey(r.county, "gen")).Kill()
	l := &ledger{snapshot: matching.Snapshot{Lots: []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 9, TakenUnits: 1}}}}
	w := r.worker(l)
	took := eventually(t, "the worker to rebuild on the replica", func(ctx context.Context) bool {
		return w.Tick(ctx, r.county) == nil
	})
	t.Logf("followed the failover after %s", took)
	r.stock("l", 9, 0, 1)
	after, err := r.ServerRun(r.ctx(), r.county)
	r.ok(err)
	if before == after || before == "" {
		t.Errorf("the run of the server was %q and is %q", before, after)
	}
	// The other counties were there all the time, or are again.
	other := connectRig(t, cluster.URL(), newCounty(), r.clock)
	other.rebuild(matching.Snapshot{})
	other.open(1, "k")
}

func TestClusterIsEmptied(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	r := newRig(t, cluster.URL())
	cluster.FlushAll(t)
	if ready, err := r.Ready(r.ctx(), r.county); err != nil || ready {
		t.Errorf("got %v, %v; want not ready", ready, err)
	}
	l := &ledger{}
	r.tick(r.worker(l), l)
	r.same("read", l.reads, 1)
}
