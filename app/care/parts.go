package care

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/xingfuma/happycode/matching"
)

// Part is some of an allocation's units that changed hands at once.
type Part struct {
	AtUnits  int64  `json:"at_units"`  // given before it
	QtyUnits int64  `json:"qty_units"` // at least 1
	AtMs     int64  `json:"at_ms"`
	By       string `json:"by"`
	Proof    string `json:"proof"` // as [Allocation.Proof]
	Carer    string `json:"carer,omitempty"`
	// Scan is what it rests on: the id of a look at a counter, or of the
	// redemption of a voucher. A repeat with the same gives nothing twice.
	Scan string `json:"scan,omitempty"`
	// Vouchers are the units of a promise by voucher, each with a code of its
	// own, that were given; from 1 on.
	Vouchers []int64 `json:"vouchers,omitempty"`
	// Instead is what was given in place of what was promised, InsteadWhy the
	// reason, of [InsteadReasons]; empty where it was what was promised.
	Instead    string `json:"instead,omitempty"`
	InsteadWhy string `json:"instead_why,omitempty"`
}

// PartView is a part as people see it.
type PartView struct {
	QtyUnits   int64  `json:"qty_units"`
	AtMs       int64  `json:"at_ms"`
	Proof      string `json:"proof"`
	Instead    string `json:"instead"`     // what was given in place of what was promised; "": that itself
	InsteadWhy string `json:"instead_why"` // of [InsteadReasons]
}

// settledParts is how many parts came before something was given back: what is
// given afterwards is no repeat of them.
func (a *Allocation) settledParts() int64 {
	if n := len(a.Backs); n > 0 {
		return a.Backs[n-1].AfterParts
	}
	return 0
}

// maxParts bounds how often something of one allocation is given.
const maxParts = 400

// givenNow is how many units the person has.
func (a *Allocation) givenNow() int64 {
	switch a.State {
	case HandedOver:
		return a.QtyUnits
	case Promised:
		return a.GivenUnits
	}
	return 0
}

// partUnits is what the parts and what came back add up to.
func (a *Allocation) partUnits() (units int64) {
	for _, x := range a.Parts {
		units += x.QtyUnits
	}
	for _, b := range a.Backs {
		units -= b.QtyUnits
	}
	return units
}

// partViews are the parts of an allocation, where it was not simply given whole.
func partViews(a *Allocation) []PartView {
	if len(a.Parts) == 1 && len(a.Backs) == 0 && a.Parts[0].QtyUnits == a.promisedUnits() && a.Parts[0].Instead == "" {
		return nil
	}
	var out []PartView
	for _, x := range a.Parts {
		out = append(out, PartView{QtyUnits: x.QtyUnits, AtMs: x.AtMs, Proof: x.Proof, Instead: x.Instead, InsteadWhy: x.InsteadWhy})
	}
	return out
}

// endRest ends an allocation of which some was given: that is handed over, the
// rest ends as was asked.
func (a *Allocation) endRest(e ending, nowMs int64) {
	last := a.Parts[len(a.Parts)-1]
	a.State, a.Unsettled, a.EndedMs, a.EndedBy, a.EndReason = HandedOver, true, nowMs, e.by, matching.ReasonHandedOver()
	a.Proof, a.Carer, a.Scan, a.GivenMs = last.Proof, last.Carer, last.Scan, last.AtMs
	a.RestUnits, a.QtyUnits = a.QtyUnits-a.GivenUnits, a.GivenUnits
	a.RestState, a.RestReason, a.Lost = e.to, e.reason, e.lost
	if e.to == Declined {
		a.NoteSealed = e.remark
	}
}

// restHold is what of a hold was not given. Rules count the claim all the same: some
// of it was.
func (a *Allocation) restHold() matching.Hold {
	h := a.hold()
	h.QtyUnits, h.Keys, h.Day = a.RestUnits, nil, 0
	return h
}

// handing is some of an allocation that changes hands now.
type handing struct {
	by    string
	units int64
	// seen is how much had been given when the giver looked: who looked before
	// somebody else gave something looks again.
	seen    int64
	proof   proof
	scan    string
	instead string
	why     string // of instead
	// vouchers are the units that are given by their codes; seen does not matter then.
	vouchers []int64
}

// done says whether this very handover has been recorded already.
func (g handing) done(a *Allocation) bool {
	for _, x := range a.Parts[a.settledParts():] {
		same := x.AtUnits == g.seen && x.QtyUnits == g.units
		if len(g.vouchers) > 0 {
			same = slices.Equal(x.Vouchers, g.vouchers)
		}
		if same && x.By == g.by && x.Scan == g.scan {
			return true
		}
	}
	return false
}

