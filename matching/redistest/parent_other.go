//go:build !linux

package redistest

import "os/exec"

// dieWithParent does nothing here: cleanups end the child.
func dieWithParent(*exec.Cmd) {}
