package care

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// watchDeadlines looks at what time brings: promises nobody came for, lots
// that are over, needs that are past, and what a crash left half done.
func (s *Service) watchDeadlines(ctx context.Context) {
	ticker := time.NewTicker(s.tick)
	defer ticker.Stop()
	s.sweepAll(ctx)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.report(ctx, "write events", s.emitLate(ctx))
		s.report(ctx, "end leases", s.endLeases(ctx))
		s.report(ctx, "expire promises", s.expirePromises(ctx))
		s.report(ctx, "expire needs", s.expireNeeds(ctx))
		s.report(ctx, "close lots", s.closeLots(ctx))
		s.report(ctx, "give back units in doubt", s.resolveWatched(ctx))
		if n%settleEvery == 0 {
			s.report(ctx, "settle what is unsettled", s.resettle(ctx))
		}
		// Looking at every open share is for what a crash left: twice after the
		// start, a lease apart, and now and then for other processes' crashes.
		if n%marksEvery == 0 || s.now().After(s.started.Add(s.lease)) && !s.lookedTwice {
			s.lookedTwice = s.now().After(s.started.Add(s.lease))
			s.sweepAll(ctx)
		}
	}
}

// settleEvery is how many ticks lie between two tries to settle.
const settleEvery = 5

// marksEvery is how many ticks lie between two looks at all marks.
const marksEvery = 300

func (s *Service) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil && !errors.Is(err, matching.ErrNotReady) {
		s.log.Error(what, "error", err)
	}
}

func (s *Service) sweepAll(ctx context.Context) {
	s.report(ctx, "forget used screen codes", s.forgetRedemptions(ctx))
	s.report(ctx, "forget photos of handovers", s.forgetPhotos(ctx))
	s.report(ctx, "load offers", s.loadOffers(ctx))
	s.report(ctx, "finish withdrawals", s.finishWithdrawals(ctx))
	s.report(ctx, "finish wishes", s.finishWishes(ctx))
	s.report(ctx, "drop photos of no offer", s.providers.SweepImages(ctx))
	s.report(ctx, "close lots again", s.closeAgain(ctx))
	s.report(ctx, "settle what is unsettled", s.resettle(ctx))
	s.report(ctx, "finish leases", s.finishLeases(ctx))
	s.report(ctx, "finish what devices reported", s.finishOffline(ctx))
	s.report(ctx, "list who waits", s.relist(ctx))
	s.report(ctx, "resolve marks", s.resolveMarks(ctx, s.lease))
}

// expirePromises ends promises past their deadline; their units drip again.
func (s *Service) expirePromises(ctx context.Context) error {
	now := s.now()
	var due []*Allocation
	if err := s.allocations.Each(ctx, store.Query{
		Index: "due", Equal: []any{string(Promised)}, To: now.UnixMilli() + 1,
	}, func(a *Allocation) error {
		due = append(due, a)
		return nil
	}); err != nil {
		return err
	}
	for _, a := range due {
		if a.Disputed != "" {
			continue
		}
		if a.Lease != "" { // the lease ends, the promise stands a while
			if err := s.letGo(ctx, a.Lease); err != nil {
				return fmt.Errorf("expire %s: %w", a.ID, err)
			}
			continue
		}
		_, err := s.end(ctx, a.ID, ending{
			by: byWorker, to: Expired, reason: matching.ReasonExpired(time.UnixMilli(a.ExpiresMs)), dueMs: now.UnixMilli(),
		})
		if err != nil && !settledElsewhere(err) {
			return fmt.Errorf("expire %s: %w", a.ID, err)
		}
	}
	return nil
}

