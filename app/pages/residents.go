package pages

// Residents lists the people of a division and those below it.
type Residents struct {
	Form
	Divisions []ChoiceGroup
	Rows      []ResidentRow
	Next      Link
}

// ResidentRow is one person of the list.
type ResidentRow struct {
	ID, Name, Place, CardNo string
	Groups                  []Text
}

func (Residents) template() string { return "residents" }
