package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
)

// fundRoutes are funds and donations: an organisation's accounts keep them, the
// administrators of its seat look. Their handlers are in page_funds.go and
// api_funds.go.
func fundRoutes() []Route {
	keepers := []accounts.Role{accounts.Provider}
	row := func(method, path, name string, h Handler, roles []accounts.Role, purpose, zh, en string) Route {
		return Route{Method: method, Path: path, Name: name, Kind: Page, Handler: h, Roles: roles, Purpose: purpose, ZH: zh, EN: en}
	}
	own := func(r Route) Route { r.Scope = ScopeFund; return r }
	people := func(r Route) Route { r.NoToken = true; return r }
	api := func(r Route, query, request, response any) Route {
		r.Path, r.Kind, r.Query, r.Request, r.Response = apiPrefix+r.Path, API, query, request, response
		if r.Method == fiber.MethodPost {
			r.Status, r.Idempotent = fiber.StatusCreated, true
		}
		return r
	}
	const get, post = fiber.MethodGet, fiber.MethodPost
	return []Route{
		row(get, "/funds", "showFunds", (*App).showFunds, givers, "", "基金列表", "Funds"),
		row(get, "/funds/new", "showFundNew", (*App).showFundNew, keepers, "", "设立基金：表单", "Make a fund: the form"),
		row(post, "/funds/new", "saveFund", (*App).saveFund, keepers, "create_fund", "设立基金", "Make a fund"),
		own(row(get, "/funds/:id", "showFund", (*App).showFund, givers, "", "基金及收支", "A fund and its movements")),
		own(row(post, "/funds/:id/status", "saveFundStatus", (*App).saveFundStatus, keepers, "change_fund", "关闭或启用基金", "Close a fund or open it again")),
		own(row(get, "/funds/:id/donate", "showDonate", (*App).showDonate, keepers, "", "登记捐赠：表单", "Enter a donation: the form")),
		own(row(post, "/funds/:id/donate", "saveDonation", (*App).saveDonation, keepers, "enter_donation", "登记捐赠", "Enter a donation")),
		own(row(get, "/funds/:id/donations", "showDonations", (*App).showDonations, givers, "view_donors", "捐赠名单", "Donations with their donors")),
		own(row(get, "/funds/:id/donations/:donation", "showDonation", (*App).showDonation, givers, "view_donors", "一笔捐赠及其去向", "A donation and what became of it")),
		own(row(post, "/funds/:id/donations/:donation/correct", "saveCorrection", (*App).saveCorrection, keepers, "correct_donation", "冲回登错的捐赠", "Take back a donation that was entered wrongly")),
		people(own(row(post, "/funds/:id/closing", "saveClosing", (*App).saveClosing, keepers, "close_month", "月度结账", "Close a month"))),
		own(row(get, "/funds/:id/statement.xlsx", "showStatementXLSX", (*App).showStatementXLSX, givers, "download_statement", "月报（XLSX）", "A month's statement as XLSX")),
		own(row(get, "/funds/:id/statement.pdf", "showStatementPDF", (*App).showStatementPDF, givers, "download_statement", "月报（PDF）", "A month's statement as PDF")),

		api(row(get, "/funds", "listFunds", (*App).listFunds, givers, "", "基金列表", "List funds"), pageQuery{}, nil, list[fundView]{}),
		api(row(post, "/funds", "createFund", (*App).createFund, keepers, "create_fund", "设立基金", "Make a fund"), nil, fundRequest{}, fundView{}),
		own(api(row(get, "/funds/:id", "getFund", (*App).getFund, givers, "", "一个基金", "One fund"), nil, nil, fundView{})),
		own(api(row(fiber.MethodPatch, "/funds/:id", "changeFund", (*App).changeFund, keepers, "change_fund", "关闭或启用基金", "Close a fund or open it again"), nil, fundChange{}, fundView{})),
		own(api(row(get, "/funds/:id/entries", "listFundEntries", (*App).listFundEntries, givers, "", "基金分录，新的在前", "A fund's journal, newest first"), pageQuery{}, nil, list[entryView]{})),
		own(api(row(get, "/funds/:id/donations", "listDonations", (*App).listDonations, givers, "view_donors", "捐赠，新的在前", "Donations, newest first"), pageQuery{}, nil, list[donationView]{})),
		own(api(row(post, "/funds/:id/donations", "createDonation", (*App).createDonation, keepers, "enter_donation", "登记捐赠", "Enter a donation"), nil, donationRequest{}, donationView{})),
		own(api(row(post, "/funds/:id/donations/:donation/corrections", "correctDonation", (*App).correctDonation, keepers, "correct_donation", "冲回登错的捐赠", "Take back a donation that was entered wrongly"), nil, correctionRequest{}, fundView{})),
		own(api(row(get, "/funds/:id/donations/:donation/trace", "getTrace", (*App).getTrace, givers, "", "捐赠去向，不含身份", "What became of a donation, without identities"), nil, nil, traceView{})),
		people(own(api(row(post, "/funds/:id/closings", "closeMonth", (*App).closeMonth, keepers, "close_month", "月度结账：一人提出，另一人确认", "Close a month: one proposes, another confirms with the same request"), nil, closingRequest{}, fundView{}))),
		own(api(row(get, "/funds/:id/statement", "getStatement", (*App).getStatement, givers, "", "月报数字", "A month's figures"), statementQuery{}, nil, statementView{})),
	}
}
