package providers

import (
	"slices"

	"github.com/xingfuma/happycode/matching"
)

// Form is what an offer gives: it says which categories, ways of handing over
// and lots make sense, and what a new offer of it begins with.
type Form string

// The forms of an offer.
const (
	FormGoods    Form = "goods"    // things, fetched or brought
	FormMeals    Form = "meals"    // by sitting: a lot is one sitting
	FormService  Form = "service"  // somebody's time, by slot and by how many work in it
	FormVoucher  Form = "voucher"  // redeemed at a shop
	FormCash     Form = "cash"     // money and subsidies, in fen
	FormDiscount Form = "discount" // counted, or unlimited
	FormWish     Form = "wish"     // one resident's wish, taken up; see app/care
)

// UnlimitedUnits is what a lot of an unlimited offer holds: so much that it is
// never scarce. What was given of it is counted like anything else.
const UnlimitedUnits = maxQtyUnits

// A Preset is what a form asks for and what a new offer of it begins with.
type Preset struct {
	Form       Form
	Categories []string // the first is the usual one
	Hows       []How    // the first is the usual one
	CapUnits   int64    // per household and CapPeriod; 0: none
	CapPeriod  matching.Period
	Pace       matching.Pace
	Series     Series // without its dates
}

// Presets lists the forms that a provider may post, in the order in which pages
// show them. Wishes are taken up, not posted.
func Presets() []Preset {
	workdays := []int{1, 2, 3, 4, 5}
	return []Preset{
		{FormMeals, []string{"meal"}, []How{Pickup, Delivery, OnSite}, 1, matching.Day, matching.PaceDrip,
			Series{QtyUnits: 60, Every: Weekly, Weekdays: workdays, Start: "11:00", End: "13:00"}},
		{FormGoods, []string{"grocery", "clothing", "medicine", "education", "housing", "repair", "job", "legal", "transport"}, []How{Pickup, Delivery, OnSite}, 1, matching.Month, matching.PaceDrip,
			Series{QtyUnits: 20, Every: Weekly, Weekdays: []int{1}, Start: "09:00", End: "17:00", Days: 5}},
		{FormService, []string{"homecare", "counsel", "visit", "repair", "legal", "transport", "job", "education", "medicine", "housing"}, []How{OnSite, Pickup}, 2, matching.Week, matching.PaceDrip,
			Series{Workers: 2, Every: Weekly, Weekdays: workdays, Start: "09:00", End: "17:00", SlotMinutes: 240, UnitMinutes: 60}},
		{FormVoucher, []string{"voucher", "grocery", "meal", "clothing", "medicine", "education", "transport", "repair"}, []How{Voucher}, 1, matching.Month, matching.PaceDrip,
			Series{QtyUnits: 100, Every: Monthly, Day: 1}},
		{FormCash, []string{Cash}, []How{Transfer, Pickup}, 20_000, matching.Month, matching.PaceDrip,
			Series{QtyUnits: 1_000_000, Every: Monthly, Day: 1}},
		{FormDiscount, []string{"discount"}, []How{Pickup, Voucher, OnSite, Delivery}, 4, matching.Month, matching.PaceNow,
			Series{QtyUnits: 100, Every: Monthly, Day: 1}},
	}
}

// PresetOf finds the preset of a form.
func PresetOf(f Form) (Preset, bool) {
	for _, p := range Presets() {
		if p.Form == f {
			return p, true
		}
	}
	return Preset{}, false
}

// FormOf is the form of an offer that does not say it: older ones, and those
// of systems that name only category and handover.
func FormOf(category string, how How) Form {
	switch {
	case category == WishCategory:
		return FormWish
	case category == Cash:
		return FormCash
	case category == "discount":
		return FormDiscount
	case category == "voucher", how == Voucher:
		return FormVoucher
	case category == "meal":
		return FormMeals
	case how == OnSite, category == "homecare", category == "counsel", category == "visit":
		return FormService
	}
	return FormGoods
}

// longestSittingMs is how long a sitting or a slot of one day may last.
const longestSittingMs = 24 * 3_600_000

// checkForm checks what the form of an offer asks for; an offer that does not
// state one gets the form of its category and its way of handing over, and is
// held to nothing more than that form cannot be without.
func checkForm(o *Offer, n NewOffer) error {
	o.Form = n.Form
	if o.Form == "" {
		o.Form = FormOf(o.Category, o.Handover.How)
	}
	if (o.Form == FormWish || o.Category == WishCategory) && n.Wish == "" {
		return ErrOffer{"form", "微心愿由资源方在“微心愿”页面认领，不能直接发布。", "A wish is taken up on the page of wishes; it cannot be posted.", nil}
	}
	if o.Unlimited = n.Unlimited; n.Unlimited && o.Form != FormDiscount {
		return ErrOffer{"unlimited", "只有折扣可以不限量，请填写数量。", "Only discounts are unlimited: give a quantity.", nil}
	}
	if n.Form == "" || n.Wish != "" {
		return nil
	}
	p, ok := PresetOf(n.Form)
	if !ok {
		return ErrOffer{"form", "请选择资源形式：餐食、物资、服务、消费券、现金或折扣。",
			"Choose what it gives: meals, goods, service, voucher, cash or discount.", nil}
	}
	if !slices.Contains(p.Categories, o.Category) {
		return ErrOffer{"category", "这种形式没有该类别，请从列表中改选。", "There is no such category in this form: choose another from the list.", nil}
	}
	if !slices.Contains(p.Hows, o.Handover.How) {
		return ErrOffer{"handover.how", "这种形式不能这样交付，请改选。", "What is given in this form is not handed over like this: choose another way.", nil}
	}
	if n.Form == FormMeals {
		for _, lot := range o.Lots {
			if lot.UntilMs-lot.FromMs > longestSittingMs {
				return ErrOffer{"lots", "餐食按餐次发放，每个批次不超过 24 小时，请分开填写。", "Meals go by sitting, of 24 hours at most: give a lot for each.", nil}
			}
		}
	}
	return nil
}
