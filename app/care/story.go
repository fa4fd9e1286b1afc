package care

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// Story is the whole life of a need, as the record has it, and where it stands
// now. Of the person it holds the id only.
type Story struct {
	Need       NeedView `json:"need"`
	Resident   string   `json:"resident"`
	County     string   `json:"county"`
	Source     string   `json:"source"` // how it came up, of [residents.NeedSources]
	CreatedBy  string   `json:"created_by"`
	AtMs       int64    `json:"at_ms"`
	ScoreMilli int64    `json:"score_milli"`
	// WeightMilli is its rank now, raised by the time that it has waited;
	// BaseMilli the rank without that.
	WeightMilli int64 `json:"weight_milli"`
	BaseMilli   int64 `json:"base_milli"`
	// Steps are what happened, oldest first, each with the figures of the time
	// among the facts of its reason. Forgotten counts the steps in between at
	// which it was tried in vain that are not kept any more.
	Steps     []Step `json:"steps"`
	Forgotten int64  `json:"forgotten"`
	// LinesMs is when the lines were drawn that stand behind Offers; 0: there
	// are none, so that everybody is served. Ready says whether the matcher
	// answers: without it Offers and Position are empty.
	LinesMs int64             `json:"lines_ms"`
	Ready   bool              `json:"ready"`
	Offers  []Considered      `json:"offers"`
	Next    []matching.Reason `json:"next"` // what comes next
}

// Step is one thing that happened to a need.
type Step struct {
	AtMs       int64            `json:"at_ms"`
	Kind       string           `json:"kind"` // as events have it: "need.opened", "need.changed", "allocation.promised", …
	By         string           `json:"by"`   // who; "system": the waiting list, or a deadline
	QtyUnits   int64            `json:"qty_units"`
	Allocation string           `json:"allocation,omitempty"`
	Offer      string           `json:"offer,omitempty"`
	TitleZH    string           `json:"title_zh,omitempty"`
	TitleEN    string           `json:"title_en,omitempty"`
	Proof      string           `json:"proof,omitempty"` // of a handover
	Reason     matching.Reason  `json:"reason"`
	Rest       *matching.Reason `json:"rest,omitempty"` // why what is left waits
}

// Considered is one offer of the need's category in the county, and why it
// serves the need now or does not.
type Considered struct {
	Offer     string          `json:"offer"`
	TitleZH   string          `json:"title_zh"`
	TitleEN   string          `json:"title_en"`
	LineMilli int64           `json:"line_milli"` // the lowest of its lots that are open to the person
	Reason    matching.Reason `json:"reason"`
}

// Story tells the life of a need. The caller checks who may hear it, and
// audits it. Errors: [store.ErrNotFound]; others are the stores'.
func (s *Service) Story(ctx context.Context, id string) (*Story, error) {
	n, err := s.needs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := s.residents.Get(ctx, n.Resident)
	if err != nil {
		return nil, err
	}
	past, err := s.pastOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.started.IsZero() { // a tool has not started the service
		if err := s.loadOffers(ctx); err != nil {
			return nil, err
		}
	}
	now := s.now()
	st := &Story{
		Need: needView(n, past), Resident: n.Resident, County: n.County, Source: n.Source, CreatedBy: n.CreatedBy, AtMs: now.UnixMilli(),
		ScoreMilli: r.ScoreMilli, WeightMilli: weightNow(n, r.ScoreMilli, now), BaseMilli: n.WeightMilli(r.ScoreMilli),
		Steps: stepsOf(n, past), Forgotten: n.Forgotten, Offers: []Considered{},
	}
	capped, err := s.consider(ctx, st, n, r)
	if err != nil && !errors.Is(err, matching.ErrNotReady) {
		s.log.Warn("tell a need's story without the matcher", "need", id, "error", err)
	}
	if st.Ready = err == nil; !st.Ready {
		st.Offers, st.LinesMs = []Considered{}, 0
	}
	st.Next = s.nextOf(st, n, r, past, capped)
	return st, nil
}

