package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
)

// handset is a device of somebody, with its key.
type handset struct {
	w     *world
	actor string
	key   *ecdsa.PrivateKey
	id    string
	seq   int64
}

// jwk is the public half of a fresh key, as a browser exports it.
func (w *world) deviceKey() (*ecdsa.PrivateKey, publicKeyRequest) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	b, err := key.PublicKey.Bytes()
	must(w.t, err)
	return key, publicKeyRequest{
		Kty: "EC", Crv: "P-256", X: base64.RawURLEncoding.EncodeToString(b[1:33]), Y: base64.RawURLEncoding.EncodeToString(b[33:]),
		Ext: true, KeyOps: []string{"verify"},
	}
}

// handset registers a device of an actor who asks with a token: tests of what
// the routes let in need no session.
func (w *world) handset(actor string) *handset {
	w.t.Helper()
	p, err := w.app.Accounts.PrincipalOfToken(w.t.Context(), w.actors[actor].bearer)
	must(w.t, err)
	key, public := w.deviceKey()
	d, err := w.app.Care.RegisterDevice(w.t.Context(), p, care.NewDevice{Name: "试机", X: public.X, Y: public.Y})
	must(w.t, err)
	return &handset{w: w, actor: actor, key: key, id: d.ID}
}

func (h *handset) path(rest string) string { return "/api/v1/devices/" + h.id + rest }

// signed makes a record as docs/api.md says.
func (h *handset) signed(r recordRequest) recordRequest {
	h.w.t.Helper()
	h.seq++
	r.Seq, r.ID = h.seq, fmt.Sprintf("00000000-0000-4000-8000-%012d", h.w.next())
	pin := "0"
	if r.PIN {
		pin = "1"
	}
	text := strings.Join([]string{
		"XFM-OFF-v1", r.ID, fmt.Sprint(r.Seq), r.Lease, r.Allocation, r.Resident, r.Need, r.Code, r.How, r.Token, pin,
		fmt.Sprint(r.QtyUnits), fmt.Sprint(r.GivenMs),
	}, "\n")
	sum := sha256.Sum256([]byte(text))
	x, y, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	must(h.w.t, err)
	var sig [64]byte
	x.FillBytes(sig[:32])
	y.FillBytes(sig[32:])
	r.Sig = base64.RawURLEncoding.EncodeToString(sig[:])
	return r
}

// conflict has a device of the account "reporter" report something that a person
// must judge.
func (w *world) conflict() string {
	w.t.Helper()
	w.worker("reporter", county)
	h := w.register("reporter", "试机")
	w.offer("transport", 10, county)
	w.need(w.person, "transport")
	var b bundleView
	w.do(h.actor, "POST", h.path("/leases"), leaseRequest{Division: village, Hours: 4}).into(w.t, &b)
	for _, p := range b.People {
		for _, item := range p.Items {
			if item.Category != "transport" {
				continue
			}
			var got care.SyncResult
			w.do(h.actor, "POST", h.path("/sync"), syncRequest{Records: []recordRequest{h.signed(recordRequest{
				Lease: b.Lease.ID, Allocation: item.Allocation, Resident: p.Resident, Code: strings.Repeat("0", 20), How: "card_no",
				QtyUnits: item.QtyUnits, GivenMs: b.ServerMs,
			})}}).into(w.t, &got)
			if got.Items[0].Outcome != care.Flagged {
				w.t.Fatalf("a strange code is %+v", got.Items[0])
			}
			w.do(h.actor, "POST", h.path("/return"), nil)
			return h.id + "." + got.Items[0].ID
		}
	}
	w.t.Fatal("nothing was taken along")
	return ""
}

