package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/providers"
)

func (a *App) joinPage(c *fiber.Ctx) (pages.Join, error) {
	f, err := a.form(c, "/join")
	if err != nil {
		return pages.Join{}, err
	}
	v := pages.Join{Form: f}
	for _, county := range a.Tree().Counties() {
		v.Divisions = append(v.Divisions, a.below(county, regions.Town)...)
	}
	return v, nil
}

func (a *App) showJoin(c *fiber.Ctx) error {
	v, err := a.joinPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveJoin(c *fiber.Ctx) error {
	v, err := a.joinPage(c)
	if err != nil {
		return err
	}
	org, err := a.join(c, providers.NewOrganisation{
		Name: v.Value("name"), NameEN: v.Value("name_en"), Kind: providers.Kind(v.Value("kind")),
		CreditCode: v.Value("credit_code"), Division: v.Value("division"), Contact: v.Value("contact"),
	}, accounts.NewAccount{
		Username: v.Value("username"), Password: c.FormValue("password"), DisplayName: v.Value("display_name"), Lang: langOf(c),
	})
	if err != nil {
		status, err := a.refill(c, err, &v.Form, nil, nil)
		if err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	concerns(c, org.ID, "", org.Division)
	return to(c, "/signin", "joined")
}

func (a *App) showOrganisations(c *fiber.Ctx) error {
	v, err := a.organisationsPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) organisationsPage(c *fiber.Ctx) (pages.Organisations, error) {
	f, err := a.form(c, "/organisations")
	if err != nil {
		return pages.Organisations{}, err
	}
	status := providers.Status(c.Query("status"))
	switch status {
	case "", providers.Pending, providers.Approved, providers.Suspended:
	default:
		return pages.Organisations{}, faultNotFound
	}
	list, next, err := a.Providers.List(c.UserContext(), status, c.Query("after"), rowsPerPage)
	if err != nil {
		return pages.Organisations{}, err
	}
	v := pages.Organisations{Form: f, Status: string(status), Next: nextLink("/organisations", next, "status", string(status))}
	for _, o := range list {
		if !principalOf(c).Sees(o.Division) {
			continue
		}
		row := pages.OrganisationRow{
			ID: o.ID, Kind: string(o.Kind), Status: string(o.Status), CreditCode: o.CreditCode, Place: a.placeName(o.Division),
			Contact: o.Contact, Name: text(o.Name, o.NameEN), CreatedMs: o.CreatedMs,
		}
		if n := len(o.Decisions); n > 0 {
			row.Note = o.Decisions[n-1].Note
		}
		v.Rows = append(v.Rows, row)
	}
	return v, nil
}

func (a *App) saveDecision(c *fiber.Ctx) error {
	status := providers.Status(typed(c.FormValue("status")))
	if _, err := a.Providers.Decide(c.UserContext(), principalOf(c).Account, organisationOf(c).ID, status, typed(c.FormValue("note"))); err != nil {
		v, pageErr := a.organisationsPage(c)
		if pageErr != nil {
			return pageErr
		}
		code, err := a.refill(c, err, &v.Form, nil, nil)
		if err != nil {
			return err
		}
		if why := v.Errors["note"]; why != "" { // said above: there is a form for each row
			v.Failure = organisationOf(c).Name + "：" + why
			if langOf(c) == pages.English {
				v.Failure = organisationOf(c).Name + ": " + why
			}
		}
		return a.show(c, code, v)
	}
	return to(c, "/organisations", "decision")
}
