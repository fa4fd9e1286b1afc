package funds

import (
	"context"
	"fmt"
	"slices"

	"github.com/xingfuma/happycode/app/store"
)

// Statement is a fund's month: what it had, what came in, what went out for
// which offer, and what it has.
type Statement struct {
	Month     string
	Closed    *Closing // nil: the month is open, and the figures may still change
	Opening   Balance
	Booked    Month
	Balance   Balance
	Donations []StatedDonation // in the order of their entries
	Offers    []StatedOffer    // in the order in which they first occur
}

// StatedDonation is a donation that came in, or a correction of one: then Fen is
// below 0 and Reason says why.
type StatedDonation struct {
	Donation *Donation
	AtMs     int64
	Fen      int64
	Reason   string
}

// StatedOffer is what was booked for an offer.
type StatedOffer struct {
	Offer       string
	ReservedFen int64
	ReturnedFen int64
	SpentFen    int64
	SpentUnits  int64
	Handovers   int64
	// RecoveredFen is of RecoveredUnits that were handed over, also in an earlier
	// month, and came back in this one.
	RecoveredFen   int64
	RecoveredUnits int64
}

// Statement is the month's. Errors: [FieldError] for what is no month, or one
// that is to come.
func (s *Service) Statement(ctx context.Context, f *Fund, month string) (*Statement, error) {
	if _, err := monthStart(month); err != nil || month > MonthOf(store.Millis(s.cfg.Now())) {
		return nil, FieldError{Field: "month", ZH: "请填写已开始的月份，如 2026-11。", EN: "Give a month that has begun, such as 2026-11."}
	}
	if err := s.write(ctx, f); err != nil {
		return nil, err
	}
	out := &Statement{Month: month, Opening: f.Before(month), Booked: f.In(month)}
	out.Balance = out.Opening.after(out.Booked)
	if i := slices.IndexFunc(f.Closings, func(c Closing) bool { return c.Month == month }); i >= 0 {
		out.Closed = &f.Closings[i]
	}
	at := map[string]int{}
	if err := s.entries.Each(ctx, store.Query{Index: "month", Equal: []any{f.ID, month}}, func(e *Entry) error {
		switch {
		case e.Seq > f.Seq: // booked since the fund was read
		case e.What == Donated:
			out.Donations = append(out.Donations, StatedDonation{Donation: &Donation{Meta: store.Meta{ID: e.Donation}}, AtMs: e.AtMs, Fen: e.Fen})
		case e.What == Corrected:
			out.Donations = append(out.Donations, StatedDonation{Donation: &Donation{Meta: store.Meta{ID: e.Donation}}, AtMs: e.AtMs, Fen: -e.Fen, Reason: e.Reason})
		default:
			i, known := at[e.Offer]
			if !known {
				i = len(out.Offers)
				at[e.Offer] = i
				out.Offers = append(out.Offers, StatedOffer{Offer: e.Offer})
			}
			out.Offers[i].count(e)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("statement of fund %s: %w", f.ID, err)
	}
	return out, s.nameDonations(ctx, out.Donations)
}

func (o *StatedOffer) count(e *Entry) {
	switch e.What {
	case SetAside:
		o.ReservedFen += e.Fen
	case Returned:
		o.ReturnedFen += e.Fen
	case Paid:
		o.SpentFen += e.Fen
		o.SpentUnits += e.QtyUnits
		if e.QtyUnits > 0 {
			o.Handovers++
		}
	case Recovered:
		o.RecoveredFen += e.Fen
		o.RecoveredUnits += e.QtyUnits
	}
}

func (s *Service) nameDonations(ctx context.Context, stated []StatedDonation) error {
	for some := range slices.Chunk(stated, 500) {
		ids := make([]string, len(some))
		for i, d := range some {
			ids[i] = d.Donation.ID
		}
		found, err := s.donations.GetAll(ctx, ids)
		if err != nil {
			return err
		}
		byID := make(map[string]*Donation, len(found))
		for _, d := range found {
			byID[d.ID] = d
		}
		for i := range some {
			if d := byID[some[i].Donation.ID]; d != nil {
				some[i].Donation = d
			}
		}
	}
	return nil
}
