package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/xingfuma/happycode/app"
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
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/mongo"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/app/webhooks"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/eligibility"
	"github.com/xingfuma/happycode/providers/funds"
	"github.com/xingfuma/happycode/qrcode"
)

// recordFile is the embedded record in HAPPYCODE_DATA.
const recordFile = "record.sqlite"

// besideWait is how long a command waits for a server that is just starting
// to say how its embedded Redis is reached.
const besideWait = 10 * time.Second

// system is everything the program consists of, wired. [open] makes it and
// Close ends it, in reverse order.
type system struct {
	settings  settings.Settings
	log       *slog.Logger
	now       func() time.Time
	instance  *instance // nil: beside a running server, or nothing is embedded
	redisURL  string
	record    store.Record
	engine    *matching.Engine
	vault     *vault.Vault
	keys      *keyring.Ring
	regions   *regions.Service
	tree      *atomic.Pointer[regions.Tree]
	accounts  *accounts.Service
	audit     *audit.Log
	residents *residents.Service
	reports   *reports.Service
	providers *providers.Service
	funds     *funds.Service
	keeper    *funds.Keeper
	care      *care.Service
	webhooks  *webhooks.Service
	documents *documents.Service
	sms       *sms.Service
	notes     store.Collection[note, *note]

	closers []closer
}

type closer struct {
	what  string
	close func() error
}

// note is a fact about the record as a whole.
type note struct {
	store.Meta `bson:",inline"`
	AtMs       int64  `json:"at_ms"`
	Text       string `json:"text"`
}

var noteSchema = store.Schema{Name: "notes"}

// The notes.
const (
	divisionsNote = "divisions" // raised with every change of the divisions
	demoNote      = "demo"      // how far the demo city is loaded
)

func (s *system) onClose(what string, close func() error) {
	s.closers = append(s.closers, closer{what, close})
}

// Close ends everything in reverse order.
func (s *system) Close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.what, err))
		}
	}
	s.closers = nil
	return errors.Join(errs...)
}

// load reads the settings from the environment.
func (p *program) load() (settings.Settings, error) { return settings.Load(p.environ) }

func (p *program) logger(least slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.errOut, &slog.HandlerOptions{Level: least}))
}

// beside opens the system for a command: together with a running server where
// there is one, alone otherwise.
func (p *program) beside(ctx context.Context) (*system, error) {
	s, err := p.load()
	if err != nil {
		return nil, err
	}
	return open(ctx, s, p.quiet(s), p.now, false)
}

// quiet is the log of a command: its answer is what it prints.
func (p *program) quiet(s settings.Settings) *slog.Logger {
	if s.LogLevel == slog.LevelInfo {
		return p.logger(slog.LevelWarn)
	}
	return p.logger(s.LogLevel)
}

