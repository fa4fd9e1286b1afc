package app

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

const carerPIN = "975318" // of the world's carer

// carerMay are the routes beyond the public ones that a carer may use: the
// code, who is signed in, the language, where the installed app begins.
var carerMay = map[string]bool{"getMe": true, "putLang": true, "listMyCodes": true, "getMyCodeSVG": true, "showStart": true} // read only

// carerCell is what the matrix wants for a carer: what a visitor gets, the
// routes above, and nothing else.
func carerCell(r Route, c cells) byte {
	if c[0] == '+' || carerMay[r.Name] {
		return '+'
	}
	return 'r'
}

// carerRows are the rows of the matrix for carerRoutes.
func carerRows(w *world) map[string]row {
	t := w.t
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body any) row {
		return row{cells: c, path: path, body: func(*world) any { return body }}
	}
	form := func(c cells, path, values string) row {
		return row{cells: c, path: path, kind: formType, body: func(*world) any { return strings.NewReader(values) }}
	}
	const api = apiPrefix
	person := "/residents/" + w.person.ID
	ended, err := w.app.Residents.AddCarer(t.Context(), "test", residents.NewCarer{
		Resident: w.person.ID, Name: "赵某", Relation: "other", PIN: "112233", UntilMs: w.now().Add(time.Hour).UnixMilli(),
	})
	must(t, err)
	carer, end := person+"/carers/"+w.carer.ID, person+"/carers/"+ended.ID+"/end"
	forgotten, err := w.app.Residents.AddCarer(t.Context(), "test", residents.NewCarer{
		Resident: w.person.ID, Name: "孙某", Relation: "other", PIN: "112233", UntilMs: w.now().Add(time.Hour).UnixMilli(),
	})
	must(t, err)
	pin := person + "/carers/" + forgotten.ID + "/pin"
	photographed := w.promised("repair")
	kind, _ := withFile(t, "file", picture(t, 40, 30), nil)
	return map[string]row{
		"revokeCode":       {}, // ends the code the matrix works with: TestRevokeCells
		"listCarers":       get(selfHere, api+person+"/carers"),
		"createCarer":      with(selfHere, api+person+"/carers", carerRequest{Name: " "}), // a right one fills the places
		"endCarer":         with(selfHere, api+end, carerEndRequest{"unneeded"}),
		"resetCarerPIN":    with(workersHere, api+pin, nil),
		"saveCarerPIN":     form(workersHere, pin, ""),
		"getCarerCodeSVG":  get(workersHere, api+carer+"/code.svg"),
		"listHistory":      get(selfHere, api+person+"/history"),
		"addPhoto":         {cells: workersHere, path: api + "/allocations/" + photographed + "/photo", kind: kind, body: func(*world) any { _, b := withFile(t, "file", picture(t, 40, 30), nil); return b }},
		"getPhoto":         get(workersHere, api+"/allocations/"+photographed+"/photo"),
		"showLost":         get(workersHere, person+"/lost"),
		"saveRevoked":      form(workersHere, person+"/revoke", "reason="), // a reason would end it
		"saveReissue":      form(workersHere, person+"/reissue", "reason="),
		"saveCarer":        form(workersHere, person+"/carers", "carer_name="),
		"saveCarerEnded":   form(workersHere, end, "reason=unneeded"),
		"showCarerCard":    get(workersHere, carer+"/card"),
		"showMyLost":       get(selfOnly, "/me/lost"),
		"saveMyRevoked":    form(selfOnly, "/me/revoke", "reason="),
		"saveMyCarer":      form(selfOnly, "/me/carers", "carer_name="),
		"saveMyCarerEnded": {}, // only of one's own: TestResidentMakesAndEndsACarer
	}
}

// picture is a JPEG of a size.
func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)), nil))
	return b.Bytes()
}

// withFile is a form with a file; its content type, and the form.
func withFile(t *testing.T, field string, file []byte, values map[string]string) (kind string, body io.Reader) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	must(t, m.SetBoundary("boundary"))
	for name, v := range values {
		must(t, m.WriteField(name, v))
	}
	part, err := m.CreateFormFile(field, "photo.jpg")
	must(t, err)
	_, err = part.Write(file)
	must(t, err)
	must(t, m.Close())
	return m.FormDataContentType(), &b
}

