//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/xingfuma/happycode/app/care"
)

// What the caseworkers of these tests choose and know.
const (
	unlockCode  = "135790"
	residentPIN = "246810"
	password    = "a long password"
)

// A caseworker takes a village along, works without a network, loses the
// browser in the middle, and comes back: the real program behind a cable that
// is cut, Chromium with a folder of its own that is killed.
func TestOfflineBrowser(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	for _, name := range []string{"first", "second", "third", "fourth"} {
		w.admin.must(t, http.MethodPost, "accounts", map[string]string{
			"username": name, "password": password, "role": "caseworker", "division": village, "display_name": "社工" + name, "lang": "zh",
		}, nil)
	}
	w.settle(t, 6, map[string]int64{"grocery": 1})
	slices.SortFunc(w.residents, func(a, b townResident) int { return strings.Compare(a.ID, b.ID) })
	rice := w.post(t, "大米", "grocery", 100, map[string]any{"value_fen": 3000})
	quilt := w.post(t, "羽绒被", "clothing", 10, map[string]any{"value_fen": 39900})
	lunch := w.post(t, "午餐", "meal", 2, map[string]any{"value_fen": 1200})
	w.need(t, 0, "clothing")
	w.admin.must(t, http.MethodPost, "residents/"+w.residents[0].ID+"/pin", map[string]string{"pin": residentPIN}, nil)

	t.Run("five handovers, a killed browser, and back", func(t *testing.T) {
		net := newCable(t, server.base)
		card := w.card(t, 1)
		phone := newHandset(t, net.base(), card)
		phone.signIn("first", password)
		phone.take("午餐", 2)
		// Nobody online can have the last meals any more; who needs one now
		// finds them on the phone.
		w.need(t, 2, "meal")
		phone.open("/offline")
		phone.unlock()
		phone.sees(w.residents[2].CardNo, "午餐")
		phone.awaitShell()
		net.cut()

		phone.reload()
		phone.unlock()
		// With a PIN, above 200 yuan.
		phone.find(w.residents[0].CardNo)
		phone.give("羽绒被")
		phone.fill("#off-resident-pin", "999999")
		phone.press(".off-pin button")
		phone.see(".off-pin .failure", "还可以试 4 次")
		phone.fits("/offline, a person")
		phone.fill("#off-resident-pin", residentPIN)
		phone.press(".off-pin button")
		phone.given("羽绒被")
		phone.give("大米")
		phone.given("大米")
		phone.back()
		// With the camera.
		phone.press("#off-scan")
		phone.see("#off-person", "已扫码核验")
		phone.give("大米")
		phone.given("大米")
		phone.back()
		// A spare, by card number; and a double tap on it.
		phone.find(w.residents[2].CardNo)
		phone.tapTwice("午餐")
		phone.given("午餐")
		phone.back()
		// By name where it is not worth much.
		phone.fill("#off-find", "测试")
		phone.press("#off-search button")
		phone.press("#off-hits li:nth-child(4) button")
		phone.give("大米")
		phone.given("大米")
		if got := phone.rows(); got != 5 {
			t.Fatalf("the phone keeps %d handovers, want 5", got)
		}
		phone.back()
		phone.fits("/offline, the list")
		phone.kill()

		phone.start()
		phone.open("/offline")
		phone.see("#off-unlock", "")
		phone.unlock()
		phone.see("#off-queue", "已交付 5 笔")
		phone.see("#off-net", "没有网络")
		if got := phone.rows(); got != 5 {
			t.Fatalf("after the browser was killed the phone keeps %d handovers, want 5", got)
		}
		// The browser may have lost its session when it died; what was handed
		// over goes out as soon as there are network and session.
		net.mend()
		if phone.open("/signin"); phone.path() == "/signin" {
			phone.signIn("first", password)
		}
		phone.open("/offline")
		phone.await("all is synced", `document.querySelectorAll("#off-queue .tag.good").length === 5`)

		w.received(t, 0, "羽绒被", "大米")
		w.received(t, 1, "大米")
		w.received(t, 2, "午餐")
		before := w.figures(t, rice, quilt, lunch)
		if !strings.HasPrefix(before, "3 handed over, 1 handed over, 1 handed over") {
			t.Errorf("the stock says: %s", before)
		}
		phone.resync()
		phone.see("#off-queue", "羽绒被") // which stands on no list any more
		if after := w.figures(t, rice, quilt, lunch); after != before {
			t.Errorf("a second sync changed the stock:\n%s\n%s", before, after)
		}
		commandOK(t, s, "verify")

		phone.giveBack()
		if left := phone.kept(); left != "clock device seq" {
			t.Errorf("after the return the phone keeps %q", left)
		}
	})
	if t.Failed() {
		return
	}

	t.Run("two phones and one copied card", func(t *testing.T) {
		dinner := w.post(t, "晚餐", "meal", 2, map[string]any{"value_fen": 1200})
		net := newCable(t, server.base)
		card := w.card(t, 4)
		first, second := newHandset(t, net.base(), card), newHandset(t, net.base(), card)
		for i, phone := range []*handset{first, second} {
			phone.t = t
			phone.signIn([]string{"second", "third"}[i], password)
			phone.take("晚餐", 1)
		}
		w.need(t, 4, "meal")
		for _, phone := range []*handset{first, second} {
			phone.open("/offline")
			phone.unlock()
			phone.sees(w.residents[4].CardNo, "晚餐")
			phone.awaitShell()
		}
		net.cut()
		for _, phone := range []*handset{first, second} {
			phone.reload()
			phone.unlock()
			phone.press("#off-scan")
			phone.see("#off-person", "已扫码核验")
			phone.give("晚餐")
			phone.given("晚餐")
			phone.back()
		}
		net.mend()
		first.press("#off-sync")
		first.see("#off-queue .tag.good", "已同步")
		second.press("#off-sync")
		second.see("#off-queue .tag.hot", "待核实")
		second.see("#off-queue .why", "")

		var conflicts struct{ Items []care.ConflictView }
		w.worker.must(t, http.MethodGet, "conflicts", nil, &conflicts)
		if len(conflicts.Items) != 1 || conflicts.Items[0].Resident != w.residents[4].ID {
			t.Fatalf("conflicts: %+v", conflicts.Items)
		}
		second.open("/conflicts")
		second.see("main", "晚餐")
		stock := w.stock(t, dinner)
		if sum := stock.FreeUnits + stock.HeldUnits + stock.PromisedUnits + stock.HandedOverUnits; stock.HandedOverUnits > stock.QtyUnits || sum > stock.QtyUnits {
			t.Errorf("more dinners were given than there were: %+v", stock)
		}
		commandOK(t, s, "verify")
		for _, phone := range []*handset{first, second} {
			phone.open("/offline")
			phone.unlock()
			phone.giveBack()
		}
	})
	if t.Failed() {
		return
	}

	t.Run("a list ends with its time", func(t *testing.T) {
		net := newCable(t, server.base)
		phone := newHandset(t, net.base(), w.card(t, 5))
		phone.signIn("fourth", password)
		phone.take("", 0)
		if kept := phone.kept(); kept != "clock device lease list lock seq" {
			t.Fatalf("a phone with a list keeps %q", kept)
		}
		phone.awaitShell()
		net.cut()
		// Two windows at once make one record.
		tab := phone.tab()
		tab.reload()
		tab.unlock()
		windows := []*handset{phone, tab}
		for _, window := range windows {
			window.find(w.residents[5].CardNo)
		}
		for _, window := range windows {
			window.give("大米")
		}
		for _, window := range windows {
			window.await("it is given once", `(a => a.classList.contains("is-done") || a.textContent.includes("已经发放过"))(`+thing("大米")+`)`)
		}
		if got := phone.rows(); got != 1 {
			t.Fatalf("two windows keep %d handovers, want 1", got)
		}
		tab.end()
		phone.back()
		// The phone's clock is set back a day: the list does not last longer.
		phone.shift(-24 * time.Hour)
		phone.reload()
		if got := phone.text(".off-status .off-until"); !strings.Contains(got, "还有 11 小时") && !strings.Contains(got, "还有 12 小时") {
			t.Errorf("with the clock set back the list says %q", got)
		}
		phone.shift(13 * time.Hour)
		phone.reload()
		phone.see("#off-note", "名单已到期")
		phone.shift(0)
		phone.reload()
		phone.see("#off-main", "没有带走的名单")
		if kept := phone.kept(); kept != "clock device seq" {
			t.Errorf("after its time the phone keeps %q", kept)
		}
		if got := phone.rows(); got != 1 {
			t.Errorf("of what was handed over and not synced the phone keeps %d, want 1", got)
		}
		net.mend()
		phone.reload()
		phone.see("#off-note", "已全部同步")
		w.received(t, 5, "大米")
	})
	if t.Failed() {
		return
	}

	t.Run("a lost phone and a disabled account", func(t *testing.T) {
		net := newCable(t, server.base)
		phone := newHandset(t, net.base(), w.card(t, 5))
		phone.signIn("fourth", password)
		phone.take("", 0)
		// Signing out destroys the list; it can be fetched again.
		phone.press("details.me summary")
		phone.press(`form[action="/signout"] button`)
		phone.see(`main [name="username"]`, "")
		if kept := phone.kept(); kept != "clock device seq" {
			t.Errorf("after signing out the phone keeps %q", kept)
		}
		phone.signIn("fourth", password)
		phone.open("/offline")
		phone.see("#off-again", "")
		phone.fill("#off-pin", unlockCode)
		phone.fill("#off-pin-again", unlockCode)
		phone.press("#off-again button")
		phone.see("#off-note", "已带走")

		var devices struct {
			Items []struct{ ID, Name, State string }
		}
		w.admin.must(t, http.MethodGet, "devices", nil, &devices)
		live := func() string {
			for _, d := range devices.Items { // the newest first
				if d.State == "active" && strings.Contains(d.Name, "fourth") {
					return d.ID
				}
			}
			return ""
		}
		w.admin.must(t, http.MethodPost, "devices/"+live()+"/lost", nil, nil)
		// It is signed out too. Its owner, who found it, signs in and begins anew.
		phone.open("/offline")
		phone.see(`main [name="username"]`, "")
		phone.destroyed()
		phone.signIn("fourth", password)
		phone.open("/offline")
		phone.see("#off-take", "")
		phone.see("#off-note", "已挂失")
		if kept := phone.kept(); kept != "clock" {
			t.Errorf("a phone that was reported lost keeps %q", kept)
		}

		phone.take("", 0)
		var accounts []struct{ ID, Username string }
		pages(t, w.admin, "accounts", &accounts)
		for _, a := range accounts {
			if a.Username == "fourth" {
				w.admin.must(t, http.MethodPatch, "accounts/"+a.ID, map[string]bool{"disabled": true}, nil)
			}
		}
		phone.open("/signin")
		phone.destroyed()
	})
}

