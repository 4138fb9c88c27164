//go:build unix

package tree

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// openFile opens a regular file for reading. It neither follows a link that
// took the file's place nor waits for a pipe's other end.
func openFile(full string) (*os.File, error) {
	f, err := os.OpenFile(full, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %w", errMoved, err)
	}
	return f, err
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
