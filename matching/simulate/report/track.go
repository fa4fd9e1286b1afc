package report

import (
	"github.com/xingfuma/happycode/matching/simulate"
)

// points is how many moments of a scenario a track keeps.
const points = 240

// Track keeps how things stood over time: enough for a plot, of a month as of
// a day.
type Track struct {
	step, next float64
	points     []point
}

type point struct {
	t       float64
	waiting int
	of      map[string]shelf // by category
}

// shelf is the lots of a category that can be used at a moment.
type shelf struct {
	units     int64
	low, high float64 // lines of lots that are not used up
	mean      float64 // by units
}

// NewTrack makes an empty track of a scenario.
func NewTrack(s *simulate.Scenario) *Track { return &Track{step: s.Horizon / points} }

// Add takes a state in; give it to [simulate.Config] as Watch.
func (k *Track) Add(s simulate.State) {
	if s.T < k.next {
		return
	}
	k.next = (float64(int(s.T/k.step)) + 1) * k.step
	p := point{t: s.T, waiting: s.Waiting, of: map[string]shelf{}}
	for _, l := range s.Lines {
		if l.Free <= 0 {
			continue
		}
		x, ok := p.of[l.Category]
		if !ok {
			x.low = l.Weight
		}
		x.low, x.high = min(x.low, l.Weight), max(x.high, l.Weight)
		x.mean = (x.mean*float64(x.units) + l.Weight*float64(l.Free)) / float64(x.units+l.Free)
		x.units += l.Free
		p.of[l.Category] = x
	}
	k.points = append(k.points, p)
}
