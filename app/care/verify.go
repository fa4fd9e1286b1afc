package care

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Fault is one broken promise that [Service.Verify] found.
type Fault struct {
	Promise int    `json:"promise"` // 1..5 of the design; 6 is the audit chain
	What    string `json:"what"`    // ids and figures, no names
}

// Report is what [Service.Verify] counted and found.
type Report struct {
	AtMs        int64   `json:"at_ms"`
	Counties    int     `json:"counties"`
	Shares      int     `json:"shares"`
	Allocations int     `json:"allocations"`
	Needs       int     `json:"needs"`
	Waiting     int     `json:"waiting"`
	Households  int     `json:"households_with_caps"`
	Events      int     `json:"events"`
	AuditBlocks int     `json:"audit_blocks"`
	QtyUnits    int64   `json:"qty_units"`
	Free        int64   `json:"free_units"`
	Held        int64   `json:"held_units"`
	Promised    int64   `json:"promised_units"`
	HandedOver  int64   `json:"handed_over_units"`
	Expired     int64   `json:"expired_units"`
	Withdrawn   int64   `json:"withdrawn_units"`
	InFlight    int     `json:"in_flight"`        // being written at this moment
	Unsettled   int     `json:"unsettled"`        // ended at this moment
	Leases      int     `json:"leases"`           // of devices, live
	Leased      int     `json:"leased"`           // allocations that devices have
	Spares      int     `json:"spares"`           // of them for nobody yet
	Conflicts   int     `json:"conflicts"`        // offline handovers that wait for a person
	OverCaps    int     `json:"over_caps"`        // given offline beyond a cap, each with a conflict
	Moves       int     `json:"moves"`            // between counties, ever
	OnTheWay    int64   `json:"on_the_way_units"` // of lots, between two counties
	Repaired    int     `json:"repaired"`
	Faults      []Fault `json:"faults"`
}

// OK says whether no promise is broken.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

func (r *Report) fault(promise int, format string, args ...any) {
	r.Faults = append(r.Faults, Fault{promise, fmt.Sprintf(format, args...)})
}

// Verify checks promises 1 to 5 on the running system, and the audit chain. It
// may run while the system works: what is being written at the moment is
// counted as in flight and read again, not taken for a fault. With repair it
// first finishes what crashes left half done, always on the safe side: a unit
// in doubt stays promised. progress may be nil.
func (s *Service) Verify(ctx context.Context, repair bool, progress func(done, total int)) (*Report, error) {
	r := &Report{AtMs: s.now().UnixMilli(), Faults: []Fault{}}
	if repair {
		if err := s.repair(ctx, r); err != nil {
			return nil, err
		}
	}
	counties := s.counties()
	r.Counties = len(counties)
	for i, county := range counties {
		if err := s.verifyCounty(ctx, county, r); err != nil {
			return nil, fmt.Errorf("verify county %s: %w", county, err)
		}
		if progress != nil {
			progress(i+1, len(counties)+1)
		}
	}
	if err := s.verifyLots(ctx, r); err != nil {
		return nil, fmt.Errorf("verify lots: %w", err)
	}
	if err := s.verifyCaps(ctx, r); err != nil {
		return nil, fmt.Errorf("verify caps: %w", err)
	}
	if err := s.verifyLeases(ctx, r); err != nil {
		return nil, fmt.Errorf("verify leases: %w", err)
	}
	chain, err := s.audit.Verify(ctx, nil)
	if err != nil {
		return nil, err
	}
	r.AuditBlocks = chain.Blocks
	for _, f := range chain.Faults {
		r.fault(6, "audit block %d, entry %s: %s", f.Sequence, f.EntryID, f.What)
	}
	if progress != nil {
		progress(len(counties)+1, len(counties)+1)
	}
	return r, nil
}

// repair finishes what is half done.
func (s *Service) repair(ctx context.Context, r *Report) error {
	for _, step := range []func(context.Context) error{
		s.loadOffers, s.tellHolds, s.finishOffline, s.endLeases, s.finishLeases, s.resettle, s.expirePromises, s.closeLots, s.closeAgain, s.finishWithdrawals,
		func(ctx context.Context) error {
			finished, err := s.finishMoves(ctx)
			r.Repaired += finished
			return err
		}, s.expireNeeds,
		func(ctx context.Context) error { return s.resolveMarks(ctx, 0) },
		func(ctx context.Context) error { return s.retell(ctx, r) }, s.relist,
	} {
		if err := step(ctx); err != nil && !errors.Is(err, matching.ErrNotReady) {
			return fmt.Errorf("repair: %w", err)
		}
	}
	written, err := s.audit.Repair(ctx, nil)
	r.Repaired += written
	return err
}

