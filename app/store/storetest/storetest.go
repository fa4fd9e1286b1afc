// Package storetest holds every implementation of the record to the same
// behaviour.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/app/store"
)

// State is a named string, as stored documents use them.
type State string

// Parcel is the document that the suite stores.
type Parcel struct {
	store.Meta `bson:",inline"`

	County string `json:"county"`
	State  State  `json:"state"`
	AtMs   int64  `json:"at_ms"`
	Urgent bool   `json:"urgent"`
	Badge  string `json:"badge"`
	Serial int64  `json:"serial"`
	Rank   int    `json:"rank"`

	Note   string           `json:"note,omitempty"`
	Big    int64            `json:"big"`
	Small  int64            `json:"small"`
	Weight int              `json:"weight"`
	Share  float64          `json:"share"`
	Level  byte             `json:"level"`
	Seal   []byte           `json:"seal,omitempty"`
	Tags   []string         `json:"tags,omitempty"`
	Counts map[string]int64 `json:"counts,omitempty"`
	Steps  []Step           `json:"steps,omitempty"`
	Last   Step             `json:"last"`
	Maybe  *Step            `json:"maybe,omitempty"`
}

// Step is a nested value.
type Step struct {
	AtMs int64             `json:"at_ms"`
	By   string            `json:"by"`
	Why  map[string]string `json:"why,omitempty"`
}

// Parcels is the collection of [Parcel].
func Parcels() store.Schema {
	return store.Schema{Name: "parcels", Indexes: []store.Index{
		{Name: "county", Fields: []string{"county", "at_ms"}},
		{Name: "urgent", Fields: []string{"urgent", "state", "rank"}},
		{Name: "big", Fields: []string{"big"}},
		{Name: "badge", Fields: []string{"badge"}, Unique: true},
		{Name: "serial", Fields: []string{"county", "serial"}, Unique: true},
	}}
}

// Allowance is what the suite concedes to a server that only stands in for
// the real one.
type Allowance struct {
	// Unnamed: what a unique index forbids is not written, as it should, but
	// for a replace and a new index the error is not the index's.
	Unnamed bool
	// Small: no index serves the finds, so the collections are kept small.
	Small bool
}

// Run holds the records that open gives to the port; each is empty, and is
// closed by open's own clean-up.
func Run(t *testing.T, open func(t *testing.T) store.Record) {
	RunAllowing(t, Allowance{}, open)
}

// RunAllowing is [Run] with concessions.
func RunAllowing(t *testing.T, a Allowance, open func(t *testing.T) store.Record) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Record, parcels)
	}{
		{"RoundTrip", roundTrip},
		{"GetKeepsTheOrderOfIDs", getOrder},
		{"InsertNamesDuplicates", insertDuplicates},
		{"InsertRace", insertRace},
		{"ReplaceComparesVersions", replaceVersions},
		{"ReplaceHasOneWinner", replaceWinner},
		{"ReplaceKeepsUniqueIndexes", a.replaceUnique},
		{"CountsExactlyUnderRace", countRace},
		{"WriteSteps", writeSteps},
		{"Delete", deletes},
		{"FindOrder", findOrder},
		{"FindRange", findRange},
		{"FindUniqueIndex", findUnique},
		{"FindResumesOverTies", findTies},
		{"FindResumesWhileWritesHappen", a.findMoving},
		{"FindAgainstAModel", a.findModel},
		{"FindExtremes", findExtremes},
		{"FindLimits", findLimits},
		{"FindRefusesForeignMarks", findCursors},
		{"RefusesWhatDoesNotFit", refusals},
		{"EnsureTwiceAndMore", a.ensureMore},
		{"SparseIndex", sparse},
		{"ManyAtOnce", a.manyAtOnce},
		{"ContextEnds", contextEnds},
		{"Close", closes},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			if err := r.Ensure(t.Context(), Parcels()); err != nil {
				t.Fatal(err)
			}
			if err := r.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.test(t, r, store.Of[Parcel](r, Parcels()))
		})
	}
}

type parcels = store.Collection[Parcel, *Parcel]

// parcel is a valid document; n makes its unique values.
func parcel(n int) *Parcel {
	return &Parcel{Meta: store.Meta{ID: fmt.Sprintf("p%06d", n)}, County: "330502000000", State: "open", AtMs: int64(n), Badge: fmt.Sprintf("b%d", n), Serial: int64(n)}
}

func many(from, to int) []*Parcel {
	var out []*Parcel
	for n := from; n < to; n++ {
		out = append(out, parcel(n))
	}
	return out
}

func mustInsert(t *testing.T, c parcels, docs ...*Parcel) {
	t.Helper()
	dups, err := c.InsertAll(t.Context(), docs)
	if err != nil || len(dups) > 0 {
		t.Fatalf("insert: duplicates %v, error %v", dups, err)
	}
}

func ids(docs []*Parcel) []string {
	out := make([]string, len(docs))
	for i, d := range docs {
		out[i] = d.ID
	}
	return out
}

// pages reads a query to its end.
func pages(t *testing.T, c parcels, q store.Query) []*Parcel {
	t.Helper()
	var out []*Parcel
	for {
		page, next, err := c.Find(t.Context(), q)
		if err != nil {
			t.Fatalf("find %+v: %v", q, err)
		}
		out = append(out, page...)
		if next == "" {
			return out
		}
		if len(page) != q.Limit {
			t.Fatalf("find %+v: a page of %d has a next", q, len(page))
		}
		q.After = next
	}
}

