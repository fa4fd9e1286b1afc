package matching

import (
	"cmp"
	"maps"
	"slices"
)

// Lines are the need lines of lots as the last plan drew them: whoever's
// weight is on or above a lot's line is served from it at once, whoever's is
// below waits. A lot without a line serves everybody. Lines never change; a
// new plan makes new ones.
type Lines struct{ milli map[string]int64 }

// NewLines takes the lines by lot, in thousandths of a weight.
func NewLines(milli map[string]int64) *Lines { return &Lines{maps.Clone(milli)} }

// Of is the line of a lot, in thousandths; 0 where it has none.
func (l *Lines) Of(lot string) int64 {
	if l == nil {
		return 0
	}
	return l.milli[lot]
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
