package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
)

func TestHeadersOnEveryRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := matrix(w)
	check := func(what string, got answer) {
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q", what, name, got.header.Get(name))
			}
		}
		if !strings.Contains(got.header.Get("Permissions-Policy"), "camera=(self)") {
			t.Errorf("%s: Permissions-Policy is %q", what, got.header.Get("Permissions-Policy"))
		}
		if got.header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: HSTS over plain HTTP", what)
		}
	}
	for _, r := range w.app.Routes() {
		path := rows[r.Name].path
		if path == "" {
			path = strings.NewReplacer(":id", "none", "*", "none").Replace(r.Path)
		}
		for _, actor := range []string{"visitor", "admin"} {
			got := w.do(actor, r.Method, path, nil)
			check(r.Method+" "+path+" as "+actor, got)
			want := "no-store"
			if r.Name == "listKeys" { // public keys, for everybody to keep
				want = keysAge
			}
			if r.Kind != Asset && got.header.Get("Cache-Control") != want {
				t.Errorf("%s %s: Cache-Control is %q", r.Method, path, got.header.Get("Cache-Control"))
			}
			if got.header.Get("X-Request-Id") == "" {
				t.Errorf("%s %s: no request id", r.Method, path)
			}
		}
	}
	check("no such page", w.do("visitor", "GET", "/none", nil))
	check("wrong method", w.do("visitor", "DELETE", "/healthz", nil))
	w.listen()
	check("too large", w.announce("visitor", "/api/v1/sessions", 2<<20, "application/json"))
}

func TestPolicyForbidsInline(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"unsafe-inline", "'unsafe-eval'", "*", "http:"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy allows %s", word)
		}
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HAPPYCODE_PUBLIC_HOST=xfm.example.cn")
	_, err := w.app.Accounts.Create(t.Context(), "test", newCaseworker("secure"))
	must(t, err)
	got := w.do("visitor", "POST", "/api/v1/sessions", signinRequest{"secure", "correct horse"})
	if got.status != 201 {
		t.Fatalf("sign in: %d %s", got.status, got.body)
	}
	set := got.header.Get("Set-Cookie")
	for _, part := range []string{"__Host-happycode=", "path=/", "HttpOnly", "secure", "SameSite=Strict"} {
		if !strings.Contains(set, part) {
			t.Errorf("Set-Cookie %q lacks %s", set, part)
		}
	}
	if strings.Contains(strings.ToLower(set), "domain=") {
		t.Errorf("Set-Cookie %q names a domain", set)
	}
	if got.header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS over HTTPS")
	}
}

// Behind a proxy that ends TLS, its word counts; a client's own does not.
func TestForwardedProto(t *testing.T) {
	t.Parallel()
	for trusted, want := range map[string]bool{"": false, "0.0.0.0": true} {
		w := newWorld(t, "HAPPYCODE_TRUSTED_PROXIES="+trusted)
		got := w.do("visitor", "GET", "/healthz", nil, header{"X-Forwarded-Proto", "https"})
		if has := got.header.Get("Strict-Transport-Security") != ""; has != want {
			t.Errorf("trusted %q: HSTS %v", trusted, has)
		}
	}
}

func TestNoSuchRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.do("visitor", "GET", "/api/v1/nothing", nil); got.status != 404 || got.problem(t).Code != "not_found" {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := w.do("visitor", "DELETE", "/api/v1/scans", nil)
	if got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("%d Allow %q", got.status, got.header.Get("Allow"))
	}
	if got := w.do("visitor", "GET", "/API/V1/me", nil); got.status != 404 {
		t.Errorf("paths are told apart by case: %d", got.status)
	}
}

