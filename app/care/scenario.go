package care

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching/simulate"
	"github.com/xingfuma/happycode/providers"
)

// ErrTooLittle says that the record has too little of a period to play it.
var ErrTooLittle = errors.New("too few needs or lots in the period")

// MaxScenarioDays is the longest period that can be played again.
const MaxScenarioDays = 31

// leastNeeds is how many needs a period must have to say anything.
const leastNeeds = 20

// Scenario is a county's last days, today included, as they can be played
// again: what was asked for and what was there, nobody named. Ids and places
// are numbered anew, times are whole minutes. The same number of days before
// serves as history.
//
// It begins with what was left of the lots at the time; caps used up and needs
// that waited before are not in it. A need without an end lasts to the end, one
// that was withdrawn or declined until then.
//
// Errors: [ErrTooLittle].
func (s *Service) Scenario(ctx context.Context, county string, days int) (*simulate.Scenario, error) {
	if days < 1 || days > MaxScenarioDays {
		return nil, fmt.Errorf("%d days: 1 to %d", days, MaxScenarioDays)
	}
	cst := time.FixedZone("CST", 8*60*60)
	y, m, d := s.now().In(cst).Date()
	p := past{
		service: s, county: county, days: days,
		start: time.Date(y, m, d-days+1, 0, 0, 0, 0, cst), end: time.Date(y, m, d+1, 0, 0, 0, 0, cst),
		households: names("h"), places: names("r"), people: map[string]*residents.Resident{},
		units: map[string]int64{},
	}
	return p.scenario(ctx)
}

// past is a period on its way to a scenario.
type past struct {
	service            *Service
	county             string
	days               int
	start, end         time.Time
	households, places func(string) string
	people             map[string]*residents.Resident
	divisions          []string         // in the order of their new names
	units              map[string]int64 // by category: the largest number that divides all quantities
}

// names numbers ids in the order in which they are first asked for.
func names(prefix string) func(string) string {
	known := map[string]string{}
	return func(id string) string {
		if _, ok := known[id]; !ok {
			known[id] = fmt.Sprintf("%s%05d", prefix, len(known)+1)
		}
		return known[id]
	}
}

func (p *past) scenario(ctx context.Context) (*simulate.Scenario, error) {
	before := p.start.AddDate(0, 0, -p.days)
	history, err := p.needs(ctx, before, p.start)
	if err != nil {
		return nil, err
	}
	needs, err := p.needs(ctx, p.start, p.end)
	if err != nil {
		return nil, err
	}
	resources, lots, err := p.resources(ctx)
	if err != nil {
		return nil, err
	}
	if len(needs) < leastNeeds || lots == 0 {
		return nil, fmt.Errorf("county %s, %d days: %d needs, %d lots: %w", p.county, p.days, len(needs), lots, ErrTooLittle)
	}
	out := &simulate.Scenario{
		Version: 1, Start: p.start.Format(time.DateOnly), Horizon: p.end.Sub(p.start).Minutes(), Delta: 0.3,
		Resources: resources, Needs: needs, History: history,
	}
	for i := range out.Needs {
		out.Needs[i].ID = fmt.Sprintf("n%06d", i+1)
	}
	for i := range p.divisions {
		out.Regions = append(out.Regions, fmt.Sprintf("r%05d", i+1))
	}
	for _, g := range residents.Groups() {
		out.Groups = append(out.Groups, g.ID)
	}
	for _, c := range providers.Categories() {
		if _, ok := p.units[c.ID]; ok {
			p.divides(c.ID, c.CapUnits)
			out.Categories = append(out.Categories, simulate.Category{Name: c.ID, Cap: c.CapUnits, Period: c.CapPeriod})
		}
	}
	p.scale(out)
	return out, nil
}

// divides keeps the largest unit of a category in which all its quantities are
// whole: cash is counted in fen, and 50,000 of them are one grant.
func (p *past) divides(category string, qty int64) {
	a, b := p.units[category], qty
	for b != 0 {
		a, b = b, a%b
	}
	p.units[category] = a
}

