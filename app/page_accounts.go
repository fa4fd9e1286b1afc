package app

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
)

// where names what an account or token answers for.
func (a *App) where(c *fiber.Ctx, names organisationNames, division, organisation string) (string, error) {
	if organisation != "" {
		return a.organisationName(c, names, organisation)
	}
	return a.placeName(division), nil
}

// rights reads role, division and organisation of a form: providers have an
// organisation, the others a division.
func rights(f *pages.Form) (role accounts.Role, division, organisation string) {
	role = accounts.Role(f.Value("role"))
	if role == accounts.Provider {
		return role, "", f.Value("organisation")
	}
	return role, f.Value("division"), ""
}

func (a *App) accountsPage(c *fiber.Ctx) (pages.Accounts, error) {
	f, err := a.form(c, "/accounts")
	if err != nil {
		return pages.Accounts{}, err
	}
	v := pages.Accounts{Form: f, Divisions: a.below(principalOf(c).Division, regions.Village)}
	if v.Organisations, err = a.organisationChoicesOrNone(c); err != nil {
		return v, err
	}
	list, next, err := a.Accounts.List(c.UserContext(), c.Query("after"), rowsPerPage)
	if err != nil {
		return v, err
	}
	mine, err := overseen(c, a, list, func(x *accounts.Account) (string, string) { return x.Division, x.Organisation })
	if err != nil {
		return v, err
	}
	names := organisationNames{}
	for _, x := range mine {
		row := pages.AccountRow{ID: x.ID, Name: x.DisplayName, Username: x.Username, Role: string(x.Role), Disabled: x.Disabled, Self: x.ID == principalOf(c).Account}
		if row.Name == "" {
			row.Name = x.Username
		}
		if row.Place, err = a.where(c, names, x.Division, x.Organisation); err != nil {
			return v, err
		}
		v.Rows = append(v.Rows, row)
	}
	v.Next = nextLink("/accounts", next)
	return v, nil
}

func (a *App) organisationChoicesOrNone(c *fiber.Ctx) ([]pages.Choice, error) {
	list, err := a.organisationChoices(c)
	return append([]pages.Choice{{Value: "", Text: text("无", "None")}}, list...), err
}

func (a *App) showAccounts(c *fiber.Ctx) error {
	v, err := a.accountsPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveAccount(c *fiber.Ctx) error {
	v, err := a.accountsPage(c)
	if err != nil {
		return err
	}
	in := accounts.NewAccount{
		Username: v.Value("username"), Password: c.FormValue("password"), DisplayName: v.Value("display_name"), Lang: a.Settings.Lang,
	}
	in.Role, in.Division, in.Organisation = rights(&v.Form)
	if in.Role == accounts.Provider && in.Organisation == "" {
		wrong(&v.Form, "organisation", "form.required")
	}
	if in.Role != accounts.Provider && in.Division == "" {
		wrong(&v.Form, "division", "form.required")
	}
	status := fiber.StatusBadRequest
	if len(v.Errors) == 0 {
		_, err := a.addAccount(c, in)
		if err == nil {
			return to(c, "/accounts", "account")
		}
		if status, err = a.refill(c, err, &v.Form, nil, nil); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

func (a *App) saveAccountDisabled(c *fiber.Ctx) error {
	by, id, disabled := principalOf(c).Account, accountOf(c).ID, c.FormValue("disabled") == "true"
	if disabled && id == by {
		return faultRequest
	}
	if err := a.shut(c.UserContext(), by, accountOf(c), disabled, true); err != nil {
		return err
	}
	return to(c, "/accounts", "account_changed")
}

func (a *App) tokensPage(c *fiber.Ctx) (pages.Tokens, error) {
	f, err := a.form(c, "/tokens")
	if err != nil {
		return pages.Tokens{}, err
	}
	if _, sent := f.Values["days"]; !sent {
		f.Values["days"] = []string{"90"}
	}
	v := pages.Tokens{Form: f, Divisions: a.below(principalOf(c).Division, regions.Village)}
	if v.Organisations, err = a.organisationChoicesOrNone(c); err != nil {
		return v, err
	}
	list, next, err := a.Accounts.Tokens(c.UserContext(), c.Query("after"), rowsPerPage)
	if err != nil {
		return v, err
	}
	mine, err := overseen(c, a, list, func(x *accounts.ServiceToken) (string, string) { return x.Division, x.Organisation })
	if err != nil {
		return v, err
	}
	names := organisationNames{}
	for _, x := range mine {
		row := pages.TokenRow{ID: x.ID, Label: x.Label, Role: string(x.Role), ExpiresMs: x.ExpiresMs, Revoked: x.Revoked}
		if row.Place, err = a.where(c, names, x.Division, x.Organisation); err != nil {
			return v, err
		}
		v.Rows = append(v.Rows, row)
	}
	v.Next = nextLink("/tokens", next)
	return v, nil
}

func (a *App) showTokens(c *fiber.Ctx) error {
	v, err := a.tokensPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveToken shows the new token in its answer, this once: it stands in no
// address and is kept nowhere.
func (a *App) saveToken(c *fiber.Ctx) error {
	v, err := a.tokensPage(c)
	if err != nil {
		return err
	}
	in := accounts.NewToken{Label: v.Value("label")}
	in.Role, in.Division, in.Organisation = rights(&v.Form)
	days := whole(&v.Form, "days")
	if v.Errors["days"] == "" && (days < 1 || days > 365) {
		wrong(&v.Form, "days", "form.number")
	}
	in.TTL = time.Duration(days) * 24 * time.Hour
	if in.Role == accounts.Provider && in.Organisation == "" {
		wrong(&v.Form, "organisation", "form.required")
	}
	if in.Role != accounts.Provider && in.Division == "" {
		wrong(&v.Form, "division", "form.required")
	}
	if len(v.Errors) > 0 {
		return a.show(c, fiber.StatusBadRequest, v)
	}
	token, _, err := a.addToken(c, in)
	if err != nil {
		status, err := a.refill(c, err, &v.Form, map[string]string{"ttl": "days"}, nil)
		if err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	if v, err = a.tokensPage(c); err != nil {
		return err
	}
	v.Values, v.Fresh = map[string][]string{"days": {"90"}}, token
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveTokenRevoked(c *fiber.Ctx) error {
	if err := a.Accounts.RevokeToken(c.UserContext(), principalOf(c).Account, tokenOf(c).ID); err != nil {
		return err
	}
	return to(c, "/tokens", "token_revoked")
}
