package matching

import (
	"strconv"
	"strings"
	"sync/atomic"
)

// mark stands for a moment at which something of a category became free in a
// county. As long as it is the newest, what was found empty after it is empty.
type mark struct {
	gen   string
	count string // as [counted] writes it
	n     int64
}

// hint is what this process knows of a lot's stock.
type hint struct{ emptyAt atomic.Pointer[mark] }

// empty says that the lot was found empty after the mark.
func (h *hint) empty(m *mark) bool { return h != nil && m != nil && h.emptyAt.Load() == m }

// mark is the newest mark that this process has heard of; nil: none.
func (e *Engine) mark(county, category string) *mark {
	m, ok := e.marks.Load(shelf{county, category})
	if !ok {
		return nil
	}
	return m.(*mark)
}

// counted is a count of hold.lua's as it wants it back: those of two generations
// say nothing of each other, though they may be the same figure.
func counted(gen, count string) string { return gen + ":" + count }

// markOf is the mark of a reply; nil when a newer one is known.
func (e *Engine) markOf(county, category, gen, count string) *mark {
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return nil
	}
	known := e.mark(county, category)
	switch {
	case known != nil && known.gen == gen && known.n > n:
		return nil
	case known != nil && known.gen == gen && known.n == n:
		return known
	}
	fresh := &mark{gen, counted(gen, count), n}
	e.marks.Store(shelf{county, category}, fresh)
	return fresh
}

// learn keeps what a reply says of the lots that were named for an ask: which
// of them were empty, by their places from 1, and when.
func (m *asking) learn(i int, gen, count, empty string) {
	p := &m.picks[i]
	if p.count == "" {
		p.count = counted(gen, count)
	}
	if empty == "" {
		return
	}
	at := m.e.markOf(m.r.County, m.r.Asks[i].Category, gen, count)
	for place := range strings.FieldsSeq(empty) {
		k, err := strconv.Atoi(place)
		if err != nil || k < 1 || k > len(p.named) || p.named[k-1] == nil {
			continue
		}
		p.named[k-1].emptyAt.Store(at)
	}
}
