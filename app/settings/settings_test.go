package settings_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/settings"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	s, err := settings.Load([]string{"PATH=/bin", "HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Listen != "127.0.0.1:8080" || s.Data != "data" || s.KeyFile != "data/keys.json" ||
		s.PublicHost != "http://127.0.0.1:8080" || s.HTTPS() || s.Lang != "zh" ||
		s.Hold != 30*time.Minute || s.Lease != time.Minute || s.SessionTTL != 12*time.Hour ||
		s.BodyLimit != 1<<20 || s.UploadLimit != 20<<20 || s.PINAboveFen == nil || *s.PINAboveFen != 20_000 ||
		len(s.MetricsFrom) != 2 || !s.AccessLog || s.SecureCookies != settings.CookiesAuto {
		t.Errorf("got %+v", s)
	}
}

func TestEnvironmentWins(t *testing.T) {
	t.Parallel()
	s, err := settings.Load([]string{
		"HAPPYCODE_LISTEN=0.0.0.0:9000", "HAPPYCODE_DATA=/var/lib/hc", "HAPPYCODE_TRUSTED_PROXIES=10.0.0.0/8, 127.0.0.1,::1",
		"HAPPYCODE_BODY_LIMIT=64KiB", "HAPPYCODE_HOLD=2h", "HAPPYCODE_ACCESS_LOG=off", "HAPPYCODE_LANG=en",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.PublicHost != "http://127.0.0.1:9000" || s.KeyFile != "/var/lib/hc/keys.json" || len(s.TrustedProxies) != 3 ||
		s.BodyLimit != 64<<10 || s.Hold != 2*time.Hour || s.AccessLog || s.Lang != "en" {
		t.Errorf("got %+v", s)
	}
}

func TestPINAbove(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "1": 100, "1000000": 100_000_000} {
		if s, err := settings.Load([]string{"HAPPYCODE_PIN_ABOVE=" + text}); err != nil || s.PINAboveFen == nil || *s.PINAboveFen != want {
			t.Errorf("%s: %v, %v", text, s.PINAboveFen, err)
		}
	}
	if s, err := settings.Load([]string{"HAPPYCODE_PIN_ABOVE=off"}); err != nil || s.PINAboveFen != nil {
		t.Errorf("off: %v, %v", s.PINAboveFen, err)
	}
}

func TestPublicHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		https    bool
	}{
		{"xfm.example.cn", "xfm.example.cn", true},
		{"https://xfm.example.cn/", "xfm.example.cn", true},
		{"xfm.example.cn:8443", "xfm.example.cn:8443", true},
		{"http://192.168.1.10:8080", "http://192.168.1.10:8080", false},
	} {
		s, err := settings.Load([]string{"HAPPYCODE_PUBLIC_HOST=" + c.in})
		if err != nil || s.PublicHost != c.want || s.HTTPS() != c.https {
			t.Errorf("%s: got %q https %v, %v", c.in, s.PublicHost, s.HTTPS(), err)
		}
	}
}

func TestFaultsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, zh, en string }{
		{"HAPPYCODE_LISTN=:80", "是否想写 HAPPYCODE_LISTEN", "did you mean HAPPYCODE_LISTEN"},
		{"HAPPYCODE_SMS_URL=http://sms.example.cn/send", "HAPPYCODE_SMS_URL", "begin it with https://"},
		{"HAPPYCODE_SMS_URL=http://8.8.8.8/send", "HAPPYCODE_SMS_URL", "begin it with https://"},
		{"HAPPYCODE_MONGO=mongodb://x", "HAPPYCODE_MONGO_URI", "did you mean HAPPYCODE_MONGO_URI"},
		{"HAPPYCODE_LISTEN=8080", "应为 地址:端口", "write host:port"},
		{"HAPPYCODE_LISTEN=127.0.0.1:99999", "应为 地址:端口", "write host:port"},
		{"HAPPYCODE_LANG=fr", "应为 zh 或 en", "write zh or en"},
		{"HAPPYCODE_HOLD=1s", "1m 至 72h", "from 1m to 72h"},
		{"HAPPYCODE_LEASE=soon", "5s 至 10m", "from 5s to 10m"},
		{"HAPPYCODE_BODY_LIMIT=1TB", "1KiB 至 16MiB", "from 1KiB to 16MiB"},
		{"HAPPYCODE_BODY_LIMIT=-5", "1KiB 至 16MiB", "from 1KiB to 16MiB"},
		{"HAPPYCODE_TRUSTED_PROXIES=everyone", "应为 IP 或网段", "write addresses or networks"},
		{"HAPPYCODE_PUBLIC_HOST=ftp://x", "应为主机名", "write a host"},
		{"HAPPYCODE_PUBLIC_HOST=a.cn/path", "应为主机名", "write a host"},
		{"HAPPYCODE_REDIS_URL=localhost:6379", "redis://host", "redis://host"},
		{"HAPPYCODE_SECURE_COOKIES=yes", "auto、on 或 off", "auto, on or off"},
		{"HAPPYCODE_LOG=loud", "debug、info", "debug, info"},
		{"HAPPYCODE_PIN_ABOVE=-1", "0 至 1000000", "from 0 to 1000000"},
		{"HAPPYCODE_PIN_ABOVE=99.50", "整数（元），或 off", "or off"},
		{"HAPPYCODE_ACCESS_LOG=1", "on 或 off", "on or off"},
	} {
		_, err := settings.Load([]string{c.line})
		if !errors.Is(err, settings.ErrSetting) {
			t.Errorf("%s: got %v, want ErrSetting", c.line, err)
			continue
		}
		for _, part := range []string{c.zh, c.en} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", c.line, err, part)
			}
		}
	}
}

func TestEveryFaultIsNamed(t *testing.T) {
	t.Parallel()
	_, err := settings.Load([]string{"HAPPYCODE_LANG=fr", "HAPPYCODE_WHATEVER=1", "HAPPYCODE_LOG=loud"})
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three lines", err)
	}
}

func TestFaultsHideSecrets(t *testing.T) {
	t.Parallel()
	_, err := settings.Load([]string{"HAPPYCODE_MONGO_URI=mongo//user:hunter2@host"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestPrintHidesSecrets(t *testing.T) {
	t.Parallel()
	s, err := settings.Load([]string{
		"HAPPYCODE_MONGO_URI=mongodb://app:hunter2@db.example:27017/happycode?authSource=admin&password=hunter2",
		"HAPPYCODE_REDIS_URL=redis://:p@hunter2@cache.example:6379/0",
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := s.Print(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, part := range []string{
		"HAPPYCODE_MONGO_URI = mongodb://***@db.example:27017/happycode?***", "HAPPYCODE_REDIS_URL = redis://***@cache.example:6379/0",
		"HAPPYCODE_LISTEN = 127.0.0.1:8080", "环境变量 environment", "默认 default", "监听地址 / address to serve on", "HAPPYCODE_KEY_FILE = data/keys.json",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("a secret is shown:\n%s", got)
	}
	if n := strings.Count(got, "HAPPYCODE_LISTEN"); n != 2 { // itself and in the meaning of PUBLIC_HOST
		t.Errorf("HAPPYCODE_LISTEN is named %d times", n)
	}
}
