package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

type organisationView struct {
	ID         string           `json:"id"`
	Name       string           `json:"name"`
	NameEN     string           `json:"name_en"`
	Kind       providers.Kind   `json:"kind" enum:"government,charity,enterprise"`
	CreditCode string           `json:"credit_code"`
	Status     providers.Status `json:"status" enum:"pending,approved,suspended"`
	Division   string           `json:"division"`
	CreatedMs  int64            `json:"created_ms"`
	Decisions  []decisionView   `json:"decisions"`
	providers.Profile
	Places []placeView `json:"places"`
}

type decisionView struct {
	AtMs   int64            `json:"at_ms"`
	By     string           `json:"by" description:"Account id; for administrators only."`
	Status providers.Status `json:"status"`
	Note   string           `json:"note"`
}

// organisationFor is an organisation as p may see it: who decided about it is
// for administrators.
func organisationFor(p accounts.Principal) func(*providers.Organisation) organisationView {
	return func(o *providers.Organisation) organisationView {
		v := viewOrganisation(o)
		if p.Role != accounts.Admin {
			for i := range v.Decisions {
				v.Decisions[i].By = ""
			}
		}
		return v
	}
}

func viewOrganisation(o *providers.Organisation) organisationView {
	v := organisationView{
		ID: o.ID, Name: o.Name, NameEN: o.NameEN, Kind: o.Kind, CreditCode: o.CreditCode, Status: o.Status,
		Division: o.Division, Profile: o.Profile(), CreatedMs: o.CreatedMs, Decisions: make([]decisionView, len(o.Decisions)),
	}
	for i, d := range o.Decisions {
		v.Decisions[i] = decisionView(d)
	}
	v.Places = make([]placeView, len(o.Places))
	for i, p := range o.Places {
		v.Places[i] = viewPlace(p)
	}
	return v
}

// joinRequest is an organisation that joins, with the account it signs in by.
type joinRequest struct {
	Organisation organisationRequest `json:"organisation" required:"true"`
	Account      joinAccount         `json:"account" required:"true"`
}

type organisationRequest struct {
	Name       string         `json:"name" required:"true" minLength:"2" maxLength:"100"`
	NameEN     string         `json:"name_en"`
	Kind       providers.Kind `json:"kind" required:"true" enum:"government,charity,enterprise"`
	CreditCode string         `json:"credit_code" required:"true" description:"Unified social credit code, GB 32100."`
	Division   string         `json:"division" required:"true" description:"Seat, 12-digit code."`
	Contact    string         `json:"contact" description:"Business phone."`
}

type joinAccount struct {
	Username    string `json:"username" required:"true"`
	Password    string `json:"password" required:"true" format:"password"`
	DisplayName string `json:"display_name"`
	Lang        string `json:"lang" enum:"zh,en"`
}

func (a *App) createOrganisation(c *fiber.Ctx) error {
	in, err := decode[joinRequest](c)
	if err != nil {
		return err
	}
	org, err := a.join(c, providers.NewOrganisation(in.Organisation), accounts.NewAccount{
		Username: in.Account.Username, Password: in.Account.Password, DisplayName: in.Account.DisplayName, Lang: in.Account.Lang,
	})
	if err != nil {
		return err
	}
	concerns(c, org.ID, "", org.Division)
	return c.Status(fiber.StatusCreated).JSON(viewOrganisation(org))
}

// joining is the organisation of an account whose own is not registered yet.
const joining = "joining"

