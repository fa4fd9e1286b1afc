package care

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// batchMax is the most allocations one group commit takes.
const batchMax = 256

// proposal is a hold on its way into the record.
type proposal struct {
	hold  matching.Hold
	alloc *Allocation

	// The outcome, set before done is closed:
	stored  *Allocation     // what the record has; nil when refused
	fresh   bool            // this call wrote it
	refused matching.Reason // why not
	// contradicts: the matcher can only have held this because it forgot
	// something; otherwise the world changed between the two.
	contradicts bool
	err         error // the record did not answer: unknown outcome
}

type batch struct {
	proposals []*proposal
	done      chan struct{} // the record has answered
	told      chan struct{} // and the matcher was told what it promised
}

// committer writes proposals of many scans together: per share one
// compare-and-set, then one insert of the allocations.
type committer struct {
	s     *Service
	queue chan *batch

	mu sync.Mutex
	// cleared holds, per share, allocations known to be inserted whose "+"
	// mark the next write of the share drops.
	cleared map[string][]string
}

func newCommitter(s *Service) *committer {
	return &committer{s: s, queue: make(chan *batch, 1024), cleared: map[string][]string{}}
}

// run takes what is waiting, commits it, and begins again. Two runners may
// work at once; the record decides between them.
func (c *committer) run(ctx context.Context) {
	for {
		var b *batch
		select {
		case <-ctx.Done():
			return
		case b = <-c.queue:
		}
		batches, n := []*batch{b}, len(b.proposals)
	more:
		for n < batchMax {
			select {
			case b := <-c.queue:
				batches, n = append(batches, b), n+len(b.proposals)
			default:
				break more
			}
		}
		all := make([]*proposal, 0, n)
		for _, b := range batches {
			all = append(all, b.proposals...)
		}
		c.commit(ctx, all)
		for _, b := range batches {
			close(b.done)
		}
		c.s.running.Go(func() {
			c.tell(ctx, all)
			for _, b := range batches {
				close(b.told)
			}
		})
	}
}

// tell has the matcher know what the record has promised, one call a county.
// The record has decided: a fault of Redis delays the matcher's knowledge, it
// does not change the answer, and neither does a caller who leaves.
func (c *committer) tell(ctx context.Context, all []*proposal) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateness)
	defer cancel()
	promised := map[string][]matching.Hold{}
	for _, p := range all {
		if p.stored != nil {
			promised[p.stored.County] = append(promised[p.stored.County], p.stored.hold())
		}
	}
	for county, holds := range promised {
		if err := c.s.engine.Promise(ctx, county, holds); err != nil {
			c.s.log.Warn("tell the matcher of promises", "county", county, "count", len(holds), "error", err)
		}
	}
}

// decides is how long a caller who leaves waits for what the record is deciding
// already, so that what it decides is told and the need stands as it should.
const decides = 6 * lateness

// submit hands proposals over and waits until the record has decided and the
// matcher was told. When ctx ends before they are taken, nothing was decided; when
// the record does not decide in time after that, the outcome is unknown: the
// holds' deadlines decide it later.
func (c *committer) submit(ctx context.Context, ps []*proposal) error {
	if len(ps) == 0 {
		return nil
	}
	b := &batch{proposals: ps, done: make(chan struct{}), told: make(chan struct{})}
	select {
	case c.queue <- b:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.s.stopped:
		return errStopping
	}
	var late <-chan time.Time // once the caller has left
	for gone := ctx.Done(); ; {
		select {
		case <-b.done:
			return c.decided(b)
		case <-gone:
			gone, late = nil, time.After(decides)
		case <-late:
			return ctx.Err()
		case <-c.s.stopped:
			return errStopping
		}
	}
}

// decided waits until the matcher knows too.
func (c *committer) decided(b *batch) error {
	for _, p := range b.proposals {
		if p.err != nil {
			return p.err
		}
	}
	<-b.told
	return nil
}

var errStopping = errors.New("the server is stopping")

func (c *committer) commit(ctx context.Context, all []*proposal) {
	// A hold near its deadline may be released by a sweeper at any moment.
	margin := c.s.now().Add(2 * time.Second).UnixMilli()
	pending := make([]*proposal, 0, len(all))
	for _, p := range all {
		if p.hold.DeadlineMs <= margin {
			p.refused = matching.ReasonRecordFull()
			continue
		}
		pending = append(pending, p)
	}
	fresh, double, err := c.record(ctx, pending)
	// What the record has decided is so, also where it could not be asked for more.
	// Who proposed the same is answered by what has become of it.
	err = errors.Join(err, c.checkCaps(ctx, fresh))
	if err = errors.Join(err, c.settleDouble(ctx, double)); err != nil {
		for _, p := range pending {
			if p.stored == nil && p.refused.Code == "" {
				p.err = err
			}
		}
	}
}