// offlineRows are the rows of offlineRoutes.
func offlineRows(w *world) map[string]row {
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body func(w *world) any) row { return row{cells: c, path: path, body: body} }
	form := func(c cells, path, values string) row {
		return row{cells: c, path: path, kind: "application/x-www-form-urlencoded", body: func(*world) any { return strings.NewReader(values) }}
	}
	const (
		deviceOwner cells = "s--+-rrrr--" // the account whose device it is
		deviceHere  cells = "s+-+-rrrr--" // and administrators of its division
	)
	const api = "/api/v1"
	mine, lost, left := w.handset("caseworker"), w.handset("caseworker"), w.handset("caseworker")
	conflict := w.conflict()
	return map[string]row{
		"createDevice": with(noTokens, api+"/devices", func(w *world) any {
			_, key := w.deviceKey()
			return deviceRequest{Name: "手机", PublicKey: key}
		}),
		"listDevices":         get(workers, api+"/devices"),
		"loseDevice":          with(deviceHere, lost.path("/lost"), nil),
		"listChoices":         get(deviceOwner, mine.path("/choices?division="+village)),
		"createLease":         with(deviceOwner, mine.path("/leases"), func(*world) any { return leaseRequest{Division: village, Hours: 2} }),
		"getLease":            get(deviceOwner, mine.path("/lease")),
		"returnLease":         with(deviceOwner, mine.path("/return"), nil),
		"syncDevice":          with(deviceOwner, mine.path("/sync"), func(*world) any { return syncRequest{Records: []recordRequest{}} }),
		"listConflicts":       get(workers, api+"/conflicts"),
		"settleConflict":      with(workersHere, api+"/conflicts/"+conflict+"/settle", func(*world) any { return settleRequest{Decision: "returned"} }),
		"showDevices":         get(workers, "/devices"),
		"saveDeviceLost":      form(deviceHere, "/devices/"+left.id+"/lost", ""),
		"saveDeviceReturned":  form(deviceOwner, "/devices/"+mine.id+"/return", ""),
		"showConflicts":       get(workers, "/conflicts"),
		"saveConflictSettled": form(workersHere, "/conflicts/"+conflict+"/settle", "decision=returned"),
	}
}

// worker makes a caseworker with an account, signed in.
func (w *world) worker(name, division string) accounts.Principal {
	w.t.Helper()
	_, err := w.app.Accounts.Create(w.t.Context(), "test", accounts.NewAccount{
		Username: name, Password: "correct horse", Role: accounts.Caseworker, Division: division, DisplayName: "社工" + name,
	})
	must(w.t, err)
	return w.signIn(name)
}

// signIn signs a caseworker of worker in anew.
func (w *world) signIn(name string) accounts.Principal {
	w.t.Helper()
	cookie, p, err := w.app.Accounts.SignIn(w.t.Context(), name, "correct horse", "here")
	must(w.t, err)
	w.actors[name] = &actorHeaders{name: name, cookie: cookie, csrf: p.CSRF}
	return p
}

// register registers a device over HTTP.
func (w *world) register(actor, name string) *handset {
	w.t.Helper()
	key, public := w.deviceKey()
	var v deviceView
	got := w.do(actor, "POST", "/api/v1/devices", deviceRequest{Name: name, PublicKey: public})
	if got.status != 201 {
		w.t.Fatalf("register a device: %d %s", got.status, got.body)
	}
	got.into(w.t, &v)
	return &handset{w: w, actor: actor, key: key, id: v.ID}
}

// itemsOf are what the bundle has for a person.
func itemsOf(b bundleView, resident string) []care.BundleItem {
	for _, p := range b.People {
		if p.Resident == resident {
			return p.Items
		}
	}
	return nil
}

