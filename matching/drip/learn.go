package drip

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
func (f *Forecast) restLearned(category int, nowMs int64, reserve func([]int32) float64, stock float64, demands []Demand) []Demand {
	now, passed := f.moment(nowMs)
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
	add := func(units, weight float64, fits []int32) {
		if len(fits) == 0 {
			return
		}
		units *= reserve(fits)
		later, end := f.later(fits)
		for h := max(now, 0); h < f.Hours; h++ {
			part := f.share(h) / all
			if f.day(h) > f.day(now) {
				part *= later
			}
			demands = f.spread(demands, nowMs, h, units*part, Demand{Weight: weight, Fits: fits}, f.LastsMs[category])
		}
		demands = f.goOn(demands, end, units/all*later, Demand{Weight: weight, Fits: fits}, f.LastsMs[category])
	}
	n := float64(len(l.own))
	own := n / (n + ownPrior)
	for _, a := range l.own {
		add(total*own*a.Units/l.units, a.Weight, f.Fits(a.Person, category))
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

// Anybody is the person of whom nothing is known, for [Config].Fits: whatever
// serves somebody of the category serves them.
const Anybody = -1
