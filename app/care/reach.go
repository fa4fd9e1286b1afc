package care

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/eligibility"
)

const (
	// LeastShown is the smallest figure that a count of residents may show.
	LeastShown = 5
	// maxReached is how many residents, and how many things that households have
	// had, a count looks at.
	maxReached = 300_000
)

// Reached asks how many residents an offer would reach.
type Reached struct {
	Divisions     []string // 12-digit codes
	Groups        []string // in one of them; empty: any
	MinScoreMilli int64
	Rule          string  // empty: none
	Before        *string // another rule to compare with; nil: none
}

// Reach is how many residents would be reached now, by town, without anybody's
// name. Counted are those who are served here and have agreed to be matched.
type Reach struct {
	AtMs  int64       `json:"at_ms"`
	Towns []ReachTown `json:"towns"` // with [LeastShown] and more, before or now
	// People is the sum of what Towns shows, and so tells nothing of the others.
	People   int64 `json:"people"`
	Before   int64 `json:"before"`    // the same by the rule compared with
	FewTowns int64 `json:"few_towns"` // towns with fewer than LeastShown, each
	Whole    bool  `json:"whole"`     // false: there are too many to look at all
}

// ReachTown is one town's figures; 0 stands for fewer than [LeastShown].
type ReachTown struct {
	Division string `json:"division"`
	Place    string `json:"place"`
	People   int64  `json:"people"`
	Before   int64  `json:"before"`
	// Near: the figure differs from one that was shown before by fewer than
	// LeastShown, and that one is shown again.
	Near bool `json:"near"`
}

// steady keeps two counts from telling together what neither tells alone: who
// asks twice, with a rule that is a little narrower, must not learn of one
// person by the difference. A count that lies near one shown before to the same
// asker for the same town is answered with that.
type steady struct {
	mu    sync.Mutex
	since time.Time
	shown map[string][]int64 // by asker and town
}

// Figures are forgotten after a day, so that memory has an end.
const steadyFor = 24 * time.Hour

