package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// demoKind is an offer by the calendar in the demo city, from tomorrow on.
type demoKind struct {
	organisation, zh, en string
	form                 providers.Form
	place, placeEN, note string
	alter                func(*providers.NewOffer)
}

// demoKinds has one offer of each form that providers post.
func demoKinds() []demoKind {
	return []demoKind{
		{"charity", "月河街道工作日午餐", "Weekday lunches, Yuehe", providers.FormMeals, "月河街道敬老食堂", "Yuehe canteen", "", func(n *providers.NewOffer) {
			n.Kept = []providers.Kept{{Group: "elderly", PerMille: 300}}
		}},
		{"charity", "每周粮油包", "Weekly groceries", providers.FormGoods, "吴兴区慈善超市", "Wuxing charity shop", "", nil},
		{"gov", "残疾人护理补贴", "Care allowance", providers.FormCash, "", "", "每月 1 日起，转账到户。", func(n *providers.NewOffer) {
			n.Groups = []string{"disabled"}
		}},
		{"society", "上门照护时段", "Home care by slot", providers.FormService, "", "", "上午、下午各一段，每段两位护理员。", nil},
		{"shop", "生活用品券", "Household vouchers", providers.FormVoucher, "吴兴便民超市各店", "Any branch", "", func(n *providers.NewOffer) {
			n.ValueFen = 50_00
		}},
		{"shop", "理发八折", "Haircuts, 20% off", providers.FormDiscount, "吴兴便民理发店", "The shop's barber", "", func(n *providers.NewOffer) {
			n.Unlimited, n.Series[0].QtyUnits = true, 0
		}},
	}
}

// demoWishes are what some residents wish for; the first is taken up.
func demoWishes() []care.NewWish {
	return []care.NewWish{
		{TextZH: "想要一台能听戏的收音机", TextEN: "A radio to listen to opera", Agreed: true},
		{TextZH: "想要一副老花镜看报纸", TextEN: "Reading glasses for the newspaper", Agreed: true},
		{TextZH: "孩子想要一个新书包", TextEN: "A new school bag for a child", Agreed: true},
	}
}

// firstWisher is the first of the demo city's residents who wish for something:
// none whose code is scanned.
const firstWisher = 1 + demoScans

// loadKinds posts an offer of each form, keeps a draft, and shows some wishes.
// What is there from an earlier try stays.
func (d *demo) loadKinds(ctx context.Context, organisations map[string]string) error {
	today := d.s.now().In(china)
	day := func(n int) string { return today.AddDate(0, 0, n).Format(time.DateOnly) }
	for _, k := range demoKinds() {
		p, _ := providers.PresetOf(k.form)
		p.Series.From, p.Series.To = day(1), day(60)
		n := providers.NewOffer{
			Form: k.form, TitleZH: k.zh, TitleEN: k.en, Category: p.Categories[0], CapUnits: p.CapUnits, CapPeriod: p.CapPeriod, Pace: p.Pace,
			Divisions: []string{d.city.CaseworkerDivision}, Series: []providers.Series{p.Series},
			Handover: providers.Handover{How: p.Hows[0], Place: k.place, PlaceEN: k.placeEN, Note: k.note}, Key: "demo-" + k.zh,
		}
		if k.alter != nil {
			k.alter(&n)
		}
		id := organisations[k.organisation]
		if _, err := d.s.care.PostOffer(ctx, accounts.Principal{Account: byCommand, Role: accounts.Provider, Organisation: id}, id, n); err != nil {
			return fmt.Errorf("offer %s: %w", k.en, err)
		}
	}
	charity := organisations["charity"]
	drafts, err := d.s.providers.Drafts(ctx, charity)
	if err != nil {
		return err
	}
	if len(drafts) == 0 {
		p, _ := providers.PresetOf(providers.FormGoods)
		if _, err := d.s.providers.SaveDraft(ctx, byCommand, charity, "", 0, providers.NewOffer{
			Form: p.Form, TitleZH: "年货礼包", TitleEN: "New year parcels", Category: p.Categories[0], Series: []providers.Series{p.Series},
		}); err != nil {
			return err
		}
	}
	return d.loadWishes(ctx, charity)
}

func (d *demo) loadWishes(ctx context.Context, charity string) error {
	as := d.caseworker()
	for i, wish := range demoWishes() {
		if firstWisher+i >= len(d.residents) {
			break
		}
		n, err := d.s.care.AddNeed(ctx, as, residents.NewNeed{
			Resident: d.residents[firstWisher+i].ID, Category: providers.WishCategory, QtyUnits: 1, Urgency: 2, Source: "report", Key: "demo-wish",
		})
		if err != nil {
			return err
		}
		giver := accounts.Principal{Account: byCommand, Role: accounts.Provider, Organisation: charity}
		if _, err := d.s.care.Wish(ctx, as, "", care.WishID(n.ID)); !errors.Is(err, store.ErrNotFound) {
			if err != nil {
				return err
			}
			continue // shown at an earlier try
		}
		w, err := d.s.care.ShowWish(ctx, as, n.ID, wish)
		if err != nil {
			return fmt.Errorf("wish %s: %w", wish.TextEN, err)
		}
		if i == 0 {
			if _, err := d.s.care.TakeWish(ctx, giver, charity, w.ID, care.Taking{Handover: providers.Handover{How: providers.Delivery}}); err != nil {
				return fmt.Errorf("wish %s: %w", wish.TextEN, err)
			}
		}
	}
	return nil
}
