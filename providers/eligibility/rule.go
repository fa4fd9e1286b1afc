// Package eligibility is who may have an offer, as a rule that people can read:
// a CEL expression over a few facts of a person, the tree that a form builds of
// it, and a sentence in Chinese and English that says the same. It knows no
// residents and no record; DESIGN.md says why the language is so small.
package eligibility

import (
	"fmt"
	"slices"
	"strings"
)

// Limits on a rule.
const (
	MaxRunes = 2000 // of the expression
	maxNodes = 400  // of its syntax tree
	maxDepth = 24   // of nesting
	maxCost  = 1000 // in CEL's units: estimated when it is saved, and at run time
	MaxDays  = 366  // that a rule looks back
	maxKeys  = 20   // named in one list of received.others
)

// Fault says what is wrong with a rule, and where.
type Fault struct {
	Line, Column int // from 1; 0: the rule as a whole
	ZH, EN       string
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.EN
	}
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.EN)
}

// Words are the fault with its place, for people.
func (f *Fault) Words() (zh, en string) {
	if f.Line == 0 {
		return f.ZH, f.EN
	}
	return fmt.Sprintf("第 %d 行第 %d 字：%s", f.Line, f.Column, f.ZH), fmt.Sprintf("Line %d, character %d: %s", f.Line, f.Column, f.EN)
}

// What a condition asks about.
const (
	AskAge       = "age"       // full years by the year of birth
	AskGroup     = "group"     // belongs to one of Values
	AskHealth    = "health"    // has one of Values
	AskDivision  = "division"  // lives in one of Values, 12-digit codes
	AskScore     = "score"     // multidimensional score, 0..1
	AskHousehold = "household" // registered members
	AskReceived  = "received"  // the household had one of Values within Days
	AskOthers    = "others"    // how many other offers among Values it had within Days
	AskToday     = "today"     // the date in China
)

// Tree is a rule as a form builds it: exactly one of All, Any, Not and Ask.
type Tree struct {
	All []Tree `json:"all,omitempty"` // each of them holds
	Any []Tree `json:"any,omitempty"` // at least one of them holds
	Not *Tree  `json:"not,omitempty"` // it does not hold

	Ask string `json:"ask,omitempty"`
	// Op compares age, score, household, others and today: ==, !=, <, <=, > or >=.
	Op     string   `json:"op,omitempty"`
	Number float64  `json:"number,omitempty"` // for Op; whole but for scores
	Date   string   `json:"date,omitempty"`   // for today, e.g. 2026-12-01
	Values []string `json:"values,omitempty"` // ids; of what was received: categories, offers, or "#" and the name of a set
	Days   int64    `json:"days,omitempty"`   // 1..[MaxDays], today included
}

// Simple says whether a form of rows can show it: conditions and denied
// conditions, all of which, or one of which, have to hold.
func (t Tree) Simple() bool {
	rows := slices.Concat(t.All, t.Any)
	if len(rows) == 0 {
		return t.row()
	}
	return t.Not == nil && !slices.ContainsFunc(rows, func(r Tree) bool { return !r.row() })
}

func (t Tree) row() bool { return t.Ask != "" || t.Not != nil && t.Not.Ask != "" }

// conjuncts are what all have to hold.
func (t Tree) conjuncts() []Tree {
	if len(t.All) > 0 {
		return t.All
	}
	return []Tree{t}
}

// each visits every condition.
func (t Tree) each(visit func(Tree)) {
	for _, x := range slices.Concat(t.All, t.Any) {
		x.each(visit)
	}
	if t.Not != nil {
		t.Not.each(visit)
	}
	if t.Ask != "" {
		visit(t)
	}
}

// Key is something received that a rule asks about, and how far it looks back.
type Key struct {
	ID   string // a category, an offer, or "#" and the name of a set
	Days int64
}

// Reads is what has to be known of a person beyond what the resident's own
// entry says, to decide a rule.
type Reads struct {
	Household bool  // how many members the household has
	Received  []Key // each key once, with the longest look back
}

// Days is how far the rule looks back at the most; 0: not at all.
func (r Reads) Days() (most int64) {
	for _, k := range r.Received {
		most = max(most, k.Days)
	}
	return most
}

func (t Tree) reads() (r Reads) {
	t.each(func(c Tree) {
		switch c.Ask {
		case AskHousehold:
			r.Household = true
		case AskReceived, AskOthers:
			for _, id := range c.Values {
				if i := slices.IndexFunc(r.Received, func(k Key) bool { return k.ID == id }); i >= 0 {
					r.Received[i].Days = max(r.Received[i].Days, c.Days)
				} else {
					r.Received = append(r.Received, Key{id, c.Days})
				}
			}
		}
	})
	return r
}

// SetPrefix begins the key of a set of offers.
const SetPrefix = "#"

// SetName cleans the name of a set of offers: 2 to 30 letters, digits, "-" and
// "_" of any script, without the prefix. ok is false where it is none.
func SetName(s string) (name string, ok bool) {
	name = strings.TrimPrefix(strings.TrimSpace(s), SetPrefix)
	n := 0
	for _, r := range name {
		if !nameRune(r) {
			return "", false
		}
		n++
	}
	return name, n >= 2 && n <= 30
}
