package care

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	done      chan struct{}
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
	}
}

// submit hands proposals over and waits for the record. When ctx ends first
// the outcome is unknown: the holds' deadlines decide it later.
func (c *committer) submit(ctx context.Context, ps []*proposal) error {
	if len(ps) == 0 {
		return nil
	}
	b := &batch{proposals: ps, done: make(chan struct{})}
	select {
	case c.queue <- b:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.s.stopped:
		return errStopping
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.s.stopped:
		return errStopping
	}
	for _, p := range ps {
		if p.err != nil {
			return p.err
		}
	}
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
	reserved, err := c.reserve(ctx, pending)
	if err == nil {
		err = c.insert(ctx, reserved)
	}
	if err != nil {
		for _, p := range pending {
			if p.stored == nil && p.refused.Code == "" {
				p.err = err
			}
		}
	}
}

// reserve counts the units as promised on their shares. Reading the shares
// first and the allocations after them makes a repeat safe: an allocation that
// another process inserts in between has changed the share's version.
func (c *committer) reserve(ctx context.Context, pending []*proposal) (reserved []*proposal, err error) {
	for try := 0; len(pending) > 0; try++ {
		if try == 64 {
			return reserved, fmt.Errorf("reserve %d allocations: %w", len(pending), store.ErrConflict)
		}
		shares, err := c.s.shares.GetAll(ctx, distinct(pending, func(p *proposal) string { return p.hold.Lot }))
		if err != nil {
			return reserved, err
		}
		byID := make(map[string]*providers.Share, len(shares))
		for _, sh := range shares {
			byID[sh.ID] = sh
		}
		known, err := c.existing(ctx, pending)
		if err != nil {
			return reserved, err
		}
		changed := map[string][]*proposal{}
		for _, p := range pending {
			if a := known[p.hold.ID]; a != nil {
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
				p.refused, p.contradicts = matching.ReasonRecordFull(), true
			case err != nil:
				return reserved, err
			default:
				changed[sh.ID] = append(changed[sh.ID], p)
			}
		}
		write := make([]*providers.Share, 0, len(changed))
		dropped := make(map[string][]string, len(changed))
		for id := range changed {
			sh := byID[id]
			if marks := c.takeCleared(id); len(marks) > 0 {
				sh.Confirmed(marks...)
				dropped[id] = marks
			}
			sh.UpdatedMs = c.s.now().UnixMilli()
			write = append(write, sh)
		}
		errs, err := c.s.shares.ReplaceAll(ctx, write)
		if err != nil {
			return reserved, err
		}
		pending = pending[:0:0]
		for i, sh := range write {
			if errs[i] != nil {
				pending = append(pending, changed[sh.ID]...)
				c.addCleared(sh.ID, dropped[sh.ID]...)
				continue
			}
			reserved = append(reserved, changed[sh.ID]...)
		}
	}
	return reserved, nil
}

// insert writes the allocations; the claim key and the id decide.
func (c *committer) insert(ctx context.Context, reserved []*proposal) error {
	if len(reserved) == 0 {
		return nil
	}
	docs := make([]*Allocation, len(reserved))
	for i, p := range reserved {
		docs[i] = p.alloc
	}
	var dups []store.Duplicate
	var err error
	again := false
	for try := 0; try < 3; try++ {
		if dups, err = c.s.allocations.InsertAll(ctx, docs); err == nil {
			break
		}
		again = true // an unanswered insert may have been carried out
	}
	if err != nil {
		return err
	}
	dup := make(map[int]store.Duplicate, len(dups))
	for _, d := range dups {
		dup[d.Position] = d
	}
	var undo, double []*proposal
	for i, p := range reserved {
		d, left := dup[i]
		switch {
		case !left:
			p.stored, p.fresh = p.alloc, true
			c.addCleared(p.hold.Lot, p.hold.ID)
		case d.Index == "" || again:
			double = append(double, p)
		default:
			undo = append(undo, p)
		}
	}
	if len(double) > 0 {
		known, err := c.existing(ctx, double)
		if err != nil {
			return err
		}
		for _, p := range double {
			if a := known[p.hold.ID]; a != nil {
				c.settleExisting(p, a)
				switch {
				case a.Share != p.hold.Lot:
					undo = append(undo, p) // promised from another share
				case a.State != Void: // whoever wrote Void gives the units back
					c.addCleared(p.hold.Lot, p.hold.ID)
				}
				continue
			}
			undo = append(undo, p)
		}
	}
	for _, p := range undo {
		p.refused, p.contradicts = matching.ReasonRecordClaimed(), true
		if err := c.s.unreserve(ctx, p.hold.Lot, p.hold.ID, p.hold.QtyUnits); err != nil {
			c.s.log.Error("give back refused units", "share", p.hold.Lot, "allocation", p.hold.ID, "error", err)
		}
	}
	return nil
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
