// Package providers holds the three ends that give aid (government, charity,
// enterprise): organisations and the decisions about them, what they offer, the
// lots of an offer, and each county's share of a lot, which is where the
// record keeps a unit from being given twice.
package providers

import (
	"errors"
	"fmt"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

// ErrNotApproved says that the organisation may not post offers: it waits for
// approval or was suspended.
var ErrNotApproved = errors.New("the organisation is not approved")

// FieldError says which field of a form or request is wrong, and what to do
// about it, in both languages. It never repeats what was entered.
type FieldError struct {
	Field string // JSON name, e.g. "lots[2].until_ms"
	ZH    string
	EN    string
	Err   error // a sentinel such as [ErrCreditCode]; may be nil
}

func (e FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.EN) }

func (e FieldError) Unwrap() error { return e.Err }

// ErrOffer is the error of [Service.Post] that names the field at fault.
type ErrOffer = FieldError

// Kind is one of the three ends 三端.
type Kind string

// The three ends.
const (
	Government Kind = "government" // 政府
	Charity    Kind = "charity"    // 社会
	Enterprise Kind = "enterprise" // 企业
)

// Valid says whether k is one of the three ends.
func (k Kind) Valid() bool { return k == Government || k == Charity || k == Enterprise }

// Status of an organisation.
type Status string

// The statuses of an organisation.
const (
	Pending   Status = "pending"   // joined, waits for an administrator
	Approved  Status = "approved"  // may post offers
	Suspended Status = "suspended" // refused or stopped; may not
)

// Decision is what an administrator decided about an organisation.
type Decision struct {
	AtMs   int64  `json:"at_ms"`
	By     string `json:"by"` // account id
	Status Status `json:"status"`
	Note   string `json:"note"`
}

// Organisation gives aid.
type Organisation struct {
	store.Meta    `bson:",inline"`
	Name          string          `json:"name"`
	NameEN        string          `json:"name_en"`
	Kind          Kind            `json:"kind"`
	CreditCode    string          `json:"credit_code"` // GB 32100-2015, unique
	Status        Status          `json:"status"`
	Division      string          `json:"division"` // seat, 12-digit code
	Contact       string          `json:"contact"`  // business phone
	CreatedMs     int64           `json:"created_ms"`
	CreatedBy     string          `json:"created_by"`
	Decisions     []Decision      `json:"decisions,omitempty"` // oldest first
	DescriptionZH string          `json:"description_zh"`
	DescriptionEN string          `json:"description_en"`
	Email         string          `json:"email"`
	Website       string          `json:"website"`
	Serves        []string        `json:"serves,omitempty"` // see [Profile]
	Places        []Place         `json:"places,omitempty"`
	Services      []ListedService `json:"services,omitempty"` // see [Service.Take]
	ChangedMs     int64           `json:"changed_ms"`         // of profile or places; 0: since it joined
	// Untold says that a decision was made of which its open offers do not bear
	// the mark yet, see [Service.FinishDecisions].
	Untold bool `json:"untold"`
	// Owners are accounts that own it; OwnersKept says that they are all of them.
	Owners     []string `json:"owners,omitempty"`
	OwnersKept bool     `json:"owners_kept"`
}

// NewOrganisation is what an organisation says of itself when it joins.
type NewOrganisation struct {
	Name       string `json:"name"`        // 2..100 characters
	NameEN     string `json:"name_en"`     // optional, up to 200
	Kind       Kind   `json:"kind"`        // one of the three ends
	CreditCode string `json:"credit_code"` // 18 characters
	Division   string `json:"division"`    // seat, 12-digit code
	Contact    string `json:"contact"`     // business phone, optional, up to 50
}

// How an offer is handed over.
type How string

// The ways of handing over.
const (
	Pickup   How = "pickup"   // fetched at Place
	Delivery How = "delivery" // brought to the home
	OnSite   How = "onsite"   // a service rendered at the home or at Place
	Transfer How = "transfer" // money to an account
	Voucher  How = "voucher"  // redeemed at a shop
)

// Valid says whether h is one of the ways of handing over.
func (h How) Valid() bool {
	switch h {
	case Pickup, Delivery, OnSite, Transfer, Voucher:
		return true
	}
	return false
}

// Handover says how and where the aid reaches the resident.
type Handover struct {
	How     How    `json:"how"`
	Place   string `json:"place"` // required for pickup, up to 200 characters
	PlaceEN string `json:"place_en"`
	Note    string `json:"note"`
	// Partners are other organisations, by id, at whose counters vouchers are
	// redeemed too; 50 at most, for vouchers only.
	Partners []string `json:"partners,omitempty"`
}

// OfferStatus is where an offer stands.
type OfferStatus string

// The statuses of an offer.
const (
	OfferOpen         OfferStatus = "open"
	OfferIsWithdrawn  OfferStatus = "withdrawn"
	offersPerPage                 = 100
	sharesPerInsert               = 500
	maxLots                       = 400
	maxSharesPerOffer             = 20_000 // keeps the offer's document near 1 MB
	maxQtyUnits                   = 10_000_000
	maxKept                       = 20
)

// KeptFor is for whom a lot of the offer is kept; nil: for everybody it serves.
func (o *Offer) KeptFor(l OfferLot) *Kept {
	if l.Kept < 1 || l.Kept > int64(len(o.Kept)) {
		return nil
	}
	return &o.Kept[l.Kept-1]
}

