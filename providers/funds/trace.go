package funds

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/xingfuma/happycode/app/store"
)

// FewPeople is below how many people nothing is said of how many they are, or
// where.
const FewPeople = 5

// Trace is what became of a donation. It names nobody, and no cell of it is of
// fewer than [FewPeople] people.
type Trace struct {
	FreeFen      int64 // not used yet
	ReservedFen  int64 // for offers that are posted
	SpentFen     int64 // handed over
	CorrectedFen int64 // taken back
	Reserved     []TracedOffer
	Cells        []Cell
}

// TracedOffer is an offer that the donation is set aside for.
type TracedOffer struct {
	Offer string
	Fen   int64
}

// Cell is handovers of one kind of aid in one town that the donation has paid,
// wholly or in part. Cells of few people are put together: without a town, and
// then without a kind of aid. Where even those are few, People and Handovers are 0.
type Cell struct {
	Category  string // "": several
	Town      string // 12-digit code; "": several
	Fen       int64  // of this donation
	Handovers int64
	People    int64 // different ones; 0: fewer than [FewPeople]
}

type tally struct {
	fen       int64
	handovers map[string]bool
	people    map[string]bool
}

func (t *tally) add(o *tally) {
	t.fen += o.fen
	maps.Copy(t.handovers, o.handovers)
	maps.Copy(t.people, o.people)
}

func newTally() *tally { return &tally{handovers: map[string]bool{}, people: map[string]bool{}} }

type place struct{ category, town string }

// Trace follows a donation to the handovers that it paid.
func (s *Service) Trace(ctx context.Context, f *Fund, d *Donation) (*Trace, error) {
	if err := s.write(ctx, f); err != nil {
		return nil, err
	}
	whole := Span{d.FromFen, d.ToFen}
	t := &Trace{FreeFen: f.FreeOf(d)}
	stream := f.streamOf(d.Stream)
	for _, draw := range f.Draws {
		var fen int64
		for _, p := range draw.Pieces {
			if p.Stream == stream {
				fen += sum(within([]Span{p.Span}, whole))
			}
		}
		if fen > 0 {
			t.Reserved = append(t.Reserved, TracedOffer{draw.Offer, fen})
			t.ReservedFen += fen
		}
	}
	paid, kept := []*Entry{}, map[string]int64{} // by handover: what of the donation was paid for it and not recovered
	for what, visit := range map[What]func(e *Entry, fen int64){
		Paid:      func(e *Entry, fen int64) { paid = append(paid, e); kept[e.Allocation] += fen },
		Recovered: func(e *Entry, fen int64) { kept[e.Allocation] -= fen },
		Corrected: func(_ *Entry, fen int64) { t.CorrectedFen += fen },
	} {
		if err := s.overlapping(ctx, f, stream, what, whole, visit); err != nil {
			return nil, fmt.Errorf("trace donation %s: %w", d.ID, err)
		}
	}
	cells := map[place]*tally{}
	for _, e := range paid {
		fen := kept[e.Allocation]
		if fen == 0 {
			continue
		}
		kept[e.Allocation] = 0 // its other entries are counted with this one
		at := place{e.Category, e.Town}
		if cells[at] == nil {
			cells[at] = newTally()
		}
		t.SpentFen += fen
		cells[at].fen += fen
		cells[at].handovers[e.Allocation] = true
		cells[at].people[e.Person] = true
	}
	t.Cells = enough(cells)
	return t, nil
}

// overlapping visits the entries of a kind that have fen of a span. Where money
// came back and was spent again they overlap each other.
func (s *Service) overlapping(ctx context.Context, f *Fund, stream int64, what What, in Span, visit func(e *Entry, fen int64)) error {
	if stream < 0 {
		return nil
	}
	return s.entries.Each(ctx, store.Query{
		Index: "piece", Equal: []any{f.StreamID(stream), string(what)}, From: max(0, in.From-f.Streams[stream].LongestFen), To: in.To,
	}, func(e *Entry) error {
		if e.ToFen > in.From && e.Seq <= f.Seq { // what was booked since the fund was read is left out
			visit(e, min(e.ToFen, in.To)-max(e.FromFen, in.From))
		}
		return nil
	})
}

// enough puts cells of few people together, by kind of aid first, until each is
// of enough people; a rest that is not is of an unknown number. No sum over all
// cells is told but the money, so that the rest is not found by subtraction.
func enough(cells map[place]*tally) []Cell {
	for _, wider := range []func(place) place{
		func(p place) place { return place{category: p.category} },
		func(place) place { return place{} },
	} {
		cells = merged(cells, wider)
	}
	var out []Cell
	for at, t := range cells {
		c := Cell{Category: at.category, Town: at.town, Fen: t.fen}
		if len(t.people) >= FewPeople {
			c.Handovers, c.People = int64(len(t.handovers)), int64(len(t.people))
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(b.Fen, a.Fen), cmp.Compare(a.Category, b.Category), cmp.Compare(a.Town, b.Town))
	})
	return out
}

func merged(cells map[place]*tally, wider func(place) place) map[place]*tally {
	out, small := map[place]*tally{}, map[place]*tally{}
	for at, t := range cells {
		if len(t.people) >= FewPeople {
			out[at] = t
			continue
		}
		to := wider(at)
		if small[to] == nil {
			small[to] = newTally()
		}
		small[to].add(t)
	}
	for at, t := range small {
		if out[at] == nil {
			out[at] = newTally()
		}
		out[at].add(t)
	}
	return out
}
