//go:build integration

package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/xingfuma/happycode/app/care"
)

// A charity on a small phone makes a fund, enters a donation and posts an offer
// that draws on it; a caseworker hands over; the fund's page shows the fen, the
// donor hears what became of the money, and the statements are there as files.
func TestBrowserFunds(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	w.admin.must(t, http.MethodPost, "accounts", map[string]any{
		"username": "keeper", "password": "a long password", "role": "provider", "organisation": w.organisation, "display_name": "王芳",
	}, nil)
	var r townResident
	w.worker.must(t, http.MethodPost, "residents", map[string]any{
		"name": "沈阿福", "id_number": idNumber(1), "division": village, "pin": "246813", "consent": []string{"matching"},
	}, &r)
	w.worker.must(t, http.MethodPost, "residents/"+r.ID+"/needs", map[string]any{"category": "clothing", "qty_units": 2, "urgency": 3}, nil)

	keeper := newBrowser(t, "").person(t, server.base)
	keeper.phone()
	keeper.signIn("keeper", "a long password")
	keeper.open("/funds")
	keeper.see("main", "还没有基金")
	keeper.fits("/funds")
	keeper.press(`main a[href="/funds/new"]`)
	keeper.see("#f-name", "")
	keeper.press(`input[name="kind"][value="named"]`)
	keeper.fill("#f-name", "苕溪暖冬基金")
	keeper.fits("/funds/new")
	keeper.press(`input[name="categories"][value="clothing"]`)
	keeper.press(`form[action="/funds/new"] button.strong`)
	keeper.see(".done", "基金已设立")
	fund := strings.TrimPrefix(keeper.path(), "/funds/")
	keeper.fits("/funds/:id")

	keeper.open("/funds/" + fund + "/donate")
	keeper.fill("#f-yuan", "1000.50")
	keeper.fill("#f-donor", "苕溪纺织")
	keeper.fits("/funds/:id/donate")
	keeper.press(`form[action="/funds/` + fund + `/donate"] button.strong`)
	keeper.see(".done", "捐赠已登记")
	keeper.see("main", "¥1,000.50")

	keeper.open("/offers/new?form=goods")
	keeper.fill("#f-title_zh", "冬衣")
	keeper.choose("#f-category", "clothing")
	keeper.choose("#f-fund", fund)
	keeper.fill("#f-value_yuan", "150")
	now := time.Now().In(time.FixedZone("CST", 8*60*60))
	keeper.set("#f-cap_units", "2")
	keeper.set("#f-s0_from", "")
	keeper.set("#f-s0_to", "")
	keeper.do("unfold lots by hand", chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-lots]").closest("details").open = true`))
	keeper.fill("#lot-qty-0", "6")
	keeper.set("#lot-from-0", now.Add(-time.Hour).Format("2006-01-02T15:04"))
	keeper.set("#lot-until-0", now.Add(72*time.Hour).Format("2006-01-02T15:04"))
	keeper.do("serve the county alone", chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('[name="divisions"]').forEach((box) => { box.checked = box.value === "`+county+`" })`))
	keeper.set("#f-pace", "now")
	keeper.choose("#f-how", "delivery")
	keeper.fits("/offers/new?form=goods with a fund")
	keeper.press(`button[value="preview"]`)
	keeper.see(".facts", "苕溪暖冬基金")
	keeper.press(`button[value="post"]`)
	keeper.see(".done", "资源已发布")
	keeper.see(`main a[href="/funds/`+fund+`"]`, "苕溪暖冬基金")

	// The caseworker scans and hands over: 2 × 150.
	var scan care.ScanResult
	w.worker.must(t, http.MethodPost, "scans", map[string]any{"code": r.CardNo}, &scan)
	if len(scan.Offered) != 1 {
		t.Fatalf("the scan promised %+v", scan.Offered)
	}
	w.worker.must(t, http.MethodPost, "allocations/"+scan.Offered[0].ID+"/handover", map[string]any{"scan": scan.Scan, "pin": "246813"}, nil)
	var figures struct {
		Spent     int64 `json:"spent_fen"`
		Reserved  int64 `json:"reserved_fen"`
		Available int64 `json:"available_fen"`
	}
	eventually(t, 2*time.Minute, "the handover is paid", func() error {
		w.giver.must(t, http.MethodGet, "funds/"+fund, nil, &figures)
		if figures.Spent == 0 {
			return errors.New("nothing is spent")
		}
		return nil
	})
	if figures.Spent != 30_000 || figures.Reserved != 60_000 || figures.Available != 10_050 {
		t.Errorf("the fund is %+v", figures)
	}
	keeper.open("/funds/" + fund)
	keeper.see("main", "交付支出")
	keeper.see("main", "¥300.00")
	keeper.see("main", "冬衣")
	keeper.fits("/funds/:id with movements")
	for _, file := range []struct{ kind, begins string }{{"xlsx", "PK"}, {"pdf", "%PDF"}} {
		keeper.do("download the statement", chromedp.Evaluate[chromedp.Void](`window.begins = ""; fetch(document.querySelector('main a[href*="statement.`+file.kind+`"]').href).then(r => r.arrayBuffer()).then(b => { window.begins = String.fromCharCode(...new Uint8Array(b.slice(0, 4))) })`))
		keeper.await("the statement as "+file.kind, `window.begins.startsWith("`+file.begins+`")`)
	}
	keeper.open("/funds/" + fund + "/donations")
	keeper.fits("/funds/:id/donations")
	keeper.press(`main a.row`)
	keeper.see("main", "苕溪纺织")
	keeper.see("main", "不足五人")
	keeper.fits("/funds/:id/donations/:donation")
	if out := commandOK(t, s, "verify"); !strings.Contains(out, "the funds' books are right") {
		t.Errorf("verify says\n%s", out)
	}
}
