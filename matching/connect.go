package matching

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrURL says that an address of Redis cannot be read; the message says what
// is wrong and what is expected.
var ErrURL = errors.New("not a Redis address")

// Time-outs and pool. A script takes well under a millisecond; what takes
// seconds is lost. A command is tried twice, because a connection may have died
// unnoticed: who asks a frozen server knows after twice the time-out.
const (
	dialTimeout = 2 * time.Second
	readTimeout = 2 * time.Second
	poolTimeout = 3 * time.Second
	poolSize    = 32
	retries     = 1
)

// Connect opens a client and waits for Redis to answer.
//
// Addresses: redis://[user:password@]host:port[/db] for one server, rediss://…
// for one over TLS, redis+cluster://[user:password@]h1:p1,h2:p2,… for a
// cluster, rediss+cluster://… for one over TLS.
//
// Errors: [ErrURL]; anything else is Redis.
func Connect(ctx context.Context, address string) (redis.UniversalClient, error) {
	client, err := open(address)
	if err != nil {
		return nil, err
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to redis: %w", err), client.Close())
	}
	return client, nil
}

func open(address string) (redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil, fmt.Errorf("%w: it begins with redis://, rediss://, redis+cluster:// or rediss+cluster://", ErrURL)
	}
	switch scheme {
	case "redis", "rediss":
		o, err := redis.ParseURL(address)
		if err != nil {
			return nil, fmt.Errorf("%w: expected %s://[user:password@]host:port[/db]", ErrURL, scheme)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, readTimeout, readTimeout
		o.PoolTimeout, o.PoolSize = poolTimeout, poolSize
		o.DialerRetries, o.MaxRetries = 1, retries
		o.ContextTimeoutEnabled = true
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		return redis.NewClient(o), nil
	case "redis+cluster", "rediss+cluster":
		return openCluster(scheme, rest)
	}
	return nil, fmt.Errorf("%w: %q is none of redis, rediss, redis+cluster, rediss+cluster", ErrURL, scheme)
}

func openCluster(scheme, rest string) (redis.UniversalClient, error) {
	o := &redis.ClusterOptions{
		DialTimeout: dialTimeout, ReadTimeout: readTimeout, WriteTimeout: readTimeout,
		PoolTimeout: poolTimeout, PoolSize: poolSize,
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
		MaxRedirects:          8,
		// Measured: with the defaults a client needs 58 s to follow a failover,
		// with these two (and the reload on dial errors below) 3 to 5 s.
		ClusterStateReloadInterval: time.Second,
		FailingTimeoutSeconds:      1,
		MaintNotificationsConfig:   &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		var err1, err2 error
		o.Username, err1 = url.PathUnescape(user)
		o.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%w: user and password of a cluster are percent-encoded", ErrURL)
		}
		rest = rest[at+1:]
	}
	for _, node := range strings.Split(strings.TrimSuffix(rest, "/"), ",") {
		if host, port, err := net.SplitHostPort(node); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("%w: expected %s://host:port,host:port,…, found %q", ErrURL, scheme, node)
		}
		o.Addrs = append(o.Addrs, node)
	}
	if scheme == "rediss+cluster" {
		host, _, _ := net.SplitHostPort(o.Addrs[0])
		o.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	var client atomic.Pointer[redis.ClusterClient]
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var conn net.Conn
		var err error
		if o.TLSConfig != nil {
			conn, err = (&tls.Dialer{NetDialer: dialer, Config: o.TLSConfig}).DialContext(ctx, network, addr)
		} else {
			conn, err = dialer.DialContext(ctx, network, addr)
		}
		if c := client.Load(); err != nil && c != nil {
			c.ReloadState(ctx)
		}
		return conn, err
	}
	c := redis.NewClusterClient(o)
	client.Store(c)
	return c, nil
}
