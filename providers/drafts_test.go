package providers_test

import (
	"errors"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

func TestDrafts(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	org := approved(t, s)
	ctx := t.Context()
	// As far as one came: no category, no place, no lot.
	half := providers.NewOffer{TitleZH: "爱心午餐", Form: providers.FormMeals, Series: []providers.Series{{QtyUnits: 60, Every: providers.Weekly, From: "2026-12-01"}}}
	d, err := s.SaveDraft(ctx, "p1", org.ID, "", 0, half)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.OpenOffers(ctx, func(o *providers.Offer) error { return errors.New("a draft flows") }); err != nil {
		t.Error(err)
	}
	half.Handover.Place = "月河街道食堂"
	if _, err := s.SaveDraft(ctx, "p2", org.ID, d.ID, d.V, half); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveDraft(ctx, "p1", org.ID, d.ID, d.V, providers.NewOffer{}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("two who write into one draft: got %v, want a conflict", err)
	}
	if _, err := s.SaveDraft(ctx, "x", "another", d.ID, 0, half); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another organisation writes into it: %v", err)
	}
	if got, err := s.Drafts(ctx, org.ID); err != nil || len(got) != 1 || got[0].Offer.Handover.Place != "月河街道食堂" || got[0].Offer.Series[0].QtyUnits != 60 {
		t.Errorf("got %+v, %v", got, err)
	}
	for range 2 {
		if err := s.DeleteDraft(ctx, d.ID); err != nil {
			t.Error(err)
		}
	}
	if got, err := s.Drafts(ctx, org.ID); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	_, record := newService(t)
	now := noon
	s := providers.New(providers.Config{Record: record, Now: func() time.Time { return now }})
	org := approved(t, s)
	ctx := t.Context()
	picture := func(n byte) []byte { return append([]byte("\xff\xd8\xff"), n) }
	var ids []string
	for n := range byte(3) {
		i, err := s.AddImage(ctx, "p1", org.ID, picture(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, i.ID)
	}
	if again, err := s.AddImage(ctx, "p1", org.ID, picture(0)); err != nil || again.ID != ids[0] {
		t.Errorf("the same picture again: %v, %v", again, err)
	}
	other, err := s.AddImage(ctx, "x", "another", picture(0))
	if err != nil || other.ID == ids[0] {
		t.Fatalf("another organisation's copy: %v, %v", other, err)
	}
	if _, err := s.AddImage(ctx, "p1", org.ID, []byte("<svg onload=alert(1)>")); err == nil {
		t.Error("what is no JPEG is kept")
	}
	n := newOffer()
	n.Divisions = []string{wuxing}
	for _, wrong := range [][]string{{other.ID}, {"none"}, {ids[0], ids[0]}, {"a", "b", "c", "d", "e"}} {
		n.Images = wrong
		var fault providers.FieldError
		if _, err := s.Post(ctx, "p1", org, n); !errors.As(err, &fault) {
			t.Errorf("images %v: got %v, want a fault", wrong, err)
		}
	}
	n.Images = ids[:2]
	if o, err := s.Post(ctx, "p1", org, n); err != nil || len(o.Images) != 2 {
		t.Fatalf("got %v, %v", o, err)
	}
	now = now.Add(31 * 24 * time.Hour)
	if err := s.SweepImages(ctx); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		_, err := s.Image(ctx, id)
		if gone := errors.Is(err, store.ErrNotFound); gone != (i == 2) {
			t.Errorf("image %d: %v", i, err)
		}
	}
}
