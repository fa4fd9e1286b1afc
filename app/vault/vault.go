// Package vault keeps the keys of the record: it encrypts personal fields and
// the keys that sign happiness codes, makes the keyed blind indexes that find
// a person without storing an ID number, and hashes passwords and PINs.
//
// It knows no network and no record. Whoever has the key file and the record
// can read everything; whoever has only one of the two cannot.
package vault

import (
	"bytes"
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
	"slices"

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
	// ErrSecret says that the key file is encrypted and the secret for it is
	// missing or another one.
	ErrSecret = errors.New("the key file is encrypted under another secret")
	// ErrSealed says that a sealed field does not open: it was changed, belongs
	// to another record or field, or was sealed with a key that is not here.
	ErrSealed = errors.New("a sealed field does not open")
)

// keyFileVersion is the layout of the key file.
const keyFileVersion = 1

// seedSize is the length of an Ed25519 seed.
const seedSize = 32

// maxKeyFile is more than any key file of ours, in bytes.
const maxKeyFile = 1 << 20

// keyFile is the stored form. The AEAD keyset is tink's own JSON, so that
// tink's tools can rotate it. Signing keys stand only in files that were made
// when there was one key for good; app/keyring takes them into the record.
type keyFile struct {
	Version   int             `json:"version"`
	AEAD      json.RawMessage `json:"aead_keyset"`
	Blind     []byte          `json:"blind_index_key"` // 32 bytes, never rotated: the indexes would be lost
	Signing   []signingKey    `json:"signing_keys,omitempty"`
	CurrentID byte            `json:"current_signing_key,omitempty"`
}

type signingKey struct {
	ID   byte   `json:"id"`
	Alg  string `json:"alg"`  // "Ed25519"
	Seed []byte `json:"seed"` // 32 bytes
}

// Seed is a signing key that an early key file holds, an Ed25519 key.
type Seed struct {
	ID      byte
	Secret  []byte // 32 bytes
	Current bool   // it signed new codes
}

// Vault seals and opens fields. It is immutable after [Open] and safe for
// concurrent use.
type Vault struct {
	aead  tink.AEAD
	blind []byte
	seeds []Seed
}

// Open is [OpenWith] for a key file that is not encrypted.
func Open(path string) (*Vault, error) { return OpenWith(path, nil) }

// OpenWith reads the key file at path; when there is none it makes one with
// fresh random keys, mode 0600, durable before OpenWith returns. Two processes
// that make it at the same time end up with the same file.
//
// With a secret of [SecretSize] bytes a new file is encrypted, and an encrypted
// one opens with its secret only. A plain one is read as it is, see [Encrypt].
//
// Errors: [ErrKeyFile], [ErrSecret]; anything else is the file system.
func OpenWith(path string, secret []byte) (*Vault, error) {
	v, _, err := read(path, secret)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path, secret); err != nil {
			return nil, fmt.Errorf("create key file %s: %w", path, err)
		}
		v, _, err = read(path, secret)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// read also returns the content of a file that is not encrypted.
func read(path string, secret []byte) (v *Vault, plain []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("open key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file: %w", path, ErrKeyFile)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, nil, fmt.Errorf("%s has mode %04o, others may read it; run: chmod 600 %s: %w", path, mode, path, ErrKeyFile)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read key file: %w", err)
	}
	opened, encrypted, err := decrypt(content, secret)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	if v, err = parse(opened); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", path, ErrKeyFile, err)
	}
	if !encrypted {
		plain = content
	}
	return v, plain, nil
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
	v := &Vault{aead: primitive, blind: k.Blind}
	current := len(k.Signing) == 0 && k.CurrentID == 0
	for _, s := range k.Signing {
		if s.Alg != "Ed25519" || len(s.Seed) != seedSize {
			return nil, fmt.Errorf("signing key %d is not an Ed25519 seed", s.ID)
		}
		if slices.ContainsFunc(v.seeds, func(other Seed) bool { return other.ID == s.ID }) {
			return nil, fmt.Errorf("signing key %d is there twice", s.ID)
		}
		v.seeds = append(v.seeds, Seed{ID: s.ID, Secret: s.Seed, Current: s.ID == k.CurrentID})
		current = current || s.ID == k.CurrentID
	}
	if !current {
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
	k := keyFile{Version: keyFileVersion, AEAD: set.Bytes(), Blind: make([]byte, sha256.Size)}
	_, _ = rand.Read(k.Blind) // never fails: crypto/rand ends the program first
	return json.MarshalIndent(k, "", "  ")
}

// create writes the whole file under another name and links it into place: a
// reader sees all of it or nothing, and of two writers one wins.
func create(path string, secret []byte) error {
	content, err := fresh()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return place(path, content, secret, func(made string) error {
		if err := os.Link(made, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// place writes content, encrypted when there is a secret, beside path, has put
// bring it there, and returns when all of it is durable.
func place(path string, content, secret []byte, put func(made string) error) error {
	if secret != nil {
		var err error
		if content, err = encrypt(content, secret); err != nil {
			return err
		}
	}
	dir := filepath.Dir(path)
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
	if err == nil {
		err = put(f.Name())
	}
	if err != nil {
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

// Seeds are the signing keys that an early key file holds; none in a file of
// today.
func (v *Vault) Seeds() []Seed { return slices.Clone(v.seeds) }
