package pages

// Documents are the licences and permits of an organisation.
type Documents struct {
	OfOrganisation
	Kinds []string // keys below "document_kind."
	Rows  []DocumentRow
}

// DocumentRow is one document; its file is downloaded.
type DocumentRow struct {
	ID, Kind, Label  string
	PDF              bool // else a picture
	KB               int64
	AddedMs, UntilMs int64
	Over             bool   // its time is over
	State            string // kept, withdrawn or gone
}

func (Documents) template() string { return "documents" }

// OrganisationHistory is what was decided about an organisation.
type OrganisationHistory struct {
	OfOrganisation
	Lines []DecisionLine // newest first
}

// DecisionLine is one decision. Who is for administrators only.
type DecisionLine struct {
	AtMs              int64
	Status, Note, Who string
	Again             bool // approved, after it had been suspended
}

func (OrganisationHistory) template() string { return "organisation_history" }
