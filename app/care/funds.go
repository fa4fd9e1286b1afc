package care

import (
	"context"

	"github.com/xingfuma/happycode/app/store"
)

// HandedOver visits what was handed over of a share of a lot.
func (s *Service) HandedOver(ctx context.Context, share string, visit func(*Allocation) error) error {
	return s.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{share, string(HandedOver)}}, visit)
}
