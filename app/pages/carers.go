package pages

// CodeKept is a resident's code, who may show one on the resident's behalf, and
// what became of both; it is part of the pages of the resident.
type CodeKept struct {
	Form              // for a new carer
	Base       string // address of the page: /me, or the resident's
	Own        bool   // the resident's own page
	Active     bool   // the resident is served here
	RevokedMs  int64  // when the code was revoked; 0: it is good
	RevokedWhy string // below "why."
	Carers     []Carer
	Full       bool     // no more carers
	Relations  []string // below "relation."
	First      string   // earliest and latest last day of a carer, 2006-01-02
	Last       string
	Key        string // makes sending the form again the same carer
	History    []HistoryLine
	PINFromMs  int64 // changes of PINs are told from here on; 0: as the rest
}

// Carer is somebody who may show a code for the resident now.
type Carer struct {
	ID, Name, Phone, CardNo string
	Relation                string // below "relation."
	UntilMs                 int64
	FreshPIN                string // made just now, shown this once
}

// CardNoSpaced is the card number in groups of four.
func (c Carer) CardNoSpaced() string { return spaced(c.CardNo) }

// HistoryLine is one thing that became of codes, carers or PIN.
type HistoryLine struct {
	AtMs     int64
	Kind     string // below "history."
	Who      string // "": time itself
	Why      string // below "why.", or ""
	CardNo   string
	Carer    string
	Relation string // below "relation."
	UntilMs  int64
}

// Spaced is a card number in groups of four.
func (CodeKept) Spaced(cardNo string) string { return spaced(cardNo) }

// Relation is the field to choose what a carer is to the resident.
func (k CodeKept) Relation() Field {
	return k.Pick("carer_relation", "carers.relation", "relation.", k.Relations...)
}

// EndReasons are the reasons to end a carer's time, keys below "why.".
func (Page) EndReasons() []string { return []string{"unneeded", "lost", "stolen", "other"} }

// Lost says what happens when a code is revoked or replaced, and does it.
type Lost struct {
	Form
	Base    string // as in [CodeKept]
	Own     bool
	Name    string
	CardNo  string
	Revoked bool // already; what is left is a new one
}

// CardNoSpaced is the card number in groups of four.
func (l Lost) CardNoSpaced() string { return spaced(l.CardNo) }

// LostReasons are the reasons to choose from, keys below "why.".
func (Lost) LostReasons() []string { return []string{"lost", "stolen", "damaged", "other"} }

func (Lost) template() string { return "lost" }

// CarerCard is the printable card of a carer: for whom, and until when.
type CarerCard struct {
	Page
	ID   string // of the resident
	Face CardFace
}

func (CarerCard) template() string { return "carer_card" }
