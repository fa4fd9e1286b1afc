package care

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// A scan shows what is promised, oldest first, and what was received lately,
// newest first, whether that is little or much.
func TestScanShowsWhatWasHadBefore(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 3, 19, 24, 25, 40} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			t.Parallel()
			c := newCity(t, nil, nil)
			ctx := context.Background()
			c.offer("meal", 10, 0, county)
			c.offer("legal", 10, 0, county)
			r, _ := c.resident(village, "meal", 1, 4)
			for i := range before {
				if err := c.care.allocations.Insert(ctx, &Allocation{
					Meta: store.Meta{ID: fmt.Sprintf("old-%02d", i)}, Resident: r.ID, Household: r.Household, County: county, Division: village,
					Claim: fmt.Sprintf("%s|c:visit|D20200101|%d", r.Household, i), State: HandedOver, QtyUnits: 1, PromisedMs: int64(1000 + i),
				}); err != nil {
					t.Fatal(err)
				}
			}
			check := func(what string, got *ScanResult, offered ...string) {
				t.Helper()
				if len(got.Received) != min(before, 20) {
					t.Fatalf("%s: %d received, want %d", what, len(got.Received), min(before, 20))
				}
				for i, a := range got.Received {
					if want := fmt.Sprintf("old-%02d", before-1-i); a.ID != want {
						t.Errorf("%s: received %s in place %d, want %s", what, a.ID, i, want)
					}
				}
				var categories []string
				for _, a := range got.Offered {
					categories = append(categories, a.Category)
				}
				if fmt.Sprint(categories) != fmt.Sprint(offered) {
					t.Errorf("%s: offered %v, want %v", what, categories, offered)
				}
			}
			check("first", c.scan(r), "meal")
			check("again", c.scan(r), "meal")
			c.clock.advance(time.Second)
			c.need(r, "legal", 1, 4)
			check("with another need", c.scan(r), "meal", "legal")
		})
	}
}
