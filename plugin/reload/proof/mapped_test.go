package proof

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// A program writes to a file through a mapping that it has written through
// before: neither size nor times nor an event tell of it.
func TestAWriteThroughAMappingArrives(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "mapped") //nolint:usetesting // tmpfs never stamps later writes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	save(t, dir, "train.py", "0")
	save(t, dir, "table", "0123456789")
	f, err := os.OpenFile(filepath.Join(dir, "table"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, 10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer func() { must(t, unix.Munmap(mapped)) }()
	mapped[0] = 'a'
	// Content that is read this soon after a change is read again in any case.
	reloadtest.Await(t, func() string {
		if info, err := f.Stat(); err != nil || time.Since(info.ModTime()) < 3*time.Second {
			return "the file has just changed"
		}
		return ""
	})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Dir: dir, RereadEvery: time.Millisecond}, pod)
	l.Settle()
	before, err := f.Stat()
	must(t, err)
	mapped[0] = 'b'
	if after, err := f.Stat(); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Fatalf("the write was stamped, %v: there is nothing to find", err)
	}
	l.Settle()
}
