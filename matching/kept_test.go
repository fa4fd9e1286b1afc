package matching_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
)

// keptShelf has a lot of 10 units from 0 to 20 o'clock, kept for the elderly until
// half past seven in the evening.
func keptShelf(t *testing.T, change func(*matching.PlannerConfig)) *plannedShelf {
	t.Helper()
	s := newShelf(t, change)
	l := s.lot("k", 0, 20)
	l.Kept = matching.Kept{Group: "elderly", OpensMs: s.at(19.5).UnixMilli()}
	s.put(matching.Offer{ID: "o", Lots: []matching.Lot{l}})
	return s
}

func elder(need string, units, weight int64) matching.Asker {
	a := asker(need, units, weight)
	a.Person.Groups = []string{"elderly"}
	return a
}

// elders are what came before: one elder an hour until some hour of the day.
func elders(until int) func(*matching.PlannerConfig) {
	return func(c *matching.PlannerConfig) {
		yesterday(1, 2)(c)
		c.History = c.History[:until]
		for i := range c.History {
			c.History[i].Person.Groups = []string{"elderly"}
		}
	}
}

func TestAKeptLotOpensWhenNobodyOfItsGroupIsExpected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		past    func(*matching.PlannerConfig)
		hour    float64
		waiting []matching.Asker
		opened  bool
		reached string
	}{
		{"elders come all day", elders(20), 15, []matching.Asker{asker("n", 1, 900)}, false, ""},
		{"nobody is expected, but it is early", nil, 9, []matching.Asker{asker("n", 1, 900)}, false, ""},
		{"nobody is expected in the second half", nil, 10, []matching.Asker{asker("n", 1, 900)}, true, "n"},
		{"elders come until two, and it is three", elders(14), 15, []matching.Asker{asker("n", 1, 900)}, true, "n"},
		{"an elder waits for all that is left", nil, 15, []matching.Asker{asker("n", 1, 900), elder("e", 10, 300)}, false, "e"},
		{"its last part, and elders still come", elders(20), 19.6, []matching.Asker{asker("n", 1, 900)}, true, "n"},
		{"its last part: elders come first", elders(20), 19.6, []matching.Asker{asker("n", 8, 900), elder("e", 6, 300)}, true, "e n"},
		{"its last part: elders want it all", elders(20), 19.6, []matching.Asker{asker("n", 8, 900), elder("e", 10, 300)}, true, "e"},
	} {
		s := keptShelf(t, c.past)
		lines := s.plan(c.hour, c.waiting...)
		if lines.Opened("k") != c.opened {
			t.Errorf("%s: opened %v, want %v", c.name, lines.Opened("k"), c.opened)
		}
		if got := s.reached(c.hour, lines, c.waiting...); got != c.reached {
			t.Errorf("%s: reached %q, want %q", c.name, got, c.reached)
		}
	}
}

// Those for whom nothing is kept change nothing for those for whom it is: their
// line is their own. What is open to all has a line like any lot.
func TestTheLineOfAKeptLotIsItsOwnGroups(t *testing.T) {
	t.Parallel()
	s := keptShelf(t, elders(20))
	crowd := []matching.Asker{elder("e", 2, 300)}
	want := s.plan(9, crowd...).Of("k")
	if want != 2000 {
		t.Errorf("ten elders of weight 2 are expected: the line is %d", want)
	}
	for i := range 30 {
		crowd = append(crowd, asker(fmt.Sprintf("n%d", i), 3, 4000))
	}
	if got := s.plan(9, crowd...).Of("k"); got != want {
		t.Errorf("with a crowd of others the line is %d, want %d", got, want)
	}
	s = keptShelf(t, nil)
	if got := s.plan(11, asker("a", 9, 900), asker("b", 9, 700)).Of("k"); got != 700 {
		t.Errorf("open, and two want 18 of 10: the line is %d, want 700", got)
	}
}

