package matching_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/drip"
)

// shared is an offer whose lots other counties have shares of as well.
func (s *plannedShelf) shared(o matching.Offer, from, until int) {
	l := s.lot(o.ID+"@330502", from, until)
	l.Whole = o.ID
	o.Lots = []matching.Lot{l}
	s.put(o)
}

func (s *plannedShelf) outlook(hour float64, room map[string]int64, waiting ...matching.Asker) *matching.Outlook {
	s.t.Helper()
	s.plan(hour, waiting...)
	o, err := s.planner.Outlook(s.at(hour), s.stock, func(household string, c matching.Cap) (int64, error) {
		left, ok := room[household]
		if !ok || c.Limit != 2 {
			return 0, errors.New("nobody else has a cap")
		}
		return left, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func TestOutlook(t *testing.T) {
	t.Parallel()
	same := func(what string, got, want *matching.Outlook) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	s := newShelf(t, nil)
	s.put(matching.Offer{ID: "own"}) // of this county alone
	same("nothing is shared", s.outlook(9, nil, asker("n", 12, 900)), &matching.Outlook{})

	s = newShelf(t, nil)
	s.shared(matching.Offer{ID: "a"}, 0, 20)
	s.shared(matching.Offer{ID: "capped", CapUnits: 2, CapPeriod: matching.Day}, 0, 20)
	for id, st := range s.stock {
		st.FreeUnits = 3
		s.stock[id] = st
	}
	// Six are there; three want nine. What is planned is kept for those who
	// wait, and who goes without says which lots would do.
	waiting := []matching.Asker{asker("x", 3, 2000), asker("y", 4, 1500), asker("z", 2, 900)}
	got := s.outlook(9, map[string]int64{"y": 5, "z": 1}, waiting...)
	same("nine of six", got, &matching.Outlook{
		Holdings: []matching.Holding{
			{Lot: "a", Units: 3, Kept: []drip.Band{{Weight: 2, Units: 3, Waits: true}}},
			{Lot: "capped", Units: 3, Kept: []drip.Band{{Weight: 1.5, Units: 3, Waits: true}}},
		},
		Wishes: []matching.Wish{
			{Band: drip.Band{Weight: 1.5, Units: 1, Waits: true}, Lots: []string{"a", "capped"}},
			{Band: drip.Band{Weight: 0.9, Units: 2, Waits: true}, Lots: []string{"a", "capped"}},
		},
	})
	// An offer's own cap that is used up: its units would be of no use to them.
	got = s.outlook(9, map[string]int64{"y": 0, "z": 0}, waiting...)
	if lots := got.Wishes[0].Lots; len(lots) != 1 || lots[0] != "a" {
		t.Errorf("somebody who had their part of an offer wishes for %v", lots)
	}
	// What the matcher does not know, or has closed, takes no part.
	delete(s.stock, "a@330502")
	if got = s.outlook(9, map[string]int64{"x": 2, "y": 2, "z": 2}, waiting...); len(got.Holdings) != 1 || got.Holdings[0].Lot != "capped" {
		t.Errorf("with one lot unknown the county makes known %+v", got.Holdings)
	}

	// What is about to end stays: it could not be fetched from elsewhere.
	s = newShelf(t, func(c *matching.PlannerConfig) { c.Fetch = 30 * time.Minute })
	s.shared(matching.Offer{ID: "a"}, 0, 20)
	if got = s.outlook(19.4, nil, asker("n", 12, 900)); len(got.Holdings) != 1 || len(got.Wishes) != 1 {
		t.Errorf("half an hour and more before the end: %+v", got)
	}
	same("the last half hour", s.outlook(19.5, nil, asker("n", 12, 900)), &matching.Outlook{})
}

// Of two counties that share a lot: somebody who waits in the one gets what the
// other plans for people who are less needy and only expected; nobody there who
// is needier goes without for it.
func TestTransfersBetweenCounties(t *testing.T) {
	t.Parallel()
	const far = "330523000000"
	keeps := newShelf(t, yesterday(1, 1)) // 1.4 an hour are expected until 20:00
	keeps.shared(matching.Offer{ID: "a"}, 0, 20)
	other := keeps.outlook(9, nil)
	if len(other.Holdings) != 1 || len(other.Holdings[0].Kept) != 1 || other.Holdings[0].Kept[0].Waits {
		t.Fatalf("the other county makes known %+v", other)
	}
	here := func(weight int64) *matching.Outlook {
		s := newShelf(t, nil)
		s.shared(matching.Offer{ID: "a"}, 0, 20)
		s.stock["a@330502"] = matching.Stock{ID: "a@330502", Known: true}
		return s.outlook(9, nil, asker("n", 2, weight))
	}
	for _, c := range []struct {
		weight int64
		want   []matching.Transfer
	}{
		{2000, []matching.Transfer{{Lot: "a", From: far, To: plannedCounty, Units: 2, WeightMilli: 2000, Waits: true}}},
		{1050, nil},
		{500, nil},
	} {
		got := matching.Transfers(map[string]*matching.Outlook{plannedCounty: here(c.weight), far: other})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("somebody of weight %d waits (-want +got):\n%s", c.weight, diff)
		}
	}
}

// What a county keeps for a group goes to that group in another county, also
// where it is open to all, and never to others there.
func TestTransfersOfWhatIsKept(t *testing.T) {
	t.Parallel()
	const far = "330523000000"
	county := func(hour float64, units int64, group string) *matching.Outlook {
		s := newShelf(t, nil)
		l := s.lot("a@330502", 0, 20)
		l.Whole, l.Kept = "a", matching.Kept{Group: "elderly", OpensMs: s.at(19).UnixMilli()}
		s.put(matching.Offer{ID: "a", Lots: []matching.Lot{l}})
		s.stock["a@330502"] = matching.Stock{ID: "a@330502", Known: true, FreeUnits: units}
		if group == "" {
			return s.outlook(hour, nil)
		}
		who := asker("n", 2, 900)
		who.Person.Groups = []string{group}
		return s.outlook(hour, nil, who)
	}
	for _, c := range []struct {
		what        string
		here, there float64 // hours: opened to all from 10:00, where nobody of the group is expected
		group       string
		units       int64
	}{
		{"kept in both, for the group", 9, 9, "elderly", 2},
		{"kept in both, for others", 9, 9, "disabled", 0},
		{"open here alone, for others", 11, 9, "disabled", 0},
		{"open in both, for others", 11, 11, "disabled", 0},
		{"open there alone, for the group", 9, 11, "elderly", 2},
	} {
		got := matching.Transfers(map[string]*matching.Outlook{
			plannedCounty: county(c.here, 0, c.group), far: county(c.there, 5, ""),
		})
		var units int64
		for _, m := range got {
			if units += m.Units; m.Lot != "a" || m.From != far {
				t.Errorf("%s: %+v", c.what, m)
			}
		}
		if units != c.units {
			t.Errorf("%s: %d units come, want %d", c.what, units, c.units)
		}
	}
}

// An outlook counts as long as nothing has come or gone since, and as lines do.
func TestOutlooksReachEveryProcess(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		other := connectRig(t, r.url, r.county, r.clock)
		want := &matching.Outlook{
			Holdings: []matching.Holding{{Lot: "a", Units: 3, Kept: []drip.Band{{Weight: 2, Units: 1.4}}}},
			Wishes:   []matching.Wish{{Band: drip.Band{Weight: 0.9, Units: 2, Waits: true}, Lots: []string{"a", "b"}}},
		}
		reads := func(what string, want *matching.Outlook) {
			t.Helper()
			got, err := other.Outlook(r.ctx(), r.county)
			r.ok(err)
			r.same(what, got, want)
		}
		reads("nothing was planned", nil)
		r.publish(matching.NewLines(map[string]int64{"a@1": 900}), want)
		reads("published", want)
		r.ok(r.FollowLines(r.ctx(), r.county))
		r.same("the line beside it", r.Lines(r.county).Of("a@1"), int64(900))

		r.open(3, "a@1")
		r.ok(r.Came(r.ctx(), r.county, matching.Shift{Move: "m", Lot: "a@1", Category: "meal", QtyUnits: 1}))
		reads("units came since", nil)
		r.publish(matching.NewLines(nil), &matching.Outlook{})
		reads("planned again", &matching.Outlook{})
		r.forward(30*time.Minute + time.Millisecond)
		reads("too old", nil)
		r.rebuild(matching.Snapshot{})
		reads("after a rebuild", nil)
		r.lose()
		if _, err := r.Outlook(r.ctx(), r.county); !errors.Is(err, matching.ErrNotReady) {
			t.Errorf("lost: got %v", err)
		}
	})
}

