package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// reading is FREAD of sys/fcntl.h: the queue of what was typed.
const reading = 1

// drain forgets what was typed on a terminal and not read (tcflush(3)). Where
// that cannot be, it stays.
func drain(tty *os.File) { _ = unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCFLUSH, reading) }
