package regions

import (
	"context"
	_ "embed"

	"github.com/xingfuma/happycode/app/store"
)

//go:embed huzhou.csv
var huzhou string

// Huzhou returns the default data: Huzhou, its 5 counties, 72 towns and 1,301
// villages, as a CSV that [Service.Import] reads.
func Huzhou() []byte { return []byte(huzhou) }

// Service keeps the divisions in the record. It is safe for concurrent use.
type Service struct {
	divisions store.Collection[Division, *Division]
}

// New returns the service over a record that has [Schemas].
func New(r store.Record) *Service {
	return &Service{divisions: store.Of[Division](r, schema())}
}

// Load reads all divisions. Errors: [ErrDivision] when they do not fit together.
func (s *Service) Load(ctx context.Context) (*Tree, error) {
	var all []Division
	err := s.divisions.Each(ctx, store.Query{}, func(d *Division) error {
		all = append(all, *d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return NewTree(all)
}
