package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// organisationNames remembers the names of organisations for one page.
type organisationNames map[string]string

func (a *App) organisationName(c *fiber.Ctx, known organisationNames, id string) (string, error) {
	if name, ok := known[id]; ok {
		return name, nil
	}
	org, err := a.Providers.Get(c.UserContext(), id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		known[id] = ""
	case err != nil:
		return "", err
	default:
		known[id] = org.Name
		if langOf(c) == pages.English && org.NameEN != "" {
			known[id] = org.NameEN
		}
	}
	return known[id], nil
}

func (a *App) showOffers(c *fiber.Ctx) error {
	page, err := a.page(c, "/offers")
	if err != nil {
		return err
	}
	list, next, err := a.offersFor(c, pageQuery{After: c.Query("after"), Limit: rowsPerPage})
	if err != nil {
		return err
	}
	v := pages.Offers{Page: page, MayPost: mayPost(principalOf(c)), Next: nextLink("/offers", next)}
	names := organisationNames{}
	for _, o := range list {
		row := pages.OfferRow{
			ID: o.ID, Kind: string(o.Kind), Status: string(o.Status), Title: text(o.TitleZH, o.TitleEN), Category: categoryText(o.Category),
		}
		if row.Provider, err = a.organisationName(c, names, o.Organisation); err != nil {
			return err
		}
		total := int64(0)
		for i, l := range o.Lots {
			total += l.QtyUnits
			if i == 0 || l.FromMs < row.FromMs {
				row.FromMs = l.FromMs
			}
			row.UntilMs = max(row.UntilMs, l.UntilMs)
		}
		row.Total = amount(o.Category, total, o.Unit)
		v.Rows = append(v.Rows, row)
	}
	return a.show(c, fiber.StatusOK, v)
}

func mayPost(p accounts.Principal) bool {
	return p.Role == accounts.Admin || p.Role == accounts.Provider
}

