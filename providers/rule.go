package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers/eligibility"
)

// Rule is who may have an offer beyond its divisions, groups and least score, as
// it was said when the offer was posted.
type Rule struct {
	Expr string `json:"expr"` // in CEL, see package eligibility; empty: no rule
	// ZH and EN are the sentence that says it, Parts the clauses that all have to
	// hold.
	ZH    string             `json:"zh"`
	EN    string             `json:"en"`
	Parts []eligibility.Text `json:"parts,omitempty"`
	// Categories are where to look for what the rule asks of having been received.
	Categories []string `json:"categories,omitempty"`
}

// CheckRule reads a rule and checks all that it names.
// Errors: [FieldError] of field "rule", with the place of the fault.
func (s *Service) CheckRule(ctx context.Context, expr string) (*eligibility.Rule, Rule, error) {
	parsed, err := eligibility.Parse(expr)
	if err != nil {
		return nil, Rule{}, ruleFault(err)
	}
	return s.sayRule(ctx, parsed)
}

// BuildRule is [Service.CheckRule] for what a form has built.
func (s *Service) BuildRule(ctx context.Context, tree eligibility.Tree) (*eligibility.Rule, Rule, error) {
	built, err := eligibility.FromTree(tree)
	if err != nil {
		return nil, Rule{}, ruleFault(err)
	}
	return s.sayRule(ctx, built)
}

func (s *Service) sayRule(ctx context.Context, r *eligibility.Rule) (*eligibility.Rule, Rule, error) {
	offers := map[string]*Offer{}
	names, failed := s.ruleNames(ctx, offers)
	err := r.Check(names)
	if *failed != nil {
		return nil, Rule{}, *failed
	}
	if err != nil {
		return nil, Rule{}, ruleFault(err)
	}
	words := r.Sentence(names)
	out := Rule{Expr: r.Expr, ZH: words.ZH, EN: words.EN, Parts: r.Words(names)}
	for _, key := range r.Reads.Received {
		switch _, isCategory := CategoryByID(key.ID); {
		case isCategory:
			out.Categories = append(out.Categories, key.ID)
		case offers[key.ID] != nil:
			out.Categories = append(out.Categories, offers[key.ID].Category)
		default: // a set has offers of any category
			for _, c := range Categories() {
				out.Categories = append(out.Categories, c.ID)
			}
		}
	}
	slices.Sort(out.Categories)
	out.Categories = slices.Compact(out.Categories)
	return r, out, nil
}

// ruleNames knows what a rule may name. The offers that it finds are kept, and
// an error of the record.
func (s *Service) ruleNames(ctx context.Context, offers map[string]*Offer) (names eligibility.Names, failed *error) {
	failed = new(error)
	names = s.config.Names
	if names.Group == nil {
		names.Group = func(id string) (eligibility.Text, bool) {
			return eligibility.Text{ZH: id, EN: id}, s.config.Group == nil || s.config.Group(id)
		}
	}
	if names.Division == nil {
		names.Division = func(code string) (eligibility.Text, bool) {
			return eligibility.Text{ZH: code, EN: code}, s.known(code)
		}
	}
	names.Category = func(id string) (eligibility.Text, bool) {
		c, ok := CategoryByID(id)
		return eligibility.Text{ZH: c.ZH, EN: c.EN}, ok
	}
	names.Offer = func(id string) (eligibility.Text, bool) {
		if offers[id] == nil {
			o, err := s.offers.Get(ctx, id)
			if err != nil {
				if !errors.Is(err, store.ErrNotFound) {
					*failed = fmt.Errorf("read offer %s that a rule names: %w", id, err)
				}
				return eligibility.Text{}, false
			}
			offers[id] = o
		}
		o := offers[id]
		if o.TitleEN == "" {
			return eligibility.Text{ZH: o.TitleZH, EN: o.TitleZH}, true
		}
		return eligibility.Text{ZH: o.TitleZH, EN: o.TitleEN}, true
	}
	return names, failed
}

// ruleFault makes a fault an error of the field.
func ruleFault(err error) error {
	var fault *eligibility.Fault
	if !errors.As(err, &fault) {
		return err
	}
	zh, en := fault.Words()
	return FieldError{"rule", zh, en, err}
}

// maxSets is how many sets an offer may belong to.
const maxSets = 5

// checkRule checks the rule of an offer that is posted, and its sets.
func (s *Service) checkRule(ctx context.Context, o *Offer, n NewOffer) (err error) {
	if len(n.Sets) > maxSets {
		return ErrOffer{"sets", fmt.Sprintf("最多加入 %d 个组合，请减少。", maxSets), fmt.Sprintf("An offer belongs to at most %d sets: name fewer.", maxSets), nil}
	}
	for i, name := range n.Sets {
		clean, ok := eligibility.SetName(name)
		if !ok {
			return ErrOffer{fmt.Sprintf("sets[%d]", i), "组合名称应为 2 至 30 个字、字母或数字，中间不留空格，请改正。",
				"A set's name has 2 to 30 letters or digits and no spaces: correct it.", nil}
		}
		if !slices.Contains(o.Sets, clean) {
			o.Sets = append(o.Sets, clean)
		}
	}
	if n.Rule == "" {
		return nil
	}
	_, o.Rule, err = s.CheckRule(ctx, n.Rule)
	return err
}

// Keys are what rules may name an offer by.
func (o *Offer) Keys() []string {
	keys := []string{o.Category, o.ID}
	for _, set := range o.Sets {
		keys = append(keys, eligibility.SetPrefix+set)
	}
	return keys
}

// Served checks the divisions that an offer is to serve, and leaves out those
// that lie in others. Errors: [FieldError].
func (s *Service) Served(divisions []string) ([]string, error) {
	o := &Offer{}
	err := s.checkDivisions(o, divisions)
	return o.Divisions, err
}
