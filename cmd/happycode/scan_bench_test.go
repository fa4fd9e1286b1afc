//go:build integration

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/settings"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching/redistest"
	"github.com/xingfuma/happycode/providers"
)

var (
	benchResidents = flag.Int("residents", 20_000, "residents of the scan benchmark, each with one need")
	benchOffers    = flag.Int("offers", 5_000, "offers of the scan benchmark")
)

// benchConnections is how many callers scan at once.
const benchConnections = 64

// BenchmarkScan is the whole way of a scan: HTTP, signed code, verified, held
// in Redis, recorded durably, answered. "first" are residents who were not
// scanned before and get something; "again" are residents who have it; "health"
// is the least that the server answers, for the same callers.
func BenchmarkScan(b *testing.B) {
	w := newBenchTown(b, *benchResidents, *benchOffers)
	b.Run("health", func(b *testing.B) { w.load(b, "GET /healthz", func(int) []byte { return nil }) })
	b.Run("record", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(w.resident, "B/resident")
		}
	})
	var first atomic.Int64
	b.Run("first", func(b *testing.B) {
		w.load(b, "POST /api/v1/scans", func(int) []byte {
			n := first.Add(1)
			if n > int64(len(w.bodies)) {
				b.Error("more scans than residents: give -residents or -benchtime")
			}
			return w.bodies[(n-1)%int64(len(w.bodies))]
		})
	})
	b.Run("again", func(b *testing.B) {
		seen := max(1, min(first.Load(), int64(len(w.bodies))))
		w.load(b, "POST /api/v1/scans", func(n int) []byte { return w.bodies[int64(n)%seen] })
	})
}

// benchTown is a whole server on Redis and the embedded record, with people
// who need something.
type benchTown struct {
	*system
	address string
	tokens  []string
	bodies  [][]byte // scans of everybody's code

	// resident is how many bytes of the record's files a resident takes, with
	// code, household and one need; the log of writes, up to 16 MB, is in it.
	resident float64
}

func newBenchTown(b *testing.B, people, offers int) *benchTown {
	b.Helper()
	ctx := b.Context()
	dir := b.TempDir()
	set, err := settings.Load([]string{
		"HAPPYCODE_DATA=" + filepath.Join(dir, "data"), "HAPPYCODE_REDIS_URL=" + redistest.Server(b), "HAPPYCODE_TRUSTED_PROXIES=127.0.0.1",
	})
	check := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	check(err)
	lines, err := os.Create(filepath.Join(dir, "log"))
	check(err)
	b.Cleanup(func() { lines.Close() })
	log := slog.New(slog.NewTextHandler(lines, nil))
	s, err := open(context.WithoutCancel(ctx), set, log, time.Now, true)
	check(err)
	b.Cleanup(func() { s.Close() })
	w := &benchTown{system: s}

	org, err := s.providers.Join(ctx, "bench", providers.NewOrganisation{
		Name: "测试慈善会", Kind: providers.Charity, CreditCode: "53330500MJ9D000322", Division: city,
	})
	check(err)
	org, err = s.providers.Decide(ctx, "bench", org.ID, providers.Approved, "")
	check(err)
	now := time.Now()
	kinds := slices.DeleteFunc(slices.Clone(providers.Categories()), func(c providers.Category) bool { return c.ID == providers.WishCategory })
	var g errgroup.Group
	g.SetLimit(benchConnections)
	for n := range offers {
		g.Go(func() error {
			_, err := s.providers.Post(ctx, "bench", org, providers.NewOffer{
				TitleZH: fmt.Sprint("资源", n), TitleEN: fmt.Sprint("Offer ", n), Category: kinds[n%len(kinds)].ID, Divisions: []string{county},
				Handover: providers.Handover{How: providers.Delivery},
				Lots:     []providers.NewLot{{QtyUnits: 1_000_000, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(time.Duration(24+n%240) * time.Hour).UnixMilli()}},
			})
			return err
		})
	}
	check(g.Wait())

	before := w.recordBytes(b)
	table := bytes.NewBufferString("姓名,身份证号,区划代码,评分,同意\n")
	for n := range people {
		fmt.Fprintf(table, "测试,%s,%s,%d,是\n", idNumber(n), village, 300+n%700)
		if n%20_000 == 19_999 || n == people-1 {
			got, err := s.residents.Import(ctx, "bench", county, table, "residents.csv", nil)
			check(err)
			if len(got.Bad) > 0 {
				b.Fatalf("import: %+v", got.Bad[0])
			}
			table.Reset()
			table.WriteString("姓名,身份证号,区划代码,评分,同意\n")
		}
	}
	for after := ""; ; {
		page, next, err := s.residents.List(ctx, county, after, store.MaxPage)
		check(err)
		needs, codes := make([]*residents.Need, len(page)), make([]string, len(page))
		for i, r := range page {
			codes[i] = r.Code
			needs[i] = &residents.Need{
				Meta: store.Meta{ID: store.NewID()}, Resident: r.ID, Household: r.Household, County: r.County, Division: r.Division,
				Category: kinds[i%len(kinds)].ID, QtyUnits: 1, Urgency: 1 + i%4, Source: "import", State: residents.NeedOpen,
				CreatedBy: "bench", CreatedMs: now.UnixMilli(), UpdatedMs: now.UnixMilli(),
			}
		}
		_, err = s.residents.NeedCollection().InsertAll(ctx, needs)
		check(err)
		for _, id := range codes {
			c, err := s.residents.CodeByID(ctx, id)
			check(err)
			t, err := s.residents.Token(ctx, c)
			check(err)
			w.bodies = append(w.bodies, []byte(`{"code":"`+t.Digits()+`"}`))
		}
		if after = next; after == "" {
			break
		}
	}
	w.resident = (w.recordBytes(b) - before) / float64(people)
	for n := range 4 * benchConnections {
		t, _, err := s.accounts.MintToken(ctx, "bench", accounts.NewToken{Label: fmt.Sprint("bench ", n), Role: accounts.Caseworker, Division: county})
		check(err)
		w.tokens = append(w.tokens, t)
	}
	check(s.startCare(ctx))
	web, err := s.application()
	check(err)
	w.address = w.listen(b, web.Listen, func() error { return web.Shutdown(context.Background()) })
	eventually(b, time.Minute, "the counties to be rebuilt", func() error { return s.care.Ready(ctx) })
	return w
}

