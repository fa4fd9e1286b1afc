package care

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

// Identify finds whose code it is: a scanned address, its digits, or the
// 12-digit card number. The code's Carer says whether somebody else shows it
// on the resident's behalf. A screen code is good once for each purpose, a word
// of the caller's. Errors: [ErrUnknownCode], the same for a forged, a revoked,
// an expired, a used and a mistyped code.
func (s *Service) Identify(ctx context.Context, purpose, code string) (*residents.Resident, *residents.Code, error) {
	r, c, _, err := s.identify(ctx, purpose, "", code)
	return r, c, err
}

// identify also says how: "scan", "card_no" or, for a carer's code, "carer".
// With an account, that account may use a screen code again, because the answer
// to the first time may be lost; what is given then is not given twice.
func (s *Service) identify(ctx context.Context, purpose, account, code string) (r *residents.Resident, c *residents.Code, how string, err error) {
	code = strings.Join(strings.Fields(code), "")
	if number := strings.ReplaceAll(code, "-", ""); qrcode.ValidCardNumber(number) {
		how = byCardNo
		r, c, err = s.residents.ByCardNumber(ctx, number)
	} else {
		how = byScan
		token, fault := s.verified(ctx, code)
		if fault != nil {
			return nil, nil, "", ErrUnknownCode
		}
		if r, c, err = s.residents.ByCode(ctx, token.CodeID()); err == nil && token.Kind == qrcode.Screen {
			err = s.redeem(ctx, token, purpose, account)
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrDuplicate):
		return nil, nil, "", ErrUnknownCode
	case err != nil:
		return nil, nil, "", err
	case c.Status != residents.CodeActive, r.Status != residents.Active:
		return nil, nil, "", ErrUnknownCode
	}
	if c.Carer != "" {
		how = byCarer
	}
	return r, c, how, nil
}

// verified reads a scanned code and checks its signature and time.
func (s *Service) verified(ctx context.Context, code string) (qrcode.Token, error) {
	digits, err := qrcode.Extract(code)
	if err != nil {
		return qrcode.Token{}, err
	}
	token, err := qrcode.Parse(digits)
	if err != nil {
		return qrcode.Token{}, err
	}
	return token, s.keys.Verify(ctx, token, s.now())
}

// redeem uses a screen code up for a purpose; an account is noted as its user.
// Errors: [store.ErrDuplicate] when it was used before, but not by that account.
func (s *Service) redeem(ctx context.Context, t qrcode.Token, purpose, account string) error {
	mine := &redemption{
		Meta: store.Meta{ID: fmt.Sprintf("%s|%d|%s", t.CodeID(), t.Stamp, purpose)}, AtMs: s.now().UnixMilli(), Account: account,
	}
	err := s.redemptions.Insert(ctx, mine)
	if account == "" || !errors.Is(err, store.ErrDuplicate) {
		return err
	}
	first, failed := s.redemptions.Get(ctx, mine.ID)
	switch {
	case failed != nil:
		return failed
	case first.Account != account:
		return err
	}
	return nil
}

// forgetRedemptions drops those of codes that have expired long since.
func (s *Service) forgetRedemptions(ctx context.Context) error {
	var ids []string
	if err := s.redemptions.Each(ctx, store.Query{
		Index: "at", To: s.now().Add(-10 * time.Minute).UnixMilli(),
	}, func(r *redemption) error {
		ids = append(ids, r.ID)
		return nil
	}); err != nil {
		return err
	}
	return s.redemptions.Delete(ctx, ids...)
}

