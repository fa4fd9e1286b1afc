package app

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/webhooks"
)

// An organisation is told of its own offers and of nobody, and can have it sent
// again from the event list, under the same ids; others' hooks are not there.
func TestOrganisationsWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HAPPYCODE_WEBHOOK_NETWORKS=127.0.0.0/8")
	to := newReceiver(t)
	w.promised("meal") // before the hook is there
	w.shift.Add(int64(time.Minute))
	var made hookCreated
	w.do("provider", "POST", "/api/v1/webhooks", hookRequest{URL: to.URL + "/hook", Kinds: []string{"allocation.promised"}}).into(t, &made)
	if made.Hook.Organisation != w.orgID || made.Hook.Division != county {
		t.Fatalf("%+v", made.Hook)
	}
	var theirs hookCreated
	w.do("other provider", "POST", "/api/v1/webhooks", hookRequest{URL: to.URL + "/rival"}).into(t, &theirs)
	if got := w.do("provider", "POST", "/api/v1/webhooks", hookRequest{URL: to.URL, Division: county}); got.status != 400 {
		t.Errorf("a provider's hook for a division: %d", got.status)
	}
	allocation := w.promised("grocery")
	w.sends(2 * care.ToldMargin)
	if to.count() != 1 || to.got[0].URL.Path != "/hook" {
		t.Fatalf("%d were told", to.count())
	}
	body := to.bodies[0]
	for _, secret := range []string{w.person.ID, w.person.CardNo, allocation, canaryName, canaryPhone, village} {
		if strings.Contains(body, secret) {
			t.Errorf("an organisation is told %s: %s", secret, body)
		}
	}
	if !strings.Contains(body, `"organisation":"`+w.orgID+`"`) || !strings.Contains(body, `"qty_units":1`) {
		t.Errorf("told %s", body)
	}

	// Again: the one delivery, and since before the hook was there.
	id := to.got[0].Header.Get("Webhook-Id")
	hook := "/api/v1/webhooks/" + made.Hook.ID
	if got := w.do("other provider", "POST", hook+"/deliveries/"+id+"/again", nil); got.status != 404 {
		t.Errorf("another organisation has it sent again: %d", got.status)
	}
	if got := w.do("other provider", "POST", "/api/v1/webhooks/"+theirs.Hook.ID+"/deliveries/"+id+"/again", nil); got.status != 404 {
		t.Errorf("through its own hook: %d", got.status)
	}
	var again deliveryView
	w.do("provider", "POST", hook+"/deliveries/"+id+"/again", nil).into(t, &again)
	if again.State != webhooks.Pending || again.Tries != 0 {
		t.Errorf("%+v", again)
	}
	w.sends(time.Second)
	if to.count() != 2 || to.got[1].Header.Get("Webhook-Id") != id || to.bodies[1] != body {
		t.Fatalf("again: %d were told", to.count())
	}
	since := w.now().Add(-time.Hour).UnixMilli()
	w.shift.Add(int64(time.Minute))
	for range 2 { // the second while the first is on its way
		var sent hookReplayed
		w.do("provider", "POST", hook+"/replay", hookReplay{since}).into(t, &sent)
		if sent.Sent != 2 || sent.MoreMs != 0 {
			t.Errorf("replayed %+v", sent)
		}
	}
	w.sends(time.Second)
	if to.count() != 4 {
		t.Errorf("after the replay %d were told, want the two events once more", to.count())
	}
	if got := w.do("provider", "POST", hook+"/replay", hookReplay{1}); got.status != 400 || got.problem(t).field() != "from_ms" {
		t.Errorf("a replay of long ago: %d", got.status)
	}
	w.do("provider", "PATCH", hook, hookSwitch{new(false)})
	if got := w.do("provider", "POST", hook+"/replay", hookReplay{since}); got.status != 400 || got.problem(t).field() != "active" {
		t.Errorf("a replay to a hook that is off: %d", got.status)
	}
	var mine list[hookView]
	w.do("other provider", "GET", "/api/v1/webhooks", nil).into(t, &mine)
	if len(mine.Items) != 1 || mine.Items[0].ID != theirs.Hook.ID {
		t.Errorf("another organisation sees %+v", mine.Items)
	}
	w.do("provider", "PATCH", hook, hookSwitch{new(true)})
	w.account("boss", accounts.Provider, "", w.orgID)
	wantPage(t, w.do("page boss", "GET", "/webhooks/"+made.Hook.ID, nil), 200, "重推", "从某时起重新推送")
	if got := w.submit("page boss", "/webhooks/"+made.Hook.ID+"/replay", map[string][]string{"from": {w.now().Add(-time.Hour).In(chinaTime).Format("2006-01-02T15:04")}}); got.status != 303 {
		t.Errorf("the page's replay: %d %s", got.status, got.body)
	}
}

