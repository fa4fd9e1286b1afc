package care

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Bundle is what a device needs to work without a network: the roster, what is
// leased to it, and by what rules it may give.
type Bundle struct {
	Lease       LeaseView    `json:"lease"`
	ServerMs    int64        `json:"server_ms"`
	PINAboveFen int64        `json:"pin_above_fen"` // worth above which a handover takes the PIN; 0: always; -1: never
	People      []Person     `json:"people"`
	Spares      []BundleItem `json:"spares"`
	// Disputed are spares that the device reported as given and a person has to
	// judge. No need counts them yet, and no room.
	Disputed []BundleDisputed `json:"disputed"`
}

// BundleDisputed is a spare that was given with a doubt; its need is the one
// that it was given for.
type BundleDisputed struct {
	BundleItem
	Resident string `json:"resident"`
}

// Person is one of the roster.
type Person struct {
	Resident  string       `json:"resident"`
	Name      string       `json:"name"`
	Place     string       `json:"place"`
	BirthYear int          `json:"birth_year"`
	Groups    []string     `json:"groups"`
	CardNo    string       `json:"card_no"`
	Household string       `json:"household"`
	Codes     []PersonCode `json:"codes"`   // accepted now
	Revoked   []string     `json:"revoked"` // code ids that are not accepted any more
	PINHash   string       `json:"pin_hash"`
	Needs     []PersonNeed `json:"needs"`
	// Room is how many units the household may still have, by category, and as
	// "o:<offer>" by an offer of which there are spares; -1: no cap.
	Room  map[string]int64 `json:"room"`
	Items []BundleItem     `json:"items"`
	// Elsewhere is promised to the person and leased to another device.
	Elsewhere []Elsewhere `json:"elsewhere"`
}

// PersonCode is a happiness code that opens the person.
type PersonCode struct {
	ID        string `json:"id"`
	CarerName string `json:"carer_name"` // "" for the person's own
	Relation  string `json:"relation"`
	UntilMs   int64  `json:"until_ms"` // 0: no end
	PINHash   string `json:"pin_hash"` // of the carer's PIN; "" for the person's own code
}

// PersonNeed is an open need.
type PersonNeed struct {
	ID        string          `json:"id"`
	Category  string          `json:"category"`
	QtyUnits  int64           `json:"qty_units"`
	LeftUnits int64           `json:"left_units"` // neither promised nor given
	Urgency   int             `json:"urgency"`
	Reason    matching.Reason `json:"reason"`
	Rest      matching.Reason `json:"rest"` // why what is left waits beside a promise; empty where nothing does
}

// BundleItem is an allocation that the device may hand over.
type BundleItem struct {
	Allocation string             `json:"allocation"`
	Need       string             `json:"need"` // "" for a spare
	Offer      string             `json:"offer"`
	TitleZH    string             `json:"title_zh"`
	TitleEN    string             `json:"title_en"`
	Category   string             `json:"category"`
	Unit       string             `json:"unit"`
	QtyUnits   int64              `json:"qty_units"`
	ValueFen   int64              `json:"value_fen"` // per unit; 0: not stated
	UntilMs    int64              `json:"until_ms"`  // may be given until then
	Handover   providers.Handover `json:"handover"`
	Reason     matching.Reason    `json:"reason"` // why it was promised; empty for a spare
}

// Elsewhere is what another device has for the person.
type Elsewhere struct {
	Allocation string `json:"allocation"`
	TitleZH    string `json:"title_zh"`
	TitleEN    string `json:"title_en"`
	Device     string `json:"device"` // as its owner calls it
	UntilMs    int64  `json:"until_ms"`
}

