// Package app is the web application: every page and every JSON route of
// Happiness Code, on Fiber.
//
// One table (routes.go) lists every URL with who may use it; one guard
// (guard.go) that every route passes decides who is asking and whether they
// may; one file (problem.go) turns errors into answers. See DESIGN.md.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/documents"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/press"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/settings"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/app/webhooks"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/funds"
	"github.com/xingfuma/happycode/qrcode"
)

// Config is what the application is made of. All fields but Logger, Now and
// PingRedis are required.
type Config struct {
	Settings  settings.Settings
	Record    store.Record
	Accounts  *accounts.Service
	Audit     *audit.Log
	Residents *residents.Service
	Reports   *reports.Service
	Providers *providers.Service
	Funds     *funds.Service
	Regions   *regions.Service
	Care      *care.Service
	Webhooks  *webhooks.Service
	Documents *documents.Service
	Vault     *vault.Vault
	// Keys are the keys of the codes as they are now.
	Keys interface{ Keys() qrcode.Keys }
	// Tree returns the current division tree; TreeChanged is called with a
	// new one after an import.
	Tree        func() *regions.Tree
	TreeChanged func(*regions.Tree)
	// PingRedis says whether Redis answers; nil when care.Ready covers it.
	PingRedis func(context.Context) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger receives the program's messages and, when Settings.AccessLog is
	// on, one line per request; nil discards both.
	Logger *slog.Logger
}

// App serves the pages and the API. Its methods show… and save… in page_*.go
// are the pages' handlers, those in api_*.go the API's.
type App struct {
	Config

	fiber     *fiber.App
	routes    []Route
	trusted   []netip.Prefix
	limits    *limiter
	metrics   *metrics
	replays   store.Collection[replay, *replay]
	openapi   func() ([]byte, error) // made when it is first asked for
	site      *pages.Site
	imports   imports
	gate      *gate
	press     *press.Press
	prints    prints
	cardsMost int // cards one file takes
	live      *hub
	watched   looks
	// hashing has room for as many PIN checks as may run at once: each takes
	// 19 MiB, and anybody may ask for one.
	hashing   chan struct{}
	reading   chan struct{} // room for photosAtOnce
	photoWait time.Duration // for a place there

	startedMs int64 // Unix ms
}

// Schemas are the collections the application itself keeps.
func Schemas() []store.Schema { return []store.Schema{replaySchema} }

// New builds the application and checks that nothing is missing.
func New(c Config) (*App, error) {
	missing := map[string]bool{
		"Record": c.Record == nil, "Accounts": c.Accounts == nil, "Audit": c.Audit == nil,
		"Residents": c.Residents == nil, "Reports": c.Reports == nil, "Providers": c.Providers == nil, "Funds": c.Funds == nil, "Regions": c.Regions == nil,
		"Care": c.Care == nil, "Webhooks": c.Webhooks == nil, "Vault": c.Vault == nil, "Keys": c.Keys == nil, "Tree": c.Tree == nil, "TreeChanged": c.TreeChanged == nil,
	}
	for name, is := range missing {
		if is {
			return nil, fmt.Errorf("app: Config.%s is missing", name)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{
		Config: c, trusted: c.Settings.TrustedProxies, limits: newLimiter(c.Now), gate: newGate(c.Now),
		imports: imports{at: map[string]importView{}},
		hashing: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))), reading: make(chan struct{}, photosAtOnce), photoWait: photoTime,
		startedMs: store.Millis(c.Now()),
	}
	a.cardsMost = cardsMost
	a.press = press.New(press.Config{
		Residents: c.Residents, Audit: c.Audit, Tree: c.Tree, Keys: c.Keys, Host: c.Settings.PublicHost, FontFile: c.Settings.Font,
	})
	a.live = newHub(c.Care, c.Now, c.Settings.MongoURI != "")
	a.watched.at = map[look]int64{}
	a.routes = table()
	a.metrics = newMetrics(a)
	a.replays = store.Of[replay](c.Record, replaySchema)
	site, err := pages.New()
	if err != nil {
		return nil, fmt.Errorf("app: open the pages: %w", err)
	}
	a.site = site
	a.openapi = sync.OnceValues(a.describe)
	a.build()
	return a, nil
}

// build makes the Fiber application out of the route table.
func (a *App) build() {
	trusted := make([]string, len(a.trusted))
	for i, p := range a.trusted {
		trusted[i] = p.String()
	}
	a.fiber = fiber.New(fiber.Config{
		AppName:               "happycode",
		DisableStartupMessage: true,
		Immutable:             true, // values outlive the handler
		CaseSensitive:         true,
		BodyLimit:             int(a.Settings.BodyLimit),
		ReadTimeout:           60 * time.Second,
		WriteTimeout:          120 * time.Second,
		IdleTimeout:           120 * time.Second,
		ReadBufferSize:        16 << 10,
		// Multipart bodies are parsed in memory by those who want them, not
		// written to the disk's temporary folder before anybody is asked.
		DisablePreParseMultipartForm: true,
		EnableTrustedProxyCheck:      true,
		TrustedProxies:               trusted,
		EnableIPValidation:           true,
		ErrorHandler:                 a.brokeOff,
		Network:                      fiber.NetworkTCP,
	})
	a.fiber.Server().HeaderReceived = a.headerReceived(a.uploads())
	a.fiber.Use(a.letGo)
	a.fiber.Use(a.front)
	for i := range a.routes {
		r := &a.routes[i]
		a.fiber.Add(r.Method, r.Path, a.guard(r))
		if r.Method == fiber.MethodGet {
			a.fiber.Add(fiber.MethodHead, r.Path, a.guard(r))
		}
	}
	a.fiber.Use(func(c *fiber.Ctx) error { return a.noRoute(c) })
}

// Fiber returns the Fiber application, for tests and for listening elsewhere.
func (a *App) Fiber() *fiber.App { return a.fiber }

// Routes returns the route table.
func (a *App) Routes() []Route { return append([]Route(nil), a.routes...) }

// Listen serves on a listener until Shutdown.
func (a *App) Listen(l net.Listener) error {
	if err := a.fiber.Listener(l); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting, lets requests under way finish, and returns; ctx
// bounds the wait.
func (a *App) Shutdown(ctx context.Context) error {
	a.live.close() // its answers would not end by themselves
	if err := a.fiber.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}
