//go:build integration

package main

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/care"
)

// A newcomer runs the program on an empty folder with the demo city, looks
// around, stops it, starts it again, and finds everything as it was.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	server := start(t, s, "--demo")
	secrets := demoSignIns(t, server, s)
	first := server.out.String()
	for _, want := range []string{server.base, "admin", "caseworker", "charity", "enterprise", secrets.PIN, "demo-card.png"} {
		if !strings.Contains(first, want) {
			t.Errorf("the start does not print %q:\n%s", want, first)
		}
	}
	for user, password := range secrets.Passwords {
		if status := signIn(t, server.base, user, password); status >= 300 {
			t.Errorf("sign in as %s: status %d", user, status)
		}
		if status := signIn(t, server.base, user, password+"x"); status < 400 {
			t.Errorf("sign in as %s with a wrong password: status %d", user, status)
		}
	}
	for _, path := range []string{"/healthz", "/metrics", "/signin", "/c"} {
		resp, err := http.Get(server.base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
	before := census(t, s, server)
	if before.residents < 30 || before.offers < 20 || before.received == 0 || before.promised == 0 {
		t.Errorf("the demo city is too empty: %+v", before)
	}
	commandOK(t, s, "verify")
	server.stop(t)
	if _, err := os.Stat(filepath.Join(s["DATA"], serverName)); !os.IsNotExist(err) {
		t.Errorf("the server left %s behind: %v", serverName, err)
	}
	commandOK(t, s, "verify") // with a matcher of its own

	server = start(t, s, "--demo")
	again := demoSignIns(t, server, s)
	if again.PIN != secrets.PIN || again.Passwords["admin"] != secrets.Passwords["admin"] {
		t.Error("the second start made other secrets")
	}
	// Who waits may be served meanwhile; nothing else changes.
	after := census(t, s, server)
	if served := after.promised - before.promised; served < 0 {
		t.Errorf("after a restart %d promises are left of %d", after.promised, before.promised)
	}
	after.promised = before.promised
	if after != before {
		t.Errorf("after a restart: got %+v, want %+v", after, before)
	}
	server.stop(t)
}

// demoSignIns waits for the demo city and reads its secrets.
func demoSignIns(t *testing.T, server *process, s settingsOf) demoSecrets {
	t.Helper()
	eventually(t, startTime, "the demo city is printed", func() error {
		select {
		case <-server.done:
			t.Fatalf("the server ended: %v\n%s", server.err, server.out)
		default:
		}
		if !strings.Contains(server.out.String(), "PIN") {
			return os.ErrNotExist
		}
		return nil
	})
	path := filepath.Join(s["DATA"], "demo.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("demo.json: mode %v, %v; want 0600", info.Mode(), err)
	}
	var d demoSecrets
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func signIn(t *testing.T, base, user, password string) int {
	t.Helper()
	body, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Jar: jar}
	resp, err := client.Post(base+"/api/v1/sessions", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 300 {
		me, err := client.Get(base + "/api/v1/me")
		if err != nil {
			t.Fatal(err)
		}
		me.Body.Close()
		if me.StatusCode != http.StatusOK {
			t.Errorf("me as %s: %s", user, me.Status)
		}
	}
	return resp.StatusCode
}

// counted is what the API shows of a city.
type counted struct{ residents, offers, received, promised, needs int }

func census(t *testing.T, s settingsOf, server *process) counted {
	t.Helper()
	admin := newCaller(server.base, token(t, s, "--role", "admin"))
	var n counted
	var people []townResident
	pages(t, admin, "residents", &people)
	n.residents = len(people)
	var offers []struct{ ID string }
	pages(t, admin, "offers", &offers)
	n.offers = len(offers)
	w := &town{worker: admin}
	for _, p := range people {
		for _, a := range w.list(t, p.ID) {
			switch a.State {
			case care.HandedOver:
				n.received++
			case care.Promised:
				n.promised++
			}
		}
		n.needs += len(w.needs(t, p.ID))
	}
	return n
}

// pages reads a whole list.
func pages[T any](t *testing.T, c *caller, path string, all *[]T) {
	t.Helper()
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	for after := ""; ; {
		var page struct {
			Items []T
			Next  string
		}
		c.must(t, http.MethodGet, path+mark+"limit=100&after="+url.QueryEscape(after), nil, &page)
		*all = append(*all, page.Items...)
		if after = page.Next; after == "" {
			return
		}
	}
}

// An office begins without the demo city.
func TestFirstDay(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	server := start(t, s)
	eventually(t, startTime, "the way in is told", func() error {
		if !strings.Contains(server.out.String(), "happycode account --username admin") {
			return os.ErrNotExist
		}
		return nil
	})
	out := commandOK(t, s, "account", "--username", "first")
	_, password, _ := strings.Cut(strings.TrimSpace(out[strings.LastIndex(strings.TrimSpace(out), "\n"):]), ": ")
	if status := signIn(t, server.base, "first", password); status >= 300 {
		t.Errorf("sign in with the password that was printed: status %d\n%s", status, out)
	}
	if _, errOut, status := command(t, s, "account", "--username", "first"); status != 1 || !strings.Contains(errOut, "已存在") {
		t.Errorf("the same user name again: status %d, %s", status, errOut)
	}
	if out := commandOK(t, s, "doctor"); strings.Contains(out, "✗") {
		t.Errorf("doctor:\n%s", out)
	}
	if _, errOut, status := command(t, s.with("LISTEN", freeAddress(t)), "serve"); status != 1 || !strings.Contains(errOut, "HAPPYCODE_DATA") {
		t.Errorf("a second server on the folder: status %d, %s", status, errOut)
	}
	if _, errOut, status := command(t, embedded(t).with("LISTEN", s["LISTEN"]), "serve"); status != 1 || !strings.Contains(errOut, "HAPPYCODE_LISTEN") {
		t.Errorf("a second server on the port: status %d, %s", status, errOut)
	}
	server.stop(t)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	out := commandOK(t, s.with("MONGO_URI", "mongodb://office:very-secret@db.example:27017/happycode"), "config")
	for _, want := range []string{"HAPPYCODE_LISTEN = " + s["LISTEN"], "HAPPYCODE_DATA", "HAPPYCODE_MONGO_URI", "HAPPYCODE_REDIS_URL"} {
		if !strings.Contains(out, want) {
			t.Errorf("config does not print %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "very-secret") {
		t.Errorf("config prints a password:\n%s", out)
	}
	for name, value := range map[string]string{"LISTNE": "127.0.0.1:1", "HOLD": "soon", "LISTEN": "here", "REDIS_URL": "http://x"} {
		_, errOut, status := command(t, s.with(name, value), "serve")
		if status != 1 || !strings.Contains(errOut, "HAPPYCODE_"+name) {
			t.Errorf("%s=%s: status %d, want 1 and a sentence that names it: %s", name, value, status, errOut)
		}
	}
	for _, args := range [][]string{{"frobnicate"}, {"verify", "--fast"}, {"token"}, {"import", "residents"}} {
		if _, errOut, status := command(t, s, args...); status == 0 || errOut == "" {
			t.Errorf("happycode %v: status %d, %q", args, status, errOut)
		}
	}
}

// Commands work beside a running server and without one.
func TestCommands(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	csv := filepath.Join(t.TempDir(), "residents.csv")
	rows := []string{"姓名,身份证号,区划代码"}
	for n := range 20 {
		rows = append(rows, "居民,"+idNumber(n)+","+village)
	}
	rows = append(rows, "居民,330502194001011234,"+village) // a wrong check digit
	if err := os.WriteFile(csv, []byte(strings.Join(rows, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	imports := func(taken, known string) {
		t.Helper()
		out, errOut, status := command(t, s, "import", "residents", csv)
		if status != 1 || !strings.Contains(out, "taken "+taken) || !strings.Contains(out, "known "+known) || !strings.Contains(out, "row 22") {
			t.Errorf("import: status %d, %s %s; want taken %s, known %s and row 22 named", status, out, errOut, taken, known)
		}
		if strings.Contains(out+errOut, "330502194001011234") {
			t.Errorf("import repeats an ID number:\n%s", out)
		}
	}
	imports("20", "0")
	server := start(t, s)
	imports("0", "20")
	worker := newCaller(server.base, token(t, s, "--role", "caseworker", "--division", county))
	var people []townResident
	pages(t, worker, "residents", &people)
	if len(people) != 20 {
		t.Errorf("residents over the API: got %d, want 20", len(people))
	}
	commandOK(t, s, "rebuild")
	commandOK(t, s, "rebuild", "--county", county)
	commandOK(t, s, "verify", "--repair")

	divisions := filepath.Join(t.TempDir(), "divisions.csv")
	if err := os.WriteFile(divisions, []byte("code,name,level,parent\n330502001999,新建社区,village,330502001000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commandOK(t, s, "import", "divisions", divisions)
	eventually(t, startTime, "the running server knows the imported division", func() error {
		return worker.call(t.Context(), http.MethodPost, "residents", map[string]any{
			"name": "新居民", "id_number": idNumber(900), "division": "330502001999", "consent": []string{"matching"},
		}, nil)
	})

	list := commandOK(t, s, "token", "list")
	id := strings.Fields(list)[0]
	commandOK(t, s, "token", "revoke", id)
	if err := worker.call(t.Context(), http.MethodGet, "me", nil, nil); err == nil {
		t.Error("a revoked token still works")
	}
	server.stop(t)
}
