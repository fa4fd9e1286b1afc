package matching

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// inFlight is how many holds one need may have that the record has not
// confirmed yet; what it still wants then is asked for again.
const inFlight = 8

// Match holds units for everything one resident needs, in one script call; in
// further ones where the first lots of an ask do not do. Whoever waits was
// refused by all of them at one moment. The outcomes come in the order of the asks. Repeating a request returns the
// holds that live, with their first deadlines.
//
// Errors: [ErrRequest], [ErrNotReady]; anything else is Redis, and safe to
// retry.
func (e *Engine) Match(ctx context.Context, r Request) ([]Outcome, error) {
	if len(r.Asks) == 0 {
		return nil, nil
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	m := &asking{e: e, r: r, out: make([]Outcome, len(r.Asks)), picks: make([]pick, len(r.Asks))}
	open := make([]int, len(r.Asks))
	for i := range open {
		open[i] = i
	}
	for round := 0; len(open) > 0; round++ {
		var err error
		if open, err = m.round(ctx, open, round); err != nil {
			return nil, err
		}
	}
	return m.out, nil
}

// How many lots of an ask the first call names, and how many times as many
// each further one does. One is enough for most.
const (
	lotsAtFirst = 4
	lotsFurther = 8
	lotsAtMost  = 4096
)

// asking is one request on its way.
type asking struct {
	e     *Engine
	r     Request
	out   []Outcome
	picks []pick
}

// pick is how far the lots of an ask were named.
type pick struct {
	next  int    // the first that was not looked at
	count string // of the category, as [counted] writes it, when all before next that are not named now were empty; "" before any were
	mark  *mark  // what is known as empty by it was passed over
	all   bool   // name them all
	named []*hint
}

// The states of an ask in the reply of hold.lua.
const (
	askDone = iota
	askStale
	askMore
)

// command is what hold.lua is called with for the asks that are open.
func (m *asking) command(open []int, round int) (keys func(shard) []string, args []any, err error) {
	args = []any{m.e.now().Add(m.e.lease).UnixMilli(), m.r.Household, inFlight, len(open)}
	for _, i := range open {
		a := &m.r.Asks[i]
		limit := a.Cap.withField(a.Category)
		args = append(args, a.Need, a.Base, a.QtyUnits, -a.WeightMilli, a.Category, limit.Field, limit.Period, limit.Limit)
		if args, err = m.name(args, i, round); err != nil {
			return nil, nil, err
		}
	}
	return func(s shard) []string {
		keys := s.keys(keyLots, keyHolds, keyDue, keySeen, keyCaps, keyWaits)
		for _, i := range open {
			keys = append(keys, s.wait(m.r.Asks[i].Category))
		}
		return keys
	}, args, nil
}

// round makes one call and returns the asks that want further lots.
func (m *asking) round(ctx context.Context, open []int, round int) (more []int, err error) {
	keys, args, err := m.command(open, round)
	if err != nil {
		return nil, err
	}
	var gen string
	reply, err := m.e.run(ctx, m.r.County, "hold", func(s shard) []string {
		gen = s.gen
		return keys(s)
	}, args)
	if err != nil {
		return nil, err
	}
	for k, i := range open {
		v := reply[k].([]any)
		a, o, was := &m.r.Asks[i], &m.out[i], m.out[i].Why
		*o = Outcome{
			Need: a.Need, Stale: number(v[0]) == askStale, ShortUnits: number(v[1]), Why: text(v[2]),
			CapUsed: number(v[3]), Position: number(v[4]),
		}
		if o.Why == ShortStock && was != "" || o.Why == ShortOfferCap && was == ShortMoved {
			o.Why = was // of the lots named before
		}
		if o.Holds, err = parseHolds(v[7:]); err != nil {
			return nil, err
		}
		m.learn(i, gen, text(v[5]), text(v[6]))
		if number(v[0]) == askMore {
			more = append(more, i)
		}
	}
	return more, nil
}

// name adds to the arguments which lots of an ask are left out, and those that
// are named.
func (m *asking) name(args []any, i, round int) ([]any, error) {
	a, p := &m.r.Asks[i], &m.picks[i]
	most := lotsAtFirst
	for range round {
		most = min(most*lotsFurther, lotsAtMost)
	}
	if round == 0 {
		p.mark = m.e.mark(m.r.County, a.Category)
	}
	from, passed := p.next, -1
	p.named = p.named[:0]
	leftOut, counted := len(args), len(args)+1
	args = append(args, "", 0)
	for p.all || len(p.named) < most {
		c, h, ok := a.lot(p.next)
		if !ok {
			break
		}
		if h.empty(p.mark) && !p.all {
			if passed < 0 {
				passed = p.next
			}
			p.count = p.mark.count
		} else {
			if err := c.check(); err != nil {
				return nil, err
			}
			args = append(args, c.Offer, c.Lot, c.Cap.pack(), c.marks())
			p.named = append(p.named, h)
		}
		p.next++
	}
	if len(p.named) == 0 && passed >= 0 { // so that the reply says that there are some
		c, h, _ := a.lot(passed)
		args = append(args, c.Offer, c.Lot, c.Cap.pack(), c.marks())
		p.named = append(p.named, h)
	}
	if _, _, ok := a.lot(p.next); ok {
		args[leftOut] = "+"
	} else if from > 0 || passed >= 0 {
		args[leftOut] = p.count
		p.next, p.all = 0, true // if that is not so any more
	}
	args[counted] = len(p.named)
	return args, nil
}

func (r Request) check() error {
	if err := checkName("household", r.Household); err != nil {
		return err
	}
	for _, a := range r.Asks {
		if err := a.check(); err != nil {
			return err
		}
	}
	return nil
}

func (a Ask) check() error {
	if err := checkName("need", a.Need); err != nil {
		return err
	}
	if err := checkName("category", a.Category); err != nil {
		return err
	}
	if a.QtyUnits < 1 || a.QtyUnits > MaxUnits || a.Base < 0 {
		return fmt.Errorf("need %s: %d units from allocation %d: %w", a.Need, a.QtyUnits, a.Base, ErrRequest)
	}
	if err := a.Cap.check(); err != nil {
		return fmt.Errorf("need %s: %w", a.Need, err)
	}
	for _, c := range a.Candidates {
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Candidate) check() error {
	if err := checkName("offer", c.Offer); err != nil {
		return err
	}
	if err := checkName("lot", c.Lot); err != nil {
		return err
	}
	if err := c.Cap.check(); err != nil {
		return fmt.Errorf("offer %s: %w", c.Offer, err)
	}
	for _, g := range c.Guards {
		if err := checkKey(g.Key); err != nil || g.SinceDay < 0 || g.Known < 0 {
			return fmt.Errorf("offer %s: guard %+v: %w", c.Offer, g, ErrRequest)
		}
	}
	return checkKeys(c.Keys)
}

func checkKeys(keys []string) error {
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
	}
	return nil
}

// checkKey refuses what would not be read back as one key.
func checkKey(key string) error {
	if key == "" || strings.ContainsAny(key, "|, ") {
		return fmt.Errorf("key %q: %w", key, ErrRequest)
	}
	return nil
}

// marks writes the keys and guards for hold.lua; "" where there are none.
func (c Candidate) marks() string {
	if len(c.Keys) == 0 && len(c.Guards) == 0 {
		return ""
	}
	guards := make([]string, len(c.Guards))
	for i, g := range c.Guards {
		guards[i] = fmt.Sprintf("%s,%d,%d", g.Key, g.SinceDay, g.Known)
	}
	return fmt.Sprintf("%d|%s|%s", c.Day, strings.Join(c.Keys, " "), strings.Join(guards, " "))
}

// lot is the i-th lot that may serve the need, with what is known of it.
func (a *Ask) lot(i int) (c Candidate, h *hint, ok bool) {
	if a.Choice != nil {
		return a.Choice.at(i)
	}
	if i >= len(a.Candidates) {
		return c, nil, false
	}
	return a.Candidates[i], nil, true
}

func (c Cap) check() error {
	nameless := c.Field == "" && (c.Limit != 0 || c.Period != "")
	if nameless || strings.ContainsRune(c.Field+c.Period, '|') || c.Limit < 0 || c.Limit > MaxUnits {
		return fmt.Errorf("cap %+v: %w", c, ErrRequest)
	}
	return nil
}

// withField names the category's claims even where nothing limits them: the
// ordinal of the claim is kept there.
func (c Cap) withField(category string) Cap {
	if c.Field == "" {
		return Cap{Field: "c:" + category, Period: Ever.Label(time.Time{})}
	}
	return c
}

// pack writes an offer's own cap for hold.lua; "" where there is none.
func (c Cap) pack() string {
	if c.Field == "" {
		return ""
	}
	return c.Field + "|" + c.Period + "|" + strconv.FormatInt(c.Limit, 10)
}

// HouseholdCap is a cap as one household stands to it.
type HouseholdCap struct {
	Household string
	Cap       Cap
}

// CapsUsed is how many units of each cap are used in its period, in their
// order.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) CapsUsed(ctx context.Context, county string, caps []HouseholdCap) ([]int64, error) {
	out := make([]int64, 0, len(caps))
	for part := range slices.Chunk(caps, chunk) {
		fields := make([]string, len(part))
		for i, c := range part {
			fields[i] = c.Household + "|" + c.Cap.Field
		}
		var got *redis.SliceCmd
		if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
			got = p.HMGet(ctx, s.key(keyCaps), fields...)
		}); err != nil {
			return nil, err
		}
		for i, v := range got.Val() {
			used, err := usedIn(text(v), part[i].Cap.Period)
			if err != nil {
				return nil, fmt.Errorf("cap %s in Redis: %w", fields[i], err)
			}
			out = append(out, used)
		}
	}
	return out, nil
}

