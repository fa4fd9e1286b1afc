package care

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Back is units that came back after they were given, or that never were and
// were recorded by mistake.
type Back struct {
	QtyUnits   int64  `json:"qty_units"`
	SeenUnits  int64  `json:"seen_units"`  // given before it came back
	AfterParts int64  `json:"after_parts"` // how many parts there were
	AtMs       int64  `json:"at_ms"`
	By         string `json:"by"`
	Why        string `json:"why"` // of [BackReasons]
	// Vouchers are the units whose codes count again.
	Vouchers []int64 `json:"vouchers,omitempty"`
	// Lost: they are of no use to anybody else.
	Lost bool `json:"lost,omitempty"`
	// Kept: the promise stood when it came back, and they are the person's still.
	Kept bool `json:"kept,omitempty"`
}

// BackView is a coming back as people see it.
type BackView struct {
	QtyUnits int64  `json:"qty_units"`
	AtMs     int64  `json:"at_ms"`
	Why      string `json:"why"`
}

// Why something comes back.
const (
	BackMistake = "mistake" // it was never given; the need is open again
	BackUnused  = "unused"  // brought back, and of use to somebody else
	BackSpoiled = "spoiled" // brought back, and lost
)

// BackReasons are the reasons for which units come back.
func BackReasons() []string { return []string{BackMistake, BackUnused, BackSpoiled} }

// maxBacks bounds how often something of one allocation comes back.
const maxBacks = 40

// backSep stands between an allocation's id and the number of a coming back.
const backSep = "/back"

// backName names the latest coming back, on the share and to the matcher.
func (a *Allocation) backName() string { return a.ID + backSep + strconv.Itoa(len(a.Backs)) }

func backViews(a *Allocation) (out []BackView) {
	for _, b := range a.Backs {
		out = append(out, BackView{b.QtyUnits, b.AtMs, b.Why})
	}
	return out
}

// TakingBack is what is taken back.
type TakingBack struct {
	Units      int64  // 1..what was given
	GivenUnits int64  // as the asker saw it
	Why        string // of [BackReasons]
}

// TakeBack takes back some or all of what was handed over: units go back to the
// lot, or are lost with it where its time is over or they are of no use, and
// the claim is free again. What was recorded stays; this is a further step. After a
// mistake the need is open again. Repeating it changes nothing.
//
// Errors: [ErrEnded] where nothing was given, [ErrGivenMeanwhile], [ErrUnits],
// [ErrNotYours], [ErrNotReady] while the handover is not booked yet,
// [residents.FieldError], [store.ErrNotFound].
func (s *Service) TakeBack(ctx context.Context, p accounts.Principal, id string, t TakingBack) (AllocationView, error) {
	if p.Role == accounts.Resident {
		return AllocationView{}, ErrNotYours
	}
	a, err := s.mine(ctx, p, "return", id)
	if err != nil {
		return AllocationView{}, err
	}
	if a, err = s.takeBack(ctx, p, a, t); err != nil {
		return AllocationView{}, err
	}
	return s.view(a), nil
}

