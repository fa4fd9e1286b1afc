package app

import (
	"cmp"
	"context"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/funds"
)

// fundOf is the fund of a route with ScopeFund, already checked.
func fundOf(c *fiber.Ctx) *funds.Fund { return c.Locals(localFund).(*funds.Fund) }

type fundRequest struct {
	Kind        funds.Kind `json:"kind" required:"true" enum:"named,directed,trust" description:"A charity has all, governments and enterprises trusts only."`
	Name        string     `json:"name" required:"true" minLength:"2" maxLength:"100"`
	NameEN      string     `json:"name_en" maxLength:"200"`
	Purpose     string     `json:"purpose" maxLength:"1000"`
	Categories  []string   `json:"categories" description:"Kinds of aid that it pays for; none: any."`
	Divisions   []string   `json:"divisions" description:"12-digit codes where it gives; none: anywhere."`
	DonorsNamed bool       `json:"donors_named" description:"Statements name donors who are not anonymous."`
}

type fundChange struct {
	Status funds.Status `json:"status" required:"true" enum:"open,closed" description:"A closed fund takes no donations and carries no new offers; what is promised is still given."`
}

type fundView struct {
	ID            string        `json:"id"`
	Organisation  string        `json:"organisation"`
	Kind          funds.Kind    `json:"kind" enum:"named,directed,trust"`
	Status        funds.Status  `json:"status" enum:"open,closed"`
	Name          string        `json:"name"`
	NameEN        string        `json:"name_en"`
	Purpose       string        `json:"purpose"`
	Categories    []string      `json:"categories"`
	Divisions     []string      `json:"divisions"`
	DonorsNamed   bool          `json:"donors_named"`
	CreatedMs     int64         `json:"created_ms"`
	ReceivedFen   int64         `json:"received_fen" description:"Donations less corrections: available + reserved + spent."`
	AvailableFen  int64         `json:"available_fen"`
	ReservedFen   int64         `json:"reserved_fen" description:"For offers that are posted."`
	SpentFen      int64         `json:"spent_fen" description:"Handed over."`
	Draws         []drawView    `json:"draws"`
	NextClosing   string        `json:"next_closing" description:"The month that can be closed, as 2026-11; empty: none."`
	ClosedThrough string        `json:"closed_through" description:"The last closed month; empty: none."`
	Proposed      *closingView  `json:"proposed,omitempty" description:"A closing that waits for a second person; missing: none."`
	Closings      []closingView `json:"closings"`
}

type drawView struct {
	Offer         string `json:"offer"`
	ValueFen      int64  `json:"value_fen" description:"Of a unit."`
	QtyUnits      int64  `json:"qty_units"`
	SpentUnits    int64  `json:"spent_units"`
	ReturnedUnits int64  `json:"returned_units"`
}

type closingView struct {
	Month       string        `json:"month"`
	ProposedBy  string        `json:"proposed_by"`
	ProposedMs  int64         `json:"proposed_ms"`
	ConfirmedBy string        `json:"confirmed_by"`
	ConfirmedMs int64         `json:"confirmed_ms"`
	Alone       bool          `json:"alone" description:"The organisation had no second account."`
	Opening     funds.Balance `json:"opening"`
	Booked      funds.Month   `json:"booked"`
	Balance     funds.Balance `json:"balance"`
}

func viewFund(a *App) func(f *funds.Fund) fundView {
	now := store.Millis(a.Now())
	return func(f *funds.Fund) fundView {
		v := fundView{
			ID: f.ID, Organisation: f.Organisation, Kind: f.Kind, Status: f.Status, Name: f.Name, NameEN: f.NameEN, Purpose: f.Purpose,
			Categories: some(f.Categories), Divisions: some(f.Divisions), DonorsNamed: f.DonorsNamed, CreatedMs: f.CreatedMs,
			ReceivedFen: f.ReceivedFen, AvailableFen: f.AvailableFen, ReservedFen: f.ReservedFen, SpentFen: f.SpentFen,
			Draws: []drawView{}, NextClosing: f.NextClosing(now), ClosedThrough: f.ClosedThrough, Closings: []closingView{},
		}
		for _, d := range f.Draws {
			v.Draws = append(v.Draws, drawView{d.Offer, d.ValueFen, d.QtyUnits, d.SpentUnits, d.ReturnedUnits})
		}
		for _, c := range f.Closings {
			v.Closings = append(v.Closings, closingView(c))
		}
		if f.Proposed != nil {
			p := closingView(*f.Proposed)
			v.Proposed = &p
		}
		return v
	}
}

