package app

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/qrcode"
)

// screenRows are the rows of the matrix for screenRoutes.
func screenRows() map[string]row {
	return map[string]row{
		"showMyCode":   {cells: open, path: "/me/code"},
		"listMyCodes":  {cells: selfOnly, path: apiPrefix + "/me/codes"},
		"getMyCodeSVG": {cells: selfOnly, path: apiPrefix + "/me/code.svg"},
	}
}

// forward moves the clock on to just after the begin of a step.
func (w *world) forward(d time.Duration) {
	to := w.now().Add(d)
	step := int64(qrcode.ScreenStep)
	w.shift.Add(int64(d) + (step-to.UnixNano()%step)%step + int64(time.Millisecond))
}

func (w *world) codes(actor string) codesView {
	w.t.Helper()
	var v codesView
	w.do(actor, "GET", "/api/v1/me/codes", nil).into(w.t, &v)
	return v
}

func (w *world) scans(actor, code string) int {
	w.t.Helper()
	return w.do(actor, "POST", "/api/v1/scans", scanRequest{code}).status
}

// A phone without a network shows codes for a quarter of an hour and more;
// each is good in its own window and once, and none reaches further than 20
// minutes and the window.
func TestCodesForAPhoneWithoutANetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forward(0)
	v := w.codes("resident")
	if v.Name != canaryName || v.CardNo != w.person.CardNo || v.Prefix != "http://127.0.0.1:8080/c#" {
		t.Errorf("for whom: %+v", v)
	}
	if off := w.now().UnixMilli() - v.ServerMs; off < 0 || off > 5000 {
		t.Errorf("the server's clock is %d ms off", off)
	}
	begin := v.FromStep * v.StepS * 1000
	end := begin + int64(len(v.Tokens))*v.StepS*1000
	if begin > v.ServerMs || begin+v.StepS*1000 <= v.ServerMs {
		t.Errorf("the first code begins at %d, asked at %d", begin, v.ServerMs)
	}
	if ahead := time.Duration(end-v.ServerMs) * time.Millisecond; ahead < 18*time.Minute || ahead > 20*time.Minute {
		t.Errorf("the codes reach %v ahead", ahead)
	}
	seen := map[string]bool{}
	for i, digits := range v.Tokens {
		token, err := qrcode.Parse(digits)
		must(t, err)
		if token.Kind != qrcode.Screen || int64(token.Stamp) != v.FromStep+int64(i) || token.CodeID() != w.person.Code || seen[digits] {
			t.Fatalf("code %d: kind %d, step %d, want a screen code of step %d", i, token.Kind, token.Stamp, v.FromStep+int64(i))
		}
		seen[digits] = true
	}
	if got := w.scans("caseworker", v.Tokens[2]); got != http.StatusNotFound {
		t.Errorf("a code of the next minute but one: %d", got)
	}
	for _, i := range []int{0, 17, len(v.Tokens) - 2} {
		at := time.UnixMilli(begin + int64(i)*v.StepS*1000 + 10_000)
		w.shift.Add(int64(at.Sub(w.now())))
		if got := w.scans("caseworker", v.Prefix+v.Tokens[i]); got != http.StatusOK {
			t.Errorf("code %d, shown at its time: %d", i, got)
		}
		if got := w.scans("village caseworker", v.Tokens[i]); got != http.StatusNotFound {
			t.Errorf("code %d for the second time: %d", i, got)
		}
	}
	w.shift.Add(int64(2 * time.Minute))
	if got := w.scans("caseworker", v.Tokens[len(v.Tokens)-1]); got != http.StatusNotFound {
		t.Errorf("the last code after all have run out: %d", got)
	}
}

// The same code is good once for each purpose: a scan does not use up the
// proof at the handover.
func TestAScreenCodeScansAndProves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.offer("meal", 3, county)
	w.need(w.person, "meal")
	code := w.codes("resident").Tokens[0]
	var result struct {
		Offered []struct{ ID string }
	}
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{code}).into(t, &result)
	if len(result.Offered) != 1 {
		t.Fatalf("the scan promised %+v", result)
	}
	path := "/api/v1/allocations/" + result.Offered[0].ID + "/handover"
	if got := w.do("caseworker", "POST", path, handoverRequest{Code: code}); got.status != http.StatusOK {
		t.Errorf("as a proof: %d %s", got.status, got.body)
	}
	if got := w.scans("village caseworker", code); got != http.StatusNotFound {
		t.Errorf("a scan by another: %d", got)
	}
	if got := w.scans("caseworker", code); got != http.StatusOK {
		t.Errorf("the same scan again: %d", got)
	}
}

