package pages

// Error says what went wrong and what to do.
type Error struct {
	Page
	Status    int
	Heading   string
	Detail    string
	RequestID string
}

func (Error) template() string { return "error" }
