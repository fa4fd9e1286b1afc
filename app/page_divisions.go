package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/pages"
)

func (a *App) divisionsPage(c *fiber.Ctx) (pages.Divisions, error) {
	f, err := a.form(c, "/divisions")
	if err != nil {
		return pages.Divisions{}, err
	}
	v, tree := pages.Divisions{Form: f}, a.Tree()
	parent := c.Query("parent", principalOf(c).Division)
	for code := parent; code != ""; {
		d, ok := tree.Get(code)
		if !ok {
			break
		}
		v.Trail = append([]pages.Division{{Code: code, Name: v.Say(text(d.Name, d.EnglishName))}}, v.Trail...)
		code = d.Parent
	}
	for _, d := range tree.Children(parent) {
		v.Rows = append(v.Rows, pages.Division{Code: d.ID, Name: v.Say(text(d.Name, d.EnglishName)), Children: len(tree.Children(d.ID))})
	}
	return v, nil
}

func (a *App) showDivisions(c *fiber.Ctx) error {
	v, err := a.divisionsPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveDivisions(c *fiber.Ctx) error {
	res, takeErr := a.takeDivisions(c)
	v, err := a.divisionsPage(c)
	if err != nil {
		return err
	}
	if takeErr != nil {
		status, err := a.refill(c, takeErr, &v.Form, nil, nil)
		if err != nil {
			return err
		}
		return a.show(c, status, v)
	}
	v.Outcome = outcomeOf(res.Taken+res.Changed, res.Known, res.Bad)
	return a.show(c, fiber.StatusOK, v)
}
