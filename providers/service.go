package providers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers/eligibility"
)

// Config is what a [Service] needs.
type Config struct {
	Record store.Record
	Now    func() time.Time
	// Known says whether a division exists; nil: every well-formed code does.
	Known func(code string) bool
	// Counties lists the 12-digit codes of all counties, for offers that serve
	// a city or a province; nil: such offers are refused.
	Counties func() []string
	// Group says whether a group of residents exists; nil: every one does.
	Group func(id string) bool
	// Names says what groups and divisions are called, for the sentences of rules;
	// where it does not know how, an id is its own name. The rest of it is not used.
	Names eligibility.Names
	// Weight says how much of a lot a county should get, relative to others:
	// how many residents or villages it has within the divisions served; nil:
	// all counties are equal.
	Weight func(county string, divisions []string) int64
	// Funds sets money aside for offers that draw on a fund; nil: such offers
	// are refused.
	Funds Funds
}

// Service keeps organisations, offers and shares. It is safe for concurrent use.
type Service struct {
	config Config
	orgs   store.Collection[Organisation, *Organisation]
	offers store.Collection[Offer, *Offer]
	shares store.Collection[Share, *Share]
	moves  store.Collection[Move, *Move]
	drafts store.Collection[Draft, *Draft]
	images store.Collection[Image, *Image]
}

func organisationsSchema() store.Schema {
	return store.Schema{Name: "organisations", Indexes: []store.Index{
		{Name: "credit_code", Fields: []string{"credit_code"}, Unique: true},
		{Name: "status", Fields: []string{"status", "created_ms"}},
		{Name: "untold", Fields: []string{"untold"}},
	}}
}

func offersSchema() store.Schema {
	return store.Schema{Name: "offers", Indexes: []store.Index{
		{Name: "organisation", Fields: []string{"organisation", "created_ms"}},
		{Name: "status", Fields: []string{"status", "created_ms"}},
		{Name: "changed", Fields: []string{"changed_ms"}},
	}}
}

// SharesSchema declares the collection of shares, which app/care writes too.
func SharesSchema() store.Schema {
	return store.Schema{Name: "shares", Indexes: []store.Index{
		{Name: "county", Fields: []string{"county", "closed", "until_ms"}},
		{Name: "offer", Fields: []string{"offer"}},
	}}
}

// Schemas declares the collections of this package.
func Schemas() []store.Schema {
	return []store.Schema{organisationsSchema(), offersSchema(), SharesSchema(), MovesSchema(), draftsSchema(), imagesSchema()}
}

// New makes a service. Record and Now are required.
func New(c Config) *Service {
	return &Service{
		config: c,
		orgs:   store.Of[Organisation](c.Record, organisationsSchema()),
		offers: store.Of[Offer](c.Record, offersSchema()),
		shares: store.Of[Share](c.Record, SharesSchema()),
		moves:  store.Of[Move](c.Record, MovesSchema()),
		drafts: store.Of[Draft](c.Record, draftsSchema()),
		images: store.Of[Image](c.Record, imagesSchema()),
	}
}

// ShareCollection is the handle through which app/care changes shares.
func (s *Service) ShareCollection() store.Collection[Share, *Share] { return s.shares }

// Join registers an organisation, which then waits for a decision.
// Errors: [FieldError]; [store.ErrDuplicate] for a credit code that is known.
func (s *Service) Join(ctx context.Context, by string, n NewOrganisation) (*Organisation, error) {
	o, err := s.checkOrganisation(n)
	if err != nil {
		return nil, err
	}
	o.Meta = store.Meta{ID: store.NewID()}
	o.Status = Pending
	o.CreatedMs, o.CreatedBy = store.Millis(s.config.Now()), by
	if err := s.orgs.Insert(ctx, o); err != nil {
		return nil, err
	}
	return o, nil
}

var errUnchanged = errors.New("unchanged")

