//go:build integration

package matching_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/url"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
)

// shop is a shelf of offers with plenty on it, in Redis and in a catalogue.
type shop struct {
	*rig
	catalogue *matching.Catalogue
	needs     int
	scans     atomic.Int64
}

func newShop(b *testing.B, url string, needs, offers int) *shop {
	b.Helper()
	s := &shop{rig: newRig(b, url), catalogue: matching.NewCatalogue(), needs: needs}
	s.stockUp(offers)
	return s
}

func (s *shop) stockUp(offers int) {
	all, lots := make([]matching.Offer, offers), make([]string, offers)
	for i := range all {
		all[i] = offer(fmt.Sprintf("o%05d", i), nil)
		lots[i] = all[i].Lots[0].ID
	}
	s.catalogue.Put(all...)
	s.open(matching.MaxUnits/2, lots...)
}

// request is a resident of whom nothing is known yet.
func (s *shop) request(who string) matching.Request {
	r := matching.Request{County: s.county, Household: "h" + who, Asks: make([]matching.Ask, s.needs)}
	for i := range r.Asks {
		a := meals(fmt.Sprint("n", i, "-", who), 1, 9)
		a.Choice = s.catalogue.Choice(wuxing, "meal", matching.Person{Division: village}, epoch, nil, a.WeightMilli)
		r.Asks[i] = a
	}
	return r
}

// benchCallers is how many call at once.
const benchCallers = 64

// serve has many callers match one resident after the other.
func (s *shop) serve(b *testing.B) (perSecond float64) {
	b.Helper()
	before := redisTime(b, s.url)
	b.SetParallelism(max(1, benchCallers/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			out, err := s.Match(b.Context(), s.request(fmt.Sprint(s.scans.Add(1))))
			if err != nil || len(out[s.needs-1].Holds) != 1 {
				b.Error(out, err)
			}
		}
	})
	b.StopTimer()
	perSecond = float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond, "calls/s")
	b.ReportMetric((redisTime(b, s.url)-before)/float64(b.N), "redis-µs")
	return perSecond
}

// BenchmarkHold is Match on a real Redis by 64 callers: with one need and with
// three, from shelves of ten to ten thousand offers. redis-µs is how long Redis
// computes for a call.
func BenchmarkHold(b *testing.B) {
	url := redistest.Server(b)
	for _, needs := range []int{1, 3} {
		for _, offers := range []int{10, 100, 1000, 10_000} {
			b.Run(fmt.Sprintf("needs=%d/offers=%d", needs, offers), func(b *testing.B) {
				newShop(b, url, needs, offers).serve(b)
			})
		}
	}
}

// BenchmarkShare compares, in one run, Match with redis-benchmark, which calls
// the same script with as many calls on their way and does nothing else. of-script
// is the share of its rate that Match reaches.
func BenchmarkShare(b *testing.B) {
	for _, needs := range []int{1, 3} {
		b.Run(fmt.Sprintf("needs=%d", needs), func(b *testing.B) {
			s := newShop(b, redistest.Server(b), needs, 100)
			if _, err := s.Match(b.Context(), s.request("first")); err != nil { // so that Redis knows the script
				b.Fatal(err)
			}
			command, err := s.HoldCommand(b.Context(), s.request("__rand_int__"))
			if err != nil {
				b.Fatal(err)
			}
			before := redisTime(b, s.url)
			calls := max(b.N, 2000)
			alone := redisBenchmark(b, s.url, calls, command)
			spent := (redisTime(b, s.url) - before) / float64(calls)
			matched := s.serve(b)
			b.ReportMetric(alone, "script-calls/s")
			b.ReportMetric(spent, "script-redis-µs")
			b.ReportMetric(matched/alone, "of-script")
		})
	}
}