// stepsOf puts the history of a need and the lives of its allocations into one
// order.
func stepsOf(n *residents.Need, past []*Allocation) []Step {
	steps := []Step{{AtMs: n.CreatedMs, Kind: KindOpened, By: n.CreatedBy, QtyUnits: n.FirstUnits()}}
	told := map[string]bool{} // reasons that an allocation tells
	for _, a := range past {
		step := func(at int64, kind, by string, reason matching.Reason) Step {
			return Step{
				AtMs: at, Kind: "allocation." + kind, By: by, QtyUnits: a.QtyUnits, Allocation: a.ID, Offer: a.Offer,
				TitleZH: a.TitleZH, TitleEN: a.TitleEN, Reason: reason,
			}
		}
		steps = append(steps, step(a.PromisedMs, string(Promised), a.PromisedBy, a.Reason))
		told[a.Reason.ZH] = true
		if a.AcceptedMs > 0 {
			steps = append(steps, step(a.AcceptedMs, "accepted", a.AcceptedBy, matching.Reason{}))
		}
		for _, e := range partEvents(a) {
			part := step(e.AtMs, "part", e.By, e.Reason)
			part.QtyUnits = e.QtyUnits
			steps = append(steps, part)
		}
		for _, e := range backEvents(a) {
			back := step(e.AtMs, string(Returned), e.By, e.Reason)
			back.QtyUnits = e.QtyUnits
			steps = append(steps, back)
		}
		if a.RestUnits > 0 {
			rest := step(a.EndedMs, string(a.RestState), a.EndedBy, a.RestReason)
			rest.QtyUnits = a.RestUnits
			steps = append(steps, rest)
		}
		if a.State != Promised {
			end := step(cmp.Or(a.GivenMs, a.EndedMs), string(a.State), a.EndedBy, a.EndReason)
			if a.ReturnedUnits > 0 {
				end.Kind, end.QtyUnits = "allocation."+string(HandedOver), a.QtyUnits+a.ReturnedUnits
			}
			end.Proof = a.Proof
			steps = append(steps, end)
			told[a.EndReason.ZH] = true
		}
	}
	qty := n.FirstUnits()
	for _, c := range n.Changes {
		x := Step{AtMs: c.AtMs, Kind: "need." + string(c.To), By: c.By, QtyUnits: qty, Reason: c.Reason}
		if c.Rest.Code != "" {
			x.Rest = &c.Rest
		}
		switch {
		case c.Reason.Code == matching.CodeChanged:
			x.Kind = "need.changed"
			if now, err := strconv.ParseInt(c.Reason.Facts["units"], 10, 64); err == nil {
				qty = now
			}
			x.QtyUnits = qty
		case told[c.Reason.ZH] && x.Rest == nil:
			continue // its allocation has said so
		case told[c.Reason.ZH]: // and only what is left is news
			x.Kind, x.Reason = "need.rest", matching.Reason{}
		}
		steps = append(steps, x)
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.AtMs, b.AtMs) })
	return steps
}

