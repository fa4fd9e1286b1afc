package app

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/qrcode"
)

// jwksType is the media type of a JWK set (RFC 7517, section 8.5.2).
const jwksType = "application/jwk-set+json"

// keysAge says how long scanners and partners may keep the keys. A revoked key
// counts there that much longer; here, not.
const keysAge = "public, max-age=300"

// keyRoutes are the public keys of the codes.
func keyRoutes() []Route {
	return []Route{
		{Method: fiber.MethodGet, Path: "/keys", Name: "listKeys", Handler: (*App).listKeys, Public: true,
			ZH: "验证幸福码的公钥（JWKS）", EN: "The public keys that codes are verified with (JWKS)", Response: jwks{}, ContentType: jwksType},
	}
}

// jwks is the keys as a JWK set: RFC 7517, for Ed25519 RFC 8037. SM2 has no
// registered names; its members are those of any other curve. Members that
// begin with xfm_ say when a key counts; readers that do not know them ignore
// them, as RFC 7517 has it.
type jwks struct {
	Keys []jwk `json:"keys"`
}

type jwk struct {
	Kty         string `json:"kty" enum:"OKP,EC"`
	Crv         string `json:"crv" enum:"Ed25519,SM2"`
	Alg         string `json:"alg" enum:"EdDSA,SM2"`
	Use         string `json:"use" enum:"sig"`
	Kid         string `json:"kid" description:"The key id in a code, in decimal."`
	X           string `json:"x" description:"base64url"`
	Y           string `json:"y,omitempty" description:"base64url; SM2 only"`
	FromMs      int64  `json:"xfm_from_ms" description:"Signs from."`
	SignUntilMs int64  `json:"xfm_sign_until_ms" description:"Codes stamped later are refused; 0: it still signs."`
	CardDays    int64  `json:"xfm_card_days" description:"A card is valid so many days after its issue minute."`
	RevokedMs   int64  `json:"xfm_revoked_ms" description:"Not 0: nothing signed by it counts."`
}

func jwksOf(keys qrcode.Keys) jwks {
	set := jwks{Keys: make([]jwk, 0, len(keys))}
	for _, k := range keys {
		j := jwk{
			Kty: "OKP", Crv: "Ed25519", Alg: "EdDSA", Use: "sig", Kid: strconv.Itoa(int(k.ID)),
			FromMs: k.FromMs, SignUntilMs: k.SignUntilMs, CardDays: k.CardDays, RevokedMs: k.RevokedMs,
		}
		if k.Algorithm == qrcode.SM2 { // 0x04 ‖ x ‖ y
			j.Kty, j.Crv, j.Alg = "EC", "SM2", "SM2"
			j.X, j.Y = base64.RawURLEncoding.EncodeToString(k.Public[1:33]), base64.RawURLEncoding.EncodeToString(k.Public[33:])
		} else {
			j.X = base64.RawURLEncoding.EncodeToString(k.Public)
		}
		set.Keys = append(set.Keys, j)
	}
	slices.SortFunc(set.Keys, func(a, b jwk) int {
		return cmp.Or(cmp.Compare(len(a.Kid), len(b.Kid)), strings.Compare(a.Kid, b.Kid))
	})
	return set
}

func (a *App) listKeys(c *fiber.Ctx) error {
	body, err := json.Marshal(jwksOf(a.Keys.Keys()))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	c.Set(fiber.HeaderETag, tag)
	c.Set(fiber.HeaderCacheControl, keysAge)
	if unchanged(c.Get(fiber.HeaderIfNoneMatch), tag) {
		return c.SendStatus(fiber.StatusNotModified)
	}
	c.Set(fiber.HeaderContentType, routeOf(c).ContentType)
	return c.Send(body)
}

// unchanged says whether an If-None-Match header names the tag (RFC 9110,
// section 13.1.2: weak comparison).
func unchanged(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == tag || part == "*" {
			return true
		}
	}
	return false
}
