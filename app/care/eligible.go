package care

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/eligibility"
)

// stance is how a person stands to offers that have a rule; it is made for one
// match or plan and remembers what it has decided. See [matching.Rules].
type stance struct {
	s     *Service
	facts eligibility.Facts
	// expected: the person is only expected, so what would have to be looked up
	// is taken to hold.
	expected bool
	known    map[string]decision // by offer
}

// decision is what one offer's rule said.
type decision struct {
	answer eligibility.Answer
	failed []matching.Text // the clauses that do not hold, or of which nobody knows
}

// Admits says whether an offer's rule admits the person.
func (st *stance) Admits(offer string) bool {
	switch st.decide(offer).answer {
	case eligibility.Yes:
		return true
	case eligibility.Unknown:
		return st.expected
	}
	return false
}

func (st *stance) decide(offer string) decision {
	if d, ok := st.known[offer]; ok {
		return d
	}
	d := st.s.judge(offer, st.facts)
	if st.known == nil {
		st.known = map[string]decision{}
	}
	st.known[offer] = d
	return d
}

// judge applies an offer's rule. A rule that cannot be read or decided admits
// nobody.
func (s *Service) judge(offer string, facts eligibility.Facts) decision {
	o, ok := s.offer(offer)
	if !ok || o.rule == nil {
		return decision{answer: eligibility.No}
	}
	if facts.Received != nil {
		facts.Received = &eligibility.Received{Today: facts.Received.Today, For: offer, Had: facts.Received.Had}
	}
	answer, failed, err := o.rule.Decide(facts)
	if err != nil {
		s.log.Error("decide a rule", "offer", offer, "error", err)
	}
	d := decision{answer: answer}
	for _, i := range failed {
		if i < len(o.Rule.Parts) {
			d.failed = append(d.failed, matching.Text{ZH: o.Rule.Parts[i].ZH, EN: o.Rule.Parts[i].EN})
		}
	}
	return d
}

// Guards are what an offer's rule rests on of what the household has had: nothing
// where it admits the person whatever that is.
func (st *stance) Guards(offer string) []matching.Guard {
	o, ok := st.s.offer(offer)
	if !ok || o.rule == nil || st.facts.Received == nil {
		return nil
	}
	blind := st.facts
	blind.Received = nil
	if st.s.judge(offer, blind).answer != eligibility.Unknown {
		return nil
	}
	var out []matching.Guard
	for _, key := range o.rule.Reads.Received {
		g := matching.Guard{Key: key.ID, SinceDay: st.facts.Received.Today - key.Days + 1}
		for _, x := range st.facts.Received.Had {
			if x.Is(key.ID) && x.Day >= g.SinceDay {
				g.Known++
			}
		}
		out = append(out, g)
	}
	return out
}

// reason says why an offer's rule leaves the person out.
func (st *stance) reason(offer string) matching.Reason {
	d := st.decide(offer)
	return matching.ReasonNotRule(d.failed, d.answer == eligibility.Unknown)
}

// reasonNot puts a miss into words.
func reasonNot(m matching.Miss, p matching.Person) matching.Reason {
	if st, ok := p.Rules.(*stance); ok && m.Why == matching.MissRule {
		return st.reason(m.Offer)
	}
	return matching.ReasonNot(m.Why)
}

// factsOf are what a resident's own entry says.
func (s *Service) factsOf(r *residents.Resident) eligibility.Facts {
	today := s.now().In(china())
	f := eligibility.Facts{
		Age: -1, Groups: r.Groups, Division: r.Division, Score: float64(r.ScoreMilli) / 1000, Today: today.Format(time.DateOnly),
	}
	if r.BirthYear > 0 { // the record has no more than the year in the clear
		f.Age = today.Year() - r.BirthYear
	}
	return f
}

// expectedPerson is somebody of whom a forecast is made: what is not in the
// resident's own entry is not looked up.
func (s *Service) expectedPerson(r *residents.Resident) matching.Person {
	p := s.person(r)
	p.Rules = &stance{s: s, facts: s.factsOf(r), expected: true}
	return p
}

// ruledPerson is a resident as the matcher and the rules of the county's offers
// in some categories see them. Nothing is read where there is no rule that needs
// it, which is nearly always.
func (s *Service) ruledPerson(ctx context.Context, r *residents.Resident, county string, categories ...string) (matching.Person, error) {
	p := s.person(r, categories...)
	ruled := s.catalogue.Ruled(county, categories...)
	if len(ruled) == 0 {
		return p, nil
	}
	st := &stance{s: s, facts: s.factsOf(r)}
	p.Rules = st
	var reads lookup
	for _, id := range ruled {
		if o, ok := s.offer(id); ok && o.rule != nil && s.judge(id, st.facts).answer == eligibility.Unknown {
			reads.add(o)
		}
	}
	return p, s.lookUp(ctx, r, reads, nil, &st.facts)
}

