package proof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

func TestPodsFollowAHistory(t *testing.T) {
	commits := reloadtest.Size(20, 200)
	t.Run("of this project", func(t *testing.T) {
		top, ok := reloadtest.Git(t, ".", "rev-parse", "--show-toplevel")
		if !ok {
			t.Skip("not checked: this is no repository")
		}
		clone := filepath.Join(t.TempDir(), "clone")
		reloadtest.MustGit(t, t.TempDir(), "clone", "-q", "--no-checkout", strings.TrimSuffix(top, "\n"), clone)
		followHistory(t, clone, commits)
	})
	t.Run("made up", func(t *testing.T) {
		followHistory(t, madeUp(t, commits), commits)
	})
}

// followHistory checks out the last commits of a clone one by one, the oldest
// first, while the engine follows it.
func followHistory(t *testing.T, clone string, most int) {
	t.Helper()
	reloadtest.MustGit(t, clone, "config", "gc.auto", "0")
	commits := strings.Fields(reloadtest.MustGit(t, clone, "rev-list", "--reverse", "HEAD"))
	commits = commits[max(0, len(commits)-most):]
	reloadtest.MustGit(t, clone, "checkout", "-q", "--detach", commits[0])
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Dir: clone}, pod)
	for _, commit := range commits {
		reloadtest.MustGit(t, clone, "checkout", "-q", "--detach", commit)
		fresh := filepath.Join(t.TempDir(), "fresh")
		reloadtest.MustGit(t, clone, "worktree", "add", "-q", "--detach", fresh, commit)
		index, err := tree.Scan(t.Context(), fresh, tree.Options{})
		must(t, err)
		l.SettleOn(index.Digest())
		reloadtest.MustGit(t, clone, "worktree", "remove", "--force", fresh)
		if t.Failed() {
			t.Fatalf("at commit %s", commit)
		}
	}
	t.Logf("%d commits, %d deliveries", len(commits), l.Deliveries())
}

// madeUp makes a repository whose commits move files and folders about.
func madeUp(t *testing.T, commits int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(11, 1))
	reloadtest.MustGit(t, dir, "init", "-q", "-b", "main")
	for n := range commits {
		for range 1 + rng.IntN(8) {
			p := filepath.Join(dir, fmt.Sprintf("pkg%d/sub%d/mod%d.py", rng.IntN(3), rng.IntN(3), rng.IntN(8)))
			switch rng.IntN(6) {
			case 0:
				_ = os.RemoveAll(filepath.Dir(p))
			case 1:
				_ = os.RemoveAll(p)
				_ = os.MkdirAll(filepath.Dir(p), 0o755)
				_ = os.Symlink(fmt.Sprintf("mod%d.py", rng.IntN(8)), p)
			case 2:
				_ = os.RemoveAll(p)
				save(t, p, "inner.py", fmt.Sprint(n))
			case 3:
				_ = os.Chmod(p, 0o755)
			case 4:
				_ = os.Rename(filepath.Dir(p), filepath.Join(dir, fmt.Sprintf("moved%d", rng.IntN(4))))
			default:
				_ = os.RemoveAll(p)
				save(t, dir, strings.TrimPrefix(p, dir), strings.Repeat(fmt.Sprintf("line of %d\n", n), rng.IntN(300)))
			}
		}
		save(t, dir, "version", fmt.Sprint(n))
		save(t, dir, ".gitignore", fmt.Sprintf("ignored%d\n", n%3))
		reloadtest.MustGit(t, dir, "add", "-A")
		reloadtest.MustGit(t, dir, "commit", "-q", "-m", fmt.Sprint(n))
	}
	return dir
}
