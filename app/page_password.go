package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/pages"
)

func (a *App) showPassword(c *fiber.Ctx) error {
	f, err := a.form(c, "/password")
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.Password{Form: f})
}

// savePassword changes one's own password. It is typed twice: a slip would
// shut its owner out.
func (a *App) savePassword(c *fiber.Ctx) error {
	f, err := a.form(c, "/password")
	if err != nil {
		return err
	}
	password, status := c.FormValue("password"), fiber.StatusBadRequest
	if password != c.FormValue("password_again") {
		wrong(&f, "password_again", "password.differs")
	} else if _, err = a.changePassword(c, c.FormValue("current_password"), password); err == nil {
		return to(c, "/password", "password")
	} else if status, err = a.refill(c, err, &f, nil, nil); err != nil {
		return err
	}
	return a.show(c, status, pages.Password{Form: f})
}
