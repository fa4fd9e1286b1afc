package app

import (
	"bytes"
	"errors"
	"strconv"
	"sync"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/press"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/qrcode"
	"github.com/xingfuma/happycode/qrcode/cards"
)

const (
	// cardsMost is how many cards one file takes: some 4 MB and a few seconds
	// of one processor. More are printed with the command.
	cardsMost = 2000
	// sheetsPerView is how many sheets one page for the browser shows.
	sheetsPerView = 20
	// printsAtOnce is how many files of cards are made at a time, one for each
	// account at most.
	printsAtOnce = 2
)

var ( // read only
	faultManyCards = &fault{status: 422, code: "too_many_cards", title: words{"卡片过多", "Too many cards"},
		detail: words{"一次最多打印 2000 张卡片。请选择较小的地区，或请系统管理员在服务器上用命令打印。", "At most 2,000 cards are printed at a time. Choose a smaller division, or ask the system's administrator to print them with the command on the server."}}
	faultNoCards = &fault{status: 404, code: "no_cards", title: words{"没有卡片", "No cards"},
		detail: words{"这里没有可以打印的卡片：没有在册且有有效码的居民。", "There is no card to print: nobody here is served and has a valid code."}}
	faultPrinting = &fault{status: 503, code: "busy", title: words{"正在打印其他卡片", "Other cards are being printed"},
		detail: words{"正在制作其他卡片，请稍后再试。", "Other cards are being made; try again in a while."}}
	faultFont = &fault{status: 503, code: "no_font", title: words{"缺少中文字体", "No Chinese font"},
		detail: words{"服务器上没有可用的中文字体。请系统管理员安装思源黑体（Noto Sans CJK），或用 HAPPYCODE_FONT 指定字体文件；也可以用浏览器打印。", "The server has no usable Chinese font. Ask the administrator to install Noto Sans CJK or to name a font file with HAPPYCODE_FONT; printing from the browser works without."}}
	faultLayout = faultField.with(fieldFault{"layout", words{"应为 a4 或 single", "is a4 or single"}})
)

// prints is who has cards made just now.
type prints struct {
	mu  sync.Mutex
	who map[string]bool
}

// enter takes a place; leave gives it back.
func (p *prints) enter(who string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.who[who] || len(p.who) >= printsAtOnce {
		return false
	}
	if p.who == nil {
		p.who = map[string]bool{}
	}
	p.who[who] = true
	return true
}

func (p *prints) leave(who string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.who, who)
}

// cardsDivision is the division that is asked for, the asker's own if none is.
func (a *App) cardsDivision(c *fiber.Ctx) (string, error) {
	p := principalOf(c)
	division := c.Query("division", p.Division)
	if !regions.Valid(division) {
		return "", faultNotFound
	}
	if err := a.within(p, division); err != nil {
		return "", err
	}
	if _, ok := a.Tree().Get(division); !ok {
		return "", faultNotFound
	}
	return division, nil
}

func (a *App) showCards(c *fiber.Ctx) error {
	division, err := a.cardsDivision(c)
	if err != nil {
		return err
	}
	f, err := a.form(c, "/cards")
	if err != nil {
		return err
	}
	if c.Query("division") != "" {
		f.Values["division"] = []string{division}
	}
	t, err := a.press.Count(c.UserContext(), division, cardsMost)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.Cards{
		Form: f, Divisions: a.below(principalOf(c).Division, regions.Village), Division: division, Place: a.placeName(division), Most: cardsMost,
		Count: pages.CardCount{Cards: int64(t.Cards), Sheets: int64(t.Sheets), Gone: int64(t.Gone), NoCode: int64(t.NoCode), TooMany: t.Cards > cardsMost},
	})
}

