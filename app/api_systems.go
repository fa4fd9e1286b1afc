package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// systemRoutes are how an organisation's own programs work with this one.
func systemRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind, r.Scope = apiPrefix+r.Path, API, ScopeOrganisation; return r }
	page := func(r Route) Route { r.Kind, r.Scope = Page, ScopeOrganisation; return r }
	own := func(r Route) Route { r.Roles, r.Right = givers, accounts.ToOwn; return r }
	const stream = "text/event-stream; charset=utf-8"
	return []Route{
		own(api(Route{Method: "GET", Path: "/organisations/:id/tokens", Name: "listOwnTokens", Handler: (*App).listOwnTokens,
			ZH: "机构的服务令牌", EN: "Service tokens of an organisation", Query: pageQuery{}, Response: list[tokenView]{}})),
		own(api(Route{Method: "POST", Path: "/organisations/:id/tokens", Name: "createOwnToken", Handler: (*App).createOwnToken, Purpose: "create_token",
			ZH: "新建机构的服务令牌，仅显示一次", EN: "Make a service token of the organisation, shown once", Request: ownTokenRequest{}, Response: tokenCreated{}, Status: 201})),
		own(api(Route{Method: "DELETE", Path: "/organisations/:id/tokens/:token", Name: "deleteOwnToken", Handler: (*App).deleteOwnToken, Purpose: "revoke_token",
			ZH: "吊销机构的服务令牌", EN: "Revoke a service token of the organisation", Status: 204})),
		api(Route{Method: "GET", Path: "/organisations/:id/stock/live", Name: "getOrganisationStockLive", Handler: (*App).getOrganisationStockLive, Roles: givers, Right: accounts.ToHandOver,
			ZH: "机构全部在派资源的实时余量(Server-Sent Events)", EN: "Live stock of an organisation's open offers, as server-sent events", Query: stockQuery{}, ContentType: stream}),
		{Method: "GET", Path: apiPrefix + "/offers/:id/stock/live", Name: "getStockLive", Kind: API, Scope: ScopeOffer, Handler: (*App).getStockLive, Roles: staff, Right: accounts.ToHandOver,
			ZH: "资源的实时余量(Server-Sent Events)", EN: "Live stock of an offer, as server-sent events", Query: stockQuery{}, ContentType: stream},

		own(page(Route{Method: "GET", Path: "/organisations/:id/systems", Name: "showSystems", Handler: (*App).showSystems,
			ZH: "系统对接", EN: "Systems of an organisation"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/tokens", Name: "saveOwnToken", Handler: (*App).saveOwnToken, Purpose: "create_token",
			ZH: "新建机构的服务令牌", EN: "Make a service token of the organisation"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/tokens/:token/revoke", Name: "saveOwnTokenRevoked", Handler: (*App).saveOwnTokenRevoked, Purpose: "revoke_token",
			ZH: "吊销机构的服务令牌", EN: "Revoke a service token of the organisation"})),
	}
}

type ownTokenRequest struct {
	Label    string        `json:"label" required:"true" minLength:"1" maxLength:"100"`
	Duty     accounts.Duty `json:"duty" enum:",editor,handover" description:"Empty: editor. A token never owns."`
	TTLHours int64         `json:"ttl_hours" minimum:"0" maximum:"8784" description:"Hours it lives; 0 is 90 days."`
}

type tokenPath struct {
	Token string `path:"token" required:"true"`
}

func (a *App) listOwnTokens(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Accounts.TokensOf(c.UserContext(), organisationOf(c).ID, q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, viewToken))
}

func (a *App) createOwnToken(c *fiber.Ctx) error {
	in, err := decode[ownTokenRequest](c)
	if err != nil {
		return err
	}
	if in.TTLHours < 0 || in.TTLHours > 8784 {
		return faultField.with(fieldFault{"ttl_hours", words{"应为 0 至 8784 小时", "is from 0 to 8784 hours"}})
	}
	token, t, err := a.addOwnToken(c, in.Label, in.Duty, time.Duration(in.TTLHours)*time.Hour)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(tokenCreated{token, viewToken(t)})
}

func (a *App) addOwnToken(c *fiber.Ctx, label string, duty accounts.Duty, ttl time.Duration) (string, *accounts.ServiceToken, error) {
	org := organisationOf(c)
	token, t, err := a.Accounts.MintToken(c.UserContext(), principalOf(c).Account, accounts.NewToken{
		Label: label, Role: accounts.Provider, Organisation: org.ID, Duty: duty, TTL: ttl,
	})
	if err != nil {
		return "", nil, err
	}
	concerns(c, t.ID, "", org.Division)
	return token, t, nil
}

