package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// stepKinds are what a story tells, in order.
func stepKinds(s care.Story) string {
	kinds := make([]string, len(s.Steps))
	for i, x := range s.Steps {
		kinds[i] = x.Kind
	}
	return strings.Join(kinds, " ")
}

// A need of five is met by two of one offer and one of another; two wait, with
// their place and the reason; less is wanted then, and what comes in is given
// up to that and no further.
func TestOneNeedSeveralOffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.offer("homecare", 2, county)
	w.offer("homecare", 1, village)
	var need care.NeedView
	w.do("caseworker", "POST", "/api/v1/residents/"+w.person.ID+"/needs", needRequest{Category: "homecare", QtyUnits: 5, Urgency: 3}).into(t, &need)
	var scan care.ScanResult
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)}).into(t, &scan)
	if len(scan.Offered) != 2 {
		t.Fatalf("offered %+v", scan.Offered)
	}
	var needs list[care.NeedView]
	w.do("resident", "GET", "/api/v1/residents/"+w.person.ID+"/needs", nil).into(t, &needs)
	n := needs.Items[0]
	if n.State != "promised" || n.PromisedUnits != 3 || n.LeftUnits != 2 || n.Position != 1 || n.Rest.Code == "" || n.Reason.Code != "given" {
		t.Fatalf("the need: %+v", n)
	}
	for actor, path := range map[string]string{"resident": "/me", "caseworker": "/residents/" + w.person.ID} {
		page := string(w.do(actor, "GET", path, nil, header{"Accept-Language", "zh"}).body)
		for _, want := range []string{"还缺 2", "排在第 1 位", n.Rest.ZH, n.Reason.ZH} {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
	}

	// More comes: one of the two is served from the waiting list.
	w.offerNow("homecare", 1)
	w.until("one more is given", func() bool {
		w.do("resident", "GET", "/api/v1/residents/"+w.person.ID+"/needs", nil).into(t, &needs)
		n = needs.Items[0]
		return n.PromisedUnits == 4 && n.LeftUnits == 1 && n.Position == 1
	})

	// Somebody else has changed it since; then three are enough.
	path := "/api/v1/needs/" + need.ID
	if got := w.do("caseworker", "PATCH", path, fmt.Sprintf(`{"qty_units":3,"reason":"situation","asked":%d}`, n.Asked+1)); got.status != 409 {
		t.Fatalf("an old edit: %d %s", got.status, got.body)
	}
	edit := fmt.Sprintf(`{"qty_units":3,"reason":"situation","asked":%d}`, n.Asked)
	var edited care.NeedView
	for range 2 { // a lost answer is asked for again
		w.do("caseworker", "PATCH", path, edit, header{"Idempotency-Key", "edit-1"}).into(t, &edited)
	}
	if edited.QtyUnits != 3 || edited.PromisedUnits != 3 || edited.LeftUnits != 0 || edited.Position != 0 || edited.Rest.Code != "" || edited.Asked != n.Asked+1 {
		t.Fatalf("after the edit: %+v", edited)
	}

	var story care.Story
	w.do("caseworker", "GET", path+"/story", nil).into(t, &story)
	want := "need.opened allocation.promised allocation.promised need.rest allocation.promised"
	if got := stepKinds(story); !strings.HasPrefix(got, want) || !strings.Contains(got, "need.changed") || !strings.Contains(got, "allocation.withdrawn") {
		t.Errorf("the story: %s", got)
	}
	if story.Steps[0].QtyUnits != 5 || story.Steps[0].By == "" {
		t.Errorf("the beginning: %+v", story.Steps[0])
	}
	for _, x := range story.Steps {
		if x.Kind == "allocation.promised" && (x.Reason.Facts["score_milli"] != "700" || x.Reason.Facts["weight_milli"] == "") {
			t.Errorf("a decision without the figures of the time: %+v", x)
		}
	}
	if !slices.ContainsFunc(story.Next, func(r matching.Reason) bool { return r.Code == "next_fetch" }) || !story.Ready || len(story.Offers) != 3 {
		t.Errorf("now and next: %+v %+v", story.Offers, story.Next)
	}
	if got := w.do("caseworker", "GET", path+"/story", nil); bytes.Contains(got.body, []byte(canaryName)) || bytes.Contains(got.body, []byte(canaryNote)) {
		t.Error("the story names the person")
	}
}

