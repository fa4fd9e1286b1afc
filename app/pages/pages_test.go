package pages

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testSite has assets with fixed names, so that golden files do not change
// with the build.
func testSite(t *testing.T) *Site {
	t.Helper()
	built := fstest.MapFS{"dist/manifest.json": {Data: []byte(`{"app.js":"app-1.js","scan.js":"scan-1.js","code.js":"code-1.js","offline.js":"offline-1.js","live.js":"live-1.js","styles.css":"styles-1.css","sheets.css":"sheets-1.css","icon.svg":"icon-1.svg","icon-192.png":"icon-192-1.png","zxing_reader.wasm":"zxing_reader-1.wasm"}`)},
		"dist/app-1.js": {Data: []byte("plain")}, "dist/app-1.js.gz": {Data: []byte("small")}, "dist/secret": {Data: []byte("not listed")}}
	assets, err := openAssets(built)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSite(assets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func render(t *testing.T, s *Site, v View) []byte {
	t.Helper()
	b, err := s.Render(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	t.Parallel()
	s := testSite(t)
	seen := map[string]bool{}
	for _, lang := range []string{Chinese, English} {
		for _, x := range samples(s, lang) {
			seen[x.view.template()] = true
			got := render(t, s, x.view)
			file := filepath.Join("testdata", x.name+"."+lang+".html")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is not what it was; look at the difference and run go test ./app/pages -update", file)
			}
		}
	}
	for name := range s.pages {
		if !seen[name] {
			t.Errorf("template %s has no sample", name)
		}
	}
}

const canary = `<script>alert("canary")</script>`

// poison puts the canary into every string that v can reach.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(canary)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Lang" {
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			fresh := reflect.New(v.Type().Elem()).Elem()
			fresh.Set(v.MapIndex(key))
			poison(fresh)
			v.SetMapIndex(key, fresh)
		}
	}
}

func TestTextIsNeverMarkup(t *testing.T) {
	t.Parallel()
	s := testSite(t)
	for _, x := range samples(s, Chinese) {
		v := reflect.New(reflect.TypeOf(x.view)).Elem()
		v.Set(reflect.ValueOf(x.view))
		poison(v)
		got := render(t, s, v.Interface().(View))
		if bytes.Contains(got, []byte("<script>")) {
			t.Errorf("%s: text became markup", x.name)
		}
		if x.name != "code" && x.name != "unreachable" && x.name != "voucher_found" && !bytes.Contains(got, []byte("canary")) {
			t.Errorf("%s: the canary is nowhere on the page", x.name)
		}
		eachElement(t, got, func(n *html.Node) {
			if n.Data == "script" && attr(n, "src") == "" {
				t.Errorf("%s: inline script", x.name)
			}
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: <%s %s> is refused by the content security policy", x.name, n.Data, a.Key)
				}
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && strings.HasPrefix(strings.TrimSpace(strings.ToLower(a.Val)), "javascript:") {
					t.Errorf("%s: script in %s", x.name, a.Key)
				}
			}
		})
	}
}

