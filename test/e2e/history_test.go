//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// commits is how many stops of a git history are checked out: all that there
// are, at most 200, by hand; a sample with the same assertions otherwise.
func commits() int {
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		return 200
	}
	return 10
}

// TestDevFollowsAGitHistory checks out a history commit by commit while dev
// runs: at each stop the rank runs the tree of a fresh worktree of that commit.
func TestDevFollowsAGitHistory(t *testing.T) {
	if err := exec.Command("git", "-C", root, "rev-parse", "HEAD").Run(); err != nil {
		t.Fatalf("the history is this project's own, and %s is no repository: %v", root, err)
	}
	git := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	const ns = "history"
	files := job(ns, 1, "")
	files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], "command: [python3, train.py]", `command: [python3, -c, "import time; time.sleep(1e6)"]`, 1)
	dir := bundle(t, sandboxName, ns, files)
	src, fresh := filepath.Join(dir, "src"), filepath.Join(t.TempDir(), "fresh")
	if err := os.RemoveAll(src); err != nil {
		t.Fatal(err)
	}
	git(dir, "clone", "-q", "--no-checkout", root, src)
	git(src, "config", "gc.auto", "0")
	history := strings.Fields(git(src, "rev-list", "--reverse", "--first-parent", "HEAD"))
	history = history[max(0, len(history)-commits()):]
	git(src, "checkout", "-q", "--detach", history[0])

	// The same rules over a fresh worktree: a bundle beside, of the same file.
	beside := filepath.Join(t.TempDir(), ns)
	write(t, beside, map[string]string{"kubectl-ai.yaml": strings.Replace(files["kubectl-ai.yaml"], "path: src", "path: "+fresh, 1)})

	dev := startDev(t, dir)
	uid, ran := "", ""
	for i, commit := range history {
		git(src, "checkout", "-q", "--detach", commit)
		git(src, "worktree", "add", "-q", "--detach", fresh, commit)
		want := strings.TrimSpace(must(t, "digest", beside).stdout)
		git(src, "worktree", "remove", "--force", fresh)
		if want == ran { // it changed what is not part of the tree
			continue
		}
		ran = want
		got := dev.next(1, 3*time.Minute)[0]
		for deadline := time.Now().Add(time.Minute); got.TreeDigest != want; got = dev.next(1, time.Minute)[0] {
			if time.Now().After(deadline) {
				t.Fatalf("at %s the rank runs %s, a fresh worktree is %s", commit, got.TreeDigest, want)
			}
		}
		if uid == "" {
			uid = got.PodUID
		}
		if got.PodUID != uid {
			t.Errorf("stop %d: another pod runs the code", i)
		}
	}
	t.Logf("%d commits of this project", len(history))
}
