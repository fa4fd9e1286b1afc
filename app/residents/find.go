package residents

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
)

// Get reads a resident, sealed. Errors: [store.ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*Resident, error) {
	return s.residents.Get(ctx, id)
}

// Open opens what names the person; whoever calls it has decided that the
// result may be seen, and audits it. Errors: [vault.ErrSealed].
func (s *Service) Open(_ context.Context, r *Resident) (Person, error) {
	p := Person{Resident: r}
	var errs [4]error
	p.Name, errs[0] = s.cfg.Vault.OpenField(fieldName, r.ID, r.NameSealed)
	p.IDNumber, errs[1] = s.cfg.Vault.OpenField(fieldIDNumber, r.ID, r.IDNumberSealed)
	p.Phone, errs[2] = s.cfg.Vault.OpenField(fieldPhone, r.ID, r.PhoneSealed)
	p.Address, errs[3] = s.cfg.Vault.OpenField(fieldAddress, r.ID, r.AddressSealed)
	if err := errors.Join(errs[:]...); err != nil {
		return Person{}, err
	}
	return p, nil
}

// ByCode finds whose code it is by the token's code id, 20 hex digits. The
// code's Status is what counts now: [CodeRevoked] also where the resident has
// a newer one, and where the time of the carer is over whose it is.
//
// Errors: [store.ErrNotFound].
func (s *Service) ByCode(ctx context.Context, codeID string) (*Resident, *Code, error) {
	code, err := s.codes.Get(ctx, codeID)
	if err != nil {
		return nil, nil, err
	}
	return s.holder(ctx, code)
}

// ByCardNumber finds whose code it is by the 12 digits printed on the card,
// like [Service.ByCode]. Errors: [store.ErrNotFound].
func (s *Service) ByCardNumber(ctx context.Context, no string) (*Resident, *Code, error) {
	page, _, err := s.codes.Find(ctx, store.Query{Index: "card_no", Equal: []any{no}, Limit: 1})
	if err != nil {
		return nil, nil, err
	}
	if len(page) == 0 {
		return nil, nil, fmt.Errorf("read codes by card number: %w", store.ErrNotFound)
	}
	return s.holder(ctx, page[0])
}

func (s *Service) holder(ctx context.Context, code *Code) (*Resident, *Code, error) {
	r, err := s.residents.Get(ctx, code.Resident)
	if err != nil {
		return nil, nil, err
	}
	var carer *Carer
	if code.Carer != "" {
		if carer, err = s.carers.Get(ctx, code.Carer); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, nil, err
		}
	}
	if !s.counts(r, code, carer) {
		code.Status = CodeRevoked
	}
	return r, code, nil
}

// counts says whether a code of the resident's is accepted now; carer is whose
// it is, nil for the resident's own.
func (s *Service) counts(r *Resident, code *Code, carer *Carer) bool {
	switch {
	case code.Status != CodeActive:
		return false
	case code.Carer == "":
		return r.Code == code.ID
	}
	return carer != nil && carer.Code == code.ID && s.Lives(r, carer)
}

// ByIDNumber finds a resident by the ID number, without ever storing it in the
// clear. Errors: [ErrIDNumber], [store.ErrNotFound].
func (s *Service) ByIDNumber(ctx context.Context, idNumber string) (*Resident, error) {
	number, err := ParseIDNumber(idNumber, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	index := s.cfg.Vault.BlindIndex(fieldIDNumber, number.Number)
	page, _, err := s.residents.Find(ctx, store.Query{Index: "id_index", Equal: []any{index}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, fmt.Errorf("read residents by ID number: %w", store.ErrNotFound)
	}
	return page[0], nil
}

// List returns one page of the residents of a division and all below it, in
// order of their division, and where the next page begins ("" at the end).
// limit is 1..[store.MaxPage]; 0 means 100.
//
// Errors: [regions.ErrDivision], [store.ErrCursor].
func (s *Service) List(ctx context.Context, division, after string, limit int) (page []*Resident, next string, err error) {
	from, to, err := regions.Range(division)
	if err != nil {
		return nil, "", fmt.Errorf("list residents: %w", err)
	}
	return s.residents.Find(ctx, store.Query{Index: "division", From: from, To: to, After: after, Limit: limit})
}

// Household reads a household and its members. Errors: [store.ErrNotFound].
func (s *Service) Household(ctx context.Context, id string) (*Household, []*Resident, error) {
	h, err := s.households.Get(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var members []*Resident
	err = s.residents.Each(ctx, store.Query{Index: "household", Equal: []any{id}}, func(r *Resident) error {
		members = append(members, r)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return h, members, nil
}

// SetStatus says that a resident is served here, moved away or died. A code of
// somebody who is not [Active] is for the callers to refuse; the time of their
// carers is over for good, in the same write. by is the id of who says so.
//
// Errors: [FieldError], [store.ErrNotFound].
func (s *Service) SetStatus(ctx context.Context, by, residentID string, status Status) (*Resident, error) {
	why := WhyMoved
	switch status {
	case Active, Moved:
	case Deceased:
		why = WhyDeceased
	default:
		return nil, &FieldError{"status", "没有这个状态", "there is no such status"}
	}
	r, err := s.residents.Change(ctx, residentID, func(r *Resident) error {
		r.Status = status
		if status != Active {
			r.Carers = nil
		}
		return nil
	})
	if err != nil || status == Active {
		return r, err
	}
	// Dead already; this writes down by whom, and doing it again completes it.
	carers, err := s.Carers(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, c := range carers {
		if c.EndedMs == 0 && store.Millis(s.cfg.Now()) < c.UntilMs {
			if err := s.end(ctx, by, c, why); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// SetConsent writes down what a resident agrees to from now on; an empty scope
// withdraws the consent. by is the id of who wrote it down.
//
// Errors: [FieldError], [store.ErrNotFound].
func (s *Service) SetConsent(ctx context.Context, by, residentID string, scope []string) (*Resident, error) {
	scope, err := cleanScope(scope)
	if err != nil {
		return nil, err
	}
	return s.residents.Change(ctx, residentID, func(r *Resident) error {
		r.Consent = Consent{AtMs: store.Millis(s.cfg.Now()), By: by, Scope: scope}
		return nil
	})
}

// maxAddress is how long an address may be, in characters.
const maxAddress = 100

// SetAddress writes down where aid is brought to a resident; empty: nowhere. It
// is sealed.
//
// Errors: [FieldError], [store.ErrNotFound].
func (s *Service) SetAddress(ctx context.Context, residentID, address string) (*Resident, error) {
	address = strings.Join(strings.Fields(address), " ")
	if utf8.RuneCountInString(address) > maxAddress || !utf8.ValidString(address) {
		return nil, &FieldError{"address", "地址不能超过 100 字", "an address has at most 100 characters"}
	}
	sealed, err := s.cfg.Vault.Seal(fieldAddress, residentID, address)
	if err != nil {
		return nil, err
	}
	return s.residents.Change(ctx, residentID, func(r *Resident) error {
		r.AddressSealed = sealed
		return nil
	})
}
