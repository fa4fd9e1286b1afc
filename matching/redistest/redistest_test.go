//go:build integration

package redistest_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	c, err := matching.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestServersAnswer(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"embedded": redistest.Embedded(t), "server": redistest.Server(t), "cluster": redistest.Cluster(t),
	} {
		c := connect(t, url)
		if err := c.Set(t.Context(), "redistest:"+name, 1, 0).Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInstanceIsLostAndComesBackEmpty(t *testing.T) {
	t.Parallel()
	i := redistest.Start(t)
	c := connect(t, i.URL())
	if err := c.Set(t.Context(), "k", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	before := i.PID()
	i.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Fatal("a killed server answers")
	}
	i.Restart(t)
	if i.PID() == before {
		t.Error("the process is the same after a restart")
	}
	if n, err := c.Exists(t.Context(), "k").Result(); err != nil || n != 0 {
		t.Errorf("got %d, %v; want an empty server", n, err)
	}
	if err := c.Set(t.Context(), "k", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	i.FlushAll(t)
	if n, err := c.Exists(t.Context(), "k").Result(); err != nil || n != 0 {
		t.Errorf("got %d, %v after FLUSHALL; want an empty server", n, err)
	}
}
