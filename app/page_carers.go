package app

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/qrcode/cards"
)

// ownPath is the page on which a resident, or a carer, begins.
func ownPath(p accounts.Principal) string {
	if p.Carer != "" {
		return "/me/code"
	}
	return "/me"
}

// codeKept is how a resident's code, carers and their history stand on a page
// whose address is base; most bounds the history.
func (a *App) codeKept(c *fiber.Ctx, r *residents.Resident, base string, most int) (pages.CodeKept, error) {
	ctx := c.UserContext()
	f, err := a.form(c, base)
	if err != nil {
		return pages.CodeKept{}, err
	}
	v := pages.CodeKept{
		Form: f, Base: base, Own: base == "/me", Active: r.Status == residents.Active,
		Relations: residents.Relations(), Key: rand.Text(),
	}
	code, err := a.Residents.CodeByID(ctx, r.Code)
	if err != nil {
		return v, err
	}
	if code.Status == residents.CodeRevoked {
		v.RevokedMs, v.RevokedWhy = code.RevokedMs, string(code.RevokedWhy)
	}
	today := a.Now().In(chinaTime)
	v.First, v.Last = today.Format("2006-01-02"), today.AddDate(1, 0, 0).Format("2006-01-02")
	carers, err := a.carersOf(ctx, r)
	if err != nil {
		return v, err
	}
	for _, x := range carers {
		if x.State == "active" {
			v.Carers = append(v.Carers, pages.Carer{
				ID: x.ID, Name: x.Name, Phone: x.Phone, CardNo: x.CardNo, Relation: x.Relation, UntilMs: x.UntilMs,
			})
		}
	}
	v.Full = len(v.Carers) >= residents.MaxCarers
	all, err := a.history(ctx, r)
	if err != nil {
		return v, err
	}
	lines := all.Items
	v.PINFromMs = all.PINFromMs
	names := actorNames{}
	for _, x := range lines[:min(most, len(lines))] {
		line := pages.HistoryLine{
			AtMs: x.AtMs, Kind: x.Kind, Why: string(x.Why), CardNo: x.CardNo, Carer: x.Carer,
			Relation: x.Relation, UntilMs: x.UntilMs,
		}
		if x.By != "" {
			if line.Who, err = a.actorName(c, names, x.By); err != nil {
				return v, err
			}
		}
		v.History = append(v.History, line)
	}
	return v, nil
}

// How much of the history stands on a page.
const (
	historyOfWorker   = 50
	historyOfResident = 8
)

// lost is the page that says what happens when a card is revoked or replaced.
func (a *App) lost(c *fiber.Ctx, r *residents.Resident, base string) (pages.Lost, error) {
	f, err := a.form(c, base+"/lost")
	if err != nil {
		return pages.Lost{}, err
	}
	person, err := a.Residents.Open(c.UserContext(), r)
	if err != nil {
		return pages.Lost{}, err
	}
	code, err := a.Residents.CodeByID(c.UserContext(), r.Code)
	if err != nil {
		return pages.Lost{}, err
	}
	return pages.Lost{
		Form: f, Base: base, Own: base == "/me", Name: person.Name, CardNo: r.CardNo, Revoked: code.Status == residents.CodeRevoked,
	}, nil
}

// lostRefused shows the page again with what is wrong.
func (a *App) lostRefused(c *fiber.Ctx, r *residents.Resident, base string, failed error) error {
	v, err := a.lost(c, r, base)
	if err != nil {
		return err
	}
	status, err := a.refill(c, failed, &v.Form, nil, nil)
	if err != nil {
		return err
	}
	return a.show(c, status, v)
}

