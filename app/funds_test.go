package app

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/funds"
)

const canaryDonor = "金丝雀捐赠人"

// midMonth goes on to the middle of the next month: no test begins in one month
// and ends in another.
func (w *world) midMonth() {
	now := w.now().In(chinaTime)
	w.shift.Add(int64(time.Date(now.Year(), now.Month()+1, 15, 12, 0, 0, 0, chinaTime).Sub(now)))
}

// fund makes a fund of the own organisation with a donation.
func (w *world) fund(fen int64) (fundView, donationView) {
	w.t.Helper()
	return w.fundFor("grocery", fen)
}

// fundFor is fund with a donation for one kind of aid.
func (w *world) fundFor(category string, fen int64) (fundView, donationView) {
	w.t.Helper()
	var f fundView
	w.do("provider", "POST", "/api/v1/funds", fundRequest{Kind: funds.Named, Name: "=暖冬基金", NameEN: "Warm Winter"}).into(w.t, &f)
	var d donationView
	w.do("provider", "POST", "/api/v1/funds/"+f.ID+"/donations", donationRequest{Donor: canaryDonor, Fen: fen, Category: category}).into(w.t, &d)
	return f, d
}

func (w *world) fundOffer(fund string, fen, units int64) answer {
	now := w.now()
	return w.do("provider", "POST", "/api/v1/offers", offerRequest{
		offerLots: offerLots{Lots: []providers.NewLot{{QtyUnits: units, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(24 * time.Hour).UnixMilli()}}},
		offerTerms: offerTerms{
			TitleZH: "米面", Category: "grocery", ValueFen: fen, Divisions: []string{county}, Pace: string(matching.PaceNow), Fund: fund, Handover: pickup(),
		},
	})
}

// From the donation through the offer to the handover; what is not given returns.
func TestFundsFromDonationToHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.midMonth()
	w.residentsSignIn()
	must(t, w.keeper.Tick(t.Context()))
	f, d := w.fund(10_000)
	api := "/api/v1/funds/" + f.ID
	if got := w.fundOffer(f.ID, 3000, 4); got.status != 400 || got.problem(t).Fields[0].Field != "fund" {
		t.Fatalf("an offer beyond the fund: %d %s", got.status, got.body)
	}
	if got := w.fundOffer(f.ID, 0, 1); got.status != 400 || got.problem(t).Fields[0].Field != "value_fen" {
		t.Errorf("an offer without a value: %d %s", got.status, got.body)
	}
	var o offerView
	w.fundOffer(f.ID, 3000, 3).into(t, &o)
	need := w.need(w.person, "grocery")
	scan := w.do("caseworker", "POST", "/api/v1/scans", scanRequest{w.digits(w.person)})
	var scanned struct {
		Offered []struct{ ID string }
	}
	scan.into(t, &scanned)
	if len(scanned.Offered) != 1 {
		t.Fatalf("the scan promised %s", scan.body)
	}
	if got := w.do("caseworker", "POST", "/api/v1/allocations/"+scanned.Offered[0].ID+"/handover", handoverRequest{}); got.status != 200 {
		t.Fatalf("hand over: %d %s", got.status, got.body)
	}
	w.do("provider", "POST", "/api/v1/offers/"+o.ID+"/withdraw", nil)
	w.shift.Add(int64(2 * time.Minute))
	w.until("the handover is paid and the rest is back", func() bool {
		must(t, w.keeper.Tick(t.Context()))
		must(t, w.keeper.Sweep(t.Context(), false))
		w.do("provider", "GET", api, nil).into(t, &f)
		return f.SpentFen == 3000 && f.ReservedFen == 0
	})
	if f.AvailableFen != 7000 || f.ReceivedFen != 10_000 || len(f.Draws) != 0 {
		t.Errorf("the fund is %+v", f)
	}
	var trace traceView
	w.do("admin", "GET", api+"/donations/"+d.ID+"/trace", nil).into(t, &trace)
	if trace.SpentFen != 3000 || trace.FreeFen != 7000 || len(trace.Handed) != 1 || trace.Handed[0] != (cellView{Fen: 3000}) {
		t.Errorf("one person is told as %+v", trace)
	}
	r, err := w.keeper.Verify(t.Context(), false)
	must(t, err)
	if !r.OK() || r.Handovers != 1 {
		t.Errorf("verify: %+v", r)
	}
	wantPage(t, w.do("provider", "GET", "/funds/"+f.ID, nil), 200, "交付支出", "¥30.00", "¥70.00")
	wantPage(t, w.do("caseworker", "GET", "/offers/"+o.ID, nil), 200, "暖冬基金")

	// The donor is seen by the organisation and its seat, and by nobody else.
	for actor, want := range map[string]bool{"provider": true, "admin": true, "other provider": false, "admin elsewhere": false, "caseworker": false, "resident": false} {
		for _, path := range []string{api, api + "/entries", api + "/donations", "/funds/" + f.ID, "/funds/" + f.ID + "/donations", "/offers/" + o.ID, "/api/v1/offers/" + o.ID} {
			got := bytes.Contains(w.do(actor, "GET", path, nil).body, []byte(canaryDonor))
			if allowed := want && strings.HasSuffix(path, "/donations"); got != allowed {
				t.Errorf("%s sees the donor at %s: %v", actor, path, got)
			}
		}
	}
	for _, path := range []string{api + "/entries", api + "/donations/" + d.ID + "/trace", "/funds/" + f.ID, "/funds/" + f.ID + "/donations/" + d.ID} {
		if body := w.do("provider", "GET", path, nil).body; bytes.Contains(body, []byte(w.person.ID)) || bytes.Contains(body, []byte(canaryName)) || bytes.Contains(body, []byte(need.ID)) {
			t.Errorf("%s names whom it was given to", path)
		}
	}
	if strings.Contains(w.logs.String(), canaryDonor) {
		t.Error("the donor stands in the log")
	}

	// The spreadsheet has the figures, and no cell of it is a formula.
	file := w.do("provider", "GET", "/funds/"+f.ID+"/statement.xlsx?month="+funds.MonthOf(w.now().UnixMilli()), nil)
	book, err := excelize.OpenReader(bytes.NewReader(file.body))
	must(t, err)
	defer book.Close()
	text := ""
	for _, sheet := range book.GetSheetList() {
		rows, err := book.GetRows(sheet)
		must(t, err)
		for _, cells := range rows {
			text += strings.Join(cells, "|") + "\n"
			for _, cell := range cells {
				if strings.HasPrefix(cell, "=") {
					t.Errorf("%s has the cell %q", sheet, cell)
				}
			}
		}
	}
	for _, want := range []string{"'=暖冬基金 月报", "期末余额|70.00", "交付支出|-30.00", "米面|90.00|60.00|30.00|1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the statement lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, canaryDonor) {
		t.Error("a statement of a fund that names no donors names one")
	}
}