// lookup is what several rules want to know.
type lookup struct {
	household  bool
	categories []string // to look for what was received in
	days       int64
}

func (l *lookup) add(o openOffer) {
	l.household = l.household || o.rule.Reads.Household
	l.days = max(l.days, o.rule.Reads.Days())
	for _, c := range o.categories() {
		if !slices.Contains(l.categories, c) {
			l.categories = append(l.categories, c)
		}
	}
}

// categories are where to look for what the offer's rule asks of having been
// received: as it was said when the offer was posted, but a set may have offers of
// a category that has come since.
func (o openOffer) categories() []string {
	if !slices.ContainsFunc(o.rule.Reads.Received, func(k eligibility.Key) bool { return strings.HasPrefix(k.ID, eligibility.SetPrefix) }) {
		return o.Rule.Categories
	}
	var all []string
	for _, c := range providers.Categories() {
		all = append(all, c.ID)
	}
	return all
}

// lookUp adds what the rules want to know to the facts, without what but says.
func (s *Service) lookUp(ctx context.Context, r *residents.Resident, l lookup, but func(*Allocation) bool, f *eligibility.Facts) error {
	if l.household {
		if err := s.people.Each(ctx, store.Query{Index: "household", Equal: []any{r.Household}}, func(x *residents.Resident) error {
			if x.Status == residents.Active {
				f.Household++
			}
			return nil
		}); err != nil {
			return fmt.Errorf("count household %s: %w", r.Household, err)
		}
	}
	if l.days == 0 {
		return nil
	}
	had, err := s.receivedBy(ctx, r.Household, l.categories, l.days, but)
	f.Received = &eligibility.Received{Today: matching.DayNumber(s.now()), Had: had}
	return err
}

// receivedBy is what a household was promised or given in some categories within
// the last days, today included, without what but says.
func (s *Service) receivedBy(ctx context.Context, household string, categories []string, days int64, but func(*Allocation) bool) (had []eligibility.Receipt, err error) {
	first := matching.DayNumber(s.now()) - days + 1
	since := time.UnixMilli(first*dayMs - 8*3_600_000)
	for _, category := range categories {
		c, ok := providers.CategoryByID(category)
		if !ok {
			continue
		}
		prefix := household + "|c:" + category + "|"
		if err := s.allocations.Each(ctx, store.Query{
			Index: "claim", From: prefix + c.CapPeriod.Label(since) + "|", To: strings.TrimSuffix(prefix, "|") + "}",
		}, func(a *Allocation) error {
			if x := receipt(a); a.counts() && x.Day >= first && (but == nil || !but(a)) {
				had = append(had, x)
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("what household %s has had: %w", household, err)
		}
	}
	return had, nil
}

func receipt(a *Allocation) eligibility.Receipt {
	day := a.Day
	if day == 0 {
		day = matching.DayNumber(time.UnixMilli(a.PromisedMs))
	}
	return eligibility.Receipt{Offer: a.Offer, Category: a.Category, Sets: a.Sets, Day: day}
}

// against looks, after the insert, whether the offer's rule still admits the
// resident by the record, without this very need: it may rest on what the
// household has had, and a matcher that forgot others' claims lets two counters
// give at the same moment. Of two that may not be together, the later to look sees
// both. A rule that asks for something to have been had may rest on what this need
// was given before; then all but the allocation counts, as it did when it was
// matched. No reason: it does.
func (s *Service) against(ctx context.Context, a *Allocation) (matching.Reason, error) {
	o, ok := s.offer(a.Offer)
	if !ok || o.rule == nil || o.rule.Reads.Days() == 0 || a.Resident == "" {
		return matching.Reason{}, nil
	}
	r, err := s.people.Get(ctx, a.Resident)
	if err != nil {
		return matching.Reason{}, err
	}
	var l lookup
	l.add(o)
	var why matching.Reason
	for _, but := range []func(*Allocation) bool{
		func(x *Allocation) bool { return x.Need == a.Need }, func(x *Allocation) bool { return x.ID == a.ID },
	} {
		st := &stance{s: s, facts: s.factsOf(r)}
		if err := s.lookUp(ctx, r, l, but, &st.facts); err != nil || st.Admits(a.Offer) {
			return matching.Reason{}, err
		}
		why = st.reason(a.Offer)
	}
	return why, nil
}

// china is the one civil time there.
func china() *time.Location { return time.FixedZone("CST", 8*3600) }
