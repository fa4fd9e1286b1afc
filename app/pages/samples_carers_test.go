package pages

// keptSample is a code with two who may show it, and its history.
func keptSample(p Page, base string) CodeKept {
	k := CodeKept{
		Form: sampleForm(p, nil), Base: base, Own: base == "/me", Active: true,
		Relations: []string{"spouse", "child", "other"}, First: "2025-11-25", Last: "2026-11-25", Key: "key-of-the-form",
		Carers: []Carer{
			{ID: "c1", Name: "王芳", Phone: "13700000000", CardNo: "905512340087", Relation: "child", UntilMs: sampleNow + 90*sampleDay},
			{ID: "c2", Name: "赵护士", CardNo: "118830052214", Relation: "carer", UntilMs: sampleNow + 9*sampleDay},
		},
		History: []HistoryLine{
			{AtMs: sampleNow - sampleDay, Kind: "carer_added", Who: "陈立群", CardNo: "905512340087", Carer: "王芳", Relation: "child", UntilMs: sampleNow + 90*sampleDay},
			{AtMs: sampleNow - 2*sampleDay, Kind: "carer_expired", CardNo: "550012347719", Carer: "李国庆", Relation: "neighbour", UntilMs: sampleNow - 2*sampleDay},
			{AtMs: sampleNow - 2*sampleDay, Kind: "carer_pin_reset", Who: "陈立群", CardNo: "905512340087", Carer: "王芳", Relation: "child", UntilMs: sampleNow + 90*sampleDay},
			{AtMs: sampleNow - 3*sampleDay, Kind: "pin_set", Who: "陈立群"},
			{AtMs: sampleNow - 9*sampleDay, Kind: "code_issued", Who: "陈立群", CardNo: "734118205569"},
			{AtMs: sampleNow - 9*sampleDay, Kind: "code_revoked", Who: "陈立群", Why: "stolen", CardNo: "203377419068"},
		},
	}
	if !k.Own { // a caseworker has just made it
		k.Carers[1].FreshPIN = "402913"
		k.PINFromMs = sampleNow - 4*sampleDay
	}
	return k
}

// revokedSample is a code that was revoked, and a form for a carer gone wrong.
func revokedSample(p Page, base string) CodeKept {
	k := keptSample(p, base)
	k.RevokedMs, k.RevokedWhy, k.Carers = sampleNow-sampleHour, "lost", nil
	k.Values["carer_name"], k.Values["carer_until"] = []string{"王芳"}, []string{"2025-11-25"}
	k.Failure, k.Errors["carer_pin"] = k.T("form.check"), Page{Lang: p.Lang}.Say(Text{"PIN 应为 6 到 12 位数字", "a PIN has 6 to 12 digits"})
	return k
}

// movedSample is the code of somebody who is not served here any more.
func movedSample(p Page, base string) CodeKept {
	return CodeKept{Form: sampleForm(p, nil), Base: base}
}

func carerSamples(s *Site, lang string) []sample {
	worker := func(path string) Page { return samplePage(s, lang, "caseworker", path) }
	self := samplePage(s, lang, "resident", "/me/lost")
	wrong := Lost{Form: sampleForm(worker("/residents/r1/lost"), nil), Base: "/residents/r1", Name: "李秀英", CardNo: "734118205569"}
	wrong.Failure, wrong.Errors["reason"] = wrong.T("form.check"), Page{Lang: lang}.Say(Text{"请选择原因", "choose a reason"})
	carerFace := sampleFace("王＊＊", "905512340087", "2026-02-23")
	carerFace.For = Text{"代 李＊＊ 持", "for 李＊＊"}
	return []sample{
		{"lost", wrong},
		{"lost_revoked", Lost{Form: sampleForm(worker("/residents/r1/lost"), nil), Base: "/residents/r1", Name: "李秀英", CardNo: "734118205569", Revoked: true}},
		{"lost_own", Lost{Form: sampleForm(self, nil), Base: "/me", Own: true, Name: "李秀英", CardNo: "734118205569"}},
		{"lost_own_revoked", Lost{Form: sampleForm(self, nil), Base: "/me", Own: true, Name: "李秀英", CardNo: "734118205569", Revoked: true}},
		{"carer_card", CarerCard{Page: worker("/residents/r1/carers/c1/card"), ID: "r1", Face: carerFace}},
	}
}