// Some now and the rest later is paid when the last is given; what is taken back
// brings its money back to the fund, and the page and the statement say so.
func TestFundFollowsWhatIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.midMonth()
	must(t, w.keeper.Tick(t.Context()))
	f, d := w.fundFor("meal", 10_000)
	first := w.owedOf(providers.NewOffer{Category: "meal", Fund: f.ID, ValueFen: 1000, Handover: pickup(), Lots: []providers.NewLot{{QtyUnits: 8}}}, 3)
	figures := func(when string, available, reserved, spent int64) {
		t.Helper()
		w.shift.Add(int64(2 * time.Minute))
		must(t, w.keeper.Tick(t.Context()))
		w.do("provider", "GET", "/api/v1/funds/"+f.ID, nil).into(t, &f)
		if f.AvailableFen != available || f.ReservedFen != reserved || f.SpentFen != spent {
			t.Errorf("%s: %d available, %d reserved, %d spent", when, f.AvailableFen, f.ReservedFen, f.SpentFen)
		}
		r, err := w.keeper.Verify(t.Context(), false)
		must(t, err)
		for _, x := range r.Faults {
			t.Errorf("%s: %s", when, x)
		}
	}
	give := func(units int64) {
		t.Helper()
		g := w.counterGiving("meal")
		g.Units = units
		if got := w.do("provider", "POST", "/api/v1/counter/handovers", g); got.status != 200 {
			t.Fatalf("hand over: %d %s", got.status, got.body)
		}
	}
	back := func(id string, units, given int64, why string) {
		t.Helper()
		if got := w.do("caseworker", "POST", "/api/v1/allocations/"+id+"/return", returnRequest{Units: units, GivenUnits: given, Why: why}); got.status != 200 {
			t.Fatalf("take back: %d %s", got.status, got.body)
		}
	}
	give(2)
	figures("two of three are given", 2000, 8000, 0)
	back(first, 1, 2, "mistake")
	give(1)
	give(1)
	figures("all three are given", 2000, 5000, 3000)
	back(first, 1, 3, "unused")
	figures("one is back for somebody else", 2000, 6000, 2000)
	back(first, 2, 2, "spoiled")
	figures("the others are of no use", 4000, 6000, 0)
	var o care.AllocationView
	w.do("caseworker", "GET", "/api/v1/allocations/"+first, nil).into(t, &o)
	w.do("provider", "POST", "/api/v1/offers/"+o.Offer+"/withdraw", nil)
	figures("the offer is withdrawn", 10_000, 0, 0)
	var trace traceView
	w.do("provider", "GET", "/api/v1/funds/"+f.ID+"/donations/"+d.ID+"/trace", nil).into(t, &trace)
	if trace.FreeFen != 10_000 || trace.SpentFen != 0 || len(trace.Handed) != 0 {
		t.Errorf("the donation is traced to %+v", trace)
	}
	wantPage(t, w.do("provider", "GET", "/funds/"+f.ID, nil), 200, "交付后收回", "¥20.00")
	var s statementView
	w.do("provider", "GET", "/api/v1/funds/"+f.ID+"/statement?month="+funds.MonthOf(w.now().UnixMilli()), nil).into(t, &s)
	if s.Booked.SpentFen != 3000 || s.Booked.RecoveredFen != 3000 || len(s.Offers) != 1 || s.Offers[0].RecoveredUnits != 3 || s.Balance.AvailableFen != 10_000 {
		t.Errorf("the statement says %+v", s)
	}
	file := w.do("provider", "GET", "/funds/"+f.ID+"/statement.xlsx?month="+s.Month, nil)
	book, err := excelize.OpenReader(bytes.NewReader(file.body))
	must(t, err)
	defer book.Close()
	text := ""
	for _, sheet := range book.GetSheetList() {
		rows, err := book.GetRows(sheet)
		must(t, err)
		for _, cells := range rows {
			text += strings.Join(cells, "|") + "\n"
		}
	}
	for _, want := range []string{"交付后收回|30.00", "|80.00|80.00|30.00|30.00|1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the statement lacks %q:\n%s", want, text)
		}
	}
}

