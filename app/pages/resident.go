package pages

// Resident is everything a caseworker sees of one person.
type Resident struct {
	NeedForm
	ID, Name, Place, CardNo, IDMasked, Household string
	BirthYear                                    int
	ScoreMilli                                   int64
	Groups                                       []Text
	Promises, Received                           []Aid
	NextReceived                                 Link
	Needs                                        []Need
	Views                                        []Viewing
}

func (Resident) template() string { return "resident" }
