package residents_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

func newNeed(resident string) residents.NewNeed {
	return residents.NewNeed{Resident: resident, Category: "meal", QtyUnits: 2, Urgency: 3, UntilMs: start.Add(time.Hour).UnixMilli(), Source: "scan", Note: "不吃辣"}
}

func reason(code string) matching.Reason {
	return matching.Reason{Code: code, ZH: "因为" + code, EN: "because " + code}
}

func TestAddNeed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	n, err := b.AddNeed(b.ctx(), "worker", newNeed(r.ID))
	if err != nil {
		t.Fatal(err)
	}
	if n.State != residents.NeedOpen || n.Household != r.Household || n.County != wuxing || n.Division != village || n.CreatedMs != start.UnixMilli() || n.CreatedBy != "worker" || strings.Contains(n.NoteSealed, "辣") {
		t.Errorf("%+v", n)
	}
	if note, err := b.NeedNote(n); err != nil || note != "不吃辣" {
		t.Errorf("note %q, %v", note, err)
	}
	b.clock.add(time.Second)
	keyed := newNeed(r.ID)
	keyed.Key = "row 5"
	one, err1 := b.AddNeed(b.ctx(), "worker", keyed)
	two, err2 := b.AddNeed(b.ctx(), "worker", keyed)
	if err := errors.Join(err1, err2); err != nil || one.ID != two.ID {
		t.Errorf("with a key: %v", err)
	}
	for what, change := range map[string]func(*residents.NewNeed){
		"category": func(n *residents.NewNeed) { n.Category = "cash" },
		"quantity": func(n *residents.NewNeed) { n.QtyUnits++ },
		"urgency":  func(n *residents.NewNeed) { n.Urgency = 4 },
		"end":      func(n *residents.NewNeed) { n.UntilMs = start.UnixMilli() + 99_000_000 },
		"source":   func(n *residents.NewNeed) { n.Source = "report" },
		"note":     func(n *residents.NewNeed) { n.Note = "不吃鱼" },
	} {
		other := keyed
		change(&other)
		if got, err := b.AddNeed(b.ctx(), "worker", other); !errors.Is(err, residents.ErrKeyReused) {
			t.Errorf("the key with another %s: %+v, %v", what, got, err)
		}
	}
	all, err := b.Needs(b.ctx(), r.ID)
	if err != nil || len(all) != 2 || all[0].ID != n.ID || all[1].ID != one.ID {
		t.Errorf("needs %v, %v; want the oldest first", all, err)
	}
	if got, err := b.NeedByID(b.ctx(), n.ID); err != nil || got.Category != "meal" {
		t.Error(err)
	}
	seen := 0
	if err := b.EachNeed(b.ctx(), wuxing, residents.NeedOpen, func(*residents.Need) error { seen++; return nil }); err != nil || seen != 2 {
		t.Errorf("EachNeed: %d, %v", seen, err)
	}
	if _, err := b.AddNeed(b.ctx(), "worker", newNeed("r0")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	for field, change := range map[string]func(*residents.NewNeed){
		"category":  func(n *residents.NewNeed) { n.Category = "Meal!" },
		"qty_units": func(n *residents.NewNeed) { n.QtyUnits = 0 },
		"urgency":   func(n *residents.NewNeed) { n.Urgency = 5 },
		"until_ms":  func(n *residents.NewNeed) { n.UntilMs = 1 },
		"source":    func(n *residents.NewNeed) { n.Source = "dream" },
		"note":      func(n *residents.NewNeed) { n.Note = strings.Repeat("长", 501) },
		"key":       func(n *residents.NewNeed) { n.Key = strings.Repeat("k", 201) },
	} {
		bad := newNeed(r.ID)
		change(&bad)
		var f *residents.FieldError
		if _, err := b.AddNeed(b.ctx(), "worker", bad); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestNeedStates(t *testing.T) {
	t.Parallel()
	states := []residents.NeedState{residents.NeedOpen, residents.NeedHeld, residents.NeedPromised, residents.NeedHandedOver, residents.NeedWaiting, residents.NeedDeclined, residents.NeedExpired, residents.NeedWithdrawn, "dreamt"}
	for _, from := range states {
		for _, to := range states {
			var want bool
			switch from {
			case residents.NeedOpen, residents.NeedHeld, residents.NeedPromised, residents.NeedWaiting:
				want = from != to && to != "dreamt"
			case residents.NeedDeclined, residents.NeedExpired:
				want = to == residents.NeedOpen || to == residents.NeedWithdrawn
			}
			if got := from.May(to); got != want {
				t.Errorf("%s to %s: %v, want %v", from, to, got, want)
			}
		}
	}
}

func TestChangeNeed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n, err := b.AddNeed(b.ctx(), "worker", newNeed(b.register(1).ID))
	if err != nil {
		t.Fatal(err)
	}
	change := func(to residents.NeedState, why matching.Reason) (*residents.Need, error) {
		b.clock.add(time.Second)
		return b.ChangeNeed(b.ctx(), n.ID, "matcher", residents.Standing{State: to, Reason: why}, b.clock.now())
	}
	got, err := change(residents.NeedWaiting, reason("stock"))
	if err != nil || got.State != residents.NeedWaiting || len(got.Changes) != 1 || got.UpdatedMs != store.Millis(b.clock.now()) {
		t.Fatalf("%+v, %v", got, err)
	}
	if c := got.Changes[0]; c.From != residents.NeedOpen || c.To != residents.NeedWaiting || c.By != "matcher" || c.AtMs != got.UpdatedMs || c.Reason.Code != "stock" {
		t.Errorf("%+v", c)
	}
	version := got.V
	if got, err = change(residents.NeedWaiting, reason("stock")); err != nil || got.V != version {
		t.Errorf("saying it again: version %d, %v; want %d", got.V, err, version)
	}
	other := reason("stock")
	other.ZH = "因为别的数"
	if got, err = change(residents.NeedWaiting, other); err != nil || len(got.Changes) != 2 || got.Reason.ZH != other.ZH {
		t.Errorf("other figures: %+v, %v", got, err)
	}
	if got, err = change(residents.NeedWaiting, reason("cap")); err != nil || len(got.Changes) != 3 || got.Reason.Code != "cap" {
		t.Errorf("another reason: %+v, %v", got, err)
	}
	if got, err = change(residents.NeedHandedOver, reason("done")); err != nil || got.State != residents.NeedHandedOver {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = change(residents.NeedOpen, reason("x")); !errors.Is(err, residents.ErrTransition) {
		t.Errorf("from an end: %v", err)
	}
	if got, err = change(residents.NeedHandedOver, reason("x")); err != nil || got.Reason.Code != "done" {
		t.Errorf("the end again: %+v, %v", got, err)
	}
	if _, err := b.ChangeNeed(b.ctx(), "n0", "x", residents.Standing{State: residents.NeedOpen, Reason: reason("x")}, start); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such need: %v", err)
	}
}

// A need that was read earlier is changed as it stands now.
func TestChangeNeedFromAnEarlierLook(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	early, err := b.AddNeed(b.ctx(), "worker", newNeed(b.register(1).ID))
	if err != nil {
		t.Fatal(err)
	}
	from := func(to residents.NeedState) (*residents.Need, error) {
		return b.ChangeNeedFrom(b.ctx(), early, "matcher", residents.Standing{State: to, Reason: reason("stock")}, b.clock.now())
	}
	got, err := from(residents.NeedWaiting)
	if err != nil || got.V != early.V+1 || len(got.Changes) != 1 || early.State != residents.NeedOpen || len(early.Changes) != 0 {
		t.Fatalf("nobody wrote in between: %+v, %v; what was read: %+v", got, err, early)
	}
	if got, err = from(residents.NeedPromised); err != nil || len(got.Changes) != 2 || got.Changes[1].From != residents.NeedWaiting {
		t.Errorf("somebody wrote in between: %+v, %v", got, err)
	}
	if got, err = from(residents.NeedPromised); err != nil || len(got.Changes) != 2 {
		t.Errorf("the same again: %+v, %v", got, err)
	}
	more := early.QtyUnits + 1
	if _, err = b.EditNeed(b.ctx(), early.ID, "worker", residents.NeedEdit{QtyUnits: &more, Why: "asked"}, b.clock.now()); err != nil {
		t.Fatal(err)
	}
	if _, err = from(residents.NeedHandedOver); !errors.Is(err, store.ErrConflict) {
		t.Errorf("all that was asked for earlier is given, and more is asked for by now: %v", err)
	}
	if got, err = from(residents.NeedWaiting); err != nil || got.QtyUnits != more {
		t.Errorf("more is asked for by now: %+v, %v", got, err)
	}
	if _, err = b.ChangeNeed(b.ctx(), early.ID, "worker", residents.Standing{State: residents.NeedWithdrawn, Reason: reason("withdrawn")}, b.clock.now()); err != nil {
		t.Fatal(err)
	}
	if _, err = from(residents.NeedPromised); !errors.Is(err, residents.ErrTransition) {
		t.Errorf("somebody ended it in between: %v", err)
	}
}

func TestChangeNeedAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n, err := b.AddNeed(b.ctx(), "worker", newNeed(b.register(1).ID))
	if err != nil {
		t.Fatal(err)
	}
	ends := []residents.NeedState{residents.NeedHandedOver, residents.NeedWithdrawn}
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			switch _, err := b.ChangeNeed(b.ctx(), n.ID, "x", residents.Standing{State: ends[i%2], Reason: reason("x")}, start); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, residents.ErrTransition):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n, _ = b.NeedByID(b.ctx(), n.ID)
	if len(n.Changes) != 1 || won.Load() != 5 {
		t.Errorf("%d changes, %d were told so; want 1, and 5 that asked for the end that came", len(n.Changes), won.Load())
	}
}

