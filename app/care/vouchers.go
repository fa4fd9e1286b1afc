package care

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

var (
	// ErrUnknownVoucher says that the code is of no voucher that this
	// organisation redeems: invented, mistyped, or another's. It does not say which.
	ErrUnknownVoucher = errors.New("no voucher of yours has this code")
	// ErrRedeemed says that the voucher was redeemed before.
	ErrRedeemed = errors.New("the voucher was redeemed before")
)

// byVoucher is what a redemption rests on: the code itself.
const byVoucher = "voucher"

// maxVouchers is how many codes of one allocation are shown; a promise of more
// units shows the rest when some of these are redeemed.
const maxVouchers = 60

// voucher says which unit of which promise a code is for. Its id is a keyed
// fingerprint: the record never holds a code. It is written before a code is
// shown for the first time, so that nobody has one that is not there.
type voucher struct {
	store.Meta `bson:",inline"`
	Allocation string `json:"allocation"`
	Unit       int64  `json:"unit"` // 1..the units promised
}

var voucherSchema = store.Schema{Name: "vouchers"}

// Voucher is one single-use code, for one unit of a promise.
type Voucher struct {
	Unit       int64  `json:"unit"` // 1..
	Code       string `json:"code"` // as people read it
	RedeemedMs int64  `json:"redeemed_ms"`
}

// code is the code of a unit: the same whenever it is asked for, and nobody's
// guess without the key.
func (s *Service) voucherCode(allocation string, unit int64) (providers.VoucherCode, error) {
	code, ok := providers.NewVoucherCode(s.vault.BlindIndex("voucher_code", allocation+"|"+strconv.FormatInt(unit, 10)))
	if !ok {
		return "", fmt.Errorf("voucher %d of %s: no code", unit, allocation)
	}
	return code, nil
}

func (s *Service) voucherID(code providers.VoucherCode) string {
	return s.vault.BlindIndex("voucher", string(code))
}

// Vouchers are the codes of a promise that is redeemed by voucher, in the order
// of its units; none before it was accepted and none once it has ended unfetched.
// Whoever calls it has decided that they may be seen, and audits it.
func (s *Service) Vouchers(ctx context.Context, id string) ([]Voucher, error) {
	a, err := s.allocations.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if a.Handover.How != providers.Voucher || a.State != Promised || a.AcceptedMs == 0 {
		return []Voucher{}, nil
	}
	out, docs := []Voucher{}, []*voucher{}
	open := 0
	for unit := int64(1); unit <= a.QtyUnits && open < maxVouchers; unit++ {
		code, err := s.voucherCode(a.ID, unit)
		if err != nil {
			return nil, err
		}
		v := Voucher{Unit: unit, Code: code.Spaced(), RedeemedMs: a.redeemedMs(unit)}
		if out = append(out, v); v.RedeemedMs == 0 {
			open++
			docs = append(docs, &voucher{Meta: store.Meta{ID: s.voucherID(code)}, Allocation: a.ID, Unit: unit})
		}
	}
	// A code that is there already stays as it is; of two units with one code, which
	// takes luck of 1 to 2⁵⁰, the first has it.
	if _, err := s.vouchers.InsertAll(ctx, docs); err != nil {
		return nil, err
	}
	return out, nil
}

// redeemedMs is when a unit was given, by its code or by hand; 0: not yet.
func (a *Allocation) redeemedMs(unit int64) int64 {
	at := int64(0)
	for i, x := range a.Parts {
		for _, b := range a.Backs {
			if b.AfterParts == int64(i) && slices.Contains(b.Vouchers, unit) {
				at = 0
			}
		}
		if slices.Contains(x.Vouchers, unit) {
			at = x.AtMs
		}
	}
	for _, b := range a.Backs {
		if b.AfterParts == int64(len(a.Parts)) && slices.Contains(b.Vouchers, unit) {
			at = 0
		}
	}
	return at
}

// nextVouchers are the first units that nobody has had, where there are codes.
func (a *Allocation) nextVouchers(units int64) (out []int64) {
	if a.Handover.How != providers.Voucher {
		return nil
	}
	for unit := int64(1); unit <= a.QtyUnits && int64(len(out)) < units; unit++ {
		if a.redeemedMs(unit) == 0 {
			out = append(out, unit)
		}
	}
	return out
}

// CounterVoucher is what a counter learns of a voucher: what it is for.
type CounterVoucher struct {
	TitleZH     string        `json:"title_zh"`
	TitleEN     string        `json:"title_en"`
	Unit        matching.Text `json:"unit"`
	UntilMs     int64         `json:"until_ms"`
	RedeemedMs  int64         `json:"redeemed_ms"` // 0: not yet
	Ended       bool          `json:"ended"`       // taken back or expired
	PINRequired bool          `json:"pin_required"`
}

// Voucher says what a code is for, to an organisation that redeems it.
// Errors: [ErrUnknownVoucher], [ErrNotYours] for who acts for no organisation.
func (s *Service) Voucher(ctx context.Context, p accounts.Principal, code string) (CounterVoucher, error) {
	a, unit, err := s.voucherOf(ctx, p, code)
	if err != nil {
		return CounterVoucher{}, err
	}
	return s.counterVoucher(a, unit), nil
}

