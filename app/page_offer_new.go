package app

import (
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// offerForm is the form in which an offer is written, as it was sent.
func (a *App) offerForm(c *fiber.Ctx) (pages.OfferNew, error) {
	f, err := a.form(c, "/offers/new")
	if err != nil {
		return pages.OfferNew{}, err
	}
	return a.offerFormOf(c, f)
}

func (a *App) offerFormOf(c *fiber.Ctx, f pages.Form) (pages.OfferNew, error) {
	if f.Value("key") == "" {
		f.Values["key"] = []string{store.NewID()}
	}
	v := pages.OfferNew{Form: f, OfferForm: f.Value("form"), Categories: categoryChoices(), Groups: groupChoices(), MayDraft: principalOf(c).Role == accounts.Provider}
	v.Hows = []string{"pickup", "delivery", "onsite", "transfer", "voucher"}
	v.Categories = slices.DeleteFunc(v.Categories, func(x pages.Choice) bool { return x.Value == providers.WishCategory })
	if p, ok := providers.PresetOf(providers.Form(v.OfferForm)); ok {
		v.Hows = nil
		for _, how := range p.Hows {
			v.Hows = append(v.Hows, string(how))
		}
		v.Categories = slices.DeleteFunc(v.Categories, func(x pages.Choice) bool { return !slices.Contains(p.Categories, x.Value) })
	} else {
		v.OfferForm = ""
	}
	f.Values["divisions"] = a.byCounty(f.Values["divisions"])
	tree := a.Tree()
	for _, code := range tree.Counties() {
		county, _ := tree.Get(code)
		row := pages.CountyTowns{Code: code, Name: county.Name}
		for _, town := range tree.Children(code) {
			row.Towns = append(row.Towns, pages.Town{Code: town.ID, Name: town.Name})
		}
		v.Counties = append(v.Counties, row)
	}
	if principalOf(c).Role == accounts.Admin {
		var err error
		if v.Organisations, err = a.organisationChoices(c); err != nil {
			return v, err
		}
	}
	if err := a.ruleForm(c, &v); err != nil {
		return v, err
	}
	var err error
	v.Funds, err = a.fundChoices(c)
	return v, err
}

// byCounty puts the counties of a province or a city in its place: a form has a
// box for each county and town, and none above, and what no box holds would be
// lost with the next press of a button.
func (a *App) byCounty(divisions []string) []string {
	var out []string
	tree := a.Tree()
	for _, code := range divisions {
		if d, ok := tree.Get(code); !ok || d.Level != regions.Province && d.Level != regions.City {
			out = append(out, code)
			continue
		}
		for _, county := range tree.Counties() {
			if regions.Within(county, code) {
				out = append(out, county)
			}
		}
	}
	return out
}

// organisationChoices are the approved organisations that an administrator
// answers for.
func (a *App) organisationChoices(c *fiber.Ctx) ([]pages.Choice, error) {
	var out []pages.Choice
	for after := ""; ; {
		list, next, err := a.Providers.List(c.UserContext(), providers.Approved, after, 200)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			if principalOf(c).Sees(o.Division) {
				out = append(out, pages.Choice{Value: o.ID, Text: text(o.Name, o.NameEN)})
			}
		}
		if next == "" || len(out) >= 1000 {
			return out, nil
		}
		after = next
	}
}

// copiesShown is how many past offers the first step offers to post again.
const copiesShown = 5

