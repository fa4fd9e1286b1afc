package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// need is one unit of a category for a household, once in a period.
type need struct {
	id, household, category string
}

// lot has units for a category.
type lot struct {
	id, category string
	units        int64
}

// answer says from which lot a need was given a unit; "" when it was not.
type answer string

// peer is one way to serve needs.
type peer interface {
	name() string
	what() string
	perCall() int // needs of one call, all of one household
	raced() bool  // whether it is let race for too little
	// open begins anew with these lots and nothing given.
	open(ctx context.Context, lots []lot) error
	// serve answers each need of one household.
	serve(ctx context.Context, needs []need) ([]answer, error)
	close()
}

// row is what one peer has reached.
type row struct {
	Name           string  `json:"name"`
	What           string  `json:"what"`
	CallsPerSecond float64 `json:"calls_per_second"`
	NeedsPerSecond float64 `json:"needs_per_second"` // given a unit
	P50Ms          float64 `json:"p50_ms"`
	P99Ms          float64 `json:"p99_ms"`
	// Of the race: units that were answered beyond the stock, and beyond one a
	// household; -1: not raced.
	OversoldUnits int64   `json:"oversold_units"`
	DoubledUnits  int64   `json:"doubled_units"`
	OursPerIt     float64 `json:"ours_per_it,omitempty"` // needs/s of ours by needs/s of it
}

const (
	categories  = 10
	lotsEach    = 8 // of a category: the candidates of a need
	plenty      = 100_000_000
	raceStock   = 100 // units of a lot in the race, where there are lotsEach lots of one category
	raceHouses  = 2000
	raceRepeats = 2 // needs of each household for the same thing, at once
)

func category(i int) string { return fmt.Sprintf("c%d", i) }

func lotsOf(categories int, units int64) []lot {
	var lots []lot
	for c := range categories {
		for i := range lotsEach {
			lots = append(lots, lot{fmt.Sprintf("c%d-l%d", c, i), category(c), units})
		}
	}
	return lots
}

// measure lets a peer serve needs for some time, each of a household of its
// own and with plenty of stock, and then has people race for too little.
func measure(ctx context.Context, p peer, o options) (*row, error) {
	defer p.close()
	r := &row{Name: p.name(), What: p.what(), OversoldUnits: -1, DoubledUnits: -1}
	if err := p.open(ctx, lotsOf(categories, plenty)); err != nil {
		return nil, err
	}
	if err := r.load(ctx, p, o); err != nil {
		return nil, err
	}
	if !p.raced() {
		return r, nil
	}
	if err := p.open(ctx, lotsOf(1, raceStock)); err != nil {
		return nil, err
	}
	return r, r.race(ctx, p, o)
}

func (r *row) load(ctx context.Context, p peer, o options) error {
	begin := time.Now()
	warm, end := begin.Add(o.warmup), begin.Add(o.warmup+o.duration)
	var next, given atomic.Int64
	histograms := make([]*hdrhistogram.Histogram, o.callers)
	faults := make(chan error, o.callers)
	var wg sync.WaitGroup
	for i := range histograms {
		h := hdrhistogram.New(1, 120_000_000, 3)
		histograms[i] = h
		wg.Go(func() {
			for ctx.Err() == nil {
				at := time.Now()
				if !at.Before(end) {
					return
				}
				n := next.Add(1)
				answers, err := p.serve(ctx, needsOf(n, p.perCall()))
				if err != nil {
					faults <- err
					return
				}
				if at.Before(warm) {
					continue
				}
				_ = h.RecordValue(max(1, time.Since(at).Microseconds()))
				for _, a := range answers {
					if a != "" {
						given.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-faults:
		return err
	default:
	}
	all := hdrhistogram.New(1, 120_000_000, 3)
	for _, h := range histograms {
		all.Merge(h)
	}
	seconds := time.Since(warm).Seconds()
	r.CallsPerSecond, r.NeedsPerSecond = float64(all.TotalCount())/seconds, float64(given.Load())/seconds
	r.P50Ms, r.P99Ms = float64(all.ValueAtQuantile(50))/1000, float64(all.ValueAtQuantile(99))/1000
	return ctx.Err()
}

func needsOf(n int64, count int) []need {
	needs := make([]need, count)
	for i := range needs {
		needs[i] = need{fmt.Sprintf("n%012d-%d", n, i), fmt.Sprintf("h%012d", n), category((int(n) + i) % categories)}
	}
	return needs
}

// race: twice as many needs as units, and each household asks twice.
func (r *row) race(ctx context.Context, p peer, o options) error {
	var next atomic.Int64
	var mu sync.Mutex
	lots, houses := map[answer]int64{}, map[string]int64{}
	faults := make(chan error, o.callers)
	var wg sync.WaitGroup
	for range o.callers {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= raceHouses*raceRepeats || ctx.Err() != nil {
					return
				}
				// The two of a household come right after one another.
				house := fmt.Sprintf("r%012d", n/raceRepeats)
				a, err := p.serve(ctx, []need{{fmt.Sprintf("rn%012d", n), house, category(0)}})
				if err != nil {
					faults <- err
					return
				}
				mu.Lock()
				if a[0] != "" {
					lots[a[0]]++
					houses[house]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	select {
	case err := <-faults:
		return err
	default:
	}
	r.OversoldUnits, r.DoubledUnits = 0, 0
	for _, given := range lots {
		r.OversoldUnits += max(0, given-raceStock)
	}
	for _, given := range houses {
		r.DoubledUnits += given - 1
	}
	return ctx.Err()
}
