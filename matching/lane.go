package matching

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// flights is how many round trips of a county are on their way at once.
	flights = 2
	// together is how many script calls one round trip takes.
	together = 64
	// queued is how many calls of a county may wait before more are refused.
	queued = 10_000
	// flightTime bounds a round trip, its retries included.
	flightTime = 10 * time.Second
)

var errQueue = errors.New("too many calls to redis are waiting")

// lane carries a county's script calls to Redis: those that come while round
// trips are on their way share the next one. Each has its own outcome.
type lane struct {
	mu      sync.Mutex
	waiting []*call
	flying  int
}

// call is one script call that waits for its reply.
type call struct {
	ctx    context.Context
	script *redis.Script
	keys   []string
	args   []any
	reply  []any
	err    error
	done   chan struct{} // closed when reply or err is there
}

// eval calls a script in the county's lane. When ctx ends first, the call may
// or may not have been carried out.
func (e *Engine) eval(ctx context.Context, county, name string, keys []string, args []any) ([]any, error) {
	known, ok := e.lanes.Load(county)
	if !ok {
		known, _ = e.lanes.LoadOrStore(county, &lane{})
	}
	l := known.(*lane)
	c := &call{ctx: ctx, script: e.scripts[name], keys: keys, args: args, done: make(chan struct{})}
	l.mu.Lock()
	if len(l.waiting) >= queued {
		l.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", name, errQueue)
	}
	l.waiting = append(l.waiting, c)
	if l.flying < flights {
		l.flying++
		go e.fly(l)
	}
	l.mu.Unlock()
	select {
	case <-c.done:
		return c.reply, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly makes round trips until nobody waits.
func (e *Engine) fly(l *lane) {
	for {
		l.mu.Lock()
		n := min(len(l.waiting), together)
		if n == 0 {
			l.flying--
			l.mu.Unlock()
			return
		}
		calls := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		l.mu.Unlock()
		if err := e.trip(calls); err != nil {
			// Those who came meanwhile would only wait as long again.
			l.mu.Lock()
			calls, l.waiting = l.waiting, nil
			l.mu.Unlock()
			for _, c := range calls {
				c.err = err
				close(c.done)
			}
		}
	}
}

// trip makes one round trip. Nobody's leaving ends it for the others. The error
// says that Redis did not answer in time.
func (e *Engine) trip(calls []*call) (slow error) {
	ctx, cancel := context.WithTimeout(context.Background(), flightTime)
	defer cancel()
	sent := make([]*redis.Cmd, len(calls))
	p := e.redis.Pipeline()
	for i, c := range calls {
		if c.ctx.Err() == nil {
			sent[i] = c.script.EvalSha(ctx, p, c.keys, c.args...)
		}
	}
	_, _ = p.Exec(ctx) // each command has its own error
	for i, c := range calls {
		if sent[i] == nil {
			c.err = c.ctx.Err()
		} else if c.reply, c.err = sent[i].Slice(); redis.HasErrorPrefix(c.err, "NOSCRIPT") {
			if c.err = slow; slow == nil {
				c.reply, c.err = c.script.Eval(ctx, e.redis, c.keys, c.args...).Slice()
			}
		}
		if late(c.err) && sent[i] != nil {
			slow = c.err
		}
		close(c.done)
	}
	return slow
}
