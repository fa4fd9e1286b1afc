package pages

// counterSamples are the pages of a provider's counter.
func counterSamples(s *Site, lang string) []sample {
	form := func() Form { return sampleForm(samplePage(s, lang, "provider", "/counter"), nil) }
	meal := CounterItem{
		Item: "c2VhbGVk", Title: Text{"社区食堂午餐", "Lunch at the community canteen"}, Unit: Text{"份", "meal"}, Units: 3, GivenUnits: 0,
		UntilMs: sampleNow + 9*sampleHour, Paid: true,
	}
	rest := meal
	rest.GivenUnits = 2
	blanket := CounterItem{Item: "b3RoZXI", Title: Text{"棉被", "Quilt"}, Unit: Text{"件", "piece"}, Units: 1, UntilMs: sampleNow + 5*sampleDay, PINRequired: true, Paid: true}
	taken := CounterItem{Item: "dGFrZW4", Title: Text{"理发优惠", "Haircut at half price"}, Unit: Text{"次", "use"}, Units: 1, UntilMs: sampleNow + 5*sampleDay,
		Leased: Text{"已由离线设备“一号平板”领走。", "Taken along offline by the device “Tablet 1”."}}
	refused := Counter{Form: form()}
	refused.Failure = Page{Lang: lang}.Say(Text{"此码无效、已更换，或贵机构目前没有待交付给此人的内容。", "The code is not valid, was replaced, or your organisation owes this person nothing now."})
	return []sample{
		{"counter", Counter{Form: form()}},
		{"counter_refused", refused},
		{"counter_owed", Counter{Form: form(), Look: &CounterLook{Scan: "c2Nhbg", Initial: "李＊＊", Items: []CounterItem{meal, blanket, taken}}}},
		{"counter_part", Counter{Form: form(), Given: &rest, GivenNow: 2, Look: &CounterLook{Scan: "c2Nhbg", Items: []CounterItem{rest}}}},
		{"counter_done", Counter{Form: form(), Given: &CounterItem{Title: meal.Title, Unit: meal.Unit, Units: 1, GivenUnits: 1}, GivenNow: 1, Look: &CounterLook{Scan: "c2Nhbg"}}},
	}
}