// Decide approves or suspends an organisation, and keeps who did so, when and
// why. Deciding what is decided already changes nothing.
// Errors: [FieldError] for another status, a note above 500 characters, or a
// suspension without a reason; [store.ErrNotFound].
func (s *Service) Decide(ctx context.Context, by, id string, status Status, note string) (*Organisation, error) {
	if status != Approved && status != Suspended {
		return nil, FieldError{"status", "请选择批准(approved)或停用(suspended)。",
			"Choose approved or suspended.", nil}
	}
	least := 0
	if status == Suspended { // the organisation reads why
		least = 2
	}
	note, err := text("note", "原因", "The reason", note, least, 500)
	if err != nil {
		return nil, err
	}
	var seen *Organisation
	changed, err := s.orgs.Change(ctx, id, func(o *Organisation) error {
		if seen = o; o.Status == status {
			return errUnchanged
		}
		o.Status = status
		o.Decisions = append(o.Decisions, Decision{AtMs: store.Millis(s.config.Now()), By: by, Status: status, Note: note})
		o.Untold = true
		return nil
	})
	if errors.Is(err, errUnchanged) {
		changed, err = seen, nil
	}
	if err != nil {
		return nil, err
	}
	return changed, s.finish(ctx, changed)
}

// FinishDecisions marks the open offers of organisations that were decided on
// by a process that died before it did so.
func (s *Service) FinishDecisions(ctx context.Context) error {
	return s.orgs.Each(ctx, store.Query{Index: "untold", Equal: []any{true}, Limit: offersPerPage}, func(o *Organisation) error {
		return s.finish(ctx, o)
	})
}

// finish marks the open offers of an organisation, then that this is done for
// the decisions that o knows of.
func (s *Service) finish(ctx context.Context, o *Organisation) error {
	if err := s.touch(ctx, o.ID); err != nil {
		return err
	}
	_, err := s.orgs.Change(ctx, o.ID, func(now *Organisation) error {
		if !now.Untold || len(now.Decisions) != len(o.Decisions) {
			return errUnchanged
		}
		now.Untold = false
		return nil
	})
	return unchangedIsFine(err)
}

