package care

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/store"
)

// photo is a picture taken at a handover, a sealed JPEG. Its id is made of the
// allocation and the picture, so that sending it again is the same photo.
type photo struct {
	store.Meta `bson:",inline"`
	Allocation string `json:"allocation"`
	TakenMs    int64  `json:"taken_ms"`
	TakenBy    string `json:"taken_by"`
	JPEGSealed string `json:"jpeg_sealed"`
}

var photoSchema = store.Schema{Name: "handover_photos", Indexes: []store.Index{
	{Name: "taken", Fields: []string{"taken_ms"}},
}}

const (
	// photoField is the name under which a photo is sealed.
	photoField = "handover_photo"
	// photoKept is how long a photo is kept: until complaints and audits of the
	// half-year are over.
	photoKept = 180 * 24 * time.Hour
	// photosAtOnce are deleted in one step: each is some hundred kB.
	photosAtOnce = 20
)

// pictured says whether a photo was taken for the handover that may be made
// now.
func (s *Service) pictured(a *Allocation) bool {
	return a.Photo != "" && s.now().UnixMilli()-a.PhotoMs < scanProves.Milliseconds()
}

// kept says whether the photo of an allocation is still there.
func (s *Service) kept(a *Allocation) bool {
	return a.Photo != "" && s.now().UnixMilli()-a.PhotoMs < photoKept.Milliseconds()
}

// AddPhoto keeps a photo, a JPEG, that was taken at the handover of what was
// promised; it takes the place of one before, which is deleted. The photo is
// written first, then the allocation names it: an unnamed one counts for
// nothing and is swept in time. Adding the same picture again changes nothing.
// Errors: [ErrEnded], [ErrNotYours], [store.ErrNotFound].
func (s *Service) AddPhoto(ctx context.Context, p accounts.Principal, id string, jpeg []byte) (AllocationView, error) {
	if p.Role == accounts.Resident {
		return AllocationView{}, ErrNotYours
	}
	a, err := s.mine(ctx, p, "add_photo", id)
	if err != nil {
		return AllocationView{}, err
	}
	if a.State != Promised {
		return AllocationView{}, fmt.Errorf("add a photo to %s: %w", id, ErrEnded)
	}
	sum := sha256.Sum256(jpeg)
	now := s.now().UnixMilli()
	f := &photo{Meta: store.Meta{ID: id + "-" + hex.EncodeToString(sum[:16])}, Allocation: id, TakenMs: now, TakenBy: p.Account}
	if f.JPEGSealed, err = s.vault.Seal(photoField, f.ID, string(jpeg)); err != nil {
		return AllocationView{}, fmt.Errorf("add a photo to %s: %w", id, err)
	}
	if _, err := s.photos.InsertAll(ctx, []*photo{f}); err != nil {
		return AllocationView{}, fmt.Errorf("add a photo to %s: %w", id, err)
	}
	var replaced string
	a, err = s.allocations.Change(ctx, id, func(a *Allocation) error {
		if a.State != Promised {
			return ErrEnded
		}
		replaced = ""
		if a.Photo != f.ID {
			replaced, a.Photo, a.PhotoMs = a.Photo, f.ID, now
		}
		return nil
	})
	if err == nil && replaced != "" {
		err = s.photos.Delete(ctx, replaced)
	}
	if err != nil {
		return AllocationView{}, fmt.Errorf("add a photo to %s: %w", id, err)
	}
	if err := s.audited(ctx, p, "add_photo", a); err != nil {
		return AllocationView{}, err
	}
	return s.view(a), nil
}

// Photo is the photo of an allocation's handover, a JPEG. Whoever calls it has
// decided that it may be seen, and audits it.
// Errors: [ErrNotYours], [store.ErrNotFound] where there is none (any more).
func (s *Service) Photo(ctx context.Context, p accounts.Principal, id string) ([]byte, error) {
	a, err := s.mine(ctx, p, "view_photo", id)
	if err != nil {
		return nil, err
	}
	if !s.kept(a) {
		return nil, fmt.Errorf("photo of %s: %w", id, store.ErrNotFound)
	}
	f, err := s.photos.Get(ctx, a.Photo)
	if err != nil {
		return nil, err
	}
	jpeg, err := s.vault.OpenField(photoField, f.ID, f.JPEGSealed)
	if err != nil {
		return nil, fmt.Errorf("photo of %s: %w", id, err)
	}
	return []byte(jpeg), nil
}

// forgetPhotos drops photos whose time is over.
func (s *Service) forgetPhotos(ctx context.Context) error {
	for {
		old, _, err := s.photos.Find(ctx, store.Query{
			Index: "taken", To: s.now().Add(-photoKept).UnixMilli(), Limit: photosAtOnce,
		})
		if err != nil || len(old) == 0 {
			return err
		}
		ids := make([]string, len(old))
		for i, f := range old {
			ids[i] = f.ID
		}
		if err := s.photos.Delete(ctx, ids...); err != nil {
			return err
		}
	}
}