// retell brings needs in line with their allocations and writes events that
// are missing.
func (s *Service) retell(ctx context.Context, r *Report) error {
	for _, county := range s.counties() {
		missing, err := s.missingEvents(ctx, county, true)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(missing, store.MaxPage) {
			s.emit(ctx, some...)
			r.Repaired += len(some)
		}
		for _, state := range []residents.NeedState{residents.NeedOpen, residents.NeedWaiting, residents.NeedPromised} {
			var all []*residents.Need
			if err := s.needs.Each(ctx, store.Query{Index: "state", Equal: []any{county, string(state)}}, func(n *residents.Need) error {
				all = append(all, n)
				return nil
			}); err != nil {
				return err
			}
			for _, n := range all {
				changed, err := s.realign(ctx, n)
				if err != nil {
					return err
				}
				if changed {
					r.Repaired++
				}
			}
		}
	}
	return nil
}

// realign sets a need's state from its allocations where a crash kept the
// state behind.
func (s *Service) realign(ctx context.Context, n *residents.Need) (bool, error) {
	past, err := s.pastOf(ctx, n.ID)
	if err != nil {
		return false, err
	}
	if v := needView(n, past); v.LeftUnits == 0 && v.PromisedUnits+v.GivenUnits > n.QtyUnits {
		// An edit died between the need and its promises.
		if err := s.trim(ctx, n, byWorker, matching.ReasonReduced()); err != nil {
			return false, err
		}
		if past, err = s.pastOf(ctx, n.ID); err != nil {
			return false, err
		}
	}
	// Read after its allocations: what has ended meanwhile is not taken up again,
	// and what is just ending is finished by whoever ends it.
	if n, err = s.needs.Get(ctx, n.ID); err != nil {
		return false, err
	}
	if !n.State.Live() || slices.ContainsFunc(past, func(a *Allocation) bool { return a.Unsettled }) {
		return false, nil
	}
	want, reason := expectedState(n, past)
	if want == n.State {
		return false, nil
	}
	err = s.changeNeed(ctx, n, byWorker, residents.Standing{State: want, Reason: reason, Rest: n.Rest})
	if errors.Is(err, residents.ErrTransition) || errors.Is(err, store.ErrConflict) {
		return false, nil // it changed meanwhile
	}
	return err == nil, err
}

func (s *Service) pastOf(ctx context.Context, need string) ([]*Allocation, error) {
	var past []*Allocation
	err := s.allocations.Each(ctx, store.Query{Index: "need", Equal: []any{need}}, func(a *Allocation) error {
		if a.State != Void {
			past = append(past, a)
		}
		return nil
	})
	return past, err
}

// expectedState is what a live need's allocations make of it.
func expectedState(n *residents.Need, past []*Allocation) (residents.NeedState, matching.Reason) {
	var promised, given int64
	reason := n.Reason
	for _, a := range past {
		switch a.State {
		case Promised:
			promised += a.QtyUnits
			reason = a.Reason
		case HandedOver:
			given += a.QtyUnits
		}
	}
	switch {
	case given >= n.QtyUnits:
		return residents.NeedHandedOver, matching.ReasonHandedOver()
	case promised > 0:
		return residents.NeedPromised, reason
	case n.State == residents.NeedPromised:
		return residents.NeedOpen, matching.ReasonExpired(time.UnixMilli(n.UpdatedMs))
	}
	return n.State, reason
}