// showOfferNew is the first step, what kind of aid it is, or with ?form= the
// second, begun as is usual for that kind.
func (a *App) showOfferNew(c *fiber.Ctx) error {
	preset, ok := providers.PresetOf(providers.Form(c.Query("form")))
	if !ok {
		return a.showOfferKinds(c)
	}
	f, err := a.form(c, "/offers/new?form="+string(preset.Form))
	if err != nil {
		return err
	}
	n, err := a.begin(c, preset)
	if err != nil {
		return err
	}
	f.Values = offerValues(n)
	v, err := a.offerFormOf(c, f)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) showOfferKinds(c *fiber.Ctx) error {
	page, err := a.page(c, "/offers/new")
	if err != nil {
		return err
	}
	v := pages.OfferKinds{Page: page}
	for _, p := range providers.Presets() {
		v.Forms = append(v.Forms, string(p.Form))
	}
	if p := principalOf(c); p.Role == accounts.Provider {
		drafts, err := a.Providers.Drafts(c.UserContext(), p.Organisation)
		if err != nil {
			return err
		}
		for _, d := range drafts {
			v.Drafts = append(v.Drafts, pages.OfferDraft{ID: d.ID, Title: text(d.Offer.TitleZH, d.Offer.TitleEN), Form: string(d.Offer.Form), ChangedMs: d.ChangedMs})
		}
		past, _, err := a.Providers.Offers(c.UserContext(), p.Organisation, "", copiesShown)
		if err != nil {
			return err
		}
		for _, o := range past {
			if o.Wish == "" {
				v.Past = append(v.Past, pages.OfferPast{ID: o.ID, Title: text(o.TitleZH, o.TitleEN), Form: string(formOf(o)), CreatedMs: o.CreatedMs})
			}
		}
	}
	return a.show(c, fiber.StatusOK, v)
}

// latestLooked is how many of an organisation's offers are looked at for where
// it usually gives.
const latestLooked = 20

// begin is a new offer as is usual for its form; where it is given, and to
// whom, as the organisation's last of that form, or its last at all; the first
// is given wherever the organisation serves.
func (a *App) begin(c *fiber.Ctx, p providers.Preset) (providers.NewOffer, error) {
	n := providers.NewOffer{
		Form: p.Form, Category: p.Categories[0], CapUnits: p.CapUnits, CapPeriod: p.CapPeriod, Pace: p.Pace,
		Handover: providers.Handover{How: p.Hows[0]},
	}
	tomorrow := a.Now().In(chinaTime).AddDate(0, 0, 1)
	end := time.Date(tomorrow.Year(), tomorrow.Month()+1, 0, 0, 0, 0, 0, chinaTime)
	if end.Sub(tomorrow) < 9*24*time.Hour { // the month is as good as over
		end = time.Date(tomorrow.Year(), tomorrow.Month()+2, 0, 0, 0, 0, 0, chinaTime)
	}
	p.Series.From, p.Series.To = tomorrow.Format(time.DateOnly), end.Format(time.DateOnly)
	n.Series = []providers.Series{p.Series}
	who := principalOf(c)
	if who.Role != accounts.Provider {
		return n, nil
	}
	past, _, err := a.Providers.Offers(c.UserContext(), who.Organisation, "", latestLooked)
	if err != nil {
		return n, err
	}
	if len(past) == 0 {
		org, err := a.Providers.Get(c.UserContext(), who.Organisation)
		if err != nil {
			return n, err
		}
		n.Divisions = org.Serves
		return n, nil
	}
	last := past[0]
	if i := slices.IndexFunc(past, func(o *providers.Offer) bool { return formOf(o) == p.Form }); i >= 0 {
		last = past[i]
		n.Groups, n.Handover = last.Groups, last.Handover
	} else if last.Handover.How == n.Handover.How {
		n.Handover.Place, n.Handover.PlaceEN = last.Handover.Place, last.Handover.PlaceEN
	}
	n.Divisions = last.Divisions
	return n, nil
}