// open wires the system. Only serving may begin where another process already
// has the folder; a command then joins that process's embedded stores.
func open(ctx context.Context, set settings.Settings, log *slog.Logger, now func() time.Time, serving bool) (_ *system, err error) {
	s := &system{settings: set, log: log, now: now, tree: &atomic.Pointer[regions.Tree]{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openFolder(serving); err != nil {
		return nil, err
	}
	if err := s.openRecord(ctx); err != nil {
		return nil, err
	}
	if err := s.openMatcher(ctx); err != nil {
		return nil, err
	}
	if err := s.openKeys(ctx, serving); err != nil {
		return nil, err
	}
	if err := s.openServices(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// openFolder takes HAPPYCODE_DATA when something embedded lives in it.
func (s *system) openFolder(serving bool) error {
	if s.settings.MongoURI != "" && s.settings.RedisURL != "" {
		return nil
	}
	i, err := claim(s.settings.Data)
	switch {
	case err == nil:
		s.instance = i
		s.onClose("the data folder", i.release)
		return nil
	case !errors.Is(err, errInUse):
		return err
	case serving:
		return say("数据目录 "+s.settings.Data+" 正被另一个 happycode 使用；请先停止它，或用 HAPPYCODE_DATA 另指定目录",
			"another happycode is using the data folder; stop it first, or set HAPPYCODE_DATA to another folder", nil)
	}
	return nil
}

func (s *system) openRecord(ctx context.Context) error {
	if uri := s.settings.MongoURI; uri != "" {
		r, err := mongo.Open(ctx, uri)
		if err != nil {
			return say("无法连接 MongoDB；请检查 HAPPYCODE_MONGO_URI 以及该服务是否已启动",
				"MongoDB cannot be reached; check HAPPYCODE_MONGO_URI and whether that server runs", err)
		}
		s.record = r
	} else {
		r, err := sqlite.Open(filepath.Join(s.settings.Data, recordFile))
		if err != nil {
			return say("无法打开数据文件 "+filepath.Join(s.settings.Data, recordFile)+"；请检查磁盘空间与权限，或从备份恢复",
				"the record file cannot be opened; check disk space and permissions, or restore a backup", err)
		}
		s.record = r
	}
	s.onClose("the record", s.record.Close)
	schemas := slices.Concat(regions.Schemas(), accounts.Schemas(), audit.Schemas(), residents.Schemas(), reports.Schemas(),
		providers.Schemas(), funds.Schemas(), care.Schemas(), keyring.Schemas(), webhooks.Schemas(), documents.Schemas(), sms.Schemas(), app.Schemas(), []store.Schema{noteSchema})
	if err := s.record.Ensure(ctx, schemas...); err != nil {
		return fmt.Errorf("prepare the record: %w", err)
	}
	s.notes = store.Of[note](s.record, noteSchema)
	return nil
}

func (s *system) openMatcher(ctx context.Context) error {
	s.redisURL = s.settings.RedisURL
	switch {
	case s.redisURL != "":
	case s.instance != nil:
		embedded, err := matching.StartEmbedded("")
		if err != nil {
			return fmt.Errorf("start the embedded Redis: %w", err)
		}
		s.onClose("the embedded Redis", func() error { embedded.Close(); return nil })
		s.redisURL = embedded.URL()
	default:
		running, err := s.awaitServer(ctx)
		if err != nil {
			return err
		}
		s.redisURL = running.Redis
	}
	client, err := matching.Connect(ctx, s.redisURL)
	if err != nil {
		return say("无法连接 Redis；请检查 HAPPYCODE_REDIS_URL 以及该服务是否已启动",
			"Redis cannot be reached; check HAPPYCODE_REDIS_URL and whether that server runs", err)
	}
	s.onClose("Redis", client.Close)
	s.engine, err = matching.New(matching.Config{Redis: client, Now: s.now, Lease: s.settings.Lease, Logger: s.log})
	return err
}

// awaitServer reads how the server that has the folder is reached; one that
// is just starting is given a moment.
func (s *system) awaitServer(ctx context.Context) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, besideWait)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := running(s.settings.Data)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return server{}, say("数据目录正被另一个命令使用；请等它结束后再试",
				"another command is using the data folder; try again when it has ended", nil)
		case <-tick.C:
		}
	}
}

// openKeys opens the key file and, with it, the keys of the codes. Only serving
// encrypts a plain key file: there is no way back.
func (s *system) openKeys(ctx context.Context, serving bool) (err error) {
	file := s.settings.KeyFile
	s.vault, err = vault.OpenWith(file, s.settings.KeySecret)
	encrypted := false
	if err == nil && serving && s.settings.KeySecret != nil {
		encrypted, err = vault.Encrypt(file, s.settings.KeySecret)
	}
	switch {
	case errors.Is(err, vault.ErrSecret) && s.settings.KeySecret == nil:
		return say("密钥文件 "+file+" 已加密；请把 HAPPYCODE_KEY_SECRET 设为加密时所用的口令",
			"the key file is encrypted; set HAPPYCODE_KEY_SECRET to the secret it was encrypted under", err)
	case errors.Is(err, vault.ErrSecret):
		return say("HAPPYCODE_KEY_SECRET 打不开密钥文件 "+file+"；请换成加密时所用的口令，或从备份恢复该文件",
			"HAPPYCODE_KEY_SECRET does not open the key file; set the secret it was encrypted under, or restore the file from a backup", err)
	case err != nil:
		return say("密钥文件 "+file+" 无法使用；请从备份恢复该文件，切勿新建：没有原密钥，加密的资料无法读取",
			"the key file cannot be used; restore it from a backup, never make a new one: sealed fields open with the old keys only", err)
	}
	if encrypted {
		s.log.Warn("the key file was plain and is encrypted now; it opens with HAPPYCODE_KEY_SECRET only", "file", file)
	}
	s.keys, err = keyring.Open(ctx, keyring.Config{
		Record: s.record, Vault: s.vault, Now: s.now, Logger: s.log,
		Algorithm: qrcode.Algorithm(s.settings.CodeAlgorithm), CardDays: s.settings.CardDays,
	})
	if errors.Is(err, keyring.ErrSealed) {
		return say("密钥文件 "+file+" 与档案不配套；请把档案原来的密钥文件复制到这里（每台服务器须用同一个密钥文件）",
			"the key file is not the record's; put the one here that the record was made with: every server needs the same", err)
	}
	return err
}

