//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const (
	strangersCounty  = "330502000000"
	strangersVillage = "330502001005"
	anotherVillage   = "330503100001"
)

// traffic is what is seen on the wire: by the browser, and by a proxy that
// writes down everything that a proxy can.
type traffic struct {
	mu   sync.Mutex
	text strings.Builder
	asks []string // paths
}

func (f *traffic) note(what string, v any) {
	text, err := json.Marshal(v)
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintln(&f.text, what, string(text), err)
}

func (f *traffic) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

func (f *traffic) asked(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.asks {
		if p == path {
			return true
		}
	}
	return false
}

// hear keeps the requests that a window makes. That the page's own address has
// a fragment is the browser's affair; it is not sent.
func (f *traffic) hear(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		f.note("browser", []any{e.Request.URL, e.Request.Headers, e.Request.PostDataEntries})
	case *network.EventRequestWillBeSentExtraInfo:
		f.note("wire", e.Headers)
	}
}

// proxy is a reverse proxy before the program.
func (f *traffic) proxy(t *testing.T, base string) string {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.note("proxy", []any{r.RemoteAddr, r.Method, r.RequestURI, r.Header})
		f.mu.Lock()
		f.asks = append(f.asks, r.URL.Path)
		f.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// A stranger scans a card with a phone, sees nobody's name, and reports a
// person in need; the village's caseworker sees to it, another county's does
// not hear of it. The code leaves no digit on the way.
func TestBrowserStranger(t *testing.T) {
	s := embedded(t).with("ACCESS_LOG", "on").with("LOG", "debug").with("TRUSTED_PROXIES", "127.0.0.1")
	server := start(t, s)
	admin := newCaller(server.base, token(t, s, "--role", "admin"))
	for name, division := range map[string]string{"near": strangersVillage, "far": anotherVillage} {
		admin.must(t, http.MethodPost, "accounts", map[string]any{
			"username": name, "password": "long enough", "role": "caseworker", "division": division, "display_name": "社工" + name,
		}, nil)
	}
	var resident struct{ ID string }
	admin.must(t, http.MethodPost, "residents", map[string]any{"name": "沈阿福", "id_number": "330502194003077770", "division": strangersVillage, "consent": []string{"matching"}}, &resident)
	var code struct{ URL, Digits string }
	admin.must(t, http.MethodGet, "residents/"+resident.ID+"/code", nil, &code)

	wire := &traffic{}
	base := wire.proxy(t, server.base)
	browser := newBrowser(t, "")
	stranger := browser.person(t, base)
	stranger.phone()
	if err := chromedp.Listen(stranger.ctx, wire.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(stranger.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}

	t.Run("scan and report", func(t *testing.T) {
		stranger.t = t
		stranger.open("/c" + code.URL[strings.Index(code.URL, "#"):])
		stranger.see("#pin-form", "")
		if text := stranger.text("body"); strings.Contains(text, "沈") {
			t.Errorf("the page names somebody:\n%s", text)
		}
		stranger.fits("/c")
		stranger.press(`main a[href="/report"]`)
		stranger.see("#places-county", "吴兴区")
		stranger.fits("/report")
		stranger.choose("#places-county", strangersCounty)
		stranger.choose("#places-town", strangersVillage[:9]+"000")
		stranger.see("#places-village", "")
		stranger.choose("#places-village", strangersVillage)
		stranger.press(`label:has(> [name="kind"][value="alone"])`)
		stranger.fill("#f-text", "两天没出门了")
		stranger.fill("#f-person", "三楼的凤婆婆")
		stranger.press(`form[action^="/report"] button.strong`)
		stranger.see("#reference", "")
		stranger.fits("/report, sent")
		if cookies := stranger.cookies(); cookies != "" {
			t.Errorf("a cookie was set: %s", cookies)
		}
	})
	t.Run("no digit on the way", func(t *testing.T) {
		for what, text := range map[string]string{"the browser or the proxy": wire.String(), "the server": server.out.String()} {
			for i := 0; i+12 <= len(code.Digits); i++ {
				if part := code.Digits[i : i+12]; strings.Contains(text, part) {
					t.Fatalf("%s saw digits %d to %d of the code:\n%s", what, i, i+12, tail(text[:strings.Index(text, part)+40], 600))
				}
			}
			if !strings.Contains(text, "/report") || !strings.Contains(text, "/c") {
				t.Errorf("%s saw nothing:\n%s", what, tail(text, 600))
			}
		}
		if strings.Contains(server.out.String(), "凤婆婆") || strings.Contains(strings.ToLower(wire.String()), `"cookie"`) {
			t.Error("the log holds what was written, or the browser sent a cookie")
		}
		if !wire.asked("/c") || !wire.asked("/report") {
			t.Error("the proxy was not asked")
		}
	})
	var number string
	t.Run("report without scripts", func(t *testing.T) {
		plain := browser.person(t, base)
		plain.phone()
		if _, err := chromedp.Call(plain.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			t.Fatal(err)
		}
		plain.open("/c")
		plain.press(`main a[href="/report"]`)
		plain.see("#f-division", "月河街道")
		plain.fits("/report without scripts")
		plain.choose("#f-division", strangersVillage[:9]+"000")
		plain.press(`label:has(> [name="kind"][value="food"])`)
		plain.fill("#f-place", "菜场旁边")
		plain.press(`form[action^="/report"] button.strong`)
		plain.see("#reference", "")
		number = plain.text("#reference")
	})
	if t.Failed() {
		return
	}
	t.Run("the village's caseworker", func(t *testing.T) {
		near := browser.person(t, server.base)
		near.phone()
		near.signIn("near", "long enough")
		near.see(`a.tile[href="/reports"] .badge`, "1") // the town's report is the town's
		near.fits("/")
		near.press(`a.tile[href="/reports"]`)
		near.see("main", "老人无人照顾")
		near.fits("/reports")
		near.press(`main a[href^="/reports/"]`)
		near.see("main", "三楼的凤婆婆")
		near.fits("/reports/:id")
		near.press(`button[value="taken"]`)
		near.see("main", "已由您接手")
		near.press(`button[value="visited"]`)
		near.see("main", "已记下走访")
		near.press("#close > summary")
		near.press(`label:has(> [name="outcome"][value="helped"])`)
		near.fill("#f-note", "已送餐")
		near.press("#close button.strong")
		near.see("main", "报告已办结")
		near.fits("/reports/:id, closed")
		near.open("/reports")
		near.see("main", "这里没有报告")
	})
	t.Run("another county's caseworker", func(t *testing.T) {
		far := browser.person(t, server.base)
		far.phone()
		far.signIn("far", "long enough")
		for _, state := range []string{"new", "taken", "visited", "closed"} {
			far.open("/reports?state=" + state)
			far.see("main", "这里没有报告")
		}
		if shown := far.text("body"); strings.Contains(shown, number) {
			t.Errorf("another county sees %s", number)
		}
	})
}

// choose picks an option as a person does.
func (p *person) choose(selector, value string) {
	p.t.Helper()
	p.await("choose "+selector, fmt.Sprintf(`(() => {
		const s = document.querySelector(%q);
		if (!s || ![...s.options].some(o => o.value === %q)) return false;
		s.value = %q;
		s.dispatchEvent(new Event("change", { bubbles: true }));
		return s.value === %q;
	})()`, selector, value, value, value))
}
