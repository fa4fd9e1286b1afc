//go:build integration

package press_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/press"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/qrcode/cards"
)

const (
	town   = "330502001000"
	first  = "330502001001"
	second = "330502001002"
	other  = "330503001001"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC) // read only

// office is residents of two villages of a town, and one elsewhere.
type office struct {
	*press.Press
	t         *testing.T
	config    press.Config
	residents *residents.Service
	audit     *audit.Log
	people    []*residents.Resident
	dir       string
}

func newOffice(t *testing.T, people int) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir()}
	record, err := sqlite.Open(filepath.Join(o.dir, "record.db"))
	must(t, err)
	t.Cleanup(func() { record.Close() })
	must(t, record.Ensure(t.Context(), slices.Concat(residents.Schemas(), audit.Schemas(), keyring.Schemas())...))
	keys, err := vault.Open(filepath.Join(o.dir, "keys.json"))
	must(t, err)
	now := func() time.Time { return start }
	ring, err := keyring.Open(t.Context(), keyring.Config{Record: record, Vault: keys, Now: now, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	o.residents = residents.New(residents.Config{Record: record, Vault: keys, Keys: ring, Now: now})
	o.audit = audit.New(audit.Config{Record: record, Now: now})
	t.Cleanup(o.audit.Close)
	tree, err := regions.NewTree([]regions.Division{
		place("330000000000", "", "浙江省", regions.Province), place("330500000000", "330000000000", "湖州市", regions.City),
		place("330502000000", "330500000000", "吴兴区", regions.CountyLevel), place(town, "330502000000", "月河街道", regions.Town),
		place(first, town, "红丰社区", regions.Village), place(second, town, "马军巷社区", regions.Village),
	})
	must(t, err)
	o.config = press.Config{Residents: o.residents, Audit: o.audit, Tree: func() *regions.Tree { return tree }, Keys: ring, Host: "xf.huzhou.gov.cn"}
	o.Press = press.New(o.config)
	for i := range people {
		division := []string{first, second}[i%2]
		household := fmt.Sprintf("h%d", i/6)
		r, err := o.residents.Register(t.Context(), "test", residents.Registration{Name: "张三丰", Division: division, Household: household, Groups: []string{"elderly"}})
		must(t, err)
		o.people = append(o.people, r)
	}
	_, err = o.residents.Register(t.Context(), "test", residents.Registration{Name: "外人", Division: other})
	must(t, err)
	return o
}

func place(id, parent, name string, level regions.Level) regions.Division {
	d := regions.Division{Name: name, Level: level, Parent: parent}
	d.ID = id
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (o *office) order() press.Order {
	return press.Order{Division: town, Layout: cards.A4, Actor: "a1", Role: "caseworker", Purpose: "test"}
}

func (o *office) path(name string) string { return filepath.Join(o.dir, name) }

func (o *office) content(name string) []byte {
	o.t.Helper()
	b, err := os.ReadFile(o.path(name))
	must(o.t, err)
	return b
}

// looks is how often the audit log has a printed card of somebody.
func (o *office) looks(r *residents.Resident) int {
	o.t.Helper()
	entries, _, err := o.audit.Of(o.t.Context(), r.ID, "", 100)
	must(o.t, err)
	n := 0
	for _, e := range entries {
		if e.Act == press.Act && e.Actor == "a1" && e.Outcome == "ok" && e.Division == r.Division {
			n++
		}
	}
	return n
}

func nothing(int, int) {}

func TestWhoGetsACard(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 45) // 23 and 22
	_, err := o.residents.SetStatus(t.Context(), "test", o.people[0].ID, residents.Moved)
	must(t, err)
	_, err = o.residents.SetStatus(t.Context(), "test", o.people[1].ID, residents.Deceased)
	must(t, err)
	must(t, o.residents.Revoke(t.Context(), "test", o.people[2].Code, residents.WhyLost))
	again, err := o.residents.Reissue(t.Context(), "test", o.people[3].ID, residents.WhyLost)
	must(t, err)

	want := press.Tally{Cards: 42, Sheets: 3 + 3, Gone: 2, NoCode: 1}
	count, err := o.Count(t.Context(), o.order(), 0)
	must(t, err)
	if count != want {
		t.Errorf("counted %+v, want %+v", count, want)
	}
	sheets, tally, err := o.Sheets(t.Context(), o.order(), 0, 100)
	must(t, err)
	if tally != want {
		t.Errorf("printed %+v, want %+v", tally, want)
	}
	numbers := map[string]bool{}
	var text []string
	for _, s := range sheets {
		text = append(text, fmt.Sprintf("%s %d/%d %d", s.Place, s.No, s.Of, len(s.Cards)))
		for _, c := range s.Cards {
			if numbers[c.Number] {
				t.Errorf("card %s is printed twice", c.Number)
			}
			numbers[c.Number] = true
			if c.UntilMs != start.Add(1825*24*time.Hour).UnixMilli() || c.Initial != "张＊＊" || !strings.HasPrefix(c.Text, "https://xf.huzhou.gov.cn/c#") {
				t.Errorf("card %+v", c)
			}
		}
	}
	wantText := []string{"吴兴区·月河街道·红丰社区 1/3 10", "吴兴区·月河街道·红丰社区 2/3 10", "吴兴区·月河街道·红丰社区 3/3 1", "吴兴区·月河街道·马军巷社区 1/3 10", "吴兴区·月河街道·马军巷社区 2/3 10", "吴兴区·月河街道·马军巷社区 3/3 1"}
	if !slices.Equal(text, wantText) {
		t.Errorf("sheets %q, want %q", text, wantText)
	}
	for i, r := range o.people {
		gets := i > 2
		if i == 3 {
			if numbers[r.CardNo] || !numbers[again.CardNo] {
				t.Error("whoever got a new code gets the old card")
			}
		} else if numbers[r.CardNo] != gets {
			t.Errorf("person %d has a card: %v, want %v", i, numbers[r.CardNo], gets)
		}
		if n := o.looks(r); n != map[bool]int{true: 1}[gets] {
			t.Errorf("person %d: %d looks in the audit log", i, n)
		}
	}
	// Some of the sheets: only they are looked at.
	if some, _, err := o.Sheets(t.Context(), o.order(), 4, 1); err != nil || len(some) != 1 || some[0].No != 2 {
		t.Errorf("the fifth sheet: %+v, %v", some, err)
	}
	total := 0
	for _, r := range o.people {
		total += o.looks(r)
	}
	if total != 42+10 {
		t.Errorf("%d looks in the audit log, want %d", total, 42+10)
	}
	if early, err := o.Count(t.Context(), o.order(), 10); err != nil || early.Cards != 11 {
		t.Errorf("a count up to 10: %+v, %v", early, err)
	}
}

// Households lie together.
func TestHouseholdsLieTogether(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 36)
	byNumber := map[string]string{}
	for _, r := range o.people {
		byNumber[r.CardNo] = r.Household
	}
	sheets, _, err := o.Sheets(t.Context(), o.order(), 0, 100)
	must(t, err)
	changes, last := 0, ""
	for _, s := range sheets {
		for _, c := range s.Cards {
			if h := byNumber[c.Number]; h != last {
				changes, last = changes+1, h
			}
		}
	}
	if changes != 12 { // six in each village
		t.Errorf("the household changes %d times, want 12", changes)
	}
}

