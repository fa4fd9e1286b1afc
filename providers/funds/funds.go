// Package funds keeps the money that is given for a purpose: named funds,
// directed donations, charitable trusts. Offers draw on a fund, and each fen can
// be followed from the donation through the offer to the handover.
//
// A fund is one document that changes by compare-and-set; what a change books
// goes with it into the document and from there into the journal, so that no
// crash comes between the two. See DESIGN.md.
package funds

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// FieldError says which field of a form or request is wrong, and what to do.
type FieldError = providers.FieldError

// Errors that callers tell apart.
var (
	// ErrClosed says that the fund takes no donations and carries no new offers.
	ErrClosed = errors.New("the fund is closed")
	// ErrSamePerson says that who closes a month does not confirm it as well
	// where the organisation has a second account.
	ErrSamePerson = errors.New("a second person confirms the closing")
	// ErrMonth says that another month is the next to be closed, or none is.
	ErrMonth = errors.New("this month cannot be closed now")
	// ErrBooks says that a step does not fit the fund's figures: a fault
	// elsewhere, which verify names. Nothing was changed.
	ErrBooks = errors.New("the step does not fit the books")
)

// Kind of a fund.
type Kind string

// The kinds.
const (
	Named    Kind = "named"    // 冠名基金: bears a giver's name
	Directed Kind = "directed" // 定向捐赠: donations for one matter
	Trust    Kind = "trust"    // 慈善信托: held in trust for a purpose
)

// Kinds lists the kinds in the order in which pages show them.
func Kinds() []Kind { return []Kind{Named, Directed, Trust} }

// Valid says whether k is one of the kinds.
func (k Kind) Valid() bool { return k == Named || k == Directed || k == Trust }

// MayHave says whether an organisation of a kind has such funds: charities have
// all, the others trusts only.
func (k Kind) MayHave(of providers.Kind) bool { return of == providers.Charity || k == Trust }

// Status of a fund.
type Status string

// The statuses.
const (
	Open   Status = "open"
	Closed Status = "closed" // no donations and no new offers; what is promised is still given
)

// Account is one of the four accounts of a fund's books.
type Account string

// The accounts. The balance of Donations is negative: where the money comes
// from. All four sum to zero.
const (
	Donations Account = "donations"
	Available Account = "available"
	Reserved  Account = "reserved" // for offers that are posted
	Spent     Account = "spent"    // handed over
)

// What says what an entry books.
type What string

// What can be booked.
const (
	Donated   What = "donated"   // donations → available
	Corrected What = "corrected" // available → donations: a donation taken back, with a reason
	SetAside  What = "reserved"  // available → reserved: an offer was posted
	Returned  What = "returned"  // reserved → available: units expired or were withdrawn
	Paid      What = "spent"     // reserved → spent: units were handed over
	Recovered What = "recovered" // spent → reserved: units that were handed over came back
)

// accounts are the account that an entry credits (money leaves it) and the one
// it debits.
func (w What) accounts() (credit, debit Account) {
	switch w {
	case Donated:
		return Donations, Available
	case Corrected:
		return Available, Donations
	case SetAside:
		return Available, Reserved
	case Returned:
		return Reserved, Available
	case Recovered:
		return Spent, Reserved
	}
	return Reserved, Spent
}

// Entry is a line of a fund's journal; it never changes. It moves an amount from
// one account to another and says which fen they are: the run FromFen to ToFen
// of one of the fund's streams.
type Entry struct {
	store.Meta `bson:",inline"`
	Fund       string  `json:"fund"`
	Seq        int64   `json:"seq"`       // in the fund, from 1, without a gap
	Month      string  `json:"month"`     // of AtMs in China, "2026-11"
	AtMs       int64   `json:"at_ms"`     // its date
	BookedMs   int64   `json:"booked_ms"` // when it was written
	What       What    `json:"what"`
	Credit     Account `json:"credit"`
	Debit      Account `json:"debit"`
	Fen        int64   `json:"fen"`    // above 0
	Stream     string  `json:"stream"` // the fund's id + "/" + the number of the stream
	FromFen    int64   `json:"from_fen"`
	ToFen      int64   `json:"to_fen"` // exclusive
	Donation   string  `json:"donation"`
	Offer      string  `json:"offer"`
	Allocation string  `json:"allocation"`
	// QtyUnits is of an offer's unit: how many were set aside, returned, handed
	// over or taken back. Where one step takes several entries the first has it all.
	QtyUnits int64  `json:"qty_units"`
	Category string `json:"category,omitempty"` // of a handover
	Town     string `json:"town,omitempty"`     // of a handover, 12-digit code
	Person   string `json:"person,omitempty"`   // of a handover: id of the resident, to count people; never shown
	By       string `json:"by"`                 // account id, or "system"
	Reason   string `json:"reason,omitempty"`   // of a correction
}

