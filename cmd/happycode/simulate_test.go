package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/matching/simulate"
)

// corner writes a small scenario: thirty needs and twenty meals.
func corner(t *testing.T) string {
	t.Helper()
	s := simulate.Scenario{
		Version: 1, Horizon: 600, Regions: []string{"east"}, Categories: []simulate.Category{{Name: "meal", Cap: 3}},
		Resources: []simulate.Resource{{ID: "kitchen", Category: "meal", Regions: []string{"*"}, Lots: []simulate.Lot{{Qty: 20, Until: 600}}}},
	}
	for i := range 30 {
		s.Needs = append(s.Needs, simulate.Need{
			ID: fmt.Sprint(i), Resident: fmt.Sprint(i), T: float64(10 * i), Deadline: 600, Category: "meal", Qty: 1, Region: "east", Weight: 1 + float64(i%5),
		})
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "corner.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSimulateWritesWhatItPromised(t *testing.T) {
	t.Parallel()
	scenario, dir := corner(t), t.TempDir()
	out := filepath.Join(dir, "out.json")
	printed, errOut, status := runs(t, nil, "simulate", "--scenario", scenario, "--out", out, "--policy", "priority")
	if status != 0 || !strings.Contains(printed, "priority") || !strings.Contains(printed, "100.0%") && !strings.Contains(printed, "66.7%") {
		t.Fatalf("status %d\n%s%s", status, printed, errOut)
	}
	if strings.Contains(printed, "fcfs") {
		t.Errorf("one policy was asked for:\n%s", printed)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Allocations []simulate.Allocation }
	if err := json.Unmarshal(text, &got); err != nil || len(got.Allocations) != 20 {
		t.Errorf("%d allocations, %v; want all 20 meals given", len(got.Allocations), err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d files in the folder, %v; want the one that was asked for", len(files), err)
	}
}

func TestSimulateComparesPolicies(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.html")
	again := filepath.Join(t.TempDir(), "again.json")
	printed, errOut, status := runs(t, nil, "simulate", "--scenario", corner(t), "--report", page, "--scenario-out", again)
	if status != 0 {
		t.Fatalf("status %d\n%s", status, errOut)
	}
	text, err := os.ReadFile(page)
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), "</html>") || !strings.Contains(string(text), "助餐") {
		t.Errorf("the page: %v, %d bytes", err, len(text))
	}
	for _, p := range simulate.Policies() {
		if !strings.Contains(printed, string(p)) {
			t.Errorf("no column of %s:\n%s", p, printed)
		}
	}
	f, err := os.Open(again)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := simulate.Load(f); err != nil {
		t.Errorf("the scenario that was written cannot be read: %v", err)
	}
}

func TestSimulateTroubleIsASentence(t *testing.T) {
	t.Parallel()
	scenario := corner(t)
	spoiled := filepath.Join(t.TempDir(), "spoiled.json")
	text, err := os.ReadFile(scenario)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spoiled, []byte(strings.Replace(string(text), `"category":"meal","qty":1`, `"category":"luck","qty":1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	env := environ(t)
	for want, args := range map[string][]string{
		"二者取一":            {},
		"give either":     {"--scenario", scenario, "--from-record"},
		"luck 的规则":        {"--scenario", scenario, "--policy", "luck"},
		"无法打开文件":          {"--scenario", "/nowhere.json"},
		"need 0: no":      {"--scenario", spoiled},
		"无法写入 /nowhere/a": {"--scenario", scenario, "--out", "/nowhere/a"},
		"check --redis":   {"--scenario", scenario, "--redis", "redis://127.0.0.1:1"},
		"1 到 31":          {"--from-record", "--county", "330502", "--days", "40"},
		"没有代码为 1 的区划":     {"--from-record", "--county", "1"},
		"请增大 --days":      {"--from-record", "--county", "330502"},
	} {
		_, errOut, status := runs(t, env, append([]string{"simulate"}, args...)...)
		if status != 1 || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("simulate %v: status %d, %q; want one line with %q", args, status, errOut, want)
		}
	}
}
