package care

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Allocation reads one allocation that the principal may see: a caseworker of
// its division, the resident. Errors: [store.ErrNotFound], [ErrNotYours].
func (s *Service) Allocation(ctx context.Context, p accounts.Principal, id string) (AllocationView, error) {
	a, err := s.mine(ctx, p, "view_allocation", id)
	if err != nil {
		return AllocationView{}, err
	}
	return s.view(a), nil
}

func (s *Service) mine(ctx context.Context, p accounts.Principal, act, id string) (*Allocation, error) {
	a, err := s.allocations.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if a.State == Void {
		return nil, fmt.Errorf("allocation %s: %w", id, store.ErrNotFound)
	}
	if err := s.within(ctx, p, act, id, a.Resident, a.Division); err != nil {
		return nil, err
	}
	return a, nil
}

// Accept says that the resident wants what was promised; the promise then
// stands until the lot ends. Accepting again changes nothing.
// Errors: [ErrEnded], [ErrNotYours], [store.ErrNotFound].
func (s *Service) Accept(ctx context.Context, p accounts.Principal, id string) (AllocationView, error) {
	if _, err := s.mine(ctx, p, "accept", id); err != nil {
		return AllocationView{}, err
	}
	now := s.now().UnixMilli()
	fresh := false
	a, err := s.allocations.Change(ctx, id, func(a *Allocation) error {
		if a.State != Promised {
			return ErrEnded
		}
		fresh = a.AcceptedMs == 0
		if fresh {
			a.AcceptedMs, a.AcceptedBy = now, p.Account
			if a.Lease == "" && a.Disputed == "" {
				a.ExpiresMs = a.UntilMs
			}
		}
		return nil
	})
	if err != nil {
		return AllocationView{}, fmt.Errorf("accept %s: %w", id, err)
	}
	if fresh { // whatever becomes of the entry: the repeat is not fresh
		s.emit(ctx, acceptedEvent(a))
	}
	if err := s.audited(ctx, p, doneBy(p, "accept", a.AcceptedBy), a); err != nil {
		return AllocationView{}, err
	}
	return s.view(a), nil
}

// Decline gives the units back to the drip; the need ends as declined unless
// something else is promised for it. note is what the resident said, up to 200
// characters; it is sealed. Declining again changes nothing.
// Errors: [ErrEnded] when it was handed over or expired, [LeasedError] and
// [ErrDisputed] while a device has it, [ErrNotYours], [store.ErrNotFound].
func (s *Service) Decline(ctx context.Context, p accounts.Principal, id, note string) (AllocationView, error) {
	if _, err := s.mine(ctx, p, "decline", id); err != nil {
		return AllocationView{}, err
	}
	if r := []rune(note); len(r) > 200 {
		note = string(r[:200])
	}
	sealed, err := s.vault.Seal(noteField, id, note)
	if err != nil {
		return AllocationView{}, fmt.Errorf("decline %s: %w", id, err)
	}
	a, err := s.end(ctx, id, ending{by: p.Account, to: Declined, remark: sealed, reason: matching.ReasonDeclined()})
	if err != nil {
		return AllocationView{}, fmt.Errorf("decline %s: %w", id, err)
	}
	if err := s.audited(ctx, p, doneBy(p, "decline", a.EndedBy), a); err != nil {
		return AllocationView{}, err
	}
	return s.view(a), nil
}

// noteField is the name under which the note of a refusal is sealed.
const noteField = "decline_note"

// doneBy is the act of a principal who asked for what by did: another one where
// somebody else did it before. A repeat by the one who did it is the same act,
// because the first may have stopped before its entry.
func doneBy(p accounts.Principal, act, by string) string {
	if by != p.Account {
		return act + "_repeated"
	}
	return act
}

func (s *Service) audited(ctx context.Context, p accounts.Principal, act string, a *Allocation) error {
	return s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: act, Object: a.ID,
		Subject: a.Resident, Division: a.Division, Outcome: "ok",
	})
}