// printing takes a place for making cards, after counting them; done gives it
// back.
func (a *App) printing(c *fiber.Ctx) (o press.Order, t press.Tally, done func(), err error) {
	p := principalOf(c)
	if o.Division, err = a.cardsDivision(c); err != nil {
		return o, t, nil, err
	}
	if o.Layout, err = cards.ParseLayout(c.Query("layout")); err != nil {
		return o, t, nil, faultLayout
	}
	o.Actor, o.Role, o.Purpose = actor(p), string(p.Role), routeOf(c).EN
	if !a.prints.enter(o.Actor) {
		return o, t, nil, faultPrinting
	}
	done = func() { a.prints.leave(o.Actor) }
	if t, err = a.press.Count(c.UserContext(), o.Division, cardsMost); err == nil {
		switch {
		case t.Cards > cardsMost:
			err = faultManyCards
		case t.Cards == 0:
			err = faultNoCards
		}
	}
	if err != nil {
		done()
	}
	return o, t, done, err
}

// showCardsPDF makes the file whole before its first byte goes out, so that
// nobody prints half of it.
func (a *App) showCardsPDF(c *fiber.Ctx) error {
	o, t, done, err := a.printing(c)
	if err != nil {
		return err
	}
	defer done()
	progress := a.progress(c)
	progress(0, t.Cards)
	var file bytes.Buffer
	_, err = a.press.Print(c.UserContext(), o, &file, func(done int) { progress(done, t.Cards) })
	switch {
	case errors.Is(err, cards.ErrFont):
		a.Logger.Error("print cards", "error", err)
		return faultFont
	case errors.Is(err, press.ErrEmpty):
		return faultNoCards
	case err != nil:
		return err
	}
	c.Set(fiber.HeaderContentType, "application/pdf")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="cards-`+o.Division+`.pdf"`)
	return c.Send(file.Bytes())
}

// getCardPrint is getImport for files of cards: the browser fetches the file by
// itself.
func (a *App) getCardPrint(c *fiber.Ctx) error { return a.getImport(c) }

func (a *App) showCardSheets(c *fiber.Ctx) error {
	first := 0
	if s := c.Query("first"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > cardsMost {
			return faultNotFound
		}
		first = n
	}
	o, _, done, err := a.printing(c)
	if err != nil {
		return err
	}
	defer done()
	page, err := a.page(c, "/cards")
	if err != nil {
		return err
	}
	sheets, t, err := a.press.Sheets(c.UserContext(), o, first, sheetsPerView)
	if err != nil {
		return err
	}
	if len(sheets) == 0 {
		return faultNotFound
	}
	v := pages.CardSheets{Page: page, Division: o.Division, Place: a.placeName(o.Division), First: int64(first) + 1, Last: int64(first + len(sheets)), Total: int64(t.Sheets)}
	for _, s := range sheets {
		sheet := pages.CardSheet{Place: s.Place, Position: s.Position(), Scale: cards.Words().Scale}
		for _, card := range s.Cards {
			face, err := cardFace(card)
			if err != nil {
				return err
			}
			sheet.Faces = append(sheet.Faces, face)
		}
		v.Sheets = append(v.Sheets, sheet)
	}
	if first+len(sheets) < t.Sheets {
		v.Next = "/cards/print?division=" + o.Division + "&first=" + strconv.Itoa(first+len(sheets))
	}
	return a.show(c, fiber.StatusOK, v)
}

// cardFace draws a card for a page.
func cardFace(card cards.Card) (pages.CardFace, error) {
	symbol, err := qrcode.Encode(card.Text, qrcode.Q)
	if err != nil {
		return pages.CardFace{}, err
	}
	path, side := symbol.Path()
	return pages.CardFace{
		Words: pages.CardWords(cards.Words()), Initial: card.Initial, CardNo: card.Number,
		Until: cards.Date(card.UntilMs), Side: side, Path: path,
	}, nil
}

func (a *App) showCard(c *fiber.Ctx) error {
	r := residentOf(c)
	page, err := a.page(c, "/residents/"+r.ID+"/card")
	if err != nil {
		return err
	}
	name, err := a.Residents.OpenName(r)
	if err != nil {
		return err
	}
	code, _, err := a.drawable(c, r)
	if err != nil {
		return err
	}
	card, err := a.press.Card(c.UserContext(), name, code)
	if err != nil {
		return err
	}
	face, err := cardFace(card)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, pages.Card{Page: page, ID: r.ID, Face: face})
}
