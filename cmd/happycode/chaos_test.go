//go:build integration

package main

import (
	"context"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching/redistest"
)

var (
	chaosFor  = flag.Duration("chaos", 20*time.Second, "how long TestChaos breaks things; its promise is kept over 3m")
	chaosSeed = flag.Uint64("chaos.seed", 0, "seed of TestChaos; 0: a new one, which is printed")
)

// Redis is killed, paused, filled and emptied, and the server is killed, each at
// random moments, while clients ask for aid. The same seed breaks the same
// things at the same moments.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat it with: go test -tags integration -run TestChaos ./cmd/happycode -chaos %v -chaos.seed %d", *chaosFor, seed)
	redis := redistest.Start(t)
	s := embedded(t)
	s["REDIS_URL"], s["LEASE"] = redis.URL(), "5s"
	x := &chaos{s: s, redis: redis, server: start(t, s), rnd: rand.New(rand.NewPCG(seed, 0)), told: map[string]int{}}
	l := newLoad(t, s, 120+2*int(chaosFor.Seconds()), x.server.base)
	x.load, x.began = l, time.Now()

	ctx, cancel := context.WithTimeout(t.Context(), *chaosFor)
	defer cancel()
	wait := l.run(ctx, t, crashClients, seed)
	l.settle(ctx, t, 20)
	x.run(ctx, t)
	wait()
	l.tell(t)
	t.Logf("faults: %v", x.told)
	if !t.Failed() {
		l.judge(t, x.server.base)
		x.server.stop(t)
	}
}

// chaos breaks things.
type chaos struct {
	s      settingsOf
	redis  *redistest.Instance
	server *process
	rnd    *rand.Rand
	load   *clientele
	began  time.Time
	told   map[string]int
}

// run breaks one thing after the other, each kind as often as any other, until
// the context ends; then everything works again.
func (x *chaos) run(ctx context.Context, t *testing.T) {
	type fault struct {
		name string
		do   func(context.Context, *testing.T)
	}
	faults := []fault{
		{"server killed", x.killServer}, {"Redis paused", x.pause}, {"Redis full", x.fill},
		{"Redis flushed", func(_ context.Context, t *testing.T) { x.redis.FlushAll(t) }},
		{"Redis killed", x.killRedis},
	}
	for ctx.Err() == nil && !t.Failed() {
		x.rnd.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		for _, f := range faults {
			if !x.sleep(ctx, 200*time.Millisecond, 2*time.Second) || t.Failed() {
				return
			}
			began := time.Now()
			f.do(ctx, t)
			t.Logf("%v: %s for %v", began.Sub(x.began).Round(time.Millisecond), f.name, time.Since(began).Round(time.Millisecond))
			x.load.over(f.name)
			x.told[f.name]++
		}
	}
}

// sleep waits for a random time and says whether the context goes on.
func (x *chaos) sleep(ctx context.Context, least, most time.Duration) bool {
	moment := time.NewTimer(least + time.Duration(x.rnd.Int64N(int64(most-least))))
	defer moment.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-moment.C:
		return true
	}
}

func (x *chaos) killServer(_ context.Context, t *testing.T) {
	x.server.kill()
	x.server = start(t, x.s)
}

// pause freezes Redis; half of the time the server dies meanwhile, with what it
// has asked still in Redis's ears.
func (x *chaos) pause(ctx context.Context, t *testing.T) {
	dies := x.rnd.IntN(2) == 0
	x.redis.Pause(t)
	x.sleep(ctx, time.Second, 5*time.Second)
	if dies {
		x.server.kill()
	}
	x.sleep(ctx, time.Second, 5*time.Second)
	x.redis.Resume(t)
	if dies {
		x.server = start(t, x.s)
	}
}

// fill has Redis refuse whatever takes memory.
func (x *chaos) fill(ctx context.Context, t *testing.T) {
	x.redis.Configure(t, "maxmemory", "1")
	x.sleep(ctx, time.Second, 5*time.Second)
	x.redis.Configure(t, "maxmemory", "0")
}

// killRedis starts it again empty, or with what it had a moment before.
func (x *chaos) killRedis(ctx context.Context, t *testing.T) {
	if x.rnd.IntN(2) == 0 {
		x.redis.Save(t)
		x.sleep(ctx, 10*time.Millisecond, 500*time.Millisecond)
	}
	x.redis.Kill()
	x.sleep(ctx, 10*time.Millisecond, 2*time.Second)
	x.redis.Restart(t)
}
