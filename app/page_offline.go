package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
)

// offlinePageRoutes is the page for work without a network.
func offlinePageRoutes() []Route {
	return []Route{{
		Method: fiber.MethodGet, Path: "/offline", Name: "showOffline", Kind: Page, Handler: (*App).showOffline, Shell: true,
		Roles: []accounts.Role{accounts.Admin, accounts.Caseworker}, ZH: "离线工作页", EN: "Page for work without a network",
	}}
}

func (a *App) showOffline(c *fiber.Ctx) error {
	page, err := a.page(c, "/offline")
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.Offline{Page: page, Categories: scanCategories(), Groups: groupChoices()})
}