func (s *system) openServices(ctx context.Context) error {
	s.regions = regions.New(s.record)
	if err := s.loadDivisions(ctx); err != nil {
		return err
	}
	s.accounts = accounts.New(accounts.Config{Record: s.record, Now: s.now, SessionTTL: s.settings.SessionTTL})
	s.audit = audit.New(audit.Config{Record: s.record, Now: s.now, Logger: s.log})
	s.onClose("the audit log", func() error { s.audit.Close(); return nil })
	s.residents = residents.New(residents.Config{Record: s.record, Vault: s.vault, Keys: s.keys, Now: s.now, DivisionExists: s.known})
	s.reports = reports.New(reports.Config{Record: s.record, Vault: s.vault, Now: s.now, DivisionExists: s.known})
	s.funds = funds.New(funds.Config{Record: s.record, Vault: s.vault, Now: s.now, Known: s.known, Logger: s.log})
	s.providers = providers.New(providers.Config{
		Record: s.record, Now: s.now, Weight: s.villages, Known: s.known, Group: knownGroup, Funds: s.funds,
		Names:    eligibility.Names{Group: groupName, Division: s.divisionName},
		Counties: func() []string { return s.tree.Load().Counties() },
	})
	var err error
	s.care, err = care.New(care.Config{
		Record: s.record, Engine: s.engine, Catalogue: matching.NewCatalogue(),
		Residents: s.residents, Providers: s.providers, Audit: s.audit,
		Tree: s.tree.Load, Vault: s.vault, Keys: s.keys,
		Now: s.now, Logger: s.log, Hold: s.settings.Hold, Grace: s.settings.OfflineGrace, Lease: s.settings.Lease,
		PINAboveFen: s.settings.PINAboveFen,
	})
	if err != nil {
		return err
	}
	s.keeper = funds.NewKeeper(funds.KeeperConfig{
		Record: s.record, Books: s.funds, Ledger: s.care, Offers: s.providers, Now: s.now, Logger: s.log,
	})
	s.documents = documents.New(documents.Config{Record: s.record, Vault: s.vault, Now: s.now})
	s.webhooks = webhooks.New(webhooks.Config{
		Record: s.record, Vault: s.vault, Ledger: s.care, Now: s.now, Logger: s.log, Networks: s.settings.WebhookNetworks,
	})
	s.sms = sms.New(sms.Config{
		Record: s.record, Care: s.care, Residents: s.residents, Audit: s.audit, Now: s.now, Logger: s.log, URL: s.settings.SMSURL, Secret: s.settings.SMSSecret,
	})
	return nil
}

// startCare begins the background work; it ends with Close.
func (s *system) startCare(ctx context.Context) error {
	if err := s.care.Start(ctx); err != nil {
		return fmt.Errorf("start the matcher: %w", err)
	}
	s.onClose("the workers", func() error { s.care.Stop(); return nil })
	return nil
}

// ownMatcher says whether this process runs the embedded Redis.
func (s *system) ownMatcher() bool { return s.instance != nil && s.settings.RedisURL == "" }