func (a *App) offerForm(c *fiber.Ctx) (pages.OfferNew, error) {
	f, err := a.form(c, "/offers/new")
	if err != nil {
		return pages.OfferNew{}, err
	}
	v := pages.OfferNew{Form: f, Categories: categoryChoices(), Groups: groupChoices()}
	tree := a.Tree()
	for _, code := range tree.Counties() {
		county, _ := tree.Get(code)
		row := pages.CountyTowns{Code: code, Name: county.Name}
		for _, town := range tree.Children(code) {
			row.Towns = append(row.Towns, pages.Town{Code: town.ID, Name: town.Name})
		}
		v.Counties = append(v.Counties, row)
	}
	if err := a.ruleForm(c, &v); err != nil {
		return v, err
	}
	if principalOf(c).Role == accounts.Admin {
		if v.Organisations, err = a.organisationChoices(c); err != nil {
			return v, err
		}
	}
	return v, nil
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

func (a *App) showOfferNew(c *fiber.Ctx) error {
	v, err := a.offerForm(c)
	if err != nil {
		return err
	}
	if _, sent := v.Values["cap_period"]; !sent {
		v.Values["cap_period"] = []string{string(matching.Month)}
		v.Values["pace"] = []string{string(matching.PaceDrip)}
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveOffer(c *fiber.Ctx) error {
	v, err := a.offerForm(c)
	if err != nil {
		return err
	}
	f := &v.Form
	category := f.Value("category")
	in := providers.NewOffer{
		TitleZH: f.Value("title_zh"), TitleEN: f.Value("title_en"), Category: category, Unit: f.Value("unit"),
		ValueFen: money(f, "value_yuan"), Divisions: f.Values["divisions"], Groups: f.Values["groups"],
		MinScoreMilli: whole(f, "min_score"), Rule: f.Value("rule"), Sets: setNames(f.Value("sets")), CapUnits: units(f, "cap_units", category), CapPeriod: matching.Period(f.Value("cap_period")),
		Pace: matching.Pace(f.Value("pace")), ReserveMilli: 10 * money(f, "reserve"), // written like yuan, with two decimals at most
		Handover: providers.Handover{How: providers.How(f.Value("how")), Place: f.Value("place"), PlaceEN: f.Value("place_en"), Note: f.Value("note")},
	}
	lots, rows := typedLots(f, category)
	in.Lots = lots
	kept, keptRows := typedKept(f)
	in.Kept = kept
	if _, more := f.Values["kept_more"]; more {
		f.Errors, f.Failure, v.KeptMore = map[string]string{}, "", true
		return a.show(c, fiber.StatusOK, v)
	}
	status := fiber.StatusBadRequest
	if len(f.Errors) == 0 {
		o, err := a.post(c, f.Value("organisation"), in)
		if err == nil {
			return to(c, "/offers/"+o.ID, "offer")
		}
		fields := map[string]string{
			"value_fen": "value_yuan", "min_score_milli": "min_score", "reserve_milli": "reserve", "handover": "how", "handover.how": "how",
			"handover.place": "place", "handover.place_en": "place_en", "handover.note": "note",
		}
		if status, err = a.refill(c, err, f, fields, map[string][]int{"lots": rows, "kept": keptRows}); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

// typedLots reads the rows for lots; rows says which of them were filled in.
func typedLots(f *pages.Form, category string) (lots []providers.NewLot, rows []int) {
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
		case row.Errors["qty"] != "" || qty == "":
			wrong(f, where, "form.number")
		case !okFrom || !okUntil:
			wrong(f, where, "form.date")
		}
		lots, rows = append(lots, lot), append(rows, i)
	}
	if len(lots) == 0 {
		wrong(f, "lots", "offer_new.lots_none")
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

func (a *App) showOffer(c *fiber.Ctx) error {
	o := offerOf(c)
	page, err := a.page(c, "/offers/"+o.ID)
	if err != nil {
		return err
	}
	v := pages.Offer{
		Page: page, ID: o.ID, Kind: string(o.Kind), Status: string(o.Status), How: string(o.Handover.How),
		Title: text(o.TitleZH, o.TitleEN), Category: categoryText(o.Category),
		Place: text(o.Handover.Place, o.Handover.PlaceEN), Note: o.Handover.Note, ValueFen: o.ValueFen,
		Groups: groupTexts(o.Groups), MinScoreMilli: o.MinScoreMilli, Cap: amount(o.Category, o.CapUnits, o.Unit),
		CapPeriod: string(o.CapPeriod), CreatedMs: o.CreatedMs, Money: o.Category == providers.Cash, Live: true,
		Pace: string(o.Pace), ReserveMilli: o.ReserveMilli, Rule: text(o.Rule.ZH, o.Rule.EN), Sets: o.Sets,
	}
	org, err := a.Providers.Get(c.UserContext(), o.Organisation)
	if err != nil {
		return err
	}
	v.Provider = v.Say(text(org.Name, org.NameEN))
	v.MayWithdraw = o.Status == providers.OfferOpen && managesOffer(principalOf(c), org)
	for _, code := range o.Divisions {
		v.Places = append(v.Places, a.placeName(code))
	}
	stock, err := a.Care.Stock(c.UserContext(), o.ID)
	if err != nil {
		return err
	}
	for i, k := range o.Kept {
		part := pages.Kept{Number: i + 1, PerMille: k.PerMille, Money: v.Money}
		if k.Division != "" {
			part.Place = a.placeName(k.Division)
		}
		if k.Group != "" {
			part.Group = groupTexts([]string{k.Group})[0]
		}
		for _, s := range stock {
			if s.Kept == int64(i+1) {
				part.Qty += s.QtyUnits
				part.Given += s.PromisedUnits + s.HandedOverUnits
			}
		}
		v.Kept = append(v.Kept, part)
	}
	for _, s := range stock {
		if s.QtyUnits == 0 && s.MovedOutUnits == 0 {
			continue // a county whose part was nothing
		}
		v.Stock = append(v.Stock, pages.Share{
			ID: s.Share, Kept: v.KeptPart(s.Kept), Place: a.placeName(s.County), FromMs: s.FromMs, UntilMs: s.UntilMs, Closed: s.ClosedWhy, Money: v.Money,
			Qty: s.QtyUnits, Free: s.FreeUnits, Held: s.HeldUnits, Promised: s.PromisedUnits, HandedOver: s.HandedOverUnits,
			Gone: s.ExpiredUnits + s.WithdrawnUnits,
		})
	}
	moves, _, err := a.Care.Moves(c.UserContext(), o.ID, "", movesShown)
	if err != nil {
		return err
	}
	for _, m := range moves {
		v.Moves = append(v.Moves, pages.Move{
			From: a.placeName(m.From), To: a.placeName(m.To), Amount: amount(o.Category, m.QtyUnits, o.Unit),
			Waited: m.Waited, AtMs: m.BegunMs, Arrived: m.Arrived,
		})
	}
	return a.show(c, fiber.StatusOK, v)
}

// movesShown is how many moves between counties an offer's page shows: the
// newest. The API has all.
const movesShown = 20

func (a *App) saveOfferWithdrawn(c *fiber.Ctx) error {
	o := offerOf(c)
	if _, err := a.Care.WithdrawOffer(c.UserContext(), principalOf(c), o.ID); err != nil {
		return err
	}
	return to(c, "/offers/"+o.ID, "offer_withdrawn")
}
