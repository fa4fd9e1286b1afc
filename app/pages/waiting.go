package pages

// Waiting lists the needs that wait in a county.
type Waiting struct {
	Form
	Counties   []Choice // where there is a choice
	Categories []Choice // the first is all
	Place      string
	Ready      bool // the matcher answers
	Rows       []WaitingRow
	Next       Link
}

// WaitingRow is one need that waits.
type WaitingRow struct {
	Need, Who, CardTail, Place string
	Category                   Text
	Left                       Amount
	Urgency                    int
	Position                   int64
	Weight, Line               string // Line "": none
	Reason                     Text
	SinceMs, UntilMs           int64
}

func (Waiting) template() string { return "waiting" }
