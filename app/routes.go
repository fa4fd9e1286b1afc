package app

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
)

// Kind says what a route answers with, and so how it fails: pages with an
// HTML page, the rest with application/problem+json.
type Kind string

// The kinds.
const (
	Page  Kind = "page"
	API   Kind = "api"
	Asset Kind = "asset"
	Probe Kind = "probe" // health and metrics
)

// Scope says what ":id" in the path is, so that the guard loads it and checks
// that the one who asks may see it. What may not be seen is not found.
type Scope string

// The scopes.
const (
	ScopeNone         Scope = ""
	ScopeResident     Scope = "resident"     // residentOf; caseworkers: division; residents: themselves
	ScopeNeed         Scope = "need"         // needOf; as its resident
	ScopeAllocation   Scope = "allocation"   // allocationOf; as its resident; providers: own offers
	ScopeOffer        Scope = "offer"        // offerOf; providers: own; caseworkers: serving their division
	ScopeOwnOffer     Scope = "own offer"    // offerOf; providers: own; administrators: the organisation's seat
	ScopeDraft        Scope = "draft"        // draftOf; as own offer
	ScopeOrganisation Scope = "organisation" // organisationOf; providers: own
	ScopeAccount      Scope = "account"      // administrators: division
	ScopeToken        Scope = "token"        // administrators: division
	ScopeDevice       Scope = "device"       // deviceOf; its account; administrators: division
	ScopeOwnDevice    Scope = "own device"   // deviceOf; its account
	ScopeConflict     Scope = "conflict"     // division
	ScopeReport       Scope = "report"       // reportOf; caseworkers: division
	ScopeWebhook      Scope = "webhook"      // hookOf; administrators: division
	ScopeFund         Scope = "fund"         // fundOf; providers: own; administrators: the organisation's seat
)

// Limit names the rate limit a route counts against; see limiter.go.
type Limit string

// The limits.
const (
	LimitNone   Limit = ""
	LimitSignin Limit = "signin"
	LimitScan   Limit = "scan"
	LimitPIN    Limit = "pin"
	LimitJoin   Limit = "join"
	LimitReport Limit = "report"
	LimitCodes  Limit = "codes"
	LimitReach  Limit = "reach"
)

// Handler serves one route; it is a method of App taken as an expression.
type Handler func(*App, *fiber.Ctx) error

// Route is one row of the table.
type Route struct {
	Method string
	Path   string // Fiber's notation, ":id" for a parameter
	Name   string // unique; the operation id in OpenAPI
	Kind   Kind
	Public bool            // anybody, signed in or not; Roles is empty then
	Roles  []accounts.Role // who may
	Right  accounts.Right  // what a provider needs besides; none said: to run the organisation's affairs
	Scope  Scope
	Handler
	ZH, EN  string // what it does, in one line
	Purpose string // if set, a success is written to the audit log under this act; care audits its own
	// Query, Request and Response are zero values of the Go types of the API,
	// for OpenAPI; Status is that of success, 200 if 0.
	Query, Request, Response any
	Status                   int
	ContentType              string // of the answer, if not JSON
	Idempotent               bool   // takes an Idempotency-Key
	OwnReplay                bool   // and knows repeats by itself
	Repeatable               bool   // or is done once even when it runs twice at the same time
	Slow                     bool   // may take minutes
	Limit                    Limit
	NoToken                  bool // for people; not with a service token
	CarerOK                  bool // for residents' carers too, who otherwise get nothing that is not Public
	Upload                   bool // takes a file, up to Settings.UploadLimit
	// Shell says that a device may keep the page for when there is no network:
	// with ?shell=1 it comes without a person and without a token. Its own
	// content must name nobody either; what is personal is loaded by script.
	Shell bool
}

var ( // read only
	admins        = []accounts.Role{accounts.Admin}
	caseworkers   = []accounts.Role{accounts.Admin, accounts.Caseworker}
	givers        = []accounts.Role{accounts.Admin, accounts.Provider}
	onlyProviders = []accounts.Role{accounts.Provider}
	staff         = []accounts.Role{accounts.Admin, accounts.Caseworker, accounts.Provider}
	onlySelf      = []accounts.Role{accounts.Resident}
	personal      = []accounts.Role{accounts.Admin, accounts.Caseworker, accounts.Resident}
	everybody     = []accounts.Role{accounts.Admin, accounts.Caseworker, accounts.Provider, accounts.Resident}
)

