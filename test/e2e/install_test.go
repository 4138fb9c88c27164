//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is the committed tree, without what was built beside it.
func checkout(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	if out, err := exec.Command("git", "clone", "-q", root, dir).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	return dir
}

// A bare `go install` carries no Linux programs: it works and says so.
func TestABareInstallSaysWhatIsMissing(t *testing.T) {
	bin := t.TempDir()
	install := exec.Command("go", "install", "./cmd/kubectl-ai")
	install.Dir = checkout(t)
	install.Env = append(os.Environ(), "GOBIN="+bin, "XDG_CACHE_HOME=", "GOFLAGS=-buildvcs=false")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("go install: %v\n%s", err, out)
	}
	out, err := exec.Command(filepath.Join(bin, "kubectl-ai"), "sandbox", "create", "--name", "kai-bare", "--gpus", "fake").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "make build") {
		t.Errorf("err = %v, want exit 3 and the remedy:\n%s", err, out)
	}
	if left, _ := exec.Command("docker", "ps", "-aq", "--filter", "name=kai-bare").Output(); len(left) > 0 {
		t.Error("a container is left")
	}
}

func TestOtherSystemsBuildWithoutCgo(t *testing.T) {
	dir := checkout(t)
	for _, platform := range []string{"darwin/arm64", "windows/amd64"} {
		system, arch, _ := strings.Cut(platform, "/")
		build := exec.Command("go", "build", "-o", os.DevNull, "./cmd/kubectl-ai")
		build.Dir = dir
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "XDG_CACHE_HOME=", "GOFLAGS=-buildvcs=false")
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", platform, err, out)
		}
	}
}
