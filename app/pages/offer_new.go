package pages

// OfferNew is the form in which an offer is posted.
type OfferNew struct {
	Form
	Organisations []Choice // to choose from, for administrators
	Categories    []Choice
	Groups        []Choice
	Counties      []CountyTowns
	Rule          Rule
	KeptMore      bool // more rows for what is kept were asked for
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
