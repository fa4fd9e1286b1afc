// Package hsds speaks the Human Services Data Specification 3.1 of Open
// Referral, in which directories of help exchange organisations, services and
// locations. It holds nothing of people. See DESIGN.md.
package hsds

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/providers"
)

// Version is that of the specification.
const Version = "3.1"

// Organization is an organisation. What the specification calls by a name stands
// under that name; times are RFC 3339, coordinates WGS 84.
type Organization struct {
	ID            string       `json:"id"`
	Name          string       `json:"name"`
	AlternateName string       `json:"alternate_name,omitempty"`
	Description   string       `json:"description"`
	Email         string       `json:"email,omitempty"`
	Website       string       `json:"website,omitempty"`
	LegalStatus   string       `json:"legal_status,omitempty"` // one of the three ends
	Phones        []Phone      `json:"phones,omitempty"`
	Locations     []Location   `json:"locations,omitempty"`
	Identifiers   []Identifier `json:"organization_identifiers,omitempty"`
	Attributes    []Attribute  `json:"attributes,omitempty"`
}

// Identifier is the unified social credit code.
type Identifier struct {
	ID             string `json:"id"`
	OrganizationID string `json:"organization_id,omitempty"`
	Scheme         string `json:"identifier_scheme,omitempty"`
	Type           string `json:"identifier_type"`
	Identifier     string `json:"identifier"`
}

// Attribute is what the specification has no field for: divisions.
type Attribute struct {
	ID         string `json:"id"`
	LinkEntity string `json:"link_entity,omitempty"`
	Value      string `json:"value,omitempty"`
	Label      string `json:"label,omitempty"`
}

// Phone is a business phone.
type Phone struct {
	ID     string `json:"id"`
	Number string `json:"number"`
	Type   string `json:"type,omitempty"`
}

// Location is a place.
type Location struct {
	ID             string      `json:"id"`
	LocationType   string      `json:"location_type"`
	OrganizationID string      `json:"organization_id,omitempty"`
	Name           string      `json:"name,omitempty"`
	AlternateName  string      `json:"alternate_name,omitempty"`
	Latitude       *float64    `json:"latitude,omitempty"`
	Longitude      *float64    `json:"longitude,omitempty"`
	Addresses      []Address   `json:"addresses,omitempty"`
	Phones         []Phone     `json:"phones,omitempty"`
	Schedules      []Schedule  `json:"schedules,omitempty"`
	Attributes     []Attribute `json:"attributes,omitempty"`
}

// Address is where a location is.
type Address struct {
	ID            string `json:"id"`
	LocationID    string `json:"location_id,omitempty"`
	Address1      string `json:"address_1"`
	Address2      string `json:"address_2,omitempty"` // in English
	City          string `json:"city"`
	Region        string `json:"region,omitempty"` // county
	StateProvince string `json:"state_province"`
	PostalCode    string `json:"postal_code"`
	Country       string `json:"country"`
	AddressType   string `json:"address_type"`
}

// Schedule is hours on some days of the week, or on one date.
type Schedule struct {
	ID          string  `json:"id"`
	ValidFrom   string  `json:"valid_from,omitempty"`
	ValidTo     string  `json:"valid_to,omitempty"`
	Timezone    float64 `json:"timezone,omitempty"` // hours from UTC
	Wkst        string  `json:"wkst,omitempty"`
	Freq        string  `json:"freq,omitempty"`
	Byday       string  `json:"byday,omitempty"`
	Description string  `json:"description,omitempty"`
	OpensAt     string  `json:"opens_at,omitempty"`
	ClosesAt    string  `json:"closes_at,omitempty"`
	Notes       string  `json:"notes,omitempty"`
}

// Service is an offer that is open, or a service that an organisation lists.
type Service struct {
	ID             string              `json:"id"`
	OrganizationID string              `json:"organization_id,omitempty"`
	Name           string              `json:"name"`
	AlternateName  string              `json:"alternate_name,omitempty"`
	Description    string              `json:"description,omitempty"`
	URL            string              `json:"url,omitempty"`
	Status         string              `json:"status"`
	Fees           string              `json:"fees_description,omitempty"`
	Eligibility    string              `json:"eligibility_description,omitempty"`
	Application    string              `json:"application_process,omitempty"`
	LastModified   string              `json:"last_modified,omitempty"`
	Schedules      []Schedule          `json:"schedules,omitempty"`
	ServiceAreas   []ServiceArea       `json:"service_areas,omitempty"`
	AtLocations    []ServiceAtLocation `json:"service_at_locations,omitempty"`
	Capacities     []Capacity          `json:"capacities,omitempty"`
	Attributes     []Attribute         `json:"attributes,omitempty"`
}