func (a *App) showLost(c *fiber.Ctx) error {
	r := residentOf(c)
	v, err := a.lost(c, r, "/residents/"+r.ID)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func chosenWhy(c *fiber.Ctx) residents.Why { return residents.Why(typed(c.FormValue("reason"))) }

func (a *App) saveRevoked(c *fiber.Ctx) error {
	r := residentOf(c)
	if _, err := a.revoke(c, r, chosenWhy(c)); err != nil {
		return a.lostRefused(c, r, "/residents/"+r.ID, err)
	}
	return to(c, "/residents/"+r.ID, "revoked")
}

// saveReissue ends on the new card, which is printed next.
func (a *App) saveReissue(c *fiber.Ctx) error {
	r := residentOf(c)
	if _, err := a.reissue(c, chosenWhy(c)); err != nil {
		return a.lostRefused(c, r, "/residents/"+r.ID, err)
	}
	return to(c, "/residents/"+r.ID+"/card", "reissued")
}

// myself is the resident who is signed in.
func (a *App) myself(c *fiber.Ctx) (*residents.Resident, error) {
	r, err := a.Residents.Get(c.UserContext(), principalOf(c).Resident)
	if err != nil {
		return nil, err
	}
	concerns(c, r.ID, r.ID, r.Division)
	return r, nil
}

func (a *App) showMyLost(c *fiber.Ctx) error {
	r, err := a.myself(c)
	if err != nil {
		return err
	}
	v, err := a.lost(c, r, "/me")
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveMyRevoked(c *fiber.Ctx) error {
	r, err := a.myself(c)
	if err != nil {
		return err
	}
	if _, err := a.revoke(c, r, chosenWhy(c)); err != nil {
		return a.lostRefused(c, r, "/me", err)
	}
	return to(c, "/me", "revoked")
}

// typedCarer is the carer that stands in a form.
func typedCarer(c *fiber.Ctx, f *pages.Form, resident string) residents.NewCarer {
	for _, field := range []string{"carer_name", "carer_until"} {
		if f.Value(field) == "" {
			wrong(f, field, "form.required")
		}
	}
	n := residents.NewCarer{
		Resident: resident, Name: f.Value("carer_name"), Relation: f.Value("carer_relation"), Phone: f.Value("carer_phone"),
		UntilMs: dayEnd(f, "carer_until"), PIN: typed(c.FormValue("carer_pin")),
	}
	if key := f.Value("key"); key != "" {
		n.Key = hash(principalOf(c).Account, key)
	}
	return n
}

// carerFields are the fields of the form, by those of the API.
func carerFields() map[string]string {
	return map[string]string{
		"name": "carer_name", "relation": "carer_relation", "phone": "carer_phone", "until_ms": "carer_until",
		"pin": "carer_pin", "resident_pin": "own_pin", "carers": "carer_name", "status": "carer_name",
	}
}

// fillCarer adds the carer that stands in the form. When something is wrong
// with the form it is marked, and the status says so; 0 means added.
func (a *App) fillCarer(c *fiber.Ctx, f *pages.Form, resident string) (status int, err error) {
	n := typedCarer(c, f, resident)
	if len(f.Errors) > 0 {
		return fiber.StatusBadRequest, nil
	}
	if _, err := a.addCarer(c, n, typed(c.FormValue("own_pin"))); err != nil {
		return a.refill(c, err, f, carerFields(), nil)
	}
	return 0, nil
}

func (a *App) saveCarer(c *fiber.Ctx) error {
	r := residentOf(c)
	v, err := a.residentPage(c, r)
	if err != nil {
		return err
	}
	status, err := a.fillCarer(c, &v.Kept.Form, r.ID)
	if err != nil {
		return err
	}
	if status == 0 {
		return top(c, to(c, "/residents/"+r.ID, "carer"))
	}
	return a.show(c, status, v)
}

func (a *App) saveMyCarer(c *fiber.Ctx) error {
	r, err := a.myself(c)
	if err != nil {
		return err
	}
	v, err := a.mePage(c)
	if err != nil {
		return err
	}
	status, err := a.fillCarer(c, &v.Kept.Form, r.ID)
	if err != nil {
		return err
	}
	if status == 0 {
		return top(c, to(c, "/me", "carer"))
	}
	return a.show(c, status, v)
}

func (a *App) saveCarerEnded(c *fiber.Ctx) error {
	r := residentOf(c)
	if _, err := a.finishCarer(c, r.ID, chosenWhy(c)); err != nil {
		return err
	}
	return top(c, to(c, "/residents/"+r.ID, "carer_ended"))
}

// saveCarerPIN shows the new PIN in its answer, this once.
func (a *App) saveCarerPIN(c *fiber.Ctx) error {
	x, pin, err := a.renewCarerPIN(c)
	if err != nil {
		return err
	}
	v, err := a.residentPage(c, residentOf(c))
	if err != nil {
		return err
	}
	for i := range v.Kept.Carers {
		if v.Kept.Carers[i].ID == x.ID {
			v.Kept.Carers[i].FreshPIN = pin
		}
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveMyCarerEnded(c *fiber.Ctx) error {
	r, err := a.myself(c)
	if err != nil {
		return err
	}
	if _, err := a.finishCarer(c, r.ID, chosenWhy(c)); err != nil {
		return err
	}
	return top(c, to(c, "/me", "carer_ended"))
}

func (a *App) showCarerCard(c *fiber.Ctx) error {
	r := residentOf(c)
	x, err := a.carerOf(c)
	if err != nil {
		return err
	}
	page, err := a.page(c, "/residents/"+r.ID+"/carers/"+x.ID+"/card")
	if err != nil {
		return err
	}
	resident, err := a.Residents.OpenName(r)
	if err != nil {
		return err
	}
	name, _, err := a.Residents.OpenCarer(x)
	if err != nil {
		return err
	}
	code, err := a.Residents.CodeByID(c.UserContext(), x.Code)
	if err != nil {
		return err
	}
	card, err := a.press.Card(c.UserContext(), name, code)
	if err != nil {
		return err
	}
	if card.UntilMs == 0 || x.UntilMs < card.UntilMs {
		card.UntilMs = x.UntilMs
	}
	face, err := cardFace(card)
	if err != nil {
		return err
	}
	face.For.ZH, face.For.EN = cards.For(residents.Initial(resident))
	return a.show(c, fiber.StatusOK, pages.CarerCard{Page: page, ID: r.ID, Face: face})
}

// shownBy puts into words who showed the code at a scan; "" where it was the
// resident, or the scan is not one of the asker's of this person.
func (a *App) shownBy(c *fiber.Ctx, page pages.Page, resident, scan string) (string, error) {
	if scan == "" {
		return "", nil
	}
	by, ok, err := a.Care.ShownBy(c.UserContext(), principalOf(c), resident, scan)
	if errors.Is(err, care.ErrProof) || err == nil && !ok {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return page.T("scan.shown_by", page.T("relation."+by.Relation), by.Name, page.Day(by.UntilMs)), nil
}

// handOver hands over with the evidence given. Errors: faultHandoverPIN.
func (a *App) handOver(c *fiber.Ctx, id string, e care.Evidence) (v care.AllocationView, err error) {
	ctx, p := c.UserContext(), principalOf(c)
	if e.PIN == "" {
		return a.Care.HandOver(ctx, p, id, e)
	}
	err = a.hashed(ctx, func() error {
		v, err = a.Care.HandOver(ctx, p, id, e)
		return err
	})
	if errors.Is(err, residents.ErrPIN) || errors.Is(err, residents.ErrLocked) {
		return v, faultHandoverPIN
	}
	return v, err
}

// saveHandedOver is the handover from the resident's page, where no script
// runs or nobody scanned: with the scan that led there, a PIN or a photo, or on
// the caseworker's word.
func (a *App) saveHandedOver(c *fiber.Ctx) error {
	// Routes with an upload have all the time they want; this one decides something.
	ctx, cancel := context.WithTimeout(c.UserContext(), requestTime)
	defer cancel()
	c.SetUserContext(ctx)
	x := allocationOf(c)
	e := care.Evidence{Scan: typed(c.FormValue("scan")), PIN: typed(c.FormValue("pin"))}
	failed := func() error {
		if h, err := c.FormFile("photo"); err == nil && h.Size > 0 {
			jpeg, err := a.photoIn(c, "photo")
			if err != nil {
				return err
			}
			if _, err := a.Care.AddPhoto(c.UserContext(), principalOf(c), x.ID, jpeg); err != nil {
				return err
			}
		}
		_, err := a.handOver(c, x.ID, e)
		return err
	}()
	if failed == nil {
		return top(c, to(c, personPath(c, x.Resident), "handed_over"))
	}
	p := a.problemOf(c, failed)
	if p.Status != fiber.StatusUnprocessableEntity && p.Code != faultPhoto.code && p.Code != faultPhotoLarge.code {
		return failed
	}
	r, err := a.Residents.Get(c.UserContext(), x.Resident)
	if err != nil {
		return err
	}
	v, err := a.residentPage(c, r)
	if err != nil {
		return err
	}
	for i := range v.Promises {
		if v.Promises[i].ID == x.ID {
			v.Promises[i].Failure = p.Detail
		}
	}
	return a.show(c, p.Status, v)
}
