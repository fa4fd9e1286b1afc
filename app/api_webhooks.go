package app

import (
	"cmp"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/webhooks"
)

// hookRoutes are webhooks, those of administrators and those of organisations:
// their API and their page.
func hookRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind, r.Roles = apiPrefix+r.Path, API, givers; return r }
	page := func(r Route) Route { r.Kind, r.Roles = Page, givers; return r }
	return []Route{
		api(Route{Method: "POST", Path: "/webhooks", Name: "createWebhook", Handler: (*App).createWebhook, Purpose: "create_webhook",
			ZH: "新建事件推送，密钥仅显示一次", EN: "Make a webhook; its secret is shown once", Request: hookRequest{}, Response: hookCreated{}, Status: 201}),
		api(Route{Method: "GET", Path: "/webhooks", Name: "listWebhooks", Handler: (*App).listWebhooks,
			ZH: "事件推送列表", EN: "List webhooks", Response: list[hookView]{}}),
		api(Route{Method: "PATCH", Path: "/webhooks/:id", Name: "switchWebhook", Handler: (*App).switchWebhook, Scope: ScopeWebhook, Purpose: "switch_webhook",
			ZH: "停用或启用事件推送", EN: "Turn a webhook off or on", Request: hookSwitch{}, Response: hookView{}}),
		api(Route{Method: "GET", Path: "/webhooks/:id/deliveries", Name: "listDeliveries", Handler: (*App).listDeliveries, Scope: ScopeWebhook,
			ZH: "推送记录，新的在前", EN: "What was sent, newest first", Query: pageQuery{}, Response: list[deliveryView]{}}),
		api(Route{Method: "POST", Path: "/webhooks/:id/replay", Name: "replayWebhook", Handler: (*App).replayWebhook, Scope: ScopeWebhook, Purpose: "replay_webhook",
			ZH: "从事件台账重新推送", EN: "Send again what the event list has since a time", Request: hookReplay{}, Response: hookReplayed{}}),
		api(Route{Method: "POST", Path: "/webhooks/:id/deliveries/:delivery/again", Name: "resendDelivery", Handler: (*App).resendDelivery, Scope: ScopeWebhook, Purpose: "replay_webhook",
			ZH: "重新推送一条", EN: "Send one delivery again", Response: deliveryView{}}),

		page(Route{Method: "GET", Path: "/webhooks", Name: "showWebhooks", Handler: (*App).showWebhooks,
			ZH: "事件推送", EN: "Webhooks"}),
		page(Route{Method: "POST", Path: "/webhooks", Name: "saveWebhook", Handler: (*App).saveWebhook, Purpose: "create_webhook",
			ZH: "新建事件推送", EN: "Make a webhook"}),
		page(Route{Method: "GET", Path: "/webhooks/:id", Name: "showWebhook", Handler: (*App).showWebhook, Scope: ScopeWebhook,
			ZH: "推送记录", EN: "What a webhook was sent"}),
		page(Route{Method: "POST", Path: "/webhooks/:id/switch", Name: "saveWebhookSwitched", Handler: (*App).saveWebhookSwitched, Scope: ScopeWebhook, Purpose: "switch_webhook",
			ZH: "停用或启用事件推送", EN: "Turn a webhook off or on"}),
		page(Route{Method: "POST", Path: "/webhooks/:id/replay", Name: "saveWebhookReplay", Handler: (*App).saveWebhookReplay, Scope: ScopeWebhook, Purpose: "replay_webhook",
			ZH: "从事件台账重新推送", EN: "Send again what the event list has since a time"}),
		page(Route{Method: "POST", Path: "/webhooks/:id/deliveries/:delivery/again", Name: "saveDeliveryAgain", Handler: (*App).saveDeliveryAgain, Scope: ScopeWebhook, Purpose: "replay_webhook",
			ZH: "重新推送一条", EN: "Send one delivery again"}),
	}
}

// hookOf is the webhook of a route with ScopeWebhook, already checked.
func hookOf(c *fiber.Ctx) *webhooks.Hook { return c.Locals(localHook).(*webhooks.Hook) }

type hookRequest struct {
	URL      string   `json:"url" required:"true" format:"uri" description:"Begins with https://; public addresses only, unless the operator allows others."`
	Label    string   `json:"label,omitempty" maxLength:"60"`
	Kinds    []string `json:"kinds,omitempty" description:"Kinds of events; none: all."`
	Division string   `json:"division,omitempty" description:"12-digit code: events of it and below. Empty: one's own. Not for providers, who are told of what becomes of their offers, wherever."`
}

type hookView struct {
	ID           string   `json:"id"`
	URL          string   `json:"url"`
	Label        string   `json:"label"`
	Kinds        []string `json:"kinds"`
	Division     string   `json:"division"`
	Organisation string   `json:"organisation" description:"Whose it is; empty: an administrator's."`
	Active       bool     `json:"active"`
	Why          string   `json:"why" enum:",off,gone,failing" description:"Why it is not active: turned off, it answered 410, it took nothing for three days."`
	CreatedMs    int64    `json:"created_ms"`
	FailingMs    int64    `json:"failing_ms" description:"Since when nothing was taken; 0: the last was."`
	LastMs       int64    `json:"last_ms" description:"When something was last taken; 0: never."`
}

