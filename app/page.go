package app

import (
	"errors"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// page makes the base of a page for the one who asks. path is where the page
// can be asked for again.
func (a *App) page(c *fiber.Ctx, path string) (pages.Page, error) {
	p := principalOf(c)
	user := pages.User{Name: p.Name, Role: string(p.Role), Duty: string(p.Duty), Runs: p.May(accounts.ToRun)}
	switch p.Role {
	case accounts.Provider:
		org, err := a.Providers.Get(c.UserContext(), p.Organisation)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return pages.Page{}, err
		}
		if err == nil {
			user.Place = org.Name
			if langOf(c) == pages.English && org.NameEN != "" {
				user.Place = org.NameEN
			}
		}
	case accounts.Admin, accounts.Caseworker:
		user.Place = a.placeName(p.Division)
	}
	page := a.site.Page(langOf(c), user, p.CSRF, path)
	if r := routeOf(c); r != nil && r.Shell && c.Query("shell") == "1" {
		c.Set("X-Shell", "1")
		c.Set(fiber.HeaderContentLanguage, page.HTMLLang())
		return page.AsShell(), nil
	}
	if done := c.Query("done"); page.Has("done." + done) {
		page.Done = done
	}
	return page, nil
}

// form makes the base of a page with a form; a form that was sent keeps its
// values, but for secrets.
func (a *App) form(c *fiber.Ctx, path string) (pages.Form, error) {
	page, err := a.page(c, path)
	if err != nil {
		return pages.Form{}, err
	}
	f := pages.Form{Page: page, Values: map[string][]string{}, Errors: map[string]string{}}
	add := func(name, value string) {
		if !strings.Contains(name, "password") && name != "pin" && !strings.HasSuffix(name, "_pin") && name != "csrf" {
			f.Values[name] = append(f.Values[name], typed(value))
		}
	}
	c.Request().PostArgs().VisitAll(func(key, value []byte) { add(string(key), string(value)) })
	if sent, err := c.MultipartForm(); err == nil { // a form that may hold files
		for name, values := range sent.Value {
			for _, value := range values {
				add(name, value)
			}
		}
	}
	return f, nil
}

// typed is what somebody typed, made sound.
func typed(s string) string {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "")
	}
	return s
}

// show sends a page, whole or not at all.
func (a *App) show(c *fiber.Ctx, status int, v pages.View) error {
	body, err := a.site.Render(v)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	return c.Status(status).Send(body)
}

// to sends the browser on after something was done; done is a key below
// "done." of the catalogue, or "".
func to(c *fiber.Ctx, path, done string) error {
	if done != "" {
		path += "?done=" + done
	}
	return c.Redirect(path, fiber.StatusSeeOther)
}

var indexed = regexp.MustCompile(`^([a-z_]+)\[(\d+)\].*$`)

// refill puts what is wrong into a form, to be shown again with the status
// returned. Errors that are no fault of the form come back: what is outside
// one's responsibility, and what went wrong on our side.
//
// fields are the names of the form's fields where they are not those of the
// API; rows are the form's rows that were filled in, of fields that are lists.
func (a *App) refill(c *fiber.Ctx, err error, f *pages.Form, fields map[string]string, rows map[string][]int) (int, error) {
	p := a.problemOf(c, err)
	if errors.Is(err, errOutside) || p.Status >= 500 || p.Code == faultNotFound.code {
		return 0, err
	}
	if len(p.Fields) == 0 {
		f.Failure = p.Detail
	}
	for _, field := range p.Fields {
		name := field.Field
		if m := indexed.FindStringSubmatch(name); m != nil {
			name = m[1]
			if i := small(m[2]); i < len(rows[name]) {
				name += "[" + number(rows[name][i]) + "]"
			}
		}
		if own, ok := fields[name]; ok {
			name = own
		}
		if f.Errors[name] == "" {
			f.Errors[name] = field.Detail
		}
		f.Failure = f.T("form.check")
	}
	return p.Status, nil
}

// wrong marks a field of a form as wrong, with the text of a key.
func wrong(f *pages.Form, field, key string) {
	if f.Errors[field] == "" {
		f.Errors[field] = f.T(key)
	}
	f.Failure = f.T("form.check")
}

// localPath is a path of ours to go to, or "/" for anything else, so that no
// link sends people off to another site.
func localPath(s string) string {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\r\n\t?#") {
		return "/"
	}
	return s
}

