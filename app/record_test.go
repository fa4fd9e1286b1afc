package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
)

// seen are the audit entries about a resident, newest first.
func (w *world) seen(resident string) []audit.Entry {
	w.t.Helper()
	page, _, err := w.app.Audit.Of(w.t.Context(), resident, "", 50)
	must(w.t, err)
	return page
}

// Whoever stands in a list was looked at, and can see by whom.
func TestListsLeaveATraceWithEveryPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("lister", "caseworker", county, "")
	second, err := w.app.Residents.Register(t.Context(), "test", residents.Registration{Name: "邻居", IDNumber: idNumber("33050219620101", 8), Division: village})
	must(t, err)
	for _, list := range []func() answer{
		func() answer { return w.do("caseworker", "GET", "/api/v1/residents?division="+county, nil) },
		func() answer { return w.do("page lister", "GET", "/residents", nil) },
		func() answer { return w.submit("page lister", "/residents/find", url.Values{"card": {"1"}}) }, // finds nobody, shows the list
	} {
		before, stranger := [2]int{len(w.seen(w.person.ID)), len(w.seen(second.ID))}, len(w.seen(w.other.ID))
		if got := list(); !strings.Contains(string(got.body), "邻居") {
			t.Fatalf("not listed: %d %s", got.status, got.body)
		}
		for i, id := range []string{w.person.ID, second.ID} {
			now := w.seen(id)
			if len(now) != before[i]+1 || now[0].Act != "list_residents" || now[0].Outcome != "ok" || now[0].Subject != id || now[0].Object != id || now[0].Division != village {
				t.Errorf("%d entries before, now %+v", before[i], now)
			}
		}
		if len(w.seen(w.other.ID)) != stranger {
			t.Error("an entry with somebody who was not listed")
		}
	}
}

func TestCaseworkerKeepsTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("keeper", "caseworker", village, "")
	api, page := "/api/v1/residents/"+w.person.ID, "/residents/"+w.person.ID
	signin := func(pin string) int {
		return w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{w.person.CardNo, pin}).status
	}
	wantAudit := func(act string) {
		t.Helper()
		if e := w.seen(w.person.ID)[0]; e.Act != act || e.Outcome != "ok" || e.Division != village {
			t.Errorf("audited as %+v, want %s", e, act)
		}
	}
	stored := func() *residents.Resident {
		r, err := w.app.Residents.Get(t.Context(), w.person.ID)
		must(t, err)
		return r
	}

	if got := w.do("caseworker", "POST", api+"/pin", pinRequest{"12345"}); got.status != 400 || got.problem(t).Fields[0].Field != "pin" {
		t.Errorf("short PIN: %d %s", got.status, got.body)
	}
	if got := w.do("caseworker", "POST", api+"/pin", pinRequest{"864202"}); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	wantAudit("set_pin")
	if old, fresh, session := signin("246813"), signin("864202"), w.do("resident", "GET", "/api/v1/me", nil).status; old != 401 || fresh != 201 || session != 401 {
		t.Errorf("old PIN %d, new PIN %d, session of before %d", old, fresh, session)
	}
	refused := w.submit("page keeper", page+"/pin", url.Values{"pin": {"77"}})
	wantPage(t, refused, 400, `id="f-pin-error"`, `id="pin" open`)
	if strings.Contains(string(refused.body), `"77"`) {
		t.Error("the PIN came back")
	}
	for range 12 {
		signin("000000")
	}
	if got := signin("864202"); got != 401 {
		t.Fatalf("not locked: %d", got)
	}
	wantOn(t, w.submit("page keeper", page+"/pin", url.Values{"pin": {"975311"}}), `\?done=pin#main$`)
	wantAudit("set_pin")
	if got := signin("975311"); got != 201 {
		t.Errorf("the new PIN does not end the lock: %d", got)
	}

	var v residentView
	w.do("caseworker", "PUT", api+"/consent", consentRequest{[]string{"provider_handover"}}).into(t, &v)
	if c := stored().Consent; c.Allows("matching") || !c.Allows("provider_handover") || len(v.Consent.Scope) != 1 || c.By == "test" {
		t.Errorf("%+v, answered %+v", c, v.Consent)
	}
	wantAudit("set_consent")
	for body, want := range map[string]int{`{"scope":["all"]}`: 400, `{}`: 400, `{"scope":null}`: 400, `{"scope":[]}`: 200} {
		got := w.do("caseworker", "PUT", api+"/consent", body)
		if got.status != want || want == 400 && got.problem(t).Fields[0].Field != "scope" {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if c := stored().Consent; len(c.Scope) != 0 {
		t.Errorf("not withdrawn: %+v", c)
	}
	wantOn(t, w.submit("page keeper", page+"/consent", url.Values{"consent": {"matching", "provider_handover"}}), `\?done=consent#main$`)
	if c := stored().Consent; !c.Allows("matching") || !c.Allows("provider_handover") {
		t.Errorf("%+v", c)
	}
	wantPage(t, w.do("page keeper", "GET", page, nil), 200, `value="matching" checked`, `value="provider_handover" checked`)
	wantOn(t, w.submit("page keeper", page+"/consent", url.Values{}), `\?done=consent#main$`)
	if c := stored().Consent; len(c.Scope) != 0 {
		t.Errorf("not withdrawn on the page: %+v", c)
	}
	wantPage(t, w.submit("page keeper", page+"/consent", url.Values{"consent": {"all"}}), 400, `id="consent" open`)

	w.residentsSignIn()
	w.do("caseworker", "PUT", api+"/status", statusRequest{residents.Deceased}).into(t, &v)
	if v.Status != residents.Deceased || stored().Status != residents.Deceased {
		t.Errorf("answered %s, stored %s", v.Status, stored().Status)
	}
	wantAudit("set_status")
	if session, pin := w.do("resident", "GET", "/api/v1/me", nil).status, signin("975311"); session != 401 || pin != 401 {
		t.Errorf("the session answers %d, a new one %d", session, pin)
	}
	if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.person.CardNo}); got.status != 404 {
		t.Errorf("scan of somebody deceased: %d", got.status)
	}
	if got := w.do("caseworker", "PUT", api+"/status", statusRequest{"gone"}); got.status != 400 {
		t.Errorf("no such status: %d %s", got.status, got.body)
	}
	wantPage(t, w.submit("page keeper", page+"/status", url.Values{"status": {"gone"}}), 400, `id="f-status-error"`)
	wantOn(t, w.submit("page keeper", page+"/status", url.Values{"status": {"moved"}}), `\?done=status#main$`)
	wantPage(t, w.do("page keeper", "GET", page, nil), 200, "已迁出")
	wantOn(t, w.submit("page keeper", page+"/status", url.Values{"status": {"active"}}), `\?done=status#main$`)
	if got := signin("975311"); got != 201 {
		t.Errorf("back again: %d", got)
	}
}

func TestResidentChangesThePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.browse("phone", w.person.CardNo, "246813")
	w.browse("library", w.person.CardNo, "246813")
	wrong := w.submit("phone", "/me/pin", url.Values{"old_pin": {"097531"}, "pin": {"864202"}})
	wantPage(t, wrong, 401, `id="f-old_pin-error"`, `id="pin" open`)
	for _, secret := range []string{"097531", "864202"} {
		if strings.Contains(string(wrong.body), secret) {
			t.Error("a PIN came back")
		}
	}
	wantPage(t, w.submit("phone", "/me/pin", url.Values{"old_pin": {"246813"}, "pin": {"1"}}), 400, `id="f-pin-error"`)
	if got := w.do("library", "GET", "/me", nil); got.status != 200 {
		t.Fatalf("a failed change ended a session: %d", got.status)
	}
	done := w.submit("phone", "/me/pin", url.Values{"old_pin": {"246813"}, "pin": {"864202"}})
	wantOn(t, done, `^/me\?done=my_pin#main$`)
	if e := w.seen(w.person.ID)[0]; e.Act != "change_pin" || e.Role != "resident" {
		t.Errorf("audited as %+v", e)
	}
	for _, other := range []string{"library", "phone"} { // phone still has the cookie of before
		if got := w.do(other, "GET", "/me", nil); got.status != http.StatusSeeOther {
			t.Errorf("the session of before answers %d in the %s", got.status, other)
		}
	}
	w.actors["phone"].cookie = sessionCookie(t, done)
	wantPage(t, w.do("phone", "GET", "/me?done=my_pin", nil), 200, canaryName, "PIN 已修改")
	for pin, want := range map[string]int{"246813": 401, "864202": 201} {
		if got := w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{w.person.CardNo, pin}); got.status != want {
			t.Errorf("%s: %d, want %d", pin, got.status, want)
		}
	}
}

// Guessing the old PIN is counted, by the lock and by the limit.
func TestGuessingTheOldPIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.browse("thief", w.person.CardNo, "246813")
	guess := func(pin string) answer {
		return w.submit("thief", "/me/pin", url.Values{"old_pin": {pin}, "pin": {"864202"}})
	}
	for range 10 {
		guess("000000")
	}
	wantPage(t, guess("246813"), 401, `id="f-old_pin-error"`)
	limited := false
	for range 25 {
		limited = limited || guess("000000").status == 429
	}
	if !limited {
		t.Error("guessing was not slowed down")
	}
}

