package qrcode

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/emmansun/gmsm/sm2"
)

// Algorithm is how a key signs.
type Algorithm string

// The algorithms. Both have signatures of 64 bytes.
const (
	Ed25519 Algorithm = "Ed25519" // RFC 8032
	SM2     Algorithm = "SM2"     // GB/T 32918.2 with SM3 and the default user id; r ‖ s
)

// Algorithms lists what a key may be.
func Algorithms() []Algorithm { return []Algorithm{Ed25519, SM2} }

// ErrAlgorithm says that no key can be made: the algorithm is not known or the
// secret is not one of it.
var ErrAlgorithm = errors.New("no such signing key")

// secretSize is the length of a secret of either algorithm, in bytes.
const secretSize = 32

// An SM2 public key: a mark and the two coordinates of a point.
const (
	sm2PublicSize = 65
	uncompressed  = 4
)

// Slack is how far the stamp of a code may lie before the time in which its
// key signs, and after it. Servers' clocks differ and each hears of a retired
// key some seconds late; a phone shows codes that were signed for it up to
// half an hour ahead. A retired key is no compromised one: that is revoked,
// at once.
const Slack = 30 * time.Minute

// Key is a public key and when it counts.
type Key struct {
	ID          byte
	Algorithm   Algorithm
	Public      []byte // Ed25519: 32 bytes; SM2: 65 bytes, uncompressed
	FromMs      int64  // signs from, Unix ms
	SignUntilMs int64  // 0: still signing; codes stamped later are refused
	CardDays    int64  // a card is valid so many days after its issue minute
	RevokedMs   int64  // 0: not; else nothing signed by it counts
}

// Keys are the public keys that codes are checked with, by key id: a
// snapshot, never changed.
type Keys map[byte]Key

// Verify says whether the token was signed by the key it names, while that
// key signed, and whether it still stands: a screen code from one step before
// its own to the end of the second step after it, a card until its date,
// [Keys.CardUntil]. Whether the code was revoked, or used before, is not for
// this package to know.
//
// Errors: [ErrKey], [ErrSignature], [ErrExpired].
func (k Keys) Verify(t Token, now time.Time) error {
	key, ok := k[t.Key]
	if !ok || key.RevokedMs != 0 {
		return ErrKey
	}
	good, err := key.verify(t.message(), t.Signature)
	if err != nil {
		return err
	}
	if !good {
		return ErrSignature
	}
	return k.Stands(t, now)
}

// Stands is [Keys.Verify] without the signature: it says whether a token that
// was signed by the key it names counts at a time.
//
// Errors: [ErrKey], [ErrExpired].
func (k Keys) Stands(t Token, now time.Time) error {
	key, ok := k[t.Key]
	if !ok || key.RevokedMs != 0 || !key.Signed(t.stampMs()) {
		return ErrKey
	}
	if t.Kind == Screen {
		behind := ScreenStamp(now) - int64(t.Stamp)
		if behind > stepsBack || behind < -stepsAhead {
			return ErrExpired
		}
		return nil
	}
	if now.UnixMilli() >= key.cardUntil(t.Stamp) {
		return ErrExpired
	}
	return nil
}

// CardUntil is the date of a card, Unix ms, from which on it is refused; 0
// where the key is not known.
func (k Keys) CardUntil(t Token) int64 {
	key, ok := k[t.Key]
	if !ok {
		return 0
	}
	return key.cardUntil(t.Stamp)
}

func (k Key) cardUntil(minute uint32) int64 {
	return (int64(minute)*60 + k.CardDays*86400) * 1000
}

// Signed says whether the key may have signed something with this stamp, in
// Unix ms; see [Slack].
func (k Key) Signed(stampMs int64) bool {
	slack := Slack.Milliseconds()
	return stampMs >= k.FromMs-slack && (k.SignUntilMs == 0 || stampMs <= k.SignUntilMs+slack)
}

// stampMs is when the token says it was made, Unix ms.
func (t Token) stampMs() int64 {
	if t.Kind == Screen {
		return int64(t.Stamp) * ScreenStep.Milliseconds()
	}
	return int64(t.Stamp) * 60_000
}

