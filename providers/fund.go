package providers

import (
	"context"
	"errors"

	"github.com/xingfuma/happycode/app/store"
)

// Funds sets money aside for offers; providers/funds does.
type Funds interface {
	// Reserve sets aside what an offer is worth, before it is written; again
	// changes nothing. Errors: [FieldError], which says why not.
	Reserve(ctx context.Context, by string, o *Offer) error
}

// reserve has the offer's fund set its worth aside.
func (s *Service) reserve(ctx context.Context, by string, o *Offer) error {
	switch {
	case o.Fund == "":
		return nil
	case s.config.Funds == nil:
		return ErrOffer{"fund", "没有这一基金，请从列表中选择。", "There is no such fund: choose one from the list.", store.ErrNotFound}
	}
	return s.config.Funds.Reserve(ctx, by, o)
}

// NeverPosted makes sure that an offer for which money was set aside, and which
// was not written after it, never will be: its place is taken by one that is
// withdrawn. Who was only slow finds it there. The answer is the offer as it is.
func (s *Service) NeverPosted(ctx context.Context, id, organisation, fund string) (*Offer, error) {
	org, err := s.orgs.Get(ctx, organisation)
	if err != nil {
		return nil, err
	}
	now := store.Millis(s.config.Now())
	err = s.offers.Insert(ctx, &Offer{
		Meta: store.Meta{ID: id}, Organisation: org.ID, Kind: org.Kind, Revision: 1, Fund: fund, Status: OfferIsWithdrawn,
		TitleZH: "（未能发布）", TitleEN: "(not posted)", Divisions: []string{org.Division},
		CreatedMs: now, CreatedBy: "system", WithdrawnMs: now, WithdrawnBy: "system", ChangedMs: now,
	})
	if err != nil && !errors.Is(err, store.ErrDuplicate) {
		return nil, err
	}
	return s.offers.Get(ctx, id)
}

// OffersByID reads offers; those that are missing are left out.
func (s *Service) OffersByID(ctx context.Context, ids []string) ([]*Offer, error) {
	return s.offers.GetAll(ctx, ids)
}

// CheckText trims a text and checks its length in characters; zh and en name it
// in what is said where it does not do. Errors: [FieldError].
func CheckText(field, zh, en, s string, least, most int) (string, error) {
	return text(field, zh, en, s, least, most)
}