// Scan is the main act: it identifies the resident, matches every open need in
// one script call, has the record confirm what was held, and answers with all
// that the caseworker needs to see. An allocation that the answer names is
// durable. Scanning again answers the same allocations again.
//
// Errors: [ErrUnknownCode], also for a resident of another division (which is
// audited); others are the stores', and safe to retry.
func (s *Service) Scan(ctx context.Context, p accounts.Principal, code string) (*ScanResult, error) {
	r, c, how, err := s.identify(ctx, "scan", p.Account, code)
	if err != nil {
		return nil, err
	}
	scan := store.NewID()
	entry := audit.Entry{
		ID: scan, AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "scan",
		Object: evidenceOf(how, c.Carer), Subject: r.ID, Division: r.Division, Purpose: "match needs and hand over aid", Outcome: "ok",
	}
	if !p.Sees(r.Division) {
		entry.Outcome = "denied"
		if err := s.audit.Write(ctx, entry); err != nil {
			return nil, err
		}
		return nil, ErrUnknownCode
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.audit.Write(gctx, entry) })
	var result *ScanResult
	g.Go(func() (err error) {
		result, err = s.serveAll(gctx, p.Account, r)
		return err
	})
	var shown *ShownBy
	if c.Carer != "" {
		g.Go(func() error {
			by, err := s.shownBy(gctx, r.ID, c.Carer)
			shown = &by
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("scan resident %s: %w", r.ID, err)
	}
	result.ShownBy = shown
	result.Scan = scan
	return result, nil
}

// serveAll matches what is open and describes the person.
func (s *Service) serveAll(ctx context.Context, by string, r *residents.Resident) (*ScanResult, error) {
	needs, err := s.openNeeds(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	m := &match{s: s, by: by, resident: r, needs: needs, until: s.now().Add(s.hold)}
	if m.before, err = s.historyOf(ctx, r.ID); err != nil {
		return nil, err
	}
	if err := m.run(ctx); err != nil {
		return nil, err
	}
	view, err := s.residentView(ctx, r)
	if err != nil {
		return nil, err
	}
	offered, received, err := m.had(ctx)
	if err != nil {
		return nil, err
	}
	return &ScanResult{
		AtMs: s.now().UnixMilli(), Resident: view, Needs: m.views(),
		Offered: s.views(offered), Received: s.views(received),
	}, nil
}

// shownReceived is how many received things an answer shows.
const shownReceived = 20

// history is everything that a resident was promised or received, where that
// is not much: then one look at the record does for a whole scan.
type history struct {
	whole bool
	all   []*Allocation // newest first
}

func (s *Service) historyOf(ctx context.Context, resident string) (history, error) {
	all, next, err := s.allocations.Find(ctx, store.Query{Index: "resident", Equal: []any{resident}, Desc: true, Limit: 24})
	return history{next == "", all}, err
}

// of is what a need has had.
func (h history) of(need string) (past []*Allocation) {
	for _, a := range slices.Backward(h.all) {
		if a.Need == need {
			past = append(past, a)
		}
	}
	return past
}

// had is what the resident is promised, and received lately, after the match.
func (m *match) had(ctx context.Context) (offered, received []*Allocation, err error) {
	s := m.s
	if !m.before.whole || m.changed || m.lost.Load() {
		// What is promised is read first: what somebody hands over in between is
		// then found twice, and not nowhere.
		if offered, err = s.promisedTo(ctx, m.resident.ID); err != nil {
			return nil, nil, err
		}
		received, _, err = s.allocations.Find(ctx, store.Query{
			Index: "resident_state", Equal: []any{m.resident.ID, string(HandedOver)}, Desc: true, Limit: shownReceived,
		})
		offered = slices.DeleteFunc(offered, func(a *Allocation) bool {
			return slices.ContainsFunc(received, func(x *Allocation) bool { return x.ID == a.ID })
		})
		return offered, received, err
	}
	for _, a := range m.before.all {
		switch {
		case a.State == Promised:
			offered = append(offered, a)
		case a.State == HandedOver && len(received) < shownReceived:
			received = append(received, a)
		}
	}
	offered = append(offered, m.fresh...)
	slices.SortFunc(offered, func(a, b *Allocation) int {
		return cmp.Or(cmp.Compare(a.PromisedMs, b.PromisedMs), cmp.Compare(a.ID, b.ID))
	})
	return offered, received, nil
}

// openNeeds are the needs of a resident that have not ended, oldest first.
func (s *Service) openNeeds(ctx context.Context, resident string) ([]*residents.Need, error) {
	all, err := s.residents.Needs(ctx, resident)
	if err != nil {
		return nil, err
	}
	now := s.now().UnixMilli()
	open := all[:0:0]
	for _, n := range all {
		if n.State.Live() && (n.UntilMs == 0 || n.UntilMs > now) {
			open = append(open, n)
		}
	}
	return open, nil
}

func (s *Service) promisedTo(ctx context.Context, resident string) ([]*Allocation, error) {
	var out []*Allocation
	err := s.allocations.Each(ctx, store.Query{
		Index: "resident_state", Equal: []any{resident, string(Promised)},
	}, func(a *Allocation) error {
		out = append(out, a)
		return nil
	})
	return out, err
}

func (s *Service) residentView(ctx context.Context, r *residents.Resident) (ResidentView, error) {
	person, err := s.residents.Open(ctx, r)
	if err != nil {
		return ResidentView{}, err
	}
	return ResidentView{
		ID: r.ID, Name: person.Name, IDMasked: mask(person.IDNumber), CardNo: r.CardNo, Household: r.Household,
		Division: r.Division, Place: s.tree().Name(r.Division), BirthYear: r.BirthYear,
		Groups: r.Groups, ScoreMilli: r.ScoreMilli,
	}, nil
}

// mask leaves the first four and the last two characters.
func mask(id string) string {
	if len(id) < 10 {
		return strings.Repeat("*", len(id))
	}
	return id[:4] + strings.Repeat("*", len(id)-6) + id[len(id)-2:]
}

// match is one resident's needs on their way through the matcher and the
// record.
type match struct {
	s        *Service
	by       string
	resident *residents.Resident
	needs    []*residents.Need
	until    time.Time // an unaccepted promise stands until then
	before   history   // of the resident; not whole where it was not read

	// changed: more has become of the resident's allocations than fresh says;
	// lost: a need had ended, or asks for less, and what was promised to it went
	// back.
	changed bool
	lost    atomic.Bool
	moved   bool // the household is being given something elsewhere that a rule asks about

	past   map[string][]*Allocation   // per need, all its allocations
	notFor map[string][]NotServed     // per need
	short  map[string]matching.Reason // per need: why something is still wanted
	place  map[string]int64           // per need: position on the waiting list
	again  map[string]time.Time       // per need: when an offer's own cap allows more
	fresh  []*Allocation              // promised by this match
	told   []*Allocation              // promised, and perhaps not told as an event yet
	unlist map[string]bool            // per need: the engine may have taken it off the list
}

// run asks the engine, has the record confirm, and updates the needs. When the
// record has moved on since it was read, it reads again; when it refuses what
// the engine held, it tries once more.
func (m *match) run(ctx context.Context) error {
	m.past, m.notFor = map[string][]*Allocation{}, map[string][]NotServed{}
	m.short, m.place, m.unlist = map[string]matching.Reason{}, map[string]int64{}, map[string]bool{}
	m.again = map[string]time.Time{}
	for try := 0; try < 4; try++ {
		if err := m.settled(ctx, try); err != nil {
			return errors.Join(err, m.finish(ctx))
		}
		again, err := m.once(ctx, try == 0)
		if errors.Is(err, matching.ErrNotReady) {
			for _, n := range m.needs {
				if m.wanted(n) > 0 {
					m.short[n.ID], m.unlist[n.ID] = matching.ReasonWaitingRebuild(), true
				}
			}
			break // the person is still shown, and the needs wait
		}
		if err != nil && len(m.told) > 0 { // what the record has decided before is so
			return errors.Join(err, m.finish(ctx))
		}
		if err != nil {
			return err
		}
		if !again {
			break
		}
	}
	return m.finish(ctx)
}

// settled gives another counter, where one is giving the household something that
// a rule asks about, a moment to have it in the record before that is read again.
func (m *match) settled(ctx context.Context, try int) error {
	if !m.moved {
		return nil
	}
	m.moved = false
	pause := time.NewTimer(25 * time.Millisecond << try)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// person is the resident as the matcher and the rules of offers see them.
func (m *match) person(ctx context.Context) (matching.Person, error) {
	var categories []string
	for _, n := range m.needs {
		if m.wanted(n) > 0 && !slices.Contains(categories, n.Category) {
			categories = append(categories, n.Category)
		}
	}
	return m.s.ruledPerson(ctx, m.resident, m.resident.County, categories...)
}

// wanted is how many units a need still lacks. A refusal that is not settled
// yet is about to end the need: nothing is offered to it again meanwhile.
func (m *match) wanted(n *residents.Need) int64 {
	left := n.QtyUnits
	for _, a := range m.past[n.ID] {
		if a.State == Declined && a.Unsettled {
			return 0
		}
		if a.counts() {
			left -= a.QtyUnits
		}
	}
	return max(left, 0)
}

// once goes through it once; at first by what was read of the resident before.
func (m *match) once(ctx context.Context, first bool) (again bool, err error) {
	m.changed = m.changed || !first
	for _, n := range m.needs {
		if first && m.before.whole {
			m.past[n.ID] = m.before.of(n.ID)
			continue
		}
		var past []*Allocation
		if err := m.s.allocations.Each(ctx, store.Query{Index: "need", Equal: []any{n.ID}}, func(a *Allocation) error {
			past = append(past, a)
			return nil
		}); err != nil {
			return false, err
		}
		m.past[n.ID] = past
	}
	lines, stands := m.s.engine.Lines(m.resident.County), map[string]standing{}
	request := matching.Request{County: m.resident.County, Household: m.resident.Household}
	now := m.s.now()
	person, err := m.person(ctx)
	if err != nil {
		return false, err
	}
	for _, n := range m.needs {
		wanted := m.wanted(n)
		if wanted == 0 {
			continue
		}
		_, ok := providers.CategoryByID(n.Category)
		if !ok {
			return false, fmt.Errorf("need %s: no category %q", n.ID, n.Category)
		}
		weight := weightNow(n, m.resident.ScoreMilli, now)
		ask := matching.Ask{
			Need: n.ID, Category: n.Category, Base: nextOrdinal(m.past[n.ID]), QtyUnits: wanted,
			WeightMilli: weight, Cap: categoryCap(n.Category, now),
		}
		if m.resident.Consent.Allows(residents.ConsentMatching) {
			ask.Choice = m.s.catalogue.Choice(m.resident.County, n.Category, person, now, lines, weight)
		}
		stands[n.ID] = standing{weight, lines}
		request.Asks = append(request.Asks, ask)
	}
	if len(request.Asks) == 0 {
		return false, nil
	}
	outcomes, err := m.s.engine.Match(ctx, request)
	if err != nil {
		return false, err
	}
	byNeed := make(map[string]*residents.Need, len(m.needs))
	for _, n := range m.needs {
		byNeed[n.ID] = n
	}
	var proposals []*proposal
	var withdrawn []matching.Hold
	for _, o := range outcomes {
		n := byNeed[o.Need]
		if o.Stale || o.Why == matching.ShortMoved {
			again = true
			m.moved = m.moved || !o.Stale
		}
		for _, h := range o.Holds {
			a, ok := m.allocation(n, h, stands[n.ID])
			if !ok { // the offer was withdrawn in between
				withdrawn = append(withdrawn, h)
				continue
			}
			proposals = append(proposals, &proposal{hold: h, alloc: a})
		}
		m.place[n.ID] = o.Position
		delete(m.notFor, n.ID)
		if o.ShortUnits > 0 {
			why, err := m.why(ctx, n, o, person, stands[n.ID])
			if err != nil {
				return false, err
			}
			m.short[n.ID] = m.noted(why, stands[n.ID], o.Position)
		} else {
			delete(m.short, n.ID)
		}
	}
	if err := m.s.committer.submit(ctx, proposals); err != nil {
		return false, err
	}
	var refused []matching.Hold
	contradicted := false
	for _, p := range proposals {
		if p.stored == nil {
			refused = append(refused, p.hold)
			contradicted = contradicted || p.contradicts
			m.short[p.hold.Need], m.unlist[p.hold.Need] = p.refused, true
			again = true
			continue
		}
		m.told = append(m.told, p.stored)
		m.past[p.hold.Need] = append(m.past[p.hold.Need], p.stored)
		if p.fresh {
			m.fresh = append(m.fresh, p.stored)
		} else {
			m.changed = true // somebody else was faster
		}
	}
	// The record has decided; a caller who leaves changes nothing.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateness)
	defer cancel()
	if contradicted {
		// The refused holds stay until the rebuild forgets them, so that they
		// keep others from claiming what the matcher forgot. The rebuild tries
		// everybody who waits.
		m.s.contradicted(m.resident.County)
		return false, nil
	}
	if refused = append(refused, withdrawn...); len(refused) > 0 {
		if err := m.s.engine.Release(late, m.resident.County, refused, true); err != nil {
			m.s.log.Warn("release refused holds", "county", m.resident.County, "error", err)
		}
		for _, h := range withdrawn {
			m.unlist[h.Need] = true
		}
	}
	return again || len(withdrawn) > 0, nil
}

// lateness is how long what follows from a decision may take.
const lateness = 5 * time.Second

// nextOrdinal is the first ordinal that none of a need's allocations has.
func nextOrdinal(past []*Allocation) int {
	next := 0
	for _, a := range past {
		if n, err := strconv.Atoi(a.ID[strings.LastIndexByte(a.ID, '-')+1:]); err == nil {
			next = max(next, n+1)
		}
	}
	return next
}

// standing is where a need stands to the lines.
type standing struct {
	weightMilli int64
	lines       *matching.Lines
}

// allocation is what a hold becomes when the record accepts it.
func (m *match) allocation(n *residents.Need, h matching.Hold, at standing) (_ *Allocation, ok bool) {
	o, ok := m.s.offer(h.Offer)
	if !ok {
		return nil, false
	}
	now := m.s.now().UnixMilli()
	until := o.lot(h.Lot).UntilMs
	expires := min(until, m.until.UnixMilli())
	if o.Only != "" { // nobody else waits for it, and the giver has said until when
		expires = until
	}
	return &Allocation{
		Meta: store.Meta{ID: h.ID}, Need: n.ID, Resident: n.Resident, Household: m.resident.Household,
		County: m.resident.County, Division: m.resident.Division, Category: n.Category,
		Offer: h.Offer, Organisation: o.Organisation, Share: h.Lot, QtyUnits: h.QtyUnits, State: Promised,
		Claim: strings.Join([]string{m.resident.Household, h.Category.Field, h.Category.Period, strconv.FormatInt(h.Seq, 10)}, "|"),
		Seq:   h.Seq, CategoryCap: h.Category, OfferCap: h.OfferCap, Sets: o.Sets, Keys: h.Keys, Day: h.Day,
		PromisedMs: now, PromisedBy: m.by, ExpiresMs: expires, UntilMs: until,
		Reason:  m.given(n, o, h, at),
		TitleZH: o.TitleZH, TitleEN: o.TitleEN, Unit: o.Unit, ValueFen: o.ValueFen,
		ProviderName: o.providerName, ProviderKind: o.Kind, Handover: o.Handover, Image: o.image(),
	}, true
}

// given says why a need is served: by its weight and the line, and whether the
// line has fallen to somebody who waited.
func (m *match) given(n *residents.Need, o openOffer, h matching.Hold, at standing) matching.Reason {
	g := matching.Given{
		Offer: matching.Text{ZH: o.TitleZH, EN: o.TitleEN}, Unit: unitText(o.Unit, n.Category), Category: categoryText(n.Category),
		Units: h.QtyUnits, Money: n.Category == providers.Cash, WeightMilli: at.weightMilli, LineMilli: at.lines.Of(h.Lot), Waited: m.by == byWorker,
	}
	if n.Reason.Code == matching.CodeWaitingLine {
		// A reason of our own: what does not read as a number is no line.
		g.WasMilli, _ = strconv.ParseInt(n.Reason.Facts["line_milli"], 10, 64)
	}
	if lot := o.lot(h.Lot); o.KeptFor(lot) != nil {
		g.Kept, g.Opened = m.s.keptText(*o.KeptFor(lot)), !m.s.keptOf(o.Offer, lot).For(m.s.person(m.resident))
	}
	return m.noted(matching.ReasonGiven(g), at, 0)
}

// noted adds the figures of the moment to a reason, for whoever asks later.
func (m *match) noted(r matching.Reason, at standing, position int64) matching.Reason {
	facts := map[string]string{
		"score_milli":  strconv.FormatInt(m.resident.ScoreMilli, 10),
		"weight_milli": strconv.FormatInt(at.weightMilli, 10),
	}
	if position > 0 {
		facts["position"] = strconv.FormatInt(position, 10)
	}
	maps.Copy(facts, r.Facts)
	r.Facts = facts
	return r
}

// keptFor is the reason of somebody for whom there is nothing but what is kept for
// others: what opens first. ok is false where nothing of that is left either.
func (m *match) keptFor(ctx context.Context, n *residents.Need, kept []matching.Candidate) (r matching.Reason, ok bool, err error) {
	if len(kept) == 0 {
		return r, false, nil
	}
	lots := make([]string, len(kept))
	for i, c := range kept {
		lots[i] = c.Lot
	}
	stock, err := m.s.engine.Stock(ctx, m.resident.County, lots)
	if err != nil {
		return r, false, err
	}
	var opens int64
	for i, st := range stock {
		o, known := m.s.offer(kept[i].Offer)
		if !known || st.FreeUnits < 1 {
			continue
		}
		lot := o.lot(st.ID)
		if k := m.s.keptOf(o.Offer, lot); !ok || k.OpensMs < opens {
			r, ok, opens = matching.ReasonWaitingKept(categoryText(n.Category), m.s.keptText(*o.KeptFor(lot)), k), true, k.OpensMs
		}
	}
	return r, ok, nil
}

func categoryText(id string) matching.Text {
	c, _ := providers.CategoryByID(id)
	return matching.Text{ZH: c.ZH, EN: c.EN}
}

// above is the lowest line above a need behind which there still is something;
// 0 where there is none.
func (m *match) above(ctx context.Context, candidates []matching.Candidate, at standing) (lowest int64, err error) {
	var lots []string
	for _, c := range candidates {
		if at.lines.Of(c.Lot) > at.weightMilli {
			lots = append(lots, c.Lot)
		}
	}
	if len(lots) == 0 {
		return 0, nil
	}
	stock, err := m.s.engine.Stock(ctx, m.resident.County, lots)
	if err != nil {
		return 0, err
	}
	for _, st := range stock {
		if line := at.lines.Of(st.ID); st.FreeUnits > 0 && (lowest == 0 || line < lowest) {
			lowest = line
		}
	}
	return lowest, nil
}

// why puts the engine's word for a shortage into a reason, and says which
// offers are not for the person.
func (m *match) why(ctx context.Context, n *residents.Need, o matching.Outcome, person matching.Person, at standing) (matching.Reason, error) {
	if !m.resident.Consent.Allows(residents.ConsentMatching) {
		return m.shortage(n, o), nil
	}
	all, misses := m.s.catalogue.Candidates(m.resident.County, n.Category, person, m.s.now())
	var candidates, kept []matching.Candidate // kept: for others
	for _, c := range all {
		switch opened := at.lines.Opened(c.Lot); {
		case !c.Kept:
		case opened:
			misses = slices.DeleteFunc(misses, func(x matching.Miss) bool { return x.Offer == c.Offer })
		default:
			kept = append(kept, c)
			continue
		}
		candidates = append(candidates, c)
	}
	m.notFor[n.ID] = m.s.describe(misses, person)
	if o.Why == matching.ShortOfferCap {
		next, err := m.allowedAgain(ctx, candidates)
		if err != nil {
			return matching.Reason{}, err
		}
		m.again[n.ID] = next
	}
	if o.Why != matching.ShortCap {
		switch line, err := m.above(ctx, candidates, at); {
		case err != nil:
			return matching.Reason{}, err
		case line == matching.Shut:
			return matching.ReasonWaitingEven(categoryText(n.Category)), nil
		case line > 0:
			return matching.ReasonWaitingLine(categoryText(n.Category), at.weightMilli, line, o.Position), nil
		case len(candidates) > 0 && o.Why == matching.ShortNone: // what is above is given out as well
			o.Why = matching.ShortStock
		}
		if o.Why == matching.ShortNone || o.Why == matching.ShortStock {
			if r, ok, err := m.keptFor(ctx, n, kept); err != nil || ok {
				return r, err
			}
		}
		if o.Why == matching.ShortNone {
			for _, miss := range misses {
				if o, known := m.s.offer(miss.Offer); known && miss.Why == matching.MissRule {
					return matching.ReasonWaitingRule(matching.Text{ZH: o.TitleZH, EN: o.TitleEN}, reasonNot(miss, person)), nil
				}
			}
		}
	}
	return m.shortage(n, o), nil
}

// allowedAgain is when the first of the offers that have stock, and have given the
// household all they allow, may give it more; the zero time where none will before
// its lot ends.
func (m *match) allowedAgain(ctx context.Context, candidates []matching.Candidate) (first time.Time, err error) {
	full, err := m.s.offerCaps(ctx, m.resident.County, m.resident.Household, candidates)
	if err != nil {
		return first, err
	}
	var lots []string
	offers := map[string]openOffer{}
	for _, c := range candidates {
		if o, known := m.s.offer(c.Offer); known && full[c.Offer].Code != "" {
			lots, offers[c.Lot] = append(lots, c.Lot), o
		}
	}
	stock, err := m.s.engine.Stock(ctx, m.resident.County, lots)
	if err != nil {
		return first, err
	}
	for _, st := range stock {
		o := offers[st.ID]
		next := o.CapPeriod.End(m.s.now())
		if st.FreeUnits > 0 && !next.IsZero() && next.UnixMilli() < o.lot(st.ID).UntilMs && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	return first, nil
}

func (m *match) shortage(n *residents.Need, o matching.Outcome) matching.Reason {
	category, _ := providers.CategoryByID(n.Category)
	now := m.s.now()
	if !m.resident.Consent.Allows(residents.ConsentMatching) {
		return matching.ReasonNoConsent()
	}
	switch o.Why {
	case matching.ShortMoved:
		return matching.ReasonWaitingMoved()
	case matching.ShortCap:
		return matching.ReasonWaitingCap(o.CapUsed, category.CapUnits, category.ID == providers.Cash, category.CapPeriod, category.CapPeriod.End(now))
	case matching.ShortOfferCap:
		return matching.ReasonWaitingOfferCap(m.again[n.ID])
	case matching.ShortStock:
		return matching.ReasonWaitingStock(0) // the position has a field of its own
	}
	return matching.ReasonWaitingNone(categoryText(n.Category), 0)
}

// finish writes what the needs have become, tells the events, and puts back on
// the waiting list what a refusal took off it.
func (m *match) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 6*lateness)
	defer cancel()
	seen := make([]int64, len(m.needs))
	for i, n := range m.needs {
		seen[i] = n.V
	}
	moves, told := m.write(ctx)
	g, gctx := errgroup.WithContext(ctx)
	changes := make([][]*Event, len(m.needs))
	for i, n := range m.needs {
		g.Go(func() error {
			if move := moves[i]; move.written {
				if err := m.s.altered(gctx, n, move.from, n.State); err != nil {
					return err
				}
			} else {
				events, ended, err := m.s.advance(gctx, n, m.past[n.ID], m.by, m.short[n.ID])
				changes[i] = events
				if err != nil {
					return err
				}
				if ended {
					m.lost.Store(true)
				}
			}
			if err := m.fit(gctx, n, seen[i]); err != nil {
				return err
			}
			if m.unlist[n.ID] && n.State.Live() && m.wanted(n) > 0 {
				m.s.wait(gctx, n, m.resident.ScoreMilli)
			}
			return nil
		})
	}
	err := g.Wait()
	if told {
		m.s.emit(ctx, slices.Concat(changes...)...)
	} else {
		m.s.emitAgain(ctx, append(slices.Concat(changes...), m.promised()...)...)
	}
	return err
}

// move is what a match has made of a need.
type move struct {
	from    residents.NeedState
	written bool
}

// promised are the events of what this match has promised.
func (m *match) promised() []*Event {
	events := make([]*Event, len(m.told))
	for i, a := range m.told {
		events[i] = promisedEvent(a)
	}
	return events
}

// write writes the events of the promises, and the needs as they were read, each
// with its events, at once; who listens hears of the promise first. What somebody else has written meanwhile is left for
// [Service.advance]. told is false where nobody knows what was written.
func (m *match) write(ctx context.Context) (moves []move, told bool) {
	now := m.s.now()
	moves = make([]move, len(m.needs))
	next := make([]*residents.Need, len(m.needs))
	var steps []*store.Step
	var events []*telling
	at := make([]int, len(m.needs)) // of the need's step
	for _, e := range m.promised() {
		step := &store.Step{Collection: m.s.events.Name, Doc: e, New: true}
		events = append(events, &telling{event: e, step: step, then: -1})
		steps = append(steps, step)
	}
	for i, n := range m.needs {
		moves[i].from = n.State
		to, changes := standsAt(n, m.past[n.ID], m.short[n.ID])
		if !changes || stands(n, to) {
			continue
		}
		changed, err := n.Changed(m.by, to, now)
		if err != nil {
			continue
		}
		step := &store.Step{Collection: m.s.needs.Name, Doc: changed}
		for _, e := range needEvents(changed, n.Steps()) {
			events = append(events, &telling{event: e, step: step, then: len(step.Then)})
			step.Then = append(step.Then, store.Addition{Collection: m.s.events.Name, Doc: e})
		}
		next[i], at[i] = changed, len(steps)
		steps = append(steps, step)
	}
	if err := m.s.tellJointly(ctx, steps, events); err != nil {
		m.s.log.Warn("write needs and events one by one", "resident", m.resident.ID, "error", err)
		return moves, false
	}
	for i, n := range m.needs {
		if next[i] != nil && steps[at[i]].Err == nil {
			*n, moves[i].written = *next[i], true
		}
	}
	return moves, true
}

// fit takes back what this match has promised beyond what the need asks for:
// somebody may have lowered that since it was read, at the version seen. Of the
// two, whoever writes later sees the other.
func (m *match) fit(ctx context.Context, n *residents.Need, seen int64) error {
	if !slices.ContainsFunc(m.fresh, func(a *Allocation) bool { return a.Need == n.ID }) {
		return nil
	}
	if n.V == seen {
		current, err := m.s.needs.Get(ctx, n.ID)
		if err != nil {
			return err
		}
		*n = *current
	}
	if v := needView(n, m.past[n.ID]); !n.State.Live() || v.PromisedUnits+v.GivenUnits <= n.QtyUnits {
		return nil
	}
	m.lost.Store(true)
	return m.s.trim(ctx, n, m.by, matching.ReasonReduced())
}

// wait puts a need on the matcher's waiting list; the engine keeps what Redis
// does not take now.
func (s *Service) wait(ctx context.Context, n *residents.Need, scoreMilli int64) {
	err := s.engine.Wait(ctx, n.County, matching.Waiter{
		Need: n.ID, Category: n.Category, WeightMilli: weightNow(n, scoreMilli, s.now()),
	})
	if err != nil && !errors.Is(err, matching.ErrNotReady) {
		s.log.Warn("put on the waiting list later", "need", n.ID, "error", err)
	}
}

// views describes the needs after the match.
func (m *match) views() []NeedView {
	out := make([]NeedView, 0, len(m.needs))
	for _, n := range m.needs {
		v := needView(n, m.past[n.ID])
		if r, ok := m.short[n.ID]; ok {
			v.Reason = r
			if v.LeftUnits < n.QtyUnits {
				v.Rest = r
			}
		}
		v.Position = m.place[n.ID]
		if m.wanted(n) > 0 {
			v.NotServed = m.notFor[n.ID]
		}
		out = append(out, v)
	}
	return out
}

func needView(n *residents.Need, past []*Allocation) NeedView {
	v := NeedView{
		ID: n.ID, Category: n.Category, QtyUnits: n.QtyUnits, Urgency: n.Urgency, State: n.State,
		Reason: n.Reason, UntilMs: n.UntilMs, CreatedMs: n.CreatedMs, Asked: n.Asked,
	}
	for _, a := range past {
		switch a.State {
		case Promised:
			v.PromisedUnits += a.QtyUnits - a.GivenUnits
			v.GivenUnits += a.GivenUnits
		case HandedOver:
			v.GivenUnits += a.QtyUnits
		}
	}
	v.LeftUnits = max(0, n.QtyUnits-v.PromisedUnits-v.GivenUnits)
	if n.State == residents.NeedPromised && v.LeftUnits > 0 {
		v.Rest = n.Rest
	}
	return v
}

// queued says whether a need is on a waiting list, whole or in part.
func queued(n *residents.Need) bool {
	return n.State == residents.NeedWaiting || n.State == residents.NeedPromised && n.Rest.Code != "" && n.Rest.Code != matching.CodeExpired
}

// person is a resident as the matcher sees one who asks for something of some
// categories: a wish may be served by what is for this person alone.
func (s *Service) person(r *residents.Resident, categories ...string) matching.Person {
	groups := r.Groups
	if slices.Contains(categories, providers.WishCategory) {
		groups = append(slices.Clip(groups), only(r.ID))
	}
	return matching.Person{
		Household: r.Household, Division: r.Division, Groups: groups, ScoreMilli: r.ScoreMilli,
	}
}

// describe puts the first ten misses into words.
func (s *Service) describe(misses []matching.Miss, p matching.Person) []NotServed {
	out := make([]NotServed, 0, min(len(misses), 10))
	for _, miss := range misses {
		if len(out) == 10 {
			break
		}
		n := NotServed{Offer: miss.Offer, Reason: reasonNot(miss, p)}
		if o, ok := s.offer(miss.Offer); ok {
			if o.Only != "" {
				continue // another's wish
			}
			n.TitleZH, n.TitleEN = o.TitleZH, o.TitleEN
		}
		out = append(out, n)
	}
	return out
}

func (s *Service) views(as []*Allocation) []AllocationView {
	out := make([]AllocationView, len(as))
	for i, a := range as {
		out[i] = s.view(a)
	}
	return out
}

// view describes an allocation to its resident and to who cares for them.
func (s *Service) view(a *Allocation) AllocationView {
	v := AllocationView{
		ID: a.ID, Need: a.Need, Resident: a.Resident, Category: a.Category, Offer: a.Offer,
		TitleZH: a.TitleZH, TitleEN: a.TitleEN, Unit: a.Unit, QtyUnits: a.QtyUnits, ValueFen: a.ValueFen, Image: a.Image,
		ProviderName: a.ProviderName, ProviderKind: a.ProviderKind, State: a.State, Accepted: a.AcceptedMs > 0,
		Reason: a.Reason, EndReason: a.EndReason, Handover: a.Handover,
		PromisedMs: a.PromisedMs, ExpiresMs: a.ExpiresMs, UntilMs: a.UntilMs,
		PINRequired: a.State == Promised && s.wantsProof(a) && !s.pictured(a), Photo: s.kept(a),
	}
	if a.State == HandedOver {
		v.HandedOverMs, v.Proof, v.Carer = a.givenMs(), a.Proof, a.Carer
	}
	v.GivenUnits, v.RestUnits, v.RestReason, v.Parts = a.givenNow(), a.RestUnits, a.RestReason, partViews(a)
	v.ReturnedUnits, v.Backs = a.ReturnedUnits, backViews(a)
	if a.State == Returned {
		v.QtyUnits, v.EndReason = a.ReturnedUnits, reasonBack(a.Backs[len(a.Backs)-1])
	}
	if reason := a.leased(); reason.Code != "" {
		v.Leased = &reason
	}
	note, err := s.vault.OpenField(noteField, a.ID, a.NoteSealed)
	if err != nil {
		s.log.Error("open the note of a refusal", "allocation", a.ID, "error", err)
	}
	v.Note = note
	return v
}

func promisedEvent(a *Allocation) *Event {
	return &Event{
		Meta: store.Meta{ID: a.ID + ":promised"}, AtMs: a.PromisedMs, County: a.County, Division: a.Division, Kind: "allocation.promised",
		Organisation: a.Organisation, Offer: a.Offer, Resident: a.Resident, Need: a.Need, Allocation: a.ID,
		Share: a.Share, QtyUnits: a.QtyUnits, By: a.PromisedBy, Reason: a.Reason,
	}
}

// within says whether a principal may act for a division; what lies outside is
// audited.
func (s *Service) within(ctx context.Context, p accounts.Principal, act, object, subject, division string) error {
	if p.Role == accounts.Resident && p.Resident == subject && subject != "" {
		return nil
	}
	if p.Sees(division) {
		return nil
	}
	err := s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: act, Object: object,
		Subject: subject, Division: division, Outcome: "denied",
	})
	if err != nil {
		return err
	}
	return ErrNotYours
}

// unitText is an offer's unit in both languages; English is known where the
// unit is the category's own.
func unitText(unit, category string) matching.Text {
	if c, ok := providers.CategoryByID(category); ok && (unit == "" || unit == c.UnitZH) {
		return matching.Text{ZH: c.UnitZH, EN: c.UnitEN}
	}
	return matching.Text{ZH: unit}
}
