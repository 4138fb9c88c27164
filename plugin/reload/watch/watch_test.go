package watch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/watch"
)

// follow scans when the watcher says so, and returns once the index holds the
// paths that are wanted.
func follow(t *testing.T, w *watch.Watcher, s *tree.Scanner, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	slices.Sort(want)
	var got []string
	for {
		dirty, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("the tree is %q, want %q", got, want)
		}
		index, err := s.Rescan(ctx, dirty.Dirs)
		if dirty.All {
			index, err = s.Scan(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, e := range index {
			got = append(got, e.Path)
		}
		if slices.Equal(got, want) {
			return
		}
	}
}

func TestChangesAreFoundWhereverTheyAre(t *testing.T) {
	for name, limit := range map[string]int{"watched": 0, "with the watcher's limit at 1": 1} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			full := func(p string) string { return filepath.Join(root, p) }
			var notes []string
			w := watch.New(root, watch.Options{MaxWatches: limit, Note: func(s string) { notes = append(notes, s) }})
			defer w.Close()
			s := tree.NewScanner(root, tree.Options{Enter: w.Enter})
			if err := os.MkdirAll(full("a/deep"), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			write := func(p string) func() error {
				return func() error { return os.WriteFile(full(p), []byte(p), 0o644) }
			}
			for _, step := range []struct {
				name string
				do   func() error
				want string
			}{
				{"a file", write("x"), "x"},
				{"a file in a folder", write("a/x"), "x a/x"},
				{"a new folder", func() error { _ = os.MkdirAll(full("b/c"), 0o755); return write("b/c/y")() }, "x a/x b/c/y"},
				{"a file in a new folder", write("b/c/x"), "x a/x b/c/x b/c/y"},
				{"a folder renamed", func() error { return os.Rename(full("b"), full("d")) }, "x a/x d/c/x d/c/y"},
				{"a file below a renamed folder", write("d/c/z"), "x a/x d/c/x d/c/y d/c/z"},
				{"the old name again", func() error { _ = os.MkdirAll(full("b/c"), 0o755); return write("b/c/w")() }, "x a/x b/c/w d/c/x d/c/y d/c/z"},
				{"a file below the old name", write("b/c/v"), "x a/x b/c/v b/c/w d/c/x d/c/y d/c/z"},
				{"a folder removed", func() error { return os.RemoveAll(full("d")) }, "x a/x b/c/v b/c/w"},
				{"a file replaced", func() error { _ = write("a/t~")(); return os.Rename(full("a/t~"), full("a/u")) }, "x a/u a/x b/c/v b/c/w"},
			} {
				if err := step.do(); err != nil {
					t.Fatal(err)
				}
				follow(t, w, s, strings.Fields(step.want)...)
			}
			if limited := len(notes) > 0; limited != (limit > 0) || len(notes) > 1 {
				t.Errorf("notes = %q", notes)
			}
		})
	}
}

func TestABurstIsOneLook(t *testing.T) {
	root := t.TempDir()
	w := watch.New(root, watch.Options{})
	defer w.Close()
	s := tree.NewScanner(root, tree.Options{Enter: w.Enter})
	if _, err := s.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dirty, err := w.Next(t.Context())
	if err != nil || dirty.All || !slices.Equal(dirty.Dirs, []string{"."}) {
		t.Errorf("dirty = %+v, %v", dirty, err)
	}
}

func TestACheckoutUnderWayIsWaitedFor(t *testing.T) {
	root := t.TempDir()
	lock := filepath.Join(root, ".git", "index.lock")
	if err := os.MkdirAll(filepath.Dir(lock), 0o755); err != nil {
		t.Fatal(err)
	}
	w := watch.New(root, watch.Options{})
	defer w.Close()
	s := tree.NewScanner(root, tree.Options{Enter: w.Enter})
	if _, err := s.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	looked := make(chan watch.Dirty, 1)
	go func() {
		d, _ := w.Next(context.Background())
		_, err := os.Lstat(lock)
		if err == nil {
			d.All = true // what this test does not want to see
		}
		looked <- d
	}()
	time.AfterFunc(150*time.Millisecond, func() { _ = os.Remove(lock) })
	if d := <-looked; d.All {
		t.Error("looked while git held its lock")
	}
}

// The system ends the watches of a folder that moved away and was removed,
// while the watcher ends them as well.
func TestAFolderThatMovesAwayAndGoesHoldsUpNothing(t *testing.T) {
	for range 20 {
		root, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "gone")
		var notes []string
		w := watch.New(root, watch.Options{Note: func(s string) { notes = append(notes, s) }})
		w.Enter(".")
		w.Enter("a")
		for i := range 200 {
			dir := fmt.Sprintf("a/%d", i)
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
			w.Enter(dir)
		}
		w.Enter("a")
		if err := os.Rename(filepath.Join(root, "a"), elsewhere); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(elsewhere); err != nil {
			t.Fatal(err)
		}
		done := make(chan watch.Dirty, 1)
		go func() {
			for {
				if dirty, err := w.Next(t.Context()); err != nil || dirty.All {
					done <- dirty
					return
				}
			}
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the watcher hangs")
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if len(notes) > 0 {
			t.Errorf("notes = %q: all that is there can be watched", notes)
		}
	}
}
