package tree_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

func TestWhatBelongsToATree(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"train.py": "1", ".git/HEAD": "ref", "pkg/__pycache__/m.pyc": "1", "pkg/m.py": "1", "m.pyc": "1", ".venv/bin/python": "1", "venv/x": "1",
		"node_modules/a/b.js": "1", ".DS_Store": "1", ".ipynb_checkpoints/x.ipynb": "1", ".train.py.swp": "1", "train.py~": "1", "4913": "",
		".gitignore": "*.ckpt\n/data/\n!keep.ckpt\n", "a.ckpt": "1", "keep.ckpt": "1", "data/x": "1", "pkg/data/x": "1", ".kubectl-ai/state": "1",
		"pkg/.gitignore": "!b.ckpt\nlocal\n", "pkg/b.ckpt": "1", "pkg/local": "1", "local": "1", "secret.env": "1", "link": "->pkg", "empty/../train2.py": "1",
	})
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := paths(scan(t, root, tree.Options{Ignore: []string{"*.env"}}))
	want := []string{".gitignore", "keep.ckpt", "link", "local", "pkg/.gitignore", "pkg/b.ckpt", "pkg/data/x", "pkg/m.py", "train.py", "train2.py"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestScanErrorsAreTyped(t *testing.T) {
	t.Run("no folder", func(t *testing.T) {
		var e *tree.RootError
		if _, err := tree.Scan(t.Context(), filepath.Join(t.TempDir(), "no"), tree.Options{}); !errors.As(err, &e) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a name that is not UTF-8", func(t *testing.T) {
		root := t.TempDir()
		write(t, root, map[string]string{"caf\xe9": "1"})
		var e *tree.PathError
		if _, err := tree.Scan(t.Context(), root, tree.Options{}); !errors.As(err, &e) {
			t.Errorf("err = %v", err)
		}
		if got := paths(scan(t, root, tree.Options{Ignore: []string{"caf*"}})); len(got) != 0 {
			t.Errorf("ignored, but there: %v", got)
		}
	})
	t.Run("a socket is left out with a warning", func(t *testing.T) {
		root := t.TempDir()
		write(t, root, map[string]string{"a": "1"})
		l, err := net.Listen("unix", filepath.Join(root, "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		s := tree.NewScanner(root, tree.Options{})
		ix, err := s.Scan(t.Context())
		if err != nil || len(ix) != 1 {
			t.Fatalf("%v, %v", paths(ix), err)
		}
		if d := cmp.Diff([]tree.Warning{{Path: "s", What: "socket"}}, s.Warnings()); d != "" {
			t.Error(d)
		}
	})
}

func TestAChangeWithoutATraceInTimesIsSeen(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"a": "111"})
	full := filepath.Join(root, "a")
	s := tree.NewScanner(root, tree.Options{})
	before, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, _ := os.Lstat(full)
	for i := range 20 {
		if err := os.WriteFile(full, fmt.Appendf(nil, "%03d", i), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(full, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		after, err := s.Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.Digest() == before.Digest() {
			t.Fatalf("edit %d with its time put back was missed", i)
		}
		before = after
	}
}

// TestRescanAgreesWithAFreshScan makes random changes, tells only the folders
// in which they were and compares with a scan that knows nothing.
func TestRescanAgreesWithAFreshScan(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			r := rand.New(rand.NewPCG(seed, 3))
			pick := func(from ...string) string { return from[r.IntN(len(from))] }
			dir := func() string { return pick(".", "a", "a/b", "a/b/c", "d", "d/a", "__pycache__") }
			name := func() string {
				return pick("a", "b", "c", "x.py", "y.py", ".gitignore", tree.IgnoreFile, ".env", "a-b")
			}
			s := tree.NewScanner(root, tree.Options{})
			if _, err := s.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			for step := range 250 {
				dirty := []string{}
				for range 1 + r.IntN(3) {
					d := dir()
					rel := filepath.Join(d, name())
					full := filepath.Join(root, rel)
					// Making d may make folders above it; a watch would report them.
					for p := d; ; p = filepath.Dir(p) {
						dirty = append(dirty, p)
						if p == "." {
							break
						}
					}
					switch r.IntN(7) {
					case 0, 1, 2:
						_ = os.MkdirAll(filepath.Dir(full), 0o755)
						content := fmt.Sprint(r.IntN(1000))
						if b := filepath.Base(full); b == ".gitignore" || b == tree.IgnoreFile {
							content = pick("a\n", "*.py\n!x.py\n", "/b/\n", "c\n", "!.env\n!a\n", "")
						}
						_ = os.WriteFile(full, []byte(content), 0o644)
					case 3:
						_ = os.RemoveAll(full)
					case 4:
						_ = os.Remove(full)
						_ = os.Symlink(pick("a", "/etc", "../.."), full)
					case 5:
						_ = os.Chmod(full, []os.FileMode{0o644, 0o755}[r.IntN(2)])
					case 6:
						to := filepath.Join(dir(), name())
						_ = os.Rename(full, filepath.Join(root, to))
						dirty = append(dirty, filepath.Dir(to))
					}
				}
				got, err := s.Rescan(t.Context(), dirty)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(scan(t, root, tree.Options{}), got); d != "" {
					t.Fatalf("step %d, told %v (-fresh +rescan)\n%s", step, dirty, d)
				}
			}
		})
	}
}

