package proof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// one starts a pod and a laptop that is watched, with a first tree delivered.
func one(t *testing.T) (*reloadtest.Laptop, *reloadtest.Pod) {
	t.Helper()
	dir := t.TempDir()
	stamp(t, dir, 0)
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Dir: dir}, pod)
	l.Settle()
	return l, pod
}

// complained waits until the follower has said why nothing is delivered.
func complained[E error](t *testing.T, l *reloadtest.Laptop) E {
	t.Helper()
	var found E
	reloadtest.Await(t, func() string {
		for _, err := range l.Reports() {
			if errors.As(err, &found) {
				return ""
			}
		}
		return "nothing was said of it"
	})
	return found
}

func TestANameThatIsNotUTF8IsRefusedClearly(t *testing.T) {
	for _, name := range []string{"caf\xe9.py", "a/\xff\xfe", "\xc3"} {
		l, pod := one(t)
		runs := l.Scan()
		before, _ := l.Receipt(pod)
		full := filepath.Join(l.Dir, name)
		must(t, os.WriteFile(full, []byte("x"), 0o644))
		if err := complained[*tree.PathError](t, l); err.Path != name {
			t.Errorf("complained of %q, want %q", err.Path, name)
		}
		if sum, err := pod.Sum(); err != nil || sum != runs {
			t.Errorf("the pod holds %s, %v; want %s", sum.Short(), err, runs.Short())
		}
		if r, _ := l.Receipt(pod); r.PID != before.PID || !reloadtest.Alive(r.PID) {
			t.Errorf("process %d was touched", before.PID)
		}
		must(t, os.Remove(full))
		stamp(t, l.Dir, 1)
		l.Settle()
	}
}

// Either the link arrives byte by byte, or it is refused.
func TestALinkWhoseTargetIsNotUTF8IsNoOtherLink(t *testing.T) {
	l, pod := one(t)
	l.Settle()
	must(t, os.Symlink("caf\xe9.py", filepath.Join(l.Dir, "link")))
	reloadtest.Await(t, func() string {
		if r, ok := l.Receipt(pod); ok && r.TreeDigest != (tree.Digest{}) && len(l.Refusals()) == 0 && len(l.Reports()) == 0 {
			if sum, err := pod.Sum(); err != nil || sum != r.TreeDigest {
				// In between, for a moment, as it should be.
				return fmt.Sprintf("the pod says it runs %s and holds %s, %v:\n%s", r.TreeDigest.Short(), sum.Short(), err, pod.Manifest())
			}
			if r.TreeDigest != l.Scan() {
				return "the pod does not run the tree with the link"
			}
		}
		return ""
	})
}

func TestLinksOutOfTheFolderStayLinks(t *testing.T) {
	l, pod := one(t)
	outside := t.TempDir()
	save(t, outside, "secret", "1")
	targets := map[string]string{"abs": outside, "file": outside + "/secret", "up": "../../../../../..", "dangling": "no/such", "loop": "loop", "dot": "."}
	for name, target := range targets {
		must(t, os.Symlink(target, filepath.Join(l.Dir, name)))
	}
	l.Settle()
	dir, err := pod.Current()
	must(t, err)
	for name, target := range targets {
		if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != target {
			t.Errorf("%s leads to %q, want %q: %v", name, got, target, err)
		}
	}
	// Each becomes a folder and a link again; nothing is written through it.
	for name := range targets {
		must(t, os.Remove(filepath.Join(l.Dir, name)))
		save(t, l.Dir, name+"/secret", "2")
	}
	l.Settle()
	if got, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(got) != "1" {
		t.Errorf("the file outside holds %q: %v", got, err)
	}
}

func TestAFileThatChangesWhileItIsRead(t *testing.T) {
	l, pod := one(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			body := bytes.Repeat([]byte{byte(n)}, 100_000+n%1000)
			_ = os.WriteFile(filepath.Join(l.Dir, "busy.bin"), body, 0o644) // in place
			if n%50 == 0 {                                                  // or it never holds still
				<-time.After(10 * time.Millisecond)
			}
		}
	}()
	deliveries := l.Deliveries()
	for range reloadtest.Size(10, 200) {
		stamp(t, l.Dir, deliveries)
		<-time.After(20 * time.Millisecond)
		l.Whole(pod)
	}
	close(stop)
	<-done
	l.Settle()
}

