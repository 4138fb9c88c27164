package tree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain keeps the machine's own git configuration out of every test.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "home")
	if err != nil {
		panic(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, "xdg"),
		"GIT_CONFIG_GLOBAL": filepath.Join(home, "gitconfig"), "GIT_CONFIG_SYSTEM": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@example.com", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "n@example.com",
	} {
		_ = os.Setenv(name, value)
	}
	for _, name := range located {
		_ = os.Unsetenv(name)
	}
	code := m.Run()
	_ = os.RemoveAll(home)
	os.Exit(code)
}

// gitIn returns a function that runs git in dir, where a repository is made
// first unless dir lies in one.
func gitIn(t testing.TB, dir string, stdin ...string) func(args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not on PATH")
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "core.quotePath=false"}, args...)...)
		cmd.Stdin = strings.NewReader(strings.Join(stdin, ""))
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || args[0] != "check-ignore") {
			t.Fatalf("git %v: %v\n%s", args, err, said.String())
		}
		return string(out)
	}
	if findRepository(dir) == nil {
		run("init", "-q")
	}
	return run
}

// put writes files below root.
func put(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func pathsOf(ix Index) []string {
	out := []string{}
	for _, e := range ix {
		out = append(out, e.Path)
	}
	return out
}

func scanned(t testing.TB, root string, o Options) []string {
	t.Helper()
	ix, err := Scan(t.Context(), root, o)
	if err != nil {
		t.Fatal(err)
	}
	return pathsOf(ix)
}

// why explains paths, each as "Included Cause Rule".
func why(t testing.TB, root string, o Options, paths ...string) []string {
	t.Helper()
	report, err := Explain(t.Context(), root, o, paths)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, x := range report.Paths {
		s := fmt.Sprintf("%v %s", x.Included, x.Cause)
		if x.Rule != nil {
			s += " " + x.Rule.String()
		}
		out = append(out, s)
	}
	return out
}
