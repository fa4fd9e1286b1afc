//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
)

// villages are one each of three counties; in a cluster of three masters each
// of them has a county.
var villages = []string{village, "330522001001", "330523206204"} // read only

func countyOf(division string) string { return division[:6] + "000000" }

// answerWithin is how long a client waits for an answer: a request may run for
// 30 s, and after that it is told that it took too long. The rest is for a busy
// machine.
const answerWithin = 2 * time.Minute

// plenty are the categories of which there always is something, scarce those
// of which there is not.
var (
	plenty = []string{"visit", "discount", "transport"} // read only
	scarce = []string{"grocery", "clothing", "homecare"}
)

// clientele are clients that ask for aid without a pause, on any of one or several
// servers, while something is broken; and what they were told.
type clientele struct {
	w     *town
	s     settingsOf
	facts facts
	// servers are the addresses a client may ask; who gets no connection goes on
	// to the next, as behind a load balancer.
	servers []string
	by      map[string][]townResident // by county
	needs   sync.Map                  // Idempotency-Key -> asked
	scans   atomic.Int64
	away    atomic.Int64 // scans that were told that the matcher is away
	keys    atomic.Int64

	mu      sync.Mutex
	answers map[string]int // what came instead of an answer
	slowest time.Duration
	last    map[string]time.Time     // per county, when something was promised
	gaps    map[string]time.Duration // per county, the longest time without
	waits   map[string]time.Time     // faults that ended, and nothing was promised since
	healed  map[string]time.Duration // per fault, the longest time from its end to a promise
	fresh   chan promise             // nil: nobody listens
}

// asked is a need that was acknowledged.
type asked struct {
	ID       string `json:"id"`
	resident string
	body     map[string]any
}

// promise is an allocation that was new to its client.
type promise struct {
	county          string
	asked, answered time.Time
}

// newLoad makes a town of three counties on the first server.
// Of the scarce there is some for a quarter of the people.
func newLoad(t *testing.T, s settingsOf, people int, servers ...string) *clientele {
	t.Helper()
	l := &clientele{
		s: s, w: newTown(t, s, servers[0]), servers: servers, by: map[string][]townResident{},
		answers: map[string]int{}, last: map[string]time.Time{}, gaps: map[string]time.Duration{},
		waits: map[string]time.Time{}, healed: map[string]time.Duration{},
	}
	l.w.worker = newCaller(servers[0], token(t, s, "--role", "caseworker", "--division", city))
	l.w.worker.http.Timeout = answerWithin
	for _, v := range villages {
		in := map[string]any{"divisions": []string{countyOf(v)}}
		for _, category := range plenty {
			l.w.post(t, "充足", category, 1_000_000, in)
		}
		for _, category := range scarce {
			l.w.post(t, "短缺", category, int64(people/4), in)
		}
	}
	l.w.settleIn(t, people, nil, villages...)
	for _, r := range l.w.residents {
		l.by[countyOf(r.Division)] = append(l.by[countyOf(r.Division)], r)
	}
	for county := range l.by {
		l.last[county] = time.Now()
	}
	return l
}

// run has clients work until the context ends; then each finishes what it has
// begun, within some minutes.
func (l *clientele) run(ctx context.Context, t *testing.T, clients int, seed uint64) (wait func()) {
	counties := slices.Sorted(maps.Keys(l.by))
	finish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(startTime, cancel) })
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(n)))
			for ctx.Err() == nil && !t.Failed() {
				l.visit(finish, t, rnd, counties[n%len(counties)])
			}
		})
	}
	return func() {
		all.Wait()
		stop()
		cancel()
	}
}

