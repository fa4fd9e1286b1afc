package pages

// Join is the form in which an organisation joins, with its first account.
type Join struct {
	Form
	Divisions []ChoiceGroup
}

// Kinds are the three ends.
func (Join) Kinds() []string { return []string{"government", "charity", "enterprise"} }

func (Join) template() string { return "join" }