type hookCreated struct {
	Secret string   `json:"secret" description:"Signs every delivery (Standard Webhooks); it is not shown again."`
	Hook   hookView `json:"hook"`
}

type hookSwitch struct {
	Active *bool `json:"active" required:"true"`
}

type deliveryView struct {
	ID     string         `json:"id" description:"The header webhook-id."`
	Kind   string         `json:"kind"`
	State  webhooks.State `json:"state" enum:"pending,taken,failed"`
	AtMs   int64          `json:"at_ms"`
	Tries  int            `json:"tries"`
	NextMs int64          `json:"next_ms" description:"When it is tried again, while it is pending."`
	LastMs int64          `json:"last_ms"`
	Status int            `json:"status" description:"Of the last answer; 0: there was none."`
	Fault  string         `json:"fault" description:"Why there was none: refused_address, timeout, unreachable or secret."`
}

func viewHook(h *webhooks.Hook) hookView {
	kinds := h.Kinds
	if kinds == nil {
		kinds = []string{}
	}
	return hookView{h.ID, h.URL, h.Label, kinds, h.Division, h.Organisation, h.Active, h.Why, h.CreatedMs, h.FailingMs, h.LastMs}
}

func viewDelivery(d *webhooks.Delivery) deliveryView {
	return deliveryView{d.ID, d.Kind, d.State, d.AtMs, d.Tries, d.NextMs, d.LastMs, d.Status, d.Fault}
}

// addHook makes a webhook within the administrator's responsibility, or one of
// the provider's own organisation.
func (a *App) addHook(c *fiber.Ctx, n webhooks.NewHook) (*webhooks.Hook, string, error) {
	p := principalOf(c)
	if p.Role == accounts.Provider {
		if n.Division != "" {
			return nil, "", faultField.with(fieldFault{"division", words{"资源方的推送不分区划，请清空此项", "a provider's webhook has no division: leave it empty"}})
		}
		org, err := a.Providers.Get(c.UserContext(), p.Organisation)
		if err != nil {
			return nil, "", err
		}
		n.Division, n.Organisation = org.Division, org.ID
	} else {
		n.Division = cmp.Or(n.Division, p.Division)
		if err := a.within(p, n.Division); err != nil {
			return nil, "", err
		}
	}
	h, secret, err := a.Webhooks.Create(c.UserContext(), p.Account, n)
	if err != nil {
		return nil, "", err
	}
	concerns(c, h.ID, "", h.Division)
	return h, secret, nil
}

// ownHooks are those that an administrator answers for, or the organisation's.
func (a *App) ownHooks(c *fiber.Ctx) ([]*webhooks.Hook, error) {
	if p := principalOf(c); p.Role == accounts.Provider {
		return a.Webhooks.OfOrganisation(c.UserContext(), p.Organisation)
	}
	all, err := a.Webhooks.List(c.UserContext())
	if err != nil {
		return nil, err
	}
	var out []*webhooks.Hook
	for _, h := range all {
		if principalOf(c).Sees(h.Division) {
			out = append(out, h)
		}
	}
	return out, nil
}

func (a *App) createWebhook(c *fiber.Ctx) error {
	in, err := decode[hookRequest](c)
	if err != nil {
		return err
	}
	h, secret, err := a.addHook(c, webhooks.NewHook{URL: in.URL, Label: in.Label, Kinds: in.Kinds, Division: in.Division})
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(hookCreated{secret, viewHook(h)})
}

func (a *App) listWebhooks(c *fiber.Ctx) error {
	mine, err := a.ownHooks(c)
	if err != nil {
		return err
	}
	return c.JSON(listed(mine, "", viewHook))
}

func (a *App) switchWebhook(c *fiber.Ctx) error {
	in, err := decode[hookSwitch](c)
	if err != nil {
		return err
	}
	if in.Active == nil {
		return faultField.with(fieldFault{"active", words{"请填写 true 或 false", "write true or false"}})
	}
	h, err := a.Webhooks.Switch(c.UserContext(), hookOf(c).ID, *in.Active)
	if err != nil {
		return err
	}
	return c.JSON(viewHook(h))
}

func (a *App) listDeliveries(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Webhooks.Deliveries(c.UserContext(), hookOf(c).ID, q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, viewDelivery))
}

type hookReplay struct {
	FromMs int64 `json:"from_ms" required:"true" description:"Since when, at most 30 days ago."`
}

type hookReplayed struct {
	Sent   int   `json:"sent" required:"true"`
	MoreMs int64 `json:"more_ms" required:"true" description:"Give it as from_ms to go on; 0: that was all."`
}

type deliveryPath struct {
	Delivery string `path:"delivery" required:"true"`
}

func (a *App) replayWebhook(c *fiber.Ctx) error {
	in, err := decode[hookReplay](c)
	if err != nil {
		return err
	}
	n, more, err := a.Webhooks.Replay(c.UserContext(), hookOf(c).ID, in.FromMs)
	if err != nil {
		return err
	}
	return c.JSON(hookReplayed{n, more})
}

func (a *App) resendDelivery(c *fiber.Ctx) error {
	d, err := a.Webhooks.Again(c.UserContext(), hookOf(c).ID, c.Params("delivery"))
	if err != nil {
		return err
	}
	return c.JSON(viewDelivery(d))
}
