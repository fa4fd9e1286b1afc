package pages

// Counter is where a provider hands over: a code is scanned, and the page shows
// what the organisation owes the person.
type Counter struct {
	Form
	Look     *CounterLook
	Given    *CounterItem // was just handed over
	GivenNow int64        // so many of it
	Voucher  *CounterVoucher
}

// CounterVoucher is a voucher that was scanned or typed.
type CounterVoucher struct {
	Code, Attempt string
	Title, Unit   Text
	UntilMs       int64
	RedeemedMs    int64 // 0: not yet
	Now           bool  // by this very click
	Ended         bool  // taken back or expired
	PINRequired   bool
}

// One is the voucher's unit.
func (v CounterVoucher) One() Amount { return Amount{Units: 1, Unit: v.Unit} }

// Vouchers are the single-use codes of a promise.
type Vouchers struct {
	Page
	Aid      Aid
	Back     string
	Vouchers []Voucher
}

// Voucher is one code; Path draws it in a square of Side, margin included.
type Voucher struct {
	Unit       int64
	Code       string
	RedeemedMs int64
	Path       string
	Side       int
}

func (Vouchers) template() string { return "vouchers" }

// VoucherFound is what the picture of a voucher opens: the same for all.
type VoucherFound struct {
	Page
	EN Page
}

// VoucherFound makes the page.
func (s *Site) VoucherFound() VoucherFound {
	return VoucherFound{Page: s.Page(Chinese, User{}, "", "/v"), EN: s.Page(English, User{}, "", "/v")}
}

func (VoucherFound) template() string { return "voucher_found" }

// CounterLook is what a counter learns of a person.
type CounterLook struct {
	Scan    string
	Initial string // "" without consent
	Items   []CounterItem
}

// CounterItem is something owed.
type CounterItem struct {
	Item              string
	Title, Unit       Text
	Units, GivenUnits int64
	UntilMs           int64
	Paid, PINRequired bool
	Leased            Text // why it cannot be given here now
}

// Left is what may still be handed over.
func (i CounterItem) Left() int64 { return i.Units - i.GivenUnits }

// Of is so many of the item's units.
func (i CounterItem) Of(units int64) Amount { return Amount{Units: units, Unit: i.Unit} }

// InsteadReasons are why something else is given, keys below "instead.".
func (Counter) InsteadReasons() []string { return []string{"sold_out", "unsuitable", "asked", "other"} }

func (Counter) template() string { return "counter" }

// CounterDay is what a counter did today, and what is still to be fetched.
type CounterDay struct {
	Form
	Stock   []CounterItem // what is open, by offer
	Given   []CounterEntry
	Waiting []CounterEntry
}

// CounterEntry is one line of it.
type CounterEntry struct {
	CounterItem
	AtMs         int64 // when it was given last
	NoShowFromMs int64 // from when on nobody may be said to come; 0: not here
	MayNoShow    bool
}

// BackReasons are the reasons for which something comes back, keys below "back.".
func (Page) BackReasons() []string { return []string{"mistake", "unused", "spoiled"} }

func (CounterDay) template() string { return "counter_day" }

// Round is what is brought home on a day.
type Round struct {
	Form
	DayMs int64
	Today bool // only then people are named
	Towns []RoundTown
}

// RoundTown is the part of a round in one town.
type RoundTown struct {
	Place string
	Stops []RoundStop
}

// RoundStop is one thing to bring.
type RoundStop struct {
	CounterItem
	Village              string
	Name, Phone, Address string
	Agreed               bool // to be named to who brings it
	TriedMs              int64
}

func (Round) template() string { return "round" }
