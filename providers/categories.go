package providers

import "github.com/xingfuma/happycode/matching"

// Category is a kind of aid: its unit, and how much of it one household may be
// promised in a period across all providers.
type Category struct {
	ID        string          `json:"id"`
	ZH        string          `json:"zh"`
	EN        string          `json:"en"`
	UnitZH    string          `json:"unit_zh"`
	UnitEN    string          `json:"unit_en"`
	CapUnits  int64           `json:"cap_units"` // per household and CapPeriod
	CapPeriod matching.Period `json:"cap_period"`
}

// Cash is the category whose unit is the fen; WishCategory is that of a
// resident's wish 微心愿, which one giver takes up.
const (
	Cash         = "cash"
	WishCategory = "wish"
)

// Categories lists the kinds of aid in the order in which pages show them.
func Categories() []Category {
	return []Category{
		{"meal", "助餐", "Meals", "份", "meal", 3, matching.Day},
		{"grocery", "米面粮油", "Groceries", "份", "pack", 2, matching.Week},
		{"clothing", "衣物被褥", "Clothing and bedding", "件", "piece", 4, matching.Month},
		{"medicine", "医药", "Medicine", "份", "pack", 4, matching.Month},
		{"homecare", "居家照护", "Home care", "小时", "hour", 8, matching.Week},
		{"counsel", "心理关爱", "Counselling", "次", "session", 2, matching.Week},
		{Cash, "救助金", "Cash aid", "分", "fen", 200000, matching.Month},
		{"voucher", "消费券", "Vouchers", "张", "voucher", 4, matching.Month},
		{"housing", "住房改善", "Housing", "次", "grant", 1, matching.Year},
		{"education", "助学", "Education", "次", "grant", 2, matching.Year},
		{"job", "就业帮扶", "Jobs and training", "次", "place", 2, matching.Month},
		{"legal", "法律援助", "Legal aid", "次", "session", 2, matching.Month},
		{"transport", "出行接送", "Transport", "趟", "trip", 8, matching.Month},
		{"repair", "家电与房屋维修", "Repairs", "次", "repair", 2, matching.Year},
		{"visit", "探访陪伴", "Visits", "次", "visit", 7, matching.Week},
		{"discount", "爱心折扣", "Discounts", "次", "use", 30, matching.Month},
		{WishCategory, "微心愿", "Wishes", "个", "wish", 4, matching.Month},
	}
}

// CategoryByID finds one kind of aid.
func CategoryByID(id string) (Category, bool) {
	for _, c := range Categories() {
		if c.ID == id {
			return c, true
		}
	}
	return Category{}, false
}
