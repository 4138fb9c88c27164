//go:build !windows

package gate

import (
	"os/exec"
	"syscall"
)

// killWithChildren makes a command the head of a process group, which is
// killed as a whole when its context ends: a shell that is killed alone leaves
// behind what it started.
func killWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