// A village is taken along, given and synced over HTTP.
func TestOfflineOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker("village", village)
	if got := w.do("caseworker", "POST", "/api/v1/devices", deviceRequest{Name: "x"}); got.status != 403 {
		t.Errorf("a service token registers a device: %d", got.status)
	}
	h := w.register("village", "下村的手机")
	o := w.offer("grocery", 10, county)
	n := w.need(w.person, "grocery")
	var choices care.Choices
	w.do("village", "GET", h.path("/choices"), nil).into(t, &choices)
	if choices.Division != village || choices.People != 1 || len(choices.Spares) != 1 || choices.Spares[0].Offer != o.ID || choices.MaxHours != 72 {
		t.Errorf("the choices are %+v", choices)
	}
	key := header{"Idempotency-Key", "lease-1"}
	ask := leaseRequest{Division: village, Hours: 8, Spare: []care.SpareOrder{{Offer: o.ID, QtyUnits: 2}}}
	var b, again bundleView
	w.do("village", "POST", h.path("/leases"), ask, key).into(t, &b)
	repeat := w.do("village", "POST", h.path("/leases"), ask, key)
	repeat.into(t, &again)
	if b.Lease.ID != again.Lease.ID || len(b.Spares) != 2 || len(again.Spares) != 2 || repeat.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("taken twice: %+v and %+v", b.Lease, again.Lease)
	}
	if got := w.do("village", "POST", h.path("/leases"), ask); got.status != 409 || got.problem(t).Code != "lease_live" {
		t.Errorf("a second lease: %d %s", got.status, got.body)
	}
	var progress importView
	w.do("village", "GET", "/api/v1/imports/lease-1", nil).into(t, &progress)
	if progress.Done != 2 || progress.Total != 2 {
		t.Errorf("the progress is %+v", progress)
	}
	if len(b.Keys.Keys) == 0 || b.Keys.Keys[0].Kty != "OKP" || b.PINAboveFen != 20_000 || b.People[0].Name != canaryName || b.People[0].PINHash == "" {
		t.Errorf("the bundle is %+v", b)
	}
	items := itemsOf(b, w.person.ID)
	if len(items) != 1 || items[0].Need != n.ID {
		t.Fatalf("the items are %+v", items)
	}
	got := w.do("caseworker", "POST", "/api/v1/allocations/"+items[0].Allocation+"/handover", handoverRequest{})
	if got.status != 409 || got.problem(t).Code != "leased" || !strings.Contains(got.problem(t).Detail, "下村的手机") {
		t.Errorf("handing over what a device has: %d %s", got.status, got.body)
	}
	if page := w.do("caseworker", "GET", "/residents/"+w.person.ID, nil); !strings.Contains(string(page.body), "下村的手机") || strings.Contains(string(page.body), "/allocations/"+items[0].Allocation+"/handover") {
		t.Error("the resident's page does not say that a device has it")
	}
	record := h.signed(recordRequest{
		Lease: b.Lease.ID, Allocation: items[0].Allocation, Resident: w.person.ID, Code: w.person.Code, How: "scan",
		Token: w.digits(w.person), QtyUnits: items[0].QtyUnits, GivenMs: b.ServerMs + 1000,
	})
	for i, want := range []care.Outcome{care.Accepted, care.Known} {
		var result care.SyncResult
		w.do("village", "POST", h.path("/sync"), syncRequest{Records: []recordRequest{record}}).into(t, &result)
		if len(result.Items) != 1 || result.Items[0].Outcome != want || result.Items[0].Was != care.Accepted || result.Lease == nil || result.Lease.Given != 1 {
			t.Errorf("sync %d: %+v", i, result)
		}
	}
	if page := w.do("village", "GET", "/devices", nil); page.status != 200 || !strings.Contains(string(page.body), "领走 3 项，已交付并同步 1 项") {
		t.Errorf("the page of devices: %d %s", page.status, page.body)
	}
	var ended care.LeaseView
	w.do("village", "POST", h.path("/return"), nil).into(t, &ended)
	if !ended.Ended || ended.Given != 1 || ended.Returned != 2 {
		t.Errorf("returned: %+v", ended)
	}
	if got := w.do("village", "GET", h.path("/lease"), nil); got.status != 404 {
		t.Errorf("the roster of a lease that was returned: %d", got.status)
	}
	// A provider learns what became of the units, nothing of devices or people.
	for _, path := range []string{"/api/v1/events", "/api/v1/offers/" + o.ID + "/stock", "/offers/" + o.ID} {
		body := string(w.do("provider", "GET", path, nil).body)
		for _, canary := range []string{"下村的手机", "社工village", canaryCarer, canaryName, w.person.ID, h.id} {
			if strings.Contains(body, canary) {
				t.Errorf("%s tells a provider %q", path, canary)
			}
		}
	}
}

// Who returns on the page what a phone has taken along sees what went back, and
// that the phone may have handed over more; what it syncs later is counted.
func TestReturnOnThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker("village", county)
	h := w.register("village", "忘在家里的手机")
	w.offer("grocery", 10, county)
	w.need(w.person, "grocery")
	var b bundleView
	w.do("village", "POST", h.path("/leases"), leaseRequest{Division: village, Hours: 8}).into(t, &b)
	items := itemsOf(b, w.person.ID)
	record := h.signed(recordRequest{
		Lease: b.Lease.ID, Allocation: items[0].Allocation, Resident: w.person.ID, Code: w.person.Code, How: "scan",
		Token: w.digits(w.person), QtyUnits: items[0].QtyUnits, GivenMs: b.ServerMs + 1000,
	})
	says := func(want ...string) {
		t.Helper()
		page := string(w.do("village", "GET", "/devices", nil, header{"Accept-Language", "zh"}).body)
		for _, x := range want {
			if !strings.Contains(page, x) {
				t.Errorf("the page of devices does not say %q", x)
			}
		}
	}
	if got := w.do("village", "POST", "/devices/"+h.id+"/return", strings.NewReader(""), header{"Content-Type", "application/x-www-form-urlencoded"}); got.status != 303 {
		t.Fatalf("return on the page: %d %s", got.status, got.body)
	}
	n := len(items)
	says("网页上交回", fmt.Sprintf("领走 %d 项，已交付并同步 0 项", n), fmt.Sprintf("%d 项到结束时没有报告，可能已经交付；请在设备上同步", n))
	w.shift.Add(int64(time.Minute))
	if got := w.do("village", "POST", h.path("/sync"), syncRequest{Records: []recordRequest{record}}); got.status != 200 {
		t.Fatalf("sync: %d %s", got.status, got.body)
	}
	says("结束后同步", "1 条，未能采纳的在“待核实”里")
}

