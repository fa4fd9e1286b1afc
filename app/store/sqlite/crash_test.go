package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/store/storetest"
)

// Set for the process that [TestKill] starts: the file it writes to, and a
// name for what it writes.
const envFile, envRun = "HAPPYCODE_TEST_SQLITE_FILE", "HAPPYCODE_TEST_RUN"

func TestMain(m *testing.M) {
	path := os.Getenv(envFile)
	if path == "" {
		os.Exit(m.Run())
	}
	r, err := sqlite.Open(path)
	if err == nil {
		err = storetest.Scribble(context.Background(), r, os.Getenv(envRun), os.Stdout)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func scribbler(path, run string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envFile+"="+path, envRun+"="+run)
	return cmd
}

// TestKill kills the writing process: nothing acknowledged is lost.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record.db")
	storetest.Crash(t, 15,
		func(run string) *exec.Cmd { return scribbler(path, run) },
		func(t *testing.T) store.Record { return open(t, path) })
}

// TestTwoProcesses lets two processes and this one write to the same file.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record.db")
	r := open(t, path)
	if err := r.Ensure(t.Context(), storetest.Parcels(), storetest.Counters()); err != nil {
		t.Fatal(err)
	}
	counters := store.Of[storetest.Parcel](r, storetest.Counters())
	if _, err := counters.InsertAll(t.Context(), []*storetest.Parcel{{Meta: store.Meta{ID: "shared"}}}); err != nil {
		t.Fatal(err)
	}
	var ledger storetest.Ledger
	ends := make(chan error, 2)
	for _, run := range []string{"a", "b"} {
		cmd := scribbler(path, run)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			lines := bufio.NewReader(out)
			_, err := storetest.ReadLines(lines, 400, &ledger)
			err = errors.Join(err, cmd.Process.Kill())
			_, rest := storetest.ReadLines(lines, 0, &ledger) // what it said before it died
			_ = cmd.Wait()                                    // it was killed
			ends <- errors.Join(err, rest)
		}()
	}
	for mine := 0; ; mine++ {
		select {
		case err := <-ends:
			if err != nil {
				t.Fatal(err)
			}
			if err := <-ends; err != nil {
				t.Fatal(err)
			}
			ledger.Check(t, r)
			if mine == 0 {
				t.Error("this process wrote nothing")
			}
			return
		default:
		}
		c, err := counters.Change(t.Context(), "shared", func(p *storetest.Parcel) error { p.Rank++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.Note(fmt.Sprintf("counted %d", c.V)); err != nil {
			t.Fatal(err)
		}
	}
}
