package app

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// What the guard leaves in the request for the handler.
type local int

const (
	localPrincipal local = iota
	localLang
	localRoute
	localRequestID
	localResident
	localNeed
	localAllocation
	localOffer
	localOrganisation
	localAccount
	localToken
	localDevice
	localReport
	localHook
	localDraft
	localFund
	localAbout
	localGuessed // a wrong guess was shown in a form again
)

// principalOf says who is asking; the zero Principal for a visitor.
func principalOf(c *fiber.Ctx) accounts.Principal {
	p, _ := c.Locals(localPrincipal).(accounts.Principal)
	return p
}

// signedIn says whether somebody is asking, not a visitor.
func signedIn(c *fiber.Ctx) bool { return principalOf(c).Role != "" }

// langOf is the language to answer in: "zh" or "en".
func langOf(c *fiber.Ctx) string {
	if l, ok := c.Locals(localLang).(string); ok {
		return l
	}
	return "zh"
}

// routeOf is the table row being served; nil where no route matched.
func routeOf(c *fiber.Ctx) *Route {
	r, _ := c.Locals(localRoute).(*Route)
	return r
}

// residentOf is the resident of a route with ScopeResident, already checked.
func residentOf(c *fiber.Ctx) *residents.Resident {
	return c.Locals(localResident).(*residents.Resident)
}

// needOf is the need of a route with ScopeNeed, already checked.
func needOf(c *fiber.Ctx) *residents.Need { return c.Locals(localNeed).(*residents.Need) }

// allocationOf is the allocation of a route with ScopeAllocation, already checked.
func allocationOf(c *fiber.Ctx) care.AllocationView {
	return c.Locals(localAllocation).(care.AllocationView)
}

// offerOf is the offer of a route with ScopeOffer, already checked.
func offerOf(c *fiber.Ctx) *providers.Offer { return c.Locals(localOffer).(*providers.Offer) }

// organisationOf is the organisation of a route with ScopeOrganisation.
func organisationOf(c *fiber.Ctx) *providers.Organisation {
	return c.Locals(localOrganisation).(*providers.Organisation)
}

// accountOf is the account of a route with ScopeAccount, already checked.
func accountOf(c *fiber.Ctx) *accounts.Account { return c.Locals(localAccount).(*accounts.Account) }

// tokenOf is the service token of a route with ScopeToken, already checked.
func tokenOf(c *fiber.Ctx) *accounts.ServiceToken {
	return c.Locals(localToken).(*accounts.ServiceToken)
}

// reportOf is the report of a route with ScopeReport, already checked.
func reportOf(c *fiber.Ctx) *reports.Report { return c.Locals(localReport).(*reports.Report) }

// about is what a request was about, for the audit log.
type about struct{ object, subject, division string }

// concerns tells the audit log what a request without a scope was about:
// subject is the id of the resident it looked at, if any.
func concerns(c *fiber.Ctx, object, subject, division string) {
	c.Locals(localAbout, about{object, subject, division})
}

// actor names a principal in the audit log.
func actor(p accounts.Principal) string {
	if p.Account == "" {
		return "visitor"
	}
	return p.Account
}

// guard is what every route passes: who is asking, may the role, does the
// request come from our own page, may they see this very thing, are they
// guessing. What was done and what was denied goes to the audit log before
// the answer goes out.
func (a *App) guard(r *Route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Locals(localRoute, r)
		if r.Kind == Asset || r.Kind == Probe {
			return r.Handler(a, c)
		}
		if !r.Upload {
			limit := requestTime
			if r.Slow {
				limit = slowTime
			}
			ctx, cancel := context.WithTimeout(c.UserContext(), limit)
			defer cancel()
			c.SetUserContext(ctx)
		}
		p, cookie, err := a.identify(c)
		if err != nil {
			return err
		}
		if p.Role != "" {
			c.Locals(localPrincipal, p)
			if l := c.Query("lang"); !p.Token && l != "zh" && l != "en" && p.Lang != "" {
				c.Locals(localLang, p.Lang)
			}
		}
		if err := a.fromOurPage(c, r, p, cookie); err != nil {
			return err
		}
		if !r.Public && (!slices.Contains(r.Roles, p.Role) || !p.May(r.Right) || r.NoToken && p.Token || p.Carer != "" && !r.CarerOK) {
			if p.Role == "" {
				return a.toSignin(c, r)
			}
			if err := a.denied(c, p, r, "", "", ""); err != nil {
				return err
			}
			return faultRole
		}
		if err := a.limited(c, r.Limit); err != nil {
			return err
		}
		if err := a.look(c, r, p); err != nil {
			return err
		}
		if r.Kind == API && r.Request == nil && !r.Upload && len(c.Body()) > 0 {
			if _, err := decode[struct{}](c); err != nil {
				return err
			}
		}
		handle := func() error { return a.handle(c, r, p) }
		if r.Idempotent && !r.OwnReplay {
			err = a.once(c, r, p, handle)
		} else {
			err = handle()
		}
		shown, _ := c.Locals(localGuessed).(bool)
		if r.Limit != LimitNone && (shown || err != nil && guessed(err)) {
			a.limits.failed(r.Limit, a.limitKeys(c)...)
		}
		return err
	}
}

