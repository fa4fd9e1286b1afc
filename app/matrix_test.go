package app

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/webhooks"
)

// actorsInOrder are the columns of the matrix.
var actorsInOrder = []string{
	"visitor", "admin", "admin elsewhere", "caseworker", "caseworker elsewhere",
	"provider", "other provider", "resident", "other resident", "village admin", "village caseworker",
}

// How a cell may be answered:
//
//   - let in (anything but the following, and no 5xx)
//     s  sign in first: 401 for programs, a redirect to the sign-in page for GET
//     r  the role may not: 403, audited
//   - not theirs: 404, audited
type cells string

const (
	open          cells = "+++++++++++"
	adminOnly     cells = "s++rrrrrr+r"
	adminAll      cells = "s+-rrrrrr-r" // of every county
	adminHere     cells = "s+-rrrrrr-r" // of the county, or above
	adminVillage  cells = "s+-rrrrrr+r" // of the village, or above
	workers       cells = "s++++rrrr++"
	workersCounty cells = "s+-+-rrrr--" // of the county, or above
	workersHere   cells = "s+-+-rrrr++"
	given         cells = "s++rr++rr+r"
	givenHere     cells = "s+-rr+-rr-r" // own offers
	staffAll      cells = "s++++++rr++"
	staffCounty   cells = "s+-+-+-rr--" // of the county, or above
	staffHere     cells = "s+-+-+-rr++"
	anybody       cells = "s++++++++++"
	selfHere      cells = "s+-+-rr+-++" // caseworkers of the division, the resident
	selfOnly      cells = "srrrrrr++rr"
	noTokens      cells = "srrrrrrrrrr" // all here but the residents ask with one: TestPassword
)

// row says how a route is asked and what everybody gets.
type row struct {
	cells
	path string // ":id" filled in
	body func(w *world) any
	kind string // content type, if not JSON
}

