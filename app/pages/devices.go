package pages

// Devices lists the devices that work without a network, and what they have.
type Devices struct {
	Form
	Others bool // devices of other accounts are among them
	Rows   []DeviceRow
}

// DeviceRow is one device.
type DeviceRow struct {
	ID, Name, Owner string
	Mine, Lost      bool
	CreatedMs       int64
	SeenMs          int64
	LostMs          int64
	Lease           *LeaseRow // nil: it has taken nothing along
	Last            *LeaseRow // the latest that ended; nil while it has one
	History         []LeaseRow
}

// LeaseRow is what a device has, or had, taken along.
type LeaseRow struct {
	Place                                   string
	FromMs, UntilMs, SyncMs, EndedMs        int64
	Items, Given, Unreported, Gaps, Returns int64
	Late                                    int64  // reported after it had ended
	Why                                     string // why it ended: returned, recalled, lost, over
	Overdue                                 bool   // the time is over, and something may not have been reported
}

// Silent says that the lease ended before the device had told what became of
// all that it took along. Who returns a lease on the device has no more to tell.
func (l LeaseRow) Silent() bool { return l.EndedMs > 0 && l.Why != "returned" && l.Unreported > 0 }

func (Devices) template() string { return "devices" }

// Conflicts lists what was handed over without a network and has to be judged.
type Conflicts struct {
	Form
	Settled bool
	Open    int
	Rows    []ConflictRow
	Next    Link
}

// ConflictRow is one conflict: what the device says, what the record had, and
// how it was settled.
type ConflictRow struct {
	ID, Kind             string
	Person, Resident     string
	Place                string
	Title                Text
	Amount               Amount
	Reason               Text
	Device, Account, How string // How: a key below "conflict.how_"
	PIN                  bool
	GivenMs, AtMs        int64
	Other                *ConflictOther
	Mine                 bool // reported by who looks: somebody else decides
	Decisions            []string
	Decision, Note, By   string
	SettledMs            int64
}

// ConflictOther is what the record had.
type ConflictOther struct {
	State, Device, By string
	AtMs              int64
}

func (Conflicts) template() string { return "conflicts" }
