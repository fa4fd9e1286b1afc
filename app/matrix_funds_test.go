package app

import (
	"strings"

	"github.com/xingfuma/happycode/providers/funds"
)

const (
	ownFund   cells = "srrrr+-rrrr" // of the organisation
	fundLooks cells = "s+-rr+-rr-r" // and the administrators of its seat
	keepers   cells = "srrrr++rrrr" // every provider, for the own organisation
)

// fundRows are the rows of the matrix for funds; the fund and the donation are of
// the provider's organisation.
func fundRows(w *world) map[string]row {
	ctx := w.t.Context()
	org, err := w.app.Providers.Get(ctx, w.orgID)
	must(w.t, err)
	f, err := w.app.Funds.Create(ctx, "test", org, funds.NewFund{Kind: funds.Named, Name: "暖冬基金"})
	must(w.t, err)
	d, err := w.app.Funds.Donate(ctx, "test", f.ID, funds.NewDonation{Donor: "沈女士", Fen: 1000, AtMs: w.now().UnixMilli()})
	must(w.t, err)
	fund, api := "/funds/"+f.ID, "/api/v1/funds/"+f.ID
	gift := "/donations/" + d.ID
	month := "?month=" + funds.MonthOf(w.now().UnixMilli())
	form := func(c cells, path, values string) row {
		return row{c, path, func(*world) any { return strings.NewReader(values) }, "application/x-www-form-urlencoded"}
	}
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body any) row { return row{c, path, func(*world) any { return body }, ""} }
	return map[string]row{
		"showFunds":         get(given, "/funds"),
		"showFundNew":       get(keepers, "/funds/new"),
		"saveFund":          form(keepers, "/funds/new", "name="),
		"showFund":          get(fundLooks, fund),
		"saveFundStatus":    form(ownFund, fund+"/status", "status=open"),
		"showDonate":        get(ownFund, fund+"/donate"),
		"saveDonation":      form(ownFund, fund+"/donate", "yuan="),
		"showDonations":     get(fundLooks, fund+"/donations"),
		"showDonation":      get(fundLooks, fund+gift),
		"saveCorrection":    form(ownFund, fund+gift+"/correct", "yuan="),
		"saveClosing":       form(noTokens, fund+"/closing", "month="),
		"showStatementXLSX": get(fundLooks, fund+"/statement.xlsx"+month),
		// A month that is none: who is let in needs no font to be told so.
		"showStatementPDF": get(fundLooks, fund+"/statement.pdf?month=none"),
		"listFunds":        get(given, "/api/v1/funds"),
		"createFund":       with(keepers, "/api/v1/funds", fundRequest{Kind: funds.Named, Name: "夏凉基金"}),
		"getFund":          get(fundLooks, api),
		"changeFund":       with(ownFund, api, fundChange{funds.Open}),
		"listFundEntries":  get(fundLooks, api+"/entries"),
		"listDonations":    get(fundLooks, api+"/donations"),
		"createDonation":   with(ownFund, api+"/donations", donationRequest{Fen: 5}),
		"correctDonation":  with(ownFund, api+gift+"/corrections", correctionRequest{Fen: 1, Reason: "登记有误"}),
		"getTrace":         get(fundLooks, api+gift+"/trace"),
		"closeMonth":       with(noTokens, api+"/closings", closingRequest{"2020-01"}),
		"getStatement":     get(fundLooks, api+"/statement"+month),
	}
}