// matrix has a row for every route of the table; everything in it lies in
// the county of "caseworker", "provider" and "resident".
func matrix(w *world) map[string]row {
	t := w.t
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body func(w *world) any) row { return row{cells: c, path: path, body: body} }
	form := func(c cells, path, values string) row {
		return row{cells: c, path: path, kind: "application/x-www-form-urlencoded", body: func(*world) any { return strings.NewReader(values) }}
	}
	file := func(c cells, path, csv string) row {
		const boundary = "boundary"
		return row{cells: c, path: path, kind: "multipart/form-data; boundary=" + boundary, body: func(*world) any {
			var b bytes.Buffer
			m := multipart.NewWriter(&b)
			must(t, m.SetBoundary(boundary))
			must(t, m.WriteField("import_id", "bar"))
			part, err := m.CreateFormFile("file", "file.csv")
			must(t, err)
			_, err = io.WriteString(part, csv)
			must(t, err)
			must(t, m.Close())
			return &b
		}}
	}
	account := func() string {
		a, err := w.app.Accounts.Create(t.Context(), "test", accounts.NewAccount{
			Username: fmt.Sprintf("user%d", w.next()), Password: "correct horse", Role: accounts.Caseworker, Division: county,
		})
		must(t, err)
		return a.ID
	}()
	token := func() string {
		_, tok, err := w.app.Accounts.MintToken(t.Context(), "test", accounts.NewToken{Label: "x", Role: accounts.Caseworker, Division: county})
		must(t, err)
		return tok.ID
	}()
	offer := w.offer("counsel", 5, county).ID
	need := w.need(w.person, "housing").ID
	accept, decline, handover := w.promised("grocery"), w.promised("clothing"), w.promised("medicine")
	for _, name := range []string{"admin", "admin elsewhere", "caseworker", "caseworker elsewhere", "village admin", "village caseworker"} {
		p, err := w.app.Accounts.PrincipalOfToken(t.Context(), w.actors[name].bearer)
		must(t, err)
		w.app.imports.at[p.Account+"|bar"] = importView{Done: 1, Total: 2}
	}
	const api = "/api/v1"
	person := "/residents/" + w.person.ID
	rows := map[string]row{
		"createSession":         with(open, api+"/sessions", func(w *world) any { return signinRequest{fmt.Sprintf("nobody%d", w.next()), "nothing here"} }),
		"deleteSession":         {}, // would end the session the matrix asks with: TestSignOut
		"createResidentSession": with(open, api+"/resident-sessions", func(*world) any { return residentSigninRequest{"1", "2"} }),
		"getMe":                 get(anybody, api+"/me"),
		"putPassword":           with(noTokens, api+"/me/password", func(*world) any { return passwordRequest{"correct horse", "another horse"} }),
		"putLang":               with(anybody, api+"/me/lang", func(*world) any { return langRequest{"zh"} }),
		"createAccount": with(adminVillage, api+"/accounts", func(w *world) any {
			return accountRequest{Username: fmt.Sprintf("user%d", w.next()), Password: "correct horse", Role: accounts.Caseworker, Division: village}
		}),
		"listAccounts":    get(adminOnly, api+"/accounts"),
		"changeAccount":   with(adminHere, api+"/accounts/"+account, func(*world) any { return `{"disabled":true}` }),
		"createToken":     with(adminVillage, api+"/tokens", func(*world) any { return tokenRequest{Label: "x", Role: accounts.Caseworker, Division: village} }),
		"listTokens":      get(adminOnly, api+"/tokens"),
		"deleteToken":     get(adminHere, api+"/tokens/"+token),
		"listDivisions":   get(open, api+"/divisions?parent="+county),
		"importDivisions": file(adminOnly, api+"/divisions/import", divisionsCSV),
		"listCategories":  get(open, api+"/categories"),
		"listGroups":      get(open, api+"/groups"),
		"getImport":       get(staffAll, api+"/imports/bar"),
		"createOrganisation": with(open, api+"/organisations", func(w *world) any {
			n := w.next()
			return joinRequest{
				Organisation: organisationRequest{Name: "慈善会", Kind: "charity", CreditCode: creditCode(n), Division: county},
				Account:      joinAccount{Username: fmt.Sprintf("joins%d", n), Password: "correct horse"},
			}
		}),
		"listOrganisations":  get(given, api+"/organisations"),
		"getOrganisation":    get(staffCounty, api+"/organisations/"+w.orgID),
		"decideOrganisation": with(adminHere, api+"/organisations/"+w.orgID+"/decision", func(*world) any { return decisionRequest{Status: "approved"} }),
		"createOffer": with(givenHere, api+"/offers", func(w *world) any {
			return offerRequest{Organisation: w.orgID, offerLots: offerLots{Lots: lotsFor(w, 3)}, offerTerms: offerTerms{TitleZH: "伞", Category: "discount", Divisions: []string{county}, Handover: pickup()}}
		}),
		"listOffers":    get(staffAll, api+"/offers"),
		"getOffer":      get(staffHere, api+"/offers/"+offer),
		"listMoves":     get(staffHere, api+"/offers/"+offer+"/moves"),
		"getStock":      get(staffHere, api+"/offers/"+offer+"/stock"),
		"withdrawOffer": with(givenHere, api+"/offers/"+offer+"/withdraw", nil),
		"createResident": with(workersHere, api+"/residents", func(w *world) any {
			return residentRequest{Name: "王小明", IDNumber: idNumber("33050219700101", w.next()), Division: village}
		}),
		"listResidents":      get(workersCounty, api+"/residents?division="+county),
		"findResident":       with(workersHere, api+"/residents/find", func(w *world) any { return findRequest{CardNo: w.person.CardNo} }),
		"importResidents":    file(workers, api+"/residents/import", "姓名,身份证号,区划\n"),
		"getResident":        get(selfHere, api+person),
		"getCode":            get(selfHere, api+person+"/code"),
		"getCodeSVG":         get(selfHere, api+person+"/code.svg"),
		"getCodePNG":         get(selfHere, api+person+"/code.png"),
		"reissueCode":        {},                                                                                // ends the resident's session: TestReissueCells
		"setPIN":             with(workersHere, api+person+"/pin", func(*world) any { return pinRequest{"1"} }), // a right one signs out
		"setConsent":         with(workersHere, api+person+"/consent", func(*world) any { return consentRequest{[]string{"matching"}} }),
		"setStatus":          with(workersHere, api+person+"/status", func(*world) any { return statusRequest{"active"} }),
		"listNeeds":          get(selfHere, api+person+"/needs"),
		"createNeed":         with(selfHere, api+person+"/needs", func(*world) any { return needRequest{Category: "legal", QtyUnits: 1} }),
		"withdrawNeed":       with(selfHere, api+"/needs/"+need+"/withdraw", func(*world) any { return needWithdrawal{Reason: "solved"} }),
		"listReceived":       get(selfHere, api+person+"/list"),
		"listLooks":          get(selfHere, api+person+"/views"),
		"createScan":         with(workersHere, api+"/scans", func(w *world) any { return scanRequest{w.digits(w.person)} }),
		"getAllocation":      get(selfHere, api+"/allocations/"+accept),
		"acceptAllocation":   with(selfHere, api+"/allocations/"+accept+"/accept", nil),
		"declineAllocation":  with(selfHere, api+"/allocations/"+decline+"/decline", func(*world) any { return declineRequest{"不需要"} }),
		"handOverAllocation": with(workersHere, api+"/allocations/"+handover+"/handover", func(*world) any { return handoverRequest{} }),
		"listEvents":         get(cells("s+-+-++rr--"), api+"/events?county="+county),
		"getOpenAPI":         get(open, api+"/openapi.json"),
		"listKeys":           get(open, api+"/keys"),

		"showHome":            get(open, "/"),
		"showSignin":          get(open, "/signin"),
		"saveSignin":          form(open, "/signin", "username=nobody&password=nothing"),
		"saveSignout":         {}, // as deleteSession
		"saveLang":            form(open, "/lang", "lang=zh"),
		"showJoin":            get(open, "/join"),
		"saveJoin":            form(open, "/join", "name=x"),
		"showScan":            get(workers, "/scan"),
		"showOffline":         get(workers, "/offline"),
		"getStanding":         get(open, api+"/devices/"+w.handset("caseworker").id+"/standing"),
		"saveScan":            form(workersHere, "/scan", "code="+w.person.CardNo),
		"saveFind":            form(workersHere, "/residents/find", "card="+w.person.CardNo),
		"showResidents":       get(workers, "/residents"),
		"showRegister":        get(workers, "/residents/new"),
		"saveRegister":        form(workers, "/residents/new", "name="),
		"showImport":          get(workers, "/residents/import"),
		"saveImport":          file(workers, "/residents/import", "姓名,身份证号,区划\n"),
		"showResident":        get(workersHere, person),
		"saveNeed":            form(workersHere, person+"/needs", "category=legal&qty_units=1"),
		"showCard":            get(workersHere, person+"/card"),
		"savePIN":             form(workersHere, person+"/pin", "pin=1"),
		"saveConsent":         form(workersHere, person+"/consent", "consent=matching"),
		"saveStatus":          form(workersHere, person+"/status", "status=active"),
		"saveMyPIN":           form(selfOnly, "/me/pin", "old_pin=000000&pin=1"),
		"saveNeedWithdrawn":   form(selfHere, "/needs/"+need+"/withdraw", ""),
		"showOffers":          get(staffAll, "/offers"),
		"showOfferNew":        get(given, "/offers/new"),
		"saveOffer":           form(given, "/offers/new", "title_zh="),
		"showOffer":           get(staffHere, "/offers/"+offer),
		"saveOfferWithdrawn":  form(givenHere, "/offers/"+offer+"/withdraw", ""),
		"showOrganisations":   get(adminOnly, "/organisations"),
		"saveDecision":        form(adminHere, "/organisations/"+w.orgID+"/decision", "status=approved"),
		"showAccounts":        get(adminOnly, "/accounts"),
		"saveAccount":         form(adminOnly, "/accounts", "username="),
		"saveAccountDisabled": form(adminHere, "/accounts/"+account+"/disable", "disabled=true"),
		"showTokens":          get(adminOnly, "/tokens"),
		"saveToken":           form(adminOnly, "/tokens", "label="),
		"saveTokenRevoked":    form(adminHere, "/tokens/"+token+"/revoke", ""),
		"showDivisions":       get(adminOnly, "/divisions"),
		"saveDivisions":       file(adminOnly, "/divisions/import", divisionsCSV),
		"showMe":              get(selfOnly, "/me"),
		"saveMyNeed":          form(selfOnly, "/me/needs", "category=legal&qty_units=1"),
		"saveAccepted":        form(selfHere, "/allocations/"+accept+"/accept", ""),
		"saveDeclined":        form(selfHere, "/allocations/"+decline+"/decline", "reason="),
		"saveHandedOver":      form(workersHere, "/allocations/"+handover+"/handover", "proof=scan"),
		"showCode":            get(open, "/c"),
		"showAudit":           get(adminOnly, "/audit"),
		"saveAuditCheck":      form(adminAll, "/audit/check", ""),
		"showPassword":        get(noTokens, "/password"),
		"savePassword":        form(noTokens, "/password", "password=x"),
		"serveAsset":          {}, // public files: TestAssetsArePublic
		"getHealth":           get(open, "/healthz"),
		"getReady":            get(open, "/readyz"),
		"getMetrics":          get(open, "/metrics"),
	}
	maps.Copy(rows, needRows(need))
	maps.Copy(rows, hookRows(w))
	maps.Copy(rows, offlineRows(w))
	maps.Copy(rows, reportRows(w))
	maps.Copy(rows, screenRows())
	maps.Copy(rows, carerRows(w))
	maps.Copy(rows, scannerMatrix(w))
	maps.Copy(rows, counterRows(w))
	return rows
}

