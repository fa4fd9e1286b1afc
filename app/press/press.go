// Package press prints the cards of a division: who gets one, in what order,
// on which sheet, and that it stands in the audit log. See DESIGN.md.
package press

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/qrcode"
	"github.com/xingfuma/happycode/qrcode/cards"
)

// Act is what a printed card is called in the audit log.
const Act = "print_card"

// batch is how many sheets are drawn together: their cards go into one block
// of the audit log.
const batch = 20

// ErrEmpty says that nobody in the division has a card to print.
var ErrEmpty = errors.New("no card to print")

// errEnough ends a walk that has seen what it came for.
var errEnough = errors.New("enough")

// Config is what a [Press] needs.
type Config struct {
	Residents *residents.Service
	Audit     *audit.Log
	Tree      func() *regions.Tree
	Host      string // in the codes, as [qrcode.URL] takes it
	FontFile  string // "" looks in [cards.Places]
	// Keys say until when a card is valid.
	Keys interface{ Keys() qrcode.Keys }
}

// Press prints cards. It is safe for concurrent use.
type Press struct{ cfg Config }

// New returns a press; the font is opened with each print.
func New(c Config) *Press { return &Press{cfg: c} }

// Order is what to print, and who wants it.
type Order struct {
	Division string // 12 digits, it and all below
	// After and Until bound a part of the division's cards: those behind the one
	// cut, up to the other.
	After, Until Cut
	Layout       cards.Layout
	// Who prints, for the audit log.
	Actor, Role, Purpose string
}

// Tally is how many cards there are to print, and who gets none.
type Tally struct {
	Cards   int
	Sheets  int
	Gone    int // moved away or died
	NoCode  int // whose code was revoked and no new one issued
	Reused  int // of Sheets: drawn by an earlier run that was stopped
	Printed int // of Cards: on the sheets drawn by this run
}

// holder is somebody who gets a card.
type holder struct {
	id, household, division, initial string
	code                             *residents.Code
}

// sheet is up to [cards.PerSheet] holders of one division.
type sheet struct {
	place   string
	no, of  int
	holders []holder
}

