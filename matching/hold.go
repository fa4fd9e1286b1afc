package matching

import (
	"context"
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

// Match holds units for everything one resident needs, in one script call.
// The outcomes come in the order of the asks. Repeating a request returns the
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
	now := e.now()
	args := []any{now.Add(e.lease).UnixMilli(), r.Household, inFlight, len(r.Asks)}
	for _, a := range r.Asks {
		limit := a.Cap.withField(a.Category)
		args = append(args, a.Need, a.Base, a.QtyUnits, -a.WeightMilli, a.Category,
			limit.Field, limit.Period, limit.Limit, len(a.Candidates))
		for _, c := range a.Candidates {
			args = append(args, c.Offer, c.Lot, c.Cap.Field, c.Cap.Period, c.Cap.Limit)
		}
	}
	reply, err := e.run(ctx, r.County, "hold", func(s shard) []string {
		keys := s.keys(keyLots, keyHolds, keyDue, keySeen, keyCaps, keyWaits)
		for _, a := range r.Asks {
			keys = append(keys, s.wait(a.Category))
		}
		return keys
	}, args)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(r.Asks))
	for i, a := range r.Asks {
		v := reply[i].([]any)
		out[i] = Outcome{
			Need: a.Need, Stale: number(v[0]) == 1, ShortUnits: number(v[1]), Why: text(v[2]),
			CapUsed: number(v[3]), Position: number(v[4]),
		}
		if out[i].Holds, err = parseHolds(v[5].([]any)); err != nil {
			return nil, err
		}
	}
	return out, nil
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
		if err := checkName("offer", c.Offer); err != nil {
			return err
		}
		if err := checkName("lot", c.Lot); err != nil {
			return err
		}
		if err := c.Cap.check(); err != nil {
			return fmt.Errorf("offer %s: %w", c.Offer, err)
		}
	}
	return nil
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
		n(h.Seq), n(h.DeadlineMs),
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
	return h.OfferCap.check()
}

func parseHold(id, packed string) (Hold, error) {
	p := strings.Split(packed, "|")
	if len(p) != 13 {
		return Hold{}, fmt.Errorf("hold %s: %d fields in Redis", id, len(p))
	}
	h := Hold{
		ID: id, Need: p[0], Household: p[1], Offer: p[2], Lot: p[3],
		Category: Cap{Field: p[5], Period: p[6]}, OfferCap: Cap{Field: p[8], Period: p[9]},
	}
	for i, dst := range map[int]*int64{
		4: &h.QtyUnits, 7: &h.Category.Limit, 10: &h.OfferCap.Limit, 11: &h.Seq, 12: &h.DeadlineMs,
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