// join registers an organisation together with its first account. The account
// comes first and is tied to the organisation last, so that a repeat after a
// refused field or a crash, with the same username and password, goes on
// where it stopped.
func (a *App) join(c *fiber.Ctx, n providers.NewOrganisation, who accounts.NewAccount) (*providers.Organisation, error) {
	ctx := c.UserContext()
	who.Role, who.Division, who.Organisation = accounts.Provider, "", joining
	id := ""
	account, err := a.Accounts.Create(ctx, "join", who)
	switch {
	case errors.Is(err, store.ErrDuplicate):
		cookie, p, err := a.Accounts.SignIn(ctx, who.Username, who.Password, a.network(c))
		if err == nil {
			err = a.Accounts.SignOut(ctx, cookie)
		}
		if errors.Is(err, accounts.ErrCredentials) || errors.Is(err, accounts.ErrLocked) || err == nil && p.Organisation != joining {
			return nil, faultDuplicate.with(fieldFault{"username", words{"用户名已被使用，请换一个", "the username is taken; choose another"}})
		}
		if err != nil {
			return nil, err
		}
		id = p.Account
	case err != nil:
		return nil, err
	default:
		id = account.ID
	}
	org, err := a.Providers.Join(ctx, id, n)
	if errors.Is(err, store.ErrDuplicate) {
		// Ours if this very account registered it before a crash.
		known, findErr := a.Providers.ByCreditCode(ctx, n.CreditCode)
		if findErr != nil {
			return nil, findErr
		}
		if known.CreatedBy != id {
			return nil, faultDuplicate.with(fieldFault{"credit_code", words{"该统一社会信用代码已登记", "this credit code is registered already"}})
		}
		org, err = known, nil
	}
	if err != nil {
		return nil, err
	}
	if err := a.Accounts.SetRole(ctx, id, id, accounts.Provider, "", org.ID); err != nil {
		return nil, err
	}
	return org, a.Providers.AddOwner(ctx, org.ID, id)
}

type organisationsQuery struct {
	Status string `query:"status" enum:"pending,approved,suspended" description:"Empty: all."`
	pageQuery
}

// listOrganisations: administrators those with a seat in their division,
// providers their own.
func (a *App) listOrganisations(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	p := principalOf(c)
	if p.Role == accounts.Provider {
		org, err := a.Providers.Get(c.UserContext(), p.Organisation)
		if err != nil {
			return err
		}
		return c.JSON(listed([]*providers.Organisation{org}, "", organisationFor(p)))
	}
	status := providers.Status(c.Query("status"))
	switch status {
	case "", providers.Pending, providers.Approved, providers.Suspended:
	default:
		return faultField.with(fieldFault{"status", words{"应为 pending、approved 或 suspended", "is pending, approved or suspended"}})
	}
	page, next, err := a.Providers.List(c.UserContext(), status, q.After, q.Limit)
	if err != nil {
		return err
	}
	mine := make([]*providers.Organisation, 0, len(page))
	for _, o := range page {
		if p.Sees(o.Division) {
			mine = append(mine, o)
		}
	}
	return c.JSON(listed(mine, next, viewOrganisation))
}

func (a *App) getOrganisation(c *fiber.Ctx) error {
	return c.JSON(organisationFor(principalOf(c))(organisationOf(c)))
}

type decisionRequest struct {
	Status providers.Status `json:"status" required:"true" enum:"approved,suspended"`
	Note   string           `json:"note" maxLength:"500"`
}

func (a *App) decideOrganisation(c *fiber.Ctx) error {
	in, err := decode[decisionRequest](c)
	if err != nil {
		return err
	}
	org, err := a.Providers.Decide(c.UserContext(), principalOf(c).Account, organisationOf(c).ID, in.Status, in.Note)
	if err != nil {
		return err
	}
	return c.JSON(viewOrganisation(org))
}

// offerView is an offer; it holds nothing of people.
type offerView struct {
	ID           string                `json:"id"`
	Organisation string                `json:"organisation"`
	CreatedMs    int64                 `json:"created_ms"`
	Status       providers.OfferStatus `json:"status" enum:"open,withdrawn"`
	WithdrawnMs  int64                 `json:"withdrawn_ms"`
	Kind         providers.Kind        `json:"kind" enum:"government,charity,enterprise"`
	offerTerms
	RuleZH string               `json:"rule_zh" description:"What the rule says."`
	RuleEN string               `json:"rule_en"`
	Lots   []providers.OfferLot `json:"lots"`
	Series []providers.Series   `json:"series" description:"What made lots by the calendar, as it was sent."`
}

