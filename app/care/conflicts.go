package care

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

// What a conflict is about.
const (
	KindDouble    = "double"     // the same allocation was handed over by somebody else
	KindOver      = "over"       // the need or the cap was used up already: a copied card on two devices
	KindEnded     = "ended"      // it had gone back to others: a unit is missing
	KindNotLeased = "not_leased" // the device never had it
	KindMismatch  = "mismatch"   // another person, need or quantity, or the need had ended
	KindCode      = "code"       // the code is nobody's or somebody else's
	KindToken     = "token"      // the scanned code does not verify
	KindRevoked   = "revoked"    // the code was revoked before
	KindNoPIN     = "no_pin"     // worth so much that it takes a PIN
	KindTime      = "time"       // given outside the lease, by the device's clock
	KindLate      = "late"       // given after the lot had ended
	KindOutside   = "outside"    // the account does not answer for the person any more, or nobody does: moved away, dead
	KindUnknown   = "unknown"    // refused, no conflict
)

// Decisions on a conflict. The first three are for units that wait for the
// decision, the others only write down what was found.
const (
	DecideGiven    = "given"     // the person has it: the handover stands
	DecideReturned = "returned"  // it is still there: it goes to those who wait
	DecideLost     = "lost"      // it is gone, and the person has not got it
	DecideTrue     = "confirmed" // it was as the conflict says
	DecideMistake  = "mistake"   // it was not
)

// ErrOwnReport says that the account reported the handover itself: somebody else
// judges it.
var ErrOwnReport = errors.New("nobody settles a conflict about their own handover")

// Conflict is a handover without a network that a person has to judge. Its id
// is the record's; with overSuffix where a decision has given too much.
type Conflict struct {
	store.Meta `bson:",inline"`
	Kind       string          `json:"kind"`
	Resident   string          `json:"resident"`
	Division   string          `json:"division"`
	Device     string          `json:"device"`
	DeviceName string          `json:"device_name"`
	Account    string          `json:"account"`
	Record     string          `json:"record"`
	Lease      string          `json:"lease"`
	Allocation string          `json:"allocation"`
	How        string          `json:"how"`
	PIN        bool            `json:"pin"`
	TitleZH    string          `json:"title_zh"`
	TitleEN    string          `json:"title_en"`
	Unit       string          `json:"unit"`
	Category   string          `json:"category"`
	QtyUnits   int64           `json:"qty_units"`
	GivenMs    int64           `json:"given_ms"`
	AtMs       int64           `json:"at_ms"`
	Reason     matching.Reason `json:"reason"`
	// The other side: what the record had when it came.
	Other ConflictSide `json:"other"`
	// Kept: the units wait for the decision.
	Kept       bool   `json:"kept"`
	Settled    bool   `json:"settled"`
	SettledMs  int64  `json:"settled_ms"`
	SettledBy  string `json:"settled_by"`
	Decision   string `json:"decision"`
	NoteSealed string `json:"note_sealed"`
	Unapplied  bool   `json:"unapplied"` // decided, but not carried out yet
}

// ConflictSide is the handover or the end that a record met.
type ConflictSide struct {
	Allocation string `json:"allocation"`
	State      State  `json:"state"`
	AtMs       int64  `json:"at_ms"`
	By         string `json:"by"`
	Device     string `json:"device"` // as its owner calls it; "": online
	Proof      string `json:"proof"`
}

var conflictSchema = store.Schema{Name: "offline_conflicts", Indexes: []store.Index{
	{Name: "division", Fields: []string{"settled", "division", "at_ms"}},
	{Name: "unapplied", Fields: []string{"unapplied"}},
	{Name: "allocation", Fields: []string{"allocation"}},
}}

// ConflictView is a conflict as the API shows it.
type ConflictView struct {
	ID         string          `json:"id"`
	Kind       string          `json:"kind"`
	Resident   string          `json:"resident"`
	Division   string          `json:"division"`
	Place      string          `json:"place"`
	Device     string          `json:"device"`
	DeviceName string          `json:"device_name"`
	Account    string          `json:"account"`
	Record     string          `json:"record"`
	Lease      string          `json:"lease"`
	Allocation string          `json:"allocation"`
	How        string          `json:"how"`
	PIN        bool            `json:"pin"`
	TitleZH    string          `json:"title_zh"`
	TitleEN    string          `json:"title_en"`
	Unit       string          `json:"unit"`
	Category   string          `json:"category"`
	QtyUnits   int64           `json:"qty_units"`
	GivenMs    int64           `json:"given_ms"`
	AtMs       int64           `json:"at_ms"`
	Reason     matching.Reason `json:"reason"`
	Other      ConflictSide    `json:"other"`
	Decisions  []string        `json:"decisions"` // what may be decided
	Settled    *Settlement     `json:"settled,omitempty"`
}

