package care

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
	"github.com/xingfuma/happycode/providers"
)

const (
	village = "330502001001" // a village of Wuxing
	empty   = "330502001099" // a village of Wuxing where nobody lives
	county  = "330502000000"
	other   = "330523206204" // a village of Anji
)

// clock is a settable time.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// city is a running system on a SQLite record and an embedded Redis.
type city struct {
	t         *testing.T
	clock     *clock
	record    store.Record
	redis     redis.UniversalClient
	vault     *vault.Vault
	keys      *keyring.Ring
	tree      *regions.Tree
	residents *residents.Service
	providers *providers.Service
	audit     *audit.Log
	care      *Service
	worker    accounts.Principal
	judge     accounts.Principal // of conflicts: not who reported the handover
	level     slog.Level
}

// newCity starts on the given record and Redis; nil for fresh ones.
func newCity(t *testing.T, record store.Record, client redis.UniversalClient) *city {
	t.Helper()
	ctx := context.Background()
	c := &city{t: t, clock: &clock{}, level: slog.LevelWarn}
	if _, dies := record.(*mortal); dies {
		c.level = slog.LevelError + 1 // its errors are the test's own
	}
	c.clock.ms.Store(time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC).UnixMilli())
	if record == nil {
		r, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		record = r
	}
	if client == nil {
		client = redistest.Connect(t, redistest.Embedded(t))
	}
	c.record, c.redis = record, client
	for _, schemas := range [][]store.Schema{
		Schemas(), residents.Schemas(), providers.Schemas(), audit.Schemas(), regions.Schemas(), keyring.Schemas(),
	} {
		if err := record.Ensure(ctx, schemas...); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if c.vault, err = vault.Open(filepath.Join(t.TempDir(), "keys.json")); err != nil {
		t.Fatal(err)
	}
	if c.keys, err = keyring.Open(ctx, keyring.Config{Record: record, Vault: c.vault, Now: c.clock.now}); err != nil {
		t.Fatal(err)
	}
	c.tree = smallTree(t)
	c.worker = accounts.Principal{Account: "caseworker", Role: accounts.Caseworker, Division: county}
	c.judge = accounts.Principal{Account: "judge", Role: accounts.Caseworker, Division: county}
	c.start()
	return c
}