// record counts the units as promised on their shares and inserts the
// allocations; the share's version, the allocation's id and its claim key decide.
// Reading the shares first and the allocations after them makes a repeat safe: an
// allocation that another process inserts in between has changed the share's
// version. fresh were inserted; double were there before, by their id or by their
// claim.
func (c *committer) record(ctx context.Context, pending []*proposal) (fresh, double []*proposal, err error) {
	unanswered := 0
	for try := 0; len(pending) > 0; try++ {
		if try == 64 {
			return fresh, double, fmt.Errorf("reserve %d allocations: %w", len(pending), store.ErrConflict)
		}
		shares, err := c.s.shares.GetAll(ctx, distinct(pending, func(p *proposal) string { return p.hold.Lot }))
		if err != nil {
			return fresh, double, err
		}
		byID := make(map[string]*providers.Share, len(shares))
		for _, sh := range shares {
			byID[sh.ID] = sh
		}
		known, err := c.existing(ctx, pending)
		if err != nil {
			return fresh, double, err
		}
		changed := map[string][]*proposal{}
		for _, p := range pending {
			if a := known[p.hold.ID]; a != nil {
				if unanswered > 0 && same(a, p.alloc) { // this call wrote it a moment ago
					p.alloc = a
					fresh = append(fresh, p)
					continue
				}
				c.settleExisting(p, a)
				continue
			}
			sh := byID[p.hold.Lot]
			if sh == nil {
				p.refused = matching.ReasonRecordFull()
				continue
			}
			switch err := sh.Reserve(p.hold.ID, p.hold.QtyUnits); {
			case errors.Is(err, providers.ErrClosed), errors.Is(err, providers.ErrMarked):
				p.refused = matching.ReasonRecordFull()
			case errors.Is(err, providers.ErrFull):
				// Units in doubt may come back; without them the matcher has given
				// away what was gone. Until that is known, the share is watched.
				doubt := int64(0)
				for _, m := range sh.Reservations() {
					doubt += m.QtyUnits
				}
				p.refused, p.contradicts = matching.ReasonRecordFull(), sh.FreeUnits()+doubt < p.hold.QtyUnits
				if doubt > 0 {
					c.s.suspects.watch(sh.ID, p.hold.QtyUnits)
				}
			case err != nil:
				return fresh, double, err
			default:
				changed[sh.ID] = append(changed[sh.ID], p)
			}
		}
		steps := make([]*store.Step, 0, len(changed))
		dropped := make(map[string][]string, len(changed))
		for id, ps := range changed {
			sh := byID[id]
			if marks := c.takeCleared(id); len(marks) > 0 {
				sh.Confirmed(marks...)
				dropped[id] = marks
			}
			sh.UpdatedMs = c.s.now().UnixMilli()
			step := &store.Step{Collection: c.s.shares.Name, Doc: sh}
			for _, p := range ps {
				step.Then = append(step.Then, store.Addition{Collection: c.s.allocations.Name, Doc: p.alloc})
			}
			steps = append(steps, step)
		}
		pending = pending[:0:0]
		if err := store.Write(ctx, c.s.record, steps); err != nil {
			// It may have been carried out: what the record has by now decides.
			if unanswered++; unanswered == 3 {
				return fresh, double, err
			}
			for id, ps := range changed {
				pending = append(pending, ps...)
				c.addCleared(id, dropped[id]...)
			}
			continue
		}
		for _, step := range steps {
			id := step.Doc.Key()
			if step.Err != nil {
				pending = append(pending, changed[id]...)
				c.addCleared(id, dropped[id]...)
				continue
			}
			for i, p := range changed[id] {
				if step.Then[i].There {
					double = append(double, p)
				} else {
					fresh = append(fresh, p)
				}
			}
		}
	}
	return fresh, double, nil
}

// same says whether the record's allocation is the very one that this call made.
func same(stored, made *Allocation) bool {
	return stored.State == Promised && stored.Share == made.Share && stored.QtyUnits == made.QtyUnits && stored.Claim == made.Claim &&
		stored.PromisedMs == made.PromisedMs && stored.PromisedBy == made.PromisedBy
}

// settleDouble answers those whose allocation or claim the record had already,
// after their units were reserved.
func (c *committer) settleDouble(ctx context.Context, double []*proposal) error {
	if len(double) == 0 {
		return nil
	}
	known, err := c.existing(ctx, double)
	if err != nil {
		return err
	}
	var undo []*proposal
	for _, p := range double {
		a := known[p.hold.ID]
		if a == nil {
			p.contradicts = true // another allocation has made this claim
			undo = append(undo, p)
			continue
		}
		c.settleExisting(p, a)
		switch {
		case a.Share != p.hold.Lot:
			undo = append(undo, p) // promised from another share
		case a.State != Void: // whoever wrote Void gives the units back
			c.addCleared(p.hold.Lot, p.hold.ID)
		}
	}
	for _, p := range undo {
		p.refused = matching.ReasonRecordClaimed()
		if err := c.s.unreserve(ctx, p.hold.Lot, p.hold.ID, p.hold.QtyUnits); err != nil {
			c.s.log.Error("give back refused units", "share", p.hold.Lot, "allocation", p.hold.ID, "error", err)
		}
	}
	return nil
}