// needRows are what is done with a need that is there.
func needRows(need string) map[string]row {
	return map[string]row{
		"listWaiting":  {cells("s+-+-rrrr++"), "/api/v1/waiting?county=" + county, nil, ""},
		"showWaiting":  {workers, "/waiting", nil, ""},
		"getLive":      {anybody, "/api/v1/live?wait_s=0", nil, ""},
		"editNeed":     {selfHere, "/api/v1/needs/" + need, func(*world) any { return needEdit{Reason: "other", Asked: new(int64(0))} }, ""},
		"getNeedStory": {selfHere, "/api/v1/needs/" + need + "/story", nil, ""},
		"showNeed":     {selfHere, "/needs/" + need, nil, ""},
		"saveNeedEdit": {selfHere, "/needs/" + need + "/edit", func(*world) any { return strings.NewReader("qty=1") }, "application/x-www-form-urlencoded"},
	}
}

// hookRows are webhooks; the one in the paths is of the county.
func hookRows(w *world) map[string]row {
	h, _, err := w.app.Webhooks.Create(w.t.Context(), "test", webhooks.NewHook{URL: "https://hook.example/x", Division: county})
	must(w.t, err)
	const api = "/api/v1/webhooks"
	form := "application/x-www-form-urlencoded"
	return map[string]row{
		"createWebhook":       {adminHere, api, func(*world) any { return hookRequest{URL: "https://hook.example/y", Division: county} }, ""},
		"listWebhooks":        {adminOnly, api, nil, ""},
		"switchWebhook":       {adminHere, api + "/" + h.ID, func(*world) any { return hookSwitch{new(true)} }, ""},
		"listDeliveries":      {adminHere, api + "/" + h.ID + "/deliveries", nil, ""},
		"showWebhooks":        {adminOnly, "/webhooks", nil, ""},
		"saveWebhook":         {adminOnly, "/webhooks", func(*world) any { return strings.NewReader("url=x") }, form},
		"showWebhook":         {adminHere, "/webhooks/" + h.ID, nil, ""},
		"saveWebhookSwitched": {adminHere, "/webhooks/" + h.ID + "/switch", func(*world) any { return strings.NewReader("active=true") }, form},
	}
}

