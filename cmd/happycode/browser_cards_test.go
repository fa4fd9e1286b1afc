//go:build integration

package main

import (
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// A caseworker goes from the list of residents to the cards of a village,
// downloads them, and prints them from the browser: what Chromium puts on
// paper is A4, whole, of the right size, and every code on it is read.
func TestBrowserPrintsCards(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	server := start(t, s, "--demo")
	secrets := demoSignIns(t, server, s)
	commandOK(t, s, "import", "residents", villagers(t, 46))
	browser := newBrowser(t, "")
	worker := browser.person(t, server.base)
	worker.t = t
	worker.signIn("caseworker", secrets.Passwords["caseworker"])
	worker.open("/residents")
	worker.press(`main a[href="/cards"]`)
	worker.see("main h1", "打印卡片")

	const village = "330502001016"
	worker.open("/cards?division=" + village)
	worker.see("main .figures", "张卡片")
	folder := t.TempDir()
	window := step(worker, "find the window", func(ctx context.Context, t *chromedp.Target) (cdp.BrowserContextID, error) {
		info, err := cdp.Call(ctx, t, target.GetTargetInfo, target.GetTargetInfoParams{})
		return info.TargetInfo.BrowserContextID, err
	})
	step(worker, "take downloads", func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
			Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder, BrowserContextID: window,
		})
	})
	worker.press(`a[data-cards]`)
	worker.see("[data-cards-bar]", "已制作完成")
	file := filepath.Join(folder, "cards-"+village+".pdf")
	eventually(t, startTime, "the file is downloaded", func() error {
		_, err := os.Stat(file)
		return err
	})
	pages, codes := onPaper(t, file)
	if pages == 0 || codes < 23 {
		t.Errorf("the file has %d pages and %d codes", pages, codes)
	}

	worker.press(`main a[href^="/cards/print"]`)
	worker.see("main .sheet", "幸福码")
	for what, want := range map[string][2]float64{".id-card": {85.6, 54}, ".id-card-qr": {33.6, 33.6}, ".sheet": {210, 296.9}} {
		got := step(worker, "measure "+what, chromedp.Evaluate[[]float64](`(() => { const b = document.querySelector("`+what+`").getBoundingClientRect(); return [b.width / 96 * 25.4, b.height / 96 * 25.4] })()`))
		for i := range want {
			if got[i] < want[i]-.1 || got[i] > want[i]+.1 {
				t.Errorf("%s is %.2f × %.2f mm, want %v", what, got[0], got[1], want)
			}
		}
	}
	if tall := step(worker, "look for cut texts", chromedp.Evaluate[bool](`[...document.querySelectorAll(".id-card > p")].some(p => p.scrollWidth > p.clientWidth + 1 || p.getBoundingClientRect().bottom > p.parentNode.getBoundingClientRect().bottom)`)); tall {
		t.Error("a text on a card is cut off")
	}
	printed := filepath.Join(folder, "browser.pdf")
	yes := true
	paper := step(worker, "print", func(ctx context.Context, t *chromedp.Target) (page.PrintToPDFResult, error) {
		return cdp.Call(ctx, t, page.PrintToPDF, page.PrintToPDFParams{PreferCSSPageSize: &yes, PrintBackground: &yes})
	})
	if err := os.WriteFile(printed, paper.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	again, read := onPaper(t, printed)
	if again != pages || read != codes {
		t.Errorf("the browser prints %d pages with %d codes, the file has %d with %d", again, read, pages, codes)
	}

	for _, lang := range []string{"zh", "en"} {
		worker.phone()
		worker.open("/cards?division=" + village)
		worker.speak(lang)
		worker.fits("/cards")
		worker.open("/cards/print?division=" + village)
		worker.fits("/cards/print")
	}
}