// giveRest records as a part that an allocation which has just been handed over
// was given all that was left, where some of it had been given before.
func (a *Allocation) giveRest() {
	if len(a.Parts) == 0 {
		return
	}
	left := a.QtyUnits - a.GivenUnits
	a.Parts = append(a.Parts, Part{
		AtUnits: a.GivenUnits, QtyUnits: left, AtMs: a.givenMs(), By: a.EndedBy, Proof: a.Proof, Carer: a.Carer, Scan: a.Scan, Vouchers: a.nextVouchers(left),
	})
	a.GivenUnits = a.QtyUnits
}

// give records that units changed hands, in one compare-and-set of the
// allocation. Below what is promised the rest stays promised, until the lot
// ends, and the share still counts all of it as promised; with the last unit the
// allocation is handed over like any other. fresh is false where it was
// recorded before.
//
// Errors: [ErrEnded], [ErrGivenMeanwhile], [ErrUnits], [ErrRedeemed],
// [LeasedError], [ErrDisputed], [ErrProofNeeded].
func (s *Service) give(ctx context.Context, id string, g handing) (a *Allocation, fresh bool, err error) {
	now := s.now().UnixMilli()
	accepted := false
	a, err = s.allocations.Change(ctx, id, func(a *Allocation) error {
		left, units := a.QtyUnits-a.GivenUnits, g.vouchers
		seen := g.seen
		if len(units) > 0 {
			seen = a.GivenUnits
		} else {
			units = a.nextVouchers(g.units)
		}
		switch {
		case g.done(a):
			return errSame
		case slices.ContainsFunc(g.vouchers, func(u int64) bool { return a.redeemedMs(u) > 0 }), len(g.vouchers) > 0 && a.State == HandedOver && a.RestUnits == 0:
			return ErrRedeemed
		case a.State != Promised:
			return ErrEnded
		case a.Disputed != "":
			return ErrDisputed
		case a.Lease != "":
			return &LeasedError{Device: a.LeaseName, UntilMs: a.LeaseUntilMs}
		case a.GivenUnits != seen:
			return ErrGivenMeanwhile
		case g.units < 1 || g.units > left || len(a.Parts) >= maxParts:
			return ErrUnits
		case g.proof.how == byVoucher && s.codeWantsProof(a): // others were redeemed at the same moment
			return ErrProofNeeded
		}
		a.Parts = append(a.Parts, Part{
			AtUnits: seen, QtyUnits: g.units, AtMs: now, By: g.by, Proof: g.proof.how, Carer: g.proof.carer, Scan: g.scan,
			Instead: g.instead, InsteadWhy: g.why, Vouchers: units,
		})
		a.GivenUnits += g.units
		if accepted = g.units < left && a.AcceptedMs == 0; accepted { // who fetches some wants the rest
			a.AcceptedMs, a.AcceptedBy = now, g.by
		}
		if g.units < left {
			a.ExpiresMs = a.UntilMs
			return nil
		}
		a.State, a.Unsettled, a.EndedMs, a.EndedBy, a.EndReason = HandedOver, true, now, g.by, matching.ReasonHandedOver()
		a.Proof, a.Carer, a.Scan = g.proof.how, g.proof.carer, g.scan
		return nil
	})
	if errors.Is(err, errSame) {
		a, err = s.allocations.Get(ctx, id)
		return a, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("give of %s: %w", id, err)
	}
	if accepted {
		s.emit(ctx, acceptedEvent(a))
	}
	s.emit(ctx, partEvents(a)...)
	if a.State == HandedOver {
		s.settleLate(ctx, a)
	}
	return a, true, nil
}

// partEvents tell what was given before the rest was; the last of it is told by
// the event of the handover, which has the units of all.
func partEvents(a *Allocation) (out []*Event) {
	for i, x := range a.Parts {
		if x.AtUnits+x.QtyUnits == a.promisedUnits() {
			continue
		}
		e := allocationEvent(a, "part", x.AtMs, x.By, reasonPart(a, x))
		e.ID, e.QtyUnits = a.ID+":part:"+strconv.Itoa(i+1), x.QtyUnits
		out = append(out, e)
	}
	return out
}

// endEvents tell how an allocation ended, and how the rest of it did.
func endEvents(a *Allocation) []*Event {
	end := endedEvent(a)
	if a.ReturnedUnits > 0 {
		end.ID, end.Kind, end.QtyUnits = a.ID+":"+string(HandedOver), "allocation."+string(HandedOver), a.QtyUnits+a.ReturnedUnits
	}
	out := []*Event{end}
	if a.RestUnits > 0 {
		e := allocationEvent(a, string(a.RestState), a.EndedMs, a.EndedBy, a.RestReason)
		e.ID, e.QtyUnits = a.ID+":rest", a.RestUnits
		out = append(out, e)
	}
	return out
}

func reasonPart(a *Allocation, x Part) matching.Reason {
	given, all := strconv.FormatInt(x.AtUnits+x.QtyUnits, 10), strconv.FormatInt(a.promisedUnits(), 10)
	return matching.Reason{
		Code: "part", ZH: "已交付 " + given + "，共 " + all + "；其余保留。", EN: given + " of " + all + " are handed over; the rest stays promised.",
	}
}
