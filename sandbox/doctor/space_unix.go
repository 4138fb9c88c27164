//go:build unix

package doctor

import "golang.org/x/sys/unix"

// FreeSpace returns how many bytes are free where a folder of this machine is.
func FreeSpace(folder string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
