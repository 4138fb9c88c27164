//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// Two releases made in two folders are the same bytes, and one of them installs
// on an empty HOME as krew does it. At full size all platforms are made, the
// second time with nothing compiled before.
func TestAReleaseInstallsAndTwoAreTheSame(t *testing.T) {
	dist, dir := t.TempDir(), checkout(t)
	platforms, cache := runtime.GOOS+"/"+runtime.GOARCH, "XDG_CACHE_HOME=" // the user's own
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		platforms, cache = "", "GOCACHE="+t.TempDir()
	}
	run := func(in string, env []string, args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = in, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run(root, []string{"XDG_CACHE_HOME="}, "go", "run", "./krew/release", "-version", "v0.1.0", "-out", dist, "-platforms", platforms)
	run(dir, []string{cache}, "make", "-s", "release", "VERSION=v0.1.0", "PLATFORMS="+platforms)
	first, err := os.ReadFile(filepath.Join(dist, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, "dist", "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) || !strings.Contains(string(first), "kubectl-ai.cdx.json") {
		t.Errorf("the sums of two releases:\n%s\n%s", first, second)
	}
	out := run(root, []string{"XDG_CACHE_HOME="}, "test/install/install.sh", dist, kubectlProgram(t))
	for _, want := range []string{"v0.1.0", "engine", "sandbox\t"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said:\n%s", want, out)
		}
	}
}

// kubectlProgram is a kubectl of this machine, taken from a node.
func kubectlProgram(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "kubectl")
	if out, err := exec.Command("docker", "cp", sandboxName+"-control-plane:/usr/bin/kubectl", to).CombinedOutput(); err != nil {
		t.Fatalf("take kubectl from the node: %v\n%s", err, out)
	}
	return to
}
