package app

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/sms"
)

// until10 moves the clock to ten in the morning in China.
func (w *world) until10() {
	w.stopClock()
	local := w.now().In(chinaTime)
	at := time.Date(local.Year(), local.Month(), local.Day(), 10, 0, 0, 0, chinaTime)
	if at.Before(local) {
		at = at.AddDate(0, 0, 1)
	}
	w.shift.Add(int64(at.Sub(local)))
}

// told waits until an event of a need is in the ledger: it is written after what
// it tells.
func (w *world) told(kind, need string) {
	w.t.Helper()
	w.until(kind+" is told", func() bool {
		now := w.now()
		events, _, err := w.app.Care.Told(w.t.Context(), now.Add(-24*time.Hour).UnixMilli(), now.Add(time.Hour).UnixMilli(), "", 1000)
		must(w.t, err)
		return slices.ContainsFunc(events, func(e *care.Event) bool { return e.Kind == kind && e.Need == need })
	})
}

// What a waiting need was promised is told by text message, once, by day, with
// the place and the time, to those who have agreed to it.
func TestTextMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.until10()
	gateway := newReceiver(t)
	texts := sms.New(sms.Config{
		Record: w.app.Record, Care: w.app.Care, Residents: w.app.Residents, Audit: w.app.Audit, Now: w.now, Logger: w.app.Logger,
		URL: gateway.URL + "/send?key=hidden", Secret: "token of the gateway",
	})
	after := func(d time.Duration) {
		t.Helper()
		w.shift.Add(int64(d))
		must(t, texts.Tick(t.Context()))
	}
	waits := func(r *residents.Resident, category string, urgency int, until time.Duration) *residents.Need {
		t.Helper()
		n := residents.NewNeed{Resident: r.ID, Category: category, QtyUnits: 1, Urgency: urgency, Source: "scan", Note: canaryNote}
		if until > 0 {
			n.UntilMs = w.now().Add(until).UnixMilli()
		}
		need, err := w.app.Care.AddNeed(t.Context(), adminOfAll, n)
		must(t, err)
		_, err = w.app.Care.Scan(t.Context(), adminOfAll, r.CardNo)
		must(t, err)
		return need
	}
	given := func(n *residents.Need) {
		t.Helper()
		w.until("the waiting need is promised", func() bool {
			got, err := w.app.Residents.NeedByID(t.Context(), n.ID)
			must(t, err)
			return got.State == residents.NeedPromised
		})
		w.told("allocation.promised", n.ID)
	}
	after(0) // what was before there was a gateway is not told

	// Without consent, nothing.
	n := waits(w.person, "counsel", 3, 0)
	w.offerNow("counsel", 1)
	given(n)
	after(time.Minute)
	after(time.Minute)
	if gateway.count() != 0 {
		t.Fatalf("somebody who has not agreed gets %s", gateway.bodies[0])
	}
	_, err := w.app.Residents.SetConsent(t.Context(), "test", w.person.ID, []string{residents.ConsentMatching, residents.ConsentSMS})
	must(t, err)

	// The gateway fails first; then the message comes again under its id.
	n = waits(w.person, "homecare", 3, 0)
	w.offerNow("homecare", 1)
	given(n)
	gateway.answer(http.StatusServiceUnavailable)
	after(10 * time.Second)
	gateway.answer(http.StatusOK)
	after(2 * time.Minute)
	after(2 * time.Minute)
	if gateway.count() != 2 {
		t.Fatalf("%d messages, want the first and its repeat", gateway.count())
	}
	var got struct {
		ID, To, Template string
		Params           map[string]string
		TextZH           string `json:"text_zh"`
		TextEN           string `json:"text_en"`
	}
	must(t, json.Unmarshal([]byte(gateway.bodies[1]), &got))
	if got.To != canaryPhone || got.Template != "given" || !strings.Contains(got.TextZH, "“即时资源”") || !strings.Contains(got.TextZH, "社区食堂") ||
		!strings.Contains(got.TextEN, "At once") || got.Params["until"] == "" || strings.Contains(gateway.bodies[1], canaryName) {
		t.Errorf("sent %s", gateway.bodies[1])
	}
	first, second := gateway.got[0].Header, gateway.got[1].Header
	if first.Get("Idempotency-Key") != second.Get("Idempotency-Key") || first.Get("Authorization") != "Bearer token of the gateway" {
		t.Errorf("headers %v and %v", first, second)
	}
	looks, _, err := w.app.Audit.Of(t.Context(), w.person.ID, "", 50)
	must(t, err)
	sent := 0
	for _, e := range looks {
		if e.Act == "send_sms" {
			sent++
		}
	}
	if sent != 2 {
		t.Errorf("%d sendings are in the audit log, want 2", sent)
	}

	// By night only what is urgent; the rest in the morning. The need that
	// nobody could serve has ended by then, and that is told too.
	w.shift.Add(int64(12*time.Hour + 30*time.Minute)) // about 22:36
	over := waits(w.person, "legal", 2, time.Hour)
	hot := waits(w.person, "medicine", 4, 0)
	w.offerNow("medicine", 1)
	given(hot)
	after(10 * time.Second)
	if gateway.count() != 3 {
		t.Fatalf("%d messages in the night, want one more: the urgent one", gateway.count())
	}
	w.shift.Add(int64(2 * time.Hour))
	w.until("the need has ended", func() bool {
		got, err := w.app.Residents.NeedByID(t.Context(), over.ID)
		must(t, err)
		return got.State == residents.NeedExpired && got.Reason.ZH != ""
	})
	w.told("need.expired", over.ID)
	after(10 * time.Second)
	if gateway.count() != 3 {
		t.Fatalf("a text message in the night: %s", gateway.bodies[len(gateway.bodies)-1])
	}
	after(7 * time.Hour)
	after(time.Minute)
	var morning []string
	for _, b := range gateway.bodies[3:] {
		must(t, json.Unmarshal([]byte(b), &got))
		morning = append(morning, got.Template)
	}
	if !slices.Contains(morning, "need_expired") {
		t.Errorf("in the morning: %v", morning)
	}
	// Two promises end between ten and three minutes past: each is called to
	// mind, once, however often it is looked at.
	after(20 * time.Minute)
	reminded := map[string]int{}
	for _, b := range gateway.bodies[3:] {
		must(t, json.Unmarshal([]byte(b), &got))
		if got.Template == "expiring" {
			reminded[got.ID]++
			if !strings.Contains(got.TextZH, "“即时资源”快到期了，请在 "+got.Params["until"]+" 前到社区食堂凭幸福码领取") || !strings.Contains(got.TextEN, "a little longer; fetch it by "+got.Params["until"]) || !strings.Contains(got.Params["until"], " 10:0") {
				t.Errorf("a reminder says %s", b)
			}
		}
	}
	if ids := slices.Collect(maps.Values(reminded)); !slices.Equal(ids, []int{1, 1}) {
		t.Errorf("reminders by promise: %v, want one for each of two", reminded)
	}
	if log := w.logs.String(); strings.Contains(log, canaryPhone) || strings.Contains(log, "key=hidden") {
		t.Error("the log holds the phone number or the gateway's key")
	}
}

