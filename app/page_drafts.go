package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// showDraft goes on with a draft.
func (a *App) showDraft(c *fiber.Ctx) error {
	d := draftOf(c)
	return a.showFilled(c, d.Organisation, d.Offer, func(v *pages.OfferNew) { v.Values["draft"] = []string{d.ID} })
}

// showOfferAgain is an offer for the months after it, to be looked through and
// posted.
func (a *App) showOfferAgain(c *fiber.Ctx) error {
	o := offerOf(c)
	return a.showFilled(c, o.Organisation, o.Again(a.Now()), func(v *pages.OfferNew) { v.Copied = v.Say(text(o.TitleZH, o.TitleEN)) })
}

// showFilled is the form, filled in.
func (a *App) showFilled(c *fiber.Ctx, organisation string, n providers.NewOffer, mark func(*pages.OfferNew)) error {
	f, err := a.form(c, c.Path())
	if err != nil {
		return err
	}
	images := n.Images[:0:0]
	for _, id := range n.Images { // those that are there still
		switch _, err := a.Providers.Image(c.UserContext(), id); {
		case err == nil:
			images = append(images, id)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	n.Images = images
	f.Values = offerValues(n)
	f.Values["organisation"] = []string{organisation}
	v, err := a.offerFormOf(c, f)
	if err != nil {
		return err
	}
	mark(&v)
	return a.show(c, fiber.StatusOK, v)
}

// saveDraft keeps what was typed as a draft, in the place of the one it was.
func (a *App) saveDraft(c *fiber.Ctx, f *pages.Form, in providers.NewOffer) error {
	org, err := a.actsFor(c, f.Value("organisation"))
	if err != nil {
		return err
	}
	d, err := a.Providers.SaveDraft(c.UserContext(), principalOf(c).Account, org.ID, f.Value("draft"), 0, in)
	if errors.Is(err, store.ErrNotFound) { // it was deleted, or posted, elsewhere
		d, err = a.Providers.SaveDraft(c.UserContext(), principalOf(c).Account, org.ID, "", 0, in)
	}
	if err != nil {
		return err
	}
	concerns(c, d.ID, "", org.Division)
	return to(c, "/offers/new", "draft")
}

// dropDraft deletes the draft that was posted; nobody else's.
func (a *App) dropDraft(c *fiber.Ctx, id, organisation string) error {
	d, err := a.Providers.Draft(c.UserContext(), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || d.Organisation != organisation {
		return err
	}
	return a.Providers.DeleteDraft(c.UserContext(), id)
}

func (a *App) saveDraftDeleted(c *fiber.Ctx) error {
	if err := a.Providers.DeleteDraft(c.UserContext(), draftOf(c).ID); err != nil {
		return err
	}
	return to(c, "/offers/new", "draft_deleted")
}

// lotsShown is how many lots a preview shows at once; the rest is folded.
const lotsShown = 10

// showPreview is what would be posted, with a button that does it.
func (a *App) showPreview(c *fiber.Ctx, form pages.OfferNew, in providers.NewOffer) error {
	if _, err := a.actsFor(c, form.Value("organisation")); err != nil {
		return err
	}
	o, err := a.Providers.Check(in)
	if err != nil {
		return err
	}
	var rule providers.Rule
	if in.Rule != "" {
		if _, rule, err = a.Providers.CheckRule(c.UserContext(), in.Rule); err != nil {
			return err
		}
	}
	fund, err := a.fundName(c, in.Fund)
	if err != nil {
		return err
	}
	v := pages.OfferPreview{
		Rule: text(rule.ZH, rule.EN), Fund: fund,
		Form: form.Form, OfferForm: string(formOf(o)), MayDraft: form.MayDraft, Title: text(o.TitleZH, o.TitleEN), Category: categoryText(o.Category),
		How: string(o.Handover.How), Place: text(o.Handover.Place, o.Handover.PlaceEN), Note: o.Handover.Note, ValueFen: o.ValueFen,
		Groups: groupTexts(o.Groups), MinScoreMilli: o.MinScoreMilli, Cap: amount(o.Category, o.CapUnits, o.Unit), CapPeriod: string(o.CapPeriod),
		Pace: string(o.Pace), Unlimited: o.Unlimited, Images: imageURLs(in.Images), Count: len(o.Lots),
	}
	for _, code := range o.Divisions {
		v.Places = append(v.Places, a.placeName(code))
	}
	for _, k := range o.Kept {
		part := pages.Kept{PerMille: k.PerMille}
		if k.Division != "" {
			part.Place = a.placeName(k.Division)
		}
		if k.Group != "" {
			part.Group = groupTexts([]string{k.Group})[0]
		}
		v.Kept = append(v.Kept, part)
	}
	total := int64(0)
	for i, l := range o.Lots {
		total += l.QtyUnits
		row := pages.LotLine{FromMs: l.FromMs, UntilMs: l.UntilMs, Amount: amount(o.Category, l.QtyUnits, o.Unit)}
		if i < lotsShown {
			v.First = append(v.First, row)
		} else {
			v.Rest = append(v.Rest, row)
		}
	}
	v.Total = amount(o.Category, total, o.Unit)
	return a.show(c, fiber.StatusOK, v)
}

func imageURLs(ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = imageURL(id)
	}
	return out
}
