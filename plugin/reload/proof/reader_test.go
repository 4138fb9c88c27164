package proof

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// reader hashes all files of a pod, again and again, while trees are
// published.
type reader struct {
	t   *testing.T
	pod *reloadtest.Pod

	mu       sync.Mutex
	trees    map[tree.Digest][]string              // published: manifest lines
	versions map[string]map[[sha256.Size]byte]bool // published, by path

	passes, removed, files, absent int
}

// publish makes what a folder holds a published tree.
func (r *reader) publish(dir string) {
	r.t.Helper()
	lines, err := reloadtest.Manifest(dir)
	must(r.t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trees[sha256.Sum256([]byte(strings.Join(lines, "")))] = lines
	for _, p := range r.all() {
		raw, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil {
			continue // not part of this tree
		}
		if r.versions[p] == nil {
			r.versions[p] = map[[sha256.Size]byte]bool{}
		}
		r.versions[p][sha256.Sum256(raw)] = true
	}
}

// steady are files of every tree, passing are those of some.
const steady, passing = 6, 2

func steadyPath(i int) string  { return fmt.Sprintf("pkg%d/mod%d.py", i%3, i) }
func passingPath(i int) string { return fmt.Sprintf("pkg%d/only%d.py", i, i) }

func (r *reader) all() []string {
	var all []string
	for i := range steady {
		all = append(all, steadyPath(i))
	}
	for i := range passing {
		all = append(all, passingPath(i))
	}
	return all
}

// run reads at 1 kHz until ctx ends.
func (r *reader) run(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !r.t.Failed() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.resolved()
		r.visible()
		r.passes++
	}
}

// resolved hashes the tree in the folder that current leads to.
func (r *reader) resolved() {
	dir, err := r.pod.Current()
	if err != nil {
		r.t.Errorf("there is no current generation: %v", err)
		return
	}
	lines, err := reloadtest.Manifest(dir)
	now, nerr := r.pod.Current()
	if nerr != nil {
		r.t.Errorf("there is no current generation: %v", nerr)
		return
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) || now == dir {
			r.t.Errorf("read %s, which is current: %v", dir, err)
		}
		r.removed++
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.trees[sha256.Sum256([]byte(strings.Join(lines, "")))]; ok {
		return
	}
	if now != dir && r.part(lines) {
		r.removed++
		return
	}
	r.t.Errorf("%s is no tree that was published (current is %s):\n%s", dir, now, strings.Join(lines, ""))
}

// part tells whether lines are some of the lines of one published tree: a
// generation that was being removed while it was read.
func (r *reader) part(lines []string) bool {
	for _, published := range r.trees {
		if !slices.ContainsFunc(lines, func(line string) bool { return !slices.Contains(published, line) }) {
			return true
		}
	}
	return false
}

// visible reads each file through the mount, where the next may be of another
// generation.
func (r *reader) visible() {
	for i, p := range r.all() {
		full := filepath.Join(r.pod.Mount(), p)
		raw, err := os.ReadFile(full)
		for deadline := time.Now().Add(reloadtest.Deadline); i < steady && errors.Is(err, fs.ErrNotExist) && time.Now().Before(deadline); {
			r.absent++
			raw, err = os.ReadFile(full)
		}
		switch {
		case i >= steady && errors.Is(err, fs.ErrNotExist): // not part of every tree
		case err != nil:
			r.t.Errorf("read %s: %v", p, err)
		default:
			r.mu.Lock()
			ok := r.versions[p][sha256.Sum256(raw)]
			r.mu.Unlock()
			if !ok {
				r.t.Errorf("%s holds what was never published: %.60q", p, raw)
			}
			r.files++
		}
	}
}

func TestAReaderSeesPublishedTreesOnly(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, pod)
	r := &reader{t: t, pod: pod, trees: map[tree.Digest][]string{}, versions: map[string]map[[sha256.Size]byte]bool{}}
	write := func(n int) {
		for i := range steady {
			save(t, l.Dir, steadyPath(i), fmt.Sprintf("stamp %d of file %d\n%s", n, i, strings.Repeat("# a line\n", 20*i)))
		}
		for i := range passing { // come and go
			_ = os.Remove(filepath.Join(l.Dir, passingPath(i)))
			if n%passing != i {
				save(t, l.Dir, passingPath(i), fmt.Sprintf("stamp %d\n", n))
			}
		}
		r.publish(l.Dir)
		l.Publish()
	}
	write(0)
	l.Settle()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	publishes := reloadtest.Size(200, 2000)
	for n := 1; n <= publishes && !t.Failed(); n++ {
		write(n)
		if n%10 != 0 { // now and then the next save comes before the last is there
			l.Settle()
		}
	}
	l.Settle()
	cancel()
	<-done
	t.Logf("%d publishes, %d deliveries; %d trees and %d files read; %d trees were removed while read, %d files were not there at first", publishes, l.Deliveries(), r.passes, r.files, r.removed, r.absent)
	if r.passes == 0 {
		t.Error("nothing was read")
	}
}