// ending is how an allocation ends.
type ending struct {
	by     string
	to     State
	remark string // the proof of a handover, or the sealed note of a refusal
	carer  string // at a handover, the carer whose code was shown
	scan   string // of a handover that rests on one
	reason matching.Reason
	// dueMs, where it is set, is when it must have been due (Unix ms): an
	// allocation that was accepted since, and so prolonged, does not end.
	dueMs int64
	lease string // ends what this lease has
	// conflict decides what is in dispute; lost: the units are gone.
	conflict string
	lost     bool
}

// end takes an allocation from promised to its last state: the allocation
// decides (one compare-and-set), everything after follows from it and is
// repeated by [Service.resettle] after a crash.
func (s *Service) end(ctx context.Context, id string, e ending) (*Allocation, error) {
	now := s.now().UnixMilli()
	a, err := s.allocations.Change(ctx, id, func(a *Allocation) error {
		if a.State == e.to || a.RestState != "" && a.RestState == e.to || e.dueMs > 0 && a.State == Promised && a.ExpiresMs > e.dueMs {
			return errSame
		}
		if a.State != Promised {
			return ErrEnded
		}
		if a.Disputed != e.conflict {
			return ErrDisputed
		}
		if a.Lease != "" && a.Lease != e.lease && e.conflict == "" {
			return &LeasedError{Device: a.LeaseName, UntilMs: a.LeaseUntilMs}
		}
		if e.to != HandedOver && a.GivenUnits > 0 {
			a.endRest(e, now)
			return nil
		}
		a.State, a.Unsettled, a.EndedMs, a.EndedBy, a.EndReason = e.to, true, now, e.by, e.reason
		a.Lost = e.lost
		switch e.to {
		case HandedOver:
			a.Proof, a.Carer, a.Scan = e.remark, e.carer, e.scan
			a.giveRest()
		case Declined:
			a.NoteSealed = e.remark
		}
		return nil
	})
	if errors.Is(err, errSame) {
		return s.allocations.Get(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	s.settleLate(ctx, a)
	return a, nil
}

// settleLate settles what the record has ended: it may be late but not undone,
// so it does not end with the caller's patience.
func (s *Service) settleLate(ctx context.Context, a *Allocation) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateness)
	defer cancel()
	if err := s.settle(late, a); err != nil {
		s.log.Warn("settle later", "allocation", a.ID, "error", err)
	}
}

var errSame = errors.New("nothing to change")

// settle tells the share, the matcher, the events and the need that an
// allocation has ended. Every step may be repeated.
func (s *Service) settle(ctx context.Context, a *Allocation) error {
	if a.BackUnits > 0 {
		return s.settleBack(ctx, a)
	}
	outcome := map[State]providers.Outcome{
		HandedOver: providers.HandedOver, Declined: providers.Returned,
		Expired: providers.Returned, Withdrawn: providers.Returned,
	}[cmp.Or(a.RestState, a.State)]
	if a.Lost || (a.State == Expired || a.RestState == Expired) && a.UntilMs <= a.EndedMs {
		outcome = providers.Expired
	}
	rest := outcome
	if a.RestUnits > 0 {
		outcome = providers.HandedOver
	}
	share, err := s.settleShare(ctx, a, outcome, rest)
	if err != nil {
		return err
	}
	switch {
	case s.now().UnixMilli()-a.EndedMs > forgotten.Milliseconds():
		// The matcher forgets ends after half an hour and would take this one
		// for new: it is rebuilt from the record instead.
		err = s.engine.Drop(ctx, a.County)
		s.worker.Kick(a.County)
	case a.RestUnits > 0:
		// What was given stays taken; the rest is let go under the same id, which
		// ends it. A hold that nobody confirmed is confirmed first.
		if err := s.engine.Promise(ctx, a.County, []matching.Hold{a.hold()}); err != nil {
			return fmt.Errorf("tell the matcher: %w", err)
		}
		err = s.engine.Return(ctx, a.County, []matching.Hold{a.restHold()}, !share.Closed && rest == providers.Returned)
	case a.State == HandedOver:
		if a.Spare { // until now it was the device's claim
			if err := s.engine.Reassign(ctx, a.County, a.spareHold(), a.hold()); err != nil {
				return fmt.Errorf("tell the matcher: %w", err)
			}
		}
		err = s.engine.Finish(ctx, a.County, []matching.Hold{a.hold()})
	default:
		back := !share.Closed && outcome == providers.Returned
		err = s.engine.Return(ctx, a.County, []matching.Hold{a.hold()}, back)
	}
	if err != nil {
		return fmt.Errorf("tell the matcher: %w", err)
	}
	s.emit(ctx, endEvents(a)...)
	if a.Resident != "" { // a spare that nobody got has no need
		why, ended := a.EndReason, a.State
		if a.RestUnits > 0 {
			why, ended = a.RestReason, a.RestState
		}
		if err := s.refreshNeed(ctx, a.Need, a.EndedBy, why, ended); err != nil {
			return err
		}
	}
	// Last, because an unsettled allocation is taken up again after a crash.
	a.Unsettled = false
	if err := s.allocations.Replace(ctx, a); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	s.suspects.settled(a.Share, a.ID)
	if a.State != HandedOver || a.RestUnits > 0 {
		s.worker.Kick(a.County)
	}
	return nil
}