func (p *past) scale(s *simulate.Scenario) {
	for i := range s.Categories {
		s.Categories[i].Cap /= p.units[s.Categories[i].Name]
	}
	for i := range s.Resources {
		r := &s.Resources[i]
		r.Cap /= p.units[r.Category]
		for k := range r.Lots {
			r.Lots[k].Qty /= p.units[r.Category]
		}
	}
	for _, needs := range [][]simulate.Need{s.Needs, s.History} {
		for i := range needs {
			needs[i].Qty /= p.units[needs[i].Category]
		}
	}
}

// minute is a time of the record in whole minutes after another.
func minute(ms int64, from time.Time) float64 {
	return math.Floor(float64(ms-from.UnixMilli()) / 60_000)
}

// needs reads what came up in [from, to), in order.
func (p *past) needs(ctx context.Context, from, to time.Time) ([]simulate.Need, error) {
	var found []*residents.Need
	for _, state := range []residents.NeedState{
		residents.NeedOpen, residents.NeedHeld, residents.NeedPromised, residents.NeedHandedOver, residents.NeedWaiting,
		residents.NeedDeclined, residents.NeedExpired, residents.NeedWithdrawn,
	} {
		err := p.service.residents.NeedCollection().Each(ctx, store.Query{
			Index: "state", Equal: []any{p.county, string(state)}, From: store.Millis(from), To: store.Millis(to), Limit: store.MaxPage,
		}, func(n *residents.Need) error {
			found = append(found, n)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b *residents.Need) int {
		return cmp.Or(cmp.Compare(a.CreatedMs, b.CreatedMs), cmp.Compare(a.ID, b.ID))
	})
	if err := p.readPeople(ctx, found); err != nil {
		return nil, err
	}
	var out []simulate.Need
	seen := map[string]bool{} // a need that changed its state while it was read
	for _, n := range found {
		r := p.people[n.Resident]
		if _, known := providers.CategoryByID(n.Category); r == nil || !known || seen[n.ID] {
			continue
		}
		seen[n.ID] = true
		p.divides(n.Category, n.QtyUnits)
		until := store.Millis(to)
		if n.UntilMs > 0 {
			until = min(until, n.UntilMs)
		}
		if n.State == residents.NeedDeclined || n.State == residents.NeedWithdrawn {
			until = min(until, n.UpdatedMs)
		}
		x := simulate.Need{
			Resident: p.households(n.Household), T: minute(n.CreatedMs, from), Category: n.Category, Qty: n.QtyUnits,
			Urgency: n.Urgency, MPI: float64(r.ScoreMilli) / 1000, Region: p.region(n.Division), Groups: r.Groups,
			Weight: float64(n.WeightMilli(r.ScoreMilli)) / 1000,
		}
		x.Deadline = max(x.T, minute(until, from))
		out = append(out, x)
	}
	return out, nil
}

func (p *past) region(division string) string {
	if !slices.Contains(p.divisions, division) {
		p.divisions = append(p.divisions, division)
	}
	return p.places(division)
}

func (p *past) readPeople(ctx context.Context, needs []*residents.Need) error {
	var ids []string
	for _, n := range needs {
		if _, ok := p.people[n.Resident]; !ok {
			p.people[n.Resident] = nil
			ids = append(ids, n.Resident)
		}
	}
	for part := range slices.Chunk(ids, store.MaxPage) {
		people, err := p.service.residents.Collection().GetAll(ctx, part)
		if err != nil {
			return err
		}
		for _, r := range people {
			p.people[r.ID] = r
		}
	}
	return nil
}

// resources reads what could be used in the period, with what was left of it
// at the beginning.
func (p *past) resources(ctx context.Context) (out []simulate.Resource, lots int, err error) {
	organisations := names("p")
	for after := ""; ; {
		page, next, err := p.service.providers.Offers(ctx, "", after, store.MaxPage)
		if err != nil {
			return nil, 0, err
		}
		slices.SortFunc(page, func(a, b *providers.Offer) int { return cmp.Compare(a.ID, b.ID) })
		for _, o := range page {
			r := simulate.Resource{
				ID: fmt.Sprintf("o%05d", len(out)+1), Provider: organisations(o.Organisation), ProviderKind: string(o.Kind), Category: o.Category,
				Regions: p.served(o), Groups: o.Groups, MinMPI: float64(o.MinScoreMilli) / 1000, Cap: o.CapUnits,
			}
			if r.Cap > 0 {
				r.CapPeriod = o.CapPeriod
			}
			if len(r.Regions) == 0 {
				continue
			}
			if r.Lots, err = p.lots(ctx, o); err != nil {
				return nil, 0, err
			}
			if len(r.Lots) == 0 {
				continue
			}
			p.divides(o.Category, o.CapUnits)
			for _, l := range r.Lots {
				p.divides(o.Category, l.Qty)
			}
			lots += len(r.Lots)
			out = append(out, r)
		}
		if after = next; after == "" {
			return out, lots, nil
		}
	}
}

// served are the places of the scenario that an offer reaches.
func (p *past) served(o *providers.Offer) []string {
	var out []string
	for _, place := range p.divisions {
		if slices.ContainsFunc(o.Divisions, func(d string) bool { return regions.Within(place, d) }) {
			out = append(out, p.places(place))
		}
	}
	if len(out) > 0 && len(out) == len(p.divisions) {
		return []string{"*"}
	}
	return out
}

// within are the places of the scenario that lie in a division; none where that
// is empty.
func (p *past) within(division string) (out []string) {
	for _, place := range p.divisions {
		if division != "" && regions.Within(place, division) {
			out = append(out, p.places(place))
		}
	}
	return out
}

func (p *past) lots(ctx context.Context, o *providers.Offer) ([]simulate.Lot, error) {
	var out []simulate.Lot
	for _, l := range o.Lots {
		until := l.UntilMs
		if o.WithdrawnMs > 0 {
			until = min(until, o.WithdrawnMs)
		}
		from := max(l.FromMs, o.CreatedMs)
		units, err := p.lotUnits(ctx, l)
		if err != nil {
			return nil, err
		}
		if units == 0 || until <= store.Millis(p.start) || from >= store.Millis(p.end) || from >= until {
			continue
		}
		if from < store.Millis(p.start) {
			gone, err := p.gone(ctx, providers.ShareID(l.ID, p.county))
			if err != nil {
				return nil, err
			}
			if units -= gone; units < 1 {
				continue
			}
		}
		x := simulate.Lot{
			Qty: units, From: max(0, minute(l.FromMs, p.start)), Until: minute(until, p.start), Announced: max(0, minute(o.CreatedMs, p.start)),
		}
		x.Until = max(x.Until, x.From)
		if k := o.KeptFor(l); k != nil {
			x.Kept = &simulate.Kept{Group: k.Group, Regions: p.within(k.Division)}
			if k.Division != "" && len(x.Kept.Regions) == 0 { // nobody of the scenario lives there
				x.Kept.Regions = []string{p.region(k.Division)}
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// lotUnits are the county's of a lot, with those that came from other counties and
// without those that went to them.
func (p *past) lotUnits(ctx context.Context, l providers.OfferLot) (int64, error) {
	split, here := l.Shares[p.county]
	if !here {
		return 0, nil
	}
	sh, err := p.service.shares.Get(ctx, providers.ShareID(l.ID, p.county))
	if errors.Is(err, store.ErrNotFound) { // it was never written
		return split, nil
	}
	if err != nil {
		return 0, err
	}
	return sh.QtyUnits, nil
}

// gone is how many units of a share were given before the period, or promised
// then and not given back before it.
func (p *past) gone(ctx context.Context, share string) (units int64, err error) {
	start := store.Millis(p.start)
	err = p.service.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{share}, Limit: store.MaxPage}, func(a *Allocation) error {
		back := a.State != HandedOver && a.EndedMs > 0 && a.EndedMs < start
		if a.State != Void && a.PromisedMs < start && !back {
			units += a.QtyUnits
		}
		return nil
	})
	return units, err
}
