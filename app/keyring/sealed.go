package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/qrcode"
)

// facts is what is known of a key but its secret, as it is sealed.
type facts struct {
	ID          byte             `json:"id"`
	Algorithm   qrcode.Algorithm `json:"algorithm"`
	Public      []byte           `json:"public"`
	FromMs      int64            `json:"from_ms"`
	SignUntilMs int64            `json:"sign_until_ms"`
	CardDays    int64            `json:"card_days"`
	RevokedMs   int64            `json:"revoked_ms"`
}

func (r *Ring) sealFacts(k qrcode.Key) (string, error) {
	text, err := json.Marshal(facts(k))
	if err != nil {
		return "", err
	}
	return r.cfg.Vault.Seal(factsField, documentID(k.ID), string(text))
}

func (r *Ring) seal(k qrcode.Key, secret []byte) (*stored, error) {
	doc := &stored{Meta: store.Meta{ID: documentID(k.ID)}}
	var err error
	if doc.Facts, err = r.sealFacts(k); err != nil {
		return nil, err
	}
	doc.Private, err = r.cfg.Vault.Seal(privateField, doc.ID, base64.RawStdEncoding.EncodeToString(secret))
	return doc, err
}

func (r *Ring) openFacts(doc *stored) (qrcode.Key, error) {
	text, err := r.cfg.Vault.OpenField(factsField, doc.ID, doc.Facts)
	if err != nil {
		return qrcode.Key{}, err
	}
	var f facts
	if err := json.Unmarshal([]byte(text), &f); err != nil || documentID(f.ID) != doc.ID {
		return qrcode.Key{}, fmt.Errorf("facts of signing key %s: %w", doc.ID, vault.ErrSealed)
	}
	return qrcode.Key(f), nil
}

// open opens a stored key; private is nil where it was destroyed. A private
// part that does not belong to the public one makes the whole a fault.
func (r *Ring) open(doc *stored) (k qrcode.Key, private *qrcode.PrivateKey, err error) {
	if k, err = r.openFacts(doc); err != nil || doc.Private == "" {
		return k, nil, err
	}
	text, err := r.cfg.Vault.OpenField(privateField, doc.ID, doc.Private)
	if err != nil {
		return k, nil, err
	}
	secret, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return k, nil, fmt.Errorf("private part of signing key %s: %w", doc.ID, vault.ErrSealed)
	}
	if private, err = qrcode.NewPrivateKey(k.ID, k.Algorithm, secret); err != nil {
		return k, nil, err
	}
	if !bytes.Equal(private.Public(), k.Public) {
		return k, nil, fmt.Errorf("the parts of signing key %s do not belong together: %w", doc.ID, vault.ErrSealed)
	}
	return k, private, nil
}
