package reports_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
)

const (
	city    = "330500000000"
	county  = "330502000000"
	other   = "330503000000"
	town    = "330502001000"
	village = "330502001001"
)

type desk struct {
	*reports.Service
	record store.Record
	now    *atomic.Int64 // Unix ms
}

func newDesk(t *testing.T) desk {
	t.Helper()
	record, err := sqlite.Open(filepath.Join(t.TempDir(), "record.sqlite"))
	must(t, err)
	t.Cleanup(func() { record.Close() })
	must(t, record.Ensure(t.Context(), reports.Schemas()...))
	keys, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	must(t, err)
	d := desk{record: record, now: &atomic.Int64{}}
	d.now.Store(1_790_000_000_000)
	d.Service = reports.New(reports.Config{
		Record: record, Vault: keys, Now: func() time.Time { return time.UnixMilli(d.now.Load()) },
		DivisionExists: func(code string) bool { return !strings.HasPrefix(code, "9") },
	})
	return d
}

func (d desk) pass(t time.Duration) { d.now.Add(t.Milliseconds()) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func alone(division string) reports.NewReport {
	return reports.NewReport{
		Division: division, Kind: "alone", Seen: "days", Text: "金丝雀情况", Place: "金丝雀弄 3 号", Person: "金丝雀婆婆", Name: "金丝雀邻居", Phone: "13900001111",
	}
}

func (d desk) send(t *testing.T, n reports.NewReport) *reports.Report {
	t.Helper()
	r, err := d.Send(t.Context(), n)
	must(t, err)
	return r
}

func TestSendNamesTheField(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for field, change := range map[string]func(*reports.NewReport){
		"division": func(n *reports.NewReport) { n.Division = city },
		"kind":     func(n *reports.NewReport) { n.Kind = "anything" },
		"seen":     func(n *reports.NewReport) { n.Seen = "never" },
		"text":     func(n *reports.NewReport) { n.Kind, n.Text = "other", " " },
		"place":    func(n *reports.NewReport) { n.Place = strings.Repeat("长", 101) },
		"person":   func(n *reports.NewReport) { n.Person = "a\x00b" },
		"name":     func(n *reports.NewReport) { n.Name = "\xff" },
		"phone":    func(n *reports.NewReport) { n.Phone = "call me" },
		"key":      func(n *reports.NewReport) { n.Key = strings.Repeat("k", 129) },
	} {
		n := alone(village)
		change(&n)
		_, err := d.Send(t.Context(), n)
		var at *reports.FieldError
		if !errors.As(err, &at) || at.Field != field || at.ZH == "" || at.EN == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, unknown := range []string{"930502001001", "", "33"} {
		if _, err := d.Send(t.Context(), alone(unknown)); err == nil {
			t.Errorf("division %q was taken", unknown)
		}
	}
	n := alone(county)
	n.Text, n.Place, n.Person, n.Name, n.Phone, n.Seen = strings.Repeat("字", 500), "", "", "", "", ""
	d.send(t, n)
}

func TestNothingThatWasWrittenIsStoredInTheClear(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := d.send(t, alone(village))
	_, err := d.Change(t.Context(), r.ID, reports.Change{By: "worker", To: reports.StateClosed, Outcome: reports.Helped, Note: "金丝雀说明"})
	must(t, err)
	r, err = d.Get(t.Context(), r.ID)
	must(t, err)
	stored, err := json.Marshal(r)
	must(t, err)
	for _, canary := range []string{"金丝雀", "13900001111"} {
		if strings.Contains(string(stored), canary) {
			t.Errorf("%s stands in %s", canary, stored)
		}
	}
	w, err := d.Open(r)
	must(t, err)
	want := reports.Words{Text: "金丝雀情况", Place: "金丝雀弄 3 号", Person: "金丝雀婆婆", Name: "金丝雀邻居", Phone: "13900001111", Note: "金丝雀说明"}
	if w != want {
		t.Errorf("opened %+v", w)
	}
}

// A double tap makes one report; a second thought makes another.
func TestTheSameKeyIsOneReport(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := alone(village)
	n.Key = "tap"
	var mu sync.Mutex
	seen := map[string]bool{}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			r, err := d.Send(t.Context(), n)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			seen[r.ID+r.Reference] = true
		})
	}
	all.Wait()
	if len(seen) != 1 {
		t.Errorf("%d reports: %v", len(seen), seen)
	}
	n.Text = "还有一件事"
	if r := d.send(t, n); seen[r.ID+r.Reference] {
		t.Error("another text under the same key was lost")
	}
	n.Key = ""
	if a, b := d.send(t, n), d.send(t, n); a.ID == b.ID || a.Reference == b.Reference || len(a.Reference) != 8 {
		t.Errorf("without a key: %s %s, %s %s", a.ID, a.Reference, b.ID, b.Reference)
	}
}

