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
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/scans", Name: "scanAtCounter", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Handler: (*App).scanAtCounter,
			ZH: "柜台扫码：本机构应交付给此人的，别无其他", EN: "Scan at a counter: what the organisation owes this person, and nothing else", Request: counterScanRequest{}, Response: care.CounterLook{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/counter/handovers", Name: "giveAtCounter", Kind: API, Roles: onlyProviders, Right: accounts.ToHandOver, Limit: LimitScan, Idempotent: true, Repeatable: true, Handler: (*App).giveAtCounter,
			ZH: "柜台交付全部或一部分，可注明替代", EN: "Hand over all or some at a counter, or something else in its place", Request: counterGivingRequest{}, Response: care.CounterItem{}},
	}
}
