package matching

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// rebuildLock is how long a rebuild may fall silent before another begins: so
	// long a county stands whose rebuilder was killed.
	rebuildLock = 5 * time.Second
	// chunk is how many entries one command of a rebuild writes.
	chunk = 500
)

// Rebuild restores the county from the record. From the start of it until the
// end the shard answers [ErrNotReady]; load is called in between, so that
// nothing is given by what it has read already. What was held and not yet in
// the record is forgotten; if the record takes it after all, [Engine.Promise]
// adopts it.
//
// Errors: [ErrBusy] when somebody else is rebuilding the county, the error of
// load, [ErrRequest]; anything else is Redis. After an error the shard is not
// ready, and Rebuild may be called again.
func (e *Engine) Rebuild(ctx context.Context, county string, load func(context.Context) (Snapshot, error)) error {
	_, err := e.rebuildIf(ctx, county, func(context.Context) (bool, error) { return true, nil }, load)
	return err
}

// rebuildIf rebuilds a county if, with the lock in hand, it still needs it, and
// says whether it did: somebody else may just have rebuilt it.
func (e *Engine) rebuildIf(ctx context.Context, county string, needs func(context.Context) (bool, error), load func(context.Context) (Snapshot, error)) (bool, error) {
	if err := checkCounty(county); err != nil {
		return false, err
	}
	lock := lock{e, shardKey(county, "rebuilding"), rand.Text()}
	if mine, err := lock.take(ctx, rebuildLock); err != nil || !mine {
		return false, errors.Join(err, busyUnless(mine || err != nil, county))
	}
	if needed, err := needs(ctx); err != nil || !needed {
		lock.giveBack(context.WithoutCancel(ctx))
		return false, err
	}
	parent := ctx
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		lock.hold(ctx, rebuildLock, cancel)
	}()
	s := shard{county, layout + rand.Text()}
	old, server, err := e.rebuild(ctx, s, lock.token, load)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	// Not renewed any more: publishing gives the lock back for good.
	cancel(nil)
	<-done
	ctx = parent
	if err == nil {
		keys := []string{shardKey(county, "gen"), lock.key, shardKey(county, "server")}
		err = e.guarded(ctx, "publish", keys, lock.token, s.gen, server)
	}
	if err == nil {
		// The county answers again: what is left of the old generations is only
		// memory, and the next rebuild clears what this one does not.
		if err := e.clear(ctx, county, old); err != nil {
			e.log.Warn("clear old generations later", "county", county, "error", err)
		}
		return true, nil
	}
	lock.giveBack(context.WithoutCancel(ctx))
	return false, fmt.Errorf("rebuild county %s: %w", county, err)
}

func busyUnless(ok bool, county string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("rebuild county %s: %w", county, ErrBusy)
}

// rebuild fills a new generation. It returns those that were there when it
// began, while it had the lock: a later one may be the next rebuild's.
func (e *Engine) rebuild(ctx context.Context, s shard, token string, load func(context.Context) (Snapshot, error)) (old []string, server string, err error) {
	gen, lock, gens := shardKey(s.county, "gen"), shardKey(s.county, "rebuilding"), shardKey(s.county, "gens")
	if err := e.guarded(ctx, "begin", []string{gen, lock, gens}, token, s.gen); err != nil {
		return nil, "", err
	}
	e.gens.Delete(s.county)
	e.forget(s.county)
	all, err := e.redis.SMembers(ctx, gens).Result()
	if err != nil {
		return nil, "", fmt.Errorf("list generations: %w", err)
	}
	old = slices.DeleteFunc(all, func(g string) bool { return g == s.gen })
	// Named before anything is written to it: a failover during the rebuild then
	// shows as another server.
	if server, err = e.server(ctx, s.county); err != nil {
		return nil, "", err
	}
	snap, err := load(ctx)
	if err != nil {
		return nil, "", err
	}
	return old, server, e.fill(ctx, s, snap)
}

// guarded runs a script that does nothing once the rebuild's lock is lost.
func (e *Engine) guarded(ctx context.Context, name string, keys []string, args ...any) error {
	reply, err := e.scripts[name].Run(ctx, e.redis, keys, args...).Slice()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if text(reply[0]) != "ok" {
		return fmt.Errorf("%s: %w", name, ErrBusy)
	}
	return nil
}

