//go:build unix

package engine

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps a terminal's signals from a command.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
