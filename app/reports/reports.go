// Package reports keeps what people report about somebody who may need help,
// and what the station of that place did about it.
//
// Whoever reports need not say who they are and is told nothing but a
// reference number. The package does not know the residents, so that no answer
// can depend on who is registered. See DESIGN.md.
package reports

import (
	"errors"
	"slices"
	"time"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
)

// Errors that callers tell apart; see also [FieldError] and store's errors.
var (
	// ErrState says that a report may not go from its state to the other.
	ErrState = errors.New("a report cannot change in this way")
	// ErrTaken says that a colleague has taken the report.
	ErrTaken = errors.New("a colleague has taken the report")
)

// FieldError names the field of a request that cannot be taken, and why, in
// words for the person who filled it in. It never repeats the value.
type FieldError struct {
	Field  string // JSON name
	ZH, EN string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.EN }

// State is how far the station is with a report.
type State string

// The states: new → taken → (visited) → closed.
const (
	StateNew     State = "new"     // nobody has looked after it
	StateTaken   State = "taken"   // somebody does
	StateVisited State = "visited" // somebody was there
	StateClosed  State = "closed"  // see the outcome
)

// States lists the states in order.
func States() []State { return []State{StateNew, StateTaken, StateVisited, StateClosed} }

// Outcome says how a report ended.
type Outcome string

// The outcomes.
const (
	Registered Outcome = "registered"  // the person is registered now
	Helped     Outcome = "helped"      // helped in another way
	NotFound   Outcome = "not_found"   // nobody was found
	NotInNeed  Outcome = "not_in_need" // found, and in no need
	Duplicate  Outcome = "duplicate"   // another report is about the same
)

// Outcomes lists the outcomes in the order of the form.
func Outcomes() []Outcome { return []Outcome{Registered, Helped, NotFound, NotInNeed, Duplicate} }

// Kinds lists what can be the matter, in the order of the form.
func Kinds() []string { return []string{"food", "illness", "alone", "child", "housing", "other"} }

// Times lists when it was seen, in the order of the form; "" is left open.
func Times() []string { return []string{"today", "days", "longer"} }

// How long a report waits before the tier above is told, and how long the
// words of a closed report are kept.
const (
	OverdueAfter = 24 * time.Hour
	KeptFor      = 2 * 365 * 24 * time.Hour
)

// Step is one change of a report: who, when, from what to what.
type Step struct {
	AtMs int64  `json:"at_ms"`
	By   string `json:"by"`   // account; "" for whoever reported
	From State  `json:"from"` // "" at first
	To   State  `json:"to"`
}

// Report is a report as stored: whatever somebody wrote is sealed. The codes
// of the divisions it lies in stand apart, so that each tier has an index.
type Report struct {
	store.Meta   `bson:",inline"`
	Reference    string  `json:"reference"` // 8 digits, unique
	Division     string  `json:"division"`  // 12-digit code, county or below
	Province     string  `json:"province"`
	City         string  `json:"city"`
	County       string  `json:"county"`
	Town         string  `json:"town"`    // "" for a county's report
	Village      string  `json:"village"` // "" where the village is not known
	Kind         string  `json:"kind"`    // of [Kinds]
	Seen         string  `json:"seen"`    // of [Times], or ""
	TextSealed   string  `json:"text_sealed"`
	PlaceSealed  string  `json:"place_sealed"`
	PersonSealed string  `json:"person_sealed"`
	NameSealed   string  `json:"name_sealed"`  // of whoever reported
	PhoneSealed  string  `json:"phone_sealed"` // of whoever reported
	NoteSealed   string  `json:"note_sealed"`  // of whoever closed it
	State        State   `json:"state"`
	TakenBy      string  `json:"taken_by"` // account; "" while new
	Outcome      Outcome `json:"outcome"`  // "" until closed
	Resident     string  `json:"resident"` // id of who was registered from it, or ""
	CreatedMs    int64   `json:"created_ms"`
	ClosedMs     int64   `json:"closed_ms"`      // 0: not closed
	WordsUntilMs int64   `json:"words_until_ms"` // when the sealed words are deleted; 0: not closed, or deleted
	WordsDeleted bool    `json:"words_deleted"`
	History      []Step  `json:"history,omitempty"`
}

// Words is what somebody wrote, opened. It is for showing to those who may
// see it, and is never stored or logged.
type Words struct {
	Text, Place, Person string
	Name, Phone         string // of whoever reported
	Note                string
}

// NewReport is what somebody reports.
type NewReport struct {
	Key      string // chosen by the sender: the same report under the same key is one report; "" for none
	Division string // 12-digit code, county or below
	Kind     string // of [Kinds]
	Seen     string // of [Times], or ""
	Text     string // up to 500 characters; needed for the kind "other"
	Place    string // up to 100: street, house, landmark
	Person   string // up to 100: name, or how to find the person
	Name     string // up to 50: of whoever reports
	Phone    string // of whoever reports
}

// Overdue says whether the report has waited too long for somebody who answers
// for a division: a day for the station of its own tier and the one above, a
// day more for each tier further up.
func (r *Report) Overdue(now time.Time, division string) bool {
	if r.State != StateNew {
		return false
	}
	days := max(1, tier(r.Division)-tier(division))
	return store.Millis(now)-r.CreatedMs > int64(days)*OverdueAfter.Milliseconds()
}

// tier is how deep a division lies: 0 for a province, 4 for a village.
func tier(division string) int {
	return slices.Index([]regions.Level{regions.Province, regions.City, regions.CountyLevel, regions.Town, regions.Village}, regions.LevelOf(division))
}

// Config is what [New] needs.
type Config struct {
	Record store.Record // with [Schemas]
	Vault  *vault.Vault
	Now    func() time.Time
	// DivisionExists says whether a 12-digit code is a division that is there.
	DivisionExists func(code string) bool
}

// Service keeps the reports in the record. It is safe for concurrent use.
type Service struct {
	cfg     Config
	reports store.Collection[Report, *Report]
}

// Schemas declares the collections of this package.
func Schemas() []store.Schema { return []store.Schema{schema()} }

func schema() store.Schema {
	s := store.Schema{Name: "reports", Indexes: []store.Index{
		{Name: "reference", Fields: []string{"reference"}, Unique: true},
		{Name: "words", Fields: []string{"words_until_ms"}},
	}}
	for _, level := range []regions.Level{regions.Province, regions.City, regions.CountyLevel, regions.Town, regions.Village} {
		s.Indexes = append(s.Indexes, store.Index{Name: string(level), Fields: []string{string(level), "state", "created_ms"}})
	}
	return s
}

// New returns the service.
func New(c Config) *Service {
	return &Service{cfg: c, reports: store.Of[Report](c.Record, schema())}
}
