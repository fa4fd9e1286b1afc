package care

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

const (
	ownPIN   = "123456"
	carerPIN = "864209"
)

// carer lets somebody show a code for the resident for a day.
func (c *city) carer(r *residents.Resident) *residents.Carer {
	c.t.Helper()
	x, err := c.residents.AddCarer(context.Background(), "test", residents.NewCarer{
		Resident: r.ID, Name: "王芳", Relation: "child", PIN: carerPIN, UntilMs: c.clock.now().Add(24 * time.Hour).UnixMilli(),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return x
}

func (c *city) carerCode(x *residents.Carer) string {
	c.t.Helper()
	code, err := c.residents.CodeByID(context.Background(), x.Code)
	if err != nil {
		c.t.Fatal(err)
	}
	token, err := c.residents.Token(context.Background(), code)
	if err != nil {
		c.t.Fatal(err)
	}
	return token.Digits()
}

// worth posts an offer whose units are worth so much, and has one promised to
// a new resident with a PIN.
func (c *city) worth(category string, valueFen, qty int64) (*residents.Resident, AllocationView) {
	c.t.Helper()
	ctx := context.Background()
	org := c.organisation()
	now := c.clock.now()
	if _, err := c.care.PostOffer(ctx, accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: org.ID}, org.ID,
		providers.NewOffer{
			TitleZH: "测试资源", Category: category, Divisions: []string{county}, ValueFen: valueFen,
			Handover: providers.Handover{How: providers.Pickup, Place: "社区食堂"},
			Lots:     []providers.NewLot{{QtyUnits: 10 * qty, FromMs: now.UnixMilli(), UntilMs: now.Add(30 * time.Hour).UnixMilli()}},
		}); err != nil {
		c.t.Fatal(err)
	}
	r, _ := c.resident(village, category, qty, 2)
	if err := c.residents.SetPIN(ctx, r.ID, ownPIN); err != nil {
		c.t.Fatal(err)
	}
	got := c.scan(r)
	if len(got.Offered) != 1 {
		c.t.Fatalf("%d promised", len(got.Offered))
	}
	if _, err := c.care.Accept(ctx, c.worker, got.Offered[0].ID); err != nil {
		c.t.Fatal(err)
	}
	return r, got.Offered[0]
}

func TestCarerShowsTheCode(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	x := c.carer(r)
	if own := c.scan(r); own.ShownBy != nil {
		t.Errorf("the resident's own code: %+v", own.ShownBy)
	}
	for how, code := range map[string]string{"scanned": c.carerCode(x), "typed": x.CardNo} {
		got, err := c.care.Scan(ctx, c.worker, code)
		if err != nil {
			t.Fatal(how, err)
		}
		if got.Resident.ID != r.ID || got.Resident.CardNo != r.CardNo || got.ShownBy == nil ||
			*got.ShownBy != (ShownBy{Name: "王芳", Relation: "child", UntilMs: x.UntilMs}) {
			t.Errorf("%s: %+v, %+v", how, got.Resident, got.ShownBy)
		}
		entries, _, err := c.audit.Of(ctx, r.ID, "", 1)
		if err != nil || entries[0].Object != "carer:"+x.ID || entries[0].Act != "scan" {
			t.Errorf("%s: audit %+v, %v", how, entries, err)
		}
		shown, ok, err := c.care.ShownBy(ctx, c.worker, r.ID, got.Scan)
		if err != nil || !ok || shown.Name != "王芳" {
			t.Errorf("%s: shown by %+v, %v, %v", how, shown, ok, err)
		}
		id := got.Offered[0].ID
		if _, err := c.care.HandOver(ctx, c.worker, id, Evidence{Scan: got.Scan, PIN: ownPIN}); !errors.Is(err, residents.ErrPIN) {
			t.Errorf("%s: the carer with another PIN: %v", how, err)
		}
		if how == "typed" {
			continue
		}
		v, err := c.care.HandOver(ctx, c.worker, id, Evidence{Scan: got.Scan})
		if err != nil || v.Proof != "carer" || v.Carer != x.ID {
			t.Errorf("%s: %+v, %v", how, v, err)
		}
		c.need(r, "meal", 1, 2)
	}
	if _, err := c.residents.EndCarer(ctx, "worker", r.ID, x.ID, residents.WhyLost); err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{c.carerCode(x), x.CardNo} {
		if _, err := c.care.Scan(ctx, c.worker, code); !errors.Is(err, ErrUnknownCode) {
			t.Errorf("an ended carer's code: %v", err)
		}
	}
}

// A scan made while the carer could show the code is no evidence afterwards.
func TestCarerEndedBetweenScanAndHandover(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	x := c.carer(r)
	got, err := c.care.Scan(ctx, c.worker, x.CardNo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.residents.EndCarer(ctx, "worker", r.ID, x.ID, residents.WhyStolen); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.HandOver(ctx, c.worker, got.Offered[0].ID, Evidence{Scan: got.Scan}); !errors.Is(err, ErrProof) {
		t.Errorf("got %v, want ErrProof", err)
	}
}

// Nor is a scan of an own card that does not count any more.
func TestCardEndedBetweenScanAndHandover(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*city, *residents.Resident) error{
		"revoked": func(c *city, r *residents.Resident) error {
			return c.residents.Revoke(context.Background(), "worker", r.Code, residents.WhyStolen)
		},
		"reissued": func(c *city, r *residents.Resident) error {
			_, err := c.residents.Reissue(context.Background(), "worker", r.ID, residents.WhyLost)
			return err
		},
		"moved": func(c *city, r *residents.Resident) error {
			_, err := c.residents.SetStatus(context.Background(), "worker", r.ID, residents.Moved)
			return err
		},
		"died": func(c *city, r *residents.Resident) error {
			_, err := c.residents.SetStatus(context.Background(), "worker", r.ID, residents.Deceased)
			return err
		},
	} {
		for how, code := range map[string]func(*city, *residents.Resident) string{
			"scanned": func(c *city, r *residents.Resident) string { return c.code(r) },
			"typed":   func(_ *city, r *residents.Resident) string { return r.CardNo },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				c := newCity(t, nil, nil)
				ctx := context.Background()
				c.offer("meal", 10, 0, county)
				r, _ := c.resident(village, "meal", 1, 2)
				got, err := c.care.Scan(ctx, c.worker, code(c, r))
				if err != nil {
					t.Fatal(err)
				}
				c.clock.advance(time.Second)
				if err := end(c, r); err != nil {
					t.Fatal(err)
				}
				if _, err := c.care.HandOver(ctx, c.worker, got.Offered[0].ID, Evidence{Scan: got.Scan}); !errors.Is(err, ErrProof) {
					t.Errorf("got %v, want ErrProof", err)
				}
			})
		}
	}
}

