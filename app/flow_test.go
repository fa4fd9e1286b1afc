package app

import (
	"net/http"
	"testing"

	"github.com/xingfuma/happycode/app/care"
)

// The path from an organisation that joins to the happiness list, over HTTP.
func TestFromJoiningToHappinessList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var org organisationView
	w.do("visitor", "POST", "/api/v1/organisations", joinRequest{
		Organisation: organisationRequest{Name: "湖州餐饮有限公司", Kind: "enterprise", CreditCode: creditCode(77), Division: county},
		Account:      joinAccount{Username: "canyin", Password: "correct horse"},
	}).into(t, &org)
	if org.Status != "pending" {
		t.Errorf("a new organisation is %q", org.Status)
	}
	signin := w.do("visitor", "POST", "/api/v1/sessions", signinRequest{"canyin", "correct horse"})
	var me meView
	signin.into(t, &me)
	if me.Organisation != org.ID || me.CSRF == "" {
		t.Fatalf("signed in as %+v", me)
	}
	w.actors["joined"] = &actorHeaders{cookie: sessionCookie(t, signin), csrf: me.CSRF}
	terms := offerRequest{
		offerTerms: offerTerms{TitleZH: "午餐", TitleEN: "Lunch", Category: "meal", Divisions: []string{county}, CapUnits: 1, CapPeriod: "day",
			Handover: pickup()},
		offerLots: offerLots{Lots: lotsFor(w, 5)},
	}
	if got := w.do("joined", "POST", "/api/v1/offers", terms); got.status != http.StatusConflict || got.problem(t).Code != "not_approved" {
		t.Errorf("posting before approval: %d %s", got.status, got.body)
	}
	w.do("admin", "POST", "/api/v1/organisations/"+org.ID+"/decision", decisionRequest{Status: "approved"}).into(t, &org)
	var offer offerView
	w.do("joined", "POST", "/api/v1/offers", terms).into(t, &offer)

	var person residentView
	w.do("caseworker", "POST", "/api/v1/residents", residentRequest{
		Name: "李大爷", IDNumber: idNumber("33050219480808", 5), Division: village, PIN: "864209", Consent: []string{"matching"},
	}).into(t, &person)
	if got := w.do("caseworker", "POST", "/api/v1/residents", residentRequest{
		Name: "李大爷", IDNumber: idNumber("33050219480808", 5), Division: village,
	}); got.status != http.StatusConflict {
		t.Errorf("registering twice: %d", got.status)
	}
	var need care.NeedView
	w.do("caseworker", "POST", "/api/v1/residents/"+person.ID+"/needs", needRequest{Category: "meal", QtyUnits: 1}).into(t, &need)
	var code codeView
	w.do("caseworker", "GET", "/api/v1/residents/"+person.ID+"/code", nil).into(t, &code)

	var scan care.ScanResult
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{code.URL}).into(t, &scan)
	if len(scan.Offered) != 1 || scan.Offered[0].Offer != offer.ID || scan.Resident.Name != "李大爷" {
		t.Fatalf("scan: %+v", scan)
	}
	id := scan.Offered[0].ID
	var a care.AllocationView
	w.do("caseworker", "POST", "/api/v1/allocations/"+id+"/accept", nil).into(t, &a)
	w.do("caseworker", "POST", "/api/v1/allocations/"+id+"/handover", handoverRequest{Scan: scan.Scan}).into(t, &a)
	if a.State != care.HandedOver {
		t.Errorf("handed over: %+v", a)
	}
	if got := w.do("caseworker", "POST", "/api/v1/allocations/"+id+"/decline", declineRequest{}); got.status != http.StatusConflict {
		t.Errorf("declining what was handed over: %d", got.status)
	}

	in := w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{code.CardNo, "864209"})
	in.into(t, &me)
	w.actors["self"] = &actorHeaders{cookie: sessionCookie(t, in), csrf: me.CSRF}
	var happiness list[care.AllocationView]
	w.do("self", "GET", "/api/v1/residents/"+person.ID+"/list", nil).into(t, &happiness)
	if len(happiness.Items) != 1 || happiness.Items[0].State != care.HandedOver {
		t.Errorf("happiness list: %+v", happiness)
	}
	var looks list[lookView]
	w.do("self", "GET", "/api/v1/residents/"+person.ID+"/views", nil).into(t, &looks)
	acts := map[string]bool{}
	for _, l := range looks.Items {
		acts[l.Act] = true
	}
	for _, act := range []string{"register_resident", "add_need", "view_code", "scan", "accept", "handover"} {
		if !acts[act] {
			t.Errorf("who looked does not tell of %s: %v", act, acts)
		}
	}
	var stock list[care.ShareStock]
	w.do("joined", "GET", "/api/v1/offers/"+offer.ID+"/stock", nil).into(t, &stock)
	if len(stock.Items) != 1 || stock.Items[0].HandedOverUnits != 1 || stock.Items[0].FreeUnits != 4 {
		t.Errorf("stock: %+v", stock.Items)
	}
	var events list[eventView]
	w.do("joined", "GET", "/api/v1/events", nil).into(t, &events)
	if len(events.Items) < 3 {
		t.Errorf("the provider's events: %+v", events.Items)
	}
	for _, e := range events.Items {
		if e.Resident != "" || e.Need != "" || e.By != "" {
			t.Errorf("a provider sees of people: %+v", e)
		}
	}

	// A new card ends the old one and the sessions begun with it.
	w.do("caseworker", "POST", "/api/v1/residents/"+person.ID+"/code/reissue", nil).into(t, &code)
	if got := w.do("self", "GET", "/api/v1/me", nil); got.status != http.StatusUnauthorized {
		t.Errorf("the session of the old card still answers %d", got.status)
	}
}

// An organisation whose form was refused goes on with the account it made.
func TestJoiningAgainAfterARefusedField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := joinRequest{
		Organisation: organisationRequest{Name: "湖州超市", Kind: "enterprise", CreditCode: "wrong", Division: county},
		Account:      joinAccount{Username: "chaoshi", Password: "correct horse"},
	}
	if got := w.do("visitor", "POST", "/api/v1/organisations", in); got.status != 400 || got.problem(t).Fields[0].Field != "credit_code" {
		t.Fatalf("a wrong credit code: %d %s", got.status, got.body)
	}
	in.Organisation.CreditCode = creditCode(501)
	var org organisationView
	w.do("visitor", "POST", "/api/v1/organisations", in).into(t, &org)
	if got := w.do("visitor", "POST", "/api/v1/organisations", in); got.status != http.StatusConflict {
		t.Errorf("joining a second time: %d %s", got.status, got.body)
	}
	in.Account.Password = "something else"
	if got := w.do("visitor", "POST", "/api/v1/organisations", in); got.status != http.StatusConflict {
		t.Errorf("another's username: %d %s", got.status, got.body)
	}
}