// forgotten is when the matcher may no longer know that an allocation ended.
const forgotten = 25 * time.Minute

// settleShare moves the units on the share, once: the share's "-" mark says
// that it was done, and as long as the allocation is unsettled the mark stays.
// The share is read before the allocation, so that whoever settled it in
// between has changed the share's version. The rest of what was given in part
// goes another way, in the same step.
func (s *Service) settleShare(ctx context.Context, a *Allocation, outcome, rest providers.Outcome) (*providers.Share, error) {
	for try := 0; ; try++ {
		share, err := s.shares.Get(ctx, a.Share)
		if err != nil {
			return nil, err
		}
		stored, err := s.allocations.Get(ctx, a.ID)
		if err != nil {
			return nil, err
		}
		if !stored.Unsettled || stored.BackUnits > 0 { // what comes back was settled before
			return share, nil
		}
		if !share.SettleParts(a.ID, a.QtyUnits, outcome, a.RestUnits, rest) {
			return share, nil
		}
		if marks := s.committer.takeCleared(share.ID); len(marks) > 0 {
			share.Confirmed(marks...)
		}
		if marks := s.suspects.takeSettled(share.ID); len(marks) > 0 {
			share.Settled(marks...)
		}
		share.UpdatedMs = s.now().UnixMilli()
		err = s.shares.Replace(ctx, share)
		if err == nil {
			return share, nil
		}
		if !errors.Is(err, store.ErrConflict) || try == 64 {
			return nil, err
		}
	}
}

// unreserve gives back what a refused proposal had reserved.
func (s *Service) unreserve(ctx context.Context, share, allocation string, qty int64) error {
	_, err := s.shares.Change(ctx, share, func(sh *providers.Share) error {
		sh.Undo(allocation, qty)
		sh.UpdatedMs = s.now().UnixMilli()
		return nil
	})
	return err
}

// refreshNeed brings a need's state in line with its allocations after one of
// them ended.
func (s *Service) refreshNeed(ctx context.Context, need, by string, reason matching.Reason, ended State) error {
	for try := 0; ; try++ {
		err := s.refreshOnce(ctx, need, by, reason, ended)
		if !errors.Is(err, store.ErrConflict) || try == 8 {
			return err
		}
	}
}

