package payload

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// packed returns an archive of programs, made as `make build` makes it.
func packed(t *testing.T, programs map[string][]byte, order ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	args := []string{"run", "./pack", filepath.Join(dir, "archive")}
	for _, name := range order {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, programs[name], 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("pack: %v\n%s", err, out)
	}
	archive, err := os.ReadFile(filepath.Join(dir, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestAProgramComesOutAsItWasPacked(t *testing.T) {
	programs := map[string][]byte{"small": []byte("first"), "large": make([]byte, 40<<20), "empty": {}}
	_, _ = rand.Read(programs["large"][:1<<20])
	archive := packed(t, programs, "small", "large", "empty")
	if again := packed(t, programs, "small", "large", "empty"); !bytes.Equal(archive, again) {
		t.Error("the same programs give other bytes")
	}
	carried := unpacked{fstest.MapFS{"p/linux-amd64.tar.zst": {Data: archive}, "p/linux-arm64.tar.zst": {Data: archive[:len(archive)/2]}}, "p"}
	for name, want := range programs {
		got, err := fs.ReadFile(carried, "linux-amd64/"+name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	for _, name := range []string{"linux-amd64/none", "linux-s390x/small", "none"} {
		if _, err := carried.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", name, err)
		}
	}
	if _, err := fs.ReadFile(carried, "linux-arm64/large"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an archive that is cut short: %v", err)
	}
}
