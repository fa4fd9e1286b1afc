package pages

// Offline is the page for work without a network. It names nobody but in its
// frame; the script fills it from what the phone holds.
type Offline struct {
	Page
	Categories []ScanCategory
	Groups     []Choice
}

func (Offline) template() string { return "offline" }

// CategoriesJSON is what the script knows of kinds of aid and of groups, in
// the page's language.
func (o Offline) CategoriesJSON() (string, error) { return o.kindsJSON(o.Categories, o.Groups) }
