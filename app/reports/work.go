package reports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
)

// Get reads a report, sealed. Errors: [store.ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*Report, error) {
	return s.reports.Get(ctx, id)
}

// ByReference finds a report by its number, as it is read out: blanks and
// dashes do not count. Errors: [store.ErrNotFound].
func (s *Service) ByReference(ctx context.Context, number string) (*Report, error) {
	number = strings.NewReplacer(" ", "", "-", "").Replace(number)
	page, _, err := s.reports.Find(ctx, store.Query{Index: "reference", Equal: []any{number}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, fmt.Errorf("read report by reference: %w", store.ErrNotFound)
	}
	return page[0], nil
}

// Open opens what was written; whoever calls it has decided that the result
// may be seen, and audits it. Errors: [vault.ErrSealed].
func (s *Service) Open(r *Report) (Words, error) {
	var w Words
	for _, x := range []struct {
		field, sealed string
		plain         *string
	}{
		{fieldText, r.TextSealed, &w.Text},
		{fieldPlace, r.PlaceSealed, &w.Place},
		{fieldPerson, r.PersonSealed, &w.Person},
		{fieldName, r.NameSealed, &w.Name},
		{fieldPhone, r.PhoneSealed, &w.Phone},
		{fieldNote, r.NoteSealed, &w.Note},
	} {
		var err error
		if *x.plain, err = s.cfg.Vault.OpenField(x.field, r.ID, x.sealed); err != nil {
			return Words{}, err
		}
	}
	return w, nil
}

// List returns one page of the reports of a division and all below it that
// are in a state, and where the next page begins ("" at the end): closed ones
// with the newest first, the others with the oldest first, which are those
// that have waited longest. limit is 1..[store.MaxPage]; 0 means 100.
//
// Errors: [regions.ErrDivision], [store.ErrCursor].
func (s *Service) List(ctx context.Context, division string, state State, after string, limit int) (page []*Report, next string, err error) {
	level := regions.LevelOf(division)
	if level == "" {
		return nil, "", fmt.Errorf("list reports: %w", regions.ErrDivision)
	}
	return s.reports.Find(ctx, store.Query{
		Index: string(level), Equal: []any{division, string(state)}, Desc: state == StateClosed, After: after, Limit: limit,
	})
}

// CountMost is up to where [Service.Count] counts.
const CountMost = 100

// Count says how many reports of a division and below are new, and how many
// of them are overdue for those who answer for it; [CountMost] stands for
// itself and all that is more.
func (s *Service) Count(ctx context.Context, division string) (fresh, overdue int, err error) {
	page, _, err := s.List(ctx, division, StateNew, "", CountMost)
	if err != nil {
		return 0, 0, err
	}
	for _, r := range page {
		if r.Overdue(s.cfg.Now(), division) {
			overdue++
		}
	}
	return len(page), overdue, nil
}

// Change is what somebody does with a report.
type Change struct {
	By       string // account
	To       State
	Over     bool    // take it over from a colleague
	Outcome  Outcome // for closing
	Note     string  // for closing, up to 500 characters
	Resident string  // for closing as [Registered]: who was registered, or ""
}

// next are the states that a report may go to.
func (s State) next() []State {
	switch s {
	case StateNew:
		return []State{StateTaken, StateClosed}
	case StateTaken:
		return []State{StateVisited, StateClosed}
	case StateVisited:
		return []State{StateClosed}
	}
	return nil
}

// errUnchanged stops a change that is made already.
var errUnchanged = errors.New("unchanged")

// Change moves a report on. Saying again what is so already changes nothing;
// what a colleague has taken is taken over only when that is said.
//
// Errors: [FieldError], [ErrTaken], [ErrState], [store.ErrNotFound].
func (s *Service) Change(ctx context.Context, id string, c Change) (*Report, error) {
	c.Note = strings.TrimSpace(c.Note)
	switch {
	case !slices.Contains(States(), c.To) || c.To == StateNew:
		return nil, &FieldError{"state", "没有这一步", "there is no such step"}
	case c.To == StateClosed && !slices.Contains(Outcomes(), c.Outcome):
		return nil, &FieldError{"outcome", "请选择结果", "choose the outcome"}
	case c.To != StateClosed && (c.Outcome != "" || c.Note != ""):
		return nil, &FieldError{"outcome", "办结时才填写结果和说明", "outcome and note are for closing"}
	case utf8.RuneCountInString(c.Note) > maxText || !utf8.ValidString(c.Note):
		return nil, &FieldError{"note", "说明最多 500 字", "the note has at most 500 characters"}
	}
	sealed, err := s.cfg.Vault.Seal(fieldNote, id, c.Note)
	if err != nil {
		return nil, err
	}
	now := store.Millis(s.cfg.Now())
	var unchanged *Report
	r, err := s.reports.Change(ctx, id, func(r *Report) error {
		again := r.State == c.To && r.TakenBy == c.By && r.Outcome == c.Outcome
		over := r.State == StateTaken && c.To == StateTaken && r.TakenBy != c.By
		switch {
		case again:
			unchanged = r
			return errUnchanged
		case over && !c.Over:
			return fmt.Errorf("change report %s: %w", id, ErrTaken)
		case !over && !slices.Contains(r.State.next(), c.To):
			return fmt.Errorf("change report %s from %s to %s: %w", id, r.State, c.To, ErrState)
		}
		r.History = append(r.History, Step{AtMs: now, By: c.By, From: r.State, To: c.To})
		r.State, r.TakenBy = c.To, c.By
		if c.To == StateClosed {
			r.Outcome, r.NoteSealed, r.Resident, r.ClosedMs = c.Outcome, sealed, c.Resident, now
			r.WordsUntilMs = now + KeptFor.Milliseconds()
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return unchanged, nil
	}
	return r, err
}

// Forget deletes the words of reports that were closed [KeptFor] ago: what
// was written about the person, by whom, and the note. That there was a
// report, where, and what became of it stays. It says how many it deleted,
// and is safe to repeat.
func (s *Service) Forget(ctx context.Context) (int, error) {
	due := store.Query{Index: "words", From: int64(1), To: store.Millis(s.cfg.Now())}
	var ids []string
	if err := s.reports.Each(ctx, due, func(r *Report) error {
		ids = append(ids, r.ID)
		return nil
	}); err != nil {
		return 0, err
	}
	for i, id := range ids {
		_, err := s.reports.Change(ctx, id, func(r *Report) error {
			r.TextSealed, r.PlaceSealed, r.PersonSealed = "", "", ""
			r.NameSealed, r.PhoneSealed, r.NoteSealed = "", "", ""
			r.WordsUntilMs, r.WordsDeleted = 0, true
			return nil
		})
		if err != nil {
			return i, fmt.Errorf("delete the words of report %s: %w", id, err)
		}
	}
	return len(ids), nil
}
