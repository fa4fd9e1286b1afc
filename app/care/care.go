package care

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

// Keys are the keys of the codes as they are now; app/keyring has them.
type Keys interface {
	Keys() qrcode.Keys
	// Verify checks a code as it stood at a time; a key that is not known yet
	// is looked for. Errors: those of [qrcode.Keys.Verify].
	Verify(ctx context.Context, t qrcode.Token, at time.Time) error
}

// Config is what the service works with. All fields are needed unless a
// default is given.
type Config struct {
	Record    store.Record
	Engine    *matching.Engine
	Catalogue *matching.Catalogue
	Residents *residents.Service
	Providers *providers.Service
	Audit     *audit.Log
	Tree      func() *regions.Tree
	Vault     *vault.Vault // seals what was said at a refusal
	Keys      Keys         // check codes
	Now       func() time.Time
	Logger    *slog.Logger

	// Hold is how long a promise made at a scan stands before it is accepted.
	// Range: 1 min to 72 h; default 30 min.
	Hold time.Duration
	// HoldDripped is the same for a promise made from the waiting list, when
	// the resident is not there. Range as Hold; default 24 h.
	HoldDripped time.Duration
	// Grace is how long after its end a lease of a device waits for the device's
	// reports. Range: 1 h to 72 h; default 12 h.
	Grace time.Duration
	// Lease is how long a "+" mark may stand on a share before its hold is
	// taken for lost; it must be at least the engine's. Default 60 s.
	Lease time.Duration
	// Tick is how often deadlines are looked at. Default 1 s.
	Tick time.Duration
	// PINAboveFen is the worth in fen above which a handover takes a PIN or a
	// photo; 0: always, also where the worth is not known; nil: never.
	PINAboveFen *int64
}

// Service is the life of needs. Create it with [New], begin its background
// work with [Service.Start] and end it with [Service.Stop].
type Service struct {
	record    store.Record
	engine    *matching.Engine
	catalogue *matching.Catalogue
	residents *residents.Service
	providers *providers.Service
	audit     *audit.Log
	tree      func() *regions.Tree
	vault     *vault.Vault
	keys      Keys
	now       func() time.Time
	log       *slog.Logger
	hold      time.Duration
	dripped   time.Duration
	lease     time.Duration
	tick      time.Duration
	grace     time.Duration
	pinAbove  *int64
	token     string // names this process where one is elected
	movedBy   string // the plans by which units were last moved

	allocations store.Collection[Allocation, *Allocation]
	events      store.Collection[Event, *Event]
	redemptions store.Collection[redemption, *redemption]
	photos      store.Collection[photo, *photo]
	shares      store.Collection[providers.Share, *providers.Share]
	moves       store.Collection[providers.Move, *providers.Move]
	needs       store.Collection[residents.Need, *residents.Need]
	people      store.Collection[residents.Resident, *residents.Resident]
	devices     store.Collection[Device, *Device]
	leases      store.Collection[Lease, *Lease]
	offline     store.Collection[offlineRecord, *offlineRecord]
	conflicts   store.Collection[Conflict, *Conflict]
	vouchers    store.Collection[voucher, *voucher]

	known     offers
	committer *committer
	worker    *matching.Worker
	suspects  suspects
	plans     plans
	fetch     time.Duration // see [matching.PlannerConfig]
	untold    untold
	listeners listeners
	turns     turns         // whose handover is being taken in
	counting  chan struct{} // one count of residents at a time
	steady    steady

	started     time.Time
	followed    following
	lookedTwice bool // at the marks, since the start

	stopOnce sync.Once
	cancel   context.CancelFunc
	stopped  chan struct{} // closed when the background work is told to end
	running  sync.WaitGroup
}

