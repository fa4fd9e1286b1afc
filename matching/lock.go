package matching

import (
	"context"
	"fmt"
	"time"
)

// lock keeps several processes from doing the same work. Nothing that must be
// right depends on it: the scripts check for themselves.
type lock struct {
	e     *Engine
	key   string
	token string
}

// Elect says whether the caller, who is named by a token, does a task that is
// one process's at a time over all counties; it stays so for ttl. Nothing that
// must be right may depend on it.
func (e *Engine) Elect(ctx context.Context, task, token string, ttl time.Duration) (bool, error) {
	return lock{e, taskKey(task), token}.take(ctx, ttl)
}

// Retire gives a task to others; if that fails it runs out by itself.
func (e *Engine) Retire(ctx context.Context, task, token string) {
	lock{e, taskKey(task), token}.giveBack(ctx)
}

// take obtains the lock, or renews it.
func (l lock) take(ctx context.Context, ttl time.Duration) (bool, error) {
	n, err := l.e.scripts["lock"].Run(ctx, l.e.redis, []string{l.key}, l.token, ttl.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", l.key, err)
	}
	return n == 1, nil
}

// hold renews the lock until the context ends; when it is lost, it calls lost.
func (l lock) hold(ctx context.Context, ttl time.Duration, lost context.CancelCauseFunc) {
	tick := time.NewTicker(ttl / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if mine, err := l.take(ctx, ttl); err == nil && !mine {
			lost(ErrBusy)
			return
		}
	}
}

// giveBack frees the lock for others; if that fails it runs out by itself.
func (l lock) giveBack(ctx context.Context) {
	if err := l.e.scripts["unlock"].Run(ctx, l.e.redis, []string{l.key}, l.token).Err(); err != nil {
		l.e.log.Warn("a lock was not given back and will run out", "key", l.key, "error", err)
	}
}
