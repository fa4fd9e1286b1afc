package app

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
)

// heard is one event of a stream.
type heard struct {
	id, event string
	data      liveEvent
}

// hear opens a stream and passes on what it says until the test ends or the
// stream does.
func (w *world) hear(actor, query, last string) (<-chan heard, context.CancelFunc) {
	w.t.Helper()
	if w.address == "" {
		w.listen()
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.address+"/api/v1/live"+query, nil)
	must(w.t, err)
	who := w.actors[actor]
	if who.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+who.bearer)
	}
	if who.cookie != "" {
		req.AddCookie(&http.Cookie{Name: cookiePlain, Value: who.cookie})
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // closed by the one who reads it, below
	must(w.t, err)
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		w.t.Fatalf("%s: %s %s", actor, res.Status, res.Header.Get("Content-Type"))
	}
	out := make(chan heard, 100)
	go func() {
		defer res.Body.Close()
		defer close(out)
		var h heard
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				h.id = value
			case "event":
				h.event = value
			case "data":
				if json.Unmarshal([]byte(value), &h.data) != nil {
					return
				}
			case "":
				if h.event != "" {
					out <- h
				}
				h = heard{}
			}
		}
	}()
	first := w.next1(out)
	if first.event != "hello" {
		w.t.Fatalf("%s: the stream begins with %+v", actor, first)
	}
	return out, cancel
}

// next1 is the next event of a stream.
func (w *world) next1(from <-chan heard) heard {
	w.t.Helper()
	timer := time.NewTimer(5 * time.Minute)
	defer timer.Stop()
	select {
	case h, open := <-from:
		if !open {
			w.t.Fatal("the stream has ended")
		}
		return h
	case <-timer.C:
		w.t.Fatal("nothing was heard")
	}
	return heard{}
}

// kindsUntil reads a stream until a kind is heard.
func (w *world) kindsUntil(from <-chan heard, kind string) (last heard, all []heard) {
	w.t.Helper()
	for {
		h := w.next1(from)
		all = append(all, h)
		if h.data.Kind == kind {
			return h, all
		}
	}
}

// Everybody hears at once what is theirs, and nothing of anybody else's; who
// comes back is told what was missed.
func TestLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	worker, _ := w.hear("caseworker", "", "")
	inVillage, _ := w.hear("village caseworker", "", "")
	foreign, _ := w.hear("caseworker elsewhere", "", "")
	self, leave := w.hear("resident", "", "")
	stranger, _ := w.hear("other resident", "", "")
	giver, _ := w.hear("provider", "", "")
	rival, _ := w.hear("other provider", "", "")

	allocation := w.promised("meal")
	for name, stream := range map[string]<-chan heard{"caseworker": worker, "village caseworker": inVillage, "resident": self} {
		h, all := w.kindsUntil(stream, "allocation.promised")
		if h.data.Allocation != allocation || h.data.Resident != w.person.ID || h.id == "" {
			t.Errorf("%s hears %+v", name, h)
		}
		if all[0].data.Kind != "need.opened" && name != "caseworker" {
			t.Errorf("%s hears first %+v", name, all[0])
		}
	}
	h, _ := w.kindsUntil(giver, "allocation.promised")
	if h.data.Resident != "" || h.data.Need != "" || h.data.Division != "" || strings.Contains(h.data.Allocation, allocation[:8]) {
		t.Errorf("a provider hears of a person: %+v", h)
	}

	// What is missed comes with the next stream.
	last, _ := w.kindsUntil(self, "need.promised")
	leave()
	if got := w.do("caseworker", "POST", "/api/v1/allocations/"+allocation+"/handover", handoverRequest{}); got.status != 200 {
		t.Fatalf("handover: %d %s", got.status, got.body)
	}
	again, _ := w.hear("resident", "?wait_s=0", last.id)
	w.kindsUntil(again, "allocation.handed_over")

	// Somebody else's things were never heard.
	for name, stream := range map[string]<-chan heard{"caseworker elsewhere": foreign, "other resident": stranger, "other provider": rival} {
		select {
		case h := <-stream:
			t.Errorf("%s hears %+v", name, h)
		default:
		}
	}
	if got := w.do("carer", "GET", "/api/v1/live?wait_s=0", nil); got.status != 403 {
		t.Errorf("a carer: %d", got.status)
	}
	old, _ := w.hear("caseworker", "?wait_s=0", "1000")
	if h := w.next1(old); h.event != "reset" {
		t.Errorf("long away: %+v", h)
	}
}

