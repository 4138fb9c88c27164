package tree

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// still makes the scanner believe that nothing of a file's metadata has moved
// since it read it, and that this was long after the last change.
func still(t *testing.T, s *Scanner, p string) {
	t.Helper()
	info, err := os.Lstat(s.full(p))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range collect(nil, s.top) {
		if f.Path == p {
			f.id, f.read = identify(info), time.Now().Add(time.Hour)
		}
	}
}

func TestAnEditThatNoStatTellsOfIsFoundWithinARound(t *testing.T) {
	dir := t.TempDir()
	content := func(i int, text string) {
		p := filepath.Join(dir, fmt.Sprintf("d%d/f%02d", i%3, i))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const n = 40
	for i := range n {
		content(i, "0123456789")
	}
	s := NewScanner(dir, Options{})
	before, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []struct {
		name  string
		files int
		bytes int64
	}{{"by files", 7, 1 << 20}, {"by bytes", n, 35}, {"all at once", 10 * n, 1 << 20}} {
		t.Run(limit.name, func(t *testing.T) {
			for i := range n {
				still(t, s, fmt.Sprintf("d%d/f%02d", i%3, i))
			}
			content(17, "9876543210")
			still(t, s, "d2/f17")
			if unseen, err := s.Rescan(t.Context(), []string{"d2"}); err != nil || unseen.Digest() != before.Digest() {
				t.Fatalf("the edit was seen by its metadata: %v", err)
			}
			var dirs []string
			rounds := 0
			for ; len(dirs) == 0 && rounds < n; rounds++ {
				dirs = s.Reread(t.Context(), limit.files, limit.bytes)
			}
			if !slices.Equal(dirs, []string{"d2"}) || rounds > n/4+1 {
				t.Fatalf("found in %q after %d calls", dirs, rounds)
			}
			now, err := s.Rescan(t.Context(), dirs)
			if err != nil || now.Digest() == before.Digest() {
				t.Fatalf("a rescan does not see it: %v", err)
			}
			content(17, "0123456789")
			if before, err = s.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A file larger than what a call may read is paid for by those after it.
func TestALargeFileIsReadAndThenSavedFor(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []struct {
		name string
		size int
	}{{"a", 1000}, {"b", 10}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), make([]byte, f.size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := NewScanner(dir, Options{})
	if _, err := s.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	var at []string
	for range 12 {
		s.Reread(t.Context(), 1, 100)
		at = append(at, s.reread)
	}
	if at[0] != "a" || at[8] != "a" || at[11] != "b" && at[10] != "b" {
		t.Errorf("the calls ended at %q", at)
	}
	empty := NewScanner(t.TempDir(), Options{})
	if dirs := empty.Reread(t.Context(), 10, 100); dirs != nil {
		t.Errorf("found %q in what was never scanned", dirs)
	}
}
