package pages

// Wishes are what residents wish for, as givers and caseworkers see them.
type Wishes struct {
	Page
	Gives bool       // the reader may take one up
	Shown []WishCard // for caseworkers all of their county
	Own   []WishCard // that the reader's organisation has taken up
	Next  Link
}

func (Wishes) template() string { return "wishes" }

// WishCard is one wish: nothing of the person but the town.
type WishCard struct {
	ID, Need, Offer, Town              string // Need: for caseworkers only
	Text                               Text
	State                              string // shown, taken, given, lapsed, hidden; "": not shown yet
	ShownMs, UntilMs, TakenMs, EndedMs int64
}

// WishTake is the form in which a giver takes a wish up.
type WishTake struct {
	Form
	Wish          WishCard
	Organisations []Choice // to choose from, for administrators
}

func (WishTake) template() string { return "wish_take" }

// WishShow is the form in which a caseworker shows a need to givers.
type WishShow struct {
	Form
	Need string
	Note string // what was written down with the need
	Wish WishCard
}

func (WishShow) template() string { return "wish_show" }

// MayShow says whether the wish may be shown, or shown in other words.
func (w WishShow) MayShow() bool { return w.Wish.State != "taken" && w.Wish.State != "given" }