func eachElement(t *testing.T, page []byte, visit func(*html.Node)) {
	t.Helper()
	doc, err := html.ParseWithOptions(bytes.NewReader(page), html.ParseOptionEnableScripting(false))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			visit(n)
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestEveryLabelHasAControlAndEveryControlALabel(t *testing.T) {
	t.Parallel()
	s := testSite(t)
	for _, lang := range []string{Chinese, English} {
		for _, x := range samples(s, lang) {
			ids, labelled := map[string]int{}, map[string]bool{}
			var controls, labels []*html.Node
			eachElement(t, render(t, s, x.view), func(n *html.Node) {
				if id := attr(n, "id"); id != "" {
					ids[id]++
				}
				switch n.Data {
				case "input", "select", "textarea":
					if attr(n, "type") != "hidden" {
						controls = append(controls, n)
					}
				case "label":
					labels = append(labels, n)
					labelled[attr(n, "for")] = true
				case "img":
					if attr(n, "alt") == "" {
						t.Errorf("%s: a picture without words", x.name)
					}
				}
			})
			for id, n := range ids {
				if n > 1 {
					t.Errorf("%s: id %s stands %d times", x.name, id, n)
				}
			}
			for _, c := range controls {
				if !labelled[attr(c, "id")] && !inside(c, "label") && attr(c, "aria-label") == "" {
					t.Errorf("%s: <%s name=%s> has no label", x.name, c.Data, attr(c, "name"))
				}
			}
			for _, l := range labels {
				if to := attr(l, "for"); to != "" && ids[to] == 0 {
					t.Errorf("%s: a label for %s, which is not there", x.name, to)
				} else if to == "" && !contains(l, "input") {
					t.Errorf("%s: a label without a control", x.name)
				}
			}
		}
	}
}

func inside(n *html.Node, tag string) bool {
	for p := range n.Ancestors() {
		if p.Data == tag {
			return true
		}
	}
	return false
}

func contains(n *html.Node, tag string) bool {
	for d := range n.Descendants() {
		if d.Data == tag {
			return true
		}
	}
	return false
}

func TestEveryPostHasTheToken(t *testing.T) {
	t.Parallel()
	s := testSite(t)
	for _, x := range samples(s, Chinese) {
		eachElement(t, render(t, s, x.view), func(n *html.Node) {
			if n.Data != "form" || attr(n, "method") != "post" {
				return
			}
			for d := range n.Descendants() {
				if d.Data == "input" && attr(d, "name") == "csrf" {
					return
				}
			}
			t.Errorf("%s: the form to %s has no CSRF token", x.name, attr(n, "action"))
		})
	}
}

var (
	keyPattern    = regexp.MustCompile(`"([a-z]+(?:_[a-z]+)*\.[a-z0-9_]*(?:%d)?)"`)
	plainPattern  = regexp.MustCompile(`\.T "([a-z]+)"`)
	donePattern   = regexp.MustCompile(`\bto\(c, .*, "([a-z_]+)"\)`)
	filePattern   = regexp.MustCompile(`\.(html|css|js|ts|svg|wasm|json|gz)$`)
	hanPattern    = regexp.MustCompile(`\p{Han}`)
	latinPattern  = regexp.MustCompile(`[A-Za-z]{2,}`)
	verbPattern   = regexp.MustCompile(`%[a-z]`)
	commentInHTML = regexp.MustCompile(`(?s){{/\*.*?\*/}}`)
)

func sources(t *testing.T, globs ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, glob := range globs {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", glob, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out[file] = string(b)
		}
	}
	return out
}

func TestCatalogueIsCompleteAndUsed(t *testing.T) {
	t.Parallel()
	zh, err := loadWords(Chinese)
	if err != nil {
		t.Fatal(err)
	}
	en, err := loadWords(English)
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{Chinese, English} { // of two, the decoder takes the later
		b, err := catalogue.ReadFile("words/" + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^\s*"([^"]+)":`).FindAllSubmatch(b, -1) {
			if key := string(m[1]); seen[key] {
				t.Errorf("%s stands twice in %s", key, lang)
			} else {
				seen[key] = true
			}
		}
	}
	spaces := map[string]bool{}
	for key, text := range zh {
		if en[key] == "" {
			t.Errorf("%s has no English", key)
		}
		if a, b := verbPattern.FindAllString(text, -1), verbPattern.FindAllString(en[key], -1); !reflect.DeepEqual(a, b) {
			t.Errorf("%s takes %v in Chinese and %v in English", key, a, b)
		}
		if space, _, ok := strings.Cut(key, "."); ok {
			spaces[space] = true
		}
	}
	for key, text := range en {
		if zh[key] == "" {
			t.Errorf("%s has no Chinese", key)
		}
		if hanPattern.MatchString(text) && key != "nav.other_language" {
			t.Errorf("%s: Chinese in the English text", key)
		}
	}

	used, prefixes := map[string]string{}, map[string]bool{}
	for file, text := range sources(t, "templates/*.html", "*.go", "../page*.go", "web/src/*.ts", "web/src/offline/*.ts") {
		for _, m := range keyPattern.FindAllStringSubmatch(text, -1) {
			key := m[1]
			space, _, _ := strings.Cut(key, ".")
			switch {
			case !spaces[space] || filePattern.MatchString(key):
			case strings.HasSuffix(key, ".") || strings.HasSuffix(key, "%d") || strings.HasSuffix(key, "status_") || strings.HasSuffix(key, "closed_"):
				prefixes[strings.TrimSuffix(key, "%d")] = true
			default:
				used[key] = file
			}
		}
		for _, m := range plainPattern.FindAllStringSubmatch(text, -1) {
			used[m[1]] = file
		}
		for _, m := range donePattern.FindAllStringSubmatch(text, -1) {
			used["done."+m[1]] = file
		}
	}
	for key, file := range used {
		if zh[key] == "" {
			t.Errorf("%s uses %s, which the catalogue does not have", file, key)
		}
	}
	delete(prefixes, "done.")   // every one is named where it is done
	delete(prefixes, "scan.")   // given to the script, which names each
	delete(prefixes, "import.") // likewise
	delete(prefixes, "need.")   // likewise
	delete(prefixes, "aid.")    // likewise
	delete(prefixes, "live.")   // likewise
	for key := range zh {
		if _, ok := used[key]; ok {
			continue
		}
		if _, ok := used[strings.TrimSuffix(key, "_hint")]; ok {
			continue
		}
		found := false
		for prefix := range prefixes {
			found = found || strings.HasPrefix(key, prefix)
		}
		if !found {
			t.Errorf("%s is used nowhere", key)
		}
	}
}

