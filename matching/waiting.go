package matching

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"
)

// A waiting list is ordered by weight, highest first; of equal weights the
// need whose id sorts first, which with time-ordered ids is the older one.

// Wait puts a need on its waiting list, or changes its weight there.
//
// Errors: [ErrRequest]; any other error means that Redis does not know yet and
// will be told by the worker.
func (e *Engine) Wait(ctx context.Context, county string, w Waiter) error {
	return e.wait(ctx, county, w.Category, w.Need, -w.WeightMilli)
}

// Unwait takes a need off its waiting list. Errors as for [Engine.Wait].
func (e *Engine) Unwait(ctx context.Context, county, category, need string) error {
	return e.wait(ctx, county, category, need, "")
}

func (e *Engine) wait(ctx context.Context, county, category, need string, rank any) error {
	if err := checkName("category", category); err != nil {
		return err
	}
	if err := checkName("need", need); err != nil {
		return err
	}
	_, err := e.tell(ctx, county, change{script: "wait", keys: func(s shard) []string {
		return append(s.keys(), s.wait(category), s.key(keyWaits))
	}, args: []any{need, category, rank}})
	return err
}

// Reweigh changes the weights of needs that wait; those that have left their
// lists stay off them.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) Reweigh(ctx context.Context, county string, waiters []Waiter) error {
	for part := range slices.Chunk(waiters, chunk) {
		lists := map[string][]redis.Z{}
		for _, w := range part {
			lists[w.Category] = append(lists[w.Category], redis.Z{Score: float64(-w.WeightMilli), Member: w.Need})
		}
		if err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
			for category, waiting := range lists {
				p.ZAddXX(ctx, s.wait(category), waiting...) // it makes no list: one of a generation that is over stays gone
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// Waiting reads limit needs of a waiting list from offset on, highest weight
// first.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) Waiting(ctx context.Context, county, category string, offset, limit int64) ([]Waiter, error) {
	if limit < 1 {
		return nil, nil
	}
	var got *redis.ZSliceCmd
	err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		got = p.ZRangeWithScores(ctx, s.wait(category), offset, offset+limit-1)
	})
	if err != nil {
		return nil, err
	}
	out := make([]Waiter, len(got.Val()))
	for i, z := range got.Val() {
		out[i] = Waiter{Need: text(z.Member), Category: category, WeightMilli: -int64(z.Score)}
	}
	return out, nil
}

// Position is the need's place on its waiting list, from 1; 0: not waiting.
// Errors as for [Engine.Waiting].
func (e *Engine) Position(ctx context.Context, county, category, need string) (int64, error) {
	var got *redis.IntCmd
	err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		got = p.ZRank(ctx, s.wait(category), need)
	})
	if err != nil || got.Err() != nil { // redis.Nil: not waiting
		return 0, err
	}
	return got.Val() + 1, nil
}

// WaitingCategories names the categories that have, or had, a waiting list,
// in order. Errors as for [Engine.Waiting].
func (e *Engine) WaitingCategories(ctx context.Context, county string) ([]string, error) {
	return e.members(ctx, county, keyWaits, false)
}

// Freed names the categories in which units became free or lots were opened,
// in order. With take they are forgotten. Errors as for [Engine.Waiting].
func (e *Engine) Freed(ctx context.Context, county string, take bool) ([]string, error) {
	return e.members(ctx, county, keyFreed, take)
}

func (e *Engine) members(ctx context.Context, county, name string, take bool) ([]string, error) {
	var got *redis.StringSliceCmd
	err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		got = p.SMembers(ctx, s.key(name))
		if take {
			p.Del(ctx, s.key(name))
		}
	})
	if err != nil {
		return nil, err
	}
	out := got.Val()
	slices.Sort(out)
	return out, nil
}
