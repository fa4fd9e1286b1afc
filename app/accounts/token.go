package accounts

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/store"
)

// MintToken makes a service token. The token itself is returned this once and
// kept nowhere. Errors: [FieldError] around [ErrRole], [ErrTTL] or
// [ErrName] (the label).
func (s *Service) MintToken(ctx context.Context, by string, n NewToken) (token string, t *ServiceToken, err error) {
	n.Label = strings.TrimSpace(n.Label)
	if c := utf8.RuneCountInString(n.Label); c < 1 || c > maxName || !utf8.ValidString(n.Label) {
		return "", nil, FieldError{"label", "请写明用途，最多 100 个字。",
			"Say what it is for, in at most 100 characters.", ErrName}
	}
	if err := checkRole(n.Role, n.Division, n.Organisation); err != nil {
		return "", nil, err
	}
	if n.Role == Provider && n.Duty == "" {
		n.Duty = Editor
	}
	if err := checkDuty(n.Role, n.Duty, true); err != nil {
		return "", nil, err
	}
	if n.TTL == 0 {
		n.TTL = defaultTokenTTL
	}
	if n.TTL < shortestTokenTTL || n.TTL > longestTokenTTL {
		return "", nil, FieldError{"ttl", "有效期为 1 分钟至 366 天。",
			"A token lives from 1 minute to 366 days.", ErrTTL}
	}
	token = tokenPrefix + secret()
	now := s.now()
	t = &ServiceToken{
		Meta: store.Meta{ID: digest(token)}, Label: n.Label, Role: n.Role, Division: n.Division,
		Organisation: n.Organisation, Duty: n.Duty, CreatedMs: store.Millis(now), CreatedBy: by,
		ExpiresMs: store.Millis(now.Add(n.TTL)),
	}
	if err := s.tokens.Insert(ctx, t); err != nil {
		return "", nil, err
	}
	return token, t, nil
}

// PrincipalOfToken recognises a service token. Errors: [ErrToken].
func (s *Service) PrincipalOfToken(ctx context.Context, token string) (Principal, error) {
	bits, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || !wellFormed(bits) {
		return Principal{}, ErrToken
	}
	t, err := s.tokens.Get(ctx, digest(token))
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, ErrToken
	}
	if err != nil {
		return Principal{}, err
	}
	if t.Revoked || t.ExpiresMs <= store.Millis(s.now()) {
		return Principal{}, ErrToken
	}
	return Principal{
		Account: "token:" + t.ID, Role: t.Role, Division: t.Division, Organisation: t.Organisation, Duty: t.duty(),
		Name: t.Label, Lang: "zh", Token: true,
	}, nil
}

// RevokeToken ends a service token by its id; again is no fault.
// Errors: [store.ErrNotFound].
func (s *Service) RevokeToken(ctx context.Context, by, id string) error {
	_, err := s.tokens.Change(ctx, id, func(t *ServiceToken) error {
		if !t.Revoked {
			t.Revoked, t.RevokedMs, t.RevokedBy = true, store.Millis(s.now()), by
		}
		return nil
	})
	return err
}

// Token reads a service token by its id, which lets nobody in.
// Errors: [store.ErrNotFound].
func (s *Service) Token(ctx context.Context, id string) (*ServiceToken, error) {
	return s.tokens.Get(ctx, id)
}

// TokensOf returns one page of an organisation's service tokens, also expired
// and revoked ones.
func (s *Service) TokensOf(ctx context.Context, organisation, after string, limit int) (page []*ServiceToken, next string, err error) {
	page, next, err = s.tokens.Find(ctx, store.Query{Index: "organisation", Equal: []any{organisation}, After: after, Limit: limit})
	for _, t := range page {
		t.Duty = t.duty()
	}
	return page, next, err
}

// Tokens returns one page of service tokens, also expired and revoked ones.
func (s *Service) Tokens(ctx context.Context, after string, limit int) (page []*ServiceToken, next string, err error) {
	return s.tokens.Find(ctx, store.Query{After: after, Limit: limit})
}
