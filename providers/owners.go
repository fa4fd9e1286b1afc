package providers

import (
	"context"
	"errors"
	"slices"
)

// ErrLastOwner says that an organisation would be left without an owner.
var ErrLastOwner = errors.New("the organisation would have no owner")

// AddOwner writes down that an account owns the organisation. The account owns
// it already: what stands here is never more than what is so, and a repeat after
// a crash adds what is missing. Errors: [store.ErrNotFound].
func (s *Service) AddOwner(ctx context.Context, id, account string) error {
	_, err := s.orgs.Change(ctx, id, func(o *Organisation) error {
		if slices.Contains(o.Owners, account) {
			return errUnchanged
		}
		o.Owners = append(o.Owners, account)
		return nil
	})
	return unchangedIsFine(err)
}

// DropOwner is what comes before an account stops owning the organisation: this
// one document decides, so that two owners cannot shut each other out at the
// same moment. known are the accounts that own it, for organisations of before
// owners were written down. An administrator may leave none: last.
// Errors: [ErrLastOwner], [store.ErrNotFound].
func (s *Service) DropOwner(ctx context.Context, id, account string, known []string, last bool) error {
	_, err := s.orgs.Change(ctx, id, func(o *Organisation) error {
		owners := o.Owners
		if !o.OwnersKept {
			for _, k := range known {
				if !slices.Contains(owners, k) {
					owners = append(owners, k)
				}
			}
		}
		left := slices.DeleteFunc(slices.Clone(owners), func(a string) bool { return a == account })
		if len(left) == 0 && !last {
			return ErrLastOwner
		}
		if o.OwnersKept && len(left) == len(o.Owners) {
			return errUnchanged
		}
		o.Owners, o.OwnersKept = left, true
		return nil
	})
	return unchangedIsFine(err)
}

func unchangedIsFine(err error) error {
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}
