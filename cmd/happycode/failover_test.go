//go:build integration

package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
)

// liveness is how long these tests wait for what the figures they print say
// comes much sooner: a machine under load is no fault.
const liveness = 5 * time.Minute

// The master of a county is killed under load, and takes along what its replica
// was not told. The county gives again within seconds, and no unit twice.
func TestFailoverUnderLoad(t *testing.T) {
	cluster := redistest.StartCluster(t)
	s := embedded(t)
	s["REDIS_URL"], s["LEASE"] = cluster.URL(), "5s"
	server := start(t, s)
	l := newLoad(t, s, 120, server.base)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	wait := l.run(ctx, t, crashClients, uint64(time.Now().UnixNano()))
	l.settle(ctx, t, 60)

	master := cluster.Master(t, "hc:{"+county[:6]+"}:gen")
	cluster.Sever(t, master)
	l.settle(ctx, t, 30) // what is promised now is lost in Redis
	promises := l.listen()
	killed := time.Now()
	master.Kill()
	took := firstPromise(t, promises, county, killed)
	t.Logf("first promise of the county %v after its master was killed", took.Round(time.Millisecond))
	l.settle(ctx, t, 60)
	stop()
	wait()
	l.tell(t)
	if !t.Failed() {
		l.judge(t, server.base)
		server.stop(t)
	}
}

// firstPromise waits for a promise that was asked for after a moment.
func firstPromise(t *testing.T, promises <-chan promise, county string, since time.Time) time.Duration {
	t.Helper()
	late := time.NewTimer(liveness)
	defer late.Stop()
	for {
		select {
		case p := <-promises:
			if p.county == county && p.asked.After(since) {
				return p.answered.Sub(since)
			}
		case <-late.C:
			t.Fatalf("county %s: no promise within %v", county, liveness)
		}
	}
}

// Of two servers the one that plans is killed. The other plans and serves who
// waits, and clients go on there.
func TestServerTakesOver(t *testing.T) {
	redis := redistest.Start(t)
	s := embedded(t)
	s["REDIS_URL"], s["MONGO_URI"], s["LEASE"] = redis.URL(), mongotest.URI(t), "5s"
	s["KEY_FILE"] = filepath.Join(s["DATA"], "keys.json")
	planner := start(t, s)
	locks := locksOf(t, redis)
	eventually(t, liveness, "the first server plans all three counties", func() error {
		if len(locks()) < len(villages) {
			return errors.New("not yet")
		}
		return nil
	})
	held := locks()
	other := start(t, s.with("LISTEN", freeAddress(t)).with("DATA", filepath.Join(t.TempDir(), "data")))
	l := newLoad(t, s, 15, planner.base, other.base)
	// Some wait for what does not exist; no client scans them again.
	waits := map[string]string{} // county -> resident
	for c, people := range l.by {
		r := people[0]
		l.by[c] = people[1:]
		waits[c] = r.ID
		need := asked{resident: r.ID, body: map[string]any{"category": "legal", "qty_units": 1, "source": "scan"}}
		keyed := *l.w.worker
		keyed.key = "waits-" + c
		keyed.must(t, http.MethodPost, "residents/"+r.ID+"/needs", need.body, &need)
		l.needs.Store(keyed.key, need)
		l.w.worker.must(t, http.MethodPost, "scans", map[string]string{"code": r.CardNo}, nil)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	wait := l.run(ctx, t, len(villages), uint64(time.Now().UnixNano()))
	l.settle(ctx, t, 30)
	for c, token := range locks() {
		if held[c] != token {
			t.Logf("county %s had changed hands before", c)
		}
	}
	held = locks()
	killed := time.Now()
	planner.kill()
	l.w.giver.base = other.base
	there := *l.w.worker
	there.base = other.base
	var all sync.WaitGroup
	for c, resident := range waits {
		l.w.post(t, "法律援助", "legal", 1, map[string]any{"divisions": []string{c}})
		all.Go(func() {
			planned := since(t, killed, "another server plans county "+c, func() bool { return locks()[c] != held[c] })
			served := since(t, killed, "who waits in county "+c+" is served", func() bool {
				var page struct {
					Items []struct{ State residents.NeedState }
				}
				err := there.call(ctx, http.MethodGet, "residents/"+resident+"/needs", nil, &page)
				return err == nil && len(page.Items) == 1 && page.Items[0].State == residents.NeedPromised
			})
			t.Logf("county %s: planned by the other server %v after the kill; it served who waited after %v", c, planned, served)
		})
	}
	all.Wait()
	l.settle(ctx, t, 30)
	stop()
	wait()
	l.tell(t)
	if t.Failed() {
		return
	}
	planner = start(t, s) // it mends what it left half done
	l.judge(t, planner.base)
	planner.stop(t)
	other.stop(t)
}

// since waits until something is so and says how long after a moment that was.
func since(t *testing.T, moment time.Time, what string, so func() bool) time.Duration {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !so() {
		if time.Since(moment) > liveness {
			t.Errorf("%s: not within %v", what, liveness)
			break
		}
		<-tick.C
	}
	return time.Since(moment).Round(time.Millisecond)
}

// locksOf reads who plans the counties: the workers' tokens.
func locksOf(t *testing.T, redis *redistest.Instance) func() map[string]string {
	client, err := matching.Connect(t.Context(), redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return func() map[string]string {
		out := map[string]string{}
		for _, v := range villages {
			c := countyOf(v)
			if token, err := client.Get(t.Context(), "hc:{"+c[:6]+"}:worker").Result(); err == nil {
				out[c] = token
			}
		}
		return out
	}
}
