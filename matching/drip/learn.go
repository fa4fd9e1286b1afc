package drip

import "math"

// What is learned of a category within the period, where there is no history.
type learned struct {
	units float64
	own   []Arrival
}

// profile is the share of a day's needs that each hour brings, where nothing
// is known: few at night, most in office hours, some in the evening.
// Source: DESIGN.md, "Without history".
var profile = normalised([24]float64{.2, .1, .1, .1, .2, .8, 2.5, 5, 7.5, 8.5, 8.5, 8, 7, 5.5, 5.5, 6, 7, 8, 7, 5, 3.5, 2, 1, .5})

func normalised(hours [24]float64) [24]float64 {
	total := sum(hours[:])
	for h := range hours {
		hours[h] /= total
	}
	return hours
}

// What is assumed before anybody has come.
const (
	// assumedShare is how much of a day the assumption weighs.
	assumedShare = 0.1
	// ownPrior and peoplePrior are how many needs of a category, and of all,
	// weigh as much as what is assumed in their place.
	ownPrior    = 60
	peoplePrior = 30
	// remembered is how many of the last to come stand for those who will.
	remembered = 150
)

// assumedWeights are the weights of people of whom nothing is known yet.
// Source: DESIGN.md, "Without history".
var assumedWeights = [...]float64{.25, .4, .5, .6, .8, .9, 1, 1.2, 1.4, 1.8, 2.4}

func (f *Forecast) learn(a Arrival) {
	l := &f.learned[a.Category]
	l.units += a.Units
	l.own = append(l.own, a)
	f.people = append(f.people, a)
	if len(f.people) > 2*remembered {
		f.people = append(f.people[:0], f.people[len(f.people)-remembered:]...)
	}
}

// share is the part of the period's needs that comes in an hour.
func (f *Forecast) share(hour int) float64 {
	return profile[(hour+f.FirstHour)%24]
}

// restLearned adds what is expected of a category without history: as many
// units as came so far suggest, asked for by people like those who came.
func (f *Forecast) restLearned(category int, ahead *courses, reserve func([]int32) float64, stock float64, demands []Demand) []Demand {
	now, passed := f.moment(ahead.nowMs)
	var before, all float64
	for h := range f.Hours {
		all += f.share(h)
		switch {
		case h < now:
			before += f.share(h)
		case h == now:
			before += f.share(h) * passed
		}
	}
	l := &f.learned[category]
	total := (l.units + assumedShare*f.Assumed*stock) / (before/all + assumedShare)
	if total <= 0 {
		return demands
	}
	hours := make([]float64, f.Hours)
	add := func(units, weight float64, fits []int32) {
		if len(fits) == 0 {
			return
		}
		units *= reserve(fits)
		c := ahead.of(fits, f.LastsMs[category])
		for h := max(now, 0); h < f.Hours; h++ {
			part := f.share(h) / all
			if f.day(h) > f.day(now) {
				part *= c.later
			}
			hours[h] = units * part
		}
		demands = c.add(demands, weight, fits, hours, units/all*c.later)
	}
	n := float64(len(l.own))
	own := n / (n + ownPrior)
	for _, a := range f.alike(category) {
		add(total*own*a.units/l.units, a.weight, a.fits)
	}
	last := f.people[max(0, len(f.people)-remembered):]
	people := float64(len(last)) / (float64(len(last)) + peoplePrior)
	for _, a := range last {
		add(total*(1-own)*people/float64(len(last)), a.Weight, f.Fits(a.Person, category))
	}
	for _, weight := range assumedWeights {
		add(total*(1-own)*(1-people)/float64(len(assumedWeights)), weight, f.Fits(Anybody, category))
	}
	return demands
}

// apartHours is how many hours of people of one category a plan looks at one by
// one: a thousand people's day. Where there are more, those of a weight and of the
// same lots go together. Source: DESIGN.md, "Speed".
const apartHours = 24_000

// alike is people of a category who fit the same lots.
type alike struct {
	units, weight float64
	fits          []int32
}

// alike puts those who came together where they are many, as a history's kinds are.
func (f *Forecast) alike(category int) []alike {
	own := f.learned[category].own
	apart := len(own)*f.Hours <= apartHours
	type key struct {
		weight int
		fits   *int32
	}
	var out []alike
	index := map[key]int{}
	for _, a := range own {
		fits := f.Fits(a.Person, category)
		if len(fits) == 0 {
			continue
		}
		if !apart {
			k := key{WeightClass(a.Weight), &fits[0]}
			if at, ok := index[k]; ok {
				g := &out[at]
				g.weight = (g.weight*g.units + a.Weight*a.Units) / (g.units + a.Units)
				g.units += a.Units
				continue
			}
			index[k] = len(out)
		}
		out = append(out, alike{a.Units, a.Weight, fits})
	}
	return out
}

// WeightClass is the same for weights within some 8 %; weights are above 0.
func WeightClass(weight float64) int { return int(math.Round(12 * math.Log(weight))) }

// Anybody is the person of whom nothing is known, for [Config].Fits: whatever
// serves somebody of the category serves them.
const Anybody = -1
