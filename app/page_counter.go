package app

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/matching"
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
	look, err := a.counterLook(c, strings.ReplaceAll(typed(c.FormValue("code")), " ", ""))
	if err != nil {
		p := a.problemOf(c, err)
		if p.Status >= 500 || p.Code == faultRole.code {
			return err
		}
		v.Failure = p.Detail
		return a.show(c, p.Status, v)
	}
	v.Look = counterLookOf(look)
	return a.show(c, fiber.StatusOK, v)
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
		if failed != nil { // the look has ended: the person is scanned again
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
