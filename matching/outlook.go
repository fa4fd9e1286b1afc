package matching

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching/drip"
)

// Outlook is what a county makes known of the lots that it shares with others,
// by its last plan: what it has, whom it keeps that for, and who goes without.
// It names nobody.
type Outlook struct {
	Holdings []Holding `json:"h,omitempty"`
	Wishes   []Wish    `json:"w,omitempty"`
}

// Holding is a county's free units of a lot.
type Holding struct {
	Lot   string      `json:"l"` // the whole lot
	Units int64       `json:"u"`
	Kept  []drip.Band `json:"k,omitempty"`
}

// Wish is units that somebody goes without.
type Wish struct {
	drip.Band
	Lots []string `json:"l"` // the whole lots that would serve them
}

const (
	// maxWishes is how many wishes a county makes known: the heaviest.
	maxWishes = 200
	// bandsPerE is how finely weights are told apart, as in the forecast: a band
	// is 8 % wide.
	bandsPerE = 12
)

// band is the name of a weight's band.
func band(weight float64) int { return int(math.Round(bandsPerE * math.Log(weight))) }

// Outlook says what the last plan means for other counties. Lots that are
// given to whoever comes, because they are about to end, are left out: what
// came now could not be fetched. room says how many units of an offer's own
// cap a household has left.
func (p *Planner) Outlook(now time.Time, stock map[string]Stock, room func(household string, c Cap) (int64, error)) (*Outlook, error) {
	out := &Outlook{}
	if !p.shared {
		return out, nil
	}
	open := make([]bool, len(p.lots))
	for i := range p.lots {
		l := &p.lots[i]
		_, known := stock[l.lot.ID]
		open[i] = known && l.lot.Whole != "" && now.UnixMilli() < l.fetchMs
		if l.all > 0 { // kept for some: it is for them, or for all
			open[i] = open[i] && p.kept(int32(i)) != slices.Contains(p.opened, l.lot.ID)
		}
	}
	out.Holdings = p.holdings(open, stock)
	var err error
	out.Wishes, err = p.wishes(now, open, room)
	return out, err
}

func (p *Planner) holdings(open []bool, stock map[string]Stock) (out []Holding) {
	type key struct {
		lot   int32
		waits bool
		band  int
	}
	kept := map[key]drip.Band{}
	for _, u := range p.last.Uses {
		if !open[u.Lot] {
			continue
		}
		weight, waits := p.demands[u.Demand].Weight, int(u.Demand) < len(p.waiting)
		k := key{p.lots[u.Lot].own, waits, band(weight)}
		b := kept[k]
		kept[k] = drip.Band{Weight: max(b.Weight, weight), Units: b.Units + u.Units, Waits: waits}
	}
	byLot := map[int32][]drip.Band{}
	for k, b := range kept {
		byLot[k.lot] = append(byLot[k.lot], b)
	}
	for i := range p.entries {
		l := &p.lots[i]
		units := stock[l.lot.ID].FreeUnits
		toAll := l.all > 0 && open[l.all]
		if units < 1 || !open[i] && !toAll {
			continue
		}
		bands := byLot[int32(i)]
		slices.SortFunc(bands, func(a, b drip.Band) int { return cmp.Compare(a.Weight, b.Weight) })
		out = append(out, Holding{Lot: l.lot.Whole, Units: units, Kept: bands})
	}
	return out
}