// The row "revoked or re-issued card": from the moment Revoke returns, no way
// of reading the code opens anything.
func TestRevokedCodeIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 2)
	_, code, err := c.residents.ByCardNumber(ctx, r.CardNo)
	if err != nil {
		t.Fatal(err)
	}
	promised := c.scan(r).Offered[0]
	screen, err := c.residents.ScreenToken(code, c.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]string{"card": c.code(r), "card number": r.CardNo, "screen": screen.Digits()}
	if err := c.residents.Revoke(ctx, "worker", r.Code, residents.WhyStolen); err != nil {
		t.Fatal(err)
	}
	for way, digits := range ways {
		if _, err := c.care.Scan(ctx, c.worker, digits); !errors.Is(err, ErrUnknownCode) {
			t.Errorf("scan of the %s: %v", way, err)
		}
		if _, err := c.care.HandOver(ctx, c.worker, promised.ID, Evidence{Code: digits}); !errors.Is(err, ErrProof) {
			t.Errorf("handover with the %s: %v", way, err)
		}
	}
	fresh, err := c.residents.Reissue(ctx, "worker", r.ID, residents.WhyStolen)
	if err != nil {
		t.Fatal(err)
	}
	for way, digits := range ways {
		if _, err := c.care.Scan(ctx, c.worker, digits); !errors.Is(err, ErrUnknownCode) {
			t.Errorf("after re-issue, scan of the %s: %v", way, err)
		}
	}
	if got, err := c.care.Scan(ctx, c.worker, fresh.CardNo); err != nil || got.Resident.ID != r.ID {
		t.Errorf("the new card: %v", err)
	}
	for _, status := range []residents.Status{residents.Moved, residents.Deceased} {
		if _, err := c.residents.SetStatus(ctx, "worker", r.ID, status); err != nil {
			t.Fatal(err)
		}
		if _, err := c.care.Scan(ctx, c.worker, fresh.CardNo); !errors.Is(err, ErrUnknownCode) {
			t.Errorf("the card of somebody %s: %v", status, err)
		}
	}
}

