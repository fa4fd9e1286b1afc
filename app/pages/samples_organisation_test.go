package pages

func organisationSamples(s *Site, lang string) []sample {
	base := func(role, tab, path string) OfOrganisation {
		return OfOrganisation{
			Form: sampleForm(samplePage(s, lang, role, "/organisations/o1"+path), nil), Org: "o1", Kind: "enterprise", Status: "approved",
			OrgName: Text{"浙北大厦集团", "Zhebei Plaza Group"}, Tab: tab, Edits: true, Owns: true, Decides: role == "admin",
		}
	}
	people := People{OfOrganisation: base("provider", "people", "/people"), Fresh: "k3px-7fqa-m2zt-cw5d", FreshFor: "1390572", Rows: []PersonRow{
		{ID: "p1", Name: "王芳", Username: "1390571", Duty: "owner", Self: true},
		{ID: "p2", Name: "周丽", Username: "1390572", Duty: "handover"},
		{ID: "p3", Name: "吴建国", Username: "1390573", Duty: "editor", Disabled: true},
	}}
	wrong := People{OfOrganisation: base("admin", "people", "/people"), Rows: people.Rows}
	wrong.Failure, wrong.Errors["username"] = wrong.T("form.check"), Page{Lang: lang}.Say(Text{"用户名已被使用，请换一个", "the username is taken; choose another"})
	areas := []CountyTowns{{"330502000000", "吴兴区", []Town{{"330502001000", "月河街道"}, {"330502002000", "朝阳街道"}}}, {"330503000000", "南浔区", []Town{{"330503001000", "南浔镇"}}}}
	org := Organisation{
		OfOrganisation: base("provider", "profile", ""), CreditCode: "91330500MA2B4C5D6E", Place: "吴兴区·月河街道", Contact: "0572-2000000", Email: "office@123.cn", Website: "https://123.cn/",
		Description: Text{"湖州本地超市，每周为困难家庭提供粮油和临期食品。", "A local supermarket that gives groceries to families in need each week."}, CreatedMs: sampleNow - 90*sampleDay,
		Serves: []string{"吴兴区", "南浔区·南浔镇"}, Counties: areas, Places: []PlaceRow{
			{ID: "p1", Where: "吴兴区·月河街道", Phone: "0572-2000001", Name: Text{"月河门店爱心柜台", "Yuehe store, aid counter"}, Address: Text{"月河路 8 号一楼", "8 Yuehe Road, ground floor"}, WGS84: "30.869330, 120.102450", GCJ02: "30.867010, 120.106920",
				Today: []string{"08:30-11:30", "13:00-17:00"}, Kept: true, Week: []DayHours{{Day: "1", Spans: []string{"08:30-11:30", "13:00-17:00"}}, {Day: "6", Spans: []string{"09:00-12:00"}}}, Except: []DayHours{{Day: "2026-01-01", Note: "元旦"}}},
			{ID: "p2", Where: "南浔区·南浔镇", Name: Text{"南浔门店", ""}, Address: Text{"人瑞路 12 号", ""}, Kept: true}}}
	org.Listed = []ListedRow{{Name: Text{"义务法律咨询", "Free legal advice"}, Description: "每周三下午", URL: "https://123.cn/law", Active: true}, {Name: Text{"冬衣捐赠点", ""}}}
	org.Values = map[string][]string{"description_zh": {"湖州本地超市"}, "serves": {"330502000000"}}
	refused := Organisation{OfOrganisation: base("provider", "profile", ""), CreditCode: "91330500MA2B4C5D6E", Place: "吴兴区·月河街道", Why: "营业执照已过期，请更新后联系我们。", CreatedMs: sampleNow - sampleDay, Counties: areas}
	refused.Status = "suspended"
	refused.Failure, refused.Errors["email"] = refused.T("form.check"), Page{Lang: lang}.Say(Text{"请填写完整邮箱。", "Write a whole address."})
	place := PlaceEdit{OfOrganisation: base("provider", "profile", "/places/p1"), ID: "p1", Divisions: []ChoiceGroup{{"吴兴区·月河街道", []Choice{{Value: "330502001006", Text: Text{"马军巷社区居委会", ""}}}}}}
	place.Values = map[string][]string{"name_zh": {"月河门店爱心柜台"}, "day_1": {"08:30-11:30, 13:00-17:00"}, "except_date": {"2026-01-01"}, "except_spans": {"x"}, "except_note": {"元旦"}}
	place.Failure, place.Errors["except[0]"] = place.T("form.check"), Page{Lang: lang}.Say(Text{"请写成 08:30-11:30，13:00-17:00。", "Write it like 08:30-11:30, 13:00-17:00."})
	papers := Documents{OfOrganisation: base("admin", "documents", "/documents"), Rows: []DocumentRow{
		{ID: "d1", Kind: "licence", Label: "2025 年换发", PDF: true, KB: 1834, AddedMs: sampleNow - 9*sampleDay, UntilMs: sampleNow + 900*sampleDay, State: "kept"},
		{ID: "d2", Kind: "permit", KB: 612, AddedMs: sampleNow - 300*sampleDay, UntilMs: sampleNow - sampleDay, Over: true, State: "kept"},
		{ID: "d3", Kind: "other", PDF: true, KB: 90, AddedMs: sampleNow - 400*sampleDay, State: "gone"}}}
	noPapers := Documents{OfOrganisation: base("provider", "documents", "/documents")}
	noPapers.Failure, noPapers.Errors["file"] = noPapers.T("form.check"), Page{Lang: lang}.Say(Text{"请选择文件", "choose a file"})
	decided := OrganisationHistory{OfOrganisation: base("admin", "history", "/history"), Lines: []DecisionLine{
		{AtMs: sampleNow - sampleHour, Status: "approved", Note: "新证照已核对", Who: "沈静", Again: true},
		{AtMs: sampleNow - 3*sampleDay, Status: "suspended", Note: "食品经营许可证过期", Who: "沈静"},
		{AtMs: sampleNow - 80*sampleDay, Status: "approved", Who: "沈静"}, {AtMs: sampleNow - 90*sampleDay, Status: "pending"}}}
	programs := Systems{OfOrganisation: base("provider", "systems", "/systems"), Own: true, Fresh: "hct_3f9c2b7e8d1a4c60b5e7f9a2", Rows: []OwnTokenRow{
		{ID: "t1", Label: "门店收银系统", Duty: "handover", ExpiresMs: sampleNow + 80*sampleDay}, {ID: "t2", Label: "旧接口", Duty: "editor", ExpiresMs: sampleNow - sampleDay, Revoked: true}}}
	programs.Values["days"] = []string{"90"}
	noPrograms := Systems{OfOrganisation: base("admin", "systems", "/systems")}
	noPrograms.Failure, noPrograms.Errors["label"] = noPrograms.T("form.check"), Page{Lang: lang}.Say(Text{"请写明用途", "Say what it is for"})
	return []sample{{"systems", programs}, {"systems_empty", noPrograms}, {"documents", papers}, {"documents_empty", noPapers}, {"organisation_history", decided}, {"organisation", org}, {"organisation_suspended", refused}, {"place", place}, {"place_new", PlaceEdit{OfOrganisation: base("admin", "profile", "/places/new")}},
		{"people", people}, {"people_wrong", wrong}}
}