// usedIn reads a packed cap as hold.lua does: another period means that nothing
// is used, but one that lies ahead stays.
func usedIn(packed, period string) (int64, error) {
	p := strings.Split(packed, "|")
	if len(p) != 3 {
		return 0, nil
	}
	if ahead := period != "" && p[0] > period && p[0][:1] == period[:1]; p[0] != period && !ahead {
		return 0, nil
	}
	return strconv.ParseInt(p[1], 10, 64)
}

// pack writes a hold as Redis keeps it.
func (h Hold) pack() string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return strings.Join([]string{
		h.Need, h.Household, h.Offer, h.Lot, n(h.QtyUnits),
		h.Category.Field, h.Category.Period, n(h.Category.Limit),
		h.OfferCap.Field, h.OfferCap.Period, n(h.OfferCap.Limit),
		n(h.Seq), n(h.DeadlineMs), strings.Join(h.Keys, " "), n(h.Day),
	}, "|")
}

func (h Hold) check() error {
	for what, name := range map[string]string{
		"allocation": h.ID, "need": h.Need, "household": h.Household, "offer": h.Offer, "lot": h.Lot,
		"cap of allocation " + h.ID: h.Category.Field,
	} {
		if err := checkName(what, name); err != nil {
			return err
		}
	}
	if h.QtyUnits < 1 || h.QtyUnits > MaxUnits || h.Seq < 0 {
		return fmt.Errorf("allocation %s: %d units, claim %d: %w", h.ID, h.QtyUnits, h.Seq, ErrRequest)
	}
	if err := h.Category.check(); err != nil {
		return fmt.Errorf("allocation %s: %w", h.ID, err)
	}
	return errors.Join(h.OfferCap.check(), checkKeys(h.Keys))
}

