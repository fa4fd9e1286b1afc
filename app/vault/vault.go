// Package vault keeps the keys: it encrypts personal fields, makes the keyed
// blind indexes that find a person without storing an ID number, holds the
// keys that sign happiness codes, and hashes passwords and PINs.
//
// It knows no network and no record. Whoever has the key file and the record
// can read everything; whoever has only one of the two cannot.
package vault

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Errors that callers tell apart.
var (
	// ErrKeyFile says that the key file cannot be used: its content is damaged
	// or others than its owner may read it.
	ErrKeyFile = errors.New("the key file cannot be used")
	// ErrSealed says that a sealed field does not open: it was changed, belongs
	// to another record or field, or was sealed with a key that is not here.
	ErrSealed = errors.New("a sealed field does not open")
)

// keyFileVersion is the layout of the key file.
const keyFileVersion = 1

// maxKeyFile is more than any key file of ours, in bytes.
const maxKeyFile = 1 << 20

// keyFile is the stored form. The AEAD keyset is tink's own JSON, so that
// tink's tools can rotate it.
type keyFile struct {
	Version   int             `json:"version"`
	AEAD      json.RawMessage `json:"aead_keyset"`
	Blind     []byte          `json:"blind_index_key"` // 32 bytes, never rotated: the indexes would be lost
	Signing   []signingKey    `json:"signing_keys"`
	CurrentID byte            `json:"current_signing_key"`
}

type signingKey struct {
	ID   byte   `json:"id"`
	Alg  string `json:"alg"`  // "Ed25519"
	Seed []byte `json:"seed"` // 32 bytes
}

// Vault seals and opens fields. It is immutable after [Open] and safe for
// concurrent use.
type Vault struct {
	aead    tink.AEAD
	blind   []byte
	current byte
	signing map[byte]ed25519.PrivateKey
}

// Open reads the key file at path; when there is none it makes one with fresh
// random keys, mode 0600, durable before Open returns. Two processes that make
// it at the same time end up with the same file.
//
// Errors: [ErrKeyFile]; anything else is the file system.
func Open(path string) (*Vault, error) {
	v, err := read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return v, err
	}
	if err := create(path); err != nil {
		return nil, fmt.Errorf("create key file %s: %w", path, err)
	}
	return read(path)
}

func read(path string) (*Vault, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", path, ErrKeyFile)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, others may read it; run: chmod 600 %s: %w", path, mode, path, ErrKeyFile)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	v, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrKeyFile, err)
	}
	return v, nil
}

// parse never puts key material into its errors.
func parse(content []byte) (*Vault, error) {
	if len(content) > maxKeyFile {
		return nil, errors.New("too large")
	}
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	var k keyFile
	if err := dec.Decode(&k); err != nil {
		return nil, errors.New("not a key file")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	if k.Version != keyFileVersion {
		return nil, fmt.Errorf("layout %d is not known", k.Version)
	}
	if len(k.Blind) != sha256.Size {
		return nil, errors.New("the blind index key has the wrong length")
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(k.AEAD)))
	if err != nil {
		return nil, errors.New("the AEAD keyset cannot be read")
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("the AEAD keyset cannot be used")
	}
	v := &Vault{aead: primitive, blind: k.Blind, current: k.CurrentID, signing: map[byte]ed25519.PrivateKey{}}
	for _, s := range k.Signing {
		if s.Alg != "Ed25519" || len(s.Seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("signing key %d is not an Ed25519 seed", s.ID)
		}
		if _, twice := v.signing[s.ID]; twice {
			return nil, fmt.Errorf("signing key %d is there twice", s.ID)
		}
		v.signing[s.ID] = ed25519.NewKeyFromSeed(s.Seed)
	}
	if _, ok := v.signing[k.CurrentID]; !ok {
		return nil, fmt.Errorf("the current signing key %d is missing", k.CurrentID)
	}
	return v, nil
}

func fresh() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	var set bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&set)); err != nil {
		return nil, err
	}
	k := keyFile{
		Version: keyFileVersion, AEAD: set.Bytes(), Blind: make([]byte, sha256.Size), CurrentID: 1,
		Signing: []signingKey{{ID: 1, Alg: "Ed25519", Seed: make([]byte, ed25519.SeedSize)}},
	}
	_, _ = rand.Read(k.Blind) // never fails: crypto/rand ends the program first
	_, _ = rand.Read(k.Signing[0].Seed)
	return json.MarshalIndent(k, "", "  ")
}

// create writes the whole file under another name and links it into place: a
// reader sees all of it or nothing, and of two writers one wins.
func create(path string) error {
	content, err := fresh()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func associated(field, recordID string) []byte { return []byte(field + "\x00" + recordID) }

// Seal encrypts a field of a record; the result is base64 and opens only for
// the same field of the same record. Empty text seals to empty text, so that
// an absent field stays visibly absent.
func (v *Vault) Seal(field, recordID, plain string) (string, error) {
	if plain == "" {
		return "", nil
	}
	sealed, err := v.aead.Encrypt([]byte(plain), associated(field, recordID))
	if err != nil {
		return "", fmt.Errorf("seal %s of %s: %w", field, recordID, err)
	}
	return base64.RawStdEncoding.EncodeToString(sealed), nil
}

// OpenField decrypts what [Vault.Seal] made. Errors: [ErrSealed].
func (v *Vault) OpenField(field, recordID, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("open %s of %s: %w", field, recordID, ErrSealed)
	}
	plain, err := v.aead.Decrypt(raw, associated(field, recordID))
	if err != nil {
		return "", fmt.Errorf("open %s of %s: %w", field, recordID, ErrSealed)
	}
	return string(plain), nil
}

// BlindIndex returns the keyed fingerprint by which a value is looked up
// without being stored: HMAC-SHA256 over the field's name and the normalised
// value, as 64 hex digits. Equal values of different fields differ.
func (v *Vault) BlindIndex(field, normalised string) string {
	mac := hmac.New(sha256.New, v.blind)
	mac.Write([]byte(field))
	mac.Write([]byte{0})
	mac.Write([]byte(normalised))
	return hex.EncodeToString(mac.Sum(nil))
}

// Signer returns the key that signs new happiness codes, and its id.
func (v *Vault) Signer() (keyID byte, key ed25519.PrivateKey) {
	return v.current, v.signing[v.current]
}

// SignerOf returns the signing key with this id, so that a card issued under
// an earlier key can be printed again as it was.
func (v *Vault) SignerOf(keyID byte) (ed25519.PrivateKey, bool) {
	key, ok := v.signing[keyID]
	return key, ok
}

// PublicKeys returns the keys that verify happiness codes, by id; the map is
// the caller's own.
func (v *Vault) PublicKeys() map[byte]ed25519.PublicKey {
	keys := make(map[byte]ed25519.PublicKey, len(v.signing))
	for id, private := range v.signing {
		keys[id] = private.Public().(ed25519.PublicKey)
	}
	return keys
}
