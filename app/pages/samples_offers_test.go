package pages

func offerSamples(s *Site, lang string) []sample {
	giver := func(path string) Page { return samplePage(s, lang, "provider", path) }
	meal := Text{"份", "meal"}
	draft := giver("/offers/new")
	draft.Done = "draft"
	slots := OfferNew{
		Form: sampleForm(giver("/offers/new?form=service"), map[string][]string{
			"key": {"k1"}, "s0_every": {"month"}, "s0_workers": {"3"}, "s0_slot_minutes": {"240"}, "s0_unit_minutes": {"60"}, "s0_day": {"31"},
		}), OfferForm: "service", Hows: []string{"onsite"}, Copied: Page{Lang: lang}.Say(Text{"上门照护", "Home care"}),
		Categories: []Choice{{Value: "homecare", Text: Text{"居家照护", "Home care"}}},
	}
	slots.Failure, slots.Errors["series[0]"] = slots.T("form.check"), Page{Lang: lang}.Say(Text{"请选择开始日期。", "Choose the first day."})
	const lunch = sampleNow + sampleDay + sampleHour // 11:00
	preview := OfferPreview{
		Form:      sampleForm(giver("/offers/new"), map[string][]string{"title_zh": {"社区食堂午餐"}, "key": {"k1"}, "divisions": {"330502001000"}}),
		OfferForm: "meals", MayDraft: true, Title: Text{"社区食堂午餐", "Lunch at the community canteen"}, Category: Text{"助餐", "Meals"}, How: "pickup", Place: Text{"月河街道敬老食堂", "Yuehe canteen"},
		Places: []string{"吴兴区 · 月河街道"}, Cap: Amount{Units: 1, Unit: meal}, CapPeriod: "day", Pace: "drip", Images: []string{"/api/v1/images/i1"}, Count: 3, Total: Amount{Units: 180, Unit: meal},
		Kept:  []Kept{{Group: Text{"老年人", "Elderly"}, PerMille: 300}},
		First: []LotLine{{lunch, lunch + 2*sampleHour, Amount{Units: 60, Unit: meal}}, {lunch + sampleDay, lunch + sampleDay + 2*sampleHour, Amount{Units: 60, Unit: meal}}},
		Rest:  []LotLine{{lunch + 2*sampleDay, lunch + 9*sampleDay, Amount{Units: 60, Unit: meal}}},
	}
	unlimited := preview
	unlimited.OfferForm, unlimited.Unlimited, unlimited.Rest = "discount", true, nil
	return []sample{
		{"offer_unlimited", Offer{
			Page: samplePage(s, lang, "caseworker", "/offers/f2"), ID: "f2", Kind: "enterprise", Status: "open", Provider: "浙北大厦集团", How: "voucher", OfferForm: "discount", Unlimited: true,
			Title: Text{"理发八折", "Haircuts, 20% off"}, Category: Text{"爱心折扣", "Discounts"}, Places: []string{"吴兴区"}, Cap: Amount{Units: 4, Unit: Text{"次", "use"}}, CapPeriod: "month", CreatedMs: sampleNow, Pace: "now",
			Stock: []Share{{ID: "f2-1@330502", Place: "吴兴区", FromMs: sampleNow, UntilMs: sampleNow + 30*sampleDay, Qty: 10_000_000, Free: 9_999_961, Promised: 8, HandedOver: 31, Unlimited: true}},
		}},
		{"offer_kinds", OfferKinds{
			Page: draft, Forms: []string{"meals", "goods", "service", "voucher", "cash", "discount"},
			Drafts: []OfferDraft{{ID: "d1", Form: "meals", Title: Text{"社区食堂午餐", ""}, ChangedMs: sampleNow}, {ID: "d2", ChangedMs: sampleNow - sampleDay}},
			Past:   []OfferPast{{ID: "f1", Form: "goods", Title: Text{"爱心粮油", "Groceries"}, CreatedMs: sampleNow - 20*sampleDay}},
		}},
		{"offer_kinds_first", OfferKinds{Page: giver("/offers/new"), Forms: []string{"meals", "cash"}}},
		{"offer_new_service", slots},
		{"offer_preview", preview},
		{"offer_preview_unlimited", unlimited},
	}
}
