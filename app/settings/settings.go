// Package settings is the one table of what can be set about the program, and
// how: environment variables named HAPPYCODE_…, each with a default.
package settings

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Prefix begins the name of every setting.
const Prefix = "HAPPYCODE_"

// ErrSetting says that a setting is unknown or has a bad value; the message
// says in Chinese and English what to do.
var ErrSetting = errors.New("bad setting")

// Settings is what is set, checked and typed. The zero value is not usable;
// [Load] makes it.
type Settings struct {
	Listen         string         // address to serve on, host:port
	Data           string         // folder of the embedded stores
	MongoURI       string         // "" means the embedded SQLite record
	RedisURL       string         // "" means the embedded Redis
	PublicHost     string         // host in the codes, with "http://" where it is not HTTPS
	KeyFile        string         // keys of the vault
	Font           string         // Chinese font of the cards; "" means the system's
	KeySecret      []byte         // 32 bytes the key file is encrypted under; nil: it is not
	CodeAlgorithm  string         // "Ed25519" or "SM2", of new signing keys
	CardDays       int64          // how long cards are valid, 1 to 36,500
	TrustedProxies []netip.Prefix // whose X-Forwarded-… headers count
	MetricsFrom    []netip.Prefix // who may read /metrics
	SMSURL         string         // the operator's SMS gateway; "" means that no text messages are sent
	SMSSecret      string         // sent to it as a bearer token
	// WebhookNetworks may be sent to although they are not public.
	WebhookNetworks []netip.Prefix
	Lang            string        // "zh" or "en", where nothing else says
	Hold            time.Duration // how long an unaccepted promise stands, 1 min to 72 h
	OfflineGrace    time.Duration // how long after its end a lease waits for its device, 1 h to 72 h
	Lease           time.Duration // how long a hold waits for the record, 5 s to 10 min
	SessionTTL      time.Duration // how long a sign-in lasts, 5 min to 720 h
	BodyLimit       int64         // bytes of a request's body, 1 kB to 16 MB
	UploadLimit     int64         // bytes of an imported file, 1 kB to 256 MB
	PINAboveFen     *int64        // worth above which a handover takes a PIN or a photo; nil: never
	LogLevel        slog.Level
	SecureCookies   Cookies
	AccessLog       bool // one line per request
	TestMongoURI    string

	values []value
}

// Cookies says when the session cookie is a __Host- cookie, which browsers
// send over HTTPS only.
type Cookies string

// The choices of HAPPYCODE_SECURE_COOKIES.
const (
	CookiesAuto Cookies = "auto" // when the request or PublicHost is HTTPS
	CookiesOn   Cookies = "on"
	CookiesOff  Cookies = "off"
)

// HTTPS says whether the public address is an HTTPS one.
func (s Settings) HTTPS() bool { return !strings.HasPrefix(s.PublicHost, "http://") }

type value struct {
	row    *row
	text   string
	source string // "environment" or "default"
}

// row is one setting of the table.
type row struct {
	name   string // without Prefix
	preset string
	secret bool
	zh, en string
	// parse puts the text into s; its error says in zh and en what is wanted.
	parse func(s *Settings, text string) error
}

// want is the error of a bad value: what is expected.
type want struct{ zh, en string }

func (w want) Error() string { return w.en }

