package app

import "github.com/xingfuma/happycode/app/accounts"

// offerRoutes are what is around posting an offer: what forms there are, what
// a series makes, drafts, copies and photos.
func offerRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind = apiPrefix+r.Path, API; return r }
	return []Route{
		api(Route{Method: "GET", Path: "/offer-forms", Name: "listForms", Handler: (*App).listForms, Public: true,
			ZH: "资源形式及其常用设置", EN: "The forms of an offer, and what each begins with", Response: list[formView]{}}),
		api(Route{Method: "POST", Path: "/offer-previews", Name: "previewOffer", Handler: (*App).previewOffer, Roles: givers,
			ZH: "预览资源：检查并列出批次，不发布", EN: "Check an offer and list its lots, without posting it", Request: offerRequest{}, Response: offerPreview{}}),
		api(Route{Method: "POST", Path: "/series", Name: "makeSeries", Handler: (*App).makeSeries, Roles: givers,
			ZH: "按日历排出批次，不发布", EN: "The lots that series make, by the calendar", Request: seriesRequest{}, Response: seriesView{}}),
		api(Route{Method: "GET", Path: "/offers/:id/again", Name: "getOfferAgain", Handler: (*App).getOfferAgain, Roles: givers, Scope: ScopeOwnOffer,
			ZH: "下个月再发一次：按日历顺延的资源", EN: "The offer again for the months after it, by the calendar", Response: offerRequest{}}),
		api(Route{Method: "GET", Path: "/drafts", Name: "listDrafts", Handler: (*App).listDrafts, Roles: givers,
			ZH: "草稿列表", EN: "List drafts of offers", Query: draftsQuery{}, Response: list[draftView]{}}),
		api(Route{Method: "POST", Path: "/drafts", Name: "createDraft", Handler: (*App).createDraft, Roles: givers, Idempotent: true, Purpose: "save_draft",
			ZH: "保存草稿", EN: "Save an offer as a draft", Request: draftRequest{}, Response: draftView{}, Status: 201}),
		api(Route{Method: "GET", Path: "/drafts/:id", Name: "getDraft", Handler: (*App).getDraft, Roles: givers, Scope: ScopeDraft,
			ZH: "草稿", EN: "A draft", Response: draftView{}}),
		api(Route{Method: "PUT", Path: "/drafts/:id", Name: "replaceDraft", Handler: (*App).replaceDraft, Roles: givers, Scope: ScopeDraft, Purpose: "save_draft",
			ZH: "更改草稿", EN: "Change a draft", Request: draftRequest{}, Response: draftView{}}),
		api(Route{Method: "DELETE", Path: "/drafts/:id", Name: "deleteDraft", Handler: (*App).deleteDraft, Roles: givers, Scope: ScopeDraft, Purpose: "delete_draft",
			ZH: "删除草稿", EN: "Delete a draft", Status: 204}),
		api(Route{Method: "POST", Path: "/images", Name: "addImage", Handler: (*App).addImage, Roles: givers, Upload: true, Purpose: "add_image",
			ZH: "上传资源照片（JPEG、PNG 或 WebP）", EN: "Send a photo for offers (JPEG, PNG or WebP)", Response: imageView{}, Status: 201}),
		api(Route{Method: "GET", Path: "/images/:id", Name: "getImage", Handler: (*App).getImage, Roles: everybody, Right: accounts.ToHandOver,
			ZH: "资源照片", EN: "A photo of an offer", ContentType: "image/jpeg"}),

		{Method: "GET", Path: "/drafts/:id", Name: "showDraft", Kind: Page, Handler: (*App).showDraft, Roles: givers, Scope: ScopeDraft,
			ZH: "继续填写草稿", EN: "Go on with a draft"},
		{Method: "POST", Path: "/drafts/:id/delete", Name: "saveDraftDeleted", Kind: Page, Handler: (*App).saveDraftDeleted, Roles: givers, Scope: ScopeDraft, Purpose: "delete_draft",
			ZH: "删除草稿", EN: "Delete a draft"},
		{Method: "GET", Path: "/offers/:id/again", Name: "showOfferAgain", Kind: Page, Handler: (*App).showOfferAgain, Roles: givers, Scope: ScopeOwnOffer,
			ZH: "下个月再发一次", EN: "Post an offer again for next month"},
	}
}