func TestRevokeCells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := "/api/v1/residents/" + w.person.ID + "/code/revoke"
	for i, actor := range append(actorsInOrder, "carer") {
		want := byte('r')
		if i < len(selfHere) {
			want = selfHere[i]
		}
		if want == '+' {
			continue
		}
		if got := w.do(actor, "POST", api, reasonRequest{"lost"}); got.status != map[byte]int{'s': 401, 'r': 403, '-': 404}[want] {
			t.Errorf("as %s: %d", actor, got.status)
		}
	}
	if got := w.do("caseworker", "POST", api, reasonRequest{"moved"}); got.status != 400 {
		t.Errorf("a reason that is none: %d %s", got.status, got.body)
	}
	if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)}); got.status != 200 {
		t.Errorf("a refused request revoked the code: %d", got.status)
	}
}

// Threats, "revoked or re-issued card": from the answer on, no request takes
// the code, by card, number or screen, in a scan, a look-up or a sign-in.
func TestRevokedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	codes := w.codes("resident").Tokens
	digits, cardNo := w.digits(w.person), w.person.CardNo
	person := "/api/v1/residents/" + w.person.ID
	var code codeView
	w.do("caseworker", "POST", person+"/code/revoke", reasonRequest{"stolen"}).into(t, &code)
	if code.Status != residents.CodeRevoked || code.ID != w.person.Code {
		t.Errorf("answered %+v", code)
	}
	dead := func(when string) {
		t.Helper()
		for _, c := range []string{digits, cardNo, codes[0], codes[1]} {
			if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{c}); got.status != 404 || got.problem(t).Code != "unknown_code" {
				t.Errorf("%s: scan: %d %s", when, got.status, got.body)
			}
			if got := w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{c, "246813"}); got.status != 401 {
				t.Errorf("%s: sign-in: %d", when, got.status)
			}
		}
		if got := w.do("caseworker", "POST", "/api/v1/residents/find", findRequest{CardNo: cardNo}); got.status != 404 {
			t.Errorf("%s: look-up: %d", when, got.status)
		}
	}
	dead("revoked")
	if got := w.do("resident", "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("whoever signed in with it is still in: %d", got.status)
	}
	if got := w.do("carer", "GET", "/api/v1/me/codes", nil); got.status != 200 {
		t.Errorf("the carer's code went with it: %d %s", got.status, got.body)
	}
	w.account("worker", accounts.Caseworker, county, "")
	page := "/residents/" + w.person.ID
	wantPage(t, w.do("page worker", "GET", page, nil), 200, "挂失，不能再用", "被盗或被人拿走", "补发新码")
	wantPage(t, w.do("page worker", "GET", page+"/lost", nil), 200, "原来的码已经失效")
	wantOn(t, w.submit("page worker", page+"/reissue", url.Values{"reason": {"lost"}}), page+`/card\?done=reissued$`)
	dead("re-issued")
	fresh, err := w.app.Residents.Get(t.Context(), w.person.ID)
	must(t, err)
	if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{fresh.CardNo}); got.status != 200 {
		t.Errorf("the new card: %d", got.status)
	}
	var lines list[historyView]
	w.do("caseworker", "GET", person+"/history", nil).into(t, &lines)
	var story []string
	for i, x := range lines.Items {
		story = append(story, x.Kind+" "+string(x.Why))
		if i > 0 && x.AtMs > lines.Items[i-1].AtMs {
			t.Errorf("not newest first: %+v", lines.Items)
		}
	}
	if got, want := strings.Join(story, "; "), "code_issued ; code_revoked stolen; carer_added ; code_issued "; got != want {
		t.Errorf("history %q, want %q", got, want)
	}
}

