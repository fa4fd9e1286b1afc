package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

func (a *App) showWishes(c *fiber.Ctx) error {
	page, err := a.page(c, "/wishes")
	if err != nil {
		return err
	}
	p := principalOf(c)
	v := pages.Wishes{Page: page, Gives: p.Role == accounts.Provider}
	list, next, err := a.wishesFor(c, false, "", pageQuery{After: c.Query("after"), Limit: rowsPerPage})
	if err != nil {
		return err
	}
	v.Shown, v.Next = wishCards(list), nextLink("/wishes", next)
	if v.Gives && c.Query("after") == "" {
		own, _, err := a.wishesFor(c, true, "", pageQuery{Limit: rowsPerPage})
		if err != nil {
			return err
		}
		v.Own = wishCards(own)
	}
	return a.show(c, fiber.StatusOK, v)
}

func wishCards(list []care.WishView) []pages.WishCard {
	var out []pages.WishCard
	for _, w := range list {
		out = append(out, wishCard(w))
	}
	return out
}

func wishCard(w care.WishView) pages.WishCard {
	return pages.WishCard{
		ID: w.ID, Need: w.Need, Offer: w.Offer, Town: w.Town, Text: text(w.TextZH, w.TextEN), State: string(w.State),
		ShownMs: w.ShownMs, UntilMs: w.UntilMs, TakenMs: w.TakenMs, EndedMs: w.EndedMs,
	}
}

// wishForm is the form in which a giver takes a wish up.
func (a *App) wishForm(c *fiber.Ctx) (pages.WishTake, error) {
	f, err := a.form(c, "/wishes/"+c.Params("id"))
	if err != nil {
		return pages.WishTake{}, err
	}
	p := principalOf(c)
	w, err := a.Care.Wish(c.UserContext(), p, p.Organisation, c.Params("id"))
	if err != nil {
		return pages.WishTake{}, err
	}
	v := pages.WishTake{Form: f, Wish: wishCard(*w)}
	if p.Role == accounts.Admin {
		if v.Organisations, err = a.organisationChoices(c); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (a *App) showWish(c *fiber.Ctx) error {
	v, err := a.wishForm(c)
	if err != nil {
		return err
	}
	v.Values["how"] = []string{string(providers.Delivery)}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveWishTaken(c *fiber.Ctx) error {
	v, err := a.wishForm(c)
	if err != nil {
		return err
	}
	f := &v.Form
	until := dayEnd(f, "until")
	status := fiber.StatusBadRequest
	if len(f.Errors) == 0 {
		_, err := a.take(c, f.Value("organisation"), care.Taking{
			Handover: providers.Handover{How: providers.How(f.Value("how")), Place: f.Value("place"), Note: f.Value("note")}, UntilMs: until,
		})
		if err == nil {
			return to(c, "/wishes", "wish_taken")
		}
		fields := map[string]string{"until_ms": "until", "handover.how": "how", "handover.place": "place", "handover.note": "note"}
		if status, err = a.refill(c, err, f, fields, nil); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

// needWishForm is the form in which a caseworker shows a need to givers.
func (a *App) needWishForm(c *fiber.Ctx) (pages.WishShow, error) {
	n := needOf(c)
	f, err := a.form(c, "/needs/"+n.ID+"/wish")
	if err != nil {
		return pages.WishShow{}, err
	}
	v := pages.WishShow{Form: f, Need: n.ID}
	if v.Note, err = a.Residents.NeedNote(n); err != nil {
		return v, err
	}
	w, err := a.Care.Wish(c.UserContext(), principalOf(c), "", care.WishID(n.ID))
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return v, err
	default:
		v.Wish = wishCard(*w)
	}
	return v, nil
}

func (a *App) showNeedWish(c *fiber.Ctx) error {
	v, err := a.needWishForm(c)
	if err != nil {
		return err
	}
	v.Values["text_zh"], v.Values["text_en"] = []string{v.Wish.Text.ZH}, []string{v.Wish.Text.EN}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveNeedWish(c *fiber.Ctx) error {
	v, err := a.needWishForm(c)
	if err != nil {
		return err
	}
	n := needOf(c)
	_, err = a.Care.ShowWish(c.UserContext(), principalOf(c), n.ID, care.NewWish{
		TextZH: v.Value("text_zh"), TextEN: v.Value("text_en"), Agreed: v.Value("agreed") != "",
	})
	if err == nil {
		return to(c, "/needs/"+n.ID+"/wish", "wish_shown")
	}
	status, err := a.refill(c, err, &v.Form, nil, nil)
	if err != nil {
		return err
	}
	return a.show(c, status, v)
}

func (a *App) saveWishHidden(c *fiber.Ctx) error {
	n := needOf(c)
	if _, err := a.Care.HideWish(c.UserContext(), principalOf(c), n.ID); err != nil {
		return err
	}
	return to(c, "/needs/"+n.ID+"/wish", "wish_hidden")
}
