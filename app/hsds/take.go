package hsds

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// ErrFile says that a file is no HSDS document.
var ErrFile = errors.New("not an HSDS document")

const maxBytes = 64 << 20

// Read reads a document: an object of organizations, services and locations, a
// page of an HSDS API, a list of organizations, or one organization. Fields that
// are not known here are passed over. Errors: [ErrFile].
func Read(r io.Reader) (Document, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return Document{}, fmt.Errorf("read HSDS: %w", err)
	}
	if len(text) > maxBytes {
		return Document{}, fmt.Errorf("%w: more than 64 MB", ErrFile)
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	var whole struct {
		Organizations []json.RawMessage `json:"organizations"`
		Services      []json.RawMessage `json:"services"`
		Locations     []json.RawMessage `json:"locations"`
		Contents      []json.RawMessage `json:"contents"`
		Name          string            `json:"name"`
	}
	organizations := []json.RawMessage{}
	switch {
	case bytes.HasPrefix(text, []byte("[")):
		err = json.Unmarshal(text, &organizations)
	default:
		err = json.Unmarshal(text, &whole)
		organizations = append(whole.Organizations, whole.Contents...)
		if whole.Name != "" {
			organizations, whole.Services, whole.Locations = []json.RawMessage{text}, nil, nil
		}
	}
	if err != nil || len(organizations) == 0 {
		return Document{}, fmt.Errorf("%w: %w", ErrFile, cmp.Or(err, errEmpty))
	}
	return Document{parsed[Organization](organizations), parsed[Service](whole.Services), parsed[Location](whole.Locations)}, nil
}

// parsed decodes each thing by itself: one that cannot be read is empty, and
// named when it is taken.
func parsed[T any](raw []json.RawMessage) []T {
	out := make([]T, len(raw))
	for i, r := range raw {
		if json.Unmarshal(r, &out[i]) != nil {
			var none T
			out[i] = none
		}
	}
	return out
}

// Bad is a thing that was not taken, and why.
type Bad struct {
	Path  string `json:"path"` // e.g. "organizations[3]"
	ID    string `json:"id"`
	Field string `json:"field"`
	ZH    string `json:"zh"`
	EN    string `json:"en"`
}

// Outcome is what came of an import.
type Outcome struct {
	New     int   `json:"new"`
	Changed int   `json:"changed"`
	Same    int   `json:"same"`
	Bad     []Bad `json:"bad"`
}

// Taker takes documents in.
type Taker struct {
	Providers *providers.Service
	// May says whether organisations with a seat in the division may be taken.
	May func(division string) bool
}

// Take takes in the organisations of a document with their locations and
// services, each by itself: what is wrong is named, the rest is taken. Nobody is
// approved by it, and doing it again changes nothing.
func (t Taker) Take(ctx context.Context, by string, d Document) (Outcome, error) {
	out := Outcome{Bad: []Bad{}}
	places, services := map[string][]Location{}, map[string][]Service{}
	ids := map[string]bool{}
	for _, o := range d.Organizations {
		ids[o.ID] = true
	}
	stray := func(path, id, organization string) bool {
		if ids[organization] {
			return false
		}
		out.Bad = append(out.Bad, Bad{path, id, "organization_id", "文件中没有这个机构。", "The organization is not in the file."})
		return true
	}
	for i, l := range d.Locations {
		if !stray(fmt.Sprintf("locations[%d]", i), l.ID, l.OrganizationID) {
			places[l.OrganizationID] = append(places[l.OrganizationID], l)
		}
	}
	for i, s := range d.Services {
		if !stray(fmt.Sprintf("services[%d]", i), s.ID, s.OrganizationID) {
			services[s.OrganizationID] = append(services[s.OrganizationID], s)
		}
	}
	for i, o := range d.Organizations {
		took, err := t.one(ctx, by, o, places[o.ID], services[o.ID])
		var wrong providers.FieldError
		switch {
		case errors.As(err, &wrong):
			out.Bad = append(out.Bad, Bad{fmt.Sprintf("organizations[%d]", i), o.ID, wrong.Field, wrong.ZH, wrong.EN})
		case errors.Is(err, store.ErrDuplicate):
			out.Bad = append(out.Bad, Bad{fmt.Sprintf("organizations[%d]", i), o.ID, "organization_identifiers", "该统一社会信用代码已以另一编号登记。", "The credit code is registered under another id."})
		case err != nil:
			return out, fmt.Errorf("take organization %s: %w", o.ID, err)
		case took == providers.TookNew:
			out.New++
		case took == providers.TookChanged:
			out.Changed++
		default:
			out.Same++
		}
	}
	return out, nil
}

