package pages

import "fmt"

// Organisation is what an organisation says of itself, and where it stands.
type Organisation struct {
	OfOrganisation
	CreditCode, Place, Contact, Email, Website, Why string
	Description                                     Text
	Serves                                          []string // names of divisions; none: anywhere
	Places                                          []PlaceRow
	Listed                                          []ListedRow
	CreatedMs                                       int64
	Counties                                        []CountyTowns // to choose from
}

// AnyServed says whether the county or one of its towns is ticked.
func (o Organisation) AnyServed(c CountyTowns) bool {
	if o.Chosen("serves", c.Code) {
		return true
	}
	for _, t := range c.Towns {
		if o.Chosen("serves", t.Code) {
			return true
		}
	}
	return false
}

func (Organisation) template() string { return "organisation" }

// ListedRow is a service that another directory told of: without stock.
type ListedRow struct {
	Name             Text
	Description, URL string
	Active           bool
}

// PlaceRow is one place of an organisation.
type PlaceRow struct {
	ID, Where, Phone string
	Name, Address    Text
	WGS84, GCJ02     string   // "" where the coordinates are not known
	Today            []string // hours; none: closed
	Kept             bool     // hours are known
	Week, Except     []DayHours
}

// DayHours is when a place is open: Day is "1" Monday .. "7" Sunday, or a date.
type DayHours struct {
	Day, Note string
	Spans     []string // none: closed
}

// PlaceEdit is the form for a place.
type PlaceEdit struct {
	OfOrganisation
	ID        string // "" for a new one
	Divisions []ChoiceGroup
}

// Days are the weekdays, keys below "weekday.".
func (PlaceEdit) Days() []string { return []string{"1", "2", "3", "4", "5", "6", "7"} }

// ExceptRows are the rows for dates: those filled in, and two more.
func (p PlaceEdit) ExceptRows() []int {
	rows := make([]int, len(p.Values["except_date"])+2)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// ExceptError is what is wrong with a row.
func (p PlaceEdit) ExceptError(i int) string { return p.Errors[fmt.Sprintf("except[%d]", i)] }

func (PlaceEdit) template() string { return "place" }
