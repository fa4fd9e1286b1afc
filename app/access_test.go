package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/qrcode"
)

func newCaseworker(name string) accounts.NewAccount {
	return accounts.NewAccount{Username: name, Password: "correct horse", Role: accounts.Caseworker, Division: county}
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// signedInAs makes an account with a session and returns the actor's name.
func (w *world) signedInAs(name string, n accounts.NewAccount) string {
	w.t.Helper()
	_, err := w.app.Accounts.Create(w.t.Context(), "test", n)
	must(w.t, err)
	got := w.do("visitor", "POST", "/api/v1/sessions", signinRequest{n.Username, n.Password})
	var me meView
	got.into(w.t, &me)
	w.actors[name] = &actorHeaders{name: name, cookie: sessionCookie(w.t, got), csrf: me.CSRF}
	return name
}

func TestCSRF(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.signedInAs("session", newCaseworker("worker"))
	need := needRequest{Category: "legal", QtyUnits: 1}
	path := "/api/v1/residents/" + w.person.ID + "/needs"
	for name, headers := range map[string][]header{
		"no token":             {{"X-CSRF-Token", ""}},
		"wrong token":          {{"X-CSRF-Token", "x"}},
		"token of another":     {{"X-CSRF-Token", w.actors["resident"].csrf}},
		"another site":         {{"Origin", "https://evil.example"}},
		"null origin":          {{"Origin", "null"}},
		"cross-site by header": {{"Sec-Fetch-Site", "cross-site"}},
		"a sibling host":       {{"Sec-Fetch-Site", "same-site"}},
	} {
		if got := w.do(who, "POST", path, need, headers...); got.status != 403 || got.problem(t).Code != "csrf" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for name, headers := range map[string][]header{
		"our page":       {{"Origin", "http://example.com"}, {"Sec-Fetch-Site", "same-origin"}},
		"public address": {{"Origin", "http://127.0.0.1:8080"}},
		"old browser":    {},
	} {
		if got := w.do(who, "POST", path, need, headers...); got.status != 201 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	// A form's field is taken on pages only.
	form := strings.NewReader("lang=en&csrf=" + w.actors[who].csrf)
	if got := w.do(who, "POST", "/lang", form, header{"Content-Type", "application/x-www-form-urlencoded"}, header{"X-CSRF-Token", ""}); got.status == 403 {
		t.Errorf("a form with its token: %d", got.status)
	}
	// Every route that changes something asks for the token.
	for _, r := range w.app.Routes() {
		if r.Method == "GET" || r.Kind == Probe {
			continue
		}
		p := strings.ReplaceAll(r.Path, ":id", w.person.ID)
		if got := w.do(who, r.Method, p, nil, header{"X-CSRF-Token", ""}); got.status != 403 {
			t.Errorf("%s %s without a token: %d", r.Method, r.Path, got.status)
		}
	}
	// Signing in from another site's page is refused too.
	if got := w.do("visitor", "POST", "/api/v1/sessions", signinRequest{"worker", "correct horse"}, header{"Origin", "https://evil.example"}); got.status != 403 {
		t.Errorf("sign-in from another site: %d", got.status)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chosen := strings.Repeat("A", 43)
	w.actors["victim"] = &actorHeaders{cookie: chosen}
	_, err := w.app.Accounts.Create(t.Context(), "test", newCaseworker("worker"))
	must(t, err)
	got := w.do("victim", "POST", "/api/v1/sessions", signinRequest{"worker", "correct horse"})
	if cookie := sessionCookie(t, got); got.status != 201 || cookie == chosen {
		t.Errorf("an id chosen by an attacker was adopted: %d %s", got.status, got.body)
	}
	if got := w.do("victim", "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("the chosen id answers %d", got.status)
	}
	who := w.signedInAs("session", newCaseworker("other"))
	if got := w.do(who, "DELETE", "/api/v1/sessions", nil); got.status != 204 {
		t.Fatalf("sign out: %d %s", got.status, got.body)
	}
	if got := w.do(who, "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("after signing out: %d", got.status)
	}
	if got := w.do("visitor", "GET", "/api/v1/me", nil, header{"Authorization", "Bearer hct_" + chosen}); got.status != 401 {
		t.Errorf("a made-up token: %d", got.status)
	}
	if got := w.do("visitor", "GET", "/api/v1/me", nil, header{"Authorization", "Basic d29ya2VyOng="}); got.status != 401 {
		t.Errorf("basic authorisation: %d", got.status)
	}
	expired := w.signedInAs("late", newCaseworker("late"))
	w.shift.Store(int64(13 * time.Hour))
	if got := w.do(expired, "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("after the session's time: %d", got.status)
	}
}

// A resident signs in with a code where somebody's session was left: only our
// own page can, and the old session ends.
func TestCodeEndsTheSessionBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.signedInAs("left", newCaseworker("worker"))
	in := residentSigninRequest{w.person.CardNo, "246813"}
	if got := w.do(who, "POST", "/api/v1/resident-sessions", in, header{"X-CSRF-Token", ""}); got.status != 403 || len(got.header.Values("Set-Cookie")) > 0 {
		t.Errorf("without the page's token: %d", got.status)
	}
	if got := w.do(who, "POST", "/api/v1/resident-sessions", residentSigninRequest{w.person.CardNo, "000000"}); got.status != 401 {
		t.Errorf("a wrong PIN: %d", got.status)
	}
	if got := w.do(who, "GET", "/api/v1/me", nil); got.status != 200 {
		t.Errorf("the session after a wrong PIN: %d", got.status)
	}
	got := w.do(who, "POST", "/api/v1/resident-sessions", in)
	if got.status != 201 || sessionCookie(t, got) == w.actors[who].cookie {
		t.Fatalf("sign in: %d %s", got.status, got.body)
	}
	if got := w.do(who, "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("the old session after the sign-in: %d", got.status)
	}
}

// A disabled account is out at once.
func TestDisabledAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.signedInAs("session", newCaseworker("worker"))
	var me meView
	w.do(who, "GET", "/api/v1/me", nil).into(t, &me)
	if got := w.do("admin", "PATCH", "/api/v1/accounts/"+me.Account, `{"disabled":true}`); got.status != 200 {
		t.Fatalf("disable: %d %s", got.status, got.body)
	}
	if got := w.do(who, "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("a disabled account's session answers %d", got.status)
	}
	if got := w.do("visitor", "POST", "/api/v1/sessions", signinRequest{"worker", "correct horse"}); got.status != 401 {
		t.Errorf("a disabled account signs in: %d", got.status)
	}
}

// Whatever is wrong with a code, the answer is the same, and after a while
// there is none.
func TestEnumeration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signer, err := w.ring.Signer()
	must(t, err)
	forged := func(n byte) string { // signed, but nobody's
		token, err := qrcode.Sign(qrcode.Card, signer, [10]byte{n, 1, 2, 3}, uint32(w.now().Unix()/60))
		must(t, err)
		return token.Digits()
	}
	flipped := []byte(w.digits(w.person))
	flipped[100] = '0' + (flipped[100]-'0'+1)%10
	codes := []string{
		forged(1), string(flipped), "1", "", strings.Repeat("9", 193), "https://evil.example/c#" + strings.Repeat("1", 193),
		w.digits(w.other), w.other.CardNo, "123456789012",
	}
	var first answer
	for i, code := range codes {
		got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{code})
		if i == 0 {
			first = got
		}
		if got.status != 404 || !bytes.Equal(got.body, first.body) {
			t.Errorf("code %d: %d %s, the first got %d %s", i, got.status, got.body, first.status, first.body)
		}
		for name := range got.header {
			if first.header.Get(name) == "" {
				t.Errorf("code %d: has a header %s that others lack", i, name)
			}
		}
	}
	limited := false
	for i := range 40 {
		got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{forged(byte(i + 10))})
		limited = limited || got.status == 429
		if got.status == 200 {
			t.Fatal("a forged code was taken")
		}
	}
	if !limited {
		t.Error("guessing was not slowed down")
	}
	got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)})
	if got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("a guesser still scans: %d", got.status)
	}
	w.shift.Store(int64(3 * time.Minute))
	if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)}); got.status != 200 {
		t.Errorf("after waiting: %d %s", got.status, got.body)
	}
}