// loadDivisions reads the tree, after putting in the default divisions where
// the record has none.
func (s *system) loadDivisions(ctx context.Context) error {
	tree, err := s.regions.Load(ctx)
	if err != nil {
		return fmt.Errorf("load divisions: %w", err)
	}
	if len(tree.Counties()) == 0 {
		if _, err := s.importDivisions(ctx, bytes.NewReader(regions.Huzhou()), nil); err != nil {
			return fmt.Errorf("load the default divisions: %w", err)
		}
		return nil
	}
	s.tree.Store(tree)
	return nil
}

// importDivisions takes a CSV into the record, reads the tree anew, and tells
// other processes that it changed.
func (s *system) importDivisions(ctx context.Context, csv io.Reader, progress func(done, total int)) (regions.Result, error) {
	if progress == nil {
		progress = func(int, int) {}
	}
	result, err := s.regions.Import(ctx, csv, progress)
	if err != nil {
		return result, err
	}
	tree, err := s.regions.Load(ctx)
	if err != nil {
		return result, err
	}
	s.tree.Store(tree)
	return result, s.raise(ctx, divisionsNote, "")
}

// raise writes a note, so that its version changes.
func (s *system) raise(ctx context.Context, id, text string) error {
	for {
		n, err := s.notes.Get(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			err = s.notes.Insert(ctx, &note{Meta: store.Meta{ID: id}, AtMs: store.Millis(s.now()), Text: text})
		case err == nil:
			n.AtMs, n.Text = store.Millis(s.now()), text
			err = s.notes.Replace(ctx, n)
		}
		if !errors.Is(err, store.ErrDuplicate) && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// watchDivisions reads the tree anew when another process changed it.
func (s *system) watchDivisions(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := int64(-1)
	for {
		if n, err := s.notes.Get(ctx, divisionsNote); err == nil && n.V != seen {
			if tree, err := s.regions.Load(ctx); err == nil {
				s.tree.Store(tree)
				seen = n.V
			} else {
				s.log.Error("load divisions", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// villages weighs a county for splitting a lot: how many of its villages the
// offer serves.
func (s *system) villages(county string, divisions []string) int64 {
	tree := s.tree.Load()
	var n int64
	for _, town := range tree.Children(county) {
		for _, village := range tree.Children(town.ID) {
			if slices.ContainsFunc(divisions, func(d string) bool { return regions.Within(village.ID, d) }) {
				n++
			}
		}
	}
	return n
}

func (s *system) known(code string) bool {
	_, ok := s.tree.Load().Get(code)
	return ok
}

func (s *system) divisionName(code string) (eligibility.Text, bool) {
	d, ok := s.tree.Load().Get(code)
	return eligibility.Text{ZH: d.Name, EN: d.Name}, ok
}

func groupName(id string) (eligibility.Text, bool) {
	for _, g := range residents.Groups() {
		if g.ID == id {
			return eligibility.Text{ZH: g.ZH, EN: g.EN}, true
		}
	}
	return eligibility.Text{}, false
}

func knownGroup(id string) bool {
	return slices.ContainsFunc(residents.Groups(), func(g residents.Group) bool { return g.ID == id })
}

// application makes the web application over the system.
func (s *system) application() (*app.App, error) {
	return app.New(app.Config{
		Settings: s.settings, Record: s.record, Accounts: s.accounts, Audit: s.audit,
		Residents: s.residents, Reports: s.reports, Providers: s.providers, Funds: s.funds, Regions: s.regions, Care: s.care, Webhooks: s.webhooks, Documents: s.documents, Vault: s.vault, Keys: s.keys,
		Tree: s.tree.Load,
		TreeChanged: func(t *regions.Tree) {
			s.tree.Store(t)
			if err := s.raise(context.Background(), divisionsNote, ""); err != nil {
				s.log.Error("tell other processes of the new divisions", "error", err)
			}
		},
		PingRedis: s.engine.Ping, Now: s.now, Logger: s.log,
	})
}

// freeBytes is the room left where path lies.
func freeBytes(path string) (uint64, error) {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return diskFree(path)
		}
		path = filepath.Dir(path)
	}
}