// visit is one resident at a counter: a need is written down, the card is
// scanned, and what is offered is handed over, mostly.
func (l *clientele) visit(ctx context.Context, t *testing.T, rnd *rand.Rand, county string) {
	r := l.by[county][rnd.IntN(len(l.by[county]))]
	kinds := plenty
	if rnd.IntN(4) == 0 {
		kinds = scarce
	}
	need := asked{resident: r.ID, body: map[string]any{
		"category": kinds[rnd.IntN(len(kinds))], "qty_units": 1 + rnd.IntN(2), "urgency": 1 + rnd.IntN(4), "source": "scan",
	}}
	key := "load-" + strconv.FormatInt(l.keys.Add(1), 10)
	if _, err := l.ask(ctx, t, key, "residents/"+r.ID+"/needs", need.body, &need); err != nil {
		l.failed(t, "need", err)
		return
	}
	l.needs.Store(key, need)
	var result care.ScanResult
	sent, err := l.ask(ctx, t, "", "scans", map[string]string{"code": r.CardNo}, &result)
	if err != nil {
		l.failed(t, "scan", err)
		return
	}
	l.scans.Add(1)
	fresh := l.facts.learn(t, r.ID, result.Offered...)
	l.facts.learn(t, r.ID, result.Received...)
	if fresh > 0 {
		l.promised(promise{county, sent, time.Now()})
	}
	for _, n := range result.Needs {
		if n.ID == need.ID && n.Reason.Code == matching.CodeWaitingRebuild {
			l.away.Add(1)
		}
		if n.State == residents.NeedWaiting && (n.Reason.ZH == "" || n.Reason.EN == "") {
			t.Errorf("need %s waits without a reason: %+v", n.ID, n)
		}
	}
	for _, a := range result.Offered {
		verb, body := "handover", any(map[string]string{"scan": result.Scan})
		switch rnd.IntN(10) {
		case 0:
			verb, body = "decline", map[string]string{"reason": "不需要"}
		case 1:
			verb, body = "accept", nil
		case 2:
			continue
		}
		var v care.AllocationView
		_, err := l.ask(ctx, t, "", "allocations/"+a.ID+"/"+verb, body, &v)
		var no *refused
		switch {
		case errors.As(err, &no) && no.status == http.StatusConflict:
			// Another client has ended it another way.
		case err != nil:
			l.failed(t, verb, err)
			return
		default:
			l.facts.learn(t, r.ID, v)
		}
	}
}

// failed says so once: all clients meet the same.
func (l *clientele) failed(t *testing.T, what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !t.Failed() {
		t.Errorf("%s: %v", what, err)
	}
}

