package care

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// CounterLook is all that a provider's counter learns of a person: what its
// organisation owes them.
type CounterLook struct {
	Scan    string        `json:"scan"` // names this look at a handover, for half an hour
	AtMs    int64         `json:"at_ms"`
	Initial string        `json:"initial"` // as [residents.Initial] makes it; "" without the person's consent
	Items   []CounterItem `json:"items"`
}

// CounterItem is something that the counter's organisation owes a person.
type CounterItem struct {
	Item        string           `json:"item"` // names it to this organisation, differently at every look
	TitleZH     string           `json:"title_zh"`
	TitleEN     string           `json:"title_en"`
	Unit        matching.Text    `json:"unit"`
	QtyUnits    int64            `json:"qty_units"`
	GivenUnits  int64            `json:"given_units"` // of them, already
	UntilMs     int64            `json:"until_ms"`    // the promise stands until then
	Paid        bool             `json:"paid"`        // the person pays nothing
	PINRequired bool             `json:"pin_required"`
	Leased      *matching.Reason `json:"leased,omitempty"` // why nobody here may give it now
}

// look is what stands behind the name of a look, sealed.
type look struct {
	ID       string `json:"i"`
	Resident string `json:"r"`
	How      string `json:"h"`
	Carer    string `json:"c,omitempty"`
	AtMs     int64  `json:"t"`
}

// The names under which looks and items are sealed, so that what an
// organisation is told of one person does not tell of another, nor that two
// things are the same person's.
const (
	lookField = "counter_look"
	itemField = "counter_item"
)

// counterProves is how long after a scan at a counter a handover rests on it.
const counterProves = 30 * time.Minute

// InsteadReasons are the reasons to give something else.
func InsteadReasons() []string { return []string{"sold_out", "unsuitable", "asked", "other"} }

// maxInstead is how long the word for what was given instead may be, in characters.
const maxInstead = 40

// ScanAtCounter says what the organisation of a provider's account owes the
// person whose code it is. It matches nothing. An unknown, a revoked and a
// mistyped code, and that of somebody to whom the organisation owes nothing,
// are one answer; whoever was looked at finds it in the audit log.
//
// Errors: [ErrUnknownCode], [ErrNotYours] for who acts for no organisation.
func (s *Service) ScanAtCounter(ctx context.Context, p accounts.Principal, code string) (*CounterLook, error) {
	if p.Role != accounts.Provider || p.Organisation == "" {
		return nil, ErrNotYours
	}
	r, c, how, err := s.identify(ctx, "counter", p.Account, code)
	if err != nil {
		return nil, err
	}
	out, err := s.owedTo(ctx, p, r.ID)
	if err != nil {
		return nil, err
	}
	l := look{ID: store.NewID(), Resident: r.ID, How: how, Carer: c.Carer, AtMs: s.now().UnixMilli()}
	out.AtMs = l.AtMs
	entry := audit.Entry{
		ID: l.ID, AtMs: l.AtMs, Actor: p.Account, Role: string(p.Role), Act: "counter_scan", Object: evidenceOf(how, c.Carer),
		Subject: r.ID, Division: r.Division, Purpose: "hand over what the organisation owes", Outcome: "ok",
	}
	if len(out.Items) == 0 {
		entry.Outcome = "denied"
	}
	if err := s.audit.Write(ctx, entry); err != nil {
		return nil, err
	}
	if len(out.Items) == 0 {
		return nil, ErrUnknownCode
	}
	text, err := json.Marshal(l)
	if err == nil {
		out.Scan, err = s.vault.Seal(lookField, p.Account, string(text))
	}
	return out, err
}

// atCounter says whether an allocation is the organisation's to hand over to
// somebody who stands there.
func (s *Service) atCounter(p accounts.Principal, a *Allocation) bool {
	return a.Organisation == p.Organisation && a.Handover.How != providers.Transfer
}

func (s *Service) counterItem(p accounts.Principal, a *Allocation) (CounterItem, error) {
	name, err := s.vault.Seal(itemField, p.Organisation, a.ID)
	if err != nil {
		return CounterItem{}, err
	}
	item := CounterItem{
		Item: name, TitleZH: a.TitleZH, TitleEN: a.TitleEN, Unit: unitText(a.Unit, a.Category),
		QtyUnits: a.promisedUnits(), GivenUnits: a.givenNow(), UntilMs: a.ExpiresMs, Paid: a.Category != "discount",
		PINRequired: a.State == Promised && s.wantsProof(a),
	}
	if reason := a.leased(); reason.Code != "" {
		item.Leased = &reason
	}
	return item, nil
}

// itemOf is the allocation that an item of the organisation's names.
// Errors: [store.ErrNotFound].
func (s *Service) itemOf(ctx context.Context, p accounts.Principal, item string) (*Allocation, error) {
	id, err := s.vault.OpenField(itemField, p.Organisation, item)
	if err != nil || id == "" || p.Role != accounts.Provider || p.Organisation == "" {
		return nil, fmt.Errorf("item of a counter: %w", store.ErrNotFound)
	}
	a, err := s.allocations.Get(ctx, id)
	if err == nil && !s.atCounter(p, a) {
		err = fmt.Errorf("item of a counter: %w", store.ErrNotFound)
	}
	return a, err
}

// lookOf is the look that a handover rests on. Errors: [ErrProof].
func (s *Service) lookOf(p accounts.Principal, scan string) (look, error) {
	var l look
	text, err := s.vault.OpenField(lookField, p.Account, scan)
	if err == nil {
		err = json.Unmarshal([]byte(text), &l)
	}
	if err != nil || s.now().UnixMilli()-l.AtMs > counterProves.Milliseconds() {
		return look{}, ErrProof
	}
	return l, nil
}

