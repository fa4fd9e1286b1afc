package pages

func fundSamples(s *Site, lang string) []sample {
	row := FundRow{ID: "f1", Kind: "named", Status: "open", Name: Text{"沈氏暖冬基金", "Shen Family Warm Winter Fund"}, Received: 12_000_000, Available: 4_310_000, Reserved: 5_000_000, Spent: 2_690_000}
	trust := FundRow{ID: "f2", Kind: "trust", Status: "closed", Name: Text{"助学慈善信托", ""}, Organisation: "湖州市慈善总会", Received: 100}
	lunch := Text{"社区食堂午餐", "Lunch at the community canteen"}
	places := []ChoiceGroup{{"吴兴区", []Choice{{Value: "330502000000", Text: Text{"吴兴区", ""}}, {Value: "330502001000", Text: Text{"月河街道", ""}}}}}
	categories := []Choice{{Value: "meal", Text: Text{"助餐", "Meals"}}, {Value: "grocery", Text: Text{"米面粮油", "Groceries"}}}
	fund := Fund{
		Page: samplePage(s, lang, "provider", "/funds/f1"), FundRow: row, Purpose: "为独居老人送上热饭与冬被。",
		Categories: []Text{{"助餐", "Meals"}, {"衣物被褥", "Clothing and bedding"}}, Places: []string{"吴兴区"}, DonorsNamed: true, CreatedMs: sampleNow - 40*sampleDay, MayKeep: true,
		Draws: []FundDraw{{Offer: "o1", Title: lunch, Left: 5_000_000, Spent: 2_690_000, Of: 7_690_000}, {Offer: "o2"}}, NextClosing: "2025-10", Next: "/funds/f1?after=x",
		Movements: []Movement{
			{AtMs: sampleNow, What: "spent", Fen: 1500, Offer: "o1", Title: lunch}, {AtMs: sampleNow - sampleHour, What: "reserved", Fen: 7_690_000, Offer: "o1", Title: lunch},
			{AtMs: sampleNow - sampleDay, What: "returned", Fen: 900, Offer: "o3"}, {AtMs: sampleNow - 2*sampleDay, What: "corrected", Fen: 90_000, Donation: "d2", Reason: "多记一个零"},
			{AtMs: sampleNow - 3*sampleDay, What: "donated", Fen: 12_000_000, Donation: "d1"},
		},
		Months: []FundMonth{{Month: "2025-11", Donated: 12_000_000, Spent: 2_690_000, Balance: 9_310_000}, {Month: "2025-10", Balance: 0}, {Month: "2025-09", Closed: true, Balance: 0}, {Month: "2025-08", Closed: true, Alone: true}},
	}
	waits := fund
	waits.Proposed, waits.ProposedBy = true, "沈静"
	mine := waits
	mine.ProposedMine = true
	bare := Fund{Page: samplePage(s, lang, "provider", "/funds/f2"), FundRow: trust, MayKeep: true, CreatedMs: sampleNow}
	seen := bare
	seen.Page, seen.MayKeep = samplePage(s, lang, "admin", "/funds/f2"), false
	fresh := FundNew{Form: sampleForm(samplePage(s, lang, "provider", "/funds/new"), map[string][]string{"key": {"k1"}, "name": {"沈"}}), Kinds: []string{"named", "directed", "trust"}, Categories: categories, Places: places}
	fresh.Failure, fresh.Errors["kind"] = fresh.T("form.check"), Page{Lang: lang}.Say(Text{"请选择冠名基金、定向捐赠或慈善信托。", "Choose a named fund, directed donations or a charitable trust."})
	donate := Donate{Form: sampleForm(samplePage(s, lang, "provider", "/funds/f1/donate"), map[string][]string{"key": {"k1"}}), FundRow: row, Categories: categories, Places: places, Today: "2025-11-25"}
	gift := DonationRow{ID: "d1", Receipt: "2025-000001", Donor: "沈女士", Fen: 12_000_000, Free: 4_310_000, Category: Text{"助餐", "Meals"}, Place: "吴兴区", AtMs: sampleNow - 3*sampleDay, Note: "现场捐赠"}
	nameless := DonationRow{ID: "d2", Receipt: "2025-000002", Fen: 5000, AtMs: sampleNow - 2*sampleDay}
	donation := Donation{
		Form: sampleForm(samplePage(s, lang, "provider", "/funds/f1/donations/d1"), map[string][]string{"key": {"k1"}}), FundRow: row, Row: gift, MayKeep: true,
		FreeFen: 4_310_000, ReservedFen: 5_000_000, SpentFen: 2_690_000, CorrectedFen: 100, Reserved: []FundDraw{{Offer: "o1", Title: lunch, Left: 5_000_000}, {Offer: "o2", Left: 1}},
		Cells: []TraceCell{
			{Category: Text{"助餐", "Meals"}, Place: "吴兴区 · 月河街道", Fen: 2_400_000, Handovers: 1600, People: 96},
			{Category: Text{"助餐", "Meals"}, Fen: 260_000, Handovers: 170, People: 12}, {Fen: 30_000},
		},
	}
	unused := Donation{Form: sampleForm(samplePage(s, lang, "admin", "/funds/f1/donations/d2"), nil), FundRow: row, Row: nameless, FreeFen: 5000}
	return []sample{
		{"funds", Funds{Page: samplePage(s, lang, "provider", "/funds"), MayMake: true, Rows: []FundRow{row, trust}, Next: "/funds?after=x"}},
		{"funds_empty", Funds{Page: samplePage(s, lang, "provider", "/funds"), MayMake: true}}, {"funds_none", Funds{Page: samplePage(s, lang, "admin", "/funds")}},
		{"fund_new", fresh}, {"fund", fund}, {"fund_proposed", waits}, {"fund_proposed_mine", mine}, {"fund_bare", bare}, {"fund_seen", seen},
		{"fund_donate", donate}, {"fund_donations", Donations{Page: samplePage(s, lang, "provider", "/funds/f1/donations"), FundRow: row, MayKeep: true, Rows: []DonationRow{gift, nameless}, Next: "/funds/f1/donations?after=x"}},
		{"fund_donations_none", Donations{Page: samplePage(s, lang, "admin", "/funds/f1/donations"), FundRow: row}}, {"fund_donation", donation}, {"fund_donation_unused", unused},
	}
}
