package app

import (
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

func (a *App) counterPage(c *fiber.Ctx) (pages.Counter, error) {
	if !handsOver(principalOf(c)) {
		return pages.Counter{}, faultRole
	}
	f, err := a.form(c, "/counter")
	return pages.Counter{Form: f}, err
}

func (a *App) showCounter(c *fiber.Ctx) error {
	v, err := a.counterPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

// saveCounterScan shows what is owed to the person whose code was scanned or
// typed.
func (a *App) saveCounterScan(c *fiber.Ctx) error {
	v, err := a.counterPage(c)
	if err != nil {
		return err
	}
	v.Values = map[string][]string{} // a code is not shown again
	code := typed(c.FormValue("code"))
	if voucher, ok := providers.ParseVoucherCode(code); ok {
		var is care.CounterVoucher
		if is, err = a.voucherAtCounter(c, string(voucher)); err == nil {
			v.Voucher = counterVoucherOf(is, voucher)
			v.Voucher.Attempt = store.NewID()
		}
	} else {
		var look *care.CounterLook
		if look, err = a.counterLook(c, strings.ReplaceAll(code, " ", "")); err == nil {
			v.Look = counterLookOf(look)
		}
	}
	if err != nil {
		p := a.problemOf(c, err)
		if p.Status >= 500 || p.Code == faultRole.code {
			return err
		}
		v.Failure = p.Detail
		return a.show(c, p.Status, v)
	}
	return a.show(c, fiber.StatusOK, v)
}

func counterVoucherOf(x care.CounterVoucher, code providers.VoucherCode) *pages.CounterVoucher {
	return &pages.CounterVoucher{
		Code: code.Spaced(), Title: text(x.TitleZH, x.TitleEN), Unit: text(x.Unit.ZH, x.Unit.EN), UntilMs: x.UntilMs,
		RedeemedMs: x.RedeemedMs, Ended: x.Ended, PINRequired: x.PINRequired,
	}
}

// saveVoucher redeems a voucher. A page that is sent again redeems nothing twice.
func (a *App) saveVoucher(c *fiber.Ctx) error {
	v, err := a.counterPage(c)
	if err != nil {
		return err
	}
	v.Values = map[string][]string{}
	code, attempt := typed(c.FormValue("code")), c.FormValue("attempt")
	x, failed := a.redeem(c, code, attempt, typed(c.FormValue("pin")))
	if failed == nil {
		voucher, _ := providers.ParseVoucherCode(code)
		v.Voucher = counterVoucherOf(x, voucher)
		v.Voucher.Now = true
		return a.show(c, fiber.StatusOK, v)
	}
	p := a.problemOf(c, failed)
	if p.Status >= 500 || p.Code == faultRole.code {
		return failed
	}
	v.Failure = p.Detail
	if x, err := a.voucherAtCounter(c, code); err == nil {
		voucher, _ := providers.ParseVoucherCode(code)
		v.Voucher = counterVoucherOf(x, voucher)
		v.Voucher.Attempt = attempt
	}
	return a.show(c, p.Status, v)
}

// showVouchers shows the codes of a promise, to be shown at a counter or printed.
func (a *App) showVouchers(c *fiber.Ctx) error {
	x := allocationOf(c)
	page, err := a.page(c, "/allocations/"+x.ID+"/vouchers")
	if err != nil {
		return err
	}
	all, err := a.Care.Vouchers(c.UserContext(), x.ID)
	if err != nil {
		return err
	}
	v := pages.Vouchers{Page: page, Aid: aidOf(x), Back: personPath(c, x.Resident)}
	address := strings.TrimSuffix(qrcode.Prefix(a.Settings.PublicHost), "/c#")
	for _, one := range all {
		row := pages.Voucher{Unit: one.Unit, Code: one.Code, RedeemedMs: one.RedeemedMs}
		if code, ok := providers.ParseVoucherCode(one.Code); ok && one.RedeemedMs == 0 {
			symbol, err := qrcode.Encode(code.URL(address), qrcode.M)
			if err != nil {
				return err
			}
			row.Path, row.Side = symbol.Path()
		}
		v.Vouchers = append(v.Vouchers, row)
	}
	return a.show(c, fiber.StatusOK, v)
}

// showVoucher is what a stranger sees who scans a voucher: the same page for all.
func (a *App) showVoucher(c *fiber.Ctx) error {
	return a.show(c, fiber.StatusOK, a.site.VoucherFound())
}

// saveCounterHandover hands over, and shows what is owed to the same person
// now. A page that is sent again gives nothing twice.
func (a *App) saveCounterHandover(c *fiber.Ctx) error {
	v, err := a.counterPage(c)
	if err != nil {
		return err
	}
	g := counterGivingRequest{
		Scan: c.FormValue("scan"), Item: c.FormValue("item"), Units: int64(small(typed(c.FormValue("units")))),
		GivenUnits: int64(small(c.FormValue("given_units"))), PIN: typed(c.FormValue("pin")),
		Instead: typed(c.FormValue("instead")), InsteadWhy: typed(c.FormValue("instead_why")),
	}.giving()
	if g.Instead == "" {
		g.InsteadWhy = "" // the choice has no empty one
	}
	item, failed := a.counterGive(c, g)
	status := fiber.StatusOK
	if failed != nil {
		p := a.problemOf(c, failed)
		if p.Status >= 500 || p.Code == faultRole.code || p.Code == faultNotFound.code {
			return failed
		}
		status, v.Failure = p.Status, p.Detail
		for _, f := range p.Fields {
			v.Failure = f.Detail
		}
	} else {
		v.Given = counterItemOf(item)
		v.GivenNow = g.Units
	}
	look, err := a.Care.LookAgain(c.UserContext(), principalOf(c), g.Scan)
	if err != nil {
		if failed != nil || errors.Is(err, care.ErrProof) { // the look has ended: the person is scanned again
			return a.show(c, status, v)
		}
		return err
	}
	v.Look = counterLookOf(look)
	return a.show(c, status, v)
}

func counterLookOf(l *care.CounterLook) *pages.CounterLook {
	out := &pages.CounterLook{Scan: l.Scan, Initial: l.Initial}
	for _, x := range l.Items {
		out.Items = append(out.Items, *counterItemOf(x))
	}
	return out
}

func counterItemOf(x care.CounterItem) *pages.CounterItem {
	var leased matching.Reason
	if x.Leased != nil {
		leased = *x.Leased
	}
	return &pages.CounterItem{
		Item: x.Item, Title: text(x.TitleZH, x.TitleEN), Unit: text(x.Unit.ZH, x.Unit.EN), Units: x.QtyUnits, GivenUnits: x.GivenUnits,
		UntilMs: x.UntilMs, Paid: x.Paid, PINRequired: x.PINRequired, Leased: reasonText(leased),
	}
}