// closeLots ends shares whose time is over.
func (s *Service) closeLots(ctx context.Context) error {
	now := s.now().UnixMilli()
	for _, county := range s.counties() {
		var over []*providers.Share
		if err := s.shares.Each(ctx, store.Query{
			Index: "county", Equal: []any{county, false}, To: now + 1,
		}, func(sh *providers.Share) error {
			over = append(over, sh)
			return nil
		}); err != nil {
			return err
		}
		for _, sh := range over {
			if err := s.closeShare(ctx, sh, providers.Over); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeAgain tells the matcher again of shares that closed lately: a crash may
// have come between the record and the matcher.
func (s *Service) closeAgain(ctx context.Context) error {
	return s.eachCounty(ctx, func(county string) error {
		var closed []*providers.Share
		if err := s.shares.Each(ctx, store.Query{
			Index: "county", Equal: []any{county, true}, From: s.lately(),
		}, func(sh *providers.Share) error {
			closed = append(closed, sh)
			return nil
		}); err != nil {
			return err
		}
		for _, sh := range closed {
			if _, err := s.engine.CloseLot(ctx, county, sh.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// lately is the end (Unix ms) from which on a closed share still matters: its
// promises ended with it, or with the lease of a device, at the latest.
func (s *Service) lately() int64 { return s.now().Add(-MaxLease - maxGrace - 48*time.Hour).UnixMilli() }

// eachCounty does a thing for every county whose matcher answers, and joins
// the errors, so that one county's trouble does not stop the others. That a
// matcher does not answer is none of them: it would hide what else is wrong.
func (s *Service) eachCounty(ctx context.Context, do func(county string) error) error {
	var errs []error
	for _, county := range s.counties() {
		ready, err := s.engine.Ready(ctx, county)
		if err == nil && ready {
			err = do(county)
		}
		if err != nil && !errors.Is(err, matching.ErrNotReady) {
			errs = append(errs, fmt.Errorf("county %s: %w", county, err))
		}
	}
	return errors.Join(errs...)
}

// relist puts everybody who waits on the matcher's list who is not there: a
// crash may have come between the record and the matcher.
func (s *Service) relist(ctx context.Context) error {
	return s.eachCounty(ctx, func(county string) error {
		return errors.Join(s.relistState(ctx, county, residents.NeedWaiting), s.relistState(ctx, county, residents.NeedPromised))
	})
}

func (s *Service) relistState(ctx context.Context, county string, state residents.NeedState) error {
	q := store.Query{Index: "state", Equal: []any{county, string(state)}, Limit: store.MaxPage}
	for {
		page, next, err := s.needs.Find(ctx, q)
		if err != nil {
			return err
		}
		page = slices.DeleteFunc(page, func(n *residents.Need) bool { return !queued(n) })
		scores, err := s.scores(ctx, page)
		if err != nil {
			return err
		}
		for _, n := range page {
			position, err := s.engine.Position(ctx, county, n.Category, n.ID)
			if err != nil {
				return err
			}
			if score, active := scores[n.Resident]; active && position == 0 {
				s.wait(ctx, n, score)
			}
		}
		if next == "" {
			return nil
		}
		q.After = next
	}
}

// scores are the scores of the needs' residents, of those who are active.
func (s *Service) scores(ctx context.Context, needs []*residents.Need) (map[string]int64, error) {
	ids := make([]string, 0, len(needs))
	seen := make(map[string]bool, len(needs))
	for _, n := range needs {
		if !seen[n.Resident] {
			seen[n.Resident] = true
			ids = append(ids, n.Resident)
		}
	}
	people, err := s.people.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(people))
	for _, r := range people {
		if r.Status == residents.Active {
			out[r.ID] = r.ScoreMilli
		}
	}
	return out, nil
}

// finishWithdrawals closes open shares of offers whose withdrawal was cut
// short.
func (s *Service) finishWithdrawals(ctx context.Context) error {
	for _, county := range s.counties() {
		var orphans []*providers.Share
		if err := s.shares.Each(ctx, store.Query{Index: "county", Equal: []any{county, false}}, func(sh *providers.Share) error {
			if _, known := s.offer(sh.Offer); !known {
				orphans = append(orphans, sh)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, sh := range orphans {
			o, err := s.providers.Offer(ctx, sh.Offer)
			if err != nil {
				return err
			}
			if o.Status == providers.OfferIsWithdrawn {
				if err := s.closeShare(ctx, sh, providers.OfferWithdrawn); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// expireNeeds ends needs past their time; 0 is no time.
func (s *Service) expireNeeds(ctx context.Context) error {
	now := s.now().UnixMilli()
	for _, state := range []residents.NeedState{residents.NeedOpen, residents.NeedWaiting} {
		var past []*residents.Need
		if err := s.needs.Each(ctx, store.Query{
			Index: "until", Equal: []any{string(state)}, From: int64(1), To: now + 1,
		}, func(n *residents.Need) error {
			past = append(past, n)
			return nil
		}); err != nil {
			return err
		}
		for _, n := range past {
			err := s.changeNeed(ctx, n, byWorker, residents.Standing{State: residents.NeedExpired, Reason: matching.ReasonNeedExpired()})
			// Whoever changed it meanwhile may have given it longer.
			if err != nil && !errors.Is(err, residents.ErrTransition) && !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
	}
	return nil
}

// resettle finishes what a crash or a fault of Redis left half done: ended
// allocations that their share, the matcher or the need may not know of.
func (s *Service) resettle(ctx context.Context) error {
	var open []*Allocation
	// Whoever ended it last second is probably still settling it.
	before := s.now().Add(-2 * time.Second).UnixMilli()
	if err := s.allocations.Each(ctx, store.Query{
		Index: "unsettled", Equal: []any{true}, To: before,
	}, func(a *Allocation) error {
		open = append(open, a)
		return nil
	}); err != nil {
		return err
	}
	byCounty := map[string][]*Allocation{}
	for _, a := range open {
		byCounty[a.County] = append(byCounty[a.County], a)
	}
	// A county that refuses is left alone, so that the same changes do not pile
	// up for it.
	return s.eachCounty(ctx, func(county string) error {
		for _, a := range byCounty[county] {
			if err := s.settle(ctx, a); err != nil {
				return fmt.Errorf("settle %s: %w", a.ID, err)
			}
		}
		return nil
	})
}

// suspects remembers since when a mark is seen, and which "-" marks may go.
type suspects struct {
	mu      sync.Mutex
	since   map[string]time.Time // share|mark
	done    map[string][]string  // share -> allocations known to be settled
	watched map[string]int64     // share -> the most units that somebody was refused because of units in doubt
}

// watch has a share's marks looked at every tick until they are gone: they
// kept somebody from so many units.
func (u *suspects) watch(share string, qtyUnits int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.watched == nil {
		u.watched = map[string]int64{}
	}
	u.watched[share] = max(u.watched[share], qtyUnits)
}

func (u *suspects) unwatch(share string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.watched, share)
}

func (u *suspects) watching() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.watched)
}

func (u *suspects) settled(share, allocation string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done == nil {
		u.done = map[string][]string{}
	}
	if have := u.done[share]; len(have) < 4*batchMax {
		u.done[share] = append(have, allocation)
	}
}

func (u *suspects) takeSettled(share string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	marks := u.done[share]
	delete(u.done, share)
	return marks
}

// older notes that a mark was seen and says whether it was first seen at least
// age ago.
func (u *suspects) older(key string, now time.Time, age time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	first, ok := u.since[key]
	if !ok {
		u.since[key] = now
		first = now
	}
	return now.Sub(first) >= age
}

// keep forgets marks that are no longer there.
func (u *suspects) keep(seen map[string]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key := range u.since {
		if !seen[key] {
			delete(u.since, key)
		}
	}
}

// resolveMarks clears marks that their makers did not: of allocations known to
// be inserted, of ends known to be settled, and, once a mark has been seen for
// age, of reservations whose allocation never came. For the last it first
// writes a void allocation under that id: an id is inserted once, so that a
// maker who was only slow is refused and cannot count twice.
func (s *Service) resolveMarks(ctx context.Context, age time.Duration) error {
	seen := map[string]bool{}
	now := s.now()
	for _, county := range s.counties() {
		var marked []*providers.Share
		if err := s.eachLiveShare(ctx, county, func(sh *providers.Share) error {
			if len(sh.Marks) > 0 {
				marked = append(marked, sh)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, sh := range marked {
			if err := s.resolveShare(ctx, sh, now, age, seen); err != nil {
				return fmt.Errorf("resolve marks of %s: %w", sh.ID, err)
			}
		}
	}
	s.suspects.keep(seen)
	return nil
}

// resolveWatched resolves the marks of shares that refused somebody because of
// them. Units that were in doubt and did not come back were promised: then the
// matcher held what was gone. Where somebody else has taken them by now, the
// county is rebuilt for nothing, which does no harm.
func (s *Service) resolveWatched(ctx context.Context) error {
	for id, refused := range s.suspects.watching() {
		sh, err := s.shares.Get(ctx, id)
		if err != nil {
			return err
		}
		if len(sh.Reservations()) > 0 {
			if err := s.resolveShare(ctx, sh, s.now(), s.lease, map[string]bool{}); err != nil {
				return fmt.Errorf("resolve marks of %s: %w", id, err)
			}
			if sh, err = s.shares.Get(ctx, id); err != nil {
				return err
			}
		}
		if len(sh.Reservations()) > 0 {
			continue
		}
		s.suspects.unwatch(id)
		if !sh.Closed && sh.FreeUnits() < refused {
			s.contradicted(sh.County)
		}
	}
	return nil
}

// takeBackOver takes back what a maker that died has left over a cap. The matcher may have
// been told of it meanwhile.
func (s *Service) takeBackOver(ctx context.Context, a *Allocation) error {
	if err := s.void(ctx, a); err != nil {
		return err
	}
	now, err := s.allocations.Get(ctx, a.ID)
	if err != nil || now.State != Void { // a device has it
		return err
	}
	return s.engine.Return(ctx, a.County, []matching.Hold{a.hold()}, true)
}

func (s *Service) resolveShare(ctx context.Context, sh *providers.Share, now time.Time, age time.Duration, seen map[string]bool) error {
	var inserted, lost, settled []string
	var promised []matching.Hold
	for _, m := range sh.Reservations() {
		key := sh.ID + "|+" + m.Allocation
		a, err := s.allocations.Get(ctx, m.Allocation)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if !s.suspects.older(key, now, age) {
				seen[key] = true
				continue
			}
			void := &Allocation{
				Meta: store.Meta{ID: m.Allocation}, Need: needOf(m.Allocation), Share: sh.ID, County: sh.County, State: Void,
				Claim: "void|" + m.Allocation, QtyUnits: m.QtyUnits, EndedMs: now.UnixMilli(), EndedBy: byWorker,
			}
			if err := s.allocations.Insert(ctx, void); errors.Is(err, store.ErrDuplicate) {
				seen[key] = true // it came after all: next time
				continue
			} else if err != nil {
				return err
			}
			lost = append(lost, m.Allocation)
		case err != nil:
			return err
		case a.State == Void || a.Share != sh.ID:
			if a.State != Void && !s.suspects.older(key, now, age) {
				seen[key] = true // its maker is about to give it back
				continue
			}
			lost = append(lost, m.Allocation)
		default:
			// Its maker may have died before it looked at the caps.
			over, err := s.overCap(ctx, a, (*Allocation).countsRightly)
			if err != nil {
				return err
			}
			over = over && a.State == Promised && !a.heard()
			if over && s.suspects.older(key, now, age) {
				if err := s.takeBackOver(ctx, a); err != nil {
					return err
				}
				continue
			} else if over {
				seen[key] = true
				continue
			}
			inserted = append(inserted, m.Allocation)
			if a.State == Promised {
				promised = append(promised, a.hold())
			}
		}
	}
	for _, m := range sh.Settlements() {
		a, err := s.allocations.Get(ctx, m.Allocation)
		if err != nil {
			return err
		}
		if !a.Unsettled && a.State != Promised {
			settled = append(settled, m.Allocation)
		}
	}
	var back []string
	for _, m := range sh.Returns() {
		id, _, _ := strings.Cut(m.Allocation, backSep)
		a, err := s.allocations.Get(ctx, id)
		if err != nil {
			return err
		}
		if a.BackUnits == 0 || a.backName() != m.Allocation {
			back = append(back, m.Allocation)
		}
	}
	// The matcher may not have been told of a promise whose scan died.
	if len(promised) > 0 {
		if err := s.engine.Promise(ctx, sh.County, promised); err != nil {
			return err
		}
	}
	if len(inserted)+len(lost)+len(settled)+len(back) == 0 {
		return nil
	}
	_, err := s.shares.Change(ctx, sh.ID, func(sh *providers.Share) error {
		sh.Confirmed(inserted...)
		for _, id := range lost {
			sh.Undo(id, 0)
		}
		sh.Settled(settled...)
		sh.TakenBack(back...)
		sh.UpdatedMs = now.UnixMilli()
		return nil
	})
	return err
}

// needOf is the need that an allocation's id, <need>-<ordinal>, was made for.
// A void allocation carries it, so that its ordinal is not used again.
func needOf(allocation string) string {
	if i := strings.LastIndexByte(allocation, '-'); i >= 0 {
		return allocation[:i]
	}
	return ""
}

// contradicted has a county rebuilt whose matcher held what the record refused:
// it has lost writes, in a failover for instance.
func (s *Service) contradicted(county string) {
	s.log.Warn("the matcher contradicts the record: it is rebuilt", "county", county)
	s.engine.Doubt(county)
	s.worker.Kick(county)
}

func (s *Service) rebuildCounty(ctx context.Context, county string) error {
	return s.engine.Rebuild(ctx, county, func(ctx context.Context) (matching.Snapshot, error) {
		return ledger{s}.Snapshot(ctx, county)
	})
}

// Rebuild restores the matcher of one county, or of all where county is "",
// from the record. Promises are kept; the county refuses scans meanwhile.
// progress may be nil.
func (s *Service) Rebuild(ctx context.Context, county string, progress func(done, total int)) error {
	counties := s.counties()
	if county != "" {
		counties = []string{county}
	}
	if err := s.loadOffers(ctx); err != nil { // a tool has not started the service
		return err
	}
	for i, c := range counties {
		if err := s.rebuildCounty(ctx, c); err != nil {
			return fmt.Errorf("rebuild county %s: %w", c, err)
		}
		if progress != nil {
			progress(i+1, len(counties))
		}
	}
	return nil
}
