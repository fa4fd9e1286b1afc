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
