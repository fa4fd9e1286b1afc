package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/providers"
)

// prefix of every API address.
const apiPrefix = "/api/v1"

// apiRoutes are the rows of the JSON API.
func apiRoutes() []Route {
	rows := []Route{
		// Who is asking.
		{Method: "POST", Path: "/sessions", Name: "createSession", Handler: (*App).createSession, Public: true, Limit: LimitSignin,
			ZH: "登录，会话在 Cookie 中", EN: "Sign in; the session is in a cookie", Request: signinRequest{}, Response: meView{}, Status: 201},
		{Method: "DELETE", Path: "/sessions", Name: "deleteSession", Handler: (*App).deleteSession, Public: true,
			ZH: "退出", EN: "Sign out", Status: 204},
		{Method: "POST", Path: "/resident-sessions", Name: "createResidentSession", Handler: (*App).createResidentSession, Public: true, Limit: LimitPIN,
			ZH: "居民或代持人用幸福码和 PIN 登录", EN: "A resident or a carer signs in with code and PIN", Request: residentSigninRequest{}, Response: meView{}, Status: 201},
		{Method: "GET", Path: "/me", Name: "getMe", Handler: (*App).getMe, Roles: everybody, Right: accounts.ToEnter, CarerOK: true,
			ZH: "当前身份", EN: "Who is signed in", Response: meView{}},
		{Method: "PUT", Path: "/me/lang", Name: "putLang", Handler: (*App).putLang, Roles: everybody, Right: accounts.ToEnter, CarerOK: true,
			ZH: "设置语言", EN: "Set the language", Request: langRequest{}, Response: meView{}},
		{Method: "PUT", Path: "/me/password", Name: "putPassword", Handler: (*App).putPassword, Roles: staff, Right: accounts.ToEnter, NoToken: true, Limit: LimitSignin, Purpose: "change_password",
			ZH: "修改本人密码，其他登录即刻失效", EN: "Change one's own password; other sign-ins end at once", Request: passwordRequest{}, Response: meView{}},

		{Method: "POST", Path: "/accounts", Name: "createAccount", Handler: (*App).createAccount, Roles: admins, Purpose: "create_account", Idempotent: true,
			ZH: "新建账户", EN: "Create an account", Request: accountRequest{}, Response: accountView{}, Status: 201},
		{Method: "GET", Path: "/accounts", Name: "listAccounts", Handler: (*App).listAccounts, Roles: admins,
			ZH: "账户列表", EN: "List accounts", Query: pageQuery{}, Response: list[accountView]{}},
		{Method: "PATCH", Path: "/accounts/:id", Name: "changeAccount", Handler: (*App).changeAccount, Roles: admins, Scope: ScopeAccount, Purpose: "change_account",
			ZH: "停用、启用账户或重设密码", EN: "Disable or enable an account, or set its password", Request: accountChange{}, Response: accountView{}},
		{Method: "POST", Path: "/tokens", Name: "createToken", Handler: (*App).createToken, Roles: admins, Purpose: "create_token",
			ZH: "新建服务令牌，仅显示一次", EN: "Make a service token, shown once", Request: tokenRequest{}, Response: tokenCreated{}, Status: 201},
		{Method: "GET", Path: "/tokens", Name: "listTokens", Handler: (*App).listTokens, Roles: admins,
			ZH: "服务令牌列表", EN: "List service tokens", Query: pageQuery{}, Response: list[tokenView]{}},
		{Method: "DELETE", Path: "/tokens/:id", Name: "deleteToken", Handler: (*App).deleteToken, Roles: admins, Scope: ScopeToken, Purpose: "revoke_token",
			ZH: "吊销服务令牌", EN: "Revoke a service token", Status: 204},

		// What there is to choose from.
		{Method: "GET", Path: "/divisions", Name: "listDivisions", Handler: (*App).listDivisions, Public: true,
			ZH: "下级区划", EN: "Divisions directly below one", Query: divisionQuery{}, Response: list[divisionView]{}},
		{Method: "POST", Path: "/divisions/import", Name: "importDivisions", Handler: (*App).importDivisions, Roles: admins, Upload: true, Purpose: "import_divisions",
			ZH: "导入区划(CSV:code,name,level,parent)", EN: "Import divisions (CSV: code,name,level,parent)", Response: divisionsImported{}},
		{Method: "GET", Path: "/categories", Name: "listCategories", Handler: (*App).listCategories, Public: true,
			ZH: "帮扶类别", EN: "Kinds of aid", Response: list[providers.Category]{}},
		{Method: "GET", Path: "/groups", Name: "listGroups", Handler: (*App).listGroups, Public: true,
			ZH: "人群类别", EN: "Groups of people", Response: list[groupView]{}},
		{Method: "GET", Path: "/imports/:id", Name: "getImport", Handler: (*App).getImport, Roles: staff,
			ZH: "导入或统计的进度(import_id 由发起方选定)", EN: "How far an import or a count has come (by the import_id its sender chose)", Response: importView{}},

		// Those who give.
		{Method: "POST", Path: "/organisations", Name: "createOrganisation", Handler: (*App).createOrganisation, Public: true, Limit: LimitJoin, Purpose: "join_organisation",
			ZH: "机构入驻，待审批", EN: "An organisation joins with its first account and waits for approval", Request: joinRequest{}, Response: organisationView{}, Status: 201},
		{Method: "GET", Path: "/organisations", Name: "listOrganisations", Handler: (*App).listOrganisations, Roles: givers, Right: accounts.ToHandOver,
			ZH: "机构列表", EN: "List organisations", Query: organisationsQuery{}, Response: list[organisationView]{}},
		{Method: "GET", Path: "/organisations/:id", Name: "getOrganisation", Handler: (*App).getOrganisation, Roles: staff, Right: accounts.ToHandOver, Scope: ScopeOrganisation,
			ZH: "机构详情", EN: "One organisation", Response: organisationView{}},
		{Method: "POST", Path: "/organisations/:id/decision", Name: "decideOrganisation", Handler: (*App).decideOrganisation, Roles: admins, Scope: ScopeOrganisation, Purpose: "decide_organisation", Idempotent: true,
			ZH: "批准或停用机构", EN: "Approve or suspend an organisation", Request: decisionRequest{}, Response: organisationView{}},
		{Method: "POST", Path: "/offers", Name: "createOffer", Handler: (*App).createOffer, Roles: givers, Purpose: "create_offer", Idempotent: true,
			ZH: "发布资源", EN: "Post an offer", Request: offerRequest{}, Response: offerView{}, Status: 201},
		{Method: "GET", Path: "/offers", Name: "listOffers", Handler: (*App).listOffers, Roles: staff, Right: accounts.ToHandOver,
			ZH: "资源列表，新的在前", EN: "List offers, newest first", Query: pageQuery{}, Response: list[offerView]{}},
		{Method: "GET", Path: "/offers/:id", Name: "getOffer", Handler: (*App).getOffer, Roles: staff, Right: accounts.ToHandOver, Scope: ScopeOffer,
			ZH: "资源详情", EN: "One offer", Response: offerView{}},
		{Method: "GET", Path: "/offers/:id/stock", Name: "getStock", Handler: (*App).getStock, Roles: staff, Right: accounts.ToHandOver, Scope: ScopeOffer,
			ZH: "资源余量", EN: "What became of an offer's units", Response: list[care.ShareStock]{}},
		{Method: "GET", Path: "/offers/:id/moves", Name: "listMoves", Handler: (*App).listMoves, Roles: staff, Scope: ScopeOffer,
			ZH: "资源在县区之间的调拨，新的在前", EN: "An offer's moves between counties, newest first", Query: pageQuery{}, Response: list[care.MoveView]{}},
		{Method: "POST", Path: "/offers/:id/withdraw", Name: "withdrawOffer", Handler: (*App).withdrawOffer, Roles: givers, Scope: ScopeOwnOffer, Purpose: "withdraw_offer", Idempotent: true,
			ZH: "撤回资源，已派发的不受影响", EN: "Withdraw an offer; promises stand", Response: offerView{}},

		// Those in need.
		{Method: "POST", Path: "/residents", Name: "createResident", Handler: (*App).createResident, Roles: caseworkers, Purpose: "register_resident", Idempotent: true,
			ZH: "登记居民", EN: "Register a resident", Request: residentRequest{}, Response: residentView{}, Status: 201},
		{Method: "GET", Path: "/residents", Name: "listResidents", Handler: (*App).listResidents, Roles: caseworkers, Purpose: "list_residents",
			ZH: "居民名单", EN: "List residents", Query: residentsQuery{}, Response: list[residentView]{}},
		{Method: "POST", Path: "/residents/find", Name: "findResident", Handler: (*App).findResident, Roles: caseworkers, Limit: LimitScan, Purpose: "view_resident",
			ZH: "按身份证号或卡号查找", EN: "Find a resident by ID number or card number", Request: findRequest{}, Response: residentView{}},
		{Method: "POST", Path: "/residents/import", Name: "importResidents", Handler: (*App).importResidents, Roles: caseworkers, Upload: true, Purpose: "import_residents",
			ZH: "导入居民(XLSX 或 CSV)", EN: "Import residents (XLSX or CSV)", Response: residentsImported{}},
		{Method: "GET", Path: "/residents/:id", Name: "getResident", Handler: (*App).getResident, Roles: personal, Scope: ScopeResident, Purpose: "view_resident",
			ZH: "居民档案", EN: "One resident", Response: residentView{}},
		{Method: "GET", Path: "/residents/:id/code", Name: "getCode", Handler: (*App).getCode, Roles: personal, Scope: ScopeResident, Purpose: "view_code",
			ZH: "幸福码", EN: "The happiness code", Response: codeView{}},
		{Method: "GET", Path: "/residents/:id/code.svg", Name: "getCodeSVG", Handler: (*App).getCodeSVG, Roles: personal, Scope: ScopeResident, Purpose: "view_code",
			ZH: "幸福码图(SVG)", EN: "The code as SVG", ContentType: "image/svg+xml"},
		{Method: "GET", Path: "/residents/:id/code.png", Name: "getCodePNG", Handler: (*App).getCodePNG, Roles: personal, Scope: ScopeResident, Purpose: "view_code",
			ZH: "幸福码图(PNG)", EN: "The code as PNG", Query: pixelsQuery{}, ContentType: "image/png"},
		{Method: "POST", Path: "/residents/:id/code/reissue", Name: "reissueCode", Handler: (*App).reissueCode, Roles: caseworkers, Scope: ScopeResident, Purpose: "reissue_code", Idempotent: true,
			ZH: "补发幸福码，旧码即刻失效", EN: "Issue a new code; the old one ends at once", Request: reasonRequest{}, Response: codeView{}, Status: 201},
		{Method: "POST", Path: "/residents/:id/pin", Name: "setPIN", Handler: (*App).setPIN, Roles: caseworkers, Scope: ScopeResident, Purpose: "set_pin",
			ZH: "设置居民 PIN,已登录的即刻退出", EN: "Set a resident's PIN; their sessions end at once", Request: pinRequest{}, Status: 204},
		{Method: "PUT", Path: "/residents/:id/consent", Name: "setConsent", Handler: (*App).setConsent, Roles: caseworkers, Scope: ScopeResident, Purpose: "set_consent",
			ZH: "登记或撤回同意", EN: "Record or withdraw a resident's consent", Request: consentRequest{}, Response: residentView{}},
		{Method: "PUT", Path: "/residents/:id/status", Name: "setStatus", Handler: (*App).setStatus, Roles: caseworkers, Scope: ScopeResident, Purpose: "set_status",
			ZH: "更改居民状态", EN: "Change a resident's status", Request: statusRequest{}, Response: residentView{}},
		{Method: "GET", Path: "/residents/:id/needs", Name: "listNeeds", Handler: (*App).listNeeds, Roles: personal, Scope: ScopeResident, Purpose: "view_needs",
			ZH: "未结束的需求", EN: "Needs that have not ended", Response: list[care.NeedView]{}},
		{Method: "POST", Path: "/residents/:id/needs", Name: "createNeed", Handler: (*App).createNeed, Roles: personal, Scope: ScopeResident, Idempotent: true, Repeatable: true,
			ZH: "登记需求", EN: "Record a need", Request: needRequest{}, Response: care.NeedView{}, Status: 201},
		{Method: "GET", Path: "/residents/:id/list", Name: "listReceived", Handler: (*App).listReceived, Roles: personal, Scope: ScopeResident, Purpose: "view_list",
			ZH: "幸福清单，新的在前", EN: "The happiness list, newest first", Query: pageQuery{}, Response: list[care.AllocationView]{}},
		{Method: "GET", Path: "/residents/:id/views", Name: "listLooks", Handler: (*App).listLooks, Roles: personal, Scope: ScopeResident,
			ZH: "谁看过此档案", EN: "Who looked at this person", Query: pageQuery{}, Response: list[lookView]{}},

		// The life of a need.
		{Method: "POST", Path: "/scans", Name: "createScan", Handler: (*App).createScan, Roles: caseworkers, Limit: LimitScan,
			ZH: "扫码：识别、匹配、派发，一次完成", EN: "Scan: identify, match and promise in one step", Request: scanRequest{}, Response: care.ScanResult{}},
		{Method: "GET", Path: "/allocations/:id", Name: "getAllocation", Handler: (*App).getAllocation, Roles: personal, Scope: ScopeAllocation, Purpose: "view_allocation",
			ZH: "派发详情", EN: "One allocation", Response: care.AllocationView{}},
		{Method: "POST", Path: "/allocations/:id/accept", Name: "acceptAllocation", Handler: (*App).acceptAllocation, Roles: personal, Scope: ScopeAllocation, Idempotent: true, Repeatable: true,
			ZH: "接受派发", EN: "Accept an allocation", Response: care.AllocationView{}},
		{Method: "POST", Path: "/allocations/:id/decline", Name: "declineAllocation", Handler: (*App).declineAllocation, Roles: personal, Scope: ScopeAllocation, Idempotent: true, Repeatable: true,
			ZH: "谢绝派发", EN: "Decline an allocation", Request: declineRequest{}, Response: care.AllocationView{}},
		{Method: "POST", Path: "/allocations/:id/handover", Name: "handOverAllocation", Handler: (*App).handOverAllocation, Roles: caseworkers, Scope: ScopeAllocation, Limit: LimitScan, Idempotent: true, Repeatable: true,
			ZH: "交付", EN: "Hand over an allocation", Request: handoverRequest{}, Response: care.AllocationView{}},
		{Method: "GET", Path: "/events", Name: "listEvents", Handler: (*App).listEvents, Roles: staff,
			ZH: "事件台账，旧的在前", EN: "The ledger of events, oldest first", Query: eventsQuery{}, Response: list[eventView]{}},

		{Method: "GET", Path: "/openapi.json", Name: "getOpenAPI", Handler: (*App).getOpenAPI, Public: true,
			ZH: "接口说明(OpenAPI 3.1)", EN: "This description (OpenAPI 3.1)", ContentType: "application/vnd.oai.openapi+json;version=3.1"},
	}
	rows = append(rows, keyRoutes()...)
	for i := range rows {
		rows[i].Path, rows[i].Kind = apiPrefix+rows[i].Path, API
	}
	return rows
}

// probeRoutes are for those who watch over the program.
func probeRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/healthz", Name: "getHealth", Kind: Probe, Public: true, Handler: (*App).getHealth, ZH: "进程存活", EN: "The process answers"},
		{Method: fiber.MethodGet, Path: "/readyz", Name: "getReady", Kind: Probe, Public: true, Handler: (*App).getReady, ZH: "可以扫码", EN: "Scans can be answered"},
		{Method: fiber.MethodGet, Path: "/metrics", Name: "getMetrics", Kind: Probe, Public: true, Handler: (*App).getMetrics, ZH: "指标", EN: "Prometheus metrics"},
	}
}
