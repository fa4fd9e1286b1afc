package app

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
)

// An offer that serves the village too is not the village's to withdraw.
func TestWithdrawIsForThoseWhoAnswerForTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	offer := w.offer("counsel", 5, county, elsewhere)
	admin := w.signedInAs("village page", accounts.NewAccount{Username: "head", Password: "correct horse", Role: accounts.Admin, Division: village})
	for _, actor := range []string{"village admin", "admin elsewhere"} {
		if got := w.do(actor, "GET", "/api/v1/offers/"+offer.ID, nil); got.status != 200 {
			t.Errorf("%s does not see the offer: %d", actor, got.status)
		}
		if got := w.do(actor, "POST", "/api/v1/offers/"+offer.ID+"/withdraw", nil); got.status != 404 {
			t.Errorf("%s withdraws: %d %s", actor, got.status, got.body)
		}
		if e := w.lastAudit(); e.Outcome != "denied" || e.Object != offer.ID || e.Division != county {
			t.Errorf("the refusal in the audit log: %+v", e)
		}
	}
	if got := w.do(admin, "POST", "/offers/"+offer.ID+"/withdraw", nil); got.status != 404 {
		t.Errorf("the page withdraws: %d", got.status)
	}
	if got := w.do(admin, "GET", "/offers/"+offer.ID, nil); got.status != 200 || bytes.Contains(got.body, []byte("/withdraw")) {
		t.Errorf("the page offers to withdraw: %d", got.status)
	}
	if got := w.do("provider", "POST", "/api/v1/offers/"+offer.ID+"/withdraw", nil); got.status != 200 {
		t.Errorf("the provider: %d %s", got.status, got.body)
	}
}

// The audit page shows what lies in the administrator's division.
func TestAuditPageByDivision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var entries []audit.Entry
	for i := range 3 * rowsPerPage { // one of the village among many of the county
		e := audit.Entry{Actor: "somebody", Role: "admin", Act: "view_resident", Object: fmt.Sprint("county-", i), Division: county, Outcome: "ok"}
		if i == 0 {
			e.Object, e.Division = "of-the-village", village
		}
		entries = append(entries, e)
	}
	must(t, w.app.Audit.Write(t.Context(), entries...))
	page := func(actor, path string) string {
		t.Helper()
		got := w.do(actor, "GET", path, nil)
		if got.status != 200 {
			t.Fatalf("%s as %s: %d %s", path, actor, got.status, got.body)
		}
		return string(got.body)
	}
	mine := page("village admin", "/audit")
	if !strings.Contains(mine, "of-the-village") || strings.Contains(mine, "county-") {
		t.Errorf("the village's administrator sees %s", mine)
	}
	if strings.Contains(mine, "/audit/check") || !strings.Contains(page("admin", "/audit"), "/audit/check") {
		t.Error("the whole chain is offered to the wrong ones")
	}
	if !strings.Contains(page("admin", "/audit"), "county-") {
		t.Error("the city's administrator does not see the county")
	}
	if strings.Contains(page("admin", "/audit?check=1"), "记录完整") {
		t.Error("following a link verifies the whole chain")
	}
	if got := w.do("village admin", "POST", "/audit/check", nil); got.status != 404 {
		t.Errorf("the village's administrator verifies the chain: %d", got.status)
	}
	if got := w.do("admin", "POST", "/audit/check", nil); got.status != 200 || !bytes.Contains(got.body, []byte("记录完整")) {
		t.Errorf("the check: %d %s", got.status, got.body)
	}
}

// Each person of a list finds it among those who looked at them.
func TestListsLeaveATraceOfEachPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/api/v1/residents", "/residents"} {
		before, _, err := w.app.Audit.Of(t.Context(), w.person.ID, "", 200)
		must(t, err)
		if got := w.do("village caseworker", "GET", path, nil); got.status != 200 {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		after, _, err := w.app.Audit.Of(t.Context(), w.person.ID, "", 200)
		must(t, err)
		if len(after) != len(before)+1 || after[0].Act != "list_residents" || after[0].Division != village {
			t.Errorf("%s left %d entries about the person: %+v", path, len(after)-len(before), after)
		}
	}
	if seen, _, err := w.app.Audit.Of(t.Context(), w.other.ID, "", 200); err != nil || len(seen) != 0 {
		t.Errorf("somebody who was not listed: %+v, %v", seen, err)
	}
}

