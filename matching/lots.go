package matching

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

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
			fields := make([]string, 0, 4*len(part))
			for _, l := range part {
				fields = append(fields, l+":f", l+":h", l+":t", l+":x")
			}
			got = p.HMGet(ctx, s.key(keyLots), fields...)
		})
		if err != nil {
			return nil, err
		}
		v := got.Val()
		for i, l := range part {
			s := Stock{ID: l, Known: v[4*i] != nil, Closed: v[4*i+3] != nil}
			for k, dst := range []*int64{&s.FreeUnits, &s.HeldUnits, &s.TakenUnits} {
				if *dst, err = integer(v[4*i+k]); err != nil {
					return nil, fmt.Errorf("lot %s in Redis: %w", l, err)
				}
			}
			out = append(out, s)
		}
	}
	return out, nil
}

func integer(v any) (int64, error) {
	if v == nil {
		return 0, nil
	}
	return strconv.ParseInt(text(v), 10, 64)
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
