package providers

import (
	"errors"
	"slices"

	"github.com/xingfuma/happycode/app/store"
)

// Errors of the share arithmetic that callers tell apart. Whatever is
// returned, the share is unchanged.
var (
	// ErrFull says that fewer units are free than were asked for.
	ErrFull = errors.New("not enough free units")
	// ErrClosed says that the share gives nothing any more: its time is over
	// or the offer was withdrawn.
	ErrClosed = errors.New("the share is closed")
	// ErrQuantity says that a quantity is not at least one unit.
	ErrQuantity = errors.New("a quantity is at least one unit")
	// ErrMarked says that the share holds something else under this
	// allocation's id: a reservation of another quantity whose fate nobody has
	// settled, or the trace of its end. Look the allocation up first.
	ErrMarked = errors.New("the allocation id is taken in this share")
)

// Why a share is closed.
const (
	Over           = "over"      // its time is over: free units have expired
	OfferWithdrawn = "withdrawn" // the provider took the offer back
)

// Outcome is where promised units go when their allocation ends.
type Outcome string

// The outcomes of [Share.Settle].
const (
	HandedOver Outcome = "handed_over" // given
	Returned   Outcome = "returned"    // free again, or closed with the share
	Expired    Outcome = "expired"     // lost, e.g. a meal nobody fetched
	Withdrawn  Outcome = "withdrawn"   // taken back by the provider
)

// Share is one county's part of a lot: the record's guard against giving a
// unit twice. It changes only through its methods followed by a
// compare-and-set, so that at every moment
//
//	QtyUnits = FreeUnits + Promised + HandedOver + Expired + Withdrawn
//	QtyUnits = what the offer split off for it + MovedIn - MovedOut
//
// and none of them is negative.
//
// A reservation and the allocation it is for are two documents. Marks bind
// them: "+id" stands from [Share.Reserve] until the allocation is known to be
// inserted ([Share.Confirmed]) or known not to be ([Share.Undo]); "-id" stands
// from [Share.Settle] until the allocation is known to carry its end
// ([Share.Settled]); "~name" from [Share.TakeBack] until the allocation is known
// to have what came back counted ([Share.TakenBack]). A step that is repeated after a crash finds its mark and
// does nothing. Moves between counties have marks of the same kind, see [Move].
type Share struct {
	store.Meta   `bson:",inline"` // _id is the lot's id + "@" + the county's six digits
	Offer        string           `json:"offer"`
	Lot          string           `json:"lot"`
	County       string           `json:"county"` // 12 digits
	Category     string           `json:"category"`
	Organisation string           `json:"organisation"`
	QtyUnits     int64            `json:"qty_units"`
	Promised     int64            `json:"promised_units"`
	HandedOver   int64            `json:"handed_over_units"`
	Expired      int64            `json:"expired_units"`
	Withdrawn    int64            `json:"withdrawn_units"`
	MovedIn      int64            `json:"moved_in_units"`  // that came from other counties, ever
	MovedOut     int64            `json:"moved_out_units"` // that went to other counties, ever
	Moves        int64            `json:"moves"`           // decided as the giver
	FromMs       int64            `json:"from_ms"`         // usable from, Unix ms
	UntilMs      int64            `json:"until_ms"`        // usable until (exclusive), Unix ms
	Closed       bool             `json:"closed"`
	ClosedWhy    string           `json:"closed_why"` // "", [Over] or [OfferWithdrawn]
	Marks        []string         `json:"marks,omitempty"`
	// MarkUnits is how many units the mark of the same name concerns.
	MarkUnits map[string]int64 `json:"mark_units,omitempty"`
	UpdatedMs int64            `json:"updated_ms"`
	// Starts counts reservations, so that a reader can tell whether units were
	// promised between two looks.
	Starts int64 `json:"starts"`
}

// ShareID names the share of a lot in a county (12-digit code).
func ShareID(lot, county string) string {
	if len(county) > 6 {
		county = county[:6]
	}
	return lot + "@" + county
}

