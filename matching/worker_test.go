package matching_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
)

// ledger is a record for the worker's tests.
type ledger struct {
	mu        sync.Mutex
	recorded  map[string]bool
	snapshot  matching.Snapshot
	engine    *matching.Engine
	planned   time.Time
	unplanned error // of Plan
	serve     func(need string) (bool, error)
	served    []string
	asked     []string
	err       error
	reads     int
}

func (l *ledger) Recorded(_ context.Context, ids []string) (map[string]bool, error) {
	l.asked = append(l.asked, ids...)
	return l.recorded, l.err
}

func (l *ledger) Serve(_ context.Context, _, need string) (bool, error) {
	l.served = append(l.served, need)
	if l.serve == nil {
		return false, nil
	}
	return l.serve(need)
}

func (l *ledger) Snapshot(context.Context, string) (matching.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	return l.snapshot, l.err
}

// Plan reaches everybody who waits, once a minute and where there are no lines.
func (l *ledger) Plan(ctx context.Context, county string) (reached []string, planned bool, err error) {
	if l.unplanned != nil {
		return nil, false, l.unplanned
	}
	if l.engine == nil || l.engine.Lines(county) != nil && l.engine.Now().Sub(l.planned) < time.Minute {
		return nil, false, nil
	}
	l.planned = l.engine.Now()
	drawn, err := l.engine.Standing(ctx, county)
	if err != nil {
		return nil, false, err
	}
	if err := l.engine.PublishLines(ctx, county, matching.NewLines(nil), nil, drawn); err != nil {
		return nil, false, err
	}
	categories, err := l.engine.WaitingCategories(ctx, county)
	for _, category := range categories {
		waiters, err := l.engine.Waiting(ctx, county, category, 0, 10_000)
		if err != nil {
			return nil, false, err
		}
		for _, w := range waiters {
			reached = append(reached, w.Need)
		}
	}
	return reached, true, err
}

func (r *rig) worker(l *ledger) *matching.Worker {
	l.engine = r.Engine
	return matching.NewWorker(r.Engine, l, func() []string { return []string{r.county} }, time.Second, nil)
}

// tick ticks, and returns which needs were tried since the last.
func (r *rig) tick(w *matching.Worker, l *ledger) []string {
	r.t.Helper()
	l.served = nil
	r.ok(w.Tick(r.ctx(), r.county))
	return l.served
}

func TestWorkerAsksTheRecordFirst(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(20, "l")
		l := &ledger{recorded: map[string]bool{"b-0": true}}
		w := r.worker(l)
		r.tick(w, l)
		for _, need := range []string{"a", "b"} {
			r.match("h", meals(need, 3, 0, "l"))
		}
		r.forward(30 * time.Second)
		r.match("h", meals("c", 3, 0, "l"))
		r.forward(30*time.Second - time.Millisecond)
		r.tick(w, l)
		r.same("asked too early", l.asked, []string(nil))
		r.stock("l", 11, 9, 0)
		r.forward(time.Millisecond)
		l.err = errors.New("the record is down")
		if err := w.Tick(r.ctx(), r.county); !errors.Is(err, l.err) {
			t.Errorf("got %v, want the record's error", err)
		}
		r.stock("l", 11, 9, 0)
		l.err, l.asked = nil, nil
		r.same("tried again", r.tick(w, l), []string{"a"})
		r.same("asked", l.asked, []string{"a-0", "b-0"})
		r.stock("l", 14, 3, 3)
		r.forward(time.Minute)
		r.tick(w, l)
		r.stock("l", 17, 0, 3)
	})
}

func TestWorkerSettlesManyHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	r.open(250, "l")
	for i := range 250 {
		r.match("h", meals(fmt.Sprint("n", i), 1, 0, "l"))
	}
	r.forward(time.Minute)
	l := &ledger{recorded: map[string]bool{"n0-0": true, "n249-0": true}}
	r.tick(r.worker(l), l)
	r.stock("l", 248, 0, 2)
	r.same("tried again", len(l.served), 248)
}

