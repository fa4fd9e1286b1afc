package matching_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/matching"
)

func TestReasonsInWords(t *testing.T) {
	t.Parallel()
	next := time.Date(2026, 11, 25, 0, 0, 0, 0, time.FixedZone("CST", 8*3600))
	soup := matching.Text{ZH: "热汤面", EN: "Noodle soup"}
	meal := matching.Text{ZH: "助餐"}
	for _, c := range []struct {
		got          matching.Reason
		code, zh, en string
	}{
		{matching.ReasonGiven(matching.Given{Offer: soup, Unit: matching.Text{ZH: "份", EN: "meal"}, Units: 2, WeightMilli: 900}), "given", "已匹配：“热汤面”有余量，按需派发 2 份。", "Matched: “Noodle soup” has stock; given: 2 meals."},
		{matching.ReasonGiven(matching.Given{Offer: soup, Unit: matching.Text{ZH: "份", EN: "meal"}, Category: meal, Units: 2, WeightMilli: 2309, LineMilli: 1809}), "given", "需求分 2.30，“助餐”今日线 1.80：派发“热汤面” 2 份。", "Score 2.30, today's line for “助餐” 1.80: given, 2 meals of “Noodle soup”."},
		{matching.ReasonGiven(matching.Given{Offer: soup, Unit: matching.Text{ZH: "份", EN: "meal"}, Category: meal, Units: 1, WeightMilli: 1300, LineMilli: 1200, WasMilli: 1800, Waited: true}), "given_waiting", "“助餐”的今日线从 1.80 降至 1.20，需求分 1.30：从候补名单派发“热汤面” 1 份。", "The line for “助餐” fell from 1.80 to 1.20, score 1.30: given from the waiting list, 1 meal of “Noodle soup”."},
		{matching.ReasonGiven(matching.Given{Offer: soup, Unit: matching.Text{ZH: "份", EN: "meal"}, Category: meal, Units: 1, WeightMilli: 1300, LineMilli: 1200, Waited: true}), "given_waiting", "有了余量，需求分 1.30：从候补名单派发“热汤面” 1 份。", "There is stock again, score 1.30: given from the waiting list, 1 meal of “Noodle soup”."},
		{matching.ReasonWaitingLine(meal, 1799, 1800, 14), "waiting_line", "需求分 1.79，低于“助餐”今日线 1.80：已列入候补，线降到时自动安排。", "Below today's line for “助餐” (1.80) with 1.79: waiting; served as soon as the line falls to it."},
		{matching.ReasonWaitingEven(meal), "waiting_even", "“助餐”按时间均匀派发，目前放出的份额已派完：已列入候补，放出新份额时自动安排。", "“助餐” is released evenly and what was released so far is given out: waiting; served as more is released."},
		{matching.ReasonGiven(matching.Given{Offer: soup, Unit: matching.Text{ZH: "份", EN: "meals"}, Units: 2, WeightMilli: 900, Kept: matching.Text{ZH: "老年人", EN: "Elderly"}}), "given", "已匹配：“热汤面”有余量，按需派发 2 份（为老年人保留的份额）。", "Matched: “Noodle soup” has stock; given: 2 meals (kept for: Elderly)."},
		{matching.ReasonGiven(matching.Given{Offer: soup, Unit: matching.Text{ZH: "份", EN: "meals"}, Category: meal, Units: 1, WeightMilli: 1300, Waited: true, Kept: matching.Text{ZH: "老年人", EN: "Elderly"}, Opened: true}), "given_waiting", "有了余量，需求分 1.30：从候补名单派发“热汤面” 1 份（原为老年人保留，现已开放）。", "There is stock again, score 1.30: given from the waiting list, 1 meals of “Noodle soup” (kept for: Elderly; now open to all)."},
		{matching.ReasonWaitingKept(meal, matching.Text{ZH: "老年人", EN: "Elderly"}, matching.Kept{Group: "elderly", OpensMs: next.UnixMilli()}), "waiting_kept", "余下的“助餐”为老年人保留，最迟 2026-11-25 00:00 对所有符合条件的人开放：已列入候补，开放时自动安排。", "What is left of “助餐” is kept for: Elderly; it opens to everybody eligible by 2026-11-25 00:00 (China time): waiting; served when it opens."},
		{matching.ReasonWaitingStock(0), "waiting_stock", "合适的资源目前已派完，有余量时自动安排。", "Everything suitable is given out at present; you are served as soon as there is more."},
		{matching.ReasonWaitingStock(14), "waiting_stock", "合适的资源目前已派完，排在第 14 位，有余量时自动安排。", "Everything suitable is given out at present (number 14 on the list); you are served as soon as there is more."},
		{matching.ReasonWaitingNone(meal, 3), "waiting_none", "目前没有适合您的“助餐”类资源，排在第 3 位，有新资源时自动安排。", "No offer in “助餐” reaches you now (number 3 on the list); you are served when one does."},
		{matching.ReasonWaitingCap(3, 3, false, matching.Day, next), "waiting_cap", "本户今日同类帮扶已用 3/3，2026-11-25 起可再次安排。", "The household has used 3 of 3 of this kind today; next possible from 2026-11-25."},
		{matching.ReasonWaitingCap(50000, 200000, true, matching.Month, next), "waiting_cap", "本户本月同类帮扶已用 ¥500.00/¥2000.00，2026-11-25 起可再次安排。", "The household has used ¥500.00 of ¥2000.00 of this kind this month; next possible from 2026-11-25."},
		{matching.ReasonOfferCapped(1, 1, matching.Text{ZH: "次", EN: "session"}, false, next), "offer_capped", "该资源每户限 1 次，本户已安排 1 次：2026-11-25 起可再次安排。", "It allows a household 1 session, and this one has had 1 session: next possible from 2026-11-25."},
		{matching.ReasonWaitingCap(1, 1, false, matching.Ever, time.Time{}), "waiting_cap", "本户累计同类帮扶已用 1/1，不再重复发放。", "The household has used 1 of 1 of this kind in all; it is not given again."},
		{matching.ReasonWaitingOfferCap(next), "waiting_offer_cap", "有余量的资源对本户均已达到该资源的限额，2026-11-25 起可再次安排。", "Every offer with stock has already given this household all it allows; next possible from 2026-11-25."},
		{matching.ReasonExpired(next), "expired", "截至 2026-11-25 00:00 未领取，份额已退回继续派发。", "Not collected by 2026-11-25 00:00 (China time); the units went back to be given to others."},
	} {
		if diff := cmp.Diff([]string{c.code, c.zh, c.en}, []string{c.got.Code, c.got.ZH, c.got.EN}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestReasonsAreComplete(t *testing.T) {
	t.Parallel()
	next := epoch
	all := map[string]matching.Reason{
		"given":             matching.ReasonGiven(matching.Given{Units: 1}),
		"given_waiting":     matching.ReasonGiven(matching.Given{Units: 1, Waited: true}),
		"waiting_line":      matching.ReasonWaitingLine(matching.Text{}, 1, 2, 3),
		"waiting_even":      matching.ReasonWaitingEven(matching.Text{}),
		"waiting_kept":      matching.ReasonWaitingKept(matching.Text{}, matching.Text{}, matching.Kept{Divisions: []string{wuxing}}),
		"not_kept":          matching.ReasonNot(matching.MissKept),
		"waiting_stock":     matching.ReasonWaitingStock(1),
		"waiting_none":      matching.ReasonWaitingNone(matching.Text{}, 1),
		"waiting_cap":       matching.ReasonWaitingCap(1, 1, false, matching.Week, next),
		"waiting_offer_cap": matching.ReasonWaitingOfferCap(next),
		"waiting_rebuild":   matching.ReasonWaitingRebuild(),
		"not_division":      matching.ReasonNot(matching.MissDivision),
		"not_group":         matching.ReasonNot(matching.MissGroup),
		"not_score":         matching.ReasonNot(matching.MissScore),
		"not_rule":          matching.ReasonNotRule([]matching.Text{{ZH: "年龄大于 70 岁", EN: "is aged more than 70"}}, false),
		"waiting_rule":      matching.ReasonWaitingRule(matching.Text{ZH: "午餐"}, matching.ReasonNotRule(nil, false)),
		"not_yet":           matching.ReasonNot(matching.MissNotYet),
		"over":              matching.ReasonNot(matching.MissOver),
		"unlisted":          matching.ReasonNot(""),
		"declined":          matching.ReasonDeclined(),
		"expired":           matching.ReasonNeedExpired(),
		"handed_over":       matching.ReasonHandedOver(),
		"withdrawn":         matching.ReasonWithdrawn(""),
		"record_full":       matching.ReasonRecordFull(),
		"record_claimed":    matching.ReasonRecordClaimed(),
		"waiting_rest":      matching.ReasonWaitingRest(),
		"reduced":           matching.ReasonReduced(),
		"changed":           matching.ReasonChanged(matching.Edit{Why: "asked", WasUnits: 5, Units: 3, WasUrgency: 2, Urgency: 3, WasUntilMs: 1, Note: true}),
		"open_now":          matching.ReasonConsidered(1200, 900, 1),
		"below_line":        matching.ReasonConsidered(1200, 1800, 1),
		"offer_capped":      matching.ReasonOfferCapped(1, 1, matching.Text{ZH: "份", EN: "meal"}, false, next),
		"even_later":        matching.ReasonConsidered(1200, matching.Shut, 1),
		"gone":              matching.ReasonConsidered(1200, 900, 0),
		"next_scan":         matching.ReasonNextScan(),
	}
	all["offer"] = matching.ReasonOfferWithdrawn()
	for code, r := range all {
		if r.Code != code && code != "offer" {
			t.Errorf("got code %q, want %q", r.Code, code)
		}
		if !strings.HasSuffix(r.ZH, "。") || !strings.ContainsFunc(r.ZH, func(c rune) bool { return unicode.Is(unicode.Han, c) }) {
			t.Errorf("%s: %q is no Chinese sentence", code, r.ZH)
		}
		if strings.ContainsAny(strings.ReplaceAll(r.ZH, "08:00", ""), ",:;()") { // the one time of day among them
			t.Errorf("%s: %q has half-width punctuation", code, r.ZH)
		}
		if !strings.HasSuffix(r.EN, ".") {
			t.Errorf("%s: %q is no sentence", code, r.EN)
		}
	}
	b, err := json.Marshal(matching.ReasonWaitingCap(2, 3, false, matching.Month, next))
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"used": "2", "limit": "3", "period": "month", "next_ms": "1795492800000"}
	if diff := cmp.Diff(want, back["facts"]); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	cst := time.FixedZone("CST", 8*3600)
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, cst)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	for _, c := range []struct {
		period         matching.Period
		at, label, end string
	}{
		{matching.Day, "2026-11-24 00:00", "D20261124", "2026-11-25 00:00"},
		{matching.Day, "2026-11-24 23:59", "D20261124", "2026-11-25 00:00"},
		{matching.Day, "2026-12-31 12:00", "D20261231", "2027-01-01 00:00"},
		{matching.Week, "2026-11-23 00:00", "W202648", "2026-11-30 00:00"},
		{matching.Week, "2026-11-29 23:59", "W202648", "2026-11-30 00:00"},
		{matching.Week, "2027-01-03 12:00", "W202653", "2027-01-04 00:00"},
		{matching.Month, "2026-02-28 12:00", "M202602", "2026-03-01 00:00"},
		{matching.Month, "2026-12-01 00:00", "M202612", "2027-01-01 00:00"},
		{matching.Year, "2026-01-01 00:00", "Y2026", "2027-01-01 00:00"},
	} {
		if got := c.period.Label(at(c.at)); got != c.label {
			t.Errorf("%s of %s: got %s, want %s", c.period, c.at, got, c.label)
		}
		if got := c.period.End(at(c.at)); !got.Equal(at(c.end)) {
			t.Errorf("end of %s of %s: got %s, want %s", c.period, c.at, got, c.end)
		}
		if !c.period.Valid() {
			t.Errorf("%s is not valid", c.period)
		}
	}
	if matching.Ever.Label(epoch) != "E" || !matching.Ever.End(epoch).IsZero() || !matching.Ever.Valid() {
		t.Error("ever has a label E and no end")
	}
	if matching.Period("fortnight").Valid() {
		t.Error("a fortnight is no period")
	}
}
