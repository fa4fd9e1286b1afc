package app

import (
	"bytes"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
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

// A resident's voucher is shown with its code, redeemed once, and wrong codes run
// into the limit; the landing page of its picture names nobody.
func TestVoucherPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stopClock()
	id := w.owedBy("voucher", 2, providers.Handover{How: providers.Voucher})
	wantPage(t, w.do("resident", "GET", "/me", nil), 200, "接受后即可查看券码")
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	ask := func(actor, path string, v url.Values) answer {
		return w.do(actor, "POST", path, strings.NewReader(v.Encode()), form)
	}
	ask("resident", "/allocations/"+id+"/accept", url.Values{})
	wantPage(t, w.do("resident", "GET", "/me", nil), 200, "/allocations/"+id+"/vouchers")
	page := w.do("resident", "GET", "/allocations/"+id+"/vouchers", nil)
	wantPage(t, page, 200, "第 1 张", "第 2 张", "<svg class=\"voucher-qr\"")
	code := regexp.MustCompile("V[0-9A-Z]{3}-[0-9A-Z]{4}-[0-9A-Z]{4}").FindString(string(page.body))
	page = ask("provider", "/counter", url.Values{"code": {strings.ToLower(code)}})
	wantPage(t, page, 200, code, "1 张", "核销这张券")
	attempt := regexp.MustCompile(`name="attempt" value="([^"]+)"`).FindStringSubmatch(string(page.body))
	if attempt == nil {
		t.Fatalf("no attempt: %s", page.body)
	}
	redeem := url.Values{"code": {code}, "attempt": {attempt[1]}}
	for range 2 {
		wantPage(t, ask("provider", "/counter/voucher", redeem), 200, "已核销，请交付")
	}
	redeem.Set("attempt", "another")
	wantPage(t, ask("provider", "/counter/voucher", redeem), 409, "这张已经用过了")
	wantPage(t, ask("provider", "/counter", url.Values{"code": {code}}), 200, "用过")
	wantPage(t, w.do("resident", "GET", "/allocations/"+id+"/vouchers", nil), 200, `gone">`+code)
	if e := w.lastAudit(); e.Act != "view_vouchers" || e.Subject != w.person.ID {
		t.Errorf("in the audit log: %+v", e)
	}
	foreign := w.do("other provider", "POST", "/api/v1/counter/vouchers/check", voucherRequest{code})
	invented := w.do("other provider", "POST", "/api/v1/counter/vouchers/check", voucherRequest{"V000-0000-0000"})
	if foreign.status != 404 || !bytes.Equal(foreign.body, invented.body) {
		t.Errorf("another's voucher: %d %s, an invented one: %s", foreign.status, foreign.body, invented.body)
	}
	for range 40 {
		invented = w.do("other provider", "POST", "/api/v1/counter/vouchers/redeem", redeemRequest{Code: "V000-0000-0000"})
	}
	if invented.status != 429 {
		t.Errorf("after forty guesses: %d", invented.status)
	}
}

// What is brought home is listed by town: on the day, names, phones and addresses
// of those who agreed, who find it in the audit log; of others, and ahead of the
// day, nothing.
func TestRoundNamesOnlyThoseWhoAgreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owedBy("grocery", 2, providers.Handover{How: providers.Delivery})
	if _, err := w.app.Residents.SetAddress(t.Context(), w.person.ID, canaryAddress); err != nil {
		t.Fatal(err)
	}
	personal := []string{canaryName, canaryPhone, canaryAddress}
	ask := func(path string) answer { return w.do("provider", "GET", path, nil) }
	silent := func(when string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			got := ask(path)
			for _, canary := range append(personal, canaryID, canaryNote, w.person.ID, w.person.CardNo) {
				if got.status != 200 || bytes.Contains(got.body, []byte(canary)) {
					t.Errorf("%s, %s (%d) tells %q", when, path, got.status, canary)
				}
			}
		}
	}
	wantPage(t, ask("/counter/round"), 200, "柜台试grocery", "本人未同意告知", "2 份")
	silent("without consent", "/counter/round", "/api/v1/counter/rounds", "/counter/today", "/api/v1/counter/today")
	if _, err := w.app.Residents.SetConsent(t.Context(), "test", w.person.ID, []string{residents.ConsentMatching, residents.ConsentDelivery}); err != nil {
		t.Fatal(err)
	}
	china := time.FixedZone("", 8*3600)
	ahead := "?day=" + w.now().In(china).AddDate(0, 0, 1).Format(time.DateOnly)
	silent("the day before", "/counter/round"+ahead, "/api/v1/counter/rounds"+ahead)
	wantPage(t, ask("/counter/round"), 200, personal...)
	if e := w.lastAudit(); e.Act != "delivery_list" || e.Subject != w.person.ID || e.Role != "provider" {
		t.Errorf("in the audit log: %+v", e)
	}
	silent("with consent to be named at the door", "/counter/today", "/api/v1/counter/today", "/offers", "/api/v1/events")
	if got := w.do("other provider", "GET", "/counter/round", nil); bytes.Contains(got.body, []byte(canaryName)) {
		t.Error("another organisation is told who they are")
	}
	if got := ask("/counter/round?day=yesterday"); got.status != 400 {
		t.Errorf("a day that is none: %d", got.status)
	}
	// Nobody at home: tried first, then given up, and others get it.
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	item := url.Values{"item": {w.itemOf("grocery")}, "round": {"1"}}
	w.do("provider", "POST", "/counter/tried", strings.NewReader(item.Encode()), form)
	wantPage(t, ask("/counter/round"), 200, "上门无人", "不再送")
	wantOn(t, w.do("provider", "POST", "/counter/noshow", strings.NewReader(item.Encode()), form), `^/counter/round\?done=no_show$`)
	wantPage(t, ask("/counter/round"), 200, "这一天没有要送的")
	wantPage(t, w.do("resident", "GET", "/me", nil), 200, "上门时无人在家")
}

// A wrong click at the counter is put right from the day's list; who is only late
// does not lose the meal.
func TestCounterDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owed("meal", 2)
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	ask := func(path string, v url.Values) answer {
		return w.do("provider", "POST", path, strings.NewReader(v.Encode()), form)
	}
	wantPage(t, ask("/counter/noshow", url.Values{"item": {w.itemOf("meal")}}), 409, "还没过四分之三")
	g := w.counterGiving("meal")
	g.Units = 2
	if got := w.do("provider", "POST", "/api/v1/counter/handovers", g); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	wantPage(t, w.do("provider", "GET", "/counter/today", nil), 200, "柜台试meal", "2 份", "目前没有待领取的")
	back := url.Values{"item": {g.Item}, "units": {"1"}, "given_units": {"2"}, "why": {"mistake"}}
	wantOn(t, ask("/counter/return", back), `^/counter/today\?done=returned$`)
	wantPage(t, w.do("provider", "GET", "/counter/today", nil), 200, "1 份")
	wantPage(t, w.do("resident", "GET", "/me", nil), 200, "记错了，实际没有给")
	back.Set("given_units", "9")
	wantPage(t, ask("/counter/return", back), 409, "另一位同事刚交付了其中一部分")
}