// ServiceArea is a division served.
type ServiceArea struct {
	ID         string `json:"id"`
	ServiceID  string `json:"service_id,omitempty"`
	Name       string `json:"name,omitempty"`
	Extent     string `json:"extent,omitempty"` // 12-digit code
	ExtentType string `json:"extent_type,omitempty"`
}

// ServiceAtLocation says where a service can be had.
type ServiceAtLocation struct {
	ID         string `json:"id"`
	ServiceID  string `json:"service_id,omitempty"`
	LocationID string `json:"location_id,omitempty"`
}

// Capacity is how much of an offer is left.
type Capacity struct {
	ID        string `json:"id"`
	ServiceID string `json:"service_id,omitempty"`
	Unit      Unit   `json:"unit"`
	Available int64  `json:"available"`
	Maximum   int64  `json:"maximum"`
	Updated   string `json:"updated"`
}

// Unit is in what a capacity counts.
type Unit struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

const (
	creditScheme = "CN-USCC"
	creditType   = "统一社会信用代码"
	offersKind   = "happycode_kind"    // of attributes: "offer" or "listed"
	seatLabel    = "happycode_seat"    // 12-digit code
	servesLabel  = "happycode_serves"  // 12-digit code
	placeLabel   = "happycode_place"   // 12-digit code
	englishLabel = "happycode_english" // description in English
	areaType     = "GB/T 2260"
	chinaHours   = 8
)

// space is what names of things are made into UUIDs under.
var space = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/xingfuma/happycode/hsds"))

// ID is the UUID of a thing: its own id where that is one.
func ID(id string) string {
	if u, err := uuid.Parse(id); err == nil {
		return u.String()
	}
	return of(id)
}

// of is the UUID of a part of a thing.
func of(parts ...string) string {
	return uuid.NewSHA1(space, []byte(strings.Join(parts, "\x00"))).String()
}

// Writer makes documents; Tree is the division tree of now.
type Writer struct{ Tree *regions.Tree }

// Organization describes an organisation; full with what belongs to it.
func (w Writer) Organization(o *providers.Organisation, full bool) Organization {
	out := Organization{
		ID: ID(o.ID), Name: o.Name, AlternateName: o.NameEN, Description: cmp.Or(o.DescriptionZH, o.DescriptionEN, o.Name),
		Email: o.Email, Website: o.Website, LegalStatus: string(o.Kind),
	}
	if !full {
		return out
	}
	if o.Contact != "" {
		out.Phones = []Phone{{of(o.ID, "phone"), o.Contact, "voice"}}
	}
	out.Identifiers = []Identifier{{of(o.ID, "credit code"), out.ID, creditScheme, creditType, o.CreditCode}}
	out.Attributes = []Attribute{{of(o.ID, "seat"), "organization", o.Division, seatLabel}}
	for _, d := range o.Serves {
		out.Attributes = append(out.Attributes, Attribute{of(o.ID, "serves", d), "organization", d, servesLabel})
	}
	if o.DescriptionZH != "" && o.DescriptionEN != "" {
		out.Attributes = append(out.Attributes, Attribute{of(o.ID, "english"), "organization", o.DescriptionEN, englishLabel})
	}
	for _, p := range o.Places {
		out.Locations = append(out.Locations, w.Location(o, p))
	}
	return out
}

// Location describes a place.
func (w Writer) Location(o *providers.Organisation, p providers.Place) Location {
	id := ID(p.ID)
	out := Location{
		ID: id, LocationType: "physical", OrganizationID: ID(o.ID), Name: p.NameZH, AlternateName: p.NameEN,
		Attributes: []Attribute{{of(p.ID, "division"), "location", p.Division, placeLabel}},
	}
	address := Address{ID: of(p.ID, "address"), LocationID: id, Address1: p.Address, Address2: p.AddressEN, Country: "CN", AddressType: "physical"}
	for _, d := range w.Tree.Path(p.Division) {
		switch d.Level {
		case regions.Province:
			address.StateProvince = d.Name
		case regions.City:
			address.City = d.Name
		case regions.CountyLevel:
			address.Region = d.Name
		}
	}
	out.Addresses = []Address{address}
	if p.Located {
		lat, lng := p.At.Degrees()
		out.Latitude, out.Longitude = &lat, &lng
	}
	if p.Phone != "" {
		out.Phones = []Phone{{of(p.ID, "phone"), p.Phone, "voice"}}
	}
	out.Schedules = schedules(p.ID, p.Hours)
	return out
}

