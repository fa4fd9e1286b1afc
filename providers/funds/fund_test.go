package funds

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/store"
)

const (
	huzhou = "330500000000"
	wuxing = "330502000000"
	nanxun = "330503000000"
	yuehe  = "330502001000"

	nov = 1_763_956_800_000 // 2025-11-24 12:00 in China, Unix ms
	day = int64(24 * 60 * 60 * 1000)
)

// paper is a fund on paper: what it books is kept as the journal keeps it.
type paper struct {
	t *testing.T
	books
	serial int
}

func newPaper(t *testing.T) *paper {
	return &paper{t: t, books: books{fund: &Fund{Meta: store.Meta{ID: "f"}, Organisation: "org", Status: Open, CreatedMs: nov}}}
}

func (p *paper) next() string { p.serial++; return fmt.Sprint(p.serial) }

// take moves what is pending into the journal.
func (p *paper) take() {
	for _, e := range p.fund.Pending {
		p.entries = append(p.entries, &e)
	}
	for _, d := range p.fund.PendingDonations {
		p.donations = append(p.donations, &d)
	}
	p.fund.Pending, p.fund.PendingDonations = nil, nil
}

func (p *paper) sound() {
	p.t.Helper()
	p.take()
	for _, f := range p.faults() {
		p.t.Fatal(f)
	}
}

func (p *paper) donate(fen int64, category, division string) *Donation {
	p.t.Helper()
	d, err := p.fund.donate(Donation{Meta: store.Meta{ID: p.next()}, Fen: fen, Category: category, Division: division, AtMs: nov}, nov)
	if err != nil {
		p.t.Fatal(err)
	}
	out := *d
	p.sound()
	return &out
}

func (p *paper) reserve(offer, category, division string, fen, units int64) error {
	err := p.fund.reserve(Terms{Offer: offer, Organisation: "org", Category: category, Divisions: []string{division}, ValueFen: fen, QtyUnits: units, UntilMs: nov}, "test", nov)
	p.sound()
	return err
}

// of are the entries of which something is so.
func (p *paper) of(so func(*Entry) bool) (out []*Entry) {
	for _, e := range p.entries {
		if so(e) {
			out = append(out, e)
		}
	}
	return out
}

// recover does what [Service.Recover] does, and says whether it changed something.
func (p *paper) recover(t Terms, k Kept) bool {
	p.t.Helper()
	booked := p.of(func(e *Entry) bool { return e.Allocation == k.Allocation })
	if _, open := p.fund.Draw(t.Offer); !open {
		p.fund.redraw(t, p.of(func(e *Entry) bool { return e.Offer == t.Offer }))
	}
	changed, err := p.fund.recover(t, k, booked, nov)
	if err != nil {
		p.t.Fatal(err)
	}
	p.sound()
	return changed
}

// payers are the donations that paid for a handover, with how much.
func (p *paper) payers(allocation string) string {
	var out []string
	for _, e := range p.entries {
		if e.Allocation != allocation || e.What != Paid {
			continue
		}
		for _, d := range p.donations {
			for _, s := range within([]Span{{e.FromFen, e.ToFen}}, Span{d.FromFen, d.ToFen}) {
				if d.Stream == e.Stream {
					out = append(out, fmt.Sprintf("%s:%d", d.ID, s.Fen()))
				}
			}
		}
	}
	return strings.Join(out, " ")
}

// Money that can pay for little goes first, then the oldest; a donation pays only
// for what it is directed to.
func TestWhichDonationPays(t *testing.T) {
	t.Parallel()
	p := newPaper(t)
	p.donate(100, "", "")                                         // 1
	p.donate(100, "meal", "")                                     // 2
	p.donate(50, "meal", wuxing)                                  // 3
	p.donate(1000, "", nanxun)                                    // 4
	p.donate(30, "meal", "")                                      // 5
	p.donate(500, "clothing", "")                                 // 6
	p.donate(70, "meal", yuehe)                                   // 7: an offer for the county may go elsewhere in it
	if err := p.reserve("a", "meal", wuxing, 60, 4); err != nil { // 50 + 100 + 30 + 60 of 100
		t.Fatal(err)
	}
	var short FieldError
	if err := p.reserve("b", "meal", wuxing, 41, 1); !errors.As(err, &short) || short.Field != "fund" {
		t.Errorf("an offer beyond what is directed to it: %v", err)
	}
	for i, want := range []string{"3:50 2:10", "2:60", "2:30 5:30"} {
		id := fmt.Sprint("h", i)
		if err := p.fund.spend(Given{Allocation: id, Offer: "a", QtyUnits: 1, AtMs: nov}, nov); err != nil {
			t.Fatal(err)
		}
		p.sound()
		if got := p.payers(id); got != want {
			t.Errorf("handover %d is paid by %q, want %q", i, got, want)
		}
	}
	if _, err := p.fund.giveBack("a", 1, nov); err != nil {
		t.Fatal(err)
	}
	p.sound()
	if len(p.fund.Draws) != 0 || p.fund.ReservedFen != 0 {
		t.Errorf("a settled offer is still there: %+v", p.fund.Draws)
	}
	if err := p.reserve("b", "meal", wuxing, 100, 1); err != nil {
		t.Errorf("what came back cannot be used: %v", err)
	}
	if got := p.fund.AvailableFen; got != 1000+500+70 {
		t.Errorf("%d fen are left, want those directed elsewhere", got)
	}
}

