package residents

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/qrcode"
)

// maxDraws is how often another code id is drawn when a card number is taken
// already: with ten million cards one draw in 10,000 is.
const maxDraws = 16

// errNoCardNumber says that maxDraws in a row were taken, which does not happen.
var errNoCardNumber = errors.New("no free card number")

// order asks for the issue-th code of a resident, or for the one of a carer.
type order struct {
	resident string
	issue    int64
	carer    string
}

// text is what the id of the order's code is made from; no resident's id is
// the word "carer".
func (o order) text() string {
	if o.carer != "" {
		return "carer\x00" + o.carer
	}
	return o.resident + "\x00" + strconv.FormatInt(o.issue, 10)
}

// issue writes the codes that are not there yet and returns them in the order
// of the orders. A code id is a keyed fingerprint of the resident and the
// issue: as good as random to whoever has not the vault, and the same when a
// crash makes us do it again.
func (s *Service) issue(ctx context.Context, by string, orders []order) ([]*Code, error) {
	signer, err := s.cfg.Keys.Signer()
	if err != nil {
		return nil, fmt.Errorf("issue codes: %w", err)
	}
	out := make([]*Code, len(orders))
	var open []int // positions without a code yet
	for i := range orders {
		open = append(open, i)
	}
	for draw := 0; len(open) > 0; draw++ {
		if draw == maxDraws {
			return nil, errNoCardNumber
		}
		position := make(map[string]int, len(open))
		codes := make([]*Code, len(open))
		for i, p := range open {
			codes[i] = s.newCode(by, signer.ID(), orders[p], draw)
			out[p], position[codes[i].ID] = codes[i], p
		}
		duplicates, err := s.codes.InsertAll(ctx, codes)
		if err != nil {
			return nil, err
		}
		ids := make([]string, len(duplicates))
		for i, d := range duplicates {
			ids[i] = d.ID
			out[position[d.ID]] = nil
		}
		there, err := s.codes.GetAll(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, c := range there {
			if p := position[c.ID]; c.Resident == orders[p].resident && c.Carer == orders[p].carer {
				out[p] = c
			}
		}
		open = open[:0]
		for p := range out {
			if out[p] == nil {
				open = append(open, p)
			}
		}
	}
	return out, nil
}

func (s *Service) newCode(by string, key byte, o order, draw int) *Code {
	id := s.cfg.Vault.BlindIndex("code", o.text()+"\x00"+strconv.Itoa(draw))[:20]
	return &Code{
		Meta: store.Meta{ID: id}, Resident: o.resident, Carer: o.carer, CardNo: qrcode.CardNumber(codeBytes(id)), Status: CodeActive,
		IssuedMinute: uint32(s.cfg.Now().Unix() / 60), IssuedMs: store.Millis(s.cfg.Now()), IssuedBy: by, SigningKey: key,
	}
}

// codeBytes is the code id as a token carries it; ids are 20 hex digits.
func codeBytes(id string) (b [10]byte) {
	_, _ = hex.Decode(b[:], []byte(id[:min(len(id), 2*len(b))]))
	return b
}

// CodeByID reads a code as stored: its Status says nothing of a newer code,
// unlike [Service.ByCode]. Errors: [store.ErrNotFound].
func (s *Service) CodeByID(ctx context.Context, id string) (*Code, error) {
	return s.codes.Get(ctx, id)
}

// Token returns the card's token, as the record has it: the same picture
// every time, also when its key is retired. Where such a card would not be
// accepted any more, because its key was revoked, is gone or has its last date
// behind it, the card is signed anew with the current key and the present
// minute, and the record says so. Cards of the same code printed earlier stand
// as long as their own key and date let them.
//
// Errors: the keys' and the record's.
func (s *Service) Token(ctx context.Context, code *Code) (qrcode.Token, error) {
	token, err := s.card(code)
	if err == nil {
		return token, nil
	}
	signer, err := s.cfg.Keys.Signer()
	if err != nil {
		return qrcode.Token{}, fmt.Errorf("sign card %s: %w", code.ID, err)
	}
	fresh, err := s.codes.Change(ctx, code.ID, func(c *Code) error {
		if _, err := s.card(c); err == nil { // somebody else has signed it anew
			*code = *c
			return errUnchanged
		}
		c.SigningKey, c.IssuedMinute = signer.ID(), uint32(s.cfg.Now().Unix()/60)
		return nil
	})
	switch {
	case err == nil:
		*code = *fresh
	case !errors.Is(err, errUnchanged):
		return qrcode.Token{}, fmt.Errorf("sign card %s: %w", code.ID, err)
	}
	return s.card(code)
}

// card is the token as the record has it, if it is accepted now.
func (s *Service) card(code *Code) (qrcode.Token, error) {
	signer, err := s.cfg.Keys.SignerOf(code.SigningKey)
	if err != nil {
		return qrcode.Token{}, err
	}
	token, err := qrcode.Sign(qrcode.Card, signer, codeBytes(code.ID), code.IssuedMinute)
	if err != nil {
		return qrcode.Token{}, err
	}
	return token, s.cfg.Keys.Keys().Stands(token, s.cfg.Now())
}

// ScreenToken returns the token that a resident's own page shows at this
// moment, signed with the current key; it stands for [qrcode.ScreenStep].
//
// Errors: the keys'.
func (s *Service) ScreenToken(code *Code, now time.Time) (qrcode.Token, error) {
	signer, err := s.cfg.Keys.Signer()
	if err != nil {
		return qrcode.Token{}, fmt.Errorf("sign screen code %s: %w", code.ID, err)
	}
	return qrcode.Sign(qrcode.Screen, signer, codeBytes(code.ID), uint32(qrcode.ScreenStamp(now)))
}

// CountCodes counts the codes in force whose card this key signs.
func (s *Service) CountCodes(ctx context.Context, key byte) (int64, error) {
	var n int64
	err := s.codes.Each(ctx, store.Query{Index: "signing_key", Equal: []any{int64(key), string(CodeActive)}}, func(*Code) error {
		n++
		return nil
	})
	return n, err
}

// Reissue gives a resident a new code; from the moment it returns, and for
// everybody, the one before is revoked. Carers keep theirs: a lost card is not
// the carer's. why is of [CodeReasons].
//
// Errors: [FieldError], [store.ErrNotFound].
func (s *Service) Reissue(ctx context.Context, by, residentID string, why Why) (*Code, error) {
	if err := why.of(CodeReasons()); err != nil {
		return nil, err
	}
	var before string
	var code *Code
	_, err := s.residents.Change(ctx, residentID, func(r *Resident) error {
		codes, err := s.issue(ctx, by, []order{{resident: r.ID, issue: r.Codes + 1}})
		if err != nil {
			return err
		}
		before, code = r.Code, codes[0]
		r.Code, r.CardNo = code.ID, code.CardNo
		r.Codes++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reissue code of %s: %w", residentID, err)
	}
	// The resident names the new code, so that the old one is dead already;
	// this only writes down who did it, and why.
	if err := s.Revoke(ctx, by, before, why); err != nil {
		return nil, err
	}
	return code, nil
}

// Revoke makes a code unusable at once; a resident whose current code it is has
// none until [Service.Reissue]. Revoking again changes nothing, neither who nor
// why.
//
// Errors: [FieldError], [store.ErrNotFound].
func (s *Service) Revoke(ctx context.Context, by, codeID string, why Why) error {
	if err := why.of(append(CodeReasons(), WhyEnded)); err != nil {
		return err
	}
	_, err := s.codes.Change(ctx, codeID, func(c *Code) error {
		if c.Status == CodeRevoked {
			return errUnchanged
		}
		c.Status, c.RevokedMs, c.RevokedBy, c.RevokedWhy = CodeRevoked, store.Millis(s.cfg.Now()), by, why
		return nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("revoke code %s: %w", codeID, err)
	}
	return nil
}

// Codes are all codes of a resident and of those who show one for them, newest
// first. Their Status is what counts now, as in [Service.ByCode].
func (s *Service) Codes(ctx context.Context, r *Resident) ([]*Code, error) {
	var out []*Code
	if err := s.codes.Each(ctx, store.Query{Index: "resident", Equal: []any{r.ID}}, func(c *Code) error {
		out = append(out, c)
		return nil
	}); err != nil {
		return nil, err
	}
	carers, err := s.Carers(ctx, r)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*Carer, len(carers))
	for _, c := range carers {
		byID[c.ID] = c
	}
	for _, c := range out {
		if !s.counts(r, c, byID[c.Carer]) {
			c.Status = CodeRevoked
		}
	}
	slices.SortFunc(out, func(a, b *Code) int {
		newer := cmp.Compare(b.IssuedAtMs(), a.IssuedAtMs())
		if newer == 0 && r.Code == a.ID {
			return -1
		}
		if newer == 0 && r.Code == b.ID {
			return 1
		}
		return newer
	})
	return out, nil
}

// errUnchanged stops a Change that has nothing to write.
var errUnchanged = errors.New("nothing to change")
