package matching_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
)

func TestNewRefusesBadConfig(t *testing.T) {
	t.Parallel()
	if _, err := matching.New(matching.Config{}); err == nil {
		t.Error("no error without a client")
	}
	client, err := matching.Connect(t.Context(), newEmbedded(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for lease, ok := range map[time.Duration]bool{
		0: true, 5 * time.Second: true, 10 * time.Minute: true,
		5*time.Second - 1: false, 10*time.Minute + 1: false, -1: false,
	} {
		e, err := matching.New(matching.Config{Redis: client, Lease: lease})
		if (err == nil) != ok {
			t.Errorf("lease %s: got %v", lease, err)
		}
		if err == nil {
			if err := e.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestConnectReadsAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "localhost:6379", "http://localhost", "redis://%zz", "redis+cluster://localhost", "redis+cluster://",
		"redis+cluster://a:1,b", "redis+cluster://%zz:x@a:1", "rediss+cluster://:1",
	} {
		if c, err := matching.Connect(t.Context(), address); !errors.Is(err, matching.ErrURL) {
			t.Errorf("%q: got %v, %v; want ErrURL", address, c, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, address := range []string{"redis://127.0.0.1:1", "rediss://127.0.0.1:1", "redis+cluster://u:p@127.0.0.1:1/", "rediss+cluster://127.0.0.1:1"} {
		if c, err := matching.Connect(ctx, address); err == nil || errors.Is(err, matching.ErrURL) {
			t.Errorf("%q: got %v, %v; want that nobody answers", address, c, err)
		}
	}
}

func TestEmbeddedWantsThePassword(t *testing.T) {
	t.Parallel()
	e := newEmbedded(t)
	if _, err := matching.StartEmbedded("nonsense"); err == nil {
		t.Error("started on an address that is none")
	}
	_, addr, _ := cut(e.URL(), "@")
	if _, err := matching.StartEmbedded(addr); err == nil {
		t.Error("started twice on one address")
	}
	if c, err := matching.Connect(t.Context(), "redis://"+addr); err == nil {
		c.Close()
		t.Error("connected without the password")
	}
}

func TestRequestsThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	r := newRig(t, newEmbedded(t).URL())
	ask := func(change func(*matching.Request, *matching.Ask)) matching.Request {
		q := matching.Request{County: r.county, Household: "h"}
		a := meals("n", 1, 1, "l")
		change(&q, &a)
		q.Asks = append(q.Asks, a)
		return q
	}
	for i, q := range []matching.Request{
		ask(func(q *matching.Request, a *matching.Ask) { q.County = "3305" }),
		ask(func(q *matching.Request, a *matching.Ask) { q.County = "33050200000x" }),
		ask(func(q *matching.Request, a *matching.Ask) { q.Household = "" }),
		ask(func(q *matching.Request, a *matching.Ask) { q.Household = "a|b" }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Need = "" }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Category = "|" }),
		ask(func(q *matching.Request, a *matching.Ask) { a.QtyUnits = 0 }),
		ask(func(q *matching.Request, a *matching.Ask) { a.QtyUnits = matching.MaxUnits + 1 }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Base = -1 }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Cap.Limit = -1 }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Cap.Limit = matching.MaxUnits + 1 }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Cap.Period = "|" }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Candidates[0].Offer = "" }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Candidates[0].Lot = "" }),
		ask(func(q *matching.Request, a *matching.Ask) { a.Candidates[0].Cap.Limit = 1 }),
	} {
		if _, err := r.Match(r.ctx(), q); !errors.Is(err, matching.ErrRequest) {
			t.Errorf("request %d: got %v, want ErrRequest", i, err)
		}
	}
	good := matching.Hold{ID: "n-0", Need: "n", Household: "h", Offer: "o", Lot: "l", QtyUnits: 1, Category: matching.Cap{Field: "c:meal", Period: "E"}}
	for i, change := range []func(*matching.Hold){
		func(h *matching.Hold) { h.ID = "" }, func(h *matching.Hold) { h.Need = "" }, func(h *matching.Hold) { h.Household = "" },
		func(h *matching.Hold) { h.Offer = "" }, func(h *matching.Hold) { h.Lot = "" }, func(h *matching.Hold) { h.QtyUnits = 0 },
		func(h *matching.Hold) { h.QtyUnits = matching.MaxUnits + 1 }, func(h *matching.Hold) { h.Seq = -1 },
		func(h *matching.Hold) { h.Category.Field = "" }, func(h *matching.Hold) { h.Category.Limit = -1 }, func(h *matching.Hold) { h.OfferCap.Limit = 2 },
	} {
		h := good
		change(&h)
		for what, err := range map[string]error{
			"promise": r.Promise(r.ctx(), r.county, []matching.Hold{h}),
			"finish":  r.Finish(r.ctx(), r.county, []matching.Hold{h}),
			"release": r.Release(r.ctx(), r.county, []matching.Hold{h}, true),
		} {
			if !errors.Is(err, matching.ErrRequest) {
				t.Errorf("%s of hold %d: got %v, want ErrRequest", what, i, err)
			}
		}
	}
	_, closing := r.CloseLot(r.ctx(), r.county, "")
	_, due := r.Due(r.ctx(), "x", 1)
	_, ready := r.Ready(r.ctx(), "x")
	_, stock := r.Stock(r.ctx(), "x", []string{"l"})
	for what, err := range map[string]error{
		"county":         r.Promise(r.ctx(), "x", []matching.Hold{good}),
		"lot id":         r.OpenLots(r.ctx(), r.county, []matching.LotState{{Category: "meal"}}),
		"lot category":   r.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "l"}}),
		"lot free":       r.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "l", Category: "meal", FreeUnits: matching.MaxUnits + 1}}),
		"lot debt":       r.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "l", Category: "meal", FreeUnits: -matching.MaxUnits - 1}}),
		"lot taken":      r.OpenLots(r.ctx(), r.county, []matching.LotState{{ID: "l", Category: "meal", TakenUnits: -1}}),
		"wait need":      r.Wait(r.ctx(), r.county, matching.Waiter{Category: "meal"}),
		"wait category":  r.Wait(r.ctx(), r.county, matching.Waiter{Need: "n"}),
		"rebuild county": r.Rebuild(r.ctx(), "x", nil),
		"close":          closing, "due": due, "ready": ready, "stock": stock,
	} {
		if !errors.Is(err, matching.ErrRequest) {
			t.Errorf("%s: got %v, want ErrRequest", what, err)
		}
	}
	if n := r.Behind(r.county); n != 0 {
		t.Errorf("%d refused calls were kept", n)
	}
	if out, err := r.Match(r.ctx(), matching.Request{}); out != nil || err != nil {
		t.Errorf("nothing asked: got %v, %v", out, err)
	}
}

