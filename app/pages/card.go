package pages

// Card is the printable card: 85.6 × 54 mm, with no full name and no ID number.
type Card struct {
	Page
	ID      string
	Initial string // family name only
	CardNo  string
}

// CardNoSpaced is the card number in groups of four.
func (c Card) CardNoSpaced() string { return spaced(c.CardNo) }

func (Card) template() string { return "card" }

func spaced(s string) string {
	out := []rune{}
	for i, r := range []rune(s) {
		if i > 0 && i%4 == 0 {
			out = append(out, ' ')
		}
		out = append(out, r)
	}
	return string(out)
}
