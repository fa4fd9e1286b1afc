package care

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// movingUnits is how many units of a share take part in moves that are not
// finished.
func (s *Service) movingUnits(ctx context.Context, sh *providers.Share) (int64, error) {
	var units int64
	err := s.moves.Each(ctx, store.Query{Index: "lot", Equal: []any{sh.Lot}}, func(m *providers.Move) error {
		if m.Open() && (giving(m) == sh.ID || receiving(m) == sh.ID) {
			units += m.QtyUnits
		}
		return nil
	})
	return units, err
}

// verifyLots checks that what counties have of a lot, and what is on the way
// between them, is what the offer gave: no unit is doubled by a move, and none
// is lost.
func (s *Service) verifyLots(ctx context.Context, r *Report) error {
	for after := ""; ; {
		page, next, err := s.providers.Offers(ctx, "", after, store.MaxPage)
		if err != nil {
			return err
		}
		for _, o := range page {
			if !slices.ContainsFunc(o.Lots, func(l providers.OfferLot) bool { return len(l.Shares) > 1 }) {
				continue
			}
			if err := s.verifyOffer(ctx, o, r); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// verifyOffer looks at an offer's shares and moves until they stand still; what
// never does is counted, not judged.
func (s *Service) verifyOffer(ctx context.Context, o *providers.Offer, r *Report) error {
	var b *lotBooks
	for try := range 20 {
		var still bool
		var err error
		if b, still, err = s.readLots(ctx, o); err != nil {
			return err
		}
		if len(b.faults(o)) == 0 {
			break
		}
		if still {
			for _, f := range b.faults(o) {
				r.fault(1, "%s", f)
			}
			break
		}
		if err := pause(ctx, time.Duration(try+1)*10*time.Millisecond); err != nil {
			return err
		}
	}
	r.Moves += b.count
	for _, units := range b.way {
		r.OnTheWay += units
	}
	return nil
}

// lotBooks are an offer's shares, and what its moves make of them.
type lotBooks struct {
	shares  map[string]*providers.Share
	in, out map[string]int64 // by share, as the moves have it
	way     map[string]int64 // by lot, on the way
	odd     []string         // moves of shares that are not there
	count   int
}

func (s *Service) readLots(ctx context.Context, o *providers.Offer) (b *lotBooks, still bool, err error) {
	b = &lotBooks{shares: map[string]*providers.Share{}, in: map[string]int64{}, out: map[string]int64{}, way: map[string]int64{}}
	shares, err := s.providers.Shares(ctx, o.ID)
	if err != nil {
		return nil, false, err
	}
	for _, sh := range shares {
		b.shares[sh.ID] = sh
	}
	if err := s.providers.Moves(ctx, o.ID, func(m *providers.Move) error {
		if m.Stage == providers.MoveRefused {
			return nil
		}
		from, to := b.shares[giving(m)], b.shares[receiving(m)]
		if from == nil || to == nil {
			b.odd = append(b.odd, fmt.Sprintf("move %s: one of its shares is not there", m.ID))
			return nil
		}
		// The shares decide: a crash may have come before the move's stage.
		gone := m.Stage != providers.MoveBegun || from.Gave(m.ID)
		arrived := gone && (m.Stage != providers.MoveBegun && m.Stage != providers.MoveTaken || to.Received(m.ID))
		if gone {
			b.count++
			b.out[from.ID] += m.QtyUnits
		}
		switch {
		case arrived:
			b.in[to.ID] += m.QtyUnits
		case gone:
			b.way[m.Lot] += m.QtyUnits
		}
		return nil
	}); err != nil {
		return nil, false, err
	}
	again, err := s.providers.Shares(ctx, o.ID)
	if err != nil {
		return nil, false, err
	}
	still = len(again) == len(shares)
	for _, sh := range again {
		still = still && b.shares[sh.ID] != nil && b.shares[sh.ID].V == sh.V
	}
	return b, still, nil
}

// faults are what does not add up.
func (b *lotBooks) faults(o *providers.Offer) []string {
	out := slices.Clone(b.odd)
	for _, lot := range o.Lots {
		if len(lot.Shares) < 2 {
			continue
		}
		var qty int64
		for county, split := range lot.Shares {
			sh := b.shares[providers.ShareID(lot.ID, county)]
			if sh == nil {
				qty += split // it is written when somebody looks at the offer
				continue
			}
			qty += sh.QtyUnits
			if sh.QtyUnits != split+sh.MovedIn-sh.MovedOut {
				out = append(out, fmt.Sprintf("share %s has %d units: %d at first, %d came and %d went",
					sh.ID, sh.QtyUnits, split, sh.MovedIn, sh.MovedOut))
			}
			if sh.MovedIn != b.in[sh.ID] || sh.MovedOut != b.out[sh.ID] {
				out = append(out, fmt.Sprintf("share %s says that %d units came and %d went, its moves %d and %d",
					sh.ID, sh.MovedIn, sh.MovedOut, b.in[sh.ID], b.out[sh.ID]))
			}
		}
		if qty+b.way[lot.ID] != lot.QtyUnits {
			out = append(out, fmt.Sprintf("lot %s of %d units: its counties have %d, and %d are on the way",
				lot.ID, lot.QtyUnits, qty, b.way[lot.ID]))
		}
	}
	slices.Sort(out)
	return out
}