func (s *Service) voucherOf(ctx context.Context, p accounts.Principal, typed string) (*Allocation, int64, error) {
	if p.Role != accounts.Provider || p.Organisation == "" {
		return nil, 0, ErrNotYours
	}
	code, ok := providers.ParseVoucherCode(typed)
	if !ok {
		return nil, 0, ErrUnknownVoucher
	}
	v, err := s.vouchers.Get(ctx, s.voucherID(code))
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, ErrUnknownVoucher
	}
	if err != nil {
		return nil, 0, err
	}
	a, err := s.allocations.Get(ctx, v.Allocation)
	if err != nil {
		return nil, 0, err
	}
	mine, err := s.redeems(ctx, p.Organisation, a)
	if err != nil {
		return nil, 0, err
	}
	if !mine {
		if err := s.audit.Write(ctx, audit.Entry{
			AtMs: s.now().UnixMilli(), Actor: p.Account, Role: string(p.Role), Act: "redeem_voucher", Object: a.ID,
			Subject: a.Resident, Division: a.Division, Outcome: "denied",
		}); err != nil {
			return nil, 0, err
		}
		return nil, 0, ErrUnknownVoucher
	}
	return a, v.Unit, nil
}

// redeems says whether an organisation redeems the codes of a promise. What a suspended
// one has promised itself stands; as another's partner it is stopped.
func (s *Service) redeems(ctx context.Context, organisation string, a *Allocation) (bool, error) {
	if a.Organisation == organisation || !a.Handover.Redeems(organisation) {
		return a.Organisation == organisation, nil
	}
	org, err := s.providers.Get(ctx, organisation)
	return err == nil && org.Status == providers.Approved, err
}

func (s *Service) counterVoucher(a *Allocation, unit int64) CounterVoucher {
	v := CounterVoucher{
		TitleZH: a.TitleZH, TitleEN: a.TitleEN, Unit: unitText(a.Unit, a.Category), UntilMs: a.ExpiresMs,
		RedeemedMs: a.redeemedMs(unit), Ended: a.State != Promised, PINRequired: s.codeWantsProof(a),
	}
	if a.State == HandedOver && v.RedeemedMs == 0 && a.RestUnits == 0 {
		v.RedeemedMs = a.givenMs() // with the others, by hand
	}
	if v.RedeemedMs > 0 {
		v.Ended, v.PINRequired = false, false
	}
	return v
}

// codeWantsProof says whether one more unit may not go by its code alone: with what
// of the promise went so before it is worth more than [Config.PINAboveFen]. Who found
// the sheet of codes gets no more than that, in however many steps.
func (s *Service) codeWantsProof(a *Allocation) bool {
	units := int64(1)
	for _, x := range a.Parts {
		if x.Proof == byVoucher {
			units += x.QtyUnits
		}
	}
	return s.wantsProofFor(a, units)
}

// Redeem gives one unit against its code, once. attempt names this try: a repeat of
// it, whose answer was lost, is told that it was redeemed. pin is asked where
// the code alone does not do, see [Service.codeWantsProof].
//
// Errors: [ErrUnknownVoucher], [ErrRedeemed], [ErrEnded], [ErrProofNeeded], those
// of a wrong PIN, [LeasedError], [ErrDisputed].
func (s *Service) Redeem(ctx context.Context, p accounts.Principal, code, attempt, pin string) (CounterVoucher, error) {
	a, unit, err := s.voucherOf(ctx, p, code)
	if err != nil {
		return CounterVoucher{}, err
	}
	if attempt == "" {
		attempt = store.NewID()
	}
	g := handing{by: p.Account, units: 1, proof: proof{how: byVoucher}, scan: fingerprint(p.Account, attempt), vouchers: []int64{unit}}
	if !g.done(a) && a.State == Promised && a.redeemedMs(unit) == 0 && s.codeWantsProof(a) {
		if pin == "" {
			return CounterVoucher{}, fmt.Errorf("redeem a voucher of %s: %w", a.ID, ErrProofNeeded)
		}
		if err := s.residents.CheckPIN(ctx, a.Resident, pin); err != nil {
			return CounterVoucher{}, fmt.Errorf("redeem a voucher of %s: %w", a.ID, s.triedPIN(ctx, p, "redeem_voucher", a, err))
		}
		g.proof.how = byPIN
	}
	if r, err := s.residents.Get(ctx, a.Resident); err != nil {
		return CounterVoucher{}, err
	} else if r.Status != residents.Active && !g.done(a) {
		return CounterVoucher{}, fmt.Errorf("redeem a voucher of %s: %w", a.ID, ErrEnded)
	}
	a, _, err = s.give(ctx, a.ID, g)
	if err != nil {
		return CounterVoucher{}, err
	}
	if err := s.audited(ctx, p, "redeem_voucher", a); err != nil {
		return CounterVoucher{}, err
	}
	return s.counterVoucher(a, unit), nil
}