// need records one more need of the n-th resident.
func (w *town) need(t *testing.T, n int, category string) {
	t.Helper()
	w.worker.must(t, http.MethodPost, "residents/"+w.residents[n].ID+"/needs", map[string]any{
		"category": category, "qty_units": 1, "urgency": 3, "source": "report",
	}, nil)
}

// card films the n-th resident's card.
func (w *town) card(t *testing.T, n int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.worker.base+"/api/v1/residents/"+w.residents[n].ID+"/code.png", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.worker.token)
	answer, err := w.worker.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	picture := filepath.Join(t.TempDir(), "card.png")
	out, err := os.Create(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	video := filepath.Join(t.TempDir(), "card.y4m")
	film(t, picture, video)
	return video
}

// received wants the n-th resident's list to hold these and nothing else.
func (w *town) received(t *testing.T, n int, titles ...string) {
	t.Helper()
	var got []string
	for _, a := range w.list(t, w.residents[n].ID) {
		if a.HandedOverMs > 0 {
			got = append(got, a.TitleZH)
		}
	}
	slices.Sort(got)
	slices.Sort(titles)
	if !slices.Equal(got, titles) {
		t.Errorf("resident %d received %v, want %v", n, got, titles)
	}
}

// figures says what became of offers.
func (w *town) figures(t *testing.T, offers ...string) string {
	t.Helper()
	var out []string
	for _, o := range offers {
		s := w.stock(t, o)
		out = append(out, fmt.Sprintf("%d handed over", s.HandedOverUnits))
	}
	return strings.Join(out, ", ")
}

