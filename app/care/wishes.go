package care

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// ErrWishTaken says that another giver has taken the wish up, or that it is not
// shown any more.
var ErrWishTaken = errors.New("the wish is not to be had any more")

// WishState is where a wish stands.
type WishState string

// The states of a wish.
const (
	WishShown  WishState = "shown"  // givers see it
	WishTaken  WishState = "taken"  // one of them has it, and nobody else
	WishGiven  WishState = "given"  // handed over
	WishLapsed WishState = "lapsed" // its time is over, or the giver took it back; may be shown again
	WishHidden WishState = "hidden" // taken off the page; may be shown again
)

// Wish is a resident's need of the category [providers.WishCategory] as givers
// see it: in words that a caseworker has checked and the resident agreed to,
// with the town and nothing else of the person.
type Wish struct {
	store.Meta `bson:",inline"` // _id follows from the need's, and does not tell it
	Need       string           `json:"need"`
	Resident   string           `json:"resident"`
	County     string           `json:"county"`
	Division   string           `json:"division"`
	TextZH     string           `json:"text_zh"`
	TextEN     string           `json:"text_en"`
	State      WishState        `json:"state"`
	ShownMs    int64            `json:"shown_ms"`
	ShownBy    string           `json:"shown_by"` // who saw the resident agree
	UntilMs    int64            `json:"until_ms"` // of the need; 0: no end
	// Nth counts how often it was taken up; with the organisation it names the
	// offer, so that a repeat after a crash posts the same one.
	Nth          int64              `json:"nth"`
	Organisation string             `json:"organisation"`
	Offer        string             `json:"offer"`
	TakenMs      int64              `json:"taken_ms"`
	TakenBy      string             `json:"taken_by"`
	Handover     providers.Handover `json:"handover"`
	GivesUntilMs int64              `json:"gives_until_ms"`
	EndedMs      int64              `json:"ended_ms"`
}

var wishSchema = store.Schema{Name: "wishes", Indexes: []store.Index{
	{Name: "state", Fields: []string{"state", "shown_ms"}},
	{Name: "county", Fields: []string{"county", "shown_ms"}},
	{Name: "organisation", Fields: []string{"organisation", "taken_ms"}},
	{Name: "resident", Fields: []string{"resident", "shown_ms"}},
}}

// WishView is a wish as it is shown: to givers without Need.
type WishView struct {
	ID      string    `json:"id"`
	Need    string    `json:"need,omitempty" description:"To caseworkers only."`
	Town    string    `json:"town"`
	TextZH  string    `json:"text_zh"`
	TextEN  string    `json:"text_en"`
	State   WishState `json:"state" enum:"shown,taken,given,lapsed,hidden"`
	ShownMs int64     `json:"shown_ms"`
	UntilMs int64     `json:"until_ms" description:"0: no end."`
	TakenMs int64     `json:"taken_ms"`
	EndedMs int64     `json:"ended_ms"`
	Offer   string    `json:"offer,omitempty" description:"To who took it up, and to caseworkers."`
}

// NewWish is how a wish is to be shown.
type NewWish struct {
	TextZH string `json:"text_zh" required:"true" minLength:"4" maxLength:"60" description:"Without name, number or address."`
	TextEN string `json:"text_en" maxLength:"120"`
	Agreed bool   `json:"agreed" required:"true" description:"The resident agrees that givers see these words and the town."`
}

// Taking is how a giver fulfils a wish.
type Taking struct {
	Handover providers.Handover `json:"handover" required:"true" description:"pickup, delivery or onsite."`
	UntilMs  int64              `json:"until_ms" description:"Until when, Unix ms: 1 to 90 days from now; 0: 30 days."`
}

// Bounds on wishes.
const (
	shortestWish = 4 // characters
	longestWish  = 60
	longestEN    = 120
	digitsInRow  = 5 // what may be a house, phone or card number
	defaultTake  = 30 * 24 * time.Hour
	shortestTake = 24 * time.Hour
	longestTake  = 90 * 24 * time.Hour
)

// WishID is the id of the wish that a need is shown as.
func WishID(need string) string {
	sum := sha256.Sum256([]byte("wish\x00" + need))
	return "w" + hex.EncodeToString(sum[:16])
}

