package drip

import "math"

// Weight is how much a unit does for somebody.
//
// score:   multidimensional score, 0..1.
// urgency: 1 (can wait) to 4 (today).
// Result:  0.25 for the least, 4.2 for the most.
// Source:  DESIGN.md, "Weight".
func Weight(score float64, urgency int) float64 {
	return (0.25 + score) * math.Pow(1.5, float64(urgency-1))
}

// Raise is how much a weight has grown at the end of somebody's patience.
// Source: DESIGN.md, "Nobody starves".
const Raise = 0.1

// Raised is a weight, in any unit, after waiting: it grows evenly by [Raise]
// over the patience, and no further. Without patience it does not grow.
func Raised(weight, waitedMs, patienceMs int64) int64 {
	if patienceMs <= 0 || waitedMs <= 0 {
		return weight
	}
	part := min(1, float64(waitedMs)/float64(patienceMs))
	return int64(math.Round(float64(weight) * (1 + Raise*part)))
}
