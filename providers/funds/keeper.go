package funds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// Ledger is what a [Keeper] asks of app/care.
type Ledger interface {
	// Told reads what happened, see [care.Service.Told].
	Told(ctx context.Context, fromMs, toMs int64, after string, limit int) ([]*care.Event, string, error)
	// Promise reads an allocation.
	Promise(ctx context.Context, id string) (*care.Allocation, error)
	// HandedOver visits what was handed over of a share, also what came back since.
	HandedOver(ctx context.Context, share string, visit func(*care.Allocation) error) error
}

// Offers is what a [Keeper] asks of providers.
type Offers interface {
	OffersByID(ctx context.Context, ids []string) ([]*providers.Offer, error)
	NeverPosted(ctx context.Context, id, organisation, fund string) (*providers.Offer, error)
	Shares(ctx context.Context, offer string) ([]*providers.Share, error)
	OpenOffers(ctx context.Context, visit func(*providers.Offer) error) error
}

// KeeperConfig is what a [Keeper] needs; all but Logger are required.
type KeeperConfig struct {
	Record store.Record
	Books  *Service
	Ledger Ledger
	Offers Offers
	Now    func() time.Time
	Logger *slog.Logger
}

// Keeper books what becomes of offers that draw on funds: handovers are paid,
// what was paid for units that came back is recovered, and what expires or is withdrawn returns its money. It follows the ledger of
// events and looks at the shares; every step may be repeated, and any number of
// processes may do it at once.
type Keeper struct {
	cfg   KeeperConfig
	reads store.Collection[reading, *reading]

	mu     sync.Mutex
	fundOf map[string]string // by offer; "" draws on none

	swept, recounted time.Time
}

// reading says how far the ledger of events was read.
type reading struct {
	store.Meta `bson:",inline"`
	AtMs       int64 `json:"at_ms"`
}

const (
	readingID = "keeper"
	// sweepEvery is how often shares are looked at for what came back, and
	// recountEvery how often handovers are counted whose event was lost.
	sweepEvery, recountEvery = time.Minute, time.Hour
	// orphanAfter is how long an offer may take to be written after its money was
	// set aside; a request takes less than a minute.
	orphanAfter = 10 * time.Minute
	// remembered is how many offers' funds are kept in memory.
	remembered = 100_000
	// kindGiven is the event of a handover, kindBack of what came back of one.
	kindGiven = "allocation." + string(care.HandedOver)
	kindBack  = "allocation." + string(care.Returned)
)

// NewKeeper makes a keeper.
func NewKeeper(c KeeperConfig) *Keeper {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{cfg: c, reads: store.Of[reading](c.Record, readSchema), fundOf: map[string]string{}}
}

