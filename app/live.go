package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
)

const (
	// liveTime is how long one stream lasts, in seconds; browsers then ask
	// again. Less than the answer's WriteTimeout.
	liveTime = 90
	// liveBeat is how often a stream shows that it lives, and looks whether the
	// one who asked is still signed in.
	liveBeat = 15 * time.Second
	// livePoll is how often events of other processes are looked for.
	livePoll = time.Second
	// liveBack is how far behind the last look events of other processes are
	// looked for again, and how far ahead: clocks differ.
	liveBack = time.Second
	// liveWide is how often all of that time, and [care.ToldMargin] before it, is
	// looked at again, for what was written late.
	liveWide = 10 * time.Second
	// livePages bounds a look, in pages of a thousand events. What is beyond is
	// not told one by one: every stream is to look at everything anew, once in
	// liveWide at most.
	livePages = 5
	// liveEach and liveAll bound the streams of one account and of the process.
	// One more of an account ends its oldest: most often a page that was left,
	// which shows only at the next beat; else that page asks again by itself.
	liveEach = 8
	liveAll  = 5000
	// liveQueue is how many events a slow stream may be behind; then it is told
	// to look at everything anew.
	liveQueue = 64
	// liveMissed is how many missed events a stream that comes back is told.
	liveMissed = 500
)

// liveEvent is what somebody may know of an event: ids and quantities, never a
// name.
type liveEvent struct {
	AtMs       int64  `json:"at_ms"`
	Kind       string `json:"kind"`
	County     string `json:"county,omitempty"`
	Division   string `json:"division,omitempty"`
	Resident   string `json:"resident,omitempty"`
	Need       string `json:"need,omitempty"`
	Allocation string `json:"allocation,omitempty"`
	Offer      string `json:"offer,omitempty"`
	QtyUnits   int64  `json:"qty_units"`
	tellMs     int64
}

// liveFor says what somebody may know of an event; ok false: nothing.
func (a *App) liveFor(p accounts.Principal) func(care.Event) (_ liveEvent, ok bool) {
	all := p.Role == accounts.Admin && a.seesAll(p)
	return func(e care.Event) (liveEvent, bool) {
		switch p.Role {
		case accounts.Provider:
			if e.Organisation == "" || e.Organisation != p.Organisation {
				return liveEvent{}, false
			}
			tell := e.TellMs
			e = e.ForProvider()
			e.TellMs = tell
		case accounts.Resident:
			if e.Resident == "" || e.Resident != p.Resident {
				return liveEvent{}, false
			}
		default:
			place := e.Division
			if place == "" {
				place = e.County
			}
			if !all && !p.Sees(place) {
				return liveEvent{}, false
			}
		}
		return liveEvent{e.AtMs, e.Kind, e.County, e.Division, e.Resident, e.Need, e.Allocation, e.Offer, e.QtyUnits, e.TellMs}, true
	}
}

// hub tells the streams of this process what is written into the ledger: what
// the process writes itself at once, what others write within [livePoll].
type hub struct {
	care   *care.Service
	now    func() time.Time
	shared bool // other processes serve from the same record
	pages  int  // [livePages]

	mu       sync.Mutex
	streams  map[*stream]bool
	accounts map[string][]*stream // oldest first
	stop     context.CancelFunc   // of the work that runs while there is a stream
	running  sync.WaitGroup
	closed   bool
	end      chan struct{}
	seen     map[string]int64 // ids of what was told, and when
}

// stream is one open answer.
type stream struct {
	account string
	wants   func(care.Event) (liveEvent, bool)
	events  chan liveEvent
	behind  chan struct{} // has one in it when events were dropped
	over    chan struct{} // closed when another takes its place
}

func newHub(c *care.Service, now func() time.Time, shared bool) *hub {
	return &hub{care: c, now: now, shared: shared, pages: livePages, streams: map[*stream]bool{}, accounts: map[string][]*stream{}, end: make(chan struct{}), seen: map[string]int64{}}
}