// A scan is run again, not repeated from what was kept: the card may have been
// replaced, and the look belongs in the audit log.
func TestScanIsNeverReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := header{"Idempotency-Key", "scan-1"}
	digits := w.digits(w.person)
	scan := func() (answer, int) {
		got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{digits}, key)
		seen, _, err := w.app.Audit.Of(t.Context(), w.person.ID, "", 200)
		must(t, err)
		return got, len(seen)
	}
	first, once := scan()
	again, twice := scan()
	if first.status != 200 || again.status != 200 || twice != once+1 {
		t.Errorf("%d, %d, with %d and %d audit entries", first.status, again.status, once, twice)
	}
	if got := w.do("caseworker", "POST", "/api/v1/residents/"+w.person.ID+"/code/reissue", nil); got.status != 201 {
		t.Fatalf("reissue: %d %s", got.status, got.body)
	}
	if got, _ := scan(); got.status != 404 || bytes.Contains(got.body, []byte(canaryName)) {
		t.Errorf("the replaced card: %d %s", got.status, got.body)
	}
}

// What is repeated about a person is a look at the person: audited, and only
// while the one who asks may look.
func TestReplayIsALook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account, err := w.app.Accounts.Create(t.Context(), "test", accounts.NewAccount{Username: "mover", Password: "correct horse", Role: accounts.Caseworker, Division: county})
	must(t, err)
	signIn := func() {
		cookie, p, err := w.app.Accounts.SignIn(t.Context(), "mover", "correct horse", "here")
		must(t, err)
		w.actors["mover"] = &actorHeaders{name: "mover", cookie: cookie, csrf: p.CSRF}
	}
	register := func() answer {
		return w.do("mover", "POST", "/api/v1/residents", residentRequest{Name: canaryName, IDNumber: idNumber("33050219510101", 8), Division: village}, header{"Idempotency-Key", "once"})
	}
	signIn()
	var made residentView
	register().into(t, &made)
	if got := register(); got.status != 201 || got.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %s", got.status, got.body)
	}
	seen, _, err := w.app.Audit.Of(t.Context(), made.ID, "", 200)
	must(t, err)
	if len(seen) != 2 {
		t.Errorf("%d entries for two answers: %+v", len(seen), seen)
	}
	must(t, w.app.Accounts.SetRole(t.Context(), "test", account.ID, accounts.Caseworker, elsewhere, ""))
	signIn()
	if got := register(); got.status != 404 || bytes.Contains(got.body, []byte(canaryName)) {
		t.Errorf("after moving to another county: %d %s", got.status, got.body)
	}
	if e := w.lastAudit(); e.Outcome != "denied" || e.Subject != made.ID {
		t.Errorf("the refusal in the audit log: %+v", e)
	}
}

// Divisions are imported within one's own only.
func TestDivisionsAreImportedWithin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const fresh = "330503001009,外村,village,330503001000\n330502001001,改名社区,village,330502001000\n330502001000,改名街道,town,330502000000\n"
	r := matrix(w)["importDivisions"]
	file := strings.ReplaceAll(read(t, r.body(w).(io.Reader)), divisionsCSV, divisionsCSV+"")
	file = strings.ReplaceAll(file, "330502001000,月河街道,town,330502000000\n330502001001,红丰社区,village,330502001000\n", "")
	file = strings.ReplaceAll(file, "330502001002,马军巷社区,village,330502001000\n", "330502001002,马军巷社区,village,330502001000\n"+fresh)
	var out divisionsImported
	w.do("village admin", "POST", r.path, strings.NewReader(file), header{"Content-Type", r.kind}).into(t, &out)
	if out.Taken != 0 || out.Changed != 1 || len(out.Bad) != 2 {
		t.Errorf("%+v", out)
	}
	for _, b := range out.Bad {
		if b.Column == "" || b.Reason == "" {
			t.Errorf("a bad row without a reason: %+v", b)
		}
	}
	tree := w.app.Tree()
	if _, ok := tree.Get("330503001009"); ok {
		t.Error("a village of another county was made")
	}
	if d, _ := tree.Get("330502001000"); d.Name != "月河街道" {
		t.Errorf("the town above is now %s", d.Name)
	}
	if d, _ := tree.Get(village); d.Name != "改名社区" {
		t.Errorf("the own village is still %s", d.Name)
	}
}

