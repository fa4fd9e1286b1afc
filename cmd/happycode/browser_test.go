//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// stepTime ends a step in the browser that is hopeless.
const stepTime = 3 * time.Minute

// A caseworker holds a card into the camera, and the resident opens the own
// page: Chromium, a fake camera that films the real code, the real program.
func TestBrowser(t *testing.T) {
	s := embedded(t)
	server := start(t, s, "--demo")
	secrets := demoSignIns(t, server, s)
	video := filepath.Join(t.TempDir(), "code.y4m")
	film(t, filepath.Join(s["DATA"], "demo-card.png"), video)
	browser := newBrowser(t, video)
	admin := newCaller(server.base, token(t, s, "--role", "admin"))

	var resident, given string
	worker := browser.person(t, server.base)
	t.Run("scan and hand over", func(t *testing.T) {
		worker.t = t
		worker.signIn("caseworker", secrets.Passwords["caseworker"])
		worker.open("/scan")
		worker.startCamera()
		worker.see(`#answer .person h2`, "沈阿福")
		worker.see(`#answer .aid.promise`, "")
		given = worker.text(`#answer .aid.promise h3`)
		worker.press(`#answer .aid.promise .actions > button.strong`)
		worker.see(`#answer .aid.promise .result`, "已交付")
		address, _, _ := strings.Cut(worker.attribute(`#answer .person a[href^="/residents/"]`, "href"), "?")
		resident = filepath.Base(address)
		worker.open("/residents/" + resident)
		worker.see(`main`, given)
		w := &town{worker: admin}
		list := w.list(t, resident)
		handed := 0
		for _, a := range list {
			if a.TitleZH == given && a.HandedOverMs > 0 {
				handed++
			}
		}
		if handed != 1 {
			t.Errorf("the happiness list has %q handed over %d times, want 1: %+v", given, handed, list)
		}
	})
	if t.Failed() {
		return
	}

	var code struct{ URL string }
	admin.must(t, http.MethodGet, "residents/"+resident+"/code", nil, &code)
	self := browser.person(t, server.base)
	t.Run("the resident's own page", func(t *testing.T) {
		self.t = t
		self.open(strings.TrimPrefix(code.URL, server.base))
		if text := self.text("body"); strings.Contains(text, "沈") || strings.Contains(text, "浮星桥") {
			t.Errorf("the page that a code opens names somebody:\n%s", text)
		}
		if cookies := self.cookies(); len(cookies) != 0 {
			t.Errorf("the page that a code opens sets cookies: %v", cookies)
		}
		self.fill("#pin", secrets.PIN)
		self.press("#pin-form button")
		self.see("main .code-card", "沈阿福")
		self.see("#list", given)
		if self.path() != "/me" {
			t.Errorf("after the PIN: got %s, want /me", self.path())
		}
	})
	if t.Failed() {
		return
	}

	// No page scrolls sideways on a small phone.
	var offers []struct{ ID, Organisation string }
	pages(t, admin, "offers", &offers)
	visits := []struct {
		who   *person
		name  string
		paths []string
	}{
		{browser.person(t, server.base), "", []string{"/signin", "/join", "/c", "/c" + code.URL[strings.Index(code.URL, "#"):], "/nothing-here"}},
		{self, "", []string{"/me"}},
		{worker, "", []string{"/", "/scan", "/residents", "/residents/new", "/residents/import", "/residents/" + resident, "/residents/" + resident + "/card", "/offers", "/offers/" + offers[0].ID}},
		{browser.person(t, server.base), "charity", []string{"/", "/offers", "/offers/new", "/offers/new?form=meals", "/offers/new?form=service"}},
		{browser.person(t, server.base), "admin", []string{
			"/", "/scan", "/residents", "/residents/new", "/residents/import", "/residents/" + resident, "/residents/" + resident + "/card",
			"/offers", "/offers/new", "/offers/new?form=meals", "/offers/" + offers[0].ID, "/organisations", "/accounts", "/tokens", "/divisions", "/audit",
		}},
	}
	for i, v := range visits {
		for _, lang := range []string{"zh", "en"} {
			t.Run(fmt.Sprintf("360 pixels %d %s %s", i, v.name, lang), func(t *testing.T) {
				v.who.t = t
				v.who.phone()
				if v.name != "" && lang == "zh" {
					v.who.signIn(v.name, secrets.Passwords[v.name])
				}
				v.who.open(v.paths[0])
				v.who.speak(lang)
				for _, path := range v.paths {
					v.who.open(path)
					v.who.fits(path)
					if v.name == "charity" && path == "/offers" {
						v.who.open(v.who.attribute(`main a[href^="/offers/0"]`, "href"))
						v.who.fits("/offers/:id")
					}
					if path == "/offers/new?form=meals" {
						v.who.unfold("form > details.fold-card")
						v.who.press("[data-kept-add]")
						v.who.press("[data-kept-add]")
						v.who.press("[data-kept-remove]")
						v.who.await("one row for what is kept", `document.querySelectorAll("[data-kept-rows] > fieldset").length === 1 && !!document.getElementById(document.querySelector("[data-kept-rows] label").htmlFor)`)
						v.who.fits(path + ", with a row for what is kept")
					}
				}
			})
		}
	}
}