// some is a list that is never null.
func some(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// seesFund: an organisation's accounts, and the administrators of its seat.
func seesFund(p accounts.Principal, org *providers.Organisation) bool { return managesOffer(p, org) }

// fundsFor are the funds that the one who asks sees.
func (a *App) fundsFor(c *fiber.Ctx, after string, limit int) ([]*funds.Fund, string, error) {
	p := principalOf(c)
	if p.Role == accounts.Provider {
		return a.Funds.List(c.UserContext(), p.Organisation, after, limit)
	}
	page, next, err := a.Funds.List(c.UserContext(), "", after, limit)
	if err != nil {
		return nil, "", err
	}
	var ids []string
	for _, f := range page {
		ids = append(ids, f.Organisation)
	}
	orgs, err := a.Providers.Named(c.UserContext(), ids)
	if err != nil {
		return nil, "", err
	}
	mine := make([]*funds.Fund, 0, len(page))
	for _, f := range page {
		if org := orgs[f.Organisation]; org != nil && seesFund(p, org) {
			mine = append(mine, f)
		}
	}
	return mine, next, nil
}

func (a *App) listFunds(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.fundsFor(c, q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, viewFund(a)))
}

// makeFund makes a fund of one's own organisation.
func (a *App) makeFund(c *fiber.Ctx, n funds.NewFund) (*funds.Fund, error) {
	p := principalOf(c)
	org, err := a.Providers.Get(c.UserContext(), p.Organisation)
	if err != nil {
		return nil, err
	}
	f, err := a.Funds.Create(c.UserContext(), p.Account, org, n)
	if err != nil {
		return nil, err
	}
	concerns(c, f.ID, "", org.Division)
	return f, nil
}

// keyOf is the Idempotency-Key of one account, "" for none.
func keyOf(c *fiber.Ctx) string {
	if key := c.Get("Idempotency-Key"); key != "" {
		return hash(principalOf(c).Account, key)
	}
	return ""
}

func (a *App) createFund(c *fiber.Ctx) error {
	in, err := decode[fundRequest](c)
	if err != nil {
		return err
	}
	f, err := a.makeFund(c, funds.NewFund{
		Kind: in.Kind, Name: in.Name, NameEN: in.NameEN, Purpose: in.Purpose, Categories: in.Categories, Divisions: in.Divisions,
		DonorsNamed: in.DonorsNamed, Key: keyOf(c),
	})
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewFund(a)(f))
}

func (a *App) getFund(c *fiber.Ctx) error { return c.JSON(viewFund(a)(fundOf(c))) }

func (a *App) changeFund(c *fiber.Ctx) error {
	in, err := decode[fundChange](c)
	if err != nil {
		return err
	}
	f, err := a.Funds.SetStatus(c.UserContext(), fundOf(c).ID, in.Status)
	if err != nil {
		return err
	}
	return c.JSON(viewFund(a)(f))
}

// entryView is a line of the journal; it says nothing of people.
type entryView struct {
	Seq        int64         `json:"seq"`
	AtMs       int64         `json:"at_ms"`
	BookedMs   int64         `json:"booked_ms"`
	What       funds.What    `json:"what" enum:"donated,corrected,reserved,returned,spent,recovered" description:"Recovered: units that were handed over came back; their money is set aside for the offer again, and returns where they go to nobody else."`
	Credit     funds.Account `json:"credit" enum:"donations,available,reserved,spent" description:"The account that the money leaves."`
	Debit      funds.Account `json:"debit" enum:"donations,available,reserved,spent" description:"The account that it goes to."`
	Fen        int64         `json:"fen"`
	Donation   string        `json:"donation"`
	Offer      string        `json:"offer"`
	Allocation string        `json:"allocation" description:"A fingerprint, the same as in the organisation's events."`
	QtyUnits   int64         `json:"qty_units" description:"Of the offer's unit; where one step takes several entries the first has it all."`
	By         string        `json:"by"`
	Reason     string        `json:"reason"`
}

