package app

import (
	"context"
	"errors"
	"io"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/photos"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/qrcode"
)

var ( // read only
	faultProofNeeded = &fault{status: 422, code: "proof_needed", again: true, title: words{"还需要凭证", "A proof is needed"},
		detail: words{"此项价值较高，仅扫码不能交付：请由领取人输入 PIN，或拍一张交付照片。", "This is worth so much that a scan alone does not do: have the PIN entered, or take a photo of the handover."}}
	// faultHandoverPIN is not a 401: the caseworker is signed in rightly.
	faultHandoverPIN = &fault{status: 422, code: "wrong_pin", again: true, title: words{"PIN 不正确", "The PIN is not right"},
		detail: words{"PIN 不正确，或输错过多已暂时锁定；请再试一次，或改为拍照。代持人领取时输入代持人的 PIN。", "The PIN is not right, or locked after many wrong tries. Try again, or take a photo. A carer enters the carer's own PIN."},
		fields: []fieldFault{{"pin", words{"PIN 不正确", "the PIN is not right"}}}}
	// faultOwnPIN counts as a guess, like faultCredentials.
	faultOwnPIN = &fault{status: 400, code: faultCredentials.code, again: true, title: words{"PIN 不正确", "The PIN is not right"},
		detail: words{"您的 PIN 不正确；多次输错会暂时锁定。", "This is not your PIN. Many wrong tries lock it for a while."},
		fields: []fieldFault{{"resident_pin", words{"您的 PIN 不正确，请再试一次", "this is not your PIN; try again"}}}}
	faultPhoto = &fault{status: 400, code: "bad_photo", title: words{"照片无法读取", "The photo cannot be read"},
		detail: words{"请上传 JPEG、PNG 或 WebP 格式的照片。", "Send a photo as JPEG, PNG or WebP."}}
	faultPhotoLarge = &fault{status: 413, code: "too_large", title: words{"照片过大", "The photo is too large"},
		detail: words{"照片最大 10 MB、2500 万像素；渐进式 JPEG 只能有四分之一，印刷用的 CMYK 或 16 位图只能有一半。请调低相机的分辨率后重拍。", "A photo has at most 10 MB and 25 megapixels; a progressive JPEG a quarter of that, and one in CMYK or 16 bits a half. Set the camera to less and take it again."}}
)

type reasonRequest struct {
	Reason residents.Why `json:"reason" required:"true" enum:"lost,stolen,damaged,other"`
}

func (a *App) revokeCode(c *fiber.Ctx) error {
	in, err := decode[reasonRequest](c)
	if err != nil {
		return err
	}
	code, err := a.revoke(c, residentOf(c), in.Reason)
	if err != nil {
		return err
	}
	token, err := a.Residents.Token(c.UserContext(), code)
	if err != nil {
		return err
	}
	return c.JSON(a.viewCode(code, token))
}

// revoke makes a resident's code unusable at once, without a new one yet.
// Whoever signed in with it is out; a resident who does it stays signed in, to
// read what comes next.
func (a *App) revoke(c *fiber.Ctx, r *residents.Resident, why residents.Why) (*residents.Code, error) {
	ctx, p := c.UserContext(), principalOf(c)
	if err := a.Residents.Revoke(ctx, p.Account, r.Code, why); err != nil {
		return nil, err
	}
	if err := a.Accounts.SignOutOthers(ctx, r.ID, p.Session); err != nil {
		return nil, err
	}
	return a.Residents.CodeByID(ctx, r.Code)
}

// carerView is somebody who may or might show a code for a resident.
type carerView struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Relation  string        `json:"relation" enum:"spouse,child,parent,neighbour,carer,other"`
	Phone     string        `json:"phone"`
	CardNo    string        `json:"card_no"`
	State     string        `json:"state" enum:"active,expired,ended"`
	FromMs    int64         `json:"from_ms"`
	UntilMs   int64         `json:"until_ms"`
	CreatedBy string        `json:"created_by"`
	EndedMs   int64         `json:"ended_ms" description:"0: not ended before its time."`
	EndedBy   string        `json:"ended_by"`
	EndedWhy  residents.Why `json:"ended_why" enum:",unneeded,lost,stolen,other,moved,deceased"`
}