func (s *steady) show(now time.Time, asker, town string, n int64) (shown int64, near bool) {
	if n < LeastShown {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil || now.Sub(s.since) > steadyFor {
		s.since, s.shown = now, map[string][]int64{}
	}
	key := asker + "|" + town
	for _, was := range s.shown[key] {
		if d := n - was; -LeastShown < d && d < LeastShown {
			return was, d != 0
		}
	}
	s.shown[key] = append(s.shown[key], n)
	return n, false
}

// counted is a resident as a count needs one.
type counted struct {
	household, division string
	groups              []string
	birth               int
	score               int64
}

// Reach counts whom an offer would reach. asker is who has seen what was counted
// before: an account, or all of an organisation's. progress may be nil.
// Errors: [providers.FieldError] for the rules, [regions.ErrDivision].
func (s *Service) Reach(ctx context.Context, asker string, q Reached, progress func(done, total int)) (*Reach, error) {
	now, err := s.asked(ctx, q.Rule)
	if err != nil {
		return nil, err
	}
	var before *asked
	if q.Before != nil {
		if before, err = s.asked(ctx, *q.Before); err != nil {
			return nil, err
		}
	}
	select { // one at a time: it may read a city
	case s.counting <- struct{}{}:
		defer func() { <-s.counting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	people, homes, whole, err := s.countable(ctx, q, progress)
	if err != nil {
		return nil, err
	}
	var look lookup
	for _, a := range []*asked{now, before} {
		if a != nil && a.rule != nil {
			look.add(openOffer{Offer: &providers.Offer{Rule: a.said}, rule: a.rule})
		}
	}
	had, all, err := s.hadIn(ctx, q.Divisions, look)
	if err != nil {
		return nil, err
	}
	towns := map[string]*[2]int64{}
	for i := range people {
		p := &people[i]
		town := townOf(p.division)
		if towns[town] == nil {
			towns[town] = &[2]int64{}
		}
		facts := s.factsOf(&residents.Resident{Division: p.division, Groups: p.groups, BirthYear: p.birth, ScoreMilli: p.score})
		facts.Household = homes[p.household]
		facts.Received = &eligibility.Received{Today: matching.DayNumber(s.now()), Had: had[p.household]}
		for k, a := range []*asked{now, before} {
			yes, err := a.admits(facts)
			if err != nil {
				return nil, err
			}
			if yes {
				towns[town][k]++
			}
		}
		if progress != nil && i%1000 == 999 {
			progress(i+1, len(people))
		}
	}
	return s.shown(asker, towns, before != nil, whole && all), nil
}

// shown is what of the counts may be seen.
func (s *Service) shown(asker string, towns map[string]*[2]int64, compared, whole bool) *Reach {
	at := s.now()
	out := &Reach{AtMs: at.UnixMilli(), Towns: []ReachTown{}, Whole: whole}
	for code, n := range towns {
		t := ReachTown{Division: code, Place: s.tree().Name(code)}
		if compared {
			t.Before, _ = s.steady.show(at, asker, code, n[1])
		}
		t.People, t.Near = s.steady.show(at, asker, code, n[0])
		if t.People == 0 {
			out.FewTowns++
		}
		if t.People > 0 || t.Before > 0 {
			out.Towns = append(out.Towns, t)
		}
		out.People, out.Before = out.People+t.People, out.Before+t.Before
	}
	slices.SortFunc(out.Towns, func(a, b ReachTown) int {
		if a.Division < b.Division {
			return -1
		}
		return 1
	})
	return out
}

// asked is a rule that a count asks about; without one everybody is admitted.
type asked struct {
	rule *eligibility.Rule
	said providers.Rule
}

func (s *Service) asked(ctx context.Context, expr string) (*asked, error) {
	if expr == "" {
		return &asked{}, nil
	}
	rule, said, err := s.providers.CheckRule(ctx, expr)
	return &asked{rule, said}, err
}

func (a *asked) admits(f eligibility.Facts) (bool, error) {
	if a == nil || a.rule == nil {
		return a != nil, nil
	}
	answer, _, err := a.rule.Decide(f)
	return answer == eligibility.Yes, err
}

// countable reads those of the divisions who fit but for the rule, and how many
// members each household has.
func (s *Service) countable(ctx context.Context, q Reached, progress func(done, total int)) (people []counted, homes map[string]int, whole bool, err error) {
	homes, whole = map[string]int{}, true
	seen := 0
	for _, code := range q.Divisions {
		from, to, err := regions.Range(code)
		if err != nil {
			return nil, nil, false, fmt.Errorf("count residents: %w", err)
		}
		query := store.Query{Index: "division", From: from, To: to, Limit: store.MaxPage}
		for {
			page, next, err := s.people.Find(ctx, query)
			if err != nil {
				return nil, nil, false, err
			}
			for _, r := range page {
				if r.Status != residents.Active {
					continue
				}
				homes[r.Household]++
				if !r.Consent.Allows(residents.ConsentMatching) || r.ScoreMilli < q.MinScoreMilli ||
					len(q.Groups) > 0 && !slices.ContainsFunc(q.Groups, func(g string) bool { return slices.Contains(r.Groups, g) }) {
					continue
				}
				people = append(people, counted{r.Household, r.Division, r.Groups, r.BirthYear, r.ScoreMilli})
			}
			if seen += len(page); progress != nil {
				progress(0, seen)
			}
			if next == "" {
				break
			}
			if seen >= maxReached {
				return people, homes, false, nil
			}
			query.After = next
		}
	}
	return people, homes, whole, nil
}

// hadIn is what the households of the divisions' counties were promised or given,
// as far as rules look back.
func (s *Service) hadIn(ctx context.Context, divisions []string, l lookup) (had map[string][]eligibility.Receipt, whole bool, err error) {
	had = map[string][]eligibility.Receipt{}
	if l.days == 0 {
		return had, true, nil
	}
	counties := map[string]bool{}
	for _, county := range s.counties() {
		counties[county] = slices.ContainsFunc(divisions, func(d string) bool { return regions.Within(county, d) || regions.Within(d, county) })
	}
	first := matching.DayNumber(s.now()) - l.days + 1
	seen := 0
	for county, asked := range counties {
		for _, category := range l.categories {
			if !asked {
				continue
			}
			query := store.Query{Index: "category", Equal: []any{county, category}, From: first*dayMs - 8*3_600_000, Limit: store.MaxPage}
			for {
				page, next, err := s.allocations.Find(ctx, query)
				if err != nil {
					return nil, false, err
				}
				for _, a := range page {
					if a.counts() && a.Resident != "" {
						had[a.Household] = append(had[a.Household], receipt(a))
					}
				}
				if next == "" {
					break
				}
				if seen += len(page); seen >= maxReached {
					return had, false, nil
				}
				query.After = next
			}
		}
	}
	return had, true, nil
}
