package generation

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
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
	sent := stage(t, s, number, index, contents)
	err := s.Commit(number)
	var missing *MissingError
	if errors.As(err, &missing) { // a program has written to its source
		sent += send(t, s, missing.Sums, contents)
		if _, err = s.Stage(); err == nil {
			err = s.Commit(number)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// stage brings a tree up to STAGED, with the contents that are asked for.
func stage(t *testing.T, s *Store, number uint64, index tree.Index, contents map[[32]byte][]byte) (sent int) {
	t.Helper()
	_, base := s.Current()
	if err := s.Begin(number, base, index.Digest()); err != nil {
		t.Fatal(err)
	}
	if err := s.Change(index.Diff(s.index)); err != nil {
		t.Fatal(err)
	}
	digest, err := s.Stage()
	var missing *MissingError
	if errors.As(err, &missing) {
		sent = send(t, s, missing.Sums, contents)
		digest, err = s.Stage()
	}
	if err != nil {
		t.Fatal(err)
	}
	if digest != index.Digest() {
		t.Fatalf("staged %s, want %s", digest.Short(), index.Digest().Short())
	}
	return sent
}

func send(t *testing.T, s *Store, sums [][32]byte, contents map[[32]byte][]byte) int {
	t.Helper()
	for _, sum := range sums {
		in, err := s.Receive(entry(t, s.plan.index, sum))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(contents[sum]); err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return len(sums)
}

// entry returns the first entry with a content.
func entry(t *testing.T, index tree.Index, sum [32]byte) tree.Entry {
	t.Helper()
	for _, e := range index {
		if e.Sum == sum && e.Kind != tree.Link {
			return e
		}
	}
	t.Fatalf("no entry has content %x", sum[:6])
	return tree.Entry{}
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
	if entries, _ := os.ReadDir(filepath.Join(dir, gens)); len(entries) > 2*(keep+1) {
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
	index, contents := code(map[string]string{"a": "2"})
	if err := s.Begin(3, tree.Digest{}, index.Digest()); err == nil {
		t.Error("a generation that is not newer was accepted")
	}
	if err := s.Begin(4, tree.Digest{9}, index.Digest()); !errors.Is(err, ErrBase) {
		t.Errorf("an unknown base: err = %v", err)
	}
	// try stages what changes make of the current tree.
	try := func(number uint64, root tree.Digest, changes tree.Changes) error {
		_, base := s.Current()
		if err := s.Begin(number, base, root); err != nil {
			t.Fatal(err)
		}
		if err := s.Change(changes); err != nil {
			t.Fatal(err)
		}
		_, err := s.Stage()
		return err
	}
	var wrong *DigestError
	if err := try(4, tree.Digest{1}, index.Diff(s.index)); !errors.As(err, &wrong) {
		t.Errorf("a wrong digest: err = %v", err)
	}
	if err := s.Commit(4); !errors.Is(err, ErrNotStaged) {
		t.Errorf("commit of nothing: err = %v", err)
	}
	var bad *tree.PathError
	for name, puts := range map[string]tree.Index{
		"out of the volume": {{Path: "../x", Kind: tree.File}},
		"below a file":      {{Path: "a/x", Kind: tree.File}},
		"below a link":      {{Path: "l", Kind: tree.Link, Target: "/etc"}, {Path: "l/passwd", Kind: tree.File}},
		"above a file":      {{Path: "b", Kind: tree.File}, {Path: "b/c", Kind: tree.File}},
		"our own folder":    {{Path: ".kubectl-ai/current", Kind: tree.File}},
	} {
		if err := try(5, s.index.Apply(tree.Changes{Puts: puts}).Digest(), tree.Changes{Puts: puts}); !errors.As(err, &bad) {
			t.Errorf("a path %s: err = %v", name, err)
		}
	}
	if err := s.Begin(6, tree.Digest{}, index.Digest()); err != nil {
		t.Fatal(err)
	}
	in, err := s.Receive(index[0])
	if err != nil {
		t.Fatal(err)
	}
	_, _ = in.Write(append(contents[index[0].Sum], '!'))
	if err := in.Close(); !errors.As(err, &wrong) {
		t.Errorf("a content that is not what was announced: err = %v", err)
	}
	if got := content(t, s.dir, "a"); got != "1" {
		t.Errorf("the current tree changed: a = %q", got)
	}
}

func TestDamageIsFoundBeforeTheFlipWhoeverLooks(t *testing.T) {
	for name, settle := range map[string]bool{"a save at once": false, "a save after the volume has settled": true} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			files := map[string]string{"train.py": "print()\n", "other.py": "o", "lib/gone.py": "g"}
			deliver(t, s, 1, files)
			if settle {
				if err := s.Settle(); err != nil {
					t.Fatal(err)
				}
			}
			// The same size, and the time put back: only the change time tells.
			victim := filepath.Join(s.Path(1), "train.py")
			info, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.WriteFile(victim, []byte("PRINT()\n"), 0o644), os.Chtimes(victim, info.ModTime(), info.ModTime()),
				os.RemoveAll(filepath.Join(s.Path(1), "lib"))); err != nil {
				t.Fatal(err)
			}
			files["other.py"] = "p"
			if sent := deliver(t, s, 2, files); sent < 3 {
				t.Errorf("%d contents sent, want the save's and the two damaged", sent)
			}
			if _, _, differences, err := s.Verify(); err != nil || len(differences) > 0 {
				t.Errorf("verify: %v, %v", differences, err)
			}
			if got := content(t, s.dir, "train.py"); got != "print()\n" {
				t.Errorf("train.py = %q, want the original content", got)
			}
		})
	}
}

