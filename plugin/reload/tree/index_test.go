package tree_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// write makes a tree of files: a trailing * marks an executable, a content
// that begins with -> a link.
func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		mode := os.FileMode(0o644)
		if n, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = n, 0o755
		}
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(content), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func scan(t testing.TB, root string, o tree.Options) tree.Index {
	t.Helper()
	ix, err := tree.Scan(t.Context(), root, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := ix.Check(); err != nil {
		t.Fatal(err)
	}
	return ix
}

func paths(ix tree.Index) []string {
	out := []string{}
	for _, e := range ix {
		out = append(out, e.Path)
	}
	return out
}

func TestDigestIsWhatOtherProgramsCompute(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"train.py": "print(1)\n", "run.sh*": "#!/bin/sh\n", "a/b/c.py": "c", "a-b": "x", "a.b": "y", "a/z": "",
		"back\\slash": "1", "new\nline": "2", "car\rriage": "3", "naïve": "4", "link": "->a/b/c.py", "dangling": "->/nowhere", "nested/.hidden": "h",
	})
	const program = `cd "$1" && { find . -type f -printf '%P\0'; find . -type l -printf '%P\0'; } | LC_ALL=C sort -z | while IFS= read -r -d '' p; do
  q=${p//\\/\\\\}; q=${q//$'\n'/\\n}; q=${q//$'\r'/\\r}
  if [ -L "$p" ]; then printf 'l %s  %s\n' "$(readlink -n -- "$p" | sha256sum | cut -c1-64)" "$q"
  elif [ -x "$p" ]; then printf 'x %s  %s\n' "$(sha256sum <"$p" | cut -c1-64)" "$q"
  else printf 'f %s  %s\n' "$(sha256sum <"$p" | cut -c1-64)" "$q"; fi
done | sha256sum | cut -c1-64`
	out, err := exec.Command("bash", "-c", program, "-", root).Output()
	if err != nil {
		t.Fatal(err)
	}
	ix := scan(t, root, tree.Options{})
	if want := "sha256:" + strings.TrimSpace(string(out)); ix.Digest().String() != want {
		t.Errorf("Digest() = %v, sha256sum says %v", ix.Digest(), want)
	}
	if sum := sha256.Sum256(ix.Manifest()); tree.Digest(sum) != ix.Digest() {
		t.Error("the digest is not taken over the manifest")
	}
}

func TestDigestText(t *testing.T) {
	d := tree.Index(nil).Digest()
	if d.String() != "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" || d.Short() != "e3b0c44298fc" || d.IsZero() {
		t.Errorf("the empty tree's digest is %v", d)
	}
	back, err := tree.ParseDigest(d.String())
	if err != nil || back != d {
		t.Errorf("ParseDigest = %v, %v", back, err)
	}
	for _, bad := range []string{"", "sha256:", strings.ToUpper(d.String()), d.String() + "0", "md5:" + d.String()[7:], "sha256:" + strings.Repeat("g", 64)} {
		if _, err := tree.ParseDigest(bad); err == nil {
			t.Errorf("ParseDigest(%q) gave no error", bad)
		}
	}
}

func TestDiffLeadsFromOneTreeToTheOther(t *testing.T) {
	f := func(path, content string, k tree.Kind) tree.Entry {
		return tree.Entry{Path: path, Kind: k, Size: int64(len(content)), Sum: sha256.Sum256([]byte(content))}
	}
	old := tree.Index{f("a", "1", tree.File), f("b", "1", tree.File), f("c", "1", tree.File), f("d", "1", tree.File)}
	now := tree.Index{f("a", "1", tree.File), f("b", "2", tree.File), f("bb", "1", tree.File), f("c", "1", tree.Executable), f("e", "1", tree.File)}
	got := now.Diff(old)
	want := tree.Changes{Puts: []tree.Entry{now[1], now[2], now[3], now[4]}, Deletes: []string{"d"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(now, old.Apply(got)); d != "" {
		t.Error(d)
	}
}

func TestCheckRefusesWhatCannotBeATree(t *testing.T) {
	f := func(path string) tree.Entry { return tree.Entry{Path: path, Kind: tree.File} }
	for name, ix := range map[string]tree.Index{
		"above the root":       {f("../x")},
		"absolute":             {f("/etc/passwd")},
		"not clean":            {f("a//b")},
		"the root itself":      {f(".")},
		"not UTF-8":            {f("a\xff")},
		"a zero byte":          {f("a\x00b")},
		"the agent's folder":   {f(".kubectl-ai/state")},
		"out of order":         {f("b"), f("a")},
		"twice":                {f("a"), f("a")},
		"below a file":         {f("a"), f("a.b"), f("a/b")},
		"of no kind":           {{Path: "a"}},
		"below a link, deeper": {{Path: "a/b", Kind: tree.Link}, f("a/b/c/d")},
	} {
		t.Run(name, func(t *testing.T) {
			var e *tree.PathError
			if err := ix.Check(); !errors.As(err, &e) {
				t.Errorf("Check() = %v, want a *PathError", err)
			}
		})
	}
}

func FuzzCheckedPathsStayInside(f *testing.F) {
	for _, s := range []string{"a/b", "../a", "a/../../b", "/", "a\\..\\b", "./a", "a/."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if tree.CheckPath(path) != nil {
			return
		}
		full := filepath.Join("/root/of/tree", path)
		if !strings.HasPrefix(full, "/root/of/tree/") || filepath.Clean(full) != full || bytes.ContainsRune([]byte(path), 0) {
			t.Errorf("%q leads to %q", path, full)
		}
	})
}
