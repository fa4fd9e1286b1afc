package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

type consentView struct {
	AtMs  int64    `json:"at_ms"`
	Scope []string `json:"scope" items.enum:"matching,provider_handover,sms,delivery"`
}

// residentView is a person as those see it who answer for them, and they
// themselves. The ID number never leaves the record whole.
type residentView struct {
	ID         string           `json:"id"`
	Name       string           `json:"name"`
	IDMasked   string           `json:"id_masked" description:"First four and last two characters."`
	Phone      string           `json:"phone" description:"Empty in lists."`
	Household  string           `json:"household"`
	Division   string           `json:"division"`
	Place      string           `json:"place" description:"Names of county, town and village."`
	BirthYear  int              `json:"birth_year"`
	Groups     []string         `json:"groups"`
	ScoreMilli int64            `json:"score_milli"`
	Consent    consentView      `json:"consent"`
	CardNo     string           `json:"card_no"`
	Status     residents.Status `json:"status" enum:"active,moved,deceased"`
	CreatedMs  int64            `json:"created_ms"`
}

func (a *App) viewResident(c *fiber.Ctx, r *residents.Resident, whole bool) (residentView, error) {
	person, err := a.Residents.Open(c.UserContext(), r)
	if err != nil {
		return residentView{}, err
	}
	v := residentView{
		ID: r.ID, Name: person.Name, IDMasked: masked(person.IDNumber), Household: r.Household,
		Division: r.Division, Place: a.Tree().Name(r.Division), BirthYear: r.BirthYear, Groups: r.Groups,
		ScoreMilli: r.ScoreMilli, Consent: consentView{r.Consent.AtMs, r.Consent.Scope},
		CardNo: r.CardNo, Status: r.Status, CreatedMs: r.CreatedMs,
	}
	if whole {
		v.Phone = person.Phone
	}
	return v, nil
}

// masked leaves the first four and the last two characters of an ID number.
func masked(id string) string {
	if len(id) < 10 {
		return ""
	}
	return id[:4] + "************"[:min(12, len(id)-6)] + id[len(id)-2:]
}

type residentRequest struct {
	Name       string   `json:"name" required:"true" minLength:"1" maxLength:"50"`
	IDNumber   string   `json:"id_number" description:"18 characters, GB 11643; empty for a person without one."`
	Phone      string   `json:"phone"`
	Division   string   `json:"division" required:"true" description:"12-digit code within the caseworker's own."`
	Groups     []string `json:"groups" description:"Ids of /groups."`
	ScoreMilli int64    `json:"score_milli" minimum:"0" maximum:"1000"`
	Household  string   `json:"household" description:"Id of a household of the division, or a key of the office's own; empty for a new one."`
	PIN        string   `json:"pin" format:"password" description:"6 to 12 digits; empty: none yet."`
	Consent    []string `json:"consent" items.enum:"matching,provider_handover,sms,delivery"`
}

func (a *App) createResident(c *fiber.Ctx) error {
	in, err := decode[residentRequest](c)
	if err != nil {
		return err
	}
	r, err := a.register(c, residents.Registration(in))
	if err != nil {
		return err
	}
	v, err := a.viewResident(c, r, true)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(v)
}

// register registers a resident within the caseworker's division.
func (a *App) register(c *fiber.Ctx, in residents.Registration) (*residents.Resident, error) {
	p := principalOf(c)
	if !p.Sees(in.Division) {
		return nil, errOutside
	}
	r, err := a.Residents.Register(c.UserContext(), p.Account, in)
	if errors.Is(err, store.ErrDuplicate) {
		return nil, faultDuplicate.with(fieldFault{"id_number", words{"该身份证号已登记", "this ID number is registered already"}})
	}
	if err != nil {
		return nil, err
	}
	concerns(c, r.ID, r.ID, r.Division)
	return r, nil
}

type residentsQuery struct {
	Division string `query:"division" description:"12-digit code; this division and all below. Empty: one's own."`
	pageQuery
}

func (a *App) listResidents(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	p := principalOf(c)
	division := c.Query("division", p.Division)
	if err := a.within(p, division); err != nil {
		return err
	}
	page, next, err := a.Residents.List(c.UserContext(), division, q.After, q.Limit)
	if err != nil {
		return err
	}
	out := list[residentView]{Items: make([]residentView, len(page)), Next: next}
	for i, r := range page {
		if out.Items[i], err = a.viewResident(c, r, false); err != nil {
			return err
		}
	}
	concerns(c, division, "", division)
	if err := a.auditListed(c, page); err != nil {
		return err
	}
	return c.JSON(out)
}

