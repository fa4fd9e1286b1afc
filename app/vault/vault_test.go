package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/app/vault"
)

func open(t *testing.T) (*vault.Vault, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys", "keys.json")
	v, err := vault.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return v, path
}

// changed returns the text with one character in the middle replaced.
func changed(s string) string {
	with := "A"
	if s[len(s)/2] == 'A' {
		with = "B"
	}
	return s[:len(s)/2] + with + s[len(s)/2+1:]
}

func TestSealOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	const plain = "张三丰"
	sealed, err := v.Seal("name", "r1", plain)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sealed, plain) {
		t.Fatal("sealed text holds the plain text")
	}
	twice, _ := v.Seal("name", "r1", plain)
	if twice == sealed {
		t.Error("sealing twice gives the same text: the nonce repeats")
	}
	again, err := vault.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.OpenField("name", "r1", sealed); err != nil || got != plain {
		t.Errorf("after reopening the key file: got %q, %v", got, err)
	}
	for _, c := range []struct{ what, field, record, sealed string }{
		{"another record", "name", "r2", sealed},
		{"another field", "phone", "r1", sealed},
		{"shifted border between field and record", "nam", "er1", sealed},
		{"changed", "name", "r1", changed(sealed)},
		{"cut", "name", "r1", sealed[:len(sealed)-4]},
		{"not base64", "name", "r1", "%%%"},
		{"plain text", "name", "r1", plain},
	} {
		if got, err := v.OpenField(c.field, c.record, c.sealed); !errors.Is(err, vault.ErrSealed) || got != "" {
			t.Errorf("%s: got %q, %v; want ErrSealed", c.what, got, err)
		}
	}
	if other, _ := open(t); other != nil {
		if _, err := other.OpenField("name", "r1", sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("with other keys: %v", err)
		}
	}
}

func TestEmptyStaysEmpty(t *testing.T) {
	t.Parallel()
	v, _ := open(t)
	if got, err := v.Seal("name", "r1", ""); got != "" || err != nil {
		t.Errorf("Seal: %q, %v", got, err)
	}
	if got, err := v.OpenField("name", "r1", ""); got != "" || err != nil {
		t.Errorf("OpenField: %q, %v", got, err)
	}
}

func TestBlindIndex(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	got := v.BlindIndex("id_number", "11010519491231002X")
	if len(got) != 64 || strings.Trim(got, "0123456789abcdef") != "" {
		t.Errorf("got %q, want 64 hex digits", got)
	}
	again, _ := vault.Open(path)
	if again.BlindIndex("id_number", "11010519491231002X") != got {
		t.Error("differs after reopening the key file")
	}
	other, _ := open(t)
	for what, not := range map[string]string{
		"another value":  v.BlindIndex("id_number", "110105194912310021"),
		"another field":  v.BlindIndex("phone", "11010519491231002X"),
		"shifted border": v.BlindIndex("id_numbe", "r11010519491231002X"),
		"another key":    other.BlindIndex("id_number", "11010519491231002X"),
	} {
		if not == got {
			t.Errorf("%s has the same index", what)
		}
	}
}

func TestKeyFileIsRefused(t *testing.T) {
	t.Parallel()
	_, path := open(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
	change := func(field string, value any) []byte {
		var k map[string]any
		if err := json.Unmarshal(good, &k); err != nil {
			t.Fatal(err)
		}
		k[field] = value
		b, _ := json.Marshal(k)
		return b
	}
	for what, content := range map[string][]byte{
		"empty":                  {},
		"half":                   good[:len(good)/2],
		"not JSON":               []byte("keys"),
		"null":                   []byte("null"),
		"two values":             append(bytes.Clone(good), good...),
		"unknown field":          change("more", 1),
		"future layout":          change("version", 2),
		"short blind index key":  change("blind_index_key", []byte("short")),
		"no AEAD keyset":         change("aead_keyset", map[string]any{}),
		"current key is missing": change("current_signing_key", 9),
		"no current key":         change("signing_keys", []any{map[string]any{"id": 1, "alg": "Ed25519", "seed": make([]byte, 32)}}),
		"unknown algorithm":      change("signing_keys", []any{map[string]any{"id": 1, "alg": "RSA", "seed": make([]byte, 32)}}),
		"short seed":             change("signing_keys", []any{map[string]any{"id": 1, "alg": "Ed25519", "seed": make([]byte, 31)}}),
		"key twice": change("signing_keys", []any{
			map[string]any{"id": 1, "alg": "Ed25519", "seed": make([]byte, 32)},
			map[string]any{"id": 1, "alg": "Ed25519", "seed": make([]byte, 32)},
		}),
	} {
		p := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(p); !errors.Is(err, vault.ErrKeyFile) {
			t.Errorf("%s: got %v, want ErrKeyFile", what, err)
		}
		if after, _ := os.ReadFile(p); !bytes.Equal(after, content) {
			t.Errorf("%s: Open changed the file", what)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(path); !errors.Is(err, vault.ErrKeyFile) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by the group: got %v", err)
	}
	if _, err := vault.Open(t.TempDir()); !errors.Is(err, vault.ErrKeyFile) {
		t.Errorf("a directory: got %v", err)
	}
}

func TestOpenAtTheSameTimeMakesOneFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	indexes := make([]string, 16)
	var wg sync.WaitGroup
	for i := range indexes {
		wg.Go(func() {
			v, err := vault.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			indexes[i] = v.BlindIndex("f", "v")
		})
	}
	wg.Wait()
	for _, got := range indexes {
		if got != indexes[0] {
			t.Fatal("two openers have different keys")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".keys-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	hash := vault.HashSecret("246810")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("parameters: %s", hash)
	}
	if vault.HashSecret("246810") == hash {
		t.Error("the salt repeats")
	}
	if !vault.CheckSecret(hash, "246810") {
		t.Error("the right secret is refused")
	}
	for _, wrong := range []string{"", "246811", "246810 ", "2468100"} {
		if vault.CheckSecret(hash, wrong) {
			t.Errorf("%q is taken", wrong)
		}
	}
	fields := strings.Split(hash, "$")
	with := func(i int, s string) string {
		f := append([]string{}, fields...)
		f[i] = s
		return strings.Join(f, "$")
	}
	for _, bad := range []string{
		"", "246810", "$", hash + "$", hash[1:], with(1, "argon2i"), with(2, "v=16"),
		with(3, "m=19456"), with(3, "m=19456,t=2,p=0"), with(3, "m=19456,t=0,p=1"), with(3, "m=4294967295,t=2,p=1"),
		with(3, "m=19456,t=4294967295,p=1"), with(3, "m=19456,t=2,p=255"), with(3, "m=1,t=2,p=1"), with(3, "m=-1,t=2,p=1"),
		with(4, "*"), with(4, "AAAA"), with(5, ""), with(5, "AAAA"), with(5, fields[5][:len(fields[5])-4]),
	} {
		if vault.CheckSecret(bad, "246810") {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
}

func BenchmarkHashSecret(b *testing.B) {
	for b.Loop() {
		vault.HashSecret("246810")
	}
}

func BenchmarkSeal(b *testing.B) {
	v, err := vault.Open(filepath.Join(b.TempDir(), "keys.json"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := v.Seal("name", "r1", "张三丰"); err != nil {
			b.Fatal(err)
		}
	}
}
