package funds

import (
	"cmp"
	"slices"
)

// Span is a run of fen of a stream: From up to To, exclusive.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Fen is how many they are.
func (s Span) Fen() int64 { return s.To - s.From }

// Piece is a run of fen of one of a fund's streams.
type Piece struct {
	Stream int64 `json:"stream"` // its number, from 0
	Span   `bson:",inline"`
}

// takeFirst takes fen from the front of pieces; it wants that many to be there.
func takeFirst(pieces []Piece, fen int64) (taken, left []Piece) {
	for i, p := range pieces {
		if fen == 0 {
			return taken, append(left, pieces[i:]...)
		}
		n := min(fen, p.Fen())
		fen -= n
		taken = append(taken, Piece{p.Stream, Span{p.From, p.From + n}})
		if n < p.Fen() {
			left = append(left, Piece{p.Stream, Span{p.From + n, p.To}})
		}
	}
	return taken, left
}

// takeLast is takeFirst from the back; what is taken stands last fen first.
func takeLast(pieces []Piece, fen int64) (taken, left []Piece) {
	left = slices.Clone(pieces)
	for fen > 0 && len(left) > 0 {
		p := &left[len(left)-1]
		n := min(fen, p.Fen())
		fen -= n
		taken = append(taken, Piece{p.Stream, Span{p.To - n, p.To}})
		if p.To -= n; p.Fen() == 0 {
			left = left[:len(left)-1]
		}
	}
	return taken, left
}

// piecesWithout takes a piece, which lies in one of them, out of others.
func piecesWithout(pieces []Piece, out Piece) (left []Piece) {
	for _, p := range pieces {
		if p.Stream != out.Stream {
			left = append(left, p)
			continue
		}
		for _, s := range without([]Span{p.Span}, out.Span) {
			left = append(left, Piece{p.Stream, s})
		}
	}
	return left
}

// joined puts pieces together of which one begins where the one before it ends.
func joined(pieces []Piece) (out []Piece) {
	for _, p := range pieces {
		if n := len(out) - 1; n >= 0 && out[n].Stream == p.Stream && out[n].To == p.From {
			out[n].To = p.To
			continue
		}
		out = append(out, p)
	}
	return out
}

// add puts a span among others that it does not overlap, in order, joined to its
// neighbours.
func add(spans []Span, s Span) []Span {
	at, _ := slices.BinarySearchFunc(spans, s, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	spans = slices.Insert(spans, at, s)
	if at+1 < len(spans) && spans[at].To == spans[at+1].From {
		spans[at].To = spans[at+1].To
		spans = slices.Delete(spans, at+1, at+2)
	}
	if at > 0 && spans[at-1].To == spans[at].From {
		spans[at-1].To = spans[at].To
		spans = slices.Delete(spans, at, at+1)
	}
	return spans
}

// within are the parts of spans that lie in one.
func within(spans []Span, in Span) (out []Span) {
	for _, s := range spans {
		if from, to := max(s.From, in.From), min(s.To, in.To); from < to {
			out = append(out, Span{from, to})
		}
	}
	return out
}

// without takes a span, which lies in one of them, out of others.
func without(spans []Span, s Span) []Span {
	out := make([]Span, 0, len(spans)+1)
	for _, x := range spans {
		if x.To <= s.From || x.From >= s.To {
			out = append(out, x)
			continue
		}
		if x.From < s.From {
			out = append(out, Span{x.From, s.From})
		}
		if x.To > s.To {
			out = append(out, Span{s.To, x.To})
		}
	}
	return out
}

func sum(spans []Span) (fen int64) {
	for _, s := range spans {
		fen += s.Fen()
	}
	return fen
}

// tiles says whether spans cover 0 up to total, each fen once.
func tiles(spans []Span, total int64) bool {
	spans = slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	var at int64
	for _, s := range spans {
		if s.From != at || s.To <= s.From {
			return false
		}
		at = s.To
	}
	return at == total
}
