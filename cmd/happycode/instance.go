package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A folder of data belongs to one process at a time. The lock is the kernel's,
// so that it ends with the process however that ends; server.json beside it
// tells commands how to reach the embedded Redis of the server that runs.
const (
	lockName   = "lock"
	serverName = "server.json"
)

// instance is a folder of data in this process's hands.
type instance struct {
	dir  string
	lock *os.File
}

// server is what a running server tells the commands beside it.
type server struct {
	PID     int    `json:"pid"`
	Address string `json:"address"`
	Redis   string `json:"redis"` // URL with its password; the file is 0600
}

var errInUse = errors.New("another process has the folder")

// claim takes the folder, making it where it is missing. Errors: errInUse.
func claim(dir string) (*instance, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, say(
			"无法建立数据目录 "+dir+"；请用 HAPPYCODE_DATA 指定一个可写的目录",
			"cannot make the data folder; set HAPPYCODE_DATA to one that can be written", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, say(
			"数据目录 "+dir+" 不可写；请修正权限，或用 HAPPYCODE_DATA 另指定目录",
			"the data folder cannot be written; correct its permissions or set HAPPYCODE_DATA", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errInUse
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	i := &instance{dir: dir, lock: f}
	// What a killed server left behind.
	if err := i.silence(); err != nil {
		f.Close()
		return nil, err
	}
	return i, nil
}

// announce tells the commands beside this server how to reach it.
func (i *instance) announce(s server) error {
	return writePrivate(filepath.Join(i.dir, serverName), s)
}

func (i *instance) silence() error {
	if err := os.Remove(filepath.Join(i.dir, serverName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the note of an earlier server: %w", err)
	}
	return nil
}

// release gives the folder back.
func (i *instance) release() error { return errors.Join(i.silence(), i.lock.Close()) }

// running reads what the server of this folder says of itself. Errors:
// [fs.ErrNotExist] when there is none, or none that is alive.
func running(dir string) (server, error) {
	var s server
	text, err := os.ReadFile(filepath.Join(dir, serverName))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", serverName, err)
	}
	if s.PID <= 0 || errors.Is(syscall.Kill(s.PID, 0), syscall.ESRCH) {
		return s, fmt.Errorf("process %d has ended: %w", s.PID, fs.ErrNotExist)
	}
	return s, nil
}

// writePrivate writes v as JSON for the owner's eyes only; a reader sees the
// old file or the new one, never a part.
func writePrivate(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
