package app

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/qrcode"
)

// Scanners and partners get the public keys without signing in, as a JWK set
// that says when each key counts, and ask again cheaply.
func TestKeysAreAJWKSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.ring.New(t.Context(), keyring.NewKey{Algorithm: qrcode.SM2, From: w.now().Add(24 * time.Hour), CardDays: 30})
	must(t, err)
	got := w.do("visitor", "GET", "/api/v1/keys", nil)
	if got.status != 200 || got.header.Get("Content-Type") != "application/jwk-set+json" || got.header.Get("Cache-Control") != "public, max-age=300" || got.header.Get("Set-Cookie") != "" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	var set jwks
	got.into(t, &set)
	if len(set.Keys) != 2 {
		t.Fatalf("%d keys", len(set.Keys))
	}
	part := func(text string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text)
		must(t, err)
		return b
	}
	keys := w.ring.Keys()
	ed, sm := set.Keys[0], set.Keys[1]
	want := jwk{Kty: "OKP", Crv: "Ed25519", Alg: "EdDSA", Use: "sig", Kid: "1", X: ed.X, FromMs: keys[1].FromMs, CardDays: keyring.CardDays}
	if ed != want || string(part(ed.X)) != string(keys[1].Public) {
		t.Errorf("key 1 is %+v, want %+v", ed, want)
	}
	want = jwk{Kty: "EC", Crv: "SM2", Alg: "SM2", Use: "sig", Kid: "2", X: sm.X, Y: sm.Y, FromMs: keys[2].FromMs, CardDays: 30}
	if sm != want || "\x04"+string(part(sm.X))+string(part(sm.Y)) != string(keys[2].Public) {
		t.Errorf("key 2 is %+v, want %+v", sm, want)
	}
	for _, private := range []string{`"d"`, "private", "seed"} {
		if strings.Contains(string(got.body), private) {
			t.Errorf("the answer holds %s", private)
		}
	}

	tag := got.header.Get("ETag")
	for _, header0 := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		again := w.do("visitor", "GET", "/api/v1/keys", nil, header{"If-None-Match", header0})
		if again.status != 304 || len(again.body) != 0 || again.header.Get("ETag") != tag {
			t.Errorf("If-None-Match %s: %d, %d bytes", header0, again.status, len(again.body))
		}
	}
	_, err = w.ring.Revoke(t.Context(), 2)
	must(t, err)
	after := w.do("visitor", "GET", "/api/v1/keys", nil, header{"If-None-Match", tag})
	if after.status != 200 || after.header.Get("ETag") == tag {
		t.Fatalf("after a change: %d, tag %s", after.status, after.header.Get("ETag"))
	}
	set = jwks{}
	after.into(t, &set)
	if set.Keys[1].RevokedMs == 0 {
		t.Error("the revoked key is not marked")
	}
}

// A new key counts for a scan at once, also where it has not been heard of,
// and a compromised one does not, whatever it signed.
func TestScansFollowTheKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elsewhere, err := keyring.Open(t.Context(), keyring.Config{Record: w.app.Record, Vault: w.app.Vault, Now: w.now})
	must(t, err)
	old := w.digits(w.person)
	_, err = elsewhere.New(t.Context(), keyring.NewKey{Algorithm: qrcode.SM2})
	must(t, err)
	signer, err := elsewhere.Signer()
	must(t, err)
	parsed, err := qrcode.Parse(old)
	must(t, err)
	sm2, err := qrcode.Sign(qrcode.Card, signer, parsed.Code, uint32(w.now().Unix()/60))
	must(t, err)
	scan := func(digits string) int {
		return w.do("caseworker", "POST", "/api/v1/scans", scanRequest{digits}).status
	}
	if got := scan(sm2.Digits()); got != 200 {
		t.Errorf("a card of another process's new key: %d", got)
	}
	if got := scan(old); got != 200 {
		t.Errorf("a card of the first key: %d", got)
	}
	_, err = elsewhere.Revoke(t.Context(), 1)
	must(t, err)
	must(t, w.ring.Refresh(t.Context()))
	if got := scan(old); got != 404 {
		t.Errorf("a card of the compromised key: %d", got)
	}
	if got := w.digits(w.person); got == old || scan(got) != 200 {
		t.Error("the card printed anew is not taken")
	}
}
