package pages

// Organisations lists those who give, for the administrator to decide about.
type Organisations struct {
	Form
	Status string // the filter
	Rows   []OrganisationRow
	Next   Link
}

// OrganisationRow is one organisation.
type OrganisationRow struct {
	ID, Kind, Status, CreditCode, Place, Contact, Note string
	Name                                               Text
	CreatedMs                                          int64
}

// Statuses are what can be filtered by; "" is all.
func (Organisations) Statuses() []string { return []string{"", "pending", "approved", "suspended"} }

func (Organisations) template() string { return "organisations" }