// touch has every process look at an organisation's open offers again: those
// of a suspended one stop, those of one approved again go on.
func (s *Service) touch(ctx context.Context, organisation string) error {
	var ids []string
	if err := s.offers.Each(ctx, store.Query{
		Index: "organisation", Equal: []any{organisation}, Limit: offersPerPage,
	}, func(o *Offer) error {
		if o.Status == OfferOpen {
			ids = append(ids, o.ID)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := s.offers.Change(ctx, id, func(o *Offer) error {
			o.ChangedMs = store.Millis(s.config.Now())
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Get reads an organisation. Errors: [store.ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*Organisation, error) {
	return s.orgs.Get(ctx, id)
}

// Named reads organisations by id; those that are missing are left out.
func (s *Service) Named(ctx context.Context, ids []string) (map[string]*Organisation, error) {
	all, err := s.orgs.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*Organisation, len(all))
	for _, o := range all {
		out[o.ID] = o
	}
	return out, nil
}

// ByCreditCode finds an organisation. Errors: [FieldError] around
// [ErrCreditCode]; [store.ErrNotFound].
func (s *Service) ByCreditCode(ctx context.Context, code string) (*Organisation, error) {
	code, err := ParseCreditCode(code)
	if err != nil {
		return nil, err
	}
	page, _, err := s.orgs.Find(ctx, store.Query{Index: "credit_code", Equal: []any{code}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, fmt.Errorf("read organisation by credit code: %w", store.ErrNotFound)
	}
	return page[0], nil
}

// List returns one page of organisations in the order in which they joined;
// an empty status means all.
func (s *Service) List(ctx context.Context, status Status, after string, limit int) (page []*Organisation, next string, err error) {
	q := store.Query{After: after, Limit: limit}
	if status != "" {
		q.Index, q.Equal = "status", []any{string(status)}
	}
	return s.orgs.Find(ctx, q)
}

// Post has the offer's fund, if it has one, set its worth aside, then writes the
// offer with its split over counties, then the shares. A crash before the offer
// is mended by [Service.NeverPosted], one after it by [Service.EnsureShares].
// Errors: [ErrNotApproved]; [ErrOffer], which names the field at fault.
func (s *Service) Post(ctx context.Context, by string, org *Organisation, n NewOffer) (*Offer, error) {
	org, err := s.orgs.Get(ctx, org.ID) // as it is now
	if err != nil {
		return nil, err
	}
	if org.Status != Approved {
		return nil, fmt.Errorf("post an offer for %s: %w", org.ID, ErrNotApproved)
	}
	o, places, err := s.checkOffer(n)
	if err == nil && n.Wish == "" { // who takes up a wish has chosen where
		err = org.serves(n.Divisions)
	}
	if err == nil {
		err = s.checkRule(ctx, o, n)
	}
	if err != nil {
		return nil, err
	}
	if err := s.useImages(ctx, org.ID, n.Images); err != nil {
		return nil, err
	}
	o.Images = slices.Clone(n.Images)
	if err := s.partnersExist(ctx, o.Handover); err != nil {
		return nil, err
	}
	o.Meta = store.Meta{ID: store.NewID()}
	if n.Key != "" {
		if o.ID, err = s.keyedID(ctx, org.ID, n); err != nil {
			return nil, err
		}
	}
	o.Organisation, o.Kind = org.ID, org.Kind
	o.Revision, o.Status = 1, OfferOpen
	o.CreatedMs, o.CreatedBy = store.Millis(s.config.Now()), by
	o.ChangedMs = o.CreatedMs
	s.divide(o, places)
	if err := s.reserve(ctx, by, o); err != nil {
		return nil, err
	}
	err = s.offers.Insert(ctx, o)
	if n.Key != "" && errors.Is(err, store.ErrDuplicate) {
		known, failed := s.offers.Get(ctx, o.ID)
		if failed == nil && len(known.Lots) == 0 { // given up meanwhile, see NeverPosted: a repeat takes the next id
			return nil, err
		}
		o, err = known, failed
	}
	if err != nil {
		return nil, err
	}
	if err := s.EnsureShares(ctx, o); err != nil {
		return nil, err
	}
	return o, nil
}

// Check says what an offer would be, posted now: its lots in their order, and
// what was left out filled in. Nothing is written.
// Errors: [ErrOffer].
func (s *Service) Check(n NewOffer) (*Offer, error) {
	o, _, err := s.checkOffer(n)
	return o, err
}

// KeyedID is the id of the offer that an organisation posts under a key.
func KeyedID(organisation, key string) string {
	sum := sha256.Sum256([]byte("offer\x00" + organisation + "\x00" + key))
	return "o" + hex.EncodeToString(sum[:16])
}

// keyedID is the id under which an offer with a key is posted. One that draws on a
// fund, and was given up because its first try stopped for long, has the next.
func (s *Service) keyedID(ctx context.Context, organisation string, n NewOffer) (string, error) {
	for key := n.Key; ; key += "\x00again" {
		id := KeyedID(organisation, key)
		if n.Fund == "" {
			return id, nil
		}
		o, err := s.offers.Get(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return id, nil
		case err != nil:
			return "", err
		case len(o.Lots) > 0:
			return id, nil
		}
	}
}

// place is where a part of an offer's lots goes: the counties that it is split
// over, and how.
type place struct {
	counties []string
	*splitter
}

func (s *Service) place(counties, divisions []string) place {
	weights := make([]int64, len(counties))
	for i, county := range counties {
		weights[i] = 1
		if s.config.Weight != nil {
			weights[i] = s.config.Weight(county, divisions)
		}
	}
	return place{counties, newSplitter(weights)}
}

// divide numbers the lots, sets aside what is kept of each, and splits the parts
// over the counties: places has one for what is kept for nobody, and one for
// each of the offer's Kept. A county whose part is 0 has an empty share, to which
// units can be moved.
func (s *Service) divide(o *Offer, places []place) {
	parts := []int64{1000}
	for _, k := range o.Kept {
		parts[0] -= k.PerMille
		parts = append(parts, k.PerMille)
	}
	aside := newSplitter(parts)
	var lots []OfferLot
	for i, whole := range o.Lots {
		for k, units := range aside.split(whole.QtyUnits) {
			if units == 0 {
				continue
			}
			lot := whole
			lot.ID, lot.Kept, lot.QtyUnits = fmt.Sprintf("%s-%d", o.ID, i+1), int64(k), units
			if k > 0 {
				lot.ID += fmt.Sprintf("k%d", k)
			}
			lot.Shares = make(map[string]int64, len(places[k].counties))
			for j, units := range places[k].split(units) {
				lot.Shares[places[k].counties[j]] = units
			}
			lots = append(lots, lot)
		}
	}
	o.Lots = lots
}

// EnsureShares writes those shares of an offer that are missing; again changes
// nothing.
func (s *Service) EnsureShares(ctx context.Context, o *Offer) error {
	now := store.Millis(s.config.Now())
	var missing []*Share
	flush := func() error {
		_, err := s.shares.InsertAll(ctx, missing) // those that are there may have moved on
		missing = missing[:0]
		return err
	}
	for _, lot := range o.Lots {
		for county, units := range lot.Shares {
			missing = append(missing, &Share{
				Meta:  store.Meta{ID: ShareID(lot.ID, county)},
				Offer: o.ID, Lot: lot.ID, County: county, Category: o.Category, Organisation: o.Organisation,
				QtyUnits: units, FromMs: lot.FromMs, UntilMs: lot.UntilMs, UpdatedMs: now,
			})
			if len(missing) == sharesPerInsert {
				if err := flush(); err != nil {
					return fmt.Errorf("write shares of offer %s: %w", o.ID, err)
				}
			}
		}
	}
	if err := flush(); err != nil {
		return fmt.Errorf("write shares of offer %s: %w", o.ID, err)
	}
	return nil
}

// Offer reads an offer. Errors: [store.ErrNotFound].
func (s *Service) Offer(ctx context.Context, id string) (*Offer, error) {
	return s.offers.Get(ctx, id)
}

// Offers returns one page of an organisation's offers, newest first; an empty
// organisation means all.
func (s *Service) Offers(ctx context.Context, organisation, after string, limit int) (page []*Offer, next string, err error) {
	q := store.Query{After: after, Limit: limit, Desc: true}
	if organisation != "" {
		q.Index, q.Equal = "organisation", []any{organisation}
	}
	return s.offers.Find(ctx, q)
}

// OpenOffers visits every offer that is not withdrawn, oldest first; also those
// whose lots are all over.
func (s *Service) OpenOffers(ctx context.Context, visit func(*Offer) error) error {
	return s.offers.Each(ctx, store.Query{Index: "status", Equal: []any{string(OfferOpen)}, Limit: offersPerPage}, visit)
}

// ChangedOffers visits the offers that were posted or withdrawn at sinceMs
// (Unix ms) or later, so that a process can follow what others do.
func (s *Service) ChangedOffers(ctx context.Context, sinceMs int64, visit func(*Offer) error) error {
	return s.offers.Each(ctx, store.Query{Index: "changed", From: sinceMs, Limit: offersPerPage}, visit)
}

// Shares reads all shares of an offer.
func (s *Service) Shares(ctx context.Context, offerID string) ([]*Share, error) {
	var out []*Share
	err := s.shares.Each(ctx, store.Query{Index: "offer", Equal: []any{offerID}}, func(x *Share) error {
		out = append(out, x)
		return nil
	})
	return out, err
}

// MoveCollection is the handle through which app/care writes moves.
func (s *Service) MoveCollection() store.Collection[Move, *Move] { return s.moves }

// Moves visits an offer's moves between counties, oldest first.
func (s *Service) Moves(ctx context.Context, offerID string, visit func(*Move) error) error {
	return s.moves.Each(ctx, store.Query{Index: "offer", Equal: []any{offerID}}, visit)
}

// MarkWithdrawn says that a provider takes an offer back; app/care closes its
// shares. Again changes nothing. Errors: [store.ErrNotFound].
func (s *Service) MarkWithdrawn(ctx context.Context, by, id string) (*Offer, error) {
	var seen *Offer
	changed, err := s.offers.Change(ctx, id, func(o *Offer) error {
		if seen = o; o.Status == OfferIsWithdrawn {
			return errUnchanged
		}
		o.Status, o.WithdrawnMs, o.WithdrawnBy = OfferIsWithdrawn, store.Millis(s.config.Now()), by
		o.ChangedMs = o.WithdrawnMs
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return seen, nil
	}
	return changed, err
}
