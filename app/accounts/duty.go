package accounts

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"

	"github.com/xingfuma/happycode/app/store"
)

// Duty is what somebody of an organisation is there for 职责.
type Duty string

// The duties. Others than providers have none.
const (
	Owner    Duty = "owner"    // 负责人: everything
	Editor   Duty = "editor"   // 编辑: everything but people, documents and tokens
	HandOver Duty = "handover" // 交付员: the counter only
)

// Duties are those that an organisation can give, the widest first.
func Duties() []Duty { return []Duty{Owner, Editor, HandOver} }

// Right is what a route lets a provider do. The zero value is [ToRun], so that
// a route that says nothing is closed to those who only hand over.
type Right string

// The rights.
const (
	ToRun      Right = ""         // offers, funds, figures, events, the organisation's profile
	ToEnter    Right = "enter"    // being signed in: one's password, one's language
	ToHandOver Right = "handover" // what the organisation offers and owes, and giving it
	ToOwn      Right = "own"      // people, documents, and the tokens that let programs in
)

// May says whether this principal may do what a route is for. For others than
// providers the role alone decides. It is the one place where duties have a
// meaning.
func (p Principal) May(right Right) bool {
	if p.Role != Provider {
		return true
	}
	switch right {
	case ToEnter:
		return true
	case ToHandOver:
		return p.Duty == Owner || p.Duty == Editor || p.Duty == HandOver
	case ToRun:
		return p.Duty == Owner || p.Duty == Editor
	case ToOwn:
		return p.Duty == Owner
	}
	return false
}

// duty is that of a provider; accounts of before duties were kept own.
func (a *Account) duty() Duty {
	if a.Role == Provider && a.Duty == "" {
		return Owner
	}
	return a.Duty
}

// duty is that of a provider's token; those of before duties were kept edit. A
// token never owns: it could make accounts that outlive it.
func (t *ServiceToken) duty() Duty {
	if t.Role == Provider && t.Duty == "" {
		return Editor
	}
	return t.Duty
}

func checkDuty(role Role, d Duty, token bool) error {
	switch {
	case role != Provider && d != "":
		return FieldError{"duty", "只有资源方账户有职责，请清空此项。", "Only a provider has a duty: leave it empty.", ErrRole}
	case role != Provider || d == Editor || d == HandOver || d == Owner && !token:
		return nil
	case token:
		return FieldError{"duty", "令牌的职责应为 editor 或 handover。", "The duty of a token is editor or handover.", ErrRole}
	}
	return FieldError{"duty", "请选择职责：负责人、编辑或交付员。", "Choose a duty: owner, editor or handover.", ErrRole}
}

// SetDuty changes what an account of an organisation is there for; its sessions
// are dead at once. Errors: [FieldError] around [ErrRole]; [store.ErrNotFound].
func (s *Service) SetDuty(ctx context.Context, by, id string, d Duty) error {
	a, err := s.accounts.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := checkDuty(a.Role, d, false); err != nil {
		return err
	}
	if a.duty() == d {
		return nil
	}
	return s.change(ctx, by, id, func(a *Account) { a.Duty = d })
}

// Members returns one page of an organisation's accounts in the order of their
// making, disabled ones too.
func (s *Service) Members(ctx context.Context, organisation, after string, limit int) (page []*Account, next string, err error) {
	page, next, err = s.accounts.Find(ctx, store.Query{
		Index: "organisation", Equal: []any{organisation}, After: after, Limit: limit,
	})
	for _, a := range page {
		a.Duty = a.duty()
	}
	return page, next, err
}

// Owners are the accounts that own an organisation and can sign in.
func (s *Service) Owners(ctx context.Context, organisation string) ([]string, error) {
	var out []string
	err := s.accounts.Each(ctx, store.Query{Index: "organisation", Equal: []any{organisation}}, func(a *Account) error {
		if a.duty() == Owner && !a.Disabled {
			out = append(out, a.ID)
		}
		return nil
	})
	return out, err
}

// DrawPassword makes a password to begin with: 80 random bits as 16 lower-case
// letters and digits in groups of four.
func DrawPassword() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program first
	s := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}