func smallTree(t *testing.T) *regions.Tree {
	t.Helper()
	tree, err := regions.NewTree([]regions.Division{
		division("330000000000", "浙江省", regions.Province, ""),
		division("330500000000", "湖州市", regions.City, "330000000000"),
		division(county, "吴兴区", regions.CountyLevel, "330500000000"),
		division("330502001000", "月河街道", regions.Town, county),
		division(village, "一村", regions.Village, "330502001000"),
		division(empty, "二村", regions.Village, "330502001000"),
		division("330523000000", "安吉县", regions.CountyLevel, "330500000000"),
		division("330523206000", "山川乡", regions.Town, "330523000000"),
		division(other, "九亩村", regions.Village, "330523206000"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func division(code, name string, level regions.Level, parent string) regions.Division {
	return regions.Division{Meta: store.Meta{ID: code}, Name: name, Level: level, Parent: parent}
}

// quick stands in for Argon2id, which is slow on purpose.
func quick(pin string) string {
	sum := sha256.Sum256([]byte(pin))
	return hex.EncodeToString(sum[:])
}

// start makes and starts the services over the record; again after stop, it
// is a new process.
func (c *city) start() {
	c.t.Helper()
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(c.t.Output(), &slog.HandlerOptions{Level: c.level}))
	engine, err := matching.New(matching.Config{Redis: c.redis, Now: c.clock.now, Logger: logger})
	if err != nil {
		c.t.Fatal(err)
	}
	c.residents = residents.New(residents.Config{
		Record: c.record, Vault: c.vault, Keys: c.keys, Now: c.clock.now,
		Hash: quick, Check: func(hash, pin string) bool { return hash == quick(pin) },
	})
	c.providers = providers.New(providers.Config{Record: c.record, Now: c.clock.now, Counties: c.tree.Counties})
	c.audit = audit.New(audit.Config{Record: c.record, Now: c.clock.now})
	c.care, err = New(Config{
		Record: c.record, Engine: engine, Catalogue: matching.NewCatalogue(), Residents: c.residents,
		Providers: c.providers, Audit: c.audit, Tree: func() *regions.Tree { return c.tree },
		Vault: c.vault, Keys: c.keys, Now: c.clock.now, Logger: logger, Tick: 20 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.care.Start(ctx); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.stop)
	c.until("the matcher is ready", func() bool { return c.care.Ready(ctx) == nil })
}

func (c *city) stop() {
	c.care.Stop()
	c.audit.Close()
}

// until waits for a condition that background work brings about.
func (c *city) until(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(5 * time.Minute) // hopeless
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			c.t.Fatalf("waited too long until %s", what)
		}
	}
}

var idNumbers atomic.Int64

// resident registers a person at a village with one need of the category.
func (c *city) resident(at, category string, qty int64, urgency int) (*residents.Resident, *residents.Need) {
	c.t.Helper()
	r := c.person(at, "")
	n := c.need(r, category, qty, urgency)
	return r, n
}

func (c *city) person(at, household string) *residents.Resident {
	c.t.Helper()
	n := idNumbers.Add(1)
	r, err := c.residents.Register(context.Background(), "test", residents.Registration{
		Name: fmt.Sprintf("测试%d", n), IDNumber: validID(n), Division: at, Household: household, ScoreMilli: 500,
		Groups: []string{"elderly"}, Consent: []string{residents.ConsentMatching, residents.ConsentHandover},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *city) need(r *residents.Resident, category string, qty int64, urgency int) *residents.Need {
	c.t.Helper()
	n, err := c.residents.AddNeed(context.Background(), "test", residents.NewNeed{
		Resident: r.ID, Category: category, QtyUnits: qty, Urgency: urgency, Source: "scan",
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.care.emit(context.Background(), openedEvent(n))
	return n
}

// validID is the n-th invented ID number with a right check digit.
func validID(n int64) string {
	s := fmt.Sprintf("3305021950%02d%02d%03d", n/28/1000%12+1, n/1000%28+1, n%1000)
	weights := []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		sum += w * int(s[i]-'0')
	}
	return s + string("10X98765432"[sum%11])
}

// offer posts an offer with one lot over the divisions, usable for a day and
// given to whoever comes.
func (c *city) offer(category string, qty, capUnits int64, divisions ...string) *providers.Offer {
	c.t.Helper()
	ctx := context.Background()
	org := c.organisation()
	now := c.clock.now()
	o, err := c.care.PostOffer(ctx, accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: org.ID}, org.ID,
		providers.NewOffer{
			TitleZH: "测试资源", TitleEN: "Test offer", Category: category, Divisions: divisions, CapUnits: capUnits,
			CapPeriod: matching.Day, Pace: matching.PaceNow, Handover: providers.Handover{How: providers.Pickup, Place: "社区食堂"},
			Lots: []providers.NewLot{{QtyUnits: qty, FromMs: now.UnixMilli(), UntilMs: now.Add(12 * time.Hour).UnixMilli()}},
		})
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

var creditCodes atomic.Int64

func (c *city) organisation() *providers.Organisation {
	c.t.Helper()
	ctx := context.Background()
	org, err := c.providers.Join(ctx, "test", providers.NewOrganisation{
		Name: "测试机构", Kind: providers.Charity, CreditCode: creditCode(creditCodes.Add(1)), Division: county,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if org, err = c.providers.Decide(ctx, "test", org.ID, providers.Approved, ""); err != nil {
		c.t.Fatal(err)
	}
	return org
}

// creditCode is the n-th invented unified social credit code.
func creditCode(n int64) string {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
	s := fmt.Sprintf("52330500%09d", n)
	weights := []int{1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28}
	sum := 0
	for i, w := range weights {
		sum += w * int(s[i]-'0')
	}
	return s + string(alphabet[(31-sum%31)%31])
}

// code is what the resident's card holds.
func (c *city) code(r *residents.Resident) string {
	c.t.Helper()
	_, code, err := c.residents.ByCardNumber(context.Background(), r.CardNo)
	if err != nil {
		c.t.Fatal(err)
	}
	token, err := c.residents.Token(context.Background(), code)
	if err != nil {
		c.t.Fatal(err)
	}
	return token.Digits()
}

func (c *city) scan(r *residents.Resident) *ScanResult {
	c.t.Helper()
	result, err := c.care.Scan(context.Background(), c.worker, c.code(r))
	if err != nil {
		c.t.Fatal(err)
	}
	return result
}

// clean fails unless verify finds no broken promise.
func (c *city) clean(repair bool) *Report {
	c.t.Helper()
	report, err := c.care.Verify(context.Background(), repair, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range report.Faults {
		c.t.Errorf("promise %d: %s", f.Promise, f.What)
	}
	return report
}

// errKilled is what a mortal record answers once it is dead.
var errKilled = errors.New("killed by the test")

// mortal is a record that dies at a chosen write, before or after carrying it
// out, and stays dead: what a kill -9 leaves behind, without the process.
type mortal struct {
	store.Record
	mu     sync.Mutex
	writes int // until death; negative: immortal
	after  bool
	dead   bool
}

func (m *mortal) die(writes int, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes, m.after, m.dead = writes, after, false
}

// fate says whether to carry a write out and whether to answer it.
func (m *mortal) fate() (do, answer bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return false, false
	}
	if m.writes < 0 {
		return true, true
	}
	if m.writes--; m.writes < 0 {
		m.dead, m.writes = true, 0
		return m.after, false
	}
	return true, true
}

func (m *mortal) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

func (m *mortal) Get(ctx context.Context, c string, ids []string, dst func() store.Document) ([]store.Document, error) {
	if m.gone() {
		return nil, errKilled
	}
	return m.Record.Get(ctx, c, ids, dst)
}

func (m *mortal) Find(ctx context.Context, c string, q store.Query, dst func() store.Document) ([]store.Document, string, error) {
	if m.gone() {
		return nil, "", errKilled
	}
	return m.Record.Find(ctx, c, q, dst)
}

func (m *mortal) Insert(ctx context.Context, c string, docs []store.Document) ([]store.Duplicate, error) {
	do, answer := m.fate()
	if !do {
		return nil, errKilled
	}
	dups, err := m.Record.Insert(ctx, c, docs)
	if !answer {
		return nil, errKilled
	}
	return dups, err
}

func (m *mortal) Replace(ctx context.Context, c string, docs []store.Document) ([]error, error) {
	do, answer := m.fate()
	if !do {
		return nil, errKilled
	}
	errs, err := m.Record.Replace(ctx, c, docs)
	if !answer {
		return nil, errKilled
	}
	return errs, err
}
