package matching

import (
	"context"
	"errors"
	"fmt"
)

// Shift is units of a lot that leave a county, or come to it.
type Shift struct {
	Move     string // id of the move, the same in both counties
	Lot      string // the county's share
	Category string
	QtyUnits int64
}

var (
	// ErrShort says that the units are not free.
	ErrShort = errors.New("the units are not free")
	// ErrUnknownLot says that the county's matcher does not know the lot yet, so
	// that it will read from the record what the lot has.
	ErrUnknownLot = errors.New("the matcher does not know the lot")
)

// takenBack ends the id of what takes a move back.
const takenBack = "/back"

// Lend takes free units away that are about to leave the county, before the
// record is asked, so that nobody is offered them any more. Repeating it
// changes nothing.
//
// Errors: [ErrShort], [ErrUnknownLot], [ErrRequest], [ErrNotReady]; anything
// else is Redis, and safe to retry.
func (e *Engine) Lend(ctx context.Context, county string, s Shift) error {
	return e.shift(ctx, county, s.Move, s, -s.QtyUnits, false, "")
}

// Keep gives back what [Engine.Lend] took: the record did not let it go.
// Without that it changes nothing. Errors as for [Engine.Lend], without
// [ErrShort].
func (e *Engine) Keep(ctx context.Context, county string, s Shift) error {
	return e.shift(ctx, county, s.Move+takenBack, s, s.QtyUnits, false, s.Move)
}

// Left tells the giving county that the record has the units as gone, whether
// or not they were lent. Errors as for [Engine.Keep].
func (e *Engine) Left(ctx context.Context, county string, s Shift) error {
	return e.shift(ctx, county, s.Move, s, -s.QtyUnits, true, "")
}

// Came tells the receiving county that the record has the units there. Errors
// as for [Engine.Keep].
func (e *Engine) Came(ctx context.Context, county string, s Shift) error {
	return e.shift(ctx, county, s.Move, s, s.QtyUnits, false, "")
}

func (e *Engine) shift(ctx context.Context, county, id string, s Shift, units int64, force bool, after string) error {
	if err := errors.Join(checkName("move", s.Move), checkName("lot", s.Lot), checkName("category", s.Category)); err != nil {
		return err
	}
	if s.QtyUnits < 1 || s.QtyUnits > MaxUnits {
		return fmt.Errorf("move %s of %d units: %w", s.Move, s.QtyUnits, ErrRequest)
	}
	reply, err := e.run(ctx, county, "move", func(s shard) []string {
		return s.keys(keyLots, keySeen, keyFreed, keyLines)
	}, []any{e.now().UnixMilli(), id, s.Lot, s.Category, units, flag(force), after})
	if err != nil {
		return err
	}
	switch text(reply[0]) {
	case "short":
		return fmt.Errorf("move %s: %w", s.Move, ErrShort)
	case "unknown":
		return fmt.Errorf("move %s, lot %s: %w", s.Move, s.Lot, ErrUnknownLot)
	}
	return nil
}
