package app

import (
	"net/url"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

const (
	counterHere cells = "srrrr+-rrrr" // what "provider" owes
	counterAll  cells = "srrrr++rrrr"
)

// counterRows are the counter of "provider", which owes the resident some home care.
func counterRows(w *world) map[string]row {
	w.owed("homecare", 4)
	code := func(w *world) any { return counterScanRequest{w.digits(w.person)} }
	form := func(values func(w *world) url.Values) func(w *world) any {
		return func(w *world) any { return strings.NewReader(values(w).Encode()) }
	}
	const kind = "application/x-www-form-urlencoded"
	return map[string]row{
		"showCounter":     {cells: counterAll, path: "/counter"},
		"scanAtCounter":   {cells: counterHere, path: "/api/v1/counter/scans", body: code},
		"saveCounterScan": {cells: counterHere, path: "/counter", kind: kind, body: form(func(w *world) url.Values { return url.Values{"code": {w.person.CardNo}} })},
		"giveAtCounter":   {cells: "srrrr+-rrrr", path: "/api/v1/counter/handovers", body: func(w *world) any { return w.counterGiving("homecare") }},
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
	now := w.now()
	boss := accounts.Principal{Account: "test", Role: accounts.Admin, Division: city}
	o, err := w.app.Care.PostOffer(w.t.Context(), boss, w.orgID, providers.NewOffer{
		TitleZH: "柜台试" + category, TitleEN: "Owed " + category, Category: category, Divisions: []string{county}, Pace: "now", Handover: how,
		Lots: []providers.NewLot{{QtyUnits: 50, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(24 * time.Hour).UnixMilli()}},
	})
	must(w.t, err)
	_, err = w.app.Care.AddNeed(w.t.Context(), boss, residents.NewNeed{Resident: w.person.ID, Category: category, QtyUnits: units, Urgency: 3, Source: "scan", Note: canaryNote})
	must(w.t, err)
	got, err := w.app.Care.Scan(w.t.Context(), boss, w.person.CardNo)
	must(w.t, err)
	for _, a := range got.Offered {
		if a.Offer == o.ID && a.QtyUnits == units {
			return a.ID
		}
	}
	w.t.Fatalf("%d of %s are not owed: %+v", units, category, got.Offered)
	return ""
}

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
