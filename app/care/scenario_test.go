package care

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/simulate"
	"github.com/xingfuma/happycode/providers"
)

// lasting posts an offer that can be used for three days.
func (c *city) lasting(category string, qty, minScore int64, divisions ...string) *providers.Offer {
	c.t.Helper()
	return c.keeping(nil, category, qty, minScore, divisions...)
}

// keeping posts such an offer that keeps some of it.
func (c *city) keeping(kept []providers.Kept, category string, qty, minScore int64, divisions ...string) *providers.Offer {
	c.t.Helper()
	org, now := c.organisation(), c.clock.now()
	o, err := c.care.PostOffer(context.Background(), accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: org.ID}, org.ID,
		providers.NewOffer{
			TitleZH: "测试资源", TitleEN: "Test offer", Category: category, Divisions: divisions, MinScoreMilli: minScore, Kept: kept,
			Handover: providers.Handover{How: providers.Pickup, Place: "社区食堂"},
			Lots:     []providers.NewLot{{QtyUnits: qty, FromMs: now.UnixMilli(), UntilMs: now.Add(72 * time.Hour).UnixMilli()}},
		})
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func TestScenarioOfTheLastDays(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()

	// Yesterday: three meals are promised.
	meals := c.lasting("meal", 40, 0, village)
	early, _ := c.resident(village, "meal", 3, 4)
	if got := c.scan(early); len(got.Offered) != 1 {
		t.Fatalf("the scan offered %+v", got)
	}
	c.clock.advance(24 * time.Hour)

	// Today, at ten: twenty meals, two grants and one need that is withdrawn.
	var ids []string
	for range 20 {
		r, n := c.resident(village, "meal", 1, 2)
		ids = append(ids, r.ID, r.Household, n.ID)
	}
	poor := c.person(village, "")
	c.need(poor, "cash", 150_000, 4)
	rich := c.person(village, "")
	changed := c.need(rich, "cash", 50_000, 1)
	c.resident(other, "meal", 1, 1)
	grants := c.keeping([]providers.Kept{{Group: "elderly", Division: village, PerMille: 300}, {Division: empty, PerMille: 100}}, "cash", 500_000, 400, county)
	c.lasting("meal", 9, 0, other)
	c.clock.advance(90 * time.Minute)
	if _, err := c.care.WithdrawNeed(ctx, c.worker, changed.ID, ""); err != nil {
		t.Fatal(err)
	}

	s, err := c.care.Scenario(ctx, county, 1)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(s); err != nil {
		t.Fatal(err)
	}
	for _, id := range append(ids, poor.ID, rich.ID, village, meals.ID, grants.ID, meals.Organisation) {
		if strings.Contains(text.String(), id) {
			t.Errorf("the scenario names %s", id)
		}
	}
	if _, err := simulate.Load(bytes.NewReader(text.Bytes())); err != nil {
		t.Errorf("it cannot be played: %v", err)
	}
	if s.Start != "2026-11-25" || s.Horizon != 1440 || len(s.Needs) != 22 || len(s.History) != 1 {
		t.Fatalf("start %s, horizon %v, %d needs, %d past ones; want 2026-11-25, 1440, 22, 1", s.Start, s.Horizon, len(s.Needs), len(s.History))
	}
	if diff := cmp.Diff([]simulate.Category{{Name: "meal", Cap: 3, Period: matching.Day}, {Name: "cash", Cap: 4, Period: matching.Month}}, s.Categories); diff != "" {
		t.Errorf("categories; cash counts in 50,000 fen:\n%s", diff)
	}
	cash := map[int64]simulate.Need{}
	for _, n := range s.Needs {
		if n.Category == "cash" {
			cash[n.Qty] = n
		}
	}
	if n := cash[3]; n.T != 600 || n.Deadline != 1440 || n.Urgency != 4 || n.MPI != 0.5 || n.Weight != 2.531 || n.Region != "r00001" || len(n.Groups) != 1 {
		t.Errorf("the need for a grant is %+v", n)
	}
	if n := cash[1]; n.Deadline != 690 {
		t.Errorf("the need that was withdrawn after 90 minutes lasts until %v, want 690", n.Deadline)
	}
	stock := map[string]simulate.Resource{}
	for _, r := range s.Resources {
		stock[r.Category] = r
	}
	if len(s.Resources) != 2 {
		t.Fatalf("%d offers, want the two that reach the county's people: %+v", len(s.Resources), s.Resources)
	}
	if diff := cmp.Diff([]simulate.Lot{{Qty: 37, From: 0, Until: 600 + 48*60, Announced: 0}}, stock["meal"].Lots); diff != "" {
		t.Errorf("the meals that were left in the morning:\n%s", diff)
	}
	if diff := cmp.Diff([]simulate.Lot{
		{Qty: 6, From: 600, Until: 600 + 72*60, Announced: 600},
		{Qty: 3, From: 600, Until: 600 + 72*60, Announced: 600, Kept: &simulate.Kept{Group: "elderly", Regions: []string{"r00001"}}},
		{Qty: 1, From: 600, Until: 600 + 72*60, Announced: 600, Kept: &simulate.Kept{Regions: []string{"r00002"}}},
	}, stock["cash"].Lots); diff != "" || stock["cash"].MinMPI != 0.4 {
		t.Errorf("the grants, for a score of %v and more:\n%s", stock["cash"].MinMPI, diff)
	}

	if _, err := c.care.Scenario(ctx, "330523000000", 28); !errors.Is(err, ErrTooLittle) {
		t.Errorf("a county with one need: got %v, want ErrTooLittle", err)
	}
	if _, err := c.care.Scenario(ctx, county, MaxScenarioDays+1); err == nil {
		t.Error("a longer period than can be played: no error")
	}
	if n, err := c.residents.NeedByID(ctx, ids[2]); err != nil || n.State != residents.NeedOpen {
		t.Errorf("a need is %v, %v; want it as it was", n, err)
	}
}
