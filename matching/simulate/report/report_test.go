package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
	"github.com/xingfuma/happycode/matching/simulate"
	"github.com/xingfuma/happycode/matching/simulate/report"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// corner is a scenario of a street corner: one lot of meals for forty people.
func corner(days int) *simulate.Scenario {
	s := &simulate.Scenario{
		Version: 1, Horizon: float64(days) * 1440, Regions: []string{"east"},
		Categories: []simulate.Category{{Name: "meal", Cap: 3}, {Name: "<b>odd</b>", Cap: 1}},
		Resources: []simulate.Resource{{ID: "kitchen", Category: "meal", Regions: []string{"*"},
			Lots: []simulate.Lot{{Qty: 30, From: 0, Until: float64(days) * 1440}}}},
	}
	if days > 2 {
		s.Start = "2026-10-29"
	}
	for i := range 40 {
		t := float64(i) * s.Horizon / 41
		s.Needs = append(s.Needs, simulate.Need{
			ID: fmt.Sprint(i), Resident: fmt.Sprint(i), T: t, Deadline: t + 300, Category: "meal", Qty: 1, Region: "east", Weight: 0.25 + float64(i%8)/4,
		})
	}
	return s
}

func page(t *testing.T, s *simulate.Scenario) string {
	t.Helper()
	client, err := matching.Connect(t.Context(), redistest.Embedded(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	every := 5 * time.Minute
	if s.Horizon > 2*1440 {
		every = time.Hour // a month of plans
	}
	r := report.Report{
		Title: report.Name{ZH: "街角 <script>", EN: "corner"}, Scenario: s, Every: every, Reserve: 1.4,
		At: time.Date(2026, 11, 25, 9, 30, 0, 0, time.UTC), Categories: map[string]report.Name{"meal": {ZH: "助餐", EN: "Meals"}},
	}
	for _, p := range simulate.Policies() {
		run := report.Run{Policy: p, Track: report.NewTrack(s)}
		if run.Allocations, err = simulate.Run(t.Context(), s, simulate.Config{Policy: p, Redis: client, Every: every, Watch: run.Track.Add}); err != nil {
			t.Fatal(err)
		}
		r.Runs = append(r.Runs, run)
	}
	var b bytes.Buffer
	if err := report.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageIsCompleteInItself(t *testing.T) {
	t.Parallel()
	got := page(t, corner(1))
	for _, outside := range []string{"http:", "https:", "src=", "href=", "url(", "@import", "<script"} {
		if strings.Contains(got, outside) {
			t.Errorf("the page has %q: it has to open without a network", outside)
		}
	}
	for _, want := range []string{
		"街角 &lt;script&gt;", "精准滴灌", "Need lines", "均匀发放", "困难优先", "先到先得", "助餐", "Meals", "&lt;b&gt;odd",
		"08:00", "24:00", "75%", "权重", "可用数量", "40 项需求", "资源 30 份", `lang="zh-CN"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Whatever is drawn lies on the paper.
func TestPlotsLieOnThePaper(t *testing.T) {
	t.Parallel()
	for _, days := range []int{1, 28} {
		charts, drawn := 0, 0
		all := page(t, corner(days))
		got := all
		for {
			_, rest, ok := strings.Cut(got, `<svg viewBox="0 0 340`)
			if !ok {
				break
			}
			svg, after, _ := strings.Cut(rest, "</svg>")
			got = after
			charts++
			d := xml.NewDecoder(strings.NewReader(`<svg viewBox="0 0 340` + svg + "</svg>"))
			for {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("chart %d: %v", charts, err)
				}
				e, ok := token.(xml.StartElement)
				if !ok {
					continue
				}
				for _, a := range e.Attr {
					switch a.Name.Local {
					case "points":
						for _, p := range strings.Fields(a.Value) {
							x, y, _ := strings.Cut(p, ",")
							drawn++
							on(t, charts, x, 340)
							on(t, charts, y, 236)
						}
					case "x", "width":
						on(t, charts, a.Value, 340)
					case "y", "height":
						on(t, charts, a.Value, 236)
					}
				}
			}
		}
		if days == 28 && !strings.Contains(all, ">11-2<") {
			t.Error("the days of a month are not dated")
		}
		if want := 3 + 2 + 2 + 2; charts != want || drawn < 1000 {
			t.Errorf("%d days: %d charts, %d points; want %d charts, and something in them", days, charts, drawn, want)
		}
	}
}

func on(t *testing.T, chart int, text string, most float64) {
	t.Helper()
	if v, err := strconv.ParseFloat(text, 64); err != nil || !(v >= 0 && v <= most) {
		t.Errorf("chart %d: %q does not lie between 0 and %v", chart, text, most)
	}
}
