package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/providers"
)

func share(qty int64) *providers.Share { return &providers.Share{QtyUnits: qty} }

type counts struct{ Free, Promised, HandedOver, Expired, Withdrawn int64 }

func countsOf(s *providers.Share) counts {
	return counts{s.FreeUnits(), s.Promised, s.HandedOver, s.Expired, s.Withdrawn}
}

func TestReserveCountsOnceWhileItsMarkStands(t *testing.T) {
	t.Parallel()
	s := share(5)
	for range 3 {
		if err := s.Reserve("a", 2); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := countsOf(s), (counts{Free: 3, Promised: 2}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	if !s.Reserved("a") || s.Reserved("b") {
		t.Fatalf("marks are %v", s.Marks)
	}
	want := []providers.Reservation{{Allocation: "a", QtyUnits: 2}}
	if diff := cmp.Diff(want, s.Reservations()); diff != "" {
		t.Fatal(diff)
	}
	s.Confirmed("a", "unknown")
	if len(s.Marks) != 0 || len(s.MarkUnits) != 0 || s.Promised != 2 {
		t.Fatalf("after Confirmed: %+v", s)
	}
}

func TestReserveRefusals(t *testing.T) {
	t.Parallel()
	closed := share(5)
	closed.Close(providers.Over)
	settled := share(5)
	_ = settled.Reserve("a", 1)
	settled.Settle("a", 1, providers.Returned)
	reserved := share(5)
	_ = reserved.Reserve("a", 1)
	for _, c := range []struct {
		name  string
		share *providers.Share
		qty   int64
		want  error
	}{
		{"more than free", share(5), 6, providers.ErrFull},
		{"nothing", share(5), 0, providers.ErrQuantity},
		{"negative", share(5), -1, providers.ErrQuantity},
		{"closed", closed, 1, providers.ErrClosed},
		{"settled under this id", settled, 1, providers.ErrMarked},
		{"reserved with another quantity", reserved, 2, providers.ErrMarked},
	} {
		before, _ := json.Marshal(c.share)
		if err := c.share.Reserve("a", c.qty); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		after, _ := json.Marshal(c.share)
		if diff := cmp.Diff(string(before), string(after)); diff != "" {
			t.Errorf("%s: a refusal changed the share: %s", c.name, diff)
		}
	}
	// A repeat of what stands is no refusal, even in a share closed since.
	reserved.Close(providers.OfferWithdrawn)
	if err := reserved.Reserve("a", 1); err != nil {
		t.Errorf("repeat in a closed share: %v", err)
	}
}

func TestUndoGivesBackOnceWhatTheMarkIsFor(t *testing.T) {
	t.Parallel()
	s := share(5)
	_ = s.Reserve("a", 3)
	s.Undo("b", 3)
	s.Undo("a", 1) // the mark knows better
	s.Undo("a", 3)
	if got, want := countsOf(s), (counts{Free: 5}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	_ = s.Reserve("a", 3)
	s.Confirmed("a")
	s.Undo("a", 3) // inserted: no longer to be undone
	if got, want := countsOf(s), (counts{Free: 2, Promised: 3}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestUndoOfAMarkWithoutUnits(t *testing.T) {
	t.Parallel()
	s := &providers.Share{QtyUnits: 5, Promised: 2, Marks: []string{"+a"}}
	s.Undo("a", 2)
	if got, want := countsOf(s), (counts{Free: 5}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	s = &providers.Share{QtyUnits: 5, Promised: 2, Marks: []string{"+a"}}
	s.Undo("a", 3)
	if got, want := countsOf(s), (counts{Free: 3, Promised: 2}); got != want || !s.Reserved("a") {
		t.Fatalf("a mark that does not fit must stay for verify: %+v", s)
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		close string // "" leaves the share open
		to    providers.Outcome
		want  counts
	}{
		{"handed over", "", providers.HandedOver, counts{Free: 6, Promised: 1, HandedOver: 3}},
		{"returned", "", providers.Returned, counts{Free: 9, Promised: 1}},
		{"expired", "", providers.Expired, counts{Free: 6, Promised: 1, Expired: 3}},
		{"withdrawn", "", providers.Withdrawn, counts{Free: 6, Promised: 1, Withdrawn: 3}},
		{"handed over after the end", providers.Over, providers.HandedOver, counts{Promised: 1, HandedOver: 3, Expired: 6}},
		{"returned after the end", providers.Over, providers.Returned, counts{Promised: 1, Expired: 9}},
		{"returned to a withdrawn offer", providers.OfferWithdrawn, providers.Returned, counts{Promised: 1, Withdrawn: 9}},
		{"expired in a withdrawn offer", providers.OfferWithdrawn, providers.Expired, counts{Promised: 1, Expired: 3, Withdrawn: 6}},
	} {
		s := share(10)
		_ = s.Reserve("a", 3)
		_ = s.Reserve("b", 1)
		if c.close != "" {
			s.Close(c.close)
		}
		for i := range 3 {
			if got, want := s.Settle("a", 3, c.to), i == 0; got != want {
				t.Errorf("%s: call %d returned %v", c.name, i, got)
			}
		}
		if got := countsOf(s); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if s.Reserved("a") || !s.Reserved("b") {
			t.Errorf("%s: settling confirms: %v", c.name, s.Marks)
		}
		if diff := cmp.Diff([]providers.Reservation{{Allocation: "a", QtyUnits: 3}}, s.Settlements()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		s.Settled("a")
		if diff := cmp.Diff([]string{"+b"}, s.Marks); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestSettleRefusesWhatIsNotPromised(t *testing.T) {
	t.Parallel()
	s := share(10)
	_ = s.Reserve("a", 3)
	before := countsOf(s)
	for _, c := range []struct {
		alloc string
		qty   int64
		to    providers.Outcome
	}{
		{"x", 4, providers.HandedOver}, {"x", 0, providers.Returned}, {"x", -1, providers.Returned},
		{"a", 2, providers.Returned}, {"a", 3, "lost"},
	} {
		if s.Settle(c.alloc, c.qty, c.to) {
			t.Errorf("settled %+v", c)
		}
	}
	if got := countsOf(s); got != before {
		t.Fatalf("got %+v, want %+v", got, before)
	}
}

func TestCloseKeepsItsFirstReason(t *testing.T) {
	t.Parallel()
	s := share(10)
	_ = s.Reserve("a", 4)
	s.Close(providers.OfferWithdrawn)
	s.Close(providers.Over)
	if got, want := countsOf(s), (counts{Promised: 4, Withdrawn: 6}); got != want || s.ClosedWhy != providers.OfferWithdrawn {
		t.Fatalf("got %+v %q, want %+v", got, s.ClosedWhy, want)
	}
	s.Undo("a", 4)
	if got, want := countsOf(s), (counts{Withdrawn: 10}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	s = share(3)
	s.Close("no reason that is known")
	if got, want := countsOf(s), (counts{Expired: 3}); got != want || s.ClosedWhy != providers.Over {
		t.Fatalf("got %+v %q, want %+v", got, s.ClosedWhy, want)
	}
}

// model is an independent account of a share: what became of each allocation.
type model struct {
	qty    int64
	closed string
	live   map[string]int64 // allocation → promised units
	plus   map[string]bool
	minus  map[string]bool
	ended  map[providers.Outcome]int64
}

func newModel(qty int64) *model {
	return &model{
		qty: qty, live: map[string]int64{}, plus: map[string]bool{}, minus: map[string]bool{},
		ended: map[providers.Outcome]int64{},
	}
}

func (m *model) counts() counts {
	c := counts{
		HandedOver: m.ended[providers.HandedOver], Expired: m.ended[providers.Expired],
		Withdrawn: m.ended[providers.Withdrawn],
	}
	for _, units := range m.live {
		c.Promised += units
	}
	c.Free = m.qty - c.Promised - c.HandedOver - c.Expired - c.Withdrawn
	return c
}

func (m *model) end(units int64, to providers.Outcome) {
	if to == providers.Returned {
		switch m.closed {
		case "":
			return
		case providers.Over:
			to = providers.Expired
		default:
			to = providers.Withdrawn
		}
	}
	m.ended[to] += units
}

// step is one operation on an allocation of fixed quantity, as app/care does
// them, in any order and with repeats.
type step struct {
	Op    string
	Alloc string
	To    providers.Outcome
}

func quantity(alloc string) int64 { return int64(alloc[0] - 'a' + 1) }

// apply carries a step out on both; it returns false where no caller may take
// the step: a second reservation of an allocation that is live and confirmed
// (the allocation's unique id decides that), or the end of one that is not.
func apply(s *providers.Share, m *model, x step) (ok bool, err error) {
	qty := quantity(x.Alloc)
	_, live := m.live[x.Alloc]
	switch x.Op {
	case "reserve":
		if live && !m.plus[x.Alloc] {
			return false, nil
		}
		var want error
		switch {
		case m.plus[x.Alloc]:
		case m.minus[x.Alloc]:
			want = providers.ErrMarked
		case m.closed != "":
			want = providers.ErrClosed
		case m.counts().Free < qty:
			want = providers.ErrFull
		default:
			m.live[x.Alloc], m.plus[x.Alloc] = qty, true
		}
		if got := s.Reserve(x.Alloc, qty); !errors.Is(got, want) {
			return true, fmt.Errorf("Reserve: got %w, want %v", got, want) //nolint:errorlint // want is part of the message
		}
	case "confirmed":
		delete(m.plus, x.Alloc)
		s.Confirmed(x.Alloc)
	case "undo":
		if m.plus[x.Alloc] {
			delete(m.plus, x.Alloc)
			delete(m.live, x.Alloc)
			m.end(qty, providers.Returned)
		}
		s.Undo(x.Alloc, qty)
	case "settle":
		if !live && !m.minus[x.Alloc] {
			return false, nil
		}
		want := live && !m.minus[x.Alloc]
		if want {
			delete(m.live, x.Alloc)
			delete(m.plus, x.Alloc)
			m.minus[x.Alloc] = true
			m.end(qty, x.To)
		}
		if got := s.Settle(x.Alloc, qty, x.To); got != want {
			return true, fmt.Errorf("Settle: got %v, want %v", got, want)
		}
	case "settled":
		delete(m.minus, x.Alloc)
		s.Settled(x.Alloc)
	case "over", "withdrawn":
		if m.closed == "" {
			free := m.counts().Free
			m.closed = x.Op
			m.end(free, providers.Returned)
		}
		s.Close(x.Op)
	}
	return true, nil
}

func compare(s *providers.Share, m *model) error {
	if !s.Balanced() {
		return fmt.Errorf("not balanced: %+v", s)
	}
	if got, want := countsOf(s), m.counts(); got != want {
		return fmt.Errorf("got %+v, want %+v", got, want)
	}
	if s.Closed != (m.closed != "") || s.ClosedWhy != m.closed {
		return fmt.Errorf("closed %v %q, want %q", s.Closed, s.ClosedWhy, m.closed)
	}
	if s.Closed && s.FreeUnits() != 0 {
		return fmt.Errorf("closed with %d free units", s.FreeUnits())
	}
	want := map[string]bool{}
	for a := range m.plus {
		want["+"+a] = true
	}
	for a := range m.minus {
		want["-"+a] = true
	}
	got := map[string]bool{}
	for _, mark := range s.Marks {
		got[mark] = true
	}
	if !cmp.Equal(got, want) || len(s.Marks) != len(got) || len(s.MarkUnits) != len(got) {
		return fmt.Errorf("marks %v with units %v, want %v", s.Marks, s.MarkUnits, want)
	}
	return nil
}

func steps(allocs ...string) []step {
	var all []step
	for _, a := range allocs {
		for _, op := range []string{"reserve", "confirmed", "undo", "settled"} {
			all = append(all, step{Op: op, Alloc: a})
		}
		for _, to := range []providers.Outcome{providers.HandedOver, providers.Returned, providers.Expired, providers.Withdrawn} {
			all = append(all, step{Op: "settle", Alloc: a, To: to})
		}
	}
	return append(all, step{Op: providers.Over, Alloc: "a"}, step{Op: providers.OfferWithdrawn, Alloc: "a"})
}

// Every state that any sequence of steps, however long, can bring a share of 4
// units with two allocations of 1 and 2 units into keeps the books as the model
// does.
func TestEveryReachableState(t *testing.T) {
	t.Parallel()
	type state struct {
		share *providers.Share
		model *model
	}
	copied := func(x state) state {
		s := *x.share
		s.Marks, s.MarkUnits = slices.Clone(s.Marks), maps.Clone(s.MarkUnits)
		m := *x.model
		m.live, m.plus, m.minus, m.ended = maps.Clone(m.live), maps.Clone(m.plus), maps.Clone(m.minus), maps.Clone(m.ended)
		return state{&s, &m}
	}
	key := func(x state) string {
		marks := slices.Sorted(slices.Values(x.share.Marks))
		return fmt.Sprint(countsOf(x.share), x.share.ClosedWhy, marks, x.model.live)
	}
	first := state{share(4), newModel(4)}
	seen := map[string]bool{key(first): true}
	queue := []state{first}
	all := steps("a", "b")
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, x := range all {
			to := copied(from)
			if _, err := apply(to.share, to.model, x); err != nil {
				t.Fatalf("%s, then %+v: %v", key(from), x, err)
			}
			if err := compare(to.share, to.model); err != nil {
				t.Fatalf("%s, then %+v: %v", key(from), x, err)
			}
			if k := key(to); !seen[k] {
				seen[k] = true
				queue = append(queue, to)
			}
		}
	}
	if len(seen) < 500 {
		t.Fatalf("only %d states", len(seen))
	}
}

// Long random sequences with many allocations and repeats, through the form in
// which a share is stored.
func TestRandomSequences(t *testing.T) {
	t.Parallel()
	allocs := make([]string, 12)
	for i := range allocs {
		allocs[i] = string(rune('a'+i%5)) + fmt.Sprint(i)
	}
	all := steps(allocs...)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 20261124))
		qty := r.Int64N(25)
		s, m := share(qty), newModel(qty)
		for i := range 200 {
			x := all[r.IntN(len(all))]
			if (x.Op == providers.Over || x.Op == providers.OfferWithdrawn) && r.IntN(20) > 0 {
				continue
			}
			for range 1 + r.IntN(3) {
				if _, err := apply(s, m, x); err != nil {
					t.Fatalf("seed %d, step %d %+v: %v", seed, i, x, err)
				}
				if err := compare(s, m); err != nil {
					t.Fatalf("seed %d, step %d %+v: %v", seed, i, x, err)
				}
			}
			stored, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			s = new(providers.Share)
			if err := json.Unmarshal(stored, s); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whatever a caller passes, also wrong quantities and unknown allocations, no
// unit appears or disappears.
func TestWrongCallersCannotUnbalance(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := share(r.Int64N(20))
		ids := []string{"a", "b", "c", ""}
		outcomes := []providers.Outcome{providers.HandedOver, providers.Returned, providers.Expired, providers.Withdrawn, "?"}
		for i := range 200 {
			id, qty := ids[r.IntN(len(ids))], r.Int64N(9)-2
			switch r.IntN(7) {
			case 0, 1:
				_ = s.Reserve(id, qty)
			case 2:
				s.Confirmed(id)
			case 3:
				s.Undo(id, qty)
			case 4:
				s.Settle(id, qty, outcomes[r.IntN(len(outcomes))])
			case 5:
				s.Settled(id)
			case 6:
				if r.IntN(10) == 0 {
					s.Close([]string{providers.Over, providers.OfferWithdrawn}[r.IntN(2)])
				}
			}
			if !s.Balanced() || s.Closed && s.FreeUnits() != 0 {
				t.Fatalf("seed %d, step %d: %+v", seed, i, s)
			}
		}
	}
}

func TestShareID(t *testing.T) {
	t.Parallel()
	if got, want := providers.ShareID("o-1", "330502000000"), "o-1@330502"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if !slices.Equal(providers.SharesSchema().Indexes[0].Fields, []string{"county", "closed", "until_ms"}) {
		t.Fatal("the county index is part of the contract with app/care")
	}
}
