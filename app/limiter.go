package app

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// allowance is how many tries, and how many failed ones, are let through in
// a window, for one account or one visitors' network. The people signed in at
// one network have crowd times as much together: each of them is held to their
// own allowance, and one who guesses does not stop the others.
//
// Failures are what guessing is made of, so they are counted apart: a village
// hall full of caseworkers behind one address may scan all day. Accounts and
// PINs have their own lockout besides, in the record.
type allowance struct {
	window        time.Duration
	tries, failed float64
}

// allowanceOf is what each limit lets through.
func allowanceOf(l Limit) allowance {
	switch l {
	case LimitSignin:
		return allowance{5 * time.Minute, 1000, 30}
	case LimitScan:
		return allowance{time.Minute, 6000, 30}
	case LimitPIN:
		return allowance{5 * time.Minute, 1000, 30}
	case LimitJoin:
		return allowance{time.Hour, 60, 60}
	case LimitReport:
		return allowance{time.Hour, 60, 60}
	case LimitReach: // a person's figures are not to be found out by narrow rules
		return allowance{10 * time.Minute, 120, 120}
	case LimitCodes:
		return allowance{time.Minute, 60, 60}
	}
	return allowance{time.Minute, math.Inf(1), math.Inf(1)}
}

// crowd is how many accounts at their allowance a network may have.
const crowd = 20

// crowdKey begins the key of the people signed in at one network.
const crowdKey = "crowd:"

// of is the allowance of a key.
func (a allowance) of(key string) allowance {
	if strings.HasPrefix(key, crowdKey) {
		a.tries, a.failed = a.tries*crowd, a.failed*crowd
	}
	return a
}

// limiterKeys is how many accounts and networks are watched at once; beyond
// it the oldest windows are forgotten.
const limiterKeys = 100_000

// limiter counts in sliding windows, in memory: the count of the current
// window plus the part of the last one that still overlaps.
type limiter struct {
	now func() time.Time

	mu     sync.Mutex
	counts map[string]*window
}

type window struct {
	number        int64      // of the current window since 1970
	tries, failed [2]float64 // before, current
	length        time.Duration
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, counts: map[string]*window{}}
}

// wait counts a try for each key and says how long to wait: 0 when none is
// over its allowance.
func (l *limiter) wait(limit Limit, keys ...string) time.Duration {
	a := allowanceOf(limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	over := false
	for _, k := range keys {
		w, part := l.at(limit, k, a.window)
		most := a.of(k)
		if w.tries[0]*part+w.tries[1] >= most.tries || w.failed[0]*part+w.failed[1] >= most.failed {
			over = true
			continue
		}
		w.tries[1]++
	}
	if !over {
		return 0
	}
	return a.window / 4
}

// failed counts a failure for each key.
func (l *limiter) failed(limit Limit, keys ...string) {
	a := allowanceOf(limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		w, _ := l.at(limit, k, a.window)
		w.failed[1]++
	}
}

// at returns the key's window, moved to now, and how much of the window
// before still counts.
func (l *limiter) at(limit Limit, key string, length time.Duration) (*window, float64) {
	now := l.now().UnixNano()
	number := now / int64(length)
	key = string(limit) + "|" + key
	w := l.counts[key]
	if w == nil {
		if len(l.counts) >= limiterKeys {
			l.forget(now)
		}
		w = &window{number: number, length: length}
		l.counts[key] = w
	}
	switch number - w.number {
	case 0:
	case 1:
		w.tries, w.failed = [2]float64{w.tries[1], 0}, [2]float64{w.failed[1], 0}
	default:
		w.tries, w.failed = [2]float64{}, [2]float64{}
	}
	w.number = number
	return w, 1 - float64(now%int64(length))/float64(length)
}

// forget drops the windows that have passed, or, when a flood of networks has
// filled the table within one window, all of it.
func (l *limiter) forget(now int64) {
	for k, w := range l.counts {
		if now/int64(w.length)-w.number > 1 {
			delete(l.counts, k)
		}
	}
	if len(l.counts) >= limiterKeys {
		clear(l.counts)
	}
}

// limitKeys are what a request counts against: the network, and the account
// when there is one.
func (a *App) limitKeys(c *fiber.Ctx) []string {
	if p := principalOf(c); p.Role != "" {
		return []string{crowdKey + a.network(c), "who:" + actor(p)}
	}
	return []string{"net:" + a.network(c)}
}

// limited refuses a request that is over its limit.
func (a *App) limited(c *fiber.Ctx, limit Limit) error {
	if limit == LimitNone {
		return nil
	}
	if wait := a.limits.wait(limit, a.limitKeys(c)...); wait > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())))
		return faultRate
	}
	return nil
}
