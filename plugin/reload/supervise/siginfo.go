package supervise

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfoPID returns si_pid, which the kernel puts first in the union behind
// signo, errno and code on 64-bit Linux (siginfo_t, sigaction(2)).
func siginfoPID(info *unix.Siginfo) int {
	const offset = 16
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}
