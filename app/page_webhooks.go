package app

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/webhooks"
)

func (a *App) hooksPage(c *fiber.Ctx) (pages.Webhooks, error) {
	f, err := a.form(c, "/webhooks")
	if err != nil {
		return pages.Webhooks{}, err
	}
	own := principalOf(c).Role == accounts.Provider
	v := pages.Webhooks{Form: f, Own: own}
	if !own {
		v.Divisions = a.below(principalOf(c).Division, regions.Town)
	}
	for _, k := range care.Kinds() {
		if own && (strings.HasPrefix(k, "offer.") || strings.HasPrefix(k, "allocation.")) || !own && !strings.HasPrefix(k, "offer.") || !own && (k == care.KindMovedOut || k == care.KindMovedIn) { // the others are about no place
			v.Kinds = append(v.Kinds, pages.Choice{Value: k, Text: kindText(k)})
		}
	}
	mine, err := a.ownHooks(c)
	if err != nil {
		return v, err
	}
	for _, h := range mine {
		v.Rows = append(v.Rows, a.hookRow(h))
	}
	return v, nil
}

func kindText(kind string) pages.Text {
	t := care.KindText(kind)
	return text(t.ZH, t.EN)
}

func (a *App) hookRow(h *webhooks.Hook) pages.HookRow {
	r := pages.HookRow{ID: h.ID, URL: h.URL, Label: h.Label, Place: a.placeName(h.Division), Active: h.Active, Why: h.Why, FailingMs: h.FailingMs, LastMs: h.LastMs}
	for _, k := range h.Kinds {
		r.Kinds = append(r.Kinds, kindText(k))
	}
	return r
}

func (a *App) showWebhooks(c *fiber.Ctx) error {
	v, err := a.hooksPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveWebhook shows the new secret in its answer, this once.
func (a *App) saveWebhook(c *fiber.Ctx) error {
	v, err := a.hooksPage(c)
	if err != nil {
		return err
	}
	h, secret, err := a.addHook(c, webhooks.NewHook{URL: v.Value("url"), Label: v.Value("label"), Kinds: slices.Clone(v.Values["kinds"]), Division: v.Value("division")})
	if err != nil {
		status, err := a.refill(c, err, &v.Form, nil, nil)
		if err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	v.Fresh, v.Values = secret, map[string][]string{}
	v.Rows = append(v.Rows, a.hookRow(h))
	return a.show(c, fiber.StatusCreated, v)
}

func (a *App) showWebhook(c *fiber.Ctx) error {
	v, err := a.hookPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) hookPage(c *fiber.Ctx) (pages.Webhook, error) {
	h := hookOf(c)
	f, err := a.form(c, "/webhooks/"+h.ID)
	if err != nil {
		return pages.Webhook{}, err
	}
	v := pages.Webhook{Form: f, HookRow: a.hookRow(h)}
	page, next, err := a.Webhooks.Deliveries(c.UserContext(), h.ID, c.Query("after"), rowsPerPage)
	if err != nil {
		return v, err
	}
	for _, d := range page {
		v.Deliveries = append(v.Deliveries, pages.DeliveryRow{
			ID: d.ID, Kind: kindText(d.Kind), State: string(d.State), AtMs: d.AtMs, LastMs: d.LastMs, NextMs: d.NextMs, Tries: d.Tries, Status: d.Status, Fault: d.Fault,
		})
	}
	v.Next = nextLink("/webhooks/"+h.ID, next)
	return v, nil
}

// saveWebhookReplay goes on until everything since the time is on its way.
func (a *App) saveWebhookReplay(c *fiber.Ctx) error {
	v, err := a.hookPage(c)
	if err != nil {
		return err
	}
	from, ok := moment(v.Value("from"))
	if !ok {
		wrong(&v.Form, "from", "form.date")
		return a.show(c, fiber.StatusBadRequest, v)
	}
	for from > 0 {
		next := int64(0)
		if _, next, err = a.Webhooks.Replay(c.UserContext(), hookOf(c).ID, from); err != nil {
			status, err := a.refill(c, err, &v.Form, map[string]string{"from_ms": "from", "active": "from"}, nil)
			if err != nil {
				return err
			}
			return a.show(c, status, v)
		}
		if next == from {
			break // as many events in one millisecond as one replay reads
		}
		from = next
	}
	return to(c, "/webhooks/"+hookOf(c).ID, "replay")
}

func (a *App) saveDeliveryAgain(c *fiber.Ctx) error {
	if _, err := a.Webhooks.Again(c.UserContext(), hookOf(c).ID, c.Params("delivery")); err != nil {
		return err
	}
	return to(c, "/webhooks/"+hookOf(c).ID, "again")
}

func (a *App) saveWebhookSwitched(c *fiber.Ctx) error {
	h := hookOf(c)
	if _, err := a.Webhooks.Switch(c.UserContext(), h.ID, c.FormValue("active") == "true"); err != nil {
		return err
	}
	return to(c, "/webhooks/"+h.ID, "")
}
