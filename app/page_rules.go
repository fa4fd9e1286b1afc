package app

import (
	"errors"
	"strings"
	"unicode"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/eligibility"
)

// ownOffers is how many of one's own offers a rule's form names: the newest.
const ownOffers = 50

// ruleForm is the part of an offer's form that says who may have it.
func (a *App) ruleForm(c *fiber.Ctx, v *pages.OfferNew) error {
	say := func(choices []pages.Choice) []pages.RuleChoice {
		out := []pages.RuleChoice{}
		for _, x := range choices {
			out = append(out, pages.RuleChoice{x.Value, v.Say(x.Text)})
		}
		return out
	}
	choices := pages.RuleChoices{Groups: say(v.Groups), Categories: say(categoryChoices()), Health: []pages.RuleChoice{}, Offers: []pages.RuleChoice{}, Places: []pages.RulePlaces{}}
	for _, id := range eligibility.Health() {
		choices.Health = append(choices.Health, pages.RuleChoice{id, v.Say(groupTexts([]string{id})[0])})
	}
	for _, county := range v.Counties {
		places := pages.RulePlaces{Name: county.Name, Towns: []pages.RuleChoice{{county.Code, v.T("offer_new.whole", county.Name)}}}
		for _, town := range county.Towns {
			places.Towns = append(places.Towns, pages.RuleChoice{town.Code, town.Name})
		}
		choices.Places = append(choices.Places, places)
	}
	if p := principalOf(c); p.Role == accounts.Provider {
		own, _, err := a.Providers.Offers(c.UserContext(), p.Organisation, "", ownOffers)
		if err != nil {
			return err
		}
		for _, o := range own {
			choices.Offers = append(choices.Offers, pages.RuleChoice{o.ID, v.Say(text(o.TitleZH, o.TitleEN))})
		}
	}
	var err error
	if v.Rule.Choices, err = choices.JSON(); err != nil || v.Value("rule") == "" {
		return err
	}
	_, said, err := a.Providers.CheckRule(c.UserContext(), v.Value("rule"))
	var wrong providers.FieldError
	if errors.As(err, &wrong) {
		return nil // posting or counting says so
	}
	v.Rule.Says = text(said.ZH, said.EN)
	return err
}

// showRuleReach shows the form as it was sent, with how many residents it would
// reach; nothing is posted.
func (a *App) showRuleReach(c *fiber.Ctx) error {
	v, err := a.offerForm(c)
	if err != nil {
		return err
	}
	f := &v.Form
	status := fiber.StatusOK
	if v.Rule.Reach, err = a.reachOf(c, f); err != nil {
		fields := map[string]string{"divisions": "rule_reach", "divisions[0]": "rule_reach", "before": "rule_reach"}
		if status, err = a.refill(c, err, f, fields, nil); err != nil {
			return err
		}
		if f.Errors["rule_reach"] != "" {
			f.Errors["rule_reach"] = f.T("rule.divisions_first")
		}
	}
	return a.show(c, status, v)
}

func (a *App) reachOf(c *fiber.Ctx, f *pages.Form) (*pages.RuleReach, error) {
	divisions, err := a.Providers.Served(f.Values["divisions"])
	if err != nil {
		return nil, err
	}
	q := care.Reached{Divisions: divisions, Groups: f.Values["groups"], MinScoreMilli: whole(f, "min_score"), Rule: f.Value("rule")}
	if _, compared := f.Values["rule_before"]; compared {
		before := f.Value("rule_before")
		q.Before = &before
	}
	reach, err := a.Care.Reach(c.UserContext(), asker(principalOf(c)), q, nil)
	if err != nil {
		return nil, err
	}
	out := &pages.RuleReach{
		Rule: q.Rule, Compared: q.Before != nil, People: reach.People, Before: reach.Before, FewTowns: reach.FewTowns, Whole: reach.Whole,
	}
	for _, t := range reach.Towns {
		out.Towns = append(out.Towns, pages.RuleTown{Place: t.Place, People: t.People, Before: t.Before, Near: t.Near})
	}
	return out, nil
}

// setNames are the names of sets as they are typed: with spaces or commas between.
func setNames(typed string) []string {
	return strings.FieldsFunc(typed, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",，、;；", r) })
}
