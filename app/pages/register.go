package pages

// Register is the form in which a resident is registered.
type Register struct {
	Form
	Villages []ChoiceGroup
	Groups   []Choice
	Report   *ReportNote // what it is made from; nil for none
}

// ChoiceGroup is choices under a common label.
type ChoiceGroup struct {
	Label   string
	Choices []Choice
}

func (Register) template() string { return "register" }
