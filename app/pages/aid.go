package pages

// Need is a need as people see it.
type Need struct {
	ID                      string
	Category                Text
	Amount, Promised, Given Amount
	Left                    Amount // neither promised nor given
	Urgency                 int    // 1..4
	State                   string // open, held, promised, handed_over, waiting, declined, expired, withdrawn
	Reason                  Text
	Rest                    Text  // why what is left waits beside a promise
	Position                int64 // on the waiting list, from 1; 0: not waiting
	Note                    string
	CreatedMs, UntilMs      int64
	NotServed               []NotServed
	MayWithdraw             bool
}

// NotServed says why an offer does not serve a need.
type NotServed struct {
	Title, Reason Text
	Good          bool // it could be had
}

// Aid is one allocation: something promised, or given.
type Aid struct {
	ID                string
	Title             Text
	Category          Text
	Amount            Amount
	Provider          string
	Kind              string // government, charity, enterprise
	State             string
	Accepted          bool
	Reason, EndReason Text
	How               string // pickup, delivery, onsite, transfer, voucher
	Place             Text
	Note              string
	ExpiresMs         int64
	HandedOverMs      int64
	Open              bool   // promised: may be accepted or declined
	MayHandOver       bool   // by the one who looks at it
	PINRequired       bool   // worth so much that it takes a PIN or a photo
	Photo             bool   // there is a photo of the handover
	Proof             string // what the handover rested on, below "proof."
	Scan              string // id of the scan that a handover would rest on
	Failure           string // why it could not be handed over
	Leased            Text   // why nobody but a device may change it now
	Given, Rest       Amount // while promised, given already; when ended, not given
	RestReason        Text
	Parts             []AidPart // where it was given piece by piece
	Backs             []AidBack // what came back after it was given
	GivenUnits        int64     // that the person has
}

// AidPart is some of an allocation that changed hands at once.
type AidPart struct {
	Amount     Amount
	AtMs       int64
	Instead    string // what was given in its place
	InsteadWhy string // a key below "instead."
}

// AidBack is some of it that came back.
type AidBack struct {
	Amount Amount
	AtMs   int64
	Why    string // a key below "back."
}

// Viewing is one look at a person's record.
type Viewing struct {
	AtMs          int64
	Who, Role     string
	What, Purpose string
}

// Part is a page together with one value of it, for templates that are shared.
type Part struct {
	Page
	V any
}

// With puts a value beside the page.
func (p Page) With(v any) Part { return Part{Page: p, V: v} }

// DeclineReasons are the reasons to choose from, keys below "decline.".
func (p Page) DeclineReasons() []string {
	return []string{"no_need", "have", "unsuitable", "too_far", "other"}
}

// EmptyState says that there is nothing yet, and what to do.
type EmptyState struct{ Icon, Title, Text, Href, Action string }

// Empty makes an empty state out of keys of the catalogue.
func (p Page) Empty(icon, title, text, href, action string) EmptyState {
	return EmptyState{icon, p.T(title), p.T(text), href, p.T(action)}
}

// NeedForm is the form in which a need is recorded.
type NeedForm struct {
	Form
	Categories []Choice
	Today      string // 2006-01-02
}

// Urgencies are the four grades, as form values. Residents choose among the
// first three: what is needed today is for a caseworker to record.
func (f NeedForm) Urgencies() []string {
	grades := []string{"1", "2", "3", "4"}
	if f.User.Role == "resident" {
		return grades[:3]
	}
	return grades
}