func TestWhoMayHaveWhatIsKept(t *testing.T) {
	t.Parallel()
	day := func(kept matching.Kept) matching.Lot {
		kept.OpensMs = epoch.Add(23 * time.Hour).UnixMilli()
		return matching.Lot{County: wuxing, FromMs: epoch.UnixMilli(), UntilMs: epoch.Add(24 * time.Hour).UnixMilli(), Kept: kept}
	}
	catalogue := matching.NewCatalogue()
	o := offer("o", nil)
	o.Lots = nil
	for _, id := range []string{"o-1", "o-1k1", "o-1k2", "o-1k3"} {
		kept := map[string]matching.Kept{
			"o-1k1": {Group: "elderly"}, "o-1k2": {Divisions: []string{yuehe}}, "o-1k3": {Group: "child", Divisions: []string{yuehe}},
		}[id]
		l := day(kept)
		l.ID = id
		o.Lots = append(o.Lots, l)
	}
	only := offer("only", nil)
	only.Lots = []matching.Lot{day(matching.Kept{Group: "child"})}
	only.Lots[0].ID = "only-1k1"
	catalogue.Put(o, only)
	for _, c := range []struct {
		name   string
		person matching.Person
		after  time.Duration
		opened []string
		open   []string
		misses []matching.Miss
	}{
		{"anybody", matching.Person{Division: "330502002001"}, 0, nil, []string{"o-1"}, []matching.Miss{{Offer: "only", Why: matching.MissKept}}},
		{"an elder", matching.Person{Division: "330502002001", Groups: []string{"elderly"}}, 0, nil, []string{"o-1k1", "o-1"}, []matching.Miss{{Offer: "only", Why: matching.MissKept}}},
		{"of the town", matching.Person{Division: village}, 0, nil, []string{"o-1k2", "o-1"}, []matching.Miss{{Offer: "only", Why: matching.MissKept}}},
		{"a child of the town", matching.Person{Division: village, Groups: []string{"child"}}, 0, nil, []string{"o-1k3", "o-1k2", "only-1k1", "o-1"}, nil},
		{"a child of another", matching.Person{Division: "330502002001", Groups: []string{"child"}}, 0, nil, []string{"only-1k1", "o-1"}, nil},
		{"a plan has opened one", matching.Person{Division: "330502002001"}, 0, []string{"o-1k2"}, []string{"o-1", "o-1k2"}, []matching.Miss{{Offer: "only", Why: matching.MissKept}}},
		{"the last part", matching.Person{Division: "330502002001"}, 23 * time.Hour, nil, []string{"o-1", "o-1k3", "o-1k2", "o-1k1", "only-1k1"}, nil},
	} {
		candidates, misses := catalogue.Candidates(wuxing, "meal", c.person, epoch.Add(c.after))
		open, _ := matching.NewLines(nil, c.opened...).Open(candidates, 1000)
		if diff := cmp.Diff(c.open, lots(open)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(c.misses, misses); diff != "" {
			t.Errorf("%s: misses (-want +got):\n%s", c.name, diff)
		}
	}
}

// What an offer keeps for others now says more than what it has later.
func TestMissOfWhatIsKept(t *testing.T) {
	t.Parallel()
	for _, sooner := range []int64{1, -1} {
		o := offer("o", nil)
		kept, later := o.Lots[0], o.Lots[0]
		kept.ID, kept.Kept = "kept", matching.Kept{Group: "child", OpensMs: kept.UntilMs}
		later.ID, later.FromMs, later.UntilMs = "later", epoch.UnixMilli()+1, later.UntilMs-sooner
		o.Lots = []matching.Lot{kept, later}
		catalogue := matching.NewCatalogue()
		catalogue.Put(o)
		_, misses := catalogue.Candidates(wuxing, "meal", matching.Person{Division: village}, epoch)
		if diff := cmp.Diff([]matching.Miss{{Offer: "o", Why: matching.MissKept}}, misses); diff != "" {
			t.Errorf("ends %d ms sooner (-want +got):\n%s", sooner, diff)
		}
	}
}
