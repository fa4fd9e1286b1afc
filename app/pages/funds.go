package pages

import "time"

// Funds lists funds.
type Funds struct {
	Page
	MayMake bool
	Rows    []FundRow
	Next    Link
}

func (Funds) template() string { return "funds" }

// FundRow is a fund with its figures, in fen.
type FundRow struct {
	ID, Kind, Status                     string
	Name                                 Text
	Organisation                         string // "" where everybody knows
	Received, Available, Reserved, Spent int64
}

// FundNew is the form in which a fund is made.
type FundNew struct {
	Form
	Kinds      []string // keys below "fund_kind."
	Categories []Choice
	Places     []ChoiceGroup
}

func (FundNew) template() string { return "fund_new" }

// Fund is one fund with its movements and months.
type Fund struct {
	Page
	FundRow
	Purpose      string
	Categories   []Text
	Places       []string
	DonorsNamed  bool
	CreatedMs    int64
	MayKeep      bool
	Draws        []FundDraw
	Movements    []Movement
	Next         Link
	Months       []FundMonth
	NextClosing  string // month that can be closed, or ""
	Proposed     bool   // its closing waits for a second person
	ProposedBy   string
	ProposedMine bool
}

func (Fund) template() string { return "fund" }

// FundDraw is an offer that draws on a fund, in fen.
type FundDraw struct {
	Offer           string
	Title           Text
	Left, Spent, Of int64
}

// Movement is a line of a fund's journal.
type Movement struct {
	AtMs            int64
	What            string // key below "movement."
	Fen             int64
	Offer, Donation string
	Title           Text
	Reason          string
}

// FundMonth is one month of a fund, in fen.
type FundMonth struct {
	Month                   string // "2026-11"
	Closed, Alone           bool
	Donated, Spent, Balance int64 // Balance at its end
}

// Month writes a month such as "2026-11".
func (p Page) Month(month string) string {
	t, err := time.ParseInLocation("2006-01", month, cst)
	if err != nil {
		return month
	}
	return p.stamp(t.UnixMilli(), "2006年1月", "Jan 2006")
}

// Yuan writes fen as yuan.
func (FundRow) Yuan(fen int64) string { return Yuan(fen) }

// Donate is the form in which a donation is entered.
type Donate struct {
	Form
	FundRow
	Categories []Choice
	Places     []ChoiceGroup
	Today      string
}

func (Donate) template() string { return "fund_donate" }

// PickCategory is the field for the kind of aid that a donation is directed to.
func (d Donate) PickCategory() Field {
	f := d.Select("category", "donate.category", d.Categories)
	f.Options = append([]Option{{"", d.T("donate.fund_kinds"), f.Value == ""}}, f.Options...)
	return f
}

// Donations lists a fund's donations.
type Donations struct {
	Page
	FundRow
	MayKeep bool
	Rows    []DonationRow
	Next    Link
}

func (Donations) template() string { return "fund_donations" }

// DonationRow is a donation; Donor is "" for an anonymous one.
type DonationRow struct {
	ID, Receipt, Donor string
	Fen, Free          int64
	Category           Text   // directed to; empty: anything
	Place              string // directed to; "": anywhere
	AtMs               int64
	Note               string
}

// Directed says what a donation is directed to.
func (p Page) Directed(d DonationRow) string {
	category := p.Say(d.Category)
	switch {
	case category != "" && d.Place != "":
		return category + " · " + d.Place
	case category != "":
		return category
	case d.Place != "":
		return d.Place
	}
	return p.T("fund.undirected")
}

// Donation is one donation with what became of it, in fen.
type Donation struct {
	Form
	FundRow
	Row                                          DonationRow
	MayKeep                                      bool
	FreeFen, ReservedFen, SpentFen, CorrectedFen int64
	Reserved                                     []FundDraw
	Cells                                        []TraceCell
}

func (Donation) template() string { return "fund_donation" }

// TraceCell is what was handed over of one kind of aid in one town.
type TraceCell struct {
	Category               Text   // empty: several
	Place                  string // "": several
	Fen, Handovers, People int64  // People 0: fewer than five
}
