package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/webhooks"
)

// receiver is another system that is told what happens.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []*http.Request
	bodies []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			t.Error(err)
		}
		r.got, r.bodies = append(r.got, req), append(r.bodies, string(body))
		if r.status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// sends makes the deliveries that are due after a while.
func (w *world) sends(after time.Duration) {
	w.t.Helper()
	w.shift.Add(int64(after))
	must(w.t, w.app.Webhooks.Tick(w.t.Context()))
}

// A webhook is told what it asked for, signed, by ids only, again until it is
// taken, and no second time; what fails is seen, and what fails for long ends.
func TestWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HAPPYCODE_WEBHOOK_NETWORKS=127.0.0.0/8")
	to := newReceiver(t)
	var made hookCreated
	w.do("admin", "POST", "/api/v1/webhooks", hookRequest{URL: to.URL + "/hook", Label: "平台", Kinds: []string{"allocation.promised", "need.waiting"}}).into(t, &made)
	if !strings.HasPrefix(made.Secret, "whsec_") || made.Hook.Division != city {
		t.Fatalf("%+v", made)
	}
	var elsewhereHook hookCreated
	w.do("admin elsewhere", "POST", "/api/v1/webhooks", hookRequest{URL: to.URL + "/elsewhere"}).into(t, &elsewhereHook)

	to.answer(http.StatusInternalServerError)
	allocation := w.promised("meal")
	w.sends(2 * care.ToldMargin)
	if to.count() != 1 {
		t.Fatalf("%d deliveries, want 1", to.count())
	}
	w.sends(2 * time.Second)
	if to.count() != 1 {
		t.Fatal("it is tried again too soon")
	}
	to.answer(http.StatusFound) // where it leads is not followed
	w.sends(10 * time.Second)
	to.answer(http.StatusNoContent)
	w.sends(2 * time.Minute)
	w.sends(time.Hour)
	if to.count() != 3 {
		t.Fatalf("%d tries, want 3: two that failed, and one that was taken", to.count())
	}
	for i, req := range to.got {
		at, err := strconv.ParseInt(req.Header.Get("Webhook-Timestamp"), 10, 64)
		must(t, err)
		want, err := webhooks.Sign(made.Secret, req.Header.Get("Webhook-Id"), at, []byte(to.bodies[i]))
		must(t, err)
		if req.Header.Get("Webhook-Signature") != want || req.Header.Get("Webhook-Id") != to.got[0].Header.Get("Webhook-Id") || req.URL.Path != "/hook" {
			t.Errorf("try %d: %v", i, req.Header)
		}
	}
	var body struct {
		Type string
		Data struct{ Allocation, Resident string }
	}
	must(t, json.Unmarshal([]byte(to.bodies[0]), &body))
	if body.Type != "allocation.promised" || body.Data.Allocation != allocation || body.Data.Resident != w.person.ID {
		t.Errorf("told %s", to.bodies[0])
	}
	for _, canary := range []string{canaryName, canaryID, canaryPhone, canaryNote, w.person.CardNo} {
		if strings.Contains(to.bodies[0], canary) {
			t.Errorf("a webhook is told %s", canary)
		}
	}
	var sent list[deliveryView]
	w.do("admin", "GET", "/api/v1/webhooks/"+made.Hook.ID+"/deliveries", nil).into(t, &sent)
	if len(sent.Items) != 1 || sent.Items[0].State != webhooks.Taken || sent.Items[0].Tries != 3 || sent.Items[0].Status != 204 {
		t.Errorf("deliveries: %+v", sent.Items)
	}

	// Three days of failures end it; the page says so, and it can be turned on.
	to.answer(http.StatusInternalServerError)
	for range 4 {
		w.need(w.person, "legal")
		_, err := w.app.Care.Scan(t.Context(), adminOfAll, w.person.CardNo)
		must(t, err)
		w.sends(25 * time.Hour)
	}
	zh := header{"Accept-Language", "zh"}
	page := string(w.do("admin", "GET", "/webhooks/"+made.Hook.ID, nil, zh).body)
	if !strings.Contains(page, "已自动停用") || !strings.Contains(page, "对方答复 500") || strings.Contains(page, made.Secret) {
		t.Errorf("the page of a webhook that failed: %s", page)
	}
	tries := to.count()
	w.sends(2 * time.Hour)
	if to.count() != tries {
		t.Error("a webhook that is off is sent to")
	}
	to.answer(http.StatusOK)
	var view hookView
	w.do("admin", "PATCH", "/api/v1/webhooks/"+made.Hook.ID, hookSwitch{new(true)}).into(t, &view)
	w.sends(2 * time.Hour)
	if !view.Active || to.count() == tries {
		t.Errorf("turned on: %+v, %d tries", view, to.count()-tries)
	}
	to.answer(http.StatusGone)
	w.promised("medicine")
	w.sends(2 * care.ToldMargin)
	if h, err := w.app.Webhooks.Get(t.Context(), made.Hook.ID); err != nil || h.Active || h.Why != "gone" {
		t.Errorf("after 410: %+v, %v", h, err)
	}
}

// What is not public is not sent to, by whatever name.
func TestWebhookStaysOutside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	to := newReceiver(t)
	for _, url := range []string{"http://hook.example/x", to.URL, "https://127.0.0.1/x", "https://[::1]/x", "https://10.0.0.8/x", "https://user:pass@hook.example/", "ftp://hook.example/", "hook.example", "https://"} {
		got := w.do("admin", "POST", "/api/v1/webhooks", hookRequest{URL: url})
		if got.status != 400 || len(got.problem(t).Fields) != 1 {
			t.Errorf("%s: %d %s", url, got.status, got.body)
		}
	}
	if got := w.do("admin", "POST", "/api/v1/webhooks", hookRequest{URL: "https://hook.example/", Kinds: []string{"all"}}); got.status != 400 {
		t.Errorf("an unknown kind: %d", got.status)
	}
	// A name that leads inside is refused when it is connected to.
	port := to.URL[strings.LastIndexByte(to.URL, ':'):]
	var made hookCreated
	w.do("admin", "POST", "/api/v1/webhooks", hookRequest{URL: "https://localhost" + port + "/"}).into(t, &made)
	w.promised("meal")
	w.sends(2 * care.ToldMargin)
	var sent list[deliveryView]
	w.do("admin", "GET", "/api/v1/webhooks/"+made.Hook.ID+"/deliveries", nil).into(t, &sent)
	if to.count() != 0 || len(sent.Items) == 0 || sent.Items[0].Fault != "refused_address" {
		t.Errorf("%d arrived; %+v", to.count(), sent.Items)
	}
	if got := w.do("admin", "POST", "/webhooks", strings.NewReader("url=https://hook.example/&kinds=need.waiting"), header{"Content-Type", "application/x-www-form-urlencoded"}); got.status != 201 || !strings.Contains(string(got.body), "whsec_") {
		t.Errorf("the page: %d", got.status)
	}
}
