//go:build unix

package carrier

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTwoMachinesMakeTheSameBytes packages one tree in processes that have
// nothing else in common: umask, owner's home, time zone, locale, processors,
// times of the files, the order in which they were written.
func TestTwoMachinesMakeTheSameBytes(t *testing.T) {
	if mask := os.Getenv("KUBECTL_AI_TEST_UMASK"); mask != "" {
		packHere(t, mask)
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, env := range [][]string{
		{"KUBECTL_AI_TEST_UMASK=022", "HOME=/root", "TZ=UTC", "LC_ALL=C", "GOMAXPROCS=1"},
		{"KUBECTL_AI_TEST_UMASK=077", "HOME=/nonexistent", "TZ=Asia/Tokyo", "LC_ALL=tr_TR.UTF-8", "GOMAXPROCS=8", "SOURCE_DATE_EPOCH=1"},
		{"KUBECTL_AI_TEST_UMASK=000", "HOME=" + t.TempDir(), "TZ=America/Los_Angeles", "USER=other"},
	} {
		cmd := exec.CommandContext(t.Context(), program, "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", env, err, out)
		}
		_, digests, ok := strings.Cut(string(out), "packed: ")
		if !ok {
			t.Fatalf("%v: it packed nothing:\n%s", env, out)
		}
		digests, _, _ = strings.Cut(digests, "\n")
		said[digests] = strings.Join(env, " ")
	}
	if len(said) != 1 {
		t.Errorf("%d results: %v", len(said), said)
	}
}

// packHere writes a tree and says the digests of what is made of it.
func packHere(t *testing.T, mask string) {
	bits, err := strconv.ParseInt(mask, 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Umask(int(bits))
	root := t.TempDir()
	names := []string{"train.py", "run.sh", "lib/a.py", "lib/deep/ü.py", "z"}
	if bits != 0 {
		names = []string{"z", "lib/deep/ü.py", "run.sh", "lib/a.py", "train.py"}
	}
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o666)
		if name == "run.sh" {
			mode = 0o777
		}
		if err := os.WriteFile(path, []byte(strings.Repeat(name, 10_000)), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Now(), time.Unix(bits*1e6, bits)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("lib/a.py", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	code := scanned(t, root).Code
	layer, err := newLayer(code, "/app")
	if err != nil {
		t.Fatal(err)
	}
	bare, err := newLayer(code, "/")
	if err != nil {
		t.Fatal(err)
	}
	image, err := alone(bare, code, []string{"arm64", "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("packed: tree %s layer %s image %s\n", code.Digest(), layer.digest, digest)
}
