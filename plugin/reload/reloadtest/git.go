package reloadtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitScript leaves output and exit code in a file: agents of this process
// reap its children, and may take git's exit code from those who wait for it.
const gitScript = `out=$0; git "$@" >"$out" 2>&1; echo "exit $?" >>"$out"`

// Git runs git in a folder and returns what it printed and whether it
// succeeded. No configuration of the user's counts.
func Git(t testing.TB, dir string, args ...string) (string, bool) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("sh", append([]string{"-c", gitScript, out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.org")
	err := cmd.Run()
	raw, readErr := os.ReadFile(out)
	if readErr != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	text, code, found := strings.Cut(string(raw), "exit ")
	if i := strings.LastIndex(string(raw), "exit "); found {
		text, code = string(raw[:i]), string(raw[i+len("exit "):])
	}
	return text, strings.TrimSpace(code) == "0"
}

// MustGit is Git for what has to succeed.
func MustGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, ok := Git(t, dir, args...)
	if !ok {
		t.Fatalf("git %v: %s", args, out)
	}
	return out
}
