package pages

// Systems is how an organisation's programs work with this one: its tokens, and
// where the rest is.
type Systems struct {
	OfOrganisation
	Own   bool   // of the one who looks
	Fresh string // the token just made, shown this once
	Rows  []OwnTokenRow
	Next  Link
}

// OwnTokenRow is one service token of the organisation, without its secret.
type OwnTokenRow struct {
	ID, Label, Duty string
	ExpiresMs       int64
	Revoked         bool
}

func (Systems) template() string { return "systems" }
