package care

import (
	"cmp"
	"errors"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Errors that callers tell apart.
var (
	// ErrUnknownCode says that the code opens nothing for this person: forged,
	// revoked, expired, mistyped or of another division. It does not say which.
	ErrUnknownCode = errors.New("no resident of yours has this code")
	// ErrNotYours says that the thing asked for lies outside the division, the
	// organisation or the person that the asker answers for.
	ErrNotYours = errors.New("outside your responsibility")
	// ErrEnded says that the allocation has ended another way already.
	ErrEnded = errors.New("this allocation has ended")
	// ErrProof says that the evidence of a handover is not of this person: a
	// scan of somebody else's, by somebody else, too old or of a code that does
	// not count any more, or another code.
	ErrProof = errors.New("the evidence does not fit this person")
	// ErrDisputed says that a device has reported a handover of the allocation
	// that a person has to judge first.
	ErrDisputed = errors.New("an offline handover of this allocation is in dispute")
	// ErrProofNeeded says that what is handed over is worth so much that a scan
	// alone does not do: it takes a PIN or a photo, see [Config.PINAboveFen].
	ErrProofNeeded = errors.New("a PIN or a photo is needed")
	// ErrGivenMeanwhile says that something of the allocation was given, or taken
	// back, since the asker looked.
	ErrGivenMeanwhile = errors.New("something of it was given since")
	// ErrUnits says that so many units are not left to give.
	ErrUnits = errors.New("so many units are not left")
	// ErrNotReady is [matching.ErrNotReady].
	ErrNotReady = matching.ErrNotReady
)

// State is where an allocation stands.
type State string

// The states: promised, then exactly one of the others, for good; only what was
// handed over may come back.
const (
	Promised   State = "promised"
	HandedOver State = "handed_over"
	Declined   State = "declined"
	Expired    State = "expired"
	Withdrawn  State = "withdrawn"
	// Returned comes after handed over: all of it came back, or never was given.
	Returned State = "returned"
	// Void marks an id that must never become an allocation: its hold was
	// given up after a crash, see DESIGN.md, "Marks".
	Void State = "void"
)

// Allocation is a hold that the record has confirmed: a promise. Most of its
// fields are empty for most of its life; those that no index has are not stored
// then.
type Allocation struct {
	store.Meta   `bson:",inline"`
	Need         string `json:"need"`
	Resident     string `json:"resident"`
	Household    string `json:"household"`
	County       string `json:"county"`
	Division     string `json:"division"`
	Category     string `json:"category"`
	Offer        string `json:"offer"`
	Organisation string `json:"organisation"`
	Share        string `json:"share"`
	QtyUnits     int64  `json:"qty_units"`
	State        State  `json:"state"`
	// Unsettled says that the allocation has ended but its share may not have
	// been told yet.
	Unsettled bool `json:"unsettled"`
	// Claim is unique: household|category field|period|ordinal.
	Claim       string       `json:"claim"`
	Seq         int64        `json:"seq"`
	CategoryCap matching.Cap `json:"category_cap"`
	OfferCap    matching.Cap `json:"offer_cap"`

	// Sets are those of the offer, Keys what the matcher has noted the claim
	// under, on Day; see DESIGN.md, "Rules between offers".
	Sets []string `json:"sets,omitempty"`
	Keys []string `json:"keys,omitempty"`
	Day  int64    `json:"day,omitempty"`

	PromisedMs int64  `json:"promised_ms"`
	PromisedBy string `json:"promised_by"`
	AcceptedMs int64  `json:"accepted_ms,omitempty"`
	AcceptedBy string `json:"accepted_by,omitempty"`
	ExpiresMs  int64  `json:"expires_ms"`
	UntilMs    int64  `json:"until_ms"` // end of the lot
	EndedMs    int64  `json:"ended_ms"`
	EndedBy    string `json:"ended_by,omitempty"`
	// Proof is what the handover rests on: "pin", "photo", "scan", "card_no",
	// "carer" or "word"; with "offline_" before it when a device reported it.
	Proof string `json:"proof,omitempty"`
	Carer string `json:"carer,omitempty"` // id of the carer whose code was shown at the handover; "": the resident's own
	// Scan is the scan that the handover rests on, if any: who else scanned the
	// person at the same moment finds that it was not theirs that gave.
	Scan string `json:"scan,omitempty"`
	// Photo is the id of the photo taken at the handover, PhotoMs when. A photo
	// counts only while its allocation names it.
	Photo   string `json:"photo,omitempty"`
	PhotoMs int64  `json:"photo_ms,omitempty"`
	Lost    bool   `json:"lost,omitempty"` // ended, and its units with it

	// Parts is what was given piece by piece, oldest first; nothing is taken out
	// of it. While the allocation is promised, GivenUnits of QtyUnits are given
	// already. Where it ended with some given and some not, it is handed over:
	// QtyUnits is then what was given, RestUnits what was not, and RestState and
	// RestReason say how the rest ended. See DESIGN.md, "Parts".
	Parts      []Part          `json:"parts,omitempty"`
	GivenUnits int64           `json:"given_units,omitempty"`
	RestUnits  int64           `json:"rest_units,omitempty"`
	RestState  State           `json:"rest_state,omitempty"`
	RestReason matching.Reason `json:"rest_reason,omitzero"`
	// Backs is what came back after it was given, oldest first; nothing is taken
	// out of it. ReturnedUnits came back after the end: they are in QtyUnits no
	// more. BackUnits of them the share may not have been told of yet, while
	// Unsettled says so.
	Backs         []Back `json:"backs,omitempty"`
	ReturnedUnits int64  `json:"returned_units,omitempty"`
	BackUnits     int64  `json:"back_units,omitempty"`
	TriedMs       int64  `json:"tried_ms,omitempty"` // somebody came with it and nobody was at home

	// While Lease is set, only the device may hand it over; see DESIGN.md, "Leases".
	Lease        string   `json:"lease"`
	LeaseDevice  string   `json:"lease_device,omitempty"`
	LeaseName    string   `json:"lease_name,omitempty"`     // what its owner calls the device
	LeaseUntilMs int64    `json:"lease_until_ms,omitempty"` // reports are waited for until then
	Leases       []string `json:"leases,omitempty"`
	// Spare: promised to a device, not to a person; SparePeriod and SpareSeq
	// are its claim as the matcher knows it until the handover, CapUnits and
	// CapPeriod the offer's own cap, which may be forgotten by then.
	Spare         bool            `json:"spare,omitempty"`
	SparePeriod   string          `json:"spare_period,omitempty"`
	SpareSeq      int64           `json:"spare_seq,omitempty"`
	CapUnits      int64           `json:"cap_units,omitempty"`
	CapPeriod     matching.Period `json:"cap_period,omitempty"`
	OfflineRecord string          `json:"offline_record,omitempty"` // that reported the handover
	GivenMs       int64           `json:"given_ms,omitempty"`       // when, by the device's clock; 0: handed over online
	Disputed      string          `json:"disputed,omitempty"`       // the conflict that decides
	OverCap       bool            `json:"over_cap,omitempty"`       // given without a network beyond a cap; a conflict names it

	Reason     matching.Reason `json:"reason"`
	EndReason  matching.Reason `json:"end_reason"`
	NoteSealed string          `json:"note_sealed,omitempty"` // what was said at a refusal

	// What the offer said when it was promised.
	TitleZH      string             `json:"title_zh"`
	TitleEN      string             `json:"title_en"`
	Unit         string             `json:"unit"`
	ValueFen     int64              `json:"value_fen,omitempty"` // per unit; 0: not stated
	ProviderName string             `json:"provider_name"`
	ProviderKind providers.Kind     `json:"provider_kind"`
	Handover     providers.Handover `json:"handover"`
	Image        string             `json:"image,omitempty"` // the offer's first photo
}

func (a *Allocation) hold() matching.Hold {
	return matching.Hold{
		ID: a.ID, Need: a.Need, Household: a.Household, Offer: a.Offer, Lot: a.Share,
		QtyUnits: a.promisedUnits(), Category: a.CategoryCap, OfferCap: a.OfferCap, Seq: a.Seq,
		DeadlineMs: a.ExpiresMs, Keys: a.Keys, Day: a.Day,
	}
}

// promisedUnits is how many units were promised at first, which is what the
// share and the matcher have it for until it is settled.
func (a *Allocation) promisedUnits() int64 { return a.QtyUnits + a.RestUnits + a.ReturnedUnits }

// counts says whether the units of the allocation count against caps.
func (a *Allocation) counts() bool { return a.State == Promised || a.State == HandedOver }

// countsRightly leaves out what was given beyond a cap and is before a person:
// nobody else's promise is taken back for it.
func (a *Allocation) countsRightly() bool { return a.counts() && !a.OverCap }

// givenMs is when what was handed over changed hands, Unix ms.
func (a *Allocation) givenMs() int64 { return cmp.Or(a.GivenMs, a.EndedMs) }

// heard says that a device knows of the promise, or somebody has some of it.
func (a *Allocation) heard() bool { return a.Lease != "" || a.Disputed != "" || a.GivenUnits > 0 }

// redemption notes that a screen code was used: its id is made of the code,
// its step and the purpose, so that it is used once, or by one account.
type redemption struct {
	store.Meta `bson:",inline"`
	AtMs       int64  `json:"at_ms"`
	Account    string `json:"account"` // that may use it again; "": nobody
}

// Event is one thing that happened, for the ledger of events. It carries ids
// and quantities, never a name.
type Event struct {
	store.Meta `bson:",inline"`
	AtMs       int64 `json:"at_ms"`
	// TellMs is when it was written into the ledger (Unix ms, by its writer's
	// clock): whoever follows the ledger reads in this order. An event that was
	// written late has a late TellMs.
	TellMs       int64           `json:"tell_ms"`
	County       string          `json:"county"`
	Division     string          `json:"division"` // of the person; "" where it is about nobody
	Kind         string          `json:"kind"`     // "need.opened", "allocation.promised", …
	Organisation string          `json:"organisation"`
	Offer        string          `json:"offer"`
	Resident     string          `json:"resident"`
	Need         string          `json:"need"`
	Allocation   string          `json:"allocation"`
	Share        string          `json:"share"`
	QtyUnits     int64           `json:"qty_units"`
	By           string          `json:"by"`
	Reason       matching.Reason `json:"reason"`
}

var (
	allocationSchema = store.Schema{Name: "allocations", Indexes: []store.Index{
		{Name: "claim", Fields: []string{"claim"}, Unique: true},
		{Name: "resident", Fields: []string{"resident", "promised_ms"}},
		{Name: "resident_state", Fields: []string{"resident", "state", "promised_ms"}},
		{Name: "need", Fields: []string{"need"}},
		{Name: "share", Fields: []string{"share", "state"}},
		{Name: "unsettled", Fields: []string{"unsettled", "ended_ms"}, Sparse: "unsettled"},
		{Name: "due", Fields: []string{"state", "expires_ms"}},
		{Name: "category", Fields: []string{"county", "category", "promised_ms"}},
		{Name: "lease", Fields: []string{"lease", "state"}, Sparse: "lease"},
	}, Gone: []string{"county"}}
	redemptionSchema = store.Schema{Name: "redemptions", Indexes: []store.Index{
		{Name: "at", Fields: []string{"at_ms"}},
	}}
	eventSchema = store.Schema{Name: "events", Indexes: []store.Index{
		{Name: "at", Fields: []string{"at_ms"}},
		{Name: "county", Fields: []string{"county", "at_ms"}},
		{Name: "organisation", Fields: []string{"organisation", "at_ms"}, Sparse: "organisation"},
		{Name: "told", Fields: []string{"tell_ms"}},
	}}
)

// Schemas are the collections of this package.
func Schemas() []store.Schema {
	return []store.Schema{
		allocationSchema, eventSchema, redemptionSchema, photoSchema, deviceSchema, leaseSchema, offlineSchema, conflictSchema, voucherSchema,
		wishSchema,
	}
}

// ResidentView is what a caseworker sees of a person.
type ResidentView struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	IDMasked   string   `json:"id_masked"` // first four and last two characters
	CardNo     string   `json:"card_no"`
	Household  string   `json:"household"`
	Division   string   `json:"division"`
	Place      string   `json:"place"` // names of county, town and village
	BirthYear  int      `json:"birth_year"`
	Groups     []string `json:"groups"`
	ScoreMilli int64    `json:"score_milli"` // 0..1000
}