// TestEveryGenerationIsExactlyItsTree makes trees of random edits, with and
// without time between them, and compares each with what it should be.
func TestEveryGenerationIsExactlyItsTree(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 1))
	s := open(t, t.TempDir())
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("d%d/e%d/f%d", i%5, i%3, i)] = fmt.Sprint(i)
	}
	for n := uint64(1); n <= 60; n++ {
		for range r.IntN(6) {
			p := fmt.Sprintf("d%d/e%d/f%d", r.IntN(5), r.IntN(3), r.IntN(60))
			switch r.IntN(6) {
			case 0:
				delete(files, p)
			case 1: // a folder becomes a file
				for other := range files {
					if strings.HasPrefix(other, "d4/e1/") {
						delete(files, other)
					}
				}
				files["d4/e1"] = fmt.Sprint(n)
			case 2:
				delete(files, "d4/e1")
				files["d4/e1/f"] = fmt.Sprint(n)
			case 3:
				if !strings.HasPrefix(p, "d4/e1/") {
					files[p] = "#!" + fmt.Sprint(r.IntN(3))
				}
			case 4:
				if !strings.HasPrefix(p, "d4/e1/") {
					files[p] = "-> ../f" + fmt.Sprint(r.IntN(9))
				}
			default:
				if !strings.HasPrefix(p, "d4/e1/") {
					files[p] = fmt.Sprint(r.IntN(9)) // often the content of another file
				}
			}
		}
		if _, file := files["d4/e1"]; file {
			for other := range files {
				if strings.HasPrefix(other, "d4/e1/") {
					delete(files, other)
				}
			}
		}
		deliver(t, s, n, files)
		if n%3 == 0 {
			if err := s.Settle(); err != nil {
				t.Fatal(err)
			}
		}
		if n%7 == 0 { // a program leaves something behind
			_ = os.WriteFile(filepath.Join(s.Path(n), "d1", fmt.Sprintf("out%d", n)), nil, 0o644)
		}
		want, _ := code(files)
		for old := n; old > 0 && old+3 > n; old-- {
			got, err := tree.Scan(t.Context(), s.Path(old), tree.Options{})
			if err != nil {
				t.Fatal(err)
			}
			kept := tree.Index{}
			for _, e := range got {
				if !strings.Contains(e.Path, "/out") {
					kept = append(kept, e)
				}
			}
			if old == n && kept.Digest() != want.Digest() {
				t.Fatalf("seed %d: generation %d\n%s", seed, n, cmp.Diff(string(want.Manifest()), string(kept.Manifest())))
			}
			raw, err := os.ReadFile(filepath.Join(s.dir, manifest(old)))
			if err != nil || string(raw) != string(kept.Manifest()) {
				t.Fatalf("seed %d: generation %d is no longer its manifest: %v\n%s", seed, old, err, cmp.Diff(string(raw), string(kept.Manifest())))
			}
		}
	}
}
