package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

// Load is how requests are sent: in a closed loop by default, where each
// connection sends its next request when the last one is answered. With Rate
// it is an open loop: requests are due at fixed times whatever the server
// does, and a latency counts from when its request was due, so that a server
// that stalls is charged for everybody who would have come meanwhile
// (coordinated omission).
type Load struct {
	Connections int           // 1..10,000
	Rate        float64       // requests/s of the open loop; 0: closed loop
	Warmup      time.Duration // not counted
	Duration    time.Duration // counted, after Warmup
	Timeout     time.Duration // of one request; 0: 30 s
	// Progress is called about four times a second; may be nil.
	Progress func(done, total time.Duration)
	Now      func() time.Time // the clock; required
}

// Latency is the distribution of the answers' latencies, in milliseconds,
// from a histogram of three significant digits.
type Latency struct {
	MeanMs float64 `json:"mean_ms"`
	P50Ms  float64 `json:"p50_ms"`
	P90Ms  float64 `json:"p90_ms"`
	P99Ms  float64 `json:"p99_ms"`
	P999Ms float64 `json:"p999_ms"`
	MaxMs  float64 `json:"max_ms"`
}

// Result is what a load has met.
type Result struct {
	Loop        string           `json:"loop"` // "closed" or "open"
	RateAsked   float64          `json:"rate_asked,omitempty"`
	Connections int              `json:"connections"`
	Seconds     float64          `json:"seconds"` // counted
	WarmedUp    int64            `json:"warmed_up"`
	Answers     int64            `json:"answers"` // 2xx, counted
	PerSecond   float64          `json:"per_second"`
	Latency     Latency          `json:"latency"`          // of the 2xx
	Errors      map[string]int64 `json:"errors"`           // by class, warm-up included
	Exhausted   bool             `json:"exhausted"`        // there was nothing left to send
	Interrupted bool             `json:"interrupted"`      // ended before its time
	Sample      string           `json:"sample,omitempty"` // body of one error
}

// Failed is how many requests failed.
func (r *Result) Failed() int64 {
	var n int64
	for _, c := range r.Errors {
		n += c
	}
	return n
}

// exchange makes the n-th request and looks at its answer; both are called by
// many at once, and what they are given is good until they return.
type exchange struct {
	fill func(n int64, r *fasthttp.Request) (ok bool)
	seen func(n int64, warm bool, body []byte) // 2xx only; may be nil
}

const (
	shortest, longest = 1, 120_000_000 // microseconds
	digits            = 3
)

// sender is one connection's part of a run.
type sender struct {
	latencies *hdrhistogram.Histogram
	errors    map[string]int64
	warmed    int64
	last      time.Time // when the last counted answer came
	sample    string
}

// run sends until the time is over, ctx ends or there is nothing left.
func (l Load) run(ctx context.Context, base string, x exchange) (*Result, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ErrURL
	}
	if l.Timeout == 0 {
		l.Timeout = 30 * time.Second
	}
	client := &fasthttp.HostClient{
		Addr: hostPort(u), IsTLS: u.Scheme == "https", MaxConns: l.Connections, MaxIdleConnDuration: time.Minute,
		MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true, DisablePathNormalizing: true,
		ReadBufferSize: 16 << 10, ReadTimeout: l.Timeout, WriteTimeout: l.Timeout,
	}
	defer client.CloseIdleConnections()

	begin := l.Now()
	warm, end := begin.Add(l.Warmup), begin.Add(l.Warmup+l.Duration)
	var next atomic.Int64
	var exhausted atomic.Bool
	senders := make([]*sender, l.Connections)
	var wg sync.WaitGroup
	for i := range senders {
		s := &sender{latencies: hdrhistogram.New(shortest, longest, digits), errors: map[string]int64{}}
		senders[i] = s
		wg.Go(func() {
			request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(request)
			defer fasthttp.ReleaseResponse(response)
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				due := l.Now()
				if l.Rate > 0 {
					at := begin.Add(time.Duration(float64(n) / l.Rate * float64(time.Second)))
					if !at.Before(end) || !wait(ctx, at.Sub(due)) {
						return
					}
					due = at
				}
				if !due.Before(end) {
					return
				}
				request.Reset()
				request.SetRequestURI(base)
				if !x.fill(n, request) {
					exhausted.Store(true)
					return
				}
				err := client.DoTimeout(request, response, l.Timeout)
				s.take(n, due, l.Now(), warm, response, err, x.seen)
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	l.watch(begin, finished)

	r := &Result{Loop: "closed", RateAsked: l.Rate, Connections: l.Connections, Errors: map[string]int64{}, Exhausted: exhausted.Load()}
	if l.Rate > 0 {
		r.Loop = "open"
	}
	all := hdrhistogram.New(shortest, longest, digits)
	last := warm
	for _, s := range senders {
		all.Merge(s.latencies)
		r.WarmedUp += s.warmed
		for class, n := range s.errors {
			r.Errors[class] += n
		}
		if s.last.After(last) {
			last = s.last
		}
		if s.sample != "" {
			r.Sample = s.sample
		}
	}
	r.Interrupted = ctx.Err() != nil
	r.Answers = all.TotalCount()
	r.Seconds = last.Sub(warm).Seconds()
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Answers) / r.Seconds
	}
	r.Latency = latencyOf(all)
	return r, nil
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Latency{
		MeanMs: h.Mean() / 1000, P50Ms: ms(h.ValueAtQuantile(50)), P90Ms: ms(h.ValueAtQuantile(90)),
		P99Ms: ms(h.ValueAtQuantile(99)), P999Ms: ms(h.ValueAtQuantile(99.9)), MaxMs: ms(h.Max()),
	}
}

// watch tells how far the time has run until the senders have finished.
func (l Load) watch(begin time.Time, finished <-chan struct{}) {
	if l.Progress == nil {
		<-finished
		return
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	total := l.Warmup + l.Duration
	for {
		select {
		case <-finished:
			l.Progress(total, total)
			return
		case <-tick.C:
			l.Progress(min(l.Now().Sub(begin), total), total)
		}
	}
}

// take books one answer.
func (s *sender) take(n int64, due, done, warm time.Time, response *fasthttp.Response, err error, seen func(int64, bool, []byte)) {
	early := due.Before(warm)
	switch {
	case err != nil:
		s.errors[classOf(err)]++
	case response.StatusCode() < 200 || response.StatusCode() > 299:
		s.errors[refusal(response)]++
		s.sample = string(response.Body()[:min(len(response.Body()), 500)])
	default:
		if early {
			s.warmed++
		} else {
			// Beyond two minutes the histogram has no room; the request's own
			// time-out comes first.
			_ = s.latencies.RecordValue(max(shortest, min(longest, done.Sub(due).Microseconds())))
			s.last = done
		}
		if seen != nil {
			seen(n, early, response.Body())
		}
	}
}

// wait waits; false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// classOf names why no answer came.
func classOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, fasthttp.ErrConnectionClosed), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection closed"
	}
	return "other"
}

// refusal names an answer that is not 2xx by its status and its problem's code.
func refusal(r *fasthttp.Response) string {
	var problem struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(r.Body(), &problem) != nil || problem.Code == "" {
		return strconv.Itoa(r.StatusCode())
	}
	return fmt.Sprintf("%d %s", r.StatusCode(), problem.Code)
}

// Errors that callers tell apart.
var (
	// ErrURL says that an address is not one of a server.
	ErrURL = errors.New("an address is http://host:port or https://host")
	// ErrNothing says that not one request was answered with success; the
	// result's errors say why.
	ErrNothing = errors.New("no request was answered with success")
)
