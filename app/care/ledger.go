package care

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// byWorker is who acts when a promise comes from the waiting list or a
// deadline passes.
const byWorker = "system"

// ledger is what the matcher's worker asks of the record.
type ledger struct{ s *Service }

// Recorded says which allocations the record knows as promised or handed over.
func (l ledger) Recorded(ctx context.Context, ids []string) (map[string]bool, error) {
	as, err := l.s.allocations.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(as))
	for _, a := range as {
		known[a.ID] = a.counts()
	}
	return known, nil
}

// Serve tries a waiting need again.
func (l ledger) Serve(ctx context.Context, county, need string) (bool, error) {
	n, err := l.s.needs.Get(ctx, need)
	if errors.Is(err, store.ErrNotFound) {
		if category, ok := spareCategory(need); ok { // its lease got no more of it
			return false, l.s.engine.Unwait(ctx, county, category, need)
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now := l.s.now()
	if over := n.UntilMs != 0 && n.UntilMs <= now.UnixMilli(); !n.State.Live() || over {
		if over && n.State == residents.NeedPromised && queued(n) {
			at := residents.Standing{State: n.State, Reason: n.Reason, Rest: matching.ReasonNeedOver()}
			if err := l.s.changeNeed(ctx, n, byWorker, at); err != nil && !errors.Is(err, residents.ErrTransition) {
				return false, err
			}
		}
		return false, l.s.engine.Unwait(ctx, county, n.Category, need)
	}
	r, err := l.s.residents.Get(ctx, n.Resident)
	if err != nil {
		return false, err
	}
	if r.Status != residents.Active { // moved away or died: the need ends
		return false, l.s.changeNeed(ctx, n, byWorker, residents.Standing{State: residents.NeedWithdrawn, Reason: matching.ReasonWithdrawn("")})
	}
	m := &match{s: l.s, by: byWorker, resident: r, needs: []*residents.Need{n}, until: now.Add(l.s.dripped)}
	if err := m.run(ctx); err != nil {
		return false, err
	}
	return len(m.fresh) > 0, nil
}

// Snapshot reads what a county's shard is rebuilt from. The shard refuses
// meanwhile, but allocations may still end, and holds made before may still
// reach the record: each share is read together with its allocations until
// both agree, and what is in flight (a "+" mark without its allocation) is
// left free, because its promise is told to the new generation afterwards.
func (l ledger) Snapshot(ctx context.Context, county string) (matching.Snapshot, error) {
	s := l.s
	var snap matching.Snapshot
	live := map[string]bool{}
	done := map[string]bool{}
	came := map[string]bool{} // units that came back, and that the share counts so
	recently := s.now().Add(-30 * time.Minute).UnixMilli()
	unsettled, err := s.unsettledByShare(ctx)
	if err != nil {
		return snap, fmt.Errorf("snapshot of %s: %w", county, err)
	}
	if err := s.eachLiveShare(ctx, county, func(sh *providers.Share) error {
		c, err := s.countStarts(ctx, sh.ID, unsettled[sh.ID])
		if err != nil {
			return err
		}
		state := lotState(c.share)
		state.FreeUnits += c.inFlightUnits
		state.TakenUnits -= c.inFlightUnits
		if c.share.Closed {
			state.FreeUnits = 0
		}
		snap.Lots = append(snap.Lots, state)
		snap.Done = append(snap.Done, c.share.Shifts()...) // counted in its units
		for _, m := range c.share.Returns() {
			came[m.Allocation] = true
			snap.Done = append(snap.Done, m.Allocation)
		}
		for id, a := range c.active {
			if a.BackUnits > 0 { // it had ended before
				continue
			}
			if c.settling[id] {
				done[id] = true // its units have left Promised already
			} else {
				live[id] = true
			}
		}
		return nil
	}); err != nil {
		return snap, fmt.Errorf("snapshot of %s: %w", county, err)
	}
	now := s.now()
	caps := capStates{now: now, byKey: map[string]*matching.CapState{}}
	for category, since := range s.capsSince(now) {
		if err := s.allocations.Each(ctx, store.Query{
			Index: "category", Equal: []any{county, category}, From: since,
		}, func(a *Allocation) error {
			switch {
			case a.State == Promised && !live[a.ID]:
				return nil // inserted since: told to the new generation by its scan
			case a.State != Promised && a.EndedMs > recently && !live[a.ID]:
				done[a.ID] = true
			}
			// What is live but ended is still to be released, which subtracts it; a
			// spare that was given is still to be reassigned, which adds it.
			counts := a.counts() || live[a.ID]
			if a.Spare && a.Resident != "" && live[a.ID] {
				counts = false
			}
			units := a.QtyUnits
			if live[a.ID] { // what of it was not given is still to be released
				units = a.promisedUnits()
			}
			if a.BackUnits > 0 && !came[a.backName()] { // is still to be told, which subtracts it
				units, counts = a.QtyUnits+a.BackUnits, true
			}
			caps.add(a, a.CategoryCap, counts, units)
			caps.add(a, a.OfferCap, counts, units)
			return nil
		}); err != nil {
			return snap, fmt.Errorf("snapshot of %s: %w", county, err)
		}
	}
	for id := range live {
		snap.Live = append(snap.Live, id)
	}
	for id := range done {
		snap.Done = append(snap.Done, id)
	}
	for _, c := range caps.byKey {
		snap.Caps = append(snap.Caps, *c)
	}
	for _, state := range []residents.NeedState{residents.NeedWaiting, residents.NeedPromised} {
		waiters, err := s.waiters(ctx, county, state)
		if err != nil {
			return snap, fmt.Errorf("snapshot of %s: %w", county, err)
		}
		snap.Waiters = append(snap.Waiters, waiters...)
	}
	return snap, nil
}

// capStates adds up what households have had.
type capStates struct {
	now   time.Time
	byKey map[string]*matching.CapState
}

// add counts an allocation against a cap. Its ordinal is used up in any case;
// so many units count in the period that is running, or in a later one that
// another server's clock has begun already.
func (cs capStates) add(a *Allocation, c matching.Cap, counts bool, units int64) {
	if c.Field == "" {
		return
	}
	key := a.Household + "|" + c.Field
	state := cs.byKey[key]
	if state == nil {
		state = &matching.CapState{Household: a.Household, Field: c.Field, Period: matching.PeriodOf(c.Period).Label(cs.now)}
		cs.byKey[key] = state
	}
	if strings.HasPrefix(c.Field, "c:") {
		state.Seq = max(state.Seq, a.Seq+1)
	}
	if c.Period[:1] == state.Period[:1] && c.Period > state.Period {
		state.Period, state.Used = c.Period, 0
	}
	if counts && c.Period == state.Period {
		state.Used += units
	}
}

// capsSince says, per category, from when on (Unix ms) allocations may count
// against a cap: the longest period that is running of the category's cap or of
// an open offer's, and a day before it, because clocks differ at its edge. The
// longest periods of all are read for every category, as long as they are short.
func (s *Service) capsSince(now time.Time) map[string]int64 {
	since := func(p matching.Period) int64 {
		if p == matching.Ever {
			return 0
		}
		return p.Start(now).Add(-24 * time.Hour).UnixMilli()
	}
	shortest := min(since(matching.Week), now.Add(-time.Hour).UnixMilli())
	out := map[string]int64{}
	for _, c := range providers.Categories() {
		out[c.ID] = min(shortest, since(c.CapPeriod))
	}
	s.known.mu.RLock()
	defer s.known.mu.RUnlock()
	for _, o := range s.known.byID {
		if o.CapUnits > 0 {
			out[o.Category] = min(out[o.Category], since(o.CapPeriod))
		}
	}
	return out
}

// waiters are the needs of a state for which something is still wanted, with
// their place in the order.
func (s *Service) waiters(ctx context.Context, county string, state residents.NeedState) ([]matching.Waiter, error) {
	var out []matching.Waiter
	now := s.now().UnixMilli()
	q := store.Query{Index: "state", Equal: []any{county, string(state)}, Limit: store.MaxPage}
	for {
		page, next, err := s.needs.Find(ctx, q)
		if err != nil {
			return nil, err
		}
		scores, err := s.scores(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, n := range page {
			score, active := scores[n.Resident]
			if !active || n.UntilMs != 0 && n.UntilMs <= now {
				continue
			}
			if state == residents.NeedPromised {
				past, err := s.pastOf(ctx, n.ID)
				if err != nil {
					return nil, err
				}
				if v := needView(n, past); v.PromisedUnits+v.GivenUnits >= n.QtyUnits {
					continue
				}
			}
			out = append(out, matching.Waiter{Need: n.ID, Category: n.Category, WeightMilli: weightNow(n, score, s.now())})
		}
		if next == "" {
			return out, nil
		}
		q.After = next
	}
}

// eachLiveShare visits the shares of a county that still matter to the
// matcher: open ones, and those closed lately, which may still have promises.
func (s *Service) eachLiveShare(ctx context.Context, county string, visit func(*providers.Share) error) error {
	for closed, from := range map[bool]any{false: nil, true: s.lately()} {
		if err := s.shares.Each(ctx, store.Query{
			Index: "county", Equal: []any{county, closed}, From: from,
		}, visit); err != nil {
			return err
		}
	}
	return nil
}

// shareCount is a share together with the allocations that count on it, read
// so that they belong together.
type shareCount struct {
	share *providers.Share
	// active are the allocations that are promised, or ended but not known to
	// be settled.
	active map[string]*Allocation
	// handed is the sum of units handed over and settled.
	handed int64
	// inFlight are "+" marks without an allocation.
	inFlight []providers.Reservation
	// settling are ends whose units the share has moved already.
	settling      map[string]bool
	inFlightUnits int64
}

// unsettledByShare are all ended allocations that may not be settled.
func (s *Service) unsettledByShare(ctx context.Context) (map[string][]*Allocation, error) {
	out := map[string][]*Allocation{}
	err := s.allocations.Each(ctx, store.Query{Index: "unsettled", Equal: []any{true}}, func(a *Allocation) error {
		out[a.Share] = append(out[a.Share], a)
		return nil
	})
	return out, err
}

// countStarts reads what of a share is promised or in flight while the
// matcher refuses: until no reservation was made between two looks at the
// share. Ends need no such care, because they stay unsettled until the matcher
// takes them; those that ended before are given.
func (s *Service) countStarts(ctx context.Context, id string, unsettled []*Allocation) (*shareCount, error) {
	for try := 0; ; try++ {
		began := s.now()
		sh, err := s.shares.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		c := newShareCount(sh)
		for _, a := range unsettled {
			c.active[a.ID] = a
		}
		if err := s.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{id, string(Promised)}}, c.add); err != nil {
			return nil, err
		}
		// What ended since the share was read may have left the promised ones
		// before they were, and still be among the share's promised units.
		if err := s.allocations.Each(ctx, store.Query{
			Index: "unsettled", Equal: []any{true}, From: began.Add(-followMargin).UnixMilli(),
		}, func(a *Allocation) error {
			if a.Share == id {
				c.active[a.ID] = a
			}
			return nil
		}); err != nil {
			return nil, err
		}
		again, err := s.shares.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if again.Starts == sh.Starts {
			return c, s.countMarks(ctx, c)
		}
		if try == 100 {
			return nil, fmt.Errorf("count share %s: %w", id, store.ErrConflict)
		}
	}
}

// countShare reads a share with all its allocations. still says that the share
// did not change while they were read, so that they belong together.
func (s *Service) countShare(ctx context.Context, id string) (c *shareCount, still bool, err error) {
	sh, err := s.shares.Get(ctx, id)
	if err != nil {
		return nil, false, err
	}
	c = newShareCount(sh)
	if err := s.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{id}}, c.add); err != nil {
		return nil, false, err
	}
	again, err := s.shares.Get(ctx, id)
	if err != nil {
		return nil, false, err
	}
	return c, again.V == sh.V, s.countMarks(ctx, c)
}

