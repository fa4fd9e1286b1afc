package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/settings"
)

const (
	// drainTime is how long requests under way may take to finish.
	drainTime = 20 * time.Second
	// divisionsEvery is how soon a server notices divisions that a command imported.
	divisionsEvery = 5 * time.Second
	// keysEvery is the same for signing keys.
	keysEvery = 3 * time.Second
	// webhooksEvery is how often what webhooks are to be told is looked for.
	webhooksEvery = time.Second
	// fundsEvery is how often the funds' books follow what was handed over.
	fundsEvery = 2 * time.Second
	// smsEvery is the same for text messages.
	smsEvery = 5 * time.Second
	// forgetEvery is how often the words of reports long closed are deleted.
	forgetEvery = 6 * time.Hour
)

func (p *program) serve() *cobra.Command {
	var demo bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "运行服务 / run the server",
		Long: `运行服务，直到收到 SIGINT 或 SIGTERM。未设置 HAPPYCODE_MONGO_URI 与 HAPPYCODE_REDIS_URL 时，使用 HAPPYCODE_DATA 中的内置数据库。

Runs the server until SIGINT or SIGTERM, on the embedded stores in HAPPYCODE_DATA
where HAPPYCODE_MONGO_URI and HAPPYCODE_REDIS_URL are not set.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runServer(cmd.Context(), demo) },
	}
	c.Flags().BoolVar(&demo, "demo", false, "首次启动时载入演示城市 / load the demo city once")
	return c
}

func (p *program) runServer(ctx context.Context, demo bool) (err error) {
	set, err := p.load()
	if err != nil {
		return err
	}
	log := p.logger(set.LogLevel)
	if !slices.ContainsFunc(p.environ, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		// What lives long is small beside what each request makes anew: collecting
		// half as often costs some ten megabytes.
		debug.SetGCPercent(200)
	}
	listener, err := listen(&set)
	if err != nil {
		return err
	}
	defer listener.Close()
	// What is stopped by a signal stops in order: requests, workers, stores.
	// So the parts get a context of their own.
	s, err := open(context.WithoutCancel(ctx), set, log, p.now, true)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, s.Close()); err == nil {
			err = ended(set.Data)
		}
	}()
	if err := s.startCare(ctx); err != nil {
		return err
	}
	if err := s.background(ctx); err != nil {
		return err
	}

	web, err := s.application()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- web.Listen(listener) }()
	if s.instance != nil {
		note := server{PID: os.Getpid(), Address: address(listener), Redis: s.redisURL}
		if err := s.instance.announce(note); err != nil {
			return err
		}
	}
	log.Info("listening", "address", address(listener), "version", built())
	fmt.Fprintf(p.out, "幸福码已启动 / Happiness Code is running: %s\n", address(listener))
	if demo {
		if err := p.loadDemo(ctx, s, address(listener)); err != nil && ctx.Err() == nil {
			return fmt.Errorf("load the demo city: %w", err)
		}
	} else if err := p.firstRun(ctx, s); err != nil && ctx.Err() == nil {
		return err
	}

	select {
	case err := <-ended:
		return fmt.Errorf("the listener ended: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := web.Shutdown(drain); err != nil {
		log.Error("requests did not finish in time", "error", err)
	}
	return nil
}

// background begins what this package does beside the requests; it ends with
// ctx, and Close waits for it.
func (s *system) background(ctx context.Context) error {
	killed, err := begin(s.settings.Data)
	if err != nil {
		return fmt.Errorf("note that the server runs: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.watchDivisions(ctx, divisionsEvery) })
	running.Go(func() { s.keys.Watch(ctx, keysEvery) })
	running.Go(func() { s.webhooks.Run(ctx, webhooksEvery) })
	running.Go(func() { s.keeper.Run(ctx, fundsEvery) })
	running.Go(func() { s.sms.Run(ctx, smsEvery) })
	running.Go(func() { s.forgetReports(ctx, forgetEvery) })
	running.Go(func() { s.forgetDocuments(ctx, forgetEvery) })
	if killed {
		running.Go(func() { s.mend(ctx) })
	}
	s.onClose("the background work", func() error {
		stop()
		running.Wait()
		return nil
	})
	return nil
}

// forgetReports deletes the words of reports that were closed long ago.
func (s *system) forgetReports(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if n, err := s.reports.Forget(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("delete the words of old reports", "error", err)
		} else if n > 0 {
			s.log.Info("the words of old reports are deleted", "reports", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// forgetDocuments deletes documents that were withdrawn long ago or never came
// whole.
func (s *system) forgetDocuments(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.documents.Forget(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("delete old documents", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// listen takes the port before anything else, so that a port already taken is
// told at once. Port 0 means any free one, and what is written into the codes
// follows it.
func listen(set *settings.Settings) (net.Listener, error) {
	l, err := net.Listen("tcp", set.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, say("地址 "+set.Listen+" 已被占用；请停止占用它的程序，或设置 HAPPYCODE_LISTEN，例如 127.0.0.1:8081",
			"that address is taken; stop the program that has it, or set HAPPYCODE_LISTEN, for example 127.0.0.1:8081", nil)
	case err != nil:
		return nil, say("无法监听 "+set.Listen+"；请检查 HAPPYCODE_LISTEN",
			"cannot listen there; check HAPPYCODE_LISTEN", err)
	}
	if strings.HasSuffix(set.Listen, ":0") {
		set.PublicHost = strings.Replace(set.PublicHost, set.Listen, l.Addr().String(), 1)
		set.Listen = l.Addr().String()
	}
	return l, nil
}

// address is where a browser on this machine finds the listener.
func address(l net.Listener) string {
	a, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return "http://" + l.Addr().String()
	}
	if a.Addr().IsUnspecified() {
		a = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	}
	return "http://" + a.String()
}

// firstRun says how to begin where nobody can sign in yet.
func (p *program) firstRun(ctx context.Context, s *system) error {
	some, _, err := s.accounts.List(ctx, "", 1)
	if err != nil {
		return err
	}
	if len(some) == 0 {
		fmt.Fprintln(p.out, "还没有账号；请另开一个终端执行 / nobody can sign in yet; in another terminal run: happycode account --username admin")
	}
	return nil
}
