package care

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

// tellWithin is how long the write of an event may take for those who follow
// the ledger to meet it; one that took longer is told again, later.
const tellWithin = 2 * time.Second

// ToldMargin is how far behind the clock a follower of the ledger stays who
// must miss nothing: what is written within tellWithin is there by then, also
// where the servers' clocks differ by three seconds.
const ToldMargin = 5 * time.Second

// emit writes events. Their ids are made from what they tell, so that telling
// again changes nothing. What the record does not take now is told later, by
// this process. What a crash has kept back verify --repair tells, as far as the
// record still says it (see [Service.missingEvents]).
func (s *Service) emit(ctx context.Context, events ...*Event) {
	s.emitAs(ctx, false, events)
}

// emitAgain is emit for events that the record may have had without an answer.
func (s *Service) emitAgain(ctx context.Context, events ...*Event) { s.emitAs(ctx, true, events) }

func (s *Service) emitAs(ctx context.Context, again bool, events []*Event) {
	if len(events) == 0 {
		return
	}
	if err := s.tell(ctx, events, again); err != nil {
		s.log.Warn("write events later", "first", events[0].ID, "count", len(events), "error", err)
		s.keep(events)
	}
}

func (s *Service) keep(events []*Event) {
	if !s.untold.keep(events) {
		s.log.Error("events are not written: too many wait; verify --repair writes what the record still tells", "first", events[0].ID, "count", len(events))
	}
}

// emitLate writes the events that the record did not take before.
func (s *Service) emitLate(ctx context.Context) error {
	events := s.untold.take()
	if len(events) == 0 {
		return nil
	}
	if err := s.tell(ctx, events, true); err != nil {
		s.keep(events)
		return err
	}
	return nil
}

// emitLast writes at the end what is still to be told, as long as the record
// takes it.
func (s *Service) emitLast(ctx context.Context) {
	for s.untold.count() > 0 {
		if err := s.emitLate(ctx); err != nil {
			s.log.Error("events are not written; verify --repair writes what the record still tells", "count", s.untold.count(), "error", err)
			return
		}
	}
}

// tell writes events into the ledger, in the order of TellMs. A write that took
// long, or one whose first try may have been carried out without an answer
// (late), may lie where followers have passed: it is told again.
func (s *Service) tell(ctx context.Context, events []*Event, late bool) error {
	at := s.now()
	for _, e := range events {
		e.TellMs = at.UnixMilli()
	}
	dups, err := s.events.InsertAll(ctx, events)
	if err != nil {
		return err
	}
	known := make(map[int]bool, len(dups))
	for _, d := range dups {
		known[d.Position] = true
	}
	slow := s.now().Sub(at) > tellWithin
	fresh := make([]*Event, 0, len(events))
	for i, e := range events {
		if slow && !known[i] || late && known[i] {
			if err := s.tellAgain(ctx, e.ID); err != nil {
				return err
			}
		}
		if !known[i] {
			fresh = append(fresh, e)
		}
	}
	s.listeners.tell(fresh)
	return nil
}

// telling is an event that is written by a step: as its document, or as the
// addition then.
type telling struct {
	event *Event
	step  *store.Step
	then  int // -1: the step's document
}

// wrote says whether the step wrote the event.
func (t *telling) wrote() bool {
	return t.step.Err == nil && (t.then < 0 || !t.step.Then[t.then].There)
}

// tellJointly carries out steps that write events among other things, as tell
// writes them alone. After an error it is not known what was written.
func (s *Service) tellJointly(ctx context.Context, steps []*store.Step, events []*telling) error {
	at := s.now()
	for _, t := range events {
		t.event.TellMs = at.UnixMilli()
	}
	if err := store.Write(ctx, s.record, steps); err != nil {
		return err
	}
	slow := s.now().Sub(at) > tellWithin
	fresh := make([]*Event, 0, len(events))
	for _, t := range events {
		if !t.wrote() {
			continue
		}
		if slow {
			if err := s.tellAgain(ctx, t.event.ID); err != nil {
				s.keep([]*Event{t.event}) // told again later
			}
		}
		fresh = append(fresh, t.event)
	}
	s.listeners.tell(fresh)
	return nil
}

func (s *Service) tellAgain(ctx context.Context, id string) error {
	_, err := s.events.Change(ctx, id, func(e *Event) error {
		e.TellMs = s.now().UnixMilli()
		return nil
	})
	return err
}

// Told reads the ledger in the order in which it was written, from a time on
// (Unix ms) until another; after goes on behind a page. Whoever stays
// [ToldMargin] behind the clock misses nothing; an event may come twice.
func (s *Service) Told(ctx context.Context, fromMs, toMs int64, after string, limit int) ([]*Event, string, error) {
	return s.events.Find(ctx, store.Query{Index: "told", From: max(fromMs, 1), To: toMs, After: after, Limit: limit})
}

// Promise reads an allocation for what tells people of it, which audits that.
// Errors: [store.ErrNotFound].
func (s *Service) Promise(ctx context.Context, id string) (*Allocation, error) {
	return s.allocations.Get(ctx, id)
}

// Expiring are the promises to people that end from one time on (Unix ms) until
// another and that no device has, the soonest first; after goes on behind a page.
func (s *Service) Expiring(ctx context.Context, fromMs, toMs int64, after string) ([]*Allocation, string, error) {
	page, next, err := s.allocations.Find(ctx, store.Query{
		Index: "due", Equal: []any{string(Promised)}, From: fromMs, To: toMs, After: after, Limit: store.MaxPage,
	})
	return slices.DeleteFunc(page, func(a *Allocation) bool { return a.Resident == "" || a.heard() }), next, err
}

// CategoryText names a kind of aid in both languages.
func CategoryText(id string) matching.Text { return categoryText(id) }

// Listen has a function called with every event that this process writes, at
// once; it must not wait. Stop ends it.
func (s *Service) Listen(hear func([]*Event)) (stop func()) { return s.listeners.add(hear) }

// listeners hear what this process writes into the ledger.
type listeners struct {
	mu   sync.Mutex
	next int
	all  map[int]func([]*Event)
}

func (l *listeners) add(hear func([]*Event)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[int]func([]*Event){}
	}
	id := l.next
	l.next++
	l.all[id] = hear
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, id)
	}
}

func (l *listeners) tell(events []*Event) {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.all))
	l.mu.Unlock()
	for _, hear := range all { // not under the lock: who hears may have one of its own
		hear(events)
	}
}

// untold are events that the record has still to be told.
type untold struct {
	mu     sync.Mutex
	events []*Event
}

// maxUntold bounds the memory of a long fault.
const maxUntold = 100_000

// keep says whether there was room.
func (u *untold) keep(events []*Event) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.events) >= maxUntold {
		return false
	}
	u.events = append(u.events, events...)
	return true
}

func (u *untold) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.events)
}

// take hands out up to a thousand.
func (u *untold) take() []*Event {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := min(len(u.events), 1000)
	out := u.events[:n:n]
	u.events = u.events[n:]
	return out
}