// rows is the table. Later rows may use what earlier rows have set.
func rows() []row {
	return []row{
		{"LISTEN", "127.0.0.1:8080", false, "监听地址", "address to serve on", func(s *Settings, v string) error {
			host, port, err := net.SplitHostPort(v)
			if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n > 65535 || strings.ContainsAny(host, "/ ") {
				return want{"应为 地址:端口，例如 127.0.0.1:8080", "write host:port, for example 127.0.0.1:8080"}
			}
			s.Listen = v
			return nil
		}},
		{"DATA", "./data", false, "数据目录（内置数据库、密钥）", "folder of the embedded stores and the keys", func(s *Settings, v string) error {
			if v == "" {
				return want{"请填写一个目录", "name a folder"}
			}
			s.Data = filepath.Clean(v)
			return nil
		}},
		{"MONGO_URI", "", true, "MongoDB 连接地址；留空则使用内置 SQLite", "MongoDB to keep the record in; empty: the embedded SQLite file", func(s *Settings, v string) error {
			s.MongoURI = v
			return scheme(v, "mongodb://host:27017/happycode", "mongodb", "mongodb+srv")
		}},
		{"REDIS_URL", "", true, "Redis 连接地址；留空则使用内置 Redis", "Redis for the matcher; empty: the embedded one", func(s *Settings, v string) error {
			s.RedisURL = v
			return scheme(v, "redis://host:6379/0", "redis", "rediss", "redis+cluster", "rediss+cluster")
		}},
		{"PUBLIC_HOST", "", false, "幸福码中的网址主机；留空则取自监听地址", "host written into the codes; empty: taken from HAPPYCODE_LISTEN", publicHost},
		{"KEY_FILE", "", false, "密钥文件；留空则为 数据目录/keys.json", "file of the keys; empty: keys.json in HAPPYCODE_DATA", func(s *Settings, v string) error {
			if v == "" {
				v = filepath.Join(s.Data, "keys.json")
			}
			s.KeyFile = v
			return nil
		}},
		{"FONT", "", false, "卡片的中文字体文件（TTF、OTF、TTC）；留空则用系统字体", "Chinese font file of the cards (TTF, OTF, TTC); empty: the system's", func(s *Settings, v string) error {
			s.Font = v
			return nil
		}},
		{"KEY_SECRET", "", true, "加密密钥文件的口令：32 字节 base64（openssl rand -base64 32）；留空则不加密", "secret that the key file is encrypted under: 32 bytes in base64 (openssl rand -base64 32); empty: it is not", func(s *Settings, v string) error {
			if v == "" {
				return nil
			}
			secret, err := base64.StdEncoding.DecodeString(v)
			if err != nil || len(secret) != 32 {
				return want{"应为 32 字节的 base64，可用 openssl rand -base64 32 生成", "write 32 bytes in base64, as openssl rand -base64 32 makes them"}
			}
			s.KeySecret = secret
			return nil
		}},
		{"CODE_ALGORITHM", "Ed25519", false, "新签名密钥的算法：Ed25519 或 SM2（国密）", "algorithm of new signing keys: Ed25519 or SM2", func(s *Settings, v string) error {
			if v != "Ed25519" && v != "SM2" {
				return want{"应为 Ed25519 或 SM2", "write Ed25519 or SM2"}
			}
			s.CodeAlgorithm = v
			return nil
		}},
		{"CARD_DAYS", "1825", false, "卡片有效天数（自签发起；已有密钥不受影响）", "days that a card is valid, of new signing keys", func(s *Settings, v string) error {
			n, err := strconv.ParseInt(v, 10, 32)
			if err != nil || n < 1 || n > 36_500 {
				return want{"应为 1 至 36500 天", "write 1 to 36500 days"}
			}
			s.CardDays = n
			return nil
		}},
		{"TRUSTED_PROXIES", "", false, "受信任的反向代理（IP 或网段，逗号分隔）", "reverse proxies whose X-Forwarded-… headers count (addresses or networks, with commas)", networks(func(s *Settings) *[]netip.Prefix { return &s.TrustedProxies })},
		{"METRICS_FROM", "127.0.0.0/8,::1", false, "可读取 /metrics 的地址（IP 或网段，逗号分隔）", "who may read /metrics (addresses or networks, with commas)", networks(func(s *Settings) *[]netip.Prefix { return &s.MetricsFrom })},
		{"SMS_URL", "", true, "短信网关地址，接收 JSON；留空则不发短信", "SMS gateway, which takes JSON; empty: no text messages", func(s *Settings, v string) error {
			s.SMSURL = v
			if err := scheme(v, "https://sms.example.cn/send", "https", "http"); err != nil || v == "" {
				return err
			}
			u, err := url.Parse(v)
			if err != nil || u.Host == "" || u.Scheme == "http" && !inside(u.Hostname()) {
				return want{"应以 https:// 开头；http:// 仅限本机或内网 IP", "begin it with https://; http:// is for addresses of this machine or a private network, as numbers"}
			}
			return nil
		}},
		{"SMS_SECRET", "", true, "短信网关的令牌（Authorization: Bearer）", "token for the SMS gateway (Authorization: Bearer)", func(s *Settings, v string) error {
			s.SMSSecret = v
			return nil
		}},
		{"WEBHOOK_NETWORKS", "", false, "允许事件推送（webhook）发往的内网（IP 或网段，逗号分隔）；留空则只发往公网", "private networks that webhooks may be sent to (addresses or networks, with commas); empty: public addresses only", networks(func(s *Settings) *[]netip.Prefix { return &s.WebhookNetworks })},
		{"LANG", "zh", false, "默认语言：zh 或 en", "language where nothing else says: zh or en", func(s *Settings, v string) error {
			if v != "zh" && v != "en" {
				return want{"应为 zh 或 en", "write zh or en"}
			}
			s.Lang = v
			return nil
		}},
		{"HOLD", "30m", false, "未确认的派发保留多久", "how long a promise stands that nobody has accepted", span(func(s *Settings) *time.Duration { return &s.Hold }, time.Minute, 72*time.Hour)},
		{"OFFLINE_GRACE", "12h", false, "离线设备到期后，等待其同步多久", "how long after its time a device that works offline is waited for", span(func(s *Settings) *time.Duration { return &s.OfflineGrace }, time.Hour, 72*time.Hour)},
		{"LEASE", "60s", false, "预占等待入档多久", "how long a hold waits for the record", span(func(s *Settings) *time.Duration { return &s.Lease }, 5*time.Second, 10*time.Minute)},
		{"SESSION_TTL", "12h", false, "登录有效期", "how long a sign-in lasts", span(func(s *Settings) *time.Duration { return &s.SessionTTL }, 5*time.Minute, 720*time.Hour)},
		{"BODY_LIMIT", "1MiB", false, "请求正文上限", "largest body of a request", size(func(s *Settings) *int64 { return &s.BodyLimit }, 1<<10, 16<<20)},
		{"UPLOAD_LIMIT", "20MiB", false, "导入文件上限", "largest file that can be imported", size(func(s *Settings) *int64 { return &s.UploadLimit }, 1<<10, 256<<20)},
		{"PIN_ABOVE", "200", false, "价值超过多少元的物资须凭 PIN 或照片交付；0 为一律，off 为不要求", "worth in yuan above which a handover takes a PIN or a photo; 0: always, off: never", func(s *Settings, v string) error {
			if v == "off" {
				return nil
			}
			yuan, err := strconv.ParseUint(v, 10, 32)
			if err != nil || yuan > 1_000_000 {
				return want{"应为 0 至 1000000 的整数（元），或 off", "write whole yuan from 0 to 1000000, or off"}
			}
			s.PINAboveFen = new(int64(yuan) * 100)
			return nil
		}},
		{"LOG", "info", false, "日志级别：debug、info、warn、error", "how much is logged: debug, info, warn or error", func(s *Settings, v string) error {
			level, ok := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[v]
			if !ok {
				return want{"应为 debug、info、warn 或 error", "write debug, info, warn or error"}
			}
			s.LogLevel = level
			return nil
		}},
		{"SECURE_COOKIES", "auto", false, "仅限 HTTPS 的会话 Cookie:auto、on、off", "session cookies for HTTPS only: auto, on or off", func(s *Settings, v string) error {
			s.SecureCookies = Cookies(v)
			if s.SecureCookies != CookiesAuto && s.SecureCookies != CookiesOn && s.SecureCookies != CookiesOff {
				return want{"应为 auto、on 或 off", "write auto, on or off"}
			}
			return nil
		}},
		{"ACCESS_LOG", "on", false, "访问日志：on 或 off", "one log line per request: on or off", func(s *Settings, v string) error {
			if v != "on" && v != "off" {
				return want{"应为 on 或 off", "write on or off"}
			}
			s.AccessLog = v == "on"
			return nil
		}},
		{"TEST_MONGO_URI", "", true, "仅供测试：真实 MongoDB 的地址", "for the tests only: a real MongoDB", func(s *Settings, v string) error {
			s.TestMongoURI = v
			return scheme(v, "mongodb://127.0.0.1:27017", "mongodb", "mongodb+srv")
		}},
	}
}

