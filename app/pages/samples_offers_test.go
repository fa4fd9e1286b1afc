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
	radio := WishCard{ID: "w1", Town: "吴兴区 · 月河街道", Text: Text{"想要一台收音机听戏", "A radio to listen to opera"}, State: "shown", ShownMs: sampleNow - sampleDay, UntilMs: sampleNow + 30*sampleDay}
	taken := radio
	taken.ID, taken.Offer, taken.State, taken.TakenMs = "w2", "f3", "taken", sampleNow
	given := taken
	given.ID, given.State, given.EndedMs = "w3", "given", sampleNow
	worker := func(path string) Page { return samplePage(s, lang, "caseworker", path) }
	managed := taken
	managed.Need = "n9"
	take := WishTake{Form: sampleForm(giver("/wishes/w1"), map[string][]string{"how": {"pickup"}}), Wish: radio}
	take.Failure, take.Errors["place"] = take.T("form.check"), Page{Lang: lang}.Say(Text{"请填写交付地点。", "The place is missing: fill it in."})
	return []sample{
		{"wishes", Wishes{Page: giver("/wishes"), Gives: true, Shown: []WishCard{radio}, Own: []WishCard{taken, given}}},
		{"wishes_worker", Wishes{Page: worker("/wishes"), Shown: []WishCard{managed}}},
		{"wishes_empty", Wishes{Page: giver("/wishes"), Gives: true}},
		{"wish_take", take},
		{"wish_take_gone", WishTake{Form: sampleForm(giver("/wishes/w2"), nil), Wish: taken}},
		{"wish_show", WishShow{Form: sampleForm(worker("/needs/n9/wish"), map[string][]string{"text_zh": {"想要一台收音机听戏"}}), Need: "n9", Note: "家里没有电视", Wish: radio}},
		{"wish_show_new", WishShow{Form: sampleForm(worker("/needs/n9/wish"), nil), Need: "n9"}},
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
