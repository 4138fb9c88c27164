package gate

import (
	"errors"
	"os/exec"
	"strconv"
)

// killWithChildren has a command and the processes below it killed when its
// context ends. Windows has no process groups that could be killed; taskkill,
// which comes with it, walks the tree of parents.
func killWithChildren(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		tree := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid))
		if err := tree.Run(); err != nil {
			return errors.Join(err, cmd.Process.Kill())
		}
		return nil
	}
}