// inside says whether a host is this machine or an address of a private network.
func inside(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (ip.Unmap().IsLoopback() || ip.Unmap().IsPrivate())
}

func scheme(v, example string, allowed ...string) error {
	if v == "" {
		return nil
	}
	name, rest, ok := strings.Cut(v, "://")
	if !ok || rest == "" || !slices.Contains(allowed, name) {
		return want{"应为连接地址，例如 " + example, "write an address like " + example}
	}
	return nil
}

func networks(field func(*Settings) *[]netip.Prefix) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			p, err := netip.ParsePrefix(part)
			if err != nil {
				a, bad := netip.ParseAddr(part)
				if bad != nil {
					return want{"应为 IP 或网段，例如 10.0.0.0/8,127.0.0.1", "write addresses or networks, for example 10.0.0.0/8,127.0.0.1"}
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			*field(s) = append(*field(s), p.Masked())
		}
		return nil
	}
}

func publicHost(s *Settings, v string) error {
	if v == "" {
		host, port, err := net.SplitHostPort(s.Listen)
		if err != nil {
			return nil // LISTEN is reported by itself
		}
		if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
			host = "127.0.0.1"
		}
		s.PublicHost = "http://" + net.JoinHostPort(host, port)
		return nil
	}
	text := v
	if !strings.Contains(v, "://") {
		text = "https://" + v
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return want{"应为主机名，例如 xfm.example.cn 或 http://192.168.1.10:8080", "write a host like xfm.example.cn or http://192.168.1.10:8080"}
	}
	s.PublicHost = u.Host
	if u.Scheme == "http" {
		s.PublicHost = "http://" + u.Host
	}
	return nil
}