// Honest scans are not counted as guesses, however many there are.
func TestManyScansFromOneOffice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 200 {
		if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.person.CardNo}); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
}

func TestPINGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signin := func(code, pin string) answer {
		return w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{code, pin})
	}
	unknown := signin("123456789012", "000000")
	wrong := signin(w.person.CardNo, "000000")
	if unknown.status != 401 || wrong.status != 401 || !bytes.Equal(unknown.body, wrong.body) {
		t.Errorf("unknown %d %s\nwrong %d %s", unknown.status, unknown.body, wrong.status, wrong.body)
	}
	for range 11 {
		wrong = signin(w.person.CardNo, "000000")
	}
	locked := signin(w.person.CardNo, "246813")
	if locked.status != 401 || !bytes.Equal(locked.body, unknown.body) {
		t.Errorf("locked: %d %s", locked.status, locked.body)
	}
	for range 30 {
		wrong = signin("123456789012", "000000")
	}
	if wrong.status != 429 {
		t.Errorf("after 40 tries from one network: %d", wrong.status)
	}
}

func TestSpoofedForwardedFor(t *testing.T) {
	t.Parallel()
	guess := func(w *world, i int, forwarded string) int {
		in := signinRequest{fmt.Sprintf("nobody%d", i), "nothing"}
		return w.do("visitor", "POST", "/api/v1/sessions", in, header{"X-Forwarded-For", forwarded}).status
	}
	t.Run("nobody is trusted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		last := 0
		for i := range 40 {
			last = guess(w, i, fmt.Sprintf("10.1.2.%d", i))
		}
		if last != 429 {
			t.Errorf("a new X-Forwarded-For each time gets %d", last)
		}
	})
	t.Run("behind a proxy", func(t *testing.T) {
		t.Parallel()
		// The test connection comes from 0.0.0.0.
		w := newWorld(t, "HAPPYCODE_TRUSTED_PROXIES=0.0.0.0,172.16.0.0/12")
		last := 0
		for i := range 40 { // the client writes the front, the proxy the end
			last = guess(w, i, fmt.Sprintf("10.1.2.%d, 203.0.113.7, 172.16.0.9", i))
		}
		if last != 429 {
			t.Errorf("a forged front of X-Forwarded-For gets %d", last)
		}
		if got := guess(w, 50, "198.51.100.1"); got != 401 {
			t.Errorf("another client behind the proxy gets %d", got)
		}
		for i := range 40 { // one IPv6 network has many addresses
			last = guess(w, 60+i, fmt.Sprintf("2001:db8:1:2::%x", i+1))
		}
		if last != 429 {
			t.Errorf("another address of the same IPv6 network gets %d", last)
		}
	})
}