// consider finds out how the offers of the category stand to the need at this
// moment, and whether the category's cap leaves anything.
// Errors: [matching.ErrNotReady].
func (s *Service) consider(ctx context.Context, st *Story, n *residents.Need, r *residents.Resident) (capped matching.Reason, err error) {
	if err := s.engine.FollowLines(ctx, n.County); err != nil {
		return capped, err
	}
	now := s.now()
	if queued(n) {
		if st.Need.Position, err = s.engine.Position(ctx, n.County, n.Category, n.ID); err != nil {
			return capped, err
		}
	}
	lines := s.engine.Lines(n.County)
	if at := lines.At(); !at.IsZero() {
		st.LinesMs = at.UnixMilli()
	}
	person, err := s.ruledPerson(ctx, r, n.County, n.Category)
	if err != nil {
		return capped, err
	}
	candidates, misses := s.catalogue.Candidates(n.County, n.Category, person, now)
	lots := make([]string, len(candidates))
	for i, c := range candidates {
		lots[i] = c.Lot
	}
	stock, err := s.stockOf(ctx, n.County, lots)
	if err != nil {
		return capped, err
	}
	type best struct{ line, free int64 }
	offers := map[string]best{}
	for _, c := range candidates {
		x, ok := offers[c.Offer]
		if free := stock[c.Lot].FreeUnits; !ok || free > 0 && (x.free <= 0 || lines.Of(c.Lot) < x.line) {
			x = best{lines.Of(c.Lot), free}
		}
		offers[c.Offer] = x
	}
	caps, err := s.offerCaps(ctx, n.County, r.Household, candidates)
	if err != nil {
		return capped, err
	}
	for id, x := range offers {
		why := matching.ReasonConsidered(st.WeightMilli, x.line, x.free)
		if full, ok := caps[id]; ok {
			why = full
		}
		c := s.considered(id, why)
		if x.line != matching.Shut {
			c.LineMilli = x.line
		}
		st.Offers = append(st.Offers, c)
	}
	for _, m := range misses {
		st.Offers = append(st.Offers, s.considered(m.Offer, reasonNot(m, person)))
	}
	slices.SortFunc(st.Offers, func(a, b Considered) int {
		return cmp.Or(cmp.Compare(rankOf(a.Reason.Code), rankOf(b.Reason.Code)), cmp.Compare(a.Offer, b.Offer))
	})
	category, _ := providers.CategoryByID(n.Category)
	c := categoryCap(n.Category, now)
	if c.Limit == 0 {
		return capped, nil
	}
	used, err := s.engine.CapsUsed(ctx, n.County, []matching.HouseholdCap{{Household: r.Household, Cap: c}})
	if err == nil && used[0] >= c.Limit {
		capped = matching.ReasonWaitingCap(used[0], c.Limit, category.ID == providers.Cash, category.CapPeriod, category.CapPeriod.End(now))
	}
	return capped, err
}

// offerCaps says of which offers the household has had all that they allow it.
func (s *Service) offerCaps(ctx context.Context, county, household string, candidates []matching.Candidate) (map[string]matching.Reason, error) {
	var ids []string
	var caps []matching.HouseholdCap
	for _, c := range candidates {
		if c.Cap.Limit > 0 && !slices.Contains(ids, c.Offer) {
			ids, caps = append(ids, c.Offer), append(caps, matching.HouseholdCap{Household: household, Cap: c.Cap})
		}
	}
	used, err := s.engine.CapsUsed(ctx, county, caps)
	if err != nil {
		return nil, err
	}
	full := map[string]matching.Reason{}
	for i, id := range ids {
		if o, ok := s.offer(id); ok && used[i] >= caps[i].Cap.Limit {
			full[id] = matching.ReasonOfferCapped(used[i], caps[i].Cap.Limit, unitText(o.Unit, o.Category), o.Category == providers.Cash, o.CapPeriod.End(s.now()))
		}
	}
	return full, nil
}

// rankOf orders what was considered: what could be had, what fits, the rest.
func rankOf(code string) int {
	order := []string{matching.CodeOpenNow, matching.CodeBelowLine, matching.CodeEvenLater, matching.CodeOfferCapped, matching.CodeGone, matching.CodeNotYet}
	if i := slices.Index(order, code); i >= 0 {
		return i
	}
	return len(order)
}

func (s *Service) considered(id string, why matching.Reason) Considered {
	c := Considered{Offer: id, Reason: why}
	if o, ok := s.offer(id); ok {
		c.TitleZH, c.TitleEN = o.TitleZH, o.TitleEN
	}
	return c
}

