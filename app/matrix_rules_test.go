package app

import "strings"

// ruleRows are the rows of the matrix for rules; they name nobody, so that
// every giver may ask about every division.
func ruleRows() map[string]row {
	return map[string]row{
		"showRuleReach": {cells: given, path: "/offers/new/rule", kind: "application/x-www-form-urlencoded", body: func(*world) any { return strings.NewReader("divisions=" + county) }},
		"checkRule":     {cells: given, path: "/api/v1/rules/check", body: func(*world) any { return ruleRequest{Rule: "age > 70"} }},
		"countReach":    {cells: given, path: "/api/v1/rules/reach", body: func(*world) any { return reachRequest{Divisions: []string{county}} }},
	}
}
