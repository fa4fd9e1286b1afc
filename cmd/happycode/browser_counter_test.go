//go:build integration

package main

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// A charity's counter scans a card with the camera and gives two of three coats, the
// third at the next visit; without a camera it redeems a voucher, once.
func TestBrowserCounter(t *testing.T) {
	s := embedded(t)
	server := start(t, s, "--demo")
	secrets := demoSignIns(t, server, s)
	video := filepath.Join(t.TempDir(), "code.y4m")
	film(t, filepath.Join(s["DATA"], "demo-card.png"), video)
	admin := newCaller(server.base, token(t, s, "--role", "admin"))
	var found struct {
		ID     string `json:"id"`
		CardNo string `json:"card_no"`
	}
	admin.must(t, http.MethodPost, "residents/find", map[string]any{"id_number": "330502194103178018"}, &found)
	var offers []struct {
		Organisation string `json:"organisation"`
		TitleZH      string `json:"title_zh"`
	}
	pages(t, admin, "offers", &offers)
	charity := ""
	for _, o := range offers {
		if o.TitleZH == "冬衣" {
			charity = o.Organisation
		}
	}
	// owes has so many units of a new offer of the charity's promised to the resident.
	owes := func(category, title, how string, units int) (allocation string) {
		t.Helper()
		now := time.Now()
		admin.must(t, http.MethodPost, "offers", map[string]any{
			"organisation": charity, "title_zh": title, "category": category, "pace": "now", "divisions": []string{"330502000000"},
			"handover": map[string]any{"how": how, "place": "慈善会门店"},
			"lots":     []map[string]any{{"qty_units": 10, "from_ms": now.Add(-time.Hour).UnixMilli(), "until_ms": now.Add(3 * time.Hour).UnixMilli()}},
		}, nil)
		admin.must(t, http.MethodPost, "residents/"+found.ID+"/needs", map[string]any{"category": category, "qty_units": units, "urgency": 4}, nil)
		var got struct {
			Offered []struct {
				ID       string `json:"id"`
				Category string `json:"category"`
			} `json:"offered"`
		}
		admin.must(t, http.MethodPost, "scans", map[string]any{"code": found.CardNo}, &got)
		for _, a := range got.Offered {
			if a.Category == category {
				return a.ID
			}
		}
		t.Fatalf("nothing of %s was promised: %+v", category, got)
		return ""
	}
	owes("clothing", "羽绒服", "pickup", 3)
	counter := newBrowser(t, video).person(t, server.base)
	counter.phone()
	counter.signIn("charity", secrets.Passwords["charity"])
	scan := func(amount string) {
		t.Helper()
		counter.open("/counter")
		counter.startCamera()
		counter.see(".counter-owed .amount", amount)
		counter.fits("/counter, something owed")
	}
	scan("3 件")
	counter.set("#units-0", "2")
	counter.press(".counter-owed form button.strong")
	counter.see("main .done", "已交付")
	counter.see(".counter-owed .amount", "1 件")
	scan("1 件")
	counter.press(".counter-owed form button.strong")
	counter.see(".counter-owed .none", "没有其他应交付的了")

	voucher := owes("job", "技能培训券", "voucher", 2)
	admin.must(t, http.MethodPost, "allocations/"+voucher+"/accept", nil, nil)
	var codes struct {
		Items []struct {
			Code string `json:"code"`
		} `json:"items"`
	}
	admin.must(t, http.MethodGet, "allocations/"+voucher+"/vouchers", nil, &codes)
	counter.before(`if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"))`)
	look := func() {
		t.Helper()
		counter.open("/counter")
		counter.see("#told", "")
		counter.fill("#f-code", codes.Items[0].Code)
		counter.press("#typed button")
		counter.see(".counter-owed h2", "技能培训券")
	}
	look()
	counter.press(".counter-owed form button.strong")
	counter.see(".counter-owed .done", "已核销")
	look()
	counter.see(".counter-owed .failure", "用过")
	for _, path := range []string{"/counter", "/counter/today", "/counter/round"} {
		counter.open(path)
		counter.fits(path)
	}
	counter.open("/counter/today")
	counter.see("main", "技能培训券")
}
