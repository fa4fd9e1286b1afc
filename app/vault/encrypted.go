package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// SecretSize is the length of the secret that a key file is encrypted under.
const SecretSize = 32

// encryptedVersion is the layout of an encrypted key file.
const encryptedVersion = 2

// encryptedFile is a whole key file, sealed with AES-256-GCM.
type encryptedFile struct {
	Version int    `json:"version"`
	Sealed  []byte `json:"aes_256_gcm"` // nonce ‖ ciphertext ‖ tag
}

// encryptedContext keeps the ciphertext from being taken for anything else.
var encryptedContext = []byte("xfm-key-file-v2")

func sealing(secret []byte) (cipher.AEAD, error) {
	if len(secret) != SecretSize {
		return nil, fmt.Errorf("a secret of %d bytes, not %d: %w", len(secret), SecretSize, ErrSecret)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func encrypt(content, secret []byte) ([]byte, error) {
	aead, err := sealing(secret)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(encryptedFile{encryptedVersion, aead.Seal(nil, nil, content, encryptedContext)}, "", "  ")
}

// encryptedForm reads the encrypted form of a key file; ok says that it is one.
func encryptedForm(content []byte) (f encryptedFile, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	err := dec.Decode(&f)
	return f, err == nil && f.Version == encryptedVersion
}

// decrypt returns the content as it was before [encrypt]; what is not
// encrypted comes back as it is.
func decrypt(content, secret []byte) (plain []byte, encrypted bool, err error) {
	f, ok := encryptedForm(content)
	if !ok {
		return content, false, nil // for parse to judge
	}
	if secret == nil {
		return nil, true, fmt.Errorf("no secret is given: %w", ErrSecret)
	}
	aead, err := sealing(secret)
	if err != nil {
		return nil, true, err
	}
	if plain, err = aead.Open(nil, nil, f.Sealed, encryptedContext); err != nil {
		return nil, true, fmt.Errorf("the secret does not open it: %w", ErrSecret)
	}
	return plain, true, nil
}

// Encrypt writes a plain key file anew, encrypted under secret and with the
// owner it had; done says that it was plain. From then on it opens with this
// secret only. Whoever reads it meanwhile sees one or the other, and a second
// process that does the same writes the same keys.
//
// Errors: [ErrKeyFile], [ErrSecret]; anything else is the file system.
func Encrypt(path string, secret []byte) (done bool, err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false, fmt.Errorf("encrypt key file: %w", err)
	}
	_, plain, err := read(path, secret)
	if err != nil || plain == nil {
		return false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("encrypt key file: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false, fmt.Errorf("encrypt key file %s: its owner is not known: %w", path, ErrKeyFile)
	}
	err = place(path, plain, secret, func(made string) error {
		if err := os.Chown(made, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
		return os.Rename(made, path)
	})
	if err != nil {
		return false, errors.Join(ErrKeyFile, fmt.Errorf("encrypt key file %s: %w", path, err))
	}
	return true, nil
}
