package pages

// NeedStory is the whole life of one need, with the forms to change it.
type NeedStory struct {
	Form
	Need                Need
	Name                string
	Back                string // the resident's page
	Source              string // key below "need_source."
	Score, Weight, Base string // now; Base without the time waited
	Live                bool
	Own                 bool     // who looks is the one who needs it
	Today               string   // 2006-01-02
	Whys                []string // keys below "need_why."
	Steps               []NeedStep
	Forgotten           int64 // tries in vain that are not kept
	Ready               bool  // the matcher answers
	LinesMs             int64
	Offers              []NotServed
	Next                []Text
}

// NeedStep is one thing that happened to a need; Score, Weight and Line are
// those of the time, "" where there were none.
type NeedStep struct {
	AtMs                int64
	What, Title         Text
	Who                 string
	Amount              Amount
	Reason, Rest        Text
	Score, Weight, Line string
	Position            int64
}

// Urgencies are the grades that may be chosen, as form values: residents choose
// the fourth only where it is so already.
func (s NeedStory) Urgencies() []string {
	grades := []string{"1", "2", "3", "4"}
	if s.Own && s.Need.Urgency < 4 {
		return grades[:3]
	}
	return grades
}

// MayNote says whether the note may be changed by who looks.
func (s NeedStory) MayNote() bool { return !s.Own || s.Source == "resident" }

func (NeedStory) template() string { return "need" }
