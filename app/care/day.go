package care

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// CounterDay is what a counter did today, and what is still to be fetched. It
// says of nobody who they are.
type CounterDay struct {
	AtMs  int64           `json:"at_ms"`
	Given []CounterEntry  `json:"given"` // today, the latest first; 200 at most
	Open  []CounterEntry  `json:"open"`  // promised, whose time ends first come first; 200 at most
	Stock []CounterFigure `json:"stock"` // by offer, of all that is promised now
}

// CounterEntry is one promise, or what was given of it.
type CounterEntry struct {
	CounterItem
	AtMs         int64 `json:"at_ms"`           // when it was given last
	NoShowFromMs int64 `json:"no_show_from_ms"` // from when on it may be said that nobody came; 0: not here
}

// CounterFigure is how much of an offer is promised and not given.
type CounterFigure struct {
	TitleZH   string        `json:"title_zh"`
	TitleEN   string        `json:"title_en"`
	Unit      matching.Text `json:"unit"`
	OpenUnits int64         `json:"open_units"`
}

// maxEntries bounds each list of a day.
const maxEntries = 200

// dayAfter is how long after its lot something stands in an organisation's day.
const dayAfter = 24 * time.Hour

// maxOffersOfDay is how many of an organisation's newest offers a day looks at.
const maxOffersOfDay = 300

// CounterDay reads it. Errors: [ErrNotYours] for who acts for no organisation.
func (s *Service) CounterDay(ctx context.Context, p accounts.Principal) (*CounterDay, error) {
	now := s.now()
	today := matching.Day.End(now).Add(-24 * time.Hour).UnixMilli()
	out := &CounterDay{AtMs: now.UnixMilli(), Given: []CounterEntry{}, Open: []CounterEntry{}, Stock: []CounterFigure{}}
	figures := map[string]int{}
	err := s.eachOwn(ctx, p, func(sh *providers.Share, a *Allocation) error {
		item, err := s.counterItem(p, a)
		if err != nil {
			return err
		}
		entry := CounterEntry{CounterItem: item}
		if n := len(a.Parts); n > 0 && a.State == Promised {
			entry.AtMs = a.Parts[n-1].AtMs
		} else if a.State == HandedOver {
			entry.AtMs = a.givenMs()
		}
		if entry.AtMs >= today && a.givenNow() > 0 {
			out.Given = append(out.Given, entry)
		}
		if a.State != Promised {
			return nil
		}
		entry.NoShowFromMs = noShowFrom(sh, a)
		out.Open = append(out.Open, entry)
		i, ok := figures[a.Offer]
		if !ok {
			i = len(out.Stock)
			figures[a.Offer] = i
			out.Stock = append(out.Stock, CounterFigure{TitleZH: a.TitleZH, TitleEN: a.TitleEN, Unit: item.Unit})
		}
		out.Stock[i].OpenUnits += a.QtyUnits - a.GivenUnits
		return nil
	}, Promised, HandedOver)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out.Given, func(a, b CounterEntry) int { return cmp.Compare(b.AtMs, a.AtMs) })
	slices.SortStableFunc(out.Open, func(a, b CounterEntry) int { return cmp.Compare(a.UntilMs, b.UntilMs) })
	out.Given, out.Open = out.Given[:min(len(out.Given), maxEntries)], out.Open[:min(len(out.Open), maxEntries)]
	return out, nil
}

// noShowFrom is from when on a counter may say that nobody came: in the last
// quarter of the time that this very person had, so that nobody loses a meal who
// is only late, or was promised it a moment ago; what is brought home may be given
// up once somebody came with it and nobody was there.
func noShowFrom(sh *providers.Share, a *Allocation) int64 {
	switch {
	case a.broughtHome() && a.TriedMs > 0:
		return max(a.TriedMs, sh.FromMs)
	case a.broughtHome(), a.Handover.How == providers.Pickup:
		return sh.UntilMs - (sh.UntilMs-max(sh.FromMs, a.PromisedMs))/4
	}
	return 0
}