// table is every URL there is.
func table() []Route {
	return slices.Concat(
		pageRoutes(),
		cardRoutes(),
		offlinePageRoutes(),
		apiRoutes(),
		needRoutes(),
		hookRoutes(),
		scannerRoutes(),
		counterRoutes(),
		screenRoutes(),
		carerRoutes(),
		ruleRoutes(),
		reportRoutes(),
		offlineRoutes(),
		organisationRoutes(),
		hsdsRoutes(),
		offerRoutes(),
		fundRoutes(),
		probeRoutes(),
	)
}

// pageRoutes are the HTML pages; their handlers are in page_*.go.
func pageRoutes() []Route {
	get := func(path string, h Handler, name string, r Route) Route {
		r.Method, r.Path, r.Handler, r.Name, r.Kind = fiber.MethodGet, path, h, name, Page
		return r
	}
	post := func(path string, h Handler, name string, r Route) Route {
		r.Method, r.Path, r.Handler, r.Name, r.Kind = fiber.MethodPost, path, h, name, Page
		return r
	}
	public := func(zh, en string) Route { return Route{Public: true, ZH: zh, EN: en} }
	by := func(roles []accounts.Role, zh, en string) Route { return Route{Roles: roles, ZH: zh, EN: en} }
	scoped := func(roles []accounts.Role, s Scope, purpose, zh, en string) Route {
		return Route{Roles: roles, Scope: s, Purpose: purpose, ZH: zh, EN: en}
	}
	right := func(r Route, x accounts.Right) Route { r.Right = x; return r }
	limited := func(r Route, l Limit) Route { r.Limit = l; return r }
	upload := func(r Route) Route { r.Upload = true; return r }
	people := func(r Route) Route { r.NoToken = true; return r }
	shell := func(r Route) Route { r.Shell = true; return r }
	act := func(r Route, purpose string) Route { r.Purpose = purpose; return r }

	return []Route{
		get("/", (*App).showHome, "showHome", public("首页", "Home")),
		get("/signin", (*App).showSignin, "showSignin", public("登录页", "Sign-in page")),
		post("/signin", (*App).saveSignin, "saveSignin", limited(public("登录", "Sign in"), LimitSignin)),
		post("/signout", (*App).saveSignout, "saveSignout", public("退出", "Sign out")),
		post("/lang", (*App).saveLang, "saveLang", public("切换语言", "Switch the language")),
		get("/password", (*App).showPassword, "showPassword", right(people(by(staff, "修改密码：表单", "Change one's own password: the form")), accounts.ToEnter)),
		post("/password", (*App).savePassword, "savePassword", right(limited(people(act(by(staff, "修改本人密码", "Change one's own password"), "change_password")), LimitSignin), accounts.ToEnter)),
		get("/join", (*App).showJoin, "showJoin", public("机构入驻页", "An organisation joins: the form")),
		post("/join", (*App).saveJoin, "saveJoin", limited(public("机构入驻", "An organisation joins"), LimitJoin)),
		get("/scan", (*App).showScan, "showScan", shell(by(caseworkers, "扫码页", "Scan page"))),
		post("/scan", (*App).saveScan, "saveScan", limited(by(caseworkers, "扫码（无脚本时手工输入）", "Scan by typing, without scripts"), LimitScan)),
		post("/residents/find", (*App).saveFind, "saveFind", limited(by(caseworkers, "按卡号查找居民", "Find a resident by card number"), LimitScan)),
		get("/residents", (*App).showResidents, "showResidents", act(by(caseworkers, "居民名单", "List of residents"), "list_residents")),
		get("/residents/new", (*App).showRegister, "showRegister", by(caseworkers, "登记居民：表单", "Register a resident: the form")),
		post("/residents/new", (*App).saveRegister, "saveRegister", act(by(caseworkers, "登记居民", "Register a resident"), "register_resident")),
		get("/residents/import", (*App).showImport, "showImport", by(caseworkers, "导入居民：表单", "Import residents: the form")),
		post("/residents/import", (*App).saveImport, "saveImport", upload(act(by(caseworkers, "导入居民", "Import residents"), "import_residents"))),
		get("/residents/:id", (*App).showResident, "showResident", scoped(caseworkers, ScopeResident, "view_resident", "居民档案", "A resident")),
		post("/residents/:id/needs", (*App).saveNeed, "saveNeed", scoped(caseworkers, ScopeResident, "", "登记需求", "Record a need")),
		get("/residents/:id/card", (*App).showCard, "showCard", scoped(caseworkers, ScopeResident, "view_code", "打印幸福码", "Printable card")),
		post("/residents/:id/pin", (*App).savePIN, "savePIN", scoped(caseworkers, ScopeResident, "set_pin", "设置居民 PIN", "Set a resident's PIN")),
		post("/residents/:id/consent", (*App).saveConsent, "saveConsent", scoped(caseworkers, ScopeResident, "set_consent", "登记或撤回同意", "Record or withdraw a consent")),
		post("/residents/:id/status", (*App).saveStatus, "saveStatus", scoped(caseworkers, ScopeResident, "set_status", "更改居民状态", "Change a resident's status")),
		get("/offers", (*App).showOffers, "showOffers", right(by(staff, "资源列表", "Offers"), accounts.ToHandOver)),
		get("/offers/new", (*App).showOfferNew, "showOfferNew", by(givers, "发布资源：表单", "Post an offer: the form")),
		post("/offers/new", (*App).saveOffer, "saveOffer", upload(act(by(givers, "预览、保存或发布资源", "Preview, save or post an offer"), "create_offer"))),
		get("/offers/:id", (*App).showOffer, "showOffer", right(scoped(staff, ScopeOffer, "", "资源详情", "An offer"), accounts.ToHandOver)),
		post("/offers/:id/withdraw", (*App).saveOfferWithdrawn, "saveOfferWithdrawn", scoped(givers, ScopeOwnOffer, "withdraw_offer", "撤回资源", "Withdraw an offer")),
		get("/organisations", (*App).showOrganisations, "showOrganisations", by(admins, "机构名单", "Organisations")),
		post("/organisations/:id/decision", (*App).saveDecision, "saveDecision", scoped(admins, ScopeOrganisation, "decide_organisation", "审批机构", "Approve or suspend an organisation")),
		get("/accounts", (*App).showAccounts, "showAccounts", by(admins, "账户", "Accounts")),
		post("/accounts", (*App).saveAccount, "saveAccount", act(by(admins, "新建账户", "Create an account"), "create_account")),
		post("/accounts/:id/disable", (*App).saveAccountDisabled, "saveAccountDisabled", scoped(admins, ScopeAccount, "disable_account", "停用或启用账户", "Disable or enable an account")),
		get("/tokens", (*App).showTokens, "showTokens", by(admins, "服务令牌", "Service tokens")),
		post("/tokens", (*App).saveToken, "saveToken", act(by(admins, "新建服务令牌", "Make a service token"), "create_token")),
		post("/tokens/:id/revoke", (*App).saveTokenRevoked, "saveTokenRevoked", scoped(admins, ScopeToken, "revoke_token", "吊销服务令牌", "Revoke a service token")),
		get("/divisions", (*App).showDivisions, "showDivisions", by(admins, "区划", "Divisions")),
		post("/divisions/import", (*App).saveDivisions, "saveDivisions", upload(act(by(admins, "导入区划", "Import divisions"), "import_divisions"))),
		get("/me", (*App).showMe, "showMe", by(onlySelf, "我的幸福码", "My own page")),
		post("/me/needs", (*App).saveMyNeed, "saveMyNeed", by(onlySelf, "我要申请", "Ask for something")),
		post("/me/pin", (*App).saveMyPIN, "saveMyPIN", limited(act(by(onlySelf, "修改本人 PIN", "Change one's own PIN"), "change_pin"), LimitPIN)),
		post("/allocations/:id/accept", (*App).saveAccepted, "saveAccepted", scoped(personal, ScopeAllocation, "", "接受派发", "Accept an allocation")),
		post("/allocations/:id/decline", (*App).saveDeclined, "saveDeclined", scoped(personal, ScopeAllocation, "", "谢绝派发", "Decline an allocation")),
		post("/allocations/:id/handover", (*App).saveHandedOver, "saveHandedOver", upload(limited(scoped(caseworkers, ScopeAllocation, "", "交付", "Hand over an allocation"), LimitScan))),
		get("/c", (*App).showCode, "showCode", public("幸福码落地页", "What a scanned code opens")),
		get("/audit", (*App).showAudit, "showAudit", act(by(admins, "审计", "Audit"), "view_audit")),
		post("/audit/check", (*App).saveAuditCheck, "saveAuditCheck", act(by(admins, "核对审计记录", "Verify the audit log"), "check_audit")),
		{Method: fiber.MethodGet, Path: "/assets/*", Name: "serveAsset", Kind: Asset, Public: true, Handler: (*App).serveAsset, ZH: "样式与脚本", EN: "Styles and scripts"},
	}
}