// handset is a Chromium of its own with a folder of its own, which outlives it.
type handset struct {
	*person
	dir, video string
	clock      page.ScriptIdentifier // of the script that sets it
	end        context.CancelFunc    // closes the window
}

func newHandset(t *testing.T, base, video string) *handset {
	t.Helper()
	h := &handset{person: &person{t: t, base: base}, dir: t.TempDir(), video: video}
	h.start()
	return h
}

// start opens the browser on its folder.
func (h *handset) start() {
	h.t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		h.t.Fatal("chromium is missing: `make test` installs it (apt-get install chromium)")
	}
	allocator, endAllocator := chromedp.NewExecAllocator(h.t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(h.dir), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("accept-lang", "zh-CN"),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("use-file-for-fake-video-capture", h.video),
		chromedp.WSURLReadTimeout(stepTime),
	)...)
	ctx, end := chromedp.NewContext(allocator, chromedp.WithListener(h.hearOffline))
	h.t.Cleanup(func() {
		end()
		endAllocator()
	})
	h.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		h.t.Fatalf("start chromium: %v", err)
	}
	h.phone()
}

// tab is one more window of the same browser.
func (h *handset) tab() *handset {
	h.t.Helper()
	other := &handset{person: &person{t: h.t, base: h.base}, dir: h.dir, video: h.video}
	other.ctx, other.end = chromedp.NewContext(h.ctx, chromedp.WithListener(other.hearOffline))
	if err := chromedp.Do(other.ctx); err != nil {
		h.t.Fatalf("open a window: %v", err)
	}
	other.phone()
	return other
}

