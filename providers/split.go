package providers

// maxWeight keeps the products of quantities and weights well inside an int64.
const maxWeight = 1_000_000_000

// splitter divides lot after lot over the same places by weight, with the
// largest remainder: the parts of a lot sum to its quantity, and no part is
// negative. What a place was given too much or too little in one lot, by
// rounding, is remembered for the next, so that a place of little weight gets
// its due out of many small lots as well.
type splitter struct {
	weights []int64
	sum     int64
	credit  []int64 // owed to each place, in units / sum; together 0
}

// newSplitter takes one weight per place. Weights below 0 count as 0; if none
// is above 0, all places are equal.
func newSplitter(weights []int64) *splitter {
	s := &splitter{weights: make([]int64, len(weights)), credit: make([]int64, len(weights))}
	for i, w := range weights {
		s.weights[i] = min(max(w, 0), maxWeight)
		s.sum += s.weights[i]
	}
	if s.sum == 0 {
		for i := range s.weights {
			s.weights[i] = 1
		}
		s.sum = int64(len(weights))
	}
	return s
}

// split divides qty, at most [maxQtyUnits], over the places.
func (s *splitter) split(qty int64) []int64 {
	parts := make([]int64, len(s.weights))
	left := qty
	for i, w := range s.weights {
		s.credit[i] += qty * w
		parts[i] = max(0, s.credit[i]/s.sum)
		s.credit[i] -= parts[i] * s.sum
		left -= parts[i]
	}
	for ; left > 0; left-- { // to whom most is owed; the first of equals
		best := 0
		for i, c := range s.credit {
			if c > s.credit[best] {
				best = i
			}
		}
		parts[best]++
		s.credit[best] -= s.sum
	}
	for ; left < 0; left++ { // from whom least is owed, of those who have any
		best := -1
		for i, c := range s.credit {
			if parts[i] > 0 && (best < 0 || c < s.credit[best]) {
				best = i
			}
		}
		parts[best]--
		s.credit[best] += s.sum
	}
	return parts
}