// serveAsset serves a built file: its name carries a hash of its content, so
// that it may be kept for ever.
func (a *App) serveAsset(c *fiber.Ctx) error {
	gzip := strings.Contains(c.Get(fiber.HeaderAcceptEncoding), "gzip")
	asset, err := a.site.Assets().Open(c.Params("*"), gzip)
	if errors.Is(err, fs.ErrNotExist) {
		return faultNotFound
	}
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, asset.Type)
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	if asset.Gzip {
		c.Set(fiber.HeaderContentEncoding, "gzip")
	}
	return c.Send(asset.Body)
}

// showProblem is the page that says what went wrong.
func (a *App) showProblem(c *fiber.Ctx, p Problem) error {
	who := principalOf(c)
	page := a.site.Page(langOf(c), pages.User{Name: who.Name, Role: string(who.Role)}, who.CSRF, "/")
	v := pages.Error{Page: page, Status: p.Status, Heading: p.Title, Detail: p.Detail}
	if p.Status >= http.StatusInternalServerError {
		v.RequestID = requestID(c)
	}
	return a.show(c, p.Status, v)
}

// text is a word of the record in both languages.
func text(zh, en string) pages.Text { return pages.Text{ZH: zh, EN: en} }

func reasonText(r matching.Reason) pages.Text { return text(r.ZH, r.EN) }

// categoryText is the name of a kind of aid.
func categoryText(id string) pages.Text {
	if x, ok := providers.CategoryByID(id); ok {
		return text(x.ZH, x.EN)
	}
	return text(id, id)
}

// amount is a quantity of a kind of aid; unit is the offer's own, or "".
func amount(category string, units int64, unit string) pages.Amount {
	x, ok := providers.CategoryByID(category)
	if !ok {
		return pages.Amount{Units: units, Unit: text(unit, unit)}
	}
	out := pages.Amount{Units: units, Unit: text(x.UnitZH, x.UnitEN), Money: category == providers.Cash}
	if unit != "" && unit != x.UnitZH {
		out.Unit = text(unit, unit)
	}
	return out
}

func groupTexts(ids []string) []pages.Text {
	var out []pages.Text
	for _, id := range ids {
		name := text(id, id)
		for _, g := range residents.Groups() {
			if g.ID == id {
				name = text(g.ZH, g.EN)
			}
		}
		out = append(out, name)
	}
	return out
}

func groupChoices() []pages.Choice {
	var out []pages.Choice
	for _, g := range residents.Groups() {
		out = append(out, pages.Choice{Value: g.ID, Text: text(g.ZH, g.EN)})
	}
	return out
}

func categoryChoices() []pages.Choice {
	var out []pages.Choice
	for _, x := range providers.Categories() {
		out = append(out, pages.Choice{Value: x.ID, Text: text(x.ZH, x.EN)})
	}
	return out
}

// placeName is the name of a division with the county it lies in.
func (a *App) placeName(code string) string {
	tree := a.Tree()
	if name := tree.Name(code); name != "" {
		return name
	}
	d, _ := tree.Get(code)
	return d.Name
}

// below are the divisions at and below one, down to a level, as choices in
// groups: the division itself, then one group for each town or county.
func (a *App) below(code string, deepest regions.Level) []pages.ChoiceGroup {
	tree := a.Tree()
	top, ok := tree.Get(code)
	if !ok {
		return nil
	}
	choice := func(d regions.Division) pages.Choice {
		return pages.Choice{Value: d.ID, Text: text(d.Name, d.EnglishName)}
	}
	var out []pages.ChoiceGroup
	var walk func(d regions.Division)
	walk = func(d regions.Division) {
		g := pages.ChoiceGroup{Label: a.placeName(d.ID), Choices: []pages.Choice{choice(d)}}
		children := tree.Children(d.ID)
		for _, child := range children {
			if leaf := child.Level == deepest || child.Level == regions.Village; leaf {
				g.Choices = append(g.Choices, choice(child))
			}
		}
		out = append(out, g)
		for _, child := range children {
			if child.Level != deepest && child.Level != regions.Village {
				walk(child)
			}
		}
	}
	walk(top)
	return out
}

// villages are the villages at and below a division, in groups by town.
func (a *App) villages(code string) []pages.ChoiceGroup {
	var out []pages.ChoiceGroup
	for _, g := range a.below(code, regions.Village) {
		var kept []pages.Choice
		for _, x := range g.Choices {
			if d, ok := a.Tree().Get(x.Value); ok && d.Level == regions.Village {
				kept = append(kept, x)
			}
		}
		if len(kept) > 0 {
			out = append(out, pages.ChoiceGroup{Label: g.Label, Choices: kept})
		}
	}
	return out
}