func TestTextsStandInTheCatalogue(t *testing.T) {
	t.Parallel()
	for file, text := range sources(t, "templates/*.html") {
		if han := hanPattern.FindString(commentInHTML.ReplaceAllString(text, "")); han != "" {
			t.Errorf("%s holds %q; texts belong into the catalogue", file, han)
		}
	}
	// What may stand in Latin letters on a Chinese page, besides the samples'
	// own ids and user names.
	allowed := map[string]bool{"English": true, "PIN": true, "XLSX": true, "CSV": true, "PDF": true, "JPEG": true, "PNG": true, "MB": true, "UTF": true, "HTTPS": true, "code": true, "name": true, "level": true, "parent": true}
	for _, own := range []string{"MA", "MJ", "shenj", "chenlq", "aa", "hc", "ab"} {
		allowed[own] = true
	}
	s := testSite(t)
	for _, x := range samples(s, Chinese) {
		if x.name == "code" || x.name == "unreachable" || x.name == "voucher_found" {
			continue // speaks both languages
		}
		doc, err := html.ParseWithOptions(bytes.NewReader(render(t, s, x.view)), html.ParseOptionEnableScripting(false))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.TextNode || n.Parent.Data == "code" || n.Parent.Data == "title" || attr(n.Parent, "name") == "rule" || strings.Contains(attr(n.Parent, "class"), "id") || strings.Contains(attr(n.Parent, "class"), "num") {
				continue
			}
			for _, word := range latinPattern.FindAllString(n.Data, -1) {
				if !allowed[word] && !strings.Contains(n.Data, "019ab3f2") && !strings.Contains(n.Data, "5f0e1d22") {
					t.Errorf("%s: %q in Latin letters in %q", x.name, word, strings.TrimSpace(n.Data))
				}
			}
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	a := testSite(t).Assets()
	if got, want := a.URL("app.js"), "/assets/app-1.js"; got != want {
		t.Errorf("URL = %q, want %q", got, want)
	}
	for _, gzip := range []bool{true, false} {
		got, err := a.Open("app-1.js", gzip)
		if err != nil || got.Gzip != gzip || got.Type != "text/javascript; charset=utf-8" {
			t.Errorf("Open(gzip %v) = %+v, %v", gzip, got, err)
		}
	}
	for _, name := range []string{"secret", "manifest.json", "../pages.go", "", ".keep", "app-1.js.gz"} {
		if _, err := a.Open(name, false); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q): %v, want it not to exist", name, err)
		}
	}
}

func TestPagesWorkWithoutTheBuild(t *testing.T) {
	t.Parallel()
	assets, err := openAssets(fstest.MapFS{"dist/.keep": {}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSite(assets)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range samples(s, Chinese) {
		got := string(render(t, s, x.view))
		if !strings.Contains(got, "make web") {
			t.Errorf("%s does not say what is missing", x.name)
		}
		if strings.Contains(got, "<script") || strings.Contains(got, `href=""`) || strings.Contains(got, `src=""`) {
			t.Errorf("%s refers to files that are not there", x.name)
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for fen, want := range map[int64]string{0: "¥0.00", 5: "¥0.05", 200000: "¥2,000.00", -150: "-¥1.50", 123456789: "¥1,234,567.89"} {
		if got := Yuan(fen); got != want {
			t.Errorf("Yuan(%d) = %s, want %s", fen, got, want)
		}
	}
	s := testSite(t)
	zh, en := s.Page("zh", User{}, "", "/"), s.Page("en", User{}, "", "/")
	hours := Amount{Units: 4, Unit: Text{"小时", "hour"}}
	if got := zh.Amount(hours) + "|" + en.Amount(hours); got != "4 小时|4 hours" {
		t.Errorf("Amount = %s", got)
	}
	if got := zh.Time(sampleNow) + "|" + en.Day(sampleNow) + "|" + zh.Day(0); got != "2025年11月25日 10:00|25 Nov 2025|" {
		t.Errorf("times = %s", got)
	}
	if got := s.Page("<b>", User{}, "", "/").Lang; got != Chinese {
		t.Errorf("an unknown language became %q", got)
	}
}
