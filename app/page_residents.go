package app

import (
	"net/url"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
)

const (
	rowsPerPage = 50
	badRowsMost = 200 // listed of an import
)

// residentsPage is the list of a division, the asker's own if none is named.
func (a *App) residentsPage(c *fiber.Ctx) (pages.Residents, error) {
	p := principalOf(c)
	f, err := a.form(c, "/residents")
	if err != nil {
		return pages.Residents{}, err
	}
	division := c.Query("division", p.Division)
	if err := a.within(p, division); err != nil {
		return pages.Residents{}, err
	}
	page, next, err := a.Residents.List(c.UserContext(), division, c.Query("after"), rowsPerPage)
	if err != nil {
		return pages.Residents{}, err
	}
	v := pages.Residents{Form: f, Divisions: a.below(p.Division, regions.Village)}
	if division != p.Division {
		v.Values["division"] = []string{division}
	}
	for _, r := range page {
		person, err := a.Residents.Open(c.UserContext(), r)
		if err != nil {
			return v, err
		}
		v.Rows = append(v.Rows, pages.ResidentRow{
			ID: r.ID, Name: person.Name, Place: a.placeName(r.Division), CardNo: r.CardNo, Groups: groupTexts(r.Groups),
		})
	}
	v.Next = nextLink("/residents", next, "division", c.Query("division"))
	concerns(c, division, "", division)
	return v, a.auditListed(c, page)
}

// nextLink is the address of the next page of a list; "" at the end.
func nextLink(path, next string, query ...string) string {
	if next == "" {
		return ""
	}
	q := url.Values{"after": {next}}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			q.Set(query[i], query[i+1])
		}
	}
	return path + "?" + q.Encode()
}

func (a *App) showResidents(c *fiber.Ctx) error {
	v, err := a.residentsPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) registerPage(c *fiber.Ctx) (pages.Register, error) {
	f, err := a.form(c, "/residents/new")
	if err != nil {
		return pages.Register{}, err
	}
	v := pages.Register{Form: f, Villages: a.villages(principalOf(c).Division), Groups: groupChoices()}
	if len(v.Villages) == 1 && len(v.Villages[0].Choices) == 1 && v.Value("division") == "" {
		v.Values["division"] = []string{v.Villages[0].Choices[0].Value}
	}
	return v, nil
}