// A resident whose card is gone revokes it with the phone, and is told what
// comes next; other sessions end, the own one does not.
func TestResidentRevokes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.browse("here", w.person.CardNo, "246813")
	w.browse("thief", w.person.CardNo, "246813")
	wantPage(t, w.do("here", "GET", "/me/lost", nil), 200, "确认挂失", "代持人的码不受影响")
	wantPage(t, w.submit("here", "/me/revoke", url.Values{}), 400, "请选择原因")
	wantOn(t, w.submit("here", "/me/revoke", url.Values{"reason": {"lost"}}), `^/me\?done=revoked$`)
	mine := w.do("here", "GET", "/me", nil)
	wantPage(t, mine, 200, "挂失，不能再用", "请到所在村（社区）补发新码")
	if strings.Contains(string(mine.body), "/me/code?elder") {
		t.Error("a dead code is offered to be shown")
	}
	if got := w.do("thief", "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("another session lives on: %d", got.status)
	}
	if got := w.do("here", "GET", "/api/v1/me/codes", nil); got.status != 409 {
		t.Errorf("codes of a dead code: %d %s", got.status, got.body)
	}
	if e := w.auditOf(w.person.ID, "revoke_code"); e.Actor != "resident:"+w.person.ID || e.Subject != w.person.ID || e.Outcome != "ok" {
		t.Errorf("audit: %+v", e)
	}
	wantPage(t, w.do("here", "GET", "/me/lost", nil), 200, "请到所在村（社区）补发新码")
}

func (w *world) auditOf(subject, act string) (e struct{ Actor, Subject, Outcome, Division string }) {
	w.t.Helper()
	page, _, err := w.app.Audit.Of(w.t.Context(), subject, "", 50)
	must(w.t, err)
	for _, x := range page {
		if x.Act == act {
			e.Actor, e.Subject, e.Outcome, e.Division = x.Actor, x.Subject, x.Outcome, x.Division
			return e
		}
	}
	w.t.Fatalf("no %s in the audit log", act)
	return e
}

// A carer signs in with the carer's card and PIN and gets the carer's code of
// this moment; a scan of it opens the resident and says who shows it.
func TestCarerShowsACode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.submit("visitor", "/signin", url.Values{"username": {w.carer.CardNo}, "password": {carerPIN}})
	wantOn(t, got, "^/me/code$")
	w.actors["in"] = &actorHeaders{name: "in", cookie: sessionCookie(t, got)}
	var me meView
	w.do("in", "GET", "/api/v1/me", nil).into(t, &me)
	if me.Carer != w.carer.ID || me.Resident != w.person.ID || me.Account != "carer:"+w.carer.ID {
		t.Errorf("signed in as %+v", me)
	}
	if home := w.do("in", "GET", "/", nil); home.header.Get("Location") != "/me/code" {
		t.Errorf("home is %s", home.header.Get("Location"))
	}
	w.forward(0)
	v := w.codes("in")
	if v.CardNo != w.carer.CardNo {
		t.Errorf("shows card number %s", v.CardNo)
	}
	var result care.ScanResult
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{v.Tokens[0]}).into(t, &result)
	if result.Resident.ID != w.person.ID || result.ShownBy == nil || result.ShownBy.Name != canaryCarer || result.ShownBy.Relation != "child" {
		t.Errorf("scan: %+v, %+v", result.Resident, result.ShownBy)
	}
	w.account("worker", accounts.Caseworker, county, "")
	page := wantOn(t, w.submit("page worker", "/scan", url.Values{"code": {w.carer.CardNo}}), `^/residents/[^?]+\?scan=`)
	wantPage(t, w.do("page worker", "GET", page, nil), 200, "由子女"+canaryCarer+"代为出示")
	if other := w.do("page worker", "GET", "/residents/"+w.person.ID+"?scan="+result.Scan, nil); strings.Contains(string(other.body), "代为出示") {
		t.Error("another's scan is taken for one's own")
	}
	for _, wrong := range []string{"246813", "000000"} { // the resident's PIN is not the carer's
		if got := w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{w.carer.CardNo, wrong}); got.status != 401 {
			t.Errorf("with PIN %s: %d", wrong, got.status)
		}
	}
	for range 10 {
		w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{w.carer.CardNo, "000000"})
	}
	if got := w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{w.carer.CardNo, carerPIN}); got.status != 401 {
		t.Errorf("the right PIN of a locked carer: %d", got.status)
	}
}

