package providers

import (
	"errors"
	"fmt"

	"github.com/xingfuma/happycode/app/store"
)

// ErrRefused says that the share has refused this move before, for good.
var ErrRefused = errors.New("the share has refused the move")

// Stage is how far a move has come.
type Stage string

// The stages of a move. What is begun may still be refused; from taken on it
// is finished, whoever does it.
const (
	MoveBegun   Stage = "begun"   // nothing has left the giving share
	MoveTaken   Stage = "taken"   // on the way: the giving share has let them go
	MoveAdded   Stage = "added"   // the receiving share has them
	MoveTold    Stage = "told"    // so has the matcher; the shares still carry marks
	MoveDone    Stage = "done"    // and the marks are dropped
	MoveRefused Stage = "refused" // the giving share needed them itself
)

// Move is an entry in the ledger of laterals: units of a lot that go from one
// county's share to another's. Its id follows from the giving share and the
// share's count of moves, so that two processes which decide at the same time
// begin one move.
type Move struct {
	store.Meta   `bson:",inline"` // _id is the giving share's id + "#" + its ordinal, from 1
	Offer        string           `json:"offer"`
	Lot          string           `json:"lot"`
	Category     string           `json:"category"`
	Organisation string           `json:"organisation"`
	From         string           `json:"from_county"` // 12 digits
	To           string           `json:"to_county"`
	QtyUnits     int64            `json:"qty_units"`
	WeightMilli  int64            `json:"weight_milli"` // of the neediest whom it is for
	Waits        bool             `json:"waits"`        // somebody waits there; otherwise they are expected
	Stage        Stage            `json:"stage"`
	BegunMs      int64            `json:"begun_ms"`
	AtMs         int64            `json:"at_ms"` // when it came to its stage
}

// OnTheWay says whether the units have left one share and not come to the
// other.
func (m *Move) OnTheWay() bool { return m.Stage == MoveTaken }

// Open says whether something is left to be done for the units.
func (m *Move) Open() bool {
	return m.Stage == MoveBegun || m.Stage == MoveTaken || m.Stage == MoveAdded
}

// MovesSchema declares the ledger of laterals, which app/care writes.
func MovesSchema() store.Schema {
	return store.Schema{Name: "moves", Indexes: []store.Index{
		{Name: "stage", Fields: []string{"stage", "at_ms"}},
		{Name: "lot", Fields: []string{"lot", "begun_ms"}},
		{Name: "offer", Fields: []string{"offer", "begun_ms"}},
	}}
}

// NextMove is the id of the move that the share decides on next.
func (s *Share) NextMove() string { return fmt.Sprintf("%s#%d", s.ID, s.Moves+1) }

// Give lets free units go to another county's share. The share decides on its
// moves one after the other, each once: with the mark ">move" the units have
// left it, and a repeat changes nothing.
//
// Errors: [ErrRefused] when it has decided otherwise; [ErrClosed], [ErrFull],
// [ErrQuantity].
func (s *Share) Give(move string, qty int64) error {
	switch {
	case qty < 1:
		return ErrQuantity
	case s.Gave(move):
		return nil
	case move != s.NextMove():
		return ErrRefused
	case s.Closed:
		return ErrClosed
	case s.FreeUnits() < qty:
		return ErrFull
	}
	s.QtyUnits -= qty
	s.MovedOut += qty
	s.Moves++
	s.setMark(">"+move, qty)
	return nil
}

// Refuse decides that the units of a move stay. False: they have left already.
func (s *Share) Refuse(move string) bool {
	if s.Gave(move) {
		return false
	}
	if move == s.NextMove() {
		s.Moves++
	}
	return true
}

// Gave says whether the units of a move have left the share.
func (s *Share) Gave(move string) bool {
	_, ok := s.mark(">" + move)
	return ok
}

// Received says whether the units of a move have come to the share.
func (s *Share) Received(move string) bool {
	_, ok := s.mark("<" + move)
	return ok
}

// Receive adds the units of a move, once: the mark "<move" says that they are
// here. In a closed share they go the way of what was free in it.
func (s *Share) Receive(move string, qty int64) {
	if s.Received(move) || qty < 1 {
		return
	}
	s.QtyUnits += qty
	s.MovedIn += qty
	s.release(qty)
	s.setMark("<"+move, qty)
}

// Shifts are the moves that the share still has a mark of and has counted: what
// a matcher that is filled from the share must not be told again.
func (s *Share) Shifts() []string {
	var out []string
	for _, m := range s.Marks {
		if m != "" && (m[0] == '<' || m[0] == '>') {
			out = append(out, m[1:])
		}
	}
	return out
}

// Shifted drops the marks of moves that nobody will take up again.
func (s *Share) Shifted(moves ...string) {
	s.drop("<", moves)
	s.drop(">", moves)
}
