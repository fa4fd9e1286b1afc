package app

import (
	"bytes"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/reports"
)

// reportRows are the rows of the matrix for third-party reports.
func reportRows(w *world) map[string]row {
	r, err := w.app.Reports.Send(w.t.Context(), reports.NewReport{Division: village, Kind: "alone", Text: canaryNote, Person: canaryName, Phone: canaryPhone})
	must(w.t, err)
	send := reportRequest{Key: "double tap", Division: village, Kind: "food"}
	done := reportChange{State: reports.StateClosed, Outcome: reports.Helped}
	form := func(c cells, path, values string) row {
		return row{cells: c, path: path, kind: formType, body: func(*world) any { return io.Reader(strings.NewReader(values)) }}
	}
	return map[string]row{
		"createReport": {cells: open, path: "/api/v1/reports", body: func(*world) any { return send }},
		"listReports":  {cells: workers, path: "/api/v1/reports"},
		"getReport":    {cells: workersHere, path: "/api/v1/reports/" + r.ID},
		"changeReport": {cells: workersHere, path: "/api/v1/reports/" + r.ID, body: func(*world) any { return done }},
		"showReport":   {cells: open, path: "/report"},
		"saveReport":   form(open, "/report", "kind=food"),
		"showReports":  {cells: workers, path: "/reports"},
		"showTask":     {cells: workersHere, path: "/reports/" + r.ID},
		"saveTask":     form(workersHere, "/reports/"+r.ID+"/state", "state=taken"),
	}
}

var (
	keyField       = regexp.MustCompile(`name="key" value="([^"]+)"`)
	referenceField = regexp.MustCompile(`id="reference">(\d{4}) (\d{4})<`)
)

// told is a report as somebody fills in the form.
func told(division string) url.Values {
	return url.Values{"division": {division}, "kind": {"alone"}, "text": {"金丝雀情况"}, "place": {"金丝雀弄"}, "person": {"金丝雀婆婆"}, "name": {"金丝雀邻居"}, "phone": {"13700002222"}}
}

// reportKey is the form's key, as a visitor gets it.
func (w *world) reportKey() string {
	w.t.Helper()
	got := w.do("visitor", "GET", "/report", nil)
	m := keyField.FindSubmatch(got.body)
	if got.status != 200 || m == nil || got.header.Get("Set-Cookie") != "" {
		w.t.Fatalf("the form: %d, cookie %q, key %q", got.status, got.header.Get("Set-Cookie"), m)
	}
	return string(m[1])
}

