package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	// childStart is how long a process may take to listen.
	childStart = 20 * time.Second
	// childEnd is how long it may take to end in order.
	childEnd = 40 * time.Second
)

// child is a process that this one started, and ends.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// startChild starts a process that prints to out. A nil environ is this
// process's own.
func startChild(environ []string, out io.Writer, program string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = environ, out, out
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait() // how it ended does not matter to whoever ends it
		close(c.ended)
	}()
	return c, nil
}

// startSelf starts this program again with a command.
func startSelf(environ []string, out io.Writer, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startChild(environ, out, self, args...)
}

// clockTick is the unit of /proc/PID/stat, the same on every Linux.
const clockTick = 10 * time.Millisecond

// cpu is the processor time that the process has used, where the system says
// so as Linux does; 0 otherwise.
func (c *child) cpu() time.Duration {
	if c == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// After the name, which may have blanks and brackets, comes field 3; user
	// and system time are fields 14 and 15.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick
}

// await asks until check is content.
func (c *child) await(ctx context.Context, within time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			return errors.Join(err, fmt.Errorf("%s has ended", c.cmd.Path))
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// end ends the process in order, and by force when it takes too long.
func (c *child) end() {
	_ = c.cmd.Process.Signal(os.Interrupt)
	t := time.NewTimer(childEnd)
	defer t.Stop()
	select {
	case <-c.ended:
	case <-t.C:
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// freeListen finds an address for a child to listen on.
func freeListen() (string, error) {
	l, err := listenOn("127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// answers waits until somebody listens at the address.
func (c *child) answers(ctx context.Context, address string, within time.Duration) error {
	return c.await(ctx, within, func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

func listenOn(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, say("无法监听 "+address+"；请用 --listen 指定另一个地址", "cannot listen there; name another address with --listen", err)
	}
	return l, nil
}