func TestWorkerRebuildsWhatRedisLost(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		l := &ledger{snapshot: matching.Snapshot{
			Lots:    []matching.LotState{{ID: "l", Category: "meal", FreeUnits: 4}},
			Waiters: []matching.Waiter{{Need: "n", Category: "meal", WeightMilli: 5}},
		}}
		w := r.worker(l)
		r.tick(w, l)
		r.same("rebuilt though nothing was lost", l.reads, 0)
		r.lose()
		l.err = errors.New("the record is down")
		if err := w.Tick(r.ctx(), r.county); !errors.Is(err, l.err) {
			t.Errorf("got %v, want the record's error", err)
		}
		l.err = nil
		r.same("tried", r.tick(w, l), []string{"n"})
		r.stock("l", 4, 0, 0)
		r.same("tried twice", len(r.tick(w, l)), 0)
		r.same("read", l.reads, 2)
		r.Doubt(r.county)
		r.tick(w, l)
		r.tick(w, l)
		r.same("read after a doubt", l.reads, 3)
		// Another run of the server than the county was written to.
		r.pretend("another server")
		r.tick(w, l)
		r.tick(w, l)
		r.same("read after another server", l.reads, 4)
	})
}

// pretend changes the name of the server run that the county was written to.
func (r *rig) pretend(server string) {
	r.t.Helper()
	client, err := matching.Connect(r.ctx(), r.url)
	r.ok(err)
	defer client.Close()
	r.ok(client.Set(r.ctx(), matching.ShardKey(r.county, "server"), server, 0).Err())
}

// wait puts n needs on the list for meals, w0 the heaviest.
func (r *rig) wait(n int) {
	r.t.Helper()
	for i := range n {
		r.ok(r.Wait(r.ctx(), r.county, matching.Waiter{Need: fmt.Sprintf("w%03d", i), Category: "meal", WeightMilli: int64(1000 - i)}))
	}
}

// leaving serves all but the needs given, which stay on the list.
func (r *rig) leaving(stay func(need string) bool) func(string) (bool, error) {
	return func(need string) (bool, error) {
		if stay(need) {
			return false, nil
		}
		return true, r.Unwait(r.ctx(), r.county, "meal", need)
	}
}

func TestWorkerServesByWeightWhenUnitsAreFreed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		l := &ledger{}
		w := r.worker(l)
		r.tick(w, l)
		r.wait(30)
		r.same("nothing to be had", len(r.tick(w, l)), 0)
		r.open(1, "l")
		tried := r.tick(w, l)
		r.same("tried in vain", len(tried), 20)
		r.same("first", tried[0], "w000")
		r.same("last", tried[19], "w019")
		r.same("not tried again", len(r.tick(w, l)), 0)
		// Units come back; w005 gets some and the count in vain begins anew.
		out := r.match("h", meals("x", 1, 0, "l"))
		r.ok(r.Release(r.ctx(), r.county, out[0].Holds, true))
		l.serve = r.leaving(func(need string) bool { return need != "w005" })
		r.same("tried", len(r.tick(w, l)), 26)
	})
}

// Whoever a plan reaches is tried, however many they are, and until the next
// plan not again.
func TestWorkerTriesWhomAPlanReaches(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	r.wait(450)
	l := &ledger{}
	l.serve = r.leaving(func(need string) bool { return need[3] != '7' })
	w := r.worker(l)
	tried := map[string]int{}
	for i, want := range []int{200, 200, 50, 0} {
		got := r.tick(w, l)
		r.same(fmt.Sprint("tick ", i), len(got), want)
		for _, need := range got {
			tried[need]++
		}
	}
	r.same("needs tried", len(tried), 450)
	r.forward(time.Minute - 1)
	r.same("before the next plan", len(r.tick(w, l)), 0)
	r.forward(time.Millisecond)
	r.same("next plan", len(r.tick(w, l)), 200)
}

// That nothing can be planned does not keep what became free from those who wait.
func TestWorkerServesWithoutAPlan(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	l := &ledger{}
	w := r.worker(l)
	r.tick(w, l)
	r.wait(1)
	r.open(1, "l")
	l.unplanned, l.served = errors.New("the record is down"), nil
	if err := w.Tick(r.ctx(), r.county); !errors.Is(err, l.unplanned) {
		t.Errorf("got %v", err)
	}
	r.same("tried", l.served, []string{"w000"})
}

// A freed category is walked on where the last tick ended, and from the head
// when more is freed.
func TestWorkerGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	l := &ledger{}
	w := r.worker(l)
	r.tick(w, l)
	r.wait(420)
	l.serve = r.leaving(func(need string) bool { return need[3] == '0' }) // w000 and every tenth stay
	r.open(1, "l")
	r.same("tried", len(r.tick(w, l)), 200)
	second := r.tick(w, l)
	r.same("goes on with", second[0], "w200")
	r.open(1, "k")
	r.same("again from", r.tick(w, l)[0], "w000")
}

func TestWorkerPassesOverANeedThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	r.wait(3)
	var log bytes.Buffer
	l := &ledger{serve: func(need string) (bool, error) {
		if need == "w000" {
			return false, errors.New("broken")
		}
		return false, nil
	}}
	l.engine = r.Engine
	w := matching.NewWorker(r.Engine, l, nil, 0, slog.New(slog.NewTextHandler(&log, nil)))
	r.same("tried", r.tick(w, l), []string{"w000", "w001", "w002"})
	if !bytes.Contains(log.Bytes(), []byte("w000")) {
		t.Errorf("the log does not name the need: %s", log.String())
	}
	l.serve = func(string) (bool, error) { return false, matching.ErrNotReady }
	r.forward(time.Minute)
	if err := w.Tick(r.ctx(), r.county); !errors.Is(err, matching.ErrNotReady) {
		t.Errorf("got %v, want ErrNotReady", err)
	}
}

func TestOneWorkerPerCounty(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		one, two := &ledger{}, &ledger{}
		first, second := r.worker(one), r.worker(two)
		r.tick(first, one)
		r.wait(1)
		r.open(1, "l")
		r.same("the second", len(r.tick(second, two)), 0)
		r.same("the first", len(r.tick(first, one)), 1)
		// But any of them rebuilds, and tells what only it can tell.
		r.lose()
		r.tick(first, one)
		r.lose()
		if err := r.Promise(r.ctx(), r.county, []matching.Hold{stray("n-0")}); !errors.Is(err, matching.ErrNotReady) {
			t.Fatal(err)
		}
		r.tick(second, two)
		r.same("kept", r.Behind(r.county), 0)
		r.same("read", two.reads, 1)
	})
}

// The loop starts by itself, can be kicked, and leaves the counties to others.
func TestWorkerRuns(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.lose()
		tried := make(chan string, 100)
		l := &ledger{
			snapshot: matching.Snapshot{Waiters: []matching.Waiter{{Need: "n", Category: "meal"}}},
			serve:    func(need string) (bool, error) { tried <- need; return false, nil },
		}
		l.engine = r.Engine
		w := matching.NewWorker(r.Engine, l, func() []string { return []string{r.county} }, time.Hour, nil)
		ctx, stop := context.WithCancel(r.ctx())
		ended := make(chan struct{})
		go func() { defer close(ended); w.Run(ctx) }()
		await(t, tried, "n")
		r.open(1, "l")
		w.Kick(r.county)
		await(t, tried, "n")
		stop()
		<-ended
		other := &ledger{}
		next := r.worker(other)
		r.forward(time.Minute)
		r.same("the next worker", r.tick(next, other), []string{"n"})
	})
}

// A worker that takes long over a county keeps it.
func TestSlowWorkerKeepsItsCounty(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	r.lose()
	client, err := matching.Connect(r.ctx(), r.url)
	r.ok(err)
	defer client.Close()
	key := matching.ShardKey(r.county, "worker")
	l := &ledger{
		snapshot: matching.Snapshot{Waiters: []matching.Waiter{{Need: "n", Category: "meal"}}},
		serve: func(string) (bool, error) {
			r.ok(client.PExpire(r.ctx(), key, time.Second).Err())
			late := time.After(5 * time.Minute)
			look := time.NewTicker(10 * time.Millisecond)
			defer look.Stop()
			for r.ttl(key) <= time.Second {
				select {
				case <-late:
					t.Error("the lock was not renewed")
					return false, nil
				case <-look.C:
				}
			}
			return false, nil
		},
	}
	r.same("tried", r.tick(r.worker(l), l), []string{"n"})
}

func await(t *testing.T, c <-chan string, want string) {
	t.Helper()
	select {
	case got := <-c:
		if got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	case <-time.After(5 * time.Minute):
		t.Fatalf("waited in vain for %s", want)
	}
}

// A worker that fails says so, and goes on.
func TestWorkerReportsTrouble(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	r.lose()
	lines := make(chan string, 100)
	l := &ledger{err: errors.New("the record is down")}
	l.engine = r.Engine
	w := matching.NewWorker(r.Engine, l, func() []string { return []string{r.county} }, time.Millisecond,
		slog.New(slog.NewTextHandler(writer(func(p []byte) { lines <- string(p) }), nil)))
	ctx, stop := context.WithCancel(r.ctx())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	for failures := 0; failures < 2; {
		select {
		case line := <-lines:
			if bytes.Contains([]byte(line), []byte("the record is down")) {
				failures++
			}
		case <-time.After(5 * time.Minute):
			t.Fatal("waited in vain for the log")
		}
	}
	stop()
	for {
		select {
		case <-lines:
		case <-ended:
			return
		}
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