// handle runs the handler and writes what it did to the audit log.
func (a *App) handle(c *fiber.Ctx, r *Route, p accounts.Principal) error {
	if err := r.Handler(a, c); err != nil {
		if errors.Is(err, errOutside) {
			if err := a.denied(c, p, r, "", "", ""); err != nil {
				return err
			}
		}
		return err
	}
	if r.Purpose == "" || c.Response().StatusCode() >= 400 {
		return nil
	}
	b, _ := c.Locals(localAbout).(about)
	page := r.Kind == Page && c.Method() == fiber.MethodGet
	l := look{actor(p), r.Name, b}
	if now := store.Millis(a.Now()); page && c.Get(followHeader) != "" && a.watched.known(l, now) {
		return nil
	}
	if err := a.did(c, p, r, b); err != nil || !page {
		return err
	}
	a.watched.wrote(l, store.Millis(a.Now()))
	return nil
}

// did writes to the audit log what was done, before the answer goes out.
func (a *App) did(c *fiber.Ctx, p accounts.Principal, r *Route, b about) error {
	e := a.entryAbout(p, r, b)
	if err := a.Audit.Write(c.UserContext(), e); err != nil {
		return fmt.Errorf("audit %s: %w", e.Act, err)
	}
	return nil
}

// entryAbout is the entry for what was done; what has no division of its own
// stands with that of whoever did it.
func (a *App) entryAbout(p accounts.Principal, r *Route, b about) audit.Entry {
	e := a.entry(p, r)
	e.Object, e.Subject, e.Outcome = b.object, b.subject, "ok"
	if b.division != "" {
		e.Division = b.division
	}
	return e
}

func (a *App) entry(p accounts.Principal, r *Route) audit.Entry {
	act := r.Purpose
	if act == "" {
		act = r.Name
	}
	return audit.Entry{
		ID: store.NewID(), AtMs: store.Millis(a.Now()), Actor: actor(p), Role: string(p.Role), Act: act,
		Division: p.Division, Purpose: r.EN,
	}
}

// denied writes to the audit log that somebody asked for what they may not.
func (a *App) denied(c *fiber.Ctx, p accounts.Principal, r *Route, object, subject, division string) error {
	e := a.entryAbout(p, r, about{object, subject, division})
	e.Outcome = "denied"
	if err := a.Audit.Write(c.UserContext(), e); err != nil {
		return fmt.Errorf("audit %s: %w", e.Act, err)
	}
	return nil
}

// guessed says whether a failure may be somebody guessing: a code, a card
// number, a password, a PIN.
func guessed(err error) bool {
	switch faultOf(err).code {
	case faultCode.code, faultCredentials.code, faultProof.code, faultHandoverPIN.code, faultVoucher.code:
		return true
	}
	return false
}

// identify says who asks: by a service token when there is one, by the
// session cookie otherwise; cookie says that it was the latter.
func (a *App) identify(c *fiber.Ctx) (p accounts.Principal, cookie bool, err error) {
	return a.recognise(c.UserContext(), c.Get(fiber.HeaderAuthorization), c.Cookies(a.cookieName(c)))
}

