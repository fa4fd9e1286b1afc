package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/app/store"
)

// Counters is a second collection of [Parcel], which [Scribble] counts in.
func Counters() store.Schema { return store.Schema{Name: "counters"} }

// Scribble writes to r from eight goroutines until ctx ends or a write fails.
// What the record acknowledged it writes to out, one line each, and what it is
// about to delete.
func Scribble(ctx context.Context, r store.Record, run string, out io.Writer) error {
	if err := r.Ensure(ctx, Parcels(), Counters()); err != nil {
		return err
	}
	docs := store.Of[Parcel](r, Parcels())
	counters := store.Of[Parcel](r, Counters())
	if _, err := counters.InsertAll(ctx, []*Parcel{{Meta: store.Meta{ID: "shared"}}}); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := fmt.Fprintf(out, format+"\n", args...); err != nil {
			stop(err)
		}
	}
	write := func(g, n int) error {
		var batch []*Parcel
		for i := range 1 + n%3 {
			id := fmt.Sprintf("%s-%d-%d-%d", run, g, n, i)
			batch = append(batch, &Parcel{Meta: store.Meta{ID: id}, Badge: id, County: id, Note: id})
		}
		dups, err := docs.InsertAll(ctx, batch)
		if err != nil {
			return err
		}
		if len(dups) > 0 {
			return fmt.Errorf("new ids were there: %v", dups)
		}
		for _, d := range batch {
			say("inserted %s", d.ID)
		}
		counter, err := counters.Change(ctx, "shared", func(p *Parcel) error { p.Rank++; return nil })
		if err != nil {
			return err
		}
		say("counted %d", counter.V)
		if n%5 == 4 {
			say("deleting %s", batch[0].ID)
			if err := docs.Delete(ctx, batch[0].ID); err != nil {
				return err
			}
			say("deleted %s", batch[0].ID)
		}
		return nil
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := write(g, n); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Ledger is what a record acknowledged, for comparing with what it has.
type Ledger struct {
	mu       sync.Mutex
	inserted map[string]bool // false once a delete was begun
	deleted  map[string]bool
	counted  int64
	Lines    int
}

// Note takes one line of [Scribble].
func (l *Ledger) Note(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inserted == nil {
		l.inserted, l.deleted = map[string]bool{}, map[string]bool{}
	}
	l.Lines++
	verb, what, _ := strings.Cut(line, " ")
	switch verb {
	case "inserted":
		l.inserted[what] = true
	case "deleting":
		l.inserted[what] = false
	case "deleted":
		l.deleted[what] = true
	case "counted":
		var n int64
		if _, err := fmt.Sscan(what, &n); err != nil {
			return err
		}
		l.counted = max(l.counted, n)
	default:
		return fmt.Errorf("not a line of the scribbler: %q", line)
	}
	return nil
}

// Check compares.
func (l *Ledger) Check(t testing.TB, r store.Record) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx := t.Context()
	if err := r.Ensure(ctx, Parcels(), Counters()); err != nil {
		t.Fatal(err)
	}
	docs := store.Of[Parcel](r, Parcels())
	var ids []string
	for id := range l.inserted {
		ids = append(ids, id)
	}
	got, err := docs.GetAll(ctx, ids)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]*Parcel{}
	for _, d := range got {
		stored[d.ID] = d
	}
	for id, must := range l.inserted {
		d := stored[id]
		switch {
		case must && d == nil:
			t.Errorf("%s was acknowledged and is lost", id)
		case d != nil && l.deleted[id]:
			t.Errorf("%s was deleted and is back", id)
		case d != nil && (d.Note != id || d.V != 1):
			t.Errorf("%s has version %d and note %q", id, d.V, d.Note)
		}
	}
	// Indexes and documents agree.
	n, err := count(ctx, docs, "badge")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := count(ctx, docs, ""); err != nil || all != n {
		t.Errorf("%d documents by badge, %d by id, %v", n, all, err)
	}
	counter, err := store.Of[Parcel](r, Counters()).Get(ctx, "shared")
	if err != nil {
		t.Fatal(err)
	}
	if counter.V < l.counted || int64(counter.Rank) != counter.V-1 {
		t.Errorf("counter: version %d after %d adds; acknowledged up to %d", counter.V, counter.Rank, l.counted)
	}
}

func count(ctx context.Context, c parcels, index string) (int, error) {
	n := 0
	err := c.Each(ctx, store.Query{Index: index}, func(*Parcel) error { n++; return nil })
	return n, err
}

// ReadLines notes the lines of a scribbler until there were n of them (0: no
// bound) or there are no more. What is cut off was not acknowledged. To go on
// reading, give a [bufio.Reader].
func ReadLines(r io.Reader, n int, l *Ledger) (int, error) {
	lines, ok := r.(*bufio.Reader)
	if !ok {
		lines = bufio.NewReader(r)
	}
	for i := 0; ; i++ {
		if i > 0 && i == n {
			return i, nil
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return i, nil
		}
		if err := l.Note(strings.TrimSpace(line)); err != nil {
			return i, err
		}
	}
}

// Crash starts a process that scribbles, kills it with SIGKILL after a random
// number of acknowledged writes, and checks that none of them is lost; again
// and again over the same record.
func Crash(t *testing.T, rounds int, child func(run string) *exec.Cmd, open func(t *testing.T) store.Record) {
	t.Helper()
	var l Ledger
	for round := range rounds {
		cmd := child(fmt.Sprintf("r%d", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var complaint strings.Builder
		cmd.Stderr = &complaint
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := 1 + rand.IntN(300)
		lines := bufio.NewReader(out)
		n, err := ReadLines(lines, after, &l)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLines(lines, 0, &l); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if n < after {
			t.Fatalf("round %d: the process ended by itself after %d lines: %s", round, n, complaint.String())
		}
		t.Run(fmt.Sprintf("after kill %d", round+1), func(t *testing.T) { l.Check(t, open(t)) })
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d acknowledgements, none lost", rounds, l.Lines)
}