// A carer's session dies with the carer's time, at the very moment, whatever
// ends it.
func TestCarerSessionDies(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world){
		"ended": func(w *world) {
			got := w.do("caseworker", "POST", "/api/v1/residents/"+w.person.ID+"/carers/"+w.carer.ID+"/end", carerEndRequest{"lost"})
			if got.status != 200 {
				w.t.Errorf("end: %d %s", got.status, got.body)
			}
		},
		"deceased": func(w *world) {
			got := w.do("caseworker", "PUT", "/api/v1/residents/"+w.person.ID+"/status", statusRequest{"deceased"})
			if got.status != 200 {
				w.t.Errorf("status: %d %s", got.status, got.body)
			}
		},
		"expired": func(w *world) {
			w.shift.Store(int64(time.Until(time.UnixMilli(w.carer.UntilMs))))
			w.residentsSignIn() // sessions last for hours; this one began a moment ago
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if got := w.do("carer", "GET", "/api/v1/me/codes", nil); got.status != 200 {
				t.Fatalf("before: %d", got.status)
			}
			end(w)
			for _, path := range []string{"/api/v1/me", "/api/v1/me/codes", "/api/v1/me/code.svg"} {
				if got := w.do("carer", "GET", path, nil); got.status != 401 {
					t.Errorf("%s: %d", path, got.status)
				}
			}
			if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.carer.CardNo}); got.status != 404 {
				t.Errorf("scan: %d", got.status)
			}
			if got := w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{w.carer.CardNo, carerPIN}); got.status != 401 {
				t.Errorf("sign-in: %d", got.status)
			}
		})
	}
}

func TestWorkerMakesAndEndsACarer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("worker", accounts.Caseworker, county, "")
	page := "/residents/" + w.person.ID
	form := w.do("page worker", "GET", page, nil)
	wantPage(t, form, 200, canaryCarer, "设立代持人", "打印代持卡")
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindSubmatch(form.body)
	if key == nil {
		t.Fatal("the form has no key")
	}
	day := w.now().Add(48 * time.Hour).In(chinaTime).Format("2006-01-02")
	values := url.Values{"key": {string(key[1])}, "carer_name": {"赵护士"}, "carer_relation": {"carer"}, "carer_until": {day}, "carer_pin": {"12"}}
	bad := w.submit("page worker", page+"/carers", values)
	wantPage(t, bad, 400, `id="f-carer_pin-error"`, `value="赵护士"`)
	values.Set("carer_pin", "445566")
	for range 2 { // a second press is the same carer
		wantOn(t, w.submit("page worker", page+"/carers", values), `done=carer#main$`)
	}
	var carers list[carerView]
	w.do("caseworker", "GET", "/api/v1"+page+"/carers", nil).into(t, &carers)
	if len(carers.Items) != 2 || carers.Items[0].Name != "赵护士" || carers.Items[0].State != "active" || carers.Items[1].Phone != canaryCarerPhone {
		t.Fatalf("carers: %+v", carers.Items)
	}
	id := carers.Items[0].ID
	card := w.do("page worker", "GET", page+"/carers/"+id+"/card", nil)
	wantPage(t, card, 200, "赵＊＊", "代 金＊＊ 持", day, `viewBox="4 4 `)
	if strings.Contains(string(card.body), "赵护士") || strings.Contains(string(card.body), canaryName) {
		t.Error("the card names somebody in full")
	}
	if got := w.do("caseworker", "GET", "/api/v1/residents/"+w.other.ID+"/carers/"+id+"/code.svg", nil); got.status != 404 {
		t.Errorf("under another resident: %d", got.status)
	}
	wantOn(t, w.submit("page worker", page+"/carers/"+id+"/end", url.Values{"reason": {"unneeded"}}), `done=carer_ended#main$`)
	if got := w.do("page worker", "GET", page+"/carers/"+id+"/card", nil); got.status != 404 {
		t.Errorf("the card of an ended carer: %d", got.status)
	}
	wantPage(t, w.do("page worker", "GET", page, nil), 200, "停用代持人", "赵护士")
}

// Changes of the PIN are found among the newest entries of the audit log; the
// history says from when on it has them.
func TestHistorySaysHowFarBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("worker", accounts.Caseworker, county, "")
	const told = "之前的 PIN 变更没有列在这里"
	page := "/residents/" + w.person.ID
	history := func() (h historyPage) {
		t.Helper()
		w.do("caseworker", "GET", "/api/v1"+page+"/history", nil).into(t, &h)
		return h
	}
	if got := w.do("caseworker", "POST", "/api/v1"+page+"/pin", pinRequest{"135791"}); got.status >= 300 {
		t.Fatalf("set the PIN: %d %s", got.status, got.body)
	}
	if h := history(); h.PINFromMs != 0 || h.Items[0].Kind != "pin_set" {
		t.Errorf("the history is %+v", h)
	}
	if got := w.do("page worker", "GET", page, nil); strings.Contains(string(got.body), told) {
		t.Error("the page says that something is left out")
	}
	look := audit.Entry{Actor: "somebody", Act: "view_resident", Subject: w.person.ID, Outcome: "ok"}
	for range looksBack / 200 {
		must(t, w.app.Audit.Write(t.Context(), slices.Repeat([]audit.Entry{look}, 200)...))
	}
	if h := history(); h.PINFromMs == 0 || len(h.Items) == 0 {
		t.Errorf("the history is %+v", h)
	}
	wantPage(t, w.do("page worker", "GET", page, nil), 200, told)
}

