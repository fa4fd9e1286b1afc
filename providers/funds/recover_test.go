package funds

import (
	"fmt"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// takeBack takes back units of a handover, as app/care does; told says that its
// event was written.
func (o *office) takeBack(a *care.Allocation, units int64, lost, told bool) {
	o.t.Helper()
	now := o.clock.Load()
	o.ledger.mu.Lock()
	a.Backs = append(a.Backs, care.Back{QtyUnits: units, AtMs: now, Lost: lost})
	a.QtyUnits -= units
	a.ReturnedUnits += units
	if a.QtyUnits == 0 {
		a.State = care.Returned
	}
	id := fmt.Sprintf("%s:back:%d", a.ID, len(a.Backs))
	if told {
		o.ledger.events = append(o.ledger.events, &care.Event{
			Meta: store.Meta{ID: id}, AtMs: now, TellMs: now, Kind: kindBack, Offer: a.Offer, Allocation: a.ID, QtyUnits: units,
		})
	}
	o.ledger.mu.Unlock()
	o.share(a.Offer, func(sh *providers.Share) error {
		if !sh.TakeBack(id, units, lost) {
			o.t.Errorf("%d units cannot come back to %+v", units, sh)
		}
		sh.TakenBack(id)
		return nil
	})
}

// tick has the keeper read what was told until now.
func (o *office) tick() {
	o.t.Helper()
	o.clock.Add(10_000)
	must(o.t, o.keeper.follow(o.t.Context()))
}

func (o *office) wantFigures(when string, available, reserved, spent int64) {
	o.t.Helper()
	if f := o.figures(); f.AvailableFen != available || f.ReservedFen != reserved || f.SpentFen != spent {
		o.t.Errorf("%s: %d fen available, %d reserved, %d spent; want %d, %d, %d", when, f.AvailableFen, f.ReservedFen, f.SpentFen, available, reserved, spent)
	}
	o.sound(false)
}

// What was handed over and comes back brings its money back: to the offer as long
// as the units go to somebody else, and from there to the fund. A month that was
// closed meanwhile keeps its figures.
func TestWhatComesBackBringsItsMoney(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	ctx := t.Context()
	first, second := o.donate(250), o.donate(10_000)
	offer, err := o.post(ctx, 100, 6, "")
	must(t, err)
	a := o.give(offer.ID, 3, true)
	b := o.give(offer.ID, 3, true)
	o.tick()
	o.wantFigures("all is given", 9650, 0, 600)
	if len(o.figures().Draws) != 0 {
		t.Error("a settled offer is still there")
	}

	o.takeBack(a, 1, false, true)
	for range 2 {
		o.tick()
	}
	o.wantFigures("one unit is back, for somebody else", 9650, 100, 500)
	c := o.give(offer.ID, 1, true)
	o.tick()
	o.wantFigures("somebody else has it", 9650, 0, 600)
	for d, want := range map[*Donation]int64{first: 250, second: 350} {
		if trace, err := o.books.Trace(ctx, o.figures(), d); err != nil || trace.SpentFen != want {
			t.Errorf("of donation %s %+v are spent, want %d (%v)", d.ID, trace, want, err)
		}
	}

	// November is closed; what is left of a, and all of c, comes back after it.
	o.share(offer.ID, func(sh *providers.Share) error { sh.Close(providers.Over); return nil })
	o.clock.Add(10 * day)
	_, err = o.books.Propose(ctx, "ann", o.fund, "2025-11", true)
	must(t, err)
	o.takeBack(a, 2, false, true)
	o.takeBack(c, 1, true, false) // its event is lost
	o.tick()
	must(t, o.keeper.Sweep(ctx, false))
	o.wantFigures("what came back to a closed lot is the fund's", 9950, 0, 300)
	f := o.figures()
	if len(f.Draws) != 0 || f.In("2025-11").RecoveredFen != 100 || f.In("2025-12").RecoveredFen != 300 || f.In("2025-12").ReturnedFen != 300 {
		t.Errorf("in November %+v, in December %+v, draws %+v", f.In("2025-11"), f.In("2025-12"), f.Draws)
	}
	st, err := o.books.Statement(ctx, f, "2025-12")
	must(t, err)
	if st.Opening != (Balance{AvailableFen: 9650}) || st.Balance != (Balance{AvailableFen: 9950}) || len(st.Offers) != 1 ||
		st.Offers[0].RecoveredFen != 300 || st.Offers[0].RecoveredUnits != 3 || st.Offers[0].ReturnedFen != 300 {
		t.Errorf("the statement of December says %+v", st)
	}
	for d, want := range map[*Donation]int64{first: 0, second: 300} { // b has been paid with the second
		if trace, err := o.books.Trace(ctx, f, d); err != nil || trace.SpentFen != want || trace.FreeFen != d.Fen-want {
			t.Errorf("of donation %s %+v is spent, want %d (%v)", d.ID, trace, want, err)
		}
	}

	// An offer that the fund has forgotten and whose event is lost is named, and mended.
	o.takeBack(b, 3, false, false)
	o.clock.Add(2 * lateness)
	must(t, o.keeper.follow(ctx))
	if r, err := o.keeper.Verify(ctx, false); err != nil || len(r.Faults) == 0 {
		t.Errorf("verify does not name what came back and was not told: %v", err)
	}
	o.sound(true)
	o.wantFigures("all came back", 10_250, 0, 0)
}

// What comes back and is given to somebody else before the keeper has read either
// is paid once, by two keepers at once, also where the event is lost.
func TestGivenAgainBeforeTheKeeperReads(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{true, false} {
		o := newOffice(t, newSQLite(t))
		o.donate(1000)
		offer, err := o.post(t.Context(), 100, 3, "")
		must(t, err)
		a := o.give(offer.ID, 3, true)
		if !told {
			o.tick()
		}
		o.takeBack(a, 3, false, told)
		b := o.give(offer.ID, 3, true)
		o.clock.Add(1)
		o.takeBack(b, 1, false, told)
		o.give(offer.ID, 1, true)
		o.clock.Add(10_000)
		both := []*office{o, o.beside(o.record)}
		var wg sync.WaitGroup
		for _, x := range both {
			wg.Go(func() {
				if err := x.keeper.follow(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		o.wantFigures(fmt.Sprintf("told %v", told), 700, 0, 300)
	}
}

// A process that dies at any write while it recovers leaves books that the others
// finish.
func TestDeathWhileItComesBack(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	o.donate(100_000)
	steps := 0
	for _, before := range []bool{true, false} {
		for at := int64(1); ; at++ {
			offer, err := o.post(t.Context(), 100, 3, "")
			must(t, err)
			a := o.give(offer.ID, 3, true)
			o.tick()
			o.takeBack(a, 2, at%2 == 0, true)
			was := o.figures()
			m := &mortal{Record: o.record, before: before}
			m.left.Store(at)
			o.clock.Add(10_000)
			failed := o.beside(m).keeper.follow(t.Context())
			o.tick()
			o.share(offer.ID, func(sh *providers.Share) error { sh.Close(providers.Over); return nil })
			o.sound(true)
			if f := o.figures(); f.SpentFen != was.SpentFen-200 || f.AvailableFen != was.AvailableFen+200 || f.ReservedFen != 0 {
				t.Fatalf("died at %d: %+v, was %+v", at, f, was)
			}
			if !m.dead.Load() {
				must(t, failed)
				break
			}
			steps++
		}
	}
	if steps < 4 {
		t.Errorf("the process died at %d steps only", steps)
	}
}

// What is handed over piece by piece is paid when the last of it is given or the
// rest has ended; a piece that is taken back before was never paid.
func TestPartsArePaidAtTheEnd(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	o.donate(1000)
	offer, err := o.post(t.Context(), 100, 6, "")
	must(t, err)
	part := func(id string, kind string, units int64) {
		now := o.clock.Load()
		o.ledger.events = append(o.ledger.events, &care.Event{
			Meta: store.Meta{ID: id}, AtMs: now, TellMs: now, Kind: kind, Offer: offer.ID, Allocation: id, QtyUnits: units,
		})
	}
	share := o.share(offer.ID, func(sh *providers.Share) error { return sh.Reserve("rest", 3) })
	a := &care.Allocation{
		Meta: store.Meta{ID: "rest"}, Offer: offer.ID, Share: share.ID, QtyUnits: 3, GivenUnits: 1, State: care.Promised, Backs: []care.Back{{QtyUnits: 1, AtMs: o.clock.Load()}},
	}
	o.ledger.given["elsewhere"] = []*care.Allocation{a}
	part("rest", "allocation.part", 2)
	part("rest", kindBack, 1) // one of two, by mistake
	o.tick()
	o.wantFigures("one of three is given", 400, 600, 0)

	// The second is given, the third expires with the lot.
	a.State, a.GivenUnits, a.QtyUnits, a.RestUnits, a.EndedMs = care.HandedOver, 2, 2, 1, o.clock.Load()
	o.ledger.given = map[string][]*care.Allocation{share.ID: {a}}
	o.share(offer.ID, func(sh *providers.Share) error {
		sh.SettleParts("rest", 2, providers.HandedOver, 1, providers.Expired)
		sh.Settled("rest")
		return nil
	})
	part("rest", kindGiven, 2)
	o.tick()
	must(t, o.keeper.Sweep(t.Context(), false))
	o.wantFigures("two are given, one expired", 500, 300, 200)
	o.give(offer.ID, 3, true)
	o.tick()
	o.wantFigures("all others are given", 500, 0, 500)
}

// A form that is sent again does what it says once: with another fund than the
// first time the other fund pays nothing, and after its first try was given up
// it posts the offer.
func TestFormSentAgain(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	ctx := t.Context()
	o.donate(1000)
	offer, err := o.post(ctx, 100, 3, "key")
	must(t, err)
	other := *o
	f, err := o.books.Create(ctx, "p", o.org, NewFund{Kind: Named, Name: "助学基金"})
	must(t, err)
	other.fund = f.ID
	other.donate(1000)
	if again, err := other.post(ctx, 100, 3, "key"); err != nil || again.ID != offer.ID || again.Fund != o.fund {
		t.Fatalf("posted again as %+v (%v)", again, err)
	}
	o.give(offer.ID, 2, true)
	o.tick()
	must(t, o.keeper.Sweep(ctx, true))
	o.wantFigures("the first fund pays", 700, 100, 200)
	other.wantFigures("the other fund does not", 1000, 0, 0)

	m := &mortal{Record: o.record}
	m.left.Store(2) // the fund, its journal
	if _, err := o.beside(m).post(ctx, 100, 4, "cut off"); err == nil {
		t.Fatal("the process did not die")
	}
	o.wantFigures("four more are set aside", 300, 500, 200)
	o.clock.Add(orphanAfter.Milliseconds() + 1)
	must(t, o.keeper.Sweep(ctx, false))
	o.wantFigures("the first try is given up", 700, 100, 200)
	var ids []string
	for range 2 {
		again, err := o.post(ctx, 100, 4, "cut off")
		must(t, err)
		if ids = append(ids, again.ID); len(again.Lots) != 1 || again.Status != providers.OfferOpen || again.ID != ids[0] {
			t.Errorf("sent again it is posted as %+v", again)
		}
	}
	o.wantFigures("it is posted", 300, 500, 200)
}

// One handover that does not fit leaves none of the others unpaid.
func TestOddHandoverHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	o.donate(100_000)
	offer, err := o.post(t.Context(), 1, 3*spendAtOnce, "")
	must(t, err)
	given := []Given{{Allocation: "odd", Offer: "unknown", QtyUnits: 1, AtMs: nov}}
	for i := range 2 * spendAtOnce {
		given = append(given, Given{Allocation: fmt.Sprint("a", i), Offer: offer.ID, QtyUnits: 1, AtMs: nov, Person: "p"})
	}
	if err := o.books.Spend(t.Context(), o.fund, given); err == nil {
		t.Error("a handover of an unknown offer is booked")
	}
	if f := o.figures(); f.SpentFen != 2*spendAtOnce {
		t.Errorf("%d fen are spent, want %d", f.SpentFen, 2*spendAtOnce)
	}
}
