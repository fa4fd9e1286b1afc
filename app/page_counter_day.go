package app

import (
	"cmp"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
)

func (a *App) showCounterDay(c *fiber.Ctx) error { return a.counterDayWith(c, fiber.StatusOK, "") }

// counterDayWith shows what a counter did today; failure says why something of
// it could not be changed.
func (a *App) counterDayWith(c *fiber.Ctx, status int, failure string) error {
	day, err := a.counterDay(c)
	if err != nil {
		return err
	}
	f, err := a.form(c, "/counter/today")
	if err != nil {
		return err
	}
	f.Values, f.Failure = map[string][]string{}, failure
	v := pages.CounterDay{Form: f}
	for _, x := range day.Stock {
		v.Stock = append(v.Stock, pages.CounterItem{Title: text(x.TitleZH, x.TitleEN), Unit: text(x.Unit.ZH, x.Unit.EN), Units: x.OpenUnits})
	}
	entry := func(x care.CounterEntry) pages.CounterEntry {
		return pages.CounterEntry{
			CounterItem: *counterItemOf(x.CounterItem), AtMs: x.AtMs, NoShowFromMs: x.NoShowFromMs,
			MayNoShow: x.NoShowFromMs > 0 && x.NoShowFromMs <= day.AtMs,
		}
	}
	for _, x := range day.Given {
		v.Given = append(v.Given, entry(x))
	}
	for _, x := range day.Open {
		v.Waiting = append(v.Waiting, entry(x))
	}
	return a.show(c, status, v)
}

// counterFailed shows the page again with what is wrong.
func (a *App) counterFailed(c *fiber.Ctx, failed error, show func(*fiber.Ctx, int, string) error) error {
	p := a.problemOf(c, failed)
	if p.Status >= 500 || p.Code == faultRole.code || p.Code == faultNotFound.code {
		return failed
	}
	detail := p.Detail
	for _, f := range p.Fields {
		detail = f.Detail
	}
	return show(c, p.Status, detail)
}

func (a *App) saveCounterReturn(c *fiber.Ctx) error {
	_, err := a.counterBack(c, counterReturn{
		Item: c.FormValue("item"), Units: int64(small(typed(c.FormValue("units")))), GivenUnits: int64(small(c.FormValue("given_units"))),
		Why: c.FormValue("why"),
	})
	if err == nil {
		return to(c, "/counter/today", "returned")
	}
	return a.counterFailed(c, err, a.counterDayWith)
}

func (a *App) saveNoShow(c *fiber.Ctx) error {
	err := a.counterNoShow(c, c.FormValue("item"))
	path, show := "/counter/today", a.counterDayWith
	if c.FormValue("round") != "" {
		path, show = "/counter/round", a.roundWith
	}
	if err == nil {
		return to(c, path, "no_show")
	}
	return a.counterFailed(c, err, show)
}

func (a *App) saveTried(c *fiber.Ctx) error {
	_, err := a.counterTried(c, c.FormValue("item"))
	if err == nil {
		return to(c, "/counter/round", "tried")
	}
	return a.counterFailed(c, err, a.roundWith)
}

func (a *App) showRound(c *fiber.Ctx) error { return a.roundWith(c, fiber.StatusOK, "") }

func (a *App) roundWith(c *fiber.Ctx, status int, failure string) error {
	round, err := a.round(c)
	if err != nil {
		return err
	}
	f, err := a.form(c, "/counter/round")
	if err != nil {
		return err
	}
	f.Values, f.Failure = map[string][]string{"day": {round.Day}}, failure
	v := pages.Round{Form: f, Today: round.Today}
	if day, err := time.Parse(time.DateOnly, round.Day); err == nil {
		v.DayMs = day.UnixMilli()
	}
	for _, t := range round.Towns {
		town := pages.RoundTown{Place: t.Place}
		for _, x := range t.Stops {
			town.Stops = append(town.Stops, pages.RoundStop{
				CounterItem: *counterItemOf(x.CounterItem), Village: x.Village, Name: x.Name, Phone: x.Phone, Address: x.Address,
				Agreed: x.Agreed, TriedMs: x.TriedMs,
			})
		}
		v.Towns = append(v.Towns, town)
	}
	return a.show(c, status, v)
}

func (a *App) saveAddress(c *fiber.Ctx) error {
	r := residentOf(c)
	_, err := a.Residents.SetAddress(c.UserContext(), r.ID, typed(c.FormValue("address")))
	if err == nil {
		return to(c, "/residents/"+r.ID, "address")
	}
	return a.counterFailed(c, err, func(c *fiber.Ctx, status int, detail string) error {
		v, err := a.residentPage(c, r)
		if err != nil {
			return err
		}
		v.Record.Errors["address"] = detail
		return a.show(c, status, v)
	})
}

// saveTakenBack and saveMissed are the caseworker's, from the resident's page.
func (a *App) saveTakenBack(c *fiber.Ctx) error {
	x := allocationOf(c)
	_, err := a.Care.TakeBack(c.UserContext(), principalOf(c), x.ID, care.TakingBack{
		Units: int64(small(typed(c.FormValue("units")))), GivenUnits: int64(small(c.FormValue("given_units"))),
		Why: cmp.Or(c.FormValue("why"), care.BackMistake),
	})
	if err != nil {
		return err
	}
	return to(c, personPath(c, x.Resident), "returned")
}

func (a *App) saveMissed(c *fiber.Ctx) error {
	x := allocationOf(c)
	if _, err := a.Care.NoShow(c.UserContext(), principalOf(c), x.ID); err != nil {
		return err
	}
	return to(c, personPath(c, x.Resident), "no_show")
}