// Run keeps the books until ctx ends.
func (k *Keeper) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := k.Tick(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Error("keep the funds' books", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Tick books what the ledger tells, and from time to time looks at the shares.
func (k *Keeper) Tick(ctx context.Context) error {
	now := k.cfg.Now()
	errs := []error{k.follow(ctx)}
	if now.Sub(k.swept) >= sweepEvery {
		recount := now.Sub(k.recounted) >= recountEvery
		err := k.Sweep(ctx, recount)
		if errs = append(errs, err); err == nil {
			if k.swept = now; recount {
				k.recounted = now
			}
		}
	}
	return errors.Join(errs...)
}

// follow books the handovers that the ledger tells of, and what came back. What could not be booked
// is read again.
func (k *Keeper) follow(ctx context.Context) error {
	to := k.cfg.Now().Add(-care.ToldMargin).UnixMilli()
	at, err := k.reads.Get(ctx, readingID)
	if errors.Is(err, store.ErrNotFound) { // what came before is found by the first recount
		err = k.reads.Insert(ctx, &reading{Meta: store.Meta{ID: readingID}, AtMs: to})
		if errors.Is(err, store.ErrDuplicate) {
			return nil
		}
	}
	if err != nil || at == nil || at.AtMs >= to {
		return err
	}
	for after := ""; ; {
		events, next, err := k.cfg.Ledger.Told(ctx, at.AtMs, to, after, store.MaxPage)
		if err != nil {
			return err
		}
		if err := k.book(ctx, events); err != nil {
			return err
		}
		if after = next; next == "" {
			break
		}
	}
	_, err = k.reads.Change(ctx, readingID, func(r *reading) error {
		r.AtMs = max(r.AtMs, to)
		return nil
	})
	return err
}

// book pays for the handovers among events and recovers what was paid for units
// that came back, in the order in which they are told: what comes back may have
// been given to somebody else since, for the same money.
func (k *Keeper) book(ctx context.Context, events []*care.Event) error {
	var offers []string
	for _, e := range events {
		if e.Kind == kindGiven || e.Kind == kindBack {
			offers = append(offers, e.Offer)
		}
	}
	if len(offers) == 0 {
		return nil
	}
	funds, err := k.fundsOf(ctx, offers)
	if err != nil {
		return err
	}
	given := map[string][]Given{} // by fund
	for _, e := range events {
		switch fund := funds[e.Offer]; {
		case fund == "":
		case e.Kind == kindGiven:
			given[fund] = append(given[fund], Given{
				Allocation: e.Allocation, Offer: e.Offer, QtyUnits: e.QtyUnits, AtMs: e.AtMs, Town: townOf(e.Division), Person: e.Resident,
			})
		case e.Kind == kindBack:
			if err := k.pay(ctx, fund, given[fund]); err != nil {
				return err
			}
			delete(given, fund)
			if err := k.odd(k.cameBack(ctx, fund, e.Offer, e.Allocation), fund); err != nil {
				return err
			}
		}
	}
	for fund, some := range given {
		if err := k.pay(ctx, fund, some); err != nil {
			return err
		}
	}
	return nil
}

// pay pays for handovers. Where one does not fit the books its offer is counted
// again: the event of what came back before may be lost.
func (k *Keeper) pay(ctx context.Context, fund string, given []Given) error {
	err := k.cfg.Books.Spend(ctx, fund, given)
	if !errors.Is(err, ErrBooks) {
		return err
	}
	counted := map[string]bool{}
	for _, g := range given {
		if counted[g.Offer] {
			continue
		}
		counted[g.Offer] = true
		shares, err := k.cfg.Offers.Shares(ctx, g.Offer)
		if err != nil {
			return err
		}
		if err := k.odd(k.recount(ctx, fund, g.Offer, shares), fund); err != nil {
			return err
		}
	}
	return nil
}

// odd logs what does not fit a fund's books, which verify names: the others go on.
// Any other error is the answer.
func (k *Keeper) odd(err error, fund string) error {
	if errors.Is(err, ErrBooks) {
		k.cfg.Logger.Error("a handover does not fit the fund's books", "fund", fund, "error", err)
		return nil
	}
	return err
}

// cameBack recovers what was paid for units of an allocation that came back after
// it was handed over. The event is only the occasion: what counts is how much the
// person has still. What came back before the last unit was given was never paid.
func (k *Keeper) cameBack(ctx context.Context, fund, offer, allocation string) error {
	a, err := k.cfg.Ledger.Promise(ctx, allocation)
	if err != nil || a.ReturnedUnits == 0 {
		return err
	}
	found, err := k.cfg.Offers.OffersByID(ctx, []string{offer})
	if err != nil || len(found) == 0 {
		return err
	}
	t, err := TermsOf(found[0])
	if err != nil {
		return fmt.Errorf("take back of offer %s: %w", offer, ErrBooks)
	}
	return k.cfg.Books.Recover(ctx, fund, t, keptOf(a))
}

func keptOf(a *care.Allocation) Kept {
	return Kept{Allocation: a.ID, QtyUnits: a.QtyUnits, AtMs: lastBackMs(a)}
}

// lastBackMs is when something of an allocation came back last, Unix ms; 0: never.
func lastBackMs(a *care.Allocation) int64 {
	if n := len(a.Backs); n > 0 {
		return a.Backs[n-1].AtMs
	}
	return 0
}

// townOf is the town, or the county, that a division lies in.
func townOf(division string) string {
	if len(division) != 12 {
		return division
	}
	return division[:9] + "000"
}

// fundsOf says which funds offers draw on; what an offer says never changes.
func (k *Keeper) fundsOf(ctx context.Context, offers []string) (map[string]string, error) {
	out, unknown := map[string]string{}, []string{}
	k.mu.Lock()
	for _, id := range offers {
		if fund, ok := k.fundOf[id]; ok {
			out[id] = fund
		} else if _, asked := out[id]; !asked {
			out[id] = ""
			unknown = append(unknown, id)
		}
	}
	k.mu.Unlock()
	if len(unknown) == 0 {
		return out, nil
	}
	found, err := k.cfg.Offers.OffersByID(ctx, unknown)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.fundOf)+len(found) > remembered {
		clear(k.fundOf)
	}
	for _, o := range found {
		out[o.ID], k.fundOf[o.ID] = o.Fund, o.Fund
	}
	return out, nil
}

// Sweep looks at every offer that draws on a fund: what expired or was withdrawn
// returns its money, an offer that was never written too, and with recount
// handovers are paid whose event was lost. It also empties what funds hold for
// the journal.
func (k *Keeper) Sweep(ctx context.Context, recount bool) error {
	var errs []error
	for after := ""; ; {
		page, next, err := k.cfg.Books.List(ctx, "", after, 100)
		if err != nil {
			return err
		}
		for _, f := range page {
			if err := k.sweep(ctx, f, recount); err != nil {
				errs = append(errs, fmt.Errorf("sweep fund %s: %w", f.ID, err))
			}
		}
		if after = next; next == "" {
			return errors.Join(errs...)
		}
	}
}

func (k *Keeper) sweep(ctx context.Context, f *Fund, recount bool) error {
	if len(f.Pending) > 0 {
		if _, err := k.cfg.Books.change(ctx, f.ID, func(*Fund) error { return nil }); err != nil {
			return err
		}
	}
	var errs []error
	for _, d := range f.Draws {
		if err := k.sweepDraw(ctx, f, d, recount); err != nil {
			errs = append(errs, fmt.Errorf("offer %s: %w", d.Offer, err))
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) sweepDraw(ctx context.Context, f *Fund, d Draw, recount bool) error {
	now := k.cfg.Now().UnixMilli()
	found, err := k.cfg.Offers.OffersByID(ctx, []string{d.Offer})
	switch {
	case err != nil:
		return err
	case len(found) > 0 && !drawsOn(found[0], f):
		return k.cfg.Books.GiveBack(ctx, f.ID, d.Offer, d.QtyUnits)
	case len(found) == 0 && now-d.AtMs > orphanAfter.Milliseconds():
		return k.giveUp(ctx, f, d)
	case len(found) == 0:
		return nil
	}
	shares, err := k.cfg.Offers.Shares(ctx, d.Offer)
	if err != nil {
		return err
	}
	n := countShares(shares)
	// What was paid for units that came back is recovered before it returns.
	var odd error
	if n.given < d.SpentUnits || n.given > d.SpentUnits && (recount || d.UntilMs <= now) {
		if odd = k.recount(ctx, f.ID, d.Offer, shares); odd != nil && !errors.Is(odd, ErrBooks) {
			return odd
		}
	}
	if n.back > d.ReturnedUnits {
		return errors.Join(odd, k.cfg.Books.GiveBack(ctx, f.ID, d.Offer, n.back))
	}
	return odd
}

// counts are units of all shares of an offer that are out of it for good.
type counts struct{ given, back int64 }

func countShares(shares []*providers.Share) (n counts) {
	for _, sh := range shares {
		n.given += sh.HandedOver
		n.back += sh.Expired + sh.Withdrawn
	}
	return n
}

// drawsOn says whether an offer is one that the fund pays for. It is not where its
// place was taken by NeverPosted, or where a form that was sent again named another
// fund than the one with which the offer was written.
func drawsOn(o *providers.Offer, f *Fund) bool { return len(o.Lots) > 0 && o.Fund == f.ID }

// giveUp sees to it that an offer is never written, and returns its money.
func (k *Keeper) giveUp(ctx context.Context, f *Fund, d Draw) error {
	o, err := k.cfg.Offers.NeverPosted(ctx, d.Offer, f.Organisation, f.ID)
	if err != nil || len(o.Lots) > 0 { // it was written at the last moment
		return err
	}
	return k.cfg.Books.GiveBack(ctx, f.ID, d.Offer, d.QtyUnits)
}

// recount recovers what was paid for units of an offer that came back, and pays
// for whatever was handed over and is not paid.
func (k *Keeper) recount(ctx context.Context, fund, offer string, shares []*providers.Share) error {
	var given []Given
	var back []string
	for _, sh := range shares {
		if err := k.cfg.Ledger.HandedOver(ctx, sh.ID, func(a *care.Allocation) error {
			if a.ReturnedUnits > 0 {
				back = append(back, a.ID)
			}
			if a.QtyUnits > 0 {
				given = append(given, givenOf(a))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	var odd []error
	for _, id := range back {
		switch err := k.cameBack(ctx, fund, offer, id); {
		case errors.Is(err, ErrBooks):
			odd = append(odd, err)
		case err != nil:
			return err
		}
	}
	return errors.Join(append(odd, k.cfg.Books.Spend(ctx, fund, given))...)
}

func givenOf(a *care.Allocation) Given {
	return Given{
		Allocation: a.ID, Offer: a.Offer, QtyUnits: a.QtyUnits, AtMs: a.EndedMs, Town: townOf(a.Division), Person: a.Resident,
	}
}
