package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
)

// benchCounty is a county that no division tree has; what is measured on a
// Redis stays in it and is removed afterwards.
const benchCounty = "990099000000"

// What one call of the matcher asks for.
const (
	askLots  = 8 // lots that may serve a need
	markLen  = 12
	benchDay = "D20260101"
)

// EngineResult is what the matcher has met, called in this process without a
// record.
type EngineResult struct {
	Callers   int     `json:"callers"`
	Needs     int     `json:"needs"` // of one call
	Lots      int     `json:"lots"`  // candidates of one need
	Calls     int64   `json:"calls"` // counted
	PerSecond float64 `json:"per_second"`
	Latency   Latency `json:"latency"`
	// Depth is how many calls went to Redis together, on average: the depth of
	// the pipelines.
	Depth float64 `json:"pipeline_depth"`
	// Holds is how many of a call's needs were held; all of them, or it was not
	// this that was measured.
	Holds int64 `json:"holds"`

	script []string // one call as the engine sends it
}

// Engine calls [matching.Engine.Match] from many callers at once, each
// resident with the given number of needs of 8 candidate lots, which the
// catalogue finds. The Redis may be in use: it keeps to a county of its own.
//
// Errors: [matching.ErrURL], Redis's.
func Engine(ctx context.Context, address string, callers, needs int, l Load) (*EngineResult, error) {
	client, err := matching.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	spy := &spy{}
	client.AddHook(spy)
	e, err := matching.New(matching.Config{Redis: client, Now: l.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	categories := make([]string, needs)
	for i := range categories {
		categories[i] = "bench" + strconv.Itoa(i)
	}
	now := l.Now()
	catalogue := matching.NewCatalogue()
	var lots []matching.LotState
	for _, category := range categories {
		for i := range askLots {
			id := category + "-" + strconv.Itoa(i)
			catalogue.Put(matching.Offer{
				ID: "o" + id, Version: 1, Category: category, Divisions: []string{benchCounty},
				Lots: []matching.Lot{{ID: id, County: benchCounty, FromMs: now.UnixMilli(), UntilMs: now.Add(24 * time.Hour).UnixMilli()}},
			})
			lots = append(lots, matching.LotState{ID: id, Category: category, FreeUnits: matching.MaxUnits / 10})
		}
	}
	if err := e.Rebuild(ctx, benchCounty, func(context.Context) (matching.Snapshot, error) {
		return matching.Snapshot{Lots: lots}, nil
	}); err != nil {
		return nil, err
	}
	person := matching.Person{Division: benchCounty[:6] + "001001", ScoreMilli: 500}
	call := func(n int64) (int64, error) {
		mark := fmt.Sprintf("%0*d", markLen, n)
		r := matching.Request{County: benchCounty, Household: "h" + mark, Asks: make([]matching.Ask, needs)}
		at := l.Now()
		for i, category := range categories {
			candidates, _ := catalogue.Candidates(benchCounty, category, person, at)
			open, _ := e.Lines(benchCounty).Open(candidates, 1000)
			r.Asks[i] = matching.Ask{
				Need: "n" + mark + category, Category: category, QtyUnits: 1, WeightMilli: 1000,
				Cap: matching.Cap{Field: "c:" + category, Period: benchDay, Limit: 4}, Candidates: open,
			}
		}
		out, err := e.Match(ctx, r)
		var held int64
		for _, o := range out {
			held += int64(len(o.Holds))
		}
		return held, err
	}
	r := &EngineResult{Callers: callers, Needs: needs, Lots: askLots}
	if _, err := call(0); err != nil { // loads the script
		return nil, err
	}
	spy.watch(fmt.Sprintf("%0*d", markLen, 1))
	if _, err := call(1); err != nil {
		return nil, err
	}
	r.script = spy.taken()
	err = r.drive(ctx, l, call, spy)
	return r, err
}

// drive calls from many callers until the time is over.
func (r *EngineResult) drive(ctx context.Context, l Load, call func(int64) (int64, error), spy *spy) error {
	var next, held, failed atomic.Int64
	next.Store(2)
	var fault error
	var once sync.Once
	begin := l.Now()
	warm, end := begin.Add(l.Warmup), begin.Add(l.Warmup+l.Duration)
	histograms := make([]*hdrhistogram.Histogram, r.Callers)
	var wg sync.WaitGroup
	for i := range histograms {
		h := hdrhistogram.New(shortest, longest, digits)
		histograms[i] = h
		wg.Go(func() {
			for ctx.Err() == nil && failed.Load() == 0 {
				at := l.Now()
				if !at.Before(end) {
					return
				}
				n, err := call(next.Add(1) - 1)
				if err != nil {
					failed.Add(1)
					once.Do(func() { fault = err })
					return
				}
				if !at.Before(warm) {
					held.Add(n)
					_ = h.RecordValue(max(shortest, min(longest, l.Now().Sub(at).Microseconds())))
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	l.watch(begin, finished)
	seconds := l.Now().Sub(warm).Seconds()
	all := hdrhistogram.New(shortest, longest, digits)
	for _, h := range histograms {
		all.Merge(h)
	}
	r.Calls, r.Holds, r.Latency, r.Depth = all.TotalCount(), held.Load(), latencyOf(all), spy.depth()
	if seconds > 0 {
		r.PerSecond = float64(r.Calls) / seconds
	}
	return fault
}

// Forget removes what [Engine] and [RedisBenchmark] left on a Redis.
func Forget(ctx context.Context, address string) error {
	client, err := matching.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer client.Close()
	e, err := matching.New(matching.Config{Redis: client})
	if err != nil {
		return err
	}
	return e.Forget(ctx, benchCounty)
}

// spy sees what the engine sends: how it is bundled, and one call word for word.
type spy struct {
	trips, calls atomic.Int64
	watching     atomic.Bool
	mu           sync.Mutex
	mark         string
	call         []string
}

func (s *spy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.trips.Add(1)
		s.see(cmd)
		return next(ctx, cmd)
	}
}

func (s *spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.trips.Add(1)
		for _, c := range cmds {
			s.see(c)
		}
		return next(ctx, cmds)
	}
}

func (s *spy) see(cmd redis.Cmder) {
	s.calls.Add(1)
	if !s.watching.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, a := range cmd.Args() {
		words = append(words, fmt.Sprint(a))
	}
	if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, s.mark) }) {
		s.call = words
	}
}

// watch keeps the next call that names the mark.
func (s *spy) watch(mark string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark = mark
	s.watching.Store(true)
}

// taken returns the call with a random number in the mark's place, and counts
// from here on.
func (s *spy) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.call {
		s.call[i] = strings.ReplaceAll(w, s.mark, "__rand_int__")
	}
	s.watching.Store(false)
	s.trips.Store(0)
	s.calls.Store(0)
	return s.call
}

func (s *spy) depth() float64 {
	if s.trips.Load() == 0 {
		return 0
	}
	return float64(s.calls.Load()) / float64(s.trips.Load())
}

// RedisBenchmarkResult is what redis-benchmark reached with the call that the
// engine had made, at the same number of calls under way and the same depth of
// pipelines.
type RedisBenchmarkResult struct {
	Clients   int     `json:"clients"`
	Pipeline  int     `json:"pipeline"`
	Calls     int     `json:"calls"`
	PerSecond float64 `json:"per_second"`
	P50Ms     float64 `json:"p50_ms"`
	P99Ms     float64 `json:"p99_ms"`
}

// ErrNoRedisBenchmark says that redis-benchmark is not on PATH.
var ErrNoRedisBenchmark = errors.New("redis-benchmark is not on PATH")

// RedisBenchmark runs redis-benchmark for about as long as the engine ran. Only
// a single server without TLS can be measured.
//
// Errors: [ErrNoRedisBenchmark], what redis-benchmark says.
func RedisBenchmark(ctx context.Context, address string, r *EngineResult, l Load) (*RedisBenchmarkResult, error) {
	program, err := exec.LookPath("redis-benchmark")
	if err != nil {
		return nil, ErrNoRedisBenchmark
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "redis" {
		return nil, fmt.Errorf("redis-benchmark measures redis://host:port only: %w", matching.ErrURL)
	}
	if len(r.script) == 0 {
		return nil, errors.New("the matcher's call was not seen on its way to Redis")
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		host, port = u.Hostname(), "6379"
	}
	b := &RedisBenchmarkResult{Pipeline: max(1, int(r.Depth+0.5))}
	b.Clients = max(1, r.Callers/b.Pipeline)
	args := []string{"-h", host, "-p", port, "-c", strconv.Itoa(b.Clients), "-P", strconv.Itoa(b.Pipeline), "-r", "999999999999", "--csv"}
	if password, ok := u.User.Password(); ok {
		args = append(args, "-a", password)
	}
	if user := u.User.Username(); user != "" {
		args = append(args, "--user", user)
	}
	measure := func(calls int) error {
		b.Calls = calls
		cmd := exec.CommandContext(ctx, program, append(args, append([]string{"-n", strconv.Itoa(calls)}, r.script...)...)...)
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("redis-benchmark: %w: %s", err, out)
		}
		return b.read(string(out))
	}
	// The first run says how many calls fill the time.
	if err := measure(max(1000, int(r.PerSecond*l.Warmup.Seconds()))); err != nil {
		return nil, err
	}
	return b, measure(max(1000, int(b.PerSecond*l.Duration.Seconds())))
}

// read takes the figures from redis-benchmark's CSV.
func (b *RedisBenchmarkResult) read(out string) error {
	at := strings.Index(out, `"test","rps"`)
	if at < 0 {
		return fmt.Errorf("redis-benchmark said: %.200s", out)
	}
	c := csv.NewReader(strings.NewReader(out[at:]))
	c.LazyQuotes, c.FieldsPerRecord = true, -1
	head, err := c.Read()
	if err != nil {
		return err
	}
	// The test's name is the whole call; the figures are the last fields.
	row, err := c.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	figure := func(name string) float64 {
		i := slices.Index(head, name) - len(head) + len(row)
		if i < 0 || i >= len(row) {
			return 0
		}
		v, _ := strconv.ParseFloat(row[i], 64)
		return v
	}
	b.PerSecond, b.P50Ms, b.P99Ms = figure("rps"), figure("p50_latency_ms"), figure("p99_latency_ms")
	if b.PerSecond == 0 {
		return fmt.Errorf("redis-benchmark said: %.200s", out)
	}
	return nil
}
