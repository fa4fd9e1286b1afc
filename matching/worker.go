package matching

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Ledger is what the worker asks of the record.
type Ledger interface {
	// Recorded says which of these allocations the record has as promised or
	// handed over.
	Recorded(ctx context.Context, ids []string) (map[string]bool, error)
	// Serve tries a waiting need again; served says whether it got something.
	Serve(ctx context.Context, county, need string) (served bool, err error)
	// Snapshot reads what the county is rebuilt from.
	Snapshot(ctx context.Context, county string) (Snapshot, error)
	// Plan draws the county's need lines when it is time to, and names the
	// waiting needs for which something can be had by them, in the order in
	// which they are to be tried. planned says whether it was time.
	Plan(ctx context.Context, county string) (reached []string, planned bool, err error)
}

const (
	// dueAtOnce is how many expired holds one question to the record covers.
	dueAtOnce = 100
	// servesPerTick is how many waiting needs one tick tries, so that one long
	// list does not hold up what else is due.
	servesPerTick = 200
	// fruitless is how many needs in a row may get nothing before the rest of
	// a list, which weighs less, is left for the next plan.
	fruitless = 20
)

// Worker keeps the counties moving: it rebuilds those that Redis has lost,
// settles holds that nobody confirmed, has the need lines drawn, and serves the
// waiting lists when something can be had. Any number of processes may run one; a lock per
// county keeps them from doubling work, and nothing depends on it.
type Worker struct {
	engine   *Engine
	ledger   Ledger
	counties func() []string
	every    time.Duration
	log      *slog.Logger
	token    string
	kicks    chan string

	mu    sync.Mutex
	rooms map[string]*room
}

// room is what the worker remembers of a county between ticks.
type room struct {
	mu      sync.Mutex // one tick of a county at a time
	freed   []list     // to be walked because something can be had
	reached []string   // needs to be tried because a plan reaches them
}

// list is how far the walk along a waiting list has come.
type list struct {
	category string
	from     int64 // offset to go on from: those before it got nothing
	inVain   int   // how many in a row got nothing
}

// NewWorker makes a worker that looks at each county every so often; 0 means
// once a second. Nil logger: the engine's.
func NewWorker(e *Engine, l Ledger, counties func() []string, every time.Duration, log *slog.Logger) *Worker {
	if every <= 0 {
		every = time.Second
	}
	if log == nil {
		log = e.log
	}
	return &Worker{
		engine: e, ledger: l, counties: counties, every: every, log: log,
		token: rand.Text(), kicks: make(chan string, 64), rooms: map[string]*room{},
	}
}

// Run works until the context ends.
func (w *Worker) Run(ctx context.Context) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	w.round(ctx, w.counties())
	for {
		select {
		case <-ctx.Done():
			w.leave(context.WithoutCancel(ctx))
			return
		case county := <-w.kicks:
			w.round(ctx, []string{county})
		case <-tick.C:
			w.round(ctx, w.counties())
		}
	}
}

// Kick has the worker look at a county at once.
func (w *Worker) Kick(county string) {
	select {
	case w.kicks <- county:
	default: // it is busy and comes by within a tick
	}
}

// round looks at the counties side by side, a few at a time, so that a slow
// one does not hold up the others.
func (w *Worker) round(ctx context.Context, counties []string) {
	var wg sync.WaitGroup
	places := make(chan struct{}, 4)
	for _, county := range counties {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			err := w.Tick(ctx, county)
			if err != nil && ctx.Err() == nil && !expected(err) {
				w.log.Error("the matcher's worker failed and tries again", "county", county, "error", err)
			}
		})
	}
	wg.Wait()
}

// expected says whether an error is what a county does: it refuses while it is
// rebuilt, and nobody is to say once more that it does not answer.
func expected(err error) bool {
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrNotReady) && !errors.Is(err, ErrUnavailable) ||
		errors.Is(err, errSilent) || errors.Is(err, errBehind)
}

// leave gives the counties to other processes.
func (w *Worker) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	for county := range w.rooms {
		w.lock(county).giveBack(ctx)
	}
}

func (w *Worker) lock(county string) lock {
	return lock{w.engine, shardKey(county, "worker"), w.token}
}

func (w *Worker) room(county string) *room {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rooms[county]
	if r == nil {
		r = &room{}
		w.rooms[county] = r
	}
	return r
}

// Tick does once what is to be done in a county. [Worker.Run] calls it; tests
// and tools may.
func (w *Worker) Tick(ctx context.Context, county string) error {
	if err := checkCounty(county); err != nil {
		return err
	}
	r := w.room(county)
	r.mu.Lock()
	defer r.mu.Unlock()
	// What nobody else can do: the backlog and the doubts are this process's
	// own, and a county that refuses must not wait for a dead process's lock.
	if err := w.restore(ctx, county); err != nil {
		return err
	}
	if err := w.engine.Flush(ctx, county); err != nil {
		return err
	}
	// Every process serves by the newest lines, whoever has drawn them.
	if err := w.engine.FollowLines(ctx, county); err != nil {
		return err
	}
	term := max(3*w.every, 3*time.Second) // so soon another process takes over from a dead one
	if mine, err := w.lock(county).take(ctx, term); err != nil || !mine {
		return err
	}
	// A plan of a large county may take longer.
	ctx, done := context.WithCancelCause(ctx)
	defer done(nil)
	go w.lock(county).hold(ctx, term, done)
	err := w.work(ctx, county, r)
	if lost := context.Cause(ctx); err != nil && errors.Is(lost, ErrBusy) {
		return fmt.Errorf("county %s: another process works: %w", county, lost)
	}
	return err
}