func TestATreeThatChangesWhileItIsScanned(t *testing.T) {
	root := t.TempDir()
	for i := range 40 {
		write(t, root, map[string]string{fmt.Sprintf("d%d/f", i): "1"})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
			}
			d := filepath.Join(root, fmt.Sprintf("d%d", i%40))
			_ = os.RemoveAll(d)
			_ = os.Mkdir(d, 0o755)
			_ = os.WriteFile(filepath.Join(d, "f"), fmt.Append(nil, i), 0o644)
		}
	})
	s := tree.NewScanner(root, tree.Options{})
	for range 30 {
		if _, err := s.Scan(t.Context()); err != nil {
			var changing *tree.ChangingError
			if !errors.As(err, &changing) {
				t.Errorf("Scan: %v", err)
			}
		}
	}
	close(stop)
	wg.Wait()
	got, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(scan(t, root, tree.Options{}), got); d != "" {
		t.Error(d)
	}
}

func TestFoldersAreEnteredBeforeTheyAreListed(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"a/b/f": "1", "__pycache__/x": "1"})
	var entered []string
	ix := scan(t, root, tree.Options{Enter: func(dir string) {
		entered = append(entered, dir)
		if dir == "a/b" {
			write(t, root, map[string]string{"a/b/late": "1"})
		}
	}})
	if d := cmp.Diff([]string{".", "a", "a/b"}, entered); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a/b/f", "a/b/late"}, paths(ix)); d != "" {
		t.Error(d)
	}
}

func benchTree(b *testing.B) string {
	root := b.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 10<<10)
	for i := range 5000 {
		for j := range body {
			body[j] = byte(r.UintN(64)) + 32
		}
		write(b, root, map[string]string{fmt.Sprintf("d%03d/f%d.py", i/25, i): "# " + string(body)})
	}
	return root
}

func BenchmarkScan5000(b *testing.B) {
	root := benchTree(b)
	s := tree.NewScanner(root, tree.Options{})
	_, _ = s.Scan(b.Context())
	time.Sleep(2100 * time.Millisecond) // leave the racy window
	_, _ = s.Scan(b.Context())
	b.Run("full", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.Scan(b.Context(), root, tree.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stat", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Scan(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one folder and digest", func(b *testing.B) {
		for b.Loop() {
			ix, err := s.Rescan(b.Context(), []string{"d007"})
			if err != nil {
				b.Fatal(err)
			}
			ix.Digest()
		}
	})
}
