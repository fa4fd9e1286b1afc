package care

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// remembered is how long the shares keep the marks of a finished move: a
// matcher that is rebuilt meanwhile is told of it by them, and a process that
// was slow finds it done.
const remembered = 30 * time.Minute

// maxShifts is how many moves a share may carry marks of before it takes part
// in another.
const maxShifts = 64

// beginMove writes a move into the ledger and carries it as far as it goes.
// Where the giving share is giving already, that move is carried on instead.
func (s *Service) beginMove(ctx context.Context, t matching.Transfer) (*providers.Move, error) {
	sh, err := s.shares.Get(ctx, providers.ShareID(t.Lot, t.From))
	if err != nil {
		return nil, err
	}
	to, err := s.shares.Get(ctx, providers.ShareID(t.Lot, t.To))
	if err != nil {
		return nil, err
	}
	if len(sh.Shifts()) >= maxShifts || len(to.Shifts()) >= maxShifts || sh.Closed || to.Closed || sh.ID == to.ID {
		return nil, nil
	}
	now := s.now().UnixMilli()
	m := &providers.Move{
		Meta: store.Meta{ID: sh.NextMove()}, Offer: sh.Offer, Lot: sh.Lot, Category: sh.Category, Organisation: sh.Organisation,
		From: t.From, To: t.To, QtyUnits: t.Units, WeightMilli: t.WeightMilli, Waits: t.Waits,
		Stage: providers.MoveBegun, BegunMs: now, AtMs: now,
	}
	if err := s.moves.Insert(ctx, m); errors.Is(err, store.ErrDuplicate) {
		if m, err = s.moves.Get(ctx, m.ID); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return s.carryOn(ctx, m)
}

// carryOn takes a move from whatever stage it is at to its end. Every step may
// be repeated, by anybody: the shares decide, by their marks, and the matchers
// know a move that they have seen.
func (s *Service) carryOn(ctx context.Context, m *providers.Move) (*providers.Move, error) {
	for m.Open() {
		step := map[providers.Stage]func(context.Context, *providers.Move) (providers.Stage, error){
			providers.MoveBegun: s.takeUnits, providers.MoveTaken: s.bringUnits, providers.MoveAdded: s.tellOfUnits,
		}[m.Stage]
		next, err := step(ctx, m)
		if err != nil {
			return m, fmt.Errorf("move %s, %s: %w", m.ID, m.Stage, err)
		}
		if m, err = s.stage(ctx, m, next); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// stage writes how far a move has come. Whoever comes second finds it there.
func (s *Service) stage(ctx context.Context, m *providers.Move, next providers.Stage) (*providers.Move, error) {
	was := m.Stage
	stored, err := s.moves.Change(ctx, m.ID, func(x *providers.Move) error {
		if x.Stage != was {
			return errSame
		}
		x.Stage, x.AtMs = next, s.now().UnixMilli()
		return nil
	})
	if errors.Is(err, errSame) {
		return s.moves.Get(ctx, m.ID)
	}
	return stored, err
}

func giving(m *providers.Move) string    { return providers.ShareID(m.Lot, m.From) }
func receiving(m *providers.Move) string { return providers.ShareID(m.Lot, m.To) }

func shift(m *providers.Move, share string) matching.Shift {
	return matching.Shift{Move: m.ID, Lot: share, Category: m.Category, QtyUnits: m.QtyUnits}
}

// tooOld says whether a matcher may have forgotten what it was told when the
// move came to its stage.
func (s *Service) tooOld(m *providers.Move) bool {
	return s.now().UnixMilli()-m.AtMs > forgotten.Milliseconds()
}

// takeUnits has the giving county's matcher set the units aside, and then the
// giving share decide: gone, or refused for good.
func (s *Service) takeUnits(ctx context.Context, m *providers.Move) (providers.Stage, error) {
	old := s.tooOld(m)
	var err error
	if old { // it may have lent them, and forgotten
		err = s.rebuildLater(ctx, m.From)
	} else {
		err = s.engine.Lend(ctx, m.From, shift(m, giving(m)))
	}
	if err != nil && !errors.Is(err, matching.ErrShort) && !errors.Is(err, matching.ErrUnknownLot) {
		return "", err
	}
	next, err := s.decideMove(ctx, m, err == nil && !old)
	if err != nil || next != providers.MoveRefused || old {
		return next, err
	}
	err = s.engine.Keep(ctx, m.From, shift(m, giving(m)))
	if errors.Is(err, matching.ErrUnknownLot) {
		err = nil
	}
	return next, err
}

// decideMove lets the giving share decide, in one compare-and-set. It is read
// before the move, so that whoever decided in between has changed its version.
func (s *Service) decideMove(ctx context.Context, m *providers.Move, lent bool) (providers.Stage, error) {
	for try := 0; ; try++ {
		sh, err := s.shares.Get(ctx, giving(m))
		if err != nil {
			return "", err
		}
		stored, err := s.moves.Get(ctx, m.ID)
		if err != nil {
			return "", err
		}
		if stored.Stage != providers.MoveBegun {
			return stored.Stage, nil
		}
		if sh.Gave(m.ID) {
			return providers.MoveTaken, nil
		}
		next := providers.MoveRefused
		if lent && sh.Give(m.ID, m.QtyUnits) == nil {
			next = providers.MoveTaken
		} else {
			sh.Refuse(m.ID)
		}
		sh.UpdatedMs = s.now().UnixMilli()
		if err = s.shares.Replace(ctx, sh); err == nil {
			return next, nil
		}
		if !errors.Is(err, store.ErrConflict) || try == 64 {
			return "", err
		}
	}
}

// bringUnits adds the units to the receiving share, once.
func (s *Service) bringUnits(ctx context.Context, m *providers.Move) (providers.Stage, error) {
	// A rebuild since they were lent may have put them back.
	var err error
	if s.tooOld(m) {
		err = s.rebuildLater(ctx, m.From)
	} else if err = s.engine.Left(ctx, m.From, shift(m, giving(m))); errors.Is(err, matching.ErrUnknownLot) {
		err = nil
	}
	if err != nil {
		return "", err
	}
	for try := 0; ; try++ {
		sh, err := s.shares.Get(ctx, receiving(m))
		if err != nil {
			return "", err
		}
		stored, err := s.moves.Get(ctx, m.ID)
		if err != nil {
			return "", err
		}
		if stored.Stage != providers.MoveTaken {
			return stored.Stage, nil
		}
		sh.Receive(m.ID, m.QtyUnits)
		sh.UpdatedMs = s.now().UnixMilli()
		if err = s.shares.Replace(ctx, sh); err == nil {
			return providers.MoveAdded, nil
		}
		if !errors.Is(err, store.ErrConflict) || try == 64 {
			return "", err
		}
	}
}

// tellOfUnits tells the receiving county's matcher, the audit log and the
// ledger of events.
func (s *Service) tellOfUnits(ctx context.Context, m *providers.Move) (providers.Stage, error) {
	old := s.tooOld(m)
	if !old {
		err := s.engine.Came(ctx, m.To, shift(m, receiving(m)))
		old = errors.Is(err, matching.ErrUnknownLot) // somebody may be opening it with what it had before
		if err != nil && !old {
			return "", err
		}
	}
	if old {
		if err := s.rebuildLater(ctx, m.To); err != nil {
			return "", err
		}
	}
	sides := []struct{ county, kind string }{{m.From, KindMovedOut}, {m.To, KindMovedIn}}
	entries := make([]audit.Entry, len(sides))
	for i, side := range sides {
		entries[i] = audit.Entry{ // its id tells a repeat after a crash
			ID: m.ID + ":" + side.kind, AtMs: m.AtMs, Actor: byWorker, Role: byWorker, Act: side.kind, Object: m.ID, Division: side.county, Outcome: "ok",
		}
	}
	if err := s.audit.Write(ctx, entries...); err != nil {
		return "", err
	}
	for _, side := range sides {
		s.emit(ctx, &Event{
			Meta: store.Meta{ID: m.ID + ":" + side.kind}, AtMs: m.AtMs, County: side.county, Kind: side.kind,
			Organisation: m.Organisation, Offer: m.Offer, QtyUnits: m.QtyUnits, By: byWorker,
		})
	}
	return providers.MoveTold, nil
}

// rebuildLater has a county refuse until a worker has rebuilt it, whatever
// becomes of this process.
func (s *Service) rebuildLater(ctx context.Context, county string) error {
	if err := s.engine.Drop(ctx, county); err != nil {
		return err
	}
	s.worker.Kick(county)
	return nil
}

// planAnew has the counties of moves planned, once all moves of a round are made.
func (s *Service) planAnew(moves []*providers.Move) {
	kicked := map[string]bool{}
	for _, m := range moves {
		for _, county := range []string{m.From, m.To} {
			if !kicked[county] {
				kicked[county] = true
				s.worker.Kick(county)
			}
		}
	}
}

// moving is the task of moving units between counties: one process's at a time.
const moving = "moves"

// electedFor is how long a process that falls silent keeps the task.
const electedFor = 5 * time.Second

// elected says whether this process has the task, and keeps it if it has.
func (s *Service) elected(ctx context.Context) (bool, error) {
	return s.engine.Elect(ctx, moving, s.token, max(5*s.tick, electedFor))
}

// moveUnits is what the elected process does in each tick: it finishes what
// crashes have left, and where counties have planned anew it moves units
// between them.
func (s *Service) moveUnits(ctx context.Context) error {
	if mine, err := s.elected(ctx); err != nil || !mine {
		return err
	}
	_, left := s.finishMoves(ctx) // its counties take no part; others do
	plans := ""
	for _, county := range s.counties() {
		plans += s.engine.Lines(county).Version() + "|"
	}
	if plans == s.movedBy {
		return left
	}
	whole, err := s.transfer(ctx)
	if err == nil && whole {
		s.movedBy = plans
	}
	return errors.Join(left, err)
}

// movesAtOnce is how many moves one round begins; the next round has the rest,
// by newer plans.
const movesAtOnce = 200

// transfer begins the moves that the counties' plans call for. A county that
// refuses, has no plan or is not planned since units came or went takes no
// part: it would be given twice. whole: as far as these plans go, nothing is left
// to be tried again.
func (s *Service) transfer(ctx context.Context) (whole bool, err error) {
	outlooks := map[string]*matching.Outlook{}
	for _, county := range s.counties() {
		o, err := s.engine.Outlook(ctx, county)
		if err != nil && !errors.Is(err, matching.ErrNotReady) {
			return false, err
		}
		if o != nil {
			outlooks[county] = o
		}
	}
	if err := s.withoutOpenMoves(ctx, outlooks); err != nil {
		return false, err
	}
	var errs []error
	var made []*providers.Move
	whole = true
	for i, t := range matching.Transfers(outlooks) {
		if i == movesAtOnce {
			break
		}
		// A round may take longer than the task is this process's.
		if mine, err := s.elected(ctx); err != nil || !mine {
			whole, errs = false, append(errs, err)
			break
		}
		m, err := s.beginMove(ctx, t)
		if m != nil {
			made = append(made, m)
		}
		if whole = whole && err == nil; err != nil && !errors.Is(err, matching.ErrNotReady) {
			errs = append(errs, err)
		}
	}
	s.planAnew(made)
	return whole, errors.Join(errs...)
}

// withoutOpenMoves leaves out the counties to which, or from which, units are
// still to be moved: their plans do not know of these.
func (s *Service) withoutOpenMoves(ctx context.Context, outlooks map[string]*matching.Outlook) error {
	return s.openMoves(ctx, func(m *providers.Move) error {
		delete(outlooks, m.From)
		delete(outlooks, m.To)
		return nil
	})
}

func (s *Service) openMoves(ctx context.Context, visit func(*providers.Move) error) error {
	for _, stage := range []providers.Stage{providers.MoveBegun, providers.MoveTaken, providers.MoveAdded} {
		if err := s.moves.Each(ctx, store.Query{Index: "stage", Equal: []any{string(stage)}}, visit); err != nil {
			return fmt.Errorf("list moves: %w", err)
		}
	}
	return nil
}

// finishMoves carries on what others have left, and drops the marks of what is
// long done. One that fails holds no other up, and neither does a county that
// refuses. finished counts those that are not open any more.
func (s *Service) finishMoves(ctx context.Context) (finished int, err error) {
	var open []*providers.Move
	if err := s.openMoves(ctx, func(m *providers.Move) error {
		open = append(open, m)
		return nil
	}); err != nil {
		return 0, err
	}
	var errs []error
	var made []*providers.Move
	for _, m := range open {
		if _, err := s.carryOn(ctx, m); err == nil {
			finished++
			made = append(made, m)
		} else if !errors.Is(err, matching.ErrNotReady) {
			errs = append(errs, err)
		}
	}
	s.planAnew(made)
	return finished, errors.Join(append(errs, s.dropShifts(ctx))...)
}

// dropShifts drops the marks of moves that ended long ago.
func (s *Service) dropShifts(ctx context.Context) error {
	byShare := map[string][]string{}
	var over []*providers.Move
	if err := s.moves.Each(ctx, store.Query{
		Index: "stage", Equal: []any{string(providers.MoveTold)}, To: s.now().Add(-remembered).UnixMilli(),
	}, func(m *providers.Move) error {
		over = append(over, m)
		byShare[giving(m)] = append(byShare[giving(m)], m.ID)
		byShare[receiving(m)] = append(byShare[receiving(m)], m.ID)
		return nil
	}); err != nil {
		return fmt.Errorf("list moves: %w", err)
	}
	for share, moves := range byShare {
		if _, err := s.shares.Change(ctx, share, func(sh *providers.Share) error {
			sh.Shifted(moves...)
			return nil
		}); err != nil {
			return fmt.Errorf("drop marks of %s: %w", share, err)
		}
	}
	for _, m := range over {
		if _, err := s.stage(ctx, m, providers.MoveDone); err != nil {
			return err
		}
	}
	return nil
}

// Moves are one page of an offer's moves between counties, newest first;
// without those that were refused or that nothing came of yet.
func (s *Service) Moves(ctx context.Context, offer, after string, limit int) (page []MoveView, next string, err error) {
	moves, next, err := s.moves.Find(ctx, store.Query{Index: "offer", Equal: []any{offer}, After: after, Limit: limit, Desc: true})
	if err != nil {
		return nil, "", err
	}
	for _, m := range moves {
		if m.Stage != providers.MoveBegun && m.Stage != providers.MoveRefused {
			page = append(page, MoveView{
				ID: m.ID, Lot: m.Lot, From: m.From, To: m.To, QtyUnits: m.QtyUnits, Waited: m.Waits, BegunMs: m.BegunMs, Arrived: !m.OnTheWay(),
			})
		}
	}
	return page, next, nil
}
