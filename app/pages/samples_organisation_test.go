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
	return []sample{{"people", people}, {"people_wrong", wrong}}
}
