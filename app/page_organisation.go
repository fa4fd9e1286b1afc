package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

func (a *App) countyTowns() []pages.CountyTowns {
	var out []pages.CountyTowns
	tree := a.Tree()
	for _, code := range tree.Counties() {
		county, _ := tree.Get(code)
		row := pages.CountyTowns{Code: code, Name: county.Name}
		for _, town := range tree.Children(code) {
			row.Towns = append(row.Towns, pages.Town{Code: town.ID, Name: town.Name})
		}
		out = append(out, row)
	}
	return out
}

func (a *App) organisationPage(c *fiber.Ctx) (pages.Organisation, error) {
	base, err := a.ofOrganisation(c, "profile", "")
	if err != nil {
		return pages.Organisation{}, err
	}
	org := organisationOf(c)
	v := pages.Organisation{
		OfOrganisation: base, CreditCode: org.CreditCode, Place: a.placeName(org.Division), Contact: org.Contact, Email: org.Email, Website: org.Website,
		Description: text(org.DescriptionZH, org.DescriptionEN), CreatedMs: org.CreatedMs,
	}
	for _, d := range org.Serves {
		v.Serves = append(v.Serves, a.placeName(d))
	}
	for _, p := range org.Places {
		v.Places = append(v.Places, a.placeRow(p))
	}
	for _, x := range org.Services {
		v.Listed = append(v.Listed, pages.ListedRow{Name: text(x.NameZH, x.NameEN), Description: x.Description, URL: x.URL, Active: x.Status == "active"})
	}
	if n := len(org.Decisions); n > 0 {
		v.Why = org.Decisions[n-1].Note
	}
	if v.Edits {
		v.Counties = a.countyTowns()
	}
	return v, nil
}

// placeRow is a place as the page lists it, with today's hours.
func (a *App) placeRow(p providers.Place) pages.PlaceRow {
	now := a.Now().In(chinaTime)
	row := pages.PlaceRow{
		ID: p.ID, Name: text(p.NameZH, p.NameEN), Where: a.placeName(p.Division), Address: text(p.Address, p.AddressEN), Phone: p.Phone, Today: spansTexts(p.Hours.On(now)),
		Kept: len(p.Hours.Week) > 0,
	}
	for _, w := range p.Hours.Week {
		row.Week = append(row.Week, pages.DayHours{Day: fmt.Sprint(w.Weekday), Spans: spansTexts(w.Spans)})
	}
	for _, e := range p.Hours.Except {
		if e.Date >= now.Format(time.DateOnly) {
			row.Except = append(row.Except, pages.DayHours{Day: e.Date, Spans: spansTexts(e.Spans), Note: e.Note})
		}
	}
	if p.Located {
		lat, lng := p.At.Degrees()
		mapLat, mapLng := p.At.GCJ02()
		row.WGS84, row.GCJ02 = fmt.Sprintf("%.6f, %.6f", lat, lng), fmt.Sprintf("%.6f, %.6f", mapLat, mapLng)
	}
	return row
}

func spansTexts(spans []providers.Span) []string {
	var out []string
	for _, s := range spans {
		out = append(out, s.String())
	}
	return out
}

// spansText writes hours as ParseSpans reads them.
func spansText(spans []providers.Span) string { return strings.Join(spansTexts(spans), ", ") }

