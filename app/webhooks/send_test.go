package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
)

const county = "330502000000"

// ledger is what has been told, in the order of TellMs.
type ledger []*care.Event

func (l *ledger) Told(_ context.Context, fromMs, toMs int64, _ string, _ int) (out []*care.Event, next string, err error) {
	for _, e := range *l {
		if e.TellMs >= fromMs && e.TellMs < toMs {
			out = append(out, e)
		}
	}
	return out, "", nil
}

// looked is a record that says when the hooks have been read.
type looked struct {
	store.Record
	after func()
}

func (r *looked) Find(ctx context.Context, c string, q store.Query, dst func() store.Document) ([]store.Document, string, error) {
	docs, next, err := r.Record.Find(ctx, c, q, dst)
	if c == hookSchema.Name && r.after != nil {
		r.after()
	}
	return docs, next, err
}

type fixture struct {
	*testing.T
	*Service
	record *looked
	ledger ledger
	ms     atomic.Int64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	r, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Ensure(t.Context(), Schemas()...); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, record: &looked{Record: r}}
	f.ms.Store(time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC).UnixMilli())
	f.Service = New(Config{
		Record: f.record, Vault: v, Ledger: &f.ledger, Now: func() time.Time { return time.UnixMilli(f.ms.Load()) },
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	return f
}

// hook is told on a channel.
func (f *fixture) hook(answer http.HandlerFunc) *Hook {
	f.Helper()
	server := httptest.NewServer(answer)
	f.Cleanup(server.Close)
	h, _, err := f.Create(f.Context(), "test", NewHook{URL: server.URL, Division: county})
	if err != nil {
		f.Fatal(err)
	}
	return h
}

// happens tells n events.
func (f *fixture) happens(n int) {
	for range n {
		f.ledger = append(f.ledger, &care.Event{Meta: store.Meta{ID: fmt.Sprint(len(f.ledger))}, Kind: "need.waiting", County: county, TellMs: f.ms.Load()})
	}
	f.ms.Add((2 * care.ToldMargin).Milliseconds())
}

// patient waits for an answer until late is done, however slow the machine.
type patient struct {
	http.RoundTripper
	late context.Context
}

func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.RoundTripper.RoundTrip(r.WithContext(p.late))
}

// A webhook that does not answer holds up nobody else's, and is itself left
// alone for a while.
func TestHangingHookHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	hangs, release := make(chan struct{}, 1000), make(chan struct{})
	slow := f.hook(func(http.ResponseWriter, *http.Request) {
		hangs <- struct{}{}
		<-release
	})
	t.Cleanup(func() { close(release) }) // before its server is closed
	told := make(chan struct{}, 1000)
	f.hook(func(http.ResponseWriter, *http.Request) { told <- struct{}{} })
	f.happens(3 * perTick)
	tries := func() (n int) {
		all, _, err := f.deliveries.Find(t.Context(), store.Query{Index: "hook_due", Equal: []any{slow.ID, string(Pending)}, Limit: store.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			n += d.Tries
		}
		return n
	}

	bound, end := context.WithTimeout(t.Context(), 10*time.Minute) // where it does hold up the other
	defer end()
	late, timeOut := context.WithCancelCause(bound)
	real := f.client.Transport
	f.client.Transport, f.client.Timeout = patient{real, late}, 0
	first, err := f.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-hangs // and goes on to hang
	done := make(chan error, 1)
	go func() { done <- first() }()
	for len(told) < 3*perTick && len(done) == 0 {
		others, err := f.begin(t.Context())
		if err == nil {
			err = others()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(done) != 0 || late.Err() != nil {
		t.Error("the other is told only when the first has timed out")
	}
	timeOut(context.DeadlineExceeded)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n := tries()
	if n == 0 || n > atOnce {
		t.Errorf("%d tries of what does not answer, want one to %d", n, atOnce)
	}
	f.client.Transport, f.client.Timeout = real, time.Millisecond // from here on its own clock, only shorter
	if err := f.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := tries(); again != n || len(told) != 3*perTick {
		t.Errorf("%d tries while it rests, want none; the other is told %d events, want %d", again-n, len(told), 3*perTick)
	}
	f.ms.Add(restFor.Milliseconds() + 1)
	if err := f.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := tries(); again <= n || again > n+atOnce {
		t.Errorf("%d tries after its rest, want one to %d", again-n, atOnce)
	}
	if h, err := f.Get(t.Context(), slow.ID); err != nil || h.FailingMs == 0 || h.RestMs <= f.ms.Load() {
		t.Errorf("%+v, %v; want it to fail and to rest", h, err)
	}
}

// A hook that is made while the others are read misses nothing.
func TestHookMadeWhileOthersAreRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.hook(func(http.ResponseWriter, *http.Request) {})
	told := make(chan string, 10)
	f.record.after = func() {
		f.record.after = nil
		f.hook(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("Webhook-Id") })
		f.happens(1)
	}
	for range 2 {
		if err := f.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.ms.Add(time.Second.Milliseconds())
	}
	if len(told) != 1 {
		t.Errorf("told %d events, want 1", len(told))
	}
}

// Those that are off do not count: there are as many on as there may be, and
// all are listed.
func TestAsManyHooksAsMayBeOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	hooks := make([]*Hook, 2*maxHooks-1)
	for i := range hooks {
		hooks[i] = &Hook{Meta: store.Meta{ID: store.NewID()}, Division: county, Active: i >= maxHooks}
	}
	if _, err := f.hooks.InsertAll(t.Context(), hooks); err != nil {
		t.Fatal(err)
	}
	n := NewHook{URL: "https://hook.example/", Division: county}
	last, _, err := f.Create(t.Context(), "test", n)
	if err != nil {
		t.Fatal(err)
	}
	var full *FieldError
	if _, _, err := f.Create(t.Context(), "test", n); !errors.As(err, &full) || full.Field != "url" {
		t.Errorf("one more: %v", err)
	}
	if _, err := f.Switch(t.Context(), hooks[0].ID, true); !errors.As(err, &full) || full.Field != "active" {
		t.Errorf("one more turned on: %v", err)
	}
	if _, err := f.Switch(t.Context(), last.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Switch(t.Context(), hooks[0].ID, true); err != nil {
		t.Errorf("another in its place: %v", err)
	}
	if all, err := f.List(t.Context()); err != nil || len(all) != 2*maxHooks {
		t.Errorf("%d are listed, %v; want %d", len(all), err, 2*maxHooks)
	}
}
