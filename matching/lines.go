package matching

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lines are the need lines of lots as the last plan drew them: whoever's
// weight is on or above a lot's line is served from it at once, whoever's is
// below waits. A lot without a line serves everybody. A lot that is kept for some
// serves nobody else unless the plan has opened it. Lines never change; a new
// plan makes new ones.
type Lines struct {
	milli   map[string]int64
	opened  map[string]bool
	version string
	gen     string
	at      time.Time
	moved   bool // units have come or gone since they were drawn
}

// Shut is the line of a lot that has given its part for now: nobody reaches it.
const Shut = math.MaxInt64

// NewLines takes the lines by lot, in thousandths of a weight, and the lots kept
// for some that are open to all.
func NewLines(milli map[string]int64, opened ...string) *Lines {
	l := &Lines{milli: maps.Clone(milli), opened: map[string]bool{}}
	for _, lot := range opened {
		l.opened[lot] = true
	}
	return l
}

// Opened says whether a lot that is kept for some is open to all, because none of
// them is expected any more.
func (l *Lines) Opened(lot string) bool { return l != nil && l.opened[lot] }

// Of is the line of a lot, in thousandths; 0 where it has none.
func (l *Lines) Of(lot string) int64 {
	if l == nil {
		return 0
	}
	return l.milli[lot]
}

// At is when the lines were drawn; the zero time where there are none.
func (l *Lines) At() time.Time {
	if l == nil {
		return time.Time{}
	}
	return l.at
}

// Version changes whenever lines are drawn; "" where there are none.
func (l *Lines) Version() string {
	if l == nil {
		return ""
	}
	return l.version
}

// Moved says whether units have come from another county, or gone to one, since
// the lines were drawn.
func (l *Lines) Moved() bool { return l != nil && l.moved }

// Open leaves the candidates whose lines somebody of this weight reaches, the
// lowest line first and otherwise in their order: what nobody else is expected
// to want is given before what is contested. What is kept for others is left out.
// lowest is the lowest line of all the other candidates, 0 when there are none;
// where open is empty it is the line that the need waits for.
func (l *Lines) Open(candidates []Candidate, weightMilli int64) (open []Candidate, lowest int64) {
	first := true
	for _, c := range candidates {
		if c.Kept && !l.Opened(c.Lot) {
			continue
		}
		line := l.Of(c.Lot)
		if first || line < lowest {
			first, lowest = false, line
		}
		if line <= weightMilli {
			open = append(open, c)
		}
	}
	slices.SortStableFunc(open, func(a, b Candidate) int { return cmp.Compare(l.Of(a.Lot), l.Of(b.Lot)) })
	return open, lowest
}

// Fields of the hash of lines that are no lots: a lot's id has no bar in it.
const (
	fieldVersion = "|version"
	fieldAt      = "|at"
	fieldMoved   = "|moved" // how often units left or came
	fieldDrawn   = "|drawn" // the standing by which they were drawn
	fieldOpen    = "|open"  // after a lot's id: what is kept for some is open to all
)

// linesAge is how old lines may be. When nobody has planned for so long, they
// are as good as none, so that nothing spoils behind an old line.
const linesAge = 6 * PlanEvery

// standing names how often units have left a county or come to it.
func standing(gen string, moved any) string { return gen + ":" + cmp.Or(text(moved), "0") }

// Standing names the moves that a county's stock has in it. It is read before the
// stock by which lines are drawn, and given to [Engine.PublishLines]: a move that
// comes in between then shows.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) Standing(ctx context.Context, county string) (string, error) {
	var gen string
	var moved *redis.StringCmd
	if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		gen = s.gen
		moved = p.HGet(ctx, s.key(keyLines), fieldMoved)
	}); err != nil {
		return "", err
	}
	return standing(gen, moved.Val()), nil
}

// PublishLines puts the lines and the outlook of a county where every process finds them, in
// place of those before; drawn is the [Engine.Standing] by which they were drawn.
// They belong to the generation: a county that is rebuilt has none until it is
// planned again.
//
// Errors: [ErrNotReady], [ErrRequest]; anything else is Redis, and safe to
// retry.
func (e *Engine) PublishLines(ctx context.Context, county string, l *Lines, o *Outlook, drawn string) error {
	outlook, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("outlook of county %s: %w", county, err)
	}
	args := []any{rand.Text(), e.now().UnixMilli(), outlook, drawn}
	for _, lot := range slices.Sorted(maps.Keys(l.milli)) {
		if err := checkName("lot", lot); err != nil {
			return err
		}
		args = append(args, lot, l.milli[lot])
	}
	for _, lot := range slices.Sorted(maps.Keys(l.opened)) {
		if err := checkName("lot", lot); err != nil {
			return err
		}
		args = append(args, lot+fieldOpen, 1)
	}
	if _, err := e.run(ctx, county, "lines", func(s shard) []string { return s.keys(keyLines, keyOutlook) }, args); err != nil {
		return err
	}
	e.hearing(county).missed.Store(false)
	return e.FollowLines(ctx, county)
}

// FollowLines takes over the lines that another process has published. It asks
// for the version only, and reads the lines when that has changed.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) FollowLines(ctx context.Context, county string) error {
	var head *redis.SliceCmd
	var gen string
	if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		gen = s.gen
		head = p.HMGet(ctx, s.key(keyLines), fieldVersion, fieldMoved, fieldDrawn)
	}); err != nil {
		return err
	}
	version, moved := head.Val()[0], standing(gen, head.Val()[1]) != text(head.Val()[2])
	if version == nil {
		e.lines.Delete(county)
		return nil
	}
	if known, ok := e.lines.Load(county); ok && known.(*Lines).version == text(version) && known.(*Lines).gen == gen &&
		known.(*Lines).moved == moved {
		return nil
	}
	var all *redis.MapStringStringCmd
	if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		gen = s.gen
		all = p.HGetAll(ctx, s.key(keyLines))
	}); err != nil {
		return err
	}
	l := &Lines{milli: map[string]int64{}, opened: map[string]bool{}, gen: gen, version: all.Val()[fieldVersion]}
	l.moved = standing(gen, all.Val()[fieldMoved]) != all.Val()[fieldDrawn]
	for lot, text := range all.Val() {
		n, err := strconv.ParseInt(text, 10, 64)
		kept, open := strings.CutSuffix(lot, fieldOpen)
		switch {
		case lot == fieldVersion, lot == fieldMoved, lot == fieldDrawn:
		case err != nil:
			return err
		case lot == fieldAt:
			l.at = time.UnixMilli(n)
		case open:
			l.opened[kept] = true
		default:
			l.milli[lot] = n
		}
	}
	e.lines.Store(county, l)
	return nil
}

// Lines are the county's lines as this process last saw them; nil, which
// serves everybody, where there are none: nothing was planned yet, Redis was
// lost or rebuilt, or nobody has planned for half an hour.
func (e *Engine) Lines(county string) *Lines {
	known, ok := e.lines.Load(county)
	if !ok {
		return nil
	}
	l := known.(*Lines)
	if gen, ok := e.gens.Load(county); !ok || gen.(string) != l.gen || e.now().Sub(l.at) > linesAge {
		return nil
	}
	return l
}