func (k Key) verify(message []byte, signature [64]byte) (bool, error) {
	switch {
	case k.Algorithm == Ed25519 && len(k.Public) == ed25519.PublicKeySize:
		return ed25519.Verify(k.Public, message, signature[:]), nil
	case k.Algorithm == SM2 && len(k.Public) == sm2PublicSize && k.Public[0] == uncompressed:
		public, err := sm2.ParseUncompressedPublicKey(k.Public)
		if err != nil {
			return false, ErrKey
		}
		return verifySM2(public, message, signature), nil
	}
	return false, ErrKey
}

// rs is a signature as the SM2 package writes it, in DER.
type rs struct{ R, S *big.Int }

func verifySM2(public *ecdsa.PublicKey, message []byte, signature [64]byte) bool {
	// The library refuses r and s that are not from 1 to the order less one.
	der, err := asn1.Marshal(rs{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
	return err == nil && sm2.VerifyASN1WithSM2(public, nil, message, der)
}

// Signer signs tokens under its key id.
type Signer interface {
	ID() byte
	Sign(message []byte) ([64]byte, error)
}

// PrivateKey is a [Signer] that holds its secret. The same message always
// gets the same signature: Ed25519 by its nature, SM2 with the nonce of
// RFC 6979.
type PrivateKey struct {
	id      byte
	alg     Algorithm
	ed25519 ed25519.PrivateKey
	sm2     *sm2.PrivateKey
}

// NewSecret makes the secret of a new key, 32 random bytes.
//
// Errors: [ErrAlgorithm].
func NewSecret(alg Algorithm) ([]byte, error) {
	secret := make([]byte, secretSize)
	for {
		_, _ = rand.Read(secret) // never fails: crypto/rand ends the program first
		_, err := NewPrivateKey(1, alg, secret)
		// Of 2^256 numbers some 2^224 are no SM2 secrets.
		if err == nil || alg != SM2 {
			return secret, err
		}
	}
}

// NewPrivateKey returns the key with this secret: the seed of an Ed25519 key,
// the number d of an SM2 key, 32 bytes either.
//
// Errors: [ErrAlgorithm].
func NewPrivateKey(id byte, alg Algorithm, secret []byte) (*PrivateKey, error) {
	k := &PrivateKey{id: id, alg: alg}
	if len(secret) != secretSize {
		return nil, fmt.Errorf("secret of %d bytes: %w", len(secret), ErrAlgorithm)
	}
	switch alg {
	case Ed25519:
		k.ed25519 = ed25519.NewKeyFromSeed(secret)
	case SM2:
		var err error
		if k.sm2, err = sm2.NewPrivateKey(secret); err != nil {
			return nil, fmt.Errorf("secret out of range: %w", ErrAlgorithm)
		}
	default:
		return nil, fmt.Errorf("algorithm %q: %w", alg, ErrAlgorithm)
	}
	return k, nil
}

// ID is the key id.
func (k *PrivateKey) ID() byte { return k.id }

// Algorithm is how it signs.
func (k *PrivateKey) Algorithm() Algorithm { return k.alg }

// Public is the public key as in [Key.Public].
func (k *PrivateKey) Public() []byte {
	if k.alg == SM2 {
		b := make([]byte, sm2PublicSize)
		b[0] = uncompressed
		k.sm2.X.FillBytes(b[1:33])
		k.sm2.Y.FillBytes(b[33:])
		return b
	}
	return k.ed25519.Public().(ed25519.PublicKey)
}

// Sign signs a message.
func (k *PrivateKey) Sign(message []byte) (signature [64]byte, err error) {
	if k.alg == Ed25519 {
		copy(signature[:], ed25519.Sign(k.ed25519, message))
		return signature, nil
	}
	der, err := k.sm2.Sign(nil, message, sm2.NewSM2SignerOption(true, nil))
	if err != nil {
		return signature, fmt.Errorf("sign with key %d: %w", k.id, err)
	}
	var n rs
	if rest, err := asn1.Unmarshal(der, &n); err != nil || len(rest) > 0 {
		return signature, fmt.Errorf("sign with key %d: the signature is not r and s", k.id)
	}
	n.R.FillBytes(signature[:32])
	n.S.FillBytes(signature[32:])
	return signature, nil
}
