package pages

// OfOrganisation is what all pages of one organisation have.
type OfOrganisation struct {
	Form
	Org, Kind, Status string // id, one of the three ends, status
	OrgName           Text
	Tab               string // the one that is open, key below "org_tab."
	Edits             bool   // may change profile and places, and sees systems
	Owns              bool   // may change people, documents and tokens
	Decides           bool   // administrator
}

// Tabs are the pages of the organisation that the one who looks may open.
func (o OfOrganisation) Tabs() []Tab {
	out := []Tab{{"profile", ""}}
	if o.Owns {
		out = append(out, Tab{"documents", "/documents"}, Tab{"people", "/people"})
	}
	if o.Edits {
		out = append(out, Tab{"history", "/history"})
	}
	return out
}

// StatusIcons are the icons of the statuses of an organisation.
func (OfOrganisation) StatusIcons() map[string]string { return Home{}.StatusIcons() }

// Tab is one of an organisation's pages: its key below "org_tab." and where it
// is below the organisation.
type Tab struct{ Key, Path string }

// People lists who acts for an organisation, and makes new accounts.
type People struct {
	OfOrganisation
	Fresh, FreshFor string // a password just drawn, shown this once, and whose it is
	Rows            []PersonRow
	Next            Link
}

// PersonRow is one account of the organisation.
type PersonRow struct {
	ID, Name, Username, Duty string
	Disabled                 bool
	Self                     bool // the one who looks
}

// Duties are keys below "duty.".
func (People) Duties() []string { return []string{"owner", "editor", "handover"} }

func (People) template() string { return "people" }
