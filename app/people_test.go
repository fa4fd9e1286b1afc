package app

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/app/accounts"
)

// An owner adds a colleague for the counter, who signs in with the password
// that was shown once, sees what is offered and posts nothing; what the owner
// changes holds at once.
func TestOwnerAddsColleague(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("boss", accounts.Provider, "", w.orgID)
	people := "/api/v1/organisations/" + w.orgID + "/people"
	var made personCreated
	w.do("page boss", "POST", people, personRequest{Username: "till", DisplayName: "柜台", Duty: accounts.HandOver}).into(t, &made)
	w.browse("till", "till", made.Password)
	var me meView
	w.do("till", "GET", "/api/v1/me", nil).into(t, &me)
	if me.Duty != accounts.HandOver || me.Organisation != w.orgID {
		t.Fatalf("the colleague is %+v", me)
	}
	if got := w.do("till", "GET", "/offers", nil); got.status != 200 {
		t.Errorf("the offers of one's own organisation: %d", got.status)
	}
	for _, path := range []string{"/offers/new", "/organisations/" + w.orgID + "/people", "/api/v1/events"} {
		if got := w.do("till", "GET", path, nil); got.status != 403 {
			t.Errorf("%s for somebody who only hands over: %d", path, got.status)
		}
	}
	// The colleague cannot become more by asking for it.
	if got := w.do("till", "PATCH", people+"/"+made.ID, `{"duty":"owner"}`); got.status != 403 {
		t.Errorf("an escalation: %d", got.status)
	}
	w.do("page boss", "PATCH", people+"/"+made.ID, `{"duty":"editor"}`).into(t, &made)
	if got := w.do("till", "GET", "/api/v1/me", nil); got.status != 401 {
		t.Errorf("a session of before the change: %d", got.status)
	}
	// Of another organisation nobody is there.
	w.account("rival", accounts.Provider, "", w.orgRest)
	if got := w.do("page rival", "PATCH", people+"/"+made.ID, `{"disabled":true}`); got.status != 404 {
		t.Errorf("another organisation's owner: %d", got.status)
	}
	if got := w.do("page rival", "PATCH", "/api/v1/organisations/"+w.orgRest+"/people/"+made.ID, `{"disabled":true}`); got.status != 404 {
		t.Errorf("somebody else's person through one's own organisation: %d", got.status)
	}
	// A token never owns.
	if got := w.do("admin", "POST", "/api/v1/tokens", tokenRequest{Label: "x", Role: accounts.Provider, Organisation: w.orgID, Duty: accounts.Owner}); got.status != 400 {
		t.Errorf("a token that owns: %d", got.status)
	}
}

// One owner stays, also when two shut each other out at the same moment.
func TestOneOwnerStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	for range 20 {
		org := w.organisation(county)
		var owners []*accounts.Account
		for _, name := range []string{"a", "b"} {
			x, err := w.app.Accounts.Create(ctx, "test", accounts.NewAccount{
				Username: name + org, Password: "long enough", Role: accounts.Provider, Organisation: org, Duty: accounts.Owner,
			})
			must(t, err)
			owners = append(owners, x)
		}
		failed := make([]error, len(owners))
		var both sync.WaitGroup
		for i, x := range owners {
			both.Go(func() { failed[i] = w.app.shut(ctx, owners[1-i].ID, x, true, false) })
		}
		both.Wait()
		left, err := w.app.Accounts.Owners(ctx, org)
		must(t, err)
		var f *fault
		if len(left) != 1 || !errors.As(errors.Join(failed...), &f) || f.status != http.StatusBadRequest {
			t.Fatalf("%d owners are left: %v", len(left), failed)
		}
	}
}
