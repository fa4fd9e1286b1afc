package app

import "github.com/xingfuma/happycode/app/accounts"

// organisationRoutes are what an organisation does about itself; its
// administrators may do it too.
func organisationRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind, r.Scope = apiPrefix+r.Path, API, ScopeOrganisation; return r }
	page := func(r Route) Route { r.Kind, r.Scope = Page, ScopeOrganisation; return r }
	own := func(r Route) Route { r.Roles, r.Right = givers, accounts.ToOwn; return r }
	edit := func(r Route) Route { r.Roles = givers; return r }
	return []Route{
		edit(api(Route{Method: "PATCH", Path: "/organisations/:id", Name: "changeOrganisation", Handler: (*App).changeOrganisation, Purpose: "change_organisation", Idempotent: true,
			ZH: "更改机构资料", EN: "Change an organisation's profile", Request: profileRequest{}, Response: organisationView{}})),
		edit(api(Route{Method: "POST", Path: "/organisations/:id/places", Name: "createPlace", Handler: (*App).createPlace, Purpose: "add_place", Idempotent: true,
			ZH: "新增网点", EN: "Add a place", Request: placeRequest{}, Response: placeView{}, Status: 201})),
		edit(api(Route{Method: "PUT", Path: "/organisations/:id/places/:place", Name: "changePlace", Handler: (*App).changePlace, Purpose: "change_place",
			ZH: "更改网点", EN: "Change a place", Request: placeRequest{}, Response: placeView{}})),
		edit(api(Route{Method: "DELETE", Path: "/organisations/:id/places/:place", Name: "deletePlace", Handler: (*App).deletePlace, Purpose: "remove_place",
			ZH: "删去网点", EN: "Remove a place", Status: 204})),
		own(api(Route{Method: "GET", Path: "/organisations/:id/people", Name: "listPeople", Handler: (*App).listPeople,
			ZH: "机构的人员", EN: "People of an organisation", Query: pageQuery{}, Response: list[personView]{}})),
		own(api(Route{Method: "POST", Path: "/organisations/:id/people", Name: "createPerson", Handler: (*App).createPerson, Purpose: "add_person",
			ZH: "新增人员，初始密码仅显示一次", EN: "Add somebody; the first password is shown once", Request: personRequest{}, Response: personCreated{}, Status: 201})),
		own(api(Route{Method: "PATCH", Path: "/organisations/:id/people/:person", Name: "changePerson", Handler: (*App).changePerson, Purpose: "change_person",
			ZH: "更改职责、停用或启用、换发密码", EN: "Change somebody's duty, shut them out or let them in, draw a new password", Request: personChange{}, Response: personCreated{}})),

		own(api(Route{Method: "GET", Path: "/organisations/:id/documents", Name: "listDocuments", Handler: (*App).listDocuments,
			ZH: "机构的证照", EN: "Documents of an organisation", Response: list[documentView]{}})),
		own(api(Route{Method: "POST", Path: "/organisations/:id/documents", Name: "createDocument", Handler: (*App).createDocument, Upload: true, Purpose: "add_document",
			ZH: "上传证照(PDF、JPEG 或 PNG)", EN: "Add a document (PDF, JPEG or PNG)", Response: documentView{}, Status: 201})),
		own(api(Route{Method: "GET", Path: "/organisations/:id/documents/:document", Name: "getDocument", Handler: (*App).getDocument, Purpose: "view_document",
			ZH: "下载证照", EN: "Download a document", ContentType: "application/octet-stream"})),
		own(api(Route{Method: "DELETE", Path: "/organisations/:id/documents/:document", Name: "withdrawDocument", Handler: (*App).withdrawDocument, Purpose: "withdraw_document",
			ZH: "撤下证照", EN: "Withdraw a document; administrators see it for half a year more", Status: 204})),

		{Method: "GET", Path: "/organisation", Name: "showOwnOrganisation", Kind: Page, Handler: (*App).showOwnOrganisation, Roles: onlyProviders, Right: accounts.ToHandOver,
			ZH: "本机构", EN: "One's own organisation"},
		page(Route{Method: "GET", Path: "/organisations/:id", Name: "showOrganisation", Handler: (*App).showOrganisation, Roles: staff, Right: accounts.ToHandOver,
			ZH: "机构资料", EN: "An organisation"}),
		edit(page(Route{Method: "POST", Path: "/organisations/:id", Name: "saveOrganisation", Handler: (*App).saveOrganisation, Purpose: "change_organisation",
			ZH: "更改机构资料", EN: "Change an organisation's profile"})),
		edit(page(Route{Method: "GET", Path: "/organisations/:id/places/new", Name: "showPlaceNew", Handler: (*App).showPlaceNew,
			ZH: "新增网点：表单", EN: "Add a place: the form"})),
		edit(page(Route{Method: "POST", Path: "/organisations/:id/places/new", Name: "savePlaceNew", Handler: (*App).savePlaceNew, Purpose: "add_place",
			ZH: "新增网点", EN: "Add a place"})),
		edit(page(Route{Method: "GET", Path: "/organisations/:id/places/:place", Name: "showPlace", Handler: (*App).showPlace,
			ZH: "更改网点：表单", EN: "Change a place: the form"})),
		edit(page(Route{Method: "POST", Path: "/organisations/:id/places/:place", Name: "savePlaceChanged", Handler: (*App).savePlaceChanged, Purpose: "change_place",
			ZH: "更改网点", EN: "Change a place"})),
		edit(page(Route{Method: "POST", Path: "/organisations/:id/places/:place/remove", Name: "savePlaceRemoved", Handler: (*App).savePlaceRemoved, Purpose: "remove_place",
			ZH: "删去网点", EN: "Remove a place"})),
		own(page(Route{Method: "GET", Path: "/organisations/:id/documents", Name: "showDocuments", Handler: (*App).showDocuments,
			ZH: "机构证照", EN: "Documents of an organisation"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/documents", Name: "saveDocument", Handler: (*App).saveDocument, Upload: true, Purpose: "add_document",
			ZH: "上传证照", EN: "Add a document"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/documents/:document/withdraw", Name: "saveDocumentWithdrawn", Handler: (*App).saveDocumentWithdrawn, Purpose: "withdraw_document",
			ZH: "撤下证照", EN: "Withdraw a document"})),
		page(Route{Method: "GET", Path: "/organisations/:id/history", Name: "showOrganisationHistory", Handler: (*App).showOrganisationHistory, Roles: givers,
			ZH: "审批经过", EN: "What was decided about an organisation"}),
		own(page(Route{Method: "GET", Path: "/organisations/:id/people", Name: "showPeople", Handler: (*App).showPeople,
			ZH: "机构人员", EN: "People of an organisation"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/people", Name: "savePerson", Handler: (*App).savePerson, Purpose: "add_person",
			ZH: "新增人员", EN: "Add somebody to an organisation"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/people/:person", Name: "savePersonChanged", Handler: (*App).savePersonChanged, Purpose: "change_person",
			ZH: "更改人员", EN: "Change what somebody of an organisation may do"})),
	}
}
