package app

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
)

// ofOrganisation makes the base of one of an organisation's pages; tab is a key
// below "org_tab.".
func (a *App) ofOrganisation(c *fiber.Ctx, tab, path string) (pages.OfOrganisation, error) {
	org, p := organisationOf(c), principalOf(c)
	f, err := a.form(c, "/organisations/"+org.ID+path)
	if err != nil {
		return pages.OfOrganisation{}, err
	}
	own := p.Role == accounts.Provider
	return pages.OfOrganisation{
		Form: f, Org: org.ID, Kind: string(org.Kind), Status: string(org.Status), OrgName: text(org.Name, org.NameEN), Tab: tab,
		Owns: p.Role == accounts.Admin || own && p.May(accounts.ToOwn), Edits: p.Role == accounts.Admin || own && p.May(accounts.ToRun), Decides: p.Role == accounts.Admin,
	}, nil
}

func (a *App) showOwnOrganisation(c *fiber.Ctx) error {
	return to(c, "/organisations/"+principalOf(c).Organisation, "")
}

func (a *App) peoplePage(c *fiber.Ctx) (pages.People, error) {
	base, err := a.ofOrganisation(c, "people", "/people")
	if err != nil {
		return pages.People{}, err
	}
	v := pages.People{OfOrganisation: base}
	list, next, err := a.Accounts.Members(c.UserContext(), base.Org, c.Query("after"), rowsPerPage)
	if err != nil {
		return v, err
	}
	for _, x := range list {
		v.Rows = append(v.Rows, personRow(c, x))
	}
	v.Next = nextLink("/organisations/"+base.Org+"/people", next)
	return v, nil
}

func personRow(c *fiber.Ctx, x *accounts.Account) pages.PersonRow {
	return pages.PersonRow{ID: x.ID, Name: x.DisplayName, Username: x.Username, Duty: string(x.Duty), Disabled: x.Disabled, Self: x.ID == principalOf(c).Account}
}

func (a *App) showPeople(c *fiber.Ctx) error {
	v, err := a.peoplePage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// savePerson shows the first password in its answer, this once.
func (a *App) savePerson(c *fiber.Ctx) error {
	v, err := a.peoplePage(c)
	if err != nil {
		return err
	}
	account, password, err := a.addPerson(c, personRequest{
		Username: v.Value("username"), DisplayName: v.Value("display_name"), Duty: accounts.Duty(v.Value("duty")), Lang: langOf(c),
	})
	if err != nil {
		status, err := a.refill(c, err, &v.Form, nil, nil)
		if err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	v.Fresh, v.FreshFor, v.Values = password, account.Username, map[string][]string{}
	v.Rows = append(v.Rows, personRow(c, account))
	return a.show(c, fiber.StatusCreated, v)
}

// savePersonChanged does the one thing that a row's button says: a duty, shut
// out, let in, or a new password, which its answer shows this once.
func (a *App) savePersonChanged(c *fiber.Ctx) error {
	v, err := a.peoplePage(c)
	if err != nil {
		return err
	}
	var in personChange
	switch v.Value("do") {
	case "duty":
		in.Duty = new(accounts.Duty(v.Value("duty")))
	case "disable":
		in.Disabled = new(true)
	case "enable":
		in.Disabled = new(false)
	case "password":
		in.NewPassword = true
	default:
		return faultRequest
	}
	account, password, err := a.alterPerson(c, in)
	if err != nil {
		status, err := a.refill(c, err, &v.Form, nil, nil)
		if err != nil {
			return err
		}
		for _, e := range v.Errors { // a row has no place for it
			v.Failure = e
		}
		v.Errors, v.Values = nil, map[string][]string{}
		return a.show(c, status, v)
	}
	if account.ID == principalOf(c).Account && !in.NewPassword && account.Duty != accounts.Owner {
		return to(c, "/", "") // one's own sessions have ended
	}
	v.Values = map[string][]string{}
	if i := slices.IndexFunc(v.Rows, func(r pages.PersonRow) bool { return r.ID == account.ID }); i >= 0 {
		v.Rows[i] = personRow(c, account)
	}
	if password == "" {
		return to(c, "/organisations/"+v.Org+"/people", "person")
	}
	v.Fresh, v.FreshFor = password, account.Username
	return a.show(c, fiber.StatusOK, v)
}