// From the form to the station and back to a registered person.
func TestReportOfAPersonInNeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("near", accounts.Caseworker, village, "")
	w.account("town", accounts.Caseworker, "330502001000", "")
	w.account("far", accounts.Caseworker, elsewhere, "")
	values := told(village)
	values.Set("key", w.reportKey())
	sent := w.submit("visitor", "/report", values)
	m := referenceField.FindSubmatch(sent.body)
	if sent.status != 201 || m == nil || sent.header.Get("Set-Cookie") != "" || sent.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d, cookie %q: %s", sent.status, sent.header.Get("Set-Cookie"), sent.body)
	}
	if e := w.lastAudit(); e.Act != "send_report" || e.Actor != "visitor" || e.Division != village || e.Subject != "" {
		t.Errorf("audited as %+v", e)
	}
	if again := w.submit("visitor", "/report", values); !bytes.Equal(again.body, sent.body) {
		t.Error("a double tap made another report")
	}
	number := string(m[1]) + string(m[2])
	r, err := w.app.Reports.ByReference(t.Context(), number)
	must(t, err)
	path := "/reports/" + r.ID

	wantPage(t, w.do("page near", "GET", "/", nil), 200, `<b class="badge"`)
	wantPage(t, w.do("page near", "GET", "/reports", nil), 200, path, "老人无人照顾")
	if e := w.lastAudit(); e.Act != "list_reports" || e.Division != village {
		t.Errorf("the list is audited as %+v", e)
	}
	if list := w.do("page near", "GET", "/reports", nil); bytes.Contains(list.body, []byte("金丝雀")) {
		t.Error("the list shows what somebody wrote")
	}
	wantOn(t, w.do("page near", "GET", "/reports?reference="+number[:4]+"+"+number[4:], nil), "^"+path+"$")
	wantPage(t, w.do("page town", "GET", "/reports", nil), 200, path)
	for _, query := range []string{"", "?state=closed", "?state=taken"} {
		far := w.do("page far", "GET", "/reports"+query, nil)
		wantPage(t, far, 200, "这里没有报告")
	}
	if home := w.do("page far", "GET", "/", nil); bytes.Contains(home.body, []byte("badge")) {
		t.Error("another county counts the report")
	}
	wantPage(t, w.do("page far", "GET", "/reports?reference="+number, nil), 404, "没有这个编号")
	if e := w.lastAudit(); e.Act != "list_reports" || e.Outcome != "denied" {
		t.Errorf("a number of another county is audited as %+v", e)
	}
	wantPage(t, w.do("page far", "GET", "/reports?reference=00000000", nil), 404, "没有这个编号")
	if got := w.do("page far", "GET", "/residents/new?report="+r.ID, nil); got.status != 404 || bytes.Contains(got.body, []byte("金丝雀")) {
		t.Errorf("another county registers from it: %d", got.status)
	}
	if got := w.submit("page far", "/residents/new", url.Values{"report": {r.ID}, "name": {"x"}}); got.status != 404 || bytes.Contains(got.body, []byte("金丝雀")) {
		t.Errorf("another county registers from it: %d", got.status)
	}

	wantPage(t, w.do("page near", "GET", path, nil), 200, "金丝雀情况", "金丝雀弄", "金丝雀婆婆", "金丝雀邻居", "13700002222", "我来接手")
	if e := w.lastAudit(); e.Act != "view_report" || e.Object != r.ID || e.Division != village || e.Outcome != "ok" {
		t.Errorf("the view is audited as %+v", e)
	}
	wantOn(t, w.submit("page town", path+"/state", url.Values{"state": {"taken"}}), "^"+path+`\?done=report_taken$`)
	wantPage(t, w.submit("page near", path+"/state", url.Values{"state": {"taken"}}), 409, "已由同事接手", "改由我接手")
	wantOn(t, w.submit("page near", path+"/state", url.Values{"state": {"taken"}, "take_over": {"1"}}), "report_taken$")
	wantOn(t, w.submit("page near", path+"/state", url.Values{"state": {"visited"}}), "report_visited$")
	if e := w.lastAudit(); e.Act != "change_report" || e.Object != r.ID {
		t.Errorf("the change is audited as %+v", e)
	}
	wantPage(t, w.submit("page near", path+"/state", url.Values{"state": {"closed"}}), 400, "请选择结果")

	before := w.lastAudit()
	form := w.do("page near", "GET", "/residents/new?report="+r.ID, nil)
	wantPage(t, form, 200, "金丝雀情况", `<option value="`+village+`" selected>`, `name="report" value="`+r.ID+`"`)
	if e := w.lastAudit(); e.ID == before.ID || e.Act != "view_report" || e.Object != r.ID {
		t.Errorf("the register form is audited as %+v", e)
	}
	person := url.Values{"report": {r.ID}, "name": {"凤婆婆"}, "id_number": {idNumber("33050219400101", 31)}, "division": {village}, "score": {"500"}}
	wantPage(t, w.submit("page near", "/residents/new", url.Values{"report": {r.ID}, "name": {""}}), 400, "金丝雀情况")
	resident := wantOn(t, w.submit("page near", "/residents/new", person), `^/residents/[^/?]+\?done=registered$`)
	resident, _, _ = strings.Cut(resident, "?")
	wantPage(t, w.do("page near", "GET", path, nil), 200, "已登记为居民", `href="`+resident+`"`, "已办结")
	wantPage(t, w.do("page near", "GET", "/reports?state=closed", nil), 200, path)
	if log := w.logs.String(); strings.Contains(log, "金丝雀") || strings.Contains(log, "13700002222") || strings.Contains(log, number) {
		t.Error("the log holds what somebody wrote, or the number")
	}
}

