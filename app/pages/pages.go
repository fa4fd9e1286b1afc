// Package pages holds what people see: one typed struct and one template for
// each page, the catalogue of texts in Chinese and English, and the embedded
// styles and scripts.
//
// A page is rendered whole before its first byte goes out, so that a page that
// cannot be rendered becomes an error page and not half a page. What differs
// from request to request (language, person, CSRF token) stands in the page's
// struct. The package knows no HTTP.
package pages

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// The languages.
const (
	Chinese = "zh"
	English = "en"
)

// ErrPage says that no template has the page's name.
var ErrPage = errors.New("no such page")

//go:embed templates/*.html
var templates embed.FS

// Site renders pages; it is safe for concurrent use.
type Site struct {
	pages  map[string]*template.Template
	words  map[string]words // by language
	assets *Assets
}

// New parses the embedded templates, catalogue and build.
func New() (*Site, error) {
	assets, err := openAssets(dist)
	if err != nil {
		return nil, err
	}
	return newSite(assets)
}

func newSite(assets *Assets) (*Site, error) {
	s := &Site{pages: map[string]*template.Template{}, words: map[string]words{}, assets: assets}
	for _, lang := range []string{Chinese, English} {
		w, err := loadWords(lang)
		if err != nil {
			return nil, err
		}
		s.words[lang] = w
	}
	shared, err := template.ParseFS(templates, "templates/_*.html")
	if err != nil {
		return nil, fmt.Errorf("parse shared templates: %w", err)
	}
	files, err := fs.Glob(templates, "templates/[a-z]*.html")
	if err != nil {
		return nil, fmt.Errorf("list templates: %w", err)
	}
	for _, file := range files {
		t, err := shared.Clone()
		if err != nil {
			return nil, fmt.Errorf("copy shared templates: %w", err)
		}
		if t, err = t.ParseFS(templates, file); err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
		s.pages[strings.TrimSuffix(path.Base(file), ".html")] = t
	}
	return s, nil
}

// Assets are the built styles and scripts.
func (s *Site) Assets() *Assets { return s.assets }

// View is a page that can be rendered: it names its template.
type View interface{ template() string }

// Render writes the whole page, or nothing and the error.
func (s *Site) Render(v View) ([]byte, error) { return s.render(v, "page") }

// Fragment writes only the named part of a page.
func (s *Site) Fragment(v View, part string) ([]byte, error) { return s.render(v, part) }

func (s *Site) render(v View, part string) ([]byte, error) {
	t, ok := s.pages[v.template()]
	if !ok {
		return nil, fmt.Errorf("render %s: %w", v.template(), ErrPage)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, part, v); err != nil {
		return nil, fmt.Errorf("render %s: %w", v.template(), err)
	}
	return b.Bytes(), nil
}

// User is who is signed in, as the frame of a page shows them; zero for nobody.
type User struct {
	Name  string
	Role  string // admin, caseworker, provider, resident
	Place string // name of the division or the organisation
	Duty  string // of a provider: owner, editor, handover
	Runs  bool   // may do more than hand over
}

// Page is what every page has. [Site.Page] makes it.
type Page struct {
	Lang  string
	CSRF  string
	User  User
	Path  string // of this page, where a change of language returns to
	Shell bool   // kept on the device for when there is no network: names nobody
	Done  string // what was just done: a key of the catalogue below "done.", or ""
	site  *Site
	words words
}

// Page makes the base of a page. An unknown language is Chinese.
func (s *Site) Page(lang string, user User, csrf, path string) Page {
	if lang != English {
		lang = Chinese
	}
	return Page{Lang: lang, CSRF: csrf, User: user, Path: path, site: s, words: s.words[lang]}
}

// AsShell is the page as a device may keep it: whoever opens it later, it names
// nobody and holds no token of anybody's session.
func (p Page) AsShell() Page {
	p.User, p.CSRF, p.Done, p.Shell = User{}, "", "", true
	return p
}

// T is the text of a key in the page's language, with args put in as
// [fmt.Sprintf] does. A key that the catalogue does not have stays visible.
func (p Page) T(key string, args ...any) string { return p.words.say(key, args...) }

// Has says whether the catalogue has the key.
func (p Page) Has(key string) bool { return p.words[key] != "" }

// HTMLLang is the value of the lang attribute.
func (p Page) HTMLLang() string {
	if p.Lang == English {
		return "en"
	}
	return "zh-CN"
}

// Other is the other language.
func (p Page) Other() string {
	if p.Lang == English {
		return Chinese
	}
	return English
}

// Built says whether the styles and scripts are there.
func (p Page) Built() bool { return p.site.assets.Built() }

// Asset is the URL of a built file by its source name, "" without a build.
func (p Page) Asset(name string) string { return p.site.assets.URL(name) }

// Words are the texts below some prefixes as JSON, for a script.
func (p Page) Words(prefixes ...string) (string, error) { return p.words.json(prefixes) }

// Text is a text of the record in both languages; EN may be missing.
type Text struct{ ZH, EN string }

