package funds

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// NewFund is what is said of a fund when it is made.
type NewFund struct {
	Kind        Kind     `json:"kind"`
	Name        string   `json:"name"`         // 2..100 characters
	NameEN      string   `json:"name_en"`      // optional, up to 200
	Purpose     string   `json:"purpose"`      // up to 1000
	Categories  []string `json:"categories"`   // of aid; none: any
	Divisions   []string `json:"divisions"`    // 12-digit codes; none: anywhere
	DonorsNamed bool     `json:"donors_named"` // in statements
	// Key makes repeating safe: a second fund of the organisation under the same
	// key is the first one. Empty: every call makes a fund.
	Key string `json:"-"`
}

// NewDonation is what is said of a donation when it is entered.
type NewDonation struct {
	Donor    string `json:"donor"`    // empty: anonymous; up to 100 characters
	Fen      int64  `json:"fen"`      // 1..10,000,000,000,000
	Category string `json:"category"` // directed to a kind of aid; empty: what the fund is for
	Division string `json:"division"` // directed to a division; empty: where the fund gives
	AtMs     int64  `json:"at_ms"`    // when it came in, not later than now, in a month that is not closed
	Note     string `json:"note"`     // up to 500
	Key      string `json:"-"`        // as in [NewFund]
}

func keyed(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:16])
}

func (s *Service) known(code string) bool {
	return regions.Valid(code) && (s.cfg.Known == nil || s.cfg.Known(code))
}

// Create makes a fund of an organisation.
// Errors: [FieldError]; [providers.ErrNotApproved].
func (s *Service) Create(ctx context.Context, by string, org *providers.Organisation, n NewFund) (*Fund, error) {
	if org.Status != providers.Approved {
		return nil, fmt.Errorf("make a fund of %s: %w", org.ID, providers.ErrNotApproved)
	}
	f := &Fund{
		Meta: store.Meta{ID: store.NewID()}, Organisation: org.ID, Kind: n.Kind, DonorsNamed: n.DonorsNamed, Status: Open,
		CreatedMs: store.Millis(s.cfg.Now()), CreatedBy: by,
	}
	if n.Key != "" {
		f.ID = "f" + keyed("fund", org.ID, n.Key)
	}
	var err error
	switch {
	case !n.Kind.Valid():
		return nil, FieldError{Field: "kind", ZH: "请选择冠名基金、定向捐赠或慈善信托。", EN: "Choose a named fund, directed donations or a charitable trust."}
	case !n.Kind.MayHave(org.Kind):
		return nil, FieldError{Field: "kind", ZH: "政府与企业只能设立慈善信托，请选择慈善信托。", EN: "Governments and enterprises hold charitable trusts only: choose that."}
	}
	if f.Name, err = providers.CheckText("name", "基金名称", "The name", n.Name, 2, 100); err != nil {
		return nil, err
	}
	if f.NameEN, err = providers.CheckText("name_en", "英文名称", "The English name", n.NameEN, 0, 200); err != nil {
		return nil, err
	}
	if f.Purpose, err = providers.CheckText("purpose", "用途", "The purpose", n.Purpose, 0, 1000); err != nil {
		return nil, err
	}
	for _, id := range n.Categories {
		if _, ok := providers.CategoryByID(id); !ok {
			return nil, noCategory("categories")
		}
	}
	f.Categories = slices.Compact(slices.Sorted(slices.Values(n.Categories)))
	for _, code := range n.Divisions {
		if !s.known(code) {
			return nil, noDivision("divisions")
		}
	}
	f.Divisions = slices.Compact(slices.Sorted(slices.Values(n.Divisions)))
	err = s.funds.Insert(ctx, f)
	if n.Key != "" && errors.Is(err, store.ErrDuplicate) {
		return s.funds.Get(ctx, f.ID)
	}
	return f, err
}

func noCategory(field string) error {
	return FieldError{Field: field, ZH: "没有这一类资源，请从列表中选择。", EN: "There is no such kind of aid: choose one from the list."}
}

func noDivision(field string) error {
	return FieldError{Field: field, ZH: "找不到该区划，请从列表中选择。", EN: "There is no such division: choose one from the list."}
}

var errSame = errors.New("nothing to change")

