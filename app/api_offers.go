package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/providers"
)

// formView is one of the forms of an offer, with what a new one begins with.
type formView struct {
	Form       providers.Form   `json:"form"`
	Categories []string         `json:"categories" description:"Ids of /categories; the first is the usual one."`
	Hows       []providers.How  `json:"hows" description:"Ways of handing over; the first is the usual one."`
	CapUnits   int64            `json:"cap_units"`
	CapPeriod  string           `json:"cap_period"`
	Pace       string           `json:"pace"`
	Series     providers.Series `json:"series" description:"A usual series, without its dates."`
}

func (a *App) listForms(c *fiber.Ctx) error {
	return c.JSON(listed(providers.Presets(), "", func(p providers.Preset) formView {
		return formView{p.Form, p.Categories, p.Hows, p.CapUnits, string(p.CapPeriod), string(p.Pace), p.Series}
	}))
}

// actsFor is the organisation that the one who asks acts for: a provider the
// own, an administrator one whose seat lies in the division.
func (a *App) actsFor(c *fiber.Ctx, organisation string) (*providers.Organisation, error) {
	p := principalOf(c)
	if p.Role == accounts.Provider && organisation == "" {
		organisation = p.Organisation
	}
	if organisation == "" {
		return nil, faultField.with(fieldFault{"organisation", words{"请选择机构", "choose the organisation"}})
	}
	org, err := a.Providers.Get(c.UserContext(), organisation)
	if err != nil {
		return nil, err
	}
	if !managesOffer(p, org) {
		return nil, errOutside
	}
	return org, nil
}

type offerPreview struct {
	Form       providers.Form     `json:"form"`
	Lots       []providers.NewLot `json:"lots" description:"In their order, those of the series among them."`
	Count      int                `json:"count"`
	TotalUnits int64              `json:"total_units"`
	Unlimited  bool               `json:"unlimited"`
	Pace       string             `json:"pace"`
	CapPeriod  string             `json:"cap_period"`
}

func previewOf(o *providers.Offer) offerPreview {
	v := offerPreview{Form: o.Form, Count: len(o.Lots), Lots: make([]providers.NewLot, len(o.Lots)), Unlimited: o.Unlimited, Pace: string(o.Pace), CapPeriod: string(o.CapPeriod)}
	for i, l := range o.Lots {
		v.Lots[i] = providers.NewLot{QtyUnits: l.QtyUnits, FromMs: l.FromMs, UntilMs: l.UntilMs}
		v.TotalUnits += l.QtyUnits
	}
	return v
}

func (a *App) previewOffer(c *fiber.Ctx) error {
	in, err := decode[offerRequest](c)
	if err != nil {
		return err
	}
	o, err := a.Providers.Check(in.offer())
	if err != nil {
		return err
	}
	return c.JSON(previewOf(o))
}

type seriesRequest struct {
	Series    []providers.Series `json:"series" required:"true" minItems:"1" maxItems:"10"`
	Unlimited bool               `json:"unlimited"`
}

type seriesView struct {
	Lots       []providers.NewLot `json:"lots"`
	Count      int                `json:"count"`
	TotalUnits int64              `json:"total_units"`
}

func (a *App) makeSeries(c *fiber.Ctx) error {
	in, err := decode[seriesRequest](c)
	if err != nil {
		return err
	}
	lots, err := providers.LotsOf(providers.NewOffer{Series: in.Series, Unlimited: in.Unlimited})
	if err != nil {
		return err
	}
	v := seriesView{Lots: lots, Count: len(lots)}
	for _, l := range lots {
		v.TotalUnits += l.QtyUnits
	}
	return c.JSON(v)
}

// getOfferAgain is what is posted for the months after an offer's.
func (a *App) getOfferAgain(c *fiber.Ctx) error {
	o := offerOf(c)
	return c.JSON(requestOf(o.Organisation, o.Again(a.Now())))
}

// requestOf is a new offer as it is asked for.
func requestOf(organisation string, n providers.NewOffer) offerRequest {
	return offerRequest{
		Organisation: organisation,
		offerTerms: offerTerms{
			Form: n.Form, Unlimited: n.Unlimited, Images: n.Images,
			TitleZH: n.TitleZH, TitleEN: n.TitleEN, Category: n.Category, Unit: n.Unit, ValueFen: n.ValueFen,
			Divisions: n.Divisions, Groups: n.Groups, MinScoreMilli: n.MinScoreMilli, CapUnits: n.CapUnits,
			CapPeriod: string(n.CapPeriod), Pace: string(n.Pace), ReserveMilli: n.ReserveMilli, Kept: n.Kept, Handover: n.Handover,
		},
		offerLots: offerLots{Lots: n.Lots, Series: n.Series},
	}
}

