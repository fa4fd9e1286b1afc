package app

import (
	"crypto/rand"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/store"
)

// reportPage is the form in which anybody reports a person in need.
func (a *App) reportPage(c *fiber.Ctx) (pages.Report, error) {
	f, err := a.form(c, "/report")
	if err != nil {
		return pages.Report{}, err
	}
	if f.Value("key") == "" {
		f.Values["key"] = []string{rand.Text()}
	}
	return pages.Report{Form: f, Places: a.reportPlaces(f), Kinds: reports.Kinds(), Times: reports.Times()}, nil
}

// reportPlaces are the counties with their towns, and the village that was
// chosen by script.
func (a *App) reportPlaces(f pages.Form) []pages.ChoiceGroup {
	tree, chosen := a.Tree(), f.Value("division")
	choice := func(d regions.Division) pages.Choice {
		return pages.Choice{Value: d.ID, Text: text(d.Name, d.EnglishName)}
	}
	var out []pages.ChoiceGroup
	for _, county := range tree.Counties() {
		d, _ := tree.Get(county)
		unsure := f.T("report.town_unknown")
		g := pages.ChoiceGroup{Label: f.Say(text(d.Name, d.EnglishName)), Choices: []pages.Choice{{Value: county, Text: text(unsure, unsure)}}}
		for _, town := range tree.Children(county) {
			g.Choices = append(g.Choices, choice(town))
			if v, ok := tree.Get(chosen); ok && v.Level == regions.Village && v.Parent == town.ID {
				g.Choices = append(g.Choices, choice(v))
			}
		}
		out = append(out, g)
	}
	return out
}