// nextOf says what comes next for a need that has not ended.
func (s *Service) nextOf(st *Story, n *residents.Need, r *residents.Resident, past []*Allocation, capped matching.Reason) []matching.Reason {
	next := []matching.Reason{}
	if !n.State.Live() {
		return next
	}
	for _, a := range past {
		if a.State == Promised {
			next = append(next, matching.ReasonNextFetch(matching.Text{ZH: a.TitleZH, EN: a.TitleEN}, a.ExpiresMs))
		}
	}
	if st.Need.LeftUnits > 0 {
		switch {
		case !r.Consent.Allows(residents.ConsentMatching):
			next = append(next, matching.ReasonNoConsent())
		case !st.Ready:
			next = append(next, matching.ReasonWaitingRebuild())
		case capped.Code != "":
			next = append(next, capped)
		case n.State == residents.NeedOpen:
			next = append(next, matching.ReasonNextScan())
		case queued(n):
			at := time.UnixMilli(st.LinesMs)
			if st.LinesMs == 0 {
				at = s.now()
			}
			next = append(next, matching.ReasonNextPlan(at.Add(matching.PlanEvery)))
		}
		for _, c := range st.Offers {
			if from := s.begins(c, n.County); from > 0 {
				next = append(next, matching.ReasonNextLot(matching.Text{ZH: c.TitleZH, EN: c.TitleEN}, from))
			}
		}
	}
	if n.UntilMs > 0 {
		next = append(next, matching.ReasonNextEnd(n.UntilMs))
	}
	return next
}

// begins is when the first lot of an offer begins that has not begun, Unix ms;
// 0 for offers that do not wait for that.
func (s *Service) begins(c Considered, county string) (fromMs int64) {
	if c.Reason.Code != matching.CodeNotYet {
		return 0
	}
	o, _ := s.catalogue.Offer(c.Offer)
	for _, lot := range o.Lots {
		if lot.County == county && lot.FromMs > s.now().UnixMilli() && (fromMs == 0 || lot.FromMs < fromMs) {
			fromMs = lot.FromMs
		}
	}
	return fromMs
}

// Kinds of events that others tell apart.
const (
	KindOpened   = "need.opened"     // begins a need
	KindMovedOut = "offer.moved_out" // units went to another county
	KindMovedIn  = "offer.moved_in"  // units came from another county
)

func kinds() map[string]matching.Text {
	return map[string]matching.Text{
		KindOpened:               {ZH: "登记需求", EN: "Recorded"},
		"need.open":              {ZH: "重新待匹配", EN: "Open again"},
		"need.held":              {ZH: "预占中", EN: "Being matched"},
		"need.waiting":           {ZH: "列入候补", EN: "Waiting"},
		"need.promised":          {ZH: "已安排", EN: "Promised"},
		"need.rest":              {ZH: "其余列入候补", EN: "The rest waits"},
		"need.rest_expired":      {ZH: "其余到期", EN: "The rest expired"},
		"need.changed":           {ZH: "更改需求", EN: "Changed"},
		"need.handed_over":       {ZH: "全部交付", EN: "Served"},
		"need.declined":          {ZH: "居民谢绝", EN: "Declined"},
		"need.expired":           {ZH: "需求到期", EN: "Expired"},
		"need.withdrawn":         {ZH: "撤回需求", EN: "Withdrawn"},
		"allocation.promised":    {ZH: "派发", EN: "Given"},
		"allocation.accepted":    {ZH: "居民接受", EN: "Accepted"},
		"allocation.handed_over": {ZH: "交付", EN: "Handed over"},
		"allocation.part":        {ZH: "交付一部分", EN: "Handed over in part"},
		"allocation.returned":    {ZH: "收回交付", EN: "Came back"},
		"allocation.declined":    {ZH: "居民谢绝", EN: "Declined"},
		"allocation.expired":     {ZH: "逾期未领取", EN: "Not fetched in time"},
		"allocation.withdrawn":   {ZH: "份额退回", EN: "Taken back"},
		"offer.posted":           {ZH: "发布资源", EN: "Offer posted"},
		"offer.withdrawn":        {ZH: "撤回资源", EN: "Offer withdrawn"},
		KindMovedOut:             {ZH: "份额调往其他县区", EN: "Units went to another county"},
		KindMovedIn:              {ZH: "其他县区调来份额", EN: "Units came from another county"},
	}
}

// Kinds are the kinds of events, in order.
func Kinds() []string {
	// What a story tells that is no event of its own is left out.
	return slices.DeleteFunc(slices.Sorted(maps.Keys(kinds())), func(k string) bool { return k == "need.rest" })
}

// KindText names a kind of event in words.
func KindText(kind string) matching.Text {
	t, ok := kinds()[kind]
	if !ok {
		return matching.Text{ZH: kind, EN: kind}
	}
	return t
}
