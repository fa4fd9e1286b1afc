package pages

// Me is the resident's own page.
type Me struct {
	NeedForm
	PIN        Form // to change one's own
	ID, CardNo string
	Promises   []Aid
	Needs      []Need
	List       []ListGroup // the happiness list, by kind of aid
	Ends       []EndCount  // and by the three ends
	Next       Link
	Views      []Viewing
	Kept       CodeKept
}

// ListGroup is what was received of one kind.
type ListGroup struct {
	Category Text
	Items    []Aid
}

// EndCount is how often one of the three ends has given.
type EndCount struct {
	Kind  string
	Count int
}

// CardNoSpaced is the card number in groups of four.
func (m Me) CardNoSpaced() string { return spaced(m.CardNo) }

func (Me) template() string { return "me" }
