//go:build integration

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	zxing "github.com/makiuchi-d/gozxing/qrcode"

	"github.com/xingfuma/happycode/qrcode"
)

// A resident shows the own code on a phone: it changes, lives on without a
// network for a quarter of an hour, says when it has run out, and can be read
// in a dark mode that a browser forces.
func TestBrowserScreenCode(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	const name, pin = "沈阿福", "246813"
	var r townResident
	w.worker.must(t, http.MethodPost, "residents", map[string]any{
		"name": name, "id_number": idNumber(1), "division": village, "pin": pin, "consent": []string{"matching"},
	}, &r)
	colleague := newCaller(server.base, token(t, s, "--role", "caseworker", "--division", village))
	scanBy := func(who *caller, text string) int {
		t.Helper()
		err := who.call(t.Context(), http.MethodPost, "scans", map[string]string{"code": text}, nil)
		var no *refused
		if errors.As(err, &no) {
			return no.status
		}
		if err != nil {
			t.Fatal(err)
		}
		return http.StatusOK
	}
	scan := func(text string) int { t.Helper(); return scanBy(w.worker, text) }

	browser := newBrowser(t, "")
	p := browser.person(t, server.base)
	phone := &screenPhone{person: p}
	phone.wind()
	phone.begin(r.CardNo, pin)

	t.Run("on the resident's page, good once", func(t *testing.T) {
		p.t = t
		text := phone.code(0)
		if got := scan(text); got != http.StatusOK {
			t.Errorf("the caseworker's scan: %d", got)
		}
		if got := scanBy(colleague, text); got != http.StatusNotFound {
			t.Errorf("the same code in another's hands: %d", got)
		}
		if got := scan(text); got != http.StatusOK {
			t.Errorf("the same code again, because the answer was lost: %d", got)
		}
		p.fits("/me")
	})
	t.Run("it changes", func(t *testing.T) {
		p.t = t
		p.press(`a[href="/me/code"]`)
		p.see("#live-name", name)
		p.see("#live-no", r.CardNo[:4]+" "+r.CardNo[4:8])
		phone.code(0)
		phone.advance(30 * time.Second)
		if got := scan(phone.code(0)); got != http.StatusOK {
			t.Errorf("the next code: %d", got)
		}
		phone.ahead = 0 // pages that open hear the server's time
		for _, lang := range []string{"en", "zh"} {
			p.open("/me")
			p.speak(lang)
			p.open("/me/code")
			phone.code(0)
			p.fits("/me/code " + lang)
		}
	})
	t.Run("without a network for a quarter of an hour", func(t *testing.T) {
		p.t = t
		p.await("the page is kept", `(caches.match("/me/code").then((r) => { window.kept = !!r }), window.kept === true)`)
		phone.offline()
		phone.advance(16 * time.Minute)
		phone.warns("连不上网络。这个码还能用")
		phone.code(0)
		for _, path := range []string{"/me/code", "/me/code?elder=0"} {
			p.do("open again", chromedp.Navigate(p.base+path))
			phone.warns("连不上网络。这个码还能用")
			phone.forgive(p.base)
			p.see("#live-name", name)
			phone.code(0)
		}
		phone.advance(5 * time.Minute)
		phone.warns("码已过期")
		p.see("#live-no", r.CardNo[:4])
		p.await("the code is gone", `!document.getElementById("live-code").checkVisibility() && localStorage.getItem("happycode.codes") === null`)
		phone.online()
		phone.advance(time.Minute)
		p.await("the network is back", `!document.getElementById("live-trouble").checkVisibility()`)
		phone.forgive("api/v1/me/codes")
		phone.ahead = 0 // the phone heard the server's time
		phone.code(0)
	})
	t.Run("the phone's clock is set while the page is open", func(t *testing.T) {
		p.t = t
		p.do("set the clock", chromedp.Evaluate[chromedp.Void](`window.setClock(3 * 3600000)`))
		phone.code(0)
		p.do("reload", chromedp.Reload())
		phone.code(0)
	})
	t.Run("a dark mode that heeds nothing", func(t *testing.T) {
		p.t = t
		phone.dark(true)
		for _, path := range []string{"/me", "/me/code"} {
			p.open(path)
			phone.code(0)
			if got := phone.brightness(4, 700); got > 100 {
				t.Fatalf("%s: the browser forces no dark mode, so nothing is tested: %d%s", path, got, p.picture())
			}
		}
		phone.dark(false)
	})
	t.Run("code and name only, large, and remembered", func(t *testing.T) {
		p.t = t
		p.open("/me/code")
		phone.code(0)
		p.press(".elder-on")
		p.await("only what is wanted", `(() => {
			const seen = (s) => [...document.querySelectorAll(s)].some((e) => e.checkVisibility());
			return seen("#live-name") && seen("#live-code") && seen(".elder-off") && !seen(".top, .live-next, .live-bar, .code-no, .show-text, .elder-on, .foot");
		})()`)
		phone.code(300)
		p.fits("/me/code large")
		p.open("/me/code")
		phone.code(300)
		p.press(".elder-off")
		p.see(".show .code-no", "")
		p.open("/me/code?elder=1")
		phone.code(300)
		p.press(".elder-off")
	})
	t.Run("keeps the screen on while it is looked at", func(t *testing.T) {
		awake := &screenPhone{person: browser.person(t, server.base)}
		awake.before(`(() => {
			let hidden = false;
			Object.defineProperty(document, "hidden", { get: () => hidden });
			window.turn = (away) => { hidden = away; document.dispatchEvent(new Event("visibilitychange")) };
			window.held = { asked: [], released: 0 };
			Object.defineProperty(navigator, "wakeLock", { value: {
				request: async (kind) => (held.asked.push(kind), { release: async () => void held.released++ }),
			} });
		})()`)
		held := func(what, want string) {
			t.Helper()
			awake.await(what, `JSON.stringify(window.held) === `+strconv.Quote(want))
		}
		awake.begin(r.CardNo, pin)
		awake.code(0)
		held("the page of everything lets the phone sleep", `{"asked":[],"released":0}`)
		awake.open("/me/code")
		awake.code(0)
		held("the page of the code keeps it awake", `{"asked":["screen"],"released":0}`)
		// A phone takes the lock back when the page is out of sight.
		awake.do("look away", chromedp.Evaluate[chromedp.Void](`window.turn(true)`))
		held("out of sight", `{"asked":["screen"],"released":0}`)
		awake.do("come back", chromedp.Evaluate[chromedp.Void](`window.turn(false)`))
		held("seen again", `{"asked":["screen","screen"],"released":1}`)
	})
	t.Run("in WeChat", func(t *testing.T) {
		var card struct{ URL string }
		w.worker.must(t, http.MethodGet, "residents/"+r.ID+"/code", nil, &card)
		_, digits, _ := strings.Cut(card.URL, "#")
		wechat := &screenPhone{person: browser.person(t, server.base)}
		wechat.phone()
		wechat.do("be WeChat", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: wechatAgent})
			return err
		}))
		wechat.before(poorer)
		wechat.open("/c#" + digits)
		wechat.fits("/c in WeChat")
		wechat.fill("#pin", pin)
		wechat.press("#pin-form button")
		wechat.see("main .code-card", name)
		if got := scan(wechat.code(0)); got != http.StatusOK {
			t.Errorf("the scan of WeChat's screen: %d", got)
		}
		for _, path := range []string{"/me/code", "/me/code?elder=1"} {
			wechat.open(path)
			wechat.code(0)
			wechat.see("#live-name", name)
			wechat.fits(path + " in WeChat")
			wechat.quiet(path)
		}
		if got := step(wechat.person, "ask what it is", chromedp.Evaluate[string](`navigator.userAgent + typeof EventSource + typeof navigator.wakeLock`)); got != wechatAgent+"undefinedundefined" {
			t.Errorf("the browser is %s", got)
		}
	})
	t.Run("without scripts", func(t *testing.T) {
		p.t = t
		phone.scripts(false)
		p.do("open", chromedp.Navigate(p.base+"/me/code?plain=1"))
		if at := phone.step(phone.read(phone.window())); at < qrcode.ScreenStamp(time.Now())-1 {
			t.Errorf("the picture is of step %d", at)
		}
		phone.scripts(true)
	})
	t.Run("who signs out leaves nothing behind", func(t *testing.T) {
		p.t = t
		p.open("/me/code")
		phone.code(0)
		// As it is while a slow server has not answered yet.
		p.do("leave", chromedp.Evaluate[chromedp.Void](`(() => {
			const form = Object.assign(document.createElement("form"), { method: "post" });
			form.setAttribute("action", "/signout");
			document.body.append(form);
			document.addEventListener("submit", (event) => event.preventDefault());
			form.requestSubmit();
			form.remove();
		})()`))
		phone.advance(30 * time.Second)
		p.await("nothing is shown or kept", `!document.getElementById("live-code").checkVisibility() && document.getElementById("live-name").textContent === "" && localStorage.getItem("happycode.codes") === null`)
		phone.ahead = 0 // pages that open hear the server's time
		// As it is in a window that is open beside the one somebody leaves.
		p.open("/me/code")
		phone.code(0)
		p.do("leave elsewhere", chromedp.Evaluate[chromedp.Void](`(() => {
			window.before = true;
			window.dispatchEvent(new StorageEvent("storage", { key: "happycode.left", newValue: "1" }));
			window.gone = localStorage.getItem("happycode.codes") === null && !document.getElementById("live-code").checkVisibility();
			if (!window.gone) throw new Error("the codes stay");
		})()`))
		p.await("loaded anew", `window.before === undefined`)
		phone.code(0)
		p.open("/me")
		phone.code(0)
		p.press("details.me > summary")
		p.press(`form[action="/signout"] button`)
		p.see(`form[action="/signin"]`, "")
		p.await("no codes are left", `localStorage.getItem("happycode.codes") === null`)
		p.do("open", chromedp.Navigate(p.base+"/me/code"))
		p.await("sign in", `location.pathname === "/signin"`)
		phone.forgive("api/v1/me/codes")
	})
}