// auditListed writes to the audit log, for each person of a list, that the one who
// asks has seen them, before the list goes out. page is not longer than one
// block of the log takes.
func (a *App) auditListed(c *fiber.Ctx, page []*residents.Resident) error {
	entries := make([]audit.Entry, len(page))
	for i, r := range page {
		e := a.entry(principalOf(c), routeOf(c))
		e.Act, e.Object, e.Subject, e.Division, e.Outcome = "list_residents", r.ID, r.ID, r.Division, "ok"
		entries[i] = e
	}
	if err := a.Audit.Write(c.UserContext(), entries...); err != nil {
		return fmt.Errorf("audit list of residents: %w", err)
	}
	return nil
}

type findRequest struct {
	IDNumber string `json:"id_number" description:"One of the two."`
	CardNo   string `json:"card_no"`
}

// findResident looks a person up by a number that must not stand in an
// address. Another division's person is not found.
func (a *App) findResident(c *fiber.Ctx) error {
	in, err := decode[findRequest](c)
	if err != nil {
		return err
	}
	var r *residents.Resident
	switch {
	case in.IDNumber != "":
		r, err = a.Residents.ByIDNumber(c.UserContext(), in.IDNumber)
	case in.CardNo != "":
		r, err = a.byCardNumber(c, in.CardNo)
	default:
		return faultField.with(fieldFault{"id_number", words{"请填写身份证号或卡号", "give an ID number or a card number"}})
	}
	if errors.Is(err, store.ErrNotFound) {
		return faultCode
	}
	if err != nil {
		return err
	}
	p := principalOf(c)
	if !p.Sees(r.Division) {
		if err := a.denied(c, p, routeOf(c), r.ID, r.ID, r.Division); err != nil {
			return err
		}
		return faultCode
	}
	concerns(c, r.ID, r.ID, r.Division)
	v, err := a.viewResident(c, r, true)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

// byCardNumber finds whose card it is that has this number now; a card that
// was replaced or revoked is nobody's. Errors: [store.ErrNotFound].
func (a *App) byCardNumber(c *fiber.Ctx, no string) (*residents.Resident, error) {
	r, code, err := a.Residents.ByCardNumber(c.UserContext(), no)
	if err != nil {
		return nil, err
	}
	if code.Status != residents.CodeActive {
		return nil, fmt.Errorf("code %s is %s: %w", code.ID, code.Status, store.ErrNotFound)
	}
	return r, nil
}

func (a *App) getResident(c *fiber.Ctx) error {
	v, err := a.viewResident(c, residentOf(c), true)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type residentsImported struct {
	Taken int      `json:"taken" description:"New."`
	Known int      `json:"known" description:"Registered already, or twice in the file."`
	Bad   []badRow `json:"bad" description:"Left out, and why."`
}

func (a *App) importResidents(c *fiber.Ctx) error {
	res, err := a.takeResidents(c)
	if err != nil {
		return err
	}
	return c.JSON(residentsImported{res.Taken, res.Known, viewBadRows(langOf(c), res.Bad)})
}

// takeResidents imports the uploaded "file" into the form's "division", which
// is the caseworker's own when it is empty.
func (a *App) takeResidents(c *fiber.Ctx) (residents.ImportResult, error) {
	p := principalOf(c)
	division := c.FormValue("division")
	if division == "" {
		division = p.Division
	}
	if err := a.within(p, division); err != nil {
		return residents.ImportResult{}, err
	}
	file, name, err := uploaded(c, "file")
	if err != nil {
		return residents.ImportResult{}, err
	}
	defer file.Close()
	concerns(c, division, "", division)
	return a.Residents.Import(c.UserContext(), p.Account, division, file, name, a.progress(c))
}

type codeView struct {
	ID       string               `json:"id"`
	Digits   string               `json:"digits" description:"The signed token, 193 digits."`
	URL      string               `json:"url" description:"What the code image holds."`
	CardNo   string               `json:"card_no" description:"12 digits to type."`
	Status   residents.CodeStatus `json:"status" enum:"active,revoked"`
	IssuedMs int64                `json:"issued_ms"`
}

// drawable returns the token of a resident's code for a picture of it; there is
// none of a code that is not recognised. Errors: faultNothingShown.
func (a *App) drawable(c *fiber.Ctx, r *residents.Resident) (*residents.Code, qrcode.Token, error) {
	code, token, err := a.codeOf(c, r)
	if err == nil && (code.Status != residents.CodeActive || r.Status != residents.Active) {
		err = faultNothingShown
	}
	return code, token, err
}

// codeOf returns a resident's current code and its token.
func (a *App) codeOf(c *fiber.Ctx, r *residents.Resident) (*residents.Code, qrcode.Token, error) {
	code, err := a.Residents.CodeByID(c.UserContext(), r.Code)
	if err != nil {
		return nil, qrcode.Token{}, err
	}
	token, err := a.Residents.Token(c.UserContext(), code)
	return code, token, err
}

func (a *App) viewCode(code *residents.Code, token qrcode.Token) codeView {
	return codeView{
		ID: code.ID, Digits: token.Digits(), URL: qrcode.URL(a.Settings.PublicHost, token), CardNo: code.CardNo,
		Status: code.Status, IssuedMs: int64(code.IssuedMinute) * 60_000,
	}
}

func (a *App) getCode(c *fiber.Ctx) error {
	code, token, err := a.codeOf(c, residentOf(c))
	if err != nil {
		return err
	}
	return c.JSON(a.viewCode(code, token))
}

func (a *App) getCodeSVG(c *fiber.Ctx) error {
	_, token, err := a.drawable(c, residentOf(c))
	if err != nil {
		return err
	}
	svg, err := qrcode.SVG(qrcode.URL(a.Settings.PublicHost, token), qrcode.Q)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "image/svg+xml")
	return c.Send(svg)
}

type pixelsQuery struct {
	Pixels int `query:"pixels" minimum:"100" maximum:"2000" default:"600" description:"Width and height."`
}

func (a *App) getCodePNG(c *fiber.Ctx) error {
	pixels := 600
	if s := c.Query("pixels"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 || n > 2000 {
			return faultField.with(fieldFault{"pixels", words{"应为 100 至 2000", "is from 100 to 2000"}})
		}
		pixels = n
	}
	_, token, err := a.drawable(c, residentOf(c))
	if err != nil {
		return err
	}
	png, err := qrcode.PNG(qrcode.URL(a.Settings.PublicHost, token), qrcode.Q, pixels)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "image/png")
	return c.Send(png)
}

