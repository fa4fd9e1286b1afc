package pages

// Card is the printable card of one person.
type Card struct {
	Page
	ID   string
	Face CardFace
}

func (Card) template() string { return "card" }

// CardFace is what stands on a card, 85.6 × 54 mm, in both languages at once:
// no full name and no ID number. Everybody's cards have the same face.
type CardFace struct {
	Words   CardWords
	Initial string // first character and stars
	For     Text   // on a carer's card: for whom
	CardNo  string
	Until   string // date, "" for none
	Side    int    // of the code with its margin of four modules, in modules
	Path    string // of the code's dark modules
}

// Symbol is the part of the picture without its margin, for viewBox: the
// card's own white is the margin.
func (f CardFace) Symbol() [4]int { return [4]int{4, 4, f.Side - 8, f.Side - 8} }

// CardNoSpaced is the card number in groups of four.
func (f CardFace) CardNoSpaced() string { return spaced(f.CardNo) }

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

// CardWords is what stands on every card and every sheet.
type CardWords struct{ Brand, BrandEN, Holder, Number, Until, Note, NoteEN, Scale string }

// Cards is where the cards of a division are printed.
type Cards struct {
	Form
	Divisions []ChoiceGroup
	Division  string // chosen, or the own one
	Place     string
	Count     CardCount
	Most      int64      // cards that one file takes
	Parts     []CardPart // none where one file takes them all
	More      bool       // Parts and Count are some of several pages'
	Next      Link       // the parts after these
	// For the script, which keeps what was made: whose it is, where this page's
	// parts begin, and the cuts between them.
	Owner, After, Cuts string
}

// CardPart is some of the cards of a division, in a file of their own.
type CardPart struct {
	First, Last int64 // numbers of its cards, from 1
	Sheets      int64
	ID          string // its bounds
	Query       string // of its links
}

// PDF, Single and Print lead to its cards.
func (p CardPart) PDF() Link    { return "/cards/sheets.pdf?" + p.Query }
func (p CardPart) Single() Link { return p.PDF() + "&layout=single" }
func (p CardPart) Print() Link  { return "/cards/print?" + p.Query }

// Anew is the page with the parts divided anew.
func (c Cards) Anew() Link { return "/cards?division=" + c.Division }

// CardCount is how many cards a division has.
type CardCount struct {
	Cards, Sheets, Gone, NoCode int64
}

// LeftOut is how many people get no card.
func (c CardCount) LeftOut() int64 { return c.Gone + c.NoCode }

func (Cards) template() string { return "cards" }

// CardSheets is the cards of a division as sheets of paper.
type CardSheets struct {
	Page
	Division string
	Place    string
	Sheets   []CardSheet
	First    int64 // number of the first sheet shown, from 1
	Last     int64
	Total    int64
	Next     Link
}

// CardSheet is up to ten cards of one place.
type CardSheet struct {
	Place, Position string
	Scale           string
	Faces           []CardFace
}

func (CardSheets) template() string { return "card_sheets" }
