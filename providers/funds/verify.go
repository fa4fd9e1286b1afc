package funds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// Report is what [Keeper.Verify] counted and found.
type Report struct {
	Funds     int      `json:"funds"`
	Donations int      `json:"donations"`
	Entries   int      `json:"entries"`
	Draws     int      `json:"draws"` // offers that draw on funds and are not settled
	Received  int64    `json:"received_fen"`
	Available int64    `json:"available_fen"`
	Reserved  int64    `json:"reserved_fen"`
	Spent     int64    `json:"spent_fen"`
	Handovers int64    `json:"handovers"`
	BehindMs  int64    `json:"behind_ms"` // how far the keeper is behind the ledger of events
	Faults    []string `json:"faults"`    // ids and figures, no names
}

// OK says whether the books are right.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

// verifyTries is how often a fund is read that changes meanwhile.
const verifyTries = 20

// lateness is how long a handover may take to be paid without a fault: the
// margin of whoever follows the ledger, and a tick.
const lateness = 60_000 // ms

// Verify checks every fund's books against its journal, its donations, the
// offers' shares and what was handed over. It may run while the system works:
// what is being booked at the moment is no fault. With repair it first finishes
// what crashes left half done.
func (k *Keeper) Verify(ctx context.Context, repair bool) (*Report, error) {
	r := &Report{Faults: []string{}}
	if repair {
		if err := k.follow(ctx); err != nil {
			return nil, err
		}
		if err := errors.Join(k.mendSettled(ctx), k.Sweep(ctx, true)); err != nil {
			k.cfg.Logger.Error("mend the funds' books", "error", err) // what stays wrong is named below
		}
	}
	// What happened since the keeper last read is still to be booked: where no
	// server runs, that is no fault.
	now := k.cfg.Now().UnixMilli()
	seen := now
	switch at, err := k.reads.Get(ctx, readingID); {
	case err == nil:
		seen = min(now, at.AtMs)
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	r.BehindMs = now - seen
	for after := ""; ; {
		page, next, err := k.cfg.Books.List(ctx, "", after, 100)
		if err != nil {
			return nil, err
		}
		for _, f := range page {
			if err := k.verifyFund(ctx, f.ID, seen, r); err != nil {
				return nil, fmt.Errorf("verify fund %s: %w", f.ID, err)
			}
		}
		if after = next; next == "" {
			break
		}
	}
	return r, k.verifyOffers(ctx, r)
}

// mendSettled recounts the offers that a fund has forgotten, because all of them
// was given or returned, and of which something came back whose event was lost.
func (k *Keeper) mendSettled(ctx context.Context) error {
	var errs []error
	for after := ""; ; {
		page, next, err := k.cfg.Books.List(ctx, "", after, 100)
		if err != nil {
			return err
		}
		for _, f := range page {
			errs = append(errs, k.recountSettled(ctx, f))
		}
		if after = next; next == "" {
			return errors.Join(errs...)
		}
	}
}

func (k *Keeper) recountSettled(ctx context.Context, f *Fund) error {
	if err := k.cfg.Books.write(ctx, f); err != nil {
		return err
	}
	spent := map[string]int64{}
	if err := k.cfg.Books.entries.Each(ctx, store.Query{Index: "fund", Equal: []any{f.ID}}, func(e *Entry) error {
		switch e.What {
		case Paid:
			spent[e.Offer] += e.QtyUnits
		case Recovered:
			spent[e.Offer] -= e.QtyUnits
		}
		return nil
	}); err != nil {
		return err
	}
	for _, d := range f.Draws {
		delete(spent, d.Offer)
	}
	var errs []error
	for _, offer := range slices.Sorted(maps.Keys(spent)) {
		shares, err := k.cfg.Offers.Shares(ctx, offer)
		if err == nil && countShares(shares).given < spent[offer] {
			err = k.recount(ctx, f.ID, offer, shares)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// books are a fund with all that belongs to it, read so that they fit together.
type books struct {
	fund      *Fund
	entries   []*Entry
	donations []*Donation
}

func (k *Keeper) read(ctx context.Context, id string) (*books, error) {
	s := k.cfg.Books
	for try := 0; ; try++ {
		f, err := s.funds.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := s.write(ctx, f); err != nil {
			return nil, err
		}
		b := &books{fund: f}
		if err := s.entries.Each(ctx, store.Query{Index: "fund", Equal: []any{id}}, func(e *Entry) error {
			b.entries = append(b.entries, e)
			return nil
		}); err != nil {
			return nil, err
		}
		if err := s.donations.Each(ctx, store.Query{Index: "fund", Equal: []any{id}}, func(d *Donation) error {
			b.donations = append(b.donations, d)
			return nil
		}); err != nil {
			return nil, err
		}
		again, err := s.funds.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if again.V == f.V {
			return b, nil
		}
		if try == verifyTries { // busy: what came later is left out
			b.entries = slices.DeleteFunc(b.entries, func(e *Entry) bool { return e.Seq > f.Seq })
			b.donations = slices.DeleteFunc(b.donations, func(d *Donation) bool { return d.Seq > f.Seq })
			return b, nil
		}
	}
}

func (k *Keeper) verifyFund(ctx context.Context, id string, seenMs int64, r *Report) error {
	b, err := k.read(ctx, id)
	if err != nil {
		return err
	}
	f := b.fund
	r.Funds++
	r.Donations += len(b.donations)
	r.Entries += len(b.entries)
	r.Draws += len(f.Draws)
	r.Received += f.ReceivedFen
	r.Available += f.AvailableFen
	r.Reserved += f.ReservedFen
	r.Spent += f.SpentFen
	for _, m := range f.Months {
		r.Handovers += m.Handovers
	}
	r.Faults = append(r.Faults, b.faults()...)
	return k.verifyDraws(ctx, b, seenMs, r)
}

// faults are what does not add up in a fund's books.
func (b *books) faults() (out []string) {
	f := b.fund
	fault := func(format string, args ...any) {
		out = append(out, "fund "+f.ID+" "+fmt.Sprintf(format, args...))
	}
	if !f.Sound() {
		fault("does not add up: received %d, available %d, reserved %d, spent %d fen", f.ReceivedFen, f.AvailableFen, f.ReservedFen, f.SpentFen)
	}
	// The journal, entry by entry: complete, and at no moment below zero.
	again := &Fund{Meta: store.Meta{ID: f.ID}}
	for i, e := range b.entries {
		credit, debit := e.What.accounts()
		switch {
		case e.Seq != int64(i+1):
			fault("has no entry %d in its journal", i+1)
			return out
		case e.Fen < 1 || e.Fen != e.ToFen-e.FromFen || e.Credit != credit || e.Debit != debit || e.Month != MonthOf(e.AtMs):
			fault("has an entry %s that contradicts itself", e.ID)
		}
		again.apply(*e)
		if !again.Sound() {
			fault("went below zero with entry %s", e.ID)
		}
		for _, c := range f.Closings {
			if e.Month <= c.Month && e.BookedMs > c.ConfirmedMs+lateness {
				fault("has an entry %s in %s, which was closed before", e.ID, e.Month)
			}
		}
	}
	if int64(len(b.entries)) != f.Seq {
		fault("has booked %d entries, its journal has %d", f.Seq, len(b.entries))
	}
	if again.ReceivedFen != f.ReceivedFen || again.AvailableFen != f.AvailableFen || again.ReservedFen != f.ReservedFen || again.SpentFen != f.SpentFen {
		fault("has received %d, available %d, reserved %d, spent %d fen; its journal makes it %d, %d, %d, %d",
			f.ReceivedFen, f.AvailableFen, f.ReservedFen, f.SpentFen, again.ReceivedFen, again.AvailableFen, again.ReservedFen, again.SpentFen)
	}
	if !slices.Equal(again.Months, f.Months) {
		fault("has monthly figures that its journal does not make")
	}
	for _, c := range f.Closings {
		if c.Opening != again.Before(c.Month) || c.Booked != again.In(c.Month) || c.Balance != c.Opening.after(c.Booked) {
			fault("closed %s with figures that its journal does not make", c.Month)
		}
	}
	return append(out, b.streamFaults()...)
}

// streamFaults are fen that are nowhere or twice: each of a stream belongs to one
// donation, and is free, set aside for one offer, spent on one handover or taken
// back.
func (b *books) streamFaults() (out []string) {
	f := b.fund
	given, used := make([][]Span, len(f.Streams)), make([][]Span, len(f.Streams))
	where := func(id, stream string, s Span, into [][]Span) {
		if n := f.streamOf(stream); n >= 0 {
			into[n] = append(into[n], s)
			return
		}
		out = append(out, fmt.Sprintf("fund %s: %s is of a stream that is not there", f.ID, id))
	}
	for _, d := range b.donations {
		where("donation "+d.ID, d.Stream, Span{d.FromFen, d.ToFen}, given)
	}
	for _, e := range b.entries {
		s := Span{e.FromFen, e.ToFen}
		switch e.What {
		case Paid, Corrected:
			where("entry "+e.ID, e.Stream, s, used)
		case Recovered:
			n := f.streamOf(e.Stream)
			if n < 0 || sum(within(used[n], s)) != s.Fen() {
				out = append(out, fmt.Sprintf("fund %s: entry %s recovers what was not spent", f.ID, e.ID))
				continue
			}
			used[n] = without(used[n], s)
		}
	}
	for _, d := range f.Draws {
		var fen int64
		for _, p := range d.Pieces {
			fen += p.Fen()
			where("the draw of offer "+d.Offer, f.StreamID(p.Stream), p.Span, used)
		}
		if fen != d.LeftUnits()*d.ValueFen {
			out = append(out, fmt.Sprintf("fund %s has set %d fen aside for the %d units of offer %s at %d fen", f.ID, fen, d.LeftUnits(), d.Offer, d.ValueFen))
		}
	}
	for n, s := range f.Streams {
		if !tiles(given[n], s.TotalFen) {
			out = append(out, fmt.Sprintf("fund %s: the donations of stream %d do not make up its %d fen", f.ID, n, s.TotalFen))
		}
		if !tiles(append(used[n], s.Free...), s.TotalFen) {
			out = append(out, fmt.Sprintf("fund %s: of the %d fen of stream %d some are nowhere or twice", f.ID, s.TotalFen, n))
		}
	}
	return out
}

// verifyDraws compares what a fund set aside, paid and returned with the offers'
// shares and with what was handed over.
func (k *Keeper) verifyDraws(ctx context.Context, b *books, seenMs int64, r *Report) error {
	f := b.fund
	fault := func(format string, args ...any) {
		r.Faults = append(r.Faults, "fund "+f.ID+" "+fmt.Sprintf(format, args...))
	}
	offers, paidFor := map[string]*offerBooks{}, map[string]paid{}
	of := func(id string) *offerBooks {
		if offers[id] == nil {
			offers[id] = &offerBooks{}
		}
		return offers[id]
	}
	for _, e := range b.entries {
		switch o := of(e.Offer); e.What {
		case SetAside:
			o.units += e.QtyUnits
			o.fen += e.Fen
			o.pieces = append(o.pieces, e)
		case Returned:
			o.back += e.QtyUnits
			o.fen -= e.Fen
		case Paid:
			o.given += e.QtyUnits
			o.fen -= e.Fen
			p := paidFor[e.Allocation]
			paidFor[e.Allocation] = paid{p.units + e.QtyUnits, p.fen + e.Fen}
			o.pieces = append(o.pieces, e)
		case Recovered:
			o.given -= e.QtyUnits
			o.fen += e.Fen
			p := paidFor[e.Allocation]
			paidFor[e.Allocation] = paid{p.units - e.QtyUnits, p.fen - e.Fen}
		}
	}
	delete(offers, "")
	for _, id := range slices.Sorted(maps.Keys(offers)) {
		o := offers[id]
		left := o.units - o.given - o.back
		d, open := f.Draw(id)
		switch {
		case open && (d.QtyUnits != o.units || d.SpentUnits != o.given || d.ReturnedUnits != o.back):
			fault("counts %d of %d units of offer %s given and %d returned; its journal %d of %d and %d", d.SpentUnits, d.QtyUnits, id, d.ReturnedUnits, o.given, o.units, o.back)
		case !open && (left != 0 || o.fen != 0):
			fault("has %d units and %d fen of offer %s open and has forgotten it", left, o.fen, id)
		}
		if err := k.verifyOffer(ctx, b, id, o, paidFor, seenMs, fault); err != nil {
			return err
		}
	}
	return nil
}

// offerBooks are what a journal says of an offer.
type offerBooks struct {
	units, given, back, fen int64 // fen: set aside and neither spent nor returned
	pieces                  []*Entry
}

// paid is what was paid for a handover and not recovered.
type paid struct{ units, fen int64 }

func (k *Keeper) verifyOffer(ctx context.Context, b *books, id string, o *offerBooks, paidFor map[string]paid, seenMs int64, fault func(string, ...any)) error {
	f := b.fund
	found, err := k.cfg.Offers.OffersByID(ctx, []string{id})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if d, ok := f.Draw(id); ok && d.AtMs < k.cfg.Now().Add(-2*orphanAfter).UnixMilli() {
			fault("has money set aside for offer %s, which was never posted", id)
		}
		return nil
	}
	offer := found[0]
	if !drawsOn(offer, f) {
		if d, ok := f.Draw(id); o.given > 0 || ok && d.AtMs < k.cfg.Now().Add(-2*orphanAfter).UnixMilli() {
			fault("has money set aside for offer %s, which it does not pay for", id)
		}
		return nil
	}
	t, err := TermsOf(offer)
	if err != nil || t.QtyUnits != o.units {
		fault("has set money aside for %d units of offer %s, which says otherwise", o.units, id)
		return nil //nolint:nilerr // terms that no fund takes are the fault just named
	}
	for _, e := range o.pieces {
		if n := f.streamOf(e.Stream); n >= 0 && !allows(f.Streams[n].Category, f.Streams[n].Division, t) {
			fault("uses money for offer %s that was directed to something else, entry %s", id, e.ID)
		}
	}
	shares, err := k.cfg.Offers.Shares(ctx, id)
	if err != nil {
		return err
	}
	var back, given int64
	ended := max(t.UntilMs, offer.WithdrawnMs)
	for _, sh := range shares {
		back += sh.Expired + sh.Withdrawn
		ended = max(ended, sh.UpdatedMs) // something may come back after the end
		if err := k.cfg.Ledger.HandedOver(ctx, sh.ID, func(a *care.Allocation) error {
			p := paidFor[a.ID]
			given += p.units
			switch {
			case a.Unsettled || lastBackMs(a) >= seenMs-lateness: // to be booked
			case p.units == 0 && a.QtyUnits > 0 && a.EndedMs < seenMs-lateness:
				fault("has not paid for handover %s of offer %s", a.ID, id)
			case p.units != 0 && (p.units != a.QtyUnits || p.fen != a.QtyUnits*t.ValueFen):
				fault("has paid %d fen for %d units of handover %s, which gave %d at %d fen", p.fen, p.units, a.ID, a.QtyUnits, t.ValueFen)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if given < o.given {
		fault("has paid for %d units of offer %s that nobody was handed", o.given-given, id)
	}
	if back > o.back && ended < seenMs-orphanAfter.Milliseconds() {
		fault("has returned the money of %d units of offer %s, of which %d came back", o.back, id, back)
	}
	if o.back > back {
		fault("has returned the money of %d units of offer %s, of which %d came back", o.back, id, back)
	}
	return nil
}

// verifyOffers finds offers that draw on a fund which knows nothing of them.
func (k *Keeper) verifyOffers(ctx context.Context, r *Report) error {
	return k.cfg.Offers.OpenOffers(ctx, func(o *providers.Offer) error {
		if o.Fund == "" || len(o.Lots) == 0 {
			return nil
		}
		first := entryOfOffer(o.Fund, o.ID, 0)
		f, err := k.cfg.Books.funds.Get(ctx, o.Fund)
		if err != nil {
			return err
		}
		done, err := k.cfg.Books.booked(ctx, []string{first})
		if err == nil && !done[first] && !f.pends(first) {
			r.Faults = append(r.Faults, fmt.Sprintf("offer %s draws on fund %s, which has nothing set aside for it", o.ID, o.Fund))
		}
		return err
	})
}