// FreeUnits is what may still be reserved; 0 in a closed share.
func (s *Share) FreeUnits() int64 {
	return s.QtyUnits - s.Promised - s.HandedOver - s.Expired - s.Withdrawn
}

// Balanced says whether no count is negative and their sum is QtyUnits.
func (s *Share) Balanced() bool {
	return s.QtyUnits >= 0 && s.Promised >= 0 && s.HandedOver >= 0 && s.Expired >= 0 &&
		s.Withdrawn >= 0 && s.MovedIn >= 0 && s.MovedOut >= 0 && s.FreeUnits() >= 0
}

// Reserve promises qty free units to an allocation that is about to be
// inserted. Repeating it, while the mark stands, changes nothing; once the
// mark is dropped a repeat would count again, so who inserts the allocation
// and finds it there already calls [Share.Undo] if this call was the one that
// made the mark (see [Share.Reserved]).
//
// Errors: [ErrClosed], [ErrFull], [ErrQuantity], [ErrMarked].
func (s *Share) Reserve(alloc string, qty int64) error {
	if qty < 1 {
		return ErrQuantity
	}
	if units, ok := s.mark("+" + alloc); ok {
		if units != qty {
			return ErrMarked
		}
		return nil
	}
	if _, ok := s.mark("-" + alloc); ok {
		return ErrMarked
	}
	if s.Closed {
		return ErrClosed
	}
	if s.FreeUnits() < qty {
		return ErrFull
	}
	s.Promised += qty
	s.setMark("+"+alloc, qty)
	s.Starts++
	return nil
}

// Reserved says whether a reservation for the allocation stands unconfirmed.
func (s *Share) Reserved(alloc string) bool {
	_, ok := s.mark("+" + alloc)
	return ok
}

// Reservation is a "+" mark: units promised to an allocation that is not yet
// known to be inserted.
type Reservation struct {
	Allocation string
	QtyUnits   int64
}

// Reservations lists the "+" marks, for repair: what was inserted is
// confirmed, what was not is undone.
func (s *Share) Reservations() []Reservation { return s.marked('+') }

// Settlements lists the "-" marks, for repair: units already moved for an
// allocation that is not yet known to carry its end.
func (s *Share) Settlements() []Reservation { return s.marked('-') }

// Confirmed drops the "+" marks of allocations that are known to be inserted.
func (s *Share) Confirmed(allocs ...string) { s.drop("+", allocs) }

// Undo gives back what was reserved for an allocation that is known not to
// have been inserted by this reservation. Without the mark it does nothing.
// The mark knows how many units it is for; qty only serves shares written
// before it did.
func (s *Share) Undo(alloc string, qty int64) {
	units, ok := s.mark("+" + alloc)
	if !ok {
		return
	}
	if units == 0 {
		units = qty
	}
	if units < 0 || units > s.Promised {
		return // a fault elsewhere: leave the mark for verify to name
	}
	s.Confirmed(alloc)
	s.Promised -= units
	s.release(units)
}

// Settle moves an allocation's units out of Promised. It leaves a "-" mark, so
// that a repeat does nothing until [Share.Settled]; a reservation that still
// stands unconfirmed is confirmed by it. False: nothing was moved, because it
// was before, or because the allocation cannot have these units here (fewer
// are promised, or others were reserved), which verify names.
func (s *Share) Settle(alloc string, qty int64, to Outcome) bool {
	return s.SettleParts(alloc, qty, to, 0, to)
}

// SettleParts is [Share.Settle] for an allocation of which qty units went one
// way and the rest, which may be none, another: one step, one mark.
func (s *Share) SettleParts(alloc string, qty int64, to Outcome, rest int64, restTo Outcome) bool {
	all := qty + rest
	if _, ok := s.mark("-" + alloc); ok {
		return false
	}
	if qty < 1 || rest < 0 || all < qty || all > s.Promised {
		return false
	}
	if units, ok := s.mark("+" + alloc); ok && units != 0 && units != all {
		return false
	}
	if !to.known() || !restTo.known() {
		return false
	}
	s.book(qty, to)
	s.book(rest, restTo)
	s.Promised -= all
	s.Confirmed(alloc)
	s.setMark("-"+alloc, all)
	return true
}