// broughtHome says that the person does not come for it.
func (a *Allocation) broughtHome() bool {
	return a.Handover.How == providers.Delivery || a.Handover.How == providers.OnSite
}

// eachOwn visits the allocations, in some states, of the organisation's offers
// whose time is not long over.
func (s *Service) eachOwn(ctx context.Context, p accounts.Principal, visit func(*providers.Share, *Allocation) error, states ...State) error {
	if p.Role != accounts.Provider || p.Organisation == "" {
		return ErrNotYours
	}
	lately := s.now().Add(-dayAfter).UnixMilli()
	for after, seen := "", 0; seen < maxOffersOfDay; {
		page, next, err := s.providers.Offers(ctx, p.Organisation, after, 100)
		if err != nil {
			return err
		}
		for _, o := range page {
			if !slices.ContainsFunc(o.Lots, func(l providers.OfferLot) bool { return l.UntilMs > lately }) {
				continue
			}
			shares, err := s.providers.Shares(ctx, o.ID)
			if err != nil {
				return err
			}
			for _, sh := range shares {
				if sh.UntilMs <= lately || sh.Promised+sh.HandedOver == 0 {
					continue
				}
				for _, state := range states {
					if err := s.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{sh.ID, string(state)}}, func(a *Allocation) error {
						if !s.atCounter(p, a) || a.Resident == "" {
							return nil
						}
						return visit(sh, a)
					}); err != nil {
						return err
					}
				}
			}
		}
		if seen += len(page); next == "" {
			return nil
		}
		after = next
	}
	return nil
}

// ReturnAtCounter is [Service.TakeBack] for what the organisation gave, as long as it
// stands in its day: a day after the lot at most. What is long past is put right by the
// village.
func (s *Service) ReturnAtCounter(ctx context.Context, p accounts.Principal, item string, t TakingBack) (CounterItem, error) {
	a, err := s.itemOf(ctx, p, item)
	if err != nil {
		return CounterItem{}, err
	}
	if a.UntilMs <= s.now().Add(-dayAfter).UnixMilli() {
		return CounterItem{}, fmt.Errorf("take back at a counter: %w", ErrEnded)
	}
	if a, err = s.takeBack(ctx, p, a, t); err != nil {
		return CounterItem{}, err
	}
	return s.counterItem(p, a)
}

// ErrTooEarly says that somebody may still come for it.
var ErrTooEarly = errors.New("it may still be fetched")

// NoShowAtCounter is [Service.NoShow] for what the organisation owes, in the last
// quarter of the person's time or after [Service.Tried]; see [CounterEntry].
// Errors: those, and [ErrTooEarly].
func (s *Service) NoShowAtCounter(ctx context.Context, p accounts.Principal, item string) error {
	a, err := s.itemOf(ctx, p, item)
	if err != nil {
		return err
	}
	sh, err := s.shares.Get(ctx, a.Share)
	if err != nil {
		return err
	}
	if from := noShowFrom(sh, a); a.State == Promised && (from == 0 || s.now().UnixMilli() < from) {
		return ErrTooEarly
	}
	_, err = s.noShow(ctx, p, a)
	return err
}

// Round is what an organisation brings home on a day, town by town.
type Round struct {
	Day   string      `json:"day"`   // 2006-01-02, in China
	Today bool        `json:"today"` // only then names and addresses are told
	Towns []RoundTown `json:"towns"`
}

// RoundTown is the part of a round in one town.
type RoundTown struct {
	Place string      `json:"place"`
	Stops []RoundStop `json:"stops"`
}

// RoundStop is one thing to bring. Name, Phone and Address are there on the day
// only, and only of people who agreed to it; for others the village arranges it.
type RoundStop struct {
	CounterItem
	Village string `json:"village"`
	Name    string `json:"name"`
	Phone   string `json:"phone"`
	Address string `json:"address"`
	Agreed  bool   `json:"agreed"`   // to tell who they are to whoever brings it
	TriedMs int64  `json:"tried_ms"` // when somebody came and nobody was at home
}

