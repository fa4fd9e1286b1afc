package care

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// EditNeed changes what a live need asks for. What is promised beyond it goes
// back to those who wait; what is wanted more is looked for at once; its place
// among those who wait follows. Editing to what is so already changes nothing.
//
// Errors: [ErrNotYours], those of [residents.Service.EditNeed], a
// [residents.FieldError] for less than was handed over, and, where less is
// wanted than is promised, [LeasedError] and [ErrDisputed] while a device has
// what is promised.
func (s *Service) EditNeed(ctx context.Context, p accounts.Principal, id string, e residents.NeedEdit) (*residents.Need, error) {
	n, err := s.needs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.within(ctx, p, "edit_need", id, n.Resident, n.Division); err != nil {
		return nil, err
	}
	past, err := s.pastOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.QtyUnits != nil {
		v := needView(n, past)
		if *e.QtyUnits > 0 && *e.QtyUnits < v.GivenUnits {
			return nil, &residents.FieldError{
				Field: "qty_units", ZH: "数量不能少于已交付的；不再需要其余的请撤回", EN: "it cannot be less than was handed over; withdraw the need if the rest is not wanted",
			}
		}
		if *e.QtyUnits < v.PromisedUnits+v.GivenUnits {
			if err := s.notLeased(ctx, id); err != nil {
				return nil, fmt.Errorf("edit need %s: %w", id, err)
			}
		}
	}
	e.Money = n.Category == providers.Cash
	edited, err := s.residents.EditNeed(ctx, id, p.Account, e, s.now())
	if err != nil {
		return nil, err
	}
	s.emit(ctx, needEvents(edited, n.Steps())...)
	if err := s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "edit_need", Object: id,
		Subject: n.Resident, Division: n.Division, Purpose: e.Why, Outcome: "ok",
	}); err != nil {
		return nil, err
	}
	// Also where nothing was changed: the one who changed it may have died here.
	if err := s.followEdit(ctx, edited, p.Account); err != nil {
		return nil, fmt.Errorf("edit need %s: %w", id, err)
	}
	return s.needs.Get(ctx, id)
}

// followEdit brings promises and waiting lists in line with what a need asks
// for now.
func (s *Service) followEdit(ctx context.Context, n *residents.Need, by string) error {
	if err := s.trim(ctx, n, by, matching.ReasonReduced()); err != nil {
		return err
	}
	if n.State == residents.NeedOpen { // nobody has looked for it yet: the next scan does
		return nil
	}
	past, err := s.pastOf(ctx, n.ID)
	if err != nil {
		return err
	}
	v := needView(n, past)
	if v.LeftUnits == 0 {
		if err := s.engine.Unwait(ctx, n.County, n.Category, n.ID); err != nil && !errors.Is(err, matching.ErrNotReady) {
			s.log.Warn("take off the waiting list", "need", n.ID, "error", err)
		}
		told, _, err := s.advance(ctx, n, past, by, matching.Reason{})
		if len(told) > 0 {
			s.emit(ctx, told...)
		}
		return err
	}
	r, err := s.residents.Get(ctx, n.Resident)
	if err != nil {
		return err
	}
	s.wait(ctx, n, r.ScoreMilli)
	_, err = ledger{s}.Serve(ctx, n.County, n.ID)
	return err
}

// trim takes back what is promised for a need beyond what it asks for. It keeps
// what was accepted before the rest, the larger before the smaller, the older
// before the newer, as far as it fits; what a device has, or a dispute, stays.
func (s *Service) trim(ctx context.Context, n *residents.Need, by string, reason matching.Reason) error {
	past, err := s.pastOf(ctx, n.ID)
	if err != nil {
		return err
	}
	room := n.QtyUnits
	var loose []*Allocation
	for _, a := range past {
		switch {
		case !a.counts():
		case a.State == Promised && a.Lease == "" && a.Disputed == "":
			room -= a.GivenUnits
			loose = append(loose, a)
		default:
			room -= a.QtyUnits
		}
	}
	slices.SortStableFunc(loose, func(a, b *Allocation) int {
		accepted := func(a *Allocation) int { return int(min(a.AcceptedMs, 1)) }
		return cmp.Or(cmp.Compare(accepted(b), accepted(a)), cmp.Compare(b.QtyUnits, a.QtyUnits), cmp.Compare(a.PromisedMs, b.PromisedMs))
	})
	for _, a := range loose {
		if left := a.QtyUnits - a.GivenUnits; left <= room {
			room -= left
			continue
		}
		if _, err := s.end(ctx, a.ID, ending{by: by, to: Withdrawn, reason: reason}); err != nil && !settledElsewhere(err) {
			return err
		}
	}
	return nil
}
