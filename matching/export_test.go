package matching

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxBacklog is maxBacklog.
const MaxBacklog = maxBacklog

// ShardKey is shardKey.
func ShardKey(county, name string) string { return shardKey(county, name) }

// Now is the engine's clock.
func (e *Engine) Now() time.Time { return e.now() }

// Behind is how many changes Redis has still to be told.
func (e *Engine) Behind(county string) int { return e.behind(county) }

// ServerRun is the run id of the county's server.
func (e *Engine) ServerRun(ctx context.Context, county string) (string, error) {
	return e.server(ctx, county)
}

// All are the choice's lots.
func (c *Choice) All() []Candidate { return c.First(math.MaxInt) }

// First are the choice's first n lots.
func (c *Choice) First(n int) (out []Candidate) {
	for len(out) < n {
		next, _, ok := c.at(len(out))
		if !ok {
			break
		}
		out = append(out, next)
	}
	return out
}

// HoldCommand is what Match sends first for a request: EVALSHA and its
// arguments.
func (e *Engine) HoldCommand(ctx context.Context, r Request) ([]string, error) {
	m := &asking{e: e, r: r, out: make([]Outcome, len(r.Asks)), picks: make([]pick, len(r.Asks))}
	open := make([]int, len(r.Asks))
	for i := range open {
		open[i] = i
	}
	keys, args, err := m.command(open, 0)
	if err != nil {
		return nil, err
	}
	gen, err := e.generation(ctx, r.County)
	if err != nil {
		return nil, err
	}
	k := keys(shard{r.County, gen})
	out := append([]string{"EVALSHA", e.scripts["hold"].Hash(), fmt.Sprint(len(k))}, k...)
	out = append(out, gen)
	for _, a := range args {
		out = append(out, fmt.Sprint(a))
	}
	return out, nil
}

// FlushScripts has Redis forget the scripts.
func (e *Engine) FlushScripts(ctx context.Context) error { return e.redis.ScriptFlush(ctx).Err() }

// Pack is pack.
func (h Hold) Pack() string { return h.pack() }

// Dump reads everything a county's current generation has, one line per
// entry, sorted.
func (e *Engine) Dump(ctx context.Context, county string) ([]string, error) {
	gen, err := e.redis.Get(ctx, shardKey(county, "gen")).Result()
	if err != nil {
		return nil, err
	}
	s := shard{county, gen}
	var out []string
	for _, name := range []string{keyLots, keyHolds, keyCaps, keyLines} {
		m, err := e.redis.HGetAll(ctx, s.key(name)).Result()
		if err != nil {
			return nil, err
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			out = append(out, name+" "+k+" = "+m[k])
		}
	}
	sets := map[string]string{keyDue: s.key(keyDue), keySeen: s.key(keySeen)}
	waits, err := e.redis.SMembers(ctx, s.key(keyWaits)).Result()
	if err != nil {
		return nil, err
	}
	for _, c := range waits {
		sets["wait:"+c] = s.wait(c)
		out = append(out, "waits "+c)
	}
	for name, key := range sets {
		z, err := e.redis.ZRangeWithScores(ctx, key, 0, -1).Result()
		if err != nil {
			return nil, err
		}
		for _, m := range z {
			out = append(out, fmt.Sprintf("%s %s = %.0f", name, m.Member, m.Score))
		}
	}
	freed, err := e.redis.SMembers(ctx, s.key(keyFreed)).Result()
	if err != nil {
		return nil, err
	}
	for _, c := range freed {
		out = append(out, "freed "+c)
	}
	slices.SortFunc(out, strings.Compare)
	return out, nil
}

// Keys lists all keys of a county.
func (e *Engine) Keys(ctx context.Context, county string) ([]string, error) {
	pattern := shardKey(county, "*")
	cluster, ok := e.redis.(*redis.ClusterClient)
	if !ok {
		return e.redis.Keys(ctx, pattern).Result()
	}
	master, err := cluster.MasterForKey(ctx, shardKey(county, "gen"))
	if err != nil {
		return nil, err
	}
	return master.Keys(ctx, pattern).Result()
}

// Eval runs one script.
func (e *Engine) Eval(ctx context.Context, name string, keys []string, args ...any) (any, error) {
	return e.scripts[name].Run(ctx, e.redis, keys, args...).Result()
}
