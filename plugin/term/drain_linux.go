package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// drain forgets what was typed on a terminal and not read (tcflush(3)). Where
// that cannot be, it stays.
func drain(tty *os.File) { _ = unix.IoctlSetInt(int(tty.Fd()), unix.TCFLSH, unix.TCIFLUSH) }
