package matching_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/xingfuma/happycode/matching"
)

// model is the oracle: what a county's shard must be after each call, written
// as plainly as possible.
type model struct {
	lots  map[string]*modelLot
	holds map[string]matching.Hold
	seen  map[string]int64
	caps  map[string]modelCap
	notes map[string][]modelNote      // household|g:key -> the latest change last
	lists map[string]map[string]int64 // category -> need -> weight; an empty list stays
	freed map[string]bool
	times map[string]int64 // category -> how often something became free
}

type modelLot struct {
	free, held, taken int64
	closed            bool
}

type modelNote struct{ day, claims int64 }

type modelCap struct {
	period    string
	used, seq int64
}

func newModel() *model {
	return &model{
		lots: map[string]*modelLot{}, holds: map[string]matching.Hold{}, seen: map[string]int64{},
		caps: map[string]modelCap{}, notes: map[string][]modelNote{}, lists: map[string]map[string]int64{}, freed: map[string]bool{},
		times: map[string]int64{},
	}
}

// dump is written like Engine.Dump.
func (m *model) dump() []string {
	var out []string
	for id, l := range m.lots {
		packed := fmt.Sprintf("lots %s = %d|%d|%d", id, l.free, l.held, l.taken)
		if l.closed {
			packed += "|x"
		}
		out = append(out, packed)
	}
	for category, times := range m.times {
		out = append(out, fmt.Sprintf("lots |%s = %d", category, times))
	}
	for id, h := range m.holds {
		out = append(out, "holds "+id+" = "+h.Pack(), fmt.Sprintf("due %s = %d", id, h.DeadlineMs))
	}
	for id, at := range m.seen {
		out = append(out, fmt.Sprintf("seen %s = %d", id, at))
	}
	for key, c := range m.caps {
		out = append(out, fmt.Sprintf("caps %s = %s|%d|%d", key, c.period, c.used, c.seq))
	}
	for key, notes := range m.notes {
		var days []string
		for _, n := range notes {
			days = append(days, fmt.Sprintf("%d,%d", n.day, n.claims))
		}
		out = append(out, fmt.Sprintf("caps %s = %s", key, strings.Join(days, " ")))
	}
	for category, list := range m.lists {
		out = append(out, "waits "+category)
		for need, weight := range list {
			out = append(out, fmt.Sprintf("wait:%s %s = %d", category, need, -weight))
		}
	}
	for category := range m.freed {
		out = append(out, "freed "+category)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// current is a cap turned to the period of a claim.
func (m *model) current(household string, c matching.Cap) modelCap {
	s := m.caps[household+"|"+c.Field]
	switch {
	case s.period == c.Period:
	case s.period != "" && s.period[0] == c.Period[0] && s.period > c.Period: // a clock is behind
	default:
		s.period, s.used = c.Period, 0
	}
	return s
}

func (m *model) match(r matching.Request, deadline int64) []matching.Outcome {
	out := make([]matching.Outcome, len(r.Asks))
	for i, a := range r.Asks {
		out[i] = m.ask(r.Household, a, deadline)
	}
	for i, a := range r.Asks {
		o := &out[i]
		switch {
		case o.Stale:
		case o.ShortUnits > 0:
			if m.lists[a.Category] == nil {
				m.lists[a.Category] = map[string]int64{}
			}
			m.lists[a.Category][a.Need] = a.WeightMilli
			o.Position = m.position(a.Category, a.Need)
		default:
			delete(m.lists[a.Category], a.Need)
		}
	}
	return out
}

func (m *model) position(category, need string) int64 {
	list := m.lists[category]
	position := int64(1)
	for other, weight := range list {
		if weight > list[need] || weight == list[need] && other < need {
			position++
		}
	}
	return position
}

// note changes how many claims are noted under a hold's keys.
func (m *model) note(h matching.Hold, by int64) {
	for _, key := range h.Keys {
		field := h.Household + "|g:" + key
		var left []modelNote
		claims := by
		for _, n := range m.notes[field] {
			switch {
			case n.day == h.Day:
				claims += n.claims
			case by < 0 || !m.held(h) || n.day > h.Day-367:
				left = append(left, n)
			}
		}
		if claims > 0 {
			left = append(left, modelNote{h.Day, claims})
		}
		if m.notes[field] = left; len(left) == 0 {
			delete(m.notes, field)
		}
	}
}

// held says whether a claim is being made anew: only then old ones are dropped.
func (m *model) held(h matching.Hold) bool { _, ok := m.holds[h.ID]; return ok }

func (m *model) since(household string, g matching.Guard) (claims int64) {
	for _, n := range m.notes[household+"|g:"+g.Key] {
		if n.day >= g.SinceDay {
			claims += n.claims
		}
	}
	return claims
}

func (m *model) ask(household string, a matching.Ask, deadline int64) matching.Outcome {
	o := matching.Outcome{Need: a.Need}
	var free []string
	left := a.QtyUnits
	for k := range 8 {
		id := fmt.Sprintf("%s-%d", a.Need, a.Base+k)
		if _, ok := m.seen[id]; ok {
			return matching.Outcome{Need: a.Need, Stale: true}
		}
		if h, ok := m.holds[id]; ok {
			o.Holds = append(o.Holds, h)
			left -= h.QtyUnits
		} else {
			free = append(free, id)
		}
	}
	blocked, moved, mine := false, false, map[string]int64{}
	for _, c := range a.Candidates {
		lot := m.lots[c.Lot]
		if lot == nil || lot.closed || lot.free <= 0 || left <= 0 || len(free) == 0 {
			continue
		}
		if slices.ContainsFunc(c.Guards, func(g matching.Guard) bool { return m.since(household, g)-mine[g.Key] > g.Known }) {
			moved = true
			continue
		}
		category := m.current(household, a.Cap)
		take := min(left, lot.free)
		if a.Cap.Limit > 0 {
			take = min(take, a.Cap.Limit-category.used)
		}
		claim := matching.Cap{Limit: c.Cap.Limit}
		var own modelCap
		if c.Cap.Field != "" {
			own = m.current(household, c.Cap)
			claim = matching.Cap{Field: c.Cap.Field, Period: own.period, Limit: c.Cap.Limit}
			if c.Cap.Limit > 0 {
				blocked = blocked || own.used >= c.Cap.Limit
				take = min(take, c.Cap.Limit-own.used)
			}
		}
		if take <= 0 {
			continue
		}
		h := matching.Hold{
			ID: free[0], Need: a.Need, Household: household, Offer: c.Offer, Lot: c.Lot, QtyUnits: take,
			Category: matching.Cap{Field: a.Cap.Field, Period: category.period, Limit: a.Cap.Limit},
			OfferCap: claim, Seq: category.seq, DeadlineMs: deadline, Keys: c.Keys, Day: c.Day,
		}
		free = free[1:]
		left -= take
		lot.free -= take
		lot.held += take
		m.holds[h.ID] = h
		m.note(h, 1)
		for _, key := range h.Keys {
			mine[key]++
		}
		m.caps[household+"|"+a.Cap.Field] = modelCap{category.period, category.used + take, category.seq + 1}
		if c.Cap.Field != "" {
			m.caps[household+"|"+c.Cap.Field] = modelCap{own.period, own.used + take, own.seq}
		}
		o.Holds = append(o.Holds, h)
	}
	used := m.current(household, a.Cap).used
	o.CapUsed = used
	if left > 0 {
		o.ShortUnits = left
		switch {
		case len(a.Candidates) == 0:
			o.Why = matching.ShortNone
		case a.Cap.Limit > 0 && used >= a.Cap.Limit:
			o.Why = matching.ShortCap
		case moved:
			o.Why = matching.ShortMoved
		case blocked:
			o.Why = matching.ShortOfferCap
		default:
			o.Why = matching.ShortStock
		}
	}
	return o
}

func same(a, b matching.Hold) bool {
	return a.Lot == b.Lot && a.QtyUnits == b.QtyUnits && a.Seq == b.Seq
}

func (m *model) unclaim(household string, c matching.Cap, qty int64) {
	key := household + "|" + c.Field
	if s, ok := m.caps[key]; ok && s.period == c.Period {
		s.used = max(0, s.used-qty)
		m.caps[key] = s
	}
}

func (m *model) claim(household string, c matching.Cap, qty, seq int64) {
	key := household + "|" + c.Field
	s := m.caps[key]
	switch {
	case s.period == c.Period:
		s.used += qty
	case s.period == "" || s.period[0] == c.Period[0] && s.period < c.Period:
		s.period, s.used = c.Period, qty
	}
	s.seq = max(s.seq, seq)
	m.caps[key] = s
}

// confirm is Promise (mark 0) and Finish (mark: when).
func (m *model) confirm(holds []matching.Hold, mark int64) {
	for _, h := range holds {
		ended, known := m.seen[h.ID]
		if known {
			if mark != 0 && ended == 0 {
				m.seen[h.ID] = mark
			}
			continue
		}
		lot := m.lots[h.Lot]
		live, held := m.holds[h.ID]
		switch {
		case held && same(live, h):
			if lot != nil {
				lot.held -= h.QtyUnits
				lot.taken += h.QtyUnits
			}
		default:
			if held {
				m.undo(live)
				delete(m.holds, h.ID)
			}
			if lot != nil && !lot.closed {
				lot.free -= h.QtyUnits
			}
			if lot != nil {
				lot.taken += h.QtyUnits
			}
			m.claim(h.Household, h.Category, h.QtyUnits, h.Seq+1)
			if h.OfferCap.Field != "" {
				m.claim(h.Household, h.OfferCap, h.QtyUnits, 0)
			}
			m.note(h, 1)
		}
		delete(m.holds, h.ID)
		m.seen[h.ID] = mark
	}
}

func (m *model) undo(h matching.Hold) {
	if lot := m.lots[h.Lot]; lot != nil {
		lot.held -= h.QtyUnits
		if !lot.closed {
			lot.free += h.QtyUnits
			m.free(strings.TrimPrefix(h.Category.Field, "c:"))
		}
	}
	m.note(h, -1)
	m.unclaim(h.Household, h.Category, h.QtyUnits)
	m.unclaim(h.Household, h.OfferCap, h.QtyUnits)
}

func (m *model) release(holds []matching.Hold, now int64, back bool) {
	for _, h := range holds {
		lot := m.lots[h.Lot]
		live, held := m.holds[h.ID]
		ended, known := m.seen[h.ID]
		switch {
		case held && same(live, h):
			delete(m.holds, h.ID)
			if lot != nil {
				lot.held -= h.QtyUnits
			}
		case !held && known && ended == 0:
			m.seen[h.ID] = now
			if lot != nil {
				lot.taken -= h.QtyUnits
			}
		default:
			continue
		}
		if back && lot != nil && !lot.closed {
			lot.free += h.QtyUnits
			m.free(strings.TrimPrefix(h.Category.Field, "c:"))
		}
		m.note(h, -1)
		m.unclaim(h.Household, h.Category, h.QtyUnits)
		m.unclaim(h.Household, h.OfferCap, h.QtyUnits)
	}
}

// takeBack is of one coming back, whose name the hold has for an id.
func (m *model) takeBack(h matching.Hold, now int64, back bool) {
	if _, seen := m.seen[h.ID]; seen {
		return
	}
	m.seen[h.ID] = now
	if lot := m.lots[h.Lot]; lot != nil {
		lot.taken -= h.QtyUnits
		if back && !lot.closed {
			lot.free += h.QtyUnits
			m.free(strings.TrimPrefix(h.Category.Field, "c:"))
		}
	}
	m.note(h, -1)
	m.unclaim(h.Household, h.Category, h.QtyUnits)
	m.unclaim(h.Household, h.OfferCap, h.QtyUnits)
}

func (m *model) reassign(was, is matching.Hold, now int64) {
	at, seen := m.seen[was.ID]
	live, held := m.holds[was.ID]
	held = held && live.Lot == was.Lot && live.QtyUnits == was.QtyUnits && live.Seq == was.Seq
	if seen && at != 0 || !seen && !held {
		return
	}
	m.unclaim(was.Household, was.Category, was.QtyUnits)
	m.claim(is.Household, is.Category, is.QtyUnits, is.Seq+1)
	if is.OfferCap.Field != "" {
		m.claim(is.Household, is.OfferCap, is.QtyUnits, 0)
	}
	if !seen {
		m.lots[was.Lot].held -= was.QtyUnits
		m.lots[was.Lot].taken += was.QtyUnits
		delete(m.holds, was.ID)
	}
	m.seen[was.ID] = now
}

func (m *model) free(category string) {
	m.freed[category] = true
	m.times[category]++
}

func (m *model) open(lots []matching.LotState) {
	for _, l := range lots {
		if m.lots[l.ID] != nil {
			continue
		}
		m.lots[l.ID] = &modelLot{free: l.FreeUnits, taken: l.TakenUnits, closed: l.Closed}
		if l.Closed {
			m.lots[l.ID].free = 0
		} else {
			m.free(l.Category)
		}
	}
}

func (m *model) close(id string) int64 {
	lot := m.lots[id]
	if lot == nil {
		lot = &modelLot{}
		m.lots[id] = lot
	}
	left := max(0, lot.free)
	lot.free, lot.closed = 0, true
	return left
}

func (m *model) wait(w matching.Waiter) {
	if m.lists[w.Category] == nil {
		m.lists[w.Category] = map[string]int64{}
	}
	m.lists[w.Category][w.Need] = w.WeightMilli
}

func (m *model) due(now int64, limit int) []matching.Hold {
	for id, at := range m.seen {
		if at > 0 && at < now-30*60*1000 {
			delete(m.seen, id)
		}
	}
	var out []matching.Hold
	for _, h := range m.holds {
		if h.DeadlineMs <= now {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b matching.Hold) int {
		if a.DeadlineMs != b.DeadlineMs {
			return int(a.DeadlineMs - b.DeadlineMs)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out[:min(limit, len(out))]
}

func (m *model) waiting(category string) []matching.Waiter {
	out := []matching.Waiter{}
	for _, need := range slices.Collect(maps.Keys(m.lists[category])) {
		out = append(out, matching.Waiter{Need: need, Category: category, WeightMilli: m.lists[category][need]})
	}
	slices.SortFunc(out, func(a, b matching.Waiter) int {
		if a.WeightMilli != b.WeightMilli {
			return int(b.WeightMilli - a.WeightMilli)
		}
		return strings.Compare(a.Need, b.Need)
	})
	return out
}
