package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/settings"
	"github.com/xingfuma/happycode/bench"
	"github.com/xingfuma/happycode/matching"
)

const (
	// redisLoad is how long Redis may take to read its file.
	redisLoad = 2 * time.Minute
	// benchServerStart is how long the server may take to be ready: the matcher
	// of each county is rebuilt from the record first.
	benchServerStart = 5 * time.Minute
)

func (p *program) benchAll() *cobra.Command {
	var l load
	var o cityOrder
	var dir string
	c := &cobra.Command{
		Use:   "all",
		Short: "一条命令完成全部测量 / one command that measures everything",
		Long: `在空闲的机器上依次：启动 redis-server（AOF everysec），建合成城市，测量匹配引擎、redis-benchmark 与空 POST，启动服务并施压，执行 verify，最后结束自己启动的进程。档案为内置 SQLite，已设置 HAPPYCODE_MONGO_URI 时用该 MongoDB；HAPPYCODE_REDIS_URL 不使用，以免动到正在服务的 Redis。服务运行于 HAPPYCODE_ACCESS_LOG=off、HAPPYCODE_TRUSTED_PROXIES=127.0.0.0/8，其余设置照旧。

On a quiet machine, one after the other: starts a redis-server (AOF everysec),
prepares a city, measures the matcher alone, redis-benchmark and the empty POST,
starts the server and puts load on it, verifies, and ends what it started. The
record is the embedded SQLite, or the MongoDB of HAPPYCODE_MONGO_URI where that is
set; HAPPYCODE_REDIS_URL is left alone, as a Redis that serves people may be there.
The server runs with HAPPYCODE_ACCESS_LOG=off and
HAPPYCODE_TRUSTED_PROXIES=127.0.0.0/8, and otherwise as it is set.`,
		Example: `  happycode bench all --json out.json
  happycode bench all --residents 20000 --offers 1000 --duration 10s --dir /tmp/city`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.everything(cmd.Context(), l, o, dir) },
	}
	l.flags(c)
	o.flags(c)
	c.Flags().StringVar(&l.redis, "redis", "", "改用此空 Redis，其中内容会被覆盖 / an empty Redis to use instead; what is in it is overwritten")
	c.Flags().StringVar(&dir, "dir", "", "数据目录，可再次使用；默认为临时目录，用后删除 / folder of the data, for use again; by default a temporary one that is removed")
	return c
}

func (p *program) everything(ctx context.Context, l load, o cityOrder, dir string) (err error) {
	if err := errors.Join(l.check(), o.check()); err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "happycode-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return say("无法建立目录 "+dir+"；请用 --dir 另指定", "the folder cannot be made; name another with --dir", err)
	}
	own := *p // with the settings of what is measured
	given := map[string]string{
		"DATA": filepath.Join(dir, "data"), "ACCESS_LOG": "off", "TRUSTED_PROXIES": "127.0.0.0/8", "KEY_FILE": "", "PUBLIC_HOST": "",
	}
	l.city = filepath.Join(dir, "data", benchFolder)
	var redis *child // nil: somebody else's
	if l.redis == "" {
		if redis, l.redis, err = p.startRedis(ctx, filepath.Join(dir, "redis")); err != nil {
			return err
		}
		defer redis.end()
	}
	given["REDIS_URL"] = l.redis
	if given["LISTEN"], err = freeListen(); err != nil {
		return err
	}
	l.url = "http://" + given["LISTEN"]
	own.environ = override(p.environ, given)

	if err := own.prepareCity(ctx, o); err != nil {
		return err
	}
	city, err := own.readCity(l.city)
	if err != nil {
		return err
	}
	f := own.newFigures(l.url)
	if err := own.measureEngine(ctx, l, city.Needs, f); err != nil {
		return err
	}
	if err := own.measureYardstick(ctx, l, f); err != nil {
		return err
	}
	err = own.underLoad(ctx, l, city, f, redis, filepath.Join(dir, "server.log"))
	if ctx.Err() != nil {
		err = nil // the verdict says that it was interrupted
	}
	if told := own.tell(f, l.json); f.Scans != nil || err == nil {
		err = errors.Join(err, told)
	}
	return errors.Join(err, verdict(f))
}

// underLoad starts the server, puts load on it, and verifies while it runs.
func (p *program) underLoad(ctx context.Context, l load, city *bench.City, f *figures, redis *child, logFile string) error {
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	server, err := startSelf(p.environ, log, "serve")
	if err != nil {
		return err
	}
	defer server.end()
	if err := server.await(ctx, benchServerStart, func() error { return reachable(ctx, l.url) }); err != nil {
		text, _ := os.ReadFile(logFile)
		return say("服务没有启动", "the server did not start", errors.Join(err, errorOf(lastLines(string(text), 5))))
	}
	served, held := server.cpu(), redis.cpu()
	if err := p.measureScans(ctx, l, city, f); err != nil || ctx.Err() != nil {
		return err
	}
	answers := f.Scans.Answers + f.Scans.WarmedUp + int64(f.Scans.Sampled)
	f.CPU.Scan, f.CPU.ScanRedis = each(server.cpu()-served, answers), each(redis.cpu()-held, answers)
	s, err := p.beside(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	bar := p.progress("核对 / verifying")
	report, err := s.care.Verify(ctx, false, bar.set)
	bar.end()
	if err != nil {
		return err
	}
	books, err := s.keeper.Verify(ctx, false)
	if err != nil {
		return err
	}
	ok := report.OK() && books.OK()
	f.Verified = &ok
	return p.report(report, books)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// startRedis starts a redis-server of its own, set as compose.yaml sets it.
func (p *program) startRedis(ctx context.Context, dir string) (*child, string, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, "", say("未找到 redis-server；请安装，或用 --redis 指定一个空的 Redis",
			"redis-server is not on PATH; install it, or name an empty Redis with --redis", nil)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	address, err := freeListen()
	if err != nil {
		return nil, "", err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	log, err := os.Create(filepath.Join(dir, "redis.log"))
	if err != nil {
		return nil, "", err
	}
	defer log.Close()
	c, err := startChild(nil, log, program, "--bind", host, "--port", port, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "everysec", "--logfile", log.Name())
	if err != nil {
		return nil, "", err
	}
	url := "redis://" + address
	err = c.answers(ctx, address, childStart)
	if err == nil { // one that was used before reads its file first
		err = c.await(ctx, redisLoad, func() error {
			client, err := matching.Connect(ctx, url)
			if err == nil {
				err = client.Close()
			}
			return err
		})
	}
	if err != nil {
		c.end()
		return nil, "", say("redis-server 没有启动", "redis-server did not start", err)
	}
	return c, url, nil
}

// override is an environment with some settings given, the others as they are.
func override(environ []string, given map[string]string) []string {
	var out []string
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		if _, ok := given[strings.TrimPrefix(name, settings.Prefix)]; !ok || !strings.HasPrefix(name, settings.Prefix) {
			out = append(out, line)
		}
	}
	for name, value := range given {
		out = append(out, settings.Prefix+name+"="+value)
	}
	return out
}
