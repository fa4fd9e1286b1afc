// Package qrcode makes and checks happiness codes: signed tokens with no
// personal data in them, their digits, their pictures and the number printed
// below. It needs no network and no record.
package qrcode

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrToken says that the text is not a token in its one written form.
	ErrToken = errors.New("not a happiness code")
	// ErrSignature says that the token was not signed by the key it names.
	ErrSignature = errors.New("the code's signature is wrong")
	// ErrKey says that the key the token names does not count for it: it is not
	// known here, was revoked, or did not sign at the time of the stamp.
	ErrKey = errors.New("the code's key does not count")
	// ErrExpired says that a screen code is too old or from the future, or that
	// a card is past its date.
	ErrExpired = errors.New("the code has expired")
)

// Digits is the length of a written token: what 640 bits need in decimal.
const Digits = 193

// Size is the length of a token in bytes.
const Size = 80

const (
	version  = 1
	context  = "XFM-QR-v1\x00"
	signedTo = 16 // bytes that the signature covers
)

// ScreenStep is how long one screen code stands.
const ScreenStep = 30 * time.Second

// How many steps a screen code is accepted after and before its own.
const (
	stepsBack  = 2
	stepsAhead = 1
)

// Kind says what carries the token.
type Kind byte

// The kinds.
const (
	Card   Kind = 0 // printed; stands until its date, unless it is revoked
	Screen Kind = 1 // shown by a phone; stands for [ScreenStep] and the window of [Keys.Verify]
)

// Token is a happiness code. Stamp is the minute of issue (Unix time / 60 s)
// of a card and the step (Unix time / 30 s) of a screen code.
type Token struct {
	Kind      Kind
	Key       byte // id of the signing key; it also names the algorithm
	Code      [10]byte
	Stamp     uint32
	Signature [64]byte
}

// CodeID returns the code id as 20 lower-case hex digits.
func (t Token) CodeID() string { return hex.EncodeToString(t.Code[:]) }

func (t Token) bytes() [Size]byte {
	var b [Size]byte
	b[0] = version<<4 | byte(t.Kind)&0x0f
	b[1] = t.Key
	copy(b[2:12], t.Code[:])
	binary.BigEndian.PutUint32(b[12:16], t.Stamp)
	copy(b[16:], t.Signature[:])
	return b
}

func (t Token) message() []byte {
	b := t.bytes()
	return append([]byte(context), b[:signedTo]...)
}

// Sign makes the token of a code and signs it. Errors are the signer's.
func Sign(kind Kind, signer Signer, code [10]byte, stamp uint32) (Token, error) {
	t := Token{Kind: kind, Key: signer.ID(), Code: code, Stamp: stamp}
	var err error
	t.Signature, err = signer.Sign(t.message())
	return t, err
}

// Digits returns the token as exactly [Digits] decimal digits, with leading zeros.
func (t Token) Digits() string {
	b := t.bytes()
	return fmt.Sprintf("%0*s", Digits, new(big.Int).SetBytes(b[:]).String())
}

// Parse reads the digits of a token and says nothing of its signature. Only
// the form that [Token.Digits] writes is read: every token has one text.
//
// Errors: [ErrToken].
func Parse(digits string) (Token, error) {
	if len(digits) != Digits || !decimal(digits) {
		return Token{}, ErrToken
	}
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok || n.BitLen() > 8*Size {
		return Token{}, ErrToken
	}
	var b [Size]byte
	n.FillBytes(b[:])
	if b[0]>>4 != version || b[0]&0x0f > byte(Screen) {
		return Token{}, ErrToken
	}
	t := Token{Kind: Kind(b[0] & 0x0f), Key: b[1], Stamp: binary.BigEndian.Uint32(b[12:16])}
	copy(t.Code[:], b[2:12])
	copy(t.Signature[:], b[16:])
	return t, nil
}

func decimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// maxScanned bounds what a scanner may hand over, in bytes.
const maxScanned = 1024

// Extract returns the digits in what a scanner read: the digits themselves or
// an http(s) address whose fragment they are. Blanks around it are dropped.
// Which host the address names does not matter: the signature does.
//
// Errors: [ErrToken].
func Extract(scanned string) (string, error) {
	if len(scanned) > maxScanned {
		return "", ErrToken
	}
	s := strings.TrimSpace(scanned)
	if before, fragment, found := strings.Cut(s, "#"); found {
		scheme, rest, ok := strings.Cut(before, "://")
		if !ok || rest == "" || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
			return "", ErrToken
		}
		s = fragment
	}
	if len(s) != Digits || !decimal(s) {
		return "", ErrToken
	}
	return s, nil
}

// ScreenStamp is the step that now falls in: Unix time / 30 s.
func ScreenStamp(now time.Time) int64 { return floorDiv(now.Unix(), int64(ScreenStep/time.Second)) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// URL returns the address that a QR code carries, with the digits in the
// fragment, which no browser sends to a server; see [Prefix] for the host.
func URL(host string, t Token) string { return Prefix(host) + t.Digits() }

// Prefix is what stands before the digits in [URL]. host is a host name, with a
// port if need be, or "http://127.0.0.1:8080" and the like with its own scheme.
func Prefix(host string) string {
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	return strings.TrimRight(host, "/") + "/c#"
}
