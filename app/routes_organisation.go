package app

import "github.com/xingfuma/happycode/app/accounts"

// organisationRoutes are what an organisation does about itself; its
// administrators may do it too.
func organisationRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind, r.Scope = apiPrefix+r.Path, API, ScopeOrganisation; return r }
	page := func(r Route) Route { r.Kind, r.Scope = Page, ScopeOrganisation; return r }
	own := func(r Route) Route { r.Roles, r.Right = givers, accounts.ToOwn; return r }
	return []Route{
		own(api(Route{Method: "GET", Path: "/organisations/:id/people", Name: "listPeople", Handler: (*App).listPeople,
			ZH: "机构的人员", EN: "People of an organisation", Query: pageQuery{}, Response: list[personView]{}})),
		own(api(Route{Method: "POST", Path: "/organisations/:id/people", Name: "createPerson", Handler: (*App).createPerson, Purpose: "add_person",
			ZH: "新增人员，初始密码仅显示一次", EN: "Add somebody; the first password is shown once", Request: personRequest{}, Response: personCreated{}, Status: 201})),
		own(api(Route{Method: "PATCH", Path: "/organisations/:id/people/:person", Name: "changePerson", Handler: (*App).changePerson, Purpose: "change_person",
			ZH: "更改职责、停用或启用、换发密码", EN: "Change somebody's duty, shut them out or let them in, draw a new password", Request: personChange{}, Response: personCreated{}})),

		{Method: "GET", Path: "/organisation", Name: "showOwnOrganisation", Kind: Page, Handler: (*App).showOwnOrganisation, Roles: onlyProviders, Right: accounts.ToHandOver,
			ZH: "本机构", EN: "One's own organisation"},
		own(page(Route{Method: "GET", Path: "/organisations/:id/people", Name: "showPeople", Handler: (*App).showPeople,
			ZH: "机构人员", EN: "People of an organisation"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/people", Name: "savePerson", Handler: (*App).savePerson, Purpose: "add_person",
			ZH: "新增人员", EN: "Add somebody to an organisation"})),
		own(page(Route{Method: "POST", Path: "/organisations/:id/people/:person", Name: "savePersonChanged", Handler: (*App).savePersonChanged, Purpose: "change_person",
			ZH: "更改人员", EN: "Change what somebody of an organisation may do"})),
	}
}
