package sqlite

import "github.com/xingfuma/happycode/app/store"

// Select shows the SQL of a query to tests.
func Select(s store.Schema, q store.Query) (string, []any, error) {
	p, err := s.Plan(q)
	if err != nil {
		return "", nil, err
	}
	text, args := selection(&table{Schema: s}, p)
	return text, args, nil
}
