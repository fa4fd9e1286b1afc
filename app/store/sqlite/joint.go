package sqlite

import (
	"context"

	"github.com/xingfuma/happycode/app/store"
)

var _ store.Joint = (*Record)(nil)

// written is a step as the writer carries it out.
type written struct {
	table *table
	row   row
	fresh bool
	then  []addition
}

type addition struct {
	table *table
	row   row
}

// outcome is what became of a step.
type outcome struct {
	err   error
	there []bool // of its additions
}

// WriteJointly implements [store.Joint]. Steps of more than one transaction's
// documents are carried out in several.
func (r *Record) WriteJointly(ctx context.Context, steps []*store.Step) error {
	all := make([]written, len(steps))
	for i, s := range steps {
		var err error
		if all[i], err = r.encode(s); err != nil {
			return err
		}
	}
	for from := 0; from < len(all); {
		docs, to := 0, from
		for ; to < len(all) && (to == from || docs+1+len(all[to].then) <= batchDocs); to++ {
			docs += 1 + len(all[to].then)
		}
		part := all[from:to]
		var out []outcome
		if err := r.write(ctx, docs, func(w *writer) (err error) {
			out, err = w.steps(part)
			return err
		}); err != nil {
			return err
		}
		for i, o := range out {
			tell(steps[from+i], o)
		}
		from = to
	}
	return nil
}

func (r *Record) encode(s *store.Step) (written, error) {
	next := func(read int64) int64 { return read + 1 }
	if s.New {
		next = first
	}
	t, one, err := r.rowOf(s.Collection, s.Doc, next)
	if err != nil {
		return written{}, err
	}
	out := written{table: t, row: one, fresh: s.New}
	for _, a := range s.Then {
		t, one, err := r.rowOf(a.Collection, a.Doc, first)
		if err != nil {
			return written{}, err
		}
		out.then = append(out.then, addition{t, one})
	}
	return out, nil
}

func (r *Record) rowOf(collection string, doc store.Document, next func(int64) int64) (*table, row, error) {
	t, err := r.table(collection)
	if err != nil {
		return nil, row{}, err
	}
	rows, err := t.rows([]store.Document{doc}, next)
	if err != nil {
		return nil, row{}, err
	}
	return t, rows[0], nil
}

// first is the version of an inserted document.
func first(int64) int64 { return 1 }

// tell puts an outcome into its step, and versions into what was written.
func tell(s *store.Step, o outcome) {
	s.Err = o.err
	for i := range s.Then {
		s.Then[i].There = false
	}
	if o.err != nil {
		return
	}
	if s.New {
		s.Doc.SetVersion(1)
	} else {
		s.Doc.SetVersion(s.Doc.Version() + 1)
	}
	for i := range s.Then {
		if s.Then[i].There = o.there[i]; !o.there[i] {
			s.Then[i].Doc.SetVersion(1)
		}
	}
}

func (w *writer) steps(steps []written) ([]outcome, error) {
	out := make([]outcome, len(steps))
	for i, s := range steps {
		if s.fresh {
			dups, err := w.insert(s.table, []row{s.row})
			if err != nil {
				return nil, err
			}
			if len(dups) > 0 {
				out[i].err = store.ErrDuplicate
			}
		} else {
			errs, err := w.replace(s.table, []row{s.row})
			if err != nil {
				return nil, err
			}
			out[i].err = errs[0]
		}
		if out[i].err != nil {
			continue
		}
		for _, a := range s.then {
			dups, err := w.insert(a.table, []row{a.row})
			if err != nil {
				return nil, err
			}
			out[i].there = append(out[i].there, len(dups) > 0)
		}
	}
	return out, nil
}
