package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
)

// offlinePageRoutes is the page for work without a network.
func offlinePageRoutes() []Route {
	return []Route{{
		Method: fiber.MethodGet, Path: "/offline", Name: "showOffline", Kind: Page, Handler: (*App).showOffline,
		Roles: []accounts.Role{accounts.Admin, accounts.Caseworker}, ZH: "离线工作页", EN: "Page for work without a network",
	}}
}

// showOffline sends the shell, which holds nothing of the one who asks:
// browsers keep it.
func (a *App) showOffline(c *fiber.Ctx) error {
	return a.show(c, fiber.StatusOK, a.site.Offline(langOf(c), scanCategories(), groupChoices()))
}
