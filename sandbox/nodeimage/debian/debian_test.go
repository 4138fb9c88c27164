package debian

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKey(t *testing.T) {
	t.Parallel()
	base := Root{Name: "node", Suite: "bookworm", Arch: "amd64", Packages: []string{"b", "a"}, Links: map[string]string{"x": "y"}}
	for _, c := range []struct {
		name   string
		change func(*Root)
		same   bool
	}{
		{"the order of packages does not count", func(r *Root) { r.Packages = []string{"a", "b"} }, true},
		{"a package more", func(r *Root) { r.Packages = []string{"a", "b", "c"} }, false},
		{"another architecture", func(r *Root) { r.Arch = "arm64" }, false},
		{"something removed", func(r *Root) { r.Remove = []string{"etc/motd"} }, false},
		{"another target of a link", func(r *Root) { r.Links = map[string]string{"x": "z"} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := base
			c.change(&r)
			if got := r.Key() == base.Key(); got != c.same {
				t.Errorf("same key: %v, want %v", got, c.same)
			}
		})
	}
	if diff := cmp.Diff([]string{"b", "a"}, base.Packages); diff != "" {
		t.Error("Key changed the root", diff)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	r := Root{Suite: "bookworm", Arch: "arm64", Packages: []string{"python3", "ca-certificates"}}
	want := []string{"--variant=minbase", "--arch=arm64", "--include=python3,ca-certificates", "bookworm", "/r"}
	if diff := cmp.Diff(want, Cache{}.arguments(r, "/r")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append(want, "http://mirror/debian"), Cache{Mirror: "http://mirror/debian"}.arguments(r, "/r")); diff != "" {
		t.Error(diff)
	}
}

func TestFinish(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, path := range []string{"usr/share/doc/bash/copyright", "lib/systemd/system/basic.target.wants/x", "lib/systemd/system/x", "usr/bin/python3"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := Root{Remove: []string{"lib/systemd/system/*.wants/*"}, Links: map[string]string{"usr/local/bin/python": "/usr/bin/python3"}}
	for range 2 { // a link that is there is replaced
		if err := finish(root, r); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		"usr/share/doc/bash": false, "lib/systemd/system/basic.target.wants/x": false, "lib/systemd/system/x": true,
	} {
		if _, err := os.Lstat(filepath.Join(root, path)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
	if target, err := os.Readlink(filepath.Join(root, "usr/local/bin/python")); err != nil || target != "/usr/bin/python3" {
		t.Errorf("link to %q, %v", target, err)
	}
}

func TestKeepLeavesOutWhatAContainerHas(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{"dev": true, "dev/null": false, "run/lock": false, "tmp": true, "usr/dev/x": true} {
		if got := keep(path, nil); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