// New checks the configuration and makes the service; nothing runs yet.
func New(c Config) (*Service, error) {
	if c.Record == nil || c.Engine == nil || c.Catalogue == nil || c.Residents == nil || c.Providers == nil ||
		c.Audit == nil || c.Tree == nil || c.Now == nil || c.Vault == nil || c.Keys == nil {
		return nil, errors.New("care: the configuration is incomplete")
	}
	for _, d := range []struct {
		v        *time.Duration
		def      time.Duration
		min, max time.Duration
	}{
		{&c.Hold, 30 * time.Minute, time.Minute, 72 * time.Hour},
		{&c.HoldDripped, 24 * time.Hour, time.Minute, 72 * time.Hour},
		{&c.Lease, time.Minute, time.Second, time.Hour},
		{&c.Grace, 12 * time.Hour, time.Hour, maxGrace},
		{&c.Tick, time.Second, 10 * time.Millisecond, time.Minute},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
		if *d.v < d.min || *d.v > d.max {
			return nil, fmt.Errorf("care: a duration of %v lies outside %v to %v", *d.v, d.min, d.max)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s := &Service{
		record: c.Record, engine: c.Engine, catalogue: c.Catalogue, residents: c.Residents, providers: c.Providers,
		audit: c.Audit, tree: c.Tree, vault: c.Vault, keys: c.Keys, now: c.Now, log: c.Logger,
		hold: c.Hold, dripped: c.HoldDripped, lease: c.Lease, tick: c.Tick, grace: c.Grace, pinAbove: c.PINAboveFen,
		allocations: store.Of[Allocation](c.Record, allocationSchema),
		events:      store.Of[Event](c.Record, eventSchema),
		redemptions: store.Of[redemption](c.Record, redemptionSchema),
		photos:      store.Of[photo](c.Record, photoSchema),
		shares:      store.Of[providers.Share](c.Record, providers.SharesSchema()),
		moves:       store.Of[providers.Move](c.Record, providers.MovesSchema()),
		needs:       c.Residents.NeedCollection(),
		people:      c.Residents.Collection(),
		devices:     store.Of[Device](c.Record, deviceSchema),
		leases:      store.Of[Lease](c.Record, leaseSchema),
		offline:     store.Of[offlineRecord](c.Record, offlineSchema),
		conflicts:   store.Of[Conflict](c.Record, conflictSchema),
		vouchers:    store.Of[voucher](c.Record, voucherSchema),
		known:       offers{byID: map[string]openOffer{}},
		plans:       plans{byCounty: map[string]*plan{}}, fetch: fetch,
		suspects: suspects{since: map[string]time.Time{}}, counting: make(chan struct{}, 1),
		stopped: make(chan struct{}), token: rand.Text(),
	}
	s.committer = newCommitter(s)
	s.worker = matching.NewWorker(s.engine, ledger{s}, s.counties, s.tick, s.log)
	return s, nil
}

// counties are all counties of the division tree.
func (s *Service) counties() []string { return s.tree().Counties() }

// Start loads the catalogue of offers and begins the background work: group
// commits, sweeping, the waiting lists, deadlines. It returns when offers are
// loaded; counties are rebuilt in the background, see [Service.Ready].
func (s *Service) Start(ctx context.Context) error {
	if err := s.loadOffers(ctx); err != nil {
		return err
	}
	s.started = s.now()
	s.followed = following{at: s.started, swept: s.started}
	// The work outlives the call that started it, and ends with Stop.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	for range 2 {
		s.running.Go(func() { s.committer.run(run) })
	}
	s.running.Go(func() { s.worker.Run(run) })
	s.running.Go(func() { s.watchDeadlines(run) })
	for what, do := range map[string]func(context.Context) error{
		"follow offers": s.followOffers, "move units between counties": s.moveUnits,
	} {
		s.running.Go(func() {
			ticker := time.NewTicker(s.tick)
			defer ticker.Stop()
			s.onTick(run, ticker.C, what, do)
		})
	}
	return nil
}

// Stop ends the background work and waits for it.
func (s *Service) Stop() {
	s.stopOnce.Do(func() {
		close(s.stopped)
		if s.cancel != nil {
			s.cancel()
		}
	})
	s.running.Wait()
	last, done := context.WithTimeout(context.Background(), lateness)
	defer done()
	s.emitLast(last)
	if s.cancel != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.engine.Retire(ctx, moving, s.token)
	}
}

// Ready says whether the record and Redis answer and every county's matcher
// is rebuilt. Errors: [ErrNotReady] and whatever the stores say.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.record.Ping(ctx); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := s.engine.Ping(ctx); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	for _, county := range s.counties() {
		ready, err := s.engine.Ready(ctx, county)
		if err != nil {
			return fmt.Errorf("redis: %w", err)
		}
		if !ready {
			return fmt.Errorf("county %s: %w", county, ErrNotReady)
		}
	}
	return nil
}
