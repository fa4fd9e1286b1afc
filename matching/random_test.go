package matching_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
)

// TestRandomCallsAgreeWithTheModel makes random calls, sensible and stale
// ones, and compares each answer and everything in Redis with the model.
func TestRandomCallsAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, r *rig) {
				p := &player{rig: r, model: newModel(), rand: rand.New(rand.NewPCG(seed, 1))}
				for range 400 {
					p.step()
					p.same(p.last, p.dump(), p.model.dump())
				}
			})
		})
	}
}

type player struct {
	*rig
	model *model
	rand  *rand.Rand
	known []matching.Hold // all holds ever returned
	last  string          // what was done
}

func (p *player) pick(of ...string) string { return of[p.rand.IntN(len(of))] }

func (p *player) qty() int64 { return 1 + p.rand.Int64N(4) }

func (p *player) category() string { return p.pick("meal", "visit") }

func (p *player) lot() string { return p.pick("l1", "l2", "l3", "l4", "l5") }

func (p *player) period() string {
	return p.pick("D20261124", "D20261124", "D20261124", "D20261125", "D20261123", "W202648", "E")
}

func (p *player) cap(field string, limit int64) matching.Cap {
	return matching.Cap{Field: field, Period: p.period(), Limit: p.rand.Int64N(limit)}
}

func (p *player) ask() matching.Ask {
	category := p.category()
	a := matching.Ask{
		Need: p.pick("n1", "n2", "n3", "n4", "n5", "n6"), Category: category, Base: p.rand.IntN(12),
		QtyUnits: p.qty(), WeightMilli: p.rand.Int64N(3) * 500, Cap: p.cap("c:"+category, 12),
	}
	for range p.rand.IntN(5) {
		c := matching.Candidate{Offer: p.pick("o1", "o2"), Lot: p.lot()}
		if p.rand.IntN(2) == 0 {
			c.Cap = p.cap("o:"+c.Offer, 6)
		}
		if p.rand.IntN(3) > 0 { // rules of offers ask about some of its keys, or its own about others
			c.Day = 20_000 + 200*p.rand.Int64N(4)
			for _, key := range []string{"meal", "#冬季救助", c.Offer} {
				if p.rand.IntN(3) == 0 {
					c.Keys = append(c.Keys, key)
				}
			}
			for range p.rand.IntN(3) {
				c.Guards = append(c.Guards, matching.Guard{Key: p.pick("meal", "#冬季救助", "o1"), SinceDay: c.Day - 200*p.rand.Int64N(3), Known: p.rand.Int64N(4)})
			}
			if len(c.Keys)+len(c.Guards) == 0 {
				c.Day = 0
			}
		}
		a.Candidates = append(a.Candidates, c)
	}
	return a
}

// holds picks known holds, mostly as they were, sometimes changed, as the
// record may know them.
func (p *player) holds() []matching.Hold {
	var out []matching.Hold
	for range p.rand.IntN(4) {
		h := matching.Hold{
			ID: fmt.Sprintf("%s-%d", p.pick("n1", "n2", "n3", "n7"), p.rand.IntN(12)), Need: "n1", Household: p.pick("h1", "h2"),
			Offer: "o1", Lot: p.lot(), QtyUnits: p.qty(), Category: p.cap("c:"+p.category(), 9), Seq: p.rand.Int64N(20), DeadlineMs: 1,
		}
		if len(p.known) > 0 && p.rand.IntN(5) > 0 {
			h = p.known[len(p.known)-1-p.rand.IntN(min(len(p.known), 8))]
		}
		switch p.rand.IntN(24) {
		case 0:
			h.Lot = p.lot()
		case 1:
			h.QtyUnits = p.qty()
		case 2:
			h.Seq++
		case 3:
			h.OfferCap = p.cap("o:o1", 6)
		case 4:
			h.Keys, h.Day = []string{"meal"}, 20_200
		}
		out = append(out, h)
	}
	return out
}

