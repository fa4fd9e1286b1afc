package app

import (
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers/funds"
)

func fundRow(f *funds.Fund) pages.FundRow {
	return pages.FundRow{
		ID: f.ID, Kind: string(f.Kind), Status: string(f.Status), Name: text(f.Name, f.NameEN),
		Received: f.ReceivedFen, Available: f.AvailableFen, Reserved: f.ReservedFen, Spent: f.SpentFen,
	}
}

// keepsFund says who may change a fund: its organisation's accounts.
func keepsFund(p accounts.Principal, f *funds.Fund) bool {
	return p.Role == accounts.Provider && p.Organisation == f.Organisation
}

func (a *App) showFunds(c *fiber.Ctx) error {
	page, err := a.page(c, "/funds")
	if err != nil {
		return err
	}
	list, next, err := a.fundsFor(c, c.Query("after"), rowsPerPage)
	if err != nil {
		return err
	}
	provider := principalOf(c).Role == accounts.Provider
	v := pages.Funds{Page: page, MayMake: provider, Next: nextLink("/funds", next)}
	names := organisationNames{}
	for _, f := range list {
		row := fundRow(f)
		if !provider {
			if row.Organisation, err = a.organisationName(c, names, f.Organisation); err != nil {
				return err
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return a.show(c, fiber.StatusOK, v)
}

// once makes a form safe to send twice: what it carries names what it makes.
func once(f *pages.Form) {
	if f.Value("key") == "" {
		f.Values["key"] = []string{rand.Text()}
	}
}

// sentKey is the key of a form, for one account.
func sentKey(c *fiber.Ctx, f pages.Form) string { return hash(principalOf(c).Account, f.Value("key")) }

func (a *App) fundForm(c *fiber.Ctx) (pages.FundNew, error) {
	f, err := a.form(c, "/funds/new")
	if err != nil {
		return pages.FundNew{}, err
	}
	once(&f)
	v := pages.FundNew{Form: f, Categories: categoryChoices(), Places: a.townsOfAll()}
	org, err := a.Providers.Get(c.UserContext(), principalOf(c).Organisation)
	if err != nil {
		return v, err
	}
	for _, k := range funds.Kinds() {
		if k.MayHave(org.Kind) {
			v.Kinds = append(v.Kinds, string(k))
		}
	}
	return v, nil
}

// townsOfAll are all counties with their towns, to choose from.
func (a *App) townsOfAll() []pages.ChoiceGroup {
	tree := a.Tree()
	var out []pages.ChoiceGroup
	for _, code := range tree.Counties() {
		county, _ := tree.Get(code)
		g := pages.ChoiceGroup{Label: county.Name, Choices: []pages.Choice{{Value: code, Text: text(county.Name, county.EnglishName)}}}
		for _, town := range tree.Children(code) {
			g.Choices = append(g.Choices, pages.Choice{Value: town.ID, Text: text(town.Name, town.EnglishName)})
		}
		out = append(out, g)
	}
	return out
}

func (a *App) showFundNew(c *fiber.Ctx) error {
	v, err := a.fundForm(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveFund(c *fiber.Ctx) error {
	v, err := a.fundForm(c)
	if err != nil {
		return err
	}
	in := funds.NewFund{
		Kind: funds.Kind(v.Value("kind")), Name: v.Value("name"), NameEN: v.Value("name_en"), Purpose: v.Value("purpose"),
		Categories: v.Values["categories"], DonorsNamed: v.Value("donors_named") == "1", Key: sentKey(c, v.Form),
	}
	if division := v.Value("division"); division != "" {
		in.Divisions = []string{division}
	}
	f, err := a.makeFund(c, in)
	if err == nil {
		return to(c, "/funds/"+f.ID, "fund")
	}
	status, err := a.refill(c, err, &v.Form, map[string]string{"divisions": "division"}, nil)
	if err != nil {
		return err
	}
	return a.show(c, status, v)
}

func (a *App) showFund(c *fiber.Ctx) error {
	f, ctx := fundOf(c), c.UserContext()
	page, err := a.page(c, "/funds/"+f.ID)
	if err != nil {
		return err
	}
	p, now := principalOf(c), store.Millis(a.Now())
	v := pages.Fund{
		Page: page, FundRow: fundRow(f), Purpose: f.Purpose, DonorsNamed: f.DonorsNamed, CreatedMs: f.CreatedMs,
		MayKeep: keepsFund(p, f), NextClosing: f.NextClosing(now),
	}
	org, err := a.Providers.Get(ctx, f.Organisation)
	if err != nil {
		return err
	}
	v.Organisation = v.Say(text(org.Name, org.NameEN))
	for _, id := range f.Categories {
		v.Categories = append(v.Categories, categoryText(id))
	}
	for _, code := range f.Divisions {
		v.Places = append(v.Places, a.placeName(code))
	}
	if f.Proposed != nil && f.Proposed.Month == v.NextClosing {
		v.Proposed, v.ProposedMine = true, f.Proposed.ProposedBy == p.Account
		if v.ProposedBy, err = a.actorName(c, actorNames{}, f.Proposed.ProposedBy); err != nil {
			return err
		}
	}
	entries, next, err := a.Funds.Entries(ctx, f, c.Query("after"), movementsShown)
	if err != nil {
		return err
	}
	v.Next = nextLink("/funds/"+f.ID, next)
	titles, err := a.offerTitles(c, f, entries)
	if err != nil {
		return err
	}
	for _, d := range f.Draws {
		v.Draws = append(v.Draws, pages.FundDraw{
			Offer: d.Offer, Title: titles[d.Offer], Left: d.LeftUnits() * d.ValueFen, Spent: d.SpentUnits * d.ValueFen, Of: d.QtyUnits * d.ValueFen,
		})
	}
	for i, e := range entries {
		if i > 0 && sameStep(entries[i-1], e) { // one step that took money of several donations
			v.Movements[len(v.Movements)-1].Fen += e.Fen
			continue
		}
		v.Movements = append(v.Movements, pages.Movement{
			AtMs: e.AtMs, What: string(e.What), Fen: e.Fen, Offer: e.Offer, Title: titles[e.Offer], Donation: e.Donation, Reason: e.Reason,
		})
	}
	v.Months = fundMonths(f, funds.MonthOf(now))
	return a.show(c, fiber.StatusOK, v)
}

// sameStep says whether two entries that follow each other, the later first, are
// of one step; its first has the quantity.
func sameStep(later, e *funds.Entry) bool {
	return later.What == e.What && later.Offer == e.Offer && later.Allocation == e.Allocation && later.Donation == e.Donation &&
		later.BookedMs == e.BookedMs && later.QtyUnits == 0 && e.What != funds.Donated
}

// movementsShown is how many entries one page of a fund shows.
const movementsShown = 20

// offerTitles are the titles of the offers that draw on a fund, or of which
// entries tell.
func (a *App) offerTitles(c *fiber.Ctx, f *funds.Fund, entries []*funds.Entry) (map[string]pages.Text, error) {
	seen := map[string]bool{}
	for _, d := range f.Draws {
		seen[d.Offer] = true
	}
	for _, e := range entries {
		seen[e.Offer] = true
	}
	return a.titlesOf(c, seen)
}

func (a *App) titlesOf(c *fiber.Ctx, offers map[string]bool) (map[string]pages.Text, error) {
	delete(offers, "")
	ids := make([]string, 0, len(offers))
	for id := range offers {
		ids = append(ids, id)
	}
	found, err := a.Providers.OffersByID(c.UserContext(), ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]pages.Text, len(found))
	for _, o := range found {
		out[o.ID] = text(o.TitleZH, o.TitleEN)
	}
	return out, nil
}

// fundMonths are the months of a fund up to the running one, newest first.
func fundMonths(f *funds.Fund, current string) (out []pages.FundMonth) {
	first := funds.MonthOf(f.CreatedMs)
	if len(f.Months) > 0 {
		first = min(first, f.Months[0].Month)
	}
	closings := map[string]funds.Closing{}
	for _, c := range f.Closings {
		closings[c.Month] = c
	}
	start, err := time.Parse(monthLayout, current)
	for ; err == nil && start.Format(monthLayout) >= first; start = start.AddDate(0, -1, 0) {
		month := start.Format(monthLayout)
		c, closed := closings[month]
		in := f.In(month)
		out = append(out, pages.FundMonth{
			Month: month, Closed: closed, Alone: c.Alone, Donated: in.DonatedFen - in.CorrectedFen, Spent: in.SpentFen - in.RecoveredFen,
			Balance: f.Before(start.AddDate(0, 1, 0).Format(monthLayout)).Fen(),
		})
	}
	return out
}

const monthLayout = "2006-01"

func (a *App) saveFundStatus(c *fiber.Ctx) error {
	f := fundOf(c)
	if _, err := a.Funds.SetStatus(c.UserContext(), f.ID, funds.Status(c.FormValue("status"))); err != nil {
		return err
	}
	return to(c, "/funds/"+f.ID, "fund_changed")
}

func (a *App) donateForm(c *fiber.Ctx) (pages.Donate, error) {
	fund := fundOf(c)
	f, err := a.form(c, "/funds/"+fund.ID+"/donate")
	if err != nil {
		return pages.Donate{}, err
	}
	once(&f)
	v := pages.Donate{Form: f, FundRow: fundRow(fund), Today: a.Now().In(chinaTime).Format(time.DateOnly)}
	for _, x := range categoryChoices() {
		if len(fund.Categories) == 0 || slices.Contains(fund.Categories, x.Value) {
			v.Categories = append(v.Categories, x)
		}
	}
	for _, g := range a.townsOfAll() {
		var kept []pages.Choice
		for _, x := range g.Choices {
			if withinAny(x.Value, fund.Divisions) {
				kept = append(kept, x)
			}
		}
		if len(kept) > 0 {
			v.Places = append(v.Places, pages.ChoiceGroup{Label: g.Label, Choices: kept})
		}
	}
	return v, nil
}

// withinAny says whether a division lies in one of some; in any where there are
// none.
func withinAny(code string, divisions []string) bool {
	return len(divisions) == 0 || slices.ContainsFunc(divisions, func(d string) bool { return regions.Within(code, d) })
}

func (a *App) showDonate(c *fiber.Ctx) error {
	v, err := a.donateForm(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveDonation(c *fiber.Ctx) error {
	v, err := a.donateForm(c)
	if err != nil {
		return err
	}
	f := &v.Form
	in := funds.NewDonation{
		Donor: f.Value("donor"), Fen: money(f, "yuan"), Category: f.Value("category"), Division: f.Value("division"), Note: f.Value("note"), Key: sentKey(c, *f),
	}
	if at, err := time.ParseInLocation(time.DateOnly, f.Value("day"), chinaTime); err == nil {
		in.AtMs = at.UnixMilli()
	} else {
		wrong(f, "day", "fund.day_wrong")
	}
	if in.Donor == "" && f.Value("anonymous") != "1" {
		wrong(f, "donor", "fund.donor_wrong")
	}
	if f.Value("anonymous") == "1" {
		in.Donor = ""
	}
	status := fiber.StatusBadRequest
	if len(f.Errors) == 0 {
		_, err := a.Funds.Donate(c.UserContext(), principalOf(c).Account, v.ID, in)
		if err == nil {
			return to(c, "/funds/"+v.ID, "donation")
		}
		if status, err = a.refill(c, err, f, map[string]string{"fen": "yuan", "at_ms": "day"}, nil); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

func (a *App) donationRow(f *funds.Fund, d *funds.Donation) (pages.DonationRow, error) {
	donor, err := a.Funds.Donor(d)
	row := pages.DonationRow{ID: d.ID, Receipt: d.Receipt, Donor: donor, Fen: d.Fen, Free: f.FreeOf(d), AtMs: d.AtMs, Note: d.Note}
	if d.Category != "" {
		row.Category = categoryText(d.Category)
	}
	if d.Division != "" {
		row.Place = a.placeName(d.Division)
	}
	return row, err
}

func (a *App) showDonations(c *fiber.Ctx) error {
	f := fundOf(c)
	page, err := a.page(c, "/funds/"+f.ID+"/donations")
	if err != nil {
		return err
	}
	list, next, err := a.Funds.DonationsOf(c.UserContext(), f, c.Query("after"), rowsPerPage)
	if err != nil {
		return err
	}
	v := pages.Donations{Page: page, FundRow: fundRow(f), MayKeep: keepsFund(principalOf(c), f), Next: nextLink("/funds/"+f.ID+"/donations", next)}
	for _, d := range list {
		row, err := a.donationRow(f, d)
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, row)
	}
	return a.show(c, fiber.StatusOK, v)
}

// donationPage is a donation with what became of it.
func (a *App) donationPage(c *fiber.Ctx) (pages.Donation, error) {
	fund, ctx := fundOf(c), c.UserContext()
	d, err := a.Funds.Donation(ctx, fund, c.Params("donation"))
	if err != nil {
		return pages.Donation{}, err
	}
	f, err := a.form(c, "/funds/"+fund.ID+"/donations/"+d.ID)
	if err != nil {
		return pages.Donation{}, err
	}
	once(&f)
	v := pages.Donation{Form: f, FundRow: fundRow(fund), MayKeep: keepsFund(principalOf(c), fund)}
	if v.Row, err = a.donationRow(fund, d); err != nil {
		return v, err
	}
	t, err := a.Funds.Trace(ctx, fund, d)
	if err != nil {
		return v, err
	}
	v.FreeFen, v.ReservedFen, v.SpentFen, v.CorrectedFen = t.FreeFen, t.ReservedFen, t.SpentFen, t.CorrectedFen
	offers := map[string]bool{}
	for _, o := range t.Reserved {
		offers[o.Offer] = true
	}
	titles, err := a.titlesOf(c, offers)
	if err != nil {
		return v, err
	}
	for _, o := range t.Reserved {
		v.Reserved = append(v.Reserved, pages.FundDraw{Offer: o.Offer, Title: titles[o.Offer], Left: o.Fen})
	}
	for _, x := range t.Cells {
		cell := pages.TraceCell{Fen: x.Fen, Handovers: x.Handovers, People: x.People}
		if x.Category != "" {
			cell.Category = categoryText(x.Category)
		}
		if x.Town != "" {
			cell.Place = a.placeName(x.Town)
		}
		v.Cells = append(v.Cells, cell)
	}
	return v, nil
}

func (a *App) showDonation(c *fiber.Ctx) error {
	v, err := a.donationPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveCorrection(c *fiber.Ctx) error {
	v, err := a.donationPage(c)
	if err != nil {
		return err
	}
	f := &v.Form
	amount := money(f, "yuan")
	status := fiber.StatusBadRequest
	if len(f.Errors) == 0 {
		_, err := a.Funds.Correct(c.UserContext(), principalOf(c).Account, v.ID, v.Row.ID, amount, f.Value("reason"), sentKey(c, *f))
		if err == nil {
			return to(c, "/funds/"+v.ID+"/donations/"+v.Row.ID, "corrected")
		}
		if status, err = a.refill(c, err, f, map[string]string{"fen": "yuan"}, nil); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

func (a *App) saveClosing(c *fiber.Ctx) error {
	month := c.FormValue("month")
	f, err := a.close(c, month)
	if err != nil {
		return err
	}
	if f.ClosedThrough == month {
		return to(c, "/funds/"+f.ID, "month_closed")
	}
	return to(c, "/funds/"+f.ID, "month_proposed")
}

// fundChoices are the open funds that the one who posts an offer can choose
// from; an administrator chooses the organisation in the same form.
func (a *App) fundChoices(c *fiber.Ctx) ([]pages.Choice, error) {
	var out []pages.Choice
	names := organisationNames{}
	for after := ""; ; {
		list, next, err := a.fundsFor(c, after, 200)
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			if f.Status != funds.Open {
				continue
			}
			label := text(f.Name+"（"+pages.Yuan(f.AvailableFen)+"）", "")
			if f.NameEN != "" {
				label.EN = f.NameEN + " (" + pages.Yuan(f.AvailableFen) + ")"
			}
			if principalOf(c).Role != accounts.Provider {
				name, err := a.organisationName(c, names, f.Organisation)
				if err != nil {
					return nil, err
				}
				label.ZH = name + " · " + label.ZH
				if label.EN != "" {
					label.EN = name + " · " + label.EN
				}
			}
			out = append(out, pages.Choice{Value: f.ID, Text: label})
		}
		if after = next; after == "" || len(out) >= 1000 {
			return out, nil
		}
	}
}

// fundName is the name of the fund that pays for an offer, "" for none.
func (a *App) fundName(c *fiber.Ctx, id string) (pages.Text, error) {
	if id == "" {
		return pages.Text{}, nil
	}
	f, err := a.Funds.Get(c.UserContext(), id)
	if errors.Is(err, store.ErrNotFound) {
		return pages.Text{}, nil
	}
	if err != nil {
		return pages.Text{}, err
	}
	return text(f.Name, f.NameEN), nil
}
