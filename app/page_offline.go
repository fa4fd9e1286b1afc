package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
)

// offlinePageRoutes is the page for work without a network, and what it asks
// when its session is gone.
func offlinePageRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/offline", Name: "showOffline", Kind: Page, Handler: (*App).showOffline, Shell: true,
			Roles: caseworkers, ZH: "离线工作页", EN: "Page for work without a network"},
		{Method: fiber.MethodGet, Path: apiPrefix + "/devices/:id/standing", Name: "getStanding", Kind: API, Handler: (*App).getStanding, Public: true,
			ZH: "设备是否仍有效；无需登录，名单据此自毁", EN: "Whether a device still counts: asked without a session, so that one that was shut out destroys its list", Response: standingView{}},
	}
}

func (a *App) showOffline(c *fiber.Ctx) error {
	page, err := a.page(c, "/offline")
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.Offline{Page: page, Categories: scanCategories(), Groups: groupChoices()})
}

type standingView struct {
	Stands bool `json:"stands" description:"False once the device was reported lost or its account disabled."`
}

// getStanding answers a device whose session has ended: its random id is what
// it knows of itself, and the answer is one bit. It is how a list is destroyed
// on the phone of an account that was disabled and cannot sign in any more.
func (a *App) getStanding(c *fiber.Ctx) error {
	d, err := a.Care.Device(c.UserContext(), c.Params("id"))
	if err != nil {
		return err
	}
	account, err := a.Accounts.Get(c.UserContext(), d.Account)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return c.JSON(standingView{d.State == care.DeviceActive && err == nil && !account.Disabled})
}