func checkWish(n *NewWish, name string) error {
	fault := func(field, zh, en string) error {
		return &residents.FieldError{Field: field, ZH: zh, EN: en}
	}
	n.TextZH, n.TextEN = strings.TrimSpace(n.TextZH), strings.TrimSpace(n.TextEN)
	if c := utf8.RuneCountInString(n.TextZH); c < shortestWish || c > longestWish || !utf8.ValidString(n.TextZH) {
		return fault("text_zh", "心愿请写 4 到 60 个字", "a wish has 4 to 60 characters")
	}
	if utf8.RuneCountInString(n.TextEN) > longestEN || !utf8.ValidString(n.TextEN) {
		return fault("text_en", "英文最多 120 个字符", "the English text has at most 120 characters")
	}
	for field, text := range map[string]string{"text_zh": n.TextZH, "text_en": n.TextEN} {
		row := 0
		for _, r := range text {
			if row++; r < '0' || r > '9' && r < '０' || r > '９' {
				row = 0
			}
			if row >= digitsInRow {
				return fault(field, "请不要写电话、证件号、卡号或门牌号", "leave out numbers of phones, papers, cards and houses")
			}
		}
		if name != "" && strings.Contains(text, name) {
			return fault(field, "请不要写居民的姓名", "leave out the resident's name")
		}
	}
	if !n.Agreed {
		return fault("agreed", "需要居民同意公开这段文字和所在乡镇", "the resident has to agree that these words and the town are shown")
	}
	return nil
}