// recognise is identify by the two headers that say it.
func (a *App) recognise(ctx context.Context, authorization, session string) (p accounts.Principal, cookie bool, err error) {
	if authorization != "" {
		kind, token, _ := strings.Cut(authorization, " ")
		if !strings.EqualFold(kind, "Bearer") {
			return p, false, faultSignedOut
		}
		p, err = a.Accounts.PrincipalOfToken(ctx, strings.TrimSpace(token))
		return p, false, err
	}
	if session == "" {
		return p, false, nil
	}
	p, err = a.Accounts.Principal(ctx, session)
	if err == nil && p.Carer != "" {
		err = a.carerLives(ctx, p)
	}
	if errors.Is(err, accounts.ErrNoSession) {
		return accounts.Principal{}, false, nil
	}
	return p, true, err
}

// carerLives asks, at each request, whether a carer may still show the
// resident's code; otherwise the carer's sessions end.
// Errors: accounts.ErrNoSession.
func (a *App) carerLives(ctx context.Context, p accounts.Principal) error {
	r, err := a.Residents.Get(ctx, p.Resident)
	if err != nil {
		return err
	}
	carer, err := a.Residents.Carer(ctx, p.Resident, p.Carer)
	if err != nil {
		return err
	}
	if a.Residents.Lives(r, carer) {
		return nil
	}
	if err := a.Accounts.SignOutCarer(ctx, p.Resident, p.Carer); err != nil {
		return err
	}
	return accounts.ErrNoSession
}

// fromOurPage refuses a request that changes something and was made by a
// browser on behalf of another site: by the headers that browsers send, and
// for sessions by the token that only our pages know. Programs with a service
// token send no cookie, so nobody can make them act.
func (a *App) fromOurPage(c *fiber.Ctx, r *Route, p accounts.Principal, cookie bool) error {
	if p.Token || c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead {
		return nil
	}
	switch c.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return faultCSRF
	}
	if origin := c.Get(fiber.HeaderOrigin); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Host != c.Hostname() && u.Host != a.publicHost() {
			return faultCSRF
		}
	}
	if !cookie {
		return nil
	}
	sent := c.Get("X-CSRF-Token")
	if sent == "" && r.Kind == Page {
		sent = c.FormValue("csrf")
	}
	if p.CSRF == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(p.CSRF)) != 1 {
		return faultCSRF
	}
	return nil
}

func (a *App) publicHost() string {
	return strings.TrimPrefix(a.Settings.PublicHost, "http://")
}

// toSignin sends people to the sign-in page, and back afterwards; programs
// get a 401.
func (a *App) toSignin(c *fiber.Ctx, r *Route) error {
	if r.Kind != Page || c.Method() != fiber.MethodGet {
		return faultSignedOut
	}
	return c.Redirect("/signin?next="+url.QueryEscape(c.Path()), fiber.StatusSeeOther)
}

// errOutside is a faultNotFound that is audited as denied.
var errOutside = fmt.Errorf("outside: %w", faultNotFound)

// within refuses a division that the one who asks does not answer for. The
// refusal reads as "not found" and is audited.
func (a *App) within(p accounts.Principal, division string) error {
	if !p.Sees(division) {
		return errOutside
	}
	return nil
}