func viewOffer(o *providers.Offer) offerView {
	return offerView{
		ID: o.ID, Organisation: o.Organisation, CreatedMs: o.CreatedMs, Status: o.Status, WithdrawnMs: o.WithdrawnMs,
		Kind: o.Kind, Lots: o.Lots, Series: o.Plan, RuleZH: o.Rule.ZH, RuleEN: o.Rule.EN,
		offerTerms: offerTerms{
			Form: formOf(o), Unlimited: o.Unlimited, Images: o.Images,
			TitleZH: o.TitleZH, TitleEN: o.TitleEN, Category: o.Category, Unit: o.Unit, ValueFen: o.ValueFen,
			Divisions: o.Divisions, Groups: o.Groups, MinScoreMilli: o.MinScoreMilli, Rule: o.Rule.Expr, Sets: o.Sets, CapUnits: o.CapUnits,
			CapPeriod: string(o.CapPeriod), Pace: string(o.Pace), ReserveMilli: o.ReserveMilli, Kept: o.Kept, Fund: o.Fund, Handover: o.Handover,
		},
	}
}

// formOf is what an offer gives, also one from before that was stated.
func formOf(o *providers.Offer) providers.Form {
	if o.Form == "" {
		return providers.FormOf(o.Category, o.Handover.How)
	}
	return o.Form
}

// offerTerms is what an offer says.
type offerTerms struct {
	Form          providers.Form     `json:"form" enum:"goods,meals,service,voucher,cash,discount,wish" description:"What it gives; empty: of its category and handover. Wishes are taken up, not posted."`
	Unlimited     bool               `json:"unlimited" description:"Discounts only: every lot holds 10,000,000 units, which nobody runs out of; what is given is counted."`
	Images        []string           `json:"images" maxItems:"4" description:"Ids of photos that the organisation has sent, in their order."`
	TitleZH       string             `json:"title_zh" required:"true"`
	TitleEN       string             `json:"title_en"`
	Category      string             `json:"category" required:"true" description:"Id of /categories."`
	Unit          string             `json:"unit" description:"Empty: the category's."`
	ValueFen      int64              `json:"value_fen" minimum:"0" description:"Per unit; 0: not stated."`
	Divisions     []string           `json:"divisions" required:"true" description:"Served, 12-digit codes."`
	Groups        []string           `json:"groups" description:"The person is in one of them; empty: any."`
	MinScoreMilli int64              `json:"min_score_milli" minimum:"0" maximum:"1000"`
	Rule          string             `json:"rule" maxLength:"2000" description:"Who else may not have it, as a CEL expression over age, groups, health, division, score, household_size, received and today, e.g. age >= 70 && !received.within(\"meal\", 7). POST /rules/check says what one means. Empty: none."`
	Sets          []string           `json:"sets" maxItems:"5" description:"Names of sets that the offer belongs to, of any providers: rules may ask how many other offers of a set a household has had, as in received.others([\"#winter\"], 30) < 2. Each offer says the rule itself."`
	CapUnits      int64              `json:"cap_units" minimum:"0" description:"Per household and cap_period; 0: none."`
	CapPeriod     string             `json:"cap_period" enum:"day,week,month,year,ever"`
	Pace          string             `json:"pace" enum:"now,even,drip" description:"How fast it is released: at once, an equal part in each minute, or by need lines. Empty: drip, or now where every lot lasts half an hour at most."`
	ReserveMilli  int64              `json:"reserve_milli" minimum:"0" maximum:"3000" description:"For pace drip: how many thousandths of the expected demand are kept for those in greater need, 500 to 3000; 0: 1400."`
	Kept          []providers.Kept   `json:"kept" maxItems:"20" description:"Parts of each lot that are kept for a group, a division within those served, or a group in a division: permille thousandths of it, 1000 at most together. They open to everybody whom the offer serves when nobody of them is expected any more, from half of the lot's time on, and for its last tenth (30 minutes at most). What is kept of a lot is a lot of its own, with the number of its part in kept."`
	Fund          string             `json:"fund" description:"Id of the fund that pays for it: value_fen times the quantity is set aside when it is posted. Empty: none."`
	Handover      providers.Handover `json:"handover" required:"true"`
}

