//go:build integration

package main

import (
	"os/exec"
	"syscall"
)

// endWithParent lets a server end when the test process dies.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
