package generation

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// code makes an index and its contents; "#!" makes a file executable and
// "-> x" a link.
func code(files map[string]string) (tree.Index, map[[32]byte][]byte) {
	var index tree.Index
	contents := map[[32]byte][]byte{}
	for p, content := range files {
		e := tree.Entry{Path: p, Kind: tree.File, Size: int64(len(content))}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			e.Kind, e.Target, content = tree.Link, target, target
		} else if strings.HasPrefix(content, "#!") {
			e.Kind = tree.Executable
		}
		e.Sum = sha256.Sum256([]byte(content))
		contents[e.Sum] = []byte(content)
		index = append(index, e)
	}
	slices.SortFunc(index, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	return index, contents
}

// deliver brings a tree onto the volume the way the agent does and returns
// how many contents had to be sent.
func deliver(t *testing.T, s *Store, number uint64, files map[string]string) int {
	t.Helper()
	index, contents := code(files)
	need, err := s.Prepare(number, index.Digest(), false, index.Diff(s.index))
	if err != nil {
		t.Fatal(err)
	}
	for _, sum := range need {
		if err := s.Put(sum, contents[sum]); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := s.Stage()
	if err != nil {
		t.Fatal(err)
	}
	if digest != index.Digest() {
		t.Fatalf("staged %s, want %s", digest.Short(), index.Digest().Short())
	}
	if err := s.Commit(number); err != nil {
		t.Fatal(err)
	}
	return len(need)
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func content(t *testing.T, elems ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(elems...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAGenerationIsCompleteAndSeenThroughTheMount(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	deliver(t, s, 1, map[string]string{"train.py": "one", "lib/a.py": "a", "run.sh": "#!/bin/sh", "ln": "-> train.py"})
	if got := content(t, dir, "train.py"); got != "one" {
		t.Errorf("train.py = %q", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "run.sh")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("run.sh is not executable: %v", err)
	}
	if sent := deliver(t, s, 2, map[string]string{"train.py": "two", "lib/a.py": "a", "new": "n"}); sent != 2 {
		t.Errorf("%d contents sent, want the two that changed", sent)
	}
	if got := content(t, dir, "train.py"); got != "two" {
		t.Errorf("train.py = %q after the second generation", got)
	}
	if got := content(t, s.Path(1), "train.py"); got != "one" {
		t.Errorf("the first generation changed: train.py = %q", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, "run.sh")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a removed file is still to be seen")
	}
	again := open(t, dir)
	n, digest := again.Current()
	if want, _ := code(map[string]string{"train.py": "two", "lib/a.py": "a", "new": "n"}); n != 2 || digest != want.Digest() {
		t.Errorf("after a restart: generation %d %s", n, digest.Short())
	}
}

func TestOutputsStayUnderTheirRelativePath(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	files := map[string]string{"train.py": "1", "lib/a.py": "a"}
	deliver(t, s, 1, files)
	output := func(number uint64, p, text string) {
		full := filepath.Join(s.Path(number), p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full+".tmp", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(full+".tmp", full); err != nil {
			t.Fatal(err)
		}
	}
	output(1, "out/ckpt", "1")
	output(1, "lib/cache", "c1")
	output(1, "lib/__pycache__/a.pyc", "stale")
	output(1, "log", "l1")
	for n := uint64(2); n <= 12; n++ {
		files["train.py"] += "x"
		deliver(t, s, n, files)
		got := []string{content(t, s.Path(n), "out/ckpt"), content(t, s.Path(n), "lib/cache"), content(t, s.Path(n), "log"), content(t, dir, "out/ckpt")}
		if n == 2 {
			if diff := cmp.Diff([]string{"1", "c1", "l1", "1"}, got); diff != "" {
				t.Fatal(diff)
			}
		}
		output(n, "log", "rewritten") // a rename over our link
	}
	if got := content(t, dir, "log"); got != "rewritten" {
		t.Errorf("log = %q", got)
	}
	if _, err := os.Stat(filepath.Join(s.Path(12), "lib/__pycache__")); !errors.Is(err, os.ErrNotExist) {
		t.Error("bytecode was carried along")
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, gens)); len(entries) > 2*keep {
		t.Errorf("%d entries of old generations are left", len(entries))
	}
	files["out"] = "code now"
	deliver(t, s, 13, files)
	if got := content(t, dir, "out"); got != "code now" {
		t.Errorf("code does not win over an output: %q", got)
	}
	if got := content(t, dir, data, "out/ckpt"); got != "1" {
		t.Errorf("the output of that name is lost: %q", got)
	}
}

func TestAFileThatAProgramChangedIsNamedAndNotLinkedOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	files := map[string]string{"train.py": "print()\n", "other.py": "o"}
	deliver(t, s, 1, files)
	f, err := os.OpenFile(filepath.Join(dir, "train.py"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("# appended"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	_, digest, differences, err := s.Verify()
	if err != nil {
		t.Fatal(err)
	}
	if _, want := s.Current(); digest == want {
		t.Error("verify found the announced digest in a changed tree")
	}
	if diff := cmp.Diff([]Difference{{"train.py", "changed"}}, differences); diff != "" {
		t.Error(diff)
	}
	files["other.py"] = "p"
	deliver(t, s, 2, files)
	if got := content(t, dir, "train.py"); got != "print()\n" {
		t.Errorf("train.py = %q, want the original content", got)
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	deliver(t, s, 3, map[string]string{"a": "1"})
	index, _ := code(map[string]string{"a": "2"})
	if _, err := s.Prepare(3, index.Digest(), true, index.Diff(nil)); err == nil {
		t.Error("a generation that is not newer was accepted")
	}
	var wrong *DigestError
	if _, err := s.Prepare(4, tree.Digest{1}, true, index.Diff(nil)); !errors.As(err, &wrong) {
		t.Errorf("a wrong digest: err = %v", err)
	}
	if err := s.Commit(4); !errors.Is(err, ErrNotStaged) {
		t.Errorf("commit of nothing: err = %v", err)
	}
	escape := tree.Index{{Path: "../x", Kind: tree.File}}
	if _, err := s.Prepare(5, escape.Digest(), true, tree.Changes{Puts: escape}); err == nil {
		t.Error("a path out of the volume was accepted")
	}
	if got := content(t, s.dir, "a"); got != "1" {
		t.Errorf("the current tree changed: a = %q", got)
	}
}