func parseHold(id, packed string) (Hold, error) {
	p := strings.Split(packed, "|")
	if len(p) != 15 {
		return Hold{}, fmt.Errorf("hold %s: %d fields in Redis", id, len(p))
	}
	h := Hold{
		ID: id, Need: p[0], Household: p[1], Offer: p[2], Lot: p[3],
		Category: Cap{Field: p[5], Period: p[6]}, OfferCap: Cap{Field: p[8], Period: p[9]},
	}
	if p[13] != "" {
		h.Keys = strings.Split(p[13], " ")
	}
	for i, dst := range map[int]*int64{
		4: &h.QtyUnits, 7: &h.Category.Limit, 10: &h.OfferCap.Limit, 11: &h.Seq, 12: &h.DeadlineMs, 14: &h.Day,
	} {
		n, err := strconv.ParseInt(p[i], 10, 64)
		if err != nil {
			return Hold{}, fmt.Errorf("hold %s: field %d in Redis: %w", id, i+1, err)
		}
		*dst = n
	}
	return h, nil
}

// parseHolds reads id, packed hold, id, packed hold, …
func parseHolds(v []any) ([]Hold, error) {
	if len(v) == 0 {
		return nil, nil
	}
	out := make([]Hold, 0, len(v)/2)
	for i := 0; i+1 < len(v); i += 2 {
		h, err := parseHold(text(v[i]), text(v[i+1]))
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}