func TestCorrectionTakesBackWhatIsFree(t *testing.T) {
	t.Parallel()
	p := newPaper(t)
	p.donate(100, "", "")
	d := p.donate(1000, "", "")
	if err := p.reserve("a", "meal", wuxing, 200, 1); err != nil {
		t.Fatal(err)
	}
	if err := p.fund.correct(d, 901, "x", "test", "多记一个零", nov); err == nil {
		t.Error("what an offer has set aside was taken back")
	}
	if err := p.fund.correct(d, 900, "x", "test", "多记一个零", nov); err != nil {
		t.Fatal(err)
	}
	p.sound()
	if p.fund.ReceivedFen != 200 || p.fund.AvailableFen != 0 || p.fund.FreeOf(d) != 0 {
		t.Errorf("received %d, available %d, free of it %d", p.fund.ReceivedFen, p.fund.AvailableFen, p.fund.FreeOf(d))
	}
}

// After any sequence of steps each fen is in one place and the figures are what
// the journal makes.
func TestAnySequenceKeepsTheBooks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 4))
		p := newPaper(t)
		categories, divisions := []string{"", "meal", "clothing"}, []string{"", wuxing, yuehe, nanxun}
		given, held, terms := map[string]int64{}, []Kept{}, map[string]Terms{}
		for step := range 120 {
			switch r.IntN(7) {
			case 0, 1:
				p.donate(1+r.Int64N(500), categories[r.IntN(3)], divisions[r.IntN(4)])
			case 2:
				err := p.reserve(p.next(), categories[1+r.IntN(2)], divisions[1+r.IntN(3)], 1+r.Int64N(40), 1+r.Int64N(9))
				if refused := (FieldError{}); err != nil && !errors.As(err, &refused) {
					t.Fatal(err)
				}
			case 3, 4:
				if len(p.fund.Draws) == 0 {
					continue
				}
				d := p.fund.Draws[r.IntN(len(p.fund.Draws))]
				if r.IntN(3) == 0 {
					if _, err := p.fund.giveBack(d.Offer, d.ReturnedUnits+1+r.Int64N(d.LeftUnits()), nov); err != nil {
						t.Fatal(err)
					}
					break
				}
				g := Given{Allocation: fmt.Sprint("h", seed, step), Offer: d.Offer, QtyUnits: 1 + r.Int64N(d.LeftUnits()), AtMs: nov + r.Int64N(90*day)}
				if err := p.fund.spend(g, nov); err != nil {
					t.Fatal(err)
				}
				given[g.Allocation] = g.QtyUnits * d.ValueFen
				held = append(held, Kept{Allocation: g.Allocation, QtyUnits: g.QtyUnits, AtMs: nov})
				terms[g.Allocation] = Terms{Offer: d.Offer, Category: d.Category, ValueFen: d.ValueFen}
			case 6:
				if len(held) == 0 {
					continue
				}
				k := &held[r.IntN(len(held))]
				if k.QtyUnits == 0 {
					continue
				}
				k.QtyUnits = r.Int64N(k.QtyUnits)
				if !p.recover(terms[k.Allocation], *k) || p.recover(terms[k.Allocation], *k) {
					t.Fatalf("what is left of %+v was not recovered once", k)
				}
				given[k.Allocation] = k.QtyUnits * terms[k.Allocation].ValueFen
			case 5:
				if len(p.donations) == 0 {
					continue
				}
				d := p.donations[r.IntN(len(p.donations))]
				if free := p.fund.FreeOf(d); free > 0 {
					if err := p.fund.correct(d, 1+r.Int64N(free), p.next(), "test", "更正", nov); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.sound()
		}
		for id, want := range given {
			_, paid := stillPaid(p.fund, p.of(func(e *Entry) bool { return e.Allocation == id }))
			var got int64
			for _, piece := range paid {
				for _, d := range p.donations {
					if d.Stream == p.fund.StreamID(piece.Stream) {
						got += sum(within([]Span{piece.Span}, Span{d.FromFen, d.ToFen}))
					}
				}
			}
			if got != want {
				t.Errorf("handover %s of %d fen is traced to donations of %d", id, want, got)
			}
		}
	}
}

// A month that is closed gets no entry any more; what is learned late stands in
// the month in which it was booked.
func TestClosedMonth(t *testing.T) {
	t.Parallel()
	p := newPaper(t)
	p.donate(1000, "", "")
	if err := p.reserve("a", "meal", wuxing, 100, 5); err != nil {
		t.Fatal(err)
	}
	december := nov + 10*day
	if got := p.fund.NextClosing(nov); got != "" {
		t.Errorf("the running month %s can be closed", got)
	}
	month := p.fund.NextClosing(december)
	if month != "2025-11" {
		t.Fatalf("%q can be closed, want November", month)
	}
	p.fund.Proposed = &Closing{Month: month}
	p.fund.close("b", december, false)
	if err := p.fund.spend(Given{Allocation: "h", Offer: "a", QtyUnits: 1, AtMs: nov + 1}, december); err != nil {
		t.Fatal(err)
	}
	p.sound()
	if got := p.entries[len(p.entries)-1]; got.Month != "2025-12" || got.AtMs != december {
		t.Errorf("a handover of a closed month bears %s", got.Month)
	}
	c := p.fund.Closings[0]
	if c.Booked.DonatedFen != 1000 || c.Balance != (Balance{AvailableFen: 500, ReservedFen: 500}) || c.Opening != (Balance{}) {
		t.Errorf("closing figures %+v", c)
	}
	// A server whose clock is behind does not date into it either.
	if _, err := p.fund.donate(Donation{Meta: store.Meta{ID: "late"}, Fen: 1, AtMs: nov}, nov); err != nil {
		t.Fatal(err)
	}
	p.sound()
	if got := p.entries[len(p.entries)-1].Month; got != "2025-12" {
		t.Errorf("a slow clock dates into %s", got)
	}
}
