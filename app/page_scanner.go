package app

import (
	"errors"
	"io/fs"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
)

// serveWorker serves the service worker. Its address stays the same, so the
// browser asks for it anew each time.
func (a *App) serveWorker(c *fiber.Ctx) error { return a.serveBuilt(c, "sw.js") }

// serveManifest serves what the browser installs.
func (a *App) serveManifest(c *fiber.Ctx) error { return a.serveBuilt(c, "app.webmanifest") }

func (a *App) serveBuilt(c *fiber.Ctx, name string) error {
	asset, err := a.site.Assets().OpenSource(name)
	if errors.Is(err, fs.ErrNotExist) {
		return faultNotFound // there was no build
	}
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, asset.Type)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	return c.Send(asset.Body)
}

// showStart leads whoever opens the installed app to what they do with it:
// scan, or show their code. Without a network the service worker does.
func (a *App) showStart(c *fiber.Ctx) error {
	switch principalOf(c).Role {
	case accounts.Caseworker, accounts.Admin:
		return to(c, "/scan", "")
	case accounts.Resident:
		return to(c, "/me/code", "")
	case accounts.Provider:
		return to(c, "/counter", "")
	}
	return c.Redirect("/signin?next=%2Fstart", fiber.StatusSeeOther)
}

// showUnreachable is kept by the device before anybody signs in, and names
// nobody whoever asks for it.
func (a *App) showUnreachable(c *fiber.Ctx) error {
	page := a.site.Page(langOf(c), pages.User{}, "", "/unreachable").AsShell()
	return a.show(c, fiber.StatusOK, pages.Unreachable{Page: page})
}

// saveScanPhoto scans the code in a photo, for browsers without scripts.
func (a *App) saveScanPhoto(c *fiber.Ctx) error {
	code, err := a.photographed(c)
	if err == nil {
		return a.scanTyped(c, code)
	}
	f := faultOf(err)
	if f != faultNoCode && f != faultPicture && f != faultPhotoLarge && f != faultTooLarge && f.code != faultField.code {
		return err
	}
	v, failed := a.scanPage(c)
	if failed != nil {
		return failed
	}
	p := a.problemOf(c, err)
	v.Errors["file"] = p.Detail
	return a.show(c, p.Status, v)
}
