package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

func TestDemoCityIsWellFormed(t *testing.T) {
	t.Parallel()
	var city demoCity
	if err := json.Unmarshal(cityJSON, &city); err != nil {
		t.Fatal(err)
	}
	divisions := huzhou(t)
	numbers := map[string]bool{}
	for i, r := range city.Residents {
		if _, err := residents.ParseIDNumber(r.IDNumber, time.Now()); err != nil || numbers[r.IDNumber] {
			t.Errorf("resident %d: the ID number is wrong or there twice: %v", i, err)
		}
		numbers[r.IDNumber] = true
		if _, ok := divisions.Get(r.Division); !ok {
			t.Errorf("resident %d: no division %s", i, r.Division)
		}
		for _, g := range r.Groups {
			if !knownGroup(g) {
				t.Errorf("resident %d: no group %s", i, g)
			}
		}
		categories := map[string]bool{}
		for _, n := range r.Needs {
			if _, ok := providers.CategoryByID(n.Category); !ok || categories[n.Category] {
				t.Errorf("resident %d: no category %s, or it is there twice", i, n.Category)
			}
			categories[n.Category] = true
		}
	}
	for i, r := range city.Reports {
		if _, ok := divisions.Get(r.Division); !ok || r.Key == "" || !slices.Contains(reports.Kinds(), r.Kind) {
			t.Errorf("report %d: no division, key or kind: %+v", i, r)
		}
	}
	if len(city.Reports) == 0 {
		t.Error("the list of reports is empty")
	}
	kinds := map[providers.Kind]bool{}
	for _, o := range city.Organisations {
		kinds[o.Kind] = true
		if _, err := providers.ParseCreditCode(o.CreditCode); err != nil {
			t.Errorf("organisation %s: %v", o.Key, err)
		}
	}
	if len(kinds) != 3 {
		t.Errorf("organisations of %d kinds, want all three ends", len(kinds))
	}
	for _, a := range demoAccounts() {
		if a.organisation != "" && !hasOrganisation(city, a.organisation) {
			t.Errorf("account %s belongs to no organisation", a.username)
		}
	}
}

func hasOrganisation(c demoCity, key string) bool {
	for _, o := range c.Organisations {
		if o.Key == key {
			return true
		}
	}
	return false
}

func huzhou(t *testing.T) *regions.Tree {
	t.Helper()
	r := openRecord(t)
	s := regions.New(r)
	if _, err := s.Import(t.Context(), huzhouCSV(), func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	tree, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
