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
	voucher := CounterVoucher{Code: "V7KQ-2MX0-9PTC", Attempt: "a1", Title: Text{"超市购物券", "Shop voucher"}, Unit: Text{"张", "voucher"}, UntilMs: sampleNow + 5*sampleDay, PINRequired: true}
	used, ended, now := voucher, voucher, voucher
	used.RedeemedMs, ended.Ended, now.RedeemedMs, now.Now = sampleNow-sampleDay, true, sampleNow, true
	mine := Vouchers{Page: samplePage(s, lang, "resident", "/allocations/n1-0/vouchers"), Back: "/me", Aid: Aid{Title: voucher.Title, ExpiresMs: voucher.UntilMs}}
	none := mine
	mine.Vouchers = []Voucher{{Unit: 1, Code: "V7KQ-2MX0-9PTC", RedeemedMs: sampleNow - sampleDay}, {Unit: 2, Code: "VX01-8Y7M-2Q4A", Path: "M4 4h7v1h-7zM24 4h1v1h-1z", Side: 29}}
	given := CounterEntry{CounterItem: rest, AtMs: sampleNow - sampleHour}
	early := CounterEntry{CounterItem: meal, NoShowFromMs: sampleNow + sampleHour}
	late := CounterEntry{CounterItem: blanket, NoShowFromMs: sampleNow - sampleHour, MayNoShow: true}
	open := meal
	open.Units = 27
	round := Round{Form: sampleForm(samplePage(s, lang, "provider", "/counter/round"), map[string][]string{"day": {"2025-11-25"}}), DayMs: sampleNow, Today: true, Towns: []RoundTown{
		{"吴兴区 · 月河街道", []RoundStop{
			{CounterItem: meal, Village: "马军巷社区居委会", Name: "李秀英", Phone: "13957200000", Address: "马军巷 12 弄 3 号 201 室", Agreed: true},
			{CounterItem: blanket, Village: "马军巷社区居委会", Name: "张建国", Phone: "13957200001", Agreed: true, TriedMs: sampleNow - sampleHour},
			{CounterItem: meal, Village: "月河社区居委会"},
		}},
	}}
	ahead := round
	ahead.Today = false
	ahead.Towns = []RoundTown{{"吴兴区 · 月河街道", []RoundStop{{CounterItem: meal, Village: "马军巷社区居委会", Agreed: true}, {CounterItem: meal, Village: "月河社区居委会"}}}}
	idle := round
	idle.Towns = nil
	day := CounterDay{Form: sampleForm(samplePage(s, lang, "provider", "/counter/today"), nil), Stock: []CounterItem{open}, Given: []CounterEntry{given}, Waiting: []CounterEntry{early, late}}
	return []sample{
		{"counter_day", day},
		{"counter_day_none", CounterDay{Form: day.Form}},
		{"round", round},
		{"round_ahead", ahead},
		{"round_none", idle},
		{"counter_voucher", Counter{Form: form(), Voucher: &voucher}},
		{"counter_voucher_used", Counter{Form: form(), Voucher: &used}},
		{"counter_voucher_ended", Counter{Form: form(), Voucher: &ended}},
		{"counter_voucher_now", Counter{Form: form(), Voucher: &now}},
		{"vouchers", mine},
		{"vouchers_none", none},
		{"voucher_found", s.VoucherFound()},
		{"counter", Counter{Form: form()}},
		{"counter_refused", refused},
		{"counter_owed", Counter{Form: form(), Look: &CounterLook{Scan: "c2Nhbg", Initial: "李＊＊", Items: []CounterItem{meal, blanket, taken}}}},
		{"counter_part", Counter{Form: form(), Given: &rest, GivenNow: 2, Look: &CounterLook{Scan: "c2Nhbg", Items: []CounterItem{rest}}}},
		{"counter_done", Counter{Form: form(), Given: &CounterItem{Title: meal.Title, Unit: meal.Unit, Units: 1, GivenUnits: 1}, GivenNow: 1, Look: &CounterLook{Scan: "c2Nhbg"}}},
	}
}