// refreshOnce gives [store.ErrConflict] where what the need asks for has changed
// meanwhile.
func (s *Service) refreshOnce(ctx context.Context, need, by string, reason matching.Reason, ended State) error {
	n, err := s.needs.Get(ctx, need)
	if err != nil {
		return err
	}
	if !n.State.Live() {
		return nil
	}
	var promised, given int64
	if err := s.allocations.Each(ctx, store.Query{Index: "need", Equal: []any{need}}, func(a *Allocation) error {
		switch a.State {
		case Promised:
			promised += a.QtyUnits
		case HandedOver:
			given += a.QtyUnits
		}
		return nil
	}); err != nil {
		return err
	}
	var to residents.NeedState
	switch {
	case given >= n.QtyUnits:
		to = residents.NeedHandedOver
	case promised > 0:
		return nil
	case ended == Declined && given == 0:
		to = residents.NeedDeclined
	case ended == HandedOver: // the rest is still wanted
		to = residents.NeedWaiting
	default: // expired or withdrawn: the next scan matches it again
		to = residents.NeedOpen
	}
	if to == residents.NeedWaiting {
		reason = n.Rest
		if reason.Code == "" {
			reason = matching.ReasonWaitingRest()
		}
	}
	return s.changeNeed(ctx, n, by, residents.Standing{State: to, Reason: reason})
}

// changeNeed is [Service.alterNeed], and tells the event.
func (s *Service) changeNeed(ctx context.Context, n *residents.Need, by string, at residents.Standing) error {
	told, err := s.alterNeed(ctx, n, by, at)
	if len(told) > 0 {
		s.emit(ctx, told...)
	}
	return err
}

// alterNeed writes a need's new state and reason, keeps n up to date, and takes
// an ended need off the waiting list. The event, if there is one, is for the
// caller to tell, also beside an error.
func (s *Service) alterNeed(ctx context.Context, n *residents.Need, by string, at residents.Standing) (told []*Event, err error) {
	if stands(n, at) {
		return nil, nil
	}
	from, steps := n.State, n.Steps()
	changed, err := s.residents.ChangeNeedFrom(ctx, n, by, at, s.now())
	if err != nil {
		return nil, err
	}
	*n = *changed
	return needEvents(n, steps), s.altered(ctx, n, from, at.State)
}

// stands says that nothing would change.
func stands(n *residents.Need, at residents.Standing) bool {
	return n.State == at.State && n.Reason.Code == at.Reason.Code && n.Reason.ZH == at.Reason.ZH && n.Rest.Code == at.Rest.Code && n.Rest.ZH == at.Rest.ZH
}

// altered has the matcher's waiting list follow a need's new state.
func (s *Service) altered(ctx context.Context, n *residents.Need, from, to residents.NeedState) error {
	if !to.Live() {
		if err := s.engine.Unwait(ctx, n.County, n.Category, n.ID); err != nil && !errors.Is(err, matching.ErrNotReady) {
			s.log.Warn("take off the waiting list", "need", n.ID, "error", err)
		}
	}
	if to == residents.NeedWaiting && from != to {
		r, err := s.residents.Get(ctx, n.Resident)
		if err != nil {
			return err
		}
		s.wait(ctx, n, r.ScoreMilli)
	}
	return nil
}

// advance brings a need in line with its allocations after a match. ended says
// that somebody has ended the need meanwhile; the events are for the caller to
// tell.
func (s *Service) advance(ctx context.Context, n *residents.Need, past []*Allocation, by string, short matching.Reason) (told []*Event, ended bool, err error) {
	for try := 0; ; try++ {
		told, ended, err = s.advanceOnce(ctx, n, past, by, short)
		if !errors.Is(err, store.ErrConflict) || try == 8 {
			return told, ended, err
		}
		current, err := s.needs.Get(ctx, n.ID)
		if err != nil {
			return nil, false, err
		}
		*n = *current
	}
}

// advanceOnce gives [store.ErrConflict] where what the need asks for has changed
// meanwhile.
func (s *Service) advanceOnce(ctx context.Context, n *residents.Need, past []*Allocation, by string, short matching.Reason) (told []*Event, ended bool, err error) {
	to, changes := standsAt(n, past, short)
	if !changes {
		return nil, false, nil
	}
	told, err = s.alterNeed(ctx, n, by, to)
	if !errors.Is(err, residents.ErrTransition) {
		return told, false, err
	}
	// Somebody ended the need while it was matched: what was promised to it
	// goes back to those who wait.
	current, err := s.needs.Get(ctx, n.ID)
	if err != nil {
		return nil, false, err
	}
	if *n = *current; n.State.Live() {
		return nil, false, nil
	}
	for _, a := range past {
		if a.State != Promised {
			continue
		}
		if _, err := s.end(ctx, a.ID, ending{by: by, to: Withdrawn, reason: matching.ReasonWithdrawn("")}); err != nil && !settledElsewhere(err) {
			return nil, true, err
		}
	}
	return nil, true, nil
}

