package care

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// What a handover rests on.
const (
	byPIN    = "pin" // the resident's, or the carer's whose code was shown
	byPhoto  = "photo"
	byScan   = "scan"
	byCardNo = "card_no"
	byCarer  = "carer" // a carer's code, scanned or typed
	byWord   = "word"  // the caseworker's own
)

// Evidence is what shows that the person was there at the handover; all of it
// is checked. A photo is not part of it: it is with the allocation already, see
// [Service.AddPhoto].
type Evidence struct {
	Scan string // the id of a scan of this resident by the same account in the last twelve hours
	Code string // the code or the card number
	PIN  string // the resident's PIN; the carer's where the code shown is the carer's
}

// scanProves is how long after a scan, or a photo, a handover still rests on
// it: a day's round through the villages.
const scanProves = 12 * time.Hour

// evidenceOf is how a code was read, as the audit entry of a scan says it:
// "carer:" and the carer's id for a carer's.
func evidenceOf(how, carer string) string {
	if carer != "" {
		return byCarer + ":" + carer
	}
	return how
}

// proof is what a handover rests on, and whose code was shown.
type proof struct{ how, carer string }

func proofOf(evidence string) proof {
	if carer, ok := strings.CutPrefix(evidence, byCarer+":"); ok {
		return proof{byCarer, carer}
	}
	return proof{evidence, ""}
}

// prove checks the evidence and says what the handover rests on.
// Errors: [ErrProof], and those of a wrong PIN.
func (s *Service) prove(ctx context.Context, p accounts.Principal, a *Allocation, e Evidence) (proof, error) {
	out := proof{how: byWord}
	if e.Scan != "" {
		scan, err := s.scanned(ctx, p, a.Resident, e.Scan)
		if err != nil {
			return proof{}, err
		}
		out = proofOf(scan.Object)
		if err := s.stillShows(ctx, a.Resident, out.carer, scan.AtMs); err != nil {
			return proof{}, err
		}
	}
	if e.Code != "" {
		r, c, how, err := s.identify(ctx, "handover", p.Account, e.Code)
		if errors.Is(err, ErrUnknownCode) || err == nil && r.ID != a.Resident {
			return proof{}, ErrProof
		}
		if err != nil {
			return proof{}, err
		}
		out = proof{how, c.Carer}
	}
	switch {
	case e.PIN == "":
		if s.pictured(a) {
			out.how = byPhoto
		}
		return out, nil
	case out.carer != "":
		out.how = byPIN
		return out, s.residents.CheckCarerPIN(ctx, out.carer, e.PIN)
	}
	out.how = byPIN
	return out, s.residents.CheckPIN(ctx, a.Resident, e.PIN)
}

// stillShows refuses a scan where the code shown, the carer's or else the
// resident's own, was revoked or replaced since, where the carer's time has
// ended, and where the resident has moved away or died. Errors: [ErrProof].
func (s *Service) stillShows(ctx context.Context, resident, carer string, scannedMs int64) error {
	r, err := s.residents.Get(ctx, resident)
	if err != nil {
		return err
	}
	id := r.Code
	if carer != "" {
		c, err := s.residents.Carer(ctx, resident, carer)
		if err != nil {
			return err
		}
		id = c.Code
	}
	r, code, err := s.residents.ByCode(ctx, id)
	if err != nil {
		return err
	}
	if r.Status != residents.Active || code.Status != residents.CodeActive || code.IssuedAtMs() > scannedMs {
		return ErrProof
	}
	return nil
}

// scanned is the audit entry of a scan of the principal's; its object says how
// the resident's code was read, as [evidenceOf] does. Errors: [ErrProof].
func (s *Service) scanned(ctx context.Context, p accounts.Principal, resident, scan string) (audit.Entry, error) {
	since := s.now().Add(-scanProves).UnixMilli()
	for after := ""; ; {
		entries, next, err := s.audit.Of(ctx, resident, after, 200)
		if err != nil {
			return audit.Entry{}, err
		}
		for _, x := range entries {
			if x.AtMs < since {
				return audit.Entry{}, ErrProof
			}
			if x.ID == scan && x.Act == "scan" && x.Actor == p.Account && x.Outcome == "ok" {
				return x, nil
			}
		}
		if next == "" {
			return audit.Entry{}, ErrProof
		}
		after = next
	}
}