// recordBytes is the size of the record's files.
func (w *benchTown) recordBytes(b *testing.B) (sum float64) {
	b.Helper()
	for _, name := range []string{recordFile, recordFile + "-wal"} {
		info, err := os.Stat(filepath.Join(w.settings.Data, name))
		if err != nil {
			b.Fatal(err)
		}
		sum += float64(info.Size())
	}
	return sum
}

// listen serves until the benchmark ends.
func (w *benchTown) listen(b *testing.B, serve func(net.Listener) error, stop func() error) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	b.Cleanup(func() {
		if err := errors.Join(stop(), <-done); err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}

// load shares b.N requests among the connections and reports how many were
// answered a second, and how long half and all but one in a hundred took.
func (w *benchTown) load(b *testing.B, line string, body func(n int) []byte) {
	b.Helper()
	var next atomic.Int64
	took := make([][]time.Duration, benchConnections)
	b.ResetTimer()
	busy := processTime(b)
	var all sync.WaitGroup
	for caller := range benchConnections {
		all.Go(func() {
			conn, err := net.Dial("tcp", w.address)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			from, request := bufio.NewReader(conn), []byte(nil)
			for {
				n := int(next.Add(1))
				if n > b.N {
					return
				}
				sent := body(n)
				request = fmt.Appendf(request[:0], "%s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nX-Forwarded-For: 10.0.%d.1\r\n"+
					"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", line, w.tokens[n%len(w.tokens)], caller, len(sent), sent)
				began := time.Now()
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				if status, text, err := readAnswer(from); err != nil || status != http.StatusOK {
					b.Errorf("status %d, %v: %s", status, err, text)
					return
				}
				took[caller] = append(took[caller], time.Since(began))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	times := slices.Concat(took...)
	slices.Sort(times)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((processTime(b)-busy).Microseconds())/float64(b.N), "cpu-µs/op")
	if len(times) > 0 {
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	}
}

// processTime is how long this process, server and callers, has computed.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// readAnswer reads an HTTP answer with a length; a whole client costs as much
// as a small server.
func readAnswer(from *bufio.Reader) (status int, body []byte, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		text := string(bytes.TrimSpace(line))
		name, value, _ := strings.Cut(text, ":")
		switch {
		case first:
			if fields := strings.Fields(text); len(fields) > 1 {
				status, err = strconv.Atoi(fields[1])
			}
		case text == "":
			body = make([]byte, length)
			_, err = io.ReadFull(from, body)
			return status, body, err
		case strings.EqualFold(name, "Content-Length"):
			length, err = strconv.Atoi(strings.TrimSpace(value))
		}
		if err != nil {
			return 0, nil, err
		}
	}
}
