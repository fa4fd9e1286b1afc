//go:build integration

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
	"github.com/xingfuma/happycode/matching/redistest"
)

// The server is killed at random moments while clients scan, accept, decline
// and hand over. At the end no unit is given twice and whatever was
// acknowledged is in the record.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name         string
		mongo, flush bool
		people       int
		scans, kills int
	}{
		{"sqlite", false, false, 125, 500, 12},
		{"sqlite and an emptied Redis", false, true, 125, 500, 12},
		{"mongo", true, false, 12, 32, 2}, // its stand-in is slow
	} {
		t.Run(c.name, func(t *testing.T) {
			redis := redistest.Start(t)
			s := embedded(t)
			s["REDIS_URL"] = redis.URL()
			s["LEASE"] = "5s" // what was in flight is decided soon after a crash
			if c.mongo {
				s["MONGO_URI"] = mongotest.URI(t)
			}
			x := &crash{s: s, people: c.people, scans: c.scans, kills: c.kills}
			if c.flush {
				x.halfway = func() {
					redis.FlushAll(t)
					// The server rebuilds by itself; a person may do so too.
					if _, errOut, status := command(t, s, "rebuild"); status != 0 {
						t.Errorf("rebuild: %s", errOut)
					}
				}
			}
			x.run(t)
		})
	}
}

const crashClients = 8

// crash is one such test.
type crash struct {
	s            settingsOf
	people       int
	scans, kills int
	halfway      func()

	server *process
	w      *town
	seed   uint64
	begun  atomic.Int64 // scans a client has taken on
	acked  atomic.Int64 // scans answered
	facts  facts
}

// facts are what the server has acknowledged, by allocation.
type facts struct {
	mu    sync.Mutex
	known map[string]fact
}

// fact is what the server has acknowledged about an allocation.
type fact struct {
	resident, offer string
	qty             int64
	state           care.State
}

func (x *crash) run(t *testing.T) {
	x.seed = uint64(time.Now().UnixNano())
	t.Logf("seed %d", x.seed)
	x.server = start(t, x.s)
	x.w = newTown(t, x.s, x.server.base)
	// More is needed than there is, of some kinds; caps bite on others.
	x.w.post(t, "米油包一", "grocery", 40, map[string]any{"cap_units": 1, "cap_period": "week"})
	x.w.post(t, "米油包二", "grocery", 30, nil)
	x.w.post(t, "冬衣", "clothing", 90, nil)
	x.w.post(t, "照护", "homecare", 150, map[string]any{"cap_units": 3, "cap_period": "week"})
	x.w.post(t, "探访", "visit", 1000, nil)
	x.w.settle(t, x.people, map[string]int64{"grocery": 1, "clothing": 2, "homecare": 4, "visit": 3})

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // hopeless
	defer cancel()
	var clients sync.WaitGroup
	for n := range crashClients {
		clients.Go(func() { x.client(ctx, t, rand.New(rand.NewPCG(x.seed, uint64(n)))) })
	}
	x.killer(ctx, t, rand.New(rand.NewPCG(x.seed, crashClients)))
	clients.Wait()
	if t.Failed() {
		return
	}
	x.server.kill()
	x.server = start(t, x.s)
	judge(t, x.s, x.w, &x.facts)
	t.Logf("%d scans, %d kills", x.acked.Load(), x.kills+1)
	if n := len(x.facts.known); n < x.scans/10 {
		t.Errorf("only %d allocations were acknowledged: the test tests nothing", n)
	}
	x.server.stop(t)
}

// killer kills the server at random moments, each time after some more scans
// were answered and a few random milliseconds, and starts it again.
func (x *crash) killer(ctx context.Context, t *testing.T, rnd *rand.Rand) {
	flushed := false
	for round := range x.kills {
		enough := x.acked.Load() + 1 + rnd.Int64N(int64(x.scans/x.kills))
		x.awaitAcked(ctx, min(enough, int64(x.scans)-1))
		moment := time.NewTimer(time.Duration(rnd.IntN(30_000)) * time.Microsecond)
		select {
		case <-ctx.Done():
			t.Errorf("round %d: %v", round, ctx.Err())
			return
		case <-moment.C:
		}
		x.server.kill()
		x.server = start(t, x.s)
		if x.halfway != nil && !flushed && round >= x.kills/2 {
			flushed = true
			x.halfway()
		}
	}
}

func (x *crash) awaitAcked(ctx context.Context, n int64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for x.acked.Load() < n && ctx.Err() == nil {
		<-tick.C
	}
}