// What is kept for a group comes from other counties for that group only, also
// where it is open; what a county has of it is made known like any lot.
func TestOutlookOfWhatIsKept(t *testing.T) {
	t.Parallel()
	s := newShelf(t, nil)
	l := s.lot("k@330502", 0, 20)
	l.Whole, l.Kept = "k", matching.Kept{Group: "elderly", OpensMs: s.at(19.5).UnixMilli()}
	s.put(matching.Offer{ID: "o", Lots: []matching.Lot{l}})
	for _, c := range []struct {
		name    string
		hour    float64
		waiting []matching.Asker
		want    *matching.Outlook
	}{
		{"others wait, and it is early", 9, []matching.Asker{asker("n", 4, 900)},
			&matching.Outlook{Holdings: []matching.Holding{{Lot: "k", Units: 10}}}},
		{"elders want more than there is", 9, []matching.Asker{elder("e", 12, 900), asker("n", 4, 2000)}, &matching.Outlook{
			Holdings: []matching.Holding{{Lot: "k", Units: 10, Kept: []drip.Band{{Weight: 0.9, Units: 10, Waits: true}}}},
			Wishes:   []matching.Wish{{Band: drip.Band{Weight: 0.9, Units: 2, Waits: true}, Lots: []string{"k"}}},
		}},
		{"open, and others want more than there is", 11, []matching.Asker{asker("n", 12, 2000)}, &matching.Outlook{
			Holdings: []matching.Holding{{Lot: "k", Units: 10, Kept: []drip.Band{{Weight: 2, Units: 10, Waits: true}}}},
		}},
	} {
		if diff := cmp.Diff(c.want, s.outlook(c.hour, nil, c.waiting...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