// A carer who forgot the PIN, or told it, gets a new one: the old PIN and the
// sessions that it opened are dead at once, a lock is over, and who did it
// stands in the log and in the history.
func TestCarerGetsANewPIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("worker", accounts.Caseworker, county, "")
	carer := "/residents/" + w.person.ID + "/carers/" + w.carer.ID
	signIn := func(pin string) answer {
		return w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{w.carer.CardNo, pin})
	}
	for range 10 {
		signIn("000000")
	}
	if got := signIn(carerPIN); got.status != 401 {
		t.Fatalf("locked: %d", got.status)
	}
	resets := map[string]func() string{
		"the API": func() string {
			var v carerPINView
			w.do("caseworker", "POST", "/api/v1"+carer+"/pin", nil).into(t, &v)
			if v.Carer.ID != w.carer.ID || v.Carer.Name != canaryCarer {
				t.Errorf("answered %+v", v.Carer)
			}
			return v.PIN
		},
		"the page": func() string {
			got := w.submit("page worker", carer+"/pin", url.Values{})
			wantPage(t, got, 200, canaryCarer, "只显示这一次")
			pin := regexp.MustCompile(`<code class="pin">(\d{6})</code>`).FindSubmatch(got.body)
			if pin == nil {
				t.Fatal("the page shows no PIN")
			}
			if again := w.do("page worker", "GET", "/residents/"+w.person.ID, nil); bytes.Contains(again.body, pin[1]) {
				t.Error("the PIN is shown again")
			}
			return string(pin[1])
		},
	}
	old, session := carerPIN, "carer"
	for _, name := range []string{"the API", "the page"} {
		pin := resets[name]()
		if got := w.do(session, "GET", "/api/v1/me/codes", nil); got.status != 401 {
			t.Errorf("%s: the session of before: %d", name, got.status)
		}
		if got := signIn(old); got.status != 401 {
			t.Errorf("%s: the PIN of before: %d", name, got.status)
		}
		got := signIn(pin)
		if got.status != 201 {
			t.Fatalf("%s: the new PIN: %d %s", name, got.status, got.body)
		}
		old, session = pin, name
		w.actors[name] = &actorHeaders{name: name, cookie: sessionCookie(t, got)}
	}
	if got := w.do("resident", "GET", "/api/v1/me", nil); got.status != 200 {
		t.Errorf("the resident is signed out too: %d", got.status)
	}
	if e := w.auditOf(w.person.ID, "reset_carer_pin"); e.Outcome != "ok" || e.Division != w.person.Division {
		t.Errorf("audit: %+v", e)
	}
	wantPage(t, w.do("page worker", "GET", "/residents/"+w.person.ID, nil), 200, "重设代持人 PIN："+canaryCarer)
	if got := w.do("caseworker", "POST", "/api/v1/residents/"+w.other.ID+"/carers/"+w.carer.ID+"/pin", nil); got.status != 404 {
		t.Errorf("under another resident: %d", got.status)
	}
	w.do("caseworker", "POST", "/api/v1"+carer+"/end", carerEndRequest{"unneeded"})
	if got := w.do("caseworker", "POST", "/api/v1"+carer+"/pin", nil); got.status != 404 {
		t.Errorf("of a carer whose time is over: %d", got.status)
	}
}

