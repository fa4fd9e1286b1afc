package funds

import (
	"fmt"
	"slices"
	"testing"
)

// What became of a donation is told by kind and town, and never of so few people
// that one could be found.
func TestTraceNamesNoFew(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	first, second := o.donate(1050), o.donate(10_000)
	offer, err := o.post(t.Context(), 100, 100, "")
	must(t, err)
	given := func(n int, town string) (out []Given) {
		for range n {
			id := fmt.Sprint("a", o.serial.Add(1))
			out = append(out, Given{Allocation: id, Offer: offer.ID, QtyUnits: 1, AtMs: nov, Town: town, Person: "p" + id})
		}
		return out
	}
	must(t, o.books.Spend(t.Context(), o.fund, slices.Concat(given(6, yuehe), given(4, "330502002000"), given(1, "330502003000"))))
	f := o.figures()
	trace, err := o.books.Trace(t.Context(), f, first)
	must(t, err)
	want := []Cell{
		{Category: "meal", Town: yuehe, Fen: 600, Handovers: 6, People: 6},
		{Category: "meal", Fen: 450, Handovers: 5, People: 5}, // the last one is paid by halves
	}
	if !slices.Equal(trace.Cells, want) || trace.SpentFen != 1050 || trace.FreeFen != 0 {
		t.Errorf("cells %+v of %d fen, want %+v", trace.Cells, trace.SpentFen, want)
	}
	if trace, err = o.books.Trace(t.Context(), f, second); err != nil || len(trace.Cells) != 1 {
		t.Fatal(trace, err)
	}
	if c := trace.Cells[0]; c != (Cell{Fen: 50}) || trace.ReservedFen != 8900 || trace.FreeFen != 1050 {
		t.Errorf("one person is told as %+v; reserved %d, free %d", c, trace.ReservedFen, trace.FreeFen)
	}
	st, err := o.books.Statement(t.Context(), f, "2025-11")
	must(t, err)
	if len(st.Donations) != 2 || len(st.Offers) != 1 || st.Offers[0].SpentFen != 1100 || st.Offers[0].Handovers != 11 ||
		st.Balance != (Balance{AvailableFen: 1050, ReservedFen: 8900}) {
		t.Errorf("statement %+v", st)
	}
}