// Nothing of a person reaches a provider, a stranger or the log.
func TestNothingOfPersonsWhereItDoesNotBelong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := matrix(w)
	maps.Copy(rows, postingRows(w))
	maps.Copy(rows, wishRows(w))
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)})
	w.do("caseworker", "POST", "/api/v1/residents/find", findRequest{IDNumber: canaryID})
	w.do("caseworker", "POST", "/api/v1/residents", residentRequest{Name: canaryName, IDNumber: canaryID, Phone: canaryPhone, Division: village})
	w.do("caseworker", "PUT", "/api/v1/residents/"+w.person.ID+"/address", addressRequest{canaryAddress})
	for _, actor := range []string{"provider", "other provider", "visitor"} {
		for _, r := range w.app.Routes() {
			if r.Method != http.MethodGet || rows[r.Name].path == "" {
				continue
			}
			got := w.do(actor, r.Method, rows[r.Name].path, nil)
			for _, canary := range []string{canaryName, canaryID, canaryPhone, canaryAddress, canaryNote, w.person.ID, w.person.CardNo} {
				if r.Name == "showSignin" || strings.Contains(got.header.Get("Location"), "/signin?next=") {
					continue
				}
				if bytes.Contains(got.body, []byte(canary)) {
					t.Errorf("%s as %s shows %q", r.Name, actor, canary)
				}
			}
		}
	}
	for _, r := range w.app.Routes() { // and everything once as caseworker, for the log
		if rows[r.Name].path != "" && r.Method == http.MethodGet {
			w.do("caseworker", r.Method, rows[r.Name].path, nil)
			w.do("resident", r.Method, rows[r.Name].path, nil)
		}
	}
	log := w.logs.String()
	for _, canary := range []string{canaryName, canaryID, canaryPhone, canaryAddress, canaryNote, w.person.ID, w.person.CardNo, w.digits(w.person), w.digits(w.person)[:40], w.actors["resident"].cookie, w.actors["admin"].bearer} {
		if strings.Contains(log, canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
	if !strings.Contains(log, `"route":"/api/v1/residents/:id"`) {
		t.Error("there is no access log")
	}
}

// The landing page of a code says nothing of anybody and sets no cookie.
func TestStrangersPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.do("visitor", "GET", "/c", nil), w.do("visitor", "GET", "/c?x="+w.person.CardNo, nil)
	if a.status != 200 || !bytes.Equal(a.body, b.body) || a.header.Get("Set-Cookie") != "" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, cookie %q, cache %q", a.status, a.header.Get("Set-Cookie"), a.header.Get("Cache-Control"))
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/api/v1/residents/" + w.person.ID + "/needs"
	key := header{"Idempotency-Key", "key-1"}
	first := w.do("caseworker", "POST", path, needRequest{Category: "legal", QtyUnits: 1}, key)
	if first.status != 201 {
		t.Fatalf("%d %s", first.status, first.body)
	}
	again := w.do("caseworker", "POST", path, needRequest{Category: "legal", QtyUnits: 1}, key)
	if again.status != 201 || !bytes.Equal(again.body, first.body) || again.header.Get("Idempotent-Replayed") != "true" ||
		again.header.Get("Content-Type") != first.header.Get("Content-Type") {
		t.Errorf("the same again: %d %s", again.status, again.body)
	}
	if got := w.do("caseworker", "POST", path, needRequest{Category: "legal", QtyUnits: 2}, key); got.status != 422 || got.problem(t).Code != "key_reused" {
		t.Errorf("another body: %d %s", got.status, got.body)
	}
	admins := w.do("admin", "POST", path, needRequest{Category: "legal", QtyUnits: 1}, key)
	if admins.status != 201 || bytes.Equal(admins.body, first.body) {
		t.Errorf("another account got: %d %s", admins.status, admins.body)
	}
	if got := w.do("resident", "POST", path, needRequest{Category: "legal", QtyUnits: 2}, key); got.status != 201 {
		t.Errorf("the resident: %d %s", got.status, got.body)
	}
	// A failure is repeated as well; it stays what it was.
	bad := header{"Idempotency-Key", "key-2"}
	one := w.do("caseworker", "POST", path, needRequest{Category: "none", QtyUnits: 1}, bad)
	two := w.do("caseworker", "POST", path, needRequest{Category: "none", QtyUnits: 1}, bad)
	if one.status != 400 || two.status != 400 || !bytes.Equal(one.body, two.body) {
		t.Errorf("failures: %d %s, %d %s", one.status, one.body, two.status, two.body)
	}
	for _, k := range []string{strings.Repeat("x", 129), "with space"} {
		if got := w.do("caseworker", "POST", path, needRequest{Category: "legal", QtyUnits: 1}, header{"Idempotency-Key", k}); got.status != 400 {
			t.Errorf("key %.20q: %d", k, got.status)
		}
	}
	// What is kept does not name anybody.
	register := residentRequest{Name: canaryName, IDNumber: idNumber("33050219510101", 7), Division: village}
	w.do("caseworker", "POST", "/api/v1/residents", register, header{"Idempotency-Key", "register-1"})
	p, err := w.app.Accounts.PrincipalOfToken(t.Context(), w.actors["caseworker"].bearer)
	must(t, err)
	kept, err := w.app.replays.Get(t.Context(), hash(p.Account, "createResident", "register-1"))
	must(t, err)
	if kept.Status != 201 || strings.Contains(kept.Body, canaryName) {
		t.Errorf("kept: %+v", kept)
	}
	// Nor can a PIN in the request be guessed from it.
	sent, err := json.Marshal(register)
	must(t, err)
	if kept.RequestHash == "" || kept.RequestHash == hash("/api/v1/residents", string(sent)) {
		t.Errorf("the request is kept as %q, a hash that anybody can make", kept.RequestHash)
	}
	// After a day the answer is forgotten, but a need's id comes from the key:
	// the same is found again, another need is refused.
	w.shift.Store(int64(25 * time.Hour))
	if got := w.do("caseworker", "POST", path, needRequest{Category: "legal", QtyUnits: 2}, key); got.status != 422 || got.problem(t).Code != "key_reused" {
		t.Errorf("a day later: %d %s", got.status, got.body)
	}
	var before, after care.NeedView
	admins.into(t, &before)
	got := w.do("admin", "POST", path, needRequest{Category: "legal", QtyUnits: 1}, key)
	if got.into(t, &after); before.ID != after.ID || got.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("the same a day later: %d %s, at first %s", got.status, got.body, admins.body)
	}
}

func TestIdempotencyOfRacingRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/api/v1/residents/" + w.person.ID + "/needs"
	var mu sync.Mutex
	bodies, statuses := map[string]bool{}, map[int]int{}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got := w.do("caseworker", "POST", path, needRequest{Category: "legal", QtyUnits: 1}, header{"Idempotency-Key", "race"})
			mu.Lock()
			defer mu.Unlock()
			statuses[got.status]++
			if got.status == 201 {
				bodies[string(got.body)] = true
			}
		})
	}
	all.Wait()
	if len(bodies) != 1 || statuses[201]+statuses[409] != 20 {
		t.Errorf("%d different needs, statuses %v", len(bodies), statuses)
	}
	needs, err := w.app.Residents.Needs(t.Context(), w.person.ID)
	must(t, err)
	if len(needs) != 1 {
		t.Errorf("%d needs were recorded", len(needs))
	}
}

// A request whose process died is taken over: once its time is up, soon where
// running it twice does no harm, and at once where no other process can be at
// work.
func TestIdempotencyAfterACrash(t *testing.T) {
	t.Parallel()
	need := `{"category":"legal","qty_units":1}`
	person := `{"name":"` + canaryName + `","id_number":"` + idNumber("33050219510101", 8) + `","division":"` + village + `"}`
	for _, c := range []struct {
		name, route, body string
		age, later        time.Duration // of the request at the first repeat; until the second
		first             int
	}{
		{"a need", "createNeed", need, 0, 4 * time.Second, 409},
		{"a resident", "createResident", person, 4 * time.Second, 2 * time.Minute, 409},
		{"a resident before this process began", "createResident", person, -time.Second, 0, 201},
	} {
		w := newWorld(t)
		p, err := w.app.Accounts.PrincipalOfToken(t.Context(), w.actors["caseworker"].bearer)
		must(t, err)
		path := map[string]string{"createNeed": "/api/v1/residents/" + w.person.ID + "/needs", "createResident": "/api/v1/residents"}[c.route]
		died := &replay{AtMs: w.now().UnixMilli(), RequestHash: w.app.requestHash(path, c.body)}
		if c.age < 0 {
			died.AtMs = w.app.startedMs + c.age.Milliseconds()
		}
		died.ID = hash(p.Account, c.route, "crash")
		must(t, w.app.replays.Insert(t.Context(), died))
		w.shift.Store(int64(max(c.age, 0)))
		key := header{"Idempotency-Key", "crash"}
		if got := w.do("caseworker", "POST", path, c.body, key); got.status != c.first || c.first == 409 && got.problem(t).Code != "in_flight" {
			t.Errorf("%s, first: %d %s", c.name, got.status, got.body)
		}
		w.shift.Add(int64(c.later))
		if got := w.do("caseworker", "POST", path, c.body, key); got.status != 201 {
			t.Errorf("%s, afterwards: %d %s", c.name, got.status, got.body)
		}
	}
}

