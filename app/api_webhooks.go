package app

import (
	"cmp"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/webhooks"
)

// hookRoutes are webhooks: their API, and the administrators' page of them.
func hookRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind, r.Roles = apiPrefix+r.Path, API, admins; return r }
	page := func(r Route) Route { r.Kind, r.Roles = Page, admins; return r }
	return []Route{
		api(Route{Method: "POST", Path: "/webhooks", Name: "createWebhook", Handler: (*App).createWebhook, Purpose: "create_webhook",
			ZH: "新建事件推送，密钥仅显示一次", EN: "Make a webhook; its secret is shown once", Request: hookRequest{}, Response: hookCreated{}, Status: 201}),
		api(Route{Method: "GET", Path: "/webhooks", Name: "listWebhooks", Handler: (*App).listWebhooks,
			ZH: "事件推送列表", EN: "List webhooks", Response: list[hookView]{}}),
		api(Route{Method: "PATCH", Path: "/webhooks/:id", Name: "switchWebhook", Handler: (*App).switchWebhook, Scope: ScopeWebhook, Purpose: "switch_webhook",
			ZH: "停用或启用事件推送", EN: "Turn a webhook off or on", Request: hookSwitch{}, Response: hookView{}}),
		api(Route{Method: "GET", Path: "/webhooks/:id/deliveries", Name: "listDeliveries", Handler: (*App).listDeliveries, Scope: ScopeWebhook,
			ZH: "推送记录，新的在前", EN: "What was sent, newest first", Query: pageQuery{}, Response: list[deliveryView]{}}),

		page(Route{Method: "GET", Path: "/webhooks", Name: "showWebhooks", Handler: (*App).showWebhooks,
			ZH: "事件推送", EN: "Webhooks"}),
		page(Route{Method: "POST", Path: "/webhooks", Name: "saveWebhook", Handler: (*App).saveWebhook, Purpose: "create_webhook",
			ZH: "新建事件推送", EN: "Make a webhook"}),
		page(Route{Method: "GET", Path: "/webhooks/:id", Name: "showWebhook", Handler: (*App).showWebhook, Scope: ScopeWebhook,
			ZH: "推送记录", EN: "What a webhook was sent"}),
		page(Route{Method: "POST", Path: "/webhooks/:id/switch", Name: "saveWebhookSwitched", Handler: (*App).saveWebhookSwitched, Scope: ScopeWebhook, Purpose: "switch_webhook",
			ZH: "停用或启用事件推送", EN: "Turn a webhook off or on"}),
	}
}

// hookOf is the webhook of a route with ScopeWebhook, already checked.
func hookOf(c *fiber.Ctx) *webhooks.Hook { return c.Locals(localHook).(*webhooks.Hook) }

type hookRequest struct {
	URL      string   `json:"url" required:"true" format:"uri" description:"Begins with https://; public addresses only, unless the operator allows others."`
	Label    string   `json:"label,omitempty" maxLength:"60"`
	Kinds    []string `json:"kinds,omitempty" description:"Kinds of events; none: all."`
	Division string   `json:"division,omitempty" description:"12-digit code: events of it and below. Empty: one's own."`
}

type hookView struct {
	ID        string   `json:"id"`
	URL       string   `json:"url"`
	Label     string   `json:"label"`
	Kinds     []string `json:"kinds"`
	Division  string   `json:"division"`
	Active    bool     `json:"active"`
	Why       string   `json:"why" enum:",off,gone,failing" description:"Why it is not active: turned off, it answered 410, it took nothing for three days."`
	CreatedMs int64    `json:"created_ms"`
	FailingMs int64    `json:"failing_ms" description:"Since when nothing was taken; 0: the last was."`
	LastMs    int64    `json:"last_ms" description:"When something was last taken; 0: never."`
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
	return hookView{h.ID, h.URL, h.Label, kinds, h.Division, h.Active, h.Why, h.CreatedMs, h.FailingMs, h.LastMs}
}

func viewDelivery(d *webhooks.Delivery) deliveryView {
	return deliveryView{d.ID, d.Kind, d.State, d.AtMs, d.Tries, d.NextMs, d.LastMs, d.Status, d.Fault}
}

// addHook makes a webhook within the administrator's responsibility.
func (a *App) addHook(c *fiber.Ctx, n webhooks.NewHook) (*webhooks.Hook, string, error) {
	p := principalOf(c)
	n.Division = cmp.Or(n.Division, p.Division)
	if err := a.within(p, n.Division); err != nil {
		return nil, "", err
	}
	h, secret, err := a.Webhooks.Create(c.UserContext(), p.Account, n)
	if err != nil {
		return nil, "", err
	}
	concerns(c, h.ID, "", h.Division)
	return h, secret, nil
}

// ownHooks are those that an administrator answers for.
func (a *App) ownHooks(c *fiber.Ctx) ([]*webhooks.Hook, error) {
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