// wechatAgent is how WeChat names itself on an Android phone.
const wechatAgent = "Mozilla/5.0 (Linux; Android 10; HLK-AL00 Build/HONORHLK-AL00; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/86.0.4240.99 XWEB/4317 MMWEBSDK/20220903 Mobile Safari/537.36 MMWEBID/3301 MicroMessenger/8.0.28.2240(0x28001C57) WeChat/arm64 Weixin NetType/4G Language/zh_CN ABI/arm64"

// poorer takes away what WeChat's browsers lack, some on Android and some on
// iPhones, or have only lately.
const poorer = `(() => {
	for (const name of ["wakeLock", "serviceWorker", "vibrate", "share", "storage", "locks", "mediaDevices"]) delete Navigator.prototype[name];
	for (const name of ["EventSource", "BroadcastChannel", "BarcodeDetector", "structuredClone"]) delete window[name];
	for (const name of ["at", "findLast", "toSorted"]) delete Array.prototype[name];
	delete String.prototype.replaceAll;
	delete Object.hasOwn;
	delete Crypto.prototype.randomUUID;
	delete AbortSignal.timeout;
})()`

// The dark mode that Android forces on pages leaves ours as they are.
func TestBrowserScreenCodeInForcedDark(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	const pin = "246813"
	var r townResident
	w.worker.must(t, http.MethodPost, "residents", map[string]any{"name": "沈阿福", "id_number": idNumber(1), "division": village, "pin": pin}, &r)
	browser := newBrowser(t, "", chromedp.Flag("enable-features", "WebContentsForceDark"), chromedp.Flag("force-dark-mode", true))
	phone := &screenPhone{person: browser.person(t, server.base)}
	phone.begin(r.CardNo, pin)
	phone.code(0)
	if got := phone.brightness(4, 700); got > 100 {
		t.Fatalf("the browser forces no dark mode, so nothing is tested: %d%s", got, phone.picture())
	}
	phone.open("/me/code")
	phone.code(0)
	if got := phone.brightness(4, 700); got < 250 {
		t.Errorf("the page that shows the code is not white: %d%s", got, phone.picture())
	}
}