// checkCaps looks, after the insert, whether the record agrees that the caps
// have room. The claim key refuses a claim made twice; this refuses one made
// by a matcher that forgot others. Of two claims that together are too many,
// the later to look sees both. What is over a cap is void before anybody hears
// of it. So is what a rule of the offer's does not allow, by what the household has
// had meanwhile.
func (c *committer) checkCaps(ctx context.Context, fresh []*proposal) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, p := range fresh {
		g.Go(func() error {
			over, err := c.s.overCap(gctx, p.alloc, (*Allocation).counts)
			if err != nil {
				return err
			}
			if over {
				p.refused, p.contradicts = matching.ReasonRecordClaimed(), true
				return c.s.void(gctx, p.alloc)
			}
			why, err := c.s.against(gctx, p.alloc)
			if err != nil {
				return err
			}
			if why.Code != "" {
				p.refused = why
				return c.s.void(gctx, p.alloc)
			}
			p.stored, p.fresh = p.alloc, true
			c.addCleared(p.hold.Lot, p.hold.ID)
			return nil
		})
	}
	return g.Wait()
}

// overCap says whether, by the record, an allocation's household has more than
// a cap allows in the allocation's periods, of what counts.
func (s *Service) overCap(ctx context.Context, a *Allocation, counts func(*Allocation) bool) (bool, error) {
	if a.CategoryCap.Limit == 0 && a.OfferCap.Limit == 0 {
		return false, nil
	}
	from := a.CategoryCap.Period
	if a.OfferCap.Limit > 0 { // its period may have begun earlier
		began := matching.PeriodOf(a.OfferCap.Period).Start(time.UnixMilli(a.PromisedMs))
		from = min(from, matching.PeriodOf(a.CategoryCap.Period).Label(began))
	}
	prefix := a.Household + "|" + a.CategoryCap.Field + "|"
	var category, offer int64
	err := s.allocations.Each(ctx, store.Query{
		Index: "claim", From: prefix + from + "|", To: a.Household + "|" + a.CategoryCap.Field + "}",
	}, func(x *Allocation) error {
		if !counts(x) {
			return nil
		}
		if x.CategoryCap.Period == a.CategoryCap.Period {
			category += x.QtyUnits
		}
		if x.OfferCap.Field == a.OfferCap.Field && x.OfferCap.Period == a.OfferCap.Period {
			offer += x.QtyUnits
		}
		return nil
	})
	return a.CategoryCap.Limit > 0 && category > a.CategoryCap.Limit || a.OfferCap.Limit > 0 && offer > a.OfferCap.Limit, err
}

// void takes back an allocation that nobody has heard of: its "+" mark still
// stands, so its units are undone.
func (s *Service) void(ctx context.Context, a *Allocation) error {
	_, err := s.allocations.Change(ctx, a.ID, func(x *Allocation) error {
		if x.State != Promised || x.heard() {
			return errSame
		}
		x.State, x.EndedMs, x.EndedBy = Void, s.now().UnixMilli(), byWorker
		return nil
	})
	if errors.Is(err, errSame) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.unreserve(ctx, a.Share, a.ID, a.QtyUnits)
}

// settleExisting answers a proposal whose id the record has already.
func (c *committer) settleExisting(p *proposal, a *Allocation) {
	if a.State == Promised && a.Share == p.hold.Lot && a.QtyUnits == p.hold.QtyUnits {
		p.stored = a
		return
	}
	p.refused = matching.ReasonRecordClaimed()
}

func (c *committer) existing(ctx context.Context, ps []*proposal) (map[string]*Allocation, error) {
	found, err := c.s.allocations.GetAll(ctx, distinct(ps, func(p *proposal) string { return p.hold.ID }))
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*Allocation, len(found))
	for _, a := range found {
		byID[a.ID] = a
	}
	return byID, nil
}

func (c *committer) addCleared(share string, allocations ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.cleared[share]; len(have) < 4*batchMax {
		c.cleared[share] = append(have, allocations...)
	}
}

func (c *committer) takeCleared(share string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	marks := c.cleared[share]
	delete(c.cleared, share)
	return marks
}

func distinct(ps []*proposal, key func(*proposal) string) []string {
	seen := make(map[string]bool, len(ps))
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		if k := key(p); !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}
