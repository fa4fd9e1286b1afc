package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
)

// offlineRoutes are the rows of the work without a network: devices, their
// leases, what they report, and what of it a person has to judge. A device
// belongs to one account; administrators see those of their division and can
// cut them off.
func offlineRoutes() []Route {
	rows := []Route{
		{Method: fiber.MethodPost, Path: "/devices", Name: "createDevice", Handler: (*App).createDevice, Roles: caseworkers, NoToken: true,
			ZH: "登记离线设备(只登记公钥)", EN: "Register a device for work without a network, by its public key", Request: deviceRequest{}, Response: deviceView{}, Status: 201},
		{Method: fiber.MethodGet, Path: "/devices", Name: "listDevices", Handler: (*App).listDevices, Roles: caseworkers,
			ZH: "离线设备：本人的；管理员为本辖区账户的", EN: "Devices: one's own; for administrators those of the division's accounts", Response: list[deviceView]{}},
		{Method: fiber.MethodPost, Path: "/devices/:id/lost", Name: "loseDevice", Handler: (*App).loseDevice, Roles: caseworkers, Scope: ScopeDevice,
			ZH: "挂失设备：即刻停用，领走的份额退回，其账户在各处退出登录", EN: "Report a device lost: it is cut off at once, what it took along goes back, and its account is signed out everywhere", Response: deviceView{}},
		{Method: fiber.MethodGet, Path: "/devices/:id/choices", Name: "listChoices", Handler: (*App).listChoices, Roles: caseworkers, Scope: ScopeOwnDevice,
			ZH: "可以带走的名册与备用份额", EN: "What can be taken along from a division", Query: choicesQuery{}, Response: care.Choices{}},
		{Method: fiber.MethodPost, Path: "/devices/:id/leases", Name: "createLease", Handler: (*App).createLease, Roles: caseworkers, Scope: ScopeOwnDevice, Idempotent: true, OwnReplay: true, Slow: true,
			ZH: "带走一个村：匹配、领走份额、取得名册(进度见 /imports/{Idempotency-Key})", EN: "Take a village along: match, lease, and get the roster (progress: /imports/{Idempotency-Key})", Request: leaseRequest{}, Response: bundleView{}, Status: 201},
		{Method: fiber.MethodGet, Path: "/devices/:id/lease", Name: "getLease", Handler: (*App).getLease, Roles: caseworkers, Scope: ScopeOwnDevice, Slow: true,
			ZH: "当前租约与名册", EN: "The lease as it stands now", Response: bundleView{}},
		{Method: fiber.MethodPost, Path: "/devices/:id/return", Name: "returnLease", Handler: (*App).returnLease, Roles: caseworkers, Scope: ScopeOwnDevice, Slow: true,
			ZH: "交回：未交付的份额退回，租约结束", EN: "Return: what was not given goes back and the lease ends", Response: care.LeaseView{}},
		{Method: fiber.MethodPost, Path: "/devices/:id/sync", Name: "syncDevice", Handler: (*App).syncDevice, Roles: caseworkers, Scope: ScopeOwnDevice, Slow: true,
			ZH: "同步离线交付记录，可重复提交", EN: "Take in what was handed over offline; safe to repeat", Request: syncRequest{}, Response: care.SyncResult{}},
		{Method: fiber.MethodGet, Path: "/conflicts", Name: "listConflicts", Handler: (*App).listConflicts, Roles: caseworkers,
			ZH: "离线冲突，旧的在前", EN: "Offline handovers that a person has to judge, oldest first", Query: conflictsQuery{}, Response: list[care.ConflictView]{}},
		{Method: fiber.MethodPost, Path: "/conflicts/:id/settle", Name: "settleConflict", Handler: (*App).settleConflict, Roles: caseworkers, Scope: ScopeConflict,
			ZH: "处理离线冲突", EN: "Settle a conflict", Request: settleRequest{}, Response: care.ConflictView{}},
	}
	for i := range rows {
		rows[i].Path, rows[i].Kind = apiPrefix+rows[i].Path, API
	}
	return append(rows, []Route{
		{Method: fiber.MethodGet, Path: "/devices", Name: "showDevices", Handler: (*App).showDevices, Kind: Page, Roles: caseworkers,
			ZH: "离线设备页", EN: "Devices and what they have taken along"},
		{Method: fiber.MethodPost, Path: "/devices/:id/lost", Name: "saveDeviceLost", Handler: (*App).saveDeviceLost, Kind: Page, Roles: caseworkers, Scope: ScopeDevice,
			ZH: "挂失设备", EN: "Report a device lost"},
		{Method: fiber.MethodPost, Path: "/devices/:id/return", Name: "saveDeviceReturned", Handler: (*App).saveDeviceReturned, Kind: Page, Roles: caseworkers, Scope: ScopeOwnDevice, Slow: true,
			ZH: "交回领走的份额", EN: "Return what was taken along"},
		{Method: fiber.MethodGet, Path: "/conflicts", Name: "showConflicts", Handler: (*App).showConflicts, Kind: Page, Roles: caseworkers,
			ZH: "离线冲突页", EN: "Offline handovers to judge"},
		{Method: fiber.MethodPost, Path: "/conflicts/:id/settle", Name: "saveConflictSettled", Handler: (*App).saveConflictSettled, Kind: Page, Roles: caseworkers, Scope: ScopeConflict,
			ZH: "处理离线冲突", EN: "Settle a conflict"},
	}...)
}
