package app

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/qrcode"
)

// scannerMatrix is the matrix of scannerRoutes.
func scannerMatrix(w *world) map[string]row {
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	photo := func(path string) row {
		_, kind := photoForm(w.t, nil)
		return row{cells: workers, path: path, kind: kind, body: func(w *world) any {
			body, _ := photoForm(w.t, []byte("no picture"))
			return body
		}}
	}
	meal := w.offer("repair", 50, county).ID
	return map[string]row{
		"serveManifest":   {}, // built files, as serveAsset: TestInstallable
		"serveWorker":     {},
		"showUnreachable": get(open, "/unreachable"),
		"showStart":       get("s++++++++++", "/start"),
		"saveScanPhoto":   photo("/scan/photo"),
		"readPhoto": func() row {
			r := photo("/api/v1/scans/photo")
			r.cells = staffAll
			return r
		}(),
		"listQueueOffers": get(workers, "/api/v1/scans/offers"),
		"serveQueue": {cells: workersHere, path: "/api/v1/scans/handover", body: func(w *world) any {
			return queueRequest{Code: w.digits(w.person), Offers: []string{meal}}
		}},
	}
}

// photoForm is a form with one file; a fixed boundary, so that the type may be
// asked for before.
func photoForm(t *testing.T, file []byte) (body *bytes.Buffer, kind string) {
	t.Helper()
	body = &bytes.Buffer{}
	m := multipart.NewWriter(body)
	must(t, m.SetBoundary("photo-boundary"))
	part, err := m.CreateFormFile("file", "photo.jpg")
	must(t, err)
	_, err = part.Write(file)
	must(t, err)
	must(t, m.Close())
	return body, m.FormDataContentType()
}

// photoOf is a JPEG of a table with the code on it.
func photoOf(t *testing.T, digits string) []byte {
	t.Helper()
	code, err := qrcode.PNG("https://xfm.example/c#"+digits, qrcode.Q, 420)
	must(t, err)
	picture, err := png.Decode(bytes.NewReader(code))
	must(t, err)
	table := image.NewRGBA(image.Rect(0, 0, 1200, 900))
	draw.Draw(table, table.Bounds(), image.NewUniform(color.RGBA{178, 150, 120, 255}), image.Point{}, draw.Src)
	draw.Draw(table, picture.Bounds().Add(image.Pt(390, 240)), picture, image.Point{}, draw.Src)
	var out bytes.Buffer
	must(t, jpeg.Encode(&out, table, &jpeg.Options{Quality: 80}))
	return out.Bytes()
}

func (w *world) queue(actor string, in queueRequest, headers ...header) answer {
	w.t.Helper()
	return w.do(actor, "POST", "/api/v1/scans/handover", in, headers...)
}

