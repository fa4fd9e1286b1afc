package storetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/xingfuma/happycode/app/store"
)

// receipts is a second collection.
func receipts() store.Schema {
	return store.Schema{Name: "receipts", Indexes: []store.Index{{Name: "badge", Fields: []string{"badge"}, Unique: true}}}
}

// writeSteps: a step's additions are inserted when its own document is written,
// and only then.
func writeSteps(t *testing.T, r store.Record, c parcels) {
	if err := r.Ensure(t.Context(), receipts()); err != nil {
		t.Fatal(err)
	}
	second := store.Of[Parcel](r, receipts())
	mustInsert(t, c, many(0, 3)...)
	mustInsert(t, second, parcel(90))
	known, stale, gone := parcel(0), parcel(1), parcel(50)
	known.V, stale.V, gone.V = 1, 7, 1
	known.Note, stale.Note = "changed", "never"
	fresh, double := parcel(10), parcel(2)
	receipt := func(n int) store.Addition { return store.Addition{Collection: second.Name, Doc: parcel(n)} }
	claimed := parcel(60) // its badge is taken
	claimed.Badge = parcel(90).Badge
	steps := []*store.Step{
		{Collection: c.Name, Doc: known, Then: []store.Addition{receipt(1), receipt(90), {Collection: second.Name, Doc: claimed}, receipt(2)}},
		{Collection: c.Name, Doc: stale, Then: []store.Addition{receipt(3)}},
		{Collection: c.Name, Doc: fresh, New: true, Then: []store.Addition{receipt(4), {Collection: c.Name, Doc: parcel(11)}}},
		{Collection: c.Name, Doc: double, New: true, Then: []store.Addition{receipt(5)}},
		{Collection: c.Name, Doc: gone, Then: []store.Addition{receipt(6)}},
		{Collection: second.Name, Doc: parcel(7), New: true},
	}
	if err := store.Write(t.Context(), r, steps); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, store.ErrConflict, nil, store.ErrDuplicate, store.ErrConflict, nil} {
		if got := steps[i].Err; !errors.Is(got, want) || want == nil && got != nil {
			t.Errorf("step %d: got %v, want %v", i, got, want)
		}
	}
	var there []bool
	for _, s := range steps {
		for _, a := range s.Then {
			there = append(there, a.There)
		}
	}
	if want := []bool{false, true, true, false, false, false, false, false, false}; !slices.Equal(there, want) {
		t.Errorf("there already: got %v, want %v", there, want)
	}
	if known.V != 2 || stale.V != 7 || fresh.V != 1 || double.V != 0 || steps[0].Then[0].Doc.Version() != 1 || claimed.V != 0 {
		t.Errorf("versions: %d, %d, %d, %d, %d, %d", known.V, stale.V, fresh.V, double.V, steps[0].Then[0].Doc.Version(), claimed.V)
	}
	if got, want := ids(pages(t, second, store.Query{Limit: 20})), []string{"p000001", "p000002", "p000004", "p000007", "p000090"}; !slices.Equal(got, want) {
		t.Errorf("receipts: got %v, want %v", got, want)
	}
	if got, want := ids(pages(t, c, store.Query{Limit: 20})), []string{"p000000", "p000001", "p000002", "p000010", "p000011"}; !slices.Equal(got, want) {
		t.Errorf("parcels: got %v, want %v", got, want)
	}
	if got, err := c.Get(t.Context(), known.ID); err != nil || got.Note != "changed" || got.V != 2 {
		t.Errorf("stored: got %+v, %v", got, err)
	}
	if got, err := c.Get(t.Context(), stale.ID); err != nil || got.Note != "" || got.V != 1 {
		t.Errorf("stored: got %+v, %v", got, err)
	}
	// Again: nothing is there twice, and nothing new comes of it.
	steps[0].Doc.SetVersion(1)
	if err := store.Write(t.Context(), r, steps); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{store.ErrConflict, store.ErrConflict, store.ErrDuplicate, store.ErrDuplicate, store.ErrConflict, store.ErrDuplicate} {
		if got := steps[i].Err; !errors.Is(got, want) {
			t.Errorf("again, step %d: got %v, want %v", i, got, want)
		}
	}
	if err := store.Write(t.Context(), r, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if err := store.Write(t.Context(), r, []*store.Step{{Collection: "nowhere", Doc: parcel(70), New: true}}); err == nil {
		t.Error("a collection that was not declared: no error")
	}
	// More than one transaction takes.
	many := make([]*store.Step, 300)
	for i := range many {
		many[i] = &store.Step{Collection: c.Name, Doc: parcel(1000 + i), New: true, Then: []store.Addition{receipt(1000 + i), receipt(2000 + i)}}
	}
	if err := store.Write(t.Context(), r, many); err != nil {
		t.Fatal(err)
	}
	for _, s := range many {
		if s.Err != nil || s.Then[0].There || s.Then[1].There {
			t.Fatalf("%s: %v, additions there %v, %v", s.Doc.Key(), s.Err, s.Then[0].There, s.Then[1].There)
		}
	}
	if got := len(pages(t, second, store.Query{Limit: 1000})); got != 605 {
		t.Errorf("%d receipts, want 605", got)
	}
}
