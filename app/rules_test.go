package app

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/providers/eligibility"
)

// A provider checks a rule, sees how many it reaches, posts, and a scan says who
// fits and why somebody does not; what is wrong with a rule is told with its
// place, and a count names nobody.
func TestRulesOverTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const expr = `age > 70 && household_size == 1 && !received.within("meal", 7)`
	var rule ruleView
	w.do("provider", "POST", "/api/v1/rules/check", ruleRequest{Rule: "age>70 && household_size==1 && !received.within('meal',7)"}).into(t, &rule)
	if rule.Rule != expr || !rule.Simple || len(rule.Tree.All) != 3 || !strings.Contains(rule.ZH, "没有领过助餐") || !strings.Contains(rule.EN, "lives alone") {
		t.Errorf("the rule is %+v", rule)
	}
	var again ruleView
	w.do("provider", "POST", "/api/v1/rules/check", ruleRequest{Tree: rule.Tree}).into(t, &again)
	if again.Rule != expr {
		t.Errorf("built of its own tree it is %q", again.Rule)
	}
	for _, bad := range []ruleRequest{
		{Rule: "age >"}, {Rule: "groups.exists(g, g == 'x')"}, {Rule: `received.within("gold", 7)`}, {Tree: &eligibility.Tree{Ask: "age"}},
		{Rule: "age > 1" + strings.Repeat(" && age > 1", 300)},
	} {
		got := w.do("provider", "POST", "/api/v1/rules/check", bad)
		if p := got.problem(t); got.status != http.StatusUnprocessableEntity && got.status != http.StatusBadRequest || len(p.Fields) != 1 || p.Fields[0].Field != "rule" {
			t.Errorf("%.40q: %d %s", bad.Rule, got.status, got.body)
		}
	}

	terms := offerRequest{
		offerTerms: offerTerms{TitleZH: "独居老人午餐", TitleEN: "Lunch", Category: "meal", Divisions: []string{county}, Rule: expr, Pace: "now", Handover: pickup()},
		offerLots:  offerLots{Lots: lotsFor(w, 5)},
	}
	wrong := terms
	wrong.Rule = "age > 70 &&\n weather > 1"
	if got := w.do("provider", "POST", "/api/v1/offers", wrong); !bytes.Contains(got.body, []byte("第 2 行第 2 字")) || got.problem(t).Fields[0].Field != "rule" {
		t.Errorf("a wrong rule is posted with %d %s", got.status, got.body)
	}
	wrong = terms
	wrong.Sets = []string{"冬季救助", "two words"}
	if got := w.do("provider", "POST", "/api/v1/offers", wrong); got.problem(t).Fields[0].Field != "sets[1]" {
		t.Errorf("a set with a space in its name: %d %s", got.status, got.body)
	}
	terms.Sets = []string{"#冬季救助", "冬季救助"}
	var offer offerView
	w.do("provider", "POST", "/api/v1/offers", terms).into(t, &offer)
	if len(offer.Sets) != 1 || offer.Sets[0] != "冬季救助" {
		t.Errorf("its sets are %q", offer.Sets)
	}
	if offer.Rule != expr || offer.RuleZH != rule.ZH || offer.RuleEN != rule.EN {
		t.Errorf("posted is %+v", offer)
	}

	scanned := func(birth string, serial int) care.ScanResult {
		var person residentView
		w.do("caseworker", "POST", "/api/v1/residents", residentRequest{
			Name: "某人", IDNumber: idNumber("330502"+birth, serial), Division: village, Consent: []string{"matching"},
		}).into(t, &person)
		w.do("caseworker", "POST", "/api/v1/residents/"+person.ID+"/needs", needRequest{Category: "meal", QtyUnits: 1})
		var code codeView
		w.do("caseworker", "GET", "/api/v1/residents/"+person.ID+"/code", nil).into(t, &code)
		var scan care.ScanResult
		w.do("caseworker", "POST", "/api/v1/scans", scanRequest{code.URL}).into(t, &scan)
		return scan
	}
	if scan := scanned("19400101", 3); len(scan.Offered) != 1 || scan.Offered[0].Offer != offer.ID {
		t.Errorf("who fits is offered %+v", scan.Offered)
	}
	if scan := scanned("19900101", 4); len(scan.Offered) != 0 || scan.Needs[0].NotServed[0].Reason.Code != "not_rule" ||
		!strings.Contains(scan.Needs[0].Reason.ZH, "年龄大于 70 岁") || !strings.Contains(scan.Needs[0].Reason.EN, "is aged more than 70") {
		t.Errorf("who does not fit is told %+v", scan.Needs)
	}

	got := w.do("provider", "POST", "/api/v1/rules/reach", reachRequest{Divisions: []string{county}, ruleRequest: ruleRequest{Rule: "age > 3"}, ImportID: "count"})
	var reach reachView
	got.into(t, &reach)
	if reach.People != 0 || len(reach.Towns) != 0 || reach.FewTowns != 1 || !reach.Whole || reach.ZH == "" {
		t.Errorf("the reach of four people is %s", got.body)
	}
	if bytes.Contains(got.body, []byte(canaryName)) || bytes.Contains(got.body, []byte(w.person.ID)) {
		t.Errorf("a count names somebody: %s", got.body)
	}
	var progress importView
	w.do("provider", "GET", "/api/v1/imports/count", nil).into(t, &progress)
	if progress.Total == 0 {
		t.Errorf("the progress is %+v", progress)
	}
	if got := w.do("provider", "POST", "/api/v1/rules/reach", reachRequest{Divisions: []string{"999999999999"}}); got.problem(t).Fields[0].Field != "divisions[0]" {
		t.Errorf("of nowhere: %d %s", got.status, got.body)
	}
	w.stopClock()
	status := 0
	for range 130 {
		if status = w.do("provider", "POST", "/api/v1/rules/reach", reachRequest{Divisions: []string{village}}).status; status != http.StatusOK {
			break
		}
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("who asks on and on gets %d", status)
	}
}

// What colleagues have seen of counts, they have seen together.
func TestColleaguesAskForCountsAsOne(t *testing.T) {
	t.Parallel()
	one, other := accounts.Principal{Account: "a", Organisation: "o"}, accounts.Principal{Account: "b", Organisation: "o"}
	if asker(one) != asker(other) || asker(one) == asker(accounts.Principal{Account: "a", Organisation: "p"}) || asker(accounts.Principal{Account: "o"}) == asker(one) {
		t.Errorf("%s and %s", asker(one), asker(other))
	}
}
