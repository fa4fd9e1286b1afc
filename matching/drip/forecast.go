package drip

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrForecast says that a forecast cannot be made of what was given.
var ErrForecast = errors.New("not a forecast")

const hourMs = 3_600_000

// Kind is one kind of need that is expected: the same place, the same weight,
// the same lots.
type Kind struct {
	Category int     // index of the kind of aid
	Place    int     // index of the division
	Weight   float64 // see [Weight]
	LastsMs  int64   // how long such a need waits
	// Units is how many units are expected in each hour of the period.
	Units []float64
	Fits  []int32 // as in [Demand]
}

// Arrival is a need that has come.
type Arrival struct {
	AtMs     int64
	Category int
	Place    int
	Person   int // index of the caller's own, for [Config].Fits
	Units    float64
	Weight   float64
}

// Config is what a forecast is made of.
type Config struct {
	StartMs    int64 // Unix ms; the beginning of an hour
	FirstHour  int   // local hour of the day that the period begins with, 0 to 23
	Hours      int   // length of the period, 1 to 24 × 31
	Categories int
	Places     int
	// Kinds are past needs, spread over the period. A category of which there
	// are none is learned within the period.
	Kinds []Kind
	// Fits says which lots serve a person in a category, in the order of
	// [Order]; for what is learned. The same lots are always the same slice.
	Fits func(person, category int) []int32
	// Lots are those that Fits names, as they are when the rest is asked for: hours
	// in which the same of them can be had are put together. nil: none are.
	Lots []Lot
	// LastsMs is how long a need of each category waits, for what is learned.
	LastsMs []int64
	// Assumed is how many units are asked for per unit in stock, where nothing
	// is known yet and little has come; 0: nothing is assumed.
	Assumed float64
	// Span is how long the longest of some lots lasts, ms, and when the last of
	// them ends, Unix ms: until then those who fit them go on coming after the
	// period, each day as many as in its last 24 hours. nil: nobody comes after
	// the period.
	Span func(fits []int32) (longestMs, endMs int64)
}

// Forecast is what the rest of a period is expected to bring: what was
// expected of it at first, scaled by what has come so far.
type Forecast struct {
	Config

	kinds [][]int     // per category, the indices of its kinds
	want  [][]float64 // per cell and hour: units expected at first
	seen  [][]float64 // per cell and hour: units that came

	// Per category, four classes of weight: how needy do they come?
	bounds [][classes - 1]float64
	class  []int                // of each kind
	due    [][classes][]float64 // units expected at first, per hour
	came   [][][classes]float64 // units that came, per day of the period and category

	learned []learned // per category
	people  []Arrival // the last to come, of all categories
}

// NewForecast checks the configuration. Errors: [ErrForecast].
func NewForecast(c Config) (*Forecast, error) {
	if c.Hours < 1 || c.Hours > 24*31 || c.Categories < 1 || c.Places < 1 || c.FirstHour < 0 || len(c.LastsMs) != c.Categories || c.Fits == nil {
		return nil, fmt.Errorf("%d hours, %d categories, %d places, %d patiences: %w", c.Hours, c.Categories, c.Places, len(c.LastsMs), ErrForecast)
	}
	f := &Forecast{
		Config: c, kinds: make([][]int, c.Categories),
		want: table(c.Categories*c.Places, c.Hours), seen: table(c.Categories*c.Places, c.Hours),
		bounds: make([][classes - 1]float64, c.Categories), class: make([]int, len(c.Kinds)),
		due:     make([][classes][]float64, c.Categories),
		learned: make([]learned, c.Categories),
	}
	for range f.day(c.Hours-1) + 1 {
		f.came = append(f.came, make([][classes]float64, c.Categories))
	}
	for i, k := range c.Kinds {
		if k.Category < 0 || k.Category >= c.Categories || k.Place < 0 || k.Place >= c.Places || len(k.Units) > c.Hours {
			return nil, fmt.Errorf("kind %d: category %d, place %d, %d hours: %w", i, k.Category, k.Place, len(k.Units), ErrForecast)
		}
		f.kinds[k.Category] = append(f.kinds[k.Category], i)
		for h, units := range k.Units {
			f.want[f.cell(k.Category, k.Place)][h] += units
		}
	}
	for category := range c.Categories {
		f.classify(category)
	}
	return f, nil
}