func (a *App) reissueCode(c *fiber.Ctx) error {
	why := residents.WhyOther
	if len(c.Body()) > 0 { // programs of before there were reasons send none
		in, err := decode[reasonRequest](c)
		if err != nil {
			return err
		}
		why = in.Reason
	}
	code, err := a.reissue(c, why)
	if err != nil {
		return err
	}
	token, err := a.Residents.Token(c.UserContext(), code)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(a.viewCode(code, token))
}

// reissue gives the resident a new code; the old card and whoever signed in
// with it are out at once.
func (a *App) reissue(c *fiber.Ctx, why residents.Why) (*residents.Code, error) {
	ctx, r := c.UserContext(), residentOf(c)
	code, err := a.Residents.Reissue(ctx, principalOf(c).Account, r.ID, why)
	if err != nil {
		return nil, err
	}
	if err := a.Accounts.SignOutResident(ctx, r.ID); err != nil {
		return nil, err
	}
	return code, nil
}

type pinRequest struct {
	PIN string `json:"pin" required:"true" format:"password" description:"6 to 12 digits."`
}

func (a *App) setPIN(c *fiber.Ctx) error {
	in, err := decode[pinRequest](c)
	if err != nil {
		return err
	}
	if err := a.givePIN(c, in.PIN); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

// givePIN sets the PIN of the route's resident; whoever signed in with the one
// before is out at once.
func (a *App) givePIN(c *fiber.Ctx, pin string) error {
	ctx, r := c.UserContext(), residentOf(c)
	if err := a.hashed(ctx, func() error { return a.Residents.SetPIN(ctx, r.ID, pin) }); err != nil {
		return err
	}
	return a.Accounts.SignOutResident(ctx, r.ID)
}

// hashed runs what hashes PINs when there is room for it.
func (a *App) hashed(ctx context.Context, do func() error) error {
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

type consentRequest struct {
	Scope []string `json:"scope" required:"true" items.enum:"matching,provider_handover,sms,delivery" description:"All that the resident agrees to from now on; empty withdraws the consent."`
}

func (a *App) setConsent(c *fiber.Ctx) error {
	in, err := decode[consentRequest](c)
	if err != nil {
		return err
	}
	if in.Scope == nil { // a consent is not withdrawn by leaving it out
		return faultField.with(fieldFault{"scope", words{"请填写同意范围，可为空列表", "name the scope; it may be an empty list"}})
	}
	r, err := a.Residents.SetConsent(c.UserContext(), principalOf(c).Account, residentOf(c).ID, in.Scope)
	if wrong := new(residents.FieldError); errors.As(err, &wrong) {
		return faultField.with(fieldFault{"scope", words{wrong.ZH, wrong.EN}})
	}
	if err != nil {
		return err
	}
	v, err := a.viewResident(c, r, true)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type statusRequest struct {
	Status residents.Status `json:"status" required:"true" enum:"active,moved,deceased" description:"The code of somebody who is not active is not recognised."`
}

func (a *App) setStatus(c *fiber.Ctx) error {
	in, err := decode[statusRequest](c)
	if err != nil {
		return err
	}
	r, err := a.giveStatus(c, in.Status)
	if err != nil {
		return err
	}
	v, err := a.viewResident(c, r, true)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

// giveStatus changes the status of the route's resident; those who are not
// served here any more are signed out.
func (a *App) giveStatus(c *fiber.Ctx, status residents.Status) (*residents.Resident, error) {
	ctx := c.UserContext()
	r, err := a.Residents.SetStatus(ctx, principalOf(c).Account, residentOf(c).ID, status)
	if err != nil {
		return nil, err
	}
	if r.Status != residents.Active {
		if err := a.Accounts.SignOutResident(ctx, r.ID); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (a *App) listNeeds(c *fiber.Ctx) error {
	needs, err := a.Care.Needs(c.UserContext(), residentOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(listed(needs, "", func(n care.NeedView) care.NeedView { return n }))
}

type needRequest struct {
	Category string `json:"category" required:"true" description:"Id of /categories."`
	QtyUnits int64  `json:"qty_units" required:"true" minimum:"1" maximum:"1000000000"`
	Urgency  int    `json:"urgency" minimum:"1" maximum:"4" default:"2" description:"1 can wait, 4 today."`
	UntilMs  int64  `json:"until_ms" description:"Unix ms; 0: no end."`
	Source   string `json:"source" enum:"scan,resident,red_key,green_key,warning,import,report" default:"scan"`
	Note     string `json:"note" maxLength:"500"`
}

func (a *App) createNeed(c *fiber.Ctx) error {
	in, err := decode[needRequest](c)
	if err != nil {
		return err
	}
	n := residents.NewNeed{
		Resident: residentOf(c).ID, Category: in.Category, QtyUnits: in.QtyUnits, Urgency: in.Urgency,
		UntilMs: in.UntilMs, Source: in.Source, Note: in.Note,
	}
	if _, ok := providers.CategoryByID(n.Category); !ok {
		return faultField.with(fieldFault{"category", words{"请选择类别(见 /categories)", "choose a category (see /categories)"}})
	}
	if n.Urgency == 0 {
		n.Urgency = 2
	}
	if n.Source == "" {
		n.Source = "scan"
	}
	// The key makes the need's id, so that not even a crash between the need
	// and the kept answer doubles it.
	if key := c.Get("Idempotency-Key"); key != "" {
		n.Key = hash(principalOf(c).Account, key)
	}
	if err := a.mayAsk(c, n); err != nil {
		return err
	}
	need, err := a.Care.AddNeed(c.UserContext(), principalOf(c), n)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewNeed(need))
}

// What residents may ask for themselves; a caseworker records what is more.
const (
	ownNeeds   = 10 // that have not ended, at once
	ownUrgency = 3  // 4 (today) is for a caseworker to judge
	ownEdits   = 20 // of one need, whoever made them: each stays in its history
)

// mayAsk says whether a resident may ask for a need; everybody else may. The
// bound on the number is against flooding: requests at the very same moment
// can go beyond it, and what is given is capped by the matcher.
func (a *App) mayAsk(c *fiber.Ctx, n residents.NewNeed) error {
	if principalOf(c).Role != accounts.Resident {
		return nil
	}
	wrong := tooMuch(n.Category, n.QtyUnits, n.Urgency)
	needs, err := a.Residents.Needs(c.UserContext(), n.Resident)
	if err != nil {
		return err
	}
	live := 0
	for _, x := range needs {
		if x.State.Live() {
			live++
		}
	}
	if live >= ownNeeds {
		wrong = append(wrong, fieldFault{"category", words{
			fmt.Sprintf("您已有 %d 项需求未结束，请先撤回不再需要的，或联系社工。", ownNeeds),
			fmt.Sprintf("%d of your needs have not ended yet: withdraw what you no longer need, or call your caseworker.", ownNeeds),
		}})
	}
	if len(wrong) > 0 {
		return faultField.with(wrong...)
	}
	return nil
}

// tooMuch says what of a need is beyond what residents ask for themselves.
func tooMuch(category string, qtyUnits int64, urgency int) (wrong []fieldFault) {
	if urgency > ownUrgency {
		wrong = append(wrong, fieldFault{"urgency", words{"急需当天解决的，请联系社工登记。", "What is needed today is recorded by your caseworker: please call."}})
	}
	if x, ok := providers.CategoryByID(category); ok && x.CapUnits > 0 && qtyUnits > x.CapUnits {
		zh, en := fmt.Sprintf("%d %s", x.CapUnits, x.UnitZH), fmt.Sprintf("%d (%s)", x.CapUnits, x.UnitEN)
		if x.ID == providers.Cash {
			zh = fmt.Sprintf("%d 元", x.CapUnits/100)
			en = fmt.Sprintf("%d yuan", x.CapUnits/100)
		}
		wrong = append(wrong, fieldFault{"qty_units", words{"一次最多申请 " + zh + "，需要更多请联系社工。", "Ask for at most " + en + " at once; for more, please call your caseworker."}})
	}
	return wrong
}

// mayEdit says whether a resident may change a need of their own so; everybody
// else may. What a caseworker has recorded beyond the bounds may stay or become
// less, and the note of a need that they did not ask for is not theirs.
func (a *App) mayEdit(c *fiber.Ctx, n *residents.Need, e residents.NeedEdit) error {
	if principalOf(c).Role != accounts.Resident {
		return nil
	}
	var qtyUnits int64
	urgency := 0
	if e.QtyUnits != nil && *e.QtyUnits > n.QtyUnits {
		qtyUnits = *e.QtyUnits
	}
	if e.Urgency != nil && *e.Urgency > n.Urgency {
		urgency = *e.Urgency
	}
	wrong := tooMuch(n.Category, qtyUnits, urgency)
	if e.Note != nil && n.Source != "resident" {
		wrong = append(wrong, fieldFault{"note", words{"这项需求的说明由社工填写，请联系社工更改。", "Your caseworker wrote this note: please call to have it changed."}})
	}
	if n.Asked >= ownEdits {
		wrong = append(wrong, fieldFault{"reason", words{
			"这项需求已多次更改，再要更改请联系社工。", "This need has been changed many times: please call your caseworker to change it again.",
		}})
	}
	if len(wrong) > 0 {
		return faultField.with(wrong...)
	}
	return nil
}

func viewNeed(n *residents.Need) care.NeedView {
	return care.NeedView{
		ID: n.ID, Category: n.Category, QtyUnits: n.QtyUnits, Urgency: n.Urgency, State: n.State, Reason: n.Reason,
		UntilMs: n.UntilMs, CreatedMs: n.CreatedMs, LeftUnits: n.QtyUnits, Asked: n.Asked,
	}
}

func (a *App) listReceived(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Care.List(c.UserContext(), residentOf(c).ID, q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, func(v care.AllocationView) care.AllocationView { return v }))
}

// lookView is one time somebody looked at a person or did something for them.
type lookView struct {
	ID       string `json:"id"`
	AtMs     int64  `json:"at_ms"`
	Actor    string `json:"actor"`
	Role     string `json:"role"`
	Act      string `json:"act"`
	Division string `json:"division"`
	Purpose  string `json:"purpose"`
	Outcome  string `json:"outcome"`
}

func (a *App) listLooks(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Audit.Of(c.UserContext(), residentOf(c).ID, q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, func(e audit.Entry) lookView {
		return lookView{e.ID, e.AtMs, e.Actor, e.Role, e.Act, e.Division, e.Purpose, e.Outcome}
	}))
}
