package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/xingfuma/happycode/matching/simulate"
)

// The size of a chart in its own units; on a phone of 360 px one unit is about
// one pixel, so that its letters stay readable.
const (
	width, height            = 340, 236
	left, right, top, bottom = 44, 320, 30, 200
)

// chart is one plot, ready to be drawn.
type chart struct {
	Name
	Y      Name // what stands on the axis upwards, with its unit
	X      Name
	Areas  []shape
	Lines  []shape
	Bars   []bar
	XTicks []tick
	YTicks []tick
}

type shape struct{ Class, Points string }

type bar struct {
	Class      string
	X, Y, W, H float64
	Tip        string
}

type tick struct {
	At   float64
	Text string
}

// axis maps values to the paper.
type axis struct{ from, to, a, b float64 }

func (x axis) at(v float64) float64 {
	if x.to == x.from {
		return x.a
	}
	return math.Round(10*(x.a+(x.b-x.a)*(v-x.from)/(x.to-x.from))) / 10
}

func across(from, to float64) axis { return axis{from, to, left, right} }

// upwards is an axis from 0 to a round number not below most, with its ticks.
func upwards(most float64) (axis, []tick) {
	step := 1.0
	for _, s := range []float64{.1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8} {
		if step = s; most <= 5*s {
			break
		}
	}
	n := max(1, math.Ceil(most/step))
	y := axis{0, n * step, bottom, top}
	var ticks []tick
	for i := range int(n) + 1 {
		v := float64(i) * step
		ticks = append(ticks, tick{y.at(v), short(v)})
	}
	return y, ticks
}

func short(v float64) string {
	if v >= 10_000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", math.Round(10*v)/10)
}

// percent is the axis of parts of a whole.
func percent() (axis, []tick) {
	y := axis{0, 1, bottom, top}
	var ticks []tick
	for i := range 5 {
		ticks = append(ticks, tick{y.at(float64(i) / 4), fmt.Sprintf("%d%%", 25*i)})
	}
	return y, ticks
}

// clock is the axis of a scenario's time: hours of one day, or days.
func clock(s *simulate.Scenario) (axis, []tick, Name) {
	x := across(0, s.Horizon)
	var ticks []tick
	if s.Horizon <= 2*1440 {
		for h := 0.0; h*60 <= s.Horizon; h += math.Ceil(s.Horizon/60/24) * 4 {
			ticks = append(ticks, tick{x.at(h * 60), clockText(h)})
		}
		return x, ticks, Name{"时间", "time of day"}
	}
	days := s.Horizon / 1440
	first, err := time.Parse(time.DateOnly, s.Start)
	for d := 0.0; d < days; d += math.Ceil(days / 7) {
		text := fmt.Sprintf("%d", int(d)+1)
		if err == nil {
			text = first.AddDate(0, 0, int(d)).Format("1-2")
		}
		ticks = append(ticks, tick{x.at(d * 1440), text})
	}
	if err == nil {
		return x, ticks, Name{"日期", "date"}
	}
	return x, ticks, Name{"第几天", "day"}
}

func clockText(hour float64) string {
	if hour > 24 {
		hour = math.Mod(hour, 24)
	}
	return fmt.Sprintf("%02.0f:00", hour)
}

type xy struct{ x, y float64 }

// polyline writes a line's points; one alone is drawn as a dot.
func polyline(p []xy) string {
	if len(p) == 1 {
		p = append(p, xy{p[0].x + 0.1, p[0].y})
	}
	var b strings.Builder
	for i, q := range p {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%g,%g", q.x, q.y)
	}
	return b.String()
}

func (r *Report) name(category string) Name {
	if n, ok := r.Categories[category]; ok {
		return n
	}
	return Name{category, ""}
}