// The resident does it on the own page, and is asked for the PIN again.
func TestResidentMakesAndEndsACarer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.browse("me", w.person.CardNo, "246813")
	day := w.now().Add(48 * time.Hour).In(chinaTime).Format("2006-01-02")
	values := url.Values{"carer_name": {"王芳"}, "carer_relation": {"child"}, "carer_until": {day}, "carer_pin": {"445566"}}
	for _, pin := range []string{"", "000000"} {
		values.Set("own_pin", pin)
		wantPage(t, w.submit("me", "/me/carers", values), 400, `id="f-own_pin-error"`)
	}
	values.Set("own_pin", "246813")
	wantOn(t, w.submit("me", "/me/carers", values), `^/me\?done=carer#main$`)
	mine := w.do("me", "GET", "/me", nil)
	wantPage(t, mine, 200, "王芳", "设立代持人")
	api := "/api/v1/residents/" + w.person.ID + "/carers"
	in := carerRequest{Name: "李强", Relation: "neighbour", UntilMs: w.now().Add(time.Hour).UnixMilli(), PIN: "778899", ResidentPIN: "111111"}
	key := header{"Idempotency-Key", "one"}
	if got := w.do("me", "POST", api, in, key); got.status != 400 || got.problem(t).Code != "credentials" {
		t.Errorf("with a wrong own PIN: %d %s", got.status, got.body)
	}
	in.ResidentPIN = "246813" // put right, under the same key
	for range 2 {
		var v carerView
		w.do("me", "POST", api, in, key).into(t, &v)
		if v.State != "active" || v.CreatedBy != "resident:"+w.person.ID {
			t.Errorf("made %+v", v)
		}
	}
	w.actors["other me"] = w.actors["other resident"]
	if got := w.submit("other me", "/me/carers/"+w.carer.ID+"/end", url.Values{"reason": {"lost"}}); got.status != 404 {
		t.Errorf("another resident ends it: %d", got.status)
	}
	wantOn(t, w.submit("me", "/me/carers/"+w.carer.ID+"/end", url.Values{"reason": {"lost"}}), `^/me\?done=carer_ended#main$`)
	if got := w.do("carer", "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("the ended carer is still in: %d", got.status)
	}
	var carers list[carerView]
	w.do("me", "GET", api, nil).into(t, &carers)
	if len(carers.Items) != 3 {
		t.Errorf("%d carers, want 3: %+v", len(carers.Items), carers.Items)
	}
}

