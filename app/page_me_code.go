package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
)

// showMyCode is where a resident shows the code. It is the same for everybody
// but for the language: see screenRoutes.
func (a *App) showMyCode(c *fiber.Ctx) error {
	plain := c.Query("plain") == "1"
	if plain {
		switch principalOf(c).Role {
		case "":
			return a.toSignin(c, routeOf(c))
		case accounts.Resident:
		default:
			return faultRole
		}
		if _, err := a.shownCode(c); err != nil {
			return err // a picture could not say why it is missing
		}
	}
	page, err := a.page(c, "/me/code")
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.MyCode{Page: page.AsShell(), Elder: c.Query("elder") == "1", Plain: plain})
}
