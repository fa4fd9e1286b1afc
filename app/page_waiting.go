package app

import (
	"errors"
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

type waitingQuery struct {
	County   string `query:"county" description:"12-digit code; needed where one answers for several counties."`
	Category string `query:"category" description:"Id of /categories; empty: all."`
	pageQuery
}

// waitingView is one need that waits. It names the person no further than a
// list on a screen may.
type waitingView struct {
	care.Waiting
	Initial  string `json:"initial" description:"First character of the name, the rest hidden."`
	CardTail string `json:"card_tail" description:"Last four digits of the card number."`
}

// countiesOf are the counties that somebody answers for, or lies in.
func (a *App) countiesOf(p accounts.Principal) []string {
	return slices.DeleteFunc(slices.Clone(a.Tree().Counties()), func(c string) bool {
		return !p.Sees(c) && !regions.Within(p.Division, c)
	})
}

// waiting reads one page of a county's waiting lists.
func (a *App) waiting(c *fiber.Ctx, limit int) (county string, out []waitingView, next string, err error) {
	p, ctx := principalOf(c), c.UserContext()
	counties := a.countiesOf(p)
	county = c.Query("county")
	if county == "" && len(counties) > 0 {
		county = counties[0]
	}
	if !slices.Contains(counties, county) {
		return "", nil, "", errOutside
	}
	category := c.Query("category")
	if _, ok := providers.CategoryByID(category); category != "" && !ok {
		return "", nil, "", faultField.with(fieldFault{"category", words{"请选择类别", "choose a category"}})
	}
	concerns(c, county, "", p.Division)
	rows, next, err := a.Care.WaitingList(ctx, p, county, category, c.Query("after"), limit)
	if err != nil {
		return county, nil, "", err
	}
	for _, x := range rows {
		r, err := a.Residents.Get(ctx, x.Resident)
		if err != nil {
			return county, nil, "", err
		}
		person, err := a.Residents.Open(ctx, r)
		if err != nil {
			return county, nil, "", err
		}
		v := waitingView{Waiting: x, Initial: residents.Initial(person.Name)}
		if n := len(r.CardNo); n > 4 {
			v.CardTail = r.CardNo[n-4:]
		}
		out = append(out, v)
	}
	return county, out, next, nil
}

func (a *App) listWaiting(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	if len(a.countiesOf(principalOf(c))) > 1 && c.Query("county") == "" {
		return faultField.with(fieldFault{"county", words{"请填写区县(12 位代码)", "name a county (12 digits)"}})
	}
	_, rows, next, err := a.waiting(c, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(rows, next, func(v waitingView) waitingView { return v }))
}

func (a *App) showWaiting(c *fiber.Ctx) error {
	f, err := a.form(c, "/waiting")
	if err != nil {
		return err
	}
	v := pages.Waiting{Form: f, Ready: true, Categories: append([]pages.Choice{{Text: pages.Text{ZH: f.T("waiting.all"), EN: f.T("waiting.all")}}}, categoryChoices()...)}
	county, rows, next, err := a.waiting(c, rowsPerPage)
	if errors.Is(err, matching.ErrNotReady) {
		v.Ready = false
	} else if err != nil {
		return err
	}
	f.Values["county"], f.Values["category"] = []string{county}, []string{c.Query("category")}
	if counties := a.countiesOf(principalOf(c)); len(counties) > 1 {
		for _, x := range counties {
			v.Counties = append(v.Counties, pages.Choice{Value: x, Text: text(a.placeName(x), "")})
		}
	}
	v.Place = a.placeName(county)
	for _, x := range rows {
		v.Rows = append(v.Rows, pages.WaitingRow{
			Need: x.Need, Who: x.Initial, CardTail: x.CardTail, Place: a.placeName(x.Division), Category: categoryText(x.Category),
			Left: amount(x.Category, x.LeftUnits, ""), Urgency: x.Urgency, Position: x.Position, Weight: thousandths(x.WeightMilli),
			Line: lineText(x.LineMilli), Reason: reasonText(x.Reason), SinceMs: x.CreatedMs, UntilMs: x.UntilMs,
		})
	}
	v.Next = nextLink("/waiting", next, "county", c.Query("county"), "category", c.Query("category"))
	return a.show(c, fiber.StatusOK, v)
}

func lineText(milli int64) string {
	if milli == 0 {
		return ""
	}
	return thousandths(milli)
}
