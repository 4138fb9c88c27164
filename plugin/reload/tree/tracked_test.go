package tree

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listedByGit returns what git has or would add: tracked files that are there
// and untracked ones that nothing ignores.
func listedByGit(git func(...string) string, root string) []string {
	out := git("ls-files", "-z", "-c", "-o", "--exclude-standard", "--", ".")
	want := []string{}
	for p := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(root, p)); err == nil && !info.IsDir() {
			want = append(want, p)
		}
	}
	slices.Sort(want)
	return slices.Compact(want)
}

// TestTrackedFilesAsGitListsThem draws trees, rules and what is tracked, and
// compares a scan, and rescans after each change, with git ls-files. The code
// is the repository or a folder in it.
func TestTrackedFilesAsGitListsThem(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 5))
			pick := func(from ...string) string { return from[r.IntN(len(from))] }
			top := t.TempDir()
			gitIn(t, top)
			root := top
			if seed%2 == 1 {
				root = filepath.Join(top, "a", "code")
				if err := os.MkdirAll(root, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			git := gitIn(t, root)
			path := func() string {
				return strings.TrimPrefix(pick("", "a/", "b/", "a/b/", "code/", "build/", "build/x/")+pick("a", "b", "c.o", "d.py", "build", "keep"), "/")
			}
			rules := func() string {
				var b strings.Builder
				for range r.IntN(4) {
					b.WriteString(pick("", "", "!") + pick("*.o", "build/", "build", "/a", "/b/*", "a/**", "keep", "*", "*.py", "code/a", "**/x/") + "\n")
				}
				return b.String()
			}
			s := NewScanner(root, Options{bare: true})
			for step := range 40 {
				switch r.IntN(8) {
				case 0, 1, 2:
					p := path()
					if os.MkdirAll(filepath.Dir(filepath.Join(root, p)), 0o755) == nil {
						_ = os.WriteFile(filepath.Join(root, p), nil, 0o644)
					}
				case 3, 4:
					if p := path(); isFile(filepath.Join(root, p)) {
						git("add", "-f", "--", p)
					}
				case 5:
					git("rm", "-q", "-r", "--cached", "--ignore-unmatch", "--", path())
				case 6:
					file := pick(filepath.Join(root, ".gitignore"), filepath.Join(root, "a", ".gitignore"), filepath.Join(top, ".gitignore"), filepath.Join(top, ".git", "info", "exclude"))
					if os.MkdirAll(filepath.Dir(file), 0o755) == nil {
						_ = os.WriteFile(file, []byte(rules()), 0o644)
					}
				case 7:
					_ = os.RemoveAll(filepath.Join(root, path()))
				}
				if r := findRepository(root); r.shadowed(t) {
					continue // named as code, so that git's own answer differs
				}
				ix, err := s.Rescan(t.Context(), []string{".", "a", "b", "a/b", "code", "build", "build/x"})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(listedByGit(git, root), pathsOf(ix)); d != "" {
					t.Fatalf("step %d (-git +rescan)\n%s", step, d)
				}
				if d := cmp.Diff(scanned(t, root, Options{bare: true}), pathsOf(ix)); d != "" {
					t.Fatalf("step %d (-fresh +rescan)\n%s", step, d)
				}
			}
		})
	}
}

func isFile(full string) bool {
	info, err := os.Lstat(full)
	return err == nil && info.Mode().IsRegular()
}

// shadowed tells whether the rules above the code ignore all of it.
func (r *repository) shadowed(t *testing.T) bool {
	t.Helper()
	if _, err := r.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.shadow.rule != nil
}

func TestWhatGitTracksBelongs(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		".gitignore": "build/\n*.gen.py\n", "build/out/tracked.py": "", "build/out/other.py": "", "build/z": "", "x.gen.py": "", "y.gen.py": "",
		"venv/lib/tracked.py": "", "venv/lib/other.py": "", "dropped/tracked.py": "", "listed.py": "", "secret.pem": "", "allowed.pem": "",
		IgnoreFile: "dropped/\n!/allowed.pem\n",
	})
	git := gitIn(t, root)
	git("add", "-f", ".gitignore", "build/out/tracked.py", "x.gen.py", "venv/lib/tracked.py", "dropped/tracked.py", "listed.py", "secret.pem", "allowed.pem")
	o := Options{Ignore: []string{"listed.py"}, IgnoreName: "kubectl-ai.yaml", IgnoreLines: []int{7}}
	want := []string{".gitignore", IgnoreFile, "allowed.pem", "build/out/tracked.py", "venv/lib/tracked.py", "x.gen.py"}
	if d := cmp.Diff(want, scanned(t, root, o)); d != "" {
		t.Error(d)
	}
	got := why(t, root, o, "build/out/tracked.py", "build/out/other.py", "build/out", "x.gen.py", "y.gen.py", "venv/lib/tracked.py", "venv/lib/other.py", "dropped/tracked.py", "listed.py", "secret.pem", "allowed.pem")
	said := []string{
		"true tracked .gitignore:1: build/", "false rule .gitignore:1: build/", "true tracked .gitignore:1: build/", "true tracked .gitignore:2: *.gen.py", "false rule .gitignore:2: *.gen.py",
		"true tracked default: venv/", "false default default: venv/", "false rule .kubectl-ai-ignore:1: dropped/", "false rule kubectl-ai.yaml:7: listed.py",
		"false held-back", "true rule .kubectl-ai-ignore:2: !/allowed.pem",
	}
	if d := cmp.Diff(said, got); d != "" {
		t.Error(d)
	}
}