// Every route × everybody: who is let in, who is sent away, and that what was
// refused stands in the audit log.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := matrix(w)
	maps.Copy(rows, cardRows())
	maps.Copy(rows, organisationRows(w))
	maps.Copy(rows, ruleRows())
	maps.Copy(rows, postingRows(w))
	maps.Copy(rows, fundRows(w))
	dutiesJoin(w)
	for _, r := range w.app.Routes() {
		row, ok := rows[r.Name]
		if !ok {
			t.Errorf("route %s %s (%s) has no row in the matrix", r.Method, r.Path, r.Name)
			continue
		}
		delete(rows, r.Name)
		if row.path == "" {
			continue
		}
		dutiesSignIn(w)
		w.residentsSignIn() // signing in or out is among the routes
		for i, actor := range append(actorsInOrder, "carer", "owner", "handover") {
			want := carerCell(r, row.cells)
			switch {
			case actor == "owner" || actor == "handover":
				want = dutyCell(r, row.cells, actor)
			case i < len(row.cells):
				want = row.cells[i]
			}
			var body any
			if row.body != nil {
				body = row.body(w)
			}
			headers := []header{{"Accept-Language", "zh"}}
			if row.kind != "" {
				headers = append(headers, header{"Content-Type", row.kind})
			}
			before := w.lastAudit()
			got := w.do(actor, r.Method, row.path, body, headers...)
			if problem := judge(r, want, got); problem != "" {
				t.Errorf("%s as %s: %s\n%.300s", r.Name, actor, problem, got.body)
			}
			if want == 'r' || want == '-' {
				if e := w.lastAudit(); e.ID == before.ID || e.Outcome != "denied" {
					t.Errorf("%s as %s: the refusal is not in the audit log: %+v", r.Name, actor, e)
				}
			}
		}
	}
	for name := range rows {
		t.Errorf("the matrix has a row %s, the table has no such route", name)
	}
}

