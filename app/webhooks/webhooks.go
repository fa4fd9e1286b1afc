// Package webhooks tells other systems what happens: each event of the ledger
// that a hook asks for becomes a delivery in the record, which is sent, signed,
// until it is taken or given up. See DESIGN.md.
package webhooks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
)

// FieldError names the field that cannot be taken, and why.
type FieldError struct {
	Field  string // JSON name
	ZH, EN string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.EN }

// Hook is where events are sent.
type Hook struct {
	store.Meta `bson:",inline"`
	URL        string   `json:"url"`
	Label      string   `json:"label"`
	Kinds      []string `json:"kinds"`    // empty: all
	Division   string   `json:"division"` // events of it and below; of an organisation's, its seat
	// Organisation is whose hook it is: it is told of what becomes of its
	// offers, wherever, and of nobody. Empty: an administrator's.
	Organisation string `json:"organisation"`
	SecretSealed string `json:"secret_sealed"`
	Active       bool   `json:"active"`
	// Why says why it is not active: "off" (somebody), "gone" (it answered so)
	// or "failing" (nothing was taken for [giveUpAfter]).
	Why       string `json:"why"`
	CreatedBy string `json:"created_by"`
	CreatedMs int64  `json:"created_ms"`
	// ActiveMs is since when it is active: what was written before is not sent.
	ActiveMs  int64 `json:"active_ms"`
	FailingMs int64 `json:"failing_ms"` // since when nothing was taken; 0: the last was
	LastMs    int64 `json:"last_ms"`    // when something was last taken; 0: never
	RestMs    int64 `json:"rest_ms"`    // until when nothing is sent, after one that timed out
}

// State is where a delivery stands.
type State string

// The states of a delivery.
const (
	Pending State = "pending"
	Taken   State = "taken"  // answered with 2xx
	Failed  State = "failed" // given up
)

// Delivery is one event on its way to one hook.
type Delivery struct {
	store.Meta `bson:",inline"`
	Hook       string `json:"hook"`
	Kind       string `json:"kind"`
	Body       string `json:"body"` // ids and quantities only
	State      State  `json:"state"`
	AtMs       int64  `json:"at_ms"`
	Tries      int    `json:"tries"`
	NextMs     int64  `json:"next_ms"` // when it is tried (again)
	LastMs     int64  `json:"last_ms"` // when it was last tried; 0: not yet
	Status     int    `json:"status"`  // of the last answer; 0: there was none
	Fault      string `json:"fault"`   // why there was none: "refused_address", "timeout" or "unreachable"
}

// outbox is how far the ledger has been read.
type outbox struct {
	store.Meta `bson:",inline"`
	AtMs       int64 `json:"at_ms"`
}

var (
	hookSchema = store.Schema{Name: "webhooks", Indexes: []store.Index{
		{Name: "created", Fields: []string{"created_ms"}},
		{Name: "active", Fields: []string{"active", "created_ms"}},
		{Name: "organisation", Fields: []string{"organisation", "created_ms"}},
	}}
	deliverySchema = store.Schema{Name: "webhook_deliveries", Indexes: []store.Index{
		{Name: "hook_due", Fields: []string{"hook", "state", "next_ms"}},
		{Name: "hook", Fields: []string{"hook", "at_ms"}},
		{Name: "at", Fields: []string{"at_ms"}},
	}}
	outboxSchema = store.Schema{Name: "webhook_outbox"}
)

// Schemas are the collections of this package.
func Schemas() []store.Schema { return []store.Schema{hookSchema, deliverySchema, outboxSchema} }

// Ledger is what is told; [care.Service] has it.
type Ledger interface {
	Told(ctx context.Context, fromMs, toMs int64, after string, limit int) ([]*care.Event, string, error)
}

// Config is what [New] needs.
type Config struct {
	Record store.Record // with [Schemas]
	Vault  *vault.Vault // seals the secrets
	Ledger Ledger
	Now    func() time.Time
	Logger *slog.Logger // slog.Default() when nil
	// Networks may be sent to although they are not public, and without TLS.
	Networks []netip.Prefix
}

// Service keeps hooks and sends to them.
type Service struct {
	cfg        Config
	hooks      store.Collection[Hook, *Hook]
	deliveries store.Collection[Delivery, *Delivery]
	outbox     store.Collection[outbox, *outbox]
	client     *http.Client

	mu   sync.Mutex
	busy map[string]bool // hooks that are being sent to
}

// New makes the service; [Service.Run] sends.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{
		cfg:        c,
		hooks:      store.Of[Hook](c.Record, hookSchema),
		deliveries: store.Of[Delivery](c.Record, deliverySchema),
		outbox:     store.Of[outbox](c.Record, outboxSchema),
		client:     newClient(c.Networks),
		busy:       map[string]bool{},
	}
}

// NewHook is a hook as somebody asks for it.
type NewHook struct {
	URL      string
	Label    string // up to 60 characters
	Kinds    []string
	Division string // 12-digit code; that it may be told of is for the caller to check
	// Organisation is whose hook it is; empty: an administrator's.
	Organisation string
}

const (
	secretField = "webhook_secret"
	maxHooks    = 200 // active ones
	maxOfOne    = 5   // active ones of an organisation
)

