package store

import (
	"context"
	"fmt"
)

// Step is one document to write, and what is to be inserted once it is written.
type Step struct {
	Collection string
	Doc        Document
	New        bool // Doc is inserted; otherwise replaced, as [Record.Replace] does
	// Then is inserted, as [Record.Insert] does, if Doc was written.
	Then []Addition

	// Err is the outcome: nil, [ErrConflict] or [ErrDuplicate]. It stands when
	// [Write] has returned no error.
	Err error
}

// Addition is a document to be inserted after another.
type Addition struct {
	Collection string
	Doc        Document

	// There is the outcome where the step's document was written: a document with
	// this id, or with the same values in a unique index, was there already.
	There bool
}

// Joint is a [Record] that carries out steps at once, so that they share one
// flush, and a crash leaves all of them or none.
type Joint interface {
	// WriteJointly does what [Write] says.
	WriteJointly(ctx context.Context, steps []*Step) error
}

// Write carries out steps of several collections. Each is what Replace or Insert
// is by itself; nothing but its own document decides on it. Where the record is
// a [Joint], all are written at once; elsewhere one collection is after the other,
// the steps' documents first, so that whoever calls must be safe against a crash
// in between as if these were calls of its own. When err is not nil, any part may
// have been carried out.
func Write(ctx context.Context, r Record, steps []*Step) error {
	if len(steps) == 0 {
		return nil
	}
	if j, ok := r.(Joint); ok {
		return j.WriteJointly(ctx, steps)
	}
	for _, group := range groups(steps, func(s *Step) string { return s.Collection }) {
		var fresh, known []*Step
		for _, s := range group.of {
			s.Err = nil
			if s.New {
				fresh = append(fresh, s)
			} else {
				known = append(known, s)
			}
		}
		if err := insertSteps(ctx, r, group.name, fresh); err != nil {
			return err
		}
		if err := replaceSteps(ctx, r, group.name, known); err != nil {
			return err
		}
	}
	var additions []*Addition
	for _, s := range steps {
		for i := range s.Then {
			if s.Then[i].There = false; s.Err == nil {
				additions = append(additions, &s.Then[i])
			}
		}
	}
	for _, group := range groups(additions, func(a *Addition) string { return a.Collection }) {
		docs := make([]Document, len(group.of))
		for i, a := range group.of {
			docs[i] = a.Doc
		}
		dups, err := r.Insert(ctx, group.name, docs)
		if err != nil {
			return fmt.Errorf("insert %s: %w", group.name, err)
		}
		for _, d := range dups {
			group.of[d.Position].There = true
		}
	}
	return nil
}

func insertSteps(ctx context.Context, r Record, collection string, steps []*Step) error {
	if len(steps) == 0 {
		return nil
	}
	dups, err := r.Insert(ctx, collection, docsOf(steps))
	if err != nil {
		return fmt.Errorf("insert %s: %w", collection, err)
	}
	for _, d := range dups {
		steps[d.Position].Err = ErrDuplicate
	}
	return nil
}

func replaceSteps(ctx context.Context, r Record, collection string, steps []*Step) error {
	if len(steps) == 0 {
		return nil
	}
	errs, err := r.Replace(ctx, collection, docsOf(steps))
	if err != nil {
		return fmt.Errorf("replace %s: %w", collection, err)
	}
	for i, err := range errs {
		steps[i].Err = err
	}
	return nil
}

func docsOf(steps []*Step) []Document {
	docs := make([]Document, len(steps))
	for i, s := range steps {
		docs[i] = s.Doc
	}
	return docs
}

type group[T any] struct {
	name string
	of   []T
}

// groups puts together what is of one collection, in the order in which the
// collections come first.
func groups[T any](all []T, name func(T) string) (out []group[T]) {
	at := map[string]int{}
	for _, x := range all {
		n := name(x)
		i, ok := at[n]
		if !ok {
			i = len(out)
			at[n] = i
			out = append(out, group[T]{name: n})
		}
		out[i].of = append(out[i].of, x)
	}
	return out
}