// screenPhone is a phone that shows a code, with clocks that can be wound on.
type screenPhone struct {
	*person
	ahead time.Duration // of the real time
}

// begin makes the window a phone and signs a resident in.
func (p *screenPhone) begin(cardNo, pin string) {
	p.t.Helper()
	p.phone()
	p.open("/signin")
	p.fill(`main [name="username"]`, cardNo)
	p.fill(`main [name="password"]`, pin)
	p.press(`form[action="/signin"] button`)
	p.see("main .code-card", "沈阿福")
}

// dark is a dark mode that takes no notice of what a page says of itself.
func (p *screenPhone) dark(on bool) {
	p.t.Helper()
	p.do("dark or light", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetAutoDarkModeOverride, emulation.SetAutoDarkModeOverrideParams{Enabled: &on})
		return err
	}))
}

// wind gives each page clocks that advance moves on together, as time does,
// and setClock sets one of, as somebody in the settings does.
func (p *screenPhone) wind() {
	p.t.Helper()
	const clocks = `(() => {
		const wall = Date.now.bind(Date), steady = performance.now.bind(performance);
		const get = (k) => { try { return Number(localStorage.getItem(k) || 0) } catch { return 0 } };
		Date.now = () => wall() + get("test.ahead") + get("test.set");
		performance.now = () => steady() + get("test.ahead");
		window.advance = (ms) => localStorage.setItem("test.ahead", get("test.ahead") + ms);
		window.setClock = (ms) => localStorage.setItem("test.set", ms);
	})()`
	p.before(clocks)
}

