package residents

import (
	"context"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
)

// Holders walks over the residents of a division and all below it, in order of
// their division, each with the code that counts now; nil where there is none.
// Whether somebody is still served here is for the caller to ask. A walk with a
// start leaves out the divisions before it.
//
// Errors: [regions.ErrDivision], and what visit returns, which ends the walk.
func (s *Service) Holders(ctx context.Context, division, start string, visit func(*Resident, *Code) error) error {
	from, to, err := regions.Range(division)
	if err != nil {
		return err
	}
	from = max(from, start)
	for after := ""; ; {
		page, next, err := s.residents.Find(ctx, store.Query{Index: "division", From: from, To: to, After: after, Limit: store.MaxPage})
		if err != nil {
			return err
		}
		ids := make([]string, 0, len(page))
		for _, r := range page {
			if r.Code != "" {
				ids = append(ids, r.Code)
			}
		}
		found, err := s.codes.GetAll(ctx, ids)
		if err != nil {
			return err
		}
		codes := make(map[string]*Code, len(found))
		for _, c := range found {
			if c.Status == CodeActive {
				codes[c.ID] = c
			}
		}
		for _, r := range page {
			if err := visit(r, codes[r.Code]); err != nil {
				return err
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}

// OpenName opens the name alone, for whoever needs no more of a person.
// Errors: [vault.ErrSealed].
func (s *Service) OpenName(r *Resident) (string, error) {
	return s.cfg.Vault.OpenField(fieldName, r.ID, r.NameSealed)
}
