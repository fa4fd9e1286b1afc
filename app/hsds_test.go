package app

import (
	"bytes"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/hsds"
	"github.com/xingfuma/happycode/providers"
)

// The directory as HSDS: pages, what is left of an offer, nobody's own data,
// and to each only what is theirs; what comes in waits for approval.
func TestHSDS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	offer := w.offer("meal", 10, county)
	w.promisedOf(offer)
	_, err := w.app.Providers.SetPlace(t.Context(), w.orgID, providers.Place{ID: "p1", NameZH: "食堂", Division: village, Address: "月河路 8 号"})
	must(t, err)
	const api = apiPrefix + "/hsds"
	var orgs hsdsPage[hsds.Organization]
	w.do("admin", "GET", api+"/organizations?per_page=1&page=2&full=true", nil).into(t, &orgs)
	if orgs.TotalItems != 2 || orgs.TotalPages != 2 || orgs.Size != 1 || orgs.FirstPage || !orgs.LastPage || orgs.Empty || len(orgs.Contents) != 1 {
		t.Errorf("%+v", orgs)
	}
	w.do("other provider", "GET", api+"/organizations", nil).into(t, &orgs)
	if orgs.TotalItems != 1 || orgs.Contents[0].ID != w.orgRest {
		t.Errorf("another provider reads %+v", orgs)
	}
	var service hsds.Service
	w.do("caseworker", "GET", api+"/services/"+hsds.ID(offer.ID), nil).into(t, &service)
	if service.Status != "active" || len(service.Capacities) != 1 || service.Capacities[0].Available != 9 || service.Capacities[0].Maximum != 10 {
		t.Errorf("%+v", service)
	}
	for _, actor := range []string{"other provider", "caseworker elsewhere"} {
		if got := w.do(actor, "GET", api+"/services/"+hsds.ID(offer.ID), nil); got.status != 404 {
			t.Errorf("%s: %d", actor, got.status)
		}
	}
	for _, path := range []string{"/organizations?full=true", "/services?full=true", "/locations"} {
		got := w.do("admin", "GET", api+path, nil)
		for _, canary := range []string{canaryName, canaryID, canaryPhone, canaryNote} {
			if strings.Contains(string(got.body), canary) {
				t.Errorf("%s holds %s", path, canary)
			}
		}
	}
	if got := w.do("admin", "GET", api+"/services?per_page=x", nil); got.status != 400 {
		t.Errorf("a page of x: %d", got.status)
	}

	// A suspended organisation is in no directory.
	_, err = w.app.Providers.Decide(t.Context(), "test", w.orgID, providers.Suspended, "核实中")
	must(t, err)
	var services hsdsPage[hsds.Service]
	w.do("admin", "GET", api+"/services", nil).into(t, &services)
	if services.TotalItems != 0 || !services.Empty || services.TotalPages != 1 {
		t.Errorf("%+v", services)
	}

	send := func(actor, text string) answer {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		part, err := m.CreateFormFile("file", "x.json")
		must(t, err)
		_, err = part.Write([]byte(text))
		must(t, err)
		must(t, m.Close())
		return w.do(actor, "POST", api+"/import", &b, header{"Content-Type", m.FormDataContentType()})
	}
	const id = "d9d5e0f5-d3ce-4f73-9a2f-4dd0ecc6c610"
	file := `{"organizations":[{"id":"` + id + `","name":"湖州市红十字会","description":"x","organization_identifiers":[{"id":"i","identifier_type":"x","identifier":"` + creditCode(4711) +
		`"}],"attributes":[{"id":"a","label":"happycode_seat","value":"` + county + `"}]},{"id":"x"}],"services":[{"id":"d9d5e0f5-d3ce-4f73-9a2f-4dd0ecc6c699","organization_id":"` + id + `","name":"<b>急救培训</b>","status":"active"}]}`
	var out hsds.Outcome
	send("admin elsewhere", file).into(t, &out)
	if out.New != 0 || len(out.Bad) != 2 {
		t.Errorf("an administrator of elsewhere takes in %+v", out)
	}
	send("admin", file).into(t, &out)
	if out.New != 1 || len(out.Bad) != 1 || out.Bad[0].Path != "organizations[1]" {
		t.Errorf("%+v", out)
	}
	var org organisationView
	w.do("admin", "GET", "/api/v1/organisations/"+id, nil).into(t, &org)
	if org.Status != providers.Pending || org.Kind != providers.Enterprise {
		t.Errorf("%+v", org)
	}
	if got := send("admin", "nothing"); got.status != 400 || got.problem(t).Code != "bad_file" {
		t.Errorf("no document: %d", got.status)
	}
	w.account("head", "admin", city, "")
	wantPage(t, w.do("page head", "GET", "/organisations/"+id, nil), 200, "&lt;b&gt;急救培训&lt;/b&gt;")
}

// promisedOf promises one unit of an offer to the person.
func (w *world) promisedOf(o *providers.Offer) {
	w.t.Helper()
	w.need(w.person, o.Category)
	result, err := w.app.Care.Scan(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, w.person.CardNo)
	must(w.t, err)
	if len(result.Offered) == 0 {
		w.t.Fatalf("nothing was promised: %+v", result.Needs)
	}
}
