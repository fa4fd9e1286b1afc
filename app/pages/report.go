package pages

// Report is the form in which anybody reports a person in need.
type Report struct {
	Form
	Places []ChoiceGroup // counties with their towns
	Kinds  []string      // keys below "report_kind."
	Times  []string      // keys below "report_seen."
}

func (Report) template() string { return "report" }

// ReportSent says that a report has arrived, and what happens next.
type ReportSent struct {
	Page
	Reference string // 8 digits
}

func (ReportSent) template() string { return "report_sent" }

// ReadOut writes a reference number as it is read out: "1234 5678".
func (Page) ReadOut(digits string) string {
	if len(digits) != 8 {
		return digits
	}
	return digits[:4] + " " + digits[4:]
}

// Reports lists the reports that a station looks after.
type Reports struct {
	Form
	State string // the filter
	Rows  []ReportRow
	Next  Link
}

// ReportRow is one report, without what somebody wrote.
type ReportRow struct {
	ID, Reference, Place, Kind, State, Outcome string
	Overdue                                    bool
	CreatedMs                                  int64
}

// States are what can be filtered by.
func (Reports) States() []string { return []string{"new", "taken", "visited", "closed"} }

func (Reports) template() string { return "reports" }

// Task is one report with what can be done about it.
type Task struct {
	Form
	ReportRow
	Words    ReportWords
	Seen     string // key below "report_seen.", or ""
	Resident string // id of who was registered from it, or ""
	Deleted  bool   // the words are deleted
	Mine     bool   // taken by the one who looks
	Outcomes []string
	History  []ReportStep
}

// ReportWords is what somebody wrote.
type ReportWords struct{ Text, Place, Person, Name, Phone, Note string }

// ReportStep is one change of a report; Who is "" for whoever reported.
type ReportStep struct {
	AtMs    int64
	Who, To string
}

func (Task) template() string { return "task" }

// ReportNote is the report that a registration is made from.
type ReportNote struct {
	ID, Reference, Place, Kind string
	Words                      ReportWords
}
