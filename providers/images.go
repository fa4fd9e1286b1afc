package providers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

const (
	maxImages     = 4                   // of an offer
	maxImageBytes = 1 << 20             // of one, a small JPEG; callers have made it one
	maxUnused     = 24                  // of an organisation, that no offer shows
	unusedKept    = 30 * 24 * time.Hour // how long an image may wait for its offer
	sweptAtOnce   = 20
)

// Image is a photo that an organisation shows with its offers, a JPEG. Its id is
// made of the organisation and the picture, so that sending it again is the
// same image.
type Image struct {
	store.Meta   `bson:",inline"`
	Organisation string `json:"organisation"`
	JPEG         []byte `json:"jpeg"`
	Used         bool   `json:"used"`    // an offer shows it, or is about to
	Dropped      bool   `json:"dropped"` // is being deleted, and cannot be used any more
	SentMs       int64  `json:"sent_ms"`
	SentBy       string `json:"sent_by"`
}

func imagesSchema() store.Schema {
	return store.Schema{Name: "offer_images", Indexes: []store.Index{
		{Name: "unused", Fields: []string{"used", "sent_ms"}},
		{Name: "organisation", Fields: []string{"organisation", "used"}},
	}}
}

// AddImage keeps an image, a JPEG of up to 1 MiB that holds nothing but the
// picture, for an organisation to show with an offer. What no offer shows is
// dropped after 30 days.
// Errors: [ErrOffer].
func (s *Service) AddImage(ctx context.Context, by, organisation string, jpeg []byte) (*Image, error) {
	if len(jpeg) > maxImageBytes || !bytes.HasPrefix(jpeg, []byte("\xff\xd8\xff")) {
		return nil, ErrOffer{"images", "照片过大，请换一张。", "The photo is too large: choose another.", nil}
	}
	sum := sha256.Sum256(append([]byte("image\x00"+organisation+"\x00"), jpeg...))
	now := store.Millis(s.config.Now())
	i := &Image{Meta: store.Meta{ID: "i" + hex.EncodeToString(sum[:16])}, Organisation: organisation, JPEG: jpeg, SentMs: now, SentBy: by}
	unused, _, err := s.images.Find(ctx, store.Query{Index: "organisation", Equal: []any{organisation, false}, Limit: maxUnused})
	if err != nil {
		return nil, err
	}
	known := slices.ContainsFunc(unused, func(x *Image) bool { return x.ID == i.ID })
	if len(unused) == maxUnused && !known {
		return nil, ErrOffer{"images", "未使用的照片过多，请先发布资源或过几天再上传。", "Too many photos wait for an offer: post one first, or send more in some days.", nil}
	}
	if _, err := s.images.InsertAll(ctx, []*Image{i}); err != nil {
		return nil, err
	}
	return i, nil
}

// Image reads an image. Errors: [store.ErrNotFound].
func (s *Service) Image(ctx context.Context, id string) (*Image, error) { return s.images.Get(ctx, id) }

// useImages marks images as shown before their offer is written, so that one
// that an offer names is never swept. A crash in between keeps a few for
// nothing.
func (s *Service) useImages(ctx context.Context, organisation string, ids []string) error {
	if len(ids) > maxImages {
		return ErrOffer{"images", fmt.Sprintf("最多 %d 张照片，请删去几张。", maxImages), fmt.Sprintf("An offer has at most %d photos: take some away.", maxImages), nil}
	}
	there, err := s.images.GetAll(ctx, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		at := slices.IndexFunc(there, func(x *Image) bool { return x.ID == id })
		gone := ErrOffer{fmt.Sprintf("images[%d]", i), "找不到这张照片，请重新上传。", "There is no such photo: send it again.", nil}
		if at < 0 || there[at].Organisation != organisation || slices.Contains(ids[:i], id) {
			return gone
		}
		if there[at].Used {
			continue
		}
		if _, err := s.images.Change(ctx, id, func(x *Image) error {
			if x.Dropped {
				return gone
			}
			x.Used = true
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// SweepImages drops images that have waited too long for an offer.
func (s *Service) SweepImages(ctx context.Context) error {
	for {
		old, _, err := s.images.Find(ctx, store.Query{
			Index: "unused", Equal: []any{false}, To: s.config.Now().Add(-unusedKept).UnixMilli(), Limit: sweptAtOnce,
		})
		if err != nil || len(old) == 0 {
			return err
		}
		for _, x := range old {
			_, err := s.images.Change(ctx, x.ID, func(x *Image) error {
				if x.Used {
					return errUnchanged
				}
				x.Dropped = true
				return nil
			})
			if err == nil {
				err = s.images.Delete(ctx, x.ID)
			}
			if err != nil && !errors.Is(err, errUnchanged) && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
}