// A caseworker's phone is lost: with the account disabled nothing is taken from
// it, and the administrator cuts the device itself off.
func TestLostCaseworkerPhone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.worker("unlucky", county)
	h := w.register("unlucky", "丢失的手机")
	w.offer("grocery", 10, county)
	w.need(w.person, "grocery")
	var b bundleView
	w.do("unlucky", "POST", h.path("/leases"), leaseRequest{Division: village, Hours: 8}).into(t, &b)
	items := itemsOf(b, w.person.ID)
	if len(items) != 1 {
		t.Fatalf("the items are %+v", items)
	}
	records := syncRequest{Records: []recordRequest{h.signed(recordRequest{
		Lease: b.Lease.ID, Allocation: items[0].Allocation, Resident: w.person.ID, How: "word", QtyUnits: 1, GivenMs: b.ServerMs,
	})}}
	promised := func() {
		t.Helper()
		var a care.AllocationView
		w.do("admin", "GET", "/api/v1/allocations/"+items[0].Allocation, nil).into(t, &a)
		if a.State != care.Promised {
			t.Errorf("the allocation is %q", a.State)
		}
	}
	must(t, w.app.Accounts.Disable(t.Context(), "test", p.Account, true))
	for path, body := range map[string]any{"/sync": records, "/return": nil} {
		if got := w.do("unlucky", "POST", h.path(path), body); got.status != 401 {
			t.Errorf("%s of a disabled account: %d %s", path, got.status, got.body)
		}
	}
	if got := w.do("unlucky", "GET", h.path("/lease"), nil); got.status != 401 {
		t.Errorf("the roster for a disabled account: %d", got.status)
	}
	promised()
	// The account is given back, the device is not.
	must(t, w.app.Accounts.Disable(t.Context(), "test", p.Account, false))
	w.signIn("unlucky")
	var lost deviceView
	w.do("admin", "POST", h.path("/lost"), nil).into(t, &lost)
	if lost.State != care.DeviceLost || lost.Lease != nil {
		t.Errorf("the device is %+v", lost)
	}
	// What it had and never told of may have been handed over.
	if page := w.do("admin", "GET", "/devices", nil); page.status != 200 || !strings.Contains(string(page.body), "1 项到结束时没有报告") {
		t.Errorf("the page of devices does not say what was never reported: %d %s", page.status, page.body)
	}
	w.signIn("unlucky")
	for path, body := range map[string]any{"/sync": records, "/return": nil, "/leases": leaseRequest{Division: village, Hours: 1}} {
		if got := w.do("unlucky", "POST", h.path(path), body); got.status != 403 || got.problem(t).Code != "device_lost" {
			t.Errorf("%s of a lost device: %d %s", path, got.status, got.body)
		}
	}
	for _, path := range []string{"/lease", "/choices"} {
		if got := w.do("unlucky", "GET", h.path(path), nil); got.status != 403 || got.problem(t).Code != "device_lost" {
			t.Errorf("%s for a lost device: %d %s", path, got.status, got.body)
		}
	}
	promised()
	if got := w.do("caseworker", "POST", "/api/v1/allocations/"+items[0].Allocation+"/handover", handoverRequest{}); got.status != 200 {
		t.Errorf("the promise stands for its resident: %d %s", got.status, got.body)
	}
}

