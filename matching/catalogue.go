package matching

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Catalogue knows what the offers say: whom they are for, where, when, and
// their own caps. It lives in each process's memory. Readers see one
// unchanging state; it is safe for concurrent use.
type Catalogue struct {
	mu      sync.Mutex // one writer at a time
	current atomic.Pointer[listing]
}

// listing is one state of the catalogue; it never changes.
type listing struct {
	offers  map[string]Offer
	shelves map[shelf][]entry
	racks   map[shelf]*rack    // the same shelves
	changes map[string]uint64  // county → how often its shelves have changed
	watched map[string]bool    // keys that some offer's rule asks about
	ruled   map[shelf][]string // the offers on it that have a rule, each once
}

// shelf is where a scan looks: one category in one county.
type shelf struct{ county, category string }

// entry is one lot on a shelf.
type entry struct {
	offer    *Offer
	lot      Lot
	prefixes []string // of the divisions served
}

// NewCatalogue makes an empty catalogue.
func NewCatalogue() *Catalogue {
	c := &Catalogue{}
	c.current.Store(&listing{offers: map[string]Offer{}, shelves: map[shelf][]entry{}, racks: map[shelf]*rack{}, changes: map[string]uint64{}, ruled: map[shelf][]string{}})
	return c
}

// Put adds offers, or replaces them where the version known is not newer.
func (c *Catalogue) Put(offers ...Offer) {
	c.change(func(l *listing, touched map[shelf]bool) {
		for _, o := range offers {
			if old, ok := l.offers[o.ID]; ok {
				if old.Version > o.Version {
					continue
				}
				touch(touched, old)
			}
			o.Divisions, o.Groups, o.Lots = slices.Clone(o.Divisions), slices.Clone(o.Groups), slices.Clone(o.Lots)
			o.Keys, o.Watches = slices.Clone(o.Keys), slices.Clone(o.Watches)
			l.offers[o.ID] = o
			touch(touched, o)
		}
	})
}

// Remove takes an offer out; it was withdrawn or has ended.
func (c *Catalogue) Remove(id string) {
	c.change(func(l *listing, touched map[shelf]bool) {
		if old, ok := l.offers[id]; ok {
			touch(touched, old)
			delete(l.offers, id)
		}
	})
}

func touch(touched map[shelf]bool, o Offer) {
	for _, lot := range o.Lots {
		touched[shelf{lot.County, o.Category}] = true
	}
}

