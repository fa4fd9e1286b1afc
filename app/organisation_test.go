package app

import (
	"math"
	"net/url"
	"testing"

	"github.com/xingfuma/happycode/app/accounts"
)

// A place is added with the coordinates of a map in China, found by the page,
// changed, and removed; nobody else can.
func TestPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("boss", accounts.Provider, "", w.orgID)
	page := "/organisations/" + w.orgID
	in := url.Values{
		"name_zh": {"敬老食堂"}, "division": {village}, "address": {"月河路 8 号"}, "coordinates": {"121.531541859215，31.17530398364597"}, "datum": {"gcj02"},
		"day_1": {"8：30－11：30，13:00-17:00"}, "except_date": {"2099-10-01", ""}, "except_spans": {"", ""}, "except_note": {"国庆节", ""},
	}
	wrong := url.Values{}
	for k, v := range in {
		wrong[k] = v
	}
	wrong.Set("day_1", "早上")
	wrong["except_date"] = []string{"2099-10-01", "2099-10-01"}
	wrong["except_spans"] = []string{"", "9:00-10:00"}
	wantPage(t, w.submit("page boss", page+"/places/new", wrong), 400, "敬老食堂", "请写成 08:30-11:30，13:00-17:00；不营业请留空。")
	wrong.Set("day_1", "")
	wantPage(t, w.submit("page boss", page+"/places/new", wrong), 400, "每个日期一项")
	if got := w.submit("page boss", page+"/places/new", in); got.status != 303 {
		t.Fatalf("add a place: %d %s", got.status, got.body)
	}
	var org organisationView
	w.do("provider", "GET", "/api/v1"+page, nil).into(t, &org)
	p := org.Places[0]
	if math.Abs(*p.Latitude-31.1774276) > 1e-5 || math.Abs(*p.Longitude-121.5272106) > 1e-5 || len(p.Hours.Week) != 1 || len(p.Hours.Except) != 1 {
		t.Fatalf("the place is %+v", p)
	}
	wantPage(t, w.do("caseworker", "GET", page, nil), 200, "敬老食堂", "08:30-11:30", "13:00-17:00", "2099-10-01", "国庆节", "31.175304, 121.531542")
	wantPage(t, w.do("page boss", "GET", page+"/places/"+p.ID, nil), 200, "08:30-11:30, 13:00-17:00", "31.177428, 121.527211")
	place := "/api/v1" + page + "/places/" + p.ID
	if got := w.do("other provider", "DELETE", place, nil); got.status != 404 {
		t.Errorf("another organisation removes it: %d", got.status)
	}
	if got := w.do("other provider", "DELETE", "/api/v1/organisations/"+w.orgRest+"/places/"+p.ID, nil); got.status != 404 {
		t.Errorf("through one's own organisation: %d", got.status)
	}
	var changed placeView
	w.do("provider", "PUT", place, `{"name_zh":"敬老食堂","division":"`+village+`","address":"月河路 9 号","latitude":31.2,"longitude":121.5}`).into(t, &changed)
	if changed.ID != p.ID || *changed.Latitude != 31.2 || changed.Address != "月河路 9 号" {
		t.Errorf("changed to %+v", changed)
	}
	if got := w.submit("page boss", page+"/places/"+p.ID+"/remove", url.Values{}); got.status != 303 {
		t.Errorf("remove: %d", got.status)
	}
	if got := w.do("provider", "DELETE", place, nil); got.status != 404 {
		t.Errorf("it is still there: %d", got.status)
	}
	// Offers lie within what is served.
	wantPage(t, w.submit("page boss", page, url.Values{"serves": {county}, "email": {"nobody"}}), 400, "请填写完整邮箱")
	if got := w.submit("page boss", page, url.Values{"serves": {county}, "description_zh": {"<b>超市</b>"}}); got.status != 303 {
		t.Fatalf("save the profile: %d", got.status)
	}
	wantPage(t, w.do("page boss", "GET", page, nil), 200, "&lt;b&gt;超市&lt;/b&gt;")
	outside := offerRequest{offerLots: offerLots{Lots: lotsFor(w, 3)}, offerTerms: offerTerms{TitleZH: "雨伞", Category: "discount", Divisions: []string{elsewhere}, Handover: pickup()}}
	if got := w.do("provider", "POST", "/api/v1/offers", outside); got.status != 400 || got.problem(t).field() != "divisions[0]" {
		t.Errorf("an offer beyond what is served: %d %s", got.status, got.body)
	}
}
