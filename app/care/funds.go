package care

import (
	"context"

	"github.com/xingfuma/happycode/app/store"
)

// HandedOver visits what was handed over of a share of a lot, also what came back
// since. What comes back meanwhile may be visited twice.
func (s *Service) HandedOver(ctx context.Context, share string, visit func(*Allocation) error) error {
	for _, state := range []State{HandedOver, Returned} { // in the order in which an allocation has them
		if err := s.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{share, string(state)}}, visit); err != nil {
			return err
		}
	}
	return nil
}