// RoundOn is the round of a day, in town order. Who is named on it finds that in the
// audit log.
//
// Errors: [ErrNotYours], [residents.FieldError] for a day that is none or lies more
// than two weeks away.
func (s *Service) RoundOn(ctx context.Context, p accounts.Principal, day string) (*Round, error) {
	china := time.FixedZone("", 8*3600)
	today := s.now().In(china).Format(time.DateOnly)
	begin, err := time.ParseInLocation(time.DateOnly, cmp.Or(day, today), china)
	if err != nil || begin.Sub(s.now()).Abs() > 15*24*time.Hour {
		return nil, &residents.FieldError{Field: "day", ZH: "请选择两周以内的日期", EN: "choose a day within two weeks"}
	}
	out := &Round{Day: begin.Format(time.DateOnly), Today: begin.Format(time.DateOnly) == today, Towns: []RoundTown{}}
	from, until := begin.UnixMilli(), begin.AddDate(0, 0, 1).UnixMilli()
	type found struct {
		stop     RoundStop
		division string
	}
	var all []found
	var trail []audit.Entry
	err = s.eachOwn(ctx, p, func(sh *providers.Share, a *Allocation) error {
		if !a.broughtHome() || sh.UntilMs <= from || sh.FromMs >= until || a.Lease != "" {
			return nil
		}
		item, err := s.counterItem(p, a)
		if err != nil {
			return err
		}
		stop := RoundStop{CounterItem: item, Village: s.tree().Name(a.Division), TriedMs: a.TriedMs}
		r, err := s.residents.Get(ctx, a.Resident)
		if err != nil {
			return err
		}
		stop.Agreed = r.Status == residents.Active && r.Consent.Allows(residents.ConsentDelivery)
		if stop.Agreed && out.Today {
			person, err := s.residents.Open(ctx, r)
			if err != nil {
				return err
			}
			stop.Name, stop.Phone, stop.Address = person.Name, person.Phone, person.Address
			trail = append(trail, audit.Entry{
				AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "delivery_list", Object: a.ID,
				Subject: r.ID, Division: r.Division, Purpose: "bring home what the organisation owes", Outcome: "ok",
			})
		}
		all = append(all, found{stop, a.Division})
		return nil
	}, Promised)
	if err != nil {
		return nil, err
	}
	if len(trail) > 0 {
		if err := s.audit.Write(ctx, trail...); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.division, b.division), cmp.Compare(a.stop.Address, b.stop.Address), cmp.Compare(a.stop.TitleZH, b.stop.TitleZH))
	})
	last := ""
	for _, f := range all {
		town := f.division
		if len(town) == 12 {
			town = town[:9] + "000"
		}
		if town != last {
			out.Towns = append(out.Towns, RoundTown{Place: s.tree().Name(town)})
			last = town
		}
		t := &out.Towns[len(out.Towns)-1]
		t.Stops = append(t.Stops, f.stop)
	}
	return out, nil
}

// Tried notes that somebody came with it and nobody was at home; the promise
// stands. The first time of a day counts.
// Errors: [ErrEnded], [ErrTooEarly] before its day and for what is not brought,
// [store.ErrNotFound].
func (s *Service) Tried(ctx context.Context, p accounts.Principal, item string) (CounterItem, error) {
	a, err := s.itemOf(ctx, p, item)
	if err != nil {
		return CounterItem{}, err
	}
	sh, err := s.shares.Get(ctx, a.Share)
	if err != nil {
		return CounterItem{}, err
	}
	now := s.now()
	a, err = s.allocations.Change(ctx, a.ID, func(a *Allocation) error {
		switch {
		case a.State != Promised:
			return ErrEnded
		case !a.broughtHome(), now.UnixMilli() < sh.FromMs:
			return ErrTooEarly
		}
		if a.TriedMs == 0 || matching.DayNumber(time.UnixMilli(a.TriedMs)) != matching.DayNumber(now) {
			a.TriedMs = now.UnixMilli()
		}
		return nil
	})
	if err != nil {
		return CounterItem{}, fmt.Errorf("try to bring: %w", err)
	}
	if err := s.audited(ctx, p, "delivery_tried", a); err != nil {
		return CounterItem{}, err
	}
	return s.counterItem(p, a)
}