func roundTrip(t *testing.T, _ store.Record, c parcels) {
	strange := []string{
		"", "幸福码", "𠮷野家 👩‍👩‍👧‍👦 é e\u0301", "\u2028\u2029\ufeff\ufffd", "<script>&amp;\"'\\/\b\f\n\r\t</script>",
		"\x01\x1f\x7f\u0080", "$where", "a.b.$c", "null", strings.Repeat("长", 20000),
	}
	var all []rune
	for r := rune(1); r <= 0x10ffff; r += 1 + r/64 {
		if r < 0xd800 || r > 0xdfff {
			all = append(all, r)
		}
	}
	strange = append(strange, string(all))
	for i, s := range strange {
		want := parcel(i + 1)
		want.ID = fmt.Sprintf("p-%d-%.40s", i, s)
		want.Note, want.County, want.Badge = s, s, s+"!"
		want.Big, want.Small, want.Weight = math.MaxInt64, math.MinInt64, math.MinInt32
		want.Share, want.Level, want.Urgent = 0.1, 255, true
		want.Seal = []byte{0, 1, 254, 255}
		want.Tags = []string{s, "b"}
		want.Counts = map[string]int64{"max": math.MaxInt64, "min": math.MinInt64, "exact": 1<<53 + 1}
		want.Steps = []Step{{1, s, map[string]string{"zh": s}}, {AtMs: -1}}
		want.Last = Step{AtMs: 1 << 60, By: s}
		want.Maybe = &Step{By: "x"}
		if err := c.Insert(t.Context(), want); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want.V != 1 {
			t.Errorf("version after insert: got %d, want 1", want.V)
		}
		got, err := c.Get(t.Context(), want.ID)
		if err != nil {
			t.Fatalf("%.40q: %v", s, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%.40q:\n got %.600v\nwant %.600v", s, got, want)
		}
		found, _, err := c.Find(t.Context(), store.Query{Index: "badge", Equal: []any{want.Badge}})
		if err != nil || len(found) != 1 || found[0].ID != want.ID {
			t.Errorf("%.40q by badge: got %v, %v", s, ids(found), err)
		}
	}
	zero := &Parcel{Meta: store.Meta{ID: "zero"}}
	mustInsert(t, c, zero)
	got, err := c.Get(t.Context(), "zero")
	if err != nil || !reflect.DeepEqual(got, zero) {
		t.Errorf("zero document: got %+v, %v", got, err)
	}
}

func getOrder(t *testing.T, r store.Record, c parcels) {
	mustInsert(t, c, many(0, 10)...)
	want := []string{"p000007", "absent", "p000001", "p000007", "p000000"}
	docs, err := r.Get(t.Context(), c.Name, want, func() store.Document { return new(Parcel) })
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range docs {
		switch {
		case want[i] == "absent" && d != nil:
			t.Errorf("absent: got %v", d)
		case want[i] != "absent" && (d == nil || d.Key() != want[i]):
			t.Errorf("%d: got %v, want %s", i, d, want[i])
		}
	}
	if docs[0] == docs[3] {
		t.Error("one document was given out twice")
	}
	if _, err := c.Get(t.Context(), "absent"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("absent: got %v, want ErrNotFound", err)
	}
	if docs, err := r.Get(t.Context(), c.Name, nil, nil); err != nil || len(docs) != 0 {
		t.Errorf("no ids: got %v, %v", docs, err)
	}
}

func insertDuplicates(t *testing.T, _ store.Record, c parcels) {
	mustInsert(t, c, parcel(1), parcel(2), parcel(3))
	sameID := parcel(10)
	sameID.ID = "p000001"
	sameBadge := parcel(11)
	sameBadge.Badge = "b2"
	sameSerial := parcel(12)
	sameSerial.Serial = 3
	sameSerialElsewhere := parcel(13)
	sameSerialElsewhere.Serial, sameSerialElsewhere.County = 3, "330503000000"
	sameAll := parcel(1)
	docs := []*Parcel{
		parcel(20), sameID, parcel(21), sameBadge, sameSerial, sameSerialElsewhere, sameAll,
		parcel(21), // within the call, by id
		{Meta: store.Meta{ID: "other"}, Badge: "b20", Serial: 99}, // within the call, by badge
		parcel(22),
	}
	got, err := c.InsertAll(t.Context(), docs)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b store.Duplicate) int { return a.Position - b.Position })
	want := []store.Duplicate{leftOut(1, "p000001", ""), leftOut(3, "p000011", "badge"), leftOut(4, "p000012", "serial"), leftOut(6, "p000001", ""), leftOut(7, "p000021", ""), leftOut(8, "other", "badge")}
	if !slices.Equal(got, want) {
		t.Errorf("duplicates:\n got %v\nwant %v", got, want)
	}
	if got, want := ids(pages(t, c, store.Query{Limit: 100})), []string{"p000001", "p000002", "p000003", "p000013", "p000020", "p000021", "p000022"}; !slices.Equal(got, want) {
		t.Errorf("stored: got %v, want %v", got, want)
	}
	for i, d := range docs {
		left := slices.ContainsFunc(want, func(d store.Duplicate) bool { return d.Position == i })
		if left == (d.V == 1) {
			t.Errorf("%d: version %d, left out %v", i, d.V, left)
		}
	}
	if err := c.Insert(t.Context(), parcel(1)); !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("insert of one: got %v, want ErrDuplicate", err)
	}
	kept, err := c.Get(t.Context(), "p000001")
	if err != nil || kept.Serial != 1 || kept.V != 1 {
		t.Errorf("the document that was there: got %+v, %v", kept, err)
	}
	if dups, err := c.InsertAll(t.Context(), nil); err != nil || dups != nil {
		t.Errorf("nothing: got %v, %v", dups, err)
	}
}