// work is what one process at a time does.
func (w *Worker) work(ctx context.Context, county string, r *room) error {
	if err := w.sweep(ctx, county); err != nil {
		return err
	}
	reached, planned, err := w.ledger.Plan(ctx, county)
	if err != nil {
		err = fmt.Errorf("plan: %w", err) // what became free is given all the same, by the lines there are
	}
	if planned {
		r.reached = reached
	}
	return errors.Join(err, w.serve(ctx, county, r))
}

// restore rebuilds the county if Redis does not have it, if it lies on another
// run of the server than it was written to, or if somebody doubts it.
func (w *Worker) restore(ctx context.Context, county string) error {
	needs := func(ctx context.Context) (bool, error) {
		ready, err := w.engine.Ready(ctx, county)
		if err != nil {
			return false, err
		}
		if !ready || w.engine.doubted(county) {
			return true, nil
		}
		same, err := w.engine.sameServer(ctx, county)
		return !same, err
	}
	if needed, err := needs(ctx); err != nil || !needed {
		return err
	}
	_, err := w.engine.rebuildIf(ctx, county, needs, func(ctx context.Context) (Snapshot, error) {
		w.log.Info("rebuilding a county's matcher from the record", "county", county)
		return w.ledger.Snapshot(ctx, county)
	})
	return err
}

// sweep settles the holds whose deadline has passed. The record is asked
// first: what it has becomes a promise, and only what it does not know goes
// back, and its need is tried again.
func (w *Worker) sweep(ctx context.Context, county string) error {
	for {
		due, err := w.engine.Due(ctx, county, dueAtOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		ids := make([]string, len(due))
		for i, h := range due {
			ids[i] = h.ID
		}
		recorded, err := w.ledger.Recorded(ctx, ids)
		if err != nil {
			return fmt.Errorf("ask the record about %d holds: %w", len(ids), err)
		}
		var promised, dropped []Hold
		for _, h := range due {
			if recorded[h.ID] {
				promised = append(promised, h)
			} else {
				dropped = append(dropped, h)
			}
		}
		if err := w.engine.Promise(ctx, county, promised); err != nil {
			return err
		}
		if err := w.engine.Release(ctx, county, dropped, true); err != nil {
			return err
		}
		var errs []error
		for _, h := range dropped {
			if _, err := w.ledger.Serve(ctx, county, h.Need); err != nil {
				errs = append(errs, fmt.Errorf("serve need %s: %w", h.Need, err))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if len(due) < dueAtOnce {
			return nil
		}
	}
}

// serve tries the needs that the last plan reaches, and walks the waiting lists
// of categories in which something became free since.
func (w *Worker) serve(ctx context.Context, county string, r *room) error {
	budget := servesPerTick
	for len(r.reached) > 0 && budget > 0 {
		if _, err := w.try(ctx, county, r.reached[0]); err != nil {
			return err
		}
		r.reached = r.reached[1:]
		budget--
	}
	freed, err := w.engine.Freed(ctx, county, true)
	if err != nil {
		return err
	}
	for _, category := range freed {
		r.freed = again(r.freed, category)
	}
	for len(r.freed) > 0 && budget > 0 {
		tried, more, err := w.walk(ctx, county, &r.freed[0], budget)
		budget -= tried
		if err != nil {
			return err
		}
		if !more {
			r.freed = r.freed[1:]
		}
	}
	return nil
}

// try serves one need; that it fails holds nobody else up.
func (w *Worker) try(ctx context.Context, county, need string) (served bool, err error) {
	served, err = w.ledger.Serve(ctx, county, need)
	if ctx.Err() != nil || errors.Is(err, ErrNotReady) {
		return false, err
	}
	if err != nil {
		w.log.Warn("a waiting need could not be tried", "county", county, "need", need, "error", err)
	}
	return served, nil
}

// again has a category's list walked from its head.
func again(lists []list, category string) []list {
	for i := range lists {
		if lists[i].category == category {
			lists[i] = list{category: category}
			return lists
		}
	}
	return append(lists, list{category: category})
}

// walk tries at most budget needs of a waiting list, heaviest first; more says
// whether the list goes on.
func (w *Worker) walk(ctx context.Context, county string, l *list, budget int) (tried int, more bool, err error) {
	waiters, err := w.engine.Waiting(ctx, county, l.category, l.from, int64(budget))
	if err != nil {
		return 0, true, err
	}
	for _, waiter := range waiters {
		served, err := w.try(ctx, county, waiter.Need)
		if err != nil {
			return tried, true, err
		}
		tried++
		if served {
			l.inVain = 0
			continue // it has left the list
		}
		l.from++
		if l.inVain++; l.inVain == fruitless {
			return tried, false, nil
		}
	}
	return tried, len(waiters) == budget, nil
}