func TestWithoutGitNothingIsTracked(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{".gitignore": "*.o\n", "a.o": "", "a.c": ""})
	gitIn(t, root)("add", "-f", "a.o", "a.c")
	t.Setenv("PATH", t.TempDir())
	s := NewScanner(root, Options{})
	ix, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{".gitignore", "a.c"}, pathsOf(ix)); d != "" {
		t.Error(d)
	}
	if err := s.GitError(); err == nil || !strings.Contains(err.Error(), "git is not on PATH") {
		t.Errorf("GitError() = %v", err)
	}
}

// A repository inside the code has rules and tracked files of its own, a
// submodule as well as one that was cloned there.
func TestRepositoriesInside(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		".gitignore": "*.o\nvendor/\n", "a.o": "",
		"cloned/.gitignore": "*.log\n", "cloned/b.o": "", "cloned/b.log": "", "cloned/t.log": "",
		"vendor/sub/c.o": "", "vendor/sub/c.tmp": "", "vendor/other/d": "",
	})
	gitIn(t, root)
	for _, dir := range []string{"cloned", "vendor/sub"} {
		full := filepath.Join(root, dir)
		run := gitIn(t, root)
		run("init", "-q", full)
	}
	cloned, sub := gitIn(t, filepath.Join(root, "cloned")), gitIn(t, filepath.Join(root, "vendor/sub"))
	cloned("add", "-f", "t.log")
	put(t, root, map[string]string{"vendor/sub/.git/info/exclude": "*.tmp\n"})
	sub("add", "c.o")
	sub("commit", "-qm", "c")
	gitIn(t, root)("add", "-f", "vendor/sub")
	want := []string{".gitignore", "cloned/.gitignore", "cloned/b.o", "cloned/t.log", "vendor/sub/c.o"}
	if d := cmp.Diff(want, scanned(t, root, Options{})); d != "" {
		t.Error(d)
	}
	s := NewScanner(root, Options{})
	if _, err := s.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	cloned("add", "-f", "b.log")
	put(t, root, map[string]string{"vendor/sub/.git/info/exclude": ""})
	ix, err := s.Rescan(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want = []string{".gitignore", "cloned/.gitignore", "cloned/b.log", "cloned/b.o", "cloned/t.log", "vendor/sub/c.o", "vendor/sub/c.tmp"}
	if d := cmp.Diff(want, pathsOf(ix)); d != "" {
		t.Error(d)
	}
	got := why(t, root, Options{}, "vendor/sub/c.tmp", "vendor/other/d", "cloned/b.o")
	if d := cmp.Diff([]string{"true none", "false rule .gitignore:2: vendor/", "true none"}, got); d != "" {
		t.Error(d)
	}
}

// BenchmarkRescanInARepository is a save in one folder of 200 with 25 files
// each, in a repository with 60 rules and 5,000 tracked files.
func BenchmarkRescanInARepository(b *testing.B) {
	top := b.TempDir()
	git := gitIn(b, top)
	for i := range 5000 {
		put(b, top, map[string]string{fmt.Sprintf("code/d%03d/f%d.py", i/25, i): ""})
	}
	put(b, top, map[string]string{".gitignore": strings.Join(slices.Concat(lists[0], lists[1], lists[2]), "\n")})
	git("add", "-f", ".")
	time.Sleep(racyWindow + 100*time.Millisecond)
	s := NewScanner(filepath.Join(top, "code"), Options{})
	if _, err := s.Scan(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("what lies outside", func(b *testing.B) {
		for b.Loop() {
			if changed, err := s.outside(b.Context(), false); err != nil || changed {
				b.Fatal(changed, err)
			}
		}
	})
	b.Run("one folder", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Rescan(b.Context(), []string{"d007"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