// insertRace lets many callers insert the same ids and the same unique values:
// each id and each value has exactly one winner.
func insertRace(t *testing.T, _ store.Record, c parcels) {
	const callers, docs = 16, 40
	var mu sync.Mutex
	won := map[string]int{}
	together(callers, func(g int) {
		var mine []*Parcel
		for n := range docs {
			byID := parcel(n)
			byID.Badge, byID.Serial = fmt.Sprintf("id-%d-%d", n, g), int64(1000+n*callers+g)
			byBadge := parcel(1000 + n*callers + g)
			byBadge.Badge, byBadge.Serial = fmt.Sprintf("shared-%d", n), int64(100000+n*callers+g)
			mine = append(mine, byID, byBadge)
		}
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		dups, err := c.InsertAll(context.Background(), mine)
		if err != nil {
			t.Error(err)
			return
		}
		left := map[int]bool{}
		for _, d := range dups {
			left[d.Position] = true
			if m := mine[d.Position]; m.ID != d.ID || (d.Index != "" && d.Index != "badge") || (d.Index == "badge") != strings.HasPrefix(m.Badge, "shared") {
				t.Errorf("duplicate %+v of %s with badge %s", d, m.ID, m.Badge)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for i, m := range mine {
			if !left[i] {
				if strings.HasPrefix(m.Badge, "shared") {
					won[m.Badge]++
				} else {
					won[m.ID]++
				}
			}
		}
	})
	if len(won) != 2*docs {
		t.Errorf("winners: got %d, want %d", len(won), 2*docs)
	}
	for k, n := range won {
		if n != 1 {
			t.Errorf("%s was won %d times", k, n)
		}
	}
	if got := len(pages(t, c, store.Query{Limit: 100})); got != 2*docs {
		t.Errorf("stored: got %d, want %d", got, 2*docs)
	}
}

func replaceVersions(t *testing.T, _ store.Record, c parcels) {
	mustInsert(t, c, many(0, 3)...)
	first, err := c.Get(t.Context(), "p000000")
	if err != nil {
		t.Fatal(err)
	}
	second := *first
	first.Note = "first"
	if err := c.Replace(t.Context(), first); err != nil || first.V != 2 {
		t.Fatalf("first: version %d, %v", first.V, err)
	}
	second.Note = "second"
	if err := c.Replace(t.Context(), &second); !errors.Is(err, store.ErrConflict) || second.V != 1 {
		t.Errorf("second: version %d, got %v, want ErrConflict", second.V, err)
	}
	first.Note = "again"
	if err := c.Replace(t.Context(), first); err != nil || first.V != 3 {
		t.Errorf("again: version %d, %v", first.V, err)
	}
	if got, err := c.Get(t.Context(), "p000000"); err != nil || got.Note != "again" || got.V != 3 {
		t.Errorf("stored: got %+v, %v", got, err)
	}
	gone := parcel(99)
	gone.V = 1
	if err := c.Replace(t.Context(), gone); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a document that is not there: got %v, want ErrConflict", err)
	}
	if _, err := c.Get(t.Context(), gone.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("replace made a document: %v", err)
	}
	// Some of many.
	good, stale := parcel(1), parcel(2)
	good.V, stale.V = 1, 7
	errs, err := c.ReplaceAll(t.Context(), []*Parcel{stale, good, gone})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(errs[0], store.ErrConflict) || errs[1] != nil || !errors.Is(errs[2], store.ErrConflict) || good.V != 2 || stale.V != 7 {
		t.Errorf("many: got %v, versions %d and %d", errs, good.V, stale.V)
	}
	// What is left out of a document is gone from the record.
	full, err := c.Get(t.Context(), "p000001")
	if err != nil {
		t.Fatal(err)
	}
	full.Tags, full.Maybe = []string{"x"}, &Step{By: "y"}
	if err := c.Replace(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	full.Tags, full.Maybe = nil, nil
	if err := c.Replace(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "p000001"); err != nil || !reflect.DeepEqual(got, full) {
		t.Errorf("got %+v, want %+v, %v", got, full, err)
	}
}

// replaceWinner lets many callers replace the same version: one wins.
func replaceWinner(t *testing.T, _ store.Record, c parcels) {
	const callers, rounds = 16, 20
	mustInsert(t, c, parcel(0))
	for round := range rounds {
		read, err := c.Get(t.Context(), "p000000")
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(round + 1); read.V != want {
			t.Fatalf("version: got %d, want %d", read.V, want)
		}
		winners := make([]bool, callers)
		together(callers, func(g int) {
			mine := *read
			mine.Rank = round*callers + g
			switch err := c.Replace(context.Background(), &mine); {
			case err == nil:
				winners[g] = true
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		})
		n, who := 0, -1
		for g, won := range winners {
			if won {
				n, who = n+1, g
			}
		}
		got, err := c.Get(t.Context(), "p000000")
		if err != nil {
			t.Fatal(err)
		}
		if n != 1 || got.Rank != round*callers+who {
			t.Fatalf("round %d: %d winners, the last %d, stored %d", round, n, who, got.Rank)
		}
	}
}

func (a Allowance) replaceUnique(t *testing.T, _ store.Record, c parcels) {
	mustInsert(t, c, many(0, 3)...)
	d, err := c.Get(t.Context(), "p000000")
	if err != nil {
		t.Fatal(err)
	}
	d.Badge = "b1"
	err = c.Replace(t.Context(), d)
	if named := errors.Is(err, store.ErrDuplicate); err == nil || !named && !a.Unnamed || d.V != 1 {
		t.Errorf("taken badge: version %d, got %v, want ErrDuplicate", d.V, err)
	}
	if got, err := c.Get(t.Context(), d.ID); err != nil || got.Badge != "b0" || got.V != 1 {
		t.Errorf("taken badge: stored %+v, %v", got, err)
	}
	d.Badge = "new"
	if err := c.Replace(t.Context(), d); err != nil {
		t.Errorf("free badge: %v", err)
	}
	// The old value is free for another.
	e := parcel(9)
	e.Badge = "b0"
	mustInsert(t, c, e)
	e.Note = "same badge, other note"
	if err := c.Replace(t.Context(), e); err != nil {
		t.Errorf("own badge: %v", err)
	}
}

// countRace is the record's oversell race: many callers add to few documents.
func countRace(t *testing.T, _ store.Record, c parcels) {
	const callers, adds, docs = 12, 25, 3
	mustInsert(t, c, many(0, docs)...)
	together(callers, func(g int) {
		for n := range adds {
			_, err := c.Change(context.Background(), parcel((g+n)%docs).ID, func(p *Parcel) error {
				p.Rank++
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	sum := 0
	for _, p := range pages(t, c, store.Query{Limit: 10}) {
		if int64(p.Rank) != p.V-1 {
			t.Errorf("%s: %d adds but version %d", p.ID, p.Rank, p.V)
		}
		sum += p.Rank
	}
	if want := callers * adds; sum != want {
		t.Errorf("adds: got %d, want %d", sum, want)
	}
}

func deletes(t *testing.T, _ store.Record, c parcels) {
	mustInsert(t, c, many(0, 5)...)
	if err := c.Delete(t.Context(), "p000001", "absent", "p000003", "p000001"); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := ids(pages(t, c, store.Query{Limit: 10})), []string{"p000000", "p000002", "p000004"}; !slices.Equal(got, want) {
		t.Errorf("left: got %v, want %v", got, want)
	}
	gone := parcel(1)
	gone.V = 1
	if err := c.Replace(t.Context(), gone); !errors.Is(err, store.ErrConflict) {
		t.Errorf("replace of a deleted one: got %v, want ErrConflict", err)
	}
	again := parcel(1)
	mustInsert(t, c, again)
	if again.V != 1 {
		t.Errorf("version after delete and insert: got %d, want 1", again.V)
	}
}

func findOrder(t *testing.T, _ store.Record, c parcels) {
	docs := many(0, 40)
	for i, d := range docs {
		d.AtMs = int64(i*7) % 40
		d.County = []string{"330502000000", "330503000000"}[i%2]
	}
	mustInsert(t, c, docs...)
	for _, county := range []string{"330502000000", "330503000000"} {
		for _, desc := range []bool{false, true} {
			var want []*Parcel
			for _, d := range docs {
				if d.County == county {
					want = append(want, d)
				}
			}
			slices.SortFunc(want, func(a, b *Parcel) int { return int(a.AtMs - b.AtMs) })
			if desc {
				slices.Reverse(want)
			}
			got := pages(t, c, store.Query{Index: "county", Equal: []any{county}, Limit: 7, Desc: desc})
			if !slices.Equal(ids(got), ids(want)) {
				t.Errorf("desc %v: got %v, want %v", desc, ids(got), ids(want))
			}
		}
	}
	if got := pages(t, c, store.Query{Index: "county", Equal: []any{"absent"}, Limit: 7}); len(got) != 0 {
		t.Errorf("absent county: got %v", ids(got))
	}
	// Equal over all fields leaves the id as the order.
	if got, want := pages(t, c, store.Query{Index: "county", Equal: []any{"330502000000", 14}, From: "p", Limit: 7}), []string{"p000002"}; !slices.Equal(ids(got), want) {
		t.Errorf("all fields equal: got %v, want %v", ids(got), want)
	}
	var byID []string
	for _, d := range docs {
		byID = append(byID, d.ID)
	}
	slices.Reverse(byID)
	if got := ids(pages(t, c, store.Query{Desc: true, Limit: 9})); !slices.Equal(got, byID) {
		t.Errorf("by id downwards: got %v", got)
	}
	if got, want := ids(pages(t, c, store.Query{From: "p000003", To: "p000006", Limit: 2})), []string{"p000003", "p000004", "p000005"}; !slices.Equal(got, want) {
		t.Errorf("by id in a range: got %v, want %v", got, want)
	}
}

func findRange(t *testing.T, _ store.Record, c parcels) {
	mustInsert(t, c, many(0, 50)...)
	const county = "330502000000"
	for _, q := range []struct {
		from, to any
		want     []int64 // first and last; none when nil
	}{
		{nil, nil, []int64{0, 49}},
		{int64(10), nil, []int64{10, 49}},
		{nil, int64(10), []int64{0, 9}},
		{int64(10), int64(20), []int64{10, 19}},
		{int64(10), int64(10), nil},
		{int64(20), int64(10), nil},
		{int64(49), nil, []int64{49, 49}},
		{int64(50), nil, nil},
		{int64(-5), int64(1), []int64{0, 0}},
	} {
		for _, desc := range []bool{false, true} {
			var want []int64
			if q.want != nil {
				for n := q.want[0]; n <= q.want[1]; n++ {
					want = append(want, n)
				}
			}
			if desc {
				slices.Reverse(want)
			}
			for _, limit := range []int{1, 3, 50} {
				var got []int64
				for _, p := range pages(t, c, store.Query{Index: "county", Equal: []any{county}, From: q.from, To: q.to, Desc: desc, Limit: limit}) {
					got = append(got, p.AtMs)
				}
				if !slices.Equal(got, want) {
					t.Errorf("[%v, %v) desc %v limit %d: got %v, want %v", q.from, q.to, desc, limit, got, want)
				}
			}
		}
	}
	// A range over the first field, and over strings.
	if got := pages(t, c, store.Query{Index: "county", From: "330502", To: "330503", Limit: 20}); len(got) != 50 {
		t.Errorf("prefix: got %d, want 50", len(got))
	}
	if got := pages(t, c, store.Query{Index: "county", From: "330503", Limit: 20}); len(got) != 0 {
		t.Errorf("other prefix: got %d, want 0", len(got))
	}
}

func findUnique(t *testing.T, _ store.Record, c parcels) {
	docs := many(0, 30)
	for i, d := range docs {
		d.Serial = int64(i*11) % 30
	}
	mustInsert(t, c, docs...)
	for _, desc := range []bool{false, true} {
		var got []int64
		for _, p := range pages(t, c, store.Query{Index: "serial", Equal: []any{"330502000000"}, Limit: 4, Desc: desc}) {
			got = append(got, p.Serial)
		}
		var want []int64
		for n := range int64(30) {
			want = append(want, n)
		}
		if desc {
			slices.Reverse(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("desc %v: got %v", desc, got)
		}
	}
	got := pages(t, c, store.Query{Index: "serial", Equal: []any{"330502000000", int64(22)}, Limit: 4})
	if want := []string{"p000002"}; !slices.Equal(ids(got), want) {
		t.Errorf("one: got %v, want %v", ids(got), want)
	}
}

func findTies(t *testing.T, _ store.Record, c parcels) {
	docs := many(0, 60)
	for i, d := range docs {
		d.AtMs = int64(i % 3)
		d.Urgent = i%2 == 0
		d.State = State([]string{"open", "waiting"}[i%5%2])
		d.Rank = -(i % 4)
	}
	mustInsert(t, c, docs...)
	for _, index := range []string{"county", "urgent"} {
		for _, desc := range []bool{false, true} {
			for _, limit := range []int{1, 2, 7, 60} {
				got := pages(t, c, store.Query{Index: index, Limit: limit, Desc: desc})
				want := slices.Clone(docs)
				slices.SortFunc(want, func(a, b *Parcel) int { return compare(index, a, b) })
				if desc {
					slices.Reverse(want)
				}
				if !slices.Equal(ids(got), ids(want)) {
					t.Errorf("%s desc %v limit %d:\n got %v\nwant %v", index, desc, limit, ids(got), ids(want))
				}
			}
		}
	}
}

// compare is the order of an index, the id last.
func compare(index string, a, b *Parcel) int {
	number := func(x bool) int {
		if x {
			return 1
		}
		return 0
	}
	c := 0
	switch index {
	case "county":
		if c = strings.Compare(a.County, b.County); c == 0 {
			c = sign(a.AtMs, b.AtMs)
		}
	case "urgent":
		if c = number(a.Urgent) - number(b.Urgent); c == 0 {
			if c = strings.Compare(string(a.State), string(b.State)); c == 0 {
				c = a.Rank - b.Rank
			}
		}
	case "big":
		c = sign(a.Big, b.Big)
	}
	if c == 0 {
		c = strings.Compare(a.ID, b.ID)
	}
	return c
}

func sign(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// findMoving pages through documents while others come and go: each that was
// there all the time is seen exactly once.
func (a Allowance) findMoving(t *testing.T, _ store.Record, c parcels) {
	stay := many(0, 120)
	for i, d := range stay {
		d.AtMs = int64(i / 10)
	}
	mustInsert(t, c, stay...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				d := parcel(1000 + g*100000 + n)
				d.ID = fmt.Sprintf("p%06d+%d", n%120, g*100000+n)
				d.AtMs = int64(n % 12)
				if _, err := c.InsertAll(context.Background(), []*Parcel{d}); err != nil {
					t.Error(err)
					return
				}
				if n%2 == 0 {
					if err := c.Delete(context.Background(), d.ID); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	rounds := 6
	if a.Small {
		rounds = 2
	}
	for round := range rounds {
		seen := map[string]int{}
		var all []*Parcel
		q := store.Query{Index: "county", Equal: []any{"330502000000"}, Limit: 7, Desc: round%2 == 1}
		// The movers are faster than one page at a time only behind the mark
		// or ahead of it for a while; a bound keeps the walk finite.
		for range 2000 {
			page, next, err := c.Find(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page...)
			if q.After = next; next == "" {
				break
			}
		}
		if q.After != "" {
			t.Fatal("the pages do not end")
		}
		for i, d := range all {
			seen[d.ID]++
			if i == 0 {
				continue
			}
			if c := compare("county", all[i-1], d); c == 0 || (c > 0) != q.Desc {
				t.Errorf("%s before %s", all[i-1].ID, d.ID)
			}
		}
		for _, d := range stay {
			if seen[d.ID] != 1 {
				t.Errorf("round %d: %s was seen %d times", round, d.ID, seen[d.ID])
			}
		}
	}
	close(stop)
	wg.Wait()
}

// findModel compares random queries with a sorted slice.
func (a Allowance) findModel(t *testing.T, _ store.Record, c parcels) {
	rng := rand.New(rand.NewPCG(1, 2))
	docs, queries := many(0, 150), 60
	if a.Small {
		docs, queries = many(0, 60), 30
	}
	for _, d := range docs {
		d.County = fmt.Sprintf("33050%d000000", rng.IntN(3))
		d.AtMs = int64(rng.IntN(8) - 4)
		d.Urgent = rng.IntN(2) == 0
		d.State = State([]string{"", "open", "等待", "waiting"}[rng.IntN(4)])
		d.Rank = rng.IntN(5) - 2
	}
	rng.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	mustInsert(t, c, docs...)
	for range queries {
		a, b := docs[rng.IntN(len(docs))], docs[rng.IntN(len(docs))]
		q := store.Query{Index: []string{"county", "urgent"}[rng.IntN(2)], Desc: rng.IntN(2) == 0, Limit: 1 + rng.IntN(40)}
		values := func(p *Parcel) []any {
			if q.Index == "county" {
				return []any{p.County, p.AtMs, p.ID}
			}
			return []any{p.Urgent, p.State, p.Rank, p.ID}
		}
		equal := rng.IntN(len(values(a)))
		q.Equal = values(a)[:equal]
		if rng.IntN(2) == 0 {
			q.From = values(a)[equal]
		}
		if rng.IntN(2) == 0 {
			q.To = values(b)[equal]
		}
		var want []*Parcel
		for _, d := range docs {
			v := values(d)
			if slices.Equal(v[:equal], q.Equal) && (q.From == nil || order(v[equal], q.From) >= 0) && (q.To == nil || order(v[equal], q.To) < 0) {
				want = append(want, d)
			}
		}
		slices.SortFunc(want, func(a, b *Parcel) int { return compare(q.Index, a, b) })
		if q.Desc {
			slices.Reverse(want)
		}
		if got := pages(t, c, q); !slices.Equal(ids(got), ids(want)) {
			t.Errorf("%+v:\n got %v\nwant %v", q, ids(got), ids(want))
		}
	}
}

func order(a, b any) int {
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case State:
		return strings.Compare(string(a), string(b.(State)))
	case int:
		return a - b.(int)
	case int64:
		return sign(a, b.(int64))
	case bool:
		switch {
		case a == b.(bool):
			return 0
		case a:
			return 1
		}
		return -1
	}
	panic(fmt.Sprintf("%T", a))
}

func findExtremes(t *testing.T, _ store.Record, c parcels) {
	numbers := []int64{math.MinInt64, math.MinInt64 + 1, -1 << 53, -1<<53 - 1, -1, 0, 1, 1<<53 - 1, 1 << 53, 1<<53 + 1, math.MaxInt64 - 1, math.MaxInt64}
	slices.Sort(numbers)
	for i, n := range numbers {
		d := parcel(i)
		d.Big = n
		mustInsert(t, c, d)
	}
	for _, desc := range []bool{false, true} {
		want := slices.Clone(numbers)
		if desc {
			slices.Reverse(want)
		}
		var got []int64
		for _, p := range pages(t, c, store.Query{Index: "big", Limit: 1, Desc: desc}) {
			got = append(got, p.Big)
		}
		if !slices.Equal(got, want) {
			t.Errorf("desc %v: got %v, want %v", desc, got, want)
		}
	}
	for i, n := range numbers {
		if got := pages(t, c, store.Query{Index: "big", Equal: []any{n}, Limit: 5}); len(got) != 1 || got[0].Big != n {
			t.Errorf("equal %d: got %d", n, len(got))
		}
		if got, want := len(pages(t, c, store.Query{Index: "big", From: n, Limit: 50})), len(numbers)-i; got != want {
			t.Errorf("from %d: got %d, want %d", n, got, want)
		}
		if got := len(pages(t, c, store.Query{Index: "big", To: n, Limit: 50})); got != i {
			t.Errorf("to %d: got %d, want %d", n, got, i)
		}
	}
}

func findLimits(t *testing.T, _ store.Record, c parcels) {
	mustInsert(t, c, many(0, 1005)...)
	for _, q := range []struct{ limit, want int }{{0, 100}, {1, 1}, {store.MaxPage, store.MaxPage}} {
		page, next, err := c.Find(t.Context(), store.Query{Index: "county", Limit: q.limit})
		if err != nil || len(page) != q.want || next == "" {
			t.Errorf("limit %d: got %d, next %q, %v", q.limit, len(page), next, err)
		}
	}
	for _, limit := range []int{-1, store.MaxPage + 1} {
		if _, _, err := c.Find(t.Context(), store.Query{Index: "county", Limit: limit}); !errors.Is(err, store.ErrQuery) {
			t.Errorf("limit %d: got %v, want ErrQuery", limit, err)
		}
	}
	// The last page has no next, also when it is full.
	page, next, err := c.Find(t.Context(), store.Query{Index: "county", From: nil, Equal: []any{"330502000000"}, To: int64(10), Limit: 10})
	if err != nil || len(page) != 10 || next != "" {
		t.Errorf("a full last page: got %d, next %q, %v", len(page), next, err)
	}
	n := 0
	if err := c.Each(t.Context(), store.Query{Index: "county"}, func(*Parcel) error { n++; return nil }); err != nil || n != 1005 {
		t.Errorf("each: got %d, %v", n, err)
	}
	stop := errors.New("stop")
	if err := c.Each(t.Context(), store.Query{}, func(*Parcel) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("each: got %v, want the visitor's error", err)
	}
}

func findCursors(t *testing.T, _ store.Record, c parcels) {
	mustInsert(t, c, many(0, 5)...)
	_, next, err := c.Find(t.Context(), store.Query{Index: "county", Limit: 2})
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	for name, q := range map[string]store.Query{
		"rubbish":        {Index: "county", After: "???"},
		"empty object":   {Index: "county", After: store.EncodeCursor(nil, "")},
		"no values":      {Index: "county", After: store.EncodeCursor(nil, "p000001")},
		"other index":    {Index: "serial", After: next},
		"other way":      {Index: "county", After: next, Desc: true},
		"by id":          {After: next},
		"cut":            {Index: "county", After: next[:len(next)-3]},
		"fewer in order": {Index: "county", Equal: []any{"330502000000"}, After: next},
	} {
		if _, _, err := c.Find(t.Context(), q); !errors.Is(err, store.ErrCursor) {
			t.Errorf("%s: got %v, want ErrCursor", name, err)
		}
	}
	for name, q := range map[string]store.Query{
		"no such index":  {Index: "colour"},
		"too many equal": {Index: "big", Equal: []any{int64(1), int64(2)}},
		"equal on ids":   {Equal: []any{"p000001"}},
		"a float":        {Index: "big", Equal: []any{1.5}},
		"a map":          {Index: "county", Equal: []any{map[string]any{"$ne": nil}}},
		"nil":            {Index: "county", Equal: []any{nil}},
		"a list":         {Index: "county", From: []string{"x"}},
	} {
		if _, _, err := c.Find(t.Context(), q); !errors.Is(err, store.ErrQuery) {
			t.Errorf("%s: got %v, want ErrQuery", name, err)
		}
	}
}

// leaky indexes a field that JSON leaves out when it is empty.
type leaky struct {
	store.Meta `bson:",inline"`

	Colour string `json:"colour,omitempty"`
}

func refusals(t *testing.T, r store.Record, c parcels) {
	for name, id := range map[string]string{"empty": "", "long": strings.Repeat("x", store.MaxID+1), "NUL": "a\x00b", "not UTF-8": "\xff"} {
		d := parcel(1)
		d.ID = id
		if err := c.Insert(t.Context(), d); !errors.Is(err, store.ErrDocument) {
			t.Errorf("%s id: got %v, want ErrDocument", name, err)
		}
	}
	big := parcel(1)
	big.Note = strings.Repeat("x", store.MaxDocument)
	if err := c.Insert(t.Context(), big); !errors.Is(err, store.ErrDocument) {
		t.Errorf("big document: got %v, want ErrDocument", err)
	}
	s := store.Schema{Name: "leaky", Indexes: []store.Index{{Name: "colour", Fields: []string{"colour"}}}}
	if err := r.Ensure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := store.Of[leaky](r, s).Insert(t.Context(), &leaky{Meta: store.Meta{ID: "a"}}); !errors.Is(err, store.ErrDocument) {
		t.Errorf("indexed field with omitempty: got %v, want ErrDocument", err)
	}
	if _, err := r.Insert(t.Context(), "undeclared", []store.Document{parcel(1)}); err == nil {
		t.Error("insert into a collection that was not declared: no error")
	}
	for _, s := range []store.Schema{
		{Name: ""}, {Name: "Ä"}, {Name: `x"; DROP TABLE parcels; --`},
		{Name: "a", Indexes: []store.Index{{Name: "x"}}},
		{Name: "a", Indexes: []store.Index{{Name: "x", Fields: []string{"$where"}}}},
		{Name: "a", Indexes: []store.Index{{Name: "x", Fields: []string{"b", "b"}}}},
		{Name: "a", Indexes: []store.Index{{Name: "x", Fields: []string{"b"}}, {Name: "x", Fields: []string{"c"}}}},
	} {
		if err := r.Ensure(t.Context(), s); err == nil {
			t.Errorf("ensure %+v: no error", s)
		}
	}
}

func (a Allowance) ensureMore(t *testing.T, r store.Record, c parcels) {
	mustInsert(t, c, many(0, 20)...)
	s := Parcels()
	for range 2 {
		if err := r.Ensure(t.Context(), s, store.Schema{Name: "others"}); err != nil {
			t.Fatal(err)
		}
	}
	s.Indexes = append(s.Indexes, store.Index{Name: "weight", Fields: []string{"weight", "serial"}}, store.Index{Name: "only", Fields: []string{"serial"}, Unique: true})
	if err := r.Ensure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := pages(t, c, store.Query{Index: "weight", Equal: []any{0}, From: 10, Limit: 3}); len(got) != 10 || got[0].Serial != 10 {
		t.Errorf("added index: got %v", ids(got))
	}
	d := parcel(30)
	d.Serial, d.County = 5, "330503000000"
	dups, err := c.InsertAll(t.Context(), []*Parcel{d})
	if want := []store.Duplicate{leftOut(0, "p000030", "only")}; err != nil || !slices.Equal(dups, want) {
		t.Errorf("added unique index: got %v, %v, want %v", dups, err, want)
	}
	s.Indexes = append(s.Indexes, store.Index{Name: "unlike", Fields: []string{"county"}, Unique: true})
	if err := r.Ensure(t.Context(), s); err == nil || !a.Unnamed && !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("unique index over equal values: got %v, want ErrDuplicate", err)
	}
	if got := pages(t, c, store.Query{Index: "county", Limit: 100}); len(got) != 20 {
		t.Errorf("afterwards: got %d documents, want 20", len(got))
	}
}

func (a Allowance) manyAtOnce(t *testing.T, r store.Record, c parcels) {
	n, half, stale := 2500, 1000, 1700
	if a.Small {
		n, half, stale = 620, 560, 600
	}
	docs := many(0, n)
	dups, err := c.InsertAll(t.Context(), append(slices.Clone(docs), parcel(3), parcel(n-100)))
	if want := []store.Duplicate{leftOut(n, "p000003", ""), leftOut(n+1, parcel(n-100).ID, "")}; err != nil || !slices.Equal(dups, want) {
		t.Fatalf("duplicates: got %v, %v, want %v", dups, err, want)
	}
	for _, d := range docs {
		d.Rank = 7
	}
	docs[stale].V = 9
	errs, err := c.ReplaceAll(t.Context(), docs[half:])
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if (err != nil) != (half+i == stale) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	var all []string
	for _, d := range docs {
		all = append(all, d.ID)
	}
	got, err := c.GetAll(t.Context(), all)
	if err != nil || len(got) != len(docs) {
		t.Fatalf("got %d, %v", len(got), err)
	}
	for i, d := range got {
		if d.ID != all[i] || (d.Rank == 7) != (i >= half && i != stale) {
			t.Fatalf("%d: got %s with rank %d", i, d.ID, d.Rank)
		}
	}
	if err := c.Delete(t.Context(), all[100:]...); err != nil {
		t.Fatal(err)
	}
	if got := pages(t, c, store.Query{Limit: 1000}); len(got) != 100 {
		t.Errorf("left: got %d, want 100", len(got))
	}
}

// contextEnds lets callers leave in the middle of others' writes.
func contextEnds(t *testing.T, _ store.Record, c parcels) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Insert(over, parcel(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("insert: got %v, want context.Canceled", err)
	}
	if _, err := c.Get(over, "p000000"); !errors.Is(err, context.Canceled) {
		t.Errorf("get: got %v, want context.Canceled", err)
	}
	const callers, writes = 8, 20
	together(callers, func(g int) {
		for n := range writes {
			id := 1000 + g*writes + n
			if g%2 == 0 {
				if err := c.Insert(context.Background(), parcel(id)); err != nil {
					t.Error(err)
				}
				continue
			}
			ctx, cancel := context.WithCancel(context.Background())
			go cancel()
			_ = c.Insert(ctx, parcel(id)) // may have been written or not
		}
	})
	for g := 0; g < callers; g += 2 {
		for n := range writes {
			if _, err := c.Get(t.Context(), parcel(1000+g*writes+n).ID); err != nil {
				t.Error(err)
			}
		}
	}
}

func closes(t *testing.T, r store.Record, c parcels) {
	mustInsert(t, c, parcel(0))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, find := c.Get(ctx, "p000000")
	_, _, page := c.Find(ctx, store.Query{})
	for name, err := range map[string]error{
		"insert":  c.Insert(ctx, parcel(1)),
		"replace": c.Replace(ctx, parcel(0)),
		"delete":  c.Delete(ctx, "p000000"),
		"ensure":  r.Ensure(ctx, Parcels()),
		"ping":    r.Ping(ctx),
		"get":     find,
		"find":    page,
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

func together(n int, run func(g int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for g := range n {
		wg.Go(func() {
			<-start
			run(g)
		})
	}
	close(start)
	wg.Wait()
}

func leftOut(position int, id, index string) store.Duplicate {
	return store.Duplicate{Position: position, ID: id, Index: index}
}