// A page changes a need and withdraws it; the reasons stay in its story.
func TestEditNeedPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.need(w.person, "housing")
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	zh := header{"Accept-Language", "zh"}
	page := "/needs/" + n.ID
	send := func(path, values string) answer {
		return w.do("caseworker", "POST", path, strings.NewReader(values), form, zh)
	}
	if got := send(page+"/edit", "qty=1&urgency=4&note=x&asked=0"); got.status != 400 || !bytes.Contains(got.body, []byte("请选择更改的原因")) {
		t.Errorf("without a reason: %d %.200s", got.status, got.body)
	}
	until := w.now().Add(48 * time.Hour).In(chinaTime).Format("2006-01-02")
	if got := send(page+"/edit", "qty=1&urgency=4&note=x&asked=0&reason=mistake&until="+until); got.status != 303 {
		t.Fatalf("an edit: %d %s", got.status, got.body)
	}
	if got := send(page+"/edit", "qty=1&urgency=2&asked=0&reason=mistake"); got.status != 409 || !bytes.Contains(got.body, []byte("刷新")) {
		t.Errorf("an edit of what was changed since: %d", got.status)
	}
	// The resident may make it less urgent, and not write the caseworker's note.
	own := func(values string) answer {
		return w.do("resident", "POST", page+"/edit", strings.NewReader(values), form, zh)
	}
	if got := own("qty=1&urgency=3&note=mine&asked=1&reason=asked&until=" + until); got.status != 400 {
		t.Errorf("a resident rewrites the caseworker's note: %d", got.status)
	}
	got := string(w.do("caseworker", "GET", page, nil, zh).body)
	for _, want := range []string{"需求已更改：紧急程度 3 级改为 4 级", "登记有误", `value="` + until + `"`, `name="asked" value="1"`, canaryName} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if got := w.do("resident", "POST", page+"/withdraw", strings.NewReader("reason=solved"), form); got.status != 303 {
		t.Fatalf("withdraw: %d %s", got.status, got.body)
	}
	got = string(w.do("resident", "GET", page, nil, zh).body)
	if !strings.Contains(got, "需求已撤回：已由其他途径解决。") || strings.Contains(got, "/edit") {
		t.Error("the story of a withdrawn need does not say why, or lets it be changed")
	}
	if got := w.do("caseworker", "PATCH", "/api/v1/needs/"+n.ID, `{"urgency":1,"reason":"asked","asked":1}`); got.status != 409 {
		t.Errorf("an edit after the end: %d", got.status)
	}
	if got := w.do("caseworker", "POST", "/api/v1/needs/"+n.ID+"/withdraw", `{"reason":"because"}`); got.status != 400 {
		t.Errorf("an unknown reason: %d", got.status)
	}
}

// A resident changes a need of their own within what they may ask for: more is
// for a caseworker, who may have recorded it, and then it may stay.
func TestResidentsEditTheirNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form, zh := header{"Content-Type", "application/x-www-form-urlencoded"}, header{"Accept-Language", "zh"}
	var need care.NeedView
	w.do("resident", "POST", "/api/v1/residents/"+w.person.ID+"/needs", needRequest{Category: "grocery", QtyUnits: 1, Urgency: 2}).into(t, &need)
	page := "/needs/" + need.ID
	shown := string(w.do("resident", "GET", page, nil, zh).body)
	if !strings.Contains(shown, page+"/edit") || strings.Contains(shown, `name="urgency" value="4"`) || strings.Contains(shown, "为什么更改") {
		t.Error("the page of an own need cannot change it, or asks for what a resident cannot say")
	}
	until := w.now().Add(48 * time.Hour).In(chinaTime).Format("2006-01-02")
	if got := w.do("resident", "POST", page+"/edit", strings.NewReader("qty=2&urgency=3&note=&asked=0&reason=asked&until="+until), form, zh); got.status != 303 {
		t.Fatalf("an edit of an own need: %d %s", got.status, got.body)
	}
	change := func(actor, body string) answer {
		return w.do(actor, "PATCH", "/api/v1/needs/"+need.ID, body)
	}
	for _, body := range []string{`{"urgency":4,"reason":"asked","asked":1}`, `{"qty_units":1000000,"reason":"asked","asked":1}`} {
		if got := change("resident", body); got.status != 400 {
			t.Errorf("%s: %d", body, got.status)
		}
	}
	if got := change("caseworker", `{"urgency":4,"qty_units":1000000,"reason":"situation","asked":1}`); got.status != 200 {
		t.Fatalf("a caseworker: %d %s", got.status, got.body)
	}
	if got := change("resident", `{"qty_units":999999,"urgency":4,"reason":"asked","asked":2}`); got.status != 200 {
		t.Errorf("what a caseworker recorded cannot become less: %d %s", got.status, got.body)
	}
	for n := int64(3); n < ownEdits; n++ {
		if got := change("resident", fmt.Sprintf(`{"qty_units":%d,"reason":"asked","asked":%d}`, 1+n%2, n)); got.status != 200 {
			t.Fatalf("edit %d: %d %s", n, got.status, got.body)
		}
	}
	if got := change("resident", fmt.Sprintf(`{"qty_units":3,"reason":"asked","asked":%d}`, ownEdits)); got.status != 400 {
		t.Errorf("without end: %d", got.status)
	}
}

