// Command peers measures other ways to give units to people in need, on this
// machine and in one run, against the matcher of Happiness Code: see README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
)

// options are the command line.
type options struct {
	callers          int
	duration, warmup time.Duration
	redis, postgres  string
	openmatch        string
	only             string
	json             string
	scans            string
}

func main() {
	var o options
	flag.IntVar(&o.callers, "callers", 64, "callers at once")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "time that counts, for each peer")
	flag.DurationVar(&o.warmup, "warmup", 2*time.Second, "warm-up, for each peer")
	flag.StringVar(&o.redis, "redis", "", "redis://host:port of an empty Redis; by default one is started")
	flag.StringVar(&o.postgres, "postgres", "", "PostgreSQL to use; by default a cluster is made and started")
	flag.StringVar(&o.openmatch, "openmatch", "", "http://host:port of an Open Match frontend with the Connect protocol, as castaneai/minimatch serves it")
	flag.StringVar(&o.only, "only", "", "names of peers, with commas; by default all")
	flag.StringVar(&o.json, "json", "", "write the figures to this JSON file")
	flag.StringVar(&o.scans, "scans", "", "JSON of happycode bench, whose scans over HTTP with the record join the table")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// figures are what a run has measured.
type figures struct {
	At      time.Time `json:"at"`
	Callers int       `json:"callers"`
	Seconds float64   `json:"seconds"`
	Peers   []*row    `json:"peers"`
}

func run(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.redis == "" {
		s, url, err := startRedis(ctx, dir)
		if err != nil {
			return err
		}
		defer s.end()
		o.redis = url
	}
	peers := []peer{
		&ours{url: o.redis, needs: 1}, &ours{url: o.redis, needs: 3}, &ticks{url: o.redis}, &careless{url: o.redis},
		&postgres{url: o.postgres, dir: dir, conns: o.callers},
	}
	if o.openmatch != "" {
		peers = append(peers, &openMatch{url: strings.TrimSuffix(o.openmatch, "/"), conns: o.callers})
	}
	f := &figures{At: time.Now().UTC(), Callers: o.callers, Seconds: o.duration.Seconds()}
	for _, p := range peers {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+p.name()+",") {
			continue
		}
		r, err := measure(ctx, p, o)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", p.name(), err)
		}
		if r != nil {
			f.Peers = append(f.Peers, r)
		}
	}
	if o.scans != "" {
		r, err := scansOf(o.scans)
		if err != nil {
			return err
		}
		f.Peers = append(f.Peers, r)
	}
	if err := f.print(out); err != nil {
		return err
	}
	if o.json != "" {
		text, err := json.MarshalIndent(f, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// scansOf is the row of happycode bench, which measured in a run of its own.
func scansOf(path string) (*row, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b struct {
		City struct {
			Needs int `json:"needs_each"`
		} `json:"city"`
		Scans *struct {
			PerSecond float64 `json:"per_second"`
			Latency   struct {
				P50 float64 `json:"p50_ms"`
				P99 float64 `json:"p99_ms"`
			} `json:"latency"`
		} `json:"scans"`
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if b.Scans == nil {
		return nil, fmt.Errorf("%s has no scans", path)
	}
	return &row{
		Name: "scans", What: fmt.Sprintf("ours: scans over HTTP, recorded durably, %d needs each (another run)", b.City.Needs),
		CallsPerSecond: b.Scans.PerSecond, NeedsPerSecond: b.Scans.PerSecond * float64(b.City.Needs),
		P50Ms: b.Scans.Latency.P50, P99Ms: b.Scans.Latency.P99, OversoldUnits: -1, DoubledUnits: -1,
	}, nil
}

// print writes the table; the ratio is of needs per second, of the matcher's
// row with one need a call to the peer's.
func (f *figures) print(out io.Writer) error {
	var base float64
	for _, r := range f.Peers {
		if r.Name == "ours" {
			base = r.NeedsPerSecond
		}
	}
	count := func(n int64) string {
		if n < 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "peer\tcalls/s\tneeds/s\tp50 ms\tp99 ms\toversold\tdoubled\tours/it\twhat")
	for _, r := range f.Peers {
		ratio := "-"
		if base > 0 && r.NeedsPerSecond > 0 {
			r.OursPerIt = base / r.NeedsPerSecond
			ratio = fmt.Sprintf("%.2f", r.OursPerIt)
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%.2f\t%s\t%s\t%s\t%s\n", r.Name, r.CallsPerSecond, r.NeedsPerSecond, r.P50Ms, r.P99Ms,
			count(r.OversoldUnits), count(r.DoubledUnits), ratio, r.What)
	}
	return w.Flush()
}

// process is one that this program started, and ends.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended, after ended
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// end interrupts the process, which both servers take for an orderly end.
func (p *process) end() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// await asks until check is content.
func (p *process) await(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return errors.Join(err, p.err)
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// startRedis starts a server as compose.yaml sets it: AOF, fsync every second.
func startRedis(ctx context.Context, dir string) (*process, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	data := filepath.Join(dir, "redis")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, "", err
	}
	p, err := start(exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", data,
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec"))
	if err != nil {
		return nil, "", err
	}
	err = p.await(ctx, func() error {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	if err != nil {
		p.end()
		return nil, "", err
	}
	return p, "redis://127.0.0.1:" + port, nil
}

func connect(url string, conns int) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	o.PoolSize = conns
	return redis.NewClient(o), nil
}
