package app

import (
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

func (a *App) scanPage(c *fiber.Ctx) (pages.Scan, error) {
	f, err := a.form(c, "/scan")
	if err != nil {
		return pages.Scan{}, err
	}
	return pages.Scan{Form: f, Categories: scanCategories(), Groups: groupChoices()}, nil
}

// scanCategories are the kinds of aid, for a script.
func scanCategories() []pages.ScanCategory {
	var out []pages.ScanCategory
	for _, x := range providers.Categories() {
		out = append(out, pages.ScanCategory{
			ID: x.ID, Name: text(x.ZH, x.EN), Unit: text(x.UnitZH, x.UnitEN), Money: x.ID == providers.Cash,
		})
	}
	return out
}

func (a *App) showScan(c *fiber.Ctx) error {
	v, err := a.scanPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveScan scans a typed code for browsers without scripts: what was matched
// shows on the resident's page.
func (a *App) saveScan(c *fiber.Ctx) error {
	return a.scanTyped(c, strings.ReplaceAll(typed(c.FormValue("code")), " ", ""))
}

// scanTyped scans a code and goes on to the resident, or shows the scan page
// with what is wrong.
func (a *App) scanTyped(c *fiber.Ctx, code string) error {
	result, err := a.Care.Scan(c.UserContext(), principalOf(c), code)
	a.metrics.scanned(result, err)
	if err == nil {
		concerns(c, result.Resident.ID, result.Resident.ID, result.Resident.Division)
		return to(c, "/residents/"+result.Resident.ID+"?scan="+result.Scan, "")
	}
	if !errors.Is(err, care.ErrUnknownCode) && !errors.Is(err, qrcode.ErrToken) {
		return err
	}
	v, failed := a.scanPage(c)
	if failed != nil {
		return failed
	}
	p := a.problemOf(c, err)
	v.Failure = p.Detail
	return a.show(c, p.Status, v)
}

// saveFind opens the page of the resident with a card number. It matches
// nothing. Another division's resident is not found.
func (a *App) saveFind(c *fiber.Ctx) error {
	p := principalOf(c)
	card := strings.ReplaceAll(typed(c.FormValue("card")), " ", "")
	err := store.ErrNotFound
	var r *residents.Resident
	if qrcode.ValidCardNumber(card) {
		r, err = a.byCardNumber(c, card)
	}
	if err == nil && p.Sees(r.Division) {
		return to(c, "/residents/"+r.ID, "")
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	a.limits.failed(LimitScan, a.limitKeys(c)...)
	v, err := a.residentsPage(c)
	if err != nil {
		return err
	}
	if r != nil {
		if err := a.denied(c, p, routeOf(c), r.ID, r.ID, r.Division); err != nil {
			return err
		}
	}
	wrong(&v.Form, "card", "residents.find_none")
	return a.show(c, fiber.StatusNotFound, v)
}
