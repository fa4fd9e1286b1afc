package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// showHome is where everybody begins, by role.
func (a *App) showHome(c *fiber.Ctx) error {
	p := principalOf(c)
	switch p.Role {
	case "":
		return to(c, "/signin", "")
	case accounts.Resident:
		return to(c, ownPath(p), "")
	}
	page, err := a.page(c, "/")
	if err != nil {
		return err
	}
	v := pages.Home{Page: page}
	if v.Conflicts, err = a.openConflicts(c); err != nil {
		return err
	}
	switch p.Role {
	case accounts.Provider:
		org, err := a.Providers.Get(c.UserContext(), p.Organisation)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil && org.Status != providers.Approved {
			v.Status = string(org.Status)
			if n := len(org.Decisions); n > 0 {
				v.Why = org.Decisions[n-1].Note
			}
		}
	case accounts.Caseworker:
		if v.Reports, v.ReportsOverdue, err = a.Reports.Count(c.UserContext(), p.Division); err != nil {
			return err
		}
	case accounts.Admin:
		if v.Reports, v.ReportsOverdue, err = a.Reports.Count(c.UserContext(), p.Division); err != nil {
			return err
		}
		waiting, _, err := a.Providers.List(c.UserContext(), providers.Pending, "", 100)
		if err != nil {
			return err
		}
		for _, o := range waiting {
			if p.Sees(o.Division) {
				v.Pending++
			}
		}
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveLang changes the language and returns to where it was changed.
func (a *App) saveLang(c *fiber.Ctx) error {
	if err := a.setLang(c, c.FormValue("lang")); err != nil {
		return err
	}
	return to(c, localPath(c.FormValue("back")), "")
}
