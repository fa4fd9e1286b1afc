package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
)

// The faults of counters.
var ( // read only
	// faultCounterCode has the code of every unknown code: wrong ones are counted.
	faultCounterCode = &fault{status: 404, code: faultCode.code, title: words{"没有可交付的", "Nothing to hand over"},
		detail: words{"此码无效、已更换，或贵机构目前没有待交付给此人的内容。请核对卡号；仍有疑问，请居民联系所在村(社区)。", "The code is not valid, was replaced, or your organisation owes this person nothing now. Check the card number; if in doubt, the person asks at their village."}}
	faultCounterLook = &fault{status: 422, code: faultProof.code, again: true, title: words{"请重新扫码", "Scan again"},
		detail: words{"这次扫码已过期、不是您扫的，或该卡已更换；请重新扫码后再交付。", "This scan is too long ago, was not yours, or the card was replaced since. Scan again, then hand over."}}
	faultCounterProof = &fault{status: 422, code: faultProofNeeded.code, again: true, title: words{"需要 PIN", "The PIN is needed"},
		detail: words{"此项价值较高，仅扫码不能交付：请领取人输入 PIN。", "This is worth so much that a scan alone does not do: have the person enter the PIN."}}
	faultCounterPIN = &fault{status: 422, code: faultHandoverPIN.code, again: true, title: words{"PIN 不正确", "The PIN is not right"},
		detail: words{"PIN 不正确，或输错过多已暂时锁定；请再试一次。代持人领取时输入代持人的 PIN。", "The PIN is not right, or locked after many wrong tries. Try again. A carer enters the carer's own PIN."}}
	faultGivenMeanwhile = &fault{status: 409, code: "given_meanwhile", title: words{"刚刚已有交付", "Something was just given"},
		detail: words{"另一位同事刚交付了其中一部分，请重新扫码，以最新数量为准。", "A colleague has just given some of it. Scan again and go by what is left now."}}
	faultUnits = &fault{status: 409, code: "units", title: words{"数量超出", "Too many"},
		detail: words{"交付数量超过剩余数量，请重新扫码后再试。", "That is more than is left. Scan again and give at most what is left."}}
)

// handsOver says whether an account may hand over at the counter of its
// organisation. What a suspended organisation has promised stands, so it still may.
func handsOver(p accounts.Principal) bool {
	return p.Role == accounts.Provider && p.Organisation != ""
}

// atCounter puts the errors of a counter into its words, and refuses who may not
// hand over there.
func atCounter(p accounts.Principal, do func() error) error {
	if !handsOver(p) {
		return faultRole
	}
	err := do()
	switch {
	case errors.Is(err, care.ErrUnknownCode):
		return faultCounterCode
	case errors.Is(err, store.ErrNotFound):
		return errOutside
	case errors.Is(err, care.ErrProof):
		return faultCounterLook
	case errors.Is(err, care.ErrProofNeeded):
		return faultCounterProof
	case errors.Is(err, residents.ErrPIN), errors.Is(err, residents.ErrLocked):
		return faultCounterPIN
	}
	return err
}

type counterScanRequest struct {
	Code string `json:"code" required:"true" description:"Address or digits of the happiness code, or the 12-digit card number."`
}

func (a *App) scanAtCounter(c *fiber.Ctx) error {
	in, err := decode[counterScanRequest](c)
	if err != nil {
		return err
	}
	look, err := a.counterLook(c, in.Code)
	if err != nil {
		return err
	}
	return c.JSON(look)
}

func (a *App) counterLook(c *fiber.Ctx, code string) (look *care.CounterLook, err error) {
	p := principalOf(c)
	err = atCounter(p, func() error {
		look, err = a.Care.ScanAtCounter(c.UserContext(), p, code)
		return err
	})
	return look, err
}

type counterGivingRequest struct {
	Scan       string `json:"scan" required:"true" description:"Of the scan, half an hour ago at most, by the same account."`
	Item       string `json:"item" required:"true" description:"Of the scan's answer."`
	Units      int64  `json:"units" minimum:"1" description:"How many are handed over now; the rest stays promised."`
	GivenUnits int64  `json:"given_units" description:"How many were given before, as the scan's answer said: who gave some in between makes it a 409."`
	PIN        string `json:"pin" description:"The person's PIN, or the carer's who showed the code, where the item says pin_required."`
	Instead    string `json:"instead" maxLength:"40" description:"What was given in its place, if it was something else."`
	InsteadWhy string `json:"instead_why" enum:",sold_out,unsuitable,asked,other"`
}

func (r counterGivingRequest) giving() care.CounterGiving {
	return care.CounterGiving{
		Scan: r.Scan, Item: r.Item, Units: r.Units, GivenUnits: r.GivenUnits, PIN: r.PIN, Instead: r.Instead, InsteadWhy: r.InsteadWhy,
	}
}

func (a *App) giveAtCounter(c *fiber.Ctx) error {
	in, err := decode[counterGivingRequest](c)
	if err != nil {
		return err
	}
	item, err := a.counterGive(c, in.giving())
	if err != nil {
		return err
	}
	return c.JSON(item)
}

func (a *App) counterGive(c *fiber.Ctx, g care.CounterGiving) (item care.CounterItem, err error) {
	ctx, p := c.UserContext(), principalOf(c)
	err = atCounter(p, func() error {
		give := func() error {
			item, err = a.Care.GiveAtCounter(ctx, p, g)
			return err
		}
		if g.PIN == "" {
			return give()
		}
		return a.hashed(ctx, give)
	})
	return item, err
}
