//go:build integration

package press_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/xingfuma/happycode/app/press"
	"github.com/xingfuma/happycode/app/residents"
)

// numbers are the cards of a part, and the sheets they lie on.
func (o *office) numbers(part press.Part) (cards, sheets []string) {
	o.t.Helper()
	order := o.order()
	order.After, order.Until = part.After, part.Until
	got, tally, err := o.Sheets(o.t.Context(), order, 0, 1000)
	must(o.t, err)
	count, err := o.Count(o.t.Context(), order, 0)
	must(o.t, err)
	if tally != count {
		o.t.Errorf("printed %+v, counted %+v", tally, count)
	}
	for _, s := range got {
		sheets = append(sheets, fmt.Sprintf("%s %d/%d", s.Place, s.No, s.Of))
		for _, c := range s.Cards {
			cards = append(cards, c.Number)
		}
	}
	return cards, sheets
}

func cutsOf(parts []press.Part) (cuts []press.Cut) {
	for _, p := range parts[:len(parts)-1] {
		cuts = append(cuts, p.Until)
	}
	return cuts
}

// Parts have everybody once and no household twice; they stay so when, between
// printing one and the next, people come, go and get new codes.
func TestPartsHaveEverybodyOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 120) // 20 households of three in each village
	parts, tally, more, err := o.Parts(t.Context(), o.order(), nil, 40, 100)
	must(t, err)
	if more || len(parts) != 4 || tally.Cards != 120 {
		t.Fatalf("%d parts, %+v, more: %v", len(parts), tally, more)
	}
	if parts[0].After != (press.Cut{}) || parts[3].Until != (press.Cut{}) {
		t.Error("the parts have bounds outside")
	}
	whole, _ := o.numbers(press.Part{})
	var all, sheets []string
	households, of := map[string]int{}, map[string]*residents.Resident{}
	for _, r := range o.people {
		of[r.CardNo] = r
	}
	for i, p := range parts {
		got, on := o.numbers(p)
		if len(got) != p.Cards || p.Cards > 40 || len(on) != p.Sheets {
			t.Errorf("part %d has %d cards on %d sheets: %+v", i, len(got), len(on), p)
		}
		for _, number := range got {
			r := of[number]
			key := r.Division + r.Household
			if at, seen := households[key]; seen && at != i {
				t.Error("a household is in two parts")
			}
			households[key] = i
		}
		all, sheets = append(all, got...), append(sheets, on...)
	}
	if !slices.Equal(all, whole) {
		t.Error("the parts together are not the whole in its order")
	}
	if slices.Sort(sheets); len(slices.Compact(sheets)) != tally.Sheets {
		t.Errorf("two sheets have the same number: %q", sheets)
	}

	// The first part is printed. One of it moves away, one at its very end too,
	// one behind it gets a new code, one comes.
	done, _ := o.numbers(parts[0])
	_, err = o.residents.SetStatus(t.Context(), "test", of[done[0]].ID, residents.Moved)
	must(t, err)
	_, err = o.residents.SetStatus(t.Context(), "test", of[done[len(done)-1]].ID, residents.Deceased)
	must(t, err)
	later := of[whole[len(done)]]
	code, err := o.residents.Reissue(t.Context(), "test", later.ID, residents.WhyLost)
	must(t, err)
	came, err := o.residents.Register(t.Context(), "test", residents.Registration{Name: "新来", Division: first})
	must(t, err)
	again, _, _, err := o.Parts(t.Context(), o.order(), cutsOf(parts), 40, 100)
	must(t, err)
	if !slices.Equal(cutsOf(again), cutsOf(parts)) {
		t.Fatalf("the cuts are %v, were %v", cutsOf(again), cutsOf(parts))
	}
	var rest []string
	for _, p := range again {
		got, _ := o.numbers(p)
		if len(got) != p.Cards {
			t.Errorf("a part has %d cards, said %d", len(got), p.Cards)
		}
		if p.After != (press.Cut{}) {
			rest = append(rest, got...)
		}
	}
	rest = slices.DeleteFunc(rest, func(n string) bool { return n == came.CardNo })
	want := slices.Clone(whole[len(done):])
	want[slices.Index(want, later.CardNo)] = code.CardNo
	slices.Sort(want)
	if slices.Sort(rest); !slices.Equal(rest, want) {
		t.Error("the parts after the first leave somebody out, or print somebody again")
	}
}

// A page of parts goes on behind the last of the page before.
func TestPartsGoOn(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 60)
	all, _, _, err := o.Parts(t.Context(), o.order(), nil, 12, 100)
	must(t, err)
	order, got := o.order(), []press.Part(nil)
	for more := true; more; {
		var some []press.Part
		some, _, more, err = o.Parts(t.Context(), order, nil, 12, 2)
		must(t, err)
		got = append(got, some...)
		order.After = got[len(got)-1].Until
	}
	if len(all) != 5 || !slices.Equal(got, all) {
		t.Errorf("page by page %v, at once %v", got, all)
	}
	// More in one household than a part takes: a part by itself.
	if tight, _, _, err := o.Parts(t.Context(), o.order(), nil, 2, 100); err != nil || len(tight) != 20 {
		t.Errorf("%d parts, %v", len(tight), err)
	}
	// Cuts that come to lie side by side make no empty part.
	twice := slices.Repeat(cutsOf(all), 2)
	if kept, _, _, err := o.Parts(t.Context(), o.order(), twice, 12, 100); err != nil || !slices.Equal(kept, all) {
		t.Errorf("with its cuts twice %v, %v", kept, err)
	}
}

func TestCutAsText(t *testing.T) {
	t.Parallel()
	for _, c := range []press.Cut{{}, {Division: first, Household: "h1"}} {
		if got, err := press.ParseCut(c.String()); err != nil || got != c {
			t.Errorf("%q is read as %v, %v", c, got, err)
		}
	}
	for _, s := range []string{"x", first, first + ".", ".h1", "33.h1", first + "." + string(make([]byte, 64))} {
		if _, err := press.ParseCut(s); !errors.Is(err, press.ErrCut) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