// Bundle is the lease of a device as it stands now, for a refresh while there
// is a network. Errors: [ErrNotYours], [ErrDeviceLost], [store.ErrNotFound].
func (s *Service) Bundle(ctx context.Context, p accounts.Principal, device string) (*Bundle, error) {
	d, err := s.trusted(ctx, p, device)
	if err != nil {
		return nil, err
	}
	l, err := s.LeaseOf(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := s.within(ctx, p, "refresh_offline", l.ID, "", l.Division); err != nil {
		return nil, err
	}
	if err := s.seen(ctx, d); err != nil {
		return nil, err
	}
	if err := s.looked(ctx, p, l, "refresh_offline"); err != nil {
		return nil, err
	}
	return s.bundle(ctx, l)
}

// lookedEvery is how often, in ms, a device that refreshes its roster again and
// again is written down with each person of it; in between it is the lease's.
const lookedEvery = 3_600_000

// looked writes to the audit log that the account has each person on the
// device.
func (s *Service) looked(ctx context.Context, p accounts.Principal, l *Lease, act string) error {
	now := s.now().UnixMilli()
	if now-l.LookedMs < lookedEvery {
		return s.audit.Write(ctx, audit.Entry{
			AtMs: now, Actor: p.Account, Role: string(p.Role), Act: act, Object: l.ID, Division: l.Division, Outcome: "ok",
		})
	}
	for part := range slices.Chunk(l.People, 200) {
		entries := make([]audit.Entry, len(part))
		for i, id := range part {
			entries[i] = audit.Entry{
				AtMs: now, Actor: p.Account, Role: string(p.Role), Act: act, Object: l.ID, Subject: id,
				Division: l.Division, Purpose: "hand over aid without a network", Outcome: "ok",
			}
		}
		if err := s.audit.Write(ctx, entries...); err != nil {
			return err
		}
	}
	_, err := s.leases.Change(ctx, l.ID, func(l *Lease) error {
		l.LookedMs = now
		return nil
	})
	return err
}

func (s *Service) bundle(ctx context.Context, l *Lease) (*Bundle, error) {
	view, err := s.LeaseView(ctx, l)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Lease: view, ServerMs: s.now().UnixMilli(), PINAboveFen: -1, Spares: []BundleItem{}, Disputed: []BundleDisputed{}}
	if fen, ok := s.PINAboveFen(); ok {
		b.PINAboveFen = fen
	}
	var spares []*Allocation
	disputed := map[string]*Allocation{} // by the record
	if err := s.allocations.Each(ctx, store.Query{
		Index: "lease", Equal: []any{l.ID, string(Promised)},
	}, func(a *Allocation) error {
		switch {
		case !a.Spare:
		case a.Disputed != "":
			disputed[a.Disputed] = a
		default:
			spares = append(spares, a)
			b.Spares = append(b.Spares, bundleItem(a))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	records, err := s.offline.GetAll(ctx, slices.Sorted(maps.Keys(disputed)))
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		item := bundleItem(disputed[r.ID])
		item.Need = r.Need
		b.Disputed = append(b.Disputed, BundleDisputed{BundleItem: item, Resident: r.Resident})
	}
	people := make([]*Person, len(l.People))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	for i, id := range l.People {
		g.Go(func() (err error) {
			people[i], err = s.bundlePerson(gctx, l, id, spares)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	b.People = make([]Person, 0, len(people))
	for _, p := range people {
		if p != nil {
			b.People = append(b.People, *p)
		}
	}
	slices.SortStableFunc(b.People, func(x, y Person) int {
		return cmp.Or(cmp.Compare(x.Place, y.Place), cmp.Compare(x.Name, y.Name))
	})
	return b, nil
}

// bundlePerson describes one person; nil when they are not served here any more.
func (s *Service) bundlePerson(ctx context.Context, l *Lease, id string, spares []*Allocation) (*Person, error) {
	r, err := s.residents.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.Status != residents.Active {
		return nil, nil
	}
	open, err := s.residents.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	p := &Person{
		Resident: r.ID, Name: open.Name, Place: s.tree().Name(r.Division), BirthYear: r.BirthYear, Groups: r.Groups,
		CardNo: r.CardNo, Household: r.Household, PINHash: r.PINHash, Codes: []PersonCode{}, Revoked: []string{},
		Needs: []PersonNeed{}, Room: map[string]int64{}, Items: []BundleItem{}, Elsewhere: []Elsewhere{},
	}
	if p.Groups == nil {
		p.Groups = []string{}
	}
	codes, err := s.residents.Codes(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, c := range codes {
		if c.Status != residents.CodeActive {
			p.Revoked = append(p.Revoked, c.ID)
			continue
		}
		code := PersonCode{ID: c.ID}
		if c.Carer != "" {
			by, err := s.shownBy(ctx, r.ID, c.Carer)
			if err != nil {
				return nil, err
			}
			carer, err := s.residents.Carer(ctx, r.ID, c.Carer)
			if err != nil {
				return nil, err
			}
			code.CarerName, code.Relation, code.UntilMs, code.PINHash = by.Name, by.Relation, by.UntilMs, carer.PINHash
		}
		p.Codes = append(p.Codes, code)
	}
	promised, err := s.promisedTo(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range promised {
		switch {
		case a.Disputed != "" || a.Lease == "":
		case a.Lease == l.ID:
			p.Items = append(p.Items, bundleItem(a))
		default:
			p.Elsewhere = append(p.Elsewhere, Elsewhere{
				Allocation: a.ID, TitleZH: a.TitleZH, TitleEN: a.TitleEN, Device: a.LeaseName, UntilMs: a.LeaseUntilMs,
			})
		}
	}
	needs, err := s.openNeeds(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	for _, n := range needs {
		past, err := s.pastOf(ctx, n.ID)
		if err != nil {
			return nil, err
		}
		v := needView(n, past)
		p.Needs = append(p.Needs, PersonNeed{
			ID: n.ID, Category: n.Category, QtyUnits: n.QtyUnits, Urgency: n.Urgency,
			LeftUnits: max(0, n.QtyUnits-v.PromisedUnits-v.GivenUnits), Reason: v.Reason, Rest: v.Rest,
		})
	}
	return p, s.rooms(ctx, r, p, spares)
}

// rooms says what of the caps the household has left, for the categories of
// the needs and the offers of the spares.
func (s *Service) rooms(ctx context.Context, r *residents.Resident, p *Person, spares []*Allocation) error {
	now := s.now()
	room := func(key string, c matching.Cap, category string) error {
		if _, known := p.Room[key]; known {
			return nil
		}
		p.Room[key] = -1
		if c.Limit == 0 {
			return nil
		}
		used, err := s.used(ctx, r.Household, category, c, now)
		p.Room[key] = max(0, c.Limit-used)
		return err
	}
	for _, n := range p.Needs {
		if err := room(n.Category, categoryCap(n.Category, now), n.Category); err != nil {
			return err
		}
	}
	for _, a := range spares {
		if !slices.ContainsFunc(p.Needs, func(n PersonNeed) bool { return n.Category == a.Category }) {
			continue
		}
		if a.CapUnits == 0 {
			continue
		}
		if err := room("o:"+a.Offer, a.spareCap(now), a.Category); err != nil {
			return err
		}
	}
	return nil
}

// categoryCap is the cap of a category for a claim at t.
func categoryCap(category string, t time.Time) matching.Cap {
	c, _ := providers.CategoryByID(category)
	return matching.Cap{Field: "c:" + category, Period: c.CapPeriod.Label(t), Limit: c.CapUnits}
}

// spareCap is the own cap of a spare's offer for a claim at t.
func (a *Allocation) spareCap(t time.Time) matching.Cap {
	if a.CapUnits == 0 {
		return matching.Cap{}
	}
	return matching.Cap{Field: "o:" + a.Offer, Period: a.CapPeriod.Label(t), Limit: a.CapUnits}
}

// used sums what of a cap a household has, by the record.
func (s *Service) used(ctx context.Context, household, category string, c matching.Cap, t time.Time) (int64, error) {
	// Claims are in the order of the category's periods; the cap's may have
	// begun earlier.
	of, _ := providers.CategoryByID(category)
	from := of.CapPeriod.Label(matching.PeriodOf(c.Period).Start(t))
	var used int64
	err := s.allocations.Each(ctx, store.Query{
		Index: "claim", From: household + "|c:" + category + "|" + from + "|", To: household + "|c:" + category + "}",
	}, func(a *Allocation) error {
		for _, own := range []matching.Cap{a.CategoryCap, a.OfferCap} {
			if a.counts() && own.Field == c.Field && own.Period == c.Period {
				used += a.QtyUnits
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("what household %s has had: %w", household, err)
	}
	return used, nil
}

func bundleItem(a *Allocation) BundleItem {
	item := BundleItem{
		Allocation: a.ID, Need: a.Need, Offer: a.Offer, TitleZH: a.TitleZH, TitleEN: a.TitleEN, Category: a.Category,
		Unit: a.Unit, QtyUnits: a.QtyUnits, ValueFen: a.ValueFen, UntilMs: a.UntilMs, Handover: a.Handover, Reason: a.Reason,
	}
	if a.Spare {
		item.Need, item.Reason = "", matching.Reason{}
	}
	if a.Category == providers.Cash { // worth itself
		item.ValueFen = 1
	}
	return item
}