// Streams are bounded for each account, and end when the server stops.
func TestLiveIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var streams []<-chan heard
	for range liveEach {
		s, _ := w.hear("caseworker", "", "")
		streams = append(streams, s)
	}
	newest, _ := w.hear("caseworker", "", "") // pages that were left are not known to be
	if _, open := <-streams[0]; open {
		t.Error("one stream too many does not end the oldest")
	}
	streams = append(streams[1:], newest)
	if got := w.do("resident", "GET", "/api/v1/live?wait_s=0", nil); got.status != 200 {
		t.Errorf("somebody else's stream: %d", got.status)
	}
	w.app.live.close()
	for _, s := range streams {
		timer := time.NewTimer(5 * time.Minute)
		select {
		case h, open := <-s:
			if open {
				t.Errorf("a stopping server says %+v", h)
			}
		case <-timer.C:
			t.Error("a stream outlives the server")
		}
		timer.Stop()
	}
	if got := w.do("resident", "GET", "/api/v1/live?wait_s=0", nil); got.status != 503 {
		t.Errorf("a stream of a stopping server: %d", got.status)
	}
}

// What another process writes is told once, however often it is read; where
// there is more than can be read, every stream is told to look at everything,
// now and then.
func TestLiveOfAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stopClock()
	other := newHub(w.app.Care, w.now, true)
	s := &stream{wants: w.app.liveFor(adminOfAll), events: make(chan liveEvent, 10*liveQueue), behind: make(chan struct{}, 1)}
	other.streams[s] = true
	at := polled{last: w.now(), wide: w.now()}
	look := func(after time.Duration) (promised int) {
		w.shift.Add(int64(after))
		other.look(t.Context(), &at)
		for {
			select {
			case e := <-s.events:
				if e.Kind == "allocation.promised" {
					promised++
				}
			default:
				return promised
			}
		}
	}
	w.promised("meal")
	if n := look(livePoll); n != 1 {
		t.Fatalf("%d promises of another process are heard", n)
	}
	if n := look(livePoll) + look(liveWide) + look(liveWide); n != 0 {
		t.Errorf("a promise is heard %d times more", n)
	}
	other.pages = 0
	for _, want := range []int{1, 0} {
		look(livePoll)
		if len(s.behind) != want {
			t.Errorf("told %d times to look at everything, want %d", len(s.behind), want)
		}
		if want == 1 {
			<-s.behind
		}
	}
	if other.pages = livePages; look(liveWide) != 0 || len(s.behind) != 1 {
		t.Error("what was left out is never told")
	}
}

// The waiting list shows who waits, where, and why, to those who answer for
// them, and no full name.
func TestWaitingList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.need(w.person, "homecare")
	_, err := w.app.Care.Scan(t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.person.CardNo)
	must(t, err)
	for actor, want := range map[string]int{"caseworker": 1, "village caseworker": 1, "admin": 1} {
		var page list[waitingView]
		w.do(actor, "GET", "/api/v1/waiting?county="+county, nil).into(t, &page)
		if len(page.Items) != want {
			t.Fatalf("%s sees %+v", actor, page.Items)
		}
		x := page.Items[0]
		if x.Need != n.ID || x.Position != 1 || x.LeftUnits != 1 || x.Reason.Code == "" || x.Initial != "金＊＊" || x.WeightMilli == 0 {
			t.Errorf("%s: %+v", actor, x)
		}
	}
	var none list[waitingView]
	w.do("caseworker", "GET", "/api/v1/waiting?category=meal", nil).into(t, &none)
	if len(none.Items) != 0 {
		t.Errorf("another category: %+v", none.Items)
	}
	if got := w.do("admin", "GET", "/api/v1/waiting", nil); got.status != 400 {
		t.Errorf("of several counties one is named: %d", got.status)
	}
	page := string(w.do("village caseworker", "GET", "/waiting", nil, header{"Accept-Language", "zh"}).body)
	if !strings.Contains(page, "第 1 位") || !strings.Contains(page, "居家照护") || strings.Contains(page, canaryName) {
		t.Errorf("the page: %s", page)
	}
}