// missingEvents finds what the ledger was never told: of allocations, and with
// needs also of what became of needs, which promises nothing and is much to
// read. What offers and moves between counties tell is not rebuilt.
func (s *Service) missingEvents(ctx context.Context, county string, needs bool) ([]*Event, error) {
	var missing, batch []*Event
	flush := func() error {
		ids := make([]string, len(batch))
		for i, e := range batch {
			ids[i] = e.ID
		}
		found, err := s.events.GetAll(ctx, ids)
		if err != nil {
			return err
		}
		there := make(map[string]bool, len(found))
		for _, e := range found {
			there[e.ID] = true
		}
		for _, e := range batch {
			if !there[e.ID] {
				missing = append(missing, e)
			}
		}
		batch = batch[:0]
		return nil
	}
	// What was written a moment ago may not have its event yet.
	settled := s.now().Add(-s.lease).UnixMilli()
	err := s.allocations.Each(ctx, store.Query{Index: "category", Equal: []any{county}}, func(a *Allocation) error {
		if a.State == Void {
			return nil
		}
		if a.PromisedMs < settled {
			batch = append(batch, promisedEvent(a))
		}
		if a.AcceptedMs > 0 && a.AcceptedMs < settled {
			batch = append(batch, acceptedEvent(a))
		}
		for _, e := range slices.Concat(partEvents(a), backEvents(a)) {
			if e.AtMs < settled {
				batch = append(batch, e)
			}
		}
		if a.State != Promised && !a.Unsettled && a.EndedMs < settled {
			batch = append(batch, endEvents(a)...)
		}
		if len(batch) >= 200 {
			return flush()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if needs {
		err = s.needs.Each(ctx, store.Query{Index: "county", Equal: []any{county}}, func(n *residents.Need) error {
			for _, e := range append(needEvents(n, 0), openedEvent(n)) {
				if e.AtMs < settled {
					batch = append(batch, e)
				}
			}
			if len(batch) >= 200 {
				return flush()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err = flush()
	return missing, err
}

func (s *Service) verifyCounty(ctx context.Context, county string, r *Report) error {
	// Promise 4: the matcher is rebuilt.
	ready, err := s.engine.Ready(ctx, county)
	if err != nil {
		return err
	}
	if !ready {
		r.fault(4, "county %s is not rebuilt from the record", county)
	}
	for _, closed := range []bool{false, true} {
		var ids []string
		if err := s.shares.Each(ctx, store.Query{Index: "county", Equal: []any{county, closed}}, func(sh *providers.Share) error {
			ids = append(ids, sh.ID)
			return nil
		}); err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.verifyShare(ctx, county, id, ready, r); err != nil {
				return err
			}
		}
	}
	missing, err := s.missingEvents(ctx, county, false)
	if err != nil {
		return err
	}
	for _, e := range missing {
		r.fault(3, "event %s was never written", e.ID)
	}
	return s.verifyNeeds(ctx, county, ready, r)
}

// verifyShare checks promise 1 on one share: in the record, and between the
// record and the matcher. What is being written at the moment is read again;
// a share that never stands still while it is read is counted, not judged.
func (s *Service) verifyShare(ctx context.Context, county, id string, ready bool, r *Report) error {
	var c *shareCount
	var faults []Fault
	for try := range 20 {
		var still bool
		var err error
		if c, still, err = s.countShare(ctx, id); err != nil {
			return err
		}
		faults = c.faults()
		if ready {
			drift, err := s.drift(ctx, county, c)
			if err != nil {
				return err
			}
			if drift != "" {
				faults = append(faults, Fault{5, drift})
			}
		}
		if len(faults) == 0 {
			break
		}
		if !still {
			faults = nil
		}
		if err := pause(ctx, time.Duration(try+1)*10*time.Millisecond); err != nil {
			return err
		}
	}
	sh := c.share
	for _, a := range c.active {
		if a.Unsettled {
			r.Unsettled++
		}
	}
	r.Shares++
	r.InFlight += len(c.inFlight)
	r.QtyUnits += sh.QtyUnits
	r.Free += sh.FreeUnits()
	r.Promised += sh.Promised
	r.HandedOver += sh.HandedOver
	r.Expired += sh.Expired
	r.Withdrawn += sh.Withdrawn
	r.Faults = append(r.Faults, faults...)
	return nil
}

// faults are what does not add up between a share and its allocations.
func (c *shareCount) faults() (out []Fault) {
	fault := func(format string, args ...any) {
		out = append(out, Fault{1, fmt.Sprintf(format, args...)})
	}
	sh, handed := c.share, c.handed
	var promised int64
	for id, a := range c.active {
		switch {
		case a.BackUnits > 0:
			handed += a.QtyUnits
			if !sh.TookBack(a.backName()) {
				handed += a.BackUnits
			}
		case !c.settling[id]:
			promised += a.promisedUnits()
		case a.State == HandedOver:
			handed += a.QtyUnits
		}
	}
	if !sh.Balanced() {
		fault("share %s does not add up: %d units, %d promised, %d handed over, %d expired, %d withdrawn",
			sh.ID, sh.QtyUnits, sh.Promised, sh.HandedOver, sh.Expired, sh.Withdrawn)
	}
	if promised+c.inFlightUnits != sh.Promised {
		fault("share %s counts %d promised units, its allocations %d and %d in flight",
			sh.ID, sh.Promised, promised, c.inFlightUnits)
	}
	if handed != sh.HandedOver {
		fault("share %s counts %d units handed over, its allocations %d", sh.ID, sh.HandedOver, handed)
	}
	if promised+handed > sh.QtyUnits {
		fault("share %s of %d units has given %d", sh.ID, sh.QtyUnits, promised+handed)
	}
	return out
}

// drift says how the matcher's free units differ from the record's, or "".
func (s *Service) drift(ctx context.Context, county string, c *shareCount) (string, error) {
	stocks, err := s.engine.Stock(ctx, county, []string{c.share.ID})
	if err != nil {
		if errors.Is(err, matching.ErrNotReady) {
			return fmt.Sprintf("county %s stopped being ready", county), nil
		}
		return "", err
	}
	if len(stocks) == 0 || !stocks[0].Known {
		if c.share.Closed {
			return "", nil
		}
		return fmt.Sprintf("the matcher does not know share %s with %d free units", c.share.ID, c.share.FreeUnits()), nil
	}
	st := stocks[0]
	if c.share.Closed {
		if st.FreeUnits > 0 && c.share.UntilMs > s.lately() {
			return fmt.Sprintf("share %s is closed, the matcher still has %d units free", c.share.ID, st.FreeUnits), nil
		}
		return "", nil
	}
	want, have := c.share.FreeUnits()+c.inFlightUnits, st.FreeUnits+st.HeldUnits
	if want != have {
		// A scan that died before it told the matcher: the sweeper does, when
		// the hold's deadline passes.
		late, err := s.recordedHolds(ctx, county)
		if err != nil {
			return "", err
		}
		for _, h := range late {
			if h.Lot == c.share.ID {
				have -= h.QtyUnits
			}
		}
	}
	if want != have {
		// A move that one of the two has not heard of yet.
		moving, err := s.movingUnits(ctx, c.share)
		if err != nil {
			return "", err
		}
		if d := want - have; -moving <= d && d <= moving {
			return "", nil
		}
		return fmt.Sprintf("share %s: the record has %d units to give, the matcher %d (%d of them held)",
			c.share.ID, want, have, st.HeldUnits), nil
	}
	return "", nil
}

// recordedHolds are live holds that the record has already.
func (s *Service) recordedHolds(ctx context.Context, county string) ([]matching.Hold, error) {
	live, err := s.engine.Holds(ctx, county)
	if errors.Is(err, matching.ErrNotReady) || err == nil && len(live) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(live))
	for i, h := range live {
		ids[i] = h.ID
	}
	known, err := ledger{s}.Recorded(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := live[:0]
	for _, h := range live {
		if known[h.ID] {
			out = append(out, h)
		}
	}
	return out, nil
}

// tellHolds tells the matcher of promises that it still takes for holds.
func (s *Service) tellHolds(ctx context.Context) error {
	for _, county := range s.counties() {
		late, err := s.recordedHolds(ctx, county)
		if err != nil {
			return err
		}
		if err := s.engine.Promise(ctx, county, late); err != nil {
			return err
		}
	}
	return nil
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// verifyCaps checks promise 2 over everything the record has, and that what was
// given piece by piece adds up, household by household, in the order of the claims.
func (s *Service) verifyCaps(ctx context.Context, r *Report) error {
	type use struct{ used, limit int64 }
	household := ""
	uses := map[string]use{}
	judge := func() {
		var over []string
		for key, u := range uses {
			if u.used > u.limit {
				over = append(over, fmt.Sprintf("household %s, cap and period %s: %d of %d units", household, key, u.used, u.limit))
			}
		}
		sort.Strings(over)
		for _, o := range over {
			r.fault(2, "%s", o)
		}
		if len(uses) > 0 {
			r.Households++
		}
		clear(uses)
	}
	err := s.allocations.Each(ctx, store.Query{Index: "claim"}, func(a *Allocation) error {
		if a.State == Void {
			return nil
		}
		r.Allocations++
		if given, now := a.partUnits(), a.givenNow(); len(a.Parts) > 0 && given != now {
			r.fault(1, "allocation %s has %d units given, its parts and what came back make it %d", a.ID, now, given)
		}
		if a.Household != household {
			judge()
			household = a.Household
		}
		if !a.counts() {
			return nil
		}
		if a.OverCap { // known, and before a person
			r.OverCaps++
			return nil
		}
		for _, c := range []matching.Cap{a.CategoryCap, a.OfferCap} {
			if c.Field != "" && c.Limit > 0 {
				key := c.Field + " " + c.Period
				uses[key] = use{uses[key].used + a.QtyUnits, max(uses[key].limit, c.Limit)}
			}
		}
		return nil
	})
	judge()
	return err
}

// verifyNeeds checks promise 5: every waiting need is on the waiting list and
// has a reason, no promise or hold is past its deadline for long, and every
// need is what its allocations say.
func (s *Service) verifyNeeds(ctx context.Context, county string, ready bool, r *Report) error {
	late := s.now().Add(-2 * s.lease).UnixMilli()
	held := map[string]bool{} // needs with units held: the sweeper puts them back on the list
	if ready {
		holds, err := s.engine.Due(ctx, county, 1000)
		if err != nil && !errors.Is(err, matching.ErrNotReady) {
			return err
		}
		for _, h := range holds {
			if h.DeadlineMs < late {
				r.fault(5, "hold %s is past its deadline and nobody released it", h.ID)
			}
		}
		live, err := s.engine.Holds(ctx, county)
		if err != nil && !errors.Is(err, matching.ErrNotReady) {
			return err
		}
		for _, h := range live {
			r.Held += h.QtyUnits
			held[h.Need] = true
		}
	}
	if err := s.allocations.Each(ctx, store.Query{
		Index: "due", Equal: []any{string(Promised)}, To: late,
	}, func(a *Allocation) error {
		if a.County == county {
			r.fault(5, "promise %s is past its deadline and nobody released it", a.ID)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, state := range []residents.NeedState{residents.NeedOpen, residents.NeedWaiting, residents.NeedPromised} {
		if err := s.needs.Each(ctx, store.Query{Index: "state", Equal: []any{county, string(state)}}, func(n *residents.Need) error {
			r.Needs++
			if state == residents.NeedWaiting {
				r.Waiting++
				if n.Reason.Code == "" {
					r.fault(6, "need %s waits without a reason", n.ID)
				}
			}
			return s.verifyNeed(ctx, n, ready && !held[n.ID], r)
		}); err != nil {
			return err
		}
	}
	return nil
}

// moving says whether a need or one of its allocations changed so lately that
// the rest may not have followed, or is about to end.
func (s *Service) moving(n *residents.Need, past []*Allocation) bool {
	now := s.now().UnixMilli()
	latest := n.UpdatedMs
	for _, a := range past {
		if a.Unsettled {
			return true
		}
		latest = max(latest, a.PromisedMs, a.EndedMs)
	}
	return now-latest < s.lease.Milliseconds() || n.UntilMs != 0 && n.UntilMs <= now
}

func (s *Service) verifyNeed(ctx context.Context, n *residents.Need, listable bool, r *Report) error {
	for try := 0; ; try++ {
		past, err := s.pastOf(ctx, n.ID)
		if err != nil {
			return err
		}
		if s.moving(n, past) {
			return nil
		}
		want, _ := expectedState(n, past)
		listed := true
		if listable && n.State == residents.NeedWaiting {
			position, err := s.engine.Position(ctx, n.County, n.Category, n.ID)
			if err != nil && !errors.Is(err, matching.ErrNotReady) {
				return err
			}
			listed = position > 0 || err != nil
		}
		if want == n.State && listed {
			return nil
		}
		if try == 10 {
			if want != n.State {
				r.fault(5, "need %s is %q, its allocations make it %q", n.ID, n.State, want)
			}
			if !listed {
				r.fault(5, "need %s waits but is not on the waiting list", n.ID)
			}
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		again, err := s.needs.Get(ctx, n.ID)
		if err != nil {
			return err
		}
		if n = again; !n.State.Live() {
			return nil
		}
	}
}
