package app

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/papers"
	"github.com/xingfuma/happycode/providers/funds"
	"github.com/xingfuma/happycode/qrcode/cards"
)

// printedRows is how many rows of a table a PDF takes; the spreadsheet has all.
const printedRows = 1000

// statementPaper writes out a fund's month in the language of whoever asks.
func (a *App) statementPaper(c *fiber.Ctx, most int) (papers.Paper, error) {
	f, ctx := fundOf(c), c.UserContext()
	page, err := a.page(c, "/funds/"+f.ID)
	if err != nil {
		return papers.Paper{}, err
	}
	s, err := a.Funds.Statement(ctx, f, c.Query("month"))
	if err != nil {
		return papers.Paper{}, err
	}
	org, err := a.Providers.Get(ctx, f.Organisation)
	if err != nil {
		return papers.Paper{}, err
	}
	state := page.T("statement.open")
	if s.Closed != nil {
		state = page.T("statement.closed", page.Day(s.Closed.ConfirmedMs))
		if s.Closed.Alone {
			state = page.T("statement.closed_alone", page.Day(s.Closed.ConfirmedMs))
		}
	}
	p := papers.Paper{
		Title: page.T("statement.title", page.Say(text(f.Name, f.NameEN))), Subtitle: page.Say(text(org.Name, org.NameEN)) + " · " + page.Month(s.Month) + " · " + state,
		Foot:   page.T("statement.foot", page.Time(a.Now().UnixMilli())),
		PageOf: func(n, of int) string { return page.T("statement.page", n, of) },
		Facts: []papers.Fact{
			{Name: page.T("statement.opening"), Value: s.Opening.Fen()},
			{Name: page.T("statement.donated"), Value: s.Booked.DonatedFen},
			{Name: page.T("statement.corrected"), Value: -s.Booked.CorrectedFen},
			{Name: page.T("statement.spent"), Value: -s.Booked.SpentFen},
			{Name: page.T("statement.balance"), Value: s.Balance.Fen()},
			{Name: page.T("statement.available"), Value: s.Balance.AvailableFen},
			{Name: page.T("statement.reserved"), Value: s.Balance.ReservedFen},
			{Name: page.T("statement.handovers"), Value: pages.Number(s.Booked.Handovers)},
		},
	}
	if fen := s.Booked.RecoveredFen; fen > 0 {
		p.Facts = slices.Insert(p.Facts, 4, papers.Fact{Name: page.T("statement.recovered"), Value: fen})
	}
	donations, err := a.statedDonations(page, f, s, most)
	if err != nil {
		return p, err
	}
	offers, err := a.statedOffers(c, page, s, most)
	if err != nil {
		return p, err
	}
	p.Tables = []papers.Table{donations, offers}
	return p, nil
}

// statedDonations names donors only where the fund does, and never those who
// stay anonymous.
func (a *App) statedDonations(page pages.Page, f *funds.Fund, s *funds.Statement, most int) (papers.Table, error) {
	t := papers.Table{Title: page.T("statement.donations"), Empty: page.T("statement.none"), Columns: []papers.Column{
		{Head: page.T("statement.receipt"), Width: 3}, {Head: page.T("statement.day"), Width: 4},
		{Head: page.T("statement.direction"), Width: 6}, {Head: page.T("statement.amount"), Kind: papers.Money, Width: 3.5},
	}}
	if f.DonorsNamed {
		t.Columns = append(t.Columns[:2:2], append([]papers.Column{{Head: page.T("statement.donor"), Width: 4}}, t.Columns[2:]...)...)
	}
	shown := s.Donations[:min(len(s.Donations), most)]
	for _, d := range shown {
		direction := page.T("fund.undirected")
		row, err := a.donationRow(f, d.Donation)
		if err != nil {
			return t, err
		}
		if d.Donation.Category != "" || d.Donation.Division != "" {
			direction = page.Directed(row)
		}
		if d.Fen < 0 {
			direction = page.T("statement.taken_back", d.Reason)
		}
		cells := []any{row.Receipt, page.Day(d.AtMs), direction, d.Fen}
		if f.DonorsNamed {
			if row.Donor == "" {
				row.Donor = page.T("fund.anonymous")
			}
			cells = []any{row.Receipt, page.Day(d.AtMs), row.Donor, direction, d.Fen}
		}
		t.Rows = append(t.Rows, cells)
	}
	t.Total = make([]any, len(t.Columns))
	t.Total[0], t.Total[len(t.Total)-1] = page.T("statement.sum"), s.Booked.DonatedFen-s.Booked.CorrectedFen
	if rest := len(s.Donations) - len(shown); rest > 0 {
		t.Total[0] = page.T("statement.sum_rest", rest)
	}
	return t, nil
}

