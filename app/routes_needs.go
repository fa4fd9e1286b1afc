package app

import (
	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
)

// needRoutes are what is done with a need that is there: its story, changing
// and withdrawing it.
func needRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind = apiPrefix+r.Path, API; return r }
	return []Route{
		api(Route{Method: "PATCH", Path: "/needs/:id", Name: "editNeed", Handler: (*App).editNeed, Roles: personal, Scope: ScopeNeed, Idempotent: true,
			ZH: "更改需求的数量、紧急程度、期限或说明；居民可更改自己的，限度与申请时相同", EN: "Change what a need asks for; residents change their own, within what they may ask for", Request: needEdit{}, Response: care.NeedView{}}),
		api(Route{Method: "POST", Path: "/needs/:id/withdraw", Name: "withdrawNeed", Handler: (*App).withdrawNeed, Roles: personal, Scope: ScopeNeed, Idempotent: true, Repeatable: true,
			ZH: "撤回需求", EN: "Withdraw a need", Request: needWithdrawal{}, Response: care.NeedView{}}),
		api(Route{Method: "GET", Path: "/needs/:id/story", Name: "getNeedStory", Handler: (*App).getNeedStory, Roles: personal, Scope: ScopeNeed, Purpose: "view_need_story",
			ZH: "需求的全部经过：每次决定的需求分与今日线、现况与下一步", EN: "The whole story of a need: score and line at each decision, where it stands, what comes next", Response: care.Story{}}),
		api(Route{Method: "GET", Path: "/waiting", Name: "listWaiting", Handler: (*App).listWaiting, Roles: caseworkers, Purpose: "view_waiting",
			ZH: "候补名单：位次、需求分、今日线与原因", EN: "Who waits: position, weight, line and reason", Query: waitingQuery{}, Response: list[waitingView]{}}),
		api(Route{Method: "GET", Path: "/live", Name: "getLive", Handler: (*App).getLive, Roles: everybody, Right: accounts.ToHandOver,
			ZH: "实时事件流(Server-Sent Events)，只含本人有权知道的编号与数量", EN: "What happens, as server-sent events: to each only what is theirs, ids and quantities", Query: liveQuery{}, ContentType: "text/event-stream; charset=utf-8"}),

		{Method: "GET", Path: "/waiting", Name: "showWaiting", Kind: Page, Handler: (*App).showWaiting, Roles: caseworkers, Purpose: "view_waiting",
			ZH: "候补名单", EN: "The waiting list"},
		{Method: "GET", Path: "/needs/:id", Name: "showNeed", Kind: Page, Handler: (*App).showNeed, Roles: personal, Scope: ScopeNeed, Purpose: "view_need_story",
			ZH: "需求经过", EN: "The story of a need"},
		{Method: "POST", Path: "/needs/:id/edit", Name: "saveNeedEdit", Kind: Page, Handler: (*App).saveNeedEdit, Roles: personal, Scope: ScopeNeed,
			ZH: "更改需求", EN: "Change a need"},
		{Method: "POST", Path: "/needs/:id/withdraw", Name: "saveNeedWithdrawn", Kind: Page, Handler: (*App).saveNeedWithdrawn, Roles: personal, Scope: ScopeNeed,
			ZH: "撤回需求", EN: "Withdraw a need"},
	}
}