func (s *Service) takeBack(ctx context.Context, p accounts.Principal, a *Allocation, t TakingBack) (*Allocation, error) {
	switch {
	case !slices.Contains(BackReasons(), t.Why):
		return nil, &residents.FieldError{Field: "why", ZH: "请选择收回的原因", EN: "choose why it comes back"}
	case t.Units < 1:
		return nil, &residents.FieldError{Field: "units", ZH: "请填写收回的数量，至少 1", EN: "say how many come back, at least 1"}
	}
	if a.Unsettled { // its handover, or what came back before, is booked first
		if err := s.settle(ctx, a); err != nil {
			return nil, fmt.Errorf("take back of %s: %w", a.ID, err)
		}
	}
	now, id := s.now().UnixMilli(), a.ID
	a, err := s.allocations.Change(ctx, id, func(a *Allocation) error {
		given := a.givenNow()
		last := len(a.Backs) - 1
		if last >= 0 {
			if b := a.Backs[last]; b.SeenUnits == t.GivenUnits && b.QtyUnits == t.Units && b.By == p.Account && b.AfterParts == int64(len(a.Parts)) {
				return errSame
			}
		}
		switch {
		case given == 0, a.OverCap:
			return ErrEnded
		case a.Disputed != "":
			return ErrDisputed
		case a.Unsettled:
			return ErrNotReady
		case given != t.GivenUnits:
			return ErrGivenMeanwhile
		case t.Units > given || len(a.Backs) >= maxBacks:
			return ErrUnits
		}
		if len(a.Parts) == 0 { // it was given whole
			a.Parts = []Part{{
				QtyUnits: a.QtyUnits, AtMs: a.givenMs(), By: a.EndedBy, Proof: a.Proof, Carer: a.Carer, Scan: a.Scan, Vouchers: a.nextVouchers(a.QtyUnits),
			}}
		}
		a.Backs = append(a.Backs, Back{
			QtyUnits: t.Units, SeenUnits: given, AfterParts: int64(len(a.Parts)), AtMs: now, By: p.Account, Why: t.Why,
			Vouchers: a.lastVouchers(t.Units), Lost: t.Why == BackSpoiled && a.State != Promised, Kept: a.State == Promised,
		})
		if a.State == Promised { // the share has all of it as promised still
			a.GivenUnits -= t.Units
			return nil
		}
		a.QtyUnits -= t.Units
		a.GivenUnits = min(a.GivenUnits, a.QtyUnits)
		a.ReturnedUnits += t.Units
		a.BackUnits, a.Unsettled = t.Units, true
		if a.QtyUnits == 0 {
			a.State = Returned
		}
		return nil
	})
	if errors.Is(err, errSame) {
		if a, err = s.allocations.Get(ctx, id); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("take back: %w", err)
	} else if a.BackUnits > 0 {
		s.settleLate(ctx, a)
	} else {
		s.emit(ctx, backEvents(a)...)
	}
	return a, s.audited(ctx, p, "return", a)
}

// lastVouchers are the units given last, whose codes count again.
func (a *Allocation) lastVouchers(units int64) (out []int64) {
	if a.Handover.How != providers.Voucher {
		return nil
	}
	for _, x := range slices.Backward(a.Parts) {
		for _, unit := range slices.Backward(x.Vouchers) {
			if int64(len(out)) < units && a.redeemedMs(unit) > 0 && !slices.Contains(out, unit) {
				out = append(out, unit)
			}
		}
	}
	return out
}

// settleBack tells the share, the matcher, the events and the need that units
// came back. Every step may be repeated.
func (s *Service) settleBack(ctx context.Context, a *Allocation) error {
	last := a.Backs[len(a.Backs)-1]
	name, units := a.backName(), a.BackUnits
	var share *providers.Share
	for try := 0; ; try++ {
		var err error
		if share, err = s.shares.Get(ctx, a.Share); err != nil {
			return err
		}
		// Read after the share, as in settleShare: who settled it in between has
		// changed the share's version.
		stored, err := s.allocations.Get(ctx, a.ID)
		if err != nil {
			return err
		}
		if stored.BackUnits == 0 || stored.backName() != name || !share.TakeBack(name, units, last.Lost) {
			break
		}
		share.UpdatedMs = s.now().UnixMilli()
		if err = s.shares.Replace(ctx, share); err == nil {
			break
		}
		if !errors.Is(err, store.ErrConflict) || try == 64 {
			return err
		}
	}
	var err error
	if s.now().UnixMilli()-last.AtMs > forgotten.Milliseconds() {
		err = s.engine.Drop(ctx, a.County)
		s.worker.Kick(a.County)
	} else {
		h := a.hold()
		if h.QtyUnits = units; a.State != Returned { // something stays with them, and rules count the claim as long as it does
			h.Keys, h.Day = nil, 0
		}
		err = s.engine.TakeBack(ctx, a.County, name, h, !share.Closed && !last.Lost)
	}
	if err != nil {
		return fmt.Errorf("tell the matcher: %w", err)
	}
	s.emit(ctx, backEvents(a)...)
	if last.Why == BackMistake && a.Resident != "" {
		if err := s.reopen(ctx, a, last); err != nil {
			return err
		}
	}
	a.Unsettled, a.BackUnits = false, 0
	if err := s.allocations.Replace(ctx, a); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	s.worker.Kick(a.County)
	return nil
}

