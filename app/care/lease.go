package care

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Bounds of a lease.
const (
	MaxLease  = 72 * time.Hour // how long a device may be away
	maxGrace  = 72 * time.Hour
	MaxPeople = 1000 // in one lease: a town beyond it goes village by village
	MaxSpares = 200  // units held in advance by all devices of an account
)

// Why a lease ended.
const (
	LeaseReturned = "returned" // by its device, when it had synced
	LeaseRecalled = "recalled" // by its account without the device: what that has not synced is not known
	LeaseLost     = "lost"     // the device was reported lost
	LeaseOver     = "over"     // nobody reported within the grace
)

// Errors about leases that callers tell apart.
var (
	// ErrLeaseLive says that the device has another lease, to be returned first.
	ErrLeaseLive = errors.New("the device has a lease already")
	// ErrLeaseEnded says that the lease has ended.
	ErrLeaseEnded = errors.New("the lease has ended")
)

// LeasedError says that a device has the allocation and nobody else may change
// it; who waits until UntilMs (Unix ms) may again.
type LeasedError struct {
	Device  string // as its owner calls it
	UntilMs int64
}

func (e *LeasedError) Error() string { return "leased to a device" }

// Codes of the reasons that leases give.
const (
	CodeLeased        = "leased"
	CodeDisputed      = "disputed"
	CodeLeaseEnded    = "lease_ended"
	CodeGivenOffline  = "given_offline"
	CodeSpare         = "spare"
	CodeNotReceived   = "not_received"
	CodeOfflineTaken  = "offline_accepted"
	CodeOfflineRefuse = "offline_refused"
)

// Reason is the error in words.
func (e *LeasedError) Reason() matching.Reason {
	at := chinaTime(e.UntilMs)
	return matching.Reason{
		Code: CodeLeased,
		ZH:   "已由离线设备“" + e.Device + "”领走，最晚至 " + at + "；在此之前请由该设备交付。",
		EN:   "Taken along offline by the device “" + e.Device + "” until " + at + " (China time) at the latest; until then only it hands this over.",
	}
}

// ReasonDisputed says why an allocation waits for a person.
func ReasonDisputed() matching.Reason {
	return matching.Reason{
		Code: CodeDisputed,
		ZH:   "离线设备报告已交付，但有疑点，正等待人工核实。",
		EN:   "A device reported it as handed over offline, with a doubt that a person has to settle first.",
	}
}

func chinaTime(ms int64) string {
	return time.UnixMilli(ms).In(time.FixedZone("", 8*3600)).Format("2006-01-02 15:04")
}

// leased says why nobody but a device may change the allocation, if so.
func (a *Allocation) leased() matching.Reason {
	switch {
	case a.State != Promised:
	case a.Disputed != "":
		return ReasonDisputed()
	case a.Lease != "":
		return (&LeasedError{Device: a.LeaseName, UntilMs: a.LeaseUntilMs}).Reason()
	}
	return matching.Reason{}
}

// Lease is what a device has taken along: the people of a division, what is
// promised to them, and spares. Its items are the allocations that name it.
type Lease struct {
	store.Meta  `bson:",inline"`
	Device      string       `json:"device"`
	Account     string       `json:"account"`
	Division    string       `json:"division"`
	County      string       `json:"county"`
	Asked       string       `json:"asked"` // fingerprint of what was asked for
	FromMs      int64        `json:"from_ms"`
	UntilMs     int64        `json:"until_ms"`      // the device gives until then
	SyncUntilMs int64        `json:"sync_until_ms"` // its reports are waited for until then
	People      []string     `json:"people,omitempty"`
	Spares      []SpareOrder `json:"spares,omitempty"`
	LookedMs    int64        `json:"looked_ms"` // when its people were last told who has them
	Items       int64        `json:"items"`     // when it was taken
	Ended       bool         `json:"ended"`
	EndedMs     int64        `json:"ended_ms"`
	EndedBy     string       `json:"ended_by"`
	EndedWhy    string       `json:"ended_why"`
	Given       int64        `json:"given"`    // when it ended
	Returned    int64        `json:"returned"` // when it ended
	// Unfinished: it has ended, but what it had may not all be back.
	Unfinished bool `json:"unfinished"`
}

var leaseSchema = store.Schema{Name: "leases", Indexes: []store.Index{
	{Name: "device", Fields: []string{"device", "from_ms"}},
	{Name: "live", Fields: []string{"ended", "sync_until_ms"}},
	{Name: "ended", Fields: []string{"ended", "ended_ms"}},
	{Name: "unfinished", Fields: []string{"unfinished", "ended_ms"}},
}}

// SpareOrder asks for units of an offer in advance, one portion each.
type SpareOrder struct {
	Offer    string `json:"offer"`
	QtyUnits int64  `json:"qty_units"`
}

// NewLease is what a device asks for.
type NewLease struct {
	Division string
	Hours    int64 // 1..72
	Spares   []SpareOrder
	Key      string // repeats with the same key are the same lease; "": a new one
}

