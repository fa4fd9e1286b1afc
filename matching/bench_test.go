package matching_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/xingfuma/happycode/matching"
)

// BenchmarkMatch is one scan of a resident with three needs, each with eight
// candidate lots, by one caller and by sixteen.
func BenchmarkMatch(b *testing.B) {
	for name, url := range backends {
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				r := newRig(b, url(b))
				var lots []string
				for i := range 8 {
					lots = append(lots, fmt.Sprint("l", i))
				}
				r.open(matching.MaxUnits, lots...)
				var scans atomic.Int64
				b.SetParallelism(callers)
				b.ResetTimer()
				scan := func() {
					n := scans.Add(1)
					asks := make([]matching.Ask, 3)
					for i := range asks {
						asks[i] = meals(fmt.Sprintf("n%d-%d", n, i), 1, 9, lots...)
					}
					if _, err := r.Match(b.Context(), matching.Request{County: r.county, Household: fmt.Sprint("h", n), Asks: asks}); err != nil {
						b.Error(err)
					}
				}
				if callers == 1 {
					for b.Loop() {
						scan()
					}
					return
				}
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						scan()
					}
				})
			})
		}
	}
}

// BenchmarkChoice is a look for the first four lots on a shelf.
func BenchmarkChoice(b *testing.B) {
	for _, offers := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("offers=%d", offers), func(b *testing.B) {
			cat, all := matching.NewCatalogue(), make([]matching.Offer, offers)
			for i := range all {
				all[i] = offer(fmt.Sprint("o", i), nil)
			}
			cat.Put(all...)
			person := matching.Person{Division: village, Groups: []string{"elderly"}}
			b.ReportAllocs()
			for b.Loop() {
				if n := len(cat.Choice(wuxing, "meal", person, epoch, nil, 1000).First(4)); n != 4 {
					b.Fatal(n)
				}
			}
		})
	}
}

// BenchmarkCandidates is a look at a shelf of a hundred offers.
func BenchmarkCandidates(b *testing.B) {
	cat := matching.NewCatalogue()
	for i := range 100 {
		cat.Put(offer(fmt.Sprint("o", i), nil))
	}
	person := matching.Person{Division: village}
	for b.Loop() {
		cat.Candidates(wuxing, "meal", person, epoch)
	}
}
