package care

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

const farCounty = "330523000000"

// pair is a quiet city whose record can die, with an offer of ten meals split
// evenly over two counties.
type pair struct {
	*city
	record *mortal
	offer  *providers.Offer
	lot    string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	r, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	p := &pair{record: &mortal{Record: r, writes: -1}}
	p.city = newCity(t, p.record, nil)
	p.stop()
	p.again()
	p.post()
	return p
}

// post takes a new offer for the next moves.
func (p *pair) post() {
	p.offer = p.city.offer("meal", 10, 0, county, farCounty)
	p.lot = p.offer.Lots[0].ID
}

// move has the near county give units to the far one.
func (p *pair) move(units int64) (*providers.Move, error) {
	return p.care.beginMove(p.t.Context(), matching.Transfer{Lot: p.lot, From: county, To: farCounty, Units: units, WeightMilli: 1000, Waits: true})
}

// free are the free units of the two counties in the matcher, and the units of
// both shares in the record.
func (p *pair) free() (near, far int64, qty [2]int64) {
	p.t.Helper()
	for i, c := range []string{county, farCounty} {
		id := providers.ShareID(p.lot, c)
		stock, err := p.care.engine.Stock(p.t.Context(), c, []string{id})
		if err != nil {
			p.t.Fatal(err)
		}
		if i == 0 {
			near = stock[0].FreeUnits
		} else {
			far = stock[0].FreeUnits
		}
		sh, err := p.care.shares.Get(p.t.Context(), id)
		if err != nil {
			p.t.Fatal(err)
		}
		qty[i] = sh.QtyUnits
	}
	return near, far, qty
}