// offerValues is an offer as it stands in the form's fields.
func offerValues(n providers.NewOffer) map[string][]string {
	v := map[string][]string{}
	set := func(field string, values ...string) { v[field] = append(v[field], values...) }
	if n.ValueFen != 0 {
		set("value_yuan", yuanText(n.ValueFen))
	}
	if n.MinScoreMilli != 0 {
		set("min_score", strconv.FormatInt(n.MinScoreMilli, 10))
	}
	if n.ReserveMilli != 0 && n.ReserveMilli != matching.DefaultReserveMilli {
		set("reserve", strconv.FormatFloat(float64(n.ReserveMilli)/1000, 'f', -1, 64))
	}
	qty := func(units int64) string {
		switch {
		case units == 0, n.Unlimited && units == providers.UnlimitedUnits:
			return ""
		case n.Category == providers.Cash:
			return yuanText(units)
		}
		return strconv.FormatInt(units, 10)
	}
	set("form", string(n.Form))
	set("title_zh", n.TitleZH)
	set("title_en", n.TitleEN)
	set("category", n.Category)
	if x, ok := providers.CategoryByID(n.Category); !ok || n.Unit != x.UnitZH {
		set("unit", n.Unit)
	}
	set("divisions", n.Divisions...)
	set("groups", n.Groups...)
	set("cap_units", qty(n.CapUnits))
	set("cap_period", string(n.CapPeriod))
	set("pace", string(n.Pace))
	set("fund", n.Fund)
	set("rule", n.Rule)
	set("sets", strings.Join(n.Sets, " "))
	set("how", string(n.Handover.How))
	set("place", n.Handover.Place)
	set("place_en", n.Handover.PlaceEN)
	set("note", n.Handover.Note)
	set("images", n.Images...)
	if n.Unlimited {
		set("unlimited", "1")
	}
	for _, k := range n.Kept {
		set("kept_group", k.Group)
		set("kept_division", k.Division)
		set("kept_percent", strconv.FormatFloat(float64(k.PerMille)/10, 'f', -1, 64))
	}
	for _, l := range n.Lots {
		set("lot_qty", qty(l.QtyUnits))
		set("lot_from", clockText(l.FromMs))
		set("lot_until", clockText(l.UntilMs))
	}
	for i, s := range n.Series {
		row := func(field string, values ...string) { set("s"+number(i)+"_"+field, values...) }
		few := func(n int64) string {
			if n == 0 {
				return ""
			}
			return strconv.FormatInt(n, 10)
		}
		row("qty", qty(s.QtyUnits))
		row("workers", few(s.Workers))
		row("unit_minutes", few(s.UnitMinutes))
		row("slot_minutes", few(s.SlotMinutes))
		row("every", string(s.Every))
		for _, d := range s.Weekdays {
			row("weekday", number(d))
		}
		row("day", few(int64(s.Day)))
		row("days", few(int64(s.Days)))
		row("from", s.From)
		row("to", s.To)
		row("start", s.Start)
		row("end", s.End)
		row("skip", strings.Join(s.Skip, " "))
	}
	return v
}

// yuanText writes fen as somebody types yuan: 12.50, 300.
func yuanText(fen int64) string {
	s := strconv.FormatInt(fen/100, 10)
	if fen%100 != 0 {
		s += "." + strconv.FormatInt(100+fen%100, 10)[1:]
	}
	return s
}

func clockText(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).In(chinaTime).Format("2006-01-02T15:04")
}

// offerRows are the rows of a form that were filled in, of what repeats.
type offerRows struct{ lots, kept, series []int }

func (r offerRows) byField() map[string][]int {
	return map[string][]int{"lots": r.lots, "kept": r.kept, "series": r.series}
}

// typedOffer reads the form; what cannot be read is marked in it. A draft is
// read as far as it goes.
func typedOffer(f *pages.Form, draft bool) (providers.NewOffer, offerRows) {
	category := f.Value("category")
	n := providers.NewOffer{
		Form:    providers.Form(f.Value("form")),
		TitleZH: f.Value("title_zh"), TitleEN: f.Value("title_en"), Category: category, Unit: f.Value("unit"),
		ValueFen: money(f, "value_yuan"), Divisions: f.Values["divisions"], Groups: f.Values["groups"],
		MinScoreMilli: whole(f, "min_score"), CapUnits: units(f, "cap_units", category), CapPeriod: matching.Period(f.Value("cap_period")),
		Pace: matching.Pace(f.Value("pace")), ReserveMilli: 10 * money(f, "reserve"), // written like yuan, with two decimals at most
		Handover:  providers.Handover{How: providers.How(f.Value("how")), Place: f.Value("place"), PlaceEN: f.Value("place_en"), Note: f.Value("note")},
		Unlimited: f.Value("unlimited") != "", Images: f.Values["images"],
	}
	var rows offerRows
	n.Lots, rows.lots = typedLots(f, category, n.Unlimited, draft)
	n.Kept, rows.kept = typedKept(f)
	n.Fund, n.Rule, n.Sets = f.Value("fund"), f.Value("rule"), setNames(f.Value("sets"))
	n.Series, rows.series = typedSeries(f, category, draft)
	if len(n.Lots)+len(n.Series) == 0 && !draft {
		wrong(f, "lots", "offer_new.lots_none")
	}
	return n, rows
}