// LeaseView is a lease as pages and the API show it.
type LeaseView struct {
	ID          string `json:"id"`
	Device      string `json:"device"`
	Division    string `json:"division"`
	Place       string `json:"place"`
	FromMs      int64  `json:"from_ms"`
	UntilMs     int64  `json:"until_ms"`
	SyncUntilMs int64  `json:"sync_until_ms"`
	Items       int64  `json:"items"`    // allocations taken along, spares included
	Given       int64  `json:"given"`    // reported as handed over and taken in
	Reported    int64  `json:"reported"` // records that have come
	Gaps        int64  `json:"gaps"`     // records that must exist, by their numbers, and have not come
	Ended       bool   `json:"ended"`
	EndedWhy    string `json:"ended_why"` // "", "returned", "recalled", "lost" or "over"
	EndedMs     int64  `json:"ended_ms"`
	Returned    int64  `json:"returned"` // went back when it ended
	Late        int64  `json:"late"`     // of those reported: after it had ended
}

// LeaseView describes a lease. Errors: those of the record.
func (s *Service) LeaseView(ctx context.Context, l *Lease) (LeaseView, error) {
	v := LeaseView{
		ID: l.ID, Device: l.Device, Division: l.Division, Place: s.tree().Name(l.Division), FromMs: l.FromMs,
		UntilMs: l.UntilMs, SyncUntilMs: l.SyncUntilMs, Items: l.Items, Given: l.Given, Ended: l.Ended,
		EndedWhy: l.EndedWhy, EndedMs: l.EndedMs, Returned: l.Returned,
	}
	if !l.Ended || l.Unfinished {
		items, given, err := s.countLease(ctx, l.ID)
		if err != nil {
			return v, err
		}
		v.Items, v.Given = max(items, l.Items), given
	}
	var first, last int64
	err := s.offline.Each(ctx, store.Query{Index: "lease", Equal: []any{l.ID}}, func(r *offlineRecord) error {
		if v.Reported == 0 {
			first = r.Seq
		}
		if v.Reported, last = v.Reported+1, r.Seq; l.Ended && r.AtMs > l.EndedMs {
			v.Late++
		}
		return nil
	})
	if v.Reported > 0 {
		v.Gaps = max(0, last-first+1-v.Reported)
	}
	return v, err
}

// countLease counts the allocations that a lease has, and those handed over.
func (s *Service) countLease(ctx context.Context, lease string) (items, given int64, err error) {
	err = s.eachLeased(ctx, lease, func(a *Allocation) error {
		items++
		if a.State == HandedOver {
			given++
		}
		return nil
	})
	return items, given, err
}

func (s *Service) eachLeased(ctx context.Context, lease string, visit func(*Allocation) error) error {
	return s.allocations.Each(ctx, store.Query{Index: "lease", Equal: []any{lease}}, visit)
}

// LeaseOf is the live lease of a device. Errors: [store.ErrNotFound].
func (s *Service) LeaseOf(ctx context.Context, d *Device) (*Lease, error) {
	if d.Lease == "" {
		return nil, fmt.Errorf("lease of device %s: %w", d.ID, store.ErrNotFound)
	}
	l, err := s.leases.Get(ctx, d.Lease)
	if err == nil && l.Ended {
		return nil, fmt.Errorf("lease of device %s: %w", d.ID, store.ErrNotFound)
	}
	return l, err
}

// Leases are the leases of a device, the newest first, up to limit.
func (s *Service) Leases(ctx context.Context, device string, limit int) ([]*Lease, error) {
	ls, _, err := s.leases.Find(ctx, store.Query{Index: "device", Equal: []any{device}, Desc: true, Limit: limit})
	return ls, err
}

// Choices is what a device may take along from a division.
type Choices struct {
	Division string        `json:"division"`
	Place    string        `json:"place"`
	People   int           `json:"people"` // active residents; one more than max_people: too many
	Spares   []SpareChoice `json:"spares"`
	MaxHours int           `json:"max_hours"`
	// Bounds, so that a form can say them beforehand.
	MaxPeople int   `json:"max_people"`
	MaxSpares int   `json:"max_spares"` // units of all offers, on all devices of the account
	HeldUnits int64 `json:"held_units"` // spares that other devices of the account have of these
}

// SpareChoice is an offer of which units may be held in advance.
type SpareChoice struct {
	Offer     string `json:"offer"`
	TitleZH   string `json:"title_zh"`
	TitleEN   string `json:"title_en"`
	Unit      string `json:"unit"`
	Category  string `json:"category"`
	FreeUnits int64  `json:"free_units"`
	MostUnits int64  `json:"most_units"` // that the device may hold in advance, at most what is free
}

// Choices says what the device may take along from a division.
// Errors: [ErrNotYours], [ErrDeviceLost], [store.ErrNotFound], [regions.ErrDivision].
func (s *Service) Choices(ctx context.Context, p accounts.Principal, device, division string) (*Choices, error) {
	d, err := s.trusted(ctx, p, device)
	if err != nil {
		return nil, err
	}
	if err := s.seen(ctx, d); err != nil {
		return nil, err
	}
	if division == "" {
		division = p.Division
	}
	county, err := s.takable(ctx, p, device, division)
	if err != nil {
		return nil, err
	}
	people, err := s.peopleOf(ctx, division)
	if err != nil {
		return nil, err
	}
	c := &Choices{
		Division: division, Place: s.tree().Name(division), People: len(people), Spares: []SpareChoice{},
		MaxHours: int(MaxLease / time.Hour), MaxPeople: MaxPeople, MaxSpares: MaxSpares,
	}
	if county == "" {
		return c, nil
	}
	if c.HeldUnits, err = s.sparesElsewhere(ctx, d); err != nil {
		return nil, err
	}
	for _, o := range s.spareOffers(division, county) {
		shares, err := s.shares.GetAll(ctx, o.shares)
		if err != nil {
			return nil, err
		}
		var free int64
		for _, sh := range shares {
			free += sh.FreeUnits()
		}
		if free > 0 {
			c.Spares = append(c.Spares, SpareChoice{
				Offer: o.ID, TitleZH: o.TitleZH, TitleEN: o.TitleEN, Unit: o.Unit, Category: o.Category,
				FreeUnits: free, MostUnits: min(free, mostSpares(free)),
			})
		}
	}
	return c, nil
}

