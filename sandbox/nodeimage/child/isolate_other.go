//go:build !linux

package child

import "os/exec"

// Images are built on Linux; elsewhere this only has to compile.
func isolate(*exec.Cmd, bool) {}

func terminate(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