// Bodies that would be queries, and others that no client of ours sends.
func TestStrangeBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := matrix(w)
	n := 0
	for _, r := range w.app.Routes() {
		if r.Kind != API || r.Method == "GET" || r.Upload || r.NoToken || rows[r.Name].path == "" {
			continue
		}
		actor := "admin"
		if r.Scope == ScopeOwnDevice {
			actor = "caseworker"
		}
		bodies := []string{
			`{"$where":"1"}`, `{"surplus":{"$ne":null}}`, `[]`, `null`, `"x"`, `{`, `{} {}`, `{}x`, "\xff\xfe", `{"__proto__":{}}`,
		}
		if r.Request != nil {
			good, err := json.Marshal(rows[r.Name].body(w))
			must(t, err)
			if text, ok := rows[r.Name].body(w).(string); ok {
				good = []byte(text)
			}
			var fields map[string]json.RawMessage
			must(t, json.Unmarshal(good, &fields))
			for name := range fields {
				bodies = append(bodies, fmt.Sprintf(`{%q:{"$ne":null}}`, name), fmt.Sprintf(`{%q:[{"$gt":""}]}`, name))
			}
			bodies = append(bodies, strings.TrimSuffix(string(good), "}")+`,"$or":[]}`, string(good)+string(good))
			if r.Name != "withdrawNeed" { // its body may be left out
				bodies = append(bodies, "")
			}
		}
		for _, body := range bodies {
			headers := []header{{"Content-Type", "application/json"}}
			got := w.do(actor, r.Method, rows[r.Name].path, strings.NewReader(body), headers...)
			if got.status != 400 {
				t.Errorf("%s with %q: %d %s", r.Name, body, got.status, got.body)
			}
			n++
		}
		if r.Request != nil {
			if got := w.do(actor, r.Method, rows[r.Name].path, strings.NewReader(`{}`), header{"Content-Type", "text/plain"}); got.status != 415 {
				t.Errorf("%s as text: %d", r.Name, got.status)
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d bodies were tried", n)
	}
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HAPPYCODE_BODY_LIMIT=4KiB", "HAPPYCODE_UPLOAD_LIMIT=64KiB")
	w.listen()
	send := func(path string, size int, kind string) answer {
		body := `{"code":"` + strings.Repeat("1", size-11) + `"}`
		return w.do("admin", "POST", path, strings.NewReader(body), header{"Content-Type", kind})
	}
	if got := send("/api/v1/scans", 4<<10, "application/json"); got.status != 404 {
		t.Errorf("at the limit: %d %s", got.status, got.body)
	}
	got := w.announce("admin", "/api/v1/scans", 4<<10+1, "application/json")
	if got.status != 413 || got.problem(t).Code != "too_large" {
		t.Errorf("limit + 1: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/api/v1/residents/import", "/residents/import", "/divisions/import"} {
		if got := send(path, 4<<10+1, "multipart/form-data; boundary=x"); got.status == 413 {
			t.Errorf("%s: a file was held to the limit of other bodies", path)
		}
		if got := w.announce("admin", path, 64<<10+1, "multipart/form-data; boundary=x"); got.status != 413 {
			t.Errorf("%s: file limit + 1: %d", path, got.status)
		}
	}
}

// 200 MB of zeros in 200 kB are refused without being unpacked.
func TestCompressedBodyIsRefusedUnread(t *testing.T) {
	w := newWorld(t)
	var part bytes.Buffer
	z := gzip.NewWriter(&part)
	_, err := z.Write(make([]byte, 1<<20))
	must(t, err)
	must(t, z.Close())
	bomb := bytes.Repeat(part.Bytes(), 200) // one after the other, they are one file
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, encoding := range []string{"gzip", "GZIP", " gzip", "deflate", "br", "zstd", "identity, gzip"} {
		for _, path := range []string{"/api/v1/scans", "/residents/import", "/signin", "/none"} {
			got := w.do("admin", "POST", path, bytes.NewReader(bomb), header{"Content-Type", "application/json"}, header{"Content-Encoding", encoding})
			if got.status != http.StatusUnsupportedMediaType {
				t.Errorf("%s with %q: %d", path, encoding, got.status)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 100<<20 {
		t.Errorf("refusing 28 bombs took %d MB", grown>>20)
	}
}

func TestPanicIsA500WithoutDetail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.app.routes = append(w.app.routes, Route{
		Method: "GET", Path: "/api/v1/panics", Name: "panics", Kind: API, Public: true,
		Handler: func(*App, *fiber.Ctx) error { panic("secret of " + canaryName) },
	})
	w.app.build()
	got := w.do("visitor", "GET", "/api/v1/panics", nil)
	p := got.problem(t)
	if got.status != 500 || p.Code != "internal" || bytes.Contains(got.body, []byte("secret")) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if log := w.logs.String(); !strings.Contains(log, `"msg":"panic"`) || strings.Contains(log, canaryName) {
		t.Errorf("the log says: %s", log)
	}
	if got := w.do("visitor", "GET", "/healthz", nil); got.status != 200 {
		t.Errorf("after the panic: %d", got.status)
	}
}

func TestProblemSpeaksTheLanguage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for accept, want := range map[string]string{
		"": "请先登录", "zh-CN,zh;q=0.9": "请先登录", "en-GB,en;q=0.9": "Sign in first", "fr": "请先登录", "fr,en;q=0.5": "Sign in first",
	} {
		got := w.do("visitor", "GET", "/api/v1/me", nil, header{"Accept-Language", accept})
		p := got.problem(t)
		if p.Title != want || p.Status != 401 || p.Type != "urn:happycode:problem:signed_out" || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %+v as %s", accept, p, got.header.Get("Content-Type"))
		}
	}
	if got := w.do("resident", "PUT", "/api/v1/me/lang", langRequest{"en"}); got.status != 200 {
		t.Fatalf("set the language: %d %s", got.status, got.body)
	}
	got := w.do("resident", "GET", "/api/v1/residents/"+w.other.ID, nil, header{"Accept-Language", "zh"})
	if p := got.problem(t); p.Title != "Not found" {
		t.Errorf("the session's language counts more than the browser's: %+v", p)
	}
	got = w.do("caseworker", "POST", "/api/v1/residents", residentRequest{Name: "甲", IDNumber: "1", Division: village}, header{"Accept-Language", "en"})
	if p := got.problem(t); p.Code != "bad_field" || len(p.Fields) != 1 || p.Fields[0].Field != "id_number" {
		t.Errorf("a bad field: %+v", p)
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := w.do("visitor", "GET", path, nil); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	w.promised("meal")
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.person.CardNo})
	text := string(w.do("visitor", "GET", "/metrics", nil).body)
	for _, line := range []string{
		`happycode_scans_total{outcome="ok"} 1`, `happycode_scan_allocations_total 1`, `happycode_matcher_ready 1`, `happycode_record_up 1`,
		`happycode_requests_total{method="POST",route="/api/v1/scans",status="200"} 1`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in /metrics", line)
		}
	}
	if strings.Contains(text, w.person.ID) {
		t.Error("/metrics names somebody")
	}
	must(t, w.app.Record.Close())
	if got := w.do("visitor", "GET", "/readyz", nil); got.status != 503 || got.problem(t).Code != "not_ready" {
		t.Errorf("/readyz without the record: %d %s", got.status, got.body)
	}
	if got := w.do("visitor", "GET", "/healthz", nil); got.status != 200 {
		t.Errorf("/healthz without the record: %d", got.status)
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	entered, leave := make(chan bool), make(chan bool)
	w.app.routes = append(w.app.routes, Route{
		Method: "GET", Path: "/slow", Name: "slow", Kind: API, Public: true,
		Handler: func(_ *App, c *fiber.Ctx) error {
			close(entered)
			<-leave
			return c.SendString("done")
		},
	})
	w.app.build()
	listener := listenLocal(t)
	served := make(chan error, 1)
	go func() { served <- w.app.Listen(listener) }()
	answered := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + listener.Addr().String() + "/slow")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answered <- string(text)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- w.app.Shutdown(t.Context()) }()
	close(leave)
	if got := <-answered; got != "done" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// The figures are for those who watch, not for whoever comes by a proxy on the