func TestEveryTierSeesItsReports(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	want := map[string]int{city: 3, county: 3, town: 2, village: 1, other: 0, "330502001002": 0, "330500000001": 0}
	for _, division := range []string{village, town, county} {
		d.send(t, alone(division))
		d.pass(time.Minute)
	}
	for division, n := range want {
		page, _, err := d.List(t.Context(), division, reports.StateNew, "", 0)
		must(t, err)
		if len(page) != n {
			t.Errorf("%s lists %d, want %d", division, len(page), n)
		}
		for i := 1; i < len(page); i++ {
			if page[i].CreatedMs < page[i-1].CreatedMs {
				t.Error("the one that waits longest is not first")
			}
		}
		if fresh, _, err := d.Count(t.Context(), division); err != nil || fresh != n {
			t.Errorf("%s counts %d, %v", division, fresh, err)
		}
	}
	if _, _, err := d.List(t.Context(), "33", reports.StateNew, "", 0); err == nil {
		t.Error("no division lists something")
	}
}

// A village's report is overdue after a day for the village and the town, a
// day later for the county; never once it is taken.
func TestOverdueClimbs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := d.send(t, alone(village))
	for _, x := range []struct {
		after                         time.Duration
		village, town, county, cities bool
	}{
		{24 * time.Hour, false, false, false, false},
		{24*time.Hour + time.Second, true, true, false, false},
		{48*time.Hour + time.Second, true, true, true, false},
		{72*time.Hour + time.Second, true, true, true, true},
	} {
		now := time.UnixMilli(d.now.Load()).Add(x.after)
		got := [4]bool{r.Overdue(now, village), r.Overdue(now, town), r.Overdue(now, county), r.Overdue(now, city)}
		if got != [4]bool{x.village, x.town, x.county, x.cities} {
			t.Errorf("after %v: %v", x.after, got)
		}
	}
	d.pass(30 * time.Hour)
	if _, overdue, err := d.Count(t.Context(), town); err != nil || overdue != 1 {
		t.Errorf("the town counts %d overdue, %v", overdue, err)
	}
	if _, overdue, err := d.Count(t.Context(), county); err != nil || overdue != 0 {
		t.Errorf("the county counts %d overdue, %v", overdue, err)
	}
	taken, err := d.Change(t.Context(), r.ID, reports.Change{By: "worker", To: reports.StateTaken})
	must(t, err)
	if taken.Overdue(time.UnixMilli(d.now.Load()).Add(1000*time.Hour), village) {
		t.Error("taken and overdue")
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	close := reports.Change{By: "one", To: reports.StateClosed, Outcome: reports.NotFound}
	for _, way := range [][]reports.Change{
		{close},
		{{By: "one", To: reports.StateTaken}, close},
		{{By: "one", To: reports.StateTaken}, {By: "one", To: reports.StateTaken}, {By: "one", To: reports.StateVisited}, close, close},
		{{By: "one", To: reports.StateTaken}, {By: "two", To: reports.StateTaken, Over: true}, {By: "two", To: reports.StateVisited}, close},
	} {
		r := d.send(t, alone(village))
		for _, c := range way {
			d.pass(time.Minute)
			got, err := d.Change(ctx, r.ID, c)
			if err != nil || got.State != c.To || got.TakenBy != c.By {
				t.Fatalf("%+v: %+v, %v", c, got, err)
			}
		}
		got, err := d.Get(ctx, r.ID)
		must(t, err)
		steps := map[reports.State]bool{}
		for _, h := range got.History {
			steps[h.To] = true
		}
		if last := got.History[len(got.History)-1]; last.By != "one" || last.To != reports.StateClosed || !steps[reports.StateNew] || got.ClosedMs == 0 {
			t.Errorf("history %+v", got.History)
		}
	}
	r := d.send(t, alone(village))
	for _, c := range []struct {
		change reports.Change
		want   error
	}{
		{reports.Change{By: "one", To: reports.StateVisited}, reports.ErrState},
		{reports.Change{By: "one", To: reports.StateTaken}, nil},
		{reports.Change{By: "two", To: reports.StateTaken}, reports.ErrTaken},
		{reports.Change{By: "one", To: reports.StateVisited}, nil},
		{reports.Change{By: "one", To: reports.StateTaken}, reports.ErrState},
		{close, nil},
		{reports.Change{By: "one", To: reports.StateTaken, Over: true}, reports.ErrState},
		{reports.Change{By: "one", To: reports.StateClosed, Outcome: reports.Helped}, reports.ErrState},
	} {
		if _, err := d.Change(ctx, r.ID, c.change); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%+v: %v, want %v", c.change, err, c.want)
		}
	}
	for field, c := range map[string]reports.Change{
		"state":   {By: "one", To: reports.StateNew},
		"outcome": {By: "one", To: reports.StateClosed},
		"note":    {By: "one", To: reports.StateClosed, Outcome: reports.Helped, Note: strings.Repeat("字", 501)},
	} {
		var at *reports.FieldError
		if _, err := d.Change(ctx, r.ID, c); !errors.As(err, &at) || at.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := d.Change(ctx, "nothing", close); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown report: %v", err)
	}
}

