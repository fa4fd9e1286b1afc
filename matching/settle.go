package matching

import (
	"context"
	"errors"
	"fmt"
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

// Release tells Redis that the record did not take these holds. With back
// their units return to their lots, unless those are closed. The ids may be
// held again. Errors as for [Engine.Promise].
func (e *Engine) Release(ctx context.Context, county string, holds []Hold, back bool) error {
	return e.settle(ctx, county, "release", []any{e.now().UnixMilli(), flag(back), 0}, holds)
}

// Return tells Redis that the record has ended these allocations without a
// handover: they were declined, have expired or were withdrawn. With back their
// units return to their lots, unless those are closed. Whether or not Redis was
// told of the promise, it is not adopted afterwards. Errors as for
// [Engine.Promise].
func (e *Engine) Return(ctx context.Context, county string, holds []Hold, back bool) error {
	return e.settle(ctx, county, "release", []any{e.now().UnixMilli(), flag(back), 1}, holds)
}

// TakeBack tells Redis that units which were handed over came back: name is of the
// coming back, the same at every repeat, and the holds have the units that did.
// With back they return to their lots, unless those are closed; the caps are eased
// either way. Call it when the record has just changed, not again half an hour
// later. Errors as for [Engine.Promise].
func (e *Engine) TakeBack(ctx context.Context, county, name string, hold Hold, back bool) error {
	hold.ID = name
	return e.settle(ctx, county, "release", []any{e.now().UnixMilli(), flag(back), 2}, []Hold{hold})
}

// Reassign tells Redis that an allocation that was promised to one household was
// handed over to another: was is the hold as it was promised, is as it was
// given, with the same id, lot and units. What Redis does not know is left to
// [Engine.Finish], which is called after it. Errors as for [Engine.Promise].
func (e *Engine) Reassign(ctx context.Context, county string, was, is Hold) error {
	if err := errors.Join(was.check(), is.check()); err != nil {
		return err
	}
	if was.ID != is.ID || was.Lot != is.Lot || was.QtyUnits != is.QtyUnits {
		return fmt.Errorf("reassign %s as %s: %w", was.ID, is.ID, ErrRequest)
	}
	_, err := e.tell(ctx, county, change{script: "reassign", keys: func(s shard) []string {
		return s.keys(keyLots, keyHolds, keyDue, keySeen, keyCaps)
	}, args: []any{e.now().UnixMilli(), is.ID, was.pack(), is.pack()}})
	return err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
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
		_, err := e.tell(ctx, county, change{script: script, keys: func(s shard) []string {
			return s.keys(keyLots, keyHolds, keyDue, keySeen, keyCaps, keyFreed)
		}, args: args})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
