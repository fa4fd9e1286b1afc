//go:build integration

package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A charity posts weekday lunches on a small phone: it begins, keeps a draft,
// comes back, sees what it would post, posts it, and copies it to the next
// month.
func TestBrowserPostsByTheCalendar(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	browser := newBrowser(t, "")
	p := browser.person(t, server.base)
	p.phone()
	p.signIn("giver", "a long password")

	p.open("/offers/new")
	p.fits("/offers/new")
	p.press(`a[href="/offers/new?form=meals"]`)
	p.fill("#f-title_zh", "工作日午餐")
	p.see("[data-made]", "批")
	p.press(`button[value="draft"]`)
	p.see("main .done", "草稿已保存")
	p.press(`a[href^="/drafts/"]`)
	p.await("what the draft says", `document.querySelector("#f-title_zh")?.value === "工作日午餐"`)

	// Four weeks from Monday on, without the second Monday.
	monday := time.Now().In(time.FixedZone("", 8*3600)).AddDate(0, 0, 1)
	for monday.Weekday() != time.Monday {
		monday = monday.AddDate(0, 0, 1)
	}
	day := func(n int) string { return monday.AddDate(0, 0, n).Format(time.DateOnly) }
	p.set("#f-s0_from", day(0))
	p.set("#f-s0_to", day(27))
	p.press("fieldset[data-series] details > summary")
	p.fill("#f-s0_skip", day(7))
	p.see("[data-made]", "共 19 批，合计 1,140")
	p.press(".tree details > summary")
	p.press(`.tree .whole input`)
	p.fill("#f-place", "月河街道敬老食堂")
	p.fits("/offers/new?form=meals")
	p.press(`button[value="preview"]`)
	p.see("#total", "共 19 批，合计 1,140 份")
	p.see("main", "月河街道敬老食堂")
	p.fits("the preview")
	p.press(`button[value="post"]`)
	p.see("main .done", "已发布")
	p.fits("/offers/:id")

	var offers []struct {
		ID     string
		Form   string
		Lots   []lotRequest
		Series []struct{ From, To string }
	}
	pages(t, w.giver, "offers", &offers)
	if len(offers) != 1 || offers[0].Form != "meals" || len(offers[0].Lots) != 19 {
		t.Fatalf("got %+v, want one offer of 19 meals", offers)
	}
	for _, lot := range offers[0].Lots {
		from := time.UnixMilli(lot.FromMs).In(monday.Location())
		if d := from.Weekday(); lot.QtyUnits != 60 || from.Hour() != 11 || d == time.Saturday || d == time.Sunday {
			t.Errorf("a lot of %d from %s", lot.QtyUnits, from)
		}
	}
	var drafts struct{ Items []struct{ ID string } }
	w.giver.must(t, http.MethodGet, "drafts", nil, &drafts)
	if len(drafts.Items) != 0 {
		t.Errorf("the draft outlives its offer: %+v", drafts.Items)
	}

	p.press(`a[href$="/again"]`)
	p.see("main .lead", "从“工作日午餐”复制")
	if got := p.value("#f-s0_from"); !(got > offers[0].Series[0].From) || p.value("#f-s0_skip") != "" {
		t.Errorf("the copy begins on %s, the offer on %s", got, offers[0].Series[0].From)
	}
	p.press(`button[value="preview"]`)
	p.see("#total", "合计")
	p.press(`button[value="post"]`)
	p.see("main .done", "已发布")
	offers = nil
	pages(t, w.giver, "offers", &offers)
	if len(offers) != 2 || strings.Compare(offers[0].Series[0].From, offers[1].Series[0].From) <= 0 {
		t.Errorf("got %+v, want the copy after the offer", offers)
	}
}

// value is what stands in a field.
func (p *person) value(selector string) string {
	p.t.Helper()
	return step(p, "read "+selector, chromedp.Evaluate[string](`document.querySelector('`+selector+`').value`))
}