func (o Outcome) known() bool {
	return o == HandedOver || o == Returned || o == Expired || o == Withdrawn
}

func (s *Share) book(units int64, to Outcome) {
	switch to {
	case HandedOver:
		s.HandedOver += units
	case Expired:
		s.Expired += units
	case Withdrawn:
		s.Withdrawn += units
	case Returned:
		s.release(units)
	}
}

// Settled drops the "-" marks of allocations that are known to carry their end.
func (s *Share) Settled(allocs ...string) { s.drop("-", allocs) }

// TakeBack moves units out of HandedOver that came back: free again, or gone with
// a closed share, or lost where they are no longer of use. It leaves a "~" mark of
// the name, so that a repeat does nothing until [Share.TakenBack]. False: nothing was
// moved, because it was before, or because fewer were handed over, which verify names.
func (s *Share) TakeBack(name string, qty int64, lost bool) bool {
	if s.TookBack(name) || qty < 1 || qty > s.HandedOver {
		return false
	}
	s.HandedOver -= qty
	if lost {
		s.Expired += qty
	} else {
		s.release(qty)
	}
	s.setMark("~"+name, qty)
	return true
}

// TookBack says whether the mark of a coming back stands.
func (s *Share) TookBack(name string) bool {
	_, ok := s.mark("~" + name)
	return ok
}

// Returns lists the "~" marks: units that came back for an allocation that is not
// yet known to have counted it. Their names stand where allocations do elsewhere.
func (s *Share) Returns() []Reservation { return s.marked('~') }

// TakenBack drops the "~" marks of what is known to be counted.
func (s *Share) TakenBack(names ...string) { s.drop("~", names) }

// Close ends the share: what is free expires ([Over], and any other reason) or
// is withdrawn ([OfferWithdrawn]). What is promised stays promised. The first
// reason stands; closing again changes nothing.
func (s *Share) Close(reason string) {
	if s.Closed {
		return
	}
	if reason != OfferWithdrawn {
		reason = Over
	}
	free := s.FreeUnits()
	s.Closed, s.ClosedWhy = true, reason
	if free > 0 {
		s.release(free)
	}
}

// release books units that nobody holds any more: free while the share is
// open (free is what remains, so there is nothing to add), gone with it after.
func (s *Share) release(units int64) {
	switch {
	case !s.Closed:
	case s.ClosedWhy == OfferWithdrawn:
		s.Withdrawn += units
	default:
		s.Expired += units
	}
}

func (s *Share) mark(m string) (units int64, ok bool) {
	if !slices.Contains(s.Marks, m) {
		return 0, false
	}
	return s.MarkUnits[m], true
}

func (s *Share) setMark(m string, units int64) {
	s.Marks = append(s.Marks, m)
	if s.MarkUnits == nil {
		s.MarkUnits = make(map[string]int64)
	}
	s.MarkUnits[m] = units
}

func (s *Share) marked(sign byte) []Reservation {
	var out []Reservation
	for _, m := range s.Marks {
		if m != "" && m[0] == sign {
			out = append(out, Reservation{Allocation: m[1:], QtyUnits: s.MarkUnits[m]})
		}
	}
	return out
}

func (s *Share) drop(sign string, allocs []string) {
	if len(allocs) == 0 || len(s.Marks) == 0 {
		return
	}
	gone := make(map[string]bool, len(allocs))
	for _, a := range allocs {
		gone[sign+a] = true
	}
	s.Marks = slices.DeleteFunc(s.Marks, func(m string) bool {
		if gone[m] {
			delete(s.MarkUnits, m)
			return true
		}
		return false
	})
}
