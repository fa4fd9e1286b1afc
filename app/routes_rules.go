package app

// ruleRoutes are for whoever writes down who may have an offer.
func ruleRoutes() []Route {
	return []Route{
		{Method: "POST", Path: apiPrefix + "/rules/check", Name: "checkRule", Kind: API, Handler: (*App).checkRule, Roles: givers,
			ZH: "核对领取条件：表达式、表单形式与中英文说法", EN: "Check a rule: its expression, its form and what it says", Request: ruleRequest{}, Response: ruleView{}},
		{Method: "POST", Path: apiPrefix + "/rules/reach", Name: "countReach", Kind: API, Handler: (*App).countReach, Roles: givers, Limit: LimitReach, Purpose: "count_reach", Slow: true,
			ZH: "预览：领取条件现在覆盖各乡镇多少居民，少于 5 人不显示人数(进度见 /imports/{import_id})", EN: "How many residents a rule reaches now, by town; fewer than 5 are not counted out (progress: /imports/{import_id})", Request: reachRequest{}, Response: reachView{}},
		{Method: "POST", Path: "/offers/new/rule", Name: "showRuleReach", Kind: Page, Upload: true, Handler: (*App).showRuleReach, Roles: givers, Limit: LimitReach, Purpose: "count_reach", Slow: true,
			ZH: "预览领取条件覆盖的人数", EN: "See how many a rule reaches"},
	}
}
