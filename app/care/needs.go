package care

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// AddNeed records what a resident needs; the next scan matches it.
// Errors: [ErrNotYours], [store.ErrNotFound], those of [residents.Service.AddNeed].
func (s *Service) AddNeed(ctx context.Context, p accounts.Principal, n residents.NewNeed) (*residents.Need, error) {
	r, err := s.residents.Get(ctx, n.Resident)
	if err != nil {
		return nil, err
	}
	if err := s.within(ctx, p, "add_need", r.ID, r.ID, r.Division); err != nil {
		return nil, err
	}
	if _, ok := providers.CategoryByID(n.Category); !ok {
		return nil, &residents.FieldError{Field: "category", ZH: "请从列表中选择需求类别", EN: "choose a category from the list"}
	}
	if p.Role == accounts.Resident {
		n.Source = "resident"
	}
	need, err := s.residents.AddNeed(ctx, p.Account, n)
	if err != nil {
		return nil, err
	}
	s.emit(ctx, openedEvent(need))
	if err := s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "add_need", Object: need.ID,
		Subject: r.ID, Division: r.Division, Outcome: "ok",
	}); err != nil {
		return nil, err
	}
	return need, nil
}

// WithdrawNeed ends a need that is no longer one; what was promised for it
// goes back to those who wait. why is of [residents.EditReasons], or "".
// Withdrawing again changes nothing.
// Errors: [ErrNotYours], [store.ErrNotFound], [residents.ErrTransition] when it
// has ended another way, [LeasedError] and [ErrDisputed] while a device has
// what is promised for it.
func (s *Service) WithdrawNeed(ctx context.Context, p accounts.Principal, id, why string) (*residents.Need, error) {
	if why != "" && !slices.Contains(residents.EditReasons(), why) {
		return nil, &residents.FieldError{Field: "reason", ZH: "请从列表中选择原因", EN: "choose a reason from the list"}
	}
	n, err := s.needs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.within(ctx, p, "withdraw_need", id, n.Resident, n.Division); err != nil {
		return nil, err
	}
	if n.State != residents.NeedWithdrawn {
		if err := s.notLeased(ctx, id); err != nil {
			return nil, fmt.Errorf("withdraw need %s: %w", id, err)
		}
		if err := s.changeNeed(ctx, n, p.Account, residents.Standing{State: residents.NeedWithdrawn, Reason: matching.ReasonWithdrawn(why)}); err != nil {
			return nil, fmt.Errorf("withdraw need %s: %w", id, err)
		}
	}
	if err := s.endPromises(ctx, id, p.Account, matching.ReasonWithdrawn(why)); err != nil {
		return nil, err
	}
	if err := s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "withdraw_need", Object: id,
		Subject: n.Resident, Division: n.Division, Purpose: why, Outcome: "ok",
	}); err != nil {
		return nil, err
	}
	return n, nil
}

// endPromises withdraws what is promised for a need.
func (s *Service) endPromises(ctx context.Context, need, by string, reason matching.Reason) error {
	var ids []string
	if err := s.allocations.Each(ctx, store.Query{Index: "need", Equal: []any{need}}, func(a *Allocation) error {
		if a.State == Promised {
			ids = append(ids, a.ID)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := s.end(ctx, id, ending{by: by, to: Withdrawn, reason: reason}); err != nil && !settledElsewhere(err) {
			return err
		}
	}
	return nil
}

// Needs describes a resident's needs that have not ended, as the last match
// left them.
func (s *Service) Needs(ctx context.Context, resident string) ([]NeedView, error) {
	needs, err := s.openNeeds(ctx, resident)
	if err != nil {
		return nil, err
	}
	out := make([]NeedView, len(needs))
	for i, n := range needs {
		if out[i], err = s.Need(ctx, n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Need describes a need as it stands.
func (s *Service) Need(ctx context.Context, n *residents.Need) (NeedView, error) {
	past, err := s.pastOf(ctx, n.ID)
	if err != nil {
		return NeedView{}, err
	}
	v := needView(n, past)
	if queued(n) {
		if v.Position, err = s.engine.Position(ctx, n.County, n.Category, n.ID); err != nil && !errors.Is(err, matching.ErrNotReady) {
			return NeedView{}, err
		}
	}
	return v, nil
}

// Offered is what is promised to a resident and not handed over yet.
func (s *Service) Offered(ctx context.Context, resident string) ([]AllocationView, error) {
	as, err := s.promisedTo(ctx, resident)
	if err != nil {
		return nil, err
	}
	return s.views(as), nil
}

// List is the happiness list: everything a resident was promised or received,
// newest first, from all three ends.
func (s *Service) List(ctx context.Context, resident, after string, limit int) ([]AllocationView, string, error) {
	as, next, err := s.allocations.Find(ctx, store.Query{
		Index: "resident", Equal: []any{resident}, Desc: true, After: after, Limit: limit,
	})
	if err != nil {
		return nil, "", err
	}
	as = slices.DeleteFunc(as, func(a *Allocation) bool { return a.State == Void })
	return s.views(as), next, nil
}

// Events is the ledger of events, oldest first, of one county, of one
// organisation, or with neither of all. What a provider sees is cut down by
// the caller with [Event.ForProvider].
func (s *Service) Events(ctx context.Context, county, organisation, after string, limit int) ([]*Event, string, error) {
	q := store.Query{Index: "at", After: after, Limit: limit}
	switch {
	case organisation != "":
		q.Index, q.Equal = "organisation", []any{organisation}
	case county != "":
		q.Index, q.Equal = "county", []any{county}
	}
	return s.events.Find(ctx, q)
}

// ForProvider leaves what a provider may know: what became of its units, not
// whose they are. Ids that are made from a need's are replaced by fingerprints,
// so that several allocations of one need cannot be told to belong together.
func (e Event) ForProvider() Event {
	e.ID, e.Allocation = fingerprint(e.Organisation, e.ID), fingerprint(e.Organisation, e.Allocation)
	e.Resident, e.Need, e.By, e.Division = "", "", "", ""
	return e
}

func fingerprint(organisation, id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(organisation + "|" + id))
	return hex.EncodeToString(sum[:12])
}
