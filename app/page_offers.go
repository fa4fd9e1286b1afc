package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
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
		row.Total, row.Unlimited = amount(o.Category, total, o.Unit), o.Unlimited
		if len(o.Images) > 0 {
			row.Image = imageURL(o.Images[0])
		}
		v.Rows = append(v.Rows, row)
	}
	return a.show(c, fiber.StatusOK, v)
}

func mayPost(p accounts.Principal) bool {
	return (p.Role == accounts.Admin || p.Role == accounts.Provider) && p.May(accounts.ToRun)
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
		Pace: string(o.Pace), ReserveMilli: o.ReserveMilli, Rule: text(o.Rule.ZH, o.Rule.EN), Sets: o.Sets, OfferForm: string(formOf(o)), Images: imageURLs(o.Images), Unlimited: o.Unlimited,
	}
	org, err := a.Providers.Get(c.UserContext(), o.Organisation)
	if err != nil {
		return err
	}
	v.Provider = v.Say(text(org.Name, org.NameEN))
	if v.Fund, err = a.fundName(c, o.Fund); err != nil {
		return err
	}
	manages := managesOffer(principalOf(c), org)
	if o.Fund != "" && manages {
		v.FundLink = "/funds/" + o.Fund
	}
	v.MayWithdraw, v.MayAgain = o.Status == providers.OfferOpen && manages, manages && o.Wish == ""
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
			ID: s.Share, Kept: v.KeptPart(s.Kept), Place: a.placeName(s.County), FromMs: s.FromMs, UntilMs: s.UntilMs, Closed: s.ClosedWhy, Money: v.Money, Unlimited: o.Unlimited,
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
