package app

import (
	"bytes"
	"net/url"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

// wish shows a wish of the resident's to givers.
func (w *world) wish(r *residents.Resident) (*residents.Need, *care.WishView) {
	w.t.Helper()
	n := w.need(r, providers.WishCategory)
	v, err := w.app.Care.ShowWish(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, n.ID, listening())
	must(w.t, err)
	return n, v
}

func listening() care.NewWish {
	return care.NewWish{TextZH: "想要一台收音机听戏", TextEN: "A radio", Agreed: true}
}

// wishRows are the rows of the matrix for wishes.
func wishRows(w *world) map[string]row {
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body func(w *world) any) row { return row{cells: c, path: path, body: body} }
	const api = "/api/v1"
	need, shown := w.wish(w.person)
	_, taken := w.wish(w.person)
	taking := care.Taking{Handover: providers.Handover{How: providers.Delivery}}
	return map[string]row{
		"listWishes":     get(staffAll, api+"/wishes"),
		"showNeedAsWish": with(workersHere, api+"/needs/"+need.ID+"/wish", func(*world) any { return listening() }),
		"hideWish":       {}, // others show it: TestWishOverTheAPI
		"takeWish": with(givenHere, api+"/wishes/"+taken.ID+"/take", func(w *world) any {
			return takingRequest{Organisation: w.orgID, Taking: taking}
		}),
		"showWishes":     get(staffAll, "/wishes"),
		"showWish":       get(given, "/wishes/"+shown.ID),
		"saveWishTaken":  {}, // as takeWish: TestWishOverTheAPI
		"showNeedWish":   get(workersHere, "/needs/"+need.ID+"/wish"),
		"saveNeedWish":   {cells: workersHere, path: "/needs/" + need.ID + "/wish", kind: formType, body: func(*world) any { return bytes.NewReader([]byte("text_zh=")) }},
		"saveWishHidden": {}, // as hideWish
	}
}

// A caseworker shows a wish; the givers see the words and the town and nothing
// of the person; one takes it up, the other is told so; it is handed over and
// reads as fulfilled.
func TestWishOverTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const api = "/api/v1"
	need := w.need(w.person, providers.WishCategory)
	wantStatus(t, w.do("provider", "PUT", api+"/needs/"+need.ID+"/wish", listening()), 403)
	for range 2 {
		wantStatus(t, w.do("caseworker", "PUT", api+"/needs/"+need.ID+"/wish", listening()), 200)
		wantStatus(t, w.do("caseworker", "DELETE", api+"/needs/"+need.ID+"/wish", nil), 200)
	}
	var none list[care.WishView]
	w.do("other provider", "GET", api+"/wishes", nil).into(t, &none)
	if len(none.Items) != 0 {
		t.Errorf("what was taken off is shown: %+v", none.Items)
	}
	var shown care.WishView
	w.do("caseworker", "PUT", api+"/needs/"+need.ID+"/wish", listening()).into(t, &shown)

	w.account("giver", accounts.Provider, "", w.orgID)
	w.account("othergiver", accounts.Provider, "", w.orgRest)
	for _, page := range []string{"/wishes", "/wishes/" + shown.ID} {
		got := w.do("page giver", "GET", page, nil)
		wantPage(t, got, 200, "想要一台收音机听戏")
		for _, secret := range []string{need.ID, w.person.ID, w.person.CardNo, canaryNote} {
			if bytes.Contains(got.body, []byte(secret)) {
				t.Errorf("%s tells a giver %q", page, secret)
			}
		}
	}
	until := w.now().AddDate(0, 0, 10).Format(time.DateOnly)
	wantPage(t, w.submit("page giver", "/wishes/"+shown.ID+"/take", url.Values{"how": {"pickup"}, "until": {until}}), 400, `id="f-place-error"`)
	wantOn(t, w.submit("page giver", "/wishes/"+shown.ID+"/take", url.Values{"how": {"delivery"}, "until": {until}}), `^/wishes\?done=wish_taken$`)
	late := w.do("other provider", "POST", api+"/wishes/"+shown.ID+"/take", takingRequest{Taking: care.Taking{Handover: providers.Handover{How: providers.Delivery}}})
	if late.status != 409 || late.problem(t).Code != "wish_taken" {
		t.Errorf("the second giver: %d %s", late.status, late.body)
	}
	wantStatus(t, w.do("page othergiver", "GET", "/wishes/"+shown.ID, nil), 404)

	var scan care.ScanResult
	w.do("caseworker", "POST", api+"/scans", scanRequest{w.digits(w.person)}).into(t, &scan)
	i := -1
	for j, x := range scan.Offered {
		if x.Need == need.ID {
			i = j
		}
	}
	if i < 0 {
		t.Fatalf("the scan does not offer what was taken up: %+v", scan.Needs)
	}
	wantStatus(t, w.do("caseworker", "POST", api+"/allocations/"+scan.Offered[i].ID+"/handover", handoverRequest{}), 200)
	var own list[care.WishView]
	w.do("provider", "GET", api+"/wishes?taken=true", nil).into(t, &own)
	if len(own.Items) != 1 || own.Items[0].State != care.WishGiven || own.Items[0].Need != "" || own.Items[0].Offer == "" {
		t.Errorf("the giver sees %+v", own.Items)
	}
	wantPage(t, w.do("page giver", "GET", "/wishes", nil), 200, "已实现")
}