func (a *App) viewCarer(r *residents.Resident, x *residents.Carer) (carerView, error) {
	name, phone, err := a.Residents.OpenCarer(x)
	if err != nil {
		return carerView{}, err
	}
	state := "active"
	switch {
	case a.Residents.Lives(r, x):
	case x.EndedMs == 0 && x.UntilMs <= a.Now().UnixMilli():
		state = "expired"
	default:
		state = "ended"
	}
	return carerView{
		x.ID, name, x.Relation, phone, x.CardNo, state, x.FromMs, x.UntilMs, x.CreatedBy, x.EndedMs, x.EndedBy, x.EndedWhy,
	}, nil
}

// carersOf are all of a resident's, newest first.
func (a *App) carersOf(ctx context.Context, r *residents.Resident) ([]carerView, error) {
	all, err := a.Residents.Carers(ctx, r)
	if err != nil {
		return nil, err
	}
	out := make([]carerView, len(all))
	for i, x := range all {
		if out[i], err = a.viewCarer(r, x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *App) listCarers(c *fiber.Ctx) error {
	carers, err := a.carersOf(c.UserContext(), residentOf(c))
	if err != nil {
		return err
	}
	return c.JSON(list[carerView]{Items: carers})
}

type carerRequest struct {
	Name        string `json:"name" required:"true" minLength:"1" maxLength:"50"`
	Relation    string `json:"relation" required:"true" enum:"spouse,child,parent,neighbour,carer,other"`
	Phone       string `json:"phone"`
	UntilMs     int64  `json:"until_ms" required:"true" description:"Unix ms, within a year; from this moment on the code is dead."`
	PIN         string `json:"pin" required:"true" format:"password" description:"The carer's own, 6 to 12 digits."`
	ResidentPIN string `json:"resident_pin" format:"password" description:"Asked of the resident who does it, not of caseworkers."`
}

func (a *App) createCarer(c *fiber.Ctx) error {
	in, err := decode[carerRequest](c)
	if err != nil {
		return err
	}
	r := residentOf(c)
	n := residents.NewCarer{Resident: r.ID, Name: in.Name, Relation: in.Relation, Phone: in.Phone, UntilMs: in.UntilMs, PIN: in.PIN}
	if key := c.Get("Idempotency-Key"); key != "" {
		n.Key = hash(principalOf(c).Account, key)
	}
	x, err := a.addCarer(c, n, in.ResidentPIN)
	if err != nil {
		return err
	}
	if r, err = a.Residents.Get(c.UserContext(), r.ID); err != nil { // who names the carer now
		return err
	}
	v, err := a.viewCarer(r, x)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(v)
}

// addCarer lets somebody show a code for a resident; the resident is asked for
// the PIN again, because a phone that lies about is not the resident.
// Errors: faultOwnPIN.
func (a *App) addCarer(c *fiber.Ctx, n residents.NewCarer, ownPIN string) (x *residents.Carer, err error) {
	ctx, p := c.UserContext(), principalOf(c)
	err = a.hashed(ctx, func() error {
		if p.Role == accounts.Resident {
			if err := a.Residents.CheckPIN(ctx, p.Resident, ownPIN); err != nil {
				return err
			}
		}
		x, err = a.Residents.AddCarer(ctx, p.Account, n)
		return err
	})
	if errors.Is(err, residents.ErrPIN) || errors.Is(err, residents.ErrLocked) {
		return nil, faultOwnPIN
	}
	return x, err
}

type carerEndRequest struct {
	Reason residents.Why `json:"reason" required:"true" enum:"unneeded,lost,stolen,other"`
}

func (a *App) endCarer(c *fiber.Ctx) error {
	in, err := decode[carerEndRequest](c)
	if err != nil {
		return err
	}
	x, err := a.finishCarer(c, residentOf(c).ID, in.Reason)
	if err != nil {
		return err
	}
	v, err := a.viewCarer(residentOf(c), x)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

// finishCarer ends the time of the route's carer; the carer is signed out.
func (a *App) finishCarer(c *fiber.Ctx, resident string, why residents.Why) (*residents.Carer, error) {
	ctx := c.UserContext()
	x, err := a.Residents.EndCarer(ctx, principalOf(c).Account, resident, c.Params("carer"), why)
	if err != nil {
		return nil, err
	}
	return x, a.Accounts.SignOutCarer(ctx, resident, x.ID)
}

// carerPINView is a carer's new PIN, told this once.
type carerPINView struct {
	Carer carerView `json:"carer"`
	PIN   string    `json:"pin" description:"Six digits. It is in this answer and nowhere else."`
}

func (a *App) resetCarerPIN(c *fiber.Ctx) error {
	x, pin, err := a.renewCarerPIN(c)
	if err != nil {
		return err
	}
	v, err := a.viewCarer(residentOf(c), x)
	if err != nil {
		return err
	}
	return c.JSON(carerPINView{v, pin})
}

// renewCarerPIN gives the route's carer a new PIN; whoever signed in with the
// one before is out at once.
func (a *App) renewCarerPIN(c *fiber.Ctx) (x *residents.Carer, pin string, err error) {
	ctx, r := c.UserContext(), residentOf(c)
	if err = a.hashed(ctx, func() error {
		x, pin, err = a.Residents.ResetCarerPIN(ctx, r, c.Params("carer"))
		return err
	}); err != nil {
		return nil, "", err
	}
	concerns(c, x.ID, r.ID, r.Division)
	return x, pin, a.Accounts.SignOutCarer(ctx, r.ID, x.ID)
}

// carerOf is the carer that the route names, if the carer may still show a
// code. Errors: [store.ErrNotFound].
func (a *App) carerOf(c *fiber.Ctx) (*residents.Carer, error) {
	r := residentOf(c)
	x, err := a.Residents.Carer(c.UserContext(), r.ID, c.Params("carer"))
	if err != nil {
		return nil, err
	}
	if !a.Residents.Lives(r, x) {
		return nil, store.ErrNotFound
	}
	return x, nil
}

func (a *App) getCarerCodeSVG(c *fiber.Ctx) error {
	x, err := a.carerOf(c)
	if err != nil {
		return err
	}
	code, err := a.Residents.CodeByID(c.UserContext(), x.Code)
	if err != nil {
		return err
	}
	token, err := a.Residents.Token(c.UserContext(), code)
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

// photoSide is the longer side of a photo that is kept, in pixels.
const photoSide = 1280

// photoIn takes in the photo of a form: a small JPEG without what the phone
// wrote into it. Errors: faultPhoto, faultPhotoLarge,
// faultBusy.
func (a *App) photoIn(c *fiber.Ctx, field string) ([]byte, error) {
	file, _, err := uploaded(c, field)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return a.shrunk(c.UserContext(), file, photoSide)
}

// shrunk is a photo as it is kept, its longer side at most side pixels. Errors:
// faultPhoto, faultPhotoLarge, faultBusy.
func (a *App) shrunk(ctx context.Context, file io.Reader, side int) ([]byte, error) {
	done, err := a.photoTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, photoTime)
	defer cancel()
	jpeg, err := photos.Shrink(ctx, file, photos.Usual(), side)
	switch {
	case errors.Is(err, photos.ErrFormat):
		return nil, faultPhoto
	case errors.Is(err, photos.ErrTooLarge):
		return nil, faultPhotoLarge
	}
	return jpeg, err
}

func (a *App) addPhoto(c *fiber.Ctx) error {
	jpeg, err := a.photoIn(c, "file")
	if err != nil {
		return err
	}
	v, err := a.Care.AddPhoto(c.UserContext(), principalOf(c), allocationOf(c).ID, jpeg)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

func (a *App) getPhoto(c *fiber.Ctx) error {
	jpeg, err := a.Care.Photo(c.UserContext(), principalOf(c), allocationOf(c).ID)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "image/jpeg")
	return c.Send(jpeg)
}
