package matching

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config is what an engine needs.
type Config struct {
	Redis redis.UniversalClient
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Lease is how long a hold waits for the record before it is looked into.
	// Range: 5 s to 10 min; 0 means 60 s, which a slow record meets with ease.
	Lease  time.Duration
	Logger *slog.Logger // slog.Default() when nil
}

// Engine decides which units go to which need. Its methods are safe for
// concurrent use, by any number of processes on one Redis.
type Engine struct {
	redis   redis.UniversalClient
	now     func() time.Time
	lease   time.Duration
	log     *slog.Logger
	scripts scripts
	gens    sync.Map // county -> generation
	lines   sync.Map // county -> *Lines
	lanes   sync.Map // county -> *lane
	marks   sync.Map // county|category -> *mark
	heard   sync.Map // county -> *hearing

	flushing sync.Mutex // one caller at a time tells the backlog

	mu      sync.Mutex
	backlog map[string][]change // county -> what Redis has still to be told
	doubts  map[string]bool     // counties to be rebuilt
	kept    uint64              // changes ever kept
}

// New makes an engine. It does not talk to Redis yet.
//
// Errors: a missing client, a lease out of range.
func New(c Config) (*Engine, error) {
	if c.Redis == nil {
		return nil, errors.New("matching: no Redis client")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Lease == 0 {
		c.Lease = time.Minute
	}
	if c.Lease < 5*time.Second || c.Lease > 10*time.Minute {
		return nil, fmt.Errorf("matching: lease %s is outside 5 s to 10 min", c.Lease)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s, err := loadScripts()
	if err != nil {
		return nil, err
	}
	return &Engine{
		redis: c.Redis, now: c.Now, lease: c.Lease, log: c.Logger, scripts: s,
		backlog: map[string][]change{}, doubts: map[string]bool{},
	}, nil
}

// Ping says whether Redis answers.
func (e *Engine) Ping(ctx context.Context) error {
	if err := e.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", err)
	}
	return nil
}

// Ready says whether the county has been rebuilt from the record, so that it
// answers. Errors: [ErrUnavailable].
func (e *Engine) Ready(ctx context.Context, county string) (bool, error) {
	if err := checkCounty(county); err != nil {
		return false, err
	}
	var gen string
	err := e.ask(ctx, county, func() (err error) {
		gen, err = e.redis.Get(ctx, shardKey(county, "gen")).Result()
		return err
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("county %s: %w", county, err)
	}
	return ours(gen) != "", nil
}
