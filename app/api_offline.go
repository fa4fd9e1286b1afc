package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
)

// deviceOf is the device of a route with ScopeDevice or ScopeOwnDevice.
func deviceOf(c *fiber.Ctx) *care.Device { return c.Locals(localDevice).(*care.Device) }

// publicKeyRequest is a public key as WebCrypto exports it (JWK, RFC 7517).
type publicKeyRequest struct {
	Kty    string   `json:"kty" required:"true" enum:"EC"`
	Crv    string   `json:"crv" required:"true" enum:"P-256"`
	X      string   `json:"x" required:"true"`
	Y      string   `json:"y" required:"true"`
	Ext    bool     `json:"ext"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	Use    string   `json:"use"`
	Kid    string   `json:"kid"`
}

type deviceRequest struct {
	Name      string           `json:"name" required:"true" minLength:"1" maxLength:"40"`
	PublicKey publicKeyRequest `json:"public_key" required:"true" description:"An ECDSA key on P-256 whose private half cannot leave the device."`
}

type deviceView struct {
	ID         string           `json:"id"`
	Name       string           `json:"name"`
	Account    string           `json:"account"`
	State      care.DeviceState `json:"state" enum:"active,lost"`
	CreatedMs  int64            `json:"created_ms"`
	LastSeenMs int64            `json:"last_seen_ms"`
	Lease      *care.LeaseView  `json:"lease,omitempty" description:"Missing when it has taken nothing along."`
}

func (a *App) viewDevice(c *fiber.Ctx, d *care.Device) (deviceView, error) {
	v := deviceView{
		ID: d.ID, Name: d.Name, Account: d.Account, State: d.State, CreatedMs: d.CreatedMs, LastSeenMs: d.LastSeenMs,
	}
	l, err := a.Care.LeaseOf(c.UserContext(), d)
	if errors.Is(err, store.ErrNotFound) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	lease, err := a.Care.LeaseView(c.UserContext(), l)
	v.Lease = &lease
	return v, err
}

func (a *App) createDevice(c *fiber.Ctx) error {
	in, err := decode[deviceRequest](c)
	if err != nil {
		return err
	}
	if in.PublicKey.Kty != "EC" || in.PublicKey.Crv != "P-256" {
		return faultField.with(fieldFault{"public_key", words{"应为 P-256 曲线的公钥(JWK)", "is a JWK of a public key on P-256"}})
	}
	d, err := a.Care.RegisterDevice(c.UserContext(), principalOf(c), care.NewDevice{Name: in.Name, X: in.PublicKey.X, Y: in.PublicKey.Y})
	if err != nil {
		return err
	}
	v, err := a.viewDevice(c, d)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(v)
}

func (a *App) listDevices(c *fiber.Ctx) error {
	ds, err := a.Care.Devices(c.UserContext(), principalOf(c))
	if err != nil {
		return err
	}
	out := list[deviceView]{Items: make([]deviceView, len(ds))}
	for i, d := range ds {
		if out.Items[i], err = a.viewDevice(c, d); err != nil {
			return err
		}
	}
	return c.JSON(out)
}

// cutOff cuts the device of the route off and signs its account out everywhere:
// whoever has the phone may have its session. Who reports a device of their own
// goes on under a fresh cookie.
func (a *App) cutOff(c *fiber.Ctx) (*care.Device, error) {
	p := principalOf(c)
	d, err := a.Care.LoseDevice(c.UserContext(), p, deviceOf(c).ID)
	if err != nil {
		return nil, err
	}
	cookie, _, err := a.Accounts.SignOutAccount(c.UserContext(), p, d.Account)
	if errors.Is(err, store.ErrNotFound) { // nobody is signed in
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	if cookie != "" {
		a.setSession(c, cookie)
	}
	return d, nil
}

func (a *App) loseDevice(c *fiber.Ctx) error {
	d, err := a.cutOff(c)
	if err != nil {
		return err
	}
	v, err := a.viewDevice(c, d)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type choicesQuery struct {
	Division string `query:"division" description:"12-digit code; one's own division if missing."`
}

func (a *App) listChoices(c *fiber.Ctx) error {
	v, err := a.Care.Choices(c.UserContext(), principalOf(c), deviceOf(c).ID, c.Query("division"))
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type leaseRequest struct {
	Division string            `json:"division" required:"true" description:"12-digit code of a village or town."`
	Hours    int64             `json:"hours" required:"true" minimum:"1" maximum:"72"`
	Spare    []care.SpareOrder `json:"spare" description:"Units to be held in advance, one portion each."`
}

// bundleView is what a device works with, and the keys that codes verify with.
type bundleView struct {
	care.Bundle
	Keys jwks `json:"keys"`
}

func (a *App) createLease(c *fiber.Ctx) error {
	in, err := decode[leaseRequest](c)
	if err != nil {
		return err
	}
	key := c.Get("Idempotency-Key")
	b, err := a.Care.TakeLease(c.UserContext(), principalOf(c), deviceOf(c).ID,
		care.NewLease{Division: in.Division, Hours: in.Hours, Spares: in.Spare, Key: key}, a.progressOf(c, key))
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(bundleView{Bundle: *b, Keys: jwksOf(a.Keys.Keys())})
}

func (a *App) getLease(c *fiber.Ctx) error {
	b, err := a.Care.Bundle(c.UserContext(), principalOf(c), deviceOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(bundleView{Bundle: *b, Keys: jwksOf(a.Keys.Keys())})
}

func (a *App) returnLease(c *fiber.Ctx) error {
	v, err := a.Care.Return(c.UserContext(), principalOf(c), deviceOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type recordRequest struct {
	ID         string `json:"id" required:"true" description:"A UUID made on the device."`
	Seq        int64  `json:"seq" required:"true" minimum:"1" description:"1, 2, 3… per device."`
	Lease      string `json:"lease" required:"true"`
	Allocation string `json:"allocation" required:"true" description:"An item of the lease."`
	Resident   string `json:"resident" required:"true"`
	Need       string `json:"need" description:"The need that a spare was given for; else empty."`
	Code       string `json:"code" description:"The id of the code that was read, 20 hex digits, or empty."`
	How        string `json:"how" required:"true" enum:"scan,card_no,word"`
	Token      string `json:"token" description:"The 193 digits where a code was scanned, or empty."`
	PIN        bool   `json:"pin" description:"The device has checked the PIN."`
	QtyUnits   int64  `json:"qty_units" required:"true" minimum:"1"`
	GivenMs    int64  `json:"given_ms" required:"true" description:"By the device's clock."`
	Sig        string `json:"sig" required:"true" description:"ECDSA P-256 with SHA-256 over the text of the record (docs/api.md), IEEE P1363, base64url."`
}

type syncRequest struct {
	Records []recordRequest `json:"records" required:"true" maxItems:"200"`
}

func (a *App) syncDevice(c *fiber.Ctx) error {
	in, err := decode[syncRequest](c)
	if err != nil {
		return err
	}
	records := make([]care.Record, len(in.Records))
	for i, r := range in.Records {
		records[i] = care.Record(r)
	}
	v, err := a.Care.Sync(c.UserContext(), principalOf(c), deviceOf(c).ID, records)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type conflictsQuery struct {
	Settled bool `query:"settled" description:"Those that are settled instead of those that are open."`
	pageQuery
}

func (a *App) listConflicts(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Care.Conflicts(c.UserContext(), principalOf(c).Division, c.QueryBool("settled"), q.After, q.Limit)
	if err != nil {
		return err
	}
	if err := a.lookedAt(c, page); err != nil {
		return err
	}
	return c.JSON(list[care.ConflictView]{Items: page, Next: next})
}

type settleRequest struct {
	Decision string `json:"decision" required:"true" enum:"given,returned,lost,confirmed,mistake"`
	Note     string `json:"note" maxLength:"500"`
}

func (a *App) settleConflict(c *fiber.Ctx) error {
	in, err := decode[settleRequest](c)
	if err != nil {
		return err
	}
	v, err := a.Care.SettleConflict(c.UserContext(), principalOf(c), c.Params("id"), in.Decision, in.Note)
	if err != nil {
		return err
	}
	return c.JSON(v)
}