// viewEntry leaves what an organisation may know: ids that are made from a
// need's are replaced, as in its events.
func viewEntry(organisation string) func(*funds.Entry) entryView {
	return func(e *funds.Entry) entryView {
		told := care.Event{Organisation: organisation, Allocation: e.Allocation}.ForProvider()
		return entryView{e.Seq, e.AtMs, e.BookedMs, e.What, e.Credit, e.Debit, e.Fen, e.Donation, e.Offer, told.Allocation, e.QtyUnits, e.By, e.Reason}
	}
}

func (a *App) listFundEntries(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Funds.Entries(c.UserContext(), fundOf(c), q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, viewEntry(fundOf(c).Organisation)))
}

type donationRequest struct {
	Donor    string `json:"donor" maxLength:"100" description:"Empty: anonymous."`
	Fen      int64  `json:"fen" required:"true" minimum:"1"`
	Category string `json:"category" description:"Directed to a kind of aid; empty: whatever the fund is for."`
	Division string `json:"division" description:"Directed to a division; empty: wherever the fund gives."`
	AtMs     int64  `json:"at_ms" description:"When it came in, in a month that is not closed; 0: now."`
	Note     string `json:"note" maxLength:"500"`
}

type donationView struct {
	ID        string `json:"id"`
	Receipt   string `json:"receipt" description:"Year and number in the fund."`
	Donor     string `json:"donor" description:"Empty: anonymous."`
	Fen       int64  `json:"fen"`
	FreeFen   int64  `json:"free_fen" description:"Neither set aside, spent nor taken back."`
	Category  string `json:"category"`
	Division  string `json:"division"`
	AtMs      int64  `json:"at_ms"`
	Note      string `json:"note"`
	EnteredMs int64  `json:"entered_ms"`
	EnteredBy string `json:"entered_by"`
}

func (a *App) viewDonation(f *funds.Fund, d *funds.Donation) (donationView, error) {
	donor, err := a.Funds.Donor(d)
	return donationView{d.ID, d.Receipt, donor, d.Fen, f.FreeOf(d), d.Category, d.Division, d.AtMs, d.Note, d.EnteredMs, d.EnteredBy}, err
}

func (a *App) listDonations(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	f := fundOf(c)
	page, next, err := a.Funds.DonationsOf(c.UserContext(), f, q.After, q.Limit)
	if err != nil {
		return err
	}
	views := make([]donationView, len(page))
	for i, d := range page {
		if views[i], err = a.viewDonation(f, d); err != nil {
			return err
		}
	}
	return c.JSON(listed(views, next, func(v donationView) donationView { return v }))
}

func (a *App) createDonation(c *fiber.Ctx) error {
	in, err := decode[donationRequest](c)
	if err != nil {
		return err
	}
	f := fundOf(c)
	d, err := a.Funds.Donate(c.UserContext(), principalOf(c).Account, f.ID, funds.NewDonation{
		Donor: in.Donor, Fen: in.Fen, Category: in.Category, Division: in.Division, AtMs: cmp.Or(in.AtMs, store.Millis(a.Now())), Note: in.Note, Key: keyOf(c),
	})
	if err != nil {
		return err
	}
	if f, err = a.Funds.Get(c.UserContext(), f.ID); err != nil {
		return err
	}
	v, err := a.viewDonation(f, d)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(v)
}

type correctionRequest struct {
	Fen    int64  `json:"fen" required:"true" minimum:"1" description:"How much is taken back; what is unused at most."`
	Reason string `json:"reason" required:"true" minLength:"2" maxLength:"200"`
}

func (a *App) correctDonation(c *fiber.Ctx) error {
	in, err := decode[correctionRequest](c)
	if err != nil {
		return err
	}
	f, err := a.Funds.Correct(c.UserContext(), principalOf(c).Account, fundOf(c).ID, c.Params("donation"), in.Fen, in.Reason, keyOf(c))
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewFund(a)(f))
}

type traceView struct {
	Fen          int64        `json:"fen"`
	FreeFen      int64        `json:"free_fen"`
	ReservedFen  int64        `json:"reserved_fen"`
	SpentFen     int64        `json:"spent_fen"`
	CorrectedFen int64        `json:"corrected_fen"`
	Offers       []tracedView `json:"offers" description:"That it is set aside for."`
	Handed       []cellView   `json:"handed_over" description:"By kind of aid and town; fewer than five people are put together with others."`
}

type tracedView struct {
	Offer string `json:"offer"`
	Fen   int64  `json:"fen"`
}

