package matching

import (
	"context"
	"errors"
	"slices"
	"time"
)

// seenFor is how long an allocation that ended is remembered, so that a late
// repeat changes nothing.
const seenFor = 30 * time.Minute

// Promise tells Redis that the record has these allocations. Those that Redis
// does not know, because it lost them or was rebuilt meanwhile, are adopted.
//
// Errors: [ErrRequest]; any other error means that Redis does not know yet and
// will be told by the worker.
func (e *Engine) Promise(ctx context.Context, county string, holds []Hold) error {
	return e.settle(ctx, county, "confirm", []any{0}, holds)
}

// Finish tells Redis that these allocations were handed over, whether or not
// it was told that they were promised. Call it when the record has just
// changed, not again half an hour later. Errors as for [Engine.Promise].
func (e *Engine) Finish(ctx context.Context, county string, holds []Hold) error {
	return e.settle(ctx, county, "confirm", []any{e.now().UnixMilli()}, holds)
}

// Release tells Redis that these units are not given after all: the record
// refused the hold, or the allocation was declined, has expired or was
// withdrawn. With back they return to their lots, unless those are closed.
// Errors as for [Engine.Promise].
func (e *Engine) Release(ctx context.Context, county string, holds []Hold, back bool) error {
	flag := 0
	if back {
		flag = 1
	}
	return e.settle(ctx, county, "release", []any{e.now().UnixMilli(), flag}, holds)
}

// settle calls a script for each batch of allocations; all batches are tried.
func (e *Engine) settle(ctx context.Context, county, script string, head []any, holds []Hold) error {
	for i := range holds {
		if err := holds[i].check(); err != nil {
			return err
		}
	}
	var errs []error
	for part := range slices.Chunk(holds, batch) {
		args := slices.Clone(head)
		for _, h := range part {
			args = append(args, h.ID, h.pack())
		}
		_, err := e.tell(ctx, county, change{script, func(s shard) []string {
			return s.keys(keyLots, keyHolds, keyDue, keySeen, keyCaps, keyFreed)
		}, args})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