// Settlement is how a conflict was settled.
type Settlement struct {
	Decision string `json:"decision"`
	Note     string `json:"note"`
	By       string `json:"by"`
	AtMs     int64  `json:"at_ms"`
}

// Decisions are what may be decided on the conflict.
func (c *Conflict) Decisions() []string {
	switch {
	case c.Kept && c.Kind == KindMismatch: // nobody can say to whom it would be given
		return []string{DecideReturned, DecideLost}
	case c.Kept:
		return []string{DecideGiven, DecideReturned, DecideLost}
	}
	return []string{DecideTrue, DecideMistake}
}

// conflictNote is the name under which the note of a decision is sealed.
const conflictNote = "conflict_note"

func (s *Service) conflictView(c *Conflict) ConflictView {
	v := ConflictView{
		ID: c.ID, Kind: c.Kind, Resident: c.Resident, Division: c.Division, Place: s.tree().Name(c.Division), Device: c.Device,
		DeviceName: c.DeviceName, Account: c.Account, Record: c.Record, Lease: c.Lease, Allocation: c.Allocation, How: c.How,
		PIN: c.PIN, TitleZH: c.TitleZH, TitleEN: c.TitleEN, Unit: c.Unit, Category: c.Category, QtyUnits: c.QtyUnits,
		GivenMs: c.GivenMs, AtMs: c.AtMs, Reason: c.Reason, Other: c.Other, Decisions: c.Decisions(),
	}
	if c.Settled {
		note, err := s.vault.OpenField(conflictNote, c.ID, c.NoteSealed)
		if err != nil {
			s.log.Error("open the note of a decision", "conflict", c.ID, "error", err)
		}
		v.Settled, v.Decisions = &Settlement{Decision: c.Decision, Note: note, By: c.SettledBy, AtMs: c.SettledMs}, []string{}
	}
	return v
}

// overSuffix ends the id of the conflict about units that were kept, then
// decided to be given, and were too much by then.
const overSuffix = ".over"

// dispute opens a conflict for a record, once, and says why in words.
func (s *Service) dispute(ctx context.Context, r *offlineRecord, a *Allocation, kind string) (matching.Reason, error) {
	c := &Conflict{
		Meta: store.Meta{ID: r.ID}, Kind: kind, Resident: r.Resident, Division: a.Division, Device: r.Device, Account: r.Account,
		Record: r.Record, Lease: r.Lease, Allocation: a.ID, How: r.How, PIN: r.PIN, TitleZH: a.TitleZH, TitleEN: a.TitleEN,
		Unit: a.Unit, Category: a.Category, QtyUnits: r.QtyUnits, GivenMs: r.GivenMs, AtMs: s.now().UnixMilli(),
		Kept: a.Disputed == r.ID,
	}
	if kind == KindOver && r.Doubt != "" { // its own conflict was about that doubt
		c.ID += overSuffix
	}
	if d, err := s.devices.Get(ctx, r.Device); err == nil {
		c.DeviceName = d.Name
	} else if !errors.Is(err, store.ErrNotFound) {
		return c.Reason, err
	}
	if person, err := s.residents.Get(ctx, r.Resident); err == nil {
		c.Division = person.Division
	} else if !errors.Is(err, store.ErrNotFound) {
		return c.Reason, err
	}
	other, err := s.otherSide(ctx, r, a, kind)
	if err != nil {
		return c.Reason, err
	}
	if other != nil {
		c.Other = ConflictSide{
			Allocation: other.ID, State: other.State, AtMs: other.EndedMs, By: other.EndedBy, Device: other.LeaseName, Proof: other.Proof,
		}
		if other.GivenMs > 0 {
			c.Other.AtMs = other.GivenMs
		}
		if n := len(other.Parts); other.State == Promised && n > 0 { // some of it was given online
			last := other.Parts[n-1]
			c.Other.AtMs, c.Other.By, c.Other.Proof = last.AtMs, last.By, last.Proof
		}
	}
	c.Reason = c.words()
	if err := s.conflicts.Insert(ctx, c); errors.Is(err, store.ErrDuplicate) {
		kept, err := s.conflicts.Get(ctx, c.ID)
		if err != nil {
			return c.Reason, err
		}
		return kept.Reason, nil
	} else if err != nil {
		return c.Reason, err
	}
	return c.Reason, s.audit.Write(ctx, audit.Entry{
		AtMs: c.AtMs, Actor: r.Account, Role: r.Role, Act: "offline_conflict", Object: c.ID, Subject: r.Resident,
		Division: c.Division, Purpose: kind, Outcome: "ok",
	})
}