func TestWeightMilli(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		score   int64
		urgency int
		want    int64
	}{{0, 1, 250}, {1000, 1, 1250}, {0, 2, 375}, {600, 2, 1275}, {600, 3, 1913}, {1000, 4, 4219}, {0, 4, 844}, {1, 2, 377}, {500, 0, 750}, {500, 9, 2531}} {
		if got := (&residents.Need{Urgency: c.urgency}).WeightMilli(c.score); got != c.want {
			t.Errorf("score %d, urgency %d: %d, want %d", c.score, c.urgency, got, c.want)
		}
	}
}

// The history of a need that waits long keeps every change of state, and what
// it forgets it counts.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n, err := b.AddNeed(b.ctx(), "worker", newNeed(b.register(1).ID))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		why := reason("stock")
		why.ZH = fmt.Sprintf("第 %d 次", i)
		if n, err = b.ChangeNeed(b.ctx(), n.ID, "matcher", residents.Standing{State: residents.NeedWaiting, Reason: why}, b.clock.now()); err != nil {
			t.Fatal(err)
		}
	}
	if n, err = b.ChangeNeed(b.ctx(), n.ID, "matcher", residents.Standing{State: residents.NeedPromised, Reason: reason("given")}, b.clock.now()); err != nil {
		t.Fatal(err)
	}
	first, last := n.Changes[0], n.Changes[len(n.Changes)-1]
	if len(n.Changes) != 26 || n.Forgotten != 75 || first.From != residents.NeedOpen || last.To != residents.NeedPromised || n.Changes[24].Reason.ZH != "第 99 次" {
		t.Errorf("%d steps, %d forgotten, the first from %s, the last to %s", len(n.Changes), n.Forgotten, first.From, last.To)
	}
}

