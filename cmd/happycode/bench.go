package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/bench"
)

// benchFolder is where a prepared city lies in HAPPYCODE_DATA.
const benchFolder = "bench"

// load is the command line of a load.
type load struct {
	url, city, json, redis string
	connections, networks  int
	rate                   float64
	warmup, duration       time.Duration
	yardstick              bool
}

func (p *program) bench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "压力测试：用带签名的码扫一座合成城市 / measure scans of a synthetic city with signed codes",
	}
	c.AddCommand(p.benchAll(), p.benchPrepare(), p.benchRun(), p.benchYardstick())
	return c
}

func (p *program) benchRun() *cobra.Command {
	var l load
	c := &cobra.Command{
		Use:   "run",
		Short: "对运行中的服务施压 / put load on a running server",
		Long: `扫描 bench prepare 所建城市中尚未扫过的卡，每张一次，附带真实的服务令牌，并统计延迟分位数与各类错误。默认为闭环：每个连接收到答复后才发下一个请求；给出 --rate 则为开环：请求按时刻表发出，延迟自应发时刻算起，服务停顿时本应到来的人也计入（避免协同遗漏）。随后再扫一遍抽样，核对已答复的派发仍在。同一次运行中还测量另一进程里 Fiber 对空 POST 的应答，作为本机的标尺。

扫码有频率限制：每个令牌每分钟 6000 次，每个网络每分钟 120000 次。更快时请让服务把本机视为反向代理（HAPPYCODE_TRUSTED_PROXIES=127.0.0.0/8），这里的请求就分属 --networks 个网络；被限制的请求计入错误 429。

Scans the cards of the city of "bench prepare" that no run has scanned yet, each
once, with real service tokens, and counts latencies by percentile and errors by
class. A closed loop by default: a connection sends its next request when the
last is answered. With --rate an open loop: requests are due by the clock, and a
latency counts from when its request was due, so that whoever would have come
while the server stalled is counted (no coordinated omission). Then a sample is
scanned again: what was answered must still stand. In the same run Fiber's
answer to an empty POST, in a process of its own, is measured as a yardstick.

Scans are limited: 6,000 a minute for a token, 120,000 for a network. Beyond that
have the server take this machine for a reverse proxy
(HAPPYCODE_TRUSTED_PROXIES=127.0.0.0/8): the requests then come from --networks
networks. What is refused counts as error 429.`,
		Example: `  happycode bench prepare --residents 100000 --offers 5000
  HAPPYCODE_TRUSTED_PROXIES=127.0.0.0/8 HAPPYCODE_ACCESS_LOG=off happycode serve
  happycode bench run --connections 64 --duration 30s --warmup 5s --json out.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := p.load()
			if err != nil {
				return err
			}
			if l.city == "" {
				l.city = filepath.Join(set.Data, benchFolder)
			}
			if l.url == "" {
				l.url = "http://" + set.Listen
				if r, err := running(set.Data); err == nil {
					l.url = r.Address
				}
			}
			if err := l.check(); err != nil {
				return err
			}
			return p.runBench(cmd.Context(), l)
		},
	}
	f := c.Flags()
	f.StringVar(&l.url, "url", "", "服务地址；默认为本机正在运行的服务 / address of the server; by default the one that runs here")
	f.StringVar(&l.city, "city", "", "城市文件所在目录；默认 HAPPYCODE_DATA/bench / folder of the city's files; by default HAPPYCODE_DATA/bench")
	f.StringVar(&l.redis, "redis", "", "另在此 Redis 上测量匹配引擎与 redis-benchmark / also measure the matcher alone and redis-benchmark on this Redis")
	l.flags(c)
	return c
}

// flags are those that bench run and bench all share.
func (l *load) flags(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&l.connections, "connections", 64, "并发连接数 / connections at once")
	f.Float64Var(&l.rate, "rate", 0, "开环：每秒请求数；0 为闭环 / open loop: requests a second; 0: closed loop")
	f.DurationVar(&l.duration, "duration", 30*time.Second, "计入统计的时间 / time that counts")
	f.DurationVar(&l.warmup, "warmup", 5*time.Second, "预热时间，不计入 / warm-up, not counted")
	f.IntVar(&l.networks, "networks", 32, "请求分属多少个网络（X-Forwarded-For）；0 为不带此头 / how many networks the requests come from (X-Forwarded-For); 0: no such header")
	f.BoolVar(&l.yardstick, "yardstick", true, "同时测量空 POST / also measure the empty POST")
	f.StringVar(&l.json, "json", "", "结果写入此 JSON 文件 / write the figures to this JSON file")
}

func (l *load) check() error {
	switch {
	case l.connections < 1 || l.connections > 10_000:
		return say("--connections 应在 1 到 10000 之间", "--connections is 1 to 10000", nil)
	case l.duration < time.Second || l.duration > time.Hour || l.warmup < 0 || l.warmup > time.Hour:
		return say("--duration 应为 1s 到 1h，--warmup 为 0s 到 1h", "--duration is 1s to 1h, --warmup 0s to 1h", nil)
	case l.rate < 0 || l.networks < 0 || l.networks > 65_536:
		return say("--rate 不能为负，--networks 应在 0 到 65536 之间", "--rate is not negative, --networks is 0 to 65536", nil)
	}
	return nil
}

func (l *load) with(p *program, progress func(done, total int)) bench.Load {
	return bench.Load{
		Connections: l.connections, Rate: l.rate, Warmup: l.warmup, Duration: l.duration, Now: p.now,
		Progress: func(done, total time.Duration) { progress(int(done.Milliseconds()), int(total.Milliseconds())) },
	}
}

// figures are what a run has measured; ratios are of this run.
type figures struct {
	Version        string                      `json:"version"`
	At             time.Time                   `json:"at"`
	Machine        machine                     `json:"machine"`
	URL            string                      `json:"url"`
	City           cityFigures                 `json:"city"`
	EmptyPost      *bench.Result               `json:"empty_post,omitempty"`
	Scans          *bench.Scans                `json:"scans,omitempty"`
	Engine         *bench.EngineResult         `json:"engine,omitempty"`
	RedisBenchmark *bench.RedisBenchmarkResult `json:"redis_benchmark,omitempty"`
	Ratios         map[string]float64          `json:"ratios"`
	CPU            cpuFigures                  `json:"cpu_us"`
	Verified       *bool                       `json:"verified,omitempty"` // by bench all
}

type machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
}

type cityFigures struct {
	Residents int `json:"residents"`
	Offers    int `json:"offers"`
	Needs     int `json:"needs_each"`
	Left      int `json:"codes_left"`
}

// cpuFigures are microseconds of processor time for each answer, in the
// processes that bench started itself; 0 where that is not known. On a busy
// machine they say more than rates do.
type cpuFigures struct {
	EmptyPost float64 `json:"empty_post"`
	Scan      float64 `json:"scan"`
	ScanRedis float64 `json:"scan_redis"`
}

func each(spent time.Duration, answers int64) float64 {
	if answers == 0 {
		return 0
	}
	return float64(spent.Microseconds()) / float64(answers)
}

// The ratios.
const (
	ratioScans  = "scans_per_empty_post"
	ratioP99    = "scan_p99_per_empty_post_p99"
	ratioEngine = "engine_per_redis_benchmark"
)

func (p *program) newFigures(url string) *figures {
	return &figures{
		Version: built(), At: p.now().UTC(), URL: url, Ratios: map[string]float64{},
		Machine: machine{runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()},
	}
}

func (f *figures) ratio(name string, a, b float64) {
	if a > 0 && b > 0 {
		f.Ratios[name] = a / b
	}
}

// runBench measures and prints; whatever it has is printed, also when it is
// interrupted.
func (p *program) runBench(ctx context.Context, l load) error {
	city, err := p.readCity(l.city)
	if err != nil {
		return err
	}
	if err := reachable(ctx, l.url); err != nil {
		return err
	}
	f := p.newFigures(l.url)
	err = p.measure(ctx, l, city, f)
	return errors.Join(err, p.tell(f, l.json), verdict(f))
}

func (p *program) readCity(dir string) (*bench.City, error) {
	city, err := bench.ReadCity(dir)
	switch {
	case errors.Is(err, bench.ErrCity):
		return nil, say(dir+" 中没有建好的城市；请先执行 happycode bench prepare，或用 --city 指定目录",
			"there is no prepared city in that folder; run happycode bench prepare first, or name its folder with --city", nil)
	case err != nil:
		return nil, err
	case city.ExpiresMs <= p.now().UnixMilli():
		return nil, say("城市的服务令牌已过期；请再执行 happycode bench prepare", "the city's service tokens have ended; run happycode bench prepare again", nil)
	case city.Left() == 0:
		return nil, say("城市里的卡都已扫过；请用更大的 --residents 再执行 happycode bench prepare",
			"every card of the city was scanned; run happycode bench prepare again with more --residents", nil)
	}
	return city, nil
}

// reachable asks the server whether it is ready.
func reachable(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/readyz", nil)
	if err != nil {
		return say("--url 应为 http://主机:端口", "--url is http://host:port", nil)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return say(url+" 没有应答；请先在另一个终端执行 happycode serve，或用 --url 指定地址",
			"no server answers there; run happycode serve in another terminal, or name its address with --url", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return say(url+" 尚未就绪，请稍后再试；一直如此时请执行 happycode doctor",
			"the server is not ready; try again in a moment, and if it stays so run happycode doctor", errors.New(resp.Status))
	}
	return nil
}

// measure fills the figures: what is measured on Redis, the yardstick, the scans.
func (p *program) measure(ctx context.Context, l load, city *bench.City, f *figures) error {
	if err := p.measureEngine(ctx, l, city.Needs, f); err != nil {
		return err
	}
	if err := p.measureYardstick(ctx, l, f); err != nil {
		return err
	}
	return p.measureScans(ctx, l, city, f)
}

func (p *program) measureScans(ctx context.Context, l load, city *bench.City, f *figures) (err error) {
	f.City = cityFigures{city.Residents, city.Offers, city.Needs, city.Left()}
	if ctx.Err() != nil {
		return nil
	}
	bar := p.progress("扫码 / scanning")
	defer bar.end()
	f.Scans, err = city.Scan(ctx, l.url, l.with(p, bar.set), l.networks)
	f.City.Left = city.Left()
	if f.Scans != nil && f.EmptyPost != nil {
		f.ratio(ratioScans, f.Scans.PerSecond, f.EmptyPost.PerSecond)
		f.ratio(ratioP99, f.Scans.Latency.P99Ms, f.EmptyPost.Latency.P99Ms)
	}
	if errors.Is(err, bench.ErrNothing) {
		return nil // the errors say why, and the verdict what to do
	}
	return err
}

func (p *program) measureYardstick(ctx context.Context, l load, f *figures) error {
	if !l.yardstick || ctx.Err() != nil {
		return nil
	}
	address, err := freeListen()
	if err != nil {
		return err
	}
	c, err := startSelf(nil, io.Discard, "bench", "yardstick", "--listen", address)
	if err != nil {
		return err
	}
	defer c.end()
	if err := c.answers(ctx, address, childStart); err != nil {
		return say("标尺没有启动", "the yardstick did not start", err)
	}
	bar := p.progress("空 POST / empty POST")
	defer bar.end()
	closed := l.with(p, bar.set)
	closed.Rate = 0 // what the machine can do, not what it is asked for
	if f.EmptyPost, err = bench.Yardstick(ctx, "http://"+address, closed); err == nil {
		f.CPU.EmptyPost = each(c.cpu(), f.EmptyPost.Answers+f.EmptyPost.WarmedUp)
	}
	return err
}

func (p *program) measureEngine(ctx context.Context, l load, needs int, f *figures) (err error) {
	if l.redis == "" || ctx.Err() != nil {
		return nil
	}
	bar := p.progress("匹配引擎 / the matcher alone")
	defer bar.end()
	with := l.with(p, bar.set)
	f.Engine, err = bench.Engine(ctx, l.redis, l.connections, max(1, needs), with)
	defer func() {
		err = errors.Join(err, bench.Forget(context.WithoutCancel(ctx), l.redis))
	}()
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return say("无法在该 Redis 上测量；请检查 --redis", "cannot measure on that Redis; check --redis", err)
	}
	f.RedisBenchmark, err = bench.RedisBenchmark(ctx, l.redis, f.Engine, with)
	if errors.Is(err, bench.ErrNoRedisBenchmark) {
		fmt.Fprintln(p.errOut, "未找到 redis-benchmark，略过 / redis-benchmark is not on PATH: left out")
		return nil
	}
	if err == nil {
		f.ratio(ratioEngine, f.Engine.PerSecond, f.RedisBenchmark.PerSecond)
	} else if ctx.Err() != nil {
		return nil
	}
	return err
}

// tell prints the figures, and writes them as JSON where that is asked for.
func (p *program) tell(f *figures, path string) error {
	var table strings.Builder
	var zhs []string
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	row := func(zh, en string, cells ...string) {
		zhs = append(zhs, pad(zh, 16))
		fmt.Fprintln(w, strings.Join(append([]string{en}, cells...), "\t"))
	}
	rate := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	ms := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	row("测量", "measured", "/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
	line := func(zh, en string, perSecond float64, l bench.Latency) {
		row(zh, en, rate(perSecond), ms(l.P50Ms), ms(l.P90Ms), ms(l.P99Ms), ms(l.P999Ms), ms(l.MaxMs))
	}
	if f.RedisBenchmark != nil {
		b := f.RedisBenchmark
		row("同一脚本", fmt.Sprintf("redis-benchmark -P %d", b.Pipeline), rate(b.PerSecond), ms(b.P50Ms), "", ms(b.P99Ms))
	}
	if f.Engine != nil {
		line("仅匹配引擎", fmt.Sprintf("matcher alone, %d needs", f.Engine.Needs), f.Engine.PerSecond, f.Engine.Latency)
	}
	if f.EmptyPost != nil {
		line("空 POST", "empty POST", f.EmptyPost.PerSecond, f.EmptyPost.Latency)
	}
	if f.Scans != nil {
		line("扫码", "scans", f.Scans.PerSecond, f.Scans.Latency)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for text := range strings.Lines(table.String()) {
		fmt.Fprint(p.out, zhs[0], text)
		zhs = zhs[1:]
	}
	for _, r := range []struct{ name, zh, en string }{
		{ratioScans, "扫码与空 POST 之比", "scans / empty POST"},
		{ratioP99, "扫码 p99 与空 POST p99 之比", "p99 of scans / p99 of empty POST"},
		{ratioEngine, "引擎与 redis-benchmark 之比", "matcher alone / redis-benchmark"},
	} {
		if v, ok := f.Ratios[r.name]; ok {
			fmt.Fprintf(p.out, "%s%-34s%.3f\n", pad(r.zh, 30), r.en, v)
		}
	}
	if f.CPU != (cpuFigures{}) {
		fmt.Fprintf(p.out, "每次应答的处理器时间 processor time of an answer, µs: 空 POST empty POST %.0f，扫码 scan %.0f，其 Redis its Redis %.0f\n", f.CPU.EmptyPost, f.CPU.Scan, f.CPU.ScanRedis)
	}
	if s := f.Scans; s != nil {
		loop := "闭环 closed loop"
		if s.Loop == "open" {
			loop = fmt.Sprintf("开环 open loop, %.0f/s", s.RateAsked)
		}
		fmt.Fprintf(p.out, "%s，%d 个连接 connections；计入 counted %.1f s；有派发 served %d，仅等待 only waiting %d\n", loop, s.Connections, s.Seconds, s.Served, s.Waits)
		for _, class := range slices.Sorted(mapKeys(s.Errors)) {
			fmt.Fprintf(p.out, "✗ 错误 error %s: %d\n", class, s.Errors[class])
		}
		fmt.Fprintf(p.out, "抽样复核 sample scanned again: %d，不再存在的派发 promises gone: %d；全面核对请执行 / for all promises run: happycode verify\n", s.Sampled, len(s.Broken))
	}
	if path == "" {
		return nil
	}
	return writeWhole(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(f)
	})
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// verdict is the error of a run whose figures mean less than they seem to.
func verdict(f *figures) error {
	s := f.Scans
	switch {
	case s == nil || s.Interrupted:
		return say("测量被中断，以上为已有的数字", "the run was interrupted; the figures are what there was", nil)
	case len(s.Broken) > 0:
		return say("已答复的派发不见了；请执行 happycode verify", "what was answered does not stand any more; run happycode verify", errors.New(strings.Join(s.Broken[:min(len(s.Broken), 5)], ", ")))
	case s.Answers+s.WarmedUp == 0 && s.Failed() > 0:
		return say("没有一个请求成功，原因见上；401 时请再执行 happycode bench prepare，404 时请核对服务与城市是否同一份数据",
			"not one request succeeded, see the errors above; after a 401 run happycode bench prepare again, after a 404 check that server and city have the same data", errorOf(s.Sample))
	case s.Exhausted:
		return say("卡不够，提前扫完，以上为已有的数字；请用更大的 --residents 再执行 happycode bench prepare",
			"the cards ran out before the time, the figures are what there was; run happycode bench prepare again with more --residents", nil)
	case limited(s.Errors) > 0:
		return say("有请求被频率限制拒绝，数字偏低；请以 HAPPYCODE_TRUSTED_PROXIES=127.0.0.0/8 运行服务，见 happycode bench run --help",
			"some requests were over the limits, so the figures are too low; run the server with HAPPYCODE_TRUSTED_PROXIES=127.0.0.0/8, see happycode bench run --help", nil)
	}
	return nil
}

func errorOf(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

func limited(classes map[string]int64) (n int64) {
	for class, count := range classes {
		if strings.HasPrefix(class, "429") {
			n += count
		}
	}
	return n
}

func (p *program) benchYardstick() *cobra.Command {
	var address string
	c := &cobra.Command{
		Use:   "yardstick",
		Short: "只应答空 POST 的 Fiber，作为标尺 / a Fiber that answers an empty POST, as a yardstick",
		Long: `在独立进程中运行 Fiber，对 POST / 应答空 JSON，直到收到 SIGINT，并打印地址。bench run 会自动启动它。

Runs Fiber in a process of its own and answers POST / with an empty JSON object
until SIGINT; it prints its address. bench run starts it by itself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := listenOn(address)
			if err != nil {
				return err
			}
			fmt.Fprintln(p.out, "http://"+l.Addr().String())
			return bench.ServeYardstick(cmd.Context(), l)
		},
	}
	c.Flags().StringVar(&address, "listen", "127.0.0.1:0", "监听地址 / address to serve on")
	return c
}
