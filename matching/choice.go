package matching

import (
	"slices"
	"sync/atomic"
	"time"
)

// Choice are the lots that a person reaches now, in the order in which they are
// given: the lowest line first, otherwise as [Catalogue.Candidates] has them.
// It finds them as they are asked for, so that a long shelf costs no more than
// a short one. It is for one goroutine at a time.
type Choice struct {
	listing     *listing
	person      Person
	now         time.Time
	weightMilli int64
	lines       *Lines
	lists       [][]ranked // what is left of the lists that the person stands on
	last        int        // place of the lot looked at last
	others      []ranked   // kept for others and open: after what ends as soon
	found       []ranked
}

// Choice begins to look for the lots of a category that the person reaches with
// this weight: those of [Catalogue.Candidates] that [Lines.Open] leaves, in its
// order.
func (c *Catalogue) Choice(county, category string, p Person, now time.Time, lines *Lines, weightMilli int64) *Choice {
	l := c.current.Load()
	out := &Choice{listing: l, person: p, now: now, weightMilli: weightMilli, lines: lines, last: -1}
	r := l.racks[shelf{county, category}]
	if r == nil {
		return out
	}
	lists := r.ranking(lines).lists
	for _, to := range []int{0, 2, 4, 6, 9, 12} {
		if to > len(p.Division) {
			break
		}
		if l := lists[reached{p.Division[:to], ""}]; len(l) > 0 {
			out.lists = append(out.lists, l)
		}
		for _, group := range p.Groups {
			if l := lists[reached{p.Division[:to], group}]; group != "" && len(l) > 0 {
				out.lists = append(out.lists, l)
			}
		}
	}
	return out
}

// at is the i-th lot, and what is known of its stock.
func (c *Choice) at(i int) (Candidate, *hint, bool) {
	for len(c.found) <= i {
		if !c.find() {
			return Candidate{}, nil, false
		}
	}
	r := c.found[i]
	kept := r.miss(c.person, c.now.UnixMilli()) == MissKept
	return c.listing.candidate(r.entry, c.person, c.now, kept), r.hint, true
}

// find looks for one more.
func (c *Choice) find() bool {
	for {
		list := c.next()
		if len(c.others) > 0 && (list < 0 || !c.lists[list][0].beside(c.others[0])) {
			c.found, c.others = append(c.found, c.others[0]), c.others[1:]
			return true
		}
		if list < 0 {
			return false
		}
		r := c.lists[list][0]
		c.lists[list] = c.lists[list][1:]
		// One that serves a town and its county stands on both lists, side by side.
		if r.place == c.last || !c.serves(r) {
			continue
		}
		c.last = r.place
		if r.lot.Kept.For(c.person) {
			c.found = append(c.found, r)
			return true
		}
		c.others = append(c.others, r)
	}
}

// next is the list with the first of the lots that are left within reach, or -1.
func (c *Choice) next() int {
	first := -1
	for i, l := range c.lists {
		if len(l) > 0 && l[0].line <= c.weightMilli && (first < 0 || l[0].before(c.lists[first][0])) {
			first = i
		}
	}
	return first
}

// serves says whether a lot serves the person now, also as one of those to whom
// the plan has opened it.
func (c *Choice) serves(r ranked) bool {
	switch r.miss(c.person, c.now.UnixMilli()) {
	case "":
		return true
	case MissKept:
		return c.lines.Opened(r.lot.ID)
	}
	return false
}

// ranked is a lot in its place.
type ranked struct {
	*entry
	line  int64 // thousandths
	place int   // on the shelf
	hint  *hint
}

func (r ranked) before(s ranked) bool {
	return r.line < s.line || r.line == s.line && r.place < s.place
}

// beside says whether two lots have the same line and the same end.
func (r ranked) beside(s ranked) bool { return r.line == s.line && r.lot.UntilMs == s.lot.UntilMs }

// reached is whom a list is for: everybody within a division, or those of a
// group.
type reached struct{ prefix, group string }

// rack is a shelf with its lots ranked by the lines of the time.
type rack struct {
	entries []entry
	hints   []hint
	now     atomic.Pointer[ranking]
}

func newRack(entries []entry) *rack {
	return &rack{entries: entries, hints: make([]hint, len(entries))}
}

// ranking is one order of a shelf. It never changes.
type ranking struct {
	lines *Lines
	lists map[reached][]ranked
}

// ranking is the order by these lines; it is made once for each.
func (r *rack) ranking(lines *Lines) *ranking {
	if known := r.now.Load(); known != nil && known.lines == lines {
		return known
	}
	all := make([]ranked, len(r.entries))
	for i := range r.entries {
		e := &r.entries[i]
		all[i] = ranked{e, lines.Of(e.lot.ID), i, &r.hints[i]}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	made := &ranking{lines: lines, lists: map[reached][]ranked{}}
	for _, x := range all {
		groups := x.offer.Groups
		if len(groups) == 0 {
			groups = []string{""}
		}
		for _, prefix := range x.prefixes {
			for _, group := range groups {
				made.lists[reached{prefix, group}] = append(made.lists[reached{prefix, group}], x)
			}
		}
	}
	r.now.Store(made)
	return made
}
