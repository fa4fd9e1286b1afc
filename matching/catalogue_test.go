package matching_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
)

const (
	wuxing  = "330502000000"
	nanxun  = "330503000000"
	huzhou  = "330500000000"
	yuehe   = "330502001000" // a town of Wuxing
	village = "330502001003"
)

// offer makes an offer of meals for Wuxing, usable from now on for a day.
func offer(id string, change func(*matching.Offer)) matching.Offer {
	o := matching.Offer{
		ID: id, Category: "meal", Divisions: []string{wuxing},
		Lots: []matching.Lot{{ID: id + "-1", County: wuxing, FromMs: epoch.UnixMilli(), UntilMs: epoch.Add(24 * time.Hour).UnixMilli()}},
	}
	if change != nil {
		change(&o)
	}
	return o
}

func lots(cs []matching.Candidate) (out []string) {
	for _, c := range cs {
		out = append(out, c.Lot)
	}
	return out
}

func TestEligibility(t *testing.T) {
	t.Parallel()
	person := matching.Person{Household: "h", Division: village, Groups: []string{"elderly", "disabled"}, ScoreMilli: 400}
	for _, c := range []struct {
		name   string
		change func(*matching.Offer)
		why    string
	}{
		{"village", func(o *matching.Offer) { o.Divisions = []string{village} }, ""},
		{"town", func(o *matching.Offer) { o.Divisions = []string{yuehe} }, ""},
		{"county", nil, ""},
		{"city", func(o *matching.Offer) { o.Divisions = []string{huzhou} }, ""},
		{"province", func(o *matching.Offer) { o.Divisions = []string{"330000000000"} }, ""},
		{"one of several", func(o *matching.Offer) { o.Divisions = []string{"330502002000", yuehe} }, ""},
		{"next village", func(o *matching.Offer) { o.Divisions = []string{"330502001004"} }, matching.MissDivision},
		{"next town", func(o *matching.Offer) { o.Divisions = []string{"330502002000"} }, matching.MissDivision},
		{"town 100 is not 1", func(o *matching.Offer) { o.Divisions = []string{"330502100000"} }, matching.MissDivision},
		{"village 030 is not 003", func(o *matching.Offer) { o.Divisions = []string{"330502001030"} }, matching.MissDivision},
		{"nowhere", func(o *matching.Offer) { o.Divisions = nil }, matching.MissDivision},
		{"one of my groups", func(o *matching.Offer) { o.Groups = []string{"child", "disabled"} }, ""},
		{"other groups", func(o *matching.Offer) { o.Groups = []string{"child"} }, matching.MissGroup},
		{"my score", func(o *matching.Offer) { o.MinScoreMilli = 400 }, ""},
		{"higher score", func(o *matching.Offer) { o.MinScoreMilli = 401 }, matching.MissScore},
		{"begins later", func(o *matching.Offer) { o.Lots[0].FromMs++ }, matching.MissNotYet},
		{"ends now", func(o *matching.Offer) { o.Lots[0].UntilMs = epoch.UnixMilli() }, matching.MissOver},
		{"ends later", func(o *matching.Offer) { o.Lots[0].UntilMs = epoch.UnixMilli() + 1 }, ""},
		{"over, and one to come", func(o *matching.Offer) {
			later := o.Lots[0]
			later.FromMs, later.UntilMs, later.ID = epoch.UnixMilli()+9, later.UntilMs+9, "later"
			o.Lots[0].UntilMs = epoch.UnixMilli()
			o.Lots = append(o.Lots, later)
		}, matching.MissNotYet},
		{"one that serves, and one to come", func(o *matching.Offer) {
			later := o.Lots[0]
			later.FromMs, later.UntilMs, later.ID = epoch.UnixMilli()+9, later.UntilMs+9, "later"
			o.Lots = append(o.Lots, later)
		}, ""},
		{"one over, and one that serves", func(o *matching.Offer) {
			over := o.Lots[0]
			over.UntilMs, over.ID = epoch.UnixMilli(), "over"
			o.Lots = append(o.Lots, over)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cat := matching.NewCatalogue()
			cat.Put(offer("o", c.change))
			candidates, misses := cat.Candidates(wuxing, "meal", person, epoch)
			if c.why == "" {
				if diff := cmp.Diff([]string{"o-1"}, lots(candidates)); diff != "" || len(misses) != 0 {
					t.Errorf("got %v and misses %v", candidates, misses)
				}
				return
			}
			if diff := cmp.Diff([]matching.Miss{{Offer: "o", Why: c.why}}, misses); diff != "" || len(candidates) != 0 {
				t.Errorf("got %v; misses (-want +got):\n%s", candidates, diff)
			}
		})
	}
}

