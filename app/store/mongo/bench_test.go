//go:build integration

package mongo_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
	"github.com/xingfuma/happycode/app/store/storetest"
)

// BenchmarkInsert is one caller, and 64 at once. On the stand-in it says what the
// stand-in can do, over its one connection.
func BenchmarkInsert(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			r := open(b, mongotest.URI(b))
			if err := r.Ensure(b.Context(), storetest.Parcels()); err != nil {
				b.Fatal(err)
			}
			c := store.Of[storetest.Parcel](r, storetest.Parcels())
			var n atomic.Int64
			b.SetParallelism(callers)
			b.ResetTimer()
			insert := func() {
				i := n.Add(1)
				if err := c.Insert(b.Context(), &storetest.Parcel{
					Meta: store.Meta{ID: store.NewID()}, County: "330502000000", State: "open", AtMs: i, Serial: i, Badge: fmt.Sprint("b", i),
				}); err != nil {
					b.Error(err)
				}
			}
			if callers == 1 {
				for b.Loop() {
					insert()
				}
			} else {
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						insert()
					}
				})
			}
			b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
