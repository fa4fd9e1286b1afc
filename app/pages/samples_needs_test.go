package pages

func needSamples(s *Site, lang string) []sample {
	portion := Text{"份", "meal"}
	below := Text{"需求分 1.20，低于“助餐”今日线 1.80：已列入候补，线降到时自动安排。", "Below today's line for “Meals” (1.80) with 1.20: waiting; served as soon as the line falls to it."}
	given := Text{"需求分 1.20，“助餐”今日线 0.90：派发“社区食堂午餐” 2 份。", "Score 1.20, today's line for “Meals” 0.90: given, 2 meals of “Lunch at the community canteen”."}
	canteen := Text{"社区食堂午餐", "Lunch at the community canteen"}
	need := Need{
		ID: "n1", Category: Text{"助餐", "Meals"}, Amount: Amount{Units: 5, Unit: portion}, Promised: Amount{Units: 3, Unit: portion}, Left: Amount{Units: 2, Unit: portion},
		Urgency: 3, State: "promised", Position: 14, Reason: given, Rest: below, CreatedMs: sampleNow - sampleDay, UntilMs: sampleNow + 2*sampleDay, Note: "腿脚不便，希望上午来", MayWithdraw: true,
	}
	steps := []NeedStep{
		{AtMs: sampleNow - sampleDay, What: Text{"登记需求", "Recorded"}, Who: "陈立群", Amount: Amount{Units: 6, Unit: portion}},
		{AtMs: sampleNow - sampleDay + sampleHour, What: Text{"派发", "Given"}, Title: canteen, Who: "陈立群", Amount: Amount{Units: 2, Unit: portion}, Reason: given, Score: "0.500", Weight: "1.200", Line: "0.900"},
		{AtMs: sampleNow - sampleDay + sampleHour, What: Text{"其余列入候补", "The rest waits"}, Who: "陈立群", Rest: below, Score: "0.500", Weight: "1.200", Line: "1.800", Position: 14},
	}
	told := func(p Page) NeedStory {
		return NeedStory{
			Form: sampleForm(p, map[string][]string{"qty": {"5"}, "urgency": {"3"}, "until": {"2025-11-27"}, "asked": {"1"}, "note": {need.Note}}), Need: need, Name: "李秀英", Back: "/residents/r1", Source: "scan",
			Score: "0.500", Weight: "1.240", Base: "1.200", Live: true, Today: "2025-11-25", Whys: []string{"asked", "situation", "mistake", "solved", "other"}, Steps: steps, Forgotten: 3, Ready: true, LinesMs: sampleNow - sampleHour,
			Offers: []NotServed{{Title: Text{"爱心早餐", "Breakfast"}, Reason: Text{"今日线 0.90，需求分 1.24：可以派发。", "Its line is 0.90, the score 1.24: it can be given."}, Good: true}, {Title: canteen, Reason: Text{"今日线 1.80，高于需求分 1.24：为更困难的家庭保留。", "Its line is 1.80, above the score 1.24: kept for households in greater need."}}},
			Next:   []Text{{"“社区食堂午餐”请在 2025-11-26 10:00 前领取，逾期退回。", "“Lunch at the community canteen” is to be fetched by 2025-11-26 10:00 (China time), or it goes back."}},
		}
	}
	edited := told(samplePage(s, lang, "caseworker", "/needs/n1"))
	edited.Failure, edited.Errors["reason"] = edited.T("form.check"), Page{Lang: lang}.Say(Text{"请选择更改的原因", "choose why it is changed"})
	own := told(samplePage(s, lang, "resident", "/needs/n1"))
	own.Own, own.Back, own.LinesMs, own.Offers, own.Weight = true, "/me", 0, nil, own.Base
	ended := told(samplePage(s, lang, "caseworker", "/needs/n1"))
	ended.Live, ended.Next, ended.Forgotten, ended.Need.MayWithdraw, ended.Need.State, ended.Need.Rest, ended.Need.Position = false, nil, 0, false, "withdrawn", Text{}, 0
	ended.Need.Reason = Text{"需求已撤回：居民提出。", "The need was withdrawn: the resident asked for it."}
	unready := told(samplePage(s, lang, "caseworker", "/needs/n1"))
	unready.Ready = false
	waiting := Waiting{
		Form: sampleForm(samplePage(s, lang, "caseworker", "/waiting"), map[string][]string{"category": {""}}), Place: "吴兴区", Ready: true,
		Categories: []Choice{{Text: Text{"全部类别", "All kinds"}}, {Value: "meal", Text: Text{"助餐", "Meals"}}}, Next: "/waiting?after=meal.50",
		Rows: []WaitingRow{
			{Need: "n1", Who: "李＊＊", CardTail: "5569", Place: "吴兴区 · 月河街道 · 马军巷社区居委会", Category: Text{"助餐", "Meals"}, Left: Amount{Units: 2, Unit: portion}, Urgency: 3, Position: 1, Weight: "1.200", Line: "1.800", Reason: below, SinceMs: sampleNow - sampleDay, UntilMs: sampleNow + 2*sampleDay},
			{Need: "n2", Who: "张＊＊", CardTail: "7186", Place: "吴兴区 · 月河街道 · 月河社区居委会", Category: Text{"救助金", "Cash aid"}, Left: Amount{Units: 60000, Money: true}, Urgency: 2, Position: 1, Weight: "0.900", Reason: Text{"合适的资源目前已派完，有余量时自动安排。", "Everything suitable is given out at present; you are served as soon as there is more."}, SinceMs: sampleNow - 4*sampleDay},
		},
	}
	nobody := Waiting{Form: sampleForm(samplePage(s, lang, "admin", "/waiting"), nil), Place: "吴兴区", Ready: true, Counties: []Choice{{Value: "330502000000", Text: Text{"吴兴区", ""}}}, Categories: waiting.Categories}
	restoring := nobody
	restoring.Ready = false
	hook := HookRow{ID: "h1", URL: "https://5069.12/hook", Label: "民政平台", Place: "湖州市", Kinds: []Text{{"派发", "Given"}, {"交付", "Handed over"}}, Active: true, LastMs: sampleNow}
	failing := hook
	failing.ID, failing.Label, failing.Kinds, failing.FailingMs = "h2", "", nil, sampleNow-sampleDay
	shut := failing
	shut.ID, shut.Active, shut.Why = "h3", false, "failing"
	hooks := Webhooks{
		Form: sampleForm(samplePage(s, lang, "admin", "/webhooks"), map[string][]string{"kinds": {"allocation.promised"}}), Fresh: "019ab3f2", Rows: []HookRow{hook, failing, shut},
		Divisions: []ChoiceGroup{{"湖州市", []Choice{{Value: "330500000000", Text: Text{"湖州市", ""}}}}},
		Kinds:     []Choice{{Value: "allocation.promised", Text: Text{"派发", "Given"}}, {Value: "need.waiting", Text: Text{"列入候补", "Waiting"}}},
	}
	hooks.Failure, hooks.Errors["url"] = hooks.T("form.check"), Page{Lang: lang}.Say(Text{"不能发往内网地址", "it is not sent to private addresses"})
	none := Webhooks{Form: sampleForm(samplePage(s, lang, "admin", "/webhooks"), nil), Divisions: hooks.Divisions, Kinds: hooks.Kinds}
	sent := Webhook{Form: sampleForm(samplePage(s, lang, "admin", "/webhooks/h3"), nil), HookRow: shut, Deliveries: []DeliveryRow{
		{ID: "019ab3f2-0", Kind: Text{"派发", "Given"}, State: "pending", AtMs: sampleNow, NextMs: sampleNow + sampleHour, Tries: 3, Fault: "timeout"},
		{ID: "019ab3f2-1", Kind: Text{"交付", "Handed over"}, State: "failed", AtMs: sampleNow - sampleDay, Tries: 9, Status: 500},
		{ID: "019ab3f2-2", Kind: Text{"交付", "Handed over"}, State: "taken", AtMs: sampleNow - sampleDay, Tries: 1, Status: 204},
	}}
	quiet := Webhook{Form: sampleForm(samplePage(s, lang, "admin", "/webhooks/h1"), nil), HookRow: hook}
	return []sample{{"webhooks", hooks}, {"webhooks_none", none}, {"webhook", sent}, {"webhook_quiet", quiet}, {"waiting", waiting}, {"waiting_none", nobody}, {"waiting_restoring", restoring}, {"need", edited}, {"need_own", own}, {"need_ended", ended}, {"need_unready", unready}}
}
