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
	faultVoucher = &fault{status: 404, code: "unknown_voucher", title: words{"没有这张券", "No such voucher"},
		detail: words{"此券码无效，或不由贵机构兑付。请核对券码，注意字母和数字。", "The voucher's code is not valid, or it is not yours to redeem. Check the letters and digits."}}
	faultRedeemed = &fault{status: 409, code: "redeemed", title: words{"此券已用过", "Redeemed before"},
		detail: words{"每张券只能用一次，这张已经用过了。如有疑问，请本人联系所在村(社区)。", "A voucher is redeemed once, and this one was. If in doubt, the person asks at their village."}}
	faultCounterProof = &fault{status: 422, code: faultProofNeeded.code, again: true, title: words{"需要 PIN", "The PIN is needed"},
		detail: words{"此项价值较高，仅扫码不能交付：请领取人输入 PIN。", "This is worth so much that a scan alone does not do: have the person enter the PIN."}}
	faultCounterPIN = &fault{status: 422, code: faultHandoverPIN.code, again: true, title: words{"PIN 不正确", "The PIN is not right"},
		detail: words{"PIN 不正确，或输错过多已暂时锁定；请再试一次。代持人领取时输入代持人的 PIN。", "The PIN is not right, or locked after many wrong tries. Try again. A carer enters the carer's own PIN."}}
	faultTooEarly = &fault{status: 409, code: "too_early", title: words{"还不能登记未到", "Too early"},
		detail: words{"领取时间还没过四分之三，对方可能还会来，到时再登记未到；送上门的，当天上门无人后再登记。", "The time to fetch it is not three quarters over, and they may still come: say so then. What is brought home: on its day, once somebody came and nobody was there."}}
	faultCounterEnded = &fault{status: 409, code: faultEnded.code, title: words{"已结束", "It has ended"},
		detail: words{"这一项已交付完、退回或过期，请刷新后再看。", "This was given, taken back or has expired. Reload and look again."}}
	faultGivenMeanwhile = &fault{status: 409, code: "given_meanwhile", title: words{"刚刚已有交付", "Something was just given"},
		detail: words{"另一位同事刚交付了其中一部分，请重新扫码，以最新数量为准。", "A colleague has just given some of it. Scan again and go by what is left now."}}
	faultUnits = &fault{status: 409, code: "units", title: words{"数量超出", "Too many"},
		detail: words{"交付数量超过剩余数量，请重新扫码后再试。", "That is more than is left. Scan again and give at most what is left."}}
)

// handsOver says whether an account may hand over at the counter of its
// organisation. What a suspended organisation has promised stands, so it still may.
func handsOver(p accounts.Principal) bool {
	return p.Role == accounts.Provider && p.Organisation != "" && p.May(accounts.ToHandOver)
}