// NeedView is a need with what became of it.
type NeedView struct {
	ID            string              `json:"id"`
	Category      string              `json:"category"`
	QtyUnits      int64               `json:"qty_units"`
	PromisedUnits int64               `json:"promised_units"`
	GivenUnits    int64               `json:"given_units"`
	LeftUnits     int64               `json:"left_units"` // neither promised nor given yet
	Urgency       int                 `json:"urgency"`    // 1..4
	State         residents.NeedState `json:"state"`
	Reason        matching.Reason     `json:"reason"`
	Rest          matching.Reason     `json:"rest"`     // why what is left waits beside a promise; empty where nothing does
	Position      int64               `json:"position"` // on the waiting list, from 1; 0: not waiting
	Asked         int64               `json:"asked"`    // how often what is asked was changed; an edit names it
	UntilMs       int64               `json:"until_ms"`
	CreatedMs     int64               `json:"created_ms"`
	NotServed     []NotServed         `json:"not_served,omitempty"`
}

// NotServed says why one offer does not serve a need.
type NotServed struct {
	Offer   string          `json:"offer"`
	TitleZH string          `json:"title_zh"`
	TitleEN string          `json:"title_en"`
	Reason  matching.Reason `json:"reason"`
}

// AllocationView is one line of the happiness list.
type AllocationView struct {
	ID           string             `json:"id"`
	Need         string             `json:"need"`
	Resident     string             `json:"resident"`
	Category     string             `json:"category"`
	Offer        string             `json:"offer"`
	TitleZH      string             `json:"title_zh"`
	TitleEN      string             `json:"title_en"`
	Unit         string             `json:"unit"`
	QtyUnits     int64              `json:"qty_units"`
	ValueFen     int64              `json:"value_fen"`
	Image        string             `json:"image" description:"Id of the offer's first photo; empty: none."`
	ProviderName string             `json:"provider_name"`
	ProviderKind providers.Kind     `json:"provider_kind"`
	State        State              `json:"state"`
	Accepted     bool               `json:"accepted"`
	Reason       matching.Reason    `json:"reason"`
	EndReason    matching.Reason    `json:"end_reason"`
	Note         string             `json:"note"` // what was said at a refusal
	Handover     providers.Handover `json:"handover"`
	PromisedMs   int64              `json:"promised_ms"`
	ExpiresMs    int64              `json:"expires_ms"`
	UntilMs      int64              `json:"until_ms"`
	HandedOverMs int64              `json:"handed_over_ms"` // 0: not yet
	Proof        string             `json:"proof"`          // what the handover rests on
	Carer        string             `json:"carer"`          // id of the carer who took it; "": the resident
	PINRequired  bool               `json:"pin_required"`   // a scan alone does not do: it takes a PIN or a photo
	Photo        bool               `json:"photo"`          // there is a photo of the handover
	// GivenUnits of QtyUnits are given already, while it is promised. RestUnits
	// were promised beside QtyUnits and not given; RestReason says why.
	GivenUnits int64           `json:"given_units"`
	RestUnits  int64           `json:"rest_units"`
	RestReason matching.Reason `json:"rest_reason"`
	Parts      []PartView      `json:"parts,omitempty"` // oldest first, where it was given piece by piece
	// ReturnedUnits came back after it was handed over: they are in QtyUnits no
	// more, unless all did.
	ReturnedUnits int64      `json:"returned_units"`
	Backs         []BackView `json:"backs,omitempty"`
	// Leased says which device has it, or that a report of it is in dispute:
	// nobody else may change it then.
	Leased *matching.Reason `json:"leased,omitempty"`
}

