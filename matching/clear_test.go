package matching_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
)

// hook sees every command before and after it is sent.
type hook struct {
	mu atomic.Pointer[func(cmd redis.Cmder, after bool)]
}

func (h *hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, n, a string) (net.Conn, error) { return next(ctx, n, a) }
}
func (h *hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if f := h.mu.Load(); f != nil {
			(*f)(cmd, false)
		}
		err := next(ctx, cmd)
		if err != nil {
			return err
		}
		if f := h.mu.Load(); f != nil {
			(*f)(cmd, true)
		}
		return err
	}
}
func (h *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func publishing(cmd redis.Cmder) bool {
	a := cmd.Args()
	if len(a) < 6 || !strings.HasPrefix(strings.ToLower(cmd.Name()), "eval") {
		return false
	}
	k, _ := a[5].(string)
	return strings.HasSuffix(k, ":server")
}

// A rebuild that has been published, and has yet to clear the old generations,
// does not clear that of the next rebuild, which another process has begun.
func TestRebuildLeavesTheNextOneAlone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const county = "330502000000"
	e, err := matching.StartEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	snap := func(context.Context) (matching.Snapshot, error) {
		return matching.Snapshot{Lots: []matching.LotState{{ID: "lot", Category: "meal", FreeUnits: 5}}}, nil
	}
	published, filled, goA, goB := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	engine := func(f func(redis.Cmder, bool)) *matching.Engine {
		c, err := matching.Connect(ctx, e.URL())
		if err != nil {
			t.Fatal(err)
		}
		h := &hook{}
		h.mu.Store(&f)
		c.AddHook(h)
		en, err := matching.New(matching.Config{Redis: c})
		if err != nil {
			t.Fatal(err)
		}
		return en
	}
	var oa, ob atomic.Bool
	a := engine(func(cmd redis.Cmder, after bool) {
		if after && publishing(cmd) && cmd.Err() == nil && oa.CompareAndSwap(false, true) {
			close(published)
			<-goA
		}
	})
	b := engine(func(cmd redis.Cmder, after bool) {
		if !after && publishing(cmd) && ob.CompareAndSwap(false, true) {
			close(filled)
			<-goB
		}
	})
	doneA, doneB := make(chan error, 1), make(chan error, 1)
	go func() { doneA <- a.Rebuild(ctx, county, snap) }()
	<-published // A's generation answers, its lock is given back; it has yet to clear the old ones
	go func() { doneB <- b.Rebuild(ctx, county, snap) }()
	select {
	case <-filled: // B has written all of its generation
	case err := <-doneB:
		t.Fatal("B did not rebuild", err)
	case <-time.After(5 * time.Minute):
		t.Fatal("the second rebuild does not get on")
	}
	close(goA)
	if err := <-doneA; err != nil {
		t.Error(err)
	}
	close(goB)
	if err := <-doneB; err != nil {
		t.Error(err)
	}
	st, err := b.Stock(ctx, county, []string{"lot"})
	if err != nil || !st[0].Known {
		t.Errorf("the county answers but knows nothing: %+v, %v", st, err)
	}
}