func judge(r Route, want byte, got answer) string {
	toSignin := got.status == http.StatusSeeOther && strings.HasPrefix(got.header.Get("Location"), "/signin?next=")
	ok := false
	switch want {
	case '+':
		ok = got.status < 500 && got.status != 403 && got.status != 404 && !toSignin &&
			(got.status != 401 || r.Limit != LimitNone) && got.status != 429
	case 's':
		ok = got.status == 401 || r.Kind == Page && r.Method == "GET" && toSignin
	case 'r':
		ok = got.status == 403
	case '-':
		ok = got.status == 404
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("status %d, want %q", got.status, want)
}

// A refused look-up of another division reads exactly like one of nothing.
func TestOutsideReadsLikeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	outside := w.do("caseworker elsewhere", "GET", "/api/v1/residents/"+w.person.ID, nil)
	nothing := w.do("caseworker elsewhere", "GET", "/api/v1/residents/0190b0c0-0000-7000-8000-000000000000", nil)
	if outside.status != 404 || nothing.status != 404 || !bytes.Equal(outside.body, nothing.body) {
		t.Errorf("outside %d %s\nnothing %d %s", outside.status, outside.body, nothing.status, nothing.body)
	}
}

func TestReissueCells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/api/v1/residents/" + w.person.ID + "/code/reissue", "/residents/" + w.person.ID + "/reissue"} {
		for i, actor := range actorsInOrder {
			if workersHere[i] == '+' {
				continue
			}
			got := w.do(actor, "POST", path, nil)
			want := map[byte]int{'s': 401, 'r': 403, '-': 404}[workersHere[i]]
			if got.status != want {
				t.Errorf("%s as %s: %d, want %d", path, actor, got.status, want)
			}
		}
	}
	before, err := w.app.Residents.Get(t.Context(), w.person.ID)
	must(t, err)
	if before.Code != w.person.Code {
		t.Fatal("a refused request issued a new code")
	}
	old := w.digits(w.person)
	if got := w.do("caseworker", "POST", "/api/v1/residents/"+w.person.ID+"/code/reissue", nil); got.status != 201 {
		t.Fatalf("reissue: %d %s", got.status, got.body)
	}
	if got := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{old}); got.status != 404 {
		t.Errorf("the old code still answers %d", got.status)
	}
}

