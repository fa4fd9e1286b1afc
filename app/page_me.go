package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/providers"
)

// mePage is the resident's own page.
func (a *App) mePage(c *fiber.Ctx) (pages.Me, error) {
	ctx := c.UserContext()
	r, err := a.Residents.Get(ctx, principalOf(c).Resident)
	if err != nil {
		return pages.Me{}, err
	}
	person, err := a.Residents.Open(ctx, r)
	if err != nil {
		return pages.Me{}, err
	}
	f, err := a.needForm(c, "/me")
	if err != nil {
		return pages.Me{}, err
	}
	pin, err := a.form(c, "/me")
	if err != nil {
		return pages.Me{}, err
	}
	kept, err := a.codeKept(c, r, "/me", historyOfResident)
	if err != nil {
		return pages.Me{}, err
	}
	v := pages.Me{NeedForm: f, PIN: pin, Kept: kept, ID: r.ID, CardNo: r.CardNo}
	v.User.Name = person.Name
	if v.Promises, v.Needs, err = a.standing(c, r.ID, false, ""); err != nil {
		return v, err
	}
	list, next, err := a.Care.List(ctx, r.ID, c.Query("after"), 200)
	if err != nil {
		return v, err
	}
	v.List, v.Ends = happinessList(list)
	v.Next = nextLink("/me", next)
	v.Views, err = a.looks(c, r.ID)
	return v, err
}

// happinessList groups what was received by kind of aid, and counts it by the
// three ends.
func happinessList(list []care.AllocationView) ([]pages.ListGroup, []pages.EndCount) {
	var groups []pages.ListGroup
	for _, category := range providers.Categories() {
		g := pages.ListGroup{Category: text(category.ZH, category.EN)}
		for _, x := range list {
			if x.Category == category.ID && x.State != care.Promised && x.State != care.Void {
				g.Items = append(g.Items, aidOf(x))
			}
		}
		if len(g.Items) > 0 {
			groups = append(groups, g)
		}
	}
	var ends []pages.EndCount
	for _, kind := range []providers.Kind{providers.Government, providers.Charity, providers.Enterprise} {
		n := 0
		for _, x := range list {
			if x.ProviderKind == kind && x.State == care.HandedOver {
				n++
			}
		}
		ends = append(ends, pages.EndCount{Kind: string(kind), Count: n})
	}
	return groups, ends
}

func (a *App) showMe(c *fiber.Ctx) error {
	v, err := a.mePage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveMyNeed(c *fiber.Ctx) error {
	p := principalOf(c)
	f, err := a.needForm(c, "/me")
	if err != nil {
		return err
	}
	status, err := a.addNeed(c, &f, p.Resident, "resident")
	if err != nil {
		return err
	}
	concerns(c, p.Resident, p.Resident, "")
	if status == 0 {
		return to(c, "/me", "need")
	}
	v, err := a.mePage(c)
	if err != nil {
		return err
	}
	f.User = v.User
	v.NeedForm = f
	return a.show(c, status, v)
}

// saveMyPIN changes the PIN of a resident who knows the old one. All other
// sessions end; this browser gets a new one.
func (a *App) saveMyPIN(c *fiber.Ctx) error {
	ctx, p := c.UserContext(), principalOf(c)
	failed := a.hashed(ctx, func() error {
		return a.Residents.ChangePIN(ctx, p.Resident, typed(c.FormValue("old_pin")), typed(c.FormValue("pin")))
	})
	if failed != nil {
		v, err := a.mePage(c)
		if err != nil {
			return err
		}
		status, err := a.refill(c, failed, &v.PIN, nil, nil)
		if err != nil {
			return err
		}
		if guessed(failed) {
			wrong(&v.PIN, "old_pin", "me.pin_wrong")
		}
		return a.show(c, status, v)
	}
	if err := a.Accounts.SignOutResident(ctx, p.Resident); err != nil {
		return err
	}
	cookie, _, err := a.Accounts.ResidentSession(ctx, p.Resident, langOf(c))
	if err != nil {
		return err
	}
	a.setSession(c, cookie)
	concerns(c, p.Resident, p.Resident, p.Division)
	return top(c, to(c, "/me", "my_pin"))
}

func (a *App) saveAccepted(c *fiber.Ctx) error {
	x := allocationOf(c)
	if _, err := a.Care.Accept(c.UserContext(), principalOf(c), x.ID); err != nil {
		return err
	}
	return to(c, personPath(c, x.Resident), "accepted")
}

func (a *App) saveDeclined(c *fiber.Ctx) error {
	x := allocationOf(c)
	page := a.site.Page(langOf(c), pages.User{}, "", "")
	reason := ""
	for _, known := range page.DeclineReasons() {
		if c.FormValue("reason") == known {
			reason = page.T("decline." + known)
		}
	}
	if _, err := a.Care.Decline(c.UserContext(), principalOf(c), x.ID, reason); err != nil {
		return err
	}
	return to(c, personPath(c, x.Resident), "declined")
}
