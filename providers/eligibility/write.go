package eligibility

import (
	"slices"
	"strconv"
	"strings"
)

// write is the rule as an expression.
func (t Tree) write() (string, *Fault) { return t.text(0) }

func (t Tree) text(depth int) (string, *Fault) {
	kinds := 0
	for _, is := range []bool{len(t.All) > 0, len(t.Any) > 0, t.Not != nil, t.Ask != ""} {
		if is {
			kinds++
		}
	}
	switch {
	case depth > maxDepth:
		return "", &Fault{ZH: "规则嵌套过深，请拆开。", EN: "The rule is nested too deeply: take it apart."}
	case kinds != 1:
		return "", unfinished()
	case t.Ask != "":
		return t.condition()
	case t.Not != nil:
		inner, fault := t.Not.text(depth + 1)
		if fault == nil && !t.Not.tight() {
			inner = "(" + inner + ")"
		}
		return "!" + inner, fault
	}
	joint, rows := " && ", t.All
	if len(t.Any) > 0 {
		joint, rows = " || ", t.Any
	}
	parts := make([]string, len(rows))
	for i, row := range rows {
		part, fault := row.text(depth + 1)
		if fault != nil {
			return "", fault
		}
		if len(rows) > 1 && row.joined() {
			part = "(" + part + ")"
		}
		parts[i] = part
	}
	return strings.Join(parts, joint), nil
}

func unfinished() *Fault {
	return &Fault{ZH: "有一行条件没有填完，请补全或删去。", EN: "A condition is not filled in: complete or remove it."}
}

// joined says whether it is written with && or ||.
func (t Tree) joined() bool {
	return len(t.All) > 0 || len(t.Any) > 0 || t.listed() && len(t.Values) > 1
}

// tight says whether "!" may stand before it without brackets.
func (t Tree) tight() bool {
	return (t.Ask == AskDivision || t.Ask == AskReceived) && len(t.Values) == 1
}

// condition writes one condition.
func (t Tree) condition() (string, *Fault) {
	if t.listed() {
		if len(t.Values) == 0 || slices.Contains(t.Values, "") {
			return "", unfinished()
		}
		if t.Ask == AskReceived && (t.Days < 1 || t.Days > MaxDays) {
			return "", &Fault{ZH: "天数应为 1 至 366。", EN: "The days are 1 to 366."}
		}
		parts := make([]string, len(t.Values))
		for i, v := range t.Values {
			switch t.Ask {
			case AskGroup:
				parts[i] = strconv.Quote(v) + " in " + varGroups
			case AskHealth:
				parts[i] = strconv.Quote(v) + " in " + varHealth
			case AskDivision:
				parts[i] = varDivision + ".startsWith(" + strconv.Quote(prefix(v)) + ")"
			case AskReceived:
				parts[i] = varReceived + ".within(" + strconv.Quote(v) + ", " + strconv.FormatInt(t.Days, 10) + ")"
			}
		}
		return strings.Join(parts, " || "), nil
	}
	if _, known := flipped[t.Op]; !known {
		return "", unfinished()
	}
	if fault := t.bounds(); fault != nil {
		return "", fault
	}
	whole := strconv.FormatFloat(t.Number, 'f', -1, 64)
	switch t.Ask {
	case AskScore:
		if !strings.Contains(whole, ".") {
			whole += ".0"
		}
		return varScore + " " + t.Op + " " + whole, nil
	case AskToday:
		return varToday + " " + t.Op + " " + strconv.Quote(t.Date), nil
	}
	if t.Number != float64(int64(t.Number)) {
		return "", &Fault{ZH: "这里要填整数。", EN: "A whole number is wanted here."}
	}
	switch t.Ask {
	case AskAge:
		return varAge + " " + t.Op + " " + whole, nil
	case AskHousehold:
		return varHousehold + " " + t.Op + " " + whole, nil
	case AskOthers:
		if len(t.Values) == 0 || slices.Contains(t.Values, "") || t.Days < 1 || t.Days > MaxDays {
			return "", unfinished()
		}
		quoted := make([]string, len(t.Values))
		for i, v := range t.Values {
			quoted[i] = strconv.Quote(v)
		}
		return varReceived + ".others([" + strings.Join(quoted, ", ") + "], " + strconv.FormatInt(t.Days, 10) + ") " + t.Op + " " + whole, nil
	}
	return "", unfinished()
}

// prefix cuts the empty levels off a 12-digit code: two digits each for province,
// city and county, three for town and village.
func prefix(code string) string {
	for _, to := range []int{9, 6, 4, 2} {
		if to < len(code) && strings.Trim(code[to:], "0") == "" {
			code = code[:to]
		}
	}
	return code
}