// A print that was stopped goes on where it was, and gives the same file; a
// code that changed in between is drawn anew.
func TestStoppedPrintGoesOn(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 460) // 23 sheets each: two batches
	whole, err := o.File(t.Context(), o.order(), o.path("whole.pdf"), nothing)
	must(t, err)
	if whole.Cards != 460 || whole.Sheets != 46 || whole.Printed != 460 || whole.Reused != 0 {
		t.Errorf("a print in one go: %+v", whole)
	}

	stop := func(at int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := o.File(ctx, o.order(), o.path("parts.pdf"), func(done, total int) {
			if total != 460 {
				t.Errorf("%d cards in all", total)
			}
			if done >= at {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped: %v", err)
		}
		if _, err := os.Stat(o.path("parts.pdf")); !os.IsNotExist(err) {
			t.Fatal("a print that was stopped left a file under the final name")
		}
	}
	stop(200)
	looks := 0
	for _, r := range o.people {
		looks += o.looks(r)
	}
	if looks != 460+200 {
		t.Errorf("%d looks in the audit log after a print and 200 cards of another", looks)
	}
	// Cut off in the middle of a record, as by a loss of power.
	part, err := os.OpenFile(o.path("parts.pdf.part"), os.O_RDWR, 0)
	must(t, err)
	info, err := part.Stat()
	must(t, err)
	must(t, part.Truncate(info.Size()-100))
	must(t, part.Close())
	stop(400)
	again, err := o.File(t.Context(), o.order(), o.path("parts.pdf"), nothing)
	must(t, err)
	if again.Reused != 43 || again.Printed != 30 {
		t.Errorf("going on: %+v", again)
	}
	if !bytes.Equal(o.content("parts.pdf"), o.content("whole.pdf")) {
		t.Error("a print that was stopped twice is another file")
	}
	for _, left := range []string{".part", ".new"} {
		if _, err := os.Stat(o.path("parts.pdf" + left)); !os.IsNotExist(err) {
			t.Errorf("parts.pdf%s is left over", left)
		}
	}
	must(t, os.Remove(o.path("parts.pdf")))
	// Stopped again; somebody whose sheet is drawn gets a new code, somebody
	// moves away, somebody comes.
	stop(460)
	_, err = o.residents.Reissue(t.Context(), "test", o.people[0].ID, residents.WhyLost)
	must(t, err)
	_, err = o.residents.SetStatus(t.Context(), "test", o.people[2].ID, residents.Moved)
	must(t, err)
	changed, err := o.File(t.Context(), o.order(), o.path("parts.pdf"), nothing)
	must(t, err)
	if changed.Reused < 23 || changed.Cards != 459 {
		t.Errorf("going on after changes: %+v", changed)
	}
	_, err = o.File(t.Context(), o.order(), o.path("fresh.pdf"), nothing)
	must(t, err)
	if !bytes.Equal(o.content("parts.pdf"), o.content("fresh.pdf")) {
		t.Error("after changes, going on gives another file than a fresh print")
	}
	if bytes.Equal(o.content("parts.pdf"), o.content("whole.pdf")) {
		t.Error("the old cards were printed")
	}
	var direct bytes.Buffer
	_, err = o.Print(t.Context(), o.order(), &direct, nil)
	must(t, err)
	if !bytes.Equal(direct.Bytes(), o.content("fresh.pdf")) {
		t.Error("a page's print is another file than the command's")
	}
}

// Whoever gets a new code while the sheets are being bound gets the new card.
func TestNewCodeWhilePrinting(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 30)
	once := true
	_, err := o.File(t.Context(), o.order(), o.path("a.pdf"), func(done, total int) {
		if done == total && once {
			once = false
			_, err := o.residents.Reissue(t.Context(), "test", o.people[0].ID, residents.WhyLost)
			must(t, err)
		}
	})
	must(t, err)
	_, err = o.File(t.Context(), o.order(), o.path("b.pdf"), nothing)
	must(t, err)
	if !bytes.Equal(o.content("a.pdf"), o.content("b.pdf")) {
		t.Error("the old card was printed")
	}
}

func TestPressRefuses(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 3)
	empty := o.order()
	empty.Division = "330502001003"
	if _, err := o.File(t.Context(), empty, o.path("x.pdf"), nothing); !errors.Is(err, press.ErrEmpty) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := o.Print(t.Context(), empty, &bytes.Buffer{}, nil); !errors.Is(err, press.ErrEmpty) {
		t.Errorf("nobody there: %v", err)
	}
	config := o.config
	for _, file := range []string{o.path("none.ttf"), o.path("record.db"), o.dir} {
		config.FontFile = file
		if _, err := press.New(config).File(t.Context(), o.order(), o.path("x.pdf"), nothing); !errors.Is(err, cards.ErrFont) {
			t.Errorf("font %s: %v", file, err)
		}
	}
	if _, err := os.Stat(o.path("x.pdf")); !os.IsNotExist(err) {
		t.Error("a refused print left a file")
	}
	_, err := o.File(t.Context(), o.order(), o.path("y.pdf"), func(int, int) {
		if _, err := o.File(t.Context(), o.order(), o.path("y.pdf"), nothing); !errors.Is(err, press.ErrInUse) {
			t.Errorf("two prints to one file: %v", err)
		}
	})
	must(t, err)
}