// Whoever has a lost phone may have the session in it: reporting the phone signs
// its account out everywhere. The owner who reports it goes on.
func TestLostDeviceSignsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker("owner", county)
	w.worker("colleague", county)
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	signedIn := func(actor string) int { return w.do(actor, "GET", "/api/v1/me", nil).status }
	for name, report := range map[string]func(actor string, h *handset) answer{
		"the API": func(actor string, h *handset) answer { return w.do(actor, "POST", h.path("/lost"), nil) },
		"the page": func(actor string, h *handset) answer {
			return w.do(actor, "POST", "/devices/"+h.id+"/lost", strings.NewReader(""), form)
		},
	} {
		p := w.signIn("owner")
		first, second := w.register("owner", "甲机"), w.register("owner", "乙机")
		w.actors["finder"] = &actorHeaders{name: "finder", cookie: w.actors["owner"].cookie, csrf: p.CSRF}

		got := report("owner", first)
		if got.status >= 400 {
			t.Fatalf("%s: lost: %d %s", name, got.status, got.body)
		}
		fresh := sessionCookie(t, got)
		if signedIn("finder") != 401 || signedIn("colleague") != 200 {
			t.Errorf("%s: after the report the phone is answered %d, a colleague %d", name, signedIn("finder"), signedIn("colleague"))
		}
		w.actors["owner"].cookie = fresh
		var me meView
		w.do("owner", "GET", "/api/v1/me", nil).into(t, &me)
		if me.Account != p.Account {
			t.Errorf("%s: the owner goes on as %+v", name, me)
		}

		if got := report("admin", second); got.status >= 400 || len(got.header["Set-Cookie"]) > 0 {
			t.Errorf("%s: lost, an administrator says: %d %s", name, got.status, got.body)
		}
		if signedIn("owner") != 401 || signedIn("admin") != 200 {
			t.Errorf("%s: after the administrator's report the phone is answered %d, the administrator %d", name, signedIn("owner"), signedIn("admin"))
		}
	}
}

// A conflict stands on the home page and on a page of its own, says both sides,
// is settled there, and the person is told who looked.
func TestConflictsPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.conflict()
	w.worker("judge", county)
	if home := w.do("judge", "GET", "/", nil); !strings.Contains(string(home.body), "有 1 条离线冲突等待核实。") {
		t.Error("the home page does not say that a conflict waits")
	}
	page := w.do("judge", "GET", "/conflicts", nil)
	for _, text := range []string{canaryName, "幸福码不符", "试机", "/conflicts/" + id + "/settle", "居民已收到"} {
		if !strings.Contains(string(page.body), text) {
			t.Errorf("the page of conflicts does not have %q", text)
		}
	}
	var looks list[lookView]
	w.do("judge", "GET", "/api/v1/residents/"+w.person.ID+"/views", nil).into(t, &looks)
	if len(looks.Items) == 0 || !strings.Contains(looks.Items[0].Act, "conflicts") {
		t.Errorf("the person is told %+v", looks.Items)
	}
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	// Who reported it sees it, and is not who decides.
	own := w.do("reporter", "GET", "/conflicts", nil)
	if !strings.Contains(string(own.body), "由本辖区的另一位社工或管理员核实") || strings.Contains(string(own.body), "/settle") {
		t.Errorf("the reporter is shown %d %s", own.status, own.body)
	}
	if got := w.do("reporter", "POST", "/conflicts/"+id+"/settle", strings.NewReader("decision=given"), form); got.status != 403 || !strings.Contains(string(got.body), "由本辖区的另一位社工或管理员核实") {
		t.Errorf("the reporter decides: %d", got.status)
	}
	if got := w.do("reporter", "POST", "/api/v1/conflicts/"+id+"/settle", settleRequest{Decision: "given"}); got.status != 403 || got.problem(t).Code != "own_report" {
		t.Errorf("the reporter decides over the API: %d %s", got.status, got.body)
	}
	if got := w.do("judge", "POST", "/conflicts/"+id+"/settle", strings.NewReader("decision=nonsense"), form); got.status != 400 {
		t.Errorf("a decision that there is not: %d", got.status)
	}
	if got := w.do("judge", "POST", "/conflicts/"+id+"/settle", strings.NewReader("decision=returned&note=查过了"), form); got.status != 303 {
		t.Errorf("settling: %d %s", got.status, got.body)
	}
	if page := w.do("judge", "GET", "/conflicts?settled=true", nil); !strings.Contains(string(page.body), "查过了") || !strings.Contains(string(page.body), "社工judge") {
		t.Error("the settled conflict is not shown")
	}
	if page := w.do("judge", "GET", "/conflicts", nil); strings.Contains(string(page.body), canaryName) {
		t.Error("the settled conflict is still open")
	}
}