// A request wider than what one Redis command takes from Lua's stack.
func TestMatchWide(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		m := newModel()
		var lots []matching.LotState
		q := matching.Request{County: r.county, Household: "h"}
		for i := range 350 {
			lots = append(lots, matching.LotState{ID: fmt.Sprintf("l%d", i), Category: "meal", FreeUnits: 12})
		}
		r.ok(r.OpenLots(r.ctx(), r.county, lots))
		m.open(lots)
		for i := range 140 {
			a := meals(fmt.Sprintf("n%d", i), 9, 0)
			for k := range 10 {
				l := lots[(i*10+k)%len(lots)].ID
				a.Candidates = append(a.Candidates, matching.Candidate{
					Offer: "o" + l, Lot: l, Cap: matching.Cap{Field: "o:" + l, Period: "E", Limit: 2 + int64(k)/3},
				})
			}
			q.Asks = append(q.Asks, a)
		}
		got, err := r.Match(r.ctx(), q)
		r.ok(err)
		r.same("outcomes", got, m.match(q, r.now().Add(time.Minute).UnixMilli()))
		r.same("state", r.dump(), m.dump())
		var holds []matching.Hold
		for _, o := range got {
			holds = append(holds, o.Holds...)
		}
		r.ok(r.Promise(r.ctx(), r.county, holds))
		m.confirm(holds, 0)
		r.same("state when promised", r.dump(), m.dump())
		again, err := r.Match(r.ctx(), q)
		r.ok(err)
		r.same("outcomes when promised", again, m.match(q, 0))
		names := make([]string, len(lots))
		for i, l := range lots {
			names[i] = l.ID
		}
		stock, err := r.Stock(r.ctx(), r.county, names)
		r.ok(err)
		for i, s := range stock {
			l := m.lots[s.ID]
			r.same("stock", s, matching.Stock{ID: names[i], Known: true, FreeUnits: l.free, HeldUnits: l.held, TakenUnits: l.taken})
		}
	})
}

