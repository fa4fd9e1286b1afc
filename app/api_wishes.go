package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/providers"
)

// wishesQuery: which wishes are asked for.
type wishesQuery struct {
	Taken        bool   `query:"taken" description:"Those that the organisation has taken up, with what became of them; else those that may be taken up, and for caseworkers of a county or below all of their division."`
	Organisation string `query:"organisation" description:"Of administrators who ask for what was taken."`
	pageQuery
}

// wishesFor are the wishes that the one who asks may see.
func (a *App) wishesFor(c *fiber.Ctx, taken bool, organisation string, q pageQuery) ([]care.WishView, string, error) {
	p, ctx := principalOf(c), c.UserContext()
	if taken || p.Role == accounts.Provider {
		org, err := a.actsFor(c, organisation)
		switch {
		case err != nil:
			return nil, "", err
		case taken:
			return a.Care.TakenWishes(ctx, p, org.ID, q.After, q.Limit)
		case org.Status != providers.Approved:
			return []care.WishView{}, "", nil
		}
		return a.Care.ShownWishes(ctx, p, q.After, q.Limit)
	}
	if county := regions.County(p.Division); county != "" {
		return a.Care.WishesOf(ctx, p, county, q.After, q.Limit)
	}
	return a.Care.ShownWishes(ctx, p, q.After, q.Limit)
}

func (a *App) listWishes(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	list, next, err := a.wishesFor(c, c.QueryBool("taken"), c.Query("organisation"), q)
	if err != nil {
		return err
	}
	return c.JSON(listed(list, next, func(w care.WishView) care.WishView { return w }))
}

func (a *App) showNeedAsWish(c *fiber.Ctx) error {
	in, err := decode[care.NewWish](c)
	if err != nil {
		return err
	}
	w, err := a.Care.ShowWish(c.UserContext(), principalOf(c), needOf(c).ID, in)
	if err != nil {
		return err
	}
	return c.JSON(w)
}

func (a *App) hideWish(c *fiber.Ctx) error {
	w, err := a.Care.HideWish(c.UserContext(), principalOf(c), needOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(w)
}

// takingRequest is who takes a wish up, and how it is fulfilled.
type takingRequest struct {
	Organisation string `json:"organisation" description:"Needed of administrators; a provider takes for its own."`
	care.Taking
}

func (a *App) takeWish(c *fiber.Ctx) error {
	in, err := decode[takingRequest](c)
	if err != nil {
		return err
	}
	w, err := a.take(c, in.Organisation, in.Taking)
	if err != nil {
		return err
	}
	return c.JSON(w)
}

// take has an organisation take the route's wish up.
func (a *App) take(c *fiber.Ctx, organisation string, t care.Taking) (*care.WishView, error) {
	org, err := a.actsFor(c, organisation)
	if err != nil {
		return nil, err
	}
	return a.Care.TakeWish(c.UserContext(), principalOf(c), org.ID, c.Params("id"), t)
}
