package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
)

// carerRoutes are the rows of codes that were lost, of those who show a code
// for somebody else, of what became of a person's codes, and of photos that
// are taken at a handover.
func carerRoutes() []Route {
	rows := []Route{
		{Method: "POST", Path: "/residents/:id/code/revoke", Name: "revokeCode", Handler: (*App).revokeCode, Roles: personal, Scope: ScopeResident, Purpose: "revoke_code", Idempotent: true,
			ZH: "挂失幸福码，即刻失效", EN: "Revoke the happiness code at once", Request: reasonRequest{}, Response: codeView{}},
		{Method: "GET", Path: "/residents/:id/carers", Name: "listCarers", Handler: (*App).listCarers, Roles: personal, Scope: ScopeResident, Purpose: "view_carers",
			ZH: "代持人，新的在前", EN: "Who may show a code for the resident, newest first", Response: list[carerView]{}},
		{Method: "POST", Path: "/residents/:id/carers", Name: "createCarer", Handler: (*App).createCarer, Roles: personal, Scope: ScopeResident, Purpose: "add_carer", Idempotent: true, Limit: LimitPIN,
			ZH: "设立代持人(居民本人须再次输入 PIN)", EN: "Let somebody show a code for the resident; residents themselves are asked for their PIN again", Request: carerRequest{}, Response: carerView{}, Status: 201},
		{Method: "POST", Path: "/residents/:id/carers/:carer/end", Name: "endCarer", Handler: (*App).endCarer, Roles: personal, Scope: ScopeResident, Purpose: "end_carer", Idempotent: true,
			ZH: "停用代持人，其码即刻失效", EN: "End a carer's time; the carer's code ends at once", Request: carerEndRequest{}, Response: carerView{}},
		// Not idempotent: the PIN would have to be kept.
		{Method: "POST", Path: "/residents/:id/carers/:carer/pin", Name: "resetCarerPIN", Handler: (*App).resetCarerPIN, Roles: caseworkers, Scope: ScopeResident, Purpose: "reset_carer_pin",
			ZH: "重设代持人 PIN,已登录的即刻退出", EN: "Give a carer a new PIN; the carer's sessions end at once", Response: carerPINView{}},
		{Method: "GET", Path: "/residents/:id/carers/:carer/code.svg", Name: "getCarerCodeSVG", Handler: (*App).getCarerCodeSVG, Roles: caseworkers, Scope: ScopeResident, Purpose: "view_code",
			ZH: "代持人的码图(SVG)", EN: "A carer's code as SVG", ContentType: "image/svg+xml"},
		{Method: "GET", Path: "/residents/:id/history", Name: "listHistory", Handler: (*App).listHistory, Roles: personal, Scope: ScopeResident, Purpose: "view_history",
			ZH: "幸福码、代持人与 PIN 的变更记录，新的在前", EN: "What became of codes, carers and PIN, newest first", Response: historyPage{}},
		{Method: "POST", Path: "/allocations/:id/photo", Name: "addPhoto", Handler: (*App).addPhoto, Roles: caseworkers, Scope: ScopeAllocation, Limit: LimitScan, Upload: true,
			ZH: "上传交付照片(JPEG、PNG 或 WebP,不超过 10 MB)", EN: "Keep a photo of the handover (JPEG, PNG or WebP, up to 10 MB)", Response: care.AllocationView{}},
		{Method: "GET", Path: "/allocations/:id/photo", Name: "getPhoto", Handler: (*App).getPhoto, Roles: caseworkers, Scope: ScopeAllocation, Purpose: "view_photo",
			ZH: "交付照片", EN: "The photo of the handover", ContentType: "image/jpeg"},
	}
	for i := range rows {
		rows[i].Path, rows[i].Kind = apiPrefix+rows[i].Path, API
	}
	page := func(method, path, name string, h Handler, roles []accounts.Role, purpose, zh, en string) Route {
		r := Route{Method: method, Path: path, Name: name, Kind: Page, Handler: h, Roles: roles, Purpose: purpose, ZH: zh, EN: en}
		if roles[0] != accounts.Resident {
			r.Scope = ScopeResident
		}
		return r
	}
	guess := func(r Route) Route { r.Limit = LimitPIN; return r }
	const get, post = fiber.MethodGet, fiber.MethodPost
	return append(rows,
		page(get, "/residents/:id/lost", "showLost", (*App).showLost, caseworkers, "view_resident", "挂失与补发：确认", "Lost card: what happens"),
		page(post, "/residents/:id/revoke", "saveRevoked", (*App).saveRevoked, caseworkers, "revoke_code", "挂失幸福码", "Revoke the happiness code"),
		page(post, "/residents/:id/reissue", "saveReissue", (*App).saveReissue, caseworkers, "reissue_code", "补发幸福码", "Issue a new code"),
		page(post, "/residents/:id/carers", "saveCarer", (*App).saveCarer, caseworkers, "add_carer", "设立代持人", "Let somebody show a code for the resident"),
		page(post, "/residents/:id/carers/:carer/end", "saveCarerEnded", (*App).saveCarerEnded, caseworkers, "end_carer", "停用代持人", "End a carer's time"),
		page(post, "/residents/:id/carers/:carer/pin", "saveCarerPIN", (*App).saveCarerPIN, caseworkers, "reset_carer_pin", "重设代持人 PIN", "Give a carer a new PIN"),
		page(get, "/residents/:id/carers/:carer/card", "showCarerCard", (*App).showCarerCard, caseworkers, "view_code", "打印代持卡", "Printable card of a carer"),
		page(get, "/me/lost", "showMyLost", (*App).showMyLost, onlySelf, "", "挂失本人幸福码：确认", "Lost card: what happens"),
		page(post, "/me/revoke", "saveMyRevoked", (*App).saveMyRevoked, onlySelf, "revoke_code", "挂失本人幸福码", "Revoke one's own code"),
		guess(page(post, "/me/carers", "saveMyCarer", (*App).saveMyCarer, onlySelf, "add_carer", "设立本人的代持人", "Let somebody show a code for oneself")),
		page(post, "/me/carers/:carer/end", "saveMyCarerEnded", (*App).saveMyCarerEnded, onlySelf, "end_carer", "停用本人的代持人", "End one's own carer's time"),
	)
}
