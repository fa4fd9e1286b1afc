package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// shop gives a unit to whoever asks; lots and households are counted only as
// far as it is told to.
type shop struct {
	checksStock, checksCaps bool

	mu     sync.Mutex
	lots   []lot
	houses map[string]bool
}

func (s *shop) name() string { return "ours" }
func (s *shop) what() string { return "a shop" }
func (s *shop) perCall() int { return 1 }
func (s *shop) raced() bool  { return true }
func (s *shop) close()       {}

func (s *shop) open(_ context.Context, lots []lot) error {
	s.lots, s.houses = lots, map[string]bool{}
	return nil
}

func (s *shop) serve(_ context.Context, needs []need) ([]answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := needs[0]
	if s.checksCaps && s.houses[n.household] {
		return []answer{""}, nil
	}
	for i := range s.lots {
		l := &s.lots[i]
		if l.category == n.category && (l.units > 0 || !s.checksStock) {
			l.units--
			s.houses[n.household] = true
			return []answer{answer(l.id)}, nil
		}
	}
	return []answer{""}, nil
}

func TestWhatIsGivenTooMuchIsCounted(t *testing.T) {
	t.Parallel()
	const needs = raceHouses * raceRepeats
	for _, c := range []struct {
		shop             *shop
		oversold, double int64
	}{
		{&shop{checksStock: true, checksCaps: true}, 0, 0},
		{&shop{checksCaps: true}, raceHouses - raceStock, 0},
		{&shop{}, needs - raceStock, raceHouses},
	} {
		r, err := measure(t.Context(), c.shop, options{callers: 4, duration: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if r.OversoldUnits != c.oversold || r.DoubledUnits != c.double || r.CallsPerSecond <= 0 {
			t.Errorf("got %+v, want %d oversold, %d doubled", r, c.oversold, c.double)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out.json")
	if err := os.WriteFile(path, []byte(`{"city":{"needs_each":2},"scans":{"per_second":500,"latency":{"p50_ms":1,"p99_ms":9}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	scans, err := scansOf(path)
	if err != nil {
		t.Fatal(err)
	}
	f := figures{Peers: []*row{{Name: "ours", NeedsPerSecond: 4000}, scans}}
	var out bytes.Buffer
	if err := f.print(&out); err != nil || scans.OursPerIt != 4 || !strings.Contains(out.String(), "1000") {
		t.Errorf("got %+v, %v\n%s", scans, err, out.String())
	}
}