// The file holds another content when the rank asks for it, and then the
// first one again before anybody looks: the next scan finds nothing new, and
// still the rank has to get it. A checkout in progress keeps the follower
// from looking in between.
func TestAFileThatChangesAndChangesBackIsDelivered(t *testing.T) {
	l, pod := one(t)
	lock, full := filepath.Join(l.Dir, ".git/index.lock"), filepath.Join(l.Dir, "b/stamp")
	must(t, os.Mkdir(filepath.Dir(lock), 0o755))
	release := pod.Line.Hold(reloadtest.ToGang) // what the rank asks for does not arrive yet
	defer release()
	sent, got := pod.Line.Count(reloadtest.ToAgent), pod.Line.Count(reloadtest.ToGang)
	must(t, os.WriteFile(full, []byte("wanted\n"), 0o644))
	reloadtest.Await(t, func() string {
		if pod.Line.Count(reloadtest.ToAgent) < sent+100 {
			return "nothing was announced to the rank"
		}
		return ""
	})
	must(t, os.WriteFile(lock, nil, 0o644))
	must(t, os.WriteFile(full, []byte("in between\n"), 0o644))
	release()
	reloadtest.Await(t, func() string {
		if pod.Line.Count(reloadtest.ToGang) == got {
			return "the rank has not answered"
		}
		return ""
	})
	<-time.After(50 * time.Millisecond) // the gang looks for the content
	must(t, os.WriteFile(full, []byte("wanted\n"), 0o644))
	must(t, os.Remove(lock))
	l.Settle()
}

func TestAFileThatCannotBeReadIsSaidAndComesLater(t *testing.T) {
	if syscall.Geteuid() == 0 {
		t.Skip("not checked: root reads every file")
	}
	l, pod := one(t)
	runs := l.Scan()
	full := filepath.Join(l.Dir, "unreadable.py")
	must(t, os.WriteFile(full, []byte("x"), 0))
	if err := complained[*tree.ReadError](t, l); err.Path != "unreadable.py" {
		t.Errorf("complained of %q", err.Path)
	}
	if sum, err := pod.Sum(); err != nil || sum != runs {
		t.Errorf("the pod holds %s, %v; want %s", sum.Short(), err, runs.Short())
	}
	must(t, os.Chmod(full, 0o644))
	l.Settle()
}

func TestAFolderThatVanishesAndComesBack(t *testing.T) {
	for _, c := range []struct {
		name       string
		away, back func(t *testing.T, dir string)
	}{
		{"it is moved and moved back", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".away"))
		}, func(t *testing.T, dir string) {
			must(t, os.Rename(dir+".away", dir))
		}},
		{"it is removed and made again", func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
		}, func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o755))
			stamp(t, dir, 5)
		}},
		{"it is emptied and filled again", func(t *testing.T, dir string) {
			for _, name := range []string{"a", "b", "README"} {
				must(t, os.RemoveAll(filepath.Join(dir, name)))
			}
		}, func(t *testing.T, dir string) {
			stamp(t, dir, 6)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, pod := one(t)
			before, _ := l.Receipt(pod)
			c.away(t, l.Dir)
			reloadtest.Await(t, func() string {
				if len(l.Reports()) == 0 {
					return "nothing was said of it"
				}
				return ""
			})
			if r, _ := l.Receipt(pod); !l.Published(r.TreeDigest) || !reloadtest.Alive(r.PID) {
				t.Errorf("process %d was touched: %+v", before.PID, r)
			}
			l.Whole(pod)
			c.back(t, l.Dir)
			l.Settle()
			stamp(t, l.Dir, 7) // and it is followed as before
			l.Settle()
		})
	}
}