// ScanResult answers a scan, whole.
type ScanResult struct {
	Scan     string           `json:"scan"` // id of this scan in the audit log
	AtMs     int64            `json:"at_ms"`
	ShownBy  *ShownBy         `json:"shown_by,omitempty"` // missing: the resident's own code
	Resident ResidentView     `json:"resident"`
	Needs    []NeedView       `json:"needs"`    // not ended
	Offered  []AllocationView `json:"offered"`  // promised, waiting to be handed over
	Received []AllocationView `json:"received"` // the last twenty, newest first
}

// ShownBy is the carer who shows a code on a resident's behalf.
type ShownBy struct {
	Name     string `json:"name"`
	Relation string `json:"relation"` // of [residents.Relations]
	UntilMs  int64  `json:"until_ms"` // until when they may
}

// MoveView is units of a lot that went from one county's share to another's.
type MoveView struct {
	ID       string `json:"id"`
	Lot      string `json:"lot"`
	From     string `json:"from_county"` // 12-digit codes
	To       string `json:"to_county"`
	QtyUnits int64  `json:"qty_units"`
	Waited   bool   `json:"waited"` // somebody waited there; otherwise somebody was expected
	BegunMs  int64  `json:"begun_ms"`
	Arrived  bool   `json:"arrived"` // false: on the way, nobody's for the moment
}

// ShareStock is one county's share of a lot, as the record and the matcher
// have it. FreeUnits + HeldUnits is what is not promised yet.
type ShareStock struct {
	Share           string `json:"share"`
	Lot             string `json:"lot"`
	Kept            int64  `json:"kept"` // for which of the offer's kept parts, from 1; 0: for everybody it serves
	County          string `json:"county"`
	QtyUnits        int64  `json:"qty_units"`
	FreeUnits       int64  `json:"free_units"`
	HeldUnits       int64  `json:"held_units"`
	PromisedUnits   int64  `json:"promised_units"`
	HandedOverUnits int64  `json:"handed_over_units"`
	ExpiredUnits    int64  `json:"expired_units"`
	WithdrawnUnits  int64  `json:"withdrawn_units"`
	MovedInUnits    int64  `json:"moved_in_units"`  // from other counties, ever; part of QtyUnits
	MovedOutUnits   int64  `json:"moved_out_units"` // to other counties, ever; not part of it
	FromMs          int64  `json:"from_ms"`
	UntilMs         int64  `json:"until_ms"`
	Closed          bool   `json:"closed"`
	ClosedWhy       string `json:"closed_why"` // "", "over" or "withdrawn"
}
