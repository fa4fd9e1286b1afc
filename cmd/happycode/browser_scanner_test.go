//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	permission "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/qrcode"
)

// cable is the network between the browser and the program. It can be cut,
// paths that hold a word can be missing, and the service worker can come as one
// of another version.
type cable struct {
	t       *testing.T
	address string
	proxy   *httputil.ReverseProxy
	server  *http.Server
	missing atomic.Pointer[string]
	version atomic.Pointer[string]
}

var versionInWorker = regexp.MustCompile(`"[0-9a-f]{12}"`)

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	server, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{t: t, address: freeAddress(t), proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(server)
		r.Out.Host = r.In.Host
	}}}
	c.proxy.ModifyResponse = func(r *http.Response) error {
		version := c.version.Load()
		if version == nil || r.Request.URL.Path != "/sw.js" {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = versionInWorker.ReplaceAll(body, []byte(`"`+*version+`"`))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	}
	c.mend()
	t.Cleanup(c.cut)
	return c
}

func (c *cable) base() string { return "http://" + c.address }

func (c *cable) mend() {
	c.t.Helper()
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if word := c.missing.Load(); word != nil && strings.Contains(r.URL.Path, *word) {
			http.NotFound(w, r)
			return
		}
		c.proxy.ServeHTTP(w, r)
	})}
	go func(s *http.Server) { _ = s.Serve(l) }(c.server)
}

// cut breaks all connections and refuses new ones.
func (c *cable) cut() { _ = c.server.Close() }

// queuer is somebody who waits in the queue.
type queuer struct {
	ID     string `json:"id"`
	CardNo string `json:"card_no"`
	url    string
}

// newQueuer registers a resident who needs meals.
func newQueuer(t *testing.T, w *town, n int, name string) queuer {
	t.Helper()
	var q queuer
	w.worker.must(t, http.MethodPost, "residents", map[string]any{
		"name": name, "id_number": idNumber(n), "division": village, "consent": []string{"matching"},
	}, &q)
	w.worker.must(t, http.MethodPost, "residents/"+q.ID+"/needs", map[string]any{"category": "meal", "qty_units": 1, "urgency": 2, "source": "report"}, nil)
	var code struct{ URL string }
	w.worker.must(t, http.MethodGet, "residents/"+q.ID+"/code", nil, &code)
	q.url = code.URL
	return q
}

