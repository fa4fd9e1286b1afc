package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
)

var onlyProviders = []accounts.Role{accounts.Provider} // read only

// counterRoutes are the counter of a provider: what its organisation owes who
// stands there. app/care writes to the audit log.
func counterRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/counter", Name: "showCounter", Kind: Page, Roles: onlyProviders, Handler: (*App).showCounter,
			ZH: "柜台：扫码交付", EN: "The counter: scan and hand over"},
		{Method: fiber.MethodPost, Path: "/counter", Name: "saveCounterScan", Kind: Page, Roles: onlyProviders, Limit: LimitScan, Handler: (*App).saveCounterScan,
			ZH: "柜台扫码，只看本机构应交付的", EN: "Scan at the counter: what the organisation owes, nothing else"},
		{Method: fiber.MethodPost, Path: "/counter/handover", Name: "saveCounterHandover", Kind: Page, Roles: onlyProviders, Limit: LimitScan, Handler: (*App).saveCounterHandover,
			ZH: "柜台交付全部或一部分", EN: "Hand over all or some at the counter"},
		{Method: fiber.MethodPost, Path: "/counter/voucher", Name: "saveVoucher", Kind: Page, Roles: onlyProviders, Limit: LimitScan, Handler: (*App).saveVoucher,
			ZH: "柜台核销代金券", EN: "Redeem a voucher at the counter"},
		{Method: fiber.MethodGet, Path: "/allocations/:id/vouchers", Name: "showVouchers", Kind: Page, Roles: personal, Scope: ScopeAllocation, Purpose: "view_vouchers", Handler: (*App).showVouchers,
			ZH: "代金券券码", EN: "The codes of vouchers"},
		{Method: fiber.MethodGet, Path: "/v", Name: "showVoucher", Kind: Page, Public: true, Handler: (*App).showVoucher,
			ZH: "代金券二维码落地页", EN: "What the picture of a voucher opens"},
		{Method: fiber.MethodGet, Path: apiPrefix + "/allocations/:id/vouchers", Name: "listVouchers", Kind: API, Roles: personal, Scope: ScopeAllocation, Purpose: "view_vouchers", Handler: (*App).listVouchers,
			ZH: "代金券券码，接受后才有", EN: "The codes of vouchers, once they were accepted", Response: list[care.Voucher]{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/vouchers/check", Name: "checkVoucher", Kind: API, Roles: onlyProviders, Limit: LimitScan, Handler: (*App).checkVoucher,
			ZH: "查券：这张券能换什么", EN: "What a voucher is for", Request: voucherRequest{}, Response: care.CounterVoucher{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/vouchers/redeem", Name: "redeemVoucher", Kind: API, Roles: onlyProviders, Limit: LimitScan, Idempotent: true, Repeatable: true, Handler: (*App).redeemVoucher,
			ZH: "核销代金券，每张一次", EN: "Redeem a voucher, once", Request: redeemRequest{}, Response: care.CounterVoucher{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/scans", Name: "scanAtCounter", Kind: API, Roles: onlyProviders, Limit: LimitScan, Handler: (*App).scanAtCounter,
			ZH: "柜台扫码：本机构应交付给此人的，别无其他", EN: "Scan at a counter: what the organisation owes this person, and nothing else", Request: counterScanRequest{}, Response: care.CounterLook{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/handovers", Name: "giveAtCounter", Kind: API, Roles: onlyProviders, Limit: LimitScan, Idempotent: true, Repeatable: true, Handler: (*App).giveAtCounter,
			ZH: "柜台交付全部或一部分，可注明替代", EN: "Hand over all or some at a counter, or something else in its place", Request: counterGivingRequest{}, Response: care.CounterItem{}},
	}
}
