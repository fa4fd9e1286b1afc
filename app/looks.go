package app

import "sync"

const (
	// followHeader is sent by pages that renew themselves (web/src/follow.ts).
	followHeader = "X-Follow"
	// lookEvery is how often, in ms, who keeps a page open that renews itself is
	// written down again with what it shows.
	lookEvery = 3_600_000
	// looksKept is how many looks are remembered; beyond it all are forgotten,
	// and written once more.
	looksKept = 100_000
)

// look is somebody looking at something on one page.
type look struct {
	actor, page string
	about       about
}

// looks remembers which looks this process has written to the audit log, so
// that a page that renews itself every few seconds does not bury the others.
// It forgets too early rather than too late: a first look is always written.
type looks struct {
	mu sync.Mutex
	at map[look]int64 // Unix ms
}

// known says whether a look was written within lookEvery.
func (l *looks) known(x look, nowMs int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.at[x]
	return ok && nowMs >= at && nowMs-at < lookEvery
}

// wrote notes that a look was written.
func (l *looks) wrote(x look, nowMs int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.at) >= looksKept {
		clear(l.at)
	}
	l.at[x] = nowMs
}
