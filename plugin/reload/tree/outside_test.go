package tree

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fork makes a repository with a folder of code in it.
func fork(t *testing.T, files map[string]string) (top, root string) {
	t.Helper()
	top = t.TempDir()
	gitIn(t, top)
	root = filepath.Join(top, "jobs", "code")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, top, files)
	return top, root
}

func TestRulesAboveTheCodeCount(t *testing.T) {
	_, root := fork(t, map[string]string{
		".gitignore": "*.log\n/jobs/code/top\n/a\ncode/*.x\n!keep.ckpt\n", "jobs/.gitignore": "*.ckpt\n/code/two\n!c.log\n", "jobs/code/.gitignore": "!b.log\n",
		"jobs/code/a": "", "jobs/code/a.log": "", "jobs/code/b.log": "", "jobs/code/c.log": "", "jobs/code/top": "", "jobs/code/two": "",
		"jobs/code/d/top": "", "jobs/code/m.ckpt": "", "jobs/code/keep.ckpt": "", "jobs/code/e.x": "",
	})
	want := []string{".gitignore", "a", "b.log", "c.log", "d/top", "e.x"}
	if d := cmp.Diff(want, scanned(t, root, Options{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, listedByGit(gitIn(t, root), root)); d != "" {
		t.Errorf("git does not agree: %s", d)
	}
	got := why(t, root, Options{}, "a.log", "b.log", "c.log", "top", "two", "keep.ckpt", "a")
	said := []string{
		"false rule ../../.gitignore:1: *.log", "true rule .gitignore:1: !b.log", "true rule ../.gitignore:3: !c.log", "false rule ../../.gitignore:2: /jobs/code/top",
		"false rule ../.gitignore:2: /code/two", "false rule ../.gitignore:1: *.ckpt", "true none",
	}
	if d := cmp.Diff(said, got); d != "" {
		t.Error(d)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, scanned(t, link, Options{})); d != "" {
		t.Errorf("through a link: %s", d)
	}
}

// What the repository ignores as a whole was named as code all the same.
func TestCodeThatIsIgnoredAsAWhole(t *testing.T) {
	for name, file := range map[string]map[string]string{
		"by its name":           {".gitignore": "code/\n*.log\n"},
		"by a folder above":     {".gitignore": "/jobs\n*.log\n"},
		"in a repository of ~":  {".gitignore": "*\n"},
		"by a personal exclude": {".git/info/exclude": "jobs/*\n*.log\n"},
	} {
		t.Run(name, func(t *testing.T) {
			top, root := fork(t, file)
			put(t, top, map[string]string{"jobs/code/a.py": "", "jobs/code/a.log": "", "jobs/code/a.o": "", "jobs/code/.gitignore": "*.o\n"})
			if d := cmp.Diff([]string{".gitignore", "a.log", "a.py"}, scanned(t, root, Options{})); d != "" {
				t.Error(d)
			}
			report, err := Explain(t.Context(), root, Options{}, []string{"a.log"})
			if err != nil || report.Shadow == nil || report.Shadow.Line != 1 {
				t.Errorf("Shadow = %v, %v", report, err)
			}
		})
	}
}

// In a linked worktree .git is a file, the index its own, and info/exclude
// that of the repository.
func TestLinkedWorktree(t *testing.T) {
	top := t.TempDir()
	put(t, top, map[string]string{"a.py": "", ".gitignore": "*.gen\n", ".git/info/exclude": ""})
	git := gitIn(t, top)
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "c")
	tree := filepath.Join(t.TempDir(), "linked")
	git("worktree", "add", "-q", tree)
	put(t, top, map[string]string{".git/info/exclude": "local/\n"})
	put(t, tree, map[string]string{"local/x": "", "x.gen": "", "y.gen": ""})
	gitIn(t, tree)("add", "-f", "x.gen")
	want := []string{".gitignore", "a.py", "x.gen"}
	if d := cmp.Diff(want, scanned(t, tree, Options{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, listedByGit(gitIn(t, tree), tree)); d != "" {
		t.Errorf("git does not agree: %s", d)
	}
	got := why(t, tree, Options{}, "local/x")
	if d := cmp.Diff([]string{"false rule " + filepath.Join(top, ".git/info/exclude") + ":1: local/"}, got); d != "" {
		t.Error(d)
	}
}

func TestPersonalExcludes(t *testing.T) {
	home := t.TempDir()
	config := filepath.Join(home, "config")
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	put(t, home, map[string]string{".config/git/ignore": "*.default\n", "xdg/git/ignore": "*.xdg\n", "mine": "*.mine\n!d.log\n", "config": ""})
	top, root := fork(t, map[string]string{
		".gitignore": "*.log\n", ".git/info/exclude": "!c.mine\n", "relative": "*.rel\n",
		"jobs/code/a.default": "", "jobs/code/a.xdg": "", "jobs/code/a.mine": "", "jobs/code/c.mine": "", "jobs/code/d.log": "", "jobs/code/a.rel": "",
	})
	s := NewScanner(root, Options{bare: true})
	git := gitIn(t, root)
	for _, c := range []struct {
		name string
		set  func()
		want []string
	}{
		{"the default file", func() {}, []string{"a.mine", "a.rel", "a.xdg", "c.mine"}},
		{"named in the user's configuration", func() { git("config", "--global", "core.excludesFile", "~/mine") }, []string{"a.default", "a.rel", "a.xdg", "c.mine"}},
		{"named in the repository's, from its top", func() { git("config", "core.excludesFile", "relative") }, []string{"a.default", "a.mine", "a.xdg", "c.mine"}},
		{"none", func() { git("config", "core.excludesFile", "") }, []string{"a.default", "a.mine", "a.rel", "a.xdg", "c.mine"}},
		{"another line in it", func() {
			git("config", "core.excludesFile", "relative")
			put(t, top, map[string]string{"relative": "*.default\n*.mine\n"})
		}, []string{"a.rel", "a.xdg", "c.mine"}},
	} {
		c.set()
		ix, err := s.Rescan(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, pathsOf(ix)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if d := cmp.Diff(c.want, listedByGit(git, root)); d != "" {
			t.Errorf("%s: git does not agree: %s", c.name, d)
		}
	}
}

// Personal rules are git's: without a repository they do not count, nor does
// a folder that is only called .git.
func TestOutsideOfARepository(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	put(t, home, map[string]string{"git/ignore": "*.mine\n"})
	top := t.TempDir()
	put(t, top, map[string]string{".gitignore": "*.log\n", ".git/HEAD": "ref", "code/a.log": "", "code/a.mine": "", "code/a.o": "", "code/.gitignore": "*.o\n"})
	if d := cmp.Diff([]string{".gitignore", "a.log", "a.mine"}, scanned(t, filepath.Join(top, "code"), Options{})); d != "" {
		t.Error(d)
	}
}
