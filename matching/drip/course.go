package drip

import "sort"

// near is how many hours are looked at finely, in slots of [slotMs]: whether
// somebody comes before a meal ends or after it matters when it is near.
const (
	near   = 2
	slotMs = 10 * 60_000
)

// After the period the days are looked at one by one, then week by week, and
// none is after a year. Source: DESIGN.md, "Several weeks".
const (
	dayMs      = 24 * hourMs
	byDayMs    = 21 * dayMs
	furthestMs = 366 * dayMs
)

// afterwards is the hour of what comes after the period.
const afterwards = -1

// piece is a part of the time to come, looked at as one moment.
type piece struct {
	fromMs, untilMs int64   // when who comes then arises, and has waited long enough
	hour            int     // of the period, or [afterwards]
	part            float64 // of what the hour brings, or of what a day brings
}

// course is the time to come as those see it who fit the same lots.
type course struct {
	pieces []piece
	// begins are where stretches begin, the end of pieces last: in a stretch there
	// is no difference between the pieces, because the same lots meet them.
	begins []int
	later  float64 // the part of what later days bring that is reckoned with
}

// courses are those of one plan, each made when it is asked for.
type courses struct {
	f     *Forecast
	nowMs int64
	known map[fitting]*course
}

// fitting names those who fit the same lots, by their slice, and wait as long.
type fitting struct {
	fits    *int32
	lastsMs int64
}

func (f *Forecast) courses(nowMs int64) *courses {
	return &courses{f, nowMs, map[fitting]*course{}}
}

func (cs *courses) of(fits []int32, lastsMs int64) *course {
	key := fitting{&fits[0], lastsMs}
	c := cs.known[key]
	if c == nil {
		c = cs.f.course(cs.nowMs, fits, lastsMs)
		cs.known[key] = c
	}
	return c
}

func (f *Forecast) course(nowMs int64, fits []int32, lastsMs int64) *course {
	later, lotsEndMs := f.later(fits)
	c := &course{later: later}
	hour, _ := f.moment(nowMs)
	for h := max(hour, 0); h < f.Hours; h++ {
		from, length := f.StartMs+int64(h)*hourMs, int64(hourMs)
		if from < nowMs {
			length -= nowMs - from
			from = nowMs
		}
		slots := int64(1)
		if from < nowMs+near*hourMs {
			slots = max(1, length/slotMs)
		}
		part := float64(length) / hourMs / float64(slots)
		for i := range slots {
			at := from + length*(2*i+1)/(2*slots)
			c.pieces = append(c.pieces, piece{at, at + lastsMs, h, part})
		}
	}
	// Until the last lot ends; who comes then stands the whole day, or week.
	end := f.StartMs + int64(f.Hours)*hourMs
	until := min(lotsEndMs, end+furthestMs)
	for from, length := end, int64(0); from < until; from += length {
		if length = dayMs; from >= end+byDayMs {
			length = 7 * dayMs
		}
		length = min(length, until-from)
		c.pieces = append(c.pieces, piece{from, from + length + lastsMs, afterwards, float64(length) / dayMs})
	}
	c.begins = f.stretches(c.pieces, fits)
	return c
}

// stretches puts pieces together that the same lots meet. Both ends of the pieces
// rise, so that those which a lot meets stand together.
func (f *Forecast) stretches(pieces []piece, fits []int32) []int {
	cut := make([]bool, len(pieces)+1)
	cut[0] = true
	for i := range pieces {
		cut[i] = cut[i] || f.Lots == nil
	}
	for _, l := range fits {
		if f.Lots == nil {
			break
		}
		lot := &f.Lots[l]
		cut[sort.Search(len(pieces), func(i int) bool { return pieces[i].untilMs >= lot.FromMs })] = true
		cut[sort.Search(len(pieces), func(i int) bool { return pieces[i].fromMs > lot.UntilMs })] = true
	}
	cut[len(pieces)] = true
	var begins []int
	for i, c := range cut {
		if c {
			begins = append(begins, i)
		}
	}
	return begins
}

// add adds to the demands what people of a weight who fit the same lots ask for:
// so many units in each hour of the period, and so many a day after it.
func (c *course) add(demands []Demand, weight float64, fits []int32, hours []float64, aDay float64) []Demand {
	for s, begin := range c.begins[:len(c.begins)-1] {
		units := 0.0
		for i := begin; i < c.begins[s+1]; i++ {
			if p := &c.pieces[i]; p.hour == afterwards {
				units += aDay * p.part
			} else {
				units += hours[p.hour] * p.part
			}
		}
		if units > 0 {
			p := &c.pieces[begin]
			demands = append(demands, Demand{Weight: weight, Units: units, FromMs: p.fromMs, UntilMs: p.untilMs, Fits: fits})
		}
	}
	return demands
}
