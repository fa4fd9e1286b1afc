package regions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Tree is all divisions in memory: an immutable snapshot, safe for concurrent
// use. Get it from [Service.Load] or [NewTree].
type Tree struct {
	byCode   map[string]Division
	children map[string][]Division // in order of code
	counties []string
}

// NewTree checks that the divisions fit together, in any order, and returns
// them as a tree.
//
// Errors: [ErrDivision], naming the first code that is malformed, there twice,
// at the wrong level or under a parent that is missing or does not contain it.
func NewTree(ds []Division) (*Tree, error) {
	t := &Tree{byCode: make(map[string]Division, len(ds)), children: map[string][]Division{}}
	for _, d := range ds {
		if !Valid(d.ID) {
			return nil, fmt.Errorf("division %q: malformed code: %w", d.ID, ErrDivision)
		}
		if _, twice := t.byCode[d.ID]; twice {
			return nil, fmt.Errorf("division %s: there twice: %w", d.ID, ErrDivision)
		}
		if LevelOf(d.ID) != d.Level {
			return nil, fmt.Errorf("division %s: level %q does not fit the code: %w", d.ID, d.Level, ErrDivision)
		}
		t.byCode[d.ID] = d
	}
	for _, d := range t.byCode {
		if d.Parent != "" {
			if _, ok := t.byCode[d.Parent]; !ok {
				return nil, fmt.Errorf("division %s: parent %s is missing: %w", d.ID, d.Parent, ErrDivision)
			}
		}
		if !fits(d.ID, d.Parent) {
			return nil, fmt.Errorf("division %s: does not lie in %q: %w", d.ID, d.Parent, ErrDivision)
		}
		t.children[d.Parent] = append(t.children[d.Parent], d)
		if d.Level == CountyLevel {
			t.counties = append(t.counties, d.ID)
		}
	}
	for _, below := range t.children {
		slices.SortFunc(below, func(a, b Division) int { return cmp.Compare(a.ID, b.ID) })
	}
	slices.Sort(t.counties)
	return t, nil
}

// fits says whether parent may be the parent of code: a province has none,
// everything else lies strictly below its parent.
func fits(code, parent string) bool {
	if parent == "" {
		return LevelOf(code) == Province
	}
	return code != parent && Within(code, parent)
}

// Get returns the division with this code.
func (t *Tree) Get(code string) (Division, bool) {
	d, ok := t.byCode[code]
	return d, ok
}

// Len is how many divisions there are.
func (t *Tree) Len() int { return len(t.byCode) }

// Children returns the divisions directly below code, in order of code; for ""
// the provinces. The slice is the caller's own.
func (t *Tree) Children(code string) []Division { return slices.Clone(t.children[code]) }

// Path returns the divisions from the county down to code; above county, and
// where no county is, the division alone; nothing for an unknown code.
func (t *Tree) Path(code string) []Division {
	var path []Division
	for at, ok := t.byCode[code]; ok; at, ok = t.byCode[at.Parent] {
		if len(path) > 0 && (at.Level == City || at.Level == Province) {
			break
		}
		path = append(path, at)
	}
	slices.Reverse(path)
	return path
}

// Counties returns the codes of all counties, in order.
func (t *Tree) Counties() []string { return slices.Clone(t.counties) }

// Name returns the names from the county down, as "吴兴区·月河街道·…"; the
// code itself where it is unknown.
func (t *Tree) Name(code string) string {
	path := t.Path(code)
	if len(path) == 0 {
		return code
	}
	names := make([]string, len(path))
	for i, d := range path {
		names[i] = d.Name
	}
	return strings.Join(names, "·")
}
