package simulate_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching/simulate"
)

func written(t *testing.T, s *simulate.Scenario) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	s := town(1, 1)
	got, err := simulate.Load(strings.NewReader(written(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Errorf("written and read:\n%s", diff)
	}
}

// Whoever made the file finds the place in it.
func TestWhatIsNotAScenarioIsNamed(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*simulate.Scenario){
		"version 2":                 func(s *simulate.Scenario) { s.Version = 2 },
		"horizon 0":                 func(s *simulate.Scenario) { s.Horizon = 0 },
		"horizon 44641":             func(s *simulate.Scenario) { s.Horizon = 31*1440 + 1 },
		`start "yesterday"`:         func(s *simulate.Scenario) { s.Start = "yesterday" },
		"may not be empty":          func(s *simulate.Scenario) { s.Needs = nil },
		`categories[1] "meal"`:      func(s *simulate.Scenario) { s.Categories[1].Name = "meal" },
		`categories[0] "meal": a`:   func(s *simulate.Scenario) { s.Categories[0].Cap = 0 },
		`categories[0] "meal": the`: func(s *simulate.Scenario) { s.Categories[0].Period = "fortnight" },
		`resources[1] "meal0"`:      func(s *simulate.Scenario) { s.Resources[1].ID = "meal0" },
		`resource meal0: no cat`:    func(s *simulate.Scenario) { s.Resources[0].Category = "luck" },
		`resource meal0: no reg`:    func(s *simulate.Scenario) { s.Resources[0].Regions = []string{"moon"} },
		`resource meal0: a cap`:     func(s *simulate.Scenario) { s.Resources[0].Cap = 1 },
		`resource meal0, lots[0]`:   func(s *simulate.Scenario) { s.Resources[0].Lots[0].Qty = 0 },
		`resource meal2, lots[0]`:   func(s *simulate.Scenario) { s.Resources[2].Lots[0].Kept = &simulate.Kept{} },
		`resource meal3, lots[0]`:   func(s *simulate.Scenario) { s.Resources[3].Lots[0].Kept = &simulate.Kept{Regions: []string{"moon"}} },
		`resource meal1, lots[0]`:   func(s *simulate.Scenario) { s.Resources[1].Lots[0].Until = -1 },
		`needs[3] "n0002"`:          func(s *simulate.Scenario) { s.Needs[3].ID = "n0002" },
		"need n0005: needs stand":   func(s *simulate.Scenario) { s.Needs[5].T = s.Needs[4].T - 1 },
		"need n0006: no category":   func(s *simulate.Scenario) { s.Needs[6].Category = "luck" },
		"need n0007: no region":     func(s *simulate.Scenario) { s.Needs[7].Region = "moon" },
		"need n0008: at least":      func(s *simulate.Scenario) { s.Needs[8].Qty = 0 },
		"need n0009: a weight":      func(s *simulate.Scenario) { s.Needs[9].Weight = 0 },
		"need n0010: at least its":  func(s *simulate.Scenario) { s.Needs[10].Deadline = s.Needs[10].T - 1 },
		"history[4]":                func(s *simulate.Scenario) { s.History[4].Qty = 0 },
	} {
		s := town(1, 1)
		spoil(s)
		_, err := simulate.Load(strings.NewReader(written(t, s)))
		if !errors.Is(err, simulate.ErrScenario) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want ErrScenario with %q", err, want)
		}
	}
	if _, err := simulate.Load(strings.NewReader("{")); !errors.Is(err, simulate.ErrScenario) {
		t.Errorf("half a file: got %v, want ErrScenario", err)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	s := &simulate.Scenario{
		Categories: []simulate.Category{{Name: "meal", Cap: 9, ClaimWindow: 60}},
		Resources:  []simulate.Resource{{ID: "r", Lots: []simulate.Lot{{Qty: 4}, {Qty: 6}}}},
	}
	for i, weight := range []float64{1, 2, 3, 4, 5} {
		s.Needs = append(s.Needs, simulate.Need{
			ID: string(rune('a' + i)), Resident: string(rune('a' + i)), Category: "meal", T: float64(i), Qty: 2, Weight: weight,
		})
	}
	// A second claim within the hour counts for nothing.
	s.Needs = append(s.Needs, simulate.Need{ID: "f", Resident: "e", Category: "meal", T: 5, Qty: 2, Weight: 5})
	got := simulate.Judge(s, []simulate.Allocation{{Need: "a", Resource: "r", Qty: 2, T: 0.5}, {Need: "e", Resource: "r", Qty: 1, T: 14}, {Need: "b", Resource: "r", Qty: 2, T: 6}})
	want := simulate.Judgement{
		Needs: 6, Duplicates: 1, StockUnits: 10, GivenUnits: 5, Met: 0.5, NeediestMet: 0.5, AtOnce: 0.4, MedianWait: 5, NeediestMedianWait: 10,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })); diff != "" {
		t.Errorf("judged:\n%s", diff)
	}
}
