package vault

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// How secrets are hashed: Argon2id with 19 MiB of memory, two passes, one lane.
//
// Source: threats.md, "password guessing"; OWASP Password Storage Cheat Sheet.
const (
	argonMemoryKiB = 19 * 1024
	argonPasses    = 2
	argonLanes     = 1
	argonSalt      = 16
	argonKey       = 32
)

// Bounds on the parameters of a stored hash, so that a damaged or planted one
// cannot make a check cost gigabytes or hours.
const (
	maxArgonMemoryKiB = 256 * 1024
	maxArgonPasses    = 16
	maxArgonLanes     = 16
)

var errHash = errors.New("not an argon2id hash")

// HashSecret returns the Argon2id hash of a password or PIN as a PHC string,
// with a fresh random salt. It costs 19 MiB and tens of milliseconds.
func HashSecret(secret string) string {
	var salt [argonSalt]byte
	_, _ = rand.Read(salt[:]) // never fails: crypto/rand ends the program first
	key := argon2.IDKey([]byte(secret), salt[:], argonPasses, argonMemoryKiB, argonLanes, argonKey)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemoryKiB, argonPasses, argonLanes,
		base64.RawStdEncoding.EncodeToString(salt[:]), base64.RawStdEncoding.EncodeToString(key))
}

// CheckSecret says whether hash, a PHC string made by [HashSecret], is of
// secret. Anything that is not such a string is of no secret. The comparison
// takes the same time wherever the keys differ.
func CheckSecret(hash, secret string) bool {
	p, err := parsePHC(hash)
	if err != nil {
		return false
	}
	got := argon2.IDKey([]byte(secret), p.salt, p.passes, p.memoryKiB, p.lanes, uint32(len(p.key)))
	return subtle.ConstantTimeCompare(got, p.key) == 1
}

type phc struct {
	memoryKiB, passes uint32
	lanes             uint8
	salt, key         []byte
}

func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errHash
	}
	var p phc
	var lanes uint32
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memoryKiB, &p.passes, &lanes); err != nil {
		return phc{}, errHash
	}
	if p.memoryKiB < 8*lanes || p.memoryKiB > maxArgonMemoryKiB || p.passes < 1 || p.passes > maxArgonPasses || lanes < 1 || lanes > maxArgonLanes {
		return phc{}, errHash
	}
	p.lanes = uint8(lanes)
	var err error
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(p.salt) < 8 || len(p.salt) > 64 {
		return phc{}, errHash
	}
	if p.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(p.key) < 16 || len(p.key) > 64 {
		return phc{}, errHash
	}
	return p, nil
}
