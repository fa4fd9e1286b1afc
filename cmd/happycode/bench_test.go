//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/bench"
	"github.com/xingfuma/happycode/matching/redistest"
)

func benchFigures(t *testing.T, path string) (f figures) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// A city is prepared twice, served and scanned: once by the clock, once until
// the cards run out.
func TestBench(t *testing.T) {
	t.Parallel()
	s := embedded(t).with("TRUSTED_PROXIES", "127.0.0.0/8").with("REDIS_URL", redistest.Start(t).URL())
	prepare := []string{"bench", "prepare", "--residents", "400", "--offers", "60", "--tokens", "4"}
	for range 2 {
		if out := commandOK(t, s, prepare...); !strings.Contains(out, "居民 residents 400，资源 offers 60，需求 needs 800，未扫的卡 cards not scanned 400") {
			t.Errorf("prepare said:\n%s", out)
		}
	}
	start(t, s)
	path := filepath.Join(t.TempDir(), "out.json")
	out := commandOK(t, s, "bench", "run", "--rate", "30", "--duration", "2s", "--warmup", "1s", "--connections", "8",
		"--redis", s["REDIS_URL"], "--json", path)
	for _, part := range []string{"空 POST", "仅匹配引擎", "同一脚本", "扫码", "扫码与空 POST 之比", "开环 open loop, 30/s", "promises gone: 0"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	f := benchFigures(t, path)
	if f.Scans == nil || f.EmptyPost == nil || f.Engine == nil || f.RedisBenchmark == nil {
		t.Fatalf("not everything was measured:\n%s", out)
	}
	if n := f.Scans.Answers + f.Scans.WarmedUp; n < 80 || n > 90 || f.Scans.Served != n || f.Scans.Failed() != 0 || f.Scans.Latency.P99Ms <= 0 {
		t.Errorf("scans: got %+v, want about 90 answers, all of them with a promise", f.Scans)
	}
	if f.Scans.Sampled == 0 || len(f.Scans.Broken) > 0 || f.City.Residents != 400 || f.City.Needs != 2 || f.City.Left > 320 {
		t.Errorf("got %+v, %+v", f.Scans, f.City)
	}
	if f.Engine.Calls == 0 || f.Engine.Holds != 2*f.Engine.Calls {
		t.Errorf("the matcher alone: got %+v, want that every need is held", f.Engine)
	}
	if f.CPU.EmptyPost <= 0 {
		t.Errorf("processor time: got %+v", f.CPU)
	}
	for _, name := range []string{ratioScans, ratioP99, ratioEngine} {
		if f.Ratios[name] <= 0 {
			t.Errorf("ratio %s: got %v", name, f.Ratios[name])
		}
	}

	run := []string{"bench", "run", "--duration", "30s", "--warmup", "0s", "--connections", "8", "--yardstick=false", "--json", path}
	out, errOut, status := command(t, s, run...)
	if f = benchFigures(t, path); status != 1 || !strings.Contains(errOut, "卡不够") || !strings.Contains(out, "扫码") || !f.Scans.Exhausted || f.Scans.Answers == 0 {
		t.Errorf("out of cards: status %d\n%s%s", status, out, errOut)
	}
	if _, errOut, status = command(t, s, run...); status != 1 || !strings.Contains(errOut, "都已扫过") {
		t.Errorf("no card left: status %d, %s", status, errOut)
	}
	// What was scanned is not scanned again after more people have come.
	prepare[3] = "430"
	if out := commandOK(t, s, prepare...); !strings.Contains(out, "cards not scanned 30") {
		t.Errorf("prepare said:\n%s", out)
	}
	if out := commandOK(t, s, "verify"); !strings.Contains(out, "every promise holds") {
		t.Errorf("verify said:\n%s", out)
	}
}

func TestBenchSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	refuses := func(want string, args ...string) {
		t.Helper()
		if _, errOut, status := command(t, s, args...); status != 1 || !strings.Contains(errOut, want) {
			t.Errorf("happycode %v: status %d, %q; want %q", args, status, errOut, want)
		}
	}
	refuses("请先执行 happycode bench prepare", "bench", "run")
	refuses("超出范围", "bench", "prepare", "--residents", "0")
	commandOK(t, s, "bench", "prepare", "--residents", "20", "--offers", "15", "--tokens", "1")
	refuses("请先在另一个终端执行 happycode serve", "bench", "run", "--url", "http://"+freeAddress(t))
	refuses("--url", "bench", "run", "--url", "::")
	refuses("--connections", "bench", "run", "--connections", "0")

	// Another record does not know the tokens.
	p := start(t, embedded(t))
	refuses("signed_out", "bench", "run", "--url", p.base, "--duration", "1s", "--warmup", "0s", "--yardstick=false", "--connections", "1")
	if city, err := bench.ReadCity(filepath.Join(s["DATA"], benchFolder)); err != nil || city.Left() != 20 {
		t.Errorf("after refusals: got %+v, %v; want that every card is still to be scanned", city, err)
	}

	// A city is not mixed with people that are real.
	s = embedded(t)
	file := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(file, []byte("姓名,身份证号,区划代码\n张三,11010519491231002X,330502001005\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commandOK(t, s, "import", "residents", file)
	refuses("已有真实数据", "bench", "prepare")
}

// Whoever loses patience sees what there is.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	s := embedded(t).with("REDIS_URL", redistest.Start(t).URL())
	commandOK(t, s, "bench", "prepare", "--residents", "1000", "--offers", "30", "--tokens", "2")
	p := start(t, s)
	path := filepath.Join(t.TempDir(), "out.json")
	cmd := exec.Command(binary, "bench", "run", "--rate", "20", "--duration", "10m", "--warmup", "0s", "--yardstick=false", "--json", path)
	cmd.Env = s.environ()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, startTime, "some are scanned", func() error {
		resp, err := http.Get(p.base + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.Contains(text, []byte(`happycode_scans_total{outcome="ok"}`)) {
			err = fmt.Errorf("not yet")
		}
		return err
	})
	began := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || time.Since(began) > 3*time.Minute {
		t.Errorf("it ended after %v: %v; want status 1, long before its ten minutes", time.Since(began), err)
	}
	if f := benchFigures(t, path); !f.Scans.Interrupted || f.Scans.Answers == 0 || !strings.Contains(out.String(), "扫码") || !strings.Contains(errOut.String(), "被中断") {
		t.Errorf("got %+v\n%s%s", f.Scans, out.String(), errOut.String())
	}
}
