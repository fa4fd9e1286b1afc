package pages

import "strconv"

// OfferNew is the form in which an offer is posted.
type OfferNew struct {
	Form
	Organisations []Choice // to choose from, for administrators
	Categories    []Choice
	Groups        []Choice
	Counties      []CountyTowns
	Rule          Rule
	Funds         []Choice // that may pay for it
	OfferForm     string   // what it gives, key below "offer_form."; "": any
	Hows          []string // ways of handing over that fit
	KeptMore      bool     // more rows for what is kept were asked for
	SeriesMore    bool     // or for series
	MayDraft      bool
	Copied        string // title of the offer that this is a copy of
}

// SelectFund is the field for the fund that pays.
func (o OfferNew) SelectFund() Field {
	f := o.Select("fund", "offer_new.fund", o.Funds)
	f.Options = append([]Option{{"", o.T("form.none"), f.Value == ""}}, f.Options...)
	return f
}

// PickHow is the field for how it is handed over.
func (o OfferNew) PickHow() Field { return o.Pick("how", "offer_new.how", "how.", o.Hows...) }

// MaxImages is how many photos an offer may have.
const MaxImages = 4

// ImagesLeft is how many photos may still be added.
func (o OfferNew) ImagesLeft() int { return MaxImages - len(o.Values["images"]) }

// ImageURL is where a photo is.
func (OfferNew) ImageURL(id string) string { return "/api/v1/images/" + id }

// Money says whether quantities are typed in yuan.
func (o OfferNew) Money() bool { return o.OfferForm == "cash" }

// SeriesRows are the rows for series: those there are, at least one, and one
// more where it was asked for.
func (o OfferNew) SeriesRows() []SeriesRow {
	const most = 10
	n := 0
	for n < most && o.Values["s"+strconv.Itoa(n)+"_every"] != nil {
		n++
	}
	if o.SeriesMore || n == 0 {
		n = min(n+1, most)
	}
	rows := make([]SeriesRow, n)
	for i := range rows {
		rows[i] = SeriesRow{Form: o.Form, Number: i, Service: o.OfferForm == "service", Money: o.Money(), Discount: o.OfferForm == "discount"}
	}
	return rows
}

// LotsTyped says whether lots were typed by hand.
func (o OfferNew) LotsTyped() bool {
	for _, field := range []string{"lot_qty", "lot_until"} {
		for _, v := range o.Values[field] {
			if v != "" {
				return true
			}
		}
	}
	return o.Errors["lots"] != ""
}

// MoreTyped says whether something of what is rarely needed is filled in.
func (o OfferNew) MoreTyped() bool {
	for _, field := range []string{"kept_percent", "kept_group", "kept_division", "min_score", "reserve"} {
		for _, v := range o.Values[field] {
			if v != "" {
				return true
			}
		}
		if o.Errors[field] != "" {
			return true
		}
	}
	return o.KeptMore
}

// SeriesRow is the fields of one series.
type SeriesRow struct {
	Form
	Number                   int
	Service, Money, Discount bool
}

// Name is the name of a field of this row.
func (r SeriesRow) Name(field string) string { return "s" + strconv.Itoa(r.Number) + "_" + field }

// In is an input of this row, with the label's key below "series.".
func (r SeriesRow) In(field, kind string) Field { return r.Input(r.Name(field), "series."+field, kind) }

// QtyType is the type of the quantity's field: money has decimals.
func (r SeriesRow) QtyType() string {
	if r.Money {
		return "text"
	}
	return "number"
}

// Every is how the series repeats.
func (r SeriesRow) Every() Field {
	return r.Pick(r.Name("every"), "series.every", "repeat.", "week", "month")
}

// Weekday is a day of the week to tick.
type Weekday struct {
	Value, Name string
	Chosen      bool
}

// Weekdays are the days of the week, from Monday.
func (r SeriesRow) Weekdays() []Weekday {
	out := make([]Weekday, 7)
	for i := range out {
		v := strconv.Itoa(i + 1)
		out[i] = Weekday{v, r.T("weekday." + v), r.Chosen(r.Name("weekday"), v)}
	}
	return out
}

// Fault is what is wrong with this row.
func (r SeriesRow) Fault() string { return r.Errors["series["+strconv.Itoa(r.Number)+"]"] }

// OfferKinds is the first step: what kind of aid it is.
type OfferKinds struct {
	Page
	Forms  []string // keys below "offer_form."
	Drafts []OfferDraft
	Past   []OfferPast
}

func (OfferKinds) template() string { return "offer_kinds" }

// FormIcon is the icon of a form.
func (OfferKinds) FormIcon(form string) string {
	return map[string]string{"meals": "bowl", "goods": "gift", "service": "people", "voucher": "ticket", "cash": "coin", "discount": "percent"}[form]
}

// OfferDraft is an offer that is not posted.
type OfferDraft struct {
	ID, Form  string
	Title     Text
	ChangedMs int64
}

// OfferPast is an offer that may be posted again.
type OfferPast struct {
	ID, Form  string
	Title     Text
	CreatedMs int64
}

// OfferPreview is what would be posted.
type OfferPreview struct {
	Form
	OfferForm              string
	MayDraft               bool
	Title, Category, Place Text
	Rule, Fund             Text // empty: none
	How, Note              string
	ValueFen               int64
	Places                 []string
	Groups                 []Text
	MinScoreMilli          int64
	Cap                    Amount
	CapPeriod, Pace        string
	Kept                   []Kept
	Unlimited              bool
	Images                 []string // addresses
	Count                  int
	Total                  Amount
	First, Rest            []LotLine
}

func (OfferPreview) template() string { return "offer_preview" }

// KeptFor names those for whom a part is kept.
func (o OfferPreview) KeptFor(k Kept) string { return Offer{Page: o.Page}.KeptFor(k) }

// Yuan writes fen as yuan.
func (OfferPreview) Yuan(fen int64) string { return Yuan(fen) }

// LotLine is one lot of a preview.
type LotLine struct {
	FromMs, UntilMs int64
	Amount          Amount
}

// CountyTowns is a county with its towns.
type CountyTowns struct {
	Code, Name string
	Towns      []Town
}

// Town is one town.
type Town struct{ Code, Name string }

// AnyChosen says whether the county or one of its towns is ticked.
func (o OfferNew) AnyChosen(c CountyTowns) bool {
	if o.Chosen("divisions", c.Code) {
		return true
	}
	for _, t := range c.Towns {
		if o.Chosen("divisions", t.Code) {
			return true
		}
	}
	return false
}

// LotRows are the rows for lots: those filled in, and one more, at least three.
func (o OfferNew) LotRows() []int {
	n := max(3, len(o.Values["lot_qty"]))
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// maxKept is how many parts an offer may keep.
const maxKept = 20

// KeptRows are the rows for what is kept: those filled in, at least two, and two
// more where they were asked for.
func (o OfferNew) KeptRows() []int {
	n := max(2, len(o.Values["kept_percent"]))
	if o.KeptMore {
		n += 2
	}
	rows := make([]int, min(n, maxKept))
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// LotNumber counts from one.
func (OfferNew) LotNumber(i int) int { return i + 1 }

func (OfferNew) template() string { return "offer_new" }