// offerNow posts an offer that keeps nothing back for others.
func (w *world) offerNow(category string, qty int64) {
	w.t.Helper()
	_, err := w.app.Care.PostOffer(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.orgID, providers.NewOffer{
		TitleZH: "即时资源", TitleEN: "At once", Category: category, Divisions: []string{county}, Pace: matching.PaceNow,
		Handover: providers.Handover{How: providers.Pickup, Place: "社区食堂"},
		Lots:     []providers.NewLot{{QtyUnits: qty, FromMs: w.now().UnixMilli(), UntilMs: w.now().Add(24 * time.Hour).UnixMilli()}},
	})
	must(w.t, err)
}

// until waits for what background work brings about.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(5 * time.Minute) // hopeless
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("waited too long until %s", what)
		}
	}
}

// adminOfAll acts for the whole city.
var adminOfAll = accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}

// A page that renews itself writes down that somebody looks: at once whoever
// they are, and then once an hour; what is opened by hand, each time.
func TestPagesThatRenewThemselvesLeaveATraceOnceAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stopClock()
	w.account("watcher", "caseworker", county, "")
	n, other := w.need(w.person, "homecare"), w.need(w.person, "repair")
	follow := header{followHeader, "1"}
	looks := func(want int, why, path string, headers ...header) {
		t.Helper()
		count := func() (n int) {
			for _, e := range w.seen(w.person.ID) {
				if strings.HasPrefix(e.Act, "view_") {
					n++
				}
			}
			return n
		}
		before := count()
		if a := w.do("page watcher", "GET", path, nil, headers...); a.status != 200 {
			t.Fatalf("%s: %d", path, a.status)
		}
		if got := count() - before; got != want {
			t.Errorf("%s: %d looks written, want %d: %s", path, got, want, why)
		}
	}
	looks(1, "nothing was written before", "/needs/"+n.ID, follow)
	looks(0, "it renews itself", "/needs/"+n.ID, follow)
	looks(1, "another need", "/needs/"+other.ID, follow)
	looks(1, "another page about the same person", "/residents/"+w.person.ID)
	looks(0, "it renews itself", "/residents/"+w.person.ID, follow)
	looks(1, "opened again by hand", "/residents/"+w.person.ID)
	w.shift.Add(int64(59 * time.Minute))
	looks(0, "within the hour", "/needs/"+n.ID, follow)
	w.shift.Add(int64(time.Minute))
	looks(1, "the hour is over", "/needs/"+n.ID, follow)
	looks(0, "it renews itself", "/needs/"+n.ID, follow)
}

// What an offer allows a household stands in the story: it is not said that
// more could be given.
func TestStoryKnowsTheCapOfAnOffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := w.now()
	_, err := w.app.Care.PostOffer(t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.orgID, providers.NewOffer{
		TitleZH: "上门照护", Category: "homecare", Divisions: []string{county}, Pace: matching.PaceNow, CapUnits: 1, CapPeriod: matching.Month,
		Handover: providers.Handover{How: providers.OnSite, Place: "家中"},
		Lots:     []providers.NewLot{{QtyUnits: 5, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(32 * 24 * time.Hour).UnixMilli()}},
	})
	must(t, err)
	first, second := w.need(w.person, "homecare"), w.need(w.person, "homecare")
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)}).into(t, new(care.ScanResult))
	waiting := 0
	for _, n := range []string{first.ID, second.ID} {
		var story care.Story
		w.do("caseworker", "GET", "/api/v1/needs/"+n+"/story", nil).into(t, &story)
		if story.Need.LeftUnits == 0 {
			continue
		}
		waiting++
		if len(story.Offers) != 1 || story.Offers[0].Reason.Code != matching.CodeOfferCapped || story.Offers[0].Reason.Facts["next_ms"] == "" {
			t.Errorf("an offer that the household has used up: %+v", story.Offers)
		}
		if r := story.Need.Reason; r.Code != matching.CodeWaitingOfferCap || r.Facts["next_ms"] == "" {
			t.Errorf("who waits is not told from when on the offer allows more: %+v", r)
		}
	}
	if waiting != 1 {
		t.Errorf("%d of the two needs wait, want 1", waiting)
	}
}
