package matching

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// OpenLots makes lots known that may be given from now on. A lot that is
// known stays as it is.
//
// Errors: [ErrRequest]; any other error means that Redis does not know yet and
// will be told by the worker.
func (e *Engine) OpenLots(ctx context.Context, county string, lots []LotState) error {
	for _, l := range lots {
		if err := l.check(); err != nil {
			return err
		}
	}
	var errs []error
	for part := range slices.Chunk(lots, batch) {
		var args []any
		for _, l := range part {
			closed := 0
			if l.Closed {
				closed = 1
			}
			args = append(args, l.ID, l.Category, l.FreeUnits, l.TakenUnits, closed)
		}
		_, err := e.tell(ctx, county, change{script: "open", keys: func(s shard) []string {
			return s.keys(keyLots, keyFreed)
		}, args: args})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// CloseLot ends a lot: what is free leaves it, holds and promises stay. It
// returns how many units left; 0 when it was closed before.
//
// Errors: [ErrRequest]; any other error means that Redis does not know yet and
// will be told by the worker.
func (e *Engine) CloseLot(ctx context.Context, county, lot string) (units int64, err error) {
	if err := checkName("lot", lot); err != nil {
		return 0, err
	}
	reply, err := e.tell(ctx, county, change{script: "close", keys: func(s shard) []string {
		return s.keys(keyLots)
	}, args: []any{lot}})
	if err != nil {
		return 0, err
	}
	return number(reply[0]), nil
}

// Stock reads what Redis has of the lots, in their order.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) Stock(ctx context.Context, county string, lots []string) ([]Stock, error) {
	out := make([]Stock, 0, len(lots))
	for part := range slices.Chunk(lots, batch) {
		var got *redis.SliceCmd
		err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
			got = p.HMGet(ctx, s.key(keyLots), part...)
		})
		if err != nil {
			return nil, err
		}
		for i, l := range part {
			s, err := parseLot(l, got.Val()[i])
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// closedLot ends the packed form of a lot that is closed.
const closedLot = "|x"

// pack writes a lot as Redis keeps it: free|held|taken, and |x when closed.
func (l LotState) pack() string {
	if l.Closed {
		return fmt.Sprintf("0|0|%d%s", l.TakenUnits, closedLot)
	}
	return fmt.Sprintf("%d|0|%d", l.FreeUnits, l.TakenUnits)
}

// parseLot reads a packed lot; nil is one that Redis does not know.
func parseLot(id string, packed any) (Stock, error) {
	s := Stock{ID: id, Known: packed != nil}
	if !s.Known {
		return s, nil
	}
	counts, closed := strings.CutSuffix(text(packed), closedLot)
	s.Closed = closed
	p := strings.Split(counts, "|")
	if len(p) != 3 {
		return s, fmt.Errorf("lot %s: %d counts in Redis", id, len(p))
	}
	for i, dst := range []*int64{&s.FreeUnits, &s.HeldUnits, &s.TakenUnits} {
		n, err := strconv.ParseInt(p[i], 10, 64)
		if err != nil {
			return s, fmt.Errorf("lot %s in Redis: %w", id, err)
		}
		*dst = n
	}
	return s, nil
}

func (l LotState) check() error {
	if err := checkName("lot", l.ID); err != nil {
		return err
	}
	if err := checkName("category", l.Category); err != nil {
		return err
	}
	if l.FreeUnits < -MaxUnits || l.FreeUnits > MaxUnits || l.TakenUnits < 0 || l.TakenUnits > MaxUnits {
		return fmt.Errorf("lot %s: %d free, %d taken: %w", l.ID, l.FreeUnits, l.TakenUnits, ErrRequest)
	}
	return nil
}