// draftView is an offer that is not posted.
type draftView struct {
	ID           string             `json:"id"`
	Organisation string             `json:"organisation"`
	Version      int64              `json:"version" description:"Give it back when saving, so that two people do not write over each other."`
	CreatedMs    int64              `json:"created_ms"`
	ChangedMs    int64              `json:"changed_ms"`
	Offer        providers.NewOffer `json:"offer"`
}

func viewDraft(d *providers.Draft) draftView {
	return draftView{d.ID, d.Organisation, d.V, d.CreatedMs, d.ChangedMs, d.Offer}
}

func draftOf(c *fiber.Ctx) *providers.Draft { return c.Locals(localDraft).(*providers.Draft) }

// draftRequest is an offer as far as it is filled in.
type draftRequest struct {
	Organisation string             `json:"organisation" description:"Needed of administrators; a provider saves for its own."`
	Version      int64              `json:"version" minimum:"0" description:"As it was read; 0: whatever it is."`
	Offer        providers.NewOffer `json:"offer" required:"true" description:"As for /offers; nothing has to be there yet."`
}

func (a *App) createDraft(c *fiber.Ctx) error {
	in, err := decode[draftRequest](c)
	if err != nil {
		return err
	}
	org, err := a.actsFor(c, in.Organisation)
	if err != nil {
		return err
	}
	d, err := a.Providers.SaveDraft(c.UserContext(), principalOf(c).Account, org.ID, "", 0, in.Offer)
	if err != nil {
		return err
	}
	concerns(c, d.ID, "", org.Division)
	return c.Status(fiber.StatusCreated).JSON(viewDraft(d))
}

func (a *App) replaceDraft(c *fiber.Ctx) error {
	in, err := decode[draftRequest](c)
	if err != nil {
		return err
	}
	there := draftOf(c)
	d, err := a.Providers.SaveDraft(c.UserContext(), principalOf(c).Account, there.Organisation, there.ID, in.Version, in.Offer)
	if err != nil {
		return err
	}
	return c.JSON(viewDraft(d))
}

type draftsQuery struct {
	Organisation string `query:"organisation" description:"Needed of administrators."`
}

func (a *App) listDrafts(c *fiber.Ctx) error {
	org, err := a.actsFor(c, c.Query("organisation"))
	if err != nil {
		return err
	}
	drafts, err := a.Providers.Drafts(c.UserContext(), org.ID)
	if err != nil {
		return err
	}
	return c.JSON(listed(drafts, "", viewDraft))
}

func (a *App) getDraft(c *fiber.Ctx) error { return c.JSON(viewDraft(draftOf(c))) }

func (a *App) deleteDraft(c *fiber.Ctx) error {
	if err := a.Providers.DeleteDraft(c.UserContext(), draftOf(c).ID); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

// imageView is a photo that an organisation may show with an offer.
type imageView struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// imageAge is how long a phone may keep a photo of an offer: a week. It shows
// nobody, and is loaded with every list.
const imageAge = "private, max-age=604800, immutable"

func imageURL(id string) string { return apiPrefix + "/images/" + id }

// addImage takes in the "file" for the form's "organisation".
func (a *App) addImage(c *fiber.Ctx) error {
	org, err := a.actsFor(c, c.FormValue("organisation"))
	if err != nil {
		return err
	}
	jpeg, err := a.photoIn(c, "file")
	if err != nil {
		return err
	}
	i, err := a.Providers.AddImage(c.UserContext(), principalOf(c).Account, org.ID, jpeg)
	if err != nil {
		return err
	}
	concerns(c, i.ID, "", org.Division)
	return c.Status(fiber.StatusCreated).JSON(imageView{i.ID, imageURL(i.ID)})
}

// getImage serves a photo of an offer to whoever is signed in: its id follows
// from the picture, which never changes.
func (a *App) getImage(c *fiber.Ctx) error {
	i, err := a.Providers.Image(c.UserContext(), c.Params("id"))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "image/jpeg")
	c.Set(fiber.HeaderCacheControl, imageAge)
	c.Set(fiber.HeaderContentDisposition, "inline; filename=photo.jpg")
	return c.Send(i.JPEG)
}
