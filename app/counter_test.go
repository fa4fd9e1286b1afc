package app

import (
	"bytes"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
)

// A counter is told what its organisation owes, without a word of who it is but for
// what the person agreed to; every wrong code reads the same and counts.
func TestCounterSeesWhatItOwes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stopClock()
	id := w.owed("meal", 3)
	scan := func(actor, code string) answer {
		return w.do(actor, "POST", "/api/v1/counter/scans", counterScanRequest{code})
	}
	got := scan("provider", w.digits(w.person))
	var look care.CounterLook
	got.into(t, &look)
	if len(look.Items) != 1 || look.Items[0].QtyUnits != 3 || look.Initial != "" {
		t.Fatalf("without consent to tell providers: %s", got.body)
	}
	if _, err := w.app.Residents.SetConsent(t.Context(), "test", w.person.ID, []string{residents.ConsentMatching, residents.ConsentHandover}); err != nil {
		t.Fatal(err)
	}
	got = scan("provider", w.person.CardNo)
	got.into(t, &look)
	if look.Initial != "金＊＊" {
		t.Errorf("with consent: %s", got.body)
	}
	for _, canary := range []string{canaryName, canaryID, canaryPhone, canaryNote, w.person.ID, w.person.CardNo, w.person.Household, id, village} {
		if bytes.Contains(got.body, []byte(canary)) {
			t.Errorf("a counter is told %q", canary)
		}
	}
	// The person sees who looked.
	if e := w.lastAudit(); e.Act != "counter_scan" || e.Subject != w.person.ID || e.Outcome != "ok" || e.Role != "provider" {
		t.Errorf("in the audit log: %+v", e)
	}
	// An unknown card, somebody to whom nothing is owed, another organisation's promise: one answer.
	foreign := scan("other provider", w.digits(w.person))
	if foreign.status != 404 {
		t.Fatalf("%d %s", foreign.status, foreign.body)
	}
	for what, a := range map[string]answer{
		"nothing owed": scan("provider", w.digits(w.other)), "unknown card": scan("provider", "123456789012"), "rubbish": scan("provider", "x"),
	} {
		if a.status != 404 || !bytes.Equal(a.body, foreign.body) {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	for range 40 {
		foreign = scan("provider", "x")
	}
	if foreign.status != 429 {
		t.Errorf("after forty wrong codes: %d", foreign.status)
	}
}

// A canteen without scripts gives two of three meals and the rest later, on a page.
func TestCounterPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owed("meal", 3)
	w.owed("discount", 1)
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	ask := func(path string, v url.Values) answer {
		return w.do("provider", "POST", path, strings.NewReader(v.Encode()), form)
	}
	page := ask("/counter", url.Values{"code": {w.person.CardNo}})
	wantPage(t, page, 200, "柜台试meal", "3 份", "已付清", "享受优惠")
	fields := func(page answer, title string) url.Values {
		t.Helper()
		_, after, _ := strings.Cut(string(page.body), "<h3>"+title+"</h3>")
		article, _, _ := strings.Cut(after, "</article>")
		v := url.Values{}
		for _, m := range hiddenField.FindAllStringSubmatch(article, -1) {
			v.Set(m[1], html.UnescapeString(m[2]))
		}
		return v
	}
	v := fields(page, "柜台试meal")
	v.Set("units", "2")
	page = ask("/counter/handover", v)
	wantPage(t, page, 200, "已交付：柜台试meal，2 份。", "还剩 1 份", "已交付 2 份，共 3 份", "柜台试discount")
	wantPage(t, ask("/counter/handover", v), 200, "已交付 2 份，共 3 份") // sent again
	v.Set("units", "3")
	wantPage(t, ask("/counter/handover", v), 409, "另一位同事刚交付了其中一部分")
	v = fields(page, "柜台试meal")
	v.Set("instead", "馒头")
	v.Set("instead_why", "because")
	wantPage(t, ask("/counter/handover", v), 400, "请选择替代的原因")
	v.Set("instead_why", "sold_out")
	page = ask("/counter/handover", v)
	wantPage(t, page, 200, "已交付：柜台试meal，1 份。", "柜台试discount")
	if v := fields(page, "柜台试meal"); len(v) > 0 {
		t.Errorf("what is given is still owed: %v", v)
	}
	// The resident reads what was given in its place.
	wantPage(t, w.do("resident", "GET", "/me", nil), 200, "馒头", "原物已发完")
	wantPage(t, ask("/counter", url.Values{"code": {"123456789012"}}), 404, "贵机构目前没有待交付给此人的内容")
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)