func table(rows, columns int) [][]float64 {
	out := make([][]float64, rows)
	for i := range out {
		out[i] = make([]float64, columns)
	}
	return out
}

func (f *Forecast) cell(category, place int) int { return category*f.Places + place }

// moment is the hour of the period that a time falls in, and how much of that
// hour has passed.
func (f *Forecast) moment(ms int64) (hour int, passed float64) {
	since := ms - f.StartMs
	return int(since / hourMs), float64(since%hourMs) / hourMs
}

// day is the day of the period that an hour of it falls in, by the calendar.
func (f *Forecast) day(hour int) int { return (max(hour, 0) + f.FirstHour) / 24 }

// Seen tells the forecast of a need that has come. One outside the period
// changes nothing.
func (f *Forecast) Seen(a Arrival) {
	hour, _ := f.moment(a.AtMs)
	if a.AtMs < f.StartMs || hour >= f.Hours {
		return
	}
	f.seen[f.cell(a.Category, a.Place)][hour] += a.Units
	f.came[f.day(hour)][a.Category][f.classOf(a.Category, a.Weight)] += a.Units
	f.learn(a)
}

// Rest adds what the rest of the period is expected to bring to the demands,
// times the reserve that is kept for those who fit the same lots. stock is, per
// category, how many units are known of; what is learned starts from it.
func (f *Forecast) Rest(nowMs int64, reserve func(fits []int32) float64, stock []float64, demands []Demand) []Demand {
	hour, passed := f.moment(nowMs)
	rates, late := f.Rates(nowMs), make([][classes]float64, f.Categories)
	for category := range f.Categories {
		late[category] = f.late(category, hour, passed)
	}
	ahead := f.courses(nowMs)
	units := make([]float64, f.Hours)
	for i := range f.Kinds {
		k := &f.Kinds[i]
		if len(k.Fits) == 0 {
			continue
		}
		c := ahead.of(k.Fits, k.LastsMs)
		rate := rates[f.cell(k.Category, k.Place)] * reserve(k.Fits)
		clear(units)
		for h := max(hour, 0); h < len(k.Units); h++ {
			units[h] = k.Units[h] * rate
			if f.day(h) > f.day(hour) {
				units[h] *= c.later
			} else {
				units[h] *= late[k.Category][f.class[i]]
			}
		}
		lastDay := k.Units[min(len(k.Units), max(0, f.Hours-24)):]
		demands = c.add(demands, k.Weight, k.Fits, units, sum(lastDay)*rate*c.later)
	}
	for category := range f.Categories {
		if len(f.kinds[category]) == 0 {
			demands = f.restLearned(category, ahead, reserve, stock[category], demands)
		}
	}
	return demands
}

// The part of what later days bring that is reckoned with: they bring units of
// their own, which nobody has announced yet. A lot of more than a week is to last
// all the same: with the usual reserve the part is a fifth more than is expected.
// Source: DESIGN.md, "Several days" and "Several weeks".
const (
	daysLater  = 0.5
	weeksLater = 0.85
)

// later is that part, for those who fit some lots, and when the last of these ends.
func (f *Forecast) later(fits []int32) (part float64, endMs int64) {
	if f.Span == nil {
		return daysLater, 0
	}
	longest, end := f.Span(fits)
	if longest > 7*dayMs {
		return weeksLater, end
	}
	return daysLater, end
}

// How many expected units weigh as much as what came, when the rate of the
// city is shrunk towards 1, that of a category towards the city's, and that of
// a cell towards its category's. Source: DESIGN.md, "Shrinking".
const (
	cityPrior     = 150
	categoryPrior = 60
	cellPrior     = 60
)

