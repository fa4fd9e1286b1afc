package care

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

// Waiting is one need on a waiting list.
type Waiting struct {
	Need        string          `json:"need"`
	Resident    string          `json:"resident"`
	Division    string          `json:"division"`
	Category    string          `json:"category"`
	LeftUnits   int64           `json:"left_units"` // still wanted
	QtyUnits    int64           `json:"qty_units"`
	Urgency     int             `json:"urgency"`
	Position    int64           `json:"position"` // in the county, from 1
	WeightMilli int64           `json:"weight_milli"`
	LineMilli   int64           `json:"line_milli"` // the lowest of what fits now; 0: nothing fits, or there is no line
	Reason      matching.Reason `json:"reason"`     // of the last try
	CreatedMs   int64           `json:"created_ms"`
	UntilMs     int64           `json:"until_ms"` // 0: no end
}

// waitingRead is how many needs of a county's lists one page looks at: those of
// other divisions are passed over.
const waitingRead = 2000

// WaitingList reads who waits in a county, of one category or, with "", of all
// in order: those whom the principal answers for, first by category, then by
// position. after is the next of a page before.
// Errors: [matching.ErrNotReady], [store.ErrCursor].
func (s *Service) WaitingList(ctx context.Context, p accounts.Principal, county, category, after string, limit int) (out []Waiting, next string, err error) {
	if err := s.engine.FollowLines(ctx, county); err != nil {
		return nil, "", err
	}
	categories := []string{category}
	if category == "" {
		if categories, err = s.engine.WaitingCategories(ctx, county); err != nil {
			return nil, "", err
		}
	}
	offset := int64(0)
	if after != "" {
		at, place, ok := strings.Cut(after, ".")
		n, bad := strconv.ParseInt(place, 10, 64)
		i := slices.Index(categories, at)
		if !ok || bad != nil || n < 0 {
			return nil, "", store.ErrCursor
		}
		if i < 0 { // nobody waits there any more
			return nil, "", nil
		}
		categories, offset = categories[i:], n
	}
	read := 0
	for _, c := range categories {
		for {
			part, err := s.engine.Waiting(ctx, county, c, offset, 200)
			if err != nil {
				return nil, "", err
			}
			rows, err := s.waitingOf(ctx, p, county, part, offset)
			if err != nil {
				return nil, "", err
			}
			for i, row := range rows {
				if row.Need == "" {
					continue
				}
				if len(out) == limit {
					return out, c + "." + strconv.FormatInt(offset+int64(i), 10), nil
				}
				out = append(out, row)
			}
			offset += int64(len(part))
			if read += len(part); read >= waitingRead && len(part) == 200 {
				return out, c + "." + strconv.FormatInt(offset, 10), nil
			}
			if len(part) < 200 {
				break
			}
		}
		offset = 0
	}
	return out, "", nil
}

// waitingOf describes a part of a list; a row without a need is of somebody
// whom the principal does not answer for.
func (s *Service) waitingOf(ctx context.Context, p accounts.Principal, county string, part []matching.Waiter, offset int64) ([]Waiting, error) {
	ids := make([]string, len(part))
	for i, w := range part {
		ids[i] = w.Need
	}
	needs, err := s.needs.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	needs = slices.DeleteFunc(needs, func(n *residents.Need) bool { return !n.State.Live() || !p.Sees(n.Division) })
	people, err := s.residentsOf(ctx, needs)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*residents.Need, len(needs))
	for _, n := range needs {
		byID[n.ID] = n
	}
	lines, now := s.engine.Lines(county), s.now()
	out := make([]Waiting, len(part))
	for i, w := range part {
		n := byID[w.Need]
		if n == nil || people[n.Resident] == nil {
			continue
		}
		r := people[n.Resident]
		past, err := s.pastOf(ctx, n.ID)
		if err != nil {
			return nil, err
		}
		x := Waiting{
			Need: n.ID, Resident: n.Resident, Division: n.Division, Category: n.Category, LeftUnits: needView(n, past).LeftUnits, QtyUnits: n.QtyUnits,
			Urgency: n.Urgency, Position: offset + int64(i) + 1, WeightMilli: weightNow(n, r.ScoreMilli, now), Reason: n.Reason, CreatedMs: n.CreatedMs, UntilMs: n.UntilMs,
		}
		if n.Rest.Code != "" {
			x.Reason = n.Rest
		}
		person, err := s.ruledPerson(ctx, r, county, n.Category)
		if err != nil {
			return nil, err
		}
		candidates, _ := s.catalogue.Candidates(county, n.Category, person, now)
		if _, lowest := lines.Open(candidates, x.WeightMilli); lowest != matching.Shut {
			x.LineMilli = lowest
		}
		out[i] = x
	}
	return out, nil
}