func span(field func(*Settings) *time.Duration, least, most time.Duration) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return want{
				fmt.Sprintf("应为 %s 至 %s 的时长，例如 90s、30m、12h", brief(least), brief(most)),
				fmt.Sprintf("write a time from %s to %s, for example 90s, 30m or 12h", brief(least), brief(most)),
			}
		}
		*field(s) = d
		return nil
	}
}

func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func size(field func(*Settings) *int64, least, most int64) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		n, ok := bytes(v)
		if !ok || n < least || n > most {
			return want{
				fmt.Sprintf("应为 %dKiB 至 %dMiB 的大小，例如 1MiB", least>>10, most>>20),
				fmt.Sprintf("write a size from %dKiB to %dMiB, for example 1MiB", least>>10, most>>20),
			}
		}
		*field(s) = n
		return nil
	}
}

func bytes(v string) (int64, bool) {
	unit := int64(1)
	for _, u := range []struct {
		name string
		n    int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"kB", 1000}, {"MB", 1000 * 1000}} {
		if rest, ok := strings.CutSuffix(v, u.name); ok {
			v, unit = strings.TrimSpace(rest), u.n
			break
		}
	}
	n, err := strconv.ParseInt(v, 10, 40)
	if err != nil || n < 0 {
		return 0, false
	}
	return n * unit, true
}