// join begins a stream. Errors: faultRate, faultNotReady.
func (h *hub) join(account string, wants func(care.Event) (liveEvent, bool)) (*stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, faultNotReady
	case len(h.streams) >= liveAll:
		return nil, faultRate
	}
	s := &stream{
		account: account, wants: wants, events: make(chan liveEvent, liveQueue), behind: make(chan struct{}, 1), over: make(chan struct{}),
	}
	own := h.accounts[account]
	if len(own) >= liveEach {
		close(own[0].over)
		own = own[1:]
	}
	h.streams[s] = true
	h.accounts[account] = append(own, s)
	if h.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		unlisten := h.care.Listen(h.tell)
		h.stop = func() { unlisten(); cancel() }
		if h.shared { // else there is no other process that serves
			h.running.Go(func() { h.poll(ctx) })
		}
	}
	return s, nil
}

func (h *hub) leave(s *stream) {
	h.mu.Lock()
	stop := context.CancelFunc(nil)
	delete(h.streams, s)
	own := slices.DeleteFunc(h.accounts[s.account], func(x *stream) bool { return x == s })
	if h.accounts[s.account] = own; len(own) == 0 {
		delete(h.accounts, s.account)
	}
	if len(h.streams) == 0 {
		stop, h.stop = h.stop, nil
	}
	h.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// close ends every stream and waits for the work behind them.
func (h *hub) close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.end)
	}
	stop := h.stop
	h.stop = nil
	h.mu.Unlock()
	if stop != nil {
		stop()
	}
	h.running.Wait()
}

// tell hands events to the streams that may know of them, each once.
func (h *hub) tell(events []*care.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		if h.seen[e.ID] >= e.TellMs {
			continue
		}
		h.seen[e.ID] = e.TellMs
		for s := range h.streams {
			x, ok := s.wants(*e)
			if !ok {
				continue
			}
			select {
			case s.events <- x:
			default:
				select {
				case s.behind <- struct{}{}:
				default:
				}
			}
		}
	}
}

// poll looks for what other processes have written.
func (h *hub) poll(ctx context.Context) {
	tick := time.NewTicker(livePoll)
	defer tick.Stop()
	x := polled{last: h.now(), wide: h.now()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.look(ctx, &x)
		}
	}
}

// polled is how far a process has looked for what others have written.
type polled struct {
	last, wide time.Time // of looks, and of wide ones
	reset      time.Time // when the streams were last told to look at everything
	skipped    bool      // something was not told since
}

// look tells what others have written since the last look.
func (h *hub) look(ctx context.Context, x *polled) {
	now := h.now()
	from, wide := x.last.Add(-liveBack), now.Sub(x.wide) >= liveWide
	if wide {
		from = x.wide.Add(-care.ToldMargin)
	}
	after := ""
	for pages := 0; ; pages++ {
		if pages == h.pages {
			x.skipped = true
			break
		}
		page, next, err := h.care.Told(ctx, from.UnixMilli(), now.Add(liveBack).UnixMilli(), after, 1000)
		if err != nil {
			return // the next look begins where this one did
		}
		h.tell(page)
		if after = next; next == "" {
			break
		}
	}
	if x.last = now; wide {
		x.wide = now
	}
	if x.skipped && now.Sub(x.reset) >= liveWide {
		x.skipped, x.reset = false, now
		h.anew()
	}
	h.forget(now.Add(-2 * (liveWide + care.ToldMargin)).UnixMilli())
}

// anew tells every stream to look at everything.
func (h *hub) anew() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		select {
		case s.behind <- struct{}{}:
		default:
		}
	}
}

// forget drops what was told long ago.
func (h *hub) forget(beforeMs int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, at := range h.seen {
		if at < beforeMs {
			delete(h.seen, id)
		}
	}
}

type liveQuery struct {
	WaitS int    `query:"wait_s" minimum:"0" maximum:"90" default:"90" description:"How long the stream stays open; 0: what was missed only."`
	After string `query:"after" description:"Id of the last event that was heard; the header Last-Event-ID says the same and counts before it."`
}

