package residents

import (
	"strconv"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

// NeedState is where a need stands; see [NeedState.May] for the ways between.
type NeedState string

// The states of a need.
const (
	NeedOpen       NeedState = "open"
	NeedHeld       NeedState = "held"        // units are kept in the matcher, not yet confirmed
	NeedPromised   NeedState = "promised"    // the record has an allocation
	NeedHandedOver NeedState = "handed_over" // given; final, but see [Service.ReopenNeed]
	NeedWaiting    NeedState = "waiting"     // nothing suitable is released yet
	NeedDeclined   NeedState = "declined"    // the resident did not want it
	NeedExpired    NeedState = "expired"     // its time is over
	NeedWithdrawn  NeedState = "withdrawn"   // taken back; final
)

// NeedSources are the ways a need comes up.
func NeedSources() []string {
	return []string{"scan", "resident", "red_key", "green_key", "warning", "import", "report"}
}

// Change is one step in the life of a need.
type Change struct {
	AtMs int64 `json:"at_ms"`
	// Seq counts the steps of the need from 1 on, with those that are left out;
	// 0: written before steps were counted.
	Seq    int64           `json:"seq"`
	By     string          `json:"by"`
	From   NeedState       `json:"from"`
	To     NeedState       `json:"to"`
	Reason matching.Reason `json:"reason"`
	// Rest is why what is wanted beside a promise waits; empty where nothing does.
	Rest matching.Reason `json:"rest,omitzero"`
}

// renewal says that the step left the state as it was, with other figures.
func (c Change) renewal() bool { return c.From == c.To && c.Reason.Code != matching.CodeChanged }

// Need is one thing a resident needs.
type Need struct {
	store.Meta `bson:",inline"`
	Resident   string          `json:"resident"`
	Household  string          `json:"household"`
	County     string          `json:"county"`   // 12-digit code
	Division   string          `json:"division"` // 12-digit code
	Category   string          `json:"category"`
	QtyUnits   int64           `json:"qty_units"` // 1..10⁹, in the category's unit
	Urgency    int             `json:"urgency"`   // 1 (can wait) .. 4 (today)
	UntilMs    int64           `json:"until_ms"`  // Unix ms; 0: no end
	Source     string          `json:"source"`    // of [NeedSources]
	NoteSealed string          `json:"note_sealed"`
	State      NeedState       `json:"state"`
	Reason     matching.Reason `json:"reason"` // of the latest change
	Rest       matching.Reason `json:"rest"`   // why what is wanted beside a promise waits; empty where nothing does
	// Changes is the history, oldest first: every change of state and of what is
	// asked, and the last renewals of the reason while it waited. Forgotten
	// counts the renewals that are left out.
	Changes   []Change `json:"changes,omitempty"`
	Forgotten int64    `json:"forgotten"`
	Asked     int64    `json:"asked"` // how often what is asked was changed
	CreatedBy string   `json:"created_by"`
	CreatedMs int64    `json:"created_ms"`
	UpdatedMs int64    `json:"updated_ms"`
}

// NewNeed is a need as it comes up.
type NewNeed struct {
	Resident string // id
	Category string // id, as the providers' catalogue has it
	QtyUnits int64  // 1..10⁹
	Urgency  int    // 1..4
	UntilMs  int64  // Unix ms, in the future; 0: no end
	Source   string // of [NeedSources]
	Note     string // up to 500 characters; sealed
	// Key makes repeating safe: a second need of the same resident with the
	// same key is the first one, and has to ask for the same. Empty: every call is a new need.
	Key string
}

// WeightMilli is the need's rank among those that wait, in thousandths:
// 1000 · (0.25 + score) · 1.5^(urgency − 1), rounded; 250..4219 for scores of
// 0..1000 and urgencies of 1..4.
//
// Source: drip.md, "need line".
func (n *Need) WeightMilli(scoreMilli int64) int64 {
	eighths := [...]int64{8, 12, 18, 27} // 8 · 1.5^(urgency − 1)
	u := min(max(n.Urgency, 1), len(eighths))
	return ((250+scoreMilli)*eighths[u-1] + 4) / 8
}

// Steps is how many steps the need has gone so far.
func (n *Need) Steps() int64 { return int64(len(n.Changes)) + n.Forgotten }

// FirstUnits is the quantity that was asked for at first.
func (n *Need) FirstUnits() int64 {
	for _, c := range n.Changes {
		if was, err := strconv.ParseInt(c.Reason.Facts["was_units"], 10, 64); err == nil && c.Reason.Code == matching.CodeChanged {
			return was
		}
	}
	return n.QtyUnits
}

// Live says whether the need still wants something.
func (s NeedState) Live() bool {
	switch s {
	case NeedOpen, NeedHeld, NeedPromised, NeedWaiting:
		return true
	}
	return false
}

// May says whether a need may go from s to another state: while it is
// [NeedState.Live], to every other; when it was declined or has expired, it may
// be taken up again (open) or withdrawn; handed over and withdrawn are final.
func (s NeedState) May(to NeedState) bool {
	switch {
	case s == to || !to.known():
		return false
	case s.Live():
		return true
	case s == NeedDeclined || s == NeedExpired:
		return to == NeedOpen || to == NeedWithdrawn
	}
	return false
}

func (s NeedState) known() bool {
	switch s {
	case NeedHandedOver, NeedDeclined, NeedExpired, NeedWithdrawn:
		return true
	}
	return s.Live()
}