// Create makes a hook and its secret, which is not shown again. by is the id of
// who does it. Errors: [FieldError].
func (s *Service) Create(ctx context.Context, by string, n NewHook) (h *Hook, secret string, err error) {
	if err := s.check(&n); err != nil {
		return nil, "", err
	}
	if err := s.room(ctx, "url", n.Organisation); err != nil {
		return nil, "", err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program first
	secret = secretPrefix + base64.StdEncoding.EncodeToString(key)
	now := s.cfg.Now().UnixMilli()
	h = &Hook{
		Meta: store.Meta{ID: store.NewID()}, URL: n.URL, Label: n.Label, Kinds: n.Kinds, Division: n.Division, Organisation: n.Organisation, Active: true,
		CreatedBy: by, CreatedMs: now, ActiveMs: now,
	}
	if h.SecretSealed, err = s.cfg.Vault.Seal(secretField, h.ID, secret); err != nil {
		return nil, "", err
	}
	if err := s.hooks.Insert(ctx, h); err != nil {
		return nil, "", err
	}
	return h, secret, nil
}

// room says whether one more hook may be active.
func (s *Service) room(ctx context.Context, field, organisation string) error {
	active, err := s.active(ctx)
	own := 0
	for _, h := range active {
		if organisation != "" && h.Organisation == organisation {
			own++
		}
	}
	if err == nil && (len(active) >= maxHooks || own >= maxOfOne) {
		err = &FieldError{field, "启用的订阅已达上限，请先停用不用的", "as many webhooks are on as there may be; turn one off first"}
	}
	return err
}

func (s *Service) active(ctx context.Context) ([]*Hook, error) {
	hooks, _, err := s.hooks.Find(ctx, store.Query{Index: "active", Equal: []any{true}, Limit: maxHooks})
	return hooks, err
}

func (s *Service) check(n *NewHook) error {
	n.URL, n.Label = strings.TrimSpace(n.URL), strings.TrimSpace(n.Label)
	u, err := url.Parse(n.URL)
	switch {
	case err != nil || len(n.URL) > 500 || u.Host == "" || u.User != nil || u.Fragment != "":
		return &FieldError{"url", "请填写完整网址，例如 https://example.cn/hook；不含用户名和密码", "write a whole address such as https://example.com/hook, without a user name or password"}
	case u.Scheme != "https" && (u.Scheme != "http" || !s.named(u.Hostname())):
		return &FieldError{"url", "网址须以 https:// 开头", "the address begins with https://"}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !reachable(ip, s.cfg.Networks) {
		return &FieldError{"url", "不能发往内网地址；确有需要请设置 HAPPYCODE_WEBHOOK_NETWORKS", "it is not sent to private addresses; where that is meant, set HAPPYCODE_WEBHOOK_NETWORKS"}
	}
	if len([]rune(n.Label)) > 60 {
		return &FieldError{"label", "名称不能超过 60 字", "the name has at most 60 characters"}
	}
	slices.Sort(n.Kinds)
	n.Kinds = slices.Compact(n.Kinds)
	for _, k := range n.Kinds {
		if !slices.Contains(care.Kinds(), k) {
			return &FieldError{"kinds", "没有此类事件", "there is no such kind of event"}
		}
	}
	return nil
}

// named says whether a host is an address that the operator has allowed.
func (s *Service) named(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && slices.ContainsFunc(s.cfg.Networks, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}

// Get reads a hook. Errors: [store.ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*Hook, error) { return s.hooks.Get(ctx, id) }

// List reads all hooks, the oldest first.
func (s *Service) List(ctx context.Context) ([]*Hook, error) {
	var all []*Hook
	err := s.hooks.Each(ctx, store.Query{Index: "created"}, func(h *Hook) error {
		all = append(all, h)
		return nil
	})
	return all, err
}

// OfOrganisation reads the hooks of an organisation, the oldest first.
func (s *Service) OfOrganisation(ctx context.Context, organisation string) ([]*Hook, error) {
	page, _, err := s.hooks.Find(ctx, store.Query{Index: "organisation", Equal: []any{organisation}, Limit: store.MaxPage})
	return page, err
}

// Switch turns a hook on or off. What happens while it is off is not sent; what
// was on its way goes on when it is on again within three days.
// Errors: [FieldError] where too many are on, [store.ErrNotFound].
func (s *Service) Switch(ctx context.Context, id string, on bool) (*Hook, error) {
	h, err := s.hooks.Change(ctx, id, func(h *Hook) error {
		if h.Active == on {
			return errSame
		}
		if on {
			if err := s.room(ctx, "active", h.Organisation); err != nil {
				return err
			}
		}
		h.Active, h.Why, h.FailingMs, h.RestMs = on, "", 0, 0
		if on {
			h.ActiveMs = s.cfg.Now().UnixMilli()
		} else {
			h.Why = "off"
		}
		return nil
	})
	if errors.Is(err, errSame) {
		return s.hooks.Get(ctx, id)
	}
	return h, err
}

var errSame = errors.New("nothing to change")

// Deliveries reads what was sent to a hook, the newest first.
func (s *Service) Deliveries(ctx context.Context, hook, after string, limit int) ([]*Delivery, string, error) {
	return s.deliveries.Find(ctx, store.Query{Index: "hook", Equal: []any{hook}, Desc: true, After: after, Limit: limit})
}

// Run sends until the context ends.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	report := func(err error) {
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.Error("webhooks", "error", err)
		}
	}
	for {
		wait, err := s.begin(ctx)
		report(err)
		running.Go(func() { report(wait()) }) // a hook that hangs holds up no other
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Tick makes deliveries of what the ledger tells, and tries those that are due;
// it waits for what came of them.
func (s *Service) Tick(ctx context.Context) error {
	wait, err := s.begin(ctx)
	return errors.Join(err, wait())
}

// begin is a tick; wait is for the deliveries that it has begun to send.
func (s *Service) begin(ctx context.Context) (wait func() error, err error) {
	gathered := s.gather(ctx)
	if gathered != nil {
		gathered = fmt.Errorf("gather deliveries: %w", gathered)
	}
	wait, err = s.send(ctx)
	if err != nil {
		err = fmt.Errorf("send deliveries: %w", err)
	}
	return wait, errors.Join(gathered, err, s.forget(ctx))
}
