package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/documents"
	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/settings"
	"github.com/xingfuma/happycode/app/sms"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/app/webhooks"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/funds"
)

const (
	city      = "330500000000"
	county    = "330502000000"
	village   = "330502001001"
	elsewhere = "330503000000"
	faraway   = "330503001001"
)

const divisionsCSV = `code,name,level,parent
330000000000,浙江省,province,
330500000000,湖州市,city,330000000000
330502000000,吴兴区,county,330500000000
330502001000,月河街道,town,330502000000
330502001001,红丰社区,village,330502001000
330502001002,马军巷社区,village,330502001000
330503000000,南浔区,county,330500000000
330503001000,南浔镇,town,330503000000
330503001001,东大街社区,village,330503001000
`

// Canaries: what must never reach a provider, a stranger or a log.
const (
	canaryName  = "金丝雀甲"
	canaryPhone = "13900001111"
	canaryNote  = "金丝雀便条"

	canaryCarer      = "金丝雀乙"
	canaryCarerPhone = "13900002222"
)

// canaryID is a made-up ID number with the right check character.
var canaryID = idNumber("33050219500101", 1)

func idNumber(head string, n int) string {
	body := fmt.Sprintf("%s%03d", head, n)
	sum := 0
	for i, w := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(body[i]-'0') * w
	}
	return body + string("10X98765432"[sum%11])
}

// creditCode is a made-up unified social credit code that passes GB 32100.
func creditCode(n int) string {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
	body := fmt.Sprintf("91330502%09d", n)
	sum, w := 0, 1
	for i := range 17 {
		sum += strings.IndexByte(alphabet, body[i]) * w
		w = w * 3 % 31
	}
	return body + string(alphabet[(31-sum%31)%31])
}

// logs collects what the program writes.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// world is a whole application on embedded stores, with somebody in every
// role.
type world struct {
	t       *testing.T
	app     *App
	ring    *keyring.Ring
	keeper  *funds.Keeper
	logs    *logs
	address string       // "" until it listens
	shift   atomic.Int64 // how far the clock is ahead, ns
	stopped atomic.Int64 // where it stands, Unix ns; 0: it runs
	serial  atomic.Int64
	actors  map[string]*actorHeaders
	orgID   string // of providerOwn
	orgRest string // of providerOther
	person  *residents.Resident
	other   *residents.Resident
	carer   *residents.Carer // of person
}

// actorHeaders is how somebody asks.
type actorHeaders struct {
	name, bearer, cookie, csrf string
}

func (w *world) now() time.Time {
	now := time.Now()
	if at := w.stopped.Load(); at != 0 {
		now = time.Unix(0, at)
	}
	return now.Add(time.Duration(w.shift.Load()))
}

// stopClock lets no time pass but by shift: what counts within a minute counts
// so on a slow machine too.
func (w *world) stopClock() { w.stopped.Store(time.Now().UnixNano()) }

func (w *world) next() int { return int(w.serial.Add(1)) }