// What carers are called stands nowhere but where somebody may see it.
func TestCarersAreNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("caseworker", "GET", "/api/v1/residents/"+w.person.ID+"/carers", nil)
	for _, path := range []string{"/api/v1/residents/" + w.person.ID + "/carers", "/api/v1/events", "/offers"} {
		for _, actor := range []string{"provider", "other resident", "carer", "visitor"} {
			got := w.do(actor, "GET", path, nil)
			for _, canary := range []string{canaryCarer, canaryCarerPhone} {
				if bytes.Contains(got.body, []byte(canary)) {
					t.Errorf("%s as %s names the carer", path, actor)
				}
			}
		}
	}
	for _, canary := range []string{canaryCarer, canaryCarerPhone, w.carer.CardNo} {
		if strings.Contains(w.logs.String(), canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
}

// grant has something worth 300 yuan promised to the person.
func (w *world) grant() string {
	w.t.Helper()
	now := w.now()
	_, err := w.app.Care.PostOffer(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.orgID, providers.NewOffer{
		TitleZH: "取暖器", Category: "clothing", ValueFen: 30_000, Divisions: []string{county}, Handover: pickup(),
		Lots: []providers.NewLot{{QtyUnits: 9, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(24 * time.Hour).UnixMilli()}},
	})
	must(w.t, err)
	n := w.need(w.person, "clothing")
	result, err := w.app.Care.Scan(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.person.CardNo)
	must(w.t, err)
	for _, a := range result.Offered {
		if a.Need == n.ID && a.PINRequired {
			return a.ID
		}
	}
	w.t.Fatalf("nothing that takes a PIN: %+v", result.Offered)
	return ""
}

// Threats, "copied card": above the limit a scan alone hands nothing over; the
// PIN or a photo does, by the API and by the form.
func TestCopiedCardHandsOverNothingWorthMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.grant()
	path := "/api/v1/allocations/" + id
	var scan care.ScanResult
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)}).into(t, &scan)
	key := header{"Idempotency-Key", "give"}
	got := w.do("caseworker", "POST", path+"/handover", handoverRequest{Scan: scan.Scan}, key, header{"Accept-Language", "zh"})
	if p := got.problem(t); got.status != 422 || p.Code != "proof_needed" || !strings.Contains(p.Detail, "PIN") || !strings.Contains(p.Detail, "照片") {
		t.Fatalf("a scan alone: %d %s", got.status, got.body)
	}
	if got := w.do("caseworker", "POST", path+"/handover", handoverRequest{Scan: scan.Scan, PIN: "000000"}, key); got.status != 422 || got.problem(t).Code != "wrong_pin" {
		t.Fatalf("a wrong PIN: %d %s", got.status, got.body)
	}
	var v care.AllocationView
	w.do("caseworker", "POST", path+"/handover", handoverRequest{Scan: scan.Scan, PIN: "246813"}, key).into(t, &v)
	if v.State != care.HandedOver || v.Proof != "pin" {
		t.Errorf("with the PIN: %+v", v)
	}

	w.account("worker", accounts.Caseworker, county, "")
	id = w.grant()
	page := wantOn(t, w.submit("page worker", "/scan", url.Values{"code": {w.person.CardNo}}), `\?scan=`)
	shown := w.do("page worker", "GET", page, nil)
	wantPage(t, shown, 200, "领取人的 PIN", `enctype="multipart/form-data"`)
	scanned := strings.SplitN(page, "scan=", 2)[1]
	wantPage(t, w.submit("page worker", "/allocations/"+id+"/handover", url.Values{"scan": {scanned}}), 422, "仅扫码不能交付", "领取人的 PIN", scanned)
	wantPage(t, w.submit("page worker", "/allocations/"+id+"/handover", url.Values{"scan": {scanned}, "pin": {"000000"}}), 422, "PIN 不正确")
	send := func(file []byte) answer {
		kind, body := withFile(t, "photo", file, map[string]string{"csrf": w.actors["page worker"].csrf, "scan": scanned, "pin": ""})
		return w.do("page worker", "POST", "/allocations/"+id+"/handover", body, header{"Content-Type", kind}, header{"X-CSRF-Token", ""})
	}
	wantPage(t, send([]byte("no picture")), 400, "请上传 JPEG、PNG 或 WebP 格式的照片")
	wantPage(t, send(nil), 422, "仅扫码不能交付")
	wantOn(t, send(picture(t, 1600, 1200)), `^/residents/[^?]+\?done=handed_over#main$`)
	wantPage(t, w.do("page worker", "GET", "/residents/"+w.person.ID, nil), 200, "/api/v1/allocations/"+id+"/photo", "照片")
}

// bombPNG says that it has so many pixels and is small.
func bombPNG(width, height uint32) []byte {
	out := []byte("\x89PNG\r\n\x1a\n")
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	header = append(binary.BigEndian.AppendUint32(header, height), 8, 2, 0, 0, 0)
	out = binary.BigEndian.AppendUint32(out, 13)
	out = append(out, header...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(header))
}

func TestPhotoOfAHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.grant()
	path := "/api/v1/allocations/" + id + "/photo"
	send := func(actor string, file []byte) answer {
		kind, body := withFile(t, "file", file, nil)
		return w.do(actor, "POST", path, body, header{"Content-Type", kind})
	}
	if got := send("caseworker", bombPNG(20_000, 20_000)); got.status != 413 {
		t.Errorf("a bomb: %d %s", got.status, got.body)
	}
	if got := send("caseworker", make([]byte, 10<<20+1)); got.status != 413 {
		t.Errorf("more than 10 MB: %d %s", got.status, got.body)
	}
	if got := send("caseworker", []byte("%PDF-1.7")); got.status != 400 || got.problem(t).Code != "bad_photo" {
		t.Errorf("no photo: %d %s", got.status, got.body)
	}
	if got := w.do("caseworker", "GET", path, nil); got.status != 404 {
		t.Errorf("a photo that is not there: %d", got.status)
	}
	tagged := picture(t, 2000, 1000)
	exif := append([]byte{0xff, 0xe1, 0, 2 + 6 + 21}, "Exif\x00\x00CANARY-PLACE-30.8931N"...)
	tagged = append(append(append([]byte{}, tagged[:2]...), exif...), tagged[2:]...)
	var v care.AllocationView
	send("caseworker", tagged).into(t, &v)
	if v.PINRequired || !v.Photo {
		t.Errorf("after the photo: %+v", v)
	}
	got := w.do("caseworker", "GET", path, nil)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "image/jpeg" || !strings.Contains(got.header.Get("Cache-Control"), "no-store") {
		t.Errorf("the photo: %d %v", got.status, got.header)
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(got.body))
	if err != nil || c.Width != 1280 || c.Height != 640 || bytes.Contains(got.body, []byte("CANARY")) || bytes.Contains(got.body, []byte("Exif")) {
		t.Errorf("kept %d×%d, %v", c.Width, c.Height, err)
	}
	if e := w.auditOf(w.person.ID, "view_photo"); e.Outcome != "ok" || e.Division == "" {
		t.Errorf("audit: %+v", e)
	}
	if e := w.auditOf(w.person.ID, "add_photo"); e.Outcome != "ok" {
		t.Errorf("audit: %+v", e)
	}
	w.do("caseworker", "POST", "/api/v1/allocations/"+id+"/handover", handoverRequest{}).into(t, &v)
	if v.Proof != "photo" {
		t.Errorf("handed over by %q", v.Proof)
	}
	if got := send("caseworker", tagged); got.status != 409 {
		t.Errorf("a photo after the handover: %d", got.status)
	}
}