// Two people of the organisation close a month in the pages; a form that is sent
// twice enters a donation once.
func TestFundPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.midMonth()
	w.account("ann", accounts.Provider, "", w.orgID)
	made := w.submit("page ann", "/funds/new", url.Values{"kind": {"named"}, "name": {"暖冬基金"}, "key": {"a"}})
	path, _, _ := strings.Cut(made.header.Get("Location"), "?")
	if made.status != 303 || !strings.HasPrefix(path, "/funds/") {
		t.Fatalf("make a fund: %d %s", made.status, made.body)
	}
	day := w.now().In(chinaTime).Format(time.DateOnly)
	wantPage(t, w.submit("page ann", path+"/donate", url.Values{"yuan": {"x"}, "day": {day}}), 400, "请填写捐赠人", "请填写金额")
	gift := url.Values{"yuan": {"120.50"}, "day": {day}, "donor": {"沈女士"}, "key": {"b"}}
	for range 2 {
		if got := w.submit("page ann", path+"/donate", gift); got.status != 303 {
			t.Fatalf("enter a donation: %d %s", got.status, got.body)
		}
	}
	wantPage(t, w.do("page ann", "GET", path, nil), 200, "¥120.50")
	month := funds.MonthOf(w.now().UnixMilli())
	w.shift.Add(int64(32 * 24 * time.Hour))
	w.browse("page ann", "ann", "long enough")
	w.account("bob", accounts.Provider, "", w.orgID)
	closing := url.Values{"month": {month}}
	if got := w.submit("page ann", path+"/closing", closing); !strings.Contains(got.header.Get("Location"), "month_proposed") {
		t.Fatalf("propose: %d %s", got.status, got.body)
	}
	wantPage(t, w.do("page ann", "GET", path, nil), 200, "请本机构另一位人员")
	wantPage(t, w.do("page bob", "GET", path, nil), 200, "ann", "确认结账")
	if got := w.submit("page ann", path+"/closing", closing); !strings.Contains(got.header.Get("Location"), "month_proposed") {
		t.Errorf("one person closed a month alone: %s", got.header.Get("Location"))
	}
	if got := w.submit("page bob", path+"/closing", closing); !strings.Contains(got.header.Get("Location"), "month_closed") {
		t.Fatalf("confirm: %d %s", got.status, got.body)
	}
	gift["key"] = []string{"c"}
	wantPage(t, w.submit("page bob", path+"/donate", gift), 400, "该月已结账")
}