// A gateway that refuses the server uses no message up and is logged; one that
// comes back after a day sends nothing stale.
func TestTextMessageGatewayRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.until10()
	gateway := newReceiver(t)
	texts := sms.New(sms.Config{
		Record: w.app.Record, Care: w.app.Care, Residents: w.app.Residents, Audit: w.app.Audit, Now: w.now, Logger: w.app.Logger, URL: gateway.URL,
	})
	after := func(d time.Duration) {
		t.Helper()
		w.shift.Add(int64(d))
		must(t, texts.Tick(t.Context()))
	}
	after(0)
	_, err := w.app.Residents.SetConsent(t.Context(), "test", w.person.ID, []string{residents.ConsentMatching, residents.ConsentSMS})
	must(t, err)
	ends := func() {
		t.Helper()
		n, err := w.app.Care.AddNeed(t.Context(), adminOfAll, residents.NewNeed{
			Resident: w.person.ID, Category: "legal", QtyUnits: 1, Urgency: 4, Source: "scan", UntilMs: w.now().Add(time.Minute).UnixMilli(),
		})
		must(t, err)
		w.shift.Add(int64(2 * time.Minute))
		w.until("the need has ended", func() bool {
			got, err := w.app.Residents.NeedByID(t.Context(), n.ID)
			must(t, err)
			return got.State == residents.NeedExpired
		})
		w.told("need.expired", n.ID)
	}
	gateway.answer(http.StatusUnauthorized)
	ends()
	after(10 * time.Second)
	for range 9 { // more than there are tries
		after(11 * time.Minute)
	}
	if gateway.count() != 10 || !strings.Contains(w.logs.String(), "refuses this server") {
		t.Errorf("%d tries, and it is not logged", gateway.count())
	}
	gateway.answer(http.StatusOK)
	after(11 * time.Minute)
	after(11 * time.Minute)
	if gateway.count() != 11 {
		t.Errorf("%d tries, want one more: it is sent when the gateway takes it", gateway.count())
	}
	ends() // and nothing is gathered for more than a day
	after(25 * time.Hour)
	after(time.Minute)
	if gateway.count() != 11 {
		t.Error("what was so a day ago is sent")
	}
}