// change alters a fund, after what it decided before stands in the journal; what
// it books follows at once, and if not now then with the next change. do may
// return errSame.
//
// Whoever asks whether an entry is booked reads the fund first and the journal
// after it: an entry that another process books in between has changed the
// fund's version, and the compare-and-set fails.
func (s *Service) change(ctx context.Context, id string, do func(*Fund) error) (*Fund, error) {
	var seen *Fund
	f, err := s.funds.Change(ctx, id, func(f *Fund) error {
		seen = f
		if err := s.write(ctx, f); err != nil {
			return err
		}
		f.Pending, f.PendingDonations = nil, nil
		return do(f)
	})
	if errors.Is(err, errSame) {
		return seen, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.write(ctx, f); err != nil {
		s.cfg.Logger.Warn("write the journal later", "fund", id, "entries", len(f.Pending), "error", err)
	}
	return f, nil
}

// write puts what a fund has decided into the journal; again changes nothing.
func (s *Service) write(ctx context.Context, f *Fund) error {
	donations := make([]*Donation, len(f.PendingDonations))
	for i := range f.PendingDonations {
		d := f.PendingDonations[i]
		donations[i] = &d
	}
	if _, err := s.donations.InsertAll(ctx, donations); err != nil {
		return fmt.Errorf("write donations of fund %s: %w", f.ID, err)
	}
	entries := make([]*Entry, len(f.Pending))
	for i := range f.Pending {
		e := f.Pending[i]
		entries[i] = &e
	}
	if _, err := s.entries.InsertAll(ctx, entries); err != nil {
		return fmt.Errorf("write the journal of fund %s: %w", f.ID, err)
	}
	return nil
}

// booked says which of some entries the journal has; see [Service.change].
func (s *Service) booked(ctx context.Context, ids []string) (map[string]bool, error) {
	found, err := s.entries.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool, len(found))
	for _, e := range found {
		out[e.ID] = true
	}
	return out, nil
}