// getLive streams what happens as server-sent events, to each only what is
// theirs. A stream that comes back with the id of the last event it heard is
// told what it missed; what it cannot be told any more is one event "reset":
// look at everything anew. An event may come twice.
func (a *App) getLive(c *fiber.Ctx) error {
	wait, p := liveTime, principalOf(c)
	if s := c.Query("wait_s"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > liveTime {
			return faultField.with(fieldFault{"wait_s", words{"应为 0 至 90", "is from 0 to 90"}})
		}
		wait = n
	}
	since := int64(0)
	last := c.Get("Last-Event-ID")
	if last == "" {
		last = c.Query("after")
	}
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return faultField.with(fieldFault{"after", words{"不是事件编号", "is no id of an event"}})
		}
		since = n
	}
	c.Set(fiber.HeaderContentType, "text/event-stream; charset=utf-8")
	c.Set("X-Accel-Buffering", "no") // a proxy passes it on as it comes
	if c.Method() == fiber.MethodHead {
		return nil
	}
	s, err := a.live.join(p.Account, a.liveFor(p))
	if err != nil {
		return err
	}
	missed, reset, err := a.missed(c.UserContext(), s, since)
	if err != nil {
		a.live.leave(s)
		return err
	}
	authorization, session := c.Get(fiber.HeaderAuthorization), c.Cookies(a.cookieName(c))
	stays := func(ctx context.Context) bool { // still the same, and still signed in
		now, _, err := a.recognise(ctx, authorization, session)
		return err == nil && now.Account == p.Account && now.Role == p.Role && now.Division == p.Division && now.Organisation == p.Organisation && now.Duty == p.Duty
	}
	now := a.Now().UnixMilli()
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer a.live.leave(s)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(wait)*time.Second)
		defer cancel()
		a.write(ctx, w, s, missed, reset, now, stays)
	})
	return nil
}

// missed reads what a stream has not heard since its last event.
func (a *App) missed(ctx context.Context, s *stream, since int64) (out []liveEvent, reset bool, err error) {
	if since == 0 {
		return nil, false, nil
	}
	now, after := a.Now(), ""
	if now.UnixMilli()-since > time.Hour.Milliseconds() {
		return nil, true, nil
	}
	for read := 0; ; {
		page, next, err := a.Care.Told(ctx, since-care.ToldMargin.Milliseconds(), now.Add(care.ToldMargin).UnixMilli(), after, 1000)
		if err != nil {
			return nil, false, err
		}
		for _, e := range page {
			if x, ok := s.wants(*e); ok {
				out = append(out, x)
			}
		}
		if read += len(page); len(out) > liveMissed || read > 20*liveMissed {
			return nil, true, nil
		}
		if after = next; next == "" {
			return out, false, nil
		}
	}
}

// write is the life of a stream.
func (a *App) write(ctx context.Context, w *bufio.Writer, s *stream, missed []liveEvent, reset bool, nowMs int64, stays func(context.Context) bool) {
	send := func(x liveEvent) error {
		body, err := json.Marshal(x)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "id: %d\nevent: change\ndata: %s\n\n", x.tellMs, body)
		return err
	}
	again := func() error {
		_, err := fmt.Fprintf(w, "id: %d\nevent: reset\ndata: {}\n\n", a.Now().UnixMilli())
		return err
	}
	_, err := fmt.Fprintf(w, "retry: 2000\nid: %d\nevent: hello\ndata: {}\n\n", nowMs)
	if err == nil && reset {
		err = again()
	}
	for _, x := range missed {
		if err == nil {
			err = send(x)
		}
	}
	if err != nil || w.Flush() != nil {
		return
	}
	beat := time.NewTicker(liveBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.live.end:
			return
		case <-s.over:
			return
		case x := <-s.events:
			err = send(x)
		case <-s.behind:
			err = again()
		case <-beat.C:
			if !stays(ctx) {
				return
			}
			_, err = w.WriteString(": \n\n")
		}
		if err != nil || w.Flush() != nil {
			return
		}
	}
}