// picture is a code as it is printed.
func picture(t testing.TB, text string, pixels int) image.Image {
	t.Helper()
	content, err := qrcode.PNG(text, qrcode.Q, pixels)
	if err != nil {
		t.Fatal(err)
	}
	code, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// filmQueue films one card after the other, with an empty table in between
// for longer than the scanner takes to forget a card that went away.
func filmQueue(t *testing.T, path string, cards ...string) {
	t.Helper()
	const width, height, size = 640, 480, 400
	var out bytes.Buffer
	fmt.Fprintf(&out, "YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420jpeg\n", width, height)
	frames := func(n int, card string) {
		luma := bytes.Repeat([]byte{200}, width*height)
		if card != "" {
			code := picture(t, card, size)
			for y := range size {
				for x := range size {
					r, _, _, _ := code.At(x, y).RGBA()
					luma[((height-size)/2+y)*width+(width-size)/2+x] = byte(20 + (r>>8)*225/255)
				}
			}
		}
		for range n {
			out.WriteString("FRAME\n")
			out.Write(luma)
			out.Write(bytes.Repeat([]byte{128}, width*height/2))
		}
	}
	for _, card := range cards {
		frames(15, card)
		frames(15, "")
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// photoFile is a JPEG of a code on a table.
func photoFile(t *testing.T, text string) string {
	t.Helper()
	table := image.NewRGBA(image.Rect(0, 0, 1600, 1200))
	draw.Draw(table, table.Bounds(), image.NewUniform(color.RGBA{178, 150, 120, 255}), image.Point{}, draw.Src)
	code := picture(t, text, 560)
	draw.Draw(table, code.Bounds().Add(image.Pt(500, 330)), code, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, table, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "photo.jpg")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kept is all text that the browser keeps for the site outside its cookies.
const kept = `(async () => {
	let all = JSON.stringify({...sessionStorage}) + JSON.stringify({...localStorage});
	for (const name of await caches.keys()) {
		const cache = await caches.open(name);
		for (const request of await cache.keys()) {
			all += "\n" + name + " " + request.url;
			if (!/\/assets\//.test(request.url)) all += " " + await (await cache.match(request)).text();
		}
	}
	return all;
})()`

func (p *person) kept() string {
	p.t.Helper()
	return step(p, "read what the browser keeps", chromedp.Evaluate[string](kept, chromedp.EvalAwaitPromise))
}

// settled asks the page until what the expression promises is true.
func (p *person) settled(what, expression string) {
	p.t.Helper()
	eventually(p.t, stepTime, what, func() error {
		ctx, cancel := context.WithTimeout(p.ctx, stepTime)
		defer cancel()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression, chromedp.EvalAwaitPromise))
		if err == nil && !ok {
			err = errors.New("not yet")
		}
		return err
	})
}

// hushed forgets what the browser complained of: a cut network is loud.
func (p *person) hushed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = nil
}

// The scanner as an app: a queue, photos, and no network.
func TestScanner(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	first, second := newQueuer(t, w, 1, "金丝雀甲"), newQueuer(t, w, 2, "画眉鸟乙")
	lunch := w.post(t, "社区午餐", "meal", 30, map[string]any{"handover": map[string]string{"how": "pickup", "place": "社区食堂"}})
	const password = "a long password"
	w.admin.must(t, http.MethodPost, "accounts", map[string]any{
		"username": "hall", "password": password, "role": "caseworker", "division": county, "display_name": "白鹭丙",
	}, nil)
	video := filepath.Join(t.TempDir(), "queue.y4m")
	filmQueue(t, video, first.url, second.url)
	net := newCable(t, server.base)
	browser := newBrowser(t, video)

	hall := browser.person(t, net.base())
	hall.t = t
	hall.phone()
	hall.signIn("hall", password)
	if t.Failed() {
		return
	}

	t.Run("installable", func(t *testing.T) {
		hall.t = t
		hall.open("/password") // a page without a camera
		manifest := step(hall, "read the manifest", func(ctx context.Context, window *chromedp.Target) (page.GetAppManifestResult, error) {
			return cdp.Call(ctx, window, page.GetAppManifest, page.GetAppManifestParams{})
		})
		var app struct {
			Name      string
			ShortName string `json:"short_name"`
			StartURL  string `json:"start_url"`
			Display   string
			Icons     []struct{ Src, Sizes, Purpose string }
		}
		if err := json.Unmarshal([]byte(manifest.Data), &app); err != nil || len(manifest.Errors) > 0 {
			t.Fatalf("manifest: %v %+v\n%s", err, manifest.Errors, manifest.Data)
		}
		if app.ShortName != "幸福码" || app.StartURL != "/start" || app.Display != "standalone" || len(app.Icons) != 3 {
			t.Errorf("manifest: %+v", app)
		}
		for _, icon := range app.Icons {
			resp, err := http.Get(net.base() + icon.Src)
			if err != nil {
				t.Fatal(err)
			}
			config, err := png.DecodeConfig(resp.Body)
			resp.Body.Close()
			if err != nil || fmt.Sprintf("%dx%d", config.Width, config.Height) != icon.Sizes {
				t.Errorf("icon %s of %s: %+v, %v", icon.Src, icon.Sizes, config, err)
			}
		}
		faults := step(hall, "ask what is missing", func(ctx context.Context, window *chromedp.Target) (page.GetInstallabilityErrorsResult, error) {
			return cdp.Call(ctx, window, page.GetInstallabilityErrors, cdp.Empty{})
		})
		for _, fault := range faults.InstallabilityErrors {
			if fault.ErrorID != "in-incognito" { // so are all windows of these tests
				t.Errorf("not installable: %s %v", fault.ErrorID, fault.ErrorArguments)
			}
		}
		worker, err := http.Get(net.base() + "/sw.js")
		if err != nil {
			t.Fatal(err)
		}
		defer worker.Body.Close()
		if worker.StatusCode != http.StatusOK || worker.Header.Get("Cache-Control") != "no-cache" || !strings.HasPrefix(worker.Header.Get("Content-Type"), "text/javascript") {
			t.Errorf("the service worker: %s %v", worker.Status, worker.Header)
		}
	})

	t.Run("a queue", func(t *testing.T) {
		hall.t = t
		// What the hand feels and the ear hears, as the phone is told it.
		hall.before(`(() => {
			window.felt = [];
			window.heard = [];
			Navigator.prototype.vibrate = (pattern) => felt.push(JSON.stringify(pattern)) > 0;
			const start = OscillatorNode.prototype.start;
			OscillatorNode.prototype.start = function (at) { heard.push(this.frequency.value); start.call(this, at) };
		})()`)
		hall.open("/scan")
		hall.fits("/scan")
		hall.press(`#modes [data-mode="batch"]`)
		hall.see(`#batch .choice`, "社区午餐")
		hall.press(`#batch .choice input`)
		hall.press(`#batch form button`)
		hall.see(`.verdict-ok`, "1 份")
		hall.fits("the green tick")
		hall.await("success is felt and heard", `felt[0] === "80" && heard[0] === 880 && heard[1] === 1320`)
		hall.see(`#batch-total`, "2 人次")
		// The first card comes by again.
		hall.see(`.verdict-amber`, "领取")
		hall.fits("the refusal")
		hall.await("failure is felt and heard, and otherwise", `felt.at(-1) === "[120,80,120,80,240]" && heard.at(-2) === 240 && heard.at(-1) === 180`)
		hall.press(`.verdict-amber .strong`)
		for _, q := range []queuer{first, second} {
			given := 0
			for _, a := range w.list(t, q.ID) {
				if a.Offer == lunch && a.State == care.HandedOver && a.Proof == "scan" {
					given++
				}
			}
			if given != 1 {
				t.Errorf("somebody was given %d lunches, want 1", given)
			}
		}
		if st := w.stock(t, lunch); st.HandedOverUnits != 2 {
			t.Errorf("stock: %+v", st)
		}
		// A reload goes on where it was.
		hall.open("/scan")
		hall.see(`#batch-total`, "2 人次")
		hall.see(`#batch-list li`, "＊＊")
		notes := step(hall, "read the notes", chromedp.Evaluate[string](`sessionStorage.getItem("happycode-batch")`))
		for _, secret := range []string{"金丝雀甲", "画眉鸟乙", first.CardNo, second.CardNo, first.ID, second.ID} {
			if strings.Contains(notes, secret) {
				t.Errorf("the notes of a queue hold %q", secret)
			}
		}
		if !strings.Contains(notes, first.CardNo[8:]) {
			t.Errorf("the notes do not tell who was served: %s", notes)
		}
	})
	if t.Failed() {
		return
	}

	t.Run("photos", func(t *testing.T) {
		still := browser.person(t, net.base())
		still.t = t
		still.phone()
		still.before(`if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));`)
		missing := "zxing_reader"
		net.missing.Store(&missing) // the decoder cannot be had: the server reads
		still.signIn("hall", password)
		still.open("/scan")
		still.see(`#answer .failure`, "权限")
		photo := photoFile(t, first.url)
		still.do("send a photo", chromedp.SetUploadFiles(chromedp.CSS("#photo"), []string{photo}))
		still.await("the person in the photo", `document.querySelector("#answer .person h2")?.textContent === "金丝雀甲"`)
		still.hushed() // the missing decoder
		net.missing.Store(nil)
		still.open("/scan")
		still.see(`#answer .failure`, "权限")
		sent := `performance.getEntriesByType("resource").filter(e => e.name.endsWith("/scans/photo")).length`
		still.do("choose a photo", chromedp.SetUploadFiles(chromedp.CSS("#photo"), []string{photoFile(t, second.url)}))
		still.see(`#answer .person h2`, "画眉鸟乙")
		if n := step(still, "count what was sent", chromedp.Evaluate[int](sent)); n != 0 {
			t.Errorf("a photo that the page can read was sent to the server")
		}
	})

	t.Run("a new version", func(t *testing.T) {
		hall.t = t
		names := `caches.keys().then((all) => all.join(" "))`
		read := func() string {
			return step(hall, "read the caches", chromedp.Evaluate[string](names, chromedp.EvalAwaitPromise))
		}
		first := read()
		for _, version := range []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb"} {
			net.version.Store(&version)
			hall.do("look for a new version", chromedp.Evaluate[chromedp.Void](`{ navigator.serviceWorker.getRegistration().then((r) => r.update()); }`))
			hall.settled("the new version takes over", `navigator.serviceWorker.getRegistration().then((r) => caches.has("happycode-shells-`+version+`").then((has) => has && r.active?.state === "activated" && !r.installing && !r.waiting))`)
		}
		// The files of the version before may still be wanted by an open page.
		hall.settled("what is old is gone", `caches.keys().then((all) => all.sort().join(" ") === "happycode-files-aaaaaaaaaaaa happycode-files-bbbbbbbbbbbb happycode-shells-bbbbbbbbbbbb")`)
		if !strings.Contains(first, "happycode-files-") || strings.Contains(first, "aaaaaaaaaaaa") {
			t.Errorf("the caches at first: %s", first)
		}
	})

	t.Run("no network", func(t *testing.T) {
		hall.t = t
		// The film goes on, so that a card may stand over the page at any moment.
		hall.await("the end of the queue", `(() => {
			document.querySelector(".verdict .strong")?.click();
			document.querySelector("#batch .batch-bar button")?.click();
			return !!document.querySelector("#batch .choice") && sessionStorage.getItem("happycode-batch") === null;
		})()`)
		hall.press(`#modes [data-mode="single"]`)
		hall.open("/scan") // tells the new version who is at work
		hall.settled("all is kept", `(async () => !!(await caches.match("/scan")) && !!(await caches.match(document.querySelector("#scan").dataset.wasm)))()`)
		net.cut()
		hall.do("reload", chromedp.Navigate("about:blank"), chromedp.Navigate(net.base()+"/scan"))
		hall.see(`.notice`, "没有网络")
		hall.fits("/scan without a network")
		if text := hall.text("body"); strings.Contains(text, "白鹭丙") {
			t.Errorf("the page without a network names who is signed in:\n%s", text)
		}
		// The camera and the decoder work; the server is not there.
		hall.await("a scan that goes nowhere", `document.querySelector("#answer .failure")?.textContent.includes("网络不通")`)
		hall.do("the installed app", chromedp.Navigate(net.base()+"/start"))
		hall.await("the scanner, as the app begins", `location.pathname === "/scan" && !!document.querySelector("#scan")`)
		hall.do("another page", chromedp.Navigate(net.base()+"/residents"))
		hall.await("the page that says so", `document.querySelector("main h1")?.textContent.includes("没有网络")`)
		hall.fits("the page without a network")
		hall.do("back to the scanner", chromedp.Navigate(net.base()+"/scan"))
		hall.await("a scan that goes nowhere", `document.querySelector("#answer .failure")?.textContent.includes("网络不通")`)
		net.mend()
		// The page has no token of the session; it asks for one.
		hall.await("the network is back", `(() => { document.querySelector("#answer .failure + .actions button")?.click(); return !!document.querySelector("#answer .person h2"); })()`)
		hall.hushed()
	})

	t.Run("signing out leaves nothing", func(t *testing.T) {
		hall.t = t
		hall.open("/scan")
		hall.await("the scan", `!!document.querySelector("#answer .person h2")`)
		csrf := hall.attribute("#scan", "data-csrf")
		hall.press("details.me summary")
		hall.press(`form[action="/signout"] button`)
		hall.see(`main form[action="/signin"]`, "")
		kept := hall.kept()
		for _, secret := range []string{"金丝雀甲", "画眉鸟乙", "白鹭丙", "吴兴", "hall", csrf, first.ID, second.ID, first.CardNo, second.CardNo} {
			if strings.Contains(kept, secret) {
				t.Errorf("after signing out the browser still keeps %q", secret)
			}
		}
		if !strings.Contains(kept, "/scan") || !strings.Contains(kept, "/unreachable") {
			t.Errorf("the shells are gone: %.300s", kept)
		}
	})
}