// The answer does not depend on who is registered, and tells nothing else.
func TestReportTellsNothingOfWhoIsRegistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	number := regexp.MustCompile(`\d{4} ?\d{4}`)
	answers := map[string]bool{}
	for _, person := range []string{canaryName + " " + canaryID + " " + canaryPhone + " " + w.person.CardNo, "并无此人"} {
		values := told(village)
		values.Set("person", person)
		page := w.submit("visitor", "/report", values)
		api := w.do("visitor", "POST", "/api/v1/reports", reportRequest{Division: village, Kind: "food", Person: person})
		if page.status != 201 || api.status != 201 || bytes.Contains(page.body, []byte(person)) {
			t.Fatalf("%d, %d", page.status, api.status)
		}
		answers[string(number.ReplaceAll(page.body, nil))+string(number.ReplaceAll(api.body, nil))] = true
	}
	if len(answers) != 1 {
		t.Error("a registered person is answered for differently")
	}
}

func TestReportFormSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for field, change := range map[string]func(url.Values){
		"division": func(v url.Values) { v.Set("division", "999999999999") },
		"text":     func(v url.Values) { v.Set("kind", "other"); v.Set("text", "") },
		"phone":    func(v url.Values) { v.Set("phone", "不告诉你") },
	} {
		values := told(village)
		values.Set("key", "kept")
		change(values)
		wantPage(t, w.submit("visitor", "/report", values), 400, `id="f-`+field+`-error"`, `name="key" value="kept"`, "金丝雀婆婆")
	}
	values := told(village)
	values.Set("division", "999999999999")
	wantPage(t, w.submit("visitor", "/report?lang=en", values), 400, "choose the county, town or street")
	wantPage(t, w.submit("visitor", "/report", url.Values{"division": {village}}), 400, "请选择是什么情况", `<option value="`+village+`" selected>`)
	trapped := told(village)
	trapped.Set("leave_empty", "http://spam.example")
	wantPage(t, w.submit("visitor", "/report", trapped), 400, "清空", "金丝雀情况")
	page, _, err := w.app.Reports.List(t.Context(), city, reports.StateNew, "", 0)
	must(t, err)
	if len(page) != 0 {
		t.Errorf("%d reports were made", len(page))
	}
}

// One network cannot flood a station; another is let in; a forged header is
// no other network.
func TestReportsAreLimitedByNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	most := int(allowanceOf(LimitReport).tries)
	send := func() answer {
		return w.do("visitor", "POST", "/api/v1/reports", reportRequest{Division: village, Kind: "food"}, header{"X-Forwarded-For", "198.51.100." + number(w.next()%200)})
	}
	for i := range most {
		if got := send(); got.status != 201 {
			t.Fatalf("report %d: %d %s", i, got.status, got.body)
		}
	}
	if got := send(); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("report %d: %d", most+1, got.status)
	}
	if got := w.submit("visitor", "/report", told(village)); got.status != 429 {
		t.Errorf("by the form: %d", got.status)
	}
	w.shift.Store(int64(2 * time.Hour))
	if got := send(); got.status != 201 {
		t.Errorf("two hours later: %d", got.status)
	}
}

