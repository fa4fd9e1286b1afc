package app

import (
	"bytes"
	"image/jpeg"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/providers"
)

// fieldsOf reads the fields of a page's form as a browser would send them.
func fieldsOf(body []byte) url.Values {
	v := url.Values{}
	form := regexp.MustCompile(`(?s)<form method="post" action="/offers/new".*?</form>`).Find(body)
	for _, m := range regexp.MustCompile(`<input [^>]*>`).FindAll(form, -1) {
		attr := func(name string) string {
			if x := regexp.MustCompile(` ` + name + `="([^"]*)"`).FindSubmatch(m); x != nil {
				return string(x[1])
			}
			return ""
		}
		if kind := attr("type"); kind == "file" || kind == "checkbox" && !bytes.Contains(m, []byte(" checked")) {
			continue
		}
		if name := attr("name"); name != "" && name != "csrf" {
			v.Add(name, attr("value"))
		}
	}
	for _, m := range regexp.MustCompile(`(?s)<select [^>]*name="([^"]+)".*?</select>`).FindAllSubmatch(form, -1) {
		chosen := regexp.MustCompile(`<option value="([^"]*)" selected>`).FindSubmatch(m[0])
		if chosen == nil {
			chosen = regexp.MustCompile(`<option value="([^"]*)"`).FindSubmatch(m[0])
		}
		v.Add(string(m[1]), string(chosen[1]))
	}
	return v
}

// A charity posts weekday lunches without scripts: kind, form, draft, photo,
// preview, post; and again for the next month.
func TestPostingByTheCalendar(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("giver", accounts.Provider, "", w.orgID)
	w.account("othergiver", accounts.Provider, "", w.orgRest)
	day := func(n int) string { return w.now().In(chinaTime).AddDate(0, 0, n).Format(time.DateOnly) }

	if _, err := w.app.Providers.SetProfile(t.Context(), w.orgID, providers.Profile{Serves: []string{city}}); err != nil {
		t.Fatal(err)
	}
	wantPage(t, w.do("page giver", "GET", "/offers/new", nil), 200, "/offers/new?form=meals", "餐食", "救助金")
	values := fieldsOf(w.do("page giver", "GET", "/offers/new?form=meals", nil).body)
	if got := []string{values.Get("category"), values.Get("how"), values.Get("s0_start"), strings.Join(values["s0_weekday"], "")}; !slices.Equal(got, []string{"meal", "pickup", "11:00", "12345"}) {
		t.Fatalf("the preset fills in %v", got)
	}
	if counties := values["divisions"]; len(counties) < 2 || !slices.Contains(counties, county) {
		t.Errorf("of an organisation that serves a city, these are ticked: %v; want all its counties", counties)
	}
	values.Set("title_zh", "工作日午餐")
	values.Set("do", "draft")
	wantOn(t, w.submit("page giver", "/offers/new", values), `^/offers/new\?done=draft$`)
	kinds := w.do("page giver", "GET", "/offers/new", nil)
	wantPage(t, kinds, 200, "工作日午餐")
	draft := string(regexp.MustCompile(`/drafts/[^/"]+`).Find(kinds.body))
	wantStatus(t, w.do("page othergiver", "GET", draft, nil), 404)
	if offers, _, err := w.app.Providers.Offers(t.Context(), w.orgID, "", 5); err != nil || len(offers) != 0 {
		t.Fatalf("a draft is an offer: %v, %v", offers, err)
	}

	values = fieldsOf(w.do("page giver", "GET", draft, nil).body)
	values.Del("s0_weekday")
	for field, v := range map[string]string{"divisions": county, "place": "月河食堂", "s0_from": day(1), "s0_to": day(4), "s0_skip": day(2)} {
		values.Set(field, v)
	}
	send := func(do string, photos ...[]byte) answer {
		t.Helper()
		values.Set("do", do)
		values.Set("csrf", w.actors["page giver"].csrf)
		body, kind := filled(t, values, "photo", photos...)
		return w.do("page giver", http.MethodPost, "/offers/new", body, header{"Content-Type", kind}, header{"X-CSRF-Token", ""})
	}
	wantPage(t, send("preview", []byte("GIF89a no picture")), 400, `class="error"`, "月河食堂")
	exif := slices.Concat([]byte("\xff\xd8\xff\xe1\x00\x1cExif\x00\x00GPS 30.8703N 120.09E"), photo(t, 7)[2:])
	preview := send("preview", exif)
	wantPage(t, preview, 200, "共 3 批，合计 180 份", "11:00–13:00", "月河食堂", `<img src="/api/v1/images/`)
	if e := w.lastAudit(); e.Act == "create_offer" {
		t.Error("a preview is in the audit log as an offer")
	}
	values = fieldsOf(preview.body)
	posted := wantOn(t, send("post"), `^/offers/[^/?]+\?done=offer$`)
	if e := w.lastAudit(); e.Act != "create_offer" || "/offers/"+e.Object+"?done=offer" != posted {
		t.Errorf("the audit log's last entry is %+v", e)
	}
	if again := wantOn(t, send("post"), `^/offers/`); again != posted {
		t.Errorf("sent twice: %s and %s", posted, again)
	}
	wantStatus(t, w.do("page giver", "GET", draft, nil), 404)

	page := w.do("page giver", "GET", posted, nil)
	wantPage(t, page, 200, "餐食", "工作日午餐", "下个月再发一次")
	image := string(regexp.MustCompile(`/api/v1/images/[^"]+`).Find(page.body))
	shown := w.do("page giver", "GET", image, nil)
	if _, err := jpeg.Decode(bytes.NewReader(shown.body)); err != nil || bytes.Contains(shown.body, []byte("GPS")) || shown.header.Get("Content-Type") != "image/jpeg" || shown.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the photo: %v, %d bytes, %v", err, len(shown.body), shown.header)
	}

	path, _, _ := strings.Cut(posted, "?")
	copied := w.do("page giver", "GET", path+"/again", nil)
	wantPage(t, copied, 200, "从“工作日午餐”复制", image)
	values = fieldsOf(copied.body)
	o, err := w.app.Providers.Offer(t.Context(), strings.TrimPrefix(path, "/offers/"))
	must(t, err)
	want := o.Again(w.now()).Series[0]
	if got := values.Get("s0_from"); got != want.From || values.Get("s0_skip") != "" {
		t.Errorf("the copy begins on %s and leaves out %q, want %s", got, values.Get("s0_skip"), want.From)
	}
	wantOn(t, send("post"), `^/offers/`)
	offers, _, err := w.app.Providers.Offers(t.Context(), w.orgID, "", 5)
	must(t, err)
	if len(offers) != 2 || offers[0].Form != providers.FormMeals || !slices.Equal(offers[0].Images, o.Images) {
		t.Errorf("got %d offers; the copy is %+v", len(offers), offers[0])
	}
}