// Count counts the cards of an order without opening anybody's name. It stops
// counting beyond most, if that is not 0.
//
// Errors: [regions.ErrDivision].
func (p *Press) Count(ctx context.Context, o Order, most int) (Tally, error) {
	var t Tally
	at, here := "", 0
	err := p.cfg.Residents.Holders(ctx, o.Division, o.After.Division, func(r *residents.Resident, code *residents.Code) error {
		if o.past(r) {
			return errEnough
		}
		if r.Division != at {
			at, here = r.Division, 0
		}
		if o.side(r) != 0 || !t.gets(r, code) {
			return nil
		}
		if t.Cards++; here%cards.PerSheet == 0 {
			t.Sheets++
		}
		if here++; most > 0 && t.Cards > most {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return t, err
}

// gets says whether somebody gets a card, and counts those who do not.
func (t *Tally) gets(r *residents.Resident, code *residents.Code) bool {
	switch {
	case holds(r, code):
		return true
	case r.Status != residents.Active:
		t.Gone++
	default:
		t.NoCode++
	}
	return false
}

func holds(r *residents.Resident, code *residents.Code) bool {
	return r.Status == residents.Active && code != nil
}

// walk visits the sheets of an order: village by village, in a village by
// household, so that a family's cards lie together.
func (p *Press) walk(ctx context.Context, o Order, visit func([]sheet) error) (Tally, error) {
	var t Tally
	var village []holder
	aside := map[int]int{} // cards of the village in the parts before (-1) and after (1)
	flush := func() error {
		slices.SortFunc(village, func(a, b holder) int {
			return cmp.Or(cmp.Compare(a.household, b.household), cmp.Compare(a.code.CardNo, b.code.CardNo))
		})
		var sheets []sheet
		here, before := sheetsFor(len(village)), sheetsFor(aside[-1])
		of := before + here + sheetsFor(aside[1])
		for some := range slices.Chunk(village, cards.PerSheet) {
			sheets = append(sheets, sheet{place: p.cfg.Tree().Name(some[0].division), no: before + len(sheets) + 1, of: of, holders: some})
		}
		t.Cards += len(village)
		t.Sheets += here
		for some := range slices.Chunk(sheets, batch) {
			if err := visit(some); err != nil {
				return err
			}
		}
		village = nil
		clear(aside)
		return nil
	}
	at := ""
	err := p.cfg.Residents.Holders(ctx, o.Division, o.After.Division, func(r *residents.Resident, code *residents.Code) error {
		if r.Division != at {
			if err := flush(); err != nil {
				return err
			}
			at = r.Division
		}
		if o.past(r) {
			return errEnough
		}
		if side := o.side(r); side != 0 {
			if holds(r, code) {
				aside[side]++
			}
			return nil
		}
		if !t.gets(r, code) {
			return nil
		}
		name, err := p.cfg.Residents.OpenName(r)
		if err != nil {
			return err
		}
		village = append(village, holder{id: r.ID, household: r.Household, division: r.Division, initial: residents.Initial(name), code: code})
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil && !errors.Is(err, errEnough) {
		return t, fmt.Errorf("print cards of %s: %w", o.Division, err)
	}
	return t, nil
}

// sheetsFor is how many sheets so many cards of a village take.
func sheetsFor(n int) int { return (n + cards.PerSheet - 1) / cards.PerSheet }

// Card is what stands on the card of somebody with this name and code. It is
// for the caller to see that the code counts, and to write to the audit log.
//
// Errors: those of [residents.Service.Token].
func (p *Press) Card(ctx context.Context, name string, code *residents.Code) (cards.Card, error) {
	c, _, err := p.card(ctx, residents.Initial(name), code)
	return c, err
}

func (p *Press) card(ctx context.Context, initial string, code *residents.Code) (cards.Card, qrcode.Token, error) {
	token, err := p.cfg.Residents.Token(ctx, code)
	if err != nil {
		return cards.Card{}, token, err
	}
	return cards.Card{
		Initial: initial, Number: code.CardNo, UntilMs: p.cfg.Keys.Keys().CardUntil(token), Text: qrcode.URL(p.cfg.Host, token),
	}, token, nil
}

// key is what a sheet is known by: everything that decides what is on it. Of a
// code it takes what is signed and not the signature, which some algorithms
// make anew each time.
func (p *Press) key(ctx context.Context, o Order, s sheet, font string) (key, cards.Sheet, error) {
	h := sha256.New()
	write := func(texts ...string) {
		for _, x := range texts {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(x))))
			h.Write([]byte(x))
		}
	}
	write(cards.Drawing, string(o.Layout), font, p.cfg.Host, s.place, fmt.Sprint(s.no, s.of))
	out := cards.Sheet{Place: s.place, No: s.no, Of: s.of}
	for _, x := range s.holders {
		c, token, err := p.card(ctx, x.initial, x.code)
		if err != nil {
			return "", out, err
		}
		out.Cards = append(out.Cards, c)
		write(x.id, c.Initial, c.Number, fmt.Sprint(c.UntilMs, token.Kind, token.Key, token.Stamp), token.CodeID())
	}
	return key(h.Sum(nil)), out, nil
}

// record writes to the audit log whose cards are printed, before they are.
func (p *Press) record(ctx context.Context, o Order, sheets []sheet) error {
	var entries []audit.Entry
	for _, s := range sheets {
		for _, h := range s.holders {
			entries = append(entries, audit.Entry{
				Actor: o.Actor, Role: o.Role, Act: Act, Object: h.code.ID, Subject: h.id, Division: h.division,
				Purpose: o.Purpose, Outcome: "ok",
			})
		}
	}
	if err := p.cfg.Audit.Write(ctx, entries...); err != nil {
		return fmt.Errorf("audit the printing of cards: %w", err)
	}
	return nil
}

// leaves draws the sheets of an order, or takes them from the shelf, and hands
// them over in order. progress hears how many cards are done.
func (p *Press) leaves(ctx context.Context, o Order, fonts []*cards.Font, shelf *shelf, progress func(cards int), take func(cards.Leaf) error) (Tally, error) {
	done, drawn, reused := 0, 0, 0
	t, err := p.walk(ctx, o, func(sheets []sheet) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		out := make([]cards.Leaf, len(sheets))
		keys := make([]key, len(sheets))
		open := make(map[int]cards.Sheet)
		var missing []sheet
		for i, s := range sheets {
			k, content, err := p.key(ctx, o, s, fonts[0].Identity())
			if err != nil {
				return err
			}
			keys[i] = k
			found, err := shelf.get(k, &out[i])
			if err != nil {
				return err
			}
			if !found {
				open[i] = content
				missing = append(missing, s)
				drawn += len(s.holders)
			} else {
				reused++
			}
			done += len(s.holders)
		}
		if len(missing) > 0 {
			if err := p.record(ctx, o, missing); err != nil {
				return err
			}
			if err := p.draw(fonts, o.Layout, open, out); err != nil {
				return err
			}
		}
		for i := range sheets {
			if _, fresh := open[i]; fresh {
				if err := shelf.put(keys[i], out[i]); err != nil {
					return err
				}
			}
			if err := take(out[i]); err != nil {
				return err
			}
		}
		progress(done)
		return nil
	})
	t.Printed, t.Reused = drawn, reused
	return t, err
}

// draw draws sheets, each font's worker some of them.
func (p *Press) draw(fonts []*cards.Font, l cards.Layout, sheets map[int]cards.Sheet, out []cards.Leaf) error {
	var wg sync.WaitGroup
	positions := make(chan int, len(sheets))
	for i := range sheets {
		positions <- i
	}
	close(positions)
	errs := make([]error, len(fonts))
	for i, f := range fonts {
		wg.Go(func() {
			for at := range positions {
				var err error
				if out[at], err = cards.Draw(f, l, sheets[at]); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fonts opens the font n times, once for each worker.
func (p *Press) fonts(n int) (fonts []*cards.Font, closeAll func(), err error) {
	closeAll = func() {
		for _, f := range fonts {
			_ = f.Close() // was only read
		}
	}
	for range n {
		f, err := cards.OpenFont(p.cfg.FontFile)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		fonts = append(fonts, f)
	}
	return fonts, closeAll, nil
}

// Print writes the cards of an order as one PDF. It draws with one
// processor; progress, which may be nil, hears how many cards are done.
//
// Errors: [ErrEmpty], [cards.ErrFont], [regions.ErrDivision].
func (p *Press) Print(ctx context.Context, o Order, w io.Writer, progress func(cards int)) (Tally, error) {
	if progress == nil {
		progress = func(int) {}
	}
	fonts, closeFonts, err := p.fonts(1)
	if err != nil {
		return Tally{}, err
	}
	defer closeFonts()
	return p.bind(ctx, o, w, fonts, nil, progress)
}

func (p *Press) bind(ctx context.Context, o Order, w io.Writer, fonts []*cards.Font, shelf *shelf, progress func(int)) (Tally, error) {
	book, err := cards.NewBook(w, fonts[0], o.Layout)
	if err != nil {
		return Tally{}, err
	}
	t, err := p.leaves(ctx, o, fonts, shelf, progress, book.Add)
	if err != nil {
		return t, err
	}
	if t.Cards == 0 {
		return t, ErrEmpty
	}
	return t, book.Close()
}

// Sheets returns some sheets of an order for drawing elsewhere, from the
// first-th (counted from 0 over all villages), and how many there are.
func (p *Press) Sheets(ctx context.Context, o Order, first, most int) ([]cards.Sheet, Tally, error) {
	var chosen []sheet
	at := 0
	t, err := p.walk(ctx, o, func(sheets []sheet) error {
		for _, s := range sheets {
			if at >= first && len(chosen) < most {
				chosen = append(chosen, s)
			}
			at++
		}
		return nil
	})
	if err != nil {
		return nil, t, err
	}
	var out []cards.Sheet
	for some := range slices.Chunk(chosen, batch) {
		if err := p.record(ctx, o, some); err != nil {
			return nil, t, err
		}
		for _, s := range some {
			_, content, err := p.key(ctx, o, s, "")
			if err != nil {
				return nil, t, err
			}
			out = append(out, content)
		}
	}
	return out, t, nil
}

// processors is how many sheets are drawn at a time.
func processors() int { return min(runtime.GOMAXPROCS(0), 8) }