// A service reads and closes reports over the API.
func TestReportsOverTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var sent reportSent
	w.do("visitor", "POST", "/api/v1/reports", reportRequest{Key: "k", Division: village, Kind: "other", Seen: "today", Text: "金丝雀情况", Phone: "13700002222"}).into(t, &sent)
	for _, bad := range []string{`{"division":{"$ne":null},"kind":"food"}`, `{"division":"` + village + `","kind":"food","state":"closed"}`} {
		if got := w.do("visitor", "POST", "/api/v1/reports", bad); got.status != 400 {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
	list := func(actor, query string) []reportView {
		t.Helper()
		got := w.do(actor, "GET", "/api/v1/reports"+query, nil)
		if bytes.Contains(got.body, []byte("金丝雀")) || bytes.Contains(got.body, []byte("13700002222")) {
			t.Errorf("the list holds words: %s", got.body)
		}
		var out struct{ Items []reportView }
		got.into(t, &out)
		return out.Items
	}
	found := list("village caseworker", "")
	if len(found) != 1 || found[0].Reference != sent.Reference || found[0].State != reports.StateNew || found[0].Overdue {
		t.Fatalf("%+v", found)
	}
	id := found[0].ID
	if by := list("caseworker", "?reference="+sent.Reference); len(by) != 1 || by[0].ID != id {
		t.Errorf("by number: %+v", by)
	}
	if got := w.do("caseworker", "GET", "/api/v1/reports?state=old", nil); got.status != 400 {
		t.Errorf("no such state: %d", got.status)
	}
	outside, nothing := w.do("caseworker elsewhere", "GET", "/api/v1/reports?reference="+sent.Reference, nil), w.do("caseworker elsewhere", "GET", "/api/v1/reports?reference=00000000", nil)
	if outside.status != 404 || !bytes.Equal(outside.body, nothing.body) {
		t.Errorf("outside %d %s\nnothing %d %s", outside.status, outside.body, nothing.status, nothing.body)
	}
	w.shift.Store(int64(25 * time.Hour))
	if here, above := list("village caseworker", ""), list("caseworker", ""); !here[0].Overdue || above[0].Overdue {
		t.Errorf("after a day: village %v, county %v", here[0].Overdue, above[0].Overdue)
	}
	w.shift.Store(int64(49 * time.Hour))
	if above := list("caseworker", ""); !above[0].Overdue {
		t.Error("after two days the county is not told")
	}
	var whole reportWhole
	w.do("caseworker", "GET", "/api/v1/reports/"+id, nil).into(t, &whole)
	if whole.Text != "金丝雀情况" || whole.Phone != "13700002222" || whole.Seen != "today" || len(whole.History) != 1 {
		t.Errorf("%+v", whole)
	}
	if e := w.lastAudit(); e.Act != "view_report" || e.Object != id {
		t.Errorf("audited as %+v", e)
	}
	change := func(actor string, c reportChange) answer { return w.do(actor, "PATCH", "/api/v1/reports/"+id, c) }
	if got := change("caseworker", reportChange{State: reports.StateTaken}); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := change("village caseworker", reportChange{State: reports.StateTaken}); got.status != 409 || got.problem(t).Code != "taken" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := change("village caseworker", reportChange{State: reports.StateTaken, TakeOver: true}); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := change("caseworker", reportChange{State: reports.StateClosed, Outcome: reports.Helped, Note: "已送餐"}); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := change("caseworker", reportChange{State: reports.StateVisited}); got.status != 409 || got.problem(t).Code != "report_state" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// The catalogue has a text for everything that a report can be.
func TestCatalogueKnowsReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var keys []string
	for _, k := range reports.Kinds() {
		keys = append(keys, "report_kind."+k)
	}
	for _, k := range reports.Times() {
		keys = append(keys, "report_seen."+k)
	}
	for _, s := range reports.States() {
		keys = append(keys, "report_state."+string(s), "report_step."+string(s))
	}
	for _, o := range reports.Outcomes() {
		keys = append(keys, "report_outcome."+string(o))
	}
	for _, key := range keys {
		if !w.app.site.Page("zh", pages.User{}, "", "/").Has(key) {
			t.Errorf("the catalogue has no %s", key)
		}
	}
}
