package journal_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// version is a tree of two files and a link, and how to read it.
func version(n int) (tree.Index, func(tree.Entry) ([]byte, error)) {
	contents := map[string]string{"a.py": "always the same", "train.py": fmt.Sprintf("version %d", n)}
	var index tree.Index
	for _, p := range []string{"a.py", "train.py"} {
		index = append(index, tree.Entry{Path: p, Kind: tree.File, Size: int64(len(contents[p])), Sum: sha256.Sum256([]byte(contents[p]))})
	}
	if n%2 == 1 {
		index = append(index, tree.Entry{Path: "z", Kind: tree.Link, Size: 3, Target: "a\xff.", Sum: sha256.Sum256([]byte("a\xff."))})
	}
	return index, func(e tree.Entry) ([]byte, error) { return []byte(contents[e.Path]), nil }
}

func record(t *testing.T, j *journal.Journal, n int) {
	t.Helper()
	index, read := version(n)
	g := journal.Generation{Generation: uint64(n), TreeDigest: index.Digest(), Files: 1, Time: time.Unix(int64(n), 0).UTC()}
	if err := j.Record(g, index, read); err != nil {
		t.Fatal(err)
	}
}

// check looks a generation up and reads it whole.
func check(t *testing.T, j *journal.Journal, n int) {
	t.Helper()
	want, read := version(n)
	g, index, err := j.Find(uint64(n))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, index); d != "" || g.TreeDigest != want.Digest() {
		t.Fatalf("generation %d: %s", n, d)
	}
	for _, e := range index {
		if e.Kind == tree.Link {
			continue
		}
		content, err := j.Content(e)
		wanted, _ := read(e)
		if err != nil || string(content) != string(wanted) {
			t.Fatalf("generation %d, %s = %q, %v", n, e.Path, content, err)
		}
	}
}

func TestEveryGenerationComesBackWhole(t *testing.T) {
	dir := t.TempDir()
	j := journal.Open(dir)
	for n := 1; n <= 20; n++ {
		record(t, j, n)
	}
	j = journal.Open(dir) // another session
	for n := 21; n <= 30; n++ {
		record(t, j, n)
	}
	for n := 1; n <= 30; n++ {
		check(t, j, n)
	}
	list, err := j.List()
	if err != nil || len(list) != 30 || list[0].Generation != 1 || list[29].Generation != 30 {
		t.Errorf("%d generations, %v", len(list), err)
	}
}

func TestALineThatACrashCutIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	j := journal.Open(dir)
	record(t, j, 1)
	record(t, j, 2)
	path := filepath.Join(dir, "generations.jsonl")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(raw) {
		if err := os.WriteFile(path, raw[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j := journal.Open(dir)
		record(t, j, 3)
		check(t, j, 3)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	dir := t.TempDir()
	j := journal.Open(dir)
	var missing *journal.NotFoundError
	if _, _, err := j.Find(4); !errors.As(err, &missing) {
		t.Errorf("an empty journal: err = %v", err)
	}
	record(t, j, 1)
	record(t, j, 2)
	if _, _, err := j.Find(4); !errors.As(err, &missing) || missing.Oldest != 1 || missing.Newest != 2 {
		t.Errorf("err = %v", err)
	}
	_, index, err := j.Find(1)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if err != nil || len(blobs) != 3 {
		t.Fatalf("blobs = %q, %v", blobs, err)
	}
	for _, b := range blobs {
		if err := os.WriteFile(b, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Content(index[0]); err == nil {
		t.Error("a damaged content was handed out")
	}
}

func TestOldGenerationsGo(t *testing.T) {
	dir := t.TempDir()
	j := journal.Open(dir)
	for n := 1; n <= 2*journal.Keep; n++ {
		record(t, j, n)
	}
	j = journal.Open(dir)
	record(t, j, 2*journal.Keep+1)
	list, err := j.List()
	if err != nil || len(list) != journal.Keep+1 {
		t.Fatalf("%d generations, %v", len(list), err)
	}
	check(t, j, journal.Keep+1)
	check(t, j, 2*journal.Keep+1)
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if err != nil || len(blobs) != journal.Keep+2 {
		t.Errorf("%d contents are left, %v", len(blobs), err)
	}
}
