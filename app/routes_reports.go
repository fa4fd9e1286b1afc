package app

import "github.com/gofiber/fiber/v2"

// reportRoutes are the third-party reports: anybody sends one, the station of
// that place looks after it.
func reportRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/report", Name: "showReport", Kind: Page, Public: true, Handler: (*App).showReport,
			ZH: "反映有人需要帮助：表单", EN: "Report a person in need: the form"},
		{Method: fiber.MethodPost, Path: "/report", Name: "saveReport", Kind: Page, Public: true, Limit: LimitReport, Purpose: "send_report", Handler: (*App).saveReport,
			ZH: "反映有人需要帮助", EN: "Report a person in need"},
		{Method: fiber.MethodGet, Path: "/reports", Name: "showReports", Kind: Page, Roles: caseworkers, Purpose: "list_reports", Handler: (*App).showReports,
			ZH: "第三方报告列表", EN: "Reports of people in need"},
		{Method: fiber.MethodGet, Path: "/reports/:id", Name: "showTask", Kind: Page, Roles: caseworkers, Scope: ScopeReport, Purpose: "view_report", Handler: (*App).showTask,
			ZH: "第三方报告", EN: "A report of a person in need"},
		{Method: fiber.MethodPost, Path: "/reports/:id/state", Name: "saveTask", Kind: Page, Roles: caseworkers, Scope: ScopeReport, Purpose: "change_report", Handler: (*App).saveTask,
			ZH: "接手、走访或办结第三方报告", EN: "Take, visit or close a report"},

		{Method: fiber.MethodPost, Path: apiPrefix + "/reports", Name: "createReport", Kind: API, Public: true, Limit: LimitReport, Purpose: "send_report", Handler: (*App).createReport,
			ZH: "反映有人需要帮助，无须登录", EN: "Report a person in need; no sign-in", Request: reportRequest{}, Response: reportSent{}, Status: 201},
		{Method: fiber.MethodGet, Path: apiPrefix + "/reports", Name: "listReports", Kind: API, Roles: caseworkers, Purpose: "list_reports", Handler: (*App).listReports,
			ZH: "第三方报告列表，不含内容", EN: "List reports of people in need, without their words", Query: reportsQuery{}, Response: list[reportView]{}},
		{Method: fiber.MethodGet, Path: apiPrefix + "/reports/:id", Name: "getReport", Kind: API, Roles: caseworkers, Scope: ScopeReport, Purpose: "view_report", Handler: (*App).getReport,
			ZH: "第三方报告及其内容", EN: "One report with its words", Response: reportWhole{}},
		{Method: fiber.MethodPatch, Path: apiPrefix + "/reports/:id", Name: "changeReport", Kind: API, Roles: caseworkers, Scope: ScopeReport, Purpose: "change_report", Handler: (*App).changeReport,
			ZH: "接手、走访或办结第三方报告", EN: "Take, visit or close a report", Request: reportChange{}, Response: reportView{}},
	}
}