func TestUnnamedCapStillCountsClaims(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(9, "l")
		a := meals("n", 1, 0, "l")
		a.Cap = matching.Cap{}
		b := a
		b.Need = "m"
		out := r.match("h", a, b)
		for i, o := range out {
			if o.Holds[0].Seq != int64(i) || o.Holds[0].Category.Field != "c:meal" {
				t.Errorf("got %+v, want claim %d of c:meal", o.Holds[0], i)
			}
		}
	})
}

// Why an ask is short: the first thing that would have to change.
func TestWhyShort(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(3, "some")
		r.open(0, "empty")
		own := func(a matching.Ask, used ...string) matching.Ask {
			for i := range a.Candidates {
				a.Candidates[i].Cap = matching.Cap{Field: "o:" + used[i], Period: "E", Limit: 1}
			}
			return a
		}
		r.match("h", own(meals("first", 1, 2, "some"), "capped")) // uses up o:capped and half of c:meal
		for _, c := range []struct {
			ask   matching.Ask
			units int64
			why   string
		}{
			{meals("none", 1, 2), 0, matching.ShortNone},
			{meals("none, and capped", 1, 1), 0, matching.ShortNone},
			{meals("empty", 1, 2, "empty"), 0, matching.ShortStock},
			{meals("unknown", 1, 2, "nowhere"), 0, matching.ShortStock},
			{meals("capped", 1, 1, "some"), 0, matching.ShortCap},
			{meals("capped, and empty", 1, 1, "empty"), 0, matching.ShortCap},
			{own(meals("offer capped", 1, 2, "some"), "capped"), 0, matching.ShortOfferCap},
			{own(meals("offer capped, but empty", 1, 2, "empty"), "capped"), 0, matching.ShortStock},
			{own(meals("offer not capped, but empty", 1, 2, "empty"), "free"), 0, matching.ShortStock},
			{own(meals("part capped", 9, 0, "some", "empty"), "free", "free"), 1, matching.ShortStock},
			{own(meals("rest", 9, 0, "some", "some"), "new", "newer"), 1, matching.ShortStock},
		} {
			o := r.match("h", c.ask)[0]
			if o.Why != c.why || units(o.Holds) != c.units {
				t.Errorf("%s: got %d units, why %q; want %d, %q", c.ask.Need, units(o.Holds), o.Why, c.units, c.why)
			}
		}
	})
}

// A hold ran out and was made anew from another lot, and then the record took
// the first one after all: the record has the last word.
func TestRecordTookAnotherClaimOfTheSameID(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		each(t, func(t *testing.T, r *rig) {
			r.open(5, "first", "second")
			first := r.match("h", meals("n", 2, 9, "first"))[0].Holds
			r.ok(r.Release(r.ctx(), r.county, first, true))
			r.match("h", meals("n", 3, 9, "second"))
			r.ok(r.Release(r.ctx(), r.county, first, true)) // a late repeat: not this one
			r.stock("second", 2, 3, 0)
			back := int64(5)
			if closed {
				_, err := r.CloseLot(r.ctx(), r.county, "second")
				r.ok(err)
				back = 0
			}
			r.ok(r.Promise(r.ctx(), r.county, first))
			r.stock("first", 3, 0, 2)
			r.stock("second", back, 0, 0)
			if o := r.match("h", meals("m", 1, 9, "first"))[0]; o.CapUsed != 3 || o.Holds[0].Seq != 2 {
				t.Errorf("got %+v, want 3 used and claim 2", o)
			}
		})
	}
}

