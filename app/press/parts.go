package press

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
)

// Cut is a place in the order of cards, behind a household of a village. It
// stays where it is whoever comes, goes or gets a new code. The zero Cut is no
// bound.
type Cut struct{ Division, Household string }

// cutMost is more characters than a cut has.
const cutMost = 64

// ErrCut says that a text is no cut.
var ErrCut = errors.New("no place between households")

// ParseCut reads what [Cut.String] wrote; "" is the zero Cut. Errors: [ErrCut].
func ParseCut(s string) (Cut, error) {
	if s == "" {
		return Cut{}, nil
	}
	division, household, ok := strings.Cut(s, ".")
	if !ok || len(s) > cutMost || !regions.Valid(division) || household == "" {
		return Cut{}, ErrCut
	}
	return Cut{division, household}, nil
}

func (c Cut) String() string {
	if c == (Cut{}) {
		return ""
	}
	return c.Division + "." + c.Household
}

func (c Cut) compare(d Cut) int {
	return cmp.Or(cmp.Compare(c.Division, d.Division), cmp.Compare(c.Household, d.Household))
}

// side says where somebody's card is: -1 before the part, 0 in it, 1 after it.
func (o Order) side(r *residents.Resident) int {
	at := Cut{r.Division, r.Household}
	switch {
	case at.compare(o.After) <= 0:
		return -1
	case o.Until != (Cut{}) && at.compare(o.Until) > 0:
		return 1
	}
	return 0
}

// past says that somebody's whole village is after the part.
func (o Order) past(r *residents.Resident) bool {
	return o.Until != (Cut{}) && r.Division > o.Until.Division
}

// Part is some of the cards of a division, bounded as in [Order].
type Part struct {
	After, Until  Cut
	Cards, Sheets int
}

// Parts divides the cards of an order into parts of size cards at most, each of
// whole households (a household of more is a part by itself), without opening
// anybody's name. The last part has no bound, so that together they have
// everybody, whatever changes between printing one and another. Cuts are those
// of a division made before: they stand, however many cards now lie between
// them, and what is behind the last of them is divided anew. It stops after
// most parts; more says that there are others, behind the Until of the last.
//
// Errors: [regions.ErrDivision].
func (p *Press) Parts(ctx context.Context, o Order, cuts []Cut, size, most int) (parts []Part, t Tally, more bool, err error) {
	now := Part{After: o.After}
	last := o.After // the household counted before
	here := 0       // of the cards in now, those of this village
	village, at := map[string]int{}, ""
	end := func(c Cut) {
		now.Until = c
		now.Sheets += sheetsFor(here)
		here = 0
		parts = append(parts, now)
		now = Part{After: c}
	}
	flush := func() error {
		for _, household := range slices.Sorted(maps.Keys(village)) {
			n, place := village[household], Cut{at, household}
			for len(cuts) > 0 && cuts[0].compare(place) < 0 {
				if now.Cards > 0 && cuts[0].compare(last) >= 0 {
					end(cuts[0])
				}
				cuts = cuts[1:]
			}
			if len(cuts) == 0 && now.Cards > 0 && now.Cards+n > size {
				end(last)
			}
			if len(parts) == most {
				more = true
				return errEnough
			}
			now.Cards += n
			here += n
			last = place
		}
		now.Sheets += sheetsFor(here)
		here = 0
		clear(village)
		return nil
	}
	err = p.cfg.Residents.Holders(ctx, o.Division, o.After.Division, func(r *residents.Resident, code *residents.Code) error {
		if r.Division != at {
			if err := flush(); err != nil {
				return err
			}
			at = r.Division
		}
		if o.side(r) == 0 && t.gets(r, code) {
			village[r.Household]++
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil && !more {
		return nil, t, false, fmt.Errorf("divide the cards of %s: %w", o.Division, err)
	}
	if !more && now.Cards > 0 {
		parts = append(parts, now)
	}
	for _, part := range parts {
		t.Cards += part.Cards
		t.Sheets += part.Sheets
	}
	return parts, t, more, nil
}