// Donate enters a donation. Errors: [FieldError], [ErrClosed], [store.ErrNotFound].
func (s *Service) Donate(ctx context.Context, by, fund string, n NewDonation) (*Donation, error) {
	now := store.Millis(s.cfg.Now())
	donor, err := providers.CheckText("donor", "捐赠人", "The donor", n.Donor, 0, 100)
	if err != nil {
		return nil, err
	}
	note, err := providers.CheckText("note", "备注", "The note", n.Note, 0, 500)
	if err != nil {
		return nil, err
	}
	if n.Fen < 1 || n.Fen > maxFen {
		return nil, FieldError{Field: "fen", ZH: "金额应大于 0 且不超过 1000 亿元，请改正。", EN: "The amount is above 0 and at most ¥100,000,000,000: correct it."}
	}
	d := Donation{Meta: store.Meta{ID: store.NewID()}, Fen: n.Fen, Category: n.Category, Division: n.Division, AtMs: n.AtMs, Note: note, EnteredBy: by}
	if n.Key != "" {
		d.ID = "d" + keyed("donation", fund, n.Key)
	}
	if d.DonorSealed, err = s.cfg.Vault.Seal(donorField, d.ID, donor); err != nil {
		return nil, fmt.Errorf("seal a donor of fund %s: %w", fund, err)
	}
	var made *Donation
	_, err = s.change(ctx, fund, func(f *Fund) error {
		if n.Key != "" {
			switch known, err := s.donations.Get(ctx, d.ID); {
			case err == nil:
				made = known
				return errSame
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		if err := s.checkDonation(f, d, now); err != nil {
			return err
		}
		made, err = f.donate(d, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("enter a donation to fund %s: %w", fund, err)
	}
	return made, nil
}

func (s *Service) checkDonation(f *Fund, d Donation, now int64) error {
	switch {
	case f.Status != Open:
		return ErrClosed
	case d.AtMs < 1 || d.AtMs > now:
		return FieldError{Field: "at_ms", ZH: "到账日期不得晚于今天，请改正。", EN: "The day it came in is not later than today: correct it."}
	case MonthOf(d.AtMs) <= f.ClosedThrough:
		return FieldError{Field: "at_ms", ZH: "该月已结账，不能再记入；请填写未结账月份的日期，并在备注中说明。",
			EN: "That month is closed: give a day of an open month and say in the note when it came in.", Err: ErrMonth}
	case d.AtMs < f.CreatedMs-yearMs:
		return FieldError{Field: "at_ms", ZH: "到账日期不得早于基金设立前一年，请改正。", EN: "The day it came in is more than a year before the fund was made: correct it."}
	}
	if d.Category != "" {
		if _, ok := providers.CategoryByID(d.Category); !ok {
			return noCategory("category")
		}
		if len(f.Categories) > 0 && !slices.Contains(f.Categories, d.Category) {
			return FieldError{Field: "category", ZH: "该基金的用途不含这一类资源，请从基金的用途中选择。", EN: "The fund is not for this kind of aid: choose one that it is for."}
		}
	}
	if d.Division != "" {
		if !s.known(d.Division) {
			return noDivision("division")
		}
		if len(f.Divisions) > 0 && !slices.ContainsFunc(f.Divisions, func(in string) bool { return regions.Within(d.Division, in) }) {
			return FieldError{Field: "division", ZH: "该区划不在基金的区划之内，请改选。", EN: "The division is not within those of the fund: choose another."}
		}
	}
	if f.ReceivedFen > maxFen-d.Fen {
		return FieldError{Field: "fen", ZH: "基金总额将超过 1000 亿元，请另设基金。", EN: "The fund would hold more than ¥100,000,000,000: make another fund."}
	}
	return nil
}

const yearMs = 366 * 24 * 60 * 60 * 1000

// Correct takes back an amount of a donation that was entered wrongly, by a
// reversing entry with a reason; only what is unused can be taken back. key
// makes repeating safe. Errors: [FieldError], [store.ErrNotFound].
func (s *Service) Correct(ctx context.Context, by, fund, donation string, fen int64, reason, key string) (*Fund, error) {
	reason, err := providers.CheckText("reason", "原因", "The reason", reason, 2, 200)
	if err != nil {
		return nil, err
	}
	if fen < 1 {
		return nil, FieldError{Field: "fen", ZH: "请填写要冲回的金额。", EN: "Give the amount to take back."}
	}
	if key == "" {
		key = store.NewID()
	}
	id := keyed("correction", donation, key)
	f, err := s.change(ctx, fund, func(f *Fund) error {
		d, err := s.donations.Get(ctx, donation)
		if err != nil {
			return err
		}
		if d.Fund != f.ID {
			return store.ErrNotFound
		}
		first := fmt.Sprintf("%s.c.%s.0", f.ID, id)
		if done, err := s.booked(ctx, []string{first}); err != nil || done[first] {
			return cmpErr(err, errSame)
		}
		return f.correct(d, fen, id, by, reason, store.Millis(s.cfg.Now()))
	})
	if err != nil {
		return nil, fmt.Errorf("correct donation %s: %w", donation, err)
	}
	return f, nil
}

// cmpErr is the first of two errors that is one.
func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// Reserve sets aside what an offer is worth, for [providers.Service.Post]; again
// changes nothing. Errors: [FieldError].
func (s *Service) Reserve(ctx context.Context, by string, o *providers.Offer) error {
	t, err := TermsOf(o)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, o.Fund, func(f *Fund) error {
		if d, ok := f.Draw(t.Offer); ok {
			if d.ValueFen != t.ValueFen || d.QtyUnits != t.QtyUnits || d.Category != t.Category {
				return fmt.Errorf("reserve for offer %s anew: %w", t.Offer, store.ErrConflict)
			}
			return errSame
		}
		first := entryOfOffer(f.ID, t.Offer, 0)
		if done, err := s.booked(ctx, []string{first}); err != nil || done[first] {
			return cmpErr(err, errSame)
		}
		return f.reserve(t, by, store.Millis(s.cfg.Now()))
	})
	if errors.Is(err, store.ErrNotFound) {
		return FieldError{Field: "fund", ZH: "没有这一基金，请从列表中选择。", EN: "There is no such fund: choose one from the list.", Err: err}
	}
	return err
}

// spendAtOnce is how many handovers one change of a fund books.
const spendAtOnce = 100

// Spend books handovers; those that are booked already are passed over. Where
// one does not fit the books the others are booked, and the answer is [ErrBooks].
func (s *Service) Spend(ctx context.Context, fund string, given []Given) error {
	var refused []error
	for some := range slices.Chunk(given, spendAtOnce) {
		ids := make([]string, len(some))
		for i, g := range some {
			ids[i] = entryOfHandover(fund, g.Allocation, 0)
		}
		var odd error
		_, err := s.change(ctx, fund, func(f *Fund) error {
			odd = nil
			done, err := s.booked(ctx, ids)
			if err != nil {
				return err
			}
			before := f.Seq
			for i, g := range some {
				if done[ids[i]] || f.pends(ids[i]) {
					continue
				}
				if err := f.spend(g, store.Millis(s.cfg.Now())); err != nil {
					odd = fmt.Errorf("book handover %s of fund %s: %w", g.Allocation, fund, err)
				}
			}
			if f.Seq == before {
				return errSame
			}
			return nil
		})
		if err != nil {
			return err
		}
		refused = append(refused, odd)
	}
	return errors.Join(refused...)
}

// Recover takes back what was paid for units of a handover that came back, and
// sets it aside for the offer again, also one that was settled. Again changes
// nothing. Errors: [ErrBooks].
func (s *Service) Recover(ctx context.Context, fund string, t Terms, k Kept) error {
	_, err := s.change(ctx, fund, func(f *Fund) error {
		booked, err := s.entriesOf(ctx, f, "allocation", k.Allocation)
		if err != nil {
			return err
		}
		if units, _ := stillPaid(f, booked); units <= k.QtyUnits {
			return errSame
		}
		if _, open := f.Draw(t.Offer); !open {
			all, err := s.entriesOf(ctx, f, "offer", t.Offer)
			if err != nil {
				return err
			}
			f.redraw(t, all)
		}
		if changed, err := f.recover(t, k, booked, store.Millis(s.cfg.Now())); err != nil || !changed {
			return cmpErr(err, errSame)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take back from handover %s of fund %s: %w", k.Allocation, fund, err)
	}
	return nil
}

// entriesOf are a fund's entries of an offer or allocation, in order.
func (s *Service) entriesOf(ctx context.Context, f *Fund, index, id string) (out []*Entry, err error) {
	err = s.entries.Each(ctx, store.Query{Index: index, Equal: []any{id}}, func(e *Entry) error {
		if e.Fund == f.ID {
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// GiveBack returns the money of an offer's units that expired or were withdrawn;
// total is how many they are by now. Again changes nothing. Errors: [ErrBooks].
func (s *Service) GiveBack(ctx context.Context, fund, offer string, total int64) error {
	_, err := s.change(ctx, fund, func(f *Fund) error {
		changed, err := f.giveBack(offer, total, store.Millis(s.cfg.Now()))
		if err == nil && !changed {
			return errSame
		}
		return err
	})
	return err
}

// SetStatus closes a fund or opens it again: a closed one takes no donations and
// carries no new offers. Again changes nothing. Errors: [FieldError].
func (s *Service) SetStatus(ctx context.Context, fund string, status Status) (*Fund, error) {
	if status != Open && status != Closed {
		return nil, FieldError{Field: "status", ZH: "请选择启用(open)或关闭(closed)。", EN: "Choose open or closed."}
	}
	return s.change(ctx, fund, func(f *Fund) error {
		if f.Status == status {
			return errSame
		}
		f.Status = status
		return nil
	})
}

// Propose begins to close a month: a second person confirms it. Alone says that
// the organisation has no second account; the month is closed at once then, and
// the closing says so. Errors: [ErrMonth].
func (s *Service) Propose(ctx context.Context, by, fund, month string, alone bool) (*Fund, error) {
	now := store.Millis(s.cfg.Now())
	return s.change(ctx, fund, func(f *Fund) error {
		if month != "" && month == f.ClosedThrough {
			return errSame
		}
		if month == "" || month != f.NextClosing(now) {
			return ErrMonth
		}
		f.Proposed = &Closing{Month: month, ProposedBy: by, ProposedMs: now}
		if alone {
			f.close(by, now, true)
		}
		return nil
	})
}

// Confirm closes the month that somebody else has proposed. Again changes nothing.
// Errors: [ErrMonth], [ErrSamePerson].
func (s *Service) Confirm(ctx context.Context, by, fund, month string) (*Fund, error) {
	now := store.Millis(s.cfg.Now())
	return s.change(ctx, fund, func(f *Fund) error {
		switch {
		case month != "" && month == f.ClosedThrough:
			return errSame
		case f.Proposed == nil || f.Proposed.Month != month || month != f.NextClosing(now):
			return ErrMonth
		case f.Proposed.ProposedBy == by:
			return ErrSamePerson
		}
		f.close(by, now, false)
		return nil
	})
}

// close closes the month that is proposed and keeps its figures.
func (f *Fund) close(by string, nowMs int64, alone bool) {
	c := *f.Proposed
	c.ConfirmedBy, c.ConfirmedMs, c.Alone = by, nowMs, alone
	c.Opening, c.Booked = f.Before(c.Month), f.In(c.Month)
	c.Balance = c.Opening.after(c.Booked)
	f.Closings = append(f.Closings, c)
	f.ClosedThrough, f.Proposed = c.Month, nil
}
