package pages

import "slices"

const (
	sampleNow  = 1_764_036_000_000 // 2025-11-25 10:00 in China
	sampleHour = 3_600_000
	sampleDay  = 24 * sampleHour
)

type sample struct {
	name string
	view View
}

func samplePage(s *Site, lang, role, path string) Page {
	users := map[string]User{
		"admin":      {Name: "沈静", Role: "admin", Place: "湖州市", Runs: true},
		"caseworker": {Name: "陈立群", Role: "caseworker", Place: "吴兴区 · 月河街道", Runs: true},
		"provider":   {Name: "王芳", Role: "provider", Place: "湖州市慈善总会", Duty: "owner", Runs: true},
		"resident":   {Name: "李秀英", Role: "resident", Runs: true},
		"":           {},
	}
	return s.Page(lang, users[role], "csrf-of-the-session", path)
}

func sampleForm(p Page, values map[string][]string) Form {
	if values == nil {
		values = map[string][]string{}
	}
	return Form{Page: p, Values: values, Errors: map[string]string{}}
}

func samples(s *Site, lang string) []sample {
	portion := Text{"份", "meal"}
	groups := []Choice{
		{Value: "elderly", Text: Text{"老年人", "Elderly"}}, {Value: "child", Text: Text{"儿童", "Child"}}, {Value: "disabled", Text: Text{"残疾人", "Disabled"}},
		{Value: "low_income", Text: Text{"低保", "Low income"}}, {Value: "serious_illness", Text: Text{"大病", "Serious illness"}},
	}
	categories := []Choice{{Value: "meal", Text: Text{"助餐", "Meals"}}, {Value: "homecare", Text: Text{"居家照护", "Home care"}}, {Value: "cash", Text: Text{"救助金", "Cash aid"}}}
	areas := []ChoiceGroup{
		{"吴兴区 · 月河街道", []Choice{{Value: "330502001006", Text: Text{"马军巷社区居委会", ""}}, {Value: "330502001016", Text: Text{"月河社区居委会", ""}}}},
		{"吴兴区 · 朝阳街道", []Choice{{Value: "330502002010", Text: Text{"潮音社区居委会", ""}}}},
	}
	lunch := Aid{
		ID: "n1-0", Title: Text{"社区食堂午餐", "Lunch at the community canteen"}, Category: Text{"助餐", "Meals"}, Amount: Amount{Units: 1, Unit: portion},
		Provider: "湖州市慈善总会", Kind: "charity", State: "promised", How: "pickup", Place: Text{"月河街道敬老食堂", "Yuehe canteen"},
		Note: "凭幸福码领取", ExpiresMs: sampleNow + sampleHour, Open: true,
		Reason: Text{"已匹配：“社区食堂午餐”有余量，按需派发 1 份。", "Matched: “Lunch at the community canteen” has stock; 1 given."},
	}
	grant := Aid{
		ID: "n3-0", Title: Text{"冬季取暖补助", "Winter heating grant"}, Category: Text{"救助金", "Cash aid"}, Amount: Amount{Units: 60000, Money: true},
		Provider: "吴兴区民政局", Kind: "government", State: "promised", Accepted: true, How: "transfer", ExpiresMs: sampleNow + 9*sampleDay, Open: true,
	}
	received := []Aid{
		{ID: "a1", Title: Text{"社区食堂午餐", "Lunch at the community canteen"}, Amount: Amount{Units: 1, Unit: portion}, Provider: "湖州市慈善总会", Kind: "charity", State: "handed_over", HandedOverMs: sampleNow - sampleDay, Reason: lunch.Reason},
		{ID: "a2", Title: Text{"爱心粮油", "Groceries"}, Amount: Amount{Units: 2, Unit: Text{"份", "pack"}}, Provider: "浙北大厦集团", Kind: "enterprise", State: "handed_over", HandedOverMs: sampleNow - 6*sampleDay},
		{ID: "a3", Title: Text{"上门理发", "Haircut at home"}, Amount: Amount{Units: 1, Unit: Text{"次", "visit"}}, Provider: "月河街道助联体", Kind: "government", State: "declined", EndReason: Text{"已谢绝，份额已退回继续派发。", "Declined; the units went back."}},
	}
	needs := []Need{
		{ID: "n1", Category: Text{"助餐", "Meals"}, Amount: Amount{Units: 3, Unit: portion}, Promised: Amount{Units: 1, Unit: portion}, Given: Amount{Units: 1, Unit: portion}, Left: Amount{Units: 1, Unit: portion}, Urgency: 3, State: "promised", Position: 2,
			Rest:   Text{"需求分 1.20，低于“助餐”今日线 1.80：已列入候补，线降到时自动安排。", "Below today's line for “Meals” (1.80) with 1.20: waiting; served as soon as the line falls to it."},
			Reason: Text{"已匹配：“社区食堂午餐”有余量，按需派发 1 份。", "Matched: “Lunch at the community canteen” has stock; 1 given."}, CreatedMs: sampleNow - 2*sampleDay, MayWithdraw: true},
		{ID: "n2", Category: Text{"居家照护", "Home care"}, Amount: Amount{Units: 4, Unit: Text{"小时", "hours"}}, Urgency: 2, State: "waiting", Position: 7,
			Reason: Text{"合适的资源目前已派完，排在第 7 位，有余量时自动安排。", "Everything suitable is given out at present (number 7 on the list); you are served as soon as there is more."},
			Note:   "腿脚不便，希望上午来", CreatedMs: sampleNow - 4*sampleDay, UntilMs: sampleNow + 20*sampleDay, MayWithdraw: true,
			NotServed: []NotServed{{Title: Text{"城东护理站上门服务", "Home nursing, east side"}, Reason: Text{"该资源不覆盖您所在的村（社区）。", "The offer does not reach your village or community."}}}},
	}
	views := []Viewing{
		{AtMs: sampleNow - sampleHour, Who: "陈立群", Role: "caseworker", What: Page{Lang: lang}.Say(Text{"扫码", "Scan a code"})},
		{AtMs: sampleNow - sampleDay, Who: "沈静", Role: "admin", What: Page{Lang: lang}.Say(Text{"居民档案", "A resident"}), Purpose: Page{Lang: lang}.Say(Text{"已拒绝", "Denied"})},
	}
	own := received[0]
	own.MayHandOver = false
	lunchHere := lunch
	lunchHere.MayHandOver = true
	grantHere := grant
	grantHere.MayHandOver, grantHere.PINRequired, grantHere.Scan = true, true, "019ab3f2-0000-7000-8000-000000000001"
	grantHere.Failure = Page{Lang: lang}.Say(Text{"此项价值较高，仅扫码不能交付：请由领取人输入 PIN，或拍一张交付照片。", "This is worth so much that a scan alone does not do: have the PIN entered, or take a photo of the handover."})
	grant.PINRequired = true
	received[0].Proof, received[1].Proof, received[1].Photo = "carer", "photo", true
	needForm := func(p Page, wrong bool) NeedForm {
		f := NeedForm{Form: sampleForm(p, map[string][]string{"qty": {"1"}, "urgency": {"2"}}), Categories: categories, Today: "2025-11-25"}
		if wrong {
			f.Values["qty"], f.Failure, f.Errors["qty"] = []string{"很多"}, f.T("form.check"), f.T("form.number")
		}
		return f
	}
	outcome := &Outcome{Taken: 9874, Known: 112, BadCount: 14, Bad: []BadRow{
		{17, "身份证号", Text{"校验码不正确，请核对第 18 位。", "The check digit is wrong; look at character 18."}},
		{203, "区划代码", Text{"没有这个村（社区）。", "There is no such village."}},
	}}
	if lang == English {
		outcome.Bad[0].Column, outcome.Bad[1].Column = "id_number", "division"
	}
	admin := func(path string) Page { return samplePage(s, lang, "admin", path) }
	worker := func(path string) Page { return samplePage(s, lang, "caseworker", path) }
	giver := func(path string) Page { return samplePage(s, lang, "provider", path) }
	visitor := func(path string) Page { return samplePage(s, lang, "", path) }

	done := worker("/residents/r1")
	done.Done = "handed_over"
	signin := SignIn{Form: sampleForm(visitor("/signin"), map[string][]string{"username": {"chenlq"}}), Next: "/scan"}
	signin.Failure = signin.T("signin.failed")
	password := Password{Form: sampleForm(worker("/password"), nil)}
	password.Failure, password.Errors["password_again"] = password.T("form.check"), password.T("password.differs")
	register := Register{Form: sampleForm(worker("/residents/new"), map[string][]string{"name": {"李秀英"}, "id_number": {"330502194803120025"}, "groups": {"elderly"}, "consent": {"matching"}}), Villages: areas, Groups: groups}
	register.Failure, register.Errors["id_number"] = register.T("form.check"), Page{Lang: lang}.Say(Text{"校验码不正确，请核对最后一位。", "The check digit is wrong; look at the last character."})
	record := sampleForm(worker("/residents/r2"), map[string][]string{"status": {"moved"}})
	record.Failure, record.Errors["pin"] = record.T("form.check"), Page{Lang: lang}.Say(Text{"PIN 应为 6 到 12 位数字", "a PIN has 6 to 12 digits"})
	pin := sampleForm(samplePage(s, lang, "resident", "/me"), nil)
	pin.Failure, pin.Errors["old_pin"] = pin.T("form.check"), pin.T("me.pin_wrong")
	offerNew := OfferNew{Form: sampleForm(giver("/offers/new"), map[string][]string{
		"title_zh": {"社区食堂午餐"}, "key": {"k1"}, "images": {"i1"}, "s0_every": {"week"}, "s0_qty": {"60"}, "s0_weekday": {"1", "2", "3", "4", "5"}, "s0_from": {"2025-12-01"}, "s0_to": {"2025-12-31"}, "s0_start": {"11:00"}, "s0_end": {"13:00"}, "lot_qty": {"200"}, "lot_from": {"2025-11-25T10:30"}, "lot_until": {"2025-11-25T09:30"}, "divisions": {"330502001000"}, "cap_period": {"day"}, "pace": {"drip"}, "reserve": {"2"}, "kept_group": {"elderly", "", ""}, "kept_division": {"", "330502001000", ""}, "kept_percent": {"30", "80", ""}}),
		OfferForm: "meals", Hows: []string{"pickup", "delivery", "onsite"}, MayDraft: true,
		Categories: categories, Groups: groups, Counties: []CountyTowns{
			{"330502000000", "吴兴区", []Town{{"330502001000", "月河街道"}, {"330502002000", "朝阳街道"}, {"330502003000", "爱山街道"}}},
			{"330503000000", "南浔区", []Town{{"330503100000", "南浔镇"}}}}}
	offerNew.Values["rule"], offerNew.Values["rule_before"] = []string{`age > 70`}, []string{`age > 80`}
	offerNew.Rule = Rule{Choices: "{}", Says: Text{"须满足：年龄大于 70 岁。", "This must hold: is aged more than 70."}, Reach: &RuleReach{
		Rule: `age > 70`, Compared: true, People: 61, Before: 23, FewTowns: 2, Whole: false, Towns: []RuleTown{{"吴兴区 · 月河街道", 38, 23, false}, {"吴兴区 · 朝阳街道", 12, 0, false}, {"南浔区 · 南浔镇", 11, 11, true}, {"南浔区 · 练市镇", 0, 9, false}}}}
	offerNew.Errors["kept[1]"] = Page{Lang: lang}.Say(Text{"各份保留加起来不得超过全部，请减少。", "All that is kept is more than the whole: keep less."})
	offerNew.Failure, offerNew.Errors["lots[0]"] = offerNew.T("form.check"), Page{Lang: lang}.Say(Text{"结束时间要晚于开始时间。", "It must end after it begins."})
	counties := []ChoiceGroup{{"吴兴区", []Choice{{Value: "330502000000", Text: Text{"不清楚哪个乡镇、街道", "Town not known"}}, {Value: "330502001000", Text: Text{"月河街道", ""}}, {Value: "330502002000", Text: Text{"朝阳街道", ""}}}}, {"南浔区", []Choice{{Value: "330503000000", Text: Text{"不清楚哪个乡镇、街道", "Town not known"}}}}}
	kinds, times := []string{"food", "illness", "alone", "child", "housing", "other"}, []string{"today", "days", "longer"}
	told := ReportWords{Text: "两天没见她出门，窗帘一直拉着。", Place: "红丰西路 12 弄，菜场旁边", Person: "邻居叫她阿凤婆婆", Name: "小周", Phone: "13800001111"}
	telling := Report{Form: sampleForm(visitor("/report"), map[string][]string{"key": {"k1"}, "division": {"330502001000"}, "kind": {"other"}}), Places: counties, Kinds: kinds, Times: times}
	telling.Failure, telling.Errors["text"] = telling.T("form.check"), Page{Lang: lang}.Say(Text{"请写一写是什么情况", "say what is the matter"})
	trap := Report{Form: sampleForm(visitor("/report"), map[string][]string{"leave_empty": {"x"}}), Places: counties, Kinds: kinds, Times: times}
	trap.Errors["leave_empty"] = trap.T("report.leave_empty")
	row := ReportRow{ID: "p1", Reference: "48210963", Place: "吴兴区 · 月河街道 · 马军巷社区居委会", Kind: "alone", State: "new", Overdue: true, CreatedMs: sampleNow - 2*sampleDay}
	over := ReportRow{ID: "p2", Reference: "77120034", Place: "吴兴区 · 月河街道", Kind: "food", State: "closed", Outcome: "registered", CreatedMs: sampleNow - 3*sampleDay}
	taken := row
	taken.State, taken.Overdue = "taken", false
	fromReport := Register{Form: sampleForm(worker("/residents/new"), map[string][]string{"division": {"330502001006"}}), Villages: areas, Groups: groups,
		Report: &ReportNote{ID: "p1", Reference: "48210963", Place: "吴兴区 · 月河街道 · 马军巷社区居委会", Kind: "alone", Words: told}}
	outcomes := []string{"registered", "helped", "not_found", "not_in_need", "duplicate"}
	came := ReportStep{AtMs: sampleNow - 2*sampleDay, To: "new"}
	step := func(to, who string) ReportStep { return ReportStep{AtMs: sampleNow, To: to, Who: who} }
	shut := told
	shut.Text, shut.Note = "", "已送医，子女已回家照顾。"
	organisations := Organisations{Form: sampleForm(admin("/organisations"), nil), Rows: []OrganisationRow{
		{ID: "o1", Kind: "enterprise", Status: "pending", CreditCode: "91330500MA2B3C4D5X", Place: "吴兴区", Contact: "0572-2030405", Name: Text{"浙北大厦集团", "Zhebei Group"}, CreatedMs: sampleNow - sampleDay},
		{ID: "o2", Kind: "charity", Status: "approved", CreditCode: "53330500MJ8760123B", Place: "南浔区", Name: Text{"湖州市慈善总会", "Huzhou Charity Federation"}, CreatedMs: sampleNow - 40*sampleDay, Note: "材料齐全"}}}

	return append(slices.Concat(
		carerSamples(s, lang),
		needSamples(s, lang),
		organisationSamples(s, lang),
		counterSamples(s, lang),
		offerSamples(s, lang),
		fundSamples(s, lang),
	), []sample{
		{"signin", signin},
		{"password", password},
		{"home_admin", Home{Page: admin("/"), Pending: 2}},
		{"home_caseworker", Home{Page: worker("/"), Reports: 3, ReportsOverdue: 1, Conflicts: 3}},
		{"home_provider", Home{Page: giver("/"), Status: "pending"}},
		{"scan", Scan{Form: sampleForm(worker("/scan"), nil), Categories: []ScanCategory{{"meal", Text{"助餐", "Meals"}, portion, false}}, Groups: groups[:2]}},
		{"scan_shell", Scan{Form: sampleForm(worker("/scan").AsShell(), nil), Categories: []ScanCategory{{"meal", Text{"助餐", "Meals"}, portion, false}}, Groups: groups[:2]}},
		{"unreachable", Unreachable{Page: samplePage(s, lang, "", "/unreachable").AsShell()}},
		{"offline", Offline{Page: worker("/offline"), Categories: []ScanCategory{{"meal", Text{"助餐", "Meals"}, portion, false}}, Groups: groups[:2]}},
		{"offline_shell", Offline{Page: worker("/offline").AsShell(), Categories: []ScanCategory{{"meal", Text{"助餐", "Meals"}, portion, false}}, Groups: groups[:2]}},
		{"residents", Residents{Form: sampleForm(worker("/residents"), nil), Divisions: areas, Rows: []ResidentRow{
			{"r1", "李秀英", "吴兴区 · 月河街道 · 马军巷社区居委会", "734118205569", []Text{{"老年人", "Elderly"}, {"低保", "Low income"}}},
			{"r2", "张国强", "吴兴区 · 月河街道 · 月河社区居委会", "120094337186", []Text{{"残疾人", "Disabled"}}}}, Next: "/residents?after=x"}},
		{"residents_empty", Residents{Form: sampleForm(worker("/residents"), nil), Divisions: areas}},
		{"register", register},
		{"resident", Resident{NeedForm: needForm(done, false), Record: sampleForm(done, map[string][]string{"consent": {"matching"}, "status": {"active"}}), Status: "active", HasPIN: true, ConsentMs: sampleNow - 30*sampleDay, ID: "r1", Name: "李秀英", Place: "吴兴区 · 月河街道 · 马军巷社区居委会", CardNo: "734118205569", IDMasked: "3305************25", Household: "019ab3f2-77aa-7c10-9e50-0a6b5f0e1d22",
			BirthYear: 1948, ScoreMilli: 640, Groups: []Text{{"老年人", "Elderly"}, {"低保", "Low income"}}, Promises: []Aid{lunchHere, grantHere}, Needs: needs, Received: received, Views: views, Kept: keptSample(done, "/residents/r1"), ShownBy: done.T("scan.shown_by", done.T("relation.child"), "王芳", done.Day(sampleNow+90*sampleDay))}},
		{"resident_new", Resident{NeedForm: needForm(worker("/residents/r2"), true), Record: record, Status: "moved", ID: "r2", Name: "张国强", Place: "吴兴区 · 月河街道 · 月河社区居委会", CardNo: "120094337186", IDMasked: "3305************18", ScoreMilli: 300, Kept: movedSample(record.Page, "/residents/r2")}},
		{"import", Import{Form: sampleForm(worker("/residents/import"), nil), Outcome: outcome}},
		{"card", Card{Page: worker("/residents/r1/card"), ID: "r1", Face: sampleFace("李＊＊", "734118205569", "2030-11-25")}},
		{"cards", Cards{Form: sampleForm(worker("/cards"), map[string][]string{"division": {"330502001006"}}), Divisions: areas, Division: "330502001006", Place: "吴兴区·月河街道·马军巷社区居委会", Count: CardCount{Cards: 312, Sheets: 32, Gone: 4, NoCode: 2}, Most: 2000}},
		{"cards_many", Cards{Form: sampleForm(admin("/cards"), nil), Divisions: areas, Division: "330500000000", Place: "湖州市", Count: CardCount{Cards: 4312, Sheets: 436, Gone: 4}, Most: 2000, Owner: "a1", Cuts: "330502001006.h1,330502002010.h2", Parts: []CardPart{
			{First: 1, Last: 2000, Sheets: 201, ID: "-330502001006.h1", Query: "division=330500000000&part=1&until=330502001006.h1"},
			{First: 2001, Last: 3998, Sheets: 202, ID: "330502001006.h1-330502002010.h2", Query: "after=330502001006.h1&division=330500000000&part=2&until=330502002010.h2"},
			{First: 3999, Last: 4312, Sheets: 33, ID: "330502002010.h2-", Query: "after=330502002010.h2&division=330500000000&part=3"}}}},
		{"cards_none", Cards{Form: sampleForm(worker("/cards"), nil), Divisions: areas, Division: "330502001016", Place: "吴兴区·月河街道·月河社区居委会", Count: CardCount{Gone: 1}, Most: 2000}},
		{"card_sheets", CardSheets{Page: worker("/cards"), Division: "330502001006", Place: "吴兴区·月河街道·马军巷社区居委会", First: 1, Last: 2, Total: 3, Next: "/cards/print?division=330502001006&first=2", Sheets: []CardSheet{
			{"吴兴区·月河街道·马军巷社区居委会", "第 1 张，共 3 张 · Sheet 1 of 3", "请按实际大小打印。", []CardFace{sampleFace("李＊＊", "734118205569", ""), sampleFace("欧＊＊", "120094337186", "")}},
			{"吴兴区·月河街道·马军巷社区居委会", "第 2 张，共 3 张 · Sheet 2 of 3", "请按实际大小打印。", []CardFace{sampleFace("阿＊＊", "551200771233", "2030-11-25")}}}}},
		{"offers", Offers{Page: giver("/offers"), MayPost: true, Rows: []OfferRow{
			{ID: "f1", Kind: "charity", Status: "open", Provider: "湖州市慈善总会", Title: Text{"社区食堂午餐", "Lunch at the community canteen"}, Category: Text{"助餐", "Meals"}, Total: Amount{Units: 12000, Unit: portion}, FromMs: sampleNow, UntilMs: sampleNow + 30*sampleDay},
			{ID: "f2", Kind: "government", Status: "withdrawn", Provider: "吴兴区民政局", Title: Text{"冬季取暖补助", "Winter heating grant"}, Category: Text{"救助金", "Cash aid"}, Total: Amount{Units: 5000000, Money: true}, FromMs: sampleNow, UntilMs: sampleNow + 60*sampleDay}}}},
		{"offers_empty", Offers{Page: giver("/offers"), MayPost: true}},
		{"offer_new", offerNew},
		{"offer", Offer{Page: giver("/offers/f1"), ID: "f1", OfferForm: "meals", Images: []string{"/api/v1/images/i1"}, MayAgain: true, Kind: "charity", Status: "open", Provider: "湖州市慈善总会", How: "pickup", Title: Text{"社区食堂午餐", "Lunch at the community canteen"}, Category: Text{"助餐", "Meals"},
			Place: Text{"月河街道敬老食堂", "Yuehe canteen"}, Note: "每天 10:30 到 12:30", ValueFen: 1250, Places: []string{"吴兴区", "南浔区 · 南浔镇"}, Groups: []Text{{"老年人", "Elderly"}}, MinScoreMilli: 400, Rule: Text{"须满足：年龄大于 70 岁。", "This must hold: is aged more than 70."}, Sets: []string{"冬季救助"},
			Cap: Amount{Units: 1, Unit: portion}, CapPeriod: "day", Pace: "drip", ReserveMilli: 1400, CreatedMs: sampleNow - sampleDay, Live: true, MayWithdraw: true, Kept: []Kept{
				{Number: 1, Group: Text{"老年人", "Elderly"}, PerMille: 300, Qty: 36, Given: 12}, {Number: 2, Group: Text{"残疾人", "Disabled"}, Place: "南浔区 · 南浔镇", PerMille: 125, Qty: 10, Given: 10}}, Stock: []Share{
				{ID: "f1-1k1@330502", Place: "吴兴区", Kept: &Kept{Group: Text{"老年人", "Elderly"}}, FromMs: sampleNow, UntilMs: sampleNow + 2*sampleHour, Qty: 36, Free: 24, Promised: 2, HandedOver: 10},
				{ID: "f1-1@330502", Place: "吴兴区", FromMs: sampleNow, UntilMs: sampleNow + 2*sampleHour, Qty: 120, Free: 41, Held: 3, Promised: 28, HandedOver: 46, Gone: 2},
				{ID: "f1-1@330503", Place: "南浔区", FromMs: sampleNow - sampleDay, UntilMs: sampleNow - sampleHour, Qty: 80, HandedOver: 71, Gone: 9, Closed: "over"},
				{ID: "f1-1@330521", Place: "德清县", FromMs: sampleNow - sampleDay, UntilMs: sampleNow - sampleHour}}, Moves: []Move{
				{From: "南浔区", To: "吴兴区", Amount: Amount{Units: 6, Unit: portion}, AtMs: sampleNow},
				{From: "南浔区", To: "吴兴区", Amount: Amount{Units: 12, Unit: portion}, Waited: true, AtMs: sampleNow - sampleHour, Arrived: true},
				{From: "吴兴区", To: "南浔区", Amount: Amount{Units: 3, Unit: portion}, AtMs: sampleNow - 2*sampleHour, Arrived: true}}}},
		{"organisations", organisations},
		{"organisations_empty", Organisations{Form: sampleForm(admin("/organisations"), nil), Status: "pending"}},
		{"devices", Devices{Form: sampleForm(admin("/devices"), nil), Others: true, Rows: []DeviceRow{
			{ID: "d1", Name: "下村用的手机", Owner: "陈立群", Mine: true, SeenMs: sampleNow - sampleHour, Lease: &LeaseRow{
				Place: "吴兴区·月河街道·马军巷社区居委会", FromMs: sampleNow - 2*sampleHour, UntilMs: sampleNow + 6*sampleHour, SyncMs: sampleNow + 18*sampleHour, Items: 41, Given: 12, Unreported: 29},
				History: []LeaseRow{{Place: "吴兴区·月河街道·月河社区居委会", FromMs: sampleNow - 3*sampleDay, EndedMs: sampleNow - 2*sampleDay, Items: 30, Given: 28, Returns: 2, Why: "returned"}}},
			{ID: "d2", Name: "站里的平板", Owner: "周明", SeenMs: sampleNow - 30*sampleHour, Lease: &LeaseRow{
				Place: "吴兴区·月河街道·月河社区居委会", FromMs: sampleNow - 31*sampleHour, UntilMs: sampleNow - 7*sampleHour, SyncMs: sampleNow + 5*sampleHour, Items: 18, Given: 4, Unreported: 13, Gaps: 1, Overdue: true}},
			{ID: "d3", Name: "旧手机", Owner: "周明", Lost: true, SeenMs: sampleNow - 9*sampleDay, LostMs: sampleNow - 8*sampleDay, Last: &LeaseRow{
				Place: "吴兴区·月河街道·月河社区居委会", FromMs: sampleNow - 9*sampleDay, EndedMs: sampleNow - 8*sampleDay, Items: 20, Given: 6, Unreported: 13, Gaps: 1, Returns: 14, Why: "lost"}},
			{ID: "d4", Name: "备用手机", Owner: "陈立群", Mine: true, SeenMs: sampleNow - 5*sampleHour, Last: &LeaseRow{
				Place: "吴兴区·月河街道·月河社区居委会", FromMs: sampleNow - 9*sampleHour, EndedMs: sampleNow - sampleHour, Items: 20, Given: 6, Unreported: 11, Late: 3, Returns: 14, Why: "recalled"}}}}},
		{"devices_empty", Devices{Form: sampleForm(worker("/devices"), nil)}},
		{"conflicts", Conflicts{Form: sampleForm(worker("/conflicts"), nil), Rows: []ConflictRow{
			{ID: "d1.r7", Kind: "over", Person: "李秀英", Resident: "r1", Place: "吴兴区·月河街道·马军巷社区居委会", Title: lunch.Title, Amount: lunch.Amount, Device: "下村用的手机", Account: "陈立群", How: "scan",
				GivenMs: sampleNow - sampleHour, AtMs: sampleNow, Decisions: []string{"confirmed", "mistake"}, Reason: Text{"超出限额或需求。", "More than the cap or the need allows."},
				Other: &ConflictOther{State: "handed_over", Device: "站里的平板", By: "周明", AtMs: sampleNow - 2*sampleHour}},
			{ID: "d1.r8", Kind: "revoked", Person: "张国强", Resident: "r2", Place: "吴兴区·月河街道·月河社区居委会", Title: received[1].Title, Amount: received[1].Amount, Device: "下村用的手机", Account: "陈立群", How: "card_no", PIN: true,
				GivenMs: sampleNow - sampleHour, AtMs: sampleNow, Decisions: []string{"given", "returned", "lost"}, Reason: Text{"幸福码已经作废。该份额已冻结，等待核实。", "The code had been revoked. Its units are kept until somebody decides."}},
			{ID: "d2.r1", Kind: "late", Person: "李秀英", Resident: "r1", Place: "吴兴区·月河街道·马军巷社区居委会", Title: lunch.Title, Amount: lunch.Amount, Device: "沈静的手机", Account: "沈静", How: "scan", Mine: true,
				GivenMs: sampleNow - sampleHour, AtMs: sampleNow, Decisions: []string{"given", "returned", "lost"}, Reason: Text{"该批次当时已结束。", "The lot had ended."}}}}},
		{"conflicts_settled", Conflicts{Form: sampleForm(worker("/conflicts"), nil), Settled: true, Rows: []ConflictRow{
			{ID: "d1.r6", Kind: "no_pin", Person: "李秀英", Resident: "r1", Place: "吴兴区·月河街道·马军巷社区居委会", Title: lunch.Title, Amount: lunch.Amount, Device: "下村用的手机", Account: "陈立群", How: "word",
				GivenMs: sampleNow - sampleDay, AtMs: sampleNow - 20*sampleHour, Reason: Text{"交付时未核对 PIN。", "No PIN was checked."}, Decision: "given", Note: "电话核实，本人已收到", By: "沈静", SettledMs: sampleNow - sampleHour}}}},
		{"conflicts_empty", Conflicts{Form: sampleForm(worker("/conflicts"), nil)}},
		{"join", Join{Form: sampleForm(visitor("/join"), nil), Divisions: areas}},
		{"accounts", Accounts{Form: sampleForm(admin("/accounts"), nil), Divisions: areas, Organisations: categories[:1], Rows: []AccountRow{
			{"u1", "沈静", "shenj", "admin", "湖州市", false, true}, {"u2", "陈立群", "chenlq", "caseworker", "吴兴区 · 月河街道", true, false}}}},
		{"tokens", Tokens{Form: sampleForm(admin("/tokens"), map[string][]string{"days": {"90"}}), Fresh: "hc_3f9c2b7e8d1a4c60b5e7f9a2", Divisions: areas, Organisations: categories[:1], Rows: []TokenRow{
			{"t1", "民政数据接口", "caseworker", "湖州市", sampleNow + 80*sampleDay, false}, {"t2", "旧接口", "provider", "湖州市慈善总会", sampleNow - sampleDay, true}}}},
		{"divisions", Divisions{Form: sampleForm(admin("/divisions"), nil), Trail: []Division{{"330500000000", "湖州市", 5}, {"330502000000", "吴兴区", 19}}, Rows: []Division{{"330502001000", "月河街道", 14}, {"330502001006", "马军巷社区居委会", 0}}, Outcome: &Outcome{Taken: 1378, Known: 1}}},
		{"me", Me{NeedForm: needForm(samplePage(s, lang, "resident", "/me"), false), PIN: sampleForm(samplePage(s, lang, "resident", "/me"), nil), ID: "r1", CardNo: "734118205569", Promises: []Aid{lunch, grant}, Needs: needs,
			List: []ListGroup{{Text{"助餐", "Meals"}, []Aid{own}}, {Text{"米面粮油", "Groceries"}, received[1:2]}}, Ends: []EndCount{{"government", 2}, {"charity", 9}, {"enterprise", 3}}, Views: views, Kept: keptSample(pin.Page, "/me")}},
		{"me_empty", Me{NeedForm: needForm(samplePage(s, lang, "resident", "/me"), true), PIN: pin, ID: "r2", CardNo: "120094337186", Ends: []EndCount{{"government", 0}, {"charity", 0}, {"enterprise", 0}}, Kept: revokedSample(pin.Page, "/me")}},
		{"code", s.Code()},
		{"report", telling},
		{"report_trap", trap},
		{"report_sent", ReportSent{Page: visitor("/report"), Reference: "48210963"}},
		{"reports", Reports{Form: sampleForm(worker("/reports"), nil), State: "new", Rows: []ReportRow{row, over}, Next: "/reports?after=x"}},
		{"reports_empty", Reports{Form: sampleForm(worker("/reports"), nil), State: "closed"}},
		{"task", Task{Form: sampleForm(worker("/reports/p1"), nil), ReportRow: row, Words: told, Seen: "days", Outcomes: outcomes, History: []ReportStep{came}}},
		{"task_taken", Task{Form: sampleForm(worker("/reports/p1"), nil), ReportRow: taken, Words: told, Outcomes: outcomes, History: []ReportStep{came, step("taken", "沈静")}}},
		{"task_closed", Task{Form: sampleForm(worker("/reports/p2"), nil), ReportRow: over, Words: shut, Resident: "r1", History: []ReportStep{came, step("taken", "陈立群"), step("closed", "陈立群")}}},
		{"register_report", fromReport},
		{"mycode", MyCode{Page: samplePage(s, lang, "resident", "/me/code").AsShell()}},
		{"mycode_elder", MyCode{Page: samplePage(s, lang, "resident", "/me/code").AsShell(), Elder: true}},
		{"mycode_plain", MyCode{Page: samplePage(s, lang, "resident", "/me/code").AsShell(), Plain: true}},
		{"audit", Audit{Form: sampleForm(admin("/audit"), nil), MayCheck: true, Check: &AuditCheck{Blocks: 411, Entries: 9120}, Rows: []AuditRow{
			{sampleNow, "陈立群", "caseworker", Page{Lang: lang}.Say(Text{"扫码", "Scan a code"}), "019ab3f2-77aa-7c10-9e50-0a6b5f0e1d22", Page{Lang: lang}.Say(Text{"完成", "Done"})}}}},
		{"audit_bad", Audit{Form: sampleForm(admin("/audit"), nil), Check: &AuditCheck{Blocks: 3, Entries: 8, Faults: []string{"019ab3f2 changed"}}}},
		{"error", Error{Page: worker("/"), Status: 500, Heading: Page{Lang: lang}.Say(Text{"系统出错", "Something went wrong"}), Detail: Page{Lang: lang}.Say(Text{"系统出错，已记录；请稍后重试。", "It was recorded; try again later."}), RequestID: "5f0e1d22"}},
	}...)
}

// sampleFace is a card whose code is none.
func sampleFace(initial, no, until string) CardFace {
	return CardFace{Words: CardWords{"幸福码", "Happiness Code", "持卡人", "卡号", "有效期至", "遗失请告诉社工。", "If lost, tell a caseworker.", ""}, Initial: initial, CardNo: no, Until: until, Side: 29, Path: "M4 4h7v1h-7zM24 4h1v1h-1z"}
}