// takable says whether the division is the principal's to take along, and its
// county; "" above counties.
func (s *Service) takable(ctx context.Context, p accounts.Principal, device, division string) (county string, err error) {
	if _, ok := s.tree().Get(division); !ok {
		return "", fmt.Errorf("division: %w", regions.ErrDivision)
	}
	if err := s.within(ctx, p, "take_offline", device, "", division); err != nil {
		return "", err
	}
	if level := regions.LevelOf(division); level == regions.Province || level == regions.City {
		return "", nil
	}
	return regions.County(division), nil
}

// peopleOf are the active residents of a division, up to one more than a lease
// may have.
func (s *Service) peopleOf(ctx context.Context, division string) ([]*residents.Resident, error) {
	var out []*residents.Resident
	for after := ""; ; {
		page, next, err := s.residents.List(ctx, division, after, store.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if r.Status == residents.Active {
				out = append(out, r)
			}
			if len(out) > MaxPeople {
				return out, nil
			}
		}
		if next == "" {
			return out, nil
		}
		after = next
	}
}

// spareOffer is an offer with its open shares in a county, those that can be
// used longest first.
type spareOffer struct {
	openOffer
	shares []string
}

// spareOffers are the offers of which a device may have spares in a division:
// open to everybody there, and handed over by the caseworker in whole units.
// Whether somebody belongs to a group, has the score, or meets a rule is not for a device
// without a network to decide.
func (s *Service) spareOffers(division, county string) []spareOffer {
	now := s.now().UnixMilli()
	s.known.mu.RLock()
	defer s.known.mu.RUnlock()
	var out []spareOffer
	for _, o := range s.known.byID {
		if !carried(o.Handover) || o.Category == providers.Cash || len(o.Groups) > 0 || o.MinScoreMilli > 0 || o.Rule.Expr != "" || o.Only != "" {
			continue
		}
		if !slices.ContainsFunc(o.Divisions, func(d string) bool { return regions.Within(division, d) }) {
			continue
		}
		x := spareOffer{openOffer: o}
		var lots []providers.OfferLot
		for _, lot := range o.lots {
			if _, here := lot.Shares[county]; here && lot.Kept == 0 && lot.FromMs <= now && now < lot.UntilMs {
				lots = append(lots, lot)
			}
		}
		slices.SortFunc(lots, func(a, b providers.OfferLot) int {
			return cmp.Or(cmp.Compare(b.UntilMs, a.UntilMs), cmp.Compare(a.ID, b.ID))
		})
		for _, lot := range lots {
			x.shares = append(x.shares, providers.ShareID(lot.ID, county))
		}
		if len(lots) > 0 {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b spareOffer) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// carried says whether a caseworker can hand it over on the spot.
func carried(h providers.Handover) bool { return h.How != providers.Transfer }

// TakeLease lets a device take a division along: its people's needs are matched
// as at a scan, what is promised to them is leased to the device, and spares
// are held. With the key of an earlier call it goes on with that lease, so that
// it may be repeated after any fault. progress may be nil.
//
// Errors: [residents.FieldError], [ErrNotYours], [ErrDeviceLost], [ErrLeaseLive],
// [ErrLeaseEnded] when the key's lease is over, [residents.ErrKeyReused],
// [ErrNotReady], [regions.ErrDivision], [store.ErrNotFound].
func (s *Service) TakeLease(ctx context.Context, p accounts.Principal, device string, n NewLease, progress func(done, total int)) (*Bundle, error) {
	d, err := s.trusted(ctx, p, device)
	if err != nil {
		return nil, err
	}
	county, err := s.takable(ctx, p, device, n.Division)
	if err != nil {
		return nil, err
	}
	if err := s.checkLease(n, county); err != nil {
		return nil, err
	}
	if err := s.checkSpares(ctx, d, n, county); err != nil {
		return nil, err
	}
	if ready, err := s.engine.Ready(ctx, county); err != nil || !ready {
		return nil, errors.Join(err, fmt.Errorf("county %s: %w", county, ErrNotReady))
	}
	people, err := s.peopleOf(ctx, n.Division)
	if err != nil {
		return nil, err
	}
	if len(people) > MaxPeople {
		return nil, &residents.FieldError{
			Field: "division",
			ZH:    "该区划的居民超过 " + strconv.Itoa(MaxPeople) + " 人，请逐村(社区)带走",
			EN:    "more than " + strconv.Itoa(MaxPeople) + " people live there: take it along village by village",
		}
	}
	l, err := s.beginLease(ctx, d, n, county, people)
	if err != nil {
		return nil, err
	}
	// Another device of the account may have been let through at the same
	// moment. Both leases are bound by now, so that the later to look sees both.
	if err := s.checkAccount(ctx, d, l.spares()); err != nil {
		return nil, errors.Join(err, s.endLease(ctx, l.ID, LeaseReturned, byWorker))
	}
	if err := s.fillLease(ctx, p, d, l, progress); err != nil {
		return nil, fmt.Errorf("take lease %s: %w", l.ID, err)
	}
	// Whoever ended it meanwhile may have been done before the last item came.
	if l, err = s.leases.Get(ctx, l.ID); err != nil {
		return nil, err
	}
	if l.Ended {
		return nil, errors.Join(fmt.Errorf("take lease %s: %w", l.ID, ErrLeaseEnded), s.finishLease(ctx, l))
	}
	items, _, err := s.countLease(ctx, l.ID)
	if err != nil {
		return nil, err
	}
	if l, err = s.leases.Change(ctx, l.ID, func(l *Lease) error {
		l.Items = items
		return nil
	}); err != nil {
		return nil, err
	}
	if err := s.looked(ctx, p, l, "take_offline"); err != nil {
		return nil, err
	}
	return s.bundle(ctx, l)
}

func (s *Service) checkLease(n NewLease, county string) error {
	if n.Hours < 1 || n.Hours > int64(MaxLease/time.Hour) {
		return &residents.FieldError{Field: "hours", ZH: "时长应为 1 至 72 小时", EN: "a lease lasts 1 to 72 hours"}
	}
	if county == "" {
		return &residents.FieldError{Field: "division", ZH: "请选择县(区)以下的区划", EN: "choose a county or a division below one"}
	}
	offers := map[string]bool{}
	known := s.spareOffers(n.Division, county)
	for _, sp := range n.Spares {
		if sp.QtyUnits < 1 || sp.QtyUnits > MaxSpares || offers[sp.Offer] {
			return &residents.FieldError{Field: "spare", ZH: "备用份额每种资源只填一次，至少 1 份", EN: "name each offer once, with at least one unit in advance"}
		}
		offers[sp.Offer] = true
		if !slices.ContainsFunc(known, func(o spareOffer) bool { return o.ID == sp.Offer }) {
			return &residents.FieldError{Field: "spare", ZH: "所选资源不能作为该区划的备用份额，请重新选择", EN: "units of this offer cannot be held in advance for this division: choose again"}
		}
	}
	return nil
}

// sparesAlways is how many units of an offer a lease may always hold; of more,
// a quarter of what is free.
const sparesAlways = 8

// mostSpares is how many units of an offer a lease may hold in advance.
func mostSpares(free int64) int64 { return min(MaxSpares, max(sparesAlways, free/4)) }

// checkSpares refuses to take so much in advance that others go without. A
// lease that has begun under the same key was let through before.
func (s *Service) checkSpares(ctx context.Context, d *Device, n NewLease, county string) error {
	var units int64
	var refused error
	for _, sp := range n.Spares {
		units += sp.QtyUnits
		free, err := s.freeSpares(ctx, n.Division, county, sp.Offer)
		if err != nil {
			return err
		}
		if most := mostSpares(free); sp.QtyUnits > most {
			refused = &residents.FieldError{
				Field: "spare", ZH: fmt.Sprintf("每台设备最多带走一种资源余量的四分之一，此资源现在最多 %d 份，请减少", most),
				EN: fmt.Sprintf("a device takes at most a quarter of what is free of an offer, of this one %d units now: ask for fewer", most),
			}
		}
	}
	switch err := s.checkAccount(ctx, d, units); {
	case errors.As(err, new(*residents.FieldError)):
		refused = err
	case err != nil:
		return err
	}
	if refused == nil || n.Key == "" {
		return refused
	}
	if _, err := s.leases.Get(ctx, leaseID(d, n.Key)); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return refused
}

// checkAccount refuses to hold more in advance than an account may, all its
// devices together. Errors: [residents.FieldError], those of the record.
func (s *Service) checkAccount(ctx context.Context, d *Device, units int64) error {
	if units == 0 {
		return nil
	}
	held, err := s.sparesElsewhere(ctx, d)
	if err != nil {
		return err
	}
	if units+held <= MaxSpares {
		return nil
	}
	return &residents.FieldError{
		Field: "spare", ZH: fmt.Sprintf("您的所有设备备用份额合计不能超过 %d 份，其他设备已带走 %d 份；请减少，或先交回其他设备", MaxSpares, held),
		EN: fmt.Sprintf("your devices hold at most %d units in advance, and others have %d: ask for fewer, or return another first", MaxSpares, held),
	}
}

// spares is how many units a lease holds in advance, at most.
func (l *Lease) spares() (units int64) {
	for _, sp := range l.Spares {
		units += sp.QtyUnits
	}
	return units
}

// sparesElsewhere is how many units the other devices of the device's account
// have been asked to hold in advance.
func (s *Service) sparesElsewhere(ctx context.Context, d *Device) (held int64, err error) {
	err = s.devices.Each(ctx, store.Query{Index: "account", Equal: []any{d.Account}}, func(x *Device) error {
		l, err := s.LeaseOf(ctx, x)
		if errors.Is(err, store.ErrNotFound) || err == nil && l.Device == d.ID {
			return nil
		}
		if err != nil {
			return err
		}
		held += l.spares()
		return nil
	})
	return held, err
}

// freeSpares is how many units of an offer are free in the county.
func (s *Service) freeSpares(ctx context.Context, division, county, offer string) (free int64, err error) {
	for _, o := range s.spareOffers(division, county) {
		if o.ID != offer {
			continue
		}
		shares, err := s.shares.GetAll(ctx, o.shares)
		if err != nil {
			return 0, err
		}
		for _, sh := range shares {
			free += sh.FreeUnits()
		}
	}
	return free, nil
}

// leaseID is the id of the lease that a device takes under a key.
func leaseID(d *Device, key string) string {
	sum := sha256.Sum256([]byte(d.ID + "|" + key))
	return hex.EncodeToString(sum[:16])
}

// beginLease writes the lease and binds it to its device; the device's
// compare-and-set decides that it has only one.
func (s *Service) beginLease(ctx context.Context, d *Device, n NewLease, county string, people []*residents.Resident) (*Lease, error) {
	now := s.now()
	until := now.Add(time.Duration(n.Hours) * time.Hour)
	l := &Lease{
		Meta: store.Meta{ID: store.NewID()}, Device: d.ID, Account: d.Account, Division: n.Division, County: county,
		Asked: fmt.Sprintf("%s|%d|%v", n.Division, n.Hours, n.Spares), FromMs: now.UnixMilli(), UntilMs: until.UnixMilli(),
		SyncUntilMs: until.Add(s.grace).UnixMilli(), Spares: n.Spares, People: make([]string, len(people)),
	}
	for i, r := range people {
		l.People[i] = r.ID
	}
	if n.Key != "" {
		l.ID = leaseID(d, n.Key)
	}
	if err := s.leases.Insert(ctx, l); errors.Is(err, store.ErrDuplicate) {
		asked := l.Asked
		if l, err = s.leases.Get(ctx, l.ID); err != nil {
			return nil, err
		}
		switch {
		case l.Asked != asked:
			return nil, fmt.Errorf("lease %s: %w", l.ID, residents.ErrKeyReused)
		case l.Ended:
			return nil, fmt.Errorf("lease %s: %w", l.ID, ErrLeaseEnded)
		}
	} else if err != nil {
		return nil, err
	}
	bind := func(d *Device) error {
		switch {
		case d.State != DeviceActive:
			return ErrDeviceLost
		case d.Lease == l.ID:
			return errSame
		case d.Lease != "":
			return ErrLeaseLive
		}
		d.Lease, d.LastSeenMs = l.ID, now.UnixMilli()
		return nil
	}
	_, err := s.devices.Change(ctx, d.ID, bind)
	if errors.Is(err, ErrLeaseLive) {
		// It may have ended without its device having been told.
		if finished, look := s.finishEnded(ctx, d.ID); look == nil && finished {
			_, err = s.devices.Change(ctx, d.ID, bind)
		}
	}
	if err == nil || errors.Is(err, errSame) {
		return l, nil
	}
	if end := s.endLease(ctx, l.ID, LeaseReturned, byWorker); end != nil {
		s.log.Warn("end a lease that no device has", "lease", l.ID, "error", end)
	}
	return nil, fmt.Errorf("lease to device %s: %w", d.ID, err)
}

// finishEnded finishes a device's lease if it has ended already.
func (s *Service) finishEnded(ctx context.Context, device string) (bool, error) {
	d, err := s.devices.Get(ctx, device)
	if err != nil || d.Lease == "" {
		return err == nil, err
	}
	l, err := s.leases.Get(ctx, d.Lease)
	if err != nil || !l.Ended {
		return false, err
	}
	return true, s.finishLease(ctx, l)
}

// sideBySide is how many people of a lease are matched at once.
const sideBySide = 8

// fillLease matches the people's needs and leases what is promised to them, and
// the spares. Repeating it adds what is missing.
func (s *Service) fillLease(ctx context.Context, p accounts.Principal, d *Device, l *Lease, progress func(done, total int)) error {
	total := len(l.People) + len(l.Spares)
	var mu sync.Mutex
	done := 0
	step := func() {
		mu.Lock()
		defer mu.Unlock()
		if done++; progress != nil {
			progress(done, total)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	for _, id := range l.People {
		g.Go(func() error {
			defer step()
			return s.leasePerson(gctx, p, d, l, id)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, order := range l.Spares {
		if err := s.holdSpares(ctx, d, l, i, order); err != nil {
			return err
		}
		step()
	}
	return nil
}

func (s *Service) leasePerson(ctx context.Context, p accounts.Principal, d *Device, l *Lease, id string) error {
	r, err := s.residents.Get(ctx, id)
	if err != nil {
		return err
	}
	needs, err := s.openNeeds(ctx, id)
	if err != nil {
		return err
	}
	if len(needs) > 0 && r.Consent.Allows(residents.ConsentMatching) {
		m := &match{s: s, by: p.Account, resident: r, needs: needs, until: time.UnixMilli(l.SyncUntilMs)}
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("match resident %s: %w", id, err)
		}
	}
	promised, err := s.promisedTo(ctx, id)
	if err != nil {
		return err
	}
	for _, a := range promised {
		if carried(a.Handover) {
			if err := s.leaseOne(ctx, d, l, a.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaseOne leases one promise to the device, unless it has ended or another
// device has it.
func (s *Service) leaseOne(ctx context.Context, d *Device, l *Lease, id string) error {
	now := s.now().UnixMilli()
	_, err := s.allocations.Change(ctx, id, func(a *Allocation) error {
		if a.State != Promised || a.Lease != "" || a.Disputed != "" || a.GivenUnits > 0 || a.ExpiresMs <= now || a.UntilMs <= now {
			return errSame
		}
		a.leaseTo(d, l)
		return nil
	})
	if err != nil && !errors.Is(err, errSame) {
		return fmt.Errorf("lease %s: %w", id, err)
	}
	return nil
}

func (a *Allocation) leaseTo(d *Device, l *Lease) {
	a.Lease, a.LeaseDevice, a.LeaseName, a.LeaseUntilMs = l.ID, d.ID, d.Name, l.SyncUntilMs
	a.ExpiresMs = l.SyncUntilMs
	a.Leases = append(a.Leases, l.ID)
}

// The need that a spare stands for until somebody gets it: it is in no
// collection. The category stands in it so that it can be taken off a waiting
// list.
func spareNeed(lease, category string, order, portion int) string {
	return fmt.Sprintf("spare:%s:%s:%d:%d", lease, category, order, portion)
}

func spareCategory(need string) (string, bool) {
	parts := strings.Split(need, ":")
	if len(parts) != 5 || parts[0] != "spare" {
		return "", false
	}
	return parts[2], true
}

// spareHousehold is under what name a device's spares are claimed.
func spareHousehold(device string) string { return "device:" + device }

// spareHold is the hold of a spare as it was promised to the device.
func (a *Allocation) spareHold() matching.Hold {
	h := a.hold()
	h.Need, h.Household, h.Seq, h.OfferCap = needOf(a.ID), spareHousehold(a.LeaseDevice), a.SpareSeq, matching.Cap{}
	h.Category = matching.Cap{Field: h.Category.Field, Period: a.SparePeriod}
	return h
}

// sparesAtOnce is how many portions one call to the matcher holds.
const sparesAtOnce = 50

// holdSpares has units held and promised to the device, as far as there are
// any: through the matcher and the record like everything else.
func (s *Service) holdSpares(ctx context.Context, d *Device, l *Lease, order int, ask SpareOrder) error {
	offers := s.spareOffers(l.Division, l.County)
	i := slices.IndexFunc(offers, func(o spareOffer) bool { return o.ID == ask.Offer })
	if i < 0 {
		return nil // withdrawn or over since it was chosen
	}
	o := offers[i]
	portions := make([]int, ask.QtyUnits)
	for k := range portions {
		portions[k] = k
	}
	for part := range slices.Chunk(portions, sparesAtOnce) {
		for range 3 { // what the record refuses is asked for again
			again, err := s.holdPortions(ctx, d, l, order, o, part)
			if err != nil {
				return err
			}
			if !again {
				break
			}
		}
	}
	return nil
}

func (s *Service) holdPortions(ctx context.Context, d *Device, l *Lease, order int, o spareOffer, portions []int) (again bool, err error) {
	ids := make([]string, len(portions))
	for i, k := range portions {
		ids[i] = spareNeed(l.ID, o.Category, order, k) + "-0"
	}
	have, err := s.allocations.GetAll(ctx, ids)
	if err != nil {
		return false, err
	}
	category, _ := providers.CategoryByID(o.Category)
	now := s.now()
	claim := matching.Cap{Field: "c:" + o.Category, Period: category.CapPeriod.Label(now)} // no limit: it is nobody's yet
	request := matching.Request{County: l.County, Household: spareHousehold(d.ID)}
	candidates := make([]matching.Candidate, len(o.shares))
	for i, share := range o.shares {
		candidates[i] = matching.Candidate{Offer: o.ID, Lot: share}
	}
	for i, id := range ids {
		if !slices.ContainsFunc(have, func(a *Allocation) bool { return a.ID == id }) {
			request.Asks = append(request.Asks, matching.Ask{
				Need: needOf(ids[i]), Category: o.Category, QtyUnits: 1, Cap: claim, Candidates: candidates,
			})
		}
	}
	outcomes, err := s.engine.Match(ctx, request)
	if err != nil {
		return false, err
	}
	var proposals []*proposal
	for _, outcome := range outcomes {
		if outcome.ShortUnits > 0 { // nobody waits for it
			if err := s.engine.Unwait(ctx, l.County, o.Category, outcome.Need); err != nil && !errors.Is(err, matching.ErrNotReady) {
				s.log.Warn("take a spare off the waiting list", "lease", l.ID, "error", err)
			}
		}
		for _, h := range outcome.Holds {
			proposals = append(proposals, &proposal{hold: h, alloc: s.spare(d, l, o, h)})
		}
	}
	if err := s.committer.submit(ctx, proposals); err != nil {
		return false, err
	}
	var refused []matching.Hold
	var events []*Event
	contradicted := false
	for _, p := range proposals {
		if p.stored == nil {
			refused, contradicted = append(refused, p.hold), contradicted || p.contradicts
			continue
		}
		events = append(events, promisedEvent(p.stored))
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateness)
	defer cancel()
	if len(events) > 0 {
		s.emit(late, events...)
	}
	if contradicted {
		s.contradicted(l.County)
		return false, nil
	}
	if len(refused) > 0 {
		if err := s.engine.Release(late, l.County, refused, true); err != nil {
			s.log.Warn("release refused spares", "lease", l.ID, "error", err)
		}
	}
	return len(refused) > 0, nil
}

// spare is what a held portion becomes when the record accepts it.
func (s *Service) spare(d *Device, l *Lease, o spareOffer, h matching.Hold) *Allocation {
	now := s.now().UnixMilli()
	a := &Allocation{
		Meta: store.Meta{ID: h.ID}, Need: h.Need, Household: h.Household, County: l.County, Division: l.Division,
		Category: o.Category, Offer: h.Offer, Organisation: o.Organisation, Share: h.Lot, QtyUnits: h.QtyUnits,
		State: Promised, Claim: strings.Join([]string{h.Household, h.Category.Field, h.Category.Period, strconv.FormatInt(h.Seq, 10)}, "|"),
		Seq: h.Seq, CategoryCap: h.Category, OfferCap: h.OfferCap, Spare: true, SparePeriod: h.Category.Period, SpareSeq: h.Seq,
		CapUnits: o.CapUnits, CapPeriod: o.CapPeriod, Sets: o.Sets,
		PromisedMs: now, PromisedBy: l.Account, UntilMs: o.lot(h.Lot).UntilMs,
		Reason: matching.Reason{
			// Providers read it as well: it names neither the device nor whose it is.
			Code: CodeSpare, ZH: "预留给下村的离线设备，交给当地有需要的居民。",
			EN: "Held for a device that works offline, to be given to whoever needs it there.",
		},
		TitleZH: o.TitleZH, TitleEN: o.TitleEN, Unit: o.Unit, ValueFen: o.ValueFen,
		ProviderName: o.providerName, ProviderKind: o.Kind, Handover: o.Handover,
	}
	a.leaseTo(d, l)
	return a
}

// Return gives back what the device has not given; its lease ends. Returning
// again changes nothing. Errors: [ErrNotYours], [ErrDeviceLost],
// [store.ErrNotFound] when there is no lease.
func (s *Service) Return(ctx context.Context, p accounts.Principal, device string) (LeaseView, error) {
	return s.giveBack(ctx, p, device, LeaseReturned)
}

// Recall does the same without the device in hand. Errors: as of [Service.Return].
func (s *Service) Recall(ctx context.Context, p accounts.Principal, device string) (LeaseView, error) {
	return s.giveBack(ctx, p, device, LeaseRecalled)
}

func (s *Service) giveBack(ctx context.Context, p accounts.Principal, device, why string) (LeaseView, error) {
	d, err := s.trusted(ctx, p, device)
	if err != nil {
		return LeaseView{}, err
	}
	id := d.Lease
	if id == "" {
		latest, err := s.Leases(ctx, device, 1)
		if err != nil {
			return LeaseView{}, err
		}
		if len(latest) == 0 {
			return LeaseView{}, fmt.Errorf("return the lease of %s: %w", device, store.ErrNotFound)
		}
		id = latest[0].ID
	}
	if err := s.endLease(ctx, id, why, p.Account); err != nil {
		return LeaseView{}, err
	}
	if why == LeaseReturned {
		if err := s.seen(ctx, d); err != nil {
			return LeaseView{}, err
		}
	}
	l, err := s.leases.Get(ctx, id)
	if err != nil {
		return LeaseView{}, err
	}
	if err := s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "return_offline", Object: id,
		Division: l.Division, Outcome: "ok",
	}); err != nil {
		return LeaseView{}, err
	}
	return s.LeaseView(ctx, l)
}

// endLease ends a lease: the lease decides, what follows may be repeated.
// Ending it again only finishes what was left.
func (s *Service) endLease(ctx context.Context, id, why, by string) error {
	now := s.now().UnixMilli()
	l, err := s.leases.Change(ctx, id, func(l *Lease) error {
		if l.Ended {
			return errSame
		}
		l.Ended, l.EndedMs, l.EndedWhy, l.EndedBy, l.Unfinished = true, now, why, by, true
		return nil
	})
	if errors.Is(err, errSame) {
		if l, err = s.leases.Get(ctx, id); err == nil && !l.Unfinished {
			return s.unbind(ctx, l)
		}
	}
	if err != nil {
		return fmt.Errorf("end lease %s: %w", id, err)
	}
	return s.finishLease(ctx, l)
}

// letGo ends a lease of which something is past its deadline. One that has
// ended already is finished again: a slow taker may have added to it.
func (s *Service) letGo(ctx context.Context, id string) error {
	l, err := s.leases.Get(ctx, id)
	if err != nil {
		return err
	}
	if l.Ended {
		return s.finishLease(ctx, l)
	}
	return s.endLease(ctx, id, LeaseOver, byWorker)
}

// finishLease brings back what an ended lease has: spares go to those who wait,
// promises stand as if they had just been made, what is in dispute waits.
func (s *Service) finishLease(ctx context.Context, l *Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 12*lateness)
	defer cancel()
	var held []*Allocation
	var given, kept int64
	if err := s.eachLeased(ctx, l.ID, func(a *Allocation) error {
		switch {
		case a.State == HandedOver:
			given++
		case a.State == Promised && a.Disputed == "":
			held = append(held, a)
		case a.State == Promised:
			kept++
		}
		return nil
	}); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	for _, a := range held {
		g.Go(func() error { return s.release(gctx, l, a) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("finish lease %s: %w", l.ID, err)
	}
	if err := s.unbind(ctx, l); err != nil {
		return err
	}
	if _, err := s.leases.Change(ctx, l.ID, func(l *Lease) error {
		if !l.Unfinished {
			return errSame
		}
		l.Unfinished, l.Given = false, given
		l.Returned = max(0, l.Items-given-kept)
		return nil
	}); err != nil && !errors.Is(err, errSame) {
		return err
	}
	return nil
}

func (s *Service) unbind(ctx context.Context, l *Lease) error {
	_, err := s.devices.Change(ctx, l.Device, func(d *Device) error {
		if d.Lease != l.ID {
			return errSame
		}
		d.Lease = ""
		return nil
	})
	if errors.Is(err, errSame) {
		return nil
	}
	return err
}

// release takes one allocation out of its lease.
func (s *Service) release(ctx context.Context, l *Lease, a *Allocation) error {
	now := s.now()
	if a.Spare {
		e := ending{by: l.EndedBy, to: Withdrawn, lease: l.ID, reason: matching.Reason{
			Code: CodeLeaseEnded, ZH: "离线设备交回，份额继续派发。", EN: "The offline device gave it back; it goes to those who wait.",
		}}
		if a.UntilMs <= now.UnixMilli() {
			e.to, e.reason = Expired, matching.ReasonExpired(time.UnixMilli(a.UntilMs))
		}
		if _, err := s.end(ctx, a.ID, e); err != nil && !settledElsewhere(err) {
			return fmt.Errorf("release %s: %w", a.ID, err)
		}
		return nil
	}
	_, err := s.allocations.Change(ctx, a.ID, func(a *Allocation) error {
		if a.State != Promised || a.Lease != l.ID || a.Disputed != "" {
			return errSame
		}
		a.Lease, a.LeaseDevice, a.LeaseName, a.LeaseUntilMs = "", "", "", 0
		a.ExpiresMs = a.UntilMs
		if a.AcceptedMs == 0 {
			a.ExpiresMs = min(a.UntilMs, now.Add(s.dripped).UnixMilli())
		}
		return nil
	})
	if err != nil && !errors.Is(err, errSame) {
		return fmt.Errorf("release %s: %w", a.ID, err)
	}
	// Its need may have ended while nobody else could end the promise.
	n, err := s.needs.Get(ctx, a.Need)
	if err != nil {
		return err
	}
	if !n.State.Live() {
		return s.endPromises(ctx, n.ID, byWorker, matching.ReasonWithdrawn(""))
	}
	return nil
}

// notLeased refuses while a device, or a dispute, has a promise for the need.
func (s *Service) notLeased(ctx context.Context, need string) error {
	return s.allocations.Each(ctx, store.Query{Index: "need", Equal: []any{need}}, func(a *Allocation) error {
		switch {
		case a.State != Promised:
		case a.Disputed != "":
			return ErrDisputed
		case a.Lease != "":
			return &LeasedError{Device: a.LeaseName, UntilMs: a.LeaseUntilMs}
		}
		return nil
	})
}

// endLeases ends leases whose device has not reported within the grace.
func (s *Service) endLeases(ctx context.Context) error {
	var over []string
	if err := s.leases.Each(ctx, store.Query{
		Index: "live", Equal: []any{false}, To: s.now().UnixMilli() + 1,
	}, func(l *Lease) error {
		over = append(over, l.ID)
		return nil
	}); err != nil {
		return err
	}
	for _, id := range over {
		if err := s.endLease(ctx, id, LeaseOver, byWorker); err != nil {
			return err
		}
	}
	return nil
}

// finishLeases finishes what a crash left: leases that have ended without all
// being back, leases that no device has, and leases of lost devices.
func (s *Service) finishLeases(ctx context.Context) error {
	var open []*Lease
	collect := func(l *Lease) error {
		open = append(open, l)
		return nil
	}
	if err := s.leases.Each(ctx, store.Query{Index: "unfinished", Equal: []any{true}}, collect); err != nil {
		return err
	}
	// A slow taker may have added to a lease after it ended.
	since := s.now().Add(-2 * replyTime).UnixMilli()
	if err := s.leases.Each(ctx, store.Query{Index: "ended", Equal: []any{true}, From: since}, collect); err != nil {
		return err
	}
	for _, l := range open {
		if err := s.finishLease(ctx, l); err != nil {
			return err
		}
	}
	type end struct{ lease, why string }
	var ends []end
	if err := s.leases.Each(ctx, store.Query{Index: "live", Equal: []any{false}}, func(l *Lease) error {
		d, err := s.devices.Get(ctx, l.Device)
		if err != nil {
			return err
		}
		switch {
		case d.State == DeviceLost:
			ends = append(ends, end{l.ID, LeaseLost})
		case d.Lease != l.ID && l.FromMs < s.now().Add(-s.lease).UnixMilli():
			ends = append(ends, end{l.ID, LeaseReturned})
		}
		return nil
	}); err != nil {
		return err
	}
	for _, e := range ends {
		if err := s.endLease(ctx, e.lease, e.why, byWorker); err != nil {
			return err
		}
	}
	return nil
}

// replyTime is longer than taking a lease may last.
const replyTime = 10 * time.Minute
