package matching_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
)

// admits are the offers whose rules admit a person.
type admits map[string]bool

func (a admits) Admits(offer string) bool       { return a[offer] }
func (a admits) Guards(string) []matching.Guard { return nil }

// An offer with a rule is for those whom its rule admits: on the shelf, among
// what is left of it, and in a plan, also where two people are alike in all else.
func TestRules(t *testing.T) {
	t.Parallel()
	cat := matching.NewCatalogue()
	cat.Put(offer("all", nil), offer("some", func(o *matching.Offer) { o.Rule = true }), offer("others", func(o *matching.Offer) { o.Rule = true }))
	person := matching.Person{Household: "h", Division: village}
	for _, c := range []struct {
		rules matching.Rules
		want  []string
	}{
		{nil, []string{"all-1"}}, {admits{}, []string{"all-1"}},
		{admits{"some": true}, []string{"some-1", "all-1"}}, // what fewer may have comes first
	} {
		person.Rules = c.rules
		candidates, misses := cat.Candidates(wuxing, "meal", person, epoch)
		if diff := cmp.Diff(c.want, lots(candidates)); diff != "" {
			t.Errorf("with %v: %s", c.rules, diff)
		}
		if len(misses)+len(candidates) != 3 || misses[0].Why != matching.MissRule {
			t.Errorf("with %v the misses are %+v", c.rules, misses)
		}
		if diff := cmp.Diff(c.want, lots(cat.Choice(wuxing, "meal", person, epoch, nil, 1000).All())); diff != "" {
			t.Errorf("with %v the choice is another: %s", c.rules, diff)
		}
	}
	if got := cat.Ruled(wuxing, "visit", "meal"); !cmp.Equal(got, []string{"others", "some"}) {
		t.Errorf("the offers with a rule are %v", got)
	}

	s := newShelf(t, nil, matching.Offer{ID: "a", Rule: true}, matching.Offer{ID: "b"})
	s.stock["b"] = matching.Stock{ID: "b", Known: true}
	x, y := asker("x", 1, 900), asker("y", 1, 800)
	y.Person.Rules = admits{"a": true}
	if got := s.reached(9, nil, x, y); got != "y" {
		t.Errorf("reached are %q, want whom the rule admits", got)
	}
}
