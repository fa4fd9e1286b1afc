package pages

// Unreachable is what a device shows when there is no network and the page
// asked for is not one that it keeps. It speaks both languages: it is kept
// before anybody has chosen one.
type Unreachable struct{ Page }

func (Unreachable) template() string { return "unreachable" }

// InEnglish is the text of a key in English.
func (u Unreachable) InEnglish(key string) string { return u.site.words[English].say(key) }