// same machine. The test connection comes from 0.0.0.0.
func TestMetricsAreForThoseWhoWatch(t *testing.T) {
	t.Parallel()
	const here = "HAPPYCODE_METRICS_FROM=0.0.0.0"
	for _, x := range []struct {
		name    string
		set     []string
		headers []header
		want    int
	}{
		{"from here", []string{here}, nil, 200},
		{"from elsewhere", []string{"HAPPYCODE_METRICS_FROM=127.0.0.0/8,::1"}, nil, 404},
		{"from elsewhere, said to be here", []string{"HAPPYCODE_METRICS_FROM=127.0.0.1"}, []header{{"X-Forwarded-For", "127.0.0.1"}}, 404},
		{"passed on by a proxy nobody trusts", []string{here}, []header{{"X-Forwarded-For", "0.0.0.0"}}, 404},
		{"passed on, in another header", []string{here}, []header{{"X-Real-Ip", "203.0.113.9"}}, 404},
		{"passed on by a trusted proxy", []string{here, "HAPPYCODE_TRUSTED_PROXIES=0.0.0.0"}, []header{{"X-Forwarded-For", "203.0.113.9"}}, 404},
		{"passed on by a trusted proxy that does not say for whom", []string{here, "HAPPYCODE_TRUSTED_PROXIES=0.0.0.0"}, []header{{"Via", "1.1 proxy"}}, 404},
		{"a watcher behind a trusted proxy", []string{"HAPPYCODE_METRICS_FROM=203.0.113.9", "HAPPYCODE_TRUSTED_PROXIES=0.0.0.0"}, []header{{"X-Forwarded-For", "203.0.113.9"}}, 200},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, x.set...)
			got := w.do("visitor", "GET", "/metrics", nil, x.headers...)
			if got.status != x.want || bytes.Contains(got.body, []byte("go_goroutines")) != (x.want == 200) {
				t.Errorf("%d, want %d: %.100s", got.status, x.want, got.body)
			}
		})
	}
}