// maxSeriesRows is how many series a form may hold.
const maxSeriesRows = 10

// typedSeries reads the series; a row without dates is none, but in a draft.
func typedSeries(f *pages.Form, category string, draft bool) (series []providers.Series, rows []int) {
	for i := range maxSeriesRows {
		at := "s" + number(i) + "_"
		if _, there := f.Values[at+"every"]; !there {
			break
		}
		if f.Value(at+"from") == "" && f.Value(at+"to") == "" && !draft {
			continue
		}
		row := pages.Form{Page: f.Page, Values: f.Values, Errors: map[string]string{}}
		s := providers.Series{
			QtyUnits: units(&row, at+"qty", category), Workers: whole(&row, at+"workers"), UnitMinutes: whole(&row, at+"unit_minutes"), SlotMinutes: whole(&row, at+"slot_minutes"),
			Every: providers.Every(f.Value(at + "every")), Day: int(whole(&row, at+"day")), Days: int(whole(&row, at+"days")),
			From: f.Value(at + "from"), To: f.Value(at + "to"), Start: f.Value(at + "start"), End: f.Value(at + "end"),
			Skip: strings.FieldsFunc(f.Value(at+"skip"), func(r rune) bool { return strings.ContainsRune(" ,，、;；\r\n\t　", r) }),
		}
		for _, d := range f.Values[at+"weekday"] {
			s.Weekdays = append(s.Weekdays, small(d))
		}
		if s.Every == providers.Monthly {
			s.Weekdays = nil
		} else {
			s.Day = 0
		}
		if s.Workers > 0 { // then it follows
			s.QtyUnits = 0
		}
		if len(row.Errors) > 0 {
			wrong(f, "series["+number(i)+"]", "form.number")
		}
		series, rows = append(series, s), append(rows, i)
	}
	return series, rows
}