func (a *App) showRegister(c *fiber.Ctx) error {
	v, err := a.registerPage(c)
	if err != nil {
		return err
	}
	report, err := a.fromReport(c, c.Query("report"))
	if err != nil {
		return err
	}
	if report != nil {
		if err := a.fillFromReport(c, &v, report); err != nil {
			return err
		}
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveRegister(c *fiber.Ctx) error {
	v, err := a.registerPage(c)
	if err != nil {
		return err
	}
	report, err := a.fromReport(c, v.Value("report"))
	if err != nil {
		return err
	}
	in := residents.Registration{
		Name: v.Value("name"), IDNumber: v.Value("id_number"), Phone: v.Value("phone"), Division: v.Value("division"),
		Groups: v.Values["groups"], ScoreMilli: whole(&v.Form, "score"), Household: v.Value("household"),
		PIN: typed(c.FormValue("pin")), Consent: v.Values["consent"],
	}
	for _, field := range []string{"name", "id_number", "division"} {
		if v.Value(field) == "" {
			wrong(&v.Form, field, "form.required")
		}
	}
	status := fiber.StatusBadRequest
	if len(v.Errors) == 0 {
		r, err := a.register(c, in)
		if err == nil {
			a.closeRegistered(c, report, r.ID)
			return to(c, "/residents/"+r.ID, "registered")
		}
		if status, err = a.refill(c, err, &v.Form, map[string]string{"score_milli": "score"}, nil); err != nil {
			return err
		}
	}
	if report != nil {
		if err := a.fillFromReport(c, &v, report); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

// needForm is the form for a need, filled with what is usual.
func (a *App) needForm(c *fiber.Ctx, path string) (pages.NeedForm, error) {
	f, err := a.form(c, path)
	if err != nil {
		return pages.NeedForm{}, err
	}
	for field, usual := range map[string]string{"qty": "1", "urgency": "2"} {
		if _, sent := f.Values[field]; !sent {
			f.Values[field] = []string{usual}
		}
	}
	return pages.NeedForm{Form: f, Categories: categoryChoices(), Today: a.Now().In(chinaTime).Format("2006-01-02")}, nil
}

// addNeed records the need that stands in the form. When something is wrong
// with the form it is marked, and the status says so; 0 means recorded.
func (a *App) addNeed(c *fiber.Ctx, f *pages.NeedForm, resident, source string) (status int, err error) {
	in := residents.NewNeed{
		Resident: resident, Category: f.Value("category"), QtyUnits: units(&f.Form, "qty", f.Value("category")),
		Urgency: int(whole(&f.Form, "urgency")), UntilMs: dayEnd(&f.Form, "until"), Source: source, Note: f.Value("note"),
	}
	if len(f.Errors) > 0 {
		return fiber.StatusBadRequest, nil
	}
	err = a.mayAsk(c, in)
	if err == nil {
		_, err = a.Care.AddNeed(c.UserContext(), principalOf(c), in)
	}
	if err != nil {
		return a.refill(c, err, &f.Form, map[string]string{"qty_units": "qty", "until_ms": "until"}, nil)
	}
	return 0, nil
}

// residentPage is everything about one person.
func (a *App) residentPage(c *fiber.Ctx, r *residents.Resident) (pages.Resident, error) {
	ctx, path := c.UserContext(), "/residents/"+r.ID
	f, err := a.needForm(c, path)
	if err != nil {
		return pages.Resident{}, err
	}
	record, err := a.form(c, path)
	if err != nil {
		return pages.Resident{}, err
	}
	record.Values["consent"], record.Values["status"] = r.Consent.Scope, []string{string(r.Status)}
	person, err := a.Residents.Open(ctx, r)
	if err != nil {
		return pages.Resident{}, err
	}
	record.Values["address"] = []string{person.Address}
	v := pages.Resident{
		Record: record, Status: string(r.Status), HasPIN: r.PINHash != "", ConsentMs: r.Consent.AtMs,
		NeedForm: f, ID: r.ID, Name: person.Name, Place: a.placeName(r.Division), CardNo: r.CardNo,
		IDMasked: masked(person.IDNumber), Household: r.Household, BirthYear: r.BirthYear,
		ScoreMilli: r.ScoreMilli, Groups: groupTexts(r.Groups),
	}
	if v.Kept, err = a.codeKept(c, r, path, historyOfWorker); err != nil {
		return v, err
	}
	scan := typed(c.Query("scan", c.FormValue("scan")))
	if v.ShownBy, err = a.shownBy(c, f.Page, r.ID, scan); err != nil {
		return v, err
	}
	if v.Promises, v.Needs, err = a.standing(c, r.ID, true, scan); err != nil {
		return v, err
	}
	received, next, err := a.Care.List(ctx, r.ID, c.Query("after"), 20)
	if err != nil {
		return v, err
	}
	v.Received = ended(received)
	for i := range v.Received {
		v.Received[i].MayHandOver = true // and take back
	}
	v.NextReceived = nextLink(path, next)
	v.Views, err = a.looks(c, r.ID)
	return v, err
}

// standing is what a resident is promised and still needs; scan is the one
// that a handover would rest on, or "".
func (a *App) standing(c *fiber.Ctx, resident string, mayHandOver bool, scan string) ([]pages.Aid, []pages.Need, error) {
	ctx := c.UserContext()
	offered, err := a.Care.Offered(ctx, resident)
	if err != nil {
		return nil, nil, err
	}
	var promises []pages.Aid
	for _, x := range offered {
		aid := aidOf(x)
		aid.Open, aid.MayHandOver, aid.Scan = x.Leased == nil, mayHandOver, scan
		promises = append(promises, aid)
	}
	views, err := a.Care.Needs(ctx, resident)
	if err != nil {
		return nil, nil, err
	}
	notes, err := a.Residents.Needs(ctx, resident)
	if err != nil {
		return nil, nil, err
	}
	var needs []pages.Need
	for _, n := range views {
		need := needOfView(n)
		for _, stored := range notes {
			if stored.ID == n.ID {
				if need.Note, err = a.Residents.NeedNote(stored); err != nil {
					return nil, nil, err
				}
			}
		}
		needs = append(needs, need)
	}
	return promises, needs, nil
}

// needOfView is a need as people see it, without its note.
func needOfView(n care.NeedView) pages.Need {
	need := pages.Need{
		ID: n.ID, Category: categoryText(n.Category), Amount: amount(n.Category, n.QtyUnits, ""),
		Promised: amount(n.Category, n.PromisedUnits, ""), Given: amount(n.Category, n.GivenUnits, ""), Left: amount(n.Category, n.LeftUnits, ""),
		Urgency: n.Urgency, State: string(n.State), Reason: reasonText(n.Reason), Rest: reasonText(n.Rest), Position: n.Position,
		CreatedMs: n.CreatedMs, UntilMs: n.UntilMs, MayWithdraw: n.State.Live(),
	}
	for _, o := range n.NotServed {
		need.NotServed = append(need.NotServed, pages.NotServed{Title: text(o.TitleZH, o.TitleEN), Reason: reasonText(o.Reason)})
	}
	return need
}

func aidOf(x care.AllocationView) pages.Aid {
	var leased pages.Text
	if x.Leased != nil {
		leased = reasonText(*x.Leased)
	}
	var parts []pages.AidPart
	for _, part := range x.Parts {
		parts = append(parts, pages.AidPart{
			Amount: amount(x.Category, part.QtyUnits, x.Unit), AtMs: part.AtMs, Instead: part.Instead, InsteadWhy: part.InsteadWhy,
		})
	}
	var backs []pages.AidBack
	for _, b := range x.Backs {
		backs = append(backs, pages.AidBack{Amount: amount(x.Category, b.QtyUnits, x.Unit), AtMs: b.AtMs, Why: b.Why})
	}
	return pages.Aid{
		Backs: backs, GivenUnits: x.GivenUnits,
		Given: amount(x.Category, x.GivenUnits, x.Unit), Rest: amount(x.Category, x.RestUnits, x.Unit), RestReason: reasonText(x.RestReason), Parts: parts,
		Leased: leased,
		ID:     x.ID, Title: text(x.TitleZH, x.TitleEN), Category: categoryText(x.Category),
		Amount: amount(x.Category, x.QtyUnits, x.Unit), Provider: x.ProviderName, Kind: string(x.ProviderKind),
		State: string(x.State), Accepted: x.Accepted, Reason: reasonText(x.Reason), EndReason: reasonText(x.EndReason),
		How: string(x.Handover.How), Place: text(x.Handover.Place, x.Handover.PlaceEN), Note: x.Handover.Note,
		ExpiresMs: x.ExpiresMs, HandedOverMs: x.HandedOverMs, PINRequired: x.PINRequired, Photo: x.Photo, Proof: x.Proof,
	}
}

// ended leaves out what is still promised, which stands elsewhere.
func ended(list []care.AllocationView) []pages.Aid {
	var out []pages.Aid
	for _, x := range list {
		if x.State != care.Promised && x.State != care.Void {
			out = append(out, aidOf(x))
		}
	}
	return out
}

func (a *App) showResident(c *fiber.Ctx) error {
	v, err := a.residentPage(c, residentOf(c))
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveNeed(c *fiber.Ctx) error {
	r := residentOf(c)
	f, err := a.needForm(c, "/residents/"+r.ID)
	if err != nil {
		return err
	}
	status, err := a.addNeed(c, &f, r.ID, "scan")
	if err != nil {
		return err
	}
	if status == 0 {
		return to(c, "/residents/"+r.ID, "need")
	}
	v, err := a.residentPage(c, r)
	if err != nil {
		return err
	}
	v.NeedForm = f
	return a.show(c, status, v)
}

// top makes a redirect end at the top of the page, where it says what was
// done; browsers otherwise stay at the form that was sent.
func top(c *fiber.Ctx, err error) error {
	if err == nil {
		c.Set(fiber.HeaderLocation, string(c.Response().Header.Peek(fiber.HeaderLocation))+"#main")
	}
	return err
}

// recordRefused shows the resident's page again with what is wrong with one of
// the forms for the record.
func (a *App) recordRefused(c *fiber.Ctx, failed error) error {
	v, err := a.residentPage(c, residentOf(c))
	if err != nil {
		return err
	}
	status, err := a.refill(c, failed, &v.Record, nil, nil)
	if err != nil {
		return err
	}
	return a.show(c, status, v)
}

func (a *App) savePIN(c *fiber.Ctx) error {
	if err := a.givePIN(c, typed(c.FormValue("pin"))); err != nil {
		return a.recordRefused(c, err)
	}
	return top(c, to(c, "/residents/"+residentOf(c).ID, "pin"))
}

func (a *App) saveConsent(c *fiber.Ctx) error {
	var scope []string
	for _, x := range c.Request().PostArgs().PeekMulti("consent") {
		scope = append(scope, string(x))
	}
	r := residentOf(c)
	if _, err := a.Residents.SetConsent(c.UserContext(), principalOf(c).Account, r.ID, scope); err != nil {
		return a.recordRefused(c, err)
	}
	return top(c, to(c, "/residents/"+r.ID, "consent"))
}

func (a *App) saveStatus(c *fiber.Ctx) error {
	r, err := a.giveStatus(c, residents.Status(typed(c.FormValue("status"))))
	if err != nil {
		return a.recordRefused(c, err)
	}
	return top(c, to(c, "/residents/"+r.ID, "status"))
}

// personPath is where the one who asks sees a resident: their own page for
// residents.
func personPath(c *fiber.Ctx, resident string) string {
	if principalOf(c).Resident != "" {
		return "/me"
	}
	return "/residents/" + resident
}

func (a *App) showImport(c *fiber.Ctx) error {
	f, err := a.form(c, "/residents/import")
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.Import{Form: f})
}

func (a *App) saveImport(c *fiber.Ctx) error {
	f, err := a.form(c, "/residents/import")
	if err != nil {
		return err
	}
	res, err := a.takeResidents(c)
	if err != nil {
		status, err := a.refill(c, err, &f, nil, nil)
		if err != nil {
			return err
		}
		return a.show(c, status, pages.Import{Form: f})
	}
	return a.show(c, fiber.StatusOK, pages.Import{Form: f, Outcome: outcomeOf(res.Taken, res.Known, res.Bad)})
}

func outcomeOf(taken, known int, bad []regions.BadRow) *pages.Outcome {
	out := &pages.Outcome{Taken: int64(taken), Known: int64(known), BadCount: int64(len(bad))}
	for _, b := range bad[:min(len(bad), badRowsMost)] {
		out.Bad = append(out.Bad, pages.BadRow{Row: b.Row, Column: b.Column, Reason: text(b.ReasonZH, b.ReasonEN)})
	}
	return out
}
