package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// scansPath is where codes are scanned.
const scansPath = "/api/v1/scans"

// Every sampleEvery-th answer is kept, sampleMost at most, and held against a
// second scan after the load.
const sampleEvery, sampleMost = 97, 500

// againTime bounds the second scan of the sample.
const againTime = 30 * time.Second

// Scans is what scanning a city has met.
type Scans struct {
	Result
	Served int64 `json:"served"` // answers that name something promised, warm-up included
	Waits  int64 `json:"waits"`  // answers that promise nothing
	// After the load a sample is scanned again: an answer is a fact, so it must
	// name what it named before.
	Sampled int      `json:"sampled"`
	Broken  []string `json:"broken"` // allocations named once and not again
}

// Scan scans codes of the city that were not scanned before, each once, from
// several networks: a server that trusts the address of this machine as a
// proxy's (HAPPYCODE_TRUSTED_PROXIES) counts its limits by them, as it does
// when many offices sit behind one proxy. With networks 0 no such header is
// sent.
//
// An interrupted run returns what it has. Errors: [ErrURL], [ErrNothing] with
// the result, the file system's.
func (c *City) Scan(ctx context.Context, base string, l Load, networks int) (*Scans, error) {
	s := &Scans{Broken: []string{}}
	var sent atomic.Int64
	var mu sync.Mutex
	samples := map[int]map[string]bool{} // card -> allocations named
	first := c.from
	bearers := make([]string, len(c.Tokens))
	for i, t := range c.Tokens {
		bearers[i] = "Bearer " + t
	}
	fill := func(n int64, r *fasthttp.Request) bool {
		if first+int(n) >= c.Codes() {
			return false
		}
		sent.Add(1)
		c.fill(r, first+int(n), bearers[int(n)%len(bearers)], int(n), networks)
		return true
	}
	var served, waits atomic.Int64
	result, err := l.run(ctx, strings.TrimSuffix(base, "/")+scansPath, exchange{fill: fill, seen: func(n int64, _ bool, body []byte) {
		if !bytes.Contains(body, []byte(`"offered":[{`)) {
			waits.Add(1)
			return
		}
		if served.Add(1)%sampleEvery != 1 {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if len(samples) < sampleMost {
			samples[first+int(n)] = named(body)
		}
	}})
	if err != nil {
		return nil, err
	}
	s.Result, s.Served, s.Waits = *result, served.Load(), waits.Load()
	if s.Answers+s.WarmedUp == 0 && s.Failed() > 0 {
		return s, ErrNothing // and the cards are as good as before
	}
	if err := c.scanned(int(sent.Load())); err != nil {
		return s, fmt.Errorf("note which codes are scanned: %w", err)
	}
	// Also after an interruption: it is soon done, and it is what counts.
	return s, c.again(context.WithoutCancel(ctx), base, l, networks, s, samples)
}

func (c *City) fill(r *fasthttp.Request, card int, bearer string, n, networks int) {
	r.Header.SetMethod(fasthttp.MethodPost)
	r.Header.SetContentType("application/json")
	r.Header.Set(fasthttp.HeaderAuthorization, bearer)
	if networks > 0 {
		// Of the range kept for documentation and benchmarks, RFC 2544.
		k := n % networks
		r.Header.Set(fasthttp.HeaderXForwardedFor, "198.18."+strconv.Itoa(k>>8)+"."+strconv.Itoa(k&255))
	}
	body := append([]byte(`{"code":"`), c.code(card)...)
	r.SetBody(append(body, `"}`...))
}

// again scans the sampled cards a second time.
func (c *City) again(ctx context.Context, base string, l Load, networks int, s *Scans, samples map[int]map[string]bool) error {
	cards := make([]int, 0, len(samples))
	for card := range samples {
		cards = append(cards, card)
	}
	var mu sync.Mutex
	l.Rate, l.Warmup, l.Progress, l.Duration = 0, 0, nil, againTime
	_, err := l.run(ctx, strings.TrimSuffix(base, "/")+scansPath, exchange{
		fill: func(n int64, r *fasthttp.Request) bool {
			if int(n) >= len(cards) {
				return false
			}
			c.fill(r, cards[n], "Bearer "+c.Tokens[int(n)%len(c.Tokens)], int(n), networks)
			return true
		},
		seen: func(n int64, _ bool, body []byte) {
			now := named(body)
			mu.Lock()
			defer mu.Unlock()
			s.Sampled++
			for id := range samples[cards[n]] {
				if !now[id] {
					s.Broken = append(s.Broken, id)
				}
			}
		},
	})
	return err
}

// named are the allocations that an answer names.
func named(body []byte) map[string]bool {
	var answer struct {
		Offered  []struct{ ID string }
		Received []struct{ ID string }
	}
	ids := map[string]bool{}
	if json.Unmarshal(body, &answer) != nil {
		return ids
	}
	for _, a := range append(answer.Offered, answer.Received...) {
		ids[a.ID] = true
	}
	return ids
}