// What ends first comes first, then what the fewest may have.
func TestCandidatesOrder(t *testing.T) {
	t.Parallel()
	ends := func(in time.Duration) func(*matching.Offer) {
		return func(o *matching.Offer) { o.Lots[0].UntilMs = epoch.Add(in).UnixMilli() }
	}
	want := []matching.Offer{
		offer("z-soon", ends(time.Hour)),
		offer("y-village", func(o *matching.Offer) { o.Divisions = []string{village} }),
		offer("x-town", func(o *matching.Offer) { o.Divisions = []string{yuehe} }),
		offer("w-group", func(o *matching.Offer) { o.Groups = []string{"elderly"} }),
		offer("v-two-groups", func(o *matching.Offer) { o.Groups = []string{"elderly", "child"} }),
		offer("u-score", func(o *matching.Offer) { o.MinScoreMilli = 300 }),
		offer("t-low-score", func(o *matching.Offer) { o.MinScoreMilli = 100 }),
		offer("r-all", nil),
		offer("s-all", nil),
		offer("q-city", func(o *matching.Offer) { o.Divisions = []string{village, huzhou} }),
		offer("a-late", ends(48*time.Hour)),
	}
	person := matching.Person{Division: village, Groups: []string{"elderly"}, ScoreMilli: 900}
	var ids []string
	cat := matching.NewCatalogue()
	for i := range want {
		ids = append(ids, want[i].ID+"-1")
		cat.Put(want[len(want)-1-i])
	}
	got, misses := cat.Candidates(wuxing, "meal", person, epoch)
	if diff := cmp.Diff(ids, lots(got)); diff != "" || len(misses) != 0 {
		t.Errorf("misses %v; order (-want +got):\n%s", misses, diff)
	}
}

func TestCatalogueKeepsCountiesAndCategoriesApart(t *testing.T) {
	t.Parallel()
	cat := matching.NewCatalogue()
	wide := offer("wide", func(o *matching.Offer) {
		o.Divisions = []string{huzhou}
		o.Lots = append(o.Lots, matching.Lot{ID: "wide-2", County: nanxun, FromMs: o.Lots[0].FromMs, UntilMs: o.Lots[0].UntilMs})
		o.CapUnits, o.CapPeriod = 3, matching.Week
	})
	cat.Put(wide, offer("visits", func(o *matching.Offer) { o.Category = "visit" }))
	person := matching.Person{Division: village}
	got, _ := cat.Candidates(wuxing, "meal", person, epoch)
	week := matching.Cap{Field: "o:wide", Period: "W202648", Limit: 3}
	if diff := cmp.Diff([]matching.Candidate{{Offer: "wide", Lot: "wide-1", Cap: week}}, got); diff != "" {
		t.Errorf("Wuxing (-want +got):\n%s", diff)
	}
	got, _ = cat.Candidates(nanxun, "meal", person, epoch)
	if diff := cmp.Diff([]matching.Candidate{{Offer: "wide", Lot: "wide-2", Cap: week}}, got); diff != "" {
		t.Errorf("Nanxun (-want +got):\n%s", diff)
	}
	if got, misses := cat.Candidates(nanxun, "visit", person, epoch); got != nil || misses != nil {
		t.Errorf("got %v, %v where nothing is", got, misses)
	}
}

func TestCatalogueVersions(t *testing.T) {
	t.Parallel()
	cat := matching.NewCatalogue()
	person := matching.Person{Division: village}
	at := func(version int64, lot string) matching.Offer {
		return offer("o", func(o *matching.Offer) { o.Version, o.Lots[0].ID = version, lot })
	}
	expect := func(what string, want ...string) {
		t.Helper()
		got, _ := cat.Candidates(wuxing, "meal", person, epoch)
		if diff := cmp.Diff(want, lots(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	cat.Put(at(2, "two"))
	expect("first", "two")
	cat.Put(at(1, "one"))
	expect("an older version", "two")
	cat.Put(at(2, "again"))
	expect("the same version", "again")
	moved := at(3, "three")
	moved.Category = "visit"
	cat.Put(moved)
	expect("a newer version in another category")
	if o, ok := cat.Offer("o"); !ok || o.Version != 3 {
		t.Errorf("got %+v, %v; want version 3", o, ok)
	}
	moved.Lots[0].ID = "changed by the caller"
	if got, _ := cat.Candidates(wuxing, "visit", person, epoch); got[0].Lot != "three" {
		t.Errorf("the catalogue changed with the caller's slice: %v", got)
	}
	cat.Remove("o")
	cat.Remove("o")
	if _, ok := cat.Offer("o"); ok {
		t.Error("a removed offer is still there")
	}
	if got, _ := cat.Candidates(wuxing, "visit", person, epoch); got != nil {
		t.Errorf("got %v of a removed offer", got)
	}
}

// Readers never wait and never see half a change.
func TestCatalogueConcurrently(t *testing.T) {
	t.Parallel()
	cat := matching.NewCatalogue()
	person := matching.Person{Division: village}
	together(8, func(i int) {
		for k := range 50 {
			o := offer(fmt.Sprint("o", i), func(o *matching.Offer) {
				o.Version = int64(k)
				o.Lots = append(o.Lots, o.Lots[0])
				o.Lots[1].ID += "+"
			})
			cat.Put(o)
			if got, _ := cat.Candidates(wuxing, "meal", person, epoch); len(got)%2 != 0 {
				t.Errorf("saw %d lots, half an offer", len(got))
			}
			if k%10 == 9 {
				cat.Remove(o.ID)
			}
		}
	})
}
