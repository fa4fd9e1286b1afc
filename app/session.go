package app

import (
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/settings"
)

// Names of our cookies.
const (
	cookieSecure = "__Host-happycode" // browsers take it over HTTPS only, for this host only
	cookiePlain  = "happycode"        // for trying out over plain HTTP
	cookieLang   = "happycode-lang"
)

func (a *App) secureCookies(c *fiber.Ctx) bool {
	switch a.Settings.SecureCookies {
	case settings.CookiesOn:
		return true
	case settings.CookiesOff:
		return false
	}
	return a.https(c)
}

func (a *App) cookieName(c *fiber.Ctx) string {
	if a.secureCookies(c) {
		return cookieSecure
	}
	return cookiePlain
}

// setSession gives the browser the cookie of a session that has just begun.
func (a *App) setSession(c *fiber.Ctx, value string) {
	c.Cookie(&fiber.Cookie{
		Name: a.cookieName(c), Value: value, Path: "/", HTTPOnly: true, Secure: a.secureCookies(c),
		SameSite: fiber.CookieSameSiteStrictMode, MaxAge: int(a.Settings.SessionTTL / time.Second),
	})
}

// dropSession ends the session of the request, in the record and in the
// browser.
func (a *App) dropSession(c *fiber.Ctx) error {
	if value := c.Cookies(a.cookieName(c)); value != "" {
		if err := a.Accounts.SignOut(c.UserContext(), value); err != nil {
			return err
		}
	}
	c.Cookie(&fiber.Cookie{
		Name: a.cookieName(c), Path: "/", HTTPOnly: true, Secure: a.secureCookies(c),
		SameSite: fiber.CookieSameSiteStrictMode, Expires: time.Unix(1, 0),
	})
	return nil
}

// setLang keeps a language: with the account when somebody is signed in, and
// in the browser. Errors: accounts.FieldError for an unknown one.
func (a *App) setLang(c *fiber.Ctx, lang string) error {
	p := principalOf(c)
	if p.Role == "" {
		if lang != "zh" && lang != "en" {
			return faultField.with(fieldFault{"lang", words{"语言应为 zh 或 en。", "The language is zh or en."}})
		}
	} else if err := a.Accounts.SetLang(c.UserContext(), p, lang); err != nil {
		return err
	}
	if !p.Token {
		c.Cookie(&fiber.Cookie{
			Name: cookieLang, Value: lang, Path: "/", Secure: a.secureCookies(c), HTTPOnly: true,
			SameSite: fiber.CookieSameSiteLaxMode, MaxAge: 365 * 24 * 60 * 60,
		})
	}
	return nil
}

// visitorLang is the language of one who is not signed in: asked for in the
// address, chosen before, what the browser or program prefers, the setting.
func (a *App) visitorLang(c *fiber.Ctx) string {
	for _, l := range []string{c.Query("lang"), c.Cookies(cookieLang)} {
		if l == "zh" || l == "en" {
			return strings.Clone(l)
		}
	}
	if c.Get(fiber.HeaderAcceptLanguage) != "" {
		switch l := c.AcceptsLanguages("zh", "zh-CN", "zh-Hans", "en", "en-US", "en-GB"); {
		case strings.HasPrefix(l, "en"):
			return "en"
		case strings.HasPrefix(l, "zh"):
			return "zh"
		}
	}
	return a.Settings.Lang
}
