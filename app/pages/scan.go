package pages

import "encoding/json"

// Scan is where a caseworker scans a code. The script renders the answer;
// without it the typed code leads to the resident's page.
type Scan struct {
	Form
	Categories []ScanCategory
	Groups     []Choice
}

// ScanCategory is what the script knows of a kind of aid.
type ScanCategory struct {
	ID         string
	Name, Unit Text
	Money      bool
}

func (Scan) template() string { return "scan" }

// CategoriesJSON is what the script knows of kinds of aid and of groups, in
// the page's language.
func (s Scan) CategoriesJSON() (string, error) { return s.kindsJSON(s.Categories, s.Groups) }

func (p Page) kindsJSON(categories []ScanCategory, groups []Choice) (string, error) {
	type entry struct {
		Name  string `json:"name"`
		Unit  string `json:"unit"`
		Money bool   `json:"money"`
	}
	out := struct {
		Categories map[string]entry  `json:"categories"`
		Groups     map[string]string `json:"groups"`
	}{map[string]entry{}, map[string]string{}}
	for _, c := range categories {
		out.Categories[c.ID] = entry{p.Say(c.Name), p.Say(c.Unit), c.Money}
	}
	for _, g := range groups {
		out.Groups[g.Value] = p.Say(g.Text)
	}
	b, err := json.Marshal(out)
	return string(b), err
}