type offerRequest struct {
	Organisation string `json:"organisation" description:"Needed of administrators; a provider posts for its own."`
	offerTerms
	offerLots
}

// offerLots is when an offer gives how much: lots, series or both, 1 to 400
// lots together.
type offerLots struct {
	Lots   []providers.NewLot `json:"lots" maxItems:"400"`
	Series []providers.Series `json:"series" maxItems:"10" description:"More lots by the calendar of China (UTC+8): weekly on weekdays (1 Monday to 7 Sunday; empty: each day) or monthly on a day. A service has workers in place of qty_units: a lot holds workers × slot ÷ unit_minutes."`
}

func (r offerRequest) offer() providers.NewOffer {
	return providers.NewOffer{
		Form: r.Form, Unlimited: r.Unlimited, Images: r.Images,
		TitleZH: r.TitleZH, TitleEN: r.TitleEN, Category: r.Category, Unit: r.Unit, ValueFen: r.ValueFen,
		Divisions: r.Divisions, Groups: r.Groups, MinScoreMilli: r.MinScoreMilli, Rule: r.Rule, Sets: r.Sets, CapUnits: r.CapUnits,
		CapPeriod: matching.Period(r.CapPeriod), Pace: matching.Pace(r.Pace), ReserveMilli: r.ReserveMilli,
		Kept: r.Kept, Fund: r.Fund, Handover: r.Handover, Lots: r.Lots, Series: r.Series,
	}
}

func (a *App) createOffer(c *fiber.Ctx) error {
	in, err := decode[offerRequest](c)
	if err != nil {
		return err
	}
	o, err := a.post(c, in.Organisation, in.offer())
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewOffer(o))
}

// post posts an offer for an organisation that the one who asks acts for.
func (a *App) post(c *fiber.Ctx, organisation string, n providers.NewOffer) (*providers.Offer, error) {
	p := principalOf(c)
	org, err := a.actsFor(c, organisation)
	if err != nil {
		return nil, err
	}
	if key := c.Get("Idempotency-Key"); key != "" { // as for needs: a crash cannot double it
		n.Key = hash(p.Account, key)
	}
	o, err := a.Care.PostOffer(c.UserContext(), p, org.ID, n)
	if err != nil {
		return nil, err
	}
	concerns(c, o.ID, "", org.Division)
	return o, nil
}

// listOffers: providers their own, others those that serve their division.
func (a *App) listOffers(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	mine, next, err := a.offersFor(c, q)
	if err != nil {
		return err
	}
	return c.JSON(listed(mine, next, viewOffer))
}

func (a *App) offersFor(c *fiber.Ctx, q pageQuery) ([]*providers.Offer, string, error) {
	p := principalOf(c)
	organisation := ""
	if p.Role == accounts.Provider {
		organisation = p.Organisation
	}
	page, next, err := a.Providers.Offers(c.UserContext(), organisation, q.After, q.Limit)
	if err != nil {
		return nil, "", err
	}
	mine := make([]*providers.Offer, 0, len(page))
	for _, o := range page {
		if a.seesOffer(p, o) {
			mine = append(mine, o)
		}
	}
	return mine, next, nil
}

func (a *App) getOffer(c *fiber.Ctx) error { return c.JSON(viewOffer(offerOf(c))) }

func (a *App) getStock(c *fiber.Ctx) error {
	stock, err := a.Care.Stock(c.UserContext(), offerOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(listed(stock, "", func(s care.ShareStock) care.ShareStock { return s }))
}

func (a *App) listMoves(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	moves, next, err := a.Care.Moves(c.UserContext(), offerOf(c).ID, q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(moves, next, func(m care.MoveView) care.MoveView { return m }))
}

func (a *App) withdrawOffer(c *fiber.Ctx) error {
	o, err := a.Care.WithdrawOffer(c.UserContext(), principalOf(c), offerOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(viewOffer(o))
}
