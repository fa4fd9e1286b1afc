package app

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"mime/multipart"
	"net/http"
	"testing"
	"time"

	"github.com/xingfuma/happycode/providers"
)

// photo is a small picture that nobody else has sent.
func photo(t *testing.T, n int) []byte {
	t.Helper()
	p := image.NewRGBA(image.Rect(0, 0, 16, 12))
	for x := range 16 {
		p.Set(x, n%12, color.RGBA{uint8(n * 40), uint8(x * 16), 90, 255})
	}
	var b bytes.Buffer
	must(t, jpeg.Encode(&b, p, nil))
	return b.Bytes()
}

// filled is a form with files: values, and photos under a name.
func filled(t *testing.T, values map[string][]string, name string, photos ...[]byte) (body *bytes.Buffer, kind string) {
	t.Helper()
	body = &bytes.Buffer{}
	m := multipart.NewWriter(body)
	for field, all := range values {
		for _, v := range all {
			must(t, m.WriteField(field, v))
		}
	}
	for _, p := range photos {
		part, err := m.CreateFormFile(name, "photo.jpg")
		must(t, err)
		_, err = part.Write(p)
		must(t, err)
	}
	must(t, m.Close())
	return body, m.FormDataContentType()
}

// lunches is what a charity posts for weekdays from the world's tomorrow on.
func lunches(w *world) providers.NewOffer {
	day := func(n int) string { return w.now().In(chinaTime).AddDate(0, 0, n).Format(time.DateOnly) }
	return providers.NewOffer{
		TitleZH: "工作日午餐", Form: providers.FormMeals, Category: "meal", Divisions: []string{county}, Handover: pickup(),
		Series: []providers.Series{{QtyUnits: 60, Every: providers.Weekly, From: day(1), To: day(7), Start: "11:00", End: "13:00"}},
	}
}

// postingRows are the rows of the matrix around posting an offer.
func postingRows(w *world) map[string]row {
	t := w.t
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body func(w *world) any) row { return row{cells: c, path: path, body: body} }
	const api = "/api/v1"
	draft, err := w.app.Providers.SaveDraft(t.Context(), "test", w.orgID, "", 0, lunches(w))
	must(t, err)
	picture, err := w.app.Providers.AddImage(t.Context(), "test", w.orgID, photo(t, 1))
	must(t, err)
	again := w.offer("legal", 5, county).ID
	sent, kind := filled(t, map[string][]string{"organisation": {w.orgID}}, "file", photo(t, 2))
	content := sent.Bytes()
	return map[string]row{
		"listForms":     get(open, api+"/offer-forms"),
		"previewOffer":  with(given, api+"/offer-previews", func(w *world) any { return requestOf("", lunches(w)) }),
		"makeSeries":    with(given, api+"/series", func(w *world) any { return seriesRequest{Series: lunches(w).Series} }),
		"getOfferAgain": get(givenHere, api+"/offers/"+again+"/again"),
		"listDrafts":    get(givenHere, api+"/drafts?organisation="+w.orgID),
		"createDraft":   with(givenHere, api+"/drafts", func(w *world) any { return draftRequest{Organisation: w.orgID, Offer: lunches(w)} }),
		"getDraft":      get(givenHere, api+"/drafts/"+draft.ID),
		"replaceDraft":  with(givenHere, api+"/drafts/"+draft.ID, func(w *world) any { return draftRequest{Offer: lunches(w)} }),
		"deleteDraft":   {}, // the others read it: TestDraftsOverTheAPI
		"addImage": {cells: givenHere, path: api + "/images", kind: kind, body: func(*world) any {
			return bytes.NewReader(content)
		}},
		"getImage":         get(anybody, api+"/images/"+picture.ID),
		"showDraft":        get(givenHere, "/drafts/"+draft.ID),
		"saveDraftDeleted": {}, // as deleteDraft
		"showOfferAgain":   get(givenHere, "/offers/"+again+"/again"),
	}
}

func TestDraftsOverTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.do("provider", "POST", "/api/v1/drafts", draftRequest{Offer: lunches(w)})
	wantStatus(t, made, http.StatusCreated)
	var d draftView
	must(t, json.Unmarshal(made.body, &d))
	for _, x := range []struct {
		actor string
		want  int
	}{{"other provider", 404}, {"admin elsewhere", 404}, {"caseworker", 403}, {"provider", 204}} {
		wantStatus(t, w.do(x.actor, "DELETE", "/api/v1/drafts/"+d.ID, nil), x.want)
	}
	wantStatus(t, w.do("provider", "GET", "/api/v1/drafts/"+d.ID, nil), 404)
}

func wantStatus(t *testing.T, a answer, want int) {
	t.Helper()
	if a.status != want {
		t.Errorf("status %d, want %d\n%s", a.status, want, a.body)
	}
}
