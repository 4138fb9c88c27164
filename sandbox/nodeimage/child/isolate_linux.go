package child

import (
	"os/exec"
	"syscall"
)

// isolate makes the command the head of a process group that ends as one,
// out of reach of the terminal's Ctrl-C, which is ours to act on.
func isolate(cmd *exec.Cmd, privateMounts bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if privateMounts {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

func terminate(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