// fill writes the snapshot under a generation that nobody reads yet.
func (e *Engine) fill(ctx context.Context, s shard, snap Snapshot) error {
	lots := newWriter("HSET", s.key(keyLots))
	waits := newWriter("SADD", s.key(keyWaits))
	seen := newWriter("ZADD", s.key(keySeen))
	caps := newWriter("HSET", s.key(keyCaps))
	writers := []*writer{lots, waits, seen, caps}
	for _, l := range snap.Lots {
		if err := l.check(); err != nil {
			return err
		}
		lots.add(l.ID, l.pack())
	}
	for _, id := range snap.Live {
		seen.add(0, id)
	}
	now := e.now().UnixMilli()
	for _, id := range snap.Done {
		seen.add(now, id)
	}
	for _, c := range snap.Caps {
		if err := c.check(); err != nil {
			return err
		}
		caps.add(c.Household+"|"+c.Field, fmt.Sprintf("%s|%d|%d", c.Period, c.Used, c.Seq))
	}
	lists := map[string]*writer{}
	for _, w := range snap.Waiters {
		if err := errors.Join(checkName("need", w.Need), checkName("category", w.Category)); err != nil {
			return err
		}
		list := lists[w.Category]
		if list == nil {
			list = newWriter("ZADD", s.wait(w.Category))
			lists[w.Category] = list
			writers = append(writers, list)
			waits.add(w.Category)
		}
		list.add(-w.WeightMilli, w.Need)
	}
	for _, w := range writers {
		if err := w.write(ctx, e.redis); err != nil {
			return err
		}
	}
	return nil
}

// clear removes the keys of generations that are over.
func (e *Engine) clear(ctx context.Context, county string, over []string) error {
	for _, gen := range over {
		old := shard{county, gen}
		keys := old.all()
		categories, err := e.redis.SMembers(ctx, old.key(keyWaits)).Result()
		if err != nil {
			return fmt.Errorf("list generation %s: %w", gen, err)
		}
		for _, c := range categories {
			keys = append(keys, old.wait(c))
		}
		if err := e.redis.Unlink(ctx, keys...).Err(); err != nil {
			return fmt.Errorf("clear generation %s: %w", gen, err)
		}
		if err := e.redis.SRem(ctx, shardKey(county, "gens"), gen).Err(); err != nil {
			return fmt.Errorf("forget generation %s: %w", gen, err)
		}
	}
	return nil
}

// Forget removes everything that Redis has of a county, for one that exists no
// more. Errors: [ErrRequest]; anything else is Redis, and safe to retry.
func (e *Engine) Forget(ctx context.Context, county string) error {
	if err := checkCounty(county); err != nil {
		return err
	}
	if err := e.redis.Del(ctx, shardKey(county, "gen")).Err(); err != nil { // from here on it refuses
		return fmt.Errorf("forget county %s: %w", county, err)
	}
	e.gens.Delete(county)
	e.forget(county)
	all, err := e.redis.SMembers(ctx, shardKey(county, "gens")).Result()
	if err == nil {
		err = e.clear(ctx, county, all)
	}
	if err == nil {
		err = e.redis.Del(ctx, shardKey(county, "gens"), shardKey(county, "server"), shardKey(county, "worker")).Err()
	}
	if err != nil {
		return fmt.Errorf("forget county %s: %w", county, err)
	}
	return nil
}

func (c CapState) check() error {
	if err := errors.Join(checkName("household", c.Household), checkName("cap", c.Field)); err != nil {
		return err
	}
	if strings.ContainsRune(c.Period, '|') || c.Used < 0 || c.Used > MaxUnits || c.Seq < 0 {
		return fmt.Errorf("cap %s of household %s: %w", c.Field, c.Household, ErrRequest)
	}
	return nil
}

// writer collects the arguments of one command.
type writer struct {
	head []any
	args []any
}

func newWriter(command, key string) *writer { return &writer{head: []any{command, key}} }

func (w *writer) add(args ...any) { w.args = append(w.args, args...) }

// write sends the command in chunks; an even number keeps pairs together.
func (w *writer) write(ctx context.Context, r redis.UniversalClient) error {
	for from := 0; from < len(w.args); from += 2 * chunk {
		part := w.args[from:min(from+2*chunk, len(w.args))]
		if err := r.Do(ctx, append(w.head[:2:2], part...)...).Err(); err != nil {
			return fmt.Errorf("%s %s: %w", w.head[0], w.head[1], err)
		}
	}
	return nil
}

// server names the run of the Redis server that has the county: a server that
// was started again, perhaps from an old snapshot of its own, or another one
// after a failover, has a new name. Empty when the server has none.
func (e *Engine) server(ctx context.Context, county string) (string, error) {
	var node redis.Cmdable = e.redis
	if cluster, ok := e.redis.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, shardKey(county, "gen"))
		if err != nil {
			return "", fmt.Errorf("find the master of county %s: %w", county, err)
		}
		node = master
	}
	info, err := node.Info(ctx, "server").Result()
	if err != nil {
		if strings.Contains(err.Error(), "not supported") { // the embedded one
			return "", nil
		}
		return "", fmt.Errorf("ask redis for its run id: %w", err)
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", nil
}

// sameServer says whether the county still lies on the server run that it was
// rebuilt on.
func (e *Engine) sameServer(ctx context.Context, county string) (bool, error) {
	was, err := e.redis.Get(ctx, shardKey(county, "server")).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("county %s: %w", county, err)
	}
	is, err := e.server(ctx, county)
	return was == is, err
}