// ShownBy says which carer showed the code at a scan of the principal's; ok is
// false where it was the resident's own. Errors: [ErrProof] when there is no
// such scan of this resident in the last twelve hours.
func (s *Service) ShownBy(ctx context.Context, p accounts.Principal, resident, scan string) (_ ShownBy, ok bool, err error) {
	entry, err := s.scanned(ctx, p, resident, scan)
	if err != nil {
		return ShownBy{}, false, err
	}
	carer := proofOf(entry.Object).carer
	if carer == "" {
		return ShownBy{}, false, nil
	}
	shown, err := s.shownBy(ctx, resident, carer)
	return shown, err == nil, err
}

func (s *Service) shownBy(ctx context.Context, resident, carer string) (ShownBy, error) {
	c, err := s.residents.Carer(ctx, resident, carer)
	if err != nil {
		return ShownBy{}, err
	}
	name, _, err := s.residents.OpenCarer(c)
	if err != nil {
		return ShownBy{}, err
	}
	return ShownBy{Name: name, Relation: c.Relation, UntilMs: c.UntilMs}, nil
}

// PINAboveFen is the worth in fen above which a handover takes a PIN or a
// photo; ok is false where it never does.
func (s *Service) PINAboveFen() (fen int64, ok bool) {
	if s.pinAbove == nil {
		return 0, false
	}
	return *s.pinAbove, true
}

// wantsProof says whether what was promised is worth so much that it is handed
// over against a PIN or a photo only. Money counts as its amount, everything
// else as what the offer says it is worth.
func (s *Service) wantsProof(a *Allocation) bool { return s.wantsProofFor(a, a.QtyUnits) }

func (s *Service) wantsProofFor(a *Allocation, units int64) bool {
	limit, ok := s.PINAboveFen()
	switch {
	case !ok:
		return false
	case limit == 0:
		return true
	case a.Category == providers.Cash:
		return units > limit
	}
	// value × quantity > limit, without the product, which may not fit.
	return units > 0 && a.ValueFen > limit/units
}

// HandOver records that the aid was given, and what proves it. Above the worth
// of [Config.PINAboveFen] that has to be a PIN or a photo. Handing over again
// changes nothing.
// Errors: [ErrEnded] when it was declined or expired, [ErrNotYours],
// [ErrProof] when evidence is given that does not fit, [ErrProofNeeded],
// those of a wrong PIN, [store.ErrNotFound].
func (s *Service) HandOver(ctx context.Context, p accounts.Principal, id string, evidence Evidence) (AllocationView, error) {
	if p.Role == accounts.Resident {
		return AllocationView{}, ErrNotYours
	}
	a, err := s.mine(ctx, p, "handover", id)
	if err != nil {
		return AllocationView{}, err
	}
	proven, err := s.prove(ctx, p, a, evidence)
	if err != nil {
		return AllocationView{}, fmt.Errorf("hand over %s: %w", id, err)
	}
	if a.State == Promised && s.wantsProof(a) && proven.how != byPIN && proven.how != byPhoto {
		return AllocationView{}, fmt.Errorf("hand over %s: %w", id, ErrProofNeeded)
	}
	a, err = s.end(ctx, id, ending{
		by: p.Account, to: HandedOver, remark: proven.how, carer: proven.carer, scan: evidence.Scan,
		reason: matching.ReasonHandedOver(),
	})
	if err != nil {
		return AllocationView{}, fmt.Errorf("hand over %s: %w", id, err)
	}
	if err := s.audited(ctx, p, doneBy(p, "handover", a.EndedBy), a); err != nil {
		return AllocationView{}, err
	}
	return s.view(a), nil
}
