package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/xingfuma/happycode/app/vault"
)

func secretOf(b byte) []byte { return slices.Repeat([]byte{b}, vault.SecretSize) }

func TestEncryptedKeyFile(t *testing.T) {
	t.Parallel()
	plain, path := open(t)
	want := plain.BlindIndex("f", "v")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 { // plain, encrypted, encrypted before
		v, err := vault.OpenWith(path, secretOf(1))
		if err != nil || v.BlindIndex("f", "v") != want {
			t.Fatalf("with the secret: %v", err)
		}
		if after, _ := os.ReadFile(path); round == 0 && !bytes.Equal(after, before) {
			t.Fatal("reading changed the file")
		}
		if done, err := vault.Encrypt(path, secretOf(1)); err != nil || done != (round == 0) {
			t.Fatalf("encrypting, round %d: %v, %v", round, done, err)
		}
	}
	sealed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("keyset")) || bytes.Contains(sealed, []byte("blind")) {
		t.Errorf("the encrypted file holds %s", sealed)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".keys-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)/2] ^= 1
	for what, c := range map[string]struct {
		content, secret []byte
		want            error
	}{
		"no secret":      {sealed, nil, vault.ErrSecret},
		"another secret": {sealed, secretOf(2), vault.ErrSecret},
		"short secret":   {sealed, secretOf(1)[1:], vault.ErrSecret},
		"changed":        {flipped, secretOf(1), vault.ErrSecret},
		"half":           {sealed[:len(sealed)/2], secretOf(1), vault.ErrKeyFile},
	} {
		p := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(p, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.OpenWith(p, c.secret); !errors.Is(err, c.want) {
			if what != "changed" || !errors.Is(err, vault.ErrKeyFile) { // a bit that makes it no JSON
				t.Errorf("%s: got %v, want %v", what, err, c.want)
			}
		}
		if after, _ := os.ReadFile(p); !bytes.Equal(after, c.content) {
			t.Errorf("%s: the file was changed", what)
		}
	}
}

// A fresh file is encrypted from its first byte on, and a short secret makes
// none.
func TestFreshEncryptedKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := vault.OpenWith(path, secretOf(1)[1:]); !errors.Is(err, vault.ErrSecret) {
		t.Errorf("short secret: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a short secret made a file")
	}
	if _, err := vault.OpenWith(path, secretOf(1)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(content), "keyset") {
		t.Errorf("the fresh file is not encrypted: %v", err)
	}
}

func TestEncryptingAtTheSameTime(t *testing.T) {
	t.Parallel()
	for _, exists := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if exists {
			if _, err := vault.Open(path); err != nil {
				t.Fatal(err)
			}
		}
		indexes := make([]string, 8)
		var wg sync.WaitGroup
		for i := range indexes {
			wg.Go(func() {
				v, err := vault.OpenWith(path, secretOf(1))
				if err == nil {
					_, err = vault.Encrypt(path, secretOf(1))
				}
				if err != nil {
					t.Error(err)
					return
				}
				indexes[i] = v.BlindIndex("f", "v")
			})
		}
		wg.Wait()
		v, err := vault.OpenWith(path, secretOf(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range indexes {
			if got != v.BlindIndex("f", "v") {
				t.Fatal("two openers have different keys")
			}
		}
	}
}

// A file that is reached by a link and that is another's, or another group's,
// stays where and whose it is.
func TestEncryptingKeepsPlaceAndOwner(t *testing.T) {
	t.Parallel()
	_, path := open(t)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = 65534, 65533
	} else if groups, err := os.Getgroups(); err == nil && len(groups) > 0 {
		gid = groups[len(groups)-1]
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	if done, err := vault.Encrypt(link, secretOf(1)); err != nil || !done {
		t.Fatalf("%v, %v", done, err)
	}
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); int(owner.Uid) != uid || int(owner.Gid) != gid || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v, want %d:%d, 0600", owner.Uid, owner.Gid, info.Mode(), uid, gid)
	}
	if _, err := vault.Open(path); !errors.Is(err, vault.ErrSecret) {
		t.Errorf("without the secret: %v", err)
	}
	if _, err := vault.OpenWith(link, secretOf(1)); err != nil {
		t.Error(err)
	}
}

// The signing keys of an early file are there for the ring to take over.
func TestSeeds(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	if got := v.Seeds(); len(got) != 0 {
		t.Errorf("a fresh file holds signing keys: %v", got)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var k map[string]any
	if err := json.Unmarshal(content, &k); err != nil {
		t.Fatal(err)
	}
	k["signing_keys"] = []any{map[string]any{"id": 3, "alg": "Ed25519", "seed": secretOf(3)}, map[string]any{"id": 4, "alg": "Ed25519", "seed": secretOf(4)}}
	k["current_signing_key"] = 4
	if content, err = json.Marshal(k); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{nil, secretOf(1)} {
		v, err := vault.OpenWith(path, secret)
		if err != nil {
			t.Fatal(err)
		}
		got := v.Seeds()
		if len(got) != 2 || got[0].ID != 3 || got[0].Current || got[1].ID != 4 || !got[1].Current || !bytes.Equal(got[1].Secret, secretOf(4)) {
			t.Errorf("got %+v", got)
		}
	}
}
