package pages

// Counter is where a provider hands over: a code is scanned, and the page shows
// what the organisation owes the person.
type Counter struct {
	Form
	Look     *CounterLook
	Given    *CounterItem // was just handed over
	GivenNow int64        // so many of it
}

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
