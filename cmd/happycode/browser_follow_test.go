//go:build integration

package main

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

// The pages of a resident and of a caseworker follow what happens without a
// reload, and what somebody is typing stays.
func TestBrowserFollows(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	const pin = "246813"
	var r townResident
	w.worker.must(t, http.MethodPost, "residents", map[string]any{
		"name": "沈阿福", "id_number": idNumber(1), "division": village, "pin": pin, "consent": []string{"matching"},
	}, &r)
	w.admin.must(t, http.MethodPost, "accounts", map[string]any{
		"username": "worker", "password": "a long password", "role": "caseworker", "division": county, "display_name": "陈立群",
	}, nil)
	var need struct{ ID string }
	w.worker.must(t, http.MethodPost, "residents/"+r.ID+"/needs", map[string]any{"category": "repair", "qty_units": 2, "urgency": 2}, &need)
	w.worker.must(t, http.MethodPost, "scans", map[string]any{"code": r.CardNo}, nil)

	browser := newBrowser(t, "")
	worker, self := browser.person(t, server.base), browser.person(t, server.base)
	worker.phone()
	self.phone()
	self.open("/c")
	self.fill("#card", r.CardNo)
	self.fill("#pin", pin)
	self.press("#pin-form button")
	self.see("#need-"+need.ID, "等待资源")
	self.do("note that nothing is loaded anew", chromedp.Evaluate[chromedp.Void](`window.same = true`))
	self.unfold("#need")
	self.fill("#f-note", "上午来最好")
	worker.signIn("worker", "a long password")
	worker.open("/waiting")
	worker.see("#need-"+need.ID, "第 1 位")
	worker.fits("/waiting")

	// One of two comes: it is promised, and one is left.
	w.post(t, "修水管", "repair", 1, map[string]any{"handover": map[string]string{"how": "onsite", "place": "家中"}})
	self.see(".promise", "修水管")
	self.see("#live-told", "有新的帮扶")
	self.see("#need-"+need.ID, "还缺 1")
	self.await("what was typed is there, on the same page", `window.same && document.querySelector("#f-note").value === "上午来最好" && document.querySelector("#need").open`)
	self.fits("/me")

	// Somebody reads why they might decline: that stays open while it is handed over elsewhere.
	self.unfold(".promise details.decline")
	w.post(t, "修电灯", "repair", 1, map[string]any{"handover": map[string]string{"how": "onsite", "place": "家中"}})
	self.await("both promises are there, and what was opened is open",
		`window.same && document.querySelectorAll(".promise").length === 2 && document.querySelector(".promise details.decline[open]") !== null`)
	worker.see("#waiting-none", "没有人在等待")

	worker.open("/needs/" + need.ID)
	worker.see("main", "修水管")
	worker.fits("/needs/…")
	self.quiet("/me")
	worker.quiet("/needs/…")
}
