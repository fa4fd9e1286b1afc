package eligibility

import (
	"slices"
	"strconv"
	"strings"
)

// Text is words in both languages.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// Names knows what ids mean. A function says whether there is such a thing.
type Names struct {
	Group    func(id string) (Text, bool)
	Category func(id string) (Text, bool)
	Division func(code string) (Text, bool)
	Offer    func(id string) (Text, bool)
}

// Check refuses what names something that is not there. Errors: [*Fault].
func (r *Rule) Check(n Names) error {
	var fault *Fault
	r.Tree.each(func(c Tree) {
		for _, v := range c.Values {
			if _, ok := n.name(c.Ask, v); !ok && fault == nil {
				fault = &Fault{
					ZH: "没有“" + v + "”这一" + map[string]string{AskGroup: "人群", AskHealth: "健康状况", AskDivision: "区划", AskReceived: "类别、资源或组合", AskOthers: "类别、资源或组合"}[c.Ask] + "，请从列表中选择。",
					EN: "There is no " + map[string]string{AskGroup: "group", AskHealth: "condition of health", AskDivision: "division", AskReceived: "kind, offer or set", AskOthers: "kind, offer or set"}[c.Ask] + " “" + v + "”: choose one from the list.",
				}
			}
		}
	})
	if fault != nil {
		return fault
	}
	return nil
}

func (n Names) name(ask, id string) (Text, bool) {
	switch ask {
	case AskGroup:
		return n.Group(id)
	case AskHealth:
		if !slices.Contains(Health(), id) {
			return Text{}, false
		}
		return n.Group(id)
	case AskDivision:
		return n.Division(id)
	}
	if name, isSet := strings.CutPrefix(id, SetPrefix); isSet {
		_, ok := SetName(name)
		return Text{"“" + name + "”组合", "the set “" + name + "”"}, ok
	}
	if t, ok := n.Category(id); ok {
		return t, true
	}
	t, ok := n.Offer(id)
	return Text{"“" + t.ZH + "”", "“" + t.EN + "”"}, ok
}

// Sentence says the rule in words.
func (r *Rule) Sentence(n Names) Text {
	t := r.Tree.say(n, false)
	return Text{"须满足：" + t.ZH + "。", "This must hold: " + t.EN + "."}
}

// Words says the conjuncts of the rule in words, as clauses.
func (r *Rule) Words(n Names) []Text {
	parts := r.Tree.conjuncts()
	out := make([]Text, len(parts))
	for i, p := range parts {
		out[i] = p.say(n, false)
	}
	return out
}

// say is a clause; inner, within another one.
func (t Tree) say(n Names, inner bool) Text {
	switch {
	case t.Ask != "":
		return t.clause(n, false)
	case t.Not != nil && t.Not.Ask != "":
		return t.Not.clause(n, true)
	case t.Not != nil:
		x := t.Not.say(n, false)
		return Text{"以下情况除外（" + x.ZH + "）", "it is not so that (" + x.EN + ")"}
	}
	rows, zh, en := t.All, "，且", ", and "
	if len(t.Any) > 0 {
		rows, zh, en = t.Any, "，或", ", or "
	}
	var words Text
	for i, row := range rows {
		x := row.say(n, true)
		if i > 0 {
			words.ZH, words.EN = words.ZH+zh, words.EN+en
		}
		words.ZH, words.EN = words.ZH+x.ZH, words.EN+x.EN
	}
	if inner && len(rows) > 1 {
		return Text{"（" + words.ZH + "）", "(" + words.EN + ")"}
	}
	return words
}

// clause says one condition, or that it does not hold.
func (t Tree) clause(n Names, denied bool) Text {
	say := func(zh, notZH, en, notEN string) Text {
		if denied {
			return Text{notZH, notEN}
		}
		return Text{zh, en}
	}
	list := t.list(n)
	days := strconv.FormatInt(t.Days, 10)
	back := Text{"最近 " + days + " 天内", "in the last " + days + " days"}
	if t.Days == 1 {
		back = Text{"今天", "today"}
	}
	switch t.Ask {
	case AskGroup:
		return say("属于"+list.ZH, "不属于"+list.ZH, "belongs to "+list.EN, "does not belong to "+list.EN)
	case AskHealth:
		return say("健康状况为"+list.ZH, "健康状况不是"+list.ZH, "has as health "+list.EN, "does not have as health "+list.EN)
	case AskDivision:
		return say("住在"+list.ZH, "不住在"+list.ZH, "lives in "+list.EN, "does not live in "+list.EN)
	case AskReceived:
		return say("本户"+back.ZH+"领过"+list.ZH, "本户"+back.ZH+"没有领过"+list.ZH,
			"the household has had "+list.EN+" "+back.EN, "the household has not had "+list.EN+" "+back.EN)
	}
	op := t.Op
	if denied {
		op = map[string]string{"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}[op]
	}
	number := strconv.FormatFloat(t.Number, 'f', -1, 64)
	amount := map[string]Text{
		"==": {"为 " + number, "exactly " + number}, "!=": {"不是 " + number, "not " + number},
		"<": {"小于 " + number, "less than " + number}, "<=": {"不超过 " + number, "at most " + number},
		">": {"大于 " + number, "more than " + number}, ">=": {"不低于 " + number, "at least " + number},
	}[op]
	switch t.Ask {
	case AskAge:
		return Text{"年龄" + amount.ZH + " 岁", "is aged " + amount.EN}
	case AskScore:
		return Text{"困难评分" + amount.ZH, "has a score of " + amount.EN}
	case AskHousehold:
		if op == "==" && t.Number == 1 {
			return Text{"独自一户（本户只登记一人）", "lives alone (one registered member in the household)"}
		}
		return Text{"本户登记人数" + amount.ZH + " 人", "the household's registered members are " + amount.EN}
	case AskOthers:
		return Text{"本户" + back.ZH + "领过的" + list.ZH + "中其他资源" + amount.ZH + " 项", "of the other offers in " + list.EN + " the household has had " + amount.EN + " " + back.EN}
	}
	date := map[string]Text{
		"==": {"日期为 " + t.Date, "the date is " + t.Date}, "!=": {"日期不是 " + t.Date, "the date is not " + t.Date},
		"<": {"日期早于 " + t.Date, "the date is before " + t.Date}, "<=": {"日期不晚于 " + t.Date, "the date is " + t.Date + " at the latest"},
		">": {"日期晚于 " + t.Date, "the date is after " + t.Date}, ">=": {"日期不早于 " + t.Date, "the date is " + t.Date + " at the earliest"},
	}
	return date[op]
}

// list names the values: one or the other.
func (t Tree) list(n Names) Text {
	var zh, en []string
	for _, v := range t.Values {
		name, ok := n.name(t.Ask, v)
		if !ok {
			name = Text{v, v}
		}
		zh, en = append(zh, name.ZH), append(en, name.EN)
	}
	if len(en) > 1 {
		en = append(en[:len(en)-2], en[len(en)-2]+" or "+en[len(en)-1])
	}
	if len(zh) > 1 {
		zh = append(zh[:len(zh)-2], zh[len(zh)-2]+"或"+zh[len(zh)-1])
	}
	return Text{strings.Join(zh, "、"), strings.Join(en, ", ")}
}
