package sqlite_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/storetest"
)

type parcels = store.Collection[storetest.Parcel, *storetest.Parcel]

func benchRecord(b *testing.B) parcels {
	r := open(b, filepath.Join(b.TempDir(), "record.db"))
	if err := r.Ensure(context.Background(), storetest.Parcels()); err != nil {
		b.Fatal(err)
	}
	return store.Of[storetest.Parcel](r, storetest.Parcels())
}

// parcel has about 700 bytes of JSON and stands in five indexes.
func parcel(n int64) *storetest.Parcel {
	return &storetest.Parcel{
		Meta: store.Meta{ID: store.NewID()}, County: "330502000000", State: "open",
		AtMs: n, Serial: n, Badge: fmt.Sprint("b", n), Note: strings.Repeat("x", 400),
	}
}

// BenchmarkInsert measures one caller, and callers who share the fsync.
func BenchmarkInsert(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := benchRecord(b)
			var n atomic.Int64
			b.ReportAllocs()
			parallel(b, callers, func() error { return c.Insert(context.Background(), parcel(n.Add(1))) })
		})
	}
}

// BenchmarkReplace replaces documents that only one caller each writes.
func BenchmarkReplace(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := benchRecord(b)
			docs := make(chan *storetest.Parcel, callers)
			for n := range callers {
				d := parcel(int64(n))
				if err := c.Insert(context.Background(), d); err != nil {
					b.Fatal(err)
				}
				docs <- d
			}
			parallel(b, callers, func() error {
				d := <-docs
				d.Rank++
				err := c.Replace(context.Background(), d)
				docs <- d
				return err
			})
		})
	}
}

// BenchmarkRead reads from a collection of 20,000 documents.
func BenchmarkRead(b *testing.B) {
	c := benchRecord(b)
	var all []*storetest.Parcel
	for n := range 20000 {
		all = append(all, parcel(int64(n)))
	}
	if _, err := c.InsertAll(context.Background(), all); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.Run("get", func(b *testing.B) {
		parallel(b, 8, func() error {
			_, err := c.Get(context.Background(), all[n.Add(7919)%20000].ID)
			return err
		})
	})
	b.Run("page=20", func(b *testing.B) {
		parallel(b, 8, func() error {
			_, _, err := c.Find(context.Background(), store.Query{Index: "county", Equal: []any{"330502000000"}, From: n.Add(7919) % 19000, Limit: 20})
			return err
		})
	})
}

var benchDocuments = flag.Int("documents", 100_000, "documents of BenchmarkGrowth at the end; a million take some minutes to write")

// BenchmarkGrowth reads by id, by an index and writes, in a record that grows.
func BenchmarkGrowth(b *testing.B) {
	c := benchRecord(b)
	var all []string
	for size := 10_000; size <= *benchDocuments; size *= 10 {
		for len(all) < size {
			page := make([]*storetest.Parcel, 0, 1000)
			for range cap(page) {
				p := parcel(int64(len(all) + len(page)))
				page = append(page, p)
			}
			if _, err := c.InsertAll(context.Background(), page); err != nil {
				b.Fatal(err)
			}
			for _, p := range page {
				all = append(all, p.ID)
			}
		}
		var n atomic.Int64
		b.Run(fmt.Sprintf("documents=%d/get", size), func(b *testing.B) {
			parallel(b, 64, func() error {
				_, err := c.Get(context.Background(), all[int(n.Add(7919))%len(all)])
				return err
			})
		})
		b.Run(fmt.Sprintf("documents=%d/find", size), func(b *testing.B) {
			parallel(b, 64, func() error {
				_, _, err := c.Find(context.Background(), store.Query{Index: "county", Equal: []any{"330502000000"}, From: n.Add(7919) % int64(size), Limit: 1})
				return err
			})
		})
		b.Run(fmt.Sprintf("documents=%d/insert", size), func(b *testing.B) {
			parallel(b, 64, func() error { return c.Insert(context.Background(), parcel(1_000_000_000+n.Add(1))) })
		})
	}
}

// parallel shares b.N calls among goroutines.
func parallel(b *testing.B, callers int, call func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	done := make(chan error, callers)
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