func read(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	must(t, err)
	return string(b)
}

// beginUpload sends the header of a large upload and nothing of its body; the
// answer comes at once when the body is not waited for.
func (w *world) beginUpload(actor, path string) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	authorization := ""
	if b := w.actors[actor].bearer; b != "" {
		authorization = "Authorization: Bearer " + b + "\r\n"
	}
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 10000000\r\n\r\n", path, authorization)
	must(w.t, err)
	return conn
}

func answered(t *testing.T, conn net.Conn) int {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(5*time.Minute)))
	line := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, line); err != nil {
		t.Errorf("no answer before the body: %v", err)
		return 0
	}
	status := 0
	_, err := fmt.Sscanf(string(line), "HTTP/1.1 %d", &status)
	must(t, err)
	return status
}

// waitUploads waits until so many uploads are being read.
func (w *world) waitUploads(want int) {
	w.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		n := 0
		w.app.gate.mu.Lock()
		for _, u := range w.app.gate.open {
			if u.why == nil {
				n++
			}
		}
		w.app.gate.mu.Unlock()
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d uploads are being read, want %d", n, want)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Nobody's body is read as a file before it is known who sends it.
func TestUploadsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.listen()
	w.actors["forger"] = &actorHeaders{bearer: "hct_" + strings.Repeat("A", 43)}
	for _, r := range w.app.Routes() {
		if !r.Upload {
			continue
		}
		refused := map[string]int{"visitor": 401, "forger": 401}
		for actor, role := range map[string]accounts.Role{"provider": accounts.Provider, "caseworker": accounts.Caseworker} {
			if !slices.Contains(r.Roles, role) {
				refused[actor] = 403
			}
		}
		for actor, want := range refused {
			if got := answered(t, w.beginUpload(actor, r.Path)); got != want {
				t.Errorf("%s as %s: %d, want %d", r.Path, actor, got, want)
			}
		}
	}
	w.waitUploads(0)
}

func TestUploadsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.listen()
	const path = "/api/v1/residents/import"
	var conns []net.Conn
	for i, actor := range []string{"admin", "admin elsewhere", "caseworker", "caseworker elsewhere"} {
		conns = append(conns, w.beginUpload(actor, path), w.beginUpload(actor, path))
		w.waitUploads(2 * (i + 1))
		if i == 0 {
			if got := answered(t, w.beginUpload(actor, path)); got != 503 {
				t.Errorf("a third file of one account: %d", got)
			}
		}
	}
	if got := answered(t, w.beginUpload("village admin", path)); got != 503 {
		t.Errorf("one file too many: %d", got)
	}
	must(t, conns[0].Close())
	w.waitUploads(uploadsAtOnce - 1)
	w.beginUpload("village admin", path)
	w.waitUploads(uploadsAtOnce)
}

// A place is given back when the upload is done.
func TestUploadsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.listen()
	r := matrix(w)["importResidents"]
	for range 2 * uploadsAtOnce {
		if got := w.do("caseworker", "POST", r.path, r.body(w), header{"Content-Type", r.kind}); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	w.waitUploads(0)
}

