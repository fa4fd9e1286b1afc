package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/xingfuma/happycode/app/store"
)

// maxDrafts is how many drafts an organisation may keep.
const maxDrafts = 100

// Draft is an offer that is not posted: as far as it is filled in, and never
// matched. It belongs to the organisation, not to who began it.
type Draft struct {
	store.Meta   `bson:",inline"`
	Organisation string   `json:"organisation"`
	Offer        NewOffer `json:"offer"`
	CreatedMs    int64    `json:"created_ms"`
	CreatedBy    string   `json:"created_by"`
	ChangedMs    int64    `json:"changed_ms"`
	ChangedBy    string   `json:"changed_by"`
}

func draftsSchema() store.Schema {
	return store.Schema{Name: "offer_drafts", Indexes: []store.Index{
		{Name: "organisation", Fields: []string{"organisation", "changed_ms"}},
	}}
}

// checkDraft bounds what a draft may hold; whether it could be posted does not
// matter yet.
func checkDraft(n *NewOffer) (err error) {
	for _, x := range []struct {
		field, zh, en string
		s             *string
		most          int
	}{
		{"title_zh", "资源名称", "The title", &n.TitleZH, 100}, {"title_en", "英文名称", "The English title", &n.TitleEN, 200},
		{"category", "类别", "The category", &n.Category, 20}, {"unit", "单位", "The unit", &n.Unit, 20},
		{"handover.place", "交付地点", "The place", &n.Handover.Place, 200}, {"handover.place_en", "英文地点", "The English place", &n.Handover.PlaceEN, 200},
		{"handover.note", "交付说明", "The note", &n.Handover.Note, 500},
	} {
		if *x.s, err = text(x.field, x.zh, x.en, *x.s, 0, x.most); err != nil {
			return err
		}
	}
	long := func(s string) bool { return len(s) > 20 }
	for _, x := range []struct {
		field string
		over  bool
	}{
		{"divisions", len(n.Divisions) > maxDivisions || slices.ContainsFunc(n.Divisions, long)},
		{"groups", len(n.Groups) > maxGroups || slices.ContainsFunc(n.Groups, func(s string) bool { return len(s) > 64 })},
		{"kept", len(n.Kept) > maxKept || slices.ContainsFunc(n.Kept, func(k Kept) bool { return len(k.Group) > 64 || long(k.Division) })},
		{"lots", len(n.Lots) > maxLots},
		{"images", len(n.Images) > maxImages || slices.ContainsFunc(n.Images, func(s string) bool { return len(s) > 64 })},
		{"form", long(string(n.Form))}, {"cap_period", long(string(n.CapPeriod))}, {"pace", long(string(n.Pace))}, {"handover.how", long(string(n.Handover.How))},
		{"series", len(n.Series) > maxSeries || slices.ContainsFunc(n.Series, func(s Series) bool {
			return len(s.Weekdays) > 7 || len(s.Skip) > maxSkipped || slices.ContainsFunc(s.Skip, long) ||
				long(string(s.Every)) || long(s.From) || long(s.To) || long(s.Start) || long(s.End)
		})},
	} {
		if x.over {
			return ErrOffer{x.field, "内容过多，请删减。", "That is too much: shorten it.", nil}
		}
	}
	return nil
}

// SaveDraft keeps a draft of an organisation: a new one where id is empty, else
// in the place of the one that is there. version is the draft's as it was read;
// 0: whatever it is. An organisation that waits for approval may keep drafts.
//
// Errors: [ErrOffer]; [store.ErrNotFound]; [store.ErrConflict] when somebody
// else has saved it since.
func (s *Service) SaveDraft(ctx context.Context, by, organisation, id string, version int64, n NewOffer) (*Draft, error) {
	if err := checkDraft(&n); err != nil {
		return nil, err
	}
	now := store.Millis(s.config.Now())
	if id != "" {
		return s.drafts.Change(ctx, id, func(d *Draft) error {
			switch {
			case d.Organisation != organisation:
				return fmt.Errorf("save draft %s: %w", id, store.ErrNotFound)
			case version != 0 && version != d.V:
				return fmt.Errorf("save draft %s: %w", id, store.ErrConflict)
			}
			d.Offer, d.ChangedMs, d.ChangedBy = n, now, by
			return nil
		})
	}
	there, _, err := s.drafts.Find(ctx, store.Query{Index: "organisation", Equal: []any{organisation}, Limit: maxDrafts})
	if err != nil {
		return nil, err
	}
	if len(there) == maxDrafts {
		return nil, ErrOffer{"draft", fmt.Sprintf("最多保存 %d 份草稿，请先删去不用的。", maxDrafts), fmt.Sprintf("%d drafts are kept at most: delete some first.", maxDrafts), nil}
	}
	d := &Draft{
		Meta: store.Meta{ID: store.NewID()}, Organisation: organisation, Offer: n,
		CreatedMs: now, CreatedBy: by, ChangedMs: now, ChangedBy: by,
	}
	if err := s.drafts.Insert(ctx, d); err != nil {
		return nil, err
	}
	return d, nil
}

// Draft reads a draft. Errors: [store.ErrNotFound].
func (s *Service) Draft(ctx context.Context, id string) (*Draft, error) { return s.drafts.Get(ctx, id) }

// Drafts lists an organisation's drafts, the last changed first.
func (s *Service) Drafts(ctx context.Context, organisation string) ([]*Draft, error) {
	out, _, err := s.drafts.Find(ctx, store.Query{Index: "organisation", Equal: []any{organisation}, Desc: true, Limit: maxDrafts})
	return out, err
}

// DeleteDraft drops a draft; one that is gone already is none.
func (s *Service) DeleteDraft(ctx context.Context, id string) error {
	if err := s.drafts.Delete(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}