func (a *App) statedOffers(c *fiber.Ctx, page pages.Page, s *funds.Statement, most int) (papers.Table, error) {
	t := papers.Table{Title: page.T("statement.offers"), Empty: page.T("statement.none"), Columns: []papers.Column{
		{Head: page.T("statement.offer"), Width: 6}, {Head: page.T("statement.set_aside"), Kind: papers.Money, Width: 3}, {Head: page.T("statement.returned"), Kind: papers.Money, Width: 3},
		{Head: page.T("statement.paid"), Kind: papers.Money, Width: 3}, {Head: page.T("statement.count"), Kind: papers.Number, Width: 2},
	}}
	recovered := s.Booked.RecoveredFen > 0 // in most months nothing is
	if recovered {
		t.Columns = slices.Insert(t.Columns, 4, papers.Column{Head: page.T("statement.came_back"), Kind: papers.Money, Width: 3})
	}
	offers := map[string]bool{}
	shown := s.Offers[:min(len(s.Offers), most)]
	for _, o := range shown {
		offers[o.Offer] = true
	}
	titles, err := a.titlesOf(c, offers)
	if err != nil {
		return t, err
	}
	for _, o := range shown {
		title := page.Say(titles[o.Offer])
		if title == "" {
			title = page.T("fund.not_posted")
		}
		row := []any{title, o.ReservedFen, o.ReturnedFen, o.SpentFen, o.Handovers}
		if recovered {
			row = slices.Insert(row, 4, any(o.RecoveredFen))
		}
		t.Rows = append(t.Rows, row)
	}
	first := page.T("statement.sum")
	if rest := len(s.Offers) - len(shown); rest > 0 {
		first = page.T("statement.sum_rest", rest)
	}
	t.Total = []any{first, s.Booked.ReservedFen, s.Booked.ReturnedFen, s.Booked.SpentFen, s.Booked.Handovers}
	if recovered {
		t.Total = slices.Insert(t.Total, 4, any(s.Booked.RecoveredFen))
	}
	return t, nil
}

// sendPaper sends a file that is whole.
func (a *App) sendPaper(c *fiber.Ctx, kind, ending string, write func(io.Writer) error) error {
	var file bytes.Buffer
	if err := write(&file); err != nil {
		return err
	}
	f := fundOf(c)
	org, err := a.Providers.Get(c.UserContext(), f.Organisation)
	if err != nil {
		return err
	}
	concerns(c, f.ID, "", org.Division)
	month, err := time.Parse(monthLayout, c.Query("month"))
	if err != nil {
		return err // the statement was made of it
	}
	c.Set(fiber.HeaderContentType, kind)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="fund-`+month.Format(monthLayout)+ending+`"`)
	return c.Send(file.Bytes())
}

func (a *App) showStatementXLSX(c *fiber.Ctx) error {
	p, err := a.statementPaper(c, maxSheetRows)
	if err != nil {
		return err
	}
	return a.sendPaper(c, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx", p.XLSX)
}

// maxSheetRows is the most rows of a table in a spreadsheet.
const maxSheetRows = 1_000_000

func (a *App) showStatementPDF(c *fiber.Ctx) error {
	p, err := a.statementPaper(c, printedRows)
	if err != nil {
		return err
	}
	font, err := cards.OpenFont(a.Settings.Font)
	if errors.Is(err, cards.ErrFont) {
		a.Logger.Error("print a statement", "error", err)
		return faultFont
	}
	if err != nil {
		return err
	}
	defer font.Close()
	return a.sendPaper(c, "application/pdf", ".pdf", func(w io.Writer) error { return p.PDF(w, font) })
}
