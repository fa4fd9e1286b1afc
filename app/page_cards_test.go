//go:build integration

package app

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/press"
	"github.com/xingfuma/happycode/app/residents"
)

func (w *world) printed(r *residents.Resident) (n int) {
	for _, e := range w.seen(r.ID) {
		if e.Act == press.Act && e.Outcome == "ok" {
			n++
		}
	}
	return n
}

func TestPagesOfCards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone, err := w.app.Residents.Register(t.Context(), "test", residents.Registration{Name: "走远", Division: village})
	must(t, err)
	_, err = w.app.Residents.SetStatus(t.Context(), "test", gone.ID, residents.Moved)
	must(t, err)
	revoked, err := w.app.Residents.Register(t.Context(), "test", residents.Registration{Name: "失卡", Division: village})
	must(t, err)
	must(t, w.app.Residents.Revoke(t.Context(), "test", revoked.Code, residents.WhyLost))
	person := w.printed(w.person)

	wantPage(t, w.do("caseworker", "GET", "/residents", nil), 200, `href="/cards"`)
	page := w.do("caseworker", "GET", "/cards?division="+village, nil)
	wantPage(t, page, 200, "红丰社区", "不打印的人：迁出或去世 1 人，没有有效的码 1 人", "/cards/sheets.pdf?division="+village, "/cards/print?division="+village)
	if w.printed(w.person) != person {
		t.Error("counting cards is a look at somebody")
	}
	wantPage(t, w.do("caseworker", "GET", "/cards?division=330502001002", nil), 200, "这里没有可以打印的卡片")

	pdf := w.do("caseworker", "GET", "/cards/sheets.pdf?division="+village+"&import_id=p1", nil)
	if pdf.status != 200 || pdf.header.Get("Content-Type") != "application/pdf" || !bytes.HasPrefix(pdf.body, []byte("%PDF-1.7")) ||
		pdf.header.Get("Content-Disposition") != `attachment; filename="cards-`+village+`.pdf"` {
		t.Fatalf("PDF: %d %v %.20q", pdf.status, pdf.header, pdf.body)
	}
	var bar importView
	w.do("caseworker", "GET", "/api/v1/imports/p1", nil).into(t, &bar)
	if bar.Done == 0 || bar.Done != bar.Total {
		t.Errorf("the count of the print: %+v", bar)
	}
	if w.printed(w.person) != person+1 {
		t.Error("a printed card is not in the audit log")
	}
	if w.printed(gone)+w.printed(revoked) != 0 {
		t.Error("cards were printed of somebody who gets none")
	}

	sheets := w.do("caseworker", "GET", "/cards/print?division="+village, nil)
	wantPage(t, sheets, 200, "金＊＊", "第 1 张，共 1 张", "sheets", "遗失请告诉社工")
	if strings.Contains(string(sheets.body), canaryName) || strings.Contains(string(sheets.body), canaryPhone) {
		t.Error("a sheet says more than the first character of a name")
	}
	if w.printed(w.person) != person+2 {
		t.Error("a sheet in the browser is not in the audit log")
	}
	wantPage(t, w.do("caseworker", "GET", "/residents/"+w.person.ID+"/card", nil), 200, "金＊＊", `viewBox="4 4 `)

	for path, status := range map[string]int{
		"/cards/sheets.pdf?layout=a3":                         400,
		"/cards/print?first=-1":                               404,
		"/cards/print?first=1000":                             404,
		"/cards?division=330502009000":                        404, // no such place
		"/cards?division=x":                                   404,
		"/cards/sheets.pdf?division=330502001002":             404,
		"/cards/sheets.pdf?layout=single&division=" + village: 200,
	} {
		if got := w.do("caseworker", "GET", path, nil); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
}

var linkOfPart = regexp.MustCompile(`href="(/cards/(?:sheets\.pdf|print)\?[^"]+)"`)

