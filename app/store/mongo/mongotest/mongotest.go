//go:build integration

package mongotest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/xingfuma/happycode/app/store"
)

// EnvURI names a server to use instead of one that is started here. Its user
// must be allowed to create and drop databases.
const EnvURI = "HAPPYCODE_TEST_MONGO_URI"

// patience is how long a server may take to start.
const patience = 60 * time.Second

// server is shared by all tests of the process, and dies with it.
var server = sync.OnceValues(func() (string, error) {
	if uri := os.Getenv(EnvURI); uri != "" {
		return uri, nil
	}
	if path, err := exec.LookPath("mongod"); err == nil {
		return startMongod(path)
	}
	_, addr, err := startStandIn("127.0.0.1:0", "")
	return standInURI(addr), err
})

// URI names a new database, on a server that all tests of the process share;
// it is dropped when the test ends. The test fails when there is no server.
func URI(t testing.TB) string {
	t.Helper()
	base, err := server()
	if err != nil {
		t.Fatalf("start a MongoDB server: %v", err)
	}
	name := "test_" + strings.ReplaceAll(store.NewID(), "-", "")
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("%s holds no URI with one host", EnvURI)
	}
	u.Path = "/" + name
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		client, err := mongo.Connect(options.Client().ApplyURI(base))
		if err != nil {
			t.Errorf("drop %s: %v", name, err)
			return
		}
		if err := client.Database(name).Drop(ctx); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
		if err := client.Disconnect(ctx); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	return u.String()
}

// StandIn says whether the tests run against FerretDB, which keeps less than
// MongoDB does.
func StandIn(t testing.TB) bool {
	t.Helper()
	base, err := server()
	if err != nil {
		t.Fatalf("start a MongoDB server: %v", err)
	}
	return strings.Contains(base, "appName="+standInName)
}

// standInName marks the stand-in's URI.
const standInName = "happycode-stand-in"

func standInURI(addr string) string {
	// One connection: its back end loses updates when several write at once.
	return "mongodb://" + addr + "/?maxPoolSize=1&appName=" + standInName
}

// Server is a server of a test's own, for crashing it.
type Server struct {
	cmd  *exec.Cmd
	addr string
	dir  string
}

// Start starts a stand-in that keeps its data in a folder of the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{addr: "127.0.0.1:0", dir: t.TempDir()}
	s.Restart(t)
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// URI names a database on the server.
func (s *Server) URI(database string) string {
	return strings.Replace(standInURI(s.addr), "/?", "/"+database+"?", 1)
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = s.cmd.Wait() // it was killed
}

// Restart starts the server again, on its address and data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	cmd, addr, err := startStandIn(s.addr, s.dir)
	if err != nil {
		t.Fatalf("start the stand-in: %v", err)
	}
	s.cmd, s.addr = cmd, addr
}

// startStandIn starts FerretDB. It ends when the pipe to its standard input
// breaks, that is with this process.
func startStandIn(listen, dir string) (*exec.Cmd, string, error) {
	program, err := build()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(program, "-listen", listen, "-dir", dir)
	cmd.Env = append(os.Environ(), "GOGC=400") // it makes much garbage: a third less work, for some more memory
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("the stand-in ended at once: %w", cmd.Wait())
	}
	go func() {
		_, _ = io.Copy(io.Discard, out)
		// Collected as garbage, the pipe would be closed and the server end.
		runtime.KeepAlive(in)
	}()
	return cmd, strings.TrimSpace(line), nil
}

// dying starts a process that the kernel kills when this one ends. The kernel
// goes by the thread that started it, so that thread is kept.
func dying(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {} // never unlocks: the thread lives as long as the process
	}()
	return <-started
}

// build builds the stand-in into the user's cache, once for each state of its
// sources.
func build() (string, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/xingfuma/happycode")
	root, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "app", "store", "mongo", "mongotest", "ferretdb")
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"main.go", "go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, name, len(b))
		sum.Write(b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "happycode")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	program := filepath.Join(cache, fmt.Sprintf("ferretdb-%x", sum.Sum(nil)[:8]))
	// Test binaries run at the same time; one builds, the others wait.
	lock, err := os.OpenFile(program+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", program+".part", ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the stand-in: %w\n%s", err, out)
	}
	return program, os.Rename(program+".part", program)
}

// startMongod starts a replica set of one member.
func startMongod(path string) (string, error) {
	parent := filepath.Join(os.TempDir(), "happycode-mongod")
	if err := removeLeftovers(parent); err != nil {
		return "", err
	}
	dir := filepath.Join(parent, strconv.Itoa(os.Getpid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, "--replSet", "happycode", "--bind_ip", "127.0.0.1", "--port", strconv.Itoa(addr.Port), "--dbpath", dir, "--nounixsocket")
	cmd.Stdout, cmd.Stderr = log, log
	if err := dying(cmd); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + addr.String() + "/?directConnection=true"))
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	admin := client.Database("admin")
	if err := admin.RunCommand(ctx, bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: "happycode"},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: addr.String()}}}},
	}}}).Err(); err != nil {
		return "", fmt.Errorf("initiate the replica set, see %s: %w", log.Name(), err)
	}
	for {
		var hello struct {
			Writable bool `bson:"isWritablePrimary"`
		}
		if err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
			return "", err
		}
		if hello.Writable {
			return "mongodb://" + addr.String() + "/?replicaSet=happycode", nil
		}
	}
}

// removeLeftovers removes the data of test processes that are gone.
func removeLeftovers(parent string) error {
	entries, err := os.ReadDir(parent)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
