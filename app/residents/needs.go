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

// Standing is where a need stands, and why.
type Standing struct {
	State  NeedState
	Reason matching.Reason
	Rest   matching.Reason // see [Need.Rest]
}

// renewalsKept is how many renewals of a reason the history of a need holds.
const renewalsKept = 24

// ChangeNeed moves a need to another state, or renews the reason of the one it
// is in while it is [NeedState.Live], and adds to its history. by is the id of
// who does it. Saying again what is so already changes nothing, and neither
// does a new reason for an ended need.
//
// Errors: [ErrTransition], [store.ErrNotFound].
func (s *Service) ChangeNeed(ctx context.Context, id, by string, to Standing, now time.Time) (*Need, error) {
	return s.changeNeed(ctx, id, by, to, now, func(*Need) error { return nil })
}

func (s *Service) changeNeed(ctx context.Context, id, by string, to Standing, now time.Time, may func(*Need) error) (*Need, error) {
	var unchanged *Need
	n, err := s.needs.Change(ctx, id, func(n *Need) error {
		if err := may(n); err != nil {
			return err
		}
		err := n.change(by, to, now)
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
//
// Errors: those of ChangeNeed, and [store.ErrConflict] when the need is to end as
// handed over or expired, which rests on what n asks for, and it asks for
// something else by now.
func (s *Service) ChangeNeedFrom(ctx context.Context, n *Need, by string, to Standing, now time.Time) (*Need, error) {
	again := func() (*Need, error) {
		return s.changeNeed(ctx, n.ID, by, to, now, func(current *Need) error {
			if current.Asked != n.Asked && current.State.Live() && (to.State == NeedHandedOver || to.State == NeedExpired) {
				return fmt.Errorf("change need %s to %s: %w", n.ID, to.State, store.ErrConflict)
			}
			return nil
		})
	}
	next, err := n.Changed(by, to, now)
	if err != nil {
		return again() // it may be another by now
	}
	err = s.needs.Replace(ctx, next)
	if errors.Is(err, store.ErrConflict) {
		return again()
	}
	if err != nil {
		return nil, err
	}
	return next, nil
}

// Changed is the need as [Service.ChangeNeed] would write it; n stays as it is.
// There is an error also where nothing would change.
func (n *Need) Changed(by string, to Standing, now time.Time) (*Need, error) {
	next := *n
	next.Changes = slices.Clip(n.Changes)
	if err := next.change(by, to, now); err != nil {
		return nil, err
	}
	return &next, nil
}

// ReopenNeed takes up again a need that was recorded as handed over by mistake.
// It is no way that [NeedState.May] allows, so that nothing else that works on
// needs takes up what was served. A need that is [NeedState.Live] stays as it is.
//
// Errors: [ErrTransition], [store.ErrNotFound].
func (s *Service) ReopenNeed(ctx context.Context, id, by string, why matching.Reason, now time.Time) (*Need, error) {
	var live *Need
	n, err := s.needs.Change(ctx, id, func(n *Need) error {
		live = nil
		if n.State.Live() {
			live = n
			return errUnchanged
		}
		if n.State != NeedHandedOver {
			return fmt.Errorf("reopen need %s, which is %s: %w", id, n.State, ErrTransition)
		}
		n.remember(Change{AtMs: store.Millis(now), By: by, From: n.State, To: NeedOpen, Reason: why})
		n.State, n.Reason, n.Rest, n.UpdatedMs = NeedOpen, why, matching.Reason{}, store.Millis(now)
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return live, nil
	}
	return n, err
}

func (n *Need) change(by string, to Standing, now time.Time) error {
	if n.State == to.State {
		if !to.State.Live() || sameReason(n.Reason, to.Reason) && sameReason(n.Rest, to.Rest) {
			return errUnchanged
		}
	} else if !n.State.May(to.State) {
		return fmt.Errorf("change need %s from %s to %s: %w", n.ID, n.State, to.State, ErrTransition)
	}
	n.remember(Change{AtMs: store.Millis(now), By: by, From: n.State, To: to.State, Reason: to.Reason, Rest: to.Rest})
	n.State, n.Reason, n.Rest, n.UpdatedMs = to.State, to.Reason, to.Rest, store.Millis(now)
	return nil
}

// remember adds a step to the history, and leaves out the oldest renewal where
// there are too many.
func (n *Need) remember(c Change) {
	c.Seq = n.Steps() + 1
	n.Changes = append(n.Changes, c)
	renewals, oldest := 0, 0
	for i := len(n.Changes) - 1; i >= 0; i-- {
		if n.Changes[i].renewal() {
			renewals, oldest = renewals+1, i
		}
	}
	if renewals > renewalsKept {
		n.Changes = slices.Delete(n.Changes, oldest, oldest+1)
		n.Forgotten++
	}
}

func sameReason(a, b matching.Reason) bool { return a.Code == b.Code && a.ZH == b.ZH && a.EN == b.EN }

// NeedEdit changes what a need asks for; nil leaves a thing as it is.
type NeedEdit struct {
	QtyUnits *int64 // 1..10⁹
	Urgency  *int   // 1..4
	UntilMs  *int64 // Unix ms, in the future; 0: no end
	Note     *string
	Why      string // of [EditReasons]
	// Asked is the need's [Need.Asked] as the editor saw it.
	Asked int64
	Money bool // the category is counted in fen
}

// EditReasons are why somebody changes or withdraws a need.
func EditReasons() []string { return []string{"asked", "situation", "mistake", "solved", "other"} }

// EditNeed changes what a live need asks for and adds that to its history,
// with what was so before. An edit that changes nothing is none.
//
// Errors: [FieldError], [ErrTransition] when the need has ended,
// [store.ErrConflict] when somebody else has changed it since it was seen,
// [store.ErrNotFound].
func (s *Service) EditNeed(ctx context.Context, id, by string, e NeedEdit, now time.Time) (*Need, error) {
	var unchanged *Need
	n, err := s.needs.Change(ctx, id, func(n *Need) error {
		if !n.State.Live() {
			return fmt.Errorf("edit need %s, which is %s: %w", id, n.State, ErrTransition)
		}
		kept, err := s.NeedNote(n)
		if err != nil {
			return err
		}
		asked := NewNeed{Category: n.Category, QtyUnits: n.QtyUnits, Urgency: n.Urgency, UntilMs: n.UntilMs, Source: n.Source, Note: kept}
		if e.QtyUnits != nil {
			asked.QtyUnits = *e.QtyUnits
		}
		if e.Urgency != nil {
			asked.Urgency = *e.Urgency
		}
		if e.UntilMs != nil {
			asked.UntilMs = *e.UntilMs
		}
		if e.Note != nil {
			asked.Note = strings.TrimSpace(*e.Note)
		}
		if asked.QtyUnits == n.QtyUnits && asked.Urgency == n.Urgency && asked.UntilMs == n.UntilMs && asked.Note == kept {
			unchanged = n
			return errUnchanged
		}
		if n.Asked != e.Asked {
			return fmt.Errorf("edit need %s: %w", id, store.ErrConflict)
		}
		if !slices.Contains(EditReasons(), e.Why) {
			return &FieldError{"reason", "请选择更改的原因", "choose why it is changed"}
		}
		if err := asked.check(store.Millis(now), asked.Note); err != nil {
			return err
		}
		reason := matching.ReasonChanged(matching.Edit{
			Why: e.Why, WasUnits: n.QtyUnits, Units: asked.QtyUnits, WasUrgency: n.Urgency, Urgency: asked.Urgency,
			WasUntilMs: n.UntilMs, UntilMs: asked.UntilMs, Note: asked.Note != kept, Money: e.Money,
		})
		n.remember(Change{AtMs: store.Millis(now), By: by, From: n.State, To: n.State, Reason: reason, Rest: n.Rest})
		n.QtyUnits, n.Urgency, n.UntilMs = asked.QtyUnits, asked.Urgency, asked.UntilMs
		if n.NoteSealed, err = s.cfg.Vault.Seal(fieldNote, n.ID, asked.Note); err != nil {
			return err
		}
		n.Asked, n.UpdatedMs = n.Asked+1, store.Millis(now)
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return unchanged, nil
	}
	return n, err
}
