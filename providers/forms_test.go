package providers_test

import (
	"errors"
	"testing"
	"time"

	"github.com/xingfuma/happycode/providers"
)

// of is an offer of a form as its preset begins it, for the first days that it
// gives something.
func of(p providers.Preset) providers.NewOffer {
	n := newOffer()
	n.Form, n.Category, n.Handover.How, n.Lots = p.Form, p.Categories[0], p.Hows[0], nil
	n.CapUnits, n.CapPeriod, n.Pace = p.CapUnits, p.CapPeriod, p.Pace
	p.Series.From, p.Series.To = noon.AddDate(0, 0, 1).Format(time.DateOnly), noon.AddDate(0, 2, 0).Format(time.DateOnly)
	n.Series = []providers.Series{p.Series}
	return n
}

func TestEveryPresetPosts(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	org := approved(t, s)
	for _, p := range providers.Presets() {
		o, err := s.Post(t.Context(), "p1", org, of(p))
		if err != nil {
			t.Errorf("%s: %v", p.Form, err)
			continue
		}
		if o.Form != p.Form || len(o.Lots) < 2 || len(o.Plan) != 1 {
			t.Errorf("%s: got form %q, %d lots, %d series", p.Form, o.Form, len(o.Lots), len(o.Plan))
		}
		for _, category := range p.Categories {
			if _, ok := providers.CategoryByID(category); !ok {
				t.Errorf("%s: no category %q", p.Form, category)
			}
		}
	}
}

func TestUnlimitedDiscount(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	org := approved(t, s)
	p, _ := providers.PresetOf(providers.FormDiscount)
	n := of(p)
	n.Unlimited, n.Series[0].QtyUnits = true, 0
	o, err := s.Post(t.Context(), "p1", org, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, lot := range o.Lots {
		for county, units := range lot.Shares {
			if units < 100_000 {
				t.Errorf("%s has %d units: somebody may run out", county, units)
			}
		}
	}
}

func TestFormsRefuse(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	org := approved(t, s)
	meals, _ := providers.PresetOf(providers.FormMeals)
	for field, spoil := range map[string]func(*providers.NewOffer){
		"category":     func(n *providers.NewOffer) { n.Category = "grocery" },
		"handover.how": func(n *providers.NewOffer) { n.Handover.How = providers.Transfer },
		"form":         func(n *providers.NewOffer) { n.Form, n.Category = "", providers.WishCategory },
		"unlimited":    func(n *providers.NewOffer) { n.Unlimited = true },
		"lots":         func(n *providers.NewOffer) { n.Series[0].Days = 3 },
		"series[0].to": func(n *providers.NewOffer) { n.Series[0].To = "" },
	} {
		n := of(meals)
		spoil(&n)
		_, err := s.Post(t.Context(), "p1", org, n)
		var fault providers.FieldError
		if !errors.As(err, &fault) || fault.Field != field {
			t.Errorf("got %v, want a fault of %s", err, field)
		}
	}
	// What says no form is held to none: systems that post by category go on.
	n := newOffer()
	n.Handover.How = providers.OnSite
	if o, err := s.Post(t.Context(), "p1", org, n); err != nil || o.Form != providers.FormMeals {
		t.Errorf("got %v, %v", o, err)
	}
}
