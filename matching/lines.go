package matching

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lines are the need lines of lots as the last plan drew them: whoever's
// weight is on or above a lot's line is served from it at once, whoever's is
// below waits. A lot without a line serves everybody. Lines never change; a
// new plan makes new ones.
type Lines struct {
	milli   map[string]int64
	version string
	gen     string
	at      time.Time
}

// Shut is the line of a lot that has given its part for now: nobody reaches it.
const Shut = math.MaxInt64

// NewLines takes the lines by lot, in thousandths of a weight.
func NewLines(milli map[string]int64) *Lines { return &Lines{milli: maps.Clone(milli)} }

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

// Open leaves the candidates whose lines somebody of this weight reaches, the
// lowest line first and otherwise in their order: what nobody else is expected
// to want is given before what is contested. lowest is the lowest line of all
// candidates, 0 when there are none; where open is empty it is the line that
// the need waits for.
func (l *Lines) Open(candidates []Candidate, weightMilli int64) (open []Candidate, lowest int64) {
	for i, c := range candidates {
		line := l.Of(c.Lot)
		if i == 0 || line < lowest {
			lowest = line
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
)

// linesAge is how old lines may be. When nobody has planned for so long, they
// are as good as none, so that nothing spoils behind an old line.
const linesAge = 6 * PlanEvery

// PublishLines puts the lines of a county where every process finds them, in
// place of those before. They belong to the generation: a county that is
// rebuilt has none until it is planned again.
//
// Errors: [ErrNotReady], [ErrRequest]; anything else is Redis, and safe to
// retry.
func (e *Engine) PublishLines(ctx context.Context, county string, l *Lines) error {
	now, version := e.now(), rand.Text()
	args := []any{version, now.UnixMilli()}
	for _, lot := range slices.Sorted(maps.Keys(l.milli)) {
		if err := checkName("lot", lot); err != nil {
			return err
		}
		args = append(args, lot, l.milli[lot])
	}
	if _, err := e.run(ctx, county, "lines", func(s shard) []string { return s.keys(keyLines) }, args); err != nil {
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
	var version *redis.StringCmd
	var gen string
	if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		gen = s.gen
		version = p.HGet(ctx, s.key(keyLines), fieldVersion)
	}); err != nil {
		return err
	}
	if errors.Is(version.Err(), redis.Nil) {
		e.lines.Delete(county)
		return nil
	}
	if known, ok := e.lines.Load(county); ok && known.(*Lines).version == version.Val() && known.(*Lines).gen == gen {
		return nil
	}
	var all *redis.MapStringStringCmd
	if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		gen = s.gen
		all = p.HGetAll(ctx, s.key(keyLines))
	}); err != nil {
		return err
	}
	l := &Lines{milli: map[string]int64{}, gen: gen, version: all.Val()[fieldVersion]}
	for lot, text := range all.Val() {
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case lot == fieldVersion:
		case err != nil:
			return err
		case lot == fieldAt:
			l.at = time.UnixMilli(n)
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