func TestUnitsMoveBetweenCounties(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	m, err := p.move(3)
	if err != nil {
		t.Fatal(err)
	}
	if m.Stage != providers.MoveTold {
		t.Fatalf("the move is %s", m.Stage)
	}
	near, far, qty := p.free()
	if near != 2 || far != 8 || qty != [2]int64{2, 8} {
		t.Fatalf("free %d and %d, in the record %v; want 2 and 8", near, far, qty)
	}
	report := p.clean(false)
	if report.Moves != 1 || report.OnTheWay != 0 {
		t.Fatalf("verify counts %d moves, %d on the way", report.Moves, report.OnTheWay)
	}
	// What the giver needs itself stays, whatever was proposed.
	m, err = p.move(3)
	if err != nil || m.Stage != providers.MoveRefused {
		t.Fatalf("three of two units: %v, %v; want refused", m, err)
	}
	if near, far, _ := p.free(); near != 2 || far != 8 {
		t.Fatalf("after a refused move free %d and %d, want 2 and 8", near, far)
	}
	p.clean(false)
	// What the matcher took for free and the record had promised stays as well.
	giver := providers.ShareID(p.lot, farCounty)
	if _, err := p.care.shares.Change(t.Context(), giver, func(sh *providers.Share) error { return sh.Reserve("somebody-0", 7) }); err != nil {
		t.Fatal(err)
	}
	m, err = p.care.beginMove(t.Context(), matching.Transfer{Lot: p.lot, From: farCounty, To: county, Units: 2})
	if err != nil || m.Stage != providers.MoveRefused {
		t.Fatalf("two of one unit: %v, %v; want refused", m, err)
	}
	if near, far, _ := p.free(); near != 2 || far != 8 {
		t.Fatalf("after the record refused a move free %d and %d, want 2 and 8", near, far)
	}
	if _, err := p.care.shares.Change(t.Context(), giver, func(sh *providers.Share) error { sh.Undo("somebody-0", 7); return nil }); err != nil {
		t.Fatal(err)
	}
	p.clean(false)
	// The marks are dropped when nobody can need them any more.
	p.clock.advance(remembered + time.Minute)
	if _, err := p.care.finishMoves(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{county, farCounty} {
		sh, err := p.care.shares.Get(t.Context(), providers.ShareID(p.lot, c))
		if err != nil || len(sh.Marks) > 0 {
			t.Fatalf("%v still has the marks %v (%v)", sh.ID, sh.Marks, err)
		}
	}
	p.clean(false)
}

// Whatever write a process dies at, no unit is doubled, none is lost to
// verify's sight, and the next process finishes the move; also when a county is
// rebuilt in between.
func TestMovesSurviveCrashes(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for _, after := range []bool{false, true} {
		for _, rebuilt := range []string{"", county, farCounty} {
			for writes := 0; ; writes++ {
				name := fmt.Sprintf("after=%v,rebuilt=%s,write=%d", after, rebuilt, writes)
				p.post()
				p.record.die(writes, after)
				_, err := p.move(3)
				died := p.record.gone()
				p.record.die(-1, false)
				if !died {
					if err != nil || writes < 7 {
						t.Fatalf("%s: %v", name, err)
					}
					break
				}
				whole := func(when string) {
					t.Helper()
					if near, far, qty := p.free(); near+far > 10 || qty[0]+qty[1] > 10 {
						t.Fatalf("%s, %s: %d and %d free, the record has %v of 10", name, when, near, far, qty)
					}
				}
				whole("at the crash")
				if rebuilt == "" {
					p.clean(false) // at every moment
				} else {
					if err := p.care.rebuildCounty(t.Context(), rebuilt); err != nil {
						t.Fatal(err)
					}
					whole("rebuilt")
				}
				s := p.again()
				for range 2 { // the second time changes nothing
					if _, err := s.finishMoves(t.Context()); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
				near, far, qty := p.free()
				if begun := writes > 0 || after; begun && (near != 2 || far != 8 || qty != [2]int64{2, 8}) ||
					!begun && (near != 5 || far != 5 || qty != [2]int64{5, 5}) {
					t.Fatalf("%s: %d and %d free, the record has %v", name, near, far, qty)
				}
			}
			p.clean(false)
		}
	}
}

// A unit that one county has although it never left the other is found.
func TestVerifyFindsADoubledUnit(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	if _, err := p.move(3); err != nil {
		t.Fatal(err)
	}
	if _, err := p.care.shares.Change(t.Context(), providers.ShareID(p.lot, farCounty), func(sh *providers.Share) error {
		sh.Receive("invented", 1)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	report, err := p.care.Verify(t.Context(), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range report.Faults {
		if f.Promise == 1 {
			all = append(all, f.What)
		}
	}
	if text := strings.Join(all, "\n"); !strings.Contains(text, "of 10 units: its counties have 11") || !strings.Contains(text, "its moves 3 and 0") {
		t.Fatalf("verify says:\n%s", text)
	}
}

// A move that was left for longer than the matcher remembers is not told twice.
func TestMovesLeftForLong(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for writes := range 7 {
		p.post()
		p.record.die(writes, true)
		_, err := p.move(3)
		p.record.die(-1, false)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		p.clock.advance(time.Hour)
		for _, c := range []string{county, farCounty} { // the matcher forgets
			if _, err := p.care.engine.Due(t.Context(), c, 1); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // a county that is to be rebuilt refuses what comes next
			if _, err := p.again().finishMoves(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := p.again() // that one is gone; another rebuilds
			for _, c := range []string{county, farCounty} {
				if err := s.worker.Tick(context.Background(), c); err != nil && !errors.Is(err, matching.ErrNotReady) {
					t.Fatal(err)
				}
			}
		}
		if near, far, qty := p.free(); near+far != 10 || qty[0]+qty[1] != 10 || near != qty[0] {
			t.Fatalf("died at write %d: %d and %d free, the record has %v", writes, near, far, qty)
		}
		p.clean(false)
	}
}

// One county has people waiting, the other nobody: by the next plans the units
// are where the people are, and those are served; and so in two processes, of
// which one does the moving, and whatever is wrong with some other move.
func TestUnitsGoWhereSomebodyWaits(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first := p.care
	second := p.again()
	bad := &providers.Move{
		Meta: store.Meta{ID: "bad#1"}, Lot: "l", Category: "meal", From: "nowhere", To: "nowhere else", QtyUnits: 1,
		Stage: providers.MoveBegun, AtMs: p.clock.now().UnixMilli(),
	}
	if err := p.care.moves.Insert(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	round := func() {
		t.Helper()
		for _, s := range []*Service{first, second} {
			for _, c := range []string{county, farCounty} {
				if err := s.worker.Tick(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.moveUnits(t.Context()); s == first && (err == nil || !strings.Contains(err.Error(), bad.ID)) || s == second && err != nil {
				t.Fatal(err)
			}
		}
	}
	round()
	waiting := 0
	var people []*residents.Resident
	for range 8 {
		r, _ := p.resident(village, "meal", 1, 4)
		people = append(people, r)
		if len(p.scan(r).Offered) == 0 {
			waiting++
		}
	}
	if waiting != 3 {
		t.Fatalf("%d of 8 wait for five meals", waiting)
	}
	p.clock.advance(matching.PlanEvery)
	round()
	round()
	for _, r := range people {
		if got := p.scan(r); len(got.Offered) != 1 {
			t.Fatalf("somebody still has %d promises", len(got.Offered))
		}
	}
	report := p.clean(false)
	if report.Moves == 0 || report.Promised != 8 {
		t.Fatalf("%d moves, %d promised", report.Moves, report.Promised)
	}
	_, _, before := p.free()
	if before[1] > 2 || before[0]+before[1] != 10 {
		t.Fatalf("the record has %v after three were served with the other county's units", before)
	}
	// Nobody waits any more: nothing comes back.
	for range 3 {
		p.clock.advance(matching.PlanEvery)
		round()
	}
	if _, _, now := p.free(); now != before {
		t.Fatalf("the record has %v, and before %v: units swing though nobody waits", now, before)
	}
	p.clean(false)
	// What moved is told to the ledger and the audit log.
	for _, id := range []string{"offer.moved_out", "offer.moved_in"} {
		e, err := p.care.events.Get(t.Context(), providers.ShareID(p.lot, farCounty)+"#1:"+id)
		if err != nil || e.QtyUnits < 1 {
			t.Errorf("the event %s: %+v, %v", id, e, err)
		}
	}
	// The one that did the moving dies: after its time the other does.
	if mine, err := second.engine.Elect(t.Context(), moving, second.token, electedFor); err != nil || mine {
		t.Fatalf("two processes are elected at once (%v)", err)
	}
}

// Whatever happens in whatever order, with processes that die in the middle of
// it: scans and ends in both counties, moves to and fro, counties rebuilt.
// Each lot is whole at the end, and the matcher has what the record has.
func TestMovesAmongEverythingElse(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(330502, 2026))
	p := newPair(t)
	near, far := p.worker, p.worker
	far.Division = farCounty
	lots := []string{p.lot}
	p.post()
	lots = append(lots, p.lot)
	var promised []string
	did := map[string]int{}
	for range 120 {
		if rng.IntN(4) == 0 {
			p.record.die(rng.IntN(12), rng.IntN(2) == 0)
		}
		var err error
		ctx := t.Context()
		what := ""
		switch n := rng.IntN(10); {
		case n < 3:
			what, p.lot = "move", lots[rng.IntN(2)]
			x := matching.Transfer{Lot: p.lot, From: county, To: farCounty, Units: 1 + rng.Int64N(4)}
			if rng.IntN(2) == 0 {
				x.From, x.To = x.To, x.From
			}
			_, err = p.care.beginMove(ctx, x)
		case n < 7 && !p.record.gone():
			what = "scan"
			at, who := village, near
			if rng.IntN(2) == 0 {
				at, who = other, far
			}
			p.record.mu.Lock()
			dies, after := p.record.writes, p.record.after
			p.record.mu.Unlock()
			p.record.die(-1, false)
			r, _ := p.resident(at, "meal", 1, 2)
			code := p.code(r)
			p.record.die(dies, after)
			var got *ScanResult
			if got, err = p.care.Scan(ctx, who, code); err == nil && len(got.Offered) > 0 {
				promised = append(promised, got.Offered[0].ID)
			}
		case n == 7 && len(promised) > 0:
			what = "decline"
			_, err = p.care.end(ctx, promised[0], ending{by: "test", to: Declined, reason: matching.ReasonDeclined()})
			promised = promised[1:]
		case n == 8:
			what = "rebuild"
			err = p.care.rebuildCounty(ctx, []string{county, farCounty}[rng.IntN(2)])
		default:
			what = "finish"
			_, err = p.care.finishMoves(ctx)
		}
		died := p.record.gone()
		p.record.die(-1, false)
		if err != nil && !died {
			t.Fatalf("%s: %v", what, err)
		}
		did[what]++
		if died {
			did["died"]++
			p.again()
		}
	}
	if did["died"] < 10 || did["move"] < 10 || did["scan"] < 10 {
		t.Fatalf("too little happened: %v", did)
	}
	p.again()
	if _, err := p.care.finishMoves(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.clock.advance(2 * time.Minute) // what a dead process held is looked into
	for _, c := range []string{county, farCounty} {
		if err := p.care.worker.Tick(t.Context(), c); err != nil && !errors.Is(err, matching.ErrNotReady) {
			t.Fatal(err)
		}
	}
	report := p.clean(true)
	if report.QtyUnits != 20 || report.OnTheWay != 0 {
		t.Fatalf("the shares have %d of 20 units, %d on the way", report.QtyUnits, report.OnTheWay)
	}
	p.clean(false)
}
