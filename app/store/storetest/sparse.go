package storetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/xingfuma/happycode/app/store"
)

// Late is an index that needs only the parcels that have a rank.
func Late() store.Index {
	return store.Index{Name: "late", Fields: []string{"state", "rank"}, Sparse: "rank"}
}

// sparse: an index that was full becomes sparse, and one goes; documents enter and
// leave it as they are written.
func sparse(t *testing.T, r store.Record, c parcels) {
	s := Parcels()
	s.Indexes = append(s.Indexes, store.Index{Name: "late", Fields: []string{"state", "rank"}}, store.Index{Name: "old", Fields: []string{"weight"}})
	if err := r.Ensure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	docs := many(0, 9)
	for i, d := range docs {
		d.Rank = i % 3
	}
	mustInsert(t, c, docs...)
	s = Parcels()
	s.Indexes, s.Gone = append(s.Indexes, Late()), []string{"old"}
	for range 2 {
		if err := r.Ensure(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	late := store.Query{Index: "late", Equal: []any{"open"}, From: 1, Limit: 2}
	if got, want := ids(pages(t, c, late)), []string{"p000001", "p000004", "p000007", "p000002", "p000005", "p000008"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	docs[0].Rank, docs[1].Rank, docs[2].Rank = 9, 0, 1
	if errs, err := c.ReplaceAll(t.Context(), docs[:3]); err != nil || errors.Join(errs...) != nil {
		t.Fatal(err, errs)
	}
	late.Desc = true
	if got, want := ids(pages(t, c, late)), []string{"p000000", "p000008", "p000005", "p000007", "p000004", "p000002"}; !slices.Equal(got, want) {
		t.Errorf("after writes: got %v, want %v", got, want)
	}
	for what, q := range map[string]store.Query{
		"no bound":     {Index: "late", Equal: []any{"open"}},
		"from nothing": {Index: "late", Equal: []any{"open"}, From: 0},
		"nothing":      {Index: "late", Equal: []any{"open", 0}},
		"all states":   {Index: "late"},
		"gone":         {Index: "old", Equal: []any{0}},
	} {
		if _, _, err := c.Find(t.Context(), q); !errors.Is(err, store.ErrQuery) {
			t.Errorf("%s: got %v, want ErrQuery", what, err)
		}
	}
	if got, _, err := c.Find(t.Context(), store.Query{Index: "late", Equal: []any{"open", 9}}); err != nil || len(got) != 1 {
		t.Errorf("of one rank: got %v, %v", ids(got), err)
	}
	for what, bad := range map[string]store.Schema{
		"another field": {Name: "x", Indexes: []store.Index{{Name: "a", Fields: []string{"state"}, Sparse: "rank"}}},
		"unique":        {Name: "x", Indexes: []store.Index{{Name: "a", Fields: []string{"rank"}, Sparse: "rank", Unique: true}}},
		"still there":   {Name: "x", Indexes: []store.Index{{Name: "a", Fields: []string{"rank"}}}, Gone: []string{"a"}},
	} {
		if bad.Check() == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
