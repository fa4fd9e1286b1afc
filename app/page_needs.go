package app

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// needPage is the story of the route's need, with the forms to change it.
func (a *App) needPage(c *fiber.Ctx) (pages.NeedStory, error) {
	ctx, n := c.UserContext(), needOf(c)
	f, err := a.form(c, "/needs/"+n.ID)
	if err != nil {
		return pages.NeedStory{}, err
	}
	story, err := a.Care.Story(ctx, n.ID)
	if err != nil {
		return pages.NeedStory{}, err
	}
	r, err := a.Residents.Get(ctx, n.Resident)
	if err != nil {
		return pages.NeedStory{}, err
	}
	person, err := a.Residents.Open(ctx, r)
	if err != nil {
		return pages.NeedStory{}, err
	}
	need := needOfView(story.Need)
	if need.Note, err = a.Residents.NeedNote(n); err != nil {
		return pages.NeedStory{}, err
	}
	v := pages.NeedStory{
		Form: f, Need: need, Name: person.Name, Back: personPath(c, n.Resident), Source: story.Source,
		Score: thousandths(story.ScoreMilli), Weight: thousandths(story.WeightMilli), Base: thousandths(story.BaseMilli),
		LinesMs: story.LinesMs, Ready: story.Ready, Forgotten: story.Forgotten,
		Live: story.Need.State.Live(), Today: a.Now().In(chinaTime).Format("2006-01-02"), Whys: residents.EditReasons(),
	}
	v.Own = principalOf(c).Resident != ""
	names := actorNames{"system": f.T("need.system")}
	for _, x := range story.Steps {
		who, err := a.actorName(c, names, x.By)
		if err != nil {
			return v, err
		}
		v.Steps = append(v.Steps, needStep(n.Category, x, who))
	}
	for _, o := range story.Offers {
		v.Offers = append(v.Offers, pages.NotServed{Title: text(o.TitleZH, o.TitleEN), Reason: reasonText(o.Reason), Good: o.Reason.Code == matching.CodeOpenNow})
	}
	for _, x := range story.Next {
		v.Next = append(v.Next, reasonText(x))
	}
	for field, is := range map[string]string{
		"qty": plainUnits(n.Category, n.QtyUnits), "urgency": strconv.Itoa(n.Urgency), "note": v.Need.Note, "asked": strconv.FormatInt(n.Asked, 10), "until": dayOf(n.UntilMs),
	} {
		if _, sent := f.Values[field]; !sent {
			f.Values[field] = []string{is}
		}
	}
	return v, nil
}

// needStep is one step of the story in words, with the figures of the time.
func needStep(category string, x care.Step, who string) pages.NeedStep {
	kind := care.KindText(x.Kind)
	out := pages.NeedStep{AtMs: x.AtMs, What: text(kind.ZH, kind.EN), Who: who, Title: text(x.TitleZH, x.TitleEN), Reason: reasonText(x.Reason)}
	if x.Allocation != "" || x.Kind == care.KindOpened {
		out.Amount = amount(category, x.QtyUnits, "")
	}
	facts := x.Reason.Facts
	if x.Rest != nil {
		out.Rest = reasonText(*x.Rest)
		if x.Reason.Code == "" {
			facts = x.Rest.Facts
		}
	}
	figure := func(key string) string {
		n, err := strconv.ParseInt(facts[key], 10, 64)
		if err != nil || n == 0 {
			return ""
		}
		return thousandths(n)
	}
	out.Score, out.Weight, out.Line = figure("score_milli"), figure("weight_milli"), figure("line_milli")
	out.Position, _ = strconv.ParseInt(facts["position"], 10, 64) // of our own making; where there is none, 0
	return out
}

// thousandths writes thousandths in full: 1.809.
func thousandths(n int64) string { return strconv.FormatFloat(float64(n)/1000, 'f', 3, 64) }

// plainUnits is a quantity as a form takes it: cash in yuan.
func plainUnits(category string, units int64) string {
	if category == providers.Cash {
		return strconv.FormatFloat(float64(units)/100, 'f', -1, 64)
	}
	return strconv.FormatInt(units, 10)
}

// dayOf is the date of a time in China as a form takes it; "" for none.
func dayOf(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).In(chinaTime).Format("2006-01-02")
}

func (a *App) showNeed(c *fiber.Ctx) error {
	v, err := a.needPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveNeedEdit(c *fiber.Ctx) error {
	n := needOf(c)
	f, err := a.form(c, "/needs/"+n.ID)
	if err != nil {
		return err
	}
	qty, urgency, until, note := units(&f, "qty", n.Category), int(whole(&f, "urgency")), dayEnd(&f, "until"), f.Value("note")
	if dayOf(n.UntilMs) == f.Value("until") {
		until = n.UntilMs // the day is as it was, so the hour is too
	}
	status := fiber.StatusBadRequest
	edit := residents.NeedEdit{QtyUnits: &qty, Urgency: &urgency, UntilMs: &until, Note: &note, Why: f.Value("reason"), Asked: whole(&f, "asked")}
	if _, sent := f.Values["note"]; !sent {
		edit.Note = nil
	}
	if len(f.Errors) == 0 {
		if err = a.mayEdit(c, n, edit); err == nil {
			_, err = a.Care.EditNeed(c.UserContext(), principalOf(c), n.ID, edit)
		}
		if err == nil {
			return top(c, to(c, "/needs/"+n.ID, "need_changed"))
		}
		if status, err = a.refill(c, err, &f, map[string]string{"qty_units": "qty", "until_ms": "until"}, nil); err != nil {
			return err
		}
	}
	v, err := a.needPage(c)
	if err != nil {
		return err
	}
	v.Errors, v.Failure = f.Errors, f.Failure
	return a.show(c, status, v)
}

func (a *App) saveNeedWithdrawn(c *fiber.Ctx) error {
	n := needOf(c)
	if _, err := a.Care.WithdrawNeed(c.UserContext(), principalOf(c), n.ID, typed(c.FormValue("reason"))); err != nil {
		return err
	}
	return to(c, personPath(c, n.Resident), "need_withdrawn")
}