// atCounter puts the errors of a counter into its words, and refuses who may not
// hand over there.
func atCounter(p accounts.Principal, do func() error) error {
	if !handsOver(p) {
		return faultRole
	}
	err := do()
	switch {
	case errors.Is(err, care.ErrUnknownVoucher):
		return faultVoucher
	case errors.Is(err, care.ErrRedeemed):
		return faultRedeemed
	case errors.Is(err, care.ErrUnknownCode):
		return faultCounterCode
	case errors.Is(err, store.ErrNotFound):
		return errOutside
	case errors.Is(err, care.ErrTooEarly):
		return faultTooEarly
	case errors.Is(err, care.ErrEnded):
		return faultCounterEnded
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

type voucherRequest struct {
	Code string `json:"code" required:"true" maxLength:"300" description:"As printed or scanned; gaps, small letters, O for 0 and I or L for 1 do not matter."`
}

func (a *App) checkVoucher(c *fiber.Ctx) error {
	in, err := decode[voucherRequest](c)
	if err != nil {
		return err
	}
	v, err := a.voucherAtCounter(c, in.Code)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

func (a *App) voucherAtCounter(c *fiber.Ctx, code string) (v care.CounterVoucher, err error) {
	p := principalOf(c)
	err = atCounter(p, func() error {
		v, err = a.Care.Voucher(c.UserContext(), p, code)
		return err
	})
	return v, err
}

type redeemRequest struct {
	Code string `json:"code" required:"true" maxLength:"300" description:"As for a check."`
	PIN  string `json:"pin" description:"The person's PIN, where the check says pin_required."`
}

func (a *App) redeemVoucher(c *fiber.Ctx) error {
	in, err := decode[redeemRequest](c)
	if err != nil {
		return err
	}
	v, err := a.redeem(c, in.Code, c.Get("Idempotency-Key"), in.PIN)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

func (a *App) redeem(c *fiber.Ctx, code, attempt, pin string) (v care.CounterVoucher, err error) {
	ctx, p := c.UserContext(), principalOf(c)
	err = atCounter(p, func() error {
		redeem := func() error {
			v, err = a.Care.Redeem(ctx, p, code, attempt, pin)
			return err
		}
		if pin == "" {
			return redeem()
		}
		return a.hashed(ctx, redeem)
	})
	return v, err
}

func (a *App) listVouchers(c *fiber.Ctx) error {
	all, err := a.Care.Vouchers(c.UserContext(), allocationOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(list[care.Voucher]{Items: all})
}

func (a *App) getCounterDay(c *fiber.Ctx) error {
	day, err := a.counterDay(c)
	if err != nil {
		return err
	}
	return c.JSON(day)
}

func (a *App) counterDay(c *fiber.Ctx) (day *care.CounterDay, err error) {
	p := principalOf(c)
	err = atCounter(p, func() error {
		day, err = a.Care.CounterDay(c.UserContext(), p)
		return err
	})
	return day, err
}

type counterReturn struct {
	Item       string `json:"item" required:"true" description:"Of the day's list, or of a scan's answer."`
	Units      int64  `json:"units" minimum:"1" description:"How many come back."`
	GivenUnits int64  `json:"given_units" description:"How many are given now, as the list said."`
	Why        string `json:"why" enum:"mistake,unused,spoiled" description:"Never given and recorded by mistake; brought back for somebody else; brought back and of no more use."`
}

func (a *App) returnAtCounter(c *fiber.Ctx) error {
	in, err := decode[counterReturn](c)
	if err != nil {
		return err
	}
	item, err := a.counterBack(c, in)
	if err != nil {
		return err
	}
	return c.JSON(item)
}

func (a *App) counterBack(c *fiber.Ctx, in counterReturn) (item care.CounterItem, err error) {
	p := principalOf(c)
	err = atCounter(p, func() error {
		item, err = a.Care.ReturnAtCounter(c.UserContext(), p, in.Item, care.TakingBack{Units: in.Units, GivenUnits: in.GivenUnits, Why: in.Why})
		return err
	})
	return item, err
}

type counterItemRequest struct {
	Item string `json:"item" required:"true" description:"Of the day's list, of a round, or of a scan's answer."`
}

func (a *App) noShowAtCounter(c *fiber.Ctx) error {
	in, err := decode[counterItemRequest](c)
	if err != nil {
		return err
	}
	if err := a.counterNoShow(c, in.Item); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

func (a *App) counterNoShow(c *fiber.Ctx, item string) error {
	p := principalOf(c)
	return atCounter(p, func() error { return a.Care.NoShowAtCounter(c.UserContext(), p, item) })
}

func (a *App) triedDelivery(c *fiber.Ctx) error {
	in, err := decode[counterItemRequest](c)
	if err != nil {
		return err
	}
	item, err := a.counterTried(c, in.Item)
	if err != nil {
		return err
	}
	return c.JSON(item)
}

func (a *App) counterTried(c *fiber.Ctx, name string) (item care.CounterItem, err error) {
	p := principalOf(c)
	err = atCounter(p, func() error {
		item, err = a.Care.Tried(c.UserContext(), p, name)
		return err
	})
	return item, err
}

type roundQuery struct {
	Day string `query:"day" description:"2006-01-02, within two weeks; without it today. Names and addresses are told on the day only."`
}

func (a *App) getRound(c *fiber.Ctx) error {
	round, err := a.round(c)
	if err != nil {
		return err
	}
	return c.JSON(round)
}

func (a *App) round(c *fiber.Ctx) (round *care.Round, err error) {
	p := principalOf(c)
	err = atCounter(p, func() error {
		round, err = a.Care.RoundOn(c.UserContext(), p, c.Query("day"))
		return err
	})
	return round, err
}

type returnRequest struct {
	Units      int64  `json:"units" minimum:"1" description:"How many come back."`
	GivenUnits int64  `json:"given_units" description:"How many are given now: given_units of the allocation while it is promised, qty_units once it was handed over."`
	Why        string `json:"why" enum:"mistake,unused,spoiled"`
}

func (a *App) returnAllocation(c *fiber.Ctx) error {
	in, err := decode[returnRequest](c)
	if err != nil {
		return err
	}
	v, err := a.Care.TakeBack(c.UserContext(), principalOf(c), allocationOf(c).ID, care.TakingBack{Units: in.Units, GivenUnits: in.GivenUnits, Why: in.Why})
	if err != nil {
		return err
	}
	return c.JSON(v)
}

func (a *App) noShowAllocation(c *fiber.Ctx) error {
	v, err := a.Care.NoShow(c.UserContext(), principalOf(c), allocationOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type addressRequest struct {
	Address string `json:"address" maxLength:"100" description:"Where aid is brought; empty: nowhere. Told to who brings it only with the consent “delivery”."`
}

func (a *App) setAddress(c *fiber.Ctx) error {
	in, err := decode[addressRequest](c)
	if err != nil {
		return err
	}
	if _, err := a.Residents.SetAddress(c.UserContext(), residentOf(c).ID, in.Address); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}