func (p *player) step() {
	ctx, county := p.ctx(), p.county
	switch p.rand.IntN(13) {
	default:
		r := matching.Request{County: county, Household: p.pick("h1", "h2", "h3")}
		for range 1 + p.rand.IntN(3) {
			r.Asks = append(r.Asks, p.ask())
		}
		p.last = fmt.Sprintf("match %+v", r)
		got, err := p.Match(ctx, r)
		p.ok(err)
		want := p.model.match(r, p.now().Add(time.Minute).UnixMilli())
		for i := range want { // order of a need's holds: those that live, then new ones
			p.same(p.last, got[i], want[i])
			p.known = append(p.known, got[i].Holds...)
		}
	case 0:
		holds := p.holds()
		p.last = fmt.Sprintf("promise %+v", holds)
		p.ok(p.Promise(ctx, county, holds))
		p.model.confirm(holds, 0)
	case 1:
		holds := p.holds()
		p.last = fmt.Sprintf("finish %+v", holds)
		p.ok(p.Finish(ctx, county, holds))
		p.model.confirm(holds, p.now().UnixMilli())
	case 2, 3:
		holds, back := p.holds(), p.rand.IntN(4) > 0
		p.last = fmt.Sprintf("release %+v, back %v", holds, back)
		p.ok(p.Release(ctx, county, holds, back))
		p.model.release(holds, p.now().UnixMilli(), back)
	case 4:
		lots := []matching.LotState{}
		for range 1 + p.rand.IntN(2) {
			lots = append(lots, matching.LotState{
				ID: p.lot(), Category: p.category(), FreeUnits: p.rand.Int64N(20), TakenUnits: p.qty(), Closed: p.rand.IntN(8) == 0,
			})
		}
		p.last = fmt.Sprintf("open %+v", lots)
		p.ok(p.OpenLots(ctx, county, lots))
		p.model.open(lots)
	case 5:
		if p.rand.IntN(4) > 0 {
			return
		}
		lot := p.lot()
		p.last = "close " + lot
		got, err := p.CloseLot(ctx, county, lot)
		p.ok(err)
		p.same(p.last, got, p.model.close(lot))
	case 6:
		w := matching.Waiter{Need: p.pick("n1", "n2", "n9"), Category: p.category(), WeightMilli: p.rand.Int64N(3) * 500}
		if p.rand.IntN(2) == 0 {
			p.last = fmt.Sprintf("unwait %+v", w)
			p.ok(p.Unwait(ctx, county, w.Category, w.Need))
			delete(p.model.lists[w.Category], w.Need)
			return
		}
		p.last = fmt.Sprintf("wait %+v", w)
		p.ok(p.Wait(ctx, county, w))
		p.model.wait(w)
		list, err := p.Waiting(ctx, county, w.Category, 0, 100)
		p.ok(err)
		p.same(p.last, list, p.model.waiting(w.Category))
		place, err := p.Position(ctx, county, w.Category, w.Need)
		p.ok(err)
		p.same(p.last, place, p.model.position(w.Category, w.Need))
	case 7:
		p.forward(time.Duration(p.rand.IntN(12*60)) * time.Second)
		limit := 1 + p.rand.IntN(4)
		p.last = fmt.Sprintf("due %d", limit)
		got, err := p.Due(ctx, county, limit)
		p.ok(err)
		want := p.model.due(p.now().UnixMilli(), limit)
		if len(want) == 0 {
			want = nil
		}
		p.same(p.last, got, want)
	case 9:
		for _, was := range p.holds() {
			is := was
			is.Need, is.Household, is.Category, is.Seq = "n8", p.pick("h1", "h2", "h3"), p.cap(was.Category.Field, 9), p.rand.Int64N(20)
			is.OfferCap = matching.Cap{}
			if p.rand.IntN(2) == 0 {
				is.OfferCap = p.cap("o:"+is.Offer, 6)
			}
			p.last = fmt.Sprintf("reassign %+v as %+v", was, is)
			p.ok(p.Reassign(ctx, county, was, is))
			p.model.reassign(was, is, p.now().UnixMilli())
		}
	case 10:
		for _, h := range p.holds() {
			h.ID = fmt.Sprintf("%s/back%d", h.ID, p.rand.IntN(3))
			back := p.rand.IntN(4) > 0
			p.last = fmt.Sprintf("take back %+v, back %v", h, back)
			p.ok(p.TakeBack(ctx, county, h.ID, h, back))
			p.model.takeBack(h, p.now().UnixMilli(), back)
		}
	case 8:
		if p.rand.IntN(3) > 0 {
			return
		}
		p.last = "freed"
		got, err := p.Freed(ctx, county, true)
		p.ok(err)
		p.same(p.last, len(got), len(p.model.freed))
		clear(p.model.freed)
	}
}