type cellView struct {
	Category  string `json:"category" description:"Empty: several."`
	Town      string `json:"town" description:"12-digit code; empty: several."`
	Fen       int64  `json:"fen"`
	Handovers int64  `json:"handovers" description:"0 where people is."`
	People    int64  `json:"people" description:"0: fewer than five."`
}

func (a *App) getTrace(c *fiber.Ctx) error {
	f := fundOf(c)
	d, err := a.Funds.Donation(c.UserContext(), f, c.Params("donation"))
	if err != nil {
		return err
	}
	t, err := a.Funds.Trace(c.UserContext(), f, d)
	if err != nil {
		return err
	}
	v := traceView{d.Fen, t.FreeFen, t.ReservedFen, t.SpentFen, t.CorrectedFen, []tracedView{}, []cellView{}}
	for _, o := range t.Reserved {
		v.Offers = append(v.Offers, tracedView(o))
	}
	for _, x := range t.Cells {
		v.Handed = append(v.Handed, cellView(x))
	}
	return c.JSON(v)
}

type closingRequest struct {
	Month string `json:"month" required:"true" pattern:"^\\d{4}-\\d{2}$" description:"As 2026-11: the fund's next_closing."`
}

func (a *App) closeMonth(c *fiber.Ctx) error {
	in, err := decode[closingRequest](c)
	if err != nil {
		return err
	}
	f, err := a.close(c, in.Month)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewFund(a)(f))
}

// close proposes to close a month, or confirms what somebody else proposed.
func (a *App) close(c *fiber.Ctx, month string) (*funds.Fund, error) {
	f, p, ctx := fundOf(c), principalOf(c), c.UserContext()
	if f.Proposed != nil && f.Proposed.Month == month && f.Proposed.ProposedBy != p.Account {
		return a.Funds.Confirm(ctx, p.Account, f.ID, month)
	}
	n, err := a.accountsOf(ctx, f.Organisation)
	if err != nil {
		return nil, err
	}
	return a.Funds.Propose(ctx, p.Account, f.ID, month, n < 2)
}

// accountsOf counts the accounts that run an organisation's affairs.
func (a *App) accountsOf(ctx context.Context, organisation string) (n int, err error) {
	for after := ""; ; {
		page, next, err := a.Accounts.List(ctx, after, store.MaxPage)
		if err != nil {
			return 0, err
		}
		for _, x := range page {
			if x.Role == accounts.Provider && x.Organisation == organisation && x.Duty != accounts.HandOver && !x.Disabled {
				n++
			}
		}
		if after = next; next == "" {
			return n, nil
		}
	}
}

type statementQuery struct {
	Month string `query:"month" required:"true" description:"As 2026-11."`
}

type statementView struct {
	Month     string          `json:"month"`
	Closed    bool            `json:"closed" description:"False: the figures may still change."`
	Opening   funds.Balance   `json:"opening"`
	Booked    funds.Month     `json:"booked"`
	Balance   funds.Balance   `json:"balance"`
	Donations []statedView    `json:"donations"`
	Offers    []statedDrawing `json:"offers"`
}

type statedView struct {
	Receipt string `json:"receipt"`
	AtMs    int64  `json:"at_ms"`
	Fen     int64  `json:"fen" description:"Below 0: taken back."`
	Reason  string `json:"reason"`
}

type statedDrawing struct {
	Offer          string `json:"offer"`
	ReservedFen    int64  `json:"reserved_fen"`
	ReturnedFen    int64  `json:"returned_fen"`
	SpentFen       int64  `json:"spent_fen"`
	SpentUnits     int64  `json:"spent_units"`
	Handovers      int64  `json:"handovers"`
	RecoveredFen   int64  `json:"recovered_fen" description:"Of handovers, also of earlier months, that were taken back."`
	RecoveredUnits int64  `json:"recovered_units"`
}

func (a *App) getStatement(c *fiber.Ctx) error {
	s, err := a.Funds.Statement(c.UserContext(), fundOf(c), c.Query("month"))
	if err != nil {
		return err
	}
	v := statementView{s.Month, s.Closed != nil, s.Opening, s.Booked, s.Balance, []statedView{}, []statedDrawing{}}
	for _, d := range s.Donations {
		v.Donations = append(v.Donations, statedView{d.Donation.Receipt, d.AtMs, d.Fen, d.Reason})
	}
	for _, o := range s.Offers {
		v.Offers = append(v.Offers, statedDrawing(o))
	}
	return c.JSON(v)
}