func (r *Report) sections(p []policy) []section {
	out := []section{
		{Name: Name{"谁得到了", "Who was served"}, About: Name{
			"需求按权重（困难程度与紧急程度）从低到高分为五档。", "Needs in five bands of equal size by weight: hardship and urgency."},
			Charts: []chart{r.bands(p), r.hours(Name{"按到来时刻：全部需求", "By hour of arrival: all needs"}, 0), r.hours(Name{"按到来时刻：最困难五分之一", "By hour of arrival: neediest fifth"}, simulate.Bands-1)}},
		{Name: Name{"等了多久", "How long they waited"}, About: Name{
			"先看最困难五分之一：所需的数量中，多少在某一时长之内得到；再看正在等候的需求数。",
			"First, how much of what the neediest fifth asked for was given within a time; then, how many needs were waiting."},
			Charts: []chart{r.delays(), r.waiting()}},
	}
	lines := section{Name: Name{"需求线", "Need lines"}, About: Name{
		"精准滴灌：达到线的当场发放。浅色带为各批次中最低到最高的线，实线为按余量的平均；没有库存时不画。",
		"Whoever stands on or above the line is served at once. The band runs from the lowest to the highest line of the lots, the line is their mean by units left; where nothing is in stock there is none."}}
	stock := section{Name: Name{"库存", "Stock"}, About: Name{"此刻可用且尚未派发的数量。", "Units that could be used and were not given yet."}}
	for _, c := range r.Scenario.Categories {
		for _, run := range r.Runs {
			if run.Policy == simulate.Drip {
				lines.Charts = append(lines.Charts, r.line(c.Name, run.Track))
			}
		}
		stock.Charts = append(stock.Charts, r.stock(c.Name))
	}
	if len(lines.Charts) > 0 {
		out = append(out, lines)
	}
	return append(out, stock)
}

// bands is the fill rate of each band by each policy.
func (r *Report) bands(p []policy) chart {
	y, ticks := percent()
	c := chart{Name: Name{"按困难程度", "By need band"}, Y: Name{"满足程度", "met"}, X: Name{"最轻 → 最困难", "least → neediest"}, YTicks: ticks}
	group := float64(right-left) / simulate.Bands
	w := (group - 8) / float64(max(1, len(r.Runs)))
	for i, run := range r.Runs {
		var asked, given [simulate.Bands]int64
		for _, o := range simulate.Outcomes(r.Scenario, run.Allocations) {
			asked[o.Band] += o.Qty
			given[o.Band] += o.Given
		}
		for band := range simulate.Bands {
			met := float64(given[band]) / float64(max(1, asked[band]))
			at := left + group*float64(band) + 4 + w*float64(i)
			c.Bars = append(c.Bars, bar{Class: string(run.Policy), X: at, Y: y.at(met), W: w - 1, H: bottom - y.at(met), Tip: p[i].ZH + " " + p[i].EN + " " + part(met)})
		}
	}
	for band := range simulate.Bands {
		c.XTicks = append(c.XTicks, tick{left + group*(float64(band)+.5), fmt.Sprintf("%d", band+1)})
	}
	return c
}

// hours is the fill rate by the hour of the day at which a need came; bands
// below least are left out.
func (r *Report) hours(name Name, least int) chart {
	x := across(0, 24)
	y, ticks := percent()
	c := chart{Name: name, Y: Name{"满足程度", "met"}, X: Name{"到来时刻", "hour of arrival"}, YTicks: ticks}
	for h := 0; h <= 24; h += 4 {
		c.XTicks = append(c.XTicks, tick{x.at(float64(h)), fmt.Sprintf("%02d:00", h)})
	}
	for _, run := range r.Runs {
		var asked, given [24]int64
		for _, o := range simulate.Outcomes(r.Scenario, run.Allocations) {
			if o.Band < least {
				continue
			}
			h := int(math.Mod(o.T, 1440) / 60)
			asked[h] += o.Qty
			given[h] += o.Given
		}
		var p []xy
		for h := range asked {
			if asked[h] > 0 {
				p = append(p, xy{x.at(float64(h) + .5), y.at(float64(given[h]) / float64(asked[h]))})
			}
		}
		c.Lines = append(c.Lines, shape{string(run.Policy), polyline(p)})
	}
	return c
}

