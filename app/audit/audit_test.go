package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
)

var noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

func now() time.Time { return noon }

// later is the clock of whoever verifies after everything has come to rest.
func later() time.Time { return noon.Add(time.Minute) }

func openRecord(t testing.TB) store.Record {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "record.db"))
}

func openFile(t testing.TB, path string) store.Record {
	t.Helper()
	record, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := record.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := record.Ensure(context.Background(), Schemas()...); err != nil {
		t.Fatal(err)
	}
	return record
}

func openLog(t testing.TB, record store.Record, now func() time.Time) *Log {
	t.Helper()
	l := New(Config{Record: record, Now: now})
	t.Cleanup(l.Close)
	return l
}

func entry(id, subject string) Entry {
	return Entry{
		ID: id, Actor: "a1", Role: "caseworker", Act: "view_resident", Object: subject, Subject: subject,
		Division: "330502001000", Purpose: "visit", Outcome: "ok",
	}
}

func verify(t *testing.T, l *Log) Report {
	t.Helper()
	report, err := l.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// gate is a record whose inserts of blocks wait, so that a test can fill the
// queue behind one, and whose inserts can be made to fail.
type gate struct {
	store.Record
	hold    chan struct{} // each insert of a block takes one; nil: none waits
	waiting chan struct{} // told when one waits
	blocks  atomic.Int64  // inserts of blocks
	fail    atomic.Pointer[func(collection string) error]
	lose    atomic.Bool // carry the next insert of a block out twice, as a driver does that had no answer
}

func (g *gate) Insert(ctx context.Context, collection string, docs []store.Document) ([]store.Duplicate, error) {
	if collection == blocksSchema().Name {
		g.blocks.Add(1)
		if g.hold != nil {
			g.waiting <- struct{}{}
			<-g.hold
		}
	}
	if fail := g.fail.Load(); fail != nil {
		if err := (*fail)(collection); err != nil {
			return nil, err
		}
	}
	if collection == blocksSchema().Name && g.lose.CompareAndSwap(true, false) {
		if _, err := g.Record.Insert(ctx, collection, docs); err != nil {
			return nil, err
		}
	}
	return g.Record.Insert(ctx, collection, docs)
}

func TestOfIsNewestFirstAndPaged(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := openLog(t, openRecord(t), now)
	for i := range 5 {
		if err := l.Write(ctx, entry(fmt.Sprintf("e%d", 2*i), "r1"), entry(fmt.Sprintf("e%d", 2*i+1), "r2")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Write(ctx); err != nil {
		t.Fatal(err)
	}
	collect := func(read func(after string) ([]Entry, string, error)) (ids []string) {
		t.Helper()
		for after := ""; ; {
			page, next, err := read(after)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				ids = append(ids, e.ID)
			}
			if after = next; after == "" {
				return ids
			}
		}
	}
	got := collect(func(after string) ([]Entry, string, error) { return l.Of(ctx, "r1", after, 2) })
	if diff := cmp.Diff([]string{"e8", "e6", "e4", "e2", "e0"}, got); diff != "" {
		t.Error(diff)
	}
	got = collect(func(after string) ([]Entry, string, error) { return l.Recent(ctx, after, 3) })
	if diff := cmp.Diff([]string{"e9", "e8", "e7", "e6", "e5", "e4", "e3", "e2", "e1", "e0"}, got); diff != "" {
		t.Error(diff)
	}
	page, _, err := l.Of(ctx, "r2", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	want := entry("e9", "r2")
	want.AtMs = noon.UnixMilli()
	if diff := cmp.Diff([]Entry{want}, page); diff != "" {
		t.Error(diff)
	}
	if page, next, err := l.Of(ctx, "nobody", "", 10); err != nil || len(page) != 0 || next != "" {
		t.Errorf("got %v, %q, %v", page, next, err)
	}
	if _, _, err := l.Of(ctx, "r1", "no mark", 10); !errors.Is(err, store.ErrCursor) {
		t.Errorf("got %v", err)
	}
}

func TestEntriesAreCleaned(t *testing.T) {
	t.Parallel()
	l := openLog(t, openRecord(t), now)
	long := strings.Repeat("幸", 400) // 1,200 bytes
	if err := l.Write(t.Context(), Entry{Act: "a\x00b\xffc", Subject: "r1", Purpose: long}); err != nil {
		t.Fatal(err)
	}
	page, _, err := l.Of(t.Context(), "r1", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	e := page[0]
	if e.ID == "" || e.AtMs != noon.UnixMilli() || e.Act != "abc" || e.Purpose != strings.Repeat("幸", 333) {
		t.Fatalf("got %+v", e)
	}
	if r := verify(t, l); len(r.Faults) != 0 {
		t.Fatalf("got %+v", r)
	}
	if err := l.Write(t.Context(), make([]Entry, maxEntries+1)...); err == nil {
		t.Fatal("took more than a block")
	}
}

// Writers that come while a block is under way share the next one.
func TestConcurrentWritersShareABlock(t *testing.T) {
	t.Parallel()
	g := &gate{Record: openRecord(t), hold: make(chan struct{}), waiting: make(chan struct{})}
	l := openLog(t, g, now)
	var wg sync.WaitGroup
	write := func(i int) {
		wg.Go(func() {
			if err := l.Write(context.Background(), entry(fmt.Sprintf("e%d", i), "r1")); err != nil {
				t.Error(err)
			}
		})
	}
	write(0)
	<-g.waiting
	for i := range 200 {
		write(i + 1)
	}
	for queued := 0; queued < 200; {
		l.mu.Lock()
		queued = len(l.queue)
		l.mu.Unlock()
		runtime.Gosched()
	}
	g.hold <- struct{}{}
	<-g.waiting
	g.hold <- struct{}{}
	wg.Wait()
	if got := g.blocks.Load(); got != 2 {
		t.Fatalf("201 entries took %d blocks, want 2", got)
	}
	if r := verify(t, l); r.Blocks != 2 || r.Entries != 201 || len(r.Faults) != 0 {
		t.Fatalf("got %+v", r)
	}
}

// Several processes, each with its own connection to the file, append to one
// record at once; the chain stays one.
func TestSeveralProcessesOneChain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record.db")
	record := openFile(t, path)
	const processes, writers, each = 4, 8, 10
	var wg sync.WaitGroup
	for p := range processes {
		l := openLog(t, openFile(t, path), now)
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					id := fmt.Sprintf("p%d-w%d-%d", p, w, i)
					if err := l.Write(context.Background(), entry(id, fmt.Sprintf("r%d", w))); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	reader := openLog(t, record, now)
	wg.Go(func() { // a verify while they write finds no fault
		for range 5 {
			if r, err := reader.Verify(context.Background(), nil); err != nil || len(r.Faults) != 0 {
				t.Errorf("while others write: %+v, %v", r.Faults, err)
			}
		}
	})
	wg.Wait()
	l := openLog(t, record, later)
	r := verify(t, l)
	if r.Entries != processes*writers*each || len(r.Faults) != 0 || r.HeadSequence != int64(r.Blocks) {
		t.Fatalf("got %+v", r)
	}
	seen := map[string]bool{}
	for w := range writers {
		page, _, err := l.Of(t.Context(), fmt.Sprintf("r%d", w), "", store.MaxPage)
		if err != nil || len(page) != processes*each {
			t.Fatalf("got %d, %v", len(page), err)
		}
		for _, e := range page {
			seen[e.ID] = true
		}
	}
	if len(seen) != processes*writers*each {
		t.Fatalf("found %d different entries", len(seen))
	}
}

func TestALostAnswerDoesNotDoubleABlock(t *testing.T) {
	t.Parallel()
	g := &gate{Record: openRecord(t)}
	l := openLog(t, g, now)
	for i := range 4 {
		g.lose.Store(i == 0 || i == 2)
		if err := l.Write(t.Context(), entry(fmt.Sprintf("e%d", i), "r1")); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, l); r.Blocks != 4 || r.Entries != 4 || len(r.Faults) != 0 {
		t.Fatalf("got %+v", r)
	}
}

var errBroken = errors.New("the record is broken")

func (g *gate) breakDown(collection string) {
	fail := func(c string) error {
		if c == collection {
			return errBroken
		}
		return nil
	}
	g.fail.Store(&fail)
}

func TestAFailedBlockIsReportedAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	g := &gate{Record: openRecord(t)}
	l := openLog(t, g, now)
	g.breakDown("audit_blocks")
	if err := l.Write(t.Context(), entry("e0", "r1")); !errors.Is(err, errBroken) {
		t.Fatalf("got %v", err)
	}
	g.fail.Store(nil)
	if err := l.Write(t.Context(), entry("e1", "r1")); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, l); r.Blocks != 1 || r.Entries != 1 || len(r.Faults) != 0 {
		t.Fatalf("got %+v", r)
	}
}

// The entries are durable though their rows could not be written; the rows
// follow with the next block.
func TestLateRowsFollow(t *testing.T) {
	t.Parallel()
	g := &gate{Record: openRecord(t)}
	l := openLog(t, g, now)
	g.breakDown("audit_index")
	if err := l.Write(t.Context(), entry("e0", "r1")); err != nil {
		t.Fatal(err)
	}
	g.fail.Store(nil)
	if err := l.Write(t.Context(), entry("e1", "r1")); err != nil {
		t.Fatal(err)
	}
	page, _, err := l.Of(t.Context(), "r1", "", 10)
	if err != nil || len(page) != 2 {
		t.Fatalf("got %v, %v", page, err)
	}
}

// A process that stops between a block and its rows: verify names the missing
// rows, and either repair or the next process's first entry completes them.
func TestCrashBetweenBlockAndRows(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(context.Context, *Log) error{
		"repair": func(ctx context.Context, l *Log) error {
			written, err := l.Repair(ctx, nil)
			if err == nil && written != 2 {
				err = fmt.Errorf("wrote %d rows", written)
			}
			return err
		},
		"next entry": func(ctx context.Context, l *Log) error { return l.Write(ctx, entry("e9", "r9")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			g := &gate{Record: openRecord(t)}
			crashing := New(Config{Record: g, Now: now})
			if err := crashing.Write(ctx, entry("e0", "r1")); err != nil {
				t.Fatal(err)
			}
			g.breakDown("audit_index")
			if err := crashing.Write(ctx, entry("e1", "r1"), entry("e2", "r2")); err != nil {
				t.Fatal(err)
			}
			crashing.Close()

			if r := verify(t, openLog(t, g.Record, now)); len(r.Faults) != 0 {
				t.Fatalf("the writer may still be at it: %+v", r.Faults)
			}
			l := openLog(t, g.Record, later)
			r := verify(t, l)
			want := []Fault{
				{Sequence: 2, EntryID: "e1", What: RowMissing, Repairable: true},
				{Sequence: 2, EntryID: "e2", What: RowMissing, Repairable: true},
			}
			if diff := cmp.Diff(want, r.Faults); diff != "" || r.Damaged() {
				t.Fatal(diff)
			}
			if err := mend(ctx, l); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, l); len(r.Faults) != 0 {
				t.Fatalf("got %+v", r.Faults)
			}
			if page, _, err := l.Of(ctx, "r1", "", 10); err != nil || len(page) != 2 {
				t.Fatalf("got %v, %v", page, err)
			}
			if written, err := l.Repair(ctx, nil); err != nil || written != 0 {
				t.Fatalf("again: wrote %d, %v", written, err)
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	g := &gate{Record: openRecord(t), hold: make(chan struct{}), waiting: make(chan struct{})}
	l := New(Config{Record: g, Now: now})
	first := make(chan error, 1)
	go func() { first <- l.Write(context.Background(), entry("e0", "r1")) }()
	<-g.waiting
	closed := make(chan struct{})
	go func() {
		l.Close()
		close(closed)
	}()
	for {
		l.mu.Lock()
		shut := l.closed
		l.mu.Unlock()
		if shut {
			break
		}
		runtime.Gosched()
	}
	if err := l.Write(t.Context(), entry("e1", "r1")); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
	g.hold <- struct{}{}
	if err := <-first; err != nil {
		t.Fatalf("what was handed over before: %v", err)
	}
	<-closed
	l.Close()
	if page, _, err := l.Of(t.Context(), "r1", "", 10); err != nil || len(page) != 1 {
		t.Fatalf("reading after: %v, %v", page, err)
	}
}

func TestACancelledCallerDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	g := &gate{Record: openRecord(t), hold: make(chan struct{}), waiting: make(chan struct{})}
	l := openLog(t, g, now)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- l.Write(ctx, entry("e0", "r1")) }()
	<-g.waiting
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	g.hold <- struct{}{}
	go func() { result <- l.Write(context.Background(), entry("e1", "r1")) }()
	<-g.waiting
	g.hold <- struct{}{}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if r := verify(t, l); r.Entries != 2 || len(r.Faults) != 0 {
		t.Fatalf("got %+v", r)
	}
}