// film makes a video in which the card's code moves a little: raw YUV 4:2:0,
// the form that Chromium's fake camera reads.
func film(t *testing.T, picture, path string) {
	t.Helper()
	text, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	code, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	const width, height, frames = 960, 720, 8
	const size = 480 // of the code
	var out bytes.Buffer
	fmt.Fprintf(&out, "YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420jpeg\n", width, height)
	bounds := code.Bounds()
	for f := range frames {
		out.WriteString("FRAME\n")
		left, top := (width-size)/2+3*f, (height-size)/2-2*f
		luma := bytes.Repeat([]byte{200}, width*height) // a light table
		for y := range size {
			for x := range size {
				r, _, _, _ := code.At(bounds.Min.X+x*bounds.Dx()/size, bounds.Min.Y+y*bounds.Dy()/size).RGBA()
				luma[(top+y)*width+left+x] = byte(20 + (r>>8)*225/255)
			}
		}
		out.Write(luma)
		out.Write(bytes.Repeat([]byte{128}, width*height/2))
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// browser is one Chromium.
type browser struct{ ctx context.Context }

// newBrowser starts a Chromium whose camera films the video, or, without one,
// Chromium's own test picture with a zoom that works.
func newBrowser(t *testing.T, video string, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: `make test` installs it (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("accept-lang", "zh-CN"),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.WSURLReadTimeout(stepTime),
	)
	if video != "" {
		options = append(options, chromedp.Flag("use-file-for-fake-video-capture", video))
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		end()
		endAllocator()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &browser{ctx}
}

// person is somebody at a window of their own, with cookies of their own.
type person struct {
	t    *testing.T // of the running subtest
	ctx  context.Context
	base string

	mu       sync.Mutex
	troubles []string // what the browser complained of since the last look
}

func (b *browser) person(t *testing.T, base string) *person {
	t.Helper()
	p := &person{t: t, base: base}
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	t.Cleanup(end)
	p.ctx = ctx
	// The first step has no deadline: the window lives as long as its context.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	return p
}

// hear keeps what the browser complains of.
func (p *person) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.troubles = append(p.troubles, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		// A missing page is one that we asked for; a phone that nobody has
		// touched yet may not buzz; and only a test cuts the network.
		asked := strings.Contains(e.Entry.URL, "/nothing-here") || strings.Contains(e.Entry.Text, "navigator.vibrate") ||
			strings.Contains(e.Entry.Text, "net::ERR_INTERNET_DISCONNECTED")
		if e.Entry.Level == log.EntryLevelError && !asked {
			p.troubles = append(p.troubles, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// step carries out one action and returns its value; one that fails leaves a
// picture behind.
func step[T any](p *person, what string, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTime)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v%s\n%s", what, err, p.picture(), p.shown())
	}
	return v
}

// do carries out actions in turn.
func (p *person) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	step(p, what, chromedp.Steps(actions...))
}

// picture keeps what the window shows, and says where.
func (p *person) picture() string {
	ctx, cancel := context.WithTimeout(p.ctx, stepTime)
	defer cancel()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return ""
	}
	path := filepath.Join(p.t.ArtifactDir(), fmt.Sprintf("window-%d.png", time.Now().UnixNano()))
	if err := os.WriteFile(path, shot, 0o600); err != nil {
		return ""
	}
	return "\npicture, kept with -artifacts: " + path
}

// shown is the text in the window.
func (p *person) shown() string {
	ctx, cancel := context.WithTimeout(p.ctx, stepTime)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		return err.Error()
	}
	return tail(text, 1500)
}

func (p *person) open(path string) {
	p.t.Helper()
	// about:blank first: a step from one fragment to another loads nothing.
	p.do("open "+path, chromedp.Navigate("about:blank"), chromedp.Navigate(p.base+path), chromedp.WaitReady(chromedp.CSS("main")))
	p.quiet(path)
}

// quiet wants no exception, no failed request and nothing refused by the
// content security policy.
func (p *person) quiet(path string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, trouble := range p.troubles {
		p.t.Errorf("%s: the browser says: %s", path, trouble)
	}
	p.troubles = nil
}

func (p *person) signIn(user, password string) {
	p.t.Helper()
	p.open("/signin")
	p.fill(`main [name="username"]`, user)
	p.fill(`main [name="password"]`, password)
	p.press(`form[action="/signin"] button`)
	p.see("details.me", "")
}

func (p *person) fill(selector, text string) {
	p.t.Helper()
	p.touch("fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (p *person) press(selector string) {
	p.t.Helper()
	p.touch("press "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// touch carries out an action on one element. The text of a page can be seen
// before the browser has told of its elements: then the element found is of the
// page before, nothing was touched, and it is looked for again.
func (p *person) touch(what string, action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTime)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, action)
		var gone *cdproto.Error
		switch {
		case err == nil:
			return
		case !errors.As(err, &gone) || !strings.Contains(gone.Message, "Could not find node"):
			p.t.Fatalf("%s: %v%s\n%s", what, err, p.picture(), p.shown())
		}
	}
}

// see waits until something visible holds the text.
func (p *person) see(selector, text string) {
	p.t.Helper()
	quoted, err := json.Marshal([]string{selector, text})
	if err != nil {
		p.t.Fatal(err)
	}
	p.await("see "+selector+" "+text, `(([selector, text]) => {
		const e = document.querySelector(selector);
		return !!e && e.checkVisibility() && e.textContent.includes(text);
	})(`+string(quoted)+`)`)
	p.quiet(selector)
}

// await asks the page until the expression is true, over any number of steps
// from one page to the next.
func (p *person) await(what, expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s: not within %v: %v%s\n%s", what, stepTime, err, p.picture(), p.shown())
		case <-tick.C:
		}
	}
}