func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.need(w.person, "meal")
	meal, other := w.offer("meal", 5, county), w.offer("clothing", 5, county)
	w.need(w.person, "clothing")

	var choices queueOffersView
	w.do("village caseworker", "GET", "/api/v1/scans/offers", nil).into(t, &choices)
	if len(choices.Items) != 2 || choices.AtMs == 0 || choices.Items[0].LeftUnits != 5 || choices.Items[0].ProviderName == "" {
		t.Fatalf("what can be given here: %+v", choices)
	}
	w.do("caseworker elsewhere", "GET", "/api/v1/scans/offers", nil).into(t, &choices)
	if len(choices.Items) != 0 {
		t.Errorf("what can be given elsewhere: %+v", choices.Items)
	}

	in := queueRequest{Code: w.digits(w.person), Offers: []string{meal.ID}, SinceMs: w.now().UnixMilli() - 1}
	key := header{"Idempotency-Key", "queue-1"}
	first := w.queue("caseworker", in, key)
	var got queueView
	first.into(t, &got)
	if got.Outcome != care.QueueGiven || len(got.Given) != 1 || got.Given[0].Offer != meal.ID || got.Given[0].LeftUnits != 4 || got.Given[0].HandedOverMs == 0 {
		t.Fatalf("first: %+v", got)
	}
	if why := got.Given[0].Reason; why.Code == "" || why.ZH == "" || why.EN == "" {
		t.Errorf("given without a reason: %+v", why)
	}
	if got.Initial != "金＊＊" || got.CardTail != w.person.CardNo[8:] {
		t.Errorf("the person is called %q %q", got.Initial, got.CardTail)
	}
	if bytes.Contains(first.body, []byte(canaryName)) || bytes.Contains(first.body, []byte(w.person.CardNo)) || bytes.Contains(first.body, []byte(canaryNote)) {
		t.Errorf("a queue names people to bystanders: %s", first.body)
	}
	// What was chosen is given, and nothing else that is due.
	page, _, err := w.app.Care.List(t.Context(), w.person.ID, "", 50)
	must(t, err)
	for _, a := range page {
		if (a.State == care.HandedOver) != (a.Offer == meal.ID) || a.Offer == meal.ID && a.Proof != "scan" {
			t.Errorf("%s is %s on the strength of %q (the other offer is %s)", a.Offer, a.State, a.Proof, other.ID)
		}
	}
	// The answer was lost on the way: asked again, it is the same.
	again := w.queue("caseworker", in, key)
	if !bytes.Equal(again.body, first.body) || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a repeat answers %d %s", again.status, again.body)
	}
	// The same person a second time.
	w.queue("caseworker", in).into(t, &got)
	if got.Outcome != care.QueueAlready || len(got.Given) != 0 || len(got.Already) != 1 || got.Already[0].HandedOverMs == 0 || got.Already[0].Reason.ZH == "" {
		t.Errorf("second time: %+v", got)
	}
	// Nothing is due of what nobody asked for.
	in.Offers, in.Categories = nil, []string{"legal"}
	w.queue("caseworker", in).into(t, &got)
	if got.Outcome != care.QueueNothing || got.Reason.ZH == "" || got.Reason.EN == "" {
		t.Errorf("nothing due: %+v", got)
	}
	// A whole category.
	in.Categories = []string{"clothing"}
	w.queue("caseworker", in).into(t, &got)
	if got.Outcome != care.QueueGiven || got.Given[0].Offer != other.ID {
		t.Errorf("by category: %+v", got)
	}
	acts := map[string]int{}
	entries, _, err := w.app.Audit.Of(t.Context(), w.person.ID, "", 100)
	must(t, err)
	for _, e := range entries {
		acts[e.Act+" "+e.Outcome]++
	}
	if acts["handover ok"] != 2 || acts["scan ok"] < 4 {
		t.Errorf("audit: %v", acts)
	}
}

// Whoever got it in this queue does not get it again, also if the caps would
// allow it; in the next queue the caps decide.
func TestQueueGivesOnceSinceItBegan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.offer("meal", 9, county)
	in := queueRequest{Code: w.person.CardNo, Offers: []string{o.ID}, SinceMs: w.now().UnixMilli() - 1}
	for _, x := range []struct {
		since int64
		want  care.QueueOutcome
	}{{in.SinceMs, care.QueueGiven}, {in.SinceMs, care.QueueAlready}, {0, care.QueueGiven}} {
		w.need(w.person, "meal")
		in.SinceMs = x.since
		var got queueView
		w.queue("caseworker", in).into(t, &got)
		if got.Outcome != x.want || (len(got.Given) > 0) != (x.want == care.QueueGiven) {
			t.Errorf("since %d: %+v, want %s", x.since, got, x.want)
		}
	}
}

// misread is a code with one digit wrong.
func misread(digits string) string {
	b := []byte(digits)
	b[100] = '0' + (b[100]-'0'+1)%10
	return string(b)
}

