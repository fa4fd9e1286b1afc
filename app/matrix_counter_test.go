package app

import (
	"net/url"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

const (
	counterHere cells = "srrrr+-rrrr" // what "provider" owes
	counterAll  cells = "srrrr++rrrr"
)

// counterMore are what who only hands over may besides scanning and giving.
const counterMore = "readPhoto saveVoucher checkVoucher redeemVoucher showCounterDay getCounterDay saveCounterReturn returnAtCounter saveNoShow noShowAtCounter showRound getRound saveTried triedDelivery"

// counterRows are the counter of "provider", which owes the resident some home care.
func counterRows(w *world) map[string]row {
	w.owed("homecare", 4)
	code := func(w *world) any { return counterScanRequest{w.digits(w.person)} }
	form := func(values func(w *world) url.Values) func(w *world) any {
		return func(w *world) any { return strings.NewReader(values(w).Encode()) }
	}
	voucher := w.owedBy("voucher", 3, providers.Handover{How: providers.Voucher})
	_, err := w.app.Care.Accept(w.t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}, voucher)
	must(w.t, err)
	codes, err := w.app.Care.Vouchers(w.t.Context(), voucher)
	must(w.t, err)
	const kind = "application/x-www-form-urlencoded"
	given, missed := w.owedBy("job", 1, pickup()), w.owedBy("legal", 1, pickup())
	w.owedBy("education", 2, providers.Handover{How: providers.Delivery})
	boss := accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}
	_, err = w.app.Care.HandOver(w.t.Context(), boss, given, care.Evidence{})
	must(w.t, err)
	item := func(w *world) string { return w.itemOf("education") }
	return map[string]row{
		"showCounterDay":    {cells: counterAll, path: "/counter/today"},
		"getCounterDay":     {cells: counterAll, path: "/api/v1/counter/today"},
		"saveCounterReturn": {cells: counterHere, path: "/counter/return", kind: kind, body: form(func(w *world) url.Values { return url.Values{"item": {item(w)}, "units": {"0"}} })},
		"returnAtCounter":   {cells: counterHere, path: "/api/v1/counter/returns", body: func(w *world) any { return counterReturn{Item: item(w), Units: 0, Why: "mistake"} }},
		"saveTried":         {cells: counterHere, path: "/counter/tried", kind: kind, body: form(func(w *world) url.Values { return url.Values{"item": {item(w)}} })},
		"triedDelivery":     {cells: counterHere, path: "/api/v1/counter/tries", body: func(w *world) any { return counterItemRequest{item(w)} }},
		"saveNoShow":        {cells: counterHere, path: "/counter/noshow", kind: kind, body: form(func(w *world) url.Values { return url.Values{"item": {w.itemOf("homecare")}} })},
		"noShowAtCounter":   {cells: counterHere, path: "/api/v1/counter/noshows", body: func(w *world) any { return counterItemRequest{w.itemOf("homecare")} }},
		"showRound":         {cells: counterAll, path: "/counter/round"},
		"getRound":          {cells: counterAll, path: "/api/v1/counter/rounds"},
		"saveTakenBack":     {cells: workersHere, path: "/allocations/" + given + "/return", kind: kind, body: form(func(*world) url.Values { return url.Values{"units": {"1"}, "given_units": {"1"}} })},
		"returnAllocation":  {cells: workersHere, path: "/api/v1/allocations/" + given + "/return", body: func(*world) any { return returnRequest{Units: 1, GivenUnits: 1, Why: "mistake"} }},
		"saveMissed":        {cells: workersHere, path: "/allocations/" + missed + "/noshow", kind: kind, body: form(func(*world) url.Values { return url.Values{} })},
		"noShowAllocation":  {cells: workersHere, path: "/api/v1/allocations/" + missed + "/noshow"},
		"saveAddress":       {cells: workersHere, path: "/residents/" + w.person.ID + "/address", kind: kind, body: form(func(*world) url.Values { return url.Values{"address": {canaryAddress}} })},
		"setAddress":        {cells: workersHere, path: "/api/v1/residents/" + w.person.ID + "/address", body: func(*world) any { return addressRequest{canaryAddress} }},
		"showVouchers":      {cells: selfHere, path: "/allocations/" + voucher + "/vouchers"},
		"listVouchers":      {cells: selfHere, path: "/api/v1/allocations/" + voucher + "/vouchers"},
		"showVoucher":       {cells: open, path: "/v"},
		"checkVoucher":      {cells: counterHere, path: "/api/v1/counter/vouchers/check", body: func(*world) any { return voucherRequest{codes[0].Code} }},
		"redeemVoucher":     {cells: counterHere, path: "/api/v1/counter/vouchers/redeem", body: func(*world) any { return redeemRequest{Code: codes[0].Code} }},
		"saveVoucher":       {cells: counterHere, path: "/counter/voucher", kind: kind, body: form(func(*world) url.Values { return url.Values{"code": {codes[1].Code}} })},
		"showCounter":       {cells: counterAll, path: "/counter"},
		"scanAtCounter":     {cells: counterHere, path: "/api/v1/counter/scans", body: code},
		"saveCounterScan":   {cells: counterHere, path: "/counter", kind: kind, body: form(func(w *world) url.Values { return url.Values{"code": {w.person.CardNo}} })},
		"giveAtCounter":     {cells: "srrrr+-rrrr", path: "/api/v1/counter/handovers", body: func(w *world) any { return w.counterGiving("homecare") }},
		"saveCounterHandover": {cells: "srrrr+-rrrr", path: "/counter/handover", kind: kind, body: form(func(w *world) url.Values {
			g := w.counterGiving("homecare")
			return url.Values{"scan": {g.Scan}, "item": {g.Item}, "units": {"9"}}
		})},
	}
}