// weekdays are those of iCalendar, Monday first.
func weekdays() []string { return []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"} }

// schedules writes hours: one for each span with the days that have it, and one
// for each span of a date that differs; a date that is closed has no hours.
func schedules(place string, h providers.Hours) []Schedule {
	var out []Schedule
	days := map[providers.Span][]string{}
	var spans []providers.Span
	for _, w := range h.Week {
		for _, s := range w.Spans {
			if days[s] == nil {
				spans = append(spans, s)
			}
			days[s] = append(days[s], weekdays()[w.Weekday-1])
		}
	}
	for _, s := range spans {
		out = append(out, Schedule{
			ID: of(place, "week", s.String()), Timezone: chinaHours, Wkst: "MO", Freq: "WEEKLY", Byday: strings.Join(days[s], ","), OpensAt: clock(s.FromMin), ClosesAt: clock(s.UntilMin),
		})
	}
	for _, e := range h.Except {
		base := Schedule{ValidFrom: e.Date, ValidTo: e.Date, Timezone: chinaHours, Notes: e.Note}
		if len(e.Spans) == 0 {
			base.ID, base.Description = of(place, e.Date, "closed"), closed
			out = append(out, base)
		}
		for _, s := range e.Spans {
			base.ID, base.OpensAt, base.ClosesAt = of(place, e.Date, s.String()), clock(s.FromMin), clock(s.UntilMin)
			out = append(out, base)
		}
	}
	return out
}

// closed is the description of a schedule without hours.
const closed = "closed"

func clock(minutes int64) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// Offer describes an open offer; now decides whether it is over.
func (w Writer) Offer(o *providers.Offer, groups []string, now time.Time, full bool) Service {
	from, until := int64(0), int64(0)
	for _, l := range o.Lots {
		if from == 0 || l.FromMs < from {
			from = l.FromMs
		}
		until = max(until, l.UntilMs)
	}
	out := Service{
		ID: ID(o.ID), OrganizationID: ID(o.Organisation), Name: o.TitleZH, AlternateName: o.TitleEN, Status: "active", Fees: "免费 / free of charge",
		LastModified: time.UnixMilli(o.ChangedMs).UTC().Format(time.RFC3339),
	}
	if o.Status != providers.OfferOpen || until <= now.UnixMilli() {
		out.Status = "inactive"
	}
	if c, ok := providers.CategoryByID(o.Category); ok {
		out.Description = c.ZH + " / " + c.EN
	}
	out.Eligibility = strings.Join(groups, "；")
	out.Application = o.Handover.Place
	if !full {
		return out
	}
	day := func(ms int64) string {
		return time.UnixMilli(ms).In(time.FixedZone("CST", chinaHours*3600)).Format(time.DateOnly)
	}
	if from > 0 {
		out.Schedules = []Schedule{{ID: of(o.ID, "time"), ValidFrom: day(from), ValidTo: day(until), Timezone: chinaHours}}
	}
	for _, d := range o.Divisions {
		out.ServiceAreas = append(out.ServiceAreas, ServiceArea{of(o.ID, "area", d), out.ID, w.Tree.Name(d), d, areaType})
	}
	out.Attributes = []Attribute{{of(o.ID, "kind"), "service", "offer", offersKind}}
	return out
}

// Listed describes a service that an organisation lists.
func (w Writer) Listed(o *providers.Organisation, x providers.ListedService, full bool) Service {
	out := Service{
		ID: ID(x.ID), OrganizationID: ID(o.ID), Name: x.NameZH, AlternateName: x.NameEN, Description: x.Description, URL: x.URL, Status: x.Status, Fees: x.Fees, Eligibility: x.Eligibility,
	}
	if !full {
		return out
	}
	for _, p := range x.Places {
		out.AtLocations = append(out.AtLocations, ServiceAtLocation{of(x.ID, "at", p), out.ID, ID(p)})
	}
	out.Attributes = []Attribute{{of(x.ID, "kind"), "service", "listed", offersKind}}
	return out
}

// Left says how much of an offer is left, in the offer's unit.
func Left(o *providers.Offer, available, maximum int64, now time.Time) Capacity {
	return Capacity{
		ID: of(o.ID, "capacity"), ServiceID: ID(o.ID), Unit: Unit{of("unit", o.Unit), cmp.Or(o.Unit, "份")}, Available: available, Maximum: maximum,
		Updated: now.UTC().Format(time.RFC3339),
	}
}

// Document is what a file exchanges.
type Document struct {
	Organizations []Organization `json:"organizations"`
	Services      []Service      `json:"services"`
	Locations     []Location     `json:"locations"`
}

// Sort puts a document in order, so that the same things make the same file.
func (d *Document) Sort() {
	slices.SortFunc(d.Organizations, func(a, b Organization) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(d.Services, func(a, b Service) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(d.Locations, func(a, b Location) int { return cmp.Compare(a.ID, b.ID) })
}
