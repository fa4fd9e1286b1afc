package residents_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
)

const carerPIN = "864209"

func (b *bench) newCarer(r *residents.Resident) residents.NewCarer {
	return residents.NewCarer{
		Resident: r.ID, Name: "王芳", Relation: "child", Phone: "13700000000",
		UntilMs: b.clock.now().Add(24 * time.Hour).UnixMilli(), PIN: carerPIN,
	}
}

func (b *bench) addCarer(r *residents.Resident) *residents.Carer {
	b.t.Helper()
	c, err := b.AddCarer(b.ctx(), "worker", b.newCarer(r))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// accepted says whether a carer's code opens the resident now, by both ways.
func (b *bench) accepted(c *residents.Carer) bool {
	b.t.Helper()
	_, byCode, err := b.ByCode(b.ctx(), c.Code)
	if err != nil || byCode.Carer != c.ID {
		b.t.Fatalf("by code: %+v, %v", byCode, err)
	}
	_, byCard, err := b.ByCardNumber(b.ctx(), c.CardNo)
	if err != nil || byCard.Status != byCode.Status {
		b.t.Fatalf("by card number: %+v, %v; by code: %s", byCard, err, byCode.Status)
	}
	return byCode.Status == residents.CodeActive
}

func TestCarerLivesUntilItsTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	c := b.addCarer(r)
	if c.Code == r.Code || c.CardNo == r.CardNo || c.CreatedBy != "worker" {
		t.Errorf("%+v", c)
	}
	if name, phone, err := b.OpenCarer(c); err != nil || name != "王芳" || phone != "13700000000" {
		t.Errorf("%q, %q, %v", name, phone, err)
	}
	if got, code, err := b.ByCode(b.ctx(), c.Code); err != nil || got.ID != r.ID || code.Carer != c.ID {
		t.Errorf("%+v, %+v, %v", got, code, err)
	}
	b.clock.add(24*time.Hour - time.Millisecond)
	if !b.accepted(c) {
		t.Error("not accepted a millisecond before the end")
	}
	b.clock.add(time.Millisecond)
	if b.accepted(c) {
		t.Error("accepted at the end")
	}
	if _, own, err := b.ByCode(b.ctx(), r.Code); err != nil || own.Status != residents.CodeActive || own.Carer != "" {
		t.Errorf("the resident's own: %+v, %v", own, err)
	}
}

func TestCarerEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, other := b.register(1), b.register(2)
	c, stays := b.addCarer(r), b.addCarer(r)
	var field *residents.FieldError
	if _, err := b.EndCarer(b.ctx(), "worker", r.ID, c.ID, "bored"); !errors.As(err, &field) || field.Field != "reason" {
		t.Errorf("no reason: %v", err)
	}
	if _, err := b.EndCarer(b.ctx(), "worker", other.ID, c.ID, residents.WhyLost); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of another resident: %v", err)
	}
	if _, err := b.EndCarer(b.ctx(), "worker", r.ID, c.ID, residents.WhyUnneeded); err != nil {
		t.Fatal(err)
	}
	if b.accepted(c) || !b.accepted(stays) {
		t.Errorf("ended: %v, stays: %v", b.accepted(c), b.accepted(stays))
	}
	got, err := b.EndCarer(b.ctx(), "another", r.ID, c.ID, residents.WhyStolen)
	if err != nil || got.EndedBy != "worker" || got.EndedWhy != residents.WhyUnneeded {
		t.Errorf("ended again: %+v, %v", got, err)
	}
	if code, err := b.CodeByID(b.ctx(), c.Code); err != nil || code.Status != residents.CodeRevoked || code.RevokedWhy != residents.WhyEnded {
		t.Errorf("its code: %+v, %v", code, err)
	}
}

