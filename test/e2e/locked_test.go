//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// shower says what its file holds, who it is, and whether it can write
// outside of what is mounted.
const shower = `package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

func main() {
	text, err := os.ReadFile("generation.txt")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile("seen.txt", text, 0o644); err != nil {
		panic(err)
	}
	root := "writable"
	if err := os.WriteFile("/probe", nil, 0o600); errors.Is(err, syscall.EROFS) {
		root = "read-only"
	}
	fmt.Println(strings.TrimSpace(string(text)), os.Getenv("RANK"), "uid", os.Getuid(), "root", root)
	time.Sleep(time.Hour)
}
`

// bareImage brings an image into the engine that holds one static program on
// an empty root: no shell, no tar, no libc.
func bareImage(t *testing.T, ref, source string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"main.go": source, "go.mod": "module bare\n"})
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "bare", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "bare"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.FromBinary(bytes.NewReader(program), runtime.GOARCH, "/bare", []string{"/bare"}, ref)
	if err != nil {
		t.Fatal(err)
	}
	load := exec.Command("docker", "load", "-q")
	archive := img.Tarball()
	load.Stdin = archive
	out, err := load.CombinedOutput()
	if err != nil {
		t.Fatalf("docker load: %v\n%s", err, out)
	}
	_ = archive.Close()
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", ref).Run() })
}

func TestDevOnAnImageWithoutShellThatMayWriteNothing(t *testing.T) {
	const ns, ref = "bare", "kubectl-ai-e2e/bare:1"
	bareImage(t, ref, shower)
	files := job(ns, 2, "")
	delete(files, "src/train.py")
	for _, r := range [][2]string{
		{"image: " + pythonImage, "image: " + ref},
		{"        command: [python3, train.py]\n", ""}, // the image's own entry point
		{"allowPrivilegeEscalation: false,", "allowPrivilegeEscalation: false, readOnlyRootFilesystem: true,"},
	} {
		if !strings.Contains(files["base/job.yaml"], r[0]) {
			t.Fatalf("%q is not in the Job any more", r[0])
		}
		files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], r[0], r[1], 1)
	}
	dir := bundle(t, sandboxName, ns, files)
	kubectl(t, sandboxName, "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted")

	dev := startDev(t, dir)
	printed := func(generation int) {
		t.Helper()
		eventually(t, 20*time.Second, func() error {
			for rank := range 2 {
				if line := fmt.Sprintf("generation %d %d uid 65532 root read-only\n", generation, rank); !strings.Contains(dev.stderr.String(), line) {
					return fmt.Errorf("rank %d has not said %q", rank, line)
				}
			}
			return nil
		})
	}
	dev.next(2, 2*time.Minute)
	printed(0)
	before := identity(t, sandboxName, ns)
	save(t, filepath.Join(dir, "src/generation.txt"), "generation 1\n")
	want := digestHere(t, filepath.Join(dir, "src"))
	for rank, r := range dev.next(2, 30*time.Second) {
		if r.TreeDigest != want {
			t.Errorf("rank %d runs %s, the laptop has %s", rank, r.TreeDigest, want)
		}
	}
	printed(1)
	if r := must(t, "verify", dir); strings.Count(r.stdout, want) != 3 {
		t.Errorf("verify does not say %s of this machine and both ranks:\n%s", want, r.stdout)
	}
	pulled := t.TempDir()
	must(t, "pull", "--dir", dir, "--to", pulled)
	if raw, err := os.ReadFile(filepath.Join(pulled, "seen.txt")); err != nil || string(raw) != "generation 1\n" {
		t.Errorf("pulled is %q, %v", raw, err)
	}
	if now := identity(t, sandboxName, ns); now != before {
		t.Errorf("the workload changed:\n%s\nwas\n%s", now, before)
	}
	if out, err := tryKubectl(t.Context(), sandboxName, "", "exec", "-n", ns, pods(t, sandboxName, ns, "app="+ns)["0"], "--", "sh", "-c", "true"); err == nil {
		t.Errorf("the image has a shell: %s", out)
	}
}
