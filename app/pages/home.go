package pages

// Home is what a person can do, by role.
type Home struct {
	Page
	Status         string // of the provider's own organisation: pending, approved, suspended; or ""
	Why            string // as the last decision says
	Pending        int    // organisations that wait for the administrator
	Reports        int    // new ones of the division and below
	ReportsOverdue int    // of these, those that have waited too long
	// Conflicts are offline handovers that wait for somebody's judgement.
	Conflicts int
}

func (Home) template() string { return "home" }

// Tile leads somewhere.
type Tile struct{ Href, Icon, Title, Text string }

// StatusIcons are the icons of the statuses of an organisation.
func (Home) StatusIcons() map[string]string {
	return map[string]string{"pending": "clock", "approved": "check", "suspended": "warn"}
}

// First is what the role does most; nil for none.
func (h Home) First() *Tile {
	switch h.User.Role {
	case "admin", "caseworker":
		return &Tile{"/scan", "scan", "home.scan", "home.scan_text"}
	case "provider":
		if !h.User.Runs {
			return nil
		}
		return &Tile{"/offers/new", "gift", "home.offer_new", "home.offer_new_text"}
	}
	return nil
}

// Tiles are the other things the role does.
func (h Home) Tiles() []Tile {
	register := Tile{"/residents/new", "plus", "home.register", "home.register_text"}
	people := Tile{"/residents", "people", "home.residents", "home.residents_text"}
	load := Tile{"/residents/import", "upload", "home.import", "home.import_text"}
	offline := Tile{"/offline", "offline", "home.offline", "home.offline_text"}
	waiting := Tile{"/waiting", "clock", "home.waiting", "home.waiting_text"}
	told := Tile{"/reports", "bell", "home.reports", "home.reports_text"}
	offers := Tile{"/offers", "gift", "home.offers", "home.offers_text"}
	devices := Tile{"/devices", "phone", "home.devices", "home.devices_text"}
	switch h.User.Role {
	case "admin":
		return []Tile{
			people, register, waiting, told, offline, devices, load, offers,
			{"/organisations", "house", "home.organisations", "home.organisations_text"},
			{"/funds", "coin", "home.funds_see", "home.funds_see_text"},
			{"/accounts", "person", "home.accounts", "home.accounts_text"},
			{"/tokens", "key", "home.tokens", "home.tokens_text"},
			{"/webhooks", "bell", "home.webhooks", "home.webhooks_text"},
			{"/divisions", "map", "home.divisions", "home.divisions_text"},
			{"/audit", "eye", "home.audit", "home.audit_text"},
		}
	case "caseworker":
		return []Tile{people, register, waiting, told, offline, devices, load, offers}
	case "provider":
		tiles := []Tile{{"/counter", "scan", "home.counter", "home.counter_text"}, {"/offers", "list", "home.own_offers", "home.own_offers_text"}}
		if h.User.Runs {
			tiles = append(tiles, Tile{"/funds", "coin", "home.funds", "home.funds_text"}, Tile{"/organisation", "house", "home.organisation", "home.organisation_text"})
		}
		return tiles
	}
	return nil
}

// Badge is the number on a tile: how much is new there; "" for nothing.
func (h Home) Badge(href string) string {
	switch {
	case href != "/reports" || h.Reports == 0:
		return ""
	case h.Reports > 99:
		return "99+"
	}
	return Number(int64(h.Reports))
}
