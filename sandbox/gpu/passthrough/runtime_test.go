package passthrough

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckRuntime(t *testing.T) {
	for name, c := range map[string]struct {
		dump string
		want error
	}{
		"containerd 2":               {"version = 3\n[plugins.'io.containerd.cri.v1.runtime']\n    enable_cdi = true\n", nil},
		"containerd 1.7 as it comes": {"version = 2\n    enable_cdi = false\n", ErrNoCDI},
		"containerd 1.6":             {"version = 2\n", ErrNoCDI},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "containerd"), []byte("#!/bin/sh\n/bin/cat <<'END'\n"+c.dump+"END\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		if err := CheckRuntime(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if err := CheckRuntime(t.Context()); err == nil || errors.Is(err, ErrNoCDI) {
		t.Errorf("no containerd: %v", err)
	}
}
