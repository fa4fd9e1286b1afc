package pages

// Divisions shows the division tree and reads it from a file.
type Divisions struct {
	Form
	Trail   []Division // from the top to the one shown
	Rows    []Division
	Outcome *Outcome
}

// Division is one division.
type Division struct {
	Code, Name string
	Children   int
}

func (Divisions) template() string { return "divisions" }