// A town of more cards than one file takes is printed in parts. The page says
// which are made, and goes on with the others after it was closed, though
// somebody came to live there meanwhile.
func TestBrowserPrintsCardsInParts(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	server := start(t, s, "--demo")
	secrets := demoSignIns(t, server, s)
	commandOK(t, s, "import", "residents", villagers(t, 2010))
	worker := newBrowser(t, "").person(t, server.base)
	worker.t = t
	worker.signIn("caseworker", secrets.Passwords["caseworker"])
	const town = "/cards?division=330502001000"
	worker.open(town)
	worker.see("main .parts li:nth-child(2)", "第 ")
	worker.see("[data-parts]", "已生成 0/2 部分")
	cuts := func() string {
		return step(worker, "read the cuts", chromedp.Evaluate[string](`document.querySelector("[data-parts]").dataset.parts`))
	}
	first := cuts()
	worker.press(`.parts li:nth-child(2) a[data-cards]`)
	worker.see("[data-cards-bar]", "已制作完成")
	worker.see("[data-parts]", "已生成 1/2 部分")
	commandOK(t, s, "import", "residents", villagers(t, 2310))
	worker.open("/residents")
	worker.open(town)
	worker.see("[data-parts]", "已生成 1/2 部分")
	worker.see(".parts li:nth-child(2)", "已生成")
	if again := cuts(); again != first {
		t.Errorf("the cuts are %s, were %s", again, first)
	}
	for _, lang := range []string{"zh", "en"} {
		worker.phone()
		worker.speak(lang)
		worker.open(town)
		worker.see("[data-parts]", "1")
		worker.fits(town)
	}
	worker.press("[data-parts-anew]")
	worker.see("[data-parts]", "0")
	if again := cuts(); again == first {
		t.Error("divided anew, the cuts are the old ones")
	}
}

// onPaper is how many pages, all A4, and how many different codes a PDF has. Each
// card is read by itself, as it will be: zbarimg takes finder patterns of two
// codes on one sheet together now and then.
func onPaper(t *testing.T, file string) (pages, codes int) {
	t.Helper()
	info, err := exec.Command("pdfinfo", file).CombinedOutput()
	if err != nil || !strings.Contains(string(info), "(A4)") {
		t.Fatalf("pdfinfo: %v\n%s", err, info)
	}
	dir := t.TempDir()
	if out, err := exec.Command("pdftoppm", "-r", "300", "-gray", "-png", file, filepath.Join(dir, "p")).CombinedOutput(); err != nil {
		t.Fatalf("pdftoppm: %v\n%s", err, out)
	}
	pictures, err := filepath.Glob(filepath.Join(dir, "p*.png"))
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, picture := range pictures {
		cells = append(cells, cutOut(t, picture)...)
	}
	out, err := exec.Command("zbarimg", append([]string{"--quiet", "--nodbus", "--raw", "-Sdisable", "-Sqrcode.enable"}, cells...)...).Output()
	if len(out) == 0 { // it fails where one of the pictures, as an empty place, has no code
		t.Fatalf("zbarimg: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		seen[line] = true
	}
	return len(pictures), len(seen)
}

// cutOut cuts a sheet at 300 dpi into its ten cards.
func cutOut(t *testing.T, sheet string) (cells []string) {
	t.Helper()
	f, err := os.Open(sheet)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	dots := func(mm float64) int { return int(mm / 25.4 * 300) }
	for i := range 10 {
		left, top := dots(19.4+85.6*float64(i%2)), dots(17+54*float64(i/2))
		cell := image.NewGray(image.Rect(0, 0, dots(85.6), dots(54)))
		draw.Draw(cell, cell.Rect, picture, image.Pt(left, top), draw.Src)
		out := append(fmt.Appendf(nil, "P5 %d %d 255\n", cell.Rect.Dx(), cell.Rect.Dy()), cell.Pix...)
		path := fmt.Sprintf("%s-%d.pgm", sheet, i)
		if err := os.WriteFile(path, out, 0o600); err != nil {
			t.Fatal(err)
		}
		cells = append(cells, path)
	}
	return cells
}
