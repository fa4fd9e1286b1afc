// Package redistest starts Redis servers for tests: the embedded one, a real
// one, and a real cluster.
//
// The servers listen on free ports of the loopback interface, keep their files
// in a temporary folder, and die with the test process. A missing redis-server
// fails the test; it never skips.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
)

const missing = "redis-server is not on the PATH: run `make test`, which installs it, or install the package redis-server"

// patience is how long a server may take to answer or a cluster to form.
const patience = 30 * time.Second

// Embedded starts the embedded Redis for this test and returns its address.
func Embedded(t testing.TB) (url string) {
	t.Helper()
	return StartEmbedded(t).URL()
}

// StartEmbedded starts the embedded Redis for this test.
func StartEmbedded(t testing.TB) *matching.Embedded {
	t.Helper()
	e, err := matching.StartEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// Connect opens a client of one server that waits longer for an answer than the
// product does, because a busy machine is not a Redis that is gone.
func Connect(t testing.TB, url string) *redis.Client {
	t.Helper()
	c, err := matching.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	client := c.(*redis.Client)
	client.Options().ReadTimeout = patience
	return client
}

// Server starts a real Redis for this test and returns its address.
func Server(t testing.TB) (url string) {
	t.Helper()
	return Start(t).URL()
}

// Start starts a real Redis for this test; args are added to its command
// line. It keeps nothing on disk unless they say so.
func Start(t testing.TB, args ...string) *Instance {
	t.Helper()
	ports, err := findPorts(1)
	if err != nil {
		t.Fatal(err)
	}
	i, err := start(t.TempDir(), ports[0], args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

// Instance is one running redis-server.
type Instance struct {
	dir  string
	port int
	args []string

	mu   sync.Mutex
	cmd  *exec.Cmd
	dead chan struct{} // closed when cmd has ended
}

func start(dir string, port int, args ...string) (*Instance, error) {
	i := &Instance{dir: dir, port: port, args: args}
	return i, i.launch()
}

func (i *Instance) launch() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("%s (%w)", missing, err)
	}
	cmd := exec.Command(path, append([]string{
		"--port", strconv.Itoa(i.port), "--bind", "127.0.0.1", "--dir", i.dir, "--daemonize", "no",
		"--save", "", "--appendonly", "no", "--logfile", filepath.Join(i.dir, "redis.log"),
	}, i.args...)...)
	dieWithParent(cmd)
	started, dead := make(chan error), make(chan struct{})
	go func() {
		// The kernel ends the child with the thread that started it, so the
		// thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter: it is always killed
		}
		close(dead)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	i.mu.Lock()
	i.cmd, i.dead = cmd, dead
	i.mu.Unlock()
	client := i.client()
	defer client.Close()
	return until("redis-server to answer, see "+i.dir+"/redis.log", func(ctx context.Context) (bool, error) {
		select {
		case <-dead:
			log, _ := os.ReadFile(filepath.Join(i.dir, "redis.log"))
			return false, fmt.Errorf("redis-server on port %d ended: %s", i.port, log)
		default:
		}
		conn, err := net.Dial("tcp", i.Addr()) // the client would log every try
		if err != nil {
			return false, nil
		}
		conn.Close()
		return client.Ping(ctx).Err() == nil, nil
	})
}

// Addr is its host:port.
func (i *Instance) Addr() string { return "127.0.0.1:" + strconv.Itoa(i.port) }

// URL is its address for matching.Connect.
func (i *Instance) URL() string { return "redis://" + i.Addr() }

// PID is its process id.
func (i *Instance) PID() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cmd.Process.Pid
}

// Kill ends it at once, as a power cut does, and waits until it is gone.
func (i *Instance) Kill() {
	i.mu.Lock()
	cmd, dead := i.cmd, i.dead
	i.mu.Unlock()
	_ = cmd.Process.Kill() // fails only if it is gone already
	<-dead
}

// Restart kills it and starts it again on the same port and folder.
func (i *Instance) Restart(t testing.TB) {
	t.Helper()
	i.Kill()
	if err := i.launch(); err != nil {
		t.Fatal(err)
	}
}

// Pause stops the process, as a machine that swaps or a frozen container does:
// connections stand, nothing is answered. [Instance.Resume] lets it go on.
func (i *Instance) Pause(t testing.TB) { i.signal(t, syscall.SIGSTOP) }

// Resume ends a pause.
func (i *Instance) Resume(t testing.TB) { i.signal(t, syscall.SIGCONT) }

func (i *Instance) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(i.PID(), s); err != nil {
		t.Errorf("%v: %v", s, err)
	}
}

// Configure sets one setting of the running server; a restart forgets it.
func (i *Instance) Configure(t testing.TB, name, value string) {
	t.Helper()
	i.do(t, "CONFIG", "SET", name, value)
}

// Save writes what it has to its folder; the next start reads it from there.
func (i *Instance) Save(t testing.TB) {
	t.Helper()
	i.do(t, "SAVE")
}

func (i *Instance) do(t testing.TB, command ...any) {
	t.Helper()
	client := i.client()
	defer client.Close()
	if err := client.Do(context.Background(), command...).Err(); err != nil {
		t.Errorf("%v: %v", command, err)
	}
}

// FlushAll empties it.
func (i *Instance) FlushAll(t testing.TB) {
	t.Helper()
	client := i.client()
	defer client.Close()
	if err := client.FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
}

func (i *Instance) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: i.Addr(), MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second})
}

// until waits for a condition.
func until(what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s in vain for %s", patience, what)
		case <-tick.C:
		}
	}
}

// lastPort is the port given out last; the next search goes on after it.
var lastPort struct {
	sync.Mutex
	port int
}

// The ports given out lie below the range from which systems give ports to
// clients, so that none takes one between finding and starting; so do the
// ports of the cluster bus, 10,000 higher.
const lowestPort, highestPort = 10_000, 22_000

// findPorts finds ports that are free and whose bus port is, too. Test
// processes begin their search in different places.
func findPorts(n int) ([]int, error) {
	lastPort.Lock()
	defer lastPort.Unlock()
	if lastPort.port == 0 {
		lastPort.port = lowestPort + os.Getpid()*101%(highestPort-lowestPort)
	}
	var ports []int
	for range highestPort - lowestPort {
		if lastPort.port++; lastPort.port >= highestPort {
			lastPort.port = lowestPort
		}
		if free(lastPort.port) && free(lastPort.port+10_000) {
			if ports = append(ports, lastPort.port); len(ports) == n {
				return ports, nil
			}
		}
	}
	return nil, fmt.Errorf("found only %d of %d free ports", len(ports), n)
}

func free(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