// client scans random residents until all scans are taken, and does something
// with a part of what it is offered.
func (x *crash) client(ctx context.Context, t *testing.T, rnd *rand.Rand) {
	for x.begun.Add(1) <= int64(x.scans) {
		r := x.w.residents[rnd.IntN(len(x.w.residents))]
		var result care.ScanResult
		if err := x.w.worker.insist(ctx, "scans", map[string]string{"code": r.CardNo}, &result); err != nil {
			t.Errorf("scan: %v", err)
			return
		}
		x.acked.Add(1)
		x.facts.learn(t, r.ID, result.Offered...)
		x.facts.learn(t, r.ID, result.Received...)
		if len(result.Offered) == 0 {
			continue
		}
		a := result.Offered[rnd.IntN(len(result.Offered))]
		var verb string
		var body any
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			verb, body = "handover", map[string]string{"scan": result.Scan}
		case 4:
			verb, body = "decline", map[string]string{"reason": "不需要"}
		case 5, 6:
			verb = "accept"
		default:
			continue
		}
		var v care.AllocationView
		err := x.w.worker.insist(ctx, "allocations/"+a.ID+"/"+verb, body, &v)
		var no *refused
		switch {
		case errors.As(err, &no) && no.status == http.StatusConflict:
			// Another client has ended it another way.
		case err != nil:
			t.Errorf("%s %s: %v", verb, a.ID, err)
			return
		default:
			x.facts.learn(t, r.ID, v)
		}
	}
}

// learn keeps what was acknowledged, and counts what is new. States only go
// forward: answers that are learned late tell nothing new.
func (k *facts) learn(t testing.TB, resident string, views ...care.AllocationView) (fresh int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[string]fact{}
	}
	for _, v := range views {
		old, seen := k.known[v.ID]
		if seen && (old.resident != resident || old.offer != v.Offer || old.qty != v.QtyUnits) {
			t.Errorf("allocation %s changed what it is: %+v, then %+v", v.ID, old, v)
		}
		if seen && old.state != care.Promised && v.State != care.Promised && old.state != v.State {
			t.Errorf("allocation %s ended as %s, then as %s", v.ID, old.state, v.State)
		}
		if !seen {
			fresh++
		}
		if !seen || old.state == care.Promised {
			k.known[v.ID] = fact{resident, v.Offer, v.QtyUnits, v.State}
		}
	}
	return fresh
}

// judge compares what was acknowledged with what the record says, counts every
// unit by the residents' lists, and wants verify to be content.
func judge(t *testing.T, s settingsOf, w *town, k *facts) {
	t.Helper()
	// What was in flight at a fault is decided when its lease is over. Until
	// then Redis may lag behind the record, but nothing may be given twice.
	eventually(t, startTime, "verify is clean", func() error {
		out, errOut, status := command(t, s, "verify")
		for _, promise := range []string{"promise 1", "promise 2", "promise 6"} {
			if strings.Contains(out, promise+":") {
				t.Fatalf("verify:\n%s", out)
			}
		}
		if status != 0 || !inFlightNone(out) {
			return fmt.Errorf("status %d\n%s\n%s", status, out, tail(errOut, 500))
		}
		return nil
	})
	byOffer := map[string]int64{}
	handed := map[string]int64{}
	record := map[string]care.AllocationView{}
	for _, r := range w.residents {
		given := map[string]int64{} // by need
		for _, a := range w.list(t, r.ID) {
			if _, twice := record[a.ID]; twice {
				t.Errorf("allocation %s stands in two lists", a.ID)
			}
			record[a.ID] = a
			switch a.State {
			case care.Promised:
				byOffer[a.Offer] += a.QtyUnits
			case care.HandedOver:
				byOffer[a.Offer] += a.QtyUnits
				handed[a.Offer] += a.QtyUnits
			default:
				continue
			}
			given[a.Need] += a.QtyUnits
		}
		for _, n := range w.needs(t, r.ID) {
			if given[n.ID] > n.QtyUnits {
				t.Errorf("need %s of %d units got %d", n.ID, n.QtyUnits, given[n.ID])
			}
		}
	}
	for id, f := range k.known {
		a, ok := record[id]
		switch {
		case !ok:
			t.Errorf("the acknowledged allocation %s is lost: %+v", id, f)
		case a.QtyUnits != f.qty || a.Offer != f.offer:
			t.Errorf("allocation %s: got %d of %s, acknowledged %d of %s", id, a.QtyUnits, a.Offer, f.qty, f.offer)
		case f.state != care.Promised && a.State != f.state:
			t.Errorf("allocation %s: got %s, acknowledged %s", id, a.State, f.state)
		}
	}
	for _, offer := range w.offers {
		st := w.stock(t, offer)
		if got := st.PromisedUnits + st.HandedOverUnits; got != byOffer[offer] || st.HandedOverUnits != handed[offer] || got > st.QtyUnits {
			t.Errorf("offer %s of %d units: shares count %d promised, %d handed over; the lists %d in all, %d handed over",
				offer, st.QtyUnits, st.PromisedUnits, st.HandedOverUnits, byOffer[offer], handed[offer])
		}
	}
	t.Logf("%d allocations, %d acknowledged", len(record), len(k.known))
}

// inFlightNone reads verify's figures.
func inFlightNone(out string) bool {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "in flight") {
			return strings.HasSuffix(strings.TrimSpace(line), " 0")
		}
	}
	return false
}
