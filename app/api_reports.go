package app

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/reports"
)

type reportRequest struct {
	Key      string `json:"key" maxLength:"128" description:"Chosen by the sender: the same report sent again under its key is one report."`
	Division string `json:"division" required:"true" description:"12-digit code of a county, town or village."`
	Kind     string `json:"kind" required:"true" enum:"food,illness,alone,child,housing,other"`
	Seen     string `json:"seen" enum:",today,days,longer" description:"When it was seen; may be left open."`
	Text     string `json:"text" maxLength:"500" description:"What is the matter; needed for other."`
	Place    string `json:"place" maxLength:"100" description:"Street, house, landmark."`
	Person   string `json:"person" maxLength:"100" description:"A name, or how to find the person."`
	Name     string `json:"name" maxLength:"50" description:"Of whoever reports, to ask back; may be empty."`
	Phone    string `json:"phone" maxLength:"20" description:"As name."`
}

type reportSent struct {
	Reference string `json:"reference" description:"8 digits. Nothing else is told, whoever the report is about."`
}

func (a *App) createReport(c *fiber.Ctx) error {
	in, err := decode[reportRequest](c)
	if err != nil {
		return err
	}
	r, err := a.sendReport(c, reports.NewReport(in))
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(reportSent{r.Reference})
}

// sendReport takes a report from anybody.
func (a *App) sendReport(c *fiber.Ctx, in reports.NewReport) (*reports.Report, error) {
	r, err := a.Reports.Send(c.UserContext(), in)
	if err != nil {
		return nil, err
	}
	concerns(c, r.ID, "", r.Division)
	return r, nil
}

// reportView is a report without what somebody wrote.
type reportView struct {
	ID           string          `json:"id"`
	Reference    string          `json:"reference" description:"8 digits."`
	Division     string          `json:"division"`
	DivisionName string          `json:"division_name" description:"Names of county, town and village."`
	Kind         string          `json:"kind" enum:"food,illness,alone,child,housing,other"`
	Seen         string          `json:"seen" enum:",today,days,longer"`
	State        reports.State   `json:"state" enum:"new,taken,visited,closed"`
	Overdue      bool            `json:"overdue" description:"New for too long, for the tier of the one who asks."`
	TakenBy      string          `json:"taken_by" description:"Account; empty while new."`
	Outcome      reports.Outcome `json:"outcome" enum:",registered,helped,not_found,not_in_need,duplicate"`
	Resident     string          `json:"resident" description:"Id of who was registered from it; empty: nobody."`
	CreatedMs    int64           `json:"created_ms"`
	ClosedMs     int64           `json:"closed_ms" description:"0: not closed."`
}

func (a *App) viewReport(p accounts.Principal, r *reports.Report) reportView {
	return reportView{
		ID: r.ID, Reference: r.Reference, Division: r.Division, DivisionName: a.placeName(r.Division), Kind: r.Kind, Seen: r.Seen,
		State: r.State, Overdue: r.Overdue(a.Now(), p.Division), TakenBy: r.TakenBy, Outcome: r.Outcome, Resident: r.Resident,
		CreatedMs: r.CreatedMs, ClosedMs: r.ClosedMs,
	}
}

type reportsQuery struct {
	State     reports.State `query:"state" enum:"new,taken,visited,closed" default:"new"`
	Reference string        `query:"reference" description:"Only the report with this number, whatever its state."`
	pageQuery
}

func (a *App) listReports(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	p := principalOf(c)
	page, next, err := a.reportsOf(c, reports.State(c.Query("state", string(reports.StateNew))), c.Query("reference"), q)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, func(r *reports.Report) reportView { return a.viewReport(p, r) }))
}

// reportsOf lists the reports that the one who asks answers for: those in a
// state, or the one with a reference number.
func (a *App) reportsOf(c *fiber.Ctx, state reports.State, reference string, q pageQuery) ([]*reports.Report, string, error) {
	p := principalOf(c)
	concerns(c, p.Division, "", p.Division)
	if reference != "" {
		r, err := a.Reports.ByReference(c.UserContext(), reference)
		if err != nil {
			return nil, "", err
		}
		return []*reports.Report{r}, "", a.within(p, r.Division)
	}
	if !slices.Contains(reports.States(), state) {
		return nil, "", faultField.with(fieldFault{"state", words{"没有这个状态", "there is no such state"}})
	}
	return a.Reports.List(c.UserContext(), p.Division, state, q.After, q.Limit)
}

type reportStep struct {
	AtMs int64         `json:"at_ms"`
	By   string        `json:"by" description:"Account; empty for whoever reported."`
	To   reports.State `json:"to" enum:"new,taken,visited,closed"`
}

// reportWhole is a report with what somebody wrote.
type reportWhole struct {
	reportView
	Text         string       `json:"text"`
	Place        string       `json:"place"`
	Person       string       `json:"person"`
	Name         string       `json:"name" description:"Of whoever reported."`
	Phone        string       `json:"phone" description:"As name."`
	Note         string       `json:"note" description:"Of whoever closed it."`
	WordsDeleted bool         `json:"words_deleted" description:"What was written is deleted two years after the report was closed."`
	History      []reportStep `json:"history"`
}

func (a *App) getReport(c *fiber.Ctx) error {
	r := reportOf(c)
	w, err := a.Reports.Open(r)
	if err != nil {
		return err
	}
	out := reportWhole{
		reportView: a.viewReport(principalOf(c), r), Text: w.Text, Place: w.Place, Person: w.Person, Name: w.Name, Phone: w.Phone,
		Note: w.Note, WordsDeleted: r.WordsDeleted,
	}
	for _, h := range r.History {
		out.History = append(out.History, reportStep{h.AtMs, h.By, h.To})
	}
	return c.JSON(out)
}

type reportChange struct {
	State    reports.State   `json:"state" required:"true" enum:"taken,visited,closed"`
	TakeOver bool            `json:"take_over" description:"Take it although a colleague has."`
	Outcome  reports.Outcome `json:"outcome" enum:",registered,helped,not_found,not_in_need,duplicate" description:"For closed."`
	Note     string          `json:"note" maxLength:"500" description:"For closed."`
}

func (a *App) changeReport(c *fiber.Ctx) error {
	in, err := decode[reportChange](c)
	if err != nil {
		return err
	}
	p := principalOf(c)
	r, err := a.Reports.Change(c.UserContext(), reportOf(c).ID, reports.Change{
		By: p.Account, To: in.State, Over: in.TakeOver, Outcome: in.Outcome, Note: in.Note,
	})
	if err != nil {
		return err
	}
	return c.JSON(a.viewReport(p, r))
}

// auditReport writes to the audit log that a report was shown on the page of
// another route, before the page goes out.
func (a *App) auditReport(c *fiber.Ctx, r *reports.Report) error {
	e := a.entryAbout(principalOf(c), routeOf(c), about{r.ID, "", r.Division})
	e.Act = "view_report"
	return a.Audit.Write(c.UserContext(), e)
}