// standsAt is where a need stands by its allocations and by what it is short of;
// changes is false where they say nothing.
func standsAt(n *residents.Need, past []*Allocation, short matching.Reason) (to residents.Standing, changes bool) {
	var promised, given int64
	var why matching.Reason
	for _, a := range past {
		switch a.State {
		case Promised:
			promised += a.QtyUnits
			why = a.Reason
		case HandedOver:
			given += a.QtyUnits
		}
	}
	switch {
	case given >= n.QtyUnits:
		to.State, to.Reason = residents.NeedHandedOver, matching.ReasonHandedOver()
	case promised > 0:
		to.State, to.Reason, to.Rest = residents.NeedPromised, why, short
	case short.Code != "":
		to.State, to.Reason = residents.NeedWaiting, short
	default:
		return to, false
	}
	return to, true
}

// settledElsewhere says that an allocation has ended already, or that a device
// or a dispute will end it.
func settledElsewhere(err error) bool {
	var leased *LeasedError
	return errors.Is(err, ErrEnded) || errors.Is(err, ErrDisputed) || errors.As(err, &leased)
}

// openedEvent tells that a need was recorded.
func openedEvent(n *residents.Need) *Event {
	return &Event{
		Meta: store.Meta{ID: n.ID + ":open"}, AtMs: n.CreatedMs, County: n.County, Division: n.Division, Kind: KindOpened,
		Resident: n.Resident, Need: n.ID, QtyUnits: n.FirstUnits(), By: n.CreatedBy,
	}
}

// needEvents are what the steps of a need tell that came after its first so
// many: changes of its state and of what it asks for, and that the time of the
// rest is over. The number of the step makes the id.
func needEvents(n *residents.Need, steps int64) (out []*Event) {
	qty := n.FirstUnits()
	rest := matching.Reason{} // before the step
	for i, c := range n.Changes {
		kind, reason := "", c.Reason
		// Where steps are left out it is not known what was said before.
		follows := i == 0 && c.Seq == 1 || i > 0 && c.Seq == n.Changes[i-1].Seq+1
		switch {
		case c.From != c.To:
			kind = string(c.To)
		case c.Reason.Code == matching.CodeChanged:
			kind = "changed"
			if units, err := strconv.ParseInt(c.Reason.Facts["units"], 10, 64); err == nil {
				qty = units
			}
		case follows && c.Rest.Code == matching.CodeExpired && rest.Code != matching.CodeExpired:
			kind, reason = "rest_expired", c.Rest
		}
		if rest = c.Rest; kind == "" || c.Seq == 0 || c.Seq <= steps {
			continue
		}
		out = append(out, &Event{
			Meta: store.Meta{ID: fmt.Sprintf("%s:%s:%d", n.ID, kind, c.Seq)}, AtMs: c.AtMs,
			County: n.County, Division: n.Division, Kind: "need." + kind, Resident: n.Resident, Need: n.ID,
			QtyUnits: qty, By: c.By, Reason: reason,
		})
	}
	return out
}

func acceptedEvent(a *Allocation) *Event {
	return allocationEvent(a, "accepted", a.AcceptedMs, a.AcceptedBy, matching.Reason{})
}

func endedEvent(a *Allocation) *Event {
	return allocationEvent(a, string(a.State), a.EndedMs, a.EndedBy, a.EndReason)
}

func allocationEvent(a *Allocation, kind string, at int64, by string, reason matching.Reason) *Event {
	e := promisedEvent(a)
	e.ID, e.Kind, e.AtMs, e.By, e.Reason = a.ID+":"+kind, "allocation."+kind, at, by, reason
	return e
}