// Two counters scan the same card at the same moment: one of them gives.
func TestTwoCountersOneMeal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.need(w.person, "meal")
	o := w.offer("meal", 9, county)
	const counters = 8
	var all sync.WaitGroup
	answers := make([]answer, counters)
	for i := range counters {
		all.Go(func() {
			actor := "caseworker"
			if i%2 == 1 {
				actor = "village caseworker"
			}
			answers[i] = w.queue(actor, queueRequest{Code: w.person.CardNo, Offers: []string{o.ID}})
		})
	}
	all.Wait()
	given := 0
	for _, a := range answers {
		var got queueView
		a.into(t, &got)
		given += len(got.Given)
		if len(got.Given) == 0 && got.Outcome != care.QueueAlready {
			t.Errorf("a counter that did not give says %s", a.body)
		}
	}
	if given != 1 {
		t.Errorf("given %d times, want once", given)
	}
}

// What is worth much takes a PIN or a photo: the rest is given, and the answer
// says what to do.
func TestQueueGivesNothingWorthMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dear := w.grant()
	meal := w.offer("meal", 5, county)
	w.need(w.person, "meal")
	var got queueView
	w.queue("caseworker", queueRequest{Code: w.digits(w.person), Categories: []string{"meal", "clothing"}}).into(t, &got)
	if got.Outcome != care.QueueRefused || len(got.Given) != 1 || got.Given[0].Offer != meal.ID {
		t.Errorf("given: %+v", got)
	}
	if len(got.Refused) != 1 || got.Refused[0].Allocation != dear || got.Refused[0].Reason.Code != "proof_needed" ||
		!strings.Contains(got.Refused[0].Reason.ZH, "PIN") || got.Refused[0].Reason.EN == "" {
		t.Errorf("refused: %+v", got.Refused)
	}
	a, err := w.app.Care.Allocation(t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, dear)
	must(t, err)
	if a.State != care.Promised {
		t.Errorf("what takes a PIN is %s", a.State)
	}
}

// The installed app begins where its user works.
func TestStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for actor, want := range map[string]string{
		"visitor": "/signin?next=%2Fstart", "caseworker": "/scan", "admin": "/scan", "provider": "/counter", "resident": "/me/code", "carer": "/me/code",
	} {
		if got := w.do(actor, "GET", "/start", nil); got.status != 303 || got.header.Get("Location") != want {
			t.Errorf("%s: %d to %s, want %s", actor, got.status, got.header.Get("Location"), want)
		}
	}
}

func TestQueueRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.offer("meal", 9, county)
	for name, in := range map[string]queueRequest{
		"nothing chosen": {Code: w.person.CardNo},
		"too much":       {Code: w.person.CardNo, Categories: strings.Split(strings.Repeat("meal,", 60), ",")},
		"before 1970":    {Code: w.person.CardNo, Offers: []string{o.ID}, SinceMs: -1},
	} {
		if got := w.queue("caseworker", in); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	unknown := w.queue("caseworker", queueRequest{Code: misread(w.digits(w.person)), Offers: []string{o.ID}})
	outside := w.queue("caseworker elsewhere", queueRequest{Code: w.digits(w.person), Offers: []string{o.ID}})
	if unknown.status != 404 || outside.status != 404 || !bytes.Equal(unknown.body, outside.body) {
		t.Errorf("unknown %d, outside %d:\n%s\n%s", unknown.status, outside.status, unknown.body, outside.body)
	}
	_, err := w.app.Residents.Reissue(t.Context(), "test", w.person.ID, residents.WhyLost)
	must(t, err)
	if got := w.queue("caseworker", queueRequest{Code: w.person.CardNo, Offers: []string{o.ID}}); got.status != 404 {
		t.Errorf("a revoked card: %d", got.status)
	}
}

