//go:build integration

package main

import (
	"errors"
	"image"
	"image/jpeg"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// set fills a field as a keyboard cannot: a date, a select, a radio button.
func (p *person) set(selector, value string) {
	p.t.Helper()
	p.do("choose "+selector, chromedp.Evaluate[chromedp.Void](`{ const f = document.querySelector('`+selector+`'); f.value = "`+value+`"; f.dispatchEvent(new Event("change", { bubbles: true })) }`))
}

// unfold opens a folded part of the page.
func (p *person) unfold(selector string) {
	p.t.Helper()
	p.press(selector + " > summary")
	p.await("unfold "+selector, `document.querySelector('`+selector+`').open`)
}

// expected forgets what the browser complains of: a refusal just asked for.
func (p *person) expected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = nil
}

// On small phones: a caseworker lets a daughter show the code, she shows it
// and collects what takes a PIN, the neighbour's handover takes a photo; then
// the card is gone, the resident revokes it, and the caseworker issues a new
// one, while the daughter's code goes on.
func TestBrowserCarers(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	const pin, carerPIN = "246813", "864209"
	var r townResident
	w.worker.must(t, http.MethodPost, "residents", map[string]any{
		"name": "沈阿福", "id_number": idNumber(1), "division": village, "pin": pin, "consent": []string{"matching"},
	}, &r)
	w.admin.must(t, http.MethodPost, "accounts", map[string]any{
		"username": "worker", "password": "a long password", "role": "caseworker", "division": county, "display_name": "陈立群",
	}, nil)
	for _, category := range []string{"clothing", "repair"} {
		w.post(t, "取暖器"+category, category, 5, map[string]any{"value_fen": 30_000})
		w.worker.must(t, http.MethodPost, "residents/"+r.ID+"/needs", map[string]any{
			"category": category, "qty_units": 1, "urgency": 2, "source": "report",
		}, nil)
	}
	browser := newBrowser(t, "")
	worker, daughter, self := browser.person(t, server.base), browser.person(t, server.base), browser.person(t, server.base)
	for _, p := range []*person{worker, daughter, self} {
		p.phone()
	}
	page := "/residents/" + r.ID
	var carers struct {
		Items []struct {
			CardNo string `json:"card_no"`
		}
	}

	t.Run("the caseworker adds a carer and prints the card", func(t *testing.T) {
		worker.t = t
		worker.signIn("worker", "a long password")
		worker.open(page)
		worker.unfold("#carer")
		worker.fill("#f-carer_name", "王芳")
		worker.set("#f-carer_relation", "child")
		worker.set("#f-carer_until", time.Now().Add(30*24*time.Hour).Format("2006-01-02"))
		worker.fill("#f-carer_pin", carerPIN)
		worker.fits("the form of a carer")
		worker.press("#carer form button")
		worker.see("#carers .carer h3", "王芳")
		worker.see(".done", "代持人已设立")
		worker.fits(page)
		worker.open(worker.attribute(`#carers a[href$="/card"]`, "href"))
		worker.see(".id-card-name", "王＊＊")
		worker.see(".id-card-for", "代 沈＊＊ 持")
		worker.await("the code is drawn", `document.querySelector(".id-card-qr").getBBox().width > 40`)
		worker.fits("the card of a carer")
		w.worker.must(t, http.MethodGet, page[1:]+"/carers", nil, &carers)
	})
	if t.Failed() {
		return
	}
	card := carers.Items[0].CardNo

	t.Run("the carer shows the code and nothing else", func(t *testing.T) {
		daughter.t = t
		daughter.open("/c")
		daughter.fill("#card", card)
		daughter.fill("#pin", carerPIN)
		daughter.press("#pin-form button")
		daughter.see("#live-no", card[:4]+" "+card[4:8])
		daughter.see("#carer-box", "代持人")
		if daughter.path() != "/me/code" {
			t.Errorf("a carer begins at %s", daughter.path())
		}
		daughter.fits("/me/code")
		status := step(daughter, "ask for the record", chromedp.Evaluate[int](`fetch("/me").then(a => a.status)`, chromedp.EvalAwaitPromise))
		if status != http.StatusForbidden {
			t.Errorf("a carer gets %d for the resident's page", status)
		}
		daughter.expected()
	})

	t.Run("what is worth much takes a PIN or a photo", func(t *testing.T) {
		worker.t = t
		worker.open("/scan")
		worker.fill("#f-code", card)
		worker.press("#typed button")
		worker.see("#answer .shown-by", "由子女王芳代为出示")
		worker.fits("/scan with a PIN")
		first, second := `#answer .aid.promise:nth-child(1)`, `#answer .aid.promise:nth-child(2)`
		worker.press(first + ` .actions > button.strong`)
		worker.await("be told what to do", `document.querySelector("#answer .failure")?.textContent.includes("请由领取人输入 PIN")`)
		worker.expected()
		worker.fill(first+` input[type="password"]`, carerPIN)
		worker.press(first + ` .actions > button.strong`)
		worker.see(first+` .result`, "已交付")
		photo := filepath.Join(t.TempDir(), "photo.jpg")
		file, err := os.Create(photo)
		if err != nil {
			t.Fatal(err)
		}
		if err := jpeg.Encode(file, image.NewGray(image.Rect(0, 0, 1600, 1200)), nil); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		worker.do("take a photo", chromedp.SetUploadFiles(chromedp.CSS(second+` input[type="file"]`), []string{photo}))
		worker.see(second, "已拍交付照片")
		worker.press(second + ` .actions > button.strong`)
		worker.see(second+` .result`, "已交付")
		proofs := map[string]bool{}
		for _, a := range w.list(t, r.ID) {
			proofs[a.Proof] = true
		}
		if !proofs["pin"] || !proofs["photo"] {
			t.Errorf("handed over by %v, want by a PIN and a photo", proofs)
		}
	})

	t.Run("the resident revokes the lost card", func(t *testing.T) {
		self.t = t
		self.open("/signin")
		self.fill(`main [name="username"]`, r.CardNo)
		self.fill(`main [name="password"]`, pin)
		self.press(`form[action="/signin"] button`)
		self.see("main .code-card", "沈阿福")
		self.fits("/me")
		self.press(`a[href="/me/lost"]`)
		self.see("h1", "挂失")
		self.press(`.choice:has(input[value="lost"])`)
		self.fits("/me/lost")
		self.press(`form[action="/me/revoke"] button`)
		self.see("main .notice", "不能再用")
		self.fits("/me, revoked")
		err := w.worker.call(t.Context(), http.MethodPost, "scans", map[string]string{"code": r.CardNo}, nil)
		if no := new(refused); !errors.As(err, &no) || no.status != http.StatusNotFound {
			t.Errorf("the lost card scans: %v", err)
		}
	})

	t.Run("the caseworker issues a new one", func(t *testing.T) {
		worker.t = t
		worker.open(page)
		worker.see("main .notice-suspended", "丢失")
		worker.press(`.notice a[href$="/lost"]`)
		worker.press(`.choice:has(input[value="lost"])`)
		worker.fits(page + "/lost")
		worker.press(`form[action$="/reissue"] button.strong`)
		worker.see(".done", "新幸福码已生成")
		if !strings.HasSuffix(worker.path(), "/card") {
			t.Errorf("after the new code: %s, want the card to print", worker.path())
		}
		var fresh townResident
		w.worker.must(t, http.MethodGet, page[1:], nil, &fresh)
		for _, code := range []string{fresh.CardNo, card} {
			w.worker.must(t, http.MethodPost, "scans", map[string]string{"code": code}, nil)
		}
		daughter.t = t
		daughter.press("#carer-out")
		daughter.see(`form[action="/signin"]`, "")
	})
}
