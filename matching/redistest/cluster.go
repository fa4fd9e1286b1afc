package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// shared is the one cluster of the test process: starting it takes seconds.
var shared struct {
	sync.Mutex
	nodes *Nodes
	err   error
}

// Cluster returns the address of a Redis Cluster of three masters with one
// replica each. All tests of the process share it, so each uses counties of
// its own, and none kills its nodes: see [StartCluster].
func Cluster(t testing.TB) (url string) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.nodes == nil && shared.err == nil {
		var dir string
		if dir, shared.err = os.MkdirTemp("", "redistest"); shared.err == nil {
			shared.nodes, shared.err = startCluster(dir)
		}
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.nodes.URL()
}

// Main runs the tests of a package that uses [Cluster] and removes what the
// cluster left behind. Use it as
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.nodes != nil {
		shared.nodes.kill()
		if err := os.RemoveAll(shared.nodes.dir); err != nil {
			fmt.Fprintln(os.Stderr, "redistest:", err)
			return 1
		}
	}
	return code
}

// StartCluster starts a cluster for this test alone.
func StartCluster(t testing.TB) *Nodes {
	t.Helper()
	n, err := startCluster(t.TempDir())
	if n != nil {
		t.Cleanup(n.kill)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Nodes are the servers of a cluster: three masters, then their replicas.
type Nodes struct {
	dir  string
	list []*Instance
}

// URL is the cluster's address for matching.Connect.
func (n *Nodes) URL() string {
	addrs := make([]string, len(n.list))
	for i, node := range n.list {
		addrs[i] = node.Addr()
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// Node returns one server: 0 to 2 began as masters, i+3 as the replica of i.
func (n *Nodes) Node(i int) *Instance { return n.list[i] }

// Master returns the server that is the master for a key now.
func (n *Nodes) Master(t testing.TB, key string) *Instance {
	t.Helper()
	ctx := context.Background()
	for _, node := range n.list {
		client := node.client()
		slot, err := client.ClusterKeySlot(ctx, key).Result()
		if err == nil {
			slots, err2 := client.ClusterSlots(ctx).Result()
			err = err2
			for _, s := range slots {
				if int64(s.Start) <= slot && slot <= int64(s.End) && s.Nodes[0].Addr == node.Addr() {
					client.Close()
					return node
				}
			}
		}
		client.Close()
		if err != nil {
			continue // it may have been killed by the test
		}
	}
	t.Fatalf("no node is the master of %s", key)
	return nil
}

// Sever keeps the replicas of a master from following it any further: what it
// acknowledges from now on is lost when it dies.
func (n *Nodes) Sever(t testing.TB, master *Instance) {
	t.Helper()
	for i, node := range n.list {
		if node == master {
			// The replica that begins with it; one that has changed its master does
			// not care. A password that the master does not know ends the handshake.
			n.list[(i+masters)%(2*masters)].Configure(t, "masterauth", "severed")
		}
	}
	master.do(t, "CLIENT", "KILL", "TYPE", "replica")
}

// FlushAll empties all masters.
func (n *Nodes) FlushAll(t testing.TB) {
	t.Helper()
	for _, node := range n.list {
		client := node.client()
		err := client.FlushAll(context.Background()).Err()
		client.Close()
		if err != nil && !strings.HasPrefix(err.Error(), "READONLY") {
			t.Fatal(err)
		}
	}
}

func (n *Nodes) kill() {
	for _, node := range n.list {
		node.Kill()
	}
}

const masters = 3

func startCluster(dir string) (*Nodes, error) {
	ports, err := findPorts(2 * masters)
	if err != nil {
		return nil, err
	}
	n := &Nodes{dir: dir}
	for _, port := range ports {
		home, err := os.MkdirTemp(dir, "node")
		if err != nil {
			return n, fmt.Errorf("make a folder for a cluster node: %w", err)
		}
		node, err := start(home, port,
			"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
			"--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0",
			// A replica counts as available once it has received something, be it
			// a ping, which comes every 10 s by default.
			"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
		if err != nil {
			return n, err
		}
		n.list = append(n.list, node)
	}
	return n, n.form()
}

// form joins the nodes: each master gets a third of the slots and a replica.
func (n *Nodes) form() error {
	ctx := context.Background()
	ids := make([]string, len(n.list))
	for i, node := range n.list {
		c := node.client()
		defer c.Close()
		var errs []error
		if i < masters {
			errs = append(errs, c.ClusterAddSlotsRange(ctx, i*16384/masters, (i+1)*16384/masters-1).Err())
		}
		errs = append(errs, c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)).Err())
		for _, other := range n.list[:i] { // all of them: gossip would take seconds
			errs = append(errs, c.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(other.port)).Err())
		}
		id, err := c.Do(ctx, "CLUSTER", "MYID").Text()
		ids[i] = id
		if err := errors.Join(append(errs, err)...); err != nil {
			return fmt.Errorf("form the cluster at %s: %w", node.Addr(), err)
		}
	}
	for i, node := range n.list {
		if i < masters {
			continue
		}
		c := node.client()
		defer c.Close()
		err := until("node "+node.Addr()+" to become a replica", func(ctx context.Context) (bool, error) {
			return c.ClusterReplicate(ctx, ids[i-masters]).Err() == nil, nil
		})
		if err != nil {
			return err
		}
	}
	for _, node := range n.list {
		c := node.client()
		defer c.Close()
		err := until("the cluster to be whole, seen from "+node.Addr(), func(ctx context.Context) (bool, error) {
			info, err := c.ClusterInfo(ctx).Result()
			whole := err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") && strings.Contains(info, "cluster_known_nodes:6")
			slots, err := c.ClusterSlots(ctx).Result()
			if err != nil || len(slots) != masters {
				return false, nil
			}
			for _, s := range slots {
				whole = whole && len(s.Nodes) == 2
			}
			if info, err := c.Info(ctx, "replication").Result(); err != nil || strings.Contains(info, "master_link_status:down") {
				return false, nil
			}
			return whole, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
