package care

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/eligibility"
)

// openOffer is an offer as promises copy it.
type openOffer struct {
	*providers.Offer
	providerName string
	lots         map[string]providers.OfferLot // by lot id
	rule         *eligibility.Rule             // nil: none, or one that cannot be read
}

// image is its first photo, "" for none.
func (o openOffer) image() string {
	if len(o.Images) == 0 {
		return ""
	}
	return o.Images[0]
}

// lot is the lot that a share is of.
func (o openOffer) lot(share string) providers.OfferLot {
	id, _, _ := strings.Cut(share, "@")
	return o.lots[id]
}

// keptOf is for whom a lot is kept, and until when at the latest.
func (s *Service) keptOf(o *providers.Offer, lot providers.OfferLot) matching.Kept {
	k := o.KeptFor(lot)
	if k == nil {
		return matching.Kept{}
	}
	out := matching.Kept{Group: k.Group, OpensMs: matching.LastPart(lot.FromMs, lot.UntilMs, s.fetch)}
	if k.Division != "" {
		out.Divisions = []string{k.Division}
	}
	return out
}

// keptText names those for whom something is kept.
func (s *Service) keptText(k providers.Kept) matching.Text {
	group := matching.Text{ZH: k.Group}
	for _, g := range residents.Groups() {
		if g.ID == k.Group {
			group = matching.Text{ZH: g.ZH, EN: g.EN}
		}
	}
	if k.Division == "" {
		return group
	}
	place := k.Division
	if d, ok := s.tree().Get(k.Division); ok {
		place = d.Name
	}
	if k.Group == "" {
		return matching.Text{ZH: place}
	}
	return matching.Text{ZH: place + "的" + group.ZH, EN: group.EN + ", " + place}
}

// offers is what this process knows of the offers; the catalogue has what the
// matcher needs of them.
type offers struct {
	mu   sync.RWMutex
	byID map[string]openOffer
}

func (s *Service) offer(id string) (openOffer, bool) {
	s.known.mu.RLock()
	defer s.known.mu.RUnlock()
	o, ok := s.known.byID[id]
	return o, ok
}

// remember keeps what promises copy of an offer, and returns what the catalogue
// needs of it.
func (s *Service) remember(o *providers.Offer, org *providers.Organisation) matching.Offer {
	entry := openOffer{Offer: o, providerName: org.Name, lots: map[string]providers.OfferLot{}}
	mo := matching.Offer{
		ID: o.ID, Version: o.Revision, Category: o.Category, Divisions: o.Divisions, Groups: o.Groups,
		MinScoreMilli: o.MinScoreMilli, Rule: o.Rule.Expr != "", Keys: o.Keys(), CapUnits: o.CapUnits, CapPeriod: o.CapPeriod,
		Pace: o.Pace, ReserveMilli: o.ReserveMilli,
	}
	if o.Only != "" {
		mo.Groups = []string{only(o.Only)}
	}
	if mo.Rule {
		var err error
		if entry.rule, err = eligibility.Parse(o.Rule.Expr); err != nil {
			s.log.Error("read a rule; it admits nobody", "offer", o.ID, "error", err)
		} else {
			for _, key := range entry.rule.Reads.Received {
				mo.Watches = append(mo.Watches, key.ID)
			}
		}
	}
	for _, lot := range o.Lots {
		entry.lots[lot.ID] = lot
		whole := ""
		if len(lot.Shares) > 1 {
			whole = lot.ID
		}
		kept := s.keptOf(o, lot)
		for county := range lot.Shares {
			mo.Lots = append(mo.Lots, matching.Lot{
				ID: providers.ShareID(lot.ID, county), Whole: whole, County: county, FromMs: lot.FromMs, UntilMs: lot.UntilMs, Kept: kept,
			})
		}
	}
	s.known.mu.Lock()
	s.known.byID[o.ID] = entry
	s.known.mu.Unlock()
	return mo
}

