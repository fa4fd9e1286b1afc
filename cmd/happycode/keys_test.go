package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/settings"
)

// keyStep is a command and what it says.
type keyStep struct {
	args   string
	status int
	want   []string
}

func walk(t *testing.T, env []string, steps ...keyStep) {
	t.Helper()
	for _, s := range steps {
		out, errOut, status := runs(t, env, strings.Fields(s.args)...)
		for _, want := range s.want {
			if status != s.status || !strings.Contains(out+errOut, want) {
				t.Errorf("happycode %s: status %d, want %d and %q\n%s%s", s.args, status, s.status, want, out, errOut)
			}
		}
	}
}

// The life of signing keys at the terminal, with nobody else at work.
func TestKeysAlone(t *testing.T) {
	t.Parallel()
	env := environ(t, "HAPPYCODE_CARD_DAYS=400")
	in := func(days int) string { return time.Now().In(china).AddDate(0, 0, days).Format(time.DateOnly) }
	walk(t, env,
		keyStep{"keys list", 0, []string{"编号 id", "Ed25519", "签发中 / signing", "各 400 天 / 400 days each", "  0\n"}},
		keyStep{"keys retire 1", 1, []string{"没有密钥可以签发", "no key would sign", "happycode keys new"}},
		keyStep{"keys retire x", 1, []string{"keys list"}},
		keyStep{"keys retire 7", 1, []string{"没有编号为 7 的密钥", "no such key"}},
		keyStep{"keys retire 300", 1, []string{"0 至 255"}},
		keyStep{"keys new --alg RSA", 1, []string{"应为 Ed25519 或 SM2", "write Ed25519 or SM2"}},
		keyStep{"keys new --from tomorrow", 1, []string{"2026-12-01"}},
		keyStep{"keys new --from " + in(-1), 1, []string{"不能早于现在", "in the past"}},
		keyStep{"keys new --card-days 0", 1, []string{"1 至 36500"}},
		keyStep{"keys new --alg SM2 --card-days 30 --from " + in(3), 0, []string{"2（SM2）", in(3) + " 00:00", "30 天"}},
		keyStep{"keys list", 0, []string{"SM2", "未启用 / upcoming", in(3)}},
		keyStep{"keys retire 1 --at " + in(2), 1, []string{in(2) + " 00:00:00 起没有密钥"}},
		keyStep{"keys retire 1 --at " + in(5), 0, []string{in(5) + " 00:00", in(405) + " 00:00"}},
		keyStep{"keys retire 1 --at " + in(-1), 1, []string{"--compromised"}},
		keyStep{"keys retire 1 --at " + in(9) + " --compromised", 1, []string{"不能与 --at 同用"}},
	)
	set, err := settings.Load(env)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), set, slog.New(slog.DiscardHandler), time.Now, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.residents.Register(t.Context(), "test", residents.Registration{Name: "王秀英", Division: "330502000000"})
	if err == nil {
		_, err = s.residents.Register(t.Context(), "test", residents.Registration{Name: "李明", Division: "330502000000"})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	walk(t, env,
		keyStep{"keys list", 0, []string{"  2\n"}},
		keyStep{"keys retire 1 --compromised", 1, []string{"2 张在用的卡", "2 cards in use", "--yes"}},
		keyStep{"keys list", 0, []string{"签发中 / signing"}},
		keyStep{"keys retire 1 --compromised --yes", 0, []string{"2 张卡须重新打印", "key 3（Ed25519）"}},
		keyStep{"keys list", 0, []string{"已作废 / revoked", "无效 / none"}},
		keyStep{"keys retire 1", 1, []string{"已作废"}},
		keyStep{"doctor", 0, []string{"签名 signing"}},
		keyStep{"verify", 0, []string{"✓ 全部承诺成立"}},
	)
}

// A plain key file is read by commands as it is, encrypted when the server
// first starts with a secret, and opens with that secret only from then on.
func TestKeySecret(t *testing.T) {
	t.Parallel()
	env := environ(t)
	secret := func() string {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	right := append([]string{"HAPPYCODE_KEY_SECRET=" + secret()}, env...)
	wrong := append([]string{"HAPPYCODE_KEY_SECRET=" + secret()}, env...)
	list := func(env []string, status int, want ...string) {
		t.Helper()
		walk(t, env, keyStep{"keys list", status, want})
	}
	list(env, 0, "签发中 / signing")
	set, err := settings.Load(env)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(set.KeyFile)
	if err != nil || !bytes.Contains(plain, []byte("aead_keyset")) {
		t.Fatalf("the key file: %v", err)
	}
	list(right, 0, "签发中 / signing")
	if after, err := os.ReadFile(set.KeyFile); err != nil || !bytes.Equal(after, plain) {
		t.Fatalf("a command changed the key file: %v", err)
	}
	if set, err = settings.Load(right); err != nil {
		t.Fatal(err)
	}
	for _, warnings := range []int{1, 0} {
		var log bytes.Buffer
		s, err := open(t.Context(), set, slog.New(slog.NewTextHandler(&log, nil)), time.Now, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "level=WARN"); got != warnings || strings.Count(log.String(), set.KeyFile) != warnings {
			t.Errorf("%d warnings, want %d that name the file:\n%s", got, warnings, &log)
		}
	}
	sealed, err := os.ReadFile(set.KeyFile)
	if err != nil || bytes.Contains(sealed, []byte("aead_keyset")) {
		t.Fatalf("the key file is not encrypted: %v", err)
	}
	list(right, 0, "签发中 / signing")
	list(env, 1, "密钥文件", "已加密；请把 HAPPYCODE_KEY_SECRET 设为", "set HAPPYCODE_KEY_SECRET to the secret")
	list(wrong, 1, "HAPPYCODE_KEY_SECRET 打不开密钥文件", "HAPPYCODE_KEY_SECRET does not open the key file")
	after, err := os.ReadFile(set.KeyFile)
	if err != nil || !bytes.Equal(after, sealed) {
		t.Errorf("a refused start changed the key file: %v", err)
	}
	for _, bad := range []string{"short", base64.StdEncoding.EncodeToString(make([]byte, 31))} {
		_, errOut, status := runs(t, append([]string{"HAPPYCODE_KEY_SECRET=" + bad}, env...), "keys", "list")
		if status != 1 || !strings.Contains(errOut, "openssl rand -base64 32") || strings.Contains(errOut, bad) {
			t.Errorf("a bad secret: status %d, %s", status, errOut)
		}
	}
	// Another key file than the record's.
	other := append([]string{"HAPPYCODE_KEY_FILE=" + filepath.Join(t.TempDir(), "other.json")}, env...)
	list(other, 1, "与档案不配套", "is not the record's")
}

func TestMoment(t *testing.T) {
	t.Parallel()
	if got, want := moment(time.Date(2026, 11, 30, 16, 0, 0, 0, time.UTC).UnixMilli(), "-"), "2026-12-01 00:00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := moment(0, "never"); got != "never" {
		t.Errorf("got %s", got)
	}
	p := &program{now: func() time.Time { return time.Date(2026, 11, 30, 17, 0, 0, 0, time.UTC) }}
	for text, want := range map[string]int64{"": time.Time{}.Unix(), "2026-12-01": time.Time{}.Unix(), "2026-12-02": time.Date(2026, 12, 1, 16, 0, 0, 0, time.UTC).Unix()} {
		if got, err := p.date("from", text); err != nil || got.Unix() != want {
			t.Errorf("%s: got %s, %v", text, strconv.FormatInt(got.Unix(), 10), err)
		}
	}
}