// CounterGiving is what a counter hands over.
type CounterGiving struct {
	Scan       string // of the [CounterLook]
	Item       string // of the [CounterItem]
	Units      int64  // 1..what is left
	GivenUnits int64  // as the look said; who gave in between makes it [ErrGivenMeanwhile]
	PIN        string // the person's, or the carer's who showed the code, where it is asked for
	Instead    string // what was given in its place, up to 40 characters; "": that itself
	InsteadWhy string // of [InsteadReasons], with Instead
}

// Check refuses a wish that says nothing sensible. Errors: [residents.FieldError].
func (g *CounterGiving) check() error {
	g.Instead = strings.Join(strings.Fields(g.Instead), " ")
	switch {
	case g.Units < 1:
		return &residents.FieldError{Field: "units", ZH: "请填写交付数量，至少 1", EN: "say how many are handed over, at least 1"}
	case utf8.RuneCountInString(g.Instead) > maxInstead || !utf8.ValidString(g.Instead):
		return &residents.FieldError{Field: "instead", ZH: "替代物请用 40 字以内说明", EN: "say in up to 40 characters what was given instead"}
	case g.Instead != "" && !slices.Contains(InsteadReasons(), g.InsteadWhy):
		return &residents.FieldError{Field: "instead_why", ZH: "请选择替代的原因", EN: "choose why something else was given"}
	case g.Instead == "" && g.InsteadWhy != "":
		return &residents.FieldError{Field: "instead", ZH: "请填写替代给了什么", EN: "say what was given instead"}
	}
	return nil
}

// GiveAtCounter records that some or all of an item was handed over to the
// person at the counter. Repeating it changes nothing.
//
// Errors: those of [Service.give], [ErrProof] for a look of somebody else's, at
// somebody else, or that is too long ago, [ErrProofNeeded], those of a wrong PIN,
// [residents.FieldError], [store.ErrNotFound].
func (s *Service) GiveAtCounter(ctx context.Context, p accounts.Principal, g CounterGiving) (CounterItem, error) {
	if err := g.check(); err != nil {
		return CounterItem{}, err
	}
	a, err := s.itemOf(ctx, p, g.Item)
	if err != nil {
		return CounterItem{}, err
	}
	l, err := s.lookOf(p, g.Scan)
	if err == nil && l.Resident != a.Resident {
		err = ErrProof
	}
	if err == nil {
		err = s.stillShows(ctx, a.Resident, l.Carer, l.AtMs)
	}
	if err != nil {
		return CounterItem{}, fmt.Errorf("give at a counter: %w", err)
	}
	by := proof{how: l.How, carer: l.Carer}
	if g.PIN != "" {
		by.how = byPIN
		if l.Carer != "" {
			err = s.residents.CheckCarerPIN(ctx, l.Carer, g.PIN)
		} else {
			err = s.residents.CheckPIN(ctx, a.Resident, g.PIN)
		}
		if err != nil {
			return CounterItem{}, fmt.Errorf("give at a counter: %w", s.triedPIN(ctx, p, "counter_handover", a, err))
		}
	}
	do := handing{by: p.Account, units: g.Units, seen: g.GivenUnits, proof: by, scan: l.ID, instead: g.Instead, why: g.InsteadWhy}
	if a.State == Promised && s.wantsProof(a) && by.how != byPIN && !do.done(a) {
		return CounterItem{}, fmt.Errorf("give at a counter: %w", ErrProofNeeded)
	}
	a, _, err = s.give(ctx, a.ID, do)
	if err != nil {
		return CounterItem{}, err
	}
	if err := s.audited(ctx, p, "counter_handover", a); err != nil {
		return CounterItem{}, err
	}
	return s.counterItem(p, a)
}

// triedPIN puts a wrong PIN at a counter into the audit log, where its person finds
// who tried, and returns what failed.
func (s *Service) triedPIN(ctx context.Context, p accounts.Principal, act string, a *Allocation, failed error) error {
	if !errors.Is(failed, residents.ErrPIN) && !errors.Is(failed, residents.ErrLocked) {
		return failed
	}
	return errors.Join(failed, s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: act, Object: a.ID,
		Subject: a.Resident, Division: a.Division, Purpose: "PIN", Outcome: "denied",
	}))
}

// LookAgain is what the organisation owes the person of a look now. It is the
// same look, not another one.
//
// Errors: [ErrProof] for a look of somebody else's or of too long ago, and where the
// code does not count any more.
func (s *Service) LookAgain(ctx context.Context, p accounts.Principal, scan string) (*CounterLook, error) {
	l, err := s.lookOf(p, scan)
	if err != nil {
		return nil, err
	}
	if err := s.stillShows(ctx, l.Resident, l.Carer, l.AtMs); err != nil {
		return nil, err
	}
	out, err := s.owedTo(ctx, p, l.Resident)
	if err != nil {
		return nil, err
	}
	out.Scan, out.AtMs = scan, l.AtMs
	return out, nil
}

// owedTo is what the organisation owes a resident; without the initial where
// there is nothing.
func (s *Service) owedTo(ctx context.Context, p accounts.Principal, resident string) (*CounterLook, error) {
	promised, err := s.promisedTo(ctx, resident)
	if err != nil {
		return nil, err
	}
	out := &CounterLook{Items: []CounterItem{}}
	for _, a := range promised {
		if !s.atCounter(p, a) {
			continue
		}
		item, err := s.counterItem(p, a)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, item)
	}
	if len(out.Items) == 0 {
		return out, nil
	}
	r, err := s.residents.Get(ctx, resident)
	if err != nil || !r.Consent.Allows(residents.ConsentHandover) {
		return out, err
	}
	person, err := s.residents.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	out.Initial = residents.Initial(person.Name)
	return out, nil
}
