package app

import (
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

const formType = "application/x-www-form-urlencoded"

// submit sends a form of a page as a browser does.
func (w *world) submit(actor, path string, values url.Values) answer {
	w.t.Helper()
	if who := w.actors[actor]; who.csrf != "" {
		values.Set("csrf", who.csrf)
	}
	return w.do(actor, http.MethodPost, path, io.Reader(strings.NewReader(values.Encode())), header{"Content-Type", formType}, header{"X-CSRF-Token", ""})
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// browse signs somebody in by the form and keeps the cookie.
func (w *world) browse(name, username, password string) {
	w.t.Helper()
	a := w.submit("visitor", "/signin", url.Values{"username": {username}, "password": {password}})
	if a.status != http.StatusSeeOther {
		w.t.Fatalf("sign in as %s: status %d\n%s", name, a.status, a.body)
	}
	w.actors[name] = &actorHeaders{name: name, cookie: sessionCookie(w.t, a)}
	home := w.do(name, http.MethodGet, a.header.Get("Location"), nil)
	if home.status == http.StatusSeeOther {
		home = w.do(name, http.MethodGet, home.header.Get("Location"), nil)
	}
	m := csrfField.FindSubmatch(home.body)
	if m == nil {
		w.t.Fatalf("%s: status %d, no token on the page", name, home.status)
	}
	w.actors[name].csrf = string(m[1])
}

func (w *world) account(username string, role accounts.Role, division, organisation string) {
	w.t.Helper()
	_, err := w.app.Accounts.Create(w.t.Context(), "test", accounts.NewAccount{
		Username: username, Password: "long enough", Role: role, Division: division, Organisation: organisation, DisplayName: username, Lang: "zh",
	})
	must(w.t, err)
	w.browse("page "+username, username, "long enough")
}

func wantPage(t *testing.T, a answer, status int, texts ...string) {
	t.Helper()
	if a.status != status || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Fatalf("status %d (%s), want the page with %d\n%s", a.status, a.header.Get("Content-Type"), status, a.body)
	}
	for _, s := range texts {
		if !strings.Contains(string(a.body), s) {
			t.Errorf("the page does not hold %q\n%s", s, a.body)
		}
	}
	if strings.Contains(string(a.body), "⟦") {
		t.Errorf("a text is missing from the catalogue: %s", a.body)
	}
}

func wantOn(t *testing.T, a answer, pattern string) string {
	t.Helper()
	to := a.header.Get("Location")
	if a.status != http.StatusSeeOther || !regexp.MustCompile(pattern).MatchString(to) {
		t.Fatalf("status %d to %q, want 303 to %s\n%s", a.status, to, pattern, a.body)
	}
	return to
}

func TestPagesFromOfferToHappinessList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("giver", accounts.Provider, "", w.orgID)
	w.account("worker", accounts.Caseworker, county, "")
	clock := func(d time.Duration) string { return w.now().Add(d).In(chinaTime).Format("2006-01-02T15:04") }

	wrong := url.Values{"title_zh": {"<b>爱心餐</b>"}, "category": {"meal"}, "lot_qty": {"", "7"}, "lot_from": {"", clock(time.Hour)}, "lot_until": {"", clock(-time.Hour)},
		"divisions": {county}, "how": {"pickup"}, "place": {"食堂"}, "cap_period": {"day"}}
	wantPage(t, w.submit("page giver", "/offers/new", wrong), 400, "&lt;b&gt;爱心餐&lt;/b&gt;", `value="7"`, `class="error"`)
	kept := func(group, division, percent []string) url.Values {
		out := url.Values{"kept_group": group, "kept_division": division, "kept_percent": percent}
		for k, v := range wrong {
			out[k] = v
		}
		return out
	}
	more := kept([]string{"elderly"}, []string{""}, []string{"x"})
	more.Set("kept_more", "1")
	again := w.submit("page giver", "/offers/new", more)
	wantPage(t, again, 200, "&lt;b&gt;爱心餐&lt;/b&gt;", `id="kept-percent-3"`, `<option value="elderly" selected>`)
	if strings.Contains(string(again.body), `class="error"`) {
		t.Error("asking for more rows complains about the others")
	}
	wantPage(t, w.submit("page giver", "/offers/new", kept([]string{"", "elderly"}, []string{"", ""}, []string{"", "12.55"})), 400, "请填写百分比，例如 30 或 12.5。", `value="12.55"`)
	right := url.Values{"title_zh": {"爱心餐"}, "category": {"meal"}, "value_yuan": {"12.50"}, "lot_qty": {"", "7"}, "lot_from": {"", clock(-time.Hour)}, "lot_until": {"", clock(24 * time.Hour)},
		"divisions": {county}, "how": {"pickup"}, "place": {"食堂"}, "cap_units": {"2"}, "cap_period": {"day"},
		"kept_group": {"", "elderly", ""}, "kept_division": {"", "", county}, "kept_percent": {"", "50", "60"}}
	tooMuch := w.submit("page giver", "/offers/new", right)
	wantPage(t, tooMuch, 400, "各份保留加起来不得超过全部，请减少。")
	if at := strings.Index(string(tooMuch.body), "各份保留"); at < strings.Index(string(tooMuch.body), `id="kept-percent-2"`) {
		t.Error("the fault stands beside another row than the third, which was typed in")
	}
	right["kept_percent"] = []string{"", "50", "12.5"}
	offer := wantOn(t, w.submit("page giver", "/offers/new", right), `^/offers/[^/?]+\?done=offer$`)
	wantPage(t, w.do("page giver", "GET", offer, nil), 200, "爱心餐", "¥12.50", "吴兴区", "2 份", "为老年人保留 50%", "为吴兴区保留 12.5%",
		`<span data-kept="1">0</span> / <span data-kept-of="1">3</span>`)
	wantPage(t, w.do("page giver", "GET", "/offers", nil), 200, "爱心餐", "7 份")

	person := url.Values{"name": {"林阿婆"}, "id_number": {"330502194001011234"}, "division": {village}, "groups": {"elderly"}, "consent": {"matching"}, "score": {"600"}, "pin": {"864202"}}
	wantPage(t, w.submit("page worker", "/residents/new", person), 400, `value="林阿婆"`, `id="f-id_number-error"`, `value="330502194001011234"`)
	person.Set("id_number", idNumber("33050219400101", 77))
	path := wantOn(t, w.submit("page worker", "/residents/new", person), `^/residents/[^/?]+\?done=registered$`)
	path, _, _ = strings.Cut(path, "?")
	wantPage(t, w.submit("page worker", "/residents/new", person), 409, `id="f-id_number-error"`)

	wantPage(t, w.submit("page worker", path+"/needs", url.Values{"category": {"meal"}, "qty": {"许多"}, "urgency": {"3"}}), 400, `value="许多"`, `id="f-qty-error"`, "<details class=\"card fold-card\" id=\"need\" open>")
	wantOn(t, w.submit("page worker", path+"/needs", url.Values{"category": {"meal"}, "qty": {"2"}, "urgency": {"3"}, "note": {"软一点"}}), `\?done=need$`)

	id := strings.TrimPrefix(path, "/residents/")
	r, err := w.app.Residents.Get(t.Context(), id)
	must(t, err)
	wantPage(t, w.submit("page worker", "/scan", url.Values{"code": {"000000000000"}}), 404, `id="f-code"`)
	wantOn(t, w.submit("page worker", "/scan", url.Values{"code": {r.CardNo[:4] + " " + r.CardNo[4:]}}), "^"+path+`\?scan=`)
	wantOn(t, w.submit("page worker", "/residents/find", url.Values{"card": {r.CardNo}}), "^"+path+"$")
	wantPage(t, w.submit("page worker", "/residents/find", url.Values{"card": {w.other.CardNo}}), 404, `id="f-card-error"`)

	page := w.do("page worker", "GET", path, nil)
	wantPage(t, page, 200, "林阿婆", "爱心餐", "软一点", "现在交付")
	give := regexp.MustCompile(`/allocations/([^/"]+)/handover#`).FindSubmatch(page.body)
	if give == nil {
		t.Fatal("nothing to hand over")
	}
	w.browse("page resident", r.CardNo, "864202")
	mine := w.do("page resident", "GET", "/me", nil)
	wantPage(t, mine, 200, "林阿婆", "爱心餐", "/me/code?elder=1")
	if strings.Contains(string(mine.body), "/handover") {
		t.Error("residents can hand over to themselves")
	}
	wantOn(t, w.submit("page resident", "/allocations/"+string(give[1])+"/accept", url.Values{}), `^/me\?done=accepted$`)
	wantOn(t, w.submit("page worker", "/allocations/"+string(give[1])+"/handover", url.Values{}), "^"+path+`\?done=handed_over#main$`)
	mine = w.do("page resident", "GET", "/me", nil)
	wantPage(t, mine, 200, `<div class="end-box end-charity"><strong>1</strong>`, "worker")
	wantOn(t, w.submit("page resident", "/me/needs", url.Values{"category": {"cash"}, "qty": {"300"}, "urgency": {"1"}}), `^/me\?done=need$`)
	wantPage(t, w.do("page resident", "GET", "/me", nil), 200, "¥300.00")
	wantPage(t, w.do("page worker", "GET", path+"/card", nil), 200, "林＊＊")
	if card := w.do("page worker", "GET", path+"/card", nil); strings.Contains(string(card.body), "林阿婆") {
		t.Error("the card names the person in full")
	}
	old := r.CardNo
	wantPage(t, w.submit("page worker", path+"/reissue", url.Values{}), 400, "请选择原因")
	wantOn(t, w.submit("page worker", path+"/reissue", url.Values{"reason": {"lost"}}), `/card\?done=reissued$`)
	if a := w.submit("visitor", "/signin", url.Values{"username": {old}, "password": {"864202"}}); a.status != 401 {
		t.Errorf("the old card opens the page: %d", a.status)
	}
	wantOn(t, w.submit("page giver", strings.TrimSuffix(offer, "?done=offer")+"/withdraw", url.Values{}), `\?done=offer_withdrawn$`)
}

func TestPagesOfTheAdministrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("head", accounts.Admin, city, "")

	join := url.Values{"name": {"爱心超市"}, "kind": {"enterprise"}, "credit_code": {"91330502000000000A"}, "division": {county}, "username": {"market"}, "password": {"long enough"}, "display_name": {"店长"}}
	wantPage(t, w.submit("visitor", "/join", join), 400, `id="f-credit_code-error"`, `value="爱心超市"`)
	join.Set("credit_code", creditCode(4711))
	wantOn(t, w.submit("visitor", "/join", join), `^/signin\?done=joined$`)
	wantPage(t, w.do("page head", "GET", "/", nil), 200, "有 1 家机构等待审批")
	list := w.do("page head", "GET", "/organisations?status=pending", nil)
	wantPage(t, list, 200, "爱心超市")
	org := regexp.MustCompile(`/organisations/([^/"]+)/decision`).FindSubmatch(list.body)
	w.browse("market", "market", "long enough")
	wantPage(t, w.do("market", "GET", "/", nil), 200, "正在审核")
	wantOn(t, w.submit("page head", "/organisations/"+string(org[1])+"/decision", url.Values{"status": {"approved"}}), `done=decision$`)

	account := url.Values{"username": {"fieldworker"}, "display_name": {"小周"}, "password": {"short"}, "role": {"caseworker"}, "division": {village}}
	a := w.submit("page head", "/accounts", account)
	wantPage(t, a, 400, `id="f-password-error"`, `value="fieldworker"`)
	if strings.Contains(string(a.body), `value="short"`) {
		t.Error("the password came back")
	}
	account.Set("password", "long enough")
	wantOn(t, w.submit("page head", "/accounts", account), `done=account$`)
	wantPage(t, w.do("page head", "GET", "/accounts", nil), 200, "小周", "红丰社区")

	made := w.submit("page head", "/tokens", url.Values{"label": {"接口"}, "role": {"caseworker"}, "division": {county}, "days": {"30"}})
	wantPage(t, made, 200, `<code id="fresh">`)
	if again := w.do("page head", "GET", "/tokens", nil); strings.Contains(string(again.body), `id="fresh"`) {
		t.Error("the token is shown again")
	}
	wantPage(t, w.do("page head", "GET", "/divisions", nil), 200, "吴兴区", "南浔区")
	wantPage(t, w.submit("page head", "/audit/check", url.Values{}), 200, "记录完整")
	wantPage(t, w.do("page head", "GET", "/audit?subject="+w.person.ID, nil), 200)

	var body strings.Builder
	form := multipart.NewWriter(&body)
	must(t, form.WriteField("csrf", w.actors["page head"].csrf))
	file, err := form.CreateFormFile("file", "people.csv")
	must(t, err)
	_, err = file.Write([]byte("姓名,身份证号,区划代码\n钱多多," + idNumber("33050219610101", 3) + "," + village + "\n孙某,123," + village + "\n"))
	must(t, err)
	must(t, form.Close())
	got := w.do("page head", "POST", "/residents/import", io.Reader(strings.NewReader(body.String())), header{"Content-Type", form.FormDataContentType()}, header{"X-CSRF-Token", ""})
	wantPage(t, got, 200, `<div class="figure good"><strong>1</strong>`, `<td class="num">3</td>`)
}

func TestSigningInByForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("somebody", accounts.Caseworker, county, "")
	a := w.submit("visitor", "/signin", url.Values{"username": {"somebody"}, "password": {"wrong one"}})
	wantPage(t, a, 401, `value="somebody"`, "failure")
	if strings.Contains(string(a.body), "wrong one") || a.header.Get("Set-Cookie") != "" {
		t.Error("a failed sign-in gives the password back or sets a cookie")
	}
	unknown := w.submit("visitor", "/signin", url.Values{"username": {"nobody"}, "password": {"wrong one"}})
	if unknown.status != a.status || strings.ReplaceAll(string(unknown.body), "nobody", "somebody") != string(a.body) {
		t.Error("an unknown account looks different from a known one")
	}
	for next, want := range map[string]string{"/scan": "/scan", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "": "/"} {
		wantOn(t, w.submit("visitor", "/signin", url.Values{"username": {"somebody"}, "password": {"long enough"}, "next": {next}}), "^"+want+"$")
	}
	wantOn(t, w.submit("page somebody", "/lang", url.Values{"lang": {"en"}, "back": {"/residents"}}), "^/residents$")
	wantPage(t, w.do("page somebody", "GET", "/residents", nil), 200, "Card number")
	wantOn(t, w.submit("page somebody", "/signout", url.Values{}), `^/signin\?done=signed_out$`)
	wantOn(t, w.do("page somebody", "GET", "/scan", nil), `^/signin\?next=%2Fscan$`)
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"12.50": 1250, "12.5": 1250, "12": 1200, "¥1,200": 120000, "0.01": 1} {
		if got, ok := fen(text); !ok || got != want {
			t.Errorf("fen(%q) = %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-1", "1.234", "x", "1e3", "+5", ".5", "1.-1", "9999999999999", "١"} {
		if got, ok := fen(text); ok {
			t.Errorf("fen(%q) = %d, want it refused", text, got)
		}
	}
}

// TestCatalogueKnowsWhatIsStored holds the catalogue's open-ended keys to the
// values that the packages store.
func TestCatalogueKnowsWhatIsStored(t *testing.T) {
	t.Parallel()
	site, err := pages.New()
	must(t, err)
	var keys []string
	for _, r := range []accounts.Role{accounts.Admin, accounts.Caseworker, accounts.Provider, accounts.Resident} {
		keys = append(keys, "role."+string(r))
	}
	for _, k := range []providers.Kind{providers.Government, providers.Charity, providers.Enterprise} {
		keys = append(keys, "kind."+string(k))
	}
	for _, s := range []care.State{care.Promised, care.HandedOver, care.Declined, care.Expired, care.Withdrawn} {
		keys = append(keys, "state."+string(s))
	}
	for _, s := range []residents.NeedState{residents.NeedOpen, residents.NeedHeld, residents.NeedPromised, residents.NeedHandedOver, residents.NeedWaiting, residents.NeedDeclined, residents.NeedExpired, residents.NeedWithdrawn} {
		keys = append(keys, "state."+string(s))
	}
	for _, h := range []providers.How{providers.Pickup, providers.Delivery, providers.OnSite, providers.Transfer, providers.Voucher} {
		keys = append(keys, "how."+string(h))
	}
	for _, s := range []providers.Status{providers.Pending, providers.Approved, providers.Suspended} {
		keys = append(keys, "organisation.status_"+string(s))
	}
	for _, s := range []providers.OfferStatus{providers.OfferOpen, providers.OfferIsWithdrawn} {
		keys = append(keys, "offer.status_"+string(s))
	}
	for _, c := range []string{residents.ConsentMatching, "provider_handover"} {
		keys = append(keys, "consent."+c)
	}
	for _, s := range []residents.Status{residents.Active, residents.Moved, residents.Deceased} {
		keys = append(keys, "resident.status_"+string(s))
	}
	page := site.Page("zh", pages.User{}, "", "/")
	for _, key := range keys {
		if !page.Has(key) {
			t.Errorf("the catalogue has no %s", key)
		}
	}
}
