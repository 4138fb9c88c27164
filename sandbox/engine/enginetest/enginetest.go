// Package enginetest makes container engines for tests: shell scripts that
// answer as an engine's command line would.
package enginetest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// Script returns an engine whose commands are run by a shell script, and the
// folder that the script runs in. The script sees the command's arguments as
// $1, $2 and so on.
func Script(t testing.TB, script string) (e *engine.Engine, dir string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "docker")
	// A child that another test forks while the script is open for writing
	// keeps it open, and the script cannot be run then (ETXTBSY).
	syscall.ForkLock.RLock()
	err := os.WriteFile(bin, []byte("#!/bin/sh\ncd '"+dir+"'\n"+script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Engine{Name: "docker", Bin: bin, Arch: "amd64", APIVersion: "1.41", CgroupVersion: 2}, dir
}