// The zoom of Chromium's own test camera follows the slider of the page.
func TestCameraZoom(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	w.admin.must(t, http.MethodPost, "accounts", map[string]any{
		"username": "zoomer", "password": "a long password", "role": "caseworker", "division": county,
	}, nil)
	p := newBrowser(t, "").person(t, server.base)
	p.do("allow the zoom", func(ctx context.Context, window *chromedp.Target) (chromedp.Void, error) {
		info, err := cdp.Call(ctx, window, target.GetTargetInfo, target.GetTargetInfoParams{})
		if err != nil {
			return chromedp.Void{}, err
		}
		_, err = cdp.Call(ctx, window, permission.SetPermission, permission.SetPermissionParams{
			Permission: &permission.PermissionDescriptor{Name: "camera", PanTiltZoom: true}, Setting: "granted",
			BrowserContextID: info.TargetInfo.BrowserContextID,
		})
		return chromedp.Void{}, err
	})
	p.phone()
	p.signIn("zoomer", "a long password")
	p.open("/scan")
	p.see("#camera-state", "放进框里")
	p.see("#zoom", "")
	p.fits("/scan with a zoom")
	p.do("zoom in", chromedp.Evaluate[chromedp.Void](`{ const zoom = document.querySelector("#zoom"); zoom.value = "200"; zoom.dispatchEvent(new Event("input")); }`))
	p.await("the camera zooms", `document.querySelector("#video").srcObject.getVideoTracks()[0].getSettings().zoom === 200`)
	// A hidden page gives the camera back and takes it again.
	p.do("hide", chromedp.Evaluate[chromedp.Void](`{ Object.defineProperty(document, "hidden", { value: true, configurable: true }); document.dispatchEvent(new Event("visibilitychange")); }`))
	p.await("the camera is given back", `document.querySelector("#video").srcObject === null`)
	p.do("show", chromedp.Evaluate[chromedp.Void](`{ delete document.hidden; document.dispatchEvent(new Event("visibilitychange")); }`))
	p.await("the camera is taken again", `document.querySelector("#video").srcObject?.active === true`)
	// The sound is off until it is put on again.
	p.press("#sound")
	p.open("/scan")
	p.await("the sound stays off", `document.querySelector("#sound").getAttribute("aria-pressed") === "false"`)

	// The same without a network, over a whole town that was taken along; on a
	// phone that a colleague works with in between.
	w.admin.must(t, http.MethodPost, "accounts", map[string]any{
		"username": "colleague", "password": password, "role": "caseworker", "division": village,
	}, nil)
	w.settle(t, 2, nil)
	w.post(t, "米饭", "meal", 12, nil)
	w.post(t, "大米", "grocery", 900, nil)
	pick := func(selector, value string) {
		t.Helper()
		p.await("see "+value, "!!document.querySelector(`"+selector+` option[value="`+value+"\"]`)")
		p.do("choose "+value, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{ const s = document.querySelector(%q); s.value = %q; s.dispatchEvent(new Event("change")); }`, selector, value)))
	}
	want := func(title, units string) {
		t.Helper()
		p.do("want "+title, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{ const n = [...document.querySelectorAll(".off-spare")].find(r => r.textContent.includes(%q)).querySelector("input"); n.value = %q; n.dispatchEvent(new Event("input")); }`, title, units)))
	}
	refused := func(title, why string) {
		t.Helper()
		p.await(title+" is refused", fmt.Sprintf(`[...document.querySelectorAll(".off-spare")].find(r => r.textContent.includes(%q)).querySelector("input").validity[%q]`, title, why))
	}
	for i, who := range []string{"zoomer", "colleague", "zoomer"} {
		if i > 0 {
			p.signIn(who, password)
		}
		p.open("/offline")
		if who == "zoomer" {
			town := village[:9] + "000"
			pick("#off-town", town)
			pick("#off-village", town)
			p.fits("/offline, a town")
		}
		p.press("#off-take button")
		p.see("#off-choices h2", "2 位居民")
		p.see("#off-choices", "最多带 8 份")
		p.fits("/offline, choices of a town")
		want("米饭", "9")
		refused("米饭", "rangeOverflow")
		want("米饭", "1")
		want("大米", "200")
		refused("大米", "customError")
		p.see("#off-choices", "已选 201 份，合计最多 200 份")
		want("大米", "0")
		p.fill("#off-pin", unlockCode)
		p.fill("#off-pin-again", unlockCode)
		p.press("#off-choices button")
		p.see("#off-note", "已带走")
		p.press("#off-scan")
		p.see("#camera-dials #zoom", "")
		p.fits("/offline with a zoom")
		p.do("zoom in", chromedp.Evaluate[chromedp.Void](`{ const zoom = document.querySelector("#zoom"); zoom.value = "200"; zoom.dispatchEvent(new Event("input")); }`))
		p.await("the camera zooms", `document.querySelector("#video").srcObject.getVideoTracks()[0].getSettings().zoom === 200`)
		p.press("#off-main details.decline summary")
		p.press("#off-return")
		p.see("#off-note", "已交回")
		p.press("details.me summary")
		p.press(`form[action="/signout"] button`)
		p.see(`main [name="username"]`, "")
	}
	var devices struct{ Items []struct{ ID string } }
	w.admin.must(t, http.MethodGet, "devices", nil, &devices)
	if len(devices.Items) != 2 {
		t.Errorf("two colleagues on one phone made %d devices, want 2", len(devices.Items))
	}
}
