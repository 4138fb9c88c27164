//go:build unix

package setup

import (
	"os"

	"golang.org/x/sys/unix"
)

// writable says why no file can be made in a folder. Asking changes nothing,
// and the answer covers a file system that is read-only for everybody.
func writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}