// fade is how much an hour counts beside the one after it: what came lately
// says more.
const fade = 0.85

// Rates are, for each cell, how many times as many units come as was expected;
// the cell of a category and a place has the index category × Places + place.
func (f *Forecast) Rates(nowMs int64) []float64 {
	now, passed := f.moment(nowMs)
	cells := f.Categories * f.Places
	seen, want := make([]float64, cells), make([]float64, cells)
	ofCategory := make([]struct{ seen, want float64 }, f.Categories)
	var city struct{ seen, want float64 }
	for c := range cells {
		weight := 1.0
		for h := min(now, f.Hours-1); h >= 0; h-- {
			share := 1.0
			if h == now {
				share = passed
			}
			seen[c] += weight * f.seen[c][h]
			want[c] += weight * share * f.want[c][h]
			weight *= fade
		}
		category := c / f.Places
		if len(f.kinds[category]) == 0 {
			continue
		}
		ofCategory[category].seen += seen[c]
		ofCategory[category].want += want[c]
		city.seen += seen[c]
		city.want += want[c]
	}
	all := (city.seen + cityPrior) / (city.want + cityPrior)
	out := make([]float64, cells)
	for c := range cells {
		of := ofCategory[c/f.Places]
		category := (of.seen + categoryPrior*all) / (of.want + categoryPrior)
		out[c] = (seen[c] + cellPrior*category) / (want[c] + cellPrior)
	}
	return out
}

// classes is how many classes of weight, of equal size, each category has.
const classes = 4

// classify draws the bounds of a category's classes and sorts its kinds in.
func (f *Forecast) classify(category int) {
	for k := range classes {
		f.due[category][k] = make([]float64, f.Hours)
	}
	kinds := slices.Clone(f.kinds[category])
	slices.SortStableFunc(kinds, func(a, b int) int { return cmp.Compare(f.Kinds[a].Weight, f.Kinds[b].Weight) })
	total := 0.0
	for _, i := range kinds {
		total += sum(f.Kinds[i].Units)
	}
	have, class := 0.0, 0
	for _, i := range kinds {
		have += sum(f.Kinds[i].Units)
		for class < classes-1 && have >= total*float64(class+1)/classes {
			f.bounds[category][class] = f.Kinds[i].Weight
			class++
		}
	}
	for _, i := range kinds {
		f.class[i] = f.classOf(category, f.Kinds[i].Weight)
		for h, units := range f.Kinds[i].Units {
			f.due[category][f.class[i]][h] += units
		}
	}
}

func sum(v []float64) (total float64) {
	for _, x := range v {
		total += x
	}
	return total
}

func (f *Forecast) classOf(category int, weight float64) int {
	class := 0
	for class < classes-1 && weight > f.bounds[category][class]+rounding {
		class++
	}
	return class
}

// Priors of the classes, in units: without them the first to come would say
// too much.
const (
	classPrior = 30
	latePrior  = 5
)

// late is, for each class of weight, how many times the rest is to be reckoned
// with because some of the class are late. Who was expected today and has not
// come may still come; on a day on which the neediest come late this keeps units
// for them. Those who came in excess are not held against their class.
func (f *Forecast) late(category, now int, passed float64) (out [classes]float64) {
	var want, rest [classes]float64
	var wanted, all float64
	today := min(f.day(now), len(f.came)-1)
	came := f.came[today][category]
	for k := range classes {
		for h, units := range f.due[category][k] {
			switch {
			case f.day(h) != today:
			case h < now:
				want[k] += units
			case h == now:
				want[k] += units * passed
				rest[k] += units * (1 - passed)
			default:
				rest[k] += units
			}
		}
		wanted += want[k]
		all += came[k]
	}
	rate := (all + classPrior) / (wanted + classPrior)
	for k := range classes {
		out[k] = 1
		if missing := rate*want[k] - came[k]; missing > 0 && rest[k] > 0 {
			out[k] = 1 + missing/(rate*rest[k]+latePrior)
		}
	}
	return out
}