// Rights cannot be given that one does not have oneself.
func TestNobodyGrantsMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, body := range []accountRequest{
		{Username: "above", Password: "correct horse", Role: accounts.Admin, Division: city},
		{Username: "beside", Password: "correct horse", Role: accounts.Admin, Division: county},
		{Username: "foreign", Password: "correct horse", Role: accounts.Provider, Organisation: w.orgID},
		{Username: "taken", Password: "correct horse", Role: accounts.Provider, Organisation: w.orgID, Division: elsewhere},
		{Username: "taken", Password: "correct horse", Role: accounts.Provider, Organisation: w.orgID, Division: faraway},
	} {
		if got := w.do("admin elsewhere", "POST", "/api/v1/accounts", body); got.status != 404 {
			t.Errorf("%s: %d %s", body.Username, got.status, got.body)
		}
		if got := w.do("admin elsewhere", "POST", "/api/v1/tokens", tokenRequest{Label: "x", Role: body.Role, Division: body.Division, Organisation: body.Organisation}); got.status != 404 {
			t.Errorf("token like %s: %d %s", body.Username, got.status, got.body)
		}
	}
	// A village administrator does not become the county's organisation by
	// naming the own village, nor by changing an account of it.
	giver, err := w.app.Accounts.Create(t.Context(), "test", accounts.NewAccount{Username: "giver", Password: "correct horse", Role: accounts.Provider, Organisation: w.orgID})
	must(t, err)
	if got := w.do("village admin", "POST", "/api/v1/tokens", tokenRequest{Label: "x", Role: accounts.Provider, Division: village, Organisation: w.orgID}); got.status != 404 {
		t.Errorf("a token for an organisation of the county: %d %s", got.status, got.body)
	}
	if got := w.do("village admin", "PATCH", "/api/v1/accounts/"+giver.ID, `{"password":"another horse"}`); got.status != 404 {
		t.Errorf("the password of an organisation's account: %d %s", got.status, got.body)
	}
	if got := w.do("admin", "POST", "/api/v1/tokens", tokenRequest{Label: "x", Role: accounts.Provider, Division: village, Organisation: w.orgID}); got.status != 400 {
		t.Errorf("a provider with a division: %d %s", got.status, got.body)
	}
	if got := w.do("admin", "POST", "/api/v1/tokens", tokenRequest{Label: "x", Role: accounts.Provider, Organisation: w.orgID}); got.status != 201 {
		t.Errorf("the city's administrator: %d %s", got.status, got.body)
	}
	var page list[accountView]
	w.do("admin elsewhere", "GET", "/api/v1/accounts", nil).into(t, &page)
	for _, a := range page.Items {
		if !regions.Within(a.Division, elsewhere) {
			t.Errorf("the administrator of %s sees an account of %s", elsewhere, a.Division)
		}
	}
}

// Somebody of a village answers for no county, so not for its ledger either.
func TestEventsOfAWholeCountyOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.promised("meal")
	bearer, _, err := w.app.Accounts.MintToken(t.Context(), "test", accounts.NewToken{Label: "village", Role: accounts.Caseworker, Division: village})
	must(t, err)
	w.actors["village"] = &actorHeaders{bearer: bearer}
	for _, path := range []string{"/api/v1/events", "/api/v1/events?county=" + county, "/api/v1/events?county=" + village} {
		if got := w.do("village", "GET", path, nil); path != "/api/v1/events?county="+village && got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		} else if got.status == 200 && !bytes.Contains(got.body, []byte(`"items":[]`)) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	if got := w.do("caseworker", "GET", "/api/v1/events", nil); got.status != 404 {
		t.Errorf("a county's caseworker reads all counties: %d", got.status)
	}
	var all list[eventView]
	w.do("admin", "GET", "/api/v1/events", nil).into(t, &all)
	if len(all.Items) == 0 {
		t.Error("the administrator sees no events")
	}
}