// otherSide is what the record met: the allocation itself, or the last that
// was handed over for the same need or household.
func (s *Service) otherSide(ctx context.Context, r *offlineRecord, a *Allocation, kind string) (*Allocation, error) {
	switch kind {
	case KindDouble, KindEnded:
		return a, nil
	case KindOver:
	default:
		return nil, nil
	}
	var other *Allocation
	err := s.allocations.Each(ctx, store.Query{
		Index: "claim", From: a.Household + "|" + a.CategoryCap.Field + "|", To: a.Household + "|" + a.CategoryCap.Field + "}",
	}, func(x *Allocation) error {
		if x.State == HandedOver && x.ID != a.ID && (other == nil || x.EndedMs > other.EndedMs) {
			other = x
		}
		return nil
	})
	return other, err
}

// words says what happened, without naming anybody.
func (c *Conflict) words() matching.Reason {
	given, other := chinaTime(c.GivenMs), chinaTime(c.Other.AtMs)
	by := struct{ zh, en string }{"已在线交付", "it was handed over online"}
	if c.Other.Device != "" {
		by.zh, by.en = "已由设备“"+c.Other.Device+"”交付", "the device “"+c.Other.Device+"” handed it over"
	}
	w, ok := map[string]struct{ zh, en string }{
		KindDouble: {
			"同一份派发交付了两次：" + other + " " + by.zh + "，本设备又于 " + given + " 交付。多出的一份不在库存账上，库存可能少 1 份。",
			"The same allocation was handed over twice: on " + other + " " + by.en + ", and on " + given + " this device did again. The second is not in the books: the stock may be one short.",
		},
		KindOver: {
			"超出限额或需求：" + other + " " + by.zh + "同类帮扶，本设备又于 " + given + " 交付。物品已发出并入档，请核实是否为同一人、卡片是否被复制。",
			"More than the cap or the need allows: on " + other + " " + by.en + ", and on " + given + " this device gave the same kind again. It is gone and recorded; find out whether it was the same person, and whether the card was copied.",
		},
		KindEnded: {
			"本设备于 " + given + " 交付，但该份额此前已退回并继续派发；实物库存可能少 1 份。",
			"This device handed it over on " + given + ", but its units had gone back to others before: the stock may be one short.",
		},
		KindNotLeased: {
			"本设备于 " + given + " 报告交付，但该派发从未由本设备领走；未入档。",
			"This device reported a handover on " + given + " of something it had never taken along; it was not recorded.",
		},
		KindMismatch: {
			"本设备于 " + given + " 的报告与派发不符：人、需求或数量不一致，或该需求此前已结束。",
			"The report of " + given + " does not fit the allocation: another person, need or quantity, or the need had ended before.",
		},
		KindCode: {
			"本设备于 " + given + " 读到的幸福码不是该居民的。",
			"The code that the device read on " + given + " is not this resident's.",
		},
		KindToken: {
			"本设备于 " + given + " 扫到的幸福码验签不通过或当时已过期。",
			"The code that the device scanned on " + given + " does not verify, or had expired by then.",
		},
		KindRevoked: {
			"本设备于 " + given + " 交付时，该幸福码已经作废(挂失或补发)。",
			"When the device handed it over on " + given + ", the code had been revoked or replaced.",
		},
		KindNoPIN: {
			"该份价值超过限额，本设备于 " + given + " 交付时未核对 PIN。",
			"It is worth more than may be given without a PIN; on " + given + " the device checked none.",
		},
		KindTime: {
			"按设备时间，交付于 " + given + "，不在租约期内(设备时钟可能不准)。",
			"By the device's clock it was given on " + given + ", outside the lease; the clock may be wrong.",
		},
		KindLate: {
			"按设备时间，交付于 " + given + "，该批次当时已结束。",
			"By the device's clock it was given on " + given + ", after the lot had ended.",
		},
		KindOutside: {
			"该账户已不负责此居民：区划已变更，或居民已迁出、去世；设备报告于 " + given + " 交付。",
			"The account does not answer for this resident any more: another division, moved away or dead; the device reported a handover on " + given + ".",
		},
	}[c.Kind]
	if !ok {
		w.zh, w.en = "设备的报告有疑点，请核实。", "There is a doubt about what the device reported; please look into it."
	}
	if c.Kept {
		w.zh += "该份额已冻结，等待核实。"
		w.en += " Its units are kept until somebody decides."
	}
	return matching.Reason{Code: "offline_" + c.Kind, ZH: w.zh, EN: w.en}
}