// look loads what ":id" names and checks that the one who asks may see it.
func (a *App) look(c *fiber.Ctx, r *Route, p accounts.Principal) error {
	if r.Scope == ScopeNone {
		return nil
	}
	ctx, id := c.UserContext(), c.Params("id")
	var subject, division string
	var may bool
	switch r.Scope {
	case ScopeResident:
		x, err := a.Residents.Get(ctx, id)
		if err != nil {
			return err
		}
		subject, division = x.ID, x.Division
		may = p.Sees(division) || p.Role == accounts.Resident && p.Resident == x.ID
		c.Locals(localResident, x)
	case ScopeNeed:
		x, err := a.Residents.NeedByID(ctx, id)
		if err != nil {
			return err
		}
		subject, division = x.Resident, x.Division
		may = p.Sees(division) || p.Role == accounts.Resident && p.Resident == x.Resident
		c.Locals(localNeed, x)
	case ScopeAllocation:
		x, err := a.Care.Allocation(ctx, p, id) // decides and audits by itself
		if err != nil {
			return err
		}
		subject, may = x.Resident, true
		c.Locals(localAllocation, x)
	case ScopeOffer, ScopeOwnOffer:
		x, err := a.Providers.Offer(ctx, id)
		if err != nil {
			return err
		}
		org, err := a.Providers.Get(ctx, x.Organisation)
		if err != nil {
			return err
		}
		division = org.Division
		if may = a.seesOffer(p, x); r.Scope == ScopeOwnOffer {
			may = managesOffer(p, org)
		}
		c.Locals(localOffer, x)
	case ScopeDraft:
		x, err := a.Providers.Draft(ctx, id)
		if err != nil {
			return err
		}
		org, err := a.Providers.Get(ctx, x.Organisation)
		if err != nil {
			return err
		}
		division = org.Division
		may = managesOffer(p, org)
		c.Locals(localDraft, x)
	case ScopeOrganisation:
		x, err := a.Providers.Get(ctx, id)
		if err != nil {
			return err
		}
		division = x.Division
		may = p.Sees(division) || p.Role == accounts.Provider && p.Organisation == x.ID
		c.Locals(localOrganisation, x)
	case ScopeAccount:
		x, err := a.Accounts.Get(ctx, id)
		if err != nil {
			return err
		}
		if division, err = a.seat(ctx, x.Division, x.Organisation); err != nil {
			return err
		}
		may = p.Sees(division)
		c.Locals(localAccount, x)
	case ScopeToken:
		x, err := a.Accounts.Token(ctx, id)
		if err != nil {
			return err
		}
		if division, err = a.seat(ctx, x.Division, x.Organisation); err != nil {
			return err
		}
		may = p.Sees(division)
		c.Locals(localToken, x)
	case ScopeDevice, ScopeOwnDevice:
		x, err := a.Care.Device(ctx, id)
		if err != nil {
			return err
		}
		division = x.Division
		may = x.Account == p.Account || r.Scope == ScopeDevice && p.Role == accounts.Admin && p.Sees(division)
		c.Locals(localDevice, x)
	case ScopeConflict:
		x, err := a.Care.Conflict(ctx, id)
		if err != nil {
			return err
		}
		subject, division = x.Resident, x.Division
		may = p.Sees(division)
	case ScopeReport:
		x, err := a.Reports.Get(ctx, id)
		if err != nil {
			return err
		}
		division = x.Division
		may = p.Sees(division)
		c.Locals(localReport, x)
	case ScopeFund:
		x, err := a.Funds.Get(ctx, id)
		if err != nil {
			return err
		}
		org, err := a.Providers.Get(ctx, x.Organisation)
		if err != nil {
			return err
		}
		division = org.Division
		may = seesFund(p, org)
		c.Locals(localFund, x)
	case ScopeWebhook:
		x, err := a.Webhooks.Get(ctx, id)
		if err != nil {
			return err
		}
		division = x.Division
		may = p.Sees(division)
		c.Locals(localHook, x)
	}
	if !may {
		if err := a.denied(c, p, r, id, subject, division); err != nil {
			return err
		}
		return faultNotFound
	}
	concerns(c, id, subject, division)
	return nil
}

// seesOffer: providers see what their organisation offers; administrators and
// caseworkers what serves people they answer for.
func (a *App) seesOffer(p accounts.Principal, o *providers.Offer) bool {
	if p.Role == accounts.Provider {
		return p.Organisation == o.Organisation
	}
	return slices.ContainsFunc(o.Divisions, func(d string) bool {
		return p.Sees(d) || regions.Within(p.Division, d)
	})
}

// managesOffer says who may change an offer, not only see it: its provider,
// and the administrators who answer for the provider. That it serves people
// elsewhere as well gives nobody there the right.
func managesOffer(p accounts.Principal, org *providers.Organisation) bool {
	return p.Role == accounts.Provider && p.Organisation == org.ID && p.May(accounts.ToRun) || p.Role == accounts.Admin && p.Sees(org.Division)
}

// seat is where the administrators of an account or token are: those of its
// organisation's seat if it has one, whatever else it says, and of its
// division otherwise.
func (a *App) seat(ctx context.Context, division, organisation string) (string, error) {
	if organisation == "" {
		return division, nil
	}
	org, err := a.Providers.Get(ctx, organisation)
	if err != nil {
		return "", err
	}
	return org.Division, nil
}

// overseesAccount says whether an administrator answers for an account or
// token.
func (a *App) overseesAccount(ctx context.Context, p accounts.Principal, division, organisation string) (bool, error) {
	seat, err := a.seat(ctx, division, organisation)
	return err == nil && p.Sees(seat), err
}
