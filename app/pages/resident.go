package pages

// Resident is everything a caseworker sees of one person.
type Resident struct {
	NeedForm
	Record                                       Form   // PIN, consent and status: what is so, and what is wrong with a change
	Status                                       string // active, moved, deceased
	HasPIN                                       bool
	ConsentMs                                    int64 // when the consent was last written down
	ID, Name, Place, CardNo, IDMasked, Household string
	BirthYear                                    int
	ScoreMilli                                   int64
	Groups                                       []Text
	Promises, Received                           []Aid
	NextReceived                                 Link
	Needs                                        []Need
	Views                                        []Viewing
	Kept                                         CodeKept
	ShownBy                                      string // who showed the code at the scan that led here, in words
}

func (Resident) template() string { return "resident" }
