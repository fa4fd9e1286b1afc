package pages

// Import is where residents are read from a spreadsheet.
type Import struct {
	Form
	Outcome *Outcome
}

// Outcome is what became of an import.
type Outcome struct {
	Taken, Known int64
	Bad          []BadRow // the first of them
	BadCount     int64
}

// Hidden is how many bad rows are not listed.
func (o Outcome) Hidden() int64 { return o.BadCount - int64(len(o.Bad)) }

// BadRow is a row that was not taken, and why.
type BadRow struct {
	Row    int // as the spreadsheet counts
	Column string
	Reason Text
}

// Column describes a column of the spreadsheet.
type Column struct{ Name, Meaning string }

// Columns are what the spreadsheet may hold.
func (i Import) Columns() []Column {
	return []Column{
		{i.T("import.col_name"), "import.col_name_text"},
		{i.T("import.col_id_number"), "import.col_id_number_text"},
		{i.T("import.col_phone"), "import.col_phone_text"},
		{i.T("import.col_division"), "import.col_division_text"},
		{i.T("import.col_groups"), "import.col_groups_text"},
		{i.T("import.col_household"), "import.col_household_text"},
		{i.T("import.col_score"), "import.col_score_text"},
	}
}

func (Import) template() string { return "import" }
