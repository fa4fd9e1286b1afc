package app

import "github.com/gofiber/fiber/v2"

// cardRoutes print the cards of a division; their handlers are in
// page_cards.go. app/press writes to the audit log whose cards they are.
func cardRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/cards", Name: "showCards", Kind: Page, Roles: caseworkers, Handler: (*App).showCards, ZH: "打印卡片：选择地区", EN: "Print cards: choose a division"},
		{Method: fiber.MethodGet, Path: "/cards/sheets.pdf", Name: "showCardsPDF", Kind: Page, Roles: caseworkers, Handler: (*App).showCardsPDF, ZH: "一个地区的卡片（PDF）", EN: "The cards of a division as PDF"},
		{Method: fiber.MethodGet, Path: "/cards/print", Name: "showCardSheets", Kind: Page, Roles: caseworkers, Handler: (*App).showCardSheets, ZH: "一个地区的卡片（浏览器打印）", EN: "The cards of a division, to print from the browser"},
		{Method: fiber.MethodGet, Path: apiPrefix + "/card-prints/:id", Name: "getCardPrint", Kind: API, Roles: caseworkers, Handler: (*App).getCardPrint, ZH: "卡片打印文件的制作进度；尚未开始时为 0", EN: "How far a file of cards is; 0 before it has begun", Response: importView{}},
	}
}
