// Package report writes what a scenario came to under several policies as one
// page: figures and plots, complete in itself, to be opened from disk, sent by
// mail or printed.
package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/xingfuma/happycode/matching/simulate"
)

// Name is a word in both languages.
type Name struct{ ZH, EN string }

// Run is one policy's way through the scenario.
type Run struct {
	Policy      simulate.Policy
	Allocations []simulate.Allocation
	Track       *Track
}

// Report is what a page is made of.
type Report struct {
	Title    Name
	Scenario *simulate.Scenario
	Runs     []Run
	// Categories names kinds of aid; one that it lacks is shown as it is called.
	Categories map[string]Name
	Every      time.Duration // between plans
	Reserve    float64
	At         time.Time // when it was made
}

//go:embed report.html report.css
var files embed.FS

var page = template.Must(template.New("").Funcs(template.FuncMap{"part": part}).ParseFS(files, "report.html"))

// part writes 0..1 as a percentage.
func part(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }

// view is what the template shows.
type view struct {
	Report
	Style    template.CSS
	Made     string
	Policies []policy
	Figures  []figure
	Sections []section
}

type policy struct {
	Name
	ID    string
	About Name
}

// figure is one row of the table.
type figure struct {
	Name
	Values []string // one for each run
}

type section struct {
	Name
	About  Name
	Charts []chart
}

func policies(runs []Run) []policy {
	words := map[simulate.Policy]policy{
		simulate.Drip: {Name: Name{"精准滴灌", "Need lines"}, About: Name{
			"按预计需求为每批资源划出需求线：达到线的当场发放，未达到的等候，线降下来再发。",
			"A need line for each lot, drawn from what is expected: whoever reaches it is served at once, the others when it falls."}},
		simulate.Even: {Name: Name{"均匀发放", "Even release"}, About: Name{
			"每批资源在可用时间内均匀放出，等候者中最困难的先得。",
			"Each lot is released evenly over its time; of those who wait the neediest comes first."}},
		simulate.Priority: {Name: Name{"困难优先", "Neediest first"}, About: Name{
			"有货即发，等候者中最困难的先得。", "Given at once; of those who wait the neediest comes first."}},
		simulate.FCFS: {Name: Name{"先到先得", "First come"}, About: Name{
			"有货即发，先来的先得。", "Given at once to whoever came first."}},
	}
	out := make([]policy, len(runs))
	for i, r := range runs {
		out[i] = words[r.Policy]
		out[i].ID = string(r.Policy)
	}
	return out
}

func figures(s *simulate.Scenario, runs []Run) []figure {
	out := []figure{
		{Name: Name{"已派发的库存", "stock given"}},
		{Name: Name{"需求满足程度", "units asked for that were met"}},
		{Name: Name{"最困难五分之一的满足程度", "the same for the neediest fifth"}},
		{Name: Name{"一分钟内得到的", "given within a minute"}},
		{Name: Name{"等待中位数（分钟）", "median wait, minutes"}},
		{Name: Name{"最困难五分之一的等待中位数（分钟）", "the same for the neediest fifth"}},
	}
	for _, r := range runs {
		j := simulate.Judge(s, r.Allocations)
		for i, v := range []string{
			part(float64(j.GivenUnits) / float64(max(1, j.StockUnits))), part(j.Met), part(j.NeediestMet), part(j.AtOnce),
			minutes(j.MedianWait), minutes(j.NeediestMedianWait),
		} {
			out[i].Values = append(out[i].Values, v)
		}
	}
	return out
}

func minutes(v float64) string { return strconv.FormatFloat(math.Round(v), 'f', 0, 64) }

// Write writes the page.
func Write(w io.Writer, r Report) error {
	css, err := files.ReadFile("report.css")
	if err != nil {
		return err
	}
	p := policies(r.Runs)
	v := view{
		Report: r, Style: template.CSS(css), //nolint:gosec // our own file
		Made: r.At.Format("2006-01-02 15:04"), Policies: p, Figures: figures(r.Scenario, r.Runs), Sections: r.sections(p),
	}
	return page.ExecuteTemplate(w, "report.html", v)
}

// Needs is how many needs there are, and how many count.
func (v view) Needs() (s string) {
	j := simulate.Judge(v.Scenario, nil)
	return thousands(int64(j.Needs - j.Duplicates))
}

// Duplicates is how many needs are second claims.
func (v view) Duplicates() string {
	return thousands(int64(simulate.Judge(v.Scenario, nil).Duplicates))
}

// Asked is how many units are asked for.
func (v view) Asked() string {
	var n int64
	for _, o := range simulate.Outcomes(v.Scenario, nil) {
		n += o.Qty
	}
	return thousands(n)
}

// Stock is how many units there are.
func (v view) Stock() string { return thousands(simulate.Judge(v.Scenario, nil).StockUnits) }

// Days is how long the scenario lasts.
func (v view) Days() string {
	return strconv.FormatFloat(math.Round(10*v.Scenario.Horizon/1440)/10, 'f', -1, 64)
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
