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
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now := l.s.now()
	if !n.State.Live() || n.UntilMs != 0 && n.UntilMs <= now.UnixMilli() {
		return false, l.s.engine.Unwait(ctx, county, n.Category, need)
	}
	r, err := l.s.residents.Get(ctx, n.Resident)
	if err != nil {
		return false, err
	}
	if r.Status != residents.Active {
		return false, l.s.engine.Unwait(ctx, county, n.Category, need)
	}
	m := &match{s: l.s, by: byWorker, resident: r, needs: []*residents.Need{n}, until: now.Add(l.s.dripped)}
	if err := m.run(ctx); err != nil {
		return false, err
	}
	return len(m.fresh) > 0, nil
}

// Opens names the categories with lots that become usable in (since, until].
func (l ledger) Opens(_ context.Context, county string, since, until time.Time) ([]string, error) {
	l.s.known.mu.RLock()
	defer l.s.known.mu.RUnlock()
	seen := map[string]bool{}
	var out []string
	for _, o := range l.s.known.byID {
		if seen[o.Category] {
			continue
		}
		for _, lot := range o.lots {
			if lot.Shares[county] > 0 && lot.FromMs > since.UnixMilli() && lot.FromMs <= until.UnixMilli() {
				seen[o.Category] = true
				out = append(out, o.Category)
				break
			}
		}
	}
	return out, nil
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
	recently := s.now().Add(-30 * time.Minute).UnixMilli()
	if err := s.eachOpenShare(ctx, county, func(sh *providers.Share) error {
		c, err := s.countShare(ctx, sh.ID)
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
		for id := range c.active {
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
	caps := map[string]*matching.CapState{}
	now := s.now()
	since := matching.Year.Start(now).UnixMilli()
	if s.anyCapForEver() {
		since = 0
	}
	if err := s.allocations.Each(ctx, store.Query{
		Index: "county", Equal: []any{county}, From: since,
	}, func(a *Allocation) error {
		switch {
		case a.State == Promised && !live[a.ID]:
			return nil // inserted since: told to the new generation by its scan
		case a.State != Promised && a.EndedMs > recently && !live[a.ID]:
			done[a.ID] = true
		}
		for _, c := range []matching.Cap{a.CategoryCap, a.OfferCap} {
			if c.Field == "" {
				continue
			}
			// What is live but ended is still to be released, which subtracts it.
			addCap(caps, a, c, currentPeriod(c, now), a.counts() || live[a.ID])
		}
		return nil
	}); err != nil {
		return snap, fmt.Errorf("snapshot of %s: %w", county, err)
	}
	for id := range live {
		snap.Live = append(snap.Live, id)
	}
	for id := range done {
		snap.Done = append(snap.Done, id)
	}
	for _, c := range caps {
		snap.Caps = append(snap.Caps, *c)
	}
	for _, state := range []residents.NeedState{residents.NeedWaiting, residents.NeedPromised} {
		if err := s.needs.Each(ctx, store.Query{Index: "state", Equal: []any{county, string(state)}}, func(n *residents.Need) error {
			w, waits, err := s.waiter(ctx, n)
			if err == nil && waits {
				snap.Waiters = append(snap.Waiters, w)
			}
			return err
		}); err != nil {
			return snap, fmt.Errorf("snapshot of %s: %w", county, err)
		}
	}
	return snap, nil
}

// addCap counts an allocation against a cap. Its ordinal is used up in any
// case; its units count while it is promised or handed over, in the period
// that is running.
func addCap(caps map[string]*matching.CapState, a *Allocation, c matching.Cap, current string, counts bool) {
	key := a.Household + "|" + c.Field
	state := caps[key]
	if state == nil {
		state = &matching.CapState{Household: a.Household, Field: c.Field, Period: current}
		caps[key] = state
	}
	if strings.HasPrefix(c.Field, "c:") {
		state.Seq = max(state.Seq, a.Seq+1)
	}
	if counts && c.Period == current {
		state.Used += a.QtyUnits
	}
}

// currentPeriod is the label that the cap's period has now.
func currentPeriod(c matching.Cap, now time.Time) string {
	return matching.PeriodOf(c.Period).Label(now)
}

func (s *Service) anyCapForEver() bool {
	s.known.mu.RLock()
	defer s.known.mu.RUnlock()
	for _, o := range s.known.byID {
		if o.CapUnits > 0 && o.CapPeriod == matching.Ever {
			return true
		}
	}
	return false
}

// waiter says whether something is still wanted for a waiting or partly
// promised need, and its place in the order.
func (s *Service) waiter(ctx context.Context, n *residents.Need) (matching.Waiter, bool, error) {
	if n.UntilMs != 0 && n.UntilMs <= s.now().UnixMilli() {
		return matching.Waiter{}, false, nil
	}
	left := n.QtyUnits
	if err := s.allocations.Each(ctx, store.Query{Index: "need", Equal: []any{n.ID}}, func(a *Allocation) error {
		if a.counts() {
			left -= a.QtyUnits
		}
		return nil
	}); err != nil {
		return matching.Waiter{}, false, err
	}
	if left <= 0 {
		return matching.Waiter{}, false, nil
	}
	r, err := s.residents.Get(ctx, n.Resident)
	if err != nil {
		return matching.Waiter{}, false, err
	}
	return matching.Waiter{Need: n.ID, Category: n.Category, WeightMilli: n.WeightMilli(r.ScoreMilli)}, true, nil
}

// eachOpenShare visits the shares of a county that still matter to the
// matcher: open ones, and closed ones that still have promises.
func (s *Service) eachOpenShare(ctx context.Context, county string, visit func(*providers.Share) error) error {
	for _, closed := range []bool{false, true} {
		if err := s.shares.Each(ctx, store.Query{Index: "county", Equal: []any{county, closed}}, func(sh *providers.Share) error {
			if sh.Closed && sh.Promised == 0 {
				return nil
			}
			return visit(sh)
		}); err != nil {
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

// countShare reads a share, its allocations, and the share again until it did
// not change in between.
func (s *Service) countShare(ctx context.Context, id string) (*shareCount, error) {
	for try := 0; ; try++ {
		sh, err := s.shares.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		c := &shareCount{share: sh, active: map[string]*Allocation{}, settling: map[string]bool{}}
		for _, m := range sh.Settlements() {
			c.settling[m.Allocation] = true
		}
		if err := s.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{id}}, func(a *Allocation) error {
			switch {
			case a.State == Void:
			case a.State == Promised || a.Unsettled:
				c.active[a.ID] = a
			case a.State == HandedOver:
				c.handed += a.QtyUnits
			}
			return nil
		}); err != nil {
			return nil, err
		}
		again, err := s.shares.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if again.V != sh.V {
			if try == 100 {
				return nil, fmt.Errorf("count share %s: %w", id, store.ErrConflict)
			}
			continue
		}
		marks := sh.Reservations()
		ids := make([]string, len(marks))
		for i, m := range marks {
			ids[i] = m.Allocation
		}
		stored, err := s.allocations.GetAll(ctx, ids)
		if err != nil {
			return nil, err
		}
		there := make(map[string]bool, len(stored))
		for _, a := range stored {
			if a.Share == id && a.State != Void {
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
		return c, nil
	}
}