// delays is how much of what the neediest fifth asked for was given within a
// time.
func (r *Report) delays() chart {
	within := []float64{1, 5, 15, 30, 60, 120, 240, 480, 1440}
	text := []string{"1", "5", "15", "30", "1h", "2h", "4h", "8h", "24h"}
	x := across(0, float64(len(within)-1))
	y, ticks := percent()
	c := chart{Name: Name{"最困难五分之一的等待", "Waits of the neediest fifth"}, Y: Name{"所需中已得到", "of what was asked"}, X: Name{"分钟、小时内", "within minutes, hours"}, YTicks: ticks}
	for i := range within {
		c.XTicks = append(c.XTicks, tick{x.at(float64(i)), text[i]})
	}
	for _, run := range r.Runs {
		var asked int64
		got := make([]int64, len(within))
		for _, o := range simulate.Outcomes(r.Scenario, run.Allocations) {
			if o.Band < simulate.Bands-1 {
				continue
			}
			asked += o.Qty
			for _, w := range o.Waits {
				for i := range within {
					if w.Minutes <= within[i] {
						got[i] += w.Units
					}
				}
			}
		}
		var p []xy
		for i := range within {
			p = append(p, xy{x.at(float64(i)), y.at(float64(got[i]) / float64(max(1, asked)))})
		}
		c.Lines = append(c.Lines, shape{string(run.Policy), polyline(p)})
	}
	return c
}

// waiting is how many needs wait over time.
func (r *Report) waiting() chart {
	return r.overTime(Name{"等候的需求", "Needs that wait"}, Name{"需求数", "needs"}, func(p point) float64 { return float64(p.waiting) })
}

// stock is how many units of a category are left over time.
func (r *Report) stock(category string) chart {
	return r.overTime(r.name(category), Name{"可用数量", "units"}, func(p point) float64 { return float64(p.of[category].units) })
}

func (r *Report) overTime(name, upward Name, value func(point) float64) chart {
	most := 1.0
	for _, run := range r.Runs {
		for _, p := range run.Track.points {
			most = max(most, value(p))
		}
	}
	x, xTicks, xName := clock(r.Scenario)
	y, yTicks := upwards(most)
	c := chart{Name: name, Y: upward, X: xName, XTicks: xTicks, YTicks: yTicks}
	for _, run := range r.Runs {
		var p []xy
		for _, q := range run.Track.points {
			p = append(p, xy{x.at(q.t), y.at(value(q))})
		}
		c.Lines = append(c.Lines, shape{string(run.Policy), polyline(p)})
	}
	return c
}

// line is a category's need lines over time.
func (r *Report) line(category string, k *Track) chart {
	x, xTicks, xName := clock(r.Scenario)
	most := 1.0
	for _, p := range k.points {
		most = max(most, p.of[category].high)
	}
	y, yTicks := upwards(most)
	c := chart{Name: r.name(category), Y: Name{"权重", "weight"}, X: xName, XTicks: xTicks, YTicks: yTicks}
	// A stretch ends where nothing is in stock.
	var low, high, mean []xy
	end := func() {
		if len(mean) > 0 {
			for i := len(high) - 1; i >= 0; i-- {
				low = append(low, high[i])
			}
			c.Areas = append(c.Areas, shape{string(simulate.Drip), polyline(low)})
			c.Lines = append(c.Lines, shape{string(simulate.Drip), polyline(mean)})
		}
		low, high, mean = nil, nil, nil
	}
	for _, p := range k.points {
		s, ok := p.of[category]
		if !ok {
			end()
			continue
		}
		low, high, mean = append(low, xy{x.at(p.t), y.at(s.low)}), append(high, xy{x.at(p.t), y.at(s.high)}), append(mean, xy{x.at(p.t), y.at(s.mean)})
	}
	end()
	return c
}

// Size is the paper of a chart, for the template.
func (chart) Size() map[string]int {
	return map[string]int{"W": width, "H": height, "Left": left, "Right": right, "Top": top, "Bottom": bottom}
}
