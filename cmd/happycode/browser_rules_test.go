//go:build integration

package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/xingfuma/happycode/app/care"
)

// tick ticks or unticks a box by its label, in the row of a rule.
func (p *person) tick(row int, label string) {
	p.t.Helper()
	p.await("tick "+label, fmt.Sprintf(`(() => {
		const l = [...document.querySelectorAll(".rule-row:nth-of-type(%d) .choice")].find(l => l.textContent.trim() === %q);
		l?.querySelector("input").click();
		return !!l;
	})()`, row, label))
}

// write puts a value into a field of the row of a rule, by the field's label.
func (p *person) write(row int, label, value string) {
	p.t.Helper()
	p.await("write "+label, fmt.Sprintf(`(() => {
		const l = [...document.querySelectorAll(".rule-row:nth-of-type(%d) label")].find(l => l.textContent === %q);
		const f = l && document.getElementById(l.htmlFor);
		if (!f) return false;
		f.value = %q;
		f.dispatchEvent(new Event(f.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
		return true;
	})()`, row, label, value))
}

// On a small phone a charity says with rows whom its meals are for: over 70,
// alone, no meal in seven days. It sees how many that reaches, narrows it and
// sees that change, looks at the expression, changes that too, and posts. A scan
// then serves who fits, and tells who does not which condition it is.
func TestBrowserRules(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	register := func(age, n int) (r townResident) {
		t.Helper()
		w.worker.must(t, http.MethodPost, "residents", map[string]any{
			"name": "测试", "id_number": bornOn(time.Date(time.Now().Year()-age, 1, 1, 0, 0, 0, 0, time.UTC), n), "division": village, "consent": []string{"matching"},
		}, &r)
		w.worker.must(t, http.MethodPost, "residents/"+r.ID+"/needs", map[string]any{"category": "meal", "qty_units": 1}, nil)
		return r
	}
	var old, young townResident
	for n := range 6 {
		old, young = register(85, n), register(75, n)
		register(60, n)
	}
	register(75, 6)

	browser := newBrowser(t, "")
	giver := browser.person(t, server.base)
	giver.t = t
	giver.phone()
	giver.signIn("giver", "a long password")
	giver.open("/offers/new?form=meals")
	giver.fill(`[name="title_zh"]`, "独居老人午餐")
	giver.set(`[name="category"]`, "meal")
	giver.set(`[name="pace"]`, "now")
	giver.set(`[name="how"]`, "delivery")
	giver.set("#f-s0_from", "")
	giver.set("#f-s0_to", "")
	giver.set(`[name="lot_qty"]`, "5")
	china := time.FixedZone("CST", 8*3600)
	giver.set(`[name="lot_from"]`, time.Now().Add(-time.Hour).In(china).Format("2006-01-02T15:04"))
	giver.set(`[name="lot_until"]`, time.Now().Add(20*time.Hour).In(china).Format("2006-01-02T15:04"))

	giver.press("[data-rule-count]")
	giver.await("what to do first", `document.querySelector("[data-rule-reach]").textContent.includes("请先选择覆盖地区")`)
	giver.expected()
	giver.do("serve the county alone", chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('[name="divisions"]').forEach((box) => { box.checked = box.value === "`+county+`" })`))
	giver.press("[data-rule-add]")
	giver.write(1, "要求", ">")
	giver.write(1, "岁", "70")
	giver.press("[data-rule-add]")
	giver.write(2, "要求", "==")
	giver.write(2, "本户登记的人数", "1")
	giver.press("[data-rule-add]")
	giver.write(3, "看什么", "received")
	giver.write(3, "最近几天内（含今天）", "7")
	giver.tick(3, "助餐")
	giver.see("[data-rule-says]", "须满足：年龄大于 70 岁，且独自一户（本户只登记一人），且本户最近 7 天内没有领过助餐。")
	giver.press("[data-rule-count]")
	giver.see("[data-rule-reach]", "13 人")
	giver.fits("/offers/new with a rule")

	giver.write(1, "岁", "80")
	giver.see("[data-rule-reach]", "以上合计 6 人")
	giver.see("[data-rule-reach]", "原来 13 人")

	giver.unfold("[data-rule-expert]")
	giver.await("the expression", `document.querySelector("#f-rule").value === 'age > 80 && household_size == 1 && !received.within("meal", 7)'`)
	giver.do("an expert's edit", chromedp.Evaluate[chromedp.Void](`{ const f = document.querySelector("#f-rule"); f.value = f.value.replace("80", "eighty"); f.dispatchEvent(new Event("input")) }`))
	giver.await("where the fault is", `document.querySelector("[data-rule-error]").textContent.includes("第 1 行第 7 字")`)
	giver.expected()
	giver.do("put right", chromedp.Evaluate[chromedp.Void](`{ const f = document.querySelector("#f-rule"); f.value = f.value.replace("eighty", "78"); f.dispatchEvent(new Event("input")) }`))
	giver.await("the row follows the expression", `[...document.querySelectorAll(".rule-row:nth-of-type(1) input")].some(i => i.value === "78") && document.querySelector("[data-rule-error]").textContent === ""`)
	giver.see("[data-rule-reach]", "没有变化")
	giver.press(`button[value="preview"]`)
	giver.see(".facts", "年龄大于 78 岁")
	giver.press(`button[value="post"]`)
	giver.see(".done", "资源已发布")
	giver.see(".facts", "年龄大于 78 岁")
	giver.fits("/offers/:id with a rule")

	scan := func(r townResident) (result care.ScanResult) {
		var code struct{ URL string }
		w.worker.must(t, http.MethodGet, "residents/"+r.ID+"/code", nil, &code)
		w.worker.must(t, http.MethodPost, "scans", map[string]any{"code": code.URL}, &result)
		return result
	}
	if got := scan(old); len(got.Offered) != 1 || got.Offered[0].TitleZH != "独居老人午餐" {
		t.Errorf("who fits is offered %+v", got.Offered)
	}
	got := scan(young)
	if len(got.Offered) != 0 || !strings.Contains(got.Needs[0].Reason.ZH, "年龄大于 78 岁") || strings.Contains(got.Needs[0].Reason.ZH, "独自一户") {
		t.Errorf("who does not fit is told %+v", got.Needs)
	}
	w.admin.must(t, http.MethodPost, "accounts", map[string]any{
		"username": "worker", "password": "a long password", "role": "caseworker", "division": county,
	}, nil)
	worker := browser.person(t, server.base)
	worker.t = t
	worker.phone()
	worker.signIn("worker", "a long password")
	worker.open("/needs/" + got.Needs[0].ID)
	worker.see("main", "未满足该资源的领取条件：年龄大于 78 岁")
	worker.fits("/needs/:id with a rule")
}
