package main

import (
	"bufio"
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

// childEnd is how long a process may take to end in order.
const childEnd = 40 * time.Second

// child is a process that this one started, and ends.
type child struct {
	cmd   *exec.Cmd
	out   io.Reader
	ended chan struct{}
}

// startChild starts a process. An empty environ is this process's own; what it
// prints goes to errOut, but for its first line.
func startChild(environ []string, errOut io.Writer, program string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	c.cmd.Env, c.cmd.Stderr = environ, errOut
	// Of a pipe of os/exec, Wait would close the end that is being read.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.out = w, r
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	w.Close()
	go func() {
		_ = c.cmd.Wait() // how it ended does not matter to whoever ends it
		close(c.ended)
	}()
	return c, nil
}

// firstLine reads the first line that the process prints, and lets the rest go.
func (c *child) firstLine(ctx context.Context) (string, error) {
	line := make(chan string, 1)
	go func() {
		s := bufio.NewScanner(c.out)
		if s.Scan() {
			line <- s.Text()
		}
		close(line)
		_, _ = io.Copy(io.Discard, c.out)
	}()
	select {
	case text, ok := <-line:
		if !ok {
			return "", fmt.Errorf("%s ended at its start", c.cmd.Path)
		}
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
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
	var ticks time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		ticks += time.Duration(n)
	}
	return ticks * clockTick
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

func listenOn(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, say("无法监听 "+address+"；请用 --listen 指定另一个地址", "cannot listen there; name another address with --listen", err)
	}
	return l, nil
}