func field(name, zh, en string) error { return providers.FieldError{Field: name, ZH: zh, EN: en} }

func (t Taker) one(ctx context.Context, by string, o Organization, more []Location, services []Service) (providers.Took, error) {
	id, err := uuid.Parse(o.ID)
	if err != nil {
		return "", field("id", "编号应为 UUID，且内容须可读取。", "The id is a UUID, and the organization can be read.")
	}
	l := providers.Listed{ID: id.String(), NewOrganisation: providers.NewOrganisation{Name: o.Name, NameEN: o.AlternateName}}
	for _, x := range o.Identifiers {
		if x.Scheme == creditScheme || strings.Contains(x.Type, creditType) || len(o.Identifiers) == 1 {
			l.CreditCode = x.Identifier
		}
	}
	if l.CreditCode, err = providers.ParseCreditCode(l.CreditCode); err != nil {
		return "", field("organization_identifiers", "须有正确的统一社会信用代码(identifier_scheme 为 CN-USCC)。", "It has a right unified social credit code (identifier_scheme CN-USCC).")
	}
	if l.Kind = providers.Kind(o.LegalStatus); !l.Kind.Valid() { // by who registers: GB 32100, first character
		l.Kind = map[byte]providers.Kind{'1': providers.Government, '5': providers.Charity, '9': providers.Enterprise}[l.CreditCode[0]]
	}
	if o.Description != o.Name { // which stands in for none
		l.DescriptionZH = o.Description
	}
	l.Email, l.Website = o.Email, o.Website
	if len(o.Phones) > 0 {
		l.Profile.Contact = o.Phones[0].Number
	}
	for _, a := range o.Attributes {
		switch a.Label {
		case seatLabel:
			l.Division = a.Value
		case servesLabel:
			l.Serves = append(l.Serves, a.Value)
		case englishLabel:
			l.DescriptionEN = a.Value
		}
	}
	locations := slices.Clone(o.Locations)
	for _, x := range more {
		if !slices.ContainsFunc(locations, func(y Location) bool { return y.ID == x.ID }) {
			locations = append(locations, x)
		}
	}
	for i, x := range locations {
		p, err := place(x, l.Division)
		if err != nil {
			var wrong providers.FieldError
			if errors.As(err, &wrong) {
				wrong.Field = fmt.Sprintf("locations[%d].%s", i, wrong.Field)
				return "", wrong
			}
			return "", err
		}
		if l.Division == "" {
			l.Division = p.Division
		}
		l.Places = append(l.Places, p)
	}
	if l.Division == "" {
		return "", field("attributes", "须写明所在区划(attributes 中 label 为 happycode_seat，value 为 12 位代码)。", "It says its seat: an attribute with the label happycode_seat and a 12-digit code as value.")
	}
	if t.May != nil && !t.May(l.Division) {
		return "", field("attributes", "所在区划不在您的管辖范围内。", "The seat is not within your responsibility.")
	}
	for i, x := range services {
		if slices.ContainsFunc(x.Attributes, func(a Attribute) bool { return a.Label == offersKind && a.Value == "offer" }) {
			continue // stock is not given away by a file
		}
		sid, err := uuid.Parse(x.ID)
		if err != nil {
			return "", field(fmt.Sprintf("services[%d].id", i), "编号应为 UUID。", "The id is a UUID.")
		}
		s := providers.ListedService{
			ID: sid.String(), NameZH: x.Name, NameEN: x.AlternateName, Description: x.Description, Status: x.Status, URL: x.URL, Eligibility: x.Eligibility, Fees: x.Fees,
		}
		for _, at := range x.AtLocations {
			s.Places = append(s.Places, at.LocationID)
		}
		l.Services = append(l.Services, s)
	}
	return t.Providers.Take(ctx, by, l)
}

