package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/eligibility"
)

// ruleRequest is a rule as an expression, or as a form has built it.
type ruleRequest struct {
	Rule string            `json:"rule" maxLength:"2000" description:"A CEL expression over age, groups, health, division, score, household_size, received and today."`
	Tree *eligibility.Tree `json:"tree,omitempty" description:"Or what a form has built: one of all, any, not and ask."`
}

// ruleView is what a rule is, in all its shapes.
type ruleView struct {
	Rule   string            `json:"rule" description:"The expression as it is kept."`
	Tree   *eligibility.Tree `json:"tree,omitempty" description:"The same as a tree."`
	Simple bool              `json:"simple" description:"A form of rows can show it."`
	ZH     string            `json:"zh" description:"What it says."`
	EN     string            `json:"en"`
}

func (a *App) ruleOf(c *fiber.Ctx, in ruleRequest) (ruleView, error) {
	if in.Rule == "" && in.Tree == nil {
		return ruleView{Simple: true}, nil
	}
	var rule *eligibility.Rule
	var said providers.Rule
	var err error
	if in.Tree != nil {
		rule, said, err = a.Providers.BuildRule(c.UserContext(), *in.Tree)
	} else {
		rule, said, err = a.Providers.CheckRule(c.UserContext(), in.Rule)
	}
	if err != nil {
		return ruleView{}, err
	}
	return ruleView{Rule: rule.Expr, Tree: &rule.Tree, Simple: rule.Tree.Simple(), ZH: said.ZH, EN: said.EN}, nil
}

func (a *App) checkRule(c *fiber.Ctx) error {
	in, err := decode[ruleRequest](c)
	if err != nil {
		return err
	}
	v, err := a.ruleOf(c, in)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

// reachRequest is an offer's terms as far as they say whom it is for.
type reachRequest struct {
	ruleRequest
	Divisions     []string `json:"divisions" required:"true" minItems:"1" maxItems:"2000" description:"Served, 12-digit codes."`
	Groups        []string `json:"groups" description:"The person is in one of them; empty: any."`
	MinScoreMilli int64    `json:"min_score_milli" minimum:"0" maximum:"1000"`
	Before        *string  `json:"before,omitempty" maxLength:"2000" description:"Another rule to compare with; an empty one is no rule."`
	ImportID      string   `json:"import_id" maxLength:"64" description:"Chosen by the sender, to ask GET /imports/{id} for the progress."`
}

// reachView is a rule and whom it reaches.
type reachView struct {
	ruleView
	care.Reach
}

// asker is who has seen a count: colleagues have seen what each of them has.
func asker(p accounts.Principal) string {
	if p.Organisation != "" {
		return "organisation:" + p.Organisation
	}
	return actor(p)
}

func (a *App) countReach(c *fiber.Ctx) error {
	in, err := decode[reachRequest](c)
	if err != nil {
		return err
	}
	v := reachView{}
	if v.ruleView, err = a.ruleOf(c, in.ruleRequest); err != nil {
		return err
	}
	divisions, err := a.Providers.Served(in.Divisions)
	if err != nil {
		return err
	}
	reach, err := a.Care.Reach(c.UserContext(), asker(principalOf(c)), care.Reached{
		Divisions: divisions, Groups: in.Groups, MinScoreMilli: in.MinScoreMilli, Rule: v.Rule, Before: in.Before,
	}, a.progressOf(c, in.ImportID))
	if err != nil {
		return err
	}
	v.Reach = *reach
	return c.JSON(v)
}