// warns waits until the page says what the matter is.
func (p *screenPhone) warns(text string) {
	p.t.Helper()
	p.await("warns: "+text, fmt.Sprintf(`document.getElementById("live-trouble").checkVisibility() && document.getElementById("live-trouble").textContent.includes(%q)`, text))
	p.forgive("api/v1/me/codes")
}

// forgive forgets the complaints of the browser about requests that were to fail.
func (p *screenPhone) forgive(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = slices.DeleteFunc(p.troubles, func(trouble string) bool { return strings.Contains(trouble, part) })
}

func (p *screenPhone) advance(d time.Duration) {
	p.t.Helper()
	p.ahead += d
	p.do("time passes", chromedp.Evaluate[chromedp.Void](fmt.Sprintf("window.advance(%d)", d.Milliseconds())))
}

// offline cuts the network.
func (p *screenPhone) offline() {
	p.t.Helper()
	p.conditions(&network.Conditions{Offline: true, DownloadThroughput: -1, UploadThroughput: -1})
}

// online mends it.
func (p *screenPhone) online() {
	p.t.Helper()
	p.conditions(&network.Conditions{DownloadThroughput: -1, UploadThroughput: -1})
}

func (p *screenPhone) conditions(c *network.Conditions) {
	p.t.Helper()
	p.do("set the network", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			EmulateOfflineServiceWorker: &c.Offline, MatchedNetworkConditions: []*network.Conditions{c},
		})
		return err
	}))
}

func (p *screenPhone) scripts(on bool) {
	p.t.Helper()
	p.do("scripts on or off", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

// window is what the window shows.
func (p *screenPhone) window() image.Image {
	p.t.Helper()
	shot, err := png.Decode(bytes.NewReader(step(p.person, "take a picture", chromedp.CaptureScreenshot())))
	if err != nil {
		p.t.Fatal(err)
	}
	return shot
}

// brightness is that of a point of the window, in CSS pixels of a phone of scale 2.
func (p *screenPhone) brightness(x, y int) uint8 {
	p.t.Helper()
	return color.GrayModel.Convert(p.window().At(2*x, 2*y)).(color.Gray).Y
}

// code waits until the screen shows the code of this moment, at least so many
// pixels wide, and returns what a camera reads.
func (p *screenPhone) code(wide int) string {
	p.t.Helper()
	type box struct{ X, Y, W, H float64 }
	deadline := time.Now().Add(stepTime)
	last := "nothing"
	for time.Now().Before(deadline) {
		at := step(p.person, "look for the code", chromedp.Evaluate[box](`(() => {
			const e = document.getElementById("live-code");
			if (!e || !e.checkVisibility()) return { X: 0, Y: 0, W: 0, H: 0 };
			const r = e.getBoundingClientRect();
			return { X: r.left, Y: r.top, W: r.width, H: r.height };
		})()`))
		if at.W > 0 && at.W >= float64(wide) {
			shot := p.window()
			area := image.Rect(int(2*at.X), int(2*at.Y), int(2*(at.X+at.W)), int(2*(at.Y+at.H))).Intersect(shot.Bounds())
			part := image.NewRGBA(image.Rect(0, 0, area.Dx(), area.Dy()))
			draw.Draw(part, part.Bounds(), shot, area.Min, draw.Src)
			last = p.read(part)
			was, now := p.step(last), qrcode.ScreenStamp(time.Now().Add(p.ahead))
			if was == now {
				return last
			}
			last = fmt.Sprintf("step %d, now %d", was, now)
		}
	}
	p.t.Fatalf("the code of this moment is not shown; last: %s%s\n%s", last, p.picture(), p.shown())
	return ""
}

// step is that of a screen code.
func (p *screenPhone) step(text string) int64 {
	p.t.Helper()
	digits, err := qrcode.Extract(text)
	if err != nil {
		p.t.Fatalf("the screen shows %q%s", text, p.picture())
	}
	token, err := qrcode.Parse(digits)
	if err != nil || token.Kind != qrcode.Screen {
		p.t.Fatalf("the screen shows a code of kind %d: %v", token.Kind, err)
	}
	return int64(token.Stamp)
}

// read decodes a picture; "" when there is no code in it.
func (p *screenPhone) read(picture image.Image) string {
	p.t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		p.t.Fatal(err)
	}
	result, err := zxing.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]interface{}{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		result, err = zxing.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]interface{}{gozxing.DecodeHintType_PURE_BARCODE: true})
	}
	if err != nil {
		return ""
	}
	return result.GetText()
}