// More cards than one file takes are printed in parts that leave nobody out.
func TestCardsInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.app.cardsMost = 4
	people := []*residents.Resident{w.person}
	for i := range 9 {
		r, err := w.app.Residents.Register(t.Context(), "test", residents.Registration{Name: "张三", Division: village, Household: strconv.Itoa(i / 3)})
		must(t, err)
		people = append(people, r)
	}
	before := map[string]int{}
	for _, r := range people {
		before[r.ID] = w.printed(r)
	}
	whole := "?division=" + village
	wantPage(t, w.do("caseworker", "GET", "/cards/sheets.pdf"+whole, nil), 422, "重新划分")
	page := w.do("caseworker", "GET", "/cards"+whole, nil)
	wantPage(t, page, 200, "第 1–", "已生成 %d/%d 部分", "补发了码")
	pdfs := 0
	for _, link := range linkOfPart.FindAllStringSubmatch(string(page.body), -1) {
		got := w.do("caseworker", "GET", html.UnescapeString(link[1]), nil)
		switch {
		case got.status != 200:
			t.Errorf("%s: %d", link[1], got.status)
		case strings.HasPrefix(link[1], "/cards/print"):
			wantPage(t, got, 200, "遗失请告诉社工")
		default:
			if pdfs++; got.header.Get("Content-Disposition") != fmt.Sprintf(`attachment; filename="cards-%s-%d.pdf"`, village, (pdfs+1)/2) {
				t.Errorf("file %d: %v", pdfs, got.header)
			}
		}
	}
	if pdfs < 2*3 {
		t.Errorf("%d files", pdfs)
	}
	// A4, the browser's and the card printer's.
	for i, r := range people {
		if n := w.printed(r) - before[r.ID]; n != 3 {
			t.Errorf("person %d is printed %d times, want once in each of three ways", i, n)
		}
	}
	// The browser's view goes from part to part.
	got := w.do("caseworker", "GET", "/cards/print"+whole, nil)
	if got.status != 303 {
		t.Fatalf("more than one part in the browser: %d", got.status)
	}
	views := 0
	for next := got.header.Get("Location"); next != ""; views++ {
		page := w.do("caseworker", "GET", next, nil)
		wantPage(t, page, 200, "遗失请告诉社工")
		next = ""
		if link := linkOfPart.FindStringSubmatch(string(page.body)); link != nil {
			next = html.UnescapeString(link[1])
		}
	}
	if views != pdfs/2 {
		t.Errorf("%d parts in the browser, %d in files", views, pdfs/2)
	}
	for i, r := range people {
		if n := w.printed(r) - before[r.ID]; n != 4 {
			t.Errorf("person %d is printed %d times, want once more", i, n)
		}
	}
	beyond := press.Cut{Division: "999999999999", Household: "h"}.String()
	wantPage(t, w.do("caseworker", "GET", "/cards/print"+whole+"&part=2&after="+beyond, nil), 404)
	for _, bad := range []string{"&after=x", "&part=0", "&cuts=x", "&cards=-1", "&until=" + village} {
		if got := w.do("caseworker", "GET", "/cards"+whole+bad, nil); got.status != 404 {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
}

// One account makes one file at a time, and all together two.
func TestPrintsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := "/cards/sheets.pdf?division=" + village
	p, err := w.app.Accounts.PrincipalOfToken(t.Context(), w.actors["caseworker"].bearer)
	must(t, err)
	if !w.app.prints.enter(p.Account) {
		t.Fatal("no place")
	}
	wantPage(t, w.do("caseworker", "GET", url, nil), 503, "正在制作其他卡片")
	if got := w.do("admin", "GET", url, nil); got.status != 200 {
		t.Errorf("somebody else meanwhile: %d", got.status)
	}
	if !w.app.prints.enter("somebody") || w.app.prints.enter("third") {
		t.Error("not two places")
	}
	wantPage(t, w.do("admin", "GET", url, nil), 503, "正在制作其他卡片")
	w.app.prints.leave(p.Account)
	w.app.prints.leave("somebody")
	if got := w.do("caseworker", "GET", url, nil); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

func TestPrintingWithoutAFont(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HAPPYCODE_FONT=/nowhere.ttf")
	wantPage(t, w.do("caseworker", "GET", "/cards/sheets.pdf?division="+village, nil), 503, "HAPPYCODE_FONT")
	wantPage(t, w.do("caseworker", "GET", "/cards/print?division="+village, nil), 200, "金＊＊")
}
