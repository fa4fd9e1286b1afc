//go:build integration

package matching_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
)

// BenchmarkHold is Match on a real Redis by 64 callers: with one need and with
// three, from buckets of ten to ten thousand offers. script-µs is what Redis
// itself spends on a call.
func BenchmarkHold(b *testing.B) {
	url := redistest.Server(b)
	for _, needs := range []int{1, 3} {
		for _, offers := range []int{10, 100, 1000, 10_000} {
			b.Run(fmt.Sprintf("needs=%d/offers=%d", needs, offers), func(b *testing.B) {
				r := newRig(b, url)
				cat := matching.NewCatalogue()
				var all []matching.Offer
				var lots []string
				for i := range offers {
					all = append(all, offer(fmt.Sprintf("o%05d", i), nil))
					lots = append(lots, all[i].Lots[0].ID)
				}
				cat.Put(all...)
				r.open(matching.MaxUnits/2, lots...)
				person := matching.Person{Division: village}
				var scans atomic.Int64
				script := scriptTime(b, url)
				b.SetParallelism(32)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						n := scans.Add(1)
						asks := make([]matching.Ask, needs)
						for i := range asks {
							asks[i] = meals(fmt.Sprintf("n%d-%d", n, i), 1, 9)
							asks[i].Choice = cat.Choice(wuxing, "meal", person, epoch, nil, asks[i].WeightMilli)
						}
						out, err := r.Match(b.Context(), matching.Request{County: r.county, Household: fmt.Sprint("h", n), Asks: asks})
						if err != nil || len(out[needs-1].Holds) != 1 {
							b.Error(out, err)
						}
					}
				})
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
				b.ReportMetric(script(), "script-µs")
			})
		}
	}
}

// scriptTime begins to watch how long Redis spends on a script call, µs.
func scriptTime(b *testing.B, url string) (mean func() float64) {
	b.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	client := redis.NewClient(o)
	b.Cleanup(func() { client.Close() })
	read := func() (calls, usec float64) {
		info, err := client.Info(context.Background(), "commandstats").Result()
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(info) {
			rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:")
			if !ok {
				continue
			}
			for field := range strings.SplitSeq(strings.TrimSpace(rest), ",") {
				name, value, _ := strings.Cut(field, "=")
				n, _ := strconv.ParseFloat(value, 64)
				switch name {
				case "calls":
					calls = n
				case "usec":
					usec = n
				}
			}
		}
		return calls, usec
	}
	calls, usec := read()
	return func() float64 {
		c, u := read()
		return (u - usec) / max(c-calls, 1)
	}
}
