package matching

import (
	"fmt"
	"strings"
)

// Every key is made here. All keys of a county share the hash tag of its
// first six digits, so that one script reaches them all on a Redis Cluster.

// shardKey names a key that outlives generations: gen, gens, server,
// rebuilding, worker.
func shardKey(county, name string) string {
	return "hc:{" + county[:6] + "}:" + name
}

// taskKey names the lock of a task that is nobody's county's.
func taskKey(task string) string { return "hc:{" + task + "}:worker" }

// The keys of one generation, apart from the waiting lists.
const (
	keyLots  = "lots"
	keyHolds = "holds"
	keyDue   = "due"
	keySeen  = "seen"
	keyCaps  = "caps"
	keyWaits = "waits"
	keyFreed = "freed"
	keyLines = "lines"

	keyOutlook = "outlook"
)

// shard makes the keys of one generation of a county.
type shard struct{ county, gen string }

func (s shard) key(name string) string { return shardKey(s.county, s.gen+":"+name) }

func (s shard) wait(category string) string { return s.key("wait:" + category) }

// keys is the head of KEYS in every script: gen, then the named keys.
func (s shard) keys(names ...string) []string {
	out := make([]string, 1, len(names)+1)
	out[0] = shardKey(s.county, "gen")
	for _, n := range names {
		out = append(out, s.key(n))
	}
	return out
}

// all is every key of the generation but its waiting lists.
func (s shard) all() []string {
	return s.keys(keyLots, keyHolds, keyDue, keySeen, keyCaps, keyWaits, keyFreed, keyLines, keyOutlook)[1:]
}

// checkCounty accepts division codes at county level.
func checkCounty(county string) error {
	if len(county) != 12 || strings.Trim(county, "0123456789") != "" {
		return fmt.Errorf("county %q: %w", county, ErrRequest)
	}
	return nil
}

// checkName keeps the separator of packed values and empty names out.
func checkName(what, name string) error {
	if name == "" || strings.ContainsRune(name, '|') {
		return fmt.Errorf("%s %q: %w", what, name, ErrRequest)
	}
	return nil
}