// Donation is money that came in. What became of it stands in the journal.
type Donation struct {
	store.Meta `bson:",inline"`
	Fund       string `json:"fund"`
	Seq        int64  `json:"seq"`     // of its entry
	Receipt    string `json:"receipt"` // number of the receipt: year and ordinal in the fund
	// DonorSealed is the donor's name, sealed; empty: anonymous.
	DonorSealed string `json:"donor_sealed,omitempty"`
	Fen         int64  `json:"fen"`
	Category    string `json:"category"` // directed to; empty: whatever the fund is for
	Division    string `json:"division"` // directed to; empty: wherever the fund gives
	AtMs        int64  `json:"at_ms"`    // when it came in
	Note        string `json:"note,omitempty"`
	Stream      string `json:"stream"`
	FromFen     int64  `json:"from_fen"` // which fen of the stream it is
	ToFen       int64  `json:"to_fen"`
	EnteredMs   int64  `json:"entered_ms"`
	EnteredBy   string `json:"entered_by"`
}

var (
	fundsSchema = store.Schema{Name: "funds", Indexes: []store.Index{
		{Name: "organisation", Fields: []string{"organisation", "created_ms"}},
	}}
	entriesSchema = store.Schema{Name: "fund_entries", Indexes: []store.Index{
		{Name: "fund", Fields: []string{"fund", "seq"}, Unique: true},
		{Name: "month", Fields: []string{"fund", "month", "seq"}},
		{Name: "piece", Fields: []string{"stream", "what", "from_fen"}},
		{Name: "offer", Fields: []string{"offer", "seq"}},
		{Name: "donation", Fields: []string{"donation", "seq"}},
		{Name: "allocation", Fields: []string{"allocation", "seq"}, Sparse: "allocation"},
	}}
	donationsSchema = store.Schema{Name: "fund_donations", Indexes: []store.Index{
		{Name: "fund", Fields: []string{"fund", "seq"}},
		{Name: "piece", Fields: []string{"stream", "from_fen"}},
	}}
	readSchema = store.Schema{Name: "fund_reads"}
)

// Schemas declares the collections of this package.
func Schemas() []store.Schema {
	return []store.Schema{fundsSchema, entriesSchema, donationsSchema, readSchema}
}

// Vault seals donors' names.
type Vault interface {
	Seal(field, recordID, plain string) (string, error)
	OpenField(field, recordID, sealed string) (string, error)
}

// Config is what a [Service] needs. All but Known and Logger are required.
type Config struct {
	Record store.Record
	Vault  Vault
	Now    func() time.Time
	// Known says whether a division exists; nil: every well-formed code does.
	Known  func(code string) bool
	Logger *slog.Logger
}

// Service keeps the books of all funds. It is safe for concurrent use, also of
// several processes on one record.
type Service struct {
	cfg       Config
	funds     store.Collection[Fund, *Fund]
	entries   store.Collection[Entry, *Entry]
	donations store.Collection[Donation, *Donation]
}

// New makes a service.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{
		cfg:       c,
		funds:     store.Of[Fund](c.Record, fundsSchema),
		entries:   store.Of[Entry](c.Record, entriesSchema),
		donations: store.Of[Donation](c.Record, donationsSchema),
	}
}

// Get reads a fund. Errors: [store.ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*Fund, error) { return s.funds.Get(ctx, id) }

// List returns one page of an organisation's funds, oldest first; an empty
// organisation means all.
func (s *Service) List(ctx context.Context, organisation, after string, limit int) ([]*Fund, string, error) {
	q := store.Query{After: after, Limit: limit}
	if organisation != "" {
		q.Index, q.Equal = "organisation", []any{organisation}
	}
	return s.funds.Find(ctx, q)
}

// Entries returns one page of a fund's journal, newest first.
func (s *Service) Entries(ctx context.Context, f *Fund, after string, limit int) ([]*Entry, string, error) {
	if err := s.write(ctx, f); err != nil {
		return nil, "", err
	}
	return s.entries.Find(ctx, store.Query{Index: "fund", Equal: []any{f.ID}, After: after, Limit: limit, Desc: true})
}

// DonationsOf returns one page of a fund's donations, newest first.
func (s *Service) DonationsOf(ctx context.Context, f *Fund, after string, limit int) ([]*Donation, string, error) {
	if err := s.write(ctx, f); err != nil {
		return nil, "", err
	}
	return s.donations.Find(ctx, store.Query{Index: "fund", Equal: []any{f.ID}, After: after, Limit: limit, Desc: true})
}

// Donation reads a donation of a fund. Errors: [store.ErrNotFound].
func (s *Service) Donation(ctx context.Context, f *Fund, id string) (*Donation, error) {
	if err := s.write(ctx, f); err != nil {
		return nil, err
	}
	d, err := s.donations.Get(ctx, id)
	if err == nil && d.Fund != f.ID {
		return nil, store.ErrNotFound
	}
	return d, err
}

// donorField is the name under which a donor's name is sealed.
const donorField = "donor"

// Donor opens a donor's name; "" for an anonymous one.
func (s *Service) Donor(d *Donation) (string, error) {
	if d.DonorSealed == "" {
		return "", nil
	}
	return s.cfg.Vault.OpenField(donorField, d.ID, d.DonorSealed)
}
