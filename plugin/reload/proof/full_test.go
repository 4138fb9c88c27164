package proof

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// smallVolume mounts a file system of 2 MB.
func smallVolume(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("not checked: a full volume, because a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// noise does not compress.
func noise(seed uint64, size int) string {
	b := make([]byte, size)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return string(b)
}

func TestAFullVolumeRefusesAndTheNextSaveIsDelivered(t *testing.T) {
	for _, files := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("by %d files", files), func(t *testing.T) {
			mount := smallVolume(t)
			pod := reloadtest.StartPod(t, reloadtest.PodOptions{Mount: mount})
			l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, pod)
			stamp(t, l.Dir, 0)
			l.Publish()
			runs := l.Settle()
			before, _ := l.Receipt(pod)
			for round := 1; round <= 3; round++ {
				for i := range files {
					save(t, l.Dir, fmt.Sprintf("big/%d", i), noise(uint64(10*round+i), 3<<20/files))
				}
				l.Publish()
				reloadtest.Await(t, func() string {
					if len(l.Refusals()) < round {
						return "no refusal"
					}
					return ""
				})
				var full *wire.NoSpaceError
				if err := l.Refusals()[round-1]; !errors.As(err, &full) {
					t.Errorf("refused with %v, want *NoSpaceError", err)
				}
				if sum, err := pod.Sum(); err != nil || sum != runs {
					t.Fatalf("the volume holds %s, %v; what ran was %s", sum.Short(), err, runs.Short())
				}
				if r, _ := l.Receipt(pod); r.PID != before.PID || !reloadtest.Alive(r.PID) {
					t.Fatalf("process %d was touched; now it is %d", before.PID, r.PID)
				}
				must(t, os.RemoveAll(filepath.Join(l.Dir, "big")))
				stamp(t, l.Dir, round)
				l.Publish()
				runs = l.Settle()
				if n := len(l.Refusals()); n != round {
					t.Fatalf("%d refusals after %d trees that did not fit; the last: %v", n, round, l.Refusals()[n-1])
				}
				running(t, l, pod)
				before, _ = l.Receipt(pod)
			}
		})
	}
}

// What other programs of the pod leave free decides, not what we wrote.
func TestAVolumeFilledByItsProgramIsNoLossEither(t *testing.T) {
	mount := smallVolume(t)
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{Mount: mount})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, pod)
	stamp(t, l.Dir, 0)
	l.Publish()
	runs := l.Settle()
	checkpoint := filepath.Join(mount, "checkpoint")
	w, err := os.Create(checkpoint)
	must(t, err)
	for chunk := []byte(noise(1, 1<<10)); ; {
		if _, err := w.Write(chunk); err != nil {
			break
		}
	}
	must(t, w.Close())
	stamp(t, l.Dir, 1)
	l.Publish()
	reloadtest.Await(t, func() string {
		if len(l.Refusals()) == 0 {
			return "no refusal"
		}
		return ""
	})
	l.Whole(pod)
	if sum, err := pod.Sum(); err != nil || sum != runs {
		t.Fatalf("the volume holds %s, %v; what ran was %s", sum.Short(), err, runs.Short())
	}
	running(t, l, pod)
	must(t, os.Truncate(checkpoint, 1<<10))
	stamp(t, l.Dir, 2)
	l.Publish()
	reloadtest.Await(t, func() string {
		r, _ := l.Receipt(pod)
		if want := l.Scan(); r.TreeDigest != want {
			return fmt.Sprintf("the pod runs %s, want %s", r.TreeDigest.Short(), want.Short())
		}
		return ""
	})
	kept, err := os.ReadFile(checkpoint)
	if err != nil || string(kept) != noise(1, 1<<10) {
		t.Errorf("the program's own file changed: %d bytes, %v", len(kept), err)
	}
}

func TestAVolumeThatFillsIsSaidOnceAndBeforeItIsFull(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{Mount: smallVolume(t)})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, pod)
	stamp(t, l.Dir, 0)
	l.Publish()
	l.Settle()
	save(t, l.Dir, "big", noise(1, 1700<<10))
	l.Publish()
	l.Settle()
	reloadtest.Await(t, func() string {
		if len(l.Notices()) == 0 {
			return "nobody said that the volume fills"
		}
		return ""
	})
	for i := range 3 {
		stamp(t, l.Dir, i+1)
		l.Publish()
		l.Settle()
	}
	if got := l.Notices(); len(got) != 1 || !strings.Contains(got[0], "MiB are free") {
		t.Errorf("notices = %q", got)
	}
}
