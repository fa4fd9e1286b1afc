package matching

import (
	"crypto/rand"
	"fmt"
	"net"

	"github.com/alicebob/miniredis/v2"
)

// Embedded is a Redis inside this process, for trying out and for small
// offices. It keeps nothing on disk: every start rebuilds it from the record.
type Embedded struct {
	server   *miniredis.Miniredis
	password string
}

// StartEmbedded listens on addr, host:port; empty means a free port of the
// loopback interface. A random password keeps other users of the machine out.
func StartEmbedded(addr string) (*Embedded, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("start the embedded redis on %q: %w", addr, err)
	}
	e := &Embedded{server: miniredis.NewMiniRedis(), password: rand.Text()}
	e.server.RequireAuth(e.password)
	e.server.ClockTTL(true)
	if err := e.server.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("start the embedded redis on %q: %w", addr, err)
	}
	return e, nil
}

// URL is the address for [Connect]; it contains the password.
func (e *Embedded) URL() string { return "redis://:" + e.password + "@" + e.server.Addr() }

// FlushAll empties it, as a crash of a server without persistence does.
func (e *Embedded) FlushAll() { e.server.FlushAll() }

// Close stops it.
func (e *Embedded) Close() { e.server.Close() }