func TestEditNeed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n, err := b.AddNeed(b.ctx(), "worker", newNeed(b.register(1).ID))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(e residents.NeedEdit) (*residents.Need, error) {
		return b.EditNeed(b.ctx(), n.ID, "editor", e, b.clock.now())
	}
	was := n.QtyUnits
	more, note := was+3, "改到下午"
	got, err := edit(residents.NeedEdit{QtyUnits: &more, Note: &note, Why: "asked"})
	if err != nil || got.QtyUnits != more || got.Asked != 1 || got.FirstUnits() != was {
		t.Fatalf("%+v, %v", got, err)
	}
	c := got.Changes[len(got.Changes)-1]
	if c.By != "editor" || c.From != c.To || c.Reason.Code != "changed" || c.Reason.Facts["units"] != fmt.Sprint(more) || strings.Contains(c.Reason.ZH+c.Reason.EN, note) {
		t.Errorf("the step of the edit: %+v", c)
	}
	if kept, err := b.NeedNote(got); err != nil || kept != note {
		t.Errorf("note %q, %v", kept, err)
	}
	if again, err := edit(residents.NeedEdit{QtyUnits: &more, Note: &note, Why: "asked"}); err != nil || again.V != got.V {
		t.Errorf("the same edit again: version %d, %v; want %d", again.V, err, got.V)
	}
	if _, err := edit(residents.NeedEdit{QtyUnits: &was, Why: "asked"}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an edit of what somebody else has changed: %v", err)
	}
	var wrong *residents.FieldError
	for field, e := range map[string]residents.NeedEdit{
		"qty_units": {QtyUnits: new(int64(0)), Why: "asked", Asked: 1}, "urgency": {Urgency: new(5), Why: "asked", Asked: 1},
		"until_ms": {UntilMs: new(int64(1)), Why: "asked", Asked: 1}, "reason": {QtyUnits: &was, Why: "because", Asked: 1},
	} {
		if _, err := edit(e); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("a wrong %s: %v", field, err)
		}
	}
	if _, err := b.ChangeNeed(b.ctx(), n.ID, "x", residents.Standing{State: residents.NeedWithdrawn, Reason: reason("x")}, start); err != nil {
		t.Fatal(err)
	}
	if _, err := edit(residents.NeedEdit{QtyUnits: &was, Why: "asked", Asked: 1}); !errors.Is(err, residents.ErrTransition) {
		t.Errorf("an edit after the end: %v", err)
	}
}