// quick and isQuick stand in for Argon2id, which is slow on purpose.
func quick(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func isQuick(hash, secret string) bool { return hash == quick(secret) }

func newWorld(t *testing.T, environ ...string) *world {
	t.Helper()
	w := &world{t: t, logs: &logs{}, actors: map[string]*actorHeaders{}}
	dir := t.TempDir()
	set, err := settings.Load(append([]string{"HAPPYCODE_DATA=" + dir, "HAPPYCODE_METRICS_FROM=0.0.0.0"}, environ...))
	must(t, err)
	log := slog.New(slog.NewJSONHandler(w.logs, nil))
	record, err := sqlite.Open(filepath.Join(dir, "record.sqlite"))
	must(t, err)
	t.Cleanup(func() { record.Close() })
	ctx := t.Context()
	must(t, record.Ensure(ctx, slices.Concat(regions.Schemas(), accounts.Schemas(), audit.Schemas(), residents.Schemas(), reports.Schemas(),
		providers.Schemas(), funds.Schemas(), care.Schemas(), keyring.Schemas(), webhooks.Schemas(), documents.Schemas(), sms.Schemas(), Schemas())...))
	engine, err := matching.New(matching.Config{Redis: redistest.Connect(t, redistest.Embedded(t)), Now: w.now, Logger: log})
	must(t, err)
	keys, err := vault.Open(set.KeyFile)
	must(t, err)
	ring, err := keyring.Open(ctx, keyring.Config{Record: record, Vault: keys, Now: w.now, Logger: log})
	must(t, err)
	w.ring = ring
	places := regions.New(record)
	_, err = places.Import(ctx, strings.NewReader(divisionsCSV), func(int, int) {})
	must(t, err)
	tree, err := places.Load(ctx)
	must(t, err)
	var current atomic.Pointer[regions.Tree]
	current.Store(tree)
	known := func(code string) bool { _, ok := current.Load().Get(code); return ok }
	who := accounts.New(accounts.Config{
		Record: record, Now: w.now, SessionTTL: set.SessionTTL, Hash: quick, Check: isQuick,
	})
	chain := audit.New(audit.Config{Record: record, Now: w.now, Logger: log})
	t.Cleanup(chain.Close)
	people := residents.New(residents.Config{
		Record: record, Vault: keys, Keys: ring, Now: w.now, DivisionExists: known, Hash: quick, Check: isQuick,
	})
	told := reports.New(reports.Config{Record: record, Vault: keys, Now: w.now, DivisionExists: known})
	books := funds.New(funds.Config{Record: record, Vault: keys, Now: w.now, Known: known, Logger: log})
	givers := providers.New(providers.Config{Record: record, Now: w.now, Known: known, Funds: books})
	life, err := care.New(care.Config{
		Record: record, Engine: engine, Catalogue: matching.NewCatalogue(), Residents: people, Providers: givers,
		Audit: chain, Tree: current.Load, Vault: keys, Keys: ring, Now: w.now, Logger: log,
		Tick: 20 * time.Millisecond, PINAboveFen: set.PINAboveFen,
	})
	must(t, err)
	w.keeper = funds.NewKeeper(funds.KeeperConfig{Record: record, Books: books, Ledger: life, Offers: givers, Now: w.now, Logger: log})
	must(t, life.Start(ctx))
	t.Cleanup(life.Stop)
	w.app, err = New(Config{
		Settings: set, Record: record, Accounts: who, Audit: chain, Residents: people, Reports: told, Providers: givers, Funds: books,
		Regions: places, Care: life, Webhooks: webhooks.New(webhooks.Config{
			Record: record, Vault: keys, Ledger: life, Now: w.now, Logger: log, Networks: set.WebhookNetworks,
		}), Documents: documents.New(documents.Config{Record: record, Vault: keys, Now: w.now}), Vault: keys, Keys: ring, Tree: current.Load, TreeChanged: current.Store,
		PingRedis: engine.Ping, Now: w.now, Logger: log,
	})
	must(t, err)
	deadline := time.Now().Add(5 * time.Minute)
	for life.Ready(ctx) != nil {
		if time.Now().After(deadline) {
			t.Fatalf("the matcher is not ready: %v", life.Ready(ctx))
		}
		<-time.After(5 * time.Millisecond)
	}
	w.people()
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// people puts somebody into every role.
func (w *world) people() {
	ctx := w.t.Context()
	w.orgID = w.organisation(county)
	w.orgRest = w.organisation(elsewhere)
	token := func(name string, role accounts.Role, division, organisation string) {
		t, _, err := w.app.Accounts.MintToken(ctx, "test", accounts.NewToken{Label: name, Role: role, Division: division, Organisation: organisation})
		must(w.t, err)
		w.actors[name] = &actorHeaders{name: name, bearer: t}
	}
	w.actors["visitor"] = &actorHeaders{name: "visitor"}
	token("admin", accounts.Admin, city, "")
	token("admin elsewhere", accounts.Admin, elsewhere, "")
	token("caseworker", accounts.Caseworker, county, "")
	token("caseworker elsewhere", accounts.Caseworker, elsewhere, "")
	token("village admin", accounts.Admin, village, "")
	token("village caseworker", accounts.Caseworker, village, "")
	token("provider", accounts.Provider, "", w.orgID)
	token("other provider", accounts.Provider, "", w.orgRest)
	var err error
	w.person, err = w.app.Residents.Register(ctx, "test", residents.Registration{
		Name: canaryName, IDNumber: canaryID, Phone: canaryPhone, Division: village, Groups: []string{"elderly"},
		ScoreMilli: 700, PIN: "246813", Consent: []string{residents.ConsentMatching},
	})
	must(w.t, err)
	w.other, err = w.app.Residents.Register(ctx, "test", residents.Registration{
		Name: "旁人", IDNumber: idNumber("33050319600101", 2), Division: faraway, PIN: "135792", Consent: []string{residents.ConsentMatching},
	})
	must(w.t, err)
	w.carer, err = w.app.Residents.AddCarer(ctx, "test", residents.NewCarer{
		Resident: w.person.ID, Name: canaryCarer, Relation: "child", Phone: canaryCarerPhone, PIN: "975318",
		UntilMs: w.now().Add(30 * 24 * time.Hour).UnixMilli(),
	})
	must(w.t, err)
	w.residentsSignIn()
}

// residentsSignIn begins new sessions for the residents and the carer.
func (w *world) residentsSignIn() {
	for name, r := range map[string]*residents.Resident{"resident": w.person, "other resident": w.other} {
		cookie, p, err := w.app.Accounts.ResidentSession(w.t.Context(), r.ID, "zh")
		must(w.t, err)
		w.actors[name] = &actorHeaders{name: name, cookie: cookie, csrf: p.CSRF}
	}
	cookie, p, err := w.app.Accounts.CarerSession(w.t.Context(), w.person.ID, w.carer.ID, "zh")
	must(w.t, err)
	w.actors["carer"] = &actorHeaders{name: "carer", cookie: cookie, csrf: p.CSRF}
}

func (w *world) organisation(seat string) string {
	n := w.next()
	org, err := w.app.Providers.Join(w.t.Context(), "test", providers.NewOrganisation{
		Name: fmt.Sprintf("慈善会%d", n), Kind: providers.Charity, CreditCode: creditCode(n), Division: seat,
	})
	must(w.t, err)
	_, err = w.app.Providers.Decide(w.t.Context(), "test", org.ID, providers.Approved, "")
	must(w.t, err)
	return org.ID
}

// offer posts an offer of the own organisation, for the county or the city,
// that is given to whoever comes: a need line drawn meanwhile would decide
// otherwise.
func (w *world) offer(category string, qty int64, divisions ...string) *providers.Offer {
	w.t.Helper()
	now := w.now()
	o, err := w.app.Care.PostOffer(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.orgID, providers.NewOffer{
		TitleZH: "爱心餐", TitleEN: "Meals", Category: category, Divisions: divisions, Pace: matching.PaceNow,
		Handover: providers.Handover{How: providers.Pickup, Place: "社区食堂"},
		Lots:     []providers.NewLot{{QtyUnits: qty, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(24 * time.Hour).UnixMilli()}},
	})
	must(w.t, err)
	return o
}

func (w *world) need(r *residents.Resident, category string) *residents.Need {
	w.t.Helper()
	n, err := w.app.Care.AddNeed(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, residents.NewNeed{
		Resident: r.ID, Category: category, QtyUnits: 1, Urgency: 3, Source: "scan", Note: canaryNote,
	})
	must(w.t, err)
	return n
}

// promised makes an offer, a need and a scan, and returns the allocation.
func (w *world) promised(category string) string {
	w.t.Helper()
	w.offer(category, 10, county)
	n := w.need(w.person, category)
	result, err := w.app.Care.Scan(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.person.CardNo)
	must(w.t, err)
	for _, a := range result.Offered {
		if a.Need == n.ID {
			return a.ID
		}
	}
	w.t.Fatalf("the scan promised nothing for %s: %+v", category, result.Needs)
	return ""
}

// answer is what came back, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(t *testing.T) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("status %d, not a problem: %s", a.status, a.body)
	}
	return p
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if a.status >= 300 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	must(t, json.Unmarshal(a.body, v))
}