func (a *App) showOrganisation(c *fiber.Ctx) error {
	v, err := a.organisationPage(c)
	if err != nil {
		return err
	}
	p := organisationOf(c).Profile()
	v.Values = map[string][]string{
		"description_zh": {p.DescriptionZH}, "description_en": {p.DescriptionEN}, "contact": {p.Contact}, "email": {p.Email}, "website": {p.Website}, "serves": a.byCounty(p.Serves),
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveOrganisation(c *fiber.Ctx) error {
	v, err := a.organisationPage(c)
	if err != nil {
		return err
	}
	org := organisationOf(c)
	if _, err := a.Providers.SetProfile(c.UserContext(), org.ID, providers.Profile{
		DescriptionZH: v.Value("description_zh"), DescriptionEN: v.Value("description_en"), Contact: v.Value("contact"),
		Email: v.Value("email"), Website: v.Value("website"), Serves: slices.Clone(v.Values["serves"]),
	}); err != nil {
		status, err := a.refill(c, err, &v.Form, nil, map[string][]int{})
		if err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	return to(c, "/organisations/"+org.ID, "organisation")
}

func (a *App) placePage(c *fiber.Ctx) (pages.PlaceEdit, error) {
	id, path := c.Params("place"), "/places/new"
	if id != "" {
		path = "/places/" + id
	}
	base, err := a.ofOrganisation(c, "profile", path)
	if err != nil {
		return pages.PlaceEdit{}, err
	}
	v := pages.PlaceEdit{OfOrganisation: base, ID: id}
	for _, county := range a.Tree().Counties() {
		v.Divisions = append(v.Divisions, a.below(county, regions.Village)...)
	}
	return v, nil
}

func (a *App) showPlaceNew(c *fiber.Ctx) error {
	v, err := a.placePage(c)
	if err != nil {
		return err
	}
	org := organisationOf(c)
	v.Values = map[string][]string{"division": {org.Division}, "phone": {org.Contact}, "datum": {string(providers.GCJ02)}}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) showPlace(c *fiber.Ctx) error {
	p, err := a.placeOf(c)
	if err != nil {
		return err
	}
	v, err := a.placePage(c)
	if err != nil {
		return err
	}
	v.Values = map[string][]string{
		"name_zh": {p.NameZH}, "name_en": {p.NameEN}, "division": {p.Division}, "address": {p.Address}, "address_en": {p.AddressEN}, "phone": {p.Phone},
		"datum": {string(providers.WGS84)},
	}
	if p.Located {
		v.Values["coordinates"] = []string{a.placeRow(p).WGS84}
	}
	for _, w := range p.Hours.Week {
		v.Values[fmt.Sprintf("day_%d", w.Weekday)] = []string{spansText(w.Spans)}
	}
	for _, e := range p.Hours.Except {
		v.Values["except_date"] = append(v.Values["except_date"], e.Date)
		v.Values["except_spans"] = append(v.Values["except_spans"], spansText(e.Spans))
		v.Values["except_note"] = append(v.Values["except_note"], e.Note)
	}
	return a.show(c, fiber.StatusOK, v)
}

// typedPlace is the place that stands in the form, and the rows of its dates.
func (a *App) typedPlace(c *fiber.Ctx, f *pages.Form, id string) (p providers.Place, rows []int) {
	p = providers.Place{
		ID: id, NameZH: f.Value("name_zh"), NameEN: f.Value("name_en"), Division: f.Value("division"), Address: f.Value("address"), AddressEN: f.Value("address_en"), Phone: f.Value("phone"),
	}
	note := func(field string, err error) {
		if err != nil {
			f.Errors[field], f.Failure = a.problemOf(c, err).Fields[0].Detail, f.T("form.check")
		}
	}
	var err error
	if s := f.Value("coordinates"); s != "" {
		p.Located = true
		p.At, err = providers.ParsePoint(s, providers.Datum(f.Value("datum")))
		note("coordinates", err)
	}
	for day := int64(1); day <= 7; day++ {
		field := fmt.Sprintf("day_%d", day)
		spans, err := providers.ParseSpans(field, f.Value(field))
		note(field, err)
		if len(spans) > 0 {
			p.Hours.Week = append(p.Hours.Week, providers.WeekdayHours{Weekday: day, Spans: spans})
		}
	}
	for i, date := range f.Values["except_date"] {
		if date == "" && f.At("except_spans", i) == "" && f.At("except_note", i) == "" {
			continue
		}
		field := fmt.Sprintf("except[%d]", i)
		spans, err := providers.ParseSpans(field, f.At("except_spans", i))
		note(field, err)
		p.Hours.Except = append(p.Hours.Except, providers.DateHours{Date: date, Spans: spans, Note: f.At("except_note", i)})
		rows = append(rows, i)
	}
	return p, rows
}

func (a *App) fillPlace(c *fiber.Ctx, id string) error {
	v, err := a.placePage(c)
	if err != nil {
		return err
	}
	p, rows := a.typedPlace(c, &v.Form, id)
	status := fiber.StatusBadRequest
	if len(v.Errors) == 0 {
		_, err := a.savePlace(c, p)
		if err == nil {
			return to(c, "/organisations/"+v.Org, "place")
		}
		// Which of the dates is at fault stands in the name of the field.
		var at int
		if n, _ := fmt.Sscanf(a.problemOf(c, err).field(), "hours.except[%d]", &at); n == 1 && at < len(rows) {
			v.Errors[fmt.Sprintf("except[%d]", rows[at])], v.Failure = a.problemOf(c, err).Fields[0].Detail, v.T("form.check")
		} else if status, err = a.refill(c, err, &v.Form, nil, nil); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

// field is the first field that is at fault; "" for none.
func (p Problem) field() string {
	if len(p.Fields) == 0 {
		return ""
	}
	return p.Fields[0].Field
}

func (a *App) savePlaceNew(c *fiber.Ctx) error { return a.fillPlace(c, store.NewID()) }

func (a *App) savePlaceChanged(c *fiber.Ctx) error {
	p, err := a.placeOf(c)
	if err != nil {
		return err
	}
	return a.fillPlace(c, p.ID)
}

func (a *App) savePlaceRemoved(c *fiber.Ctx) error {
	if _, err := a.placeOf(c); err != nil {
		return err
	}
	if err := a.Providers.RemovePlace(c.UserContext(), organisationOf(c).ID, c.Params("place")); err != nil {
		return err
	}
	return to(c, "/organisations/"+organisationOf(c).ID, "place_removed")
}
