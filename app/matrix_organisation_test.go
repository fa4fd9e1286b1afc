package app

import (
	"strings"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/documents"
	"github.com/xingfuma/happycode/providers"
)

// handoverMay are the routes that somebody who only hands over may use, besides
// those open to everybody; ownerOnly those that a provider's editor may not.
// What is new is closed to the one until it stands here.
var (
	handoverMay = names("getMe putLang putPassword showPassword savePassword listOffers getOffer getStock showOffers showOffer getLive showStart showOrganisation listOrganisations getOrganisation showOwnOrganisation showCounter saveCounterScan saveCounterHandover scanAtCounter giveAtCounter getImage")
	ownerOnly   = names("listPeople createPerson changePerson showPeople savePerson savePersonChanged listDocuments createDocument getDocument showDocuments saveDocument")
)

func names(s string) map[string]bool {
	out := map[string]bool{}
	for _, name := range strings.Fields(s) {
		out[name] = true
	}
	return out
}

// dutiesJoin adds to the matrix an owner and somebody who only hands over, of
// the organisation of "provider", whose token edits. They sign in like people.
func dutiesJoin(w *world) {
	for actor, duty := range map[string]accounts.Duty{"owner": accounts.Owner, "handover": accounts.HandOver} {
		_, err := w.app.Accounts.Create(w.t.Context(), "test", accounts.NewAccount{
			Username: "page-" + actor, Password: "long enough", Role: accounts.Provider, Organisation: w.orgID, Duty: duty,
		})
		must(w.t, err)
	}
}

func dutiesSignIn(w *world) {
	for _, actor := range []string{"owner", "handover"} {
		cookie, p, err := w.app.Accounts.SignIn(w.t.Context(), "page-"+actor, "long enough", "test")
		must(w.t, err)
		w.actors[actor] = &actorHeaders{name: actor, cookie: cookie, csrf: p.CSRF}
	}
}

// dutyCell is what an owner or somebody who only hands over gets where a
// provider with a token that edits gets that of c.
func dutyCell(r Route, c cells, actor string) byte {
	editor := c[5]
	switch {
	case c[0] == '+' || r.NoToken && handoverMay[r.Name]: // the latter: people only
		return '+'
	case actor == "handover" && !handoverMay[r.Name]:
		return 'r'
	case actor == "owner" && ownerOnly[r.Name]:
		return '+'
	}
	return editor
}

// organisationRows are the rows of what an organisation does about itself; it is
// that of "provider".
func organisationRows(w *world) map[string]row {
	const (
		owners cells = "s+-rrrrrr-r" // and the owner, which dutyCell says
		api          = apiPrefix
	)
	org := "/organisations/" + w.orgID
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body any) row {
		return row{cells: c, path: path, body: func(*world) any { return body }}
	}
	form := func(c cells, path, values string) row {
		return row{cells: c, path: path, kind: formType, body: func(*world) any { return strings.NewReader(values) }}
	}
	person, err := w.app.Accounts.Create(w.t.Context(), "test", accounts.NewAccount{
		Username: "counter", Password: "long enough", Role: accounts.Provider, Organisation: w.orgID, Duty: accounts.HandOver,
	})
	must(w.t, err)
	const place = `{"name_zh":"食堂","division":"` + village + `","address":"月河路 8 号"}`
	must(w.t, func() error {
		_, err := w.app.Providers.SetPlace(w.t.Context(), w.orgID, providers.Place{ID: "p1", NameZH: "食堂", Division: village, Address: "月河路 8 号"})
		return err
	}())
	file := func(path string) row {
		return row{cells: owners, path: path, kind: "multipart/form-data; boundary=b", body: func(*world) any {
			return strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\nlicence\r\n--b--\r\n")
		}}
	}
	paper, err := w.app.Documents.Add(w.t.Context(), "test", documents.NewDocument{Organisation: w.orgID, Kind: "licence", Type: "application/pdf", File: []byte("%PDF-1.7 %%EOF")})
	must(w.t, err)
	return map[string]row{
		"getHSDS":                 get(open, api+"/hsds"),
		"listHSDSOrganizations":   get(staffAll, api+"/hsds/organizations"),
		"getHSDSOrganization":     get(staffCounty, api+"/hsds/organizations/"+w.orgID),
		"listHSDSServices":        get(staffAll, api+"/hsds/services"),
		"getHSDSService":          get("s------rr--", api+"/hsds/services/none"), /* TestHSDS has one that is there */
		"listHSDSLocations":       get(staffAll, api+"/hsds/locations"),
		"importHSDS":              {cells: adminOnly, path: api + "/hsds/import", kind: "multipart/form-data; boundary=b", body: func(*world) any { return strings.NewReader("--b--\r\n") }},
		"listDocuments":           get(owners, api+org+"/documents"),
		"createDocument":          file(api + org + "/documents"),
		"getDocument":             get(owners, api+org+"/documents/"+paper.ID),
		"withdrawDocument":        {}, // the next who asks would find nothing: TestDocuments
		"showDocuments":           get(owners, org+"/documents"),
		"saveDocument":            file(org + "/documents"),
		"saveDocumentWithdrawn":   {}, // likewise
		"showOrganisationHistory": get(givenHere, org+"/history"),
		"changeOrganisation":      with(givenHere, api+org, `{"contact":"0572-1"}`),
		"createPlace":             with(givenHere, api+org+"/places", place),
		"changePlace":             with(givenHere, api+org+"/places/p1", place),
		"deletePlace":             {}, // as savePlaceRemoved: TestPlaces
		"showOrganisation":        get(staffCounty, org),
		"saveOrganisation":        form(givenHere, org, "contact=0572-1"),
		"showPlaceNew":            get(givenHere, org+"/places/new"),
		"savePlaceNew":            form(givenHere, org+"/places/new", "name_zh=x"),
		"showPlace":               get(givenHere, org+"/places/p1"),
		"savePlaceChanged":        form(givenHere, org+"/places/p1", "name_zh=x"),
		"savePlaceRemoved":        {}, // the next who asks would find nothing: TestPlaces
		"listPeople":              get(owners, api+org+"/people"),
		"createPerson":            with(owners, api+org+"/people", `{"username":"x","duty":"editor"}`),
		"changePerson":            with(owners, api+org+"/people/"+person.ID, `{"duty":"handover"}`),
		"showOwnOrganisation":     get("srrrr++rrrr", "/organisation"),
		"showPeople":              get(owners, org+"/people"),
		"savePerson":              form(owners, org+"/people", "username="),
		"savePersonChanged":       form(owners, org+"/people/"+person.ID, "do=duty&duty=handover"),
	}
}