// loadOffers makes the catalogue what the record says: every open offer of an
// approved organisation that has time left, and no other. Lots that the matcher
// does not know yet are opened; opening again changes nothing.
func (s *Service) loadOffers(ctx context.Context) error {
	now := s.now().UnixMilli()
	orgs := map[string]*providers.Organisation{}
	flows := map[string]bool{}
	var fresh []*providers.Offer
	if err := s.providers.OpenOffers(ctx, func(o *providers.Offer) error {
		org := orgs[o.Organisation]
		if org == nil {
			var err error
			if org, err = s.providers.Get(ctx, o.Organisation); err != nil {
				return err
			}
			orgs[o.Organisation] = org
		}
		if org.Status != providers.Approved || lastUntil(o) <= now {
			return nil
		}
		flows[o.ID] = true
		if _, known := s.offer(o.ID); !known {
			fresh = append(fresh, o)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("load offers: %w", err)
	}
	all := make([]matching.Offer, 0, len(fresh))
	for _, o := range fresh {
		if err := s.providers.EnsureShares(ctx, o); err != nil {
			return fmt.Errorf("load offer %s: %w", o.ID, err)
		}
		all = append(all, s.remember(o, orgs[o.Organisation]))
	}
	s.catalogue.Put(all...)
	for _, o := range fresh {
		if err := s.openLots(ctx, o.ID); err != nil && !errors.Is(err, matching.ErrNotReady) {
			return fmt.Errorf("load offer %s: %w", o.ID, err)
		}
	}
	s.known.mu.RLock()
	var gone []string
	for id := range s.known.byID {
		if !flows[id] {
			gone = append(gone, id)
		}
	}
	s.known.mu.RUnlock()
	for _, id := range gone {
		o, err := s.providers.Offer(ctx, id)
		if err != nil {
			return err
		}
		org, err := s.providers.Get(ctx, o.Organisation)
		if err != nil {
			return err
		}
		if err := s.follow(ctx, o, org); err != nil { // it may have been posted just now
			return err
		}
	}
	return nil
}

// lastUntil is when the last lot of an offer ends, Unix ms.
func lastUntil(o *providers.Offer) int64 {
	var until int64
	for _, lot := range o.Lots {
		until = max(until, lot.UntilMs)
	}
	return until
}

// followMargin is how far the clocks of two servers may differ, and how long a
// write may take, for one to follow the other's offers; sweepEvery is how often
// one looks so far back. Between two sweeps it looks [ToldMargin] back, which is
// enough where clocks differ by three seconds.
const (
	followMargin = time.Minute
	sweepEvery   = 10 * time.Second
)

// onTick does a thing at every tick until the context ends. What must not wait
// for anything else has a loop of its own.
func (s *Service) onTick(ctx context.Context, ticks <-chan time.Time, what string, do func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		s.report(ctx, what, do(ctx))
	}
}

// following is how far others' offers are followed; the loop that does it alone
// has it.
type following struct {
	at, swept time.Time        // when they were last looked for, and last a whole margin back
	seen      map[string]int64 // of the offers of the last margin: the version that was taken in
}

// followOffers learns what other processes have posted and withdrawn since the
// last time that it could. What it has taken in already is passed over.
func (s *Service) followOffers(ctx context.Context) error {
	began, f := s.now(), &s.followed
	sweep := f.seen == nil || began.Sub(f.swept) >= sweepEvery
	from := f.at.Add(-ToldMargin)
	if sweep {
		from = f.swept.Add(-followMargin)
	}
	if sweep {
		if err := s.providers.FinishDecisions(ctx); err != nil {
			return fmt.Errorf("follow offers: %w", err)
		}
	}
	seen := map[string]int64{}
	var changed []*providers.Offer
	if err := s.providers.ChangedOffers(ctx, from.UnixMilli(), func(o *providers.Offer) error {
		if v, ok := f.seen[o.ID]; ok && v == o.V {
			seen[o.ID] = v
		} else {
			changed = append(changed, o)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("follow offers: %w", err)
	}
	orgs, err := s.providers.Named(ctx, organisationsOf(changed))
	if err != nil {
		return fmt.Errorf("follow offers: %w", err)
	}
	if sweep {
		f.seen = seen
	}
	for _, o := range changed {
		if err := s.follow(ctx, o, orgs[o.Organisation]); err != nil {
			return fmt.Errorf("follow offer %s: %w", o.ID, err)
		}
		f.seen[o.ID] = o.V
	}
	if f.at = began; sweep {
		f.swept = began
	}
	return nil
}

func organisationsOf(offers []*providers.Offer) []string {
	var ids []string
	for _, o := range offers {
		ids = append(ids, o.Organisation)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// follow takes an open offer of an approved organisation in, and any other out.
func (s *Service) follow(ctx context.Context, o *providers.Offer, org *providers.Organisation) error {
	_, known := s.offer(o.ID)
	flows := o.Status == providers.OfferOpen && org != nil && org.Status == providers.Approved && lastUntil(o) > s.now().UnixMilli()
	if flows == known {
		return nil
	}
	if !flows {
		s.forget(o.ID)
		return nil
	}
	if err := s.providers.EnsureShares(ctx, o); err != nil {
		return err
	}
	s.catalogue.Put(s.remember(o, org))
	if err := s.openLots(ctx, o.ID); err != nil && !errors.Is(err, matching.ErrNotReady) {
		return err
	}
	return nil
}

func (s *Service) forget(id string) {
	s.catalogue.Remove(id)
	s.known.mu.Lock()
	delete(s.known.byID, id)
	s.known.mu.Unlock()
}

// openLots tells the matcher of an offer's shares.
func (s *Service) openLots(ctx context.Context, offer string) error {
	shares, err := s.providers.Shares(ctx, offer)
	if err != nil {
		return err
	}
	byCounty := map[string][]matching.LotState{}
	for _, sh := range shares {
		byCounty[sh.County] = append(byCounty[sh.County], lotState(sh))
	}
	for county, lots := range byCounty {
		if err := s.engine.OpenLots(ctx, county, lots); err != nil {
			return fmt.Errorf("open lots of %s in %s: %w", offer, county, err)
		}
	}
	return nil
}

func lotState(sh *providers.Share) matching.LotState {
	return matching.LotState{
		ID: sh.ID, Category: sh.Category, FreeUnits: sh.FreeUnits(), TakenUnits: sh.Promised + sh.HandedOver,
		Closed: sh.Closed,
	}
}

// PostOffer records an offer of the principal's organisation and lets it flow.
// Errors: those of [providers.Service.Post], [ErrNotYours].
func (s *Service) PostOffer(ctx context.Context, p accounts.Principal, organisation string, n providers.NewOffer) (*providers.Offer, error) {
	if p.Role == accounts.Provider && p.Organisation != organisation {
		return nil, ErrNotYours
	}
	org, err := s.providers.Get(ctx, organisation)
	if err != nil {
		return nil, err
	}
	o, err := s.providers.Post(ctx, p.Account, org, n)
	if err != nil {
		return nil, err
	}
	// The record has it: what follows is repeated by loadOffers and rebuild.
	s.catalogue.Put(s.remember(o, org))
	if err := s.openLots(ctx, o.ID); err != nil {
		s.log.Warn("open a new offer's lots later", "offer", o.ID, "error", err)
	}
	// Suspended between the look and the writing: whoever decided has not seen
	// this offer. Who decides after this look will.
	if now, err := s.providers.Get(ctx, org.ID); err != nil || now.Status != providers.Approved {
		s.forget(o.ID)
		s.log.Warn("a new offer is not matched: its organisation was suspended meanwhile", "offer", o.ID, "error", err)
	}
	var qty int64
	for _, lot := range o.Lots {
		qty += lot.QtyUnits
	}
	s.emit(ctx, &Event{
		Meta: store.Meta{ID: o.ID + ":posted"}, AtMs: o.CreatedMs, Kind: "offer.posted",
		Organisation: o.Organisation, Offer: o.ID, QtyUnits: qty, By: p.Account,
	})
	for _, lot := range o.Lots {
		for county := range lot.Shares {
			s.worker.Kick(county)
		}
	}
	return o, nil
}

// WithdrawOffer takes back what is not promised yet; promises stand.
// Withdrawing again changes nothing. Errors: [ErrNotYours], [store.ErrNotFound].
func (s *Service) WithdrawOffer(ctx context.Context, p accounts.Principal, id string) (*providers.Offer, error) {
	o, err := s.providers.Offer(ctx, id)
	if err != nil {
		return nil, err
	}
	if p.Role == accounts.Provider && p.Organisation != o.Organisation {
		return nil, ErrNotYours
	}
	if o, err = s.providers.MarkWithdrawn(ctx, p.Account, id); err != nil {
		return nil, err
	}
	s.forget(id)
	shares, err := s.providers.Shares(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, sh := range shares {
		if err := s.closeShare(ctx, sh, providers.OfferWithdrawn); err != nil {
			return nil, err
		}
	}
	s.emit(ctx, &Event{
		Meta: store.Meta{ID: id + ":withdrawn"}, AtMs: o.WithdrawnMs, Kind: "offer.withdrawn",
		Organisation: o.Organisation, Offer: id, By: p.Account, Reason: matching.ReasonOfferWithdrawn(),
	})
	return o, nil
}

// closeShare ends a share in the record first, so that nothing is reserved on
// it any more, then in the matcher.
func (s *Service) closeShare(ctx context.Context, sh *providers.Share, why string) error {
	if !sh.Closed {
		if _, err := s.shares.Change(ctx, sh.ID, func(sh *providers.Share) error {
			sh.Close(why)
			sh.UpdatedMs = s.now().UnixMilli()
			return nil
		}); err != nil {
			return err
		}
	}
	if _, err := s.engine.CloseLot(ctx, sh.County, sh.ID); err != nil && !errors.Is(err, matching.ErrNotReady) {
		return fmt.Errorf("close lot %s: %w", sh.ID, err)
	}
	return nil
}

// Stock is what became of an offer's units, share by share.
func (s *Service) Stock(ctx context.Context, offer string) ([]ShareStock, error) {
	shares, err := s.providers.Shares(ctx, offer)
	if err != nil {
		return nil, err
	}
	byCounty := map[string][]string{}
	for _, sh := range shares {
		byCounty[sh.County] = append(byCounty[sh.County], sh.ID)
	}
	o, err := s.providers.Offer(ctx, offer)
	if err != nil {
		return nil, err
	}
	kept := make(map[string]int64, len(o.Lots))
	for _, lot := range o.Lots {
		kept[lot.ID] = lot.Kept
	}
	held := map[string]int64{}
	for county, ids := range byCounty {
		stocks, err := s.engine.Stock(ctx, county, ids)
		if errors.Is(err, matching.ErrNotReady) {
			continue // the record's figures are still right
		}
		if err != nil {
			return nil, err
		}
		for _, st := range stocks {
			held[st.ID] = st.HeldUnits
		}
	}
	out := make([]ShareStock, len(shares))
	for i, sh := range shares {
		h := min(held[sh.ID], sh.FreeUnits())
		out[i] = ShareStock{
			Share: sh.ID, Lot: sh.Lot, Kept: kept[sh.Lot], County: sh.County, QtyUnits: sh.QtyUnits, FreeUnits: sh.FreeUnits() - h, HeldUnits: h,
			PromisedUnits: sh.Promised, HandedOverUnits: sh.HandedOver, ExpiredUnits: sh.Expired,
			WithdrawnUnits: sh.Withdrawn, MovedInUnits: sh.MovedIn, MovedOutUnits: sh.MovedOut, FromMs: sh.FromMs, UntilMs: sh.UntilMs, Closed: sh.Closed, ClosedWhy: sh.ClosedWhy,
		}
	}
	return out, nil
}
