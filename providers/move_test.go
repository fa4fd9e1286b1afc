package providers_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/xingfuma/happycode/providers"
)

func TestGiveDecidesOnce(t *testing.T) {
	t.Parallel()
	s := share(10)
	if err := s.Reserve("a", 4); err != nil {
		t.Fatal(err)
	}
	first := s.NextMove()
	for range 2 { // a repeat changes nothing
		if err := s.Give(first, 5); err != nil {
			t.Fatal(err)
		}
	}
	if s.QtyUnits != 5 || s.FreeUnits() != 1 || s.MovedOut != 5 || !s.Gave(first) || s.Refuse(first) {
		t.Fatalf("after giving 5 of 6 free units: %+v", s)
	}
	second := s.NextMove()
	if second == first {
		t.Fatalf("the next move has the name of the last, %s", first)
	}
	if err := s.Give(second, 2); !errors.Is(err, providers.ErrFull) {
		t.Fatalf("two of one free unit: %v", err)
	}
	if err := s.Give(second, 0); !errors.Is(err, providers.ErrQuantity) {
		t.Fatalf("a move of nothing: %v", err)
	}
	// What was refused stays refused, whoever comes late.
	for range 2 {
		if !s.Refuse(second) {
			t.Fatal("a move that never left cannot be refused")
		}
	}
	if err := s.Give(second, 1); !errors.Is(err, providers.ErrRefused) {
		t.Fatalf("a refused move: %v", err)
	}
	if err := s.Give("somebody else's", 1); !errors.Is(err, providers.ErrRefused) {
		t.Fatalf("a move that is not the next: %v", err)
	}
	s.Close(providers.Over)
	if err := s.Give(s.NextMove(), 1); !errors.Is(err, providers.ErrClosed) {
		t.Fatalf("a move from a closed share: %v", err)
	}
	if !slices.Equal(s.Shifts(), []string{first}) {
		t.Fatalf("the share knows the moves %v", s.Shifts())
	}
	s.Shifted(first)
	if len(s.Shifts()) != 0 || len(s.Reservations()) != 1 {
		t.Fatalf("marks after the move is over: %v", s.Marks)
	}
}

func TestReceiveCountsOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		closed string
		free   int64
		gone   [2]int64 // expired, withdrawn
	}{
		{"", 5, [2]int64{}},
		{providers.Over, 0, [2]int64{5, 0}},
		{providers.OfferWithdrawn, 0, [2]int64{0, 5}},
	} {
		s := share(0)
		if c.closed != "" {
			s.Close(c.closed)
		}
		for range 2 {
			s.Receive("m", 5)
		}
		if s.QtyUnits != 5 || s.MovedIn != 5 || s.FreeUnits() != c.free || s.Expired != c.gone[0] || s.Withdrawn != c.gone[1] || !s.Received("m") {
			t.Errorf("five units come to a share closed %q: %+v", c.closed, s)
		}
		s.Shifted("m")
		if len(s.Marks)+len(s.MarkUnits) != 0 {
			t.Errorf("marks %v, %v", s.Marks, s.MarkUnits)
		}
	}
}

// Three shares of one lot and moves among them, with every step repeated or
// left out and taken up later, promises and ends in between: the units of the
// lot are in the shares or on the way, and no share is out of balance.
func TestMovesKeepTheLotWhole(t *testing.T) {
	t.Parallel()
	type move struct {
		id       string
		from, to int
		units    int64
	}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 20261125))
		shares := []*providers.Share{share(10), share(3), share(0)}
		for i, s := range shares {
			s.ID = fmt.Sprintf("lot@%d", i)
		}
		var way []move // left, and perhaps arrived without anybody noting it
		var over []move
		promised := map[string]int{}
		arrived := map[string]bool{}
		for i := range 300 {
			switch r.IntN(8) {
			case 0, 1:
				m := move{from: r.IntN(3), to: r.IntN(3), units: r.Int64N(5)}
				if m.from == m.to {
					continue
				}
				m.id = shares[m.from].NextMove()
				if shares[m.from].Give(m.id, m.units) == nil {
					way = append(way, m)
				} else if r.IntN(2) == 0 {
					shares[m.from].Refuse(m.id)
				}
			case 2, 3:
				if len(way) > 0 {
					m := way[r.IntN(len(way))]
					_ = shares[m.from].Give(m.id, m.units) // by somebody slow
					shares[m.from].Refuse(m.id)
					shares[m.to].Receive(m.id, m.units)
					arrived[m.id] = true
				}
			case 4:
				if len(way) > 0 && arrived[way[0].id] {
					over = append(over, way[0])
					way = way[1:]
				}
			case 5:
				if len(over) > 0 {
					shares[over[0].from].Shifted(over[0].id)
					shares[over[0].to].Shifted(over[0].id)
					over = over[1:]
				}
			case 6:
				at, id := r.IntN(3), fmt.Sprint("n", i)
				if shares[at].Reserve(id, 1+r.Int64N(3)) == nil {
					promised[id] = at
				}
			case 7:
				for id, at := range promised {
					shares[at].Undo(id, 0)
					delete(promised, id)
					break
				}
			}
			if i == 250 {
				shares[r.IntN(3)].Close(providers.Over)
			}
			var units int64
			for _, s := range shares {
				units += s.QtyUnits
				if !s.Balanced() {
					t.Fatalf("seed %d, step %d: %+v", seed, i, s)
				}
			}
			for _, m := range way {
				if !arrived[m.id] {
					units += m.units
				}
			}
			if units != 13 {
				t.Fatalf("seed %d, step %d: %d of 13 units", seed, i, units)
			}
		}
	}
}
