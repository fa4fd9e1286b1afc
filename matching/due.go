package matching

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Due returns at most limit holds whose deadline has passed, oldest first.
// They stay held until they are promised or released: ask the record first.
//
// Errors: [ErrNotReady]; anything else is Redis, and safe to retry.
func (e *Engine) Due(ctx context.Context, county string, limit int) ([]Hold, error) {
	now := e.now()
	reply, err := e.run(ctx, county, "due", func(s shard) []string {
		return s.keys(keyHolds, keyDue, keySeen)
	}, []any{now.UnixMilli(), limit, now.Add(-seenFor).UnixMilli()})
	if err != nil {
		return nil, err
	}
	return parseHolds(reply)
}

// Holds returns all live holds of the county, by id; verify compares them
// with the stock. Errors as for [Engine.Due].
func (e *Engine) Holds(ctx context.Context, county string) ([]Hold, error) {
	var got *redis.MapStringStringCmd
	err := e.read(ctx, county, func(p redis.Pipeliner, s shard) {
		got = p.HGetAll(ctx, s.key(keyHolds))
	})
	if err != nil {
		return nil, err
	}
	out := make([]Hold, 0, len(got.Val()))
	for id, packed := range got.Val() {
		h, err := parseHold(id, packed)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Hold) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}
