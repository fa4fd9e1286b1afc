package matching

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrNotReady says that the county's shard has not been rebuilt from the
	// record (a new or emptied Redis). The shard refuses; it does not guess.
	ErrNotReady = errors.New("the county's matcher is being rebuilt from the record")
	// ErrBusy says that somebody else is rebuilding the county just now.
	ErrBusy = errors.New("the county is already being rebuilt")
	// ErrRequest says that the caller asked for something that cannot be meant:
	// an empty or malformed id, a quantity outside 1..[MaxUnits].
	ErrRequest = errors.New("not a valid request to the matcher")
)

// MaxUnits is the largest quantity of one lot, need or cap; Lua prints larger
// numbers with an exponent.
const MaxUnits = 1_000_000_000_000

// Person is what eligibility may ask about. It names nobody.
type Person struct {
	Household  string
	Division   string // 12-digit code of the village
	Groups     []string
	ScoreMilli int64 // multidimensional score, 0..1000
	Rules      Rules // nil: no offer that has a rule is for them
}

// Rules is how one person stands to what offers ask beyond division, groups and
// score. It has to give the same answer as long as the person is looked at.
type Rules interface {
	// Admits says whether an offer's rule admits the person; it is asked about
	// offers with [Offer.Rule] only.
	Admits(offer string) bool
	// Guards are what that rests on of what the household has had; none where it
	// rests on nothing of that.
	Guards(offer string) []Guard
}

// Guard is what a rule was decided on: the claims under a key that the record
// knew of. A household that has made more meanwhile, at another counter, is not
// given anything by it.
type Guard struct {
	Key      string
	SinceDay int64 // number of the day, by [DayNumber], from which on claims count
	Known    int64 // claims
}

// Offer is what an offer says, as the matcher needs it. A version never
// changes; a change is a new version.
type Offer struct {
	ID            string
	Version       int64
	Category      string
	Divisions     []string // served, any level, 12-digit codes
	Groups        []string // the person is in at least one; empty: any
	MinScoreMilli int64
	Rule          bool     // it asks for more, which only [Person.Rules] can tell
	Keys          []string // by which rules may name it
	Watches       []string // keys that its rule asks about
	CapUnits      int64    // per household and CapPeriod; 0: none
	CapPeriod     Period   // for CapUnits
	Pace          Pace     // empty: [PaceDrip]
	ReserveMilli  int64    // how many thousandths of the expected demand are reckoned with; 0: the planner's
	Lots          []Lot
}

// Lot is one county's share of a lot: what the record calls a share.
type Lot struct {
	ID      string // share id, unique
	Whole   string // the lot that it is a share of, where other counties have shares too; else ""
	County  string // 12-digit county code
	FromMs  int64  // usable from, Unix ms
	UntilMs int64  // usable until (exclusive), Unix ms
	Kept    Kept   // zero: for everybody whom the offer serves
}

// Kept says for whom a lot is kept until it opens to everybody whom the offer
// serves: for whoever is in the group and lives in one of the divisions.
type Kept struct {
	Group     string   // empty: any
	Divisions []string // 12-digit codes; empty: anywhere
	OpensMs   int64    // when it opens at the latest, Unix ms; a plan may open it before
}

// For says whether the person is one of those for whom it is kept.
func (k Kept) For(p Person) bool {
	return (k.Group == "" || slices.Contains(p.Groups, k.Group)) && k.within(p.Division)
}

func (k Kept) within(division string) bool {
	return len(k.Divisions) == 0 || slices.ContainsFunc(k.Divisions, func(d string) bool {
		return strings.HasPrefix(division, divisionPrefix(d))
	})
}

// none says whether it is kept for nobody in particular.
func (k Kept) none() bool { return k.Group == "" && len(k.Divisions) == 0 }

// LastPart is when the last part of a lot's time begins, in which what is left
// goes to whoever comes: fetch before its end, or a tenth of its time where that
// is less. All times in Unix ms.
func LastPart(fromMs, untilMs int64, fetch time.Duration) int64 {
	return untilMs - min((untilMs-fromMs)/10, fetch.Milliseconds())
}

