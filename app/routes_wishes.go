package app

import "github.com/xingfuma/happycode/app/care"

// wishRoutes are the wishes: shown by caseworkers, taken up by givers.
func wishRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind = apiPrefix+r.Path, API; return r }
	return []Route{
		api(Route{Method: "GET", Path: "/wishes", Name: "listWishes", Handler: (*App).listWishes, Roles: staff,
			ZH: "微心愿：可认领的，或本机构认领的及其结果；不含个人信息", EN: "Wishes that may be taken up, or those that one has, with what became of them; nothing of people", Query: wishesQuery{}, Response: list[care.WishView]{}}),
		api(Route{Method: "PUT", Path: "/needs/:id/wish", Name: "showNeedAsWish", Handler: (*App).showNeedAsWish, Roles: caseworkers, Scope: ScopeNeed,
			ZH: "经居民同意，把需求作为微心愿公开", EN: "Show a need to givers as a wish, with the resident's consent", Request: care.NewWish{}, Response: care.WishView{}}),
		api(Route{Method: "DELETE", Path: "/needs/:id/wish", Name: "hideWish", Handler: (*App).hideWish, Roles: caseworkers, Scope: ScopeNeed,
			ZH: "撤下微心愿", EN: "Take a wish off the page", Response: care.WishView{}}),
		api(Route{Method: "POST", Path: "/wishes/:id/take", Name: "takeWish", Handler: (*App).takeWish, Roles: givers, Idempotent: true,
			ZH: "认领微心愿，只有一家能认领成功", EN: "Take a wish up; one giver has it", Request: takingRequest{}, Response: care.WishView{}}),

		{Method: "GET", Path: "/wishes", Name: "showWishes", Kind: Page, Handler: (*App).showWishes, Roles: staff,
			ZH: "微心愿", EN: "Wishes"},
		{Method: "GET", Path: "/wishes/:id", Name: "showWish", Kind: Page, Handler: (*App).showWish, Roles: givers,
			ZH: "认领微心愿：表单", EN: "Take a wish up: the form"},
		{Method: "POST", Path: "/wishes/:id/take", Name: "saveWishTaken", Kind: Page, Handler: (*App).saveWishTaken, Roles: givers,
			ZH: "认领微心愿", EN: "Take a wish up"},
		{Method: "GET", Path: "/needs/:id/wish", Name: "showNeedWish", Kind: Page, Handler: (*App).showNeedWish, Roles: caseworkers, Scope: ScopeNeed, Purpose: "view_wish",
			ZH: "公开微心愿：表单", EN: "Show a need as a wish: the form"},
		{Method: "POST", Path: "/needs/:id/wish", Name: "saveNeedWish", Kind: Page, Handler: (*App).saveNeedWish, Roles: caseworkers, Scope: ScopeNeed,
			ZH: "公开微心愿", EN: "Show a need as a wish"},
		{Method: "POST", Path: "/needs/:id/wish/hide", Name: "saveWishHidden", Kind: Page, Handler: (*App).saveWishHidden, Roles: caseworkers, Scope: ScopeNeed,
			ZH: "撤下微心愿", EN: "Take a wish off the page"},
	}
}