// Only residents get codes, their own, from a session; who has no code that
// counts gets none, and is told whom to ask.
func TestWhoGetsCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	if other := w.codes("other resident"); other.CardNo != w.other.CardNo {
		t.Errorf("the other resident got the codes of %s", other.CardNo)
	}
	if got := w.do("visitor", "GET", "/api/v1/me/codes", nil); got.status != http.StatusUnauthorized {
		t.Errorf("a visitor: %d", got.status)
	}
	none := func(what string) {
		t.Helper()
		for _, path := range []string{"/api/v1/me/codes", "/api/v1/me/code.svg", "/me/code?plain=1"} {
			got := w.do("resident", "GET", path, nil)
			if got.status != http.StatusConflict || !strings.Contains(string(got.body), "村") {
				t.Errorf("%s, %s: %d %.200s", what, path, got.status, got.body)
			}
		}
	}
	for _, status := range []residents.Status{residents.Moved, residents.Deceased} {
		_, err := w.app.Residents.SetStatus(ctx, "test", w.person.ID, status)
		must(t, err)
		none(string(status))
	}
	_, err := w.app.Residents.SetStatus(ctx, "test", w.person.ID, residents.Active)
	must(t, err)
	ahead := w.codes("resident").Tokens
	must(t, w.app.Residents.Revoke(ctx, "test", w.person.Code, residents.WhyLost))
	none("revoked")
	if got := w.scans("caseworker", ahead[0]); got != http.StatusNotFound {
		t.Errorf("a code fetched before it was revoked: %d", got)
	}
	_, err = w.app.Residents.Reissue(ctx, "test", w.person.ID, residents.WhyLost)
	must(t, err)
	token, err := qrcode.Parse(w.codes("resident").Tokens[0])
	must(t, err)
	if r, err := w.app.Residents.Get(ctx, w.person.ID); err != nil || token.CodeID() != r.Code {
		t.Errorf("after the new card the page shows another code: %v", err)
	}
	if got := w.scans("caseworker", ahead[1]); got != http.StatusNotFound {
		t.Errorf("a code of the old card: %d", got)
	}
}

// A page open in every corner may ask; a program that asks on and on is
// stopped, and others are not.
func TestCodesAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	last := 0
	for range 61 {
		last = w.do("resident", "GET", "/api/v1/me/codes", nil).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the 61st bundle within a minute: %d", last)
	}
	w.codes("other resident")
}

// The page is the same whoever asks: a phone may keep it. Without scripts it
// is a picture for those who are signed in.
func TestTheCodePageNamesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chinese := header{"Accept-Language", "zh"}
	visitor := w.do("visitor", "GET", "/me/code", nil, chinese)
	mine := w.do("resident", "GET", "/me/code", nil, chinese)
	if visitor.status != 200 || string(visitor.body) != string(mine.body) {
		t.Errorf("the page differs by who asks: %d, %d", visitor.status, mine.status)
	}
	if len(visitor.header.Values("Set-Cookie")) != 0 {
		t.Error("the page sets a cookie")
	}
	wantPage(t, mine, 200, `<noscript><meta http-equiv="refresh" content="0;url=/me/code?plain=1">`)
	wantPage(t, w.do("resident", "GET", "/me/code?plain=1&elder=1", nil), 200, `<meta http-equiv="refresh" content="30">`, `src="/api/v1/me/code.svg"`, "elder")
	wantOn(t, w.do("visitor", "GET", "/me/code?plain=1", nil), `^/signin\?next=%2Fme%2Fcode$`)
	if got := w.do("caseworker", "GET", "/me/code?plain=1", nil); got.status != http.StatusForbidden {
		t.Errorf("a caseworker: %d", got.status)
	}
	svg := w.do("resident", "GET", "/api/v1/me/code.svg", nil)
	if svg.status != 200 || svg.header.Get("Content-Type") != "image/svg+xml" || svg.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the picture: %d %v", svg.status, svg.header)
	}
	signin := w.submit("visitor", "/signin", url.Values{"username": {w.person.CardNo}, "password": {"246813"}, "next": {"/me/code"}})
	wantOn(t, signin, "^/me/code$")
}
