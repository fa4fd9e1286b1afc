package matching

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// ErrUnavailable says that Redis cannot be reached, does not answer in time, or
// takes nothing because it is full. It is an [ErrNotReady] as well: the county
// refuses. Nothing was decided, or what was decided shows at the holds'
// deadlines; asking again is safe.
var ErrUnavailable = errors.New("redis is not available")

// unavailable is an ErrUnavailable with its cause.
type unavailable struct{ cause error }

func (u unavailable) Error() string { return ErrUnavailable.Error() + ": " + u.cause.Error() }
func (u unavailable) Unwrap() error { return u.cause }
func (u unavailable) Is(target error) bool {
	return target == ErrUnavailable || target == ErrNotReady
}

var errSilent = errors.New("it does not answer, and somebody is asking it already")

// passing are the replies of a Redis that takes nothing now and may later.
var passing = []string{ // read only
	"OOM ", "EXECABORT ", "LOADING ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "NOREPLICAS ", "MISCONF ", "BUSY ", "MOVED ", "ASK ",
	"ERR max number of clients reached",
}

// judged gives an error of Redis its name. What ends with the caller's context
// is the caller's own.
func judged(ctx context.Context, err error) error {
	var reply redis.Error
	switch {
	case err == nil, errors.Is(err, redis.Nil), ctx.Err() != nil:
		return err
	case !errors.As(err, &reply):
		return unavailable{err} // no connection, or no answer
	}
	for _, word := range passing {
		if strings.HasPrefix(reply.Error(), word) || strings.Contains(reply.Error(), "-"+word) { // the latter from within a script, before Redis 7
			return unavailable{err}
		}
	}
	return err
}

// late says that an error is an answer that did not come in time.
func late(err error) bool {
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

// hearing is how a county's Redis answers this process.
type hearing struct {
	silent atomic.Bool // the last one who waited for an answer waited in vain
	asking sync.Mutex  // while it is silent, one at a time
	missed atomic.Bool // somebody was refused since the county was last planned
}

func (e *Engine) hearing(county string) *hearing {
	h, _ := e.heard.LoadOrStore(county, &hearing{})
	return h.(*hearing)
}

// ask does one thing with a county's Redis. While that is silent one caller at a
// time waits for it and all others are refused at once, so that a frozen Redis
// does not hold up whoever does not need it.
//
// Errors: [ErrUnavailable]; anything else is a reply of Redis.
func (e *Engine) ask(ctx context.Context, county string, do func() error) error {
	h := e.hearing(county)
	if h.silent.Load() {
		if !h.asking.TryLock() {
			h.missed.Store(true)
			return unavailable{errSilent}
		}
		defer h.asking.Unlock()
	}
	err := judged(ctx, do())
	switch {
	case !errors.Is(err, ErrUnavailable):
		if ctx.Err() == nil && h.silent.Swap(false) {
			e.log.Info("redis answers again", "county", county)
		}
		return err
	case late(err):
		if !h.silent.Swap(true) {
			e.log.Error("redis does not answer; the county refuses until it does", "county", county, "error", err)
		}
	}
	h.missed.Store(true)
	return err
}

// Missed says whether this process was refused by the county's Redis since it
// last published lines: who came then waits, though something may be there.
func (e *Engine) Missed(county string) bool { return e.hearing(county).missed.Load() }