// A card that was replaced finds nobody, like a number that never was one.
func TestReplacedCardFindsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("finder", "caseworker", county, "")
	old := w.person.CardNo
	_, err := w.app.Residents.Reissue(t.Context(), "test", w.person.ID, residents.WhyLost)
	must(t, err)
	fresh, err := w.app.Residents.Get(t.Context(), w.person.ID)
	must(t, err)
	find := func(no string) answer {
		return w.do("caseworker", "POST", "/api/v1/residents/find", findRequest{CardNo: no})
	}
	got, nobody := find(old), find("123456789012")
	if got.status != 404 || string(got.body) != string(nobody.body) {
		t.Errorf("replaced: %d %s\nnobody's: %d %s", got.status, got.body, nobody.status, nobody.body)
	}
	wantPage(t, w.submit("page finder", "/residents/find", url.Values{"card": {old}}), 404, `id="f-card-error"`)
	if got := find(fresh.CardNo); got.status != 200 {
		t.Errorf("the new card: %d %s", got.status, got.body)
	}
	wantOn(t, w.submit("page finder", "/residents/find", url.Values{"card": {fresh.CardNo}}), "^/residents/"+w.person.ID+"$")
	must(t, w.app.Residents.Revoke(t.Context(), "test", fresh.Code, residents.WhyLost))
	if got := find(fresh.CardNo); got.status != 404 {
		t.Errorf("a revoked card: %d %s", got.status, got.body)
	}
}

// What residents ask for themselves has bounds; what a caseworker records for
// them has not.
func TestResidentsAskWithinBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.browse("asker", w.person.CardNo, "246813")
	path := "/api/v1/residents/" + w.person.ID + "/needs"
	fields := func(n needRequest) string {
		t.Helper()
		got := w.do("resident", "POST", path, n)
		if got.status == 201 {
			return ""
		}
		var names []string
		for _, f := range got.problem(t).Fields {
			names = append(names, f.Field)
		}
		return strings.Join(names, " ")
	}
	for _, x := range []struct {
		need needRequest
		want string
	}{
		{needRequest{Category: "meal", QtyUnits: 4, Urgency: 1}, "qty_units"}, // the cap is 3 a day
		{needRequest{Category: "meal", QtyUnits: 1, Urgency: 4}, "urgency"},
		{needRequest{Category: "cash", QtyUnits: 200_001, Urgency: 4}, "urgency qty_units"},
		{needRequest{Category: "meal", QtyUnits: 3, Urgency: 3}, ""},
		{needRequest{Category: "cash", QtyUnits: 200_000}, ""},
	} {
		if got := fields(x.need); got != x.want {
			t.Errorf("%+v: wrong in %q, want %q", x.need, got, x.want)
		}
	}
	wantPage(t, w.submit("asker", "/me/needs", url.Values{"category": {"cash"}, "qty": {"2000.01"}, "urgency": {"4"}}), 400, `id="f-qty-error"`, "2000 元", "请联系社工登记")
	if page := w.do("asker", "GET", "/me", nil); strings.Contains(string(page.body), `name="urgency" value="4"`) {
		t.Error("the page offers what is refused")
	}
	if got := w.do("caseworker", "POST", path, needRequest{Category: "meal", QtyUnits: 9, Urgency: 4}); got.status != 201 {
		t.Errorf("a caseworker: %d %s", got.status, got.body)
	}
	for range 7 { // that makes ten
		if got := fields(needRequest{Category: "visit", QtyUnits: 1}); got != "" {
			t.Fatalf("wrong in %q", got)
		}
	}
	if got := fields(needRequest{Category: "visit", QtyUnits: 1}); got != "category" {
		t.Errorf("the eleventh: wrong in %q", got)
	}
	wantPage(t, w.submit("asker", "/me/needs", url.Values{"category": {"visit"}, "qty": {"1"}, "urgency": {"1"}}), 400, `id="f-category-error"`)
	if got := w.do("caseworker", "POST", path, needRequest{Category: "visit", QtyUnits: 1}); got.status != 201 {
		t.Errorf("a caseworker: %d %s", got.status, got.body)
	}
	needs, err := w.app.Residents.Needs(t.Context(), w.person.ID)
	must(t, err)
	for _, n := range needs[:2] {
		if got := w.do("resident", "POST", "/api/v1/needs/"+n.ID+"/withdraw", nil); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if got := fields(needRequest{Category: "visit", QtyUnits: 1}); got != "" {
		t.Errorf("after withdrawing: wrong in %q", got)
	}
}