// change makes the next state: a copy of the maps, with the shelves of the
// offers that changed filled anew.
func (c *Catalogue) change(alter func(*listing, map[shelf]bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current.Load()
	next := &listing{offers: maps.Clone(old.offers), shelves: maps.Clone(old.shelves), racks: maps.Clone(old.racks), changes: maps.Clone(old.changes), watched: map[string]bool{}, ruled: maps.Clone(old.ruled)}
	touched := map[shelf]bool{}
	alter(next, touched)
	for s := range touched {
		next.shelves[s] = nil
		delete(next.ruled, s)
		next.changes[s.county]++
	}
	for _, o := range next.offers {
		for _, key := range o.Watches {
			next.watched[key] = true
		}
		var prefixes []string
		for _, lot := range o.Lots {
			s := shelf{lot.County, o.Category}
			if !touched[s] {
				continue
			}
			if prefixes == nil {
				prefixes = make([]string, len(o.Divisions))
				for i, d := range o.Divisions {
					prefixes[i] = divisionPrefix(d)
				}
			}
			next.shelves[s] = append(next.shelves[s], entry{&o, lot, prefixes})
		}
	}
	for s := range touched {
		slices.SortFunc(next.shelves[s], compareEntries)
		if len(next.shelves[s]) == 0 {
			delete(next.shelves, s)
			delete(next.racks, s)
			continue
		}
		next.racks[s] = newRack(next.shelves[s])
	}
	for s := range touched {
		known := map[string]bool{}
		for _, e := range next.shelves[s] {
			if e.offer.Rule && !known[e.offer.ID] {
				known[e.offer.ID] = true
				next.ruled[s] = append(next.ruled[s], e.offer.ID)
			}
		}
	}
	c.current.Store(next)
}

// compareEntries orders a shelf: what ends first is given first, so that
// nothing spoils; then what fewest people may have, so that the rest stays
// for the many; then by id.
func compareEntries(a, b entry) int {
	return cmp.Or(
		cmp.Compare(a.lot.UntilMs, b.lot.UntilMs),
		cmp.Compare(b.reach(), a.reach()),
		cmp.Compare(a.groupCount(), b.groupCount()),
		cmp.Compare(b.ruled(), a.ruled()),
		cmp.Compare(b.offer.MinScoreMilli, a.offer.MinScoreMilli),
		cmp.Compare(a.lot.ID, b.lot.ID),
	)
}

// reach is the length of the shortest prefix: the longer, the narrower.
func (e entry) reach() int {
	shortest, kept := 12, 12
	for _, p := range e.prefixes {
		shortest = min(shortest, len(p))
	}
	for _, d := range e.lot.Kept.Divisions {
		kept = min(kept, len(divisionPrefix(d)))
	}
	if len(e.lot.Kept.Divisions) == 0 {
		return shortest
	}
	return max(shortest, kept)
}

// ruled is 1 where a rule leaves some out.
func (e entry) ruled() int {
	if e.offer.Rule {
		return 1
	}
	return 0
}

// groupCount is how many groups may have it; none means everybody.
func (e entry) groupCount() int {
	switch {
	case e.lot.Kept.Group != "":
		return 1
	case len(e.offer.Groups) == 0:
		return math.MaxInt
	}
	return len(e.offer.Groups)
}

// divisionPrefix cuts the empty levels off a 12-digit code: province, city and
// county have two digits each, town and village three.
func divisionPrefix(code string) string {
	for _, to := range []int{9, 6, 4, 2, 0} {
		if to >= len(code) || strings.Trim(code[to:], "0") != "" {
			continue
		}
		code = code[:to]
	}
	return code
}

// Offer returns one offer.
func (c *Catalogue) Offer(id string) (Offer, bool) {
	o, ok := c.current.Load().offers[id]
	return o, ok
}

// Changes counts how often a county's shelves have changed: as long as it stays
// the same, so do they.
func (c *Catalogue) Changes(county string) uint64 { return c.current.Load().changes[county] }

// Candidates returns the lots of a category that may serve the person in the
// county now: what ends first comes first, then what fewest people may have,
// then by id. Lots that are kept for others are among them and marked, because
// a plan may have opened them. The misses say, by offer, why the county's other
// offers of the category do not serve.
func (c *Catalogue) Candidates(county, category string, p Person, now time.Time) ([]Candidate, []Miss) {
	ms := now.UnixMilli()
	var candidates, after []Candidate
	var until int64
	why := map[*Offer]string{}
	l := c.current.Load()
	for _, e := range l.shelves[shelf{county, category}] {
		miss := e.miss(p, ms)
		kept := miss == MissKept
		if until != e.lot.UntilMs {
			candidates, after, until = append(candidates, after...), nil, e.lot.UntilMs
		}
		if miss == "" || kept {
			c := l.candidate(&e, p, now, kept)
			if e.lot.Kept.For(p) {
				candidates = append(candidates, c)
			} else { // left to the others as long as something else ends as soon
				after = append(after, c)
			}
		}
		// One lot that serves is enough; one that is kept for others says more
		// than one that is still to come, and that more than one that is over.
		if was, ok := why[e.offer]; !ok || was == MissOver || miss == "" || kept && was != "" {
			why[e.offer] = miss
		}
	}
	candidates = append(candidates, after...)
	var misses []Miss
	for o, w := range why {
		if w != "" {
			misses = append(misses, Miss{Offer: o.ID, Why: w})
		}
	}
	sort.Slice(misses, func(i, j int) bool { return misses[i].Offer < misses[j].Offer })
	return candidates, misses
}

// candidate is a lot as a request names it.
func (l *listing) candidate(e *entry, p Person, now time.Time, kept bool) Candidate {
	c := Candidate{Offer: e.offer.ID, Lot: e.lot.ID, Cap: e.offer.cap(now), Kept: kept}
	for _, key := range e.offer.Keys {
		if l.watched[key] {
			c.Keys = append(c.Keys, key)
		}
	}
	if e.offer.Rule && p.Rules != nil {
		c.Guards = p.Rules.Guards(e.offer.ID)
	}
	if len(c.Keys)+len(c.Guards) > 0 {
		c.Day = DayNumber(now)
	}
	return c
}

// miss says why the lot does not serve the person now; "" when it does.
func (e entry) miss(p Person, ms int64) string {
	if why := e.serves(p); why != "" {
		return why
	}
	switch {
	case ms < e.lot.FromMs:
		return MissNotYet
	case ms >= e.lot.UntilMs:
		return MissOver
	case ms < e.lot.Kept.OpensMs && !e.lot.Kept.For(p):
		return MissKept
	}
	return ""
}

// serves says why the lot serves the person at no time; "" when it does, if only
// once it is open to all.
func (e entry) serves(p Person) string {
	serves := func(prefix string) bool { return strings.HasPrefix(p.Division, prefix) }
	in := func(group string) bool { return slices.Contains(p.Groups, group) }
	switch {
	case !slices.ContainsFunc(e.prefixes, serves):
		return MissDivision
	case len(e.offer.Groups) > 0 && !slices.ContainsFunc(e.offer.Groups, in):
		return MissGroup
	case p.ScoreMilli < e.offer.MinScoreMilli:
		return MissScore
	case e.offer.Rule && (p.Rules == nil || !p.Rules.Admits(e.offer.ID)):
		return MissRule
	}
	return ""
}

// Ruled are the offers with a rule on the county's shelves of some categories,
// each once.
func (c *Catalogue) Ruled(county string, categories ...string) []string {
	var out []string
	ruled := c.current.Load().ruled
	for _, category := range categories {
		out = append(out, ruled[shelf{county, category}]...)
	}
	return out
}

// cap is the offer's own cap, for a claim at t.
func (o *Offer) cap(t time.Time) Cap {
	if o.CapUnits == 0 {
		return Cap{}
	}
	return Cap{Field: "o:" + o.ID, Period: o.CapPeriod.Label(t), Limit: o.CapUnits}
}
