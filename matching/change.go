package matching

import (
	"context"
	"errors"
	"fmt"
)

// change is one call that tells Redis what the record has decided.
type change struct {
	script string
	keys   func(shard) []string
	args   []any
	number uint64 // of the engine's kept changes, in order; 0: not kept yet
}

const (
	// batch is how many allocations or lots one script call takes.
	batch = 200
	// maxBacklog is how many changes of a county wait in memory while Redis
	// does not take them; past that the county is rebuilt instead.
	maxBacklog = 10_000
)

// errBehind is not an answer of Redis, but what comes of it is the same.
var errBehind = unavailable{errors.New("it is being told of earlier changes first")}

// tell brings a change to Redis. What the record has decided must not get
// lost, so a change that Redis does not take now is kept, in order, and told
// again by [Engine.Flush]. All changes repeat safely.
//
// The error says that Redis does not know yet; the caller need not repeat.
func (e *Engine) tell(ctx context.Context, county string, c change) ([]any, error) {
	if err := checkCounty(county); err != nil {
		return nil, err
	}
	if err := e.Flush(ctx, county); err != nil {
		e.keep(county, c)
		return nil, err
	}
	reply, err := e.run(ctx, county, c.script, c.keys, c.args)
	if err != nil {
		e.keep(county, c)
	}
	return reply, err
}

func (e *Engine) keep(county string, c change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.backlog[county]) >= maxBacklog {
		delete(e.backlog, county)
		e.doubts[county] = true
		e.log.Error("the matcher's backlog is full; the county will be rebuilt", "county", county, "changes", maxBacklog)
	}
	if !e.doubts[county] {
		e.kept++
		c.number = e.kept
		e.backlog[county] = append(e.backlog[county], c)
	}
}

// Flush tells Redis what it did not take before. Every change does so first,
// and so does the worker.
func (e *Engine) Flush(ctx context.Context, county string) error {
	for e.behind(county) > 0 {
		if !e.flushing.TryLock() {
			return fmt.Errorf("county %s: %w", county, errBehind)
		}
		err := e.flushOne(ctx, county)
		e.flushing.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) flushOne(ctx context.Context, county string) error {
	e.mu.Lock()
	waiting := e.backlog[county]
	e.mu.Unlock()
	if len(waiting) == 0 {
		return nil
	}
	c := waiting[0]
	if _, err := e.run(ctx, county, c.script, c.keys, c.args); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.backlog[county]; len(now) > 0 && now[0].number == c.number { // a rebuild may have emptied it
		e.backlog[county] = now[1:]
	}
	return nil
}

// behind is how many changes Redis has still to be told.
func (e *Engine) behind(county string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.backlog[county])
}

// Doubt has the worker rebuild the county: Redis was found to disagree with
// the record.
func (e *Engine) Doubt(county string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubts[county] = true
}

// Drop has the county refuse until some process's worker has rebuilt it. Unlike
// [Engine.Doubt] it outlives this process.
//
// Errors: [ErrRequest], [ErrUnavailable]; anything else is Redis, and safe to
// retry.
func (e *Engine) Drop(ctx context.Context, county string) error {
	if err := checkCounty(county); err != nil {
		return err
	}
	err := e.ask(ctx, county, func() error {
		return e.guarded(ctx, "drop", []string{shardKey(county, "gen"), shardKey(county, "rebuilding")}, rebuildLock.Milliseconds())
	})
	if err != nil {
		return fmt.Errorf("drop county %s: %w", county, err)
	}
	e.gens.Delete(county)
	return nil
}

func (e *Engine) doubted(county string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.doubts[county]
}

// forget drops the backlog: the record, read after this, has all of it.
func (e *Engine) forget(county string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.backlog, county)
	delete(e.doubts, county)
}
