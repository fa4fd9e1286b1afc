package providers

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSplitByLargestRemainder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		weights []int64
		qty     int64
		want    []int64
	}{
		{[]int64{7}, 13, []int64{13}},
		{[]int64{1, 1, 1}, 10, []int64{4, 3, 3}},
		{[]int64{5, 3, 2}, 10, []int64{5, 3, 2}},
		{[]int64{5, 3, 2}, 7, []int64{4, 2, 1}}, // 3.5, 2.1, 1.4
		{[]int64{0, 1}, 5, []int64{0, 5}},
		{[]int64{0, 0}, 5, []int64{3, 2}},
		{[]int64{-4, 2}, 5, []int64{0, 5}},
		{[]int64{1 << 62, 1 << 62}, maxQtyUnits, []int64{maxQtyUnits / 2, maxQtyUnits / 2}},
		{[]int64{1, 1, 1, 1, 1}, 1, []int64{1, 0, 0, 0, 0}},
	} {
		if got := newSplitter(c.weights).split(c.qty); !slices.Equal(got, c.want) {
			t.Errorf("%v of %d: got %v, want %v", c.weights, c.qty, got, c.want)
		}
	}
}

// Every lot is split exactly, and over many lots every place comes within two
// units of its due, however small the lots are.
func TestSplitIsExactAndFairOverLots(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		weights := make([]int64, 1+r.IntN(8))
		var sum int64
		for i := range weights {
			weights[i] = r.Int64N(1000)
			sum += weights[i]
		}
		if sum == 0 {
			continue
		}
		s := newSplitter(weights)
		given := make([]int64, len(weights))
		var total int64
		for range 1 + r.IntN(60) {
			qty := 1 + r.Int64N(6)
			total += qty
			var parts int64
			for i, p := range s.split(qty) {
				if p < 0 {
					t.Fatalf("seed %d: a negative part", seed)
				}
				parts += p
				given[i] += p
			}
			if parts != qty {
				t.Fatalf("seed %d: parts sum to %d of %d", seed, parts, qty)
			}
		}
		for i, g := range given {
			due := float64(total) * float64(weights[i]) / float64(sum)
			if d := float64(g) - due; d > 2 || d < -2 {
				t.Fatalf("seed %d: place %d of %v was given %d, due %.2f", seed, i, weights, g, due)
			}
			if weights[i] == 0 && g > 0 {
				t.Fatalf("seed %d: a place without weight was given %d", seed, g)
			}
		}
	}
}
