package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
)

// scannerRoutes are what makes the scan page an installable scanner: queues,
// photos, and starting without a network.
func scannerRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/manifest.webmanifest", Name: "serveManifest", Kind: Asset, Public: true, Handler: (*App).serveManifest,
			ZH: "安装到桌面的说明", EN: "What the browser installs"},
		{Method: fiber.MethodGet, Path: "/start", Name: "showStart", Kind: Page, Public: true, Handler: (*App).showStart,
			ZH: "桌面图标打开的页面，按角色转到", EN: "Where the installed app begins, by role"},
		{Method: fiber.MethodGet, Path: "/sw.js", Name: "serveWorker", Kind: Asset, Public: true, Handler: (*App).serveWorker,
			ZH: "离线启动脚本", EN: "The worker that starts pages without a network"},
		{Method: fiber.MethodGet, Path: "/unreachable", Name: "showUnreachable", Kind: Page, Public: true, Handler: (*App).showUnreachable,
			ZH: "没有网络时的页面", EN: "What shows when there is no network"},
		{Method: fiber.MethodPost, Path: "/scan/photo", Name: "saveScanPhoto", Kind: Page, Roles: caseworkers, Limit: LimitScan, Upload: true, Handler: (*App).saveScanPhoto,
			ZH: "照片扫码（无脚本时）", EN: "Scan a photo, without scripts"},
		{Method: fiber.MethodPost, Path: apiPrefix + "/scans/photo", Name: "readPhoto", Kind: API, Roles: staff, Right: accounts.ToHandOver, Upload: true, Handler: (*App).readPhoto,
			ZH: "识别照片里的幸福码，照片不保存", EN: "Read the code in a photo, which is not kept", Response: photoView{}},
		{Method: fiber.MethodGet, Path: apiPrefix + "/scans/offers", Name: "listQueueOffers", Kind: API, Roles: caseworkers, Handler: (*App).listQueueOffers,
			ZH: "现在可以当场发放的资源", EN: "What can be handed over on the spot now", Response: queueOffersView{}},
		{Method: fiber.MethodPost, Path: apiPrefix + "/scans/handover", Name: "serveQueue", Kind: API, Roles: caseworkers, Limit: LimitScan, Idempotent: true, Handler: (*App).serveQueue,
			ZH: "连续扫码：识别、匹配并当场交付，一次完成", EN: "Queue: identify, match and hand over in one step", Request: queueRequest{}, Response: queueView{}},
	}
}