// Conflicts are the conflicts of a division, open or settled, oldest first, and
// where the next page begins. Errors: [regions.ErrDivision], [store.ErrCursor].
func (s *Service) Conflicts(ctx context.Context, division string, settled bool, after string, limit int) ([]ConflictView, string, error) {
	from, to, err := regions.Range(division)
	if err != nil {
		return nil, "", fmt.Errorf("list conflicts: %w", err)
	}
	page, next, err := s.conflicts.Find(ctx, store.Query{
		Index: "division", Equal: []any{settled}, From: from, To: to, After: after, Limit: limit,
	})
	if err != nil {
		return nil, "", err
	}
	out := make([]ConflictView, len(page))
	for i, c := range page {
		out[i] = s.conflictView(c)
	}
	return out, next, nil
}

// OpenConflicts counts the open conflicts of a division, up to 1000.
func (s *Service) OpenConflicts(ctx context.Context, division string) (int, error) {
	open, _, err := s.Conflicts(ctx, division, false, "", store.MaxPage)
	return len(open), err
}

// Conflict reads a conflict. Errors: [store.ErrNotFound].
func (s *Service) Conflict(ctx context.Context, id string) (ConflictView, error) {
	c, err := s.conflicts.Get(ctx, id)
	if err != nil {
		return ConflictView{}, err
	}
	return s.conflictView(c), nil
}

// SettleConflict writes a decision down and carries it out: what was kept is
// handed over, goes back, or is lost. Deciding the same again changes nothing.
// note is up to 500 characters; it is sealed.
//
// Errors: [residents.FieldError], [ErrNotYours], [ErrOwnReport], [ErrEnded] when
// something else was decided, [store.ErrNotFound].
func (s *Service) SettleConflict(ctx context.Context, p accounts.Principal, id, decision, note string) (ConflictView, error) {
	c, err := s.conflicts.Get(ctx, id)
	if err != nil {
		return ConflictView{}, err
	}
	if err := s.within(ctx, p, "settle_conflict", id, c.Resident, c.Division); err != nil {
		return ConflictView{}, err
	}
	if p.Account == c.Account {
		return ConflictView{}, fmt.Errorf("settle conflict %s: %w", id, ErrOwnReport)
	}
	if !slices.Contains(c.Decisions(), decision) {
		return ConflictView{}, &residents.FieldError{Field: "decision", ZH: "请选择一种处理结果", EN: "choose one of the decisions"}
	}
	note = strings.TrimSpace(note)
	if utf8.RuneCountInString(note) > 500 || !utf8.ValidString(note) {
		return ConflictView{}, &residents.FieldError{Field: "note", ZH: "说明不能超过 500 字", EN: "a note has at most 500 characters"}
	}
	sealed, err := s.vault.Seal(conflictNote, id, note)
	if err != nil {
		return ConflictView{}, fmt.Errorf("settle conflict %s: %w", id, err)
	}
	changed, err := s.conflicts.Change(ctx, id, func(c *Conflict) error {
		if c.Settled {
			if c.Decision != decision {
				return ErrEnded
			}
			return errSame
		}
		c.Settled, c.SettledMs, c.SettledBy, c.Decision, c.NoteSealed = true, s.now().UnixMilli(), p.Account, decision, sealed
		c.Unapplied = c.Kept
		return nil
	})
	if errors.Is(err, errSame) {
		changed, err = s.conflicts.Get(ctx, id)
	}
	if err != nil {
		return ConflictView{}, fmt.Errorf("settle conflict %s: %w", id, err)
	}
	if err := s.audit.Write(ctx, audit.Entry{
		AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "settle_conflict", Object: id,
		Subject: c.Resident, Division: c.Division, Purpose: decision, Outcome: "ok",
	}); err != nil {
		return ConflictView{}, err
	}
	if changed.Unapplied {
		if err := s.decide(ctx, changed); err != nil {
			return ConflictView{}, fmt.Errorf("settle conflict %s: %w", id, err)
		}
	}
	return s.conflictView(changed), nil
}

