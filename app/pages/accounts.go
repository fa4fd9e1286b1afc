package pages

// Accounts lists who may sign in, and makes new accounts.
type Accounts struct {
	Form
	Divisions     []ChoiceGroup
	Organisations []Choice
	Rows          []AccountRow
	Next          Link
}

// AccountRow is one account.
type AccountRow struct {
	ID, Name, Username, Role, Place string
	Disabled                        bool
	Self                            bool // the one who looks
}

func (Accounts) template() string { return "accounts" }