// hearOffline passes over what fails because the cable is cut or the phone
// was reported lost.
func (h *handset) hearOffline(event any) {
	if e, ok := event.(*log.EventEntryAdded); ok && (strings.Contains(e.Entry.Text, "net::ERR_") || strings.HasSuffix(e.Entry.URL, "/sync")) {
		return
	}
	h.hear(event)
}

// kill ends the browser as kill -9 does.
func (h *handset) kill() {
	h.t.Helper()
	process := chromedp.FromContext(h.ctx).Browser.Process()
	if err := process.Kill(); err != nil {
		h.t.Fatal(err)
	}
	<-chromedp.FromContext(h.ctx).Browser.LostConnection
}

// open goes to a page whatever the network says of it.
func (h *handset) open(path string) {
	h.t.Helper()
	h.do("open "+path, chromedp.Navigate(h.base+path), chromedp.WaitReady(chromedp.CSS("main")))
}

func (h *handset) reload() {
	h.t.Helper()
	h.do("reload", chromedp.Navigate("about:blank"))
	h.open("/offline")
	h.await("the page has begun", `document.querySelector("#off-main")?.childElementCount > 0 && !document.querySelector("#off-main .working")`)
}

// take takes the village along, with spares of one offer.
func (h *handset) take(spare string, units int) {
	h.t.Helper()
	h.open("/offline")
	h.press("#off-take button")
	h.see("#off-choices", "位居民")
	h.fits("/offline, choices")
	if units > 0 {
		h.do("choose spares", chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
			const row = [...document.querySelectorAll(".off-spare")].find(r => r.textContent.includes(%q));
			row.querySelector("input").value = "%d";
		}`, spare, units)))
	}
	h.fill("#off-pin", unlockCode)
	h.fill("#off-pin-again", unlockCode)
	h.press("#off-choices button")
	h.see("#off-note", "已带走")
}

// destroyed waits until the list is gone because the server cut the phone off.
func (h *handset) destroyed() {
	h.t.Helper()
	eventually(h.t, stepTime, "the list is destroyed", func() error {
		if kept := h.kept(); kept != "clock device note seq" {
			return fmt.Errorf("the phone keeps %q", kept)
		}
		return nil
	})
}

func (h *handset) unlock() {
	h.t.Helper()
	h.see("#off-unlock", "")
	h.fill("#off-unlock input", unlockCode)
	h.press("#off-unlock button")
	h.see("#off-search", "")
}

// find types a card number.
func (h *handset) find(card string) {
	h.t.Helper()
	h.fill("#off-find", card)
	h.press("#off-search button")
	h.see("#off-person", "按卡号")
}

// sees waits until the list has something for somebody.
func (h *handset) sees(card, title string) {
	h.t.Helper()
	eventually(h.t, stepTime, "the list has "+title, func() error {
		h.find(card)
		there := step(h.person, "look for "+title, chromedp.Evaluate[bool](`!!(`+thing(title)+`)`))
		h.back()
		if !there {
			return os.ErrNotExist
		}
		return nil
	})
}

// thing is a script that finds what has this title on the open sheet.
func thing(title string) string {
	quoted, _ := json.Marshal(title) // a string: it does not fail
	return `[...document.querySelectorAll("#off-things .aid")].find(a => a.querySelector("h3").textContent === ` + string(quoted) + `)`
}

func (h *handset) give(title string) {
	h.t.Helper()
	h.await("see "+title, `!!(`+thing(title)+`)`)
	h.do("give "+title, chromedp.Evaluate[chromedp.Void](thing(title)+`.querySelector(".actions button").click()`))
}

func (h *handset) tapTwice(title string) {
	h.t.Helper()
	h.await("see "+title, `!!(`+thing(title)+`)`)
	h.do("give "+title+" twice", chromedp.Evaluate[chromedp.Void](`{ const b = `+thing(title)+`.querySelector(".actions button"); b.click(); b.click(); }`))
}

// given waits for the green tick.
func (h *handset) given(title string) {
	h.t.Helper()
	h.await(title+" is given", thing(title)+`?.classList.contains("is-done")`)
}

func (h *handset) back() {
	h.t.Helper()
	h.press("#off-person > .actions .plain")
	h.see("#off-search", "")
}

func (h *handset) giveBack() {
	h.t.Helper()
	h.press("#off-main details.decline summary")
	h.press("#off-return")
	h.see("#off-note", "已交回")
}

// resync has the phone send all once more, as one whose answer was lost.
func (h *handset) resync() {
	h.t.Helper()
	h.script("make all unsent again", `(async () => {
		const rows = await `+ask("queue", "getAll()")+`;
		for (const row of rows) await `+ask("queue", `put({ ...row, state: "waiting" })`)+`;
		return true;
	})()`)
	h.reload()
	h.unlock()
	h.await("all is synced", `document.querySelectorAll("#off-queue .tag.good").length === 5`)
}

// shift sets the clock that the pages see.
func (h *handset) shift(ahead time.Duration) {
	h.t.Helper()
	h.clock = step(h.person, "set the clock", func(ctx context.Context, t *chromedp.Target) (page.ScriptIdentifier, error) {
		if h.clock != "" {
			if _, err := cdp.Call(ctx, t, page.RemoveScriptToEvaluateOnNewDocument, page.RemoveScriptToEvaluateOnNewDocumentParams{Identifier: h.clock}); err != nil {
				return "", err
			}
		}
		added, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: fmt.Sprintf(`{ const now = Date.now.bind(Date); Date.now = () => now() + %d; }`, ahead.Milliseconds()),
		})
		return added.Identifier, err
	})
}

// ask is a script that asks one store of the phone's database.
func ask(store, what string) string {
	return `new Promise((done, fail) => {
		const open = indexedDB.open("happycode-offline");
		open.onerror = () => fail(open.error);
		open.onsuccess = () => {
			const asked = open.result.transaction("` + store + `", "readwrite").objectStore("` + store + `").` + what + `;
			asked.onsuccess = () => { open.result.close(); done(asked.result); };
			asked.onerror = () => fail(asked.error);
		};
	})`
}

var singles = ask("singles", "getAllKeys()")

// kept says under which names the phone keeps something, but handovers.
func (h *handset) kept() string {
	h.t.Helper()
	var names []string
	if err := json.Unmarshal([]byte(h.script("read what is kept", `(async () => JSON.stringify((await `+singles+`).sort()))()`)), &names); err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// rows counts the handovers that the phone keeps.
func (h *handset) rows() int {
	h.t.Helper()
	var n int
	if err := json.Unmarshal([]byte(h.script("count handovers", `(async () => String(await `+ask("queue", "count()")+`))()`)), &n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

func (h *handset) script(what, script string) string {
	h.t.Helper()
	return step(h.person, what, chromedp.Evaluate[string](`(async () => String(await `+script+`))()`, chromedp.EvalAwaitPromise))
}

// awaitShell waits until the browser can start the page without a network.
func (h *handset) awaitShell() {
	h.t.Helper()
	eventually(h.t, stepTime, "the page is kept", func() error {
		if h.script("look for the page", `caches.match("/offline").then(r => !!r)`) != "true" {
			return os.ErrNotExist
		}
		return nil
	})
}