// A request that was only slow, and was taken for dead: it and its repeat are
// both answered, and one answer is kept.
func TestIdempotencyOfASlowRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, err := w.app.Accounts.PrincipalOfToken(t.Context(), w.actors["caseworker"].bearer)
	must(t, err)
	path, body, key := "/api/v1/residents/"+w.person.ID+"/needs", `{"category":"legal","qty_units":1}`, header{"Idempotency-Key", "slow"}
	var route *Route
	for i := range w.app.routes {
		if w.app.routes[i].Name == "createNeed" {
			route = &w.app.routes[i]
		}
	}
	var request fasthttp.RequestCtx
	request.Request.SetRequestURI(path)
	request.Request.Header.SetMethod("POST")
	request.Request.Header.Set(key.name, key.value)
	request.Request.SetBodyString(body)
	c := w.app.fiber.AcquireCtx(&request)
	defer w.app.fiber.ReleaseCtx(c)
	var repeat answer
	err = w.app.once(c, route, p, func() error {
		w.shift.Store(int64(4 * time.Second))
		repeat = w.do("caseworker", "POST", path, body, key)
		return c.Status(201).SendString("the slow one")
	})
	if err != nil || repeat.status != 201 {
		t.Errorf("the slow one: %v; its repeat: %d %s", err, repeat.status, repeat.body)
	}
	if third := w.do("caseworker", "POST", path, body, key); third.status != 201 || !bytes.Equal(third.body, repeat.body) || third.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("later: %d %s, the repeat was answered %s", third.status, third.body, repeat.body)
	}
}