func TestPhoto(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	send := func(path string, file []byte) answer {
		body, kind := photoForm(t, file)
		return w.do("caseworker", "POST", path, body, header{"Content-Type", kind}, header{"Accept-Language", "zh"})
	}
	digits := w.digits(w.person)
	photo := photoOf(t, digits)
	var got photoView
	send("/api/v1/scans/photo", photo).into(t, &got)
	if got.Code != digits {
		t.Errorf("read %q", got.Code)
	}
	if strings.Contains(w.logs.String(), digits) {
		t.Error("the code in a photo is in the log")
	}
	var blank bytes.Buffer
	must(t, png.Encode(&blank, image.NewGray(image.Rect(0, 0, 300, 300))))
	other, err := qrcode.PNG("https://elsewhere.example/", qrcode.M, 300)
	must(t, err)
	bomb := bytes.Replace(blank.Bytes(), []byte{0, 0, 1, 44, 0, 0, 1, 44}, []byte{0, 0, 78, 32, 0, 0, 78, 32}, 1) // its header says 20,000 × 20,000
	for name, x := range map[string]struct {
		file   []byte
		status int
		code   string
	}{
		"no code":        {blank.Bytes(), 422, "no_code"},
		"another code":   {other, 422, "no_code"},
		"no picture":     {[]byte("%PDF-1.7"), 400, "bad_picture"},
		"header of bomb": {bomb, 400, "bad_picture"}, // its checksum is wrong; the limit itself is tested in photos
	} {
		if got := send("/api/v1/scans/photo", x.file); got.status != x.status || got.problem(t).Code != x.code {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}

	// Without scripts the form of the scan page goes on to the resident.
	wantOn(t, send("/scan/photo", photo), "^/residents/"+w.person.ID+`\?scan=`)
	wantPage(t, send("/scan/photo", blank.Bytes()), 422, "照片里没有找到幸福码", `action="/scan/photo"`)
	wantPage(t, send("/scan/photo", photoOf(t, misread(digits))), 404, "无法识别", `action="/scan/photo"`)
}

// What a device keeps names nobody, whoever is signed in.
func TestShellsNameNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("shelly", accounts.Caseworker, county, "")
	who := w.actors["page shelly"]
	shells := 0
	for _, r := range w.app.Routes() {
		if !r.Shell {
			continue
		}
		shells++
		if r.Method != "GET" || r.Kind != Page || strings.Contains(r.Path, ":") {
			t.Errorf("%s %s cannot be a shell", r.Method, r.Path)
		}
		actor := "page shelly"
		if !slices.Contains(r.Roles, accounts.Caseworker) {
			actor = "resident"
		}
		got := w.do(actor, "GET", r.Path+"?shell=1", nil)
		for _, secret := range []string{"shelly", "吴兴", canaryName, w.person.ID, w.person.CardNo, who.csrf, w.actors["resident"].csrf} {
			if bytes.Contains(got.body, []byte(secret)) {
				t.Errorf("%s as a shell holds %q", r.Path, secret)
			}
		}
		if got.status != 200 || got.header.Get("X-Shell") != "1" || got.header.Get("Content-Language") == "" {
			t.Errorf("%s as a shell: %d %v", r.Path, got.status, got.header)
		}
		if got := w.do(actor, "GET", r.Path, nil); got.header.Get("X-Shell") != "" {
			t.Errorf("%s itself says that it is a shell", r.Path)
		}
	}
	if shells == 0 {
		t.Error("no route is a shell")
	}
	if got := w.do("page shelly", "GET", "/residents?shell=1", nil); got.header.Get("X-Shell") != "" || !bytes.Contains(got.body, []byte(who.csrf)) {
		t.Errorf("a page that is no shell became one: %v", got.header)
	}
	got := w.do("page shelly", "GET", "/unreachable", nil)
	if got.status != 200 || bytes.Contains(got.body, []byte("shelly")) || bytes.Contains(got.body, []byte(who.csrf)) {
		t.Errorf("the page without a network: %d names who is signed in", got.status)
	}
}

// A kept answer is forgotten after a day; the same request then is a new one,
// and what was given stays given.
func TestQueueRepeatADayLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.need(w.person, "meal")
	o := w.offer("meal", 9, county)
	key := header{"Idempotency-Key", "same"}
	in := queueRequest{Code: w.person.CardNo, Offers: []string{o.ID}}
	if got := w.queue("caseworker", in, key); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	w.shift.Add(int64(25 * time.Hour))
	var got queueView
	w.queue("caseworker", in, key).into(t, &got)
	if got.Outcome == care.QueueGiven {
		t.Errorf("a day later the same is given again: %+v", got)
	}
}