func TestWorthAboveTheLimitTakesAProof(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		limit         *int64
		category      string
		valueFen, qty int64
		required      bool
	}{
		{"off", nil, "cash", 0, 50_000, false},
		{"always", new(int64(0)), "meal", 0, 1, true},
		{"at the limit", new(int64(20_000)), "grocery", 10_000, 2, false},
		{"above it", new(int64(20_000)), "grocery", 10_001, 2, true},
		{"cash at the limit", new(int64(20_000)), "cash", 0, 20_000, false},
		{"cash above it", new(int64(20_000)), "cash", 0, 20_001, true},
		{"worth not stated", new(int64(20_000)), "grocery", 0, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCity(t, nil, nil)
			c.care.pinAbove = tc.limit
			ctx := context.Background()
			r, a := c.worth(tc.category, tc.valueFen, tc.qty)
			if a.PINRequired != tc.required {
				t.Errorf("pin_required is %v", a.PINRequired)
			}
			scan := c.scan(r)
			_, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{Scan: scan.Scan})
			if got := errors.Is(err, ErrProofNeeded); got != tc.required || err != nil && !got {
				t.Fatalf("with a scan alone: %v", err)
			}
			if !tc.required {
				return
			}
			for name, e := range map[string]Evidence{"word": {}, "card": {Code: c.code(r)}, "card number": {Code: r.CardNo}} {
				if _, err := c.care.HandOver(ctx, c.worker, a.ID, e); !errors.Is(err, ErrProofNeeded) {
					t.Errorf("by %s: %v", name, err)
				}
			}
			if _, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{PIN: "000000"}); !errors.Is(err, residents.ErrPIN) {
				t.Errorf("a wrong PIN: %v", err)
			}
			v, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{Scan: scan.Scan, PIN: ownPIN})
			if err != nil || v.Proof != "pin" || v.PINRequired {
				t.Errorf("with the PIN: %+v, %v", v, err)
			}
			if v, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{Scan: scan.Scan}); err != nil || v.Proof != "pin" {
				t.Errorf("again: %+v, %v", v, err)
			}
		})
	}
}

func TestCarersPINAboveTheLimit(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	c.care.pinAbove = new(int64(20_000))
	ctx := context.Background()
	r, a := c.worth("cash", 0, 30_000)
	x := c.carer(r)
	scan, err := c.care.Scan(ctx, c.worker, x.CardNo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{Scan: scan.Scan}); !errors.Is(err, ErrProofNeeded) {
		t.Errorf("the carer's code alone: %v", err)
	}
	if _, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{Scan: scan.Scan, PIN: ownPIN}); !errors.Is(err, residents.ErrPIN) {
		t.Errorf("the resident's PIN: %v", err)
	}
	v, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{Scan: scan.Scan, PIN: carerPIN})
	if err != nil || v.Proof != "pin" || v.Carer != x.ID {
		t.Errorf("the carer's PIN: %+v, %v", v, err)
	}
	c.clean(false)
}

func TestPhotoAboveTheLimit(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	c.care.pinAbove = new(int64(0))
	ctx := context.Background()
	r, a := c.worth("grocery", 0, 1)
	jpeg := []byte("\xff\xd8 the picture")
	if _, err := c.care.AddPhoto(ctx, accounts.Principal{Account: "r", Role: accounts.Resident, Resident: r.ID}, a.ID, jpeg); !errors.Is(err, ErrNotYours) {
		t.Errorf("by the resident: %v", err)
	}
	foreign := accounts.Principal{Account: "elsewhere", Role: accounts.Caseworker, Division: "330523000000"}
	if _, err := c.care.AddPhoto(ctx, foreign, a.ID, jpeg); !errors.Is(err, ErrNotYours) {
		t.Errorf("by another division: %v", err)
	}
	for range 2 {
		v, err := c.care.AddPhoto(ctx, c.worker, a.ID, jpeg)
		if err != nil || v.PINRequired || !v.Photo {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	if n := c.photos(); n != 1 {
		t.Errorf("%d photos, want 1", n)
	}
	// The record holds it sealed.
	if err := c.care.photos.Each(ctx, store.Query{}, func(f *photo) error {
		if bytes.Contains([]byte(f.JPEGSealed), []byte("the picture")) {
			t.Error("a photo is kept in the clear")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c.clock.advance(13 * time.Hour)
	if _, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{}); !errors.Is(err, ErrProofNeeded) {
		t.Errorf("yesterday's photo: %v", err)
	}
	for range 2 {
		if _, err := c.care.AddPhoto(ctx, c.worker, a.ID, append(jpeg, '2')); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.photos(); n != 1 {
		t.Errorf("%d photos after another took the place of the first, want 1", n)
	}
	v, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{})
	if err != nil || v.Proof != "photo" || !v.Photo {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.care.AddPhoto(ctx, c.worker, a.ID, jpeg); !errors.Is(err, ErrEnded) {
		t.Errorf("after the handover: %v", err)
	}
	if got, err := c.care.Photo(ctx, c.worker, a.ID); err != nil || string(got) != string(jpeg)+"2" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.care.Photo(ctx, foreign, a.ID); !errors.Is(err, ErrNotYours) {
		t.Errorf("seen from another division: %v", err)
	}
	c.clock.advance(photoKept + time.Millisecond)
	if _, err := c.care.Photo(ctx, c.worker, a.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after its time: %v", err)
	}
	if err := c.care.forgetPhotos(ctx); err != nil || c.photos() != 0 {
		t.Errorf("%d photos after the sweep, %v", c.photos(), err)
	}
}

// photos is how many there are.
func (c *city) photos() (n int) {
	c.t.Helper()
	if err := c.care.photos.Each(context.Background(), store.Query{}, func(*photo) error { n++; return nil }); err != nil {
		c.t.Fatal(err)
	}
	return n
}
