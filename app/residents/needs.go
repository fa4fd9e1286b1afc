package residents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

// Bounds on a need.
const (
	maxNeedUnits   = 1_000_000_000
	maxNeedNote    = 500 // characters
	maxNeedKey     = 200 // bytes
	maxNeedUrgency = 4
)

// AddNeed writes down what a resident needs. by is the id of who does it.
// Whether the category exists is for the caller to check.
//
// Errors: [FieldError], [store.ErrNotFound] for the resident, [ErrKeyReused].
func (s *Service) AddNeed(ctx context.Context, by string, n NewNeed) (*Need, error) {
	now := store.Millis(s.cfg.Now())
	note := strings.TrimSpace(n.Note)
	if err := n.check(now, note); err != nil {
		return nil, err
	}
	r, err := s.residents.Get(ctx, n.Resident)
	if err != nil {
		return nil, err
	}
	need := &Need{
		Meta: store.Meta{ID: store.NewID()}, Resident: r.ID, Household: r.Household, County: r.County, Division: r.Division,
		Category: n.Category, QtyUnits: n.QtyUnits, Urgency: n.Urgency, UntilMs: n.UntilMs, Source: n.Source,
		State: NeedOpen, CreatedBy: by, CreatedMs: now, UpdatedMs: now,
	}
	if n.Key != "" {
		need.ID = s.derivedID("n", "need", r.ID, n.Key)
	}
	if need.NoteSealed, err = s.cfg.Vault.Seal(fieldNote, need.ID, note); err != nil {
		return nil, err
	}
	err = s.needs.Insert(ctx, need)
	if n.Key != "" && errors.Is(err, store.ErrDuplicate) {
		return s.sameNeed(ctx, need.ID, n, note)
	}
	if err != nil {
		return nil, err
	}
	return need, nil
}

// sameNeed reads the need that a key stands for already; it has to be the same
// in everything that was asked.
func (s *Service) sameNeed(ctx context.Context, id string, n NewNeed, note string) (*Need, error) {
	there, err := s.needs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	kept, err := s.NeedNote(there)
	if err != nil {
		return nil, err
	}
	if there.Category != n.Category || there.QtyUnits != n.QtyUnits || there.Urgency != n.Urgency ||
		there.UntilMs != n.UntilMs || there.Source != n.Source || kept != note {
		return nil, fmt.Errorf("add need %s: %w", id, ErrKeyReused)
	}
	return there, nil
}

func (n NewNeed) check(nowMs int64, note string) error {
	switch {
	case n.Category == "" || len(n.Category) > 32 || strings.Trim(n.Category, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "":
		return &FieldError{"category", "请选择需求类别", "choose a category"}
	case n.QtyUnits < 1 || n.QtyUnits > maxNeedUnits:
		return &FieldError{"qty_units", "数量应在 1 到 10 亿之间", "the quantity is 1 to 1,000,000,000"}
	case n.Urgency < 1 || n.Urgency > maxNeedUrgency:
		return &FieldError{"urgency", "紧急程度应在 1 到 4 之间", "the urgency is 1 to 4"}
	case n.UntilMs != 0 && n.UntilMs <= nowMs:
		return &FieldError{"until_ms", "截止时间已过", "the end lies in the past"}
	case !slices.Contains(NeedSources(), n.Source):
		return &FieldError{"source", "没有这个需求来源", "there is no such source"}
	case utf8.RuneCountInString(note) > maxNeedNote || !utf8.ValidString(note):
		return &FieldError{"note", "备注不能超过 500 字", "a note has at most 500 characters"}
	case len(n.Key) > maxNeedKey:
		return &FieldError{"key", "幂等键过长", "the key is too long"}
	}
	return nil
}

// Needs reads all needs of a resident, the oldest first.
func (s *Service) Needs(ctx context.Context, residentID string) ([]*Need, error) {
	var all []*Need
	err := s.needs.Each(ctx, store.Query{Index: "resident", Equal: []any{residentID}}, func(n *Need) error {
		all = append(all, n)
		return nil
	})
	return all, err
}

// NeedByID reads a need. Errors: [store.ErrNotFound].
func (s *Service) NeedByID(ctx context.Context, id string) (*Need, error) {
	return s.needs.Get(ctx, id)
}

// NeedNote opens the note of a need. Errors: [vault.ErrSealed].
func (s *Service) NeedNote(n *Need) (string, error) {
	return s.cfg.Vault.OpenField(fieldNote, n.ID, n.NoteSealed)
}

// EachNeed calls visit for every need of a county that is in a state, the
// oldest first; visit may return an error to stop.
func (s *Service) EachNeed(ctx context.Context, county string, state NeedState, visit func(*Need) error) error {
	return s.needs.Each(ctx, store.Query{Index: "state", Equal: []any{county, string(state)}}, visit)
}

// ChangeNeed moves a need to another state, or renews the reason of the one it
// is in while it is [NeedState.Live], and adds to its history. by is the id of
// who does it. Saying again what is so already changes nothing, and neither
// does a new reason for an ended need.
//
// Errors: [ErrTransition], [store.ErrNotFound].
func (s *Service) ChangeNeed(ctx context.Context, id, by string, to NeedState, reason matching.Reason, now time.Time) (*Need, error) {
	var unchanged *Need
	n, err := s.needs.Change(ctx, id, func(n *Need) error {
		err := n.change(by, to, reason, now)
		if errors.Is(err, errUnchanged) {
			unchanged = n
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return unchanged, nil
	}
	return n, err
}

// ChangeNeedFrom is [Service.ChangeNeed] for a need that was read a moment ago:
// where nobody has written it since, it is not read again. n stays as it is.
func (s *Service) ChangeNeedFrom(ctx context.Context, n *Need, by string, to NeedState, reason matching.Reason, now time.Time) (*Need, error) {
	next := *n
	next.Changes = slices.Clip(n.Changes)
	if err := next.change(by, to, reason, now); err != nil {
		return s.ChangeNeed(ctx, n.ID, by, to, reason, now) // it may be another by now
	}
	err := s.needs.Replace(ctx, &next)
	if errors.Is(err, store.ErrConflict) {
		return s.ChangeNeed(ctx, n.ID, by, to, reason, now)
	}
	if err != nil {
		return nil, err
	}
	return &next, nil
}

func (n *Need) change(by string, to NeedState, reason matching.Reason, now time.Time) error {
	if n.State == to {
		if !to.Live() || sameReason(n.Reason, reason) {
			return errUnchanged
		}
	} else if !n.State.May(to) {
		return fmt.Errorf("change need %s from %s to %s: %w", n.ID, n.State, to, ErrTransition)
	}
	// The history holds steps; the same step with other figures only renews the
	// reason.
	if n.State != to || n.Reason.Code != reason.Code {
		n.Changes = append(n.Changes, Change{AtMs: store.Millis(now), By: by, From: n.State, To: to, Reason: reason})
	}
	n.State, n.Reason, n.UpdatedMs = to, reason, store.Millis(now)
	return nil
}

func sameReason(a, b matching.Reason) bool { return a.Code == b.Code && a.ZH == b.ZH && a.EN == b.EN }