// Load reads the settings from an environment of "NAME=value" lines, as
// [os.Environ] gives it. Errors: [ErrSetting], one line for each fault, for
// an unknown HAPPYCODE_ name as well.
func Load(environ []string) (Settings, error) {
	given := map[string]string{}
	for _, line := range environ {
		if name, v, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, Prefix) {
			given[strings.TrimPrefix(name, Prefix)] = v
		}
	}
	var s Settings
	var faults []error
	table := rows()
	for i := range table {
		r := &table[i]
		v, set := given[r.name]
		delete(given, r.name)
		from := "environment"
		if v = strings.TrimSpace(v); !set || v == "" {
			v, from = r.preset, "default"
		}
		if err := r.parse(&s, v); err != nil {
			faults = append(faults, badValue(r, v, err))
		}
		s.values = append(s.values, value{r, v, from})
	}
	unknown := make([]string, 0, len(given))
	for name := range given {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		near := nearest(name, table)
		faults = append(faults, fmt.Errorf("%w: 没有名为 %s%s 的设置，是否想写 %s%s？不需要请取消该环境变量。/ there is no setting %s%s; did you mean %s%s? If not, unset it",
			ErrSetting, Prefix, name, Prefix, near, Prefix, name, Prefix, near))
	}
	if len(faults) > 0 {
		return Settings{}, errors.Join(faults...)
	}
	return s, nil
}

func badValue(r *row, text string, err error) error {
	shown := strconv.Quote(text)
	if r.secret {
		shown = "(…)"
	}
	var w want
	if !errors.As(err, &w) {
		w = want{err.Error(), err.Error()}
	}
	return fmt.Errorf("%w: %s%s=%s 无法使用：%s。/ %s%s=%s cannot be used: %s", ErrSetting, Prefix, r.name, shown, w.zh, Prefix, r.name, shown, w.en)
}

// nearest is the known name with the fewest changes from name, one that
// begins like it first.
func nearest(name string, table []row) string {
	best, least := "", 1<<30
	for _, r := range table {
		d := distance(name, r.name)
		if strings.HasPrefix(r.name, name) || strings.HasPrefix(name, r.name) {
			d = 0
		}
		if d < least {
			best, least = r.name, d
		}
	}
	return best
}

// distance counts the insertions, deletions and substitutions from a to b.
func distance(a, b string) int {
	line := make([]int, len(b)+1)
	for j := range line {
		line[j] = j
	}
	for i := range len(a) {
		corner := line[0]
		line[0] = i + 1
		for j := range len(b) {
			d := corner
			if a[i] != b[j] {
				d = min(corner, line[j], line[j+1]) + 1
			}
			corner, line[j+1] = line[j+1], d
		}
	}
	return line[len(b)]
}

// Print writes every setting: name, value in force, where it came from, and
// what it means. Secrets are hidden; of an address with a password, the rest
// is shown.
func (s Settings) Print(w io.Writer) error {
	in := map[string]string{"PUBLIC_HOST": s.PublicHost, "KEY_FILE": s.KeyFile}
	for _, v := range s.values {
		text := v.text
		if derived := in[v.row.name]; derived != "" {
			text = derived
		}
		if v.row.secret {
			text = hide(text)
		}
		if text == "" {
			text = "-"
		}
		source := "默认 default"
		if v.source == "environment" {
			source = "环境变量 environment"
		}
		if _, err := fmt.Fprintf(w, "%s%s = %s\n    [%s] %s / %s\n", Prefix, v.row.name, text, source, v.row.zh, v.row.en); err != nil {
			return fmt.Errorf("print settings: %w", err)
		}
	}
	return nil
}

// hide keeps the scheme, host and path of an address; everything that may
// hold a secret (user, password, query) is blotted out.
func hide(address string) string {
	if address == "" {
		return ""
	}
	name, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "***"
	}
	rest, _, query := strings.Cut(rest, "?")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = "***@" + rest[i+1:]
	}
	if query {
		rest += "?***"
	}
	return name + "://" + rest
}