// A lot that Redis does not know is over: claims on it count against the caps,
// and bring it back neither when they are made nor when they are released.
func TestUnknownLotStaysUnknown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		h := []matching.Hold{stray("n-0")}
		r.ok(r.Promise(r.ctx(), r.county, h))
		r.same("promised", r.dump(), []string{"caps h|c:meal = D20261124|2|5", "seen n-0 = 0"})
		r.ok(r.Release(r.ctx(), r.county, h, true))
		r.same("released", r.dump(), []string{"caps h|c:meal = D20261124|0|5", fmt.Sprintf("seen n-0 = %d", r.now().UnixMilli())})
	})
}

// What Redis holds beyond need's eight unconfirmed pieces comes later.
func TestMatchLimitsPiecesInFlight(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		var lots []string
		for i := range 10 {
			lots = append(lots, fmt.Sprint("l", i))
		}
		r.open(1, lots...)
		out := r.match("h", meals("n", 10, 0, lots...))
		if len(out[0].Holds) != 8 || out[0].ShortUnits != 2 {
			t.Fatalf("got %d holds, short of %d; want 8 and 2", len(out[0].Holds), out[0].ShortUnits)
		}
		r.ok(r.Promise(r.ctx(), r.county, out[0].Holds))
		rest := meals("n", 2, 0, lots...)
		rest.Base = 8
		out = r.match("h", rest)
		if len(out[0].Holds) != 2 || out[0].ShortUnits != 0 || out[0].Holds[1].ID != "n-9" {
			t.Fatalf("got %+v, want the last two", out[0])
		}
	})
}

func TestWaitingListPages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		for i := range 7 {
			r.ok(r.Wait(r.ctx(), r.county, matching.Waiter{Need: fmt.Sprint("n", i), Category: "meal", WeightMilli: int64(i/2) * 10}))
		}
		got, err := r.Waiting(r.ctx(), r.county, "meal", 2, 3)
		r.ok(err)
		r.same("page", got, []matching.Waiter{
			{Need: "n5", Category: "meal", WeightMilli: 20}, {Need: "n2", Category: "meal", WeightMilli: 10}, {Need: "n3", Category: "meal", WeightMilli: 10},
		})
		none, err := r.Waiting(r.ctx(), r.county, "meal", 0, 0)
		r.ok(err)
		r.same("no page", len(none), 0)
		position, err := r.Position(r.ctx(), r.county, "meal", "n9")
		r.ok(err)
		r.same("position of a stranger", position, int64(0))
		categories, err := r.WaitingCategories(r.ctx(), r.county)
		r.ok(err)
		r.same("categories", categories, []string{"meal"})
	})
}

// All keys of a county lie in one slot: there is one hash tag in each.
func TestKeysShareTheCountysTag(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		if err := r.busy(); err != nil {
			t.Fatal(err)
		}
		keys := r.keys()
		if len(keys) < 10 {
			t.Fatalf("only %d keys: %v", len(keys), keys)
		}
		for _, key := range keys {
			if want := "hc:{" + r.county[:6] + "}:"; len(key) < len(want) || key[:len(want)] != want {
				t.Errorf("key %q does not begin with %q", key, want)
			}
		}
	})
}

// busy leaves something behind every key.
func (r *rig) busy() error {
	r.t.Helper()
	r.open(5, "l", "k")
	done := r.match("h", meals("a", 2, 0, "l"), meals("b", 2, 0, "l"), meals("c", 9, 0, "k"))
	return errors.Join(
		r.Promise(r.ctx(), r.county, done[0].Holds),
		r.Finish(r.ctx(), r.county, done[1].Holds),
	)
}

// A promise that is told after the end of its allocation is not adopted.
func TestReturnedBeforePromised(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		r.open(10, "l")
		held := r.match("h", meals("n", 2, 3, "l"))[0].Holds
		r.ok(r.Return(r.ctx(), r.county, held, true))
		r.ok(r.Promise(r.ctx(), r.county, held))
		r.stock("l", 10, 0, 0)
		unknown := r.match("h", meals("m", 3, 3, "l"))[0].Holds
		r.ok(r.Release(r.ctx(), r.county, unknown, true))
		r.ok(r.Return(r.ctx(), r.county, unknown, true)) // Redis does not know it any more
		r.ok(r.Promise(r.ctx(), r.county, unknown))
		r.stock("l", 10, 0, 0)
		// The caps are free again, too.
		r.same("units", r.match("h", meals("k", 3, 3, "l"))[0].ShortUnits, int64(0))
	})
}