// Offer is something a provider gives. What it says never changes; only its
// status does.
type Offer struct {
	store.Meta    `bson:",inline"`
	Organisation  string          `json:"organisation"`
	Kind          Kind            `json:"kind"`    // of the organisation, copied
	Form          Form            `json:"form"`    // empty, of older offers: [FormOf]
	Revision      int64           `json:"version"` // of what it says; 1, a change would be a new version
	TitleZH       string          `json:"title_zh"`
	TitleEN       string          `json:"title_en"`
	Category      string          `json:"category"`
	Unit          string          `json:"unit"`
	ValueFen      int64           `json:"value_fen"` // per unit; 0: not stated
	Divisions     []string        `json:"divisions"` // served, 12-digit codes
	Groups        []string        `json:"groups,omitempty"`
	MinScoreMilli int64           `json:"min_score_milli"` // 0..1000
	Rule          Rule            `json:"rule"`            // who else may not; no Expr: nobody
	Sets          []string        `json:"sets,omitempty"`  // names by which rules of any offer may name it
	CapUnits      int64           `json:"cap_units"`       // per household and CapPeriod; 0: none
	CapPeriod     matching.Period `json:"cap_period"`
	Pace          matching.Pace   `json:"pace"`          // how fast it is released; empty, of older offers: drip
	ReserveMilli  int64           `json:"reserve_milli"` // for pace drip: 500..3000; 0, of older offers: 1400
	Kept          []Kept          `json:"kept,omitempty"`
	Fund          string          `json:"fund,omitempty"` // id of the fund that pays for it; empty: none
	Handover      Handover        `json:"handover"`
	Unlimited     bool            `json:"unlimited,omitempty"` // its lots hold [UnlimitedUnits]
	Images        []string        `json:"images,omitempty"`    // ids of photos, see images.go
	Wish          string          `json:"wish,omitempty"`      // the wish that it fulfils; "": none
	Only          string          `json:"only,omitempty"`      // the resident whom alone it serves; "": whom it says
	Status        OfferStatus     `json:"status"`
	Lots          []OfferLot      `json:"lots"`
	Plan          []Series        `json:"plan,omitempty"` // the series that made lots, for a copy
	CreatedMs     int64           `json:"created_ms"`
	CreatedBy     string          `json:"created_by"`
	WithdrawnMs   int64           `json:"withdrawn_ms"`
	WithdrawnBy   string          `json:"withdrawn_by"`
	ChangedMs     int64           `json:"changed_ms"` // posted or withdrawn
}

// Kept is a part of each of an offer's lots that is kept for a group, a division
// or a group in a division, until nobody of them is expected any more.
type Kept struct {
	Group    string `json:"group"`    // empty: any
	Division string `json:"division"` // 12-digit code within the offer's; empty: anywhere
	PerMille int64  `json:"permille"` // of each lot, 1..1000; all together 1000 at most
}

// OfferLot is a quantity usable from–until, and how it is split over counties.
// What is kept of a lot is a lot of its own.
type OfferLot struct {
	// ID is the offer's id + "-" + ordinal from 1, and for what is kept "k" +
	// Kept after it.
	ID       string `json:"id"`
	Kept     int64  `json:"kept,omitempty"` // for which of the offer's Kept, from 1; 0: for everybody it serves
	QtyUnits int64  `json:"qty_units"`
	FromMs   int64  `json:"from_ms"`
	UntilMs  int64  `json:"until_ms"`
	// Shares is what each county was given at first: 12-digit county code → units.
	Shares map[string]int64 `json:"shares"`
}

// NewOffer is what a provider fills in.
type NewOffer struct {
	TitleZH       string          `json:"title_zh"`
	TitleEN       string          `json:"title_en"`
	Category      string          `json:"category"`
	Unit          string          `json:"unit"` // empty: the category's
	ValueFen      int64           `json:"value_fen"`
	Divisions     []string        `json:"divisions"`
	Groups        []string        `json:"groups"`
	MinScoreMilli int64           `json:"min_score_milli"`
	Rule          string          `json:"rule"` // in CEL, see package eligibility; empty: none
	Sets          []string        `json:"sets"` // names of sets that it belongs to, 5 at most
	CapUnits      int64           `json:"cap_units"`
	CapPeriod     matching.Period `json:"cap_period"` // empty: the category's
	// Pace is how fast it is released; empty: drip, or now where every lot lasts
	// half an hour at most.
	Pace matching.Pace `json:"pace"`
	// ReserveMilli is how many thousandths of the expected demand are reckoned
	// with at pace drip: 500..3000; 0: 1400.
	ReserveMilli int64    `json:"reserve_milli"`
	Kept         []Kept   `json:"kept"`
	Fund         string   `json:"fund"` // id of the fund that pays for it; empty: none
	Handover     Handover `json:"handover"`
	Form         Form     `json:"form"` // empty: of its category and handover, see [FormOf]
	// Unlimited, for discounts: lots and series need no quantity, each holds
	// [UnlimitedUnits].
	Unlimited bool     `json:"unlimited"`
	Images    []string `json:"images"` // ids of photos that the organisation has sent, up to 4
	Lots      []NewLot `json:"lots"`
	Series    []Series `json:"series"` // more lots, by the calendar
	// Wish and Only are what app/care says of a wish that is taken up.
	Wish string `json:"-"`
	Only string `json:"-"`
	// Key makes repeating safe: a second offer of the same organisation under
	// the same key is the first one. Empty: every call is a new offer.
	Key string `json:"-"`
}

// NewLot is one lot of a new offer.
type NewLot struct {
	QtyUnits int64 `json:"qty_units"` // 1..10,000,000
	FromMs   int64 `json:"from_ms"`
	UntilMs  int64 `json:"until_ms"` // after FromMs
}