// revokeOwn ends the token that a path names besides the organisation.
func (a *App) revokeOwn(c *fiber.Ctx) error {
	t, err := a.Accounts.Token(c.UserContext(), c.Params("token"))
	if errors.Is(err, store.ErrNotFound) || err == nil && t.Organisation != organisationOf(c).ID {
		return errOutside
	}
	if err != nil {
		return err
	}
	concerns(c, t.ID, "", organisationOf(c).Division)
	return a.Accounts.RevokeToken(c.UserContext(), principalOf(c).Account, t.ID)
}

func (a *App) deleteOwnToken(c *fiber.Ctx) error {
	if err := a.revokeOwn(c); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

func (a *App) systemsPage(c *fiber.Ctx) (pages.Systems, error) {
	base, err := a.ofOrganisation(c, "systems", "/systems")
	if err != nil {
		return pages.Systems{}, err
	}
	if _, sent := base.Values["days"]; !sent {
		base.Values["days"] = []string{"90"}
	}
	v := pages.Systems{OfOrganisation: base, Own: principalOf(c).Role == accounts.Provider}
	list, next, err := a.Accounts.TokensOf(c.UserContext(), base.Org, c.Query("after"), rowsPerPage)
	if err != nil {
		return v, err
	}
	for _, x := range list {
		v.Rows = append(v.Rows, ownTokenRow(x))
	}
	v.Next = nextLink("/organisations/"+base.Org+"/systems", next)
	return v, nil
}

func ownTokenRow(x *accounts.ServiceToken) pages.OwnTokenRow {
	return pages.OwnTokenRow{ID: x.ID, Label: x.Label, Duty: string(x.Duty), ExpiresMs: x.ExpiresMs, Revoked: x.Revoked}
}

func (a *App) showSystems(c *fiber.Ctx) error {
	v, err := a.systemsPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveOwnToken shows the new token in its answer, this once.
func (a *App) saveOwnToken(c *fiber.Ctx) error {
	v, err := a.systemsPage(c)
	if err != nil {
		return err
	}
	days := whole(&v.Form, "days")
	if v.Errors["days"] == "" && (days < 1 || days > 365) {
		wrong(&v.Form, "days", "form.number")
	}
	status := fiber.StatusBadRequest
	if len(v.Errors) == 0 {
		token, t, err := a.addOwnToken(c, v.Value("label"), accounts.Duty(v.Value("duty")), time.Duration(days)*24*time.Hour)
		if err == nil {
			v.Fresh, v.Values = token, map[string][]string{"days": {"90"}}
			v.Rows = append(v.Rows, ownTokenRow(t))
			return a.show(c, fiber.StatusCreated, v)
		}
		if status, err = a.refill(c, err, &v.Form, map[string]string{"ttl": "days"}, nil); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

func (a *App) saveOwnTokenRevoked(c *fiber.Ctx) error {
	if err := a.revokeOwn(c); err != nil {
		return err
	}
	return to(c, "/organisations/"+organisationOf(c).ID+"/systems", "")
}

type stockQuery struct {
	WaitS int `query:"wait_s" minimum:"0" maximum:"90" default:"90" description:"How long the stream stays open; 0: the stock of now only."`
}

// stockEvent is how much of an offer there is, over all its lots and counties.
type stockEvent struct {
	Offer      string `json:"offer"`
	AtMs       int64  `json:"at_ms"`
	Qty        int64  `json:"qty_units"`
	Free       int64  `json:"free_units"`
	Held       int64  `json:"held_units"`
	Promised   int64  `json:"promised_units"`
	HandedOver int64  `json:"handed_over_units"`
	Expired    int64  `json:"expired_units"`
	Withdrawn  int64  `json:"withdrawn_units"`
}

func (a *App) stockOf(ctx context.Context, offer string) (stockEvent, error) {
	out := stockEvent{Offer: offer, AtMs: a.Now().UnixMilli()}
	stock, err := a.Care.Stock(ctx, offer)
	for _, s := range stock {
		out.Qty += s.QtyUnits
		out.Free += s.FreeUnits
		out.Held += s.HeldUnits
		out.Promised += s.PromisedUnits
		out.HandedOver += s.HandedOverUnits
		out.Expired += s.ExpiredUnits
		out.Withdrawn += s.WithdrawnUnits
	}
	return out, err
}

func (a *App) getStockLive(c *fiber.Ctx) error {
	id := offerOf(c).ID
	return a.streamStock(c, []string{id}, func(e care.Event) bool { return e.Offer == id })
}

func (a *App) getOrganisationStockLive(c *fiber.Ctx) error {
	org, now := organisationOf(c).ID, a.Now().UnixMilli()
	var open []string
	for after := ""; ; {
		page, next, err := a.Providers.Offers(c.UserContext(), org, after, 200)
		if err != nil {
			return err
		}
		for _, o := range page {
			if o.Status == providers.OfferOpen && slices.ContainsFunc(o.Lots, func(l providers.OfferLot) bool { return l.UntilMs > now }) {
				open = append(open, o.ID)
			}
		}
		if after = next; next == "" || len(open) >= stockOffers {
			break
		}
	}
	return a.streamStock(c, open[:min(len(open), stockOffers)], func(e care.Event) bool { return e.Organisation == org && e.Offer != "" })
}

const (
	// stockOffers is of how many offers a stream tells the stock when it begins.
	stockOffers = 500
	// stockEvery is how long changes are gathered before the stock is told.
	stockEvery = 500 * time.Millisecond
)

// streamStock sends the stock of offers as events "stock", then again of each
// whose stock may have changed. Who comes back is told all of it anew, so that
// no event has to be missed.
func (a *App) streamStock(c *fiber.Ctx, offers []string, about func(care.Event) bool) error {
	wait, p := liveTime, principalOf(c)
	if s := c.Query("wait_s"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > liveTime {
			return faultField.with(fieldFault{"wait_s", words{"应为 0 至 90", "is from 0 to 90"}})
		}
		wait = n
	}
	c.Set(fiber.HeaderContentType, "text/event-stream; charset=utf-8")
	c.Set("X-Accel-Buffering", "no")
	if c.Method() == fiber.MethodHead {
		return nil
	}
	s, err := a.live.join(p.Account, func(e care.Event) (liveEvent, bool) {
		return liveEvent{Offer: e.Offer, tellMs: e.TellMs}, about(e)
	})
	if err != nil {
		return err
	}
	stays := a.stays(c, p)
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer a.live.leave(s)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(wait)*time.Second)
		defer cancel()
		if err := a.writeStock(ctx, w, s, offers, stays); err != nil {
			a.Logger.Error("stream stock", "account", p.Account, "error", err)
		}
	})
	return nil
}

// writeStock is the life of a stream of stock; a reader that is gone is no error.
func (a *App) writeStock(ctx context.Context, w *bufio.Writer, s *stream, offers []string, stays func(context.Context) bool) error {
	known := map[string]bool{}
	for _, id := range offers {
		known[id] = true
	}
	tell := func(ids map[string]bool) (gone bool, err error) {
		for id := range ids {
			known[id] = true
			read, cancel := context.WithTimeout(context.Background(), requestTime)
			x, err := a.stockOf(read, id)
			cancel()
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return false, err
			}
			body, err := json.Marshal(x)
			if err != nil {
				return false, err
			}
			if _, failed := fmt.Fprintf(w, "event: stock\ndata: %s\n\n", body); failed != nil {
				return true, nil //nolint:nilerr // the reader is gone
			}
		}
		return w.Flush() != nil, nil
	}
	if _, err := w.WriteString("retry: 2000\n\n"); err != nil {
		return nil
	}
	if gone, err := tell(known); gone || err != nil {
		return err
	}
	beat := time.NewTicker(liveBeat)
	defer beat.Stop()
	changed := map[string]bool{}
	var due <-chan time.Time
	soon := func() {
		if due == nil {
			due = time.After(stockEvery)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.live.end:
			return nil
		case <-s.over:
			return nil
		case x := <-s.events:
			changed[x.Offer] = true
			soon()
		case <-s.behind:
			for id := range known {
				changed[id] = true
			}
			soon()
		case <-due:
			due = nil
			if gone, err := tell(changed); gone || err != nil {
				return err
			}
			clear(changed)
		case <-beat.C:
			if !stays(ctx) {
				return nil
			}
			if _, err := w.WriteString(": \n\n"); err != nil || w.Flush() != nil {
				return nil
			}
		}
	}
}