// Say is the text in the page's language, or in the one it has.
func (p Page) Say(t Text) string {
	if (p.Lang == English && t.EN != "") || t.ZH == "" {
		return t.EN
	}
	return t.ZH
}

// cst is UTC+8, the one civil time of China.
var cst = time.FixedZone("CST", 8*60*60)

// Day is the date of a Unix time in ms; "" for 0.
func (p Page) Day(ms int64) string { return p.stamp(ms, "2006年1月2日", "2 Jan 2006") }

// Time is date and time of a Unix time in ms; "" for 0.
func (p Page) Time(ms int64) string { return p.stamp(ms, "2006年1月2日 15:04", "2 Jan 2006, 15:04") }

// Stamp is a Unix time in ms for the datetime attribute.
func (p Page) Stamp(ms int64) string {
	return time.UnixMilli(ms).In(cst).Format(time.RFC3339)
}

// Span is from one Unix time in ms to another: on one day, that day with its
// weekday and both times; else both dates.
func (p Page) Span(fromMs, untilMs int64) string {
	from, until := time.UnixMilli(fromMs).In(cst), time.UnixMilli(untilMs).In(cst)
	day := func(t time.Time) string {
		weekday := p.T("weekday." + strconv.Itoa((int(t.Weekday())+6)%7+1))
		if p.Lang == English {
			return weekday + " " + t.Format("2 Jan")
		}
		return t.Format("1月2日") + " " + weekday
	}
	end := time.Date(from.Year(), from.Month(), from.Day()+1, 0, 0, 0, 0, cst)
	switch {
	case until.Equal(end) && from.Hour() == 0 && from.Minute() == 0:
		return day(from)
	case until.Equal(end):
		return day(from) + " " + from.Format("15:04") + "–24:00"
	case until.Before(end):
		return day(from) + " " + from.Format("15:04") + "–" + until.Format("15:04")
	}
	return day(from) + " " + from.Format("15:04") + " – " + day(until) + " " + until.Format("15:04")
}

func (p Page) stamp(ms int64, zh, en string) string {
	if ms == 0 {
		return ""
	}
	layout := zh
	if p.Lang == English {
		layout = en
	}
	return time.UnixMilli(ms).In(cst).Format(layout)
}

// Amount is a quantity with its unit, or money.
type Amount struct {
	Units int64 // or fen
	Unit  Text
	Money bool
}

// Amount writes a quantity: "3 份", "¥2,000.00".
func (p Page) Amount(a Amount) string {
	if a.Money {
		return Yuan(a.Units)
	}
	unit := p.Say(a.Unit)
	if unit == "" {
		return Number(a.Units)
	}
	if p.Lang == English && a.Units != 1 && unit == a.Unit.EN && unit != a.Unit.ZH && !strings.HasSuffix(unit, "s") {
		unit += "s" // the units of the catalogue are all regular
	}
	return Number(a.Units) + " " + unit
}

// Yuan writes fen as yuan: "¥2,000.00".
func Yuan(fen int64) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	return fmt.Sprintf("%s¥%s.%02d", sign, Number(fen/100), fen%100)
}

// Number writes a whole number with commas.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Number writes a whole number with commas.
func (p Page) Number(n int64) string { return Number(n) }

// Points writes thousandths as a number of three decimals: 650 is "0.650".
func (p Page) Points(milli int64) string { return fmt.Sprintf("%.3f", float64(milli)/1000) }

// Choice is one thing to choose in a form.
type Choice struct {
	Value string
	Text  Text
	Note  Text
}

// Link is where the next page of a list is; "" at the end.
type Link = string

// NavItem is one entry of the navigation.
type NavItem struct {
	Href, Icon, Key string
	Current         bool
}

// Nav is the navigation for the person's role.
func (p Page) Nav() []NavItem {
	var items []NavItem
	switch p.User.Role {
	case "admin":
		items = []NavItem{{"/", "home", "nav.home", false}, {"/scan", "scan", "nav.scan", false}, {"/residents", "people", "nav.residents", false}, {"/offers", "gift", "nav.offers", false}, {"/organisations", "house", "nav.organisations", false}}
	case "caseworker":
		items = []NavItem{{"/", "home", "nav.home", false}, {"/scan", "scan", "nav.scan", false}, {"/residents", "people", "nav.residents", false}, {"/offers", "gift", "nav.offers", false}}
	case "provider":
		items = []NavItem{{"/", "home", "nav.home", false}, {"/counter", "scan", "nav.counter", false}, {"/offers", "gift", "nav.offers", false}}
		if p.User.Runs {
			items = append(items, NavItem{"/offers/new", "plus", "nav.post", false}, NavItem{"/funds", "coin", "nav.funds", false}, NavItem{"/organisation", "house", "nav.organisation", false})
		}
	}
	best := -1
	for i, item := range items {
		if p.Path == item.Href || (item.Href != "/" && strings.HasPrefix(p.Path, item.Href+"/")) || item.Href == "/organisation" && strings.HasPrefix(p.Path, "/organisations/") {
			if best < 0 || len(item.Href) > len(items[best].Href) {
				best = i
			}
		}
	}
	if best >= 0 {
		items[best].Current = true
	}
	return items
}