// counter is the account that stands behind the token of "provider".
func (w *world) counter() accounts.Principal {
	w.t.Helper()
	p, err := w.app.Accounts.PrincipalOfToken(w.t.Context(), w.actors["provider"].bearer)
	must(w.t, err)
	return p
}

// owed promises the resident so many units of a new offer of "provider".
func (w *world) owed(category string, units int64) string {
	w.t.Helper()
	return w.owedBy(category, units, pickup())
}

func (w *world) owedBy(category string, units int64, how providers.Handover) string {
	w.t.Helper()
	return w.owedOf(providers.NewOffer{Category: category, Handover: how, Lots: []providers.NewLot{{QtyUnits: 50}}}, units)
}

// owedOf promises the resident so many units of a new offer, of which only what
// matters is said.
func (w *world) owedOf(n providers.NewOffer, units int64) string {
	w.t.Helper()
	now := w.now()
	boss := accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}
	n.TitleZH, n.TitleEN, n.Divisions, n.Pace = "柜台试"+n.Category, "Owed "+n.Category, []string{county}, "now"
	n.Lots[0].FromMs, n.Lots[0].UntilMs = now.Add(-time.Hour).UnixMilli(), now.Add(24*time.Hour).UnixMilli()
	o, err := w.app.Care.PostOffer(w.t.Context(), boss, w.orgID, n)
	must(w.t, err)
	_, err = w.app.Care.AddNeed(w.t.Context(), boss, residents.NewNeed{Resident: w.person.ID, Category: n.Category, QtyUnits: units, Urgency: 3, Source: "scan", Note: canaryNote})
	must(w.t, err)
	got, err := w.app.Care.Scan(w.t.Context(), boss, w.person.CardNo)
	must(w.t, err)
	for _, a := range got.Offered {
		if a.Offer == o.ID && a.QtyUnits == units {
			return a.ID
		}
	}
	w.t.Fatalf("%d of %s are not owed: %+v", units, n.Category, got.Offered)
	return ""
}

// canaryAddress is where aid is brought to the resident.
const canaryAddress = "金丝雀弄 7 号 203 室"

// itemOf is how the counter names what is owed.
func (w *world) itemOf(category string) string { return w.counterGiving(category).Item }

// counterGiving is one unit of what is owed, seen at the counter now.
func (w *world) counterGiving(category string) counterGivingRequest {
	w.t.Helper()
	look, err := w.app.Care.ScanAtCounter(w.t.Context(), w.counter(), w.digits(w.person))
	must(w.t, err)
	for _, x := range look.Items {
		if x.TitleEN == "Owed "+category {
			return counterGivingRequest{Scan: look.Scan, Item: x.Item, Units: 1, GivenUnits: x.GivenUnits}
		}
	}
	w.t.Fatalf("nothing of %s is owed: %+v", category, look.Items)
	return counterGivingRequest{}
}