type header struct{ name, value string }

// do asks as somebody. body is nil, an io.Reader, or what is sent as JSON.
func (w *world) do(actor, method, path string, body any, headers ...header) answer {
	w.t.Helper()
	var r io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case io.Reader:
		r = b
	case string:
		r, kind = strings.NewReader(b), "application/json"
	default:
		text, err := json.Marshal(b)
		must(w.t, err)
		r, kind = bytes.NewReader(text), "application/json"
	}
	req := httptest.NewRequest(method, path, r)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	who := w.actors[actor]
	if who == nil {
		w.t.Fatalf("nobody is called %q", actor)
	}
	if who.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+who.bearer)
	}
	if who.cookie != "" {
		req.AddCookie(&http.Cookie{Name: cookiePlain, Value: who.cookie})
		if method != http.MethodGet {
			req.Header.Set("X-CSRF-Token", who.csrf)
		}
	}
	for _, h := range headers {
		if h.value == "" {
			req.Header.Del(h.name)
		} else {
			req.Header.Set(h.name, h.value)
		}
	}
	resp, err := w.send(req)
	must(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return answer{resp.StatusCode, resp.Header, text}
}

// send asks in memory, or over the network where the world listens: what
// breaks off while it is read never reaches Fiber's in-memory test.
func (w *world) send(req *http.Request) (*http.Response, error) {
	if w.address == "" {
		return w.app.Fiber().Test(req, -1)
	}
	out := req.Clone(req.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", w.address
	return (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(out)
}

// announce sends the header of a request with a body of so many bytes, and
// reads the answer without sending the body: a server that refuses the length
// closes the connection, and who still writes then may lose the answer.
func (w *world) announce(actor, path string, size int, kind string) answer {
	w.t.Helper()
	who := w.actors[actor]
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n", path, w.address, kind, size)
	if who.bearer != "" {
		head += "Authorization: Bearer " + who.bearer + "\r\n"
	}
	if who.cookie != "" {
		head += "Cookie: " + cookiePlain + "=" + who.cookie + "\r\nX-CSRF-Token: " + who.csrf + "\r\n"
	}
	conn, err := (&net.Dialer{}).DialContext(w.t.Context(), "tcp", w.address)
	must(w.t, err)
	defer conn.Close()
	must(w.t, conn.SetDeadline(time.Now().Add(5*time.Minute)))
	_, err = io.WriteString(conn, head+"\r\n")
	must(w.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return answer{resp.StatusCode, resp.Header, text}
}

// listen makes the world answer over the network.
func (w *world) listen() {
	l := listenLocal(w.t)
	w.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.app.Listen(l) }()
	w.t.Cleanup(func() {
		if err := errors.Join(w.app.Shutdown(context.Background()), <-served); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) digits(r *residents.Resident) string {
	w.t.Helper()
	code, err := w.app.Residents.CodeByID(w.t.Context(), r.Code)
	must(w.t, err)
	token, err := w.app.Residents.Token(w.t.Context(), code)
	must(w.t, err)
	return token.Digits()
}

// lastAudit is the latest entry of the audit log.
func (w *world) lastAudit() audit.Entry {
	w.t.Helper()
	page, _, err := w.app.Audit.Recent(context.Background(), "", 1)
	must(w.t, err)
	if len(page) == 0 {
		return audit.Entry{}
	}
	return page[0]
}

func sessionCookie(t *testing.T, a answer) string {
	t.Helper()
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == cookiePlain || c.Name == cookieSecure {
			return c.Value
		}
	}
	t.Fatalf("no session cookie in %v", a.header)
	return ""
}

func pickup() providers.Handover {
	return providers.Handover{How: providers.Pickup, Place: "社区食堂"}
}

func lotsFor(w *world, qty int64) []providers.NewLot {
	now := w.now()
	return []providers.NewLot{{QtyUnits: qty, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(24 * time.Hour).UnixMilli()}}
}
