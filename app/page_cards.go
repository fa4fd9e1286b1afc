package app

import (
	"bytes"
	"errors"
	"net/url"
	"strconv"
	"strings"
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
	// of one processor. More are printed in parts.
	cardsMost = 2000
	// partsPerView is how many parts one page offers.
	partsPerView = 10
	// numberMost is more than any place has cards, sheets or parts.
	numberMost = 10_000_000
	// sheetsPerView is how many sheets one page for the browser shows.
	sheetsPerView = 20
	// printsAtOnce is how many files of cards are made at a time, one for each
	// account at most.
	printsAtOnce = 2
)

var ( // read only
	faultManyCards = &fault{status: 422, code: "too_many_cards", title: words{"卡片过多", "Too many cards"},
		detail: words{"一个文件放不下这么多卡片。请打开“打印卡片”页面，重新划分后逐个部分打印。", "One file does not take so many cards. Open the page “Print cards”, divide them anew and print part by part."}}
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
	at, err := partOf(c)
	if err != nil {
		return err
	}
	var cuts []press.Cut
	if s := c.Query("cuts"); s != "" {
		for _, one := range strings.SplitN(s, ",", partsPerView) {
			cut, err := press.ParseCut(one)
			if err != nil {
				return faultNotFound
			}
			cuts = append(cuts, cut)
		}
	}
	before, err := numberOf(c, "cards", 0)
	if err != nil {
		return err
	}
	parts, t, more, err := a.press.Parts(c.UserContext(), press.Order{Division: division, After: at.after}, cuts, a.cardsMost, partsPerView)
	if err != nil {
		return err
	}
	v := pages.Cards{
		Form: f, Divisions: a.below(principalOf(c).Division, regions.Village), Division: division, Place: a.placeName(division), Most: int64(a.cardsMost),
		Count: pages.CardCount{Cards: int64(t.Cards), Sheets: int64(t.Sheets), Gone: int64(t.Gone), NoCode: int64(t.NoCode)},
		Owner: actor(principalOf(c)), After: at.after.String(), More: more || at.after != (press.Cut{}),
	}
	if t.Cards <= a.cardsMost && !v.More {
		return a.show(c, fiber.StatusOK, v)
	}
	n := at.no
	var cutsHere []string
	for _, part := range parts {
		if part.Until != (press.Cut{}) {
			cutsHere = append(cutsHere, part.Until.String())
		}
		v.Parts = append(v.Parts, pages.CardPart{
			First: int64(before) + 1, Last: int64(before + part.Cards), Sheets: int64(part.Sheets),
			ID: part.After.String() + "-" + part.Until.String(), Query: cardsPart{n, part.After, part.Until}.query(division).Encode(),
		})
		before += part.Cards
		n++
	}
	v.Cuts = strings.Join(cutsHere, ",")
	if more {
		next := url.Values{"division": {division}, "after": {cutsHere[len(cutsHere)-1]}, "part": {strconv.Itoa(n)}, "cards": {strconv.Itoa(before)}}
		v.Next = "/cards?" + next.Encode()
	}
	return a.show(c, fiber.StatusOK, v)
}

// cardsPart is a part of a division's cards, as a link names it: its number,
// from 1, and its bounds.
type cardsPart struct {
	no           int
	after, until press.Cut
}

func partOf(c *fiber.Ctx) (p cardsPart, err error) {
	if p.no, err = numberOf(c, "part", 1); err != nil {
		return p, err
	}
	for name, cut := range map[string]*press.Cut{"after": &p.after, "until": &p.until} {
		if *cut, err = press.ParseCut(c.Query(name)); err != nil {
			return p, faultNotFound
		}
	}
	return p, nil
}

func (p cardsPart) query(division string) url.Values {
	query := url.Values{"division": {division}, "part": {strconv.Itoa(p.no)}}
	if p.after != (press.Cut{}) {
		query.Set("after", p.after.String())
	}
	if p.until != (press.Cut{}) {
		query.Set("until", p.until.String())
	}
	return query
}

// numberOf is a number in the address, least if there is none.
func numberOf(c *fiber.Ctx, name string, least int) (int, error) {
	s := c.Query(name)
	if s == "" {
		return least, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > numberMost {
		return 0, faultNotFound
	}
	return n, nil
}

// printing takes a place for making cards, after counting them; done gives it
// back. A part may have grown to twice what one file takes since it was cut.
func (a *App) printing(c *fiber.Ctx) (o press.Order, t press.Tally, done func(), err error) {
	p := principalOf(c)
	if o.Division, err = a.cardsDivision(c); err != nil {
		return o, t, nil, err
	}
	if o.Layout, err = cards.ParseLayout(c.Query("layout")); err != nil {
		return o, t, nil, faultLayout
	}
	part, err := partOf(c)
	if err != nil {
		return o, t, nil, err
	}
	o.After, o.Until = part.after, part.until
	most := a.cardsMost
	if c.Query("part") != "" {
		most *= 2
	}
	o.Actor, o.Role, o.Purpose = actor(p), string(p.Role), routeOf(c).EN
	if !a.prints.enter(o.Actor) {
		return o, t, nil, faultPrinting
	}
	done = func() { a.prints.leave(o.Actor) }
	if t, err = a.press.Count(c.UserContext(), o, most); err == nil {
		switch {
		case t.Cards > most:
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
	name := "cards-" + o.Division
	if part := c.QueryInt("part"); part > 0 {
		name += "-" + strconv.Itoa(part)
	}
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+name+`.pdf"`)
	return c.Send(file.Bytes())
}

// getCardPrint is getImport for files of cards: the browser fetches the file by
// itself.
func (a *App) getCardPrint(c *fiber.Ctx) error { return a.getImport(c) }

func (a *App) showCardSheets(c *fiber.Ctx) error {
	first, err := numberOf(c, "first", 0)
	if err != nil {
		return err
	}
	part, err := partOf(c)
	if err != nil {
		return err
	}
	if c.Query("part") == "" {
		division, err := a.cardsDivision(c)
		if err != nil {
			return err
		}
		next, ok, err := a.nextPart(c, division, cardsPart{})
		if err != nil {
			return err
		}
		if ok && next.until != (press.Cut{}) {
			return c.Redirect("/cards/print?"+next.query(division).Encode(), fiber.StatusSeeOther)
		}
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
	switch {
	case first+len(sheets) < t.Sheets && c.Query("part") == "":
		v.Next = "/cards/print?division=" + o.Division + "&first=" + strconv.Itoa(first+len(sheets))
	case first+len(sheets) < t.Sheets:
		v.Next = "/cards/print?" + part.query(o.Division).Encode() + "&first=" + strconv.Itoa(first+len(sheets))
	case part.until != (press.Cut{}):
		next, ok, err := a.nextPart(c, o.Division, part)
		if err != nil {
			return err
		}
		if ok {
			v.Next = "/cards/print?" + next.query(o.Division).Encode()
		}
	}
	return a.show(c, fiber.StatusOK, v)
}

// nextPart is the part behind another, the first behind the zero one; ok says
// whether there is one.
func (a *App) nextPart(c *fiber.Ctx, division string, p cardsPart) (next cardsPart, ok bool, err error) {
	parts, _, _, err := a.press.Parts(c.UserContext(), press.Order{Division: division, After: p.until}, nil, a.cardsMost, 1)
	if err != nil || len(parts) == 0 {
		return next, false, err
	}
	return cardsPart{p.no + 1, parts[0].After, parts[0].Until}, true, nil
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
