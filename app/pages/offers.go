package pages

// Offers lists what is given.
type Offers struct {
	Page
	MayPost bool
	Rows    []OfferRow
	Next    Link
}

// OfferRow is one offer of the list.
type OfferRow struct {
	ID, Kind, Status, Provider string
	Title, Category            Text
	Total                      Amount
	FromMs, UntilMs            int64
	Unlimited                  bool
	Image                      string // address; "": none
}

func (Offers) template() string { return "offers" }