// reopen takes up the need again of which something was given by mistake.
func (s *Service) reopen(ctx context.Context, a *Allocation, b Back) error {
	past, err := s.pastOf(ctx, a.Need)
	if err != nil {
		return err
	}
	n, err := s.needs.Get(ctx, a.Need)
	if err != nil {
		return err
	}
	if v := needView(n, past); n.State != residents.NeedHandedOver || v.GivenUnits >= n.QtyUnits {
		return s.refreshNeed(ctx, a.Need, b.By, reasonBack(b), Returned)
	}
	steps := n.Steps()
	n, err = s.residents.ReopenNeed(ctx, n.ID, b.By, reasonBack(b), s.now())
	if err != nil {
		return err
	}
	s.emit(ctx, needEvents(n, steps)...)
	return nil
}

func backEvents(a *Allocation) (out []*Event) {
	for i, b := range a.Backs {
		e := allocationEvent(a, string(Returned), b.AtMs, b.By, reasonBack(b))
		e.ID, e.QtyUnits = a.ID+":back:"+strconv.Itoa(i+1), b.QtyUnits
		out = append(out, e)
	}
	return out
}

func reasonBack(b Back) matching.Reason {
	text := map[string]matching.Text{
		BackMistake: {ZH: "误记为已交付，已更正；需求重新待匹配。", EN: "It was recorded as given by mistake; the need is open again."},
		BackUnused:  {ZH: "已交付的物品退回，份额继续派发。", EN: "What was given was brought back; it goes to somebody else."},
		BackSpoiled: {ZH: "已交付的物品退回，已不能再用。", EN: "What was given was brought back and is of no more use."},
	}[b.Why]
	if b.Kept {
		text = map[string]matching.Text{
			BackMistake: {ZH: "误记为已交付，已更正；份额仍为本人保留。", EN: "It was recorded as given by mistake; it is kept for the person still."},
			BackUnused:  {ZH: "已交付的物品退回，份额仍为本人保留。", EN: "What was given was brought back; it is kept for the person still."},
			BackSpoiled: {ZH: "已交付的物品退回，已不能再用；份额仍为本人保留。", EN: "What was given was brought back and is of no more use; as much is kept for the person still."},
		}[b.Why]
	}
	return matching.Reason{Code: "back_" + b.Why, ZH: text.ZH, EN: text.EN}
}

// CodeNoShow is why a promise ended: nobody came, or nobody was at home.
const CodeNoShow = "no_show"

// NoShow ends a promise because nobody came for it, or nobody was at home: its
// units are given to others at once. What was given of it before stands.
// Errors: as for [Service.Decline].
func (s *Service) NoShow(ctx context.Context, p accounts.Principal, id string) (AllocationView, error) {
	if p.Role == accounts.Resident {
		return AllocationView{}, ErrNotYours
	}
	a, err := s.mine(ctx, p, "no_show", id)
	if err != nil {
		return AllocationView{}, err
	}
	if a, err = s.noShow(ctx, p, a); err != nil {
		return AllocationView{}, err
	}
	return s.view(a), nil
}

func (s *Service) noShow(ctx context.Context, p accounts.Principal, a *Allocation) (*Allocation, error) {
	reason := matching.Reason{Code: CodeNoShow, ZH: "约定的时间无人领取，份额已继续派发。", EN: "Nobody came for it when it was due; it goes to somebody else."}
	if a.broughtHome() {
		reason.ZH, reason.EN = "上门时无人在家，份额已继续派发。", "Nobody was at home when it was brought; it goes to somebody else."
	}
	a, err := s.end(ctx, a.ID, ending{by: p.Account, to: Expired, reason: reason})
	if err != nil {
		return nil, fmt.Errorf("no-show: %w", err)
	}
	return a, s.audited(ctx, p, doneBy(p, "no_show", a.EndedBy), a)
}
