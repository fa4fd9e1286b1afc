package pages

// Audit shows who did what to whom.
type Audit struct {
	Form
	MayCheck bool // the whole chain
	Check    *AuditCheck
	Rows     []AuditRow
	Next     Link
}

// AuditCheck is the outcome of a verification of the chain.
type AuditCheck struct {
	Blocks, Entries int
	Faults          []string
}

// AuditRow is one entry.
type AuditRow struct {
	AtMs                            int64
	Who, Role, Act, Object, Outcome string
}

func (Audit) template() string { return "audit" }