func (p *person) text(selector string) string {
	p.t.Helper()
	return step(p, "read "+selector, chromedp.Text(chromedp.CSS(selector)))
}

func (p *person) attribute(selector, name string) string {
	p.t.Helper()
	found := step(p, "read "+selector, chromedp.AttributeValue(chromedp.CSS(selector), name))
	if !found.Exists {
		p.t.Fatalf("%s has no %s", selector, name)
	}
	return found.Value
}

func (p *person) path() string {
	p.t.Helper()
	return step(p, "read the address", chromedp.Evaluate[string]("location.pathname"))
}

func (p *person) cookies() string {
	p.t.Helper()
	return step(p, "read cookies", chromedp.Evaluate[string]("document.cookie"))
}

// startCamera presses the button where the camera does not start by itself.
func (p *person) startCamera() {
	p.t.Helper()
	p.do("start the camera", chromedp.Evaluate[chromedp.Void](`{ const b = document.getElementById("camera-start"); if (b.checkVisibility()) b.click() }`))
}

// before runs a script in each page from now on, before the page's own.
func (p *person) before(script string) {
	p.t.Helper()
	p.do("run a script before the page's", func(ctx context.Context, window *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, window, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return chromedp.Void{}, err
	})
}

// phone makes the window a small phone.
func (p *person) phone() {
	p.t.Helper()
	p.do("be a phone", chromedp.EmulateViewport(360, 800, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2)))
}

// speak switches the language with the page's own button.
func (p *person) speak(lang string) {
	p.t.Helper()
	button := `form[action="/lang"] button[value="` + lang + `"]`
	if !step(p, "look for the language", chromedp.Evaluate[bool](`!!document.querySelector('`+button+`')`)) {
		return
	}
	p.press(button)
	p.await("speak "+lang, `document.readyState === "complete" && document.documentElement.lang.startsWith("`+lang+`")`)
}

type measured struct {
	Width  int      `json:"width"`
	Window int      `json:"window"`
	Wide   []string `json:"wide"` // elements that stick out
}

// fits wants the page to be no wider than the phone.
func (p *person) fits(path string) {
	p.t.Helper()
	got := step(p, "measure "+path, chromedp.Evaluate[measured](`({
		width: document.documentElement.scrollWidth, window: window.innerWidth,
		wide: [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 361).slice(0, 5).map(e => e.outerHTML.slice(0, 120)),
	})`))
	if got.Width > 360 || got.Window > 360 {
		p.t.Errorf("%s scrolls sideways: %d pixels wide in a window of %d\n%s%s", path, got.Width, got.Window, strings.Join(got.Wide, "\n"), p.picture())
	}
}