// ask posts until there is an answer, as a counter does, and says when it sent
// what was answered. A server that is gone
// and a clear 503 are what a fault may look like; anything else is not, and
// neither is a request that nobody answers.
func (l *clientele) ask(ctx context.Context, t *testing.T, key, path string, body, into any) (sent time.Time, err error) {
	tick := time.NewTicker(2 * pollEvery)
	defer tick.Stop()
	c := *l.w.worker
	c.key = key
	for try := 0; ; try++ {
		c.base = l.servers[try%len(l.servers)]
		sent = time.Now()
		err = c.call(ctx, http.MethodPost, path, body, into)
		var no *refused
		var slow net.Error
		word := "no connection"
		switch {
		case err == nil:
			l.took(time.Since(sent), "")
			return sent, nil
		case errors.As(err, &no) && (no.status == http.StatusServiceUnavailable || no.status == http.StatusTooManyRequests || no.code() == "in_flight"):
			word = fmt.Sprintf("%d %s", no.status, no.code())
			if err := no.clear(); err != nil {
				return sent, err
			}
		case errors.As(err, &no):
			l.took(time.Since(sent), fmt.Sprintf("%d %s", no.status, no.code()))
			return sent, err
		case errors.As(err, &slow) && slow.Timeout() && ctx.Err() == nil:
			l.took(time.Since(sent), "no answer")
			return sent, fmt.Errorf("no answer within %v: %w", answerWithin, err)
		}
		l.took(time.Since(sent), word)
		select {
		case <-ctx.Done():
			return sent, fmt.Errorf("%w, the last answer: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// code is what a program goes by.
func (r *refused) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal([]byte(r.body), &p) // what is no problem has no code
	return p.Code
}

// clear says what is missing in a refusal that asks to come again.
func (r *refused) clear() error {
	var p struct{ Title, Detail, Code string }
	switch err := json.Unmarshal([]byte(r.body), &p); {
	case err != nil || p.Title == "" || p.Detail == "" || p.Code == "":
		return fmt.Errorf("a refusal without words: %w", r)
	case r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") == "":
		return fmt.Errorf("a 503 that does not say when to come again: %w", r)
	}
	return nil
}

func (l *clientele) took(d time.Duration, instead string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, d)
	if instead != "" {
		l.answers[instead]++
	}
}

// promised notes that somebody was promised something new.
func (l *clientele) promised(p promise) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaps[p.county] = max(l.gaps[p.county], p.answered.Sub(l.last[p.county]))
	l.last[p.county] = p.answered
	for fault, over := range l.waits {
		if p.asked.After(over) {
			l.healed[fault] = max(l.healed[fault], p.answered.Sub(over))
			delete(l.waits, fault)
		}
	}
	if l.fresh != nil {
		select {
		case l.fresh <- p:
		default: // it is listened to for the first ones only
		}
	}
}

// over notes that a fault has ended: how long until the next promise?
func (l *clientele) over(fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[fault] = time.Now()
}

// listen returns the promises that are made from now on.
func (l *clientele) listen() <-chan promise {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = make(chan promise, 1024)
	return l.fresh
}

// settle waits until n more scans were answered.
func (l *clientele) settle(ctx context.Context, t *testing.T, n int64) {
	t.Helper()
	until := l.scans.Load() + n
	eventually(t, 2*startTime, fmt.Sprintf("%d more scans are answered", n), func() error {
		if got := l.scans.Load(); got < until && ctx.Err() == nil && !t.Failed() {
			return fmt.Errorf("%d of %d", got, until)
		}
		return nil
	})
}

// tell prints the figures.
func (l *clientele) tell(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var instead []string
	for _, word := range slices.Sorted(maps.Keys(l.answers)) {
		instead = append(instead, fmt.Sprintf("%s × %d", word, l.answers[word]))
	}
	t.Logf("%d scans, of which %d found the matcher away; slowest answer %v; instead of an answer: %s", l.scans.Load(), l.away.Load(), l.slowest.Round(time.Millisecond), strings.Join(instead, ", "))
	for _, county := range slices.Sorted(maps.Keys(l.gaps)) {
		t.Logf("county %s: longest time without a new promise %v", county, l.gaps[county].Round(time.Millisecond))
	}
	for _, fault := range slices.Sorted(maps.Keys(l.healed)) {
		t.Logf("%s: longest time from its end to the next promise %v", fault, l.healed[fault].Round(time.Millisecond))
	}
}

// judge compares what the clients were told with the record, after the faults.
func (l *clientele) judge(t *testing.T, server string) {
	t.Helper()
	for _, c := range []*caller{l.w.admin, l.w.worker, l.w.giver} {
		c.base = server
	}
	l.judgeNeeds(t) // first: it waits until nobody is served from the lists any more
	judge(t, l.s, l.w, &l.facts)
}

// judgeNeeds wants every need once, and everybody who waits to have a reason
// that is true.
func (l *clientele) judgeNeeds(t *testing.T) {
	t.Helper()
	ids, askedAgain := map[string]bool{}, map[string]bool{}
	for key, v := range l.needs.Range {
		need := v.(asked)
		ids[need.ID] = true
		if askedAgain[need.resident] { // one each is enough
			continue
		}
		askedAgain[need.resident] = true
		c := *l.w.worker
		c.key = key.(string)
		var again struct{ ID string }
		if err := c.call(t.Context(), http.MethodPost, "residents/"+need.resident+"/needs", need.body, &again); err != nil || again.ID != need.ID {
			t.Errorf("need %s, asked for again with its key: got %s, %v", need.ID, again.ID, err)
		}
	}
	for county := range l.by {
		var events []struct{ Kind, Need string }
		pages(t, l.w.worker, "events?county="+county, &events)
		for _, e := range events {
			if e.Kind == "need.opened" && !ids[e.Need] {
				t.Errorf("need %s is in the record twice, or nobody was told of it", e.Need)
			}
		}
	}
	// Who waits though there is something is served, and nobody is told of a
	// fault that is over.
	eventually(t, startTime, "everybody is served or waits with a true reason", func() error {
		for _, r := range l.w.residents {
			for _, n := range l.w.needs(t, r.ID) {
				switch {
				case n.State == residents.NeedOpen:
					return fmt.Errorf("need %s was scanned and is open", n.ID)
				case n.State != residents.NeedWaiting:
				case n.Reason.ZH == "" || n.Reason.EN == "" || n.Reason.Code == matching.CodeWaitingRebuild || n.Reason.Code == matching.CodeHandedOver:
					return fmt.Errorf("need %s waits, with the reason %+v", n.ID, n.Reason)
				case n.Reason.Code == matching.CodeWaitingRest && n.GivenUnits > 0: // the next plan looks why
				case slices.Contains(plenty, n.Category) && n.Reason.Code != matching.CodeWaitingCap:
					return fmt.Errorf("need %s for %s waits, though there is plenty: %+v", n.ID, n.Category, n.Reason)
				}
			}
		}
		return nil
	})
}