// Photos count with the scans and handovers they belong to.
func TestPhotosAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/api/v1/allocations/" + w.grant() + "/photo"
	send := func() int {
		kind, body := withFile(t, "file", picture(t, 40, 30), nil)
		return w.do("caseworker", "POST", path, body, header{"Content-Type", kind}).status
	}
	for range int(allowanceOf(LimitScan).failed) {
		if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{"330500000000"}); got.status != 404 {
			t.Fatalf("a code that is nobody's: %d %s", got.status, got.body)
		}
	}
	if got := send(); got != 429 {
		t.Errorf("after guessing: %d, want 429", got)
	}
	w.shift.Add(int64(2 * allowanceOf(LimitScan).window))
	if got := send(); got != 200 {
		t.Errorf("two minutes later: %d, want 200", got)
	}
}

// However many photos come, two are decoded at a time. Who waits too long for
// a place is told so; the place is free again when a photo is done.
func TestPhotosWaitForAPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.app.photoWait = time.Millisecond
	paths := []string{"/api/v1/allocations/" + w.grant() + "/photo", "/api/v1/scans/photo"}
	send := func(path string) answer {
		kind, body := withFile(t, "file", picture(t, 40, 30), nil)
		return w.do("caseworker", "POST", path, body, header{"Content-Type", kind}, header{"Accept-Language", "zh"})
	}
	var leave []func()
	for range photosAtOnce {
		done, err := w.app.photoTurn(t.Context())
		must(t, err)
		leave = append(leave, done)
	}
	for _, path := range paths {
		if got := send(path); got.status != 503 || got.problem(t).Code != "busy" || !strings.Contains(got.problem(t).Detail, "请稍后") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	leave[0]()
	for range 2 {
		for i, want := range []int{200, 422} { // no code is in it
			if got := send(paths[i]); got.status != want {
				t.Errorf("%s, with a place: %d %s, want %d", paths[i], got.status, got.body, want)
			}
		}
	}
}

// No picture is made of a code that was revoked, nor of somebody who has moved
// away or died.
func TestRevokedCodeHasNoPicture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := "/residents/" + w.person.ID
	status := func(s residents.Status) func() {
		return func() {
			_, err := w.app.Residents.SetStatus(t.Context(), "test", w.person.ID, s)
			must(t, err)
		}
	}
	for _, x := range []struct {
		name string
		do   func()
		want int
	}{
		{"as it is", func() {}, 200},
		{"moved", status(residents.Moved), 409},
		{"died", status(residents.Deceased), 409},
		{"back", status(residents.Active), 200},
		{"revoked", func() {
			w.do("caseworker", "POST", "/api/v1"+at+"/code/revoke", reasonRequest{Reason: residents.WhyOther})
		}, 409},
	} {
		x.do()
		for _, path := range []string{at + "/card", "/api/v1" + at + "/code.svg", "/api/v1" + at + "/code.png"} {
			if got := w.do("caseworker", "GET", path, nil); got.status != x.want {
				t.Errorf("%s: %s: %d, want %d", x.name, path, got.status, x.want)
			}
		}
	}
}
