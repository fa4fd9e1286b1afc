package app

// screenRoutes are the rows of the code that a resident's phone shows. The
// page itself is for anybody: it names nobody, so that a phone may keep it and
// open it without a network; who it is for, its script asks.
func screenRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/me/code", Name: "showMyCode", Kind: Page, Handler: (*App).showMyCode, Public: true, Shell: true,
			ZH: "出示幸福码", EN: "Show one's own code"},
		{Method: "GET", Path: apiPrefix + "/me/codes", Name: "listMyCodes", Kind: API, Handler: (*App).listMyCodes, Roles: onlySelf, NoToken: true, CarerOK: true, Limit: LimitCodes,
			ZH: "本人接下来 20 分钟的动态码，供无网络时出示", EN: "The own screen codes of the next 20 minutes, to be shown without a network", Response: codesView{}},
		{Method: "GET", Path: apiPrefix + "/me/code.svg", Name: "getMyCodeSVG", Kind: API, Handler: (*App).getMyCodeSVG, Roles: onlySelf, NoToken: true, CarerOK: true, Limit: LimitCodes,
			ZH: "本人此刻的动态码(SVG)", EN: "The own screen code of this moment as SVG", ContentType: "image/svg+xml"},
	}
}