// stocks passes on the stock that a stream tells.
func (w *world) stocks(actor, path string) <-chan stockEvent {
	w.t.Helper()
	if w.address == "" {
		w.listen()
	}
	req, err := http.NewRequestWithContext(w.t.Context(), "GET", "http://"+w.address+path, nil)
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.actors[actor].bearer)
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // closed by the one who reads it, below
	must(w.t, err)
	if res.StatusCode != 200 {
		w.t.Fatalf("%s: %s", path, res.Status)
	}
	out := make(chan stockEvent, 100)
	go func() {
		defer res.Body.Close()
		defer close(out)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var x stockEvent
				if json.Unmarshal([]byte(data), &x) != nil {
					return
				}
				out <- x
			}
		}
	}()
	return out
}

// stocked reads a stream of stock until an offer has so many promised.
func (w *world) stocked(from <-chan stockEvent, offer string, promised int64) {
	w.t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	for {
		select {
		case x, open := <-from:
			if !open {
				w.t.Fatal("the stream has ended")
			}
			if x.Offer == offer && x.Promised == promised && x.Free+x.Held+x.Promised == x.Qty {
				return
			}
		case <-timer.C:
			w.t.Fatalf("%s with %d promised was not told", offer, promised)
		}
	}
}

// The stock of an offer, and of all of an organisation, comes as it changes; to
// others it is not there.
func TestLiveStock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	offer := w.offer("meal", 10, county)
	org := apiPrefix + "/organisations/" + w.orgID + "/stock/live"
	one, all := w.stocks("provider", apiPrefix+"/offers/"+offer.ID+"/stock/live"), w.stocks("provider", org)
	w.stocked(one, offer.ID, 0)
	w.stocked(all, offer.ID, 0)
	w.promisedOf(offer)
	w.stocked(one, offer.ID, 1)
	w.stocked(all, offer.ID, 1)
	later := w.offer("grocery", 5, county) // while the stream is open
	w.stocked(all, later.ID, 0)
	for _, path := range []string{apiPrefix + "/offers/" + offer.ID + "/stock/live", org} {
		if got := w.do("other provider", "GET", path+"?wait_s=0", nil); got.status != 404 {
			t.Errorf("%s for another organisation: %d", path, got.status)
		}
	}
}

// An owner makes tokens of the organisation, which never own and end when they
// are revoked; nobody else can.
func TestOrganisationsTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("boss", accounts.Provider, "", w.orgID)
	w.account("rival", accounts.Provider, "", w.orgRest)
	path := "/api/v1/organisations/" + w.orgID + "/tokens"
	var made tokenCreated
	w.do("page boss", "POST", path, ownTokenRequest{Label: "收银系统", Duty: accounts.HandOver}).into(t, &made)
	w.actors["till"] = &actorHeaders{bearer: made.Token}
	if got := w.do("till", "GET", "/api/v1/offers", nil); got.status != 200 {
		t.Errorf("the token: %d", got.status)
	}
	if got := w.do("till", "GET", "/api/v1/webhooks", nil); got.status != 403 {
		t.Errorf("a token for the counter reads webhooks: %d", got.status)
	}
	if got := w.do("page boss", "POST", path, ownTokenRequest{Label: "x", Duty: accounts.Owner}); got.status != 400 {
		t.Errorf("a token that owns: %d", got.status)
	}
	for actor, status := range map[string]int{"provider": 403, "page rival": 404} {
		if got := w.do(actor, "DELETE", path+"/"+made.ID, nil); got.status != status {
			t.Errorf("%s revokes it: %d, want %d", actor, got.status, status)
		}
	}
	if got := w.do("page rival", "DELETE", "/api/v1/organisations/"+w.orgRest+"/tokens/"+made.ID, nil); got.status != 404 {
		t.Errorf("through one's own organisation: %d", got.status)
	}
	page := w.submit("page boss", "/organisations/"+w.orgID+"/tokens", map[string][]string{"label": {"接口"}, "duty": {"editor"}, "days": {"30"}})
	wantPage(t, page, 201, "hct_", "接口", "收银系统")
	if got := w.do("page boss", "DELETE", path+"/"+made.ID, nil); got.status != 204 {
		t.Fatalf("revoke: %d", got.status)
	}
	if got := w.do("till", "GET", "/api/v1/offers", nil); got.status != 401 {
		t.Errorf("a revoked token: %d", got.status)
	}
}
