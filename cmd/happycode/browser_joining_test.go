//go:build integration

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// An enterprise joins and shows its licence, is approved, adds a colleague for
// the counter, and is suspended and reads why: its pages on a small phone.
func TestBrowserJoining(t *testing.T) {
	s := embedded(t)
	server := start(t, s, "--demo")
	secrets := demoSignIns(t, server, s)
	browser := newBrowser(t, "")
	boss, admin, till := browser.person(t, server.base), browser.person(t, server.base), browser.person(t, server.base)

	boss.phone()
	boss.open("/join")
	boss.fill("#f-name", "浙北便民超市")
	boss.fill("#f-credit_code", "91350100M000100Y43")
	boss.press(`input[name="kind"][value="enterprise"]`)
	boss.choose("#f-division", "330502001000")
	boss.fill("#f-display_name", "老板")
	boss.fill("#f-username", "boss")
	boss.fill("#f-password", "long enough 7")
	boss.press("main form button.strong")
	boss.see("main", "入驻申请已提交")
	boss.signIn("boss", "long enough 7")

	licence := filepath.Join(t.TempDir(), "licence.pdf")
	if err := os.WriteFile(licence, []byte("%PDF-1.7\n% a licence\n%%EOF\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	boss.open("/organisation")
	own := boss.path()
	boss.open(own + "/documents")
	boss.do("choose the licence", chromedp.SetUploadFiles(chromedp.CSS("#f-file"), []string{licence}))
	boss.press("main form.form button.strong")
	boss.see("main .stack", "营业执照或登记证书")

	admin.signIn("admin", secrets.Passwords["admin"])
	admin.open(own + "/documents")
	admin.see("main .stack", "营业执照或登记证书")
	admin.open("/organisations?status=pending")
	admin.press(`form[action="` + own + `/decision"] button[value="approved"]`)
	admin.see("main", "已保存审批结果")

	boss.open(own + "/people")
	boss.unfold("#new")
	boss.fill("#f-username", "till")
	boss.fill("#f-display_name", "柜台小王")
	boss.press(`#new input[name="duty"][value="handover"]`)
	boss.press("#new form button.strong")
	boss.see("main .fresh", "till")
	till.signIn("till", boss.text("#fresh"))
	till.open("/offers")
	till.see("main h1", "资源")
	till.do("open what the counter may not", chromedp.Navigate(server.base+"/offers/new"))
	till.await("the refusal", `document.querySelector("main").innerText.includes("没有权限")`)
	till.expected()

	admin.open("/organisations")
	admin.fill(`form[action="`+own+`/decision"] input[name="note"]`, "食品经营许可证过期")
	admin.press(`form[action="` + own + `/decision"] button[value="suspended"]`)
	admin.see("main", "已保存审批结果")
	boss.open("/")
	boss.see("main .notice-suspended", "食品经营许可证过期")
	for _, path := range []string{own, own + "/places/new", own + "/documents", own + "/people", own + "/history", own + "/systems", "/webhooks"} {
		boss.open(path)
		boss.fits(path)
	}
	boss.open(own + "/history")
	boss.see("main .rows", "食品经营许可证过期")
}