// decide carries out a decision on units that were kept for it.
func (s *Service) decide(ctx context.Context, c *Conflict) error {
	r, err := s.offline.Get(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.Decision == DecideGiven {
		err = s.giveKept(ctx, c, r)
	} else {
		e := ending{by: c.SettledBy, to: Withdrawn, conflict: c.ID, reason: matching.Reason{
			Code: CodeNotReceived, ZH: "核实后认定未交付，份额退回继续派发。", EN: "Found not to have been handed over; the units went back to be given to others.",
		}}
		if c.Decision == DecideLost {
			e.to, e.lost = Expired, true
			e.reason.ZH, e.reason.EN = "核实后认定居民未收到，物品已遗失。", "Found not to have reached the resident; the units are lost."
		}
		_, err = s.end(ctx, c.Allocation, e)
	}
	if err != nil && !errors.Is(err, ErrEnded) && !errors.Is(err, ErrDisputed) {
		return err
	}
	_, err = s.conflicts.Change(ctx, c.ID, func(c *Conflict) error {
		if !c.Unapplied {
			return errSame
		}
		c.Unapplied = false
		return nil
	})
	if errors.Is(err, errSame) {
		return nil
	}
	return err
}

// giveKept hands over what was kept: a person says that it has reached the
// resident.
func (s *Service) giveKept(ctx context.Context, c *Conflict, r *offlineRecord) error {
	need, err := s.spareNeedOf(ctx, r)
	if err != nil {
		return err
	}
	if _, err := s.residents.Get(ctx, r.Resident); err != nil {
		return err
	}
	l, err := s.leases.Get(ctx, r.Lease)
	if err != nil {
		return err
	}
	turn := s.turns.of(r.Resident)
	turn.Lock()
	defer turn.Unlock()
	a, err := s.allocations.Change(ctx, c.Allocation, func(a *Allocation) error {
		if a.State != Promised || a.Disputed != c.ID {
			return errSame
		}
		if a.Spare {
			if !r.serves(a, need) {
				return errNobody
			}
			a.giveSpare(need, r.given(l, s.now()))
		}
		a.State, a.Unsettled, a.EndedMs, a.EndedBy = HandedOver, true, s.now().UnixMilli(), c.SettledBy
		a.EndReason, a.Proof, a.Carer = matching.ReasonHandedOver(), r.proof(), r.Carer
		a.GivenMs, a.OfflineRecord = r.given(l, s.now()), r.ID
		a.Disputed = ""
		a.giveRest()
		return nil
	})
	switch {
	case errors.Is(err, errSame):
		if a, err = s.allocations.Get(ctx, c.Allocation); err != nil || a.State != HandedOver || a.OfflineRecord != r.ID {
			return err
		}
	case errors.Is(err, errNobody): // gone, to nobody's need
		_, err = s.end(ctx, c.Allocation, ending{
			by: c.SettledBy, to: Expired, conflict: c.ID, lost: true, reason: matching.Reason{
				Code: CodeNotReceived, ZH: "核实已发出，但没有与之相符的需求。", EN: "Found to have been given, but to no need that fits.",
			},
		})
		return err
	case err != nil:
		return err
	default:
		s.settleLate(ctx, a)
	}
	// Others may have served the need, or used the cap, while it was kept.
	over, err := s.weigh(ctx, a, c.SettledBy)
	if err == nil && over {
		_, err = s.dispute(ctx, r, a, KindOver)
	}
	return err
}

var errNobody = errors.New("a spare that no need fits")

// finishDecisions carries out what was decided before a crash.
func (s *Service) finishDecisions(ctx context.Context) error {
	var open []*Conflict
	if err := s.conflicts.Each(ctx, store.Query{Index: "unapplied", Equal: []any{true}}, func(c *Conflict) error {
		open = append(open, c)
		return nil
	}); err != nil {
		return err
	}
	for _, c := range open {
		if err := s.decide(ctx, c); err != nil {
			return fmt.Errorf("carry out the decision on %s: %w", c.ID, err)
		}
	}
	return nil
}
