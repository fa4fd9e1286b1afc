package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// post sends n requests, or as many as the time allows when n is 0.
func post(n int64) exchange {
	return exchange{fill: func(i int64, r *fasthttp.Request) bool {
		r.Header.SetMethod(http.MethodPost)
		return n == 0 || i < n
	}}
}

func TestErrorsAreCountedByClass(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"code":"rate"}`)
		case 1:
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, `<html>`)
		case 2:
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		}
	}))
	defer s.Close()
	r, err := Load{Now: time.Now, Connections: 1, Duration: time.Minute}.run(t.Context(), s.URL, post(40))
	if err != nil {
		t.Fatal(err)
	}
	if r.Answers != 10 || r.Errors["429 rate"] != 10 || r.Errors["502"] != 10 || r.Errors["connection closed"] != 10 || r.Failed() != 30 {
		t.Errorf("got %d answers and %v", r.Answers, r.Errors)
	}
	if !r.Exhausted || r.Interrupted || r.Loop != "closed" {
		t.Errorf("got %+v", r)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r, err := Yardstick(t.Context(), "http://"+l.Addr().String(), Load{Now: time.Now, Connections: 2, Duration: 50 * time.Millisecond})
	if !errors.Is(err, ErrNothing) || r.Errors["connection refused"] == 0 {
		t.Errorf("got %v, %v", r, err)
	}
	for _, address := range []string{"", "127.0.0.1:80", "ftp://host", "http://"} {
		if _, err := Yardstick(t.Context(), address, Load{Now: time.Now, Connections: 1, Duration: time.Second}); !errors.Is(err, ErrURL) {
			t.Errorf("%q: got %v, want ErrURL", address, err)
		}
	}
}

// A server that stalls once keeps one request of a closed loop waiting, but
// everybody who is due meanwhile in an open one.
func TestOpenLoopCountsWhoWouldHaveCome(t *testing.T) {
	t.Parallel()
	stalled := func(rate float64) *Result {
		var n atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == 20 {
				select {
				case <-time.After(2 * time.Second):
				case <-r.Context().Done():
				}
			}
		}))
		defer s.Close()
		r, err := Load{Now: time.Now, Connections: 1, Rate: rate, Duration: 30 * time.Second}.run(t.Context(), s.URL, post(100))
		if err != nil || r.Answers != 100 {
			t.Fatalf("got %+v, %v", r, err)
		}
		return r
	}
	if r := stalled(0); r.Latency.MaxMs < 2000 || r.Latency.P90Ms > 1500 {
		t.Errorf("closed loop: got %+v, want one late answer", r.Latency)
	}
	if r := stalled(100); r.Loop != "open" || r.Latency.P90Ms < 1000 {
		t.Errorf("open loop: got %+v, want the wait of all who were due", r.Latency)
	}
}

func TestWarmupIsNotCounted(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	r, err := Load{Now: time.Now, Connections: 1, Warmup: time.Hour, Duration: time.Hour}.run(t.Context(), s.URL, post(5))
	if err != nil || r.WarmedUp != 5 || r.Answers != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestInterruptedRunKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 10 {
			stop()
		}
	}))
	defer s.Close()
	r, err := Load{Now: time.Now, Connections: 2, Duration: time.Hour}.run(ctx, s.URL, post(0))
	if err != nil || !r.Interrupted || r.Answers < 10 || r.PerSecond <= 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestYardstick(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeYardstick(ctx, l) }()
	r, err := Yardstick(t.Context(), "http://"+l.Addr().String(), Load{Now: time.Now, Connections: 2, Duration: 100 * time.Millisecond})
	if err != nil || r.Answers == 0 || r.Failed() != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func digitsOf(n int) []string {
	codes := make([]string, n)
	for i := range codes {
		codes[i] = fmt.Sprintf("%0193d", i)
	}
	return codes
}

func newCity(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "city")
	left, err := WriteCity(dir, City{Residents: n, Tokens: []string{"hct_a", "hct_b"}}, digitsOf(n))
	if err != nil || left != n {
		t.Fatalf("got %d, %v", left, err)
	}
	return dir
}

func TestCityRemembersWhatWasScanned(t *testing.T) {
	t.Parallel()
	dir := newCity(t, 10)
	info, err := os.Stat(filepath.Join(dir, cityName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of tokens: %v, %v; want mode 0600", info.Mode(), err)
	}
	c, err := ReadCity(dir)
	if err != nil || c.Codes() != 10 || c.Left() != 10 || string(c.code(3)) != digitsOf(10)[3] {
		t.Fatalf("got %+v, %v", c, err)
	}
	if err := c.scanned(4); err != nil {
		t.Fatal(err)
	}
	// More people, in another order: whoever was scanned is not scanned again.
	more := digitsOf(12)
	more[0], more[11] = more[11], more[0]
	if left, err := WriteCity(dir, *c, more); err != nil || left != 8 {
		t.Errorf("got %d left, %v; want 8", left, err)
	}
	if c, err = ReadCity(dir); err != nil || c.Left() != 8 {
		t.Fatalf("got %+v, %v", c, err)
	}
	for i := c.Codes() - c.Left(); i < c.Codes(); i++ {
		if code := string(c.code(i)); code < digitsOf(5)[4] {
			t.Errorf("%s is to be scanned again", code)
		}
	}
}

func TestNoCity(t *testing.T) {
	t.Parallel()
	if _, err := ReadCity(t.TempDir()); !errors.Is(err, ErrCity) {
		t.Errorf("got %v, want ErrCity", err)
	}
	dir := newCity(t, 3)
	if err := os.Truncate(filepath.Join(dir, codesName), 300); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCity(dir); !errors.Is(err, ErrCity) {
		t.Errorf("a torn file: got %v, want ErrCity", err)
	}
}

// Every card is scanned once, by every token and from every network, and what
// is answered must stand at the second look.
func TestScan(t *testing.T) {
	t.Parallel()
	for name, forgets := range map[string]bool{"keeps": false, "forgets": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			seen, who, from := map[string]int{}, map[string]bool{}, map[string]bool{}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				seen[string(body)]++
				who[r.Header.Get("Authorization")], from[r.Header.Get("X-Forwarded-For")] = true, true
				switch {
				case r.URL.Path != scansPath:
					w.WriteHeader(http.StatusNotFound)
				case strings.HasSuffix(string(body), `9"}`):
					fmt.Fprint(w, `{"offered":[],"received":[]}`)
				case forgets && seen[string(body)] > 1:
					fmt.Fprint(w, `{"offered":[{"id":"another"}],"received":[]}`)
				default:
					fmt.Fprintf(w, `{"offered":[{"id":"a-%s"}],"received":[]}`, body[len(body)-5:len(body)-2])
				}
			}))
			defer s.Close()
			c, err := ReadCity(newCity(t, 300))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Scan(t.Context(), s.URL, Load{Now: time.Now, Connections: 4, Duration: time.Minute}, 3)
			if err != nil {
				t.Fatal(err)
			}
			if got.Answers != 300 || got.Served != 270 || got.Waits != 30 || !got.Exhausted || c.Left() != 0 {
				t.Errorf("got %+v with %d left", got, c.Left())
			}
			if len(who) != 2 || len(from) != 3 || len(seen) != 300 {
				t.Errorf("got %d tokens, %d networks, %d cards; want 2, 3, 300", len(who), len(from), len(seen))
			}
			want := 0
			if forgets {
				want = got.Sampled
			}
			if got.Sampled < 3 || len(got.Broken) != want {
				t.Errorf("of %d sampled, gone: %v", got.Sampled, got.Broken)
			}
		})
	}
}

func TestFiguresOfRedisBenchmark(t *testing.T) {
	t.Parallel()
	out := "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n" +
		`"EVALSHA abc 1 k, "x" y","54321.09","0.400","0.100","0.311","0.700","0.903","4.500"` + "\n"
	var b RedisBenchmarkResult
	if err := b.read(out); err != nil || b.PerSecond != 54321.09 || b.P50Ms != 0.311 || b.P99Ms != 0.903 {
		t.Errorf("got %+v, %v", b, err)
	}
	if err := b.read("NOSCRIPT No matching script"); err == nil {
		t.Error("no figures, and no error")
	}
}
