//go:build integration

package mongo_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/mongo"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
	"github.com/xingfuma/happycode/app/store/storetest"
)

// Set for the process that [TestKillClient] starts: the database it writes to,
// and a name for what it writes.
const envURI, envRun = "HAPPYCODE_TEST_SCRIBBLE_URI", "HAPPYCODE_TEST_RUN"

func TestMain(m *testing.M) {
	uri := os.Getenv(envURI)
	if uri == "" {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	r, err := mongo.Open(ctx, uri)
	if err == nil {
		err = storetest.Scribble(ctx, r, os.Getenv(envRun), os.Stdout)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKillClient kills the writing process: nothing acknowledged is lost.
func TestKillClient(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	storetest.Crash(t, 12,
		func(run string) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envURI+"="+uri, envRun+"="+run)
			return cmd
		},
		func(t *testing.T) store.Record { return open(t, uri) })
}

// TestKillServer kills the server under a writing client: the writes under way
// end in errors, and nothing acknowledged is lost.
func TestKillServer(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	uri := server.URI("crash")
	var ledger storetest.Ledger
	for round := range 10 {
		r, err := mongo.Open(t.Context(), uri+"&timeoutMS=3000")
		if err != nil {
			t.Fatal(err)
		}
		pipe, in := io.Pipe()
		out := bufio.NewReader(pipe)
		ended := make(chan error, 1)
		go func() {
			err := storetest.Scribble(t.Context(), r, fmt.Sprintf("r%d", round), in)
			in.Close()
			ended <- err
		}()
		if _, err := storetest.ReadLines(out, 1+rand.IntN(200), &ledger); err != nil {
			t.Fatal(err)
		}
		server.Kill(t)
		if _, err := storetest.ReadLines(out, 0, &ledger); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("a write to a dead server was acknowledged")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		server.Restart(t)
		t.Run(fmt.Sprintf("after kill %d", round+1), func(t *testing.T) { ledger.Check(t, open(t, uri)) })
		if t.Failed() {
			return
		}
	}
	t.Logf("10 kills, %d acknowledgements, none lost", ledger.Lines)
}
