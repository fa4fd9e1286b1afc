package app

import (
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/qrcode"
)

func (a *App) showSignin(c *fiber.Ctx) error {
	if signedIn(c) {
		return to(c, "/", "")
	}
	f, err := a.form(c, "/signin")
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.SignIn{Form: f, Next: localPath(c.Query("next"))})
}

// saveSignin signs staff in by account and password, and residents by card
// number and PIN, for those whose browser runs no scripts.
func (a *App) saveSignin(c *fiber.Ctx) error {
	f, err := a.form(c, "/signin")
	if err != nil {
		return err
	}
	next := localPath(f.Value("next"))
	name, secret := f.Value("username"), c.FormValue("password")
	if old := c.Cookies(a.cookieName(c)); old != "" {
		if err := a.Accounts.SignOut(c.UserContext(), old); err != nil {
			return err
		}
	}
	if card := strings.ReplaceAll(name, " ", ""); qrcode.ValidCardNumber(card) {
		var p accounts.Principal
		if p, err = a.signInResident(c, card, secret); err == nil {
			if next != "/me/code" {
				next = ownPath(p)
			}
			return to(c, next, "")
		}
	} else {
		var cookie string
		if cookie, _, err = a.Accounts.SignIn(c.UserContext(), name, secret, a.network(c)); err == nil {
			a.setSession(c, cookie)
			return to(c, next, "")
		}
	}
	switch {
	case errors.Is(err, accounts.ErrLocked):
		f.Failure = f.T("signin.locked")
	case guessed(err):
		f.Failure = f.T("signin.failed")
	default:
		return err
	}
	a.limits.failed(LimitSignin, a.limitKeys(c)...)
	return a.show(c, fiber.StatusUnauthorized, pages.SignIn{Form: f, Next: next})
}

func (a *App) saveSignout(c *fiber.Ctx) error {
	if err := a.dropSession(c); err != nil {
		return err
	}
	return to(c, "/signin", "signed_out")
}

// showCode is what a scanned code opens. It is the same for everybody: the
// code stands in the fragment, which does not come here.
func (a *App) showCode(c *fiber.Ctx) error {
	return a.show(c, fiber.StatusOK, a.site.Code())
}