func (a *App) showReport(c *fiber.Ctx) error {
	v, err := a.reportPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveReport takes a report. Its answer is the same whoever it is about.
func (a *App) saveReport(c *fiber.Ctx) error {
	v, err := a.reportPage(c)
	if err != nil {
		return err
	}
	// People do not see this field and programs fill it in. Whoever filled it
	// in by mistake is told, so that no report is lost.
	if v.Value("leave_empty") != "" {
		wrong(&v.Form, "leave_empty", "report.leave_empty")
		return a.show(c, fiber.StatusBadRequest, v)
	}
	r, err := a.sendReport(c, reports.NewReport{
		Key: v.Value("key"), Division: v.Value("division"), Kind: v.Value("kind"), Seen: v.Value("seen"), Text: v.Value("text"),
		Place: v.Value("place"), Person: v.Value("person"), Name: v.Value("name"), Phone: v.Value("phone"),
	})
	if err != nil {
		status, err := a.refill(c, err, &v.Form, nil, nil)
		if err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	return a.show(c, fiber.StatusCreated, pages.ReportSent{Page: v.Page, Reference: r.Reference})
}

func (a *App) showReports(c *fiber.Ctx) error {
	f, err := a.form(c, "/reports")
	if err != nil {
		return err
	}
	state, reference := reports.State(c.Query("state", string(reports.StateNew))), typed(c.Query("reference"))
	v := pages.Reports{Form: f, State: string(state)}
	found, next, err := a.reportsOf(c, state, reference, pageQuery{After: c.Query("after"), Limit: rowsPerPage})
	status := fiber.StatusOK
	switch {
	case reference != "" && errors.Is(err, store.ErrNotFound) || errors.Is(err, errOutside):
		v.Values["reference"] = []string{reference}
		wrong(&v.Form, "reference", "reports.find_none")
		status = fiber.StatusNotFound
		if errors.Is(err, errOutside) {
			if err := a.denied(c, principalOf(c), routeOf(c), "", "", ""); err != nil {
				return err
			}
		}
		found = nil
	case err != nil:
		return err
	case reference != "":
		return to(c, "/reports/"+found[0].ID, "")
	}
	for _, r := range found {
		v.Rows = append(v.Rows, a.reportRow(c, r))
	}
	v.Next = nextLink("/reports", next, "state", v.State)
	return a.show(c, status, v)
}

func (a *App) reportRow(c *fiber.Ctx, r *reports.Report) pages.ReportRow {
	return pages.ReportRow{
		ID: r.ID, Reference: r.Reference, Place: a.placeName(r.Division), Kind: r.Kind, State: string(r.State), Outcome: string(r.Outcome),
		Overdue: r.Overdue(a.Now(), principalOf(c).Division), CreatedMs: r.CreatedMs,
	}
}

// taskPage is a report with what somebody wrote and what can be done.
func (a *App) taskPage(c *fiber.Ctx, r *reports.Report) (pages.Task, error) {
	f, err := a.form(c, "/reports/"+r.ID)
	if err != nil {
		return pages.Task{}, err
	}
	w, err := a.Reports.Open(r)
	if err != nil {
		return pages.Task{}, err
	}
	v := pages.Task{
		Form: f, ReportRow: a.reportRow(c, r), Words: pages.ReportWords(w), Seen: r.Seen, Resident: r.Resident, Deleted: r.WordsDeleted,
		Mine: r.TakenBy == principalOf(c).Account,
	}
	for _, o := range reports.Outcomes() {
		v.Outcomes = append(v.Outcomes, string(o))
	}
	names := actorNames{}
	for _, h := range r.History {
		step := pages.ReportStep{AtMs: h.AtMs, To: string(h.To)}
		if h.By != "" {
			if step.Who, err = a.actorName(c, names, h.By); err != nil {
				return v, err
			}
		}
		v.History = append(v.History, step)
	}
	return v, nil
}

func (a *App) showTask(c *fiber.Ctx) error {
	v, err := a.taskPage(c, reportOf(c))
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveTask moves a report on.
func (a *App) saveTask(c *fiber.Ctx) error {
	r, form := reportOf(c), func(field string) string { return typed(c.FormValue(field)) }
	change := reports.Change{By: principalOf(c).Account, To: reports.State(form("state")), Over: form("take_over") == "1"}
	if change.To == reports.StateClosed {
		change.Outcome, change.Note = reports.Outcome(form("outcome")), form("note")
	}
	_, failed := a.Reports.Change(c.UserContext(), r.ID, change)
	if failed == nil {
		path := "/reports/" + r.ID
		switch change.To {
		case reports.StateTaken:
			return to(c, path, "report_taken")
		case reports.StateVisited:
			return to(c, path, "report_visited")
		}
		return to(c, path, "report_closed")
	}
	r, err := a.Reports.Get(c.UserContext(), r.ID) // it may have changed just now
	if err != nil {
		return err
	}
	v, err := a.taskPage(c, r)
	if err != nil {
		return err
	}
	status, err := a.refill(c, failed, &v.Form, nil, nil)
	if err != nil {
		return err
	}
	if err := a.auditReport(c, r); err != nil {
		return err
	}
	return a.show(c, status, v)
}

// fromReport is the report that a registration is made from, if one is named;
// nil otherwise. Errors: errOutside, [store.ErrNotFound].
func (a *App) fromReport(c *fiber.Ctx, id string) (*reports.Report, error) {
	if id == "" {
		return nil, nil
	}
	r, err := a.Reports.Get(c.UserContext(), id)
	if err != nil {
		return nil, err
	}
	return r, a.within(principalOf(c), r.Division)
}

// fillFromReport shows in the register form what the report says, and chooses
// its village.
func (a *App) fillFromReport(c *fiber.Ctx, v *pages.Register, r *reports.Report) error {
	w, err := a.Reports.Open(r)
	if err != nil {
		return err
	}
	v.Report = &pages.ReportNote{ID: r.ID, Reference: r.Reference, Place: a.placeName(r.Division), Kind: r.Kind, Words: pages.ReportWords(w)}
	if _, sent := v.Values["division"]; !sent && r.Village != "" {
		v.Values["division"] = []string{r.Village}
	}
	return a.auditReport(c, r)
}

// closeRegistered closes the report that somebody was registered from. The
// registration stands whatever becomes of the report, so a failure is logged:
// the report stays open and can be closed by hand.
func (a *App) closeRegistered(c *fiber.Ctx, r *reports.Report, resident string) {
	if r == nil {
		return
	}
	_, err := a.Reports.Change(c.UserContext(), r.ID, reports.Change{
		By: principalOf(c).Account, To: reports.StateClosed, Outcome: reports.Registered, Resident: resident,
	})
	if err != nil && !errors.Is(err, reports.ErrState) {
		a.Logger.Error("close report", "request", requestID(c), "report", r.ID, "error", err)
	}
}
