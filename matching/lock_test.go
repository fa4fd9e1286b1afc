package matching_test

import (
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
)

func TestLockScripts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		key := matching.ShardKey(r.county, "worker")
		eval := func(want any, name string, args ...any) {
			t.Helper()
			got, err := r.Eval(r.ctx(), name, []string{key}, args...)
			r.ok(err)
			r.same(name, got, want)
		}
		eval(int64(0), "unlock", "a")
		eval(int64(1), "lock", "a", 100_000)
		eval(int64(0), "lock", "b", 900_000)
		if d := r.ttl(key); d <= 0 || d > 100*time.Second {
			t.Errorf("expires in %s", d)
		}
		eval(int64(1), "lock", "a", 500_000)
		if d := r.ttl(key); d <= 100*time.Second || d > 500*time.Second {
			t.Errorf("renewed, it expires in %s", d)
		}
		eval(int64(0), "unlock", "b")
		eval(int64(1), "unlock", "a")
		eval(int64(1), "lock", "b", 1000)
	})
}

// A rebuild that has lost its lock neither takes the county down nor puts it
// up.
func TestRebuildScriptsWithoutTheLock(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		gen, lock := matching.ShardKey(r.county, "gen"), matching.ShardKey(r.county, "rebuilding")
		before, keys := r.generation(), r.keys()
		for _, holder := range []string{"", "somebody else"} {
			if holder != "" {
				_, err := r.Eval(r.ctx(), "lock", []string{lock}, holder, 100_000)
				r.ok(err)
			}
			for name, third := range map[string]string{"begin": "gens", "publish": "server"} {
				got, err := r.Eval(r.ctx(), name, []string{gen, lock, matching.ShardKey(r.county, third)}, "me", "mine", "here")
				r.ok(err)
				r.same(name, got, []any{"lost"})
			}
			r.same("generation", r.generation(), before)
		}
		_, err := r.Eval(r.ctx(), "unlock", []string{lock}, "somebody else")
		r.ok(err)
		r.same("keys", len(r.keys()), len(keys))
	})
}
