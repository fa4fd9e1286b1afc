package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

type divisionView struct {
	Code        string        `json:"code"`
	Name        string        `json:"name"`
	EnglishName string        `json:"english_name"`
	Level       regions.Level `json:"level" enum:"province,city,county,town,village"`
	Parent      string        `json:"parent"`
}

type divisionQuery struct {
	Parent string `query:"parent" description:"12-digit code; empty for the topmost."`
}

func (a *App) listDivisions(c *fiber.Ctx) error {
	return c.JSON(listed(a.Tree().Children(c.Query("parent")), "", func(d regions.Division) divisionView {
		return divisionView{d.ID, d.Name, d.EnglishName, d.Level, d.Parent}
	}))
}

type divisionsImported struct {
	Taken   int      `json:"taken"`
	Changed int      `json:"changed"`
	Known   int      `json:"known"`
	Bad     []badRow `json:"bad"`
}

// badRow is a row of a file that was left out.
type badRow struct {
	Row    int    `json:"row" description:"As the spreadsheet program counts, from 1."`
	Column string `json:"column"`
	Reason string `json:"reason"`
}

func viewBadRows(lang string, rows []regions.BadRow) []badRow {
	out := make([]badRow, len(rows))
	for i, r := range rows {
		out[i] = badRow{r.Row, r.Column, words{r.ReasonZH, r.ReasonEN}.in(lang)}
	}
	return out
}

func (a *App) importDivisions(c *fiber.Ctx) error {
	res, err := a.takeDivisions(c)
	if err != nil {
		return err
	}
	return c.JSON(divisionsImported{res.Taken, res.Changed, res.Known, viewBadRows(langOf(c), res.Bad)})
}

// takeDivisions imports the uploaded "file", as far as it lies in the
// administrator's division, and puts the new tree in force.
func (a *App) takeDivisions(c *fiber.Ctx) (regions.Result, error) {
	file, _, err := uploaded(c, "file")
	if err != nil {
		return regions.Result{}, err
	}
	defer file.Close()
	res, err := a.Regions.ImportWithin(c.UserContext(), principalOf(c).Division, file, a.progress(c))
	if err != nil {
		return res, err
	}
	tree, err := a.Regions.Load(c.UserContext())
	if err != nil {
		return res, err
	}
	a.TreeChanged(tree)
	return res, nil
}

func (a *App) listCategories(c *fiber.Ctx) error {
	return c.JSON(listed(providers.Categories(), "", func(x providers.Category) providers.Category { return x }))
}

type groupView struct {
	ID string `json:"id"`
	ZH string `json:"zh"`
	EN string `json:"en"`
}

func (a *App) listGroups(c *fiber.Ctx) error {
	return c.JSON(listed(residents.Groups(), "", func(g residents.Group) groupView { return groupView(g) }))
}