// Candidate is a lot that may serve a need, with the offer's own cap.
type Candidate struct {
	Offer string
	Lot   string
	Cap   Cap  // zero Limit: none
	Kept  bool // for others, unless a plan has opened it: see [Lines.Open]
	// Keys are those of the offer's that some rule asks about: the claim is noted
	// under them, on Day. Guards are what the offer's own rule rests on.
	Keys   []string
	Day    int64 // by [DayNumber]; 0 where there are no keys and guards
	Guards []Guard
}

// Miss says why an offer of the category does not serve this person now.
type Miss struct {
	Offer string
	Why   string // one of the Miss constants
}

// Why an offer is missed.
const (
	MissDivision = "division" // it does not reach the person's village
	MissGroup    = "group"    // it is for other groups
	MissScore    = "score"    // the person's score is below its minimum
	MissRule     = "rule"     // its rule does not admit the person
	MissNotYet   = "not_yet"  // none of the county's lots has begun
	MissOver     = "over"     // all of the county's lots have ended
	MissKept     = "kept"     // what it has now is kept for others
)

// Why an ask is short.
const (
	ShortNone     = "none"      // no candidate
	ShortStock    = "stock"     // the candidates are empty
	ShortCap      = "cap"       // the category's cap
	ShortOfferCap = "offer_cap" // every offer with stock is capped
	ShortMoved    = "moved"     // the household was given something meanwhile that a rule asks about: read again
)

// Cap limits units per household, field and period.
type Cap struct {
	Field  string // "c:<category>" or "o:<offer>"
	Period string // label of the period the claim falls in, e.g. "D20261124"
	Limit  int64  // units; 0: none
}

// Request asks for everything one resident needs, in one script call.
type Request struct {
	County    string
	Household string
	Asks      []Ask
}

// Ask is one need.
type Ask struct {
	Need        string
	Category    string
	Base        int   // the highest ordinal of the need's allocations + 1; the next id is <need>-<base>
	QtyUnits    int64 // still wanted
	WeightMilli int64 // priority on the waiting list
	Cap         Cap   // the category's cap across all providers
	// Candidates are the lots that may serve it, in the order in which they are
	// given; or Choice, which finds no more of them than are asked for.
	Candidates []Candidate
	Choice     *Choice
}

// Hold is units kept for a need until the record confirms or DeadlineMs.
type Hold struct {
	ID         string // deterministic: <need>-<ordinal>; becomes the allocation's id
	Need       string
	Household  string
	Offer      string
	Lot        string
	QtyUnits   int64
	Category   Cap   // as claimed
	OfferCap   Cap   // as claimed; zero Field: none
	Seq        int64 // ordinal of the claim for household and category, never reused
	DeadlineMs int64
	Keys       []string // under which the claim is noted, see [Candidate]
	Day        int64
}

// Outcome is what became of one ask.
type Outcome struct {
	Need string
	// Holds to be confirmed by the record; empty when nothing is to be had.
	Holds []Hold
	// Stale: the record has moved on since the caller read it; read again.
	Stale bool
	// ShortUnits is what is still wanted; then the need waits.
	ShortUnits int64
	// Why it is short: one of the Short constants; "" when nothing is short.
	Why string
	// CapUsed is how many units of the category cap are used, this call included.
	CapUsed int64
	// Position on the county's waiting list for the category, from 1; 0: not waiting.
	Position int64
}

// LotState is what the record knows of a share, for opening and rebuilding.
type LotState struct {
	ID        string
	Category  string
	FreeUnits int64 // qty - promised - handed over - expired - withdrawn
	// TakenUnits is promised + handed over.
	TakenUnits int64
	Closed     bool
}

// Stock is what Redis has of a share.
type Stock struct {
	ID         string
	Known      bool
	FreeUnits  int64
	HeldUnits  int64
	TakenUnits int64
	Closed     bool
}

// qty is what the lot had at first.
func (s Stock) qty() int64 { return s.FreeUnits + s.HeldUnits + s.TakenUnits }

// Waiter is a need on the waiting list.
type Waiter struct {
	Need        string
	Category    string
	WeightMilli int64
}

// CapState is what a household has used, for rebuilding.
type CapState struct {
	Household string
	Field     string
	Period    string
	Used      int64
	Seq       int64 // highest ordinal given so far + 1
}

// Snapshot is everything a county's shard is rebuilt from.
type Snapshot struct {
	Lots    []LotState
	Live    []string // ids of allocations that are promised (not yet handed over)
	Done    []string // ids of allocations that ended in the last 30 minutes
	Caps    []CapState
	Waiters []Waiter
}