// ShowWish shows a need to givers, or shows it with other words, or again after
// it lapsed or was hidden. Who does it has seen the resident agree.
//
// Errors: [residents.FieldError]; [ErrNotYours]; [ErrEnded] for a need that has
// ended; [ErrWishTaken] while somebody has it; [store.ErrNotFound].
func (s *Service) ShowWish(ctx context.Context, p accounts.Principal, need string, w NewWish) (*WishView, error) {
	n, err := s.wishedBy(ctx, p, "show_wish", need)
	if err != nil {
		return nil, err
	}
	r, err := s.residents.Get(ctx, n.Resident)
	if err != nil {
		return nil, err
	}
	person, err := s.residents.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkWish(&w, person.Name); err != nil {
		return nil, err
	}
	if !r.Consent.Allows(residents.ConsentMatching) {
		return nil, &residents.FieldError{Field: "agreed", ZH: "居民尚未同意参与匹配，请先登记同意", EN: "the resident has not agreed to be matched: record that consent first"}
	}
	now := s.now().UnixMilli()
	if !n.State.Live() || n.State == residents.NeedPromised || n.UntilMs != 0 && n.UntilMs <= now {
		return nil, fmt.Errorf("show need %s: %w", need, ErrEnded)
	}
	shown := &Wish{
		Meta: store.Meta{ID: WishID(n.ID)}, Need: n.ID, Resident: n.Resident, County: n.County, Division: n.Division,
		TextZH: w.TextZH, TextEN: w.TextEN, State: WishShown, ShownMs: now, ShownBy: p.Account, UntilMs: n.UntilMs,
	}
	err = s.wishes.Insert(ctx, shown)
	if errors.Is(err, store.ErrDuplicate) {
		if known, failed := s.wishes.Get(ctx, shown.ID); failed == nil {
			if failed = s.settleWish(ctx, known); failed != nil {
				return nil, failed
			}
		}
		shown, err = s.wishes.Change(ctx, shown.ID, func(x *Wish) error {
			if x.State == WishTaken || x.State == WishGiven {
				return fmt.Errorf("show need %s: %w", need, ErrWishTaken)
			}
			x.TextZH, x.TextEN, x.State, x.ShownMs, x.ShownBy, x.UntilMs, x.EndedMs = w.TextZH, w.TextEN, WishShown, now, p.Account, n.UntilMs, 0
			x.County, x.Division, x.Organisation, x.Offer = n.County, n.Division, "", ""
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	return s.wishAudited(ctx, p, "show_wish", shown)
}

// HideWish takes a wish off the page of wishes; one that is not shown stays as
// it is. Errors: [ErrNotYours]; [ErrWishTaken]; [store.ErrNotFound].
func (s *Service) HideWish(ctx context.Context, p accounts.Principal, need string) (*WishView, error) {
	if _, err := s.wishedBy(ctx, p, "hide_wish", need); err != nil {
		return nil, err
	}
	w, err := s.wishes.Change(ctx, WishID(need), func(x *Wish) error {
		if x.State == WishTaken {
			return fmt.Errorf("hide need %s: %w", need, ErrWishTaken)
		}
		if x.State == WishShown {
			x.State, x.EndedMs = WishHidden, s.now().UnixMilli()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.wishAudited(ctx, p, "hide_wish", w)
}

// wishedBy reads a need of the category of wishes that the principal answers for.
func (s *Service) wishedBy(ctx context.Context, p accounts.Principal, act, need string) (*residents.Need, error) {
	n, err := s.needs.Get(ctx, need)
	if err != nil {
		return nil, err
	}
	if err := s.within(ctx, p, act, need, n.Resident, n.Division); err != nil {
		return nil, err
	}
	if n.Category != providers.WishCategory {
		return nil, &residents.FieldError{Field: "category", ZH: "只有“微心愿”类的需求可以公开认领", EN: "only needs of the category wish can be shown to givers"}
	}
	return n, nil
}

func (s *Service) wishAudited(ctx context.Context, p accounts.Principal, act string, w *Wish) (*WishView, error) {
	if err := s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: act, Object: w.ID,
		Subject: w.Resident, Division: w.Division, Outcome: "ok",
	}); err != nil {
		return nil, err
	}
	v := s.wishView(p, w)
	return &v, nil
}

// wishView is what a principal may see of a wish.
func (s *Service) wishView(p accounts.Principal, w *Wish) WishView {
	v := WishView{
		ID: w.ID, Town: s.tree().Name(townOf(w.Division)), TextZH: w.TextZH, TextEN: w.TextEN, State: w.State,
		ShownMs: w.ShownMs, UntilMs: w.UntilMs, TakenMs: w.TakenMs, EndedMs: w.EndedMs,
	}
	switch {
	case p.Role == accounts.Provider && p.Organisation == w.Organisation:
		v.Offer = w.Offer
	case p.Role != accounts.Provider && p.Sees(w.Division):
		v.Offer, v.Need = w.Offer, w.Need
	}
	return v
}

// ShownWishes are those that may be taken up, the oldest first. What is asked
// for by nobody any more is left out.
func (s *Service) ShownWishes(ctx context.Context, p accounts.Principal, after string, limit int) ([]WishView, string, error) {
	return s.wishList(ctx, p, store.Query{Index: "state", Equal: []any{string(WishShown)}, After: after, Limit: limit}, func(w *Wish) bool {
		return w.State == WishShown
	})
}

// TakenWishes are those that an organisation has taken up, the newest first,
// with what became of them.
func (s *Service) TakenWishes(ctx context.Context, p accounts.Principal, organisation, after string, limit int) ([]WishView, string, error) {
	return s.wishList(ctx, p, store.Query{Index: "organisation", Equal: []any{organisation}, Desc: true, After: after, Limit: limit}, func(w *Wish) bool {
		return w.Organisation == organisation
	})
}

// WishesOf are all wishes of the division that a caseworker answers for, the
// newest first, with what became of them.
func (s *Service) WishesOf(ctx context.Context, p accounts.Principal, county, after string, limit int) ([]WishView, string, error) {
	return s.wishList(ctx, p, store.Query{Index: "county", Equal: []any{county}, Desc: true, After: after, Limit: limit}, func(w *Wish) bool {
		return p.Sees(w.Division)
	})
}

func (s *Service) wishList(ctx context.Context, p accounts.Principal, q store.Query, keep func(*Wish) bool) ([]WishView, string, error) {
	page, next, err := s.wishes.Find(ctx, q)
	if err != nil {
		return nil, "", err
	}
	out := []WishView{}
	for _, w := range page {
		if err := s.settleWish(ctx, w); err != nil {
			return nil, "", err
		}
		if keep(w) {
			out = append(out, s.wishView(p, w))
		}
	}
	return out, next, nil
}

// Wish reads one wish: givers one that is shown or their own, caseworkers those
// of their division. Errors: [store.ErrNotFound], also for what may not be seen.
func (s *Service) Wish(ctx context.Context, p accounts.Principal, organisation, id string) (*WishView, error) {
	w, err := s.wishes.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.settleWish(ctx, w); err != nil {
		return nil, err
	}
	if w.State != WishShown && w.Organisation != organisation && (p.Role == accounts.Provider || !p.Sees(w.Division)) {
		return nil, fmt.Errorf("wish %s: %w", id, store.ErrNotFound)
	}
	v := s.wishView(p, w)
	return &v, nil
}

// TakeWish has an organisation take a wish up: nobody else can from then on, and
// an offer of one unit is posted that serves this resident alone. What a crash
// leaves undone is finished by the next look at what is taken. Taking again
// what one has changes nothing.
//
// Errors: [ErrWishTaken]; [ErrNotYours]; [providers.ErrNotApproved];
// [providers.FieldError]; [store.ErrNotFound].
func (s *Service) TakeWish(ctx context.Context, p accounts.Principal, organisation, id string, t Taking) (*WishView, error) {
	if p.Role == accounts.Provider && p.Organisation != organisation {
		return nil, ErrNotYours
	}
	org, err := s.providers.Get(ctx, organisation)
	if err != nil {
		return nil, err
	}
	if org.Status != providers.Approved {
		return nil, fmt.Errorf("take wish %s for %s: %w", id, organisation, providers.ErrNotApproved)
	}
	w, err := s.wishes.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.settleWish(ctx, w); err != nil {
		return nil, err
	}
	now := s.now()
	if t.UntilMs == 0 {
		t.UntilMs = now.Add(defaultTake).UnixMilli()
	}
	if left := time.Duration(t.UntilMs-now.UnixMilli()) * time.Millisecond; left < shortestTake || left > longestTake {
		return nil, providers.FieldError{Field: "until_ms", ZH: "请选择 1 到 90 天之内的日期。", EN: "Choose a day 1 to 90 days from now.", Err: nil}
	}
	if t.Handover.How != providers.Pickup && t.Handover.How != providers.Delivery && t.Handover.How != providers.OnSite {
		return nil, providers.FieldError{Field: "handover.how", ZH: "请选择到点领取、送货上门或上门服务。", EN: "Choose pickup, delivery or onsite.", Err: nil}
	}
	try := *w
	try.take(p.Account, organisation, t, now)
	if _, err := s.providers.Check(try.terms()); err != nil {
		return nil, err
	}
	w, err = s.wishes.Change(ctx, id, func(x *Wish) error {
		switch {
		case x.State == WishTaken && x.Organisation == organisation:
			return nil
		case x.State != WishShown:
			return fmt.Errorf("take wish %s: %w", id, ErrWishTaken)
		}
		x.take(p.Account, organisation, t, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.fulfil(ctx, w); err != nil {
		return nil, err
	}
	return s.wishAudited(ctx, p, "take_wish", w)
}

func (w *Wish) take(by, organisation string, t Taking, now time.Time) {
	w.State, w.Organisation, w.TakenMs, w.TakenBy = WishTaken, organisation, now.UnixMilli(), by
	w.Handover, w.GivesUntilMs = t.Handover, t.UntilMs
	w.Nth++
	w.Offer = providers.KeyedID(organisation, w.key())
}

func (w *Wish) key() string { return "wish\x00" + w.ID + "\x00" + strconv.FormatInt(w.Nth, 10) }

// terms is the offer that fulfils a wish that is taken. It says of the person
// what the wish says, and the county.
func (w *Wish) terms() providers.NewOffer {
	return providers.NewOffer{
		Form: providers.FormWish, Category: providers.WishCategory, TitleZH: w.TextZH, TitleEN: w.TextEN,
		Divisions: []string{w.County}, CapPeriod: "ever", Pace: "now", Handover: w.Handover,
		Lots: []providers.NewLot{{QtyUnits: 1, FromMs: w.TakenMs, UntilMs: w.GivesUntilMs}},
		Wish: w.ID, Only: w.Resident, Key: w.key(),
	}
}

// fulfil posts the offer of a wish that is taken, where that is not done, and
// tries the need. Again changes nothing.
func (s *Service) fulfil(ctx context.Context, w *Wish) error {
	_, err := s.PostOffer(ctx, accounts.Principal{Account: w.TakenBy, Role: accounts.Provider, Organisation: w.Organisation}, w.Organisation, w.terms())
	var fault providers.FieldError
	if errors.Is(err, providers.ErrNotApproved) || errors.As(err, &fault) { // stopped in between: somebody else may
		nth, why := w.Nth, err
		_, err = s.wishes.Change(ctx, w.ID, func(x *Wish) error {
			if x.State == WishTaken && x.Nth == nth {
				x.State, x.Organisation, x.Offer = WishShown, "", ""
			}
			return nil
		})
		if err == nil {
			err = fmt.Errorf("take wish %s: %w", w.ID, why)
		}
	}
	if err != nil {
		return err
	}
	if _, err := (ledger{s}).Serve(ctx, w.County, w.Need); err != nil && !errors.Is(err, ErrNotReady) {
		s.log.Warn("try a wish later", "wish", w.ID, "error", err)
	}
	return nil
}

// settleWish writes down what became of a wish, as the need and the offer say
// it, and makes w so.
func (s *Service) settleWish(ctx context.Context, w *Wish) error {
	if w.State != WishShown && w.State != WishTaken {
		return nil
	}
	to, err := s.wishStands(ctx, w)
	if err != nil || to == w.State {
		return err
	}
	was, nth := w.State, w.Nth
	changed, err := s.wishes.Change(ctx, w.ID, func(x *Wish) error {
		if x.State == was && x.Nth == nth {
			x.State, x.EndedMs = to, s.now().UnixMilli()
		}
		return nil
	})
	if err != nil {
		return err
	}
	*w = *changed
	return nil
}

func (s *Service) wishStands(ctx context.Context, w *Wish) (WishState, error) {
	n, err := s.needs.Get(ctx, w.Need)
	if err != nil {
		return "", err
	}
	now := s.now().UnixMilli()
	if w.State == WishShown {
		if !n.State.Live() || n.UntilMs != 0 && n.UntilMs <= now {
			return WishLapsed, nil
		}
		return WishShown, nil
	}
	promised := false
	given := false
	if err := s.allocations.Each(ctx, store.Query{Index: "need", Equal: []any{w.Need}}, func(a *Allocation) error {
		if a.Offer == w.Offer {
			promised = promised || a.State == Promised
			given = given || a.State == HandedOver
		}
		return nil
	}); err != nil {
		return "", err
	}
	switch {
	case given:
		return WishGiven, nil
	case promised:
		return WishTaken, nil
	case !n.State.Live(), w.GivesUntilMs <= now:
		return WishLapsed, nil
	}
	o, err := s.providers.Offer(ctx, w.Offer)
	if errors.Is(err, store.ErrNotFound) {
		return WishTaken, nil // it is being posted
	}
	if err != nil {
		return "", err
	}
	if o.Status != providers.OfferOpen {
		return WishLapsed, nil
	}
	return WishTaken, nil
}

// finishWishes posts the offers of wishes whose giver's request broke off, tries
// needs that were not served yet, and writes down what became of the others.
func (s *Service) finishWishes(ctx context.Context) error {
	for _, state := range []WishState{WishShown, WishTaken} {
		var all []*Wish
		if err := s.wishes.Each(ctx, store.Query{Index: "state", Equal: []any{string(state)}}, func(w *Wish) error {
			all = append(all, w)
			return nil
		}); err != nil {
			return err
		}
		for _, w := range all {
			if err := s.settleWish(ctx, w); err != nil {
				return err
			}
			if w.State != WishTaken {
				continue
			}
			_, err := s.providers.Offer(ctx, w.Offer)
			switch {
			case errors.Is(err, store.ErrNotFound):
				err = s.fulfil(ctx, w)
			case err == nil:
				_, err = ledger{s}.Serve(ctx, w.County, w.Need)
			}
			if err != nil && !errors.Is(err, providers.ErrNotApproved) && !errors.Is(err, ErrNotReady) {
				return fmt.Errorf("finish wish %s: %w", w.ID, err)
			}
		}
	}
	return nil
}

// only is the group in which a resident is alone: what serves this one person
// names it.
func only(resident string) string { return "only:" + resident }
