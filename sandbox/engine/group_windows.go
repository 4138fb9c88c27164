package engine

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps a console's signals from a command.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