// place reads a location; division is where it lies unless it says so.
func place(x Location, division string) (providers.Place, error) {
	id, err := uuid.Parse(x.ID)
	if err != nil {
		return providers.Place{}, field("id", "编号应为 UUID。", "The id is a UUID.")
	}
	p := providers.Place{ID: id.String(), NameZH: x.Name, NameEN: x.AlternateName, Division: division}
	for _, a := range x.Attributes {
		if a.Label == placeLabel {
			p.Division = a.Value
		}
	}
	if len(x.Addresses) > 0 {
		p.Address, p.AddressEN = x.Addresses[0].Address1, x.Addresses[0].Address2
	}
	if len(x.Phones) > 0 {
		p.Phone = x.Phones[0].Number
	}
	if x.Latitude != nil && x.Longitude != nil {
		p.Located = true
		if p.At, err = providers.NewPoint(*x.Latitude, *x.Longitude, providers.WGS84); err != nil {
			return p, err
		}
	}
	for i, s := range x.Schedules {
		if err := addHours(&p.Hours, s); err != nil {
			return p, field(fmt.Sprintf("schedules[%d]", i), "营业时间应为每周的 byday 与 opens_at、closes_at，或一个日期(valid_from 与 valid_to 相同)。", "Hours are weekly (byday, opens_at, closes_at), or of one date (valid_from and valid_to the same).")
		}
	}
	return p, nil
}

var errEmpty = errors.New("no organizations")

var errHours = errors.New("hours that cannot be kept")

func addHours(h *providers.Hours, s Schedule) error {
	var spans []providers.Span
	if s.OpensAt != "" || s.ClosesAt != "" {
		from, err := minutesOf(s.OpensAt)
		if err != nil {
			return err
		}
		until, err := minutesOf(s.ClosesAt)
		if err != nil {
			return err
		}
		spans = []providers.Span{{FromMin: from, UntilMin: until}}
	}
	if s.ValidFrom != "" && s.ValidFrom == s.ValidTo && s.Byday == "" {
		for i := range h.Except {
			if h.Except[i].Date == s.ValidFrom {
				h.Except[i].Spans = append(h.Except[i].Spans, spans...)
				return nil
			}
		}
		h.Except = append(h.Except, providers.DateHours{Date: s.ValidFrom, Spans: spans, Note: s.Notes})
		return nil
	}
	if s.Byday == "" || len(spans) == 0 || s.Freq != "" && s.Freq != "WEEKLY" {
		return errHours
	}
	for _, day := range strings.Split(s.Byday, ",") {
		n := int64(slices.Index(weekdays(), strings.TrimSpace(day)) + 1)
		if n == 0 {
			return errHours
		}
		i := slices.IndexFunc(h.Week, func(w providers.WeekdayHours) bool { return w.Weekday == n })
		if i < 0 {
			h.Week = append(h.Week, providers.WeekdayHours{Weekday: n})
			i = len(h.Week) - 1
		}
		h.Week[i].Spans = append(h.Week[i].Spans, spans...)
	}
	return nil
}

// minutesOf reads "08:30", "08:30:00" and "08:30:00Z" alike: the hour on the wall.
func minutesOf(s string) (int64, error) {
	parts := strings.SplitN(s, ":", 3)
	if len(parts) < 2 || len(parts[1]) < 2 {
		return 0, errHours
	}
	h, err := strconv.ParseInt(parts[0], 10, 8)
	if err != nil {
		return 0, errHours
	}
	m, err := strconv.ParseInt(parts[1][:2], 10, 8)
	if err != nil || h < 0 || h > 24 || m < 0 || m > 59 {
		return 0, errHours
	}
	return min(h*60+m, 24*60), nil
}