// A stolen card is not the carer's; but who moves away or dies is shown by
// nobody, and coming back does not bring the carers back.
func TestCarersAndTheirResident(t *testing.T) {
	t.Parallel()
	for _, status := range []residents.Status{residents.Moved, residents.Deceased} {
		b := newBench(t)
		r := b.register(1)
		n := b.newCarer(r)
		n.Key = "once"
		c, err := b.AddCarer(b.ctx(), "worker", n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyStolen); err != nil {
			t.Fatal(err)
		}
		if !b.accepted(c) {
			t.Error("dead after the resident's card was issued anew")
		}
		if _, err := b.SetStatus(b.ctx(), "worker", r.ID, status); err != nil {
			t.Fatal(err)
		}
		if b.accepted(c) {
			t.Errorf("%s: still accepted", status)
		}
		got, err := b.Carer(b.ctx(), r.ID, c.ID)
		if err != nil || got.EndedWhy != residents.Why(status) || got.EndedBy != "worker" {
			t.Errorf("%s: %+v, %v", status, got, err)
		}
		var field *residents.FieldError
		if _, err := b.AddCarer(b.ctx(), "worker", b.newCarer(r)); !errors.As(err, &field) {
			t.Errorf("%s: a new carer: %v", status, err)
		}
		if _, err := b.SetStatus(b.ctx(), "worker", r.ID, residents.Active); err != nil {
			t.Fatal(err)
		}
		if _, err := b.AddCarer(b.ctx(), "worker", n); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if b.accepted(c) {
			t.Errorf("%s and back: accepted again", status)
		}
	}
}

func TestFiveCarersAtMost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var added []*residents.Carer
	for range 2 * residents.MaxCarers {
		wg.Go(func() {
			c, err := b.AddCarer(b.ctx(), "worker", b.newCarer(r))
			var field *residents.FieldError
			switch {
			case err == nil:
				mu.Lock()
				added = append(added, c)
				mu.Unlock()
			case !errors.As(err, &field) || field.Field != "carers":
				t.Errorf("too many: %v", err)
			}
		})
	}
	wg.Wait()
	live := func() (n int) {
		r, err := b.Get(b.ctx(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		all, err := b.Carers(b.ctx(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if lives := b.Lives(r, c); lives != b.accepted(c) {
				t.Errorf("%s lives: %v", c.ID, lives)
			} else if lives {
				n++
			}
		}
		return n
	}
	if len(added) != residents.MaxCarers || live() != residents.MaxCarers {
		t.Fatalf("%d added, %d live, want %d", len(added), live(), residents.MaxCarers)
	}
	if _, err := b.EndCarer(b.ctx(), "worker", r.ID, added[0].ID, residents.WhyUnneeded); err != nil {
		t.Fatal(err)
	}
	b.addCarer(r)
	b.clock.add(25 * time.Hour) // all are over
	b.addCarer(r)
	if n := live(); n != 1 {
		t.Errorf("%d live, want 1", n)
	}
}

// Whatever a crash leaves, doing it again with the key completes it: one
// carer, one code, accepted.
func TestAddCarerAfterACrash(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for writes := range 3 { // the code, the carer, the resident
			b := newBench(t)
			r := b.register(1)
			n := b.newCarer(r)
			n.Key = "form-1"
			f := &faulty{Record: b.record, after: after}
			f.left.Store(int64(writes))
			if _, err := b.over(f).AddCarer(b.ctx(), "worker", n); !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			var first *residents.Carer
			for range 2 {
				c, err := b.AddCarer(b.ctx(), "worker", n)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = c
				}
				if c.ID != first.ID || !b.accepted(c) || b.count("carers") != 1 || b.count("codes") != 2 {
					t.Errorf("after %d writes (%v): %d carers, %d codes", writes, after, b.count("carers"), b.count("codes"))
				}
			}
			n.PIN = "111222"
			if _, err := b.AddCarer(b.ctx(), "worker", n); !errors.Is(err, residents.ErrKeyReused) {
				t.Errorf("another PIN under the same key: %v", err)
			}
		}
	}
}

func TestEndCarerAfterACrash(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for writes := range 3 { // the carer, the resident, the code
			b := newBench(t)
			r := b.register(1)
			c := b.addCarer(r)
			f := &faulty{Record: b.record, after: after}
			f.left.Store(int64(writes))
			if _, err := b.over(f).EndCarer(b.ctx(), "worker", r.ID, c.ID, residents.WhyLost); !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			if alive := b.accepted(c); alive != (writes == 0 && !after) {
				t.Errorf("after %d writes (%v): accepted %v", writes, after, alive)
			}
			if _, err := b.EndCarer(b.ctx(), "worker", r.ID, c.ID, residents.WhyLost); err != nil {
				t.Fatal(err)
			}
			r, _ = b.Get(b.ctx(), r.ID)
			code, err := b.CodeByID(b.ctx(), c.Code)
			if b.accepted(c) || len(r.Carers) != 0 || err != nil || code.Status != residents.CodeRevoked {
				t.Errorf("done again: %v, %+v, %v", r.Carers, code, err)
			}
		}
	}
}

func TestNewCarerIsChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	for field, spoil := range map[string]func(*residents.NewCarer){
		"name":     func(n *residents.NewCarer) { n.Name = " " },
		"phone":    func(n *residents.NewCarer) { n.Phone = "call me" },
		"relation": func(n *residents.NewCarer) { n.Relation = "friend" },
		"pin":      func(n *residents.NewCarer) { n.PIN = "12345" },
		"until_ms": func(n *residents.NewCarer) { n.UntilMs = b.clock.now().UnixMilli() },
		"key":      func(n *residents.NewCarer) { n.Key = string(make([]byte, 201)) },
	} {
		n := b.newCarer(r)
		spoil(&n)
		var wrong *residents.FieldError
		if _, err := b.AddCarer(b.ctx(), "worker", n); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	longest := b.newCarer(r)
	longest.UntilMs = b.clock.now().Add(residents.CarerLife).UnixMilli()
	if _, err := b.AddCarer(b.ctx(), "worker", longest); err != nil {
		t.Errorf("the longest: %v", err)
	}
	longest.UntilMs++
	if _, err := b.AddCarer(b.ctx(), "worker", longest); err == nil {
		t.Error("longer than the longest was taken")
	}
	if b.count("carers") != 1 || b.count("codes") != 2 {
		t.Errorf("%d carers, %d codes: the refused left something", b.count("carers"), b.count("codes"))
	}
}

// A carer's PIN locks by itself; the resident's is untouched.
func TestCarerPIN(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	if err := b.SetPIN(b.ctx(), r.ID, "123456"); err != nil {
		t.Fatal(err)
	}
	c := b.addCarer(r)
	if err := b.CheckCarerPIN(b.ctx(), c.ID, carerPIN); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := b.CheckCarerPIN(b.ctx(), c.ID, "000000"); !errors.Is(err, residents.ErrPIN) {
			t.Fatal(err)
		}
	}
	if err := b.CheckCarerPIN(b.ctx(), c.ID, carerPIN); !errors.Is(err, residents.ErrLocked) {
		t.Errorf("the right PIN when locked: %v", err)
	}
	if err := b.CheckPIN(b.ctx(), r.ID, "123456"); err != nil {
		t.Errorf("the resident's: %v", err)
	}
	b.clock.add(15 * time.Minute)
	if err := b.CheckCarerPIN(b.ctx(), c.ID, carerPIN); err != nil {
		t.Errorf("after the lock: %v", err)
	}
	if err := b.CheckCarerPIN(b.ctx(), "nobody", carerPIN); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("nobody's: %v", err)
	}
}

func TestCodesNewestFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.register(1)
	first := r.Code
	c := b.addCarer(r)
	b.clock.add(time.Second)
	second, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyDamaged)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Revoke(b.ctx(), "resident", second.ID, residents.WhyLost); err != nil {
		t.Fatal(err)
	}
	third, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyOther)
	if err != nil {
		t.Fatal(err)
	}
	r, _ = b.Get(b.ctx(), r.ID)
	codes, err := b.Codes(b.ctx(), r)
	if err != nil || len(codes) != 4 {
		t.Fatal(codes, err)
	}
	if codes[0].ID != third.ID || codes[0].Status != residents.CodeActive || codes[1].ID != second.ID {
		t.Errorf("first %+v, then %+v", codes[0], codes[1])
	}
	for _, x := range codes {
		switch x.ID {
		case first:
			if x.Status != residents.CodeRevoked || x.RevokedWhy != residents.WhyDamaged || x.RevokedBy != "worker" {
				t.Errorf("the first: %+v", x)
			}
		case second.ID: // lost before it was replaced: that stays the reason
			if x.Status != residents.CodeRevoked || x.RevokedWhy != residents.WhyLost || x.RevokedBy != "resident" {
				t.Errorf("the second: %+v", x)
			}
		case c.Code:
			if x.Status != residents.CodeActive || x.Carer != c.ID {
				t.Errorf("the carer's: %+v", x)
			}
		}
	}
	var field *residents.FieldError
	if _, err := b.Reissue(b.ctx(), "worker", r.ID, residents.WhyMoved); !errors.As(err, &field) || field.Field != "reason" {
		t.Errorf("a reason that is none: %v", err)
	}
}
