package pages

import "encoding/json"

// Rule is the part of a form that says who may have an offer beyond groups and
// score. The page's script makes rows of it; without it the expression is typed.
type Rule struct {
	Choices string // what rows choose from, by [RuleChoices.JSON]
	Says    Text   // what the expression says; empty: none, or one that is wrong
	Reach   *RuleReach
}

// RuleChoice is a value and its name, in the page's language.
type RuleChoice [2]string

// RuleChoices are what a row chooses from.
type RuleChoices struct {
	Groups     []RuleChoice `json:"groups"`
	Health     []RuleChoice `json:"health"`
	Categories []RuleChoice `json:"categories"`
	Offers     []RuleChoice `json:"offers"` // of one's own
	Places     []RulePlaces `json:"places"`
}

// RulePlaces is a county with its towns.
type RulePlaces struct {
	Name  string       `json:"name"`
	Towns []RuleChoice `json:"towns"`
}

// JSON is how the script takes them.
func (c RuleChoices) JSON() (string, error) {
	b, err := json.Marshal(c)
	return string(b), err
}

// RuleReach is how many residents a rule reaches, by town. 0 is fewer than five.
type RuleReach struct {
	Rule           string // what was counted
	Compared       bool   // with the rule counted before
	Towns          []RuleTown
	People, Before int64
	FewTowns       int64 // of all towns asked about, those with fewer than five
	Whole          bool  // false: only a part could be looked at
}

// RuleTown is one town's figures.
type RuleTown struct {
	Place          string
	People, Before int64
	Near           bool // within five of a figure shown before, which it is shown as
}

// Num writes a figure of the rule's reach.
func (OfferNew) Num(n int64) string { return Number(n) }
