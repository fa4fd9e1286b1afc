package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
)

// counterRoutes are the counter of a provider: what its organisation owes who
// stands there. app/care writes to the audit log.
func counterRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/counter", Name: "showCounter", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Handler: (*App).showCounter,
			ZH: "柜台：扫码交付", EN: "The counter: scan and hand over"},
		{Method: fiber.MethodPost, Path: "/counter", Name: "saveCounterScan", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Handler: (*App).saveCounterScan,
			ZH: "柜台扫码，只看本机构应交付的", EN: "Scan at the counter: what the organisation owes, nothing else"},
		{Method: fiber.MethodPost, Path: "/counter/handover", Name: "saveCounterHandover", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Handler: (*App).saveCounterHandover,
			ZH: "柜台交付全部或一部分", EN: "Hand over all or some at the counter"},
		{Method: fiber.MethodPost, Path: "/counter/voucher", Name: "saveVoucher", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Handler: (*App).saveVoucher,
			ZH: "柜台核销代金券", EN: "Redeem a voucher at the counter"},
		{Method: fiber.MethodGet, Path: "/allocations/:id/vouchers", Name: "showVouchers", Kind: Page, Roles: personal, Scope: ScopeAllocation, Purpose: "view_vouchers", Handler: (*App).showVouchers,
			ZH: "代金券券码", EN: "The codes of vouchers"},
		{Method: fiber.MethodGet, Path: "/v", Name: "showVoucher", Kind: Page, Public: true, Handler: (*App).showVoucher,
			ZH: "代金券二维码落地页", EN: "What the picture of a voucher opens"},
		{Method: fiber.MethodGet, Path: apiPrefix + "/allocations/:id/vouchers", Name: "listVouchers", Kind: API, Roles: personal, Scope: ScopeAllocation, Purpose: "view_vouchers", Handler: (*App).listVouchers,
			ZH: "代金券券码，接受后才有", EN: "The codes of vouchers, once they were accepted", Response: list[care.Voucher]{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/vouchers/check", Name: "checkVoucher", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Handler: (*App).checkVoucher,
			ZH: "查券：这张券能换什么", EN: "What a voucher is for", Request: voucherRequest{}, Response: care.CounterVoucher{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/vouchers/redeem", Name: "redeemVoucher", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Idempotent: true, Repeatable: true, Handler: (*App).redeemVoucher,
			ZH: "核销代金券，每张一次", EN: "Redeem a voucher, once", Request: redeemRequest{}, Response: care.CounterVoucher{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/scans", Name: "scanAtCounter", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Handler: (*App).scanAtCounter,
			ZH: "柜台扫码：本机构应交付给此人的，别无其他", EN: "Scan at a counter: what the organisation owes this person, and nothing else", Request: counterScanRequest{}, Response: care.CounterLook{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/handovers", Name: "giveAtCounter", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Idempotent: true, Repeatable: true, Handler: (*App).giveAtCounter,
			ZH: "柜台交付全部或一部分，可注明替代", EN: "Hand over all or some at a counter, or something else in its place", Request: counterGivingRequest{}, Response: care.CounterItem{}},
		{Method: fiber.MethodGet, Path: "/counter/today", Name: "showCounterDay", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Handler: (*App).showCounterDay,
			ZH: "柜台今日：已交付、待领取", EN: "What the counter gave today and what is to be fetched"},
		{Method: fiber.MethodPost, Path: "/counter/return", Name: "saveCounterReturn", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Handler: (*App).saveCounterReturn,
			ZH: "收回交付", EN: "Take back what was handed over"},
		{Method: fiber.MethodPost, Path: "/counter/noshow", Name: "saveNoShow", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Handler: (*App).saveNoShow,
			ZH: "登记未到", EN: "Nobody came for it"},
		{Method: fiber.MethodGet, Path: "/counter/round", Name: "showRound", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Handler: (*App).showRound,
			ZH: "配送清单", EN: "What is brought home on a day"},
		{Method: fiber.MethodPost, Path: "/counter/tried", Name: "saveTried", Kind: Page, Roles: onlyProviders, Right: accounts.ToHandOver, Handler: (*App).saveTried,
			ZH: "登记上门无人", EN: "Nobody was at home"},
		{Method: fiber.MethodPost, Path: "/allocations/:id/return", Name: "saveTakenBack", Kind: Page, Roles: caseworkers, Scope: ScopeAllocation, Handler: (*App).saveTakenBack,
			ZH: "收回交付", EN: "Take back what was handed over"},
		{Method: fiber.MethodPost, Path: "/allocations/:id/noshow", Name: "saveMissed", Kind: Page, Roles: caseworkers, Scope: ScopeAllocation, Handler: (*App).saveMissed,
			ZH: "登记未到", EN: "Nobody came for it"},
		{Method: fiber.MethodPost, Path: "/residents/:id/address", Name: "saveAddress", Kind: Page, Roles: caseworkers, Scope: ScopeResident, Purpose: "set_address", Handler: (*App).saveAddress,
			ZH: "登记送货地址", EN: "Record where aid is brought"},
		{Method: fiber.MethodGet, Path: apiPrefix + "/counter/today", Name: "getCounterDay", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Handler: (*App).getCounterDay,
			ZH: "柜台今日：已交付、待领取，不含个人信息", EN: "What a counter gave today and what is to be fetched, of nobody by name", Response: care.CounterDay{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/returns", Name: "returnAtCounter", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Idempotent: true, Repeatable: true, Handler: (*App).returnAtCounter,
			ZH: "收回本机构交付的全部或一部分", EN: "Take back all or some of what the organisation gave", Request: counterReturn{}, Response: care.CounterItem{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/noshows", Name: "noShowAtCounter", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Idempotent: true, Repeatable: true, Handler: (*App).noShowAtCounter,
			ZH: "登记未到：份额即刻继续派发", EN: "Nobody came: the units go to others at once", Request: counterItemRequest{}, Status: 204},
		{Method: fiber.MethodGet, Path: apiPrefix + "/counter/rounds", Name: "getRound", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Query: roundQuery{}, Handler: (*App).getRound,
			ZH: "配送清单：当天、经同意才有姓名和地址", EN: "What is brought home on a day; names and addresses on the day, with consent", Response: care.Round{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/tries", Name: "triedDelivery", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Idempotent: true, Repeatable: true, Handler: (*App).triedDelivery,
			ZH: "登记上门无人，承诺保留", EN: "Nobody was at home; the promise stands", Request: counterItemRequest{}, Response: care.CounterItem{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/allocations/:id/return", Name: "returnAllocation", Kind: API, Roles: caseworkers, Scope: ScopeAllocation, Idempotent: true, Repeatable: true, Handler: (*App).returnAllocation,
			ZH: "收回交付：份额退回，限额恢复，记录保留", EN: "Take back what was handed over: units and claim are free again, the record stays", Request: returnRequest{}, Response: care.AllocationView{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/allocations/:id/noshow", Name: "noShowAllocation", Kind: API, Roles: caseworkers, Scope: ScopeAllocation, Idempotent: true, Repeatable: true, Handler: (*App).noShowAllocation,
			ZH: "登记未到：份额即刻继续派发", EN: "Nobody came: the units go to others at once", Response: care.AllocationView{}},
		{Method: fiber.MethodPut, Path: apiPrefix + "/residents/:id/address", Name: "setAddress", Kind: API, Roles: caseworkers, Scope: ScopeResident, Purpose: "set_address", Handler: (*App).setAddress,
			ZH: "登记送货地址，加密保存", EN: "Record where aid is brought; it is sealed", Request: addressRequest{}, Status: 204},
	}
}