// Of two who take a report at the same moment, one does.
func TestTakenByOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := d.send(t, alone(village))
	var won atomic.Int64
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			_, err := d.Change(t.Context(), r.ID, reports.Change{By: fmt.Sprint("worker", i), To: reports.StateTaken})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, reports.ErrTaken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d took it", won.Load())
	}
}

func TestByReference(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := d.send(t, alone(village))
	for _, said := range []string{r.Reference, r.Reference[:4] + " " + r.Reference[4:], r.Reference[:4] + "-" + r.Reference[4:]} {
		if got, err := d.ByReference(t.Context(), said); err != nil || got.ID != r.ID {
			t.Errorf("%s: %v", said, err)
		}
	}
	if _, err := d.ByReference(t.Context(), "00000000"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody's number: %v", err)
	}
}

// Two years after a report was closed its words go; that it was there stays.
func TestWordsAreDeletedAfterTwoYears(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	open, closed := d.send(t, alone(village)), d.send(t, alone(village))
	_, err := d.Change(ctx, closed.ID, reports.Change{By: "one", To: reports.StateClosed, Outcome: reports.Helped, Note: "说明"})
	must(t, err)
	d.pass(reports.KeptFor - time.Hour)
	if n, err := d.Forget(ctx); n != 0 || err != nil {
		t.Errorf("too early: %d, %v", n, err)
	}
	d.pass(2 * time.Hour)
	for i, want := range []int{1, 0} {
		if n, err := d.Forget(ctx); n != want || err != nil {
			t.Errorf("sweep %d: %d, %v", i, n, err)
		}
	}
	closed, err = d.Get(ctx, closed.ID)
	must(t, err)
	if w, err := d.Open(closed); err != nil || w != (reports.Words{}) || !closed.WordsDeleted || closed.Outcome != reports.Helped || len(closed.History) != 2 {
		t.Errorf("%+v, %+v, %v", closed, w, err)
	}
	open, err = d.Get(ctx, open.ID)
	must(t, err)
	if w, err := d.Open(open); err != nil || w.Text == "" {
		t.Errorf("an open report lost its words: %+v, %v", w, err)
	}
}