func (p *Planner) wishes(now time.Time, open []bool, room func(string, Cap) (int64, error)) ([]Wish, error) {
	type key struct {
		lots  string
		waits bool
		band  int
	}
	all := map[key]*Wish{}
	asked := 0
	for i := range p.demands {
		d := &p.demands[i]
		units := d.Units - p.last.Given[i]
		waits := i < len(p.waiting)
		if units < 1e-6 || waits && asked == maxWishes {
			continue
		}
		var lots []string
		var capped int64 // what the offers' own caps leave
		for _, l := range d.Fits {
			// What other counties keep for some is for the same people here, also
			// where it is open to all.
			if !open[l] || p.lots[l].own != l || !p.shape[l].Meets(d) {
				continue
			}
			left := int64(math.MaxInt64)
			if c := p.lots[l].offer.cap(now); waits && c.Limit > 0 {
				var err error
				if left, err = room(p.waiting[i].Person.Household, c); err != nil {
					return nil, err
				}
				if left < 1 {
					continue
				}
			}
			capped = max(capped, left)
			lots = append(lots, p.lots[l].lot.Whole)
		}
		if len(lots) == 0 {
			continue
		}
		if waits {
			asked++
			units = min(units, float64(capped))
		}
		k := key{fmt.Sprint(lots), waits, band(d.Weight)}
		if w := all[k]; w != nil {
			w.Weight, w.Units = min(w.Weight, d.Weight), w.Units+units
		} else {
			all[k] = &Wish{Band: drip.Band{Weight: d.Weight, Units: units, Waits: waits}, Lots: lots}
		}
	}
	var out []Wish
	for _, w := range all {
		if w.Units >= 1 {
			out = append(out, *w)
		}
	}
	slices.SortFunc(out, func(a, b Wish) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), slices.Compare(a.Lots, b.Lots), cmp.Compare(a.Units, b.Units))
	})
	return out[:min(len(out), maxWishes)], nil
}

// Outlook reads what a county has made known. nil: nothing that holds, because
// it has no plan, an old one, or units have come or gone since.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) Outlook(ctx context.Context, county string) (*Outlook, error) {
	var head *redis.SliceCmd
	var packed *redis.StringCmd
	var gen string
	if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		gen = s.gen
		head = p.HMGet(ctx, s.key(keyLines), fieldAt, fieldMoved, fieldDrawn)
		packed = p.Get(ctx, s.key(keyOutlook))
	}); err != nil {
		return nil, err
	}
	if head.Val()[0] == nil {
		return nil, nil
	}
	at, err := strconv.ParseInt(text(head.Val()[0]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("county %s: %w", county, err)
	}
	if packed.Val() == "" || standing(gen, head.Val()[1]) != text(head.Val()[2]) || e.now().Sub(time.UnixMilli(at)) > linesAge {
		return nil, nil
	}
	var o Outlook
	if err := json.Unmarshal([]byte(packed.Val()), &o); err != nil {
		return nil, fmt.Errorf("outlook of county %s: %w", county, err)
	}
	return &o, nil
}

// Transfer is units of a lot that one county is to give to another.
type Transfer struct {
	Lot         string // the whole lot
	From, To    string // counties
	Units       int64
	WeightMilli int64 // of the neediest whom they are for
	Waits       bool  // whether that one waits
}

// Transfers says which units go where, by what counties have made known; the
// rule is [drip.Transfers].
func Transfers(outlooks map[string]*Outlook) []Transfer {
	counties := slices.Sorted(maps.Keys(outlooks))
	lots, index := []string{}, map[string]int{}
	number := func(lot string) int {
		i, ok := index[lot]
		if !ok {
			i = len(lots)
			index[lot] = i
			lots = append(lots, lot)
		}
		return i
	}
	var holdings []drip.Holding
	var wishes []drip.Wish
	for i, county := range counties {
		for _, h := range outlooks[county].Holdings {
			holdings = append(holdings, drip.Holding{County: i, Lot: number(h.Lot), Units: float64(h.Units), Kept: h.Kept})
		}
		for _, w := range outlooks[county].Wishes {
			wish := drip.Wish{County: i, Band: w.Band}
			for _, lot := range w.Lots {
				wish.Lots = append(wish.Lots, number(lot))
			}
			wishes = append(wishes, wish)
		}
	}
	var out []Transfer
	for _, t := range drip.Transfers(holdings, wishes) {
		out = append(out, Transfer{
			Lot: lots[t.Lot], From: counties[t.From], To: counties[t.To], Units: t.Units,
			WeightMilli: int64(math.Round(t.Weight * 1000)), Waits: t.Waits,
		})
	}
	return out
}
