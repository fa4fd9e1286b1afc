//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is the program under test: the real one, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "happycode-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "happycode")
	args := []string{"build", "-o", binary}
	if raced {
		args = append(args, "-race")
	}
	status := 1
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

const (
	// These only end a wait that is hopeless: a machine may be slow.
	startTime = 5 * time.Minute
	stopTime  = 3 * time.Minute
	pollEvery = 20 * time.Millisecond
)

// settingsOf is an environment for the program: nothing of ours leaks in.
type settingsOf map[string]string

func (s settingsOf) environ() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR")}
	for name, value := range s {
		env = append(env, "HAPPYCODE_"+name+"="+value)
	}
	return env
}

// with returns a copy that has one more setting.
func (s settingsOf) with(name, value string) settingsOf {
	c := settingsOf{name: value}
	for n, v := range s {
		if n != name {
			c[n] = v
		}
	}
	return c
}

// embedded are the settings of a first start: an empty folder and a free port.
func embedded(t testing.TB) settingsOf {
	t.Helper()
	return settingsOf{"LISTEN": freeAddress(t), "DATA": filepath.Join(t.TempDir(), "data"), "ACCESS_LOG": "off"}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// command runs the program to its end and returns what it printed.
func command(t testing.TB, s settingsOf, args ...string) (out, errOut string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = s.environ()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		status = exit.ExitCode()
	case err != nil:
		t.Fatalf("happycode %s: %v", strings.Join(args, " "), err)
	}
	return o.String(), e.String(), status
}

// commandOK runs the program and wants it to end well.
func commandOK(t testing.TB, s settingsOf, args ...string) string {
	t.Helper()
	out, errOut, status := command(t, s, args...)
	if status != 0 {
		t.Fatalf("happycode %s: status %d\n%s\n%s", strings.Join(args, " "), status, out, errOut)
	}
	return out
}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	base string // http://127.0.0.1:port
	out  *transcript
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

// transcript keeps what a process prints.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// launch starts a server without waiting for it.
func launch(t testing.TB, s settingsOf, args ...string) *process {
	t.Helper()
	p := &process{
		cmd: exec.Command(binary, append([]string{"serve"}, args...)...), base: "http://" + s["LISTEN"],
		out: &transcript{}, done: make(chan struct{}),
	}
	p.cmd.Env = s.environ()
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	endWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		text := p.out.String()
		if strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
			t.Errorf("the server raced or panicked:\n%s", text)
		} else if t.Failed() {
			t.Logf("the server said:\n%s", tail(text, 6000))
		}
	})
	return p
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}

// start starts a server and waits until it is ready.
func start(t testing.TB, s settingsOf, args ...string) *process {
	t.Helper()
	p := launch(t, s, args...)
	p.awaitReady(t)
	return p
}

func (p *process) awaitReady(t testing.TB) {
	t.Helper()
	eventually(t, startTime, "the server is ready", func() error {
		select {
		case <-p.done:
			t.Fatalf("the server ended: %v\n%s", p.err, p.out)
		default:
		}
		resp, err := http.Get(p.base + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("/readyz: %s: %s", resp.Status, body)
		}
		return nil
	})
}

// stop ends the server in order and wants it to end well.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatalf("stop: %v", err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			t.Fatalf("the server ended badly: %v\n%s", p.err, tail(p.out.String(), 4000))
		}
	case <-time.After(stopTime):
		t.Fatalf("the server does not end:\n%s", tail(p.out.String(), 4000))
	}
}

// kill ends the server as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// eventually asks again until check is content, and fails at the deadline.
func eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v: %v", what, within, err)
		case <-tick.C:
		}
	}
}

// caller uses the API with a service token.
type caller struct {
	base, token string
	key         string // Idempotency-Key; usually none
	http        *http.Client
}

func newCaller(base, token string) *caller {
	return &caller{base: base, token: token, http: &http.Client{
		Timeout:   startTime,
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	}}
}

// refused is an answer that is not a success.
type refused struct {
	status int
	header http.Header
	body   string
}

func (r *refused) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.body) }

// call sends one JSON request and decodes the answer into into, which may be
// nil. Errors: *refused; anything else means that there was no answer.
func (c *caller) call(ctx context.Context, method, path string, body, into any) error {
	if body == nil {
		return c.send(ctx, method, path, "", nil, into)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.send(ctx, method, path, "application/json", bytes.NewReader(text), into)
}

func (c *caller) send(ctx context.Context, method, path, kind string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1/"+path, body)
	if err != nil {
		return err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &refused{resp.StatusCode, resp.Header, string(text)}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// insist posts again until there is an answer: no connection, a broken one and
// 5xx are what a killed or overloaded server looks like, and repeating is safe.
func (c *caller) insist(ctx context.Context, path string, body, into any) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := c.call(ctx, http.MethodPost, path, body, into)
		var no *refused
		if err == nil || errors.As(err, &no) && no.status < 500 && no.status != http.StatusTooManyRequests {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, the last answer: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// must wants a success; what only reads is asked again while the server says
// that it takes too long just now.
func (c *caller) must(t testing.TB, method, path string, body, into any) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := c.call(t.Context(), method, path, body, into)
		var no *refused
		if err == nil {
			return
		}
		if method != http.MethodGet || !errors.As(err, &no) || no.status != http.StatusServiceUnavailable || time.Since(began) > startTime {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		<-tick.C
	}
}

// token makes a service token with the program itself.
func token(t testing.TB, s settingsOf, args ...string) string {
	t.Helper()
	return strings.TrimSpace(commandOK(t, s, append([]string{"token", "--label", "test"}, args...)...))
}
