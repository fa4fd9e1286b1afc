package app

import "testing"

// A phone whose session is gone learns whether to destroy its list: reported
// lost, or its account disabled. A made-up id learns nothing.
func TestStanding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stands := func(device string) bool {
		t.Helper()
		var v standingView
		w.do("visitor", "GET", "/api/v1/devices/"+device+"/standing", nil).into(t, &v)
		return v.Stands
	}
	who := w.signedInAs("session", newCaseworker("worker"))
	register := func() string {
		t.Helper()
		_, key := w.deviceKey()
		var d deviceView
		w.do(who, "POST", "/api/v1/devices", deviceRequest{Name: "手机", PublicKey: key}).into(t, &d)
		return d.ID
	}
	first, second := register(), register()
	if !stands(first) {
		t.Error("a fresh device does not stand")
	}
	got := w.do(who, "POST", "/api/v1/devices/"+first+"/lost", nil)
	if got.status != 200 {
		t.Fatalf("lost: %d %s", got.status, got.body)
	}
	w.actors[who].cookie = sessionCookie(t, got)
	if stands(first) || !stands(second) {
		t.Errorf("one of two is lost: they stand %v, %v", stands(first), stands(second))
	}
	var me meView
	w.do(who, "GET", "/api/v1/me", nil).into(t, &me)
	if got := w.do("admin", "PATCH", "/api/v1/accounts/"+me.Account, `{"disabled":true}`); got.status != 200 {
		t.Fatalf("disable: %d %s", got.status, got.body)
	}
	if stands(second) {
		t.Error("the device of a disabled account stands")
	}
	if got := w.do("visitor", "GET", "/api/v1/devices/019ab3f2-77aa-7c10-9e50-0a6b5f0e1d22/standing", nil); got.status != 404 {
		t.Errorf("a made-up device: %d", got.status)
	}
}
