package pages

// Offline is the page for work without a network. It is a shell that browsers
// keep: it names nobody, holds no CSRF token, and is the same for everybody
// who may open it. The script fills it from what the phone holds.
type Offline struct {
	Page
	Categories []ScanCategory
	Groups     []Choice
}

// Offline makes the page.
func (s *Site) Offline(lang string, categories []ScanCategory, groups []Choice) Offline {
	return Offline{Page: s.Page(lang, User{}, "", "/offline"), Categories: categories, Groups: groups}
}

func (Offline) template() string { return "offline" }

// CategoriesJSON is what the script knows of kinds of aid and of groups, in
// the page's language.
func (o Offline) CategoriesJSON() (string, error) { return o.kindsJSON(o.Categories, o.Groups) }
