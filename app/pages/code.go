package pages

// Code is what a scanned code opens: a page that names nobody and is the same
// for all. It speaks both languages at once, since it sets no cookie.
type Code struct {
	Page
	EN Page
}

// Code makes the page.
func (s *Site) Code() Code {
	return Code{Page: s.Page(Chinese, User{}, "", "/c"), EN: s.Page(English, User{}, "", "/c")}
}

func (Code) template() string { return "code" }