// saveOffer is every press of a button in the form: more rows, a draft, the
// preview and, from there, posting.
func (a *App) saveOffer(c *fiber.Ctx) error {
	v, err := a.offerForm(c)
	if err != nil {
		return err
	}
	f, do := &v.Form, v.Value("do")
	acted(c, "") // unless something is posted or saved
	delete(f.Values, "do")
	status, err := a.takePhotos(c, &v)
	if err != nil {
		return err
	}
	if remove := f.Value("image_remove"); remove != "" {
		f.Values["images"] = slices.DeleteFunc(f.Values["images"], func(id string) bool { return id == remove })
	}
	in, rows := typedOffer(f, do == "draft")
	_, keptMore := f.Values["kept_more"]
	_, seriesMore := f.Values["series_more"]
	if keptMore || seriesMore || f.Value("image_remove") != "" || do == "edit" {
		if status == fiber.StatusOK {
			f.Errors, f.Failure = map[string]string{}, ""
		}
		v.KeptMore, v.SeriesMore = keptMore, seriesMore
		for _, button := range []string{"kept_more", "series_more", "image_remove"} {
			delete(f.Values, button)
		}
		return a.show(c, status, v)
	}
	if len(f.Errors) == 0 {
		switch do {
		case "draft":
			err = a.saveDraft(c, f, in)
		case "preview":
			err = a.showPreview(c, v, in)
		default:
			err = a.postTyped(c, f, in)
		}
		if err == nil {
			return nil
		}
		fields := map[string]string{
			"value_fen": "value_yuan", "min_score_milli": "min_score", "reserve_milli": "reserve", "handover": "how", "handover.how": "how",
			"handover.place": "place", "handover.place_en": "place_en", "handover.note": "note", "series": "lots",
		}
		if status, err = a.refill(c, err, f, fields, rows.byField()); err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	return a.show(c, fiber.StatusBadRequest, v)
}

// takePhotos takes in the form's photos and puts their ids into it. What is
// wrong with one is said in the form, with another status than 200.
func (a *App) takePhotos(c *fiber.Ctx, v *pages.OfferNew) (status int, err error) {
	status = fiber.StatusOK
	var photos []*multipart.FileHeader
	if sent, err := c.MultipartForm(); err == nil { // a form that may hold files
		photos = sent.File["photo"]
	}
	for _, h := range photos {
		if h.Size == 0 {
			continue // nothing was chosen
		}
		if len(v.Values["images"]) >= pages.MaxImages {
			wrong(&v.Form, "images", "offer_new.images_many")
			return fiber.StatusBadRequest, nil
		}
		id, err := a.takePhoto(c, v.Value("organisation"), h)
		if err != nil {
			if status, err = a.refill(c, err, &v.Form, nil, nil); err == nil && len(v.Errors) == 0 {
				v.Errors["images"] = v.Failure
			}
			return status, err
		}
		if !slices.Contains(v.Values["images"], id) {
			v.Values["images"] = append(v.Values["images"], id)
		}
	}
	return status, nil
}

func (a *App) takePhoto(c *fiber.Ctx, organisation string, h *multipart.FileHeader) (string, error) {
	org, err := a.actsFor(c, organisation)
	if err != nil {
		return "", err
	}
	file, err := h.Open()
	if err != nil {
		return "", err
	}
	defer file.Close()
	jpeg, err := a.shrunk(c.UserContext(), file, photoSide)
	if err != nil {
		return "", err
	}
	i, err := a.Providers.AddImage(c.UserContext(), principalOf(c).Account, org.ID, jpeg)
	if err != nil {
		return "", err
	}
	return i.ID, nil
}

// postTyped posts what was typed. Sending the form again, or a draft that is
// posted already, finds the same offer.
func (a *App) postTyped(c *fiber.Ctx, f *pages.Form, in providers.NewOffer) error {
	in.Key = hash(principalOf(c).Account, "form", f.Value("key"))
	draft := f.Value("draft")
	if draft != "" {
		in.Key = hash("draft", draft)
	}
	o, err := a.post(c, f.Value("organisation"), in)
	if err != nil {
		return err
	}
	acted(c, "create_offer")
	if draft != "" {
		if err := a.dropDraft(c, draft, o.Organisation); err != nil {
			return err
		}
	}
	return to(c, "/offers/"+o.ID, "offer")
}

// typedLots reads the rows for lots; rows says which of them were filled in.
func typedLots(f *pages.Form, category string, unlimited, draft bool) (lots []providers.NewLot, rows []int) {
	n := max(len(f.Values["lot_qty"]), len(f.Values["lot_from"]), len(f.Values["lot_until"]))
	for i := range n {
		qty, from, until := f.At("lot_qty", i), f.At("lot_from", i), f.At("lot_until", i)
		if qty == "" && until == "" {
			continue // a row that only took over where the one before ends
		}
		row := pages.Form{Page: f.Page, Values: map[string][]string{"qty": {qty}}, Errors: map[string]string{}}
		lot := providers.NewLot{QtyUnits: units(&row, "qty", category)}
		var okFrom, okUntil bool
		lot.FromMs, okFrom = moment(from)
		lot.UntilMs, okUntil = moment(until)
		where := "lots[" + number(i) + "]"
		switch {
		case row.Errors["qty"] != "" || qty == "" && !unlimited && !draft:
			wrong(f, where, "form.number")
		case (!okFrom || !okUntil) && !draft:
			wrong(f, where, "form.date")
		}
		lots, rows = append(lots, lot), append(rows, i)
	}
	return lots, rows
}

// typedKept reads the rows for what is kept; rows says which of them were filled
// in.
func typedKept(f *pages.Form) (kept []providers.Kept, rows []int) {
	n := max(len(f.Values["kept_group"]), len(f.Values["kept_division"]), len(f.Values["kept_percent"]))
	for i := range n {
		k := providers.Kept{Group: f.At("kept_group", i), Division: f.At("kept_division", i)}
		percent := f.At("kept_percent", i)
		if k.Group == "" && k.Division == "" && percent == "" {
			continue
		}
		hundredths, ok := fen(percent) // written like yuan
		if k.PerMille = hundredths / 10; !ok || hundredths%10 != 0 {
			wrong(f, "kept["+number(i)+"]", "offer_new.kept_number")
		}
		kept, rows = append(kept, k), append(rows, i)
	}
	return kept, rows
}