// redisBenchmark is how often a second redis-benchmark carries a command out.
func redisBenchmark(b *testing.B, address string, calls int, command []string) float64 {
	b.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	out, err := exec.Command("redis-benchmark", append([]string{
		"-h", u.Hostname(), "-p", u.Port(), "-n", strconv.Itoa(calls), "-r", "1000000000000", "-c", "2", "-P", strconv.Itoa(benchCallers / 2), "--csv",
	}, command...)...).Output()
	if err != nil {
		b.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(rows) < 2 || len(rows[1]) < 2 {
		b.Fatalf("redis-benchmark: %v: %s", err, out)
	}
	rate, err := strconv.ParseFloat(rows[1][1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// BenchmarkGrowth is a scan in a county where ten thousand to a million
// households have had something this period.
func BenchmarkGrowth(b *testing.B) {
	for _, households := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("households=%d", households), func(b *testing.B) {
			s := newShop(b, redistest.Server(b), 1, 0)
			caps := make([]matching.CapState, households)
			for i := range caps {
				caps[i] = matching.CapState{Household: fmt.Sprintf("had%07d", i), Field: "c:meal", Period: "D20261124", Used: 1, Seq: 1}
			}
			s.rebuild(matching.Snapshot{Caps: caps})
			s.stockUp(100)
			s.serve(b)
		})
	}
}

// BenchmarkMemory says how many bytes Redis takes for a lot, a household's cap,
// a hold, an allocation that is promised and a need that waits, and this
// process for an offer.
func BenchmarkMemory(b *testing.B) {
	const many = 20_000
	id := func(kind string, i int) string { return fmt.Sprintf("%s-01936f1c-7a2b-7c3d-8e4f-%012d", kind, i) } // as long as real ones
	url := redistest.Server(b)
	s := &shop{rig: newRig(b, url), catalogue: matching.NewCatalogue()}
	grown := func(what string, by func()) {
		before := redisMemory(b, url)
		by()
		b.ReportMetric((redisMemory(b, url)-before)/many, "B/"+what)
	}
	for b.Loop() {
		s.rebuild(matching.Snapshot{})
		grown("lot", func() {
			lots := make([]string, many)
			for i := range lots {
				lots[i] = id("l", i)
			}
			s.open(10, lots...)
		})
		grown("hold+cap", func() {
			for i := range many {
				s.match(id("h", i), meals(id("n", i), 1, 9, id("l", i)))
			}
		})
		due, err := s.Due(b.Context(), s.county, 1)
		s.ok(err)
		s.same("none is due", due, []matching.Hold(nil))
		grown("waiting-need", func() {
			for i := range many {
				s.match(id("h", i), meals(id("w", i), 1, 9))
			}
		})
		var before, after runtime.MemStats
		cat := matching.NewCatalogue()
		runtime.GC()
		runtime.ReadMemStats(&before)
		fillCatalogue(cat, many, id)
		cat.Choice(wuxing, "meal", matching.Person{Division: village}, epoch, nil, 0)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "B/offer-in-process")
		runtime.KeepAlive(cat)
	}
}

// fillCatalogue leaves nothing behind but what the catalogue keeps.
func fillCatalogue(cat *matching.Catalogue, many int, id func(kind string, i int) string) {
	offers := make([]matching.Offer, many)
	for i := range offers {
		offers[i] = offer(id("o", i), nil)
	}
	cat.Put(offers...)
}

// info reads a section of Redis's own figures.
func info(b *testing.B, address, section string) map[string]string {
	b.Helper()
	o, err := redis.ParseURL(address)
	if err != nil {
		b.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	got, err := client.Info(context.Background(), section).Result()
	if err != nil {
		b.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(got) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out
}

func redisMemory(b *testing.B, address string) float64 {
	b.Helper()
	n, err := strconv.ParseFloat(info(b, address, "memory")["used_memory_dataset"], 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// redisTime is how long Redis has computed, µs: its own clock, whoever else
// uses the machine.
func redisTime(b *testing.B, address string) (sum float64) {
	b.Helper()
	cpu := info(b, address, "cpu")
	for _, name := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		n, err := strconv.ParseFloat(cpu[name], 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += n * 1e6
	}
	return sum
}
