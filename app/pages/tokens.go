package pages

// Tokens lists service tokens and makes new ones.
type Tokens struct {
	Form
	Fresh         string // the token just made, shown this once
	Divisions     []ChoiceGroup
	Organisations []Choice
	Rows          []TokenRow
	Next          Link
}

// TokenRow is one service token, without its secret.
type TokenRow struct {
	ID, Label, Role, Place string
	ExpiresMs              int64
	Revoked                bool
}

func (Tokens) template() string { return "tokens" }