// Another's wrong passwords and wrong codes do not keep anybody out.
func TestOthersFailuresDoNotLockOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HAPPYCODE_TRUSTED_PROXIES=0.0.0.0")
	_, err := w.app.Accounts.Create(t.Context(), "test", newCaseworker("worker"))
	must(t, err)
	signIn := func(from, password string) int {
		return w.do("visitor", "POST", "/api/v1/sessions", signinRequest{"worker", password}, header{"X-Forwarded-For", from}).status
	}
	for range 15 {
		signIn("203.0.113.9", "nothing at all")
	}
	if got := signIn("203.0.113.9", "correct horse"); got != 429 {
		t.Errorf("the guesser gets %d", got)
	}
	if got := signIn("198.51.100.1", "correct horse"); got != 201 {
		t.Errorf("the owner gets %d", got)
	}
	scan := func(actor, code string) int {
		return w.do(actor, "POST", "/api/v1/scans", scanRequest{code}, header{"X-Forwarded-For", "198.51.100.1"}).status
	}
	for range 40 {
		scan("caseworker", "123456789012")
	}
	if got := scan("caseworker", w.person.CardNo); got != 429 {
		t.Errorf("the guesser scans: %d", got)
	}
	if got := scan("village caseworker", w.person.CardNo); got != 200 {
		t.Errorf("a colleague at the same address: %d", got)
	}
	if got := signIn("198.51.100.1", "correct horse"); got != 201 {
		t.Errorf("signing in at that address: %d", got)
	}
}

// Everybody with a password can change it, on a page and by the API.
func TestPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.signedInAs("worker", newCaseworker("worker"))
	_, _, err := w.app.Accounts.SignIn(t.Context(), "worker", "correct horse", "elsewhere")
	must(t, err)
	const api = "/api/v1/me/password"
	got := w.do(who, "PUT", api, passwordRequest{"wrong horse", "another horse"})
	if p := got.problem(t); got.status != 400 || len(p.Fields) != 1 || p.Fields[0].Field != "current_password" {
		t.Errorf("a wrong present password: %d %s", got.status, got.body)
	}
	if got := w.do(who, "PUT", api, passwordRequest{"correct horse", "short"}); got.status != 400 {
		t.Errorf("a short password: %d", got.status)
	}
	if got := w.do("admin", "PUT", api, passwordRequest{"correct horse", "another horse"}); got.status != 403 {
		t.Errorf("a service token: %d", got.status)
	}
	got = w.do(who, "PUT", api, passwordRequest{"correct horse", "another horse"})
	var me meView
	got.into(t, &me)
	if e := w.lastAudit(); e.Act != "change_password" || e.Object != me.Account || e.Outcome != "ok" {
		t.Errorf("the audit log: %+v", e)
	}
	if got := w.do(who, "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("the session before: %d", got.status)
	}
	w.actors[who] = &actorHeaders{cookie: sessionCookie(t, got), csrf: me.CSRF}
	if got := w.do(who, "GET", "/password", nil); got.status != 200 || !bytes.Contains(got.body, []byte(`name="current_password"`)) {
		t.Errorf("the page: %d", got.status)
	}
	save := func(current, password, again string) answer {
		return w.submit(who, "/password", url.Values{"current_password": {current}, "password": {password}, "password_again": {again}})
	}
	for name, got := range map[string]answer{
		"typed differently":     save("another horse", "third horse", "third house"),
		"the wrong present one": save("correct horse", "third horse", "third horse"),
		"too short":             save("another horse", "third", "third"),
	} {
		if got.status != 400 || bytes.Contains(got.body, []byte("third h")) || bytes.Contains(got.body, []byte("another horse")) || !bytes.Contains(got.body, []byte("aria-invalid")) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := save("another horse", "third horse", "third horse"); got.status != http.StatusSeeOther {
		t.Fatalf("on the page: %d %s", got.status, got.body)
	}
	if got := w.do("visitor", "POST", "/api/v1/sessions", signinRequest{"worker", "third horse"}); got.status != 201 {
		t.Errorf("with the new password: %d", got.status)
	}
}