func newShareCount(sh *providers.Share) *shareCount {
	c := &shareCount{share: sh, active: map[string]*Allocation{}, settling: map[string]bool{}}
	for _, m := range sh.Settlements() {
		c.settling[m.Allocation] = true
	}
	return c
}

func (c *shareCount) add(a *Allocation) error {
	switch {
	case a.State == Void:
	case a.State == Promised || a.Unsettled:
		c.active[a.ID] = a
	case a.State == HandedOver:
		c.handed += a.QtyUnits
	}
	return nil
}

// countMarks looks up the reservations whose allocation was not among those
// read.
func (s *Service) countMarks(ctx context.Context, c *shareCount) error {
	marks := c.share.Reservations()
	ids := make([]string, len(marks))
	for i, m := range marks {
		ids[i] = m.Allocation
	}
	stored, err := s.allocations.GetAll(ctx, ids)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(stored))
	for _, a := range stored {
		if a.Share == c.share.ID && a.State != Void {
			there[a.ID] = true
			if a.State == Promised || a.Unsettled {
				c.active[a.ID] = a
			}
		}
	}
	for _, m := range marks {
		if !there[m.Allocation] {
			c.inFlight = append(c.inFlight, m)
			c.inFlightUnits += m.QtyUnits
		}
	}
	return nil
}
